"""More elements around the last axes: constants, or the array's own."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import jitrench_core as jt
from jitrench_core.layer import LayerError

from .base import Configured, refuse
from .conv import SHAPES

Ints = tuple[int, ...]


class _Pad(Configured):
    """``padding`` is an int, or as PyTorch's (before, after) of the last axis, then of the one before it, and so on."""

    axes: ClassVar[int]
    mode: ClassVar[str] = "constant"
    value: float = 0.0

    def __init__(self, padding: int | Ints, *, name: str | None = None) -> None:
        super().__init__(name=name)
        given = padding if isinstance(padding, (tuple, list)) else (padding,) * (2 * self.axes)
        if len(given) != 2 * self.axes or any(
            isinstance(n, bool) or not isinstance(n, Integral) or n < 0 for n in given
        ):
            raise jt.ShapeError(
                f"{type(self).__name__}(padding): expected an int from 0, or a tuple of {2 * self.axes}, (before, after) of the "
                f"last axis first; got {padding!r:.60}"
            )
        self.padding = padding
        around = [(int(low), int(high)) for low, high in zip(given[::2], given[1::2], strict=True)]
        self.around = tuple(reversed(around))

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        lead = x.ndim - self.axes
        if lead < 0 or (self.mode != "constant" and lead not in (1, 2)):
            refuse(self, x, SHAPES[self.axes - 1], "bfciu")
        width = ((0, 0),) * lead + self.around
        if self.mode == "constant":
            return jt.pad(x, width, constant_values=self.value)
        return jt.pad(x, width, self.mode)


class _ConstantPad(_Pad):
    def __init__(self, padding: int | Ints, value: float, *, name: str | None = None) -> None:
        super().__init__(padding, name=name)
        given: Any = value
        if isinstance(given, bool) or not isinstance(given, Real):
            raise LayerError(f"{type(self).__name__}(value): expected a number; got {given!r:.60}")
        self.value = given if isinstance(given, (int, float)) else float(given)


class ConstantPad1d(_ConstantPad):
    """``value`` before and after the last axis of x (..., L).

    >>> ConstantPad1d((1, 2), 7.0)(jt.tensor([[1.0, 2.0]]))
    Tensor([[7., 1., 2., 7., 7.]])
    """

    axes = 1


class ConstantPad2d(_ConstantPad):
    """``value`` around the last two axes of x (..., H, W)."""

    axes = 2


class ConstantPad3d(_ConstantPad):
    """``value`` around the last three axes of x (..., D, H, W)."""

    axes = 3


class ZeroPad1d(_Pad):
    """Zeros before and after the last axis of x (..., L)."""

    axes = 1


class ZeroPad2d(_Pad):
    """Zeros around the last two axes of x (..., H, W).

    >>> ZeroPad2d((1, 0, 0, 1))(jt.tensor([[1.0, 2.0]]))
    Tensor([[0., 1., 2.],
            [0., 0., 0.]])
    """

    axes = 2


class ZeroPad3d(_Pad):
    """Zeros around the last three axes of x (..., D, H, W)."""

    axes = 3


class ReflectionPad1d(_Pad):
    """A mirror on the first and last element of x (N, C, L).

    >>> ReflectionPad1d(2)(jt.tensor([[1.0, 2.0, 3.0]]))
    Tensor([[3., 2., 1., 2., 3., 2., 1.]])
    """

    axes, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """A mirror on the outer elements of x (N, C, H, W)."""

    axes, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """A mirror on the outer elements of x (N, C, D, H, W)."""

    axes, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """The first and last element of x (N, C, L) again."""

    axes, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The outer elements of x (N, C, H, W) again."""

    axes, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """The outer elements of x (N, C, D, H, W) again."""

    axes, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """Elements from the other end of x (N, C, L)."""

    axes, mode = 1, "circular"


class CircularPad2d(_Pad):
    """Elements from the other ends of x (N, C, H, W)."""

    axes, mode = 2, "circular"


class CircularPad3d(_Pad):
    """Elements from the other ends of x (N, C, D, H, W)."""

    axes, mode = 3, "circular"
