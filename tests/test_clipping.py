"""Clipping of gradients: torch.nn.utils' semantics, by closed forms."""

from __future__ import annotations

import math

import pytest

import jitrench_core as jt
import jitrench_nn as nn
import jitrench_optim as optim
from jitrench_core.optimizer import OptimizerError


def leaf(T, grad, dtype=None):
    """A parameter with a gradient (None: without)."""
    p = T([0.0] if grad is None else jt.zeros_like(jt.tensor(grad)).tolist(), dtype, requires_grad=True)
    if grad is not None:
        p.grad = T(grad, dtype)
    return p


def test_by_norm(T, close):
    params = {"a": leaf(T, [3.0, 0.0]), "b": [leaf(T, [[-4.0]]), leaf(T, None)], "fixed": T([1.0])}
    close(optim.clip_grad_norm(params, 1.0), 5.0)
    factor = 1.0 / (5.0 + 1e-6)
    close(params["a"].grad, [3.0 * factor, 0.0])
    close(params["b"][0].grad, [[-4.0 * factor]])
    assert params["b"][1].grad is None


def test_what_is_short_enough_is_left(T):
    p = leaf(T, [3.0, 4.0])
    assert optim.clip_grad_norm([p], 5.1).item() == 5.0
    assert p.grad.tolist() == [3.0, 4.0]
    assert optim.clip_grad_norm([p], math.inf).item() == 5.0
    assert p.grad.tolist() == [3.0, 4.0]
    optim.clip_grad_norm([p], 0.0)
    assert p.grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("order", "norm"), [(1.0, 7.0), (2.0, 5.0), (math.inf, 4.0), (3.0, (27 + 64) ** (1 / 3))])
def test_all_norms(order, norm, T, close):
    params = [leaf(T, [3.0]), leaf(T, [-4.0]), leaf(T, 0.0)]
    close(optim.grad_norm(params, order), norm)
    close(optim.clip_grad_norm(params, 1.0, norm_type=order), norm)
    close(params[1].grad, [-4.0 / (norm + 1e-6)])
    assert params[2].grad.shape == ()


def test_by_value(T):
    params = (leaf(T, [-3.0, 0.5, 2.0]), leaf(T, None), leaf(T, 7.0))
    optim.clip_grad_value(params, 1)
    assert params[0].grad.tolist() == [-1.0, 0.5, 1.0]
    assert params[2].grad.item() == 1.0
    optim.clip_grad_value(params, 0.0)
    assert params[0].grad.tolist() == [0.0, 0.0, 0.0]


def test_nothing_to_clip(T):
    p = leaf(T, None)
    for params in ([], [p], {"fixed": T([1.0]), "p": p}):
        assert optim.clip_grad_norm(params, 1.0).item() == 0.0
        assert optim.grad_norm(params).item() == 0.0
        optim.clip_grad_value(params, 1.0)
    assert optim.global_norm({"a": None}).item() == 0.0


def test_empty_gradients(T):
    params = [leaf(T, []), leaf(T, [3.0])]
    for order in (1.0, 2.0, math.inf):
        assert optim.clip_grad_norm(params, 10.0, order).item() == 3.0
    assert params[0].grad.shape == (0,)


def test_zeros_stay_zeros(T):
    p = leaf(T, [0.0, -0.0])
    assert optim.clip_grad_norm([p], 1.0).item() == 0.0
    assert p.grad.tolist() == [0.0, 0.0]


def test_a_shared_parameter_is_clipped_once(T, close):
    p = leaf(T, [3.0, 4.0])
    close(optim.clip_grad_norm({"a": p, "b": p}, 1.0), 5.0)
    close(optim.grad_norm([p, p]), 5.0 / (5.0 + 1e-6))


def test_dtypes_are_kept(T, close):
    params = [leaf(T, [3.0], "float32"), leaf(T, [4.0], "float64")]
    norm = optim.clip_grad_norm(params, 1.0)
    assert norm.dtype == jt.float64
    assert [p.grad.dtype for p in params] == [jt.float32, jt.float64]
    close(params[0].grad, [0.6], tol=1e-6)
    assert optim.clip_grad_norm(params[:1], 1.0).dtype == jt.float32
    assert params[0].grad.dtype == jt.float32


def test_gradients_that_are_not_finite(T):
    for bad in (math.nan, math.inf):
        p = leaf(T, [bad, 1.0])
        with pytest.raises(
            jt.GradientError,
            match=rf"the norm of the gradients is {bad}: find the operation that made it by jt\.detect_anomaly",
        ):
            optim.clip_grad_norm([p], 1.0, error_if_nonfinite=True)
        assert p.grad.tolist()[1] == 1.0  # untouched
        assert not math.isfinite(optim.grad_norm([p]).item())
    p = leaf(T, [math.nan, 1.0])
    optim.clip_grad_norm([p], 1.0)
    assert all(math.isnan(g) for g in p.grad.tolist())


def test_no_array_is_written_behind_a_graph(T):
    """A gradient that was recorded keeps its values and its graph; .grad is a new Tensor without one."""
    x = T([3.0, 4.0], requires_grad=True)
    (x**3).sum().backward(create_graph=True)
    g = x.grad
    assert optim.clip_grad_norm([x], 1.0).requires_grad is False
    assert g.tolist() == [27.0, 48.0]
    assert x.grad is not g
    assert not x.grad.requires_grad
    assert jt.grad(lambda x: (3 * x**2).sum())(x.detach()).tolist() == [18.0, 24.0]
    x.zero_grad()
    g.sum().backward()
    assert x.grad.tolist() == [18.0, 24.0]


# -- trees of gradients -----------------------------------------------------------------------------------------------


def test_trees(T, close):
    params = {"a": T([1.0, 2.0]), "b": (T([[2.0]]),)}
    gradients = jt.grad(lambda p: (p["a"] ** 2).sum() + (p["b"][0] ** 2).sum())(params)
    close(optim.global_norm(gradients), 6.0)
    clipped = optim.clip_by_norm(gradients, 3.0)
    close(clipped["a"], [2.0 * 3 / (6 + 1e-6), 4.0 * 3 / (6 + 1e-6)])
    assert isinstance(clipped["b"], tuple)
    close(optim.global_norm(clipped), 3.0, tol=1e-6)
    assert gradients["a"].tolist() == [2.0, 4.0]
    close(optim.clip_by_norm(T([3.0, -4.0]), 1.0, math.inf), [0.75 / (1 + 2.5e-7), -1.0 / (1 + 2.5e-7)])


def test_a_clipped_gradient_can_be_differentiated():
    """x / |x| has the derivative (1 - x x^T / |x|^2) / |x|; where nothing is clipped it is the identity."""
    x = jt.tensor([3.0, 4.0])
    expected = jt.tensor([[16.0, -12.0], [-12.0, 9.0]]) / 125.0
    assert jt.max(jt.abs(jt.jacobian(lambda x: optim.clip_by_norm(x, 1.0))(x) - expected)).item() < 1e-6
    assert jt.jacobian(lambda x: optim.clip_by_norm(x, 10.0))(x).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_under_vmap():
    """Each example's gradient by itself, as private training needs."""
    x = jt.tensor([[3.0, 4.0], [0.3, 0.4]])
    clipped = jt.vmap(lambda g: optim.clip_by_norm({"g": g}, 1.0)["g"])(x)
    assert jt.max(jt.abs(clipped - jt.tensor([[0.6, 0.8], [0.3, 0.4]]))).item() < 1e-6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: optim.clip_grad_norm(p, -1.0), r"clip_grad_norm: max_norm must be a number, 0 or above; got -1\.0"),
        (lambda p: optim.clip_grad_norm(p, math.nan), "clip_grad_norm: max_norm must be a number, 0 or above; got nan"),
        (lambda p: optim.clip_grad_norm(p, "1"), "clip_grad_norm: max_norm must be a number, 0 or above; got '1'"),
        (lambda p: optim.clip_grad_norm(p, 1.0, 0), "clip_grad_norm: norm_type must be a number above 0, such as 2.0 or jt.inf; got 0"),
        (lambda p: optim.clip_grad_value(p, True), "clip_grad_value: limit must be a number, 0 or above; got True"),
        (lambda p: optim.grad_norm(p, -2), "grad_norm: norm_type must be a number above 0"),
        (lambda p: optim.clip_by_norm(p, None), "clip_by_norm: max_norm must be a number, 0 or above; got None"),
        (lambda p: optim.global_norm(p, "two"), "global_norm: norm_type must be a number above 0, .*; got 'two'"),
    ],
)  # fmt: skip
def test_options_out_of_range(call, message):
    with pytest.raises(OptimizerError, match=message):
        call([jt.tensor([1.0], requires_grad=True)])


def test_what_is_no_tensor():
    with pytest.raises(jt.DTypeError, match="clip_grad_norm takes a tree of Tensors; got a float"):
        optim.clip_grad_norm([1.0], 1.0)
    with pytest.raises(jt.DTypeError, match="global_norm takes a tree of Tensors; got a str"):
        optim.global_norm({"a": "b"})
    model = nn.Linear(2)
    model(jt.ones((1, 3))).sum().backward()
    for given in (model, [model], nn.Sequential(model)):
        with pytest.raises(
            jt.DTypeError, match=r"clip_grad_norm takes a tree of Tensors; got a \w+: pass its parameters\(\)"
        ):
            optim.clip_grad_norm(given, 1.0)


def test_trees_by_value(T):
    grads = {"a": T([-3.0, 0.5]), "b": [None, T(2.0)]}
    clipped = optim.clip_by_value(grads, 1)
    assert (clipped["a"].tolist(), clipped["b"][0], clipped["b"][1].item()) == ([-1.0, 0.5], None, 1.0)
    assert grads["a"].tolist() == [-3.0, 0.5]
    assert jt.grad(lambda x: optim.clip_by_value({"x": x * x}, 1.0)["x"].sum())(T([0.5, 3.0])).tolist() == [1.0, 0.0]
    with pytest.raises(OptimizerError, match="clip_by_value: limit must be a number, 0 or above; got -1"):
        optim.clip_by_value(grads, -1)
    with pytest.raises(jt.DTypeError, match="clip_by_value takes a tree of Tensors; got a float"):
        optim.clip_by_value([1.0], 1.0)


def test_a_tree_of_gradients_is_for_the_others(T):
    grads = {"a": T([3.0]), "b": T([4.0])}
    recorded = jt.grad(lambda p: (p**3).sum())(T([1.0], requires_grad=True))
    for tree in (grads, [recorded]):
        with pytest.raises(
            jt.GradientError, match="clip_grad_norm takes parameters, .*: for a tree of gradients there is clip_by_norm"
        ):
            optim.clip_grad_norm(tree, 1.0)
        with pytest.raises(jt.GradientError, match="clip_grad_value takes parameters, .* there is clip_by_value"):
            optim.clip_grad_value(tree, 1.0)
        with pytest.raises(jt.GradientError, match="grad_norm takes parameters, .* there is global_norm"):
            optim.grad_norm(tree)
