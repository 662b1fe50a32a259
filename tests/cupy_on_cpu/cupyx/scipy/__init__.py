"""``cupyx.scipy``: special functions and some linear algebra, by SciPy."""

from typing import Any

import cupy as _cupy


def get_array_module(*args: Any) -> Any:
    """``cupyx.scipy`` where one of ``args`` is CuPy's array, else ``scipy``."""
    import sys

    import scipy

    return sys.modules[__name__] if any(isinstance(a, _cupy.ndarray) for a in args) else scipy
