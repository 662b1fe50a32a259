"""Indexing."""

from __future__ import annotations

import numpy as np


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


REFERENCES = {
    "getitem": lambda x, *indices, key: x[_key(key, indices)],
    "setitem": _setitem,
    "scatter_pieces": _scatter,
}
