"""Sorting, quantiles, searching and sets."""

from __future__ import annotations

import numpy as np

from catalogue import normal


def _argsort(x, axis=-1, descending=False, stable=True):
    return np.argsort(-x if descending else x, axis=axis, stable=True)


def _topk(x, k, axis=-1, largest=True):
    order = np.take(_argsort(x, axis, largest), range(k), axis)
    return np.take_along_axis(x, order, axis), order


REFERENCES = {
    "unique_values": np.unique,
    "sort": lambda x, axis=-1, descending=False, stable=True: -np.sort(-x, axis) if descending else np.sort(x, axis),
    "argsort": _argsort,
    "topk": _topk,
    "topk_indices": lambda x, k, axis=-1, largest=True: _topk(x, k, axis, largest)[1],
    "quantile": np.quantile,
    "median": np.median,
    "searchsorted": lambda x1, x2, sorter=None, side="left": np.sum(
        (np.less if side == "left" else np.less_equal)(x1 if sorter is None else x1[sorter], np.asarray(x2)[..., None]),
        -1,
    ),
    "isin": lambda x1, x2, invert=False: np.any(np.asarray(x1)[..., None] == np.reshape(x2, -1), -1) != invert,
}

_orders = [
    ((normal(2, 3, 4),), {"axis": -2}),
    ((normal(5),), {"descending": True}),
    ((np.array([[3, 1, 2, 1, 3], [5, 5, 5, 4, 4]]),), {"descending": True}),
    ((np.array([[3, 1, 2, 1, 3], [5, 5, 5, 4, 4]]),), {"axis": 0}),
    ((normal(2, 0),), {}),
    ((normal(0, 3),), {"axis": 1, "descending": True}),
    ((normal(1),), {"stable": False}),
]

_tops = [
    ((normal(3, 5),), {"k": 3, "axis": 0, "largest": False}),
    ((normal(2, 5, 3),), {"k": 2, "axis": -2}),
    ((np.array([[1, 3, 3, 2], [2, 2, 1, 2]]),), {"k": 3}),
    ((np.array([[1, 3, 3, 2], [2, 2, 1, 2]]),), {"k": 3, "largest": False}),
    ((normal(4),), {"k": 0}),
    ((normal(0, 4),), {"k": 2}),
    ((normal(7),), {"k": 7}),
]

CASES = {
    "sort": _orders,
    "argsort": _orders,
    "topk": _tops,
    "topk_indices": _tops,
    "quantile": [
        ((normal(3, 4),), {"q": [0.0, 0.1, 0.5, 0.9, 1.0], "axis": 1}),
        ((normal(2, 3, 4),), {"q": (0.2, 0.7), "axis": (0, -1), "keepdims": True}),
        *(((normal(6),), {"q": [0.1, 0.35, 0.5], "method": m}) for m in ("lower", "higher", "nearest", "midpoint")),
        ((np.array([1, 5, 2]),), {"q": 0.25}),
        ((normal(3, 0, 2),), {"q": 0.5, "axis": 0}),
    ],
    "median": [((normal(3, 5),), {"axis": 0}), ((normal(2, 3, 4),), {"axis": (0, 1)}), ((np.array([4, 1]),), {})],
    "searchsorted": [  # the battery reverses arrays, so these ascend both ways: tests/test_sorting.py has the others
        ((np.full(4, 2.0), np.array([[1.0, 2.0], [2.0, 3.0]])), {"side": "right"}),
        ((np.full(4, 2.0), np.array(2.0)), {}),
        ((np.full(4, 2.0), 2.0), {"side": "right"}),
        ((np.full(4, 2), np.array([1, 2, 9, 0]), np.array([1, 3, 2, 0])), {}),
        ((normal(0), normal(3)), {}),
        ((np.full(4, 2), normal(0).astype(int)), {}),
    ],
    "isin": [
        ((np.array([[1, 2], [3, 4]]), np.array([4, 4, 1])), {"invert": True}),
        ((np.array([1, 2, 3]), 2), {}),
        ((2, np.array([[1, 2], [3, 2]])), {}),
        ((np.array([1.5, 2.0]), np.array([2.0, 7.0])), {}),
        ((np.array([True, False]), np.array([True])), {}),
        ((np.array([1, 2]), np.array([], int)), {"invert": True}),
        ((np.array([], int), np.array([1])), {}),
        ((np.array(3), np.array([1, 3])), {}),
    ],
}
