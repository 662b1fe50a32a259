"""Dropout: random elements, or whole channels, become 0, and the others grow so that the mean stays.

The mask comes from a ``jt.random.Generator``, so one seed gives one mask on every backend; it is a constant to every derivative.
Inside ``vmap`` one mask is drawn for all examples.
"""

from __future__ import annotations

import math
from typing import Any

import jitrench_core as jt

from .activations import SELU_ALPHA, SELU_SCALE
from .checks import averaged


def _kept(who: str, x: Any, shape: tuple[int, ...], p: float, generator: Any) -> Any:
    """Booleans of ``shape`` on x's device, each true with probability 1 - p."""
    if generator is None:
        drawn = jt.random.default_generator().uniform(shape) >= p
        return drawn if drawn.device == x.device else drawn.to(x.device)
    if generator.device != x.device:
        raise jt.DeviceMismatchError(
            f"{who}(): x is on {x.device} and the generator draws on {generator.device}: make it there, "
            f"jt.random.Generator(seed, device={str(x.device)!r})"
        )
    return generator.uniform(shape) >= p


def _off(who: str, x: Any, p: float, training: bool) -> bool:
    """Whether there is nothing to do; refuses what cannot be done."""
    if not 0.0 <= p <= 1.0:
        raise jt.OpError(f"{who}(): p is the probability of a zero, from 0 to 1; got {p!r}")
    averaged(who, x)
    return not training or p == 0.0


def _masked(who: str, x: Any, shape: tuple[int, ...], p: float, generator: Any) -> Any:
    kept = _kept(who, x, shape, p, generator)
    return x * (jt.astype(kept, x.dtype) * (1.0 / (1.0 - p) if p < 1.0 else 0.0))


def _sample(*shape: int) -> Any:
    return lambda rng: ((rng.normal(size=shape),), {"training": False})


@jt.op(composite=True, samples=_sample(3, 4))
def dropout(x: Any, /, *, p: float = 0.5, training: bool = True, generator: Any = None) -> Any:
    """x with each element zero with probability ``p``, the others divided by 1 - p (Srivastava et al., 2014).

    ``training=False`` returns x. ``generator`` None is the default one, whose mask is moved to x's device; another must be
    on x's device.

    Raises ``OpError`` for a p outside of [0, 1], ``DTypeError`` for integers, and ``DeviceMismatchError`` for a generator of another device.

    >>> import jitrench_core as jt
    >>> dropout(jt.ones(8), p=0.5, generator=jt.random.Generator(0))
    Tensor([0., 0., 0., 2., 2., 0., 2., 2.])
    """
    x = jt.asarray(x)
    return jt.positive(x) if _off("dropout", x, p, training) else _masked("dropout", x, x.shape, p, generator)


def _channels(who: str, x: Any, axes: int, p: float, training: bool, generator: Any) -> Any:
    x = jt.asarray(x)
    if x.ndim not in (axes + 1, axes + 2):
        lengths = ("length", "height, width", "depth, height, width")[axes - 1]
        raise jt.ShapeError(
            f"{who}(): x has shape {x.shape}; expected (n, channels, {lengths}) or (channels, {lengths})"
        )
    if _off(who, x, p, training):
        return jt.positive(x)
    return _masked(who, x, (*x.shape[:-axes], *(1,) * axes), p, generator)


@jt.op(composite=True, samples=_sample(2, 3, 4))
def dropout1d(x: Any, /, *, p: float = 0.5, training: bool = True, generator: Any = None) -> Any:
    """``dropout`` of whole channels: x has shape (n, channels, length) or (channels, length)."""
    return _channels("dropout1d", x, 1, p, training, generator)


@jt.op(composite=True, samples=_sample(2, 3, 2, 2))
def dropout2d(x: Any, /, *, p: float = 0.5, training: bool = True, generator: Any = None) -> Any:
    """``dropout`` of whole channels: x has shape (n, channels, height, width) or (channels, height, width)."""
    return _channels("dropout2d", x, 2, p, training, generator)


@jt.op(composite=True, samples=_sample(2, 3, 2, 2, 1))
def dropout3d(x: Any, /, *, p: float = 0.5, training: bool = True, generator: Any = None) -> Any:
    """``dropout`` of whole channels: x has shape (n, channels, depth, height, width), or the same without n."""
    return _channels("dropout3d", x, 3, p, training, generator)


@jt.op(composite=True, samples=_sample(3, 4))
def alpha_dropout(x: Any, /, *, p: float = 0.5, training: bool = True, generator: Any = None) -> Any:
    """Dropout that keeps mean 0 and variance 1, for networks of ``selu`` (Klambauer et al., 2017).

    Elements become -scale * alpha of selu with probability ``p``, and then all are scaled and shifted. Errors are ``dropout``'s.
    """
    x = jt.asarray(x)
    if _off("alpha_dropout", x, p, training):
        return jt.positive(x)
    if p == 1.0:
        return x * 0.0
    low = -SELU_SCALE * SELU_ALPHA
    slope = 1.0 / math.sqrt((1.0 - p) * (1.0 + p * low * low))
    kept = _kept("alpha_dropout", x, x.shape, p, generator)
    return jt.where(kept, x * slope, low * slope) - low * slope * p
