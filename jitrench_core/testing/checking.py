"""``jitrench check``: the battery over a plugin, a backend, an op, or everything, as a table."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from .. import backend as backends
from .. import plugins, registry
from ..errors import NotFoundError, UnsupportedError, suggest
from .expected import held
from .op_tests import backends_for, ops_of, reference_of, why_not
from .support import has_test_data

DATA = "test data"  # in place of a check's name, where it failed


class Result(NamedTuple):
    """An op on a backend: the names of the checks that failed, and the first failure in full; both empty where all passed.

    ``expected`` holds the checks that failed as the backend's package says they do, with its reasons; ``untested`` is the reason
    where nothing was checked.
    """

    op: str
    owner: str
    backend: str
    failed: list[str]
    failure: str
    untested: str
    expected: dict[str, str]


def check(names: Iterable[str], on: Iterable[str] | None = None, complex: bool | None = None) -> Iterator[Result]:
    """Run the battery for all that ``names`` stand for (nothing: every op), on the backends ``on`` (None: all that work here).

    ``complex`` is that of ``check_op``.

    A name is that of an op, of a plugin or distribution (its ops, and those that it has kernels of), or of a backend (all ops there).
    Raises ``NotFoundError`` for another.
    """
    targets: dict[tuple[str, str], None] = {}
    everywhere = backends_for(on) if on else [name for name in backends_for(None) if not why_not(name)]
    wanted: list[str | None] = [*names]
    for name in wanted or [None]:
        targets |= dict.fromkeys(_targets(name, everywhere, bool(on)))
    for op, backend in targets:
        yield _result(op, backend, complex)


def _targets(name: str | None, on: list[str], named: bool) -> list[tuple[str, str]]:
    """The pairs of op and backend that a name stands for; ``named`` says that the user chose the backends ``on``."""
    if name is None:
        return [(op, backend) for op in registry.ops for backend in on]
    if name in registry.ops.entries:
        return [(name, backend) for backend in on]
    if name in backends.BACKENDS:
        if named and name not in on:
            raise NotFoundError(f"{name!r} is a backend, and not among those to check on: {', '.join(on)}")
        return [(op, name) for op in registry.ops]
    owned = {p.name for p in plugins.plugins() if name in (p.name, p.distribution)}
    kernels = [
        key
        for key, (owner, _) in backends.PLUGIN_KERNELS.items()
        if owner in owned and key[0] in registry.ops.entries and key[1] in on
    ]
    made = [backend for backend, owner in registry.backend_owners.items() if owner in owned]
    try:
        ops = ops_of(name)
    except NotFoundError as e:
        if any(name in (p.name, p.distribution) and p.error for p in plugins.plugins()):
            raise
        if not owned:
            known = [
                *registry.ops,
                *backends.names(),
                *(n for p in plugins.plugins() for n in (p.name, p.distribution)),
            ]
            raise NotFoundError(f"no op, plugin or backend {name!r} is installed.{suggest(name, known)}") from e
        if not kernels and not made:
            raise NotFoundError(f"plugin {name!r} has no op, no kernel and no backend to check") from e
        ops = []
    return [
        *((op, backend) for op in ops for backend in on),
        *kernels,
        *((op, backend) for backend in made for op in registry.ops if backend in on or not named),
    ]


def _result(op: str, backend: str, complex: bool | None) -> Result:
    owner, function = registry.ops.owners[op], registry.ops[op]
    if reason := why_not(backend):
        return Result(op, owner, backend, [], "", f"backend {backend}: {reason}", {})
    if not has_test_data(function.op):
        return Result(op, owner, backend, [], "", "no test data: @op(samples=)", {})
    failed: list[str] = []
    awaited: dict[str, str] = {}
    failure = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, found, reason in held(function, backend, reference=reference_of(function), complex=complex):
                if found is not None and reason:
                    awaited[name] = reason
                elif found is not None:
                    failed.append(name)
                    failure = failure or _told(found)
    except UnsupportedError as e:
        return Result(op, owner, backend, [], "", str(e), {})
    except (Exception, SystemExit) as e:  # of a sample or a reference
        failed.append(DATA)
        failure = failure or _told(e)
    return Result(op, owner, backend, failed, failure, "", awaited)


def _told(e: BaseException) -> str:
    """The battery's own words, with the traceback of what the op raised."""
    if not isinstance(e, AssertionError):
        return "".join(traceback.format_exception(e)).rstrip()
    cause: Any = e.__cause__
    below = "" if cause is None else "\n" + "".join(traceback.format_exception(cause, limit=-3)).rstrip()
    return f"{e}{below}"
