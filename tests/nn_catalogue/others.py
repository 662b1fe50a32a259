"""Attention, embedding and dropout."""

from __future__ import annotations

import numpy as np
from catalogue import normal


def _attention(q, k, v, mask=None, is_causal=False, scale=None):
    """Query by query, over the keys it may look at."""
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q, k, v = (np.broadcast_to(a, (*lead, *a.shape[-2:])) for a in (q, k, v))
    scores = np.einsum("...ld,...sd->...ls", q, k) * (1 / np.sqrt(q.shape[-1] or 1) if scale is None else scale)
    may = np.ones(scores.shape, bool)
    if is_causal:
        may = may & (np.arange(scores.shape[-1]) <= np.arange(scores.shape[-2])[:, None])
    elif mask is not None and mask.dtype == bool:
        may = may & mask
    elif mask is not None:
        scores = scores + mask
    v = np.broadcast_to(v, (*scores.shape[:-2], *v.shape[-2:]))
    out = np.zeros((*scores.shape[:-1], v.shape[-1]), np.result_type(scores, v))
    for at in np.ndindex(scores.shape[:-1]):
        keys = may[at] & np.isfinite(scores[at])
        if keys.any():
            e = np.exp(scores[at][keys] - scores[at][keys].real.max())
            out[at] = (e / e.sum()) @ v[at[:-1]][keys]
    return out


def _attention_grad(u, q, k, v, is_causal=False, scale=None):
    """Matrix by matrix, through each row's Jacobian of the softmax."""
    scale = 1 / np.sqrt(q.shape[-1] or 1) if scale is None else scale
    grads = [np.zeros(x.shape) for x in (q, k, v)]
    for at in np.ndindex(q.shape[:-2]):
        weights = _attention(q[at], k[at], np.eye(k.shape[-2]), is_causal=is_causal, scale=scale)
        for i, p in enumerate(weights):
            slope = (np.diag(p) - np.outer(p, p)) @ (v[at] @ u[at][i]) * scale
            grads[0][at][i] += slope @ k[at]
            grads[1][at][...] += np.outer(slope, q[at][i])
            grads[2][at][...] += np.outer(p, u[at][i])
    return tuple(grads)


def _embedding(indices, weight, padding_idx=None):
    return weight[indices]


_MASK = np.array([[True, False, True], [False, False, False]])

REFERENCES = {
    "scaled_dot_product_attention": _attention,
    "attention": _attention,
    "attention_grad": _attention_grad,
    "embedding": _embedding,
    **{
        name: lambda x, p=0.5, training=True: x * (p < 1 or not training)
        for name in ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout")
    },
}

CASES = {
    "scaled_dot_product_attention": [
        ((normal(3, 2), normal(4, 2), normal(4, 5)), {"is_causal": True}),
        ((normal(2, 3, 2), normal(4, 2), normal(2, 4, 2)), {"scale": 0.3}),
        ((normal(2, 2, 3), normal(2, 3, 3), normal(2, 3, 2), _MASK), {}),
        ((normal(2, 3), normal(3, 3), normal(3, 2), normal(2, 3)), {}),
        ((normal(2, 3), normal(3, 3), normal(3, 2), normal(2, 1, 3)), {}),
    ],
    "attention": [
        ((normal(3, 2), normal(4, 2), normal(4, 5)), {"is_causal": True}),
        ((normal(2, 4, 2), normal(2, 3, 2), normal(2, 3, 1)), {"is_causal": True, "scale": 0.3}),
        ((1000 * normal(2, 3, 2), normal(2, 4, 2), normal(2, 4, 1)), {"is_causal": True}),
        ((normal(0, 2), normal(4, 2), normal(4, 5)), {}),
        ((normal(3, 0), normal(4, 0), normal(4, 2)), {}),
    ],
    "attention_grad": [
        ((normal(3, 1), normal(3, 2), normal(4, 2), normal(4, 1)), {"scale": 0.3}),
        ((normal(2, 3, 1), 1000 * normal(2, 3, 2), normal(2, 4, 2), normal(2, 4, 1)), {"is_causal": True}),
        ((normal(0, 5), normal(0, 2), normal(4, 2), normal(4, 5)), {}),
    ],
    "embedding": [
        ((np.array(2), normal(3, 4)), {}),
        ((np.zeros((0,), int), normal(3, 4)), {}),
        ((np.array([2, 2, 0], "int32"), normal(3, 1)), {}),
    ],
    **{
        name: [((normal(*shape),), {"p": 0.0}), ((normal(*shape),), {"p": 1.0}), ((normal(0, *shape[1:]),), {"p": 0.0})]
        for name, shape in {
            "dropout": (3, 2),
            "dropout1d": (2, 3, 2),
            "dropout2d": (2, 3, 2, 1),
            "dropout3d": (2, 3, 1, 2, 1),
            "alpha_dropout": (3, 2),
        }.items()
    },
}
