"""Convolutions over one, two and three axes, and the transposed ones.

Weights have PyTorch's names and shapes, and are drawn by ``xavier_uniform``, as those of every layer here that multiplies; biases
start as zeros. The number of channels that come in is inferred.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Never

import jitrench_core as jt

from .. import functional as F
from ..initializers import xavier_uniform, zeros
from ..ops.conv import swap_channels
from ..ops.windows import lengths
from .base import Configured, check_bias, check_size, refuse, refuse_more

Ints = tuple[int, ...]
SHAPES = ("(N, C, L) or (C, L)", "(N, C, H, W) or (C, H, W)", "(N, C, D, H, W) or (C, D, H, W)")


class _Conv(Configured):
    """What all six share: the options, and the parameters."""

    axes: ClassVar[int]
    function: ClassVar[Callable[..., jt.Tensor]]

    def __init__(
        self,
        out_channels: int,
        kernel_size: int | Ints,
        *more: Never,
        stride: int | Ints = 1,
        padding: int | Ints | str = 0,
        dilation: int | Ints = 1,
        groups: int = 1,
        bias: bool = True,
        weight_init: Any = xavier_uniform,
        bias_init: Any = zeros,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        kind, n = type(self).__name__, self.axes
        if more:
            refuse_more(kind, "the output channels and the kernel's size", (out_channels, kernel_size), more)
        out_channels = check_size(kind, "out_channels", "the number of output channels", out_channels)
        groups = check_size(kind, "groups", "the number of groups", groups)
        check_bias(kind, bias)
        if out_channels % groups:
            raise jt.ShapeError(
                f"{kind}(groups=): {out_channels} output channels cannot be divided into {groups} groups"
            )
        self.kernel = lengths(kind, "kernel_size", kernel_size, n)
        lengths(kind, "stride", stride, n)
        lengths(kind, "dilation", dilation, n)
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.groups = groups
        self.with_bias = bias
        self.weight_init = weight_init
        self.bias_init = bias_init

    def channels(self, x: jt.Tensor) -> int:
        """How many channels x has, in each group."""
        shape = x.shape
        if len(shape) - self.axes not in (1, 2) or x.dtype.kind not in "fc":
            refuse(self, x, SHAPES[self.axes - 1])
        channels = shape[-self.axes - 1]
        if channels % self.groups:
            raise jt.ShapeError(
                f"{self.label}: the {channels} channels of an input of shape {shape} cannot be divided into {self.groups} groups"
            )
        return channels // self.groups

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        shape = (self.out_channels, self.channels(x), *self.kernel)
        weight = self.parameter("weight", shape, self.weight_init)
        bias = self.parameter("bias", shape[:1], self.bias_init) if self.with_bias else None
        return type(self).function(
            x, weight, bias, stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups
        )


class Conv1d(_Conv):
    """The convolution of x (N, C, L), or (C, L), to ``out_channels``: ``functional.conv1d`` says what the options do.

    ``weight`` has shape (out_channels, C / groups, kernel) and ``bias`` (out_channels,).

    Raises ``ShapeError`` for an input of another number of dimensions, or channels that ``groups`` does not divide, and
    ``DTypeError`` for integers.
    """

    axes = 1
    function = staticmethod(F.conv1d)


class Conv2d(_Conv):
    """The convolution of x (N, C, H, W), or (C, H, W), to ``out_channels``: ``functional.conv2d`` says what the options do.

    ``weight`` has shape (out_channels, C / groups, *kernel) and ``bias`` (out_channels,).

    Raises what ``Conv1d`` raises.

    >>> import jitrench_nn as nn
    >>> layer = nn.Conv2d(8, 3, padding="same")
    >>> params = nn.init(layer, (None, 1, 28, 28))
    >>> nn.apply(layer, params, jt.zeros((5, 1, 28, 28))).shape
    (5, 8, 28, 28)
    """

    axes = 2
    function = staticmethod(F.conv2d)


class Conv3d(_Conv):
    """The convolution of x (N, C, D, H, W), or (C, D, H, W), to ``out_channels``, with the options of ``functional.conv3d``.

    ``weight`` has shape (out_channels, C / groups, *kernel) and ``bias`` (out_channels,).

    Raises what ``Conv1d`` raises.
    """

    axes = 3
    function = staticmethod(F.conv3d)


class _ConvTranspose(_Conv):
    """A transposed convolution: its weight is that of a convolution that goes the other way."""

    def __init__(
        self,
        out_channels: int,
        kernel_size: int | Ints,
        *more: Never,
        stride: int | Ints = 1,
        padding: int | Ints = 0,
        output_padding: int | Ints = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | Ints = 1,
        weight_init: Any = xavier_uniform,
        bias_init: Any = zeros,
        name: str | None = None,
    ) -> None:
        super().__init__(
            out_channels,
            kernel_size,
            *more,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
            weight_init=weight_init,
            bias_init=bias_init,
            name=name,
        )
        lengths(type(self).__name__, "padding", padding, self.axes, 0)
        self.output_padding = output_padding

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        shape = (self.channels(x) * self.groups, self.out_channels // self.groups, *self.kernel)
        weight = self.parameter("weight", shape, self._first_value)
        bias = self.parameter("bias", (self.out_channels,), self.bias_init) if self.with_bias else None
        return type(self).function(
            x,
            weight,
            bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            groups=self.groups,
            dilation=self.dilation,
        )

    def _first_value(self, generator: Any, shape: Ints, dtype: Any) -> jt.Tensor:
        """Drawn as (out, in / groups, *kernel), so that an initializer finds fan-in and fan-out where it looks for them."""
        drawn = self.weight_init(generator, (self.out_channels, shape[0] // self.groups, *shape[2:]), dtype)
        return swap_channels(drawn, self.groups)  # type: ignore[no-any-return]


class ConvTranspose1d(_ConvTranspose):
    """The transposed convolution of x (N, C, L), or (C, L): ``functional.conv_transpose1d`` says what the options do.

    ``weight`` has shape (C, out_channels / groups, kernel) and ``bias`` (out_channels,). Fan-in is C / groups times the kernel's
    size, as of the convolution that this one is.

    Raises what ``Conv1d`` raises.
    """

    axes = 1
    function = staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
    """The transposed convolution of x (N, C, H, W), or (C, H, W), with the options of ``functional.conv_transpose2d``.

    ``weight`` has shape (C, out_channels / groups, *kernel) and ``bias`` (out_channels,); fans are those of ``ConvTranspose1d``.

    Raises what ``Conv1d`` raises.

    >>> import jitrench_nn as nn
    >>> layer = nn.ConvTranspose2d(3, 4, stride=2, padding=1)
    >>> params = nn.init(layer, (None, 8, 7, 7))
    >>> params["weight"].shape, nn.apply(layer, params, jt.zeros((5, 8, 7, 7))).shape
    ((8, 3, 4, 4), (5, 3, 14, 14))
    """

    axes = 2
    function = staticmethod(F.conv_transpose2d)


class ConvTranspose3d(_ConvTranspose):
    """The transposed convolution of x (N, C, D, H, W), or (C, D, H, W), with the options of ``functional.conv_transpose3d``.

    ``weight`` has shape (C, out_channels / groups, *kernel) and ``bias`` (out_channels,); fans are those of ``ConvTranspose1d``.

    Raises what ``Conv1d`` raises.
    """

    axes = 3
    function = staticmethod(F.conv_transpose3d)
