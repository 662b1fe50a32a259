"""Random numbers, from the words of NumPy's own Philox."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np


def _words(key, counter, n):
    return np.random.Philox(key=key, counter=counter).random_raw(n)


def _uniform(key, counter, n, dtype="float64"):
    if dtype == "float32":
        return ((_words(key, counter, n) >> 40) * 2.0**-24).astype(dtype)
    return (_words(key, counter, n) >> 11) * 2.0**-53


def _normal(key, counter, n, dtype="float64"):
    u = _uniform(key, counter, n + n % 2)
    z = np.sqrt(-2 * np.log(1 - u[0::2])) * np.exp(2j * np.pi * u[1::2])
    return np.stack([z.real, z.imag], axis=1).reshape(-1)[:n].astype(dtype)


def _integers(key, counter, n, low, high, dtype="int64"):
    return np.array([low + (int(w) * (high - low) >> 64) for w in _words(key, counter, n)], dtype)


def _truncated(key, counter, n, low, high, dtype="float64"):
    normal = NormalDist()
    first, last = normal.cdf(low), normal.cdf(high)
    return np.array([normal.inv_cdf(first + (last - first) * u) for u in _uniform(key, counter, n)], dtype)


def _advanced(counter, blocks):
    total = sum(int(w) << 64 * i for i, w in enumerate(counter)) + blocks
    return np.array([total >> 64 * i & 2**64 - 1 for i in range(4)], np.uint64)


REFERENCES = {
    "advance_counter": _advanced,
    "random_bits": _words,
    "random_uniform": _uniform,
    "random_normal": _normal,
    "random_integers": _integers,
    "random_order": lambda words: np.argsort(words, stable=True),
    "random_exponential": lambda key, counter, n, dtype="float64": -np.log(1 - _uniform(key, counter, n)).astype(dtype),
    "random_gumbel": lambda key, counter, n, dtype="float64": (
        -np.log(-np.log(1 - _uniform(key, counter, n))).astype(dtype)
    ),
    "random_truncated_normal": _truncated,
}

_STREAM = np.array([3, 2**64 - 1], np.uint64), np.array([2**64 - 2, 2**64 - 1, 7, 0], np.uint64)

CASES = {
    "random_uniform": [(_STREAM, {"n": 9, "dtype": "float32"})],
    "random_integers": [(_STREAM, {"n": 9, "low": -(2**20), "high": 2**20, "dtype": "int32"})],
    "random_truncated_normal": [
        (_STREAM, {"n": 9, "low": -math.inf, "high": math.inf}),
        (_STREAM, {"n": 9, "low": 0.5, "high": 2.0}),
        (_STREAM, {"n": 0, "low": -1.0, "high": 2.0}),
    ],
}
