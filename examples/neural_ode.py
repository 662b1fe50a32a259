"""Learn the law of a damped pendulum from noisy measurements: a neural ODE, differentiated through a loop of Runge-Kutta steps.

Run ``python examples/neural_ode.py --out pictures``. It needs matplotlib and tqdm.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from options import number, rate, require

import jitrench_core as jt
import jitrench_nn as nn
import jitrench_optim as optim

STEP = 0.1  # seconds between two measurements
NOISE = 0.03  # of each measurement, its standard deviation
WINDOW = 12  # steps that the network has to follow the measurements
DAMPING = 0.25
TRAINED = 16  # swings, each of 80 measurements
LONG = 200  # steps into the future of swings that it has not seen
GOAL = 0.15  # radians, of the root mean squared error there

Field = Callable[[jt.Tensor], jt.Tensor]


class Result(NamedTuple):
    held_out: float
    linear: float
    files: list[Path]


def pendulum(state: jt.Tensor) -> jt.Tensor:
    """What is to be found: angle' = velocity, velocity' = -sin(angle) - damping * velocity."""
    angle, velocity = state[..., 0], state[..., 1]
    return jt.stack([velocity, -jt.sin(angle) - DAMPING * velocity], axis=-1)


def network(state: jt.Tensor) -> jt.Tensor:
    return nn.Linear(2)(jt.tanh(nn.Linear(32)(jt.tanh(nn.Linear(32)(state)))))


def linear(state: jt.Tensor) -> jt.Tensor:
    """What one would fit without a network; right where swings are small."""
    return nn.Linear(2)(state)


def advance(field: Field, state: jt.Tensor, h: float = STEP) -> jt.Tensor:
    """One step of the classical Runge-Kutta method; its error is of order h^5."""
    k1 = field(state)
    k2 = field(state + 0.5 * h * k1)
    k3 = field(state + 0.5 * h * k2)
    k4 = field(state + h * k3)
    return state + (h / 6) * (k1 + 2.0 * (k2 + k3) + k4)


def follow(field: Field, state: jt.Tensor, steps: int, *, thrifty: bool = False) -> jt.Tensor:
    """The states after each step, and the first: shape (steps + 1, ..., 2).

    ``thrifty`` keeps for the gradient only the states, and computes each step again on the way back.
    """
    step = jt.checkpoint(lambda s: advance(field, s)) if thrifty else lambda s: advance(field, s)
    states = [state]
    for _ in range(steps):
        states.append(step(states[-1]))
    return jt.stack(states)


def swings(n: int, steps: int, generator: jt.random.Generator) -> jt.Tensor:
    """Swings that start at rest anywhere up to 2.8 rad, or with a push: (steps + 1, n, 2)."""
    angle = generator.uniform((n, 1), -2.8, 2.8)
    velocity = generator.uniform((n, 1), -1.0, 1.0)
    with jt.no_grad():
        return follow(pendulum, jt.concat([angle, velocity], axis=1), steps)


def windows(measured: jt.Tensor) -> jt.Tensor:
    """Every run of WINDOW + 1 measurements of one swing: (WINDOW + 1, how many, 2)."""
    starts = measured.shape[0] - WINDOW
    return jt.stack([jt.reshape(measured[i : i + starts], (-1, 2)) for i in range(WINDOW + 1)])


def train(model: Field, data: jt.Tensor, options: Any, bar: Any) -> tuple[Any, list[float]]:
    """Parameters with which the model follows the measurements, and the loss of each step."""
    params = nn.init(model, (1, 2), seed=options.seed)
    optimizer = optim.Adam(params, lr=options.lr)
    generator = jt.random.Generator(options.seed)
    losses = []
    for step in range(options.steps):
        optimizer.lr = options.lr * 0.5 * (1 + np.cos(np.pi * step / options.steps))
        chosen = data[:, generator.permutation(data.shape[1])[: options.batch]]
        optimizer.zero_grad()
        with_params = lambda state: nn.apply(model, params, state)  # noqa: E731
        guess = follow(with_params, chosen[0], WINDOW, thrifty=options.thrifty)
        loss = nn.mse_loss(guess[1:], chosen[1:])
        losses.append(loss.item())
        if not losses[-1] < 1e6:
            sys.exit(
                f"the training diverged at step {step}: a learning rate of {options.lr:g} is too large; try --lr 0.003"
            )
        loss.backward()
        optimizer.step()
        bar.update()
    return params, losses


def error(guess: np.ndarray, truth: np.ndarray) -> float:
    """Root mean squared error of the angles."""
    return nn.metrics.root_mean_squared_error(guess[..., 0].ravel(), truth[..., 0].ravel()).item()


def draw(
    found: Field, measured: np.ndarray, truth: np.ndarray, guesses: dict[str, Any], losses: Any, file: Path
) -> None:
    """The learned field and swings in it; angles over time; and the loss."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(13, 6.4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.1, 1))
    axes = left.subplots()
    angle, velocity = np.meshgrid(np.linspace(-3.2, 3.2, 41), np.linspace(-2.6, 2.6, 41))
    points = jt.asarray(np.stack([angle, velocity], axis=-1))
    with jt.no_grad():
        arrows = found(points).numpy()
        off = np.linalg.norm(arrows - pendulum(points).numpy(), axis=-1)
    shades = axes.contourf(angle, velocity, np.minimum(off, 0.6), levels=np.linspace(0, 0.6, 13), cmap="Oranges")
    axes.streamplot(
        angle, velocity, *np.moveaxis(arrows, -1, 0), color="grey", density=1.3, linewidth=0.6, arrowsize=0.8
    )
    axes.plot(*measured.reshape(-1, 2).T, ".", color="tab:blue", markersize=2, alpha=0.35, label="measurements")
    for i in range(truth.shape[1]):
        axes.plot(*truth[:, i].T, color="black", linewidth=2.2, label="unseen swings" if not i else None)
        axes.plot(*guesses["network"][:, i].T, "--", color="tab:red", linewidth=1.6, label="network" if not i else None)
    axes.plot(*truth[0].T, "o", color="black", markersize=5)
    axes.set(xlabel="angle, rad", ylabel="angular velocity, rad/s", xlim=(-3.2, 3.2), ylim=(-2.6, 2.6))
    axes.set_title("The field that the network learned, and how far it is off")
    axes.legend(loc="upper right", fontsize="small", framealpha=0.95, markerscale=3)
    left.colorbar(shades, ax=axes, label="distance from the pendulum's law, at most 0.6", shrink=0.8)

    above, below = right.subplots(2, 1, height_ratios=(1.4, 1))
    time = np.arange(truth.shape[0]) * STEP
    above.plot(time, truth[:, 0, 0], color="black", linewidth=2.2, label="pendulum")
    for (name, guess), color, style in zip(guesses.items(), ("tab:red", "tab:green"), ("--", ":"), strict=True):
        label = f"{name}, off by {error(guess[:, 0], truth[:, 0]):.3f} rad here, {error(guess, truth):.3f} in all {truth.shape[1]}"
        above.plot(time, guess[:, 0, 0], style, color=color, linewidth=1.6, label=label)
    above.axvspan(0, WINDOW * STEP, color="tab:blue", alpha=0.15, label="as far as it was trained")
    above.set(xlabel="time, s", ylabel="angle, rad", title="An unseen swing", xlim=(0, time[-1]))
    above.grid(alpha=0.3)
    above.legend(loc="lower right", fontsize="small")
    below.plot(losses, color="tab:red", linewidth=0.8, label="network")
    below.axhline(2 * NOISE**2, color="black", linestyle="--", linewidth=1, label="noise of both ends")
    below.set(xlabel="step", ylabel="mean squared error", yscale="log", title="Learning", xlim=(0, len(losses)))
    below.grid(alpha=0.3)
    below.legend(fontsize="small")
    figure.savefig(file, dpi=120)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> Result:
    """Errors of the network and of a linear law on unseen swings, and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    parser.add_argument("--steps", type=number(1), default=1500, help="of the training")
    parser.add_argument("--batch", type=number(1), default=256, help="windows of measurements a step")
    parser.add_argument("--lr", type=rate, default=0.01)
    parser.add_argument("--seed", type=number(0), default=0, help="of the swings, the noise and the weights")
    parser.add_argument("--thrifty", action="store_true", help="keep the states alone, and compute steps twice")
    options = parser.parse_args(argv)
    require(matplotlib="matplotlib", tqdm="tqdm")
    from tqdm import tqdm

    options.out.mkdir(parents=True, exist_ok=True)
    generator = jt.random.Generator(options.seed)
    measured = swings(TRAINED, 79, generator)
    measured = measured + NOISE * generator.normal(measured.shape)
    data = windows(measured)
    truth = swings(8, LONG, generator)
    with tqdm(total=2 * options.steps, unit="step") as bar:
        laws = {}
        for model in (network, linear):
            params, losses = train(model, data, options, bar)
            laws[model.__name__] = (lambda state, m=model, p=params: nn.apply(m, p, state)), losses
    with jt.no_grad():
        guesses = {name: follow(law, truth[0], LONG).numpy() for name, (law, _) in laws.items()}
    errors = {name: error(guess, truth.numpy()) for name, guess in guesses.items()}
    for name, off in errors.items():
        print(f"{name + ':':<9}{off:.4f} rad off over {LONG * STEP:.0f} s of 8 swings that it has not seen")
    file = options.out / "neural_ode.png"
    draw(laws["network"][0], measured.numpy(), truth.numpy(), guesses, laws["network"][1], file)
    print(f"picture: {file.resolve()}")
    return Result(errors["network"], errors["linear"], [file])


if __name__ == "__main__":
    if main().held_out > GOAL:
        sys.exit(1)
