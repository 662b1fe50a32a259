"""Exponential and trigonometric integrals, the dilogarithm, and Lambert's W."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import jitrench_core as jt
from jitrench_core import op

from .logarithms import sinc
from .table import LIBRARIES, cast, choose, float_dtype, kernel, kernels, polynomial, product


@op(elementwise=True, vjp=lambda g, x: g * (jt.exp(x) / x), domain=(0.3, 3.0))
def expi(xp: Any, x: Any, /) -> Any:
    """The exponential integral Ei, the principal value of the integral of exp(t) / t up to x, elementwise, of real x."""
    return NotImplemented


@op(elementwise=True, vjp=lambda g, x: -g * jt.where(x < 0, math.nan, jt.exp(-x) / x), domain=(0.3, 3.0))
def exp1(xp: Any, x: Any, /) -> Any:
    """The exponential integral E1, the integral of exp(-t) / t from x on, elementwise, of x > 0.

    >>> from jitrench_scipy import special
    >>> special.exp1(1.0)
    Tensor(0.21938393)
    """
    return NotImplemented


def _expn_slope(n: Any, x: Any) -> Any:
    first = n < 1
    return choose(first, -jt.exp(-x) * (1 / x + 1 / (x * x)), -expn(choose(first, 1, n) - 1, x))


@op(
    elementwise=True,
    vjp={"n": None, "x": lambda g, n, x: g * _expn_slope(n, x)},
    samples=lambda rng: ((rng.integers(0, 4, (2, 3)), rng.uniform(0.4, 3.0, (2, 3))), {}),
)
def expn(xp: Any, n: Any, x: Any, /) -> Any:
    """The exponential integral of exp(-x t) / t^n from t = 1 on, elementwise, for whole n from 0 on, a constant, and x >= 0."""
    return NotImplemented


def _ci_slope(x: Any) -> Any:
    return jt.cos(x) / x


@op(
    elementwise=True,
    outputs=2,
    vjp=lambda g, x: g[0] * sinc(x / math.pi) + product(g[1], _ci_slope, x),
    domain=(0.3, 3.0),
)
def sici(xp: Any, x: Any, /) -> Any:
    """The sine and cosine integrals Si and Ci, elementwise, of real x: a pair. Ci of negative x is NaN.

    >>> from jitrench_scipy import special
    >>> special.sici(1.0)
    (Tensor(0.94608307), Tensor(0.33740392))
    """
    return NotImplemented


@sici.jvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    return sici(x), (t * sinc(x / math.pi), t * _ci_slope(x))


_SINHC = tuple(1 / math.factorial(2 * k + 1) for k in range(11))


def _sinhc(x: Any) -> Any:
    """sinh(x) / x, near 0 by its series."""
    near = abs(x) < 1
    inner, outer = jt.where(near, x, 0.0), jt.where(near, 1.0, x)
    return jt.where(near, polynomial(_SINHC, inner * inner), jt.sinh(outer) / outer)


def _chi_slope(x: Any) -> Any:
    return jt.cosh(x) / x


@op(
    elementwise=True,
    outputs=2,
    vjp=lambda g, x: product(g[0], _sinhc, x) + product(g[1], _chi_slope, x),
    domain=(0.3, 3.0),
)
def shichi(xp: Any, x: Any, /) -> Any:
    """The hyperbolic sine and cosine integrals Shi and Chi, elementwise, of real x: a pair."""
    return NotImplemented


@shichi.jvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    return shichi(x), (t * _sinhc(x), t * _chi_slope(x))


_SPENCE = tuple((-1) ** (k + 1) / (k + 1) for k in range(26))  # -log(1 + w) / w


def _spence_slope(x: Any) -> Any:
    """log(x) / (1 - x), around 1 by its series."""
    w = x - 1
    near = abs(w) < 0.2
    far = jt.where(near, 2.0, x)
    return jt.where(near, polynomial(_SPENCE, jt.where(near, w, 0.0)), jt.log(far) / (1 - far))


@op(elementwise=True, vjp=lambda g, x: g * _spence_slope(x), domain=(0.3, 3.0))
def spence(xp: Any, x: Any, /) -> Any:
    """Spence's function, the integral of log(t) / (1 - t) from 1 to x, elementwise, of x >= 0: the dilogarithm of 1 - x."""
    return NotImplemented


# 1 / e in two parts, and W + 1 in powers of p = sqrt(2 (e x + 1)), negative on the branch k = -1: to 1e-16 for |p| < 0.01.
_INVERSE_E, _INVERSE_E_REST = 0.36787944117144233, -1.2428753672788363e-17
_BRANCH = (0.0, 1.0, -1 / 3, 11 / 72, -43 / 540, 769 / 17280, -221 / 8505)


@op(elementwise=True, vjp=lambda g, y: g * (jt.exp(-y) / (1 + y)), domain=(-0.2, 3.0))
def lambertw(xp: Any, x: Any, /, k: int = 0) -> Any:
    """The real W with W exp(W) = x, elementwise: the branch ``k`` = 0 of x >= -1 / e, or -1 of x from there to 0; else NaN.

    SciPy's function of that name gives complex numbers. The slope at -1 / e is infinite.

    >>> from jitrench_scipy import special
    >>> special.lambertw(1.0), special.lambertw(-0.1, k=-1)
    (Tensor(0.56714329), Tensor(-3.57715206))
    """
    return NotImplemented


def _lambertw(backend: str) -> Any:
    def compute(x: Any, k: int = 0) -> Any:
        if k not in (0, -1):
            raise jt.OpError(f"lambertw(): k={k!r} is no real branch; expected 0 or -1")
        dtype = float_dtype("lambertw", [x])
        x = x.astype("float64")
        z = import_module(LIBRARIES[backend]).lambertw(x, k)
        xp = import_module(backend)
        y = xp.where((z.imag == 0) | (x == math.inf), z.real, math.nan)
        above = x + _INVERSE_E
        near = (above >= 0) & (above < 1e-5)  # where the library has 1e-4 at worst
        p = xp.sqrt(2 * math.e * xp.maximum(xp.where(near, above, 0.0) + _INVERSE_E_REST, 0.0))
        y = xp.where(near, polynomial(_BRANCH, -p if k else p) - 1.0, y)
        if k:
            y = xp.where(x > 0, math.nan, y)
        return cast(y if y.ndim else y[()], dtype)

    return compute


OPS = (expi, exp1, expn, sici, shichi, spence, lambertw)
KERNELS = kernels(OPS, own=("lambertw", "expn"))
for name in ("numpy", "cupy"):
    KERNELS |= {("lambertw", name): _lambertw(name), ("expn", name): kernel("expn", name, orders=(0,))}
