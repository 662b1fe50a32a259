"""The object style: a ``Module`` holds its layers as attributes, and its tensors itself."""

import copy
import doctest
import gc
import importlib
import pickle
import sys
import threading
import weakref
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

import jitrench_core as jt
import jitrench_nn as nn
from jitrench_core.layer import LayerError
from jitrench_core.tensor import assign
from jitrench_core.transforms.tree import names

pytestmark = pytest.mark.usefixtures("seeded")


@pytest.fixture
def seeded():
    jt.random.seed(0)
    yield
    jt.random.seed()


class Net(nn.Module):
    """Layers in an attribute, in a ModuleList, in a list, shared, with a tensor of its own and one tied."""

    def __init__(self, device=None):
        super().__init__()
        self.first = nn.Linear(4)
        self.blocks = nn.ModuleList(nn.Linear(4) for _ in range(2))
        self.more = [nn.Linear(4)]
        self.again = self.first
        self.gain = nn.Parameter(jt.tensor(2.0, device=device))

    def forward(self, x):
        x = jt.tanh(self.first(x))
        for block in self.blocks:
            x = jt.tanh(self.again(block(x)))
        return self.more[0](x) @ self.first.weight * self.gain


class Counter(nn.Module):
    """A layer with a buffer."""

    def forward(self, x):
        calls = self.buffer("calls", (), nn.zeros)
        if self.training:
            with jt.no_grad():
                assign(calls, calls + 1.0)
        return x * self.parameter("scale", x.shape[-1:], nn.ones)


class Noise(nn.Module):
    def forward(self, x):
        return x + self.generator.normal(x.shape).to(x.device) if self.training else x


NAMES = ["gain", "first.weight", "first.bias"]
NAMES += ["blocks.0.weight", "blocks.0.bias", "blocks.1.weight", "blocks.1.bias", "more.0.weight", "more.0.bias"]
X = np.linspace(-1.0, 1.0, 20).reshape(5, 4)


def test_module_is_the_cores_layer():
    assert nn.Module is jt.Layer


def test_the_first_call_makes_the_parameters(T, backend):
    model = Net(backend)
    with pytest.raises(LayerError, match=r"Net\.parameters\(\): the shapes .* call the layer once, model\(x\)"):
        model.parameters()
    with pytest.raises(LayerError, match=r"Net\.state_dict\(\)"):
        model.state_dict()
    y = model(T(X))
    assert y.shape == (5, 4)
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert len(list(model.parameters())) == len(NAMES)
    assert model.first.weight.name == "first.weight"
    assert all(p.device == jt.device(backend) and p.requires_grad for p in model.parameters())
    y.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_both_styles_compute_the_same(backend, T, close):
    model = Net(backend)
    x = T(X)
    want = model(x)
    close(nn.apply(model, model.state(), x), want)
    close(nn.apply(Net(backend), model.state(), x), want)
    params = nn.init(Net(backend), x, seed=3)
    assert sorted(names(params)) == sorted(NAMES)
    moved = Net(backend)
    moved.load_state_dict(params)
    close(moved(x), nn.apply(Net(backend), params, x))
    grads = jt.grad(lambda p: nn.apply(moved, p, x).sum())(params)
    moved(x).sum().backward()
    for name, p in moved.named_parameters():
        place = grads
        for key in name.split("."):
            place = place[key]
        close(place, p.grad)


def test_a_seed_gives_one_set_of_weights(backend, T):
    jt.random.seed(5)
    a = Net(backend)
    a(T(X))
    assert a.first.weight.tolist() == nn.init(Net(backend), T(X), seed=5)["first"]["weight"].tolist()


def test_init_draws_anew_for_a_model_that_has_run(T):
    model = nn.Linear(3)
    model(T(X))
    before = model.weight.tolist()
    params = nn.init(model, T(X), seed=9)
    assert params["weight"].tolist() != before
    assert model.weight.tolist() == before


def test_training_with_an_optimizer(T):
    import jitrench_optim as optim

    model = nn.Sequential(nn.Linear(8), jt.tanh, nn.Linear(1))
    x = T(X)
    y = jt.sum(x * x, axis=-1, keepdims=True)
    model(x)
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        loss = nn.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-3


def test_state_dict_is_a_snapshot(backend, T, close):
    model = Net(backend)
    x = T(X)
    want = model(x)
    state = model.state_dict()
    assert list(state) == [n for n, _ in model.named_parameters()]
    assert not any(value.requires_grad for value in state.values())
    with jt.no_grad():
        for p in model.parameters():
            p *= 0.5
    assert abs(model(x) - want).max().item() > 1e-3
    assert model.load_state_dict(state) == ([], [])
    close(model(x), want)


def test_load_state_dict_says_all_that_does_not_fit():
    model = nn.Sequential(nn.Linear(3), nn.Linear(2))
    model(jt.asarray(X))
    before = model.state_dict()
    wrong = {"0.weight": np.zeros((3, 5)), "0.bias": np.ones(3), "1.weigth": np.zeros((2, 3)), "1.bias": np.zeros(2)}
    message = (
        r"Sequential\.load_state_dict\(\): missing: '1\.weight'; unexpected: '1\.weigth'; "
        r"'0\.weight' is float64 \(3, 5\), expected float64 \(3, 4\)\. Nothing was loaded\."
    )
    with pytest.raises(LayerError, match=message):
        model.load_state_dict(wrong)
    assert model[0].bias.tolist() == before["0.bias"].tolist()
    with pytest.raises(LayerError, match="'0.bias' is int64"):
        model.load_state_dict({"0.bias": np.zeros(3, dtype="int64")}, strict=False)
    keys = model.load_state_dict({"0.bias": np.ones(3, dtype="float32"), "other": 1.0}, strict=False)
    assert keys.missing_keys == ["0.weight", "1.weight", "1.bias"]
    assert keys.unexpected_keys == ["other"]
    assert model[0].bias.dtype == jt.float64  # the layer's own
    assert model[0].bias.tolist() == [1.0, 1.0, 1.0]


def test_what_is_loaded_before_the_first_call_waits_for_it():
    model = nn.Sequential(nn.Linear(2), nn.Linear(1))
    with pytest.raises(LayerError, match="unexpected: 'head.weight'"):
        model.load_state_dict({"head.weight": np.zeros((1, 1))})
    model.load_state_dict(
        {"0.weight": np.ones((2, 3)), "0.bias": np.ones(2), "1": {"weight": np.ones((1, 2)), "bias": [0.0]}}
    )
    assert model(jt.ones((1, 3))).item() == 8.0
    assert model[0].weight.requires_grad
    late = nn.Linear(2)
    late.load_state_dict({"weight": np.ones((2, 3)), "bias": np.ones(2), "scale": np.ones(2)})
    with pytest.raises(LayerError, match=r"Linear was given 'scale' by load_state_dict, and has only 'weight', 'bias'"):
        late(jt.ones((1, 3)))
    other = nn.Linear(2)
    other.load_state_dict({"weight": np.ones((2, 3))}, strict=False)
    with pytest.raises(jt.ShapeError, match=r"expected 'weight' of shape \(2, 4\), got \(2, 3\)"):
        other(jt.ones((1, 4)))


def test_the_first_call_says_what_a_strict_load_did_not_bring():
    model = nn.Sequential(nn.Linear(2), nn.Linear(1))
    model.load_state_dict({"0.weight": np.ones((2, 3)), "1.scale": np.ones(2)}, strict=False)
    with pytest.raises(LayerError, match=r"^1 was given 'scale' by load_state_dict, and has only 'weight', 'bias'"):
        model(jt.ones((1, 3)))
    with pytest.raises(LayerError, match="parameters follow from its input"):
        model[0].parameters()  # none were made
    model = nn.Sequential(nn.Linear(2), nn.Linear(1))
    model.load_state_dict({"0.weight": np.ones((2, 3))})
    message = (
        r"^0 was not given 'bias' by .*; 1 was not given 'weight', 'bias' by load_state_dict.* No parameters were made"
    )
    for _ in range(2):
        with pytest.raises(LayerError, match=message):
            model(jt.ones((1, 3)))
    copy.deepcopy(model).load_state_dict({}, strict=False)
    model.load_state_dict({"0.bias": np.ones(2), "1.weight": np.ones((1, 2)), "1.bias": [0.0]})
    assert model(jt.ones((1, 3))).item() == 8.0


def test_what_is_loaded_before_the_first_call_has_the_dtypes_of_the_layer():
    layer = nn.Linear(2)
    layer.load_state_dict({"weight": np.ones((2, 3), dtype="int64"), "bias": np.ones(2)})
    with pytest.raises(LayerError, match="Linear: load_state_dict brought 'weight' as int64, expected float64"):
        layer(jt.ones((1, 3)))
    norm = nn.BatchNorm1d(affine=False)
    state = {"running_mean": np.ones(3, dtype="float32"), "running_var": np.ones(3), "num_batches_tracked": np.int32(4)}
    norm.load_state_dict(state)
    norm(jt.ones((2, 3)))
    assert [str(x.dtype) for x in norm.buffers()] == ["float64", "float64", "int64"]
    norm = nn.BatchNorm1d(affine=False)
    norm.load_state_dict({**state, "num_batches_tracked": 4.0})
    with pytest.raises(LayerError, match="brought 'num_batches_tracked' as float64, expected int64"):
        norm(jt.ones((2, 3)))


def test_what_is_no_state_dict():
    layer = nn.Linear(2)
    with pytest.raises(LayerError, match=r"takes a dict of Tensors or arrays by path, .*; got NoneType$"):
        layer.load_state_dict(None)
    with pytest.raises(LayerError, match=r"got Linear; take its state_dict\(\)"):
        layer.load_state_dict(nn.Linear(2))
    layer(jt.ones((1, 3)))
    with pytest.raises(LayerError, match=r"'weight': cannot make a tensor of str 'a'.*Nothing was loaded"):
        layer.load_state_dict({"weight": "a", "bias": np.ones(2)})
    assert layer.bias.tolist() == [0.0, 0.0]
    with pytest.raises(jt.NotFoundError, match=r"params lack; they are a state_dict: pass model\.state\(\)"):
        nn.apply(nn.Sequential(layer), nn.Sequential(layer).state_dict(), jt.ones((1, 3)))


class Aux(nn.Module):
    """A second head, which runs in training, or when it is asked for."""

    def __init__(self, device=None):
        super().__init__()
        self.body = nn.Linear(2)
        self.aux = [nn.Linear(1)]
        self.register_buffer("mask", jt.ones(2, device=device))

    def forward(self, x, *, more=False):
        x = self.body(x)
        return (x * self.mask, self.aux[0](x)) if self.training or more else x


def test_a_branch_that_is_not_taken(T, backend, close):
    model = Aux(backend)
    model(T(X))
    params = model.state()
    close(nn.apply(model, params, T(X)), nn.apply(model, params, T(X), train=True)[0])
    wrapped = lambda x: model(x)  # noqa: E731
    close(nn.apply(wrapped, {"Aux_1": params}, T(X)), nn.apply(model, params, T(X)))
    with pytest.raises(LayerError, match="params hold 'head', which no layer"):
        nn.apply(model, {**params, "head": {}}, T(X))
    with pytest.raises(LayerError, match=r"params hold 'aux\.1', which no layer"):
        nn.apply(model, {**params, "aux": {**params["aux"], "1": {}}}, T(X), train=True)
    assert names(nn.init(Aux(backend), T(X), more=True)) == [
        "body.weight",
        "body.bias",
        "mask",
        "aux.0.weight",
        "aux.0.bias",
    ]


def test_parameters_of_a_layer_that_has_not_run_are_told_when_they_come():
    model = Aux().eval()
    model(jt.asarray(X))
    assert len(list(model.parameters())) == 2
    with pytest.warns(UserWarning, match=r"Linear made its parameters after parameters\(\) was taken of the model"):
        model(jt.asarray(X), more=True)
    model(jt.asarray(X), more=True)
    assert len(list(model.parameters())) == 4


def test_keywords_are_inputs_too(T):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2)

        def forward(self, *, x, times=1.0):
            assert isinstance(x, jt.Tensor)
            return self.fc(x) * times

    model = Named()
    assert model(x=X, times=2.0).shape == (5, 2)
    with pytest.raises(jt.DTypeError, match="^fc has float64 parameters and got a float32 input"):
        model(x=jt.asarray(X.astype("float32")))
    layer = nn.Linear(2)
    layer(x=X)
    with pytest.raises(jt.DTypeError, match="^Linear has float64 parameters and got a float32 input"):
        layer(x=jt.asarray(X.astype("float32")))
    with pytest.raises(jt.DTypeError, match="^Linear has float64 parameters and got a float32 input"):
        nn.apply(layer, layer.state(), x=X.astype("float32"))
    params = nn.init(Named(), x=T(X.astype("float32")))
    assert params["fc"]["weight"].dtype == jt.float32
    assert params["fc"]["weight"].device == T(X).device
    assert nn.apply(Named(), params, x=T(X.astype("float32"))).shape == (5, 2)


def test_inputs_in_containers_say_dtype_and_device(T, backend):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2)

        def forward(self, pair):
            return self.fc(pair["a"]), self.fc(pair["b"][0])

    model = Pair()
    x = T(X.astype("float32"))
    assert model({"a": x, "b": [x]})[1].dtype == jt.float32
    assert model.fc.weight.device == jt.device(backend)


def test_layers_inside_take_arrays_in_every_call():
    seen = []

    class Inner(nn.Module):
        def forward(self, x, y):
            seen.append((type(x), type(y)))
            return x * self.parameter("w", [4], nn.ones) + y  # a shape may be a list

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def forward(self, x):
            return self.inner(X, y=X) + x

    model = Outer()
    for _ in range(2):
        model(jt.asarray(X))
    nn.apply(model, model.state(), X)
    assert seen == [(jt.Tensor, jt.Tensor)] * 3


def test_one_first_call_for_many_threads():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    wrong = []
    try:
        for _ in range(30):
            model, start = Net(), threading.Barrier(4)
            seen = [None] * 4

            def run(i, model=model, start=start, seen=seen):
                start.wait()
                seen[i] = model(X).numpy()

            threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            want = model(X).numpy()
            wrong += [y for y in seen if y is None or not np.array_equal(y, want)]
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []


class Blocks(nn.Module):
    """Draws, running statistics and a layer after a draw."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.drop, self.last = nn.Linear(4), nn.BatchNorm1d(), nn.Dropout(0.5), nn.Linear(4)

    def block(self, x):
        return self.last(self.drop(self.norm(self.first(self.drop(x)))))

    def forward(self, x):
        return self.block(x)


class Checkpointed(Blocks):
    def forward(self, x):
        return jt.checkpoint(self.block)(x)


class Twice(Blocks):
    def forward(self, x):
        return jt.checkpoint(lambda x: jt.checkpoint(self.block)(x) * 1.0)(x)


@pytest.mark.parametrize("around", [lambda m: m, jt.checkpoint], ids=["inside", "around"])
@pytest.mark.parametrize("made", [Blocks, Checkpointed, Twice])
def test_the_first_call_inside_a_checkpoint(made, around, close):
    model, same = made(), Blocks()
    jt.random.seed(2)
    y = (around(model)(X) ** 2).sum()
    y.backward()
    assert model.norm.num_batches_tracked.item() == 1
    same.load_state_dict(model.state_dict())
    if around is not jt.checkpoint and made is Blocks:
        return  # parameters and draws are of one stream
    jt.random.seed(2)
    want = (same(X) ** 2).sum()
    want.backward()
    close(y, want)
    for p, q in zip(model.parameters(), same.parameters(), strict=True):
        close(p.grad, q.grad)


def test_a_checkpoint_around_apply_writes_buffers_once(backend, T, close):
    model = Blocks()
    weights, before = nn.partition(nn.init(model, T(X), seed=1))

    def loss(weights, running):
        return (nn.apply(model, nn.merge(weights, running), T(X), train=True, rng=0) ** 2).sum()

    running, again = (nn.partition(nn.init(model, T(X), seed=1))[1] for _ in range(2))
    want = jt.grad(lambda w: loss(w, running))(weights)
    found = jt.grad(jt.checkpoint(lambda w: loss(w, again)))(weights)
    close(found["first"]["weight"], want["first"]["weight"])
    close(again["norm"]["running_mean"], running["norm"]["running_mean"])
    assert again["norm"]["num_batches_tracked"].item() == 1
    assert before["norm"]["num_batches_tracked"].item() == 0


def test_a_checkpointed_layer_sees_its_buffers_as_they_were(backend, T, close):
    class Scaled(nn.Module):
        def forward(self, x):
            with jt.no_grad():
                assign(self.calls, self.calls + 1.0)
            return x * x * self.calls

    layer, x = Scaled(), T([1.0, 2.0])
    layer.register_buffer("calls", T(0.0))
    f = jt.checkpoint(layer)
    close(jt.grad(lambda x: (f(x) + f(x)).sum())(x), T([6.0, 12.0]))
    assert layer.calls.item() == 2.0


def test_nothing_of_a_batch_outlives_a_call():
    model, x = Net(), jt.tensor(X)
    alive = weakref.ref(x.data)
    gc.disable()
    try:
        model(x)
        params = nn.init(model, x)
        nn.apply(model, params, x)
        jt.grad(lambda p, x: nn.apply(model, p, x).sum())(params, x)
        del x
        assert alive() is None
        gc.collect()
        for _ in model.walk():
            pass
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_what_is_assigned():
    layer = nn.Linear(2)
    layer(jt.asarray(X))
    for value in (np.ones(2), None, jt.ones(2), 1.0):
        with pytest.raises(LayerError, match="Linear: 'bias' is a parameter: write its value by"):
            layer.bias = value
    layer.tag = 1
    layer.register_buffer("tag", np.ones(2))
    assert layer.tag.tolist() == [1.0, 1.0]
    assert "tag" in layer.state_dict()
    with pytest.raises(LayerError, match=r"Parameter\(requires_grad=False\): .*register_buffer"):
        nn.Parameter(1.0, requires_grad=False)


def test_what_forward_keeps_is_no_parameter():
    class Keeps(nn.Module):
        def forward(self, x):
            self.last = x
            return x * self.parameter("w", (), nn.ones)

    model = Keeps()
    for _ in range(2):
        model(jt.tensor(X, requires_grad=True))
        assert [name for name, _ in model.named_parameters()] == ["w"]


def test_a_property_that_fails_says_why():
    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2)

        @property
        def width(self):
            return self.fc.wdith

        def forward(self, x):
            return self.fc(x)

    with pytest.raises(AttributeError, match="'Linear' object has no attribute 'wdith'"):
        _ = Wrong().width


def test_models_with_functions_are_pickled():
    model = nn.Sequential(nn.Linear(2), jt.tanh, jt.abs, nn.functional.gelu)
    made = pickle.loads(pickle.dumps(model))
    assert made[1] is jt.tanh
    functions = [getattr(jt, name) for name in jt.__all__ if hasattr(getattr(jt, name), "op")]
    assert all(pickle.loads(pickle.dumps(f)) is f for f in functions)


def test_buffers_and_modes(T):
    model = nn.Sequential(Counter(), Noise())
    x = T(X)
    model(x)
    model(x)
    assert model[0].calls.item() == 2.0
    assert [name for name, _ in model.named_buffers()] == ["0.calls"]
    assert [name for name, _ in model.named_parameters()] == ["0.scale"]
    assert len(list(model.buffers())) == 1
    assert model.eval() is model
    assert not model.training
    assert not model[1].training
    np.testing.assert_array_equal(model(x).numpy(), X)
    assert model[0].calls.item() == 2.0
    assert model.train()[1].training
    # nn.apply has its own word, and writes the tree's buffers
    params = nn.init(model, x)
    nn.apply(model, params, x)
    assert params["0"]["calls"].item() == 0.0
    a = nn.apply(model, params, x, train=True, rng=3)
    assert params["0"]["calls"].item() == 1.0
    assert model[0].calls.item() == 2.0
    assert a.tolist() == nn.apply(model, params, x, train=True, rng=3).tolist()
    generator = jt.random.Generator(3, device=x.device)
    assert a.tolist() == nn.apply(model, params, x, train=True, rng=generator).tolist()
    assert a.tolist() != nn.apply(model, params, x, train=True, rng=generator).tolist()
    with pytest.raises(LayerError, match=r"^1 draws random numbers: pass a generator or a seed, nn\.apply\("):
        nn.apply(model, params, x, train=True)
    with pytest.raises(LayerError, match=r"apply\(rng=\): expected a jt\.random\.Generator or a seed; got str 'a'"):
        nn.apply(model, params, x, train=True, rng="a")


def test_registered_buffers():
    layer = nn.Linear(2)
    layer.register_buffer("mask", jt.tensor([1.0, 0.0]))
    layer(jt.ones((1, 3)))
    assert [name for name, _ in layer.named_buffers()] == ["mask"]
    layer.mask = jt.tensor([0.0, 1.0])
    assert layer.state_dict()["mask"].tolist() == [0.0, 1.0]


def test_to_moves_and_converts(T, backend):
    model = Net(backend)
    assert model.to(dtype="float32") is model  # before the first call: what it makes
    model(T(X.astype("float32")))
    assert {str(p.dtype) for p in model.parameters()} == {"float32"}
    model.to("float64")  # PyTorch's to(dtype), as jt.float64
    assert model(T(X)).dtype == jt.float64
    assert model.first.weight.name == "first.weight"
    with pytest.raises(jt.DTypeError, match=r"Net\.to\(\): parameters are floating-point numbers; got int64"):
        model.to(dtype="int64")
    if backend == "strict":
        model.to("numpy")
        assert model(jt.asarray(X)).device == jt.device("numpy")


def test_a_dtype_that_drifts_is_refused_and_names_the_layer():
    model = nn.Sequential(nn.Linear(3), nn.Linear(2))
    model(jt.asarray(X))
    with pytest.raises(jt.DTypeError, match=r"^0 has float64 parameters and got a float32 input of shape \(5, 4\)"):
        model(jt.asarray(X.astype("float32")))
    with pytest.raises(jt.ShapeError, match=r"^0: expected 'weight' of shape \(3, 5\), got \(3, 4\)"):
        model(jt.ones((2, 5)))


def test_arrays_are_taken_as_tensors():
    class Mean(nn.Module):
        def forward(self, x):
            return x.mean() * self.parameter("w", (), nn.ones)

    model = Mean()
    assert isinstance(model(X), jt.Tensor)
    assert isinstance(model(X), jt.Tensor)


def test_modules_and_children():
    model = Net()
    names = ["", "first", "blocks", "blocks.0", "blocks.1", "more.0"]
    assert [name for name, _ in model.named_modules()] == names
    assert len(list(model.modules())) == 6
    assert [name for name, _ in model.named_children()] == ["first", "blocks", "more.0"]
    assert len(list(model.children())) == 3


def test_freezing():
    model = nn.Sequential(nn.Linear(3), nn.Linear(2))
    model(jt.asarray(X))
    model[0].requires_grad_(False)
    assert len(list(model.parameters())) == 4
    model(jt.asarray(X)).sum().backward()
    assert model[1].weight.grad is not None
    model[0].requires_grad_()
    assert model[0].weight.requires_grad
    assert model[0].weight.name == "weight"


def test_tied_weights(T, close):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Linear(3, bias=False)

        def forward(self, x):
            return self.embed(x) @ self.embed.weight

    model = Tied()
    x = T(X)
    y = model(x)
    assert len(list(model.parameters())) == 1
    close(nn.apply(model, model.state(), x), y)
    params = nn.init(Tied(), x, seed=1)
    grads = jt.grad(lambda p: nn.apply(Tied(), p, x).sum())(params)
    w = jt.tensor(params["embed"]["weight"].detach())
    close(grads["embed"]["weight"], jt.grad(lambda w: (x @ w.mT @ w).sum())(w))


def test_copies_and_pickles():
    model = Net()
    x = jt.asarray(X)
    want = model(x).numpy()
    for made in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(made(x).numpy(), want)
        assert made.again is made.first
        with jt.no_grad():
            made.gain *= 2.0
    np.testing.assert_array_equal(model(x).numpy(), want)


def test_under_transforms(backend, T, close):
    model = Net(backend)
    x = T(X)
    rows = jt.vmap(model)(x)  # the first call, too: the parameters outlive it
    close(rows, model(x))
    close(jt.jvp(model, (x,), (x,))[1], jt.jvp(lambda x: nn.apply(model, model.state(), x), (x,), (x,))[1])
    assert model.first.weight.shape == (4, 4)


def test_layers_made_in_forward_would_be_lost():
    class Wrong(nn.Module):
        def forward(self, x):
            return nn.Linear(3)(x)

    with pytest.raises(LayerError, match=r"Wrong\.forward makes a Linear of its own, whose parameters would be lost"):
        Wrong()(jt.asarray(X))
    assert list(nn.init(Wrong(), (None, 4))) == ["Linear_1"]  # nothing is lost there


def test_two_layers_of_one_name():
    class Twins(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, name="same")
            self.b = nn.Linear(4, name="same")

        def forward(self, x):
            return self.b(self.a(x))

    with pytest.raises(LayerError, match="two layers have the name 'same'"):
        nn.init(Twins(), (None, 4))
    with pytest.raises(LayerError, match="two layers have the name 'same'"):
        Twins()(jt.asarray(X))


def test_parameters_are_written_by_assign():
    layer = nn.Linear(3)
    layer(jt.asarray(X))
    with pytest.raises(LayerError, match=r"Linear: 'weight' is a parameter: write its value by `with jt\.no_grad\(\)"):
        layer.weight = layer.weight * 2.0
    layer.weight = nn.Parameter(np.zeros((3, 4)))
    np.testing.assert_array_equal(layer(jt.asarray(X)).numpy(), 0.0)
    del layer.bias
    assert [name for name, _ in layer.named_parameters()] == ["weight"]


def test_attributes_that_are_not_there():
    layer = nn.Linear(3)
    with pytest.raises(AttributeError, match=r"'Linear' object has no attribute 'weight'; .* after the first call"):
        _ = layer.weight
    layer(jt.asarray(X))
    with pytest.raises(AttributeError, match=r"'Linear' object has no attribute 'wieght'\. Did you mean 'weight'\?"):
        _ = layer.wieght


def test_forward_called_directly():
    layer = nn.Linear(3)
    with pytest.raises(LayerError, match=r"Linear has no 'weight' yet: .*call the layer itself, not its forward\(\)"):
        layer.forward(jt.asarray(X))


def test_a_parameter_in_init():
    """It is declared in forward: there its shape is known."""

    class InInit(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = self.parameter("w", (3,), nn.ones)

    told = r"call the layer itself, not its forward\(\), in which it is declared; in __init__, self\.w = nn\.Parameter\(value\) makes"
    with pytest.raises(LayerError, match=f"InInit has no 'w' yet: {told}"):
        InInit()
    with pytest.raises(LayerError, match=f"InInit: {told}"):
        nn.init(lambda x: InInit()(x), (None, 3))


def test_a_width_that_changed_is_told_in_the_terms_of_the_style():
    layer = nn.Linear(3)
    layer(jt.ones((1, 4)))
    with pytest.raises(jt.ShapeError, match=r"for, or make a new layer$"):
        nn.Sequential(layer)(jt.ones((1, 5)))
    with pytest.raises(jt.ShapeError, match=r"for, or make a new layer$"):
        layer(jt.ones((1, 5)))
    with pytest.raises(jt.ShapeError, match=r"for, or make them anew by nn\.init$"):
        nn.apply(layer, layer.state(), jt.ones((1, 5)))


def test_tying_before_the_first_call_says_how():
    net = nn.Sequential(nn.Embedding(5, 3), nn.Linear(5))
    with pytest.raises(
        AttributeError, match=r"after the first call\. To share one, use it in forward: docs/models\.md, tying"
    ):
        net[1].weight = net[0].weight
    net[0].weight = net[1].weight = nn.Parameter(np.ones((5, 3)))
    net(jt.asarray([0, 1]))
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "1.bias"]


@pytest.mark.parametrize("name", sorted(n for n in vars(jt.Layer) if not n.startswith("_")))
def test_names_that_every_layer_has(name):
    """A layer, a Tensor or a value under the name of a method would hide it, and fail far from here."""
    kind = "method" if callable(vars(jt.Layer)[name]) else "attribute"
    layer = nn.Sequential()
    for value in (nn.Linear(2), nn.Parameter(1.0), [nn.Linear(2)], {"a": 1}, 3):
        with pytest.raises(LayerError, match=rf"Sequential\.{name} = .*'{name}' is an? {kind} of every layer; "):
            setattr(layer, name, value)
    with pytest.raises(LayerError, match=f"'{name}' is an? {kind} of every layer"):
        layer.register_buffer(name, np.ones(2))

    class Declares(nn.Module):
        def forward(self, x):
            return self.parameter(name, (), nn.ones) * x

    with pytest.raises(LayerError, match=f"'{name}' is an? {kind} of every layer"):
        nn.init(Declares(), (2,))
    assert vars(layer).keys() == nn.Sequential().__dict__.keys()


def test_hints_for_names_that_every_layer_has():
    for value, hint in ((nn.Linear(2), r"self\.generator_net"), (3, r"self\.my_generator")):
        with pytest.raises(LayerError, match=f"choose another name, such as {hint}$"):
            nn.Sequential().generator = value
    with pytest.raises(LayerError, match=r"train\(\) and eval\(\) say it$"):
        nn.Sequential().training = False
    with pytest.raises(LayerError, match="'label' is an attribute"):
        nn.Sequential().label = "x"


def test_a_subclass_may_define_a_name_itself():
    class Own(nn.Module):
        label = "a"

        def forward(self, x):
            return x

    layer = Own(name="own")
    layer.label = "b"
    layer.name = "c"
    layer.forward = lambda x: x + 1.0  # as for a test
    assert (layer.label, layer.name, float(layer(1.0))) == ("b", "c", 2.0)


def test_the_page_lists_the_reserved_names():
    page = (Path(__file__).parents[1] / "docs" / "models.md").read_text(encoding="utf-8")
    listed = set(page.split("Names that every layer has", 1)[1].partition("\n\n")[0].split("`")[1::2])
    assert {n for n in vars(jt.Layer) if not n.startswith("_")} <= listed


def test_a_parameter_of_a_later_call():
    class Grows(nn.Module):
        def forward(self, x, more=False):
            x = x * self.parameter("a", (), nn.ones)
            return x + self.parameter("b", (), nn.ones) if more else x

    layer = Grows().to(dtype="float32")
    x = jt.asarray(X.astype("float32"))
    layer(x)
    assert layer(x, more=True).dtype == jt.float32
    assert [name for name, _ in layer.named_parameters()] == ["a", "b"]


def test_one_call_that_loses_the_parameters_is_told():
    with pytest.warns(UserWarning, match="this Linear made its parameters, and they are gone with it"):
        nn.Linear(2)(jt.asarray(X))

    def kept():
        layer = nn.Linear(2)
        return layer(jt.asarray(X)).shape

    assert kept() == (5, 2)
    layer = nn.Linear(2)
    layer(jt.asarray(X))
    layer = nn.Linear(3)
    layer(jt.asarray(X))


def test_repr_shows_what_was_given():
    model = nn.Sequential(nn.Linear(3, bias=False), nn.ModuleList([nn.Linear(2)]))
    assert repr(nn.Linear(3)) == "Linear(3)"
    assert repr(model) == ("Sequential(\n  (0): Linear(3, bias=False)\n  (1): ModuleList(\n    (0): Linear(2)\n  )\n)")


def test_module_list():
    layers = nn.ModuleList([nn.Linear(2)])
    assert layers.append(nn.Linear(3)) is layers
    layers.extend([nn.Linear(4)])
    assert [layer.out_dim for layer in layers] == [2, 3, 4]
    assert len(layers) == 3
    assert layers[-1].out_dim == 4
    assert [layer.out_dim for layer in layers[1:]] == [3, 4]
    layers[-1] = nn.Linear(5)
    assert layers[2].out_dim == 5
    with pytest.raises(LayerError, match="ModuleList holds layers; got a int 3"):
        layers.append(3)
    with pytest.raises(IndexError):
        layers[3] = nn.Linear(1)


def test_sequential():
    model = nn.Sequential(nn.Linear(3), jt.relu, nn.Linear(2, name="head"))
    assert list(nn.init(model, (None, 4))) == ["0", "head"]
    assert model[1] is jt.relu
    assert len(model[:2]) == 2
    assert [getattr(part, "out_dim", None) for part in model] == [3, None, 2]
    with pytest.raises(
        LayerError, match=r"part 1 is <class .*Linear'>; .*; make a layer of the class, Linear\(\.\.\.\)"
    ):
        nn.Sequential(nn.Linear(3), nn.Linear)
    with pytest.raises(LayerError, match="part 0 is 3; expected a layer, or a function of a Tensor"):
        nn.Sequential(3)


def test_sequential_of_names_and_its_lists_methods(T):
    x = T(np.ones((2, 3)))
    model = nn.Sequential(OrderedDict(fc=nn.Linear(4), act=jt.relu))
    assert model.append(nn.Linear(2)) is model
    assert [name for name, _ in model.named_children()] == ["fc", "2"]
    model(x)
    weight = model[2].weight
    assert model.insert(1, jt.tanh) is model  # numbers are places, and tensors go with their layers
    assert [name for name, _ in model.named_parameters()] == ["fc.weight", "fc.bias", "3.weight", "3.bias"]
    assert model[3].weight is weight
    assert model.fc is model[0]
    model[1] = jt.sin
    model[-1] = nn.Linear(5)
    assert model(x).shape == (2, 5)
    del model[1:3]
    assert [name for name, _ in model.named_children()] == ["fc", "1"]
    assert [part.out_dim for part in model.extend([nn.Linear(6)])] == [4, 5, 6]
    assert [name for name, _ in model[:2].named_children()] == ["fc", "1"]
    assert repr(model) == "Sequential(\n  (fc): Linear(4)\n  (1): Linear(5)\n  (2): Linear(6)\n)"
    with pytest.raises(LayerError, match="part 3 is 7; expected"):
        model.append(7)
    assert len(model) == 3
    twin = pickle.loads(pickle.dumps(model))
    assert twin(x).shape == model(x).shape == (2, 6)


def test_sequential_refuses_what_it_cannot_name():
    for layers in ([nn.Linear(2)], (nn.Linear(2),), (nn.Linear(2) for _ in range(2))):
        with pytest.raises(LayerError, match=r"give its layers one by one, Sequential\(\*layers\)"):
            nn.Sequential(layers)
    for key in ("forward", "state", "append", "generator", "name", "_tensors", "_kind"):
        with pytest.raises(LayerError, match=f"Sequential: the name '{key}' is one that every Sequential has"):
            nn.Sequential({key: nn.Linear(2)})
    for key in ("", "a.b", 1):
        with pytest.raises(LayerError, match="a name must be a str without dots; got"):
            nn.Sequential({"a": jt.relu, key: nn.Linear(2)} if key != 1 else {"a": jt.relu, 3.0: nn.Linear(2)})
    with pytest.raises(LayerError, match="part 0 is named '1'; a number is a place, so that must be '0'"):
        nn.Sequential({"1": nn.Linear(2)})


def test_module_dict(T):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.heads = nn.ModuleDict({"a": nn.Linear(2), "b": nn.Linear(3)})

        def forward(self, x, head):
            return self.heads[head](x)

    x, net = T(np.ones((1, 4))), Net()
    net(x, "a"), net(x, "b")
    assert [name for name, _ in net.named_parameters()] == [
        "heads.a.weight",
        "heads.a.bias",
        "heads.b.weight",
        "heads.b.bias",
    ]
    heads = net.heads
    assert (list(heads), len(heads), "a" in heads, "name" in heads) == (["a", "b"], 2, True, False)
    assert list(heads.keys()) == [key for key, _ in heads.items()] == ["a", "b"]
    assert [layer.out_dim for layer in heads.values()] == [2, 3]
    heads.update([("c", nn.Linear(5))])
    del heads["a"]
    assert list(heads) == ["b", "c"]
    with pytest.raises(KeyError):
        heads["name"]
    with pytest.raises(KeyError):
        del heads["a"]
    with pytest.raises(LayerError, match="ModuleDict holds layers; got a int 3"):
        heads["x"] = 3
    for key in ("keys", "state", "name"):
        with pytest.raises(LayerError, match=f"the name '{key}' is one that every ModuleDict has; choose another"):
            heads[key] = nn.Linear(2)
    with pytest.raises(LayerError, match="a name must be a str without dots; got 3"):
        heads[3] = nn.Linear(2)
    assert repr(heads) == "ModuleDict(\n  (b): Linear(3)\n  (c): Linear(5)\n)"


def test_lists_and_dicts_of_parameters(T, backend, close):
    class Poly(nn.Module):
        def __init__(self):
            super().__init__()
            self.c = nn.ParameterList([T([1.0, 2.0]), nn.Parameter(T([3.0, 4.0]))])
            self.d = nn.ParameterDict({"low": T(5.0)})

        def forward(self, x):
            return self.c[0] + self.c[1] * x + self.d["low"] * x * x

    x, net = T(2.0), Poly()
    names_ = ["c.0", "c.1", "d.low"]
    assert [name for name, _ in net.named_parameters()] == names_  # values that are given need no first call
    close(net(x), np.array([27.0, 30.0]))
    params = nn.init(Poly(), x)
    close(nn.apply(net, params, x), np.array([27.0, 30.0]))
    assert list(net.state_dict()) == names_
    gradients = jt.grad(lambda p: nn.apply(net, p, x).sum())(params)
    close(gradients["c"]["1"], np.array([2.0, 2.0]))
    close(gradients["d"]["low"], np.array(8.0))
    other = Poly()
    other.load_state_dict({name: p * 2 for name, p in net.state_dict().items()})
    close(other(x), np.array([54.0, 60.0]))
    assert (len(net.c), len(net.d), "low" in net.d, "held" in net.d) == (2, 1, True, False)
    assert net.c.append(1.0) is net.c
    net.c[-1] = np.zeros(3)
    net.d["high"] = 1.0
    assert [p.shape for p in net.c] == [(2,), (2,), (3,)]
    assert net.d.keys() == list(net.d) == ["low", "high"]
    assert [p.shape for p in net.d.values()] == [p.shape for _, p in net.d.items()] == [(), ()]
    del net.d["low"]
    assert [name for name, _ in net.named_parameters()] == ["c.0", "c.1", "c.2", "d.high"]
    for key in ("low", "held"):
        with pytest.raises(KeyError):
            net.d[key]
    with pytest.raises(IndexError):
        net.c[3]
    for key in ("_held", "state", "keys"):
        with pytest.raises(LayerError, match=f"the name '{key}' is one that every ParameterDict has"):
            net.d[key] = 1.0
    assert repr(net.c) == "ParameterList(0: (2,), 1: (2,), 2: (3,))"
    assert pickle.loads(pickle.dumps(net.d))["high"].tolist() == 1.0
    with pytest.raises(jt.JITrenchError):
        net.c.append("x")
    assert len(net.c) == 3


def test_docstrings():
    assert doctest.testmod(importlib.import_module("jitrench_nn.containers")).failed == 0


def test_what_dir_shows_are_names_of_the_package():
    shown = set(dir(nn))
    assert set(nn.__all__) <= shown
    assert not shown & {"Any", "TYPE_CHECKING", "annotations"}
    assert nn.LayerError is LayerError


def test_partition_and_merge():
    model = nn.Sequential(Counter(), nn.Linear(2))
    params = nn.init(model, (None, 4))
    trained, rest = nn.partition(params)
    assert names(rest) == ["0.calls"]
    assert names(trained) == ["0.scale", "1.weight", "1.bias"]
    merged = nn.merge(trained, rest)
    assert merged["0"]["calls"] is params["0"]["calls"]
    assert sorted(names(merged)) == sorted(names(params))
    with pytest.raises(LayerError, match=r"merge\(\): two trees have 'scale'"):
        nn.merge(params, trained)


def test_computed_values_become_parameters():
    """As a new leaf; it would be no parameter otherwise, never trained and never saved."""
    w = nn.Parameter(np.ones(3))
    for held, key in (
        (nn.ParameterDict({"w": w * 0.1}), "w"),
        (nn.ParameterList([w * 0.1]), "0"),
        (nn.ParameterList([w]).extend([w * 0.1]), "1"),
    ):
        p = dict(held.named_parameters())[key]
        assert p.is_leaf
        np.testing.assert_allclose(p.numpy(), 0.1)
    assert nn.ParameterDict({"w": w})["w"] is nn.ParameterList([w])[0] is w


def test_a_frozen_parameter_stays_so_where_it_moves():
    held = nn.ParameterList([1.0, 2.0, 3.0])
    frozen = held[1]
    frozen.requires_grad = False
    del held[0]
    held.insert(1, 4.0)
    held[0] = frozen
    assert held[0] is held[:1][0] is nn.ParameterList(held)[0] is frozen
    assert [p.requires_grad for p in held] == [False, True, True]
    named = nn.ParameterDict({"a": 1.0})
    named["a"].requires_grad = False
    named["a"] = a = named["a"]
    assert named["a"] is nn.ParameterDict(named)["a"] is a
    assert not a.requires_grad


def test_lists_of_parameters_are_lists():
    held = nn.ParameterList([1.0, 2.0, 3.0])
    assert [p.tolist() for p in held[0:2]] == [1.0, 2.0]
    held.insert(0, 0.0)
    del held[1]
    del held[-1:]
    assert [(name, p.tolist(), p.name) for name, p in held.named_parameters()] == [("0", 0.0, "0"), ("1", 2.0, "1")]
    assert list(nn.ParameterDict(None)) == list(nn.ModuleDict(None)) == []


def test_lists_of_layers_are_lists():
    layers = nn.ModuleList([nn.Linear(2), nn.Linear(3)])
    layers.insert(1, nn.Linear(4))
    assert [layer.out_dim for layer in layers] == [2, 4, 3]
    del layers[0]
    assert [layer.out_dim for layer in layers] == [4, 3]
    assert [name for name, _ in layers.named_children()] == ["0", "1"]
    del layers[-2:]
    assert len(layers) == 0
    with pytest.raises(LayerError, match="ModuleList holds layers; got a int 3"):
        layers.insert(0, 3)
    with pytest.raises(IndexError):
        del layers[0]


def test_sequential_by_name():
    model = nn.Sequential({"a": nn.Linear(2), "f": jt.relu})
    assert model["a"] is model[0]
    assert model["f"] is jt.relu
    with pytest.raises(KeyError):
        model["name"]


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2), nn.Linear(3), nn.Linear(4))
        self.rows = nn.ModuleList([nn.Linear(4), nn.Sequential(nn.Linear(4))])

    def forward(self, x):
        x = self.body(x)
        for row in self.rows:
            x = row(x)
        return x


def test_tensors_are_named_after_the_places_of_their_layers():
    """Errors name a layer by them."""
    model = Nested()
    model(jt.ones((2, 3)))
    del model.body[0]
    model.rows.insert(0, nn.Linear(4))
    model.rows.append(nn.Sequential(nn.Linear(4), nn.Linear(5)))
    model.body.append(nn.Linear(4, name="own"))
    del model.body[0]
    model.body[0](jt.ones((2, 3)))
    model(jt.ones((2, 3)))
    assert [p.name for p in model.parameters()] == [name for name, _ in model.named_parameters()]
    assert model.rows[1].label == "rows.1"
    with pytest.raises(jt.ShapeError, match=r"^body\.own: expected"):
        model.body[1](jt.ones((2, 7)))
    first = nn.Linear(3)
    first(jt.ones((2, 3)))
    model.rows[2].insert(0, first)
    assert first.label == "rows.2.0"


@pytest.mark.parametrize(
    ("add", "count"),
    [
        (lambda model: model.body.append(nn.Linear(4)), 12),
        (lambda model: model.body.insert(0, nn.Linear(3)), 12),
        (lambda model: model.body.__setitem__(2, nn.Linear(4)), 10),
        (lambda model: model.rows.append(nn.Linear(4)), 12),
        (lambda model: model.rows.append(nn.Sequential(nn.Linear(4))), 12),
        (lambda model: setattr(model, "body", nn.Linear(4)), 6),
    ],
)
def test_a_layer_that_came_later_and_has_not_run(add, count):
    model = Nested()
    model(jt.ones((2, 3)))
    assert len(model.state_dict()) == 10
    add(model)
    told = r"Nested\.{}: '(body|rows)[.\d]*', a Linear, came into the model after its first call, and has not run yet: call"
    with pytest.raises(LayerError, match=told.format(r"state_dict\(\)")):
        model.state_dict()
    with pytest.raises(LayerError, match=told.format(r"parameters\(\)")):
        model.parameters()
    model(jt.ones((2, 3)))
    assert len(model.state_dict()) == len(list(model.parameters())) == count
    assert [p.name for p in model.parameters()] == [name for name, _ in model.named_parameters()]


def test_what_needs_no_call_may_come_later():
    model = Nested()
    model(jt.ones((2, 3)))
    model.more, model.scales = nn.ModuleList(), nn.ParameterList([1.0])
    model.dead = nn.Linear(2)
    del model.dead
    assert len(model.state_dict()) == 11


def test_two_layers_of_one_name_that_ran_alone():
    held = nn.ModuleDict({"k": nn.Linear(4, name="b"), "b": nn.Linear(2)})
    for layer in held.values():
        layer(jt.ones((1, 3)))
    for tree in (held.state, held.state_dict):
        with pytest.raises(LayerError, match="two layers have the name 'b': give each its own"):
            tree()


def test_data_under_the_name_of_a_method():
    with pytest.raises(
        LayerError, match=r"class S: state = None hides state\(\), a method of every layer; .* my_state$"
    ):

        class S(nn.Module):
            state = None

    with pytest.raises(LayerError, match=r"class P: parameters = <property .* hides parameters\(\)"):

        class P(nn.Module):
            @property
            def parameters(self):
                return []

    class Cell(nn.Module):
        @classmethod
        def walk_(cls):
            return cls

        def state(self):
            return 3

        def forward(self, x):
            return x * self.parameter("w", (), nn.ones)

    cell = Cell()
    assert (float(cell(jt.asarray(2.0))), cell.state()) == (2.0, 3)


def test_a_name_that_is_no_word():
    class Numbered(nn.Module):
        name = 3

        def forward(self, x):
            return x

    with pytest.raises(LayerError, match="a layer's name must be a word without dots; got 3"):
        nn.Sequential(Numbered())(jt.ones(2))


def test_names_that_containers_leave_to_users():
    class Mine(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(2), nn.Linear(3))
            self.parts = [3]

    model = Mine()
    assert model(jt.ones((1, 3))).shape == (1, 3)

    class List(nn.ParameterList):
        def __init__(self):
            super().__init__([1.0, 2.0])
            self.length = 7

    assert len(List()) == 2
    held = nn.ParameterDict({"held": 1.0, "length": 2.0})
    assert held.keys() == ["held", "length"]
    assert list(nn.init(nn.Sequential({"parts": nn.Linear(2)}), (None, 3))) == ["parts"]


def test_a_layer_in_two_places_is_named_after_the_first():
    twice = nn.Linear(3)
    model = nn.Sequential(twice, jt.relu, twice)
    model(jt.ones((2, 3)))
    del model[1]
    model.insert(0, jt.tanh)
    assert [(name, p.name) for name, p in model.named_parameters()] == [
        ("1.weight", "1.weight"),
        ("1.bias", "1.bias"),
    ]
