"""``cupyx.scipy.ndimage`` by SciPy's."""

import sys

import scipy.ndimage as _host
from cupy import _Module, _public

globals().update(_public("cupyx.scipy.ndimage", _host, {}))
sys.modules[__name__].__class__ = _Module
