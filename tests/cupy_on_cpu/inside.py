"""The stand-in for CuPy itself, and the backend on it: run by tests/test_cupy_on_cpu.py in a process of their own.

``PYTHONPATH=tests/cupy_on_cpu CUPY_ON_CPU_DEVICES=2 pytest tests/cupy_on_cpu/inside.py``
"""

from __future__ import annotations

import json
from pathlib import Path

import cupy as cp
import cupyx
import numpy as np
import pytest
from cupy import _kernels, _state

import jitrench_core as jt
import jitrench_cupy
import jitrench_nn as nn
import jitrench_optim as optim

NAMES = json.loads((Path(__file__).parent / "names.json").read_text())

# -- the stand-in: what it refuses ---------------------------------------------------------------------------------------


def test_it_has_no_name_that_cupy_lacks():
    for name, module in (
        ("cupy", cp),
        ("cupy.linalg", cp.linalg),
        ("cupy.fft", cp.fft),
        ("cupy.cuda", cp.cuda),
        ("cupyx", cupyx),
    ):
        ours = {n for n in vars(module) if not n.startswith("_")} - {"annotations", "sys", "Any", "ModuleType"}
        extra = ours - set(NAMES["modules"][name])
        assert all(
            type(getattr(module, n)).__name__ not in ("function", "ufunc", "type") or n in HELPERS for n in extra
        ), extra
    theirs = NAMES["classes"]["cupy.ndarray"]
    assert {n for n in vars(cp.ndarray) if not n.startswith("_")} <= set(theirs)
    assert set(theirs) - set(dir(cp.ndarray)) <= {
        "cstruct",
        "mdspan",
        "toDlpack",
        "dump",
        "dumps",
        "tofile",
        "byteswap",
        "flat",
        "partition",
    }


# What the stand-in's own modules import; array-api-compat takes only ``__all__`` of the first.
HELPERS = {
    "cache", "array", "garbage", "wrap", "function", "lowered", "ufunc", "MemoryPointer", "OutOfMemoryError", "CUDARuntimeError",
    "CompileException", "synchronise", "contextmanager", "Iterator", "DeviceSynchronized",
}  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (lambda x: x + np.ones(3), TypeError, "Unsupported type <class 'numpy.ndarray'>"),
        (lambda x: np.ones(3) + x, TypeError, "Unsupported type <class 'numpy.ndarray'>"),
        (lambda x: cp.where(x > 0, np.ones(3), 0.0), TypeError, "Unsupported type"),
        (lambda x: np.asarray(x), TypeError, "Implicit conversion to a NumPy array is not allowed"),
        (lambda x: x[np.array([0])], IndexError, "NumPy array among the indices"),
        (lambda x: cp.sum(x, initial=0.0), TypeError, "unexpected keyword argument 'initial'"),
        (lambda x: cp.eye(2, device=0), TypeError, "unexpected keyword argument 'device'"),
        (lambda x: cp.sum([x, x]), TypeError, "takes a cupy.ndarray, not a list"),
        (lambda x: cp.vecdot(x, x), AttributeError, "has no attribute 'vecdot'"),
        (lambda x: cp.linalg.matrix_norm(x), AttributeError, "has no attribute 'matrix_norm'"),
        (lambda x: cp.ones((x.sum(),)), TypeError, "."),
        (lambda x: cp.add.at(cp.zeros(3, "int16"), cp.asarray([0]), 1), TypeError, "only supports .* not int16"),
        (lambda x: cp.add.at(x + 0j, cp.asarray([0]), 1), TypeError, "only supports .* not complex128"),
        (lambda x: cp.maximum.at(cp.ones(2, "float16"), cp.asarray([0]), 1), TypeError, "maximum.at only supports"),
        (lambda x: cp.multiply.at(x, cp.asarray([0]), 1), NotImplementedError, "multiply.at"),
        (lambda x: cupyx.scatter_add(x, cp.asarray([0]), 1), DeprecationWarning, "use `cupy.add.at`"),
        (lambda x: cp.asarray(["a"]), ValueError, "Unsupported dtype"),
        (lambda x: x.where, AttributeError, "where"),
    ],
)
def test_what_cupy_refuses_it_refuses(bad, error, message):
    with pytest.raises(error, match=message):
        bad(cp.asarray([1.0, 2.0, 3.0]))


def test_solvers_report_where_they_are_asked_to():
    singular, negative = cp.ones((2, 2)), -cp.eye(2)
    assert np.isnan(cp.linalg.inv(cp.stack([cp.eye(2), singular])).get()).tolist() == [
        [[False] * 2] * 2,
        [[True] * 2] * 2,
    ]
    assert np.isnan(cp.linalg.cholesky(negative).get()).all()
    with cupyx.errstate(linalg="raise"), pytest.raises(np.linalg.LinAlgError):
        cp.linalg.cholesky(negative)
    with pytest.raises(ValueError, match="a must have"):
        cp.linalg.solve(cp.eye(2), cp.ones((3, 2, 1)))


def test_extrema_of_float64_are_compared_in_float32():
    """As CuPy 14 has it; jitrench_cupy compares other bits."""
    x, third = cp.zeros(1), cp.asarray([1 / 3])
    cp.maximum.at(x, cp.asarray([0]), third)
    assert float(x.get()[0]) == float(np.float32(1 / 3)) != 1 / 3
    x = jt.tensor([0.0, -9.0, 5.0, -0.5], device="cupy")
    value = jt.tensor([1 / 3, -1 / 3, 1 / 7, -2 / 3], device="cupy")
    index = jt.tensor([0, 1, 2, 3], device="cupy")
    assert x.at[index].max(value).tolist() == [1 / 3, -1 / 3, 5.0, -0.5]
    assert x.at[index].min(value).tolist() == [0.0, -9.0, 1 / 7, -2 / 3]


@pytest.mark.filterwarnings("ignore:cupyx.allow_synchronize will be removed")
def test_results_are_arrays_and_looking_at_them_is_counted():
    x = cp.asarray([1.0, 2.0, 3.0])
    for y in (x.sum(), x[0], cp.max(x), x @ x, cp.asarray(1.0) + 1, cp.allclose(x, x), x.any()):
        assert type(y) is cp.ndarray
        assert y.shape == ()
    looks = [
        lambda: float(x[0]),
        lambda: bool(x[0]),
        x.get,
        x[0].item,
        x.tolist,
        lambda: cp.asnumpy(x),
        lambda: x[x > 1],
        lambda: x.__setitem__(x > 9, 0.0),
        lambda: str(x),
    ]
    for look in looks:
        before = cp._synchronisations
        look()
        assert cp._synchronisations == before + 1
        with pytest.raises(cupyx.DeviceSynchronized), cupyx.allow_synchronize(False):
            look()
    with cupyx.allow_synchronize(False):
        x[cp.asarray([5, -1])]  # out of bounds wraps around
        x[cp.asarray([1, 2])] = 0.0
    assert x.get().tolist() == [1.0, 0.0, 0.0]


def test_new_memory_holds_nan_and_views_know_their_base():
    assert np.isnan(cp.empty(3).get()).all()
    x = cp.zeros((2, 3))
    assert (x[1:].base is x, x.base, x[1:].flags.owndata, x.flags.owndata) == (True, None, False, True)


def test_memory_is_counted_and_limited():
    pool = cp.get_default_memory_pool()
    before = pool.used_bytes()
    x = cp.zeros(1000)
    assert pool.used_bytes() == before + 8192
    view = x[1:]
    del x
    assert pool.used_bytes() == before + 8192
    del view
    assert pool.used_bytes() == before
    pool.set_limit(size=before + 1000)
    try:
        with pytest.raises(cp.cuda.memory.OutOfMemoryError, match="Out of memory allocating 8,000 bytes"):
            cp.zeros(1000)
        with pytest.raises(
            jitrench_cupy.OutOfMemoryError, match=r"out of memory on cupy:0 .* \(8,000 bytes\) were needed"
        ):
            jt.zeros(1000, device="cupy")
    finally:
        pool.set_limit(size=0)


# -- the stand-in: what kernels do -----------------------------------------------------------------------------------------


def launch(code, name, grid, block, *args, **options):
    cp.RawKernel(code, name)(grid, block, args, **options)


REVERSE = """extern "C" __global__ void reverse(const float* x, float* y, int n) {
    %s
    s[threadIdx.x] = x[threadIdx.x];
    %s
    y[threadIdx.x] = s[n - 1 - threadIdx.x];
}"""


@pytest.mark.parametrize("memory", ["__shared__ float s[256];", "extern __shared__ float s[];"])
def test_a_barrier_that_is_missing_shows(memory):
    x, y = cp.arange(256, dtype="float32"), cp.zeros(256, "float32")
    dynamic = 1024 if "extern" in memory else 0
    launch(REVERSE % (memory, "__syncthreads();"), "reverse", (1,), (256,), x, y, np.int32(256), shared_mem=dynamic)
    assert y.get().tolist() == x.get()[::-1].tolist()
    if dynamic:  # a static array keeps what the block before left
        launch(REVERSE % (memory, ""), "reverse", (1,), (256,), x, y, np.int32(256), shared_mem=dynamic)
        assert y.get().tolist() != x.get()[::-1].tolist()


FAULTS = {
    "a barrier that diverges": ("if (threadIdx.x % 2) __syncthreads(); else __syncwarp();", "deadlock"),
    "beyond the array": ("x[32] = 1;", "wrote beyond an array"),
    "before the array": ("x[-1] = 1;", "wrote before an array"),
    "beyond the shared memory": (
        "extern __shared__ float s[]; s[threadIdx.x + 4] = 1;",
        "beyond the dynamic shared memory",
    ),
    "a warp's lanes apart": (
        "if (threadIdx.x) __shfl_sync(0xffffffffu, 1, 0); else __syncwarp();",
        "different operations",
    ),
    "a lane outside of its mask": ("__shfl_sync(1u, 1, 0);", "whose mask leaves it out"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_kernel_does_wrong_is_told(fault):
    body, message = FAULTS[fault]
    with pytest.raises(RuntimeError, match=message):
        launch(
            f'extern "C" __global__ void f(float* x) {{ {body} }}',
            "f",
            (1,),
            (32,),
            cp.zeros(32, "float32"),
            shared_mem=128,
        )


def test_a_read_beyond_an_array_is_nan():
    x, y = cp.ones(32, "float32"), cp.zeros(32, "float32")
    launch(
        'extern "C" __global__ void f(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x + 1]; }',
        "f",
        (1,),
        (32,),
        x,
        y,
    )
    assert np.isnan(y.get()).tolist() == [False] * 31 + [True]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((np.ones(3),), "Unsupported type <class 'numpy.ndarray'>"),
        (("x", 1.0, np.int32(1)), "a Python float, which CuPy passes as a double"),
        (("x", np.float64(1), np.int32(1)), "a number of float64"),
        (("x", np.float32(1), True), "a bool"),
        (("x", np.float32(1)), "takes 3 arguments, the launch gives 2"),
        (("float64", np.float32(1), 1), "an array of float64"),
        ((np.uintp(0), np.float32(1), 2**40), "out of bounds"),
    ],
)
def test_arguments_that_cuda_would_take_for_something_else(args, message):
    arrays = {"x": cp.zeros(3, "float32"), "float64": cp.zeros(3)}
    args = [arrays[a] if isinstance(a, str) else a for a in args]
    if len(args) == 1:
        args += [np.float32(1), np.int32(1)]
    with pytest.raises(TypeError, match=message):
        launch('extern "C" __global__ void f(float* x, float a, int n) { if (x) x[0] = a; }', "f", (1,), (1,), *args)


WARP = """
template <typename T> __global__ void sums(const T* x, T* y, int* most, unsigned int* votes, int n) {
    T v = threadIdx.x < n ? x[blockIdx.x * n + threadIdx.x] : T(0);
    for (int by = 16; by; by /= 2) v += __shfl_xor_sync(0xffffffffu, v, by);
    unsigned int vote = __ballot_sync(0xffffffffu, threadIdx.x % 3 == 0);
    __shared__ T parts[32];
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
    __syncthreads();
    if (threadIdx.x < 32) {
        v = threadIdx.x < blockDim.x / 32 ? parts[threadIdx.x] : T(0);
        for (int by = 16; by; by /= 2) v += __shfl_down_sync(0xffffffffu, v, by);
        if (threadIdx.x == 0) { y[blockIdx.x] = v; atomicAdd(y + gridDim.x, v); votes[blockIdx.x] = vote; }
    }
    atomicMax(most, int(threadIdx.x));
}"""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shuffles_votes_atomics_and_templates(dtype):
    x = cp.asarray(np.random.default_rng(0).integers(0, 9, (5, 200)).astype(dtype))
    y, most, votes = cp.zeros(6, dtype), cp.zeros(1, "int32"), cp.zeros(5, "uint32")
    name = f"sums<{'float' if dtype == 'float32' else 'double'}>"
    module = cp.RawModule(code=WARP, options=("--std=c++17",), name_expressions=(name,))
    module.get_function(name)((5,), (256,), (x, y, most, votes, np.int32(200)))
    rows = x.get().sum(axis=1)
    assert y.get().tolist() == [*rows, rows.sum()]
    assert (most.get().tolist(), set(votes.get().tolist())) == ([255], {int("001" * 11, 2) & 0xFFFFFFFF})


def test_elementwise_and_reduction_kernels():
    axpy = cp.ElementwiseKernel("T x, raw T y, float64 a", "T z", "z = T(a) * x + y[_ind.size() - 1 - i]", "axpy")
    x = cp.asarray([[1.0, 2.0], [3.0, 4.0]], "float32")
    assert axpy(x, x.reshape(-1), 2.0).get().tolist() == [[6.0, 7.0], [8.0, 9.0]]
    assert axpy(x.T, x.reshape(-1), 2.0).get().tolist() == [[6.0, 9.0], [6.0, 9.0]]
    with pytest.raises(TypeError, match="Type is mismatched"):
        axpy(x, cp.zeros(4), 1.0)
    with pytest.raises(RuntimeError, match="out of bounds of a raw array"):
        axpy(x, cp.zeros(3, "float32"), 1.0)
    squares = cp.ReductionKernel("T x", "T y", "x * x", "a + b", "y = sqrt(a)", "0", "norm")
    assert squares(x, axis=1).get().tolist() == [np.float32(np.sqrt(5)), 5.0]
    assert squares(x[:, :0], axis=1, keepdims=True).get().tolist() == [[0.0], [0.0]]


def test_half_precision():
    k = cp.ElementwiseKernel("T x", "T y", "y = x * x + T(1)", "squared")
    x = np.linspace(-3, 3, 64).astype("float16")
    assert k(cp.asarray(x)).get().tolist() == (x.astype("f") ** 2 + 1).astype("float16").tolist()


# -- the backend: two devices ----------------------------------------------------------------------------------------------


def test_two_devices_are_kept_apart():
    assert jt.device("cupy:1").backend.device_count() == 2
    a, b = jt.ones(3, device="cupy:0"), jt.ones(3, device="cuda:1")
    assert (a.data.device.id, b.data.device.id, cp.cuda.Device().id) == (0, 1, 0)
    y = b * 2 + jt.exp(b)
    assert str(y.device) == "cupy:1"
    with pytest.raises(jt.DeviceMismatchError, match="cupy:0.*cupy:1"):
        a + b
    moved = a.to("cupy:1")
    assert str((moved + b).device) == "cupy:1"
    with jt.device("cuda:1"):
        assert jt.zeros(2).data.device.id == 1
        assert jt.random.Generator(0).normal((2,)).data.device.id == 1
    with pytest.raises(jt.JITrenchError, match="cupy:2"):
        jt.zeros(2, device="cupy:2")


@pytest.mark.parametrize("device", ["cupy:0", "cupy:1"])
def test_a_step_on_each_device_stays_there(device):
    x = jt.tensor(np.ones((4, 6), "float32"), device=device)
    model = nn.Sequential(nn.Linear(5), nn.LayerNorm(), nn.Dropout(0.5), nn.Linear(2))
    model(x)
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    jt.softmax(model(x)).max().backward()
    optimizer.step()
    assert {str(p.device) for p in model.parameters()} == {device}
    assert {p.data.device.id for p in model.parameters()} == {int(device[-1])}


# -- the backend: training -------------------------------------------------------------------------------------------------


class GPT(nn.Module):
    """Scores of the next of seven letters."""

    def __init__(self) -> None:
        super().__init__()
        self.letters = nn.Embedding(7, 8)
        self.positions = nn.LearnedEncoding(6, batch_first=True)
        block = nn.TransformerEncoderLayer(
            2, dim_feedforward=16, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, 2, nn.LayerNorm())
        self.scores = nn.Linear(7)

    def forward(self, codes: jt.Tensor) -> jt.Tensor:
        return jt.reshape(self.scores(self.blocks(self.positions(self.letters(codes)), is_causal=True)), (-1, 7))


def mlp():
    return nn.Sequential(nn.Linear(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(3))


def cnn():
    return nn.Sequential(
        nn.Conv2d(4, 3, padding=1), nn.BatchNorm2d(), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 3, stride=2), nn.GELU(),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(3),
    )  # fmt: skip


rng = np.random.default_rng(0)
MODELS = {
    "MLP": (mlp, rng.normal(size=(8, 5)).astype("float32"), rng.integers(0, 3, 8)),
    "CNN": (cnn, rng.normal(size=(6, 1, 12, 12)).astype("float32"), rng.integers(0, 3, 6)),
    "GPT": (GPT, rng.integers(0, 7, (3, 6)), rng.integers(0, 7, 18)),
}
OPTIMIZERS = {
    "MLP": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "CNN": lambda p: optim.Adam(p, lr=0.01),
    "GPT": lambda p: optim.AdamW(p, lr=0.01),
}


def prepared(name, device):
    """A model with its weights, and a function that makes a step and returns the loss, a tensor."""
    make, x, target = MODELS[name]
    x, target = jt.tensor(x, device=device), jt.tensor(target, device=device)
    jt.random.seed(7)
    model = make()
    model(x)
    model.to(dtype=jt.float32)
    optimizer = OPTIMIZERS[name](model.parameters())

    def step():
        optimizer.zero_grad()
        loss = nn.cross_entropy(model(x), target)
        loss.backward()
        optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    return model, step


@pytest.mark.parametrize("name", MODELS)
def test_a_training_step_waits_for_nothing(name):
    _, step = prepared(name, "cupy")
    step()
    _state.trace = []
    before = cp._synchronisations
    try:
        for _ in range(2):
            step()
        assert _state.trace == []
    finally:
        _state.trace = None
    assert cp._synchronisations == before


@pytest.mark.parametrize("name", MODELS)
def test_same_seed_same_weights_same_masks_same_losses(name):
    (on_cpu, cpu_step), (on_gpu, gpu_step) = prepared(name, "numpy"), prepared(name, "cupy")
    for p, q in zip(on_cpu.parameters(), on_gpu.parameters(), strict=True):
        assert np.array_equal(p.numpy(), q.numpy()) or np.allclose(p.numpy(), q.numpy(), rtol=1e-6, atol=0)
    jt.random.seed(11)
    cpu = [cpu_step().item() for _ in range(8)]
    jt.random.seed(11)
    gpu = [gpu_step().item() for _ in range(8)]
    np.testing.assert_allclose(gpu, cpu, rtol=2e-4)  # float32
    assert len(set(cpu)) == 8


def test_dropout_draws_the_same_mask():
    masks = []
    for device in ("numpy", "cupy"):
        jt.random.seed(3)
        masks.append(nn.Dropout(0.4)(jt.ones((50, 40), device=device)).numpy())
    assert np.array_equal(*masks)


@pytest.mark.parametrize("n", [1, 7, 1000])
def test_philox_draws_the_same_bits(n):
    key, counter = np.array([3, 2**63 + 5], "uint64"), np.array([2**64 - 2, 2**64 - 1, 2**64 - 1, 7], "uint64")
    draws = [
        [jt.ops.random_bits(k, c, n=n).numpy(), jt.ops.random_uniform(k, c, n=n, dtype="float32").numpy(), jt.ops.random_normal(k, c, n=n).numpy()]
        for k, c in ((jt.tensor(key, device=d), jt.tensor(counter, device=d)) for d in ("numpy", "cupy"))
    ]  # fmt: skip
    for a, b in zip(*draws, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12 if a.dtype == float else 0)
    assert _kernels.seed  # blocks and threads came in a random order


# -- the backend: kernels at sizes that the battery does not have -------------------------------------------------------------

ROWS = {
    "softmax": lambda x, i: jt.softmax(x),
    "log_softmax": lambda x, i: jt.log_softmax(x),
    "logsumexp": lambda x, i: jt.logsumexp(x),
    "layer_norm": lambda x, i: nn.functional.layer_norm(x, x[0], x[1]),
    "cross_entropy": lambda x, i: nn.functional.cross_entropy(x, i, reduction="none"),
    "dropout": lambda x, i: nn.functional.dropout(x, 0.5),
    "gelu": lambda x, i: nn.functional.gelu(x),
}


@pytest.mark.parametrize("blocks", [2**20, 3], ids=["", "few blocks"])
@pytest.mark.parametrize("shape", [(2, 1), (11, 33), (5, 129), (7, 300), (2, 5000)], ids=str)
@pytest.mark.parametrize("name", ROWS)
def test_rows_of_any_length_and_their_gradients(name, shape, blocks, monkeypatch):
    from jitrench_cupy import cuda

    monkeypatch.setattr(cuda, "MOST_BLOCKS", blocks)
    numbers = np.random.default_rng(1)
    x, target = numbers.normal(size=shape) * 3, numbers.integers(0, shape[1], shape[0])
    results = []
    for device in ("numpy", "cupy"):
        jt.random.seed(5)
        t, i = jt.tensor(x, device=device, requires_grad=True), jt.tensor(target, device=device)
        y = ROWS[name](t, i)
        (y * jt.cos(jt.reshape(jt.arange(y.size, device=device), y.shape))).sum().backward()
        results.append((y.numpy(), t.grad.numpy()))
    for ours, numpys in zip(results[1], results[0], strict=True):
        np.testing.assert_allclose(ours, numpys, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("blocks", [2**20, 3], ids=["", "few blocks"])
def test_windows_at_a_size_of_several_blocks(blocks, groups, monkeypatch):
    from jitrench_cupy import cuda

    monkeypatch.setattr(cuda, "MOST_BLOCKS", blocks)
    numbers = np.random.default_rng(2)
    x, w = numbers.normal(size=(2, 4, 17, 13)), numbers.normal(size=(6, 4 // groups, 3, 2))
    results = []
    for device in ("numpy", "cupy"):
        t, weight = (jt.tensor(a, device=device, requires_grad=True) for a in (x, w))
        y = nn.functional.conv2d(t, weight, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=groups)
        z = nn.functional.max_pool2d(y, 3, stride=2, padding=1)
        (z * z).sum().backward()
        results.append((y.numpy(), z.numpy(), t.grad.numpy(), weight.grad.numpy()))
    for ours, numpys in zip(results[1], results[0], strict=True):
        np.testing.assert_allclose(ours, numpys, rtol=1e-9, atol=1e-10)
