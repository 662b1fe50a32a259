"""Softmax and its kin, a launch each."""

from __future__ import annotations

from typing import Any

import cupy as cp

from ..cuda import by_row, function
from .rows import Rows, alike, generic, one_for_each


def _of_none(name: str, x: Any, axis: Any) -> Any:
    """The op's own forward; of no dimension as of one, since CuPy's sums take no axis -1 there."""
    return generic(name, x.reshape(1), axis=0).reshape(()) if x.ndim == 0 and axis in (-1, 0) else NotImplemented


def softmax(x: Any, /, *, axis: Any = -1) -> Any:
    """The op ``softmax``."""
    if not (alike(x) and one_for_each(x, axis)):
        return _of_none("softmax", x, axis)
    rows = Rows(x, axis)
    y = cp.empty_like(rows.matrix)
    by_row(function("rows", "softmax", x.dtype), rows.rows, rows.n, rows.matrix, y, rows.rows, rows.n, 0)
    return rows.back(y)


def log_softmax(x: Any, /, *, axis: Any = -1) -> Any:
    """The op ``log_softmax``."""
    if not (alike(x) and one_for_each(x, axis)):
        return _of_none("log_softmax", x, axis)
    rows = Rows(x, axis)
    y = cp.empty_like(rows.matrix)
    by_row(function("rows", "log_softmax", x.dtype), rows.rows, rows.n, rows.matrix, y, rows.rows, rows.n)
    return rows.back(y)


def logsumexp(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The op ``logsumexp``."""
    over = tuple(range(x.ndim)) if axis is None else axis
    if not (alike(x) and one_for_each(x, over)):
        return NotImplemented
    rows = Rows(x, over)
    y = cp.empty(rows.rows, x.dtype)
    by_row(function("rows", "logsumexp", x.dtype), rows.rows, rows.n, rows.matrix, y, rows.rows, rows.n)
    return rows.column(y) if keepdims else y.reshape(rows.shape[: rows.kept])
