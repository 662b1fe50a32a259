"""Layer normalisation for NumPy: row by row over the last axes, in few passes.

A pass that broadcasts a column takes twice as long as one of equal shapes (8 us and 4 of (64, 512) float32), so what differs from
row to row comes from matrix products of two columns with two rows, 4 us each.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import jitrench_core as jt

from ..ops import normalization as ops

_forward: Any = ops.layer_norm.op.forward
_forward_grad: Any = ops.layer_norm_grad.op.forward
FAR = 4.0  # so many standard deviations from 0 a mean may lie, and what is computed without subtracting it loses one digit


def _row(x: Any, axis: Any, *parameters: Any) -> tuple[int, ...] | None:
    """The shape of what is normalised, where it is x's last axes and the shape of each parameter; else None."""
    axes = axis if type(axis) is tuple else (axis,)
    kept = x.ndim - len(axes)
    shape: tuple[int, ...] = x.shape[kept:]
    fits = sorted(a % x.ndim for a in axes) == list(range(kept, x.ndim)) if x.ndim else False
    fits = fits and all(p is None or (p.shape == shape and p.dtype == x.dtype) for p in parameters)
    return shape if fits and x.size and x.dtype in (np.float32, np.float64) else None


def layer_norm(x: Any, weight: Any = None, bias: Any = None, /, *, axis: Any = -1, eps: float = 1e-5) -> Any:
    """The op ``layer_norm``."""
    shape = _row(x, axis, weight, bias)
    if shape is None:
        return _forward(np, x, weight, bias, axis=axis, eps=eps)
    n = math.prod(shape)
    rows = x.reshape(-1, n)
    m = len(rows)
    mean = rows @ np.full(n, 1 / n, x.dtype)
    var = np.vecdot(rows, rows)
    var /= n
    square = mean * mean
    var -= square
    if not (square <= FAR * FAR * var).all():
        return _forward(np, x, weight, bias, axis=axis, eps=eps)
    var += eps
    rstd = 1 / np.sqrt(var)
    left, right = np.zeros((2, m, 2), x.dtype), np.empty((2, n), x.dtype)
    left[0, :, 0] = rstd
    left[1, :, 0] = mean * -rstd
    left[1, :, 1] = 1
    right[0] = 1 if weight is None else weight.reshape(-1)
    right[1] = 0 if bias is None else bias.reshape(-1)
    scale, shift = (left.reshape(-1, 2) @ right).reshape(2, m, n)
    y = rows * scale
    y += shift
    kept = (*x.shape[: x.ndim - len(shape)], *(1,) * len(shape))
    return y.reshape(x.shape), mean.reshape(kept), rstd.reshape(kept)


def layer_norm_grad(v: Any, x: Any, mean: Any, rstd: Any, weight: Any = None, /, *, axis: Any = -1) -> Any:
    """The op ``layer_norm_grad``."""
    shape = _row(x, axis, weight)
    offset = mean * rstd
    if shape is None or v.dtype != x.dtype or not (np.abs(offset) <= FAR).all():
        arrays = (a if a is None else jt.asarray(a) for a in (v, x, mean, rstd, weight))
        return tuple(y.data for y in _forward_grad(*arrays, axis=axis))
    n = math.prod(shape)
    rows, v, mean, rstd = x.reshape(-1, n), v.reshape(-1, n), mean.reshape(-1), rstd.reshape(-1)
    w = np.ones(n, x.dtype) if weight is None else weight.reshape(-1)
    product = v * rows
    both = np.ones((2, len(rows)), x.dtype)
    both[0] = offset.reshape(-1)
    sums = both @ v
    weight_grad = rstd @ product
    weight_grad -= sums[0]
    # rstd * (h - mean(h) - normalized * mean(h * normalized)) is h * rstd - rows * slope + level
    h_sum = v @ w
    share = rstd / n
    slope = (product @ w - mean * h_sum) * (rstd * rstd * share)
    level = slope * mean - h_sum * share
    left, right = np.zeros((len(rows), 2), x.dtype), np.zeros((2, n), x.dtype)
    left[:, 0], right[0] = rstd, w
    x_grad = left @ right
    x_grad *= v
    np.multiply(rows, slope[:, None], out=product)
    product -= level[:, None]
    x_grad -= product
    if weight is None:
        return x_grad.reshape(x.shape), weight_grad.sum(), sums[1].sum()
    return x_grad.reshape(x.shape), weight_grad.reshape(shape), sums[1].reshape(shape)
