"""Lynxes and hares: the Lotka-Volterra equations fitted to 21 years of pelts, by SciPy's optimizers with exact derivatives.

Run ``python examples/scipy_fit.py --out pictures``. It needs jitrench-scipy and matplotlib.

The pelts, in thousands, are those that the Hudson's Bay Company bought from 1900 to 1920 (Howard, Modeling Basics, 2009). Bob
Carpenter's study of them with Stan (2018), which samples the posterior of the same model, is what the numbers are compared with.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from options import number, require

import jitrench_core as jt
from jitrench_scipy import integrate, optimize

YEARS = np.arange(1900, 1921)
HARES = [
    30,
    47.2,
    70.2,
    77.4,
    36.3,
    20.6,
    18.1,
    21.4,
    22,
    25.4,
    27.1,
    40.3,
    57,
    76.6,
    52.3,
    19.5,
    11.2,
    7.6,
    14.6,
    16.2,
    24.7,
]
LYNXES = [4, 6.1, 9.8, 35.2, 59.4, 41.7, 19, 13, 8.3, 9.1, 7.4, 8, 12.3, 19.5, 45.7, 51.1, 29.7, 15.8, 9.7, 10.1, 8.6]
PELTS = np.stack([HARES, LYNXES], axis=1)
STAN = {
    "birth": 0.55,
    "eaten": 0.028,
    "death": 0.80,
    "fed": 0.024,
}  # posterior means, with deviations of a tenth of them
METHODS = {"Nelder-Mead": "values alone", "BFGS": "gradients", "trust-ncg": "and products with the Hessian"}
MARGIN = 0.15  # between the most likely rates and the means of the posterior, of each

Params = dict[str, jt.Tensor]


class Result(NamedTuple):
    rates: dict[str, float]
    errors: dict[str, float]
    evaluations: dict[str, int]
    files: list[Path]


def growth(logs: jt.Tensor, t: jt.Tensor, alone: jt.Tensor, together: jt.Tensor) -> jt.Tensor:
    """Lotka and Volterra's law for the logarithms: hares' = birth - eaten * lynxes, lynxes' = fed * hares - death."""
    return alone + together @ jt.exp(logs)


def populations(p: Params, years: Any, *, adjoint: bool = False) -> jt.Tensor:
    """Logarithms of both in each of the years: (years, 2). The steps are few, so derivatives go through them."""
    birth, eaten, death, fed = jt.unstack(jt.exp(p["rates"]))
    nothing = jt.zeros_like(birth)
    alone, together = jt.stack([birth, -death]), jt.stack([jt.stack([nothing, -eaten]), jt.stack([fed, nothing])])
    return integrate.odeint(growth, p["start"], years, alone, together, adjoint=adjoint, rtol=1e-6, atol=1e-6)


def loss(p: Params) -> jt.Tensor:
    """Minus the logarithm of the likelihood: pelts are off by factors, whose logarithms are normal."""
    off = jt.asarray(np.log(PELTS)) - populations(p, YEARS.astype(float))
    return jt.sum(0.5 * (off / jt.exp(p["noise"])) ** 2 + p["noise"])


def guess() -> Params:
    """From the data by eye: a cycle of ten years, and the means, where neither grows."""
    turn = 2 * np.pi / 10
    hares, lynxes = PELTS.mean(axis=0)
    rates = np.log([turn, turn / lynxes, turn, turn / hares])
    return {"rates": jt.tensor(rates), "start": jt.tensor(np.log(PELTS[0])), "noise": jt.tensor(np.log([0.5, 0.5]))}


def fit(method: str, most: int) -> tuple[Any, list[float]]:
    """SciPy's result, and the lowest loss after each evaluation of it."""
    values: list[float] = []

    def watched(p: Params) -> jt.Tensor:
        value = loss(p)
        values.append(jt.stop_gradient(value))
        return value

    limit = {"maxfev": 5 * most} if method == "Nelder-Mead" else {"maxiter": most}
    options = {"xatol": 1e-5, "fatol": 1e-7} if method == "Nelder-Mead" else {"gtol": 1e-4}
    found = optimize.minimize(watched, guess(), method=method, options=options | limit)
    return found, values


def covariance(p: Params) -> np.ndarray:
    """The inverse of the Hessian at the minimum: of Laplace's approximation of the posterior under flat priors."""
    blocks = jt.hessian(loss)(p)
    return np.linalg.inv(np.block([[blocks[a][b].numpy() for b in p] for a in p]))


def unpacked(v: np.ndarray, p: Params) -> Params:
    parts = np.split(v, np.cumsum([x.size for x in p.values()])[:-1])
    return {name: jt.tensor(part) for name, part in zip(p, parts, strict=True)}


def draw(p: Params, around: list[Params], traces: dict[str, list[float]], file: Path) -> None:
    """Pelts and populations over time; the cycle; and how fast each method got there."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fine = np.linspace(YEARS[0], YEARS[-1], 401)
    best = np.exp(populations(p, fine).numpy())
    others = np.exp(np.stack([populations(q, fine).numpy() for q in around])) if around else best[None]
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(15, 4.6), width_ratios=(1.5, 1, 1), layout="constrained"
    )
    for i, (name, color) in enumerate((("hares", "tab:blue"), ("lynxes", "tab:red"))):
        low, high = np.quantile(others[:, :, i], (0.05, 0.95), axis=0)
        left.fill_between(fine, low, high, color=color, alpha=0.2, linewidth=0)
        left.plot(fine, best[:, i], color=color, label=name)
        left.plot(YEARS, PELTS[:, i], "o", color=color, markersize=4)
    left.set(
        xlabel="year",
        ylabel="pelts, thousands",
        title="Pelts (dots), the fit, and 90% of its curves",
        xlim=(1900, 1920),
    )
    left.set_ylim(0, 95)
    left.xaxis.get_major_locator().set_params(integer=True)
    left.legend(loc="upper center")
    left.grid(alpha=0.3)
    for other in others[:20]:
        middle.plot(*other.T, color="grey", linewidth=0.5, alpha=0.5)
    middle.plot(*best.T, color="black", label="fit")
    middle.plot(*PELTS.T, "o:", color="tab:green", markersize=4, linewidth=0.8, label="pelts")
    middle.set(xlabel="hares", ylabel="lynxes", title="The cycle", xlim=(0, 95), ylim=(0, 75))
    middle.legend()
    middle.grid(alpha=0.3)
    lowest = min(min(values) for values in traces.values())
    for name, values in traces.items():
        above = np.maximum(np.minimum.accumulate(values) - lowest, 1e-9)
        right.plot(np.arange(1, len(values) + 1), above, label=f"{name}: {METHODS[name]}")
    right.set(
        xlabel="evaluations", ylabel="above the minimum", title="Minus the log-likelihood", xscale="log", yscale="log"
    )
    right.set_ylim(1e-12, 300)
    right.legend(fontsize="small", loc="lower left")
    right.grid(alpha=0.3)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> Result:
    """The rates with their standard errors, how often each method evaluated the model, and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    parser.add_argument(
        "--methods", nargs="+", choices=list(METHODS), default=list(METHODS), help="the last one is reported"
    )
    parser.add_argument("--steps", type=number(1), default=200, help="at most, of each method")
    parser.add_argument("--curves", type=number(0), default=100, help="drawn from around the fit")
    parser.add_argument("--seed", type=number(0), default=0, help="of these")
    options = parser.parse_args(argv)
    require(scipy="scipy", matplotlib="matplotlib")
    options.out.mkdir(parents=True, exist_ok=True)
    traces, evaluations = {}, {}
    for method in options.methods:
        found, values = fit(method, options.steps)
        traces[method] = [value.item() for value in values]
        evaluations[method] = len(values)
        print(f"{method:<12}{len(values):>5} evaluations, minus log-likelihood {found.fun:.6f}")
    p = found.x
    spread = covariance(p)
    deviations = np.sqrt(np.diag(spread))[:4]
    rates = dict(zip(STAN, np.exp(p["rates"].numpy()).tolist(), strict=True))
    errors = dict(zip(STAN, (np.exp(p["rates"].numpy()) * deviations).tolist(), strict=True))
    for name in STAN:
        print(f"{name:<12}{rates[name]:.4f} +- {errors[name]:.4f} a year; mean of Stan's posterior {STAN[name]:g}")
    center = np.concatenate([p[name].numpy() for name in p])
    rng = np.random.default_rng(options.seed)
    around = [unpacked(v, p) for v in rng.multivariate_normal(center, spread, options.curves)]
    file = options.out / "scipy_fit.png"
    with jt.no_grad():
        draw(p, around, traces, file)
    print(f"picture: {file.resolve()}")
    return Result(rates, errors, evaluations, [file])


if __name__ == "__main__":
    result = main()
    if any(abs(result.rates[name] - STAN[name]) > MARGIN * STAN[name] for name in STAN):
        sys.exit(1)
