"""Every layer against PyTorch's numbers, in both ways of use; how layers print, pickle, refuse, and draw."""

from __future__ import annotations

import copy
import doctest
import importlib
import inspect
import json
import math
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import jitrench_core as jt
import jitrench_nn as nn
from jitrench_core.layer import LayerError
from jitrench_core.tensor import assign

REFERENCE = json.loads((Path(__file__).parent / "data" / "layers_reference.json").read_text(encoding="utf-8"))
CASES, BATCHES = REFERENCE["cases"], REFERENCE["batches"]
FAMILIES = (
    "activations", "conv", "distance", "dropout", "embedding", "linear", "losses", "normalization", "padding", "pooling",
    "shape",
)  # fmt: skip
TOLERANCE = {"float64": 1e-12, "float32": 2e-5}


def tuples(value):
    """JSON's lists are tuples in a call."""
    return tuple(map(tuples, value)) if isinstance(value, list) else value


def floats(value):
    return np.asarray(value).dtype.kind == "f"


def tensors(tree, T, dtype, tracked=True):
    """A state of PyTorch's as our tree."""
    return {k: T(v, dtype if floats(v) else None, requires_grad=tracked and floats(v)) for k, v in tree.items()}


def weights_of(y, T):
    return jt.reshape(T(np.arange(1.0, y.size + 1) / max(y.size, 1), y.dtype.name), y.shape)


def build(case, T, dtype):
    options = {k: T(v, dtype) if k in ("weight", "pos_weight") else tuples(v) for k, v in case["options"].items()}
    return getattr(nn, case["layer"])(*tuples(case["arguments"]), **options)


def label(case):
    return f"{case['layer']}{case.get('arguments', '')}{case['options'] or ''}".replace(" ", "")


# -- values and gradients -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES, ids=label)
def test_values_and_gradients_are_pytorchs(case, dtype, T, close):
    layer, tol = build(case, T, dtype), TOLERANCE[dtype]
    if case["layer"] == "Hardsigmoid":
        tol = 2e-5  # PyTorch's slope is the float32 1/6, in float64, too
    params = tensors(case["state"], T, dtype)
    # Gradients that are compared; the rest are targets, which PyTorch has no derivative for.
    inputs = [
        T(a, dtype if floats(a) else None, requires_grad=g is not None)
        for a, g in zip(case["inputs"], case["gradients"], strict=True)
    ]
    y = nn.apply(layer, params, *inputs)
    assert y.dtype.name == dtype
    close(y, np.asarray(case["value"]), tol)
    if y.requires_grad:
        jt.sum(y * weights_of(y, T)).backward()
    for x, g in zip(inputs, case["gradients"], strict=True):
        if g is not None:
            assert x.grad.dtype.name == dtype
            close(x.grad, np.asarray(g), tol)
    for name, g in case["parameter gradients"].items():
        assert params[name].grad.dtype.name == dtype
        close(params[name].grad, np.asarray(g), tol)


@pytest.mark.parametrize("case", CASES, ids=label)
def test_both_ways_give_the_same_numbers(case, T, backend):
    """An object makes the parameters that init makes, takes a PyTorch state by load_state_dict, and is then what apply is."""
    layer = build(case, T, "float64")
    inputs = [T(a) for a in case["inputs"]]
    made = nn.init(layer, *inputs)
    assert {k: p.shape for k, p in made.items()} == {k: np.shape(v) for k, v in case["state"].items()}
    layer(*inputs)
    assert list(layer.state_dict()) == list(case["state"])
    layer.load_state_dict(tensors(case["state"], T, "float64", tracked=False))
    expected = nn.apply(layer, tensors(case["state"], T, "float64"), *inputs)
    assert layer(*inputs).tolist() == expected.tolist()
    assert nn.apply(layer, layer.state(), *inputs).tolist() == expected.tolist()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("style", ["functional", "object"])
@pytest.mark.parametrize("case", BATCHES, ids=label)
def test_batch_norm_over_several_batches(case, style, dtype, T, close):
    layer, tol = getattr(nn, case["layer"])(**case["options"]), TOLERANCE[dtype]
    trained = [k for k in case["state"] if k in ("weight", "bias")]
    params = tensors(case["state"], T, dtype)
    params = {k: p if k in trained else p.detach() for k, p in params.items()}
    if style == "object":
        layer.load_state_dict(params)
    for step in case["steps"]:
        x = T(step["x"], dtype, requires_grad=True)
        if style == "object":
            layer.train(step["training"])
            y = layer(x)
            params = layer.state()
        else:
            y = nn.apply(layer, params, x, train=step["training"])
        close(y, np.asarray(step["value"]), tol)
        for name in trained:
            params[name].grad = None
        jt.sum(y * weights_of(y, T)).backward()
        for tensor, g in zip([x, *(params[k] for k in trained)], step["gradients"], strict=True):
            close(tensor.grad, np.asarray(g), 20 * tol)
        for name, value in step["state"].items():
            close(params[name], np.asarray(value), tol)
    if "num_batches_tracked" in params:
        assert params["num_batches_tracked"].dtype == jt.int64
        assert params["running_mean"].dtype.name == dtype


def test_every_layer_of_the_package_is_registered_documented_and_tested():
    told = {case["layer"] for case in (*CASES, *BATCHES)}
    here = {"Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "GlobalAvgPool", "GlobalMaxPool"}
    elsewhere = {  # tests of recurrent networks and of attention
        name for name in nn.layers.__all__ if getattr(nn, name).__module__.rpartition(".")[2] not in FAMILIES
    }
    for name in nn.layers.__all__:
        layer = getattr(nn, name)
        assert jt.registry.layers[name] is layer
        assert (layer.__doc__ or "").strip(), name
    assert told | here | elsewhere == set(nn.layers.__all__)


@pytest.mark.parametrize("name", nn.layers.__all__)
def test_layers_override_nothing_of_the_cores_by_accident(name):
    """A helper method that has the name of one of Layer's own would break the object style."""
    meant = {"forward", "extra_repr", "name"}
    for kind in getattr(nn, name).__mro__:
        if kind not in jt.Layer.__mro__:
            taken = {k for k in vars(kind) if hasattr(jt.Layer, k) and not (k.startswith("__") and k.endswith("__"))}
            assert taken <= meant, (kind.__name__, taken - meant)


# -- repr, pickle, copies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.Linear(10, bias=False), "Linear(10, bias=False)"),
        (nn.Linear(10), "Linear(10)"),
        (nn.Linear(10, weight_init=nn.he_normal, name="head"), "Linear(10, weight_init=he_normal, name='head')"),
        (nn.Linear(10, weight_init=nn.normal(0.02)), "Linear(10, weight_init=normal(std=0.02))"),
        (
            nn.Linear(10, weight_init=nn.scaled(nn.truncated_normal(0.5, mean=1.0), 2)),
            "Linear(10, weight_init=scaled(initializer=truncated_normal(std=0.5, mean=1.0), gain=2))",
        ),
        (nn.Conv2d(8, 3, padding="same"), "Conv2d(8, 3, padding='same')"),
        (nn.ConvTranspose1d(8, (3,), stride=2), "ConvTranspose1d(8, (3,), stride=2)"),
        (nn.MaxPool2d(2, 1), "MaxPool2d(2, stride=1)"),
        (nn.AdaptiveAvgPool2d((3, None)), "AdaptiveAvgPool2d((3, None))"),
        (nn.BatchNorm2d(), "BatchNorm2d()"),
        (nn.BatchNorm2d(3, momentum=None), "BatchNorm2d(num_features=3, momentum=None)"),
        (nn.LayerNorm((3, 4), bias=False), "LayerNorm(normalized_shape=(3, 4), bias=False)"),
        (nn.Embedding(5, 3, padding_idx=0), "Embedding(5, 3, padding_idx=0)"),
        (nn.Dropout(0.1), "Dropout(p=0.1)"),
        (nn.ReLU(), "ReLU()"),
        (nn.ELU(0.5, name="e"), "ELU(alpha=0.5, name='e')"),
        (nn.Threshold(0.1, 2.0), "Threshold(0.1, 2.0)"),
        (nn.CrossEntropyLoss(weight=jt.ones(3)), "CrossEntropyLoss(weight=Tensor of shape (3,))"),
        (nn.MSELoss(reduction="sum"), "MSELoss(reduction='sum')"),
        (nn.ConstantPad2d((1, 0, 2, 3), 0.5), "ConstantPad2d((1, 0, 2, 3), 0.5)"),
        (nn.ReflectionPad1d(2, name="p"), "ReflectionPad1d(2, name='p')"),
        (nn.Upsample(scale_factor=2, mode="bilinear"), "Upsample(scale_factor=2, mode='bilinear')"),
        (nn.PixelShuffle(2), "PixelShuffle(2)"),
        (nn.Fold((4, 5), 2, stride=2), "Fold((4, 5), 2, stride=2)"),
        (nn.PairwiseDistance(1.0), "PairwiseDistance(p=1.0)"),
    ],
    ids=str,
)
def test_a_layer_prints_as_the_call_that_makes_it(layer, text):
    assert repr(layer) == text


@pytest.mark.parametrize("case", CASES, ids=label)
def test_layers_pickle_and_copy(case, T):
    layer = build(case, T, "float64")
    inputs = [T(a) for a in case["inputs"]]
    y = layer(*inputs).tolist()
    for same in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
        assert repr(same) == repr(layer)
        assert same(*inputs).tolist() == y


def test_signatures_are_those_that_an_editor_shows():
    assert str(inspect.signature(nn.ELU)) == "(alpha: 'float' = 1.0, *, name: 'str | None' = None) -> None"
    assert list(inspect.signature(nn.CrossEntropyLoss).parameters) == [
        "name",
        "reduction",
        "weight",
        "ignore_index",
        "label_smoothing",
    ]
    for name in nn.layers.__all__:
        kinds = [p.kind for p in inspect.signature(getattr(nn, name)).parameters.values()]
        assert inspect.Parameter.VAR_KEYWORD not in kinds, name


# -- what has no counterpart in PyTorch -------------------------------------------------------------------------------------


def test_global_pooling(T, close):
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    for shape in (x, x[..., 0], x[..., None]):
        axes = tuple(range(2, shape.ndim))
        close(nn.GlobalAvgPool()(T(shape)), shape.mean(axes))
        close(nn.GlobalMaxPool()(T(shape)), shape.max(axes))
    assert nn.GlobalAvgPool(keepdims=True)(T(x)).shape == (2, 3, 1, 1)
    with pytest.raises(
        jt.ShapeError, match=r"GlobalAvgPool: expected an input of shape \(N, C, L, \.\.\.\), got \(2, 3\)"
    ):
        nn.GlobalAvgPool()(T(x[:, :, 0, 0]))


def test_a_width_that_is_inferred_is_that_of_the_first_input(T):
    model = nn.Sequential(nn.Conv2d(4, 3), nn.BatchNorm2d(), nn.GlobalAvgPool(), nn.Linear(2), nn.LayerNorm())
    assert model(T(np.ones((2, 3, 6, 5)))).shape == (2, 2)
    shapes = {k: p.shape for k, p in model.named_parameters()}
    assert shapes == {
        "0.weight": (4, 3, 3, 3),
        "0.bias": (4,),
        "1.weight": (4,),
        "1.bias": (4,),
        "3.weight": (2, 4),
        "3.bias": (2,),
        "4.weight": (2,),
        "4.bias": (2,),
    }
    with pytest.raises(jt.ShapeError, match=r"0: expected 'weight' of shape \(4, 2, 3, 3\).*got \(4, 3, 3, 3\)"):
        model(T(np.ones((2, 2, 6, 5))))


def test_layers_on_an_empty_batch(T):
    for layer, shape, expected in [
        (nn.Linear(2), (0, 3), (0, 2)),
        (nn.Conv2d(2, 3, padding=1), (0, 3, 4, 4), (0, 2, 4, 4)),
        (nn.LayerNorm(), (0, 3), (0, 3)),
        (nn.Flatten(), (0, 3, 2), (0, 6)),
        (nn.GlobalAvgPool(), (0, 3, 2), (0, 3)),
        (nn.Dropout(), (0, 3), (0, 3)),
        (nn.Unflatten(1, (-1, 3)), (0, 6), (0, 2, 3)),
    ]:
        assert layer(T(np.ones(shape))).shape == expected
    layer = nn.Embedding(3, 2)
    assert layer(T(np.ones((0, 2), "int64"))).shape == (0, 2, 2)


def test_second_derivatives_through_layers(T, close):
    """The gradient of a gradient's norm, as of a gradient penalty, against differences."""
    model = nn.Sequential(nn.Conv1d(3, 2), nn.GroupNorm(1), nn.Softplus(2.0), nn.Flatten(), nn.Linear(1))
    x = T(np.random.default_rng(0).normal(size=(2, 2, 4)))
    params = nn.init(model, x)

    def penalty(x):
        return jt.sum(jt.grad(lambda x: jt.sum(nn.apply(model, params, x)))(x) ** 2)

    v, step = T(np.random.default_rng(1).normal(size=(2, 2, 4))), 1e-5
    slope = jt.sum(jt.grad(penalty)(x) * v)
    close(slope, (penalty(x + step * v) - penalty(x - step * v)).numpy() / (2 * step), tol=1e-7)


def test_vmap_and_jvp_through_layers(T, close):
    model = nn.Sequential(nn.Conv1d(3, 2, padding="same"), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(2))
    x = T(np.random.default_rng(0).normal(size=(5, 2, 2, 6)))
    params = nn.init(model, x[0])
    close(jt.vmap(lambda x: nn.apply(model, params, x))(x), np.stack([nn.apply(model, params, r).numpy() for r in x]))
    v, step = T(np.random.default_rng(1).normal(size=(2, 2, 6))), 1e-6
    _, dy = jt.jvp(lambda x: nn.apply(model, params, x), (x[0],), (v,))
    near = [nn.apply(model, params, x[0] + s * v).numpy() for s in (step, -step)]
    close(dy, (near[0] - near[1]) / (2 * step), tol=1e-7)


# -- parts ------------------------------------------------------------------------------------------------------------------


def test_padding_row_of_an_embedding_starts_as_zeros(T):
    weight = nn.init(nn.Embedding(4, 3, padding_idx=1), T([0]), seed=1)["weight"]
    whole = nn.init(nn.Embedding(4, 3), T([0]), seed=1)["weight"]
    assert weight[1].tolist() == [0.0] * 3
    assert weight[2].tolist() == whole[2].tolist()


def test_transposed_convolutions_have_the_fans_of_what_they_compute(T):
    """He's spread is sqrt(2 / fan_in), where fan_in counts the channels that come in, not those that go out."""
    x = T(np.zeros((1, 64, 3, 3)))
    for groups in (1, 4):
        weight = nn.init(nn.ConvTranspose2d(256, 3, groups=groups, weight_init=nn.he_normal), x)["weight"].numpy()
        assert weight.shape == (64, 256 // groups, 3, 3)
        assert abs(weight.std() / math.sqrt(2 / (64 // groups * 9)) - 1) < 0.03
    same = nn.init(nn.ConvTranspose2d(64, 3, padding=1, weight_init=nn.dirac), x)["weight"]
    noise = np.random.default_rng(0).normal(size=(1, 64, 3, 3))
    layer = nn.ConvTranspose2d(64, 3, padding=1, bias=False, weight_init=nn.dirac)
    assert same.shape == (64, 64, 3, 3)
    assert np.array_equal(layer(T(noise)).numpy(), noise)


def test_buffers_are_read_only_where_nothing_is_trained(T):
    layer, x = nn.BatchNorm1d(), T(np.random.default_rng(0).normal(size=(4, 3)))
    params = nn.init(layer, x)
    assert {k for k, p in params.items() if p.requires_grad} == {"weight", "bias"}
    nn.apply(layer, params, x)
    assert params["num_batches_tracked"].item() == 0
    nn.apply(layer, params, x, train=True)
    assert params["num_batches_tracked"].item() == 1
    with pytest.raises(LayerError, match="there has been none yet"):  # apply leaves nothing in the layer
        list(layer.named_parameters())
    layer(x)
    layer.eval()
    before = layer.running_mean.tolist()
    layer(x)
    assert layer.running_mean.tolist() == before
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert [name for name, _ in layer.named_buffers()] == ["running_mean", "running_var", "num_batches_tracked"]


def test_a_count_of_batches_stays_an_integer_when_the_layer_moves(T):
    layer = nn.BatchNorm1d()
    layer(T(np.random.default_rng(0).normal(size=(4, 3))))
    layer.to(dtype="float32")
    assert {k: b.dtype.name for k, b in layer.named_buffers()} == {
        "running_mean": "float32",
        "running_var": "float32",
        "num_batches_tracked": "int64",
    }


def test_running_statistics_inside_transforms(T, close):
    x = T(np.random.default_rng(0).normal(size=(4, 3)))
    layer, plain = nn.BatchNorm1d(), nn.BatchNorm1d(track_running_stats=False)
    params = nn.init(layer, x)
    own = {k: params[k] for k in ("weight", "bias")}
    before = {k: p.tolist() for k, p in params.items()}
    inside = [
        lambda f: jt.jvp(f, (x,), (x,)),
        lambda f: jt.vmap(f)(jt.stack([x, x])),
        lambda f: jt.hvp(lambda x: jt.sum(f(x) ** 3), (x,), (x,)),
    ]
    for transform in inside:
        with pytest.raises(
            jt.TransformError, match=r"BatchNorm1d.*: running statistics cannot follow a batch inside vmap"
        ):
            transform(lambda x: nn.apply(layer, params, x, train=True))
        transform(lambda x: nn.apply(layer, params, x))
        transform(lambda x: nn.apply(plain, own, x, train=True))
        assert {k: p.tolist() for k, p in params.items()} == before
    each = jt.vmap(lambda x: nn.apply(plain, own, x))(jt.stack([x, 2.0 * x]))
    close(each[0], nn.apply(layer, params, x, train=True))
    gradient = jt.grad(lambda x: jt.sum(nn.apply(layer, params, x, train=True) ** 3))(x)
    assert gradient.shape == (4, 3)
    assert params["num_batches_tracked"].item() == 2


# -- dropout ----------------------------------------------------------------------------------------------------------------

DROPOUTS = [
    (nn.Dropout, (500, 40)),
    (nn.Dropout1d, (500, 40, 2)),
    (nn.Dropout2d, (500, 40, 2, 1)),
    (nn.Dropout3d, (500, 40, 1, 2, 1)),
    (nn.AlphaDropout, (500, 40)),
]


@pytest.mark.parametrize(("kind", "shape"), DROPOUTS, ids=lambda v: getattr(v, "__name__", ""))
def test_one_seed_gives_one_mask_on_every_backend(kind, shape, T, close):
    x = np.random.default_rng(0).normal(size=shape)
    layer = kind(0.25)
    y = nn.apply(layer, {}, T(x), train=True, rng=7)
    close(y, nn.apply(layer, {}, x, train=True, rng=7).numpy())
    assert y.tolist() != nn.apply(layer, {}, T(x), train=True, rng=8).tolist()
    assert nn.apply(layer, {}, T(x)).tolist() == x.tolist()


@pytest.mark.parametrize(("kind", "shape"), DROPOUTS[:4], ids=lambda v: getattr(v, "__name__", ""))
def test_dropout_keeps_the_mean_and_whole_channels(kind, shape, T):
    y = nn.apply(kind(0.25), {}, T(np.ones(shape)), train=True, rng=0).numpy()
    assert set(np.unique(y)) == {0.0, 1 / 0.75}
    channels = y.reshape(*shape[:2], -1)
    assert (channels == channels[..., :1]).all()
    kept = (channels[..., 0] != 0).mean()
    assert abs(kept - 0.75) < 5 * math.sqrt(0.25 * 0.75 / 20000)


def test_alpha_dropout_keeps_mean_and_variance(T):
    x = np.random.default_rng(0).normal(size=(400, 400))
    y = nn.apply(nn.AlphaDropout(0.3), {}, T(x), train=True, rng=0).numpy()
    assert abs(y.mean()) < 0.02
    assert abs(y.var() - 1) < 0.02


def test_dropout_as_an_object(T, backend):
    layer, x = nn.Dropout(0.5), T(np.ones((20, 20)))
    jt.random.seed(3)
    first = layer(x)
    assert (first.tolist() == x.tolist()) is False
    assert first.device == x.device
    jt.random.seed(3)
    assert layer(x).tolist() == first.tolist()
    assert layer.eval()(x).tolist() == x.tolist()
    assert layer.train()(x).tolist() != x.tolist()


def test_dropout_needs_a_generator_in_apply(T):
    model = nn.Sequential(nn.Linear(3), nn.Dropout(0.5))
    x = T(np.ones((2, 2)))
    params = nn.init(model, x)
    with pytest.raises(LayerError, match=r"1 draws random numbers: pass a generator or a seed"):
        nn.apply(model, params, x, train=True)
    g = jt.random.Generator(0, device=x.device)
    a, b = (nn.apply(model, params, x, train=True, rng=g).tolist() for _ in range(2))
    assert a != b  # a generator moves on
    assert a == nn.apply(model, params, x, train=True, rng=0).tolist()


# -- errors -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Conv2d(3, 16, 3), LayerError, r"write Conv2d\(16, 3\), not Conv2d\(3, 16, 3\)"),
        (lambda: nn.Conv2d(3, 16, 3, 2), LayerError, r"write Conv2d\(16, 3\), not Conv2d\(3, 16, 3, 2\)"),
        (lambda: nn.ConvTranspose1d(3, 16, 3), LayerError, "takes the output channels and the kernel's size only"),
        (lambda: nn.Bilinear(3, 2, 4), LayerError, r"write Bilinear\(4\), not Bilinear\(3, 2, 4\)"),
        (
            lambda: nn.Upsample(),
            LayerError,
            "Upsample takes either size or scale_factor; got size=None, scale_factor=None",
        ),
        (lambda: nn.Upsample(4, 2.0), LayerError, "Upsample takes either size or scale_factor; got size=4"),
        (
            lambda: nn.Upsample(4, mode="cubic"),
            LayerError,
            r"Upsample\(mode=\): expected one of 'nearest', .*; got 'cubic'",
        ),
        (lambda: nn.PixelShuffle(0), jt.ShapeError, r"PixelShuffle\(upscale_factor\): .* from 1; got 0"),
        (lambda: nn.PixelUnshuffle(2.0), jt.ShapeError, r"PixelUnshuffle\(downscale_factor\): .* from 1; got 2.0"),
        (lambda: nn.ZeroPad2d((1, 2)), jt.ShapeError, r"expected an int from 0, or a tuple of 4, .*; got \(1, 2\)"),
        (lambda: nn.ZeroPad1d(-1), jt.ShapeError, r"ZeroPad1d\(padding\): expected an int from 0, .*; got -1"),
        (lambda: nn.ReflectionPad1d(1.0), jt.ShapeError, r"ReflectionPad1d\(padding\): expected an int from 0"),
        (
            lambda: nn.Upsample(4, mode="area"),
            LayerError,
            "one of 'nearest', .*; got 'area': its means are AdaptiveAvgPool1d",
        ),
        (lambda: nn.Upsample(-3), LayerError, r"Upsample\(size=\): expected an int above 0, .*; got -3"),
        (lambda: nn.Upsample((3, 2.5)), LayerError, r"Upsample\(size=\): expected an int .*; got \(3, 2.5\)"),
        (
            lambda: nn.Upsample(scale_factor=0.0),
            LayerError,
            r"Upsample\(scale_factor=\): .* a number above 0, .*; got 0.0",
        ),
        (
            lambda: nn.Upsample(scale_factor="2"),
            LayerError,
            r"Upsample\(scale_factor=\): .* a number above 0, .*; got '2'",
        ),
        (
            lambda: nn.Upsample(4, align_corners=True),
            LayerError,
            "for the linear modes and 'bicubic'; got True for 'nearest'",
        ),
        (lambda: nn.Unfold(2, padding=-1), jt.ShapeError, r"Unfold\(\): padding must be an int from 0.*; got -1"),
        (
            lambda: nn.Unfold(2, padding="same"),
            jt.ShapeError,
            r"Unfold\(\): padding must be an int from 0.*; got 'same'",
        ),
        (lambda: nn.Fold((3, 3), 2, padding=(1, -1)), jt.ShapeError, r"Fold\(\): padding must be an int from 0"),
        (lambda: nn.Unflatten(1, (True, 2)), LayerError, r"expected a tuple of ints, got \(True, 2\)"),
        (lambda: nn.ConstantPad1d(1, True), LayerError, r"ConstantPad1d\(value\): expected a number; got True"),
        (lambda: nn.ConstantPad1d(1, "a"), LayerError, r"ConstantPad1d\(value\): expected a number; got 'a'"),
        (lambda: nn.Unfold(0), jt.ShapeError, r"Unfold\(\): kernel_size must be an int from 1"),
        (lambda: nn.Fold((3, 3), (2, 0)), jt.ShapeError, r"Fold\(\): kernel_size must be an int from 1"),
        (lambda: nn.Conv1d(0, 3), jt.ShapeError, r"Conv1d\(out_channels\): .* must be an int from 1; got 0"),
        (lambda: nn.Conv1d(4, 3, groups=3), jt.ShapeError, "4 output channels cannot be divided into 3 groups"),
        (lambda: nn.Conv1d(4, 3, groups=True), jt.ShapeError, r"Conv1d\(groups\): .* got True"),
        (
            lambda: nn.Conv2d(4, (3, 3, 3)),
            jt.ShapeError,
            r"Conv2d\(\): kernel_size must be an int from 1, or a tuple of 2",
        ),
        (lambda: nn.Conv2d(4, 3, stride=0), jt.ShapeError, r"Conv2d\(\): stride must be an int from 1"),
        (lambda: nn.Conv2d(4, 3, dilation="1"), jt.ShapeError, r"Conv2d\(\): dilation must be an int from 1"),
        (
            lambda: nn.Conv2d(4, 3, bias=1),
            LayerError,
            r"Conv2d\(bias=\): expected True or False, got 1; a first value is",
        ),
        (lambda: nn.ConvTranspose2d(4, 3, padding="same"), jt.ShapeError, "padding must be an int from 0"),
        (lambda: nn.MaxPool2d(0), jt.ShapeError, r"MaxPool2d\(\): kernel_size must be an int from 1"),
        (lambda: nn.AvgPool1d(2, ceil_mode=1), LayerError, r"AvgPool1d\(ceil_mode=\): expected True or False, got 1"),
        (lambda: nn.AdaptiveAvgPool2d((3, 3, 3)), jt.ShapeError, "output_size must be an int from 0, or a tuple of 2"),
        (
            lambda: nn.BatchNorm1d(0),
            jt.ShapeError,
            r"BatchNorm1d\(num_features\): the number of channels must be an int",
        ),
        (
            lambda: nn.BatchNorm1d(momentum=2.0),
            LayerError,
            r"momentum=\): expected a number from 0 to 1, or None; got 2\.0",
        ),
        (lambda: nn.BatchNorm2d(eps=-1e-5), LayerError, r"BatchNorm2d\(eps=\): expected a number from 0; got -1e-05"),
        (lambda: nn.BatchNorm2d(3, eps=math.nan), LayerError, "expected a number from 0; got nan"),
        (lambda: nn.LayerNorm(eps=None), LayerError, r"LayerNorm\(eps=\): expected a number from 0; got None"),
        (
            lambda: nn.LayerNorm((3, 0)),
            jt.ShapeError,
            r"LayerNorm\(normalized_shape\): each length must be an int from 1",
        ),
        (lambda: nn.LayerNorm(()), jt.ShapeError, r"each length must be an int from 1; got \(\)"),
        (lambda: nn.GroupNorm(3, 4), jt.ShapeError, "GroupNorm: 4 channels cannot be divided into 3 groups"),
        (
            lambda: nn.GroupNorm(0),
            jt.ShapeError,
            r"GroupNorm\(num_groups\): the number of groups must be an int from 1",
        ),
        (lambda: nn.InstanceNorm1d(affine=None), LayerError, r"InstanceNorm1d\(affine=\): expected True or False"),
        (lambda: nn.Embedding(3, 0), jt.ShapeError, r"Embedding\(embedding_dim\): the width of a row must be an int"),
        (
            lambda: nn.Embedding(3, 2, padding_idx=3),
            jt.BoundsError,
            r"padding_idx=\): expected a row, 0 to 2, or None; got 3",
        ),
        (lambda: nn.Embedding(3, 2, padding_idx=-1), jt.BoundsError, "got -1"),
        (
            lambda: nn.Dropout(1.5),
            LayerError,
            r"Dropout\(p\): expected the probability of a zero, from 0 to 1; got 1\.5",
        ),
        (lambda: nn.Dropout("0.5"), LayerError, "got '0.5'"),
        (lambda: nn.PReLU(0), jt.ShapeError, r"PReLU\(num_parameters\): the number of slopes must be an int from 1"),
        (lambda: nn.PReLU(init="a"), LayerError, r"PReLU\(init=\): expected a finite number; got 'a'"),
        (lambda: nn.Embedding(3, 2, padding_idx=True), jt.BoundsError, "got True"),
        (lambda: nn.AvgPool2d(2, divisor_override="a"), jt.ShapeError, r"divisor_override=\): .* int from 1; got 'a'"),
        (lambda: nn.ELU("a"), LayerError, r"ELU\(alpha=\): expected a number; got 'a'"),
        (lambda: nn.LeakyReLU(None), LayerError, r"LeakyReLU\(negative_slope=\): expected a number; got None"),
        (lambda: nn.Hardtanh(max_val=math.nan), LayerError, r"Hardtanh\(max_val=\): expected a number; got nan"),
        (lambda: nn.Softmax(axis=True), LayerError, r"Softmax\(axis=\): expected an int; got True"),
        (lambda: nn.Softplus(0.0), LayerError, r"Softplus\(beta=\): expected a number other than 0; got 0\.0"),
        (lambda: nn.Flatten("a"), LayerError, r"Flatten\(start_axis=\): expected an int; got 'a'"),
        (lambda: nn.Unflatten(1, 4), LayerError, r"Unflatten\(shape=\): expected a tuple of ints, got 4"),
        (lambda: nn.HuberLoss(delta="a"), LayerError, r"HuberLoss\(delta=\): expected a number; got 'a'"),
        (
            lambda: nn.TripletMarginLoss(swap=1),
            LayerError,
            r"TripletMarginLoss\(swap=\): expected True or False; got 1",
        ),
        (
            lambda: nn.NLLLoss(ignore_index=1.5),
            LayerError,
            r"NLLLoss\(ignore_index=\): expected an int or None; got 1\.5",
        ),
        (
            lambda: nn.L1Loss(reduction="avg"),
            LayerError,
            r"L1Loss\(reduction=\): expected one of 'mean', .*; got 'avg'",
        ),
        (lambda: nn.MSELoss(reduction="batchmean"), LayerError, "got 'batchmean'"),
    ],
)
def test_options_that_cannot_be(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "dtype", "error", "message"),
    [
        (nn.Conv1d(2, 3), (4, 3, 5, 5), "float64", jt.ShapeError, r"expected an input of shape \(N, C, L\) or \(C, L\), got"),
        (nn.Conv2d(2, 3), (3,), "float64", jt.ShapeError, r"expected an input of shape \(N, C, H, W\) or \(C, H, W\), got \(3,\)"),
        (nn.Conv2d(2, 3), (1, 3, 4, 4), "int64", jt.DTypeError, "expected a floating-point input, got int64 of shape"),
        (nn.Conv2d(2, 3, groups=2), (1, 3, 4, 4), "float64", jt.ShapeError, "the 3 channels .* cannot be divided into 2 groups"),
        (nn.Conv2d(2, 5), (1, 3, 4, 4), "float64", jt.ShapeError, "the window is larger than x"),
        (nn.ConvTranspose1d(2, 3), (3,), "float64", jt.ShapeError, r"expected an input of shape \(N, C, L\) or \(C, L\)"),
        (nn.MaxPool2d(2), (4, 4), "float64", jt.ShapeError, r"MaxPool2d: expected an input of shape \(N, C, H, W\) or"),
        (nn.MaxPool2d(2), (1, 4, 4), "complex128", jt.DTypeError, "expected a floating-point input, got complex128"),
        (nn.AvgPool2d(2), (1, 4, 4), "int64", jt.DTypeError, "expected a floating-point input, got int64"),
        (nn.AdaptiveAvgPool1d(2), (4,), "float64", jt.ShapeError, r"expected an input of shape \(N, C, L\)"),
        (nn.BatchNorm1d(), (2, 3, 4, 5), "float64", jt.ShapeError, r"expected an input of shape \(N, C\) or \(N, C, L\)"),
        (nn.BatchNorm2d(), (2, 3), "float64", jt.ShapeError, r"expected an input of shape \(N, C, H, W\), got \(2, 3\)"),
        (nn.BatchNorm1d(4), (2, 3), "float64", jt.ShapeError, r"expected an input of 4 channels \(axis 1\), got 3"),
        (nn.BatchNorm1d(), (2, 3), "int64", jt.DTypeError, "expected a floating-point input, got int64"),
        (nn.BatchNorm1d(), (1, 3), "float64", jt.ShapeError, "in training each channel needs more than one number"),
        (nn.LayerNorm(), (), "float64", jt.ShapeError, r"expected an input of shape \(\.\.\., width\), got a 0-d tensor"),
        (nn.LayerNorm((3, 4)), (2, 4), "float64", jt.ShapeError, r"expected an input of shape \(\.\.\., 3, 4\), got \(2, 4\)"),
        (nn.RMSNorm(3), (2, 4), "float64", jt.ShapeError, r"RMSNorm: expected an input of shape \(\.\.\., 3\), got \(2, 4\)"),
        (nn.RMSNorm(), (2, 4), "int64", jt.DTypeError, "RMSNorm: expected a floating-point input, got int64"),
        (nn.GroupNorm(2), (2, 3), "float64", jt.ShapeError, "GroupNorm: 3 channels cannot be divided into 2 groups"),
        (nn.GroupNorm(2), (4,), "float64", jt.ShapeError, r"expected an input of shape \(N, C, \.\.\.\), got \(4,\)"),
        (nn.InstanceNorm1d(), (2, 3), "float64", jt.ShapeError, r"expected an input of shape \(N, C, L\), got \(2, 3\)"),
        (nn.Dropout2d(), (3,), "float64", jt.ShapeError, r"dropout2d\(\): x has shape \(3,\)"),
        (nn.Dropout(), (3,), "int64", jt.DTypeError, r"dropout\(\): x has dtype int64"),
        (nn.Embedding(3, 2), (2,), "float64", jt.DTypeError, r"Embedding: expected integers, got float64 .*x\.astype\(jt\.int64\)"),
        (nn.Flatten(), (3,), "float64", jt.AxisError, r"Flatten: the axes 1 to -1 are none of an input of shape \(3,\)"),
        (nn.Unflatten(1, (2, 2)), (3, 5), "float64", jt.ShapeError, r"Unflatten: axis 1 .* has the length 5, which is not that of"),
        (nn.Unflatten(1, (-1, -1)), (3, 4), "float64", jt.ShapeError, r"which is not that of \(-1, -1\)"),
        (nn.Unflatten(2, (2, 2)), (3, 4), "float64", jt.AxisError, r"Unflatten: an input of shape \(3, 4\) has no axis 2"),
        (nn.PixelShuffle(2), (6, 2, 2), "float64", jt.ShapeError, r"PixelShuffle: expected .* \(\.\.\., C \* 4, H, W\), got \(6, 2, 2\)"),
        (nn.PixelShuffle(2), (4, 4), "float64", jt.ShapeError, r"PixelShuffle: expected .*, got \(4, 4\)"),
        (nn.PixelUnshuffle(2), (1, 4, 3), "float64", jt.ShapeError, r"PixelUnshuffle: expected .* \(\.\.\., C, H \* 2, W \* 2\), got \(1, 4, 3\)"),
        (nn.ReflectionPad2d(1), (4, 4), "float64", jt.ShapeError, r"ReflectionPad2d: expected an input of shape .*, got \(4, 4\)"),
        (nn.ZeroPad3d(1), (4, 4), "float64", jt.ShapeError, r"ZeroPad3d: expected an input of shape .*, got \(4, 4\)"),
        (nn.Upsample(4), (2, 3), "float64", jt.ShapeError, r"interpolate\(\): x must have shape"),
        (nn.PReLU(3), (2, 2), "float64", jt.ShapeError, r"prelu\(\): weight has shape \(3,\); expected \(2,\)"),
        (nn.PReLU(), (2, 2), "int64", jt.DTypeError, "PReLU: expected a floating-point input, got int64"),
        (nn.Linear(2), (2, 2), "bool", jt.DTypeError, "Linear: expected a floating-point input, got bool"),
    ],
)  # fmt: skip
def test_inputs_that_do_not_fit(layer, shape, dtype, error, message, T):
    layer = copy.deepcopy(layer)
    with pytest.raises(error, match=message):
        layer(T(np.ones(shape), dtype))


def test_padding_and_shuffling_keep_what_is_there(T):
    """Of any dtype, constants around any leading axes; each shuffle is the other's inverse."""
    x = T(np.arange(6).reshape(2, 3))
    assert nn.ZeroPad1d((0, np.int64(1)))(x).tolist() == [[0, 1, 2, 0], [3, 4, 5, 0]]
    assert nn.ConstantPad2d((0, 1, 1, 0), 9)(x).tolist() == [[9, 9, 9, 9], [0, 1, 2, 9], [3, 4, 5, 9]]
    image = T(np.arange(2 * 3 * 8 * 4 * 6.0).reshape(2, 3, 8, 4, 6))
    assert nn.PixelUnshuffle(2)(nn.PixelShuffle(2)(image)).tolist() == image.tolist()
    assert nn.PixelShuffle(2)(nn.PixelUnshuffle(2)(image)).tolist() == image.tolist()


def test_widths_that_change_after_the_first_call(T):
    layer = nn.BatchNorm1d()
    layer(T(np.ones((2, 3))))
    with pytest.raises(jt.ShapeError, match=r"BatchNorm1d: expected 'weight' of shape \(4,\).*got \(3,\)"):
        layer(T(np.ones((2, 4))))
    layer = nn.Bilinear(2)
    layer(T(np.ones((2, 3))), T(np.ones((2, 4))))
    with pytest.raises(jt.ShapeError, match=r"Bilinear: expected 'weight' of shape \(2, 3, 3\).*got \(2, 3, 4\)"):
        layer(T(np.ones((2, 3))), T(np.ones((2, 3))))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: nn.Conv2d(in_channels=1, out_channels=8, kernel_size=3),
            "Conv2d has no option 'in_channels': .* is inferred",
        ),
        (
            lambda: nn.LSTM(hidden_size=3, input_size=2),
            "LSTM has no option 'input_size': leave it out: the width of an",
        ),
        (
            lambda: nn.TransformerEncoderLayer(d_model=8, nhead=2),
            "TransformerEncoderLayer has no option 'd_model': leave",
        ),
        (lambda: nn.Linear(in_features=3), "Linear has no option 'in_features': leave it out"),
        (
            lambda: nn.MultiheadAttention(embed_dim=8, num_heads=2),
            "MultiheadAttention has no option 'embed_dim': leave",
        ),
        (lambda: nn.Softmax(dim=1), "Softmax has no option 'dim': write axis="),
        (
            lambda: nn.Dropout2d(0.1, inplace=True),
            "Dropout2d has no option 'inplace': leave it out: nothing is written",
        ),
        (lambda: nn.MSELoss(size_average=True), "MSELoss has no option 'size_average': write reduction="),
        (lambda: nn.Linear(2, bais=False), "Linear has no option 'bais'. Did you mean 'bias'"),
        (lambda: nn.ReLU(slope=1), "ReLU has no option 'slope'; it has name$"),
        (lambda: nn.ReLU(dim=1), "ReLU has no option 'dim'; it has name$"),
        (lambda: nn.Linear(2, zeta=1, alpha=2, beta=3), "Linear has no option 'zeta'"),
        (lambda: nn.Linear(2, alpha=2, beta=3, zeta=1), "Linear has no option 'alpha'"),
        (lambda: nn.ReLU(True), "ReLU takes nothing by position, and all else by keyword; got 1$"),
        (lambda: nn.BatchNorm1d(8, 1e-5), "BatchNorm1d takes num_features by position, .*; got 2$"),
    ],
)
def test_arguments_that_a_layer_does_not_have(make, message):
    """``LayerError``, as for other options that cannot be, and ``TypeError``, as Python has it."""
    with pytest.raises(LayerError, match=message):
        make()
    with pytest.raises(TypeError, match=message):
        make()


def test_a_constant_may_be_any_number(T):
    x = T([[1.0, 2.0]])
    for value in (-math.inf, math.inf, math.nan, np.float32(0.5), np.int64(3), 10**3, Fraction(1, 4)):
        np.testing.assert_array_equal(nn.ConstantPad1d((1, 0), value)(x).numpy(), [[float(value), 1.0, 2.0]])


def test_numpy_ints_are_lengths(T):
    layer = nn.Unflatten(1, tuple(np.asarray([2, 3])))
    assert layer(T(np.ones((4, 6)))).shape == (4, 2, 3)
    assert repr(layer) == "Unflatten(1, (2, 3))"
    assert nn.Upsample(scale_factor=np.float32(2.0))(T(np.ones((1, 1, 3)))).shape == (1, 1, 6)


def test_an_option_named_cls():
    class Tokens(nn.Embedding):
        def __init__(self, n, *, cls):
            super().__init__(n, 2)
            self.cls = cls

    assert Tokens(3, cls=1).cls == 1


def test_arguments_of_layers_that_users_derive():
    class Mine(nn.Linear):
        def __init__(self, width, *, scale=1.0, **options):
            super().__init__(width, **options)
            self.scale = scale

    assert Mine(3, scale=2.0, bias=False).scale == 2.0
    with pytest.raises(TypeError, match="inplace"):  # Python's: what Mine takes goes on
        Mine(3, inplace=True)

    class Wrong(nn.Identity):
        def __init__(self, width):
            super().__init__()
            len(width, key=1)

    with pytest.raises(TypeError, match="len"):  # a mistake of its own
        Wrong(3)
    assert copy.deepcopy(Mine(3)).out_dim == pickle.loads(pickle.dumps(nn.Linear(3))).out_dim == 3


def test_widths_may_be_numpys_ints(T):
    n, x = np.int64(4), T(np.ones((2, 4)))
    image = T(np.ones((1, 2, 5, 5)))
    for layer, same, given in (
        (nn.Linear(n), nn.Linear(4), x),
        (nn.LayerNorm(n), nn.LayerNorm(4), x),
        (nn.LayerNorm((n,)), nn.LayerNorm((4,)), x),
        (nn.Conv2d(n, np.int32(3), groups=np.int64(2)), nn.Conv2d(4, 3, groups=2), image),
        (nn.GRU(n, num_layers=np.int64(2)), nn.GRU(4, num_layers=2), T(np.ones((3, 2, 4)))),
        (nn.Embedding(np.uint8(5), n), nn.Embedding(5, 4), T([1, 2])),
        (nn.GroupNorm(np.int64(2)), nn.GroupNorm(2), image),
    ):
        assert repr(layer) == repr(same)
        a, b = (nn.apply(m, nn.init(m, given), given) for m in (layer, same))
        a, b = (y[0] if isinstance(y, tuple) else y for y in (a, b))
        assert a.tolist() == b.tolist()
    with pytest.raises(jt.ShapeError, match=r"must be an int from 1; got (np\.)?float64|got np|got 2\.0"):
        nn.Linear(np.float64(2.0))


def test_options_may_be_numpys_numbers_and_infinite(T):
    assert nn.ELU(np.float32(0.5))(T([2.0])).tolist() == [2.0]
    assert nn.Hardtanh(0, math.inf)(T([-1.0, 9.0])).tolist() == [0.0, 9.0]
    assert nn.KLDivLoss(reduction="batchmean").reduction == "batchmean"
    assert nn.NLLLoss(ignore_index=None).ignore_index is None


def test_leading_axes_of_a_bilinear_that_do_not_broadcast(T):
    with pytest.raises(jt.ShapeError, match=r"leading axes of inputs of shapes \(4, 3\) and \(5, 2\) do not broadcast"):
        nn.init(nn.Bilinear(2), T(np.ones((4, 3))), T(np.ones((5, 2))))


def test_integers_take_the_dtype_of_loaded_weights(T):
    """A model of tokens whose weights come from a float32 file stays float32; a floating-point input has the say."""
    weight = T(np.ones((3, 2)), "float32")
    tokens = nn.Sequential(nn.Embedding(3, 2), nn.Linear(3, bias=False))
    tokens.load_state_dict({"0.weight": weight, "1.weight": weight})
    assert tokens(T([0, 2])).dtype == jt.float32
    dense = nn.Linear(3, bias=False)
    dense.load_state_dict({"weight": weight})
    assert dense(T([[1.0, 2.0]])).dtype == jt.float64


def test_an_index_that_names_no_row(T):
    layer = nn.Embedding(3, 2)
    with pytest.raises(jt.BoundsError, match=r"indices are 0 to 2"):
        layer(T([0, 3]))


def test_pytorchs_hooks_into_buffers_are_assign(T):
    """A user's own running statistics: the interface that BatchNorm uses."""

    class Largest(nn.Module):
        def forward(self, x):
            top = self.buffer("top", (), nn.zeros)
            if self.training:
                with jt.no_grad():
                    assign(top, jt.maximum(top, jt.max(x)))
            return x / top

    layer = Largest()
    layer(T([1.0, 4.0]))
    assert layer.eval()(T([2.0])).tolist() == [0.5]


# -- docstrings and the page -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*FAMILIES, "base"])
def test_docstrings(name):
    assert doctest.testmod(importlib.import_module(f"jitrench_nn.layers.{name}")).failed == 0


def test_the_readme_lists_every_function():
    """Of pooling, which has three of each, those over one axis."""
    page = (Path(__file__).parents[1] / "plugins" / "nn" / "README.md").read_text(encoding="utf-8")
    rows = [line for line in page.split("## `jitrench_nn.functional`", 1)[1].splitlines() if line.startswith("|")]
    listed = {name for row in rows for name in row.split("`")[1::2]} - {"2d", "3d"}
    more = {f"{name[:-2]}{n}d" for name in listed if name.endswith("_pool1d") for n in (2, 3)}
    assert listed | more == set(nn.functional.__all__)


@pytest.mark.parametrize("name", nn.layers.__all__)
def test_every_layer_is_in_the_page_of_layers(name):
    page = (Path(__file__).parent.parent / "docs" / "layers.md").read_text(encoding="utf-8")
    assert f"`{name}`" in page or f"`{name}(" in page
