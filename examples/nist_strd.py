"""Fit NIST's nonlinear regression problems to their certified values, by Levenberg-Marquardt on exact Jacobians.

Run ``python examples/nist_strd.py --out pictures``. It needs matplotlib; ``--no-picture`` needs nothing.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from options import require

import jitrench_core as jt

DATA = Path(__file__).parent / "data" / "nist_strd.json"

Model = Callable[[Any, jt.Tensor], jt.Tensor]

# Each as NIST writes it, with b1, b2, ... in the tensor b.
MODELS: dict[str, Model] = {
    "Misra1a": lambda b, x: b[0] * (1 - jt.exp(-b[1] * x)),
    "Misra1b": lambda b, x: b[0] * (1 - (1 + b[1] * x / 2) ** -2.0),
    "Misra1c": lambda b, x: b[0] * (1 - (1 + 2 * b[1] * x) ** -0.5),
    "Misra1d": lambda b, x: b[0] * b[1] * x / (1 + b[1] * x),
    "DanWood": lambda b, x: b[0] * x ** b[1],
    "Chwirut2": lambda b, x: jt.exp(-b[0] * x) / (b[1] + b[2] * x),
    "Lanczos3": lambda b, x: b[0] * jt.exp(-b[1] * x) + b[2] * jt.exp(-b[3] * x) + b[4] * jt.exp(-b[5] * x),
    "Lanczos2": lambda b, x: b[0] * jt.exp(-b[1] * x) + b[2] * jt.exp(-b[3] * x) + b[4] * jt.exp(-b[5] * x),
    "MGH17": lambda b, x: b[0] + b[1] * jt.exp(-x * b[3]) + b[2] * jt.exp(-x * b[4]),
    "Roszman1": lambda b, x: b[0] - b[1] * x - jt.atan(b[2] / (x - b[3])) / math.pi,
    "BoxBOD": lambda b, x: b[0] * (1 - jt.exp(-b[1] * x)),
    "Rat42": lambda b, x: b[0] / (1 + jt.exp(b[1] - b[2] * x)),
    "Rat43": lambda b, x: b[0] / (1 + jt.exp(b[1] - b[2] * x)) ** (1 / b[3]),
    "MGH09": lambda b, x: b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3]),
    "MGH10": lambda b, x: b[0] * jt.exp(b[1] / (x + b[2])),
    "Eckerle4": lambda b, x: b[0] / b[1] * jt.exp(-0.5 * ((x - b[2]) / b[1]) ** 2),
    "Thurber": lambda b, x: (b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3) / (1 + b[4] * x + b[5] * x**2 + b[6] * x**3),
}


class Fit(NamedTuple):
    parameters: list[float]
    sum_of_squares: float
    steps: int


class Row(NamedTuple):
    """How a problem went from each of its two starts; digits that agree with the certified values."""

    name: str
    fits: tuple[Fit, Fit]
    parameter_digits: tuple[float, float]
    sum_digits: tuple[float, float]


class Result(NamedTuple):
    rows: list[Row]
    file: Path | None


def levenberg_marquardt(residuals: Callable[[jt.Tensor], jt.Tensor], start: Sequence[float], limit: int = 1000) -> Fit:
    """The parameters that make the sum of squares of ``residuals`` least.

    A step minimises |r + J p|^2 + damping |D p|^2, where D holds the largest norm so far of each of J's columns (Moré, 1978). It is
    solved by QR of both parts stacked, which keeps the digits that normal equations would square away. The damping is
    Nielsen's (1999): divided by up to 3 after a good step, multiplied by 2, 4, 8, ... after bad ones.
    """

    def squares(b: jt.Tensor) -> float:
        r = residuals(b)
        return jt.vecdot(r, r).item()

    # Forward: as many passes as there are parameters, not observations.
    jacobian = jt.jacobian(residuals, mode="forward")
    b = jt.tensor([float(value) for value in start])
    eye = jt.eye(b.size)
    best, scale = squares(b), jt.zeros(b.size)
    damping, factor, idle = 1e-3, 2.0, 0
    for step in range(1, limit + 1):
        r, j = residuals(b), jacobian(b)
        scale = jt.maximum(scale, jt.vector_norm(j, axis=0))
        unit = jt.where(scale > 0, scale, 1.0)
        while True:
            q, upper = jt.linalg.qr(jt.concat([j / unit, damping**0.5 * eye]))
            target = jt.concat([-r, jt.zeros(b.size)])
            p = jt.linalg.solve_triangular(upper, q.mT @ target, upper=True)
            trial = b + p / unit
            value = squares(trial)
            if value < best:
                break
            damping, factor = damping * factor, factor * 2
            if damping > 1e12:  # no step is short enough: the last digits are reached
                return Fit(b.tolist(), best, step)
        expected = jt.vecdot(p, damping * p - jt.vecdot(j / unit, r[:, None], axis=0)).item()
        gain = (best - value) / expected
        damping = max(damping * max(1 / 3, 1 - (2 * gain - 1) ** 3), 1e-20)
        factor = 2.0
        idle = idle + 1 if best - value <= 1e-15 * best else 0
        b, best = trial, value
        if idle == 3:
            break
    return Fit(b.tolist(), best, step)


def digits(found: float, certified: float) -> float:
    """The number of decimal digits that agree, 11 at most: more are not certified."""
    if not math.isfinite(found):
        return 0.0
    error = abs(found - certified) / abs(certified)
    return max(0.0, min(11.0, -math.log10(error))) if error else 11.0


def solve(name: str, problem: dict[str, Any], x: jt.Tensor, y: jt.Tensor) -> Row:
    model = MODELS[name]
    with np.errstate(all="ignore"):  # a trial step may be so long that the model overflows; it is not taken then
        fits = tuple(levenberg_marquardt(lambda b: model(b, x) - y, start) for start in problem["starts"])
    return Row(
        name,
        fits,
        tuple(min(map(digits, fit.parameters, problem["certified"])) for fit in fits),
        tuple(digits(fit.sum_of_squares, problem["rss"]) for fit in fits),
    )


def draw(problems: dict[str, Any], data: dict[str, Any], rows: list[Row], file: Path) -> None:
    """Each problem's observations with the curve that it begins with and the one that it comes to, and the digits of all."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    colours = {"lower": "tab:green", "average": "tab:blue", "higher": "tab:red"}
    columns = min(6, len(rows) + 1)
    lines = -(-(len(rows) + 1) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(2.7 * columns, 2.5 * lines), layout="constrained", squeeze=False
    )
    places = axes.flatten().tolist()
    for place, row in zip(places, rows, strict=False):
        problem = problems[row.name]
        x, y = (np.array(data[problem["data"]][key], dtype=float) for key in "xy")
        grid = np.linspace(x.min(), x.max(), 400)
        model, colour = MODELS[row.name], colours[problem["level"]]
        with np.errstate(all="ignore"):
            begin, end = (
                model(jt.tensor(b), jt.tensor(grid)).numpy() for b in (problem["starts"][1], row.fits[1].parameters)
            )
        place.plot(grid, begin, color="grey", linewidth=1, linestyle=":")
        place.plot(grid, end, color=colour, linewidth=1.5)
        place.plot(x, y, "o", color="black", markersize=2.5, alpha=0.7)
        low, high = min(y.min(), end.min()), max(y.max(), end.max())
        place.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
        place.set_title(f"{row.name}: {len(row.fits[1].parameters)} parameters", fontsize=9)
        place.tick_params(labelsize=6)
        place.locator_params(nbins=4)
    for place in places[len(rows) + 1 :]:
        place.axis("off")
    place = places[len(rows)]
    at = range(len(rows))
    place.barh(
        at, [row.parameter_digits[1] for row in rows], color=[colours[problems[row.name]["level"]] for row in rows]
    )
    place.axvline(6, color="black", linewidth=0.8, linestyle="--")
    place.set_yticks(at, [row.name for row in rows], fontsize=5)
    place.set(xlim=(0, 11), xticks=(0, 6, 11), ylim=(len(rows) - 0.4, -0.6))
    place.tick_params(axis="x", labelsize=6)
    place.set_title("certified digits reached", fontsize=9)
    for level, colour in colours.items():
        place.plot([], [], color=colour, linewidth=3, label=f"{level} difficulty")
    place.plot([], [], color="grey", linestyle=":", label="where the fit starts")
    handles, labels = place.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    figure.suptitle(
        "NIST's nonlinear regression problems: observations, and least squares from the second starting values"
    )
    figure.savefig(file, dpi=120)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> Result:
    """The fits, and the picture of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    parser.add_argument("--problems", nargs="+", choices=list(MODELS), default=list(MODELS), metavar="NAME")
    parser.add_argument("--no-picture", dest="picture", action="store_false")
    options = parser.parse_args(argv)
    if options.picture:
        require(matplotlib="matplotlib")
    options.out.mkdir(parents=True, exist_ok=True)

    stored = json.loads(DATA.read_text(encoding="utf-8"))
    rows = []
    print("problem    from start 1: steps  digits of b, of the sum   from start 2: steps  digits of b, of the sum")
    for name in options.problems:
        problem = stored["problems"][name]
        x, y = (jt.tensor(stored["data"][problem["data"]][key], dtype=jt.float64) for key in "xy")
        row = solve(name, problem, x, y)
        rows.append(row)
        cells = zip(row.fits, row.parameter_digits, row.sum_digits, strict=True)
        print(f"{name:<9}" + "   ".join(f"{fit.steps:>20}  {b:>11.1f}, {total:>10.1f}" for fit, b, total in cells))
    reached = sum(
        min(b, total) >= 6 for row in rows for b, total in zip(row.parameter_digits, row.sum_digits, strict=True)
    )
    print(f"{reached} of {2 * len(rows)} fits agree with the certified values in 6 digits or more")
    if not options.picture:
        return Result(rows, None)
    file = options.out / "nist_strd.png"
    draw(stored["problems"], stored["data"], rows, file)
    print(f"fits: {file.resolve()}")
    return Result(rows, file)


if __name__ == "__main__":
    main()
