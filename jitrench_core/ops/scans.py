"""Running sums, products, extrema and differences along an axis.

``scan`` combines neighbours, then pairs of them, in log2(n) steps: products are exact beside zeros, because nothing is divided.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

from ..backend import owner
from ..dtypes import dtype as as_dtype
from ..errors import OpError, ShapeError
from ..op import op
from ..tensor import Tensor
from .creation import asarray, ones, zeros
from .elementwise import logaddexp
from .indexing import take_along_axis, whole
from .shapes import astype, concat, flip, normalize_axes, shift_axes


class Extrema(NamedTuple):
    """Values of an array and their indices along an axis."""

    values: Tensor
    indices: Tensor


def scan(concat: Callable[..., Any], f: Callable[[Any, Any], Any], x: Any, axis: int) -> Any:
    """The running results of an associative ``f`` along ``axis``, which is not negative."""
    n, k = x.shape[axis], 1
    while k < n:
        head, last, rest = (x[at_axis(axis, s)] for s in (slice(0, k), slice(0, n - k), slice(k, n)))
        x = concat([head, f(last, rest)], axis=axis)
        k *= 2
    return x


def at_axis(axis: int, at: Any) -> tuple[Any, ...]:
    """The key that takes ``at`` of ``axis`` and all of the axes before it; ``...`` stands for those behind."""
    return (*(slice(None),) * axis, at, ...)


def single_axis(name: str, shape: tuple[int, ...], axis: int | None) -> int:
    """``axis`` as a non-negative int; None is the only axis of a vector."""
    if not shape:
        raise ShapeError(f"{name}() runs along an axis, and x has none: its shape is ()")
    if axis is None:
        if len(shape) > 1:
            raise ShapeError(f"{name}() of shape {shape} needs axis=: only a vector has a single one")
        return 0
    return normalize_axes(whole(f"{name}()", "axis", axis), len(shape))[0]


def _samples(rng: Any) -> Any:
    return (rng.normal(size=(3, 4)),), {"axis": 1}


def _cumulative_sum_vjp(g: Any, x_shape: tuple[int, ...], axis: int | None, include_initial: bool) -> Any:
    axis = single_axis("cumulative_sum", x_shape, axis)
    g = g[at_axis(axis, slice(1, None))] if include_initial else g
    return flip(cumulative_sum(flip(g, axis=axis), axis=axis), axis=axis)


@op(linear=("x",), vjp=_cumulative_sum_vjp, samples=_samples)
def cumulative_sum(
    xp: Any, x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """The running sum along ``axis`` (None: of a vector); small integers add up in int64 or uint64.

    ``include_initial`` puts a 0 in front, so that the result is longer by one. Raises ``ShapeError`` for an array without
    axes, and for one with several where ``axis`` is None.

    >>> import jitrench_core as jt
    >>> jt.cumulative_sum(jt.tensor([1.0, 2.0, 3.0]), include_initial=True)
    Tensor([0., 1., 3., 6.])
    """
    axis = single_axis("cumulative_sum", tuple(x.shape), axis)
    native = None if dtype is None else owner(type(x)).native_dtype(as_dtype(dtype))
    return xp.cumulative_sum(x, axis=axis, dtype=native, include_initial=include_initial)


@cumulative_sum.batch
def _(batched: Any, x: Any, /, *, axis: int | None, dtype: Any, include_initial: bool) -> Any:
    axis = 1 + single_axis("cumulative_sum", x.shape[1:], axis)
    return cumulative_sum(x, axis=axis, dtype=dtype, include_initial=include_initial)


@op(composite=True, samples=_samples)
def cumulative_prod(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
    """The running product along ``axis`` (None: of a vector); derivatives are exact beside zeros, to any order.

    Small integers multiply in int64 or uint64. ``include_initial`` puts a 1 in front, so that the result is longer by one.
    Raises ``ShapeError`` for an array without axes, and for one with several where ``axis`` is None.

    >>> import jitrench_core as jt
    >>> jt.grad(lambda x: jt.cumulative_prod(x)[-1])(jt.tensor([2.0, 0.0, 3.0]))
    Tensor([0., 6., 0.])
    """
    x = asarray(x)
    axis = single_axis("cumulative_prod", x.shape, axis)
    if dtype is None and x.dtype.kind in "iub":
        dtype = "uint64" if x.dtype.kind == "u" else "int64"
    if dtype is not None:
        x = astype(x, dtype)
    if include_initial:
        first = ones((*x.shape[:axis], 1, *x.shape[axis + 1 :]), dtype=x.dtype, device=x.device)
        x = concat([first, x], axis=axis)
    return scan(concat, lambda a, b: a * b, x, axis)


@op(composite=True, samples=_samples)
def cumulative_logsumexp(x: Any, /, *, axis: int | None = None) -> Any:
    """The running log(sum(exp(x))) along ``axis`` (None: of a vector), without overflow.

    Raises ``ShapeError`` for an array without axes, and for one with several where ``axis`` is None.

    >>> import jitrench_core as jt
    >>> jt.cumulative_logsumexp(jt.tensor([1000.0, 1000.0])) - 1000
    Tensor([0.        , 0.69314718])
    """
    x = asarray(x)
    return scan(concat, logaddexp, x, single_axis("cumulative_logsumexp", x.shape, axis))


def _last_extreme(xp: Any, x: Any, axis: int, larger: Any) -> Any:
    """Where the running extremum stands: the last of equal elements, and of NaNs, which stay once they came."""
    (axis,) = normalize_axes(axis, len(x.shape))
    y = scan(xp.concat, larger, x, axis)
    hit = (x == y) | (x != x)
    n = x.shape[axis]
    places = xp.reshape(xp.arange(n, dtype=xp.int64, device=x.device), (n, *(1,) * (len(x.shape) - axis - 1)))
    return scan(xp.concat, xp.maximum, xp.where(hit, places, 0), axis)


@op(vjp={"x": None}, samples=_samples)
def cummax_indices(xp: Any, x: Any, /, *, axis: int = -1) -> Any:
    """Where the largest element so far stands along ``axis``, the last one of equals: int64."""
    return _last_extreme(xp, x, axis, xp.maximum)


@op(vjp={"x": None}, samples=_samples)
def cummin_indices(xp: Any, x: Any, /, *, axis: int = -1) -> Any:
    """Where the smallest element so far stands along ``axis``, the last one of equals: int64."""
    return _last_extreme(xp, x, axis, xp.minimum)


@cummax_indices.batch
def _(batched: Any, x: Any, /, *, axis: int) -> Any:
    return cummax_indices(x, axis=shift_axes(axis, x.ndim - 1))


@cummin_indices.batch
def _(batched: Any, x: Any, /, *, axis: int) -> Any:
    return cummin_indices(x, axis=shift_axes(axis, x.ndim - 1))


@op(name="cummax", composite=True, samples=_samples)
def _cummax(x: Any, /, *, axis: int = -1) -> Any:
    """The largest element so far along ``axis``, and its index."""
    x = asarray(x)
    indices = cummax_indices(x, axis=axis)
    return Extrema(take_along_axis(x, indices, axis=axis), indices)


def cummax(x: Any, /, *, axis: int = -1) -> Extrema:
    """The largest element so far along ``axis``, as the named tuple ``(values, indices)``.

    Of equal elements the last one is taken, and gets the gradient, as in PyTorch; from a NaN on, all are NaN.

    >>> import jitrench_core as jt
    >>> jt.cummax(jt.tensor([1.0, 3.0, 2.0, 3.0])).indices
    Tensor([0, 1, 1, 3])
    """
    return cast(Extrema, _cummax(x, axis=axis))


@op(name="cummin", composite=True, samples=_samples)
def _cummin(x: Any, /, *, axis: int = -1) -> Any:
    """The smallest element so far along ``axis``, and its index."""
    x = asarray(x)
    indices = cummin_indices(x, axis=axis)
    return Extrema(take_along_axis(x, indices, axis=axis), indices)


def cummin(x: Any, /, *, axis: int = -1) -> Extrema:
    """The smallest element so far along ``axis``, as the named tuple ``(values, indices)``.

    Of equal elements the last one is taken, and gets the gradient, as in PyTorch; from a NaN on, all are NaN.

    >>> import jitrench_core as jt
    >>> jt.cummin(jt.tensor([2.0, 3.0, 1.0, 3.0])).values
    Tensor([2., 2., 1., 1.])
    """
    return cast(Extrema, _cummin(x, axis=axis))


@op(name="diff", composite=True, samples=_samples)
def _diff(x: Any, prepend: Any = None, append: Any = None, /, *, axis: int = -1, n: int = 1) -> Any:
    """Each element minus the one before it along ``axis``, ``n`` times over."""
    x = asarray(x)
    axis = single_axis("diff", x.shape, axis)
    if n < 0:
        raise OpError(f"diff() got n={n}: it counts how often neighbours are subtracted, 0 or more")
    if n and (prepend is not None or append is not None):
        one = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
        x = concat([a if a is x else _edge(a, x, one) for a in (prepend, x, append) if a is not None], axis=axis)
    for _ in range(n):
        x = x[at_axis(axis, slice(1, None))] - x[at_axis(axis, slice(None, -1))]
    return x


def diff(x: Any, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None) -> Tensor:
    """Each element minus the one before it along ``axis``, ``n`` times over.

    ``prepend`` and ``append`` are joined to x first; one without axes stands for a single element everywhere. Raises
    ``OpError`` for a negative ``n``.

    >>> import jitrench_core as jt
    >>> jt.diff(jt.tensor([1.0, 4.0, 9.0]), prepend=0.0)
    Tensor([1., 3., 5.])
    """
    return _diff(x, prepend, append, axis=axis, n=n)


def _edge(a: Any, x: Any, one: tuple[int, ...]) -> Any:
    """What is joined to x: an array as it is, a number or an array without axes as one element everywhere."""
    return a if getattr(a, "ndim", 0) else zeros(one, dtype=x.dtype, device=x.device) + a
