"""Metrics: numbers that say how good a model is, and that nothing is differentiated by."""

from __future__ import annotations

from typing import Any

import jitrench_core as jt


def accuracy(x: Any, target: Any) -> jt.Tensor:
    """The fraction of examples whose largest score is that of their class, as a 0-d Tensor of x's dtype.

    ``x`` holds scores of shape (..., classes), and ``target`` integer classes of shape (...).

    Raises ``DTypeError`` for targets that are no integers and ``ShapeError`` where shapes do not fit.

    >>> import jitrench_core as jt
    >>> accuracy(jt.tensor([[0.2, 0.8], [0.9, 0.1]]), jt.tensor([1, 1]))
    Tensor(0.5)
    """
    x, target = jt.asarray(x), jt.asarray(target)
    if target.dtype.kind not in "iu":
        raise jt.DTypeError(
            f"accuracy(): target has dtype {target.dtype}; expected integer classes, of shape {x.shape[:-1]}. Of one-hot rows "
            f"take jt.argmax(target, axis=-1); integers stored as floats convert by target.astype(jt.int64)"
        )
    if not x.shape or x.shape[:-1] != target.shape:
        raise jt.ShapeError(
            f"accuracy(): x has shape {x.shape} and target {target.shape}; expected (..., classes) and (...), such as (32, 10) "
            f"and (32,)"
        )
    return jt.mean(jt.astype(jt.argmax(x, axis=-1) == target, x.dtype))
