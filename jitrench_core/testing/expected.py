"""What a backend is expected to fail: ``expected_failures.txt`` beside its module, a line each, with its reason.

``svd: value # the signs of singular vectors are not NumPy's`` names an op and a check of the battery (``*``: any). A line whose check
passes is an error, so that the file tells the truth. Lines with ``::`` are of test functions, for the test suite that reads them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import backend as backends
from .. import plugins, registry
from ..dtypes import DTYPES
from ..errors import PluginError, suggest
from .battery import CHECKS, outcomes

FILE = "expected_failures.txt"
NAMES = ("documented", *CHECKS)


def lines(backend: str) -> Iterator[tuple[str, str]]:
    """What the lines of the backend's file name, and the reasons. Raises ``PluginError`` for a line without one."""
    plugins.load()
    host = backends.BACKENDS.get(backend.partition(":")[0])
    module: Any = _module(host) if host is not None else None
    if getattr(module, "__file__", None) is None:
        return
    file = Path(module.__file__).parent / FILE
    try:
        text = module.__spec__.loader.get_data(str(file)).decode("utf-8-sig")  # a package may be in a zip file
    except (OSError, UnicodeDecodeError) as e:
        if file.exists():
            raise PluginError(f"{file} cannot be read: {e}") from e
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, _, reason = (part.strip() for part in line.partition(" # "))
            if not reason:
                raise PluginError(f"{file}:{number}: expected 'op: check # reason', got {line!r}")
            yield name, reason


def _module(host: backends.Backend) -> Any:
    """The module of the backend's class; of a plain ``jt.Backend`` that of the plugin which registers it."""
    owner = registry.backend_owners.get(host.name)
    named = (p.module.partition(":")[0] for p in plugins.plugins() if p.name == owner and p.status == "loaded")
    return sys.modules.get(type(host).__module__ if type(host) is not backends.Backend else next(named, ""))


def strays() -> Iterator[str]:
    """Complaints about gaps, and lines of these files, that name what nobody has; none where a plugin is off, which may have it."""
    if any(p.status != "loaded" for p in plugins.plugins()):
        return
    ops = registry.ops.entries.keys()
    for host in (backends.BACKENDS[name] for name in backends.names()):
        for gap in sorted(host.missing.keys() - ops - DTYPES.keys()):
            near = suggest(gap, [*ops, *DTYPES])
            yield f"backend {host.name!r} declares {gap!r} missing, which is no op and no dtype that is installed.{near}"
        try:
            named = {name.partition(":")[0].strip() for name, _ in lines(host.name) if "::" not in name}
        except PluginError as e:
            yield str(e)
            continue
        for op in sorted(named - ops):
            yield f"{FILE} of backend {host.name!r} names {op!r}, an op nobody has.{suggest(op, ops)}"


def expected(backend: str, op: str) -> dict[str, str]:
    """The checks that ``op`` is expected to fail on ``backend``, and why. Raises ``PluginError`` for an unknown check."""
    found: dict[str, str] = {}
    for name, reason in lines(backend):
        of, _, check = (part.strip() for part in name.partition(":"))
        if "::" not in name and check not in (*NAMES, "*"):
            raise PluginError(
                f"{FILE} of backend {backend!r}: {check!r} is no check of the battery; they are {', '.join(NAMES)}, or * for any"
            )
        if "::" not in name and of == op:
            if check in found:
                raise PluginError(f"{FILE} of backend {backend!r}: '{op}: {check}' stands there twice")
            found[check] = reason
    return found


def held(function: Any, backend: str, **options: Any) -> Iterator[tuple[str, AssertionError | None, str]]:
    """``outcomes``, each with the reason why it was expected to fail; what was expected to and did not is a failure.

    Raises ``UnsupportedError`` where the backend lacks the op.
    """
    awaited = expected(backend, function.op.name)
    any_failed = False
    for name, failure in outcomes(function, backend, **options):
        reason = awaited.get(name, awaited.get("*", ""))
        any_failed = any_failed or failure is not None
        if failure is None and name in awaited:
            failure, reason = _better(function, backend, name), ""
        yield name, failure, reason
    if "*" in awaited and not any_failed:
        yield "*", _better(function, backend, "*"), ""


def _better(function: Any, backend: str, check: str) -> AssertionError:
    what = "every check" if check == "*" else f"the check {check!r}"
    return AssertionError(
        f"op {function.op.name!r} on {backend} passes {what}, which {FILE} expects it to fail: remove the line"
    )
