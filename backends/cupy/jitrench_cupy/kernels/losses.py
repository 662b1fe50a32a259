"""The cross entropy of classes: one launch forward, one back, and no array of x's shape but the gradient."""

from __future__ import annotations

from typing import Any

import cupy as cp

from ..cuda import by_row, function
from .rows import Rows, alike, one_for_each


def _fits(x: Any, target: Any, axis: Any) -> bool:
    if not (alike(x) and one_for_each(x, axis)) or target.dtype.kind not in "iu":
        return False
    return bool(target.shape == x.shape[: axis % x.ndim] + x.shape[axis % x.ndim + 1 :])


def log_softmax_at(x: Any, target: Any, /, *, axis: int = 1) -> Any:
    """The op ``log_softmax_at``. A class that is not in [-n, n) gives NaN."""
    if not _fits(x, target, axis):
        return NotImplemented
    rows = Rows(x, axis)
    y, normalizer = cp.empty((2, rows.rows), x.dtype)
    kernel = function("rows", "log_softmax_at", x.dtype, target.dtype)
    by_row(kernel, rows.rows, rows.n, rows.matrix, cp.ascontiguousarray(target), y, normalizer, rows.rows, rows.n)
    return y.reshape(target.shape), rows.column(normalizer)


def log_softmax_at_grad(v: Any, x: Any, target: Any, normalizer: Any, /, *, axis: int = 1) -> Any:
    """The op ``log_softmax_at_grad``."""
    rows = Rows(x, axis) if _fits(x, target, axis) and alike(x, v, normalizer) and v.shape == target.shape else None
    if rows is None or normalizer.size != rows.rows:
        return NotImplemented
    y = cp.empty_like(rows.matrix)
    each_row = [cp.ascontiguousarray(a) for a in (v, target, normalizer)]
    kernel = function("rows", "log_softmax_at_grad", x.dtype, target.dtype)
    by_row(kernel, rows.rows, rows.n, each_row[0], rows.matrix, *each_row[1:], y, rows.rows, rows.n)
    return rows.back(y)
