"""Pooling: the largest element or the mean of each window, of windows that give a size, or of everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import jitrench_core as jt

from .. import functional as F
from ..ops.windows import lengths
from .base import Configured, check_flag, check_size, refuse
from .conv import SHAPES

Ints = tuple[int, ...]


class _Pool(Configured):
    """The window that slides over the last axes."""

    axes: ClassVar[int]
    function: ClassVar[Callable[..., jt.Tensor]]

    def check(self, kernel_size: int | Ints, stride: int | Ints | None, ceil_mode: bool) -> None:
        kind = type(self).__name__
        lengths(kind, "kernel_size", kernel_size, self.axes)
        if stride is not None:
            lengths(kind, "stride", stride, self.axes)
        check_flag(kind, "ceil_mode", ceil_mode)

    def check_input(self, x: jt.Tensor, kinds: str) -> None:
        if x.ndim - self.axes not in (1, 2) or x.dtype.kind not in kinds:
            refuse(self, x, SHAPES[self.axes - 1], kinds)


class _MaxPool(_Pool):
    def __init__(
        self,
        kernel_size: int | Ints,
        stride: int | Ints | None = None,
        *,
        padding: int | Ints = 0,
        dilation: int | Ints = 1,
        ceil_mode: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.check(kernel_size, stride, ceil_mode)
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.ceil_mode = ceil_mode

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        self.check_input(x, "fiu")
        return type(self).function(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class MaxPool1d(_MaxPool):
    """The largest element of each window over x (N, C, L), or (C, L): ``functional.max_pool1d``.

    ``stride`` None is the window's size. Raises ``ShapeError`` where the window does not fit into x.
    """

    axes = 1
    function = staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPool):
    """The largest element of each window over x (N, C, H, W), or (C, H, W): ``functional.max_pool2d``.

    ``stride`` None is the window's size. Raises ``ShapeError`` where the window does not fit into x.

    >>> MaxPool2d(2)(jt.ones((1, 3, 8, 8))).shape
    (1, 3, 4, 4)
    """

    axes = 2
    function = staticmethod(F.max_pool2d)


class MaxPool3d(_MaxPool):
    """The largest element of each window over x (N, C, D, H, W), or (C, D, H, W): ``functional.max_pool3d``.

    ``stride`` None is the window's size. Raises ``ShapeError`` where the window does not fit into x.
    """

    axes = 3
    function = staticmethod(F.max_pool3d)


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: int | Ints,
        stride: int | Ints | None = None,
        *,
        padding: int | Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.check(kernel_size, stride, ceil_mode)
        check_flag(type(self).__name__, "count_include_pad", count_include_pad)
        if divisor_override is not None:
            divisor_override = check_size(
                type(self).__name__, "divisor_override=", "what sums are divided by", divisor_override
            )
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        self.check_input(x, "fc")
        return type(self).function(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class AvgPool1d(_AvgPool):
    """The mean of each window over x (N, C, L), or (C, L): ``functional.avg_pool1d`` says what the options do."""

    axes = 1
    function = staticmethod(F.avg_pool1d)


class AvgPool2d(_AvgPool):
    """The mean of each window over x (N, C, H, W), or (C, H, W): ``functional.avg_pool2d`` says what the options do."""

    axes = 2
    function = staticmethod(F.avg_pool2d)


class AvgPool3d(_AvgPool):
    """The mean of each window over x (N, C, D, H, W), or (C, D, H, W): ``functional.avg_pool3d`` says what the options do."""

    axes = 3
    function = staticmethod(F.avg_pool3d)


class _AdaptivePool(_Pool):
    kinds: ClassVar[str]

    def __init__(self, output_size: int | tuple[int | None, ...] | None, *, name: str | None = None) -> None:
        super().__init__(name=name)
        many = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * self.axes
        lengths(type(self).__name__, "output_size", tuple(1 if n is None else n for n in many), self.axes, 0)
        self.output_size = output_size

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        self.check_input(x, self.kinds)
        return type(self).function(x, self.output_size)


class AdaptiveAvgPool1d(_AdaptivePool):
    """Means over windows of x (N, C, L), or (C, L), that give ``output_size``: an int, or None for that of x."""

    axes, kinds = 1, "fc"
    function = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptivePool):
    """Means over windows of x (N, C, H, W), or (C, H, W), that give ``output_size``: an int, or one per axis; None is that of x.

    >>> AdaptiveAvgPool2d((3, None))(jt.ones((1, 2, 7, 5))).shape
    (1, 2, 3, 5)
    """

    axes, kinds = 2, "fc"
    function = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptivePool):
    """Means over windows of x (N, C, D, H, W), or (C, D, H, W), that give ``output_size``."""

    axes, kinds = 3, "fc"
    function = staticmethod(F.adaptive_avg_pool3d)


class AdaptiveMaxPool1d(_AdaptivePool):
    """The largest elements of the windows of ``AdaptiveAvgPool1d``."""

    axes, kinds = 1, "fiu"
    function = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptivePool):
    """The largest elements of the windows of ``AdaptiveAvgPool2d``."""

    axes, kinds = 2, "fiu"
    function = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptivePool):
    """The largest elements of the windows of ``AdaptiveAvgPool3d``."""

    axes, kinds = 3, "fiu"
    function = staticmethod(F.adaptive_max_pool3d)


class _GlobalPool(Configured):
    kinds: ClassVar[str]

    def __init__(self, *, keepdims: bool = False, name: str | None = None) -> None:
        super().__init__(name=name)
        check_flag(type(self).__name__, "keepdims", keepdims)
        self.keepdims = keepdims

    def over(self, x: jt.Tensor) -> Ints:
        """The axes behind the channels."""
        if x.ndim < 3 or x.dtype.kind not in self.kinds:
            refuse(self, x, "(N, C, L, ...)", self.kinds)
        return tuple(range(2, x.ndim))


class GlobalAvgPool(_GlobalPool):
    """The mean of each channel: x (N, C, L, ...) becomes (N, C), with ``keepdims`` (N, C, 1, ...).

    >>> GlobalAvgPool()(jt.ones((5, 3, 8, 8))).shape
    (5, 3)
    """

    kinds = "fc"

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        return jt.mean(x, axis=self.over(x), keepdims=self.keepdims)


class GlobalMaxPool(_GlobalPool):
    """The largest element of each channel: x (N, C, L, ...) becomes (N, C), with ``keepdims`` (N, C, 1, ...).

    Equal ones share the gradient, as those of ``jt.max``.
    """

    kinds = "fiu"

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        return jt.max(x, axis=self.over(x), keepdims=self.keepdims)
