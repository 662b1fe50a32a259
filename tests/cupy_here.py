"""The tests of CuPy, as far as this machine allows: on a GPU the whole suite, else what needs none; and it says which.

``tox run -e cupy`` calls it; what follows ``--`` goes to pytest.
"""

from __future__ import annotations

import subprocess
import sys

from conftest import why_not

WITHOUT_A_GPU = [
    "test_cuda_registry.py",
    "test_cuda_sources.py",
    "test_cupy.py",
    "test_cupy_on_cpu.py",
    "test_backends.py",
]


def main() -> int:
    reason = why_not("cupy")
    if not reason:
        # Each op is held to the NumPy backend's numbers there, and training on both to the same curve.
        return subprocess.call([sys.executable, "-m", "pytest", "--backend=numpy,cupy", *sys.argv[1:]])
    print(f"NO GPU IS TESTED HERE: backend cupy is {reason}", flush=True)
    print(
        "Tested: that it is registered, its kernels' tables and signatures, its messages; its kernels by an emulation on the CPU;",
        flush=True,
    )
    print(
        "that every CUDA source compiles, where NVRTC is installed. The reasons of what is skipped follow the tests.",
        flush=True,
    )
    files = [f"tests/{name}" for name in WITHOUT_A_GPU]
    return subprocess.call([sys.executable, "-m", "pytest", "-rs", *files, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
