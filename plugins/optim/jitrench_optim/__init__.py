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

from jitrench_core import hookimpl

from .rules import SGD, Adam

__version__ = "0.1.0"

__all__ = ["SGD", "Adam"]

if not TYPE_CHECKING:  # a type checker knows the names that are

    def __getattr__(name: str) -> object:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}. It has {' and '.join(__all__)}; others are subclasses of jt.Optimizer"
        )


@hookimpl
def register_optimizers(register: Any) -> None:
    register(SGD)
    register(Adam)
