"""Which backends the tests run on, and the fixtures that make and compare tensors there.

``pytest --backend=strict`` runs every test that uses ``backend`` or ``T`` on that backend; repeat the option, or give a
list with commas, for several. What a backend cannot do stands in ``expected_failures.txt`` of its own package.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

import jitrench_core as jt
from jitrench_core.testing.expected import lines

NEEDS_HARDWARE = ("cupy",)  # only these may be installed and yet not work; any other fails the tests then


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend",
        action="append",
        metavar="NAME",
        help="run the tests of ops and of the engine on this backend (numpy where none is named); repeat it, or "
        "separate several with commas",
    )
    parser.addoption(
        "--backend-only",
        action="store_true",
        help="leave out the tests that are the same on every backend, since they ask for none",
    )


def backends_under_test(config: pytest.Config) -> list[str]:
    """The names that ``--backend`` gives, each once."""
    given = config.getoption("--backend") or ["numpy"]
    return list(dict.fromkeys(name.strip() for part in given for name in part.split(",") if name.strip()))


def pytest_configure(config: pytest.Config) -> None:
    config.option.jitrench_backend = backends_under_test(config)  # for the tests that op_tests makes


def pytest_report_header(config: pytest.Config) -> list[str]:
    reasons = {name: why_not(name) for name in backends_under_test(config)}
    return [f"backend {name}: {reason or 'tested on ' + str(jt.device(name))}" for name, reason in reasons.items()]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for name in backends_under_test(config):
        if reason := why_not(name):
            terminalreporter.write_line(f"backend {name}: {reason}", yellow=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", backends_under_test(metafunc.config), indirect=True)


@cache
def why_not(name: str) -> str:
    """Why the backend cannot be tested here, in a sentence; empty where it can."""
    try:
        device = jt.device(name)
    except jt.NotFoundError:
        return f"not installed, so nothing is tested on it: pip install jitrench-{name}"
    except jt.JITrenchError as e:
        return f"not found: {e}"
    try:
        jt.zeros(1, device=device)
    except jt.BackendError as e:
        return f"installed but not usable here, so nothing is tested on it: {e}"
    return ""


# -- fixtures -------------------------------------------------------------------------------------------------------


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """The device under test, such as ``"numpy"`` or ``"strict:0"``."""
    return usable(request.param)


@pytest.fixture
def jitrench_backend(request: pytest.FixtureRequest) -> str:
    """The same for the tests that ``op_tests`` makes."""
    return usable(request.param)


def usable(name: str) -> str:
    """The backend's device; a skip or a failure where it cannot be tested here."""
    if reason := why_not(name):
        may_skip = name in NEEDS_HARDWARE or reason.startswith("not installed")
        (pytest.skip if may_skip else pytest.fail)(f"backend {name}: {reason}")
    return str(jt.device(name))


@pytest.fixture
def T(backend: str) -> Callable[..., jt.Tensor]:
    """``T(data, dtype=None, requires_grad=False, name=None)``: a tensor on the device under test."""

    def make(data: Any, dtype: Any = None, *, requires_grad: bool = False, name: str | None = None) -> jt.Tensor:
        return jt.tensor(data, dtype, backend, requires_grad=requires_grad, name=name)

    return make


def assert_close(actual: Any, expected: Any, tol: float = 1e-12) -> bool:
    """Fail unless shape, and values up to ``tol`` (absolute and relative), agree; NaN equals NaN.

    Tensors come off their device by ``.numpy()``, so that a comparison never hides a mix of devices. Returns True.
    """
    import numpy as np

    a, e = (np.asarray(x.numpy() if isinstance(x, jt.Tensor) else x) for x in (actual, expected))
    assert a.shape == e.shape, f"shape {a.shape}, expected {e.shape}"
    np.testing.assert_allclose(a, e, rtol=tol, atol=tol, equal_nan=True)
    return True


@pytest.fixture
def close() -> Callable[..., bool]:
    """``close(tensor, expected, tol=1e-12)``: see ``assert_close``."""
    return assert_close


# -- expected failures ----------------------------------------------------------------------------------------------


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--backend-only"):
        named = {"backend", "jitrench_backend"}
        config.hook.pytest_deselected(
            items=[item for item in items if not named & {*getattr(item, "fixturenames", ())}]
        )
        items[:] = [item for item in items if named & {*getattr(item, "fixturenames", ())}]
    for name in backends_under_test(config):
        for pattern, reason in ((line, why) for line, why in lines(name) if "::" in line):
            # fnmatch would read the brackets of a test id as a set of characters.
            wanted = re.compile(re.escape(pattern).replace(r"\*", ".*") + r"(\[.*\])?")
            for item in items:
                params = getattr(item, "callspec", None)
                if (
                    params
                    and name in (params.params.get("backend"), params.params.get("jitrench_backend"))
                    and wanted.fullmatch(item.nodeid)
                ):
                    item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
