"""Normalisation over the batch, over each example's last axes, or over groups of its channels.

Where a width can be given (``num_features``, ``normalized_shape``), it is what the input must have; without it, it is inferred.
"""

from __future__ import annotations

from typing import Any, ClassVar

import jitrench_core as jt
from jitrench_core.tensor import assign

from .. import functional as F
from ..initializers import ones, zeros
from .base import Configured, check_flag, check_number, check_size, refuse

Ints = tuple[int, ...]


def _zero_batches(generator: Any, shape: Ints, dtype: Any) -> jt.Tensor:
    """The first value of a count, which is an integer in a layer of any dtype."""
    return jt.zeros(shape, dtype=jt.int64, device=generator.device)


# -- over the batch -------------------------------------------------------------------------------------------------


class _Channelwise(Configured):
    """What lies on axis 1 has a weight and a bias."""

    shapes: ClassVar[str]
    ndims: ClassVar[Ints]

    def channels(self, x: jt.Tensor, wanted: int | None) -> int:
        if x.ndim not in self.ndims or x.dtype.kind != "f":
            refuse(self, x, self.shapes, "f")
        channels = x.shape[1]
        if wanted is not None and channels != wanted:
            raise jt.ShapeError(
                f"{self.label}: expected an input of {wanted} channels (axis 1), got {channels}, in one of shape {x.shape}"
            )
        return channels


class _BatchNorm(_Channelwise):
    def __init__(
        self,
        num_features: int | None = None,
        *,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        kind = type(self).__name__
        if num_features is not None:
            num_features = check_size(kind, "num_features", "the number of channels", num_features)
        check_number(kind, "eps=", eps, "a number from 0")
        if momentum is not None:
            check_number(kind, "momentum=", momentum, "a number from 0 to 1, or None", high=1.0)
        check_flag(kind, "affine", affine)
        check_flag(kind, "track_running_stats", track_running_stats)
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        shape = (self.channels(x, self.num_features),)
        weight = self.parameter("weight", shape, ones) if self.affine else None
        bias = self.parameter("bias", shape, zeros) if self.affine else None
        if not self.track_running_stats:
            return F.batch_norm(x, None, None, weight, bias, training=True, eps=self.eps)[0]
        mean, var = self.buffer("running_mean", shape, zeros), self.buffer("running_var", shape, ones)
        batches = self.buffer("num_batches_tracked", (), _zero_batches)
        if not self.training:
            return F.batch_norm(x, mean, var, weight, bias, eps=self.eps)[0]
        seen = batches + 1
        if self.momentum is None:  # the mean of all batches so far
            y, new_mean, new_var = F.batch_norm(x, None, None, weight, bias, training=True, eps=self.eps)
            share = 1.0 / jt.astype(seen, mean.dtype)
            new_mean, new_var = mean + share * (new_mean - mean), var + share * (new_var - var)
        else:
            y, new_mean, new_var = F.batch_norm(
                x, mean, var, weight, bias, training=True, momentum=self.momentum, eps=self.eps
            )
        self.keep((mean, new_mean), (var, new_var), (batches, seen))
        return y

    def keep(self, *pairs: tuple[jt.Tensor, jt.Tensor]) -> None:
        """Write the new running statistics."""
        try:
            with jt.no_grad():
                for old, new in pairs:
                    assign(old, new)
        except jt.TransformError as e:
            raise jt.TransformError(
                f"{self.label}: running statistics cannot follow a batch inside vmap, jvp, hvp or hessian: call the layer in "
                f"evaluation, train=False, or make it with track_running_stats=False, which normalises by the batch all the same"
            ) from e


class BatchNorm1d(_BatchNorm):
    """Each channel normalised over the batch: x is (N, C), or (N, C, L) (Ioffe and Szegedy, 2015).

    In training by the mean and the variance of the batch, otherwise by the running ones, ``running_mean`` and ``running_var``. Each
    training batch moves these by ``momentum`` towards its own (the variance is that of n - 1 degrees of freedom), as PyTorch's;
    ``momentum=None`` makes them the mean of all batches, counted by ``num_batches_tracked``. ``affine`` adds ``weight``
    and ``bias``; all but the count have shape (C,). ``track_running_stats=False`` always takes the batch's.

    Raises ``ShapeError`` for an input of another number of dimensions or channels, and in training of one number for each channel;
    ``DTypeError`` for integers; ``TransformError`` in training inside vmap and forward mode, where running statistics have no one
    value.
    """

    ndims, shapes = (2, 3), "(N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """``BatchNorm1d`` of images: x is (N, C, H, W).

    >>> import jitrench_nn as nn
    >>> {name: p.shape for name, p in nn.init(nn.BatchNorm2d(), (None, 3, 8, 8)).items()}
    {'weight': (3,), 'bias': (3,), 'running_mean': (3,), 'running_var': (3,), 'num_batches_tracked': ()}
    """

    ndims, shapes = (4,), "(N, C, H, W)"


class BatchNorm3d(_BatchNorm):
    """``BatchNorm1d`` of volumes: x is (N, C, D, H, W)."""

    ndims, shapes = (5,), "(N, C, D, H, W)"


# -- over the last axes ---------------------------------------------------------------------------------------------


class _LastAxes(Configured):
    """The last axes, as many as ``normalized_shape`` has; None is the last one."""

    def __init__(self, normalized_shape: int | Ints | None, eps: float | None, affine: bool, name: str | None) -> None:
        super().__init__(name=name)
        kind = type(self).__name__
        given = normalized_shape
        if isinstance(given, (tuple, list)) and given:
            given = tuple([check_size(kind, "normalized_shape", "each length", n) for n in given])
        elif given is not None:
            given = check_size(kind, "normalized_shape", "each length", given)
        if eps is not None or kind != "RMSNorm":
            check_number(kind, "eps=", eps, "a number from 0")
        check_flag(kind, "elementwise_affine", affine)
        self.normalized_shape = given
        self.eps: Any = eps
        self.elementwise_affine = affine
        self.wanted = (given,) if isinstance(given, int) else given
        self.axis = -1 if self.wanted is None or len(self.wanted) == 1 else tuple(range(-len(self.wanted), 0))

    def over(self, x: jt.Tensor) -> Ints:
        """The lengths of those axes."""
        wanted, shape = self.wanted, x.shape
        if not shape or x.dtype.kind != "f":
            refuse(self, x, "(..., width)", "f")
        if wanted is None:
            return shape[-1:]
        if shape[-len(wanted) :] != wanted:
            refuse(self, x, f"(..., {', '.join(map(str, wanted))})", "f")
        return wanted


class LayerNorm(_LastAxes):
    """Each example normalised over its last axis, times ``weight``, plus ``bias`` (Ba et al., 2016): ``functional.layer_norm``.

    ``normalized_shape`` of several lengths takes as many last axes; ``weight`` and ``bias`` have the shape of these.
    ``elementwise_affine=False`` leaves both out, ``bias=False`` the bias.

    Raises ``ShapeError`` for a 0-d input and one of other lengths, ``DTypeError`` for integers.

    >>> import jitrench_nn as nn
    >>> {name: p.shape for name, p in nn.init(nn.LayerNorm(), (None, 7, 16)).items()}
    {'weight': (16,), 'bias': (16,)}
    """

    def __init__(
        self,
        normalized_shape: int | Ints | None = None,
        *,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(normalized_shape, eps, elementwise_affine, name)
        check_flag("LayerNorm", "bias", bias)
        self.with_bias = bias

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        shape = self.over(x)
        weight = self.parameter("weight", shape, ones) if self.elementwise_affine else None
        bias = self.parameter("bias", shape, zeros) if self.elementwise_affine and self.with_bias else None
        return F.layer_norm(x, weight, bias, axis=self.axis, eps=self.eps)


class RMSNorm(_LastAxes):
    """Each example over the root of its mean square along the last axis, times ``weight`` (Zhang and Sennrich, 2019).

    ``normalized_shape`` of several lengths takes as many last axes. ``eps`` None is that of x's dtype, as in ``functional.rms_norm``.

    Raises what ``LayerNorm`` raises.
    """

    def __init__(
        self,
        normalized_shape: int | Ints | None = None,
        *,
        eps: float | None = None,
        elementwise_affine: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(normalized_shape, eps, elementwise_affine, name)

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        shape = self.over(x)
        weight = self.parameter("weight", shape, ones) if self.elementwise_affine else None
        return F.rms_norm(x, weight, axis=self.axis, eps=self.eps)


# -- over groups of channels ----------------------------------------------------------------------------------------


class GroupNorm(_Channelwise):
    """Each of ``num_groups`` groups of channels normalised within each example (Wu and He, 2018): x is (N, C, ...).

    ``weight`` and ``bias`` have shape (C,); ``affine=False`` leaves them out.

    Raises ``ShapeError`` where C is no multiple of ``num_groups``, or is not ``num_channels``, and ``DTypeError`` for integers.
    """

    ndims, shapes = tuple(range(2, 65)), "(N, C, ...)"  # the standard's arrays have 64 dimensions at most

    def __init__(
        self,
        num_groups: int,
        num_channels: int | None = None,
        *,
        eps: float = 1e-5,
        affine: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        num_groups = check_size("GroupNorm", "num_groups", "the number of groups", num_groups)
        if num_channels is not None:
            num_channels = check_size("GroupNorm", "num_channels", "the number of channels", num_channels)
            self.check_groups(num_channels, num_groups, "GroupNorm")
        check_number("GroupNorm", "eps=", eps, "a number from 0")
        check_flag("GroupNorm", "affine", affine)
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine

    @staticmethod
    def check_groups(channels: int, groups: int, who: str) -> None:
        if channels % groups:
            raise jt.ShapeError(f"{who}: {channels} channels cannot be divided into {groups} groups")

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        channels = self.channels(x, self.num_channels)
        self.check_groups(channels, self.num_groups, self.label)
        weight = self.parameter("weight", (channels,), ones) if self.affine else None
        bias = self.parameter("bias", (channels,), zeros) if self.affine else None
        return F.group_norm(x, weight, bias, num_groups=self.num_groups, eps=self.eps)


class _InstanceNorm(_Channelwise):
    def __init__(
        self,
        num_features: int | None = None,
        *,
        eps: float = 1e-5,
        affine: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        kind = type(self).__name__
        if num_features is not None:
            num_features = check_size(kind, "num_features", "the number of channels", num_features)
        check_number(kind, "eps=", eps, "a number from 0")
        check_flag(kind, "affine", affine)
        self.num_features = num_features
        self.eps = eps
        self.affine = affine

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        shape = (self.channels(x, self.num_features),)
        weight = self.parameter("weight", shape, ones) if self.affine else None
        bias = self.parameter("bias", shape, zeros) if self.affine else None
        return F.instance_norm(x, weight, bias, eps=self.eps)


class InstanceNorm1d(_InstanceNorm):
    """Each channel of each example normalised by itself (Ulyanov et al., 2016): x is (N, C, L).

    ``affine=True`` adds ``weight`` and ``bias`` of shape (C,). There are no running statistics.

    Raises ``ShapeError`` for an input of another number of dimensions or channels, and for one number in each channel;
    ``DTypeError`` for integers.
    """

    ndims, shapes = (3,), "(N, C, L)"


class InstanceNorm2d(_InstanceNorm):
    """``InstanceNorm1d`` of images: x is (N, C, H, W)."""

    ndims, shapes = (4,), "(N, C, H, W)"


class InstanceNorm3d(_InstanceNorm):
    """``InstanceNorm1d`` of volumes: x is (N, C, D, H, W)."""

    ndims, shapes = (5,), "(N, C, D, H, W)"
