"""``cupyx.scipy.special`` by SciPy's."""

import sys

import scipy.special as _host
from cupy import _Module, _public

globals().update(_public("cupyx.scipy.special", _host, {}))
sys.modules[__name__].__class__ = _Module
