"""``stats``: log-densities with SciPy's names and parameters, differentiable in the point and in every parameter.

Each distribution is an object: ``norm.logpdf(x, loc, scale)``, and ``pdf``, ``cdf``, ``sf``, ``logcdf``, ``logsf`` where they
have a simple form. Its log-density is an op of the catalogue, too: ``norm_logpdf``. Arguments broadcast; integers count as
floating-point numbers. Outside of the support a log-density is -inf and its gradient zero. A parameter out of its range
gives NaN, as in SciPy, and a gradient of zero: neither spoils the others of a batch. Where the point or a parameter is NaN, so is the value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, final

import jitrench_core as jt
from jitrench_core import DTypeError, OpError, ShapeError, Tensor, op
from jitrench_core.errors import suggest

from . import special

_LOG_2PI = math.log(2 * math.pi)
_NUMBERS = (bool, int, float)
LINE, HALF, UNIT = (-math.inf, math.inf), (0.0, math.inf), (0.0, 1.0)  # supports


# -- what all have in common ----------------------------------------------------------------------------------------


def _together(*arrays: Any) -> list[Tensor]:
    """Tensors of one floating-point dtype, on the device of the first that is none of Python's numbers."""
    tensors = [jt.asarray(a) for a in arrays if not isinstance(a, _NUMBERS)]
    for t in tensors:
        if t.dtype.kind == "c":
            raise DTypeError(
                f"densities are of real numbers; got {t.dtype} of shape {t.shape}: take jt.real(...) of it"
            )
    floating = [t.dtype for t in tensors if t.dtype.kind == "f"]
    dtype = jt.result_type(*floating) if floating else jt.float64
    device = tensors[0].device if tensors else None
    return [
        jt.asarray(float(a), dtype=dtype, device=device) if isinstance(a, _NUMBERS) else jt.asarray(a, dtype=dtype)
        for a in arrays
    ]


def _is(a: Any, number: float) -> bool:
    """Whether a is this number, known without a look at data: then an op is spared."""
    return isinstance(a, _NUMBERS) and a == number


def _standardised(
    f: Callable[..., Any],
    x: Any,
    shapes: Sequence[Any],
    loc: Any,
    scale: Any,
    support: tuple[float, float],
    below: float,
    above: float,
    *,
    density: bool,
) -> Any:
    """f(z, *shapes) at z = (x - loc) / scale within the support, ``below`` and ``above`` beside it; a density gets - log(scale).

    Where x or a parameter is not allowed f sees 0.5 in its place, so that the branch not taken cannot make a gradient NaN.
    """
    shifted, scaled = not _is(loc, 0), not _is(scale, 1)
    x, loc, scale, *shapes = _together(x, loc, scale, *shapes)
    z = x - loc if shifted else x
    allowed = [a > 0 for a in ([*shapes, scale] if scaled else shapes)]
    shapes = [jt.where(ok, a, 0.5) for a, ok in zip(shapes, allowed, strict=False)]
    if scaled:
        scale = jt.where(allowed[-1], scale, 0.5)
        z = z / scale
    every: Any = None
    for ok in allowed:
        every = ok if every is None else every & ok
    if every is not None:
        z = jt.where(every, z, 0.5)
    outside = [(z < low, value) for low, value in [(support[0], below)] if low == 0.0]
    outside += [(z > high, value) for high, value in [(support[1], above)] if high == 1.0]
    inside = z
    for beyond, _ in outside:
        inside = jt.where(beyond, 0.5, inside)
    y = f(inside, *shapes)
    if density and scaled:
        y = y - jt.log(scale)
    for beyond, value in outside:
        y = jt.where(beyond, value, y)
    return y if every is None else jt.where(every, y, math.nan)


def _density(f: Callable[..., Any], x: Any, shapes: Sequence[Any], loc: Any, scale: Any, support: Any) -> Any:
    return _standardised(f, x, shapes, loc, scale, support, -math.inf, -math.inf, density=True)


@final
class Continuous:
    """A distribution of real numbers: ``logpdf``, ``pdf`` and, of those that have them, ``cdf``, ``sf``, ``logcdf`` and ``logsf``.

    All take ``(x, *shapes, loc=0, scale=1)``, as in SciPy, where ``shapes`` is the tuple of the shape parameters' names.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import stats
    >>> stats.gamma.cdf(jt.tensor([1.0, 2.0]), 1.0, scale=2.0)
    Tensor([0.39346934, 0.63212056])
    >>> jt.grad(lambda scale: stats.norm.logpdf(3.0, 1.0, scale))(jt.tensor(2.0))
    Tensor(0.)
    """

    __slots__ = ("_functions", "_logpdf", "name", "shapes", "support")

    def __init__(
        self, logpdf: Any, *shapes: str, support: tuple[float, float] = LINE, **functions: Callable[..., Any]
    ) -> None:
        self.name = logpdf.__name__.removesuffix("_logpdf")
        self.shapes = shapes
        self.support = support
        self._logpdf = logpdf
        self._functions = functions

    def __repr__(self) -> str:
        return f"<distribution {self.name}({', '.join([*self.shapes, 'loc=0', 'scale=1'])})>"

    def logpdf(self, x: Any, *args: Any, **parameters: Any) -> Tensor:
        """The logarithm of the density at x; -inf outside of the support."""
        shapes, loc, scale = self._bound("logpdf", args, parameters)
        y: Tensor = self._logpdf(x, *shapes, loc, scale)
        return y

    def pdf(self, x: Any, *args: Any, **parameters: Any) -> Tensor:
        """The density at x, exp of ``logpdf``."""
        return jt.exp(self.logpdf(x, *args, **parameters))

    def cdf(self, x: Any, *args: Any, **parameters: Any) -> Tensor:
        """The probability of a number up to x."""
        return self._cumulative("cdf", 0.0, 1.0, x, args, parameters)

    def sf(self, x: Any, *args: Any, **parameters: Any) -> Tensor:
        """The probability of a number above x, exact also where 1 - cdf(x) is rounded to 0."""
        return self._cumulative("sf", 1.0, 0.0, x, args, parameters)

    def logcdf(self, x: Any, *args: Any, **parameters: Any) -> Tensor:
        """The logarithm of ``cdf``, also where that underflows."""
        return self._cumulative("logcdf", -math.inf, 0.0, x, args, parameters)

    def logsf(self, x: Any, *args: Any, **parameters: Any) -> Tensor:
        """The logarithm of ``sf``, also where that underflows."""
        return self._cumulative("logsf", 0.0, -math.inf, x, args, parameters)

    def _cumulative(self, which: str, below: float, above: float, x: Any, args: Any, parameters: Any) -> Tensor:
        f = self._functions.get(which)
        if f is None:
            known = ", ".join(["logpdf", "pdf", *self._functions])
            raise OpError(f"{self.name}.{which}() is not implemented; {self.name} has {known}")
        shapes, loc, scale = self._bound(which, args, parameters)
        y: Tensor = _standardised(f, x, shapes, loc, scale, self.support, below, above, density=False)
        return y

    def _bound(self, method: str, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[tuple[Any, ...], Any, Any]:
        """The shape parameters, loc and scale of a call."""
        loc, scale = 0.0, 1.0
        *shapes, loc, scale = _arguments(
            f"{self.name}.{method}", args, given, dict.fromkeys(self.shapes) | {"loc": loc, "scale": scale}
        )
        return tuple(shapes), loc, scale


def _arguments(call: str, args: tuple[Any, ...], given: dict[str, Any], known: dict[str, Any]) -> list[Any]:
    """The parameters of a call in their order; ``known`` holds their defaults, None for those that must be given."""
    shown = f"{call}({', '.join(['x', *(k if d is None else f'{k}={d:g}' for k, d in known.items())])})"
    if len(args) > len(known):
        raise OpError(f"{call}() got {len(args)} parameters by position: it is {shown}")
    placed = dict(zip(known, args, strict=False))
    for key in given:
        if key not in known:
            raise OpError(f"{call}() has no parameter {key!r}.{suggest(key, known)} It is {shown}")
        if key in placed:
            raise OpError(f"{call}() got {key}= by position and by name: it is {shown}")
    values = known | placed | given
    if missing := [key for key, value in values.items() if value is None]:
        raise OpError(f"{call}() needs {', '.join(missing)}: it is {shown}")
    return list(values.values())


def _drawn(**ranges: tuple[float, float]) -> Callable[[Any], Any]:
    """Test data: arrays of shape (2, 3), each uniform in its range."""
    return lambda rng: (tuple(rng.uniform(low, high, size=(2, 3)) for low, high in ranges.values()), {})


def _continuous(**ranges: tuple[float, float]) -> Any:
    """Declares a log-density: a composite that broadcasts."""
    return op(composite=True, elementwise=True, samples=_drawn(**ranges, loc=(-0.05, 0.05), scale=(0.8, 1.5)))


def _log_power(k: Any, z: Any) -> Any:
    """k log(z) for z >= 0; 0, with slopes of 0, where both are 0."""
    return special.xlogy(k, jt.where((k == 0) & (z == 0), 1.0, z))


def _log_power_of_rest(k: Any, z: Any) -> Any:
    """k log(1 - z) for z <= 1; 0, with slopes of 0, where k is 0 and z is 1."""
    return special.xlog1py(k, jt.where((k == 0) & (z == 1), 0.0, -z))


# -- of real numbers --------------------------------------------------------------------------------------------------


@_continuous(x=(-2, 2))
def norm_logpdf(x: Any, loc: Any, scale: Any, /) -> Any:
    """The logarithm of the normal density, -z**2 / 2 - log(2 pi) / 2 - log(scale) with z = (x - loc) / scale."""
    return _density(lambda z: -0.5 * (z * z + _LOG_2PI), x, (), loc, scale, LINE)


@_continuous(x=(-2, 2), df=(1, 5))
def t_logpdf(x: Any, df: Any, loc: Any, scale: Any, /) -> Any:
    """The logarithm of the density of Student's t with ``df`` > 0 degrees of freedom."""
    return _density(_t, x, (df,), loc, scale, LINE)


_MANY = (
    50.0  # degrees of freedom from which Stirling's series has all digits, and SciPy's betaln loses some (six at 1e6)
)


def _t(z: Any, df: Any) -> Any:
    """The factor gamma((df + 1) / 2) / (gamma(df / 2) sqrt(pi df)) is that of the normal density for large df, but for a series."""
    endless = df == math.inf  # the normal distribution
    df = jt.where(endless, 1.0, df)
    many = df > _MANY
    few, half = jt.where(many, 1.0, df), jt.where(many, df, _MANY) / 2
    r = 1 / (half * half)
    series = (((17 / 14336 * r - 1 / 640) * r + 1 / 192) * r - 1 / 8) / half - 0.5 * _LOG_2PI
    factor = jt.where(many, series, -special.betaln(few / 2, 0.5) - 0.5 * jt.log(few))
    y = factor - (df + 1) / 2 * _log1p_square(z / jt.sqrt(df))
    return jt.where(endless, -0.5 * (z * z + _LOG_2PI), y)


def _log1p_square(z: Any) -> Any:
    """log(1 + z^2), also where the square overflows: from 1e8 on it is twice the logarithm of |z|, to all digits."""
    far = jt.abs(z) > 1e8
    return jt.where(far, 2 * jt.log(jt.abs(jt.where(far, z, 1.0))), jt.log1p(jt.where(far, 1.0, z) ** 2))


@_continuous(x=(0.5, 4), a=(0.5, 4))
def gamma_logpdf(x: Any, a: Any, loc: Any, scale: Any, /) -> Any:
    """The logarithm of the gamma density with shape ``a`` > 0: z**(a - 1) exp(-z) / gamma(a) for z >= 0."""
    return _density(lambda z, a: _log_power(a - 1, z) - z - special.gammaln(a), x, (a,), loc, scale, HALF)


@_continuous(x=(0.2, 0.7), a=(0.5, 4), b=(0.5, 4))
def beta_logpdf(x: Any, a: Any, b: Any, loc: Any, scale: Any, /) -> Any:
    """The logarithm of the beta density with shapes ``a`` and ``b`` > 0: z**(a - 1) (1 - z)**(b - 1) / B(a, b) on [0, 1]."""
    return _density(_beta, x, (a, b), loc, scale, UNIT)


def _beta(z: Any, a: Any, b: Any) -> Any:
    return _log_power(a - 1, z) + _log_power_of_rest(b - 1, z) - special.betaln(a, b)


@_continuous(x=(0.5, 4))
def expon_logpdf(x: Any, loc: Any, scale: Any, /) -> Any:
    """The logarithm of the exponential density, exp(-z) for z >= 0."""
    return _density(lambda z: -z, x, (), loc, scale, HALF)


@_continuous(x=(0.5, 2))
def laplace_logpdf(x: Any, loc: Any, scale: Any, /) -> Any:
    """The logarithm of the Laplace density, exp(-|z|) / 2; its slope at loc is 0."""
    return _density(lambda z: -jt.abs(z) - math.log(2), x, (), loc, scale, LINE)


@_continuous(x=(-2, 2))
def cauchy_logpdf(x: Any, loc: Any, scale: Any, /) -> Any:
    """The logarithm of the Cauchy density, 1 / (pi (1 + z**2))."""
    return _density(lambda z: -_log1p_square(z) - math.log(math.pi), x, (), loc, scale, LINE)


@_continuous(x=(-2, 2))
def logistic_logpdf(x: Any, loc: Any, scale: Any, /) -> Any:
    """The logarithm of the logistic density, exp(-z) / (1 + exp(-z))**2."""
    return _density(_logistic, x, (), loc, scale, LINE)


def _logistic(z: Any) -> Any:
    """By symmetry from z >= 0, where nothing cancels; at 0 with the slopes of that side, which are both sides'."""
    far = jt.where(z < 0, -z, z)
    return -far - 2 * jt.softplus(-far)


@_continuous(x=(0.5, 4), s=(0.5, 2))
def lognorm_logpdf(x: Any, s: Any, loc: Any, scale: Any, /) -> Any:
    """The logarithm of the density of exp(s * n), with n normal: that of n at log(z) / s, over s z, for z > 0."""
    return _density(_lognorm, x, (s,), loc, scale, HALF)


def _lognorm(z: Any, s: Any) -> Any:
    zero = z == 0  # where the density is 0, and its slope, too
    log = jt.log(jt.where(zero, 1.0, z))
    return jt.where(zero, -math.inf, -0.5 * ((log / s) ** 2 + _LOG_2PI) - log - jt.log(s))


@_continuous(x=(0.5, 4), df=(1, 5))
def chi2_logpdf(x: Any, df: Any, loc: Any, scale: Any, /) -> Any:
    """The logarithm of the chi-squared density with ``df`` > 0 degrees of freedom: gamma's, with a = df / 2 and twice the scale."""
    return _density(_chi2, x, (df,), loc, scale, HALF)


def _chi2(z: Any, df: Any) -> Any:
    half = df / 2
    return _log_power(half - 1, z / 2) - z / 2 - special.gammaln(half) - math.log(2)


@_continuous(x=(0.2, 0.7))
def uniform_logpdf(x: Any, loc: Any, scale: Any, /) -> Any:
    """The logarithm of the density of the interval from loc to loc + scale: -log(scale) there."""
    return _density(lambda z: 0.0 * z, x, (), loc, scale, UNIT)


@_continuous(x=(0.5, 2), c=(0.5, 3))
def weibull_min_logpdf(x: Any, c: Any, loc: Any, scale: Any, /) -> Any:
    """The logarithm of Weibull's density with shape ``c`` > 0: c z**(c - 1) exp(-z**c) for z >= 0."""
    return _density(_weibull, x, (c,), loc, scale, HALF)


def _weibull(z: Any, c: Any) -> Any:
    return jt.log(c) + _log_power(c - 1, z) - z**c


norm = Continuous(
    norm_logpdf,
    cdf=lambda z: special.ndtr(z),
    sf=lambda z: special.ndtr(-z),
    logcdf=lambda z: special.log_ndtr(z),
    logsf=lambda z: special.log_ndtr(-z),
)
t = Continuous(t_logpdf, "df")
gamma = Continuous(
    gamma_logpdf, "a", support=HALF, cdf=lambda z, a: special.gammainc(a, z), sf=lambda z, a: special.gammaincc(a, z)
)
beta = Continuous(
    beta_logpdf,
    "a",
    "b",
    support=UNIT,
    cdf=lambda z, a, b: special.betainc(a, b, z),
    sf=lambda z, a, b: special.betaincc(a, b, z),
)
expon = Continuous(
    expon_logpdf,
    support=HALF,
    cdf=lambda z: -jt.expm1(-z),
    sf=lambda z: jt.exp(-z),
    logsf=lambda z: -z,
)
laplace = Continuous(
    laplace_logpdf,
    cdf=lambda z: jt.where(z > 0, 1 - 0.5 * jt.exp(-jt.abs(z)), 0.5 * jt.exp(-jt.abs(z))),
    sf=lambda z: jt.where(z > 0, 0.5 * jt.exp(-jt.abs(z)), 1 - 0.5 * jt.exp(-jt.abs(z))),
)
cauchy = Continuous(
    cauchy_logpdf,
    cdf=lambda z: jt.atan2(jt.ones_like(z), -z) / math.pi,
    sf=lambda z: jt.atan2(jt.ones_like(z), z) / math.pi,
)
logistic = Continuous(
    logistic_logpdf,
    cdf=jt.sigmoid,
    sf=lambda z: jt.sigmoid(-z),
    logcdf=lambda z: -jt.softplus(-z),
    logsf=lambda z: -jt.softplus(z),
)
lognorm = Continuous(
    lognorm_logpdf,
    "s",
    support=HALF,
    cdf=lambda z, s: _of_log(special.ndtr, z, s, 1.0, 0.0),
    sf=lambda z, s: _of_log(special.ndtr, z, s, -1.0, 1.0),
    logcdf=lambda z, s: _of_log(special.log_ndtr, z, s, 1.0, -math.inf),
    logsf=lambda z, s: _of_log(special.log_ndtr, z, s, -1.0, 0.0),
)
chi2 = Continuous(
    chi2_logpdf,
    "df",
    support=HALF,
    cdf=lambda z, df: special.gammainc(df / 2, z / 2),
    sf=lambda z, df: special.gammaincc(df / 2, z / 2),
)
uniform = Continuous(uniform_logpdf, support=UNIT, cdf=jt.positive, sf=lambda z: 1 - z)
weibull_min = Continuous(
    weibull_min_logpdf,
    "c",
    support=HALF,
    cdf=lambda z, c: -jt.expm1(-(z**c)),
    sf=lambda z, c: jt.exp(-(z**c)),
    logsf=lambda z, c: -(z**c),
)


def _of_log(f: Callable[[Any], Any], z: Any, s: Any, sign: float, at_zero: float) -> Any:
    """f of sign * log(z) / s."""
    zero = z == 0
    return jt.where(zero, at_zero, f(sign * jt.log(jt.where(zero, 1.0, z)) / s))


# -- of whole numbers -------------------------------------------------------------------------------------------------


def _mass(
    f: Callable[..., Any], k: Any, parameters: Sequence[Any], loc: Any, allowed: Callable[..., Any], last: Any = None
) -> Any:
    """f(k - loc, *parameters) at whole numbers from 0 to ``last(*parameters)``, -inf elsewhere. k and loc have no derivative."""
    k, loc, *parameters = _together(k, loc, *parameters)
    k = jt.stop_gradient(k - loc)
    ok = allowed(*parameters)
    parameters = [jt.where(ok, p, 0.5) for p in parameters]
    inside = (k >= 0) & (k < math.inf) & (k == jt.floor(k))
    if last is not None:
        inside = inside & (k <= last(*parameters))
    y = jt.where(inside, f(jt.where(inside, k, 0.0), *parameters), -math.inf)
    return jt.where(ok & (k == k), y, math.nan)


@final
class Discrete:
    """A distribution of whole numbers: ``logpmf`` and ``pmf``, which take ``(k, *shapes, loc=0)``, as in SciPy.

    ``shapes`` is the tuple of the parameters' names. The number k itself has no derivative: its gradient is zero.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import stats
    >>> stats.binom.pmf(jt.tensor([0, 1, 2]), 2, 0.5)
    Tensor([0.25, 0.5 , 0.25])
    """

    __slots__ = ("_logpmf", "name", "shapes")

    def __init__(self, logpmf: Any, *shapes: str) -> None:
        self.name = logpmf.__name__.removesuffix("_logpmf")
        self.shapes = shapes
        self._logpmf = logpmf

    def __repr__(self) -> str:
        return f"<distribution {self.name}({', '.join([*self.shapes, 'loc=0'])})>"

    def logpmf(self, k: Any, *args: Any, **parameters: Any) -> Tensor:
        """The logarithm of the probability of k; -inf where that is 0."""
        known = dict.fromkeys(self.shapes) | {"loc": 0.0}
        y: Tensor = self._logpmf(k, *_arguments(f"{self.name}.logpmf", args, parameters, known))
        return y

    def pmf(self, k: Any, *args: Any, **parameters: Any) -> Tensor:
        """The probability of k, exp of ``logpmf``."""
        return jt.exp(self.logpmf(k, *args, **parameters))


def _discrete(counts: int, **ranges: tuple[float, float]) -> Any:
    """Declares the logarithm of a probability; its test data are whole numbers below ``counts``."""

    def samples(rng: Any) -> Any:
        own = [rng.uniform(low, high, size=(2, 3)) for low, high in ranges.values()]
        k = (rng.uniform(0, counts, size=(2, 3))).astype("int64")
        return (k, *own, k * 0), {}

    return op(composite=True, elementwise=True, samples=samples)


def _probability(p: Any) -> Any:
    return (p >= 0) & (p <= 1)


def _times_log(k: Any, p: Any, log: Callable[[Any], Any], zero: float) -> Any:
    """k log(p), 0 where k is, also with its slope in p where p is ``zero``, for which the logarithm is -inf."""
    none, at = k == 0, p == zero
    some = jt.where(none | at, 0.5, p)
    return jt.where(none, 0.0, jt.where(at, -math.inf, k * log(some)))


def _log_p(k: Any, p: Any) -> Any:
    return _times_log(k, p, jt.log, 0.0)


def _log_q(k: Any, p: Any) -> Any:
    return _times_log(k, p, lambda p: jt.log1p(-p), 1.0)


@_discrete(6, mu=(0.5, 5))
def poisson_logpmf(k: Any, mu: Any, loc: Any, /) -> Any:
    """The logarithm of Poisson's probability, mu**k exp(-mu) / k!, for ``mu`` >= 0."""
    return _mass(lambda k, mu: _log_p(k, mu) - special.gammaln(k + 1) - mu, k, (mu,), loc, lambda mu: mu >= 0)


@op(
    composite=True,
    elementwise=True,
    samples=lambda rng: (
        ((k := rng.uniform(0, 4, size=(2, 3)).astype("int64")), k * 0 + 5, rng.uniform(0.2, 0.8, size=(2, 3)), k * 0),
        {},
    ),
)
def binom_logpmf(k: Any, n: Any, p: Any, loc: Any, /) -> Any:
    """The logarithm of the probability of k successes out of ``n``, each of probability ``p``; n is a whole number, and a constant."""

    def f(k: Any, n: Any, p: Any) -> Any:
        n = jt.stop_gradient(n)
        return (
            special.gammaln(n + 1)
            - special.gammaln(k + 1)
            - special.gammaln(n - k + 1)
            + _log_p(k, p)
            + _log_q(n - k, p)
        )

    def allowed(n: Any, p: Any) -> Any:
        return _probability(p) & (n >= 0) & (n == jt.floor(n))

    return _mass(f, k, (n, p), loc, allowed, lambda n, p: n)


@_discrete(2, p=(0.2, 0.8))
def bernoulli_logpmf(k: Any, p: Any, loc: Any, /) -> Any:
    """The logarithm of the probability ``p`` of 1, and of 1 - p of 0."""
    return _mass(lambda k, p: _log_p(k, p) + _log_q(1 - k, p), k, (p,), loc, _probability, lambda p: 1.0)


@_discrete(5, p=(0.2, 0.8))
def geom_logpmf(k: Any, p: Any, loc: Any, /) -> Any:
    """The logarithm of the probability (1 - p)**(k - 1) p that the first success is the k-th trial, for 0 < ``p`` <= 1."""
    return _mass(lambda k, p: jt.log(p) + _log_q(k, p), k - 1, (p,), loc, lambda p: (p > 0) & (p <= 1))


@_discrete(6, n=(0.5, 5), p=(0.2, 0.8))
def nbinom_logpmf(k: Any, n: Any, p: Any, loc: Any, /) -> Any:
    """The logarithm of the probability of k failures before the n-th success, for real ``n`` > 0 and 0 < ``p`` <= 1."""

    def f(k: Any, n: Any, p: Any) -> Any:
        return special.gammaln(k + n) - special.gammaln(k + 1) - special.gammaln(n) + n * jt.log(p) + _log_q(k, p)

    return _mass(f, k, (n, p), loc, lambda n, p: (n > 0) & (p > 0) & (p <= 1))


poisson = Discrete(poisson_logpmf, "mu")
binom = Discrete(binom_logpmf, "n", "p")
bernoulli = Discrete(bernoulli_logpmf, "p")
geom = Discrete(geom_logpmf, "p")
nbinom = Discrete(nbinom_logpmf, "n", "p")


# -- of vectors and matrices ------------------------------------------------------------------------------------------


def _spd(rng: Any, *shape: int) -> Any:
    a = rng.normal(size=shape)
    return a @ a.mT + [[2.0 * (i == j) for j in range(shape[-1])] for i in range(shape[-2])]


def _components(name: str, x: Any, p: Any, what: str) -> None:
    if not x.ndim or not p.ndim or x.shape[-1] != p.shape[-1]:
        raise ShapeError(
            f"{name}(): the last axes of x and {what} are the components, and must be of one length; got shapes {x.shape} "
            f"and {p.shape}"
        )


@op(
    composite=True,
    samples=lambda rng: ((rng.uniform(0.2, 0.5, size=(2, 3)), rng.uniform(0.5, 4.0, size=3)), {}),
)
def dirichlet_logpdf(x: Any, alpha: Any, /) -> Any:
    """The logarithm of Dirichlet's density: see ``stats.dirichlet``."""
    x, alpha = _together(x, alpha)
    _components("dirichlet.logpdf", x, alpha, "alpha")
    ok = alpha > 0
    alpha = jt.where(ok, alpha, 0.5)
    inside = jt.all((x >= 0) & (x <= 1), axis=-1)
    x = jt.where(inside[..., None], x, 0.5)
    y = (
        jt.sum(_log_power(alpha - 1, x), axis=-1)
        + special.gammaln(jt.sum(alpha, axis=-1))
        - jt.sum(special.gammaln(alpha), axis=-1)
    )
    return jt.where(jt.all(ok, axis=-1), jt.where(inside, y, -math.inf), math.nan)


@op(
    composite=True,
    samples=lambda rng: (
        (k := rng.uniform(0, 4, size=(2, 3)).astype("int64"), k.sum(-1), rng.uniform(0.2, 0.5, size=3)),
        {},
    ),
)
def multinomial_logpmf(x: Any, n: Any, p: Any, /) -> Any:
    """The logarithm of the probability of counts: see ``stats.multinomial``."""
    x, n, p = _together(x, n, p)
    _components("multinomial.logpmf", x, p, "p")
    x, n = jt.stop_gradient(x), jt.stop_gradient(n)
    ok = _probability(p)
    p = jt.where(ok, p, 0.5)
    possible = jt.all((x >= 0) & (x == jt.floor(x)), axis=-1) & (jt.sum(x, axis=-1) == n)
    x = jt.where(possible[..., None], x, 0.0)
    y = jt.sum(_log_p(x, p) - special.gammaln(x + 1), axis=-1) + special.gammaln(jt.where(n >= 0, n, 0.0) + 1)
    y = jt.where(possible, y, -math.inf)
    return jt.where(jt.all(ok, axis=-1) & (n >= 0) & (n == jt.floor(n)), y, math.nan)


@op(
    composite=True,
    samples=lambda rng: ((rng.normal(size=(2, 3)), rng.normal(size=3), _spd(rng, 3, 3)), {}),
)
def multivariate_normal_logpdf(x: Any, mean: Any, cov: Any, /) -> Any:
    """The logarithm of the normal density of vectors: see ``stats.multivariate_normal``."""
    x, mean, cov = _together(x, mean, cov)
    n = x.shape[-1] if x.ndim else 0
    if not n or (mean.ndim and mean.shape[-1] != n) or cov.ndim == 1 or (cov.ndim and cov.shape[-2:] != (n, n)):
        raise ShapeError(
            f"multivariate_normal.logpdf(): x of shape {x.shape} is of vectors (..., n), so mean must be a number or of shape "
            f"(..., {n or 'n'}) and cov a number or (..., {n or 'n'}, {n or 'n'}); got {mean.shape} and {cov.shape}. "
            "A vector of variances is given as jt.diag(v)"
        )
    if not cov.ndim:
        cov = cov * jt.eye(n, dtype=x.dtype, device=x.device)
    factor = jt.linalg.cholesky(cov)
    z = jt.linalg.solve_triangular(factor, (x - mean)[..., None])[..., 0]
    return -0.5 * (jt.sum(z * z, axis=-1) + n * _LOG_2PI) - _half_logdet(factor)


def _half_logdet(factor: Any) -> Any:
    """Half of log(det(L L^T))."""
    return jt.sum(jt.log(jt.linalg.diagonal(factor)), axis=-1)


@op(
    composite=True,
    samples=lambda rng: ((_spd(rng, 2, 3, 3), rng.uniform(3.0, 6.0, size=2), _spd(rng, 3, 3)), {}),
)
def wishart_logpdf(x: Any, df: Any, scale: Any, /) -> Any:
    """The logarithm of Wishart's density: see ``stats.wishart``."""
    x, df, scale = _together(x, df, scale)
    n = x.shape[-1] if x.ndim else 0
    if x.ndim < 2 or scale.ndim < 2 or {*x.shape[-2:], *scale.shape[-2:]} != {n}:
        raise ShapeError(
            f"wishart.logpdf(): x and scale are square matrices of one size (..., n, n); got shapes {x.shape} and {scale.shape}"
        )
    ok = df > n - 1
    df = jt.where(ok, df, float(n))
    lx, ls = jt.linalg.cholesky(x), jt.linalg.cholesky(scale)
    z = jt.linalg.solve_triangular(ls, lx)
    y = (
        (df - n - 1) * _half_logdet(lx)
        - 0.5 * jt.sum(z * z, axis=(-2, -1))
        - df * (_half_logdet(ls) + 0.5 * n * math.log(2))
        - special.multigammaln(df / 2, n)
    )
    return jt.where(ok, y, math.nan)


@final
class _Dirichlet:
    """Dirichlet's distribution of vectors of positive numbers that sum to 1."""

    __slots__ = ()

    def logpdf(self, x: Any, alpha: Any) -> Tensor:
        """The logarithm of gamma(sum(alpha)) / prod(gamma(alpha)) * prod(x**(alpha - 1)), with components along the last axes.

        It is a function of all components, so that it has a derivative in each: nothing checks that they sum to 1. -inf where one is
        outside of [0, 1], NaN where an ``alpha`` is not above 0. Raises ``ShapeError`` for last axes of different lengths.

        >>> import jitrench_core as jt
        >>> from jitrench_scipy import stats
        >>> print(f"{stats.dirichlet.logpdf(jt.tensor([0.2, 0.8]), jt.tensor([1.0, 2.0])).item():.6f}")
        0.470004
        """
        y: Tensor = dirichlet_logpdf(x, alpha)
        return y

    def pdf(self, x: Any, alpha: Any) -> Tensor:
        """The density, exp of ``logpdf``."""
        return jt.exp(self.logpdf(x, alpha))


@final
class _Multinomial:
    """The multinomial distribution of counts of ``n`` draws."""

    __slots__ = ()

    def logpmf(self, x: Any, n: Any, p: Any) -> Tensor:
        """The logarithm of n! prod(p**x / x!), with components along the last axes of x and ``p``; n broadcasts with the others.

        It is a function of all of ``p``: nothing checks that it sums to 1, and the last of it is used as given. -inf where x is not
        of whole numbers that sum to n; NaN where a p is outside of [0, 1]. x and n are constants.
        """
        y: Tensor = multinomial_logpmf(x, n, p)
        return y

    def pmf(self, x: Any, n: Any, p: Any) -> Tensor:
        """The probability, exp of ``logpmf``."""
        return jt.exp(self.logpmf(x, n, p))


@final
class _MultivariateNormal:
    """The normal distribution of vectors."""

    __slots__ = ()

    def logpdf(self, x: Any, mean: Any = 0.0, cov: Any = 1.0) -> Tensor:
        """The logarithm of the density of the vectors x (..., n), by the Cholesky factor of ``cov``.

        ``mean`` is a number or (..., n), ``cov`` a number, the variance of each component, or (..., n, n); leading axes broadcast.
        Raises ``LinAlgError`` where ``cov`` is not symmetric and positive definite, ``ShapeError`` where shapes do not fit.

        >>> import jitrench_core as jt
        >>> from jitrench_scipy import stats
        >>> print(f"{stats.multivariate_normal.logpdf(jt.tensor([1.0, 1.0]), cov=2.0).item():.6f}")
        -3.031024
        """
        y: Tensor = multivariate_normal_logpdf(x, mean, cov)
        return y

    def pdf(self, x: Any, mean: Any = 0.0, cov: Any = 1.0) -> Tensor:
        """The density, exp of ``logpdf``."""
        return jt.exp(self.logpdf(x, mean, cov))


@final
class _Wishart:
    """Wishart's distribution of symmetric positive definite matrices."""

    __slots__ = ()

    def logpdf(self, x: Any, df: Any, scale: Any) -> Tensor:
        """The logarithm of the density of the matrices x (..., n, n), by the Cholesky factors of x and ``scale``.

        Leading axes of x, ``df`` and ``scale`` broadcast. NaN where ``df`` is not above n - 1. Raises ``LinAlgError`` where a matrix is
        not symmetric and positive definite, ``ShapeError`` where shapes do not fit. The gradients of matrices are symmetric.
        """
        y: Tensor = wishart_logpdf(x, df, scale)
        return y

    def pdf(self, x: Any, df: Any, scale: Any) -> Tensor:
        """The density, exp of ``logpdf``."""
        return jt.exp(self.logpdf(x, df, scale))


dirichlet = _Dirichlet()
multinomial = _Multinomial()
multivariate_normal = _MultivariateNormal()
wishart = _Wishart()

OPS: tuple[Any, ...] = (
    norm_logpdf, t_logpdf, gamma_logpdf, beta_logpdf, expon_logpdf, laplace_logpdf, cauchy_logpdf, logistic_logpdf,
    lognorm_logpdf, chi2_logpdf, uniform_logpdf, weibull_min_logpdf, poisson_logpmf, binom_logpmf, bernoulli_logpmf,
    geom_logpmf, nbinom_logpmf, dirichlet_logpdf, multinomial_logpmf, multivariate_normal_logpdf, wishart_logpdf,
)  # fmt: skip
KERNELS: dict[tuple[str, str], Any] = {}  # by op and backend: composites need none

__all__ = [
    "Continuous", "Discrete", "bernoulli", "beta", "binom", "cauchy", "chi2", "dirichlet", "expon", "gamma", "geom", "laplace",
    "logistic", "lognorm", "multinomial", "multivariate_normal", "nbinom", "norm", "poisson", "t", "uniform", "weibull_min",
    "wishart",
]  # fmt: skip
