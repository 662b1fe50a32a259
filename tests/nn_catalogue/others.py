"""Attention, embedding and dropout."""

from __future__ import annotations

import numpy as np
from catalogue import normal


def _attention(q, k, v, mask=None, is_causal=False, scale=None):
    """Query by query, over the keys it may look at."""
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q, k, v = (np.broadcast_to(a, (*lead, *a.shape[-2:])) for a in (q, k, v))
    scores = np.einsum("...ld,...sd->...ls", q, k) * (1 / np.sqrt(q.shape[-1]) if scale is None else scale)
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
            e = np.exp(scores[at][keys])
            out[at] = (e / e.sum()) @ v[at[:-1]][keys]
    return out


def _embedding(indices, weight, padding_idx=None):
    return weight[indices]


_MASK = np.array([[True, False, True], [False, False, False]])

REFERENCES = {
    "scaled_dot_product_attention": _attention,
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
