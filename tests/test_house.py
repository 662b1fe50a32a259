"""The house keeps its order: imports run one way, plugins use public names alone, and the core stands on pluggy only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import jitrench_core as jt

ROOT = Path(__file__).parent.parent
CORE = ROOT / "jitrench_core"

# Each room imports only from rooms above it, or from its own.
STOREYS = [
    {"errors", "dtypes", "deprecations"},
    {"backend", "devices"},
    {"graph", "tensor", "signature", "explain", "op"},
    {"catalogues"},
    {"registry"},
    {"hookspecs", "plugins"},
    {"ops"},
    {"interpreters", "transforms"},
    {"fft", "inspection", "interop", "linalg", "random", "plot", "anomaly", "spellings", "watching"},
    {"scope"},
    {"layer", "optimizer"},
    {"testing", "scaffold", "documents", "cli"},
]
# What a plugin or backend may import beyond jitrench_core itself.
DOCUMENTED = {
    "deprecations",
    "backend",
    "dtypes",
    "errors",
    "layer",
    "ops",
    "optimizer",
    "plot",
    "plugins",
    "tensor",
    "transforms",
    "testing",
    "watching",
}
STANDARD = {"__future__", "array_api_compat", "array_api_strict", "cupy", "cupyx", "numpy", "safetensors"}
STANDARD |= {"scipy"}  # what a plugin is for
STANDARD |= {"PIL", "matplotlib", "mlxtend", "sklearn", "tensorboardX", "tqdm"}  # inside functions, with extras


def imports(path: Path) -> list[tuple[str, str, bool]]:
    """``(module, name, at the top)`` for every import in a file, relative ones made absolute within jitrench_core."""
    found = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(n) for n in tree.body}
    typing_only = {
        id(n)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for n in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, "", id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level and CORE in path.parents:
                parts = ["jitrench_core", *path.relative_to(CORE).parent.parts][: len(path.relative_to(ROOT).parts)]
                parts = parts[: len(parts) - (node.level - 1)]
                module = ".".join([*parts, *([module] if module else [])])
            elif node.level:
                continue  # within a plugin's own package
            found += [(module, alias.name, id(node) in top) for alias in node.names]
    return found


def room(module: str, name: str) -> str | None:
    """The room of the core that an import enters."""
    parts = module.split(".")
    if parts[0] != "jitrench_core":
        return None
    if len(parts) > 1:
        return parts[1]
    return name if (CORE / f"{name}.py").exists() or (CORE / name).is_dir() else "__init__"


def storey(name: str) -> int:
    return next(i for i, rooms in enumerate(STOREYS) if name in rooms)


def test_every_room_has_its_storey():
    rooms = {p.stem if p.is_file() else p.name for p in CORE.iterdir()} - {
        "__init__",
        "__main__",
        "__pycache__",
        "py",
        "templates",
    }
    assert rooms == set().union(*STOREYS)


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda p: str(p.relative_to(CORE)))
def test_imports_run_one_way(path):
    own = path.relative_to(CORE).parts[0].removesuffix(".py")
    if own in ("__init__", "__main__"):
        return
    for module, name, at_top in imports(path):
        target = room(module, name)
        if target is None:
            assert module.partition(".")[0] not in ("numpy", "cupy", "torch", "array_api_strict") or own == "testing", (
                path
            )
        elif at_top and target != "__init__":
            assert storey(target) <= storey(own), f"{path.name} imports {target} from a storey above"


PACKAGES = sorted(p for p in [*ROOT.glob("backends/*/jitrench_*"), *ROOT.glob("plugins/*/jitrench_*")] if p.is_dir())


@pytest.mark.parametrize(
    "path", sorted(f for p in PACKAGES for f in p.rglob("*.py")), ids=lambda p: p.parent.name + "/" + p.name
)
def test_plugins_use_public_names_alone(path):
    import sys

    for module, name, _ in imports(path):
        first, *rest = module.split(".")
        if first == "jitrench_core":
            assert not name.startswith("_"), f"{path.name} imports the private {name}"
            assert not any(part.startswith("_") for part in rest), module
            assert name in jt.__all__ if not rest and name else not rest or rest[0] in DOCUMENTED, (module, name)
        else:
            assert first in sys.stdlib_module_names or first in STANDARD or first == path.parent.name, module


def test_the_documented_submodules_are_in_the_authors_guide():
    guide = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    missing = [m for m in sorted(DOCUMENTED) if f"jitrench_core.{m}" not in guide]
    assert not missing


@pytest.mark.parametrize("path", sorted(f for f in ROOT.glob("plugins/*/jitrench_*/**/*.py")), ids=lambda p: p.name)
def test_the_authors_guide_lists_the_names_that_plugins_import(path):
    import re

    guide = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(jitrench_core\.[\w.]+)` \| (.*?) \|", guide, re.MULTILINE))
    listed = {f"{module}.{name}" for module, names in rows.items() for name in re.findall(r"`(\w+)`", names)}
    taken = {f"{module}.{name}" for module, name, _ in imports(path) if module.startswith("jitrench_core.")}
    assert {name for name in taken if name.rpartition(".")[2] not in jt.__all__} <= listed | set(rows)


def test_only_pluggy_is_needed():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [d.partition(">")[0] for d in project["dependencies"]] == ["pluggy"]
