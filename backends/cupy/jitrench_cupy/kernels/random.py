"""Philox's bits, NumPy's and the generic forward's bit for bit, and what draws make of them; a launch each."""

from __future__ import annotations

from typing import Any

import cupy as cp
import numpy as np

from ..cuda import each, function


def advance_counter(counter: Any, /, *, blocks: int) -> Any:
    """The op ``advance_counter``."""
    y = cp.empty(4, "uint64")
    each(function("random", "advance_counter"), 1, cp.ascontiguousarray(counter), y, np.uint64(blocks))
    return y


def _draw(kernel: Any, key: Any, counter: Any, n: int, dtype: Any) -> Any:
    y = cp.empty(n, dtype)
    each(kernel, -(-n // 4), cp.ascontiguousarray(key), cp.ascontiguousarray(counter), y, n)
    return y


def random_bits(key: Any, counter: Any, /, *, n: int) -> Any:
    """The op ``random_bits``."""
    return _draw(function("random", "random_bits"), key, counter, n, "uint64")


def random_uniform(key: Any, counter: Any, /, *, n: int, dtype: Any = "float64") -> Any:
    """The op ``random_uniform``."""
    dtype = np.dtype(str(dtype))
    if dtype.char not in "fd":
        return NotImplemented
    return _draw(function("random", "random_uniform", dtype), key, counter, n, dtype)


def random_normal(key: Any, counter: Any, /, *, n: int, dtype: Any = "float64") -> Any:
    """The op ``random_normal``."""
    dtype = np.dtype(str(dtype))
    if dtype.char not in "fd":
        return NotImplemented
    return _draw(function("random", "random_normal", dtype), key, counter, n, dtype)
