"""Kernels for which CuPy has one call where the generic forward, in the standard's functions, needs many."""

from __future__ import annotations

from typing import Any

import cupy as cp
import cupyx

from jitrench_core.dtypes import dtype as as_dtype
from jitrench_core.ops.indexing import joined


def _getitem(x: Any, *indices: Any, key: Any) -> Any:
    return x[joined(key, indices)]


def _setitem(x: Any, value: Any, *indices: Any, key: Any) -> Any:
    y = x.copy()
    y[joined(key, indices)] = value
    return y


def _scatter_pieces(*arrays: Any, shape: Any, dtype: Any, keys: Any) -> Any:
    z = cp.zeros(shape, dtype=as_dtype(dtype).name)
    i = 0
    for key, n in keys:
        cupyx.scatter_add(z, joined(key, arrays[i + 1 : i + 1 + n]), arrays[i])
        i += 1 + n
    return z


KERNELS: dict[str, Any] = {"getitem": _getitem, "setitem": _setitem, "scatter_pieces": _scatter_pieces}
