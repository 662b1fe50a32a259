"""Resampling: a thread for each element of the result, which adds up the few elements of x that it takes."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import cupy as cp
import numpy as np

from ..cuda import each, function
from .rows import alike


@lru_cache(256)
def _taps(device: int, rows: Any) -> tuple[Any, Any, int]:
    """Places and weights of all rows, filled up with zeros, on the current device; and how many a row has."""
    width = max(map(len, rows), default=0)
    places, weights = np.zeros((len(rows), width), np.int64), np.zeros((len(rows), width))
    for i, row in enumerate(rows):
        for t, (place, weight) in enumerate(row):
            places[i, t], weights[i, t] = place, weight
    return cp.asarray(places), cp.asarray(weights), width


def resample(x: Any, /, *, axis: int, taps: Any) -> Any:
    """The op ``resample``."""
    if not alike(x):
        return NotImplemented
    places, weights, width = _taps(cp.cuda.Device().id, taps.rows)
    axis += x.ndim
    outer, length, inner = math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])
    y = cp.empty((*x.shape[:axis], len(taps.rows), *x.shape[axis + 1 :]), x.dtype)
    args = (places, weights, y, outer, length, len(taps.rows), inner, width)
    each(function("windows", "resample", x.dtype), y.size, cp.ascontiguousarray(x), *args)
    return y
