"""Convolutions, all by one bilinear op whose derivatives are itself with other axes and parameters.

As everywhere in deep learning the kernel is not flipped: mathematically these are cross-correlations. Dumoulin and Visin, "A
guide to convolution arithmetic for deep learning" (2016), draws every case.
"""

from __future__ import annotations

import math
from typing import Any

import jitrench_core as jt
from jitrench_core import op

from .windows import Axis, check_fit, lengths, pairs, positions, slides

Pairs = tuple[tuple[int, int], ...]
Ints = tuple[int, ...]
ALL = slice(None)


def axes_of(
    x_shape: Ints, weight_shape: Ints, stride: Ints, padding: Pairs, dilation: Ints, x_dilation: Ints
) -> list[Axis]:
    """How the kernel slides along each spatial axis."""
    return [
        Axis(n, k, s, low, high, d, spread)
        for n, k, s, (low, high), d, spread in zip(
            x_shape[2:], weight_shape[2:], stride, padding, dilation, x_dilation, strict=True
        )
    ]


@op(
    linear=("x", "weight"),
    samples=lambda rng: (
        (rng.normal(size=(1, 2, 4, 3)), rng.normal(size=(4, 1, 2, 3))),
        {"stride": (2, 1), "padding": ((1, 0), (2, 1)), "dilation": (1, 2), "x_dilation": (3, 1), "groups": 2},
    ),
)
def convolution(
    xp: Any,
    x: Any,
    weight: Any,
    /,
    *,
    stride: Ints,
    padding: Pairs,
    dilation: Ints,
    x_dilation: Ints,
    groups: int = 1,
) -> Any:
    """The general convolution of x (N, C, *lengths) with weight (O, C / groups, *kernel), over any number of axes.

    All attributes have an entry per spatial axis: ``padding`` a pair (before, behind), negative to cut off; ``x_dilation - 1``
    zeros are put between neighbours of x, ``dilation - 1`` between those of the kernel. ``conv2d`` and its kin are what one calls.
    """
    axes = axes_of(x.shape, weight.shape, stride, padding, dilation, x_dilation)
    (n, c), (o, part) = x.shape[:2], weight.shape[:2]
    kernel, out = tuple(a.kernel for a in axes), tuple(a.out for a in axes)
    columns = xp.zeros((n, c, *kernel, *out), dtype=x.dtype, device=x.device)
    if math.prod(kernel) <= math.prod(out):
        for k, at, under in slides(axes):
            columns[(ALL, ALL, *k, *at)] = x[(ALL, ALL, *under)]
    else:
        for p, at, under in positions(axes):
            columns[(ALL, ALL, *at, *p)] = x[(ALL, ALL, *under)]
    inner = part * math.prod(kernel)
    columns = xp.reshape(columns, (n, groups, inner, math.prod(out)))
    return xp.reshape(xp.matmul(xp.reshape(weight, (groups, o // groups, inner)), columns), (n, o, *out))


@convolution.vjp("x")
def _(
    g: Any,
    weight: Any,
    x_shape: Ints,
    stride: Ints,
    padding: Pairs,
    dilation: Ints,
    x_dilation: Ints,
    groups: int,
) -> Any:
    """The kernel flipped, inputs and outputs swapped, and stride and spread, too."""
    axes = axes_of(x_shape, weight.shape, stride, padding, dilation, x_dilation)
    around = tuple((a.reach - 1 - a.low, (a.length - 1) * a.spread - (a.out - 1) * a.stride + a.low) for a in axes)
    swapped = jt.flip(swap_channels(weight, groups), axis=tuple(range(2, weight.ndim)))
    return convolution(
        g, swapped, stride=x_dilation, padding=around, dilation=dilation, x_dilation=stride, groups=groups
    )


@convolution.vjp("weight")
def _(
    g: Any, x: Any, weight_shape: Ints, stride: Ints, padding: Pairs, dilation: Ints, x_dilation: Ints, groups: int
) -> Any:
    """x convolved with g as its kernel; or, where zeros stand between x's elements, g with x, which skips them."""
    axes = axes_of(x.shape, weight_shape, stride, padding, dilation, x_dilation)
    n = x.shape[0]
    if all(spread == 1 for spread in x_dilation):
        around = tuple((a.low, a.reach - 1 + (a.out - 1) * a.stride - (a.length - 1) * a.spread - a.low) for a in axes)
        image = jt.reshape(_front(x, groups), (x.shape[1] // groups, groups * n, *x.shape[2:]))
        y = convolution(
            image,
            _transposed(g),
            stride=dilation,
            padding=around,
            dilation=stride,
            x_dilation=x_dilation,
            groups=groups,
        )
        return _transposed(y)
    around = tuple((a.reach - 1 - a.low, (a.length - 1) * a.spread - (a.out - 1) * a.stride + a.low) for a in axes)
    image = jt.reshape(_front(g, groups), (g.shape[1] // groups, groups * n, *g.shape[2:]))
    y = convolution(
        image, _transposed(x), stride=dilation, padding=around, dilation=x_dilation, x_dilation=stride, groups=groups
    )
    return swap_channels(_transposed(jt.flip(y, axis=tuple(range(2, y.ndim)))), groups)


def swap_channels(weight: Any, groups: int) -> Any:
    """A kernel (G * A, B, ...) as (G * B, A, ...)."""
    if groups == 1:
        return _transposed(weight)
    a, b = weight.shape[0] // groups, weight.shape[1]
    split = jt.reshape(weight, (groups, a, *weight.shape[1:]))
    swapped = jt.permute_dims(split, (0, 2, 1, *range(3, split.ndim)))
    return jt.reshape(swapped, (groups * b, a, *weight.shape[2:]))


def _transposed(x: Any) -> Any:
    return jt.permute_dims(x, (1, 0, *range(2, x.ndim)))


def _front(x: Any, groups: int) -> Any:
    """(N, G * C, ...) as (C, G, N, ...)."""
    split = jt.reshape(x, (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]))
    return jt.permute_dims(split, (2, 1, 0, *range(3, split.ndim)))


@convolution.batch
def _(batched: tuple[bool, bool], x: Any, weight: Any, /, *, groups: int, **attrs: Any) -> Any:
    """Examples of x alone join its batch; kernels of several examples become more channels, or more groups."""
    if batched == (True, False):
        size, n = x.shape[:2]
        y = convolution(jt.reshape(x, (size * n, *x.shape[2:])), weight, groups=groups, **attrs)
        return jt.reshape(y, (size, n, *y.shape[1:]))
    size, o = weight.shape[:2]
    if not batched[0]:
        split = jt.reshape(weight, (size, groups, o // groups, *weight.shape[2:]))
        wide = jt.permute_dims(split, (1, 0, *range(2, split.ndim)))
        y = convolution(x, jt.reshape(wide, (size * o, *weight.shape[2:])), groups=groups, **attrs)
        split = jt.reshape(y, (y.shape[0], groups, size, o // groups, *y.shape[2:]))
        y = jt.permute_dims(split, (2, 0, 1, *range(3, split.ndim)))
        return jt.reshape(y, (size, y.shape[1], o, *y.shape[4:]))
    n, c = x.shape[1:3]
    wide = jt.reshape(jt.permute_dims(x, (1, 0, *range(2, x.ndim))), (n, size * c, *x.shape[3:]))
    y = convolution(wide, jt.reshape(weight, (size * o, *weight.shape[2:])), groups=size * groups, **attrs)
    y = jt.reshape(y, (n, size, o, *y.shape[2:]))
    return jt.permute_dims(y, (1, 0, *range(2, y.ndim)))


# -- what one calls -----------------------------------------------------------------------------------------------------


def _conv_doc(n: int, what: str, weight: str, more: str) -> str:
    axes = ("L", "H, W", "D, H, W")[n - 1]
    return f"""{what} of x (N, C, {axes}), or (C, {axes}), with weight {weight}, plus bias (O,).

    ``stride``, ``padding``, {more} are ints, or one int for each of the {n} axes; ``groups`` splits the
    channels into groups that do not see each other. As PyTorch's.

    Raises ``ShapeError``, with all shapes, where the operands do not fit each other, or the kernel not into x.
    """


def _conv(n: int) -> Any:
    def forward(
        x: Any,
        weight: Any,
        bias: Any = None,
        /,
        *,
        stride: int | Ints = 1,
        padding: int | Ints | str = 0,
        dilation: int | Ints = 1,
        groups: int = 1,
    ) -> jt.Tensor:
        who = f"conv{n}d"
        x, weight = jt.asarray(x), jt.asarray(weight)
        _check_ndim(who, x, weight, n, groups)
        o, part = weight.shape[:2]
        if x.shape[-n - 1] != part * groups or o % groups:
            raise jt.ShapeError(
                f"{who}(): x of shape {x.shape} has {x.shape[-n - 1]} channels, and weight of shape {weight.shape} (O, C / "
                f"groups, *kernel) wants {part * groups} in {groups} group(s), whose number must divide O"
            )
        strides, dilations = lengths(who, "stride", stride, n), lengths(who, "dilation", dilation, n)
        around = _same(who, padding, weight.shape[2:], strides, dilations) or pairs(who, padding, n)
        batch = x if x.ndim == n + 2 else jt.expand_dims(x, axis=0)
        check_fit(who, axes_of(batch.shape, weight.shape, strides, around, dilations, (1,) * n), x.shape)
        y = convolution(
            batch, weight, stride=strides, padding=around, dilation=dilations, x_dilation=(1,) * n, groups=groups
        )
        return _finish(who, y, bias, x.ndim == n + 1)

    forward.__doc__ = _conv_doc(n, "The convolution", "(O, C / groups, *kernel)", "and ``dilation``") + (
        f"""
    ``padding`` is also ``"valid"`` (none), or ``"same"``: then y is as long as x; where that needs an odd number of zeros, the
    one more is put behind. It is for stride 1 only.

    >>> import jitrench_core as jt
    >>> jt.ops.conv{n}d(jt.ones((1, 2{", 4" * n})), jt.ones((3, 2{", 3" * n})), padding=1).shape
    {(1, 3, *(4,) * n)}
    """
    )
    made = op(
        composite=True,
        name=f"conv{n}d",
        samples=lambda rng: (
            (rng.normal(size=(1, 2, 3, 2, 2)[: n + 2]), rng.normal(size=(2, 2, 2, 2, 1)[: n + 2]), rng.normal(size=2)),
            {"stride": (2, 1, 1)[:n], "padding": 1},
        ),
    )(forward)
    return made


def _conv_transpose(n: int) -> Any:
    def forward(
        x: Any,
        weight: Any,
        bias: Any = None,
        /,
        *,
        stride: int | Ints = 1,
        padding: int | Ints = 0,
        output_padding: int | Ints = 0,
        groups: int = 1,
        dilation: int | Ints = 1,
    ) -> jt.Tensor:
        who = f"conv_transpose{n}d"
        x, weight = jt.asarray(x), jt.asarray(weight)
        _check_ndim(who, x, weight, n, groups)
        if x.shape[-n - 1] != weight.shape[0] or weight.shape[0] % groups:
            raise jt.ShapeError(
                f"{who}(): x of shape {x.shape} has {x.shape[-n - 1]} channels, and weight of shape {weight.shape} (C, O / "
                f"groups, *kernel) wants {weight.shape[0]} in {groups} group(s), whose number must divide C"
            )
        strides, dilations = lengths(who, "stride", stride, n), lengths(who, "dilation", dilation, n)
        cut, more = lengths(who, "padding", padding, n, 0), lengths(who, "output_padding", output_padding, n, 0)
        if any(m >= max(s, d) for m, s, d in zip(more, strides, dilations, strict=True)):
            raise jt.ShapeError(
                f"{who}(): output_padding {output_padding!r} must be smaller than stride {stride!r} or dilation {dilation!r}"
            )
        batch = x if x.ndim == n + 2 else jt.expand_dims(x, axis=0)
        reach = [(k - 1) * d for k, d in zip(weight.shape[2:], dilations, strict=True)]
        around = tuple((r - p, r - p + m) for r, p, m in zip(reach, cut, more, strict=True))
        swapped = jt.flip(swap_channels(weight, groups), axis=tuple(range(2, n + 2)))
        axes = axes_of(batch.shape, swapped.shape, (1,) * n, around, dilations, strides)
        if any(a.out < 1 for a in axes):
            raise jt.ShapeError(
                f"{who}(): padding {padding!r} cuts everything off: x of shape {x.shape} with weight of shape {weight.shape} "
                f"gives lengths {tuple(a.padded - a.reach + 1 for a in axes)}"
            )
        y = convolution(
            batch, swapped, stride=(1,) * n, padding=around, dilation=dilations, x_dilation=strides, groups=groups
        )
        return _finish(who, y, bias, x.ndim == n + 1)

    forward.__doc__ = _conv_doc(
        n, "The transposed convolution", "(C, O / groups, *kernel)", "``output_padding`` and ``dilation``"
    ) + (
        f"""
    It is the gradient of ``conv{n}d`` in its input, and puts x's elements ``stride`` apart: a length n becomes
    (n - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1.

    >>> import jitrench_core as jt
    >>> jt.ops.conv_transpose{n}d(jt.ones((1, 2{", 4" * n})), jt.ones((2, 3{", 2" * n})), stride=2).shape
    {(1, 3, *(8,) * n)}
    """
    )
    made = op(
        composite=True,
        name=f"conv_transpose{n}d",
        samples=lambda rng: (
            (rng.normal(size=(1, 2, 2, 2, 1)[: n + 2]), rng.normal(size=(2, 2, 3, 2, 1)[: n + 2]), rng.normal(size=2)),
            {"stride": (2, 1, 1)[:n], "padding": (1, 0, 0)[:n], "output_padding": (1, 0, 0)[:n]},
        ),
    )(forward)
    return made


def _check_ndim(who: str, x: Any, weight: Any, n: int, groups: Any) -> None:
    if x.ndim not in (n + 1, n + 2) or weight.ndim != n + 2:
        raise jt.ShapeError(
            f"{who}(): x must have {n + 2} dimensions (N, C, *lengths), or {n + 1} without N, and weight {n + 2}; got x of shape "
            f"{x.shape} and weight of shape {weight.shape}"
        )
    if isinstance(groups, bool) or not isinstance(groups, int) or groups < 1:
        raise jt.ShapeError(f"{who}(): groups must be an int from 1; got {groups!r}")
    if 0 in weight.shape[2:]:
        raise jt.ShapeError(f"{who}(): the kernel of weight, of shape {weight.shape}, is empty")


def _same(who: str, padding: Any, kernel: Ints, stride: Ints, dilation: Ints) -> Pairs | None:
    """The padding that a word stands for; None where it is no word."""
    if not isinstance(padding, str):
        return None
    if padding not in ("same", "valid"):
        raise jt.ShapeError(f"{who}(): padding must be an int, a tuple of ints, 'same' or 'valid'; got {padding!r}")
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if any(s != 1 for s in stride):
        raise jt.ShapeError(f"{who}(): padding='same' is for stride 1; got stride {stride}")
    total = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
    return tuple((t // 2, t - t // 2) for t in total)


def _finish(who: str, y: Any, bias: Any, alone: bool) -> Any:
    """The bias added, and the batch's axis taken away where x had none."""
    if bias is not None:
        bias = jt.asarray(bias)
        if bias.shape != y.shape[1:2]:
            raise jt.ShapeError(
                f"{who}(): bias must have shape {y.shape[1:2]}, one number per output channel; got {bias.shape}"
            )
        y = y + jt.reshape(bias, (bias.shape[0], *(1,) * (y.ndim - 2)))
    return jt.squeeze(y, axis=0) if alone else y


conv1d, conv2d, conv3d = map(_conv, (1, 2, 3))
conv_transpose1d, conv_transpose2d, conv_transpose3d = map(_conv_transpose, (1, 2, 3))
