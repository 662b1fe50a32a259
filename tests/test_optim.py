"""Optimizers: the base class. The rules are in test_optimizers.py."""

from __future__ import annotations

import copy
from collections import namedtuple

import numpy as np
import pytest

import jitrench_core as jt
import jitrench_nn as nn
import jitrench_optim as optim
from jitrench_core.optimizer import OptimizerError


class Sign(jt.Optimizer):
    """The smallest optimizer there is: one rule and no state."""

    def update(self, p, g, lr, slots):
        return p - lr * jt.sign(g), {}


def descend(optimizer, x, steps=1):
    for _ in range(steps):
        optimizer.zero_grad()
        (x * x).sum().backward()
        optimizer.step()


# -- the rules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_float32_parameters_stay_float32(kind, T):
    x = T([1.0, -2.0], "float32", requires_grad=True)
    options = {"momentum": 0.9, "nesterov": True} if kind == "SGD" else {}
    optimizer = getattr(optim, kind)([x], lr=0.1, weight_decay=0.01, **options)
    descend(optimizer, x, 3)
    assert x.dtype == jt.float32
    assert abs(x.tolist()[0]) < 1


def test_adams_first_step_in_float32_is_lr(T):
    """1 - beta2**1 in float32 would be wrong by 6e-5."""
    x = T([1.0], "float32", requires_grad=True)
    optimizer = optim.Adam([x], lr=0.125, eps=0.0)
    descend(optimizer, x)
    assert abs(x.item() - 0.875) < 1e-7


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: optim.SGD(p, lr=-1.0), r"SGD: lr must be a finite number, 0 or above; got -1\.0"),
        (lambda p: optim.SGD(p, lr=float("nan")), "lr must be a finite number"),
        (lambda p: optim.SGD(p, momentum=-0.1), r"momentum must be a number, 0 or above; got -0\.1"),
        (lambda p: optim.SGD(p, nesterov=True), r"nesterov=True needs a momentum above 0"),
        (lambda p: optim.Adam(p, betas=(0.9, 1.0)), r"betas must be two numbers in \[0, 1\)"),
        (lambda p: optim.Adam(p, eps=-1e-8), "eps must be a number, 0 or above; got -1e-08"),
        (lambda p: optim.SGD(p, lr="a"), "SGD: lr must be a finite number, 0 or above; got 'a'"),
        (lambda p: optim.SGD(p, lr=jt.ones(2)), "SGD: lr must be a finite number, 0 or above; got Tensor"),
        (lambda p: optim.SGD(p, lr=None), "SGD: lr must be a finite number, 0 or above; got None"),
        (lambda p: optim.SGD(p, momentum="a"), "SGD: momentum must be a number, 0 or above; got 'a'"),
        (lambda p: optim.Adam(p, betas=0.9), r"betas must be two numbers in \[0, 1\), such as .*; got 0\.9"),
        (lambda p: optim.Adam(p, betas=(0.9, "a")), "Adam: betas must be two numbers"),
        (lambda p: optim.Adam(p, betas=(0.9,)), "Adam: betas must be two numbers"),
        (
            lambda p: optim.SGD(p, momentm=0.9),
            r"SGD has no option 'momentm'; it has lr, .*\. Did you mean 'momentum'\?",
        ),
        (lambda p: optim.Adam(p, momentum=0.9), "Adam has no option 'momentum'; it has lr, betas, eps, weight_decay"),
        (lambda p: Sign(p, rate=0.9), r"Sign has no option 'rate'; it has lr\."),
    ],
)
def test_hyper_parameters_out_of_range(make, message, T):
    with pytest.raises(OptimizerError, match=message) as e:
        make([T([1.0], requires_grad=True)])
    assert isinstance(e.value, jt.JITrenchError)
    assert isinstance(e.value, ValueError)


# -- the base class ---------------------------------------------------------------------------------------------------


Pair = namedtuple("Pair", "a b")


def test_takes_trees_and_iterables(T):
    def make():
        return T([1.0], requires_grad=True)

    a, b, c = make(), make(), make()
    for params in ({"a": a, "b": [b, (c,)]}, [a, b, c], (p for p in (a, b, c)), Pair(a, {"b": b, "c": c})):
        assert [id(p) for p in Sign(params).parameters] == [id(a), id(b), id(c)]
    assert len(Sign(a).parameters) == 1


def test_a_shared_parameter_is_updated_once_and_a_frozen_one_never(T):
    x, frozen = T([2.0], requires_grad=True), T([5.0])
    optimizer = Sign({"a": x, "b": x, "running": frozen}, lr=0.5)
    descend(optimizer, x)
    assert x.tolist() == [1.5]
    assert frozen.tolist() == [5.0]


def test_what_is_no_parameter_is_refused(T):
    x = T([1.0], requires_grad=True)
    with pytest.raises(jt.DTypeError, match=r"Sign takes a tree of Tensors; 'a\.w\.0' is a float"):
        Sign({"a": {"w": [1.0]}})
    with pytest.raises(jt.GradientError, match=r"Sign: the tensor 'h' was computed"):
        Sign({"h": x * 2.0})
    with pytest.raises(jt.GradientError, match=r"Sign: this tensor was computed, so it never has a \.grad"):
        Sign(x * 2.0)
    with pytest.raises(jt.DTypeError, match=r"Sign takes a tree of Tensors; got a float"):
        Sign(1.0)
    with pytest.raises(jt.GradientError, match="1 tensors, none of which requires a gradient"):
        Sign([T([1.0])])
    with pytest.raises(jt.GradientError, match="got no tensor that requires a gradient"):
        Sign([])


def test_a_step_without_gradients_is_refused(T):
    x = T([1.0], requires_grad=True)
    optimizer = Sign([x])
    with pytest.raises(jt.GradientError, match=r"Sign\.step\(\): no parameter has a gradient; call backward\(\)"):
        optimizer.step()


def test_a_parameter_without_a_gradient_is_left_alone(T):
    x, y = T([1.0], requires_grad=True), T([1.0], requires_grad=True)
    optimizer = optim.SGD([x, y], lr=0.1, momentum=0.9, weight_decay=0.5)
    descend(optimizer, x)
    assert y.tolist() == [1.0]
    assert optimizer.state()["slots"][1]["velocity"].tolist() == [0.0]


def test_the_learning_rate_is_a_tensor_that_can_be_set(T, backend):
    x = T([1.0, 2.0], "float32", requires_grad=True)
    optimizer = Sign([x], lr=1)
    rate = optimizer.lr
    assert (rate.dtype, rate.shape, rate.device) == (jt.float64, (), jt.device(backend))
    optimizer.lr = 0.25
    assert optimizer.lr is rate
    assert rate.item() == 0.25
    optimizer.lr *= 2.0
    assert optimizer.lr is rate
    descend(optimizer, x)
    assert x.tolist() == [0.5, 1.5]
    with pytest.raises(OptimizerError, match="lr must be a finite number"):
        optimizer.lr = -1.0


def test_a_step_writes_into_the_same_tensors_and_records_nothing(T):
    x = T([1.0, 2.0], requires_grad=True)
    optimizer = optim.Adam([x])
    slots = optimizer.state()["slots"][0]
    before = x.data
    descend(optimizer, x, 2)
    assert optimizer.parameters[0] is x
    assert x.is_leaf
    assert x.requires_grad
    assert all(value is slots[name] for name, value in optimizer.state()["slots"][0].items())
    assert slots["steps"].item() == 2.0
    assert not any(value.requires_grad for value in slots.values())
    assert x.data is not before  # this test holds it


def test_a_graph_that_lives_across_a_step_keeps_its_values(T):
    x = T([3.0], requires_grad=True)
    y = (x * x).sum()
    other = T([3.0], requires_grad=True)
    x.grad = T([1.0])
    Sign([x], lr=1.0).step()
    x.zero_grad()
    y.backward()
    (other * other).sum().backward()
    assert x.grad.tolist() == other.grad.tolist() == [6.0]


def test_state_is_a_tree_like_the_parameters(T):
    params = {
        "Linear_1": {"weight": T([[1.0]], requires_grad=True), "bias": T([0.0], requires_grad=True)},
        "c": T([1.0]),
    }
    state = optim.Adam(params).state()
    assert list(state) == ["lr", "slots"]
    assert list(state["slots"]["Linear_1"]) == ["weight", "bias"]
    assert list(state["slots"]["Linear_1"]["weight"]) == ["steps", "mean", "square"]
    assert state["slots"]["Linear_1"]["weight"]["mean"].shape == (1, 1)
    assert state["slots"]["c"] == {}


def test_a_run_goes_on_from_its_state_bit_for_bit(T):
    def fresh():
        x = T([1.0, -2.0, 0.5], requires_grad=True)
        return x, optim.Adam({"x": x}, lr=0.1)

    x, optimizer = fresh()
    descend(optimizer, x, 10)
    y, resumed = fresh()
    saved = copy.deepcopy((x.detach(), optimizer.state()))
    descend(optimizer, x, 10)
    with jt.no_grad():
        from jitrench_core.tensor import assign

        assign(y, saved[0])
        assign(resumed.lr, saved[1]["lr"])
        for name, slot in resumed.state()["slots"]["x"].items():
            assign(slot, saved[1]["slots"]["x"][name])
    descend(resumed, y, 10)
    assert y.tolist() == x.tolist()


def test_a_rule_keeps_to_its_declaration(T):
    class Loose(Sign):
        def slots(self, p):
            return {"v": jt.zeros_like(p)}

    class Wide(Sign):
        def update(self, p, g, lr, slots):
            return p - self.lr * g, {}

    class Empty(jt.Optimizer):
        pass

    x = T([1.0], "float32", requires_grad=True)
    x.grad = T([1.0], "float32")
    with pytest.raises(OptimizerError, match="the rule of Loose returned the slots none; expected v"):
        Loose([x]).step()
    with pytest.raises(jt.DTypeError, match="in-place update of a float32 tensor"):
        Wide([x]).step()
    with pytest.raises(NotImplementedError, match="Empty has no rule: write def update"):
        Empty([x]).step()


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            lambda p: p - 1,
            r"update\(\) must return the new value of p, a Tensor, and a dict of its slots; got a Tensor",
        ),
        (lambda p: None, "got a NoneType"),
        (lambda p: (p, None), "got a tuple of Tensor, NoneType"),
        (lambda p: (1.0, {}), "got a tuple of float, dict"),
        (lambda p: (p - 1, {"v": 1.0}), r"update\(\) returned a float as slot 'v'; expected a Tensor"),
    ],
)
def test_what_a_rule_returns(made, message, T):
    """A Tensor of two elements would unpack into two values."""

    class Odd(jt.Optimizer):
        def update(self, p, g, lr, slots):
            return made(p)

    x = T([1.0, 2.0], requires_grad=True)
    x.grad = T([1.0, 1.0])
    with pytest.raises(OptimizerError, match=message):
        Odd([x]).step()
    assert x.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("slots", [{"n": 0}, [], None])
def test_slots_are_tensors_by_name(slots, T):
    class Odd(Sign):
        def slots(self, p):
            return slots

    with pytest.raises(OptimizerError, match=r"Odd\.slots\(\) must return a dict of Tensors by their names; got "):
        Odd([T([1.0], requires_grad=True)])


def test_a_model_is_no_tree_of_tensors():
    """Its fields are options: as a container, a layer would be an empty one."""
    model = nn.Sequential(nn.Linear(3), nn.Linear(1))
    model(jt.ones((2, 4)))
    for given in (model, model[0], [model], {"a": model[0], "b": jt.tensor([1.0], requires_grad=True)}):
        with pytest.raises(jt.DTypeError, match=r"SGD takes a tree of Tensors; .* a \w+: pass its parameters\(\)"):
            optim.SGD(given)


def test_the_registry_knows_them():
    assert jt.registry.optimizers["SGD"] is optim.SGD
    assert jt.registry.optimizers.owners["Adam"] == "optim"
    with pytest.raises(jt.NotFoundError, match=r"no optimizer 'Adm' is installed\. Did you mean 'Adam'"):
        jt.registry.optimizers["Adm"]


def test_an_optimizer_pickles_with_its_parameters(T):
    import pickle

    p = T([1.0, 2.0], requires_grad=True)
    optimizer = optim.Adam([p], lr=0.1)
    (p * p).sum().backward()
    optimizer.step()
    copied = pickle.loads(pickle.dumps(optimizer))
    for each in (optimizer, copied):
        each.zero_grad()
        (each.parameters[0] * 2.0).sum().backward()
        each.step()
    assert copied.parameters[0].tolist() == p.tolist()


def test_a_parameter_frozen_later_is_left_alone(T):
    a, b = T([1.0], requires_grad=True), T([2.0], requires_grad=True)
    optimizer = optim.SGD([a, b], lr=0.1)
    b.requires_grad = False
    (a * b).sum().backward()
    optimizer.step()
    assert (a.tolist(), b.tolist()) == ([0.8], [2.0])


def test_every_kind_of_bad_learning_rate(T):
    p = T([1.0], requires_grad=True)
    for lr in (
        np.float32(-1),
        [0.1, 0.2],
        jt.tensor([0.1]),
        jt.tensor(float("nan")),
        float("inf"),
        True,
        "a",
        jt.tensor(1j),
    ):
        with pytest.raises(OptimizerError, match="lr must be a finite number"):
            optim.SGD([p], lr=lr)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("AdaBelief", ""),
        ("Adm", " Did you mean 'Adam', .*"),
        ("clip_grad_norm_", " Did you mean 'clip_grad_norm', .*"),
        ("lr_scheduler", r" Did you mean 'StepLR'\?"),
    ],
)
def test_a_name_that_is_not_there(name, hint):
    message = rf"no attribute '{name}'\.{hint} It has SGD, Adam, .*; others are subclasses of jt\.Optimizer"
    with pytest.raises(AttributeError, match=message):
        getattr(optim, name)


# -- gradients as a tree ----------------------------------------------------------------------------------------------


def loss_of(params):
    return (params["w"] ** 2).sum() + (params["part"][0] ** 3).sum()


def make_params(T):
    return {"w": T([1.0, -2.0], requires_grad=True), "part": (T(3.0, requires_grad=True), T([5.0]))}


@pytest.mark.parametrize("make", [lambda p: Sign(p, lr=0.5), lambda p: optim.Adam(p, lr=0.5), lambda p: optim.SGD(p)])
def test_a_step_by_a_tree_of_gradients(make, T):
    one, two = make_params(T), make_params(T)
    by_tree, by_grad = make(one), make(two)
    one["w"].grad = T([100.0, 100.0])
    for _ in range(3):
        grads = jt.grad(loss_of)(one)
        by_tree.step(grads)
        by_grad.zero_grad()
        loss_of(two).backward()
        by_grad.step()
    assert one["w"].tolist() == two["w"].tolist()
    assert one["part"][0].item() == two["part"][0].item() != 3.0
    assert one["part"][1].tolist() == [5.0]
    assert one["w"].grad.tolist() == [100.0, 100.0]
    assert one["part"][0].grad is None


def test_gradients_that_are_none(T):
    params = make_params(T)
    optimizer = optim.SGD(params, lr=1.0, weight_decay=1.0)
    optimizer.step({"w": T([1.0, 1.0]), "part": None})
    assert (params["w"].tolist(), params["part"][0].item()) == ([-1.0, -1.0], 3.0)
    optimizer.step({"w": None, "part": (T(1.0), None)})
    assert (params["w"].tolist(), params["part"][0].item()) == ([-1.0, -1.0], -1.0)
    params["w"].requires_grad = False
    with pytest.raises(
        jt.GradientError, match=r"SGD\.step\(\): there is no gradient for any parameter that requires one"
    ):
        optimizer.step({"w": T([1.0, 1.0]), "part": None})


def test_gradients_of_a_tensor_that_occurs_twice_are_added(T):
    x = T([2.0], requires_grad=True)
    params = {"a": x, "b": x}
    optim.SGD(params, lr=0.25).step(jt.grad(lambda p: (p["a"] * p["b"]).sum())(params))
    assert x.tolist() == [1.0]


def test_gradients_of_groups_are_a_list(T):
    a, b, c = (T([1.0], requires_grad=True) for _ in range(3))
    optimizer = optim.SGD([{"params": {"a": a}}, {"params": [b], "lr": 1.0}], lr=0.5)
    optimizer.step([{"a": T([1.0])}, [T([1.0])]])
    assert (a.tolist(), b.tolist()) == ([0.5], [0.0])
    optimizer.add_group(c)
    optimizer.step([{"a": T([1.0])}, None, T([1.0])])
    assert (a.tolist(), b.tolist(), c.tolist()) == ([0.0], [0.0], [0.5])
    for grads, came in (({"a": T([1.0])}, r"a dict with the keys \['a'\]"), ([None], "a list of 1")):
        with pytest.raises(
            OptimizerError, match=f"the gradients of 3 groups are a list with a tree for each; got {came}"
        ):
            optimizer.step(grads)
    alone = optim.SGD([{"params": {"a": a}}], lr=0.5)
    alone.step({"a": T([1.0])})
    assert a.tolist() == [-0.5]


def test_iterables_of_gradients(T):
    a, b = T([1.0], requires_grad=True), T(1.0, requires_grad=True)
    optimizer = Sign({"a": a, "b": b}.values(), lr=0.5)
    for grads in ((T([1.0]), T(1.0)), [T([-1.0]), T(-1.0)], (g for g in (T([1.0]), T(1.0)))):
        optimizer.step(grads)
    assert (a.tolist(), b.item()) == ([0.5], 0.5)
    Sign(b, lr=0.5).step(T(1.0))
    assert b.item() == 0.0


def test_gradients_that_do_not_fit(T):
    params = make_params(T)
    optimizer = optim.Adam(params)
    good = {"w": T([1.0, 1.0]), "part": (T(1.0), None)}
    for grads, error, message in (
        ({"w": T([1.0, 1.0])}, OptimizerError, "need the same structure; without a partner are part.0, part.1"),
        ({**good, "v": T(1.0)}, OptimizerError, "without a partner are v"),
        ({**good, "w": [1.0, 1.0]}, OptimizerError, r"without a partner are w, w\.0, w\.1"),
        (T(1.0), OptimizerError, "need the same structure"),
        (lambda: None, OptimizerError, "takes gradients, and got a function: .*; only LBFGS takes a closure"),
        ({**good, "w": T([1.0])}, jt.ShapeError, r"the gradient of 'w' is \(1,\), and the parameter \(2,\)"),
        ({**good, "w": T([1.0, 1.0], "float32")}, jt.DTypeError, "'w' is float32, and the parameter float64"),
        ({**good, "w": 1.0}, jt.DTypeError, "the gradient of 'w' is a float; expected a Tensor, or None"),
    ):
        with pytest.raises(error, match=rf"Adam\.step\(\)(:| takes) .*{message.removeprefix('takes ')}"):
            optimizer.step(grads)
    assert params["w"].tolist() == [1.0, -2.0]
    assert params["part"][0].item() == 3.0
    with pytest.raises(
        OptimizerError, match=r"LBFGS\.step\(\) needs a closure, .*; got a dict, and gradients at one point"
    ):
        optim.LBFGS(params).step(good)


def test_a_gradient_on_another_device(T, backend):
    other = "numpy" if backend != "numpy" else "strict:device1"
    try:
        g = jt.tensor([1.0], device=other)
    except jt.JITrenchError:
        pytest.skip("there is one device")
    with pytest.raises(jt.DeviceMismatchError, match=f"the gradient of '0' is {g.device}, and the parameter {backend}"):
        Sign([T([1.0], requires_grad=True)]).step([g])


def test_a_recorded_gradient_is_not_written_to(T):
    """Of parameters that require gradients, jt.grad's results are recorded, too."""
    x = T([1.0, 2.0], requires_grad=True)
    grads = jt.grad(lambda x: (x**3).sum())(x)
    optim.SGD(x, lr=1.0, momentum=0.5, weight_decay=1.0).step(grads)
    assert grads.tolist() == [3.0, 12.0]
    (grads.sum()).backward()
    assert x.grad.tolist() == [6.0, 12.0]  # 6 x, where they were computed


# -- messages ---------------------------------------------------------------------------------------------------------


def test_an_option_is_no_attribute(T):
    class Own(jt.Optimizer):
        def __init__(self, params, *, factor=1.0):
            self.factor = factor  # before the base class knows of options
            super().__init__(params, options={"factor": factor})
            self.other = 1

        def update(self, p, g, lr, slots, *, factor):
            return p - factor * g, {}

    x = T([1.0], requires_grad=True)
    optimizer = optim.AdamW([x])
    with pytest.raises(
        OptimizerError, match=r"AdamW: 'weight_decay' is an option of the groups: set optimizer\.groups\[0\]\.options"
    ):
        optimizer.weight_decay = 0.5
    with pytest.raises(AttributeError, match=r"AdamW has no attribute 'betas': it is an option of the groups"):
        optimizer.betas
    with pytest.raises(
        AttributeError, match=r"no attribute 'param_groups': the groups are optimizer\.groups; each has \.params"
    ):
        optimizer.param_groups
    with pytest.raises(AttributeError, match="'AdamW' object has no attribute 'moment'"):
        optimizer.moment
    assert not hasattr(optimizer, "weight_decay")
    optimizer.note = "mine"
    own = Own([x], factor=0.5)
    assert (own.factor, own.other, own.groups[0].options["factor"]) == (0.5, 1, 0.5)
    own.factor = 0.25  # its update is its own, and may read it
    assert (own.factor, own.groups[0].options["factor"]) == (0.25, 0.5)
    with pytest.raises(OptimizerError, match="LBFGS: 'max_iter' is an option of the groups"):
        optim.LBFGS([x]).max_iter = 3


def test_a_subclass_may_keep_an_option_as_its_attribute(T):
    class Own(jt.Optimizer):
        def __init__(self, params, *, k=1.0):
            super().__init__(params, options={"k": k})
            self.k = k

        def update(self, p, g, lr, slots, *, k):
            return p - self.k * g, {}

    x = T([1.0], requires_grad=True)
    own = Own([x], k=0.5)
    own.step([T([1.0])])
    assert (own.k, x.tolist()) == (0.5, [0.5])


def test_an_option_that_is_an_array(T):
    class Own(jt.Optimizer):
        def __init__(self, params, *, mask=None):
            super().__init__(params, options={"mask": mask})

        def slots(self, p, *, mask):
            return {"noise": jt.random.normal(p.shape).to(p.device)}

        def update(self, p, g, lr, slots, *, mask):
            return p - mask * g, slots

    x = T([1.0, 2.0], requires_grad=True)
    for mask in (T([0.0, 1.0]), np.array([0.0, 1.0])):
        own = Own([x], mask=mask)
        assert "mask=" in repr(own)
    jt.random.seed(3)
    expected = jt.random.uniform((2,)).tolist()
    noise = own.groups[0].slots[0]["noise"].tolist()
    jt.random.seed(3)
    own.groups[0].options["mask"] = T([1.0, 1.0])  # makes slots anew to see whether others are needed
    assert jt.random.uniform((2,)).tolist() == expected
    assert own.groups[0].slots[0]["noise"].tolist() == noise


@pytest.mark.parametrize(
    "name", ["SGD", "Adam", "NAdam", "RAdam", "Adamax", "LAMB", "RMSprop", "Adagrad", "Lion", "Adafactor"]
)
def test_what_is_true_or_false(name, T):
    x = T([[1.0]], requires_grad=True)
    for value in ("yes", 1, None):
        with pytest.raises(OptimizerError, match=f"{name}: maximize must be True or False; got {value!r}"):
            getattr(optim, name)([x], maximize=value)
        with pytest.raises(OptimizerError, match=f"{name}: maximize must be True or False"):
            getattr(optim, name)([{"params": x, "maximize": value}])


def test_params_that_are_missing_or_have_names(T):
    with pytest.raises(
        OptimizerError, match=r"groups are dicts with a key 'params', and group 0 is a dict of \['lr'\]"
    ):
        optim.SGD([{"lr": 1}])
    x = T([1.0], requires_grad=True)
    with pytest.raises(OptimizerError, match=r"group 1 is a dict of \['param', 'momentum'\]"):
        optim.SGD([{"params": T([1.0], requires_grad=True)}, {"param": x, "momentum": 0.9}])
    with pytest.raises(
        jt.DTypeError, match=r"'0\.0' is a str: of named_parameters\(\) pass the parameters\(\) alone, or a dict"
    ):
        optim.SGD([("w", T([1.0], requires_grad=True))])
    layers = [{"lr": T([1.0], requires_grad=True)}]  # of that name, but a parameter
    assert len(optim.SGD(layers).parameters) == 1


def test_parameters_that_were_replaced(T):
    x = T([1.0], requires_grad=True)
    optimizer = optim.SGD([x])
    x = x.detach()
    x.requires_grad = True
    (x * x).sum().backward()
    with pytest.raises(
        jt.GradientError, match=r"others have taken their place since, by model\.to\(\) for example: make the"
    ):
        optimizer.step()


def test_options_of_pytorch_that_are_not_needed(T):
    for name in ("foreach", "fused"):
        with pytest.raises(
            OptimizerError, match=f"Adam has no option '{name}'; .* PyTorch's choice of an implementation is not needed"
        ):
            optim.Adam([T([1.0], requires_grad=True)], **{name: True})


def test_an_optimizer_shows_its_groups(T):
    a, b = T([1.0], requires_grad=True), T([2.0], requires_grad=True)
    assert repr(optim.SGD([a, b], lr=0.5, momentum=0.9)) == "SGD(2 parameters, lr=0.5, momentum=0.9)"
    assert repr(optim.AMSGrad([a])) == "AMSGrad(1 parameter, lr=0.001)"
    several = optim.Adam([{"params": [a]}, {"params": [b], "lr": 0.25, "betas": [0.5, 0.9]}])
    assert repr(several) == "Adam(1 parameter, lr=0.001; 1 parameter, lr=0.25, betas=(0.5, 0.9))"
    assert repr(Sign([a])) == "Sign(1 parameter, lr=0.001)"


def test_options_that_are_handed_on_one_by_one():
    class Heavy(jt.Optimizer):
        def __init__(self, params, *, lr=0.1, momentum=0.9):
            super().__init__(params, lr=lr, momentum=momentum)

    with pytest.raises(OptimizerError, match=r"Heavy.__init__ passes 'momentum' .* options=\{'momentum': momentum\}\)"):
        Heavy([jt.tensor([1.0], requires_grad=True)])
