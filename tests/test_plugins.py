"""The plugin loader, each rule of it with real distributions on the path of a fresh Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

HOOKED = """
from jitrench_core import hookimpl, op

@op(elementwise=True, vjp={"x": lambda g, x: g / (1 + abs(x)) ** 2})
def softsign(xp, x, /):
    "x / (1 + |x|), elementwise."
    return x / (1 + xp.abs(x))

@hookimpl
def register_ops(register):
    register(softsign)
"""


class Site:
    """A folder of installed distributions, and Pythons that see it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = ["numpy"]

    def add(
        self, name: str, code: str, *, dist: str | None = None, version: str = "1.0", module: str | None = None
    ) -> None:
        """Install plugin ``name``: a module with ``code``, and a distribution whose entry point names it."""
        dist = dist or f"jitrench-{name}"
        module = module or f"plugin_{dist.replace('-', '_')}"
        (self.folder / f"{module}.py").write_text(dedent(code))
        info = self.folder / f"{dist.replace('-', '_')}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n")
        points = info / "entry_points.txt"
        before = points.read_text() if points.exists() else "[jitrench]\n"
        points.write_text(f"{before}{name} = {module}\n")
        self.names.append(name)

    def python(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run Python with the folder on its path; of other plugins only numpy is allowed, unless ``env`` says so."""
        base = {k: v for k, v in os.environ.items() if not k.startswith("JITRENCH_") and k != "PYTHONWARNINGS"}
        path = os.pathsep.join([str(self.folder), *filter(None, [base.get("PYTHONPATH")])])
        chosen = {"JITRENCH_PLUGINS": ",".join(self.names), "PYTHONIOENCODING": "utf-8"}
        return subprocess.run(
            [sys.executable, *args],
            env={**base, **chosen, **env, "PYTHONPATH": path},
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    def run(self, code: str, *options: str, **env: str) -> str:
        """What ``code`` prints; it must end well. Warnings are errors unless ``options`` say otherwise."""
        done = self.python(*(options or ("-W", "error")), "-c", "import jitrench_core as jt\n" + dedent(code), **env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def fails(self, code: str, *options: str, **env: str) -> str:
        """The error that ``code`` ends with: the last line of the traceback."""
        done = self.python(*(options or ("-W", "ignore")), "-c", "import jitrench_core as jt\n" + dedent(code), **env)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr.strip().splitlines()[-1]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


SHOW = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for p in jt.plugins.plugins():
        print(p.name, p.distribution, p.version, p.status, type(p.error).__name__, str(p.error).replace("\\n", " "))
"""
QUIET = "import warnings; warnings.simplefilter('ignore'); jt.plugins.load(); "


def shown(site: Site, **env: str) -> dict[str, str]:
    """What became of each plugin, by name."""
    lines = site.run(SHOW, "-W", "always", **env).splitlines()
    return {line.split()[0]: line for line in lines if line.split()[0] in site.names}


# -- 1. lazy, idempotent, locked, in a fixed order ------------------------------------------------------------------


def test_importing_the_core_loads_no_plugin_and_the_first_operation_does(site: Site) -> None:
    site.add("eager", "print('loading')\n" + HOOKED)
    code = """
        print("imported")
        t = jt.tensor([1.0])
        print("made")
    """
    assert site.run(code).split() == ["imported", "loading", "made"]


def test_importing_the_core_scans_no_entry_points_and_reads_no_environment(site: Site) -> None:
    code = """
        import importlib.metadata, os, sys
        def refuse(*args, **kwargs):
            raise AssertionError("scanned")
        importlib.metadata.entry_points = refuse
        class Closed(dict):
            def get(self, key, default=None):
                assert not key.startswith("JITRENCH"), "read"
                return super().get(key, default)
            __getitem__ = get
        os.environ = Closed()
        import jitrench_core
        print("numpy" in sys.modules)
    """
    done = site.python("-c", dedent(code))
    assert (done.stdout.strip(), done.stderr) == ("False", "")


def test_plugins_load_once(site: Site) -> None:
    site.add("once", "print('loading')\n" + HOOKED)
    code = """
        import importlib.metadata
        real, calls = importlib.metadata.entry_points, []
        importlib.metadata.entry_points = lambda **kw: calls.append(kw) or real(**kw)
        for _ in range(3):
            jt.plugins.load()
            jt.tensor(1.0) + 1
            assert "no such op" not in jt.registry.ops
        print(len(calls))
    """
    assert site.run(code).split() == ["loading", "1"]


def test_threads_that_come_together_all_find_every_plugin(site: Site) -> None:
    site.add("slow", "import time\nprint('loading')\ntime.sleep(0.5)\n" + HOOKED)
    code = """
        import threading
        start, results = threading.Barrier(8), []
        def work():
            start.wait()
            results.append(float(jt.ops.softsign(jt.tensor(1.0))))
        threads = [threading.Thread(target=work) for _ in range(8)]
        for t in threads: t.start()
        for t in threads: t.join()
        print(results == [0.5] * 8)
    """
    assert site.run(code).split() == ["loading", "True"]


def test_the_order_is_that_of_names(site: Site) -> None:
    for name in ("zz", "aa", "mm"):
        site.add(name, f"print('{name}')\n" + HOOKED.replace("softsign", name))
    assert site.run("jt.tensor(1.0)").split() == ["aa", "mm", "zz"]


@pytest.mark.parametrize("name", ["aa_before_numpy", "zz_after_numpy"])
def test_a_plugin_that_makes_a_tensor_while_it_loads_does_not_re_enter(site: Site, name: str) -> None:
    site.add(name, "import jitrench_core as jt\nHALF = jt.tensor(0.5) * 2\n" + HOOKED)
    code = """
        import warnings
        warnings.simplefilter("error")
        print(jt.tensor(1.0) + 1, jt.ops.softsign(1.0))
        print({p.status for p in jt.plugins.plugins() if p.name.startswith(("aa", "zz"))})
    """
    assert site.run(code).splitlines() == ["Tensor(2.) Tensor(0.5)", "{'loaded'}"]


def test_a_plugin_may_build_on_one_of_a_later_name(site: Site) -> None:
    site.add("zz_base", HOOKED)
    site.add("aa_user", "import jitrench_core as jt\nbase = jt.ops.softsign\n" + HOOKED.replace("softsign", "other"))
    assert site.run("print(jt.ops.other(1.0), jt.registry.ops.owners['other'])") == "Tensor(0.5) aa_user"


@pytest.mark.parametrize(
    ("env", "loaded"),
    [
        ({"JITRENCH_PLUGINS": "numpy,good"}, ["good"]),
        ({"JITRENCH_PLUGINS": " numpy , good ,"}, ["good"]),
        ({"JITRENCH_DISABLE_PLUGINS": "crash"}, ["good"]),
        ({"JITRENCH_PLUGINS": "numpy,good,crash", "JITRENCH_DISABLE_PLUGINS": "crash"}, ["good"]),
        ({"JITRENCH_PLUGINS": ""}, []),
    ],
)
def test_the_environment_chooses_before_anything_is_imported(
    site: Site, env: dict[str, str], loaded: list[str]
) -> None:
    site.add("good", HOOKED)
    site.add("crash", "print('imported')\nraise RuntimeError('imported')")
    done = shown(site, **env)
    assert [name for name, line in done.items() if name != "numpy" and " loaded " in line] == loaded
    assert " disabled NoneType None" in done["crash"]


def test_a_name_in_the_environment_that_nothing_has_is_told(site: Site) -> None:
    site.add("sharpen", HOOKED)
    site.names[-1] = "sharpem"
    error = site.fails("jt.tensor(1.0)", "-W", "error")
    assert "PluginWarning: no plugin 'sharpem' is installed, though the environment names it." in error
    assert "Did you mean 'sharpen'?" in error


# -- 2. each plugin alone -------------------------------------------------------------------------------------------

SECOND_FAILS = """
from jitrench_core import hookimpl, op, Backend
from plugin_parts import first

@hookimpl
def register_backends(register):
    register(Backend("nowhere", "nowhere"))

@hookimpl
def register_ops(register):
    register(first)
    %s

@hookimpl
def register_kernels(register):
    register("exp", "numpy", lambda x: x)
    %s
"""
PARTS = """
from jitrench_core import op

@op(elementwise=True, vjp=lambda g: g)
def first(xp, x, /):
    "x."
    return x

@op(elementwise=True)
def unfinished(xp, x, /):
    "x."
    return x

@op(name="exp", elementwise=True, vjp=lambda g: g)
def taken(xp, x, /):
    "x."
    return x
"""


@pytest.mark.parametrize(
    ("in_ops", "in_kernels", "reason"),
    [
        ("register(lambda x: x)", "", "OpError register_ops takes what @jt.op returns; plugin 'half' gave <function"),
        ("from plugin_parts import unfinished; register(unfinished)", "", "OpError op 'unfinished' has no vjp rule"),
        ("register(first)", "", "DuplicateError plugin 'half' registers the op 'first' twice"),
        ("from plugin_parts import taken; register(taken)", "", "DuplicateError both 'jitrench-core' and 'half'"),
        ("", "register('exp', 'numpy', 3)", "PluginError register_kernels takes (op name, backend name, function)"),
        ("", "register('exp', 'numpy', abs)", "DuplicateError plugin 'half' registers two kernels of 'exp'"),
        ("", "1 / 0", "ZeroDivisionError division by zero"),
    ],
)
def test_a_plugin_that_fails_half_way_leaves_nothing(site: Site, in_ops: str, in_kernels: str, reason: str) -> None:
    (site.folder / "plugin_parts.py").write_text(PARTS)
    site.add("half", SECOND_FAILS % (in_ops or "pass", in_kernels or "pass"))
    site.add("whole", HOOKED)
    code = (
        SHOW
        + """
    from jitrench_core import backend
    print("left:", "first" in jt.registry.ops, "nowhere" in backend.BACKENDS, backend.PLUGIN_KERNELS)
    print("in pluggy:", jt.plugins.manager().has_plugin("half"), jt.plugins.manager().has_plugin("whole"))
    print("exp:", jt.exp(0.0), jt.registry.ops.owners["exp"], jt.ops.softsign(1.0))
    """
    )
    lines = site.run(code, "-W", "always").splitlines()
    assert any(line.startswith(f"half jitrench-half 1.0 failed {reason}") for line in lines), lines
    assert "left: False False {}" in lines
    assert "in pluggy: False True" in lines
    assert "exp: Tensor(1.) jitrench-core Tensor(0.5)" in lines


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (HOOKED.replace("register_ops", "register_opps"), "implements an unknown hook 'register_opps'. Did you mean"),
        (HOOKED.replace("@hookimpl", ""), "(plugin_jitrench_wrong) implements no hook: decorate at least one of"),
        ("", "(plugin_jitrench_wrong) implements no hook: decorate at least one of register_backends, register_ops"),
        (HOOKED.replace("(register)", "(registrar)"), "a hook takes one parameter, named register"),
        ("jitrench_api = 2\n" + HOOKED, "is written for version 2 of the plugin API; this jitrench-core has version 1"),
    ],
)
def test_a_plugin_that_declares_what_it_must_not_is_refused(site: Site, code: str, reason: str) -> None:
    site.add("wrong", code)
    site.add("zz_right", HOOKED)
    done = shown(site)
    assert " failed Plugin" in done["wrong"]
    assert reason in done["wrong"]
    assert " loaded " in done["zz_right"]


def test_the_api_version_may_be_stated(site: Site) -> None:
    site.add("stated", "import jitrench_core\njitrench_api = jitrench_core.API_VERSION\n" + HOOKED)
    assert " loaded " in shown(site)["stated"]


# -- 3. failures are kept, warned about once, and the rest load -----------------------------------------------------

CRASHES = {
    "crash": ("1 / 0", "ZeroDivisionError division by zero"),
    "missing": ("import no_such_library", "ModuleNotFoundError No module named 'no_such_library'"),
    "misspelled": ("def f(:", "SyntaxError"),
    "leaves": ("raise SystemExit('bye')", "SystemExit bye"),
    "core": ("from jitrench_core import no_such_name", "ImportError cannot import name 'no_such_name'"),
}


def test_a_broken_plugin_harms_nobody_else(site: Site) -> None:
    for name, (code, _) in CRASHES.items():
        site.add(name, code, version="0.3")
    site.add("zz_right", HOOKED)
    (site.folder / "plugin_jitrench_gone.py").unlink(missing_ok=True)
    site.add("gone", "")
    (site.folder / "plugin_jitrench_gone.py").unlink()
    done = shown(site)
    for name, (_, reason) in CRASHES.items():
        assert f"{name} jitrench-{name} 0.3 failed {reason}" in done[name]
    assert "failed ModuleNotFoundError No module named 'plugin_jitrench_gone'" in done["gone"]
    assert " loaded " in done["zz_right"]
    assert " loaded " in done["numpy"]


def test_a_failure_is_warned_about_once_and_kept(site: Site) -> None:
    site.add("crash", "x = 1\n1 / 0\n", version="0.3")
    code = """
        import warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(3):
                jt.tensor(1.0) + 1
                "no such op" in jt.registry.ops
        print(len(caught), caught[0].category.__name__, caught[0].message)
        (p,) = jt.plugins.failed()
        print(p.name, p.distribution, p.version, p.module, p.status, repr(p.error), p.where)
        print(p.traceback)
    """
    first, second, *traceback = site.run(code, "-W", "always").splitlines()
    assert first == (
        "1 PluginWarning plugin 'crash' of jitrench-crash 0.3 did not load: ZeroDivisionError: division by zero "
        "(`jitrench plugins` shows where)"
    )
    where = site.folder / "plugin_jitrench_crash.py"
    assert second == (
        f"crash jitrench-crash 0.3 plugin_jitrench_crash failed ZeroDivisionError('division by zero') {where}:2"
    )
    assert traceback[0] == "Traceback (most recent call last):"
    assert traceback[-1] == "ZeroDivisionError: division by zero"


def test_where_warnings_are_errors_the_rest_is_loaded_all_the_same(site: Site) -> None:
    site.add("crash", "1 / 0")
    site.add("zz_right", HOOKED)
    code = """
        try:
            jt.tensor(1.0)
        except jt.PluginWarning as e:
            print(e)
        print(jt.ops.softsign(1.0))
    """
    first, second = site.run(code).splitlines()
    assert first.startswith("plugin 'crash' of jitrench-crash 1.0 did not load")
    assert second == "Tensor(0.5)"


def test_the_line_to_blame_is_the_plugins_own(site: Site) -> None:
    site.add("blamed", HOOKED.replace("register(softsign)", "register(None)"))
    site.add("spelled", "\n\ndef f(:")
    code = QUIET + "print([p.where for p in jt.plugins.failed()])"
    last_line = len(HOOKED.splitlines())
    blamed, spelled = (str(site.folder / f"plugin_jitrench_{name}.py") for name in ("blamed", "spelled"))
    assert site.run(code) == str([f"{blamed}:{last_line}", f"{spelled}:3"])


@pytest.mark.parametrize("strict", ["1", "yes"])
def test_strict_raises_each_time(site: Site, strict: str) -> None:
    site.add("crash", "1 / 0", version="0.3")
    code = """
        for _ in range(2):
            try:
                jt.registry.ops["no such op"]
            except jt.PluginError as e:
                print(e, "| from", repr(e.__cause__))
    """
    expected = (
        "plugin 'crash' of jitrench-crash 0.3 did not load: ZeroDivisionError: division by zero "
        "| from ZeroDivisionError('division by zero')"
    )
    assert site.run(code, JITRENCH_STRICT_PLUGINS=strict).splitlines() == [expected, expected]


@pytest.mark.parametrize("strict", ["", "0"])
def test_strict_can_be_said_to_be_off(site: Site, strict: str) -> None:
    site.add("crash", "1 / 0")
    code = QUIET + "print(jt.tensor(1.0))"
    assert site.run(code, JITRENCH_STRICT_PLUGINS=strict) == "Tensor(1.)"


def test_strict_is_silent_where_nothing_fails(site: Site) -> None:
    site.add("fine", HOOKED)
    assert site.run("print(jt.ops.softsign(1.0))", JITRENCH_STRICT_PLUGINS="1") == "Tensor(0.5)"


# -- 4. duplicates name both owners ---------------------------------------------------------------------------------


def test_two_plugins_with_one_op(site: Site) -> None:
    site.add("aa", HOOKED)
    site.add("bb", HOOKED.replace("xp.abs(x))", "xp.abs(x)) * 100"))
    done = shown(site)
    assert (
        "failed DuplicateError both 'aa' and 'bb' register the op 'softsign'; uninstall one, or disable" in done["bb"]
    )
    code = QUIET + "print(jt.ops.softsign(1.0), jt.registry.ops.owners['softsign'])"
    assert site.run(code) == "Tensor(0.5) aa"


@pytest.mark.parametrize("claim", ['Backend("numpy", "math")', 'Backend("other", "math", aliases=("cpu",))'])
def test_two_plugins_with_one_device(site: Site, claim: str) -> None:
    site.add(
        "zz",
        f"""
        from jitrench_core import Backend, hookimpl

        @hookimpl
        def register_backends(register):
            register({claim})
    """,
    )
    done = shown(site)["zz"]
    name = "numpy" if "numpy" in claim else "cpu"
    assert f"DuplicateError both 'numpy' and 'zz' register a backend that claims the device '{name}'" in done
    assert site.run(QUIET + "print(jt.tensor(1.0, device='cpu'))") == "Tensor(1.)"


def test_two_distributions_with_one_plugin_name(site: Site) -> None:
    site.add("twin", HOOKED, dist="first-dist")
    site.add("twin", HOOKED.replace("softsign", "other"), dist="second-dist")
    lines = site.run(SHOW, "-W", "always").splitlines()
    assert "twin first-dist 1.0 loaded NoneType None" in lines
    (second,) = (line for line in lines if line.startswith("twin second-dist"))
    assert "DuplicateError both 'first-dist' and 'second-dist' declare a plugin 'twin'; uninstall one" in second


def test_a_plugin_with_the_cores_name_does_not_take_it_away(site: Site) -> None:
    site.add("jitrench-core", HOOKED, dist="impostor")
    assert "failed DuplicateError plugin 'jitrench-core' cannot be registered" in shown(site)["jitrench-core"]
    code = QUIET + "print(jt.plugins.manager().get_plugin('jitrench-core'))"
    assert "jitrench_core.ops" in site.run(code)


def test_one_module_under_two_names(site: Site) -> None:
    site.add("aa", HOOKED, dist="both", module="shared_module")
    site.add("bb", HOOKED, dist="both", module="shared_module")
    done = shown(site)
    assert " loaded " in done["aa"]
    assert "DuplicateError plugin 'bb' cannot be registered: its module is plugin 'aa' already" in done["bb"]


# -- 5. what is missing ---------------------------------------------------------------------------------------------


def test_a_missing_op_names_its_near_matches_and_the_failed_plugins(site: Site) -> None:
    site.add("good", HOOKED)
    error = site.fails("jt.ops.softsing")
    assert error.startswith(
        "jitrench_core.errors.NotFoundError: no op 'softsing' is installed. Did you mean 'softsign'"
    )
    assert "failed" not in error
    site.add("crash", "1 / 0")
    error = site.fails("jt.ops.hardsign")
    assert "no op 'hardsign' is installed." in error
    assert "It may belong to a plugin that failed: crash (division by zero)." in error


def test_a_missing_layer_and_a_missing_optimizer(site: Site) -> None:
    code = """
        from jitrench_core import Layer, Optimizer, hookimpl

        class Perceptron(Layer):
            pass

        class Momentum(Optimizer):
            pass

        @hookimpl
        def register_layers(register):
            register(Perceptron)

        @hookimpl
        def register_optimizers(register):
            register(Momentum, name="Impulse")
    """
    site.add("net", code)
    assert "no layer 'Perceptrom' is installed. Did you mean 'Perceptron'?" in site.fails(
        "jt.registry.layers['Perceptrom']"
    )
    assert "no optimizer 'Impuls' is installed. Did you mean 'Impulse'?" in site.fails(
        "jt.registry.optimizers['Impuls']"
    )
    assert site.run("print(jt.registry.layers['Perceptron'].__name__)") == "Perceptron"


def test_no_backend_at_all_says_what_to_install(site: Site) -> None:
    error = site.fails("jt.tensor(1.0)", JITRENCH_PLUGINS="")
    assert "no backend is installed, so there is nothing to compute with" in error
    assert "pip install jitrench-numpy" in error


# -- kernels --------------------------------------------------------------------------------------------------------

KERNEL = """
from jitrench_core import hookimpl

@hookimpl
def register_kernels(register):
    register(%r, %r, lambda x, **attrs: x * 0 + %s)
"""


@pytest.mark.parametrize("plugin", ["aa_before_the_backend", "zz_after_the_backend"])
@pytest.mark.parametrize("op", ["exp", "softmax"])
def test_a_plugins_kernel_goes_before_the_backends(site: Site, plugin: str, op: str) -> None:
    site.add(plugin, KERNEL % (op, "numpy", 7))
    assert site.run(f"print(jt.{op}(jt.tensor([1.0, 2.0])))") == "Tensor([7., 7.])"


def test_a_kernel_for_another_backend_changes_nothing_here(site: Site) -> None:
    site.add("elsewhere", KERNEL % ("exp", "cupy", 7))
    assert site.run("print(jt.exp(jt.tensor([0.0])))") == "Tensor([1.])"


def test_two_kernels_of_one_rank_are_an_error(site: Site) -> None:
    site.add("aa", KERNEL % ("exp", "numpy", 7))
    site.add("zz", KERNEL % ("exp", "numpy", 8))
    assert "failed DuplicateError both 'aa' and 'zz' register a kernel of 'exp' for 'numpy'" in shown(site)["zz"]
    code = QUIET + "print(jt.exp(jt.tensor([0.0])))"
    assert site.run(code) == "Tensor([7.])"


def test_a_kernel_replaces_one_that_is_linked_already(site: Site) -> None:
    site.add("oo_calls", "import jitrench_core as jt\njt.exp(jt.tensor([0.0]))\n" + HOOKED)
    site.add("zz_kernel", KERNEL % ("exp", "numpy", 7))
    assert site.run("print(jt.exp(jt.tensor([0.0])))") == "Tensor([7.])"


def test_a_kernel_for_an_op_that_comes_later_and_was_called_before(site: Site) -> None:
    site.add("aa_kernel", KERNEL % ("softsign", "numpy", 7))
    site.add("zz_op", HOOKED + "import jitrench_core as jt\nsoftsign(jt.tensor([1.0]))\n")
    assert site.run("print(jt.ops.softsign(jt.tensor([1.0])))") == "Tensor([7.])"


def test_a_backend_of_a_plugin_computes(site: Site) -> None:
    code = """
        from jitrench_core import Backend, hookimpl

        class Other(Backend):
            def to_numpy(self, array):
                return self.xp.asarray(array)

        @hookimpl
        def register_backends(register):
            register(Other("other", "numpy", aliases=("cpu",)))
    """
    site.add("other", code)
    assert site.run("print((jt.tensor([1.0]) + 1).device)", JITRENCH_PLUGINS="other") == "other"
