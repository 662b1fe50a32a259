"""The hooks a plugin may implement. Each gets a ``register`` callback, is called once, and only to register."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def hookimpl(function: F) -> F:
    """Mark a function of a plugin module as its implementation of the hook of that name.

    This is pluggy's marker. pluggy is imported with the first plugin, not with this package: with what it needs it would
    take a third of the time.
    """
    import pluggy

    return pluggy.HookimplMarker("jitrench")(function)


def register_backends(register: Callable[..., None]) -> None:
    """``register(backend)``: make an array library's backend known."""


def register_ops(register: Callable[..., None]) -> None:
    """``register(function)``: put a function made by ``@jt.op`` into the catalogue."""


def register_kernels(register: Callable[..., None]) -> None:
    """``register(op_name, backend_name, kernel)``: a faster or better kernel of an op on one backend."""


def register_layers(register: Callable[..., None]) -> None:
    """``register(cls, name=None)``: put a ``jt.Layer`` into the catalogue."""


def register_optimizers(register: Callable[..., None]) -> None:
    """``register(cls, name=None)``: put a ``jt.Optimizer`` into the catalogue."""


def register_losses(register: Callable[..., None]) -> None:
    """``register(loss, name=None)``: put a function of prediction and target, or a class of such, into the catalogue."""


def register_schedules(register: Callable[..., None]) -> None:
    """``register(cls, name=None)``: put a class that is made of an optimizer and has ``step()`` into the catalogue."""


def register_datasets(register: Callable[..., None]) -> None:
    """``register(dataset, name=None)``: put a class of data sets, or a function that returns one, into the catalogue."""


# In this order a plugin's hooks are called.
HOOKS: tuple[str, ...] = tuple(name for name in list(globals()) if name.startswith("register_"))
Register = Callable[..., Any]
