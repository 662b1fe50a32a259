"""What a backend lacks or is expected to fail: declared in its own package, told by name where it is used, and held to be true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jitrench_core as jt
from jitrench_core import backend as backends
from jitrench_core.errors import PluginError, UnsupportedError
from jitrench_core.testing import check_op, expected
from jitrench_core.testing.checking import check


@pytest.fixture
def gap(monkeypatch):
    """Gaps of the strict backend, put into its table for one test."""
    pytest.importorskip("jitrench_strict")
    host = jt.device("strict").backend
    monkeypatch.setattr(host, "missing", {})

    def declare(name: str, reason: str) -> None:
        host.missing[name] = reason
        host._native.clear()
        for op in backends.OPS:
            op.kernels.clear()

    yield declare
    host.missing = {}
    host._native.clear()
    for op in backends.OPS:
        op.kernels.clear()


def test_an_op_that_is_declared_missing_says_who_has_it(gap):
    gap("tan", "its library has no tangent")
    x = jt.tensor([1.0], device="strict")
    for _ in range(2):  # nothing is cached
        with pytest.raises(
            UnsupportedError,
            match=r"backend 'strict' lacks op 'tan': its library has no tangent\. Installed backends that have it: .*numpy.*"
            r"Move the operands there, such as x\.to\('",
        ):
            jt.tan(x)
    assert jt.tan(x.to("numpy")).item() == np.tan(1.0)
    assert jt.sin(x).item() == np.sin(1.0)
    with pytest.raises(NotImplementedError):  # the built-in that fits
        jt.grad(lambda x: jt.tan(x).sum())(x)


def test_a_plugins_kernel_closes_a_gap(gap, monkeypatch):
    gap("tan", "its library has no tangent")
    monkeypatch.setitem(backends.PLUGIN_KERNELS, ("tan", "strict"), ("a plugin", lambda x: x + 1))
    assert jt.tan(jt.tensor([1.0], device="strict")).item() == 2.0
    monkeypatch.undo()


def test_a_dtype_that_is_declared_missing_says_who_has_it(gap):
    gap("complex128", "its library has real numbers alone")
    with pytest.raises(
        jt.DTypeError,
        match=r"backend 'strict' has no dtype complex128: its library has real numbers alone\. Installed .* have it: numpy",
    ):
        jt.zeros(2, dtype="complex128", device="strict")
    assert jt.zeros(2, dtype="complex128", device="numpy").dtype == jt.complex128


@jt.op(elementwise=True, vjp={"x": lambda g, x: g * jt.cos(x)})
def by_kernels_alone(xp, x, /):
    """The sine, of a library that has none in the standard's functions."""
    return NotImplemented


def test_an_op_without_a_general_form_says_who_has_a_kernel(monkeypatch):
    by_kernels_alone.op.kernels.clear()
    with pytest.raises(
        UnsupportedError,
        match=r"backend 'numpy' lacks op 'by_kernels_alone': it has no kernel there, and no form in the standard's functions\. "
        r"Installed backends that have it: none\. Register a kernel for it \(register_kernels\)\.",
    ):
        by_kernels_alone(jt.ones(2))
    monkeypatch.setitem(backends.PLUGIN_KERNELS, ("by_kernels_alone", "numpy"), ("a plugin", np.sin))
    by_kernels_alone.op.kernels.clear()
    check_op(by_kernels_alone, "numpy")
    if "strict" in backends.names():
        with pytest.raises(
            UnsupportedError, match="backend 'strict' lacks .* that have it: numpy. Move the operands there"
        ):
            check_op(by_kernels_alone, "strict")
    by_kernels_alone.op.kernels.clear()


def test_check_tells_a_gap_from_a_failure(gap):
    gap("tan", "its library has no tangent")
    (found,) = check(["tan"], ["strict"])
    assert not found.failed
    assert "lacks op 'tan': its library has no tangent" in found.untested
    (found,) = check(["sin"], ["strict"])
    assert (found.failed, found.untested) == ([], "")


# -- a backend of a third party, in a process of its own ------------------------------------------------------------

BACKEND = """
from jitrench_core import Backend, hookimpl


class Mine(Backend):
    def __init__(self):
        super().__init__("mine", "array_api_strict", kernels={"tan": lambda x: x}, missing={"sinh": "not in this library"})

    def to_numpy(self, array):
        import numpy

        return numpy.asarray(array)


@hookimpl
def register_backends(register):
    register(Mine())
"""
LINES = """
# the tangent is that of small numbers
tan: value # the tangent is that of small numbers
tan: gradient # the tangent is that of small numbers
tan: second order # the tangent is that of small numbers
tan: jvp # the tangent is that of small numbers
"""


@pytest.fixture
def mine(tmp_path: Path):
    """``jitrench check`` and pytest where a backend has a kernel that is wrong, a gap, and a file that tells of the first."""
    pytest.importorskip("array_api_strict")
    package = tmp_path / "jitrench_mine"
    package.mkdir()
    (package / "__init__.py").write_text(BACKEND)
    info = tmp_path / "jitrench_mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: jitrench-mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[jitrench]\nmine = jitrench_mine\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_mine.py").write_text(
        "from jitrench_core.testing import op_tests\n\ntest_ops = op_tests('jitrench-core')\n"
    )

    def run(lines: str, *args: str) -> tuple[int, str]:
        import os

        (package / "expected_failures.txt").write_text(lines)
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("JITRENCH_", "PYTEST_"))}
        environment |= {"PYTHONPATH": str(tmp_path), "JITRENCH_DISABLE_PLUGINS": "strict"}
        done = subprocess.run(
            [sys.executable, "-m", *args], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        return done.returncode, done.stdout + done.stderr

    return run


CHECK = ("jitrench_core", "check", "tan", "sin", "sinh", "--backend", "mine")


def test_expected_failures_stand_in_the_backends_package(mine):
    code, text = mine(LINES, *CHECK)
    assert code == 0, text
    assert "value (expected: the tangent is that of small numbers)" in text
    assert "backend 'mine' lacks op 'sinh': not in this library" in text
    assert "1 passed, 1 failed as expected, 1 not tested" in text
    code, text = mine("", *CHECK)
    assert code == 1
    assert "1 passed, 1 failed, 1 not tested" in text


@pytest.mark.parametrize(
    ("line", "what"), [("sin: value # once wrong", "the check 'value'"), ("sin: * # once wrong", "every check")]
)
def test_a_line_that_is_no_longer_true_is_a_failure(mine, line, what):
    code, text = mine(LINES + line, *CHECK)
    assert code == 1
    assert f"op 'sin' on mine passes {what}, which expected_failures.txt expects it to fail: remove the line" in text
    assert "1 failed as expected, 1 failed, 1 not tested" in text


def test_the_same_file_under_pytest(mine):
    pytest_args = ("pytest", "-q", "-rsx", "-p", "no:cacheprovider", "--jitrench-backend", "mine", "-k")
    code, text = mine(LINES, *pytest_args, "-tan] or -sin] or -sinh]")
    assert code == 0, text
    assert "1 passed, 1 skipped," in text
    assert " 1 xfailed" in text
    assert "gradient: the tangent is that of small numbers" in text
    assert "backend 'mine' lacks op 'sinh'" in text
    code, text = mine("", *pytest_args, "mine-tan]")
    assert code == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("tan: value", r"expected_failures.txt:1: expected 'op: check # reason'"),
        ("tan: speed # slow", "'speed' is no check"),
    ],
)
def test_a_line_that_cannot_be_read(mine, line, reason):
    code, text = mine(line + "\n", *CHECK)
    assert code == 1
    assert reason.replace("\\", "") in text.replace("\n", " ")


def test_the_files_of_the_installed_backends_can_be_read():
    for name in backends.names():
        assert all(reason for _, reason in expected.lines(name))


# -- the default device ---------------------------------------------------------------------------------------------


def test_a_device_is_the_default_within_its_block():
    pytest.importorskip("jitrench_strict")
    outside = jt.device()
    with jt.device("strict:1") as device:
        assert jt.device() == device == "strict:1"
        for x in (jt.zeros(2), jt.tensor([1.0]), jt.arange(3), jt.random.Generator(0).normal((2,)), jt.add(1.0, 2.0)):
            assert x.device == "strict:1"
        assert jt.tensor(np.ones(2)).device == "numpy"  # what exists already stays
        assert jt.zeros(2, device="numpy").device == "numpy"
        with jt.device("numpy"):
            assert jt.zeros(2).device == "numpy"
        assert jt.zeros(2).device == "strict:1"
    assert jt.device() == outside


def test_the_block_ends_where_it_raises_and_is_its_threads_own():
    pytest.importorskip("jitrench_strict")
    from threading import Thread

    outside, seen = jt.device(), []

    def fail() -> None:
        with jt.device("strict:1"):
            thread = Thread(target=lambda: seen.append(jt.device()))
            thread.start()
            thread.join()
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        fail()
    assert jt.device() == outside
    assert seen == [outside]


def test_a_backend_explains_what_its_library_raised(monkeypatch):
    class Full(jt.BackendError, MemoryError):
        pass

    host = jt.device("numpy").backend
    monkeypatch.setattr(
        host, "explain", lambda e: Full("no room for it: smaller batches") if isinstance(e, MemoryError) else None
    )

    @jt.op(elementwise=True, vjp={"x": lambda g: g})
    def grows(xp, x, /):
        """x, of which no copy can be made."""
        raise MemoryError

    with pytest.raises(Full, match="no room for it: smaller batches") as caught:
        grows(jt.ones(2))
    assert caught.value.__notes__ == ["in grows() of float64 (2,) on numpy"]
    with pytest.raises(jt.ShapeError):  # what it does not explain is explained as always
        jt.ones(2) + jt.ones(3)


def test_a_kernels_error_of_numbers_alone_is_its_own(monkeypatch):
    def fail(x):
        raise ValueError("no such number")

    monkeypatch.setitem(backends.PLUGIN_KERNELS, ("by_kernels_alone", "numpy"), ("a plugin", fail))
    by_kernels_alone.op.kernels.clear()
    with pytest.raises(ValueError, match="^no such number$"):
        by_kernels_alone(2.0)
    by_kernels_alone.op.kernels.clear()


def test_lines_of_an_unknown_backend_are_none():
    assert list(expected.lines("nobody")) == []
    with pytest.raises(PluginError, match="is no check of the battery"):
        _raise_for("tan: speed")


def _raise_for(line: str) -> None:
    original = expected.lines
    try:
        expected.lines = lambda backend: iter([(line, "why")])
        expected.expected("numpy", "tan")
    finally:
        expected.lines = original
