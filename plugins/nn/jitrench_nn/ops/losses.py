"""Losses. ``reduction`` is "mean", "sum" or "none" in each; x is the prediction, and its shape the target's.

Where classes are involved they lie on axis 1 of x, (n, classes, ...), or on axis 0 of one example, as in PyTorch.
"""

from __future__ import annotations

import math
from typing import Any

import jitrench_core as jt

from .checks import extent, floating, narrow, of_dtype, of_real_numbers, real, reduced, same_shape, visible, weights

# -- of numbers -----------------------------------------------------------------------------------------------------


def _pair(rng: Any) -> Any:
    return (rng.normal(size=(3, 2)), rng.normal(size=(3, 2))), {}


def _difference(who: str, x: Any, target: Any) -> Any:
    x, target = jt.asarray(x), jt.asarray(target)
    same_shape(who, x, target)
    floating(who, x)
    return x - of_dtype(x, target)


def _mse_x(g: Any, x: Any, target: Any, x_shape: Any, reduction: str) -> Any:
    share = 2.0 / (math.prod(x_shape) or 1) if reduction == "mean" else 2.0
    return (g * share) * (x - of_dtype(x, target))


@jt.op(
    vjp={"x": _mse_x, "target": lambda g, x, target, x_shape, reduction: _mse_x(g, target, x, x_shape, reduction)},
    samples=_pair,
)
def mse_loss(xp: Any, x: Any, target: Any, /, *, reduction: str = "mean") -> Any:
    """(x - target)**2.

    Raises ``ShapeError`` where shapes differ: (n, 1) with (n,) would broadcast to (n, n).

    >>> import jitrench_core as jt
    >>> mse_loss(jt.tensor([1.0, 2.0]), jt.tensor([1.0, 4.0]))
    Tensor(2.)
    """
    if getattr(x, "shape", ()) != getattr(target, "shape", ()):
        raise ValueError("shapes differ")
    if xp.isdtype(getattr(target, "dtype", getattr(x, "dtype", None)), ("bool", "integral")):
        target = xp.astype(target, x.dtype)
    d = x - target
    if not xp.isdtype(getattr(x, "dtype", d.dtype), "real floating") or xp.isdtype(d.dtype, "complex floating"):
        raise TypeError("numbers that are not real")
    return reduced("mse_loss", d * d, reduction, xp)


@mse_loss.check
def _(x: Any, target: Any, /) -> None:
    _difference("mse_loss", x, target)


@jt.op(composite=True, samples=_pair)
def l1_loss(x: Any, target: Any, /, *, reduction: str = "mean") -> Any:
    """abs(x - target); its slope where they are equal is 0. Raises ``ShapeError`` where shapes differ."""
    return reduced("l1_loss", jt.abs(_difference("l1_loss", x, target)), reduction)


@jt.op(composite=True, samples=_pair)
def huber_loss(x: Any, target: Any, /, *, delta: float = 1.0, reduction: str = "mean") -> Any:
    """d**2 / 2 for d = abs(x - target) up to ``delta``, and delta * (d - delta / 2) above (Huber, 1964).

    Raises ``ShapeError`` where shapes differ, and ``OpError`` for a delta that is not positive.
    """
    if not delta > 0:
        raise jt.OpError(f"huber_loss(): delta must be positive; got {delta!r}")
    return reduced("huber_loss", _huber(_difference("huber_loss", x, target), delta), reduction)


def _huber(d: Any, delta: float, scale: float = 1.0) -> Any:
    """The loss of Huber over ``scale``. Of a large d, or an infinite one, it computes no square."""
    near = jt.clip(d, -delta, delta)
    return (near / scale) * (d - 0.5 * near)


@jt.op(composite=True, samples=_pair)
def smooth_l1_loss(x: Any, target: Any, /, *, beta: float = 1.0, reduction: str = "mean") -> Any:
    """d**2 / (2 * ``beta``) for d = abs(x - target) below beta, and d - beta / 2 above; with beta = 0 ``l1_loss``.

    Raises ``ShapeError`` where shapes differ, and ``OpError`` for a negative beta.
    """
    if not beta >= 0:
        raise jt.OpError(f"smooth_l1_loss(): beta must not be negative; got {beta!r}")
    d = _difference("smooth_l1_loss", x, target)
    return reduced("smooth_l1_loss", jt.abs(d) if beta == 0 else _huber(d, beta, beta), reduction)


# -- of probabilities -----------------------------------------------------------------------------------------------

FLOOR = -100.0  # PyTorch's: no logarithm of a probability is below, so that a certain mistake stays finite


def _floored_log(xp: Any, x: Any) -> Any:
    """log(x), at least ``FLOOR``, without a warning at 0; NaN below."""
    some = x > 0
    low = xp.where(x < 0, x * math.nan, FLOOR + x * 0.0)
    return xp.where(some, xp.maximum(xp.log(xp.where(some, x, 1.0)), FLOOR), low)


@of_real_numbers
@jt.op(
    elementwise=True,
    vjp={
        "x": lambda g, x, target: g * ((x - target) / jt.maximum(x * (1.0 - x), 1e-12)),
        "target": lambda g, x: -g * log_odds(x),
    },
    domain=(0.1, 0.9),
)
def bernoulli_loss(xp: Any, x: Any, target: Any, /) -> Any:
    """-(target * log(x) + (1 - target) * log(1 - x)), elementwise; logarithms are at least -100, and NaN of x outside [0, 1].

    The slope for x is (x - target) / max(x * (1 - x), 1e-12), as in PyTorch.
    """
    real("bernoulli_loss", x, target)
    return -(target * _floored_log(xp, x) + (1.0 - target) * _floored_log(xp, 1.0 - x))


@of_real_numbers
@jt.op(
    elementwise=True,
    vjp=lambda g, x: g / jt.maximum(x * (1.0 - x), 1e-12),
    domain=(0.1, 0.9),
)
def log_odds(xp: Any, x: Any, /) -> Any:
    """log(x) - log(1 - x), elementwise; both logarithms are at least -100, and NaN of x outside [0, 1]."""
    real("log_odds", x)
    return _floored_log(xp, x) - _floored_log(xp, 1.0 - x)


@jt.op(composite=True, samples=lambda rng: ((rng.uniform(0.1, 0.9, (3, 2)), rng.uniform(0.1, 0.9, (3, 2))), {}))
def binary_cross_entropy(x: Any, target: Any, weight: Any = None, /, *, reduction: str = "mean") -> Any:
    """-weight * (target * log(x) + (1 - target) * log(1 - x)), of probabilities x; ``weight`` broadcasts.

    Logarithms are at least -100. Of scores (logits) take ``binary_cross_entropy_with_logits``, which rounds less.

    Raises ``ShapeError`` where shapes differ, or the weight does not broadcast to them, and ``OpError`` for an x outside of [0, 1];
    inside ``vmap`` and ``jvp`` and on a GPU, where values are not looked at, such an x makes the loss NaN.
    """
    x, target = jt.asarray(x), jt.asarray(target)
    same_shape("binary_cross_entropy", x, target)
    floating("binary_cross_entropy", x)
    (weight,) = weights("binary_cross_entropy", x, weight=weight)
    loss = bernoulli_loss(x, of_dtype(x, target))
    result = reduced("binary_cross_entropy", loss if weight is None else loss * weight, reduction)
    if visible(result) and x.size:
        _check_probabilities(x, result)
    return result


def _check_probabilities(x: Any, loss: Any) -> None:
    """``OpError`` for an x outside of [0, 1]. That made the loss NaN, so where it is not, x need not be looked at."""
    with jt.no_grad():
        if math.isnan(jt.sum(loss) if loss.ndim else loss):
            low, high = (float(f(jt.where(jt.isnan(x), 0.5, x))) for f in (jt.min, jt.max))
            if low < 0 or high > 1:
                raise jt.OpError(
                    f"binary_cross_entropy(): x must be probabilities, from 0 to 1; it holds {low if low < 0 else high}. Of scores "
                    f"(logits) take binary_cross_entropy_with_logits, which applies the sigmoid itself"
                )


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=(3, 2)), rng.uniform(0.1, 0.9, (3, 2))), {}))
def binary_cross_entropy_with_logits(
    x: Any, target: Any, weight: Any = None, pos_weight: Any = None, /, *, reduction: str = "mean"
) -> Any:
    """``binary_cross_entropy`` of sigmoid(x), without overflow; ``pos_weight`` multiplies the part of target. Weights broadcast.

    Raises ``ShapeError`` where shapes differ, or a weight does not broadcast to them.

    >>> import jitrench_core as jt
    >>> binary_cross_entropy_with_logits(jt.tensor([1000.0, 0.0]), jt.tensor([1.0, 0.0]))
    Tensor(0.34657359)
    """
    x, target = jt.asarray(x), jt.asarray(target)
    same_shape("binary_cross_entropy_with_logits", x, target)
    floating("binary_cross_entropy_with_logits", x)
    weight, pos_weight = weights("binary_cross_entropy_with_logits", x, weight=weight, pos_weight=pos_weight)
    target = of_dtype(x, target)
    missed = jt.softplus(-x)  # -log(sigmoid(x)); -log(1 - sigmoid(x)) is x more
    if pos_weight is None:
        loss = (1.0 - target) * x + missed
    else:
        loss = (1.0 - target) * x + (1.0 + (pos_weight - 1.0) * target) * missed
    return reduced("binary_cross_entropy_with_logits", loss if weight is None else loss * weight, reduction)


@jt.op(composite=True, samples=lambda rng: ((-rng.uniform(0.1, 2.0, (3, 2)), rng.uniform(0.1, 0.9, (3, 2))), {}))
def kl_div(x: Any, target: Any, /, *, log_target: bool = False, reduction: str = "mean") -> Any:
    """target * (log(target) - x), of log-probabilities x; 0 where target is 0. The divergence of x from target.

    ``log_target=True``: target is given by its logarithm, too. ``reduction="batchmean"`` is the sum over the length of axis 0,
    which is the divergence as mathematics has it; "mean" is that of all elements.

    Raises ``ShapeError`` where shapes differ.
    """
    x, target = jt.asarray(x), jt.asarray(target)
    same_shape("kl_div", x, target)
    floating("kl_div", x)
    target = of_dtype(x, target)
    if log_target:
        loss = jt.exp(target) * (target - x)
    else:
        some = target > 0
        loss = jt.where(some, target * jt.log(jt.where(some, target, 1.0)), 0.0) - target * x
    if reduction == "batchmean":
        return jt.sum(loss) / (loss.shape[0] if loss.ndim else 1)
    return reduced("kl_div", loss, reduction)


# -- of classes -----------------------------------------------------------------------------------------------------


def _log_softmax_at_sample(rng: Any) -> Any:
    return (rng.normal(size=(3, 4)), rng.integers(0, 4, size=3)), {}


@of_real_numbers
@jt.op(aux=("normalizer",), samples=_log_softmax_at_sample)
def log_softmax_at(xp: Any, x: Any, target: Any, /, *, axis: int = 1) -> Any:
    """log_softmax(x) along ``axis`` at the index that ``target`` gives, which has x's shape without that axis."""
    real("log_softmax_at", x)
    top = xp.max(x, axis=axis, keepdims=True)
    normalizer = top + xp.log(xp.sum(xp.exp(x - top), axis=axis, keepdims=True))
    picked = xp.take_along_axis(x, xp.expand_dims(target, axis=axis), axis=axis)
    return xp.squeeze(picked - normalizer, axis=axis), normalizer


@log_softmax_at.aux("normalizer")
def _(x: Any, axis: int) -> Any:
    return jt.logsumexp(x, axis=axis, keepdims=True)


@log_softmax_at.vjp_all
def _(g: Any, x: Any, target: Any, normalizer: Any, axis: int) -> Any:
    return log_softmax_at_grad(g, x, target, normalizer, axis=axis), None


@log_softmax_at.batch
def _(batched: Any, x: Any, target: Any, /, *, axis: int) -> Any:
    n = (x if batched[0] else target).shape[0]
    x, target = (a if b else jt.broadcast_to(a, (n, *a.shape)) for a, b in zip((x, target), batched, strict=True))
    axis = axis % (x.ndim - 1) + 1
    return log_softmax_at(x, target, axis=axis), (jt.logsumexp(x, axis=axis, keepdims=True),)


def _log_softmax_at_grad_sample(rng: Any) -> Any:
    (x, target), _ = _log_softmax_at_sample(rng)
    return (rng.normal(size=3), x, target, rng.normal(size=(3, 1))), {}


@jt.op(composite=True, samples=_log_softmax_at_grad_sample)
def log_softmax_at_grad(v: Any, x: Any, target: Any, normalizer: Any, /, *, axis: int = 1) -> Any:
    """The gradient of ``log_softmax_at`` for its x: v at the class, minus v * exp(x - normalizer) everywhere."""
    v, target = jt.expand_dims(v, axis=axis), jt.expand_dims(target, axis=axis)
    classes = jt.reshape(jt.arange(x.shape[axis], device=x.device), (-1, *(1,) * (x.ndim - 1 - axis % x.ndim)))
    return jt.where(classes == target, v, 0.0) - v * jt.exp(x - normalizer)


def _classes(who: str, x: Any, target: Any, weight: Any, ignore_index: int | None) -> tuple[Any, Any]:
    """Integer targets that are all classes, and which of them count (None: all); refuses what does not fit."""
    axis = 1 if x.ndim > 1 else 0
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    if target.dtype.kind not in "iu":
        raise jt.DTypeError(
            f"{who}(): target has dtype {target.dtype}; expected integer classes, of shape {shape}. Of one-hot rows take "
            f"jt.argmax(target, axis={axis}); integers stored as floats convert by target.astype(jt.int64)"
        )
    if not x.ndim or shape != target.shape:
        raise jt.ShapeError(
            f"{who}(): x has shape {x.shape} and target {target.shape}; expected (n, classes, ...) and (n, ...), such as "
            f"(32, 10) and (32,)"
        )
    classes = x.shape[axis]
    if not classes:
        raise jt.ShapeError(f"{who}(): there are no classes: x has shape {x.shape}")
    if weight is not None and weight.shape != (classes,):
        raise jt.ShapeError(
            f"{who}(): weight has shape {weight.shape}; expected ({classes},), a number for each class, because x has shape "
            f"{x.shape}"
        )
    found = extent(target)
    if found and 0 <= found[0] <= found[1] < classes and not (ignore_index is not None and 0 <= ignore_index < classes):
        return target, None
    target = jt.astype(target, jt.int64)
    counts = None
    if ignore_index is not None:
        counts = target != ignore_index
        target = jt.where(counts, target, 0)
        found = extent(target)
    if found and not 0 <= found[0] <= found[1] < classes:
        raise jt.ShapeError(
            f"{who}(): classes are 0 to {classes - 1}, because x has shape {x.shape}; target holds "
            f"{found[0] if found[0] < 0 else found[1]}"
            + ("" if ignore_index is None else f". Only {ignore_index} is passed over: ignore_index= says what is")
        )
    return target, counts


def _class_weight(x: Any, weight: Any) -> Any:
    """A number for each class, in x's dtype: float64, which Python's lists become, is not to make the loss of float32 one."""
    return None if weight is None else of_dtype(x, jt.asarray(weight), "iubf")


def _known(x: Any, target: Any, axis: int) -> tuple[Any, Any]:
    """Where values cannot be looked at: targets that are classes, and where they were."""
    if visible(target):
        return target, None
    fits = (target >= 0) & (target < x.shape[axis])
    return jt.where(fits, target, 0), fits


def _weighted(who: str, loss: Any, target: Any, weight: Any, counts: Any, reduction: str, divisor: Any = None) -> Any:
    """A loss of each example, which is weighted already; the mean is over the weights of those that count."""
    if counts is not None:
        loss = jt.where(counts, loss, 0.0)
    if reduction != "mean" or (counts is None and weight is None):
        return reduced(who, loss, reduction)
    each = jt.ones(target.shape, dtype=loss.dtype, device=loss.device) if weight is None else weight[target]
    total = jt.sum(each if counts is None else jt.where(counts, each, 0.0))
    none = total == 0  # every example is ignored: NaN, as the mean of nothing
    return jt.where(none, math.nan, jt.sum(loss) / jt.where(none, 1.0, total))


def _classes_sample(rng: Any) -> Any:
    return (rng.normal(size=(4, 3)), rng.integers(0, 3, size=4)), {}


@jt.op(composite=True, samples=_classes_sample)
def nll_loss(
    x: Any, target: Any, weight: Any = None, /, *, ignore_index: int | None = -100, reduction: str = "mean"
) -> Any:
    """-weight[target] * x at the class: of log-probabilities (n, classes, ...) and integer classes (n, ...).

    ``weight`` has a number for each class; the mean is over the weights, and leaves out where target is ``ignore_index``. Of
    nothing it is NaN.

    Raises ``DTypeError`` for targets that are no integers, and ``ShapeError`` where shapes do not fit or a class is not in
    [0, classes). Inside ``vmap`` and on a GPU, where values are not looked at, such a class makes the loss NaN.
    """
    x, target = jt.asarray(x), jt.asarray(target)
    floating("nll_loss", x)
    weight = _class_weight(x, weight)
    target, counts = _classes("nll_loss", x, target, weight, ignore_index)
    axis = 1 if x.ndim > 1 else 0
    target, fits = _known(x, target, axis)
    rows = jt.reshape(jt.permute_dims(x, (*(a for a in range(x.ndim) if a != axis), axis)), (-1, x.shape[axis]))
    picked = rows[jt.arange(rows.shape[0], device=x.device), jt.reshape(target, (-1,))]
    loss = -jt.reshape(picked, target.shape)
    loss = loss if weight is None else loss * weight[target]
    return _weighted(
        "nll_loss", loss if fits is None else jt.where(fits, loss, math.nan), target, weight, counts, reduction
    )


@jt.op(composite=True, samples=_classes_sample)
def cross_entropy(
    x: Any,
    target: Any,
    weight: Any = None,
    /,
    *,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    """-weight * log(softmax(x)) at the class, without overflow.

    ``x`` holds scores (logits) of shape (n, classes, ...), or (classes,). ``target`` is either the integer class of each example,
    (n, ...), or its probabilities, floating-point numbers of x's shape. ``weight`` has a number for each class. With ``label_smoothing`` s
    each target is mixed: 1 - s of itself, and s of all classes alike. The mean is over the weights of the classes, and leaves out
    where target is ``ignore_index`` (of nothing it is NaN); of probabilities it is over the examples.

    Raises ``DTypeError`` for targets that are neither, ``ShapeError`` where shapes do not fit or a class is not in
    [0, classes), and ``OpError`` for a label_smoothing outside of [0, 1]. Inside ``vmap``, where values cannot be looked
    at, such a class makes the loss NaN.

    >>> import jitrench_core as jt
    >>> cross_entropy(jt.tensor([[1000.0, 0.0], [0.0, 0.0]]), jt.tensor([0, 1]))
    Tensor(0.34657359)
    """
    x, target = jt.asarray(x), jt.asarray(target)
    floating("cross_entropy", x)
    weight = _class_weight(x, weight)
    if not 0.0 <= label_smoothing <= 1.0:
        raise jt.OpError(f"cross_entropy(): label_smoothing must be from 0 to 1; got {label_smoothing!r}")
    axis = 1 if x.ndim > 1 else 0
    if target.dtype.kind == "f" and x.ndim and target.shape == x.shape:
        return _of_probabilities(x, target, weight, axis, label_smoothing, reduction)
    target, counts = _classes("cross_entropy", x, target, weight, ignore_index)
    target, fits = _known(x, target, axis)
    loss = -log_softmax_at(x, target, axis=axis)
    loss = loss if weight is None else loss * weight[target]
    if label_smoothing:
        share = label_smoothing / x.shape[axis]
        loss = (1.0 - label_smoothing) * loss - share * jt.sum(_log_probabilities(x, weight, axis), axis=axis)
    return _weighted(
        "cross_entropy", loss if fits is None else jt.where(fits, loss, math.nan), target, weight, counts, reduction
    )


def _log_probabilities(x: Any, weight: Any, axis: int) -> Any:
    """log_softmax(x), times the weight of each class."""
    y = jt.log_softmax(x, axis=axis)
    return y if weight is None else y * jt.reshape(weight, (-1, *(1,) * (x.ndim - 1 - axis)))


def _of_probabilities(x: Any, target: Any, weight: Any, axis: int, smoothing: float, reduction: str) -> Any:
    if weight is not None and weight.shape != (x.shape[axis],):
        raise jt.ShapeError(
            f"cross_entropy(): weight has shape {weight.shape}; expected ({x.shape[axis]},), a number for each class, because x "
            f"has shape {x.shape}"
        )
    if smoothing:
        target = target * (1.0 - smoothing) + smoothing / x.shape[axis]
    return reduced("cross_entropy", -jt.sum(target * _log_probabilities(x, weight, axis), axis=axis), reduction)


# -- of directions and margins ----------------------------------------------------------------------------------------


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=(3, 4)), rng.normal(size=(3, 4))), {}))
def cosine_similarity(x1: Any, x2: Any, /, *, axis: int = 1, eps: float = 1e-8) -> Any:
    """The cosine of the angle between x1 and x2 along ``axis``; norms are at least ``eps``. The two broadcast."""
    x1, x2 = jt.asarray(x1), jt.asarray(x2)
    floating("cosine_similarity", x1, "x1")
    floating("cosine_similarity", x2, "x2")
    x1, x2 = jt.broadcast_arrays(x1, x2)  # before the norms: an element that is repeated along axis counts each time
    norms = (jt.maximum(jt.vector_norm(x, axis=axis, keepdims=True), eps) for x in (x1, x2))
    first, second = (x / n for x, n in zip((x1, x2), norms, strict=True))
    return jt.sum(first * second, axis=axis)


def _cosine_embedding_sample(rng: Any) -> Any:
    return (rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng.choice([-1, 1], size=4)), {"margin": -0.9}


@jt.op(composite=True, samples=_cosine_embedding_sample)
def cosine_embedding_loss(x1: Any, x2: Any, target: Any, /, *, margin: float = 0.0, reduction: str = "mean") -> Any:
    """1 - cosine of x1 and x2 where ``target`` is 1, and max(0, cosine - ``margin``) where it is -1.

    x1 and x2 have shape (n, width) and target (n,), or (width,) and ().

    Raises ``ShapeError`` where shapes do not fit.
    """
    x1, x2, target = jt.asarray(x1), jt.asarray(x2), jt.asarray(target)
    if x1.ndim not in (1, 2) or x1.shape != x2.shape or target.shape != x1.shape[:-1]:
        raise jt.ShapeError(
            f"cosine_embedding_loss(): x1 has shape {x1.shape}, x2 {x2.shape} and target {target.shape}; expected "
            f"(n, width), the same and (n,)"
        )
    floating("cosine_embedding_loss", x1, "x1")
    floating("cosine_embedding_loss", x2, "x2")
    target = of_dtype(x1, target)
    squares = [jt.sum(jt.square(x), axis=-1) + 1e-12 for x in (x1, x2)]  # PyTorch's guard against 0
    cosine = jt.sum(x1 * x2, axis=-1) / jt.sqrt(squares[0] * squares[1])
    loss = jt.where(target == 1, 1.0 - cosine, jt.where(target == -1, _above(cosine - margin), 0.0))
    return reduced("cosine_embedding_loss", loss, reduction)


def _above(x: Any) -> Any:
    """x, at least 0; on 0 its slope is 1, as that of PyTorch's clamp_min."""
    return jt.clip(x, 0.0)


@jt.op(composite=True, samples=lambda rng: ((rng.uniform(0.1, 0.9, size=4), rng.choice([-1, 1], size=4)), {}))
def hinge_embedding_loss(x: Any, target: Any, /, *, margin: float = 1.0, reduction: str = "mean") -> Any:
    """x where ``target`` is 1, and max(0, ``margin`` - x) where it is -1. Raises ``ShapeError`` where shapes differ."""
    x, target = jt.asarray(x), jt.asarray(target)
    same_shape("hinge_embedding_loss", x, target)
    floating("hinge_embedding_loss", x)
    target = of_dtype(x, target)
    loss = jt.where(target == 1, x, jt.where(target == -1, _above(margin - x), 0.0))
    return reduced("hinge_embedding_loss", loss, reduction)


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=4), rng.normal(size=4), rng.choice([-1, 1], size=4)), {}))
def margin_ranking_loss(x1: Any, x2: Any, target: Any, /, *, margin: float = 0.0, reduction: str = "mean") -> Any:
    """max(0, ``margin`` - target * (x1 - x2)): target is 1 where x1 should be the larger one, else -1.

    Raises ``ShapeError`` where shapes differ.
    """
    x1, x2, target = jt.asarray(x1), jt.asarray(x2), jt.asarray(target)
    same_shape("margin_ranking_loss", x1, x2, "x2")
    same_shape("margin_ranking_loss", x1, target)
    floating("margin_ranking_loss", x1, "x1")
    target = jt.astype(target, x1.dtype)
    return reduced("margin_ranking_loss", _above(margin - target * (x1 - x2)), reduction)


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=(3, 4)), rng.normal(size=(3, 4))), {}))
def pairwise_distance(x1: Any, x2: Any, /, *, p: float = 2.0, eps: float = 1e-6, keepdims: bool = False) -> Any:
    """The ``p``-norm of x1 - x2 + ``eps`` along the last axis; the two broadcast. eps keeps its slope finite where they are equal."""
    x1, x2 = jt.asarray(x1), jt.asarray(x2)
    floating("pairwise_distance", x1, "x1")
    floating("pairwise_distance", x2, "x2")
    return jt.vector_norm(x1 - x2 + eps, axis=-1, ord=p, keepdims=keepdims)


@jt.op(composite=True, samples=lambda rng: (tuple(rng.normal(size=(3, 4, 2))), {"margin": 4.0}))
def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    /,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """max(0, ``margin`` + d(anchor, positive) - d(anchor, negative)), with d the ``pairwise_distance`` (Balntas et al., 2016).

    All three have shape (..., width). ``swap`` takes the distance of positive and negative where that is the smaller one.

    Raises ``ShapeError`` where shapes differ, and ``OpError`` for a margin that is not positive.
    """
    anchor, positive, negative = jt.asarray(anchor), jt.asarray(positive), jt.asarray(negative)
    if not anchor.ndim or not anchor.shape == positive.shape == negative.shape:
        raise jt.ShapeError(
            f"triplet_margin_loss(): anchor has shape {anchor.shape}, positive {positive.shape} and negative {negative.shape}; "
            f"expected one shape, (..., width)"
        )
    if not margin > 0:
        raise jt.OpError(f"triplet_margin_loss(): margin must be positive; got {margin!r}")
    near = pairwise_distance(anchor, positive, p=p, eps=eps)
    far = pairwise_distance(anchor, negative, p=p, eps=eps)
    if swap:
        far = jt.minimum(far, pairwise_distance(positive, negative, p=p, eps=eps))
    return reduced("triplet_margin_loss", _above(margin + near - far), reduction)


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=4), rng.choice([-1.0, 1.0], size=4)), {}))
def soft_margin_loss(x: Any, target: Any, /, *, reduction: str = "mean") -> Any:
    """log(1 + exp(-target * x)) without overflow, of scores x; target is 1 or -1. Raises ``ShapeError`` where shapes differ."""
    x, target = jt.asarray(x), jt.asarray(target)
    same_shape("soft_margin_loss", x, target)
    floating("soft_margin_loss", x)
    return reduced("soft_margin_loss", jt.softplus(-jt.astype(target, x.dtype) * x), reduction)


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=(3, 4)), rng.uniform(0.1, 0.9, size=(3, 4))), {}))
def multilabel_soft_margin_loss(x: Any, target: Any, weight: Any = None, /, *, reduction: str = "mean") -> Any:
    """``binary_cross_entropy_with_logits`` of (..., classes), the mean over the classes; ``weight`` has a number for each.

    Raises ``ShapeError`` where shapes differ.
    """
    x, target = jt.asarray(x), jt.asarray(target)
    same_shape("multilabel_soft_margin_loss", x, target)
    floating("multilabel_soft_margin_loss", x)
    if not x.ndim:
        raise jt.ShapeError("multilabel_soft_margin_loss(): x has no axis of classes: its shape is ()")
    loss = binary_cross_entropy_with_logits(x, jt.astype(target, x.dtype), weight, reduction="none")
    return reduced("multilabel_soft_margin_loss", jt.mean(loss, axis=-1), reduction)


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=(4, 3)), rng.integers(0, 3, size=4)), {"margin": 5.0}))
def multi_margin_loss(
    x: Any, target: Any, weight: Any = None, /, *, p: int = 1, margin: float = 1.0, reduction: str = "mean"
) -> Any:
    """The mean over the classes of max(0, ``margin`` - x[target] + x)**p, where the target's own is 0; ``p`` is 1 or 2.

    ``x`` holds scores of shape (n, classes), or (classes,), and ``target`` integer classes (n,), or (). ``weight`` has a number for
    each class, which multiplies the loss of the examples of that class.

    Raises ``DTypeError`` for targets that are no integers, ``ShapeError`` where shapes do not fit or a class is not in
    [0, classes), and ``OpError`` for another p.
    """
    x, target = jt.asarray(x), jt.asarray(target)
    floating("multi_margin_loss", x)
    weight = _class_weight(x, weight)
    if p not in (1, 2):
        raise jt.OpError(f"multi_margin_loss(): p is 1 or 2; got {p!r}")
    if x.ndim > 2:
        raise jt.ShapeError(f"multi_margin_loss(): x has shape {x.shape}; expected (n, classes) or (classes,)")
    target, _ = _classes("multi_margin_loss", x, target, weight, None)
    target, fits = _known(x, target, x.ndim - 1)
    own = jt.arange(x.shape[-1], device=x.device) == jt.expand_dims(target, axis=-1)
    score = jt.sum(jt.where(own, x, 0.0), axis=-1, keepdims=True)
    above = jt.relu(jt.where(own, 0.0, margin - score + x))  # slope 0 at 0, as PyTorch's
    loss = jt.mean(above if p == 1 else above * above, axis=-1)
    loss = loss if weight is None else loss * weight[target]
    return reduced("multi_margin_loss", loss if fits is None else jt.where(fits, loss, math.nan), reduction)


# -- likelihoods ----------------------------------------------------------------------------------------------------


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=(3, 2)), rng.uniform(2.0, 5.0, (3, 2))), {}))
def poisson_nll_loss(
    x: Any, target: Any, /, *, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
) -> Any:
    """exp(x) - target * x: counts ``target`` of rate exp(x), or, with ``log_input=False``, x - target * log(x + eps).

    ``full`` adds Stirling's target * log(target) - target + log(2π * target) / 2 where target is above 1.

    Raises ``ShapeError`` where shapes differ.
    """
    x, target = jt.asarray(x), jt.asarray(target)
    same_shape("poisson_nll_loss", x, target)
    floating("poisson_nll_loss", x)
    target = of_dtype(x, target)
    loss = jt.exp(x) - target * x if log_input else x - target * jt.log(x + eps)
    if full:
        some = target > 1
        safe = jt.where(some, target, 1.0)
        stirling = safe * jt.log(safe) - safe + 0.5 * jt.log(2.0 * math.pi * safe)
        loss = loss + jt.where(some, stirling, 0.0)
    return reduced("poisson_nll_loss", loss, reduction)


@jt.op(
    composite=True,
    samples=lambda rng: ((rng.normal(size=(3, 2)), rng.normal(size=(3, 2)), rng.uniform(0.5, 2.0, (3, 2))), {}),
)
def gaussian_nll_loss(
    x: Any, target: Any, var: Any, /, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Any:
    """(log(var) + (x - target)**2 / var) / 2, of means x and variances ``var``, which broadcast; ``full`` adds log(2π) / 2.

    A variance below ``eps`` counts as eps, and its gradient is that at eps.

    Raises ``ShapeError`` where the shapes of x and target differ, or var does not broadcast to them.
    """
    d = _difference("gaussian_nll_loss", x, target)
    narrow("gaussian_nll_loss", "var", var, d)
    var = of_dtype(d, jt.asarray(var)) if hasattr(var, "shape") else jt.asarray(var, dtype=d.dtype, device=d.device)
    var = var + (jt.maximum(var, eps) - var).detach()
    loss = 0.5 * (jt.log(var) + d * d / var)
    return reduced("gaussian_nll_loss", loss + 0.5 * math.log(2.0 * math.pi) if full else loss, reduction)
