"""Wheels of all distributions: built, installed into an empty environment from a folder, and tested from there.

``tox run -e wheels`` calls it; what follows ``--`` goes to pytest. The tests lie in the checkout, the packages do not come from it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ["backends/numpy", "backends/strict", "backends/cupy", "plugins/nn", "plugins/optim"]
EXTRAS = {"jitrench_core": "[graph,test]", "jitrench_nn": "[data,train,tensorboard]"}
FOR_TESTS = ["pygraphviz>=2.0"]


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        wheels = folder / "wheels"
        distributions = [ROOT, *(ROOT / part for part in PARTS)]
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", wheels, *distributions], check=True
        )
        venv.create(folder / "environment", with_pip=True)
        programs = folder / "environment" / ("Scripts" if sys.platform == "win32" else "bin")
        wanted = [f"{w}{EXTRAS.get(w.name.partition('-')[0], '')}" for w in sorted(wheels.iterdir())]
        install = [programs / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*install, *wanted, *FOR_TESTS], check=True)
        told = "import jitrench_core, jitrench_nn; print(jitrench_core.__file__, jitrench_nn.__file__)"
        subprocess.run([programs / "python", "-c", told], cwd=folder, check=True)
        # the program pytest, since `python -m pytest` would put the checkout's packages first
        subprocess.run([programs / "pytest", "-q", "--backend=numpy", *sys.argv[1:]], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
