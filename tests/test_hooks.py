"""Every hook is in the author's guide, with a snippet that runs, in a plugin of ours, and in a test of one that a third party might write."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from jitrench_core import hookspecs, plugins

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


def implements(source: str) -> set[str]:
    """The hooks that functions of ``source`` implement."""
    return {
        f.name
        for f in ast.walk(ast.parse(source))
        if isinstance(f, ast.FunctionDef) and any("hookimpl" in ast.unparse(d) for d in f.decorator_list)
    }


@pytest.mark.parametrize("hook", hookspecs.HOOKS)
def test_every_hook_is_documented(hook):
    assert (getattr(hookspecs, hook).__doc__ or "").startswith("``register(")
    assert re.search(rf"^\| `{hook}\(register\)` \|", GUIDE, re.MULTILINE), "a row in the guide's table of hooks"
    snippets = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    assert any(hook in implements(snippet) for snippet in snippets), "a snippet of the guide, which test_docs.py runs"


@pytest.mark.parametrize("hook", hookspecs.HOOKS)
def test_every_hook_has_a_real_plugin_that_needs_it(hook):
    packages = [*ROOT.glob("backends/*/jitrench_*/__init__.py"), *ROOT.glob("plugins/*/jitrench_*/__init__.py")]
    assert any(hook in implements(file.read_text(encoding="utf-8")) for file in packages)


@pytest.mark.parametrize("hook", hookspecs.HOOKS)
def test_every_hook_is_tested_by_a_third_partys_plugin(hook):
    tests = [p.read_text(encoding="utf-8") for p in (ROOT / "tests").glob("test_*.py") if p != Path(__file__)]
    assert any(re.search(rf"\bdef {hook}\(|\b{hook}\b\s*=|\b{hook} = ", text) for text in tests)


def test_the_guide_names_no_hook_that_is_not_there():
    assert set(re.findall(r"\bregister_[a-z]+\b", GUIDE)) <= set(hookspecs.HOOKS)


def test_the_guide_states_the_version_of_the_interface():
    assert f"`jitrench_api = {plugins.API_VERSION}`" in GUIDE
