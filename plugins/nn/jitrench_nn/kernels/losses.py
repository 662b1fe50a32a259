"""Losses for NumPy. The cross entropy of classes makes no array of x's shape but the gradient itself, and one for exp."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops import losses as ops
from ..ops.checks import real

_mse_forward: Any = ops.mse_loss.op.forward
FEW = 4096  # elements whose squares a dot product adds up as exactly as pairwise sums do, in a third of the time


def mse_loss(x: Any, target: Any, /, *, reduction: str = "mean") -> Any:
    """The op ``mse_loss``."""
    if reduction == "mean" and type(x) is type(target) and x.shape == target.shape and 0 < x.size <= FEW:
        d = x - target
        if d.dtype.kind == "f" and d.dtype is x.dtype:
            return np.vdot(d, d) / d.dtype.type(d.size)
    return _mse_forward(np, x, target, reduction=reduction)


def log_softmax_at(x: Any, target: Any, /, *, axis: int = 1) -> Any:
    """The op ``log_softmax_at``."""
    real("log_softmax_at", x)
    top = np.maximum.reduce(x, axis=axis, keepdims=True)
    e = np.subtract(x, top, out=np.empty(x.shape, x.dtype))
    np.exp(e, out=e)
    normalizer = np.log(np.add.reduce(e, axis=axis, keepdims=True))
    normalizer += top
    picked = np.take_along_axis(x, np.expand_dims(target, axis), axis)
    y = np.squeeze(picked - normalizer, axis)
    return (y if y.ndim else y[()]), normalizer


def log_softmax_at_grad(v: Any, x: Any, target: Any, normalizer: Any, /, *, axis: int = 1) -> Any:
    """The op ``log_softmax_at_grad``."""
    v, target = np.expand_dims(v, axis), np.expand_dims(target, axis)
    y = np.subtract(x, normalizer, out=np.empty(x.shape, np.result_type(x, normalizer)))
    np.exp(y, out=y)
    y *= -v
    np.put_along_axis(y, target, np.take_along_axis(y, target, axis) + v, axis)
    return y
