"""Optimizers for JITrench.

>>> import jitrench_core as jt
>>> import jitrench_optim as optim
>>> x = jt.tensor([3.0, -4.0], requires_grad=True)
>>> optimizer = optim.SGD({"x": x}, lr=0.25)
>>> for _ in range(2):
...     optimizer.zero_grad()
...     (x * x).sum().backward()
...     optimizer.step()
>>> x
Tensor([ 0.75, -1.  ], requires_grad=True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitrench_core import hookimpl, registry

from . import schedules
from .averaging import EMA, SWA
from .clipping import clip_by_norm, clip_by_value, clip_grad_norm, clip_grad_value, global_norm, grad_norm
from .kernels.numpy import KERNELS
from .lbfgs import LBFGS, Minimum
from .rules import (
    LAMB,
    OPTIMIZERS,
    SGD,
    STEPS,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    AMSGrad,
    Lion,
    Muon,
    NAdam,
    RAdam,
    RMSprop,
)
from .schedules import (
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    Schedule,
    SequentialLR,
    StepLR,
    WarmupCosineLR,
)

__version__ = "0.1.0"


def get(name: str) -> Any:
    """The optimizer class of this name, of any installed plugin; case, ``_`` and ``-`` do not matter where that is no other.

    Raises ``NotFoundError`` with the near matches.

    >>> get("AdamW"), get("adam_w") is AdamW
    (<class 'jitrench_optim.rules.adam.AdamW'>, True)
    """
    return registry.optimizers[name]


def get_schedule(name: str) -> Any:
    """As ``get``, of a schedule; ``LR`` at the end may be left out. ``optim.schedules[name]`` is the same.

    >>> get_schedule("cosine_annealing").__name__
    'CosineAnnealingLR'
    """
    return registry.schedules[name]


__all__ = ["SGD", "Adam", "AdamW", "AMSGrad", "NAdam", "RAdam", "Adamax", "LAMB"]
__all__ += ["RMSprop", "Adagrad", "Adadelta", "Lion", "Muon", "Adafactor"]

__all__ += ["LBFGS", "Minimum", "EMA", "SWA"]
__all__ += ["clip_by_norm", "clip_by_value", "clip_grad_norm", "clip_grad_value", "global_norm", "grad_norm"]
__all__ += [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "Schedule",
    "SequentialLR",
    "StepLR",
    "WarmupCosineLR",
]

__all__ += ["get", "get_schedule", "schedules"]

if not TYPE_CHECKING:  # a type checker knows the names that are

    def __getattr__(name: str) -> object:
        from difflib import get_close_matches

        near = ["StepLR"] if name == "lr_scheduler" else get_close_matches(name, __all__, cutoff=0.7)
        hint = f" Did you mean {', '.join(map(repr, near))}?" if near else ""
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}.{hint} It has {', '.join(__all__)}; others are subclasses of jt.Optimizer"
        )


@hookimpl
def register_optimizers(register: Any) -> None:
    for cls in OPTIMIZERS:
        register(cls)
    register(LBFGS)


@hookimpl
def register_schedules(register: Any) -> None:
    for name in schedules.NAMED:
        register(getattr(schedules, name))


@hookimpl
def register_ops(register: Any) -> None:
    for step in STEPS:
        register(step)


@hookimpl
def register_kernels(register: Any) -> None:
    for step in STEPS:
        if kernel := KERNELS.get(step.op.name):
            register(step.op.name, "numpy", kernel(step.op.forward))
