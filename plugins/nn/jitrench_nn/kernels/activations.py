"""GELU for NumPy, a block at a time, in few passes that stay in the cache: 1.1 ms for (512, 512) float32, 8.5 by ``erfc``.

With z = |x| it is max(x, 0) - z * q, where q = 1 - Φ(z) is exp(-z**2 / 2) times u = 1 / (1 + p * z) and a polynomial in 1 - 2u. The
polynomials were interpolated at Chebyshev's points in 50 digits, and are within 4e-8 and 3e-17 of what they stand for; the rounding of
z**2 costs q more digits in its tail, 4e-6 of it in float32 at z = 12.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

import jitrench_core as jt

from ..ops import activations as ops

BLOCK = 2**16  # bytes


class _Fit(NamedTuple):
    """``p``, the largest z that counts, and the polynomial, highest power first."""

    p: Any
    last: Any
    coefficients: list[Any]


def _fit(dtype: Any, p: float, last: float, coefficients: tuple[float, ...]) -> _Fit:
    return _Fit(dtype(p), dtype(last), [dtype(c) for c in reversed(coefficients)])


_FITS = {
    "f": _fit(
        np.float32, 0.35, 13.0,
        (
            0.2532442793790183, -0.1714957747212507, 0.07109884485081307, -0.010234366177744453, -0.005108303509657787,
            0.0017566707782516382, 0.0006902851399520222, -0.0002170705041844418, -0.00011566363711388,
        ),
    ),
    "d": _fit(
        np.float64, 0.15, 38.0,
        (
            0.11715383723550846, -0.10763255253527819, 0.09074926659305926, -0.0700583540446129, 0.04933736206677103,
            -0.03151811049063664, 0.018114536746973685, -0.009251127174759344, 0.004116804093552741, -0.0015429434248580023,
            0.0004539276492435375, -8.482163887743324e-05, -2.4696764131041716e-06, 8.562043490261238e-06,
            -2.8558105895500264e-06, 9.397976844503618e-08, 2.7318935152633516e-07, -8.685968931568921e-08,
            -1.0813644537505616e-08, 1.2132289834552974e-08, -2.3359959262615476e-10, -9.466232738241727e-10,
        ),
    ),
}  # fmt: skip


def _parts(x: Any, fit: _Fit) -> tuple[Any, Any, Any]:
    """z, exp(-z**2 / 2) and q of a block."""
    z = np.abs(x)
    np.minimum(z, fit.last, out=z)
    u = z * fit.p
    u += 1
    np.reciprocal(u, out=u)
    v = u * -2
    v += 1
    first, *rest, last = fit.coefficients
    q = v * first
    for c in rest:
        q += c
        q *= v
    q += last
    q *= u
    bell = np.multiply(z, z, out=v)
    bell *= -0.5
    np.exp(bell, out=bell)
    q *= bell
    return z, bell, q


def _blocks(x: Any) -> list[slice]:
    step = BLOCK // x.itemsize
    return [slice(i, i + step) for i in range(0, x.size, step)]


def gelu(x: Any, /, *, approximate: str = "none") -> Any:
    """The op ``gelu``."""
    fit = _FITS.get(x.dtype.char)
    if fit is None or approximate != "none":
        return ops.gelu.op.forward(jt.asarray(x), approximate=approximate).data
    flat = x.reshape(-1)
    y = np.empty_like(flat)
    for block in _blocks(flat):
        part, out = flat[block], y[block]
        z, _, q = _parts(part, fit)
        q *= z
        np.maximum(part, 0, out=out)
        out -= q
    return y.reshape(x.shape) if x.ndim else y[0]


def gelu_grad(v: Any, x: Any, /, *, approximate: str = "none") -> Any:
    """The op ``gelu_grad``: its slope Φ(x) + x * φ(x) is w = q - z * φ(z) for a negative x, else 1 - w."""
    fit = _FITS.get(x.dtype.char)
    if fit is None or approximate != "none" or v.dtype != x.dtype or v.shape != x.shape or not x.ndim:
        return ops.gelu_grad.op.forward(jt.asarray(v), jt.asarray(x), approximate=approximate).data
    flat, v = x.reshape(-1), v.reshape(-1)
    y = np.empty_like(flat)
    for block in _blocks(flat):
        part, out = flat[block], y[block]
        z, bell, w = _parts(part, fit)
        bell *= 1 / math.sqrt(2 * math.pi)
        bell *= z
        w -= bell
        np.multiply(w, -2, out=out)
        out += 1
        out *= part > 0  # where() takes ten times as long on random signs
        out += w
        out *= v[block]
    return y.reshape(x.shape)


def gelu_grad_at(v: Any, x: Any, value: Any, /) -> Any:
    """The op ``gelu_grad_at``: a third of ``gelu_grad``'s time. A tiny number of x's sign makes 0 / 0 one half."""
    fit = _FITS.get(x.dtype.char)
    if fit is None or not v.dtype == x.dtype == value.dtype or not v.shape == x.shape == value.shape or not x.ndim:
        return ops.gelu_grad_at.op.forward(np, v, x, value)
    flat, v, value = x.reshape(-1), v.reshape(-1), value.reshape(-1)
    y = np.empty_like(flat)
    tiny = x.dtype.type(1e-30)
    for block in _blocks(flat):
        part, out = flat[block], y[block]
        bell = np.minimum(np.abs(part), fit.last)
        bell *= bell
        bell *= -0.5
        np.exp(bell, out=bell)
        bell *= 1 / math.sqrt(2 * math.pi)
        bell *= part
        np.copysign(tiny, part, out=out)
        below = part + out
        out *= 0.5
        out += value[block]
        out /= below
        out += bell
        out *= v[block]
    return y.reshape(x.shape)
