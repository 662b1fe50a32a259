"""Kernels for NumPy, a file a family; each file is imported when one of its ops first runs."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

# The op, and the file here in which a function of its name computes it.
NUMPY = {
    "convolution": "conv",
    "max_pool": "pooling",
    "pool_scatter": "pooling",
    "resample": "interpolate",
    "layer_norm": "normalization",
    "layer_norm_grad": "normalization",
    "log_softmax_at": "losses",
    "log_softmax_at_grad": "losses",
}


def on_first_use(file: str, name: str) -> Callable[..., Any]:
    """The kernel ``name`` of ``file``, which is imported when it is called."""
    found: list[Callable[..., Any]] = []

    def kernel(*arrays: Any, **attrs: Any) -> Any:
        if not found:
            found.append(getattr(import_module(f"{__name__}.{file}"), name))
        return found[0](*arrays, **attrs)

    return kernel
