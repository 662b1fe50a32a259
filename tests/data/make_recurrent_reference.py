"""Writes recurrent_reference.json: outputs, states and gradients by PyTorch of its recurrent layers and cells, in float64.

Run by hand where PyTorch is installed (made with 2.13.0): ``python tests/data/make_recurrent_reference.py``. All numbers that go in
come from ``filled``, so only those that come out are stored; tests/test_recurrent.py fills the same. The loss is the sum of all
results, each times numbers of ``filled``.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

TIME, N, WIDTH, HIDDEN = 4, 3, 2, 3
LENGTHS = [2, 4, 3]
CASES = [
    *((kind, options, lengths, hx) for kind in ("RNN", "LSTM", "GRU") for options, lengths, hx in (
        ({}, None, False),
        ({"bias": False}, None, True),
        ({"bidirectional": True, "num_layers": 2, "batch_first": True}, None, True),
        ({}, LENGTHS, True),
        ({"bidirectional": True, "num_layers": 2}, LENGTHS, False),
        ({"batch_first": True, "num_layers": 2}, [4, 4, 1], True),
        ({}, [3, 3, 1], False),
    )),
    ("RNN", {"nonlinearity": "relu", "bidirectional": True}, LENGTHS, True),
    *((f"{kind}Cell", options, None, hx) for kind in ("RNN", "LSTM", "GRU") for options, hx in (({}, True), ({"bias": False}, False))),
]  # fmt: skip


def filled(k, *shape):
    """Numbers that look random."""
    return torch.tensor(
        [0.7 * math.sin(12.9898 * i + 78.233 * k) for i in range(math.prod(shape))], dtype=torch.float64
    ).reshape(shape)


def run(kind, options, lengths, hx):
    model = getattr(torch.nn, kind)(WIDTH, HIDDEN, dtype=torch.float64, **options)
    cell = kind.endswith("Cell")
    with torch.no_grad():
        for k, p in enumerate(model.parameters()):
            p.copy_(filled(k, *p.shape))
    batch_first = options.get("batch_first", False)
    shape = (N, WIDTH) if cell else (N, TIME, WIDTH) if batch_first else (TIME, N, WIDTH)
    x = filled(100, *shape).requires_grad_()
    directions = (1 + options.get("bidirectional", False)) * options.get("num_layers", 1)
    lead = () if cell else (directions,)
    states = (
        [filled(101 + k, *lead, N, HIDDEN).requires_grad_() for k in range(2 if "LSTM" in kind else 1)] if hx else []
    )
    given = (tuple(states) if len(states) > 1 else states[0]) if hx else None
    if cell:
        last = model(x, given)
        results = list(last) if isinstance(last, tuple) else [last]
    else:
        sequence = x if lengths is None else pack_padded_sequence(x, lengths, batch_first, enforce_sorted=False)
        y, last = model(sequence, given)
        if lengths is not None:
            y, _ = pad_packed_sequence(y, batch_first, total_length=TIME)
        results = [y, *(last if isinstance(last, tuple) else [last])]
    sum((r * filled(200 + k, *r.shape)).sum() for k, r in enumerate(results)).backward()
    return {
        "kind": kind,
        "options": options,
        "lengths": lengths,
        "hx": hx,
        "results": [r.tolist() for r in results],
        "gradients": [t.grad.tolist() for t in (x, *states)],
        "parameters": {name: p.grad.tolist() for name, p in model.named_parameters()},
    }


def rounded(v):
    return [rounded(a) for a in v] if isinstance(v, list) else {k: rounded(a) for k, a in v.items()} if isinstance(v, dict) else (
        float(f"{v:.12g}") if isinstance(v, float) else v)  # fmt: skip


if __name__ == "__main__":
    made = {"torch": torch.__version__.partition("+")[0], "cases": [rounded(run(*case)) for case in CASES]}
    Path(__file__).with_name("recurrent_reference.json").write_text(json.dumps(made) + "\n", encoding="utf-8")
