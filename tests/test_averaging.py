"""Averages of weights, by closed forms (torch.optim.swa_utils has the same), and gradient accumulation."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

import jitrench_core as jt
import jitrench_nn as nn
import jitrench_optim as optim
from jitrench_core.optimizer import OptimizerError


def put(p, value):
    with jt.no_grad():
        jt.assign(p, jt.full_like(p, value))


def test_the_formula(T, close):
    p = T([5.0], requires_grad=True)
    ema = optim.EMA([p], decay=0.75)
    put(p, 1.0)
    ema.update()
    close(ema.average[0], [1.0])  # the first takes the weights as they are
    expected = 1.0
    for value in (2.0, -1.0, 4.0):
        put(p, value)
        ema.update()
        expected = 0.75 * expected + 0.25 * value
        close(ema.average[0], [expected])
    assert p.tolist() == [4.0]
    assert not ema.average[0].requires_grad


def test_warm_up(T, close):
    p = T([0.0], requires_grad=True)
    ema = optim.EMA(p, decay=0.3, warmup=True)
    expected = 0.0
    for n in range(6):
        put(p, float(n))
        ema.update()
        decay = min(0.3, (1 + n) / (10 + n)) if n else 0.0
        expected = decay * expected + (1 - decay) * n
        close(ema.average, [expected])


@pytest.mark.parametrize("make", [optim.SWA, lambda p: optim.EMA(p, decay=None)])
def test_equal_weights(make, T, close):
    p = T([9.0], requires_grad=True)
    swa = make({"p": p})
    for n, value in enumerate((1.0, 2.0, 6.0), 1):
        put(p, value)
        swa.update()
        close(swa.average["p"], [sum((1.0, 2.0, 6.0)[:n]) / n])


def test_what_requires_no_gradient_is_copied(T):
    params = {"w": T([1.0], requires_grad=True), "mean": T([0.5]), "count": T([3], "int64")}
    ema = optim.EMA(params, decay=0.5)
    for step in (1, 2, 3):
        put(params["w"], float(step))
        put(params["mean"], float(step))
        put(params["count"], step)
        ema.update()
    assert ema.average["w"].tolist() == [2.25]
    assert ema.average["mean"].tolist() == [3.0]
    assert ema.average["count"].tolist() == [3]
    assert ema.average["count"].dtype == jt.int64


def test_float32_stays(T):
    p = T([1.0], "float32", requires_grad=True)
    ema = optim.EMA([p], decay=0.9)
    ema.update()
    put(p, 2.0)
    ema.update()
    assert ema.average[0].dtype == jt.float32
    assert abs(ema.average[0].item() - 1.1) < 1e-6


def test_applied_and_back(T):
    params = {"a": T([1.0], requires_grad=True), "b": T([2.0])}
    ema = optim.EMA(params, decay=0.5)
    ema.update()
    put(params["a"], 3.0)
    ema.update()
    before = list(params.values())
    with ema.applied():
        assert params["a"].tolist() == [2.0]
        assert params["a"].requires_grad
    assert params["a"].tolist() == [3.0]
    with pytest.raises(KeyError, match="stop"), ema.applied():
        raise KeyError("stop", params["a"].tolist())
    assert params["a"].tolist() == [3.0]
    assert all(p is q for p, q in zip(before, params.values(), strict=True))
    ema.copy_to_params()
    assert params["a"].tolist() == [2.0]


def test_what_happens_inside_applied_does_not_reach_the_averages(T):
    p = T([4.0], requires_grad=True)
    ema = optim.EMA([p], decay=0.5)
    ema.update()
    optimizer = optim.Adam([p], lr=0.1)
    with ema.applied():
        for _ in range(2):
            optimizer.zero_grad()
            (p * p).sum().backward()
            optimizer.step()
    assert p.tolist() == [4.0]
    assert ema.average[0].tolist() == [4.0]


def test_the_average_is_of_the_weights_then(T):
    """Steps that write into the weights' arrays do not change an average that was taken before."""
    p = T([4.0], requires_grad=True)
    optimizer, ema = optim.SGD([p], lr=0.25), optim.EMA([p], decay=0.0)
    seen = []
    for _ in range(3):
        ema.update()
        seen.append(ema.average[0].item())
        for _ in range(2):
            optimizer.zero_grad()
            (p * p).sum().backward()
            optimizer.step()
        assert ema.average[0].item() == seen[-1]
    assert seen == [4.0, 1.0, 0.25]


def test_not_inside_itself(T):
    ema = optim.EMA([T([1.0], requires_grad=True)])
    with ema.applied():
        with (
            pytest.raises(OptimizerError, match=r"EMA\.applied\(\) inside itself: the averages are in place already"),
            ema.applied(),
        ):
            pass
        with pytest.raises(
            OptimizerError, match=r"EMA\.update\(\) inside applied\(\): the weights are the averages there"
        ):
            ema.update()
    ema.update()


def test_a_run_goes_on_exactly(T):
    def fresh():
        p = T([1.0, -2.0], requires_grad=True)
        return p, optim.EMA({"p": p}, decay=0.9, warmup=True)

    def go(p, ema, steps):
        for n in steps:
            put(p, 1.0 / (1 + n))
            ema.update()

    p, ema = fresh()
    go(p, ema, range(7))
    state = ema.state_dict()
    copied = copy.deepcopy(state)
    go(p, ema, range(7, 20))
    assert state["average"]["p"].tolist() == copied["average"]["p"].tolist()
    q, resumed = fresh()
    resumed.load_state_dict({"updates": jt.tensor(copied["updates"]), "average": copied["average"]})  # as from a file
    go(q, resumed, range(7, 20))
    assert resumed.average["p"].tolist() == ema.average["p"].tolist()


def test_states_that_do_not_fit(T):
    ema = optim.EMA({"a": T([1.0], requires_grad=True)})
    with pytest.raises(OptimizerError, match=r"the state is of other parameters; without a partner are a, b"):
        ema.load_state_dict(optim.EMA({"b": T([1.0], requires_grad=True)}).state_dict())
    with pytest.raises(
        OptimizerError,
        match=r"EMA\.load_state_dict: expected what state_dict\(\) returns, with 'updates' and 'average'",
    ):
        ema.load_state_dict({"average": {}})
    with pytest.raises(OptimizerError, match=r"the state does not fit: a is float64 \(2,\), expected float64 \(1,\)"):
        ema.load_state_dict(optim.EMA({"a": T([1.0, 2.0], requires_grad=True)}).state_dict())
    for broken in ({"updates": "x", "average": {"a": T([2.0])}}, {"updates": 1, "average": 3}):
        with pytest.raises(OptimizerError, match=r"expected what state_dict\(\) returns"):
            ema.load_state_dict(broken)


def test_a_state_that_does_not_fit_changes_nothing(T):
    ema = optim.EMA([T([1.0], requires_grad=True), T([2.0], requires_grad=True)])
    with pytest.raises(OptimizerError, match=r"1 is float32 \(1,\), expected float64 \(1,\)"):
        ema.load_state_dict({"updates": 3, "average": {"0": T([5.0]), "1": T([6.0], "float32")}})
    assert [mean.tolist() for mean in ema.average] == [[1.0], [2.0]]
    assert ema.updates == 0


def test_it_pickles(T):
    params = {"a": T([1.0], requires_grad=True)}
    ema = optim.EMA(params)
    ema.update()
    copied = pickle.loads(pickle.dumps(ema))
    assert copied.average["a"].tolist() == [1.0]
    assert copied.updates == 1


def test_a_state_is_plain():
    state = optim.SWA([jt.tensor([1.0], requires_grad=True)]).state_dict()
    state["average"] = {name: value.tolist() for name, value in state["average"].items()}
    assert json.dumps(state) == '{"updates": 0, "average": {"0": [1.0]}}'


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decay": 1.0}, r"EMA: decay must be a number in \[0, 1\), or None for equal weights; got 1\.0"),
        ({"decay": "a"}, "EMA: decay must be a number .*; got 'a'"),
        ({"decay": None, "warmup": True}, "EMA: warmup=True needs a decay"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(OptimizerError, match=message):
        optim.EMA([jt.tensor([1.0], requires_grad=True)], **options)


def test_what_is_no_tensor():
    with pytest.raises(jt.DTypeError, match=r"SWA takes a tree of Tensors; 'a\.0' is a float"):
        optim.SWA({"a": [1.0]})
    model = nn.Linear(2)
    model(jt.ones((1, 3)))
    for given in (model, nn.Sequential(model)):
        with pytest.raises(jt.DTypeError, match=r"a Linear: pass its parameters\(\) or state\(\)"):
            optim.EMA(given)
    with pytest.raises(OptimizerError, match="EMA: there is nothing to average"):
        optim.EMA([])


# -- gradient accumulation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_small_batches_make_the_step_of_a_large_one(kind, parts, T, close):
    """Each mean over a part, divided by the number of parts, and backward() after each: gradients add up."""
    x, y = T([[0.5, -1.0], [2.0, 0.25], [-1.5, 1.0], [0.75, 3.0]]), T([[1.0], [0.0], [-2.0], [0.5]])

    def train(parts):
        weight = T([[0.3, -0.4]], requires_grad=True)
        optimizer = getattr(optim, kind)([weight], lr=0.1)
        size = 4 // parts
        for _ in range(5):
            optimizer.zero_grad()
            for i in range(0, 4, size):
                loss = jt.mean(jt.square(jt.tanh(x[i : i + size] @ weight.mT) - y[i : i + size]))
                (loss / parts).backward()
            optim.clip_grad_norm([weight], 0.5)  # of the sum, so after all parts
            optimizer.step()
        return weight

    close(train(parts), train(1).tolist())
