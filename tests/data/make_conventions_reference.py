"""Writes conventions_reference.json: values and gradients by PyTorch at kinks, ties, zeros and edges.

Run by hand where PyTorch is installed (made with 2.13.0): ``python tests/data/make_conventions_reference.py``. Each case names
a function of this table, its arrays and its attributes; tests/test_conventions.py computes the same with JITrench.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch

INF, NAN = math.inf, math.nan
NORMS = [[1.0, -2.0, 2.0], [0.0, 3.0, -3.0], [0.0, 0.0, 0.0]]
RANGE = [-2.0, -1.0, 0.0, 1.0, 2.0]
WIDE = [-1000.0, -1.0, 0.0, 1.0, 1000.0]

CASES = [
    ("abs", [[-1.0, 0.0, 2.0]], {}),
    ("relu", [[-1.0, 0.0, 2.0, NAN]], {}),
    ("sign", [[-1.0, 0.0, 2.0]], {}),
    ("floor", [[-1.5, 0.0, 2.5]], {}),
    ("sqrt", [[0.0, 4.0]], {}),
    ("sigmoid", [WIDE], {}),
    ("softplus", [WIDE], {}),
    ("tanh", [WIDE], {}),
    ("maximum", [[1.0, 2.0, 3.0, NAN], [1.0, 3.0, 2.0, 1.0]], {}),
    ("minimum", [[1.0, 2.0, 3.0, 1.0], [1.0, 3.0, 2.0, NAN]], {}),
    ("clip", [RANGE], {"min": -1.0, "max": 1.0}),
    ("clip", [RANGE], {"min": -1.0}),
    ("clip", [RANGE, [-1.0, -1.0, -1.0, -1.0, 3.0], [1.0, 1.0, 1.0, 1.0, 0.0]], {}),
    *(("pow", [[0.0, 1.0, 2.0]], {"exponent": e}) for e in (2, 3, 1, 0, 0.5, 2.5, -1)),
    *(("pow", [[0.0, 1.0, 2.0]], {"base": b}) for b in (2.0, 0.0)),
    ("pow", [[0.0, 0.0, 1.0, 2.0, 3.0], [0.0, 2.0, 0.0, -1.0, 2.5]], {}),
    ("atan2", [[1.0, -2.0, 0.0, 0.0], [2.0, -1.0, 1.0, 0.0]], {}),
    ("remainder", [[5.3, -5.3, 5.3], [2.0, 2.0, -2.0]], {}),
    ("max", [[[1.0, 3.0, 3.0], [2.0, 2.0, 1.0]]], {"axis": 1}),
    ("min", [[[1.0, 3.0, 3.0], [2.0, 2.0, 1.0]]], {"axis": 0}),
    ("std", [[1.0, 1.0]], {"correction": 0}),
    ("std", [[1.0, 4.0, 2.5]], {"correction": 1}),
    ("var", [[1.0, 4.0, 2.5]], {"correction": 1}),
    *(("prod", [x], {}) for x in ([1.0, 2.0, 3.0], [0.0, 2.0, 3.0], [0.0, 0.0, 3.0])),
    *(("vector_norm", [NORMS], {"ord": p, "axis": 1}) for p in (2, 1, INF, -INF, 3, 1.5, 0)),
    ("logsumexp", [[[1000.0, 1000.0], [-1000.0, 0.0], [-INF, 1.0]]], {"axis": 1}),
    ("softmax", [[[1.0, 2.0, 3.0], [1000.0, 0.0, -1000.0]]], {"axis": 1}),
    ("log_softmax", [[[1.0, 2.0, 3.0], [1000.0, 0.0, -1000.0]]], {"axis": 1}),
]

TORCH = {
    "clip": lambda x, *bounds, **attrs: torch.clamp(x, *bounds, **attrs),
    "pow": lambda x, *e, exponent=None, base=None: (
        x ** e[0] if e else x**exponent if exponent is not None else torch.tensor(base, dtype=x.dtype) ** x
    ),
    "max": lambda x, axis: torch.amax(x, axis),
    "min": lambda x, axis: torch.amin(x, axis),
    "softplus": torch.nn.functional.softplus,
    "vector_norm": lambda x, ord, axis: torch.linalg.vector_norm(x, ord, dim=axis),
    "logsumexp": lambda x, axis: torch.logsumexp(x, axis),
    "softmax": lambda x, axis: torch.softmax(x, axis),
    "log_softmax": lambda x, axis: torch.log_softmax(x, axis),
}


def main() -> None:
    rows = []
    for name, arrays, attrs in CASES:
        tensors = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in arrays]
        y = TORCH.get(name, getattr(torch, name, None))(*tensors, **attrs)
        weight = torch.arange(1.0, y.numel() + 1, dtype=torch.float64).reshape(y.shape)
        gradients = torch.autograd.grad((y * weight).sum(), tensors, allow_unused=True)
        rows.append(
            {
                "op": name,
                "arrays": arrays,
                "attrs": attrs,
                "value": y.tolist(),
                "gradients": [
                    (torch.zeros_like(t) if g is None else g).tolist() for t, g in zip(tensors, gradients, strict=True)
                ],
            }
        )
    out = {"made with": f"PyTorch {torch.__version__}", "weights of the outputs": "1, 2, 3, ...", "cases": rows}
    Path(__file__).with_name("conventions_reference.json").write_text(
        json.dumps(out, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
