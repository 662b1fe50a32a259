"""Ops that move elements."""

from __future__ import annotations

import numpy as np

from catalogue import normal


def _sum_to(x, shape):
    lead = x.ndim - len(shape)
    kept = tuple(i + lead for i, n in enumerate(shape) if n == 1)
    return x.sum(axis=(*range(lead), *kept), keepdims=True).reshape(shape)


REFERENCES = {
    "expand_dims": np.expand_dims,
    "matrix_transpose": lambda x: np.swapaxes(x, -1, -2),
    "sum_to": _sum_to,
}

CASES = {
    "reshape": [
        ((normal(2, 6),), {"shape": (-1, 4)}),
        ((normal(1),), {"shape": ()}),
        ((normal(0, 3),), {"shape": 0}),
    ],
    "permute_dims": [((normal(),), {"axes": ()}), ((normal(2, 3, 4),), {"axes": (-1, 0, 1)})],
    "squeeze": [((normal(1, 3),), {"axis": 0}), ((normal(1),), {"axis": -1})],
    "expand_dims": [((normal(3),), {"axis": (0, 2)}), ((normal(),), {"axis": 0}), ((normal(3),), {"axis": -1})],
    "broadcast_to": [
        ((normal(),), {"shape": (2, 3)}),
        ((normal(3),), {"shape": (0, 3)}),
        ((normal(3),), {"shape": (3,)}),
    ],
    "sum_to": [
        ((normal(2, 3),), {"shape": ()}),
        ((normal(2, 3),), {"shape": (2, 3)}),
        ((normal(0, 3),), {"shape": (3,)}),
    ],
    "flip": [((normal(2, 3),), {}), ((normal(2, 3),), {"axis": (0, 1)}), ((normal(),), {})],
    "concat": [
        ((normal(2, 3), normal(2)), {"axis": None}),
        ((normal(2, 3), normal(2, 0), normal(2, 1)), {"axis": -1}),
    ],
    "stack": [((normal(2, 3), normal(2, 3), normal(2, 3)), {"axis": -1}), ((normal(), normal()), {})],
    "astype": [((np.array([1, 2]),), {"dtype": "float32"}), ((normal(2) > 0,), {"dtype": "int64"})],
}
