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

from jitrench_core import Layer as Module
from jitrench_core import hookimpl, registry
from jitrench_core.layer import LayerError

from . import data, functional, kernels, layers, metrics, ops, training
from .checkpoints import load_checkpoint, save_checkpoint
from .config import ConfigError, Run, from_config, read_config, to_config
from .containers import ModuleDict, ModuleList, Parameter, ParameterDict, ParameterList, Sequential
from .flops import FlopCounter, flops_of
from .functional import cross_entropy, mse_loss
from .initializers import (
    calculate_gain,
    constant,
    dirac,
    eye,
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
    normal,
    ones,
    orthogonal,
    scaled,
    truncated_normal,
    uniform,
    xavier_normal,
    xavier_uniform,
    zeros,
)
from .layers import *  # noqa: F403  every layer: layers/__init__.py names them
from .layers.transformer import alibi_bias, sinusoidal_positions
from .metrics import accuracy
from .models import apply, init, merge, partition
from .summary import summary
from .training import (
    Callback,
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    History,
    JSONLLogger,
    LambdaCallback,
    LearningGIF,
    NonFiniteError,
    TensorBoardLogger,
    Trainer,
    TrainingError,
    fit,
    plot_history,
)
from .weights import WeightsError, load, save

__version__ = "0.1.0"

# By name, of every installed plugin, as are ``nn.layers["Linear"]``.
losses, datasets = registry.losses, registry.datasets

if not TYPE_CHECKING:  # a type checker knows the names that are

    def __getattr__(name: str) -> object:
        """PyTorch's classes have functions here."""
        from jitrench_core.errors import suggest

        functions = {f.replace("_", ""): f for f in functional.__all__}
        asked = name.replace("_", "").lower()
        found = [functions[k] for k in (asked, asked.removesuffix("loss"), asked[:-2]) if k in functions]
        told = f" Did you mean 'functional.{found[0]}'?" if found else suggest(name, __all__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}.{told}")

    def __dir__() -> list[str]:
        """All but what is imported for annotations; pluggy finds the hooks by it."""
        return sorted(globals().keys() - {"Any", "TYPE_CHECKING", "annotations"})


__all__ = [
    "ConfigError",
    "Run",
    "from_config",
    "read_config",
    "to_config",
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "FlopCounter",
    "History",
    "JSONLLogger",
    "LambdaCallback",
    "LearningGIF",
    "NonFiniteError",
    "TensorBoardLogger",
    "Trainer",
    "TrainingError",
    "fit",
    "plot_history",
    "training",
    "LayerError",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "Sequential",
    "WeightsError",
    "accuracy",
    "alibi_bias",
    "apply",
    "calculate_gain",
    "constant",
    "cross_entropy",
    "data",
    "datasets",
    "dirac",
    "eye",
    "flops_of",
    "functional",
    "he_normal",
    "he_uniform",
    "init",
    "lecun_normal",
    "lecun_uniform",
    "load",
    "load_checkpoint",
    "losses",
    "metrics",
    "merge",
    "mse_loss",
    "normal",
    "ones",
    "orthogonal",
    "partition",
    "save",
    "save_checkpoint",
    "summary",
    "scaled",
    "sinusoidal_positions",
    "truncated_normal",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]
__all__ += layers.__all__


@hookimpl
def register_layers(register: Any) -> None:
    for name in layers.__all__:
        register(getattr(layers, name))


@hookimpl
def register_losses(register: Any) -> None:
    for name in layers.LOSSES:
        register(getattr(layers, name))


@hookimpl
def register_datasets(register: Any) -> None:
    for function in data.NAMED:
        register(function)


@hookimpl
def register_ops(register: Any) -> None:
    for function in ops.own().values():
        register(function)


@hookimpl
def register_kernels(register: Any) -> None:
    own = ops.own()
    for name, file in kernels.NUMPY.items():
        register(name, "numpy", kernels.on_first_use(own[name].op, file))
