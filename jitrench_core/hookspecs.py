"""The hooks a plugin may implement. Each gets a ``register`` callback, is called once, and only to register."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pluggy

hookspec = pluggy.HookspecMarker("jitrench")
hookimpl = pluggy.HookimplMarker("jitrench")


@hookspec
def register_backends(register: Callable[..., None]) -> None:
    """``register(backend)``: make an array library's backend known."""


@hookspec
def register_ops(register: Callable[..., None]) -> None:
    """``register(function)``: put a function made by ``@jt.op`` into the catalogue."""


@hookspec
def register_kernels(register: Callable[..., None]) -> None:
    """``register(op_name, backend_name, kernel)``: a faster or better kernel of an op on one backend."""


@hookspec
def register_layers(register: Callable[..., None]) -> None:
    """``register(cls, name=None)``: put a ``jt.Layer`` into the catalogue."""


@hookspec
def register_optimizers(register: Callable[..., None]) -> None:
    """``register(cls, name=None)``: put a ``jt.Optimizer`` into the catalogue."""


# In this order a plugin's hooks are called.
HOOKS: tuple[str, ...] = tuple(name for name in list(globals()) if name.startswith("register_"))
Register = Callable[..., Any]
