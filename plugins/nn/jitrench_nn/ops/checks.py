"""What several families ask of their arguments."""

from __future__ import annotations

from typing import Any

import jitrench_core as jt
from jitrench_core.backend import owner


def visible(x: Any) -> bool:
    """Whether the values of ``x`` can be looked at: inside ``vmap`` and ``jvp`` they cannot."""
    return not owner(type(x.data)).depth


def extent(x: Any) -> tuple[int, int] | None:
    """The least and the largest of integers; None where there are none, or where they cannot be looked at."""
    return (int(jt.min(x)), int(jt.max(x))) if x.size and visible(x) else None


def reduced(who: str, loss: Any, reduction: str) -> Any:
    """A loss of each element, or their mean or sum; ``OpError`` for another reduction."""
    if reduction == "mean":
        return jt.mean(loss)
    if reduction == "sum":
        return jt.sum(loss)
    if reduction == "none":
        return loss
    raise jt.OpError(f"{who}(): reduction= is 'mean', 'sum' or 'none'; got {reduction!r}")


def real(who: str, *arrays: Any) -> None:
    """``DTypeError`` for complex numbers."""
    for x in arrays:
        if x.dtype.kind == "c":
            raise jt.DTypeError(f"{who}() takes real numbers, got {x.dtype}: take jt.real(x), jt.imag(x) or jt.abs(x)")


def same_shape(who: str, x: Any, target: Any, name: str = "target") -> None:
    """``ShapeError`` where shapes differ: (n, 1) with (n,) would broadcast to (n, n). Both must be real."""
    real(who, x, target)
    if x.shape != target.shape:
        raise jt.ShapeError(
            f"{who}(): x has shape {x.shape} and {name} {target.shape}; they must be equal: reshape one, such as "
            f"jt.reshape({name}, {x.shape})"
        )
