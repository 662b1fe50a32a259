"""The update rules against PyTorch's steps and papers' (tests/data/make_optimizers.py), groups, donation, and going on from a state."""

from __future__ import annotations

import copy
import json
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import jitrench_core as jt
import jitrench_nn as nn
import jitrench_optim as optim
from jitrench_core.optimizer import OptimizerError
from jitrench_core.testing import op_tests

REFERENCE = json.loads((Path(__file__).parent / "data" / "optimizers_reference.json").read_text())
DATA = REFERENCE["data"]
PARAMS = ("scale", "bias", "weight", "readout", "kernel")
MATRICES = ("weight", "readout")
RULES = sorted({case["optimizer"] for case in REFERENCE["cases"]})
WHOLE = ("Muon", "LAMB", "Adafactor")  # the rules that are not elementwise
# One case of each rule with the most options that there are.
RICHEST = {case["optimizer"]: case for case in sorted(REFERENCE["cases"], key=lambda case: len(case["options"]))}

test_op = op_tests("optim")


def named(case):
    return "-".join([case["optimizer"], *(f"{key}={value}" for key, value in case["options"].items())])


def make(case, params):
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in case["options"].items()}
    return jt.registry.optimizers[case["optimizer"]](params, **options)


class Problem:
    """The problem of tests/data/make_optimizers.py, and an optimizer of its parameters."""

    def __init__(self, T, case):
        self.params = {name: T(DATA[name], requires_grad=True) for name in PARAMS}
        self.x, self.y, self.z = (T(DATA[name]) for name in "xyz")
        self.given = {name: self.params[name] for name in (MATRICES if case["optimizer"] == "Muon" else PARAMS)}
        self.optimizer = make(case, self.given)
        self.steps = 0

    def loss(self):
        p = self.params
        scores = jt.tanh(self.x @ p["weight"].mT + p["bias"]) @ p["readout"].mT * p["scale"]
        logistic = jt.mean(jt.log1p(jt.exp(-(self.z @ jt.reshape(p["kernel"], (-1,))))))
        return jt.mean(jt.square(scores - self.y)) + logistic + jt.sum(jt.square(p["kernel"])) / 100

    def run(self, steps):
        for _ in range(steps):
            self.steps += 1
            for p in self.params.values():
                p.zero_grad()
            self.loss().backward()
            if self.steps % 3 == 2:
                self.params["bias"].zero_grad()
            self.optimizer.step()

    def values(self):
        return {name: p.tolist() for name, p in self.params.items()}


# -- the rules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=named)
def test_each_step_is_the_references(case, T, close):
    problem = Problem(T, case)
    for steps, after in case["after"].items():
        problem.run(int(steps) - problem.steps)
        for name, expected in after.items():
            close(problem.params[name], expected, tol=1e-11)


@pytest.mark.parametrize("name", RULES)
def test_float32_stays_float32_and_is_near(name, T):
    case = RICHEST[name]
    kept = {}
    for dtype in ("float32", "float64"):
        problem = Problem(
            lambda data, requires_grad=False, dtype=dtype: T(data, dtype, requires_grad=requires_grad), case
        )
        problem.run(10)
        assert all(p.dtype == dtype for p in problem.params.values())
        kept[dtype] = problem.values()
    for key, value in kept["float64"].items():
        np.testing.assert_allclose(kept["float32"][key], value, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("name", [name for name in RULES if name not in WHOLE])
def test_in_blocks_as_element_by_element(name, T, backend):
    """Large arrays, in order and transposed, go in blocks on NumPy; the same numbers come as for the parts alone."""
    case = RICHEST[name]
    rng = np.random.default_rng(0)
    value = rng.normal(size=(130, 3, 700))
    whole, part, turned = (T(v, requires_grad=True) for v in (value, value[7:9], value))
    optimizers = [make(case, [p]) for p in (whole, part, turned)]
    for _ in range(3):
        g = rng.normal(size=value.shape)
        whole.grad, part.grad = T(g), T(g[7:9])
        turned.grad = jt.permute_dims(T(np.ascontiguousarray(g.transpose(2, 1, 0))), (2, 1, 0))
        for optimizer in optimizers:
            optimizer.step()
    np.testing.assert_allclose(whole[7:9].tolist(), part.tolist(), rtol=1e-14, atol=1e-15)
    np.testing.assert_array_equal(whole.numpy(), turned.numpy())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "shape", [(700, 130), (130, 700), (3, 1, 40000), (4, 50, 60), (90000,), (0, 3), (3, 0), (5, 2)]
)
@pytest.mark.parametrize("name", WHOLE)
def test_the_rules_of_whole_parameters_in_parts(name, shape, dtype):
    """NumPy's kernels go twice through large arrays; the op's own forward makes whole ones."""
    if name == "Muon" and len(shape) != 2:
        return
    options = {key: tuple(x) if isinstance(x, list) else x for key, x in RICHEST[name]["options"].items()}
    signs = {} if name == "Muon" else {"maximize": True}
    rng = np.random.default_rng(0)
    p, turned = (jt.tensor(v, dtype, requires_grad=True) for v in [rng.normal(size=shape)] * 2)
    optimizers = [jt.registry.optimizers[name]([x], **options, **signs) for x in (p, turned)]
    op = type(optimizers[0]).rule.op
    attrs = {key: x for key, x in optimizers[0].groups[0].options.items() if key in op.attrs}
    order = op.arrays[3:]
    kept = [None if (x := optimizers[0].groups[0].slots[0].get(key)) is None else x.numpy() for key in order]
    expected = p.numpy()
    for _ in range(3):
        g = rng.normal(size=shape).astype(dtype)
        p.grad, turned.grad = jt.asarray(g), jt.permute_dims(jt.asarray(g.T.copy()), tuple(range(len(shape)))[::-1])
        for optimizer in optimizers:
            optimizer.step()
        made = op.forward(np, expected, g, np.asarray(optimizers[0].lr.item()), *kept, **attrs)
        expected, kept = made[0], [None if old is None else new for old, new in zip(kept, made[1:], strict=True)]
    close = {"rtol": 1e-9, "atol": 1e-12} if dtype == "float64" else {"rtol": 2e-4, "atol": 2e-5}
    np.testing.assert_allclose(p.numpy(), expected, **close)
    np.testing.assert_allclose(turned.numpy(), expected, **close)
    for key, value in zip(order, kept, strict=True):
        if value is not None:
            np.testing.assert_allclose(optimizers[0].groups[0].slots[0][key].numpy(), value, **close)


def test_what_is_empty_or_a_number_is_updated(T):
    for name in RULES:
        if name == "Muon":
            continue
        empty, number = T(np.ones((0, 3)), requires_grad=True), T(2.0, requires_grad=True)
        optimizer = jt.registry.optimizers[name]([empty, number], lr=0.1)
        ((empty**2).sum() + number**2).backward()
        optimizer.step()
        assert (empty.shape, number.shape) == ((0, 3), ()), name
        assert 0 < number.item() < 2, name


def test_the_first_step_where_the_gradient_is_zero(T):
    """0 / 0 would be NaN; a parameter of zeros has no norm to scale by."""
    for name in RULES:
        p = T(np.zeros((2, 2)), requires_grad=True)
        p.grad = T(np.zeros((2, 2)))
        jt.registry.optimizers[name]([p]).step()
        assert p.tolist() == [[0.0, 0.0], [0.0, 0.0]], name


def test_adafactor_forgets_a_square_that_was_large(T):
    """With beta2_decay=0 only the last gradient counts: old + 1 * (new - old) would lose it in float32."""
    for shape in ((2,), (2, 2)):
        p = T(np.ones(shape), "float32", requires_grad=True)
        optimizer = optim.Adafactor([p], lr=0.25, beta2_decay=0.0)
        for size in (1e3, 1e-3):
            p.grad = T(np.full(shape, size), "float32")
            before = p.tolist()
            optimizer.step()
        moved = np.asarray(p.tolist()) / np.asarray(before)
        assert np.allclose(moved, 0.75, rtol=1e-5)  # by lr times p's root mean square


def test_a_variance_that_rounds_below_zero(T):
    """With alpha=0 there is none, but for rounding, and its root must not be NaN."""
    rng = np.random.default_rng(0)
    for dtype in ("float64", "float32"):
        p = T(np.zeros(50), dtype, requires_grad=True)
        optimizer = optim.RMSprop([p], alpha=0.0, eps=1.0, lr=0.5, centered=True)
        total = np.zeros(50)
        for _ in range(20):
            total += (g := rng.normal(size=50))
            p.grad = T(g, dtype)
            optimizer.step()
        assert np.allclose(p.tolist(), -0.5 * total, atol=1e-2)


def test_rectification_begins_when_the_average_is_long_enough(T):
    """Until then RAdam's step is that of momentum alone, whatever the gradient's size."""
    x = T([1.0, 100.0], requires_grad=True)
    optimizer = optim.RAdam([x], lr=0.001)
    for step in range(1, 7):
        x.grad = T([1.0, 100.0])
        before = x.tolist()
        optimizer.step()
        moved = [a - b for a, b in zip(before, x.tolist(), strict=True)]
        assert (moved[1] / moved[0] > 50) == (step <= 5)


def test_muon_moves_by_an_orthogonal_matrix(T):
    rng = np.random.default_rng(1)
    for shape in ((4, 3), (3, 4)):
        p = T(np.zeros(shape), requires_grad=True)
        p.grad = T(rng.normal(size=shape))
        optim.Muon([p], lr=1.0, adjust_lr_fn="match_rms_adamw", ns_steps=30, ns_coefficients=(2.0, -1.5, 0.5)).step()
        np.testing.assert_allclose(np.linalg.svd(p.numpy() / (0.2 * 2), compute_uv=False), 1.0, rtol=1e-10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: optim.SGD(p, momentum=0.9, dampening=0.1, nesterov=True), "SGD: nesterov=True needs dampening=0"),
        (lambda p: optim.SGD(p, dampening=-1), "SGD: dampening must be a number, 0 or above; got -1"),
        (lambda p: optim.AdamW(p, weight_decay="a"), "AdamW: weight_decay must be a number, 0 or above; got 'a'"),
        (lambda p: optim.NAdam(p, momentum_decay=-1), "NAdam: momentum_decay must be a number, 0 or above; got -1"),
        (lambda p: optim.NAdam(p, betas=(1.0, 0.9)), "NAdam: betas must be two numbers"),
        (lambda p: optim.Lion(p, betas=0.9), "Lion: betas must be two numbers"),
        (lambda p: optim.LAMB(p, eps=None), "LAMB: eps must be a number, 0 or above; got None"),
        (lambda p: optim.RMSprop(p, alpha=1.5), r"RMSprop: alpha must be a number from 0 to 1; got 1\.5"),
        (lambda p: optim.Adadelta(p, rho=-0.5), r"Adadelta: rho must be a number from 0 to 1; got -0\.5"),
        (lambda p: optim.Adagrad(p, initial_accumulator_value=-1), "Adagrad: initial_accumulator_value must be"),
        (lambda p: optim.Muon(p, ns_steps=100), "Muon: ns_steps must be an int from 0 to 99; got 100"),
        (lambda p: optim.Muon(p, ns_coefficients=(1, 2)), r"Muon: ns_coefficients must be three numbers; got \(1, 2\)"),
        (
            lambda p: optim.Muon(p, adjust_lr_fn="x"),
            "adjust_lr_fn must be None, 'original' or 'match_rms_adamw'; got 'x'",
        ),
        (lambda p: optim.Adafactor(p, beta2_decay=0.8), r"beta2_decay must be a number, 0 or below; got 0\.8"),
        (lambda p: optim.Adafactor(p, d=0.5), r"Adafactor: d must be a number, 1 or above; got 0\.5"),
        (lambda p: optim.Adafactor(p, eps=1e-3), r"Adafactor: eps must be two numbers, 0 or above, .*; got 0\.001"),
        (lambda p: optim.Adafactor(p, eps=(None, None)), "Adafactor: eps must be two numbers"),
    ],
)
def test_options_out_of_range(make, message, T):
    with pytest.raises(OptimizerError, match=message):
        make([T([[1.0]], requires_grad=True)])


def test_parameters_that_a_rule_is_not_for(T):
    with pytest.raises(jt.ShapeError, match=r"Muon takes matrices; a parameter has shape \(2,\).*AdamW"):
        optim.Muon([T([1.0, 2.0], requires_grad=True)])
    for name in RULES:
        if name != "SGD":
            with pytest.raises(jt.DTypeError, match=f"{name} takes real parameters; 'w' is complex128"):
                jt.registry.optimizers[name]({"w": T([[1j]], requires_grad=True)})
    z = T([1.0 + 2.0j], requires_grad=True)
    optimizer = optim.SGD([z], lr=0.25, momentum=0.5)
    jt.sum(jt.abs(z) ** 2).backward()
    optimizer.step()
    assert z.tolist() == [0.5 + 1.0j]


# -- groups -----------------------------------------------------------------------------------------------------------


def test_two_groups_are_two_optimizers(T):
    start = {"a": [1.0, -2.0], "b": [[3.0]]}
    one, two = ({name: T(value, requires_grad=True) for name, value in start.items()} for _ in range(2))
    together = optim.AdamW(
        [{"params": {"a": one["a"]}, "lr": 0.1, "weight_decay": 0.5}, {"params": one["b"], "betas": (0.5, 0.9)}],
        lr=0.01,
    )
    apart = [optim.AdamW(two["a"], lr=0.1, weight_decay=0.5), optim.AdamW([two["b"]], lr=0.01, betas=(0.5, 0.9))]
    for _ in range(5):
        for params, optimizers in ((one, [together]), (two, apart)):
            for p in params.values():
                p.zero_grad()
            jt.sum(params["a"] ** 4 * params["b"]).backward()
            for optimizer in optimizers:
                optimizer.step()
        assert {name: p.tolist() for name, p in one.items()} == {name: p.tolist() for name, p in two.items()}
    first, second = together.groups
    assert (first.lr.item(), second.lr.item()) == (0.1, 0.01)
    assert (first.options["weight_decay"], second.options["weight_decay"]) == (0.5, 0.01)
    assert [p is q for p, q in zip(together.parameters, one.values(), strict=True)] == [True, True]
    assert together.lr is first.lr
    assert list(together.state()) == ["groups"]
    assert list(together.state()["groups"][0]["slots"]["a"]) == ["steps", "mean", "square"]


def test_the_learning_rates_of_groups_are_set_alone_and_together(T):
    a, b = T([1.0], requires_grad=True), T([1.0], requires_grad=True)
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.1)
    optimizer.groups[1].lr = 0.25
    assert [group.lr.item() for group in optimizer.groups] == [0.1, 0.25]
    optimizer.groups[0].options["momentum"] = 0.0
    optimizer.lr = 2
    assert [group.lr.item() for group in optimizer.groups] == [2.0, 2.0]
    with pytest.raises(OptimizerError, match="SGD: lr must be a finite number"):
        optimizer.groups[1].lr = float("nan")
    assert repr(optimizer.groups[0]).startswith("Group(1 parameter, lr=2.0, momentum=0.0")


def test_groups_that_are_not(T):
    a, b = T([1.0], requires_grad=True), T([1.0], requires_grad=True)
    with pytest.raises(
        OptimizerError, match=r"SGD: groups are dicts with a key 'params', and group 1 is a dict of \['x'\]"
    ):
        optim.SGD([{"params": [a]}, {"x": b}])
    with pytest.raises(OptimizerError, match="group 1 is a Tensor"):
        optim.SGD([{"params": [a]}, b])
    with pytest.raises(OptimizerError, match=r"SGD has no option 'momentm'; it has lr, .*Did you mean 'momentum'"):
        optim.SGD([{"params": [a], "momentm": 0.9}])
    with pytest.raises(OptimizerError, match="SGD: momentum must be a number"):
        optim.SGD([{"params": [a]}, {"params": [b], "momentum": -1}])
    with pytest.raises(OptimizerError, match="lr must be a finite number"):
        optim.SGD([{"params": [a], "lr": -1}])
    optimizer = optim.SGD([{"params": {"w": a}}])
    with pytest.raises(OptimizerError, match="SGD: the parameter 'w' is in an earlier group, too"):
        optimizer.add_group({"w": a})
    assert len(optimizer.groups) == 1
    with pytest.raises(jt.GradientError, match="2 tensors, none of which requires a gradient"):
        optim.SGD([{"params": [T([1.0])]}, {"params": [T([1.0])]}])


def test_a_group_may_hold_nothing_to_train(T):
    a = T([1.0], requires_grad=True)
    optimizer = optim.SGD([{"params": [T([5.0])]}, {"params": [a]}], lr=0.5)
    (a * a).sum().backward()
    optimizer.step()
    assert a.tolist() == [0.0]


# -- donation: a step writes into arrays that nobody else holds ---------------------------------------------------------


def holders(x):
    """Whoever may hold the array of x: what they are, and how to read their values."""
    y = (x * x).sum()

    def gradient():
        x.zero_grad()
        y.backward(retain_graph=True)
        found, x.grad = x.grad.tolist(), jt.ones_like(x.detach())
        return found

    return {
        "a view": (v := x.detach()[1:], v.tolist),
        "a snapshot": (s := x.detach(), s.tolist),
        "an array": (a := x.numpy(), a.tolist),
        "a graph": (y, gradient),
        "the backend's array": (d := x.data, lambda: jt.asarray(d).tolist()),
    }


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("who", ["a view", "a snapshot", "an array", "a graph", "the backend's array"])
def test_what_somebody_else_holds_is_not_overwritten(who, name, T):
    x = T(np.linspace(1, 2, 3600).reshape(60, 60), requires_grad=True)  # more than the kernels take as little
    optimizer = jt.registry.optimizers[name]([x], lr=0.1)
    for _ in range(2):  # from the second step on the optimizer's own arrays are there
        x.grad = jt.ones_like(x.detach())
        held, read = holders(x)[who]
        before = read()
        old = x.tolist()
        optimizer.step()
        assert read() == before
        assert x.tolist() != old
        del held, read


def test_backward_through_a_graph_that_lives_across_steps_is_right(T):
    x = T([3.0, 1.0], requires_grad=True)
    optimizer = optim.SGD([x], lr=1.0)
    y = (x**3).sum()
    for _ in range(3):
        x.grad = T([1.0, 1.0])
        optimizer.step()
    x.zero_grad()
    y.backward()
    assert x.grad.tolist() == [27.0, 3.0]
    assert x.tolist() == [0.0, -2.0]


def test_a_users_array_is_not_written_into(backend):
    given = np.ones(5000)
    x = jt.asarray(given, device=backend)
    view = jt.asarray(given[100:], device=backend)
    for p in (x, view):
        p.requires_grad = True
        p.grad = jt.ones_like(p.detach())
    optimizer = optim.SGD([x, view], lr=0.5, momentum=0.9)
    for _ in range(3):
        optimizer.step()
    assert (given == 1).all()
    assert x.tolist()[:2] == view.tolist()[:2]


def test_tensors_that_share_an_array_part(T):
    x = T([1.0, 2.0], requires_grad=True)
    y = x.detach()
    y.requires_grad = True
    optimizer = optim.SGD([x, y], lr=1.0)
    x.grad, y.grad = T([1.0, 1.0]), T([-1.0, -1.0])
    optimizer.step()
    assert (x.tolist(), y.tolist()) == ([0.0, 1.0], [2.0, 3.0])


def test_a_gradient_that_is_the_parameters_own_array(T):
    x = T([1.0, 2.0], requires_grad=True)
    x.grad = x.detach()
    optim.SGD([x], lr=0.5, momentum=0.5).step()
    assert x.tolist() == [0.5, 1.0]
    assert x.grad.tolist() == [1.0, 2.0]


def test_a_state_dict_is_a_snapshot(T):
    x = T([1.0, 2.0], requires_grad=True)
    optimizer = optim.Adam([x], lr=0.1)
    x.grad = T([1.0, 1.0])
    optimizer.step()
    saved = optimizer.state_dict()
    before = pickle.dumps(saved)
    optimizer.step()
    optimizer.groups[0].options["eps"] = 1.0
    assert pickle.dumps(saved) == before


SCRATCH = {"SGD": 8_000, "Adam": 8_000, "AdamW": 8_000, "AMSGrad": 8_000}  # the others hold what is between, of a block


SCRATCH |= {"LAMB": 8_000, "Adafactor": 500_000, "Muon": 25_300_000}  # Muon's three matrices, of 8 MB here


@pytest.mark.parametrize("name", RULES)
def test_a_step_allocates_nothing(name):
    case = RICHEST[name]
    rng = np.random.default_rng(0)
    shapes = ((1448, 1448), (1024, 256)) if name == "Muon" else ((2048, 1024), (1024, 256))
    params = [jt.tensor(rng.normal(size=shape), "float32", requires_grad=True) for shape in shapes]
    for p in params:
        p.grad = jt.ones_like(p.detach())
    optimizer = make(case, params)
    for _ in range(2):
        optimizer.step()
    tracemalloc.start()
    try:
        optimizer.step()
        tracemalloc.reset_peak()
        now = tracemalloc.get_traced_memory()[0]
        optimizer.step()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - now < 2_000
    assert peak - now < SCRATCH.get(name, 4_000_000)  # the larger parameter has 8 MB


def test_scratch_memory_is_each_threads_own():
    from concurrent.futures import ThreadPoolExecutor

    def train(seed):
        p = jt.tensor(np.random.default_rng(seed).normal(size=(300, 300)), requires_grad=True)
        optimizer = optim.Adam([p], lr=0.01, weight_decay=0.1)
        for _ in range(20):
            p.grad = p.detach() * seed
            optimizer.step()
        return p.tolist()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(train, range(1, 9))) == [train(seed) for seed in range(1, 9)]


# -- a rule as an op: the seam ------------------------------------------------------------------------------------------


@jt.op(outputs=2, vjp=dict.fromkeys(("p", "grad", "lr", "mean")))
def signum_step(xp, p, grad, lr, mean, /, *, momentum=0.9, donated=False):
    """A step of Signum."""
    mean = momentum * mean + (1 - momentum) * grad
    signum_step.donated.append(donated)
    return p - xp.asarray(lr, dtype=p.dtype) * xp.sign(mean), mean


@jt.op(vjp=dict.fromkeys(("p", "grad", "lr")))
def plain_step(xp, p, grad, lr, /):
    """p - lr * grad, in its dtype."""
    return p - xp.asarray(lr, dtype=p.dtype) * grad


class Signum(jt.Optimizer):
    rule = signum_step

    def __init__(self, params, lr=0.1, *, momentum=0.9, **unknown):
        super().__init__(params, lr=lr, options={"momentum": momentum}, **unknown)

    def slots(self, p, **options):
        return {"mean": jt.zeros_like(p)}


class Plain(jt.Optimizer):
    rule = plain_step


def test_a_rule_may_be_an_op_of_ones_own(T):
    x, y = T([1.0, -2.0], "float32", requires_grad=True), T([3.0], requires_grad=True)
    signum_step.donated = []
    optimizer = Signum([{"params": [x]}, {"params": [y], "momentum": 0.5, "lr": 0.25}])
    x.grad, y.grad = T([1.0, -1.0], "float32"), T([2.0])
    optimizer.step()
    assert [round(value, 6) for value in x.tolist()] == [0.9, -1.9]
    assert y.tolist() == [2.75]
    assert optimizer.state()["groups"][1]["slots"][0]["mean"].tolist() == [1.0]
    assert signum_step.donated == [True, True]
    with pytest.raises(OptimizerError, match=r"Signum has no option 'nesterov'; it has lr, momentum\."):
        Signum([x], nesterov=True)
    (z := T([1.0], requires_grad=True)).grad = T([1.0])
    Plain([z], lr=0.5).step()
    assert z.tolist() == [0.5]


@jt.op(composite=True)
def composite_step(p, grad, lr, /):
    """No op of its own."""
    return p - lr * grad


@jt.op(outputs=2, vjp=dict.fromkeys(("p", "grad", "lr")))
def twofold_step(xp, p, grad, lr, /):
    """An output too many."""
    return p, grad


def test_a_rule_that_is_no_step(T):
    class Made(Plain):
        def __init__(self, params, lr=0.1, *, momentum=0.9):
            super().__init__(params, lr=lr, options={"momentum": momentum})

    p = [T([1.0], requires_grad=True)]
    with pytest.raises(
        OptimizerError, match="Made: the rule 'plain_step' has no attribute for the option 'momentum'; it has none"
    ):
        Made(p)
    for rule, what in (
        (composite_step, "the composite <op 'composite_step'>"),
        (twofold_step, "<op 'twofold_step'>"),
        (lambda p, grad, lr: p, "a function"),
    ):
        cls = type("Odd", (jt.Optimizer,), {"rule": rule})
        with pytest.raises(
            OptimizerError, match=f"Odd.rule must be an op of p, the gradient, lr and the slots, .*; got {what}"
        ):
            cls(p)


@pytest.mark.parametrize(
    ("name", "option", "value", "message"),
    [
        ("Adam", "eps", -1.0, r"Adam: eps must be a number, 0 or above; got -1\.0"),
        ("Adam", "weight_decay", float("nan"), "Adam: weight_decay must be a number, 0 or above; got nan"),
        ("Adam", "betas", (2, 3), r"Adam: betas must be two numbers in \[0, 1\), .*; got \(2, 3\)"),
        ("Adam", "betas", "xx", "Adam: betas must be two numbers"),
        ("Adam", "amsgrad", 1, "Adam: amsgrad must be True or False; got 1"),
        ("SGD", "nesterov", True, "SGD: nesterov=True needs a momentum above 0"),
        ("Adafactor", "d", 0, "Adafactor: d must be a number, 1 or above; got 0"),
        ("SGD", "momentun", 0.5, "SGD has no option 'momentun'; it has momentum, .* Did you mean 'momentum'"),
        ("SGD", "lr", 0.5, r"SGD: the learning rate is no option of a group: set group\.lr"),
        ("Signum", "momentun", 0.5, "Signum has no option 'momentun'; it has momentum. Did you mean 'momentum'"),
        ("LBFGS", "max_iter", 0, "LBFGS: max_iter must be a whole number from 1; got 0"),
    ],
)
def test_an_option_set_later_is_checked_as_one_at_the_start(name, option, value, message, T):
    p = T([[1.0]], requires_grad=True)
    optimizer = (Signum if name == "Signum" else jt.registry.optimizers[name])([p])
    options = optimizer.groups[0].options
    before = dict(options)
    for way in (
        lambda: options.__setitem__(option, value),
        lambda: options.update({option: value}),
        lambda: options.update(**{option: value}),
        lambda: options.__ior__({option: value}),
        lambda: setattr(optimizer.groups[0], "options", {option: value}),
    ):
        with pytest.raises(OptimizerError, match=message):
            way()
    assert options == before
    with pytest.raises(OptimizerError, match="has no option 'momentun'"):
        options.setdefault("momentun", 0.5)
    assert options.setdefault(next(iter(options)), 7) == next(iter(before.values()))


def test_options_are_not_removed(T):
    options = optim.SGD([T([1.0], requires_grad=True)]).groups[0].options
    for way in (
        lambda: options.pop("momentum"),
        options.popitem,
        options.clear,
        lambda: options.__delitem__("momentum"),
    ):
        with pytest.raises(OptimizerError, match="an option of a group can be set, not removed; it has momentum, "):
            way()
    assert len(options) == 5


def test_options_are_set_together(T):
    """Each alone would be refused: nesterov needs momentum."""
    p = T([1.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=0.5)
    optimizer.groups[0].options |= {"momentum": 0.5, "nesterov": True}
    p.grad = T([1.0])
    optimizer.step()
    assert p.tolist() == [0.25]
    optimizer.groups[0].options = {"momentum": 0, "nesterov": False}
    optimizer.step()
    assert p.tolist() == [-0.25]


@pytest.mark.parametrize("way", ["pickle", "deepcopy", "copy"])
def test_options_of_a_copy_are_checked_and_its_own(way, T):
    optimizer = optim.Adam([T([1.0, 2.0], requires_grad=True)], betas=(0.5, 0.5))
    made = {"pickle": lambda x: pickle.loads(pickle.dumps(x)), "deepcopy": copy.deepcopy, "copy": copy.copy}[way](
        optimizer
    )
    for each in (optimizer, made):
        with pytest.raises(OptimizerError, match="eps must be a number"):
            each.groups[0].options["eps"] = -1
        each.groups[0].options["amsgrad"] = True
        assert list(each.groups[0].slots[0]) == ["steps", "mean", "square", "largest"]
    if way != "copy":
        made.groups[0].options["betas"] = [0.25, 0.5]
        assert (optimizer.groups[0].options["betas"], made.groups[0].options["betas"]) == ((0.5, 0.5), (0.25, 0.5))


def test_an_optimizer_is_freed_at_once(T):
    import weakref

    optimizer = optim.Adam([T([1.0], requires_grad=True)])
    alive, options = weakref.ref(optimizer), optimizer.groups[0].options
    del optimizer
    assert alive() is None
    with pytest.raises(OptimizerError, match="the optimizer of these options is gone, so nothing can be set: eps"):
        options["eps"] = 1.0
    made = copy.copy(options)  # a dict of nobody
    made["eps"] = 2.0
    assert (options["eps"], made["eps"]) == (1e-8, 2.0)


def test_a_copy_checks_options_when_the_original_is_gone(T):
    optimizer = optim.Adam([T([1.0], requires_grad=True)])
    made = copy.copy(optimizer)
    del optimizer
    with pytest.raises(OptimizerError, match="eps must be a number"):
        made.groups[0].options["eps"] = -1
    made.groups[0].options["amsgrad"] = True
    assert "largest" in made.groups[0].slots[0]


def test_dampening_set_later_dampens_the_next_step(T):
    """-1, -2.4, -4.16 is PyTorch's; of a parameter that has not moved yet, the first velocity stays as it is."""
    x, late = T([0.0], requires_grad=True), T([0.0], requires_grad=True)
    optimizer = optim.SGD([x, late], lr=1.0, momentum=0.9)
    g = T([1.0])
    found = []
    for i in range(3):
        optimizer.step([g, None if i == 0 else g])
        found.append((round(x.item(), 6), round(late.item(), 6)))
        optimizer.groups[0].options["dampening"] = 0.5
    assert found == [(-1.0, 0.0), (-2.4, -1.0), (-4.16, -2.4)]


@pytest.mark.parametrize("way", ["kernel", "op"])
@pytest.mark.parametrize(("name", "scale"), [("Adafactor", 1.0), ("LAMB", 1.0), ("Adafactor", 200.0), ("LAMB", 200.0)])
def test_sums_of_squares_of_float16_do_not_overflow(name, scale, way):
    """0.990234375 is PyTorch's Adafactor; 300 * 300 * 200**2 is 55,000 times the largest float16."""
    x = jt.tensor(np.full((300, 300), scale, "float16"), requires_grad=True)
    g = jt.tensor(np.ones((300, 300), "float16"))
    optimizer = getattr(optim, name)([x], lr=0.01)
    if way == "kernel":
        optimizer.step([g])
    else:
        group = optimizer.groups[0]
        with jt.no_grad():
            new = type(optimizer).rule.op.forward(np, *(a.numpy() for a in (x, g, group.lr, *group.slots[0].values())))[
                0
            ]
            jt.assign(x, jt.tensor(new))
    assert x.dtype == jt.float16
    assert np.unique(x.numpy()).tolist() == [0.990234375 if scale == 1.0 else 198.0]


def test_muon_does_not_see_the_size_of_a_float16_gradient():
    """4096 * 300 is no float16, and is the norm that it divides by."""
    found = []
    for size in (1.0, 4096.0):
        x = jt.tensor(np.ones((300, 300), "float16"), requires_grad=True)
        g = np.full((300, 300), size, "float16")
        optim.Muon([x], lr=0.5).step([jt.tensor(g)])
        group = optim.Muon([x], lr=0.5).groups[0]
        new, _ = optim.Muon.rule.op.forward(np, np.ones_like(g), g, group.lr.numpy(), group.slots[0]["mean"].numpy())
        found.append((x.tolist(), new.tolist()))
    assert found[0] == found[1]
    assert found[0][0] != np.ones((300, 300)).tolist() != found[0][1]


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("SGD", {}, {"momentum": 0.9}),
        ("SGD", {"momentum": 0.5}, {"momentum": 0.9}),
        ("SGD", {}, {"momentum": 0.9, "dampening": 0.5}),
        ("Adam", {}, {"amsgrad": True}),
        ("AMSGrad", {}, {"amsgrad": False}),
        ("RMSprop", {}, {"centered": True, "momentum": 0.5}),
        ("RMSprop", {"centered": True}, {"centered": False}),
    ],
)
def test_an_option_set_later_works(name, before, after, T):
    """As it would have from the start, since there was no step before: with the slots that it needs, and no others."""
    cls = jt.registry.optimizers[name]
    values = []
    for late in (True, False):
        p, q = T([1.0, -2.0], requires_grad=True), T([[3.0]], requires_grad=True)
        optimizer = cls([p, q], **(before if late else {}))
        if late:
            optimizer.groups[0].options.update(after)
        elif name == "AMSGrad":
            optimizer = optim.Adam([p, q])
        else:
            optimizer = cls([p, q], **(before | after))
        for scale in (1.0, 3.0, -0.5):
            p.grad, q.grad = T([scale, 2.0]), T([[scale]])
            optimizer.step()
        values.append((p.tolist(), q.tolist(), [list(slots) for slots in optimizer.groups[0].slots]))
    assert values[0] == values[1]


def test_slots_that_stay_are_the_same(T):
    p = T([1.0], requires_grad=True)
    optimizer = optim.Adam([p])
    p.grad = T([1.0])
    optimizer.step()
    mean = optimizer.groups[0].slots[0]["mean"]
    optimizer.groups[0].options["amsgrad"] = True
    optimizer.step()
    assert optimizer.groups[0].slots[0]["mean"] is mean
    assert optimizer.groups[0].slots[0]["steps"].item() == 2.0


def test_a_state_with_an_option_set_later_is_loaded(T):
    p, q = (T([1.0], requires_grad=True) for _ in range(2))
    optimizer, fresh = optim.SGD([p], lr=0.5), optim.SGD([q], lr=0.5)
    optimizer.groups[0].options["momentum"] = 0.5
    p.grad = q.grad = T([1.0])
    optimizer.step()
    fresh.load_state_dict(optimizer.state_dict())
    q.data = p.data
    for each in (optimizer, fresh):
        each.step()
    assert p.tolist() == q.tolist() == [-0.25]


def test_a_list_of_betas_is_nobody_elses(T):
    betas = [0.8, 0.9]
    optimizer = optim.Adam([{"params": [T([1.0], requires_grad=True)]} for _ in range(2)], betas=betas)
    betas[0] = 0.5
    assert [group.options["betas"] for group in optimizer.groups] == [(0.8, 0.9)] * 2


def test_update_gets_the_groups_options(T):
    class Scaled(jt.Optimizer):
        def __init__(self, params, lr=1.0, *, factor=1.0, **unknown):
            super().__init__(params, lr=lr, options={"factor": factor}, **unknown)

        def update(self, p, g, lr, slots, *, factor):
            return p - lr * factor * g, {}

    a, b = T([1.0], requires_grad=True), T([1.0], requires_grad=True)
    optimizer = Scaled([{"params": [a], "factor": 0.5}, {"params": [b]}], factor=0.25)
    a.grad = b.grad = T([1.0])
    optimizer.step()
    assert (a.tolist(), b.tolist()) == ([0.5], [0.75])


def test_inside_vmap_each_example_has_its_own_step(T):
    def after(start):
        x = start.detach()
        x.requires_grad = True
        optimizer = optim.SGD([x], lr=0.25, momentum=0.5)
        for _ in range(2):
            optimizer.zero_grad()
            (x * x).sum().backward()
            optimizer.step()
        return x

    starts = [[1.0, 2.0], [-4.0, 0.5], [0.0, 8.0]]
    together = jt.vmap(lambda start: after(start).detach())(T(starts))
    assert together.tolist() == [after(T(start)).tolist() for start in starts]


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("functional", [True, False])
def test_an_ensemble_trained_by_vmap(functional, name, T):
    """Counts of steps begin as constants, and are of every example after the first."""

    def after(start):
        x = jt.tensor(start, requires_grad=True)
        optimizer = make(RICHEST[name], [x])
        for _ in range(7):
            optimizer.zero_grad()
            if functional:
                optimizer.step([jt.grad(lambda x: (x**4).sum())(x)])
            else:
                (x**4).sum().backward()
                optimizer.step()
        return x.detach()

    starts = np.random.default_rng(0).normal(size=(3, 2, 4))
    alone = [after(T(start)).tolist() for start in starts]
    np.testing.assert_allclose(jt.vmap(after)(T(starts)).tolist(), alone, rtol=1e-12, atol=1e-14)


def test_a_parameter_from_outside_is_not_moved_inside_vmap(T):
    x = T([1.0, 2.0], requires_grad=True)
    optimizer = optim.Adam([x])

    def moved(scale):
        optimizer.step([scale * jt.ones_like(x)])
        return x

    with pytest.raises(jt.TransformError, match="in-place update of a tensor from outside jvp or vmap"):
        jt.vmap(moved)(T([1.0, 2.0]))
    assert x.tolist() == [1.0, 2.0]
    assert optimizer.groups[0].slots[0]["steps"].item() == 0


# -- going on from a state ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("way", ["pickle", "file"])
def test_a_run_goes_on_bit_for_bit(way, name, T, tmp_path):
    case = RICHEST[name]
    run, resumed = Problem(T, case), Problem(T, case)
    run.run(50)
    resumed.steps = 50
    with jt.no_grad():
        for key, p in run.params.items():
            jt.assign(resumed.params[key], p.detach())
    if way == "file":
        nn.save(run.optimizer.state(), tmp_path / "optimizer.jtw")
        nn.load(tmp_path / "optimizer.jtw", like=resumed.optimizer.state())
    else:
        resumed.optimizer.load_state_dict(pickle.loads(pickle.dumps(run.optimizer.state_dict())))
    for problem in (run, resumed):
        problem.run(50)
    assert resumed.values() == run.values()


def test_a_state_brings_its_learning_rates_and_options(T):
    a, b = T([1.0, 2.0], requires_grad=True), T([3.0], requires_grad=True)
    saved = optim.Adam([{"params": [a], "lr": 0.5}, {"params": [b], "eps": 1e-3, "betas": (0.5, 0.6)}]).state_dict()
    assert list(saved) == ["optimizer", "groups"]
    assert saved["groups"][0]["lr"] == 0.5
    fresh = optim.Adam([{"params": [a]}, {"params": [b]}])
    fresh.load_state_dict(saved)
    assert [group.lr.item() for group in fresh.groups] == [0.5, 1e-3]
    assert fresh.groups[1].options == saved["groups"][1]["options"]
    assert fresh.groups[1].options["betas"] == (0.5, 0.6)


def test_a_state_in_which_lists_became_dicts_and_numbers_tensors(T):
    """As a file of Tensors by dotted names gives it back."""
    a = T([1.0, 2.0], requires_grad=True)
    optimizer = optim.Adam([a], lr=0.25)
    a.grad = T([1.0, 1.0])
    optimizer.step()
    (group,) = optimizer.state_dict()["groups"]
    group |= {"lr": T(0.25), "params": {"0": "0"}, "slots": {"0": group["slots"][0]}}
    group["options"] |= {"eps": T(1e-6), "betas": [T(0.5), 0.75]}
    fresh = optim.Adam([a])
    fresh.load_state_dict({"groups": {"0": group}})
    assert fresh.lr.item() == 0.25
    assert (fresh.groups[0].options["eps"], fresh.groups[0].options["betas"]) == (1e-6, (0.5, 0.75))
    assert fresh.state()["slots"][0]["mean"].tolist() == optimizer.state()["slots"][0]["mean"].tolist()


def test_states_are_matched_by_name_or_where_there_are_none_by_position(T):
    def momentum(params):
        for p in params.values() if isinstance(params, dict) else params:
            p.grad = p.detach() * 2.0
        optimizer = optim.SGD(params, lr=0.1, momentum=0.9)
        optimizer.step()
        return optimizer

    a, b, c = (T([value], requires_grad=True) for value in (1.0, 2.0, 3.0))
    saved = momentum({"a": a, "b": b, "c": c}).state_dict()
    reordered = optim.SGD({"c": c, "a": a, "b": b}, lr=0.1, momentum=0.9)
    reordered.load_state_dict(saved)
    assert [slots["velocity"].tolist() for slots in reordered.groups[0].slots] == [[6.0], [2.0], [4.0]]
    listed = optim.SGD([a, b, c], lr=0.1, momentum=0.9)
    listed.load_state_dict(saved)
    assert [slots["velocity"].tolist() for slots in listed.groups[0].slots] == [[2.0], [4.0], [6.0]]
    renamed = optim.SGD({"x": a, "y": b, "z": c}, lr=0.1, momentum=0.9)
    renamed.load_state_dict(listed.state_dict())
    assert [slots["velocity"].tolist() for slots in renamed.groups[0].slots] == [[2.0], [4.0], [6.0]]


def test_a_state_that_does_not_fit_is_refused_whole(T):
    def fresh(**shapes):
        params = {name: T(np.ones(shape), requires_grad=True) for name, shape in shapes.items()}
        return optim.Adam({"net": params}, lr=0.1)

    optimizer = fresh(a=(2,), b=(3,))
    saved = optimizer.state_dict()
    bad = pickle.loads(pickle.dumps(saved))
    bad["groups"][0]["slots"][0]["mean"] = T([1.0, 2.0, 3.0])
    bad["groups"][0]["slots"][0]["square"] = T([1.0, 2.0], "float32")
    del bad["groups"][0]["slots"][1]["steps"]
    bad["groups"][0]["options"]["eps"] = -1.0
    bad["groups"][0]["options"]["epsilon"] = 1.0
    del bad["groups"][0]["options"]["amsgrad"]
    bad["groups"][0]["lr"] = 7.0
    before = pickle.dumps(optimizer.state_dict())
    with pytest.raises(OptimizerError, match=r"Adam\.load_state_dict\(\): the state does not fit:") as caught:
        optimizer.load_state_dict(bad)
    assert sorted(line.strip() for line in str(caught.value).split("\n")[1:]) == [
        "group 0: Adam: eps must be a number, 0 or above; got -1.0",
        "group 0: the option 'amsgrad' is missing",
        "group 0: the option 'epsilon' is unknown",
        "net.a.mean is float64 (3,); expected float64 (2,)",
        "net.a.square is float32 (2,); expected float64 (2,)",
        "net.b: expected the slots steps, mean, square; differing: steps",
    ]
    assert pickle.dumps(optimizer.state_dict()) == before
    with pytest.raises(
        OptimizerError, match=r"(?s)the parameter 'net\.b' is missing.*the parameter 'net\.c' is unknown"
    ):
        optimizer.load_state_dict(fresh(a=(2,), c=(3,)).state_dict())
    with pytest.raises(OptimizerError, match=r"'net\.b' is missing"):
        optimizer.load_state_dict(fresh(a=(2,)).state_dict())
    with pytest.raises(OptimizerError, match=r"Adam\.load_state_dict\(\): this is the state of SGD"):
        optimizer.load_state_dict(optim.SGD([T([1.0], requires_grad=True)]).state_dict())
    with pytest.raises(OptimizerError, match="the state has 2 groups, and the optimizer 1"):
        optimizer.load_state_dict({"groups": saved["groups"] * 2})
    with pytest.raises(OptimizerError, match=r"takes what state_dict\(\) returned; got a dict with the keys \['lr'\]"):
        optimizer.load_state_dict({"lr": 1.0})
    with pytest.raises(OptimizerError, match="got a list"):
        optimizer.load_state_dict([])
    for broken in (None, 3, [None], [{"lr": 1.0}], [{"options": None}]):
        with pytest.raises(OptimizerError, match="a group is a dict with 'lr', 'options', 'params' and 'slots'; got"):
            optimizer.load_state_dict({"groups": broken})
    broken = pickle.loads(pickle.dumps(saved))
    broken["groups"][0]["slots"][1] = 5
    del broken["groups"][0]["options"]["weight_decay"]  # which check() needs
    with pytest.raises(
        OptimizerError, match=r"(?s)option 'weight_decay' is missing.*net\.b: expected a dict of slots; got a int"
    ):
        optimizer.load_state_dict(broken)
    assert pickle.dumps(optimizer.state_dict()) == before
