"""Resampling for NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.interpolate import Taps
from ..ops.interpolate import resample as op

MOST = 2**18  # elements of a matrix; beyond, its zeros cost more than picking the few elements that count


def resample(x: Any, /, *, axis: int, taps: Taps) -> Any:
    """The op ``resample``, as a product with the whole matrix, zeros included: (64, 16, 28, 28) to 56 in 3 ms, not 40.

    Zero times infinity would be NaN, so where x is not finite the op's own forward does it.
    """
    if x.dtype.kind not in "fc" or not 0 < taps.length * len(taps.rows) <= MOST or not np.isfinite(np.sum(x)):
        return op.op.forward(np, x, axis=axis, taps=taps)
    matrix = np.zeros((len(taps.rows), taps.length), x.dtype)
    for i, row in enumerate(taps.rows):
        for place, weight in row:
            matrix[i, place] += weight
    if axis == -1:
        return x @ matrix.T
    if axis == -2:
        return matrix @ x
    return np.moveaxis(np.tensordot(matrix, x, (1, x.ndim + axis)), 0, axis)
