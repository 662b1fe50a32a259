"""What metrics ask of their arguments."""

from __future__ import annotations

import math
from typing import Any

import jitrench_core as jt


class MetricError(jt.JITrenchError, ValueError):
    """A metric of nothing, of NaN, with an option that there is not, or with the state of another."""


def tensors(x: Any, target: Any) -> tuple[jt.Tensor, jt.Tensor]:
    """Both as Tensors without history; a list goes where the other is."""
    device = next((jt.asarray(a).device for a in (x, target) if hasattr(a, "shape")), None)
    return _tensor(x, device), _tensor(target, device)


def _tensor(x: Any, device: Any) -> jt.Tensor:
    return jt.stop_gradient(jt.asarray(x) if hasattr(x, "shape") else jt.asarray(x, device=device))


def one_of(who: str, option: str, value: Any, known: tuple[Any, ...]) -> None:
    """``MetricError`` for an option that there is not."""
    if value not in known:
        raise MetricError(f"{who}({option}=): expected {' or '.join(map(repr, known))}; got {value!r}")


def of_something(who: str, x: jt.Tensor) -> None:
    if not x.size:
        raise jt.ShapeError(f"{who}: x has shape {x.shape}, so there is no example; expected one or more")


def without_nan(who: str, x: jt.Tensor) -> None:
    if x.dtype.kind == "f" and bool(jt.any(jt.isnan(x))):
        raise MetricError(
            f"{who}: x holds NaN, which has no rank; find where it was made by `with jt.detect_anomaly():`"
        )


def integer_target(who: str, x: jt.Tensor, target: jt.Tensor, expected: tuple[int, ...]) -> None:
    if target.dtype.kind not in "biu":
        raise jt.DTypeError(
            f"{who}: target has dtype {target.dtype}; expected integer classes, of shape {expected}. Of one-hot rows take "
            f"jt.argmax(target, axis=-1); integers stored as floats convert by target.astype(jt.int64)"
        )


def of_scores(who: str, x: Any, target: Any, what: str = "(..., classes)") -> tuple[jt.Tensor, jt.Tensor]:
    """Scores of shape (..., classes) and integer classes of shape (...), as rows and a line."""
    x, target = tensors(x, target)
    integer_target(who, x, target, x.shape[:-1])
    if x.dtype.kind not in "iuf":
        raise jt.DTypeError(f"{who}: x has dtype {x.dtype}; expected scores, which are real numbers")
    if not x.shape or x.shape[:-1] != target.shape:
        raise jt.ShapeError(
            f"{who}: x has shape {x.shape} and target {target.shape}; expected {what} and (...), such as (32, 10) and (32,)"
        )
    of_something(who, x)
    target = jt.reshape(target, (-1,)).astype(jt.int64)
    in_range(who, "target", target, x.shape[-1])
    return jt.reshape(x, (-1, x.shape[-1])), target


def in_range(who: str, name: str, classes: jt.Tensor, n: int | None) -> int:
    """How many classes there are up to the largest of ``classes``; ``BoundsError`` for one that is not in [0, n)."""
    least, most = int(jt.min(classes)), int(jt.max(classes))
    if least < 0 or (n is not None and most >= n):
        wrong = least if least < 0 else most
        raise jt.BoundsError(
            f"{who}: {name} holds class {wrong}; expected classes from 0" + ("" if n is None else f" to {n - 1}")
        )
    return most + 1


def classes(
    who: str, x: Any, target: Any, threshold: float, num_classes: int | None = None
) -> tuple[jt.Tensor, jt.Tensor, int]:
    """Predicted and true classes as two lines of int64, and how many classes there are.

    ``x`` holds scores with one axis more than ``target``, or the predicted classes themselves (integers, booleans), or one
    score an example, which is class 1 above the threshold.
    """
    x, target = tensors(x, target)
    if x.ndim == target.ndim + 1:
        rows, target = of_scores(who, x, target)
        if num_classes not in (None, x.shape[-1]):
            raise jt.ShapeError(f"{who}: x has scores of {x.shape[-1]} classes; expected num_classes={num_classes}")
        return jt.argmax(rows, axis=-1), target, x.shape[-1]
    integer_target(who, x, target, x.shape)
    if x.shape != target.shape:
        raise jt.ShapeError(
            f"{who}: x has shape {x.shape} and target {target.shape}; expected scores of shape (..., classes) and (...), or "
            f"predicted classes of target's shape"
        )
    of_something(who, x)
    target, x = jt.reshape(target, (-1,)).astype(jt.int64), jt.reshape(x, (-1,))
    if x.dtype.kind == "f":
        without_nan(who, x)
        x = x > threshold
        num_classes = num_classes or 2
    elif x.dtype.kind not in "biu":
        raise jt.DTypeError(f"{who}: x has dtype {x.dtype}; expected real scores or integer classes")
    x = x.astype(jt.int64)
    n = max(in_range(who, "target", target, num_classes), in_range(who, "x", x, num_classes), 2)
    return x, target, num_classes or n


def binary(who: str, x: Any, target: Any) -> tuple[jt.Tensor, jt.Tensor]:
    """Scores as float64, (n,) or (n, classes) for three classes and more; and true classes, (n,)."""
    x, target = tensors(x, target)
    if x.ndim == target.ndim + 1:
        x, target = of_scores(who, x, target)
        x = x[:, 1] if x.shape[-1] == 2 else x
    else:
        integer_target(who, x, target, x.shape)
        if x.shape != target.shape:
            raise jt.ShapeError(
                f"{who}: x has shape {x.shape} and target {target.shape}; expected a score for each target, or (..., classes)"
            )
        if x.dtype.kind not in "biuf":
            raise jt.DTypeError(f"{who}: x has dtype {x.dtype}; expected scores, which are real numbers")
        of_something(who, x)
        x, target = jt.reshape(x, (-1,)), jt.reshape(target, (-1,)).astype(jt.int64)
        in_range(who, "target", target, 2)
    without_nan(who, x)
    return x if x.dtype.kind == "f" else x.astype(jt.float64), target


def values(who: str, x: Any, target: Any) -> tuple[jt.Tensor, jt.Tensor]:
    """Predictions and true values of one shape (n, ...), as float64."""
    x, target = tensors(x, target)
    for name, a in (("x", x), ("target", target)):
        if a.dtype.kind not in "biuf":
            raise jt.DTypeError(f"{who}: {name} has dtype {a.dtype}; expected real numbers")
    if x.shape != target.shape or not x.shape:
        raise jt.ShapeError(
            f"{who}: x has shape {x.shape} and target {target.shape}; expected both of one shape (n, ...). Drop an axis of "
            f"length 1 by x[:, 0]: nothing is broadcast here"
        )
    of_something(who, x)
    return x.astype(jt.float64), target.astype(jt.float64)


def ratio(a: jt.Tensor, b: jt.Tensor, otherwise: float) -> jt.Tensor:
    """a / b in float64, and ``otherwise`` where b is 0."""
    a, b = a.astype(jt.float64), b.astype(jt.float64)
    none = b == 0
    return jt.where(none, otherwise, a / jt.where(none, 1.0, b))


def check_zero_division(who: str, value: Any) -> None:
    if not isinstance(value, (int, float)) or not (math.isnan(value) or value in (0, 1)):
        raise MetricError(f"{who}(zero_division=): expected 0, 1 or NaN; got {value!r}")
