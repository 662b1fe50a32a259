"""Newton's method on f(x) = x^4 - 2 x^2 from 2, with both derivatives by autodiff, and a picture of the iterates.

Run ``python examples/newton.py --out pictures``. It needs matplotlib.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from options import number, require

import jitrench_core as jt


def f(x):
    """x^4 - 2 x^2; its minima are -1, at -1 and 1."""
    return x**4 - 2 * x**2


def newton(start: float, steps: int) -> list[float]:
    """The iterates, the start included."""
    x = jt.Scalar(start)
    iterates = [x.item()]
    for _ in range(steps):
        x.zero_grad()
        f(x).backward(create_graph=True)
        slope = x.grad  # recorded, so it has a derivative of its own
        x.zero_grad()
        slope.backward()
        curvature = x.grad
        if curvature.item() == 0:
            sys.exit(f"no step from x = {iterates[-1]}: the curvature is 0; take another --start")
        with jt.no_grad():
            x -= slope / curvature
        iterates.append(x.item())
    return iterates


def draw(iterates: list[float], file: Path) -> None:
    """The iterates on the curve, and their distance from where they end."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    x = np.array(iterates)
    goal = min((-1.0, 0.0, 1.0), key=lambda point: abs(x[-1] - point))  # where the slope is 0
    error = np.abs(x - goal)
    reached = error == 0
    grid = np.linspace(min(0.4, x.min() - 0.1), max(2.1, x.max() * 1.02), 400)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.plot(grid, f(grid), color="tab:blue", label="f(x) = x⁴ - 2x²")
    left.plot(x, f(x), "o-", color="tab:red", linewidth=0.8, label="Newton's steps")
    left.plot(
        x[:1], f(x[:1]), "s", color="tab:red", markersize=9, markerfacecolor="white", label=f"start, x = {x[0]:g}"
    )
    left.plot(goal, f(goal), "*", color="gold", markersize=14, markeredgecolor="black", label=f"goal, x = {goal:g}")
    left.set(xlabel="x", ylabel="f(x)", title="On the curve")
    left.legend(loc="upper left")
    # A distance of 0 has no place on a logarithmic axis: it is drawn on a line of its own, below all others.
    floor = 1e-17
    right.semilogy(np.maximum(error, floor), "-", color="tab:red", linewidth=0.8)
    right.semilogy(np.flatnonzero(~reached), error[~reached], "o", color="tab:red", label=f"distance from {goal:g}")
    if reached.any():
        right.semilogy(
            np.flatnonzero(reached),
            np.full(reached.sum(), floor),
            "o",
            color="tab:red",
            markerfacecolor="white",
            label="exactly 0, drawn at the bottom",
        )
    right.set(
        xlabel="step", ylabel=f"|x - {goal:g}|".replace("|x - 0|", "|x|"), title="The error squares with each step"
    )
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.grid(alpha=0.3)
    right.legend(loc="upper right")
    figure.suptitle("Newton's method, both derivatives by automatic differentiation")
    figure.savefig(file, dpi=100)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> tuple[float, Path]:
    """Where it ends, and where the picture is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    parser.add_argument("--start", type=float, default=2.0, help="above 0.58 it finds the minimum at 1")
    parser.add_argument("--steps", type=number(0), default=10)
    options = parser.parse_args(argv)
    if not abs(options.start) <= 1e6:
        parser.error(f"argument --start: expected a number from -1e6 to 1e6, got {options.start}")
    require(matplotlib="matplotlib")
    options.out.mkdir(parents=True, exist_ok=True)

    iterates = newton(options.start, options.steps)
    for i, x in enumerate(iterates):
        print(f"step {i:2}: x = {x:.15f}, f(x) = {f(x):.15f}")
    file = options.out / "newton.png"
    draw(iterates, file)
    print(f"picture: {file.resolve()}")
    return iterates[-1], file


if __name__ == "__main__":
    main()
