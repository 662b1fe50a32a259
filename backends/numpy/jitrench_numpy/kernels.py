"""Kernels that were measured faster than the namespace's function of the same name."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import jitrench_core as jt
from jitrench_core.dtypes import dtype as as_dtype
from jitrench_core.ops.indexing import joined
from jitrench_core.ops.scans import single_axis
from jitrench_core.ops.shapes import normalize_axes

_FLOATS = (np.float64, np.float32)


def _scalar(fast: Callable[..., Any], otherwise: Callable[..., Any] | None = None) -> dict[type, Callable[..., Any]]:
    """Python's operator for float scalars, NumPy's function for the rest (integer scalars would warn on overflow)."""
    kernels: dict[type, Callable[..., Any]] = dict.fromkeys(_FLOATS, fast)
    if otherwise is not None:
        kernels[object] = otherwise
    return kernels


def _count(x: Any, axis: Any) -> int:
    if axis is None:
        return int(x.size)
    n = 1
    for a in axis if isinstance(axis, tuple) else (axis,):
        n *= x.shape[a]
    return n


def _sum(x: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    if dtype is not None:
        dtype = as_dtype(dtype).name
    return np.add.reduce(x, axis=axis, dtype=dtype, keepdims=keepdims)


def _prod(x: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    return np.prod(x, axis=axis, dtype=None if dtype is None else as_dtype(dtype).name, keepdims=keepdims)


def _mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    if x.dtype == np.float16:
        return np.mean(x, axis=axis, keepdims=keepdims)  # adds up in float32, where float16 ends at 65,504
    return np.add.reduce(x, axis=axis, keepdims=keepdims) / _count(x, axis)


def _sum_to(x: Any, shape: Any) -> Any:
    """A bias' gradient: 2.7 us for (100, 10), 5.1 by np.sum and np.reshape."""
    shape = tuple(shape)
    lead = x.ndim - len(shape)
    if x.shape == shape:
        return x
    if x.shape[lead:] == shape:
        return np.add.reduce(x, axis=tuple(range(lead)))
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, x.shape[lead:], strict=True)):
        raise ValueError(f"{shape} does not broadcast to the shape {x.shape} of x")
    axes = tuple([i for i, n in enumerate(x.shape) if i < lead or (shape[i - lead] == 1 and n != 1)])
    if axes == (x.ndim - 1,) and 1 < x.shape[-1] < 8 and x.size > 1000 and x.dtype.kind in "fc":
        total = x[..., 0] + x[..., 1]  # 0.6 ms for (512, 1000, 3), 6.9 by np.add.reduce
        for i in range(2, x.shape[-1]):
            total += x[..., i]
        return total.reshape(shape)
    return np.add.reduce(x, axis=axes).reshape(shape)


def _max(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return np.maximum.reduce(x, axis=axis, keepdims=keepdims)


def _min(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return np.minimum.reduce(x, axis=axis, keepdims=keepdims)


def _sigmoid(x: Any) -> Any:
    """In place, with one exp: 3.4 us for 1,000 elements, 4.5 by the forward, which makes no infinity on the way."""
    if x.dtype.kind != "f" or not x.shape:
        return _SIGMOID(np, x)
    y = np.negative(x)
    with np.errstate(over="ignore"):
        np.exp(y, out=y)
    y += 1
    return np.reciprocal(y, out=y)


_SIGMOID = jt.sigmoid.op.forward  # type: ignore[attr-defined]
_BITS = {"f": np.int32, "d": np.int64}


def _where(condition: Any, x1: Any, x2: Any) -> Any:
    """Of random conditions by their bits: 0.1 ms for (512, 512) float32, 0.9 by ``np.where``, which cannot foresee them."""
    some, other = (x1, x2) if hasattr(x1, "shape") else (x2, x1)
    if (
        getattr(condition, "size", 0) < 1000
        or getattr(some, "shape", None) != condition.shape
        or condition.dtype != bool
    ):
        return np.where(condition, x1, x2)
    shape = condition.shape
    bits = _BITS.get(some.dtype.char)
    whole = other.dtype is some.dtype and other.shape == shape if hasattr(other, "shape") else type(other) is float
    if bits is None or not whole:
        return np.where(condition, x1, x2)
    mask = (
        condition.view(np.int8) - np.int8(1) if some is x2 else -condition.view(np.int8)
    )  # -1 where ``some`` is taken
    if not hasattr(other, "shape"):
        other = some.dtype.type(other)
        if not other and not np.signbit(other):
            return np.bitwise_and(some.view(bits), mask).view(some.dtype)
    difference = np.bitwise_xor(some.view(bits), other.view(bits))
    difference &= mask
    difference ^= other.view(bits)
    return difference.view(some.dtype)


def _softmax(x: Any, axis: Any = -1) -> Any:
    if not x.size:
        return _SOFTMAX(np, x, axis=axis)
    e = np.subtract(x, np.maximum.reduce(x, axis=axis, keepdims=True))
    e = np.exp(e)
    return e / np.add.reduce(e, axis=axis, keepdims=True)


_SOFTMAX = jt.softmax.op.forward  # type: ignore[attr-defined]


def _log_softmax(x: Any, axis: Any = -1) -> Any:
    if not x.size:
        return _LOG_SOFTMAX(np, x, axis=axis)
    shifted = x - np.maximum.reduce(x, axis=axis, keepdims=True)
    return shifted - np.log(np.add.reduce(np.exp(shifted), axis=axis, keepdims=True))


_LOG_SOFTMAX = jt.log_softmax.op.forward  # type: ignore[attr-defined]


def _reshape(x: Any, shape: Any, copy: bool | None = None) -> Any:
    y = x.reshape(shape) if copy is None else np.reshape(x, shape, copy=copy)
    return y if y.ndim else y[()]


def _permute_dims(x: Any, axes: Any) -> Any:
    return x.transpose(axes)


def _broadcast_to(x: Any, shape: Any) -> Any:
    shape = (shape,) if isinstance(shape, (int, np.integer)) else shape
    if not shape and not x.shape:
        return x
    if not x.shape:  # one element, seen from everywhere
        return np.ndarray(shape, x.dtype, x, 0, (0,) * len(shape)) if 0 not in shape else np.zeros(shape, x.dtype)
    return np.broadcast_to(x, shape)


def _astype(x: Any, dtype: Any, copy: bool = True) -> Any:
    return x.astype(as_dtype(dtype).name, copy=copy)


def _getitem(x: Any, *indices: Any, key: Any) -> Any:
    return x[joined(key, indices) if indices else key]


def _setitem(x: Any, value: Any, *indices: Any, key: Any) -> Any:
    if x.dtype.kind != "c" and hasattr(value, "dtype") and value.dtype.kind == "c":  # NumPy warns, and drops half of it
        raise TypeError("complex numbers do not fit into a real tensor: take jt.real(value)")
    y = np.array(x)
    y[joined(key, indices)] = value
    return y


def _add_at(z: Any, key: Any, value: Any) -> None:
    """By flat places where many rows are met, a third to a half of the time: 1.4 ms for 8,192 of (5000, 64), 4.0 by np.add.at."""
    if z.ndim > 1 and 4 * value.size > z.size > 1000:
        places = np.arange(z.size).reshape(z.shape)[key]
        np.add.at(z.reshape(-1), places.reshape(-1), np.broadcast_to(value, places.shape).reshape(-1))
    else:
        np.add.at(z, key, value)


def _scatter_extremum(x: Any, value: Any, *indices: Any, key: Any, largest: bool) -> Any:
    y = np.array(x)
    (np.maximum if largest else np.minimum).at(y, joined(key, indices), value)
    return y


def _scatter_pieces(*arrays: Any, shape: Any, dtype: Any, keys: Any) -> Any:
    z = np.zeros(shape, as_dtype(dtype).name)
    i = 0
    for key, n in keys:
        indices = arrays[i + 1 : i + 1 + n]
        if all(a.dtype == bool for a in indices):  # no place comes twice: half the time
            z[joined(key, indices)] += arrays[i]
        else:
            _add_at(z, joined(key, indices), arrays[i])
        i += 1 + n
    return z


def _special(function: Callable[..., Any], scalar: Callable[[float], float]) -> Callable[..., Any]:
    """Of few elements math's function: 64 ns each, where the generic forward takes 40 us. Many go in pieces that stay in the
    cache: 42 ns each, 52 as a whole."""
    forward = function.op.forward  # type: ignore[attr-defined]

    def kernel(x: Any) -> Any:
        if x.dtype.kind != "f":
            return forward(np, x)  # its error
        if not x.shape:
            return x.dtype.type(scalar(x))
        if x.size <= 512:
            return np.array([scalar(v) for v in x.ravel().tolist()], x.dtype).reshape(x.shape)
        flat = x.reshape(-1)
        y = np.empty_like(flat)
        for start in range(0, len(flat), 8192):
            y[start : start + 8192] = forward(np, flat[start : start + 8192])
        return y.reshape(x.shape)

    return kernel


def _argsort(x: Any, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """As sorting's own, but that a million distinct floats take 34 ms, of which the look for equal ones is 8; stably 110."""
    if descending:
        order = np.flip(_argsort(np.flip(x, axis), axis, stable=stable), axis)
        return x.shape[axis] - 1 - order
    if stable and x.dtype.kind == "f" and x.size > 1000:
        order = np.argsort(x, axis)
        placed = np.moveaxis(np.take_along_axis(x, order, axis), axis, -1)
        # NaNs stand last and equal nothing
        stable = bool((placed[..., 1:] == placed[..., :-1]).any() or np.isnan(placed[..., -1]).any())
        if not stable:
            return order.astype(np.int64, copy=False)
    return np.argsort(x, axis, stable=stable).astype(np.int64, copy=False)


def _topk_indices(x: Any, k: int, axis: int = -1, largest: bool = True) -> Any:
    """By a partition, where k is small: 10 of a million in 2.5 ms, 115 by sorting. Ties across its edge are sorted."""
    n = x.shape[axis]
    if 0 < k < n // 8 and n > 1000:
        rows = np.moveaxis(x, axis, -1)
        edge = np.partition(rows, n - k if largest else k - 1)[..., n - k if largest else k - 1, None]
        hit = rows >= edge if largest else rows <= edge
        if (np.count_nonzero(hit, axis=-1) == k).all():
            found = np.nonzero(hit)[-1].reshape((*rows.shape[:-1], k))
            order = _argsort(np.take_along_axis(rows, found, -1), -1, largest)
            return np.moveaxis(np.take_along_axis(found, order, -1), -1, axis).astype(np.int64, copy=False)
    return _argsort(x, axis, largest)[(*(slice(None),) * (axis % x.ndim), slice(0, k))]


def _running(name: str, accumulate: Any, first: float) -> Any:
    """NumPy's running result along an axis: a million products take 2.4 ms, 27 in log2(n) steps."""

    def kernel(x: Any, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
        axis = single_axis(name, x.shape, axis)
        y = accumulate(x, axis, None if dtype is None else as_dtype(dtype).name)
        if include_initial:
            y = np.concatenate([np.full_like(y, first, shape=(*y.shape[:axis], 1, *y.shape[axis + 1 :])), y], axis)
        return y

    return kernel


def _cumulative_logsumexp(x: Any, axis: int | None = None) -> Any:
    """29 ms for a million elements, 290 in log2(n) steps."""
    return np.logaddexp.accumulate(x, single_axis("cumulative_logsumexp", x.shape, axis))


def _running_place(accumulate: Any) -> Any:
    def kernel(x: Any, axis: int = -1) -> Any:
        (axis,) = normalize_axes(axis, x.ndim)
        hit = (x == accumulate(x, axis)) | (x != x)
        places = np.arange(x.shape[axis], dtype=np.int64).reshape((-1, *(1,) * (x.ndim - axis - 1)))
        return np.maximum.accumulate(np.where(hit, places, 0), axis)

    return kernel


def _isin(x1: Any, x2: Any, invert: bool = False) -> Any:
    if not hasattr(x1, "dtype") or not hasattr(x2, "dtype"):  # a number is weak beside an array
        return _ISIN(np, x1, x2, invert=invert)
    return np.isin(x1, x2, invert=invert)[()]


_ISIN = jt.isin.op.forward  # type: ignore[attr-defined]


def _advance_counter(counter: Any, blocks: int) -> Any:
    """In Python's ints: 1.6 us, 8 by ufuncs."""
    total = sum(word << 64 * i for i, word in enumerate(counter.tolist())) + blocks
    return np.array([total >> 64 * i & 0xFFFFFFFFFFFFFFFF for i in range(4)], np.uint64)


def _philox(key: Any, counter: Any) -> Any:
    """NumPy's own generator at a state: 6 us to make, then 3 ns a word, against 64 of the generic forward."""
    return np.random.Philox(key=key, counter=counter)


def _random_bits(key: Any, counter: Any, n: int) -> Any:
    return _philox(key, counter).random_raw(n)


def _random_uniform(key: Any, counter: Any, n: int, dtype: Any = "float64") -> Any:
    if str(dtype) == "float32":
        return (_random_bits(key, counter, n) >> 40).astype(np.float32) * np.float32(2.0**-24)
    return np.random.Generator(_philox(key, counter)).random(n)


def _random_normal(key: Any, counter: Any, n: int, dtype: Any = "float64") -> Any:
    """The generic formula, on pieces that stay in the cache: 21 ns a number, 29 on the whole array at once."""
    uniform = np.random.Generator(_philox(key, counter)).random
    z = np.empty((-(-n // 2), 2), str(dtype))
    for start in range(0, len(z), 16384):
        part = z[start : start + 16384]
        u = uniform(part.shape)
        radius = np.sqrt(-2.0 * np.log(1.0 - u[:, 0]))
        angle = 2 * np.pi * u[:, 1]
        part[:, 0] = radius * np.cos(angle)
        part[:, 1] = radius * np.sin(angle)
    return z.reshape(-1)[:n]


def _random_order(words: Any) -> Any:
    """A million words sort in 30 ms, in 100 stably; that matters only where two are equal."""
    order = np.argsort(words, axis=-1)
    placed = np.take_along_axis(words, order, axis=-1)
    if (placed[..., 1:] == placed[..., :-1]).any():
        order = np.argsort(words, axis=-1, stable=True)
    return order.astype(np.int64, copy=False)


_ONES = {cls: cls(1) for cls in _FLOATS}


def _one(x: Any) -> Any:
    return _ONES[type(x)]


KERNELS: dict[str, Any] = {
    "ones_like": _scalar(_one),
    "add": _scalar(operator.add, operator.add),
    "subtract": _scalar(operator.sub, np.subtract),
    "multiply": _scalar(operator.mul, operator.mul),
    "divide": _scalar(operator.truediv, np.divide),
    "pow": _scalar(operator.pow, operator.pow),
    "negative": _scalar(operator.neg),
    "abs": _scalar(operator.abs),
    "less": _scalar(operator.lt),
    "greater": _scalar(operator.gt),
    "equal": _scalar(operator.eq),
    "matmul": np.matmul,
    "sum": _sum,
    "mean": _mean,
    "sum_to": _sum_to,
    "max": _max,
    "min": _min,
    "prod": _prod,
    "sigmoid": _sigmoid,
    "where": _where,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "reshape": _reshape,
    "permute_dims": _permute_dims,
    "matrix_transpose": operator.attrgetter("mT"),
    "broadcast_to": _broadcast_to,
    "astype": _astype,
    "getitem": _getitem,
    "setitem": _setitem,
    "scatter_extremum": _scatter_extremum,
    "scatter_pieces": _scatter_pieces,
    "erf": _special(jt.erf, math.erf),
    "erfc": _special(jt.erfc, math.erfc),
    "argsort": _argsort,
    "topk_indices": _topk_indices,
    "cumulative_sum": _running("cumulative_sum", np.cumsum, 0),
    "cumulative_prod": _running("cumulative_prod", np.cumprod, 1),
    "cumulative_logsumexp": _cumulative_logsumexp,
    "cummax_indices": _running_place(np.maximum.accumulate),
    "cummin_indices": _running_place(np.minimum.accumulate),
    "isin": _isin,
    "advance_counter": _advance_counter,
    "random_bits": _random_bits,
    "random_uniform": _random_uniform,
    "random_normal": _random_normal,
    "random_order": _random_order,
    "unique_values": partial(np.unique, equal_nan=False),  # in order, which np.unique_values is not since 2.3
}
