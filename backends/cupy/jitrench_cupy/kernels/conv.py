"""Convolution: x as columns, times the kernel, by cuBLAS; directly where each group has one channel of the result.

Both derivatives are convolutions, too: so these are all kernels that convolution needs.
"""

from __future__ import annotations

import math
from typing import Any

import cupy as cp

from ..cuda import each, function
from .rows import alike
from .windows import numbers, out, places, slides

BYTES = 2**28  # of columns at a time
FEW = 256  # products for an element, up to which a thread adds them up itself


def convolution(
    x: Any, weight: Any, /, *, stride: Any, padding: Any, dilation: Any, x_dilation: Any, groups: int = 1
) -> Any:
    """The op ``convolution``."""
    (n, c, *lengths), (o, inner, *kernel) = x.shape, weight.shape
    axes = slides(lengths, kernel, stride, padding, dilation, x_dilation)
    if (
        len(axes) > 3
        or not alike(x, weight)
        or not weight.size
        or c != inner * groups
        or o % groups
        or not places(axes)
    ):
        return NotImplemented
    x, weight = cp.ascontiguousarray(x), cp.ascontiguousarray(weight)
    window, outer, many = math.prod(kernel), o // groups, places(axes)
    if outer == 1 and inner * window <= FEW:
        y = cp.empty((n, o, *out(axes)), x.dtype)
        args = (n, groups, inner, outer, *numbers(axes))
        each(function("windows", "direct", x.dtype), y.size, x, weight, y, *args)
        return y
    matrix = weight.reshape(groups, outer, inner * window)
    if all(axis[:1] == axis[-1:] and axis[1:-1] == (1, 1, 0, 1, 1) for axis in axes):  # x is its columns
        return cp.matmul(matrix, x.reshape(n, groups, inner, many)).reshape(n, o, *out(axes))
    step = max(BYTES // (c * window * many * x.itemsize), 1)
    parts = [_product(matrix, x[i : i + step], groups, axes) for i in range(0, n, step)]
    y = parts[0] if len(parts) == 1 else cp.concatenate(parts)
    return y.reshape(n, o, *out(axes))


def _product(matrix: Any, x: Any, groups: int, axes: list[Any]) -> Any:
    n, c = x.shape[:2]
    columns = cp.empty((n, groups, matrix.shape[2], places(axes)), x.dtype)
    each(function("windows", "columns", x.dtype), columns.size, x, columns, n * c, *numbers(axes))
    return cp.matmul(matrix, columns)
