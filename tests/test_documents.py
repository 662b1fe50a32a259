"""``jitrench docs``, and what ``jitrench plugins`` lists of each kind: text, JSON, Markdown pages, and broken plugins."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from test_plugins import Site
from test_registries import KINDS

import jitrench_core as jt
from jitrench_core import cli, documents, registry


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path / "site")
    made.folder.mkdir()
    made.names += ["nn", "optim"]
    made.add("kinds", KINDS, version="0.3")
    return made


def run(site: Site, *args: str, code: int = 0, **env: str) -> str:
    done = site.python("-W", "error", "-m", "jitrench_core", *args, **env)
    assert (done.returncode, done.stderr) == (code, "")
    return done.stdout


def load(site: Site, *args: str, code: int = 0, **env: str) -> Any:
    return json.loads(run(site, *args, "--json", code=code, **env))


# -- jitrench plugins ---------------------------------------------------------------------------------------------------

BROUGHT = {
    "backends": [],
    "ops": ["hyperbola_like"],
    "layers": ["KAN"],
    "optimizers": ["sophia"],
    "losses": ["log_cosh"],
    "schedules": ["Halving"],
    "datasets": ["lines"],
    "kernels": [],
}


def test_plugins_counts_every_kind(site: Site) -> None:
    (line,) = (line for line in run(site, "plugins").splitlines() if line.startswith("kinds "))
    assert line.endswith("loaded    1 op, 1 layer, 1 optimizer, 1 loss, 1 schedule, 1 dataset")
    (line,) = (line for line in run(site, "plugins").splitlines() if line.startswith("optim "))
    assert re.search(r"\d+ ops, \d+ optimizers, 15 schedules, \d+ kernels$", line)


@pytest.mark.parametrize("name", ["kinds", "jitrench-kinds"])
def test_plugins_lists_what_a_named_one_registers(site: Site, name: str) -> None:
    lines = run(site, "plugins", name).splitlines()
    assert [line.split()[0] for line in lines[2:3]] == ["kinds"]
    at = lines.index("kinds registers")
    assert lines[at + 1 :] == [f"  {kind}: {', '.join(names)}" for kind, names in BROUGHT.items() if names]
    assert "nn" not in {line.partition(" ")[0] for line in lines}
    (found,) = load(site, "plugins", name)["plugins"]
    assert found["registers"] == BROUGHT


def test_plugins_lists_the_names_of_all_with_verbose(site: Site) -> None:
    text = run(site, "plugins", "--verbose")
    assert "nn registers\n" in text
    assert "  schedules: ChainedScheduler, ConstantLR," in text
    assert text.index("kinds registers") < text.index("nn registers") < text.index("optim registers")


def test_plugins_of_a_name_that_is_not_installed(site: Site) -> None:
    assert run(site, "plugins", "kinsd", code=1) == "no plugin 'kinsd' is installed. Did you mean 'kinds'?\n"


def test_plugins_of_one_that_works_is_well_where_another_is_broken(site: Site) -> None:
    site.add("broken", "1 / 0")
    run(site, "plugins", "kinds")
    assert "ZeroDivisionError" in run(site, "plugins", "broken", code=1)


# -- jitrench docs ------------------------------------------------------------------------------------------------------


def test_docs_lists_all_by_kind(site: Site) -> None:
    lines = run(site, "docs").splitlines()
    assert lines[0].split() == ["kind", "name", "from", "what", "it", "does"]
    rows = [line.split(None, 3) for line in lines[2:] if line.split()[2:3] == ["kinds"]]
    assert rows == [
        ["op", "hyperbola_like", "kinds", "x / (1 + |x|), elementwise."],
        ["layer", "KAN", "kinds", "A line for each column."],
        ["optimizer", "sophia", "kinds", "Signs of gradients."],
        ["loss", "log_cosh", "kinds", "log(cosh(sharpness * error)), the mean."],
        ["schedule", "Halving", "kinds", "Half the rate every so many steps."],
        ["dataset", "lines", "kinds", "The points of a line."],
    ]
    assert any(line.split()[:3] == ["backend", "numpy", "numpy"] for line in lines)
    index = load(site, "docs")["index"]
    assert {"kind": "layer", "name": "KAN", "owner": "kinds", "doc": "A line for each column."} in index
    assert len(index) == len(lines) - 4


@pytest.mark.parametrize("name", ["KAN", "kan"])
def test_docs_of_a_layer(site: Site, name: str) -> None:
    assert run(site, "docs", name) == (
        "KAN: layer of kinds (jitrench-kinds 0.3)\n\n    KAN(slope=1.0)\n\nA line for each column.\n\n"
        "Slopes begin at ``slope``.\n\nparameters\n  slope  float = 1.0\n"
    )


def test_docs_of_a_dataset_and_of_a_schedule(site: Site) -> None:
    text = run(site, "docs", "lines", "halving")
    assert "lines: dataset of kinds (jitrench-kinds 0.3)\n\n    lines(n=32, *, slope=2.0)\n" in text
    assert "\n\n\nHalving: schedule of kinds (jitrench-kinds 0.3)\n\n    Halving(optimizer, every)\n" in text
    assert text.endswith("parameters\n  optimizer\n  every      int\n")


def test_docs_of_an_op(site: Site) -> None:
    text = run(site, "docs", "hyperbola_like")
    assert "hyperbola_like: op of kinds (jitrench-kinds 0.3)\n\n    hyperbola_like(x, /)\n" in text
    facts = ["derivative: x: rule", "forward mode: the rules", "batching: elementwise", "backends: numpy: forward"]
    assert "\n".join(facts) in text
    (page,) = load(site, "docs", "log_softmax")["pages"]
    assert page["kind"] == "op"
    assert page["owner"] == "jitrench-core"
    assert page["version"] == jt.__version__
    (page,) = load(site, "docs", "attention")["pages"]
    assert page["kernels"] == {"numpy": "nn"}
    assert page["derivative"]["q"] == "rule"


def test_docs_of_a_loss_that_is_a_layer_is_one_page(site: Site) -> None:
    (page,) = load(site, "docs", "CrossEntropyLoss")["pages"]
    assert page["kind"] == "layer, loss"
    assert {"name": "label_smoothing", "type": "float", "default": "0.0"} in page["parameters"]


def test_docs_of_a_plugin_and_of_a_backend(site: Site) -> None:
    text = run(site, "docs", "kinds")
    assert text.startswith(
        "kinds: plugin (jitrench-kinds 0.3)\n\n    import plugin_jitrench_kinds\n\nOne of each kind.\n"
    )
    assert "\nlayers\n  KAN  A line for each column.\n" in text
    assert "\nlosses\n  log_cosh  log(cosh(" in text
    plugin, backend = load(site, "docs", "numpy")["pages"]
    assert (plugin["kind"], backend["kind"]) == ("plugin", "backend")
    assert backend["usage"] == 'jt.device("numpy")'
    assert backend["aliases"] == ["cpu"]
    assert "matmul" in backend["kernels"]
    (core,) = load(site, "docs", "jitrench-core")["pages"]
    assert core["registers"].keys() == {"op"}


def test_docs_of_what_is_not_there(site: Site) -> None:
    told = "nothing that is installed is called 'Sophai'. Did you mean 'sophia'? `jitrench docs` lists all\n"
    assert run(site, "docs", "Sophai", code=1) == told
    assert load(site, "docs", "Sophai", code=1)["pages"] == []


@pytest.mark.parametrize("strict", ["0", "1"])
def test_docs_when_plugins_are_broken(site: Site, strict: str) -> None:
    site.add("broken", '"""Nothing yet."""\nraise RuntimeError("no such luck")')
    env = {"JITRENCH_STRICT_PLUGINS": strict}
    assert "1 plugin(s) failed and might hold more: see `jitrench plugins`" in run(site, "docs", **env)
    assert "sophia(params, *, lr=0.001, " in run(site, "docs", "sophia", **env)
    text = run(site, "docs", "broken", **env)
    assert "status: failed\nerror: RuntimeError: no such luck\n" in text
    assert "It may belong to a plugin that failed: broken (no such luck)." in run(site, "docs", "nope", code=1, **env)
    run(site, "docs", "--into", str(site.folder / "pages"), **env)
    assert "failed: RuntimeError: no such luck" in (site.folder / "pages" / "broken.md").read_text()


STRANGE = """
from jitrench_core import Layer, hookimpl

class Sore:
    def __repr__(self):
        raise ValueError("no")

class Strange(Layer):
    __doc__ = 7
    def __init__(self, a=Sore(), b=object(), c=print, /, *rest, d: "int | None" = None, **more): ...

class Unsigned(Layer):
    __signature__ = "none"

def no_doc(x, y): ...

@hookimpl
def register_layers(register):
    register(Strange)
    register(Unsigned)

@hookimpl
def register_losses(register):
    register(no_doc)
"""


def test_docs_of_what_is_written_strangely(site: Site) -> None:
    site.add("strange", STRANGE)
    text = run(site, "docs", "Strange", "Unsigned", "no_doc")
    assert "    Strange(a=<Sore>, b=<object object>, c=print, /, *rest, d=None, **more)\n\nparameters\n" in text
    assert "    Unsigned(...)\n" in text
    assert "no_doc: loss of strange (jitrench-strange 1.0)\n\n    no_doc(x, y)\n" in text
    assert "0x" not in text


def test_docs_as_pages(site: Site, tmp_path: Path) -> None:
    one, two = tmp_path / "a" / "one", tmp_path / "two"
    written = run(site, "docs", "--into", str(one)).split()
    assert run(site, "docs", "--into", str(two), PYTHONHASHSEED="7").count("\n") == len(written)
    files = sorted(f.name for f in one.iterdir())
    assert sorted(Path(f).name for f in written) == files
    assert {"index.md", "jitrench-core.md", "kinds.md", "nn.md", "numpy.md", "optim.md"} <= {*files}
    assert [(one / f).read_bytes() for f in files] == [(two / f).read_bytes() for f in files]
    index, page = (one / "index.md").read_text(), (one / "kinds.md").read_text()
    assert "| [`KAN`](kinds.md#layer-KAN) | kinds | A line for each column. |\n" in index
    assert "| x / (1 + \\|x\\|), elementwise. |" in index
    assert page.startswith(f"{documents.MARK}\n\n# kinds\n\njitrench-kinds 0.3\n\nOne of each kind.\n\n## Ops\n\n")
    assert '<a id="dataset-lines"></a>\n### `lines`\n\n```python\nlines(n=32, *, slope=2.0)\n```\n' in page
    assert "| `slope` | `float` | `2.0` |" in page
    for name in files:  # no link leads nowhere
        text = (one / name).read_text()
        assert text.count("```") % 2 == 0, name
        for file, anchor in re.findall(r"\]\(([\w.-]+\.md)(?:#([\w-]+))?\)", text):
            assert f'<a id="{anchor}"></a>' in (one / file).read_text() if anchor else (one / file).exists()


ALIKE = """
from functools import partial
from jitrench_core import hookimpl

def near(x, y, k=1):
    \"\"\"Near.

    ```python
    >>> near(1, 2)
    ```
    \"\"\"

@hookimpl
def register_losses(register):
    register(near, %r)
    register(partial(near, k=2), %r)
"""


def test_pages_of_names_that_collide_and_of_a_plugin_that_has_gone(site: Site, tmp_path: Path) -> None:
    for name in ("index", "alike", "ALIKE"):
        site.add(name, ALIKE % (f"{name} | one", f"{name}[two](x)"), dist=f"jitrench-{name}{len(site.names)}")
    folder = tmp_path / "pages"
    run(site, "docs", "--into", str(folder))
    files = {f.name: f.read_text() for f in folder.iterdir()}
    assert {"index.md", "index-2.md", "ALIKE.md", "alike-2.md"} <= files.keys()
    assert len({f.lower() for f in files}) == len(files)
    assert files["index.md"].startswith(f"{documents.MARK}\n\n# What is installed")
    assert "- [index](index-2.md) jitrench-index" in files["index.md"]
    assert "| [`alike \\| one`](alike-2.md#loss-alike___one) | alike | Near. |\n" in files["index.md"]
    assert "| [`alike[two](x)`](alike-2.md#loss-alike_two__x_) | alike | Near. |\n" in files["index.md"]  # of a partial
    assert '<a id="loss-alike___one"></a>' in files["alike-2.md"]
    assert "```python\n>>> near(1, 2)\n```\n" in files["alike-2.md"]
    (folder / "mine.md").write_text("# My own page\n")
    site.names.remove("alike")
    (site.folder / "jitrench_alike5-1.0.dist-info" / "entry_points.txt").unlink()
    run(site, "docs", "--into", str(folder))
    assert {*files} - {f.name for f in folder.iterdir()} == {"alike-2.md"}
    assert (folder / "mine.md").read_text() == "# My own page\n"


def test_pages_cannot_go_into_a_file(site: Site, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    assert run(site, "docs", "--into", str(tmp_path / "taken"), code=1).startswith("the pages cannot be written: ")


def test_everything_that_is_registered_here_has_a_page_and_a_first_line() -> None:
    for e in documents.entries():
        assert e.summary, e
        assert e.usage
        assert documents.text(documents.page(e))
    kinds = {e.kind for e in documents.entries()}
    assert kinds == {c.kind for c in registry.CATALOGUES.values()} | {"backend"}


def test_docs_in_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["docs", "exp"]) == 0
    assert "e to the power x." in capsys.readouterr().out
