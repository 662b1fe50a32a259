"""Every op of the core on PyTorch's tensors, held to NumPy's numbers; and a network of jitrench-nn."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import jitrench_core as jt
import jitrench_nn as nn
from jitrench_core.testing import check_op, op_tests

# What the library fails otherwise stands in jitrench_torch/expected_failures.txt.
SKIP = dict.fromkeys(("cummax", "cummin", "topk"), "NumPy orders complex numbers, and PyTorch does not")

test_ops = op_tests("jitrench-core", skip=SKIP)


def test_svd() -> None:
    x = jt.tensor(np.arange(6.0).reshape(3, 2), device="torch")
    u, s, vh = jt.linalg.svd(x, full_matrices=False)
    np.testing.assert_allclose(((u * s) @ vh).numpy(), x.numpy(), atol=1e-12)
    # A sum of squares does not see signs.
    jt.check_grads(
        lambda x: sum((part[:, :2] ** 2 * s).sum() for part in jt.linalg.svd(x, full_matrices=False)[::2]), x
    )


@pytest.mark.parametrize("name", ["cummax", "cummin", "topk"])
def test_order_of_real_numbers(name: str) -> None:
    check_op(jt.registry.ops[name], "torch", complex=False)


def test_tensors_stay_on_the_device_and_pytorch_records_nothing() -> None:
    x = jt.tensor([1.0, 2.0], device="torch", requires_grad=True)
    y = (x * x).sum()
    assert str(y.device) == "torch"
    assert not y.data.requires_grad
    assert jt.grad(lambda x: (x * x).sum())(x).tolist() == [2.0, 4.0]
    assert x.to("numpy").tolist() == [1.0, 2.0]


def test_random_numbers_and_weights_are_those_of_numpy() -> None:
    for draw in ("uniform", "normal", "exponential", "gumbel", "truncated_normal"):
        rows = [getattr(jt.random.Generator(3, device=d), draw)((9,)).tolist() for d in ("numpy", "torch")]
        assert rows[0] == rows[1]
    rows = [jt.random.Generator(3, device=d).integers(0, 1000, 9).tolist() for d in ("numpy", "torch")]
    assert rows[0] == rows[1]
    trees = [nn.init(nn.Linear(4), (None, 3), seed=1, device=d) for d in ("numpy", "torch")]
    assert trees[0]["weight"].tolist() == trees[1]["weight"].tolist()


def losses(device: str) -> list[float]:
    """Of a network that learns a sine."""
    model = lambda x: nn.Linear(1)(jt.tanh(nn.Linear(16)(x)))  # noqa: E731
    x = jt.linspace(-1, 1, 64, device=device)[:, None]
    params = nn.init(model, x, seed=0)
    found = []
    for _ in range(200):
        loss = nn.mse_loss(nn.apply(model, params, x), jt.sin(3 * x))
        loss.backward()
        with jt.no_grad():
            for layer in params.values():
                for p in layer.values():
                    jt.assign(p, p - 0.2 * p.grad)
                    p.grad = None
        found.append(loss.item())
    return found


def test_a_network_learns_as_on_numpy() -> None:
    here, there = losses("torch"), losses("numpy")
    np.testing.assert_allclose(here, there, rtol=1e-9)
    assert here[-1] < here[0] / 3


def test_python_numbers_have_the_dtypes_of_the_core() -> None:
    for data, dtype in ((1.0, jt.float64), ([2], jt.int64), (True, jt.bool), (1j, jt.complex128)):
        assert jt.tensor(data, device="torch").dtype == dtype


def test_the_library_is_imported_at_the_first_array() -> None:
    code = """
import sys
import jitrench_core as jt

jt.device("torch")
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
