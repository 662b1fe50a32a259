"""Draw every schedule of the learning rate, over 100 steps of an optimizer.

Run ``python examples/schedules.py --out pictures``. It needs matplotlib.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from options import number, require

import jitrench_core as jt
import jitrench_optim as optim


class Result(NamedTuple):
    rates: dict[str, list[float]]
    file: Path


def schedules(steps: int) -> dict[str, Any]:
    """Each of an optimizer of its own, with the learning rate 1, in a form that shows what it does."""

    def new() -> optim.SGD:
        return optim.SGD([jt.tensor([0.0], requires_grad=True)], lr=1.0, momentum=0.9)

    n = max(1, steps // 10)
    a, b = new(), new()
    return {
        "StepLR": optim.StepLR(new(), 2 * n, gamma=0.5),
        "MultiStepLR": optim.MultiStepLR(new(), [3 * n, 5 * n, 9 * n], gamma=0.4),
        "ConstantLR": optim.ConstantLR(new(), 0.3, 3 * n),
        "LinearLR": optim.LinearLR(new(), 0.1, total_iters=4 * n),
        "ExponentialLR": optim.ExponentialLR(new(), 0.03 ** (1 / (10 * n))),
        "PolynomialLR": optim.PolynomialLR(new(), 9 * n, power=2.0),
        "CosineAnnealingLR": optim.CosineAnnealingLR(new(), 10 * n),
        "CosineAnnealingWarmRestarts": optim.CosineAnnealingWarmRestarts(new(), 2 * n, 2),
        "WarmupCosineLR": optim.WarmupCosineLR(new(), n, 9 * n, eta_min=0.05),
        "OneCycleLR": optim.OneCycleLR(new(), 1.0, steps),
        "CyclicLR, triangular2": optim.CyclicLR(new(), 0.1, 1.0, n, 2 * n, mode="triangular2"),
        "LambdaLR, 1 / sqrt(1 + step)": optim.LambdaLR(new(), lambda step: (1 + step) ** -0.5),
        "SequentialLR: linear, then cosine": optim.SequentialLR(
            a, [optim.LinearLR(a, 0.1, total_iters=2 * n), optim.CosineAnnealingLR(a, 8 * n)], [2 * n]
        ),
        "ChainedScheduler: linear times steps": optim.ChainedScheduler(
            [optim.LinearLR(b, 0.1, total_iters=3 * n), optim.StepLR(b, 2 * n, gamma=0.6)]
        ),
        "ReduceLROnPlateau": optim.ReduceLROnPlateau(new(), factor=0.5, patience=n),
    }


def main(argv: Sequence[str] | None = None) -> Result:
    """The learning rates of each schedule, and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    parser.add_argument("--steps", type=number(10), default=100)
    options = parser.parse_args(argv)
    require(matplotlib="matplotlib")
    options.out.mkdir(parents=True, exist_ok=True)

    rates: dict[str, list[float]] = {}
    momenta: dict[str, list[float]] = {}
    losses = [max(0.2, 1.0 - 2.5 * step / options.steps) for step in range(options.steps)]
    for name, schedule in schedules(options.steps).items():
        group = schedule.optimizer.groups[0]
        for loss in losses:
            rates.setdefault(name, []).append(group.lr.item())
            momenta.setdefault(name, []).append(group.options["momentum"])
            schedule.step(loss) if isinstance(schedule, optim.ReduceLROnPlateau) else schedule.step()

    file = options.out / "schedules.png"
    draw(rates, momenta, losses, file)
    print(f"schedules: {file.resolve()}")
    return Result(rates, file)


def draw(rates: dict[str, list[float]], momenta: dict[str, list[float]], losses: list[float], file: Path) -> None:
    """A panel for each: the rate; where it is cycled, the momentum; and the loss that a plateau is seen in."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 5, figsize=(14, 6.4), layout="constrained", sharex=True, sharey=True)
    for place, (name, values) in zip(axes.flatten(), rates.items(), strict=True):
        place.fill_between(range(len(values)), values, step="post", color="tab:blue", alpha=0.15, linewidth=0)
        place.step(range(len(values)), values, where="post", color="tab:blue", linewidth=1.6, label="learning rate")
        if len(set(momenta[name])) > 1:
            place.plot(momenta[name], color="tab:orange", linewidth=1.2, linestyle="--", label="momentum")
            place.legend(fontsize=7, frameon=False, loc="lower center" if name == "OneCycleLR" else "center right")
        if name == "ReduceLROnPlateau":
            place.plot(losses, color="tab:red", linewidth=1.2, linestyle=":", label="metric")
            place.legend(fontsize=7, frameon=False, loc="upper right")
        place.set_title(name, fontsize=9)
        place.set(xlim=(0, len(values) - 1), ylim=(0, 1.08))
        place.tick_params(labelsize=7)
        for side in ("top", "right"):
            place.spines[side].set_visible(False)
    figure.supxlabel("step", fontsize=9)
    figure.supylabel("part of the learning rate", fontsize=9)
    figure.savefig(file, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
