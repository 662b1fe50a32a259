"""nn.summary and FLOPs against counts by hand; and the Watcher of the core that they stand on."""

from __future__ import annotations

import doctest
import importlib
import threading
from math import prod

import pytest

import jitrench_core as jt
import jitrench_nn as nn
from jitrench_core import backend as backends
from jitrench_core.layer import Layer, LayerError
from jitrench_core.watching import Watcher
from jitrench_nn.flops import FLOPS, FlopCounter, flops_of

F = nn.functional


class Conv(nn.Module):
    """A convolution with bias, over 2 axes."""

    def __init__(self, out, kernel, padding=0):
        self.out, self.kernel, self.padding = out, kernel, padding

    def forward(self, x):
        weight = self.parameter("weight", (self.out, x.shape[1], self.kernel, self.kernel), nn.he_normal)
        return F.conv2d(x, weight, self.parameter("bias", (self.out,), nn.zeros), padding=self.padding)


class LeNet(nn.Module):
    def __init__(self):
        self.features = [Conv(6, 5, padding=2), Conv(16, 5)]
        self.fc1, self.fc2, self.fc3 = nn.Linear(120), nn.Linear(84), nn.Linear(10)

    def forward(self, x):
        for conv in self.features:
            x = F.max_pool2d(jt.relu(conv(x)), kernel_size=2)
        x = jt.reshape(x, (x.shape[0], -1))
        return self.fc3(jt.relu(self.fc2(jt.relu(self.fc1(x)))))


class Norm(nn.Module):
    def forward(self, x):
        ones = self.parameter("weight", x.shape[-1:], nn.ones)
        return F.layer_norm(x, ones, self.parameter("bias", x.shape[-1:], nn.zeros))


class Attention(nn.Module):
    def __init__(self, width, heads):
        self.heads = heads
        self.qkv, self.out = nn.Linear(3 * width), nn.Linear(width)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = (
            jt.permute_dims(jt.reshape(part, (n, t, self.heads, d // self.heads)), (0, 2, 1, 3))
            for part in jt.split(self.qkv(x), 3, axis=-1)
        )
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out(jt.reshape(jt.permute_dims(y, (0, 2, 1, 3)), (n, t, d)))


class Transformer(nn.Module):
    def __init__(self, width=32, heads=4):
        self.norm1, self.attention = Norm(), Attention(width, heads)
        self.norm2, self.up, self.down = Norm(), nn.Linear(4 * width), nn.Linear(width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.down(jt.relu(self.up(self.norm2(x))))


def by_path(summary):
    return {row.path: row for row in summary.rows}


# -- by hand ----------------------------------------------------------------------------------------------------------


def test_mlp(backend):
    def model(x):
        x = jt.relu(nn.Linear(512)(x))
        return nn.Linear(10)(x)

    found = nn.summary(model, (128, 784), device=backend, dtype=jt.float32)
    rows = by_path(found)
    assert list(rows) == ["", "Linear_1", "Linear_2"]
    assert [r.shape for r in found.rows] == [(128, 10), (128, 512), (128, 10)]
    assert rows["Linear_1"].parameters == 784 * 512 + 512
    assert rows["Linear_1"].flops == 128 * 512 * (2 * 784 + 1)
    assert rows["Linear_2"].flops == 128 * 10 * (2 * 512 + 1)
    assert found.flops == rows["Linear_1"].flops + 128 * 512 + rows["Linear_2"].flops
    assert found.parameters == found.trainable == 784 * 512 + 512 + 512 * 10 + 10
    assert found.bytes == 4 * found.parameters


def test_lenet(backend):
    found = nn.summary(LeNet(), (2, 1, 28, 28), device=backend)
    rows = by_path(found)
    assert list(rows) == ["", "features.0", "features.1", "fc1", "fc2", "fc3"]
    # The count that LeNet-5 is known for, with all maps of the second convolution connected.
    assert found.parameters == 61_706
    first, second = 2 * 6 * 28 * 28, 2 * 16 * 10 * 10  # elements of the results
    assert rows["features.0"].flops == first * (2 * 25 + 1)
    assert rows["features.1"].flops == second * (2 * 25 * 6 + 1)
    dense = sum(2 * out * (2 * width + 1) for width, out in ((400, 120), (120, 84), (84, 10)))
    assert sum(rows[f"fc{i}"].flops for i in (1, 2, 3)) == dense
    activations = first + second + 2 * 120 + 2 * 84
    pools = first + second  # windows of 4 at a fourth of the places
    assert found.flops == rows["features.0"].flops + rows["features.1"].flops + dense + activations + pools


def test_transformer_layer(backend):
    n, t, d, heads = 3, 7, 32, 4
    found = nn.summary(Transformer(d, heads), (n, t, d), device=backend)
    rows = by_path(found)
    tokens = n * t
    norm = 7 * tokens * d
    assert rows["norm1"].flops == rows["norm2"].flops == norm
    projections = tokens * 3 * d * (2 * d + 1) + tokens * d * (2 * d + 1)
    scores = n * heads * t * t
    attention = tokens * d + scores * 2 * (d // heads) + 5 * scores + 2 * tokens * d * t
    assert rows["attention"].flops == projections + attention
    feed = tokens * 4 * d * (2 * d + 1) + tokens * 4 * d + tokens * d * (8 * d + 1)
    assert found.flops == 2 * norm + projections + attention + feed + 2 * tokens * d
    assert found.parameters == 12 * d * d + 13 * d
    assert rows["attention.qkv"].depth == 2
    assert rows["attention"].parameters == 4 * d * d + 4 * d


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda T: jt.einsum("bij,bjk->bik", T((2, 3, 4)), T((2, 4, 5))), 2 * 2 * 3 * 4 * 5),
        (lambda T: jt.einsum("ij,ij->", T((3, 4)), T((3, 4))), 2 * 12),
        (lambda T: T((3, 4)) @ T((4,)), 2 * 12),
        (lambda T: T((5, 1, 3, 4)) @ T((2, 4, 6)), 2 * 5 * 2 * 3 * 4 * 6),
        (lambda T: F.conv1d(T((2, 4, 9)), T((6, 2, 3)), groups=2), 2 * 2 * 6 * 7 * 2 * 3),
        (lambda T: F.conv2d(T((1, 3, 8, 8)), T((5, 3, 3, 3)), stride=2, padding=1), 2 * 5 * 16 * 27),
        (lambda T: jt.softmax(T((3, 4)), axis=-1), 60),
        (lambda T: jt.sum(T((3, 4)) * 2.0), 24),
        (lambda T: jt.reshape(T((3, 4)).mT, (12,))[2:5], 0),
        (lambda T: jt.sin(T((0, 4))), 0),
        (lambda T: jt.exp(T(())), 1),
        (lambda T: jt.var(T((3, 4))), 48),
        (lambda T: jt.vmap(lambda x: x @ T((4, 2)))(T((5, 3, 4))), 2 * 5 * 3 * 4 * 2),
        (lambda T: jt.checkpoint(lambda x: jt.sin(x) * x)(T((5,))), 10),
        (lambda T: jt.linalg.solve(jt.eye(3) * 2.0, T((3, 2))), 9 + 18 + 36),
        (lambda T: jt.fft.fft(T((8,)) * (1 + 0j)), 8 + 5 * 8 * 3),
    ],
)
def test_counts(call, expected):
    with FlopCounter() as counter:
        call(jt.ones)
    assert counter.total == expected, counter.by_op


def test_layers_of_the_library(backend):
    n, t, d, heads, feed = 3, 7, 32, 4, 64
    layer = nn.TransformerEncoderLayer(heads, dim_feedforward=feed, batch_first=True)
    found = nn.summary(layer, (n, t, d), device=backend)
    tokens, scores = n * t, n * heads * t * t
    projections = tokens * 3 * d * (2 * d + 1) + tokens * d * (2 * d + 1)
    attention = projections + tokens * d + scores * (4 * (d // heads) + 5)
    dense = tokens * feed * (2 * d + 1) + tokens * feed + tokens * d * (2 * feed + 1)
    assert found.flops == attention + dense + 2 * 7 * tokens * d + 2 * tokens * d
    found = nn.summary(nn.LSTM(6, num_layers=2), (5, 2, 4), device=backend)
    projected = 10 * 24 * (2 * 4 + 1) + 10 * 24 * (2 * 6 + 1) + 2 * 24  # and the sum of two biases, in each layer
    assert found.flops == projected + 2 * 10 * 6 * (8 * 6 + 13)
    model = nn.Sequential(nn.Conv2d(8, kernel_size=3), nn.BatchNorm2d(), nn.Flatten(), nn.Dropout(0.5))
    found = nn.summary(model, (2, 1, 8, 8), device=backend)
    assert [r.kind for r in found.rows] == ["Sequential", "Conv2d", "BatchNorm2d", "Flatten", "Dropout"]
    assert (found.parameters, found.trainable, found.frozen, found.buffers) == (96, 8 * 9 + 8 + 16, 0, 17)
    assert found.rows[1].flops == 2 * 8 * 36 * 19
    assert nn.summary(model, (2, 1, 8, 8), device=backend, train=True, rng=0).rows[-1].flops > 0


def test_a_gradient_takes_two_more_products():
    x, weight = jt.ones((8, 3)), jt.tensor([[1.0] * 3] * 5, requires_grad=True)
    x.requires_grad = True
    y = F.linear(x, weight)
    with nn.FlopCounter() as counter:
        y.backward(jt.ones((8, 5)))
    assert counter.by_op["linear_x_grad"] + counter.by_op["linear_weight_grad"] == 2 * (2 * 8 * 3 * 5)


def test_the_formula_of_a_plugins_op():
    @jt.op(vjp={"x": lambda g, x: 3 * x * x * g})
    def cubed(xp, x, /, *, power=3):
        """x ** 3"""
        return x**3

    def count():
        with FlopCounter() as counter:
            cubed(jt.ones((2, 3)))
        return counter.total

    assert count() == 6  # one an element
    try:
        flops_of("cubed")(lambda out, x, power=3: (power - 1) * prod(out))
        assert count() == 12
    finally:
        del FLOPS["cubed"]


# -- the table --------------------------------------------------------------------------------------------------------


class Tied(nn.Module):
    def __init__(self):
        self.once, self.shared = nn.Linear(4), nn.Linear(4)

    def forward(self, x):
        x = self.once(x)
        for _ in range(3):
            x = self.shared(x)
        return {"y": x, "parts": (x[:, :1], 5)}


def test_shared_layers_count_once():
    found = nn.summary(Tied(), (2, 4))
    rows = by_path(found)
    assert [r.path for r in found.rows] == ["", "once", "shared"]
    assert (rows["shared"].calls, rows["shared"].parameters, rows["shared"].flops) == (3, 20, 3 * 2 * 4 * 9)
    assert found.parameters == 40
    assert rows[""].shape == {"y": (2, 4), "parts": [(2, 1), "int"]}
    assert "shared (Linear) x3" in str(found)
    assert "y: (2, 4), parts: (2, 1), int" in str(found)


def test_a_tensor_in_two_places_counts_once():
    class Two(nn.Module):
        def __init__(self):
            self.a, self.b = nn.Linear(3, bias=False), nn.Linear(3, bias=False)

        def forward(self, x):
            return self.b(self.a(x))

    model = Two()
    model(jt.ones((1, 3)))
    model.b.weight = model.a.weight
    found = nn.summary(model, (1, 3))
    assert [r.parameters for r in found.rows] == [9, 9, 9]
    assert found.bytes == 9 * 8


def test_frozen_layers_and_buffers():
    class Net(nn.Module):
        def __init__(self):
            self.backbone, self.head = nn.Linear(4), nn.Linear(2)

        def forward(self, x):
            return self.head(self.backbone(x) - self.buffer("mean", x.shape[-1:], nn.zeros)[:1])

    model = Net()
    model(jt.ones((2, 3), dtype=jt.float32))
    model.backbone.requires_grad_(False)
    found = nn.summary(model, (None, 3))
    assert (found.parameters, found.trainable, found.frozen, found.buffers) == (16 + 10, 10, 16, 3)
    assert (by_path(found)["backbone"].parameters, by_path(found)["backbone"].trainable) == (16, 0)
    assert found.bytes == 29 * 4
    assert "parameters: 26 (10 trainable, 16 not)\nbuffers:    3\n" in str(found)


def test_buffers_are_no_parameters(backend):
    """In every way to hold them: of a layer that has run, of a tree, of a function, and of a tree without gradients."""
    x = jt.ones((4, 8), device=backend)
    norm = nn.BatchNorm1d()
    plain = nn.init(norm, x)
    found = [nn.summary(norm, x), nn.summary(lambda x: nn.BatchNorm1d()(x), x), nn.summary(norm, x, params=plain)]
    norm(x)
    found.append(nn.summary(norm, x))
    for f in found:
        assert (f.parameters, f.trainable, f.frozen, f.buffers, f.bytes) == (16, 16, 0, 17, 33 * 8)
        assert f.rows[-1].parameters == sum(p.size for p in norm.parameters())
    detached = {name: p.detach() for name, p in plain.items()}
    f = nn.summary(norm, x, params=detached)
    assert (f.parameters, f.trainable, f.frozen, f.buffers) == (16, 0, 16, 17)
    assert "buffers" not in str(nn.summary(nn.Linear(2), (None, 3)))


def test_depth_leaves_out_and_the_numbers_stay():
    whole, top = nn.summary(Transformer(), (1, 5, 32)), nn.summary(Transformer(), (1, 5, 32), depth=1)
    assert "qkv" in str(whole)
    assert "qkv" not in str(top)
    assert len(str(nn.summary(Transformer(), (1, 5, 32), depth=0)).splitlines()) == 8
    assert (top.flops, top.parameters, top.rows) == (whole.flops, whole.parameters, whole.rows)


def test_a_summary_changes_nothing():
    model = LeNet()
    nn.summary(model, (1, 1, 28, 28))
    with pytest.raises(LayerError, match="there has been none yet"):
        list(model.parameters())
    model(jt.ones((1, 1, 28, 28)))
    before = {name: x.tolist() for name, x in model.state_dict().items()}
    drawn = jt.random.default_generator().state()
    nn.summary(model, (1, 1, 28, 28))
    nn.summary(LeNet(), (1, 1, 28, 28))
    assert {name: x.tolist() for name, x in model.state_dict().items()} == before
    assert str(jt.random.default_generator().state()) == str(drawn)
    assert backends.watch is None
    assert Layer._inside.__module__ == "jitrench_core.layer"


def test_both_styles_and_given_parameters():
    def function(x):
        return nn.Linear(3)(nn.Linear(4)(x))

    params = nn.init(function, (None, 2))
    found = nn.summary(function, (None, 2), params=params)
    assert [r.name for r in found.rows] == ["function", "Linear_1", "Linear_2"]
    assert found.rows[1].kind == "Linear"
    object_style = nn.summary(nn.Sequential(nn.Linear(4), nn.Linear(3)), (None, 2))
    assert [r.path for r in object_style.rows] == ["", "0", "1"]
    assert object_style.flops == found.flops
    assert nn.summary(lambda x: x * 2.0, (3,)).rows[0][:4] == ("model", "", "model", 0)
    assert nn.summary(lambda x: x * 2.0, (3,)).flops == 3


def test_integer_inputs_and_arguments():
    def model(tokens, scale, *, shift=0.0):
        table = F.embedding(tokens, jt.ones((11, 4)))
        return nn.Linear(2)(table * scale) + shift

    found = nn.summary(model, jt.zeros((1, 6), dtype=jt.int64), (1, 6, 1), params=None)
    assert found.inputs == [(1, 6), (1, 6, 1)]
    assert found.rows[0].shape == (1, 6, 2)


def test_text_and_html():
    found = nn.summary(nn.Sequential(nn.Linear(1000), nn.Linear(1000)), (8, 1000))
    assert str(found) == repr(found)
    head, rule, *rest = str(found).splitlines()
    assert head.split() == ["layer", "output", "parameters", "FLOPs"]
    assert set(rule) == {"-"}
    assert rest[1] == "  0 (Linear)  (8, 1000)   1,001,000  16,008,000"
    assert str(found).endswith("their size: 15.3 MiB\nFLOPs:      32,016,000 (32.02 M)")
    html = found._repr_html_()
    assert html.startswith("<table>")
    assert html.count("<tr>") == 1 + 3 + 4
    assert "  0 (Linear)" in html
    named = nn.summary(lambda x: nn.Linear(1, name="<b>")(x), (1, 1))._repr_html_()
    assert "&lt;b&gt;" in named
    assert "<b>" not in named


def test_errors():
    with pytest.raises(LayerError, match=r"summary\(depth=\): expected an int from 0, or None for all layers; got -1"):
        nn.summary(nn.Linear(1), (1, 1), depth=-1)
    with pytest.raises(LayerError, match="needs an example of the model's input"):
        nn.summary(nn.Linear(1))
    with pytest.raises(LayerError, match="the model is the class Linear"):
        nn.summary(nn.Linear, (1, 1))
    with pytest.raises(jt.ShapeError, match="expected 'weight'"):
        nn.summary(nn.Linear(1), (1, 3), params={"weight": jt.ones((1, 2)), "bias": jt.ones(1)})
    assert backends.watch is None


# -- the core's Watcher -------------------------------------------------------------------------------------------------


class Names(Watcher):
    def __init__(self):
        self.seen = []

    def op(self, op, arrays, attrs, result):
        self.seen.append(op.name)

    def enter(self, layer, path):
        self.seen.append(f"> {path}")

    def leave(self, layer, path, result):
        self.seen.append(f"< {path} {result.shape}")


def test_watchers_nest_and_end():
    x = jt.ones(2)
    with Names() as outer:
        jt.sin(x)
        with Names() as inner:
            jt.cos(x)
        jt.exp(x)
    jt.tan(x)
    assert outer.seen == ["sin", "cos", "exp"]
    assert inner.seen == ["cos"]


def test_layers_are_told_where_they_are():
    def model(x):
        return jt.relu(nn.Linear(2, name="a")(x))

    params = nn.init(model, (1, 2))
    with Names() as names:
        nn.apply(model, params, jt.ones((1, 2)))
    assert names.seen == ["> a", "linear", "< a (1, 2)", "relu"]


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_watching_goes_with_detect_anomaly():
    x = jt.tensor([1.0, 0.0], requires_grad=True)
    with Names() as names, jt.detect_anomaly():
        jt.sqrt(x)
        with pytest.raises(jt.AnomalyError, match=r"log\(\) made 1 Inf"):
            jt.log(x)
    assert names.seen == ["sqrt", "log"]
    with jt.detect_anomaly(), Names() as names:
        (x * x).sum().backward()
        with pytest.raises(jt.AnomalyError, match=r"log\(\) made 1 Inf"):
            jt.log(x)
    assert names.seen[:2] == ["multiply", "sum"]
    assert backends.watch is None
    jt.log(x)


def test_a_composite_with_a_kernel_is_seen_whole_or_as_its_ops():
    x = jt.random.Generator(0).normal((2, 3, 4), dtype=jt.float64)
    with Names() as whole:
        y = jt.ops.attention(x, x, x)
    names = Names()
    names.expand = True
    with names:
        z = jt.ops.attention(x, x, x)
    assert whole.seen == ["attention"]
    assert names.seen.count("matmul") == 2
    assert "softmax" in names.seen
    assert float(jt.max(jt.abs(y - z))) < 1e-12


def test_integers_take_no_flops():
    with FlopCounter() as counter:
        jt.arange(6) * 2 + 1
        jt.ones((2, 2), dtype=jt.int64) @ jt.ones((2, 2), dtype=jt.int64)
    assert counter.total == 0
    with FlopCounter() as counter:
        assert bool(jt.all(jt.ones(4) > 0.0))
    assert counter.by_op == {"greater": 4}


def test_another_thread_is_not_watched():
    seen = []
    ready, done = threading.Event(), threading.Event()

    def other():
        ready.wait()
        jt.cos(jt.ones(3))
        with Names() as names:
            jt.tan(jt.ones(3))
        seen.extend(names.seen)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with Names() as names:
        jt.sin(jt.ones(3))
        ready.set()
        assert done.wait(30)
        jt.exp(jt.ones(3))
    thread.join()
    assert [n for n in names.seen if n != "ones_like"] == ["sin", "exp"]
    assert seen == ["tan"]
    assert backends.watch is None


def test_watchers_that_end_in_another_order():
    first, second = Names(), Names()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    jt.sin(jt.ones(3))
    second.__exit__(None, None, None)
    jt.cos(jt.ones(3))
    assert [n for n in first.seen if n != "ones_like"] == []
    assert [n for n in second.seen if n != "ones_like"] == ["sin"]
    assert backends.watch is None


# -- what a run must leave as it was ------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", [False, True])
def test_a_run_for_training_changes_no_state(fails, backend):
    class Net(nn.Module):
        def __init__(self):
            self.body = nn.Sequential(nn.Linear(4), nn.BatchNorm1d(), nn.Dropout(0.5))

        def forward(self, x):
            y = self.body(x)
            if fails and x.shape[0] == 5:
                raise KeyError("five")
            return y

    model = Net()
    model(jt.ones((3, 2), device=backend))
    before = {name: x.tolist() for name, x in model.state_dict().items()}
    stream = str(jt.random.default_generator().state())
    try:
        assert nn.summary(model, (5, 2), train=True, rng=0).parameters == 20
    except KeyError:
        assert fails
    assert {name: x.tolist() for name, x in model.state_dict().items()} == before
    assert str(jt.random.default_generator().state()) == stream
    assert model.training


def test_a_model_of_which_a_part_has_run():
    model = nn.Sequential(nn.Linear(4), nn.Linear(2))
    model[0](jt.ones((1, 3)))
    weight = model[0].weight.tolist()
    assert [row.parameters for row in nn.summary(model, (None, 3)).rows] == [26, 16, 10]
    assert model[0].weight.tolist() == weight


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "output_padding"), [(2, 2, 0, 0), (3, 2, 1, 1), (4, 2, 1, 0), (3, 1, 1, 0)]
)
def test_a_transposed_convolution_takes_what_its_input_and_kernel_do(
    kernel, stride, padding, output_padding, groups, backend
):
    """Each number of the input meets each of the kernel's; that zeros lie between them costs nothing."""
    x, weight = jt.ones((2, 4, 6, 6), device=backend), jt.ones((4, 3, kernel, kernel), device=backend)
    with FlopCounter() as counter:
        F.conv_transpose2d(x, weight, stride=stride, padding=padding, output_padding=output_padding, groups=groups)
    assert counter.by_op["convolution"] == 2 * x.size * 3 * kernel**2


def test_the_gradient_of_a_strided_convolution_takes_what_it_does():
    x = jt.tensor([[[1.0] * 8] * 8] * 3, requires_grad=True)[None]
    weight = jt.ones((5, 3, 2, 2))
    y = F.conv2d(x, weight, stride=2)
    with FlopCounter() as counter:
        jt.grad(lambda x: jt.sum(F.conv2d(x, weight, stride=2)))(x.detach())
    assert counter.by_op["convolution"] == 2 * (2 * y.size * 3 * 4)


@pytest.mark.parametrize("module", ["jitrench_core.watching", "jitrench_nn.flops", "jitrench_nn.summary"])
def test_doctests(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0
    FLOPS.pop("my_plugins_op", None)
