"""Attention."""

from __future__ import annotations

import math
from typing import Any

import jitrench_core as jt

from .checks import real
from .dropout import dropout


def _sample(rng: Any) -> Any:
    return (rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 5, 6))), {}


@jt.op(composite=True, samples=_sample)
def scaled_dot_product_attention(
    q: Any,
    k: Any,
    v: Any,
    attn_mask: Any = None,
    /,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    generator: Any = None,
) -> Any:
    """softmax(q @ k.mT * scale + mask) @ v (Vaswani et al., 2017).

    ``q`` has shape (..., queries, width), ``k`` (..., keys, width) and ``v`` (..., keys, width of the result); leading axes
    broadcast. ``attn_mask`` broadcasts to (..., queries, keys): booleans, true where a query may look, or numbers that are
    added. ``is_causal`` lets query i look at the keys 0 to i. ``scale`` None is 1 / sqrt(width). ``dropout_p`` drops weights, drawn
    from ``generator``, as ``dropout`` does. A query that may look nowhere gives 0, and gradients of 0.

    Raises ``ShapeError`` where shapes do not fit, ``DTypeError`` for complex numbers and a mask of integers, and ``OpError`` for a mask together with ``is_causal``.

    >>> import jitrench_core as jt
    >>> q = k = jt.eye(2)
    >>> scaled_dot_product_attention(q, k, jt.tensor([[1.0], [2.0]]), is_causal=True, scale=0.0)
    Tensor([[1. ],
            [1.5]])
    """
    q, k, v = jt.asarray(q), jt.asarray(k), jt.asarray(v)
    _check(q, k, v)
    real("scaled_dot_product_attention", q, k, v)
    if not k.shape[-2]:  # nothing to look at: a mask of it has no largest number
        return q @ k.mT @ v
    if is_causal and attn_mask is not None:
        raise jt.OpError(
            "scaled_dot_product_attention(): is_causal=True is a mask of its own: leave attn_mask out, or put both into it"
        )
    if attn_mask is None and not dropout_p and q.shape[:-2] == k.shape[:-2] == v.shape[:-2]:
        return attention(q, k, v, is_causal=is_causal, scale=scale)
    scores = _scores(q, k, is_causal, scale)
    if attn_mask is None:
        weights = jt.softmax(scores, axis=-1)
    else:
        weights = masked_softmax(scores, jt.asarray(attn_mask))
    if dropout_p:
        weights = dropout(weights, p=dropout_p, generator=generator)
    return weights @ v


def scale_of(q: Any, scale: float | None) -> float:
    """What scores are multiplied by."""
    return 1.0 / math.sqrt(q.shape[-1] or 1) if scale is None else scale


def _scores(q: Any, k: Any, is_causal: bool, scale: float | None) -> Any:
    q, k = jt.asarray(q), jt.asarray(k)
    real("attention", q, k)
    scores = (q * scale_of(q, scale)) @ k.mT
    if is_causal:
        rows = jt.arange(q.shape[-2], device=q.device)
        columns = jt.arange(k.shape[-2], device=q.device)
        scores = jt.where(columns <= jt.expand_dims(rows, axis=-1), scores, -math.inf)
    return scores


@jt.op(composite=True, samples=_sample)
def attention(q: Any, k: Any, v: Any, /, *, is_causal: bool = False, scale: float | None = None) -> Any:
    """``scaled_dot_product_attention`` of equal leading axes, without a mask and dropout: one node where a backend has a kernel."""
    return jt.softmax(_scores(q, k, is_causal, scale), axis=-1) @ v


@attention.vjp_all
def _(g: Any, q: Any, k: Any, v: Any, is_causal: bool, scale: float | None) -> Any:
    return attention_grad(g, q, k, v, is_causal=is_causal, scale=scale)


def _grad_sample(rng: Any) -> Any:
    return tuple(rng.normal(size=shape) for shape in ((2, 1), (2, 3), (2, 3), (2, 1))), {"is_causal": True}


@jt.op(composite=True, outputs=3, samples=_grad_sample)
def attention_grad(u: Any, q: Any, k: Any, v: Any, /, *, is_causal: bool = False, scale: float | None = None) -> Any:
    """The gradients of ``attention`` for q, k and v, where u is the result's; the weights are computed again."""
    weights = jt.softmax(_scores(q, k, is_causal, scale), axis=-1)
    slope = u @ v.mT
    slope = weights * (slope - jt.sum(weights * slope, axis=-1, keepdims=True)) * scale_of(q, scale)
    return slope @ k, slope.mT @ q, weights.mT @ u


def _check(q: Any, k: Any, v: Any) -> None:
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise jt.ShapeError(
            f"scaled_dot_product_attention(): q has shape {q.shape}, k {k.shape} and v {v.shape}; expected "
            f"(..., queries, width), (..., keys, width) and (..., keys, width of the result)"
        )
    leading = [x.shape[:-2] for x in (q, k, v)]
    if not leading[0] == leading[1] == leading[2]:
        try:
            jt.broadcast_shapes(*leading)
        except jt.ShapeError as e:
            raise jt.ShapeError(
                f"scaled_dot_product_attention(): q has shape {q.shape}, k {k.shape} and v {v.shape}, whose leading axes "
                f"{', '.join(map(str, leading))} do not broadcast"
            ) from e


def masked_softmax(scores: Any, mask: Any) -> Any:
    """The softmax over the last axis; zero, and not NaN, where every element is masked.

    The mask says where that is: it is often smaller than the scores, (n, 1, 1, keys) beside (n, heads, queries, keys).
    """
    if mask.dtype.kind not in "bf":
        raise jt.DTypeError(
            f"scaled_dot_product_attention(): attn_mask has dtype {mask.dtype}; expected booleans, true where a query may "
            f"look, or floating-point numbers to add"
        )
    rows = mask if mask.ndim else jt.reshape(mask, (1,))
    try:
        if mask.dtype.kind == "b":
            nowhere = jt.logical_not(jt.any(rows, axis=-1, keepdims=True))
            scores = jt.where(jt.logical_or(rows, nowhere), scores, -math.inf)
        else:
            nowhere = jt.max(rows.detach(), axis=-1, keepdims=True) == -math.inf
            scores = scores + jt.where(nowhere, 0.0, rows)
    except jt.ShapeError as e:
        raise jt.ShapeError(
            f"scaled_dot_product_attention(): attn_mask has shape {mask.shape}; expected one that broadcasts to "
            f"(..., queries, keys), here {scores.shape}"
        ) from e
    return jt.where(nowhere, 0.0, jt.softmax(scores, axis=-1))
