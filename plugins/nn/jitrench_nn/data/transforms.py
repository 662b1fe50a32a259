"""Transforms of batches: scaling that is fitted once, and augmentations, which draw from a Generator.

An augmentation is a function ``f(x, ..., generator=)`` of a batch whose first axis is that of examples; images have their height
and width on the last two. ``functools.partial`` sets its options, and ``Compose`` makes one of several:

>>> from functools import partial
>>> import jitrench_core as jt
>>> from jitrench_nn.data import transforms
>>> augment = transforms.Compose(partial(transforms.random_shift, pixels=2), transforms.random_flip)
>>> augment(jt.zeros((16, 1, 28, 28)), generator=jt.random.Generator(0)).shape
(16, 1, 28, 28)

Given to ``DataLoader(transform=)`` it gets a generator for each batch, made of the loader's seed, the epoch and the batch's number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, final

import jitrench_core as jt
from jitrench_core import ShapeError, one_hot

from .datasets import DataError
from .loader import has_generator

__all__ = [
    "Compose",
    "Scaling",
    "apply_to",
    "cutout",
    "gaussian_noise",
    "mixup",
    "normalize",
    "one_hot",
    "random_affine",
    "random_crop",
    "random_flip",
    "random_rotation",
    "random_shift",
    "standardize",
]

Transform = Callable[..., Any]


# -- scaling ----------------------------------------------------------------------------------------------------------


@final
class Scaling:
    """``(x - shift) / scale``, made by ``standardize`` or ``normalize`` from a training set, for that and all other data.

    ``inverse`` undoes it. ``state_dict`` holds the two Tensors, and ``load_state_dict`` takes them.
    """

    __slots__ = ("scale", "shift")

    def __init__(self, shift: Any, scale: Any) -> None:
        self.shift, self.scale = jt.asarray(shift), jt.asarray(scale)

    def __repr__(self) -> str:
        return f"Scaling(shift={self.shift!r}, scale={self.scale!r})"

    def __call__(self, x: Any) -> jt.Tensor:
        x = _floats(x, "Scaling()(x)")
        return (x - self._like(self.shift, x)) / self._like(self.scale, x)

    def inverse(self, z: Any) -> jt.Tensor:
        """The data of these scaled values."""
        z = _floats(z, "Scaling().inverse(z)")
        return z * self._like(self.scale, z) + self._like(self.shift, z)

    def _like(self, part: jt.Tensor, x: jt.Tensor) -> jt.Tensor:
        try:
            fits = jt.broadcast_shapes(part.shape, x.shape) == x.shape
        except ShapeError:
            fits = False
        if not fits:
            raise ShapeError(f"Scaling: it was fitted for features of shape {part.shape}; got data of shape {x.shape}")
        return part.to(x.device).astype(x.dtype)

    def state_dict(self) -> dict[str, jt.Tensor]:
        return {"shift": self.shift.detach(), "scale": self.scale.detach()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state.keys() != {"shift", "scale"}:
            raise DataError(f"load_state_dict(): expected 'shift' and 'scale'; got {sorted(map(str, state))}")
        self.shift, self.scale = jt.asarray(state["shift"]), jt.asarray(state["scale"])


def standardize(x: Any, *, axis: int | tuple[int, ...] | None = 0) -> Scaling:
    """The ``Scaling`` that gives ``x`` mean 0 and standard deviation 1 along ``axis``: 0, each feature by itself.

    For images of shape (n, channels, height, width), ``axis=(0, 2, 3)`` is a channel by itself; None, all numbers alike. What is constant
    is shifted alone.

    >>> import jitrench_core as jt
    >>> from jitrench_nn.data import transforms
    >>> train = jt.tensor([[1.0, 5.0], [3.0, 5.0]])
    >>> scaling = transforms.standardize(train)
    >>> scaling(train), scaling(jt.tensor([[4.0, 6.0]]))
    (Tensor([[-1.,  0.],
            [ 1.,  0.]]), Tensor([[2., 1.]]))
    >>> scaling.inverse(scaling(train)).tolist()
    [[1.0, 5.0], [3.0, 5.0]]
    """
    x = _filled(x, "standardize(x)")
    least = jt.min(x, axis=axis, keepdims=True)
    # Of 0.1, 0.1, 0.1 the rounded mean is another number, and the deviation 1e-17: a scale that would blow up other data.
    varies = jt.max(x, axis=axis, keepdims=True) > least
    shift = jt.where(varies, jt.mean(x, axis=axis, keepdims=True), least)
    return _scaling(shift, jt.where(varies, jt.std(x, axis=axis, keepdims=True), 0.0), axis)


def normalize(x: Any, *, axis: int | tuple[int, ...] | None = 0) -> Scaling:
    """The ``Scaling`` that brings ``x`` into [0, 1] along ``axis``, as in ``standardize``; other data may leave it.

    >>> import jitrench_core as jt
    >>> from jitrench_nn.data import transforms
    >>> transforms.normalize(jt.tensor([[0.0], [10.0]]))(jt.tensor([[5.0], [20.0]])).tolist()
    [[0.5], [2.0]]
    """
    x = _filled(x, "normalize(x)")
    least = jt.min(x, axis=axis, keepdims=True)
    return _scaling(least, jt.max(x, axis=axis, keepdims=True) - least, axis)


def _scaling(shift: jt.Tensor, scale: jt.Tensor, axis: Any) -> Scaling:
    scale = jt.where(scale > 0, scale, 1.0)
    if axis == 0:  # a single example is scaled, too
        shift, scale = shift[0], scale[0]
    return Scaling(shift, scale)


def _filled(x: Any, who: str) -> jt.Tensor:
    x = _floats(x, who).detach()
    if not x.ndim or not x.shape[0]:
        raise ShapeError(f"{who}: expected examples along the first axis, at least one; got shape {x.shape}")
    return x


def _floats(x: Any, who: str) -> jt.Tensor:
    """A floating-point Tensor; integers become float64."""
    x = jt.asarray(x)
    if x.dtype.kind == "c":
        raise DataError(f"{who}: expected real numbers; got {x.dtype}")
    return x if x.dtype.kind == "f" else x.astype(jt.float64)


# -- putting together -------------------------------------------------------------------------------------------------


@final
class Compose:
    """Transforms one after the other; those with a parameter ``generator`` get the one that this is called with."""

    __slots__ = ("_transforms",)

    def __init__(self, *transforms: Transform) -> None:
        for f in transforms:
            if not callable(f):
                raise DataError(f"Compose(*transforms): expected functions; got {type(f).__name__}")
        self._transforms = [(f, has_generator(f)) for f in transforms]

    def __repr__(self) -> str:
        return f"Compose({', '.join(getattr(f, '__name__', repr(f)) for f, _ in self._transforms)})"

    def __call__(self, x: Any, *, generator: jt.random.Generator | None = None) -> Any:
        for f, drawing in self._transforms:
            x = f(x, generator=generator) if drawing else f(x)
        return x


@final
class apply_to:
    """A transform of one part of a batch: ``apply_to(0, augment)`` of the images of ``(images, labels)``, or of a dict's key."""

    __slots__ = ("_drawing", "_transform", "key")

    def __init__(self, key: Any, transform: Transform) -> None:
        self.key, self._transform, self._drawing = key, transform, has_generator(transform)

    def __call__(self, batch: Any, *, generator: jt.random.Generator | None = None) -> Any:
        try:
            part = batch[self.key]
        except (TypeError, LookupError) as e:
            raise DataError(
                f"apply_to({self.key!r}, f): the batch has no such part; it is a {type(batch).__name__}"
            ) from e
        new = self._transform(part, generator=generator) if self._drawing else self._transform(part)
        if isinstance(batch, dict):
            return {**batch, self.key: new}
        parts = list(batch)
        parts[self.key] = new
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)


# -- augmentations ----------------------------------------------------------------------------------------------------


def random_flip(x: Any, *, p: float = 0.5, axis: int = -1, generator: jt.random.Generator | None = None) -> jt.Tensor:
    """Each example turned around along ``axis`` (-1: left to right, -2: upside down) with probability ``p``."""
    x = _batch(x, "random_flip(x)")
    hit = _draw(generator).bernoulli(p, (x.shape[0],)).to(x.device)
    return jt.where(_spread(hit, x), jt.flip(x, axis=axis), x)


def random_crop(
    x: Any,
    *,
    size: int | tuple[int, int] | None = None,
    padding: int = 0,
    fill: float = 0,
    generator: jt.random.Generator | None = None,
) -> jt.Tensor:
    """A window of height and width ``size`` (None: the image's own) out of each image, after ``padding`` by ``fill`` on all sides.

    Each window of the padded image is as probable as any other.
    """
    images, (height, width), shape = _images(x, "random_crop(x)")
    rows, columns = (height, width) if size is None else (size, size) if isinstance(size, int) else size
    padding = _whole("random_crop(x)", "padding", padding)
    free = (height + 2 * padding - rows, width + 2 * padding - columns)
    if min(free) < 0 or min(rows, columns) < 1:
        raise ShapeError(
            f"random_crop(x): a window of {rows} x {columns} does not fit the images, which have {height} x {width} and padding {padding}"
        )
    device, n = images.device, len(images)
    if padding:
        images = jt.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=fill)
    g = _draw(generator)
    top = g.integers(0, free[0] + 1, (n,)).to(device)
    left = g.integers(0, free[1] + 1, (n,)).to(device)
    i = top[:, None] + jt.arange(rows, device=device)
    j = left[:, None] + jt.arange(columns, device=device)
    return jt.reshape(_pick(images, i[:, None, :, None], j[:, None, None, :]), (*shape[:-2], rows, columns))


def random_shift(
    x: Any, *, pixels: int = 2, fill: float = 0, generator: jt.random.Generator | None = None
) -> jt.Tensor:
    """Each image moved by up to ``pixels`` up or down and left or right; ``fill`` comes in from outside."""
    return random_crop(x, padding=_whole("random_shift(x)", "pixels", pixels), fill=fill, generator=generator)


def random_affine(
    x: Any,
    *,
    degrees: float = 0.0,
    translate: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    fill: float = 0.0,
    generator: jt.random.Generator | None = None,
) -> jt.Tensor:
    """Each image turned about its centre by up to ``degrees`` either way, enlarged by a factor in ``scale``, and moved.

    It is moved by up to ``translate`` of its height and width. Values are interpolated linearly, and are ``fill`` outside.
    """
    images, (height, width), shape = _images(_floats(x, "random_affine(x)"), "random_affine(x)")
    low, high = scale
    if not 0 < low <= high:
        raise DataError(f"random_affine(x): scale must be (low, high) with 0 < low <= high; got {scale!r}")
    n, dtype, device = len(images), images.dtype, images.device
    g = _draw(generator)
    drawn = g.uniform((4, n)).to(device)[:, :, None, None]
    angle = (2 * drawn[0] - 1) * (degrees * math.pi / 180)
    size = low + (high - low) * drawn[1]
    down, right = (2 * drawn[2] - 1) * (translate * height), (2 * drawn[3] - 1) * (translate * width)
    # The place in the old image of each pixel of the new one: the map's inverse.
    y = jt.arange(height, dtype=jt.float64, device=device)[None, :, None] - (height - 1) / 2 - down
    z = jt.arange(width, dtype=jt.float64, device=device)[None, None, :] - (width - 1) / 2 - right
    sine, cosine = jt.sin(angle), jt.cos(angle)
    i = (cosine * y + sine * z) / size + (height - 1) / 2
    j = (cosine * z - sine * y) / size + (width - 1) / 2
    padded = jt.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=fill)
    i, j = jt.clip(i + 1, 0, height + 1), jt.clip(j + 1, 0, width + 1)
    i0, j0 = jt.clip(jt.floor(i), 0, height), jt.clip(jt.floor(j), 0, width)
    a, b = (i - i0).astype(dtype)[:, None], (j - j0).astype(dtype)[:, None]
    i0, j0 = i0.astype(jt.int64)[:, None], j0.astype(jt.int64)[:, None]
    top = _pick(padded, i0, j0) * (1 - b) + _pick(padded, i0, j0 + 1) * b
    bottom = _pick(padded, i0 + 1, j0) * (1 - b) + _pick(padded, i0 + 1, j0 + 1) * b
    return jt.reshape(top * (1 - a) + bottom * a, shape)


def random_rotation(
    x: Any, *, degrees: float = 10.0, fill: float = 0.0, generator: jt.random.Generator | None = None
) -> jt.Tensor:
    """Each image turned about its centre by up to ``degrees`` either way: ``random_affine`` with nothing else."""
    return random_affine(x, degrees=degrees, fill=fill, generator=generator)


def gaussian_noise(x: Any, *, std: float = 0.1, generator: jt.random.Generator | None = None) -> jt.Tensor:
    """``x`` plus normally distributed noise."""
    x = _floats(x, "gaussian_noise(x)")
    return x + _draw(generator).normal(x.shape, 0.0, std).to(x.device).astype(x.dtype)


def cutout(x: Any, *, size: int = 8, fill: float = 0, generator: jt.random.Generator | None = None) -> jt.Tensor:
    """A square of ``size`` pixels set to ``fill`` in each image, its centre any pixel, so that it may lie partly outside.

    DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.
    """
    images, (height, width), shape = _images(x, "cutout(x)")
    size = _whole("cutout(x)", "size", size)
    g, n, device = _draw(generator), len(images), images.device
    top = g.integers(0, height, (n,)).to(device)[:, None] - size // 2
    left = g.integers(0, width, (n,)).to(device)[:, None] - size // 2
    i, j = jt.arange(height, device=device), jt.arange(width, device=device)
    rows, columns = (i >= top) & (i < top + size), (j >= left) & (j < left + size)
    inside = rows[:, None, :, None] & columns[:, None, None, :]
    return jt.reshape(jt.where(inside, fill, images), shape)


def mixup(
    x: Any, y: Any, *, alpha: float = 0.2, generator: jt.random.Generator | None = None
) -> tuple[jt.Tensor, jt.Tensor]:
    """Each example mixed with another one of the batch: ``t * x + (1 - t) * x[order]``, and ``y`` alike.

    One t for the batch, drawn from the beta distribution of ``alpha``, ``alpha``. ``y`` holds probabilities: ``one_hot`` of labels.
    Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018; the draw is Bailey's of a t distribution (1994), mapped.

    Raises ``DataError`` for labels that are integers, ``ShapeError`` for lengths that differ.
    """
    x, y = _floats(_batch(x, "mixup(x, y)"), "mixup(x, y)"), jt.asarray(y)
    if y.dtype.kind != "f":
        raise DataError(
            f"mixup(x, y): y has dtype {y.dtype}; expected probabilities, such as one_hot(labels, 10, dtype='float64')"
        )
    if y.shape[:1] != x.shape[:1]:
        raise ShapeError(f"mixup(x, y): x has {x.shape[0]} examples, and y has shape {y.shape}")
    if not alpha > 0:
        raise DataError(f"mixup(x, y): alpha must be above 0; got {alpha}")
    g = _draw(generator)
    t = _beta(alpha, *g.uniform((2,)).tolist())
    order = g.permutation(len(x)).to(x.device)
    return tuple(t * part + (1 - t) * jt.take(part, order, axis=0) for part in (x, y))


def _beta(a: float, u: float, v: float) -> float:
    """A draw from Beta(a, a) out of two uniform numbers."""
    c = math.cos(2 * math.pi * v)
    log = math.log1p(-u) / a
    ratio = math.exp(log) / -math.expm1(log) if log else math.inf
    return 0.5 * (1 + c / math.sqrt(ratio + c * c)) if ratio < math.inf else 0.5


def _draw(generator: jt.random.Generator | None) -> jt.random.Generator:
    return jt.random.default_generator() if generator is None else generator


def _batch(x: Any, who: str) -> jt.Tensor:
    x = jt.asarray(x)
    if not x.ndim:
        raise ShapeError(f"{who}: expected a batch, with examples along the first axis; got shape ()")
    return x


def _spread(per_example: jt.Tensor, x: jt.Tensor) -> jt.Tensor:
    return jt.reshape(per_example, (x.shape[0],) + (1,) * (x.ndim - 1))


def _images(x: Any, who: str) -> tuple[jt.Tensor, tuple[int, int], tuple[int, ...]]:
    """The batch as (n, channels, height, width), the last two, and its own shape."""
    x = jt.asarray(x)
    if x.ndim < 3:
        raise ShapeError(
            f"{who}: expected a batch of images, (n, height, width) or (n, channels, height, width); got shape {x.shape}"
        )
    n, *channels, height, width = x.shape
    return jt.reshape(x, (n, math.prod(channels), height, width)), (height, width), x.shape


def _pick(images: jt.Tensor, i: jt.Tensor, j: jt.Tensor) -> jt.Tensor:
    """The pixels at rows ``i`` and columns ``j``, each of shape (n, 1, height, width) or what broadcasts to it."""
    n, channels = (jt.arange(k, device=images.device) for k in images.shape[:2])
    return images[n[:, None, None, None], channels[None, :, None, None], i, j]


def _whole(who: str, name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise DataError(f"{who}: {name} must be an int, 0 or above; got {value!r}")
    return value
