"""The CuPy backend without a GPU, on the stand-in of tests/cupy_on_cpu: what that shows, and what not, its README.md says.

The stand-in must come before any CuPy that is installed, so it runs in processes of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STAND_IN = ROOT / "tests" / "cupy_on_cpu"
NEEDED = {"cupy", "numpy", "nn", "optim"}


@pytest.fixture(autouse=True)
def needs():
    """The stand-in compiles kernels with g++, and tests the backend with layers and optimizers."""
    if not (os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")):
        pytest.skip("the stand-in for CuPy compiles kernels with g++, which is not found")
    if missing := NEEDED - {point.name for point in entry_points(group="jitrench")}:
        pytest.skip(f"not installed: {', '.join(f'jitrench-{name}' for name in sorted(missing))}")
    pytest.importorskip("array_api_compat")


def run(*arguments: str, devices: int = 1) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(STAND_IN), "CUPY_ON_CPU_DEVICES": str(devices), "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900
    )


def test_the_stand_in_and_the_backend_on_two_devices():
    """The stand-in's own tests; training steps without synchronisation; same seed, same numbers; two devices."""
    done = run("-m", "pytest", "tests/cupy_on_cpu/inside.py", "-q", "-p", "no:cacheprovider", devices=2)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def test_every_op_with_a_kernel_passes_the_battery():
    """Values, float32, empty arrays, both modes, second order and vmap of the ops in jitrench_cupy's table; kernels against NumPy's."""
    listed = run("-c", "import json; from jitrench_cupy.kernels import KERNELS; print(json.dumps(sorted(KERNELS)))")
    assert listed.returncode == 0, listed.stderr
    names = json.loads(listed.stdout)
    done = run("-m", "jitrench_core", "check", *names, "--backend", "cupy")
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert len(names) > 40


@pytest.mark.parametrize("devices", [0, 1])
def test_how_many_gpus_there_are(devices):
    code = "import jitrench_core as jt; print(jt.zeros(2, device='cuda').device)"
    done = run("-c", code, devices=devices)
    if devices:
        assert done.stdout.strip() == "cupy:0", done.stderr
    else:
        assert "BackendError: no GPU for 'cupy:0': CuPy finds 0" in done.stderr
