"""jitrench-fused: every op through the battery, its kernels against their formulas, and what one pass promises of memory."""

from __future__ import annotations

import gc
import math
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import jitrench_core as jt
import jitrench_fused as fused
from jitrench_core.testing import op_tests
from jitrench_core.watching import Watcher
from jitrench_fused import ops
from jitrench_fused.cupy_kernels import PREAMBLE, SOURCES

ROOT_TAU = math.sqrt(2 * math.pi)
BOTH = ("float32", "float64")


# -- the battery ----------------------------------------------------------------------------------------------------


def gelu(z):
    return 0.5 * z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


def gelu_slope(z):
    t = np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))
    return 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z**2)


def logistic(x):
    return 1 / (1 + np.exp(-x))


def by_complex_numbers(x, angles):
    half = x.shape[-1] // 2
    turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
    return np.concatenate((turned.real, turned.imag), axis=-1)


REFERENCES = {
    "swiglu": lambda x, gate: x * gate * logistic(gate),
    "swiglu_grad": lambda v, x, gate: (
        v * gate * logistic(gate),
        v * x * logistic(gate) * (1 + gate * logistic(-gate)),
    ),
    "geglu": lambda x, gate: x * gelu(gate),
    "geglu_grad": lambda v, x, gate: (v * gelu(gate), v * x * gelu_slope(gate)),
    "bias_gelu": lambda x, bias: gelu(x + bias),
    "bias_gelu_grad": lambda v, x, bias: v * gelu_slope(x + bias),
    "gaussian_log_density": lambda x, mean, log_scale: np.log(
        np.exp(-0.5 * ((x - mean) / np.exp(log_scale)) ** 2) / (ROOT_TAU * np.exp(log_scale))
    ),
    "gaussian_log_density_grad": lambda v, x, mean, log_scale: (
        v * (x - mean) / np.exp(2 * log_scale),
        v * ((x - mean) ** 2 / np.exp(2 * log_scale) - 1),
    ),
    "rotary": by_complex_numbers,
}
x, angles = np.linspace(-2, 2, 12).reshape(1, 2, 6), np.linspace(0, 9, 6).reshape(2, 3)
CASES = {
    "rotary": [
        ((x, angles[0]), {}),
        ((x[:, :1], np.asarray(0.7)), {}),
        ((x, angles[None, :, :1]), {}),
        ((x[..., :0], angles[:, :0]), {}),
        ((x[:0], angles), {}),
        ((x[..., ::-1], angles.T.copy().T), {}),
    ]
}

test_op = op_tests("jitrench-fused", references=REFERENCES, cases=CASES)


def test_every_op_has_a_reference():
    assert set(REFERENCES) == {f.op.name for f in fused.OPS}
    assert {f.op.name for f in fused.OPS} == set(SOURCES)


# -- kernels against the formulas --------------------------------------------------------------------------------------


class Formulas(Watcher):
    """Composites run as their ops, so kernels do not."""

    expand = True


class Seen(Watcher):
    """The names of the ops that run."""

    def __init__(self):
        self.names = []

    def op(self, op, arrays, attrs, result):
        self.names.append(op.name)


SHAPES = {  # of the arrays, in turn; some fit one block, some do not
    "one block": [(50,)],
    "0-d": [()],
    "many blocks": [(70_001,)],
    "rows": [(300, 200), (200,)],
    "columns": [(1, 301), (200, 1), ()],
    "none": [(0, 3), (3,)],
}


def operands(function, shapes, dtype, T):
    rng = np.random.default_rng(5)
    names = function.op.inputs
    given = [rng.normal(size=shapes[i % len(shapes)]).astype(dtype) for i in range(len(names))]
    if names[0] == "v":  # an incoming gradient has the result's shape
        given[0] = rng.normal(size=np.broadcast_shapes(*(a.shape for a in given))).astype(dtype)
    return [T(a) for a in given]


def parts(y):
    return y if isinstance(y, tuple) else (y,)


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("name", sorted(set(REFERENCES) - {"rotary"}))
def test_kernels_agree_with_the_formula_to_a_few_ulp(name, shapes, dtype, T):
    function = getattr(jt.ops, name)
    given = operands(function, shapes, dtype, T)
    with Formulas():
        expected = parts(function(*(a.astype(jt.float64) for a in given)))
    for y, e in zip(parts(function(*given)), expected, strict=True):
        assert y.dtype == dtype
        assert y.shape == e.shape
        eps = float(np.finfo(dtype).eps)
        np.testing.assert_allclose(y.numpy(), e.numpy(), rtol=16 * eps, atol=16 * eps)


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("arrange", [lambda a: a[::2, ::-1], lambda a: a.T, np.asfortranarray], ids=["cut", "T", "F"])
def test_any_strides(arrange, dtype, backend):
    rng = np.random.default_rng(2)
    x, gate = (arrange(rng.normal(size=(400, 300)).astype(dtype)) for _ in range(2))
    tol = 16 * float(np.finfo(dtype).eps)
    y = fused.swiglu(jt.asarray(x, device=backend), jt.asarray(gate, device=backend))
    np.testing.assert_allclose(y.numpy(), REFERENCES["swiglu"](x, gate), rtol=tol, atol=tol)
    turned = fused.rotary(jt.asarray(x, device=backend), jt.asarray(gate[:, : x.shape[1] // 2], device=backend))
    expected = by_complex_numbers(x.astype("float64"), gate[:, : x.shape[1] // 2].astype("float64"))
    np.testing.assert_allclose(turned.numpy(), expected, rtol=tol, atol=tol)


def test_one_node_each_way_where_there_is_a_kernel(T, backend):
    x, gate = T([1.0, 2.0], requires_grad=True), T([3.0, 4.0], requires_grad=True)
    with Seen() as seen:
        y = fused.swiglu(x, gate)
        assert ("swiglu" in seen.names) == (backend != "strict:0")
    if backend != "strict:0":
        with Seen() as seen:
            y.backward(T([1.0, 1.0]))
        assert seen.names == ["swiglu_grad"]


# -- dtypes -----------------------------------------------------------------------------------------------------------


def test_float32_stays_float32_with_python_numbers(T):
    x = T([1.0, 2.0], "float32", requires_grad=True)
    for y in (fused.swiglu(x, 2.0), fused.geglu(2.0, x), fused.bias_gelu(x, 1), fused.gaussian_log_density(x, 0.0, 1)):
        assert y.dtype == jt.float32
        x.grad = None
        y.sum().backward()
        assert x.grad.dtype == jt.float32


def test_of_float32_and_float64_comes_float64(T, close):
    x, gate = T([1.0, 2.0], "float32"), T([0.3, 0.4])
    y = fused.swiglu(x, gate)
    assert y.dtype == jt.float64
    assert close(y, fused.swiglu(x.astype(jt.float64), gate))


def test_other_dtypes_are_computed_by_the_formula(backend):
    if not hasattr(jt.device(backend).backend.xp, "float16"):
        pytest.skip("no float16")
    half = jt.asarray(np.asarray([1.0, 2.0, -1.0, 0.5], dtype="float16"), device=backend)
    assert fused.swiglu(half, half).dtype == jt.float16
    turned = fused.rotary(half, half[:2])
    assert turned.dtype == jt.float16
    np.testing.assert_allclose(turned.numpy(), by_complex_numbers(half.numpy(), half.numpy()[:2]), rtol=2e-3)


@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_complex_numbers_are_refused(name, T):
    function = getattr(jt.ops, name)
    z = T(np.asarray([1 + 1j, 2.0]))
    with pytest.raises(jt.DTypeError, match=rf"{name}\(\) takes real numbers, got complex128: take jt.real"):
        function(*[z] * len(function.op.inputs)) if name != "rotary" else function(z, z[:1])
    if name != "rotary":
        with pytest.raises(jt.DTypeError, match=rf"{name}\(\) takes real numbers, got 1j"):
            function(*[T([1.0, 2.0])] * (len(function.op.inputs) - 1), 1j)


def test_shapes_that_do_not_fit(T):
    with pytest.raises(jt.ShapeError, match=r"\(2,\) and \(3,\) do not broadcast"):
        fused.swiglu(T([1.0, 2.0]), T([1.0, 2.0, 3.0]))
    x = T(np.ones((2, 4)))
    with pytest.raises(jt.ShapeError, match=r"rotary\(\) turns pairs .* must be even; x has shape \(2, 3\)"):
        fused.rotary(x[:, :3], T([1.0]))
    with pytest.raises(jt.ShapeError, match=r"rotary\(\) turns pairs .* x has shape \(\)"):
        fused.rotary(T(1.0), T([1.0]))
    for angles in (np.ones(4), np.ones((3, 2, 2)), np.ones((3, 2))):
        with pytest.raises(
            jt.ShapeError, match=r"angles must be an array that broadcasts to \(2, 2\), .*; got shape \(.*\)"
        ):
            fused.rotary(x, T(angles))
    with pytest.raises(jt.ShapeError, match=r"angles must be an array .* got 0\.5"):
        fused.rotary(x, 0.5)


# -- derivatives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["swiglu", "geglu", "bias_gelu", "gaussian_log_density"])
def test_second_derivatives_of_many_blocks(name, T, close):
    function = getattr(fused, name)
    given = operands(function, [(9_001,)], "float64", T)
    each = tuple(range(len(given)))

    def second(f):
        def slopes(*arrays):
            first = jt.grad(lambda *a: f(*a).sum(), argnums=each)(*arrays)
            return sum((k + 1.0) * (g * g).sum() for k, g in enumerate(first))

        return jt.grad(slopes, argnums=each)(*given)

    found, expected = second(function), second(function.op.forward)  # the formula, as a function of ops
    for a, b in zip(found, expected, strict=True):
        assert close(a, b, 1e-11)


def test_a_broadcast_operand_gets_the_sum(T, close):
    x, bias = T(np.linspace(-3, 3, 12).reshape(4, 3)), T([0.1, 0.2, 0.3], requires_grad=True)
    fused.bias_gelu(x, bias).sum().backward()
    assert close(bias.grad, gelu_slope(x.numpy() + bias.numpy()).sum(axis=0))
    mean, log_scale = T(0.5, requires_grad=True), T(np.zeros((4, 1)), requires_grad=True)
    fused.gaussian_log_density(x, mean, log_scale).sum().backward()
    assert close(mean.grad, (x.numpy() - 0.5).sum())
    assert close(log_scale.grad, ((x.numpy() - 0.5) ** 2 - 1).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("dtype", BOTH)
def test_far_from_zero(dtype, T):
    far = T(np.asarray([-1e12, -1e6, -800.0, -90.0, 90.0, 800.0, 1e6, 1e12], dtype), requires_grad=True)
    for y in (fused.swiglu(1.0, far), fused.geglu(1.0, far), fused.bias_gelu(far, 0.0)):
        far.grad = None
        y.sum().backward()
        np.testing.assert_allclose(y.numpy(), np.maximum(far.numpy(), 0), atol=1e-30)
        np.testing.assert_allclose(far.grad.numpy(), far.numpy() > 0, atol=1e-30)


@pytest.mark.parametrize(("dtype", "far"), [("float32", 1e14), ("float64", 1e104)])
def test_slopes_where_the_cube_overflows(dtype, far, T):
    x = T(np.asarray([-far, far], dtype), requires_grad=True)
    for f in (lambda x: fused.geglu(1.0, x), lambda x: fused.bias_gelu(x, 0.0)):
        x.grad = None
        with np.errstate(over="ignore"):
            f(x).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), [0.0, 1.0])


def test_what_no_gradient_comes_to_has_none_even_where_it_overflows(T):
    x, log_scale = T([1e-10, 1.0]), T([-370.0, 0.0])  # z * exp(370) is 1e311
    mean = T([0.0, 0.0], requires_grad=True)
    with np.errstate(over="ignore"):
        y = fused.gaussian_log_density(x, mean, log_scale)
        jt.where(T([0.0, 1.0]) > 0, y, 0.0).sum().backward()
    assert mean.grad.tolist() == [0.0, 1.0]


def test_rotary_turns(T, close):
    rng = np.random.default_rng(0)
    x, k = T(rng.normal(size=(5, 8))), T(rng.normal(size=(5, 8)))
    first, second = T(rng.normal(size=(5, 4))), T(rng.normal(size=4))
    turned = fused.rotary(x, first)
    assert close((turned * turned).sum(axis=-1), (x * x).sum(axis=-1))
    assert close(fused.rotary(turned, -first), x)
    assert close(fused.rotary(turned, second), fused.rotary(x, first + second))
    # Products of queries and keys know the distance of their positions alone: what it is for.
    products = (fused.rotary(x, first) * fused.rotary(k, second)).sum(axis=-1)
    assert close(products, (fused.rotary(x, first + 0.7) * fused.rotary(k, second + 0.7)).sum(axis=-1))


# -- memory -----------------------------------------------------------------------------------------------------------

SIZE = 2_000_000


def allocated(call):
    """Bytes that ``call`` needed at most and those that its result still holds, in units of SIZE float64 numbers."""
    call()
    gc.collect()
    tracemalloc.start()
    try:
        kept = call()
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del kept
    return peak / (8 * SIZE), now / (8 * SIZE)


def numbers(requires_grad=False, shape=(SIZE,)):
    return jt.tensor(np.linspace(-3, 3, math.prod(shape)).reshape(shape), device="numpy", requires_grad=requires_grad)


@pytest.mark.parametrize("name", sorted(set(REFERENCES) - {"rotary"}))
def test_numpy_kernels_make_their_results_and_no_other_large_array(name):
    function = getattr(jt.ops, name)
    given = [numbers() for _ in function.op.inputs]
    peak, _ = allocated(lambda: function(*given))
    assert function.op.outputs <= peak < function.op.outputs + 0.15
    given[-1] = jt.ones((), device="numpy")
    assert allocated(lambda: function(*given))[0] < function.op.outputs + 0.25  # with the buffers of nditer


@pytest.mark.parametrize("name", ["swiglu", "geglu", "bias_gelu", "gaussian_log_density"])
def test_the_graph_keeps_the_inputs_and_nothing_else(name):
    function = getattr(fused, name)
    given = [numbers(requires_grad=True) for _ in function.op.inputs]
    assert allocated(lambda: function(*given))[1] < 1.1  # the result
    assert allocated(lambda: function.op.forward(*given))[1] > 2.9  # what each of its ops keeps


def test_rotary_keeps_the_angles_alone():
    x, angles = numbers(True, (8, SIZE // 320, 40)), numbers(False, (SIZE // 320, 20))
    peak, kept = allocated(lambda: fused.rotary(x, angles))
    assert kept < 1.1
    assert peak < 1.4  # cos and sin of the angles are a sixteenth each

    def turned():
        return fused.rotary(x + 0.0, angles)  # nobody else holds the sum

    assert allocated(turned)[1] < 1.1


# -- the package ------------------------------------------------------------------------------------------------------


def test_it_is_light_until_it_is_used():
    code = "import sys, jitrench_fused; print([m for m in ('numpy', 'cupy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize("dtype", ["float", "double"])
@pytest.mark.parametrize("name", sorted(SOURCES))
def test_cuda_sources_compile(name, dtype):
    nvrtc = pytest.importorskip("cupy.cuda.nvrtc", reason="NVRTC, which comes with CuPy, is not installed")
    if not hasattr(nvrtc, "createProgram"):
        pytest.skip("this CuPy has no NVRTC")
    inputs, outputs, body = SOURCES[name]
    read, written = ([p.split()[1] for p in part.split(", ")] for part in (inputs, outputs))
    taken = ", ".join([f"const T* _{p}" for p in read] + [f"T* _{p}" for p in written])
    named = " ".join([f"const T& {p} = _{p}[0];" for p in read] + [f"T& {p} = _{p}[0];" for p in written])
    source = f'typedef {dtype} T;{PREAMBLE}extern "C" __global__ void f({taken}) {{ {named} {body} }}'
    program = nvrtc.createProgram(source, f"{name}.cu", (), ())
    try:
        nvrtc.compileProgram(program, ("-arch=compute_80",))
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    assert ("f64" in str(nvrtc.getPTX(program))) == (dtype == "double")  # of float32 nothing is done in double


def test_constants_are_those_of_the_papers():
    assert math.isclose(ops.SLOPE, 2 * math.sqrt(2 / math.pi))
    assert math.isclose(ops.LOG_ROOT_TAU, math.log(ROOT_TAU))
