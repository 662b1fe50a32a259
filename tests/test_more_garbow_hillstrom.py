"""Gradients and Hessians of the classic test functions: closed forms in NumPy, published minima, central differences.

``REFERENCES`` holds, for each problem, its residuals r and their derivatives J written out by hand, one after the other as
the paper prints them; the gradient of the sum of squares is 2 J^T r. ``CURVATURES`` holds sum(r_i * Hessian of r_i)
by hand, from which the Hessian is 2 (J^T J + that).
"""

from __future__ import annotations

import math
from math import cos, exp, sin, sqrt

import more_garbow_hillstrom as mgh
import numpy as np
import pytest
from more_garbow_hillstrom import PROBLEMS

import jitrench_core as jt

# f at the paper's starting points, as far as it is a short number.
STARTS = {
    "1 Rosenbrock": 24.2,
    "2 Freudenstein and Roth": 400.5,
    "4 Brown badly scaled": 999998000003.0,
    "5 Beale": 14.203125,
    "7 helical valley": 2500.0,
    "13 Powell singular": 215.0,
    "14 Wood": 19192.0,
    "20 Watson": 30.0,
    "21 extended Rosenbrock": 5 * 24.2,
    "22 extended Powell singular": 3 * 215.0,
    "23 penalty I": 14e-5 + 29.75**2,
    "27 Brown almost-linear": 4 * 3.0**2 + (1 - 1 / 32) ** 2,
    "30 Broyden tridiagonal": 19.0,
    "32 linear, full rank": 25.0,
}

REFERENCES = {}
CURVATURES = {}


def number(name):
    return int(name.split()[0])


def reference(k):
    """For problem k: a function of x that returns rows (r_i, gradient of r_i)."""

    def add(rows):
        REFERENCES[k] = rows
        return rows

    return add


def curvature(k):
    def add(function):
        CURVATURES[k] = function
        return function

    return add


@reference(1)
def _(x):
    a, b = x
    return [(10 * (b - a * a), [-20 * a, 10]), (1 - a, [-1, 0])]


@reference(2)
def _(x):
    a, b = x
    return [
        (-13 + a + 5 * b**2 - b**3 - 2 * b, [1, 10 * b - 3 * b**2 - 2]),
        (-29 + a + b**3 + b**2 - 14 * b, [1, 3 * b**2 + 2 * b - 14]),
    ]


@reference(3)
def _(x):
    a, b = x
    return [(1e4 * a * b - 1, [1e4 * b, 1e4 * a]), (exp(-a) + exp(-b) - 1.0001, [-exp(-a), -exp(-b)])]


@reference(4)
def _(x):
    a, b = x
    return [(a - 1e6, [1, 0]), (b - 2e-6, [0, 1]), (a * b - 2, [b, a])]


@reference(5)
def _(x):
    a, b = x
    return [(y - a * (1 - b**i), [b**i - 1, a * i * b ** (i - 1)]) for i, y in enumerate((1.5, 2.25, 2.625), 1)]


@reference(6)
def _(x):
    a, b = x
    return [(2 + 2 * i - exp(i * a) - exp(i * b), [-i * exp(i * a), -i * exp(i * b)]) for i in range(1, 11)]


@reference(7)
def _(x):
    a, b, c = x
    q, d = a * a + b * b, math.hypot(a, b)
    theta = math.atan(b / a) / (2 * math.pi) + (0.5 if a < 0 else 0)
    k = 100 / (2 * math.pi * q)
    return [
        (10 * (c - 10 * theta), [k * b, -k * a, 10]),
        (10 * (d - 1), [10 * a / d, 10 * b / d, 0]),
        (c, [0, 0, 1]),
    ]


@reference(8)
def _(x):
    a, b, c = x
    rows = []
    for u, y in enumerate(mgh.BARD, 1):
        v = 16 - u
        w = min(u, v)
        d = v * b + w * c
        rows.append((y - a - u / d, [-1, u * v / d**2, u * w / d**2]))
    return rows


@reference(9)
def _(x):
    a, b, c = x
    rows = []
    for i in range(1, 16):
        t, y = (8 - i) / 2, mgh.GAUSSIAN[min(i, 16 - i) - 1]
        e = exp(-b * (t - c) ** 2 / 2)
        rows.append((a * e - y, [e, -a * e * (t - c) ** 2 / 2, a * e * b * (t - c)]))
    return rows


@reference(10)
def _(x):
    a, b, c = x
    rows = []
    for i, y in enumerate(mgh.MEYER, 1):
        d = 45 + 5 * i + c
        e = exp(b / d)
        rows.append((a * e - y, [e, a * e / d, -a * e * b / d**2]))
    return rows


@reference(11)
def _(x):
    a, b, c = x
    rows = []
    for i in range(1, 100):
        t = i / 100
        s = 25 + (-50 * math.log(t)) ** (2 / 3) - b
        p = abs(s) ** c
        e = exp(-p / a)
        rows.append((e - t, [e * p / a**2, e * c * p / (a * s), -e * p * math.log(abs(s)) / a]))
    return rows


@reference(12)
def _(x):
    a, b, c = x
    rows = []
    for i in range(1, 11):
        t = 0.1 * i
        d = exp(-t) - exp(-10 * t)
        rows.append((exp(-t * a) - exp(-t * b) - c * d, [-t * exp(-t * a), t * exp(-t * b), -d]))
    return rows


def powell(a, b, c, d):
    return [
        (a + 10 * b, [1, 10, 0, 0]),
        (sqrt(5) * (c - d), [0, 0, sqrt(5), -sqrt(5)]),
        ((b - 2 * c) ** 2, [0, 2 * (b - 2 * c), -4 * (b - 2 * c), 0]),
        (sqrt(10) * (a - d) ** 2, [2 * sqrt(10) * (a - d), 0, 0, -2 * sqrt(10) * (a - d)]),
    ]


@reference(13)
def _(x):
    return powell(*x)


@reference(14)
def _(x):
    a, b, c, d = x
    return [
        (10 * (b - a * a), [-20 * a, 10, 0, 0]),
        (1 - a, [-1, 0, 0, 0]),
        (sqrt(90) * (d - c * c), [0, 0, -2 * sqrt(90) * c, sqrt(90)]),
        (1 - c, [0, 0, -1, 0]),
        (sqrt(10) * (b + d - 2), [0, sqrt(10), 0, sqrt(10)]),
        ((b - d) / sqrt(10), [0, 1 / sqrt(10), 0, -1 / sqrt(10)]),
    ]


@reference(15)
def _(x):
    a, b, c, d = x
    rows = []
    for u, y in zip(mgh.KOWALIK_U, mgh.KOWALIK_Y, strict=True):
        top, low = u * u + u * b, u * u + u * c + d
        rows.append((y - a * top / low, [-top / low, -a * u / low, a * top * u / low**2, a * top / low**2]))
    return rows


@reference(16)
def _(x):
    a, b, c, d = x
    rows = []
    for i in range(1, 21):
        t = i / 5
        p, q = a + t * b - exp(t), c + d * sin(t) - cos(t)
        rows.append((p * p + q * q, [2 * p, 2 * p * t, 2 * q, 2 * q * sin(t)]))
    return rows


@reference(17)
def _(x):
    a, b, c, d, e = x
    rows = []
    for i, y in enumerate(mgh.OSBORNE_1):
        t = 10 * i
        p, q = exp(-t * d), exp(-t * e)
        rows.append((y - a - b * p - c * q, [-1, -p, -q, t * b * p, t * c * q]))
    return rows


@reference(18)
def _(x):
    rows = []
    for i in range(1, 14):
        t = 0.1 * i
        y = exp(-t) - 5 * exp(-10 * t) + 3 * exp(-4 * t)
        p, q, s = exp(-t * x[0]), exp(-t * x[1]), exp(-t * x[4])
        slopes = [-t * x[2] * p, t * x[3] * q, p, -q, -t * x[5] * s, s]
        rows.append((x[2] * p - x[3] * q + x[5] * s - y, slopes))
    return rows


@reference(19)
def _(x):
    rows = []
    for i, y in enumerate(mgh.OSBORNE_2):
        t = i / 10
        first = exp(-t * x[4])
        bells = [exp(-((t - x[k + 8]) ** 2) * x[k + 5]) for k in range(3)]
        r = y - x[0] * first - sum(x[k + 1] * bells[k] for k in range(3))
        slopes = [-first, *(-e for e in bells), t * x[0] * first]
        slopes += [x[k + 1] * bells[k] * (t - x[k + 8]) ** 2 for k in range(3)]
        slopes += [-2 * x[k + 1] * bells[k] * (t - x[k + 8]) * x[k + 5] for k in range(3)]
        rows.append((r, slopes))
    return rows


@reference(20)
def _(x):
    n = len(x)
    rows = []
    for i in range(1, 30):
        t = i / 29
        total = sum(x[j] * t**j for j in range(n))
        r = sum(j * x[j] * t ** (j - 1) for j in range(1, n)) - total**2 - 1
        rows.append((r, [(j * t ** (j - 1) if j else 0) - 2 * total * t**j for j in range(n)]))
    rows.append((x[0], np.eye(n)[0]))
    rows.append((x[1] - x[0] ** 2 - 1, np.eye(n)[1] - 2 * x[0] * np.eye(n)[0]))
    return rows


def placed(rows, n, at):
    """The same residuals of a part of x."""
    return [(r, [0] * at + list(slopes) + [0] * (n - at - len(slopes))) for r, slopes in rows]


@reference(21)
def _(x):
    parts = [placed(REFERENCES[1](x[i : i + 2]), len(x), i) for i in range(0, len(x), 2)]
    return [rows[k] for k in range(2) for rows in parts]


@reference(22)
def _(x):
    parts = [placed(powell(*x[i : i + 4]), len(x), i) for i in range(0, len(x), 4)]
    return [rows[k] for k in range(4) for rows in parts]


@reference(23)
def _(x):
    a = sqrt(1e-5)
    return [(a * (v - 1), a * e) for v, e in zip(x, np.eye(len(x)), strict=True)] + [(sum(x * x) - 0.25, 2 * x)]


@reference(24)
def _(x):
    n, a, unit = len(x), sqrt(1e-5), np.eye(len(x))
    e = [exp(v / 10) for v in x]
    rows = [(x[0] - 0.2, unit[0])]
    for i in range(1, n):
        y = exp((i + 1) / 10) + exp(i / 10)
        rows.append((a * (e[i] + e[i - 1] - y), a / 10 * (e[i] * unit[i] + e[i - 1] * unit[i - 1])))
    rows += [(a * (e[i] - exp(-0.1)), a / 10 * e[i] * unit[i]) for i in range(1, n)]
    weights = np.arange(n, 0, -1)
    return [*rows, (sum(weights * x * x) - 1, 2 * weights * x)]


@reference(25)
def _(x):
    j = np.arange(1, len(x) + 1)
    s = sum(j * (x - 1))
    return [*((v - 1, e) for v, e in zip(x, np.eye(len(x)), strict=True)), (s, j), (s * s, 2 * s * j)]


@reference(26)
def _(x):
    n = len(x)
    rows = []
    for i in range(n):
        r = n - sum(cos(v) for v in x) + (i + 1) * (1 - cos(x[i])) - sin(x[i])
        rows.append((r, [sin(v) + (i == j) * ((i + 1) * sin(v) - cos(v)) for j, v in enumerate(x)]))
    return rows


@reference(27)
def _(x):
    n = len(x)
    rows = [(x[i] + sum(x) - (n + 1), 1 + np.eye(n)[i]) for i in range(n - 1)]
    return [*rows, (math.prod(x) - 1, [math.prod(np.delete(x, j)) for j in range(n)])]


@reference(28)
def _(x):
    n = len(x)
    h = 1 / (n + 1)
    rows = []
    for i in range(n):
        before, after = x[i - 1] if i else 0, x[i + 1] if i < n - 1 else 0
        s = x[i] + (i + 1) * h + 1
        slopes = [(2 + 1.5 * h * h * s * s) * (i == j) - (abs(i - j) == 1) for j in range(n)]
        rows.append((2 * x[i] - before - after + h * h * s**3 / 2, slopes))
    return rows


@reference(29)
def _(x):
    n = len(x)
    h = 1 / (n + 1)
    t = [h * (i + 1) for i in range(n)]
    rows = []
    for i in range(n):
        weights = [h / 2 * ((1 - t[i]) * t[j] if j <= i else t[i] * (1 - t[j])) for j in range(n)]
        r = x[i] + sum(w * (v + s + 1) ** 3 for w, v, s in zip(weights, x, t, strict=True))
        rows.append((r, [(i == j) + 3 * weights[j] * (x[j] + t[j] + 1) ** 2 for j in range(n)]))
    return rows


@reference(30)
def _(x):
    n = len(x)
    rows = []
    for i in range(n):
        r = (3 - 2 * x[i]) * x[i] - (x[i - 1] if i else 0) - 2 * (x[i + 1] if i < n - 1 else 0) + 1
        rows.append((r, [(3 - 4 * x[i]) * (i == j) - (j == i - 1) - 2 * (j == i + 1) for j in range(n)]))
    return rows


@reference(31)
def _(x):
    n = len(x)
    rows = []
    for i in range(n):
        near = [j for j in range(max(0, i - 5), min(n, i + 2)) if j != i]
        r = x[i] * (2 + 5 * x[i] ** 2) + 1 - sum(x[j] * (1 + x[j]) for j in near)
        rows.append((r, [(2 + 15 * x[i] ** 2) * (i == j) - (j in near) * (1 + 2 * x[j]) for j in range(n)]))
    return rows


@reference(32)
def _(x):
    n, m = len(x), 10
    return [((x[i] if i < n else 0) - 2 / m * sum(x) - 1, [(i == j) - 2 / m for j in range(n)]) for i in range(m)]


@reference(33)
def _(x):
    j = np.arange(1, len(x) + 1)
    return [(i * sum(j * x) - 1, i * j) for i in range(1, 11)]


@reference(34)
def _(x):
    j = np.arange(1, len(x) + 1)
    j[[0, -1]] = 0
    return [(-1.0, 0 * j), *((i * sum(j * x) - 1, i * j) for i in range(1, 9)), (-1.0, 0 * j)]


@reference(35)
def _(x):
    n = len(x)
    rows = []
    for i in range(1, n + 1):
        basis = np.polynomial.Chebyshev.basis(i, domain=[0, 1])
        integral = 0 if i % 2 else -1 / (i * i - 1)
        rows.append((sum(basis(x)) / n - integral, basis.deriv()(x) / n))
    return rows


@curvature(1)
def _(x, r):
    return [[-20 * r[0], 0], [0, 0]]


@curvature(2)
def _(x, r):
    return [[0, 0], [0, r[0] * (10 - 6 * x[1]) + r[1] * (6 * x[1] + 2)]]


@curvature(3)
def _(x, r):
    return [[r[1] * exp(-x[0]), 1e4 * r[0]], [1e4 * r[0], r[1] * exp(-x[1])]]


@curvature(4)
def _(x, r):
    return [[0, r[2]], [r[2], 0]]


@curvature(5)
def _(x, r):
    a, b = x
    mixed = sum(r[i - 1] * i * b ** (i - 1) for i in (1, 2, 3))
    return [[0, mixed], [mixed, a * (2 * r[1] + 6 * b * r[2])]]


@curvature(6)
def _(x, r):
    return np.diag([-sum(r[i - 1] * i * i * exp(i * v) for i in range(1, 11)) for v in x])


@curvature(8)
def _(x, r):
    total = np.zeros((3, 3))
    for u in range(1, 16):
        v, w = 16 - u, min(u, 16 - u)
        d = v * x[1] + w * x[2]
        total[1:, 1:] -= r[u - 1] * 2 * u / d**3 * np.array([[v * v, v * w], [v * w, w * w]])
    return total


def powell_curvature(r):
    p, q = 2 * r[2], 2 * sqrt(10) * r[3]
    return np.array([[q, 0, 0, -q], [0, p, -2 * p, 0], [0, -2 * p, 4 * p, 0], [-q, 0, 0, q]])


@curvature(13)
def _(x, r):
    return powell_curvature(r)


@curvature(14)
def _(x, r):
    return np.diag([-20 * r[0], 0, -2 * sqrt(90) * r[2], 0])


@curvature(16)
def _(x, r):
    total = np.zeros((4, 4))
    for i in range(1, 21):
        for part in ([1, i / 5, 0, 0], [0, 0, 1, sin(i / 5)]):
            total += 2 * r[i - 1] * np.outer(part, part)
    return total


@curvature(21)
def _(x, r):
    n = len(x) // 2
    return np.diag([-20 * r[i // 2] if i % 2 == 0 else 0 for i in range(2 * n)])


@curvature(22)
def _(x, r):
    n = len(x) // 4
    return sum(np.kron(np.diag(np.eye(n)[i]), powell_curvature(r[i::n])) for i in range(n))


@curvature(23)
def _(x, r):
    return 2 * r[-1] * np.eye(len(x))


@curvature(25)
def _(x, r):
    j = np.arange(1, len(x) + 1)
    return 2 * r[-1] * np.outer(j, j)


@curvature(26)
def _(x, r):
    return np.diag([sum(r) * cos(v) + r[j] * ((j + 1) * cos(v) + sin(v)) for j, v in enumerate(x)])


@curvature(27)
def _(x, r):
    n = len(x)
    return [[0 if i == j else r[-1] * math.prod(np.delete(x, [i, j])) for j in range(n)] for i in range(n)]


@curvature(28)
def _(x, r):
    h = 1 / (len(x) + 1)
    return np.diag([3 * r[i] * h * h * (v + (i + 1) * h + 1) for i, v in enumerate(x)])


@curvature(30)
def _(x, r):
    return np.diag(-4 * np.asarray(r))


@curvature(31)
def _(x, r):
    n = len(x)
    near = [[i for i in range(max(0, j - 1), min(n, j + 6)) if i != j] for j in range(n)]
    return np.diag([30 * r[j] * x[j] - 2 * sum(r[i] for i in near[j]) for j in range(n)])


@curvature(32)
def _(x, r):
    return np.zeros((len(x), len(x)))


CURVATURES[33] = CURVATURES[34] = CURVATURES[32]


def closed_form(name, x):
    """Value, residuals, their derivatives, and the gradient of the sum of squares."""
    r, jacobian = zip(*REFERENCES[number(name)](x), strict=True)
    r, jacobian = np.array(r, dtype=float), np.array(jacobian, dtype=float)
    return r @ r, r, jacobian, 2 * jacobian.T @ r


def points(name):
    """The start, a point beside it, and the minima: none where a function has a kink or a pole."""
    start = PROBLEMS[name].start
    beside = start + 0.05 * np.cos(np.arange(len(start))) * np.where(start == 0, 1, start)
    return [start, beside, *(x for x, _ in PROBLEMS[name].minima)]


def same(got, want, tol=1e-11):
    """Equal up to ``tol`` of the largest element."""
    np.testing.assert_allclose(got.numpy(), want, rtol=tol, atol=tol * np.abs(want).max(initial=1e-300))


def test_all_problems_of_the_paper_are_there():
    assert [number(name) for name in PROBLEMS] == list(range(1, 36))
    assert REFERENCES.keys() == set(range(1, 36))
    assert len(CURVATURES) >= 20


@pytest.mark.parametrize("name", PROBLEMS)
def test_values_and_gradients_against_closed_forms(T, name):
    p = PROBLEMS[name]
    size = np.abs(closed_form(name, p.start)[1]).max()  # of the terms that cancel in a residual
    for x in points(name):
        value, r, jacobian, gradient = closed_form(name, x)
        np.testing.assert_allclose(p.residuals(T(x)).numpy(), r, rtol=0, atol=1e-12 * size)
        y, g = jt.value_and_grad(p)(T(x))
        assert y.item() == pytest.approx(value, rel=1e-11, abs=1e-24 * size**2 * len(r))
        assert (np.abs(g.numpy() - gradient) <= 2e-12 * np.abs(jacobian.T) @ (np.abs(r) + size)).all()
        for mode in ("reverse", "forward"):
            same(jt.jacobian(p.residuals, mode=mode)(T(x)), jacobian)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if number(name) in CURVATURES])
def test_hessians_against_closed_forms(T, name):
    p = PROBLEMS[name]
    for x in points(name):
        _, r, jacobian, _ = closed_form(name, x)
        want = 2 * (jacobian.T @ jacobian + np.array(CURVATURES[number(name)](x, r), dtype=float))
        same(jt.hessian(p)(T(x)), want)
        same(jt.jacobian(jt.grad(p))(T(x)), want)
        v = np.cos(np.arange(len(x)) + 1.0)
        same(jt.hvp(p, (T(x),), (T(v),))[0], want @ v, 1e-10)


@pytest.mark.parametrize("name", STARTS)
def test_starting_points(T, name):
    assert PROBLEMS[name](T(PROBLEMS[name].start)).item() == pytest.approx(STARTS[name], rel=1e-14)


@pytest.mark.parametrize("name", PROBLEMS)
def test_published_minima(T, name):
    """The paper's value to its six digits, and the gradient of a point whose coordinates are right to 11 digits."""
    p = PROBLEMS[name]
    for x, value in p.minima:
        y, gradient = jt.value_and_grad(p)(T(x))
        assert y.item() == pytest.approx(value, rel=5e-6, abs=1e-20)
        hessian = jt.hessian(p)(T(x)).numpy()
        _, r, jacobian, _ = closed_form(name, x)
        rounding = 1e-13 * np.abs(jacobian.T) @ np.abs(r)
        assert (np.abs(gradient.numpy()) <= 1e-11 * np.abs(hessian) @ np.abs(x) + rounding).all()
        if value not in (1, 124 / 34, 45 / 21) and number(name) != 35:
            assert np.linalg.eigvalsh(hessian).min() > -1e-9 * np.abs(hessian).max()


def differences(f, x):
    """Five-point central differences of f by each coordinate of x."""
    columns = []
    for j in range(len(x)):
        h = 1e-4 * max(1.0, abs(x[j])) * np.eye(len(x))[j]
        columns.append((8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h[j]))
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("name", PROBLEMS)
def test_against_central_differences(name):
    p = PROBLEMS[name]
    x = points(name)[1]
    f, g = (lambda v, h=h: h(jt.tensor(v)).numpy() for h in (p, jt.grad(p)))
    gradient, hessian = g(x), jt.hessian(p)(jt.tensor(x)).numpy()
    np.testing.assert_allclose(differences(f, x), gradient, atol=1e-7 * np.abs(gradient).max() + 1e-11 * abs(f(x)))
    np.testing.assert_allclose(differences(g, x), hessian, atol=1e-7 * np.abs(hessian).max())


def test_the_other_published_sizes(T):
    """Minima of larger problems, by Newton's method, downhill also where the Hessian is not positive."""
    for name, start, value in (
        ("20 Watson", np.zeros(9), 1.39976e-6),
        ("23 penalty I", np.arange(1.0, 11), 7.08765e-5),
        ("24 penalty II", np.full(10, 0.5), 2.93660e-4),
    ):
        p, x = PROBLEMS[name], start
        for _ in range(200):
            y, g = jt.value_and_grad(p)(T(x))
            w, v = np.linalg.eigh(jt.hessian(p)(T(x)).numpy())
            step = v @ (v.T @ g.numpy() / np.maximum(np.abs(w), 1e-12 * np.abs(w).max()))
            while p(T(x - step)).item() > y.item() and np.abs(step).max() > 1e-12:
                step = step / 2
            x = x - step
        assert p(T(x)).item() == pytest.approx(value, rel=5e-6), name
