"""Write schedules_reference.json: the learning rates of PyTorch's schedules, which tests/test_schedules.py compares with.

Run ``python tests/data/make_schedules_reference.py`` with PyTorch installed. The tests read the JSON only.

An optimizer has two groups with the learning rates 0.5 and 0.02. For each case: its rates before the first step and after each of
``STEPS`` steps; for cycles the momentum, too. ``"set"`` gives learning rates that somebody else sets for all groups after a step.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import torch

STEPS = 40
LRS = (0.5, 0.02)
# name: class, options (a list of such pairs as "schedulers"), and other settings
CASES = {
    "step": ("StepLR", {"step_size": 7}),
    "step_half": ("StepLR", {"step_size": 1, "gamma": 0.5}),
    "multi_step": ("MultiStepLR", {"milestones": [30, 5, 12, 12], "gamma": 0.3}),
    "constant": ("ConstantLR", {}),
    "constant_long": ("ConstantLR", {"factor": 0.25, "total_iters": 11}),
    "linear": ("LinearLR", {}),
    "linear_down": ("LinearLR", {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 17}),
    "exponential": ("ExponentialLR", {"gamma": 0.9}),
    "polynomial": ("PolynomialLR", {"total_iters": 30}),
    "polynomial_square": ("PolynomialLR", {"total_iters": 25, "power": 2.0}),
    "cosine": ("CosineAnnealingLR", {"T_max": 35}),
    "cosine_min": ("CosineAnnealingLR", {"T_max": 13, "eta_min": 0.01}),
    "restarts": ("CosineAnnealingWarmRestarts", {"T_0": 9}),
    "restarts_longer": ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.001}),
    "one_cycle": ("OneCycleLR", {"max_lr": [1.0, 0.1], "total_steps": 41}),
    "one_cycle_linear": ("OneCycleLR", {"max_lr": 0.3, "epochs": 9, "steps_per_epoch": 5, "anneal_strategy": "linear"}),
    "one_cycle_three": (
        "OneCycleLR",
        {"max_lr": 0.3, "total_steps": 41, "three_phase": True, "pct_start": 0.37, "div_factor": 10.0},
    ),
    "one_cycle_three_linear": (
        "OneCycleLR",
        {"max_lr": 0.3, "total_steps": 50, "three_phase": True, "anneal_strategy": "linear", "final_div_factor": 50.0},
    ),
    "one_cycle_betas": ("OneCycleLR", {"max_lr": 0.3, "total_steps": 41, "base_momentum": 0.8}, {"optimizer": "Adam"}),
    "one_cycle_alone": ("OneCycleLR", {"max_lr": 0.3, "total_steps": 41, "cycle_momentum": False}),
    "cyclic": ("CyclicLR", {"base_lr": 0.1, "max_lr": [1.0, 0.5], "step_size_up": 4}),
    "cyclic_2": (
        "CyclicLR",
        {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": 5, "step_size_down": 8, "mode": "triangular2"},
        {"optimizer": "Adam"},
    ),
    "cyclic_exp": (
        "CyclicLR",
        {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": 6, "mode": "exp_range", "gamma": 0.95, "cycle_momentum": False},
    ),
    "warm_up_then_cosine": (
        "SequentialLR",
        {
            "schedulers": [("LinearLR", {"total_iters": 6}), ("CosineAnnealingLR", {"T_max": 30, "eta_min": 1e-3})],
            "milestones": [6],
        },
    ),
    "three_in_turn": (
        "SequentialLR",
        {
            "schedulers": [
                ("ConstantLR", {"factor": 0.1, "total_iters": 20}),
                ("ExponentialLR", {"gamma": 0.8}),
                ("StepLR", {"step_size": 4, "gamma": 0.5}),
            ],
            "milestones": [10, 21],
        },
    ),
    "chained": (
        "ChainedScheduler",
        {"schedulers": [("ConstantLR", {"factor": 0.1, "total_iters": 20}), ("ExponentialLR", {"gamma": 0.9})]},
    ),
    "chained_cosine": (
        "ChainedScheduler",
        {"schedulers": [("LinearLR", {"total_iters": 4}), ("CosineAnnealingLR", {"T_max": 45}), ("StepLR", {"step_size": 9})]},
    ),
    "step_set": ("StepLR", {"step_size": 7}, {"set": {"10": 0.3, "25": 0.2}}),
    "cosine_set": ("CosineAnnealingLR", {"T_max": 45}, {"set": {"10": 0.3}}),
}  # fmt: skip
PLATEAUS = {
    "plain": {"patience": 2},
    "max_abs": {"mode": "max", "factor": 0.5, "patience": 1, "threshold": 0.02, "threshold_mode": "abs"},
    "rel_cooldown": {"factor": 0.3, "patience": 0, "threshold": 0.1, "cooldown": 3, "min_lr": [0.01, 0.001]},
    "max_rel": {"mode": "max", "patience": 1, "factor": 0.9},
    "eps": {"patience": 0, "factor": 0.5, "eps": 0.05},
}
METRICS = [
    1.0,
    0.9,
    0.95,
    0.91,
    0.9,
    0.89,
    float("nan"),
    0.889,
    0.8,
    0.8,
    0.79,
    0.81,
    0.8,
    0.7,
    0.65,
    0.9,
    1.2,
    1.3,
    1.25,
    1.2,
]
METRICS += [
    0.6,
    0.6,
    0.6,
    0.6,
    0.6,
    0.59999,
    0.5,
    0.52,
    0.53,
    0.4,
    0.41,
    0.42,
    0.43,
    0.44,
    0.45,
    0.46,
    0.47,
    0.48,
    0.49,
    0.5,
]


def make_optimizer(kind: str) -> torch.optim.Optimizer:
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in LRS]
    return getattr(torch.optim, kind)(groups, **({"momentum": 0.9} if kind == "SGD" else {}))


def build(optimizer: torch.optim.Optimizer, name: str, options: dict) -> torch.optim.lr_scheduler.LRScheduler:
    options = dict(options)
    kind = getattr(torch.optim.lr_scheduler, name)
    if "schedulers" in options:
        options["schedulers"] = [build(optimizer, *spec) for spec in options["schedulers"]]
    if name == "ChainedScheduler":
        return kind(optimizer=optimizer, **options)
    return kind(optimizer, **options)


def momenta(optimizer: torch.optim.Optimizer) -> list[float]:
    return [group["betas"][0] if "betas" in group else group["momentum"] for group in optimizer.param_groups]


def run(name: str, options: dict, settings: dict) -> dict:
    optimizer = make_optimizer(settings.get("optimizer", "SGD"))
    schedule = build(optimizer, name, options)
    rates, found = [], []
    for step in range(STEPS + 1):
        if step:
            optimizer.step()
            schedule.step()
        rates.append([group["lr"] for group in optimizer.param_groups])
        found.append(momenta(optimizer))
        if str(step) in settings.get("set", {}):
            for group in optimizer.param_groups:
                group["lr"] = settings["set"][str(step)]
    case = {"schedule": name, "options": options, **settings, "rates": rates}
    return {**case, "momenta": found} if name in ("OneCycleLR", "CyclicLR") else case


def plateau(options: dict) -> dict:
    optimizer = make_optimizer("SGD")
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
    rates = []
    for metric in METRICS:
        schedule.step(metric)
        rates.append([group["lr"] for group in optimizer.param_groups])
    return {"options": options, "rates": rates}


def fractions() -> list[float]:
    """Warm restarts that are stepped to parts of epochs."""
    optimizer = make_optimizer("SGD")
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=3, T_mult=2)
    rates = []
    for i in range(STEPS):
        schedule.step(i / 3)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def main() -> None:
    warnings.simplefilter("ignore")
    made = {
        "made_by": f"PyTorch {torch.__version__}, CPU",
        "lrs": LRS,
        "steps": STEPS,
        "metrics": ["nan" if m != m else m for m in METRICS],
        "fractions": fractions(),
        "plateaus": {name: plateau(options) for name, options in PLATEAUS.items()},
        "cases": {name: run(case[0], case[1], case[2] if len(case) > 2 else {}) for name, case in CASES.items()},
    }
    file = Path(__file__).with_name("schedules_reference.json")
    file.write_text(json.dumps(made, separators=(",", ":")).replace('},"', '},\n"') + "\n", encoding="utf-8")
    print(file, file.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
