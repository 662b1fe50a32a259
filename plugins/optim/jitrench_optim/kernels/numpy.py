"""Steps that write into the arrays they were given, block by block, so that what is between stays in the cache.

A step of Adam on 535,000 float32 parameters takes 0.9 ms on one thread of a machine that takes 0.12 for one ufunc over them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import import_module
from typing import Any, final


@final
class _Numpy:
    """NumPy, before it is asked for something; then it takes this one's place. To look it up in each call takes 0.4 us."""

    def __getattr__(self, name: str) -> Any:
        global np
        np = import_module("numpy")
        return getattr(np, name)


np: Any = _Numpy()

# Bytes of one array in a block: those of a step of Adam, and what is between, stay in 2 MB of level-2 cache. Half of it takes a sixth more
# time, twice as much the same.
BLOCK = 2**18
SMALL = 2**14

_local = threading.local()


def room(rows: int, length: int, dtype: Any) -> Any:
    """Scratch memory, which the thread keeps from step to step."""
    kept = getattr(_local, "kept", None)
    if kept is None:
        kept = _local.kept = {}
    found = kept.get((rows, dtype.char))
    if found is None or found.shape[1] < length:
        found = kept[rows, dtype.char] = np.empty((rows, length), dtype)
    return found


def blocks(grad: Any, arrays: Any, spare: int) -> Iterator[tuple[Any, ...]]:
    """Of the gradient and of arrays of its shape (None stays None), one block after the other, flat, and ``spare`` scratch arrays like it."""
    first = arrays[0]
    size, length, straight = first.size, BLOCK // first.itemsize, grad.flags.c_contiguous
    row = size // len(grad)
    if straight:
        grad = grad.reshape(-1)
    else:  # whole rows of it are put in order
        length = max(1, length // row) * row
    flat = [a if a is None else a.reshape(-1) for a in arrays]
    scratch = room(spare + (not straight), length, first.dtype) if spare or not straight else ()
    for start in range(0, size, length):
        stop = min(start + length, size)
        between = [a[: stop - start] for a in scratch]
        if straight:
            g = grad[start:stop]
        else:
            g = between.pop()
            g.reshape(-1, *grad.shape[1:])[...] = grad[start // row : stop // row]
        yield g, *[a if a is None else a[start:stop] for a in flat], *between


def run(step: Callable[..., None], numbers: Any, spare: int, grad: Any, *arrays: Any) -> None:
    """``step(numbers, g, *arrays, *scratch)`` on block after block; at once, without scratch, where there is little to do."""
    if arrays[0].nbytes <= SMALL:
        step(numbers, grad, *arrays)
    else:
        for block in blocks(grad, arrays, spare):
            step(numbers, *block)


def writable(donated: bool, *arrays: Any) -> tuple[Any, ...]:
    """The arrays themselves where they were donated and own their memory, whole and in order; else copies, of one dimension at least."""
    if donated:
        for a in arrays:
            if a is not None:
                flags = a.flags
                if not (flags.owndata and flags.carray and a.ndim):
                    break
        else:
            return arrays
    return tuple([a if a is None else np.array(a, order="C", ndmin=1) for a in arrays])


def finished(grad: Any, *arrays: Any) -> tuple[Any, ...]:
    """The results, as NumPy's scalars where the gradient has no dimension."""
    return arrays if grad.ndim else tuple([a.reshape(-1)[0] for a in arrays])


def downhill(g: Any, x: Any, weight_decay: Any, maximize: bool, t: Any, u: Any) -> Any:
    """The gradient, uphill or down, with weight decay: in ``u``, where it is not g itself."""
    if maximize:
        g = np.negative(g, u)
    if weight_decay is not None:
        g = np.add(g, np.multiply(x, weight_decay, t), u)
    return g


def square_of(x: Any) -> float:
    """The sum of squares, added up in float64 from block to block."""
    flat, length = x.reshape(-1), BLOCK // x.itemsize
    parts = (flat[start : start + length] for start in range(0, flat.size, length))
    return float(sum(map(squared, parts)))


def squared(x: Any) -> float:
    """The sum of squares of one block."""
    x = x.astype(for_sums(x), copy=False)
    return float(np.vdot(x, x))


def for_sums(x: Any) -> Any:
    """The dtype of sums of squares: float32 where x has float16, which ends at 65504."""
    return np.float32 if x.itemsize < 4 else x.dtype


# -- SGD --------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)  # they are the same for all parameters of a group
def arrays_of(dtype: str, *numbers: Any) -> tuple[Any, ...]:
    """Numbers as arrays of no dimension, which ufuncs take 0.15 us faster; None stays."""
    return tuple([x if x is None else np.array(x, dtype) for x in numbers])


def sgd_step(
    p: Any,
    grad: Any,
    lr: Any,
    velocity: Any = None,
    steps: Any = None,
    /,
    *,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
    donated: bool = False,
) -> tuple[Any, ...]:
    """The op ``sgd_step``."""
    p, velocity = writable(donated, p, velocity)
    share = 1.0 - dampening if steps else 1.0  # the first velocity is not dampened
    numbers = arrays_of(p.dtype.char, float(lr), momentum, None if share == 1.0 else share, weight_decay or None)
    if weight_decay or maximize or velocity is not None:
        run(_sgd, (numbers, nesterov, maximize), 2, grad, p, velocity)
    else:
        run(_plain, numbers[0], 1, grad, p)
    return finished(grad, p, grad if velocity is None else velocity, grad if steps is None else steps + 1.0)


def _plain(rate: Any, g: Any, x: Any, t: Any = None) -> None:
    np.subtract(x, np.multiply(g, rate, t), x)


def _sgd(numbers: Any, g: Any, x: Any, v: Any, t: Any = None, u: Any = None) -> None:
    (rate, momentum, share, weight_decay), nesterov, maximize = numbers
    g = downhill(g, x, weight_decay, maximize, t, u)
    if v is not None:
        np.multiply(v, momentum, v)
        np.add(v, g if share is None else np.multiply(g, share, t), v)
        g = np.add(g, np.multiply(v, momentum, t), t) if nesterov else v
    np.subtract(x, np.multiply(g, rate, t), x)


# -- Adam -------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def adam_numbers(
    dtype: str, rate: float, n: float, betas: tuple[float, float], eps: float, decay: float, shrinks: bool
) -> tuple[Any, ...]:
    """The numbers of step n, the same for all parameters of a group."""
    # sqrt(v / c) + eps is (sqrt(v) + eps * sqrt(c)) / sqrt(c): one pass less.
    root = (1 - betas[1] ** n) ** 0.5
    size, shrink = rate * root / (1 - betas[0] ** n), 1 - rate * decay if decay and shrinks else None
    numbers = (shrink, None if shrinks else decay or None, 1 - betas[0], betas[1], 1 - betas[1], eps * root, size)
    return tuple([x if x is None else np.array(x, dtype) for x in numbers])


def adam_step(
    p: Any,
    grad: Any,
    lr: Any,
    steps: Any,
    mean: Any,
    square: Any,
    largest: Any = None,
    /,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    decoupled_weight_decay: bool = False,
    maximize: bool = False,
    donated: bool = False,
) -> tuple[Any, ...]:
    """The op ``adam_step``."""
    p, mean, square, largest = writable(donated, p, mean, square, largest)
    steps = steps + 1.0
    numbers = adam_numbers(
        p.dtype.char, float(lr), float(steps), tuple(betas), eps, weight_decay, decoupled_weight_decay
    )
    run(_adam, (numbers, maximize), 2, grad, p, mean, square, largest)
    return finished(grad, p, steps, mean, square, grad if largest is None else largest)


def _adam(numbers: Any, g: Any, x: Any, m: Any, v: Any, top: Any, t: Any = None, u: Any = None) -> None:
    (shrink, weight_decay, rest1, beta2, rest2, eps, size), maximize = numbers
    g = downhill(g, x, weight_decay, maximize, t, u)
    if shrink is not None:
        np.multiply(x, shrink, x)
    t = np.subtract(g, m, t)
    np.multiply(t, rest1, t)
    np.add(m, t, m)
    np.multiply(g, g, t)
    np.multiply(t, rest2, t)
    np.multiply(v, beta2, v)
    np.add(v, t, v)
    np.sqrt(v if top is None else np.maximum(top, v, out=top), t)
    np.add(t, eps, t)
    np.divide(m, t, t)
    np.multiply(t, size, t)
    np.subtract(x, t, x)


# -- LAMB, which knows its step's length only when it has seen all of it: a second pass computes it again --------------


def lamb_step(
    p: Any,
    grad: Any,
    lr: Any,
    steps: Any,
    mean: Any,
    square: Any,
    /,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 1e-2,
    maximize: bool = False,
    donated: bool = False,
) -> tuple[Any, ...]:
    """The op ``lamb_step``."""
    p, mean, square = writable(donated, p, mean, square)
    steps = steps + 1.0
    n = float(steps)
    char = p.dtype.char
    averages = arrays_of(char, 1 - betas[0], betas[1], 1 - betas[1])
    numbers = arrays_of(char, 1 / (1 - betas[0] ** n), 1 / (1 - betas[1] ** n), eps, weight_decay or None)
    squares = [0.0, 0.0]  # of p and of its move, summed
    run(_lamb_averages, (averages, numbers, maximize, squares), 2, grad, p, mean, square)
    long, wide = squares[0] ** 0.5, squares[1] ** 0.5
    (rate,) = arrays_of(char, float(lr) * (long / wide if long > 0 and wide > 0 else 1.0))
    run(_lamb, (numbers, rate), 2, p, p, mean, square)
    return finished(grad, p, steps, mean, square)


def _lamb_averages(given: Any, g: Any, x: Any, m: Any, v: Any, t: Any = None, u: Any = None) -> None:
    (rest1, beta2, rest2), numbers, maximize, squares = given
    t = np.subtract(np.negative(g, t) if maximize else g, m, t)
    np.add(m, np.multiply(t, rest1, t), m)
    t = np.multiply(g, g, t)
    np.multiply(v, beta2, v)
    np.add(v, np.multiply(t, rest2, t), v)
    u = _lamb_moves(numbers, x, m, v, t, u)
    squares[0] += squared(x)
    squares[1] += squared(u)


def _lamb_moves(numbers: Any, x: Any, m: Any, v: Any, t: Any, u: Any) -> Any:
    share1, share2, eps, weight_decay = numbers
    t = np.add(np.sqrt(np.multiply(v, share2, t), t), eps, t)
    u = np.multiply(m, share1, u)
    np.divide(u, t, u)
    return u if weight_decay is None else np.add(u, np.multiply(x, weight_decay, t), u)


def _lamb(given: Any, g: Any, x: Any, m: Any, v: Any, t: Any = None, u: Any = None) -> None:
    numbers, rate = given
    u = _lamb_moves(numbers, x, m, v, t, u)
    np.subtract(x, np.multiply(u, rate, u), x)


# -- Adafactor, as LAMB; its matrices go in tiles ------------------------------------------------------------------------


def adafactor_step(
    p: Any,
    grad: Any,
    lr: Any,
    steps: Any,
    rows: Any = None,
    columns: Any = None,
    square: Any = None,
    /,
    *,
    beta2_decay: float = -0.8,
    eps: tuple[float | None, float] = (None, 1e-3),
    d: float = 1.0,
    weight_decay: float = 0.0,
    maximize: bool = False,
    donated: bool = False,
) -> tuple[Any, ...]:
    """The op ``adafactor_step``."""
    p, rows, columns, square = writable(donated, p, rows, columns, square)
    steps = steps + 1.0
    n, rate, dtype = float(steps), float(lr), p.dtype
    weight = dtype.type(n**beta2_decay)
    least = float(np.finfo(dtype).eps) if eps[0] is None else eps[0]
    size = max((square_of(p) / max(1, p.size)) ** 0.5, eps[1]) * min(rate, n**-0.5)
    shrink = 1 - rate * weight_decay if weight_decay else None
    squares = [0.0]  # of the moves, summed
    if square is None:
        scale = np.maximum(_adafactor_means(grad, rows, columns, weight), least)
        for g, _, t, r, c, s in _tiles(grad, p, rows, columns, scale):
            _adafactor_tile(g, t, r, c, s, least, squares)
    else:
        numbers = arrays_of(dtype.char, 1 - weight, weight, least * least)
        run(_adafactor_squares, (numbers, squares), 1, grad if grad.ndim else np.reshape(grad, 1), square)
    size = size / max((squares[0] / max(1, p.size)) ** 0.5 / d, 1.0) * (-1 if maximize else 1)
    if shrink is not None:
        np.multiply(p, dtype.type(shrink), p)
    size = dtype.type(size)
    if square is None:
        for g, x, t, r, c, s in _tiles(grad, p, rows, columns, scale):
            _adafactor_tile(g, t, r, c, s, least, None)
            np.subtract(x, np.multiply(t, size, t), x)
        return p, steps, rows, columns, grad
    run(_adafactor, (numbers[2], size), 1, grad, p, square)
    return finished(grad, p, steps, grad, grad, square)


def _tiles(grad: Any, p: Any, *parts: Any) -> Iterator[tuple[Any, ...]]:
    """Of each matrix of the gradient and of p one tile after the other, with scratch memory, and the parts of rows, columns and numbers."""
    high, wide = p.shape[-2:]
    if not p.size:
        return
    room_for = BLOCK // p.itemsize
    w = min(wide, room_for)
    h = min(high, max(1, room_for // w))
    scratch = room(1, max(h * w, room_for), p.dtype)[0]
    for k in np.ndindex(p.shape[:-2]):
        g, x, rows, columns, number = grad[k], p[k], parts[0][k], parts[1][k], parts[2][k]
        for i in range(0, high, h):
            for j in range(0, wide, w):
                tile = x[i : i + h, j : j + w]
                t = scratch[: tile.size].reshape(tile.shape)
                yield g[i : i + h, j : j + w], tile, t, rows[i : i + h], columns[:, j : j + w], number


def _adafactor_means(grad: Any, rows: Any, columns: Any, weight: Any) -> Any:
    """Move rows and columns on to the mean squares of the gradient; the mean of the rows."""
    high, wide = grad.shape[-2:]
    sums = for_sums(grad)
    of_row, of_column = (weight.dtype.type(weight / max(1, count)) for count in (wide, high))
    np.multiply(rows, 1 - weight, rows)
    np.multiply(columns, 1 - weight, columns)
    for g, _, t, r, c, _ in _tiles(grad, grad, rows, columns, rows):
        np.multiply(g, g, t)
        np.add(r, np.sum(t, axis=1, keepdims=True, dtype=sums) * of_row, r)
        np.add(c, np.sum(t, axis=0, keepdims=True, dtype=sums) * of_column, c)
    return (np.sum(rows, axis=-2, keepdims=True, dtype=sums) / max(1, high)).astype(rows.dtype, copy=False)


def _adafactor_tile(
    g: Any, t: Any, rows: Any, columns: Any, scale: Any, least: float, squares: list[float] | None
) -> None:
    """The gradient over its size, in ``t``."""
    np.multiply(rows / scale, columns, t)
    np.sqrt(np.maximum(t, least * least, out=t), t)
    np.divide(g, t, t)
    if squares is not None:
        squares[0] += squared(t)


def _adafactor_squares(given: Any, g: Any, v: Any, t: Any = None) -> None:
    (rest, weight, least), squares = given
    t = np.multiply(g, g, t)
    np.multiply(v, rest, v)
    np.add(v, np.multiply(t, weight, t), v)
    t = np.sqrt(np.maximum(v, least, out=t), t)
    t = np.divide(g, t, t)
    squares[0] += squared(t)


def _adafactor(given: Any, g: Any, x: Any, v: Any, t: Any = None) -> None:
    least, size = given
    t = np.sqrt(np.maximum(v, least, out=t), t)
    t = np.divide(g, t, t)
    np.subtract(x, np.multiply(t, size, t), x)


# -- Muon ---------------------------------------------------------------------------------------------------------------


def muon_step(
    p: Any,
    grad: Any,
    lr: Any,
    mean: Any,
    /,
    *,
    weight_decay: float = 0.1,
    momentum: float = 0.95,
    nesterov: bool = True,
    ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
    eps: float = 1e-7,
    ns_steps: int = 5,
    adjust_lr_fn: str | None = None,
    donated: bool = False,
) -> tuple[Any, ...]:
    """The op ``muon_step``: in three arrays no larger than p beside it and the mean."""
    p, mean = writable(donated, p, mean)
    rows, columns = p.shape
    q, g, m = (p.T, grad.T, mean.T) if rows > columns else (p, grad, mean)
    few = len(q)
    x, other, power = np.empty(q.shape, q.dtype), np.empty(q.shape, q.dtype), np.empty((few, few), q.dtype)
    np.multiply(g, 1 - momentum, other)
    np.multiply(m, momentum, m)
    np.add(m, other, m)
    if nesterov:
        np.add(np.multiply(m, momentum, x), other, x)
    else:
        x[...] = m
    norm = square_of(x) ** 0.5
    np.divide(x, np.array(norm if norm > eps else eps, for_sums(x)), x)
    a, b, c = ns_coefficients
    for _ in range(ns_steps):
        gram = other.reshape(-1)[: few * few].reshape(few, few)  # needed no more when x takes the place
        np.matmul(x, x.T, out=gram)
        np.matmul(gram, gram, out=power)
        np.multiply(power, c, power)
        np.add(power, np.multiply(gram, b, gram), power)
        np.matmul(power, x, out=other)
        np.add(other, np.multiply(x, a, x), other)
        x, other = other, x
    rate = float(lr)
    if adjust_lr_fn == "match_rms_adamw":
        scale = 0.2 * max(rows, columns) ** 0.5
    else:
        scale = max(1.0, rows / columns) ** 0.5 if columns else 1.0
    np.multiply(q, 1 - rate * weight_decay, q)
    np.subtract(q, np.multiply(x, rate * scale, x), q)
    return p, mean


# -- the others -------------------------------------------------------------------------------------------------------


def in_blocks(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel that runs an op's own elementwise forward on one block after the other, and writes what it makes into donated arrays."""

    def kernel(p: Any, grad: Any, lr: Any, *slots: Any, **attrs: Any) -> Any:
        wide = [s if s is not None and s.shape == p.shape else None for s in slots]
        if p.nbytes <= SMALL or not attrs.get("donated") or writable(True, p, *wide)[0] is not p:
            return forward(np, p, grad, lr, *slots, **attrs)
        made: Any = ()
        for g, x, *others in blocks(grad, (p, *wide), 0):
            given = [s if b is None else b for s, b in zip(slots, others, strict=True)]
            made = forward(np, x, g, lr, *given, **attrs)
            for old, new in zip((x, *others), made, strict=True):
                if old is not None:
                    old[...] = new
        return (p, *[new if s is None else s for s, new in zip(wide, made[1:], strict=True)])

    return kernel


# By the op's name: what computes a step on NumPy, given its forward.
KERNELS: dict[str, Callable[[Any], Any]] = {
    "sgd_step": lambda forward: sgd_step,
    "adam_step": lambda forward: adam_step,
    "lamb_step": lambda forward: lamb_step,
    "adafactor_step": lambda forward: adafactor_step,
    "muon_step": lambda forward: muon_step,
    **dict.fromkeys(
        ("lion_step", "nadam_step", "radam_step", "adamax_step", "adagrad_step", "rmsprop_step", "adadelta_step"),
        in_blocks,
    ),
}
