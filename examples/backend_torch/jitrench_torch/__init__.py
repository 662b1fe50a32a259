"""The backend ``torch``: PyTorch's tensors, on the CPU. PyTorch computes, and its own autograd never runs."""

from __future__ import annotations

from functools import partial
from typing import Any

from jitrench_core import Backend, hookimpl

# What array-api-compat's namespace of PyTorch lacks: arithmetic of uint64, and all that ``unique_all`` returns.
BY_NUMPY = (
    "advance_counter",
    "random_bits",
    "random_exponential",
    "random_gumbel",
    "random_integers",
    "random_normal",
    "random_truncated_normal",
    "random_uniform",
    "unique_all",
)


def by_numpy(name: str, *arrays: Any, **attrs: Any) -> Any:
    """What the op gives on the NumPy backend."""
    import torch

    import jitrench_core as jt

    given = [jt.asarray(a.numpy()) if isinstance(a, torch.Tensor) else a for a in arrays]
    y = jt.registry.ops[name](*given, **attrs)
    made = [torch.tensor(part.numpy()) for part in (y if isinstance(y, tuple) else [y])]
    return tuple(made) if isinstance(y, tuple) else made[0]


class Torch(Backend):
    """PyTorch's tensors."""

    def __init__(self) -> None:
        kernels = {name: partial(by_numpy, name) for name in BY_NUMPY}
        super().__init__("torch", "array_api_compat.torch", root="torch", kernels=kernels)

    def asarray(self, data: Any, dtype: Any = None, index: int = 0, copy: bool | None = None) -> Any:
        if type(data).__module__.partition(".")[0] != "torch":
            import numpy as np

            data = np.asarray(
                data, None if dtype is None else self.core_dtype(dtype).name
            )  # PyTorch's floats are float32
        return super().asarray(data, dtype, index, copy)

    def to_numpy(self, array: Any) -> Any:
        return array.numpy(force=True)


@hookimpl
def register_backends(register: Any) -> None:
    register(Torch())
