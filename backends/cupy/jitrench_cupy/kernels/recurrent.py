"""Recurrent layers: a product by cuBLAS and one launch for each time step; the gradient of the weight is one product over all steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cupy as cp

from ..cuda import NULL, each, function
from .rows import alike

Sizes = tuple[int, ...] | None


def _walk(shape: Any, sizes: Sizes, reverse: bool) -> list[tuple[int, int, int, int]]:
    """For each step (t, n, s, m): n sequences run at t; of them the first m come from step s, the others begin."""
    every = list(enumerate(sizes or (shape[1],) * shape[0]))
    found, s, m = [], 0, 0
    for t, n in reversed(every) if reverse else every:
        found.append((t, n, s, min(m, n)))
        s, m = t, n
    return found


def _fits(gates: int, x: Any, weight: Any, states: Any, sizes: Sizes, bias: Any = None) -> bool:
    """Whether shapes and dtypes are what the kernels take."""
    if not alike(x, weight, bias, *states) or x.ndim != 3 or weight.ndim != 2:
        return False
    time, rows, width = x.shape
    w = weight.shape[1]
    right = width == gates * w == weight.shape[0] and all(h.shape == (rows, w) for h in states)
    whole = sizes is None or (
        len(sizes) == time and list(sizes) == sorted(sizes, reverse=True) and 0 <= sizes[-1] <= sizes[0] <= rows
    )
    return right and whole and (bias is None or bias.shape == (width,))


def _room(shape: Any, like: Any, sizes: Sizes) -> Any:
    """An array for results; of zeros where a step does not write all rows."""
    return cp.empty(shape, like.dtype) if sizes is None else cp.zeros(shape, like.dtype)


def _weight_grad(zs: Any, y: Any, h: Any, sizes: Sizes, reverse: bool) -> Any:
    """Of all steps by one product with the states that they start from; where none runs, any, because its z is 0."""
    before = cp.empty_like(y)
    if reverse:
        before[:-1], before[-1] = y[1:], h
    else:
        before[1:], before[0] = y[:-1], h
    for t, n, _, m in _walk(y.shape, sizes, reverse) if sizes is not None else ():
        if m < n:
            before[t, m:n] = h[m:n]
    return zs.reshape(-1, zs.shape[-1]).T @ before.reshape(-1, before.shape[-1])


def _whole(*arrays: Any) -> Iterator[Any]:
    return (cp.ascontiguousarray(a) for a in arrays)


def _copies(*arrays: Any) -> Iterator[Any]:
    """In order, and to be written."""
    return (cp.array(a, order="C") for a in arrays)


def rnn_layer(
    x: Any, h: Any, weight: Any, /, *, activation: str = "tanh", sizes: Sizes = None, reverse: bool = False
) -> Any:
    """The op ``rnn_layer``."""
    if not _fits(1, x, weight, (h,), sizes) or activation not in ("tanh", "relu"):
        return NotImplemented
    (x,), (h,), y = _whole(x), _copies(h), _room(x.shape, x, sizes)
    kernel, (_, rows, w) = function("recurrent", "rnn_step", x.dtype), x.shape
    for t, n, _, _ in _walk(x.shape, sizes, reverse):
        each(kernel, n * w, x, h[:n] @ weight.T, h, y, t, n, rows, w, activation == "relu")
    return y, h


def rnn_layer_grad(
    gy: Any,
    gh: Any,
    h: Any,
    weight: Any,
    y: Any,
    /,
    *,
    activation: str = "tanh",
    sizes: Sizes = None,
    reverse: bool = False,
) -> Any:
    """The op ``rnn_layer_grad``."""
    if not _fits(1, gy, weight, (gh, h), sizes) or not alike(gy, y) or y.shape != gy.shape:
        return NotImplemented
    (gy, y), (gh,), zs = _whole(gy, y), _copies(gh), _room(gy.shape, gy, sizes)
    kernel, (_, rows, w) = function("recurrent", "rnn_step_grad", gy.dtype), gy.shape
    for t, n, _, _ in reversed(_walk(gy.shape, sizes, reverse)):
        each(kernel, n * w, gy, gh, y, zs, t, n, rows, w, activation == "relu")
        gh[:n] = zs[t, :n] @ weight
    return zs, gh, _weight_grad(zs, y, h, sizes, reverse)


def lstm_layer(x: Any, h: Any, c: Any, weight: Any, /, *, sizes: Sizes = None, reverse: bool = False) -> Any:
    """The op ``lstm_layer``."""
    if not _fits(4, x, weight, (h, c), sizes):
        return NotImplemented
    (time, rows, _), w = x.shape, h.shape[1]
    y, steps = _room((time, rows, w), x, sizes), _room((time, 5, rows, w), x, sizes)
    (x,), (h, c) = _whole(x), _copies(h, c)
    kernel = function("recurrent", "lstm_step", x.dtype)
    for t, n, _, _ in _walk(x.shape, sizes, reverse):
        each(kernel, n * w, x, h[:n] @ weight.T, h, c, y, steps, t, n, rows, w)
    return (y, h, c), steps


def lstm_layer_grad(
    gy: Any,
    gh: Any,
    gc: Any,
    h: Any,
    c: Any,
    weight: Any,
    y: Any,
    steps: Any,
    /,
    *,
    sizes: Sizes = None,
    reverse: bool = False,
) -> Any:
    """The op ``lstm_layer_grad``."""
    time, rows, w = gy.shape
    wide = (time, rows, 4 * w)
    there = alike(gy, gh, gc, h, c, weight, y, steps) and y.shape == gy.shape and steps.shape == (time, 5, rows, w)
    if not there or weight.shape != (4 * w, w) or any(a.shape != (rows, w) for a in (gh, gc, h, c)):
        return NotImplemented
    (gy, c, y, steps), (gh, gc), zs = _whole(gy, c, y, steps), _copies(gh, gc), _room(wide, gy, sizes)
    kernel = function("recurrent", "lstm_step_grad", gy.dtype)
    for t, n, s, m in reversed(_walk(gy.shape, sizes, reverse)):
        each(kernel, n * w, gy, gh, gc, c, steps, zs, t, n, s, m, rows, w)
        gh[:n] = zs[t, :n] @ weight
    return zs, gh, gc, _weight_grad(zs, y, h, sizes, reverse)


def gru_layer(x: Any, h: Any, weight: Any, bias: Any = None, /, *, sizes: Sizes = None, reverse: bool = False) -> Any:
    """The op ``gru_layer``."""
    if not _fits(3, x, weight, (h,), sizes, bias):
        return NotImplemented
    (time, rows, _), w = x.shape, h.shape[1]
    y, steps = _room((time, rows, w), x, sizes), _room((time, 4, rows, w), x, sizes)
    (x,), (h,) = _whole(x), _copies(h)
    added = NULL if bias is None else cp.ascontiguousarray(bias)
    kernel = function("recurrent", "gru_step", x.dtype)
    for t, n, _, _ in _walk(x.shape, sizes, reverse):
        each(kernel, n * w, x, h[:n] @ weight.T, added, h, y, steps, t, n, rows, w)
    return (y, h), steps


def gru_layer_grad(
    gy: Any, gh: Any, h: Any, weight: Any, y: Any, steps: Any, /, *, sizes: Sizes = None, reverse: bool = False
) -> Any:
    """The op ``gru_layer_grad``."""
    time, rows, w = gy.shape
    there = alike(gy, gh, h, weight, y, steps) and y.shape == gy.shape and steps.shape == (time, 4, rows, w)
    if not there or weight.shape != (3 * w, w) or any(a.shape != (rows, w) for a in (gh, h)):
        return NotImplemented
    (gy, h, y, steps), (gh,) = _whole(gy, h, y, steps), _copies(gh)
    xs, hs = (_room((time, rows, 3 * w), gy, sizes) for _ in range(2))
    kernel = function("recurrent", "gru_step_grad", gy.dtype)
    for t, n, s, m in reversed(_walk(gy.shape, sizes, reverse)):
        each(kernel, n * w, gy, gh, h, y, steps, xs, hs, t, n, s, m, rows, w)
        gh[:n] += hs[t, :n] @ weight
    return xs, gh, _weight_grad(hs, y, h, sizes, reverse), hs.sum(axis=(0, 1))
