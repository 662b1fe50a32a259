"""How a window slides over up to three axes, as the numbers that windows.cu takes."""

from __future__ import annotations

import math
from typing import Any

ONE = (1, 1, 1, 0, 1, 1, 1)  # an axis that is not there


def slide(length: int, kernel: int, stride: int, around: Any, dilation: int, spread: int = 1) -> tuple[int, ...]:
    """length, kernel, stride, zeros before x, dilation, spread and how many positions there are."""
    low, high = around
    padded = max(length - 1, -1) * spread + 1 + low + high
    return length, kernel, stride, low, dilation, spread, max((padded - (kernel - 1) * dilation - 1) // stride + 1, 0)


def slides(lengths: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, spread: Any = None) -> list[Any]:
    """``slide`` for each axis."""
    spread = (1,) * len(lengths) if spread is None else spread
    return [slide(*one) for one in zip(lengths, kernel, stride, padding, dilation, spread, strict=True)]


def numbers(axes: list[Any]) -> tuple[int, ...]:
    """All numbers of the axes, three of them."""
    return tuple(v for axis in [ONE] * (3 - len(axes)) + axes for v in axis)


def out(axes: list[Any]) -> tuple[int, ...]:
    """How many positions there are along each axis."""
    return tuple(axis[-1] for axis in axes)


def places(axes: list[Any]) -> int:
    """How many positions there are."""
    return math.prod(out(axes))
