"""A mountain ridge from a few of its heights: a Gaussian process, its hyper-parameters by L-BFGS on the marginal likelihood.

Run ``python examples/gaussian_process.py --out pictures``. It needs matplotlib, which also brings the heights: a digital elevation
model of the ground near Jacksboro, Tennessee (United States Geological Survey).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from options import number, require

import jitrench_core as jt
import jitrench_optim as optim

Array = np.ndarray


class Hyper(NamedTuple):
    """Of the covariance: a length in km, a standard deviation of heights and one of their noise, in m."""

    length: float
    height: float
    noise: float


class Result(NamedTuple):
    hyper: Hyper
    log_likelihood: float
    evaluations: int
    covered: float
    error: float
    file: Path


def profile(row: int) -> tuple[Array, Array]:
    """A line from west to east: distances in km, and heights in m."""
    from matplotlib import cbook

    with cbook.get_sample_data("jacksboro_fault_dem.npz") as data:
        if row >= len(data["elevation"]):
            sys.exit(f"--row: the map has the rows 0 to {len(data['elevation']) - 1}")
        heights = data["elevation"][row].astype(float)
        latitude = data["ymin"] + (data["ymax"] - data["ymin"]) * row / len(data["elevation"])
        step = float(data["dx"]) * math.cos(math.radians(float(latitude))) * 111.32  # km in a degree of the equator
    return step * np.arange(len(heights)), heights


def kernel(distance: jt.Tensor, length: jt.Tensor, height: jt.Tensor) -> jt.Tensor:
    """Matérn's covariance of order 3/2: functions with one derivative, as ground has at this scale."""
    d = math.sqrt(3.0) * distance / length
    return height**2 * (1 + d) * jt.exp(-d)


def log_likelihood(theta: jt.Tensor, x: jt.Tensor, y: jt.Tensor) -> jt.Tensor:
    """The logarithm of the probability of ``y``, with ``theta`` the logarithms of the three hyper-parameters.

    By Cholesky's decomposition (Rasmussen and Williams, 2006, algorithm 2.1). Its gradient needs no formula.
    """
    length, height, noise = jt.unstack(jt.exp(theta))
    covariance = kernel(jt.abs(x[:, None] - x), length, height) + noise**2 * jt.eye(x.size)
    lower = jt.linalg.cholesky(covariance)
    half = jt.linalg.solve_triangular(lower, y)
    return -0.5 * jt.vecdot(half, half) - jt.log(jt.diagonal(lower)).sum() - 0.5 * x.size * math.log(2 * math.pi)


def predict(theta: jt.Tensor, x: jt.Tensor, y: jt.Tensor, at: jt.Tensor) -> tuple[Array, Array]:
    """The mean and the standard deviation of the heights at other places, given those at ``x``."""
    length, height, noise = jt.unstack(jt.exp(theta.detach()))
    lower = jt.linalg.cholesky(kernel(jt.abs(x[:, None] - x), length, height) + noise**2 * jt.eye(x.size))
    across = jt.linalg.solve_triangular(lower, kernel(jt.abs(x[:, None] - at), length, height))
    mean = across.mT @ jt.linalg.solve_triangular(lower, y)
    variance = height**2 + noise**2 - jt.vecdot(across, across, axis=0)
    return mean.numpy(), jt.sqrt(variance).numpy()


def main(argv: Sequence[str] | None = None) -> Result:
    """What the likelihood chose, how well the rest of the ridge is told by it, and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    parser.add_argument("--points", type=number(5), default=80, help="that are known")
    parser.add_argument("--row", type=number(0), default=60, help="of the map, from the north")
    parser.add_argument("--seed", type=number(0), default=0, help="of which points are known")
    parser.add_argument("--grid", type=number(2), default=60, help="of the picture of the likelihood")
    options = parser.parse_args(argv)
    require(matplotlib="matplotlib")
    options.out.mkdir(parents=True, exist_ok=True)

    x, heights = profile(options.row)
    if not options.points < len(x):
        sys.exit(f"--points: the profile has {len(x)} heights, of which at least one must be hidden")
    known = np.sort(np.random.default_rng(options.seed).choice(len(x), options.points, replace=False))
    hidden = np.setdiff1d(np.arange(len(x)), known)
    middle = heights[known].mean()
    here, y = jt.tensor(x[known]), jt.tensor(heights[known] - middle)

    theta = jt.log(jt.tensor([4.0, 300.0, 40.0]))
    theta.requires_grad = True
    path = [theta.tolist()]

    def loss() -> jt.Tensor:
        path.append(theta.tolist())
        return -log_likelihood(theta, here, y)

    found = optim.LBFGS([theta], tolerance_grad=1e-6, tolerance_change=0.0).minimize(loss)
    hyper = Hyper(*jt.exp(theta.detach()).tolist())
    print(f"{found.iterations} iterations of L-BFGS, {found.evaluations} evaluations; stopped by: {found.reason}")
    print(f"length {hyper.length:.3f} km, height {hyper.height:.1f} m, noise {hyper.noise:.2f} m")
    print(f"log marginal likelihood {-found.loss:.6f}")

    mean, deviation = predict(theta, here, y, jt.tensor(x))
    mean = mean + middle
    off = heights[hidden] - mean[hidden]
    covered = float(np.mean(np.abs(off) <= 2 * deviation[hidden]))
    error = float(np.sqrt(np.mean(off**2)))
    print(
        f"of {len(hidden)} heights that were hidden {covered:.1%} lie within two standard deviations; the error is {error:.1f} m"
    )

    file = options.out / "gaussian_process.png"
    draw(
        x,
        heights,
        known,
        mean,
        deviation,
        lambda t: log_likelihood(t, here, y),
        np.array(path),
        hyper,
        options.grid,
        file,
    )
    print(f"ridge: {file.resolve()}")
    return Result(hyper, -found.loss, found.evaluations, covered, error, file)


def draw(
    x: Array,
    heights: Array,
    known: Array,
    mean: Array,
    deviation: Array,
    likelihood: Callable[[jt.Tensor], jt.Tensor],
    path: Array,
    hyper: Hyper,
    size: int,
    file: Path,
) -> None:
    """The ridge as it is and as it is told, and the likelihood over length and noise with the way of L-BFGS."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(13, 4.6), layout="constrained", gridspec_kw={"width_ratios": (2.2, 1)}
    )
    left.fill_between(x, 0, heights, color="0.93")
    left.fill_between(
        x,
        mean - 2 * deviation,
        mean + 2 * deviation,
        color="tab:blue",
        alpha=0.25,
        linewidth=0,
        label="two standard deviations",
    )
    left.plot(x, heights, color="0.35", linewidth=1, label="the ground")
    left.plot(x, mean, color="tab:blue", linewidth=1.6, label="mean of the process")
    left.plot(x[known], heights[known], "o", color="black", markersize=3.5, label=f"{len(known)} known heights")
    low, high = (mean - 2 * deviation).min(), (mean + 2 * deviation).max()
    left.set(xlabel="km to the east", ylabel="height in m", xlim=(x[0], x[-1]), ylim=(low - 40, high + 120))
    left.set_title("The ground near Jacksboro, Tennessee, from west to east")
    left.legend(loc="upper left", ncols=4, fontsize=8, frameon=False)

    lengths = np.geomspace(min(hyper.length / 4, 0.1), max(hyper.length * 4, 10), size)
    noises = np.geomspace(min(hyper.noise / 4, 0.3), 100, size)
    theta = np.stack(np.broadcast_arrays(np.log(lengths), np.log(hyper.height), np.log(noises)[:, None]), axis=-1)
    surface = jt.vmap(jt.vmap(likelihood))(jt.tensor(theta)).numpy()
    # What is lost against the best, on a scale that shows both the top and the slopes.
    lost = np.log10(surface.max() - surface + 0.3)
    right.contourf(lengths, noises, -lost, levels=24, cmap="Blues")
    right.contour(lengths, noises, -lost, levels=12, colors="white", linewidths=0.4, linestyles="solid")
    steps = np.exp(path)
    right.plot(steps[:, 0], steps[:, 2], "o-", color="tab:orange", markersize=3, linewidth=1, label="what L-BFGS tries")
    right.plot(
        hyper.length, hyper.noise, "*", color="tab:red", markersize=14, markeredgecolor="white", label="the most likely"
    )
    right.set(xscale="log", yscale="log", xlabel="length in km", ylabel="noise in m")
    right.set(xlim=(lengths[0], lengths[-1]), ylim=(noises[0], noises[-1]))
    right.set_title("Log marginal likelihood")
    right.legend(loc="lower right", fontsize=8)
    figure.savefig(file, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
