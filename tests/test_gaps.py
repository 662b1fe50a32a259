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
        match=r"backend 'strict' has no dtype complex128: its library has real numbers alone\. Installed .* have it: .*numpy",
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
    code, text = mine(LINES, *pytest_args, "to_device")
    assert "it has no test data, but tests of its own in JITrench" in text
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
    with pytest.raises(ValueError, match=r"^no such number(\n|$)"):
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


def test_an_installed_backend_without_its_library_has_nothing(gap, monkeypatch):
    """So nobody is sent there: jitrench-cupy is installed on machines that have no CuPy."""
    nowhere = jt.Backend("nowhere", "no_such_library_anywhere")
    monkeypatch.setitem(backends.BACKENDS, "nowhere", nowhere)
    gap("tan", "its library has no tangent")
    with pytest.raises(UnsupportedError) as caught:
        jt.tan(jt.tensor([1.0], device="strict"))
    assert "numpy" in str(caught.value)
    assert "nowhere" not in str(caught.value)


@pytest.mark.parametrize(
    "use",
    [
        lambda: jt.tensor([1.0], device="strict"),
        lambda: jt.asarray(np.ones(2), device="strict"),
        lambda: jt.tensor(np.ones(2), device="numpy").to("strict"),
        lambda: jt.ones(2, device="strict"),
    ],
)
def test_a_missing_dtype_is_refused_however_it_comes(gap, use):
    gap("float64", "its library has float32 alone")
    with pytest.raises(jt.DTypeError, match="backend 'strict' has no dtype float64: its library has float32 alone"):
        use()
    assert jt.tensor(np.ones(2, "float32"), device="strict").dtype == jt.float32


@pytest.mark.parametrize("name", ["float32", "complex64", "complex128"])
def test_the_battery_passes_over_numbers_that_a_backend_lacks(gap, name):
    gap(name, "not in this library")
    (found,) = check(["sin"], ["strict"])
    assert (found.failed, found.untested) == ([], "")


def test_a_backend_without_float64_works_and_says_why_it_is_not_tested(gap):
    from jitrench_core import cli

    gap("float64", "its library has float32 alone")
    assert cli._backend(jt.device("strict").backend, None)["error"] is None
    (found,) = check(["sin"], ["strict"])
    assert not found.failed
    assert "has no dtype float64: its library has float32 alone" in found.untested


@jt.op(elementwise=True, vjp={"x": lambda g: g})
def sometimes(xp, x, /, *, mode="same"):
    """x, of which only one mode has a form in the standard's functions."""
    return x if mode == "same" else NotImplemented


def test_a_forward_that_has_a_form_for_some_calls_alone(T):
    for _ in range(3):  # also once the call that works is linked
        assert sometimes(T([1.0])).item() == 1.0
        with pytest.raises(UnsupportedError, match="lacks op 'sometimes'"):
            sometimes(T([1.0]), mode="other")
        with pytest.raises(UnsupportedError, match="lacks op 'sometimes'"):
            jt.grad(lambda x: jt.sum(sometimes(x, mode="other")))(T([1.0]))


@jt.op(vjp={"x": lambda g, x: g * jt.ones_like(x)})
def total_by_kernel(xp, x, /):
    """The sum, of a library that has it alone."""
    return NotImplemented


def test_vmap_of_an_op_of_kernels_alone_asks_for_a_batching_rule(monkeypatch):
    monkeypatch.setitem(backends.PLUGIN_KERNELS, ("total_by_kernel", "numpy"), ("a plugin", np.sum))
    total_by_kernel.op.kernels.clear()
    assert jt.jvp(total_by_kernel, (jt.ones(3),), (jt.ones(3),))[1].item() == 3.0
    with pytest.raises(
        jt.TransformError, match=r"total_by_kernel\(\) cannot run under vmap.*by @total_by_kernel\.batch"
    ):
        jt.vmap(total_by_kernel)(jt.ones((2, 3)))
    total_by_kernel.op.kernels.clear()


@pytest.mark.parametrize("missing", [["eig"], {"eig": ""}, {"eig": None}, {1: "why"}])
def test_a_gap_is_a_name_with_a_reason(missing):
    with pytest.raises(jt.BackendError, match="missing= takes names of ops and dtypes, each with its reason; got"):
        jt.Backend("mine", "numpy", missing=missing)


@pytest.mark.parametrize("name", ["", "mine:0", "my backend", " mine", "mine\n"])
def test_a_name_that_no_device_can_have(name):
    with pytest.raises(jt.BackendError, match="a device is called by a word without ':'"):
        jt.Backend(name, "numpy")
    with pytest.raises(jt.BackendError, match="a device is called by a word without ':'"):
        jt.Backend("mine", "numpy", aliases=(name,))


def test_names_that_nobody_has_are_told(gap, monkeypatch):
    gap("flaot16", "not in this library")
    monkeypatch.setattr(
        expected, "lines", lambda backend: iter([("tann: value", "why"), ("a.py::test", "why")] * (backend == "strict"))
    )
    assert list(expected.strays()) == [
        "backend 'strict' declares 'flaot16' missing, which is no op and no dtype that is installed. "
        "Did you mean 'float16', 'float64'?",
        "expected_failures.txt of backend 'strict' names 'tann', an op nobody has. Did you mean 'tan', 'tanh', 'atan'?",
    ]


@pytest.mark.parametrize(
    "data",
    [
        LINES.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + LINES.lstrip().encode(),
        ("  # indented\n" + LINES).encode(),
    ],
)
def test_a_file_as_editors_write_it(tmp_path, monkeypatch, data):
    assert _lines_of(tmp_path, monkeypatch, data) == [
        f"tan: {check}" for check in ("value", "gradient", "second order", "jvp")
    ]


def test_a_file_that_is_no_text_and_one_in_a_zip_file(tmp_path, monkeypatch):
    with pytest.raises(PluginError, match=r"expected_failures.txt cannot be read: 'utf-8' codec"):
        _lines_of(tmp_path, monkeypatch, "tan: value # für".encode("latin-1"))
    import zipfile

    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as packed:
        packed.writestr("packed_backend/__init__.py", "from jitrench_core import Backend\nclass Mine(Backend): ...\n")
        packed.writestr("packed_backend/expected_failures.txt", LINES)
    monkeypatch.syspath_prepend(str(tmp_path / "packed.zip"))
    import packed_backend

    monkeypatch.setitem(backends.BACKENDS, "packed", packed_backend.Mine("packed", "numpy"))
    assert len(list(expected.lines("packed"))) == 4
    monkeypatch.delitem(sys.modules, "packed_backend")


def _lines_of(folder, monkeypatch, data):
    """What is read of a file with these bytes, beside the module of a backend."""
    import importlib.util

    (folder / "read.py").write_text("from jitrench_core import Backend\nclass Mine(Backend): ...\n")
    (folder / "expected_failures.txt").write_bytes(data)
    spec = importlib.util.spec_from_file_location("read_backend", folder / "read.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "read_backend", module)
    monkeypatch.setitem(backends.BACKENDS, "read", module.Mine("read", "numpy"))
    return [name for name, _ in expected.lines("read")]


def test_a_line_that_stands_twice(monkeypatch):
    monkeypatch.setattr(expected, "lines", lambda backend: iter([("tan: value", "one"), ("tan: value", "another")]))
    with pytest.raises(PluginError, match="'tan: value' stands there twice"):
        expected.expected("numpy", "tan")


def test_blocks_of_generators_end_in_any_order():
    pytest.importorskip("jitrench_strict")
    outside = jt.device()

    def work():
        with jt.device("strict:1"):
            yield jt.device()

    first = work()
    assert next(first) == "strict:1"
    with jt.device("numpy"):
        first.close()
        assert jt.device() == "numpy"
    assert jt.device() == outside
    device = jt.device("strict:1")
    with device, device, jt.device("numpy"), device:  # one object, entered again
        assert jt.device() == device
    assert jt.device() == outside


# -- libraries that lack something ----------------------------------------------------------------------------------


def test_a_namespace_that_lacks_a_dtype_does_not_take_another_for_it():
    """NumPy's float64 equals None."""
    import types

    library = types.ModuleType("library")
    library.__dict__.update({name: getattr(np, name) for name in ("float64", "int64", "bool")})
    host = jt.Backend("library", "library")
    host._xp = library
    assert host.core_dtype(np.dtype("float64")) == jt.float64
    assert host.core_dtype(np.dtype("float32")) == jt.float32  # by its name


@pytest.mark.parametrize(
    "error",
    [ModuleNotFoundError("No module named 'scipy'"), AttributeError("no 'inv'"), ValueError("Dimension must be 2")],
)
def test_what_the_library_lacks_is_not_blamed_on_the_matrix(error, monkeypatch):
    def fails(x):
        raise error

    monkeypatch.setitem(jt.linalg.inv.op.kernels, np.ndarray, fails)
    with pytest.raises(Exception, match=str(error)) as caught:
        jt.linalg.inv(jt.eye(2))
    assert not isinstance(caught.value, jt.LinAlgError)
    monkeypatch.undo()
    with pytest.raises(jt.LinAlgError, match="singular") as caught:
        jt.linalg.inv(jt.zeros((2, 2)))
    assert isinstance(caught.value.__cause__, np.linalg.LinAlgError)
