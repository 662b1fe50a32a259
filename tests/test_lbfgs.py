"""L-BFGS: the points of torch.optim.LBFGS (tests/data/make_lbfgs_reference.py), known minima, and what stops it."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import pytest

import jitrench_core as jt
import jitrench_optim as optim
from jitrench_core.optimizer import OptimizerError

REFERENCE = json.loads((Path(__file__).parent / "data" / "lbfgs_reference.json").read_text(encoding="utf-8"))
CASES = REFERENCE["cases"]
WOLFE = {"line_search_fn": "strong_wolfe"}


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def start(n):
    return [(-1.2, 1.0)[i % 2] for i in range(n)]


def problem(name, T):
    """Parameters, the loss of one of the cases, and the options."""
    case = CASES[name]
    options = dict(case["options"])
    if case["problem"] == "rosenbrock":
        x = T(start(options.pop("n")), requires_grad=True)
        return [x], lambda: rosenbrock(x), options
    x, y = (T(REFERENCE["data"][key]) for key in ("x", "y"))
    weight, bias = (T(REFERENCE["data"][key], requires_grad=True) for key in ("weight", "bias"))

    def loss():
        ridge = (weight**2).sum() + (bias**2).sum()
        return jt.mean(jt.square(jt.tanh(x @ weight.mT + bias) - y)) + 0.01 * ridge

    return [weight, bias], loss, options


def closure_of(optimizer, loss):
    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    return closure


@pytest.mark.parametrize("name", CASES)
def test_the_points_are_pytorchs(name, T, close):
    params, loss, options = problem(name, T)
    optimizer = optim.LBFGS(params, **options)
    closure = closure_of(optimizer, loss)
    for expected in CASES[name]["after"]:
        assert abs(optimizer.step(closure).item() - expected["loss"]) <= 1e-6
        assert optimizer.memory.evaluations == expected["evaluations"]
        for p, value in zip(params, expected["params"], strict=True):
            close(
                p, value, tol=1e-6
            )  # the last bits of dot products differ, and what is done with them makes them larger


@pytest.mark.parametrize("n", [2, 50])
def test_rosenbrock_to_the_last_digits(n, T, close):
    x = T(start(n), requires_grad=True)
    optimizer = optim.LBFGS([x], tolerance_grad=1e-8, tolerance_change=0.0)
    found = optimizer.minimize(lambda: rosenbrock(x))
    assert found.reason == "gradient"
    assert found.converged
    assert found.gradient <= 1e-8
    assert found.loss == rosenbrock(x).item()
    (g,) = [jt.grad(rosenbrock)(x)]
    assert jt.max(jt.abs(g)).item() == found.gradient
    close(x, [1.0] * n, tol=1e-7)


def test_minimize_takes_losses_and_closures(T):
    """A function that calls backward() itself gives the same."""
    points = []
    for kind in (lambda o, f: f, closure_of):
        x = T(start(2), requires_grad=True)
        optimizer = optim.LBFGS([x])
        found = optimizer.minimize(kind(optimizer, lambda x=x: rosenbrock(x)))
        points.append((found, x.tolist()))
    assert points[0] == points[1]


def test_a_quadratic_in_one_step_of_newton(T, close):
    """With one parameter the second step is the secant's: exact for a parabola."""
    x = T(5.0, requires_grad=True)
    found = optim.LBFGS([x]).minimize(lambda: 3 * (x - 2) ** 2 + 1)
    close(x, 2.0)
    assert found.loss == 1.0
    assert found.iterations <= 3


def test_parameters_of_all_shapes(T, close):
    params = {"a": T(3.0, requires_grad=True), "b": T([[1.0, 2.0], [3.0, 4.0]], requires_grad=True), "fixed": T([2.0])}
    empty, idle = T([], requires_grad=True), T([7.0], requires_grad=True)
    optimizer = optim.LBFGS([*params.values(), empty, idle], **WOLFE)
    found = optimizer.minimize(lambda: (params["a"] - 1) ** 2 + ((params["b"] - params["fixed"]) ** 2).sum())
    assert found.converged
    close(params["a"], 1.0, tol=1e-6)
    close(params["b"], [[2.0, 2.0], [2.0, 2.0]], tol=1e-6)
    assert params["fixed"].tolist() == [2.0]
    assert idle.tolist() == [7.0]  # the loss does not know it


def test_float32(T):
    x = T(start(2), "float32", requires_grad=True)
    optimizer = optim.LBFGS([x], tolerance_grad=1e-4)
    optimizer.minimize(lambda: rosenbrock(x))
    assert x.dtype == jt.float32
    assert all(v.dtype == jt.float32 for v in optimizer.memory.steps)
    assert max(abs(v - 1) for v in x.tolist()) < 1e-2


def test_what_stops_it(T):
    def run(f, x0=(-1.2, 1.0), max_iter=1000, max_eval=None, **options):
        x = T(list(x0), requires_grad=True)
        return optim.LBFGS([x], **options).minimize(lambda: f(x), max_iter=max_iter, max_eval=max_eval)

    assert run(rosenbrock, max_iter=3)[1::2] == ("max_iter", 3)
    assert run(rosenbrock, max_eval=10).reason == "max_eval"
    assert not run(rosenbrock, max_eval=10).converged
    assert run(rosenbrock, tolerance_grad=0.0).reason == "change"
    at_minimum = run(rosenbrock, x0=(1.0, 1.0))
    assert at_minimum == (0.0, "gradient", 0.0, 0, 1)
    rough = run(lambda x: (x**2).sum() + 0.0 * x.sum() - 2 * x.detach().sum(), tolerance_grad=0.0, tolerance_change=0.0)
    assert rough.reason == "line_search"  # the gradient is not that of the loss


@pytest.mark.parametrize("wall", [math.inf, math.nan])
def test_a_trial_where_the_loss_is_not_finite_is_too_far(wall, T, close):
    """x - log(x), from where the first step goes far below 0."""
    x = T([5.0], requires_grad=True)
    seen = []

    def loss():
        value = jt.where(x > 0, x - jt.log(jt.abs(x)), wall).sum()
        seen.append(value.item())
        return value

    found = optim.LBFGS([x], lr=70.0).minimize(loss)
    assert not math.isfinite(seen[1])
    assert found.converged
    close(x, [1.0], tol=1e-5)


def test_no_finite_trial_at_all(T):
    x = T([5.0], requires_grad=True)
    found = optim.LBFGS([x]).minimize(lambda: jt.where(x == 5.0, x, math.nan).sum())
    assert found == (5.0, "line_search", 1.0, 1, 27)
    assert x.tolist() == [5.0]


def test_a_search_that_ends_at_a_wall_keeps_what_it_found(T):
    """Ever steeper down to where there is nothing: no trial is flat enough, and the last ones are NaN."""
    x = T([3.0, 2.0], requires_grad=True)
    found = optim.LBFGS([x]).minimize(lambda: jt.where(x > 0, jt.sqrt(jt.abs(x)), math.nan).sum())
    assert found.loss < 1.2 < 3.1  # where it began
    assert math.isclose(found.loss, sum(math.sqrt(value) for value in x.tolist()))


def test_a_hole_inside_the_bracket(T, close):
    """NaN between two points that are finite is above both."""
    x = T([0.0], requires_grad=True)

    def loss():
        return jt.where((x > 0.4) & (x < 1.9), math.nan, (x - 2.0) ** 2 + 5.0 * jt.relu(x - 2.5) ** 2).sum()

    found = optim.LBFGS([x], lr=8.0).minimize(loss)
    assert math.isfinite(found.loss)
    assert found.loss < 4.0


def test_a_closure_that_raises_leaves_the_last_iterations_point(T):
    x = T([-1.2, 1.0], requires_grad=True)
    optimizer, points = optim.LBFGS([x]), []

    def closure():
        if len(points) == 5:
            raise KeyboardInterrupt
        optimizer.zero_grad()
        loss = 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
        loss.backward()
        points.append(x.tolist())
        return loss

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    assert x.tolist() == points[-1]


def test_losses_of_one_element_and_frozen_parameters(T):
    x, y = T([3.0], requires_grad=True), T([2.0], requires_grad=True)
    optimizer = optim.LBFGS([x, y])
    y.requires_grad = False
    assert optimizer.minimize(lambda: (x - 1.0) ** 2 + y**2).converged  # a loss of shape (1,)
    assert (x.tolist(), y.tolist()) == ([1.0], [2.0])


def test_a_learning_rate_of_zero_goes_nowhere(T):
    x = T([3.0], requires_grad=True)
    assert optim.LBFGS([x], lr=0.0).minimize(lambda: (x * x).sum()).reason == "line_search"
    assert x.tolist() == [3.0]


def test_a_graph_keeps_its_values(T):
    x = T(start(2), requires_grad=True)
    y = rosenbrock(x)
    optim.LBFGS([x]).minimize(lambda: rosenbrock(x))
    x.zero_grad()
    y.backward()
    assert x.grad.tolist() == jt.grad(rosenbrock)(T(start(2))).tolist()


# -- resuming ---------------------------------------------------------------------------------------------------------


def through_a_file(state):
    if isinstance(state, dict):
        return {key: through_a_file(value) for key, value in state.items()}
    if isinstance(state, list):
        return {str(i): through_a_file(value) for i, value in enumerate(state)}
    return jt.tensor(state) if isinstance(state, float) else state


@pytest.mark.parametrize("way", [copy.deepcopy, through_a_file], ids=["copy", "file"])
@pytest.mark.parametrize("name", ["plain_long", "wolfe_short_memory"])
@pytest.mark.parametrize("before", [0, 1, 6])
def test_a_run_goes_on_bit_for_bit(name, before, way, T):
    params, loss, options = problem(name, T)
    optimizer = optim.LBFGS(params, **options)
    closure = closure_of(optimizer, loss)
    for _ in range(before):
        optimizer.step(closure)
    state = way(optimizer.state_dict())
    values = [p.detach() for p in params]
    for _ in range(4):
        optimizer.step(closure)
    others, loss, options = problem(name, T)
    with jt.no_grad():
        for p, value in zip(others, values, strict=True):
            jt.assign(p, value)
    resumed = optim.LBFGS(others)
    resumed.load_state_dict(state)
    closure = closure_of(resumed, loss)
    for _ in range(4):
        resumed.step(closure)
    assert [p.tolist() for p in others] == [p.tolist() for p in params]
    assert resumed.memory.evaluations == optimizer.memory.evaluations


def test_its_state_lists_all_tensors(T):
    params, loss, options = problem("wolfe", T)
    optimizer = optim.LBFGS(params, **options)
    assert optimizer.state()["memory"] == {"steps": [], "changes": []}
    optimizer.step(closure_of(optimizer, loss))
    memory = optimizer.state()["memory"]
    assert list(memory) == ["steps", "changes", "direction", "gradient"]
    assert len(memory["steps"]) == len(memory["changes"]) > 0
    assert memory["direction"].shape == (8,)
    assert not any(x.requires_grad for x in memory["steps"])


def test_a_state_of_other_parameters_is_refused(T):
    params, loss, options = problem("wolfe", T)
    optimizer = optim.LBFGS(params, **options)
    optimizer.step(closure_of(optimizer, loss))
    state = optimizer.state_dict()
    other = optim.LBFGS([T([1.0], requires_grad=True)])
    with pytest.raises(OptimizerError, match=r"the memory holds float64 \(8,\); expected float64 \(1,\)"):
        other.load_state_dict(state)
    assert other.memory.iterations == 0
    with pytest.raises(OptimizerError, match=r"takes what state_dict\(\) returned, with a 'memory'"):
        other.load_state_dict(optim.SGD(params).state_dict())
    del state["memory"]["steps"], state["memory"]["scale"]
    with pytest.raises(OptimizerError, match=r"the memory lacks scale, steps"):
        optimizer.load_state_dict(state)


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_iter": 0}, "LBFGS: max_iter must be a whole number from 1; got 0"),
        ({"max_eval": 1.5}, r"LBFGS: max_eval must be a whole number from 1; got 1\.5"),
        ({"history_size": True}, "LBFGS: history_size must be a whole number from 1; got True"),
        ({"tolerance_grad": -1e-3}, r"LBFGS: tolerance_grad must be a number, 0 or above; got -0\.001"),
        ({"tolerance_change": "a"}, "LBFGS: tolerance_change must be a number, 0 or above; got 'a'"),
        ({"line_search_fn": "wolfe"}, "LBFGS: line_search_fn must be None or 'strong_wolfe'; got 'wolfe'"),
        ({"lr": -1.0}, r"LBFGS: lr must be a finite number, 0 or above; got -1\.0"),
        ({"momentum": 0.9}, "LBFGS has no option 'momentum'"),
    ],
)
def test_options_out_of_range(options, message, T):
    with pytest.raises(OptimizerError, match=message):
        optim.LBFGS([T([1.0], requires_grad=True)], **options)


def test_parameters_that_do_not_go_together(T):
    a, b = T([1.0], requires_grad=True), T([1.0], "float32", requires_grad=True)
    with pytest.raises(OptimizerError, match="LBFGS takes all parameters as one group"):
        optim.LBFGS([{"params": [a]}, {"params": [b]}])
    with pytest.raises(
        jt.DTypeError, match="all parameters must be of one dtype on one device; got float64 on .* and float32 on"
    ):
        optim.LBFGS([a, b])
    with pytest.raises(jt.DTypeError, match="LBFGS takes real parameters; .* is complex128"):
        optim.LBFGS([T([1j], requires_grad=True)])


def test_closures_that_are_none(T):
    x = T([1.0, 2.0], requires_grad=True)
    optimizer = optim.LBFGS([x])
    with pytest.raises(
        OptimizerError, match=r"LBFGS\.step\(\) needs a closure, because it evaluates the loss several times"
    ):
        optimizer.step()
    with pytest.raises(
        OptimizerError, match=r"LBFGS\.minimize\(\) needs a function without arguments .*; got a Tensor"
    ):
        optimizer.minimize(x.sum())
    with pytest.raises(
        OptimizerError, match=r"the closure must return the loss, one number; it returned a Tensor of shape \(2,\)"
    ):
        optimizer.minimize(lambda: x * x)
    with pytest.raises(OptimizerError, match="the closure must return the loss, one number; it returned a NoneType"):
        optimizer.step(lambda: (x * x).sum().backward())
    with pytest.raises(
        jt.GradientError, match=r"no parameter has a gradient after the closure: it must call backward\(\)"
    ):
        optim.LBFGS([T([1.0], requires_grad=True)]).step(lambda: (x * x).sum())


def test_losses_that_are_not_finite(T):
    x = T([-1.0], requires_grad=True)
    with pytest.raises(
        OptimizerError, match=r"the loss is nan at the start, with a gradient up to nan: start elsewhere"
    ):
        optim.LBFGS([x]).minimize(lambda: jt.where(x > 0, x, math.nan * x).sum())
    y = T([0.5], requires_grad=True)
    optimizer = optim.LBFGS([y], lr=10.0)  # the step is -10
    with pytest.raises(
        OptimizerError, match=r"the loss is nan after iteration 1, where it was .*Try line_search_fn='strong_wolfe'"
    ):
        optimizer.step(closure_of(optimizer, lambda: jt.where(y > 0, y**2, math.nan).sum()))
    assert y.tolist() == [0.5]
