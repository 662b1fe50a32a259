"""Writes scipy_stats_reference.json: log-densities with their first and second derivatives, by mpmath with 60 digits.

Run by hand where mpmath is installed (made with 1.3.0): ``python tests/data/make_scipy_stats_reference.py``. A case of
``univariate`` names a log-density of jitrench_scipy.stats, its arguments, its value, and the gradient and Hessian in those
arguments that are floating-point numbers. One of ``cumulative`` has a value and its derivative in x. One of ``multivariate`` has a
gradient for each argument; matrices are symmetrised first, as Cholesky's factor is taken here.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import mpmath
from mpmath import mp, mpf

mp.dps = 60


def lgamma(x):
    return mpmath.loggamma(x)


def scaled(f):
    """A standard log-density f(z, *shapes), as one of (x, *shapes, loc, scale)."""
    return lambda x, *rest: f((x - rest[-2]) / rest[-1], *rest[:-2]) - mpmath.log(rest[-1])


LOG = mpmath.log
UNIVARIATE = {
    "norm": scaled(lambda z: -z * z / 2 - LOG(2 * mp.pi) / 2),
    "t": scaled(
        lambda z, df: lgamma((df + 1) / 2) - lgamma(df / 2) - LOG(df * mp.pi) / 2 - (df + 1) / 2 * LOG(1 + z * z / df)
    ),
    "gamma": scaled(lambda z, a: (a - 1) * LOG(z) - z - lgamma(a)),
    "beta": scaled(lambda z, a, b: (a - 1) * LOG(z) + (b - 1) * LOG(1 - z) - lgamma(a) - lgamma(b) + lgamma(a + b)),
    "expon": scaled(lambda z: -z),
    "laplace": scaled(lambda z: -abs(z) - LOG(2)),
    "cauchy": scaled(lambda z: -LOG(mp.pi * (1 + z * z))),
    "logistic": scaled(lambda z: -z - 2 * LOG(1 + mpmath.exp(-z))),
    "lognorm": scaled(lambda z, s: -LOG(z * s * mpmath.sqrt(2 * mp.pi)) - (LOG(z) / s) ** 2 / 2),
    "chi2": scaled(lambda z, df: (df / 2 - 1) * LOG(z) - z / 2 - df / 2 * LOG(2) - lgamma(df / 2)),
    "uniform": scaled(lambda z: 0 * z),
    "weibull_min": scaled(lambda z, c: LOG(c) + (c - 1) * LOG(z) - z**c),
    "poisson": lambda k, mu: k * LOG(mu) - mu - lgamma(k + 1),
    "binom": lambda k, n, p: lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * LOG(p) + (n - k) * LOG(1 - p),
    "bernoulli": lambda k, p: k * LOG(p) + (1 - k) * LOG(1 - p),
    "geom": lambda k, p: LOG(p) + (k - 1) * LOG(1 - p),
    "nbinom": lambda k, n, p: lgamma(k + n) - lgamma(k + 1) - lgamma(n) + n * LOG(p) + k * LOG(1 - p),
}
POINTS = {
    "norm": [(0.3, 0.1, 2.0), (-40.0, 0.0, 1.0), (1e3, 2.0, 0.5)],
    "t": [(0.3, 3.0, 0.1, 2.0), (-40.0, 0.5, 0.0, 1.0), (2.0, 1e6, 0.5, 1.5)],
    "gamma": [(0.3, 2.5, 0.1, 2.0), (1e-6, 0.01, 0.0, 1.0), (1e4, 9.9e3, 0.5, 1.0)],
    "beta": [(0.3, 2.5, 0.7, 0.1, 2.0), (0.001, 0.5, 300.0, 0.0, 1.0), (0.999, 40.0, 0.5, 0.0, 1.0)],
    "expon": [(0.3, 0.1, 2.0), (700.0, 0.0, 0.5)],
    "laplace": [(0.3, 0.1, 2.0), (-40.0, 0.0, 0.5)],
    "cauchy": [(0.3, 0.1, 2.0), (-1e6, 0.0, 0.5)],
    "logistic": [(0.3, 0.1, 2.0), (-80.0, 0.0, 0.5), (900.0, 0.0, 1.0)],
    "lognorm": [(0.3, 0.8, 0.1, 2.0), (1e-9, 2.0, 0.0, 1.0)],
    "chi2": [(0.3, 2.5, 0.1, 2.0), (90.0, 100.0, 0.0, 1.0)],
    "uniform": [(0.3, 0.1, 2.0)],
    "weibull_min": [(0.3, 2.5, 0.1, 2.0), (7.0, 0.5, 0.0, 1.0)],
    "poisson": [(3, 2.5), (0, 1e-3), (1000, 990.0)],
    "binom": [(3, 5, 0.3), (0, 7, 1e-9), (400, 1000, 0.45)],
    "bernoulli": [(1, 0.3), (0, 1e-12)],
    "geom": [(3, 0.3), (1, 0.9), (1000, 1e-3)],
    "nbinom": [(3, 2.5, 0.3), (0, 0.2, 0.9), (300, 100.0, 0.2)],
}
P = {
    "norm": lambda z: mpmath.erfc(-z / mpmath.sqrt(2)) / 2,
    "gamma": lambda z, a: mpmath.gammainc(a, 0, z, regularized=True),
    "beta": lambda z, a, b: mpmath.betainc(a, b, 0, z, regularized=True),
    "expon": lambda z: 1 - mpmath.exp(-z),
    "laplace": lambda z: mpmath.exp(z) / 2 if z < 0 else 1 - mpmath.exp(-z) / 2,
    "cauchy": lambda z: mpf(1) / 2 + mpmath.atan(z) / mp.pi,
    "logistic": lambda z: 1 / (1 + mpmath.exp(-z)),
    "lognorm": lambda z, s: mpmath.erfc(-LOG(z) / s / mpmath.sqrt(2)) / 2,
    "chi2": lambda z, df: mpmath.gammainc(df / 2, 0, z / 2, regularized=True),
    "uniform": lambda z: z,
    "weibull_min": lambda z, c: 1 - mpmath.exp(-(z**c)),
}
KINDS = {
    "cdf": lambda p: p,
    "sf": lambda p: 1 - p,
    "logcdf": lambda p: LOG(p),
    "logsf": lambda p: LOG(1 - p),
}
LOGS = {"norm": ("logcdf", "logsf"), "logistic": ("logcdf", "logsf"), "lognorm": ("logcdf", "logsf"),
        "expon": ("logsf",), "weibull_min": ("logsf",)}  # fmt: skip
PLACES = {"norm": (-8.0, 0.3, 6.0), "laplace": (-8.0, 6.0), "cauchy": (-1e8, 0.3, 1e8), "logistic": (-30.0, 0.3, 30.0),
          "gamma": (0.01, 3.0, 30.0), "beta": (0.01, 0.6, 0.99), "expon": (1e-9, 30.0), "lognorm": (0.01, 3.0, 90.0),
          "chi2": (0.01, 3.0, 30.0), "uniform": (0.25,), "weibull_min": (1e-3, 2.0)}  # fmt: skip
SHAPES = {"gamma": (2.5,), "beta": (2.5, 0.7), "lognorm": (0.8,), "chi2": (2.5,), "weibull_min": (1.5,)}


def derivatives(f, point):
    """Value, gradient and Hessian in the arguments that are no integers."""
    free = [i for i, p in enumerate(point) if isinstance(p, float)]
    exact = [mpf(p) for p in point]
    orders = [[int(i == j) for j in range(len(point))] for i in range(len(point))]
    first = [mpmath.diff(f, exact, orders[i]) for i in free]
    second = [
        [mpmath.diff(f, exact, [a + b for a, b in zip(orders[i], orders[j], strict=True)]) for j in free] for i in free
    ]
    return {"value": float(f(*exact)), "gradient": [*map(float, first)], "hessian": [[*map(float, r)] for r in second]}


def univariate():
    return [
        {"name": name, "arguments": p, **derivatives(UNIVARIATE[name], p)}
        for name, points in POINTS.items()
        for p in points
    ]


def cumulative():
    found = []
    for name, f in P.items():
        for kind, x in product(("cdf", "sf", *LOGS.get(name, ())), PLACES[name]):
            shapes = SHAPES.get(name, ())
            # (x - 0.25) / 2 of x = 2 z + 0.25: exact in binary
            g = lambda x, f=f, kind=kind, s=shapes: KINDS[kind](f((x - mpf(1) / 4) / 2, *map(mpf, s)))  # noqa: E731
            at = 2 * x + 0.25
            found.append({"name": name, "kind": kind, "arguments": [at, *shapes, 0.25, 2.0], "value": float(g(mpf(at))),
                          "slope": float(mpmath.diff(g, mpf(at)))})  # fmt: skip
    return found


def dirichlet(x, alpha):
    return lgamma(sum(alpha)) + sum((a - 1) * LOG(v) - lgamma(a) for v, a in zip(x, alpha, strict=True))


def multinomial(x, n, p):
    return lgamma(n + 1) + sum(k * LOG(q) - lgamma(k + 1) for k, q in zip(x, p, strict=True))


def symmetric(rows):
    m = mpmath.matrix(rows)
    return (m + m.T) / 2


def multivariate_normal(x, mean, cov):
    c = symmetric(cov)
    d = mpmath.matrix([a - b for a, b in zip(x, mean, strict=True)])
    return -(len(x) * LOG(2 * mp.pi) + LOG(mpmath.det(c)) + (d.T * mpmath.inverse(c) * d)[0]) / 2


def wishart(x, df, scale):
    x, s = symmetric(x), symmetric(scale)
    n = x.rows
    inside = mpmath.inverse(s) * x
    multi = mpf(n * (n - 1)) / 4 * LOG(mp.pi) + sum(lgamma((df - i) / 2) for i in range(n))
    trace = sum(inside[i, i] for i in range(n))
    return (df - n - 1) / 2 * LOG(mpmath.det(x)) - trace / 2 - df * n / 2 * LOG(2) - df / 2 * LOG(mpmath.det(s)) - multi


MULTIVARIATE = [
    ("dirichlet", dirichlet, [[0.2, 0.3, 0.5], [0.5, 1.0, 4.0]]),
    ("dirichlet", dirichlet, [[1e-8, 0.25, 0.75], [0.1, 30.0, 90.0]]),
    ("multinomial", multinomial, [[1, 0, 4], 5, [0.2, 0.3, 0.5]]),
    ("multivariate_normal", multivariate_normal, [[0.3, -1.0], [0.1, 0.2], [[2.0, 0.5], [0.5, 1.0]]]),
    ("multivariate_normal", multivariate_normal,
     [[3.0, -1.0, 2.0], [0.0, 1.0, 0.5], [[2.0, 0.5, 0.25], [0.5, 1.0, -0.5], [0.25, -0.5, 3.0]]]),
    ("wishart", wishart, [[[2.0, 0.5], [0.5, 1.0]], 3.5, [[1.0, -0.25], [-0.25, 0.5]]]),
    ("wishart", wishart, [[[2.0, 0.5, 0.25], [0.5, 1.0, -0.5], [0.25, -0.5, 3.0]], 5.5,
                          [[1.0, 0.25, 0.0], [0.25, 1.0, 0.5], [0.0, 0.5, 2.0]]]),
]  # fmt: skip


def flat(value):
    return [n for v in value for n in flat(v)] if isinstance(value, list) else [value]


def rebuilt(like, numbers):
    return [rebuilt(v, numbers) for v in like] if isinstance(like, list) else next(numbers)


def multivariate():
    found = []
    for name, f, arguments in MULTIVARIATE:
        start = [mpf(v) for v in flat(arguments)]
        whole = lambda *numbers, f=f, like=arguments: f(*rebuilt(like, iter(numbers)))  # noqa: E731
        slopes = [mpmath.diff(whole, start, [int(i == j) for j in range(len(start))]) if isinstance(v, float) else mpf(0)
                  for i, v in enumerate(flat(arguments))]  # fmt: skip
        gradients = rebuilt(arguments, iter([*map(float, slopes)]))
        found.append({"name": name, "arguments": arguments, "value": float(whole(*start)), "gradients": gradients})
    return found


if __name__ == "__main__":
    parts = {"univariate": univariate(), "cumulative": cumulative(), "multivariate": multivariate()}
    text = ",\n".join(f'"{k}": [\n' + ",\n".join(json.dumps(c) for c in cases) + "\n]" for k, cases in parts.items())
    Path(__file__).with_name("scipy_stats_reference.json").write_text("{\n" + text + "\n}\n", encoding="utf-8")
