"""Every Python snippet in README.md, docs/ and the packages' READMEs runs, and so does every doctest of the core.

The blocks of one file run in order, in one namespace, in a process and a temporary directory of their own. ``python``
blocks are executed, ``pycon`` blocks (``>>>``) are doctests. A block whose first line is ``# NAME.py`` is a plugin's
module: it is really installed (a distribution with the entry points of the file's ``toml`` blocks) before the others
run. The comment ``<!-- not run: REASON -->`` on the line above a block exempts it.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import json
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
import types
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from jitrench_core.op import Op

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("backends/*/README.md")),
    *sorted(ROOT.glob("plugins/*/README.md")),
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FENCE = re.compile(
    r"(?P<above>[^\n]*)\n(?P<indent> *)```(?P<language>\w+)\n(?P<source>.*?)\n?(?P=indent)```(?=\n|\Z)", re.DOTALL
)
NOT_RUN = re.compile(r"<!-- not run: .{3,} -->")
MODULE = re.compile(r"# (\w+)\.py\b")
OPTIONAL = {"cupy": "a GPU"}  # modules whose absence is a reason to skip a document


class Block(NamedTuple):
    language: str
    source: str
    line: int
    exempt: bool


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a Markdown text, with the line each begins on."""
    found = []
    for match in FENCE.finditer("\n" + text):
        indent = len(match["indent"])
        source = "\n".join(line[indent:] for line in match["source"].split("\n"))
        line = text.count("\n", 0, match.start("source") - 1) + 1
        found.append(Block(match["language"], source, line, bool(NOT_RUN.search(match["above"]))))
    return found


def module_of(block: Block) -> str | None:
    """The name of the plugin module that a block holds."""
    first = MODULE.match(block.source)
    return first[1] if block.language == "python" and first else None


def entry_points(document: list[Block]) -> dict[str, str]:
    """What the document's ``toml`` blocks say, by name."""
    points: dict[str, str] = {}
    for block in document:
        if block.language == "toml" and not block.exempt:
            points |= tomllib.loads(block.source).get("project", {}).get("entry-points", {}).get("jitrench", {})
    return points


def install(document: list[Block], folder: Path) -> None:
    """Put the document's plugins into ``folder`` as a distribution: modules, metadata and entry points."""
    modules = {name: b.source for b in document if (name := module_of(b)) and not b.exempt}
    points = {name: target for name, target in entry_points(document).items() if target in modules}
    if missing := modules.keys() - points.values():
        raise AssertionError(f"plugin modules without an entry point in a toml block: {', '.join(sorted(missing))}")
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source + "\n")
    info = folder / "documented_plugins-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: documented-plugins\nVersion: 1.0\n")
    lines = [f"{name} = {target}" for name, target in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[jitrench]", *lines]) + "\n")


def run(path: Path) -> None:
    """Run the blocks of one document; the first that fails raises. This is what the subprocess does."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.exempt or module_of(block) or block.language not in ("python", "pycon"):
            continue
        where = f"{path.name}, line {block.line}"
        if block.language == "pycon" or block.source.startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(block.source + "\n", {}, where, str(path), block.line - 1)
            test.globs = namespace
            report = io.StringIO()
            result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.write, clear_globs=False)
            if result.failed:
                raise AssertionError(report.getvalue())
        else:
            exec(compile("\n" * (block.line - 1) + block.source, str(path), "exec"), namespace)


def available(module: str) -> bool:
    """Whether an optional module is there, and what it needs, too."""
    if find_spec(module) is None:
        return False
    cupy = importlib.import_module(module)
    with contextlib.suppress(Exception):
        return bool(cupy.cuda.runtime.getDeviceCount())
    return False


def run_in_process(path: Path, folder: Path, *command: str) -> str:
    """What a fresh Python with the document's plugins prints; without ``command`` it runs the document."""
    site, work = folder / "site", folder / "work"
    if not site.exists():
        site.mkdir()
        work.mkdir()
        install(blocks(path.read_text(encoding="utf-8")), site)
    before = os.environ.get("PYTHONPATH", "")
    environment = os.environ | {
        "PYTHONPATH": str(site) + (os.pathsep + before if before else ""),
        "JITRENCH_STRICT_PLUGINS": "1",
        "MPLBACKEND": "Agg",
    }
    line = [sys.executable, "-W", "error", *(command or (__file__, str(path)))]
    made = subprocess.run(line, cwd=work, env=environment, capture_output=True, text=True, timeout=300, check=False)
    if made.returncode:
        pytest.fail(made.stdout + made.stderr, pytrace=False)
    return made.stdout


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_snippets(path: Path, tmp_path: Path) -> None:
    document = blocks(path.read_text(encoding="utf-8"))
    code = "\n".join(b.source for b in document if b.language in ("python", "pycon") and not b.exempt)
    if not code:
        pytest.skip("no Python in it")
    for module, what in OPTIONAL.items():
        if re.search(rf"import {module}\b", code) and not available(module):
            pytest.skip(f"needs {module} and {what}")
    run_in_process(path, tmp_path)


def test_the_command_line_lists_the_documented_plugins(tmp_path: Path) -> None:
    for path in (ROOT / "README.md", ROOT / "docs" / "plugins.md"):
        folder = tmp_path / path.stem
        folder.mkdir()
        listed = json.loads(run_in_process(path, folder, "-m", "jitrench_core", "plugins", "--json"))
        loaded = {plugin["name"] for plugin in listed["plugins"] if plugin["status"] == "loaded"}
        points = entry_points(blocks(path.read_text(encoding="utf-8")))
        assert points
        assert points.keys() <= loaded


def anchors(text: str) -> set[str]:
    """What ``#...`` may name in a document: its headings, as GitHub writes them."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", plain, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)):
        if "://" in link or link.startswith("mailto:"):
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def test_a_document_that_lies_fails(tmp_path: Path) -> None:
    for i, text in enumerate(["```python\nassert 1 == 2\n```\n", "Text\n\n```pycon\n>>> 1 + 1\n3\n\n```\n"]):
        path = tmp_path / f"{i}.md"
        path.write_text(text)
        with pytest.raises(AssertionError):
            run(path)
    path.write_text("<!-- not run: it is wrong -->\n```python\nassert 1 == 2\n```\n")
    run(path)
    with pytest.raises(AssertionError, match=r"without an entry point .*: lonely"):
        install([Block("python", "# lonely.py\n", 1, False)], tmp_path)


def test_the_readme_has_what_it_promises() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    document = blocks(text)
    (plugin,) = [b for b in document if module_of(b)]
    lines = [line for line in plugin.source.split("\n")[1:] if line]
    assert len(lines) <= 8
    for image in re.findall(r'(?:src="|\]\()(docs/[^")]+)', text):
        assert (ROOT / image.partition("#")[0]).exists(), image
    environments = set(re.findall(r"tox run -e ([\w-]+)", text))
    names = (ROOT / "tox.ini").read_text(encoding="utf-8")
    for name in environments:
        first, *factors = name.split("-")  # [testenv:bench{,-nn}{,-torch}]
        assert f"[testenv:{first}" in names or first.startswith("py"), name
        assert all(f"-{factor}" in names for factor in factors), name


# -- doctests of the modules ------------------------------------------------------------------------------------------

PACKAGES = [
    "jitrench_core",
    "jitrench_numpy",
    "jitrench_nn",
    "jitrench_optim",
    "jitrench_strict",
    "jitrench_scipy",
    "jitrench_fused",
]


def modules() -> list[str]:
    found = []
    for name in PACKAGES:
        if find_spec(name) is None:
            continue
        package = importlib.import_module(name)
        found.append(name)
        found += [m.name for m in pkgutil.walk_packages(package.__path__, f"{name}.")]
    return [name for name in found if not name.endswith(".__main__")]


def doctests(module: types.ModuleType) -> list[doctest.DocTest]:
    """What doctest finds, and the docstrings of ops, which are closures of another module."""
    found = doctest.DocTestFinder(exclude_empty=True).find(module)
    seen = {id(test.docstring) for test in found}
    parser = doctest.DocTestParser()
    for name, value in vars(module).items():
        doc = value.__doc__ if isinstance(getattr(value, "op", None), Op) else None
        if doc and ">>>" in doc and id(doc) not in seen and value.__module__ == module.__name__:
            found.append(parser.get_doctest(doc, dict(vars(module)), f"{module.__name__}.{name}", module.__file__, 0))
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", modules())
def test_doctests(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in doctests(module):
        runner.run(test, out=report.write)
    if runner.failures:
        pytest.fail(report.getvalue(), pytrace=False)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
