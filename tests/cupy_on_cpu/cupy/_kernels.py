"""CuPy's kernels in CUDA C++, compiled by g++ behind cuda_on_cpu.h and called through ctypes.

What was compiled lies in the system's folder for temporary files, by a hash of source and compiler. Each launch works on copies of
its arrays between guards: a write beyond an array fails, a read beyond it finds NaN (-1 as an integer).
"""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from . import _state
from ._array import garbage, ndarray, same_device, unsupported

CTYPES = {
    "?": "bool", "b": "signed char", "B": "unsigned char", "h": "short", "H": "unsigned short", "i": "int", "I": "unsigned int",
    "l": "long long", "L": "unsigned long long", "q": "long long", "Q": "unsigned long long", "e": "float16", "f": "float",
    "d": "double", "F": "complex<float>", "D": "complex<double>",
}  # fmt: skip
HEADER = Path(__file__).parent / "cuda_on_cpu.h"
EMPTY = (
    "cuda_fp16.h",
    "cuda_bf16.h",
    "cuda_runtime.h",
    "cupy/complex.cuh",
    "cupy/carray.cuh",
    "cupy/atomics.cuh",
    "math_constants.h",
)
FLAGS = ("-O1", "-fPIC", "-w", "-fno-strict-aliasing", "-ffp-contract=off")
BARRIER = re.compile(r"__sync|__shfl|__ballot|__any_sync|__all_sync|__activemask")
GUARD = 4096
seed = int(os.environ.get("CUPY_ON_CPU_SEED", "1"))
_launches = itertools.count()


class CompileException(Exception):
    """g++ does not compile the kernel."""


@cache
def compiler() -> str:
    found = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
    if not found:
        raise CompileException("kernels need g++, which is not found")
    return found


@cache
def folder() -> Path:
    """Where compiled kernels are kept, with the header, precompiled."""
    version = subprocess.run([compiler(), "--version"], capture_output=True, text=True, check=True).stdout
    key = hashlib.sha256(HEADER.read_bytes() + version.encode() + repr(FLAGS).encode()).hexdigest()[:16]
    where = Path(tempfile.gettempdir()) / f"cupy-on-cpu-{os.getuid()}-{key}"
    for name in EMPTY:
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).touch()
    (where / HEADER.name).write_bytes(HEADER.read_bytes())
    return where


def _run(command: list[str], source: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        numbered = "\n".join(f"{i:4} {line}" for i, line in enumerate(source.splitlines(), 1))
        raise CompileException(f"{done.stderr[:4000]}\n{numbered[-6000:]}")


@cache
def library(source: str, options: tuple[str, ...] = ()) -> ctypes.CDLL:
    """``source`` compiled and loaded."""
    text = f'#include "{HEADER.name}"\n{source}'
    standard = next((o.split("=")[1] for o in options if "std=" in o), "c++17").replace("c++", "gnu++")
    flags = [f"-std={standard}", *FLAGS, *(o for o in options if o.startswith(("-D", "-U")))]
    key = hashlib.sha256(repr((text, flags)).encode()).hexdigest()[:24]
    made = folder() / f"{key}.so"
    if not made.exists():
        precompiled = folder() / f"{HEADER.name}.gch" / hashlib.sha256(repr(flags).encode()).hexdigest()[:8]
        precompiled.parent.mkdir(exist_ok=True)
        mine = f"{os.getpid()}"
        if not precompiled.exists():
            half = precompiled.parent.parent / f"half-{precompiled.name}-{mine}"
            _run([compiler(), *flags, "-x", "c++-header", str(folder() / HEADER.name), "-o", str(half)], "")
            half.replace(precompiled)
        file = folder() / f"{key}-{mine}.cpp"
        file.write_text(text)
        half = folder() / f"{key}-{mine}.so"
        _run([compiler(), *flags, f"-I{folder()}", "-shared", str(file), "-o", str(half)], text)
        half.replace(made)
        file.unlink()
    return ctypes.CDLL(str(made))


def dynamic_shared(source: str) -> str:
    """``extern __shared__ T name[];`` as a pointer to the memory that the launch gives."""
    pattern = r"extern\s+__shared__\s+(?:__align__\(\d+\)\s*)?([\w:<>]+(?:\s+[\w:<>]+)*?)\s+(\w+)\s*\[\s*\]\s*;"
    return re.sub(pattern, r"static \1*& \2 = *(\1**)(void*)&cpu::dynamic_shared;", source)


class Guarded:
    """Copies of arrays between guards, for one launch; arrays that overlap are one copy."""

    def __init__(self, arrays: list[ndarray]) -> None:
        spans: list[list[int]] = []
        self.of: list[tuple[int, int]] = []
        bounds = [np.lib.array_utils.byte_bounds(a._a) if a.size else (0, 0) for a in arrays]
        for low, high in sorted(b for b in bounds if b[1]):
            if spans and low < spans[-1][1]:
                spans[-1][1] = max(spans[-1][1], high)
            else:
                spans.append([low, high])
        self.spans = spans
        self.copies = []
        for low, high in spans:
            copy = np.full(high - low + 2 * GUARD + 16, 0xFF, np.uint8)
            start = -copy.ctypes.data % 16 + low % 16
            ctypes.memmove(copy.ctypes.data + GUARD + start, low, high - low)
            self.copies.append((copy, start))
        self.nothing = np.full(2 * GUARD, 0xFF, np.uint8)
        self.pointers = []
        for a, (low, high) in zip(arrays, bounds, strict=True):
            if not high:
                self.pointers.append(self.nothing.ctypes.data + GUARD)
                continue
            i = next(k for k, (x, y) in enumerate(spans) if x <= low < y)
            copy, start = self.copies[i]
            self.pointers.append(copy.ctypes.data + GUARD + start + a._a.ctypes.data - spans[i][0])

    def back(self, name: str) -> None:
        for (low, high), (copy, start) in zip(self.spans, self.copies, strict=True):
            ctypes.memmove(low, copy.ctypes.data + GUARD + start, high - low)
            before, after = copy[: GUARD + start], copy[GUARD + start + high - low :]
            if (before != 0xFF).any() or (after != 0xFF).any():
                where = "before" if (before != 0xFF).any() else "beyond"
                raise RuntimeError(
                    f"kernel {name!r} wrote {where} an array of {high - low} bytes (cudaErrorIllegalAddress)"
                )
        if (self.nothing != 0xFF).any():
            raise RuntimeError(f"kernel {name!r} wrote to an array of no elements (cudaErrorIllegalAddress)")


def next_seed() -> int:
    return (seed * 1_000_003 + next(_launches)) & 0xFFFFFFFF


class Launcher:
    """One kernel of a compiled source: its parameters, and how to launch it."""

    def __init__(self, lib: ctypes.CDLL, number: int, name: str, barriers: bool) -> None:
        self.name = name
        self.barriers = barriers
        out = (ctypes.c_int * 600)()
        count = getattr(lib, f"cpu_describe_{number}")(out)
        self.parameters = [(bool(out[3 * i]), chr(out[3 * i + 1]), out[3 * i + 2]) for i in range(count)]
        self.launch = getattr(lib, f"cpu_launch_{number}")
        self.launch.restype = ctypes.c_char_p
        self.launch.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_ulonglong, ctypes.c_int]

    def __call__(self, grid: Any, block: Any, args: Any, shared: int) -> None:
        shape = [*_three(grid), *_three(block)]
        threads = shape[3] * shape[4] * shape[5]
        bad = (
            not 1 <= threads <= 1024 or shape[5] > 64 or min(shape) < 1 or shape[0] >= 2**31 or max(shape[1:3]) > 65535
        )
        if bad:
            raise RuntimeError(f"CUDA_ERROR_INVALID_VALUE: grid {shape[:3]}, block {shape[3:]} of kernel {self.name!r}")
        if len(args) != len(self.parameters):
            raise TypeError(
                f"kernel {self.name!r} takes {len(self.parameters)} arguments, the launch gives {len(args)}"
            )
        arrays = [a for a in args if isinstance(a, ndarray)]
        same_device(arrays)
        guarded = Guarded(arrays)
        pointers = iter(guarded.pointers)
        values = [self.value(i, a, next(pointers) if isinstance(a, ndarray) else 0) for i, a in enumerate(args)]
        packed = (ctypes.c_void_p * max(len(values), 1))(*(v.ctypes.data for v in values))
        dims = (ctypes.c_uint * 6)(*shape)
        said = self.launch(packed, dims, shared, next_seed(), self.barriers)
        _state.launches[self.name] = _state.launches.get(self.name, 0) + 1
        if said:
            raise RuntimeError(f"kernel {self.name!r}: {said.decode()}")
        guarded.back(self.name)

    def value(self, i: int, a: Any, pointer: int) -> Any:
        """The bytes of an argument, at least 8; an error where CUDA would take them for something else."""
        is_pointer, kind, size = self.parameters[i]

        def wrong(what: str) -> TypeError:
            wanted = f"{'a pointer to ' if is_pointer else ''}{kind!r} of {size} byte(s)"
            return TypeError(f"argument {i} of kernel {self.name!r} is {what}, its parameter {wanted}")

        if isinstance(a, np.ndarray):
            raise unsupported(a)
        if isinstance(a, ndarray):
            if not is_pointer:
                raise wrong("an array")
            char = {"q": "l", "Q": "L"}.get(a.dtype.char, a.dtype.char)
            same = (
                kind == char
                or (kind == "V" and size % a.itemsize == 0)
                or kind in "bB"
                or (kind in "hH" and char == "e")
            )
            if not same and not (size == a.itemsize and kind in "iIlL" and char in "iIlL"):
                raise wrong(f"an array of {a.dtype}")
            return np.array([pointer], np.uint64)
        if a is None and is_pointer:
            return np.array([0], np.uint64)
        if isinstance(a, (bool, np.bool_)) and kind == "?" and not is_pointer:
            return np.array([a] + [False] * 7)
        if isinstance(a, np.generic):
            char = {"q": "l", "Q": "L"}.get(a.dtype.char, a.dtype.char)
            if is_pointer:
                if a.dtype.kind not in "iu" or a.itemsize != 8:
                    raise wrong(f"a number of {a.dtype}")
            elif a.itemsize != size or (kind != char and not (kind in "iIlLhHbB" and char in "iIlLhHbB")):
                raise wrong(f"a number of {a.dtype}")
            return np.resize(np.frombuffer(a.tobytes(), np.uint8), max(a.itemsize, 8)).copy()
        if isinstance(a, bool):
            raise wrong("a bool")
        if isinstance(a, int):
            if is_pointer or (kind in "bBhHiIlL" and kind == "L"):
                return np.array([a], np.uint64)
            if kind not in "bBhHiIl":
                raise wrong("an int, which CuPy passes as 8 bytes")
            if not np.iinfo(kind).min <= a <= np.iinfo(kind).max:
                raise wrong(f"the number {a}, out of bounds")
            return np.array([a], np.int64)
        if isinstance(a, float):
            if kind != "d" or is_pointer:
                raise wrong("a Python float, which CuPy passes as a double")
            return np.array([a])
        if isinstance(a, complex):
            if kind != "D" or is_pointer:
                raise wrong("a Python complex")
            return np.array([a])
        raise unsupported(a)


def _three(shape: Any) -> list[int]:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    return [int(n) for n in (*shape, 1, 1, 1)[:3]]


class RawKernel:
    """``cupy.RawKernel``."""

    def __init__(
        self,
        code: str,
        name: str,
        options: Any = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        jitify: bool = False,
    ) -> None:
        if not isinstance(options, tuple) or not all(isinstance(o, str) for o in options):
            raise TypeError("options must be a tuple of str")
        self.code, self.name, self.options, self.backend = code, name, options, backend
        self._expression = name
        self._source = code
        self._launchers: dict[int, Launcher] = {}
        self.max_dynamic_shared_size_bytes = 49152
        self.max_threads_per_block = 1024
        self.attributes = {"max_threads_per_block": 1024, "num_regs": 32, "shared_size_bytes": 0}

    def compile(self, log_stream: Any = None) -> None:
        self._launcher()

    def _launcher(self) -> Launcher:
        device = _state.current  # a function belongs to the device that it was loaded on
        if device not in self._launchers:
            source = f"{dynamic_shared(self._source)}\nCPU_EXPORT(0, ({self._expression}))\n"
            self._launchers[device] = Launcher(
                library(source, self.options), 0, self.name, bool(BARRIER.search(self._source))
            )
        return self._launchers[device]

    def __call__(self, grid: Any, block: Any, args: Any, *, shared_mem: int = 0) -> None:
        if not isinstance(args, (tuple, list)):
            raise TypeError("args must be a tuple or a list")
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise RuntimeError(
                f"CUDA_ERROR_INVALID_VALUE: {shared_mem} bytes of dynamic shared memory, at most "
                f"{self.max_dynamic_shared_size_bytes}: set max_dynamic_shared_size_bytes"
            )
        self._launcher()(grid, block, tuple(args), shared_mem)


class RawModule:
    """``cupy.RawModule``."""

    def __init__(
        self,
        *,
        code: str | None = None,
        path: str | None = None,
        options: Any = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        name_expressions: Any = None,
        jitify: bool = False,
    ) -> None:
        if code is None:
            raise NotImplementedError("the stand-in for CuPy compiles code, not files")
        if not isinstance(options, tuple) or not all(isinstance(o, str) for o in options):
            raise TypeError("options must be a tuple of str")
        if name_expressions is not None and not any("std=" in o for o in options):
            raise ValueError("need to specify C++ standard for compiling template code")
        self.code, self.options, self.name_expressions, self.backend = code, options, name_expressions, backend

    def compile(self, log_stream: Any = None) -> None:
        for name in self.name_expressions or ():
            self.get_function(name).compile()

    def get_function(self, name: str) -> RawKernel:
        if self.name_expressions is None:
            if not re.search(r"extern\s+\"C\"", self.code) or not re.search(rf"\b{re.escape(name)}\b", self.code):
                raise RuntimeError(f"CUDA_ERROR_NOT_FOUND: named symbol not found: {name}")
        elif name not in self.name_expressions:
            raise RuntimeError(f"CUDA_ERROR_NOT_FOUND: {name!r} is not among the name_expressions")
        kernel = RawKernel(self.code, name, self.options, self.backend)
        kernel._launcher()  # on the device that is current now
        return kernel


class Parameter:
    """``"raw T x"``: of a kernel by elements or a reduction."""

    def __init__(self, text: str) -> None:
        words = text.split()
        self.raw = words[0] == "raw"
        words = [w for w in words if w not in ("raw", "_non_const")]
        if len(words) != 2:
            raise SyntaxError(f"Syntax error: {text!r}")
        self.type, self.name = words
        self.dtype = None if len(self.type) == 1 else np.dtype(self.type)


def _parameters(text: str) -> list[Parameter]:
    return [Parameter(p) for p in text.split(",") if p.strip()]


def _resolve(
    ins: list[Parameter], outs: list[Parameter], args: list[Any], given: list[Any]
) -> tuple[Any, Any, dict[str, Any]]:
    """The dtypes of inputs and outputs, and of each type with a letter: those of the arrays, which must agree."""
    types: dict[str, Any] = {}
    for p, a in [*zip(outs, given, strict=False), *zip(ins, args, strict=True)]:
        if not isinstance(a, ndarray):
            continue
        expected = p.dtype if p.dtype is not None else types.setdefault(p.type, a.dtype)
        if expected != a.dtype:
            raise TypeError(f"Type is mismatched. {p.name} {a.dtype} {expected}")
    for p in (*ins, *outs):
        if p.dtype is None and p.type not in types:
            raise TypeError(f"Wrong type of input arguments: nothing tells what {p.type!r} is")

    def of(p: Parameter) -> Any:
        return types[p.type] if p.dtype is None else p.dtype

    return [of(p) for p in ins], [of(p) for p in outs], types


def _record(told: dict[str, Any], args: list[Any], dtypes: list[Any]) -> None:
    if _state.recorded is not None:
        kinds = [[t.name, isinstance(a, ndarray)] for a, t in zip(args, dtypes, strict=True)]
        _state.recorded[repr((sorted(told.items(), key=str), kinds))] = {**told, "args": kinds}


class View(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("n", ctypes.c_longlong),
        ("nd", ctypes.c_int),
        ("dims", ctypes.c_longlong * 32),
        ("steps", ctypes.c_longlong * 32),
    ]

    @classmethod
    def of(cls, raw: Any) -> View:
        dims, steps = (ctypes.c_longlong * 32)(*raw.shape), (ctypes.c_longlong * 32)(*raw.strides)
        return cls(raw.ctypes.data, raw.size, raw.ndim, dims, steps)


def _typedefs(types: dict[str, Any]) -> str:
    return "".join(f"typedef {CTYPES[d.char]} {letter};\n" for letter, d in sorted(types.items()))


def _takes(args: list[Any]) -> None:
    for a in args:
        if not isinstance(a, (ndarray, bool, int, float, complex, np.generic)):
            raise unsupported(a)
    same_device([a for a in args if isinstance(a, ndarray)])


def _order(n: int) -> Any:
    if n > 1_000_000:
        return np.arange(n)[::-1].copy()
    return np.random.default_rng(next_seed()).permutation(n).astype(np.int64)


class ElementwiseKernel:
    """``cupy.ElementwiseKernel``: its elements come in a random order."""

    def __init__(
        self,
        in_params: str,
        out_params: str,
        operation: str,
        name: str = "kernel",
        reduce_dims: bool = True,
        preamble: str = "",
        no_return: bool = False,
        return_tuple: bool = False,
        doc: str = "",
        *,
        loop_prep: str = "",
        after_loop: str = "",
        options: Any = (),
        **kwargs: Any,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise ValueError(f'Invalid kernel name: "{name}"')
        self.in_params, self.out_params = tuple(_parameters(in_params)), tuple(_parameters(out_params))
        self.nin, self.nout = len(self.in_params), len(self.out_params)
        self.nargs = self.nin + self.nout
        self.params = self.in_params + self.out_params
        self.operation, self.name, self.preamble = operation, name, preamble
        self.no_return, self.return_tuple, self.reduce_dims = no_return, return_tuple, reduce_dims
        self.loop_prep, self.after_loop, self.options = loop_prep, after_loop, tuple(options)
        self.__name__ = name
        self._told = {
            "in_params": in_params, "out_params": out_params, "operation": operation, "name": name, "preamble": preamble,
            "loop_prep": loop_prep, "after_loop": after_loop,
        }  # fmt: skip
        for p in self.params:
            if p.name in ("i", "n") or p.name.startswith("_"):
                raise ValueError(f"Parameter {p.name!r} is reserved")

    def __call__(self, *args: Any, size: int | None = None, stream: Any = None, block_size: int = 128) -> Any:
        if len(args) not in (self.nin, self.nargs):
            raise TypeError(f"Wrong number of arguments for {self.name!r}: {len(args)}, not {self.nin} or {self.nargs}")
        _takes(list(args))
        ins, given = list(args[: self.nin]), list(args[self.nin :])
        in_types, out_types, types = _resolve(list(self.in_params), list(self.out_params), ins, given)
        flat = [
            a._a
            for p, a in zip((*self.in_params, *self.out_params), (*ins, *given), strict=False)
            if isinstance(a, ndarray) and not p.raw
        ]
        if size is not None:
            if flat:
                raise ValueError("Specified 'size' can be used only if all of the ndarray are 'raw'.")
            shape: tuple[int, ...] = (int(size),)
        elif not flat and not any(p.raw and isinstance(a, ndarray) for p, a in zip(self.in_params, ins, strict=True)):
            shape = ()
        elif not flat:
            raise ValueError("Loop size is undecided.")
        else:
            shape = np.broadcast_shapes(*(f.shape for f in flat))
        for p, a in zip(self.out_params, given, strict=False):
            if not p.raw and a.shape != shape:
                raise ValueError(f"Out shape is mismatched: {a.shape}, not {shape}")
        outs = given or [self._made(p, shape, t) for p, t in zip(self.out_params, out_types, strict=True)]
        n = int(np.prod(shape))
        if n:
            self._run(ins, outs, in_types, out_types, types, shape, n)
        if self.no_return:
            return None
        return outs[0] if self.nout == 1 and not self.return_tuple else tuple(outs)

    def _made(self, p: Parameter, shape: Any, t: Any) -> ndarray:
        if p.raw:
            raise ValueError("Output array size is Undecided")
        return garbage(shape, t)

    def _run(
        self, ins: list[Any], outs: list[ndarray], in_types: Any, out_types: Any, types: Any, shape: Any, n: int
    ) -> None:
        lib = library(self._source(in_types, out_types, types, [isinstance(a, ndarray) for a in ins]), self.options)
        _record(self._told, [*ins, *outs], [*in_types, *out_types])
        keep: list[Any] = []
        pointers: list[int] = []
        dtypes = [*in_types, *out_types]
        for p, a, t in zip(self.params, (*ins, *outs), dtypes, strict=True):
            if isinstance(a, ndarray):
                raw = a._a if p.raw else np.broadcast_to(a._a, shape)
                view = View.of(raw)
                keep += [view, raw]
                pointers.append(ctypes.addressof(view))
            else:
                with np.errstate(all="ignore"):
                    value = np.asarray(a).astype(t).reshape(1)
                keep.append(value)
                pointers.append(value.ctypes.data)
        packed = (ctypes.c_void_p * max(len(pointers), 1))(*pointers)
        order = _order(n)
        dims = (ctypes.c_longlong * 32)(*shape)
        lib.cpu_run.restype = ctypes.c_char_p
        said = lib.cpu_run(
            packed, ctypes.c_longlong(n), ctypes.c_int(len(shape)), dims, ctypes.c_void_p(order.ctypes.data)
        )
        _state.launches[self.name] = _state.launches.get(self.name, 0) + 1
        if said:
            raise RuntimeError(f"kernel {self.name!r}: {said.decode()}")

    def _source(self, in_types: Any, out_types: Any, types: dict[str, Any], arrays: list[bool]) -> str:
        prepared, each = [], []
        for k, (p, t) in enumerate(zip(self.params, (*in_types, *out_types), strict=True)):
            c = CTYPES[t.char]
            const = "const " if k < self.nin else ""
            if k < self.nin and not arrays[k]:
                prepared.append(f"const {c} {p.name} = *(const {c}*)_args[{k}];")
            elif p.raw:
                prepared.append(f"CArray<{c}> {p.name}(*(cpu::View*)_args[{k}]);")
            else:
                prepared.append(f"CArray<{c}> _raw_{p.name}(*(cpu::View*)_args[{k}]);")
                each.append(f"{const}{c}{'' if const else '&'} {p.name} = _raw_{p.name}.item(_ind);")
        lines = "\n    ".join(prepared)
        reads = "\n        ".join(each)
        return f"""{_typedefs(types)}{self.preamble}
extern "C" const char* cpu_run(void** _args, long long _n, int _nd, const long long* _dims, const long long* _order) {{
    static cpu::Indexer _ind;
    _ind.n = _n;
    _ind.nd = _nd;
    cpu::failed = false;
    for (int k = 0; k < _nd; k++) _ind.dims[k] = _dims[k];
    {lines}
    {self.loop_prep};
    for (long long _k = 0; _k < _n; _k++) {{
        const ptrdiff_t i = _order[_k];
        _ind.set(i);
        {reads}
        {self.operation};
    }}
    {self.after_loop};
    return cpu::failed ? cpu::message : 0;
}}
"""


class ReductionKernel:
    """``cupy.ReductionKernel``."""

    def __init__(
        self,
        in_params: str,
        out_params: str,
        map_expr: str,
        reduce_expr: str,
        post_map_expr: str,
        identity: Any,
        name: str = "reduce_kernel",
        reduce_type: str | None = None,
        reduce_dims: bool = True,
        preamble: str = "",
        options: Any = (),
    ) -> None:
        self.in_params, self.out_params = tuple(_parameters(in_params)), tuple(_parameters(out_params))
        self.nin, self.nout = len(self.in_params), len(self.out_params)
        self.nargs = self.nin + self.nout
        self.params = self.in_params + self.out_params
        self.map_expr, self.reduce_expr, self.post_map_expr = map_expr, reduce_expr, post_map_expr
        self.identity = "" if identity is None else str(identity)
        self.name, self.reduce_type, self.preamble, self.options = name, reduce_type, preamble, tuple(options)
        self.reduce_dims = reduce_dims
        self._told = {
            "in_params": in_params, "out_params": out_params, "map_expr": map_expr, "reduce_expr": reduce_expr,
            "post_map_expr": post_map_expr, "identity": self.identity, "name": name, "reduce_type": reduce_type, "preamble": preamble,
        }  # fmt: skip

    def __call__(
        self, *args: Any, out: Any = None, axis: Any = None, keepdims: bool = False, stream: Any = None
    ) -> Any:
        if len(args) not in (self.nin, self.nargs):
            raise TypeError(f"Wrong number of arguments for {self.name!r}")
        given = list(args[self.nin :]) or ([] if out is None else [out])
        ins = list(args[: self.nin])
        _takes([*ins, *given])
        in_types, out_types, types = _resolve(list(self.in_params), list(self.out_params), ins, given)
        whole = np.broadcast_shapes(
            *(a.shape for p, a in zip(self.in_params, ins, strict=True) if isinstance(a, ndarray) and not p.raw)
        )
        axes = (
            tuple(range(len(whole)))
            if axis is None
            else tuple(a % len(whole) for a in (axis if isinstance(axis, tuple) else (axis,)))
        )
        kept = tuple(k for k in range(len(whole)) if k not in axes)
        outer = tuple(whole[k] for k in kept)
        n, m = int(np.prod(outer)), int(np.prod([whole[k] for k in axes]))
        if not m and not self.identity:
            raise ValueError(f"zero-size array to reduction operation {self.name} which has no identity")
        shape = tuple(1 if k in axes else whole[k] for k in range(len(whole))) if keepdims else outer
        outs = given or [garbage(shape, t) for t in out_types]
        keep: list[Any] = []
        pointers: list[int] = []
        for p, a, t in zip(self.in_params, ins, in_types, strict=True):
            if isinstance(a, ndarray):
                view = View.of(a._a if p.raw else np.broadcast_to(a._a, whole).transpose(kept + axes))
                keep.append(view)
                pointers.append(ctypes.addressof(view))
            else:
                keep.append(np.asarray(a).astype(t).reshape(1))
                pointers.append(keep[-1].ctypes.data)
        for a in outs:
            view = View.of(a._a.reshape(outer, copy=False))
            keep.append(view)
            pointers.append(ctypes.addressof(view))
        if n:
            lib = library(self._source(in_types, out_types, types, [isinstance(a, ndarray) for a in ins]), self.options)
            _record(self._told, [*ins, *outs], [*in_types, *out_types])
            packed = (ctypes.c_void_p * len(pointers))(*pointers)
            order = _order(n)
            lib.cpu_run.restype = ctypes.c_char_p
            said = lib.cpu_run(packed, ctypes.c_longlong(n), ctypes.c_longlong(m), ctypes.c_void_p(order.ctypes.data))
            _state.launches[self.name] = _state.launches.get(self.name, 0) + 1
            if said:
                raise RuntimeError(f"kernel {self.name!r}: {said.decode()}")
        return outs[0] if self.nout == 1 else tuple(outs)

    def _source(self, in_types: Any, out_types: Any, types: dict[str, Any], arrays: list[bool]) -> str:
        prepared, each, results = [], [], []
        for k, (p, t) in enumerate(zip(self.params, (*in_types, *out_types), strict=True)):
            c = CTYPES[t.char]
            if k < self.nin and not arrays[k]:
                prepared.append(f"const {c} {p.name} = *(const {c}*)_args[{k}];")
            elif p.raw:
                prepared.append(f"CArray<{c}> {p.name}(*(cpu::View*)_args[{k}]);")
            else:
                prepared.append(f"CArray<{c}> _raw_{p.name}(*(cpu::View*)_args[{k}]);")
                if k < self.nin:
                    each.append(f"const {c} {p.name} = _raw_{p.name}[_o * _m + _J];")
                else:
                    results.append(f"{c}& {p.name} = _raw_{p.name}[_o];")
        first = CTYPES[out_types[0].char]
        kind = self.reduce_type or first
        if len(kind) > 1 and self.reduce_type and kind in np.sctypeDict:
            kind = CTYPES[np.dtype(kind).char]
        return f"""{_typedefs(types)}typedef {kind} type_reduce;
{self.preamble}
static type_reduce cpu_reduce(type_reduce a, type_reduce b) {{ return ({self.reduce_expr}); }}
extern "C" const char* cpu_run(void** _args, long long _n, long long _m, const long long* _order) {{
    cpu::failed = false;
    {chr(10).join(prepared)}
    for (long long _k = 0; _k < _n; _k++) {{
        const long long _o = _order[_k];
        type_reduce _a{f" = type_reduce({self.identity})" if self.identity else ""};
        for (long long _J = 0; _J < _m; _J++) {{
            {chr(10).join(each)}
            const type_reduce _b = static_cast<type_reduce>({self.map_expr});
            {"_a = cpu_reduce(_a, _b);" if self.identity else "_a = _J ? cpu_reduce(_a, _b) : _b;"}
        }}
        const type_reduce a = _a;
        {chr(10).join(results)}
        {self.post_map_expr};
    }}
    return cpu::failed ? cpu::message : 0;
}}
"""


for _class in (RawKernel, RawModule, ElementwiseKernel, ReductionKernel):
    _class.__module__ = "cupy"
