"""Layer normalisation: one launch forward, one back for x, and one for a weight and a bias that have an element for each column.

``batch_norm`` and ``instance_norm`` are layer normalisations, too, whose weight has an element for each row.
"""

from __future__ import annotations

from typing import Any

import cupy as cp
import numpy as np

from ..cuda import NULL, by_row, function
from .rows import Rows, alike, one_for_each

HEIGHT = 64  # rows that a thread adds up; what they make, CuPy does
MOST = 1024  # such groups of rows


class _Parameter:
    """A weight or a bias: ``data`` has an element for each row (``by_row``), or for each column; ``fits`` where it does neither."""

    def __init__(self, p: Any, x: Any, rows: Rows) -> None:
        self.data, self.by_row, self.fits = NULL, True, True
        if p is None:
            return
        aligned = p.reshape((1,) * (x.ndim - p.ndim) + p.shape) if p.ndim <= x.ndim else None
        shape = () if aligned is None else tuple(aligned.shape[a] for a in rows.order)
        kept, over = shape[: rows.kept], shape[rows.kept :]
        if aligned is None:
            self.fits = False
        elif all(n == 1 for n in over) and all(n in (1, m) for n, m in zip(kept, rows.shape, strict=False)):
            there = (*rows.shape[: rows.kept], *over)
            self.data = cp.ascontiguousarray(cp.broadcast_to(aligned.transpose(rows.order), there))
        elif all(n == 1 for n in kept) and over == rows.shape[rows.kept :]:
            self.data, self.by_row = cp.ascontiguousarray(aligned.transpose(rows.order)), False
        else:
            self.fits = False


def layer_norm(x: Any, weight: Any = None, bias: Any = None, /, *, axis: Any = -1, eps: float = 1e-5) -> Any:
    """The op ``layer_norm``."""
    rows = Rows(x, axis) if alike(x, weight, bias) and one_for_each(x, axis) else None
    w, b = (None if rows is None else _Parameter(p, x, rows) for p in (weight, bias))
    if rows is None or w is None or b is None or not (w.fits and b.fits):
        return NotImplemented
    y = cp.empty_like(rows.matrix)
    mean, rstd = cp.empty((2, rows.rows), x.dtype)
    by_row(
        function("rows", "layer_norm", x.dtype), rows.rows, rows.n,
        rows.matrix, w.data, b.data, y, mean, rstd, rows.rows, rows.n, float(eps), w.by_row, b.by_row,
    )  # fmt: skip
    return rows.back(y), rows.column(mean), rows.column(rstd)


def layer_norm_grad(v: Any, x: Any, mean: Any, rstd: Any, weight: Any = None, /, *, axis: Any = -1) -> Any:
    """The op ``layer_norm_grad``."""
    same = alike(x, v, mean, rstd, weight) and v.shape == x.shape and one_for_each(x, axis)
    rows = Rows(x, axis) if same else None
    w = None if rows is None else _Parameter(weight, x, rows)
    if rows is None or w is None or not w.fits or not mean.size == rstd.size == rows.rows:
        return NotImplemented
    wide = np.dtype("float32" if x.itemsize < 4 else x.dtype)
    v, x_grad = rows.of(v), cp.empty_like(rows.matrix)
    mean, rstd = (cp.ascontiguousarray(a.transpose(rows.order)) for a in (mean, rstd))
    sums = cp.empty((2, rows.rows), wide)
    by_row(
        function("rows", "layer_norm_grad", x.dtype, wide), rows.rows, rows.n,
        v, rows.matrix, mean, rstd, w.data, x_grad, sums, rows.rows, rows.n, w.by_row,
    )  # fmt: skip
    if weight is None:
        found = [s.sum() for s in sums]
    elif w.by_row:
        found = [_sum_to(rows.column(s), weight.shape) for s in sums]
    else:
        found = [rows_of_one(rows, s).reshape(weight.shape) for s in _columns(rows, v, mean, rstd, wide)]
    return rows.back(x_grad), *(s.astype(x.dtype, copy=False) for s in found)


def _columns(rows: Rows, v: Any, mean: Any, rstd: Any, wide: Any) -> Any:
    """Of each column the sums of v * normalized and of v."""
    height = max(HEIGHT, -(-rows.rows // MOST))
    groups = -(-rows.rows // height)
    sums = cp.empty((2, groups, rows.n), wide)
    kernel = function("rows", "layer_norm_columns", v.dtype, wide)
    args = (v, rows.matrix, mean, rstd, sums, np.int64(rows.rows), np.int64(rows.n), np.int64(height))
    kernel((min(-(-rows.n // 128), 2**20), groups), (128,), args)
    return sums[:, 0] if groups == 1 else sums.sum(axis=1)


def rows_of_one(rows: Rows, sums: Any) -> Any:
    """An array (n,) in x's shape, with axes of length 1 in place of the rows."""
    ones = (1,) * rows.kept
    return sums.reshape(*ones, *rows.shape[rows.kept :]).transpose(np.argsort(rows.order).tolist())


def _sum_to(x: Any, shape: Any) -> Any:
    lead = x.ndim - len(shape)
    axes = tuple(i for i in range(x.ndim) if i < lead or shape[i - lead] == 1)
    return x.sum(axis=axes).reshape(shape)
