"""``jitrench_scipy.integrate``: against closed forms, central differences and both modes against each other."""

from __future__ import annotations

import math

import numpy as np
import pytest

import jitrench_core as jt

integrate = pytest.importorskip("jitrench_scipy").integrate
IntegrationError, odeint, quad = integrate.IntegrationError, integrate.odeint, integrate.quad

EXPLICIT = tuple(integrate.METHODS)
MODES = [pytest.param(True, id="adjoint"), pytest.param(False, id="direct")]


def decay(y, t, rate):
    return -rate * y


def kepler(y, t):
    q, p = y["q"], y["p"]
    return {"q": p, "p": -q / jt.sum(q * q) ** 1.5}


# -- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("dopri5", 2e-09),
        ("bosh3", 2e-08),
        ("rk4", 1e-06),
        ("midpoint", 0.001),
        ("euler", 0.05),
        ("BDF", 1e-07),
        ("Radau", 1e-07),
        ("LSODA", 1e-07),
    ],
)
def test_every_method_on_a_decay(T, method, error):
    step = {"step": 0.1} if method in ("rk4", "midpoint", "euler") else {"rtol": 1e-9, "atol": 1e-10}
    t = np.linspace(0.0, 2.0, 11)
    y = odeint(decay, T([1.0, 3.0]), T(t), T(0.7), method=method, **step).numpy()
    exact = np.exp(-0.7 * t)[:, None] * [1.0, 3.0]
    assert error * 1e-4 < np.abs(y - exact).max() < error


@pytest.mark.parametrize(("method", "order"), [("rk4", 4), ("midpoint", 2), ("euler", 1)])
def test_orders_of_the_fixed_methods(T, method, order):
    f = lambda y, t: y * jt.cos(t)  # noqa: E731
    errors = [
        abs(odeint(f, T(1.0), T([0.0, 2.0]), method=method, step=h)[-1].item() - math.exp(math.sin(2.0)))
        for h in (0.02, 0.01)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize(("method", "order"), [("dopri5", 5), ("bosh3", 3)])
def test_tables_of_the_adaptive_methods(method, order):
    """Rows sum to their nodes; the dense output starts with slope 1 of the first stage and ends in the weights."""
    table = integrate.METHODS[method]
    for c, row in zip(table.nodes, table.rows, strict=True):
        assert sum(row) == pytest.approx(c, abs=1e-14)
    weights = np.array([*table.weights, 0.0])
    nodes = np.array([*table.nodes, 1.0])
    for k in range(order):
        assert weights @ nodes**k == pytest.approx(1 / (k + 1), abs=1e-14)
    dense = np.array(table.dense)
    np.testing.assert_allclose(dense.sum(axis=1), weights, atol=2e-14)
    for k in range(dense.shape[1] - (method == "bosh3")):  # y' = t**k is integrated at each theta
        want = np.zeros(dense.shape[1])
        if k < dense.shape[1]:
            want[k] = 1 / (k + 1)
            np.testing.assert_allclose(nodes**k @ dense, want, atol=2e-13)
    assert sum(table.error) == pytest.approx(0, abs=1e-16)


def test_containers_backward_time_repeats_and_one_time(T, close):
    start = {"p": T([0.0, 1.0]), "q": T([1.0, 0.0])}
    t = np.array([0.0, 1.0, 1.0, 2.5, 2 * np.pi])
    y = odeint(kepler, start, t, rtol=1e-10, atol=1e-10)
    close(y["q"], np.stack([np.cos(t), np.sin(t)], axis=1), 1e-7)
    close(y["p"], np.stack([-np.sin(t), np.cos(t)], axis=1), 1e-7)
    back = odeint(kepler, {k: v[-1] for k, v in y.items()}, t[::-1], rtol=1e-10, atol=1e-10)
    close(back["q"], y["q"].numpy()[::-1], 1e-6)
    assert odeint(decay, T([1.0, 2.0]), [3.0], 1.0).tolist() == [[1.0, 2.0]]
    for method in ("dopri5", "rk4", "BDF"):
        assert odeint(decay, T([1.0, 2.0]), [3.0, 3.0], 1.0, method=method).tolist() == [[1.0, 2.0]] * 2
        y = odeint(
            decay, T([1.0, 2.0]), [0.0, 0.0, 1.0, 1.0], 1.0, method=method, step=0.01 if method == "rk4" else None
        )
        close(y, np.exp([0.0, 0.0, -1.0, -1.0])[:, None] * [1.0, 2.0], 1e-6)
    for adjoint in (True, False):
        for method in ("dopri5", "rk4"):
            f = lambda t: jt.sum(odeint(decay, T(2.0), t, 1.0, method=method, adjoint=adjoint)[1:])  # noqa: B023, E731
            close(jt.grad(f)(T([3.0, 3.0])), [2.0, -2.0])
            close(jt.grad(f)(T([3.0, 3.0, 3.0])), [4.0, -2.0, -2.0])
    assert odeint(decay, jt.zeros((0, 3)), [0.0, 1.0], 1.0).shape == (2, 0, 3)
    swapped = odeint(lambda y, t: (y[1], -y[0]), (1, 0.0), [0, 1])
    close(jt.stack(swapped)[:, -1], [math.cos(1), -math.sin(1)], 1e-7)


def test_float32_stays(T, close):
    p = T([0.5, 1.0], "float32")
    for method in ("dopri5", "rk4", "BDF"):
        y = odeint(decay, T([1.0, 2.0], "float32"), [0.0, 1.0], p, method=method)
        assert y.dtype == jt.float32
        close(y[-1], np.exp([-0.5, -1.0]) * [1, 2], 1e-2)
    for adjoint in (True, False):
        f = lambda p, t: odeint(decay, T([1.0, 2.0], "float32"), t, p, adjoint=adjoint)[-1].sum()  # noqa: B023, E731
        g, gt = jt.grad(f, argnums=(0, 1))(p, T([0.0, 1.0]))
        assert (g.dtype, gt.dtype) == (jt.float32, jt.float64)
        close(g, -np.exp([-0.5, -1.0]) * [1, 2], 5e-3)


# -- derivatives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adjoint", MODES)
@pytest.mark.parametrize("method", ["dopri5", "bosh3"])
def test_gradients_of_a_linear_system(T, close, method, adjoint):
    """y = expm(A t) y0, for a diagonalizable A: derivatives by the eigenvalues."""
    v, lam = np.array([[1.0, 1.0], [1.0, -1.0]]), np.array([-0.3, 0.4])
    times = np.array([0.5, 1.0, 2.0])

    def solve(lam, y0, t):
        a = T(v) @ (jt.expand_dims(lam, axis=1) * T(np.linalg.inv(v)))
        return odeint(lambda y, t, a: a @ y, y0, t, a, method=method, rtol=1e-9, atol=1e-9, adjoint=adjoint)

    def exact(lam, y0, t):
        c = T(np.linalg.inv(v)) @ y0
        return jt.stack([T(v) @ (jt.exp(lam * (t[i] - t[0])) * c) for i in range(3)])

    weights = T(np.arange(6.0).reshape(3, 2) - 1.0)
    args = T(lam), T([1.0, 0.3]), T(times)
    close(solve(*args), exact(*args).numpy(), 1e-7)
    got = jt.grad(lambda *a: jt.sum(weights * solve(*a)), argnums=(0, 1, 2))(*args)
    want = jt.grad(lambda *a: jt.sum(weights * exact(*a)), argnums=(0, 1, 2))(*args)
    for g, w in zip(got, want, strict=True):
        close(g, w.numpy(), 5e-6)
    tangents = T([1.0, -0.5]), T([0.2, 0.1]), T([0.1, 0.2, 0.3])
    close(jt.jvp(solve, args, tangents)[1], jt.jvp(exact, args, tangents)[1].numpy(), 5e-6)


@pytest.mark.parametrize("adjoint", MODES)
def test_second_derivatives_of_the_logistic_equation(T, close, adjoint):
    def final(r, k, y0):
        f = lambda y, t, r, k: r * y * (1.0 - y / k)  # noqa: E731
        return odeint(f, y0, [0.0, 0.4, 1.5], r, k, rtol=1e-10, atol=1e-10, adjoint=adjoint)[-1]

    def exact(r, k, y0):
        return k / (1.0 + (k / y0 - 1.0) * jt.exp(-1.5 * r))

    args = T(1.3), T(2.0), T(0.5)
    numbers = (0, 1, 2)
    got, want = (jt.hessian(f, argnums=numbers)(*args) for f in (final, exact))
    close(jt.stack([jt.stack(r) for r in got]), jt.stack([jt.stack(r) for r in want]).numpy(), 1e-6)
    nested = jt.grad(lambda *a: jt.grad(final)(*a), argnums=numbers)(*args)
    close(jt.stack(nested), jt.stack(want[0]).numpy(), 1e-6)


def test_gradients_through_the_steps_are_those_of_the_computed_numbers(T):
    f = lambda y, t, w: jt.sin(w * y + t)  # noqa: E731
    for method in EXPLICIT:
        solve = lambda y, w: odeint(f, y, [0.0, 0.7], w, method=method, rtol=1e-3, adjoint=False)[-1]  # noqa: B023, E731
        if method in integrate.ADAPTIVE:
            continue  # their step sizes are numbers, which differences would see
        jt.check_grads(solve, T([0.5, -0.4]), T(1.5))


@pytest.mark.parametrize("adjoint", MODES)
@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_derivatives_by_the_times(T, close, method, adjoint):
    """y' = t y: y = y0 exp((b^2 - a^2) / 2)."""
    options = {"rtol": 1e-9, "atol": 1e-9} if method == "dopri5" else {"step": 0.01}
    f = lambda t: odeint(lambda y, t: y * t, 1.0, t, method=method, adjoint=adjoint, **options)[-1]  # noqa: E731
    exact = lambda t: jt.exp((t[2] ** 2 - t[0] ** 2) / 2.0)  # noqa: E731
    t = T([0.1, 0.5, 2.0])
    close(jt.grad(f)(t), jt.grad(exact)(t).numpy(), 1e-6)
    close(jt.hessian(f)(t), jt.hessian(exact)(t).numpy(), 2e-4)
    assert jt.grad(lambda t: odeint(decay, T(3.0), t, 1.0, adjoint=adjoint)[0])(T([1.0])).tolist() == [0.0]


@pytest.mark.parametrize("method", integrate.STIFF)
def test_stiff_equations_have_gradients(T, close, method):
    """y' = -k (y - cos t), whose solution is soon (k^2 cos t + k sin t) / (1 + k^2), whatever y0 is."""
    f = lambda y, t, k: -k * (y - jt.cos(t))  # noqa: E731
    solve = lambda k: odeint(f, T([0.0]), [0.0, 0.25, 0.5, 0.75, 1.0], k, method=method, rtol=1e-7, atol=1e-8)[-1, 0]  # noqa: E731
    exact = lambda k: (k * k * math.cos(1) + k * math.sin(1)) / (1.0 + k * k)  # noqa: E731
    y, g = jt.value_and_grad(solve)(T(30.0))
    want = jt.value_and_grad(exact)(T(30.0))
    close(y, want[0].numpy(), 1e-5)
    close(g, want[1].numpy(), 1e-5)
    close(jt.jvp(solve, (T(30.0),), (T(1.0),))[1], want[1].numpy(), 1e-5)


def test_an_adjoint_that_fails_says_what_to_do(T):
    """Its start is forgotten by exp(-100) in a unit of time, and backward it grows by as much, with more steps."""
    f = lambda y, t, k: -k * (y - jt.cos(t))  # noqa: E731
    solve = lambda k: odeint(f, T([0.0]), [0.0, 1.0], k, rtol=1e-3, atol=1e-3, max_steps=50)[-1, 0]  # noqa: E731
    with pytest.raises(
        IntegrationError, match=r"It is the adjoint that failed, which goes back from t=1 to 0.*jt\.jvp"
    ):
        jt.grad(solve)(T(100.0))


@pytest.mark.parametrize("adjoint", MODES)
def test_under_vmap(T, close, adjoint):
    rates, y0 = T([0.5, 1.0, 3.0]), T([[1.0, 2.0]] * 3)
    f = lambda y, r: odeint(decay, y, [0.0, 0.5, 1.0], r, adjoint=adjoint)[-1]  # noqa: E731
    exact = np.exp(-rates.numpy())[:, None] * y0.numpy()
    close(jt.vmap(f)(y0, rates), exact, 1e-6)
    close(jt.vmap(f, in_axes=(None, 0))(y0[0], rates), exact, 1e-6)
    close(jt.vmap(jt.grad(lambda r, y: jt.sum(f(y, r))))(rates, y0), -exact.sum(axis=1), 1e-6)
    close(jt.grad(lambda r: jt.sum(jt.vmap(f)(y0, r)))(rates), -exact.sum(axis=1), 1e-6)
    close(jt.vmap(jt.vmap(f, in_axes=(0, None)), in_axes=(None, 0))(y0, rates)[1], np.stack([exact[1]] * 3), 1e-6)


@pytest.mark.parametrize("adjoint", MODES)
def test_complex_states(T, close, adjoint):
    """y' = w y^2: y = y0 / (1 - w y0 t)."""
    solve = lambda w, y: odeint(lambda y, t, w: w * y * y, y, [0.0, 1.0], w, adjoint=adjoint, rtol=1e-9, atol=1e-9)[-1]  # noqa: E731
    exact = lambda w, y: y / (1.0 - w * y)  # noqa: E731
    args = T(0.3 + 0.2j), T(0.5 - 0.1j)
    for part in (jt.abs, jt.imag):
        got = jt.grad(lambda *a: part(solve(*a)), argnums=(0, 1))(*args)  # noqa: B023
        want = jt.grad(lambda *a: part(exact(*a)), argnums=(0, 1))(*args)  # noqa: B023
        close(jt.stack(got), jt.stack(want).numpy(), 1e-7)
    tangents = T(1j), T(1.0 + 0j)
    close(jt.jvp(solve, args, tangents)[1], jt.jvp(exact, args, tangents)[1].numpy(), 1e-7)
    turn = lambda w: jt.real(odeint(lambda y, t, w: 1j * w * y, T(1 + 0j), [0.0, 2.0], w, adjoint=adjoint)[-1])  # noqa: E731
    close(jt.grad(turn)(T(0.5)), -2 * np.sin(1.0), 1e-6)
    for method in ("LSODA", "Radau"):
        with pytest.raises(jt.DTypeError, match=f"{method} has no complex numbers; take method='BDF'"):
            odeint(decay, T(1 + 0j), [0.0, 1.0], 1.0, method=method)
    close(odeint(decay, T(1 + 0j), [0.0, 1.0], 1.0, method="BDF")[-1], np.exp(-1.0), 1e-5)


def test_parameters_of_every_kind(T, close):
    def f(y, t, p, n, name, none):
        assert (n, name, none) == (2, "text", None)
        return -p["rate"] * y + 0.0 * jt.astype(p["index"], jt.float64) * p["array"]

    p = {"rate": T(0.5), "index": T(3), "array": T(2.0)}
    for adjoint in (True, False):
        g = jt.grad(
            lambda r: odeint(f, T(1.0), [0.0, 1.0], {**p, "rate": r}, 2, "text", None, adjoint=adjoint)[-1]  # noqa: B023
        )(p["rate"])
        close(g, -math.exp(-0.5), 1e-6)


def test_closures(T, close):
    w = T(0.5, requires_grad=True)
    odeint(lambda y, t: -w * y, T(1.0), [0.0, 1.0], adjoint=False)[-1].backward()
    close(w.grad, -math.exp(-0.5), 1e-6)
    refused = pytest.raises(
        jt.GradientError, match=r"uses a tensor from around it.*pass it as a parameter.*adjoint=False"
    )
    with refused:
        odeint(lambda y, t: -w * y, T(1.0), [0.0, 1.0])
    with refused:
        jt.grad(lambda w: odeint(lambda y, t: w, T(1.0), [0.0, 1.0])[-1])(T(1.0))
    with refused:
        odeint(lambda y, t: -w * y, T(1.0), [0.0, 1.0], method="BDF")
    with refused:
        odeint(lambda y, t: w, T(1.0), [0.0, 1.0], method="BDF")
    with refused:
        jt.vmap(lambda w: odeint(lambda y, t: w * y, T(1.0), [0.0, 1.0])[-1])(T([1.0, 2.0]))
    with jt.no_grad():
        close(odeint(lambda y, t: -w * y, T(1.0), [0.0, 1.0])[-1], math.exp(-0.5), 1e-6)


def test_the_adjoint_keeps_no_steps(T):
    """What backward holds does not grow with the number of steps."""
    calls = []

    def f(y, t, w):
        calls.append(t)
        return -w * y * jt.cos(20.0 * t)

    def nodes(adjoint):
        y = odeint(f, T(1.0), [0.0, 10.0], T(0.5, requires_grad=True), adjoint=adjoint, rtol=1e-5, atol=1e-5)
        seen, todo = set(), [y.node]
        while todo:
            node = todo.pop()
            if node is not None and id(node) not in seen:
                seen.add(id(node))
                todo += getattr(node, "parents", ())
        return len(seen)

    assert nodes(adjoint=True) < 20 < len(calls)
    assert nodes(adjoint=False) > len(calls) / 2


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_solutions_that_end(T):
    with pytest.raises(IntegrationError, match=r"at t=1(\.0+\d+)? the step fell to .*blows up"):
        odeint(lambda y, t: y * y, T(1.0), [0.0, 2.0])
    with pytest.raises(IntegrationError, match=r"at t=1(\.0+\d*)?(0\.9+\d+)? the step fell to .*returns NaN"):
        odeint(lambda y, t: jt.sqrt(1.0 - t) * y, T(1.0), [0.0, 2.0])
    for method in ("dopri5", "BDF"):
        with pytest.raises(IntegrationError, match=r"not finite at the first time, t=0: look for NaN"):
            odeint(lambda y, t: jt.sqrt(y), T(-1.0), [0.0, 2.0], method=method)
    with pytest.raises(
        IntegrationError, match=r"max_steps=50 steps of dopri5 were not enough; it is at t=.*method='Radau'"
    ):
        odeint(lambda y, t: -1e5 * (y - jt.cos(t)), T(1.0), [0.0, 2.0], max_steps=50)
    with pytest.raises(IntegrationError, match=r"max_steps=5 steps of rk4 .*a larger step"):
        odeint(decay, T(1.0), [0.0, 2.0], 1.0, method="rk4", step=0.1, max_steps=5)
    with pytest.raises(IntegrationError, match=r"scipy's BDF stopped at t=(1|0\.99)"):
        odeint(lambda y, t: y * y, T(1.0), [0.0, 2.0], method="BDF", rtol=1e-4, atol=1e-4)
    with pytest.raises(
        IntegrationError, match=r"(max_steps=100 steps of LSODA were not enough; it is|stopped) at t=(1|0\.9)"
    ):
        odeint(lambda y, t: y * y, T(1.0), [0.0, 2.0], method="LSODA", max_steps=100)


def test_errors(T):
    ts = [0.0, 1.0]
    grow = lambda y, t: y  # noqa: E731
    with pytest.raises(jt.OpError, match="takes a function f.*got int"):
        odeint(3, 1.0, ts)
    with pytest.raises(jt.OpError, match="no method 'dopri'.*Did you mean 'dopri5'"):
        odeint(grow, 1.0, ts, method="dopri")
    with pytest.raises(jt.ShapeError, match=r"must rise or fall.*t\[1\]=2 and t\[2\]=1\. Sort it"):
        odeint(grow, 1.0, [0.0, 2.0, 1.0, 3.0])
    with pytest.raises(jt.ShapeError, match=r"t has shape \(\); expected one axis"):
        odeint(grow, 1.0, 1.0)
    with pytest.raises(jt.ShapeError, match=r"t has shape \(0,\)"):
        odeint(grow, 1.0, [])
    with pytest.raises(jt.ShapeError, match="t holds nan; expected finite"):
        odeint(grow, 1.0, [0.0, math.nan])
    with pytest.raises(jt.DTypeError, match="t has dtype complex128"):
        odeint(grow, 1.0, [0.0, 1j])
    with pytest.raises(jt.DTypeError, match=r"y0\[a\] has dtype int64.*jt\.astype"):
        odeint(grow, {"a": T([1])}, ts)
    with pytest.raises(jt.DTypeError, match="y0 is 'text'; expected tensors"):
        odeint(grow, "text", ts)
    with pytest.raises(jt.OpError, match=r"y0 is \{\}, which holds no tensor"):
        odeint(grow, {}, ts)
    with pytest.raises(jt.ShapeError, match=r"f returned shape \(2,\), and y has shape \(\)"):
        odeint(lambda y, t: jt.stack([y, y]), T(1.0), ts)
    with pytest.raises(jt.DTypeError, match=r"f returned float64, and y is float32: give y0"):
        odeint(lambda y, t: y * T([1.0]), T([1.0], "float32"), ts)
    with pytest.raises(jt.OpError, match="f returned a for a y0 of a, b; expected dy/dt in the containers"):
        odeint(lambda y, t: {"a": y["a"]}, {"a": T(1.0), "b": T(2.0)}, ts)
    with pytest.raises(jt.OpError, match=r"step=0\.1 is for the methods of fixed steps"):
        odeint(grow, 1.0, ts, step=0.1)
    with pytest.raises(jt.OpError, match="step=-1; expected a number above 0"):
        odeint(grow, 1.0, ts, method="rk4", step=-1)
    with pytest.raises(jt.OpError, match="rtol=-1.0; expected"):
        odeint(grow, 1.0, ts, rtol=-1)
    with pytest.raises(jt.OpError, match="are both 0"):
        odeint(grow, 1.0, ts, rtol=0, atol=0)
    with pytest.raises(jt.OpError, match="'BDF' runs in SciPy.*leave adjoint=True, or take one of dopri5"):
        odeint(grow, 1.0, ts, method="BDF", adjoint=False)
    for axes, rate, y0 in ((0, 1.0, T([1.0, 2.0])), (0, 1.0, T([1.0, 2.0]))):
        with pytest.raises(jt.TransformError, match="'BDF' under vmap: SciPy solves one system"):
            jt.vmap(lambda y, rate=rate: odeint(decay, y, ts, rate, method="BDF"), in_axes=axes)(y0)
    with pytest.raises(jt.TransformError, match="'BDF' under vmap"):
        jt.vmap(lambda r: odeint(decay, T(1.0), ts, r, method="BDF"))(T([1.0, 2.0]))
    with pytest.raises(jt.TransformError, match=r"odeint\(\) under vmap: its times are batched"):
        jt.vmap(lambda t: odeint(grow, 1.0, t))(T([[0.0, 1.0], [0.0, 2.0]]))


# -- quad -------------------------------------------------------------------------------------------------------------


def test_the_rule_is_exact_where_it_should_be():
    x, kronrod, gauss = (np.array(row) for row in zip(*integrate._RULE, strict=True))
    for k in range(23):
        exact = 2 / (k + 1) if k % 2 == 0 else 0.0
        assert kronrod @ x**k == pytest.approx(exact, abs=1e-15)
        assert k > 13 or gauss @ x**k == pytest.approx(exact, abs=1e-15)
    assert abs(gauss @ x**14 - 2 / 15) > 1e-6


@pytest.mark.parametrize(
    ("f", "a", "b", "exact"),
    [
        (lambda x: jt.sqrt(x), 0.0, 1.0, 2 / 3),
        (lambda x: jt.abs(x - 0.3), -1.0, 1.0, (1.3**2 + 0.7**2) / 2),
        (lambda x: jt.exp(-x * x), -math.inf, math.inf, math.sqrt(math.pi)),
        (lambda x: jt.exp(-x * x), math.inf, -math.inf, -math.sqrt(math.pi)),
        (lambda x: jt.exp(-x), 1.0, math.inf, math.exp(-1)),
        (lambda x: jt.exp(-x), math.inf, 1.0, -math.exp(-1)),
        (lambda x: jt.exp(x), -math.inf, 1.0, math.e),
        (lambda x: jt.exp(x), 1.0, -math.inf, -math.e),
        (lambda x: 3.0, 2, 0, -6.0),
        (lambda x: jt.cos(40.0 * x), 1.0, 1.0, 0.0),
    ],
)
def test_quad(T, close, f, a, b, exact):
    close(quad(f, T(float(a)), T(float(b))), exact, 1e-8)


def test_quad_of_arrays_and_its_derivatives(T, close):
    f = lambda w, a, b: quad(lambda x: jt.stack([jt.sin(w * x), x * w]), a, b)  # noqa: E731
    exact = lambda w, a, b: jt.stack([(jt.cos(w * a) - jt.cos(w * b)) / w, w * (b * b - a * a) / 2.0])  # noqa: E731
    args = T(2.0), T(0.5), T(3.0)
    close(f(*args), exact(*args).numpy(), 1e-9)
    got = jt.hessian(lambda *a: jt.sum(f(*a) ** 2), argnums=(0, 1, 2))(*args)
    want = jt.hessian(lambda *a: jt.sum(exact(*a) ** 2), argnums=(0, 1, 2))(*args)
    close(jt.stack([jt.stack(r) for r in got]), jt.stack([jt.stack(r) for r in want]).numpy(), 1e-7)
    close(jt.jvp(f, args, args)[1], jt.jvp(exact, args, args)[1].numpy(), 1e-8)
    ws = T([1.0, 2.0, 3.0])
    close(jt.vmap(lambda w: f(w, T(0.5), T(3.0)))(ws), np.stack([exact(w, T(0.5), T(3.0)).numpy() for w in ws]), 1e-8)
    tail = lambda w: quad(lambda x: jt.exp(-w * x), T(0.0), math.inf)  # noqa: E731
    close(jt.grad(tail)(T(2.0)), -0.25, 1e-7)
    single = quad(lambda x: jt.sin(x), T(0.0, "float32"), T(2.0, "float32"))
    assert single.dtype == jt.float32
    close(single, 1 - math.cos(2), 1e-5)
    assert quad(lambda x: jt.zeros((0, 2)), 0.0, 1.0).shape == (0, 2)


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_quad_errors(T):
    with pytest.raises(IntegrationError, match=r"limit=50 intervals leave an error .* worst is at 0\.3"):
        quad(lambda x: 1.0 / jt.abs(x - 0.3), 0.0, 1.0, limit=50)
    with pytest.raises(IntegrationError, match=r"f is not finite between 0 and 1 of the way from a=-1 to b=1"):
        quad(lambda x: jt.log(x), -1.0, 1.0)
    with pytest.raises(IntegrationError, match="both limits are inf"):
        quad(lambda x: x, math.inf, math.inf)
    with pytest.raises(IntegrationError, match="the limits are nan and 1"):
        quad(lambda x: x, math.nan, 1.0)
    with pytest.raises(jt.ShapeError, match=r"the limit b has shape \(2,\)"):
        quad(lambda x: x, 0.0, T([1.0, 2.0]))
    with pytest.raises(jt.OpError, match="f returned str; expected a tensor"):
        quad(lambda x: "text", 0.0, 1.0)
    with pytest.raises(jt.OpError, match="takes a function of one number; got float"):
        quad(1.0, 0.0, 1.0)
    with pytest.raises(
        jt.TransformError, match="limits 0 and 1, another 0 and inf: an infinite limit must be one in all"
    ):
        jt.vmap(lambda b: quad(lambda x: x, 0.0, b))(T([1.0, math.inf]))
    with pytest.raises(IntegrationError, match="the limits are 0 and nan"):
        jt.vmap(lambda b: quad(lambda x: x, 0.0, b))(T([1.0, math.nan]))


def test_quad_of_many_limits(T, close):
    """Under vmap limits may differ, so that integrals nest; and each example is as exact as alone."""
    bs = T([1.0, 2.0])
    close(jt.vmap(lambda b: quad(jt.exp, 0.0, b))(bs), np.expm1([1.0, 2.0]), 1e-12)
    close(jt.vmap(jt.grad(lambda b: quad(jt.exp, b, 3.0)))(bs), -np.exp([1.0, 2.0]), 1e-10)
    close(jt.vmap(lambda b: quad(lambda x: jt.exp(-x), b, math.inf))(bs), np.exp([-1.0, -2.0]), 1e-10)
    close(quad(lambda x: quad(lambda y: x * y, 0.0, x), 0.0, T(1.0)), 1 / 8, 1e-12)
    close(jt.vmap(lambda b: quad(jt.exp, 0.0, b))(T(np.zeros(0))).shape, (0,))
    # A large example does not loosen the others' tolerance.
    found = jt.vmap(lambda k: quad(lambda x: k * jt.sqrt(jt.abs(x - 0.3)), T(0.0), 1.0))(T([1.0, 1e12]))
    close(found[0], (0.3**1.5 + 0.7**1.5) / 1.5, 3e-8)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_quad_of_heavy_tails(T, close, sign):
    """An infinity is where floating-point numbers are dense: x**-1.1 has a tenth of its integral beyond 1e10."""
    tail = lambda x: jt.abs(x) ** -1.1  # noqa: E731
    close(quad(tail, T(sign), T(sign * math.inf)), sign * 10.0, 1e-5)
    close(quad(lambda x: (1.0 + jt.abs(x)) ** -1.1, -sign * math.inf, T(sign * math.inf)), sign * 20.0, 1e-5)


@pytest.mark.parametrize("adjoint", [True, False])
def test_second_derivatives_by_equal_times(T, close, adjoint):
    """y = y0 exp(sin t - sin t0) at times of which some are equal: they are still variables of their own."""
    weights = np.arange(1.0, 5.0)

    def total(t):
        found = odeint(lambda y, t: y * jt.cos(t), 1.3, t, adjoint=adjoint, rtol=1e-7, atol=1e-9)
        return jt.sum(found * T(weights[: t.shape[0]]))

    def exact(t):
        return 1.3 * jt.sum(jt.exp(jt.sin(t) - jt.sin(t[0])) * T(weights[: t.shape[0]]))

    for times in ([0.0, 1.0, 1.0, 2.0], [0.5, 0.5], [2.0, 2.0, 1.0, 1.0]):
        t = T(times)
        want = jt.hessian(exact)(t).numpy()
        for mode in ("forward", "reverse"):
            got = jt.jacobian(jt.grad(total), mode=mode)(t).numpy()
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 if adjoint else 1e-2)


def test_a_state_of_zero_without_atol(T, close):
    """0 / 0 in the error of a step was NaN, which no step is small enough for."""
    close(odeint(lambda y, t: -y, T(0.0), [0.0, 1.0], atol=0.0), [0.0, 0.0])
    close(odeint(lambda y, t: jt.cos(t) + 0.0 * y, T(0.0), [0.0, 1.0], atol=0.0)[-1], math.sin(1.0), 1e-7)


def test_max_steps_that_is_no_whole_number(T):
    with pytest.raises(IntegrationError, match=r"max_steps=1\.5 steps of dopri5 were not enough"):
        odeint(lambda y, t: -y, T(1.0), [0.0, 1.0], max_steps=1.5)


# -- samples ----------------------------------------------------------------------------------------------------------


def test_sums_of_samples(T, close):
    x = np.array([0.0, 0.5, 1.5, 2.0, 4.0, 4.5])
    parabola = lambda x: 3 * x**2 - x + 1  # noqa: E731
    area = lambda x: x**3 - x**2 / 2 + x  # noqa: E731
    for n in (3, 4, 5, 6):
        close(integrate.simpson(T(parabola(x[:n])), T(x[:n])), area(x[n - 1]), 1e-12)
        close(integrate.simpson(T(parabola(np.arange(n) * 0.1)), dx=0.1), area((n - 1) * 0.1), 1e-12)
    close(integrate.simpson(T([1.0, 3.0]), dx=2.0), 4.0)
    y = np.stack([2 * x + 1, x - 1])
    close(integrate.trapezoid(T(y), T(x)), [4.5**2 + 4.5, 4.5**2 / 2 - 4.5])
    close(integrate.trapezoid(T(y.T), T(x), axis=0), [4.5**2 + 4.5, 4.5**2 / 2 - 4.5])
    close(integrate.cumulative_trapezoid(T(y.T), T(x), axis=0, initial=0.0), np.stack([x**2 + x, x**2 / 2 - x], axis=1))
    close(integrate.cumulative_trapezoid(T(y), T(np.stack([x, x]))), np.stack([x**2 + x, x**2 / 2 - x])[:, 1:])
    close(jt.grad(lambda x: integrate.trapezoid(x * x, x))(T([0.0, 1.0, 3.0])), [-0.5, -1.5, 11.0])
    close(integrate.trapezoid(T([2.0])), 0.0)


def test_errors_of_samples(T):
    with pytest.raises(jt.ShapeError, match=r"trapezoid\(\): x has shape \(2,\), and y has 3 samples along axis -1"):
        integrate.trapezoid(T([1.0, 2.0, 3.0]), T([1.0, 2.0]))
    with pytest.raises(jt.AxisError, match=r"simpson\(\) has no axis 1 in samples of shape \(3,\)"):
        integrate.simpson(T([1.0, 2.0, 3.0]), axis=1)
