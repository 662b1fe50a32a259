"""Fit a noisy sine with a network of two layers, save its weights, and animate how it learns.

Run ``python examples/sine_mlp.py --out pictures``. It needs matplotlib and pillow.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from options import number, rate, require

import jitrench_core as jt
import jitrench_nn as nn
import jitrench_optim as optim

POINTS = 100
HELD_OUT = 10_000
NOISE = 1 / 12  # the variance of a uniform distribution over an interval of length 1


class Result(NamedTuple):
    held_out: float
    files: list[Path]


def truth(x: Any) -> Any:
    """What the noise hides."""
    return np.sin(2 * np.pi * x)


def observe(n: int, generator: jt.random.Generator) -> tuple[jt.Tensor, jt.Tensor]:
    """``n`` points of a sine, each with noise from [-0.5, 0.5): two columns."""
    x = generator.uniform((n, 1))
    return x, jt.sin(2 * np.pi * x) + generator.uniform((n, 1), -0.5, 0.5)


def model(x: jt.Tensor) -> jt.Tensor:
    x = nn.Linear(10)(x)
    x = jt.sigmoid(x)
    return nn.Linear(1)(x)


def train(
    params: Any, x: jt.Tensor, y: jt.Tensor, steps: int, lr: float, watch: set[int]
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Train in place. The loss before each step and after the last; and at the steps in ``watch`` the fit on a grid."""
    grid = jt.asarray(np.linspace(0, 1, 201)[:, None])
    optimizer = optim.SGD(params, lr=lr)
    losses, fits = [], {}
    for step in range(steps + 1):
        if step in watch:
            with jt.no_grad():
                fits[step] = nn.apply(model, params, grid).numpy()[:, 0]
        loss = nn.mse_loss(nn.apply(model, params, x), y)
        losses.append(loss.item())
        if not losses[-1] < 1e100:
            sys.exit(f"the training diverged at step {step}: a learning rate of {lr:g} is too large; try --lr 0.1")
        if step % 5000 == 0:
            print(f"step {step:>6,}  loss {losses[-1]:.4f}")
        if step < steps:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return np.array(losses), fits


def draw(
    x: np.ndarray, y: np.ndarray, losses: np.ndarray, fits: dict[int, np.ndarray], still: Path, moving: Path
) -> None:
    """The data with the last fit, as a picture; and all fits, one after another, as an animation."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.animation import PillowWriter

    grid = np.linspace(0, 1, 201)
    last = max(fits)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.plot(x, y, "o", color="grey", alpha=0.5, markersize=4, label=f"{len(x)} noisy points")
    left.plot(grid, truth(grid), color="black", linestyle="--", linewidth=1, label="sin(2πx)")
    (fit,) = left.plot(grid, fits[last], color="tab:red", linewidth=2, label="network")
    left.set(xlabel="x", ylabel="y", xlim=(0, 1), ylim=(-1.7, 1.9), title="Data and fit")
    left.legend(loc="upper right")
    right.axhline(NOISE, color="black", linestyle="--", linewidth=1, label="variance of the noise")
    (curve,) = right.plot(np.arange(1, len(losses) + 1), losses, color="tab:red", label="loss")
    right.set(xlabel="step + 1", ylabel="mean squared error", xscale="log", title="Learning")
    right.set(xlim=(1, len(losses)), ylim=(0, max(losses) * 1.1))
    right.grid(alpha=0.3)
    right.legend(loc="upper right")
    title = figure.suptitle(f"after {last:,} steps: mean squared error {losses[last]:.4f}")
    figure.savefig(still, dpi=120)

    writer = PillowWriter(fps=8)
    with writer.saving(figure, str(moving), dpi=80):
        for step in (*sorted(fits), *[last] * 8):  # the last frame stands for a second
            fit.set_ydata(fits[step])
            curve.set_data(np.arange(1, step + 2), losses[: step + 1])
            title.set_text(f"after {step:,} steps: mean squared error {losses[step]:.4f}")
            writer.grab_frame()
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> Result:
    """The mean squared error on held-out points, and the files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    parser.add_argument("--steps", type=number(1), default=20_000)
    parser.add_argument("--lr", type=rate, default=0.1)
    parser.add_argument("--seed", type=number(0), default=0, help="of the points and the weights")
    parser.add_argument("--frames", type=number(1), default=60, help="of the animation")
    options = parser.parse_args(argv)
    require(matplotlib="matplotlib", PIL="pillow")
    options.out.mkdir(parents=True, exist_ok=True)

    generator = jt.random.Generator(options.seed)
    x, y = observe(POINTS, generator)
    params = nn.init(model, (None, 1), seed=options.seed)
    # Half of the frames for the fast beginning, half for the long way after it.
    half = -(-options.frames // 2)
    watch = {
        round(step) for step in (*np.geomspace(1, options.steps + 1, half) - 1, *np.linspace(0, options.steps, half))
    }
    watch.add(options.steps)
    losses, fits = train(params, x, y, options.steps, options.lr, watch)

    weights = options.out / "weight.jtw"
    nn.save(params, weights)
    new_x, new_y = observe(HELD_OUT, generator)
    with jt.no_grad():
        held_out = nn.mse_loss(nn.apply(model, nn.load(weights), new_x), new_y).item()
    print(
        f"mean squared error on {HELD_OUT:,} new points: {held_out:.4f}, {held_out / NOISE:.3f} times the noise's variance"
    )

    still, moving = options.out / "sine_mlp.png", options.out / "sine_mlp.gif"
    draw(x.numpy(), y.numpy(), losses, fits, still, moving)
    for what, file in (("weights", weights), ("fit", still), ("learning", moving)):
        print(f"{what + ':':<9} {file.resolve()}")
    return Result(held_out, [weights, still, moving])


if __name__ == "__main__":
    main()
