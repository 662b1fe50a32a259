"""Write optim_reference.json: 100 steps of PyTorch's optimizers, in float64, which tests/test_optim.py compares with.

Run ``python tests/data/make_optim_reference.py`` with PyTorch installed. The tests read the JSON only.

The problem: parameters ``weight`` (2, 3) and ``bias`` (2,), and the loss mean((tanh(x @ weight.T + bias) - y)**2). In the cases
with ``bias_every`` the bias takes part in the loss in each n-th step only and has no gradient in the others.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

STEPS = 100
KEPT = (1, 2, 3, 10, 25, 50, 75, 100)
CASES = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd_momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}),
    "sgd_nesterov": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "sgd_decay": ("SGD", {"lr": 0.1, "weight_decay": 0.01}),
    "sgd_all": ("SGD", {"lr": 0.02, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    "sgd_sometimes": ("SGD", {"lr": 0.05, "momentum": 0.9, "bias_every": 3}),
    "adam": ("Adam", {"lr": 0.01}),
    "adam_betas": ("Adam", {"lr": 0.05, "betas": [0.8, 0.95], "eps": 1e-4}),
    "adam_decay": ("Adam", {"lr": 0.02, "weight_decay": 0.1}),
    "adam_sometimes": ("Adam", {"lr": 0.02, "bias_every": 3}),
}


def run(kind: str, options: dict, data: dict) -> dict:
    """The parameters after the steps in KEPT."""
    options = dict(options)
    every = options.pop("bias_every", 1)
    x, y = torch.tensor(data["x"]), torch.tensor(data["y"])
    weight, bias = (torch.tensor(data[name], requires_grad=True) for name in ("weight", "bias"))
    assert weight.dtype == torch.float64 == x.dtype
    optimizer = getattr(torch.optim, kind)([weight, bias], **options)
    found = {}
    for step in range(1, STEPS + 1):
        optimizer.zero_grad(set_to_none=True)
        scores = x @ weight.T + (bias if (step - 1) % every == 0 else 0)
        ((torch.tanh(scores) - y) ** 2).mean().backward()
        optimizer.step()
        if step in KEPT:
            found[step] = {"weight": weight.tolist(), "bias": bias.tolist()}
    return found


def main() -> None:
    torch.set_default_dtype(torch.float64)
    rng = np.random.default_rng(20240601)
    shapes = {"x": (8, 3), "y": (8, 2), "weight": (2, 3), "bias": (2,)}
    data = {name: rng.normal(size=shape).round(3).tolist() for name, shape in shapes.items()}
    cases = {
        name: {"optimizer": kind, "options": options, "after": run(kind, options, data)}
        for name, (kind, options) in CASES.items()
    }
    made = {"made_by": f"PyTorch {torch.__version__}, float64, CPU", "steps": STEPS, "data": data, "cases": cases}
    file = Path(__file__).with_name("optim_reference.json")
    file.write_text(json.dumps(made, indent=None, separators=(",", ":")).replace('},"', '},\n"') + "\n")
    print(file, file.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
