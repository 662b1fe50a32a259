"""``unfold`` and ``fold``: windows as columns, and columns back as sums of windows. Each is the other's transpose."""

from __future__ import annotations

import math
from typing import Any

import jitrench_core as jt
from jitrench_core import op

from .windows import Axis, check_fit, lengths, pairs, slides

Ints = tuple[int, ...]


def _axes(who: str, x_lengths: Ints, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> list[Axis]:
    n = len(x_lengths)
    kernel, strides = lengths(who, "kernel_size", kernel_size, n), lengths(who, "stride", stride, n)
    dilations = lengths(who, "dilation", dilation, n)
    around = pairs(who, padding, n)
    found = zip(x_lengths, kernel, strides, around, dilations, strict=True)
    axes = [Axis(n, k, s, low, high, d) for n, k, s, (low, high), d in found]
    check_fit(who, axes, x_lengths)
    return axes


def _count(*attributes: Any) -> int:
    """Over how many axes the window slides: as many as the longest attribute says; 2 where all are ints."""
    return max((len(a) for a in attributes if isinstance(a, (tuple, list))), default=2)


@op(
    linear=("x",),
    vjp=lambda g, x_shape, kernel_size, dilation, padding, stride: fold(
        g,
        output_size=x_shape[-_count(kernel_size, dilation, padding, stride) :],
        kernel_size=kernel_size,
        dilation=dilation,
        padding=padding,
        stride=stride,
    ),
    samples=lambda rng: (
        (rng.normal(size=(1, 2, 5, 4)),),
        {"kernel_size": (2, 3), "dilation": (2, 1), "padding": (1, 1), "stride": (1, 2)},
    ),
)
def unfold(
    xp: Any,
    x: Any,
    /,
    kernel_size: int | Ints,
    dilation: int | Ints = 1,
    padding: Any = 0,
    stride: int | Ints = 1,
) -> Any:
    """The windows of x (..., C, *lengths) as columns: (..., C * window, positions), both in row-major order.

    Attributes are ints, or one int per axis; the longest says over how many axes the window slides (2 where all are ints).
    Beyond x are zeros; ``padding`` may also hold pairs (before, behind). As PyTorch's, over any number of axes.

    Raises ``ShapeError`` where the window does not fit into x.

    >>> import jitrench_core as jt
    >>> jt.ops.unfold(jt.arange(9.0).reshape((1, 3, 3)), kernel_size=2).tolist()
    [[0.0, 1.0, 3.0, 4.0], [1.0, 2.0, 4.0, 5.0], [3.0, 4.0, 6.0, 7.0], [4.0, 5.0, 7.0, 8.0]]
    """
    n = _count(kernel_size, dilation, padding, stride)
    if len(x.shape) <= n:
        raise jt.ShapeError(f"unfold(): x must have shape (..., C, *lengths) with {n} lengths; got {tuple(x.shape)}")
    (*lead, channels), over = x.shape[:-n], x.shape[-n:]
    axes = _axes("unfold", tuple(over), kernel_size, dilation, padding, stride)
    kernel, out = [a.kernel for a in axes], [a.out for a in axes]
    columns = xp.zeros((*lead, channels, *kernel, *out), dtype=x.dtype, device=x.device)
    for k, at, under in slides(axes):
        columns[(..., *k, *at)] = x[(..., *under)]
    return xp.reshape(columns, (*lead, channels * math.prod(kernel), math.prod(out)))


@unfold.batch
def _(batched: Any, x: Any, /, **attrs: Any) -> Any:
    return unfold(x, **attrs)


@op(
    linear=("x",),
    vjp=lambda g, kernel_size, dilation, padding, stride, output_size: unfold(
        g,
        kernel_size=kernel_size if isinstance(kernel_size, (tuple, list)) else (kernel_size,) * len(output_size),
        dilation=dilation,
        padding=padding,
        stride=stride,
    ),
    samples=lambda rng: (
        (rng.normal(size=(1, 12, 10)),),
        {"output_size": (5, 4), "kernel_size": (2, 3), "dilation": (2, 1), "padding": 1, "stride": (1, 2)},
    ),
)
def fold(
    xp: Any,
    x: Any,
    /,
    output_size: Ints,
    kernel_size: int | Ints,
    dilation: int | Ints = 1,
    padding: Any = 0,
    stride: int | Ints = 1,
) -> Any:
    """The sums of overlapping windows: columns x (..., C * window, positions), as of ``unfold``, become (..., C, *output_size).

    Each element is added to the place that ``unfold`` takes it from; what lies on padding is dropped. As PyTorch's.

    Raises ``ShapeError`` where x does not have as many rows and columns as the windows of ``output_size`` give.

    >>> import jitrench_core as jt
    >>> jt.ops.fold(jt.ones((4, 4)), output_size=(3, 3), kernel_size=2).tolist()
    [[[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]]
    """
    if not isinstance(output_size, (tuple, list)):
        raise jt.ShapeError(f"fold(): output_size must be a tuple with a length per axis; got {output_size!r}")
    size = lengths("fold", "output_size", output_size, len(output_size), 0)
    axes = _axes("fold", size, kernel_size, dilation, padding, stride)
    kernel, out = [a.kernel for a in axes], [a.out for a in axes]
    window, places = math.prod(kernel), math.prod(out)
    if len(x.shape) < 2 or x.shape[-1] != places or x.shape[-2] % window:
        raise jt.ShapeError(
            f"fold(): windows {tuple(kernel)} over {size} have {window} elements at {places} positions, so x must have shape "
            f"(..., C * {window}, {places}); got {tuple(x.shape)}"
        )
    lead, channels = x.shape[:-2], x.shape[-2] // window
    columns = xp.reshape(x, (*lead, channels, *kernel, *out))
    y = xp.zeros((*lead, channels, *size), dtype=x.dtype, device=x.device)
    for k, at, under in slides(axes):
        y[(..., *under)] += columns[(..., *k, *at)]
    return y


@fold.batch
def _(batched: Any, x: Any, /, **attrs: Any) -> Any:
    return fold(x, **attrs)
