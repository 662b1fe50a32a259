"""A stand-in for ``cupyx``: see the package ``cupy`` beside it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cupy
import numpy as _np
from cupy import _Module, _state
from cupy._functions import ufunc as _ufunc
from cupy._state import DeviceSynchronized

rsqrt = _ufunc("rsqrt", _state.names("cupyx")["rsqrt"], lambda x: _np.reciprocal(_np.sqrt(x)), "cupyx")


def scatter_add(a: Any, slices: Any, value: Any) -> None:
    """Add ``value`` to ``a[slices]``, as often as an index is named."""
    a.scatter_add(slices, value)


def scatter_max(a: Any, slices: Any, value: Any) -> None:
    a.scatter_max(slices, value)


def scatter_min(a: Any, slices: Any, value: Any) -> None:
    a.scatter_min(slices, value)


@contextmanager
def allow_synchronize(allow: bool) -> Iterator[None]:
    """Within it a synchronisation raises ``DeviceSynchronized``, unless ``allow``."""
    warnings.warn("cupyx.allow_synchronize will be removed in future releases as it is not possible to", stacklevel=3)
    before, _state.allowed = _state.allowed, allow
    try:
        yield
    finally:
        _state.allowed = before


@contextmanager
def errstate(
    *, divide: Any = None, over: Any = None, under: Any = None, invalid: Any = None, linalg: Any = None
) -> Iterator[None]:
    """``linalg="raise"``: what solvers report becomes an error, for which they are waited for."""
    if (divide, over, under, invalid) != (None,) * 4 or linalg not in (None, "ignore", "raise"):
        raise NotImplementedError
    before, _state.linalg_errors = _state.linalg_errors, linalg or _state.linalg_errors
    try:
        yield
    finally:
        _state.linalg_errors = before


def empty_pinned(shape: Any, dtype: Any = float, order: str = "C") -> Any:
    return _np.empty(shape, dtype, order)  # type: ignore[call-overload]


def zeros_pinned(shape: Any, dtype: Any = float, order: str = "C") -> Any:
    return _np.zeros(shape, dtype, order)  # type: ignore[call-overload]


__version__ = cupy.__version__
assert DeviceSynchronized
sys.modules[__name__].__class__ = _Module
