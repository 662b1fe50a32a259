"""Indexing."""

from __future__ import annotations

import numpy as np

from catalogue import normal
from jitrench_core.ops.indexing import ARRAY


def _scatter(*arrays, shape, dtype, keys):
    z = np.zeros(shape, dtype)
    i = 0
    for key, n in keys:
        rest = iter(arrays[i + 1 : i + 1 + n])
        np.add.at(z, tuple(next(rest) if repr(k) == "ARRAY" else k for k in key), arrays[i])
        i += 1 + n
    return z


def _key(key, indices):
    rest = iter(indices)
    return tuple(next(rest) if repr(k) == "ARRAY" else k for k in key)


def _setitem(x, value, *indices, key):
    y = x.copy()
    y[_key(key, indices)] = value
    return y


def _extremum(x, value, *indices, key, largest):
    y = x.copy()
    (np.maximum if largest else np.minimum).at(y, _key(key, indices), value)
    return y


def _gather(x, index, axis):
    y = np.empty(index.shape, x.dtype)
    for at in np.ndindex(index.shape):
        y[at] = x[(*at[:axis], index[at], *at[axis + 1 :])]
    return y


REFERENCES = {
    "getitem": lambda x, *indices, key: x[_key(key, indices)],
    "setitem": _setitem,
    "scatter_pieces": _scatter,
    "scatter_extremum": _extremum,
    "take": np.take,
    "take_along_axis": lambda x, indices, axis=-1: np.take_along_axis(x, indices, axis),
    "gather": _gather,
}

CASES = {
    "getitem": [
        ((normal(3, 4), np.array(True)), {"key": (ARRAY,)}),
        ((normal(3, 4), np.array(False)), {"key": (ARRAY,)}),
        ((normal(3, 4), np.array(True), np.array([0, 2])), {"key": (ARRAY, ARRAY)}),
        ((normal(), np.array(True)), {"key": (ARRAY,)}),
        # an ellipsis that stands for no axis still keeps index arrays apart: their axes go to the front
        ((normal(3, 4), np.array([0, 2]), np.array([1, 1])), {"key": (None, ARRAY, Ellipsis, ARRAY)}),
        ((normal(), np.array(False)), {"key": (Ellipsis, ARRAY)}),
        ((normal(3, 4),), {"key": ()}),
        ((normal(),), {"key": (None, Ellipsis)}),
        ((normal(3, 4), np.array(1)), {"key": (ARRAY, None, slice(None, None, -2))}),
        ((normal(3, 4), normal(3, 4) > 0), {"key": (ARRAY,)}),
        ((normal(3, 4), normal(3, 4) > 0), {"key": (None, ARRAY)}),
        ((normal(3, 4), np.array([True, False, True])), {"key": (ARRAY, slice(1, None))}),
        ((normal(0, 4), np.zeros(0, int)), {"key": (ARRAY,)}),
    ],
    "setitem": [
        ((normal(3, 4), 2.5, np.array(True)), {"key": (ARRAY,)}),
        ((normal(3, 4), normal(4), np.array([0, -1, 0])), {"key": (ARRAY,)}),
        ((normal(3, 4), normal(1), normal(3, 4) > 0), {"key": (ARRAY,)}),
        ((normal(), normal()), {"key": ()}),
        ((normal(3, 4), normal(2, 1, 4)), {"key": (slice(2), None)}),
    ],
    "scatter_extremum": [
        ((normal(3, 4), normal(2, 4)), {"key": (slice(2),), "largest": False}),
        (
            (normal(3, 4), normal(5), np.array([0, 2, 0, 0, -1]), np.array([1, 1, 1, 1, 0])),
            {"key": (ARRAY, ARRAY), "largest": False},
        ),
        ((np.array([1.0, 2.0]), np.array([3.0, 1.0, 2.5]), np.array([0, 0, 1])), {"key": (ARRAY,), "largest": True}),
        ((normal(3), normal(0), np.zeros(0, int)), {"key": (ARRAY,), "largest": True}),
    ],
    "take": [
        ((normal(3), np.array([0, -1, 0])), {}),
        ((normal(3, 4), np.array([[0, 3], [1, 1]])), {"axis": -1}),
        ((normal(3, 4), np.array(2)), {"axis": 0}),
        ((normal(3, 4), np.zeros(0, int)), {"axis": 0}),
    ],
    "take_along_axis": [
        ((normal(3, 4), np.array([[1, 1, 0]])), {}),
        ((normal(1, 4), np.array([[1, 1], [0, 3]])), {"axis": 1}),
        ((normal(3), np.array([2, -1, 2, 0])), {"axis": 0}),
        ((normal(3, 0), np.zeros((1, 0), int)), {"axis": 0}),
    ],
    "gather": [
        ((normal(3), np.array([2, 2])), {"axis": 0}),
        ((normal(2, 3, 2), np.array([[[1], [0], [1], [1]]])), {"axis": 1}),
        ((normal(3, 2), np.array([[2, 0]])), {"axis": 0}),
    ],
}
