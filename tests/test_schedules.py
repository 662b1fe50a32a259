"""Schedules of the learning rate, against PyTorch's (tests/data/make_schedules_reference.py)."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest

import jitrench_core as jt
import jitrench_optim as optim
from jitrench_core.optimizer import OptimizerError

REFERENCE = json.loads((Path(__file__).parent / "data" / "schedules_reference.json").read_text(encoding="utf-8"))
CASES, PLATEAUS = REFERENCE["cases"], REFERENCE["plateaus"]
METRICS = [float(m) for m in REFERENCE["metrics"]]


def make_optimizer(kind="SGD", lrs=tuple(REFERENCE["lrs"]), device=None):
    groups = [{"params": [jt.tensor([0.0], device=device, requires_grad=True)], "lr": lr} for lr in lrs]
    return getattr(optim, kind)(groups, **({"momentum": 0.9} if kind == "SGD" else {}))


def build(optimizer, name, options):
    options = dict(options)
    if "schedulers" in options:
        options["schedulers"] = [build(optimizer, *spec) for spec in options["schedulers"]]
    return getattr(optim, name)(optimizer=optimizer, **options)


def rates(optimizer):
    return [group.lr.item() for group in optimizer.groups]


def momenta(optimizer):
    return [o["betas"][0] if "betas" in (o := group.options) else o["momentum"] for group in optimizer.groups]


def same(actual, expected, tol=1e-12):
    np.testing.assert_allclose(actual, expected, rtol=tol, atol=1e-15)


@pytest.mark.parametrize("name", CASES)
def test_the_rates_are_pytorchs(name, backend):
    case = CASES[name]
    optimizer = make_optimizer(case.get("optimizer", "SGD"), device=backend)
    schedule = build(optimizer, case["schedule"], case["options"])
    for step, expected in enumerate(case["rates"]):
        if step:
            schedule.step()
        same(rates(optimizer), expected)
        assert schedule.get_last_lr() == rates(optimizer)
        if "momenta" in case:
            same(momenta(optimizer), case["momenta"][step])
        if rate := case.get("set", {}).get(str(step)):
            optimizer.lr = rate


@pytest.mark.parametrize("name", [name for name in CASES if "set" not in CASES[name]])
def test_rates_are_known_beforehand(name):
    case = CASES[name]
    schedule = build(make_optimizer(case.get("optimizer", "SGD")), case["schedule"], case["options"])
    same([schedule.rates(step) for step in range(len(case["rates"]))], case["rates"])
    assert schedule.last_epoch == 0


@pytest.mark.parametrize("name", PLATEAUS)
def test_plateaus_are_pytorchs(name):
    optimizer = make_optimizer()
    schedule = optim.ReduceLROnPlateau(optimizer, **PLATEAUS[name]["options"])
    for metric, expected in zip(METRICS, PLATEAUS[name]["rates"], strict=True):
        schedule.step(metric)
        same(rates(optimizer), expected)
        assert schedule.get_last_lr() == rates(optimizer)


def test_warm_restarts_may_be_stepped_to_parts_of_epochs():
    optimizer = make_optimizer()
    schedule = optim.CosineAnnealingWarmRestarts(optimizer, T_0=3, T_mult=2)
    for i, expected in enumerate(REFERENCE["fractions"]):
        schedule.step(i / 3)
        same(rates(optimizer)[0], expected)


# -- what PyTorch has otherwise, or not at all ------------------------------------------------------------------------


def test_each_group_has_its_own_function():
    optimizer = make_optimizer()
    schedule = optim.LambdaLR(optimizer, [lambda step: 1 / (1 + step), lambda step: 0.5**step])
    schedule.step()
    schedule.step()
    assert rates(optimizer) == [0.5 / 3, 0.02 / 4]
    one = optim.LambdaLR(make_optimizer(), lambda step: 2.0)
    assert one.rates(0) == [1.0, 0.04]


def test_warm_up_and_cosine():
    optimizer = make_optimizer(lrs=(1.0,))
    schedule = optim.WarmupCosineLR(optimizer, warmup_steps=4, total_steps=10, eta_min=0.1)
    same([schedule.rates(t)[0] for t in range(5)], [0.2, 0.4, 0.6, 0.8, 1.0])
    same(schedule.rates(7)[0], 0.55)  # half of the way down
    assert schedule.rates(10) == schedule.rates(1000) == [0.1]
    assert optim.WarmupCosineLR(make_optimizer(lrs=(1.0,)), 0, 10).rates(0) == [1.0]


def test_a_chain_with_a_cosine_to_a_minimum_stays_above_it():
    """The rate of one is the base of the next: PyTorch's recursion comes to about 3e-4 here."""
    optimizer = make_optimizer(lrs=(1.0,))
    schedule = optim.ChainedScheduler(
        [optim.ExponentialLR(optimizer, 0.9), optim.CosineAnnealingLR(optimizer, 20, eta_min=0.05)]
    )
    for t in range(21):
        same(rates(optimizer), [0.05 + (0.9**t - 0.05) * (1 + math.cos(math.pi * t / 20)) / 2])
        schedule.step()


def test_schedules_nest():
    optimizer = make_optimizer(lrs=(1.0,))
    warm = optim.LinearLR(optimizer, 0.5, total_iters=2)
    both = optim.ChainedScheduler([optim.ExponentialLR(optimizer, 0.5), optim.StepLR(optimizer, 2, gamma=0.1)])
    schedule = optim.SequentialLR(optimizer, [warm, both], [2])
    found = []
    for _ in range(6):
        found.append(rates(optimizer)[0])
        schedule.step()
    same(found, [0.5, 0.75, 1.0, 0.5, 0.025, 0.0125])


def test_schedules_that_are_stepped_in_turn_multiply():
    optimizer = make_optimizer(lrs=(1.0,))
    first, second = optim.ExponentialLR(optimizer, 0.5), optim.StepLR(optimizer, 2, gamma=0.1)
    for t in range(1, 6):
        first.step()
        second.step()
        same(rates(optimizer), [0.5**t * 0.1 ** (t // 2)])


def test_a_plateau_beside_a_warm_up():
    optimizer = make_optimizer(lrs=(1.0,))
    warm, plateau = (
        optim.LinearLR(optimizer, 0.25, total_iters=3),
        optim.ReduceLROnPlateau(optimizer, factor=0.1, patience=0),
    )
    plateau.step(1.0)
    plateau.step(2.0)
    for _ in range(5):
        warm.step()
    same(rates(optimizer), [0.1])


def test_a_rate_of_zero_is_left_by_the_schedule():
    optimizer = make_optimizer(lrs=(1.0,))
    schedule = optim.CosineAnnealingLR(optimizer, 4)
    for _ in range(8):
        schedule.step()
    assert rates(optimizer) == [1.0]  # through exactly 0, and up again
    optimizer.lr = 0.0
    schedule.step()
    assert rates(optimizer) == [0.0]
    schedule.step()
    assert rates(optimizer) == [0.0]  # that is what somebody else wanted


def test_a_second_schedule_begins_with_the_rates_before_the_first():
    optimizer = make_optimizer(lrs=(1.0,))
    optim.LinearLR(optimizer, 0.25)
    assert rates(optimizer) == [0.25]
    assert optim.StepLR(optimizer, 5).base_lrs == [1.0]
    optimizer.lr = 0.5
    assert optim.StepLR(optimizer, 5).base_lrs == [0.5]


def test_a_group_that_is_added_later_takes_part():
    optimizer = make_optimizer(lrs=(1.0,))
    schedule = optim.ExponentialLR(optimizer, 0.5)
    schedule.step()
    optimizer.add_group([jt.tensor([0.0], requires_grad=True)], lr=0.8)
    schedule.step()
    assert rates(optimizer) == [0.25, 0.2]


def test_a_rule_of_ones_own():
    class InverseSqrt(optim.Schedule):
        def rate(self, step, base):
            return base / math.sqrt(1 + step)

    class Nothing(optim.Schedule):
        pass

    optimizer = make_optimizer(lrs=(1.0,))
    schedule = InverseSqrt(optimizer)
    for _ in range(3):
        schedule.step()
    assert rates(optimizer) == [0.5]
    with pytest.raises(NotImplementedError, match=r"schedule Nothing has no rule: write def rate\(self, step, base\)"):
        Nothing(optimizer)


def test_the_rate_is_what_the_next_step_uses(T):
    x = T([0.0], requires_grad=True)
    optimizer = optim.SGD([x], lr=1.0)
    schedule = optim.ExponentialLR(optimizer, 0.5)
    moved = []
    for _ in range(3):
        optimizer.zero_grad()
        x.sum().backward()
        optimizer.step()
        schedule.step()
        moved.append(x.item())
    assert moved == [-1.0, -1.5, -1.75]


# -- resuming ---------------------------------------------------------------------------------------------------------


def through_a_file(state):
    """As a file may keep it: lists as dicts, and numbers as 0-d Tensors."""
    if isinstance(state, dict):
        return {key: through_a_file(value) for key, value in state.items()}
    if isinstance(state, list):
        return {str(i): through_a_file(value) for i, value in enumerate(state)}
    return jt.tensor(state) if isinstance(state, float) else state


@pytest.mark.parametrize(
    "way", [copy.deepcopy, lambda s: json.loads(json.dumps(s)), through_a_file], ids=["copy", "json", "file"]
)
@pytest.mark.parametrize("name", CASES)
def test_a_run_goes_on_exactly(name, way):
    case = CASES[name]

    def fresh():
        optimizer = make_optimizer(case.get("optimizer", "SGD"))
        return optimizer, build(optimizer, case["schedule"], case["options"])

    def go(optimizer, schedule, steps):
        found = []
        for step in steps:
            schedule.step()
            if rate := case.get("set", {}).get(str(step)):
                optimizer.lr = rate
            found.append((rates(optimizer), momenta(optimizer), schedule.last_epoch))
        return found

    optimizer, schedule = fresh()
    go(optimizer, schedule, range(1, 11))
    state = way(schedule.state_dict())
    resumed = fresh()
    resumed[1].load_state_dict(state)
    assert rates(resumed[0]) == rates(optimizer)
    assert go(*resumed, range(11, 41)) == go(optimizer, schedule, range(11, 41))


@pytest.mark.parametrize("name", PLATEAUS)
def test_a_plateau_goes_on_exactly(name):
    options = PLATEAUS[name]["options"]
    optimizer = make_optimizer()
    schedule = optim.ReduceLROnPlateau(optimizer, **options)
    for metric in METRICS[:17]:
        schedule.step(metric)
    resumed = optim.ReduceLROnPlateau(make_optimizer(), **options)
    resumed.load_state_dict(through_a_file(schedule.state_dict()))
    for metric in METRICS[17:]:
        schedule.step(metric)
        resumed.step(metric)
        assert rates(resumed.optimizer) == rates(optimizer)


def test_states_that_do_not_fit():
    schedule = optim.StepLR(make_optimizer(), 3)
    with pytest.raises(
        OptimizerError,
        match=r"StepLR\.load_state_dict: expected the state_dict\(\) of a StepLR; got that of ExponentialLR",
    ):
        schedule.load_state_dict(optim.ExponentialLR(make_optimizer(), 0.9).state_dict())
    with pytest.raises(OptimizerError, match="got that of something else"):
        schedule.load_state_dict({})
    with pytest.raises(OptimizerError, match="got that of something else"):
        schedule.load_state_dict(3)
    with pytest.raises(OptimizerError, match=r"the optimizer has 2 groups; the state is of 1"):
        schedule.load_state_dict(optim.StepLR(make_optimizer(lrs=(1.0,)), 3).state_dict())


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: optim.StepLR(3, 3), "StepLR: the first argument must be an optimizer; got a int"),
        (lambda o: optim.OneCycleLR([1], 3, 5), "OneCycleLR: the first argument must be an optimizer; got a list"),
        (lambda o: optim.CyclicLR(None, 3, 4), "CyclicLR: the first argument must be an optimizer; got a NoneType"),
        (lambda o: optim.LambdaLR(None, abs), "LambdaLR: the first argument must be an optimizer"),
        (lambda o: optim.ReduceLROnPlateau(None), "ReduceLROnPlateau: the first argument must be an optimizer"),
        (lambda o: optim.StepLR(o, 0), r"StepLR: step_size must be a whole number from 1; got 0"),
        (lambda o: optim.StepLR(o, 1.5), r"step_size must be a whole number from 1; got 1\.5"),
        (lambda o: optim.StepLR(o, True), "step_size must be a whole number from 1; got True"),
        (lambda o: optim.StepLR(o, 3, gamma=-1), "StepLR: gamma must be a number from 0; got -1"),
        (lambda o: optim.ExponentialLR(o, float("nan")), "ExponentialLR: gamma must be a number from 0; got nan"),
        (lambda o: optim.MultiStepLR(o, [1, 2.5]), r"MultiStepLR: a milestone must be a whole number from 0; got 2\.5"),
        (lambda o: optim.MultiStepLR(o, 3), "MultiStepLR: milestones must be a list of whole numbers; got 3"),
        (lambda o: optim.ConstantLR(o, factor=2), r"ConstantLR: factor must be a number in \[0, 1\]; got 2"),
        (lambda o: optim.LinearLR(o, start_factor=0), r"LinearLR: start_factor must be a number in \(0, 1\]; got 0"),
        (lambda o: optim.LinearLR(o, end_factor=1.5), r"LinearLR: end_factor must be a number in \[0, 1\]; got 1\.5"),
        (lambda o: optim.LinearLR(o, total_iters=0), "LinearLR: total_iters must be a whole number from 1"),
        (lambda o: optim.PolynomialLR(o, power=-1), "PolynomialLR: power must be a number from 0; got -1"),
        (lambda o: optim.CosineAnnealingLR(o, 0), "CosineAnnealingLR: T_max must be a whole number from 1; got 0"),
        (lambda o: optim.CosineAnnealingLR(o, 5, "a"), "CosineAnnealingLR: eta_min must be a number from 0; got 'a'"),
        (lambda o: optim.CosineAnnealingWarmRestarts(o, 5, 0), "T_mult must be a whole number from 1; got 0"),
        (lambda o: optim.WarmupCosineLR(o, 5, 5), "WarmupCosineLR: total_steps must be a whole number from 6; got 5"),
        (lambda o: optim.WarmupCosineLR(o, -1, 5), "WarmupCosineLR: warmup_steps must be a whole number from 0; got -1"),
        (lambda o: optim.LambdaLR(o, 3), "LambdaLR: lr_lambda must be a function of the step; got 3"),
        (lambda o: optim.LambdaLR(o, [abs]), "LambdaLR: 1 values of lr_lambda came for 2 groups"),
        (lambda o: optim.OneCycleLR(o, 0.1), "OneCycleLR needs total_steps, or epochs and steps_per_epoch"),
        (lambda o: optim.OneCycleLR(o, 0.1, epochs=3), "OneCycleLR needs total_steps, or epochs and steps_per_epoch"),
        (lambda o: optim.OneCycleLR(o, -0.1, 10), "OneCycleLR: max_lr must be a number from 0, or one for each group; got -0.1"),
        (lambda o: optim.OneCycleLR(o, [0.1, 0.1, 0.1], 10), "OneCycleLR: 3 values of max_lr came for 2 groups"),
        (lambda o: optim.OneCycleLR(o, 0.1, 10, pct_start=2.0), r"pct_start must be a number in \[0, 1\]; got 2\.0"),
        (lambda o: optim.OneCycleLR(o, 0.1, 10, anneal_strategy="cosine"), "anneal_strategy must be one of 'cos', 'linear'; got 'cosine'"),
        (lambda o: optim.OneCycleLR(o, 0.1, 10, div_factor=0), "div_factor must be a number above 0; got 0"),
        (lambda o: optim.CyclicLR(o, 0.1, 1.0, mode="square"), "CyclicLR: mode must be one of 'triangular', 'triangular2', 'exp_range'"),
        (lambda o: optim.CyclicLR(o, 0.1, 1.0, scale_fn=3), "CyclicLR: scale_fn must be a function; got 3"),
        (lambda o: optim.CyclicLR(o, 0.1, 1.0, 0), "CyclicLR: step_size_up must be a whole number from 1; got 0"),
        (lambda o: optim.SequentialLR(o, [], []), r"SequentialLR: schedulers must be a list of one or more schedules; got \[\]"),
        (lambda o: optim.SequentialLR(o, [3], []), r"SequentialLR: schedulers\[0\] is a int, no schedule"),
        (lambda o: optim.SequentialLR(o, [optim.StepLR(o, 3)], [3]), "1 schedules need 0 milestones; got 1"),
        (
            lambda o: optim.SequentialLR(o, [optim.StepLR(o, 3)] * 3, [5, 3]),
            r"SequentialLR: milestones must ascend; got \[5, 3\]",
        ),
        (
            lambda o: optim.ChainedScheduler([optim.StepLR(o, 3), optim.StepLR(make_optimizer(), 3)]),
            r"ChainedScheduler: schedulers\[1\] belongs to another optimizer",
        ),
        (lambda o: optim.ChainedScheduler([]), "ChainedScheduler: schedulers must be a list of one or more"),
        (
            lambda o: optim.ChainedScheduler([optim.StepLR(o, 3), optim.ReduceLROnPlateau(o)]),
            r"schedulers\[1\] is a ReduceLROnPlateau, which needs a metric: step it beside",
        ),
        (lambda o: optim.ReduceLROnPlateau(o, factor=1.0), r"ReduceLROnPlateau: factor must be a number in \[0, 1\); got 1\.0"),
        (lambda o: optim.ReduceLROnPlateau(o, "low"), "ReduceLROnPlateau: mode must be one of 'min', 'max'; got 'low'"),
        (lambda o: optim.ReduceLROnPlateau(o, patience=-1), "patience must be a whole number from 0; got -1"),
        (lambda o: optim.ReduceLROnPlateau(o, min_lr=[0.1]), "1 values of min_lr came for 2 groups"),
        (lambda o: optim.ReduceLROnPlateau(o).step("low"), r"ReduceLROnPlateau\.step: the metric must be a number; got 'low'"),
        (lambda o: optim.StepLR(o, 3).step(-1), r"StepLR\.step: epoch must be a number, 0 or above; got -1"),
    ],
)  # fmt: skip
def test_options_out_of_range(make, message):
    with pytest.raises(OptimizerError, match=message):
        make(make_optimizer())


def test_a_cycle_needs_a_momentum_to_cycle():
    x = jt.tensor([0.0], requires_grad=True)

    class Sign(jt.Optimizer):
        def update(self, p, g, lr, slots):
            return p - lr * jt.sign(g), {}

    with pytest.raises(
        OptimizerError, match="OneCycleLR: Sign has neither momentum nor betas to cycle: pass cycle_momentum=False"
    ):
        optim.OneCycleLR(Sign([x]), 0.1, 10)
    optim.OneCycleLR(Sign([x]), 0.1, 10, cycle_momentum=False)
    with pytest.raises(
        OptimizerError,
        match=r"CyclicLR: SGD was made with momentum=0, so it keeps no velocity to cycle: make it with momentum=0\.9",
    ):
        optim.CyclicLR(optim.SGD([x]), 0.1, 1.0)
    optim.CyclicLR(optim.SGD([x]), 0.1, 1.0, cycle_momentum=False)


def test_a_cycled_momentum_is_what_the_next_step_uses(T):
    x = T([0.0], requires_grad=True)
    optimizer = optim.SGD([x], lr=1.0, momentum=0.9)
    schedule = optim.OneCycleLR(
        optimizer, [1.0], 4, pct_start=0.5, anneal_strategy="linear", base_momentum=0.5, max_momentum=1.0
    )
    velocity, at = 0.0, 0.0
    for step in range(4):
        optimizer.zero_grad()
        x.sum().backward()
        velocity = schedule.momenta(step)[0] * velocity + 1.0
        at -= schedule.rates(step)[0] * velocity
        optimizer.step()
        schedule.step()
        assert abs(x.item() - at) < 1e-12


def test_a_cycle_that_is_over():
    """A loop steps the schedule after the last step, too; PyTorch's rate would be below 0 then."""
    schedule = optim.OneCycleLR(
        make_optimizer(), 0.1, total_steps=3, anneal_strategy="linear", div_factor=10.0, final_div_factor=10.0
    )
    for _ in range(3):
        schedule.step()
    same(schedule.get_last_lr(), [0.001, 0.001])
    with pytest.raises(OptimizerError, match="OneCycleLR is over: step 4 of 3 steps in all"):
        schedule.step()
