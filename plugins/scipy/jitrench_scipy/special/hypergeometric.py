"""Hypergeometric functions, and the complete elliptic integrals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jitrench_core as jt
from jitrench_core import op

from .table import kernel, kernels, polynomial, refuse

_WHY = "there is one in the last argument alone"


@op(
    elementwise=True,
    vjp={
        "a": refuse("hyp2f1", "a", _WHY),
        "b": refuse("hyp2f1", "b", _WHY),
        "c": refuse("hyp2f1", "c", _WHY),
        "z": lambda g, a, b, c, z: g * (hyp2f1(a + 1, b + 1, c + 1, z) * (a * b / c)),
    },
    samples=lambda rng: ((0.5, 1.25, 2.0, rng.uniform(-0.8, 0.8, (2, 3))), {}),
)
def hyp2f1(xp: Any, a: Any, b: Any, c: Any, z: Any, /) -> Any:
    """Gauss' hypergeometric function of real a, b, c and z <= 1, elementwise. There is no derivative in a, b and c.

    >>> from jitrench_scipy import special
    >>> special.hyp2f1(1.0, 1.0, 2.0, 0.5)  # log(2) / 0.5
    Tensor(1.38629436)
    """
    return NotImplemented


@op(
    elementwise=True,
    vjp={
        "a": refuse("hyp1f1", "a", _WHY),
        "b": refuse("hyp1f1", "b", _WHY),
        "x": lambda g, a, b, x: g * (hyp1f1(a + 1, b + 1, x) * (a / b)),
    },
    samples=lambda rng: ((0.5, 1.25, rng.uniform(-2.0, 2.0, (2, 3))), {}),
)
def hyp1f1(xp: Any, a: Any, b: Any, x: Any, /) -> Any:
    """Kummer's confluent hypergeometric function, elementwise, of real arguments. There is no derivative in a and b."""
    return NotImplemented


@op(
    elementwise=True,
    vjp={"v": refuse("hyp0f1", "v", _WHY), "z": lambda g, v, z: g * (hyp0f1(v + 1, z) * (1 / v))},
    samples=lambda rng: ((1.25, rng.uniform(-2.0, 2.0, (2, 3))), {}),
)
def hyp0f1(xp: Any, v: Any, z: Any, /) -> Any:
    """The confluent hypergeometric limit function, elementwise, of real arguments. There is no derivative in v."""
    return NotImplemented


# -- elliptic integrals ----------------------------------------------------------------------------------------------

# K and E in powers of m; their slopes are differences that cancel near 0.
_NEAR = 0.25
_SQUARES = tuple((math.comb(2 * n, n) / 4**n) ** 2 for n in range(33))
_K = tuple(math.pi / 2 * n * c for n, c in enumerate(_SQUARES))[1:]
_E = tuple(math.pi / 2 * n * c / (1 - 2 * n) for n, c in enumerate(_SQUARES))[1:]


def _slope(series: tuple[float, ...], m: Any, p: Any, far: Callable[[Any, Any], Any]) -> Any:
    """``far``, a difference over 2m, at p = 1 - m; near m = 0 the series."""
    near = abs(m) < _NEAR
    outer = jt.where(near, 0.5, p)
    return jt.where(near, polynomial(series, jt.where(near, m, 0.0)), far(outer, 2 * jt.where(near, 0.5, m)))


def _ellipk_slope(m: Any, p: Any) -> Any:
    return _slope(_K, m, p, lambda p, twice: (ellipem1(p) / p - ellipkm1(jt.where(p == 0, 1.0, p))) / twice)


def _ellipe_slope(m: Any, p: Any) -> Any:
    return _slope(_E, m, p, lambda p, twice: (ellipem1(p) - ellipkm1(p)) / twice)


@op(elementwise=True, vjp=lambda g, m: g * _ellipk_slope(m, 1 - m), domain=(-2.0, 0.9))
def ellipk(xp: Any, m: Any, /) -> Any:
    """The complete elliptic integral of the first kind of the parameter m = k^2 <= 1, elementwise; infinite at 1.

    >>> from jitrench_scipy import special
    >>> special.ellipk(0.0)  # pi / 2
    Tensor(1.57079633)
    """
    return NotImplemented


@op(elementwise=True, vjp=lambda g, p: -g * _ellipk_slope(1 - p, p), domain=(0.1, 3.0))
def ellipkm1(xp: Any, p: Any, /) -> Any:
    """``ellipk(1 - p)``, exact also for p near 0, elementwise."""
    return NotImplemented


@op(elementwise=True, vjp=lambda g, m: g * _ellipe_slope(m, 1 - m), domain=(-2.0, 0.9))
def ellipe(xp: Any, m: Any, /) -> Any:
    """The complete elliptic integral of the second kind of the parameter m = k^2 <= 1, elementwise."""
    return NotImplemented


@op(elementwise=True, vjp=lambda g, p: -g * _ellipe_slope(1 - p, p), domain=(0.1, 3.0))
def ellipem1(xp: Any, p: Any, /) -> Any:
    """``ellipe(1 - p)``, with derivatives that are exact also for p near 0, elementwise."""
    return NotImplemented


_complete = kernel("ellipe", "numpy")
_incomplete = kernel("ellipeinc", "cupy")  # CuPy has the incomplete integral alone

OPS = (hyp2f1, hyp1f1, hyp0f1, ellipk, ellipkm1, ellipe, ellipem1)
KERNELS = kernels(OPS, own=("ellipem1",)) | {
    ("ellipem1", "numpy"): lambda p: _complete(1 - p),
    ("ellipe", "cupy"): lambda m: _incomplete(math.pi / 2, m),
    ("ellipem1", "cupy"): lambda p: _incomplete(math.pi / 2, 1 - p),
}
