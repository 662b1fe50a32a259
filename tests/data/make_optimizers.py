"""Write optimizers_reference.json: 100 steps of each update rule in float64, which tests/test_optimizers.py compares with.

Run ``python tests/data/make_optimizers.py`` with PyTorch installed. The tests read the JSON only. Each step is that of ``torch.optim``'s
class of the name, whose Newton-Schulz iteration (Muon) is kept from rounding to bfloat16; Lion and LAMB, which PyTorch does not have,
are the formulas of their papers, in NumPy.

The problem, not quadratic, with parameters of 0 to 4 dimensions:

    mean((tanh(x @ weight.T + bias) @ readout.T * scale - y)**2) + mean(log(1 + exp(-z @ kernel.flatten()))) + sum(kernel**2) / 100

The bias has no gradient in the second of each three steps. A case names the parameters that its optimizer gets; the others stay.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

STEPS = 100
KEPT = (1, 10, 100)
SHAPES = {"scale": (), "bias": (4,), "weight": (4, 3), "readout": (2, 4), "kernel": (2, 3, 2, 2)}
DATA = {"x": (8, 3), "y": (8, 2), "z": (30, 24)}
MATRICES = ["weight", "readout"]
CASES = {
    "SGD": [
        {"lr": 0.1},
        {"lr": 0.05, "momentum": 0.9},
        {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"lr": 0.05, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.01},
        {"lr": 0.0001, "momentum": 0.5, "maximize": True, "weight_decay": 0.1},
    ],
    "Adam": [
        {"lr": 0.01},
        {"lr": 0.05, "betas": [0.8, 0.95], "eps": 1e-4, "weight_decay": 0.1},
        {"lr": 0.02, "amsgrad": True},
        {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True},
        {"lr": 0.01, "maximize": True, "weight_decay": 0.1},
    ],
    "AdamW": [{"lr": 0.01}, {"lr": 0.02, "weight_decay": 0.3, "amsgrad": True}, {"lr": 0.01, "maximize": True}],
    "AMSGrad": [{"lr": 0.02}, {"lr": 0.01, "betas": [0.8, 0.9], "weight_decay": 0.1}],
    "NAdam": [
        {},
        {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True},
        {"lr": 0.01, "weight_decay": 0.1, "momentum_decay": 0.1, "betas": [0.8, 0.9]},
        {"maximize": True},
    ],
    "RAdam": [
        {"lr": 0.01},
        {"lr": 0.02, "betas": [0.8, 0.9], "weight_decay": 0.1},
        {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
        {"lr": 0.01, "betas": [0.5, 0.5]},
    ],
    "Adamax": [{"lr": 0.01}, {"lr": 0.02, "betas": [0.8, 0.9], "eps": 1e-3, "weight_decay": 0.1, "maximize": True}],
    "RMSprop": [
        {"lr": 0.01},
        {"lr": 0.005, "centered": True},
        {"lr": 0.005, "momentum": 0.5, "alpha": 0.9, "eps": 1e-3},
        {"lr": 0.001, "centered": True, "momentum": 0.9, "weight_decay": 0.1, "maximize": True},
    ],
    "Adagrad": [
        {"lr": 0.05},
        {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5},
        {"lr": 0.01, "maximize": True, "eps": 1e-3},
    ],
    "Adadelta": [{}, {"lr": 0.5, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.1}, {"maximize": True}],
    "Adafactor": [
        {},
        {"lr": 0.05, "weight_decay": 0.1, "d": 2.0, "eps": [1e-6, 1e-2], "beta2_decay": -0.5},
        {"maximize": True},
    ],
    "Muon": [
        {"lr": 0.01},
        {"lr": 0.02, "nesterov": False, "weight_decay": 0.0, "adjust_lr_fn": "match_rms_adamw", "ns_steps": 3},
        {"lr": 0.01, "momentum": 0.5, "ns_coefficients": [2.0, -1.5, 0.5], "adjust_lr_fn": "original"},
    ],
    "Lion": [{"lr": 0.003}, {"lr": 0.01, "betas": [0.8, 0.9], "weight_decay": 0.1}, {"maximize": True}],
    "LAMB": [{"lr": 0.01}, {"lr": 0.02, "betas": [0.8, 0.9], "eps": 1e-3, "weight_decay": 0.0}, {"maximize": True}],
}


class Lion:
    """Chen et al. (2023), Algorithm 2; the defaults are those of its text and code."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0, maximize=False):
        self.params, self.lr, (self.b1, self.b2) = params, lr, betas
        self.decay, self.sign = weight_decay, -1 if maximize else 1
        self.m = [np.zeros(p.shape) for p in params]

    def step(self):
        for i, p in enumerate(self.params):
            if p.grad is not None:
                theta, g = p.detach().numpy(), self.sign * p.grad.numpy()
                c = self.b1 * self.m[i] + (1 - self.b1) * g
                self.m[i] = self.b2 * self.m[i] + (1 - self.b2) * g
                p.data = torch.tensor(theta - self.lr * (np.sign(c) + self.decay * theta))


class LAMB:
    """You et al. (2020), Algorithm 2, with phi the identity, bias correction, and a trust ratio of 1 where a norm is 0."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01, maximize=False):
        self.params, self.lr, (self.b1, self.b2), self.eps = params, lr, betas, eps
        self.decay, self.sign = weight_decay, -1 if maximize else 1
        self.m = [np.zeros(p.shape) for p in params]
        self.v = [np.zeros(p.shape) for p in params]
        self.t = [0 for p in params]

    def step(self):
        for i, p in enumerate(self.params):
            if p.grad is not None:
                theta, g = p.detach().numpy(), self.sign * p.grad.numpy()
                self.t[i] += 1
                self.m[i] = self.b1 * self.m[i] + (1 - self.b1) * g
                self.v[i] = self.b2 * self.v[i] + (1 - self.b2) * g**2
                m, v = self.m[i] / (1 - self.b1 ** self.t[i]), self.v[i] / (1 - self.b2 ** self.t[i])
                r = m / (np.sqrt(v) + self.eps) + self.decay * theta
                norms = np.linalg.norm(theta), np.linalg.norm(r)
                ratio = norms[0] / norms[1] if norms[0] > 0 and norms[1] > 0 else 1.0
                p.data = torch.tensor(theta - self.lr * ratio * r)


def make(kind: str, params: list[torch.Tensor], options: dict):
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    if kind == "AMSGrad":
        return torch.optim.Adam(params, amsgrad=True, **options)
    return (globals().get(kind) or getattr(torch.optim, kind))(params, **options)


def loss(p: dict, d: dict) -> torch.Tensor:
    scores = torch.tanh(d["x"] @ p["weight"].T + p["bias"]) @ p["readout"].T * p["scale"]
    logistic = torch.log1p(torch.exp(-d["z"] @ p["kernel"].flatten())).mean()
    return ((scores - d["y"]) ** 2).mean() + logistic + (p["kernel"] ** 2).sum() / 100


def run(kind: str, options: dict, data: dict) -> dict:
    """The parameters after the steps in KEPT."""
    d = {name: torch.tensor(data[name]) for name in DATA}
    p = {name: torch.tensor(data[name], requires_grad=True) for name in SHAPES}
    given = MATRICES if kind == "Muon" else list(SHAPES)
    optimizer = make(kind, [p[name] for name in given], options)
    found = {}
    for step in range(1, STEPS + 1):
        for x in p.values():
            x.grad = None
        loss(p, d).backward()
        if step % 3 == 2:
            p["bias"].grad = None
        optimizer.step()
        if step in KEPT:
            found[step] = {name: p[name].tolist() for name in given}
    return found


def main() -> None:
    torch.set_default_dtype(torch.float64)
    torch.Tensor.bfloat16 = lambda self: self.clone()
    rng = np.random.default_rng(20250801)
    data = {name: rng.normal(size=shape).round(3).tolist() for name, shape in (SHAPES | DATA).items()}
    data["scale"] = 1.5
    cases = [
        {"optimizer": kind, "options": options, "after": run(kind, options, data)}
        for kind, several in CASES.items()
        for options in several
    ]
    made = {"made_by": f"PyTorch {torch.__version__}, NumPy {np.__version__}, float64, CPU", "steps": STEPS}
    file = Path(__file__).with_name("optimizers_reference.json")
    text = json.dumps(made | {"data": data, "cases": cases}, separators=(",", ":"))
    file.write_text(text.replace('{"optimizer"', '\n{"optimizer"') + "\n")
    print(file, file.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
