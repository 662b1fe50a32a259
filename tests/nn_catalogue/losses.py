"""Losses, by the textbook and over lists of examples."""

from __future__ import annotations

import math

import numpy as np
from catalogue import normal

_rng = np.random.default_rng(11)


def uniform(low, high, *shape):
    return np.asarray(_rng.uniform(low, high, size=shape))


def classes(n, *shape):
    return np.asarray(_rng.integers(0, n, size=shape))


def _of_reals(*arrays):
    if any(np.iscomplexobj(a) for a in arrays):
        raise TypeError("of real numbers")


def _reduce(loss, reduction):
    loss = np.asarray(loss)
    return {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction](loss)


def _elementwise(f):
    """A loss of f(d) for the difference d."""

    def loss(x, target, reduction="mean", **attrs):
        return _reduce([f(d, **attrs) for d in (x - target).ravel()], reduction).reshape(
            x.shape if reduction == "none" else ()
        )

    return loss


def _huber(d, delta=1.0):
    return d**2 / 2 if abs(d) < delta else delta * (abs(d) - delta / 2)


def _smooth_l1(d, beta=1.0):
    return d**2 / 2 / beta if abs(d) < beta else abs(d) - beta / 2


def _bce(x, target, weight=None, reduction="mean"):
    loss = -(target * np.log(x) + (1 - target) * np.log(1 - x))
    return _reduce(loss if weight is None else loss * weight, reduction)


def _bce_logits(x, target, weight=None, pos_weight=None, reduction="mean"):
    p = 1 / (1 + np.exp(-x))
    loss = -((1.0 if pos_weight is None else pos_weight) * target * np.log(p) + (1 - target) * np.log(1 - p))
    return _reduce(loss if weight is None else loss * weight, reduction)


def _kl(x, target, log_target=False, reduction="mean"):
    q = np.exp(target) if log_target else target
    with np.errstate(divide="ignore", invalid="ignore"):
        loss = np.where(q > 0, q * np.log(np.where(q > 0, q, 1)), 0) - q * x
    return _reduce(loss, "sum") / len(x) if reduction == "batchmean" else _reduce(loss, reduction)


def _log_softmax(x, axis):
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


def _pick(x, target, axis):
    return np.take_along_axis(x, np.expand_dims(target, axis), axis).squeeze(axis)


def _nll(x, target, weight=None, ignore_index=-100, reduction="mean"):
    """Example by example."""
    _of_reals(x)
    rows = np.moveaxis(x, 1 if x.ndim > 1 else 0, -1)
    losses, weights = np.zeros(target.shape), np.zeros(target.shape)
    for at in np.ndindex(target.shape):
        c = int(target[at])
        if c != ignore_index:
            weights[at] = 1.0 if weight is None else weight[c]
            losses[at] = -weights[at] * rows[at][c]
    if reduction != "mean":
        return _reduce(losses, reduction)
    return np.sum(losses) / np.sum(weights) if np.sum(weights) else np.asarray(math.nan)


def _cross_entropy(x, target, weight=None, ignore_index=-100, label_smoothing=0.0, reduction="mean"):
    """With every target as a row of probabilities."""
    _of_reals(x, target)
    axis = 1 if x.ndim > 1 else 0
    n = x.shape[axis]
    each = np.ones(n) if weight is None else weight
    log_p = np.moveaxis(_log_softmax(x, axis), axis, -1) * each
    if target.dtype.kind == "f":
        p, counts, weights = np.moveaxis(target, axis, -1), 1.0, np.ones(log_p.shape[:-1])
    else:
        counts = target != ignore_index
        safe = np.where(counts, target, 0)
        p, weights = np.eye(n)[safe], counts * each[safe]
    p = p * (1 - label_smoothing) + label_smoothing / n
    loss = -(p * log_p).sum(-1) * counts
    return np.asarray(loss.sum() / weights.sum()) if reduction == "mean" else _reduce(loss, reduction)


def _cosine(x1, x2, axis=1, eps=1e-8):
    norm = lambda x: np.maximum(np.sqrt((x * x).sum(axis=axis)), eps)  # noqa: E731
    return (x1 * x2).sum(axis=axis) / (norm(x1) * norm(x2))


def _cosine_embedding(x1, x2, target, margin=0.0, reduction="mean"):
    cosine = _cosine(x1, x2, axis=-1)
    return _reduce(np.where(target == 1, 1 - cosine, np.maximum(0, cosine - margin)), reduction)


def _poisson(x, target, log_input=True, full=False, eps=1e-8, reduction="mean"):
    loss = np.exp(x) - target * x if log_input else x - target * np.log(x + eps)
    if full:
        safe = np.maximum(target, 1)
        loss = loss + np.where(target > 1, safe * np.log(safe) - safe + 0.5 * np.log(2 * np.pi * safe), 0)
    return _reduce(loss, reduction)


def _distance(x1, x2, p=2.0, eps=1e-6, keepdims=False):
    return (abs(x1 - x2 + eps) ** p).sum(axis=-1, keepdims=keepdims) ** (1 / p)


def _triplet(anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, swap=False, reduction="mean"):
    far = _distance(anchor, negative, p, eps)
    if swap:
        far = np.minimum(far, _distance(positive, negative, p, eps))
    return _reduce(np.maximum(0, margin + _distance(anchor, positive, p, eps) - far), reduction)


def _multi_margin(x, target, weight=None, p=1, margin=1.0, reduction="mean"):
    """Example by example, class by class."""
    _of_reals(x)
    losses = []
    for row, t in zip(np.atleast_2d(x), np.atleast_1d(target), strict=True):
        others = [max(0.0, margin - row[t] + v) ** p for i, v in enumerate(row) if i != t]
        losses.append(sum(others) / len(row) * (1.0 if weight is None else weight[t]))
    return _reduce(np.reshape(losses, target.shape), reduction)


REFERENCES = {
    "mse_loss": _elementwise(lambda d: d**2),
    "l1_loss": _elementwise(abs),
    "huber_loss": _elementwise(_huber),
    "smooth_l1_loss": _elementwise(_smooth_l1),
    "bernoulli_loss": lambda x, target: -(target * np.log(x) + (1 - target) * np.log(1 - x)),
    "log_odds": lambda x: np.log(x / (1 - x)),
    "binary_cross_entropy": _bce,
    "binary_cross_entropy_with_logits": _bce_logits,
    "kl_div": _kl,
    "log_softmax_at": lambda x, target, axis=1: _pick(_log_softmax(x, axis), target, axis),
    "log_softmax_at_grad": lambda v, x, target, normalizer, axis=1: (
        (np.moveaxis(np.eye(x.shape[axis])[target], -1, axis) - np.exp(x - normalizer)) * np.expand_dims(v, axis)
    ),
    "nll_loss": _nll,
    "cross_entropy": _cross_entropy,
    "cosine_similarity": _cosine,
    "cosine_embedding_loss": _cosine_embedding,
    "hinge_embedding_loss": lambda x, target, margin=1.0, reduction="mean": _reduce(
        np.where(target == 1, x, np.maximum(0, margin - x)), reduction
    ),
    "margin_ranking_loss": lambda x1, x2, target, margin=0.0, reduction="mean": _reduce(
        np.maximum(0, margin - target * (x1 - x2)), reduction
    ),
    "pairwise_distance": _distance,
    "triplet_margin_loss": _triplet,
    "soft_margin_loss": lambda x, target, reduction="mean": _reduce(np.log(1 + np.exp(-target * x)), reduction),
    "multilabel_soft_margin_loss": lambda x, target, weight=None, reduction="mean": _reduce(
        _bce_logits(x, target, weight, reduction="none").mean(axis=-1), reduction
    ),
    "multi_margin_loss": _multi_margin,
    "poisson_nll_loss": _poisson,
    "gaussian_nll_loss": lambda x, target, var, full=False, eps=1e-6, reduction="mean": _reduce(
        0.5 * (np.log(var) + (x - target) ** 2 / var) + (0.5 * np.log(2 * np.pi) if full else 0), reduction
    ),
}

_REDUCTIONS = [((normal(2, 3), normal(2, 3)), {"reduction": r}) for r in ("sum", "none")]
_IGNORED = np.array([2, -100, 0, -100])

CASES = {
    "mse_loss": [*_REDUCTIONS, ((normal(3), normal(3)), {}), ((np.array(1.5), np.array(0.5)), {})],
    "l1_loss": _REDUCTIONS,
    "huber_loss": [*_REDUCTIONS, ((normal(3, 4), normal(3, 4)), {"delta": 0.4})],
    "smooth_l1_loss": [*_REDUCTIONS, ((normal(3, 4), normal(3, 4)), {"beta": 0.4})],
    "binary_cross_entropy": [
        ((uniform(0.1, 0.9, 2, 3), uniform(0.1, 0.9, 2, 3)), {"reduction": "none"}),
        ((uniform(0.1, 0.9, 2, 3), uniform(0.1, 0.9, 2, 3), uniform(0.5, 2.0, 3)), {"reduction": "sum"}),
    ],
    "binary_cross_entropy_with_logits": [
        ((normal(2, 3), uniform(0.1, 0.9, 2, 3)), {"reduction": "none"}),
        ((normal(2, 3), uniform(0.1, 0.9, 2, 3), uniform(0.5, 2.0, 3), uniform(0.5, 2.0, 3)), {}),
        ((normal(2, 3), uniform(0.1, 0.9, 2, 3), None, uniform(0.5, 2.0, 3)), {"reduction": "sum"}),
    ],
    "kl_div": [
        ((normal(2, 3), uniform(0.1, 0.9, 2, 3)), {"reduction": "batchmean"}),
        ((normal(2, 3), normal(2, 3)), {"log_target": True, "reduction": "sum"}),
    ],
    "log_softmax_at": [
        ((normal(3), np.array(1)), {"axis": 0}),
        ((normal(2, 3, 4), classes(3, 2, 4)), {}),
        ((normal(2, 3), classes(3, 2)), {"axis": -1}),
        ((normal(0, 3), classes(3, 0)), {}),
    ],
    "log_softmax_at_grad": [((normal(2, 4), normal(2, 3, 4), classes(3, 2, 4), normal(2, 1, 4)), {})],
    "nll_loss": [
        ((normal(4, 3), classes(3, 4), uniform(0.5, 2.0, 3)), {}),
        ((normal(4, 3), _IGNORED, uniform(0.5, 2.0, 3)), {}),
        ((normal(4, 3), _IGNORED), {"reduction": "none"}),
        ((normal(2, 3, 2), classes(3, 2, 2), uniform(0.5, 2.0, 3)), {"ignore_index": 1, "reduction": "sum"}),
        ((normal(3), np.array(2)), {}),
    ],
    "cross_entropy": [
        ((normal(3), np.array(2)), {}),
        ((normal(4, 3), classes(3, 4), uniform(0.5, 2.0, 3)), {}),
        ((normal(4, 3), _IGNORED, uniform(0.5, 2.0, 3)), {}),
        ((normal(4, 3), _IGNORED), {}),
        ((normal(4, 3), _IGNORED, uniform(0.5, 2.0, 3)), {"label_smoothing": 0.2}),
        ((normal(4, 3), classes(3, 4)), {"label_smoothing": 0.2, "reduction": "none"}),
        ((normal(4, 3), classes(3, 4)), {"ignore_index": 1, "reduction": "sum"}),
        ((normal(2, 3, 2), classes(3, 2, 2), uniform(0.5, 2.0, 3)), {"label_smoothing": 0.1}),
        ((normal(4, 3), uniform(0.1, 0.9, 4, 3)), {}),
        (
            (normal(2, 3, 2), uniform(0.1, 0.9, 2, 3, 2), uniform(0.5, 2.0, 3)),
            {"label_smoothing": 0.1, "reduction": "none"},
        ),
        ((normal(3), uniform(0.1, 0.9, 3)), {"reduction": "sum"}),
    ],
    "cosine_similarity": [((normal(4), normal(4)), {"axis": 0}), ((normal(2, 3, 4), normal(3, 1)), {"axis": -2})],
    "cosine_embedding_loss": [
        ((normal(4), normal(4), np.array(1)), {}),
        ((normal(2, 3), normal(2, 3), np.array([1, -1])), {"margin": -0.95, "reduction": "none"}),
    ],
    "hinge_embedding_loss": [((uniform(0.1, 2.0, 4), np.array([1, -1, -1, 1])), {"margin": 0.7, "reduction": "none"})],
    "margin_ranking_loss": [((normal(3), normal(3), np.array([1, -1, 1])), {"margin": 0.3, "reduction": "sum"})],
    "pairwise_distance": [
        ((normal(4), normal(4)), {"p": 3.0}),
        ((normal(2, 1, 4), normal(3, 4)), {"keepdims": True}),
    ],
    "triplet_margin_loss": [
        ((normal(4, 3), normal(4, 3), normal(4, 3)), {"margin": 4.0, "swap": True, "reduction": "none"}),
        ((normal(3), normal(3), normal(3)), {"margin": 5.0, "p": 3.0}),
    ],
    "soft_margin_loss": [((normal(2, 3), np.array([[1, -1, 1], [-1, -1, 1]])), {"reduction": "none"})],
    "multilabel_soft_margin_loss": [
        ((normal(2, 3), uniform(0.1, 0.9, 2, 3), uniform(0.5, 2.0, 3)), {"reduction": "none"}),
        ((normal(3), uniform(0.1, 0.9, 3)), {"reduction": "sum"}),
    ],
    "multi_margin_loss": [
        ((normal(4, 3), classes(3, 4), uniform(0.5, 2.0, 3)), {"p": 2, "margin": 6.0}),
        ((normal(4, 3), classes(3, 4)), {"margin": 7.0, "reduction": "none"}),
        ((normal(3), np.array(2)), {"margin": 5.0, "reduction": "sum"}),
    ],
    "poisson_nll_loss": [
        ((normal(2, 3), uniform(2.0, 5.0, 2, 3)), {"full": True}),
        ((uniform(0.5, 2.0, 2, 3), uniform(0.1, 0.9, 2, 3)), {"log_input": False, "full": True, "reduction": "none"}),
    ],
    "gaussian_nll_loss": [((normal(2, 3), normal(2, 3), uniform(0.5, 2.0, 3)), {"full": True, "reduction": "none"})],
}
