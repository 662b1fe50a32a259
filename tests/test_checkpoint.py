"""checkpoint: the same derivatives with less memory, the same random numbers, closures, nesting, and what it refuses."""

from __future__ import annotations

import tracemalloc
from collections import namedtuple

import numpy as np
import pytest

import jitrench_core as jt
from jitrench_core import graph
from jitrench_core.layer import Scope
from jitrench_core.transforms.tree import flatten, names

A = np.array([0.5, -1.0, 2.0])


def counted(f):
    runs = []

    def g(*args, **kwargs):
        runs.append(graph.recording())
        return f(*args, **kwargs)

    return g, runs


def test_f_runs_again_in_backward_and_nothing_of_it_is_kept(T, close):
    f, runs = counted(lambda x: jt.sum(jt.sin(x) * jt.exp(x)))
    x = T(A, requires_grad=True)
    y = jt.checkpoint(f)(x)
    assert len(runs) == 1
    assert y.node.op.name == "checkpoint"
    assert y.node.parents == (x.node,)
    y.backward()
    assert len(runs) == 2
    close(x.grad, np.exp(A) * (np.sin(A) + np.cos(A)))
    with pytest.raises(jt.FreedGraphError, match="checkpoint"):
        y.backward()


def test_without_gradients_f_just_runs(T):
    f, runs = counted(lambda x: x * 2.0)
    assert not jt.checkpoint(f)(T(3.0)).requires_grad
    with jt.no_grad():
        assert not jt.checkpoint(f)(T(3.0, requires_grad=True)).requires_grad
    assert len(runs) == 2


def test_as_a_decorator_with_containers_and_other_things(T):
    Out = namedtuple("Out", "y rest")

    @jt.checkpoint
    def f(p, x, *, scale=1.0, name="none"):
        """Doc."""
        return Out(p["w"][0] * x * scale, {"n": 3, "name": name, "int": jt.argmax(x), "none": None, "x": x})

    p, x = {"w": [T(2.0, requires_grad=True), "other"]}, T([1.0, 5.0])
    out = f(p, x, scale=10.0, name="aside")
    assert (f.__name__, f.__doc__) == ("f", "Doc.")
    assert (out.y.tolist(), out.rest["n"], out.rest["name"], out.rest["int"].item()) == ([20.0, 100.0], 3, "aside", 1)
    assert (out.rest["none"], out.rest["int"].requires_grad) == (None, False)
    (out.y.sum() + out.rest["x"].sum()).backward()
    assert p["w"][0].grad.item() == 60.0


def test_closures_over_tracked_tensors(T):
    w = T(2.0, requires_grad=True)
    c = w * w  # not a leaf, and used outside, too
    unused = T(7.0, requires_grad=True)
    f, runs = counted(lambda x: jt.sum(jt.sin(x * w) * c + w * w * x))
    want = jt.grad(lambda w: jt.sum(jt.sin(T(A) * w) * w**2 + w * w * T(A)))(T(2.0)).item()
    jt.checkpoint(f)(T(A)).backward(retain_graph=True)
    assert w.grad.item() == pytest.approx(want, rel=1e-14)
    assert unused.grad is None
    w.zero_grad()
    (jt.checkpoint(f)(T(A)) + c).backward()
    assert w.grad.item() == pytest.approx(want + 4.0, rel=1e-14)
    assert len(runs) == 4


def test_a_closure_updated_before_backward_counts_with_its_value_then(T):
    w = T(2.0, requires_grad=True)
    x = T(3.0, requires_grad=True)
    y = jt.checkpoint(lambda x: x * w * w)(x)
    with jt.no_grad():
        w -= 1.0
    y.backward()
    assert (x.grad.item(), w.grad.item()) == (4.0, 12.0)


def test_higher_orders(T, close):
    f = lambda x: jt.sum(jt.sin(x) * x[0])  # noqa: E731
    g = jt.checkpoint(f)
    x = T(A)
    close(jt.hessian(g)(x), jt.hessian(f)(x), 1e-14)
    close(jt.jacobian(jt.grad(g))(x), jt.hessian(f)(x), 1e-14)
    close(jt.grad(lambda x: jt.sum(jt.grad(lambda x: jt.sum(jt.grad(g)(x) ** 2))(x)))(x),
          jt.grad(lambda x: jt.sum(jt.grad(lambda x: jt.sum(jt.grad(f)(x) ** 2))(x)))(x), 1e-13)  # fmt: skip
    close(jt.jacobian(jt.checkpoint(lambda x: (x * x, jt.sin(x))))(x)[1], np.diag(np.cos(A)))


def test_complex_numbers_and_float32(T, close):
    z = np.array([1 + 2j, 0.5 - 1j])
    f = lambda z: jt.sum(jt.abs(jt.exp(z) * z) ** 2)  # noqa: E731
    close(jt.grad(jt.checkpoint(f))(T(z)), jt.grad(f)(T(z)), 1e-13)
    close(jt.jacobian(jt.checkpoint(lambda z: jt.exp(z)))(T(z)), np.diag(np.exp(z)))
    assert jt.grad(jt.checkpoint(jt.sum))(T(A, dtype="float32")).dtype == jt.float32


def test_several_results_of_which_some_are_not_used(T, close):
    f = jt.checkpoint(lambda x: (x * x, [jt.sin(x), 2.0]))
    x = T(A, requires_grad=True)
    f(x)[1][0].sum().backward()
    close(x.grad, np.cos(A))


def test_under_vmap(T, close):
    w = T(0.5, requires_grad=True)
    f = lambda x: jt.sum(jt.sin(x * w) * x)  # noqa: E731
    rows = T(np.stack([A, 2 * A]))
    close(jt.vmap(jt.grad(jt.checkpoint(f)))(rows), jt.vmap(jt.grad(f))(rows), 1e-14)
    jt.sum(jt.vmap(jt.checkpoint(f))(rows)).backward()
    got = w.grad.item()
    w.zero_grad()
    jt.sum(jt.checkpoint(jt.vmap(f))(rows)).backward()
    assert got == pytest.approx(w.grad.item(), rel=1e-14)
    assert got == pytest.approx(
        jt.grad(lambda w: sum(jt.sum(jt.sin(T(a) * w) * T(a)) for a in (A, 2 * A)))(T(0.5)).item()
    )


def test_a_pullback_under_vmap(T, close):
    w = T(2.0, requires_grad=True)
    _, pullback = jt.vjp(jt.checkpoint(lambda x: jt.sin(x * w) * x), T(A))
    rows = jt.vmap(lambda v: pullback(v)[0])(T(np.eye(3)))
    close(rows, np.diag(np.sin(2 * A) + 2 * A * np.cos(2 * A)))
    jt.sum(rows).backward()
    assert w.grad.item() == pytest.approx(float(np.sum(2 * A * np.cos(2 * A) - 2 * A * A * np.sin(2 * A))))


def test_transforms_inside(T):
    w = T(2.0, requires_grad=True)
    f = jt.checkpoint(lambda x: jt.grad(lambda z: z**3 * w)(x) + jt.vmap(lambda z: z * w)(jt.stack([x, x]))[0])
    assert jt.grad(f)(T(2.0)).item() == 26.0
    f(T(2.0)).backward()
    assert w.grad.item() == 14.0


# -- random numbers ---------------------------------------------------------------------------------------------------


def test_random_numbers_come_again(T):
    other = jt.random.Generator(5)
    seen = []

    def f(x):
        a, b = jt.random.normal((3,)), other.uniform((3,))
        seen.append((a.tolist(), b.tolist()))
        return jt.sum(x * x * jt.asarray(a.numpy(), device=x.device) * jt.asarray(b.numpy(), device=x.device))

    jt.random.seed(0)
    x = T(A, requires_grad=True)
    y = jt.checkpoint(f)(x)
    after = [jt.random.uniform().item(), other.uniform().item()]  # the streams go on before backward, too
    y.backward()
    assert seen[0] == seen[1]
    np.testing.assert_allclose(x.grad.numpy(), 2 * A * np.array(seen[0][0]) * np.array(seen[0][1]))
    following = [jt.random.uniform().item(), other.uniform().item()]
    jt.random.seed(0)
    fresh = jt.random.Generator(5)
    for g, was, now in ((jt.random.default_generator(), after[0], following[0]), (fresh, after[1], following[1])):
        g.uniform((3,))
        assert (g.uniform().item(), g.uniform().item()) == (was, now)


def test_a_seed_set_inside_is_set_again_and_left_as_it_was(T):
    def f(x):
        jt.random.seed(7)
        return x * jt.random.uniform().item()

    y = jt.checkpoint(f)(x := T(2.0, requires_grad=True))
    jt.random.seed(1)
    y.backward()
    assert x.grad.item() == jt.random.Generator(7).uniform().item()
    left = jt.random.uniform().item()
    jt.random.seed(1)
    assert left == jt.random.uniform().item()


# -- layers -------------------------------------------------------------------------------------------------------------


class Affine(jt.Layer):
    def forward(self, x):
        n = x.shape[-1]
        w = self.parameter("w", (n, n), lambda generator, shape, dtype: generator.normal(shape))
        return jt.tanh(x @ w)


class Pair(jt.Layer):
    def __init__(self):
        super().__init__()
        self.inner = Affine()

    def forward(self, x):
        return self.inner(self.inner(x)) + Affine()(x)


def test_layers_find_their_parameters_again(T, close):
    def model(x, wrap):
        x = Affine()(x)
        x = wrap(lambda x: Affine()(Pair()(x)) + Affine(name="own")(x))(x)
        x = wrap(Pair())(x)
        return jt.sum(Affine()(x))

    tree = {}
    with Scope(tree, generator=jt.random.Generator(0), device=T(0.0).device):
        model(T([A]), lambda f: f)

    def loss(wrap):
        def f(tree):
            with Scope(tree):
                return model(T([A]), wrap)

        return f

    want, got = jt.grad(loss(lambda f: f))(tree), jt.grad(loss(jt.checkpoint))(tree)
    assert names(got) == names(want) == names(tree)
    assert len(names(tree)) == 8
    for a, b in zip(flatten(got)[0], flatten(want)[0], strict=True):
        close(a, b, 1e-14)


# -- memory and nesting -----------------------------------------------------------------------------------------------


def chain(block, x, n):
    for _ in range(n):
        x = block(x)
    return x


def peak(f, x):
    """The most arrays like x that are alive at once, in f and backward."""
    x = jt.tensor(x, requires_grad=True)
    tracemalloc.start()
    f(x).backward()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found / x.data.nbytes


def test_memory_of_a_chain_of_blocks():
    """12 blocks of 8 steps: about 8 + 12 arrays, and not 96."""
    block = lambda x: chain(jt.sin, x, 8)  # noqa: E731
    x = jt.ones(100_000)
    plain = peak(lambda x: jt.sum(chain(block, x, 12)), x)
    saved = peak(lambda x: jt.sum(chain(jt.checkpoint(block), x, 12)), x)
    assert plain > 90
    assert saved < 30


def test_memory_of_a_checkpoint_in_a_checkpoint():
    """4 blocks of 4 blocks of 6 steps that close over w: about 4 + 4 + 6 arrays (and those of the loop), and not 96."""
    w = jt.tensor(0.5, requires_grad=True)
    step = lambda x: jt.sin(x * w)  # noqa: E731
    inner = jt.checkpoint(lambda x: chain(step, x, 6))
    outer = jt.checkpoint(lambda x: chain(inner, x, 4))
    flat = jt.checkpoint(lambda x: chain(lambda x: chain(step, x, 6), x, 4))
    x = jt.ones(100_000)
    nested = peak(lambda x: jt.sum(chain(outer, x, 4)), x)
    assert nested < 0.6 * peak(lambda x: jt.sum(chain(flat, x, 4)), x), nested
    want = jt.grad(lambda x: jt.sum(chain(step, x, 96)))(x)
    got = jt.grad(lambda x: jt.sum(chain(outer, x, 4)))(x)
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-12)


def test_graphs_die_without_the_garbage_collector():
    import gc
    import weakref

    class Callable:
        def __call__(self, x):
            return x * x

    f = Callable()
    alive = weakref.ref(f)
    gc.disable()
    try:
        y = jt.checkpoint(f)(jt.tensor(2.0, requires_grad=True))
        assert y.item() == 4.0
        del y, f
        assert alive() is None
    finally:
        gc.enable()


def test_nested_with_closures_of_every_level(T, close):
    w, v = T(0.5, requires_grad=True), T(0.25, requires_grad=True)

    def build(wrap):
        def outer(x):
            h = jt.sin(x * w)
            return wrap(lambda z: jt.exp(z * h) * v * w + h * v)(x * h) * h

        return wrap(outer)

    results = []
    for wrap in (lambda f: f, jt.checkpoint):
        f = lambda x, wrap=wrap: jt.sum(build(wrap)(x))  # noqa: E731
        g, h = jt.grad(f)(T(A)), jt.hessian(f)(T(A))
        f(T(A)).backward()
        first = (w.grad.item(), v.grad.item())
        jt.sum(jt.vmap(build(wrap))(T(np.stack([A, 2 * A])))).backward()
        results.append((g, h, *first, w.grad.item(), v.grad.item()))
        w.zero_grad()
        v.zero_grad()
    (g0, h0, *rest0), (g1, h1, *rest1) = results
    close(g1, g0, 1e-13)
    close(h1, h0, 1e-12)
    assert rest1 == pytest.approx(rest0, rel=1e-13)


def test_a_checkpoint_inside_grad_inside_a_checkpoint(T, close):
    w = T(0.5, requires_grad=True)

    def build(wrap):
        def outer(x):
            h = x * w
            return jt.grad(lambda z: jt.sum(wrap(lambda u: u**3 * h * w)(z * x)))(x) * jt.grad(
                lambda z: jt.sum(wrap(lambda u: jt.sin(u * z))(h))
            )(x)

        return wrap(outer)

    want = jt.hessian(lambda x: jt.sum(build(lambda f: f)(x)))(T(A))
    close(jt.hessian(lambda x: jt.sum(build(jt.checkpoint)(x)))(T(A)), want, 1e-12)
    grads = []
    for wrap in (lambda f: f, jt.checkpoint):
        jt.sum(build(wrap)(T(A))).backward()
        grads.append(w.grad.item())
        w.zero_grad()
    assert grads[1] == pytest.approx(grads[0], rel=1e-13)


NESTED = {
    "a closure passes through two": lambda wrap, a: wrap(lambda x: wrap(lambda y: a)(x))(a * a),
    "one passes beside a value": lambda wrap, a: wrap(lambda x: x * wrap(lambda y: (a, y * a))(x)[0])(a + 1.0),
    "an argument of the outermost, used in the innermost": lambda wrap, a: wrap(
        lambda p: wrap(lambda r: wrap(lambda s: p * p - s)(a) * r)(a)
    )(a + 1.0),
    "an argument of the outermost, passed to the innermost": lambda wrap, a: wrap(
        lambda p: wrap(lambda r: r - wrap(lambda u, v: u * v * v)(a, p))(jt.sin(p))
    )(a + 1.0),
    "four levels": lambda wrap, a: wrap(
        lambda p: wrap(lambda q: wrap(lambda r: wrap(lambda s: p * s + q * r * a)(q) * p)(a))(p * a)
    )(a),
    "a gradient inside": lambda wrap, a: wrap(
        lambda p: jt.grad(lambda z: z * wrap(lambda r: wrap(lambda s: z * p * s)(r) * a)(p))(p)
    )(a),
}


DERIVATIVES = (
    jt.grad,
    lambda g: lambda x: jt.jvp(jt.grad(g), (x,), (1.0,))[1],
    lambda g: jt.grad(jt.grad(g)),
    lambda g: lambda x: jt.vmap(jt.grad(g))(jt.stack([x, x]))[0],
)


@pytest.mark.parametrize("name", NESTED)
def test_nested_as_if_not_checkpointed(T, name):
    f = NESTED[name]
    for derive in DERIVATIVES:
        got = derive(lambda a: f(jt.checkpoint, a))(T(0.3)).item()
        want = derive(lambda a: f(lambda g: g, a))(T(0.3)).item()
        assert got == pytest.approx(want, rel=1e-13, abs=1e-13)


def test_a_pullback_of_a_checkpoint_that_closes_over_the_primal(T):
    def f(wrap, x):
        return wrap(lambda y: jt.vjp(lambda z: x, y)[0] * y)(x)

    for wrap in (lambda g: g, jt.checkpoint):
        y, pullback = jt.vjp(lambda x, wrap=wrap: f(wrap, x), T(3.0))
        assert (y.item(), pullback(1.0)[0].item(), pullback(2.0)[0].item()) == (9.0, 6.0, 12.0)


def test_a_checkpoint_that_meets_the_argument_of_a_grad_that_has_ended(T):
    w = T(2.0, requires_grad=True)
    inner = jt.grad(lambda x: x * jt.checkpoint(lambda u: jt.vjp(lambda z: x, u)[0] * u)(w))
    inner(T(3.0)).backward()  # 2 x w by w
    assert w.grad.item() == 6.0


# -- what it refuses --------------------------------------------------------------------------------------------------


def test_generators_are_refused(T):
    def pieces(x):
        yield x

    with pytest.raises(jt.OpError, match="checkpoint of the generator or coroutine 'pieces' would end before its body"):
        jt.checkpoint(pieces)


def test_a_function_that_changes_its_mind_is_refused(T):
    w, x, v = T(2.0, requires_grad=True), T(3.0, requires_grad=True), T([1.0, 2.0], requires_grad=True)
    for later, what in (
        (lambda x: x * 2.0, "it met fewer tensors"),
        (lambda x: x * w * w, "it met more tensors"),
        (lambda x: x * v, r"it met a float64 tensor of shape \(2,\) and not float64 \(\)"),
        (lambda x: (x * w, 3.0)[1], "its result 0 is float and not float64"),
        (lambda x: (x * w).reshape(1), r"its result 0 is float64 \(1,\) and not float64 \(\)"),
    ):
        fs = iter([lambda x: x * w, later])

        def changing(x, fs=fs):
            return next(fs)(x)

        y = jt.checkpoint(changing)(x)
        with pytest.raises(jt.TransformError, match=f"changing did not do the same when it ran again.*{what}"):
            y.backward()


def test_values_must_not_escape(T):
    kept = []
    jt.checkpoint(lambda x: (kept.append(x * 2.0), x)[1])(T(1.0))
    with pytest.raises(jt.TransformError, match="inside a checkpoint that has ended"):
        kept[0] + 1.0
    with pytest.raises(jt.OpError, match=r"checkpoint takes a function, as in jt\.checkpoint\(f\)\(x\); got Tensor"):
        jt.checkpoint(T(1.0))


def test_branches_and_in_place_updates(T):
    @jt.checkpoint
    def f(x):
        y = x * 1.0
        if jt.sum(y) > 1.0:
            y *= y
            y[0] = y[0] * float(x[1].item())
        return jt.sum(y)

    assert jt.grad(f)(T([2.0, 3.0])).tolist() == [12.0, 6.0]
    assert jt.grad(f)(T([-2.0, 4.0])).tolist() == [-16.0, 8.0]
    assert jt.grad(f)(T([-2.0, 2.0])).tolist() == [1.0, 1.0]


def test_detached_values_may_leave(T):
    running = T(0.0)

    def f(x):
        nonlocal running
        running += jt.mean(x).detach()
        return jt.sum(x * x)

    x = T([1.0, 3.0], requires_grad=True)
    y = jt.checkpoint(f)(x)
    assert running.item() == 2.0
    y.backward()
    assert x.grad.tolist() == [2.0, 6.0]
