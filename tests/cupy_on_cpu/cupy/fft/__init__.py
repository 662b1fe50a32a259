"""``cupy.fft`` by NumPy's."""

import sys

import numpy as _np

from .. import _Module, _public

globals().update(_public("cupy.fft", _np.fft, {}, (_np,)))
sys.modules[__name__].__class__ = _Module
__all__ = sorted(_name for _name in _public("cupy.fft", _np.fft, {}, (_np,)))
