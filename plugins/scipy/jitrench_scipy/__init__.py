"""SciPy for JITrench: special functions, densities, sparse products, ``odeint`` and ``minimize``, with derivatives of any order."""

from __future__ import annotations

from typing import Any

from jitrench_core import hookimpl

from . import fft, integrate, linalg, ndimage, optimize, sparse, special, stats

__version__ = "0.1.0"
__all__ = ["fft", "integrate", "linalg", "ndimage", "optimize", "sparse", "special", "stats"]

_MODULES = (special, stats, linalg, sparse, ndimage, fft, integrate)


@hookimpl
def register_ops(register: Any) -> None:
    for module in _MODULES:
        for function in getattr(module, "OPS", ()):
            register(function)


@hookimpl
def register_kernels(register: Any) -> None:
    for module in _MODULES:
        for (op, backend), kernel in getattr(module, "KERNELS", {}).items():
            register(op, backend, kernel)
