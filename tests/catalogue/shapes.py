"""Ops that move elements."""

from __future__ import annotations

import numpy as np

from catalogue import normal


def _sum_to(x, shape):
    lead = x.ndim - len(shape)
    kept = tuple(i + lead for i, n in enumerate(shape) if n == 1)
    return x.sum(axis=(*range(lead), *kept), keepdims=True).reshape(shape)


def _diag(x, k=0):
    n = x.shape[-1]
    y = np.zeros((*x.shape[:-1], n + abs(k), n + abs(k)), x.dtype)
    rows = np.arange(n) + max(-k, 0)
    y[..., rows, rows + k] = x
    return y


def _pad(x, pad_width, mode="constant", **options):
    """NumPy refuses options of other modes."""
    return np.pad(x, pad_width, mode, **{k: v for k, v in options.items() if v is not None})


REFERENCES = {
    "diag": _diag,
    "tile": lambda x, repetitions: np.tile(x, repetitions),
    "repeat": np.repeat,
    "moveaxis": np.moveaxis,
    "pad": _pad,
    "expand_dims": np.expand_dims,
    "matrix_transpose": lambda x: np.swapaxes(x, -1, -2),
    "sum_to": _sum_to,
}

CASES = {
    "reshape": [
        ((normal(2, 3),), {"shape": (6,), "copy": True}),
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
    "roll": [
        ((normal(2, 3),), {"shift": -4}),
        ((normal(2, 3),), {"shift": (1, -1), "axis": (0, 1)}),
        ((normal(2, 3),), {"shift": (1, 1), "axis": (-1, -1)}),
        ((normal(),), {"shift": 1}),
        ((normal(0, 2),), {"shift": 1, "axis": 0}),
    ],
    "moveaxis": [
        ((normal(2, 3, 4),), {"source": (0, -1), "destination": (-1, 0)}),
        ((normal(2, 3, 4),), {"source": -1, "destination": 1}),
    ],
    "tril": [((normal(3, 3),), {}), ((normal(0, 3),), {}), ((normal(2, 3),), {"k": -5})],
    "triu": [((normal(3, 3),), {}), ((normal(0, 3),), {}), ((normal(2, 3),), {"k": -1})],
    "tile": [
        ((normal(3),), {"repetitions": (2, 1, 2)}),
        ((normal(2, 3),), {"repetitions": 2}),
        ((normal(2, 3),), {"repetitions": ()}),
        ((normal(),), {"repetitions": (3,)}),
        ((normal(2, 3),), {"repetitions": (0, 1)}),
    ],
    "repeat": [
        ((normal(2, 3), 0), {"axis": 0}),
        ((normal(), 3), {}),
        ((normal(0, 2), 3), {"axis": 0}),
    ],
    "diag": [((normal(3),), {}), ((normal(2, 3),), {"k": -2}), ((normal(0),), {}), ((normal(1),), {"k": 0})],
    "pad": [
        *(
            ((normal(2, 3),), {"pad_width": ((1, 2), (0, 3)), "mode": mode})
            for mode in ("edge", "reflect", "symmetric", "wrap")
        ),
        *(
            ((normal(2, 3),), {"pad_width": ((0, 1), (1, 2)), "mode": mode, "stat_length": length})
            for mode, length in (("maximum", None), ("mean", ((1, 2), (2, 9))), ("median", None), ("minimum", (2, 1)))
        ),
        (
            (normal(3, 4),),
            {"pad_width": ((2, 1), (0, 3)), "mode": "linear_ramp", "end_values": ((1.0, 2.0), (0.0, -1.0))},
        ),
        ((normal(2),), {"pad_width": (0, 0), "mode": "linear_ramp"}),
        ((normal(1, 3),), {"pad_width": 2, "mode": "reflect"}),
        ((normal(3, 2),), {"pad_width": (1, 2), "constant_values": 1.5}),
        ((normal(3, 2),), {"pad_width": 1, "constant_values": ((1.0, 2.0), (3.0, 4.0))}),
        ((normal(0),), {"pad_width": 2}),
        ((normal(),), {"pad_width": 2}),
        ((normal(2, 3),), {"pad_width": 0, "mode": "wrap"}),
    ],
    "astype": [((np.array([1, 2]),), {"dtype": "float32"}), ((normal(2) > 0,), {"dtype": "int64"})],
}
