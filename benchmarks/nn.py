"""Speed of jitrench-nn's ops, forward and backward, beside PyTorch's, in one run and with as many threads.

    tox run -e bench-nn-torch -- --repeat 50 --only layer-norm

The manner is eager.py's, whose tools these are: samplers take turns, ratios are those of the minima. Numbers are float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import eager
from eager import Samplers, calls, case, jt, np, torch

import jitrench_nn as nn

eager.CASES.clear()

# By the beginning of the title: against which library, and the factor of its time that is allowed.
eager.TARGETS = (
    ("layer_norm", "PyTorch", "x", 1.5),
    ("cross_entropy", "PyTorch", "x", 2.0),
    ("conv2d", "PyTorch", "x", 2.0),
)


def both_ways(
    number: int,
    arrays: list[Any],
    tracked: int,
    ours: Callable[..., Any],
    theirs: Callable[..., Any] | None,
    seed: Any = None,
) -> Samplers:
    """Samplers of a call and its backward pass; the first ``tracked`` of ``arrays`` are leaves, whose gradients must agree."""

    def step(f: Any, tensors: list[Any], weights: Any) -> Callable[[], list[Any]]:
        leaves = tensors[:tracked]

        def run() -> list[Any]:
            for leaf in leaves:
                leaf.grad = None
            f(*tensors).backward(weights)
            return [leaf.grad for leaf in leaves]

        return run

    made = [jt.tensor(a, requires_grad=i < tracked) for i, a in enumerate(arrays)]
    functions = {"JITrench": step(ours, made, None if seed is None else jt.tensor(seed))}
    if torch:
        other = [torch.tensor(a, requires_grad=i < tracked) for i, a in enumerate(arrays)]
        functions["PyTorch"] = step(theirs, other, None if seed is None else torch.tensor(seed))
        for a, b in zip(*(f() for f in functions.values()), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=1e-4)
    return calls(number, functions)


def normal(*shape: int) -> Any:
    """Standard normal numbers, float32."""
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@case
def layer_norm() -> dict[str, Samplers]:
    """64 rows of 512 numbers, with weight and bias."""
    arrays = [normal(64, 512), normal(512), normal(512)]
    theirs = (lambda x, w, b: torch.nn.functional.layer_norm(x, (512,), w, b)) if torch else None
    return {
        "layer_norm, (64, 512)": both_ways(
            10, arrays, 3, nn.functional.layer_norm, theirs, normal(64, 512)[::-1].copy()
        )
    }


@case
def cross_entropy() -> dict[str, Samplers]:
    """512 examples of 1,000 classes."""
    arrays = [normal(512, 1000), np.random.default_rng(0).integers(0, 1000, size=512)]
    theirs = torch.nn.functional.cross_entropy if torch else None
    return {"cross_entropy, (512, 1000)": both_ways(2, arrays, 1, nn.functional.cross_entropy, theirs)}


@case
def conv2d() -> dict[str, Samplers]:
    """A batch of 64 images and 32 kernels, without padding and with."""
    titles = {}
    for padding in (0, 1):
        size = 26 + 2 * padding
        arrays = [normal(64, 16, 28, 28), normal(32, 16, 3, 3)]
        seed = np.random.default_rng(1).normal(size=(64, 32, size, size)).astype(np.float32)
        ours = lambda x, w, padding=padding: nn.functional.conv2d(x, w, padding=padding)  # noqa: E731
        theirs = (lambda x, w, padding=padding: torch.nn.functional.conv2d(x, w, padding=padding)) if torch else None
        title = f"conv2d, (64, 16, 28, 28) * (32, 16, 3, 3), padding {padding}"
        titles[title] = both_ways(1, arrays, 2, ours, theirs, seed / 100)
    return titles


@case
def pooling() -> dict[str, Samplers]:
    """A batch of 64 images of 16 channels: windows of 2, and the mean of all."""
    titles = {}
    for name, size, out in (("max_pool2d", 2, 14), ("avg_pool2d", 2, 14), ("adaptive_avg_pool2d", 1, 1)):
        ours = lambda x, name=name, size=size: getattr(nn.functional, name)(x, size)  # noqa: E731
        theirs = (lambda x, name=name, size=size: getattr(torch.nn.functional, name)(x, size)) if torch else None
        titles[f"{name}, (64, 16, 28, 28), {size}"] = both_ways(
            1, [normal(64, 16, 28, 28)], 1, ours, theirs, normal(64, 16, out, out)
        )
    return titles


if __name__ == "__main__":
    eager.main()
