"""Reductions."""

from __future__ import annotations

import math

import numpy as np

from catalogue import normal


def _softmax(x, axis=-1):
    e = np.exp(x)
    return e / e.sum(axis=axis, keepdims=True)


REFERENCES = {
    "logsumexp": lambda x, axis=None, keepdims=False: np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims)),
    "softmax": _softmax,
    "log_softmax": lambda x, axis=-1: np.log(_softmax(x, axis)),
    "sum": np.sum,
    "vector_norm": lambda x, axis=None, keepdims=False, ord=2: (
        (np.sum(np.abs(x) ** ord, axis=axis, keepdims=keepdims) ** (1 / ord))
        if ord not in (0, math.inf, -math.inf)
        else np.linalg.norm(x, ord, axis, keepdims)
    ),
}

CASES = {
    "sum": [
        ((np.array([100, 100], np.int8),), {}),
        ((np.array([200, 100], np.uint8),), {"dtype": "float32"}),
        ((normal(3) + 1j * normal(3),), {}),
        ((normal(2, 3, 4),), {"axis": (0, -1)}),
        ((normal(0, 3),), {"axis": 0}),
        ((normal(3),), {"axis": ()}),
    ],
    "mean": [((normal(3) + 1j * normal(3),), {}), ((normal(2, 3, 4),), {"axis": (0, 2), "keepdims": True})],
    "prod": [
        ((np.array([100, 100], np.int8),), {}),
        ((np.array([200, 100], np.uint8),), {"dtype": "float32"}),
        ((normal(3) + 1j * normal(3),), {}),
        ((normal(2, 3, 4),), {"axis": (0, 2)}),
        ((np.array([2.0, 0.0, 3.0]),), {}),
        ((np.array([0.0, 0.0, 3.0]),), {}),
        ((normal(0, 2),), {"axis": 0}),
        ((normal(5),), {"keepdims": True}),
    ],
    "var": [((normal(3, 4),), {"axis": 0, "correction": 1.0}), ((normal(3, 4),), {"axis": (0, 1), "correction": 1})],
    "std": [((normal(3, 4),), {"axis": 0, "correction": 1.0}), ((normal(3, 4),), {"axis": (1, 0), "keepdims": True})],
    "max": [((normal(2, 3, 4),), {"axis": (0, 2)}), ((normal(2, 3, 4),), {"axis": (1, -1), "keepdims": True})],
    "min": [((normal(2, 3, 4),), {"axis": (0, 2)})],
    "all": [((normal(2, 3, 4) > -1,), {"axis": (0, 2)}), ((normal(0, 3) > 0,), {"axis": 0})],
    "any": [((normal(2, 3, 4) > 1,), {"axis": (0, 2)}), ((normal(0, 3) > 0,), {"axis": 0})],
    "logsumexp": [((normal(2, 3, 4),), {"axis": (0, 2)}), ((normal(2, 3),), {"axis": (0, 1), "keepdims": True})],
    "softmax": [((normal(2, 3),), {}), ((normal(2, 3),), {"axis": 0}), ((normal(2, 3, 2),), {"axis": (0, 2)})],
    "log_softmax": [((normal(2, 3),), {}), ((normal(2, 3),), {"axis": 0})],
    "vector_norm": [
        ((normal(2, 3, 4),), {"axis": (0, 2)}),
        *(((normal(3, 4),), {"axis": 1, "ord": ord}) for ord in (0, 1, 2, 3, 2.5, math.inf, -math.inf)),
    ],
}
