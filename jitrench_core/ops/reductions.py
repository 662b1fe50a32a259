"""Ops that reduce axes: sums, statistics, extrema, norms, and the softmax family.

Ties of ``max`` and ``min`` share the gradient evenly, as PyTorch's ``amax``; ``vector_norm`` and ``std`` have slope 0 at 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..backend import owner
from ..dtypes import dtype as as_dtype
from ..op import op
from .creation import asarray, ones
from .elementwise import abs as abs_
from .elementwise import conj, exp, sign, where
from .shapes import astype, broadcast_to, concat, normalize_axes, permute_dims, reshape, shift_axes


def spread(g: Any, x_shape: tuple[int, ...], axis: Any, keepdims: bool) -> Any:
    """A reduction's gradient (or result), repeated over the axes that were reduced."""
    return broadcast_to(g if axis is None else unreduced(g, x_shape, axis, keepdims), x_shape)


def unreduced(y: Any, x_shape: tuple[int, ...], axis: Any, keepdims: bool) -> Any:
    """A reduction's result with the reduced axes back, of length 1."""
    axes = normalize_axes(axis, len(x_shape))
    return y if keepdims or not axes else reshape(y, tuple(1 if i in axes else n for i, n in enumerate(x_shape)))


def count(x_shape: tuple[int, ...], axis: Any) -> int:
    """How many elements each reduced one stands for."""
    return math.prod(x_shape if axis is None else (x_shape[a] for a in normalize_axes(axis, len(x_shape))))


def batched_reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    """The batch rule of a reduction: the same one, over the examples' axes."""

    def rule(batched: Any, x: Any, /, *, axis: Any, **attrs: Any) -> Any:
        return function(x, axis=shift_axes(axis, x.ndim - 1), **attrs)

    return rule


def _samples(rng: Any) -> Any:
    return (rng.normal(size=(3, 4)),), {"axis": 1}


@op(linear=("x",), vjp=lambda g, x_shape, axis, keepdims: spread(g, x_shape, axis, keepdims), samples=_samples)
def sum(xp: Any, x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The sum over ``axis`` (None: all), in ``dtype`` where given; small integers add up in int64 or uint64."""
    native = None if dtype is None else owner(type(x)).native_dtype(as_dtype(dtype))
    return xp.sum(x, axis=axis, dtype=native, keepdims=keepdims)


@op(
    linear=("x",),
    vjp=lambda g, x_shape, axis, keepdims: spread(g / (count(x_shape, axis) or math.nan), x_shape, axis, keepdims),
    samples=_samples,
)
def mean(xp: Any, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The arithmetic mean over ``axis`` (None: all)."""
    return xp.mean(x, axis=axis, keepdims=keepdims)


@op(composite=True, samples=_samples)
def prod(x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The product over ``axis`` (None: all), in ``dtype`` where given; small integers multiply in int64 or uint64.

    Pairs are multiplied, and nothing is divided, so derivatives are exact beside zeros, to any order.
    """
    x = asarray(x)
    if dtype is None and x.dtype.kind in "iub":
        dtype = "uint64" if x.dtype.kind == "u" else "int64"
    x = x if dtype is None else astype(x, dtype)
    axes = normalize_axes(axis, x.ndim)
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    shape = tuple(x.shape[i] for i in kept)
    n = count(x.shape, axis)
    flat = reshape(permute_dims(x, (*axes, *kept)), (n, *shape))
    while n > 1:
        half = n // 2
        paired = flat[:half] * flat[half : 2 * half]
        flat = concat([paired, flat[2 * half :]]) if n % 2 else paired
        n = half + n % 2
    y = flat[0] if n else ones(shape, dtype=x.dtype, device=x.device)
    return unreduced(y, x.shape, axis, False) if keepdims else y


def _centred(x: Any, axis: Any) -> Any:
    """Deviations from the mean; their conjugates, where they are complex, because a variance is real."""
    d = x - mean(x, axis=axis, keepdims=True)
    return conj(d) if d.dtype.kind == "c" else d


def _freedom(x_shape: tuple[int, ...], axis: Any, correction: float) -> float:
    """Degrees of freedom; NaN, as in PyTorch, where none are left."""
    left = count(x_shape, axis) - correction
    return left if left > 0 else math.nan


@op(
    vjp=lambda g, x, x_shape, axis, correction, keepdims: (
        unreduced(g, x_shape, axis, keepdims) * (_centred(x, axis) * (2 / _freedom(x_shape, axis, correction)))
    ),
    samples=_samples,
)
def var(xp: Any, x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """The variance over ``axis`` (None: all): squared deviations over n - ``correction``."""
    return xp.var(x, axis=axis, correction=correction, keepdims=keepdims)


def _std_vjp(g: Any, x: Any, y: Any, x_shape: Any, axis: Any, correction: float, keepdims: bool) -> Any:
    flat = y == 0
    scaled = where(flat, 0.0, g / (where(flat, 1.0, y) * _freedom(x_shape, axis, correction)))
    return unreduced(scaled, x_shape, axis, keepdims) * _centred(x, axis)


@op(vjp=_std_vjp, samples=_samples)
def std(xp: Any, x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """The standard deviation over ``axis`` (None: all), the root of ``var``; its slope where it is 0 is 0."""
    return xp.std(x, axis=axis, correction=correction, keepdims=keepdims)


def _extremum_vjp(g: Any, x: Any, y: Any, x_shape: Any, axis: Any, keepdims: bool) -> Any:
    hit = astype(x == unreduced(y, x_shape, axis, keepdims), x.dtype)
    return unreduced(g, x_shape, axis, keepdims) * (hit / sum(hit, axis=axis, keepdims=True))


@op(vjp=_extremum_vjp, samples=_samples)
def max(xp: Any, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest element over ``axis`` (None: all); equal ones share the gradient evenly."""
    return xp.max(x, axis=axis, keepdims=keepdims)


@op(vjp=_extremum_vjp, samples=_samples)
def min(xp: Any, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest element over ``axis`` (None: all); equal ones share the gradient evenly."""
    return xp.min(x, axis=axis, keepdims=keepdims)


@op(vjp={"x": None}, samples=_samples)
def argmax(xp: Any, x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """The index of the first largest element along ``axis`` (None: of the flattened array)."""
    return xp.argmax(x, axis=axis, keepdims=keepdims)


@op(vjp={"x": None}, samples=_samples)
def argmin(xp: Any, x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """The index of the first smallest element along ``axis`` (None: of the flattened array)."""
    return xp.argmin(x, axis=axis, keepdims=keepdims)


def _batched_arg(function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(batched: Any, x: Any, /, *, axis: int | None, keepdims: bool) -> Any:
        if axis is not None:
            return function(x, axis=shift_axes(axis, x.ndim - 1), keepdims=keepdims)
        y = function(reshape(x, (x.shape[0], -1)), axis=1)
        return reshape(y, (x.shape[0], *(1,) * (x.ndim - 1))) if keepdims else y

    return rule


@op(vjp={"x": None}, samples=_samples)
def all(xp: Any, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether every element over ``axis`` (None: all) is true."""
    return xp.all(x, axis=axis, keepdims=keepdims)


@op(vjp={"x": None}, samples=_samples)
def any(xp: Any, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether some element over ``axis`` (None: all) is true."""
    return xp.any(x, axis=axis, keepdims=keepdims)


def _norm_vjp(g: Any, x: Any, y: Any, x_shape: Any, axis: Any, keepdims: bool, ord: float) -> Any:
    """PyTorch's: for p >= 1 the slope at the origin is 0; for p = inf, equal elements share it."""
    if x.dtype.kind == "c" and ord != 2:
        size = abs_(x)
        return _norm_vjp(g, size, y, x_shape, axis, keepdims, ord) * conj(sign(x))
    g, y = unreduced(g, x_shape, axis, keepdims), unreduced(y, x_shape, axis, keepdims)
    if ord == 0:
        return broadcast_to(g * 0, x_shape)
    if ord == 1:
        return g * sign(x)
    if ord in (math.inf, -math.inf):
        hit = astype(abs_(x) == y, x.dtype)
        return g * (sign(x) * (hit / sum(hit, axis=axis, keepdims=True)))
    flat = y == 0
    safe = where(flat, 1.0, y)
    if ord == 2:
        return where(flat, 0.0, g / safe) * (conj(x) if x.dtype.kind == "c" else x)
    none = x == 0
    slope = where(none, 0.0, sign(x) * abs_(where(none, 1.0, x)) ** (ord - 1))
    return where(flat, 0.0, g / safe ** (ord - 1)) * slope


@op(vjp=_norm_vjp, samples=_samples)
def vector_norm(xp: Any, x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Any:
    """The ``ord``-norm over ``axis`` (None: all): 2 is Euclid's, 1 and inf the usual ones, 0 counts the non-zero."""
    return xp.linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)


@op(
    vjp=lambda g, x, y, x_shape, axis, keepdims: (
        unreduced(g, x_shape, axis, keepdims)
        * exp(x - unreduced(where(y == -math.inf, 0.0, y), x_shape, axis, keepdims))
    ),
    samples=_samples,
)
def logsumexp(xp: Any, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) over ``axis`` (None: all), without overflow; -inf of no elements."""
    if not count(tuple(x.shape), axis):
        return xp.sum(x, axis=axis, keepdims=keepdims) - math.inf
    top = xp.max(x, axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, 0.0)
    total = xp.sum(xp.exp(x - top), axis=axis, keepdims=True)
    none = total == 0  # every element is -inf
    y = xp.where(none, -math.inf, xp.log(xp.where(none, 1.0, total)) + top)
    axes = tuple(range(len(x.shape))) if axis is None else axis
    return y if keepdims or not len(x.shape) else xp.squeeze(y, axis=axes)


def _total(x: Any, axis: Any) -> Any:
    """The sum along ``axis``, to be broadcast; of no dimension it is x itself."""
    return sum(x, axis=axis, keepdims=True) if x.data.shape else x


@op(vjp=lambda g, y, axis: (g - _total(g * y, axis)) * y, samples=_samples)
def softmax(xp: Any, x: Any, /, *, axis: Any = -1) -> Any:
    """exp(x) / sum(exp(x)) along ``axis``, without overflow."""
    if 0 in x.shape:
        return x - xp.sum(x, axis=axis, keepdims=True)
    e = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
    return e / xp.sum(e, axis=axis, keepdims=True)


@op(vjp=lambda g, y, axis: g - exp(y) * _total(g, axis), samples=_samples)
def log_softmax(xp: Any, x: Any, /, *, axis: Any = -1) -> Any:
    """log(softmax(x)) along ``axis``, without overflow."""
    if 0 in x.shape:
        return x - xp.sum(x, axis=axis, keepdims=True)
    shifted = x - xp.max(x, axis=axis, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))


for _reduction in (sum, mean, var, std, max, min, all, any, vector_norm, logsumexp, softmax, log_softmax):
    _reduction.batch(batched_reduction(_reduction))
for _arg in (argmax, argmin):
    _arg.batch(_batched_arg(_arg))
