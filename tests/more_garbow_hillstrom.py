"""The 35 test problems of Moré, Garbow and Hillstrom: residuals as functions of tensors, starts, and minima.

Source: J. J. Moré, B. S. Garbow, K. E. Hillstrom, "Testing Unconstrained Optimization Software", ACM Transactions on
Mathematical Software 7 (1981) 17-41. The function to minimise is the sum of squares of the residuals. Numbers and names
are those of the paper; in problem 11 the residual is the corrected one, with y - x2 in the power. The paper gives most
values of minima to six digits and few minimisers; the minimisers here that it does not give were computed by Newton's
method, and their values are held against the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import jitrench_core as jt


@dataclass(frozen=True)
class Problem:
    """``minima`` holds pairs of a point and the paper's value there."""

    name: str
    residuals: Callable[[jt.Tensor], jt.Tensor]
    start: np.ndarray
    minima: list[tuple[Any, float]] = field(default_factory=list)

    def __call__(self, x: jt.Tensor) -> jt.Tensor:
        r = self.residuals(x)
        return jt.sum(r * r)


PROBLEMS: dict[str, Problem] = {}


def problem(name: str, start: Any, *minima: tuple[Any, float]) -> Callable[[Any], Any]:
    def add(residuals: Any) -> Any:
        found = [(np.asarray(x, dtype=float), value) for x, value in minima]
        PROBLEMS[name] = Problem(name, residuals, np.asarray(start, dtype=float), found)
        return residuals

    return add


def data(x: jt.Tensor, values: Any) -> jt.Tensor:
    """Constants, where x is."""
    return jt.asarray(np.asarray(values, dtype=float), device=x.device)


def count(n: int, start: int = 1) -> np.ndarray:
    return np.arange(start, start + n, dtype=float)


# -- two variables ------------------------------------------------------------------------------------------------------


@problem("1 Rosenbrock", [-1.2, 1], ([1, 1], 0))
def rosenbrock(x):
    return jt.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])


@problem("2 Freudenstein and Roth", [0.5, -2], ([5, 4], 0), ([11.4127789869021, -0.8968052532745], 48.9842))
def freudenstein_roth(x):
    a, b = x[0], x[1]
    return jt.stack([-13 + a + ((5 - b) * b - 2) * b, -29 + a + ((b + 1) * b - 14) * b])


@problem("3 Powell badly scaled", [0, 1], ([1.0981593296997e-5, 9.1061467398665], 0))
def powell_badly_scaled(x):
    return jt.stack([1e4 * x[0] * x[1] - 1, jt.exp(-x[0]) + jt.exp(-x[1]) - 1.0001])


@problem("4 Brown badly scaled", [1, 1], ([1e6, 2e-6], 0))
def brown_badly_scaled(x):
    return jt.stack([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2])


@problem("5 Beale", [1, 1], ([3, 0.5], 0))
def beale(x):
    return data(x, [1.5, 2.25, 2.625]) - x[0] * (1 - x[1] ** data(x, [1, 2, 3]))


@problem("6 Jennrich and Sampson", [0.3, 0.4], ([0.2578252136704] * 2, 124.362))
def jennrich_sampson(x):
    i = data(x, count(10))
    return 2 + 2 * i - (jt.exp(i * x[0]) + jt.exp(i * x[1]))


# -- three variables ----------------------------------------------------------------------------------------------------


@problem("7 helical valley", [-1, 0, 0], ([1, 0, 0], 0))
def helical_valley(x):
    turn = jt.atan(x[1] / x[0]) / (2 * math.pi) + jt.where(x[0] < 0, 0.5, 0.0)
    return jt.stack([10 * (x[2] - 10 * turn), 10 * (jt.sqrt(x[0] ** 2 + x[1] ** 2) - 1), x[2]])


BARD = [0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39]


@problem("8 Bard", [1, 1, 1], ([0.0824105597498, 1.1330360920297, 2.3436951786425], 8.21487e-3))
def bard(x):
    u = count(15)
    v = 16 - u
    w = np.minimum(u, v)
    return data(x, BARD) - (x[0] + data(x, u) / (data(x, v) * x[1] + data(x, w) * x[2]))


GAUSSIAN = [0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521, 0.3989]


@problem("9 Gaussian", [0.4, 1, 0], ([0.39895613783876, 1.0000190844878, 0.0], 1.12793e-8))
def gaussian(x):
    t = data(x, (8 - count(15)) / 2)
    return x[0] * jt.exp(-x[1] * (t - x[2]) ** 2 / 2) - data(x, GAUSSIAN + GAUSSIAN[-2::-1])


MEYER = [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872]


@problem("10 Meyer", [0.02, 4000, 250], ([0.0056096364710278, 6181.3463462864, 345.22363462414], 87.9458))
def meyer(x):
    return x[0] * jt.exp(x[1] / (data(x, 45 + 5 * count(16)) + x[2])) - data(x, MEYER)


@problem("11 Gulf research and development", [5, 2.5, 0.15], ([50, 25, 1.5], 0))
def gulf(x):
    t = count(99) / 100
    y = 25 + (-50 * np.log(t)) ** (2 / 3)
    return jt.exp(-(jt.abs(data(x, y) - x[1]) ** x[2]) / x[0]) - data(x, t)


@problem("12 Box three-dimensional", [0, 10, 20], ([1, 10, 1], 0), ([10, 1, -1], 0), ([3, 3, 0], 0))
def box(x):
    t = count(10) / 10
    return jt.exp(-data(x, t) * x[0]) - jt.exp(-data(x, t) * x[1]) - x[2] * data(x, np.exp(-t) - np.exp(-10 * t))


# -- four variables -----------------------------------------------------------------------------------------------------


@problem("13 Powell singular", [3, -1, 0, 1], ([0, 0, 0, 0], 0))
def powell_singular(x):
    a, b, c, d = (x[i] for i in range(4))
    return jt.stack([a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2])


@problem("14 Wood", [-3, -1, -3, -1], ([1, 1, 1, 1], 0))
def wood(x):
    a, b, c, d = (x[i] for i in range(4))
    first = [10 * (b - a**2), 1 - a, 90**0.5 * (d - c**2), 1 - c]
    return jt.stack([*first, 10**0.5 * (b + d - 2), 10**-0.5 * (b - d)])


KOWALIK_Y = [0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246]
KOWALIK_U = [4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625]


@problem(
    "15 Kowalik and Osborne",
    [0.25, 0.39, 0.415, 0.39],
    ([0.192806934579, 0.1912823287344, 0.1230565069263, 0.1360623306838], 3.07505e-4),
)
def kowalik_osborne(x):
    u = data(x, KOWALIK_U)
    return data(x, KOWALIK_Y) - x[0] * (u**2 + u * x[1]) / (u**2 + u * x[2] + x[3])


@problem(
    "16 Brown and Dennis",
    [25, 5, -5, -1],
    ([-11.5944399047622, 13.2036300512072, -0.4034394881769, 0.2367787744557], 85822.2),
)
def brown_dennis(x):
    t = count(20) / 5
    a = x[0] + data(x, t) * x[1] - data(x, np.exp(t))
    b = x[2] + data(x, np.sin(t)) * x[3] - data(x, np.cos(t))
    return a**2 + b**2


# -- five to eleven variables -------------------------------------------------------------------------------------------

OSBORNE_1 = [
    0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751, 0.718, 0.685, 0.658, 0.628, 0.603, 0.580,
    0.558, 0.538, 0.522, 0.506, 0.490, 0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420, 0.414, 0.411, 0.406,
]  # fmt: skip


@problem(
    "17 Osborne 1",
    [0.5, 1.5, -1, 0.01, 0.02],
    ([0.375410052107, 1.9358469127123, -1.4646871366134, 0.0128675346401, 0.0221226996617], 5.46489e-5),
)
def osborne_1(x):
    t = data(x, 10 * count(33, 0))
    return data(x, OSBORNE_1) - (x[0] + x[1] * jt.exp(-t * x[3]) + x[2] * jt.exp(-t * x[4]))


@problem("18 Biggs EXP6", [1, 2, 1, 1, 1, 1], ([1, 10, 1, 5, 4, 3], 0))
def biggs_exp6(x):
    t = count(13) / 10
    y = np.exp(-t) - 5 * np.exp(-10 * t) + 3 * np.exp(-4 * t)
    e = [jt.exp(-data(x, t) * x[i]) for i in (0, 1, 4)]
    return x[2] * e[0] - x[3] * e[1] + x[5] * e[2] - data(x, y)


OSBORNE_2 = [
    1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608, 0.655, 0.616, 0.606, 0.602,
    0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661, 0.612, 0.558, 0.533, 0.495, 0.500, 0.423, 0.395, 0.375,
    0.372, 0.391, 0.396, 0.405, 0.428, 0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668, 0.645, 0.632, 0.591,
    0.559, 0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098, 0.054,
]  # fmt: skip


@problem(
    "19 Osborne 2",
    [1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5],
    (
        [
            *(1.3099771546273, 0.431553794603, 0.6336616989607, 0.5994305347859, 0.754183226328, 0.9042885798596),
            *(1.365811835237, 4.8236988172272, 2.3986848661318, 4.5688745976677, 5.6753414705806),
        ],
        4.01377e-2,
    ),
)
def osborne_2(x):
    t = data(x, count(65, 0) / 10)
    bells = [x[i] * jt.exp(-((t - x[i + 7]) ** 2) * x[i + 4]) for i in (1, 2, 3)]
    return data(x, OSBORNE_2) - (x[0] * jt.exp(-t * x[4]) + bells[0] + bells[1] + bells[2])


@problem(
    "20 Watson",
    np.zeros(6),
    (
        [-0.0157250864015, 1.0124348693691, -0.2329916259567, 1.2604300877996, -1.5137289227223, 0.9929964324311],
        2.28767e-3,
    ),
)
def watson(x):
    n = x.shape[0]
    t = (count(29) / 29)[:, None]
    j = count(n)
    slopes = (j[1:] - 1) * t ** (j[1:] - 2)
    r = data(x, slopes) @ x[1:] - (data(x, t ** (j - 1)) @ x) ** 2 - 1
    return jt.concat([r, jt.stack([x[0], x[1] - x[0] ** 2 - 1])])


# -- any number of variables --------------------------------------------------------------------------------------------


@problem("21 extended Rosenbrock", [-1.2, 1] * 5, (np.ones(10), 0))
def extended_rosenbrock(x):
    odd, even = x[0::2], x[1::2]
    return jt.concat([10 * (even - odd**2), 1 - odd])


@problem("22 extended Powell singular", [3, -1, 0, 1] * 3, (np.zeros(12), 0))
def extended_powell_singular(x):
    a, b, c, d = (x[i::4] for i in range(4))
    return jt.concat([a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2])


@problem("23 penalty I", count(4), ([0.2500074995875] * 4, 2.24997e-5))
def penalty_1(x):
    return jt.concat([1e-5**0.5 * (x - 1), jt.reshape(jt.sum(x**2) - 0.25, (1,))])


@problem("24 penalty II", [0.5] * 4, ([0.1999993333504, 0.1913167009928, 0.4801014853326, 0.5188454043902], 9.37629e-6))
def penalty_2(x):
    n = x.shape[0]
    i = count(n - 1, 2)
    a = 1e-5**0.5
    e = jt.exp(x / 10)
    middle = a * (e[1:] + e[:-1] - data(x, np.exp(i / 10) + np.exp((i - 1) / 10)))
    last = jt.sum(data(x, n + 1 - count(n)) * x**2) - 1
    return jt.concat([x[:1] - 0.2, middle, a * (e[1:] - math.exp(-0.1)), jt.reshape(last, (1,))])


@problem("25 variably dimensioned", 1 - count(6) / 6, (np.ones(6), 0))
def variably_dimensioned(x):
    s = jt.sum(data(x, count(x.shape[0])) * (x - 1))
    return jt.concat([x - 1, jt.stack([s, s**2])])


@problem("26 trigonometric", [0.2] * 5, (np.zeros(5), 0))
def trigonometric(x):
    n = x.shape[0]
    return n - jt.sum(jt.cos(x)) + data(x, count(n)) * (1 - jt.cos(x)) - jt.sin(x)


@problem("27 Brown almost-linear", [0.5] * 5, (np.ones(5), 0), ([0, 0, 0, 0, 6], 1))
def brown_almost_linear(x):
    n = x.shape[0]
    return jt.concat([x[:-1] + jt.sum(x) - (n + 1), jt.reshape(jt.prod(x) - 1, (1,))])


def mesh(n):
    return count(n) / (n + 1)


def between_zeros(x):
    """x with a zero before and after it: its neighbours are [:-2] and [2:]."""
    zero = data(x, [0.0])
    return jt.concat([zero, x, zero])


# Problems 28 and 29 are two discretisations of one differential equation, and have one solution.
BETWEEN = [
    *(-0.0520618149964, -0.0967914433219, -0.1327219089004, -0.1579693948518),
    *(-0.1700740448025, -0.1657619445905, -0.1405787915507, -0.0883068622219),
]


@problem("28 discrete boundary value", mesh(8) * (mesh(8) - 1), (BETWEEN, 0))
def discrete_boundary_value(x):
    n = x.shape[0]
    near = between_zeros(x)
    return 2 * x - near[:-2] - near[2:] + (x + data(x, mesh(n)) + 1) ** 3 / (2 * (n + 1) ** 2)


@problem("29 discrete integral equation", mesh(8) * (mesh(8) - 1), (BETWEEN, 0))
def discrete_integral_equation(x):
    n = x.shape[0]
    t = mesh(n)
    kernel = np.minimum.outer(t, t) * (1 - np.maximum.outer(t, t)) / (2 * (n + 1))
    return x + data(x, kernel) @ (x + data(x, t) + 1) ** 3


TRIDIAGONAL = [
    *(-0.5704698369646, -0.6811405903332, -0.700428470817, -0.7006724537898),
    *(-0.6917363327761, -0.6657674263518, -0.5960292391307, -0.4164109994189),
]
BANDED = [
    *(-0.4283028635872, -0.4765964243527, -0.5196524641352, -0.5580992994025),
    *(-0.5925070737956, -0.6244769343131, -0.6240877381421, -0.5899852409471),
]


@problem("30 Broyden tridiagonal", [-1] * 8, (TRIDIAGONAL, 0))
def broyden_tridiagonal(x):
    near = between_zeros(x)
    return (3 - 2 * x) * x - near[:-2] - 2 * near[2:] + 1


@problem("31 Broyden banded", [-1] * 8, (BANDED, 0))
def broyden_banded(x):
    i = count(x.shape[0])
    offset = i[None, :] - i[:, None]
    band = (offset >= -5) & (offset <= 1) & (offset != 0)
    return x * (2 + 5 * x**2) + 1 - data(x, band) @ (x * (1 + x))


@problem("32 linear, full rank", np.ones(5), (-np.ones(5), 5))
def linear_full_rank(x, m=10):
    total = 2 / m * jt.sum(x) + 1
    return jt.concat([x - total, jt.broadcast_to(-total, (m - x.shape[0],))])


@problem("33 linear, rank 1", np.ones(5), ([3 / 21, 0, 0, 0, 0], 45 / 21))
def linear_rank_1(x, m=10):
    return data(x, count(m)) * jt.sum(data(x, count(x.shape[0])) * x) - 1


@problem("34 linear, rank 1 with zero columns and rows", np.ones(5), ([7, 3 / 34, 0, 0, 9], 124 / 34))
def linear_rank_1_zeros(x, m=10):
    weights, rows = count(x.shape[0]), count(m) - 1
    weights[[0, -1]] = rows[-1] = 0
    return data(x, rows) * jt.sum(data(x, weights) * x) - 1


CHEBYQUAD = [
    0.043152760151,
    0.1930908403842,
    0.2663287068903,
    0.5,
    0.5,
    0.7336712931097,
    0.8069091596158,
    0.956847239849,
]


@problem("35 Chebyquad", mesh(8), (CHEBYQUAD, 3.51687e-3))
def chebyquad(x):
    n = x.shape[0]
    z = 2 * x - 1
    polynomials = [jt.ones_like(z), z]
    for _ in range(n - 1):
        polynomials.append(2 * z * polynomials[-1] - polynomials[-2])
    integrals = [0.0 if i % 2 else -1 / (i * i - 1) for i in range(1, n + 1)]
    return jt.mean(jt.stack(polynomials[1:]), axis=1) - data(x, integrals)
