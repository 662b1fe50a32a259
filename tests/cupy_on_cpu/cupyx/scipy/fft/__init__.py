"""``cupyx.scipy.fft`` by SciPy's."""

import sys

import scipy.fft as _host
from cupy import _Module, _public

globals().update(_public("cupyx.scipy.fft", _host, {}))
sys.modules[__name__].__class__ = _Module
