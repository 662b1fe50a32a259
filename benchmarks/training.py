"""Whole training steps, and the memory they take, beside PyTorch eager's, in one run and with as many threads.

    tox run -e bench-training-torch -- --repeat 50 --only mlp gpt

A step is: forward, loss, backward, the optimizer's step, gradients forgotten. Both libraries start from the same float32 weights,
and their losses over the first steps must agree. The manner is eager.py's, whose tools these are, but that each library has a
process of its own: threads of a library that wait in a loop for more work would take a core from the other's. They still take turns.
Memory is the highest resident size of such a process during 5 steps, minus that before the first.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import sleep
from timeit import Timer
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")
if sys.argv[2:3] == ["JITrench"]:
    sys.modules["torch"] = None  # type: ignore[assignment]  # an import of it fails: it takes 200 MB

import eager
from eager import Samplers, jt, np, torch

import jitrench_nn as nn
import jitrench_optim as optim

F = nn.functional
Arrays = dict[str, Any]
Step = Callable[[], float]

# By the beginning of the title: against which library, and the factor of its time, or of its memory, that is allowed.
TARGETS = (
    ("sine MLP: step", "PyTorch", "x", 0.45),
    ("MLP 784-512-256-10: step", "PyTorch", "x", 1.0),
    ("MLP 784-512-256-10: step", "fused", "x", 1.3),
    ("CNN: step", "PyTorch", "x", 2.0),
    ("GPT: step", "PyTorch", "x", 1.5),
)
MEMORY = 0.5


class Case:
    """A model, its weights by PyTorch's names, its data, and how each library makes a step of them."""

    title = ""
    number = 1  # steps in a sample
    variants: tuple[str, ...] = ("JITrench", "PyTorch")

    def weights(self, rng: Any) -> Arrays:
        raise NotImplementedError

    def batch(self, rng: Any) -> tuple[Any, Any]:
        raise NotImplementedError

    def ours(self) -> tuple[Any, Any, Any]:
        """The model, whose own weights are replaced, the loss, and what makes the optimizer."""
        raise NotImplementedError

    def theirs(self, variant: str) -> tuple[Any, Any, Any]:
        """As above, in PyTorch."""
        raise NotImplementedError

    def step(self, variant: str) -> Step:
        """A step of the library; it returns the loss."""
        rng = np.random.default_rng(0)
        weights, (x, t) = self.weights(rng), self.batch(rng)
        library = jt if variant == "JITrench" else torch
        x, t = library.tensor(x), library.tensor(t)
        model, loss, make = self.ours() if library is jt else self.theirs(variant)
        model.load_state_dict({k: library.tensor(v) for k, v in weights.items()})
        if library is jt:
            with jt.no_grad():
                model(x[:1])  # where our layers get what was loaded
        assert all("float32" in str(p.dtype) for p in model.parameters())
        step = stepping(model, loss, make(model.parameters()), x, t)
        return lambda: step().item()  # type: ignore[no-any-return]


def stepping(model: Any, loss: Any, optimizer: Any, x: Any, t: Any) -> Callable[[], Any]:
    """A step on one batch, in the words of both libraries; it returns the loss, and waits for nothing."""

    def step() -> Any:
        value = loss(model(x), t)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        return value

    return step


def linear_weights(rng: Any, name: str, width: int, out: int) -> Arrays:
    bound = 1 / math.sqrt(width)
    return {
        f"{name}.weight": rng.uniform(-bound, bound, (out, width)).astype(np.float32),
        f"{name}.bias": rng.uniform(-bound, bound, out).astype(np.float32),
    }


class SineMLP(Case):
    """100 points through 1-10-1 with a sigmoid, mean squared error, SGD."""

    title = "sine MLP"
    number = 500

    def weights(self, rng: Any) -> Arrays:
        return linear_weights(rng, "0", 1, 10) | linear_weights(rng, "2", 10, 1)

    def batch(self, rng: Any) -> tuple[Any, Any]:
        x = rng.uniform(size=(100, 1))
        t = np.sin(2 * np.pi * x) + rng.normal(scale=0.1, size=x.shape)
        return x.astype(np.float32), t.astype(np.float32)

    def ours(self) -> Any:
        model = nn.Sequential(nn.Linear(10), nn.Sigmoid(), nn.Linear(1))
        return model, F.mse_loss, lambda p: optim.SGD(p, lr=0.1)

    def theirs(self, variant: str) -> Any:
        tnn = torch.nn
        model = tnn.Sequential(tnn.Linear(1, 10), tnn.Sigmoid(), tnn.Linear(10, 1))
        return model, tnn.functional.mse_loss, lambda p: torch.optim.SGD(p, lr=0.1)


class MLP(Case):
    """128 examples through 784-512-256-10 with relu, cross entropy, Adam."""

    title = "MLP 784-512-256-10"
    number = 20
    variants = ("JITrench", "PyTorch", "fused")
    widths = (784, 512, 256, 10)

    def weights(self, rng: Any) -> Arrays:
        found: Arrays = {}
        for i, (width, out) in enumerate(zip(self.widths[:-1], self.widths[1:], strict=True)):
            found |= linear_weights(rng, str(2 * i), width, out)
        return found

    def batch(self, rng: Any) -> tuple[Any, Any]:
        return rng.normal(size=(128, 784)).astype(np.float32), rng.integers(0, 10, size=128)

    def ours(self) -> Any:
        model = nn.Sequential(nn.Linear(512), nn.ReLU(), nn.Linear(256), nn.ReLU(), nn.Linear(10))
        return model, F.cross_entropy, lambda p: optim.Adam(p, lr=1e-3)

    def theirs(self, variant: str) -> Any:
        tnn = torch.nn
        model = tnn.Sequential(tnn.Linear(784, 512), tnn.ReLU(), tnn.Linear(512, 256), tnn.ReLU(), tnn.Linear(256, 10))
        options = {"fused": True} if variant == "fused" else {}
        return model, tnn.functional.cross_entropy, lambda p: torch.optim.Adam(p, lr=1e-3, **options)


class CNN(Case):
    """64 images of 28x28: twice conv 3x3, relu and max pool 2, to 16 and 32 channels, then linear; SGD with momentum."""

    title = "CNN"
    number = 6

    def weights(self, rng: Any) -> Arrays:
        found: Arrays = {}
        for name, inner, out in (("0", 1, 16), ("3", 16, 32)):
            bound = 1 / math.sqrt(9 * inner)
            found[f"{name}.weight"] = rng.uniform(-bound, bound, (out, inner, 3, 3)).astype(np.float32)
            found[f"{name}.bias"] = rng.uniform(-bound, bound, out).astype(np.float32)
        return found | linear_weights(rng, "7", 32 * 49, 10)

    def batch(self, rng: Any) -> tuple[Any, Any]:
        return rng.normal(size=(64, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, size=64)

    def ours(self) -> Any:
        model = nn.Sequential(
            nn.Conv2d(16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(10),
        )  # fmt: skip
        return model, F.cross_entropy, lambda p: optim.SGD(p, lr=0.01, momentum=0.9)

    def theirs(self, variant: str) -> Any:
        tnn = torch.nn
        model = tnn.Sequential(
            tnn.Conv2d(1, 16, 3, padding=1), tnn.ReLU(), tnn.MaxPool2d(2),
            tnn.Conv2d(16, 32, 3, padding=1), tnn.ReLU(), tnn.MaxPool2d(2),
            tnn.Flatten(), tnn.Linear(32 * 49, 10),
        )  # fmt: skip
        return model, tnn.functional.cross_entropy, lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9)


class GPT(Case):
    """8 sequences of 64 out of 256 characters, 4 blocks of 4 heads and width 128, AdamW."""

    title = "GPT"
    number = 4
    blocks, width, heads, length, examples, vocabulary = 4, 128, 4, 64, 8, 256

    def weights(self, rng: Any) -> Arrays:
        d = self.width
        found: Arrays = {
            "token.weight": rng.normal(scale=0.02, size=(self.vocabulary, d)).astype(np.float32),
            "place": rng.normal(scale=0.02, size=(self.length, d)).astype(np.float32),
        }
        norm = lambda name: {f"{name}.weight": np.ones(d, np.float32), f"{name}.bias": np.zeros(d, np.float32)}  # noqa: E731
        for i in range(self.blocks):
            at = f"blocks.{i}"
            found |= norm(f"{at}.norm1") | linear_weights(rng, f"{at}.qkv", d, 3 * d)
            found |= linear_weights(rng, f"{at}.project", d, d) | norm(f"{at}.norm2")
            found |= linear_weights(rng, f"{at}.up", d, 4 * d) | linear_weights(rng, f"{at}.down", 4 * d, d)
        return found | norm("norm") | linear_weights(rng, "head", d, self.vocabulary)

    def batch(self, rng: Any) -> tuple[Any, Any]:
        text = rng.integers(0, self.vocabulary, size=(self.examples, self.length + 1))
        return text[:, :-1].copy(), text[:, 1:].reshape(-1).copy()

    def ours(self) -> Any:
        d, heads, case = self.width, self.heads, self

        class Block(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
                self.qkv, self.project = nn.Linear(3 * d), nn.Linear(d)
                self.up, self.down, self.gelu = nn.Linear(4 * d), nn.Linear(d), nn.GELU()

            def forward(self, x: Any) -> Any:
                n, length, _ = x.shape
                y = jt.reshape(self.qkv(self.norm1(x)), (n, length, 3, heads, d // heads))
                y = jt.permute_dims(y, (2, 0, 3, 1, 4))
                y = F.scaled_dot_product_attention(y[0], y[1], y[2], is_causal=True)
                x = x + self.project(jt.reshape(jt.permute_dims(y, (0, 2, 1, 3)), (n, length, d)))
                return x + self.down(self.gelu(self.up(self.norm2(x))))

        class Model(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.token = nn.Embedding(case.vocabulary, d)
                self.place = nn.Parameter(jt.zeros((case.length, d), dtype=jt.float32))
                self.blocks = nn.Sequential(*(Block() for _ in range(case.blocks)))
                self.norm, self.head = nn.LayerNorm(d), nn.Linear(case.vocabulary)

            def forward(self, tokens: Any) -> Any:
                x = self.blocks(self.token(tokens) + self.place)
                return jt.reshape(self.head(self.norm(x)), (-1, case.vocabulary))

        return Model(), F.cross_entropy, lambda p: optim.AdamW(p, lr=3e-4, weight_decay=0.01)

    def theirs(self, variant: str) -> Any:
        tnn, d, heads, case = torch.nn, self.width, self.heads, self

        class Block(tnn.Module):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.norm1, self.norm2 = tnn.LayerNorm(d), tnn.LayerNorm(d)
                self.qkv, self.project = tnn.Linear(d, 3 * d), tnn.Linear(d, d)
                self.up, self.down, self.gelu = tnn.Linear(d, 4 * d), tnn.Linear(4 * d, d), tnn.GELU()

            def forward(self, x: Any) -> Any:
                n, length, _ = x.shape
                y = self.qkv(self.norm1(x)).reshape(n, length, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
                y = tnn.functional.scaled_dot_product_attention(y[0], y[1], y[2], is_causal=True)
                x = x + self.project(y.permute(0, 2, 1, 3).reshape(n, length, d))
                return x + self.down(self.gelu(self.up(self.norm2(x))))

        class Model(tnn.Module):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.token = tnn.Embedding(case.vocabulary, d)
                self.place = tnn.Parameter(torch.zeros(case.length, d))
                self.blocks = tnn.Sequential(*(Block() for _ in range(case.blocks)))
                self.norm, self.head = tnn.LayerNorm(d), tnn.Linear(d, case.vocabulary)

            def forward(self, tokens: Any) -> Any:
                x = self.blocks(self.token(tokens) + self.place)
                return self.head(self.norm(x)).reshape(-1, case.vocabulary)

        make = lambda p: torch.optim.AdamW(p, lr=3e-4, weight_decay=0.01)  # noqa: E731
        return Model(), tnn.functional.cross_entropy, make


CASES = {"sine-mlp": SineMLP(), "mlp": MLP(), "cnn": CNN(), "gpt": GPT()}


# -- processes ------------------------------------------------------------------------------------------------------


def serve(case: Case, library: str) -> None:
    """Run in a process of its own: the losses of the first steps, then the seconds of a step for each line that comes in.

    Threads and caches are warm again when the clock starts.
    """
    step = case.step(library)
    print(json.dumps([step() for _ in range(5)]), flush=True)
    for _ in sys.stdin:
        Timer(step).timeit(case.number)
        print(Timer(step).timeit(case.number) / case.number, flush=True)


def samplers(name: str) -> dict[str, Samplers]:
    """The steps of each library; their losses agree over the first steps."""
    case = CASES[name]
    found: Samplers = {}
    losses = []
    for library in case.variants if torch else ("JITrench",):
        command = [sys.executable, __file__, "--serve", library, name]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        losses.append(json.loads(process.stdout.readline()))

        def sample(process: Any = process) -> float:
            sleep(0.05)  # until no thread of the other waits for work in a loop
            process.stdin.write("\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        found[library] = sample
    for row in losses:
        np.testing.assert_allclose(row, losses[0], rtol=2e-3)
    return {f"{case.title}: step": found}


# -- memory ---------------------------------------------------------------------------------------------------------


def resident(peak: bool) -> int:
    """The resident size of this process in bytes, now or at its highest."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM" if peak else "VmRSS"].split()[0]) * 1024
    import resource  # where there is no /proc: the highest so far, also before the first step

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def memory_of(case: Case, library: str) -> int:
    """Run in a process of its own: by how many bytes five steps raise the resident size at its highest."""
    step = case.step(library)
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)  # what was freed before the first step is not there for it
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the highest size starts anew
    except OSError:
        pass
    before = resident(peak=False)
    for _ in range(5):
        step()
    return resident(peak=True) - before


def measure_memory(names: list[str]) -> dict[str, dict[str, float]]:
    """The least of three processes, by case and library."""
    found: dict[str, dict[str, float]] = {}
    print(f"\nPeak memory\n    {'':22}{'JITrench':>14}{'PyTorch':>14}{'JITrench is':>16}")
    for name in names:
        row = found[CASES[name].title] = {}
        for library in ("JITrench", "PyTorch") if torch else ("JITrench",):
            command = [sys.executable, __file__, "--memory-of", library, name]
            runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(3)]
            row[library] = min(map(int, runs)) / 2**20
        numbers = "".join(f"{size:11.2f} MB" for size in row.values())
        ratio = f"{row['JITrench'] / row['PyTorch']:10.2f} times" if torch else ""
        print(f"    {CASES[name].title:22}{numbers}{ratio}", flush=True)
    return found


def judge_memory(found: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """Whether each case takes at most ``MEMORY`` of PyTorch's."""
    judged = []
    for title, row in found.items():
        if "PyTorch" in row:
            value = row["JITrench"] / row["PyTorch"]
            reached = value <= MEMORY
            judged.append(
                {"case": f"{title}: memory", "against": "PyTorch", "value": value, "limit": MEMORY, "reached": reached}
            )
            text = "reached" if reached else "NOT REACHED"
            print(f"    {f'{title}: memory':50}{f'{value:.3f} of PyTorch':>22}   at most {MEMORY:<8g}{text}")
    return judged


def main() -> None:
    """Measure, print, and write."""
    if sys.argv[1:2] == ["--memory-of"]:
        print(memory_of(CASES[sys.argv[3]], sys.argv[2]))
        return
    if sys.argv[1:2] == ["--serve"]:
        serve(CASES[sys.argv[3]], sys.argv[2])
        return
    parser = argparse.ArgumentParser(description="training steps and their memory beside PyTorch's")
    known = list(CASES)
    parser.add_argument("--only", nargs="+", choices=known, default=known, metavar="CASE", help=", ".join(known))
    parser.add_argument("--repeat", type=int, default=30, help="samples of each library in each case (default 30)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers and the judgement there, too")
    parser.add_argument("--no-memory", action="store_true", help="measure time alone")
    args = parser.parse_args()
    eager.TARGETS = TARGETS
    eager.CASES.clear()
    eager.CASES.update({name: lambda name=name: samplers(name) for name in args.only})
    found = eager.environment()
    print("\n".join(f"{name:10}{value}" for name, value in found.items()))
    times = eager.measure(args.only, args.repeat)
    memory = {} if args.no_memory else measure_memory(args.only)
    print("\nTargets, of the minima")
    judged = eager.judge(times) + judge_memory(memory)
    if args.json:
        result = {"environment": found, "times": times, "memory": memory, "targets": judged}
        args.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
