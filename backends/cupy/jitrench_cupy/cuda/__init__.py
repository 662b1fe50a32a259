"""CUDA C++ sources, and the functions that NVRTC makes of them: one for each kernel, dtype and device, when it is first launched.

CuPy keeps what was compiled on disk, so a source is compiled once on a machine.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import cupy as cp
import numpy as np

# By NumPy's characters; what is not here has no kernel in CUDA.
TYPES = {
    "?": "bool", "b": "signed char", "B": "unsigned char", "h": "short", "H": "unsigned short", "i": "int", "I": "unsigned int",
    "l": "long long", "L": "unsigned long long", "q": "long long", "Q": "unsigned long long", "e": "__half", "f": "float", "d": "double",
}  # fmt: skip
THREADS = 256
MOST_BLOCKS = 2**20  # beyond, threads take several elements each
NULL = np.uintp(0)  # the pointer to no array
_SCALARS: dict[type, Any] = {int: np.int64, float: np.float64, bool: np.bool_}  # a kernel's Index, double and bool


@cache
def source(file: str) -> str:
    """The text of ``file``, behind what all share."""
    return "\n".join((Path(__file__).parent / f"{name}.cu").read_text() for name in ("common", file))


def function(file: str, name: str, *dtypes: Any) -> Any:
    """The kernel ``name`` of ``file``, for the current device; of a template that for ``dtypes``."""
    return _function(cp.cuda.Device().id, file, name, *[d.char for d in dtypes])


@cache
def _function(device: int, file: str, name: str, *chars: str) -> Any:
    """A module holds one kernel: most programs need few of a file's."""
    if chars:
        name = f"{name}<{', '.join(TYPES[c] for c in chars)}>"
    options = ("--std=c++17", *(("-DHALF",) if "e" in chars else ()))
    module = cp.RawModule(code=source(file), options=options, name_expressions=(name,) if chars else None)
    return module.get_function(name)


def exact(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments with Python's numbers as those of CUDA that the kernels take."""
    return tuple([_SCALARS[type(a)](a) if type(a) in _SCALARS else a for a in args])


def each(kernel: Any, n: int, *args: Any) -> None:
    """Launch ``kernel`` with a thread for each of ``n`` elements; not at all where there are none."""
    if n:
        kernel((min(-(-n // THREADS), MOST_BLOCKS),), (THREADS,), exact(args))


def by_row(kernel: Any, rows: int, n: int, *args: Any) -> None:
    """Launch ``kernel`` on ``rows`` of ``n`` elements: a warp for a short row, for a long one a block."""
    if rows:
        threads = min(max(32, 1 << (n // 4).bit_length()), 1024)
        together = 8 if threads == 32 else 1
        kernel((min(-(-rows // together), MOST_BLOCKS),), (threads, together), exact(args))
