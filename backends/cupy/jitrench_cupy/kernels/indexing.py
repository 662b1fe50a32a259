"""Reading, writing and adding at places. An index array that is out of bounds wraps around: to look at it, the GPU would have to be waited for.

Sums at a place that comes several times are added up by atomic operations, in no order: of floating-point numbers their last digits vary
from run to run. What is written at such a place does not vary: it is the last value, as in NumPy.
"""

from __future__ import annotations

from typing import Any

import cupy as cp
import numpy as np

from jitrench_core.dtypes import dtype as as_dtype
from jitrench_core.ops.indexing import joined

# What atomic operations add up, as what, where that is another dtype: sums of wider integers, cut off, are the same.
ADDED = {
    "bool": "uint32", "int8": "int32", "int16": "int32", "uint8": "uint32", "uint16": "uint32", "int64": "uint64",
}  # fmt: skip

COMPARED = {"int8": "int32", "int16": "int32", "uint8": "uint32", "uint16": "uint32", "float16": "float32"}


def getitem(x: Any, /, *indices: Any, key: Any) -> Any:
    """The op ``getitem``."""
    return x[joined(key, indices)]


def setitem(x: Any, value: Any, /, *indices: Any, key: Any) -> Any:
    """The op ``setitem``; where a place comes several times, the last value stands."""
    if x.dtype.kind != "c" and hasattr(value, "dtype") and value.dtype.kind == "c":
        raise TypeError("complex numbers do not fit into a real tensor: take jt.real(value)")
    key = joined(key, indices)
    if all(a.dtype == bool for a in indices) or not hasattr(
        value, "dtype"
    ):  # no place comes twice, or all get one value
        y = x.copy()
        y[key] = value
        return y
    last = cp.zeros(x.shape, "uint64")  # the number of the last value of each place, from 1; 0 where there is none
    shape = last[key].shape
    values = cp.broadcast_to(value.astype(x.dtype, copy=False), shape)
    if not values.size:
        return x.copy()
    cp.maximum.at(last, key, cp.arange(1, values.size + 1, dtype="uint64").reshape(shape))
    return cp.where(last > 0, values.reshape(-1)[cp.maximum(last, 1) - 1], x)


def scatter_pieces(*arrays: Any, shape: Any, dtype: Any, keys: Any) -> Any:
    """The op ``scatter_pieces``."""
    name = as_dtype(dtype).name
    z = cp.zeros(shape, ADDED.get(name, name))
    i = 0
    for key, n in keys:
        at, value = joined(key, arrays[i + 1 : i + 1 + n]), arrays[i].astype(z.dtype, copy=False)
        i += 1 + n
        if all(a.dtype == bool for a in arrays[i - n : i]):  # no place comes twice
            z[at] += value
        else:
            _add(z, at, value)
    return z.astype(name, copy=False)


def _add(z: Any, at: Any, value: Any) -> None:
    """Add ``value`` to ``z[at]``, as often as a place comes; of complex numbers, which no atomic operation takes, part by part."""
    if z.dtype.kind == "c":
        cp.add.at(z.real, at, value.real)
        cp.add.at(z.imag, at, value.imag)
    else:
        cp.add.at(z, at, value)


def scatter_extremum(x: Any, value: Any, /, *indices: Any, key: Any, largest: bool) -> Any:
    """The op ``scatter_extremum``."""
    if x.dtype.kind not in "fiu":
        return NotImplemented
    key, value = joined(key, indices), value.astype(x.dtype, copy=False)
    if all(a.dtype == bool for a in indices):  # no place comes twice
        y = x.copy()
        y[key] = (cp.maximum if largest else cp.minimum)(y[key], value)
        return y
    scatter = (cp.maximum if largest else cp.minimum).at
    if x.dtype in ("int64", "float64"):
        y = _ordered(x)
        scatter(y, key, _ordered(value))
        y = _unordered(y, x.dtype)
    else:
        y = x.astype(COMPARED.get(x.dtype.name, x.dtype))
        scatter(y, key, value.astype(y.dtype, copy=False))
    if x.dtype.kind == "f":  # atomic operations pass over NaN
        none = cp.isnan(x).astype("int32")
        cp.maximum.at(none, key, cp.isnan(value).astype("int32"))
        y = cp.where(none > 0, x.dtype.type(np.nan), y)
    return y.astype(x.dtype, copy=False)


def _ordered(x: Any) -> Any:
    """int64 or float64 as uint64 in the same order: CuPy 14 compares float64 by ``fmaxf``, in float32.

    Of a negative float all bits are flipped, of any other number the sign.
    """
    bits = x.view("int64")
    flipped = np.int64(-(2**63)) if x.dtype.kind == "i" else (bits >> 63) | np.int64(-(2**63))
    return (bits ^ flipped).view("uint64")


def _unordered(x: Any, dtype: Any) -> Any:
    """What ``_ordered`` made, back again."""
    bits = x.view("int64")
    flipped = np.int64(-(2**63)) if dtype.kind == "i" else ~(bits >> 63) | np.int64(-(2**63))
    return (bits ^ flipped).view(dtype)


def one_hot(indices: Any, /, num_classes: int, *, dtype: Any = "float64") -> Any:
    """The op ``one_hot``; an index that is out of bounds gives a row of zeros."""
    if indices.dtype.kind not in "iu" or type(num_classes) is not int or num_classes < 0:
        return NotImplemented
    wide = indices.astype("int64", copy=False)
    return (wide[..., None] == cp.arange(num_classes)).astype(as_dtype(dtype).name)
