"""What plugins register: staged first, and put into the catalogues as a whole or not at all.

A name taken is an error that names both owners.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, final

from . import backend as backends
from .backend import Backend
from .catalogues import CATALOGUES, Catalogue, datasets, layers, losses, ops, optimizers, schedules
from .errors import DuplicateError, OpError, PluginError

__all__ = ["CATALOGUES", "Catalogue", "Staging", "backend_owners"]
__all__ += ["datasets", "layers", "losses", "ops", "optimizers", "schedules"]

backend_owners: dict[str, str] = {}


@final
class Staging:
    """What one plugin registers, until it is committed. Each ``register_*`` callback validates at the plugin's own line."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.items: dict[tuple[str, str], tuple[Catalogue, Any]] = {}  # by kind and name
        self.backends: list[Backend] = []
        self.kernels: dict[tuple[str, str], Callable[..., Any]] = {}
        self.committed = False

    def taker(self, hook: str) -> Callable[..., None]:
        """What a plugin's ``hook`` is given as ``register``."""

        def register(*args: Any, **kwargs: Any) -> None:
            if self.committed:
                raise PluginError(
                    f"{hook}: plugin {self.owner!r} registers after its hook has returned; nothing was registered"
                )
            getattr(self, hook, partial(self._stage, hook))(*args, **kwargs)

        return register

    def register_ops(self, function: Any) -> None:
        """Register what ``@op`` returned."""
        self._stage("register_ops", function)
        declared = function.op
        missing = [i for i in declared.inputs if i not in declared.rules]
        if missing and not (declared.composite or declared.rule_for_all):
            names = ", ".join(map(repr, missing))
            raise OpError(
                f"op {declared.name!r} has no vjp rule for its input(s) {names}: give a function, jt.zero where the "
                f"gradient is exactly zero, or None for a constant"
            )

    def register_backends(self, backend: Backend) -> None:
        """Register a ``jt.Backend``."""
        if not isinstance(backend, Backend):
            raise PluginError(f"register_backends takes a jt.Backend; plugin {self.owner!r} gave {backend!r}")
        self.backends.append(backend)

    def register_kernels(self, op: str, backend: str, kernel: Any) -> None:
        """Register a kernel of the op named ``op`` for the backend named ``backend``; it has the op's own signature."""
        if type(op) is not str or type(backend) is not str or not callable(kernel):
            raise PluginError(
                f"register_kernels takes (op name, backend name, function); got ({op!r}, {backend!r}, {kernel!r})"
            )
        if (op, backend) in self.kernels:
            raise DuplicateError(f"plugin {self.owner!r} registers two kernels of {op!r} for {backend!r}")
        self.kernels[op, backend] = kernel

    def _stage(self, hook: str, item: Any, name: str | None = None) -> None:
        """Keep what fits into the hook's catalogue, by its own name or ``name``."""
        catalogue = CATALOGUES[hook.removeprefix("register_")]
        if not catalogue.fits(item):
            kind = OpError if catalogue is ops else PluginError
            raise kind(f"{hook} takes {catalogue.takes}; plugin {self.owner!r} gave {item!r}")
        name = item.op.name if catalogue is ops else getattr(item, "__name__", None) if name is None else name
        if type(name) is not str or name in ("", "<lambda>") or name != name.strip() or not name.isprintable():
            raise PluginError(
                f"{hook}: the name must be a str of one line, register(item, 'name'); plugin {self.owner!r} gave {name!r}"
            )
        if (catalogue.kind, name) in self.items:
            raise DuplicateError(f"plugin {self.owner!r} registers the {catalogue.kind} {name!r} twice")
        self.items[catalogue.kind, name] = catalogue, item

    def commit(self) -> None:
        """Put everything into the catalogue, or, where a name is taken, nothing."""
        self.committed = True
        for (_, name), (catalogue, _) in self.items.items():
            if name in catalogue.entries:
                raise DuplicateError(
                    f"both {catalogue.owners[name]!r} and {self.owner!r} register the {catalogue.kind} {name!r}; "
                    f"uninstall one, or disable it by JITRENCH_DISABLE_PLUGINS"
                )
        for key in self.kernels:
            if key in backends.PLUGIN_KERNELS:
                other = backends.PLUGIN_KERNELS[key][0]
                raise DuplicateError(
                    f"both {other!r} and {self.owner!r} register a kernel of {key[0]!r} for {key[1]!r}"
                )
        for backend in self.backends:
            for name in (backend.name, *backend.aliases):
                if name in backends.BACKENDS:
                    other = backend_owners.get(backends.BACKENDS[name].name, "jitrench-core")
                    raise DuplicateError(
                        f"both {other!r} and {self.owner!r} register a backend that claims the device {name!r}; "
                        f"uninstall one, or disable it by JITRENCH_DISABLE_PLUGINS"
                    )
        backends.check_free(self.backends)
        for backend in self.backends:
            backends.add(backend)
            backend_owners[backend.name] = self.owner
        for (_, name), (catalogue, item) in self.items.items():
            catalogue.entries[name] = item
            catalogue.owners[name] = self.owner
            if catalogue is ops:
                item.op.owner = self.owner
                item.op.kernels.clear()  # called before it was registered, it has linked without the plugins' kernels
        for key, kernel in self.kernels.items():
            backends.PLUGIN_KERNELS[key] = (self.owner, kernel)
            if key[0] in ops.entries:
                ops.entries[key[0]].op.kernels.clear()
