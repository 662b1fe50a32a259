"""``cupyx.scipy.linalg`` by SciPy's."""

import sys

import scipy.linalg as _host
from cupy import _Module, _public

globals().update(_public("cupyx.scipy.linalg", _host, {}))
sys.modules[__name__].__class__ = _Module
