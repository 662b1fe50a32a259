"""The plugin for pytest: tests of a distribution's ops by one line in a file, or by an option without any file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

PLUGIN = """
from jitrench_core import hookimpl, op

@op(elementwise=True, vjp={"x": lambda g, x: g / (1 + abs(x)) ** 2})
def smooth_sign(xp, x, /):
    "x / (1 + |x|), elementwise."
    return x / (1 + xp.abs(x))

@op(elementwise=True, vjp={"x": lambda g, x: 3 * x * g})
def wrong(xp, x, /):
    "x squared."
    return x * x

@hookimpl
def register_ops(register):
    register(smooth_sign)
    register(wrong)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A third party's distribution with two ops, one of them wrong, in a folder that Python sees."""
    (tmp_path / "jitrench_third.py").write_text(PLUGIN)
    info = tmp_path / "jitrench_third-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: jitrench-third\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[jitrench]\nthird = jitrench_third\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def run(project: Path, *args: str, code: int = 0) -> str:
    """What pytest prints there, in a process of its own, which must end with ``code``."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", *args]
    import os

    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JITRENCH_", "PYTEST_"))}
    environment["PYTHONPATH"] = str(project)
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_by_an_option_without_a_file(project: Path) -> None:
    text = run(project, "--jitrench-ops", "jitrench-third", "--jitrench-backend", "numpy", code=1)
    assert "jitrench-third::smooth_sign[numpy] PASSED" in text
    assert "jitrench-third::wrong[numpy] FAILED" in text
    assert "op 'wrong' on numpy, sample: float64 (2, 3): the gradient of input 0 is" in text
    assert "Traceback" not in text
    text = run(project, "--jitrench-ops=third", "--jitrench-backend=numpy,strict", "-k", "smooth_sign")
    assert "third::smooth_sign[numpy] PASSED" in text
    assert "third::smooth_sign[strict] PASSED" in text


def test_by_one_line_in_a_file(project: Path) -> None:
    (project / "test_third.py").write_text(
        dedent(
            """
            from jitrench_core.testing import op_tests

            test_ops = op_tests("jitrench-third", skip={"wrong": "it is wrong on purpose"})
            """
        )
    )
    text = run(project, "--jitrench-backend", "numpy", "-ra")
    assert "test_third.py::test_ops[numpy-smooth_sign] PASSED" in text
    assert "test_third.py::test_ops[numpy-wrong] SKIPPED (it is wrong on purpose)" in text
    assert "1 passed, 1 skipped" in text
    every = run(project)  # on each backend that is installed; one that cannot compute here is skipped, with its reason
    assert "test_ops[numpy-smooth_sign] PASSED" in every
    assert "test_ops[strict-smooth_sign] PASSED" in every


def test_references_and_cases(project: Path) -> None:
    (project / "test_third.py").write_text(
        dedent(
            """
            import numpy as np
            from jitrench_core.testing import op_tests

            test_ops = op_tests(
                "third",
                references={"smooth_sign": lambda x: x / (1 + np.abs(x)) + 1e-6 * (x > 7)},
                cases={"smooth_sign": [((np.array([8.0]),), {})]},
                skip={"wrong": "on purpose"},
            )
            """
        )
    )
    text = run(project, "--jitrench-backend=numpy", code=1)
    assert "op 'smooth_sign' on numpy, case 0: float64 (1,): the result is" in text


def test_names_that_nothing_has(project: Path) -> None:
    text = run(project, "--jitrench-ops=jitrench-thirt", code=4)
    assert "--jitrench-ops: no installed plugin 'jitrench-thirt' registers ops. Did you mean 'jitrench-third'" in text
    text = run(project, "--jitrench-ops=third", "--jitrench-backend=nunpy", code=1)
    assert "backend nunpy: no device 'nunpy': installed backends are" in text
    (project / "test_third.py").write_text(
        "from jitrench_core.testing import op_tests\ntest_ops = op_tests('third', skip={'rong': 'no'})\n"
    )
    assert "op_tests('third'): skip names rong, which it does not register" in run(project, code=2)


def test_a_plugin_that_is_broken(project: Path) -> None:
    (project / "jitrench_third.py").write_text("raise RuntimeError('no such luck')\n")
    text = run(project, "--jitrench-ops=third", code=4)
    assert "plugin 'third' of jitrench-third did not load: RuntimeError: no such luck" in text


def test_it_is_lazy_for_those_who_do_not_ask(project: Path) -> None:
    (project / "test_lazy.py").write_text(
        dedent(
            """
            import sys

            def test_nothing_is_loaded(pytestconfig):
                assert pytestconfig.pluginmanager.hasplugin("jitrench")
                assert "numpy" not in sys.modules
                assert "jitrench_third" not in sys.modules
                from jitrench_core import backend
                assert not backend.BACKENDS
            """
        )
    )
    assert "1 passed" in run(project)
