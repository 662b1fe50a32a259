"""jitrench_core is a namespace of the Array API standard: its names, signatures, dtypes and what an array must answer.

The standard's own suite runs by `tox run -e array-api`; this is what fits into a second. Names and signatures are compared with
array-api-strict's, which has nothing beyond the standard.
"""

from __future__ import annotations

import inspect
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from inspect import Parameter
from itertools import product
from pathlib import Path
from typing import Any

import array_api_strict
import numpy as np
import pytest
from array_api_suite import EXPECTED_FAILURES, main

import jitrench_core as jt
from jitrench_core.dtypes import DTYPES, promote

# Not of the standard: array-api-strict's own.
NOT_STANDARD = re.compile(r".*array_api_strict_flags|ArrayAPIStrictFlags|Device|__version__")
EXTENSIONS = {"linalg": array_api_strict.linalg, "fft": array_api_strict.fft}


def functions() -> Iterator[Any]:
    """Each function of the standard: its name, ours and array-api-strict's."""
    for place, ours, theirs in (
        ("", jt, array_api_strict),
        *((f"{n}.", getattr(jt, n, None), m) for n, m in EXTENSIONS.items()),
    ):
        for name in theirs.__all__:
            if not NOT_STANDARD.fullmatch(name) and inspect.isroutine(getattr(theirs, name)):
                yield pytest.param(getattr(ours, name, None), getattr(theirs, name), id=place + name)


def methods() -> Iterator[Any]:
    """Each method of the standard's array object: ours and array-api-strict's, bound to an array."""
    array = array_api_strict.ones((2, 2))
    tensor = jt.ones((2, 2))
    for name in dir(type(array)):
        public = not name.startswith("_") or re.fullmatch(r"__\w+__", name)
        if public and name not in (
            *dir(object),
            "__array__",
            "__array_ufunc__",
            "__buffer__",
            "__iter__",
            "__weakref__",
        ):
            theirs = getattr(array, name)
            if callable(theirs):
                yield pytest.param(getattr(tensor, name, None), theirs, id=name)


def parameters(function: Callable[..., Any]) -> list[Parameter]:
    return list(inspect.signature(function).parameters.values())


@pytest.mark.parametrize(("ours", "theirs"), [*functions(), *methods()])
def test_signature(ours, theirs):
    """The standard's parameters, of the standard's kinds, with its defaults; ours may have more, none of them required."""
    assert ours is not None
    mine = {p.name: p for p in parameters(ours)}
    for i, p in enumerate(parameters(theirs)):
        if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL):
            found = parameters(ours)[i]
            kinds = {p.kind} | ({Parameter.POSITIONAL_OR_KEYWORD} if p.kind == Parameter.POSITIONAL_ONLY else set())
        else:
            assert p.name in mine
            found = mine[p.name]
            # array-api-strict takes to_device's stream by position, too; the standard does not
            kinds = {p.kind} if p.name != "stream" else {Parameter.KEYWORD_ONLY}
        assert found.kind in kinds, (p, found.kind)
        assert (
            p.default is Parameter.empty
            or type(p.default).__name__ == "Undef"
            or repr(found.default) == repr(p.default)
        ), (p, found)
        mine.pop(found.name)
    for p in mine.values():
        assert p.default is not Parameter.empty, f"{p} is required here, and not in the standard"


def test_every_name_of_the_standard():
    names = [n for n in array_api_strict.__all__ if not NOT_STANDARD.fullmatch(n)]
    assert [n for n in names if not hasattr(jt, n) or n not in jt.__all__] == []
    for extension, theirs in EXTENSIONS.items():
        assert [n for n in theirs.__all__ if not hasattr(getattr(jt, extension), n)] == []


def test_it_is_the_newest_version_of_the_standard():
    assert jt.__array_api_version__ == "2025.12"
    x = jt.ones(2)
    assert x.__array_namespace__() is x.__array_namespace__(api_version="2025.12") is jt
    assert x.__array_namespace__(api_version="2021.12") is jt
    with pytest.raises(
        jt.OpError, match=r"no version '2009\.01' of the Array API standard here; the newest is '2025\.12'"
    ):
        x.__array_namespace__(api_version="2009.01")


# -- constants and data types -----------------------------------------------------------------------------------------


def test_constants():
    assert (jt.e, jt.pi, jt.inf, jt.newaxis) == (math.e, math.pi, math.inf, None)
    assert math.isnan(jt.nan)
    assert jt.ones(3)[jt.newaxis, :].shape == (1, 3)


@pytest.mark.parametrize(("a", "b"), list(product(DTYPES.values(), repeat=2)), ids=str)
def test_promotion_is_numpys(a, b):
    """Which follows the standard's tables, and answers what these leave open."""
    expected = np.promote_types(a.name, b.name).name
    assert promote(a, b) == jt.result_type(a, b) == jt.result_type(jt.zeros(1, dtype=a), b) == expected
    assert jt.can_cast(a, b) == jt.can_cast(jt.zeros(1, dtype=a), b) == np.can_cast(a.name, b.name)
    for shape in ((2,), ()):  # results of no dimension are scalars on NumPy
        assert (jt.ones(shape, dtype=a) * jt.ones((2,), dtype=b)).dtype == expected


@pytest.mark.parametrize("scalar", [True, 2, 2.0, 2j], ids=str)
@pytest.mark.parametrize("dtype", [d for d in DTYPES.values() if d.name != "bool"], ids=str)
def test_python_numbers_are_weak(dtype, scalar):
    for shape in ((2,), ()):
        x = jt.ones(shape, dtype=dtype)
        expected = np.result_type(np.ones(1, dtype.name), scalar).name
        assert jt.result_type(x, scalar) == jt.result_type(scalar, dtype) == expected
        assert (x * scalar).dtype == (scalar * x).dtype == jt.multiply(x, scalar).dtype == expected


def test_result_type_needs_a_dtype():
    assert jt.result_type(jt.int8, jt.float32, 1) == np.result_type(np.int8, np.float32)
    assert jt.result_type("int8", np.float32, np.dtype("uint8")) == jt.float32
    with pytest.raises(jt.DTypeError, match="needs an array or a dtype among its arguments"):
        jt.result_type(1, 2.0)


KINDS = {
    "bool": "b", "signed integer": "i", "unsigned integer": "u", "integral": "iu", "real floating": "f",
    "complex floating": "c", "numeric": "iufc",
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_isdtype(dtype):
    for kind, letters in KINDS.items():
        assert jt.isdtype(dtype, kind) == (dtype.kind in letters)
        assert jt.isdtype(dtype, (kind, jt.int8)) == (dtype.kind in letters or dtype is jt.int8)
    assert [d for d in DTYPES.values() if jt.isdtype(dtype, d)] == [dtype]
    with pytest.raises(jt.DTypeError, match=r"no kind of dtypes 'integer'; known are bool, .* Did you mean .*'"):
        jt.isdtype(dtype, "integer")


@pytest.mark.parametrize("dtype", [d for d in DTYPES.values() if d.kind in "fc"], ids=str)
def test_finfo(dtype):
    for given in (dtype, jt.zeros(2, dtype=dtype)):
        found, expected = jt.finfo(given), np.finfo(dtype.name)
        for name in ("bits", "eps", "max", "min", "smallest_normal", "dtype"):
            assert getattr(found, name) == getattr(expected, name)
        assert type(found.eps) is type(found.max) is type(found.smallest_normal) is float
    with pytest.raises(jt.DTypeError, match=r"iinfo\(\) describes integer dtypes, not .*: use finfo\(\)"):
        jt.iinfo(dtype)
    assert repr(jt.finfo(jt.complex64)) == "jt.finfo(jt.float32)"


@pytest.mark.parametrize("dtype", [d for d in DTYPES.values() if d.kind in "iu"], ids=str)
def test_iinfo(dtype):
    for given in (dtype, jt.zeros(2, dtype=dtype)):
        found, expected = jt.iinfo(given), np.iinfo(dtype.name)
        assert (found.bits, found.max, found.min, found.dtype) == (expected.bits, expected.max, expected.min, dtype)
        assert type(found.max) is type(found.min) is int
    with pytest.raises(jt.DTypeError, match=r"finfo\(\) describes .* dtypes, not .*: use iinfo\(\)"):
        jt.finfo(dtype)
    assert repr(jt.iinfo(jt.uint8)) == "jt.iinfo(jt.uint8)"


# -- inspection -------------------------------------------------------------------------------------------------------


def test_info():
    info = jt.__array_namespace_info__()
    assert info.capabilities() == {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}
    assert info.default_device() == jt.device()
    assert info.default_device() in info.devices()
    assert "strict:2" in info.devices()
    for kind, dtype in info.default_dtypes(device=info.default_device()).items():
        assert info.dtypes(kind="integral" if kind == "indexing" else kind)[dtype.name] is dtype
    assert info.dtypes().keys() == DTYPES.keys() - {"float16"}
    assert info.dtypes(kind=("bool", "complex floating")).keys() == {"bool", "complex64", "complex128"}
    with pytest.raises(jt.NotFoundError, match="no device 'nowhere'"):
        info.default_dtypes(device="nowhere")


def test_devices_of_a_library_that_is_missing_are_left_out(monkeypatch):
    host = type(jt.device().backend)

    def missing(self):
        raise jt.BackendError("its library is missing")

    monkeypatch.setattr(host, "device_count", missing)
    assert all(d.backend.name != "numpy" for d in jt.__array_namespace_info__().devices())


# -- the array object -------------------------------------------------------------------------------------------------


def test_to_device(T):
    x = T([1.0, 2.0], requires_grad=True)
    assert x.to_device(x.device) is x
    moved = x.to_device("strict:1")
    assert moved.device == "strict:1"
    moved.sum().backward()
    assert x.grad.device == x.device
    with pytest.raises(jt.OpError, match="takes no stream"):
        x.to_device(x.device, stream=1)


SCALARS = [(True, bool), (3, int), (2.5, float), (1 + 2j, complex)]


@pytest.mark.parametrize(("value", "kind"), SCALARS, ids=str)
def test_conversions(T, value, kind):
    x = T(value)
    assert kind(x) == value
    assert type(kind(x)) is kind
    if kind is complex:
        for convert in (float, int):
            with pytest.raises(TypeError):
                convert(x)
    else:
        assert complex(x) == value
        assert int(x) == int(value)
    if kind is int:
        assert [0, 1, 2, 3][x] == 3
    else:
        with pytest.raises(jt.DTypeError, match="cannot be an index"):
            x.__index__()


@pytest.mark.parametrize("dtype", ["int8", "uint16", "float32", "complex64"])
def test_in_place_operators_keep_dtype_and_shape(T, dtype):
    x = T([1, 2], dtype)
    before, other = x, T([[1, 2], [3, 4]], dtype)
    x += 1
    x *= T([2, 2], dtype)
    assert x is before
    assert (x.dtype, x.tolist()) == (jt.dtypes.dtype(dtype), [4, 6])
    with pytest.raises(jt.ShapeError, match="must keep shape and dtype"):
        x += other
    if dtype != "complex64":
        with pytest.raises(jt.DTypeError, match="must keep shape and dtype"):
            x += T([1, 2], "complex128" if dtype == "float32" else "int64")
    assert x.tolist() == [4, 6]


def test_setitem(T):
    x = T([[1.0, 2.0], [3.0, 4.0]])
    row = x[0]
    x[0, :] = 7.0
    x[..., 1] = T([8.0, 9.0])
    x[x > 8.5] = 0.0
    assert x.tolist() == [[7.0, 8.0], [3.0, 0.0]]
    assert row.tolist() == [1.0, 2.0]  # no two tensors share what one writes


# -- creation ---------------------------------------------------------------------------------------------------------


def test_asarray_copies_when_told_to(backend, T):
    x = T([1.0, 2.0])
    copied = jt.asarray(x, copy=True)
    shared = jt.asarray(x, copy=False)
    assert shared is jt.asarray(x, dtype=jt.float64, device=backend, copy=False) is x
    x[0] = 5.0
    assert (copied.tolist(), shared.tolist()) == ([1.0, 2.0], [5.0, 2.0])
    with pytest.raises(
        jt.CopyError, match=r"asarray\(copy=False\) of a float64 tensor on .* as float32 on .*: only a copy"
    ):
        jt.asarray(x, dtype=jt.float32, copy=False)
    with pytest.raises(jt.CopyError, match=r"asarray\(copy=False\) of Python's list: a tensor of it is a copy"):
        jt.asarray([1.0], device=backend, copy=False)
    with pytest.raises(jt.CopyError, match=r"asarray\(copy=False\) of this ndarray"):
        jt.asarray(np.ones(2, ">f4"), dtype="float64", copy=False)
    with pytest.raises(TypeError):
        jt.asarray([1.0], "float32")


def test_asarray_of_what_shows_its_memory():
    from array import array

    memory = array("d", [1.0, 2.0])
    t = jt.asarray(memory)
    memory[0] = 7.0
    assert (t.dtype, t.tolist()) == (jt.float64, [7.0, 2.0])
    assert jt.asarray(bytearray(b"a"), copy=False).tolist() == [97]
    with pytest.raises(jt.BackendError, match=r"fractions\.Fraction is not an array of an installed backend"):
        jt.asarray(__import__("fractions").Fraction(1, 2))


def test_a_number_that_does_not_fit(T):
    for call in (lambda x: x + 300, lambda x: x * -1, lambda x: x.at[0].set(2**70)):
        with pytest.raises(jt.DTypeError, match="out of bounds for uint8|too large"):
            call(jt.asarray([1], dtype="uint8"))


def test_asarray_of_a_list_of_tensors(T):
    x = T([1, 2], "int8")
    assert jt.asarray([x[0], x[1]]).dtype == jt.asarray([[x[0]], [x[1]]]).dtype == jt.int8
    made = jt.asarray([[x, x], [x, x]], dtype="float32")
    assert (made.shape, made.dtype, made.device) == ((2, 2, 2), jt.float32, x.device)
    assert jt.asarray([x[0], 2.5]).tolist() == [1.0, 2.5]
    with pytest.raises(jt.DTypeError, match=r"a list of Tensors that require a gradient, .*: join them with jt\.stack"):
        jt.asarray([[T(1.0, requires_grad=True)]])
    with pytest.raises(jt.DTypeError, match=r"or come from inside jvp or vmap, is not data"):
        jt.vmap(lambda x: jt.asarray([x, x]))(T([1.0]))
    with pytest.raises(jt.DeviceMismatchError, match=r"a list of Tensors on .* and strict:1: say which, by device="):
        jt.asarray([x[0], jt.ones((), device="strict:1")])
    assert jt.asarray([x[0], jt.ones((), device="strict:1")], device=x.device).tolist() == [1, 1]


def test_an_axis_that_is_not_there(T):
    """The standard asks for an ``IndexError``, NumPy's is a ``ValueError``, too."""
    x = T([[1.0, 2.0]])
    calls = (
        lambda: jt.expand_dims(x, axis=4),
        lambda: jt.sum(x, axis=2),
        lambda: jt.squeeze(x, axis=-3),
        lambda: jt.flip(x, axis=2),
    )
    for call in calls:
        with pytest.raises(jt.AxisError, match="axis") as e:
            call()
        assert isinstance(e.value, (IndexError, ValueError))


def test_a_number_is_no_sequence(T):
    for use in (len, iter, list):
        with pytest.raises(jt.OpError, match=r"a 0-d tensor is no sequence, it holds one number: take \.item\(\)") as e:
            use(T(1.0))
        assert isinstance(e.value, TypeError)
    assert not np.iterable(T(1.0))


def test_full_of_a_tensor_keeps_its_gradient(T):
    x = T(3.0, requires_grad=True)
    assert jt.grad(lambda x: jt.full((2, 3), x).sum())(x).item() == 6.0
    assert jt.grad(lambda x: jt.full_like(T([1.0, 2.0], "float32"), x).sum())(x).item() == 2.0
    made = jt.full(2, x, dtype="float32")
    assert (made.dtype, made.device, made.tolist()) == (jt.float32, x.device, [3.0, 3.0])
    with pytest.raises(
        jt.ShapeError, match=r"full\(\) takes one number, not a tensor of shape \(2,\): use jt\.broadcast_to"
    ):
        jt.full(2, T([1.0, 2.0]))


def test_asarray_is_recorded(T):
    x = T([1.0, 2.0], requires_grad=True)
    assert jt.grad(lambda x: jt.asarray(x, dtype="float32", copy=True).sum())(x).tolist() == [1.0, 1.0]


def test_astype_moves(T):
    x = T([1, 2], requires_grad=False)
    y = jt.astype(x, jt.float32, device="strict:1")
    assert (y.dtype, y.device, y.tolist()) == (jt.float32, jt.device("strict:1"), [1.0, 2.0])
    assert jt.astype(y, jt.float32, copy=False).tolist() == [1.0, 2.0]


def test_default_dtypes_of_creation(backend):
    made: dict[Any, str] = {
        jt.full(2, True, device=backend): "bool",
        jt.full(2, 1, device=backend): "int64",
        jt.full(2, 1.0, device=backend): "float64",
        jt.full(2, 1j, device=backend): "complex128",
        jt.arange(3, device=backend): "int64",
        jt.arange(0, 1, 0.5, device=backend): "float64",
        jt.linspace(0, 1, 3, device=backend): "float64",
        jt.linspace(0, 1j, 3, device=backend): "complex128",
        jt.eye(2, device=backend): "float64",
        jt.full_like(jt.ones(2, dtype=jt.int8, device=backend), 3): "int8",
    }
    assert [x.dtype.name for x in made] == list(made.values())
    assert all(x.device.backend.name == backend.partition(":")[0] for x in made)


# -- the cost of it ---------------------------------------------------------------------------------------------------


def test_signatures_cost_nothing_at_import():
    """``inspect`` itself takes longer to import than the core: an op's signature is made when it is asked for."""
    code = "import sys, jitrench_core; print('inspect' in sys.modules)"
    assert (
        subprocess.check_output([sys.executable, "-S", "-c", code], text=True, cwd=Path(jt.__file__).parents[1]).strip()
        == "False"
    )


# -- the standard's own suite -----------------------------------------------------------------------------------------


def test_each_expected_failure_of_the_suite_has_a_reason():
    lines = EXPECTED_FAILURES.read_text(encoding="utf-8").splitlines()
    ids = [line.partition(" # ") for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"array_api_tests/test_\w+\.py::\w+(\[.+\])?", test) and reason for test, _, reason in ids)
    assert len({test for test, _, _ in ids}) == len(ids)


def test_the_suites_runner_says_what_it_needs(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("ARRAY_API_TESTS", raising=False)
    assert main([]) == 2
    assert "no path: expected a checkout of data-apis/array-api-tests" in capsys.readouterr().err
    (tmp_path / "array_api_tests").mkdir()
    assert main([str(tmp_path)]) == 2
    assert "array-api is empty: git submodule update --init" in capsys.readouterr().err


def test_the_suites_runner_hands_over_the_expected_failures(tmp_path, monkeypatch):
    """A suite of two tests, of which one fails."""
    known = EXPECTED_FAILURES.read_text(encoding="utf-8").splitlines()[-1].partition(" # ")[0]
    (tmp_path / "array-api" / "src" / "array_api_stubs").mkdir(parents=True)
    (tmp_path / "array-api" / "src" / "array_api_stubs" / "__init__.py").touch()
    (tmp_path / "array_api_tests").mkdir()
    (tmp_path / "conftest.py").write_text(
        "import os, pathlib\n"
        "def pytest_addoption(parser):\n"
        "    parser.addoption('--xfails-file')\n"
        "    parser.addoption('--disable-deadline', action='store_true')\n"
        "def pytest_configure(config):\n"
        "    lines = pathlib.Path(config.getoption('--xfails-file')).read_text().splitlines()\n"
        f"    assert lines[-1] == {known!r}, lines\n"
        "    assert os.environ['ARRAY_API_TESTS_MODULE'] == 'jitrench_core'\n"
    )
    (tmp_path / "array_api_tests" / "test_it.py").write_text(
        "def test_one():\n    pass\ndef test_two():\n    assert 0\n"
    )
    monkeypatch.delenv("ARRAY_API_TESTS_MODULE", raising=False)
    assert main([str(tmp_path), "-q", "-k", "one"]) == 0
    monkeypatch.setenv("ARRAY_API_TESTS", str(tmp_path))
    assert main(["-q"]) == 1
