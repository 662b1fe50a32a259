"""``jt.detect_anomaly`` finds the operation that made a NaN or an infinity, and costs nothing when it is off."""

from __future__ import annotations

import asyncio
import math
import threading
from pathlib import Path

import numpy as np
import pytest

import jitrench_core as jt
from jitrench_core import anomaly, backend, graph
from jitrench_core.op import Op

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

BAD = [-1.0, 0.0, 4.0]


def caught(f, **options):
    """The words of the error that ``f`` meets."""
    with pytest.raises(jt.AnomalyError) as error, jt.detect_anomaly(**options):
        f()
    return str(error.value)


def line_of(words):
    """``at this file:line`` of the only line here that holds ``words``."""
    lines = Path(__file__).read_text(encoding="utf-8").split("\n")
    (found,) = (i for i, text in enumerate(lines, 1) if words in text and "line_of" not in text)
    return f"at {__file__}:{found}, in "


# -- forward ----------------------------------------------------------------------------------------------------------


def test_the_first_op_and_the_users_line(T):
    x, y = T([1.0, 2.0, 4.0]), T(BAD)

    def model():
        a = jt.sin(x)
        b = jt.log(y) + a  # the line
        return b * jt.exp(b)

    text = caught(model)
    assert text.startswith(
        "log() made 1 NaN and 1 Inf among 3 elements\n  " + line_of("# " + "the line") + "model: b = "
    )
    assert "\n  x: float64 (3,) on " in text
    assert ", from -1 to 4\n  result: float64 (3,) on " in text
    assert text.endswith(", 1.38629 throughout, 1 NaN, 1 -Inf")


def test_every_operand_is_told(T):
    text = caught(lambda: T(BAD) / 0.0)
    assert "divide() made 1 NaN and 2 Inf among 3 elements" in text
    assert "\n  x2: float 0.0\n" in text
    assert "1 NaN, 1 Inf, 1 -Inf" in text
    text = caught(lambda: jt.concat([T([1e300]), T([1.0])]) * 1e10)
    assert "multiply() made 1 Inf among 2 elements" in text
    assert "x1: float64 (2,)" in text


def test_an_infinity_that_is_meant(T):
    def masked():
        x = T([0.0, 1.0])
        return jt.where(x > 0, jt.log(x), 0.0)

    assert "If the infinity is meant, such as one that is masked later: jt.detect_anomaly(check='nan')." in caught(
        masked
    )
    with jt.detect_anomaly(check="nan"):
        assert masked().tolist() == [0.0, 0.0]
    assert "made 1 NaN among 1 element" in caught(lambda: jt.log(T(0.0)) * 0.0, check="nan")
    assert "made 1 Inf" in caught(lambda: jt.exp(jt.sqrt(T([1e6]))), check=["inf"])


def test_what_came_in_from_outside(T):
    x = T([math.nan, 1.0])

    def passed_on():
        y = jt.exp(x)  # first use
        return y * 2.0

    text = caught(passed_on)
    assert text.startswith(
        "no operation in this block made a NaN: it came in from outside, and exp() was the first to use it\n"
    )
    assert line_of("# first" + " use") in text
    assert "x: float64 (2,) on" in text
    assert "1 NaN" in text
    # One that an op makes beside it is found, elementwise: the error is that op's.
    assert "log() made 2 NaN among 3 elements" in caught(lambda: jt.log(T([math.nan, -1.0, 1.0])))
    with jt.detect_anomaly():  # an infinity may come in: a mask
        mask = jt.where(T([1.0, -1.0]) > 0, 0.0, -math.inf)
        assert jt.softmax(T([1.0, 2.0]) + mask).tolist() == [1.0, 0.0]
        assert jt.where(jt.isnan(x), 0.0, x).tolist() == [0.0, 1.0]  # and a NaN, where it does not come out
    assert "subtract() made 1 NaN" in caught(lambda: T(math.inf) - T(math.inf))


def test_another_error_is_not_covered_up(T):
    def fails():
        jt.exp(T(math.nan))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), jt.detect_anomaly():
        fails()


def test_a_composite_is_judged_as_a_whole(T):
    @jt.op(composite=True)
    def guarded(x, /):
        """The logarithm, 0 where there is none."""
        return jt.where(x > 0, jt.log(x), 0.0)

    @jt.op(composite=True)
    def unguarded(x, /):
        """The logarithm."""
        return jt.log(x) * 1.0

    with jt.detect_anomaly():
        assert guarded(T([-1.0, 1.0])).tolist() == [0.0, 0.0]
    text = caught(lambda: unguarded(T([-1.0, 1.0])))
    assert text.startswith("unguarded() made 1 NaN among 2 elements")
    assert "first made inside, by log() of x: float64 (2,) on" in text


def test_complex_and_float32(T):
    assert "size from 0 to 5" in caught(lambda: 1.0 / T([3 + 4j, 0j]))
    assert "float32 (1,)" in caught(lambda: jt.exp(T([100.0], "float32")))


# -- backward ---------------------------------------------------------------------------------------------------------


def test_a_rule_and_where_its_operation_was_called(T):
    x = T([0.0, 4.0], requires_grad=True)

    def train():
        y = jt.sqrt(x)  # forward call
        loss = y.sum()
        loss.backward()  # backward call

    text = caught(train)
    assert text.startswith("backward made 1 Inf among 2 elements: the rule of sqrt() for its input 'x'\n")
    assert "\n  sqrt() was called " + line_of("# forward" + " call") + "train: y = jt.sqrt(x)" in text
    assert "\n  backward was called " + line_of("# backward" + " call") + "train: loss.backward()" in text
    assert "\n  incoming gradient: float64 (2,) on" in text
    assert ", 1 throughout\n" in text
    assert "\n  y: float64 (2,) on" in text
    assert ", from 0 to 2\n" in text
    assert "\n  gradient: float64 (2,) on" in text
    assert "first made inside, by divide() of x1: float64 (2,)" in text


def test_a_graph_from_before_the_block(T):
    y = jt.sqrt(T([0.0], requires_grad=True)).sum()
    assert "sqrt() was called before this block: to see where, put that inside, too\n" in caught(y.backward)


def test_a_nan_that_came_with_the_seed_or_is_masked_in_a_rule(T):
    x = T([1.0, 2.0], requires_grad=True)
    text = caught(lambda: (x * 2.0).backward(T([math.nan, 1.0])))
    assert "came in from outside" in text
    with jt.detect_anomaly():
        assert jt.grad(jt.vector_norm)(T([0.0, 0.0])).tolist() == [0.0, 0.0]
        assert jt.grad(jt.std)(T([1.0, 1.0])).tolist() == [0.0, 0.0]
        assert jt.grad(jt.atan2)(T(0.0), T(0.0)).item() == 0.0


def test_gradients_that_are_added_up(T):
    x = T([1.0], requires_grad=True)

    def overflow():
        y = x * 1.5e308 + x * 1.5e308
        (y * 1e-10).backward(T([1e10]))

    text = caught(overflow, check="inf")
    assert "made 1 Inf among 1 element" in text


def test_inside_a_checkpoint_and_a_rule_of_ones_own(T):
    def block(x):
        y = jt.sqrt(x)  # checkpointed call
        return jt.sum(y)

    text = caught(lambda: jt.grad(jt.checkpoint(block))(T([0.0, 1.0])))
    assert "the rule of sqrt() for its input 'x'" in text
    assert "sqrt() was called " + line_of("# checkpointed" + " call") in text

    f = jt.custom_gradient(lambda x: x * x)

    @f.vjp
    def rule(g, x):
        return g / x  # own rule

    text = caught(lambda: jt.grad(f)(T(0.0)))
    assert "first made inside, by divide() of" in text
    assert line_of("# own" + " rule") in text


def test_second_order_and_other_rules(T):
    text = caught(lambda: jt.grad(jt.grad(lambda x: jt.sqrt(x) * x))(T(0.0)))
    assert "backward made 1 NaN" in text
    assert "the rule of" in text

    @jt.op(outputs=2, vjp=lambda g, x: (g[0] + g[1]) / x)
    def both(xp, x, /):
        """Two outputs."""
        return xp.positive(x), xp.negative(x)

    assert "the rule of both() for its input 'x'" in caught(lambda: jt.grad(lambda x: sum(both(x)))(T(0.0)))

    @jt.op
    def joint(xp, x1, x2, /):
        """A rule for all inputs."""
        return x1 * x2

    @joint.vjp_all
    def _(g, x1, x2):
        return g / x1, g * x1

    assert "the rule of joint() for its input 'x1'\n" in caught(lambda: jt.grad(joint)(T(0.0), T(1.0)))


def test_a_rule_that_returns_nothing_is_still_refused(T):
    @jt.op(elementwise=True, vjp={"x": lambda g: None})
    def forgetful(xp, x, /):
        """x, twice."""
        return 2 * x

    with pytest.raises(jt.OpError, match="returned NoneType"), jt.detect_anomaly():
        jt.grad(forgetful)(T(1.0))


# -- transforms -------------------------------------------------------------------------------------------------------


def test_under_transforms(T):
    assert "log() made 1 NaN and 1 Inf among 3 elements" in caught(lambda: jt.vmap(jt.log)(T(BAD)))
    text = caught(lambda: jt.jvp(jt.sqrt, (T([0.0, 1.0]),), (T([1.0, 1.0]),)))
    assert "sqrt() made 1 Inf among 2 elements of its tangent\n" in text
    assert "x, its tangent: float64 (2,)" in text
    text = caught(lambda: jt.vmap(jt.grad(jt.sqrt))(T([0.0, 4.0])))
    assert "the rule of sqrt() for its input 'x'" in text
    text = caught(lambda: jt.jvp(jt.grad(jt.sqrt), (T(0.0),), (T(1.0),)))
    assert "sqrt()" in text


def test_values_and_gradients_are_the_same_inside(T, close):
    def f(x):
        y = jt.softmax(x * x) @ x + jt.prod(x) + x[1:].sum() + jt.concat([x, x]).max()
        return jt.logsumexp(jt.stack([y, x[0]]))

    x = T([0.5, 1.5, -0.5])
    expected = jt.grad(f)(x), jt.grad(lambda x: jt.grad(f)(x).sum())(x), jt.vmap(f)(jt.stack([x, x]))
    with jt.detect_anomaly():
        found = jt.grad(f)(x), jt.grad(lambda x: jt.grad(f)(x).sum())(x), jt.vmap(f)(jt.stack([x, x]))
    for a, b in zip(found, expected, strict=True):
        close(a, b)


# -- blocks -----------------------------------------------------------------------------------------------------------


def test_nested_blocks_and_one_object_twice(T):
    watch = jt.detect_anomaly()
    with watch:
        with watch, jt.detect_anomaly(check="nan"):
            jt.log(T(0.0))
        with pytest.raises(jt.AnomalyError):
            jt.log(T(0.0))
    jt.log(T(0.0))
    assert backend.watch is None


def test_other_threads_and_tasks_are_not_judged(T):
    results = []
    with jt.detect_anomaly():
        thread = threading.Thread(target=lambda: results.append(jt.log(T(0.0)).item()))
        thread.start()
        thread.join()
    assert results == [-math.inf]

    async def judged(event):
        with jt.detect_anomaly():
            event.set()
            await asyncio.sleep(0)
            with pytest.raises(jt.AnomalyError):
                jt.log(T(0.0))

    async def free(event):
        await event.wait()
        return jt.log(T(0.0)).item()

    async def main():
        event = asyncio.Event()
        return (await asyncio.gather(judged(event), free(event)))[1]

    assert asyncio.run(main()) == -math.inf


def test_its_argument():
    with pytest.raises(jt.OpError, match=r"detect_anomaly\(check=True\): expected 'nan', 'inf' or both"):
        jt.detect_anomaly(True)
    with pytest.raises(jt.OpError, match=r"detect_anomaly\(check='Nan'\): expected 'nan', 'inf' or both"):
        jt.detect_anomaly(check="Nan")


# -- off --------------------------------------------------------------------------------------------------------------


def _state():
    """All that the engine runs by: the code of its functions and classes, and each op's linked kernels."""
    classes = {
        (cls.__name__, name): value.__code__ if hasattr(value, "__code__") else value
        for cls in (Op, graph.Node, graph.MultiNode, jt.Tensor, backend.KernelTable)
        for name, value in vars(cls).items()
        if not isinstance(value, dict)
    }
    functions = {name: f.__code__ for name, f in vars(graph).items() if hasattr(f, "__code__")}
    return classes, functions


def _use(T):
    x = T([1.0, 2.0], requires_grad=True)
    (jt.exp(x) * x + x.sum()).sum().backward()
    return x.grad


def test_off_it_leaves_nothing_behind(T):
    _use(T)
    before = _state()
    tables = {name: dict(getattr(jt, name).op.kernels) for name in ("exp", "multiply", "add", "sum")}
    keep = {name: list(getattr(jt, name).op.keep) for name in tables}
    with jt.detect_anomaly():
        _use(T)
        assert _state() != before
    assert _state() == before
    _use(T)
    for name, table in tables.items():
        op = getattr(jt, name).op
        assert op.keep == keep[name]
        assert 0 < len(op.kernels) <= len(table)
        assert "direct" in vars(op)
        assert not any("anomaly" in getattr(kernel, "__module__", "") for kernel in op.kernels.values())


def test_the_fast_path_has_no_branch_for_it():
    """No function that runs in every call or backward knows of it; a linked kernel is called as it is."""
    fast = [jt.add, jt.exp, jt.sum, Op.apply, Op.record, Op.resolve, Op.arguments, Op.pull_all, graph.grad, graph._loop]
    fast += [graph.Node.__init__, graph.MultiNode.__init__, jt.Tensor.__init__]
    for function in fast:
        words = {*function.__code__.co_names, *function.__code__.co_varnames, *function.__code__.co_freevars}
        assert not {w for w in words if "watch" in w or "anomaly" in w or "check_finite" in w}, function
    assert "__getitem__" not in vars(backend.KernelTable)  # a hit is dict's own lookup


def test_numpy_is_not_imported_by_it():
    assert "numpy" not in vars(anomaly)
    assert isinstance(np.float64(1.0), float)
