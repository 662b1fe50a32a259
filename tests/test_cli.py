"""The command ``jitrench``: its text, its JSON and its exit codes, with plugins that are broken in every way."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from test_plugins import HOOKED, KERNEL, Site

from jitrench_core import __version__, cli, registry

CRASH = "x = 1\nraise RuntimeError('no such luck')\n"
GHOST = """
from jitrench_core import Backend, hookimpl

@hookimpl
def register_backends(register):
    register(Backend("ghost", "ghost_arrays", aliases=("boo",), numbered=True))
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def run(site: Site, *args: str, code: int = 0, **env: str) -> str:
    """What the command prints; it must end with ``code`` and be silent on stderr (but for a library that draws)."""
    done = site.python("-W", "error", "-m", "jitrench_core", *args, **env)
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("Fontconfig ")]
    assert (done.returncode, complaints) == (code, [])
    return done.stdout


def load(site: Site, *args: str, code: int = 0, **env: str) -> Any:
    return json.loads(run(site, *args, "--json", code=code, **env))


# -- plugins --------------------------------------------------------------------------------------------------------


def test_plugins_lists_what_each_one_brought(site: Site) -> None:
    site.add("soft", HOOKED, version="0.3")
    lines = run(site, "plugins").splitlines()
    assert lines[0].split() == ["plugin", "distribution", "version", "status", "registers"]
    (line,) = (line for line in lines if line.startswith("soft "))
    assert line.split() == ["soft", "jitrench-soft", "0.3", "loaded", "1", "op"]
    (line,) = (line for line in lines if line.startswith("numpy "))
    assert line.split()[3:] == ["loaded", "1", "backend"]
    assert {line.index("loaded") for line in lines if "loaded" in line} == {lines[0].index("status")}


@pytest.mark.parametrize("strict", ["0", "1"])
def test_plugins_works_when_plugins_are_broken(site: Site, strict: str) -> None:
    site.add("broken", CRASH, version="0.3")
    site.add("zz", HOOKED)
    text = run(site, "plugins", code=1, JITRENCH_STRICT_PLUGINS=strict)
    where = site.folder / "plugin_jitrench_broken.py"
    assert "broken (jitrench-broken 0.3, module plugin_jitrench_broken) failed:\n" in text
    assert f"  RuntimeError: no such luck\n  at {where}:2\n" in text
    assert "Traceback" not in text
    assert "--verbose shows the tracebacks" in text
    assert "zz jitrench-zz 1.0 loaded 1 op" in " ".join(text.split())
    verbose = run(site, "plugins", "--verbose", code=1, JITRENCH_STRICT_PLUGINS=strict)
    assert "  | Traceback (most recent call last):\n" in verbose
    assert "  |     raise RuntimeError('no such luck')\n" in verbose


def test_plugins_as_json(site: Site) -> None:
    site.add("broken", CRASH, version="0.3")
    site.add("zz", HOOKED + KERNEL % ("exp", "numpy", 7))
    data = load(site, "plugins", code=1, JITRENCH_STRICT_PLUGINS="1")
    assert data.keys() == {"plugins", "notes"}
    assert data["notes"] == []
    found = {p["name"]: p for p in data["plugins"]}
    nothing: dict[str, list[str]] = {k: [] for k in ("backends", *registry.CATALOGUES, "kernels")}
    error = found["broken"].pop("error")
    assert found["broken"] == {
        "name": "broken",
        "distribution": "jitrench-broken",
        "version": "0.3",
        "module": "plugin_jitrench_broken",
        "status": "failed",
        "registers": nothing,
    }
    assert error.pop("traceback").startswith("Traceback")
    where = f"{site.folder / 'plugin_jitrench_broken.py'}:2"
    assert error == {"type": "RuntimeError", "message": "no such luck", "where": where}
    assert found["zz"]["status"] == "loaded"
    assert found["zz"]["error"] is None
    assert found["zz"]["registers"] == {**nothing, "ops": ["softsign"], "kernels": ["exp on numpy"]}
    assert found["numpy"]["registers"] == {**nothing, "backends": ["numpy"]}


def test_what_a_plugin_prints_is_no_part_of_the_report(site: Site) -> None:
    site.add("chatty", "print('hello')\n" + HOOKED)
    done = site.python("-m", "jitrench_core", "plugins", "--json")
    assert done.stderr == "hello\n"
    assert "chatty" in {p["name"] for p in json.loads(done.stdout)["plugins"]}


def test_plugins_tells_of_names_in_the_environment_that_nothing_has(site: Site) -> None:
    text = run(site, "plugins", JITRENCH_PLUGINS="numpy,numpi")
    assert "note: no plugin 'numpi' is installed, though the environment names it. Did you mean 'numpy'?" in text


def test_plugins_tells_of_a_kernel_of_an_op_that_does_not_exist(site: Site) -> None:
    site.add("fast", KERNEL % ("sofmax", "numpy", 7))
    note = "plugin 'fast' has a kernel for 'numpy' of 'sofmax', an op nobody has. Did you mean 'softmax'"
    assert f"note: {note}" in run(site, "plugins")
    (told,) = load(site, "plugins")["notes"]
    assert told.startswith(note)


def test_a_disabled_plugin_is_listed_as_such(site: Site) -> None:
    site.add("broken", CRASH)
    text = run(site, "plugins", JITRENCH_PLUGINS="numpy")
    assert "broken jitrench-broken 1.0 disabled" in " ".join(text.split())


def test_no_plugin_at_all(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli.plugins, "plugins", list)
    assert cli.main(["plugins"]) == 0
    assert capsys.readouterr().out.startswith("no plugin is installed: pip install jitrench-numpy (CPU)")


# -- ops ------------------------------------------------------------------------------------------------------------


def test_ops_lists_signature_owner_and_derivative(site: Site) -> None:
    site.add("soft", HOOKED)
    lines = run(site, "ops").splitlines()
    header = "op from derivative forward mode batching backends numbers what it does"
    assert " ".join(lines[0].split()) == header
    rows = {line.split("(")[0]: line.split() for line in lines[2:]}
    assert rows["softsign"][:9] == [
        "softsign(x,",
        "/)",
        "soft",
        "any",
        "the",
        "rules",
        "elementwise",
        "numpy:",
        "forward",
    ]
    assert rows["where"][4:11] == ["jitrench-core", "any", "in", "x1,", "x2", "the", "rules"]
    assert rows["floor"][2:6] == ["jitrench-core", "zero", "zero", "elementwise"]
    assert rows["equal"][3:7] == ["jitrench-core", "none", "none", "elementwise"]
    assert " composed " in next(line for line in lines if line.startswith("prod("))
    assert " linear " in next(line for line in lines if line.startswith("reshape("))
    assert list(rows) == sorted(rows)


def test_ops_as_json(site: Site) -> None:
    (row,) = load(site, "ops", "vector_norm")["ops"]
    assert row == {
        "name": "vector_norm",
        "owner": "jitrench-core",
        "usage": row["usage"],
        "inputs": ["x"],
        "attributes": ["axis", "keepdims", "ord"],
        "outputs": 1,
        "derivative": {"x": "rule"},
        "forward_mode": row["forward_mode"],
        "batching": row["batching"],
        "backends": {"numpy": row["backends"]["numpy"]},
        "dtypes": row["dtypes"],
        "tested": True,
        "linear": [],
        "elementwise": False,
        "composite": False,
        "doc": row["doc"],
    }
    assert set(row["dtypes"]) >= {"float", "int"}
    assert row["usage"].startswith("vector_norm(x, /")
    assert row["doc"].startswith("The ``ord``-norm over ``axis``")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("softm", {"softmax", "log_softmax"}),
        ("LOG1P", {"log1p"}),
        ("log?", {"log2"}),
        ("*max", {"argmax", "cummax", "log_softmax", "max", "softmax"}),
    ],
)
def test_ops_by_a_part_of_the_name(capsys: pytest.CaptureFixture[str], name: str, found: set[str]) -> None:
    assert cli.main(["ops", name, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["ops"]
    assert {r["name"] for r in rows if r["owner"] == "jitrench-core"} == found


def test_ops_that_match_nothing(site: Site) -> None:
    site.add("broken", CRASH)
    text = run(site, "ops", "sofmax", code=1)
    assert text.splitlines()[0].startswith("no op matches 'sofmax'. Did you mean 'softmax'")
    assert "1 plugin(s) failed and might hold more: see `jitrench plugins`" in text
    assert load(site, "ops", "sofmax", code=1) == {"ops": [], "tested": 0}


def test_ops_without_a_backend(site: Site) -> None:
    (row,) = load(site, "ops", "expm1", JITRENCH_PLUGINS="")["ops"]
    assert (row["backends"], row["dtypes"], row["batching"]) == ({}, [], "elementwise")


def test_ops_as_a_page(site: Site) -> None:
    site.add("soft", HOOKED)
    text = run(site, "ops", "--markdown")
    assert text.startswith("# What every op supports\n")
    assert "\n## soft\n" in text
    assert "\n| `softsign(x, /)` | any | the rules | elementwise | forward | " in text


# -- backends -------------------------------------------------------------------------------------------------------


def test_backends(site: Site) -> None:
    import numpy

    lines = run(site, "backends").splitlines()
    assert lines[2].split() == ["numpy", "(default)", "numpy", "cpu", "numpy", numpy.__version__, "works"]
    assert load(site, "backends") == {
        "backends": [
            {
                "name": "numpy",
                "owner": "numpy",
                "devices": ["numpy"],
                "aliases": ["cpu"],
                "library": "numpy",
                "version": numpy.__version__,
                "default": True,
                "error": None,
            }
        ],
        "default": "numpy",
    }


def test_a_backend_whose_library_is_missing(site: Site) -> None:
    site.add("ghost", GHOST)
    text = run(site, "backends")
    assert "backend 'ghost' needs 'ghost_arrays', which does not import: No module named 'ghost_arrays'" in text
    ghost = load(site, "backends")["backends"][0]
    assert (ghost["name"], ghost["devices"], ghost["aliases"], ghost["version"]) == ("ghost", [], ["boo"], None)
    assert load(site, "backends", code=1, JITRENCH_PLUGINS="ghost")["default"] == "ghost:0"


def test_a_backend_that_cannot_compute(site: Site) -> None:
    (site.folder / "ghost_arrays.py").write_text("__version__ = '3'\n")
    site.add("ghost", GHOST)
    ghost = load(site, "backends")["backends"][0]
    assert (ghost["version"], ghost["devices"]) == ("3", ["ghost:0"])
    assert ghost["error"] == "backend 'ghost' has no dtype float64. Installed backends that have it: numpy."


def test_no_backend(site: Site) -> None:
    assert "no backend is installed: pip install jitrench-numpy" in run(site, "backends", code=1, JITRENCH_PLUGINS="")


def test_two_backends_and_no_default(site: Site) -> None:
    site.add("ghost", GHOST)
    site.add("phantom", GHOST.replace("ghost", "phantom").replace("boo", "bah"))
    text = run(site, "backends", code=1, JITRENCH_PLUGINS="ghost,phantom")
    assert "no default device: no default device among ghost, phantom: pass device=" in text


# -- doctor ---------------------------------------------------------------------------------------------------------


def test_doctor_finds_everything_well(site: Site) -> None:
    text = run(site, "doctor")
    assert text.startswith("jitrench-core ")
    assert text.endswith("everything works\n")
    assert "  numpy  numpy  " in text
    assert "default device  numpy" in text
    assert "JITRENCH_PLUGINS=numpy" in text
    data = load(site, "doctor")
    assert list(data) == [
        "core",
        "python",
        "libraries",
        "default_device",
        "plugins",
        "backends",
        "pictures",
        "environment",
        "problems",
        "advice",
    ]
    assert data["core"]["version"] == __version__
    assert data["python"]["executable"] == sys.executable
    assert data["libraries"]["pluggy"]
    assert data["default_device"] == "numpy"
    assert data["problems"] == []
    assert data["pictures"].keys() == {"graphviz", "dot", "pygraphviz", "draws", "error"}
    assert data["pictures"]["draws"] == (data["pictures"]["error"] is None)


def test_doctor_says_what_is_broken_and_what_to_do(site: Site) -> None:
    site.add("broken", CRASH, version="0.3")
    site.add("ghost", GHOST)
    text = run(site, "doctor", code=1, JITRENCH_STRICT_PLUGINS="1")
    unwrapped = " ".join(text.split())
    assert "plugin 'broken' of jitrench-broken 0.3 does not load: RuntimeError: no such luck" in unwrapped
    assert "-> see `jitrench plugins --verbose`; then mend it, or pip uninstall jitrench-broken" in unwrapped
    assert "backend 'ghost' does not work: backend 'ghost' needs 'ghost_arrays', which does not import" in unwrapped
    assert "-> make ghost_arrays work here, or pip uninstall jitrench-ghost" in unwrapped
    assert text.endswith("2 problem(s)\n")
    data = load(site, "doctor", code=1, JITRENCH_STRICT_PLUGINS="1")
    assert [p.keys() for p in data["problems"]] == [{"what", "fix"}] * 2
    assert data["environment"]["JITRENCH_STRICT_PLUGINS"] == "1"


def test_doctor_without_a_backend(site: Site) -> None:
    text = " ".join(run(site, "doctor", code=1, JITRENCH_PLUGINS="").split())
    assert "no backend is installed, so there is nothing to compute with -> pip install jitrench-numpy (CPU)" in text
    assert "default device none" in text


def test_doctor_knows_a_backend_that_is_not_installed_for_a_library_that_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "LIBRARIES", {"numpy": (("numpy",), "jitrench-another")})
    cli.main(["doctor", "--json"])
    assert (
        "numpy is installed without its backend: pip install jitrench-another"
        in json.loads(capsys.readouterr().out)["advice"]
    )


def test_doctor_finds_a_library_that_is_installed_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "LIBRARIES", {"cupy": (("numpy", "absent", "pluggy"), "jitrench-cupy")})
    assert cli.main(["doctor"]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "numpy and pluggy are installed, and all of them are cupy: each overwrites files of the others" in text
    assert "-> pip uninstall numpy pluggy; then install one of them, for your CUDA version" in text


DETAILED = GHOST.replace(
    "def register_backends",
    "class Ghost(Backend):\n    def details(self):\n        {}\n\n@hookimpl\ndef register_backends",
)
DETAILED = DETAILED.replace("@hookimpl\nclass", "class").replace("register(Backend(", "register(Ghost(")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return {'driver': 12, 'ghost:0': 'half of it free'}", "ghost driver 12 ghost:0 half of it free"),
        ("raise RuntimeError('no driver')", "ghost details not known: no driver"),
    ],
)
def test_doctor_shows_the_details_that_a_backend_gives(site: Site, body: str, told: str) -> None:
    site.add("ghost", DETAILED.format(body))
    assert told in " ".join(run(site, "doctor", code=1).split())


def test_doctor_finds_a_kernel_of_a_misspelled_op(site: Site) -> None:
    site.add("fast", KERNEL % ("sofmax", "numpy", 7))
    advice = load(site, "doctor")["advice"]
    assert any(
        a.startswith("plugin 'fast' has a kernel for 'numpy' of 'sofmax', an op nobody has. Did you mean 'softmax'")
        for a in advice
    )


def test_doctor_finds_a_name_in_the_environment_that_nothing_has(site: Site) -> None:
    (problem,) = load(site, "doctor", code=1, JITRENCH_PLUGINS="numpy,numpi")["problems"]
    assert problem["what"].startswith("no plugin 'numpi' is installed")
    assert problem["fix"] == "correct JITRENCH_PLUGINS or JITRENCH_DISABLE_PLUGINS"


# -- the command itself ---------------------------------------------------------------------------------------------


def test_the_command_is_installed() -> None:
    (point,) = entry_points(group="console_scripts", name="jitrench")
    assert point.load() is cli.main


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"jitrench-core {__version__}\n"
    with pytest.raises(SystemExit) as caught:
        cli.main(["opps"])
    assert caught.value.code == 2
    assert "invalid choice: 'opps'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    assert all(command in shown for command in ("plugins", "ops", "backends", "doctor"))
    assert cli.main([]) == 2  # the same help, as a complaint
    assert capsys.readouterr() == ("", shown)


def test_a_terminal_cuts_long_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    cli.main(["ops"])
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines if "plugin(s) failed" not in line) == 60


def test_a_terminal_of_another_encoding(site: Site) -> None:
    site.add("sigma", HOOKED.replace("x / (1 + |x|), elementwise.", "σ-like"))
    assert "\\u03c3-like" in run(site, "ops", "softsign", PYTHONIOENCODING="ascii")


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe that nobody reads is an OSError there")
def test_a_reader_that_leaves_early(site: Site) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "jitrench_core", "ops", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


# -- check ----------------------------------------------------------------------------------------------------------

WRONG = """
from jitrench_core import hookimpl, op

@op(elementwise=True, vjp={"x": lambda g, x: 3 * g * x})
def twice_wrong(xp, x, /):
    "x**2."
    return x * x

@op(vjp={"x": lambda g: g})
def same(xp, x, /):
    "x."
    return x

@hookimpl
def register_ops(register):
    register(twice_wrong)
    register(same)
"""


def test_check_prints_a_row_for_each_op_and_backend(site: Site) -> None:
    site.add("soft", HOOKED)
    lines = run(site, "check", "soft").splitlines()
    assert lines[0].split() == ["op", "from", "backend", "passed", "failed"]
    assert lines[2].split() == ["softsign", "soft", "numpy", "8", "of", "8"]
    assert lines[-1] == "1 passed"
    for name in ("softsign", "jitrench-soft"):
        assert run(site, "check", name).splitlines() == lines
    both = load(site, "check", "softsign", "relu", "--backend", "numpy")
    assert [(r["op"], r["backend"], r["failed"]) for r in both["results"]] == [
        ("softsign", "numpy", []),
        ("relu", "numpy", []),
    ]
    assert both["passed"] == 2


def test_check_tells_what_failed_and_shows_the_first_failure(site: Site) -> None:
    site.add("wrong", WRONG)
    text = run(site, "check", "wrong", code=1)
    rows = {line.split()[0]: line.split(maxsplit=3) for line in text.splitlines()[2:4]}
    assert rows["twice_wrong"] == ["twice_wrong", "wrong", "numpy", "6 of 8  gradient, jvp"]
    assert rows["same"] == ["same", "wrong", "numpy", "-       no test data: @op(samples=)"]
    assert (
        "the first failure of twice_wrong on numpy:\n  op 'twice_wrong' on numpy, sample: float64 (2, 3): the gradient"
        in text
    )
    assert text.splitlines()[-1] == "0 passed, 1 failed, 1 not tested"
    same, wrong = sorted(load(site, "check", "wrong", code=1)["results"], key=lambda r: r["op"])
    assert wrong["failed"] == ["gradient", "jvp"]
    assert wrong["failure"].startswith("op 'twice_wrong' on numpy")
    assert (same["failed"], same["untested"]) == ([], "no test data: @op(samples=)")


def test_check_shows_what_failed_alone_and_each_failure_in_a_line(site: Site) -> None:
    site.add("wrong", WRONG)
    site.add("fast", KERNEL % ("exp", "numpy", 7))
    text = run(site, "check", "exp", "sin", "twice_wrong", "--failed", code=1)
    table, told = text.split("the first failure of ")
    assert [line.split()[0] for line in table.splitlines()[2:] if line] == ["exp", "twice_wrong"]
    assert told.startswith("exp on numpy:")
    others = told.partition("and those of others (--json has all in full):\n")[2].splitlines()
    assert others[0].startswith("  twice_wrong on numpy: op 'twice_wrong' on numpy, sample")
    assert text.splitlines()[-1] == "1 passed, 2 failed"


def test_check_of_a_plugin_with_a_kernel_runs_the_op_that_it_is_of(site: Site) -> None:
    site.add("fast", KERNEL % ("exp", "numpy", 7))
    text = run(site, "check", "fast", code=1)
    assert "exp  jitrench-core  numpy" in text
    assert "value" in text.splitlines()[2]


def test_check_of_a_backend_that_is_not_among_those_that_are_named(site: Site) -> None:
    site.add("ghost", GHOST)
    told = "'numpy' is a backend, and not among those to check on: ghost\n"
    assert run(site, "check", "numpy", "--backend", "ghost", code=1) == told
    assert run(site, "check", "", code=1).startswith("no op, plugin or backend '' is installed.")


def test_check_of_an_op_whose_test_data_fail(site: Site) -> None:
    site.add("odd", WRONG.replace('"x": lambda g: g})', '"x": lambda g: g}, samples=lambda rng: exit(7))'))
    text = run(site, "check", "same", code=1)
    assert text.splitlines()[2].split() == ["same", "odd", "numpy", "-", "test", "data"]
    assert "SystemExit: 7" in text
    assert text.splitlines()[-1] == "0 passed, 1 failed"


def test_check_of_nothing_that_is_installed(site: Site) -> None:
    site.add("soft", HOOKED)
    site.add("broken", CRASH)
    site.add("layers", "from jitrench_core import Layer, hookimpl\n\n@hookimpl\ndef register_layers(register): ...\n")
    unknown = "no op, plugin or backend 'softsing' is installed. Did you mean 'softsign'"
    assert run(site, "check", "softsing", code=1).startswith(unknown)
    assert load(site, "check", "softsing", code=1)["error"].startswith(unknown)
    assert run(site, "check", "broken", code=1).startswith("plugin 'broken' of jitrench-broken did not load")
    assert run(site, "check", "layers", code=1) == "plugin 'layers' has no op, no kernel and no backend to check\n"


def test_check_on_a_backend_that_cannot_compute(site: Site) -> None:
    site.add("ghost", GHOST)
    text = run(site, "check", "relu", "--backend", "ghost", code=1)
    assert "backend ghost: " in text
    assert text.splitlines()[-1] == "0 passed, 1 not tested"
    assert "note: nothing ran on ghost: " in run(site, "check", "relu")


@pytest.mark.parametrize("names", [("relu",), ("nothing_of_this_name",)])
def test_check_has_the_same_keys_whatever_happens(site: Site, names: tuple[str, ...]) -> None:
    data = load(site, "check", *names, "--backend", "numpy", code=names != ("relu",))
    assert list(data) == ["checks", "results", "passed", "notes", "error"]
    assert (data["error"] is None) == (names == ("relu",))


def test_json_of_a_page_is_json(site: Site) -> None:
    assert [row["name"] for row in load(site, "ops", "relu", "--markdown")["ops"]] == ["relu"]
    assert load(site, "docs")["error"] is None


def test_notes_tell_of_gaps_that_nobody_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from jitrench_core.testing import expected

    monkeypatch.setattr(expected, "strays", lambda: iter(["a gap of nothing"]))
    cli.main(["plugins", "numpy"])
    assert "note: a gap of nothing\n" in capsys.readouterr().out
    cli.main(["check", "sign", "--backend", "numpy"])
    assert "note: a gap of nothing\n" in capsys.readouterr().out


def test_an_op_as_the_name_of_a_kernels_op_does_not_break_the_report(site: Site) -> None:
    site.add(
        "wrong",
        "import jitrench_core as jt\n@jt.hookimpl\ndef register_kernels(register):\n    register(jt.sin, 'numpy', abs)\n",
    )
    assert "register_kernels takes (op name, backend name, function); got (<function sin" in run(
        site, "plugins", code=1
    )
