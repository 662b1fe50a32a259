"""Ops that move elements without changing them, and conversions of dtype and device."""

from __future__ import annotations

import math
from operator import index
from typing import Any

from ..backend import device as as_device
from ..backend import owner
from ..dtypes import dtype as as_dtype
from ..errors import GradientError, ShapeError
from ..op import op
from .creation import full


def normalize_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """``axis`` (None: all, an int, or a tuple) as a tuple of non-negative ints; ``ShapeError`` where out of range."""
    axes = range(ndim) if axis is None else (axis,) if not isinstance(axis, (tuple, list)) else axis
    out = tuple(a + ndim if a < 0 else a for a in axes)
    if any(not 0 <= a < ndim for a in out) or len(set(out)) != len(out):
        raise ShapeError(f"axis {axis!r} does not fit {ndim} dimension(s): each must be in [-{ndim}, {ndim}), once")
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
def reshape(xp: Any, x: Any, /, shape: Any) -> Any:
    """The same elements in row-major order in another shape; one length may be -1."""
    return xp.reshape(x, _lengths(shape))


def _lengths(shape: Any) -> tuple[int, ...]:
    return (index(shape),) if hasattr(shape, "__index__") else tuple(map(index, shape))


@reshape.batch
def _(batched: Any, x: Any, /, shape: Any) -> Any:
    shape = _lengths(shape)
    if -1 in shape and 0 not in x.shape:
        known = math.prod(n for n in shape if n != -1)
        shape = tuple(x.size // x.shape[0] // known if n == -1 else n for n in shape)
    return reshape(x, (x.shape[0], *shape))


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
def expand_dims(xp: Any, x: Any, /, *, axis: Any = 0) -> Any:
    """Insert an axis of length 1 at each position ``axis`` of the result."""
    if isinstance(axis, (tuple, list)):
        for a in sorted(normalize_axes(axis, len(x.shape) + len(axis))):
            x = xp.expand_dims(x, axis=a)
        return x
    return xp.expand_dims(x, axis=index(axis))


@expand_dims.batch
def _(batched: Any, x: Any, /, *, axis: Any) -> Any:
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


def _concat_vjp(g: Any, arrays_shape: Any, axis: Any) -> Any:
    if axis is None:
        pieces = _split(g, [math.prod(s) for s in arrays_shape], 0)
        return tuple(reshape(p, s) for p, s in zip(pieces, arrays_shape, strict=True))
    (axis,) = normalize_axes(axis, len(arrays_shape[0]))
    return _split(g, [s[axis] for s in arrays_shape], axis)


def _split(x: Any, lengths: list[int], axis: int) -> tuple[Any, ...]:
    stops = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    return tuple(x[(slice(None),) * axis + (slice(b - n, b),)] for b, n in zip(stops, lengths, strict=True))


@op(
    linear=("arrays",),
    vjp={"arrays": _concat_vjp},
    samples=lambda rng: ((rng.normal(size=(2, 3)), rng.normal(size=(4, 3))), {"axis": 0}),
)
def concat(xp: Any, /, *arrays: Any, axis: Any = 0) -> Any:
    """Join a sequence of arrays along an axis that they have (None: flatten them first)."""
    return xp.concat(_weak(xp, arrays), axis=axis)


def _weak(xp: Any, arrays: tuple[Any, ...]) -> list[Any]:
    """Python numbers among arrays become arrays of their dtype."""
    first = next(a for a in arrays if hasattr(a, "shape"))
    return [a if hasattr(a, "shape") else xp.asarray(a, dtype=first.dtype, device=first.device) for a in arrays]


@concat.batch
def _(batched: Any, /, *arrays: Any, axis: Any) -> Any:
    every = _all_batched(batched, arrays)
    if axis is None:
        return concat([reshape(x, (x.shape[0], -1)) for x in every], axis=1)
    return concat(every, axis=shift_axes(axis, every[0].ndim - 1))


@op(
    linear=("arrays",),
    vjp={"arrays": lambda g, arrays_shape, axis: _unstack(g, len(arrays_shape), axis)},
    samples=lambda rng: ((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), {"axis": 1}),
)
def stack(xp: Any, /, *arrays: Any, axis: int = 0) -> Any:
    """Join a sequence of arrays of one shape along a new axis."""
    return xp.stack(_weak(xp, arrays), axis=axis)


def _unstack(g: Any, n: int, axis: int) -> tuple[Any, ...]:
    (axis,) = normalize_axes(axis, g.ndim)
    return tuple(g[(slice(None),) * axis + (i,)] for i in range(n))


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


def _astype_vjp(g: Any, x_dtype: Any) -> Any:
    if g.dtype.kind == "c":
        raise GradientError(
            "differentiating through complex numbers is not implemented yet: astype from real to complex"
        )
    return astype(g, x_dtype)


@op(
    linear=("x",),
    vjp=_astype_vjp,
    samples=lambda rng: ((rng.normal(size=(2, 3)),), {"dtype": "float64"}),
)
def astype(xp: Any, x: Any, /, dtype: Any, *, copy: bool = True) -> Any:
    """The values converted to ``dtype``. A gradient converts back; an integer result has none."""
    return xp.astype(x, owner(type(x)).native_dtype(as_dtype(dtype)), copy=copy)


@astype.batch
def _(batched: Any, x: Any, /, *, dtype: Any, copy: bool) -> Any:
    return astype(x, dtype, copy=copy)


@op(linear=("x",), vjp=lambda g, device, source: to_device(g, device=source, source=device), samples=None)
def to_device(xp: Any, x: Any, /, *, device: str, source: str) -> Any:
    """x on another device; its gradient comes back. Users call ``t.to(device)``."""
    target, home = as_device(device), owner(type(x))
    same = target.backend is home
    return target.backend.asarray(x if same else home.to_numpy(x), index=target.index)


@to_device.batch
def _(batched: Any, x: Any, /, *, device: str, source: str) -> Any:
    return to_device(x, device=device, source=source)
