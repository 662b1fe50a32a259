"""``jitrench new``: the packages that it writes pass their own tests. ``tox run -e template`` installs them by pip, too."""

from __future__ import annotations

import os
import shlex
import tomllib
from pathlib import Path

import pytest
from test_cli import load, run
from test_plugins import Site

from jitrench_core.scaffold import OURS, ScaffoldError, create

KINDS = {"op": "soft_step", "layer": "MyAffine", "optimizer": "SignDown", "backend": "mine"}


def installed(folder: Path) -> Site:
    """A Python that sees the package in ``folder`` as if pip had installed it."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    ((key, module),) = project["entry-points"]["jitrench"].items()
    site = Site(folder)
    info = folder / f"{module}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[jitrench]\n{key} = {module}\n")
    site.names += [key, "nn"]
    return site


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_passes_its_own_tests(kind: str, tmp_path: Path) -> None:
    files = create(kind, KINDS[kind], tmp_path)
    assert all(f.exists() for f in files)
    folder = files[0].parent
    site = installed(folder)
    only = ["-k", "relu or matmul or device or imported"] if kind == "backend" else []  # all of it takes half a minute
    places = [str(f.parent) for f in files if f.suffix == ".py"]
    done = site.python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(folder / "pyproject.toml"), *places, *only
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "failed" not in done.stdout
    name = "jitrench-" + {"op": "soft-step", "layer": "my-affine", "optimizer": "sign-down", "backend": "mine"}[kind]
    assert folder.name == name
    setuptools = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["setuptools"]
    ((module, data),) = setuptools["package-data"].items()
    files = {f.name for f in (folder / module).iterdir() if f.is_file()}
    assert files == {"__init__.py", *data}  # so a wheel has all of them
    assert ("expected_failures.txt" in data) == (kind == "backend")
    assert f"{name} 0.1.0 loaded" in " ".join(run(site, "plugins").split())


def test_either_spelling_of_a_name_is_understood(tmp_path: Path) -> None:
    for i, name in enumerate(("MyThing", "my_thing", "my-thing", "My Thing")):
        into = tmp_path / str(i)
        for kind, wanted in (("op", "my_thing"), ("layer", "MyThing")):
            code = (create(kind, name, into / kind)[0].parent / "jitrench_my_thing" / "__init__.py").read_text()
            assert f"{'def' if kind == 'op' else 'class'} {wanted}(" in code
    for name, module in (("SGD2", "sgd2"), ("GRUCell2D", "gru_cell2d"), ("HTTPServer", "http_server"), ("X2Y", "x2y")):
        code = (create("layer", name, tmp_path / name)[0].parent / f"jitrench_{module}" / "__init__.py").read_text()
        assert f"class {name}(" in code


def test_names_and_places_that_cannot_be(tmp_path: Path) -> None:
    for kind, name, told in (
        ("op", "relu", "there is op 'relu' already, and a second one would not load; choose another name"),
        ("layer", "linear", "there is layer 'Linear' already"),
        ("optimizer", "Adam", "there is optimizer 'Adam' already"),
        ("backend", "numpy", "there is backend 'numpy' already"),
        (
            "op",
            "lambda",
            "'lambda' cannot be the name of a package and of a Python object; use letters a to z, digits and _",
        ),
        ("op", "2fast", "'2fast' cannot be the name"),
        ("op", "a.b", "cannot be the name"),
        ("op", "", "'' cannot be the name"),
        ("op", "\u00e9", "cannot be the name"),
        ("op", "np", "'np' has a meaning of its own in the files that would be written"),
        ("layer", "Any", "'Any' has a meaning of its own"),
        ("op", "core", "there is a package jitrench_core already; choose another name"),
        ("layer", "Optim", "there is a package jitrench_optim already"),
    ):
        with pytest.raises(ScaffoldError, match=told):
            create(kind, name, tmp_path)
    assert not list(tmp_path.iterdir())
    create("op", "one_more", tmp_path)
    with pytest.raises(ScaffoldError, match=r"jitrench-one-more exists; nothing was written"):
        create("op", "one_more", tmp_path)


def test_the_command(tmp_path: Path) -> None:
    site = Site(tmp_path)
    lines = run(site, "new", "op", "soft_step", "--into", str(tmp_path / "here")).splitlines()
    folder = tmp_path / "here" / "jitrench-soft-step"
    assert lines[0] == f"{folder}:"
    assert lines[-1] == f'to try it: cd {folder} && pip install -e ".[test]" && pytest'
    for line in lines[1:-2]:
        assert (folder / line.strip()).is_file()
    assert run(site, "new", "op", "soft_step", "--into", str(tmp_path / "here"), code=1).endswith(
        "nothing was written\n"
    )
    told = load(site, "new", "op", "relu", code=1)
    spaced = str(tmp_path / "with space")
    assert f"cd {shlex.quote(str(Path(spaced) / 'jitrench-mine'))} && pip" in run(
        site, "new", "layer", "Mine", "--into", spaced
    ) or (os.name == "nt")
    site.names.append("strict")
    told_too = run(site, "new", "backend", "other", "--into", spaced)
    assert (
        "jitrench-strict, which owns it here; until yours is in its place set\n      JITRENCH_DISABLE_PLUGINS=strict\n"
        in told_too
    )
    assert (told["files"], told["error"].split(" already")[0]) == ([], "there is op 'relu'")


def test_no_package_of_this_project_can_be_written_anew() -> None:
    """Also where it is not installed."""
    root = Path(__file__).parents[1]
    ours = {f.parent.name for place in ("plugins", "backends") for f in (root / place).glob("*/pyproject.toml")}
    assert ours | {"core"} == OURS
