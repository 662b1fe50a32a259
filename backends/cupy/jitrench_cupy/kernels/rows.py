"""An array as the rows of a matrix: the axes that a function runs along moved to the end, and back."""

from __future__ import annotations

import math
from typing import Any

import cupy as cp
import numpy as np

import jitrench_core as jt


def generic(name: str, *arrays: Any, **attrs: Any) -> Any:
    """What the op's own forward computes: for what a kernel here does not take, and for its errors."""
    op = jt.registry.ops[name].op
    if not op.composite:
        import array_api_compat.cupy as xp

        return op.bound_forward(xp)(*arrays, **attrs)
    made = op.forward(*(a if a is None else jt.asarray(a) for a in arrays), **attrs)
    return tuple(y.data for y in made) if op.outputs > 1 else made.data


def alike(x: Any, *others: Any) -> bool:
    """Whether x has real floating-point numbers, and some, and the others are None or have its dtype."""
    return x.dtype.kind == "f" and x.size > 0 and all(a is None or getattr(a, "dtype", None) == x.dtype for a in others)


class Rows:
    """x as ``matrix``, (rows, n) and contiguous, where n are the elements over ``axis``, an int or several."""

    def __init__(self, x: Any, axis: Any) -> None:
        over = [a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,))]
        self.order = (*(a for a in range(x.ndim) if a not in over), *over)
        self.shape = tuple(x.shape[a] for a in self.order)
        self.kept = x.ndim - len(over)
        self.n = math.prod(self.shape[self.kept :])
        self.rows = math.prod(self.shape[: self.kept])
        self.matrix = self.of(x)

    def of(self, x: Any) -> Any:
        """Another array of x's shape, in the same way."""
        return cp.ascontiguousarray(x.transpose(self.order)).reshape(self.rows, self.n)

    def back(self, matrix: Any) -> Any:
        """An array (rows, n) in x's shape."""
        return matrix.reshape(self.shape).transpose(np.argsort(self.order).tolist())

    def column(self, sums: Any) -> Any:
        """An array (rows,) in x's shape, with axes of length 1 in place of what was summed."""
        ones = (1,) * (len(self.shape) - self.kept)
        return sums.reshape(*self.shape[: self.kept], *ones).transpose(np.argsort(self.order).tolist())


def one_for_each(x: Any, axis: Any) -> bool:
    """Whether ``axis`` names axes of x, each once."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    whole = all(type(a) is int and -x.ndim <= a < x.ndim for a in axes)
    return whole and 0 < len({a % x.ndim for a in axes}) == len(axes)
