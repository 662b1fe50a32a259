"""Remember over long distances: two numbers of a long sequence are marked, and a network that reads it is to give their sum.

The adding problem of Hochreiter and Schmidhuber (1997). A plain recurrent network forgets the first number before the second comes, and can only
guess 1, the mean; gated recurrent units keep it. Sequences differ in length. Run ``python examples/gru_sequences.py --out pictures``.
It needs matplotlib and tqdm.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from options import number, rate, require

import jitrench_core as jt
import jitrench_nn as nn
import jitrench_optim as optim

MEAN = 1.0  # of the sum of two numbers from [0, 1)
VARIANCE = 1 / 6  # the error of who always says the mean
ROUNDS = 25  # each ends with a look at new sequences
NEW = 1000  # sequences to look at


class Result(NamedTuple):
    gru: float
    rnn: float
    files: list[Path]


class Sequences(NamedTuple):
    """Numbers and marks (time, n, 2), padded; lengths; what is to be found; and the distance of the marked numbers."""

    x: jt.Tensor
    lengths: jt.Tensor
    total: jt.Tensor
    distance: jt.Tensor


def sequences(n: int, longest: int, generator: Any) -> Sequences:
    """``n`` of them, of lengths from half of ``longest`` on: one mark in the first tenth of each, one in its second half."""
    lengths = generator.integers(longest // 2, longest + 1, (n,))
    values = generator.uniform((longest, n), dtype=jt.float32)
    first = jt.astype(generator.uniform((n,)) * lengths / 10, jt.int64)
    second = jt.astype((1 + generator.uniform((n,))) * lengths / 2, jt.int64)
    places = jt.arange(longest)[:, None]
    marks = jt.astype(jt.logical_or(places == first, places == second), jt.float32)
    return Sequences(jt.stack([values, marks], axis=-1), lengths, jt.sum(values * marks, axis=0), second - first)


def reader(layer: Callable[..., Any], hidden: int) -> Any:
    """A recurrent layer, and its last state as one number."""

    def model(x: jt.Tensor, lengths: Any) -> jt.Tensor:
        _, last = layer(hidden)(x, lengths=lengths)
        return nn.Linear(1)(last[0])[:, 0] + MEAN

    return model


def train(layer: Callable[..., Any], options: Any) -> nn.Trainer:
    """A trainer that has trained a reader on new sequences all the time."""

    def batch(indices: jt.Tensor, generator: Any) -> Any:
        return sequences(indices.shape[0], options.length, generator)

    def step(trainer: Any, batch: Any) -> jt.Tensor:
        x, lengths, total, _ = batch
        return nn.mse_loss(trainer(x, lengths), total)

    rounds = min(options.steps, ROUNDS)
    per_round = options.steps // rounds
    loader = nn.data.DataLoader(range(per_round * options.batch), options.batch, seed=options.seed, transform=batch)
    model = reader(layer, options.hidden)
    example = sequences(1, options.length, jt.random.Generator(options.seed))
    trainer = nn.Trainer(
        model,
        step=step,
        params=nn.init(model, example.x, example.lengths, seed=options.seed),
        optimizer=lambda params: optim.Adam(params, lr=options.lr),
        schedule=lambda optimizer: optim.CosineAnnealingLR(optimizer, rounds * per_round, options.lr / 100),
        schedule_per="step",
        clip=1.0,
        seed=options.seed,
    )
    trainer.fit(loader, epochs=rounds, validation=[new_sequences(options)])
    return trainer


def new_sequences(options: Any) -> Sequences:
    """Sequences that no network has seen."""
    return sequences(NEW, options.length, jt.random.Generator(options.seed + 1))


@jt.no_grad
def answers(trainer: nn.Trainer, new: Sequences) -> np.ndarray:
    return nn.apply(trainer.model, trainer.params, new.x, new.lengths).numpy()


def draw(trainers: dict[str, nn.Trainer], new: Sequences, per_round: int, file: Path) -> None:
    """The error over the steps, and each network's answers for new sequences."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 3, figsize=(13, 4.2), width_ratios=(1.25, 1, 1.15), layout="constrained")
    left, *others = panels
    left.axhline(VARIANCE, color="black", linestyle=":", label=f"always the mean ({VARIANCE:.3f})")
    for (name, trainer), panel, color in zip(trainers.items(), others, ("tab:orange", "tab:blue"), strict=True):
        errors = trainer.history["val_loss"]
        steps = [per_round * (i + 1) for i in range(len(errors))]
        left.plot(steps, errors, color=color, marker="o", markersize=3, label=f"{name} ({errors[-1]:.2g})")
        points = panel.scatter(new.total.numpy(), answers(trainer, new), c=new.distance.numpy(), s=6, cmap="viridis")
        panel.plot([0, 2], [0, 2], color="black", linewidth=1, linestyle="--")
        panel.set(xlabel="sum of the marked numbers", ylabel="answer", xlim=(0, 2), ylim=(-0.1, 2.1), title=name)
    figure.colorbar(points, ax=others[-1], label="steps between the two numbers")
    left.set(xlabel="step", ylabel="mean squared error, new sequences", yscale="log", title="Learning")
    left.grid(alpha=0.3)
    left.legend(loc="center right", fontsize=9)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> Result:
    """The mean squared errors of both networks on new sequences, and the files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    parser.add_argument("--steps", type=number(1), default=1500)
    parser.add_argument("--batch", type=number(1), default=64)
    parser.add_argument("--length", type=number(20), default=100, help="of the longest sequence")
    parser.add_argument("--hidden", type=number(1), default=64)
    parser.add_argument("--lr", type=rate, default=5e-3)
    parser.add_argument("--seed", type=number(0), default=0)
    options = parser.parse_args(argv)
    require(matplotlib="matplotlib", tqdm="tqdm")
    options.out.mkdir(parents=True, exist_ok=True)

    new = new_sequences(options)
    trainers = {"plain recurrent network": train(nn.RNN, options), "gated recurrent units": train(nn.GRU, options)}
    rnn, gru = (float(np.mean((answers(t, new) - new.total.numpy()) ** 2)) for t in trainers.values())
    print(
        f"mean squared error on {NEW:,} new sequences of {options.length // 2} to {options.length} numbers: {gru:.2g} by gated "
        f"recurrent units, {rnn:.2g} by a plain recurrent network, {VARIANCE:.2g} by always saying the mean"
    )
    picture = options.out / "gru_sequences.png"
    draw(trainers, new, options.steps // min(options.steps, ROUNDS), picture)
    print(f"picture:  {picture.resolve()}")
    return Result(gru, rnn, [picture])


if __name__ == "__main__":
    main()
