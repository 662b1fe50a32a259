"""Layers that change the shape alone, gather windows, or resample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import jitrench_core as jt
from jitrench_core.layer import LayerError

from .. import functional as F
from ..ops.interpolate import MODES
from ..ops.windows import lengths, pairs
from .base import Configured, check_size


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
        given: Any = self.shape
        if not isinstance(given, (tuple, list)) or any(
            isinstance(n, bool) or not isinstance(n, Integral) for n in given
        ):
            raise LayerError(f"Unflatten(shape=): expected a tuple of ints, got {given!r:.60}")
        self.shape = tuple(map(int, given))

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


class PixelShuffle(Configured):
    """x (..., C * r**2, H, W) as (..., C, H * r, W * r), with r = ``upscale_factor`` (Shi et al., 2016).

    Raises ``ShapeError`` where the channels are no multiple of r**2.

    >>> PixelShuffle(2)(jt.arange(4.0).reshape((4, 1, 1)))
    Tensor([[[0., 1.],
             [2., 3.]]])
    """

    def __init__(self, upscale_factor: int, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.upscale_factor = check_size("PixelShuffle", "upscale_factor", "the factor", upscale_factor)

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        r = self.upscale_factor
        if x.ndim < 3 or x.shape[-3] % r**2:
            raise jt.ShapeError(f"{self.label}: expected an input of shape (..., C * {r**2}, H, W), got {x.shape}")
        *lead, c, h, w = x.shape
        n = len(lead)
        x = jt.reshape(x, (*lead, c // r**2, r, r, h, w))
        x = jt.permute_dims(x, (*range(n + 1), n + 3, n + 1, n + 4, n + 2))
        return jt.reshape(x, (*lead, c // r**2, h * r, w * r))


class PixelUnshuffle(Configured):
    """x (..., C, H * r, W * r) as (..., C * r**2, H, W), with r = ``downscale_factor``: ``PixelShuffle`` back.

    Raises ``ShapeError`` where height or width is no multiple of r.
    """

    def __init__(self, downscale_factor: int, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.downscale_factor = check_size("PixelUnshuffle", "downscale_factor", "the factor", downscale_factor)

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        r = self.downscale_factor
        if x.ndim < 3 or x.shape[-2] % r or x.shape[-1] % r:
            raise jt.ShapeError(f"{self.label}: expected an input of shape (..., C, H * {r}, W * {r}), got {x.shape}")
        *lead, c, h, w = x.shape
        n = len(lead)
        x = jt.reshape(x, (*lead, c, h // r, r, w // r, r))
        x = jt.permute_dims(x, (*range(n + 1), n + 2, n + 4, n + 1, n + 3))
        return jt.reshape(x, (*lead, c * r**2, h // r, w // r))


@dataclass(eq=False, repr=False)
class Upsample(Configured):
    """x (N, C, *lengths) with other lengths, ``size`` or ``scale_factor`` times its own: ``functional.interpolate``.

    A ``scale_factor`` is also the distance of the elements, even where it leaves the length as it is: 3 elements times 1.3 are 3 others
    in the linear modes, of which PyTorch makes a copy on some devices.

    Raises ``LayerError`` for options that cannot be, and what ``interpolate`` raises.

    >>> Upsample(scale_factor=2)(jt.tensor([[[1.0, 2.0]]]))
    Tensor([[[1., 1., 2., 2.]]])
    """

    size: Any = None
    scale_factor: Any = None
    mode: str = "nearest"
    align_corners: bool | None = None
    recompute_scale_factor: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.size is None) == (self.scale_factor is None):
            raise LayerError(
                f"Upsample takes either size or scale_factor; got size={self.size!r:.60}, scale_factor={self.scale_factor!r:.60}"
            )
        if self.mode not in MODES:
            hint = (
                ": its means are AdaptiveAvgPool1d, AdaptiveAvgPool2d and AdaptiveAvgPool3d"
                if self.mode == "area"
                else ""
            )
            raise LayerError(
                f"Upsample(mode=): expected one of {', '.join(map(repr, MODES))}; got {self.mode!r:.60}{hint}"
            )
        if self.align_corners is not None and self.mode.startswith("nearest"):
            raise LayerError(
                f"Upsample(align_corners=): it is for the linear modes and 'bicubic'; got {self.align_corners!r:.60} for {self.mode!r}"
            )
        option, kind, what = (
            ("size", Integral, "an int") if self.scale_factor is None else ("scale_factor", Real, "a number")
        )
        given = getattr(self, option)
        many = given if isinstance(given, (tuple, list)) else (given,)
        if any(isinstance(n, bool) or not isinstance(n, kind) or not 0 < n < math.inf for n in many):
            raise LayerError(
                f"Upsample({option}=): expected {what} above 0, or a tuple of them, one per length; got {given!r:.60}"
            )
        plain = tuple(n if isinstance(n, (int, float)) else n.item() for n in many)  # NumPy's
        setattr(self, option, plain if many is given else plain[0])

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        return F.interpolate(
            x, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )


class _Windows(Configured):
    """The options of windows, as ``functional.unfold`` has them."""

    def hold(self, **options: Any) -> None:
        for option, value in options.items():
            n = len(value) if isinstance(value, (tuple, list)) else 1
            if option == "padding":
                pairs(type(self).__name__, value, n)
            else:
                lengths(type(self).__name__, option, value, n)
            setattr(self, option, value)


class Unfold(_Windows):
    """The windows of x (N, C, *lengths) as columns (N, C * window, positions): ``functional.unfold``.

    >>> Unfold(2)(jt.arange(9.0).reshape((1, 1, 3, 3))).shape
    (1, 4, 4)
    """

    def __init__(
        self, kernel_size: Any, *, dilation: Any = 1, padding: Any = 0, stride: Any = 1, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self.hold(kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride)

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        return F.unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)


class Fold(_Windows):
    """The sums of overlapping windows: columns (N, C * window, positions) as (N, C, *output_size): ``functional.fold``."""

    def __init__(
        self,
        output_size: Any,
        kernel_size: Any,
        *,
        dilation: Any = 1,
        padding: Any = 0,
        stride: Any = 1,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.hold(output_size=output_size, kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride)

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        size = self.output_size if isinstance(self.output_size, (tuple, list)) else (self.output_size,) * 2
        return F.fold(x, size, self.kernel_size, self.dilation, self.padding, self.stride)
