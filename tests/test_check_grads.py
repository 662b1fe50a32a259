"""``jt.check_grads``: it passes what is right, to any order, and says what is wrong in words that help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import jitrench_core as jt
from jitrench_core.testing import check_grads

RIGHT = {
    "several arguments": (lambda x, y: jt.sin(x) * y, ([0.5, -1.0], 2.0)),
    "a scalar": (lambda x: jt.sum(x * jt.exp(x)), ([0.5, -1.0],)),
    "a matrix": (lambda x: jt.logsumexp(x @ jt.matrix_transpose(x), axis=0), ([[0.5, -1.0, 0.3], [0.1, 0.2, 0.7]],)),
    "containers": (lambda p, k: {"a": jt.tanh(p["w"]) * p["b"][0], "n": k}, ({"w": [0.5, 1.0], "b": (2.0,)}, 3)),
    "linear": (lambda x: 3.0 * x, ([1.0, 2.0],)),
    "an unused argument": (lambda x, y: x * x, ([1.0, 2.0], [3.0])),
    "large numbers": (lambda x: x * x, ([1e6, 3e7],)),
    "a sharp bend": (lambda x: jt.sin(1e4 * x), ([0.5, 1.0],)),
    "a kink near by": (lambda x: jt.relu(x), ([1e-6, -2e-7],)),
}


def tree(T, data):
    """Lists of numbers as tensors; dicts and tuples as they are."""
    if isinstance(data, dict):
        return {k: tree(T, v) for k, v in data.items()}
    if isinstance(data, tuple):
        return tuple(tree(T, v) for v in data)
    return T(data) if isinstance(data, list) else data


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_passes(T, name, order):
    f, args = RIGHT[name]
    if order == 1 or name not in ("a sharp bend", "large numbers", "a kink near by"):
        check_grads(f, *(tree(T, a) for a in args), order=order)


def test_complex_numbers(T):
    z = T([1 + 2j, 0.3 - 1j])
    jt.check_grads(lambda z: jt.exp(z) * z, z, order=3)
    jt.check_grads(lambda z: jt.abs(z) * jt.conj(z), z)
    jt.check_grads(lambda z, x: jt.real(z) * x + jt.imag(z) ** 2, z, T([1.0, 2.0]))
    with pytest.raises(jt.GradientCheckError, match=r"element \[0\]"):
        jt.check_grads(lambda z: half(z), z)


def test_a_dataclass_and_transforms_inside(T):
    @dataclass
    class Point:
        x: Any
        y: Any

    jt.check_grads(lambda p: jt.grad(lambda x: jt.sum(x**3 * p.y))(p.x), Point(T([0.5, 1.0]), T(2.0)))
    jt.check_grads(jt.vmap(lambda x: jt.sin(x) @ x), T([[0.5, 1.0], [2.0, 0.1]]))


@jt.op(elementwise=True, vjp={"x": lambda g, x: g * x})
def half(xp, x, /):
    """x squared, with half its slope."""
    return x * x


@jt.op(elementwise=True, vjp={"x": lambda g, x: g * 2.0 * x.detach()})
def once(xp, x, /):
    """x squared, with no second derivative."""
    return x * x


@jt.op(elementwise=True, vjp={"x": lambda g, x: g * 2.0 * x})
def forward_wrong(xp, x, /):
    """x squared."""
    return x * x


@forward_wrong.jvp
def _(primals, tangents):
    return primals[0] * primals[0], tangents[0] * primals[0]


def failure(f, *args, **options):
    with pytest.raises(jt.GradientCheckError) as error:
        jt.check_grads(f, *args, **options)
    return str(error.value)


def test_an_op_by_itself(T):
    text = failure(half, T([1.0, 3.0, 2.0]))
    assert text.startswith("check_grads of half(): the derivative by x, element [")
    assert "(3 of 3 elements are off). So a rule of op 'half' is wrong." in text


def test_input_element_both_numbers_and_the_op(T):
    def loss(params, scale):
        return scale * jt.sum(jt.exp(params["b"]) + half(params["w"]))

    text = failure(loss, {"w": T([[1.0, 2.0], [5.0, 3.0]]), "b": T([0.1, 0.2])}, 3.0)
    assert "check_grads of loss(): the derivative by params.w, element [1, 0], is 15.0 in reverse mode, and " in text
    number = float(text.partition("and ")[2].partition(" by")[0])
    assert abs(number - 30.0) < 1e-6
    assert (
        "by central differences (4 of 4 elements are off).\nA rule of op 'half' is wrong: the derivative by its input 'x'"
        in text
    )


def test_a_wrong_rule_of_an_op_that_the_check_could_use_itself(T, monkeypatch):
    op = jt.sum.op
    rule = op.rules["x"]
    monkeypatch.setitem(op.rules, "x", lambda g, x_shape, axis, keepdims: -rule(g, x_shape, axis, keepdims))
    op._reset()
    try:
        assert "the derivative by x" in failure(jt.sum, T([1.0, 2.0]), order=1, modes="reverse")
    finally:
        monkeypatch.undo()
        op._reset()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_infinity_on_the_way_is_no_wrong_rule(T):
    text = failure(lambda x: jt.sum(1.0 / jt.exp(x)), T([800.0, 1.0]))
    assert "On the way exp() makes [ inf 2.718" in text
    assert "choose another point" in text
    assert "wrong" not in text


def test_modes_and_orders_are_told_apart(T):
    x = T([1.0, 2.0])
    jt.check_grads(once, x, order=1)
    assert "the derivative of the reverse derivative, by x" in failure(once, x)
    assert "the derivative of the forward derivative, element" in failure(once, x, modes="forward")
    jt.check_grads(forward_wrong, x, modes=["reverse"])
    assert "in forward mode, and" in failure(forward_wrong, x)
    text = failure(lambda x: jt.sum(once(x)), x)
    assert "A rule of op 'once' is wrong: the derivative of the reverse derivative, by its input 'x'" in text


def test_what_left_the_graph(T):
    text = failure(lambda x: x * x.detach(), T([1.0, 2.0]))
    assert text.endswith(
        "Each op by itself is right; its result was made by multiply(): look for what left the graph on the way, by "
        "detach(), numpy() or float()."
    )


def test_kinks_and_jumps(T):
    text = failure(lambda x: jt.sum(jt.relu(x)), T([2.0, 0.0, -1.0]))
    assert "the derivative by x, element [1], cannot be compared: the function has a kink there" in text
    assert "(its slope is 0 to the left and 1 to the right, JITrench's 0). Move the point away from it" in text
    assert "a kink" in failure(jt.abs, T(0.0))  # although its slope is that of the differences
    assert "a kink" in failure(lambda x: jt.maximum(x, 1.0), T([1.0]), modes="forward")
    assert "a jump" in failure(jt.floor, T([0.5, 1.0]))
    assert "element [0, 1]" in failure(lambda x: jt.sum(jt.abs(x)), T([[1.0, 0.0]]))
    assert "a kink" in failure(jt.abs, T([0j, 1 + 1j]))


def test_what_is_not_deterministic(T):
    draws = iter(range(100))
    text = failure(lambda x: x * next(draws), T([1.0]))
    assert "is not deterministic: two calls with the same arguments returned [0.] and [1.]" in text
    generator = jt.random.Generator(0)
    assert "let it make its generator anew" in failure(lambda x: x * generator.normal((1,)).to(x.device), T([1.0]))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_no_number_there(T):
    assert "is [nan] at this point, and has no derivative there" in failure(jt.log, T([-1.0]))


def test_what_it_refuses(T):
    with pytest.raises(jt.DTypeError, match=r"w is float32, .* convert it to float64, by w.astype\(jt.float64\)"):
        jt.check_grads(lambda x, w: x * w, T([1.0]), T([1.0], "float32"))
    with pytest.raises(jt.DTypeError, match="convert it to complex128"):
        jt.check_grads(lambda x: x, T([1j], "complex64"))
    with pytest.raises(jt.DTypeError, match="of float64 returned float32"):
        jt.check_grads(lambda x: x.astype(jt.float32), T([1.0]))
    with pytest.raises(jt.OpError, match="no floating-point number in the arguments to differentiate by; got int64"):
        jt.check_grads(lambda x: x, T([1]))
    with pytest.raises(
        jt.OpError, match=r"no floating-point number.*; got none: pass them, as in jt\.check_grads\(f, x\)"
    ):
        jt.check_grads(lambda x: x)
    with pytest.raises(jt.OpError, match=r"returned the float 1\.0, to which nothing was recorded"):
        jt.check_grads(lambda x: float(x), T(1.0))
    with pytest.raises(jt.OpError, match="returned no floating-point tensor"):
        jt.check_grads(lambda x: x > 0, T(1.0))
    with pytest.raises(jt.OpError, match="modes are 'reverse' and 'forward', order is 1 or more"):
        jt.check_grads(jt.sin, T(1.0), modes=("backward",))
    with pytest.raises(jt.OpError, match="order is 1 or more"):
        jt.check_grads(jt.sin, T(1.0), order=0)


def test_an_op_without_a_rule_is_named(T):
    @jt.op
    def bare(xp, x, /):
        """No rule."""
        return xp.positive(x)

    with pytest.raises(jt.GradientError, match="no derivative rule") as error:
        jt.check_grads(bare, T(1.0))
    assert error.value.__notes__ == ["in check_grads of bare(): the derivative in reverse mode"]


def test_a_custom_gradient_is_named(T):
    @jt.custom_gradient
    def wrong(x):
        return jt.sin(x)

    wrong.vjp(lambda g, x: -g * jt.cos(x))
    with pytest.raises(jt.GradientCheckError, match=r"derivative by x, element .*So a rule of wrong\(\) is wrong\."):
        jt.check_grads(wrong, T([0.5, 1.0]))
    with pytest.raises(
        jt.GradientCheckError, match=r"so look at the rules of wrong\(\): jt\.check_grads of that function alone"
    ):
        jt.check_grads(lambda w: jt.sum(wrong(w) ** 2), T([0.5, 1.0]))


def test_the_same_seed_the_same_directions(T):
    x = T([1.0, 2.0])
    assert failure(half, x) == failure(half, x) != failure(half, x, seed=1)


def test_it_leaves_no_watch_behind(T):
    from jitrench_core import backend

    x = T([1.0, 2.0])
    failure(lambda x: half(x), x)
    assert backend.watch is None
    assert np.all(half(x).numpy() == [1.0, 4.0])
