"""``unfold`` and ``fold``, a launch each."""

from __future__ import annotations

import math
from typing import Any

import cupy as cp

from ..cuda import each, function
from .rows import alike
from .windows import numbers, places, slides


def _many(value: Any, n: int) -> Any:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * n


def _axes(lengths: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> list[Any]:
    """How the window slides; empty where an attribute is not what it should be, or the window does not fit."""
    n = len(lengths)
    kernel, stride, dilation, padding = (_many(v, n) for v in (kernel_size, stride, dilation, padding))
    around = [p if isinstance(p, (tuple, list)) else (p, p) for p in padding]
    each_int = [*kernel, *stride, *dilation, *(v for p in around for v in p)]
    right = all(len(v) == n for v in (kernel, stride, dilation, around)) and all(type(v) is int for v in each_int)
    if (
        not right
        or not 0 < n < 4
        or min(*kernel, *stride, *dilation) < 1
        or any(len(p) != 2 or min(p) < 0 for p in around)
    ):
        return []
    axes = slides(lengths, kernel, stride, around, dilation)
    return axes if places(axes) else []


def unfold(x: Any, /, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The op ``unfold``."""
    given = (kernel_size, dilation, padding, stride)
    n = max((len(a) for a in given if isinstance(a, (tuple, list))), default=2)
    axes = _axes(x.shape[-n:], *given) if alike(x) and x.ndim > n else []
    if not axes:
        return NotImplemented
    planes, window = math.prod(x.shape[:-n]), math.prod(axis[1] for axis in axes)
    y = cp.empty((*x.shape[: -n - 1], x.shape[-n - 1] * window, places(axes)), x.dtype)
    each(function("windows", "columns", x.dtype), y.size, cp.ascontiguousarray(x), y, planes, *numbers(axes))
    return y


def fold(x: Any, /, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The op ``fold``."""
    sized = isinstance(output_size, (tuple, list)) and all(type(v) is int and v > 0 for v in output_size)
    axes = (
        _axes(tuple(output_size), kernel_size, dilation, padding, stride) if sized and alike(x) and x.ndim > 1 else []
    )
    window = math.prod(axis[1] for axis in axes)
    if not axes or x.shape[-1] != places(axes) or x.shape[-2] % window:
        return NotImplemented
    y = cp.empty((*x.shape[:-2], x.shape[-2] // window, *output_size), x.dtype)
    planes = y.size // math.prod(output_size)
    each(function("windows", "folded", x.dtype), y.size, cp.ascontiguousarray(x), y, planes, *numbers(axes))
    return y
