"""Fully connected layers."""

from __future__ import annotations

import numpy as np
from catalogue import normal


def _linear(x, weight, bias=None):
    return np.einsum("...i,oi->...o", x, weight) + (0 if bias is None else bias)


def _weight_grad(v, x):
    return np.tensordot(v, x, (range(v.ndim - 1), range(v.ndim - 1)))


REFERENCES = {
    "linear": _linear,
    "linear_weight_grad": _weight_grad,
    "linear_bias_grad": lambda v: v.reshape(-1, v.shape[-1]).sum(0),
}

CASES = {
    "linear": [
        ((normal(4), normal(3, 4), normal(3)), {}),
        ((normal(4), normal(3, 4)), {}),
        ((normal(2, 4), normal(3, 4)), {}),
        ((normal(0, 4), normal(3, 4), normal(3)), {}),
        ((normal(2, 2, 0), normal(3, 0), normal(3)), {}),
        ((normal(2, 4), normal(0, 4), normal(0)), {}),
        ((normal(2, 0, 4), normal(3, 4), normal(3)), {}),
    ],
    "linear_x_grad": [
        ((normal(3), normal(3, 4)), {}),
        ((normal(2, 3), normal(3, 4)), {}),
        ((normal(2, 0), normal(0, 4)), {}),
        ((normal(0, 2, 3), normal(3, 4)), {}),
    ],
    "linear_bias_grad": [((normal(4),), {}), ((normal(0, 4),), {}), ((normal(2, 4),), {})],
    "linear_weight_grad": [
        ((normal(3), normal(4)), {}),
        ((normal(2, 3), normal(2, 4)), {}),
        ((normal(0, 3), normal(0, 4)), {}),
        ((normal(2, 1, 0), normal(2, 1, 4)), {}),
    ],
}
