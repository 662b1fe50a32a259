"""Writes transformer_reference.json: outputs, weights and gradients by PyTorch of its attention and transformer layers, in float64.

Run by hand where PyTorch is installed (made with 2.13.0): ``python tests/data/make_transformer_reference.py``. Inputs and parameters come
from ``filled``, and are not stored; tests/test_transformer.py fills the same. The loss is the sum of all results, each times
numbers of ``filled``. Masks are stored under the names of the arguments. There is no dropout.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from torch import nn

WIDTH, HEADS, N, L, S = 4, 2, 2, 3, 5
INF = math.inf
SQUARE = [[False, True, False], [False, False, True], [True, False, False]]
WIDE = [[False, True, False, False, True], [False, False, True, True, False], [True, False, False, False, False]]
ADDED = [[0.0, -INF, 0.5, 1.0, -1.0], [0.0, 0.25, -INF, 0.0, 0.0], [-0.5, 0.0, 0.0, 2.0, -INF]]
SHORT = [[False, False, True], [False, False, False]]
PADDED = [[False, False, False, True, True], [False, True, False, False, False]]
CAUSAL = [[False, True, True], [False, False, True], [False, False, False]]
PER_HEAD = [WIDE, [row[::-1] for row in WIDE], WIDE[::-1], WIDE]
Q, K = (L, N, WIDTH), (S, N, WIDTH)

ATTENTION = [
    ({}, [Q], {}),
    ({"bias": False}, [Q, K], {}),
    ({}, [Q, K, (S, N, WIDTH)], {"attn_mask": WIDE}),
    ({}, [Q, (S, N, 3), (S, N, 2)], {"attn_mask": ADDED, "key_padding_mask": PADDED}),
    ({"bias": False}, [Q, (S, N, 3)], {"average_attn_weights": False}),
    ({"batch_first": True}, [(N, L, WIDTH), (N, S, WIDTH)], {"attn_mask": PER_HEAD, "average_attn_weights": False}),
    ({"batch_first": True}, [(N, L, WIDTH)], {"key_padding_mask": SHORT, "attn_mask": CAUSAL}),
    ({}, [(L, WIDTH), (S, WIDTH)], {"attn_mask": ADDED}),
    ({}, [Q, K], {"key_padding_mask": [[0.0, 1.0, -INF, 0.0, 0.5], [-1.0, 0.0, 0.0, 0.0, 0.0]], "attn_mask": ADDED}),
]
ENCODER = [
    ({}, [Q], {}),
    ({"norm_first": True, "activation": "gelu"}, [Q], {"src_mask": SQUARE}),
    ({"batch_first": True, "bias": False, "layer_norm_eps": 0.1}, [(N, L, WIDTH)], {"src_key_padding_mask": SHORT}),
    ({"norm_first": True}, [(L, WIDTH)], {"src_mask": CAUSAL}),
]
DECODER = [
    ({}, [Q, K], {}),
    ({"norm_first": True, "activation": "gelu"}, [Q, K], {"tgt_mask": CAUSAL, "memory_mask": WIDE}),
    ({"batch_first": True}, [(N, L, WIDTH), (N, S, WIDTH)], {"tgt_key_padding_mask": SHORT, "memory_key_padding_mask": PADDED}),
]  # fmt: skip
CASES = [
    *(("MultiheadAttention", 0, *case) for case in ATTENTION),
    *(("TransformerEncoderLayer", 0, *case) for case in ENCODER),
    *(("TransformerDecoderLayer", 0, *case) for case in DECODER),
    ("TransformerEncoderLayer", 2, {"norm_first": True}, [Q], {"mask": CAUSAL, "src_key_padding_mask": SHORT}),
    ("TransformerDecoderLayer", 2, {}, [Q, K], {"tgt_mask": CAUSAL}),
]


def filled(k, *shape):
    """Numbers that look random."""
    return torch.tensor(
        [0.7 * math.sin(12.9898 * i + 78.233 * k) for i in range(math.prod(shape))], dtype=torch.float64
    ).reshape(shape)


def run(kind, stacked, options, shapes, masks):
    more = {"dtype": torch.float64, **options}
    if kind == "MultiheadAttention":
        widths = {"kdim": shapes[1][-1], "vdim": shapes[-1][-1]} if len(shapes) > 1 else {}
        model = nn.MultiheadAttention(WIDTH, HEADS, **widths, **more)
    else:
        model = getattr(nn, kind)(WIDTH, HEADS, dim_feedforward=6, dropout=0.0, **more)
    if stacked:
        stack = getattr(nn, kind.removesuffix("Layer"))
        keywords = {"enable_nested_tensor": False} if kind == "TransformerEncoderLayer" else {}
        model = stack(model, stacked, nn.LayerNorm(WIDTH, dtype=torch.float64), **keywords)
    with torch.no_grad():
        for k, p in enumerate(model.parameters()):
            p.copy_(filled(k, *p.shape))
    inputs = [filled(100 + k, *shape).requires_grad_() for k, shape in enumerate(shapes)]
    given = {
        k: m
        if isinstance(m, bool)
        else torch.tensor(m, dtype=None if isinstance(m[0][0], (bool, list)) else torch.float64)
        for k, m in masks.items()
    }
    if kind == "MultiheadAttention":
        query, key, value = (*inputs, *[inputs[-1]] * 2)[:3]
        results = model(query, key, value, **given)
    else:
        results = (model(*inputs, **given),)
    sum((r * filled(200 + k, *r.shape)).sum() for k, r in enumerate(results)).backward()
    return {
        "layer": kind,
        "stacked": stacked,
        "options": options,
        "shapes": shapes,
        "masks": masks,
        "results": [r.tolist() for r in results],
        "gradients": [x.grad.tolist() for x in inputs],
        "parameters": {name: p.grad.tolist() for name, p in model.named_parameters()},
    }


def rounded(v):
    return [rounded(a) for a in v] if isinstance(v, (list, tuple)) else {k: rounded(a) for k, a in v.items()} if isinstance(v, dict) else (
        float(f"{v:.12g}") if isinstance(v, float) else v)  # fmt: skip


if __name__ == "__main__":
    made = {"torch": torch.__version__.partition("+")[0], "cases": [rounded(run(*case)) for case in CASES]}
    Path(__file__).with_name("transformer_reference.json").write_text(json.dumps(made) + "\n", encoding="utf-8")
