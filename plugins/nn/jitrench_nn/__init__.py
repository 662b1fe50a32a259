"""Neural networks for JITrench: a plain function that calls layers is a model.

>>> import jitrench_core as jt
>>> import jitrench_nn as nn
>>> def model(x):
...     x = jt.relu(nn.Linear(16)(x))
...     return nn.Linear(10)(x)
>>> params = nn.init(model, (None, 64), seed=0)
>>> params["Linear_1"]["weight"].shape
(16, 64)
>>> nn.apply(model, params, jt.zeros((5, 64))).shape
(5, 10)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitrench_core import hookimpl

from . import functional, kernels, ops
from .functional import cross_entropy, mse_loss
from .initializers import (
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
    ones,
    xavier_normal,
    xavier_uniform,
    zeros,
)
from .layers import Linear
from .metrics import accuracy
from .models import apply, init
from .weights import WeightsError, load, save

__version__ = "0.1.0"

if not TYPE_CHECKING:  # a type checker knows the names that are

    def __getattr__(name: str) -> object:
        """PyTorch's classes have functions here."""
        from difflib import get_close_matches

        functions = {f.replace("_", ""): f for f in functional.__all__}
        asked = name.replace("_", "").lower()
        found = [functions[k] for k in (asked, asked.removesuffix("loss"), asked[:-2]) if k in functions]
        near = [f"functional.{found[0]}"] if found else get_close_matches(name, __all__)
        told = f" Did you mean {', '.join(map(repr, near))}?" if near else ""
        if name in ("Module", "ModuleList", "Sequential"):
            told = " A model is a plain function that calls layers, a layer a subclass of jt.Layer."
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}.{told}")


__all__ = [
    "Linear",
    "WeightsError",
    "accuracy",
    "apply",
    "cross_entropy",
    "functional",
    "he_normal",
    "he_uniform",
    "init",
    "lecun_normal",
    "lecun_uniform",
    "load",
    "mse_loss",
    "ones",
    "save",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]


@hookimpl
def register_layers(register: Any) -> None:
    register(Linear)


@hookimpl
def register_ops(register: Any) -> None:
    for function in ops.own().values():
        register(function)


@hookimpl
def register_kernels(register: Any) -> None:
    for name, file in kernels.NUMPY.items():
        register(name, "numpy", kernels.on_first_use(file, name))
