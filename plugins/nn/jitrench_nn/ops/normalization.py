"""Normalisation: elements minus their mean, over their standard deviation, over some axes.

``layer_norm`` is the op with rules of its own; the others are made of it. Variances are those of n elements, not of n - 1, but
for the running variance of ``batch_norm``, as in PyTorch.
"""

from __future__ import annotations

import math
from typing import Any

import jitrench_core as jt

from .checks import floating, narrow


def _size(shape: tuple[int, ...], axis: Any) -> int:
    return math.prod(shape[a] for a in (axis if isinstance(axis, tuple) else (axis,)))


@jt.op(
    aux=("mean", "rstd"),
    samples=lambda rng: ((rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=4)), {}),
)
def layer_norm(xp: Any, x: Any, weight: Any = None, bias: Any = None, /, *, axis: Any = -1, eps: float = 1e-5) -> Any:
    """(x - mean) / sqrt(variance + ``eps``) * weight + bias over ``axis``, an int or several (Ba et al., 2016).

    ``weight`` and ``bias`` broadcast to x; their usual shape is that of the axes, which are the last ones then.

    Raises ``ShapeError`` where they do not, ``AxisError`` for an axis that x does not have, ``DTypeError`` for integers and
    complex numbers.

    >>> import jitrench_core as jt
    >>> layer_norm(jt.tensor([[1.0, 3.0], [0.0, 20.0]]), eps=0.0)
    Tensor([[-1.,  1.],
            [-1.,  1.]])
    """
    if not xp.isdtype(x.dtype, "real floating"):
        raise TypeError("layer_norm of numbers that are not real")
    axes = {a % x.ndim if -x.ndim <= a < x.ndim else None for a in (axis if isinstance(axis, tuple) else (axis,))}
    if None in axes or len(axes) < (len(axis) if isinstance(axis, tuple) else 1):
        raise jt.AxisError(
            f"layer_norm(): axis={axis!r} does not name axes of x, each once; x has shape {tuple(x.shape)}"
        )
    mean = xp.mean(x, axis=axis, keepdims=True)
    centred = x - mean
    rstd = 1.0 / xp.sqrt(xp.mean(centred * centred, axis=axis, keepdims=True) + eps)
    y = centred * rstd
    y = y if weight is None else y * weight
    y = y if bias is None else y + bias
    if tuple(y.shape) != tuple(x.shape):
        raise ValueError("weight or bias is wider than x")
    return y, mean, rstd


@layer_norm.aux("mean")
def _(x: Any, axis: Any) -> Any:
    return jt.mean(x, axis=axis, keepdims=True)


@layer_norm.aux("rstd")
def _(x: Any, axis: Any, eps: float) -> Any:
    return 1.0 / jt.sqrt(jt.var(x, axis=axis, keepdims=True) + eps)


@layer_norm.vjp_all
def _(g: Any, x: Any, weight: Any, mean: Any, rstd: Any, axis: Any, bias_shape: Any, needs: Any) -> Any:
    x_grad = weight_grad = bias_grad = None
    if needs[0] or needs[1]:
        x_grad, weight_grad, bias_grad = layer_norm_grad(g, x, mean, rstd, weight, axis=axis)
    if bias_grad is None or bias_grad.shape != bias_shape:
        bias_grad = jt.sum_to(g, bias_shape) if needs[2] else None
    return x_grad, weight_grad if needs[1] else None, bias_grad if needs[2] else None


def _layer_norm_grad_sample(rng: Any) -> Any:
    rows, columns = rng.normal(size=(2, 3, 4)), rng.uniform(0.5, 2.0, size=(2, 3, 1))
    return (*rows, *columns, rng.normal(size=4)), {}


@jt.op(composite=True, outputs=3, samples=_layer_norm_grad_sample)
def layer_norm_grad(v: Any, x: Any, mean: Any, rstd: Any, weight: Any = None, /, *, axis: Any = -1) -> Any:
    """The gradients of ``layer_norm`` for x, its weight, and a bias of the weight's shape; without a weight that of a scalar 1.

    With n = (x - mean) * rstd and h = v * weight: rstd * (h - mean(h) - n * mean(h * n)), the sum of v * n, and that of v.
    """
    normalized = (x - mean) * rstd
    product = v * normalized
    if weight is None:
        h, hn, weight_shape = v, product, ()
    else:
        h, hn, weight_shape = v * weight, product * weight, weight.shape
    towards = jt.mean(h, axis=axis, keepdims=True) + normalized * jt.mean(hn, axis=axis, keepdims=True)
    return rstd * (h - towards), jt.sum_to(product, weight_shape), jt.sum_to(v, weight_shape)


@layer_norm.check
def _(x: Any, weight: Any = None, bias: Any = None, /) -> None:
    x = jt.asarray(x)
    floating("layer_norm", x)
    for name, a in (("weight", weight), ("bias", bias)):
        narrow("layer_norm", name, a, x)


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=(3, 4)), rng.normal(size=4)), {}))
def rms_norm(x: Any, weight: Any = None, /, *, axis: Any = -1, eps: float | None = None) -> Any:
    """x / sqrt(mean(x**2) + ``eps``) * weight over ``axis``, an int or several (Zhang and Sennrich, 2019).

    ``weight`` broadcasts to x. ``eps`` None is the distance from 1 to the next number of x's dtype, as in PyTorch.

    Raises ``ShapeError`` where it does not, ``DTypeError`` for integers and complex numbers.
    """
    x = jt.asarray(x)
    floating("rms_norm", x)
    narrow("rms_norm", "weight", weight, x)
    if eps is None:
        eps = {16: 2.0**-10, 32: 2.0**-23}.get(x.dtype.bits, 2.0**-52)
    y = x / jt.sqrt(jt.mean(jt.square(x), axis=axis, keepdims=True) + eps)
    return y if weight is None else y * weight


def _channels(who: str, x: Any, least: int, **parameters: Any) -> int:
    """The length of axis 1, which parameters must have."""
    if x.ndim < least:
        wanted = "(n, channels, ...)" if least == 2 else "(n, channels, length, ...)"
        raise jt.ShapeError(f"{who}(): x has shape {x.shape}; expected {wanted}")
    channels: int = x.shape[1]
    for name, a in parameters.items():
        if a is not None and tuple(a.shape) != (channels,):
            raise jt.ShapeError(
                f"{who}(): {name} has shape {tuple(a.shape)}; expected ({channels},), one number for each channel (axis 1) of "
                f"x, whose shape is {x.shape}"
            )
    return channels


def _along_channels(a: Any, x: Any) -> Any:
    """A number for each channel, in a shape that broadcasts to x."""
    return None if a is None else jt.reshape(a, (a.shape[0], *(1,) * (x.ndim - 2)))


def _affine(y: Any, weight: Any, bias: Any) -> Any:
    y = y if weight is None else y * _along_channels(weight, y)
    return y if bias is None else y + _along_channels(bias, y)


def _batch_norm_sample(rng: Any) -> Any:
    arrays = (rng.normal(size=(4, 3)), rng.normal(size=3), rng.uniform(0.5, 2.0, size=3), *rng.normal(size=(2, 3)))
    return arrays, {}


@jt.op(composite=True, outputs=3, samples=_batch_norm_sample)
def batch_norm(
    x: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    /,
    *,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Each channel normalised over the batch: ``(y, running_mean, running_var)`` (Ioffe and Szegedy, 2015).

    x has shape (n, channels, ...), and all else (channels,). In ``training`` the statistics are those of x, and new running ones
    come back: (1 - momentum) * old + momentum * batch, with the variance of n - 1 degrees of freedom; where no old ones
    were given, the batch's own. They are constants. Otherwise the running ones normalise, and come back as they are. Nothing
    is written: who wants to keep them assigns them.

    Raises ``ShapeError`` where shapes do not fit and in training of one number for each channel, ``DTypeError`` for integers and
    complex numbers, and ``OpError`` where running statistics are missing, or one of the two is.
    """
    x, weight, bias = (a if a is None else jt.asarray(a) for a in (x, weight, bias))
    running_mean, running_var = (a if a is None else jt.asarray(a) for a in (running_mean, running_var))
    for name, a in (("x", x), ("running_mean", running_mean), ("running_var", running_var)):
        if a is not None:
            floating("batch_norm", a, name)
    _channels("batch_norm", x, 2, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if (running_mean is None) != (running_var is None) or (running_mean is None and not training):
        raise jt.OpError(
            "batch_norm(): pass running_mean and running_var, both; without any it can only be training=True, by the "
            "statistics of x"
        )
    weight, bias = _along_channels(weight, x), _along_channels(bias, x)
    if not training:
        mean, var = _along_channels(running_mean, x), _along_channels(running_var, x)
        scale = 1.0 / jt.sqrt(var + eps)
        y = (x - mean) * (scale if weight is None else scale * weight)
        return y if bias is None else y + bias, jt.positive(running_mean), jt.positive(running_var)
    axes = (0, *range(2, x.ndim))
    if _size(x.shape, axes) <= 1:
        raise jt.ShapeError(
            f"batch_norm(): in training each channel needs more than one number to normalise; x has shape {x.shape}"
        )
    y = layer_norm(x, weight, bias, axis=axes, eps=eps)
    mean = jt.mean(x.detach(), axis=axes)
    var = jt.var(x.detach(), axis=axes, correction=1.0)
    if running_mean is None:
        return y, mean, var
    return (
        y,
        (1.0 - momentum) * running_mean.detach() + momentum * jt.astype(mean, running_mean.dtype),
        (1.0 - momentum) * running_var.detach() + momentum * jt.astype(var, running_var.dtype),
    )


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=(2, 4, 3)), *rng.normal(size=(2, 4))), {"num_groups": 2}))
def group_norm(x: Any, weight: Any = None, bias: Any = None, /, *, num_groups: int, eps: float = 1e-5) -> Any:
    """Each of ``num_groups`` groups of channels normalised within each example, times weight, plus bias (Wu and He, 2018).

    x has shape (n, channels, ...); weight and bias (channels,).

    Raises ``ShapeError`` where shapes do not fit, or the channels are no multiple of ``num_groups``.
    """
    x, weight, bias = (a if a is None else jt.asarray(a) for a in (x, weight, bias))
    channels = _channels("group_norm", x, 2, weight=weight, bias=bias)
    if num_groups < 1 or channels % num_groups:
        raise jt.ShapeError(f"group_norm(): {channels} channels cannot be divided into {num_groups} groups")
    groups = jt.reshape(x, (x.shape[0], num_groups, channels // num_groups * _size(x.shape, tuple(range(2, x.ndim)))))
    return _affine(jt.reshape(layer_norm(groups, eps=eps), x.shape), weight, bias)


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=(2, 3, 4)), *rng.normal(size=(2, 3))), {}))
def instance_norm(x: Any, weight: Any = None, bias: Any = None, /, *, eps: float = 1e-5) -> Any:
    """Each channel of each example normalised by itself, times weight, plus bias (Ulyanov et al., 2016).

    x has shape (n, channels, length, ...); weight and bias (channels,).

    Raises ``ShapeError`` where shapes do not fit, and for one number in each channel.
    """
    x, weight, bias = (a if a is None else jt.asarray(a) for a in (x, weight, bias))
    _channels("instance_norm", x, 3, weight=weight, bias=bias)
    axes = tuple(range(2, x.ndim))
    if _size(x.shape, axes) == 1:
        raise jt.ShapeError(
            f"instance_norm(): each channel needs more than one number to normalise; x has shape {x.shape}"
        )
    return layer_norm(x, _along_channels(weight, x), _along_channels(bias, x), axis=axes, eps=eps)
