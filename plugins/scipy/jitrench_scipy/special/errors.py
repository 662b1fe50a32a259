"""The error functions and the normal distribution: inverses, scaled ones, logarithms, Dawson's integral, Fresnel's."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import jitrench_core as jt
from jitrench_core import op

from .table import check_real, kernel, kernels, polynomial

_ROOT_PI, _ROOT_2, _ROOT_TAU = math.sqrt(math.pi), math.sqrt(2), math.sqrt(2 * math.pi)

# erfcx(x) * (1 + 2x) as a polynomial in (x - 4) / (x + 4), for x >= 0: fitted at Chebyshev's points, to 4e-17 of it.
_SCALED = (
    1.2329951186255526, -0.1396211168405625, 0.015379652102610162, 0.0680970542546862, -0.10103906603585294,
    0.09373283499865172, -0.06633036582050367, 0.0371675155318432, -0.01619773397992426, 0.005031970032548695,
    -0.0007577737141838885, -0.00019925700412184815, 0.0001506231178516207, -2.439811794207995e-05, -1.1225140354449658e-05,
    5.707239573693257e-06, 2.980596055322769e-07, -8.218020654813044e-07, 7.111912428010423e-08, 1.0683442926744586e-07,
    -1.6357383982124768e-08, -1.2544825403855518e-08, 1.5712153638319064e-09, 9.655408225482863e-10,
)  # fmt: skip
# 1 - sqrt(pi) x erfcx(x) and, without signs, 2 x dawsn(x) - 1, in powers of 1 / (2 x^2): asymptotic, to 1e-16 from 10 on.
_TAIL = (0.0, *(float(math.prod(range(1, 2 * k, 2))) for k in range(1, 17)))
_SIGNED_TAIL = tuple(-c if k % 2 == 0 else c for k, c in enumerate(_TAIL))
_FAR = 10.0
_LOWEST = -26.628735713751  # erfcx overflows there
_ERFC: Any = jt.erfc.op.forward


def _apart(x: Any) -> tuple[Any, Any, Any]:
    """Where |x| is large, x where it is not (0 elsewhere), and 1 / (2 x^2) where it is (0 elsewhere)."""
    far = abs(x) > _FAR
    u = 1 / jt.where(far, x, math.inf)
    return far, jt.where(far, 0.0, x), 0.5 * u * u


# -- erf ------------------------------------------------------------------------------------------------------------


@op(elementwise=True, vjp=lambda g, y: g * (_ROOT_PI / 2 * jt.exp(y * y)), domain=(-0.9, 0.9))
def erfinv(xp: Any, x: Any, /) -> Any:
    """The y with erf(y) = x, elementwise, of x from -1 to 1; infinite at the ends.

    >>> from jitrench_scipy import special
    >>> special.erfinv(0.5)
    Tensor(0.47693628)
    """
    return NotImplemented


@op(elementwise=True, vjp=lambda g, y: -g * (_ROOT_PI / 2 * jt.exp(y * y)), domain=(0.1, 1.9))
def erfcinv(xp: Any, x: Any, /) -> Any:
    """The y with erfc(y) = x, elementwise, of x from 0 to 2; infinite at the ends."""
    return NotImplemented


def _erfcx_slope(x: Any) -> Any:
    """-2 / sqrt(pi) times 1 - sqrt(pi) x erfcx(x), whose two terms cancel for large x: there by its series."""
    far, near, u = _apart(x)
    far = far & (x > 0)
    near = jt.where(far, 0.0, x)
    return -2 / _ROOT_PI * jt.where(far, polynomial(_SIGNED_TAIL, u), 1 - _ROOT_PI * near * erfcx(near))


def _exp_square(xp: Any, x: Any) -> Any:
    """exp(x^2); the exponent is split, because x^2 is rounded by more than exp forgives."""
    near = xp.trunc(x * 16.0) / 16.0
    return xp.exp(near * near) * xp.exp((x - near) * (x + near))


def scaled(xp: Any, x: Any) -> Any:
    """exp(x^2) * erfc(x) of x >= 0."""
    huge = x > 1e17
    x = xp.where(huge, 1e17, x)
    return polynomial(_SCALED, (x - 4.0) / (x + 4.0)) / (1.0 + 2.0 * x)


@op(elementwise=True, vjp=lambda g, x: g * _erfcx_slope(x))
def erfcx(xp: Any, x: Any, /) -> Any:
    """exp(x^2) * erfc(x), elementwise, of real x; infinite from x = -26.7 down.

    >>> from jitrench_scipy import special
    >>> special.erfcx(1000.0)
    Tensor(0.00056419)
    """
    check_real("erfcx", xp, x)
    x = x * 1.0
    size = xp.abs(x)
    y = xp.where(size > 1e17, 1 / _ROOT_PI / xp.where(size > 1e17, size, 1.0), scaled(xp, size))
    left = 2.0 * _exp_square(xp, xp.clip(x, _LOWEST, 0.0)) - y
    return xp.where(x < _LOWEST, math.inf, xp.where(x < 0, left, y))


def _dawsn_slope(x: Any) -> Any:
    far, near, u = _apart(x)
    return jt.where(far, -polynomial(_TAIL, u), 1 - 2 * near * dawsn(near))


@op(elementwise=True, vjp=lambda g, x: g * _dawsn_slope(x))
def dawsn(xp: Any, x: Any, /) -> Any:
    """Dawson's integral: exp(-x^2) times the integral of exp(t^2) from 0 to x, elementwise, of real x."""
    return NotImplemented


# -- the normal distribution ----------------------------------------------------------------------------------------


@op(elementwise=True, vjp=lambda g, x: g * (jt.exp(-0.5 * x * x) / _ROOT_TAU))
def ndtr(xp: Any, x: Any, /) -> Any:
    """The normal distribution's probability below x, elementwise, of real x.

    >>> from jitrench_scipy import special
    >>> import jitrench_core as jt
    >>> special.ndtr(0.0), jt.grad(special.ndtr)(0.0)
    (Tensor(0.5), Tensor(0.39894228))
    """
    check_real("ndtr", xp, x)
    return _ERFC(xp, x * (-1 / _ROOT_2)) * 0.5


@op(elementwise=True, vjp=lambda g, y: g * (_ROOT_TAU * jt.exp(0.5 * y * y)), domain=(0.1, 0.9))
def ndtri(xp: Any, x: Any, /) -> Any:
    """The y with ``ndtr(y)`` = x, elementwise, of x from 0 to 1; infinite at the ends."""
    return NotImplemented


@op(elementwise=True, vjp=lambda g, x: g * normal_hazard(x))
def log_ndtr(xp: Any, x: Any, /) -> Any:
    """log(ndtr(x)), elementwise, of real x, also where ndtr(x) would be rounded to 0 or 1.

    >>> from jitrench_scipy import special
    >>> special.log_ndtr(-100.0)
    Tensor(-5005.52420869)
    """
    check_real("log_ndtr", xp, x)
    left = x < -1.0
    low, high = xp.where(left, x, -1.0), xp.where(left, 1.0, x * 1.0)
    tail = _ERFC(xp, high / _ROOT_2)
    return xp.where(left, xp.log(0.5 * scaled(xp, low / -_ROOT_2)) - 0.5 * low * low, xp.log1p(-0.5 * tail))


def _hazard_slope(x: Any, y: Any) -> Any:
    """-y (y + x); far on the left that is next to nothing in y + x, so there by the slope of erfcx."""
    left = x < -2
    low = jt.maximum(jt.where(left, x, -3.0), -1e15)  # squares are finite, and the slope is -1 to the last digit
    by_tail = normal_hazard(low)
    high = jt.minimum(jt.where(left, 0.0, x), 1e15)
    return jt.where(left, by_tail * by_tail * (_ROOT_PI / 2 * _erfcx_slope(low / -_ROOT_2)), -y * (y + high))


@op(elementwise=True, vjp=lambda g, x, y: g * _hazard_slope(x, y))
def normal_hazard(xp: Any, x: Any, /) -> Any:
    """The slope of ``log_ndtr``: the normal density over ``ndtr``, elementwise, also where both would be rounded to 0."""
    check_real("normal_hazard", xp, x)
    x = x * 1.0
    left = x < 0
    low, high = xp.where(left, x, 0.0), xp.where(left, 0.0, x)
    by_tail = math.sqrt(2 / math.pi) / scaled(xp, xp.clip(low / -_ROOT_2, 0.0, 1e17))
    by_tail = xp.where(low < -1e15, -low, by_tail)
    density = xp.exp(-0.5 * high * high) / _ROOT_TAU
    return xp.where(left, by_tail, density / (1.0 - 0.5 * _ERFC(xp, high / _ROOT_2)))


# -- Fresnel's integrals --------------------------------------------------------------------------------------------


@op(
    elementwise=True,
    outputs=2,
    vjp=lambda g, x: g[0] * jt.sin(math.pi / 2 * x * x) + g[1] * jt.cos(math.pi / 2 * x * x),
)
def fresnel(xp: Any, x: Any, /) -> Any:
    """Fresnel's integrals S and C of sin(pi t^2 / 2) and cos(pi t^2 / 2) from 0 to x, elementwise, of real x: a pair."""
    return NotImplemented


OPS = (erfinv, erfcinv, erfcx, dawsn, ndtr, ndtri, log_ndtr, normal_hazard, fresnel)


def _normal_hazard(backend: str) -> Any:
    function = kernel("erfcx", backend)

    def compute(x: Any) -> Any:
        xp, y = import_module(backend), function(x * (-1 / _ROOT_2))
        end = y == 0  # at infinity
        return xp.where(end, math.inf, math.sqrt(2 / math.pi) / xp.where(end, 1.0, y))

    return compute


KERNELS = kernels(OPS, own=("normal_hazard",)) | {
    ("normal_hazard", name): _normal_hazard(name) for name in ("numpy", "cupy")
}
