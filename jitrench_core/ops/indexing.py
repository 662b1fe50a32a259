"""Reading and writing parts of a tensor: slices, integers, ellipsis, new axes, boolean and integer arrays.

A key is split into a template, an attribute in which ``ARRAY`` marks the places of index arrays, and the index arrays, which
are array inputs. The generic forwards below need nothing beyond the Array API standard; backends have faster kernels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from operator import index
from typing import Any, final

from ..backend import owner
from ..dtypes import DType
from ..dtypes import dtype as as_dtype
from ..errors import DTypeError, OpError, ShapeError, TransformError
from ..graph import Piece
from ..op import op
from ..tensor import Tensor, assign
from .creation import arange, asarray, zeros, zeros_like
from .elementwise import where
from .shapes import align, astype, broadcast_to, expand_dims, normalize_axes, permute_dims, reshape, sum_to


@final
class _Array:
    def __repr__(self) -> str:
        return "ARRAY"

    def __reduce__(self) -> str:
        return "ARRAY"


ARRAY = _Array()
Key = tuple[Any, ...]


def split_key(x: Tensor, key: Any) -> tuple[Key, tuple[Any, ...]]:
    """A user's key as a template and the index arrays that belong in it."""
    template: list[Any] = []
    arrays: list[Any] = []
    for k in key if isinstance(key, tuple) else (key,):
        if k is None or k is Ellipsis:
            template.append(k)
        elif isinstance(k, slice):
            try:
                template.append(slice(*(None if v is None else int(v.__index__()) for v in (k.start, k.stop, k.step))))
            except AttributeError:
                raise OpError(f"a slice takes ints, got {k.start!r}:{k.stop!r}:{k.step!r}") from None
        elif isinstance(k, bool):
            raise OpError(
                "a single bool is no index: use a boolean array of the tensor's shape, or None for a new axis"
            )
        elif isinstance(k, int):
            template.append(k)
        elif isinstance(k, (Tensor, list)) or hasattr(k, "shape"):
            a = (
                asarray(k, device=x.device)
                if isinstance(k, list)
                else asarray(k, copy=None if type(k) is Tensor else True)
            )
            if isinstance(k, list) and a.size == 0:
                a = asarray(k, dtype="int64", device=x.device)
            if a.dtype.kind not in "iub":
                raise OpError(f"an index array must be of integers or booleans; got {a.dtype} of shape {a.shape}")
            if not a.shape and a.dtype.kind == "b" and type(k) is not Tensor:
                raise OpError(
                    "a single bool is no index: use a boolean array of the tensor's shape, or None for a new axis"
                )
            if not a.shape and type(k) is not Tensor:
                template.append(int(a.item()))
            else:
                template.append(ARRAY)
                arrays.append(a)
        else:
            raise OpError(
                f"cannot index by {type(k).__name__}: use ints, slices, ..., None, or arrays of ints or bools"
            )
    if sum(k is Ellipsis for k in template) > 1:
        raise OpError("an index can have only one ellipsis (...)")
    return tuple(template), tuple(arrays)


def whole(who: str, what: str, value: Any) -> int:
    """``value`` as an int; ``DTypeError`` where it is none."""
    try:
        return index(value)
    except TypeError:
        raise DTypeError(f"{who}: {what} must be an int; got {value!r} ({type(value).__name__})") from None


def joined(key: Key, indices: tuple[Any, ...]) -> Key:
    """The template with the index arrays in their places."""
    rest = iter(indices)
    return tuple(next(rest) if k is ARRAY else k for k in key)


def _plan(xp: Any, x: Any, key: Key, indices: tuple[Any, ...]) -> tuple[Any, tuple[int, ...]]:
    """For each element that ``key`` selects, its place in x's row-major order; and the result's shape."""
    shape = tuple(x.shape)
    full: list[Any] = []
    used = sum(len(a.shape) if _is_mask(xp, a) else 1 for a in indices) + sum(isinstance(k, (int, slice)) for k in key)
    if used > len(shape):
        raise IndexError(f"too many indices: {used} for {len(shape)} dimension(s)")
    template = key if Ellipsis in key else (*key, Ellipsis)
    for k in template:
        full.extend(_spread(k, len(shape) - used))
    rest = iter(indices)
    dim = 0
    parts: list[tuple[str, Any, int]] = []  # kind, positions along the dimension, its stride
    strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    for k in full:
        if k is None:
            parts.append(("new", 1, 0))
        elif k is Ellipsis:
            parts.append(("gap", 0, 0))
        elif isinstance(k, slice):
            positions = range(*k.indices(shape[dim]))
            parts.append(("slice", positions, strides[dim]))
            dim += 1
        elif k is ARRAY:
            a = next(rest)
            mask = _is_mask(xp, a)
            if mask and not len(a.shape):  # takes no axis, and makes one: of length 1 where it is true, else 0
                parts.append(("array", xp.zeros(int(a), dtype=xp.int64, device=x.device), 0))
                continue
            if mask and tuple(a.shape) != shape[dim : dim + len(a.shape)]:
                there = shape[dim : dim + len(a.shape)]
                raise IndexError(f"a boolean index of shape {tuple(a.shape)} does not fit axes of shape {there}")
            for one in xp.nonzero(a) if mask else (a,):
                n = shape[dim]
                least = 0 if xp.isdtype(one.dtype, "unsigned integer") else -n
                one = xp.astype(one, xp.int64, copy=False)  # a small or unsigned dtype may hold neither n nor -n
                if not mask and bool(xp.any((one < least) | (one >= n))):
                    raise IndexError(f"an index is out of bounds for axis {dim} with size {n}")
                parts.append(("array", xp.where(one < 0, one + n, one), strides[dim]))
                dim += 1
        else:
            if not -shape[dim] <= k < shape[dim]:
                raise IndexError(f"index {k} is out of bounds for axis {dim} with size {shape[dim]}")
            parts.append(("array" if indices else "int", k % shape[dim], strides[dim]))
            dim += 1
    advanced = [i for i, p in enumerate(parts) if p[0] == "array"]
    arrays = [parts[i][1] for i in advanced if not isinstance(parts[i][1], int)]
    wide = tuple(xp.broadcast_arrays(*arrays)[0].shape) if arrays else ()
    adjacent = bool(advanced) and advanced[-1] - advanced[0] + 1 == len(advanced)
    out: list[int] = []  # the result's shape, and where each part's axes begin in it
    begin: dict[int, int] = {}
    if advanced and not adjacent:
        out.extend(wide)
        begin.update(dict.fromkeys(advanced, 0))
    for i, (kind, what, _) in enumerate(parts):
        if kind == "array":
            if i == advanced[0] and adjacent:
                begin.update(dict.fromkeys(advanced, len(out)))
                out.extend(wide)
        elif kind not in ("int", "gap"):
            begin[i] = len(out)
            out.append(1 if kind == "new" else len(what))
    device = x.device
    total = xp.zeros(tuple(out), dtype=xp.int64, device=device)
    for i, (kind, what, stride) in enumerate(parts):
        if kind in ("new", "gap"):
            continue
        if isinstance(what, int):
            total = total + what * stride
            continue
        if kind == "slice":
            what = xp.asarray(list(what), dtype=xp.int64, device=device)
        what = xp.astype(what, xp.int64)
        after = len(out) - begin[i] - (len(wide) if kind == "array" else 1)
        total = total + xp.reshape(what * stride, (*tuple(what.shape), *(1,) * after))
    return total, tuple(out)


def _spread(k: Any, n: int) -> list[Any]:
    """An ellipsis as n slices; where it stands for none it is kept, because it still keeps index arrays apart, as in NumPy."""
    return [k] if k is not Ellipsis or not n else [slice(None)] * n


def _is_mask(xp: Any, a: Any) -> bool:
    return bool(a.dtype == xp.bool)


def _is_basic(key: Key) -> bool:
    return not any(k is ARRAY for k in key)


def _standard(key: Key, shape: tuple[int, ...]) -> Key:
    """A basic key as the standard wants it: slices within bounds, and an ellipsis where it is shorter than the array."""
    used = sum(k is not None and k is not Ellipsis for k in key)
    out: list[Any] = []
    dim = 0
    for k in key if Ellipsis in key or used >= len(shape) else (*key, Ellipsis):
        if isinstance(k, slice) and dim < len(shape):
            start, stop, step = k.indices(shape[dim])
            k = slice(start, stop if stop >= 0 else None, step) if len(range(start, stop, step)) else slice(0, 0)
        out.append(k)
        dim += len(shape) - used if k is Ellipsis else k is not None
    return tuple(out)


def _put(xp: Any, y: Any, key: Key, value: Any) -> None:
    """y[key] = value for a basic key; the standard has no new axes on the left side."""
    at = _standard(key, tuple(y.shape))
    bare = tuple(k for k in at if k is not None)
    if len(bare) != len(at) and hasattr(value, "shape"):
        value = xp.reshape(xp.broadcast_to(value, y[at].shape), y[bare].shape)
    y[bare] = value


def _getitem_samples(rng: Any) -> Any:
    return (rng.normal(size=(3, 4)), rng.integers(0, 3, size=5)), {"key": (ARRAY, slice(1, None, 2))}


@op(
    linear=("x",),
    vjp={"x": lambda g, indices, key: Piece((key, indices), g), "indices": None},
    samples=_getitem_samples,
)
def getitem(xp: Any, x: Any, /, *indices: Any, key: Key) -> Any:
    """x[key]: what ``key`` selects, with NumPy's rules. Users write ``x[...]``."""
    if _is_basic(key):
        return x[_standard(key, tuple(x.shape))]
    if key == (ARRAY,) and _is_mask(xp, indices[0]) and tuple(indices[0].shape) == tuple(x.shape) != ():
        return x[indices[0]]
    places, shape = _plan(xp, x, key, indices)
    return xp.reshape(xp.take(xp.reshape(x, (-1,)), xp.reshape(places, (-1,)), axis=0), shape)


def _setitem_value(g: Any, indices: Any, key: Key, value_shape: tuple[int, ...]) -> Any:
    """What was written gets the gradient of its place; where a place was written again, only the last value stands."""
    picked = getitem(g, *indices, key=key)
    if any(a.dtype.kind != "b" for a in indices):
        order = reshape(arange(picked.size, dtype="int64", device=g.device), picked.shape)
        last = getitem(
            setitem(zeros(g.shape, dtype="int64", device=g.device), order, *indices, key=key), *indices, key=key
        )
        picked = where(last == order, picked, 0)
    return sum_to(picked, value_shape)


@op(
    vjp={
        "x": lambda g, indices, key: setitem(g, 0, *indices, key=key),
        "value": _setitem_value,
        "indices": None,
    },
    samples=lambda rng: ((rng.normal(size=(3, 4)), rng.normal(size=(3,))), {"key": (slice(None), 1)}),
)
def setitem(xp: Any, x: Any, value: Any, /, *indices: Any, key: Key) -> Any:
    """A copy of x in which ``value`` stands at ``key``. Users write ``x[...] = value``."""
    if _is_basic(key):
        y = xp.asarray(x, copy=True)
        _put(xp, y, key, xp.astype(value, x.dtype) if hasattr(value, "shape") else value)
        return y
    places, shape = _plan(xp, x, key, indices)
    if not hasattr(value, "shape"):
        value = xp.asarray(value, dtype=x.dtype, device=x.device)
    value = xp.reshape(xp.broadcast_to(xp.astype(value, x.dtype), shape), (-1,))
    flat, places = xp.reshape(x, (-1,)), xp.reshape(places, (-1,))
    if not flat.shape[0] or not places.shape[0]:
        return xp.asarray(x, copy=True)
    order, every, last = _by_place(xp, places, flat, "right")
    last = last - 1
    near = xp.where(last < 0, 0, last)
    hit = (last >= 0) & (xp.take(places, xp.take(order, near), axis=0) == every)
    return xp.reshape(xp.where(hit, xp.take(value, xp.take(order, near), axis=0), flat), tuple(x.shape))


def _by_place(xp: Any, places: Any, flat: Any, side: str) -> tuple[Any, Any, Any]:
    """The stable order of ``places``, every place there is, and where each would be inserted."""
    order = xp.argsort(places, stable=True)
    every = xp.arange(flat.shape[0], dtype=places.dtype, device=flat.device)
    return order, every, xp.searchsorted(xp.take(places, order, axis=0), every, side=side)


@setitem.jvp
def _(primals: Any, tangents: Any, *, key: Key) -> Any:
    (x, value, *indices), (dx, dvalue, *_) = primals, tangents
    dx = zeros_like(x) if dx is None else dx
    return setitem(x, value, *indices, key=key), setitem(dx, 0 if dvalue is None else dvalue, *indices, key=key)


def _pieces_vjp(g: Any, arrays: Any, keys: Any) -> tuple[Any, ...]:
    out: list[Any] = []
    i = 0
    for key, n in keys:
        out += [getitem(g, *arrays[i + 1 : i + 1 + n], key=key), *[None] * n]
        i += 1 + n
    return tuple(out)


@op(
    vjp={"arrays": _pieces_vjp},
    samples=lambda rng: (
        (rng.normal(size=(4,)), rng.normal(size=(2, 4)), rng.integers(0, 3, size=2)),
        {"shape": (3, 4), "dtype": "float64", "keys": (((1,), 0), ((ARRAY,), 1))},
    ),
)
def scatter_pieces(xp: Any, /, *arrays: Any, shape: tuple[int, ...], dtype: Any, keys: Any) -> Any:
    """Zeros of ``shape`` with values added at keys: the gradient of indexing, for all pieces of one array at once.

    ``keys`` holds ``(template, n)`` for each piece; ``arrays`` its values, followed by its n index arrays. Repeated places add up.
    """
    value = arrays[0]
    z = xp.zeros(shape, dtype=owner(type(value)).native_dtype(as_dtype(dtype)), device=value.device)
    i = 0
    for key, n in keys:
        v, indices = xp.astype(arrays[i], z.dtype), arrays[i + 1 : i + 1 + n]
        i += 1 + n
        if _is_basic(key):
            _put(xp, z, key, z[_standard(key, shape)] + v)
            continue
        places, picked = _plan(xp, z, key, indices)
        v, places = xp.reshape(xp.broadcast_to(v, picked), (-1,)), xp.reshape(places, (-1,))
        flat = xp.reshape(z, (-1,))
        if not flat.shape[0] or not places.shape[0]:
            continue
        for hit, at in _rounds(xp, places, flat):
            flat = flat + xp.where(hit, xp.take(v, at, axis=0), 0)
        z = xp.reshape(flat, shape)
    return z


def _rounds(xp: Any, places: Any, flat: Any) -> Iterator[tuple[Any, Any]]:
    """For k = 0, 1, ...: which elements of ``flat`` are written a k-th time by ``places``, and by which value."""
    order, every, start = _by_place(xp, places, flat, "left")
    times = xp.searchsorted(xp.take(places, order, axis=0), every, side="right") - start
    for k in range(int(xp.max(times))):
        hit = k < times
        yield hit, xp.take(order, xp.where(hit, start + k, 0), axis=0)


@scatter_pieces.jvp
def _(primals: Any, tangents: Any, *, shape: Any, dtype: Any, keys: Any) -> Any:
    values = {sum(1 + n for _, n in keys[:i]) for i in range(len(keys))}
    moved = [
        (zeros_like(x) if t is None else t) if i in values else x
        for i, (x, t) in enumerate(zip(primals, tangents, strict=True))
    ]
    return tuple(scatter_pieces(*a, shape=shape, dtype=dtype, keys=keys) for a in (primals, moved))


def join(node: Any, pieces: list[Any]) -> Any:
    """Everything that has come for ``node``, pieces and whole gradients, as one gradient."""
    whole = [p for p in pieces if type(p) is not Piece]
    parts = [p for p in pieces if type(p) is Piece]
    flat = [a for p in parts for a in (p.value, *p.key[1])]
    data = parts[0].value.data
    dtype = owner(type(data)).core_dtype(node.dtype)
    y = scatter_pieces(
        *flat, shape=tuple(node.shape), dtype=dtype, keys=tuple((p.key[0], len(p.key[1])) for p in parts)
    )
    for g in whole:
        y = y + g
    return y


def _shares(x: Any, value: Any, y: Any, indices: Any, key: Key) -> tuple[Any, Any, Any]:
    """Where x and ``value`` are the extremum of their place, and how many are."""
    mine, theirs = x == y, value == getitem(y, *indices, key=key)
    spread = scatter_pieces(
        astype(theirs, x.dtype), *indices, shape=x.shape, dtype=x.dtype, keys=((key, len(indices)),)
    )
    return mine, theirs, astype(mine, x.dtype) + spread


def _extremum_x(g: Any, x: Any, value: Any, y: Any, indices: Any, key: Key) -> Any:
    mine, _, n = _shares(x, value, y, indices, key)
    return where(mine, g / where(n == 0, 1, n), 0)


def _extremum_value(g: Any, x: Any, value: Any, y: Any, indices: Any, key: Key) -> Any:
    _, theirs, n = _shares(x, value, y, indices, key)
    return where(theirs, getitem(g / where(n == 0, 1, n), *indices, key=key), 0)


@op(
    vjp={"x": _extremum_x, "value": _extremum_value, "indices": None},
    samples=lambda rng: (
        (rng.normal(size=(3, 4)), rng.normal(size=(4, 4)), rng.integers(0, 2, size=4)),
        {"key": (ARRAY,), "largest": True},
    ),
)
def scatter_extremum(xp: Any, x: Any, value: Any, /, *indices: Any, key: Key, largest: bool) -> Any:
    """The larger (or smaller) of x and all values that ``value``, of the shape of x[key], puts at a place.

    Equal ones share the gradient evenly. Users write ``x.at[key].max(value)``.
    """
    pick = xp.maximum if largest else xp.minimum
    value = xp.astype(value, x.dtype)
    if _is_basic(key):
        y = xp.asarray(x, copy=True)
        _put(xp, y, key, pick(x[_standard(key, tuple(x.shape))], value))
        return y
    places, _ = _plan(xp, x, key, indices)
    flat, value, places = xp.reshape(x, (-1,)), xp.reshape(value, (-1,)), xp.reshape(places, (-1,))
    if not flat.shape[0] or not places.shape[0]:
        return xp.asarray(x, copy=True)
    for hit, at in _rounds(xp, places, flat):
        flat = xp.where(hit, pick(flat, xp.take(value, at, axis=0)), flat)
    return xp.reshape(flat, tuple(x.shape))


# -- under vmap -----------------------------------------------------------------------------------------------------


def _no_masks(indices: tuple[Any, ...], batched: tuple[bool, ...]) -> None:
    if any(b and a.dtype.kind == "b" for a, b in zip(indices, batched, strict=True)):
        raise TransformError(
            "a boolean mask that differs between the examples of vmap selects different numbers of elements: "
            "use jt.where(mask, x, other), which keeps the shape"
        )


def _front(key: Key, indices: tuple[Any, ...], flags: tuple[bool, ...], ndim: int) -> tuple[int, int]:
    """Of x[key] for one example: where the index arrays' axes begin, and how many they are."""
    used = sum(k is not None and k is not Ellipsis for k in key) + sum(
        a.ndim - b - 1 for a, b in zip(indices, flags, strict=True) if a.dtype.kind == "b"
    )
    spread_key: list[Any] = []
    for k in key if Ellipsis in key else (*key, Ellipsis):
        spread_key.extend(_spread(k, ndim - used))
    places = [i for i, k in enumerate(spread_key) if k is ARRAY or isinstance(k, int)]
    adjacent = places[-1] - places[0] + 1 == len(places)
    begin = places[0] if adjacent else 0
    begin = sum(1 for k in spread_key[:begin] if k is None or isinstance(k, slice))
    wide = max(1 if a.dtype.kind == "b" else a.ndim - b for a, b in zip(indices, flags, strict=True))
    return begin, wide


def _batch_key(x: Any, key: Key, indices: tuple[Any, ...], flags: tuple[bool, ...]) -> tuple[Key, tuple[Any, ...]]:
    """A key into the batch, each of whose arrays carries the examples' own leading axis of indices."""
    size = x.shape[0]
    wide = max(1 if a.dtype.kind == "b" else a.ndim - b for a, b in zip(indices, flags, strict=True))
    rows = reshape(arange(size, dtype="int64", device=x.device), (size, *(1,) * wide))
    moved = [align(a, wide) if b else a for a, b in zip(indices, flags, strict=True)]
    return (ARRAY, *key), (rows, *moved)


@getitem.batch
def _(batched: tuple[bool, ...], x: Any, /, *indices: Any, key: Key) -> Any:
    flags = batched[1:]
    _no_masks(indices, flags)
    if _is_basic(key):
        return getitem(x, key=(slice(None), *key))
    if not batched[0]:
        x = broadcast_to(
            expand_dims(x, axis=0), (next(a.shape[0] for a, b in zip(indices, flags, strict=True) if b), *x.shape)
        )
    begin, wide = _front(key, indices, flags, x.ndim - 1)
    if any(flags) or begin == 0:
        new_key, arrays = _batch_key(x, key, indices, flags)
        return _swap(getitem(x, *arrays, key=new_key), wide, begin)
    return getitem(x, *indices, key=(slice(None), *key))


def _swap(x: Any, first: int, second: int) -> Any:
    """Of a batch, the ``first`` axes of each example put behind the ``second`` axes that follow them.

    A key of ``_batch_key`` has the index arrays' axes in front, where one example may have others before them.
    """
    if not first or not second:
        return x
    stop = 1 + first + second
    return permute_dims(x, (0, *range(1 + first, stop), *range(1, 1 + first), *range(stop, x.ndim)))


def _write_batch(write: Any, batched: tuple[bool, ...], x: Any, value: Any, indices: Any, key: Key) -> Any:
    """The batch rule of an op that writes ``value`` at ``key``."""
    flags = batched[2:]
    _no_masks(indices, flags)
    size = next(a.shape[0] for a, b in zip((x, value, *indices), batched, strict=True) if b)
    if not batched[0]:
        x = broadcast_to(expand_dims(x, axis=0), (size, *x.shape))
    shape = _shape_of(x.shape[1:], key, indices, flags, x)
    if isinstance(value, Tensor):
        value = broadcast_to(align(value, len(shape)) if batched[1] else value, (size, *shape))
    if _is_basic(key):
        return write(x, value, key=(slice(None), *key))
    begin, wide = _front(key, indices, flags, x.ndim - 1)
    new_key, arrays = _batch_key(x, key, indices, flags)
    if isinstance(value, Tensor):
        value = _swap(value, begin, wide)
    return write(x, value, *arrays, key=new_key)


@setitem.batch
def _(batched: tuple[bool, ...], x: Any, value: Any, /, *indices: Any, key: Key) -> Any:
    return _write_batch(setitem, batched, x, value, indices, key)


@scatter_extremum.batch
def _(batched: tuple[bool, ...], x: Any, value: Any, /, *indices: Any, key: Key, largest: bool) -> Any:
    return _write_batch(partial(scatter_extremum, largest=largest), batched, x, value, indices, key)


def _shape_of(shape: tuple[int, ...], key: Key, indices: tuple[Any, ...], flags: tuple[bool, ...], like: Any) -> Any:
    """The shape of one example's x[key]."""
    one = tuple(
        zeros(a.shape[1:], dtype=a.dtype, device=a.device) if b else a for a, b in zip(indices, flags, strict=True)
    )
    return getitem(zeros(shape, device=like.device), *one, key=key).shape


@scatter_pieces.batch
def _(batched: tuple[bool, ...], /, *arrays: Any, shape: tuple[int, ...], dtype: Any, keys: Any) -> Any:
    size = next(a.shape[0] for a, b in zip(arrays, batched, strict=True) if b)
    out: list[Any] = []
    new_keys = []
    i = 0
    for key, n in keys:
        v, indices, flags = arrays[i], arrays[i + 1 : i + 1 + n], batched[i + 1 : i + 1 + n]
        if not batched[i]:
            v = broadcast_to(expand_dims(v, axis=0), (size, *v.shape))
        i += 1 + n
        if _is_basic(key):
            out.append(v)
            new_keys.append(((slice(None), *key), 0))
            continue
        begin, wide = _front(key, indices, flags, len(shape))
        new_key, moved = _batch_key(v, key, indices, flags)
        out += [_swap(v, begin, wide), *moved]
        new_keys.append((new_key, len(moved)))
    return scatter_pieces(*out, shape=(size, *shape), dtype=dtype, keys=tuple(new_keys))


# -- picking along an axis --------------------------------------------------------------------------------------------


def integers(who: str, dtype: DType, shape: Any) -> None:
    """``DTypeError`` where indices are not of an integer dtype."""
    if dtype.kind not in "iu":
        raise DTypeError(f"{who}() takes indices of an integer dtype; got {dtype} of shape {tuple(shape)}")


def one_axis(who: str, axis: Any, x: Any) -> int:
    if axis is None and x.ndim > 1:
        raise ShapeError(f"{who}() of {x.ndim} dimensions needs axis=; to take from all elements, flatten x first")
    return normalize_axes(0 if axis is None else axis, x.ndim)[0]


@op(composite=True, samples=lambda rng: ((rng.normal(size=(3, 4)), rng.integers(0, 4, size=6)), {"axis": 1}))
def take(x: Any, indices: Any, /, *, axis: int | None = None) -> Any:
    """The parts of x at ``indices`` along ``axis``, which may be left out for a 1-d x. Repeated indices add their gradients.

    The axis is replaced by the axes of ``indices``. Raises ``BoundsError`` for an index out of bounds.
    """
    indices = asarray(indices, device=None if hasattr(indices, "shape") else x.device)
    integers("take", indices.dtype, indices.shape)
    return x[(slice(None),) * one_axis("take", axis, x) + (indices,)]


def along(index: Any, shape: tuple[int, ...], axis: int) -> tuple[Any, ...]:
    """For each axis an index array: ``index`` along ``axis``, every place of ``shape`` along the others."""
    ndim = len(shape)
    lines = [[-1 if i == d else 1 for i in range(ndim)] for d in range(ndim)]
    return tuple(
        index if d == axis else reshape(arange(n, dtype="int64", device=index.device), lines[d])
        for d, n in enumerate(shape)
    )


def check_rank(who: str, x: Any, index: Any, axis: int) -> int:
    integers(who, index.dtype, index.shape)
    if index.ndim != x.ndim or not x.ndim:
        raise ShapeError(
            f"{who}(): x of shape {x.shape} and indices of shape {index.shape} need the same number of axes, 1 or more"
        )
    return normalize_axes(axis, x.ndim)[0]


@op(
    composite=True,
    samples=lambda rng: ((rng.normal(size=(3, 4)), rng.integers(0, 4, size=(3, 2))), {"axis": 1}),
)
def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1) -> Any:
    """For each line of x along ``axis``, its elements at that line's ``indices``, such as those of ``argsort`` or ``argmax``.

    The other axes of x and ``indices`` are equal, or broadcast. ``gather`` is the same but for the other axes, where it takes
    the first places and never broadcasts.
    """
    axis = check_rank("take_along_axis", x, indices, axis)
    if any(
        m != n and 1 not in (m, n) for d, (m, n) in enumerate(zip(x.shape, indices.shape, strict=True)) if d != axis
    ):
        raise ShapeError(
            f"take_along_axis(): shapes {x.shape} of x and {indices.shape} of indices must broadcast, but for axis {axis}"
        )
    return getitem(x, *along(indices, x.shape, axis), key=(ARRAY,) * x.ndim)


def fits(who: str, inner: tuple[int, ...], outer: tuple[int, ...], what: str, *, but: int | None = None) -> None:
    """``ShapeError`` where ``inner`` is longer than ``outer`` along any axis (but one)."""
    if any(m > n for d, (m, n) in enumerate(zip(inner, outer, strict=True)) if d != but):
        rest = "" if but is None else f" but {but}"
        raise ShapeError(
            f"{who}(): index of shape {inner} must not be longer than {what}, {outer}, along any axis{rest}"
        )


@op(composite=True, samples=lambda rng: ((rng.normal(size=(3, 4)), rng.integers(0, 4, size=(2, 5))), {"axis": 1}))
def gather(x: Any, index: Any, /, axis: int) -> Any:
    """``y[i, j] = x[i, index[i, j]]``, for ``axis`` = 1 of two: PyTorch's gather. y has the shape of ``index``.

    Along the other axes ``index`` may be shorter than x. Raises ``ShapeError`` and, out of bounds, ``BoundsError``.
    """
    axis = check_rank("gather", x, index, axis)
    fits("gather", index.shape, x.shape, "x", but=axis)
    return getitem(x, *along(index, index.shape, axis), key=(ARRAY,) * x.ndim)


# -- what Tensor's brackets do ----------------------------------------------------------------------------------------


def tensor_getitem(self: Tensor, key: Any) -> Tensor:
    """x[key]"""
    template, arrays = split_key(self, key)
    return getitem(self, *arrays, key=template)


def tensor_setitem(self: Tensor, key: Any, value: Any) -> None:
    """x[key] = value, on the same Tensor, with the right gradient for both."""
    template, arrays = split_key(self, key)
    assign(self, setitem(self, value, *arrays, key=template))
