"""Every CUDA source of jitrench-cupy, compiled by NVIDIA's own compiler: for this NVRTC is enough, and a GPU is not needed.

It needs CuPy and NVRTC, ``pip install 'cupy-cuda12x[ctk]'`` or ``cupy-cuda12x nvidia-cuda-nvrtc-cu12 nvidia-cuda-runtime-cu12``, and is
skipped where they are not. What ElementwiseKernels and ReductionKernels are made of is recorded in a process of its own, where the
stand-in of tests/cupy_on_cpu runs every op that has a kernel; the code around it is then CuPy's own.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ARCHITECTURES = ("oldest", "90", "newest")  # of those that NVRTC knows: 70 is gone from CUDA 13, 100 came with 12.8
OLDEST = 70  # that we try
FLOATING = ("e", "f", "d")
INDICES = ("i", "l")
WIDE = {"e": "f", "f": "f", "d": "d"}


@cache
def why_not() -> str:
    """Why nothing can be compiled here, in a sentence; empty where it can."""
    try:
        import cupy
        from cupy.cuda import nvrtc

        import jitrench_cupy.cuda  # noqa: F401
    except ImportError as e:
        return f"NVRTC is not tried: {e}"
    if hasattr(cupy, "_ON_CPU"):
        return "NVRTC is not tried: CuPy is the stand-in of tests/cupy_on_cpu here"
    try:
        nvrtc.getVersion()
    except Exception as e:
        return f"NVRTC is not tried, it does not load: {e}"
    return ""


@pytest.fixture(autouse=True)
def needs_nvrtc():
    if reason := why_not():
        pytest.skip(reason)


@cache
def includes() -> tuple[str, ...]:
    """Where CuPy's headers are, and CUDA's."""
    import cupy
    from cupy._core import core

    home = Path(cupy.__file__).parent
    folders = [home / "_core" / "include", *home.parent.glob("nvidia/*/include")]
    if toolkit := cupy.cuda.get_cuda_path():
        folders.append(Path(toolkit) / "include")
    return (*(f"-I{f}" for f in folders), *core._get_cccl_include_options())


def number(architecture: str) -> int:
    """The one that ``architecture`` names."""
    from cupy.cuda import nvrtc

    known = [n for n in sorted(nvrtc.getSupportedArchs()) if n >= OLDEST]
    return {"oldest": known[0], "newest": known[-1]}.get(architecture) or int(architecture)


def compiled(source: str, architecture: str, *options: str, names: tuple[str, ...] = ()) -> str:
    """The PTX of ``source``; the test fails with NVRTC's words where there are some."""
    from cupy.cuda import nvrtc

    program = nvrtc.createProgram(source, "kernels.cu", (), ())
    try:
        for name in names:
            nvrtc.addNameExpression(program, name)
        nvrtc.compileProgram(program, ("--std=c++17", f"-arch=compute_{number(architecture)}", *includes(), *options))
        for name in names:
            assert nvrtc.getLoweredName(program, name)
        ptx = nvrtc.getPTX(program)
        return ptx.decode() if isinstance(ptx, bytes) else ptx
    except nvrtc.NVRTCError:
        return pytest.fail(nvrtc.getProgramLog(program)[:5000], pytrace=False)
    finally:
        nvrtc.destroyProgram(program)


# -- the files in cuda/ ---------------------------------------------------------------------------------------------------

CUDA = TESTS.parent / "backends" / "cupy" / "jitrench_cupy" / "cuda"
FILES = sorted(file.stem for file in CUDA.glob("*.cu") if file.stem != "common")


def kernels_of(file: str) -> dict[str, tuple[str, ...]]:
    """The names of the file's kernels, and of each template its parameters."""
    bounds = r"(?:__launch_bounds__\([^)]*\)\s+)?"
    pattern = rf"(?:template <([^>]*)>\s*|extern \"C\" )__global__ {bounds}void {bounds}(\w+)\("
    found = re.findall(pattern, (CUDA / f"{file}.cu").read_text())
    return {name: tuple(re.findall(r"typename (\w+)", parameters)) for parameters, name in found}


def instances(parameters: tuple[str, ...], t: str) -> list[tuple[str, ...]]:
    """The characters of the dtypes that a template is used with, where T is ``t``: A is wide enough for sums, I an integer."""
    return list(itertools.product(*({"T": (t,), "A": (WIDE[t],), "I": INDICES}[p] for p in parameters)))


def test_all_kernels_of_the_files_are_found():
    for file in FILES:
        assert len(kernels_of(file)) == (CUDA / f"{file}.cu").read_text().count("__global__") > 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("t", FLOATING)
def test_a_file_compiles_with_all_its_kernels(t, file, architecture):
    from jitrench_cupy.cuda import TYPES, source

    templates = {name: parameters for name, parameters in kernels_of(file).items() if parameters}
    names = tuple(
        f"{name}<{', '.join(TYPES[c] for c in chars)}>"
        for name, parameters in templates.items()
        for chars in instances(parameters, t)
        if not (file == "random" and t == "e")  # numbers are drawn in float32 or float64
    )
    ptx = compiled(source(file), architecture, *(("-DHALF",) if t == "e" else ()), names=names)
    assert ptx.count(".entry") == len(names) + len(kernels_of(file)) - len(templates)


# -- kernels by elements, and reductions ------------------------------------------------------------------------------------


@cache
def recorded() -> list[dict]:
    """What the ops launched on the stand-in."""
    if not (shutil.which("g++") or shutil.which("c++")):
        pytest.skip("which kernels there are is found out by running the ops on tests/cupy_on_cpu, which needs g++")
    environment = {**os.environ, "PYTHONPATH": str(TESTS / "cupy_on_cpu")}
    done = subprocess.run(
        [sys.executable, str(TESTS / "cupy_on_cpu" / "record.py")], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert all(found["ops"].values()), [name for name, ran in found["ops"].items() if not ran]
    return found["kernels"]


def elementwise(k: dict, number: int) -> str:
    """CuPy's own code for one, within a namespace; its name has ``number`` in it."""
    import cupy
    import numpy as np
    from cupy._core import _carray, _kernel

    name = f"{k['name']}_{number}"
    options = {key: k[key] for key in ("preamble", "loop_prep", "after_loop")}
    kernel = cupy.ElementwiseKernel(k["in_params"], k["out_params"], k["operation"], name, **options)
    types = [np.dtype(t).type if is_array else None for t, is_array in k["args"]]
    _, _, type_map = kernel._decide_params_type(tuple(types[: kernel.nin]), tuple(types[kernel.nin :]))
    array, indexer, scalar = 1, 2, 3
    infos = [
        _kernel._ArgInfo(array, cupy.ndarray, np.dtype(t).type, 1, number % 2 == 0, number % 3 > 0)
        if is_array
        else _kernel._ArgInfo(scalar, float, np.dtype(t).type, 0, True, True)
        for t, is_array in k["args"]
    ]
    infos.append(_kernel._ArgInfo(indexer, _carray.Indexer, None, 1, False, True))
    code = _kernel._get_elementwise_kernel_code(
        tuple(infos),
        type_map,
        kernel.params,
        kernel.operation,
        name,
        k["preamble"],
        k["loop_prep"],
        k["after_loop"],
        (),
    )
    return within(f"in_{number}", code)


def reduction(k: dict, number: int) -> str:
    """A kernel of one thread around the expressions of a reduction; CuPy's own code for them cannot be had without a GPU."""
    import numpy as np
    from cupy._core._scalar import get_typename

    declared = [(p.split()[-2], p.split()[-1]) for p in f"{k['in_params']}, {k['out_params']}".split(",")]
    ctypes = [get_typename(np.dtype(t).type) for t, _ in k["args"]]
    ins = k["in_params"].count(",") + 1
    lines = [f"typedef {c} {letter};" for (letter, _), c in zip(declared, ctypes, strict=True) if len(letter) == 1]
    lines += [f"typedef {k['reduce_type'] or ctypes[ins]} type_reduce;", k["preamble"]]
    takes = ", ".join(f"const {c}* _{name}" for (_, name), c in zip(declared[:ins], ctypes[:ins], strict=True))
    gives = ", ".join(f"{c}* _{name}" for (_, name), c in zip(declared[ins:], ctypes[ins:], strict=True))
    reads = " ".join(f"const {c} {name} = *_{name};" for (_, name), c in zip(declared[:ins], ctypes[:ins], strict=True))
    writes = " ".join(f"{c}& {name} = *_{name};" for (_, name), c in zip(declared[ins:], ctypes[ins:], strict=True))
    lines.append(f'extern "C" __global__ void {k["name"]}_{number}({takes}, {gives}) {{')
    lines.append(
        f"{reads} {writes} type_reduce a = {k['map_expr']}, b = a; a = ({k['reduce_expr']}); {k['post_map_expr']}; }}"
    )
    return within(f"in_{number}", "\n".join(lines))


def within(namespace: str, code: str) -> str:
    """``code`` in a namespace of its own, since each has its typedefs; what it includes is above all."""
    return f"namespace {namespace} {{\n{re.sub(r'#include .*', '', code)}\n}}\n"


def test_ops_launch_kernels_of_each_precision():
    found = {t for k in recorded() for t, is_array in k["args"] if is_array}
    assert found >= {"float16", "float32", "float64"}
    assert len(recorded()) > 50


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kernels_by_elements_and_reductions_compile(architecture):
    from cupy._core import core

    headers = (*core._cupy_header_list, "cupy/float16.cuh")
    parts = [elementwise(k, i) if "operation" in k else reduction(k, i) for i, k in enumerate(recorded())]
    ptx = compiled("".join(f"#include <{h}>\n" for h in headers) + "".join(parts), architecture)
    assert ptx.count(".entry") == len(recorded())
