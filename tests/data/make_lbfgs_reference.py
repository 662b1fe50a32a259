"""Write lbfgs_reference.json: the points that torch.optim.LBFGS visits, which tests/test_lbfgs.py compares with.

Run ``python tests/data/make_lbfgs_reference.py`` with PyTorch installed. The tests read the JSON only.

The problems, in float64: "rosenbrock" in n dimensions, the sum of 100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2 from -1.2, 1, -1.2, ...; and
"network", mean((tanh(x @ weight.T + bias) - y)**2) plus 0.01 times the sum of all squares of parameters. Kept are the
parameters, the loss that ``step`` returned and the evaluations so far, after some calls of ``step``.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

CASES = {
    "plain": ("network", {"lr": 0.5, "max_iter": 1}, 100),
    "plain_long": ("network", {"lr": 0.3, "max_iter": 7, "history_size": 4}, 15),
    "wolfe": ("network", {"line_search_fn": "strong_wolfe", "max_iter": 4}, 25),
    "wolfe_short_memory": ("network", {"line_search_fn": "strong_wolfe", "max_iter": 5, "history_size": 3}, 20),
    "wolfe_few_evaluations": ("network", {"line_search_fn": "strong_wolfe", "max_iter": 10, "max_eval": 4}, 20),
    "tolerant": ("network", {"line_search_fn": "strong_wolfe", "tolerance_grad": 1e-3, "tolerance_change": 1e-4}, 10),
    "rosenbrock_2": (
        "rosenbrock",
        {"line_search_fn": "strong_wolfe", "max_iter": 3, "tolerance_change": 1e-12, "n": 2},
        14,
    ),
    "rosenbrock_10": ("rosenbrock", {"line_search_fn": "strong_wolfe", "max_iter": 10, "n": 10}, 6),
    "rosenbrock_small": ("rosenbrock", {"lr": 1e-3, "max_iter": 20, "n": 4}, 10),
    "rosenbrock_long_steps": ("rosenbrock", {"line_search_fn": "strong_wolfe", "lr": 5.0, "max_iter": 2, "n": 2}, 12),
}


def rosenbrock(x: torch.Tensor) -> torch.Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def run(problem: str, options: dict, calls: int, data: dict) -> list[dict]:
    options = dict(options)
    if problem == "rosenbrock":
        n = options.pop("n")
        params = [torch.tensor([(-1.2, 1.0)[i % 2] for i in range(n)], requires_grad=True)]
    else:
        x, y = torch.tensor(data["x"]), torch.tensor(data["y"])
        params = [torch.tensor(data[name], requires_grad=True) for name in ("weight", "bias")]
    optimizer = torch.optim.LBFGS(params, **options)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        if problem == "rosenbrock":
            loss = rosenbrock(params[0])
        else:
            ridge = (params[0] ** 2).sum() + (params[1] ** 2).sum()
            loss = ((torch.tanh(x @ params[0].T + params[1]) - y) ** 2).mean() + 0.01 * ridge
        loss.backward()
        return loss

    found = []
    for _ in range(calls):
        loss = optimizer.step(closure).item()
        evaluations = optimizer.state[params[0]]["func_evals"]
        found.append({"loss": loss, "evaluations": evaluations, "params": [p.tolist() for p in params]})
    return found


def main() -> None:
    torch.set_default_dtype(torch.float64)
    generator = torch.Generator().manual_seed(0)
    shapes = {"x": (8, 3), "y": (8, 2), "weight": (2, 3), "bias": (2,)}
    data = {
        name: (torch.randint(-1500, 1500, shape, generator=generator) / 1000).tolist() for name, shape in shapes.items()
    }
    cases = {
        name: {"problem": problem, "options": options, "after": run(problem, options, calls, data)}
        for name, (problem, options, calls) in CASES.items()
    }
    made = {"made_by": f"PyTorch {torch.__version__}, float64, CPU", "data": data, "cases": cases}
    file = Path(__file__).with_name("lbfgs_reference.json")
    file.write_text(json.dumps(made, separators=(",", ":")).replace('},"', '},\n"') + "\n", encoding="utf-8")
    print(file, file.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
