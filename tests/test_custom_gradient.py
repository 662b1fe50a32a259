"""custom_gradient and stop_gradient: rules in both modes, every order, under every transform; rules that leave the graph."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

import jitrench_core as jt

A = np.array([0.5, -1.0, 2.0])


@jt.custom_gradient
def sine(x):
    """The sine, by a library that knows nothing of tensors."""
    return jt.asarray(np.sin(x.numpy()), device=x.device)


@sine.vjp
def sine_vjp(g, x):
    return g * cosine(x)


@jt.custom_gradient
def cosine(x):
    return jt.asarray(np.cos(x.numpy()), device=x.device)


@cosine.vjp
def cosine_vjp(g, x):
    return -g * sine(x)


def test_a_library_that_knows_nothing_of_tensors_to_any_order(T, close):
    assert (sine.__name__, sine.__doc__.partition(",")[0]) == ("sine", "The sine")
    f = lambda x: jt.sum(sine(x * x))  # noqa: E731
    g = lambda x: jt.sum(jt.sin(x * x))  # noqa: E731
    close(f(T(A)), g(T(A)))
    close(jt.grad(f)(T(A)), jt.grad(g)(T(A)))
    close(jt.hessian(f)(T(A)), jt.hessian(g)(T(A)))
    close(jt.jacobian(jt.grad(f))(T(A)), jt.hessian(g)(T(A)))
    close(jt.grad(jt.grad(jt.grad(sine)))(T(0.3)), -np.cos(0.3))
    close(jt.jvp(sine, (T(A),), (T(A),))[1], np.cos(A) * A)
    x = T(A, requires_grad=True)
    f(x).backward()
    close(x.grad, 2 * A * np.cos(A**2))


@jt.custom_gradient
def scaled(x, w, /, power, *, name="none"):
    """w * x^power, and its derivatives multiplied by 10, 100: to see whose they are."""
    assert name in ("none", "given")
    return {"y": w["w"] * x**power, "n": jt.argmax(x)}


@scaled.vjp
def _(g, x, w, power, y):
    slope = power * w["w"] * x ** (power - 1)
    return 10.0 * g["y"] * slope, {"w": 100.0 * jt.sum(g["y"] * y["y"] / w["w"])}


@scaled.jvp
def _(t, x, w, power):
    dx, dw = t
    return {"y": 10.0 * power * w["w"] * x ** (power - 1) * dx + 100.0 * dw["w"] * x**power, "n": None}


def test_containers_attributes_and_several_results(T):
    x, w = T([1.0, 2.0], requires_grad=True), {"w": T(3.0, requires_grad=True)}
    out = scaled(x, w, 2, name="given")
    assert (out["y"].tolist(), out["n"].item(), out["n"].requires_grad) == ([3.0, 12.0], 1, False)
    jt.sum(out["y"]).backward()
    assert (x.grad.tolist(), w["w"].grad.item()) == ([60.0, 120.0], 500.0)
    _, dy = jt.jvp(lambda x, w: scaled(x, w, 2)["y"], (T([1.0, 2.0]), {"w": T(3.0)}), (T([1.0, 0.0]), {"w": T(1.0)}))
    assert dy.tolist() == [160.0, 400.0]
    _, dy = jt.jvp(lambda x: scaled(x, {"w": 3.0}, power=2), (T([1.0, 2.0]),), (T([1.0, 0.0]),))
    assert (dy["y"].tolist(), dy["n"].item()) == ([60.0, 0.0], 0)


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_under_vmap_with_arguments_that_all_share(T, close, axes):
    xs = T(np.arange(6.0).reshape(3, 2) + 1) if axes[0] == 0 else T([1.0, 2.0])
    ws = T([3.0, 4.0, 5.0]) if axes[1] == 0 else T(3.0)
    rows = [(xs[i] if axes[0] == 0 else xs, ws[i] if axes[1] == 0 else ws) for i in range(3)]
    f = lambda x, w: jt.sum(scaled(x, {"w": w}, 2)["y"] ** 2)  # noqa: E731
    close(jt.vmap(f, in_axes=axes)(xs, ws), np.array([f(*row).item() for row in rows]))
    inside = jt.vmap(jt.grad(f, argnums=(0, 1)), in_axes=axes)(xs, ws)
    loop = [jt.grad(f, argnums=(0, 1))(*row) for row in rows]
    close(inside[0], np.stack([g[0].numpy() for g in loop]))
    close(inside[1], np.stack([g[1].numpy() for g in loop]))
    outside = jt.grad(lambda x, w: jt.sum(jt.vmap(f, in_axes=axes)(x, w)), argnums=(0, 1))(xs, ws)
    for k in (0, 1):
        want = np.stack([g[k].numpy() for g in loop])
        close(outside[k], want if axes[k] == 0 else want.sum(axis=0))
    t = jt.ones_like(xs)
    moved = jt.vmap(lambda x, w, t: jt.jvp(lambda x: f(x, w), (x,), (t,))[1], in_axes=(*axes, axes[0]))(xs, ws, t)
    close(moved, np.array([g[0].numpy().sum() for g in loop]))


def test_a_vmap_in_a_vmap(T, close):
    @jt.custom_gradient
    def times(x, z):
        return x * z

    @times.vjp
    def _(g, x, z):
        return g * z * 10.0, g * x

    a, b = T([1.0, 2.0]), T([3.0, 4.0, 5.0])
    table = jt.vmap(jt.vmap(times, in_axes=(None, 0)), in_axes=(0, None))
    close(table(a, b), np.outer([1, 2], [3, 4, 5]))
    ga, gb = jt.grad(lambda a, b: jt.sum(table(a, b)), argnums=(0, 1))(a, b)
    assert (ga.tolist(), gb.tolist()) == ([120.0, 120.0], [3.0, 3.0, 3.0])


def test_a_straight_through_estimator(T):
    rounded = jt.custom_gradient(lambda x: jt.round(x), vjp=lambda g: g, jvp=lambda t: t)
    f = lambda x: rounded(x) ** 2  # noqa: E731
    assert jt.grad(f)(T(1.7)).item() == 4.0
    assert jt.jvp(f, (T(1.7),), (T(1.0),))[1].item() == 4.0
    assert jt.grad(jt.grad(f))(T(1.7)).item() == 2.0
    assert jt.hessian(f)(T(1.7)).item() == 2.0


def test_python_numbers_methods_and_constants(T):
    class Model:
        factor = 3.0

        @jt.custom_gradient
        def f(self, x, n=2):
            return self.factor * x**n

        @f.vjp
        def _(g, self, x, n):
            return None, g * self.factor * n * x ** (n - 1), None

    assert jt.grad(Model().f)(T(2.0)).item() == 12.0
    assert jt.grad(lambda x: Model().f(x, 3))(T(2.0)).item() == 36.0
    assert Model().f(2.0) == 12.0
    assert sine(np.array([0.0])).tolist() == [0.0]
    constant = jt.custom_gradient(lambda x: 5.0, vjp=lambda g: 7.0)
    assert jt.grad(constant)(T(2.0)).item() == 7.0


def test_results_in_a_named_tuple_and_variable_arguments(T):
    Both = namedtuple("Both", "total last")

    @jt.custom_gradient
    def f(*xs):
        return Both(xs[0] + xs[1], xs[-1] * 1.0)

    @f.vjp
    def _(g, xs):
        return tuple(g.total * (10.0 + i) if i < 2 else g.last for i in range(len(xs)))

    got = jt.grad(lambda a, b, c: f(a, b, c).total + f(a, b, c).last, argnums=(0, 1, 2))(T(1.0), T(2.0), T(3.0))
    assert [g.item() for g in got] == [10.0, 11.0, 1.0]


def test_closures_in_rules_are_differentiated(T):
    w = T(2.0, requires_grad=True)
    f = jt.custom_gradient(lambda x: x * 1.0, vjp=lambda g: g * w)
    slope = jt.grad(f)(T(1.0))
    assert slope.item() == 2.0
    slope.backward()
    assert w.grad.item() == 1.0


def test_float32_and_complex_numbers(T, close):
    f = jt.custom_gradient(lambda x: x * x, vjp=lambda g, x: g * T(2.0) * x, jvp=lambda t, x: t * T(2.0) * x)
    x = T([1.0, 2.0], dtype="float32")
    assert jt.grad(lambda x: jt.sum(f(x)))(x).dtype == jt.float32
    y, dy = jt.jvp(f, (x,), (x,))
    assert (y.dtype, dy.dtype, dy.tolist()) == (jt.float32, jt.float32, [2.0, 8.0])
    z = np.array([1 + 2j, 0.5 - 1j])
    g = jt.custom_gradient(lambda z: z * z, vjp=lambda g, z: g * 2.0 * z)  # no conj, as in an op
    close(jt.grad(lambda z: jt.sum(jt.real(g(z))))(T(z)), np.conj(2 * z))
    close(jt.jvp(g, (T(z),), (T(z),))[1], 2 * z * z)
    close(jt.jacobian(g)(T(z)), np.diag(2 * z))


def test_calls_die_without_the_garbage_collector(T):
    import gc

    f = jt.custom_gradient(lambda x: x * x, vjp=lambda g, x: g * 2.0 * x, jvp=lambda t, x: t * 2.0 * x)
    x = T([1.0, 2.0], requires_grad=True)

    def run():
        jt.sum(f(x)).backward()
        jt.jvp(f, (T([1.0, 2.0]),), (T([1.0, 2.0]),))
        jt.vmap(jt.grad(f))(T([1.0, 2.0]))

    run()
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(20):
            run()
        assert len(gc.get_objects()) - before < 20
    finally:
        gc.enable()


# -- rules that leave the graph ---------------------------------------------------------------------------------------


def by_numpy(g, x):
    return g * jt.asarray(np.cos(x.numpy()), device=x.device)


def by_detach(g, x):
    return g * jt.cos(x.detach())


def by_copying(g, x):
    return g * jt.cos(jt.tensor(x))


def by_floats(g, x):
    return g * jt.asarray([float(np.cos(v)) for v in x.tolist()], device=x.device)


def by_numpy_alone(g, x):
    return jt.asarray(g.numpy() * np.cos(x.numpy()), device=x.device)


def by_output(g, y):
    return g * jt.asarray(np.sqrt(1 - y.numpy() ** 2), device=y.device)


@pytest.mark.parametrize("rule", [by_numpy, by_detach, by_copying, by_floats, by_numpy_alone, by_output])
def test_a_rule_that_leaves_the_graph_raises_at_second_order(T, close, rule):
    f = jt.custom_gradient(lambda x: jt.sin(x), vjp=rule)
    v = np.array([0.5, 1.0])  # cos is positive, for by_output
    x = T(v)
    close(jt.grad(lambda x: jt.sum(f(x)))(x), np.cos(v))
    tracked = T(v, requires_grad=True)
    jt.sum(f(tracked)).backward()
    close(tracked.grad, np.cos(v))
    close(jt.jacobian(f)(x), np.diag(np.cos(v)))
    refused = pytest.raises(jt.GradientError, match=r"the vjp rule of <lambda> takes values out of the graph by \.")
    g = jt.grad(lambda x: jt.sum(f(x)))
    for second in (
        lambda: jt.hessian(lambda x: jt.sum(f(x)))(x),
        lambda: jt.jacobian(g)(x),
        lambda: jt.jvp(g, (x,), (x,)),
        lambda: jt.grad(lambda x: jt.sum(g(x)))(x),
        lambda: jt.sum(g(tracked)).backward(),
        lambda: jt.jvp(f, (x,), (x,)),  # transposes the rule
        lambda: jt.linearize(f, x)[1](x),
        lambda: jt.grad(lambda w: jt.sum(g(x * w)))(T(1.0)),
        lambda: jt.grad(lambda w: jt.sum(jt.grad(lambda x: jt.sum(f(x) * w))(x)))(T(1.0)),
    ):
        with refused:
            second()


def test_what_a_rule_may_look_at(T):
    def rule(g, x):
        if x > 1.0 and x.shape == () and int(jt.argmax(jt.stack([x, x]))) == 0:
            return g * 2.0 * x
        return g * jt.stop_gradient(x)

    f = jt.custom_gradient(lambda x: x * x, vjp=rule)
    assert jt.grad(jt.grad(f))(T(3.0)).item() == 2.0
    assert jt.grad(jt.grad(f))(T(0.5)).item() == 0.0  # what stop_gradient says
    assert jt.hessian(f)(T(0.5)).item() == 0.0


def test_a_jvp_rule_that_leaves_the_graph(T):
    f = jt.custom_gradient(lambda x: jt.sin(x), vjp=lambda g, x: g * jt.cos(x), jvp=lambda t, x: t * float(jt.cos(x)))
    push = lambda x: jt.jvp(f, (x,), (1.0,))[1]  # noqa: E731
    assert push(T(0.5)).item() == pytest.approx(np.cos(0.5))
    for second in (jt.grad(push), jt.jacobian(push, mode="forward")):
        with pytest.raises(jt.GradientError, match="the jvp rule of <lambda> takes values out of the graph"):
            second(T(0.5))


def test_a_jvp_rule_where_the_vjp_leaves_the_graph(T):
    f = jt.custom_gradient(lambda x: jt.sin(x), vjp=by_numpy, jvp=lambda t, x: t * jt.cos(x))
    assert jt.jvp(f, (T(0.5),), (T(1.0),))[1].item() == pytest.approx(np.cos(0.5))
    assert jt.jacobian(jt.jacobian(f, mode="forward"), mode="forward")(T(0.5)).item() == pytest.approx(-np.sin(0.5))


def test_a_rule_that_records_nothing_raises_at_second_order(T):
    def unrecorded(g, x):
        with jt.no_grad():
            c = jt.cos(x)
        return g * c

    for rule in (unrecorded, jt.no_grad(lambda g, x: g * jt.cos(x))):
        f = jt.custom_gradient(lambda x: jt.sin(x), vjp=rule)
        assert jt.grad(f)(T(0.5)).item() == pytest.approx(np.cos(0.5))
        for second in (jt.grad(jt.grad(f)), jt.grad(jt.grad(jt.checkpoint(f))), jt.hessian(f)):
            with pytest.raises(jt.GradientError, match=r"takes values out of the graph by jt\.no_grad\(\)"):
                second(T(0.5))

    def masked(g, x):
        with jt.no_grad():
            positive = x > 0.0
        return jt.where(positive, g * 2.0 * x, 0.0)

    f = jt.custom_gradient(lambda x: jt.where(x > 0.0, x * x, 0.0), vjp=masked)
    assert jt.grad(jt.grad(f))(T(3.0)).item() == 2.0
    with jt.no_grad():
        push = lambda x: jt.jvp(sine_by_jvp, (x,), (1.0,))[1]  # noqa: E731
        assert jt.jvp(push, (T(0.5),), (T(1.0),))[1].item() == pytest.approx(-np.sin(0.5))


sine_by_jvp = jt.custom_gradient(lambda x: jt.sin(x), vjp=lambda g, x: g * jt.cos(x), jvp=lambda t, x: t * jt.cos(x))


def test_a_decorated_rule_asks_for_what_the_function_inside_asks_for(T):
    f = jt.custom_gradient(lambda x: jt.sin(x), vjp=jt.checkpoint(lambda g, x: g * jt.cos(x)))
    assert jt.grad(jt.grad(f))(T(0.5)).item() == pytest.approx(-np.sin(0.5))


def test_values_kept_by_f_do_not_reach_the_rule(T):
    kept = []
    f = jt.custom_gradient(lambda x: (kept.append(x), x * x)[1], vjp=lambda g: g * 2.0 * kept[-1])
    with pytest.raises(jt.TransformError, match="inside a custom_gradient that has ended"):
        jt.grad(f)(T(3.0))


# -- errors -----------------------------------------------------------------------------------------------------------


def test_f_must_not_close_over_tracked_tensors(T):
    w = T(2.0, requires_grad=True)
    f = jt.custom_gradient(lambda x: x * w, vjp=lambda g: g)
    g = jt.custom_gradient(lambda x: w * 2.0, vjp=lambda g: g)
    for call in (
        lambda: f(T(1.0)),
        lambda: jt.grad(f)(T(1.0)),
        lambda: g(T(1.0)),
        lambda: jt.grad(lambda v: jt.custom_gradient(lambda x: x * v, vjp=lambda g: g)(T(1.0)))(T(1.0)),
        lambda: jt.vmap(lambda v: jt.custom_gradient(lambda x: x * v, vjp=lambda g: g)(T(1.0)))(T([1.0])),
        lambda: jt.jvp(lambda v: jt.custom_gradient(lambda x: x * v, vjp=lambda g: g)(v), (T(1.0),), (T(1.0),)),
    ):
        with pytest.raises(
            jt.GradientError, match="uses a tensor from around it that requires a gradient.*as an argument"
        ):
            call()
    with jt.no_grad():
        assert f(T(3.0)).item() == 6.0
    constant = T(5.0)
    assert jt.grad(jt.custom_gradient(lambda x: x * constant, vjp=lambda g: g * 5.0))(T(1.0)).item() == 5.0


def test_errors(T):
    x = T([1.0, 2.0], requires_grad=True)
    bare = jt.custom_gradient(lambda x: x)
    with pytest.raises(jt.OpError, match=r"<lambda> has no derivative yet: declare one, @<lambda>\.vjp"):
        bare(x)
    with pytest.raises(jt.OpError, match=r"asks for 'z'; known names are g, y, x\."):
        bare.vjp(lambda g, z: g)
    with pytest.raises(jt.OpError, match=r"the jvp rule of <lambda> asks for 'g'; known names are t, y, x\."):
        bare.jvp(lambda g: g)
    with pytest.raises(
        jt.OpError, match="has a parameter 'y', which in its vjp rule means its result: give .* another"
    ):
        jt.custom_gradient(lambda x, y: x * y).vjp(lambda g: g)
    with pytest.raises(jt.OpError, match="has a parameter 't', which in its jvp rule means what comes in"):
        jt.custom_gradient(lambda x, t: x * t).jvp(lambda t: t)
    with pytest.raises(jt.OpError, match="vjp rule of <lambda> is 3; expected a function"):
        bare.vjp(3)
    with pytest.raises(jt.OpError, match="custom_gradient takes a function; got Tensor"):
        jt.custom_gradient(x)
    with pytest.raises(jt.GradientError, match=r"has a jvp rule alone.*add @<lambda>\.vjp"):
        jt.custom_gradient(lambda x: x, jvp=lambda t: t)(x)
    two = jt.custom_gradient(lambda x, w: x * w, vjp=lambda g, w: g * w)
    with pytest.raises(jt.OpError, match=r"must return a tuple of 2 gradients, for x, w .*; got Tensor"):
        two(x, 2.0).sum().backward()
    with pytest.raises(jt.ShapeError, match=r"returned a gradient of shape \(\) for an input of shape \(2,\)"):
        jt.custom_gradient(lambda x: x * 1.0, vjp=lambda g: g.sum())(x).sum().backward()
    with pytest.raises(jt.ShapeError, match=r"tangent of shape \(\) for a result of shape \(2,\)"):
        jt.jvp(jt.custom_gradient(lambda x: x * 1.0, jvp=lambda t: t.sum()), (T([1.0, 2.0]),), (T([1.0, 2.0]),))
    with pytest.raises(jt.OpError, match="1 argument 'p' and 1 gradient.*same structure"):
        jt.custom_gradient(lambda p: p["w"] * 1.0, vjp=lambda g: {"v": g})({"w": x}).sum().backward()
    attribute = jt.custom_gradient(lambda x, *, w: x * w, vjp=lambda g, w: g * w)
    with pytest.raises(jt.GradientError, match=r"requires a gradient for 'w', which is an attribute"):
        attribute(T(1.0), w=x)
    assert jt.grad(lambda x: jt.sum(attribute(x, w=T([1.0, 2.0]))))(T([3.0, 4.0])).tolist() == [1.0, 2.0]
    with pytest.raises(jt.OpError, match="returned no tensor"):
        jt.custom_gradient(lambda x: None, vjp=lambda g: g)(x)


# -- stop_gradient ----------------------------------------------------------------------------------------------------


def test_stop_gradient(T):
    f = lambda x: x * jt.stop_gradient({"a": x, "b": [x * x, "text", 3]})["b"][0]  # noqa: E731
    assert jt.grad(f)(T(3.0)).item() == 9.0
    assert jt.jvp(f, (T(3.0),), (T(1.0),))[1].item() == 9.0
    assert jt.vmap(jt.grad(f))(T([1.0, 3.0])).tolist() == [1.0, 9.0]
    assert jt.grad(lambda v: jt.vmap(f)(v).sum())(T([1.0, 3.0])).tolist() == [1.0, 9.0]
    assert jt.hessian(f)(T(3.0)).item() == 0.0
    assert not jt.stop_gradient(T(1.0, requires_grad=True)).requires_grad
    assert jt.stop_gradient((1, "text", None)) == (1, "text", None)
    assert jt.stop_gradient(T([1, 2])).dtype == jt.int64
    w = T(2.0, requires_grad=True)
    assert not jt.vmap(lambda x: jt.stop_gradient(x * w))(T([1.0])).requires_grad
    x = T([1.0, 2.0])
    y = jt.stop_gradient(x)
    y += 1.0
    assert x.tolist() == [1.0, 2.0]
