"""Special functions that any array user needs; what is rarer belongs to a plugin.

Neither is in the Array API standard, so the forwards compute them from what is: a polynomial for small arguments, and
exp(-x^2) times a polynomial for large ones. Both were fitted, at Chebyshev's points, to 40-digit values; the relative error of the
polynomials is below 1e-16, that of the results below 1e-15 (tests/test_special.py).
"""

from __future__ import annotations

import math
from typing import Any

from ..op import op
from .elementwise import exp

# erf(x) / x as a polynomial in x^2, lowest power first, for |x| < 1.
_SMALL = (
    1.1283791670955126, -0.37612638903183543, 0.1128379167094513, -0.026866170643256995, 0.005223977607269946,
    -0.0008548325982543225, 0.00012055295112667001, -1.4924740785377576e-05, 1.6447471190594618e-06,
    -1.6208829856810202e-07, 1.3721520406351094e-08, -7.798543850549947e-10,
)  # fmt: skip
# exp(x^2) * erfc(x) * (1 + 2x) as a polynomial in (x - 4) / (x + 4), for x >= 0.
_LARGE = (
    1.2329951186255526, -0.1396211168405623, 0.015379652102610473, 0.06809705425466908, -0.10103906603586531,
    0.0937328349990944, -0.06633036582031154, 0.03716751552655567, -0.016197733981455194, 0.005031970067657489,
    -0.000757773707063825, -0.00019925714661091188, 0.00015062309720018628, -2.4397746422436416e-05,
    -1.1225101875659178e-05, 5.706604414895734e-06, 2.9801353803031333e-07, -8.210939042560568e-07,
    7.115337800585303e-08, 1.0633855618594884e-07, -1.6371779763566967e-08, -1.234686604382353e-08,
    1.5738283774192037e-09, 9.311744978232572e-10,
)  # fmt: skip
_LAST = 28.0  # erfc is 0 in float64 from 27.3 on
_SLOPE = 2 / math.sqrt(math.pi)


def _check_real(xp: Any, x: Any, name: str) -> None:
    if xp.isdtype(x.dtype, "complex floating"):
        raise TypeError(f"{name} of complex numbers is not implemented; it takes real ones")


def _polynomial(coefficients: tuple[float, ...], x: Any) -> Any:
    total = x * coefficients[-1]
    for c in coefficients[-2:0:-1]:
        total = (total + c) * x
    return total + coefficients[0]


def _small_erf(xp: Any, x: Any) -> Any:
    x = xp.clip(x, -1.0, 1.0)
    return x * _polynomial(_SMALL, x * x)


def _large_erfc(xp: Any, x: Any) -> Any:
    """erfc of |x|. The exponent is split, because x^2 is rounded by more than exp forgives."""
    x = xp.clip(xp.abs(x), 0.0, _LAST)
    near = xp.floor(x * 16.0) / 16.0
    decay = xp.exp(-near * near) * xp.exp((near - x) * (near + x))
    return decay * _polynomial(_LARGE, (x - 4.0) / (x + 4.0)) / (1.0 + 2.0 * x)


@op(elementwise=True, vjp=lambda g, x: g * (_SLOPE * exp(-(x * x))))
def erf(xp: Any, x: Any, /) -> Any:
    """The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x, elementwise, of real x.

    >>> import jitrench_core as jt
    >>> erf(jt.tensor([0.0, 1.0]))
    Tensor([0.        , 0.84270079])
    """
    _check_real(xp, x, "erf")
    return xp.where(xp.abs(x) < 1.0, _small_erf(xp, x), xp.sign(x) * (1.0 - _large_erfc(xp, x)))


@op(elementwise=True, vjp=lambda g, x: -g * (_SLOPE * exp(-(x * x))))
def erfc(xp: Any, x: Any, /) -> Any:
    """1 - erf(x), elementwise, of real x; exact also where that difference would be rounded to zero."""
    _check_real(xp, x, "erfc")
    tail = _large_erfc(xp, x)
    return xp.where(xp.abs(x) < 0.5, 1.0 - _small_erf(xp, x), xp.where(x < 0.0, 2.0 - tail, tail))
