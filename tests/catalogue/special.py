"""Special functions."""

from __future__ import annotations

import math

import numpy as np

from catalogue import normal

REFERENCES = {
    "erf": np.vectorize(math.erf, otypes=[float]),
    "erfc": np.vectorize(math.erfc, otypes=[float]),
}

CASES = {
    "erf": [((4 * normal(3, 4),), {})],
    "erfc": [((4 * normal(3, 4),), {})],
}
