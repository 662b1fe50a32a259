"""``ndimage``: filters and interpolation as in ``scipy.ndimage``, with exact derivatives in every boundary mode.

A filter pads, and then correlates where the weights fit; both are linear, and so the gradient of a pixel that stands for
several beyond the edge is the sum of theirs. ``correlate`` and ``convolve`` have a gradient in the weights, too.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import jitrench_core as jt
from jitrench_core import DTypeError, OpError, ShapeError, Tensor, op

# What ``jt.pad`` calls the modes of a filter.
_MODES = {
    "reflect": "symmetric", "grid-mirror": "symmetric", "mirror": "reflect", "nearest": "edge", "wrap": "wrap",
    "grid-wrap": "wrap", "constant": "constant", "grid-constant": "constant",
}  # fmt: skip


# -- the op: correlation where the weights fit -------------------------------------------------------------------------


def _windows(xp: Any, x: Any, w: Any) -> Any:
    """By whichever are fewer: a pass for each weight, or for each place."""
    lengths = tuple(n - k + 1 for n, k in zip(x.shape, w.shape, strict=True))
    if math.prod(w.shape) <= math.prod(lengths):
        y = xp.zeros(lengths, dtype=xp.result_type(x, w), device=x.device)
        for at in product(*map(range, w.shape)):
            y = y + w[at] * x[tuple(slice(i, i + n) for i, n in zip(at, lengths, strict=True))]
        return y
    sums = [
        xp.sum(w * x[tuple(slice(i, i + k) for i, k in zip(at, w.shape, strict=True))])
        for at in product(*map(range, lengths))
    ]
    return xp.reshape(xp.stack(sums), lengths)


def _fits(x: Any, w: Any) -> None:
    if x.ndim != w.ndim or any(k > n or not k for n, k in zip(x.shape, w.shape, strict=True)):
        raise ValueError("shapes do not fit")


def _correlate_x(g: Any, w: Any) -> Any:
    """Each element goes back to where it was read: w, turned around, over g with zeros around it."""
    return correlate_valid(jt.pad(g, [(k - 1, k - 1) for k in w.shape]), jt.flip(w))


@op(
    linear=("x", "w"),
    vjp={"x": _correlate_x, "w": lambda g, x: correlate_valid(x, g)},
    samples=lambda rng: ((rng.normal(size=(5, 4)), rng.normal(size=(2, 3))), {}),
)
def correlate_valid(xp: Any, x: Any, w: Any, /) -> Any:
    """The sum over k of w[k] x[i + k], over all axes, for every i at which w lies within x: of n and k elements n - k + 1."""
    _fits(x, w)
    return _windows(xp, x, w)


@correlate_valid.batch
def _(batched: tuple[bool, bool], x: Any, w: Any, /) -> Any:
    if not batched[1]:
        return correlate_valid(x, w[None])
    every = [correlate_valid(x[i] if batched[0] else x, w[i]) for i in range(w.shape[0])]
    if not every:
        shape = (x.shape[1:] if batched[0] else x.shape, w.shape[1:])
        return jt.zeros(
            (0, *(n - k + 1 for n, k in zip(*shape, strict=True))), dtype=jt.result_type(x, w), device=w.device
        )
    return jt.stack(every)


@correlate_valid.check
def _(x: Any, w: Any, /) -> None:
    """Why weights did not fit."""
    s1, s2 = (tuple(getattr(a, "shape", ())) for a in (x, w))
    raise ShapeError(
        f"correlate_valid(): weights of shape {s2} must have as many axes as x of shape {s1}, from 1 to its length"
    )


_FEW = 32  # passes over an array, up to which they beat SciPy's general loop


def _correlate_numpy(x: Any, w: Any) -> Any:
    import numpy as np

    _fits(x, w)
    places = math.prod(n - k + 1 for n, k in zip(x.shape, w.shape, strict=True))
    if min(w.size, places) <= _FEW or not {x.dtype.kind, w.dtype.kind} <= set("fc"):
        return _windows(np, x, w)
    from scipy.signal import correlate

    w = np.conj(w) if w.dtype.kind == "c" else w  # which it conjugates
    return np.asarray(correlate(x, w, mode="valid"), dtype=np.result_type(x, w))


# -- filters ----------------------------------------------------------------------------------------------------------


def _floating(name: str, x: Any) -> Any:
    x = jt.asarray(x)
    if x.dtype.kind not in "fc":
        raise DTypeError(
            f"{name}() takes floating-point numbers; got {x.dtype} of shape {x.shape}: convert it first, by astype"
        )
    return x


def _each(name: str, what: str, value: Any, ndim: int) -> list[Any]:
    """One value for all axes, or one for each."""
    values = list(value) if isinstance(value, (tuple, list)) else [value] * ndim
    if len(values) != ndim:
        raise ShapeError(f"{name}(): {what} must be one value, or one for each of {ndim} axes; got {value!r}")
    return values


def _padded(name: str, x: Any, widths: list[tuple[int, int]], mode: str, cval: float) -> Any:
    if not isinstance(mode, str) or mode not in _MODES:
        raise OpError(f"{name}(): mode is one of {', '.join(map(repr, _MODES))}; got {mode!r}")
    if not any(a or b for a, b in widths) or 0 in x.shape:
        return x
    return jt.pad(x, widths, _MODES[mode], constant_values=cval)


def _correlated(name: str, x: Any, w: Any, mode: str, cval: float, origin: Any, turned: bool) -> Any:
    x, w = _floating(name, x), _floating(name, w)
    if w.ndim != x.ndim or 0 in w.shape:
        raise ShapeError(
            f"{name}(): weights of shape {w.shape} must have as many axes as x of shape {x.shape}, and no empty one"
        )
    widths = []
    for k, o in zip(w.shape, _each(name, "origin", origin, x.ndim), strict=True):
        if not hasattr(o, "__index__"):
            raise OpError(f"{name}(): origin is an integer, or one for each axis; got {origin!r}")
        before, after = (k // 2 + o, k - 1 - k // 2 - o) if not turned else (k - 1 - k // 2 - o, k // 2 + o)
        if before < 0 or after < 0:
            raise OpError(f"{name}(): origin {o} moves weights of length {k} off the element that they belong to")
        widths.append((before, after))
    if 0 in x.shape:
        return x * jt.ones((), dtype=w.dtype, device=x.device)
    w = jt.flip(w) if turned else jt.conj(w) if w.dtype.kind == "c" else w
    return correlate_valid(_padded(name, x, widths, mode, cval), w)


def correlate(
    x: Any, weights: Any, mode: str = "reflect", cval: float = 0.0, origin: int | Sequence[int] = 0
) -> Tensor:
    """The sums of x around each element, times ``weights`` that are centred there, in x's shape; differentiable in both.

    Complex weights are conjugated, as NumPy's ``correlate`` does.
    ``mode`` says what is beyond an edge: "reflect" (d c b a | a b c d | d c b a), "mirror" (d c b | a b c d | c b a), "nearest"
    (a a a | a b c d | d d d), "wrap" (b c d | a b c d | a b c), "constant" (``cval``). ``origin`` moves the weights.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import ndimage
    >>> ndimage.correlate(jt.tensor([1.0, 2.0, 4.0]), jt.tensor([1.0, 0.0, -1.0]), mode="nearest")
    Tensor([-1., -3., -2.])

    Raises ``ShapeError`` for weights with other axes than x, ``OpError`` for an unknown mode or an origin off the weights,
    ``DTypeError`` for integers.
    """
    y: Tensor = _correlated("correlate", x, weights, mode, cval, origin, turned=False)
    return y


def convolve(x: Any, weights: Any, mode: str = "reflect", cval: float = 0.0, origin: int | Sequence[int] = 0) -> Tensor:
    """``correlate`` with the weights turned around: y[i] is the sum of weights[k] x[i - k], k counted from their centre.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import ndimage
    >>> ndimage.convolve(jt.tensor([0.0, 1.0, 0.0]), jt.tensor([1.0, 2.0, 3.0]))
    Tensor([1., 2., 3.])
    """
    y: Tensor = _correlated("convolve", x, weights, mode, cval, origin, turned=True)
    return y


def _along(name: str, x: Any, weights: Any, axis: int) -> Any:
    """A vector of weights, along one axis of x."""
    if weights.ndim != 1:
        raise ShapeError(f"{name}() takes a vector of weights; got shape {weights.shape}")
    if not -x.ndim <= axis < x.ndim:
        raise jt.AxisError(f"{name}(): axis {axis} is out of bounds for shape {x.shape}")
    return jt.reshape(weights, tuple(-1 if a == axis % x.ndim else 1 for a in range(x.ndim)))


def _one_axis(name: str, x: Any, weights: Any, axis: int, mode: str, cval: float, origin: int, turned: bool) -> Any:
    x = jt.asarray(x)
    w = _along(name, x, weights, axis)
    origins = [origin if a == axis % x.ndim else 0 for a in range(x.ndim)]
    return _correlated(name, x, w, mode, cval, origins, turned)


def correlate1d(
    x: Any, weights: Any, axis: int = -1, mode: str = "reflect", cval: float = 0.0, origin: int = 0
) -> Tensor:
    """``correlate`` along one axis, with a vector of weights.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import ndimage
    >>> ndimage.correlate1d(jt.tensor([[1.0, 2.0, 4.0]]), [-1.0, 1.0])
    Tensor([[0., 1., 2.]])
    """
    y: Tensor = _one_axis("correlate1d", x, jt.asarray(weights), axis, mode, cval, origin, turned=False)
    return y


def convolve1d(
    x: Any, weights: Any, axis: int = -1, mode: str = "reflect", cval: float = 0.0, origin: int = 0
) -> Tensor:
    """``convolve`` along one axis, with a vector of weights.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import ndimage
    >>> ndimage.convolve1d(jt.tensor([[1.0, 2.0, 4.0]]), [-1.0, 1.0])
    Tensor([[-1., -2.,  0.]])
    """
    y: Tensor = _one_axis("convolve1d", x, jt.asarray(weights), axis, mode, cval, origin, turned=True)
    return y


def uniform_filter1d(
    x: Any, size: int, axis: int = -1, mode: str = "reflect", cval: float = 0.0, origin: int = 0
) -> Tensor:
    """The mean of ``size`` elements around each, along one axis.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import ndimage
    >>> ndimage.uniform_filter1d(jt.tensor([0.0, 3.0, 0.0, 0.0]), 3)
    Tensor([1., 1., 1., 0.])
    """
    x, size = _floating("uniform_filter1d", x), _size("uniform_filter1d", size)
    weights = jt.full((size,), 1 / size, dtype=x.dtype, device=x.device)
    y: Tensor = _one_axis("uniform_filter1d", x, weights, axis, mode, cval, origin, turned=False)
    return y


def _size(name: str, size: Any) -> int:
    if isinstance(size, bool) or not hasattr(size, "__index__") or operator.index(size) < 1:
        raise OpError(f"{name}(): size is the number of elements, 1 or more; got {size!r}")
    return operator.index(size)


def uniform_filter(
    x: Any, size: int | Sequence[int] = 3, mode: str = "reflect", cval: float = 0.0, origin: int | Sequence[int] = 0
) -> Tensor:
    """``uniform_filter1d`` along every axis; ``size`` and ``origin`` are one value, or one for each.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import ndimage
    >>> ndimage.uniform_filter(jt.tensor([[0.0, 8.0], [0.0, 0.0]]), 2)
    Tensor([[0., 4.], [0., 2.]])
    """
    x = _floating("uniform_filter", x)
    pairs = zip(*(_each("uniform_filter", k, v, x.ndim) for k, v in (("size", size), ("origin", origin))), strict=True)
    for axis, (n, o) in enumerate(pairs):
        x = uniform_filter1d(x, n, axis, mode, cval, o)
    return x


def _gaussian(name: str, sigma: Any, order: Any, truncate: float, radius: Any) -> list[float]:
    """The weights of a normal density, or of its derivative: its logarithm's is -t / sigma^2, which makes a polynomial times it."""
    if not isinstance(sigma, (int, float)) or not sigma > 0:
        raise OpError(f"{name}(): sigma must be a Python number above 0; got {sigma!r}")
    if not hasattr(order, "__index__") or order < 0:
        raise OpError(f"{name}(): order is the derivative's, an integer from 0 on; got {order!r}")
    if radius is not None and (not hasattr(radius, "__index__") or radius < 0):
        raise OpError(f"{name}(): radius must not be negative, and an integer; got {radius!r}")
    reach = int(truncate * float(sigma) + 0.5) if radius is None else operator.index(radius)
    places = range(-reach, reach + 1)
    weights = [math.exp(-0.5 * (t / sigma) ** 2) for t in places]
    total = sum(weights)
    polynomial = [1.0]
    for _ in range(order):
        slope = [k * c for k, c in enumerate(polynomial)][1:]
        moved = [0.0] + [-c / sigma**2 for c in polynomial]
        polynomial = [m + (slope[k] if k < len(slope) else 0.0) for k, m in enumerate(moved)]
    return [w / total * sum(c * t**k for k, c in enumerate(polynomial)) for t, w in zip(places, weights, strict=True)]


def gaussian_filter1d(
    x: Any,
    sigma: float,
    axis: int = -1,
    order: int = 0,
    mode: str = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | None = None,
) -> Tensor:
    """The convolution with a normal density of deviation ``sigma`` along one axis, or with its derivative of ``order``.

    Weights reach to ``radius`` elements, by default ``truncate`` deviations, and sum to 1. sigma is a Python number: for a gradient in
    it, make weights of it, for ``correlate1d``.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import ndimage
    >>> jt.round(100 * ndimage.gaussian_filter1d(jt.tensor([0.0, 0.0, 1.0, 0.0, 0.0]), 1.0, radius=2))
    Tensor([ 5., 24., 40., 24.,  5.])
    """
    x = _floating("gaussian_filter1d", x)
    weights = jt.tensor(
        _gaussian("gaussian_filter1d", sigma, order, truncate, radius)[::-1], dtype=x.dtype, device=x.device
    )
    y: Tensor = _one_axis("gaussian_filter1d", x, weights, axis, mode, cval, 0, turned=False)
    return y


def gaussian_filter(
    x: Any,
    sigma: float | Sequence[float],
    order: int | Sequence[int] = 0,
    mode: str = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | Sequence[int] | None = None,
) -> Tensor:
    """``gaussian_filter1d`` along every axis; ``sigma``, ``order`` and ``radius`` are one value, or one for each.

    An axis whose sigma is 0 is left as it is.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import ndimage
    >>> jt.round(100 * ndimage.gaussian_filter(jt.tensor([[0.0, 1.0, 0.0]]), (0, 1.0), radius=1))
    Tensor([[27., 45., 27.]])
    """
    x = _floating("gaussian_filter", x)
    given = (("sigma", sigma), ("order", order), ("radius", radius))
    for axis, (s, o, r) in enumerate(zip(*(_each("gaussian_filter", k, v, x.ndim) for k, v in given), strict=True)):
        if isinstance(s, Tensor) or s != 0:
            x = gaussian_filter1d(x, s, axis, o, mode, cval, truncate, radius=r)
    return x


# -- interpolation ----------------------------------------------------------------------------------------------------


def _clamped(i: Any, n: int) -> Any:
    return jt.clip(i, 0, n - 1)


def _folded(i: Any, n: int) -> Any:
    """d c b a | a b c d | d c b a"""
    i = jt.remainder(i, 2 * n)
    return jt.minimum(i, 2 * n - 1 - i)


def _mirrored(i: Any, n: int) -> Any:
    """d c b | a b c d | c b a"""
    if n == 1:
        return jt.zeros_like(i)
    i = jt.remainder(i, 2 * n - 2)
    return jt.minimum(i, 2 * n - 2 - i)


def _continued(c: Any, n: int, mode: str) -> Any:
    """Where in x the coordinates lead, in the modes that turn around: ``_folded`` and ``_mirrored`` of real numbers."""
    if n == 1:
        return jt.zeros_like(c)
    shift, period = (0.0, 2 * n - 2) if mode == "mirror" else (0.5, 2 * n)
    c = jt.remainder(c + shift, period)
    return jt.minimum(c, period - c) - shift


# Which element stands at a whole number outside of 0 to n - 1.
_PLACES: dict[str, Callable[[Any, int], Any]] = {
    "reflect": _folded, "grid-mirror": _folded, "mirror": _mirrored, "nearest": _clamped, "grid-wrap": jt.remainder,
    "constant": _clamped, "grid-constant": _clamped,
}  # fmt: skip


def map_coordinates(x: Any, coordinates: Any, order: int = 1, mode: str = "constant", cval: float = 0.0) -> Tensor:
    """x at ``coordinates`` between its elements: linear for ``order`` 1, the nearest element for 0.

    ``coordinates`` has shape (x.ndim, ...): along its first axis a place in x for each axis, and the result has its other axes.
    ``mode`` is "reflect", "mirror", "nearest" or "grid-wrap", as for ``correlate``, "constant" (``cval`` wherever a coordinate is outside), or
    "grid-constant" (elements of ``cval`` around x). Differentiable in x and, for order 1, in the coordinates; at an element the
    slope is the one to its right.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import ndimage
    >>> x = jt.tensor([[0.0, 1.0], [2.0, 5.0]])
    >>> jt.grad(lambda c: ndimage.map_coordinates(x, c)[0])(jt.tensor([[0.5], [0.25]]))
    Tensor([[2.5], [2. ]])

    Raises ``OpError`` for another order (SciPy's default is 3) or mode, ``ShapeError`` for coordinates of another number of axes than x's.
    """
    x, c = _floating("map_coordinates", x), jt.asarray(coordinates)
    if order not in (0, 1):
        raise OpError(f"map_coordinates(): order is 0 (nearest) or 1 (linear); got {order!r}")
    if mode not in _PLACES:
        raise OpError(f"map_coordinates(): mode is one of {', '.join(map(repr, _PLACES))}; got {mode!r}")
    if not c.ndim or c.shape[0] != x.ndim or not x.ndim:
        raise ShapeError(
            f"map_coordinates(): coordinates must be of shape ({x.ndim}, ...), a place for each axis of x of shape {x.shape}; got {c.shape}"
        )
    if 0 in x.shape:
        raise ShapeError(f"map_coordinates(): x of shape {x.shape} has no elements to interpolate")
    if c.dtype.kind == "c":
        raise DTypeError(f"map_coordinates(): coordinates are real numbers; got {c.dtype} of shape {c.shape}")
    c = c if c.dtype.kind == "f" else jt.astype(c, "float64")
    outside: Any = False
    if mode == "constant":
        ends = [(c[a] < 0) | (c[a] > n - 1) for a, n in enumerate(x.shape)]
        for beyond in ends:
            outside = beyond | outside
        c = jt.where(outside, 0.0, c)  # whatever is read there: infinity less infinity would make gradients NaN
    elif mode in ("nearest", "grid-constant"):  # nothing changes further out
        c = jt.stack([jt.clip(c[a], -2, n + 1) for a, n in enumerate(x.shape)])
    elif order == 0 and mode != "grid-wrap":  # of two elements as near the one on the right in x itself, not outside
        c = jt.stack([_continued(c[a], n, mode) for a, n in enumerate(x.shape)])
    lower = jt.stop_gradient(jt.floor(c + 0.5 if order == 0 else c))
    total: Any = None
    for corner in product((0, 1) if order else (0,), repeat=x.ndim):
        places, weight, missing = [], None, False
        for a, up in enumerate(corner):
            n, at = x.shape[a], jt.astype(lower[a], "int64") + up
            if mode == "grid-constant":
                missing = (at < 0) | (at >= n) | missing
            places.append(_PLACES[mode](at, n))
            if order:
                part = c[a] - lower[a]
                part = part if up else 1 - part
                weight = part if weight is None else weight * part
        value = x[tuple(places)]
        if mode == "grid-constant":
            value = jt.where(missing, cval, value)
        if weight is not None:
            value = value * jt.astype(weight, x.dtype) if x.dtype.kind == "f" else value * weight
        total = value if total is None else total + value
    return jt.where(outside, cval, total) if mode == "constant" else total


OPS: tuple[Any, ...] = (correlate_valid,)
KERNELS: dict[tuple[str, str], Any] = {("correlate_valid", "numpy"): _correlate_numpy}  # by op and backend

__all__ = [
    "convolve", "convolve1d", "correlate", "correlate1d", "gaussian_filter", "gaussian_filter1d", "map_coordinates",
    "uniform_filter", "uniform_filter1d",
]  # fmt: skip
