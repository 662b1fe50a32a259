"""Hessians, gradients and products, side by side in one run: JITrench, closed forms in NumPy and, where installed, PyTorch.

    tox run -e bench-hessian-torch -- --repeat 50

The function is Rosenbrock's of 50 variables, in float64. PyTorch computes its Hessian in each way that it offers, and the
fastest counts. Samplers take turns and minima are compared, as in eager.py, whose helpers these are.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

from eager import Samplers, calls, environment, in_turn, np, show, torch

import jitrench_core as jt

N = 50
TARGET = 3.0  # times the fastest of PyTorch's


def rosenbrock(x: Any) -> Any:
    """The sum of 100 (x[i + 1] - x[i]^2)^2 + (1 - x[i])^2."""
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def closed_gradient(x: Any) -> Any:
    """By hand."""
    r = x[1:] - x[:-1] ** 2
    g = np.zeros_like(x)
    g[:-1] = -400.0 * x[:-1] * r - 2.0 * (1.0 - x[:-1])
    g[1:] += 200.0 * r
    return g


def closed_hessian(x: Any) -> Any:
    """By hand."""
    main = np.zeros_like(x)
    main[:-1] = 1200.0 * x[:-1] ** 2 - 400.0 * x[1:] + 2.0
    main[1:] += 200.0
    beside = -400.0 * x[:-1]
    return np.diag(main) + np.diag(beside, 1) + np.diag(beside, -1)


def cases() -> dict[str, Samplers]:
    """By title, a sampler for each way; all are checked against the closed form first."""
    a, b = np.random.default_rng(0).normal(size=(2, N))
    x, v = jt.tensor(a), jt.tensor(b)
    ways: dict[str, dict[str, Any]] = {
        "Hessian": {
            "JITrench": partial(jt.hessian(rosenbrock), x),
            "JITrench, reverse over reverse": partial(jt.jacobian(jt.grad(rosenbrock)), x),
            "NumPy": lambda: closed_hessian(a),
        },
        "Hessian times a vector": {
            "JITrench": lambda: jt.hvp(rosenbrock, (x,), (v,))[0],
            "NumPy": lambda: closed_hessian(a) @ b,
        },
        "gradient": {"JITrench": partial(jt.grad(rosenbrock), x), "NumPy": lambda: closed_gradient(a)},
    }
    if torch:
        p, q = torch.tensor(a), torch.tensor(b)
        old = torch.autograd.functional
        ways["Hessian"] |= {
            "PyTorch, func.hessian": partial(torch.func.hessian(rosenbrock), p),
            "PyTorch, func.jacrev twice": partial(torch.func.jacrev(torch.func.jacrev(rosenbrock)), p),
            "PyTorch, autograd, vectorised": lambda: old.hessian(rosenbrock, p, vectorize=True),
            "PyTorch, autograd, loop": lambda: old.hessian(rosenbrock, p),
        }
        ways["Hessian times a vector"] |= {
            "PyTorch, func": lambda: torch.func.jvp(torch.func.grad(rosenbrock), (p,), (q,))[1],
            "PyTorch, autograd": lambda: old.vhp(rosenbrock, p, q)[1],
        }
        ways["gradient"] |= {"PyTorch, func": partial(torch.func.grad(rosenbrock), p)}
    for functions in ways.values():
        want = functions["NumPy"]()
        for f in functions.values():
            np.testing.assert_allclose(np.asarray(f()), want, rtol=1e-11, atol=1e-10)
    return {f"{title}, Rosenbrock of {N} variables": calls(5, functions) for title, functions in ways.items()}


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description="Hessians of JITrench beside PyTorch's")
    parser.add_argument("--repeat", type=int, default=30, help="samples of each way (default 30)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the times there, too")
    args = parser.parse_args()
    found = environment()
    print("\n".join(f"{name:10}{value}" for name, value in found.items()))
    times: dict[str, dict[str, dict[str, float]]] = {}
    for title, samplers in cases().items():
        times[title] = in_turn(samplers, args.repeat)
        show(title, times[title])
    if torch:
        row = next(iter(times.values()))
        best = min((way for way in row if way.startswith("PyTorch")), key=lambda way: row[way]["minimum"])
        ratio = row["JITrench"]["minimum"] / row[best]["minimum"]
        reached = "reached" if ratio <= TARGET else "NOT REACHED"
        print(f"\nHessian: {ratio:.2f} times {best}   at most {TARGET:g}   {reached}")
    if args.json:
        args.json.write_text(json.dumps({"environment": found, "times": times}, indent=2) + "\n")


if __name__ == "__main__":
    main()
