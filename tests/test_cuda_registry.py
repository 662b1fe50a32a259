"""How each op runs on CuPy, as far as that is seen without a GPU; and on one, that its kernels agree with the ops' own forwards.

The first part reads the kernels' files, and needs no CuPy. The second compiles every CUDA source, where CuPy has its compiler (NVRTC). The third
runs by ``pytest --backend=cupy``, on a GPU or on what stands in for one (tests/cupy_on_cpu).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import backends_under_test, usable

import jitrench_core as jt
from jitrench_core.testing.battery import Run, sample

jitrench_cupy = pytest.importorskip("jitrench_cupy", reason="jitrench-cupy is not installed")
pytest.importorskip("jitrench_nn", reason="jitrench-nn is not installed")
pytest.importorskip("jitrench_optim", reason="jitrench-optim is not installed")

from jitrench_cupy import kernels  # noqa: E402

HOME = Path(kernels.__file__).parent
SOURCES = sorted(p for p in (HOME.parent / "cuda").glob("*.cu") if p.stem != "common")
OURS = [n for n in jt.registry.ops if re.fullmatch("jitrench-core|(jitrench-)?(nn|optim)", jt.registry.ops.owners[n])]


def tree(file: str) -> ast.Module:
    return ast.parse((HOME / f"{file}.py").read_text(encoding="utf-8"))


# -- without CuPy -----------------------------------------------------------------------------------------------------


def test_kernels_are_of_ops_that_there_are():
    assert set(kernels.KERNELS) == {name for names in kernels.FAMILIES.values() for name in names}
    for names in (kernels.KERNELS, kernels.SYNCHRONISES, kernels.MISSING):
        assert set(names) <= set(OURS)
    assert not set(kernels.MISSING) & set(kernels.KERNELS)


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    for file, names in kernels.FAMILIES.items():
        defined = {node.name: node for node in tree(file).body if isinstance(node, ast.FunctionDef)}
        for name in names:
            if name in defined:
                yield name, defined[name]


def literal(node: ast.expr | None) -> Any:
    return "none" if node is None else ast.literal_eval(node)


@pytest.mark.parametrize(("name", "function"), [pytest.param(*f, id=f[0]) for f in functions()])
def test_a_kernel_takes_what_its_op_takes(name, function):
    op, args = jt.registry.ops[name].op, function.args
    if op.variadic:
        assert args.vararg is not None
    else:
        assert len(args.posonlyargs) >= len(op.arrays)
        assert sum(isinstance(d, ast.Constant) and d.value is None for d in args.defaults) >= len(op.optional)
    taken = [*args.posonlyargs[len(op.arrays) :], *args.args, *args.kwonlyargs]
    positional = [a.arg for a in (*args.posonlyargs, *args.args)]
    defaults = dict(zip(positional[len(positional) - len(args.defaults) :], args.defaults, strict=True))
    defaults |= dict(zip([a.arg for a in args.kwonlyargs], args.kw_defaults, strict=True))
    assert {a.arg for a in taken} == set(op.attrs)
    for attribute, default in op.attrs.items():
        given = literal(defaults.get(attribute))
        assert given == default or given == "none", attribute


def table(name: str) -> dict[str, Any]:
    found = [n.value for n in tree("elementwise").body if isinstance(n, ast.Assign) and n.targets[0].id == name]  # type: ignore[attr-defined]
    return ast.literal_eval(found[0])  # type: ignore[no-any-return]


def test_every_other_kernel_is_in_a_table_with_its_ops_attributes():
    written = {name for name, _ in functions()}
    of_one, of_more = table("OF_ONE"), table("OF_MORE")
    assert set(kernels.KERNELS) - written == set(of_one) | set(of_more)
    for name, (attributes, _) in of_one.items():
        op = jt.registry.ops[name].op
        assert {k: float(v) for k, _, v in (a.partition("=") for a in attributes.split())} == op.attrs
        assert len(op.arrays) == 1
    for name in of_more:
        assert not jt.registry.ops[name].op.attrs


def test_no_kernel_asks_for_a_value():
    for path in HOME.glob("*.py"):
        calls = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
        names = {n.func.attr for n in calls if isinstance(n.func, ast.Attribute)}
        waits = {"item", "asnumpy", "synchronize", "nonzero", "any", "all"}
        if path.stem == "linalg":  # of ops in SYNCHRONISES
            waits.remove("all")
        assert not names & waits, path.name


def test_the_sources_are_shipped():
    import tomllib

    project = Path(__file__).parents[1] / "backends" / "cupy" / "pyproject.toml"
    wheel = tomllib.loads(project.read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel == {"packages": ["jitrench_cupy"]}  # hatch takes every file there is
    assert {p.stem for p in SOURCES} == {"random", "recurrent", "rows", "windows"}
    used = {m for p in HOME.glob("*.py") for m in re.findall(r'function\(\s*"(\w+)"', p.read_text(encoding="utf-8"))}
    assert used == {p.stem for p in SOURCES}


def test_every_function_of_a_source_is_launched():
    launched = {m for p in HOME.glob("*.py") for m in re.findall(r'function\(\s*"\w+", "(\w+)"', p.read_text("utf-8"))}
    defined = {
        m
        for p in SOURCES
        for m in re.findall(r"__global__ (?:__launch_bounds__\(1024\) )?void (\w+)", p.read_text(encoding="utf-8"))
    }
    assert launched == defined


# -- with CuPy's compiler ---------------------------------------------------------------------------------------------

WIDE = {"__half": "float", "float": "float", "double": "double"}


def instances(text: str, integers: bool) -> Iterator[str]:
    """Name expressions of the templates of a source, for the dtypes that it is used with."""
    for parameters, name in re.findall(
        r"template <([^>]*)>\s*__global__ (?:__launch_bounds__\(1024\) )?void (\w+)", text
    ):
        names = [p.split()[1] for p in parameters.split(",")]
        numbers = [*WIDE, *(["int", "unsigned char", "long long"] if integers else [])]
        for first in numbers if not name.startswith("random") else ["float", "double"]:
            if names == ["T"]:
                yield f"{name}<{first}>"
            elif names == ["T", "A"]:
                yield f"{name}<{first}, {WIDE[first]}>"
            else:
                yield from (f"{name}<{first}, {i}>" for i in ("int", "long long", "unsigned char"))


@pytest.fixture
def nvrtc() -> Any:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed: CUDA sources are not compiled")
    if getattr(cupy, "_ON_CPU", False):
        pytest.skip("a stand-in for CuPy has no compiler for GPUs")
    from cupy.cuda import nvrtc

    try:
        nvrtc.getVersion()
    except (ImportError, OSError, RuntimeError) as e:
        pytest.skip(f"CuPy finds no NVRTC: {e}")
    return nvrtc


def headers(cupy: Any) -> list[str]:
    """Where cuda_fp16.h may be: CuPy's own, NVIDIA's wheels, a toolkit's."""
    root = Path(cupy.__file__).resolve().parent
    own = root / "_core" / "include"
    places = [own, *own.glob("cupy/_cccl/*"), *root.parent.glob("nvidia/*/include"), Path("/usr/local/cuda/include")]
    return [f"-I{p}" for p in places]


def compiled(nvrtc: Any, text: str, options: list[str], names: list[str]) -> None:
    """Compile ``text`` with the instances ``names``; fail with the compiler's own words."""
    import cupy

    program = nvrtc.createProgram(text, "source.cu", [], [])
    for name in names:
        nvrtc.addNameExpression(program, name)
    try:
        nvrtc.compileProgram(program, ["--std=c++17", *options, *headers(cupy)])
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    assert all(nvrtc.getLoweredName(program, name) for name in names)


@pytest.mark.parametrize("arch", ["oldest", "90"])
@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_every_source_compiles(path, arch, nvrtc):
    if arch == "oldest":  # CUDA 13 begins with 75
        arch = str(min(n for n in nvrtc.getSupportedArchs() if n >= 70))
    text = "\n".join(p.read_text(encoding="utf-8") for p in (path.parent / "common.cu", path))
    compiled(nvrtc, text, [f"-arch=compute_{arch}", "-DHALF"], list(instances(text, path.stem == "windows")))


class Recorded:
    """In place of ``cupy.ElementwiseKernel``: what one was made of, and results without a GPU."""

    made: dict[tuple[str, str], tuple[str, str, str]]

    def __init__(self, takes: str, gives: str, body: str, name: str, preamble: str = "") -> None:
        self.made[name, body] = (takes, gives, preamble)
        self.results = gives.count(",") + 1

    def __call__(self, *args: Any) -> Any:
        return (np.float64(1),) * self.results if self.results > 1 else np.float64(1)


def elementwise_kernels(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], tuple[str, str, str]]:
    """All elementwise kernels, by name and body: made by calls of the ops' samples that compute nothing."""
    import cupy

    from jitrench_cupy.kernels import elementwise, optim

    caches = [elementwise._kernel, optim._step, optim._numbers, optim._rate, optim._squares]
    Recorded.made = {}
    monkeypatch.setattr(cupy, "ElementwiseKernel", Recorded)
    monkeypatch.setattr(cupy, "ReductionKernel", lambda *args: lambda *arrays: np.float64(1))
    monkeypatch.setattr(cupy, "empty", np.empty)
    for cache in caches:
        cache.cache_clear()
    a, one = np.ones((2, 3)), np.ones(())
    for name in [*elementwise.OF_ONE, *elementwise.OF_MORE]:
        getattr(elementwise, name)(*(a,) * len(jt.registry.ops[name].op.arrays))
    for approximate in elementwise.GELU:
        elementwise.gelu(a, approximate=approximate)
        elementwise.gelu_grad(a, a, approximate=approximate)
    for name in kernels.FAMILIES["optim"]:
        op = jt.registry.ops[name].op
        arrays = [one if n in ("lr", "steps", "product") else a for n in op.arrays]
        for given in range(len(op.arrays) - len(op.optional), len(op.arrays) + 1):
            getattr(optim, name)(*arrays[:given])
    optim.rmsprop_step(a, a, one, a, None, a)
    optim._rate()
    for cache in caches:
        cache.cache_clear()
    return Recorded.made


@pytest.mark.parametrize("dtype", ["float16", "float", "double"])
def test_every_elementwise_kernel_compiles(dtype, nvrtc, monkeypatch):
    """In functions like those that CuPy writes around them; all of one dtype in one source."""
    made = elementwise_kernels(monkeypatch)
    assert len(made) > 40
    text = "".join(f"#include <cupy/{file}.cuh>\n" for file in ("complex", "carray", "float16"))
    text += f"#include <cupy/math_constants.h>\n{next(preamble for *_, preamble in made.values() if preamble)}\n"
    text += f"typedef {dtype} T; typedef double L; typedef double R; typedef float S; typedef double float64;\n"
    for i, ((_, body), (takes, gives, _)) in enumerate(made.items()):
        inputs, outputs = ([p.split() for p in part.split(", ")] for part in (takes, gives))
        arguments = [*(f"const {t} {n}" for t, n in inputs), *(f"{t}& {n}" for t, n in outputs)]
        text += f"__device__ void kernel_{i}({', '.join(arguments)}) {{ {body}; }}\n"
    compiled(nvrtc, text, ["-arch=compute_80"], [])


# -- on a GPU, or what stands in for one ------------------------------------------------------------------------------


@pytest.fixture
def gpu(request: pytest.FixtureRequest) -> str:
    if "cupy" not in backends_under_test(request.config):
        pytest.skip("runs by --backend=cupy")
    return usable("cupy")


SAMPLED = [n for n in OURS if jt.registry.ops[n].op.samples or jt.registry.ops[n].op.elementwise]


@pytest.mark.filterwarnings("ignore:cupyx.allow_synchronize will be removed")
@pytest.mark.parametrize("name", SAMPLED)
def test_an_op_waits_for_the_gpu_only_where_that_is_declared(name, gpu):
    import cupyx

    run = Run(jt.registry.ops[name], gpu, None, 0)
    case = sample(run)
    operands = [jt.asarray(a, device=gpu) if hasattr(a, "shape") else a for a in case.arrays]
    run.function(*operands, **case.attrs)  # kernels are compiled
    if name in kernels.SYNCHRONISES:
        return
    with cupyx.allow_synchronize(False):
        run.function(*operands, **case.attrs)


TOLERANCE = {"float64": 1e-12, "float32": 2e-5, "float16": 2e-2}
HARDER = {"logsumexp": [((3, 70), {"axis": 1}), ((2, 3000), {"axis": None}), ((2, 3, 5), {"axis": (0, 2)})]}
HARDER["softmax"] = HARDER["log_softmax"] = [
    ((2, 3, 70), {"axis": 1}),
    ((2, 3000), {"axis": -1}),
    ((0, 3), {"axis": 1}),
]


def compared(name: str, arrays: tuple[Any, ...], attrs: dict[str, Any], gpu: str, dtype: str) -> None:
    """The kernel's results and those of the op's own forward on NumPy, of ``dtype``."""
    op = jt.registry.ops[name].op
    arrays = tuple(a.astype(dtype) if hasattr(a, "dtype") and a.dtype.kind == "f" and a.ndim else a for a in arrays)
    expected: Any
    if op.composite:
        expected = op.forward(*(jt.asarray(a) if hasattr(a, "shape") else a for a in arrays), **attrs)
    else:
        expected = op.bound_forward(np)(*arrays, **attrs)
    found = kernels.KERNELS[name](
        *(jt.asarray(a, device=gpu).data if hasattr(a, "shape") else a for a in arrays), **attrs
    )
    for y, x in zip(flat(found), flat(expected), strict=True):
        y, x = (
            a.numpy() if isinstance(a, jt.Tensor) else np.asarray(a.get() if hasattr(a, "get") else a) for a in (y, x)
        )
        assert y.shape == x.shape
        assert y.dtype == x.dtype or y.dtype.kind in "iu"
        tol = TOLERANCE[dtype]
        np.testing.assert_allclose(y, x, rtol=tol, atol=tol)


def flat(made: Any) -> list[Any]:
    return [a for part in made for a in flat(part)] if type(made) is tuple else [made]


def without_composites_of_numpy(name: str) -> bool:
    return name not in ("random_bits", "advance_counter", "random_uniform", "random_normal")


# Order, signs and phases are the solver's; tests/test_linalg.py multiplies them out.
FREE = ("eig", "eigh", "eigvals", "svd")


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", sorted({*filter(without_composites_of_numpy, kernels.KERNELS)} - {*FREE}))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_kernel_agrees_with_the_ops_own_forward(name, dtype, gpu):
    if dtype == "float16" and name in kernels.FAMILIES["linalg"]:
        pytest.skip("no solver takes float16")
    function = jt.registry.ops[name]
    case = sample(Run(function, gpu, None, 1))
    attrs = dict(function.op.attrs | case.attrs)
    if "dtype" in attrs:
        attrs["dtype"] = dtype
    compared(name, case.arrays, attrs, gpu, dtype)
    rng = np.random.default_rng(2)
    for shape, more in HARDER.get(name, []):
        compared(name, (rng.normal(size=shape),), function.op.attrs | more, gpu, dtype)


KEYS = [(3, [1, 2, 3, 4]), (0, [2**64 - 1] * 4), (2**64 - 1, [2**64 - 2, 2**64 - 1, 5, 2**64 - 1])]


@pytest.mark.parametrize(("key", "counter"), KEYS)
@pytest.mark.parametrize("n", [0, 1, 7, 1030])
def test_random_bits_are_numpys(key, counter, n, gpu):
    keys, counters = np.array([key, 5], "uint64"), np.array(counter, "uint64")
    on_gpu = [jt.asarray(a, device=gpu).data for a in (keys, counters)]
    words = np.random.Philox(key=keys, counter=counters).random_raw(n)
    np.testing.assert_array_equal(kernels.KERNELS["random_bits"](*on_gpu, n=n).get(), words)
    uniform = kernels.KERNELS["random_uniform"]
    np.testing.assert_array_equal(uniform(*on_gpu, n=n).get(), (words >> 11) * 2.0**-53)
    np.testing.assert_array_equal(uniform(*on_gpu, n=n, dtype="float32").get(), (words >> 40) * 2.0**-24)
    u = np.random.Philox(key=keys, counter=counters).random_raw(n + n % 2) // 2**11 * 2.0**-53
    z = np.sqrt(-2 * np.log(1 - u[0::2])) * np.exp(2j * np.pi * u[1::2])
    normal = kernels.KERNELS["random_normal"](*on_gpu, n=n).get()
    np.testing.assert_allclose(normal, np.stack([z.real, z.imag], axis=1).reshape(-1)[:n], rtol=1e-12, atol=1e-13)


def test_counters_carry(gpu):
    counter = jt.asarray(np.array([2**64 - 1, 2**64 - 1, 7, 0], "uint64"), device=gpu).data
    advanced = kernels.KERNELS["advance_counter"](counter, blocks=2).get()
    assert advanced.tolist() == [1, 0, 8, 0]


def test_of_what_is_written_to_one_place_the_last_stands(gpu):
    x, index = jt.zeros(3, device=gpu), jt.tensor([1, 1, 2, 1], device=gpu)
    assert x.at[index].set(jt.tensor([1.0, 2.0, 3.0, 4.0], device=gpu)).tolist() == [0.0, 4.0, 3.0]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int64", "uint64", "float16", "complex64"])
def test_what_is_added_at_one_place_adds_up_in_every_dtype(dtype, gpu):
    values = np.array([1, 2, 3, 4]).astype(dtype)
    y = jt.zeros(3, dtype=dtype, device=gpu).at[jt.tensor([1, 1, 2, 1], device=gpu)].add(jt.asarray(values, device=gpu))
    assert (y.dtype, y.tolist()) == (dtype, [0, 7, 3])


@pytest.mark.parametrize("rule", ["sgd_step", "adam_step", "adagrad_step", "lamb_step", "adadelta_step"])
def test_donated_arrays_are_written_in_place_and_views_are_not(rule, gpu):
    op = jt.registry.ops[rule].op
    case = sample(Run(jt.registry.ops[rule], gpu, None, 0))

    def fresh() -> list[Any]:
        return [jt.asarray(np.array(a), device=gpu).data for a in case.arrays]

    kernel, attrs = kernels.KERNELS[rule], op.attrs | case.attrs
    expected = [a.get() for a in kernel(*fresh(), **attrs)]
    arrays = fresh()
    made = kernel(*arrays, **attrs | {"donated": True})
    assert made[0] is arrays[0]
    for y, x in zip(made, expected, strict=True):
        np.testing.assert_array_equal(y.get(), x)
    arrays = fresh()
    whole = jt.asarray(np.zeros((2, *arrays[0].shape)), device=gpu).data
    whole[0] = arrays[0]
    made = kernel(whole[0], *arrays[1:], **attrs | {"donated": True})
    np.testing.assert_array_equal(whole[0].get(), arrays[0].get())
    np.testing.assert_array_equal(made[0].get(), expected[0])


def test_a_convolution_of_many_examples_goes_in_parts(gpu, monkeypatch):
    from jitrench_cupy.kernels import conv

    rng = np.random.default_rng(0)
    x, weight = (jt.asarray(rng.normal(size=s), device=gpu) for s in ((5, 2, 6, 6), (3, 2, 3, 3)))
    whole = jt.ops.conv2d(x, weight, padding=1).numpy()
    monkeypatch.setattr(conv, "BYTES", 2 * x.data[0].nbytes * 9)
    np.testing.assert_allclose(jt.ops.conv2d(x, weight, padding=1).numpy(), whole, rtol=1e-13)
