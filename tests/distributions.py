"""The distributions of this repository as wheels, and fresh environments to install them into, for the scripts beside it."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = sorted(
    p.parent.relative_to(ROOT).as_posix()
    for kind in ("backends", "plugins")
    for p in ROOT.glob(f"{kind}/*/pyproject.toml")
)


def wheels(folder: Path, parts: Iterable[str] = PARTS) -> dict[str, Path]:
    """Wheels of the core and of ``parts``, built into ``folder``, by the package's name."""
    sources = [ROOT, *(ROOT / part for part in parts)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, *sources], check=True)
    return {w.name.partition("-")[0]: w for w in sorted(folder.iterdir())}


def environment(folder: Path, wanted: Iterable[str | Path], *, find_links: Path | None = None) -> Path:
    """A fresh environment in ``folder`` with ``wanted`` installed; returns the folder of its programs."""
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    index = [] if find_links is None else ["--find-links", find_links]
    install = [programs / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *index]
    subprocess.run([*install, *map(str, wanted)], check=True)
    return programs
