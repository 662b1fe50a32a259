"""Inverses, determinants and decompositions.

The reference of an op that has a forward of its own is that forward on NumPy; what stands here are composites, and formulas
that share nothing with the op. Where vectors are fixed up to their sign, the sign is LAPACK's on every backend under test.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from catalogue import normal


def _regular(*shape):
    return normal(*shape) + 3 * np.eye(shape[-1])


def _symmetric(*shape):
    a = normal(*shape)
    return a + a.mT + 3 * np.diag(2.0 ** np.arange(shape[-1]))


def _positive(*shape):
    a = normal(*shape)
    return a @ a.mT + 2 * np.eye(shape[-1])


def _of_rank(rank, *shape):
    """Of small multiples of 1/64, so that the rank is the same in float32."""
    a, b = normal(*shape[:-1], rank), normal(*shape[:-2], rank, shape[-1])
    return np.round(8 * a) @ np.round(8 * b) / 64


def _of_real_matrices(function):
    """Complex eigenvectors and singular vectors have a free phase: tests/test_linalg.py fixes it."""

    def reference(x, **attrs):
        if np.iscomplexobj(x):
            raise TypeError("the phase is free")
        return tuple(function(x, **attrs))

    return reference


def _eig(x):
    w, v = np.linalg.eig(x)
    dtype = np.complex64 if x.dtype == np.float32 else np.complex128
    return w.astype(dtype), v.astype(dtype)


def _cofactors(x):
    """By the definition: signed minors."""
    y = np.empty_like(x)
    for i, j in itertools.product(range(x.shape[-2]), range(x.shape[-1])):
        minor = np.delete(np.delete(x, i, -2), j, -1)
        y[..., i, j] = (-1) ** (i + j) * np.linalg.det(minor)
    return y


def _exponential(x):
    """The power series, of a 64th of x, squared six times."""
    y = term = np.broadcast_to(np.eye(x.shape[-1]), x.shape)
    for k in range(1, 20):
        term = term @ x / (64 * k)
        y = y + term
    for _ in range(6):
        y = y @ y
    return y.astype(x.dtype)


def _triangular(x1, x2, upper=False, unit_diagonal=False):
    t = np.triu(x1) if upper else np.tril(x1)
    if unit_diagonal:
        t[..., range(t.shape[-1]), range(t.shape[-1])] = 1
    return np.linalg.inv(t) @ x2


REFERENCES = {
    "cofactors": _cofactors,
    "matrix_exp": _exponential,
    "solve_triangular": _triangular,
    "lstsq": lambda x1, x2, rtol=None: np.linalg.pinv(x1) @ x2,
    "matrix_norm": lambda x, ord="fro": np.linalg.norm(x, ord, axis=(-2, -1)),
    "matrix_power": lambda x, n: np.linalg.matrix_power(x, n),
    "cholesky": lambda x, upper=False: np.conj(np.linalg.cholesky(x).mT) if upper else np.linalg.cholesky(x),
    "eigvalsh": np.linalg.eigvalsh,
    "eigh": _of_real_matrices(np.linalg.eigh),
    "eig": _of_real_matrices(_eig),
    "svd": _of_real_matrices(np.linalg.svd),
    # NumPy before 2.4 has none of an empty matrix.
    "matrix_rank": lambda x, rtol=None: (
        np.linalg.matrix_rank(x, rtol=rtol) if 0 not in x.shape[-2:] else np.zeros(x.shape[:-2], np.int64)
    ),
}

_RIGHT_SIDES = [
    ((_regular(3, 3), normal(3)), {}),
    ((_regular(3, 3), normal(3, 2)), {}),
    ((_regular(2, 3, 3), normal(3)), {}),
    ((_regular(3, 3), normal(2, 3, 1)), {}),
    ((_regular(2, 1, 3, 3), normal(4, 3, 2)), {}),
    ((_regular(0, 0), normal(0, 2)), {}),
    ((_regular(0, 2, 2), normal(2, 2)), {}),
]

CASES = {
    "inv": [((_regular(2, 2),), {}), ((_regular(1, 1),), {}), ((_regular(0, 0),), {}), ((_regular(0, 2, 2),), {})],
    "solve": _RIGHT_SIDES,
    "solve_triangular": [
        *(
            (arrays, {"upper": upper, "unit_diagonal": unit})
            for arrays, _ in _RIGHT_SIDES[:-1]
            for upper, unit in ((False, False), (True, True), (False, True))
        ),
    ],
    "pinv": [
        ((normal(2, 4),), {}),
        ((_regular(3, 3),), {}),
        ((normal(2, 3, 2), 1e-3), {}),
        ((normal(2, 3, 2), np.array([1e-3, 1e-2])), {}),
    ],
    "matrix_rank": [
        ((_of_rank(2, 2, 4, 3),), {}),
        ((np.zeros((2, 3)),), {}),
        ((np.diag([1.0, 0.125]), 0.5), {}),
        ((np.ones((2, 0, 3)),), {}),
    ],
    "lstsq": [
        ((normal(4, 2), normal(4)), {}),
        ((normal(2, 4), normal(2, 3)), {}),
        ((normal(3, 1, 4, 2), normal(2, 4, 3)), {}),
    ],
    "det": [
        ((_of_rank(2, 3, 3),), {}),
        ((_of_rank(2, 4, 4),), {}),
        ((np.ones((2, 2)),), {}),
        ((np.zeros((3, 3)),), {}),
        ((np.zeros((1, 1)),), {}),
        ((np.eye(3),), {}),
        ((normal(1, 1),), {}),
        ((np.zeros((0, 0)),), {}),
        ((normal(2, 1, 4, 4),), {}),
    ],
    "cofactors": [((np.eye(3),), {}), ((_regular(1, 1),), {}), ((_regular(2, 2),), {}), ((np.zeros((0, 0)),), {})],
    "cofactors_along": [
        ((_regular(2, 2), normal(2, 2)), {}),
        ((np.eye(3), normal(2, 3, 3)), {}),
        ((_regular(2, 2, 2), normal(2, 2)), {}),
    ],
    "slogdet": [((_regular(3, 3),), {}), ((-_regular(3, 3),), {}), ((_regular(0, 0),), {})],
    "cholesky": [
        ((_positive(3, 3),), {"upper": True}),
        ((_positive(1, 1),), {}),
        ((_positive(0, 0),), {}),
        ((_positive(2, 1, 2, 2),), {}),
    ],
    "qr": [
        ((normal(3, 3),), {}),
        ((normal(3, 3),), {"mode": "complete"}),
        ((normal(2, 4),), {}),
        ((normal(2, 2, 4),), {"mode": "complete"}),
        ((normal(4, 1),), {}),
    ],
    "eigh": [((_symmetric(3, 3),), {}), ((_symmetric(1, 1),), {}), ((np.zeros((0, 0)),), {})],
    "eigvalsh": [((_symmetric(3, 3),), {}), ((_symmetric(1, 1),), {}), ((np.zeros((0, 0)),), {})],
    "eig": [((_symmetric(3, 3),), {})],
    "eigvals": [((np.diag([1.0, 2.0]),), {}), ((_symmetric(3, 3),), {})],
    "svd": [
        ((normal(2, 4),), {"full_matrices": False}),
        ((normal(3, 3),), {"full_matrices": False}),
        ((normal(3, 3),), {"full_matrices": True}),
        ((normal(3, 1),), {"full_matrices": False}),
    ],
    "svdvals": [((normal(2, 4),), {}), ((normal(3, 3),), {}), ((normal(1, 3),), {})],
    "matrix_norm": [((normal(2, 3, 4),), {"ord": ord}) for ord in ("nuc", 1, -1, 2, -2, math.inf, -math.inf)],
    "matrix_power": [((_regular(3, 3),), {"n": n}) for n in (0, 1, 2, 7, -1, -2)],
    "matrix_exp": [
        ((10 * normal(3, 3),), {}),
        ((np.zeros((2, 2)),), {}),
        ((np.diag([-20.0, 1e-9]),), {}),
        ((normal(1, 1),), {}),
        ((np.zeros((0, 0)),), {}),
    ],
}
