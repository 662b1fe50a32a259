"""The catalogues: what can be found by name, and who brought it.

A name missing is an error that names its near matches and any failed plugin that might have held it. What a kind of things
must be is said here once, for the hook that registers them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, final

from . import backend as backends
from .errors import NotFoundError

FEW = 20  # names that an error can list


@final
class Catalogue:
    """Named things of one kind (ops, layers, optimizers) and their owners. Looking up a missing name loads the plugins.

    A name is found as it is written; but for ops, also where it differs in case, ``_`` and ``-``, and in ``suffix``, alone.
    """

    __slots__ = ("entries", "fits", "kind", "owners", "source", "suffix", "takes")

    def __init__(
        self, kind: str, takes: str, fits: Callable[[Any], bool], source: str = "", suffix: str | None = ""
    ) -> None:
        self.kind, self.takes, self.fits = kind, takes, fits
        self.source, self.suffix = source, suffix
        self.entries: dict[str, Any] = {}
        self.owners: dict[str, str] = {}

    def key(self, name: str) -> str:
        """The name as it is registered. Raises ``NotFoundError`` for one that is not, or may mean several."""
        found = self._alike(name)
        hint = "" if found else backends.on_miss()
        found = found or self._alike(name)
        if len(found) > 1:
            told = " or ".join(f"{other!r} (of {self.owners[other]!r})" for other in found)
            raise NotFoundError(f"the {self.kind} name {name!r} may mean {told}: write it as it is")
        if not found and not self.entries:
            hint = f" No {self.kind} is: jitrench-{self.source} brings the usual ones.{hint}"
        if not found:
            raise NotFoundError(f"no {self.kind} {name!r} is installed.{self._near(str(name))}{hint}")
        return found[0]

    def _alike(self, name: object) -> list[str]:
        if type(name) is not str:
            return []
        if name in self.entries or self.suffix is None:
            return [name] if name in self.entries else []
        plain = self._plain(name)
        return [other for other in self.entries if plain and self._plain(other) == plain]

    def _near(self, name: str) -> str:
        """What was meant, else, where they are few, all that there is."""
        from difflib import get_close_matches

        plain = {self._plain(other): other for other in self.entries}
        near = [plain[key] for key in get_close_matches(self._plain(name), plain)]
        if near or not 0 < len(self.entries) <= FEW:
            return f" Did you mean {', '.join(map(repr, near))}?" if near else ""
        return f" There are {', '.join(sorted(self.entries))}."

    def _plain(self, name: str) -> str:
        return name.replace("_", "").replace("-", "").lower().removesuffix(self.suffix or "")

    def __getitem__(self, name: str) -> Any:
        return self.entries[name if type(name) is str and name in self.entries else self.key(name)]

    def __contains__(self, name: object) -> bool:
        if not self._alike(name):
            backends.on_miss()
        return len(self._alike(name)) == 1

    def __iter__(self) -> Iterator[str]:
        backends.on_miss()
        return iter(sorted(self.entries))

    def __len__(self) -> int:
        backends.on_miss()
        return len(self.entries)


def _has(cls: Any, *names: str) -> bool:
    """Whether it is a class whose objects have these methods; by name, since some base classes are in plugins."""
    return isinstance(cls, type) and all(any(name in vars(base) for base in cls.__mro__) for name in names)


def _derives(cls: Any, base: str) -> bool:
    return isinstance(cls, type) and base in {c.__name__ for c in cls.__mro__[1:]}


ops = Catalogue("op", "what @jt.op returns", lambda f: type(getattr(f, "op", None)).__name__ == "Op", suffix=None)
layers = Catalogue("layer", "a subclass of jt.Layer", lambda c: _derives(c, "Layer"), "nn")
optimizers = Catalogue("optimizer", "a subclass of jt.Optimizer", lambda c: _derives(c, "Optimizer"), "optim")
losses = Catalogue(
    "loss",
    "a function of prediction and target, or a class whose objects are called with them",
    lambda f: _has(f, "__call__") if isinstance(f, type) else callable(f),
    "nn",
    "loss",
)
schedules = Catalogue(
    "schedule",
    "a class that is made of an optimizer and has step()",
    lambda c: _has(c, "step") and not _derives(c, "Optimizer"),
    "optim",
    "lr",
)
datasets = Catalogue(
    "dataset",
    "a class with __len__ and __getitem__, or a function that returns a data set",
    lambda f: _has(f, "__len__", "__getitem__") if isinstance(f, type) else callable(f),
    "nn",
)
# By the plural, which the hook's name ends with.
CATALOGUES = {
    "ops": ops,
    "layers": layers,
    "optimizers": optimizers,
    "losses": losses,
    "schedules": schedules,
    "datasets": datasets,
}
