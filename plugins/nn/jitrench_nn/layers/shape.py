"""Layers that change the shape alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jitrench_core as jt
from jitrench_core.layer import LayerError

from .base import Configured


@dataclass(eq=False, repr=False)
class Flatten(Configured):
    """Axes ``start_axis`` to ``end_axis`` as one; by default all but the first.

    Raises ``AxisError`` where x does not have them, in this order.

    >>> Flatten()(jt.ones((5, 2, 3, 4))).shape
    (5, 24)
    """

    start_axis: int = 1
    end_axis: int = -1

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        first, last = (a + x.ndim if a < 0 else a for a in (self.start_axis, self.end_axis))
        if not 0 <= first <= last < x.ndim:
            raise jt.AxisError(
                f"{self.label}: the axes {self.start_axis} to {self.end_axis} are none of an input of shape {x.shape}"
            )
        shape = x.shape
        return jt.reshape(x, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


@dataclass(eq=False, repr=False)
class Unflatten(Configured):
    """``axis`` as several, of ``shape``; one of its lengths may be -1, and is what is left then.

    Raises ``AxisError`` where x has no such axis, and ``ShapeError`` where its length is not that of ``shape``.

    >>> Unflatten(1, (3, -1))(jt.ones((5, 12))).shape
    (5, 3, 4)
    """

    axis: int
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.shape, (tuple, list)) or not all(type(n) is int for n in self.shape):
            raise LayerError(f"Unflatten(shape=): expected a tuple of ints, got {self.shape!r:.60}")

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        axis = self.axis + x.ndim if self.axis < 0 else self.axis
        if not 0 <= axis < x.ndim:
            raise jt.AxisError(f"{self.label}: an input of shape {x.shape} has no axis {self.axis}")
        known = math.prod(n for n in self.shape if n != -1)
        guessed = [x.shape[axis] // known if n == -1 and known else n for n in self.shape]
        if math.prod(guessed) != x.shape[axis] or self.shape.count(-1) > 1 or min(guessed, default=0) < 0:
            raise jt.ShapeError(
                f"{self.label}: axis {self.axis} of an input of shape {x.shape} has the length {x.shape[axis]}, which is not "
                f"that of {self.shape}"
            )
        return jt.reshape(x, (*x.shape[:axis], *guessed, *x.shape[axis + 1 :]))
