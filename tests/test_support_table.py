"""docs/support.md is what ``jitrench ops --markdown`` prints, and what it says of an op is true."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_catalogue import WITHOUT_SAMPLES

import jitrench_core as jt
from jitrench_core import cli, registry
from jitrench_core.testing import support

PAGE = Path(__file__).parents[1] / "docs" / "support.md"


@pytest.fixture
def installed():
    """The page is of the backends and plugins of this repository, all of them."""
    names = set(support.usable())
    if not {"numpy", "strict"} <= names:
        pytest.skip("needs the backends numpy and strict")
    owners = set(registry.ops.owners.values())
    if not {"jitrench-core", "nn"} <= owners:
        pytest.skip("needs jitrench-nn")


def test_the_page_is_current(installed, capsys):
    assert cli.main(["ops", "--markdown"]) == 0
    made = capsys.readouterr().out
    if PAGE.read_text(encoding="utf-8") != made:
        old, new = PAGE.read_text(encoding="utf-8").splitlines(), made.splitlines()
        changed = [line for line in new if line not in old][:5] or [line for line in old if line not in new][:5]
        pytest.fail(
            "docs/support.md is not current: run `python -m jitrench_core ops --markdown > docs/support.md`. It would have\n"
            + "\n".join(changed),
            pytrace=False,
        )


def test_no_op_is_left_out_of_the_battery_without_a_reason(installed):
    ops = {name: registry.ops[name].op for name in registry.ops}
    covered = {name for name, op in ops.items() if support.has_test_data(op)}
    ours = {name for name, op in ops.items() if op.owner in ("jitrench-core", "nn")}
    assert ours - covered <= WITHOUT_SAMPLES.keys()
    print(f"check_op covers {len(covered)} of {len(ops)} ops")  # shown by pytest -rP


def test_what_it_says_of_some_ops():
    def told(name):
        return support.support(registry.ops[name].op, ["numpy"])

    log = told("log")
    assert log["derivative"] == {"x": "rule"}
    assert (log["forward_mode"], log["batching"]) == ("the rules", "elementwise")
    assert log["dtypes"] == ["bool", "int", "float", "complex"]
    assert told("reshape")["forward_mode"] == "linear"
    assert told("bitwise_and")["dtypes"] == ["bool", "int"]
    assert told("maximum")["dtypes"] == ["bool", "int", "float"]  # NumPy orders complex numbers, the standard does not
    assert told("fft")["dtypes"] == ["bool", "int", "float", "complex"]
    assert told("rfft")["dtypes"] == ["bool", "int", "float"]
    assert told("prod")["batching"] == "composed"
    assert told("add")["backends"] == {"numpy": "kernel"}
    assert support.order(jt.where.op) == "any in x1, x2"
    assert support.order(jt.floor.op) == "zero"
    assert support.order(jt.equal.op) == "none"


@pytest.fixture
def register():
    """Put ops into the catalogue, for one test."""
    added = []

    def add(function):
        registry.ops.entries[function.op.name] = function
        registry.ops.owners[function.op.name] = "here"
        added.append(function.op.name)
        return function.op

    yield add
    for name in added:
        del registry.ops.entries[name], registry.ops.owners[name]


def test_what_an_op_cannot_do_is_told(register):
    @jt.op(vjp=lambda g, x: g, samples=lambda rng: ((rng.normal(size=3),), {}))
    def unbatchable(xp, x, /):
        """Looks at its numbers."""
        return x * 2 if float(x[0]) > 0 else x + x

    @jt.op(elementwise=True, vjp=lambda g: g)
    def only_here(xp, x, /):
        """No function of the standard."""
        return xp.no_such_function(x)

    @jt.op
    def untested(xp, x, /):
        """No data."""
        return x

    one = support.support(register(unbatchable), ["numpy"])
    assert (one["batching"], one["forward_mode"], one["backends"]) == ("no", "transposed", {"numpy": "forward"})
    assert support.support(register(only_here), ["numpy"])["backends"] == {"numpy": "no"}
    none = support.support(register(untested), ["numpy"])
    assert (none["tested"], none["batching"], none["dtypes"], none["derivative"]) == (
        False,
        "untried",
        [],
        {"x": "missing"},
    )
