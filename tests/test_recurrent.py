"""Recurrent layers and cells: as PyTorch, with sequences of several lengths, in both ways to use a layer."""

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
from jitrench_nn.layers import recurrent

F = nn.functional
REFERENCE = json.loads(
    Path(__file__).with_name("data").joinpath("recurrent_reference.json").read_text(encoding="utf-8")
)
TIME, N, WIDTH, HIDDEN = 4, 3, 2, 3
KINDS = ("RNN", "LSTM", "GRU")


def filled(k, *shape):
    """The numbers of tests/data/make_recurrent_reference.py."""
    return np.array([0.7 * math.sin(12.9898 * i + 78.233 * k) for i in range(math.prod(shape))]).reshape(shape)


def flat(results):
    """``(output, (h, c))`` as a list."""
    return [r for part in results for r in flat(part)] if isinstance(results, tuple) else [results]


def with_filled(layer, x, device):
    """The layer's parameters, filled in order."""
    return {
        key: jt.tensor(filled(k, *p.shape), p.dtype, device, requires_grad=True)
        for k, (key, p) in enumerate(nn.init(layer, x).items())
    }


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "case", REFERENCE["cases"], ids=lambda c: f"{c['kind']}-{c['options']}-{c['lengths']}-{c['hx']}"
)
def test_as_pytorch(case, dtype, T, backend):
    kind, options = case["kind"], case["options"]
    cell = kind.endswith("Cell")
    layer = getattr(nn, kind)(HIDDEN, **options)
    shape = (N, WIDTH) if cell else (N, TIME, WIDTH) if options.get("batch_first") else (TIME, N, WIDTH)
    x = T(filled(100, *shape), dtype, requires_grad=True)
    lead = () if cell else ((1 + options.get("bidirectional", False)) * options.get("num_layers", 1),)
    names = ("h", "c") if "LSTM" in kind else ("h",)
    states = [T(filled(101 + k, *lead, N, HIDDEN), dtype, requires_grad=True) for k in range(len(names))]
    states = states if case["hx"] else []
    hx = (tuple(states) if len(states) > 1 else states[0]) if states else None
    lengths = {} if cell else {"lengths": case["lengths"]}
    params = with_filled(layer, x, backend)
    results = flat(nn.apply(layer, params, x, hx, **lengths))
    sum((r * T(filled(200 + k, *r.shape), dtype)).sum() for k, r in enumerate(results)).backward()
    tol = {"rtol": 2e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-11}
    assert {r.dtype.name for r in results} == {dtype}
    assert list(params) == list(case["parameters"])
    for got, expected in zip(results, case["results"], strict=True):
        np.testing.assert_allclose(got.numpy(), expected, **tol)
    for got, expected in zip((x, *states), case["gradients"], strict=True):
        np.testing.assert_allclose(got.grad.numpy(), expected, **tol)
    for key, expected in case["parameters"].items():
        np.testing.assert_allclose(params[key].grad.numpy(), expected, **tol, err_msg=key)


# -- lengths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_lengths_are_sequences_one_by_one(kind, T, backend, close):
    """Each sequence alone, cut at its end, gives the same; what stands behind the end has no effect."""
    layer = getattr(nn, kind)(HIDDEN, num_layers=2, bidirectional=True)
    lengths = [3, 1, 5, 5, 2]
    x = filled(1, 5, 5, WIDTH)
    params = nn.init(layer, T(x), seed=1)
    y, ends = nn.apply(layer, params, T(x), lengths=lengths)
    ends = flat(ends)
    for i, k in enumerate(lengths):
        alone, last = nn.apply(layer, params, T(x[:k, i]))
        close(y[:k, i], alone, tol=1e-12)
        assert not y.numpy()[k:, i].any()
        for whole, one in zip(ends, flat(last), strict=True):
            close(whole[:, i], one, tol=1e-12)
    for i, k in enumerate(lengths):
        x[k:, i] = 1e3
    for same in (T(lengths), np.array(lengths), tuple(np.int32(k) for k in lengths)):
        close(nn.apply(layer, params, T(x), lengths=same)[0], y, tol=1e-12)


def test_lengths_that_are_all_whole_change_nothing(T, backend):
    layer = nn.GRU(HIDDEN)
    params = nn.init(layer, (None, 1, WIDTH), device=backend)
    x = T(filled(1, TIME, N, WIDTH))
    assert nn.apply(layer, params, x, lengths=[TIME] * N)[0].tolist() == nn.apply(layer, params, x)[0].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_padding_may_be_nan(kind, T, backend):
    """No gradient sees it: those of the weights are sums over the steps, and 0 * NaN would be one of them."""
    layer = getattr(nn, kind)(HIDDEN, num_layers=2, bidirectional=True)
    lengths, found = [2, 4, 1], []
    padded = np.arange(TIME)[:, None, None] >= np.array(lengths)[:, None]
    for filling in (0.0, math.nan, math.inf):
        x = T(np.where(padded, filling, filled(1, TIME, N, WIDTH)), requires_grad=True)
        params = nn.init(layer, x.shape, seed=1, device=backend)
        y, ends = nn.apply(layer, params, x, lengths=lengths)
        sum(jt.sum(r * r) for r in (y, *flat(ends))).backward()
        found.append([a.tolist() for a in (y, *flat(ends), x.grad, *(p.grad for p in params.values()))])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    "lengths", [[1, 2], [0, 1, 2], [5, 1, 1], [1.0, 2, 3], [True, 2, 3], [4], {1, 2, 3}, {3: 0, 1: 0, 2: 0}]
)
def test_lengths_that_cannot_be(lengths):
    with pytest.raises(jt.ShapeError, match=r"GRU: lengths= are 3 ints from 1 to 4, one for each sequence; got [\[{]"):
        nn.GRU(HIDDEN)(jt.ones((TIME, N, WIDTH)), lengths=lengths)


# -- both ways to use a layer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_as_an_object(kind, T, backend, close):
    x = T(filled(1, TIME, N, WIDTH))
    layer = getattr(nn, kind)(HIDDEN, bidirectional=True)
    y, _ = layer(x)
    assert [p.shape for p in layer.parameters()] == [p.shape for p in layer.state_dict().values()]
    close(nn.apply(layer, layer.state(), x)[0], y)
    assert repr(layer) == f"{kind}(3, bidirectional=True)"
    other = getattr(nn, kind)(HIDDEN, bidirectional=True)
    other.load_state_dict(layer.state_dict())
    close(other(x)[0], y)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_is_a_step_of_the_layer(kind, T, backend, close):
    x = T(filled(1, TIME, N, WIDTH))
    layer, cell = getattr(nn, kind)(HIDDEN), getattr(nn, f"{kind}Cell")(HIDDEN)
    y, last = layer(x)
    cell(x[0, ...])
    cell.load_state_dict({name.removesuffix("_l0"): p for name, p in layer.state_dict().items()})
    state = None
    for t in range(TIME):
        state = cell(x[t, ...], state)
        close(flat(state)[0], y[t, ...])
    for a, b in zip(flat(state), flat(last), strict=True):
        close(jt.expand_dims(a, axis=0), b)
    close(flat(cell(x[0, 1, ...]))[0], y[0, 1, ...])  # one example


def test_one_sequence_without_a_batch(T, backend, close):
    for options in ({}, {"batch_first": True}):
        layer = nn.LSTM(HIDDEN, num_layers=2, **options)
        x = T(filled(1, TIME, WIDTH))
        y, (h, c) = layer(x)
        assert (y.shape, h.shape, c.shape) == ((TIME, HIDDEN), (2, HIDDEN), (2, HIDDEN))
        z, (h2, _) = layer(
            jt.expand_dims(x, axis=0 if options else 1), (jt.zeros_like(h)[:, None], jt.zeros_like(h)[:, None])
        )
        close(jt.squeeze(z, axis=0 if options else 1), y)
        close(h2[:, 0], h)
        close(layer(x, (h, c), lengths=[2])[0][2:], np.zeros((2, HIDDEN)))


def test_first_values_are_as_pytorchs(backend):
    params = nn.init(nn.LSTM(100), (1, 1, 50), device=backend)
    for p in params.values():
        values = p.numpy()
        assert np.abs(values).max() <= 0.1
        assert abs(values.std() - 0.1 / math.sqrt(3)) < 0.006
    zeros = nn.init(nn.GRU(4, weight_init=nn.ones, bias_init=nn.zeros), (1, 1, 3))
    assert (zeros["weight_hh_l0"].numpy() == 1).all()
    assert not zeros["bias_hh_l0"].numpy().any()


def test_dropout_is_between_layers_in_training(T, backend):
    layer = nn.GRU(HIDDEN, num_layers=2, dropout=0.5)
    x = T(filled(1, TIME, N, WIDTH))
    params = nn.init(layer, x)
    plain = nn.apply(layer, params, x)[1].tolist()
    assert nn.apply(layer, params, x)[1].tolist() == plain
    dropped = nn.apply(layer, params, x, train=True, rng=0)[1].tolist()
    assert dropped[0] == plain[0]
    assert dropped[1] != plain[1]
    assert nn.apply(layer, params, x, train=True, rng=0)[1].tolist() == dropped
    with pytest.raises(LayerError, match="draws random numbers"):
        nn.apply(layer, params, x, train=True)


# -- derivatives ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives(kind, T, backend, close):
    """The gradient of a gradient's norm, against central differences along a direction."""
    layer = getattr(nn, kind)(2, bidirectional=True)
    params = nn.init(layer, (3, 2, 2), device=backend)
    x, v = T(filled(1, 3, 2, 2)), T(filled(2, 3, 2, 2))

    def norm(x):
        g = jt.grad(lambda x: jt.sum(nn.apply(layer, params, x, lengths=[2, 3])[0] ** 2))(x)
        return jt.sum(g * g)

    step = 1e-5
    ends = [norm(x + sign * step * v).item() for sign in (1, -1)]
    found = jt.sum(jt.grad(norm)(x) * v).item()
    assert abs(found - (ends[0] - ends[1]) / (2 * step)) < 1e-7 * max(1, abs(found))


def test_under_vmap_and_jvp(T, backend, close):
    layer = nn.GRU(HIDDEN)
    params = nn.init(layer, (TIME, WIDTH), device=backend)
    x = T(filled(1, N, TIME, WIDTH))
    each = jt.vmap(lambda x: nn.apply(layer, params, x)[0])(x)
    close(each, nn.apply(layer, params, jt.permute_dims(x, (1, 0, 2)))[0].numpy().transpose(1, 0, 2))
    _, dy = jt.jvp(lambda x: nn.apply(layer, params, x)[0], (x[0],), (jt.ones_like(x[0]),))
    ends = [nn.apply(layer, params, x[0] + step)[0].numpy() for step in (1e-6, -1e-6)]
    close(dy, (ends[0] - ends[1]) / 2e-6, tol=1e-8)


def test_gates_that_are_far_out_saturate(T):
    """No overflow, and no NaN."""
    x = T(np.array([[[-1e4] * 4], [[1e4] * 4]]))
    y, *_ = F.lstm_layer(x, T([[0.5]]), T([[0.5]]), T(np.zeros((4, 1))))
    np.testing.assert_allclose(y.numpy()[:, 0, 0], [0.0, math.tanh(1.0)], atol=1e-12)
    y, _ = F.gru_layer(T(np.array([[[-1e4] * 3], [[1e4] * 3]])), T([[0.5]]), T(np.zeros((3, 1))))
    np.testing.assert_allclose(y.numpy()[:, 0, 0], [-1.0, -1.0], atol=1e-12)


def test_relu_at_zero_and_of_nan(T):
    """As PyTorch: no gradient at 0, and a NaN is passed on."""
    h, weight = T([[0.0]]), T([[1.0]])
    g = jt.grad(lambda x: jt.sum(F.rnn_layer(x, h, weight, activation="relu")[0]))(T([[[0.0]], [[2.0]]]))
    assert g.tolist() == [[[0.0]], [[1.0]]]
    y, _ = F.rnn_layer(T([[[1.0]], [[math.nan]], [[1.0]]]), h, weight, activation="relu")
    np.testing.assert_equal(y.numpy()[:, 0, 0], [1.0, math.nan, math.nan])


def test_no_sequences(T):
    layer = nn.LSTM(HIDDEN, bidirectional=True)
    y, (h, _) = layer(T(np.zeros((TIME, 0, WIDTH))), lengths=[])
    assert (y.shape, h.shape) == ((TIME, 0, 2 * HIDDEN), (2, 0, HIDDEN))


# -- errors -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.LSTM(3, 4), LayerError, r"LSTM takes the hidden width only; .* write LSTM\(4\), not LSTM\(3, 4\)"),
        (lambda: nn.GRU(0), jt.ShapeError, r"GRU\(hidden_size\): the width of the state must be an int from 1; got 0"),
        (
            lambda: nn.RNN(3, nonlinearity="elu"),
            LayerError,
            r"RNN\(nonlinearity=\): expected 'tanh' or 'relu'; got 'elu'",
        ),
        (
            lambda: nn.GRU(3, num_layers=0),
            jt.ShapeError,
            r"GRU\(num_layers\): the number of layers must be an int from 1",
        ),
        (lambda: nn.GRU(3, dropout=2), LayerError, r"GRU\(dropout=\): expected the probability of a zero"),
        (lambda: nn.GRU(3, bidirectional=1), LayerError, r"GRU\(bidirectional=\): expected True or False, got 1"),
    ],
)
def test_options_that_cannot_be(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda m, x: m(x[0, 0]),
            jt.ShapeError,
            r"LSTM: expected an input of shape \(time, n, width\) or \(time, width\)",
        ),
        (lambda m, x: m(x.astype(jt.int64)), jt.DTypeError, "LSTM: expected a floating-point input, got int64"),
        (
            lambda m, x: m(x[:0]),
            jt.ShapeError,
            r"LSTM: expected one time step at least, got an input of shape \(0, 3, 2\)",
        ),
        (
            lambda m, x: m(x, jt.zeros((1, 3, 3))),
            LayerError,
            r"the states to start from are a pair \(h, c\); got Tensor",
        ),
        (
            lambda m, x: m(x, (jt.zeros((1, 3, 3)), jt.zeros((1, 2, 3)))),
            jt.ShapeError,
            r"LSTM: expected the first c of shape \(1, 3, 3\) for an input of shape \(4, 3, 2\), got \(1, 2, 3\)",
        ),
        (
            lambda m, x: m(x, (jt.zeros((1, 3, 3)), jt.zeros((1, 3, 3), dtype=jt.float32))),
            jt.DTypeError,
            r"LSTM: the first c is float32, the input float64: convert one, such as c.astype\(jt.float64\)",
        ),
    ],
)
def test_inputs_that_do_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call(nn.LSTM(HIDDEN), jt.ones((TIME, N, WIDTH)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.lstm_layer(jt.ones((2, 1, 3)), jt.ones((1, 1)), jt.ones((1, 1)), jt.ones((4, 1))), jt.ShapeError,
         r"lstm_layer\(\): x has shape \(2, 1, 3\) and weight \(4, 1\); expected \(time, n, 4 \* hidden\) and \(4 \* hidden, hidden\)"),
        (lambda: F.lstm_layer(jt.ones((2, 1, 4)), jt.ones((1, 1)), jt.ones((2, 1)), jt.ones((4, 1))), jt.ShapeError,
         r"lstm_layer\(\): c has shape \(2, 1\); expected \(n, hidden\), here \(1, 1\)"),
        (lambda: F.gru_layer(jt.ones((2, 1, 3)), jt.ones((1, 1)), jt.ones((3, 1)), jt.ones(2)), jt.ShapeError,
         r"gru_layer\(\): bias has shape \(2,\); expected \(3,\)"),
        (lambda: F.gru_layer(jt.ones((0, 1, 3)), jt.ones((1, 1)), jt.ones((3, 1))), jt.ShapeError, "which is no time step"),
        (lambda: F.rnn_layer(jt.ones((2, 1, 1)), jt.ones((1, 1)), jt.ones((1, 1)), activation="elu"), jt.OpError,
         r"rnn_layer\(\): activation= is 'tanh' or 'relu'; got 'elu'"),
        (lambda: F.rnn_layer(jt.ones((2, 1, 1)), jt.ones((1, 1)), jt.ones((1, 1)), sizes=(1, 2)), jt.OpError,
         r"rnn_layer\(\): sizes= says how many of the 1 sequences run at each of 2 steps, never more than before; got \(1, 2\)"),
        (lambda: F.rnn_layer(jt.ones((2, 1, 1)), jt.ones((1, 1)), jt.ones((1, 1), dtype="int64")), jt.DTypeError,
         r"rnn_layer\(\): weight has dtype int64; expected floating point"),
    ],
)  # fmt: skip
def test_errors_of_the_ops(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_docstrings():
    assert doctest.testmod(recurrent).failed == 0
