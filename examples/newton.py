"""Newton's method on f(x) = x^4 - 2 x^2 from 2, with both derivatives by autodiff, and a picture of the iterates.

Run ``python examples/newton.py --out pictures``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

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
        with jt.no_grad():
            x -= slope / curvature
        iterates.append(x.item())
    return iterates


def draw(iterates: list[float], file: Path) -> None:
    """The iterates on the curve, and their distance from 1."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    x = np.array(iterates)
    grid = np.linspace(0.4, max(2.1, x.max() * 1.02), 200)
    error = np.maximum(np.abs(x - 1), 1e-17)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    left.plot(grid, f(grid), color="tab:blue")
    left.plot(x, f(x), "o-", color="tab:red", linewidth=0.8)
    left.set(xlabel="x", ylabel="x⁴ - 2x²")
    right.semilogy(error, "o-", color="tab:red")
    right.set(xlabel="step", ylabel="|x - 1| (exact: 1e-17)")
    figure.savefig(file, dpi=80)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> tuple[float, Path]:
    """Where it ends, and where the picture is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    parser.add_argument("--start", type=float, default=2.0)
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args(argv)
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
