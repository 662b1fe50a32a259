"""Kernels for CuPy: the formulas of ops.py as CUDA, one launch each. CuPy is imported and compiles them when they first run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import jitrench_core as jt

from . import ops

# What the bodies below share. T is float or double, and all constants are T's: one double makes all of a line double.
PREAMBLE = f"""
template <typename T> __device__ T sigmoid(T x) {{ return T(1) / (T(1) + exp(-x)); }}
template <typename T> __device__ T gelu_sigmoid(T z) {{
    return sigmoid(T({ops.SLOPE!r}) * (z + T({ops.CUBIC!r}) * z * z * z));
}}
template <typename T> __device__ T gelu_slope(T z, T s) {{
    return s + z * s * (T(1) - s) * T({ops.SLOPE!r}) * (T(1) + T({3 * ops.CUBIC!r}) * z * z);
}}
"""

# By the op's name: inputs, outputs and the body for one element.
SOURCES = {
    "swiglu": ("T x, T gate", "T y", "y = x * gate * sigmoid(gate);"),
    "swiglu_grad": (
        "T v, T x, T gate",
        "T to_x, T to_gate",
        "T s = sigmoid(gate), silu = gate * s; to_x = v * silu; to_gate = v * x * s * (T(1) + (gate - silu));",
    ),
    "geglu": ("T x, T gate", "T y", "y = x * gate * gelu_sigmoid(gate);"),
    "geglu_grad": (
        "T v, T x, T gate",
        "T to_x, T to_gate",
        "T s = gelu_sigmoid(gate); to_x = v * gate * s; to_gate = v * x * gelu_slope(gate, s);",
    ),
    "bias_gelu": ("T x, T bias", "T y", "T z = x + bias; y = z * gelu_sigmoid(z);"),
    "bias_gelu_grad": (
        "T v, T x, T bias",
        "T to_x",
        "T z = x + bias; to_x = v * gelu_slope(z, gelu_sigmoid(z));",
    ),
    "gaussian_log_density": (
        "T x, T mean, T log_scale",
        "T y",
        f"T z = (x - mean) * exp(-log_scale); y = T(-0.5) * z * z - log_scale - T({ops.LOG_ROOT_TAU!r});",
    ),
    "gaussian_log_density_grad": (
        "T v, T x, T mean, T log_scale",
        "T to_mean, T to_log_scale",
        "T precision = exp(-log_scale), z = (x - mean) * precision; to_mean = v * z * precision; to_log_scale = v * (z * z - T(1));",
    ),
    "rotary": ("T a, T b, T cos, T sin", "T to_a, T to_b", "to_a = a * cos - b * sin; to_b = b * cos + a * sin;"),
}


@cache
def compiled(name: str) -> Any:
    """CuPy's kernel of that source."""
    import cupy

    return cupy.ElementwiseKernel(*SOURCES[name], f"jitrench_fused_{name}", preamble=PREAMBLE)


def of_one_dtype(*arrays: Any) -> list[Any] | None:
    """The arrays in their common dtype, float32 or float64, as one T stands for all; None where it is another."""
    import cupy

    dtype = cupy.result_type(*arrays)
    if dtype.char not in "fd":
        return None
    return [a.astype(dtype, copy=False) if isinstance(a, cupy.ndarray) else a for a in arrays]


def kernel(name: str) -> Callable[..., Any]:
    """The kernel of an op; in other dtypes than float32 and float64 the op's own formula."""
    op: Any = getattr(ops, name).op

    def compute(*arrays: Any) -> Any:
        same = of_one_dtype(*arrays)
        if same is not None:
            return compiled(name)(*same)
        made = op.forward(*(jt.asarray(a) if hasattr(a, "shape") else a for a in arrays))
        return tuple(y.data for y in made) if op.outputs > 1 else made.data

    return compute


swiglu, swiglu_grad = kernel("swiglu"), kernel("swiglu_grad")
geglu, geglu_grad = kernel("geglu"), kernel("geglu_grad")
bias_gelu, bias_gelu_grad = kernel("bias_gelu"), kernel("bias_gelu_grad")
gaussian_log_density = kernel("gaussian_log_density")
gaussian_log_density_grad = kernel("gaussian_log_density_grad")


def rotary(x: Any, angles: Any) -> Any:
    """The op ``rotary``."""
    import cupy

    half, op = ops.rotary_half(x, angles), cast(Any, ops.rotary.op)
    same = of_one_dtype(x, angles)
    if same is None:
        return op.forward(jt, jt.asarray(x), jt.asarray(angles)).data
    x, angles = same
    y = cupy.empty(x.shape, x.dtype)
    compiled("rotary")(x[..., :half], x[..., half:], cupy.cos(angles), cupy.sin(angles), y[..., :half], y[..., half:])
    return y
