"""Logistic and Poisson regression by Newton's method, with standard errors from the Hessian, against scikit-learn.

Which of 569 tumours are malignant, by 30 measurements of their cells; and how many chin-ups, sit-ups and jumps 20 men manage, by
their weight, waist and pulse. Run ``python examples/logistic_poisson.py --out pictures``. It needs scikit-learn and matplotlib.
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

F = nn.functional
EXERCISES = ("chin-ups", "sit-ups", "jumps")


class Fit(NamedTuple):
    """Coefficients, the intercept last; their standard errors; scikit-learn's; and how many steps it took."""

    weights: np.ndarray
    errors: np.ndarray
    expected: np.ndarray
    steps: int

    @property
    def difference(self) -> float:
        return float(np.abs(self.weights - self.expected).max())


class Result(NamedTuple):
    logistic: Fit
    poisson: dict[str, Fit]
    accuracy: float
    difference: float
    files: list[Path]


def standardized(x: np.ndarray) -> jt.Tensor:
    """Columns of mean 0 and variance 1, and a column of ones for the intercept."""
    return jt.asarray(np.column_stack([(x - x.mean(0)) / x.std(0), np.ones(len(x))]))


def penalty(w: jt.Tensor, strength: float) -> jt.Tensor:
    """On all coefficients but the intercept."""
    return 0.5 * strength * jt.sum(w[:-1] ** 2)


def newton(loss: Callable[[Any], Any], w: jt.Tensor, limit: int) -> tuple[jt.Tensor, jt.Tensor, int]:
    """The minimum of a convex loss, its Hessian there, and the number of steps; a step that climbs is halved."""
    for step in range(limit + 1):
        value, gradient = jt.value_and_grad(loss)(w)
        hessian = jt.hessian(loss)(w)
        move = jt.linalg.solve(hessian, gradient)
        # Half of this is what the quadratic model still promises.
        decrement = jt.sum(gradient * move).item()
        if decrement < 1e-20 * max(1.0, abs(value.item())) or step == limit:
            return w, hessian, step
        size = 1.0
        while size > 1e-6 and not loss(w - size * move).item() <= value.item() + 1e-12 * abs(value.item()):
            size /= 2
        w = w - size * move
    raise AssertionError


def logistic(x: np.ndarray, target: np.ndarray, strength: float, limit: int) -> Fit:
    from sklearn.linear_model import LogisticRegression

    columns, classes = standardized(x), jt.asarray(target.astype(float))

    def loss(w: jt.Tensor) -> jt.Tensor:
        return F.binary_cross_entropy_with_logits(columns @ w, classes, reduction="sum") + penalty(w, strength)

    w, hessian, steps = newton(loss, jt.zeros(columns.shape[1]), limit)
    reference = LogisticRegression(C=1 / strength, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    reference.fit(columns.numpy()[:, :-1], target)
    expected = np.append(reference.coef_[0], reference.intercept_)
    return Fit(w.numpy(), deviations(hessian), expected, steps)


def poisson(x: np.ndarray, count: np.ndarray, strength: float, limit: int) -> Fit:
    from sklearn.linear_model import PoissonRegressor

    columns, counts = standardized(x), jt.asarray(count.astype(float))

    def loss(w: jt.Tensor) -> jt.Tensor:
        return F.poisson_nll_loss(columns @ w, counts, reduction="sum") + penalty(w, strength)

    start = np.zeros(columns.shape[1])
    start[-1] = np.log(count.mean())
    w, hessian, steps = newton(loss, jt.asarray(start), limit)
    # Its penalty is by the mean loss.
    reference = PoissonRegressor(alpha=strength / len(count), solver="newton-cholesky", tol=1e-12, max_iter=1000)
    reference.fit(columns.numpy()[:, :-1], count)
    expected = np.append(reference.coef_, reference.intercept_)
    return Fit(w.numpy(), deviations(hessian), expected, steps)


def deviations(hessian: jt.Tensor) -> np.ndarray:
    """Standard errors: the inverse Hessian is the covariance near the minimum (Laplace's approximation)."""
    return jt.sqrt(jt.diagonal(jt.linalg.inv(hessian))).numpy()


def draw(fit: Fit, names: list[str], fits: dict[str, Fit], columns: list[str], data: Any, file: Path) -> None:
    """Coefficients with two standard errors, and counts against their predictions."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(12, 8), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1))
    axes = left.subplots()
    order = np.argsort(fit.weights[:-1])
    places = np.arange(len(order))
    weights, errors = fit.weights[order], fit.errors[order]
    clear = np.abs(weights) > 2 * errors
    for chosen, color, label in ((clear, "tab:red", "more than two"), (~clear, "tab:grey", "two or fewer")):
        axes.errorbar(
            weights[chosen],
            places[chosen],
            xerr=2 * errors[chosen],
            fmt="o",
            color=color,
            markersize=5,
            capsize=2,
            label=label,
        )
    axes.plot(
        fit.expected[order],
        places,
        "o",
        markersize=9,
        markerfacecolor="none",
        color="black",
        label="scikit-learn's",
        linewidth=0,
    )
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(places, [names[i] for i in order], fontsize="small")
    axes.set(
        xlabel="log odds of malignant, per standard deviation (bars: 2 standard errors)", ylim=(-0.8, len(order) - 0.2)
    )
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower right", title="standard errors from 0", fontsize="small")
    axes.set_title(f"Tumours: logistic regression, {fit.steps} Newton steps")

    top, bottom = right.subplots(2, 1)
    colors = ("tab:blue", "tab:orange", "tab:green")
    for i, ((name, one), color) in enumerate(zip(fits.items(), colors, strict=True)):
        at = np.arange(len(columns)) + (i - 1) * 0.22
        top.errorbar(at, one.weights[:-1], yerr=2 * one.errors[:-1], fmt="o", color=color, capsize=3, label=name)
        top.plot(at, one.expected[:-1], "o", markersize=10, markerfacecolor="none", color="black", linewidth=0)
        x, counts = data
        mean = np.exp(standardized(x).numpy() @ one.weights)
        bottom.plot(mean, counts[:, i], "o", color=color, alpha=0.7, label=name)
    top.axhline(0, color="black", linewidth=0.8)
    top.set_xticks(range(len(columns)), columns)
    top.set(ylabel="log of the count, per standard deviation", title="Twenty men: Poisson regression")
    top.grid(axis="y", alpha=0.3)
    top.legend(fontsize="small")
    line = np.geomspace(3, 320, 100)
    bottom.plot(line, line, color="black", linewidth=1)
    bottom.fill_between(
        line, np.maximum(line - 2 * np.sqrt(line), 0.5), line + 2 * np.sqrt(line), color="black", alpha=0.1
    )
    bottom.set(xscale="log", yscale="log", xlim=(3, 320), ylim=(0.8, 400), xlabel="expected count", ylabel="count")
    bottom.set_title("They scatter more than Poisson's 2 deviations (grey)", fontsize="medium")
    bottom.grid(alpha=0.3)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> Result:
    """The fits, the largest difference from scikit-learn's coefficients, and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    parser.add_argument("--penalty", type=rate, default=1.0, help="half of it times the squared coefficients is added")
    parser.add_argument("--steps", type=number(1), default=50, help="of Newton's method, at most")
    options = parser.parse_args(argv)
    require(sklearn="scikit-learn", matplotlib="matplotlib")
    from sklearn import datasets

    options.out.mkdir(parents=True, exist_ok=True)
    cancer = datasets.load_breast_cancer()
    malignant = 1 - cancer.target  # it is 0 there
    fit = logistic(cancer.data, malignant, options.penalty, options.steps)
    scores = standardized(cancer.data) @ jt.asarray(fit.weights)
    accuracy = nn.metrics.accuracy(scores, jt.asarray(malignant), threshold=0.0).item()
    auc = nn.metrics.auc(scores, jt.asarray(malignant)).item()
    print(f"logistic: {fit.steps} steps, accuracy {accuracy:.2%}, AUC {auc:.4f}, off by {fit.difference:.1e} at most")

    men = datasets.load_linnerud()
    fits = {}
    for i, name in enumerate(EXERCISES):
        fits[name] = poisson(men.target, men.data[:, i], options.penalty, options.steps)
        print(f"poisson:  {fits[name].steps} steps for {name}, off by {fits[name].difference:.1e} at most")

    file = options.out / "logistic_poisson.png"
    columns = [name.lower() for name in men.target_names]
    draw(fit, list(cancer.feature_names), fits, columns, (men.target, men.data), file)
    print(f"picture: {file.resolve()}")
    difference = max(one.difference for one in (fit, *fits.values()))
    return Result(fit, fits, accuracy, difference, [file])


if __name__ == "__main__":
    if main().difference > 1e-5:
        sys.exit(1)
