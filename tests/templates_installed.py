"""What ``jitrench new`` writes, as a stranger uses it: each package in a fresh environment, ``pip install -e ".[test]"``, ``pytest``.

``tox run -e template`` calls it. JITrench's own distributions come from wheels that are built first.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from jitrench_core.scaffold import create

ROOT = Path(__file__).parents[1]
OURS = [ROOT, ROOT / "backends" / "numpy", ROOT / "plugins" / "nn"]
NAMES = {"op": "soft_step", "layer": "MyAffine", "optimizer": "SignDown", "backend": "mine"}


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        wheels = folder / "wheels"
        subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", wheels, *OURS], check=True)
        for kind, name in NAMES.items():
            place = create(kind, name, folder)[0].parent
            venv.create(folder / kind, with_pip=True)
            python = folder / kind / ("Scripts" if sys.platform == "win32" else "bin") / "python"
            install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--find-links", wheels]
            subprocess.run([*install, "-e", ".[test]"], cwd=place, check=True)
            print(f"{place.name}:", flush=True)
            subprocess.run([python, "-m", "pytest", "-q"], cwd=place, check=True)
            subprocess.run([python, "-m", "jitrench_core", "plugins"], check=True)


if __name__ == "__main__":
    main()
