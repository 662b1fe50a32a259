"""Losses, registered as ops (``jt.ops.mse_loss``), and metrics."""

from __future__ import annotations

import math
from typing import Any

import jitrench_core as jt
from jitrench_core.backend import owner


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=(3, 2)), rng.normal(size=(3, 2))), {}))
def mse_loss(x: Any, target: Any, /) -> Any:
    """The mean of (x - target)**2 over all elements; both have one shape.

    Raises ``ShapeError`` where shapes differ: (n, 1) with (n,) would broadcast to (n, n).

    >>> import jitrench_core as jt
    >>> mse_loss(jt.tensor([1.0, 2.0]), jt.tensor([1.0, 4.0]))
    Tensor(2.)
    """
    x, target = jt.asarray(x), jt.asarray(target)
    if x.shape != target.shape:
        raise jt.ShapeError(
            f"mse_loss(): x has shape {x.shape} and target {target.shape}; they must be equal: reshape one, such as "
            f"jt.reshape(target, {x.shape})"
        )
    return jt.mean(jt.square(x - target))


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=(4, 3)), rng.integers(0, 3, size=4)), {}))
def cross_entropy(x: Any, target: Any, /) -> Any:
    """The mean of -log(softmax(x)[class]) over all examples, without overflow.

    ``x`` holds scores (logits) of shape (..., classes) and ``target`` the integer class of each example, of shape (...).

    Raises ``DTypeError`` for targets that are no integers, and ``ShapeError`` where shapes do not fit or a class is not in
    [0, classes). Inside ``vmap``, where values cannot be looked at, such a class makes the loss NaN.

    >>> import jitrench_core as jt
    >>> cross_entropy(jt.tensor([[1000.0, 0.0], [0.0, 0.0]]), jt.tensor([0, 1]))
    Tensor(0.34657359)
    """
    x, target = jt.asarray(x), jt.asarray(target)
    _check_classes("cross_entropy", x, target)
    classes = x.shape[-1]
    plain = not owner(type(target.data)).depth
    if plain and target.size:
        low, high = int(jt.min(target)), int(jt.max(target))
        if low < 0 or high >= classes:
            raise jt.ShapeError(
                f"cross_entropy(): classes are 0 to {classes - 1}, because x has shape {x.shape}; target holds "
                f"{low if low < 0 else high}"
            )
    hit = jt.expand_dims(target, axis=-1) == jt.arange(classes, device=x.device)
    picked = jt.sum(jt.where(hit, jt.log_softmax(x, axis=-1), 0.0), axis=-1)
    if not plain:
        picked = jt.where(jt.any(hit, axis=-1), picked, math.nan)
    return -jt.mean(picked)


def accuracy(x: Any, target: Any) -> jt.Tensor:
    """The fraction of examples whose largest score is that of their class, as a 0-d Tensor of x's dtype.

    ``x`` holds scores of shape (..., classes), and ``target`` integer classes of shape (...).

    Raises ``DTypeError`` for targets that are no integers and ``ShapeError`` where shapes do not fit.

    >>> import jitrench_core as jt
    >>> accuracy(jt.tensor([[0.2, 0.8], [0.9, 0.1]]), jt.tensor([1, 1]))
    Tensor(0.5)
    """
    x, target = jt.asarray(x), jt.asarray(target)
    _check_classes("accuracy", x, target)
    return jt.mean(jt.astype(jt.argmax(x, axis=-1) == target, x.dtype))


def _check_classes(who: str, x: jt.Tensor, target: jt.Tensor) -> None:
    if target.dtype.kind not in "iu":
        raise jt.DTypeError(
            f"{who}(): target has dtype {target.dtype}; expected integer classes, of shape {x.shape[:-1]}. Of one-hot rows take "
            f"jt.argmax(target, axis=-1); integers stored as floats convert by target.astype(jt.int64)"
        )
    if not x.shape or x.shape[:-1] != target.shape:
        raise jt.ShapeError(
            f"{who}(): x has shape {x.shape} and target {target.shape}; expected (..., classes) and (...), such as (32, 10) "
            f"and (32,)"
        )
