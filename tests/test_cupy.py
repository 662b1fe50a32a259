"""What only a GPU can show of jitrench-cupy: run by ``pytest --backend=cupy`` on a machine that has one, and skipped elsewhere.

Those that need more (a second GPU, a kernel that keeps the first busy) say so. The first part needs neither CuPy nor a GPU.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import assert_close, backends_under_test, usable

import jitrench_core as jt

jitrench_cupy = pytest.importorskip("jitrench_cupy", reason="jitrench-cupy is not installed")
nn = pytest.importorskip("jitrench_nn", reason="jitrench-nn is not installed")
optim = pytest.importorskip("jitrench_optim", reason="jitrench-optim is not installed")

GIB = 2**30
memory_module = sys.modules["jitrench_cupy.memory"]


# -- what the messages say: without CuPy ------------------------------------------------------------------------------


def cupys(name: str, base: type[Exception], text: str) -> Exception:
    """An error as CuPy raises it: of a class from one of its modules, with its text."""
    made: Exception = type(name, (base,), {"__module__": "cupy.cuda.memory"})(text)
    return made


OUT = cupys(
    "OutOfMemoryError",
    MemoryError,
    "Out of memory allocating 3,221,225,472 bytes (allocated so far: 77,309,411,328 bytes).",
)
BESIDE = cupys("CUDARuntimeError", RuntimeError, "cudaErrorMemoryAllocation: out of memory")


@pytest.fixture
def h100(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the numbers that the GPU gives when the error comes."""

    def give(used: float, cached: float, limit: int | None = None) -> None:
        found = jitrench_cupy.Memory(
            "cupy:1", "NVIDIA H100", "9.0", 80 * GIB, GIB // 2, int(used * GIB), int(cached * GIB), limit
        )
        monkeypatch.setattr(memory_module, "_here", lambda: found)

    return give


def explain(error: Exception) -> Any:
    return jitrench_cupy.CuPy().explain(error)


def test_out_of_memory_says_needed_used_cached_and_free(h100: Any) -> None:
    h100(72, 2)
    error = explain(OUT)
    assert isinstance(error, MemoryError)
    assert isinstance(error, jt.JITrenchError)
    text = str(error)
    assert text.startswith("out of memory on cupy:1 (NVIDIA H100): 3.0 GiB (3,221,225,472 bytes) were needed. ")
    assert "Of its 80.0 GiB, arrays of this process use 72.0 GiB, CuPy's pool keeps 2.0 GiB cached" in text
    assert "CUDA itself have 5.5 GiB, and 512.0 MiB are free" in text
    assert "a smaller batch; jt.checkpoint around the model's blocks" in text
    assert "What is cached lies between arrays that are alive" in text
    assert "free_all_blocks" not in text  # CuPy has done that
    assert "nvidia-smi" not in text
    assert "set_limit" not in text


def test_out_of_memory_by_others_and_by_a_limit(h100: Any) -> None:
    h100(7, 0, 8 * GIB)
    text = str(explain(OUT))
    assert "The pool may hold 8.0 GiB at most: raise CUPY_GPU_MEMORY_LIMIT" in text
    assert "Much of the memory is others': `nvidia-smi` names the programs" in text
    assert "cached lies" not in text


def test_out_of_memory_beside_the_pool(h100: Any) -> None:
    h100(60, 12)
    text = str(explain(BESIDE))
    assert "CUDA says 'cudaErrorMemoryAllocation: out of memory'. Of its 80.0 GiB" in text
    assert "cupy.get_default_memory_pool().free_all_blocks() gives back what is cached" in text


def test_out_of_memory_of_a_gpu_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent() -> Any:
        raise RuntimeError("cudaErrorDevicesUnavailable")

    monkeypatch.setattr(memory_module, "_here", silent)
    assert "3.0 GiB (3,221,225,472 bytes) were needed; its numbers cannot be read" in str(explain(OUT))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("of Python's own"),
        ValueError("cudaErrorMemoryAllocation"),
        cupys("CUDARuntimeError", RuntimeError, "cudaErrorIllegalAddress: an illegal memory access was encountered"),
        jitrench_cupy.OutOfMemoryError("told already"),
    ],
)
def test_other_errors_are_left_alone(error: Exception) -> None:
    assert explain(error) is None


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536 * 1024, "1.5 MiB"),
        (5 * GIB // 2, "2.5 GiB"),
        (1 << 41, "2048.0 GiB"),
    ],
)
def test_sizes(n: int, text: str) -> None:
    assert memory_module.size(n) == text


def test_memory_is_a_gpus() -> None:
    with pytest.raises(jt.BackendError, match="memory\\(\\) tells of CuPy's devices, such as 'cupy:0'; got 'numpy'"):
        jitrench_cupy.memory("cpu")


# -- on a GPU ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def gpu(request: pytest.FixtureRequest) -> str:
    """The device ``"cupy:0"``."""
    if "cupy" not in backends_under_test(request.config):
        pytest.skip("the tests on a GPU run by --backend=cupy")
    return usable("cupy")


@pytest.fixture
def cupy(gpu: str) -> Any:
    return importlib.import_module("cupy")


@pytest.fixture
def hardware(cupy: Any) -> Any:
    """CuPy, where it is the real one."""
    if getattr(cupy, "_ON_CPU", False):
        pytest.skip("this is a stand-in for CuPy, and the test needs a GPU that works beside the CPU")
    return cupy


@pytest.fixture
def other(gpu: str) -> str:
    """A second GPU."""
    if (found := jt.device(gpu).backend.device_count()) < 2:
        pytest.skip(f"two GPUs are needed, and there is {found}")
    return "cupy:1"


# -- training: the models, and a step of each ---------------------------------------------------------------------------


class Training(NamedTuple):
    """A model with its optimizer and one batch."""

    model: Any
    loss: Any
    optimizer: Any
    batch: tuple[jt.Tensor, jt.Tensor]

    def step(self) -> jt.Tensor:
        x, target = self.batch
        value = self.loss(self.model(x), target)
        value.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return value.detach()


def mlp() -> Any:
    return nn.Sequential(nn.Linear(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16), nn.Tanh(), nn.Linear(10))


def cnn() -> Any:
    return nn.Sequential(
        nn.Conv2d(4, 3, padding=1), nn.BatchNorm2d(), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(10)
    )


class Block(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(3 * width), nn.Linear(width)
        self.norm2, self.up, self.gelu, self.down = (
            nn.LayerNorm(width),
            nn.Linear(2 * width),
            nn.GELU(),
            nn.Linear(width),
        )
        self.heads = 2

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        n, length, width = x.shape
        y = jt.reshape(self.qkv(self.norm(x)), (n, length, 3, self.heads, width // self.heads))
        y = jt.permute_dims(y, (2, 0, 3, 1, 4))
        y = nn.functional.scaled_dot_product_attention(y[0], y[1], y[2], is_causal=True)
        x = x + self.out(jt.reshape(jt.permute_dims(y, (0, 2, 1, 3)), (n, length, width)))
        return x + self.down(self.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.token, self.block, self.head = nn.Embedding(10, 16), Block(16), nn.Linear(10)

    def forward(self, tokens: jt.Tensor) -> jt.Tensor:
        return jt.reshape(self.head(self.block(self.token(tokens))), (-1, 10))


# Each: the model, the shape of the input (None: token indices), the shape of the target, and the optimizer.
MODELS = {
    "mlp": (mlp, (8, 20), (8,), lambda p: optim.Adam(p, lr=1e-2)),
    "cnn": (cnn, (8, 1, 8, 8), (8,), lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True)),
    "gpt": (GPT, None, (2 * 6,), lambda p: optim.AdamW(p, lr=3e-3)),
}
CASES = sorted(MODELS)


def training(name: str, device: str, seed: int = 5) -> Training:
    """The model, its weights drawn from ``seed``, on ``device``."""
    make, shape, targets, optimizer = MODELS[name]
    rng = np.random.default_rng(1)
    x = rng.integers(0, 10, (2, 6)) if shape is None else rng.normal(size=shape).astype(np.float32)
    batch = jt.tensor(x, device=device), jt.tensor(rng.integers(0, 10, targets), device=device)
    model = make()
    with jt.random.using(jt.random.Generator(seed, device=device)), jt.no_grad():
        model(batch[0])  # here the weights come to be
    return Training(model, nn.functional.cross_entropy, optimizer(model.parameters()), batch)


def weights(model: Any) -> dict[str, np.ndarray]:
    return {name: x.numpy() for name, x in model.state_dict().items()}


# -- the same numbers on CPU and GPU -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_the_same_seed_gives_the_same_weights_and_losses(name: str, gpu: str) -> None:
    """Twenty steps, with dropout: draws are bit for bit those of the CPU, the rest agrees to float32's rounding."""
    host, there = training(name, "numpy"), training(name, gpu)
    for key, value in weights(host.model).items():
        np.testing.assert_allclose(weights(there.model)[key], value, rtol=1e-6, atol=1e-7, err_msg=key)
    curves = []
    for each, device in ((host, "numpy"), (there, gpu)):
        with jt.random.using(jt.random.Generator(9, device=device)):
            curves.append([each.step().item() for _ in range(20)])
    assert curves[0][-1] < curves[0][0]
    np.testing.assert_allclose(curves[1], curves[0], rtol=2e-3, atol=2e-4)


def test_the_same_seed_gives_the_same_draws(gpu: str) -> None:
    here, there = jt.random.Generator(3), jt.random.Generator(3, device=gpu)
    for draw in (
        lambda g: g.bits(9),
        lambda g: g.uniform((4, 3)),
        lambda g: g.uniform((5,), dtype=jt.float32),
        lambda g: g.integers(0, 1000, 50),
        lambda g: g.permutation(20),
    ):
        a, b = draw(here), draw(there)
        assert b.device == gpu
        np.testing.assert_array_equal(b.numpy(), a.numpy())
    assert_close(there.normal((1000,)), here.normal((1000,)), tol=1e-13)
    assert there.state()["counter"].tolist() == here.state()["counter"].tolist()


def test_the_same_seed_gives_the_same_dropout_mask(gpu: str) -> None:
    masks = []
    for device in ("numpy", gpu):
        with jt.random.using(jt.random.Generator(11, device=device)):
            masks.append(nn.functional.dropout(jt.ones((64, 33), device=device), 0.4).numpy())
    assert 0 < np.count_nonzero(masks[0]) < masks[0].size
    np.testing.assert_array_equal(masks[1], masks[0])


# -- nothing waits for the GPU -------------------------------------------------------------------------------------------


@pytest.fixture
def waits(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A line for each time that the CPU waits for the GPU, as far as CuPy's Python can see it."""
    seen: list[str] = []
    if getattr(cupy, "_ON_CPU", False):
        monkeypatch.setattr(importlib.import_module("cupy._state"), "trace", seen)
        return seen
    copies = [False]  # a copy to the host says so, and then waits for its stream: that is once

    def note(what: str) -> None:
        lines = [
            f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_stack()[:-2] if "jitrench" in f.filename
        ]
        seen.append(" < ".join([what, *reversed(lines[-4:])]))

    def declared() -> None:
        copies[0] = True
        note("a copy to the host, or a device's synchronize()")

    def watch(cls: Any) -> None:
        real = cls.synchronize

        def synchronize(self: Any) -> None:
            if not copies[0]:
                note(f"{type(self).__name__}.synchronize")
            copies[0] = False
            real(self)

        monkeypatch.setattr(cls, "synchronize", synchronize)

    monkeypatch.setattr(importlib.import_module("cupy._core.syncdetect"), "_declare_synchronize", declared)
    watch(cupy.cuda.Stream)
    watch(cupy.cuda.Event)
    return seen


def test_the_counter_counts(gpu: str, waits: list[str]) -> None:
    x = jt.ones((3,), device=gpu)
    assert waits == []
    assert float((x + 1).sum()) == 6.0
    assert len(waits) == 1


@pytest.mark.parametrize("name", CASES)
def test_a_training_step_waits_for_nothing(name: str, gpu: str, waits: list[str]) -> None:
    trained = training(name, gpu)
    with jt.random.using(jt.random.Generator(2, device=gpu)):
        for _ in range(2):  # kernels are compiled, and slots are made
            trained.step()
        waits.clear()
        for _ in range(3):
            trained.step()
    assert waits == []


def test_clipping_schedules_and_averages_wait_for_nothing(gpu: str, waits: list[str]) -> None:
    trained = training("mlp", gpu)
    schedule = optim.WarmupCosineLR(trained.optimizer, 2, 10)
    average = optim.EMA(trained.model.parameters())
    x, target = trained.batch

    def step() -> None:
        trained.loss(trained.model(x), target).backward()
        optim.clip_grad_norm(trained.model.parameters(), 1.0)
        trained.optimizer.step()
        trained.optimizer.zero_grad()
        schedule.step()
        average.update()

    with jt.random.using(jt.random.Generator(2, device=gpu)):
        step()
        waits.clear()
        step()
        step()
    assert waits == []
    trained.optimizer.groups[0].lr = 0.5  # by somebody else
    schedule.step()
    assert len(waits) == 1  # which it has to read


def test_a_loader_that_moves_batches_waits_for_nothing(gpu: str, waits: list[str]) -> None:
    data = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    labels = np.arange(20)
    for prefetch in (0, 2):
        loader = nn.data.DataLoader(
            nn.data.ArrayDataset(data, labels), 8, shuffle=True, seed=1, device=gpu, prefetch=prefetch
        )
        batches = list(loader)
        assert waits == []
        assert [x.device for x, _ in batches] == [gpu] * 3
        rows = np.concatenate([t.numpy() for _, t in batches])
        np.testing.assert_array_equal(np.concatenate([x.numpy() for x, _ in batches]), data[rows])
        waits.clear()


@pytest.mark.parametrize(("detect_nan", "most"), [(False, 1), (None, 1), (True, 3)])
def test_the_trainer_waits_for_what_it_was_asked(
    detect_nan: bool | None, most: int, gpu: str, waits: list[str]
) -> None:
    """``clip`` looks at the norm, ``detect_nan`` at the loss and the gradients; an epoch's end fetches its mean loss and the rate."""
    trained = training("mlp", gpu)
    x, target = trained.batch
    steps = 6
    trainer = nn.Trainer(
        trained.model, nn.functional.cross_entropy, trained.optimizer, detect_nan=detect_nan, clip=1.0, progress=False
    )
    batches = nn.data.DataLoader([(x, target)] * steps, batch_size=None)
    trainer.fit(batches, epochs=1)
    waits.clear()
    trainer.fit(batches, epochs=1)
    # At the end of the epoch the loss and the learning rate of the history's row, and of the fit each parameter is looked at.
    after = 2 + bool(detect_nan) * len(list(trained.model.parameters()))
    assert len(waits) <= most * steps + after, waits


class Inputs:
    """What the calls below work on."""

    def __init__(self, gpu: str) -> None:
        rng = np.random.default_rng(0)
        self.host = rng.normal(size=(4, 3))
        self.device = gpu
        self.x, self.v = jt.tensor(self.host, device=gpu), jt.tensor(np.arange(6.0), device=gpu)
        self.i = jt.tensor([0, 2, 1, 2], device=gpu)
        self.mask = self.x > 0
        self.matrix = jt.tensor(2 * np.eye(3), device=gpu)
        self.draws = jt.random.Generator(1, device=gpu)
        self.logits = jt.tensor(self.host, device=gpu)


WAITS: dict[str, tuple[bool, Callable[[Inputs], Any]]] = {
    "tensor": (False, lambda a: jt.tensor(a.host, device=a.device)),
    "to": (False, lambda a: jt.tensor(a.host).to(a.device)),
    "where": (False, lambda a: jt.where(a.mask, a.x, 0.0)),
    "index": (False, lambda a: a.x[a.i]),
    "at": (False, lambda a: jt.grad(lambda x: x.at[a.i].add(x[a.i]).sum())(a.x)),
    "sort": (False, lambda a: jt.sort(a.v)),
    "solve": (False, lambda a: jt.linalg.solve(a.matrix, a.v[:3])),
    "svd": (False, lambda a: jt.linalg.svd(a.matrix)),
    "one_hot": (False, lambda a: jt.one_hot(a.i, 4)),
    "permutation": (False, lambda a: a.draws.permutation(9)),
    "bernoulli": (False, lambda a: a.draws.bernoulli(0.5, (3,))),
    "hessian": (False, lambda a: jt.hessian(lambda v: jt.sum(v**3))(a.v)),
    "vmap": (False, lambda a: jt.vmap(jt.sin)(a.x)),
    "mask": (True, lambda a: a.x[a.mask]),
    "item": (True, lambda a: a.v[0].item()),
    "numpy": (True, lambda a: a.v.numpy()),
    "to host": (True, lambda a: a.v.to("numpy")),
    "nonzero": (True, lambda a: jt.nonzero(a.v)),
    "unique": (True, lambda a: jt.unique_values(a.i)),
    "repeat": (True, lambda a: jt.repeat(a.i, a.i)),
    "apply_where": (True, lambda a: jt.apply_where(a.v > 2, jt.sqrt, a.v)),
    "cholesky": (True, lambda a: jt.linalg.cholesky(a.matrix)),
    "eigh": (True, lambda a: jt.linalg.eigh(a.matrix)),
    "categorical": (True, lambda a: a.draws.categorical(a.v)),
    "accuracy": (True, lambda a: nn.metrics.accuracy(a.logits, a.i)),
}


@pytest.mark.parametrize("name", WAITS)
def test_what_waits(name: str, gpu: str, waits: list[str]) -> None:
    """The table in docs/cupy.md."""
    expected, call = WAITS[name]
    inputs = Inputs(gpu)
    call(inputs)
    waits.clear()
    call(inputs)
    assert bool(waits) == expected, waits


RULES = (
    "SGD",
    "Adam",
    "AdamW",
    "NAdam",
    "RAdam",
    "Adamax",
    "RMSprop",
    "Adagrad",
    "Adadelta",
    "Lion",
    "LAMB",
    "Adafactor",
    "Muon",
)


@pytest.mark.parametrize("rule", RULES)
def test_no_optimizer_waits(rule: str, gpu: str, waits: list[str]) -> None:
    p = jt.ones((4, 3), dtype=jt.float32, device=gpu)
    p.requires_grad = True
    optimizer = getattr(optim, rule)([p], lr=1e-3)
    p.grad = jt.full((4, 3), 0.5, dtype=jt.float32, device=gpu)
    optimizer.step()
    waits.clear()
    optimizer.step()
    assert waits == []


def test_values_out_of_range_are_nan_where_nobody_looks(gpu: str, waits: list[str]) -> None:
    weight = jt.ones((3, 2), device=gpu)
    rows = nn.functional.embedding(jt.tensor([0, 3, -1], device=gpu), weight)
    x = jt.zeros((2, 3), device=gpu)
    losses = [
        nn.functional.cross_entropy(x, jt.tensor(target, device=gpu), reduction="none") for target in ([0, 2], [0, 3])
    ]
    assert waits == []
    assert_close(rows, [[1.0, 1.0], [np.nan, np.nan], [np.nan, np.nan]])
    assert_close(losses[0], np.log([3.0, 3.0]))
    assert_close(losses[1], [np.log(3.0), np.nan])


SPIN = r"""
extern "C" __global__ void spin(long long cycles) {
    long long start = clock64();
    while (clock64() - start < cycles) {}
}
"""


def keep_busy(cupy: Any, seconds: float = 1.0) -> Any:
    """Occupy the current stream; the event that comes after."""
    kernel = cupy.RawKernel(SPIN, "spin")
    kernel((1,), (1,), (cupy.int64(1),))
    cupy.cuda.Device().synchronize()
    rate = cupy.cuda.Device().attributes.get("ClockRate", 2_000_000) * 1000  # kHz
    kernel((1,), (1,), (cupy.int64(int(rate * seconds)),))
    done = cupy.cuda.Event()
    done.record()
    return done


@pytest.mark.parametrize("name", CASES)
def test_a_training_step_ends_before_the_gpu_begins_it(name: str, gpu: str, hardware: Any) -> None:
    """The proof by hardware: while another kernel keeps the stream busy, a step is queued whole, and returns."""
    trained = training(name, gpu)
    with jt.random.using(jt.random.Generator(2, device=gpu)):
        for _ in range(5):
            trained.step()
        done = keep_busy(hardware)
        trained.step()
        assert not done.done, "the step waited for the kernel before it: something in it synchronises"
    done.synchronize()


# -- streams ---------------------------------------------------------------------------------------------------------------


def test_ops_go_to_the_current_stream(gpu: str, cupy: Any) -> None:
    x = jt.tensor(np.arange(6.0), device=gpu, requires_grad=True)
    cupy.cuda.Device().synchronize()  # x is made on another stream
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        y = (x * x).sum()
        y.backward()
    stream.synchronize()
    assert y.item() == 55.0
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]


def test_one_stream_does_not_wait_for_another(gpu: str, hardware: Any) -> None:
    x = jt.ones((100,), device=gpu)
    first, second = hardware.cuda.Stream(non_blocking=True), hardware.cuda.Stream(non_blocking=True)
    with second:
        assert (x + 1).sum().item() == 200.0  # compiled
    with first:
        done = keep_busy(hardware)
    with second:
        assert (x + 1).sum().item() == 200.0
    assert not done.done, "the op did not run on the stream that was current"
    done.synchronize()


# -- memory ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_pool(cupy: Any) -> Iterator[None]:
    """For the test, CuPy's pool may hold 64 MiB more than it does."""
    pool = cupy.get_default_memory_pool()
    before = pool.get_limit()
    gc.collect()
    pool.free_all_blocks()
    pool.set_limit(size=pool.total_bytes() + 64 * 2**20)
    yield
    pool.set_limit(size=before)


WANT = r"out of memory on cupy:0 \(.*\): .* were needed\. .*The pool may hold 64\.0 MiB at most.*What helps: a smaller batch"


def test_an_op_that_runs_out_of_memory(gpu: str, small_pool: None) -> None:
    x = jt.ones((3, 2**20), device=gpu)  # 24 MiB
    with pytest.raises(jitrench_cupy.OutOfMemoryError, match=WANT) as caught:
        jt.concat([x, x, x])
    assert any("in concat() of" in note for note in caught.value.__notes__)
    y = jt.ones((3, 2**20), device=gpu)  # there is room for another
    with pytest.raises(MemoryError, match=WANT):
        x + y
    del x, y, caught
    gc.collect()
    assert jt.ones((3, 2**20), device=gpu).shape == (3, 2**20)  # and nothing is broken


def test_creating_more_than_there_is(gpu: str, small_pool: None) -> None:
    for make in (
        lambda: jt.zeros((2**24,), device=gpu),
        lambda: jt.tensor(np.zeros(2**24), device=gpu),
    ):
        with pytest.raises(jitrench_cupy.OutOfMemoryError, match=WANT):
            make()


def test_memory_tells_of_the_pool(gpu: str, small_pool: None) -> None:
    before = jitrench_cupy.memory(gpu)
    x = jt.zeros((2**20,), device=gpu)
    during = jitrench_cupy.memory("cuda")
    del x
    after = jitrench_cupy.memory(jt.device(gpu))
    assert before.device == "cupy:0"
    assert before.limit is not None
    assert before.limit >= 64 * 2**20
    assert during.used - before.used == 8 * 2**20
    assert after.used == before.used
    assert after.cached >= before.cached
    assert 0 < after.free <= after.total
    assert "; CuPy's pool: " in str(after)
    assert float(after.compute_capability) > 0


def test_doctor_shows_the_gpu(gpu: str, capsys: pytest.CaptureFixture[str]) -> None:
    from jitrench_core import cli

    cli.main(["doctor", "--json"])
    found = {b["name"]: b["details"] for b in json.loads(capsys.readouterr().out)["backends"]}
    assert found["cupy"].keys() >= {"CuPy", "CUDA runtime", "CUDA driver", "TF32", "cupy:0"}
    assert "CuPy's pool: " in found["cupy"]["cupy:0"]
    assert found["numpy"] == {}


# -- several GPUs ----------------------------------------------------------------------------------------------------------


def test_two_gpus(gpu: str, other: str) -> None:
    with jt.device(other):
        x = jt.tensor([1.0, 2.0], requires_grad=True)
        made = jt.zeros(3)
    assert x.device == made.device == other
    y = (x * x).sum()  # outside of the block, while CuPy's current GPU is the first
    assert y.device == other
    y.backward()
    assert x.grad is not None
    assert x.grad.device == other
    assert x.grad.tolist() == [2.0, 4.0]
    with pytest.raises(jt.DeviceMismatchError, match=r"add\(\) got operands on different devices: .*cupy:1.*cupy:0"):
        x + jt.ones((2,), device=gpu)
    z = (x.to(gpu) * 3).sum()
    z.backward()
    assert z.device == gpu
    assert x.grad.tolist() == [5.0, 7.0]


@pytest.mark.parametrize("name", CASES)
def test_training_on_the_second_gpu(name: str, gpu: str, other: str) -> None:
    curves = []
    for device in (gpu, other):
        each = training(name, device)
        with jt.random.using(jt.random.Generator(9, device=device)):
            curves.append([each.step().item() for _ in range(5)])
        assert {str(p.device) for p in each.model.parameters()} == {device}
    np.testing.assert_allclose(curves[1], curves[0], rtol=1e-5)


# -- precision ---------------------------------------------------------------------------------------------------------------


def test_tf32_is_off_and_can_be_allowed(gpu: str, hardware: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if float(jitrench_cupy.memory(gpu).compute_capability) < 8:
        pytest.skip("TF32 needs compute capability 8.0")
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(512, 512)).astype(np.float32) for _ in range(2))
    exact = a.astype(np.float64) @ b.astype(np.float64)

    def error() -> float:
        product = (jt.tensor(a, device=gpu) @ jt.tensor(b, device=gpu)).numpy()
        return float(np.abs(product - exact).max() / np.abs(exact).max())

    with jitrench_cupy.allow_tf32(False):
        assert not jitrench_cupy.tf32_allowed()
        assert error() < 5e-6
        with jitrench_cupy.allow_tf32():
            assert jitrench_cupy.tf32_allowed()
            assert 2e-5 < error() < 5e-3
        assert not jitrench_cupy.tf32_allowed()
        assert error() < 5e-6


def test_float16(gpu: str) -> None:
    x = jt.tensor(np.linspace(-2, 2, 9), dtype=jt.float16, device=gpu, requires_grad=True)
    y = jt.tanh(x).sum()
    y.backward()
    assert x.grad is not None
    assert (y.dtype, x.grad.dtype) == (jt.float16, jt.float16)
    assert_close(x.grad, 1 - np.tanh(np.linspace(-2, 2, 9)) ** 2, tol=3e-3)


# -- a kernel of a plugin's own ----------------------------------------------------------------------------------------------


def test_a_cupy_kernel_in_an_op(gpu: str, hardware: Any) -> None:
    from jitrench_core.backend import PLUGIN_KERNELS

    @jt.op(elementwise=True, vjp={"x": lambda g, x: g / (1 + abs(x)) ** 2}, name="test_softsign")
    def softsign(xp: Any, x: Any, /) -> Any:
        """x / (1 + |x|)."""
        return x / (1 + xp.abs(x))

    kernel = hardware.ElementwiseKernel("T x", "T y", "y = x / (1 + abs(x))", "test_softsign")
    PLUGIN_KERNELS["test_softsign", "cupy"] = ("test", kernel)
    try:
        x = jt.tensor([-1.0, 3.0], device=gpu, requires_grad=True)
        y = softsign(x)
        assert y.tolist() == [-0.5, 0.75]
        y.sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [0.25, 0.0625]
    finally:
        del PLUGIN_KERNELS["test_softsign", "cupy"]
