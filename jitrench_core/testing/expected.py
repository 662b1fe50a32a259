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
from .. import plugins
from ..errors import PluginError
from .battery import CHECKS, outcomes

FILE = "expected_failures.txt"
NAMES = ("documented", *CHECKS)


def lines(backend: str) -> Iterator[tuple[str, str]]:
    """What the lines of the backend's file name, and the reasons. Raises ``PluginError`` for a line without one."""
    plugins.load()
    host = backends.BACKENDS.get(backend.partition(":")[0])
    module: Any = sys.modules.get(type(host).__module__) if host is not None else None
    if getattr(module, "__file__", None) is None:
        return
    file = Path(module.__file__).parent / FILE
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines() if file.exists() else (), 1):
        if line.strip() and not line.startswith("#"):
            name, _, reason = (part.strip() for part in line.partition(" # "))
            if not reason:
                raise PluginError(f"{file}:{number}: expected 'op: check # reason', got {line!r}")
            yield name, reason


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
