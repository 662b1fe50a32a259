"""The plugin for pytest: ``check_op`` for each op of a distribution, on each backend, as tests of their own.

It is installed with jitrench-core and does nothing until it is asked: by ``op_tests`` in a test file, or without any file by
``pytest --jitrench-ops jitrench-softsign``. Only then are plugins loaded and NumPy imported.
"""

from __future__ import annotations

from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The two options."""
    group = parser.getgroup("jitrench", "the ops of JITrench and its plugins")
    group.addoption(
        "--jitrench-ops",
        action="append",
        metavar="NAME",
        help="test each op that this distribution or plugin registers; repeat it for several",
    )
    group.addoption(
        "--jitrench-backend",
        action="append",
        metavar="NAME",
        help="test ops on this backend (on all that are installed where none is named); repeat it, or separate with commas",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each op and backend, of a function that ``op_tests`` made; for each backend, of one that takes ``jitrench_backend``."""
    wanted = getattr(metafunc.function, "jitrench_ops", None)
    if wanted is None and "jitrench_backend" not in metafunc.fixturenames:
        return
    from ..errors import NotFoundError
    from .op_tests import backends_for, ops_of

    on = backends_for(metafunc.config.getoption("jitrench_backend"))
    if wanted is None:
        metafunc.parametrize("jitrench_backend", on, indirect=True)
        return
    try:
        names = ops_of(wanted.owner)
    except NotFoundError as e:
        raise pytest.UsageError(f"op_tests: {e}") from e
    if unknown := sorted(wanted.skip.keys() - set(names)):
        raise pytest.UsageError(
            f"op_tests({wanted.owner!r}): skip names {', '.join(unknown)}, which it does not register"
        )
    marked = [
        pytest.param(name, marks=pytest.mark.skip(reason=wanted.skip[name])) if name in wanted.skip else name
        for name in names
    ]
    metafunc.parametrize("jitrench_backend", on, indirect=True)
    metafunc.parametrize("jitrench_op", marked)


@pytest.fixture
def jitrench_backend(request: pytest.FixtureRequest) -> str:
    """The name of the backend to test on. One that ``--jitrench-backend`` names must work; another is skipped where it cannot."""
    from .op_tests import why_not

    name = str(request.param)
    if reason := why_not(name):
        named = request.config.getoption("jitrench_backend")
        (pytest.fail if named else pytest.skip)(f"backend {name}: {reason}")
    return name


class OpTest(pytest.Item):
    """One op on one backend, asked for by ``--jitrench-ops``."""

    def __init__(self, *, op: str, backend: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.op, self.backend = op, backend

    def runtest(self) -> None:
        """Run the battery."""
        from .op_tests import run_test, why_not

        if reason := why_not(self.backend):
            named = self.config.getoption("jitrench_backend")
            (pytest.fail if named else pytest.skip)(f"backend {self.backend}: {reason}")
        run_test(self.op, self.backend)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The battery's own words; a traceback tells of it alone."""
        return str(excinfo.value) if isinstance(excinfo.value, AssertionError) else super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[str, None, str]:
        """What stands above a failure."""
        return self.name, None, f"check_op({self.op!r}, {self.backend!r})"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the tests that ``--jitrench-ops`` asks for."""
    owners = config.getoption("jitrench_ops") or ()
    if not owners:
        return
    from ..errors import NotFoundError
    from .op_tests import backends_for, ops_of

    for owner in owners:
        try:
            names = ops_of(owner)
        except NotFoundError as e:
            raise pytest.UsageError(f"--jitrench-ops: {e}") from e
        for backend in backends_for(config.getoption("jitrench_backend")):
            for name in names:
                title = f"{owner}::{name}[{backend}]"
                items.append(OpTest.from_parent(session, name=title, nodeid=title, op=name, backend=backend))
