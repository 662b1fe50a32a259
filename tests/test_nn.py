"""Functional networks: shape inference, parameter trees, layers, losses, metrics, initializers."""

from __future__ import annotations

import doctest
import importlib
import math
import threading
from dataclasses import dataclass

import numpy as np
import pytest

import jitrench_core as jt
import jitrench_nn as nn
from jitrench_core.layer import LayerError, Scope
from jitrench_core.testing import check_op


def mlp(x):
    x = jt.tanh(nn.Linear(4)(x))
    return nn.Linear(2)(x)


class Scale(jt.Layer):
    """A layer of a third party: one parameter, of the input's width."""

    def forward(self, x):
        return x * self.parameter("scale", x.shape[-1:], nn.ones)


class Block(jt.Layer):
    """A layer made of layers: one it holds, one it makes as it runs, and a Tensor of its own."""

    def __init__(self):
        self.inner = nn.Linear(3)
        self.gain = jt.tensor(2.0, requires_grad=True)

    def forward(self, x):
        return nn.Linear(2)(self.inner(x)) * self.gain


def shapes(tree):
    return {k: shapes(v) if isinstance(v, dict) else v.shape for k, v in tree.items()}


# -- init -------------------------------------------------------------------------------------------------------------


def test_init_infers_every_shape_and_names_layers_in_order():
    params = nn.init(mlp, (None, 3), seed=0)
    assert list(params) == ["Linear_1", "Linear_2"]
    assert shapes(params) == {
        "Linear_1": {"weight": (4, 3), "bias": (4,)},
        "Linear_2": {"weight": (2, 4), "bias": (2,)},
    }
    weight = params["Linear_1"]["weight"]
    assert weight.is_leaf
    assert weight.requires_grad
    assert weight.grad is None
    assert (weight.dtype, weight.device, weight.name) == (jt.float64, jt.device(), "Linear_1.weight")


def test_one_seed_gives_one_set_of_numbers_on_every_backend(backend):
    a, b = nn.init(mlp, (None, 3), seed=5, device=backend), nn.init(mlp, (None, 3), seed=5)
    c = nn.init(mlp, (None, 3), seed=6, device=backend)
    assert a["Linear_1"]["weight"].tolist() == b["Linear_1"]["weight"].tolist()
    assert a["Linear_1"]["weight"].tolist() != c["Linear_1"]["weight"].tolist()
    assert a["Linear_1"]["weight"].device == backend


def test_parameters_take_dtype_and_device_of_an_example(T, backend):
    params = nn.init(mlp, T(np.ones((5, 3), "float32")))
    assert {p.dtype for p in params["Linear_1"].values()} == {jt.float32}
    assert params["Linear_1"]["weight"].device == jt.device(backend)
    assert nn.init(mlp, np.ones((5, 3), "float32"))["Linear_2"]["bias"].dtype == jt.float32
    assert nn.init(mlp, (None, 3), dtype="float32", device=backend)["Linear_2"]["bias"].dtype == jt.float32
    assert nn.init(mlp, T(np.ones((5, 3), "float32")), dtype=jt.float64)["Linear_2"]["bias"].dtype == jt.float64
    assert nn.init(mlp, (2, 3), dtype="float16")["Linear_1"]["weight"].dtype == jt.float16


@pytest.mark.parametrize("example", [3, "x", (None, -1), (None, 2.5), (True, 3)])
def test_what_is_no_example_is_refused(example):
    with pytest.raises(
        LayerError, match=r"init\(\): example 0 must be a shape such as \(None, 784\), a Tensor or an array"
    ):
        nn.init(mlp, example)


def test_init_without_an_example_is_refused():
    with pytest.raises(LayerError, match="init\\(\\) needs an example of the model's input"):
        nn.init(mlp)


def test_init_leaves_no_graph_and_takes_several_inputs():
    seen = []

    def model(x, y):
        seen.append((x.shape, y.shape))
        z = nn.Linear(3)(x) + nn.Linear(3)(y)
        seen.append(z.requires_grad)
        return z

    params = nn.init(model, (None, 2), (None, 5))
    assert seen == [((1, 2), (1, 5)), False]
    assert nn.apply(model, params, jt.ones((4, 2)), jt.ones((4, 5))).shape == (4, 3)


# -- apply ------------------------------------------------------------------------------------------------------------


def test_apply_computes_with_the_parameters(T, backend, close):
    params = nn.init(mlp, (None, 3), seed=1, device=backend)
    x = np.linspace(-1, 1, 15).reshape(5, 3)
    (w1, b1), (w2, b2) = ([t.numpy() for t in params[f"Linear_{i}"].values()] for i in (1, 2))
    y = nn.apply(mlp, params, T(x))
    close(y, np.tanh(x @ w1.T + b1) @ w2.T + b2)
    y.sum().backward()
    assert params["Linear_1"]["weight"].grad.shape == (4, 3)


def test_arrays_become_tensors_and_keywords_pass():
    def model(x, *, twice=False):
        assert type(x) is jt.Tensor
        y = nn.Linear(2)(x)
        return y * 2.0 if twice else y

    params = nn.init(model, (None, 3))
    x = np.ones((4, 3))
    assert nn.apply(model, params, x, twice=True).tolist() == (nn.apply(model, params, x) * 2.0).tolist()


def test_leading_axes_of_linear(T, backend):
    params = nn.init(mlp, (None, 3), device=backend)
    x = T(np.arange(24.0).reshape(2, 4, 3))
    y = nn.apply(mlp, params, x)
    assert y.shape == (2, 4, 2)
    assert nn.apply(mlp, params, x[0, 0]).shape == (2,)
    np.testing.assert_allclose(y.numpy()[1, 2], nn.apply(mlp, params, x[1, 2]).numpy(), rtol=1e-12)


def test_gradients_through_the_tree(backend, close):
    params = nn.init(mlp, (None, 3), seed=2, device=backend)
    x = jt.random.Generator(0, device=backend).normal((6, 3))

    def loss(p):
        return nn.mse_loss(nn.apply(mlp, p, x), jt.ones((6, 2), device=backend))

    value, gradient = jt.value_and_grad(loss)(params)
    loss(params).backward()
    assert value.shape == ()
    for layer in params:
        for name, p in params[layer].items():
            close(gradient[layer][name], p.grad)


def test_under_vmap_and_jvp(backend, close):
    params = nn.init(mlp, (None, 3), seed=2, device=backend)
    x = jt.random.Generator(0, device=backend).normal((6, 3))
    close(jt.vmap(lambda row: nn.apply(mlp, params, row))(x), nn.apply(mlp, params, x))
    _, dy = jt.jvp(lambda x: nn.apply(mlp, params, x), (x,), (jt.ones_like(x),))
    near = nn.apply(mlp, params, x + 1e-6), nn.apply(mlp, params, x - 1e-6)
    close(dy, (near[0] - near[1]).numpy() / 2e-6, tol=1e-8)


def test_a_model_may_use_transforms(backend):
    """Its parameters do not belong to its vmap."""

    def model(x):
        return jt.vmap(lambda row: nn.Linear(3)(row))(x)

    params = nn.init(model, (2, 4), device=backend)
    weight = params["Linear_1"]["weight"]
    assert weight.tolist() == nn.init(nn.Linear(3), (2, 4))["weight"].tolist()
    nn.apply(model, params, jt.ones((5, 4), device=backend)).sum().backward()
    assert weight.grad.tolist() == [[5.0] * 4] * 3


def test_an_ensemble_by_vmap(backend, close):
    """One axis more on every parameter: several networks at once."""
    several = [nn.init(mlp, (None, 3), seed=i, device=backend) for i in range(4)]
    layers = {k: list(v) for k, v in several[0].items()}
    stacked = {k: {n: jt.stack([p[k][n] for p in several]) for n in names} for k, names in layers.items()}
    x = jt.random.Generator(0, device=backend).normal((6, 3))
    close(jt.vmap(lambda p: nn.apply(mlp, p, x))(stacked), [nn.apply(mlp, p, x).tolist() for p in several])


# -- names and sharing ------------------------------------------------------------------------------------------------


def test_a_layer_called_twice_shares_its_parameters():
    def model(x):
        layer = nn.Linear(3)
        return nn.Linear(1)(layer(layer(x)))

    params = nn.init(model, (None, 3))
    assert list(params) == ["Linear_1", "Linear_2"]
    nn.apply(model, params, jt.ones((2, 3))).sum().backward()
    assert params["Linear_1"]["weight"].grad is not None


def test_a_layer_from_outside_the_model_keeps_nothing():
    layer = nn.Linear(3)

    def model(x):
        return layer(x)

    a, b = nn.init(model, (None, 2), seed=0), nn.init(model, (None, 5), seed=1)
    assert shapes(a) == {"Linear_1": {"weight": (3, 2), "bias": (3,)}}
    assert shapes(b) == {"Linear_1": {"weight": (3, 5), "bias": (3,)}}
    assert nn.apply(model, a, jt.ones((1, 2))).shape == nn.apply(model, b, jt.ones((1, 5))).shape
    assert "weight" not in vars(layer)


def test_names_may_be_given():
    def model(x):
        return nn.Linear(2, name="head")(nn.Linear(3)(x))

    params = nn.init(model, (None, 4))
    assert list(params) == ["Linear_1", "head"]
    assert params["head"]["bias"].name == "head.bias"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a", "a"), "two layers have the name 'a'"),
        (("a.b", "c"), "a word without dots; got 'a.b'"),
        (("", "c"), "got ''"),
    ],
)
def test_names_that_cannot_be(names, message):
    def model(x):
        return nn.Linear(2, name=names[1])(nn.Linear(2, name=names[0])(x))

    with pytest.raises(LayerError, match=message):
        nn.init(model, (None, 4))


def test_layers_inside_layers():
    def model(x):
        return Block()(Scale()(x))

    params = nn.init(model, (None, 5))
    assert shapes(params) == {
        "Scale_1": {"scale": (5,)},
        "Block_1": {
            "inner": {"weight": (3, 5), "bias": (3,)},
            "Linear_1": {"weight": (2, 3), "bias": (2,)},
            "gain": (),
        },
    }
    assert params["Block_1"]["inner"]["weight"].name == "Block_1.inner.weight"
    y = nn.apply(model, params, jt.ones((1, 5)))
    with jt.no_grad():
        params["Block_1"]["gain"] *= 10.0
    np.testing.assert_allclose(nn.apply(model, params, jt.ones((1, 5))).numpy(), 10 * y.numpy(), rtol=1e-12)


def test_a_block_called_twice_names_the_layers_inside_it_once():
    block = Block()

    def model(x):
        return block(nn.Linear(5)(block(x)))

    params = nn.init(model, (None, 5))
    assert list(params) == ["Block_1", "Linear_1"]
    assert list(params["Block_1"]) == ["inner", "Linear_1", "gain"]
    assert nn.apply(model, params, jt.ones((2, 5))).shape == (2, 2)


def test_layers_need_no_constructor_no_hash_and_no_parameters():
    @dataclass
    class Times(jt.Layer):  # a dataclass that compares by value has no hash
        factor: float

        def forward(self, x):
            return x * self.factor

    def model(x):
        return nn.Linear(1, bias=False)(Times(3.0)(Times(2.0)(x)))

    params = nn.init(model, (None, 2))
    assert list(params) == ["Linear_1"]
    assert nn.apply(model, params, jt.ones((1, 2))).shape == (1, 1)
    assert Times(2.0)(jt.tensor([1.0])).tolist() == [2.0]


def test_state_that_is_not_trained(backend):
    from jitrench_core.tensor import assign

    class Counter(jt.Layer):
        def forward(self, x):
            n = self.parameter("calls", (), nn.zeros, trainable=False)
            with jt.no_grad():
                assign(n, n + 1.0)
            return x

    params = nn.init(Counter(), (None, 1), device=backend)
    assert not params["calls"].requires_grad
    for _ in range(3):
        nn.apply(Counter(), params, jt.ones((1, 1), device=backend))
    assert params["calls"].item() == 4.0


def test_the_state_of_an_object_is_a_tree():
    block = Block()
    assert list(block.state()) == ["gain"]
    block.inner.weight = nn.Parameter(jt.zeros((3, 2)))
    assert shapes(block.state()) == {"gain": (), "inner": {"weight": (3, 2)}}


def test_threads_do_not_see_each_others_parameters():
    layer = nn.Linear(1, bias=False)

    def model(x):
        return layer(x)

    wrong = []

    def run(value):
        params = {"Linear_1": {"weight": jt.tensor([[value]])}}
        wrong.extend(y for _ in range(300) if (y := nn.apply(model, params, np.ones((1, 1))).item()) != value)

    threads = [threading.Thread(target=run, args=(float(i),)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


# -- errors -----------------------------------------------------------------------------------------------------------


def test_a_model_called_outside_init_and_apply():
    """Its layers are made anew at each call, so their parameters are lost; that is said."""
    lost = r"this Linear made its parameters, and they are gone with it.* nn\.init\(model, shape\) and nn\.apply\(model, params, x\)"
    with pytest.warns(UserWarning, match=lost):
        mlp(jt.ones((1, 3)))
    params = nn.init(mlp, (None, 3))
    nn.apply(mlp, params, jt.ones((1, 3)))
    with pytest.warns(UserWarning, match=lost):  # an apply leaves nothing open
        mlp(jt.ones((1, 3)))
    with pytest.raises(ZeroDivisionError):
        nn.apply(lambda x: 1 / 0, params, jt.ones((1, 3)))
    with pytest.warns(UserWarning, match=lost):
        mlp(jt.ones((1, 3)))


def test_another_width_names_layer_expected_and_got(backend):
    params = nn.init(mlp, (None, 3), device=backend)
    message = (
        r"Linear_1: expected 'weight' of shape \(4, 5\) for an input of shape \(2, 5\), got \(4, 3\): pass an input like the "
        r"one the parameters were made for"
    )
    with pytest.raises(jt.ShapeError, match=message):
        nn.apply(mlp, params, jt.ones((2, 5), device=backend))


def test_dtype_drift_names_layer_and_fix(backend):
    params = nn.init(mlp, (None, 3), dtype="float32", device=backend)
    message = (
        r"Linear_1 has float32 parameters and got a float64 input of shape \(2, 3\): convert the data, x\.astype\(jt\.float32\), "
        r"or make the parameters from a float64 example"
    )
    with pytest.raises(jt.DTypeError, match=message):
        nn.apply(mlp, params, jt.ones((2, 3), device=backend))
    with pytest.raises(jt.DTypeError, match=r"Linear_1: expected a floating-point input, got int64 of shape \(2, 3\)"):
        nn.apply(mlp, params, jt.ones((2, 3), dtype="int64", device=backend))
    with pytest.raises(jt.DTypeError, match="Scale has float32 parameters"):  # of any layer
        nn.apply(Scale(), {"scale": jt.ones(3, dtype="float32")}, np.ones((2, 3)))


def test_missing_and_unexpected_parameters():
    params = nn.init(mlp, (None, 3))
    x = jt.ones((1, 3))
    with pytest.raises(
        jt.NotFoundError,
        match=r"^Linear_2 needs a parameter 'weight' of shape \(2, 4\), which params lack; they hold no 'Linear_2', only 'Linear_1'$",
    ):
        nn.apply(mlp, {"Linear_1": params["Linear_1"]}, x)
    with pytest.raises(jt.NotFoundError, match=r"which params lack; they are empty: make them by nn\.init\(model, "):
        nn.apply(mlp, {}, x)
    misnamed = {**params, "Linear_2": {"weigth": params["Linear_2"]["weight"], "bias": params["Linear_2"]["bias"]}}
    with pytest.raises(jt.NotFoundError, match=r"they hold 'weigth', 'bias'\. Did you mean 'weigth'\?"):
        nn.apply(mlp, misnamed, x)
    with pytest.raises(
        LayerError, match=r"params hold 'Linear_3', 'Linear_2\.extra', which no layer of the model asked for"
    ):
        nn.apply(mlp, {**params, "Linear_2": {**params["Linear_2"], "extra": x}, "Linear_3": {}}, x)
    with pytest.raises(LayerError, match=r"params\['Linear_1'\] is a Tensor; expected a dict"):
        nn.apply(mlp, {**params, "Linear_1": x}, x)
    with pytest.raises(LayerError, match="Linear_1: the parameter 'weight' is a list; expected a Tensor"):
        nn.apply(mlp, {**params, "Linear_1": {"weight": [1.0], "bias": x}}, x)
    with pytest.raises(LayerError, match=r"apply\(model, params, x\): params must be the dict .* got Tensor"):
        nn.apply(mlp, x, params)


def test_linear_takes_one_width():
    """PyTorch's Linear(in, out) must not pass for a bias."""
    for arguments, fix in [
        ((3, 10), r"write Linear\(10\), not Linear\(3, 10\)"),
        ((3, 10, False), r"write Linear\(10\), not Linear\(3, 10, False\)"),
        ((3, False), r"write Linear\(3, bias=False\), not"),
        ((3, None), r"write Linear\(3, bias=\.\.\.\), not"),
    ]:
        with pytest.raises(LayerError, match=rf"^Linear takes the output width only; the input's is inferred, .*{fix}"):
            nn.Linear(*arguments)
    for bias in (10, 1, None, jt.zeros(2)):
        with pytest.raises(LayerError, match=r"Linear\(bias=\): expected True or False, got "):
            nn.Linear(3, bias=bias)


@pytest.mark.parametrize("given", [[[1.0, 2.0, 3.0]], 1.0, 2, ((1.0,),)])
def test_inputs_that_are_no_arrays(given):
    kind = type(given).__name__
    params = nn.init(mlp, (None, 3))
    fix = rf"input 0 is a {kind}; expected a Tensor or an array: convert it, jt\.tensor\("
    with pytest.raises(LayerError, match=f"^Linear_1: {fix}"):
        nn.apply(mlp, params, given)
    with pytest.raises(LayerError, match=rf"^apply\(model, params, x\): {fix}"):
        nn.apply(lambda x: mlp(x.astype(jt.float64)), params, given)
    with pytest.raises(LayerError, match=f"^Scale_1: {fix}"):  # of any layer
        nn.apply(lambda x: Scale()(given), {}, jt.ones(3))
    with pytest.raises(LayerError, match=f"^Linear: {fix}"):
        nn.Linear(2)(given)


def test_a_models_own_attribute_errors_stay():
    params = nn.init(mlp, (None, 3))
    for given, model in [(jt.ones((1, 3)), lambda x: x.nothing), ([1.0], lambda x: x.nothing)]:
        with pytest.raises(AttributeError, match="nothing"):
            nn.apply(model, params, given)
    assert nn.apply(lambda x, n: mlp(x) * n, params, jt.zeros((1, 3)), 2).shape == (1, 2)  # a number stays one


def test_what_is_no_model_is_refused():
    params = nn.init(mlp, (None, 3))
    with pytest.raises(LayerError, match=r"init\(model, \*examples\): the model comes first, .*; got tuple"):
        nn.init((None, 3), mlp)
    with pytest.raises(LayerError, match=r"apply\(model, params, x\): the model comes first, .*; got dict"):
        nn.apply(params, mlp, jt.ones((1, 3)))
    with pytest.raises(LayerError, match=r"the model is the class Linear; make a layer of it, Linear\(\.\.\.\)"):
        nn.init(nn.Linear, (None, 3))
    with pytest.raises(LayerError, match=r"got int 3\. A shape is one tuple, such as \(None, 3\)"):
        nn.init(mlp, 3)
    with pytest.raises(LayerError, match=r"got list \[\[1\.0\]\]\. Of data make a Tensor, jt\.tensor"):
        nn.init(mlp, [[1.0]])


def test_unexpected_parameters_beside_a_layer_without_any():
    """One name too many and one too few must not cancel out."""

    class Plain(jt.Layer):
        def forward(self, x):
            return x

    def model(x):
        return nn.Linear(1)(Plain()(x))

    params = nn.init(model, (None, 2))
    with pytest.raises(LayerError, match="params hold 'other'"):
        nn.apply(model, {**params, "other": {}}, jt.ones((1, 2)))


def test_other_mistakes_of_authors_and_users():
    class Empty(jt.Layer):
        pass

    class Wrong(jt.Layer):
        def forward(self, x):
            return self.parameter("w", (3,), lambda generator, shape, dtype: jt.ones(2))

    class Direct(jt.Layer):
        def __init__(self):
            self.inner = nn.Linear(2)

        def forward(self, x):
            return self.inner.forward(x)

    with pytest.raises(NotImplementedError, match="layer Empty has no forward"):
        nn.init(Empty(), (None, 2))
    with pytest.raises(
        LayerError, match=r"Wrong: the initializer of 'w' returned shape \(2,\); expected a Tensor of shape \(3,\)"
    ):
        nn.init(Wrong(), (None, 2))
    with pytest.raises(LayerError, match=r"Linear: call the layer itself, not its forward\(\)"):
        nn.init(Direct(), (None, 2))
    with pytest.raises(jt.ShapeError, match=r"Linear: expected an input of shape \(\.\.\., width\), got a 0-d tensor"):
        nn.init(nn.Linear(2), ())
    for width in (0, -1, 2.0, True, None):
        with pytest.raises(jt.ShapeError, match=r"Linear\(out_dim\): the width of the output must be an int from 1"):
            nn.Linear(width)


def test_mixed_devices_are_refused():
    pytest.importorskip("jitrench_strict")
    params = nn.init(mlp, (None, 3), device="strict:0")
    with pytest.raises(jt.DeviceMismatchError, match="numpy"):
        nn.apply(mlp, params, np.ones((2, 3)))


# -- losses and metrics -----------------------------------------------------------------------------------------------


def test_mse_loss(T, close):
    x, y = np.arange(6.0).reshape(2, 3), np.array([[1.0, -1.0, 2.0], [0.0, 5.0, 4.0]])
    a = T(x, requires_grad=True)
    loss = nn.mse_loss(a, T(y))
    close(loss, np.mean((x - y) ** 2))
    loss.backward()
    close(a.grad, 2 * (x - y) / 6)
    with pytest.raises(jt.ShapeError, match=r"x has shape \(2, 1\) and target \(2,\); they must be equal"):
        nn.mse_loss(T(x[:, :1]), T(y[:, 0]))


def reference_cross_entropy(x, t):
    """By the definition, in extended precision; classes are on axis 1, or on the only one."""
    x = np.moveaxis(x, min(1, x.ndim - 1), -1).astype(np.longdouble)
    return float(
        np.mean(
            np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1))
            + x.max(-1)
            - np.take_along_axis(x, t[..., None], -1)[..., 0]
        )
    )


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4), (3,)])
def test_cross_entropy(shape, T, close):
    rng = np.random.default_rng(0)
    axis = min(1, len(shape) - 1)
    x, t = rng.normal(size=shape), rng.integers(0, 3, size=shape[:axis] + shape[axis + 1 :])
    a = T(x, requires_grad=True)
    loss = nn.cross_entropy(a, T(t))
    close(loss, reference_cross_entropy(x, t))
    loss.backward()
    softmax = np.exp(x) / np.exp(x).sum(axis, keepdims=True)
    close(a.grad, (softmax - np.moveaxis(np.eye(3)[t], -1, axis)) / max(t.size, 1))


def test_cross_entropy_is_stable(T, close):
    x = T([[1000.0, -1000.0], [-1000.0, 1000.0]], requires_grad=True)
    loss = nn.cross_entropy(x, T([0, 0]))
    assert loss.item() == 1000.0
    loss.backward()
    close(x.grad, [[0.0, 0.0], [-0.5, 0.5]])
    low = T([[0.0, -math.inf]], requires_grad=True)
    loss = nn.cross_entropy(low, T([0]))
    loss.backward()
    assert (loss.item(), low.grad.tolist()) == (0.0, [[0.0, 0.0]])


def test_cross_entropy_keeps_float32(T):
    x = T(np.ones((2, 3)), "float32", requires_grad=True)
    loss = nn.cross_entropy(x, T([0, 1]))
    loss.backward()
    assert loss.dtype == x.grad.dtype == jt.float32


def test_cross_entropy_has_second_derivatives(T, close):
    t = T([2, 0])

    def f(x):
        return nn.cross_entropy(x, t)

    x = T([[0.3, -0.2, 0.5], [1.0, 0.1, -0.4]])
    v = T([[0.2, 0.1, -0.3], [0.5, -0.6, 0.7]])
    hvp = jt.grad(lambda x: jt.sum(jt.grad(f)(x) * v))(x)
    step = 1e-6
    close(hvp, (jt.grad(f)(x + step * v) - jt.grad(f)(x - step * v)).numpy() / (2 * step), tol=1e-8)


@pytest.mark.parametrize(
    ("shape", "target", "error", "message"),
    [
        ((2, 3), [0.0, 1.0], jt.DTypeError, r"target has dtype float64; expected integer classes, of shape \(2,\)"),
        ((2, 3), [[1, 0, 0], [0, 1, 0]], jt.ShapeError, r"expected \(n, classes, \.\.\.\) and \(n, \.\.\.\)"),
        ((2, 3), [0], jt.ShapeError, r"x has shape \(2, 3\) and target \(1,\)"),
        ((2, 3), [0, 3], jt.ShapeError, r"classes are 0 to 2, because x has shape \(2, 3\); target holds 3"),
        ((2, 3), [-1, 0], jt.ShapeError, "target holds -1"),
    ],
)
def test_classes_that_do_not_fit(shape, target, error, message, T):
    with pytest.raises(error, match=message):
        nn.cross_entropy(T(np.zeros(shape)), T(target))


def test_cross_entropy_under_vmap(T, close):
    rng = np.random.default_rng(1)
    x, t = rng.normal(size=(4, 5, 3)), rng.integers(0, 3, size=(4, 5))
    each = jt.vmap(nn.cross_entropy)(T(x), T(t))
    close(each, [reference_cross_entropy(a, b) for a, b in zip(x, t, strict=True)])
    t[2, 1] = 3
    assert [math.isnan(v) for v in jt.vmap(nn.cross_entropy)(T(x), T(t)).tolist()] == [False, False, True, False]


def test_losses_are_ops_of_the_catalogue():
    assert jt.ops.mse_loss is nn.mse_loss
    assert jt.registry.ops["cross_entropy"] is nn.cross_entropy
    assert nn.cross_entropy.op.owner == "nn"
    assert jt.registry.layers["Linear"] is nn.Linear


@pytest.mark.parametrize("loss", [nn.mse_loss, nn.cross_entropy], ids=lambda f: f.__name__)
def test_losses_pass_the_battery(loss, backend):
    check_op(loss, backend)


def test_accuracy(T):
    x = T([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], "float32")
    found = nn.accuracy(x, T([1, 0, 0, 0]))
    assert (found.item(), found.dtype) == (0.75, jt.float32)
    with pytest.raises(jt.DTypeError, match=r"accuracy\(\): target has dtype float64"):
        nn.accuracy(x, T([1.0, 0.0, 0.0, 0.0]))


# -- initializers -----------------------------------------------------------------------------------------------------


SPREADS = {
    "xavier": lambda out, fan_in: math.sqrt(2 / (out + fan_in)),
    "he": lambda out, fan_in: math.sqrt(2 / fan_in),
    "lecun": lambda out, fan_in: math.sqrt(1 / fan_in),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["uniform", "normal"])
@pytest.mark.parametrize("name", SPREADS)
def test_initializers_have_their_spread(name, kind, dtype, backend):
    draw = getattr(nn, f"{name}_{kind}")
    w = draw(jt.random.Generator(3, device=backend), (200, 100), getattr(jt, dtype))
    assert (w.dtype.name, w.shape, w.device) == (dtype, (200, 100), jt.device(backend))
    values, std = w.numpy().astype("float64"), SPREADS[name](200, 100)
    assert abs(values.mean()) < 5 * std / math.sqrt(values.size)
    assert abs(values.std() / std - 1) < 0.03
    if kind == "uniform":
        assert np.abs(values).max() <= std * math.sqrt(3) * 1.001


def test_initializers_in_float16():
    w = nn.he_normal(jt.random.Generator(0), (200, 100), jt.float16)
    assert w.dtype == jt.float16
    assert abs(w.numpy().astype("float64").std() / math.sqrt(2 / 100) - 1) < 0.03


def test_a_window_counts_towards_both_fans():
    w = nn.he_normal(jt.random.Generator(0), (64, 16, 5, 5), jt.float64)
    assert abs(w.numpy().std() / math.sqrt(2 / 400) - 1) < 0.03
    with pytest.raises(jt.ShapeError, match=r"needs a shape \(out, in, \.\.\.\); got \(3,\)"):
        nn.xavier_normal(jt.random.Generator(0), (3,), jt.float64)


def test_linear_takes_initializers():
    def model(x):
        return nn.Linear(3, weight_init=nn.ones, bias_init=nn.ones)(x)

    params = nn.init(model, (None, 2))
    assert nn.apply(model, params, jt.ones((1, 2))).tolist() == [[3.0, 3.0, 3.0]]


# -- training ---------------------------------------------------------------------------------------------------------


def test_a_network_learns(backend):
    import jitrench_optim as optim

    x = jt.random.Generator(0, device=backend).uniform((32, 2), -1.0, 1.0)
    t = jt.astype(x[:, 0] * x[:, 1] > 0.0, jt.int64)

    def model(x):
        return nn.Linear(2)(jt.tanh(nn.Linear(8)(x)))

    params = nn.init(model, x, seed=3)
    optimizer = optim.Adam(params, lr=0.05)
    for _ in range(120):
        optimizer.zero_grad()
        loss = nn.cross_entropy(nn.apply(model, params, x), t)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    assert nn.accuracy(nn.apply(model, params, x), t).item() == 1.0


def test_a_scope_can_be_opened_by_anyone():
    """nn.init and nn.apply use nothing that a plugin could not."""
    tree = {}
    with jt.no_grad(), Scope(tree, generator=jt.random.Generator(0), dtype=jt.float64):
        mlp(jt.zeros((1, 3)))
    assert tree["Linear_2"]["bias"].tolist() == [0.0, 0.0]
    with Scope(tree):
        assert mlp(jt.zeros((1, 3))).shape == (1, 2)


MODULES = [
    "jitrench_nn",
    *(f"jitrench_nn.{name}" for name in ("functional", "initializers", "layers", "metrics", "models", "weights")),
    "jitrench_optim",
    "jitrench_optim.rules",
]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0
    for public in getattr(module, "__all__", ()):
        assert (getattr(module, public).__doc__ or "").strip(), f"{name}.{public} has no docstring"


def test_gelu_in_float32_is_as_near_as_by_erf(T):
    """PyTorch's is within 3.5e-7 of max(1, abs(x)); on the way to infinity nothing overflows."""
    x = np.concatenate([np.linspace(-40, 40, 20001), [0.0, 1e15, -1e15, 1e-15, 5.5, -5.5]]).astype("float32")
    exact = nn.functional.gelu(T(x.astype("float64"))).numpy()
    near = nn.functional.gelu(T(x))
    assert near.dtype == jt.float32
    assert np.max(np.abs(near.numpy() - exact) / np.maximum(1, np.abs(x))) < 4e-7
    slope = jt.grad(lambda x: nn.functional.gelu(x).sum())
    assert np.max(np.abs(slope(T(x)).numpy() - slope(T(x.astype("float64"))).numpy())) < 1e-6
    assert np.isnan(nn.functional.gelu(T(np.array([np.nan, 1.0], "float32"))).numpy()).tolist() == [True, False]
    assert nn.functional.gelu(T(np.array([np.inf, 1.0], "float32")))[0].item() == np.inf
