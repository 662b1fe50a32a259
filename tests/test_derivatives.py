"""vjp, linearize, jacobian, hessian and hvp: values, containers, how often f runs, complex numbers, errors."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

import jitrench_core as jt

A = np.array([0.5, -1.0, 2.0])
Pair = namedtuple("Pair", "left right")


@dataclass
class Model:
    w: object
    b: object


def counted(f):
    """f, and the list that grows with each of its runs."""
    runs = []

    def g(*args):
        runs.append(args)
        return f(*args)

    return g, runs


def rolled(v):
    """x[i] * sin(x[i + 1]), cyclically, and its Jacobian."""
    n, nxt = len(v), np.roll(v, -1)
    return v * np.sin(nxt), np.diag(np.sin(nxt)) + np.roll(np.eye(n), 1, axis=1) * (v * np.cos(nxt))[:, None]


def roll(x):
    return x * jt.sin(jt.concat([x[1:], x[:1]]))


# -- vjp ------------------------------------------------------------------------------------------------------------


def test_vjp_is_the_transposed_jacobian_times_weights(T, close):
    value, jacobian = rolled(A)
    f, runs = counted(roll)
    y, pullback = jt.vjp(f, T(A))
    close(y, value)
    for w in np.random.default_rng(0).normal(size=(3, 3)):
        (g,) = pullback(T(w))
        close(g, w @ jacobian)
    close(jt.vmap(lambda w: pullback(w)[0])(T(np.eye(3))), jacobian)
    assert len(runs) == 1
    assert not y.requires_grad
    assert not g.requires_grad


def test_vjp_of_containers(T):
    f = lambda m, q: Model(m["w"] * q.left, [m["w"] * q.right, m["b"][0]])  # noqa: E731
    y, pullback = jt.vjp(f, {"w": T(2.0), "b": (T(3.0),)}, Pair(T(5.0), T(7.0)))
    assert (y.w.item(), y.b[0].item(), y.b[1].item()) == (10.0, 14.0, 3.0)
    gm, gq = pullback(Model(T(1.0), [T(10.0), T(100.0)]))
    assert (gm["w"].item(), gm["b"][0].item(), type(gq), gq.left.item(), gq.right.item()) == (
        75.0,
        100.0,
        Pair,
        2.0,
        20.0,
    )
    gm, gq = pullback(Model(None, [2.0, None]))
    assert (gm["w"].item(), gm["b"][0].item(), gq.left.item(), gq.right.item()) == (14.0, 0.0, 0.0, 4.0)


def test_vjp_of_several_results_of_which_some_are_integers(T):
    y, pullback = jt.vjp(lambda x: (x * x, jt.argmax(x), 3.0), T([1.0, 5.0]))
    assert (y[0].tolist(), y[1].item(), y[2].item()) == ([1.0, 25.0], 1, 3.0)
    assert pullback((T([1.0, 1.0]), None, None))[0].tolist() == [2.0, 10.0]
    assert pullback((T([1.0, 1.0]), T(1), 1.0))[0].tolist() == [2.0, 10.0]


def test_vjp_passes_aux_on(T):
    w = T(2.0, requires_grad=True)
    y, pullback, aux = jt.vjp(lambda x: (x * x, {"x": x * w, "n": 3}), T(3.0), has_aux=True)
    assert (y.item(), pullback(1.0)[0].item(), aux["x"].item(), aux["n"]) == (9.0, 6.0, 6.0, 3)
    aux["x"].backward()
    assert w.grad.item() == 3.0


def test_a_pullback_is_differentiable(T):
    def f(x, w):
        return jt.vjp(lambda z: z**3 * w, x)[1](x)[0]  # 3 x^3 w

    assert jt.grad(f, argnums=(0, 1))(T(2.0), T(5.0))[0].item() == 180.0
    assert jt.grad(f, argnums=(0, 1))(T(2.0), T(5.0))[1].item() == 24.0
    assert jt.jvp(f, (T(2.0), T(5.0)), (T(1.0), T(0.0)))[1].item() == 180.0
    w = T(5.0, requires_grad=True)
    y, pullback = jt.vjp(lambda z: z * z * w, T(2.0))
    (pullback(1.0)[0] + y).backward(retain_graph=True)
    assert w.grad.item() == 8.0


def test_what_f_does_with_its_argument_afterwards_is_not_seen(T):
    def f(x):
        y = x * x
        x *= 100.0
        return y

    x = T([1.0, 2.0])
    y, pullback = jt.vjp(f, x)
    y += 5.0
    assert (pullback(T([1.0, 1.0]))[0].tolist(), x.tolist()) == ([2.0, 4.0], [1.0, 2.0])
    assert jt.vjp(lambda x: x, x)[1](T([1.0, 2.0]))[0].tolist() == [1.0, 2.0]
    assert jt.vjp(lambda x: 3.0, x)[1](1.0)[0].tolist() == [0.0, 0.0]


def test_errors_of_vjp(T, backend):
    x = T([1.0, 2.0])
    _, pullback = jt.vjp(lambda x: {"y": x}, x)
    with pytest.raises(jt.OpError, match="1 result and 1 cotangent.*same structure; without a partner are y, z"):
        pullback({"z": x})
    with pytest.raises(jt.ShapeError, match=r"cotangent of shape \(\) came for a result of shape \(2,\)"):
        pullback({"y": 1.0})
    with pytest.raises(jt.GradientError, match="cotangent of complex128 came for a result of float64"):
        pullback({"y": T([1j, 1j])})
    other = "strict:1" if backend != "strict:1" else "strict:0"
    with pytest.raises(jt.DeviceMismatchError, match=rf"cotangent on {other} came for a result on {backend}"):
        pullback({"y": jt.ones(2, device=other)})
    with pytest.raises(jt.GradientError, match="tensor of int64 cannot require a gradient"):
        jt.vjp(lambda x: x, T([1, 2]))
    with pytest.raises(jt.OpError, match=r"vjp takes a function.*got Tensor"):
        jt.vjp(x, x)
    with pytest.raises(jt.OpError, match="vjp with has_aux=True needs a function that returns a pair"):
        jt.vjp(lambda x: x, x, has_aux=True)


# -- linearize ------------------------------------------------------------------------------------------------------


def test_linearize_runs_f_once(T, close):
    value, jacobian = rolled(A)
    f, runs = counted(roll)
    y, f_jvp = jt.linearize(f, T(A))
    close(y, value)
    for t in np.random.default_rng(0).normal(size=(3, 3)):
        close(f_jvp(T(t)), jacobian @ t)
    close(jt.vmap(f_jvp)(T(np.eye(3))), jacobian.T)
    assert len(runs) == 1


def test_linearize_containers(T):
    f = lambda p, x: {"a": p["w"] * x, "b": 3.0, "c": jt.argmax(x), "d": x}  # noqa: E731
    y, f_jvp, aux = jt.linearize(lambda *a: (f(*a), "aside"), {"w": T(2.0)}, T([5.0, 6.0]), has_aux=True)
    dy = f_jvp({"w": T(1.0)}, T([10.0, 0.0]))
    assert (y["a"].tolist(), y["b"].item(), y["c"].item(), aux) == ([10.0, 12.0], 3.0, 1, "aside")
    assert (dy["a"].tolist(), dy["b"].item(), dy["c"].item(), dy["d"].tolist()) == ([25.0, 6.0], 0.0, 0, [10.0, 0.0])
    assert f_jvp(None, T([1.0, 1.0]))["a"].tolist() == [2.0, 2.0]
    assert f_jvp(None, None)["d"].tolist() == [0.0, 0.0]
    with pytest.raises(jt.ShapeError, match=r"tangent of shape \(\) came for a primal of shape \(2,\)"):
        f_jvp({"w": 1.0}, 1.0)
    with pytest.raises(jt.OpError, match="2 primal and 1 tangent"):
        f_jvp({"w": 1.0})


def test_a_linearized_function_is_differentiable(T):
    f = lambda x, t: jt.linearize(lambda z: z**3, x)[1](t)  # noqa: E731  3 x^2 t
    assert [g.item() for g in jt.grad(f, argnums=(0, 1))(T(2.0), T(5.0))] == [60.0, 12.0]
    assert jt.jvp(f, (T(2.0), T(5.0)), (T(1.0), T(1.0)))[1].item() == 72.0


# -- jacobian ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_jacobian_against_the_closed_form(T, close, mode):
    _, jacobian = rolled(A)
    close(jt.jacobian(roll, mode=mode)(T(A)), jacobian)
    m = np.arange(6.0).reshape(2, 3) + 1
    got = jt.jacobian(lambda m: m @ m.T, mode=mode)(T(m))
    e = np.eye(2)
    close(got, np.einsum("ia,jb->ijab", e, m) + np.einsum("ja,ib->ijab", e, m))
    close(jt.jacobian(lambda m, x: m @ x, argnums=(1, 0), mode=mode)(T(m), T(A))[0], m)
    assert jt.jacobian(jt.sin, mode=mode)(0.0).item() == 1.0
    assert jt.jacobian(lambda x: x * 2, mode=mode)(3).item() == 2.0
    close(jt.jacobian(lambda x: T([1.0, 2.0]), mode=mode)(T(A)), np.zeros((2, 3)))
    assert jt.jacobian(mode=mode)(roll)(T(A, dtype="float32")).dtype == jt.float32


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_jacobian_of_containers(T, mode):
    f = lambda m, k: {"u": m.w * m.b["x"], "v": (jt.sum(m.w), k * 2.0)}  # noqa: E731
    m = Model(T([1.0, 2.0]), {"x": T(3.0)})
    got = jt.jacobian(f, mode=mode)(m, T(1.0))
    assert got["u"].w.tolist() == [[3.0, 0.0], [0.0, 3.0]]
    assert got["u"].b["x"].tolist() == [1.0, 2.0]
    assert (got["v"][0].w.tolist(), got["v"][0].b["x"].item()) == ([1.0, 1.0], 0.0)
    assert (got["v"][1].w.tolist(), got["v"][1].b["x"].item()) == ([0.0, 0.0], 0.0)
    got = jt.jacobian(f, argnums=(1, 0), mode=mode)(m, T(1.0))
    assert (type(got["u"]), got["v"][1][0].item(), got["v"][1][1].w.tolist()) == (tuple, 2.0, [0.0, 0.0])


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_jacobian_passes_aux_on(T, mode):
    f = lambda x: (x * x, {"sum": jt.sum(x), "name": "aside", "none": None})  # noqa: E731
    got, aux = jt.jacobian(f, mode=mode, has_aux=True)(T([1.0, 2.0]))
    assert got.tolist() == [[2.0, 0.0], [0.0, 4.0]]
    assert (aux["sum"].item(), aux["name"], aux["none"], aux["sum"].requires_grad) == (3.0, "aside", None, False)


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_jacobian_of_nothing(T, mode):
    empty = T(np.zeros((0, 2)))
    assert jt.jacobian(lambda x: x * 2.0, mode=mode)(empty).shape == (0, 2, 0, 2)
    assert jt.jacobian(lambda x: jt.sum(x), mode=mode)(empty).shape == (0, 2)
    got = jt.jacobian(lambda x, y: (y, x), argnums=(0, 1), mode=mode)(empty, T([1.0]))
    assert [[block.shape for block in row] for row in got] == [[(1, 0, 2), (1, 1)], [(0, 2, 0, 2), (0, 2, 1)]]


@jt.op(linear=("x",), vjp=lambda g: tripled(g))
def tripled(xp, x, /):
    """3 x, by way of Python's numbers, which batches do not have."""
    return xp.asarray([3.0 * float(v) for v in x], device=x.device)


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_jacobian_of_an_op_that_cannot_be_batched(T, close, mode):
    with pytest.raises((jt.TransformError, TypeError)):
        jt.vmap(tripled)(T([[1.0, 2.0]]))
    f, runs = counted(lambda x: (jt.sin(tripled(x)), {"first": x[0] * 2.0}))
    got, aux = jt.jacobian(lambda x: (f(x), "aside"), mode=mode, has_aux=True)(T(A))
    close(got[0], np.diag(3 * np.cos(3 * A)))
    close(got[1]["first"], [2.0, 0.0, 0.0])
    assert aux == "aside"
    assert len(runs) == (1 if mode == "reverse" else 4)  # tried at once, then column by column
    close(jt.hessian(lambda x: jt.sum(tripled(x) ** 2))(T(A)), 18 * np.eye(3))


def test_the_loop_draws_the_same_numbers_for_each_column(T, close):
    noise = jt.random.Generator(3)
    seen = []

    def f(x):
        seen.append(noise.normal((3,)).numpy())
        return tripled(x) * T(seen[-1])

    close(jt.jacobian(f, mode="forward")(T(A)), np.diag(3 * seen[-1]))
    assert (seen[1] == seen[3]).all()
    assert (seen[0] == seen[1]).all()  # what was tried at once has drawn, too
    assert (seen[0] == jt.random.Generator(3).normal((3,)).numpy()).all()
    assert (noise.normal((3,)).numpy() != seen[3]).all()


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_what_f_raises_comes_through(T, mode):
    with pytest.raises(jt.ShapeError, match="do not broadcast"):
        jt.jacobian(lambda x: x + T([1.0, 2.0]), mode=mode)(T(A))


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_a_result_that_left_the_graph_has_no_jacobian(T, mode):
    def filled(x):
        y = np.zeros(2)
        y[0] = x[1].item() if mode == "reverse" else 1.0
        return y

    for f, got in ((filled, "ndarray"), (lambda x: 3.0, "float")):
        with pytest.raises(jt.GradientError, match=f"jacobian needs a function.* this one returned {got}, .*jt.stack"):
            jt.jacobian(f, mode=mode)(T([1.0, 2.0]))
    with pytest.raises(jt.GradientError, match="this one returned ndarray"):
        jt.jacobian(lambda x: (filled(x), 1), mode=mode, has_aux=True)(T([1.0, 2.0]))


def test_errors_of_jacobian(T):
    x = T(A)
    with pytest.raises(jt.OpError, match="mode='reverse' and mode='forward'; got mode='sideways'"):
        jt.jacobian(roll, mode="sideways")
    with pytest.raises(jt.OpError, match=r"jacobian takes a function, as in jt\.jacobian\(f\)\(x\); got Tensor"):
        jt.jacobian(x)
    with pytest.raises(jt.OpError, match="jacobian: argnums=1 but the function got 1 positional"):
        jt.jacobian(roll, argnums=1)(x)
    for mode in ("reverse", "forward"):
        with pytest.raises(jt.GradientError, match="jacobian of a result of int64"):
            jt.jacobian(jt.argmax, mode=mode)(x)
        with pytest.raises(jt.GradientError, match=r"int64"):
            jt.jacobian(lambda x: x * 1.0, mode=mode)(T([1, 2]))
    with pytest.raises(jt.GradientError, match="real result of complex arguments.*mode='reverse'"):
        jt.jacobian(jt.abs, mode="forward")(T(1 + 1j))


# -- hessian and hvp ----------------------------------------------------------------------------------------------------


def test_hessian_of_containers(T):
    f = lambda m: jt.sum(m.w * m.w) * m.b + m.b**3  # noqa: E731
    got = jt.hessian(f)(Model(T([1.0, 2.0]), T(3.0)))
    assert got.w.w.tolist() == [[6.0, 0.0], [0.0, 6.0]]
    assert (got.w.b.tolist(), got.b.w.tolist(), got.b.b.item()) == ([2.0, 4.0], [2.0, 4.0], 18.0)
    f = lambda x, y: (x * x * y, "aside")  # noqa: E731
    rows, aux = jt.hessian(f, argnums=(0, 1), has_aux=True)(T(2.0), T(3.0))
    assert ([[h.item() for h in row] for row in rows], aux) == ([[6.0, 4.0], [4.0, 0.0]], "aside")
    assert jt.hessian(lambda x: x**3)(2).item() == 12.0


def test_hvp(T):
    f = lambda p, x: jt.sum(p["w"] ** 3) * x  # noqa: E731
    p, x = {"w": T([1.0, 2.0])}, T(2.0)
    hp, hx = jt.hvp(f, (p, x), ({"w": T([1.0, 0.0])}, T(1.0)))
    assert (hp["w"].tolist(), hx.item()) == ([15.0, 12.0], 3.0)
    hp, hx = jt.hvp(f, (p, x), ({"w": None}, 1.0))
    assert (hp["w"].tolist(), hx.item()) == ([3.0, 12.0], 0.0)
    (h,), aux = jt.hvp(lambda x: (x**3, "aside"), (T(2.0),), (T(1.0),), has_aux=True)
    assert (h.item(), aux) == (12.0, "aside")


def test_hvp_is_the_hessian_times_a_vector(T, close):
    f = lambda x: jt.sum(roll(x) ** 2) + jt.prod(x)  # noqa: E731
    v = np.array([1.0, -2.0, 0.5])
    h = jt.hessian(f)(T(A))
    close(h, h.numpy().T)
    close(jt.hvp(f, (T(A),), (T(v),))[0], h.numpy() @ v)


def test_errors_of_hessian_and_hvp(T):
    with pytest.raises(jt.GradientError, match=r"scalar result; this one returned shape \(3,\)"):
        jt.hessian(roll)(T(A))
    with pytest.raises(jt.GradientError, match="hessian of complex arguments"):
        jt.hessian(jt.abs)(T(1j))
    with pytest.raises(jt.OpError, match=r"hvp\(f, primals, tangents\) takes two tuples"):
        jt.hvp(lambda x: x, T(1.0), T(1.0))
    with pytest.raises(jt.OpError, match="hessian: argnums=2"):
        jt.hessian(lambda x: x, argnums=2)(T(1.0))


def test_a_hessian_of_a_function_that_uses_grad(T):
    """f(x) = |grad q(x)|^2 with q = sum x^3: 9 sum x^4."""
    f = lambda x: jt.sum(jt.grad(lambda z: jt.sum(z**3))(x) ** 2)  # noqa: E731
    np.testing.assert_allclose(jt.hessian(f)(T(A)).numpy(), np.diag(108 * A**2))
    np.testing.assert_allclose(jt.vmap(jt.hessian(f))(T([A, 2 * A])).numpy()[1], np.diag(432 * A**2))


# -- complex numbers ------------------------------------------------------------------------------------------------------

Z = np.array([0.5 + 1.0j, -1.0 + 0.25j])
V = np.array([1.0 - 2.0j, 0.5 + 1.0j])

# f, its derivative along a direction t, and what the pullback makes of a weight v (for holomorphic f: conj(f'(z)) v).
COMPLEX = {
    "exp": (jt.exp, lambda z, t: np.exp(z) * t, lambda z, v: np.conj(np.exp(z)) * v),
    "z**2": (lambda z: z**2, lambda z, t: 2 * z * t, lambda z, v: np.conj(2 * z) * v),
    "conj": (lambda z: jt.conj(z), lambda z, t: np.conj(t), lambda z, v: np.conj(v)),
    "conj(z)*z": (
        lambda z: jt.conj(z) * z,
        lambda z, t: 2 * np.real(np.conj(z) * t) + 0j,
        lambda z, v: 2 * np.real(v) * z,
    ),
    "abs": (jt.abs, lambda z, t: np.real(np.conj(z) * t) / np.abs(z), lambda z, v: np.real(v) * z / np.abs(z)),
    "real": (lambda z: jt.real(z), lambda z, t: np.real(t), lambda z, v: np.real(v) + 0j),
    "imag": (lambda z: jt.imag(z), lambda z, t: np.imag(t), lambda z, v: 1j * np.real(v)),
}


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_functions_against_closed_forms(T, close, name):
    f, along, pulled = COMPLEX[name]
    y, pullback = jt.vjp(f, T(Z))
    v = V if y.dtype == jt.complex128 else V.real
    close(pullback(T(v))[0], pulled(Z, v))
    close(jt.jvp(f, (T(Z),), (T(V),))[1], along(Z, V))
    close(jt.linearize(f, T(Z))[1](T(V)), along(Z, V))
    g = jt.grad(lambda z: jt.sum(jt.real(f(z))))(T(Z))
    close(g, pulled(Z, np.ones(2)))


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_jacobian_of_holomorphic_functions(T, close, mode):
    m = np.array([[1.0, 2j], [3.0 - 1j, 0.5]])
    close(jt.jacobian(lambda z: T(m) @ jt.exp(z), mode=mode)(T(Z)), m * np.exp(Z))
    # from real numbers to complex ones
    close(jt.jacobian(lambda x: T(m) @ jt.exp(1j * x), mode=mode)(T(A[:2])), m * 1j * np.exp(1j * A[:2]))


def test_jacobian_of_a_real_result_is_made_of_its_gradients(T, close):
    got = jt.jacobian(lambda z: jt.abs(z) ** 2)(T(Z))
    close(got, np.diag(2 * Z))
    close(jt.jacobian(lambda z: jt.sum(jt.abs(z) ** 2))(T(Z)), jt.grad(lambda z: jt.sum(jt.abs(z) ** 2))(T(Z)))


def test_grad_of_a_complex_result_names_vjp(T):
    with pytest.raises(jt.GradientError, match=r"complex128.*jt\.vjp"):
        jt.grad(lambda z: z * z)(T(1j))
    with pytest.raises(jt.DTypeError, match="tangent of complex128 came for a primal of float64"):
        jt.jvp(jt.sin, (T(1.0),), (T(1j),))


def test_a_real_tangent_moves_a_complex_number_along_the_real_line(T):
    assert jt.jvp(lambda z: z * z, (T(1 + 1j),), (T(1.0),))[1].item() == 2 + 2j


def test_argnums_of_vjp_and_linearize(T):
    f = lambda x, d, n: (x * d["a"] ** 2 * n).sum()  # noqa: E731
    x, d = T([1.0, 2.0]), {"a": T(3.0)}
    y, pullback = jt.vjp(f, x, d, 10, argnums=0)  # n stays the int it is
    assert (y.item(), pullback(1.0).tolist()) == (270.0, [90.0, 90.0])
    assert jt.vjp(f, x, d, 10, argnums=(-2,))[1](2.0)[0]["a"].item() == 360.0
    both = jt.vjp(f, x, d, 10, argnums=(1, 0))[1](1.0)
    assert (both[0]["a"].item(), both[1].tolist()) == (180.0, [90.0, 90.0])
    y, f_jvp = jt.linearize(f, x, d, 10, argnums=1)
    assert (y.item(), f_jvp({"a": T(0.5)}).item()) == (270.0, 90.0)
    y, f_jvp, aux = jt.linearize(lambda *a: (f(*a), "aside"), x, d, 10, argnums=(0,), has_aux=True)
    assert (f_jvp(T([1.0, 0.0])).item(), aux) == (90.0, "aside")
    with pytest.raises(jt.OpError, match=r"vjp: argnums=3 but the function got 3 positional argument\(s\)"):
        jt.vjp(f, x, d, 10, argnums=3)
    with pytest.raises(jt.OpError, match=r"linearize: argnums=\(0, 0\) names an argument twice"):
        jt.linearize(f, x, d, 10, argnums=(0, 0))
