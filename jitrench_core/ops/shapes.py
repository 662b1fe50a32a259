"""Ops that move elements without changing them, and conversions of dtype and device."""

from __future__ import annotations

import math
from itertools import zip_longest
from operator import index
from typing import Any

from ..backend import owner
from ..devices import admitted
from ..devices import device as as_device
from ..dtypes import dtype as as_dtype
from ..errors import AxisError, DTypeError, OpError, ShapeError, TransformError
from ..op import op
from ..tensor import ArrayLike, Tensor
from .creation import arange, asarray, eye, full, together, zeros
from .elementwise import where


def normalize_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """``axis`` (None: all, an int, or a tuple) as a tuple of non-negative ints; ``AxisError`` where out of range."""
    axes = range(ndim) if axis is None else (axis,) if not isinstance(axis, (tuple, list)) else axis
    out = tuple(a + ndim if a < 0 else a for a in axes)
    if any(not 0 <= a < ndim for a in out) or len(set(out)) != len(out):
        raise AxisError(f"axis {axis!r} does not fit {ndim} dimension(s): each must be in [-{ndim}, {ndim}), once")
    return out


def shift_axes(axis: Any, ndim: int) -> Any:
    """``axis`` of an example, as an axis of the batch (whose axis 0 is the batch's)."""
    axes = tuple(a + 1 for a in normalize_axes(axis, ndim))
    return axes if axis is None or isinstance(axis, (tuple, list)) else axes[0]


@op(
    linear=("x",),
    vjp=lambda g, x_shape: reshape(g, x_shape),
    samples=lambda rng: ((rng.normal(size=(2, 6)),), {"shape": (3, 4)}),
)
def reshape(xp: Any, x: Any, /, shape: Any, *, copy: bool | None = None) -> Any:
    """The same elements in row-major order in another shape; one length may be -1.

    ``copy=True`` copies always, ``copy=False`` raises ``ShapeError`` where the library would have to, None leaves it to the
    library. No tensor is written through another, so this is about memory alone.
    """
    return xp.reshape(x, _lengths(shape), copy=copy)


def _lengths(shape: Any) -> tuple[int, ...]:
    return (index(shape),) if hasattr(shape, "__index__") else tuple(map(index, shape))


@reshape.batch
def _(batched: Any, x: Any, /, shape: Any, copy: bool | None) -> Any:
    shape = _lengths(shape)
    if -1 in shape and 0 not in x.shape:
        known = math.prod(n for n in shape if n != -1)
        shape = tuple(x.size // x.shape[0] // known if n == -1 else n for n in shape)
    return reshape(x, (x.shape[0], *shape), copy=copy)


def _inverse(axes: Any) -> tuple[int, ...]:
    axes = normalize_axes(tuple(axes), len(axes))
    return tuple(axes.index(i) for i in range(len(axes)))


@op(
    linear=("x",),
    vjp=lambda g, axes: permute_dims(g, _inverse(axes)),
    samples=lambda rng: ((rng.normal(size=(2, 3, 4)),), {"axes": (2, 0, 1)}),
)
def permute_dims(xp: Any, x: Any, /, axes: Any) -> Any:
    """The axes in another order."""
    return xp.permute_dims(x, tuple(axes))


@permute_dims.batch
def _(batched: Any, x: Any, /, axes: Any) -> Any:
    return permute_dims(x, (0, *shift_axes(tuple(axes), x.ndim - 1)))


@op(linear=("x",), vjp=lambda g: matrix_transpose(g), samples=lambda rng: ((rng.normal(size=(2, 3, 4)),), {}))
def matrix_transpose(xp: Any, x: Any, /) -> Any:
    """The last two axes swapped."""
    return xp.matrix_transpose(x)


@matrix_transpose.check
def _(x: Any, /) -> None:
    if x.ndim < 2:
        raise ShapeError(f"matrix_transpose() needs at least 2 dimensions, got shape {x.shape}")


@matrix_transpose.batch
def _(batched: Any, x: Any, /) -> Any:
    if x.ndim < 3:
        raise ShapeError(f"matrix_transpose() needs at least 2 dimensions, got shape {x.shape[1:]} in a batch")
    return matrix_transpose(x)


@op(composite=True, samples=lambda rng: ((rng.normal(size=(2, 3, 4)),), {"source": 0, "destination": -1}))
def moveaxis(x: Any, /, source: Any, destination: Any) -> Any:
    """The axes ``source`` at the places ``destination``, the others in their order; both an int or a tuple."""
    sources, places = normalize_axes(_lengths(source), x.ndim), normalize_axes(_lengths(destination), x.ndim)
    if len(sources) != len(places):
        raise ShapeError(f"moveaxis(): source={source!r} and destination={destination!r} must have the same length")
    order = [i for i in range(x.ndim) if i not in sources]
    for place, axis in sorted(zip(places, sources, strict=True)):
        order.insert(place, axis)
    return permute_dims(x, tuple(order))


@op(
    linear=("x",),
    vjp=lambda g, k: tril(g, k=k),
    samples=lambda rng: ((rng.normal(size=(2, 3, 4)),), {"k": 1}),
)
def tril(xp: Any, x: Any, /, *, k: int = 0) -> Any:
    """The last two axes' lower triangle, up to and with diagonal ``k``; zeros above it."""
    _needs_matrices("tril", x.shape)
    return xp.tril(x, k=k)


@tril.batch
def _(batched: Any, x: Any, /, *, k: int) -> Any:
    _needs_matrices("tril", x.shape[1:])
    return tril(x, k=k)


@op(
    linear=("x",),
    vjp=lambda g, k: triu(g, k=k),
    samples=lambda rng: ((rng.normal(size=(2, 3, 4)),), {"k": 1}),
)
def triu(xp: Any, x: Any, /, *, k: int = 0) -> Any:
    """The last two axes' upper triangle, from and with diagonal ``k``; zeros below it."""
    _needs_matrices("triu", x.shape)
    return xp.triu(x, k=k)


@triu.batch
def _(batched: Any, x: Any, /, *, k: int) -> Any:
    _needs_matrices("triu", x.shape[1:])
    return triu(x, k=k)


def _needs_matrices(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) < 2:
        raise ShapeError(f"{name}() needs at least 2 dimensions, got shape {shape}")


@op(
    linear=("x",),
    vjp=lambda g, x_shape: reshape(g, x_shape),
    samples=lambda rng: ((rng.normal(size=(2, 1, 3, 1)),), {"axis": (1, 3)}),
)
def squeeze(xp: Any, x: Any, /, axis: Any) -> Any:
    """Remove axes of length 1."""
    return xp.squeeze(x, axis=axis)


@squeeze.batch
def _(batched: Any, x: Any, /, axis: Any) -> Any:
    return squeeze(x, shift_axes(axis, x.ndim - 1))


@op(
    linear=("x",),
    vjp=lambda g, x_shape: reshape(g, x_shape),
    samples=lambda rng: ((rng.normal(size=(2, 3)),), {"axis": 1}),
)
def expand_dims(xp: Any, x: Any, /, axis: Any = 0) -> Any:
    """Insert an axis of length 1 at each position ``axis`` of the result."""
    if isinstance(axis, (tuple, list)):
        for a in sorted(normalize_axes(axis, len(x.shape) + len(axis))):
            x = xp.expand_dims(x, axis=a)
        return x
    return xp.expand_dims(x, axis=index(axis))


@expand_dims.batch
def _(batched: Any, x: Any, /, axis: Any) -> Any:
    n = x.ndim - 1 + len(axis) if isinstance(axis, (tuple, list)) else x.ndim
    return expand_dims(x, axis=shift_axes(axis, n))


@op(
    linear=("x",),
    vjp=lambda g, x_shape: sum_to(g, x_shape),
    samples=lambda rng: ((rng.normal(size=(3, 1)),), {"shape": (2, 3, 4)}),
)
def broadcast_to(xp: Any, x: Any, /, shape: Any) -> Any:
    """Repeat axes of length 1, and new leading ones, up to ``shape``."""
    return xp.broadcast_to(x, _lengths(shape))


@broadcast_to.batch
def _(batched: Any, x: Any, /, shape: Any) -> Any:
    return broadcast_to(align(x, len(shape)), (x.shape[0], *shape))


def align(x: Any, ndim: int) -> Any:
    """A batch of examples, each with axes of length 1 put in front until it has ``ndim``."""
    missing = ndim - (x.ndim - 1)
    return reshape(x, (x.shape[0], *(1,) * missing, *x.shape[1:])) if missing > 0 else x


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that arrays of these shapes broadcast to; ``ShapeError`` where they do not.

    >>> import jitrench_core as jt
    >>> jt.broadcast_shapes((3, 1), (4,))
    (3, 4)
    """
    lengths = [_lengths(s) for s in shapes]
    out = []
    for column in zip_longest(*(reversed(s) for s in lengths), fillvalue=1):
        longer = set(column) - {1}
        if len(longer) > 1:
            raise ShapeError(
                f"broadcast_shapes(): {' and '.join(map(str, lengths))} do not broadcast: from the last axis back, lengths "
                f"must be equal or 1"
            )
        out.append(longer.pop() if longer else 1)
    return tuple(reversed(out))


def broadcast_arrays(*arrays: ArrayLike) -> tuple[Tensor, ...]:
    """Each array, repeated to the shape that all of them broadcast to; ``ShapeError`` where they do not."""
    every = together(arrays)
    shape = broadcast_shapes(*(x.shape for x in every))
    return tuple(broadcast_to(x, shape) for x in every)


@op(
    linear=("x",),
    vjp=lambda g, x_shape: broadcast_to(g, x_shape),
    samples=lambda rng: ((rng.normal(size=(2, 3, 4)),), {"shape": (3, 1)}),
)
def sum_to(xp: Any, x: Any, /, shape: Any) -> Any:
    """Sum the axes that broadcasting from ``shape`` to x's shape repeats: the transpose of ``broadcast_to``."""
    lead = len(x.shape) - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, x.shape[lead:], strict=True)):
        raise ShapeError(f"sum_to(): {tuple(shape)} does not broadcast to the shape {tuple(x.shape)} of x")
    axes = tuple(i for i, n in enumerate(x.shape) if i < lead or (shape[i - lead] == 1 and n != 1))
    return xp.reshape(xp.sum(x, axis=axes) if axes else x, tuple(shape))


@sum_to.batch
def _(batched: Any, x: Any, /, shape: Any) -> Any:
    lead = x.ndim - 1 - len(shape)
    x = x.sum(axis=tuple(range(1, 1 + lead))) if lead > 0 else x
    return sum_to(x, (x.shape[0], *shape))


@op(
    linear=("x",),
    vjp=lambda g, axis: flip(g, axis=axis),
    samples=lambda rng: ((rng.normal(size=(2, 3)),), {"axis": 1}),
)
def flip(xp: Any, x: Any, /, *, axis: Any = None) -> Any:
    """The elements in reverse order along ``axis`` (None: all axes)."""
    return xp.flip(x, axis=axis)


@flip.batch
def _(batched: Any, x: Any, /, *, axis: Any) -> Any:
    return flip(x, axis=shift_axes(axis, x.ndim - 1))


def _negated(shift: Any) -> Any:
    return tuple(-n for n in shift) if isinstance(shift, (tuple, list)) else -shift


@op(
    linear=("x",),
    vjp=lambda g, shift, axis: roll(g, _negated(shift), axis=axis),
    samples=lambda rng: ((rng.normal(size=(2, 3)),), {"shift": 1, "axis": 1}),
)
def roll(xp: Any, x: Any, /, shift: Any, *, axis: Any = None) -> Any:
    """The elements moved on by ``shift`` along ``axis`` (None: in row-major order); what leaves at the end enters at the front.

    ``shift`` and ``axis`` may be tuples of one length.
    """
    return xp.roll(x, shift, axis=axis)


@roll.batch
def _(batched: Any, x: Any, /, shift: Any, *, axis: Any) -> Any:
    if axis is None:
        return reshape(roll(reshape(x, (x.shape[0], -1)), shift, axis=1), x.shape)
    several = isinstance(axis, (tuple, list))
    return roll(
        x, shift, axis=tuple(shift_axes(a, x.ndim - 1) for a in axis) if several else shift_axes(axis, x.ndim - 1)
    )


def _concat_vjp(g: Any, arrays_shape: Any, axis: Any) -> Any:
    if axis is None:
        pieces = _split(g, [math.prod(s) for s in arrays_shape], 0)
        return tuple(reshape(p, s) for p, s in zip(pieces, arrays_shape, strict=True))
    (axis,) = normalize_axes(axis, len(arrays_shape[0]))
    return _split(g, [s[axis] for s in arrays_shape], axis)


def _part(x: Any, axis: int, k: Any) -> Any:
    """x[:, :, k], with ``axis`` colons."""
    return x[(slice(None),) * axis + (k,)]


def _split(x: Any, lengths: list[int], axis: int) -> tuple[Any, ...]:
    stops = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    return tuple(_part(x, axis, slice(b - n, b)) for b, n in zip(stops, lengths, strict=True))


@op(
    linear=("arrays",),
    vjp={"arrays": _concat_vjp},
    samples=lambda rng: ((rng.normal(size=(2, 3)), rng.normal(size=(4, 3))), {"axis": 0}),
)
def concat(xp: Any, /, *arrays: Any, axis: Any = 0) -> Any:
    """Join a sequence of arrays along an axis that they have (None: flatten them first)."""
    return xp.concat(_weak(xp, arrays), axis=axis)


concat.__wrapped__ = lambda arrays, /, *, axis=0: None  # as the standard writes it: one sequence


def _weak(xp: Any, arrays: tuple[Any, ...]) -> list[Any]:
    """Python numbers among arrays become arrays of their dtype."""
    first = next(a for a in arrays if hasattr(a, "shape"))
    return [a if hasattr(a, "shape") else xp.asarray(a, dtype=first.dtype, device=first.device) for a in arrays]


@concat.check
def _(*arrays: Any, axis: Any = 0) -> None:
    if axis is not None and any(getattr(a, "ndim", 0) == 0 for a in arrays):
        raise ShapeError("concat() joins along an axis that its arrays have, and a number has none: use jt.stack")


@concat.batch
def _(batched: Any, /, *arrays: Any, axis: Any) -> Any:
    every = _all_batched(batched, arrays)
    if axis is None:
        return concat([reshape(x, (x.shape[0], -1)) for x in every], axis=1)
    return concat(every, axis=shift_axes(axis, every[0].ndim - 1))


@op(
    linear=("arrays",),
    vjp={"arrays": lambda g, axis: unstack(g, axis=axis)},
    samples=lambda rng: ((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), {"axis": 1}),
)
def stack(xp: Any, /, *arrays: Any, axis: int = 0) -> Any:
    """Join a sequence of arrays of one shape along a new axis."""
    return xp.stack(_weak(xp, arrays), axis=axis)


stack.__wrapped__ = lambda arrays, /, *, axis=0: None  # as the standard writes it: one sequence


def unstack(x: ArrayLike, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The parts of x along ``axis``, without that axis: the reverse of ``stack``.

    All parts' gradients are joined at once, so n parts cost as much as x, not n times as much.

    >>> import jitrench_core as jt
    >>> jt.unstack(jt.tensor([[1, 2], [3, 4]]), axis=1)
    (Tensor([1, 3]), Tensor([2, 4]))
    """
    x = asarray(x)
    (axis,) = normalize_axes(axis, x.ndim)
    return tuple(_part(x, axis, i) for i in range(x.shape[axis]))


def split(x: ArrayLike, /, indices_or_sections: Any, axis: int = 0) -> tuple[Tensor, ...]:
    """x cut along ``axis``: into a number of equal sections, or before each of the indices of a list.

    As ``unstack``, n parts cost as much as x. Raises ``ShapeError`` where the axis does not divide into the sections. (A
    number is one of sections, as in NumPy; PyTorch takes the size of a part.)

    >>> import jitrench_core as jt
    >>> [p.tolist() for p in jt.split(jt.arange(6), 3)], [p.tolist() for p in jt.split(jt.arange(6), [1, 4])]
    ([[0, 1], [2, 3], [4, 5]], [[0], [1, 2, 3], [4, 5]])
    """
    x = asarray(x)
    (axis,) = normalize_axes(axis, x.ndim)
    n = x.shape[axis]
    cuts = indices_or_sections.tolist() if getattr(indices_or_sections, "ndim", 0) else indices_or_sections
    if isinstance(cuts, (tuple, list)):
        stops = [*(_cut(k) for k in cuts), n]
    else:
        sections = _cut(cuts)
        if sections < 1 or n % sections:
            raise ShapeError(
                f"split(): axis {axis} of length {n} does not divide into {sections} equal section(s): give the indices "
                f"to cut at, such as split(x, [{-(-n // max(sections, 1))}])"
            )
        stops = [n // sections * (i + 1) for i in range(sections)]
    return tuple(_part(x, axis, slice(a, b)) for a, b in zip([0, *stops], stops, strict=False))


def _cut(k: Any) -> int:
    try:
        return index(k)
    except TypeError:
        raise DTypeError(f"split() takes a number of sections or indices to cut at, ints; got {k!r}") from None


@stack.batch
def _(batched: Any, /, *arrays: Any, axis: int) -> Any:
    every = _all_batched(batched, arrays)
    return stack(every, axis=shift_axes(axis, every[0].ndim))


def _all_batched(batched: tuple[bool, ...], arrays: tuple[Any, ...]) -> list[Any]:
    """Every operand with the batch's axis in front."""
    first = next(x for x, b in zip(arrays, batched, strict=True) if b)
    size = first.shape[0]
    arrays = tuple(x if hasattr(x, "shape") else full((), x, dtype=first.dtype, device=first.device) for x in arrays)
    return [x if b else broadcast_to(x, (size, *x.shape)) for x, b in zip(arrays, batched, strict=True)]


# -- repeating --------------------------------------------------------------------------------------------------------


@op(composite=True, samples=lambda rng: ((rng.normal(size=(2, 3)),), {"repetitions": (2, 2)}))
def tile(x: Any, /, repetitions: Any) -> Any:
    """x set side by side, ``repetitions`` times along each axis; the shorter of x.shape and repetitions gets ones in front."""
    times = _lengths(repetitions)
    if min(times, default=1) < 0:
        raise ShapeError(f"tile(): repetitions must not be negative, got {repetitions!r}")
    ndim = max(len(times), x.ndim)
    times, shape = (1,) * (ndim - len(times)) + times, (1,) * (ndim - x.ndim) + x.shape
    x = reshape(x, [n for length in shape for n in (1, length)])
    x = broadcast_to(x, [n for pair in zip(times, shape, strict=True) for n in pair])
    return reshape(x, [t * n for t, n in zip(times, shape, strict=True)])


@op(composite=True, samples=lambda rng: ((rng.normal(size=(2, 3)), 2), {"axis": 1}))
def repeat(x: Any, repeats: Any, /, *, axis: Any = None) -> Any:
    """Each element along ``axis`` (None: of the flattened array) ``repeats`` times in a row.

    ``repeats`` is an int, or integers, one for each element. PyTorch calls this ``repeat_interleave``.

    >>> import jitrench_core as jt
    >>> jt.repeat(jt.tensor([5, 6, 7]), jt.tensor([1, 0, 2]))
    Tensor([5, 7, 7])

    Raises ``ShapeError`` where the number of repeats does not fit the axis or one is negative.
    """
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    (axis,) = normalize_axes(axis, x.ndim)
    n = x.shape[axis]
    times, least = (repeats, repeats) if type(repeats) is int else _counts(asarray(repeats), n, axis)
    if least < 0:
        raise ShapeError(f"repeat(): repeats must not be negative, got {least}")
    if not isinstance(times, int):
        from .scans import cumulative_sum
        from .sorting import searchsorted

        stops = cumulative_sum(astype(times, "int64"), include_initial=True)
        every = arange(int(stops[-1]), dtype="int64", device=times.device)
        return _part(x, axis, searchsorted(stops[1:], every, side="right"))
    before, after = x.shape[: axis + 1], x.shape[axis + 1 :]
    wide = broadcast_to(expand_dims(x, axis=axis + 1), (*before, times, *after))
    return reshape(wide, (*before[:-1], n * times, *after))


def _counts(repeats: Any, n: int, axis: int) -> Any:
    """``repeats`` as an int or a tensor of n integers, and the least of them."""
    from .reductions import min as min_

    if repeats.dtype.kind not in "iu" or repeats.ndim > 1:
        raise DTypeError(
            f"repeat(): repeats must be an int or integers along one axis; got {repeats.dtype} {repeats.shape}"
        )
    try:
        least = int(min_(repeats)) if repeats.size else 0
    except TransformError:
        raise TransformError(
            "repeat() by numbers that differ between the examples of vmap gives results of different lengths: batch over "
            "x alone"
        ) from None
    if repeats.size == 1:
        return least, least
    if repeats.size != n:
        raise ShapeError(f"repeat(): {repeats.size} repeats came for axis {axis} of length {n}: one for each element")
    return repeats, least


def meshgrid(*arrays: ArrayLike, indexing: str = "xy") -> tuple[Tensor, ...]:
    """Coordinates on the grid of 1-d arrays, one array of the grid's shape for each.

    The i-th array runs along axis i; with ``indexing="xy"`` the first two axes are swapped, as for a picture's.

    >>> import jitrench_core as jt
    >>> [g.shape for g in jt.meshgrid(jt.arange(2), jt.arange(3), indexing="ij")]
    [(2, 3), (2, 3)]
    """
    if indexing not in ("xy", "ij"):
        raise OpError(f"meshgrid(): indexing must be 'xy' or 'ij', got {indexing!r}")
    every = together(arrays)
    if any(x.ndim > 1 for x in every):
        raise ShapeError(f"meshgrid() takes 1-d arrays, got shapes {', '.join(str(x.shape) for x in every)}")
    if len({x.dtype for x in every}) > 1:
        raise DTypeError(f"meshgrid() takes arrays of one dtype, got {', '.join(str(x.dtype) for x in every)}")
    axes = list(range(len(every)))
    if indexing == "xy" and len(every) > 1:
        axes[:2] = 1, 0
    shape = tuple(every[a].size for a in axes)
    spread = (reshape(x, [-1 if a == i else 1 for a in axes]) for i, x in enumerate(every))
    return tuple(broadcast_to(x, shape) for x in spread)


@op(composite=True, samples=lambda rng: ((rng.normal(size=(2, 3)),), {"k": 1}))
def diag(x: Any, /, *, k: int = 0) -> Any:
    """Square matrices with the vectors of x's last axis on their diagonal ``k``, and zeros elsewhere.

    Batched over the leading axes; for the diagonal of a matrix take ``diagonal``. Raises ``ShapeError`` for a 0-d x.
    """
    if x.ndim < 1:
        raise ShapeError("diag() needs a vector, got shape (): it puts the last axis on a diagonal")
    if k:
        x = concat([x, zeros((*x.shape[:-1], abs(k)), dtype=x.dtype, device=x.device)], axis=-1)
    on = eye(x.shape[-1], k=k, dtype="bool", device=x.device)
    return where(on, expand_dims(x, axis=-1 if k >= 0 else -2), False if x.dtype.kind == "b" else 0)


# -- conversions ------------------------------------------------------------------------------------------------------


@op(
    name="astype",
    linear=("x",),
    vjp=lambda g: g,
    samples=lambda rng: ((rng.normal(size=(2, 3)),), {"dtype": "float64"}),
)
def _astype(xp: Any, x: Any, /, dtype: Any, *, copy: bool = True) -> Any:
    """The values converted to ``dtype``. A gradient converts back; an integer result has none."""
    return xp.astype(x, owner(type(x)).native_dtype(as_dtype(dtype)), copy=copy)


@_astype.batch
def _(batched: Any, x: Any, /, *, dtype: Any, copy: bool) -> Any:
    return _astype(x, dtype, copy=copy)


def astype(x: ArrayLike, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """The values converted to ``dtype``, and moved to ``device`` where one is given; a gradient takes the way back.

    An integer result has no gradient. ``copy=False`` lets the library return the same memory where the dtype fits already.
    """
    return _astype(x if device is None else asarray(x).to(device), dtype, copy=copy)


@op(linear=("x",), vjp=lambda g, device, source: to_device(g, device=source, source=device), samples=None)
def to_device(xp: Any, x: Any, /, *, device: str, source: str) -> Any:
    """x on another device; its gradient comes back. Users call ``t.to(device)``."""
    target, home = as_device(device), owner(type(x))
    same = target.backend is home
    return admitted(target.backend, target.backend.asarray(x if same else home.to_numpy(x), index=target.index))


@to_device.batch
def _(batched: Any, x: Any, /, *, device: str, source: str) -> Any:
    return to_device(x, device=device, source=source)
