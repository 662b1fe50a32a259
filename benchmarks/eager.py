"""Eager speed, side by side in one run: JITrench, raw NumPy, HIPS autograd and, where installed, PyTorch.

    tox run -e bench -- --repeat 50 --only add chain
    tox run -e bench-torch

Every case is one function, which returns a sampler per library: call it, and it measures once and returns seconds. The
samplers of a case take turns, so that all libraries meet the same disturbances; the minimum is the least disturbed time
and is what ratios and targets use. The garbage collector is off while a clock runs, as in ``timeit``. NumPy's gradients
are written by hand, all numbers are float64, and all libraries get as many threads as OMP_NUM_THREADS says (default 1).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from timeit import Timer
from typing import Any

THREADS = os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = THREADS  # read when NumPy is imported

import numpy as np  # noqa: E402

import jitrench_core as jt  # noqa: E402

try:
    import autograd
    import autograd.numpy as anp
except ImportError:
    autograd = None
try:
    import torch

    torch.set_num_threads(int(THREADS))
except ImportError:
    torch = None

Sampler = Callable[[], float]
Samplers = dict[str, Sampler]
CASES: dict[str, Callable[[], dict[str, Samplers]]] = {}


def case(function: Callable[[], dict[str, Samplers]]) -> Callable[[], dict[str, Samplers]]:
    """A case returns, under one title or several, a sampler per library."""
    CASES[function.__name__.replace("_", "-")] = function
    return function


def calls(number: int, functions: dict[str, Callable[[], Any]]) -> Samplers:
    """Samplers of functions: seconds per call, over ``number`` calls."""
    return {library: lambda f=f: Timer(f).timeit(number) / number for library, f in functions.items()}


# -- the cases ------------------------------------------------------------------------------------------------------


def polynomial(x: Any, y: Any) -> Any:
    """Goldstein and Price's test function, as JITrench.jl's README writes it."""
    return (1 + (x + y + 1) ** 2 * (19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2)) * (
        30 + (2 * x - 3 * y) ** 2 * (18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2)
    )


@case
def goldstein_price() -> dict[str, Samplers]:
    """The value and both derivatives at (2.5, 3.5), inputs made anew each time."""

    def with_numpy() -> Any:
        x, y = np.float64(2.5), np.float64(3.5)
        s, q = x + y + 1, 19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2
        d, r = 2 * x - 3 * y, 18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2
        a, b = 1 + s**2 * q, 30 + d**2 * r
        dx = (2 * s * q + s**2 * (6 * x + 6 * y - 14)) * b + a * (4 * d * r + d**2 * (24 * x - 36 * y - 32))
        dy = (2 * s * q + s**2 * (6 * x + 6 * y - 14)) * b + a * (-6 * d * r + d**2 * (54 * y - 36 * x + 48))
        return a * b, dx, dy

    def with_jitrench() -> Any:
        x, y = jt.Scalar(2.5), jt.Scalar(3.5)
        z = polynomial(x, y)
        z.backward()
        return z, x.grad, y.grad

    functions = {"JITrench": with_jitrench, "NumPy": with_numpy}
    if autograd:
        both = autograd.grad(polynomial, (0, 1))

        def with_autograd() -> Any:
            return both(2.5, 3.5)

        functions["autograd"] = with_autograd
    if torch:

        def with_torch() -> Any:
            x = torch.tensor(2.5, dtype=torch.float64, requires_grad=True)
            y = torch.tensor(3.5, dtype=torch.float64, requires_grad=True)
            z = polynomial(x, y)
            z.backward()
            return z, x.grad, y.grad

        functions["PyTorch"] = with_torch
    for found in (f() for f in functions.values()):
        assert [float(v) for v in found[-2:]] == [-5324409.0, 33109701.0]
    return {"Goldstein-Price, value and gradient": calls(50, functions)}


@case
def add() -> dict[str, Samplers]:
    """x + y of two tracked (2, 2) arrays."""
    a, b = np.ones((2, 2)), np.ones((2, 2))
    x, y = jt.tensor(a, requires_grad=True), jt.tensor(b, requires_grad=True)
    functions = {"JITrench": lambda: x + y, "NumPy": lambda: a + b}
    if autograd:  # tracked as autograd.grad does it
        u, v = (autograd.tracer.new_box(array, 0, autograd.core.VJPNode.new_root()) for array in (a, b))
        functions["autograd"] = lambda: u + v
    if torch:
        p, q = torch.tensor(a, requires_grad=True), torch.tensor(b, requires_grad=True)
        functions["PyTorch"] = lambda: p + q
    return {"x + y, (2, 2), recorded": calls(5000, functions)}


NODES = 1000


def plus_one(x: Any) -> Any:
    y = x
    for _ in range(NODES):
        y = y + 1.0
    return y


def plus_x(x: Any) -> Any:
    y = x
    for _ in range(NODES):
        y = y + x
    return y


def halves(record: Callable[[], Any], pull: Callable[[Any], Any]) -> tuple[Sampler, Sampler]:
    """Samplers of a chain's forward, and of its backward with the freeing of the graph, per node."""

    def sample() -> tuple[float, float]:
        gc.disable()
        start = perf_counter()
        held = [record()]
        middle = perf_counter()
        pull(held.pop())
        end = perf_counter()
        gc.enable()
        return (middle - start) / NODES, (end - middle) / NODES

    return lambda: sample()[0], lambda: sample()[1]


@case
def chain() -> dict[str, Samplers]:
    """1,000 additions of a constant, and of one tracked x, whose gradient has to be added up 1,000 times."""
    titles: dict[str, Samplers] = {}
    for kind, array in (("scalar", np.float64(1.0)), ("(2, 2)", np.ones((2, 2)))):
        for term, run in (("1.0", plus_one), ("x", plus_x)):
            x, seed = jt.tensor(array, requires_grad=True), jt.tensor(array)
            both = {"JITrench": halves(lambda run=run, x=x: run(x), lambda y, seed=seed: y.backward(seed))}
            if autograd:
                pair = lambda run=run, array=array: autograd.make_vjp(run)(array)  # noqa: E731
                both["autograd"] = halves(pair, lambda pair, array=array: pair[0](array))
            if torch:
                p, one = torch.tensor(array, requires_grad=True), torch.tensor(array)
                both["PyTorch"] = halves(lambda run=run, p=p: run(p), lambda y, one=one: y.backward(one))
            raw = halves(lambda run=run, array=array: run(array), lambda y: None)[0]
            forward = {library: pair[0] for library, pair in both.items()} | {"NumPy": raw}
            titles[f"chain of y + {term}, {kind}: forward, per node"] = forward
            titles[f"chain of y + {term}, {kind}: backward, per node"] = {k: pair[1] for k, pair in both.items()}
    return titles


@case
def sine_mlp() -> dict[str, Samplers]:
    """One step: 100x1 -> Linear 10 -> sigmoid -> Linear 1 -> mean squared error -> gradients -> SGD."""
    rng = np.random.default_rng(0)
    data = rng.uniform(size=(100, 1))
    target = np.sin(2 * np.pi * data) + rng.normal(scale=0.1, size=(100, 1))
    start = [rng.normal(size=(1, 10)), np.zeros(10), rng.normal(size=(10, 1)), np.zeros(1)]
    rate = 0.1

    def loss(sigmoid: Any, x: Any, t: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
        error = sigmoid(x @ w1 + b1) @ w2 + b2 - t
        return (error * error).mean()

    def trainer(library: Any, tensor: Any) -> Callable[[], float]:
        """JITrench and PyTorch are used alike."""
        x, t = tensor(data), tensor(target)
        params = [tensor(p, requires_grad=True) for p in start]

        def step() -> float:
            value = loss(library.sigmoid, x, t, *params)
            value.backward()
            with library.no_grad():
                for p in params:
                    p -= rate * p.grad
                    p.grad = None
            return value.item()

        return step

    weights = [p.copy() for p in start]

    def with_numpy() -> float:
        w1, b1, w2, b2 = weights
        h = 1 / (1 + np.exp(-(data @ w1 + b1)))
        error = h @ w2 + b2 - target
        g = 2 / len(data) * error
        gh = g @ w2.T * h * (1 - h)
        for p, gradient in zip(weights, (data.T @ gh, gh.sum(axis=0), h.T @ g, g.sum(axis=0)), strict=True):
            p -= rate * gradient
        return float(np.mean(error * error))

    functions = {"JITrench": trainer(jt, jt.tensor), "NumPy": with_numpy}
    if autograd:
        sigmoid = lambda x: 1 / (1 + anp.exp(-x))  # noqa: E731
        both = autograd.value_and_grad(lambda params: loss(sigmoid, data, target, *params))
        params = [p.copy() for p in start]

        def with_autograd() -> float:
            value, gradients = both(params)
            for p, gradient in zip(params, gradients, strict=True):
                p -= rate * gradient
            return float(value)

        functions["autograd"] = with_autograd
    if torch:
        functions["PyTorch"] = trainer(torch, lambda p, **kwargs: torch.tensor(p, **kwargs))
    losses = [[f() for _ in range(20)][-1] for f in functions.values()]
    assert max(losses) - min(losses) < 1e-12, losses
    return {"sine MLP, one training step": calls(20, functions)}


@case
def matmul() -> dict[str, Samplers]:
    """A product of two 512x512 matrices, recorded: the framework should not be seen."""
    a = np.random.default_rng(0).normal(size=(512, 512))
    x = jt.tensor(a, requires_grad=True)
    functions = {"JITrench": lambda: x @ x, "NumPy": lambda: a @ a}
    if autograd:
        u = autograd.tracer.new_box(a, 0, autograd.core.VJPNode.new_root())
        functions["autograd"] = lambda: u @ u
    if torch:
        p = torch.tensor(a, requires_grad=True)
        functions["PyTorch"] = lambda: p @ p
    return {"x @ x, 512x512 float64, recorded": calls(1, functions)}


@case
def import_time() -> dict[str, Samplers]:
    """Each in a fresh process, counted from where Python has started, and from bytecode."""
    cache = tempfile.TemporaryDirectory()
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = cache.name

    def sampler(module: str) -> Sampler:
        code = f"from time import perf_counter as t; a = t(); import {module}; print(t() - a)"

        def sample(cache: Any = cache) -> float:  # held: the folder goes with its last user
            command = [sys.executable, "-c", code]
            return float(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)

        sample()  # writes the bytecode
        return sample

    return {"import, in a fresh process": {"JITrench": sampler("jitrench_core"), "NumPy": sampler("numpy")}}


# -- what the project promises --------------------------------------------------------------------------------------

# By the beginning of the title: against which library, and how ours may be: a factor of its time, or seconds more.
TARGETS = (
    ("Goldstein-Price", "PyTorch", "x", 0.45),
    ("x + y", "NumPy", "+", 1.0e-6),
    ("chain of y + 1.0, scalar: backward", "PyTorch", "x", 0.6),
    ("chain of y + x, scalar: backward", "PyTorch", "x", 0.6),
    ("chain of y + 1.0, (2, 2): backward", "PyTorch", "x", 0.6),
    ("chain of y + x, (2, 2): backward", "PyTorch", "x", 0.6),
    ("x @ x", "NumPy", "x", 1.03),
    ("import", "NumPy", "x", 0.5),
)

Times = dict[str, dict[str, dict[str, float]]]


def measure(names: list[str], repeat: int) -> Times:
    """Minimum and median of every sampler, by title and library."""
    times: Times = {}
    for name in names:
        for title, samplers in CASES[name]().items():
            times[title] = in_turn(samplers, repeat)
            show(title, times[title])
    return times


def in_turn(samplers: Samplers, repeat: int) -> dict[str, dict[str, float]]:
    """Minimum and median of each library's ``repeat`` samples, which take turns; the first of each warms up."""
    taken: dict[str, list[float]] = {library: [] for library in samplers}
    for turn in range(repeat + 1):
        for library, sample in samplers.items():
            seconds = sample()
            if turn:
                taken[library].append(seconds)
    return {k: {"minimum": min(v), "median": median(v)} for k, v in taken.items()}


def show(title: str, row: dict[str, dict[str, float]]) -> None:
    """A case's lines of the table."""
    print(f"\n{title}\n    {'':10}{'minimum':>14}{'median':>14}{'JITrench is':>16}")
    for library, taken in row.items():
        ratio = row["JITrench"]["minimum"] / taken["minimum"]
        shown = "" if library == "JITrench" else f"{ratio:.2f} times"
        least, middle = taken["minimum"] * 1e6, taken["median"] * 1e6
        print(f"    {library:10}{least:11.2f} us{middle:11.2f} us{shown:>16}".rstrip(), flush=True)


def judge(times: Times) -> list[dict[str, Any]]:
    """Whether each target that was measured is reached."""
    judged = []
    for start, library, how, limit in TARGETS:
        for title, row in times.items():
            if title.startswith(start) and library in row:
                ours, theirs = row["JITrench"]["minimum"], row[library]["minimum"]
                value = ours / theirs if how == "x" else ours - theirs
                reached = value <= limit
                judged.append({"case": title, "against": library, "value": value, "limit": limit, "reached": reached})
                text = f"{value:.3f} of {library}" if how == "x" else f"{value * 1e6:.2f} us over {library}"
                most = f"{limit:g}" if how == "x" else f"{limit * 1e6:g} us"
                print(f"    {title:50}{text:>22}   at most {most:8}{'reached' if reached else 'NOT REACHED'}")
    return judged


def environment() -> dict[str, str]:
    """Versions, processor and threads."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    found = {"CPU": model, "threads": THREADS, "Python": platform.python_version()}
    found |= {"JITrench": jt.__version__, "NumPy": np.__version__}
    if autograd:
        from importlib.metadata import version

        found["autograd"] = version("autograd")
    if torch:
        found["PyTorch"] = torch.__version__
    return found


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description="eager speed of JITrench beside NumPy, autograd and PyTorch")
    known = list(CASES)
    parser.add_argument("--only", nargs="+", choices=known, default=known, metavar="CASE", help=", ".join(known))
    parser.add_argument("--repeat", type=int, default=30, help="samples of each library in each case (default 30)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the times and the judgement there, too")
    args = parser.parse_args()
    found = environment()
    print("\n".join(f"{name:10}{value}" for name, value in found.items()))
    for name, module in (("autograd", autograd), ("PyTorch", torch)):
        if module is None:
            print(f"{name:10}is not installed: skipped, and so is every target that is measured against it")
    times = measure(args.only, args.repeat)
    print("\nTargets, of the minima")
    judged = judge(times)
    if args.json:
        args.json.write_text(json.dumps({"environment": found, "times": times, "targets": judged}, indent=2) + "\n")


if __name__ == "__main__":
    main()
