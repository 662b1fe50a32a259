"""Gradient descent in the Rosenbrock valley from (0, 5), and an animation of the path.

Run ``python examples/rosenbrock.py --out pictures``. It needs matplotlib and pillow; ``--frames 0`` needs neither.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from options import number, rate, require

import jitrench_core as jt


def rosenbrock(x, y):
    """100 (y - x^2)^2 + (x - 1)^2; its minimum is 0, at (1, 1)."""
    return 100 * (y - x**2) ** 2 + (x - 1) ** 2


def descend(steps: int, lr: float) -> np.ndarray:
    """The path of gradient descent, its start included: shape (steps + 1, 2)."""
    x, y = jt.Scalar(0.0), jt.Scalar(5.0)
    path = [(x.item(), y.item())]
    for step in range(1, steps + 1):
        x.zero_grad()
        y.zero_grad()
        rosenbrock(x, y).backward()
        with jt.no_grad():
            x -= lr * x.grad
            y -= lr * y.grad
        path.append((x.item(), y.item()))
        # Beyond this the function's value, about x^4, is no longer a number.
        if not max(map(abs, path[-1])) < 1e70:
            sys.exit(f"the descent diverged at step {step}: a learning rate of {lr:g} is too large; try --lr 0.001")
    return np.array(path)


def animate(path: np.ndarray, file: Path, frames: int) -> None:
    """A GIF of the path on the function's contours, in steps that grow geometrically."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.animation import PillowWriter

    steps = len(path) - 1
    shown = np.unique(np.geomspace(1, steps + 1, frames).astype(int)) - 1
    values = rosenbrock(path[:, 0], path[:, 1])
    x, y = np.meshgrid(np.linspace(-2.6, 2.6, 200), np.linspace(-0.6, 5.4, 200))

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    left.contourf(x, y, np.log10(rosenbrock(x, y) + 1e-3), levels=20, cmap="Blues")
    left.plot(1, 1, "*", color="white", markersize=12, markeredgecolor="black", label="minimum, (1, 1)", linestyle="")
    (line,) = left.plot([], [], color="tab:orange", linewidth=1, label="path")
    (tip,) = left.plot([], [], "o", color="tab:red", label="where the descent is")
    left.set(xlabel="x", ylabel="y", xlim=(-2.6, 2.6), ylim=(-0.6, 5.4))
    left.legend(loc="lower left", fontsize="small")
    right.set(xlabel="step + 1", ylabel="f(x, y)", xscale="log", yscale="log", xlim=(1, 1.5 * (steps + 1)))
    right.set_ylim(values.min() / 3, values.max() * 3)
    right.plot(np.arange(1, steps + 2), values, color="tab:orange", alpha=0.25, label="the whole descent")
    (curve,) = right.plot([], [], color="tab:orange", label="so far")
    (point,) = right.plot([], [], "o", color="tab:red")
    right.legend(loc="lower left", fontsize="small")
    title = figure.suptitle("")

    writer = PillowWriter(fps=8)
    with writer.saving(figure, str(file), dpi=80):
        for i in (*shown, *[steps] * 8):  # the last frame stands for a second
            line.set_data(path[: i + 1, 0], path[: i + 1, 1])
            tip.set_data(path[i : i + 1, 0], path[i : i + 1, 1])
            curve.set_data(np.arange(1, i + 2), values[: i + 1])
            point.set_data([i + 1], values[i : i + 1])
            title.set_text(f"step {i}: f({path[i, 0]:.4f}, {path[i, 1]:.4f}) = {values[i]:.3g}")
            writer.grab_frame()
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> tuple[float, float, Path | None]:
    """The end point, and where the animation is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    parser.add_argument("--steps", type=number(1), default=10_000)
    parser.add_argument("--lr", type=rate, default=1e-3)
    parser.add_argument("--frames", type=number(0), default=48, help="of the animation; 0 draws none")
    options = parser.parse_args(argv)
    if options.frames:
        require(matplotlib="matplotlib", PIL="pillow")
    options.out.mkdir(parents=True, exist_ok=True)

    path = descend(options.steps, options.lr)
    x, y = path[-1].tolist()
    print(f"after {options.steps} steps: f({x:.8f}, {y:.8f}) = {rosenbrock(x, y):.3e}")
    if not options.frames:
        return x, y, None
    file = options.out / "rosenbrock.gif"
    animate(path, file, options.frames)
    print(f"path: {file.resolve()}")
    return x, y, file


if __name__ == "__main__":
    main()
