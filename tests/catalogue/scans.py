"""Running sums, products, extrema and differences."""

from __future__ import annotations

import numpy as np

from catalogue import normal


def _sums(x, axis=None, dtype=None, include_initial=False):
    axis = 0 if axis is None else axis
    y = np.cumsum(x, axis=axis, dtype=dtype)
    return np.concatenate([np.zeros_like(np.take(y, [0], axis)), y], axis) if include_initial else y


def _prods(x, axis=None, dtype=None, include_initial=False):
    axis = 0 if axis is None else axis
    y = np.cumprod(x, axis=axis, dtype=dtype)
    return np.concatenate([np.ones_like(np.take(y, [0], axis)), y], axis) if include_initial else y


def _extremes(x, axis, larger):
    """By a loop over the elements."""
    x = np.moveaxis(x, axis, -1)
    values, indices = np.empty_like(x), np.empty(x.shape, np.int64)
    for row in np.ndindex(x.shape[:-1]):
        best = 0
        for i, v in enumerate(x[row]):
            if larger(v, x[row][best]) or v == x[row][best]:
                best = i
            values[row][i], indices[row][i] = x[row][best], best
    return np.moveaxis(values, -1, axis), np.moveaxis(indices, -1, axis)


def _maxima(x, axis=-1):
    return _extremes(x, axis, lambda a, b: a > b)


def _minima(x, axis=-1):
    return _extremes(x, axis, lambda a, b: a < b)


REFERENCES = {
    "cumulative_sum": _sums,
    "cumulative_prod": _prods,
    "cumulative_logsumexp": lambda x, axis=None: np.log(np.cumsum(np.exp(x), 0 if axis is None else axis)),
    "cummax": _maxima,
    "cummin": _minima,
    "cummax_indices": lambda x, axis=-1: _maxima(x, axis)[1],
    "cummin_indices": lambda x, axis=-1: _minima(x, axis)[1],
    "diff": lambda x, prepend=None, append=None, axis=-1, n=1: np.diff(
        x, n, axis, *(np._NoValue if a is None else a for a in (prepend, append))
    ),
}

_extremes_cases = [
    ((normal(2, 5, 3),), {"axis": -2}),
    ((normal(7),), {}),
    ((normal(2, 0),), {}),
    ((normal(0, 3),), {}),
    ((normal(1),), {}),
]

CASES = {
    "cumulative_sum": [
        ((normal(5),), {}),
        ((normal(2, 3, 4),), {"axis": -2, "include_initial": True}),
        ((normal(3),), {"include_initial": True, "dtype": "float64"}),
        ((normal(0, 3),), {"axis": 0}),
        ((normal(3, 0),), {"axis": 0}),
        ((np.array([100, 100], np.int8),), {}),
        ((np.array([200, 100], np.uint8),), {"include_initial": True}),
        ((normal(4) + 1j * normal(4),), {}),
    ],
    "cumulative_prod": [
        ((normal(5),), {}),
        ((normal(2, 3, 4),), {"axis": -2, "include_initial": True}),
        ((np.array([2.0, 0.0, 3.0, -1.5]),), {}),
        ((np.array([2.0, 0.0, 3.0, 0.0, 4.0]),), {"include_initial": True}),
        ((np.array([[0.0, 0.0], [0.0, 2.0]]),), {"axis": 0}),
        ((normal(0, 3),), {"axis": 1}),
        ((normal(1),), {}),
        ((np.array([100, 100], np.int8),), {}),
        ((np.array([200, 100], np.uint8),), {"include_initial": True}),
        ((normal(4) + 1j * normal(4),), {}),
    ],
    "cumulative_logsumexp": [((normal(5),), {}), ((normal(2, 3, 4),), {"axis": -2}), ((normal(0, 3),), {"axis": 0})],
    "cummax": _extremes_cases,
    "cummin": _extremes_cases,
    "cummax_indices": [((np.array([1.0, 3, 3, 2, 5]),), {}), ((np.array([[2, 2], [1, 3]]),), {"axis": 0})],
    "cummin_indices": [((np.array([3.0, 1, 1, 2, 0]),), {}), ((np.array([[2, 2], [1, 3]]),), {"axis": 0})],
    "diff": [
        ((normal(2, 5),), {"n": 2}),
        ((normal(2, 5),), {"n": 0}),
        ((normal(2, 3),), {"n": 4}),
        ((normal(3, 2), normal(2, 2), normal(1, 2)), {"axis": 0}),
        ((normal(3, 2), None, normal(3, 1)), {"n": 3}),
        ((normal(3), 0.5, None), {}),
        ((normal(3, 2), normal(), None), {"axis": 0}),
        ((np.array([1, 4, 9]), 0), {}),
        ((normal(4) + 1j * normal(4),), {}),
        ((normal(0, 3),), {}),
    ],
}
