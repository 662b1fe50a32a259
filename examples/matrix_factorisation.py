"""Fill in the missing pixels of handwritten digits by a matrix factorisation, as a shop guesses ratings.

The 1,797 digits of scikit-learn are a table of 64 columns, of which half the entries are hidden. A product of two thin matrices,
fitted to the others, guesses them. Run ``python examples/matrix_factorisation.py --out pictures``. It needs scikit-learn,
matplotlib and tqdm.
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

RANKS = (1, 2, 4, 8, 12, 20, 32)
GOAL = 0.75  # of the baseline's error on the hidden pixels


class Result(NamedTuple):
    held_out: float
    baseline: float
    files: list[Path]


class Table(NamedTuple):
    """Pixels from 0 to 1, and which are seen, hidden to choose the rank by, and hidden to the end."""

    pixels: jt.Tensor
    seen: jt.Tensor
    choosing: jt.Tensor
    held_out: jt.Tensor


class Errors(NamedTuple):
    """Root mean squared errors on these three."""

    seen: float
    choosing: float
    held_out: float


class Factorisation(nn.Module):
    """Guesses of a whole table: a number for each row and each column, and the product of what is known of both."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def forward(self, table: jt.Tensor) -> jt.Tensor:
        rows, columns = table.shape
        guess = self.parameter("row", (rows, 1), nn.zeros) + self.parameter("column", (1, columns), nn.zeros)
        if self.rank:
            small = lambda generator, shape, dtype: 0.1 * generator.normal(shape, dtype=dtype)  # noqa: E731
            left = self.parameter("left", (rows, self.rank), small)
            guess = guess + left @ self.parameter("right", (self.rank, columns), small)
        return guess


def hide(pixels: jt.Tensor, part: float, seed: int) -> Table:
    """Hide pixels at random; a fifth of them choose the rank."""
    draw = jt.random.Generator(seed).uniform(pixels.shape)
    return Table(pixels, draw >= part, draw < part / 5, jt.logical_and(draw >= part / 5, draw < part))


@jt.no_grad
def guess(model: Factorisation, params: Any, table: Table) -> jt.Tensor:
    return jt.clip(nn.apply(model, params, table.pixels), 0.0, 1.0)


def measure(model: Factorisation, params: Any, table: Table) -> Errors:
    rmse, guessed = nn.metrics.root_mean_squared_error, guess(model, params, table)
    return Errors(*(rmse(guessed[mask], table.pixels[mask]).item() for mask in table[1:]))


def fit(table: Table, rank: int, steps: int, decay: float, seed: int, bar: Any) -> tuple[Factorisation, Any]:
    """The factorisation that fits what is seen, with a penalty on large factors."""
    model, seen = Factorisation(rank), table.seen.astype(jt.float64)
    params = nn.init(model, table.pixels, seed=seed)
    optimizer = optim.Adam(params, lr=0.05)
    for step in range(steps):
        optimizer.lr = 0.05 * (1 - step / steps)
        optimizer.zero_grad()
        residual = (nn.apply(model, params, table.pixels) - table.pixels) * seen
        loss = jt.sum(residual**2)
        for name in ("left", "right"):
            if name in params:
                loss = loss + decay * jt.sum(params[name] ** 2)
        loss.backward()
        optimizer.step()
        bar.update()
    return model, params


def draw(
    table: Table,
    guessed: np.ndarray,
    ranks: Sequence[int],
    curves: list[Errors],
    best: int,
    baseline: float,
    file: Path,
) -> None:
    """Ten digits as they are, as they were seen, and as they were guessed; and the errors by rank."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(12, 5.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.05))
    pixels, seen = table.pixels.numpy(), table.seen.numpy()
    shown = np.where(seen, pixels, np.nan)
    gray = plt.get_cmap("gray_r").with_extremes(bad="#f4c7b8")
    titles = ("seen", "guessed", "truth")
    grid = above.subplots(3, 12)
    for axes, title, images in zip(grid, titles, (shown, guessed, pixels), strict=True):
        for i, ax in enumerate(axes):
            ax.imshow(images[i].reshape(8, 8), cmap=gray, vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
        axes[0].set_ylabel(title)
    hidden = 1 - seen.mean()
    above.suptitle(f"{hidden:.0%} of the pixels are hidden (pink); rank {best} guesses them")

    left, right = below.subplots(1, 2)
    left.plot(ranks, [c.seen for c in curves], "o-", color="tab:blue", label="seen pixels")
    left.plot(ranks, [c.held_out for c in curves], "o-", color="tab:orange", label="hidden pixels")
    left.axhline(baseline, color="black", linestyle="--", linewidth=1, label="rows and columns alone, hidden")
    left.axvline(best, color="tab:orange", linewidth=6, alpha=0.2)
    left.set(xlabel="rank", ylabel="root mean squared error", title="How much structure there is", ylim=(0, None))
    left.set_xticks(ranks)
    left.grid(alpha=0.3)
    left.legend(fontsize="small")
    mask = table.held_out.numpy()
    bins = (np.arange(18) / 16 - 1 / 32, np.linspace(0, 1, 50))  # pixels are 0, 1/16, ..., 1
    *_, image = right.hist2d(pixels[mask], guessed[mask], bins=bins, cmap="Blues", norm="log")
    right.plot([0, 1], [0, 1], color="tab:orange", linewidth=1)
    right.set(xlabel="hidden pixel", ylabel="guess", title="Each of the hidden pixels")
    below.colorbar(image, ax=right, label="pixels")
    figure.savefig(file, dpi=120)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> Result:
    """The error on hidden pixels, that of the baseline, and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    parser.add_argument("--steps", type=number(1), default=400, help="of the fit, for each rank")
    parser.add_argument("--ranks", type=number(1), nargs="+", default=RANKS, help="to try")
    parser.add_argument("--decay", type=rate, default=2.0, help="of the factors")
    parser.add_argument("--hidden", type=rate, default=0.5, help="the part of the pixels that is hidden")
    parser.add_argument("--seed", type=number(0), default=0, help="of the hidden pixels and the first factors")
    options = parser.parse_args(argv)
    if options.hidden >= 1:
        parser.error("argument --hidden: expected a number below 1")
    require(sklearn="scikit-learn", matplotlib="matplotlib", tqdm="tqdm")
    from sklearn import datasets
    from tqdm import tqdm

    options.out.mkdir(parents=True, exist_ok=True)
    pixels = jt.asarray(datasets.load_digits().data / 16)
    table = hide(pixels, options.hidden, options.seed)

    ranks = (0, *sorted(set(options.ranks)))
    found = []
    with tqdm(total=len(ranks) * options.steps, unit="step") as bar:
        for rank in ranks:
            model, params = fit(table, rank, options.steps, options.decay, options.seed, bar)
            found.append((measure(model, params, table), model, params))
    baseline = found[0][0].held_out
    best = min(range(1, len(ranks)), key=lambda i: found[i][0].choosing)
    (_, _, held_out), model, params = found[best]
    print(nn.summary(model, pixels, params=params))
    print(f"error on hidden pixels: {held_out:.4f} of rank {ranks[best]}, {baseline:.4f} of rows and columns alone")
    file = options.out / "matrix_factorisation.png"
    guessed = guess(model, params, table).numpy()
    draw(table, guessed, ranks[1:], [errors for errors, _, _ in found[1:]], ranks[best], baseline, file)
    print(f"picture: {file.resolve()}")
    return Result(held_out, baseline, [file])


if __name__ == "__main__":
    result = main()
    if result.held_out > GOAL * result.baseline:
        sys.exit(1)
