"""Pooling: the largest element or the mean of each window.

Ties are PyTorch's: the first of equal elements, in row-major order, gets all of the gradient. NaN is larger than everything, and of
several the last one gets it. Padding is never the largest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jitrench_core as jt
from jitrench_core import op

from .checks import averaged
from .conv import convolution
from .interpolate import Taps, resample
from .windows import Axis, check_fit, lengths, slides

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]
Size = int | None | Sequence[int | None]


def axes_of(over: Ints, kernel_size: Ints, stride: Ints, padding: Pairs, dilation: Ints) -> list[Axis]:
    """How the window slides over axes of these lengths."""
    parts = zip(over, kernel_size, stride, padding, dilation, strict=True)
    return [Axis(n, k, s, low, high, d) for n, k, s, (low, high), d in parts]


def _distinct(rng: Any, shape: Ints) -> Any:
    """Test data one apart: no small difference changes which is the largest."""
    return rng.permutation(math.prod(shape)).reshape(shape) * 1.0


def number(k: Ints, kernel_size: Ints) -> int:
    """An element of the window by its place in row-major order."""
    return sum(i * math.prod(kernel_size[j + 1 :]) for j, i in enumerate(k))


@op(
    aux=("index",),
    vjp=lambda g, index, x_shape, kernel_size, stride, padding, dilation: pool_scatter(
        g,
        index,
        lengths=tuple(x_shape[-len(kernel_size) :]),
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
    ),
    samples=lambda rng: (
        (_distinct(rng, (2, 5, 4)),),
        {"kernel_size": (2, 3), "stride": (2, 1), "padding": ((1, 0), (1, 2)), "dilation": (2, 1)},
    ),
)
def max_pool(xp: Any, x: Any, /, *, kernel_size: Ints, stride: Ints, padding: Pairs, dilation: Ints) -> Any:
    """The largest element of each window over the last axes of x (..., C, *lengths), as many as ``kernel_size`` has.

    All attributes have an entry per axis, ``padding`` a pair (before, behind). ``max_pool2d`` and its kin are what one calls.
    """
    axes = axes_of(x.shape[-len(kernel_size) :], kernel_size, stride, padding, dilation)
    shape = (*x.shape[: -len(axes)], *(a.out for a in axes))
    lowest = -math.inf if xp.isdtype(x.dtype, "real floating") else xp.iinfo(x.dtype).min
    y = xp.full(shape, lowest, dtype=x.dtype, device=x.device)
    index = xp.zeros(shape, dtype=xp.int32, device=x.device)
    moves = [(xp.asarray(number(k, kernel_size), dtype=xp.int32, device=x.device), at, u) for k, at, u in slides(axes)]
    for _, at, under in moves:
        y[(..., *at)] = xp.maximum(y[(..., *at)], x[(..., *under)])
    for i, at, under in reversed(moves):
        index[(..., *at)] = xp.where(x[(..., *under)] == y[(..., *at)], i, index[(..., *at)])
    for i, at, under in moves:
        index[(..., *at)] = xp.where(x[(..., *under)] != x[(..., *under)], i, index[(..., *at)])
    return y, index


@max_pool.batch
def _(batched: Any, x: Any, /, **attrs: Any) -> Any:
    return max_pool.op.apply((x,), attrs, with_aux=True)


def _pool_samples(gathered: bool) -> Any:
    def samples(rng: Any) -> Any:
        attrs = {"kernel_size": (2, 3), "stride": (1, 2), "padding": ((0, 1), (0, 0)), "dilation": (1, 1)}
        x = rng.normal(size=(2, 3, 5)) if gathered else rng.normal(size=(2, 3, 2))
        return (x, rng.integers(0, 3, size=(2, 3, 2))), attrs if gathered else {"lengths": (3, 5), **attrs}

    return samples


@op(
    linear=("x",),
    vjp={
        "x": lambda g, index, kernel_size, stride, padding, dilation: pool_gather(
            g, index, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation
        ),
        "index": None,
    },
    samples=_pool_samples(False),
)
def pool_scatter(
    xp: Any,
    x: Any,
    index: Any,
    /,
    *,
    lengths: Ints,
    kernel_size: Ints,
    stride: Ints,
    padding: Pairs,
    dilation: Ints,
) -> Any:
    """Zeros over ``lengths``, with each window's x added at its element ``index``: the gradient of ``max_pool``."""
    axes = axes_of(lengths, kernel_size, stride, padding, dilation)
    y = xp.zeros((*x.shape[: -len(axes)], *lengths), dtype=x.dtype, device=x.device)
    nothing = xp.zeros((), dtype=x.dtype, device=x.device)
    for k, at, under in slides(axes):
        y[(..., *under)] += xp.where(index[(..., *at)] == number(k, kernel_size), x[(..., *at)], nothing)
    return y


@op(
    linear=("x",),
    vjp={
        "x": lambda g, index, x_shape, kernel_size, stride, padding, dilation: pool_scatter(
            g,
            index,
            lengths=tuple(x_shape[-len(kernel_size) :]),
            kernel_size=kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
        ),
        "index": None,
    },
    samples=_pool_samples(True),
)
def pool_gather(
    xp: Any, x: Any, index: Any, /, *, kernel_size: Ints, stride: Ints, padding: Pairs, dilation: Ints
) -> Any:
    """Element ``index`` of each window of x: what ``max_pool`` takes, where ``index`` says which is the largest."""
    axes = axes_of(x.shape[-len(kernel_size) :], kernel_size, stride, padding, dilation)
    y = xp.zeros(index.shape, dtype=x.dtype, device=x.device)
    for k, at, under in slides(axes):
        chosen = index[(..., *at)] == number(k, kernel_size)
        y[(..., *at)] = xp.where(chosen, x[(..., *under)], y[(..., *at)])
    return y


def _both(batched: tuple[bool, bool], x: Any, index: Any) -> tuple[Any, Any]:
    """x and index, both with the batch's axis."""
    size = (x if batched[0] else index).shape[0]
    return tuple(
        a if b else jt.broadcast_to(jt.expand_dims(a, axis=0), (size, *a.shape))
        for a, b in zip((x, index), batched, strict=True)
    )  # type: ignore[return-value]


@pool_scatter.batch
def _(batched: tuple[bool, bool], x: Any, index: Any, /, **attrs: Any) -> Any:
    return pool_scatter(*_both(batched, x, index), **attrs)


@pool_gather.batch
def _(batched: tuple[bool, bool], x: Any, index: Any, /, **attrs: Any) -> Any:
    return pool_gather(*_both(batched, x, index), **attrs)


def _window(
    who: str, x: Any, n: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Any, list[Axis]]:
    """x, and how the window slides: PyTorch's rules. ``ceil_mode`` keeps a window that starts in x or in the padding before it."""
    x = jt.asarray(x)
    if x.ndim not in (n + 1, n + 2):
        raise jt.ShapeError(
            f"{who}(): x must have {n + 2} dimensions (N, C, *lengths), or {n + 1} without N; got shape {x.shape}"
        )
    kernel = lengths(who, "kernel_size", kernel_size, n)
    strides = kernel if stride is None else lengths(who, "stride", stride, n)
    around, dilations = lengths(who, "padding", padding, n, 0), lengths(who, "dilation", dilation, n)
    axes = []
    for length, k, s, p, d in zip(x.shape[-n:], kernel, strides, around, dilations, strict=True):
        a = Axis(length, k, s, p, p, d)
        if p > a.reach // 2:
            raise jt.ShapeError(
                f"{who}(): padding {padding!r} must be at most half of the window, which covers {a.reach} (kernel_size "
                f"{kernel_size!r}, dilation {dilation!r})"
            )
        if ceil_mode:
            out = -(-(a.padded - a.reach) // s) + 1
            out -= (out - 1) * s >= length + p
            a = a._replace(high=(out - 1) * s + a.reach - length - p)
        axes.append(a)
    check_fit(who, axes, x.shape)
    return x, axes


def _max_pool(n: int) -> Any:
    def forward(
        x: Any,
        /,
        kernel_size: int | Ints,
        stride: int | Ints | None = None,
        padding: int | Ints = 0,
        dilation: int | Ints = 1,
        ceil_mode: bool = False,
    ) -> jt.Tensor:
        x, axes = _window(f"max_pool{n}d", x, n, kernel_size, stride, padding, dilation, ceil_mode)
        return _max_over(f"max_pool{n}d", x, axes)

    forward.__doc__ = f"""The largest element of each window over the last {n} axes of x (N, C, *lengths), or (C, *lengths).

    Attributes are ints, or one int per axis; ``stride`` None is the window's size, and ``ceil_mode`` keeps a last window that x does
    not fill. The first of equal elements gets the gradient. As PyTorch's.

    Raises ``ShapeError`` where the window does not fit into x, or ``padding`` is more than half of it.

    >>> import jitrench_core as jt
    >>> jt.ops.max_pool{n}d(jt.ones((2, 3{", 6" * n})), 2).shape
    {(2, 3, *(3,) * n)}
    """
    made = op(
        composite=True,
        name=f"max_pool{n}d",
        samples=lambda rng: (
            (_distinct(rng, (1, 1, 4, 3, 2)[: n + 2]),),
            {"kernel_size": 2, "stride": 1, "padding": 1},
        ),
    )(forward)
    return made


def _max_over(who: str, x: Any, axes: list[Axis]) -> Any:
    if x.dtype.kind not in "fiu":
        raise jt.DTypeError(
            f"{who}(): x has dtype {x.dtype}; expected numbers with an order, floating point or integers"
        )
    kernel, strides = tuple(a.kernel for a in axes), tuple(a.stride for a in axes)
    around, dilations = tuple((a.low, a.high) for a in axes), tuple(a.dilation for a in axes)
    return max_pool(x, kernel_size=kernel, stride=strides, padding=around, dilation=dilations)


def _avg_pool(n: int) -> Any:
    def forward(
        x: Any,
        /,
        kernel_size: int | Ints,
        stride: int | Ints | None = None,
        padding: int | Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> jt.Tensor:
        x, axes = _window(f"avg_pool{n}d", x, n, kernel_size, stride, padding, 1, ceil_mode)
        around = lengths(f"avg_pool{n}d", "padding", padding, n, 0)
        counts = [_counts(a, p if count_include_pad else 0) for a, p in zip(axes, around, strict=True)]
        averaged(f"avg_pool{n}d", x)
        if divisor_override is not None:
            if not divisor_override:
                raise jt.OpError(f"avg_pool{n}d(): divisor_override must not be 0; None divides by the count")
            counts = [[divisor_override], *[[1]] * (n - 1)]
        even = all(len(set(c)) == 1 for c in counts)
        one = 1.0 / math.prod(c[0] for c in counts) if even else 1.0
        channels = jt.reshape(x, (math.prod(x.shape[:-n]), 1, *x.shape[-n:]))
        y = convolution(
            channels,
            jt.full((1, 1, *(a.kernel for a in axes)), one, dtype=x.dtype, device=x.device),
            stride=tuple(a.stride for a in axes),
            padding=tuple((a.low, a.high) for a in axes),
            dilation=(1,) * n,
            x_dilation=(1,) * n,
        )
        y = jt.reshape(y, (*x.shape[:-n], *y.shape[2:]))
        if not even:
            for i, c in enumerate(counts):
                y = y / jt.reshape(jt.asarray(c, dtype=x.dtype, device=x.device), (-1, *(1,) * (n - 1 - i)))
        return y

    forward.__doc__ = f"""The mean of each window over the last {n} axes of x (N, C, *lengths), or (C, *lengths).

    Attributes are ints, or one int per axis; ``stride`` None is the window's size, and ``ceil_mode`` keeps a last window that x does
    not fill. Padding counts as zeros, with ``count_include_pad=False`` not at all; ``divisor_override`` divides the sums in place of
    the count. As PyTorch's.

    Raises ``ShapeError`` where the window does not fit into x, or ``padding`` is more than half of it, ``DTypeError`` for integers,
    and ``OpError`` for a divisor of 0.

    >>> import jitrench_core as jt
    >>> jt.ops.avg_pool{n}d(jt.ones((2, 3{", 6" * n})), 2).shape
    {(2, 3, *(3,) * n)}
    """
    made = op(
        composite=True,
        name=f"avg_pool{n}d",
        samples=lambda rng: (
            (rng.normal(size=(1, 2, 5, 4, 2)[: n + 2]),),
            {"kernel_size": 2, "stride": (2, 1, 1)[:n], "padding": 1, "count_include_pad": False},
        ),
    )(forward)
    return made


def _counts(a: Axis, padding: int) -> list[int]:
    """How many elements each window holds along an axis, with so much padding."""
    spans = [(p * a.stride - a.low, p * a.stride - a.low + a.kernel) for p in range(a.out)]
    return [min(stop, a.length + padding) - max(start, -padding) for start, stop in spans]


# -- adaptive: the window follows from the size of the result -------------------------------------------------------------


def _targets(who: str, x: Any, n: int, output_size: Size) -> tuple[Any, Ints]:
    x = jt.asarray(x)
    if x.ndim not in (n + 1, n + 2) or 0 in x.shape[-n:]:
        raise jt.ShapeError(
            f"{who}(): x must have {n + 2} dimensions (N, C, *lengths), or {n + 1} without N, and no length 0; got shape {x.shape}"
        )
    many = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * n
    filled = tuple(length if v is None else v for v, length in zip(many, x.shape[-n:], strict=False))
    return x, lengths(who, "output_size", filled if len(many) == n else tuple(many), n, 0)


def _spans(length: int, out: int) -> list[range]:
    """PyTorch's windows: they cover x evenly, and overlap by at most one element where ``out`` does not divide its length."""
    return [range(i * length // out, -(-(i + 1) * length // out)) for i in range(out)]


def _adaptive_avg_pool(n: int) -> Any:
    def forward(x: Any, /, output_size: Size) -> jt.Tensor:
        x, out = _targets(f"adaptive_avg_pool{n}d", x, n, output_size)
        averaged(f"adaptive_avg_pool{n}d", x)
        for i, size in enumerate(out):
            length, axis = x.shape[i - n], x.ndim + i - n
            if size and length % size == 0:
                split = jt.reshape(x, (*x.shape[:axis], size, length // size, *x.shape[axis + 1 :]))
                x = jt.mean(split, axis=axis + 1)
            else:
                spans = _spans(length, size)
                taps = Taps(length, tuple(tuple((k, 1 / len(span)) for k in span) for span in spans))
                x = resample(x, axis=i - n, taps=taps)
        return x

    forward.__doc__ = f"""Means over the last {n} axes of x (N, C, *lengths), or (C, *lengths), over windows that give ``output_size``.

    It is an int, or one per axis; None leaves an axis as it is. Result i is the mean of elements floor(i * length / size) to
    ceil((i + 1) * length / size). As PyTorch's.

    >>> import jitrench_core as jt
    >>> jt.ops.adaptive_avg_pool{n}d(jt.ones((2, 3{", 7" * n})), 3).shape
    {(2, 3, *(3,) * n)}
    """
    return op(
        composite=True,
        name=f"adaptive_avg_pool{n}d",
        samples=lambda rng: ((rng.normal(size=(1, 2, 5, 4, 2)[: n + 2]),), {"output_size": (3, 2, 2)[:n]}),
    )(forward)


def _adaptive_max_pool(n: int) -> Any:
    def forward(x: Any, /, output_size: Size) -> jt.Tensor:
        x, out = _targets(f"adaptive_max_pool{n}d", x, n, output_size)
        axes = []
        for i, size in enumerate(out):
            length = x.shape[i - n]
            spans = _spans(length, size)
            window = max((len(span) for span in spans), default=1)
            if size * window != length or any(len(span) != window for span in spans):
                # Windows side by side, the short ones filled up with their last element, which changes no maximum.
                rows = [((min(k, span[-1]), 1.0),) for span in spans for k in range(span[0], span[0] + window)]
                x = resample(x, axis=i - n, taps=Taps(length, tuple(rows)))
            axes.append(Axis(size * window, window, window, 0, 0, 1))
        return _max_over(f"adaptive_max_pool{n}d", x, axes)

    forward.__doc__ = f"""The largest elements over the last {n} axes of x (N, C, *lengths), or (C, *lengths), over windows as of
    ``adaptive_avg_pool{n}d``.

    >>> import jitrench_core as jt
    >>> jt.ops.adaptive_max_pool{n}d(jt.ones((2, 3{", 7" * n})), 3).shape
    {(2, 3, *(3,) * n)}
    """
    return op(
        composite=True,
        name=f"adaptive_max_pool{n}d",
        samples=lambda rng: (
            (_distinct(rng, (1, 1, 4, 3, 2)[: n + 2]),),
            {"output_size": (3, 2, 2)[:n]},
        ),
    )(forward)


max_pool1d, max_pool2d, max_pool3d = map(_max_pool, (1, 2, 3))
avg_pool1d, avg_pool2d, avg_pool3d = map(_avg_pool, (1, 2, 3))
adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = map(_adaptive_avg_pool, (1, 2, 3))
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = map(_adaptive_max_pool, (1, 2, 3))
