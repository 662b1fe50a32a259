"""Adding at places, ``x.at[key]``, and functions of the selected elements alone.

All are made of the three ops of ``indexing``: reading, writing, and adding at places, so each has derivatives of any order,
forward mode and batches, with batched index arrays, too. Repeated indices add up where something is added.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from ..backend import dtype_of, owner
from ..dtypes import dtype as as_dtype
from ..errors import BoundsError, DTypeError, OpError, ShapeError, TransformError
from ..op import op
from ..tensor import ArrayLike, Tensor
from .creation import arange, asarray, full
from .elementwise import divide, not_equal, where
from .indexing import (
    ARRAY,
    Key,
    along,
    check_rank,
    fits,
    getitem,
    integers,
    one_axis,
    scatter_extremum,
    scatter_pieces,
    setitem,
    split_key,
    take_along_axis,
    whole,
)
from .reductions import any as any_
from .reductions import argmax, sum
from .shapes import astype, broadcast_arrays, broadcast_to, concat, reshape
from .sorting import argsort

# -- adding at places -------------------------------------------------------------------------------------------------


@op(
    composite=True,
    samples=lambda rng: (
        (rng.normal(size=(3, 4)), rng.integers(0, 4, size=(2, 5)), rng.normal(size=(3, 5))),
        {"axis": 1},
    ),
)
def scatter_add(x: Any, index: Any, src: Any, /, axis: int) -> Any:
    """``y[i, index[i, j]] += src[i, j]`` on a copy y of x, for ``axis`` = 1 of two: PyTorch's scatter_add.

    ``index`` may be shorter than ``src``, and than x along the other axes. The transpose of ``gather``.
    """
    axis = check_rank("scatter_add", x, index, axis)
    if src.ndim != x.ndim:
        raise ShapeError(f"scatter_add(): src of shape {src.shape} needs as many axes as x of shape {x.shape}")
    fits("scatter_add", index.shape, x.shape, "x", but=axis)
    fits("scatter_add", index.shape, src.shape, "src")
    if src.shape != index.shape:
        src = src[tuple(slice(n) for n in index.shape)]
    return _add_at("scatter_add", x, src, along(index, index.shape, axis), (ARRAY,) * x.ndim)


@op(
    composite=True,
    samples=lambda rng: (
        (rng.normal(size=(3, 4)), rng.integers(0, 4, size=5), rng.normal(size=(3, 5))),
        {"axis": 1},
    ),
)
def index_add(x: Any, index: Any, source: Any, /, axis: int) -> Any:
    """A copy of x with part i of ``source`` along ``axis`` added to part ``index[i]``: PyTorch's index_add."""
    integers("index_add", index.dtype, index.shape)
    axis = one_axis("index_add", axis, x)
    expected = (*x.shape[:axis], index.size, *x.shape[axis + 1 :])
    if index.ndim != 1 or source.shape != expected:
        raise ShapeError(
            f"index_add(): along axis {axis} of x of shape {x.shape}, an index of shape {index.shape} needs to be 1-d and "
            f"a source of shape {expected}; got {source.shape}"
        )
    return _add_at("index_add", x, source, (index,), (slice(None),) * axis + (ARRAY,))


def _add_at(who: str, x: Any, value: Any, indices: tuple[Any, ...], key: Key) -> Any:
    """x with ``value``, of the shape of x[key], added at ``key``."""
    _check_kind(who, x, value)
    return x + scatter_pieces(value, *indices, shape=x.shape, dtype=x.dtype, keys=((key, len(indices)),))


_KINDS = "buifc"


def _check_kind(who: str, x: Any, value: Any) -> None:
    ranks = [_KINDS.index("i" if v.dtype.kind == "u" else v.dtype.kind) for v in (x, value)]
    if ranks[1] > ranks[0] or x.dtype.kind == "b":
        raise DTypeError(f"{who}: {value.dtype} cannot go into x of {x.dtype}: convert x first, by x.astype(...)")


# -- x.at[key] --------------------------------------------------------------------------------------------------------


@final
class At:
    """``x.at``: write ``x.at[key].set(v)`` for a new tensor that differs from x at ``key``; x stays as it is."""

    __slots__ = ("_x",)

    def __init__(self, x: Tensor) -> None:
        self._x = x

    def __getitem__(self, key: Any) -> Place:
        return Place(self._x, *split_key(self._x, key))


@final
class Place:
    """``x.at[key]``: what can be done there. Each method returns a new tensor of x's shape and dtype.

    Where ``key`` repeats a place, ``set`` keeps the last value, and the others take all of them, one after the other.

    >>> import jitrench_core as jt
    >>> x = jt.tensor([1.0, 2.0, 3.0])
    >>> x.at[[0, 0, 2]].add(10.0), x.at[1:].set(0.0), x.at[[0, 0]].multiply(3.0)
    (Tensor([21.,  2., 13.]), Tensor([1., 0., 0.]), Tensor([9., 2., 3.]))
    """

    __slots__ = ("_indices", "_key", "_x")

    def __init__(self, x: Tensor, key: Key, indices: tuple[Any, ...]) -> None:
        self._x = x
        self._key = key
        self._indices = indices

    def get(self) -> Tensor:
        """x[key]"""
        return getitem(self._x, *self._indices, key=self._key)

    def set(self, value: ArrayLike) -> Tensor:
        """``value`` at ``key``, as ``x[key] = value`` writes it."""
        return setitem(self._x, value, *self._indices, key=self._key)

    def add(self, value: ArrayLike) -> Tensor:
        """x[key] + value at ``key``."""
        value = self._wide("add", value)
        return _add_at("x.at[...].add()", self._x, value, self._indices, self._key)  # type: ignore[no-any-return]

    def subtract(self, value: ArrayLike) -> Tensor:
        """x[key] - value at ``key``."""
        return self.add(-self._wide("subtract", value))

    def multiply(self, value: ArrayLike) -> Tensor:
        """x[key] * value at ``key``."""
        return self._scale("multiply", value, lambda a, b: a * b)

    mul = multiply

    def divide(self, value: ArrayLike) -> Tensor:
        """x[key] / value at ``key``, for a floating-point x."""
        if self._x.dtype.kind not in "fc":
            raise DTypeError(f"x.at[...].divide() makes floating-point numbers, x is {self._x.dtype}: convert x first")
        return self._scale("divide", value, divide)

    def min(self, value: ArrayLike) -> Tensor:
        """The smaller of x[key] and value at ``key``; equal ones share the gradient evenly."""
        return scatter_extremum(self._x, self._wide("min", value), *self._indices, key=self._key, largest=False)

    def max(self, value: ArrayLike) -> Tensor:
        """The larger of x[key] and value at ``key``; equal ones share the gradient evenly."""
        return scatter_extremum(self._x, self._wide("max", value), *self._indices, key=self._key, largest=True)

    def _wide(self, who: str, value: ArrayLike) -> Tensor:
        """``value`` as a tensor of x[key]'s shape."""
        x = self._x
        if type(value) is not Tensor:
            value = asarray(value, device=None if hasattr(value, "device") else x.device)
        _check_kind(f"x.at[...].{who}()", x, value)
        value = value if value.dtype == x.dtype else astype(value, x.dtype)
        like = broadcast_to(full((), False, device=x.device), x.shape)
        shape = getitem(like, *self._indices, key=self._key).shape
        try:
            return value if value.shape == shape else broadcast_to(value, shape)
        except ShapeError as e:
            raise ShapeError(
                f"x.at[...].{who}(): a value of shape {value.shape} does not broadcast to the shape {shape} of x[key]"
            ) from e

    def _scale(self, who: str, value: ArrayLike, combine: Callable[[Any, Any], Any]) -> Tensor:
        """x[key] and the product of the values that fall on each place, combined."""
        x, value = self._x, self._wide(who, value)
        if all(a.dtype.kind == "b" for a in self._indices):  # no place comes twice
            return self.set(combine(self.get(), value))
        every = reshape(arange(x.size, dtype="int64", device=x.device), x.shape)
        places = reshape(getitem(every, *self._indices, key=self._key), (-1,))
        order = argsort(places)
        places, products = places[order], reshape(value, (-1,))[order]
        step = 1
        while step < places.size:  # of each run of one place, the products from its first element on
            same = places[step:] == places[:-step]
            if _none(same):
                break
            longer = where(same, products[:-step] * products[step:], products[step:])
            products = concat([products[:step], longer])
            step *= 2
        flat = reshape(x, (-1,))
        return reshape(setitem(flat, combine(flat[places], products), places, key=(ARRAY,)), x.shape)


def _none(flags: Tensor) -> bool:
    """Whether no flag is known to be set; under vmap nothing is known."""
    try:
        return not bool(any_(flags))
    except TransformError:
        return False


# -- of zeros and classes ---------------------------------------------------------------------------------------------


@op(vjp={"x": None}, samples=None)  # how many there are depends on the data: no battery
def flat_nonzero(xp: Any, x: Any, /) -> Any:
    """The places, in row-major order, of the elements that are not zero."""
    return xp.nonzero(xp.reshape(x, (-1,)))[0]


@flat_nonzero.batch
def _(batched: Any, x: Any, /) -> Any:
    raise TransformError(
        "nonzero() under vmap finds a different number of elements in each example: use jt.where(x != 0, ...), which keeps "
        "the shape, or jt.count_nonzero"
    )


def nonzero(x: ArrayLike, /) -> tuple[Tensor, ...]:
    """The indices of the elements that are not zero, in row-major order: one int64 array for each axis.

    >>> import jitrench_core as jt
    >>> jt.nonzero(jt.tensor([[0, 5], [6, 0]]))
    (Tensor([0, 1]), Tensor([1, 0]))

    Raises ``ShapeError`` for a 0-d x.
    """
    x = asarray(x)
    if not x.ndim:
        raise ShapeError("nonzero() of a 0-d tensor has no index to return: test x != 0")
    places = flat_nonzero(x)
    out: list[Tensor] = []
    for n in reversed(x.shape):
        out.append(places % n if len(out) < x.ndim - 1 else places)
        places = places // n
    return tuple(reversed(out))


@op(composite=True, samples=lambda rng: ((rng.integers(0, 2, size=(3, 4)),), {"axis": 1}))
def count_nonzero(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """How many elements over ``axis`` (None: all) are not zero, in int64."""
    return sum(astype(x if x.dtype.kind == "b" else not_equal(x, 0), "int64"), axis=axis, keepdims=keepdims)


@op(vjp={"indices": None}, samples=lambda rng: ((rng.integers(0, 4, size=(2, 3)),), {"num_classes": 4}))
def one_hot(xp: Any, indices: Any, /, num_classes: int, *, dtype: Any = "float64") -> Any:
    """A new last axis of ``num_classes`` elements, 1 at the index and 0 elsewhere.

    Raises ``DTypeError`` where ``indices`` are not integers, and ``BoundsError`` where one is negative or too large.
    """
    who = owner(type(indices))
    integers("one_hot", dtype_of(indices), indices.shape)
    num_classes = whole("one_hot()", "num_classes", num_classes)
    if num_classes < 0:
        raise ShapeError(f"one_hot() got num_classes={num_classes}: it must be 0 or above")
    if not dtype_of(indices).name.endswith("64"):  # a small dtype may not hold the number of classes
        indices = xp.astype(indices, xp.int64)
    if bool(xp.any((indices < 0) | (indices >= num_classes))):
        raise BoundsError(
            f"one_hot(): an index is out of bounds for {num_classes} classes: it must be in [0, {num_classes})"
        )
    classes = xp.arange(num_classes, dtype=indices.dtype, device=indices.device)
    return xp.astype(xp.expand_dims(indices, axis=-1) == classes, who.native_dtype(as_dtype(dtype)))


@one_hot.batch
def _(batched: Any, indices: Any, /, *, num_classes: int, dtype: Any) -> Any:
    return one_hot(indices, num_classes, dtype=dtype)


# -- a function of the selected elements alone ------------------------------------------------------------------------


def apply_where(cond: ArrayLike, f: Callable[..., ArrayLike], *args: ArrayLike, fill_value: complex = 0) -> Tensor:
    """f of those elements of ``args`` where ``cond`` is true, and ``fill_value`` elsewhere.

    ``cond`` and ``args`` broadcast. ``f`` is an elementwise function: it gets the selected elements as 1-d tensors (perhaps
    empty ones) and returns a tensor of their shape. It never sees the others, so that neither its value nor its gradient
    there, NaN or infinite as it may be, reaches the result: their gradient is exactly 0.

    >>> import jitrench_core as jt
    >>> safe_sqrt = lambda x: jt.apply_where(x > 0, jt.sqrt, x)
    >>> jt.value_and_grad(lambda x: safe_sqrt(x).sum())(jt.tensor([4.0, 0.0, -1.0]))
    (Tensor(2.), Tensor([0.25, 0.  , 0.  ]))

    Where ``cond`` differs between the examples of ``vmap`` it cannot be looked at. Then f runs on all elements, with one of
    the selected in place of those that are not (the example's first; where it has none, the first of all examples): value
    and gradient are the same. Only where no example selects any does f see another element; what f then returns is
    dropped, and so is the gradient in ``args``, but not that in a tensor f closes over, if it is not finite.

    Raises ``DTypeError`` where ``cond`` is not boolean, ``ShapeError`` where f returns another shape.
    """
    if not callable(f):
        raise OpError(f"apply_where(cond, f, *args) takes a function as its second argument; got {type(f).__name__}")
    if not args:
        raise OpError("apply_where(cond, f, *args) needs at least one array to apply f to")
    if not hasattr(cond, "shape"):  # Python's goes where the operands are
        cond = asarray(cond, device=next((a.device for a in args if type(a) is Tensor), None))
    cond = asarray(cond)
    if cond.dtype.kind != "b":
        raise DTypeError(f"apply_where(): cond must be boolean, got {cond.dtype}: write x != 0 or the like")
    mask, *operands = broadcast_arrays(cond, *(_like(a, cond) for a in args))
    try:
        bool(any_(mask))
    except TransformError:
        return _apply_everywhere(mask, f, operands, fill_value)
    selected = [a[mask] for a in operands]
    y = _elementwise(f, selected)
    fill_value = _filler(fill_value, y)
    return setitem(full(mask.shape, fill_value, dtype=y.dtype, device=y.device), y, mask, key=(ARRAY,))


@op(vjp={"mask": None, "x": None}, samples=lambda rng: ((rng.normal(size=5) < 9, rng.normal(size=5)), {}))
def first_selected(xp: Any, mask: Any, x: Any, /) -> Any:
    """Of a 1-d x the first element where ``mask`` is true, or the very first where it never is: a constant.

    Under ``vmap`` an example that selects none takes another's, so that a function need not meet what nobody selected.
    """
    return x[xp.argmax(xp.astype(mask, xp.int64))]


@first_selected.batch
def _(batched: Any, mask: Any, x: Any, /) -> Any:
    shape = (mask if batched[0] else x).shape
    mask, x = broadcast_to(mask, shape), broadcast_to(x, shape)
    own = take_along_axis(x, argmax(astype(mask, "int64"), axis=1, keepdims=True), axis=1)[:, 0]
    return where(any_(mask, axis=1), own, first_selected(reshape(mask, (-1,)), reshape(x, (-1,))))


def _like(a: ArrayLike, cond: Tensor) -> Tensor:
    """An operand as a tensor; a Python number on the condition's device."""
    return a if type(a) is Tensor else asarray(a, device=None if hasattr(a, "shape") else cond.device)


def _filler(value: Any, y: Tensor) -> Any:
    """The fill value, which must not change the dtype of f's result."""
    if y.dtype.kind == "b" and not hasattr(value, "shape") and value in (0, 1):
        return bool(value)
    kind = asarray(value).dtype.kind
    if _KINDS.index(kind) > _KINDS.index(y.dtype.kind) and (kind, y.dtype.kind) != ("i", "u"):
        raise DTypeError(
            f"apply_where(): fill_value={value!r} does not fit {y.dtype}, the dtype of what f returned: convert that first"
        )
    return value


def _elementwise(f: Callable[..., ArrayLike], operands: list[Tensor]) -> Tensor:
    y = _like(f(*operands), operands[0])
    if y.shape != operands[0].shape:
        raise ShapeError(
            f"apply_where(): f got {operands[0].shape[0]} selected element(s) and returned shape {y.shape}; it must be an "
            f"elementwise function, whose result has the shape {operands[0].shape}"
        )
    return y


def _apply_everywhere(mask: Tensor, f: Callable[..., ArrayLike], operands: list[Tensor], fill_value: complex) -> Tensor:
    """``where`` around f and inside it: a place that is not selected gets a selected element, as a constant."""
    flat = reshape(mask, (-1,))
    if not flat.size:
        y = _elementwise(f, [reshape(a, (-1,)) for a in operands])
        return reshape(y, mask.shape)
    rows = [reshape(a, (-1,)) for a in operands]
    safe = [where(flat, a, first_selected(flat, a)) for a in rows]
    y = _elementwise(f, safe)
    return reshape(where(flat, y, _filler(fill_value, y)), mask.shape)
