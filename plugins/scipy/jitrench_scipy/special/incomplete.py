"""The incomplete gamma and beta functions, with derivatives in every argument.

In x the derivatives are closed forms. In a and b they are integrals of the density times polynomials of log t: Gauss' rule, after
the substitution that makes the density log-concave, over the side of x where the first derivative's integrand has one sign.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from itertools import pairwise
from math import comb, factorial
from typing import Any

import jitrench_core as jt
from jitrench_core import op

from .gammas import betaln, digamma, gammaln, polygamma
from .logarithms import xlog1py, xlogy
from .table import cast, float_dtype, in_blocks, kernel, kernels

_DEEP = 46.0  # exp(-46) is 1e-20: beyond that the integrand is nothing
_NODES = 40  # of each of five panels


def _factors(u: Callable[[int], Any], order: int) -> list[Any]:
    """p^(k) / p for k up to ``order``, where p' = p * u(0) and u(k) is the k-th derivative of u(0): by Leibniz' rule."""
    found: list[Any] = [1.0]
    for n in range(order):
        found.append(sum((comb(n, k) * u(k) * found[n - k] for k in range(1, n + 1)), u(0) * found[n]))
    return found


def _panels(xp: Any, length: Any, middle: Any) -> tuple[Any, Any]:
    """Nodes and weights of Gauss' rule over [0, length], along a new last axis.

    The exponent bends around ``middle``; away from it, and from 0, it nears a line as exp(-|w|), to rounding after 36.
    """
    import numpy as np

    node, weight = (xp.asarray(part) for part in np.polynomial.legendre.leggauss(_NODES))
    places = (middle - 39.0, middle - 3.0, middle + 3.0, xp.maximum(middle, 0.0) + 39.0)
    ends = [0.0 * length, *(xp.minimum(xp.maximum(c, 0.0), length) for c in places), length]
    nodes = [a[..., None] + (b - a)[..., None] * (node + 1) / 2 for a, b in pairwise(ends)]
    weights = [(b - a)[..., None] * weight / 2 for a, b in pairwise(ends)]
    return xp.concatenate(nodes, axis=-1), xp.concatenate(weights, axis=-1)


def _root(h: Callable[[Any], tuple[Any, Any]], w: Any) -> Any:
    """The w where a convex function h, given with its slope, is ``_DEEP``: by Newton's method from above it."""
    for _ in range(40):
        value, slope = h(w)
        w = w - (value - _DEEP) / slope
    return w


def _polygamma(special: Any, n: int, x: Any) -> Any:
    """Of arrays of either library: CuPy's takes no Python number for n."""
    return (-1) ** (n + 1) * factorial(n) * special.zeta(n + 1.0, x) if n else special.digamma(x)


# -- gamma ----------------------------------------------------------------------------------------------------------


def _gamma_density(a: Any, x: Any) -> Any:
    return jt.exp(xlogy(a - 1, x) - x - gammaln(a))


def _gamma_slope_x(a: Any, x: Any, order: int) -> Any:
    if not order:
        return _gamma_density(a, x)
    u = lambda k: -polygamma(k, a) if k else jt.log(x) - digamma(a)  # noqa: E731
    return _gamma_density(a, x) * _factors(u, order)[order]


@op(
    elementwise=True,
    vjp={"a": lambda g, a, x: g * gammainc_a(a, x, order=1), "x": lambda g, a, x: g * _gamma_density(a, x)},
    domain=(0.5, 4.0),
)
def gammainc(xp: Any, a: Any, x: Any, /) -> Any:
    """The regularized lower incomplete gamma function of a > 0 and x >= 0, elementwise, differentiable in both.

    >>> from jitrench_scipy import special
    >>> special.gammainc(1.0, 2.0)  # 1 - exp(-2)
    Tensor(0.86466472)
    """
    return NotImplemented


@op(
    elementwise=True,
    vjp={"a": lambda g, a, x: -g * gammainc_a(a, x, order=1), "x": lambda g, a, x: -g * _gamma_density(a, x)},
    domain=(0.5, 4.0),
)
def gammaincc(xp: Any, a: Any, x: Any, /) -> Any:
    """The regularized upper incomplete gamma function, 1 - ``gammainc(a, x)`` without cancellation, elementwise."""
    return NotImplemented


@op(
    elementwise=True,
    vjp={
        "a": lambda g, a, x, order: g * gammainc_a(a, x, order=order + 1),
        "x": lambda g, a, x, order: g * _gamma_slope_x(a, x, order),
    },
    samples=lambda rng: ((rng.uniform(0.5, 4.0, (2, 3)), rng.uniform(0.5, 4.0, (2, 3))), {"order": 1}),
)
def gammainc_a(xp: Any, a: Any, x: Any, /, order: int) -> Any:
    """The derivative of ``gammainc`` in a, of an ``order`` from 1 on, elementwise."""
    return NotImplemented


def _log_start(xp: Any, special: Any, a: Any, x: Any) -> Any:
    """a * log(x) - x - gammaln(a), of large a by Stirling's series: the terms cancel there."""
    wide = xp.maximum(a, 20.0)
    off = (x - wide) / wide
    near = xp.abs(off) < 0.5
    ratio = xp.where(near, xp.log1p(xp.where(near, off, 0.0)), xp.log(x / wide))
    series = (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / wide**2) / wide**2) / wide**2) / wide
    large = 0.5 * xp.log(wide / 6.283185307179586) - series - wide * (off - ratio)
    return xp.where(a > 20.0, large, a * xp.log(x) - x - special.gammaln(a))


def _gammainc_a(library: str, namespace: str) -> Callable[..., Any]:
    def compute(a: Any, x: Any, order: int) -> Any:
        xp, special = import_module(namespace), import_module(library)
        dtype = float_dtype("gammainc", (a, x))
        a, x = xp.broadcast_arrays(xp.asarray(a, dtype="float64"), xp.asarray(x, dtype="float64"))
        y = in_blocks(xp, partial(block, xp, special, order), a, x)
        return cast(y if y.ndim else y[()], dtype)

    def block(xp: Any, special: Any, order: int, a: Any, x: Any) -> Any:
        fine = (a > 0) & (x > 0) & (a < xp.inf) & (x < xp.inf)
        a, given = xp.where(fine, a, 1.0), x
        x = xp.where(fine, x, 1.0)
        psi, start = special.digamma(a), xp.log(x)
        lower = start < psi

        # t = x * exp(-w) below x, x * exp(w) above it
        side = xp.where(lower, -1.0, 1.0)
        far = (_DEEP + x) / a
        above = xp.log(2 * (_DEEP + x + a * (1 + xp.abs(start) + xp.log1p(a + _DEEP))) / x)

        def h(w: Any) -> tuple[Any, Any]:
            w = side * w
            return x * xp.expm1(w) - a * w, side * (x * xp.exp(w) - a)

        length = _root(h, xp.where(lower, far, above))
        w, share = _panels(xp, length, side * (xp.log(xp.maximum(a, 1.0)) - start))
        w = side[..., None] * w
        size = a[..., None] * w - x[..., None] * xp.expm1(w) + _log_start(xp, special, a, x)[..., None]
        u = lambda k: -_polygamma(special, k, a)[..., None] if k else start[..., None] + w - psi[..., None]  # noqa: E731
        y = -side * xp.sum(share * xp.exp(size) * _factors(u, order)[order], axis=-1)
        return xp.where(fine, y, xp.where((a > 0) & (given >= 0), 0.0, xp.nan))

    return compute


# -- beta -----------------------------------------------------------------------------------------------------------


def _beta_density(a: Any, b: Any, x: Any) -> Any:
    return jt.exp(xlogy(a - 1, x) + xlog1py(b - 1, -x) - betaln(a, b))


def _beta_factor(u: Callable[[int, int], Any], v: Callable[[int], Any], m: int, n: int) -> Any:
    """The m-th derivative in a and n-th in b of the density, over the density; u and v: its logarithm's first, and theirs."""
    found: dict[tuple[int, int], Any] = {(0, 0): 1.0}
    for j in range(n):
        found[0, j + 1] = sum(comb(j, k) * v(k) * found[0, j - k] for k in range(j + 1))
    for i in range(m):
        for j in range(n + 1):
            found[i + 1, j] = sum(
                comb(i, k) * comb(j, e) * u(k, e) * found[i - k, j - e] for k in range(i + 1) for e in range(j + 1)
            )
    return found[m, n]


def _logarithms(log_t: Any, log_s: Any, a: Any, b: Any, psi: Callable[[int, Any], Any]) -> tuple[Any, Any]:
    """The u and v of ``_beta_factor`` at t, s = 1 - t."""

    def u(i: int, j: int) -> Any:
        own = 0.0 if j else psi(i, a)
        return psi(i + j, a + b) - own + (0.0 if i or j else log_t)

    def v(j: int) -> Any:
        return psi(j, a + b) - psi(j, b) + (0.0 if j else log_s)

    return u, v


def _beta_slope_x(a: Any, b: Any, x: Any, m: int, n: int) -> Any:
    u, v = _logarithms(jt.log(x), jt.log1p(-x), a, b, polygamma)
    return _beta_density(a, b, x) * _beta_factor(u, v, m, n)


@op(
    elementwise=True,
    vjp={
        "a": lambda g, a, b, x: g * betainc_ab(a, b, x, order=(1, 0)),
        "b": lambda g, a, b, x: g * betainc_ab(a, b, x, order=(0, 1)),
        "x": lambda g, a, b, x: g * _beta_density(a, b, x),
    },
    domain={"a": (0.5, 4.0), "b": (0.5, 4.0), "x": (0.1, 0.9)},
)
def betainc(xp: Any, a: Any, b: Any, x: Any, /) -> Any:
    """The regularized incomplete beta function of a, b > 0 and x from 0 to 1, elementwise, differentiable in all three.

    >>> from jitrench_scipy import special
    >>> special.betainc(1.0, 3.0, 0.5)  # 1 - 0.5^3
    Tensor(0.875)
    """
    return NotImplemented


@op(
    elementwise=True,
    vjp={
        "a": lambda g, a, b, x: -g * betainc_ab(a, b, x, order=(1, 0)),
        "b": lambda g, a, b, x: -g * betainc_ab(a, b, x, order=(0, 1)),
        "x": lambda g, a, b, x: -g * _beta_density(a, b, x),
    },
    domain={"a": (0.5, 4.0), "b": (0.5, 4.0), "x": (0.1, 0.9)},
)
def betaincc(xp: Any, a: Any, b: Any, x: Any, /) -> Any:
    """1 - ``betainc(a, b, x)`` without cancellation, elementwise."""
    return NotImplemented


@op(
    elementwise=True,
    vjp={
        "a": lambda g, a, b, x, order: g * betainc_ab(a, b, x, order=(order[0] + 1, order[1])),
        "b": lambda g, a, b, x, order: g * betainc_ab(a, b, x, order=(order[0], order[1] + 1)),
        "x": lambda g, a, b, x, order: g * _beta_slope_x(a, b, x, *order),
    },
    samples=lambda rng: (
        (rng.uniform(0.5, 4.0, (2, 3)), rng.uniform(0.5, 4.0, (2, 3)), rng.uniform(0.1, 0.9, (2, 3))),
        {"order": (1, 1)},
    ),
)
def betainc_ab(xp: Any, a: Any, b: Any, x: Any, /, order: tuple[int, int]) -> Any:
    """The derivative of ``betainc``, of ``order`` (m, n): m times in a and n times in b, not (0, 0); elementwise."""
    return NotImplemented


def _moved(xp: Any, t: Any, log_t: Any, log_s: Any, w: Any) -> Any:
    """log(s + t exp(-w)) with s = 1 - t, which t near 1 has lost."""
    return xp.where(t < 0.5, xp.log1p(t * xp.expm1(-w)), xp.logaddexp(log_s, log_t - w))


def _betainc_ab(library: str, namespace: str) -> Callable[..., Any]:
    def compute(a: Any, b: Any, x: Any, order: tuple[int, int]) -> Any:
        xp, special = import_module(namespace), import_module(library)
        dtype = float_dtype("betainc", (a, b, x))
        a, b, x = xp.broadcast_arrays(*(xp.asarray(part, dtype="float64") for part in (a, b, x)))
        y = in_blocks(xp, partial(block, xp, special, *order), a, b, x)
        return cast(y if y.ndim else y[()], dtype)

    def block(xp: Any, special: Any, m: int, n: int, a: Any, b: Any, x: Any) -> Any:
        allowed = (a > 0) & (b > 0) & (x >= 0) & (x <= 1)
        fine = allowed & (a < xp.inf) & (b < xp.inf) & (x > 0) & (x < 1)
        a, b, x = xp.where(fine, a, 1.0), xp.where(fine, b, 1.0), xp.where(fine, x, 0.5)
        both = special.digamma(a + b)
        at, below = xp.log(x), xp.log1p(-x)
        left = (at < special.digamma(a) - both) if m else (below > special.digamma(b) - both)

        # In s = log(t / (1 - t)) the density is log-concave; over the right side t and 1 - t, a and b change places.
        p, q, t, log_t, log_s = (
            xp.where(left, *pair) for pair in ((a, b), (b, a), (x, 1 - x), (at, below), (below, at))
        )

        def h(w: Any) -> tuple[Any, Any]:
            moved = _moved(xp, t, log_t, log_s, w)
            return (p + q) * moved + p * w, p - (p + q) * t * xp.exp(-w - moved)

        length = _root(h, (_DEEP - (p + q) * log_s) / p)
        middle = log_t - log_s - xp.log(xp.maximum(p, 1.0)) + xp.log(xp.maximum(q, 1.0))
        w, share = _panels(xp, length, middle)
        p, q, t, log_t, log_s, left = (part[..., None] for part in (p, q, t, log_t, log_s, left))
        moved = _moved(xp, t, log_t, log_s, w)
        size = p * (log_t - w - moved) + q * (log_s - moved) - special.betaln(p, q)
        log_t, log_s = log_t - w - moved, log_s - moved
        log_t, log_s = xp.where(left, log_t, log_s), xp.where(left, log_s, log_t)
        u, v = _logarithms(log_t, log_s, a[..., None], b[..., None], partial(_polygamma, special))
        y = xp.sum(share * xp.exp(size) * _beta_factor(u, v, m, n), axis=-1) * xp.where(left[..., 0], 1.0, -1.0)
        return xp.where(fine, y, xp.where(allowed, 0.0, xp.nan))

    return compute


# -- inverses -------------------------------------------------------------------------------------------------------


@op(
    elementwise=True,
    vjp={
        "a": lambda g, a, y: -g * (gammainc_a(a, y, order=1) / _gamma_density(a, y)),
        "p": lambda g, a, y: g / _gamma_density(a, y),
    },
    domain={"a": (0.5, 4.0), "p": (0.1, 0.9)},
)
def gammaincinv(xp: Any, a: Any, p: Any, /) -> Any:
    """The x with ``gammainc(a, x)`` = p, elementwise, differentiable in both."""
    return NotImplemented


@op(
    elementwise=True,
    vjp={
        "a": lambda g, a, y: -g * (gammainc_a(a, y, order=1) / _gamma_density(a, y)),
        "p": lambda g, a, y: -g / _gamma_density(a, y),
    },
    domain={"a": (0.5, 4.0), "p": (0.1, 0.9)},
)
def gammainccinv(xp: Any, a: Any, p: Any, /) -> Any:
    """The x with ``gammaincc(a, x)`` = p, elementwise, differentiable in both."""
    return NotImplemented


@op(
    elementwise=True,
    vjp={
        "a": lambda g, a, b, y: -g * (betainc_ab(a, b, y, order=(1, 0)) / _beta_density(a, b, y)),
        "b": lambda g, a, b, y: -g * (betainc_ab(a, b, y, order=(0, 1)) / _beta_density(a, b, y)),
        "p": lambda g, a, b, y: g / _beta_density(a, b, y),
    },
    domain={"a": (0.5, 4.0), "b": (0.5, 4.0), "p": (0.1, 0.9)},
)
def betaincinv(xp: Any, a: Any, b: Any, p: Any, /) -> Any:
    """The x with ``betainc(a, b, x)`` = p, elementwise, differentiable in all three."""
    return NotImplemented


OPS = (
    gammainc, gammaincc, gammainc_a, betainc, betaincc, betainc_ab, gammaincinv, gammainccinv, betaincinv,
)  # fmt: skip
_BETAINC = kernel("betainc", "cupy")  # CuPy has no betaincc


def _betaincc_cupy(a: Any, b: Any, x: Any) -> Any:
    """By the smaller of the two halves, roughly: 1 - x of a tiny x is 1, and 1 - betainc of a large one cancels."""
    import cupy

    below = 1 - _BETAINC(a, b, x)
    return cupy.where(x * (a + b) < a, below, _BETAINC(b, a, 1 - x)).astype(below.dtype, copy=False)


KERNELS = kernels(OPS, own=("gammainc_a", "betainc_ab")) | {
    ("betaincc", "cupy"): _betaincc_cupy,
    ("gammainc_a", "numpy"): _gammainc_a("scipy.special", "numpy"),
    ("gammainc_a", "cupy"): _gammainc_a("cupyx.scipy.special", "cupy"),
    ("betainc_ab", "numpy"): _betainc_ab("scipy.special", "numpy"),
    ("betainc_ab", "cupy"): _betainc_ab("cupyx.scipy.special", "cupy"),
}
