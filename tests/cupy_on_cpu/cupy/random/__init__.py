"""``cupy.random``: nothing of JITrench draws from it (the core's generator does), so there is only its seed."""

import sys

from .. import _Module

sys.modules[__name__].__class__ = _Module
__all__: list[str] = []
