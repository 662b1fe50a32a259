"""Attention and transformer layers: as PyTorch, their masks, and encodings of positions."""

from __future__ import annotations

import doctest
import json
import math
from pathlib import Path

import numpy as np
import pytest

import jitrench_core as jt
import jitrench_nn as nn
from jitrench_core.layer import LayerError
from jitrench_nn.layers import attention, transformer

F = nn.functional
REFERENCE = json.loads(
    Path(__file__).with_name("data").joinpath("transformer_reference.json").read_text(encoding="utf-8")
)
HEADS, N, L, S, WIDTH = 2, 2, 3, 5, 4


def filled(k, *shape):
    """The numbers of tests/data/make_transformer_reference.py."""
    return np.array([0.7 * math.sin(12.9898 * i + 78.233 * k) for i in range(math.prod(shape))]).reshape(shape)


def made(case):
    """The layer of a case."""
    if case["layer"] == "MultiheadAttention":
        return nn.MultiheadAttention(HEADS, **case["options"])
    layer = getattr(nn, case["layer"])(HEADS, dim_feedforward=6, dropout=0.0, **case["options"])
    if not case["stacked"]:
        return layer
    return getattr(nn, case["layer"].removesuffix("Layer"))(layer, case["stacked"], nn.LayerNorm())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "case",
    REFERENCE["cases"],
    ids=lambda c: f"{c['layer']}-{c['stacked']}-{c['options']}-{'-'.join(c['masks'])}-{len(c['shapes'])}",
)
def test_as_pytorch(case, dtype, T, backend):
    layer = made(case)
    inputs = [T(filled(100 + k, *shape), dtype, requires_grad=True) for k, shape in enumerate(case["shapes"])]
    masks = {
        k: m if isinstance(m, bool) else T(np.array(m), None if np.array(m).dtype == bool else dtype)
        for k, m in case["masks"].items()
    }
    if not case["stacked"] and case["layer"] == "MultiheadAttention":
        layer(*inputs)
    else:
        layer(*[x.detach() for x in inputs])
    shapes = {name: p.shape for name, p in layer.named_parameters()}
    assert list(shapes) == list(case["parameters"])  # in order, which numbers them in an optimizer's state
    # PyTorch's state dict loads by name.
    layer.load_state_dict({name: T(filled(k, *shapes[name]), dtype) for k, name in enumerate(case["parameters"])})
    results = layer(*inputs, **masks)
    results = results if isinstance(results, tuple) else (results,)
    sum((r * T(filled(200 + k, *r.shape), dtype)).sum() for k, r in enumerate(results)).backward()
    tol = {"rtol": 1e-3, "atol": 2e-5} if dtype == "float32" else {"rtol": 1e-8, "atol": 1e-10}
    assert {r.dtype.name for r in results} == {dtype}
    for got, expected in zip(results, case["results"], strict=True):
        np.testing.assert_allclose(got.numpy(), expected, **tol)
    for got, expected in zip(inputs, case["gradients"], strict=True):
        np.testing.assert_allclose(got.grad.numpy(), expected, **tol)
    for name, p in layer.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), case["parameters"][name], **tol, err_msg=name)


# -- attention ----------------------------------------------------------------------------------------------------------


def attending(layer, params, *inputs, **options):
    """The output with and without weights, which must be equal; and the weights."""
    y, weights = nn.apply(layer, params, *inputs, **options)
    z, nothing = nn.apply(layer, params, *inputs, need_weights=False, **options)
    assert nothing is None
    np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=1e-10, atol=1e-12)
    return y, weights


def test_masks_of_every_kind_say_the_same(T, backend, close):
    layer = nn.MultiheadAttention(HEADS, batch_first=True)
    q, k = T(filled(1, N, L, WIDTH)), T(filled(2, N, S, WIDTH))
    params = nn.init(layer, q, k)
    where = np.arange(S) > np.arange(L)[:, None]
    wanted, weights = attending(layer, params, q, k, is_causal=True)
    close(jt.where(T(where), weights, 0.0), np.zeros((N, L, S)))
    close(jt.sum(weights, axis=-1), np.ones((N, L)))
    added = np.where(where, -np.inf, 0.0)
    for mask in (where, added, np.stack([where] * HEADS), np.stack([added] * HEADS * N)):
        close(attending(layer, params, q, k, attn_mask=T(mask))[0], wanted)
    padded = np.array([[False] * S, [False, False, True, True, True]])
    both, _ = attending(layer, params, q, k, attn_mask=T(where), key_padding_mask=T(padded))
    for options in (
        {"is_causal": True, "key_padding_mask": T(padded)},
        {"attn_mask": T(added), "key_padding_mask": T(padded)},
        {"attn_mask": T(where), "key_padding_mask": T(np.where(padded, -np.inf, 0.0))},
        {"is_causal": True, "key_padding_mask": T(np.where(padded, -np.inf, 0.0))},
    ):
        close(attending(layer, params, q, k, **options)[0], both)
    alone, _ = attending(layer, params, q[1:], k[1:, :2], is_causal=True)  # the sequence without its padding
    close(both[1:], alone)


def test_a_query_that_may_look_nowhere(T, backend):
    layer = nn.MultiheadAttention(HEADS, bias_init=nn.ones)
    x = T(filled(1, L, N, WIDTH), requires_grad=True)
    params = nn.init(layer, x)
    first = np.array([[True] * L, [False] * L, [False] * L])
    for mask in (T(first), T(np.where(first, -np.inf, 0.0), requires_grad=True)):
        y, weights = attending(layer, params, x, attn_mask=mask)
        assert y[0].tolist() == [[1.0] * WIDTH] * N
        assert not weights.numpy()[:, 0].any()
        y.sum().backward()
        assert np.isfinite(x.grad.numpy()).all()
    assert np.isfinite(mask.grad.numpy()).all()
    q = T(filled(2, L, WIDTH))
    for nothing in (False, -math.inf):
        assert F.scaled_dot_product_attention(q, q, q, T(nothing)).tolist() == [[0.0] * WIDTH] * L
    for dtype in ("bool", "float64"):
        with pytest.raises(jt.ShapeError, match=r"attn_mask has shape \(3, 0\); expected one that broadcasts"):
            F.scaled_dot_product_attention(q, q, q, T(np.zeros((L, 0)), dtype))


def test_one_example_and_other_widths(T, backend, close):
    layer = nn.MultiheadAttention(HEADS, batch_first=True)
    q, k, v = T(filled(1, N, L, WIDTH)), T(filled(2, N, S, 3)), T(filled(3, N, S, 6))
    params = nn.init(layer, q, k, v)
    assert {name: p.shape for name, p in params.items() if name != "out_proj"} == {
        "q_proj_weight": (4, 4),
        "k_proj_weight": (4, 3),
        "v_proj_weight": (4, 6),
        "in_proj_bias": (12,),
    }
    mask = T(np.arange(S) > np.arange(L)[:, None])
    y, weights = attending(layer, params, q, k, v, attn_mask=mask, average_attn_weights=False)
    assert weights.shape == (N, HEADS, L, S)
    one, _ = attending(layer, params, q[0], k[0], v[0], attn_mask=mask)
    close(one, y[0])


def test_no_keys(T, backend):
    """There is nothing to look at: what is left is the bias."""
    layer = nn.MultiheadAttention(HEADS, bias_init=nn.ones)
    q, k = T(filled(1, L, N, WIDTH)), T(np.zeros((0, N, WIDTH)))
    params = nn.init(layer, q)
    for mask in (None, T(np.zeros((L, 0), bool))):
        y, weights = attending(layer, params, q, k, attn_mask=mask)
        assert y.tolist() == [[[1.0] * WIDTH] * N] * L
        assert weights.shape == (N, L, 0)


def test_widths_that_change_leave_no_weights_unused(T, backend):
    """Other widths need other parameters: a layer that has learned does not start anew unasked."""
    q, k = T(filled(1, L, N, WIDTH)), T(filled(2, S, N, 3))
    for first, second, has in (((q,), (q, k), "in_proj_weight"), ((q, k), (q,), "q_proj_weight")):
        layer = nn.MultiheadAttention(HEADS)
        layer(*first)
        names = list(layer.state_dict())
        with pytest.raises(jt.ShapeError, match=f"the layer has '{has}', made for .*: make another layer for these"):
            layer(*second)
        assert list(layer.state_dict()) == names
        layer(*first)


def test_leading_axes_that_do_not_broadcast():
    with pytest.raises(jt.ShapeError, match=r"leading axes \(2,\), \(3,\), \(\) do not broadcast"):
        F.scaled_dot_product_attention(jt.ones((2, L, 4)), jt.ones((3, S, 4)), jt.ones((S, 4)))


def test_dropout_of_the_weights(T, backend):
    layer = nn.MultiheadAttention(HEADS, dropout=0.5)
    x = T(filled(1, L, N, WIDTH))
    params = nn.init(layer, x)
    plain = nn.apply(layer, params, x)[0].tolist()
    for need in (True, False):
        options = {"train": True, "rng": 3, "need_weights": need}
        dropped = nn.apply(layer, params, x, **options)[0].tolist()
        assert dropped != plain
        assert nn.apply(layer, params, x, **options)[0].tolist() == dropped
    assert nn.apply(layer, params, x, train=True, rng=3)[0].dtype == jt.float64
    low = nn.init(layer, T(filled(1, L, N, WIDTH), "float32"))
    assert nn.apply(layer, low, T(filled(1, L, N, WIDTH), "float32"), train=True, rng=3)[0].dtype == jt.float32


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m(jt.ones((3, 2, 5))), jt.ShapeError, "a query of width 5 cannot be divided into 2 heads"),
        (lambda m: m(jt.ones(4)), jt.ShapeError, r"have shapes \[\(4,\), \(4,\), \(4,\)\]; expected \(length, n, width\), or all of them"),
        (lambda m: m(jt.ones((3, 2, 4)), jt.ones((3, 4))), jt.ShapeError, r"expected \(length, n, width\)"),
        (lambda m: m(jt.ones((3, 2, 4)), jt.ones((5, 2, 4)), jt.ones((4, 2, 4))), jt.ShapeError, "keys and values come in pairs"),
        (lambda m: m(jt.ones((3, 2, 4)), jt.ones((5, 1, 4))), jt.ShapeError, "all three have one n, on axis 1"),
        (lambda m: m(jt.ones((3, 2, 4), dtype="int64")), jt.DTypeError, "expected floating-point inputs, got int64"),
        (lambda m: m(jt.ones((3, 2, 4)), attn_mask=jt.ones((3, 4))), jt.ShapeError,
         r"attn_mask has shape \(3, 4\); expected \(3, 3\), \(2, 3, 3\), \(4, 3, 3\)"),
        (lambda m: m(jt.ones((3, 2, 4)), key_padding_mask=jt.ones((3, 2))), jt.ShapeError,
         r"key_padding_mask has shape \(3, 2\); expected \(2, 3\)"),
        (lambda m: m(jt.ones((3, 2, 4)), attn_mask=jt.ones((3, 3), dtype="int64")), jt.DTypeError,
         "attn_mask has dtype int64; expected booleans, true where a query may not look"),
    ],
)  # fmt: skip
def test_inputs_that_do_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call(nn.MultiheadAttention(2))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.MultiheadAttention(0), jt.ShapeError, r"MultiheadAttention\(num_heads\): the number of heads"),
        (lambda: nn.MultiheadAttention(2, dropout=1.5), LayerError, r"MultiheadAttention\(dropout=\): expected the probability"),
        (lambda: nn.TransformerEncoderLayer(2, activation="elu"), LayerError, r"expected 'relu', 'gelu' or a function; got 'elu'"),
        (lambda: nn.TransformerEncoderLayer(2, activation=["relu"]), LayerError, r"expected 'relu', 'gelu' or a function; got \['relu'\]"),
        (lambda: nn.TransformerEncoderLayer(2, activation=nn.ReLU), LayerError, r"expected 'relu', 'gelu' or a function; got <class"),
        (lambda: nn.MultiheadAttention(16, 4), LayerError, r"takes the number of heads only; .* write MultiheadAttention\(4\), not MultiheadAttention\(16, 4\)"),
        (lambda: nn.TransformerDecoderLayer(16, 4, 64), LayerError, r"write TransformerDecoderLayer\(4\), not TransformerDecoderLayer\(16, 4, 64\)"),
        (lambda: nn.TransformerDecoderLayer(2, norm_first=1), LayerError, r"TransformerDecoderLayer\(norm_first=\): expected True or False"),
        (lambda: nn.TransformerEncoder(nn.LayerNorm, 2), LayerError, r"TransformerEncoder\(layer, num_layers, norm\): expected layers; got type"),
        (lambda: nn.TransformerEncoder(nn.LayerNorm(), 0), jt.ShapeError, r"TransformerEncoder\(num_layers\): the number of layers"),
        (lambda: nn.LearnedEncoding(0), jt.ShapeError, r"LearnedEncoding\(max_length\)"),
        (lambda: nn.sinusoidal_positions(0, 2), jt.ShapeError, r"sinusoidal_positions\(length\)"),
        (lambda: nn.alibi_bias(2, 3, -1), jt.ShapeError, r"alibi_bias\(keys\)"),
    ],
)  # fmt: skip
def test_options_that_cannot_be(make, error, message):
    with pytest.raises(error, match=message):
        make()


# -- transformers -------------------------------------------------------------------------------------------------------


def test_both_ways_to_use_a_stack(T, backend, close):
    x = T(filled(1, L, N, WIDTH))
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(HEADS, dim_feedforward=6, dropout=0.1), 2, nn.LayerNorm()
    )
    params = nn.init(encoder, x, seed=1)
    assert list(params) == ["layers", "norm"]
    assert list(params["layers"]) == ["0", "1"]
    first = params["layers"]["0"]["self_attn"]["in_proj_weight"]
    assert first.tolist() != params["layers"]["1"]["self_attn"]["in_proj_weight"].tolist()
    y = nn.apply(encoder, params, x)
    encoder.eval()
    encoder(x)
    encoder.load_state_dict(params)
    close(encoder(x), y)
    close(nn.apply(encoder, encoder.state(), x), y)
    assert encoder.train()(x).tolist() != y.tolist()


def test_copies_start_from_the_layers_own_parameters(T, backend):
    x = T(filled(1, L, N, WIDTH))
    layer = nn.TransformerEncoderLayer(HEADS, dim_feedforward=6, dropout=0.0)
    layer(x)
    encoder = nn.TransformerEncoder(layer, 2)
    encoder(x)
    for name, p in layer.named_parameters():
        for i in range(2):
            copied = dict(encoder.named_parameters())[f"layers.{i}.{name}"]
            assert copied is not p
            assert copied.tolist() == p.tolist()


def test_a_layer_takes_inputs_of_any_width_as_a_function(T, backend):
    """It keeps nothing of a run in a scope."""
    layer = nn.TransformerEncoderLayer(HEADS, dim_feedforward=6)
    for width in (4, 6):
        x = T(filled(1, L, N, width))
        assert nn.apply(layer, nn.init(layer, x), x).shape == (L, N, width)


def test_causal_means_causal(T, backend, close):
    """What comes later has no effect on what is before."""
    x = filled(1, N, L, WIDTH)
    layer = nn.TransformerEncoderLayer(HEADS, dim_feedforward=6, batch_first=True, norm_first=True, activation=F.silu)
    params = nn.init(layer, T(x))
    y = nn.apply(layer, params, T(x), is_causal=True)
    x[:, 2] = 5.0
    close(nn.apply(layer, params, T(x), is_causal=True)[:, :2], y[:, :2])
    decoder = nn.TransformerDecoderLayer(HEADS, dim_feedforward=6, batch_first=True)
    params = nn.init(decoder, T(x), T(x))
    y = nn.apply(decoder, params, T(x), T(x), tgt_is_causal=True, memory_is_causal=True)
    x[:, 2] = -5.0
    close(nn.apply(decoder, params, T(x), T(x), tgt_is_causal=True, memory_is_causal=True)[:, :2], y[:, :2])


def test_second_derivatives(T, backend):
    """The gradient of a gradient's norm, against central differences along a direction."""
    layer = nn.TransformerEncoderLayer(HEADS, dim_feedforward=6, activation="gelu", norm_first=True, dropout=0.0)
    x, v = T(filled(1, L, 1, WIDTH)), T(filled(2, L, 1, WIDTH))
    params = nn.init(layer, x)

    def norm(x):
        g = jt.grad(lambda x: jt.sum(nn.apply(layer, params, x, is_causal=True) ** 2))(x)
        return jt.sum(g * g)

    step = 1e-5
    ends = [norm(x + sign * step * v).item() for sign in (1, -1)]
    found = jt.sum(jt.grad(norm)(x) * v).item()
    assert abs(found - (ends[0] - ends[1]) / (2 * step)) < 1e-6 * max(1, abs(found))


# -- positions ----------------------------------------------------------------------------------------------------------


def test_sinusoidal_positions(T, backend, close):
    width = 5
    table = nn.sinusoidal_positions(7, width, base=100.0, device=backend)
    for p in range(7):
        for i in range(width):
            angle = p / 100.0 ** ((i - i % 2) / width)
            assert abs(table[p, i].item() - (math.cos if i % 2 else math.sin)(angle)) < 1e-12
    x = T(np.zeros((7, 2, width)), "float32")
    y = nn.SinusoidalEncoding(base=100.0)(x)
    assert (y.dtype, y.device) == (jt.float32, x.device)
    close(y[:, 1], table, tol=1e-6)
    close(nn.SinusoidalEncoding(base=100.0, batch_first=True)(T(np.zeros((2, 7, width))))[1], table)
    close(nn.SinusoidalEncoding(base=100.0, batch_first=True)(T(np.zeros((7, width)))), table)


def test_learned_positions(T, backend, close):
    layer = nn.LearnedEncoding(6)
    x = T(filled(1, L, N, WIDTH))
    params = nn.init(layer, x)
    assert params["weight"].shape == (6, WIDTH)
    close(nn.apply(layer, params, x) - x, np.stack([params["weight"].numpy()[:L]] * N, axis=1))
    with pytest.raises(jt.ShapeError, match="7 positions, of which 6 are learned"):
        nn.apply(layer, params, T(filled(1, 7, N, WIDTH)))
    with pytest.raises(jt.ShapeError, match=r"expected an input of shape \(length, n, width\)"):
        nn.apply(layer, params, T(filled(1, 7)))


def test_rotary_scores_depend_on_the_distance(T, close):
    q, k = T(filled(1, 1, 8)), T(filled(2, 1, 8))

    def score(a, b, **options):
        turned = F.rotary_embedding(q, T([a]), **options) @ F.rotary_embedding(k, T([b]), **options).mT
        return turned.item()

    for options in ({}, {"interleaved": False}, {"base": 100.0}):
        assert abs(score(3, 1, **options) - score(10, 8, **options)) < 1e-12
        assert abs(score(3, 1, **options) - score(3, 2, **options)) > 1e-3
        assert abs(score(4, 4, **options) - (q @ k.mT).item()) < 1e-12
    close(F.rotary_embedding(q), q)  # position 0
    for x, positions, message in (
        (T(np.ones((2, 3))), None, r"x has shape \(2, 3\); expected \(\.\.\., length, width\) of an even width"),
        (T(np.ones((2, 4))), T([0, 1, 2]), r"positions have shape \(3,\); expected \(2,\)"),
        (
            T(np.ones((5, 3, 2, 4))),
            T(np.zeros((5, 2))),
            r"positions have shape \(5, 2\); .* or what broadcasts to \(5, 3, 2\)",
        ),
    ):
        with pytest.raises(jt.ShapeError, match=message):
            F.rotary_embedding(x, positions)


def test_rotary_angles_are_exact_far_out(T, backend):
    """Angles have float64: in float16 position 100,003 is infinite, in float32 its products with frequencies are 0.009 off."""
    x = np.ones((1, 64))
    wanted = F.rotary_embedding(T(x), T([100_003])).numpy()
    for dtype, tol in {"float32": 3e-7, "float16": 2e-3}.items():
        if dtype == "float16" and backend.startswith("strict"):
            continue  # it has none
        found = F.rotary_embedding(T(x, dtype), T([100_003]))
        assert found.dtype.name == dtype
        np.testing.assert_allclose(found.numpy(), wanted, atol=tol)


def test_alibi(T, backend, close):
    bias = nn.alibi_bias(8, 3, 3, device=backend)
    distance = np.abs(np.arange(3)[:, None] - np.arange(3))
    close(bias, -np.array([2.0**-h for h in range(1, 9)])[:, None, None] * distance)
    close(nn.alibi_bias(2, 1, 3, device=backend), nn.alibi_bias(2, 3, 3, device=backend)[:, 2:])  # the last query
    close(nn.alibi_bias(1, 4, 2, device=backend)[0], -np.abs(np.arange(-2, 2)[:, None] - np.arange(2)) / 256)
    # of 6 heads: the slopes of 4, and every other one of 8
    close(
        nn.alibi_bias(6, 1, 2, device=backend)[:, 0, 0],
        -np.array([2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8, 2.0**-1, 2.0**-3]),
    )
    layer = nn.MultiheadAttention(HEADS, batch_first=True)
    x = T(filled(1, N, L, WIDTH))
    params = nn.init(layer, x)
    bias = nn.alibi_bias(HEADS, L, L, device=backend)
    y, _ = attending(layer, params, x, attn_mask=bias, is_causal=True)
    causal = jt.where(T(np.arange(L) > np.arange(L)[:, None]), -math.inf, bias)
    close(attending(layer, params, x, attn_mask=causal)[0], y)


@pytest.mark.parametrize("module", [attention, transformer], ids=lambda m: m.__name__)
def test_docstrings(module):
    assert doctest.testmod(module).failed == 0
