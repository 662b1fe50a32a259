"""The catalogue: what can be found by name, and who brought it.

A plugin's registrations are staged first and committed whole or not at all; a name taken is an error that names both
owners, a name missing an error that names its near matches and any failed plugin that might have held it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, final

from . import backend as backends
from .backend import Backend
from .errors import DuplicateError, NotFoundError, OpError, PluginError, suggest


@final
class Catalogue:
    """Named things of one kind (ops, layers, optimizers) and their owners. Looking up a missing name loads the plugins."""

    __slots__ = ("entries", "kind", "owners")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.entries: dict[str, Any] = {}
        self.owners: dict[str, str] = {}

    def __getitem__(self, name: str) -> Any:
        hint = "" if name in self.entries else backends.on_miss()
        if not self.entries:
            hint = (
                f" No {self.kind} is: jitrench-{'nn' if self.kind == 'layer' else 'optim'} brings the usual ones.{hint}"
            )
        if name not in self.entries:
            raise NotFoundError(f"no {self.kind} {name!r} is installed.{suggest(name, self.entries)}{hint}")
        return self.entries[name]

    def __contains__(self, name: object) -> bool:
        if name not in self.entries:
            backends.on_miss()
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        backends.on_miss()
        return iter(sorted(self.entries))

    def __len__(self) -> int:
        backends.on_miss()
        return len(self.entries)


ops = Catalogue("op")
layers = Catalogue("layer")
optimizers = Catalogue("optimizer")
backend_owners: dict[str, str] = {}


@final
class Staging:
    """What one plugin registers, until it is committed. Each ``register_*`` callback validates at the plugin's own line."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.items: dict[tuple[str, str], tuple[Catalogue, Any]] = {}  # by kind and name
        self.backends: list[Backend] = []
        self.kernels: dict[tuple[str, str], Callable[..., Any]] = {}

    def register_ops(self, function: Any) -> None:
        """Register what ``@op`` returned."""
        declared: Any = getattr(function, "op", None)
        if type(declared).__name__ != "Op":
            raise OpError(f"register_ops takes what @jt.op returns; plugin {self.owner!r} gave {function!r}")
        missing = [i for i in declared.inputs if i not in declared.rules]
        if missing and not (declared.composite or declared.rule_for_all):
            names = ", ".join(map(repr, missing))
            raise OpError(
                f"op {declared.name!r} has no vjp rule for its input(s) {names}: give a function, jt.zero where the "
                f"gradient is exactly zero, or None for a constant"
            )
        self._stage(ops, declared.name, function)

    def register_layers(self, cls: Any, name: str | None = None) -> None:
        """Register a subclass of ``jt.Layer``, by its own name or ``name``."""
        self._stage(layers, name or cls.__name__, cls, "Layer")

    def register_optimizers(self, cls: Any, name: str | None = None) -> None:
        """Register a subclass of ``jt.Optimizer``, by its own name or ``name``."""
        self._stage(optimizers, name or cls.__name__, cls, "Optimizer")

    def register_backends(self, backend: Backend) -> None:
        """Register a ``jt.Backend``."""
        if not isinstance(backend, Backend):
            raise PluginError(f"register_backends takes a jt.Backend; plugin {self.owner!r} gave {backend!r}")
        self.backends.append(backend)

    def register_kernels(self, op: str, backend: str, kernel: Any) -> None:
        """Register a kernel of the op named ``op`` for the backend named ``backend``; it has the op's own signature."""
        if not callable(kernel):
            raise PluginError(
                f"register_kernels takes (op name, backend name, function); got ({op!r}, {backend!r}, {kernel!r})"
            )
        if (op, backend) in self.kernels:
            raise DuplicateError(f"plugin {self.owner!r} registers two kernels of {op!r} for {backend!r}")
        self.kernels[op, backend] = kernel

    def _stage(self, catalogue: Catalogue, name: str, item: Any, base: str | None = None) -> None:
        if base is not None and not (isinstance(item, type) and base in {c.__name__ for c in item.__mro__}):
            raise PluginError(
                f"register_{catalogue.kind}s takes a subclass of jt.{base}; plugin {self.owner!r} gave {item!r}"
            )
        if type(name) is not str or not name:
            raise PluginError(
                f"register_{catalogue.kind}s: the name must be a str; plugin {self.owner!r} gave {name!r}"
            )
        if (catalogue.kind, name) in self.items:
            raise DuplicateError(f"plugin {self.owner!r} registers the {catalogue.kind} {name!r} twice")
        self.items[catalogue.kind, name] = catalogue, item

    def commit(self) -> None:
        """Put everything into the catalogue, or, where a name is taken, nothing."""
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
