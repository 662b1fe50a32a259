"""``op_tests``: one line in a test file, and pytest runs the battery for each op of a plugin on each backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, final

from .. import backend as backends
from .. import plugins, registry
from ..errors import JITrenchError, NotFoundError, UnsupportedError, suggest
from ..ops.creation import zeros
from .battery import on_numpy
from .expected import held
from .support import has_test_data

Cases = Sequence[tuple[tuple[Any, ...], dict[str, Any]]]


@final
class OpTests:
    """What a function made by ``op_tests`` is to be run for; pytest_plugin.py reads it."""

    def __init__(self, owner: str, skip: Mapping[str, str]) -> None:
        self.owner = owner
        self.skip = dict(skip)


def op_tests(
    owner: str,
    *,
    references: Mapping[str, Callable[..., Any]] | None = None,
    cases: Mapping[str, Cases] | None = None,
    skip: Mapping[str, str] | None = None,
    complex: bool | None = None,
) -> Any:
    """A test of ``check_op`` for each op that ``owner`` (a distribution or a plugin) registers, on each backend.

    In a test file: ``test_ops = op_tests("jitrench-softsign")``. ``references`` and ``cases`` are those of ``check_op``, by the
    op's name, and so is ``complex``; ``skip`` gives a reason for each op that is not tested. The backends are those that pytest's option
    ``--jitrench-backend`` names, else all that are installed.
    """
    known_references, known_cases = references or {}, cases or {}

    def test(jitrench_op: str, jitrench_backend: str) -> None:
        run_test(
            jitrench_op,
            jitrench_backend,
            reference=known_references.get(jitrench_op),
            cases=known_cases.get(jitrench_op, ()),
            complex=complex,
        )

    test.jitrench_ops = OpTests(owner, skip or {})  # type: ignore[attr-defined]
    return test


def run_test(op: str, backend: str, *, reference: Any = None, **options: Any) -> None:
    """The battery as a test of pytest's: skipped where the backend lacks the op, an expected failure where its package says so."""
    import pytest

    function = registry.ops[op]
    if function.op.owner == "jitrench-core" and not has_test_data(function.op):
        pytest.skip("it has no test data, but tests of its own in JITrench")
    reasons = []
    try:
        for check, failure, reason in held(function, backend, reference=reference or reference_of(function), **options):
            if failure is not None and not reason:
                raise failure
            if failure is not None:
                reasons.append(f"{check}: {reason}")
    except UnsupportedError as e:
        pytest.skip(str(e))
    if reasons:
        pytest.xfail("; ".join(reasons))


def ops_of(owner: str) -> list[str]:
    """The ops that a distribution or a plugin registers; ``NotFoundError`` where there is no such one, or it failed."""
    installed = plugins.plugins()
    names = {p.name for p in installed if owner in (p.name, p.distribution)} | {owner}
    for p in installed:
        if p.name in names and p.error is not None:
            raise NotFoundError(
                f"plugin {p.name!r} of {p.distribution} did not load: {type(p.error).__name__}: {p.error}"
            )
    found = [op for op in registry.ops if registry.ops.owners[op] in names]
    if not found:
        known = {*registry.ops.owners.values(), *(p.distribution for p in installed)}
        raise NotFoundError(f"no installed plugin {owner!r} registers ops.{suggest(owner, known)}")
    return found


def backends_for(named: Iterable[str] | None) -> list[str]:
    """The backends that are named, each once, with commas or without; else all that are installed."""
    given = [name.strip() for part in named or () for name in part.split(",") if name.strip()]
    if not given:
        plugins.load()
        return backends.names()
    return list(dict.fromkeys(given))


def why_not(name: str) -> str:
    """Why nothing can be computed on a backend here; empty where it can."""
    try:
        zeros((1,), device=name)
    except JITrenchError as e:
        return str(e)
    return ""


def reference_of(function: Any) -> Callable[..., Any] | None:
    """What a composite gives on NumPy, where that backend is there, for it is its own definition; else None, ``check_op``'s own choice."""
    return partial(on_numpy, function) if function.op.composite and not why_not("numpy") else None
