"""The affine map of a fully connected layer, as one node."""

from __future__ import annotations

import math
from typing import Any

import jitrench_core as jt


def _sample(rng: Any) -> Any:
    return (rng.normal(size=(2, 3, 4)), rng.normal(size=(5, 4)), rng.normal(size=5)), {}


@jt.op(
    vjp={
        "x": lambda g, weight: linear_x_grad(g, weight),
        "weight": lambda g, x: linear_weight_grad(g, x),
        "bias": lambda g: linear_bias_grad(g),
    },
    samples=_sample,
)
def linear(xp: Any, x: Any, weight: Any, bias: Any = None, /) -> Any:
    """x @ weight.mT + bias: of x (..., in), weight (out, in) and bias (out,) the result (..., out).

    Raises ``ShapeError`` where shapes do not fit.

    >>> import jitrench_core as jt
    >>> linear(jt.tensor([[1.0, 2.0]]), jt.tensor([[3.0, 4.0], [0.0, 1.0]]), jt.tensor([0.5, 0.0]))
    Tensor([[11.5,  2. ]])
    """
    if len(weight.shape) != 2 or (bias is not None and tuple(bias.shape) != tuple(weight.shape[:1])):
        raise ValueError("weight is no matrix, or bias has not its height")
    y = xp.matmul(x, xp.matrix_transpose(weight))
    return y if bias is None else y + bias


@linear.jvp
def _(primals: Any, tangents: Any) -> Any:
    (x, weight, bias), (dx, dweight, dbias) = primals, tangents
    parts = []
    if dx is not None:
        parts.append(linear(dx, weight))
    if dweight is not None:
        parts.append(linear(x, dweight))
    y = linear(x, weight, bias)
    dy = sum(parts[1:], parts[0]) if parts else None
    if dbias is not None:
        dy = jt.broadcast_to(dbias, y.shape) if dy is None else dy + dbias
    return y, dy


@linear.batch
def _(batched: Any, x: Any, weight: Any, bias: Any = None, /) -> Any:
    """Examples of x alone are leading axes as any; those of a weight make a product for each."""
    if not any(batched[1:]):
        return linear(x, weight, bias)
    lead = x.shape[batched[0] : -1]
    rows = jt.reshape(x, (*x.shape[: batched[0]], math.prod(lead), x.shape[-1]))
    y = jt.matmul(rows, weight.mT)
    if bias is not None:
        y = y + (jt.expand_dims(bias, axis=1) if batched[2] else bias)
    return jt.reshape(y, (y.shape[0], *lead, y.shape[-1]))


@linear.check
def _(x: Any, weight: Any, bias: Any = None, /) -> None:
    shapes = [tuple(getattr(a, "shape", ())) for a in (x, weight)]
    fits = len(shapes[1]) == 2 and shapes[0][-1:] == shapes[1][1:]
    if not fits or (bias is not None and tuple(getattr(bias, "shape", ())) != shapes[1][:1]):
        raise jt.ShapeError(
            f"linear(): x has shape {shapes[0]}, weight {shapes[1]} and bias {getattr(bias, 'shape', None)}; expected "
            f"(..., in), (out, in) and (out,) or None"
        )


@jt.op(
    linear=("v", "weight"),
    vjp={"v": lambda g, weight: linear(g, weight), "weight": lambda g, v: linear_weight_grad(v, g)},
    samples=lambda rng: ((rng.normal(size=(2, 3, 5)), rng.normal(size=(5, 4))), {}),
)
def linear_x_grad(xp: Any, v: Any, weight: Any, /) -> Any:
    """The gradient of ``linear`` for its x: v (..., out) @ weight (out, in)."""
    return xp.matmul(v, weight)


@jt.op(
    linear=("v", "x"),
    vjp={"v": lambda g, x: linear(x, g), "x": lambda g, v: jt.matmul(v, g)},
    samples=lambda rng: ((rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 3, 4))), {}),
)
def linear_weight_grad(xp: Any, v: Any, x: Any, /) -> Any:
    """The gradient of ``linear`` for its weight: v (..., out) and x (..., in) multiplied, and summed over all that leads."""
    if v.shape[:-1] != x.shape[:-1]:
        raise ValueError("leading axes differ")
    rows = math.prod(v.shape[:-1])
    v, x = (xp.reshape(a, (rows, a.shape[-1])) for a in (v, x))
    return xp.matmul(xp.matrix_transpose(v), x)


@linear_weight_grad.batch
def _(batched: Any, v: Any, x: Any, /) -> Any:
    size = (v if batched[0] else x).shape[0]
    rows = [
        jt.reshape(a, (*a.shape[:b], math.prod(a.shape[b:-1]), a.shape[-1]))
        for a, b in zip((v, x), batched, strict=True)
    ]
    y = jt.matmul(rows[0].mT, rows[1])
    return y if y.ndim == 3 else jt.broadcast_to(y, (size, *y.shape))


@jt.op(
    linear=("v",),
    vjp=lambda g, v_shape: jt.broadcast_to(g, v_shape),
    samples=lambda rng: ((rng.normal(size=(2, 3, 5)),), {}),
)
def linear_bias_grad(xp: Any, v: Any, /) -> Any:
    """The gradient of ``linear`` for its bias: the sum of v (..., out) over all that leads."""
    return xp.sum(v, axis=tuple(range(len(v.shape) - 1)), dtype=v.dtype)
