"""Transforms: each alone, and every pair and triple of them nested."""

from __future__ import annotations

import math
from collections import namedtuple
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest

import jitrench_core as jt

# -- grad and value_and_grad ------------------------------------------------------------------------------------------


def test_grad_of_a_plain_function(T):
    assert jt.grad(lambda x: jt.sin(x) + 1.0)(T(math.pi)).item() == -1.0
    value, gradient = jt.value_and_grad(lambda x: x**3)(T(2.0))
    assert (value.item(), gradient.item()) == (8.0, 12.0)
    assert not value.requires_grad
    assert not gradient.requires_grad


def test_as_decorators(T):
    @jt.grad
    def f(x):
        """Doc."""
        return x * x

    @jt.grad(argnums=1)
    def g(x, y):
        return x * y * y

    assert f(T(3.0)).item() == 6.0
    assert (f.__name__, f.__doc__) == ("f", "Doc.")
    assert g(T(2.0), T(3.0)).item() == 12.0


def test_argnums_and_containers(T):
    f = lambda p, x: (p["w"] * x + p["b"][0]) ** 2  # noqa: E731
    p = {"w": T(2.0), "b": [T(1.0)]}
    gp, gx = jt.grad(f, argnums=(0, 1))(p, T(3.0))
    assert (gp["w"].item(), gp["b"][0].item(), gx.item()) == (42.0, 14.0, 28.0)
    assert jt.grad(f, argnums=-1)(p, T(3.0)).item() == 28.0

    Point = namedtuple("Point", "x y")
    got = jt.grad(lambda q: q.x * q.y)(Point(T(2.0), T(5.0)))
    assert isinstance(got, Point)
    assert (got.x.item(), got.y.item()) == (5.0, 2.0)

    @dataclass
    class Model:
        w: object
        b: object

    got = jt.grad(lambda m: m.w * m.w + m.b)(Model(T(3.0), T(1.0)))
    assert (got.w.item(), got.b.item()) == (6.0, 1.0)


def test_has_aux(T):
    (value, aux), gradient = jt.value_and_grad(lambda x: (x * x, {"twice": x * 2.0, "n": 3}), has_aux=True)(T(3.0))
    assert (value.item(), aux["twice"].item(), aux["n"], gradient.item()) == (9.0, 6.0, 3, 6.0)
    assert not aux["twice"].requires_grad
    gradient, aux = jt.grad(lambda x: (x * x, x), has_aux=True)(T(3.0))
    assert (gradient.item(), aux.item()) == (6.0, 3.0)


def test_an_unused_argument_has_gradient_zero(T):
    a, b = jt.grad(lambda x, y: x * 2.0, argnums=(0, 1))(T(3.0), T([1.0, 2.0]))
    assert (a.item(), b.tolist()) == (2.0, [0.0, 0.0])
    assert jt.grad(lambda x: T(1.0))(T(3.0)).item() == 0.0
    for loses in (lambda x: 1.0, lambda x: math.sin(x), lambda x: x.item()):
        with pytest.raises(jt.GradientError, match=r"returned the float .*nothing was recorded.*jt\.sin"):
            jt.grad(loses)(T(3.0))


def test_errors(T):
    with pytest.raises(jt.GradientError, match=r"scalar result; this one returned shape \(2,\).*jt\.vmap"):
        jt.grad(lambda x: x * 2.0)(T([1.0, 2.0]))
    with pytest.raises(jt.OpError, match=r"argnums=2 but the function got 1 positional"):
        jt.grad(lambda x: x, argnums=2)(T(1.0))
    with pytest.raises(jt.GradientError, match="tensor of int64 cannot require a gradient"):
        jt.grad(lambda x: x)(T(1))
    with pytest.raises(jt.OpError, match=r"takes a function, as in jt\.grad\(f\)\(x\); got float"):
        jt.grad(1.0)
    with pytest.raises(jt.GradientError, match="scalar result; this one returned NoneType"):
        jt.grad(lambda x: None)(T(1.0))
    with pytest.raises(jt.GradientError, match="returned tuple .*has_aux=True"):
        jt.grad(lambda x: (x, x))(T(1.0))
    with pytest.raises(
        jt.OpError, match=r"grad with has_aux=True needs a function that returns a pair, \(result, aux\)"
    ):
        jt.grad(lambda x: x, has_aux=True)(T(1.0))
    with pytest.raises(jt.OpError, match="takes two tuples"):
        jt.jvp(lambda x: x, T(1.0), T(1.0))
    with pytest.raises(jt.ShapeError, match=r"tangent of shape \(2,\) came for a primal of shape \(\)"):
        jt.jvp(lambda x: x, (T(1.0),), (T([1.0, 2.0]),))
    with pytest.raises(jt.OpError, match="1 primal and 2 tangent"):
        jt.jvp(lambda x: x, (T(1.0),), (T(1.0), T(1.0)))
    with pytest.raises(jt.GradientError, match="only floating-point and complex numbers have a tangent"):
        jt.jvp(lambda x: x, (T(1),), (T(1),))
    with pytest.raises(jt.ShapeError, match=r"argument 0 has shape \(\), so it has no axis 0"):
        jt.vmap(lambda x: x)(T(1.0))
    with pytest.raises(jt.ShapeError, match=r"lengths \[2, 3\]"):
        jt.vmap(lambda x, y: x)(T([1.0, 2.0]), T([1.0, 2.0, 3.0]))
    with pytest.raises(jt.ShapeError, match="no argument with an axis"):
        jt.vmap(lambda x: x, in_axes=None)(T([1.0, 2.0]))
    with pytest.raises(jt.OpError, match=r"in_axes has 2 entries for 1 argument"):
        jt.vmap(lambda x: x, in_axes=(0, 0))(T([1.0, 2.0]))


def test_grad_under_no_grad(T):
    w = T(3.0, requires_grad=True)
    with jt.no_grad():
        g = jt.grad(lambda x: x * x * w)(T(2.0))
    assert g.item() == 12.0
    assert not g.requires_grad
    assert jt.grad(lambda x: _constant(x) * x)(T(3.0)).item() == 9.0


def _constant(x):
    with jt.no_grad():
        return x * x


def test_the_backward_of_a_transform_is_recorded_only_for_others_leaves(T):
    x, w = T(2.0), T(3.0, requires_grad=True)
    assert not jt.grad(lambda x: x**3)(x).requires_grad
    g = jt.grad(lambda x: x * x * w)(x)
    assert g.requires_grad
    g.backward()
    assert w.grad.item() == 4.0
    w.zero_grad()
    value, _ = jt.value_and_grad(lambda x: x * x * w)(x)
    value.backward()
    assert w.grad.item() == 4.0


def test_a_tracked_argument_goes_on_being_tracked(T):
    x = T(2.0, requires_grad=True)
    g = jt.grad(lambda x: x**3)(x)
    g.backward()
    assert x.grad.item() == 12.0


def test_grad_does_not_free_the_graph_of_a_closure(T):
    w = T(3.0, requires_grad=True)
    c = w * w
    g = jt.grad(lambda x: x * x * c)(T(2.0))
    assert g.item() == 36.0
    c.backward()
    assert w.grad.item() == 6.0


def test_an_argument_that_f_updates_in_place(T):
    def f(x):
        x *= x
        x[0] = x[0] * 3.0
        return x.sum()

    a = T([2.0, 5.0])
    assert jt.grad(f)(a).tolist() == [12.0, 10.0]
    assert a.tolist() == [2.0, 5.0]


def test_no_perturbation_confusion(T):
    # d/dx (x * d/dy (x + y) at y = 1) = 1, not 2
    for outer, inner in product((reverse, forward), repeat=2):
        assert outer(lambda x, inner=inner: x * inner(lambda y: x + y)(T(1.0)))(T(1.0)).item() == 1.0
        # the same tensor as both arguments: d/dx (x * d/dy (x * y) at y = x) = 2x
        assert outer(lambda x, inner=inner: x * inner(lambda y: x * y)(x))(T(3.0)).item() == 6.0


def test_grad_of_a_function_that_uses_backward(T):
    def f(x):
        y = T(2.0, requires_grad=True)
        (y * y * x).backward(create_graph=True)
        return y.grad * x

    assert jt.grad(f)(T(3.0)).item() == pytest.approx(24.0)


# -- what a transform is given stays what it was ---------------------------------------------------------------------------


def updating(T):
    w = T(3.0)

    def f(x):
        nonlocal w
        y = x * w
        w += 100.0
        return y

    return f


def test_a_closure_updated_in_place_does_not_change_what_was_computed(T):
    assert jt.grad(updating(T))(T(1.0)).item() == 3.0
    assert jt.vmap(jt.grad(updating(T)))(T([1.0, 2.0])).tolist() == [3.0, 3.0]
    assert jt.jvp(jt.grad(updating(T)), (T(1.0),), (T(1.0),))[0].item() == 3.0


def test_arguments_updated_in_place_do_not_change_what_was_computed(T):
    t = T([1.0, 2.0])

    def f(z):
        nonlocal t
        t += 10.0
        return z * z

    assert jt.jvp(f, (t,), (T([1.0, 1.0]),))[0].tolist() == [1.0, 4.0]
    t = T([1.0, 2.0])
    assert jt.vmap(f)(t).tolist() == [1.0, 4.0]


def test_results_are_tensors_of_their_own(T):
    t, d = T([1.0, 2.0]), T([1.0, 1.0])
    y, dy = jt.jvp(lambda x: x, (t,), (d,))
    y += 1.0
    dy *= 7.0
    assert (t.tolist(), d.tolist()) == ([1.0, 2.0], [1.0, 1.0])
    assert jt.vmap(lambda x: x)(t) is not t
    a, b = jt.grad(lambda a, b: (a + b).sum(), argnums=(0, 1))(t, d)
    a *= 5.0
    assert b.tolist() == [1.0, 1.0]


def test_detach_inside_jvp_and_vmap(T):
    assert jt.grad(lambda x: x * x.detach())(T(3.0)).item() == 3.0
    assert jt.jvp(lambda x: x * x.detach(), (T(3.0),), (T(1.0),))[1].item() == 3.0
    f = lambda v: jt.vmap(lambda z: z * z.detach())(v).sum()  # noqa: E731
    assert jt.grad(f)(T([3.0, 4.0])).tolist() == [3.0, 4.0]
    g = lambda v: jt.vmap(lambda z: z * jt.tensor(z))(v).sum()  # noqa: E731
    assert jt.grad(g)(T([3.0, 4.0])).tolist() == [3.0, 4.0]


def test_integers_cut_the_gradient_in_both_modes(T):
    f = lambda x: jt.astype(jt.astype(x, "int64"), "float64") * x  # noqa: E731
    assert jt.grad(f)(T(2.5)).item() == 2.0
    assert jt.jvp(f, (T(2.5),), (T(1.0),))[1].item() == 2.0
    assert not jt.astype(T(2.5, requires_grad=True), "int64").requires_grad
    assert not jt.sum(T([2.5], requires_grad=True), dtype="int64").requires_grad


def test_jvp_pairs_by_name(T):
    f = lambda d: 10.0 * d["a"] + d["b"]  # noqa: E731
    one, none = T(1.0), T(0.0)
    assert jt.jvp(f, ({"a": one, "b": one},), ({"b": one, "a": none},))[1].item() == 1.0
    with pytest.raises(jt.OpError, match="same structure; without a partner"):
        jt.jvp(lambda t: t[0] + t[1][0] + t[1][1], ((one, (one, one)),), (((one, one), one),))


def test_tangents_take_the_primals_dtype_and_must_be_on_its_device(T, backend):
    x = T([1.0, 2.0], dtype="float32")
    assert jt.jvp(lambda x: x * 2.0, (x,), (T([1.0, 1.0]),))[1].dtype == jt.float32
    assert jt.jvp(lambda x: x * 2.0, (x,), (T([1, 1]),))[1].dtype == jt.float32
    other = "strict:1" if backend != "strict:1" else "strict:0"
    with pytest.raises(jt.DeviceMismatchError, match=rf"tangent on {other} came for a primal on {backend}"):
        jt.jvp(lambda x: x, (x,), (jt.ones(2, device=other),))


def test_masked_attention_forwards(T):
    def f(v):
        a = jt.where(v > -math.inf, -math.inf, 0.0)
        a[0] = v[0]
        return jt.logsumexp(a)

    v = T([1.0, 2.0])
    assert jt.jvp(f, (v,), (T([1.0, 1.0]),))[1].item() == 1.0
    assert jt.grad(f)(v).tolist() == [1.0, 0.0]


def test_a_value_that_escaped_its_transform_is_refused(T):
    for transform in (
        lambda f: jt.jvp(f, (T([3.0, 3.0]),), (T([1.0, 1.0]),))[0],
        lambda f: jt.vmap(f)(T([1.0, 2.0])),
    ):
        kept = []
        transform(lambda x, kept=kept: (kept.append(x * x), x)[1])
        for use in (lambda kept=kept: kept[0] + 1.0, lambda kept=kept, again=transform: again(lambda y: y * kept[0])):
            with pytest.raises(jt.TransformError, match="inside a (jvp|vmap) that has ended"):
                use()


def test_grad_in_another_thread_inside_vmap_is_refused(T):
    from concurrent.futures import ThreadPoolExecutor

    def f(x):
        with ThreadPoolExecutor() as pool:
            return pool.submit(jt.grad(lambda a: a * x), T(2.0)).result()

    with pytest.raises(jt.TransformError, match="such as in another thread"):
        jt.vmap(f)(T([1.0, 2.0]))


def test_results_of_nested_grads_are_not_tracked(T):
    g = jt.grad(lambda y: jt.grad(lambda x: x * x * y)(T(2.0)))(T(3.0))
    assert g.item() == 4.0
    assert not g.requires_grad
    h = jt.grad(lambda y: jt.jvp(lambda x: jt.max(x * y), (T([2.0, 1.0]),), (T([1.0, 1.0]),))[1])(T(3.0))
    assert h.item() == 1.0
    assert not h.requires_grad


def test_an_argument_whose_graph_leads_to_a_transform_that_has_ended(T):
    w = T(1.0, requires_grad=True)
    x = jt.grad(lambda x: x * x + w)(T(3.0))  # recorded for w, which it does not depend on
    cube = lambda z: z**3  # noqa: E731
    assert jt.grad(jt.grad(cube))(x).item() == 36.0
    assert jt.grad(jt.grad(jt.grad(cube)))(x).item() == 6.0
    assert jt.jacobian(jt.grad(cube))(x).item() == 36.0
    assert jt.linearize(jt.grad(cube), x)[1](T(1.0)).item() == 36.0
    assert jt.grad(lambda z: jt.grad(lambda v: v * v * z)(T(2.0)))(x).item() == 4.0
    assert jt.grad(lambda z: jt.vjp(lambda u: u * u, z)[0])(x).item() == 12.0
    assert jt.grad(lambda z: jt.value_and_grad(lambda v: (v, z * z), has_aux=True)(z)[0][1])(x).item() == 12.0


def test_has_aux_keeps_the_path_to_what_lies_outside(T):
    def f(a):
        return jt.grad(lambda x: (x * a, x * a * a), has_aux=True)(T(3.0))[1]

    assert jt.grad(f)(T(2.0)).item() == 12.0
    assert jt.jvp(f, (T(2.0),), (T(1.0),))[1].item() == 12.0


def test_aux_that_shares_a_graph_with_the_value(T):
    z = T(2.0, requires_grad=True)

    def f(x):
        h = x**3
        return h, h * z

    (_, aux), g = jt.value_and_grad(f, has_aux=True)(T(3.0))
    aux.backward()
    assert (z.grad.item(), g.item()) == (27.0, 27.0)


def test_jvp_pairs_by_the_keys_themselves(T):
    one, two, five = T(1.0), T(2.0), T(5.0)
    f = lambda d: d["a.b"] * 10.0 + d["a"]["b"]  # noqa: E731
    assert jt.jvp(f, ({"a.b": one, "a": {"b": two}},), ({"a.b": one, "a": {"b": five}},))[1].item() == 15.0
    assert jt.jvp(lambda d: d[0] * 10.0 + d["0"], ({0: one, "0": two},), ({0: one, "0": five},))[1].item() == 15.0


def test_accumulating_into_zeros_like(T):
    def f(x):
        total = jt.zeros_like(x)
        total += x * x
        return total

    assert jt.grad(f)(T(2.0)).item() == 4.0
    assert jt.vmap(f)(T([1.0, 2.0])).tolist() == [1.0, 4.0]
    assert jt.jvp(f, (T(2.0),), (T(1.0),))[1].item() == 4.0


def test_more_errors(T):
    with pytest.raises(jt.OpError, match="names an argument twice"):
        jt.grad(lambda a, b: a * b, argnums=(0, 0))(T(2.0), T(3.0))
    for argnums in ("x", 1.0, None, True, (0, "y")):
        with pytest.raises(jt.OpError, match=r"argnums=.*: expected an int, the position of an argument, or a tuple"):
            jt.grad(lambda a, b: a * b, argnums=argnums)(T(2.0), T(3.0))
    with pytest.raises(jt.OpError, match=r"jvp takes a function, as in jt\.jvp\(f, \(x,\), \(t,\)\); got Tensor"):
        jt.jvp(T(2.0), (T(2.0),), (T(1.0),))
    with pytest.raises(jt.ShapeError, match=r"shape \(3,\) per example has no place for out_axes=5"):
        jt.vmap(lambda x: x, out_axes=5)(T(np.ones((2, 3))))


def test_containers_keep_their_kind(T):
    from collections import OrderedDict, defaultdict

    class Own(dict):
        """A user's."""

    for made in (defaultdict(list, a=T(2.0)), OrderedDict(a=T(2.0)), Own(a=T(2.0))):
        got = jt.grad(lambda d: d["a"] * d["a"])(made)
        assert type(got) is type(made)
        assert got["a"].item() == 4.0


def test_numbers_returned_go_to_the_arguments_device(T, backend):
    assert jt.vmap(lambda x: 1.0)(T([1.0, 2.0])).device == backend
    assert jt.jvp(lambda x: 1.0, (T(1.0),), (T(1.0),))[0].device == backend


# -- jvp ------------------------------------------------------------------------------------------------------------


def test_jvp_of_containers(T):
    y, dy = jt.jvp(lambda p, x: {"a": p["w"] * x, "b": 3.0}, ({"w": T(2.0)}, T(5.0)), ({"w": T(1.0)}, T(10.0)))
    assert (y["a"].item(), dy["a"].item(), dy["b"].item()) == (10.0, 25.0, 0.0)


def test_jvp_passes_aux_on(T):
    y, dy, aux = jt.jvp(lambda x: (x * x, {"x": x, "n": 3}), (T(3.0),), (T(1.0),), has_aux=True)
    assert (y.item(), dy.item(), aux["x"].item(), aux["n"]) == (9.0, 6.0, 3.0, 3)
    with pytest.raises(
        jt.OpError, match=r"jvp with has_aux=True needs a function that returns a pair.*returned Tensor"
    ):
        jt.jvp(lambda x: x, (T(3.0),), (T(1.0),), has_aux=True)


def test_a_tangent_that_is_none_is_zero(T):
    f = lambda p, x: p["a"] * x + p["b"]  # noqa: E731
    p = {"a": T(2.0), "b": T(3.0)}
    assert jt.jvp(f, (p, T(5.0)), ({"a": T(1.0), "b": None}, None))[1].item() == 5.0
    assert jt.jvp(f, (p, T(5.0)), ({"a": None, "b": None}, None))[1].item() == 0.0


def test_jvp_may_branch_on_values(T):
    def f(x):
        return x * x if x > 1.0 else x * 3.0

    assert jt.jvp(f, (T(2.0),), (T(1.0),))[1].item() == 4.0
    assert jt.jvp(f, (T(0.5),), (T(1.0),))[1].item() == 3.0


def test_jvp_of_integers_inside(T):
    y, dy = jt.jvp(lambda x: x * jt.astype(jt.argmax(x), x.dtype), (T([1.0, 5.0]),), (T([1.0, 2.0]),))
    assert (y.tolist(), dy.tolist()) == ([1.0, 5.0], [1.0, 2.0])


def test_jvp_in_float32(T):
    y, dy = jt.jvp(jt.sin, (T([1.0], dtype="float32"),), (T([1.0], dtype="float32"),))
    assert (y.dtype, dy.dtype) == (jt.float32, jt.float32)


# -- vmap -----------------------------------------------------------------------------------------------------------


def test_vmap_axes(T):
    a = np.arange(6.0).reshape(2, 3)
    x, v = T(a), T([1.0, 2.0])
    np.testing.assert_allclose(jt.vmap(lambda c: c @ v, in_axes=1)(x).numpy(), a.T @ [1, 2])
    np.testing.assert_allclose(jt.vmap(lambda r, w: r * w, in_axes=(0, None))(x, T(2.0)).numpy(), a * 2)
    np.testing.assert_allclose(jt.vmap(lambda r: r, out_axes=1)(x).numpy(), a.T)
    np.testing.assert_allclose(jt.vmap(lambda r: r, in_axes=-1, out_axes=-1)(x).numpy(), a)
    assert jt.vmap(lambda r: T(1.0))(x).tolist() == [1.0, 1.0]
    assert jt.vmap(lambda r: 1.0)(x).shape == (2,)
    outer = jt.vmap(jt.vmap(jt.multiply, in_axes=(None, 0)), in_axes=(0, None))
    np.testing.assert_allclose(outer(v, T([1.0, 10.0, 100.0])).numpy(), np.outer([1, 2], [1, 10, 100]))


def test_vmap_axes_in_containers(T):
    a = np.arange(6.0).reshape(2, 3)
    p = {"w": T(a), "b": [T(1.0), T([10.0, 20.0, 30.0])]}
    f = lambda p, x: {"y": jt.sum(p["w"]) * x + p["b"][0], "all": (p["b"][1], 2.0)}  # noqa: E731
    got = jt.vmap(f, in_axes=({"w": 1, "b": [None, 0]}, None))(p, 2.0)
    assert got["y"].tolist() == [7.0, 11.0, 15.0]
    assert (got["all"][0].tolist(), got["all"][1].tolist()) == ([10.0, 20.0, 30.0], [2.0, 2.0, 2.0])
    got = jt.vmap(f, ({"w": 1, "b": (None, 0)}, None), out_axes={"y": 0, "all": (0, None)})(p, 2.0)
    assert got["all"][1].item() == 2.0
    Point = namedtuple("Point", "x y")
    got = jt.vmap(lambda q: Point(q.y, q.x), in_axes=(Point(0, 1),), out_axes=Point(1, 0))(Point(T(a.T), T(a)))
    assert (got.x.shape, got.y.tolist()) == ((2, 3), a.T.tolist())
    assert jt.vmap(lambda x, w: w, in_axes=(0, None), out_axes=None)(T(a), T([1.0])).tolist() == [1.0]
    assert jt.vmap(lambda x, n: x * n["n"], in_axes=(0, {"n": None}))(T(a), {"n": 2}).tolist() == (2 * a).tolist()


def test_vmap_axes_that_do_not_fit(T):
    a, p = T(np.zeros((2, 3))), {"w": T([1.0, 2.0])}
    with pytest.raises(jt.OpError, match=r"in_axes has a dict of \['v'\] where argument 1 has a dict of \['w'\]"):
        jt.vmap(lambda x, p: x, in_axes=(0, {"v": 0}))(a, p)
    with pytest.raises(jt.OpError, match=r"in_axes has a list of \[0\] where argument 0 has Tensor"):
        jt.vmap(lambda x: x, in_axes=([0],))(a)
    with pytest.raises(jt.OpError, match=r"in_axes holds 0\.5: expected ints, None"):
        jt.vmap(lambda x: x, in_axes=(0.5,))(a)
    with pytest.raises(jt.OpError, match=r"out_axes has a tuple of \[0, 1\] where the result has Tensor"):
        jt.vmap(lambda x: x, out_axes=(0, 1))(a)
    with pytest.raises(jt.ShapeError, match=r"argument 1\.w has shape \(2,\), so it has no axis 1.*None in in_axes"):
        jt.vmap(lambda x, p: x, in_axes=(0, 1))(a, p)
    with pytest.raises(jt.DTypeError, match=r"argument 1\.how has no axis 0 to batch over.*None in in_axes"):
        jt.vmap(lambda x, p: x)(a, {"how": "fast"})
    with pytest.raises(jt.ShapeError, match="differs from example to example"):
        jt.vmap(lambda x: x, out_axes=None)(a)
    with pytest.raises(jt.OpError, match=r"vmap takes a function, as in jt\.vmap\(f\)\(x\); got Tensor"):
        jt.vmap(a)


def test_vmap_refuses_to_look_at_one_value(T):
    for look in (bool, float, int, lambda x: x.item(), lambda x: x.numpy(), lambda x: x.tolist()):
        with pytest.raises(jt.TransformError, match=r"stands for many examples.*jt\.where"):
            jt.vmap(look)(T([1.0, 2.0]))


def test_vmap_shapes_as_one_example_has_them(T):
    seen = []

    def f(x):
        seen.append((x.shape, x.ndim, x.size, x.dtype, len(x)))
        return x

    jt.vmap(f)(T(np.zeros((5, 2, 3), dtype="float32")))
    assert seen == [((2, 3), 2, 6, jt.float32, 2)]


def test_vmap_of_an_op_without_a_rule(T):
    @jt.op(vjp={"x": None})
    def cumulate(xp, x, /):
        """What only some namespace has."""
        return xp.one_of_their_own(x)

    with pytest.raises(
        jt.TransformError, match=r"cumulate\(\) cannot run under vmap.*xp\.one_of_their_own.*@cumulate\.batch"
    ):
        jt.vmap(cumulate)(T([[1.0, 2.0]]))

    @jt.op(vjp={"x": lambda g, x_shape: jt.broadcast_to(g, x_shape)})
    def total(xp, x, /):
        """The sum, by its forward."""
        return xp.sum(xp.exp(xp.log(x)))

    got = jt.vmap(total)(T([[1.0, 2.0], [3.0, 4.0]]))
    np.testing.assert_allclose(got.numpy(), [3.0, 7.0])

    @jt.op(vjp={"x": None})
    def size(xp, x, /):
        """What an extension of the standard has."""
        return xp.linalg.vector_norm(xp.linalg.svdvals(x))

    got = jt.vmap(size)(T([[[3.0, 0.0], [0.0, 4.0]], [[1.0, 0.0], [0.0, 0.0]]]))
    np.testing.assert_allclose(got.numpy(), [5.0, 1.0])


def test_in_place_inside_and_outside(T):
    def inside(x):
        y = x * 1.0
        y += 1.0
        y[0] = 5.0
        return y

    assert jt.vmap(inside)(T([[1.0, 2.0], [3.0, 4.0]])).tolist() == [[5.0, 3.0], [5.0, 5.0]]
    total = T(0.0)

    def leak(x):
        nonlocal total
        total += x
        return x

    with pytest.raises(jt.TransformError, match="from outside jvp or vmap"):
        jt.vmap(leak)(T([1.0, 2.0]))
    assert total.item() == 0.0


EXAMPLES = {
    "index batched by constant": (lambda x: x[jt.asarray([0, 2])], [(4, 3)]),
    "index constant by batched": (lambda i: TABLE()[i], ["int"]),
    "index both": (lambda x, i: x[i], [(4, 3), "int"]),
    "index later axis": (lambda x, i: x[:, i], [(4, 2, 3), "int"]),
    "index split": (lambda x, i: x[i, :, i], [(4, 3, 2, 3), "int"]),
    "index split by constants": (lambda x: x[[0, 1], :, [1, 0]], [(4, 2, 3, 2)]),
    "index scalar and batched": (lambda x, i: x[0, :, i], [(4, 2, 2, 3), "int"]),
    "index new axis": (lambda x, i: x[None, i, ..., None], [(4, 3, 2), "int"]),
    "matvec": (lambda a, b: a @ b, [(4, 2, 3), (4, 3)]),
    "vecmat": (lambda a, b: a @ b, [(4, 3), (4, 3, 2)]),
    "dot": (lambda a, b: a @ b, [(4, 3), (4, 3)]),
    "matmul more axes": (lambda a, b: a @ b, [(4, 5, 2, 3), (4, 3, 2)]),
    "matmul constant": (lambda a: a @ jt.asarray(np.arange(6.0).reshape(3, 2)), [(4, 3)]),
    "concat": (lambda a, b: jt.concat([a, b, a], axis=-1), [(4, 2, 3), (4, 2, 1)]),
    "concat flat": (lambda a: jt.concat([a, a], axis=None), [(4, 2, 3)]),
    "stack": (lambda a, b: jt.stack([a, b], axis=1), [(4, 3), (4, 3)]),
    "where": (lambda a, b: jt.where(a > b, a, 0.0), [(4, 3), (4, 3)]),
    "clip": (lambda a: jt.clip(a, -0.5, 0.5), [(4, 3)]),
    "broadcast more axes": (lambda a, b: a + b, [(4, 3), (4, 2, 3)]),
    "reshape": (lambda a: jt.reshape(a, (-1,)), [(4, 2, 3)]),
    "squeeze": (lambda a: jt.squeeze(a, 0), [(4, 1, 3)]),
    "expand": (lambda a: jt.expand_dims(a, axis=-1), [(4, 3)]),
    "expand two": (lambda a: jt.expand_dims(a, axis=(0, -1)), [(4, 3)]),
    "sum_to": (lambda a: jt.sum_to(a, (1, 3)), [(4, 5, 2, 3)]),
    "argmax": (lambda a: jt.argmax(a), [(4, 2, 3)]),
    "argmax keepdims": (lambda a: jt.argmax(a, keepdims=True), [(4, 2, 3)]),
    "prod": (lambda a: jt.prod(a, axis=0), [(4, 3, 2)]),
    "transpose": (lambda a: a.T, [(4, 2, 3)]),
    "flip": (lambda a: jt.flip(a), [(4, 2, 3)]),
    "softmax": (lambda a: jt.softmax(a, axis=0), [(4, 3, 2)]),
}


def TABLE():
    return jt.asarray(np.arange(6.0).reshape(3, 2))


@pytest.mark.parametrize("name", EXAMPLES)
def test_vmap_against_a_loop(T, backend, name, monkeypatch):
    f, specs = EXAMPLES[name]
    rng = np.random.default_rng(0)
    monkeypatch.setattr(jt, "asarray", lambda data, _real=jt.asarray: _real(np.asarray(data), device=backend))
    arrays = [rng.integers(0, 2, size=(4, 5)) if s == "int" else rng.normal(size=s) for s in specs]
    got = jt.vmap(f)(*map(T, arrays))
    want = [f(*[T(a[i]) for a in arrays]).numpy() for i in range(4)]
    np.testing.assert_allclose(got.numpy(), np.stack(want), rtol=1e-12)
    if got.dtype == jt.float64 and "int" not in specs:
        weight = rng.normal(size=want[0].shape)
        g = jt.vmap(jt.grad(lambda *a: (f(*a) * T(weight)).sum()))(*map(T, arrays))
        loop = [jt.grad(lambda *a: (f(*a) * T(weight)).sum())(*[T(a[i]) for a in arrays]).numpy() for i in range(4)]
        np.testing.assert_allclose(g.numpy(), np.stack(loop), rtol=1e-12, atol=1e-14)
    elif got.dtype == jt.float64 and len(specs) == 2:
        weight = rng.normal(size=want[0].shape)
        h = lambda x, i: (f(x, i) * T(weight)).sum()  # noqa: E731
        g = jt.vmap(jt.grad(h))(*map(T, arrays))
        loop = [jt.grad(h)(*[T(a[i]) for a in arrays]).numpy() for i in range(4)]
        np.testing.assert_allclose(g.numpy(), np.stack(loop), rtol=1e-12)


# -- the nesting battery: a function that closes over a tracked tensor and reuses its argument -----------------------------


def reverse(f):
    return lambda x: jt.grad(f)(x)


def forward(f):
    return lambda x: jt.jvp(f, (x,), (jt.ones_like(x),))[1]


def batched(f):
    """The mean of f over two examples, x and x: the same number as f(x)."""
    return lambda x: jt.mean(jt.vmap(f)(jt.stack([x, x])))


@jt.custom_gradient
def same(x):
    return x * 1.0


@same.vjp
def _(g, x):
    return g * jt.exp(x - x)


# What each does to a function of one number, and how often it differentiates it.
MODES = {"grad": reverse, "jvp": forward, "vmap": batched}
MORE = MODES | {
    "vjp": lambda f: lambda x: jt.vjp(f, x)[1](jt.ones_like(x))[0],
    "jacrev": lambda f: lambda x: jt.jacobian(f)(x),
    "jacfwd": lambda f: lambda x: jt.jacobian(f, mode="forward")(x),
    "linearize": lambda f: lambda x: jt.linearize(f, x)[1](jt.ones_like(x)),
    "hessian": lambda f: lambda x: jt.hessian(f)(x),
    "hvp": lambda f: lambda x: jt.hvp(f, (x,), (jt.ones_like(x),))[0],
    "checkpoint": jt.checkpoint,
    "custom": lambda f: lambda x: f(same(x)),
}
TIMES = dict.fromkeys(MORE, 1) | {"vmap": 0, "checkpoint": 0, "custom": 0, "hessian": 2, "hvp": 2}
ORDERS = [*product(MODES, repeat=2), *product(MODES, repeat=3)]
# Every pair, and a tenth of the triples: each third comes after each pair of neighbours.
LARGE = [*product(MORE, repeat=2), *list(product(MORE, repeat=3))[::10]]


@pytest.mark.parametrize("order", list(dict.fromkeys([*ORDERS, *LARGE])), ids="-".join)
def test_nesting(T, order, monkeypatch):
    monkeypatch.setattr("jitrench_core.transforms.derivatives._loop", None)  # everything here can be batched
    w = T(0.7, requires_grad=True)

    def f(x):
        y = x * w
        return jt.sin(y) * x + jt.where(x > 0.0, x**3 * w * w, 0.0)

    transformed = f
    for mode in order:
        transformed = MORE[mode](transformed)
    n = sum(TIMES[mode] for mode in order)
    x = 1.3
    got = transformed(T(x))
    assert got.item() == pytest.approx(derivative(n, x, 0.7), rel=1e-12)
    # the closure's gradient goes through every level
    got.backward()
    slope = (derivative(n, x, 0.7 + 1e-6) - derivative(n, x, 0.7 - 1e-6)) / 2e-6
    assert w.grad.item() == pytest.approx(slope, rel=1e-6)


def derivative(n, x, w):
    """The n-th derivative by x of sin(xw) x + x^3 w^2, by Leibniz' rule."""
    wave = [w**k * math.sin(x * w + k * math.pi / 2) for k in (n, n - 1)]
    power = math.perm(3, n) * x ** (3 - n) if n <= 3 else 0.0
    return wave[0] * x + n * wave[1] + power * w**2


ONCE = [mode for mode in MORE if TIMES[mode] < 2]
INNER = [*product(ONCE, repeat=2), *list(product(ONCE, repeat=3))[::7]]


@pytest.mark.parametrize("order", list(dict.fromkeys([*ORDERS, *INNER])), ids="-".join)
def test_nesting_with_inner_functions(T, order):
    """Each level's function uses its own argument and the one of the level outside."""
    a, b, c = (MORE[m] for m in (*order, *["grad"] * (3 - len(order))))

    def f(x):
        def g(y):
            return c(lambda z: z**2 * y * x + z * y**2)(y) * x

        return b(g)(x) * x

    got = a(f)(T(0.9)).item()
    kinds = [TIMES[m] == 1 for m in (*order, *["grad"] * (3 - len(order)))]
    assert got == pytest.approx(by_polynomials(*kinds)(0.9), rel=1e-10)


def by_polynomials(da, db, dc):
    """The same in exact polynomial arithmetic: derivative where the mode is one, identity where it is vmap."""
    poly = pytest.importorskip("numpy.polynomial").Polynomial

    # inner(z) = z^2 y x + z y^2, at z = y: 2 y^2 x + y^2 where differentiated, else y^3 x + y^3
    inner = {True: lambda x: poly([0, 0, 2 * x + 1]), False: lambda x: poly([0, 0, 0, x + 1])}[dc]

    def f(x):
        g = inner(x) * x
        return (g.deriv() if db else g)(x) * x

    if not da:
        return f
    points = np.linspace(-1, 1, 9)
    fitted = poly.fit(points, [f(p) for p in points], 8).convert()
    return fitted.deriv()


def test_vmap_of_grad_of_vmap(T):
    a = np.arange(12.0).reshape(3, 4) / 7
    f = lambda row: jt.sum(jt.vmap(lambda v: v * jt.sin(v))(row))  # noqa: E731
    got = jt.vmap(jt.grad(f))(T(a))
    np.testing.assert_allclose(got.numpy(), np.sin(a) + a * np.cos(a))


def test_hessian_by_nesting(T):
    f = lambda x: jt.sum(x**3) + x[0] * x[1] * x[2]  # noqa: E731
    a = np.array([1.0, 2.0, 3.0])
    want = np.diag(6 * a) + np.array([[0, 3, 2], [3, 0, 1], [2, 1, 0]])
    eye = T(np.eye(3))
    forward_over_reverse = jt.vmap(lambda v: jt.jvp(jt.grad(f), (T(a),), (v,))[1])(eye)
    reverse_over_reverse = jt.vmap(lambda v: jt.grad(lambda x: jt.sum(jt.grad(f)(x) * v))(T(a)))(eye)
    np.testing.assert_allclose(forward_over_reverse.numpy(), want)
    np.testing.assert_allclose(reverse_over_reverse.numpy(), want)
