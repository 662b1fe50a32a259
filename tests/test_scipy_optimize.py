"""``jitrench_scipy.optimize``: known minima, SciPy's own iterates with derivatives by hand, containers, and every error."""

from __future__ import annotations

import importlib.util
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import jitrench_core as jt

scipy_optimize = pytest.importorskip("scipy.optimize")
optimize = pytest.importorskip("jitrench_scipy").optimize
OptimizationError, implicit_root = optimize.OptimizationError, optimize.implicit_root
least_squares, minimize, root = optimize.least_squares, optimize.minimize, optimize.root

START = [-1.2, 1.0, 0.7]


def rosenbrock(x):
    return jt.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def by_hand(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


# -- minimize ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [m for m in optimize.METHODS if m != "COBYLA"])  # it is in test_constraints
def test_every_method_finds_rosenbrocks_minimum(T, close, method):
    options = {"maxfun": 1000} if method == "TNC" else {"maxiter": 1000}
    found = minimize(
        rosenbrock, T(START), method=method.upper(), options=options, tol=None if optimize.METHODS[method] else 1e-9
    )
    close(found.x, np.ones(3), 2e-4)
    assert found.x.device == T(START).device
    assert type(found.fun) is float
    assert found.fun < 1e-6


@pytest.mark.parametrize("method", [m for m, wants in optimize.METHODS.items() if wants])
def test_iterates_are_scipys_with_derivatives_by_hand(T, method):
    """The same searches: SciPy with rosen_der, rosen_hess and rosen_hess_prod takes as many steps to the same points."""
    wants = optimize.METHODS[method]
    more = {"hess": scipy_optimize.rosen_hess} if wants == "hess" else {}
    if wants == "hessp":
        more = {"hessp": scipy_optimize.rosen_hess_prod}
    options = {"maxfun": 20} if method == "TNC" else {"maxiter": 8}
    ours, theirs = [], []
    found = minimize(rosenbrock, T(START), method=method, options=options, callback=lambda x: ours.append(x.numpy()))
    want = scipy_optimize.minimize(
        by_hand,
        START,
        method=method,
        jac=scipy_optimize.rosen_der,
        options=options,
        callback=lambda x, *state: theirs.append(x.copy()),
        **more,
    )
    assert len(ours) == len(theirs) > 3
    np.testing.assert_allclose(ours, theirs, rtol=1e-4 if method == "TNC" else 1e-7)  # it amplifies rounding
    for name in ("nfev", "njev", "nhev", "nit"):
        assert found.get(name) == want.get(name), name


def test_derivatives_are_ours_and_few(T):
    calls = []

    def counted(x):
        calls.append(1)
        return rosenbrock(x)

    found = minimize(counted, T(START), method="trust-exact")
    assert found.nhev > 3
    assert len(calls) <= found.nfev + found.njev + found.nhev + 1
    assert found.nfev < 40
    calls.clear()
    found = minimize(counted, T(START))
    assert len(calls) == found.nfev + 1  # value and gradient by one call, and the check at x0
    np.testing.assert_allclose(found.jac.numpy(), 0, atol=1e-4)


@dataclass
class Point:
    x: object
    y: object


Pair = namedtuple("Pair", "x y")


@pytest.mark.parametrize(
    "make", [lambda x, y: {"x": x, "y": y}, lambda x, y: [x, y], Pair, Point, lambda x, y: {"p": (x, [y])}]
)
def test_containers(T, close, make):
    def loss(p):
        x, y = optimize.flatten(p)[0]
        return jt.sum((x - T([1.0, 2.0])) ** 2) * (1.0 + y * y) + (y - 3.0) ** 2

    for method in ("BFGS", "trust-ncg", "trust-exact", "Nelder-Mead"):
        tol = 1e-10 if method == "Nelder-Mead" else 1e-6
        found = minimize(loss, make(T([0.0, 0.0]), T(1.0)), method=method, tol=tol)
        assert type(found.x) is type(make(1, 2))
        x, y = optimize.flatten(found.x)[0]
        close(x, [1.0, 2.0], 1e-4)
        close(y, 3.0, 1e-4)
        if method != "Nelder-Mead":
            assert [g.shape for g in optimize.flatten(found.jac)[0]] == [(2,), ()]
    found = minimize(lambda x: (x - 2.0) ** 2, 5)
    assert isinstance(found.x, jt.Tensor)
    close(found.x, 2.0, 1e-6)


def test_arguments_and_dtypes(T, close):
    found = minimize(lambda p, a, b: jt.sum((p["w"] - a) ** 2) + b * p["v"] ** 2,
                     {"w": T([0.0, 0.0], "float32"), "v": T(1.0)}, (T([1.0, 2.0], "float32"), 3.0), tol=1e-3)  # fmt: skip
    assert (found.x["w"].dtype, found.x["v"].dtype) == (jt.float32, jt.float64)
    assert found.jac["w"].dtype == jt.float32
    close(found.x["w"], [1.0, 2.0], 1e-3)
    tracked = T([3.0], requires_grad=True)
    found = minimize(lambda x: jt.sum((x - 1.0) ** 2), tracked)
    assert not found.x.requires_grad
    assert tracked.tolist() == [3.0]


def test_bounds(T, close):
    loss = lambda p: jt.sum((p["w"] - 3.0) ** 2) + jt.sum((p["v"][0] + 1.0) ** 2) + p["u"] ** 2  # noqa: E731
    start = {"w": T([0.0, 0.0]), "v": (T([[1.0, 1.0]]),), "u": T(1.0)}
    for method in (None, "L-BFGS-B", "TNC", "SLSQP", "trust-constr", "Nelder-Mead", "Powell"):
        bounds = {"w": (None, np.array([1.0, 9.0])), "v": (([[0.5, 0.0]], None),)}
        found = minimize(loss, start, method=method, bounds=bounds, tol=1e-6)
        close(found.x["w"], [1.0, 3.0], 1e-3)
        close(found.x["v"][0], [[0.5, 0.0]], 1e-3)
        close(found.x["u"], 0.0, 1e-3)
    close(minimize(lambda x: jt.sum(x), T([1.0, 2.0]), bounds=(-1.0, T([5.0, 6.0]))).x, [-1.0, -1.0])
    one = {"type": "ineq", "fun": lambda x, k: k - x[0], "args": 0.5}  # as of minimize: one argument needs no tuple
    close(minimize(lambda x: jt.sum((x - 2.0) ** 2), T([0.0, 0.0]), constraints=one).x, [0.5, 2.0], 1e-5)
    close(minimize(lambda x: jt.sum(x), T([1.0, 2.0]), bounds=scipy_optimize.Bounds(-1.0, 5.0)).x, [-1.0, -1.0])


def test_constraints(T, close):
    """The point of the unit circle nearest to (2, 1), and with x >= 0.95, too."""
    loss = lambda p: (p["x"] - 2.0) ** 2 + (p["y"] - 1.0) ** 2  # noqa: E731
    circle = lambda p: p["x"] ** 2 + p["y"] ** 2  # noqa: E731
    start = {"x": T(0.5), "y": T(0.2)}
    want = np.array([2.0, 1.0]) / np.sqrt(5)
    nonlinear = scipy_optimize.NonlinearConstraint(circle, 1.0, 1.0)
    for method in ("SLSQP", "trust-constr"):
        found = minimize(loss, start, method=method, constraints=nonlinear, tol=1e-9)
        close(jt.stack([found.x["x"], found.x["y"]]), want, 1e-6)
        found = minimize(
            loss, start, method=method, constraints={"type": "eq", "fun": lambda p: circle(p) - 1.0}, tol=1e-9
        )
        close(jt.stack([found.x["x"], found.x["y"]]), want, 1e-5)
        both = [nonlinear, scipy_optimize.LinearConstraint([[1.0, 0.0]], 0.95, np.inf)]
        found = minimize(loss, start, method=method, constraints=both, tol=1e-9)
        close(found.x["x"], 0.95, 1e-5)
    inside = {"type": "ineq", "fun": lambda p, r: [r - circle(p), p["y"]], "args": (1.0,)}
    for method in ("COBYLA", "SLSQP"):
        found = minimize(loss, start, method=method, constraints=inside, tol=1e-8)
        close(jt.stack([found.x["x"], found.x["y"]]), want, 1e-4)
    found = minimize(loss, start, constraints=inside)
    close(found.x["x"], want[0], 1e-4)


def test_callbacks_can_stop(T):
    seen = []

    def stop(x):
        seen.append(x)
        if len(seen) == 3:
            raise StopIteration

    found = minimize(rosenbrock, T(START), callback=stop)
    assert (found.nit, len(seen), found.success) == (3, 3, False)
    assert isinstance(seen[0], jt.Tensor)


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_errors_of_minimize(T):
    x = T([1.0, 2.0])
    with pytest.raises(jt.NotFoundError, match="no method 'L-BFGS'; there are .*Did you mean 'L-BFGS-B'"):
        minimize(rosenbrock, x, method="L-BFGS")
    with pytest.raises(jt.OpError, match="takes a function of x; got Tensor"):
        minimize(x, rosenbrock)
    for method in ("BFGS", "Powell"):
        with pytest.raises(jt.OpError, match=r"f returned shape \(2,\) and dtype float64; expected one real number"):
            minimize(lambda x: x * x, x, method=method)
        with pytest.raises(jt.OpError, match="f returned float; expected a tensor of shape"):
            minimize(lambda x: float(x[0]), x, method=method)
        with pytest.raises(jt.OpError, match="dtype complex128; expected one real"):
            minimize(lambda x: jt.sum(x * 1j), x, method=method)
    with pytest.raises(jt.OpError, match="does not depend on x"):
        minimize(lambda x: jt.sum(x.detach()), x)
    with pytest.raises(jt.DTypeError, match=r"x0\[w\] has dtype int64.*jt\.astype"):
        minimize(lambda p: jt.sum(p["w"]), {"w": T([1, 2])})
    with pytest.raises(jt.DTypeError, match="x0 has dtype complex128: give its real and imaginary"):
        minimize(rosenbrock, T([1j, 0.0]))
    with pytest.raises(jt.DTypeError, match="x0 is 'text'; expected tensors"):
        minimize(rosenbrock, "text")
    with pytest.raises(jt.OpError, match=r"x0 is \[\], which holds no tensor"):
        minimize(rosenbrock, [])
    with pytest.raises(OptimizationError, match=r"x0\[v\] holds NaN"):
        minimize(lambda p: p["v"], {"u": T(1.0), "v": T(np.nan)})
    with pytest.raises(OptimizationError, match=r"f\(x0\) is nan; start where f is finite"):
        minimize(lambda x: jt.sum(jt.log(x)), T([-1.0]))
    with pytest.raises(jt.OpError, match=r"bounds are \[\(0, 1\)\], where x0 has u, v: they need its containers"):
        minimize(lambda p: p["u"], {"u": T(1.0), "v": T(1.0)}, bounds=[(0, 1)])
    with pytest.raises(jt.OpError, match=r"bounds\[0\] are .*, where x0 has u: they need its containers"):
        minimize(lambda p: p[0]["u"], [{"u": T(1.0)}], bounds=[{"w": (0, 1)}])
    with pytest.raises(jt.ShapeError, match=r"bounds\[u\] are 3; expected \(low, high\) for shape \(\)"):
        minimize(lambda p: p["u"], {"u": T(1.0)}, bounds={"u": 3})
    with pytest.raises(jt.ShapeError, match=r"expected \(low, high\) for shape \(2,\)"):
        minimize(rosenbrock, x, bounds=([1.0, 2.0, 3.0], None))
    with pytest.raises(jt.ShapeError, match=r"bounds \(3, 1\) of element 1 hold nothing"):
        minimize(rosenbrock, x, bounds=(np.array([0.0, 3.0]), np.array([1.0, 1.0])))
    for bounds in ([(0.0, 1.0), (0.0, 1.0)], [(0.0, 1.0)] * 3):  # the first would be the corner (0, 1)
        with pytest.raises(
            jt.ShapeError, match=r"SciPy's list of a pair for each element is written scipy.optimize.Bounds"
        ):
            minimize(rosenbrock, T([0.0] * len(bounds)), bounds=bounds)
    with pytest.raises(jt.ShapeError, match=r"which hold NaN: None stands for no bound"):
        minimize(rosenbrock, x, bounds=(np.array([0.0, np.nan]), None))
    with pytest.raises(jt.OpError, match="x0 holds no numbers, only tensors without elements"):
        minimize(jt.sum, T(np.zeros((0, 2))))
    with pytest.raises(jt.OpError, match="a constraint is 3; expected scipy.optimize's"):
        minimize(rosenbrock, x, constraints=3)
    with pytest.raises(jt.OpError, match="a constraint's fun returned float; expected real tensors"):
        minimize(rosenbrock, x, constraints={"type": "eq", "fun": lambda x: 1.0})


# -- least squares and roots ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["trf", "dogbox", "lm"])
def test_least_squares(T, close, method):
    t = np.linspace(0.0, 4.0, 30)
    true = {"a": 2.5, "k": np.array([0.7, 0.2])}
    y = true["a"] * np.exp(-0.7 * t) + np.exp(-0.2 * t)

    def residuals(p, t, y):
        return {"r": p["a"] * jt.exp(-p["k"][0] * t) + jt.exp(-p["k"][1] * t) - y}

    start = {"a": T(1.0), "k": T([1.0, 0.1])}
    found = least_squares(residuals, start, (T(t), T(y)), method=method)
    close(found.x["a"], 2.5, 1e-5)
    close(found.x["k"], [0.7, 0.2], 1e-5)
    assert found.jac.shape == (30, 3)
    want = np.stack([np.exp(-0.7 * t), -2.5 * t * np.exp(-0.7 * t), -t * np.exp(-0.2 * t)], axis=1)
    np.testing.assert_allclose(found.jac, want, atol=1e-4)
    assert found.grad["k"].shape == (2,)
    if method != "lm":
        found = least_squares(residuals, start, (T(t), T(y)), bounds={"a": (0.0, 2.0)}, method=method)
        close(found.x["a"], 2.0, 1e-6)
    many = least_squares(lambda x: jt.stack([jt.sum(x) - 1.0]), T(np.zeros(40)))  # reverse mode
    close(jt.sum(many.x), 1.0, 1e-8)


def test_root(T, close):
    def f(p):
        return [p["x"] ** 2 + p["y"] ** 2 - 1.0, p["x"] - p["y"]]

    start = {"x": T(1.0), "y": T(0.5)}
    for method in ("hybr", "lm", "krylov", "broyden1"):
        found = root(f, start, method=method)
        close(jt.stack([found.x["x"], found.x["y"]]), [np.sqrt(0.5)] * 2, 1e-5)
    ours = root(f, start)
    theirs = scipy_optimize.root(
        lambda v: [v[0] ** 2 + v[1] ** 2 - 1, v[0] - v[1]],
        [1.0, 0.5],
        jac=lambda v: np.array([[2 * v[0], 2 * v[1]], [1, -1]]),
    )
    assert (ours.nfev, ours.njev) == (theirs.nfev, theirs.njev)


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_errors_of_least_squares_and_root(T):
    with pytest.raises(jt.OpError, match="least_squares: residuals returned float; expected real tensors"):
        least_squares(lambda x: 1.0, T([1.0]))
    with pytest.raises(OptimizationError, match="the residuals at x0 hold NaN"):
        least_squares(lambda x: jt.log(x), T([-1.0]))
    with pytest.raises(jt.ShapeError, match=r"f returned 1 element\(s\) for an x of 2: as many equations"):
        root(lambda x: x[0], T([1.0, 2.0]))
    with pytest.raises(jt.NotFoundError, match="root has no method 'hybrid'.*Did you mean 'hybr'"):
        root(lambda x: x, T(1.0), method="hybrid")
    with pytest.raises(jt.OpError, match="root: f returned a tensor of int64"):
        root(lambda x: jt.astype(x, jt.int64), T(1.0))


# -- solutions with derivatives ---------------------------------------------------------------------------------------


def test_implicit_roots_have_derivatives_of_any_order(T, close):
    """x^3 = a, with x = a^(1/3); and the system u v = p, u - v = q."""
    cube = lambda a: implicit_root(lambda x, a: x**3 - a, T(1.0), a)  # noqa: E731
    a = T(2.0)
    close(cube(a), 2 ** (1 / 3))
    close(jt.grad(cube)(a), 2 ** (-2 / 3) / 3, 1e-10)
    close(jt.grad(jt.grad(cube))(a), -2 / 9 * 2 ** (-5 / 3), 1e-10)
    close(jt.grad(jt.grad(jt.grad(cube)))(a), 10 / 27 * 2 ** (-8 / 3), 1e-9)
    close(jt.jvp(cube, (a,), (T(1.0),))[1], 2 ** (-2 / 3) / 3, 1e-10)
    close(jt.hessian(cube)(a), -2 / 9 * 2 ** (-5 / 3), 1e-10)

    def system(x, p):
        return {"a": x["u"] * x["v"] - p["p"], "b": x["u"] - x["v"] - p["q"]}

    f = lambda p: implicit_root(system, {"u": T([2.0, 2.0]), "v": T([1.0, 1.0])}, p)["u"]  # noqa: E731
    exact = lambda p: p["q"] / 2.0 + jt.sqrt(p["q"] ** 2 / 4.0 + p["p"])  # noqa: E731
    p = {"p": T([2.0, 3.0]), "q": T([1.0, 0.5])}
    close(f(p), exact(p).numpy(), 1e-10)
    got, want = jt.jacobian(f)(p), jt.jacobian(exact)(p)
    for k in p:
        close(got[k], want[k].numpy(), 1e-9)


def test_implicit_root_of_a_gradient_is_a_moving_minimum(T, close):
    """Ridge regression's weights by its penalty."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    loss = lambda w, s: jt.sum((T(x) @ w - T(y)) ** 2) + s * jt.sum(w * w)  # noqa: E731
    weights = lambda s: implicit_root(jt.grad(loss), T(np.zeros(3)), s)  # noqa: E731
    exact = lambda s: jt.linalg.solve(T(x.T @ x) + s * jt.eye(3, device=T(0.0).device), T(x.T @ y))  # noqa: E731
    close(weights(T(2.0)), exact(T(2.0)).numpy(), 1e-9)
    close(jt.jacobian(weights)(T(2.0)), jt.jacobian(exact)(T(2.0)).numpy(), 1e-9)


def test_errors_of_implicit_root(T):
    w = T(2.0, requires_grad=True)
    with pytest.raises(
        jt.GradientError, match=r"implicit_root: f uses a tensor from around it.*implicit_root\(f, x0, it\)"
    ):
        implicit_root(lambda x: x * x - w, T(1.0))
    with pytest.raises(OptimizationError, match="scipy's root found none: .*Start nearer"):
        implicit_root(lambda x, a: x * x + a, T(1.0), T(1.0))
    with pytest.raises(jt.TransformError, match=r"implicit_root\(\) under vmap: SciPy solves one system"):
        jt.vmap(lambda a: implicit_root(lambda x, a: x * x - a, T(1.0), a))(T([1.0, 2.0]))


# -- the example ------------------------------------------------------------------------------------------------------


@pytest.fixture
def lynxes():
    pytest.importorskip("matplotlib")
    folder = Path(__file__).parents[1] / "examples"
    spec = importlib.util.spec_from_file_location("example_scipy_fit", folder / "scipy_fit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_finds_the_rates_of_stans_posterior(lynxes, tmp_path, capsys):
    result = lynxes.main(["--methods", "BFGS", "--curves", "3", "--out", str(tmp_path)])
    for name, mean in lynxes.STAN.items():
        assert abs(result.rates[name] - mean) < 0.05 * mean
        assert 0.05 * mean < result.errors[name] < 0.2 * mean
    assert result.evaluations["BFGS"] < 60
    assert result.files[0].read_bytes().startswith(b"\x89PNG\r\n")
    assert "minus log-likelihood -42.7406" in capsys.readouterr().out


def test_the_examples_derivatives(lynxes, close):
    p = lynxes.guess()
    both = [
        jt.grad(lambda p, a=adjoint: jt.sum(jt.tanh(lynxes.populations(p, [1900.0, 1904.0], adjoint=a))))(p)
        for adjoint in (True, False)
    ]
    for name in ("rates", "start"):
        close(both[0][name], both[1][name].numpy(), 1e-5)
