"""What one pass saves: the ops of jitrench-fused beside the same formulas of JITrench's own ops, numexpr and PyTorch, in one run.

    python benchmarks/fused.py --only swiglu rotary --size 1e5 1e6
    OMP_NUM_THREADS=2 python benchmarks/fused.py

Prints Markdown: microseconds of the fused op, and how many times as long the others take; the call alone, then the call with its
backward pass. The manner is eager.py's: samplers take turns, times are minima, all libraries get OMP_NUM_THREADS threads (default 1).
numexpr has no derivatives, so it has the call alone. On a GPU, where there is one, every sample ends with a synchronisation.
"""

from __future__ import annotations

import argparse
import math
import tracemalloc
from collections.abc import Callable, Sequence
from time import perf_counter, process_time
from typing import Any, NamedTuple

from eager import THREADS, environment, jt, np, torch

import jitrench_fused as fused

try:
    import numexpr
except ImportError:
    numexpr = None

HEAD = 64  # the width of a transformer's head, of rotary's rows
POSITIONS = 512


def rotary_by_ops(lib: Any, x: Any, angles: Any) -> Any:
    half = x.shape[-1] // 2
    a, b, cos, sin = x[..., :half], x[..., half:], lib.cos(angles), lib.sin(angles)
    return lib.concat((a * cos - b * sin, b * cos + a * sin), axis=-1)


def log_density(x: Any, mean: Any, log_scale: Any) -> Any:
    z = (x - mean) * torch.exp(-log_scale)
    return -0.5 * (z * z) - log_scale - 0.5 * math.log(2 * math.pi)


class Case(NamedTuple):
    """The op, its formula in ops of the core, in PyTorch, and for numexpr; shapes of n numbers; the inputs with a gradient."""

    fused: Callable[..., Any]
    ops: Callable[..., Any]
    torch: Callable[..., Any]
    numexpr: str
    shapes: Callable[[int], list[tuple[int, ...]]]
    tracked: int


def alike(count: int) -> Callable[[int], list[tuple[int, ...]]]:
    return lambda n: [(n,)] * count


def positions(n: int) -> list[tuple[int, ...]]:
    """(batches, positions, HEAD), and an angle for each position and pair."""
    length = min(POSITIONS, n // HEAD)
    return [(n // HEAD // length, length, HEAD), (length, HEAD // 2)]


GELU = "{z} / (1 + exp(-1.5957691216057308 * ({z} + 0.044715 * {z} * {z} * {z})))"
CASES = {
    "swiglu": Case(
        fused.swiglu,
        fused.swiglu.op.forward,
        lambda x, gate: torch.nn.functional.silu(gate) * x,
        "a * b / (1 + exp(-b))",
        alike(2),
        2,
    ),
    "geglu": Case(
        fused.geglu,
        fused.geglu.op.forward,
        lambda x, gate: torch.nn.functional.gelu(gate, approximate="tanh") * x,
        "a * " + GELU.format(z="b"),
        alike(2),
        2,
    ),
    "bias_gelu": Case(
        fused.bias_gelu,
        fused.bias_gelu.op.forward,
        lambda x, bias: torch.nn.functional.gelu(x + bias, approximate="tanh"),
        GELU.format(z="(a + b)"),
        lambda n: [(n // 100, 100), (100,)],
        2,
    ),
    "gaussian_log_density": Case(
        fused.gaussian_log_density,
        fused.gaussian_log_density.op.forward,
        log_density,
        "-0.5 * ((a - b) * exp(-c)) ** 2 - c - 0.9189385332046727",
        alike(3),
        3,
    ),
    "rotary": Case(
        fused.rotary,
        lambda x, angles: rotary_by_ops(jt, x, angles),
        lambda x, angles: rotary_by_ops(torch, x, angles),
        "",
        positions,
        1,
    ),
}


def step(f: Callable[..., Any], tensors: Sequence[Any], tracked: int, seed: Any) -> Callable[[], Any]:
    """The call and its backward pass, as a function that returns the gradients."""

    def run() -> list[Any]:
        for leaf in tensors[:tracked]:
            leaf.grad = None
        f(*tensors).backward(seed)
        return [leaf.grad for leaf in tensors[:tracked]]

    return run


def samplers(case: Case, arrays: list[Any], device: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """By library, the call alone and the call with its backward pass; all must agree."""
    plain = [jt.asarray(a, device=device) for a in arrays]
    leaves = [jt.tensor(a, device=device, requires_grad=i < case.tracked) for i, a in enumerate(arrays)]
    seed = jt.ones_like(plain[0])
    forward: dict[str, Any] = {"fused": lambda: case.fused(*plain), "ops": lambda: case.ops(*plain)}
    both: dict[str, Any] = {
        n: step(f, leaves, case.tracked, seed) for n, f in (("fused", case.fused), ("ops", case.ops))
    }
    if numexpr and case.numexpr and device == "numpy":
        names = dict(zip("abc", arrays, strict=False))
        forward["numexpr"] = lambda: numexpr.evaluate(case.numexpr, names)
    if torch:
        where = "cpu" if device == "numpy" else "cuda"
        theirs = [torch.tensor(a, device=where) for a in arrays]
        tracked = [t.clone().requires_grad_(i < case.tracked) for i, t in enumerate(theirs)]
        forward["PyTorch"] = lambda: case.torch(*theirs)
        both["PyTorch"] = step(case.torch, tracked, case.tracked, torch.ones_like(theirs[0]))
    if arrays[0].size <= 10**5:  # sums over more rows differ by more than rounding of one
        tolerance = 200 * float(np.finfo(arrays[0].dtype).eps)
        value, gradients = plain_numbers(forward["ops"]()), [plain_numbers(g) for g in both["ops"]()]
        for f in forward.values():
            np.testing.assert_allclose(plain_numbers(f()), value, rtol=tolerance, atol=tolerance)
        for f in both.values():
            for g, e in zip(f(), gradients, strict=True):
                np.testing.assert_allclose(
                    plain_numbers(g), e, rtol=tolerance, atol=tolerance * math.sqrt(arrays[0].size)
                )
    return forward, both


def plain_numbers(a: Any) -> Any:
    if hasattr(a, "cpu"):  # PyTorch's
        return a.detach().cpu().numpy()
    return a.numpy() if hasattr(a, "numpy") else a


def minima(
    functions: dict[str, Callable[[], Any]], seconds: float, clock: Callable[[], float], synchronize: Callable[[], Any]
) -> dict[str, float]:
    """The least time of each, in microseconds; they take turns for about ``seconds`` each."""

    def once(f: Callable[[], Any]) -> float:
        start = clock()
        f()
        synchronize()
        return clock() - start

    first = max(once(f) for f in functions.values())
    repeat = max(5, min(500, int(seconds / first)))
    times = [[once(f) for f in functions.values()] for _ in range(repeat)]
    return {name: min(column) * 1e6 for name, column in zip(functions, zip(*times, strict=True), strict=True)}


def row(times: dict[str, float]) -> list[str]:
    others = (f"{times[name] / times['fused']:.1f}x" if name in times else "" for name in ("ops", "numexpr", "PyTorch"))
    return [f"{times['fused']:,.0f}", *others]


def kept(f: Callable[..., Any], case: Case, size: int = 10**6) -> float:
    """Bytes that the graph of one call keeps beside its inputs and the result, as multiples of the result's."""
    shapes = case.shapes(size)
    leaves = [jt.tensor(np.ones(s), requires_grad=i < case.tracked) for i, s in enumerate(shapes)]
    f(*leaves)
    tracemalloc.start()
    y = f(*leaves)
    now, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return now / (8 * y.size) - 1


def places() -> dict[str, Callable[[], Any]]:
    """The devices that can be measured, with what waits for their work."""
    found: dict[str, Callable[[], Any]] = {"numpy": lambda: None}
    try:
        jt.zeros(1, device="cupy:0")
        import cupy
    except (jt.JITrenchError, ImportError) as e:
        print(f"CuPy      unrun: {e}")
    else:
        found["cupy:0"] = lambda: cupy.cuda.Device().synchronize()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="what one pass over memory saves")
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES), metavar="OP")
    parser.add_argument("--size", nargs="+", type=float, default=[1e3, 1e4, 1e5, 1e6, 1e7], help="numbers in an array")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each library's share of a row (default 0.5)")
    parser.add_argument(
        "--cpu-time", action="store_true", help="the process's own time, for a busy machine; one thread"
    )
    args = parser.parse_args()
    clock = process_time if args.cpu_time else perf_counter
    print("\n".join(f"{name:10}{value}" for name, value in environment().items() if name != "autograd"))
    if numexpr:
        numexpr.set_num_threads(int(THREADS))
        print(f"numexpr   {numexpr.__version__}")
    for device, synchronize in places().items():
        print(f"\n{device}: microseconds{' of the processor' if args.cpu_time else ''}, and times as long\n")
        print("| op | dtype | numbers | forward | ops | numexpr | PyTorch | with backward | ops | PyTorch |")
        print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|")
        for name in args.only:
            for dtype in ("float32", "float64"):
                for size in map(int, args.size):
                    rng = np.random.default_rng(0)
                    arrays = [rng.normal(size=s).astype(dtype) for s in CASES[name].shapes(size)]
                    forward, both = samplers(CASES[name], arrays, device)
                    alone = row(minima(forward, args.seconds, clock, synchronize))
                    pair = row(minima(both, args.seconds, clock, synchronize))
                    print(
                        f"| {name} | {dtype} | {size:,} | {' | '.join([*alone, pair[0], pair[1], pair[3]])} |",
                        flush=True,
                    )
    print("\n| op | what its graph keeps, in results | of the core's ops |\n|---|--:|--:|")
    for name in args.only:
        print(f"| {name} | {kept(CASES[name].fused, CASES[name]):.2f} | {kept(CASES[name].ops, CASES[name]):.2f} |")


if __name__ == "__main__":
    main()
