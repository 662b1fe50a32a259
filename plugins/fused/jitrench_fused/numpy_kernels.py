"""Kernels for NumPy: the formulas of ops.py a block at a time, so that what stands between two steps stays in the cache.

``np.nditer`` cuts operands of any strides, broadcast or not, into blocks; each step writes into a block that is there already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

import jitrench_core as jt

from . import ops

BLOCK = 2**17  # bytes of each operand: with 2**16 gradients in float32 take a tenth longer, with 2**18 no less
FLAGS: Any = ("external_loop", "buffered", "zerosize_ok")
READ, MAKE, WRITE = ["readonly"], ["writeonly", "allocate"], ["writeonly"]


def run(step: Any, dtype: Any, arrays: tuple[Any, ...], outs: tuple[Any, ...], spare: int) -> tuple[Any, ...]:
    """Call ``step`` on each block of arrays and outs, and on spare blocks; return the outs.

    An out that is None is made, of the arrays' broadcast shape.
    """
    modes: Any = [READ] * len(arrays) + [MAKE if a is None else WRITE for a in outs]
    dtypes, size = [dtype] * len(modes), BLOCK // dtype.itemsize
    blocks: Any = np.nditer((*arrays, *outs), FLAGS, modes, dtypes, casting="same_kind", buffersize=size)
    spares = np.empty((spare, size), dtype)
    with blocks, quiet():
        for block in blocks:
            step(*block, *spares[:, : len(block[0])])
        return tuple(blocks.operands[len(arrays) :])


def quiet() -> Any:
    """exp(-x) may become inf, whose inverse is 0."""
    return np.errstate(over="ignore")


def one_block(arrays: tuple[Any, ...]) -> bool:
    """Whether the arrays are of one shape and dtype, and small: without nditer a call takes 2 us less."""
    first = arrays[0]
    for a in arrays:
        if type(a) is not np.ndarray or a.shape != first.shape or a.dtype != first.dtype:
            return False
    return first.nbytes <= BLOCK  # type: ignore[no-any-return]


def floating(*arrays: Any) -> Any:
    """The dtype to compute in, float32 or float64; None where it is another."""
    dtype = np.result_type(*arrays)
    return dtype if dtype.char in "fd" else None


def kernel(step: Callable[..., None]) -> Callable[..., Any]:
    """The kernel of the op that ``step`` is named after; in other dtypes than float32 and float64 the op's own formula.

    ``step`` takes the op's inputs, its outputs, and arrays to spare.
    """
    op: Any = getattr(ops, step.__name__).op
    outs = (None,) * op.outputs
    spare = step.__code__.co_argcount - len(op.inputs) - op.outputs

    def compute(*arrays: Any) -> Any:
        dtype = floating(*arrays)
        made: Any
        if dtype is None:
            made = op.forward(*(jt.asarray(a) if hasattr(a, "shape") else a for a in arrays))
            return tuple(y.data for y in made) if op.outputs > 1 else made.data
        if one_block(arrays):
            made = [np.empty_like(arrays[0]) for _ in range(op.outputs + spare)]
            with quiet():
                step(*arrays, *made)
            made = tuple(made[: op.outputs])
        else:
            made = run(step, dtype, arrays, outs, spare)
        return made if op.outputs > 1 else made[0]

    return compute


def denominator(x: Any, out: Any) -> None:
    """1 + exp(-x), by which sigmoid and silu divide: of float64 half the time of tanh."""
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1


def gelu_denominator(z: Any, square: Any, out: Any) -> None:
    """By what gelu(z) divides z, given z**2."""
    np.multiply(square, -ops.SLOPE * ops.CUBIC, out=out)
    out -= ops.SLOPE
    out *= z
    np.exp(out, out=out)
    out += 1


def gelu_slope(square: Any, s: Any, y: Any, spare: Any) -> None:
    """The slope of gelu at z, given s and y = z * s, into what holds z**2; far from 0 the 1 - s is 0 before z**3 is infinite."""
    square *= 3 * ops.SLOPE * ops.CUBIC
    square += ops.SLOPE
    np.subtract(1, s, out=spare)
    spare *= y
    square *= spare
    square += s


@kernel
def swiglu(x: Any, gate: Any, y: Any) -> None:
    denominator(gate, y)
    np.divide(gate, y, out=y)
    y *= x


@kernel
def swiglu_grad(v: Any, x: Any, gate: Any, to_x: Any, to_gate: Any, rest: Any) -> None:
    denominator(gate, to_gate)
    np.reciprocal(to_gate, out=to_gate)
    np.multiply(gate, to_gate, out=to_x)
    np.subtract(gate, to_x, out=rest)
    rest += 1
    to_gate *= rest
    to_gate *= x
    to_gate *= v
    to_x *= v


@kernel
def geglu(x: Any, gate: Any, y: Any, square: Any) -> None:
    np.square(gate, out=square)
    gelu_denominator(gate, square, y)
    np.divide(gate, y, out=y)
    y *= x


@kernel
def geglu_grad(v: Any, x: Any, gate: Any, to_x: Any, to_gate: Any, s: Any, rest: Any) -> None:
    np.square(gate, out=to_gate)
    gelu_denominator(gate, to_gate, s)
    np.reciprocal(s, out=s)
    np.multiply(gate, s, out=to_x)
    gelu_slope(to_gate, s, to_x, rest)
    to_gate *= x
    to_gate *= v
    to_x *= v


@kernel
def bias_gelu(x: Any, bias: Any, y: Any, z: Any, square: Any) -> None:
    np.add(x, bias, out=z)
    np.square(z, out=square)
    gelu_denominator(z, square, y)
    np.divide(z, y, out=y)


@kernel
def bias_gelu_grad(v: Any, x: Any, bias: Any, to_x: Any, z: Any, s: Any, rest: Any) -> None:
    np.add(x, bias, out=z)
    np.square(z, out=to_x)
    gelu_denominator(z, to_x, s)
    np.reciprocal(s, out=s)
    z *= s
    gelu_slope(to_x, s, z, rest)
    to_x *= v


@kernel
def gaussian_log_density(x: Any, mean: Any, log_scale: Any, y: Any, distance: Any) -> None:
    np.negative(log_scale, out=y)
    np.exp(y, out=y)
    y *= np.subtract(x, mean, out=distance)
    y *= y
    y *= -0.5
    y -= log_scale
    y -= ops.LOG_ROOT_TAU


@kernel
def gaussian_log_density_grad(
    v: Any, x: Any, mean: Any, log_scale: Any, to_mean: Any, to_log_scale: Any, z: Any
) -> None:
    np.negative(log_scale, out=to_mean)
    np.exp(to_mean, out=to_mean)
    np.subtract(x, mean, out=z)
    z *= to_mean
    np.square(z, out=to_log_scale)
    to_log_scale -= 1
    to_log_scale *= v
    z *= v  # first: where v is 0, what overflows counts for nothing
    to_mean *= z


def turn(a: Any, b: Any, cos: Any, sin: Any, to_a: Any, to_b: Any, rest: Any) -> None:
    """Points (a, b), turned."""
    np.multiply(a, cos, out=to_a)
    to_a -= np.multiply(b, sin, out=rest)
    np.multiply(b, cos, out=to_b)
    to_b += np.multiply(a, sin, out=rest)


def rotary(x: Any, angles: Any) -> Any:
    """The op ``rotary``."""
    half, op = ops.rotary_half(x, angles), cast(Any, ops.rotary.op)
    dtype = floating(x, angles)
    if dtype is None:
        return op.forward(jt, jt.asarray(x), jt.asarray(angles)).data
    y = np.empty(x.shape, dtype)
    turns = (np.cos(angles, dtype=dtype), np.sin(angles, dtype=dtype))
    run(turn, dtype, (x[..., :half], x[..., half:], *turns), (y[..., :half], y[..., half:]), 1)
    return y
