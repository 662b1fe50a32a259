"""How a window slides along an axis: the arithmetic that convolution, pooling, ``unfold`` and ``fold`` share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from numbers import Integral
from typing import Any, NamedTuple

import jitrench_core as jt

Slices = tuple[slice, ...]


class Axis(NamedTuple):
    """One axis: element k of the window's p-th position lies on element i of x where

        p * stride + k * dilation == i * spread + low

    for 0 <= p < out, 0 <= k < kernel and 0 <= i < length; elsewhere it lies on padding. ``spread`` - 1 zeros stand between
    neighbours of x, ``low`` before the first and ``high`` behind the last; negative ones cut off.
    """

    length: int
    kernel: int
    stride: int
    low: int
    high: int
    dilation: int
    spread: int = 1

    @property
    def reach(self) -> int:
        """The length that the window covers."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def padded(self) -> int:
        """The length of x with its padding."""
        return max(self.length - 1, -1) * self.spread + 1 + self.low + self.high

    @property
    def out(self) -> int:
        """How many positions the window has."""
        return max((self.padded - self.reach) // self.stride + 1, 0)

    def at_kernel(self, k: int) -> tuple[slice, slice] | None:
        """The positions p, and their elements i, for element k of the window; None where all are padding."""
        return _meet(self.out, self.stride, k * self.dilation - self.low, self.length, self.spread)

    def at_position(self, p: int) -> tuple[slice, slice] | None:
        """The elements k of the window, and the elements i, for its position p."""
        return _meet(self.kernel, self.dilation, p * self.stride - self.low, self.length, self.spread)


def _meet(n: int, step: int, offset: int, length: int, spread: int) -> tuple[slice, slice] | None:
    """All a in range(n) and b in range(length) with ``a * step + offset == b * spread``, as two slices."""
    common = math.gcd(step, spread)
    if offset % common:
        return None
    da, db = spread // common, step // common
    a = -offset // common * pow(db, -1, da) % da
    b = (a * step + offset) // spread
    skip = max(-(b // db), 0)
    a, b = a + skip * da, b + skip * db
    count = min((n - 1 - a) // da, (length - 1 - b) // db) + 1
    if count <= 0:
        return None
    return slice(a, a + (count - 1) * da + 1, da), slice(b, b + (count - 1) * db + 1, db)


def slides(axes: Sequence[Axis]) -> Iterator[tuple[tuple[int, ...], Slices, Slices]]:
    """For each element of the window, in row-major order: its index, its positions, and the elements of x under it."""
    yield from _slides([range(a.kernel) for a in axes], [a.at_kernel for a in axes])


def positions(axes: Sequence[Axis]) -> Iterator[tuple[tuple[int, ...], Slices, Slices]]:
    """For each position of the window: its index, the window's elements, and the elements of x under them."""
    yield from _slides([range(a.out) for a in axes], [a.at_position for a in axes])


def _slides(ranges: list[range], meet: list[Any]) -> Iterator[tuple[tuple[int, ...], Slices, Slices]]:
    met = [[f(i) for i in r] for f, r in zip(meet, ranges, strict=True)]
    for index in product(*ranges):
        pairs = [row[i] for row, i in zip(met, index, strict=True)]
        if None not in pairs:
            yield index, tuple(a for a, _ in pairs), tuple(b for _, b in pairs)


def lengths(who: str, name: str, value: Any, n: int, least: int = 1) -> tuple[int, ...]:
    """An attribute that is an int, or one int per axis, as a tuple; ``ShapeError`` where it is not."""
    many = tuple(value) if isinstance(value, (tuple, list)) else (value,) * n
    if len(many) != n or any(isinstance(v, bool) or not isinstance(v, Integral) or v < least for v in many):
        raise jt.ShapeError(
            f"{who}(): {name} must be an int from {least}, or a tuple of {n} of them, one per axis; got {value!r}"
        )
    return tuple(map(int, many))


def pairs(who: str, padding: Any, n: int) -> tuple[tuple[int, int], ...]:
    """Padding as (before, behind) per axis, of one int, an int per axis, or a pair per axis."""
    if isinstance(padding, (tuple, list)) and padding and all(isinstance(p, (tuple, list)) for p in padding):
        found = tuple(tuple(p) for p in padding)
        if len(found) != n or any(len(p) != 2 or not all(isinstance(v, int) for v in p) for p in found):
            raise jt.ShapeError(
                f"{who}(): padding must hold a pair (before, behind) for each of {n} axes; got {padding!r}"
            )
        return found  # type: ignore[return-value]
    return tuple((p, p) for p in lengths(who, "padding", padding, n, 0))


def check_fit(who: str, axes: Sequence[Axis], x_shape: tuple[int, ...]) -> None:
    """``ShapeError`` where the window has no position."""
    if any(a.out < 1 for a in axes):
        raise jt.ShapeError(
            f"{who}(): the window is larger than x: it covers {tuple(a.reach for a in axes)} (kernel "
            f"{tuple(a.kernel for a in axes)}, dilation {tuple(a.dilation for a in axes)}), and x of shape {x_shape} has, with "
            f"its padding, {tuple(a.padded for a in axes)}"
        )
