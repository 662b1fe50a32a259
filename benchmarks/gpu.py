"""JITrench on a GPU beside raw CuPy, PyTorch eager and JAX under jit, in one run: products, chains and whole training steps.

    python benchmarks/gpu.py --repeat 30 --json gpu.json
    python benchmarks/gpu.py --device numpy --repeat 2      # a rehearsal on the CPU, whose numbers say nothing of a GPU

What is not installed, or finds no GPU, is left out, and a line says so; without CuPy or a GPU nothing is measured, and the exit
code is 1. Models, weights and data are those of training.py; all libraries start from the same float32 weights, and their losses over
the first steps must agree. TF32 is off in all of them (``--tf32`` turns it on in all).

A sample is the seconds per call, on the CPU's clock, from an empty queue to the event that follows the last call; no call waits for
the GPU. Libraries take turns, and ratios are of the minima. Memory is the most that a library has at any time of three steps, model
and optimizer included, as its own allocator counts it.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # else JAX takes three quarters of the memory
sys.path.insert(0, str(Path(__file__).parent))

import training
from eager import Samplers, Times, in_turn, jt, np, torch

Call = Callable[[], Any]
Arrays = dict[str, Any]


class Absent(Exception):
    """Nothing can be measured here; the message says why."""


class Library:
    """One of those that are compared: how a call is waited for, and how much memory it has."""

    def __init__(self, name: str, wait: Callable[[Any], None], peak: Callable[[Call], int] | None = None) -> None:
        self.name = name
        self.wait = wait
        """Return when the GPU has done all that came before, given what the last call returned."""
        self.peak = peak
        """The most bytes that a call, which builds a step and runs it, takes at any time."""


class Place:
    """The device, and the libraries that compute on it."""

    def __init__(self, device: str, tf32: bool) -> None:
        self.device = device
        self.on_gpu = not device.startswith(("numpy", "cpu"))
        self.tf32 = tf32
        self.notes: list[str] = []
        self.libraries: dict[str, Library] = {}
        self.jax: Any = None
        self.torch_device = "cpu"
        if self.on_gpu:
            self._cupy()
        else:
            self.xp: Any = np
            self.raw = "NumPy"
            self.libraries["JITrench"] = Library("JITrench", lambda _: None)
            self.libraries["NumPy"] = Library("NumPy", lambda _: None)
        self._torch()
        self._jax()

    def _cupy(self) -> None:
        try:
            import cupy
        except ImportError as e:
            raise Absent(f"CuPy does not import ({e}): pip install 'jitrench-cupy[cuda13]', or [cuda12]") from e
        try:
            place = jt.device(self.device)
            jt.zeros(1, device=place)
            cupy.cuda.Device(place.index).use()
        except jt.JITrenchError as e:
            raise Absent(str(e)) from e
        import jitrench_cupy

        if self.tf32 != jitrench_cupy.tf32_allowed():
            jitrench_cupy.allow_tf32(self.tf32)
        self.index = place.index
        self.xp, self.raw = cupy, "CuPy"

        def wait(_: Any) -> None:
            event = cupy.cuda.Event(disable_timing=True)
            event.record()
            event.synchronize()

        self.libraries["JITrench"] = Library("JITrench", wait, lambda call: cupy_peak(cupy, call, wait))
        self.libraries["CuPy"] = Library("CuPy", wait, lambda call: cupy_peak(cupy, call, wait))

    def _torch(self) -> None:
        if torch is None:
            self.notes.append("PyTorch is not installed: left out")
            return
        if not self.on_gpu:
            self.libraries["PyTorch"] = Library("PyTorch", lambda _: None)
            return
        if not torch.cuda.is_available():
            self.notes.append(f"PyTorch {torch.__version__} finds no GPU: left out")
            return
        self.torch_device = f"cuda:{self.index}"
        torch.cuda.set_device(self.index)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self.tf32

        def wait(_: Any) -> None:
            event = torch.cuda.Event()
            event.record()
            event.synchronize()

        def peak(call: Call) -> int:
            gc.collect()
            torch.cuda.empty_cache()
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            wait(call())
            return int(torch.cuda.max_memory_allocated() - before)

        self.libraries["PyTorch"] = Library("PyTorch", wait, peak)

    def _jax(self) -> None:
        try:
            import jax
        except ImportError:
            self.notes.append("JAX is not installed: left out")
            return
        try:
            devices = jax.devices("gpu" if self.on_gpu else "cpu")
        except RuntimeError:
            self.notes.append(f"JAX {jax.__version__} finds no GPU: left out")
            return
        jax.config.update("jax_default_device", devices[self.index if self.on_gpu else 0])
        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if self.tf32 else "float32")
        self.jax = jax
        self.libraries["JAX"] = Library("JAX", lambda last: jax.block_until_ready(last))

    def environment(self) -> dict[str, str]:
        found = {"device": self.device, "JITrench": jt.__version__, "NumPy": np.__version__}
        if self.on_gpu:
            import jitrench_cupy

            found |= jitrench_cupy.versions() | {"GPU": str(jitrench_cupy.memory(self.device))}
        if "PyTorch" in self.libraries:
            found["PyTorch"] = str(torch.__version__)
        if self.jax is not None:
            found["JAX"] = str(self.jax.__version__)
        return found | {"TF32": "on" if self.tf32 else "off"}


def cupy_peak(cupy: Any, call: Call, wait: Callable[[Any], None]) -> int:
    """The most bytes that CuPy's pool has lent at any time of the call, beyond those before it."""

    class Peak(cupy.cuda.MemoryHook):  # type: ignore[misc, name-defined]
        name = "Peak"
        now = most = 0

        def malloc_postprocess(self, **of: Any) -> None:
            if of["mem_ptr"]:
                self.now += of["mem_size"]
                self.most = max(self.most, self.now)

        def free_postprocess(self, **of: Any) -> None:
            self.now -= of["mem_size"]

    gc.collect()
    with Peak() as hook:
        wait(call())
    return int(hook.most)


def sampler(call: Call, number: int, wait: Callable[[Any], None]) -> Callable[[], float]:
    """Seconds per call, over ``number`` calls that are queued one after the other."""

    def sample() -> float:
        wait(call())
        gc.disable()
        try:
            begin = perf_counter()
            for _ in range(number):
                last = call()
            wait(last)
            return (perf_counter() - begin) / number
        finally:
            gc.enable()

    return sample


# -- products and chains ------------------------------------------------------------------------------------------------


def matmul(place: Place) -> dict[str, dict[str, Call]]:
    """The 512 x 512 product, JITrench.jl's headline: alone, and with both gradients of its sum."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(512, 512)).astype(np.float32) for _ in range(2))
    x, w = (jt.tensor(v, device=place.device, requires_grad=True) for v in (a, b))
    ra, rb = place.xp.asarray(a), place.xp.asarray(b)
    ones = place.xp.ones_like(ra)

    def ours() -> Any:
        return jt.grad(lambda p, q: jt.sum(p @ q), argnums=(0, 1))(x, w)

    def raw() -> Any:
        (ra @ rb).sum()
        return ones @ rb.T, ra.T @ ones

    alone: dict[str, Call] = {"JITrench": lambda: x @ w, place.raw: lambda: ra @ rb}
    both: dict[str, Call] = {"JITrench": ours, place.raw: raw}
    if "PyTorch" in place.libraries:
        p, q = (torch.tensor(v, device=place.torch_device, requires_grad=True) for v in (a, b))
        alone["PyTorch"] = lambda: p @ q
        both["PyTorch"] = lambda: torch.autograd.grad((p @ q).sum(), (p, q))
    if place.jax is not None:
        jnp = place.jax.numpy
        ja, jb = jnp.asarray(a), jnp.asarray(b)
        product = place.jax.jit(lambda u, v: u @ v)
        gradient = place.jax.jit(place.jax.grad(lambda u, v: (u @ v).sum(), argnums=(0, 1)))
        alone["JAX"] = lambda: product(ja, jb)
        both["JAX"] = lambda: gradient(ja, jb)
    agree(alone)
    agree(both)
    return {"512 x 512 product": alone, "512 x 512 product and both gradients": both}


def chain(place: Place) -> dict[str, dict[str, Call]]:
    """sin(x) exp(-x x) + tanh(x) / (1 + x x), elementwise, and its gradient: of few elements, and of many."""
    found: dict[str, dict[str, Call]] = {}
    for n in (10_000, 10_000_000 if place.on_gpu else 100_000):
        data = np.random.default_rng(0).normal(size=n).astype(np.float32)
        x = jt.tensor(data, device=place.device)
        r, xp = place.xp.asarray(data), place.xp

        def f(lib: Any, v: Any) -> Any:
            return lib.sin(v) * lib.exp(-(v * v)) + lib.tanh(v) / (1 + v * v)

        def ours(x: Any = x) -> Any:
            return jt.grad(lambda v: jt.sum(f(jt, v)))(x)

        def raw(r: Any = r, xp: Any = xp) -> Any:
            e, t, q = xp.exp(-(r * r)), xp.tanh(r), 1 + r * r
            s = xp.sin(r)
            (s * e + t / q).sum()
            return xp.cos(r) * e - 2 * r * s * e + (1 - t * t) / q - 2 * r * t / (q * q)

        calls: dict[str, Call] = {"JITrench": ours, place.raw: raw}
        if "PyTorch" in place.libraries:
            p = torch.tensor(data, device=place.torch_device, requires_grad=True)
            calls["PyTorch"] = lambda p=p: torch.autograd.grad(f(torch, p).sum(), p)[0]
        if place.jax is not None:
            j = place.jax.numpy.asarray(data)
            gradient = place.jax.jit(place.jax.grad(lambda v: f(place.jax.numpy, v).sum()))
            calls["JAX"] = lambda gradient=gradient, j=j: gradient(j)
        agree(calls)
        found[f"chain of 10 functions with its gradient, {n:,} elements"] = calls
    return found


def host(x: Any) -> Any:
    """A NumPy array of what a library returned."""
    if type(x) is jt.Tensor:
        return x.numpy()
    if torch is not None and isinstance(x, torch.Tensor):
        return x.detach().cpu().numpy()
    return x.get() if hasattr(x, "get") else np.asarray(x)


def agree(calls: dict[str, Call]) -> None:
    """All libraries compute the same."""
    found = {name: call() for name, call in calls.items()}
    values = {name: host(x[0] if isinstance(x, tuple) else x) for name, x in found.items()}
    for name, value in values.items():
        np.testing.assert_allclose(value, values["JITrench"], rtol=2e-2, atol=2e-2, err_msg=name)


# -- training steps -------------------------------------------------------------------------------------------------------


def given(case: training.Case) -> tuple[Arrays, Any, Any]:
    """The weights and the batch, NumPy's: the same each time."""
    rng = np.random.default_rng(0)
    weights = case.weights(rng)
    return weights, *case.batch(rng)


def with_jitrench(place: Place, case: training.Case) -> Call:
    weights, x, t = given(case)
    x, t = (jt.tensor(v, device=place.device) for v in (x, t))
    with jt.device(place.device), jt.no_grad():
        model, loss, make = case.ours()
        model.load_state_dict({name: jt.tensor(v, device=place.device) for name, v in weights.items()})
        model(x[:1])  # where layers get what was loaded
    assert {str(p.device) for p in model.parameters()} == {str(jt.device(place.device))}
    step = training.stepping(model, loss, make(model.parameters()), x, t)
    return lambda: step().detach()


def with_torch(place: Place, case: training.Case, variant: str) -> Call:
    weights, x, t = given(case)
    x, t = (torch.tensor(v, device=place.torch_device) for v in (x, t))
    model, loss, make = case.theirs(variant)
    model.load_state_dict({name: torch.tensor(v) for name, v in weights.items()})
    model.to(place.torch_device)
    step = training.stepping(model, loss, make(model.parameters()), x, t)
    return lambda: step().detach()


def by_hand(place: Place, case: training.Case) -> Call:
    """The MLP's step in the array library alone, derivatives and Adam written out."""
    weights, x, t = given(case)
    xp = place.xp
    w = {name: xp.asarray(v) for name, v in weights.items()}
    x, t = xp.asarray(x), xp.asarray(t)
    slots = {name: (xp.zeros_like(v), xp.zeros_like(v)) for name, v in w.items()}
    rows, layers = xp.arange(len(x)), ("0", "2", "4")
    count = 0

    def step() -> Any:
        nonlocal count
        count += 1
        seen = [x]
        for k in layers:
            y = seen[-1] @ w[f"{k}.weight"].T + w[f"{k}.bias"]
            seen.append(xp.maximum(y, 0) if k != layers[-1] else y)
        y = seen[-1] - seen[-1].max(axis=1, keepdims=True)
        e = xp.exp(y)
        total = e.sum(axis=1, keepdims=True)
        loss = (xp.log(total[:, 0]) - y[rows, t]).mean()
        g = e / total
        g[rows, t] -= 1
        g /= len(x)
        for k, before in zip(reversed(layers), reversed(seen[:-1]), strict=True):
            gradients = {f"{k}.weight": g.T @ before, f"{k}.bias": g.sum(axis=0)}
            if k != layers[0]:
                g = (g @ w[f"{k}.weight"]) * (before > 0)
            for name, d in gradients.items():
                m, v = slots[name]
                m += 0.1 * (d - m)
                v += 0.001 * (d * d - v)
                size = 1e-3 / (1 - 0.9**count)
                w[name] -= size * m / (xp.sqrt(v / (1 - 0.999**count)) + 1e-8)
        return loss

    return step


def with_jax(place: Place, case: training.Case) -> Call:
    """The same models in JAX's functions; the whole step is one compiled call."""
    jax = place.jax
    jnp, lax = jax.numpy, jax.lax

    def linear(w: Arrays, name: str, x: Any) -> Any:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(w: Arrays, name: str, x: Any) -> Any:
        x = x - x.mean(-1, keepdims=True)
        return x * lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def mlp(w: Arrays, x: Any) -> Any:
        return linear(w, "4", jax.nn.relu(linear(w, "2", jax.nn.relu(linear(w, "0", x)))))

    def cnn(w: Arrays, x: Any) -> Any:
        for name in ("0", "3"):
            x = lax.conv_general_dilated(x, w[f"{name}.weight"], (1, 1), ((1, 1), (1, 1)))
            x = jax.nn.relu(x + w[f"{name}.bias"][:, None, None])
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
        return linear(w, "7", x.reshape(len(x), -1))

    def gpt(w: Arrays, tokens: Any) -> Any:
        d, heads = case.width, case.heads  # type: ignore[attr-defined]
        x = w["token.weight"][tokens] + w["place"]
        n, length, _ = x.shape
        hidden = jnp.where(jnp.tril(jnp.ones((length, length), bool)), 0.0, -jnp.inf)
        for i in range(case.blocks):  # type: ignore[attr-defined]
            at = f"blocks.{i}"
            y = linear(w, f"{at}.qkv", norm(w, f"{at}.norm1", x)).reshape(n, length, 3, heads, d // heads)
            q, k, v = y.transpose(2, 0, 3, 1, 4)
            weights = jax.nn.softmax(q @ k.swapaxes(-1, -2) / (d // heads) ** 0.5 + hidden)
            x = x + linear(w, f"{at}.project", (weights @ v).transpose(0, 2, 1, 3).reshape(n, length, d))
            y = jax.nn.gelu(linear(w, f"{at}.up", norm(w, f"{at}.norm2", x)), approximate=False)
            x = x + linear(w, f"{at}.down", y)
        return linear(w, "head", norm(w, "norm", x)).reshape(-1, case.vocabulary)  # type: ignore[attr-defined]

    def adam(decay: float, lr: float) -> Any:
        def update(p: Any, g: Any, m: Any, v: Any, n: Any) -> Any:
            m, v = m + 0.1 * (g - m), v + 0.001 * (g * g - v)
            change = m / (1 - 0.9**n) / (jnp.sqrt(v / (1 - 0.999**n)) + 1e-8)
            return p * (1 - lr * decay) - lr * change, m, v

        return update

    def momentum(p: Any, g: Any, m: Any, v: Any, n: Any) -> Any:
        m = 0.9 * m + g
        return p - 0.01 * m, m, v

    forward, update = {
        training.MLP: (mlp, adam(0.0, 1e-3)),
        training.CNN: (cnn, momentum),
        training.GPT: (gpt, adam(0.01, 3e-4)),
    }[type(case)]

    def loss(w: Arrays, x: Any, t: Any) -> Any:
        scores = jax.nn.log_softmax(forward(w, x))
        return -jnp.take_along_axis(scores, t[:, None], 1).mean()

    def whole(w: Arrays, slots: Arrays, n: Any, x: Any, t: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)(w, x, t)
        made = {k: update(w[k], gradients[k], *slots[k], n) for k in w}
        return {k: p for k, (p, _, _) in made.items()}, {k: (m, v) for k, (_, m, v) in made.items()}, n + 1, value

    compiled = jax.jit(whole, donate_argnums=(0, 1) if place.on_gpu else ())
    weights, x, t = given(case)
    w: Arrays = {name: jnp.asarray(v) for name, v in weights.items()}
    state: list[Any] = [w, {k: (jnp.zeros_like(v), jnp.zeros_like(v)) for k, v in w.items()}, jnp.asarray(1.0)]
    x, t = jnp.asarray(x), jnp.asarray(t)

    def step() -> Any:
        *state[:], value = compiled(*state, x, t)
        return value

    return step


def builders(place: Place, case: training.Case) -> dict[str, Callable[[], Call]]:
    """How each library makes its step."""
    found: dict[str, Callable[[], Call]] = {"JITrench": lambda: with_jitrench(place, case)}
    if isinstance(case, training.MLP):
        found[place.raw] = lambda: by_hand(place, case)
    if "PyTorch" in place.libraries:
        found["PyTorch"] = lambda: with_torch(place, case, "PyTorch")
        if "fused" in case.variants:
            found["fused"] = lambda: with_torch(place, case, "fused")
    if place.jax is not None:
        found["JAX"] = lambda: with_jax(place, case)
    return found


def steps(place: Place, name: str) -> dict[str, dict[str, Call]]:
    case = training.CASES[name]
    found = {library: build() for library, build in builders(place, case).items()}
    losses = {library: [float(host(step())) for _ in range(5)] for library, step in found.items()}
    for library, row in losses.items():
        np.testing.assert_allclose(row, losses["JITrench"], rtol=2e-2 if place.tf32 else 2e-3, err_msg=library)
    return {f"{case.title}: step": found}


CASES: dict[str, tuple[int, Callable[[Place], dict[str, dict[str, Call]]]]] = {
    "matmul": (50, matmul),
    "chain": (20, chain),
    "mlp": (20, lambda place: steps(place, "mlp")),
    "cnn": (10, lambda place: steps(place, "cnn")),
    "gpt": (5, lambda place: steps(place, "gpt")),
}


# -- measuring -----------------------------------------------------------------------------------------------------------


def measure(place: Place, name: str, repeat: int) -> Times:
    """Minimum and median seconds of each library in each row of a case."""
    number, make = CASES[name]
    number = number if place.on_gpu else 2
    times: Times = {}
    for title, calls in make(place).items():
        samplers: Samplers = {
            library: sampler(call, number, place.libraries["PyTorch" if library == "fused" else library].wait)
            for library, call in calls.items()
        }
        times[title] = in_turn(samplers, repeat)
    return times


def measure_memory(place: Place, name: str) -> dict[str, int]:
    """The peak of each library that counts its memory."""
    found = {}
    for library, build in builders(place, training.CASES[name]).items():
        peak = place.libraries["PyTorch" if library == "fused" else library].peak
        if peak is not None:

            def call(build: Callable[[], Call] = build) -> Any:
                step = build()
                for _ in range(3):
                    last = step()
                return last

            found[library] = peak(call)
    return found


def table(times: Times, memory: dict[str, dict[str, int]]) -> list[str]:
    """One row each: JITrench's minimum, and how many times that of each library it is."""
    rows = {title: {k: v["minimum"] for k, v in row.items()} for title, row in times.items()}
    rows |= {f"{training.CASES[name].title}: peak memory": dict(row) for name, row in memory.items() if row}
    others = list(dict.fromkeys(library for row in rows.values() for library in row if library != "JITrench"))
    lines = [f"{'':56}{'JITrench':>12}" + "".join(f"{'/ ' + library:>12}" for library in others)]
    for title, row in rows.items():
        ours = row["JITrench"]
        shown = f"{ours / 2**20:9.1f} MB" if title.endswith("memory") else f"{ours * 1e6:9.1f} us"
        ratios = (f"{ours / row[library]:12.2f}" if row.get(library) else f"{'':12}" for library in others)
        lines.append(f"{title:56}{shown:>12}" + "".join(ratios))
    return [line.rstrip() for line in lines]


def main() -> int:
    """Measure, print, and write; the exit code."""
    parser = argparse.ArgumentParser(description="JITrench on a GPU beside raw CuPy, PyTorch and JAX")
    known = list(CASES)
    parser.add_argument("--only", nargs="+", choices=known, default=known, metavar="CASE", help=", ".join(known))
    parser.add_argument("--repeat", type=int, default=30, help="samples of each library in each row (default 30)")
    parser.add_argument(
        "--device", default="cuda:0", help="where: cuda:0 (default), or numpy for a rehearsal on the CPU"
    )
    parser.add_argument("--tf32", action="store_true", help="let float32 products use TF32, in all libraries")
    parser.add_argument("--no-memory", action="store_true", help="measure time alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")
    args = parser.parse_args()
    try:
        place = Place(args.device, args.tf32)
    except Absent as e:
        print(f"no GPU here: nothing was measured ({e})")
        return 1
    found = place.environment()
    print("\n".join([*(f"{name:14}{value}" for name, value in found.items()), *place.notes]), flush=True)
    if not place.on_gpu:
        print("A rehearsal on the CPU: these numbers say nothing of a GPU.")
    times: Times = {}
    memory: dict[str, dict[str, int]] = {}
    failed: list[str] = []
    for name in args.only:
        parts: dict[str, Call] = {name: lambda name=name: times.update(measure(place, name, max(args.repeat, 1)))}
        if name in training.CASES and place.on_gpu and not args.no_memory:
            parts[f"{name}, memory"] = lambda name=name: memory.update({name: measure_memory(place, name)})
        for what, run in parts.items():
            try:  # one that fails takes no other with it
                run()
                print(f"    {what}: measured", flush=True)
            except Exception:
                traceback.print_exc()
                failed.append(what)
                print(f"    {what}: FAILED, see above", flush=True)
            gc.collect()
    print("\nMinima, and how many times those of another library ours are\n")
    print("\n".join(table(times, memory)))
    if args.json:
        result = {"environment": found, "notes": place.notes, "times": times, "memory": memory, "failed": failed}
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
