"""``jitrench new``: a plugin as a complete package, from the files in templates/."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template
from typing import NamedTuple

from . import backend as backends
from . import plugins, registry
from .errors import JITrenchError

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
    ``ScaffoldError`` for a name that is taken or no name of Python's, and for a folder that exists.
    """
    words = _words(name)
    snake, camel = "_".join(words), "".join(word.capitalize() for word in words)
    name = camel if kind in ("layer", "optimizer") else snake
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ScaffoldError(f"{name!r} is no name of a Python object; expected letters, digits and underscores")
    plugins.load()
    taken = {
        "op": registry.ops.entries,
        "layer": registry.layers.entries,
        "optimizer": registry.optimizers.entries,
        "backend": backends.BACKENDS,
    }[kind]
    if name in taken:
        raise ScaffoldError(f"there is {kind} {name!r} already, and a second one would not load; choose another name")
    distribution, module = f"jitrench-{'-'.join(words)}", f"jitrench_{snake}"
    folder = into / distribution
    if folder.exists():
        raise ScaffoldError(f"{folder} exists; nothing was written")
    it = KINDS[kind]
    core = "jitrench-core>=0.1,<0.2"
    environments = [e.format(name=name) for e in it.environments]
    values = {
        "name": name,
        "cls": camel,
        "key": snake,
        "module": module,
        "distribution": distribution,
        "what": it.what.format(name=name),
        "use": it.use.format(name=name, module=module),
        "dependencies": _list(core, *it.dependencies),
        "test": _list("jitrench-core[test]", *it.for_tests),
        "environments": ", ".join(environments),
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
    made = []
    for place, template in files.items():
        file = folder / place
        file.parent.mkdir(parents=True, exist_ok=True)
        text = Template((TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")).substitute(values)
        file.write_text(text, encoding="utf-8", newline="\n")
        made.append(file)
    (folder / module / "py.typed").touch()
    return [*made, folder / module / "py.typed"]


def _words(name: str) -> list[str]:
    """``MyLayer``, ``my-layer`` and ``my_layer`` are two words each."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^A-Z_\W]+|\W", name) if word not in "-_ "]


def _list(*requirements: str) -> str:
    return ", ".join(f'"{r}"' for r in requirements)
