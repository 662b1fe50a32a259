"""Devices, several backends in one process, weak scalars, dtypes, and what an import may do."""

from __future__ import annotations

import operator
import pickle
import subprocess
import sys
import types
from importlib.metadata import entry_points
from typing import ClassVar

import numpy as np
import pytest

import jitrench_core as jt
from jitrench_core import plugins

INSTALLED = {point.name for point in entry_points(group="jitrench")}
needs_strict = pytest.mark.skipif("strict" not in INSTALLED, reason="jitrench-strict is not installed")
needs_cupy_package = pytest.mark.skipif("cupy" not in INSTALLED, reason="jitrench-cupy is not installed")


def run(code: str, **environment: str) -> str:
    """What ``code`` prints in a fresh process that has only ``environment`` and no plugin settings of its own."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env={"PATH": "", **environment}
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


# -- devices --------------------------------------------------------------------------------------------------------


def test_a_device_equals_its_spellings():
    cpu = jt.device("cpu")
    assert str(cpu) == "numpy"
    assert repr(cpu) == "jt.device('numpy')"
    for spelling in ("numpy", "cpu", "numpy:0", "cpu:0", jt.device("numpy"), cpu):
        assert cpu == spelling
    for other in ("numpy:1", "strict", "strict:0", "nothing", "", 0, None):
        assert cpu != other
    assert hash(cpu) == hash(jt.device("numpy"))
    assert jt.device(cpu) is cpu
    assert pickle.loads(pickle.dumps(cpu)) == cpu


@needs_strict
def test_numbered_devices():
    first, second = jt.device("strict"), jt.device("strict:1")
    assert (str(first), str(second)) == ("strict:0", "strict:1")
    assert first == "strict"
    assert first == "strict:0"
    assert first != second
    assert first != "cpu"
    assert len({first, second, jt.device("strict:0"), jt.device("strict:1")}) == 2
    assert pickle.loads(pickle.dumps(second)) == second


def test_tensors_know_their_device(T, backend):
    x = T([1.0, 2.0])
    assert x.device == backend
    assert str(x.device) == backend
    for y in (x + 1, x.sum(), x[0], x.reshape((2, 1)), jt.concat([x, x]), -x):
        assert y.device == backend
    for y in (jt.zeros(2, device=backend), jt.arange(3, device=x.device), jt.ones_like(x), jt.full_like(x, 2.0)):
        assert y.device == backend


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "nunpy",
            "no device 'nunpy': installed backends are .*numpy.* Did you mean 'numpy'.*`jitrench plugins` shows broken ones",
        ),
        ("numpy:1", r"no device 'numpy:1': backend 'numpy' has 1 device\(s\)"),
        ("cpu:x", "no device 'cpu:x': write 'cpu' or 'cpu:0'"),
        pytest.param("strict:3", r"no device 'strict:3': backend 'strict' has 3 device\(s\)", marks=needs_strict),
        pytest.param("strict:-1", "no device 'strict:-1': write 'strict' or 'strict:0'", marks=needs_strict),
        pytest.param("strickt:0", "no device 'strickt:0'.* Did you mean 'strict'", marks=needs_strict),
    ],
)
def test_unknown_devices(spec, message):
    with pytest.raises(jt.NotFoundError, match=message):
        jt.device(spec)
    with pytest.raises(jt.NotFoundError, match=message):
        jt.tensor([1.0], device=spec)


def test_an_array_of_no_backend():
    class Foreign:
        shape = ()

    with pytest.raises(jt.BackendError, match=r"Foreign is not an array of an installed backend \(.*numpy.*\)"):
        jt.tensor(Foreign())
    with pytest.raises(jt.DTypeError, match=r"add\(\) takes Tensors.* got .*Foreign"):
        jt.add(jt.tensor(1.0), Foreign())


PRINT_DEVICE = "import jitrench_core as jt; print(jt.zeros(2).device, jt.tensor([1.0]).device, jt.device())"
PRINT_ERROR = """
import jitrench_core as jt
try:
    jt.zeros(2)
except jt.BackendError as e:
    print(e)
"""


def test_the_default_device_is_numpy():
    assert jt.device() == "numpy"
    assert jt.tensor([1.0]).device == "numpy"
    assert run(PRINT_DEVICE) == "numpy numpy numpy"


@needs_strict
def test_the_only_backend_is_the_default():
    assert run(PRINT_DEVICE, JITRENCH_PLUGINS="strict") == "strict:0 strict:0 strict:0"


def test_no_backend_says_what_to_install():
    assert "no backend is installed" in (said := run(PRINT_ERROR, JITRENCH_PLUGINS=""))
    assert "pip install jitrench-numpy" in said


@needs_strict
@needs_cupy_package
def test_no_default_among_several():
    said = run(PRINT_ERROR, JITRENCH_PLUGINS="strict,cupy")
    assert said.startswith("no default device among cupy, strict: pass device=")


def test_conflicting_names_and_aliases():
    for name, aliases, taken in (("numpy", (), "numpy"), ("other", ("cpu",), "cpu"), ("cpu", (), "cpu")):
        made = jt.Backend(name, "nothing", aliases=aliases)
        plugin = types.ModuleType("clash")
        plugin.register_backends = jt.hookimpl(_registers(made))
        with pytest.raises(jt.DuplicateError, match=f"both 'numpy' and 'clash' .* the device '{taken}'"):
            plugins.register(plugin, "clash")
        with pytest.raises(jt.NotFoundError):
            jt.device("other")
    assert jt.device("cpu") == "numpy"


def _registers(backend):
    def register_backends(register):
        register(backend)

    return register_backends


# -- operands on different devices ----------------------------------------------------------------------------------

BINARY = {
    "add": jt.add,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "pow": operator.pow,
    "less": operator.lt,
    "maximum": jt.maximum,
    "matmul": operator.matmul,
    "concat": lambda x, y: jt.concat([x, y]),
    "stack": lambda x, y: jt.stack([x, y]),
    "where": lambda x, y: jt.where(x > 0, x, y),
    "clip": lambda x, y: jt.clip(x, y, None),
    "getitem": lambda x, y: x[y > 0],
}
PAIRS = [("numpy", "strict:0"), ("strict:0", "numpy"), ("strict:0", "strict:1"), ("strict:2", "strict:1")]


@needs_strict
@pytest.mark.parametrize("devices", PAIRS, ids="-".join)
@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("tracked", [False, True], ids=["plain", "tracked"])
def test_devices_never_mix(name, devices, tracked):
    x, y = (jt.tensor([1.0, 2.0], device=d, requires_grad=tracked) for d in devices)
    with pytest.raises(jt.DeviceMismatchError) as caught:
        BINARY[name](x, y)
    said = str(caught.value)
    assert said.startswith(f"{name}() got operands on different devices: ")
    for device in devices:
        assert f"(2,) on {device}" in said
    assert "Nothing is moved silently: move one first, such as x.to(" in said
    assert isinstance(caught.value, ValueError)


@needs_strict
@pytest.mark.parametrize("devices", PAIRS, ids="-".join)
def test_bare_arrays_and_assignments_do_not_mix_either(devices):
    x, y = (jt.tensor([1.0, 2.0], device=d) for d in devices)
    with pytest.raises(jt.DeviceMismatchError, match=r"add\(\) got operands on different devices"):
        x + y.data
    with pytest.raises(jt.DeviceMismatchError, match=r"add\(\) got operands on different devices"):
        jt.add(x.data, y)
    with pytest.raises(jt.DeviceMismatchError, match=r"setitem\(\) got operands on different devices"):
        x[0] = y[0]
    with pytest.raises(jt.DeviceMismatchError, match=r"add\(\) got operands on different devices"):
        x += y
    assert x.tolist() == [1.0, 2.0]


@needs_strict
def test_the_message_names_shape_and_dtype():
    x, y = jt.ones((2, 3), dtype="float32", device="strict:1"), jt.ones(3)
    with pytest.raises(jt.DeviceMismatchError, match=r"float32 \(2, 3\) on strict:1, float64 \(3,\) on numpy"):
        x * y
    y = jt.ones(3, device="strict:2")
    with pytest.raises(jt.DeviceMismatchError, match=r"float32 \(2, 3\) on strict:1, float64 \(3,\) on strict:2"):
        x * y


# -- moving ---------------------------------------------------------------------------------------------------------

TARGETS = ["numpy", pytest.param("strict:0", marks=needs_strict), pytest.param("strict:1", marks=needs_strict)]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "bool", "complex64"])
def test_to_keeps_values_and_dtype(target, dtype, T, backend):
    x = T([[0, 1], [2, 3]], dtype)
    y = x.to(target)
    assert y.device == target
    assert y.dtype == getattr(jt, dtype)
    assert y.tolist() == x.tolist()
    back = y.to(backend)
    assert back.device == backend
    assert back.tolist() == x.tolist()
    assert x.to(backend) is x
    assert jt.asarray(x, device=target).device == target
    assert jt.tensor(x, device=target).tolist() == x.tolist()


@pytest.mark.parametrize("target", TARGETS)
def test_gradients_cross_devices_and_come_back(target, T, backend):
    x = T([1.0, 2.0], "float32", requires_grad=True)
    y = x.to(target)
    z = (y * y * y).to(backend)
    (z * x).sum().backward(create_graph=True)
    assert x.grad.device == backend
    assert x.grad.dtype == jt.float32
    assert x.grad.tolist() == [4.0, 32.0]  # of x**4
    first = x.grad
    x.grad = None
    first.sum().backward()
    assert x.grad.device == backend
    assert x.grad.tolist() == [12.0, 48.0]


@pytest.mark.parametrize("target", TARGETS)
def test_forward_mode_and_batches_cross_devices(target, T, backend):
    def f(x):
        y = x.to(target)
        return (y * y).to(backend)

    value, moved = jt.jvp(f, (T([1.0, 2.0]),), (T([1.0, 10.0]),))
    assert (value.device, moved.device) == (backend, backend)
    assert (value.tolist(), moved.tolist()) == ([1.0, 4.0], [2.0, 40.0])
    batch = jt.vmap(jt.grad(lambda x: f(x).sum()))(T([[1.0, 2.0], [3.0, 4.0]]))
    assert batch.device == backend
    assert batch.tolist() == [[2.0, 4.0], [6.0, 8.0]]


def test_a_leaf_on_each_of_several_backends(T, backend):
    x = T([1.0, 2.0], requires_grad=True)
    y = jt.tensor([3.0, 4.0], device="numpy", requires_grad=True)
    (x.to("numpy") * y).sum().backward()
    assert (x.grad.device, y.grad.device) == (backend, "numpy")
    assert (x.grad.tolist(), y.grad.tolist()) == ([3.0, 4.0], [1.0, 2.0])


def test_moving_to_nowhere(T):
    with pytest.raises(jt.NotFoundError, match="no device 'gpu'"):
        T([1.0]).to("gpu")


# -- several backends in one process --------------------------------------------------------------------------------


@needs_strict
def test_backends_work_side_by_side():
    import array_api_strict as xp

    made = [np.asarray([1.0, 2.0]), xp.asarray([1.0, 2.0]), xp.asarray([1.0, 2.0], device=xp.Device("device2"))]
    leaves = []
    for array in made:
        x = jt.asarray(array)
        x.requires_grad = True
        leaves.append(x)
    losses = [jt.sum(jt.exp(x) * x) for x in leaves]
    for loss in reversed(losses):
        loss.backward()
    assert [str(x.device) for x in leaves] == ["numpy", "strict:0", "strict:2"]
    for x, array in zip(leaves, made, strict=True):
        assert type(x.grad.data) is type(array)
        assert x.grad.device == x.device
        np.testing.assert_allclose(x.grad.numpy(), np.exp([1.0, 2.0]) * [2.0, 3.0])


def test_functions_take_the_librarys_own_arrays(backend, T, close):
    array = T([0.0, 0.5]).data
    y = jt.sin(array)
    assert isinstance(y, jt.Tensor)
    assert y.device == backend
    close(y, np.sin([0.0, 0.5]))
    close(T([1.0, 1.0]) - array, [1.0, 0.5])
    if not backend.startswith("strict"):  # its operators refuse what is not its own, where they should defer
        close(array + T([1.0, 1.0]), [1.0, 1.5])


@needs_strict
def test_defaults_are_the_cores_whatever_the_library_prefers():
    for device in ("numpy", "strict:0", "strict:2"):  # strict:2 prefers float32
        made = {
            "float64": [jt.zeros(2, device=device), jt.ones(2, device=device), jt.eye(2, device=device)],
            "int64": [jt.tensor([1, 2], device=device), jt.arange(3, device=device), jt.full(2, 1, device=device)],
            "bool": [jt.tensor(True, device=device), jt.full((), True, device=device)],
            "complex128": [jt.tensor(1j, device=device)],
        }
        made["float64"] += [
            jt.empty(2, device=device),
            jt.linspace(0, 1, 3, device=device),
            jt.arange(0, 1, 0.5, device=device),
            jt.full(2, 1.5, device=device),
            jt.tensor(1.5, device=device),
            jt.where(jt.tensor([True, False], device=device), 1.0, 0.0),
            jt.where(jt.tensor([True, False], device=device), 1, 0.5),
            jt.mean(jt.zeros(2, device=device)),
        ]
        made["int64"].append(jt.where(jt.tensor([True, False], device=device), 1, 0))
        made["bool"].append(jt.where(jt.tensor([True, False], device=device), True, False))
        for dtype, tensors in made.items():
            assert [t.dtype.name for t in tensors] == [dtype] * len(tensors)
            assert {str(t.device) for t in tensors} == {device}


# -- weak scalars ---------------------------------------------------------------------------------------------------

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
FLOATS = [2, 2.0, True, np.float64(2.0), np.float32(2.0), np.float16(2.0), np.int64(2), np.int8(2), np.bool_(True)]
INTEGERS = [2, True, np.int64(2), np.int8(2), np.uint8(2), np.bool_(True)]


def _id(value):
    return f"{'np.' if isinstance(value, np.generic) else ''}{type(value).__name__}-{value}"


@pytest.mark.parametrize("scalar", FLOATS, ids=_id)
@pytest.mark.parametrize("function", ARITHMETIC, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scalars_are_weak_beside_floats(function, dtype, scalar, T, backend, close):
    x = T([1.0, 2.5], dtype, requires_grad=True)
    plain = float(scalar)
    tol = 1e-6 if dtype == "float32" else 1e-14
    for y, expected in (
        (function(x, scalar), function(np.asarray([1.0, 2.5]), plain)),
        (function(scalar, x), function(plain, np.asarray([1.0, 2.5]))),
    ):
        assert type(y) is jt.Tensor
        assert y.dtype == getattr(jt, dtype)
        assert y.device == backend
        close(y, expected, tol)
        x.grad = None
        y.sum().backward()
        assert x.grad.dtype == getattr(jt, dtype)


@pytest.mark.parametrize("scalar", INTEGERS, ids=_id)
@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8"])
def test_scalars_are_weak_beside_integers(dtype, scalar, T):
    x = T([1, 5], dtype)
    if isinstance(scalar, (bool, np.bool_)):
        scalar = type(scalar)(1)
    for function in (operator.add, operator.mul, operator.floordiv, operator.mod, operator.and_, operator.lshift):
        for y, expected in (
            (function(x, scalar), [function(v, int(scalar)) for v in (1, 5)]),
            (function(scalar, x), [function(int(scalar), v) for v in (1, 5)]),
        ):
            assert y.dtype == getattr(jt, dtype)
            assert y.tolist() == expected


@pytest.mark.parametrize("scalar", [True, np.bool_(True)], ids=_id)
def test_scalars_are_weak_beside_booleans(scalar, T):
    x = T([True, False])
    for function in (operator.and_, operator.or_, operator.xor):
        for y in (function(x, scalar), function(scalar, x)):
            assert y.dtype == jt.bool
            assert y.tolist() == [bool(function(v, True)) for v in (True, False)]


@pytest.mark.parametrize("scalar", [2, 2.0, np.float64(2.0), np.float32(2.0), np.int64(2)], ids=_id)
def test_comparisons_with_scalars(scalar, T):
    for dtype in ("float32", "float64"):
        x = T([1.0, 2.0, 3.0], dtype)
        assert (x < scalar).tolist() == [True, False, False]
        assert (scalar < x).tolist() == [False, False, True]
        assert (x == scalar).tolist() == [False, True, False]
        assert (scalar == x).tolist() == [False, True, False]
        assert (scalar != x).tolist() == [True, False, True]
        assert (x >= scalar).dtype == jt.bool


@pytest.mark.parametrize("scalar", [0.5, np.float64(0.5), np.float32(0.5), np.float16(0.5)], ids=_id)
def test_scalars_in_functions_of_several_arrays(scalar, T, close):
    x = T([0.25, 1.0], "float32", requires_grad=True)
    for y, expected in (
        (jt.maximum(x, scalar), [0.5, 1.0]),
        (jt.minimum(scalar, x), [0.25, 0.5]),
        (jt.where(x > scalar, x, scalar), [0.5, 1.0]),
        (jt.where(x > scalar, scalar, x), [0.25, 0.5]),
        (jt.clip(x, scalar, None), [0.5, 1.0]),
        (jt.clip(x, None, scalar), [0.25, 0.5]),
        (jt.atan2(x, scalar), np.arctan2([0.25, 1.0], 0.5)),
    ):
        assert y.dtype == jt.float32
        close(y, expected, 1e-6)
        x.grad = None
        y.sum().backward()
        assert x.grad.dtype == jt.float32


def test_scalars_written_into_a_tensor(T):
    for scalar in (3, 3.0, np.float64(3.0), np.int64(3)):
        x = T([1.0, 2.0], "float32")
        x[0] = scalar
        assert x.dtype == jt.float32
        assert x.tolist() == [3.0, 2.0]
        x += scalar
        assert x.dtype == jt.float32
        assert x.tolist() == [6.0, 5.0]


def test_a_tensor_of_no_dimension_is_not_weak(T):
    x, y = T([1.0, 2.0], "float32"), T(2.0, "float64")
    assert (x * y).dtype == jt.float64
    x, y = T(1.0, "float32", requires_grad=True), T([1.0, 2.0], "float64")
    (x * y).sum().backward()
    assert x.grad.dtype == jt.float32


def test_functions_of_scalars_only_use_the_default_device():
    y = jt.sin(0.5)
    assert y.device == "numpy"
    assert y.dtype == jt.float64
    assert jt.add(1, 2).dtype == jt.int64


# -- dtypes ---------------------------------------------------------------------------------------------------------

NAMES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float32", "float64", "complex64", "complex128",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_dtypes_equal_numpys(name):
    ours = getattr(jt, name)
    theirs = np.dtype(name)
    assert ours == theirs
    assert theirs == ours
    assert ours == theirs.type
    assert theirs.type == ours
    assert ours == getattr(jt, name)
    assert ours != jt.float16
    assert ours != np.dtype("float16")
    assert hash(ours) == hash(pickle.loads(pickle.dumps(ours)))
    assert pickle.loads(pickle.dumps(ours)) is ours
    assert {ours: 1}[pickle.loads(pickle.dumps(ours))] == 1
    assert (str(ours), repr(ours)) == (name, f"jt.{name}")
    assert ours.bits == theirs.itemsize * 8


@pytest.mark.parametrize("name", NAMES)
def test_dtypes_on_the_backend(name, T, backend):
    for spec in (name, getattr(jt, name), np.dtype(name), np.dtype(name).type):
        x = T([0, 1], spec)
        assert x.dtype is getattr(jt, name)
        assert x.numpy().dtype == np.dtype(name)
        assert jt.zeros(2, dtype=spec, device=backend).dtype is getattr(jt, name)
        assert jt.astype(T([0.0, 1.0]), spec).dtype is getattr(jt, name)


def test_python_types_and_unknown_names_as_dtypes(T):
    expected = {bool: jt.bool, int: jt.int64, float: jt.float64, complex: jt.complex128}
    for spec, dtype in expected.items():
        assert T([0, 1], spec).dtype is dtype
        assert jt.astype(T([0, 1]), spec).dtype is dtype
    for wrong in ("flaot32", "object", "str", object, 3):
        with pytest.raises(jt.DTypeError, match="no dtype"):
            T([0, 1], wrong)
        with pytest.raises(jt.DTypeError, match="no dtype"):
            jt.astype(T([0, 1]), wrong)
    with pytest.raises(jt.DTypeError, match="Did you mean 'float32'"):
        T([0, 1], "flaot32")


@needs_strict
def test_a_dtype_that_a_backend_lacks():
    assert jt.zeros(2, dtype="float16").dtype == jt.float16
    with pytest.raises(jt.DTypeError, match="backend 'strict' has no dtype float16"):
        jt.zeros(2, dtype="float16", device="strict")


def test_float32_stays_float32(T):
    x = T([[0.5, 1.5], [2.5, 3.5]], "float32", requires_grad=True)
    w = T([[0.1], [0.2]], "float32", requires_grad=True)
    y = jt.softmax(jt.tanh(x @ w + 1.0) * 2 / 3 - x.mean() ** 0.5, axis=0)
    y = jt.where(y > 0.1, y, 0.0) + jt.logsumexp(x, axis=0, keepdims=True)[:, :1] + x[0, 1] + jt.concat([y, w])[1:3]
    assert y.dtype == jt.float32
    y.sum().backward(create_graph=True)
    for t in (x, w):
        assert t.grad.dtype == jt.float32
        assert t.grad.shape == t.shape
    second = (x.grad * x.grad).sum()
    x.grad = None
    second.backward()
    assert x.grad.dtype == jt.float32


# -- what an import may do ------------------------------------------------------------------------------------------

WATCH = """
import os, sys

read = []

class Watched(type(os.environ)):
    def __getitem__(self, key):
        read.append(key)
        return super().__getitem__(key)

    def __contains__(self, key):
        read.append(key)
        return super().__contains__(key)

    def __iter__(self):
        read.append("all")
        return super().__iter__()

os.environ.__class__ = Watched
LIBRARIES = {"numpy", "array_api_strict", "array_api_compat", "cupy", "torch", "jax", "scipy"}
"""


def test_importing_the_core_is_quiet():
    said = run(
        WATCH
        + """
import jitrench_core, jitrench_core.testing
print(sorted(LIBRARIES & set(sys.modules)), read, "importlib.metadata" in sys.modules)
print([m for m in sys.modules if m.startswith("jitrench") and not m.startswith("jitrench_core")])
"""
    )
    assert said == "[] [] False\n[]"


@pytest.mark.parametrize("name", sorted({"numpy", "strict", "cupy"} & INSTALLED))
def test_importing_a_backend_package_is_quiet(name):
    said = run(WATCH + f"import jitrench_{name}\nprint(sorted(LIBRARIES & set(sys.modules)), read)")
    assert said == "[] []"


def test_loading_the_plugins_imports_no_array_library():
    said = run(
        WATCH
        + "import jitrench_core as jt\njt.device('cpu')\nprint(sorted(LIBRARIES & set(sys.modules)), sorted(set(read)))"
    )
    assert said == "[] ['JITRENCH_DISABLE_PLUGINS', 'JITRENCH_PLUGINS', 'JITRENCH_STRICT_PLUGINS']"


def test_a_tensor_imports_its_own_library_only():
    said = run(WATCH + "import jitrench_core as jt\njt.tensor([1.0])\nprint(sorted(LIBRARIES & set(sys.modules)))")
    assert said == "['numpy']"


# -- CuPy, as far as that goes without a GPU --------------------------------------------------------------------------


@pytest.fixture
def cupy_backend():
    """A backend of its own, which is not registered."""
    return pytest.importorskip("jitrench_cupy", reason="jitrench-cupy is not installed").CuPy()


class Array:
    """What the backend asks of a ``cupy.ndarray``."""

    __module__ = "cupy"

    def __init__(self, index):
        self.device = types.SimpleNamespace(id=index)


class Gpu:
    """What the backend asks of ``cupy.cuda.Device``: a context manager."""

    entered: ClassVar[list[int]] = []

    def __init__(self, index):
        self.index = index

    def __enter__(self):
        Gpu.entered.append(self.index)

    def __exit__(self, *exc):
        Gpu.entered.append(-1)


class NoDriver(RuntimeError):
    pass


def fake_namespace(count):
    def get_device_count():
        if count is None:
            raise NoDriver("cudaErrorInsufficientDriver")
        return count

    runtime = types.SimpleNamespace(getDeviceCount=get_device_count, CUDARuntimeError=NoDriver)
    return types.SimpleNamespace(ndarray=Array, cuda=types.SimpleNamespace(Device=Gpu, runtime=runtime))


@needs_cupy_package
def test_cupy_is_registered_without_being_imported():
    said = run(
        "import sys, jitrench_core as jt\n"
        "d = jt.device('cuda')\n"
        "print(d, repr(d), d == 'cuda:0', d == 'cupy', d == 'cupy:0', jt.device('cupy') == d, 'cupy' in sys.modules)"
    )
    assert said == "cupy:0 jt.device('cupy:0') True True True True False"


def test_cupy_that_does_not_import(cupy_backend, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # import raises
    monkeypatch.delitem(sys.modules, "array_api_compat.cupy", raising=False)
    with pytest.raises(
        jt.BackendError, match=r"'array_api_compat\.cupy', which does not import: .*Install the CuPy of your"
    ):
        cupy_backend.asarray([1.0])
    with pytest.raises(jt.BackendError, match=r"pip install 'jitrench-cupy\[cuda13\]', or \[cuda12\]"):
        cupy_backend.create("zeros", 3, dtype=jt.float64, index=0)


@pytest.mark.parametrize("count", [None, 0])
def test_cupy_without_a_gpu(cupy_backend, count):
    cupy_backend._xp = fake_namespace(count)
    assert cupy_backend.device_count() == 0
    with pytest.raises(jt.BackendError, match="no GPU for 'cupy:0': CuPy finds 0"):
        cupy_backend.asarray([1.0])
    with pytest.raises(jt.BackendError, match="no GPU for 'cupy:1': CuPy finds 0"):
        cupy_backend.create("zeros", 3, dtype=jt.float64, index=1)


def test_cupy_kernels_run_under_their_operands_device(cupy_backend):
    cupy_backend._xp = fake_namespace(2)
    kernel = cupy_backend.bind(lambda *arrays, scale: (Gpu.entered[-1], scale))
    Gpu.entered.clear()
    assert kernel(Array(1), 2.0, Array(1), scale=3) == (1, 3)
    assert Gpu.entered == [1, -1]
    with pytest.raises(ValueError, match="operands on GPUs 0, 1"):
        kernel(Array(0), Array(1), scale=1)
    assert Gpu.entered == [1, -1]
    assert (cupy_backend.index_of(Array(1)), str(cupy_backend.device_of(Array(1)))) == (1, "cupy:1")


def test_cupy_with_one_gpu_pays_nothing(cupy_backend):
    cupy_backend._xp = fake_namespace(1)
    kernel = len
    assert cupy_backend.bind(kernel) is kernel
