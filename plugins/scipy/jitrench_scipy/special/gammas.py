"""The gamma function and what is made of it: logarithms, derivatives, beta functions, binomials, and zeta."""

from __future__ import annotations

import math
from typing import Any

import jitrench_core as jt
from jitrench_core import op

from .table import cast, choose, float_dtype, kernel, kernels, whole_numbers


def sinpi(x: Any) -> Any:
    """sin(pi * x), exact at whole numbers."""
    return jt.sin(math.pi * (x - 2 * jt.round(x / 2)))


def cospi(x: Any) -> Any:
    """cos(pi * x), exact at whole numbers."""
    return jt.cos(math.pi * (x - 2 * jt.round(x / 2)))


@op(elementwise=True, vjp=lambda g, x, y: g * (y * digamma(x)), domain=(0.3, 5.0))
def gamma(xp: Any, x: Any, /) -> Any:
    """The gamma function, elementwise, of real x; NaN at the negative integers, where it has poles.

    >>> from jitrench_scipy import special
    >>> import jitrench_core as jt
    >>> special.gamma(jt.tensor([0.5, 5.0]))
    Tensor([ 1.77245385, 24.        ])
    """
    return NotImplemented


@op(elementwise=True, vjp=lambda g, x: g * digamma(x), domain=(0.3, 5.0))
def gammaln(xp: Any, x: Any, /) -> Any:
    """log(|gamma(x)|), elementwise, of real x; infinite at 0 and at the negative integers.

    >>> from jitrench_scipy import special
    >>> import jitrench_core as jt
    >>> jt.grad(special.gammaln)(1.0)  # minus Euler's constant
    Tensor(-0.57721566)
    """
    return NotImplemented


@op(elementwise=True, vjp=lambda g, x: g * jt.where(x < 0, math.nan, digamma(x)), domain=(0.3, 5.0))
def loggamma(xp: Any, x: Any, /) -> Any:
    """The logarithm of gamma, elementwise, of real x; NaN for negative x, where it is complex: ``gammaln`` has its real part."""
    return NotImplemented


@op(elementwise=True, vjp=jt.zero, domain=(0.3, 5.0))
def gammasgn(xp: Any, x: Any, /) -> Any:
    """The sign of gamma, elementwise; its gradient is zero."""
    return NotImplemented


def _rgamma_slope(x: Any) -> Any:
    """-digamma(x) / gamma(x), left of 1/2 by the reflection 1 / gamma(x) = sin(pi x) gamma(1 - x) / pi, which has no poles."""
    left = x < 0.5
    mirrored, own = jt.where(left, 1 - x, 1.0), jt.where(left, 1.0, x)
    by_reflection = gamma(mirrored) * (cospi(x) - sinpi(x) * digamma(mirrored) / math.pi)
    return jt.where(left, by_reflection, -digamma(own) * rgamma(own))


@op(elementwise=True, vjp=lambda g, x: g * _rgamma_slope(x), domain=(-2.5, 3.0))
def rgamma(xp: Any, x: Any, /) -> Any:
    """1 / gamma(x), elementwise, of real x: 0 where gamma has poles, with the slope that it has there."""
    return NotImplemented


@op(elementwise=True, vjp=lambda g, x: g * polygamma(1, x), domain=(0.3, 5.0))
def digamma(xp: Any, x: Any, /) -> Any:
    """The derivative of log(gamma(x)), elementwise, of real x. ``psi`` is another name of it.

    >>> from jitrench_scipy import special
    >>> import jitrench_core as jt
    >>> special.digamma(jt.tensor([1.0, 2.0]))
    Tensor([-0.57721566,  0.42278434])
    """
    return NotImplemented


@op(
    elementwise=True,
    vjp={"n": None, "x": lambda g, n, x: g * polygamma(n + 1, x)},
    samples=lambda rng: ((rng.integers(0, 4, (2, 3)), rng.uniform(0.4, 4.0, (2, 3))), {}),
)
def polygamma(xp: Any, n: Any, x: Any, /) -> Any:
    """The n-th derivative of ``digamma``, elementwise, for whole n from 0 on, which is a constant.

    >>> from jitrench_scipy import special
    >>> special.polygamma(1, 1.0)  # pi^2 / 6
    Tensor(1.64493407)
    """
    return NotImplemented


# -- zeta -----------------------------------------------------------------------------------------------------------

# B(2j) / (2j)!, of the Euler-Maclaurin formula.
_BERNOULLI = (
    8.3333333333333333e-02, -1.3888888888888889e-03, 3.3068783068783069e-05, -8.2671957671957672e-07, 2.0876756987868099e-08,
    -5.2841901386874932e-10, 1.3382536530684679e-11, -3.3896802963225829e-13, 8.5860620562778446e-15, -2.1748686985580619e-16,
)  # fmt: skip
_TERMS = 12


def _summed(x: Any, q: Any) -> Any:
    """zeta(x, q) by 12 terms and the Euler-Maclaurin formula for the rest, in ops: that can be differentiated in x."""
    total = sum(((q + k) ** -x for k in range(1, _TERMS)), q**-x)
    end = q + float(_TERMS)
    power = end**-x
    total = total + power * (end / (x - 1) + 0.5)
    rising = x * power / end
    for j, c in enumerate(_BERNOULLI):
        total = total + c * rising
        rising = rising * ((x + (2 * j + 1)) * (x + (2 * j + 2))) / (end * end)
    return total


def _zeta_slope(x: Any, q: Any) -> Any:
    """The derivative of zeta in x. Of Riemann's, far on the left, where the sum's terms cancel, by its reflection."""
    slope = lambda x, q: jt.grad(lambda s: jt.sum(_summed(s, q)))(x)  # noqa: E731
    if q is not None:
        return slope(x + 0.0 * q, q)
    left = x < -0.5
    z = jt.where(left, 1 - x, x)
    right = slope(z, jt.ones_like(z))
    mirrored = jt.where(left, z, 2.0)
    sine, cosine = sinpi(x / 2), cospi(x / 2)
    inner = (math.log(2 * math.pi) - digamma(mirrored)) * sine + math.pi / 2 * cosine
    value = jt.where(left, _summed(mirrored, 1.0), 1.0)
    turned = jt.exp(math.log(2 * math.pi) * jt.where(left, x, 0.0) + gammaln(mirrored)) / math.pi
    return jt.where(left, turned * (inner * value - sine * right), right)


@op(
    elementwise=True,
    vjp={"x": lambda g, x, q: g * _zeta_slope(x, q), "q": lambda g, x, q: g * (-x * zeta(x + 1, q))},
    samples=lambda rng: ((rng.uniform(1.5, 4.0, (2, 3)), rng.uniform(0.5, 3.0, (2, 3))), {}),
)
def zeta(xp: Any, x: Any, q: Any = None, /) -> Any:
    """Riemann's zeta function of x, or with ``q`` Hurwitz's, the sum of (q + k)^-x over k = 0, 1, ..., for x > 1; elementwise.

    The derivative in x is of the Euler-Maclaurin formula (NIST's Digital Library of Mathematical Functions, 25.11.9), for q > 0.
    Without ``q`` x may be any real number but 1.

    >>> from jitrench_scipy import special
    >>> special.zeta(2.0), special.zeta(2.0, 1.0)
    (Tensor(1.64493407), Tensor(1.64493407))
    """
    return NotImplemented


# -- of several arguments --------------------------------------------------------------------------------------------


@op(
    elementwise=True,
    vjp={
        "a": lambda g, a, b, y: g * (y * (digamma(a) - digamma(a + b))),
        "b": lambda g, a, b, y: g * (y * (digamma(b) - digamma(a + b))),
    },
    domain=(0.4, 4.0),
)
def beta(xp: Any, a: Any, b: Any, /) -> Any:
    """gamma(a) * gamma(b) / gamma(a + b), elementwise."""
    return NotImplemented


@op(
    elementwise=True,
    vjp={
        "a": lambda g, a, b: g * (digamma(a) - digamma(a + b)),
        "b": lambda g, a, b: g * (digamma(b) - digamma(a + b)),
    },
    domain=(0.4, 4.0),
)
def betaln(xp: Any, a: Any, b: Any, /) -> Any:
    """log(|beta(a, b)|), elementwise."""
    return NotImplemented


@op(composite=True, samples=lambda rng: ((rng.uniform(2.0, 5.0, (2, 3)),), {"d": 3}))
def multigammaln(a: Any, /, d: int) -> Any:
    """The logarithm of the multivariate gamma function of dimension ``d``, elementwise, for a > (d - 1) / 2; -inf or NaN below."""
    total = gammaln(a)
    for j in range(1, d):
        total = total + gammaln(a - j / 2)
    return total + d * (d - 1) / 4 * math.log(math.pi)


@op(
    elementwise=True,
    vjp={
        "z": lambda g, z, m, y: g * (y * (digamma(z + m) - digamma(z))),
        "m": lambda g, z, m, y: g * (y * digamma(z + m)),
    },
    domain=(0.4, 4.0),
)
def poch(xp: Any, z: Any, m: Any, /) -> Any:
    """Pochhammer's symbol gamma(z + m) / gamma(z), elementwise; differentiable where z and z + m are no poles."""
    return NotImplemented


def _binom_slopes(n: Any, k: Any, y: Any, of_n: bool) -> Any:
    """By digamma; where k or n - k is below 0, of gamma(n + 1) / (gamma(k + 1) gamma(n - k + 1)) as a product: there y may be 0."""
    rest = n - k
    regular = (k > -1) & (rest > -1)
    kept = lambda x: choose(regular, x, 1.0)  # noqa: E731
    other = lambda x: choose(regular, 1.0, x)  # noqa: E731
    some = digamma(kept(n) + 1) if of_n else -digamma(kept(k) + 1)
    plain = y * (some + digamma(kept(rest) + 1) * (-1 if of_n else 1))
    top, low, high = other(n) + 1, other(k) + 1, other(rest) + 1
    if of_n:
        product = gamma(top) * rgamma(low) * (digamma(top) * rgamma(high) + _rgamma_slope(high))
    else:
        product = gamma(top) * (_rgamma_slope(low) * rgamma(high) - rgamma(low) * _rgamma_slope(high))
    return choose(regular, plain, product)


@op(
    elementwise=True,
    vjp={
        "n": lambda g, n, k, y: g * _binom_slopes(n, k, y, True),
        "k": lambda g, n, k, y: g * _binom_slopes(n, k, y, False),
    },
    domain={"n": (3.0, 6.0), "k": (0.5, 2.5)},
)
def binom(xp: Any, n: Any, k: Any, /) -> Any:
    """The binomial coefficient gamma(n + 1) / (gamma(k + 1) * gamma(n - k + 1)), elementwise, differentiable in both.

    >>> from jitrench_scipy import special
    >>> special.binom(5.0, 2.0)
    Tensor(10.)
    """
    return NotImplemented


@op(composite=True, samples=lambda rng: ((rng.uniform(3.0, 6.0, (2, 3)), rng.uniform(0.5, 2.5, (2, 3))), {}))
def comb(N: Any, k: Any, /) -> Any:
    """How many ways there are to choose ``k`` of ``N``: ``binom``, and 0 where k > N, k < 0 or N < 0."""
    inside = (k <= N) & (N >= 0) & (k >= 0)
    return jt.asarray(choose(inside, binom(choose(inside, N, 1.0), choose(inside, k, 1.0)), 0.0))


@op(composite=True, samples=lambda rng: ((rng.uniform(0.5, 5.0, (2, 3)),), {}))
def factorial(n: Any, /) -> Any:
    """gamma(n + 1), elementwise; 0 for negative n."""
    negative = n < 0
    return jt.asarray(choose(negative, 0.0, gamma(choose(negative, 1.0, n) + 1)))


def _zeta_kernel(backend: str) -> Any:
    two = kernel("zeta", backend)

    def compute(x: Any, q: Any = None) -> Any:
        if q is not None:
            return two(x, q)
        return two(x) if backend == "numpy" else _riemann_cupy(two, x)

    return compute


def _riemann_cupy(two: Any, x: Any) -> Any:
    """CuPy has Hurwitz's function of x > 1 alone: left of 0 by the reflection, up to 1 by the Euler-Maclaurin formula."""
    import cupy
    from cupyx.scipy.special import gamma

    dtype = float_dtype("zeta", [x])
    x = x.astype("float64")
    left, between = x < 0, (x >= 0) & (x < 1)
    value = two(cupy.where(left, 1 - x, cupy.where(between, 2.0, x)), 1.0)
    low = cupy.where(left, x, 0.0)
    sine = cupy.sin(math.pi / 2 * (low - 4 * cupy.round(low / 4)))
    turned = 2 * (2 * math.pi) ** (low - 1) * sine * gamma(1 - low) * value
    return cast(cupy.where(left, turned, cupy.where(between, _summed(cupy.where(between, x, 0.5), 1.0), value)), dtype)


def _polygamma_cupy(n: Any, x: Any) -> Any:
    """CuPy's function takes arrays alone."""
    import cupy

    dtype = float_dtype("polygamma", (n, x))
    return _POLYGAMMA(cupy.asarray(whole_numbers("polygamma", n), dtype=dtype), cupy.asarray(x, dtype=dtype))


_POLYGAMMA = kernel("polygamma", "cupy")
OPS = (
    gamma, gammaln, loggamma, gammasgn, rgamma, digamma, polygamma, zeta, beta, betaln, multigammaln, poch, binom, comb, factorial,
)  # fmt: skip
KERNELS = kernels(OPS, own=("zeta", "polygamma")) | {
    ("polygamma", "numpy"): kernel("polygamma", "numpy", orders=(0,)),
    ("zeta", "numpy"): _zeta_kernel("numpy"),
    ("zeta", "cupy"): _zeta_kernel("cupy"),
    ("polygamma", "cupy"): _polygamma_cupy,
}
