"""Elementwise ops."""

from __future__ import annotations

import numpy as np

from catalogue import normal

REFERENCES = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: np.where(x > 0, x, 0.0),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "clip": np.clip,
    "where": np.where,
}

CASES = {
    "clip": [
        ((normal(3, 4), None, 0.5), {}),
        ((normal(3, 4), 0.25, None), {}),
        ((normal(3, 4), normal(4) - 2, normal(3, 1) + 2), {}),
        ((normal(3, 4), np.full((3, 4), 0.5), np.full((3, 4), -0.5)), {}),
    ],
    "pow": [
        ((np.array([-2.0, -1.5, 0.5]), 2), {}),
        ((np.array([-2.0, -1.5, 0.5]), 3.0), {}),
        ((np.array([0.5, 1.5]), 0), {}),
        ((np.array([0.5, 1.5]), -0.5), {}),
        ((2.0, np.array([-1.0, 0.5])), {}),
    ],
    "where": [((normal(2, 3) > 0, normal(2, 3), 1.5), {}), ((normal(2, 3) > 0, 0.5, normal(3)), {})],
    "divide": [((1.0, np.array([0.5, 2.0])), {}), ((np.array([0.5, 2.0]), 4), {})],
}
