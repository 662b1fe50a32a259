"""``jitrench new``: a plugin as a complete package, from the files in templates/."""

from __future__ import annotations

import keyword
import re
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import NamedTuple

from . import backend as backends
from . import plugins, registry
from .errors import JITrenchError

OURS = {"core", "numpy", "cupy", "strict", "nn", "optim", "scipy", "fused"}
# What the templates import, define, or call their own variables.
USED = {
    "Any",
    "CASES",
    "Layer",
    "Optimizer",
    "annotations",
    "hookimpl",
    "jt",
    "nn",
    "np",
    "op",
    "op_tests",
    "register_ops",
    "test_ops",
    "x",
    "xp",
}
TEMPLATES = Path(__file__).parent / "templates"


class ScaffoldError(JITrenchError, ValueError):
    """A name that a plugin cannot have, or a place where it cannot go."""


class _Kind(NamedTuple):
    what: str
    use: str
    dependencies: tuple[str, ...] = ()
    for_tests: tuple[str, ...] = ("jitrench-numpy",)
    environments: tuple[str, ...] = ("numpy", "strict")


KINDS = {
    "op": _Kind(
        "The op `{name}`",
        "```python\nimport jitrench_core as jt\n\njt.ops.{name}(jt.tensor([-1.0, 3.0]))\n```",
    ),
    "layer": _Kind(
        "The layer `{name}`",
        "```python\nimport jitrench_core as jt\nimport jitrench_nn as nn\nfrom {module} import {name}\n\n"
        "model = nn.Sequential(nn.Linear(4), {name}())\nmodel(jt.ones((2, 3)))\n```",
        for_tests=("jitrench-numpy", "jitrench-nn"),
    ),
    "optimizer": _Kind(
        "The optimizer `{name}`",
        "```python\nimport jitrench_core as jt\nfrom {module} import {name}\n\n"
        "p = jt.tensor([1.0, -1.0], requires_grad=True)\noptimizer = {name}([p], lr=0.1)\n(p * p).sum().backward()\noptimizer.step()\n```",
    ),
    "backend": _Kind(
        "The backend `{name}`",
        '```python\nimport jitrench_core as jt\n\njt.tensor([1.0, 2.0], device="{name}") + 1\n```',
        dependencies=("array-api-strict>=2.3",),
        environments=("{name}",),
    ),
}


def create(kind: str, name: str, into: Path) -> list[Path]:
    """Write a new plugin of ``kind`` into a folder in ``into`` that is named as its distribution; returns the files.

    Layers and optimizers are classes, ``MyLayer``; ops and backends are ``my_op``. Either spelling is understood. Raises
    ``ScaffoldError`` for a name that is taken, or cannot be one, and for a folder that exists.
    """
    name, snake = _spelled(kind, name)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or keyword.iskeyword(name):
        raise ScaffoldError(
            f"{name!r} cannot be the name of a package and of a Python object; use letters a to z, digits and _"
        )
    if name in USED:
        raise ScaffoldError(
            f"{name!r} has a meaning of its own in the files that would be written; choose another name"
        )
    plugins.load()
    taken = {
        "op": registry.ops.entries,
        "layer": registry.layers.entries,
        "optimizer": registry.optimizers.entries,
        "backend": backends.BACKENDS,
    }[kind]
    if name in taken:
        raise ScaffoldError(f"there is {kind} {name!r} already, and a second one would not load; choose another name")
    distribution, module = f"jitrench-{snake.replace('_', '-')}", f"jitrench_{snake}"
    if snake in OURS or find_spec(module) is not None:
        raise ScaffoldError(f"there is a package {module} already; choose another name")
    folder = into / distribution
    if folder.exists():
        raise ScaffoldError(f"{folder} exists; nothing was written")
    it = KINDS[kind]
    core = "jitrench-core>=0.1,<0.2"
    environments = [e.format(name=name) for e in it.environments]
    values = {
        "name": name,
        "cls": "".join(part.capitalize() for part in snake.split("_")),
        "key": snake,
        "module": module,
        "distribution": distribution,
        "what": it.what.format(name=name),
        "use": it.use.format(name=name, module=module),
        "dependencies": _list(core, *it.dependencies),
        "test": _list("jitrench-core[test]", *it.for_tests),
        "environments": ", ".join(environments),
        "data": _list("py.typed", *(["expected_failures.txt"] if kind == "backend" else [])),
        "options": f" --jitrench-backend={name}" if kind == "backend" else "",
        "comment": "# `tox` tests in an environment of its own."
        if kind == "backend"
        else "# `tox` tests on each backend; `tox -e cupy` on a machine with an NVIDIA GPU.",
        "backends": ""
        if kind == "backend"
        else "deps =\n" + "\n".join(f"    {e}: jitrench-{e}" for e in (*environments, "cupy")),
    }
    files = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        "tox.ini": "tox.ini",
        ".github/workflows/test.yml": "ci.yml",
        f"{module}/__init__.py": f"{kind}.py",
        f"tests/test_{snake}.py": f"test_{kind}.py",
    }
    if kind == "backend":
        files[f"{module}/expected_failures.txt"] = "expected_failures.txt"
    made = []
    for place, template in files.items():
        file = folder / place
        file.parent.mkdir(parents=True, exist_ok=True)
        text = Template((TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")).substitute(values)
        file.write_text(text, encoding="utf-8", newline="\n")
        made.append(file)
    (folder / module / "py.typed").touch()
    return [*made, folder / module / "py.typed"]


def _spelled(kind: str, name: str) -> tuple[str, str]:
    """The object's name, ``MyLayer`` or ``my_op``, and that of the package, ``my_layer``; a class name stays as it is."""
    parts = [part for part in re.split(r"[-_ ]+", name) if part]
    boundary = r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"
    snake = "_".join(re.sub(boundary, "_", part).lower() for part in parts)
    if kind not in ("layer", "optimizer"):
        return snake, snake
    return "".join(part[:1].upper() + part[1:] for part in parts), snake


def _list(*requirements: str) -> str:
    return ", ".join(f'"{r}"' for r in requirements)
