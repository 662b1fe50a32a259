"""``cupy.linalg`` by NumPy's, but for two of CuPy's manners.

What cuSOLVER reports is read within ``cupyx.errstate(linalg="raise")`` alone, and the leading axes of ``solve`` do not broadcast.
"""

import inspect
import sys
from typing import Any

import numpy as _np

from .. import _Module, _public, _state


def _one_by_one(name: str) -> Any:
    """NumPy's function, with NaN for each matrix that it fails on, unless errors are to be raised."""
    host = getattr(_np.linalg, name)

    def of_stack(a: Any, *others: Any, **named: Any) -> Any:
        try:
            return host(a, *others, **named)
        except _np.linalg.LinAlgError:
            if _state.linalg_errors == "raise" or a.ndim < 2 or a.shape[-1] != a.shape[-2]:
                raise
        if a.ndim > 2:
            each = [of_stack(m, *(o[i] for o in others), **named) for i, m in enumerate(a)]
            return tuple(map(_np.stack, zip(*each, strict=True))) if isinstance(each[0], tuple) else _np.stack(each)
        made = host(_np.eye(len(a), dtype=a.dtype), *others, **named)
        return tuple(m * _np.nan for m in made) if isinstance(made, tuple) else made * _np.nan

    of_stack.__signature__ = inspect.signature(host)  # type: ignore[attr-defined]
    return of_stack


class _Host:
    """NumPy's module, with those of its functions that CuPy has otherwise."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_np.linalg, name)

    cholesky, inv, svd, eigh, eigvalsh, eig, eigvals = (
        staticmethod(_one_by_one(n)) for n in ("cholesky", "inv", "svd", "eigh", "eigvalsh", "eig", "eigvals")
    )

    @staticmethod
    def solve(a: Any, b: Any) -> Any:
        if b.ndim == 0:
            raise ValueError("b must have at least one dimension")
        if b.ndim == 1:
            b = _np.broadcast_to(b, a.shape[:-1])[..., None]
            return _one_by_one("solve")(a, b)[..., 0]
        if a.shape[:-1] != b.shape[:-1]:
            raise ValueError("a must have (..., M, M) shape and b must have (..., M, K) for multidimensional b")
        return _one_by_one("solve")(a, b)


globals().update(_public("cupy.linalg", _Host(), {}, (_np,)))
sys.modules[__name__].__class__ = _Module
__all__ = sorted(_name for _name in _public("cupy.linalg", _np.linalg, {}, (_np,)))
