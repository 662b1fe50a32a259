"""Adding at places, counting, classes."""

from __future__ import annotations

import numpy as np

from catalogue import normal


def _scatter_add(x, index, src, axis):
    y = x.copy()
    for at in np.ndindex(index.shape):
        y[(*at[:axis], index[at], *at[axis + 1 :])] += src[at]
    return y


def _index_add(x, index, source, axis):
    y = np.moveaxis(x, axis, 0).copy()
    for i, part in zip(index, np.moveaxis(source, axis, 0), strict=True):
        y[i] += part
    return np.moveaxis(y, 0, axis)


REFERENCES = {
    "scatter_add": _scatter_add,
    "index_add": _index_add,
    "count_nonzero": np.count_nonzero,
    "first_selected": lambda mask, x: x[np.argmax(mask)],
    "one_hot": lambda indices, num_classes, dtype="float64": np.eye(num_classes, dtype=dtype)[indices],
}

CASES = {
    "scatter_add": [
        ((normal(3), np.array([0, 0, 2, -1]), normal(4)), {"axis": 0}),
        ((normal(2, 3), np.zeros((0, 3), int), normal(2, 3)), {"axis": 0}),
    ],
    "index_add": [
        ((normal(3, 4), np.array([0, 0, -1]), normal(3, 4)), {"axis": 0}),
        ((normal(3), np.zeros(0, int), normal(0)), {"axis": 0}),
    ],
    "count_nonzero": [
        ((np.array([[0.0, -0.0, 7.0], [1.0, 2.0, 0.0]]),), {}),
        ((normal(2, 3) > 0,), {"axis": (0, 1)}),
        ((normal(2, 3) > 0,), {"axis": -1, "keepdims": True}),
        ((np.zeros((0, 2)),), {"axis": 0}),
    ],
    "first_selected": [
        ((np.array([False, True, True]), normal(3)), {}),
        ((np.array([False]), normal(1)), {}),
    ],
    "one_hot": [
        ((np.array(2),), {"num_classes": 3, "dtype": "float32"}),
        ((np.array([0, 1]),), {"num_classes": 2, "dtype": "bool"}),
        ((np.zeros(0, int),), {"num_classes": 2}),
    ],
}
