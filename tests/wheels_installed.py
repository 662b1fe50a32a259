"""Wheels of all distributions: built, installed into an empty environment from a folder, and tested from there.

``tox run -e wheels`` calls it; what follows ``--`` goes to pytest. The tests lie in the checkout, the packages do not come from it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from distributions import ROOT, environment, wheels

EXTRAS = {"jitrench_core": "[graph,test]", "jitrench_nn": "[data,train,tensorboard]"}
FOR_TESTS = ["pygraphviz>=2.0"]


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        wanted = [f"{wheel}{EXTRAS.get(name, '')}" for name, wheel in wheels(folder / "wheels").items()]
        programs = environment(folder / "environment", [*wanted, *FOR_TESTS])
        told = "import jitrench_core, jitrench_nn; print(jitrench_core.__file__, jitrench_nn.__file__)"
        subprocess.run([programs / "python", "-c", told], cwd=folder, check=True)
        # the program pytest, since `python -m pytest` would put the checkout's packages first
        subprocess.run([programs / "pytest", "-q", "--backend=numpy", *sys.argv[1:]], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
