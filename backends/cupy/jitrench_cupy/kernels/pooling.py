"""Max pooling: a thread for each window, and back one for each element, which looks for the windows that chose it."""

from __future__ import annotations

import math
from typing import Any

import cupy as cp
import numpy as np

from ..cuda import TYPES, each, function
from .windows import numbers, out, slides


def _fits(x: Any, axes: list[Any]) -> bool:
    return len(axes) < 4 and x.dtype.kind in "fiu" and x.dtype.char in TYPES


def max_pool(x: Any, /, *, kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """The op ``max_pool``."""
    n = len(kernel_size)
    axes = slides(x.shape[-n:], kernel_size, stride, padding, dilation)
    if not _fits(x, axes):
        return NotImplemented
    shape = (*x.shape[:-n], *out(axes))
    y, index = cp.empty(shape, x.dtype), cp.empty(shape, "int32")
    lowest = -math.inf if x.dtype.kind == "f" else float(np.iinfo(x.dtype).min)
    args = (lowest, math.prod(x.shape[:-n]), *numbers(axes))
    each(function("windows", "max_pool", x.dtype), y.size, cp.ascontiguousarray(x), y, index, *args)
    return y, index


def pool_scatter(
    x: Any, index: Any, /, *, lengths: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any
) -> Any:
    """The op ``pool_scatter``."""
    n = len(kernel_size)
    axes = slides(lengths, kernel_size, stride, padding, dilation)
    if not _fits(x, axes) or x.shape != index.shape:
        return NotImplemented
    y = cp.empty((*x.shape[:-n], *lengths), x.dtype)
    x, index = cp.ascontiguousarray(x), cp.ascontiguousarray(index)
    kernel = function("windows", "pool_scatter", x.dtype, index.dtype)
    each(kernel, y.size, x, index, y, math.prod(x.shape[:-n]), *numbers(axes))
    return y


def pool_gather(x: Any, index: Any, /, *, kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """The op ``pool_gather``."""
    n = len(kernel_size)
    axes = slides(x.shape[-n:], kernel_size, stride, padding, dilation)
    if not _fits(x, axes) or index.shape != (*x.shape[:-n], *out(axes)):
        return NotImplemented
    y = cp.empty(index.shape, x.dtype)
    x, index = cp.ascontiguousarray(x), cp.ascontiguousarray(index)
    kernel = function("windows", "pool_gather", x.dtype, index.dtype)
    each(kernel, y.size, x, index, y, math.prod(x.shape[:-n]), *numbers(axes))
    return y
