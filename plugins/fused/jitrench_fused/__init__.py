"""Ops for JITrench in one pass over memory, with hand-written kernels for NumPy and CuPy.

>>> import jitrench_core as jt
>>> from jitrench_fused import swiglu
>>> jt.grad(swiglu, argnums=(0, 1))(2.0, 0.0)
(Tensor(0.), Tensor(1.))
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from jitrench_core import hookimpl

from .ops import (
    bias_gelu,
    bias_gelu_grad,
    gaussian_log_density,
    gaussian_log_density_grad,
    geglu,
    geglu_grad,
    rotary,
    swiglu,
    swiglu_grad,
)

__version__ = "0.1.0"
__all__ = ["bias_gelu", "gaussian_log_density", "geglu", "rotary", "swiglu"]

GRADIENTS = (bias_gelu_grad, gaussian_log_density_grad, geglu_grad, swiglu_grad)
OPS = (bias_gelu, gaussian_log_density, geglu, rotary, swiglu, *GRADIENTS)


def later(backend: str, name: str) -> Callable[..., Any]:
    """The kernel of an op in its backend's file, which is imported when the kernel first runs, and the library with it."""

    @cache
    def found() -> Any:
        return getattr(import_module(f"{__name__}.{backend}_kernels"), name)

    return lambda *arrays: found()(*arrays)


@hookimpl
def register_ops(register: Any) -> None:
    for function in OPS:
        register(function)


@hookimpl
def register_kernels(register: Any) -> None:
    for function in OPS:
        for backend in ("numpy", "cupy"):
            register(function.op.name, backend, later(backend, function.op.name))
