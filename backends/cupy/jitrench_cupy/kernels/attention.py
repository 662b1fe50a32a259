"""Attention without a mask of the caller's: products of matrices by cuBLAS, and between them one launch in place."""

from __future__ import annotations

import math
from typing import Any

import cupy as cp

from ..cuda import by_row, function
from .rows import alike


def _fits(q: Any, k: Any, v: Any) -> bool:
    return alike(q, k, v) and min(k.size, v.size) > 0 and q.ndim > 1 and q.shape[:-2] == k.shape[:-2] == v.shape[:-2]


def _size(q: Any, scale: float | None) -> Any:
    return q.dtype.type(1.0 / math.sqrt(q.shape[-1]) if scale is None else scale)


def _weights(q: Any, k: Any, is_causal: bool, size: Any) -> Any:
    e = cp.ascontiguousarray(cp.matmul(q * size, k.swapaxes(-1, -2)))
    queries, n = e.shape[-2:]
    rows = e.size // n
    by_row(function("rows", "softmax", e.dtype), rows, n, e, e, rows, n, queries if is_causal else 0)
    return e


def attention(q: Any, k: Any, v: Any, /, *, is_causal: bool = False, scale: float | None = None) -> Any:
    """The op ``attention``."""
    if not _fits(q, k, v):
        return NotImplemented
    return cp.matmul(_weights(q, k, is_causal, _size(q, scale)), v)


def attention_grad(u: Any, q: Any, k: Any, v: Any, /, *, is_causal: bool = False, scale: float | None = None) -> Any:
    """The op ``attention_grad``; the weights are computed again."""
    if not _fits(q, k, v) or u.dtype != q.dtype or u.shape != (*q.shape[:-1], v.shape[-1]):
        return NotImplemented
    size = _size(q, scale)
    w = _weights(q, k, is_causal, size)
    slope = cp.ascontiguousarray(cp.matmul(u, v.swapaxes(-1, -2)))
    n = w.shape[-1]
    rows = w.size // n
    by_row(function("rows", "softmax_grad", w.dtype), rows, n, w, slope, slope, rows, n, float(size))
    return cp.matmul(slope, k), cp.matmul(slope.swapaxes(-1, -2), q), cp.matmul(w.swapaxes(-1, -2), u)
