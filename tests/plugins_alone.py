"""Each plugin and backend alone, in a fresh environment, with the core and NumPy's backend installed from wheels.

``tox run -e plugins`` calls it; what follows ``--`` goes to pytest. It runs the battery of the plugin's ops, or of the core's on a
backend, and the test files that import nothing which is not installed there.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from distributions import PARTS, ROOT, environment, wheels

TESTS = ROOT / "tests"
NEEDED = ("jitrench_core", "jitrench_numpy")
FOR_TESTS = {"_pytest", "numpy", "pluggy", "pytest"}


def imported(module: Path) -> set[str]:
    """The top modules that a file or package imports, at its top or within functions; those in tests/ stand for what they import."""
    found = set()
    for file in module.rglob("*.py") if module.is_dir() else [module]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add((node.module or "").partition(".")[0])
    local = {
        place for name in found for place in (TESTS / name, TESTS / f"{name}.py") if place.exists() and place != module
    }
    return (found - {place.stem for place in local}).union(*map(imported, local))


def tests_of(package: str, installed: set[str]) -> list[Path]:
    """The test files that import ``package``, and otherwise what is ``installed``, pytest, and the standard library."""
    known = {*installed, *FOR_TESTS, *sys.stdlib_module_names}
    return [p for p in sorted(TESTS.glob("test_*.py")) if package in imported(p) and imported(p) <= known]


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        built = wheels(folder / "wheels")
        for part in PARTS:
            kind, name = part.split("/")
            package = f"jitrench_{name}"
            wanted = dict.fromkeys(built[p] for p in (*NEEDED, package))
            for_tests = ["pytest>=8.2", "pytest-xdist"]
            programs = environment(folder / package, [*wanted, *for_tests], find_links=folder / "wheels")
            told = subprocess.run(
                [programs / "jitrench", "backends", "--json"], cwd=folder, capture_output=True, text=True
            )
            states = {b["name"]: b["error"] for b in json.loads(told.stdout)["backends"]}
            pytest = [programs / "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *sys.argv[1:]]
            print(f"-- {package}", flush=True)
            if states.get(name):
                print(f"nothing is computed on {name}: {states[name]}", flush=True)
            elif kind == "backends":
                subprocess.run(
                    [*pytest, "--jitrench-ops", "jitrench-core", "--jitrench-backend", name], cwd=folder, check=True
                )
            else:
                subprocess.run([*pytest, "--jitrench-ops", name, "--jitrench-backend", "numpy"], cwd=folder, check=True)
            if files := tests_of(package, {*NEEDED, package}):
                # the examples are programs that use several plugins
                subprocess.run([*pytest, *files, "-k", "not example"], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
