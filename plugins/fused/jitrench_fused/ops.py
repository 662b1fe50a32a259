"""The ops: each a formula in JITrench's own functions, and its gradient as another.

So they run on every backend and have derivatives of any order. Where a backend has a kernel, the formula is one node there, that
keeps its inputs and nothing else.
"""

from __future__ import annotations

import math
from typing import Any

import jitrench_core as jt

# gelu(z) is z * Φ(z); with tanh, as Hendrycks and Gimpel (2016) approximate Φ, it is z * sigmoid(SLOPE * (z + CUBIC * z**3)).
SLOPE = 2.0 * math.sqrt(2.0 / math.pi)
CUBIC = 0.044715
LOG_ROOT_TAU = 0.5 * math.log(2.0 * math.pi)


def real(who: str, *given: Any) -> None:
    """``DTypeError`` for complex numbers."""
    for a in given:
        if type(a) is complex or getattr(getattr(a, "dtype", None), "kind", "") == "c":
            raise jt.DTypeError(
                f"{who}() takes real numbers, got {getattr(a, 'dtype', a)}: take jt.real(x), jt.imag(x) or jt.abs(x)"
            )


def operands(who: str, *given: Any) -> list[Any]:
    """Tensors of what a formula was given: a Python number takes the others' dtype, which it never changes, and their device."""
    real(who, *given)
    device = next(a.device for a in given if hasattr(a, "shape"))
    dtype = jt.result_type(*given)
    return [a if hasattr(a, "shape") else jt.full((), a, dtype=dtype, device=device) for a in given]


def sample(rng: Any, count: int) -> tuple[Any, ...]:
    """Test data for a gradient: all but the last of one shape."""
    return (*rng.normal(size=(count - 1, 2, 3)), rng.normal(size=3))


# -- gated linear units (Shazeer, 2020) -------------------------------------------------------------------------------


@jt.op(composite=True, elementwise=True)
def swiglu(x: Any, gate: Any, /) -> Any:
    """x * gate * sigmoid(gate), elementwise.

    >>> swiglu(jt.tensor([1.0, 2.0]), jt.tensor([0.0, 40.0]))
    Tensor([ 0., 80.])
    """
    x, gate = operands("swiglu", x, gate)
    return x * (gate * jt.sigmoid(gate))


@jt.op(composite=True, outputs=2, samples=lambda rng: (sample(rng, 3), {}))
def swiglu_grad(v: Any, x: Any, gate: Any, /) -> Any:
    """The gradients of ``swiglu`` for x and the gate; v, the incoming gradient, has its shape."""
    v, x, gate = operands("swiglu_grad", v, x, gate)
    s = jt.sigmoid(gate)
    silu = gate * s
    return v * silu, v * x * s * (1.0 + (gate - silu))


@swiglu.vjp_all
def _(g: Any, x: Any, gate: Any) -> Any:
    return swiglu_grad(g, x, gate)


def gelu_sigmoid(z: Any) -> Any:
    """The s of gelu(z) = z * s."""
    return jt.sigmoid(SLOPE * (z + CUBIC * (z * z * z)))


def gelu_slope(z: Any, s: Any) -> Any:
    """The slope of gelu, given that s."""
    return s + z * s * (1.0 - s) * (SLOPE + 3.0 * SLOPE * CUBIC * (z * z))


@jt.op(composite=True, elementwise=True)
def geglu(x: Any, gate: Any, /) -> Any:
    """x * gelu(gate), elementwise, with the approximation of GELU by tanh.

    >>> geglu(jt.tensor([1.0, 2.0]), jt.tensor([0.0, 40.0]))
    Tensor([ 0., 80.])
    """
    x, gate = operands("geglu", x, gate)
    return x * (gate * gelu_sigmoid(gate))


@jt.op(composite=True, outputs=2, samples=lambda rng: (sample(rng, 3), {}))
def geglu_grad(v: Any, x: Any, gate: Any, /) -> Any:
    """The gradients of ``geglu`` for x and the gate; v, the incoming gradient, has its shape."""
    v, x, gate = operands("geglu_grad", v, x, gate)
    s = gelu_sigmoid(gate)
    return v * (gate * s), v * x * gelu_slope(gate, s)


@geglu.vjp_all
def _(g: Any, x: Any, gate: Any) -> Any:
    return geglu_grad(g, x, gate)


# -- what stands after a linear layer ---------------------------------------------------------------------------------


@jt.op(composite=True, elementwise=True)
def bias_gelu(x: Any, bias: Any, /) -> Any:
    """gelu(x + bias), elementwise, with the approximation of GELU by tanh; the bias broadcasts, as of one per column.

    >>> bias_gelu(jt.tensor([[-40.0, 0.0], [40.0, 1.0]]), jt.tensor([0.0, -1.0]))
    Tensor([[-0.        , -0.15880801],
            [40.        ,  0.        ]])
    """
    x, bias = operands("bias_gelu", x, bias)
    z = x + bias
    return z * gelu_sigmoid(z)


@jt.op(composite=True, samples=lambda rng: (sample(rng, 3), {}))
def bias_gelu_grad(v: Any, x: Any, bias: Any, /) -> Any:
    """The gradient of ``bias_gelu`` for x + bias; v, the incoming gradient, has its shape."""
    v, x, bias = operands("bias_gelu_grad", v, x, bias)
    z = x + bias
    return v * gelu_slope(z, gelu_sigmoid(z))


@bias_gelu.vjp_all
def _(g: Any, x: Any, bias: Any) -> Any:
    v = bias_gelu_grad(g, x, bias)
    return v, v


# -- statistics -------------------------------------------------------------------------------------------------------


@jt.op(composite=True, elementwise=True)
def gaussian_log_density(x: Any, mean: Any, log_scale: Any, /) -> Any:
    """log N(x; mean, exp(log_scale)), elementwise: -z**2 / 2 - log_scale - log(2π) / 2 with z = (x - mean) * exp(-log_scale).

    >>> gaussian_log_density(jt.tensor([0.0, 1.0]), 0.0, 0.0)
    Tensor([-0.91893853, -1.41893853])
    """
    x, mean, log_scale = operands("gaussian_log_density", x, mean, log_scale)
    z = (x - mean) * jt.exp(-log_scale)
    return -0.5 * (z * z) - log_scale - LOG_ROOT_TAU


@jt.op(composite=True, outputs=2, samples=lambda rng: (sample(rng, 4), {}))
def gaussian_log_density_grad(v: Any, x: Any, mean: Any, log_scale: Any, /) -> Any:
    """The gradients of ``gaussian_log_density`` for mean and log_scale; v, the incoming gradient, has its shape."""
    v, x, mean, log_scale = operands("gaussian_log_density_grad", v, x, mean, log_scale)
    precision = jt.exp(-log_scale)
    z = (x - mean) * precision
    return v * z * precision, v * (z * z - 1.0)


@gaussian_log_density.vjp_all
def _(g: Any, x: Any, mean: Any, log_scale: Any, needs: Any) -> Any:
    to_mean, to_log_scale = gaussian_log_density_grad(g, x, mean, log_scale)
    return -to_mean if needs[0] else None, to_mean, to_log_scale


# -- positions --------------------------------------------------------------------------------------------------------


@jt.op(linear=("x",), samples=lambda rng: ((rng.normal(size=(2, 3, 4)), rng.normal(size=(3, 2))), {}))
def rotary(xp: Any, x: Any, angles: Any, /) -> Any:
    """Rotary position embedding: each pair (x[..., k], x[..., k + half]) turned by angles[..., k] (Su et al., 2021).

    ``x`` has an even last axis, ``half`` its half; ``angles`` broadcasts to x's shape with that axis halved: (positions, half) in a
    transformer, which is all that the backward pass keeps where the angles need no gradient.

    Raises ``ShapeError`` where shapes do not fit, ``DTypeError`` for complex numbers.

    >>> import math
    >>> rotary(jt.tensor([1.0, 0.0]), jt.tensor([math.pi / 6]))
    Tensor([0.8660254, 0.5      ])
    """
    half = rotary_half(x, angles)
    real("rotary", jt.asarray(x), jt.asarray(angles))
    a, b = x[..., :half], x[..., half:]
    cos, sin = xp.cos(angles), xp.sin(angles)
    return xp.concat((a * cos - b * sin, b * cos + a * sin), axis=-1)


@rotary.vjp("x")
def _(g: Any, angles: Any) -> Any:
    return rotary(g, -angles)


@rotary.vjp("angles")
def _(g: Any, y: Any, angles_shape: tuple[int, ...]) -> Any:
    half = y.shape[-1] // 2
    return jt.sum_to(g[..., half:] * y[..., :half] - g[..., :half] * y[..., half:], angles_shape)


def rotary_half(x: Any, angles: Any) -> int:
    """The half of x's last axis; ``ShapeError`` where shapes do not fit."""
    shape, turns = getattr(x, "shape", ()), getattr(angles, "shape", None)
    if not shape or shape[-1] % 2:
        raise jt.ShapeError(f"rotary() turns pairs along the last axis of x, which must be even; x has shape {shape}")
    pairs: tuple[int, ...] = (*shape[:-1], shape[-1] // 2)
    lengths = zip((turns or ())[::-1], pairs[::-1], strict=False)
    if turns is None or len(turns) > len(pairs) or any(n not in (1, m) for n, m in lengths):
        got = repr(angles) if turns is None else f"shape {turns}"
        raise jt.ShapeError(
            f"rotary(): angles must be an array that broadcasts to {pairs}, one for each pair of x, whose shape is {shape}; got {got}"
        )
    return pairs[-1]
