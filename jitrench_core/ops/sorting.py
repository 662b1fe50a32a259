"""Ops that order elements, search among them, and count them: sorting, quantiles, sets.

Sorting is a permutation of the elements, so a gradient is permuted back; of equal elements, the first one stands first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import index
from typing import Any, NamedTuple, cast

from ..errors import DTypeError, GradientError, OpError, ShapeError, TransformError
from ..op import op
from ..tensor import Tensor
from .creation import asarray, zeros
from .elementwise import isnan, minimum, where
from .indexing import take_along_axis, whole
from .reductions import any as any_
from .reductions import unreduced
from .scans import Extrema, at_axis, single_axis
from .shapes import astype, broadcast_to, normalize_axes, permute_dims, reshape, shift_axes, stack


def _samples(**attrs: Any) -> Any:
    return lambda rng: ((rng.normal(size=(3, 4)),), attrs)


# -- sorting --------------------------------------------------------------------------------------------------------


def _sort_vjp(g: Any, x: Any, axis: int, descending: bool) -> Any:
    order = argsort(x, axis=axis, descending=descending)
    return take_along_axis(g, argsort(order, axis=axis, stable=False), axis=axis)  # the order of an order undoes it


@op(vjp=_sort_vjp, samples=_samples(axis=1))
def sort(xp: Any, x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The elements in ascending order along ``axis``, NaNs last; in the reverse of that where ``descending``.

    ``stable`` matters to ``argsort`` alone. The order itself is a constant to differentiation.

    >>> import jitrench_core as jt
    >>> jt.sort(jt.tensor([3.0, 1.0, 2.0]), descending=True)
    Tensor([3., 2., 1.])
    """
    axis = index(axis)  # a library may take None, and flatten
    y = xp.sort(x, axis=axis)
    return xp.flip(y, axis=axis) if descending else y


@sort.jvp
def _(primals: Any, tangents: Any, *, axis: int, descending: bool, stable: bool) -> Any:
    order = argsort(primals[0], axis=axis, descending=descending)
    return take_along_axis(primals[0], order, axis=axis), take_along_axis(tangents[0], order, axis=axis)


@op(vjp={"x": None}, samples=_samples(axis=1))
def argsort(xp: Any, x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The indices that sort x along ``axis``: int64. Where ``stable``, those of equal elements ascend, either way.

    >>> import jitrench_core as jt
    >>> jt.argsort(jt.tensor([3.0, 1.0, 3.0]), descending=True)
    Tensor([0, 2, 1])
    """
    return _order(xp, x, axis, descending, stable)


def _order(xp: Any, x: Any, axis: int, descending: bool, stable: bool = True) -> Any:
    """Descending, it is the reverse of what sorts the reversed elements: then the first of equal ones comes first."""
    if not descending:
        return xp.astype(xp.argsort(x, axis=axis, stable=stable), xp.int64, copy=False)
    order = xp.flip(xp.argsort(xp.flip(x, axis=axis), axis=axis, stable=stable), axis=axis)
    return xp.astype(x.shape[axis] - 1 - order, xp.int64, copy=False)


@sort.batch
def _(batched: Any, x: Any, /, *, axis: int, descending: bool, stable: bool) -> Any:
    return sort(x, axis=shift_axes(axis, x.ndim - 1), descending=descending, stable=stable)


@argsort.batch
def _(batched: Any, x: Any, /, *, axis: int, descending: bool, stable: bool) -> Any:
    return argsort(x, axis=shift_axes(axis, x.ndim - 1), descending=descending, stable=stable)


@op(vjp={"x": None}, samples=_samples(k=2))
def topk_indices(xp: Any, x: Any, /, k: int, *, axis: int = -1, largest: bool = True) -> Any:
    """Where the ``k`` largest elements along ``axis`` stand, as ``topk`` has them: int64."""
    (axis,) = normalize_axes(axis, len(x.shape))
    return _order(xp, x, axis, largest)[at_axis(axis, slice(0, k))]


@topk_indices.batch
def _(batched: Any, x: Any, /, k: int, *, axis: int, largest: bool) -> Any:
    return topk_indices(x, k, axis=shift_axes(axis, x.ndim - 1), largest=largest)


@op(name="topk", composite=True, samples=_samples(k=2))
def _topk(x: Any, /, k: int, *, axis: int = -1, largest: bool = True) -> Any:
    """The ``k`` largest elements along ``axis`` in descending order, and their indices."""
    x = asarray(x)
    axis, k = single_axis("topk", x.shape, axis), whole("topk()", "k", k)
    if not 0 <= k <= x.shape[axis]:
        raise ShapeError(f"topk() got k={k} for an axis of length {x.shape[axis]}: it must be in [0, {x.shape[axis]}]")
    indices = topk_indices(x, k, axis=axis, largest=largest)
    return Extrema(take_along_axis(x, indices, axis=axis), indices)


def topk(x: Any, /, k: int, *, axis: int = -1, largest: bool = True) -> Extrema:
    """The ``k`` largest elements along ``axis`` in descending order, as the named tuple ``(values, indices)``.

    The smallest, ascending, where not ``largest``. Of equal elements the first ones are taken; a NaN is larger than any number.
    Raises ``ShapeError`` where the axis is shorter than ``k``.

    >>> import jitrench_core as jt
    >>> jt.topk(jt.tensor([1.0, 3.0, 2.0, 3.0]), 2)
    Extrema(values=Tensor([3., 3.]), indices=Tensor([1, 3]))
    """
    return cast(Extrema, _topk(x, k, axis=axis, largest=largest))


# -- quantiles ------------------------------------------------------------------------------------------------------


_ROUND: dict[str, Callable[[float], int]] = {
    "lower": math.floor,
    "higher": math.ceil,
    "nearest": round,
}  # halves to even


def _ranks(q: float, n: int, method: str) -> tuple[int, int, float]:
    """Of n sorted elements the two that enclose quantile ``q``, and the weight of the second."""
    if not 0 <= q <= 1:
        raise OpError(f"quantile() got q={q}: it must be in [0, 1]")
    rank = q * (n - 1)
    if method in _ROUND:  # one element alone: the other, times 0, would be NaN where it is infinite
        at = _ROUND[method](rank)
        return at, at, 0.0
    low, high = math.floor(rank), math.ceil(rank)
    weights = {"linear": rank - low, "midpoint": 0.5}
    if method not in weights:
        raise OpError(f"quantile() got method={method!r}; known are {', '.join(map(repr, [*weights, *_ROUND]))}")
    return low, high, weights[method]


def _numbers(q: Any) -> float | list[float]:
    """q as a float, or as a list of them."""
    try:
        if not getattr(q, "shape", hasattr(q, "__iter__")):
            return float(q)
        if all(not getattr(one, "shape", ()) for one in q):  # NumPy before 2.5 makes floats of rows of one
            return [float(one) for one in q]
    except (TypeError, ValueError):
        pass
    raise OpError(f"quantile() takes a number as q, or a sequence of numbers; got {q!r}")


@op(composite=True, samples=_samples(q=0.3, axis=1))
def quantile(
    x: Any, /, q: float | Sequence[float], *, axis: Any = None, keepdims: bool = False, method: str = "linear"
) -> Any:
    """The value below which the fraction ``q`` of the elements over ``axis`` (None: all) lies; NaN where there is a NaN.

    Of sorted elements, that of rank q (n - 1); between two of them ``method`` decides: "linear" interpolates, "lower",
    "higher", "nearest" (halves to even) and "midpoint" do what they say. The gradient goes to the one or two elements. For
    several q the result has them along a new first axis. Integers give float64.

    Raises ``OpError`` for q outside of [0, 1] or another method, ``ShapeError`` where there are no elements, ``DTypeError`` for
    complex numbers.

    >>> import jitrench_core as jt
    >>> x = jt.tensor([4.0, 1.0, 2.0])
    >>> jt.quantile(x, [0.0, 0.75]), jt.grad(lambda x: jt.quantile(x, 0.75))(x)
    (Tensor([1., 3.]), Tensor([0.5, 0. , 0.5]))
    """
    x = asarray(x)
    if x.dtype.kind != "f":
        if x.dtype.kind == "c":
            raise DTypeError(f"quantile() and median() order elements, and {x.dtype} has no order")
        x = astype(x, "float64")
    axes = normalize_axes(axis, x.ndim)
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    n = math.prod(x.shape[i] for i in axes)
    if not n:
        raise ShapeError(f"quantile() or median() of no elements: the shape is {x.shape} and axis={axis}")
    ordered = sort(reshape(permute_dims(x, (*axes, *kept)), (n, *(x.shape[i] for i in kept))), axis=0)
    last = ordered[-1]  # NaN, where there is one

    def at(q: float) -> Any:
        low, high, weight = _ranks(q, n, method)
        y = ordered[low] if low == high else ordered[low] * (1 - weight) + ordered[high] * weight
        y = where(isnan(last), last, y)
        return unreduced(y, x.shape, axis, False) if keepdims else y

    fractions = _numbers(q)
    if isinstance(fractions, float):
        return at(fractions)
    if not fractions:
        raise OpError("quantile() got no q: it takes a number, or a sequence of one or more")
    return stack(*map(at, fractions), axis=0)


@op(composite=True, samples=_samples(axis=1))
def median(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The middle one of the sorted elements over ``axis`` (None: all); of an even number the mean of the middle two.

    That is NumPy's; PyTorch takes the lower one. The gradient goes to the one, or half and half to the two. NaN, dtypes and
    errors are those of ``quantile``.

    >>> import jitrench_core as jt
    >>> jt.median(jt.tensor([4.0, 1.0, 2.0, 7.0]))
    Tensor(3.)
    """
    return quantile(x, 0.5, axis=axis, keepdims=keepdims)


# -- searching ------------------------------------------------------------------------------------------------------


@op(
    name="searchsorted",
    vjp={"x1": None, "x2": None, "sorter": None},
    samples=lambda rng: ((0 * rng.normal(size=5), rng.normal(size=(2, 3))), {}),
)
def _searchsorted(xp: Any, x1: Any, x2: Any, sorter: Any = None, /, *, side: str = "left") -> Any:
    """Where each element of x2 belongs in the ascending vector x1: int64."""
    if side not in ("left", "right"):
        raise OpError(f"searchsorted() got side={side!r}; expected 'left' or 'right'")
    if len(x1.shape) != 1:
        raise ShapeError(f"searchsorted(): x1 must be a vector, in ascending order; its shape is {tuple(x1.shape)}")
    return xp.astype(xp.searchsorted(x1, _array(xp, x2, x1), side=side, sorter=sorter), xp.int64, copy=False)


def _array(xp: Any, x: Any, like: Any) -> Any:
    """A Python number as an array beside ``like``; a float beside integers stays one."""
    if hasattr(x, "shape"):
        return x
    fraction = isinstance(x, float) and xp.isdtype(like.dtype, "integral")
    return xp.asarray(x, dtype=None if fraction else like.dtype, device=like.device)


def _like(x: Any, like: Any) -> Any:
    """``_array`` on Tensors."""
    fraction = isinstance(x, float) and like.dtype.kind in "iu"
    return x if hasattr(x, "shape") else asarray(x, dtype=None if fraction else like.dtype, device=like.device)


@_searchsorted.batch
def _(batched: Any, x1: Any, x2: Any, sorter: Any = None, /, *, side: str) -> Any:
    """By bisection, all examples at once, where they differ in what is searched."""
    b1, b2, b3 = batched
    if not (b1 or b3):
        return _searchsorted(x1, x2, sorter, side=side)
    size = (x1 if b1 else sorter).shape[0]
    x1 = x1 if b1 else broadcast_to(x1, (size, *x1.shape))
    if sorter is not None:
        x1 = take_along_axis(x1, sorter if b3 else broadcast_to(sorter, (size, *sorter.shape)), axis=1)
    x2 = _like(x2, x1)
    shape, n = x2.shape[b2:], x1.shape[1]
    x2 = reshape(x2, (size if b2 else 1, math.prod(shape)))
    at = zeros((size, x2.shape[1]), dtype="int64", device=x1.device)
    step = 1 << n.bit_length()
    while step := step // 2:
        next_ = at + step
        value = take_along_axis(x1, minimum(next_, n) - 1, axis=1)
        none = x2 != x2  # a NaN stands behind all numbers
        before = (value < x2) | (none & (value == value)) if side == "left" else (value <= x2) | none
        at = where((next_ <= n) & before, next_, at)
    return reshape(at, (size, *shape))


def searchsorted(x1: Any, x2: Any, /, *, side: str = "left", sorter: Any = None) -> Tensor:
    """Where each element of x2 would have to be inserted into the ascending vector x1 to keep it so: int64.

    Before the elements that equal it (``side="left"``), or behind them ("right"). ``sorter`` are indices that sort x1.

    >>> import jitrench_core as jt
    >>> jt.searchsorted(jt.tensor([1.0, 2.0, 2.0]), jt.tensor([2.0, 0.0]), side="right")
    Tensor([3, 0])
    """
    return _searchsorted(x1, x2, sorter, side=side)


@op(
    vjp={"x1": None, "x2": None},
    samples=lambda rng: ((rng.integers(0, 9, size=(3, 4)), rng.integers(0, 9, size=(2, 2))), {}),
)
def isin(xp: Any, x1: Any, x2: Any, /, *, invert: bool = False) -> Any:
    """Whether each element of x1 is one of x2's, or, where ``invert``, none of them.

    >>> import jitrench_core as jt
    >>> jt.isin(jt.tensor([1, 2, 3]), jt.tensor([3, 1]))
    Tensor([ True, False,  True])
    """
    like = x1 if hasattr(x1, "shape") else x2
    x1, x2 = (_array(xp, x, like) for x in (x1, x2))
    x1, x2 = (xp.astype(x, xp.uint8) if x.dtype == xp.bool else x for x in (x1, x2))
    shape, n = tuple(x1.shape), math.prod(x2.shape)
    if not n:
        return xp.full(shape, invert, dtype=xp.bool, device=x1.device)
    x1, x2 = xp.reshape(x1, (-1,)), xp.sort(xp.reshape(x2, (-1,)))
    at = xp.searchsorted(x2, x1)
    hit = xp.take(x2, xp.where(at == n, n - 1, at), axis=0) == x1
    return xp.reshape(hit != invert, shape)


@isin.batch
def _(batched: Any, x1: Any, x2: Any, /, *, invert: bool) -> Any:
    if not batched[1]:
        return isin(x1, x2, invert=invert)
    size, n = x2.shape[0], math.prod(x2.shape[1:])
    shape = x1.shape[batched[0] :] if hasattr(x1, "shape") else ()
    x1 = reshape(x1, (size if batched[0] else 1, math.prod(shape), 1)) if hasattr(x1, "shape") else x1
    hit = any_(x1 == reshape(x2, (size, 1, n)), axis=-1)
    return reshape(hit != invert, (size, *shape))


# -- sets: how many elements there are depends on the data, so nothing here has a derivative or runs under vmap ---------


class UniqueAll(NamedTuple):
    """What ``unique_all`` returns."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """What ``unique_counts`` returns."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """What ``unique_inverse`` returns."""

    values: Tensor
    inverse_indices: Tensor


def _integers(rng: Any) -> Any:
    return (rng.integers(0, 5, size=(3, 4)),), {}


@op(name="unique_all", outputs=4, vjp={"x": None}, samples=_integers)
def _unique_all(xp: Any, x: Any, /) -> Any:
    """The distinct values of x, where each comes first, which one each element is, and how often each comes."""
    return tuple(xp.unique_all(x))


@op(name="unique_counts", outputs=2, vjp={"x": None}, samples=_integers)
def _unique_counts(xp: Any, x: Any, /) -> Any:
    """The distinct values of x, and how often each comes."""
    return tuple(xp.unique_counts(x))


@op(name="unique_inverse", outputs=2, vjp={"x": None}, samples=_integers)
def _unique_inverse(xp: Any, x: Any, /) -> Any:
    """The distinct values of x, and which one each element is."""
    return tuple(xp.unique_inverse(x))


@op(name="unique_values", vjp={"x": None}, samples=_integers)
def _unique_values(xp: Any, x: Any, /) -> Any:
    """The distinct values of x."""
    values = xp.unique_values(x)  # in no order that the standard says
    return xp.sort(values) if xp.isdtype(values.dtype, ("integral", "real floating")) else values


def _refusal(name: str) -> GradientError:
    return GradientError(
        f"{name}() is not differentiable: how many values it gives depends on the data. Where they are constants, detach x: "
        f"{name}(x.detach())"
    )


def _unique(function: Any, x: Any) -> Any:
    x = asarray(x)
    if x.requires_grad:
        raise _refusal(function.op.name)
    return function(x)


def unique_all(x: Any, /) -> UniqueAll:
    """The distinct values of x, ascending: ``(values, indices, inverse_indices, counts)``, a named tuple.

    ``indices`` is where each value comes first in the flattened x, ``inverse_indices`` of x's shape which value each element
    is, ``counts`` how often each comes. NaNs are distinct from each other. Not differentiable: raises ``GradientError`` for a
    tracked x, and ``TransformError`` under ``vmap``.

    >>> import jitrench_core as jt
    >>> jt.unique_all(jt.tensor([3, 1, 3])).inverse_indices
    Tensor([1, 0, 1])
    """
    return UniqueAll(*_unique(_unique_all, x))


def unique_counts(x: Any, /) -> UniqueCounts:
    """The distinct values of x, ascending, and how often each comes: ``(values, counts)``; see ``unique_all``."""
    return UniqueCounts(*_unique(_unique_counts, x))


def unique_inverse(x: Any, /) -> UniqueInverse:
    """The distinct values of x, ascending, and which one each element is: ``(values, inverse_indices)``; see ``unique_all``."""
    return UniqueInverse(*_unique(_unique_inverse, x))


def unique_values(x: Any, /) -> Tensor:
    """The distinct values of x, ascending; see ``unique_all``.

    >>> import jitrench_core as jt
    >>> jt.unique_values(jt.tensor([[3, 1], [1, 2]]))
    Tensor([1, 2, 3])
    """
    made: Tensor = _unique(_unique_values, x)
    return made


def _refuse(function: Any) -> None:
    """Forward mode and vmap ask for rules, and learn why there is none."""
    name = function.op.name

    def jvp(primals: Any, tangents: Any) -> Any:
        raise _refusal(name)

    def batch(batched: Any, x: Any, /) -> Any:
        raise TransformError(
            f"{name}() cannot run under vmap: examples may have different numbers of values. Call it outside, on all of them"
        )

    function.jvp(jvp)
    function.batch(batch)


for _function in (_unique_all, _unique_counts, _unique_inverse, _unique_values):
    _refuse(_function)
