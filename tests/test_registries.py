"""The six catalogues: each kind registered by a plugin that is really installed, found by name, and refused where it is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_plugins import Site

import jitrench_core as jt
from jitrench_core import registry
from jitrench_core.catalogues import Catalogue

# What a third party writes: one of each kind, with nothing imported but the core.
KINDS = '''
"""One of each kind."""

import jitrench_core as jt
from jitrench_core import Layer, Optimizer, hookimpl, op


@op(elementwise=True, vjp={"x": lambda g, x: g / (1 + abs(x)) ** 2})
def hyperbola_like(xp, x, /):
    """x / (1 + |x|), elementwise."""
    return x / (1 + xp.abs(x))


def ones(generator, shape, dtype):
    return jt.ones(shape, dtype=dtype, device=generator.device)


class KAN(Layer):
    """A line for each column.

    Slopes begin at ``slope``.
    """

    def __init__(self, slope: float = 1.0):
        self.slope = slope

    def forward(self, x):
        return self.slope * jt.ops.hyperbola_like(x) * self.parameter("factor", x.shape[-1:], ones) + x


class Sophia(Optimizer):
    """Signs of gradients."""

    def update(self, p, g, lr, slots):
        return p - lr * jt.sign(g), {}


def log_cosh(prediction, target, sharpness: float = 1.0):
    """log(cosh(sharpness * error)), the mean."""
    return jt.mean(jt.log(jt.cosh(sharpness * (prediction - target))))


class Halving:
    """Half the rate every so many steps."""

    def __init__(self, optimizer, every: int):
        self.optimizer, self.every, self.steps = optimizer, every, 0

    def step(self):
        self.steps += 1
        if self.steps % self.every == 0:
            for group in self.optimizer.groups:
                group.lr = group.lr * 0.5


def lines(n: int = 32, *, slope: float = 2.0):
    """The points of a line."""
    x = jt.linspace(-1, 1, n)[:, None]
    return x, slope * x


@hookimpl
def register_ops(register):
    register(hyperbola_like)


@hookimpl
def register_layers(register):
    register(KAN)


@hookimpl
def register_optimizers(register):
    register(Sophia, name="sophia")


@hookimpl
def register_losses(register):
    register(log_cosh)


@hookimpl
def register_schedules(register):
    register(Halving)


@hookimpl
def register_datasets(register):
    register(lines)
'''

HOOK = """
from jitrench_core import Layer, Optimizer, hookimpl

class Uncallable: ...
class Emptiness:
    def __getitem__(self, i): ...
class Stepping(Optimizer): ...

@hookimpl
def register_layers(register):
    register(type("Kept", (Layer,), {}))

@hookimpl
def register_%s(register):
    register(%s)
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.names += ["nn", "optim"]
    return made


# -- each hook, by a plugin -------------------------------------------------------------------------------------------


def test_one_of_each_kind_is_found_by_its_name(site: Site) -> None:
    site.add("kinds", KINDS)
    code = """
        import jitrench_nn as nn, jitrench_optim as optim
        print(jt.registry.ops["hyperbola_like"].op.owner, nn.layers["KAN"].__name__, optim.get("sophia").__name__)
        print(nn.losses["log_cosh"].__name__, optim.schedules["Halving"] is optim.get_schedule("halving"))
        print(len(nn.datasets["lines"](7)[0]), nn.layers["kan"] is jt.registry.layers["KAN"])
        found = {"layers": "kan", "optimizers": "Sophia", "losses": "log-cosh", "schedules": "HALVING", "datasets": "Lines"}
        catalogues = jt.registry.CATALOGUES
        print({catalogues[kind].owners[catalogues[kind].key(name)] for kind, name in found.items()})
    """
    assert site.run(code).splitlines() == ["kinds KAN Sophia", "log_cosh True", "7 True", "{'kinds'}"]


@pytest.mark.parametrize("kind", registry.CATALOGUES)
def test_the_environment_keeps_a_plugin_out_of_every_catalogue(site: Site, kind: str) -> None:
    site.add("kinds", KINDS)
    code = (
        f"print(sorted(n for n, o in jt.registry.{kind}.owners.items() if o == 'kinds'), len(jt.registry.{kind}) > 0)"
    )
    names = {
        "ops": "hyperbola_like",
        "layers": "KAN",
        "optimizers": "sophia",
        "losses": "log_cosh",
        "schedules": "Halving",
    }
    assert site.run("jt.plugins.load(); " + code) == f"['{names.get(kind, 'lines')}'] True"
    assert site.run("jt.plugins.load(); " + code, JITRENCH_PLUGINS="numpy,nn,optim") == "[] True"
    assert site.run("jt.plugins.load(); " + code, JITRENCH_DISABLE_PLUGINS="kinds") == "[] True"


def test_a_name_of_a_plugin_that_failed_names_it(site: Site) -> None:
    site.add("kinds", KINDS + "\n1 / 0\n")
    told = "It may belong to a plugin that failed: kinds (division by zero)."
    for call in (
        "jt.registry.losses['log_cosh']",
        "jt.registry.schedules['Halving']",
        "__import__('jitrench_nn').datasets['lines']",
        "__import__('jitrench_optim').get('sophia')",
        "__import__('jitrench_nn').layers['KAN']",
    ):
        assert told in site.fails(call), call


@pytest.mark.parametrize(
    ("kind", "item", "told"),
    [
        ("losses", "3", "register_losses takes a function of prediction and target, or a class whose objects are"),
        (
            "losses",
            "Uncallable",
            "register_losses takes a function of prediction and target, or a class whose objects are",
        ),
        (
            "losses",
            "lambda x, y: x",
            "register_losses: the name must be a str of one line, register(item, 'name'); plugin 'half' gave '<l",
        ),
        (
            "losses",
            "print, 7",
            "register_losses: the name must be a str of one line, register(item, 'name'); plugin 'half' gave 7",
        ),
        ("losses", "print, ''", "register_losses: the name must be a str"),
        ("losses", "print, 'a\\nb'", "register_losses: the name must be a str of one line"),
        ("losses", "print, ' a'", "register_losses: the name must be a str of one line"),
        ("layers", "Layer", "register_layers takes a subclass of jt.Layer; plugin 'half' gave <class"),
        ("optimizers", "Optimizer", "register_optimizers takes a subclass of jt.Optimizer; plugin 'half' gave <class"),
        (
            "kernels",
            "print, 'numpy', print",
            "register_kernels takes (op name, backend name, function); got (<built-in",
        ),
        (
            "kernels",
            "'sin', 3, print",
            "register_kernels takes (op name, backend name, function); got ('sin', 3, <built-in",
        ),
        (
            "schedules",
            "Uncallable",
            "register_schedules takes a class that is made of an optimizer and has step(); plugin",
        ),
        (
            "schedules",
            "Stepping",
            "register_schedules takes a class that is made of an optimizer and has step(); plugin",
        ),
        ("schedules", "print", "register_schedules takes a class that is made of an optimizer and has step(); plugin"),
        ("datasets", "Emptiness", "register_datasets takes a class with __len__ and __getitem__, or a function that"),
        ("datasets", "[1, 2]", "register_datasets takes a class with __len__ and __getitem__, or a function that"),
        ("optimizers", "Uncallable", "register_optimizers takes a subclass of jt.Optimizer; plugin 'half' gave <class"),
        ("datasets", "print); register(print", "plugin 'half' registers the dataset 'print' twice"),
        (
            "datasets",
            "print, 'iris'",
            "both 'nn' and 'half' register the dataset 'iris'; uninstall one, or disable it by",
        ),
        ("losses", "print, 'MSELoss'", "both 'nn' and 'half' register the loss 'MSELoss'"),
        ("schedules", "type('StepLR', (), {'step': 1})", "both 'optim' and 'half' register the schedule 'StepLR'"),
    ],
)
def test_what_is_none_of_its_kind_is_refused_and_nothing_stays(site: Site, kind: str, item: str, told: str) -> None:
    owner = "zz_half" if "both" in told else "half"  # of two plugins with one name, the later is refused
    site.add(owner, HOOK % (kind, item))
    code = f"""
        (mine,) = [p for p in jt.plugins.plugins() if p.name == {owner!r}]
        print(mine.status, mine.error)
        left = [n for c in jt.registry.CATALOGUES.values() for n, o in c.owners.items() if o == {owner!r}]
        print("Kept" in jt.registry.layers, left)
    """
    first, last = site.run(code, "-W", "ignore").splitlines()
    assert first.startswith("failed ")
    assert told.replace("'half'", repr(owner)) in first
    assert last == "False []"


def test_a_dataset_that_is_broken_takes_its_plugin_with_it(site: Site) -> None:
    site.add("kinds", KINDS.replace("register(lines)", "register(lines()[0])"))
    code = "print([n for c in jt.registry.CATALOGUES.values() for n, o in c.owners.items() if o == 'kinds'])"
    assert site.run("jt.plugins.load(strict=False); " + code, "-W", "ignore") == "[]"


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def loose(monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    made = Catalogue("loss", "anything", callable, "nn", "loss")
    for name in ("MSELoss", "cross_entropy", "KAN", "Kan"):
        made.entries[name], made.owners[name] = name, "nn" if name != "Kan" else "other"
    return made


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("MSELoss", "MSELoss"),
        ("mse_loss", "MSELoss"),
        ("mse", "MSELoss"),
        ("MSE", "MSELoss"),
        ("CrossEntropyLoss", "cross_entropy"),
        ("cross-entropy", "cross_entropy"),
        ("KAN", "KAN"),
        ("Kan", "Kan"),
    ],
)
def test_a_name_is_found_as_it_is_written_and_else_without_case_and_dashes(
    loose: Catalogue, name: str, found: str
) -> None:
    assert loose[name] == found
    assert loose.key(name) == found
    assert name in loose


def test_a_name_that_may_mean_two_things_is_refused(loose: Catalogue) -> None:
    told = r"the loss name 'kan' may mean 'KAN' \(of 'nn'\) or 'Kan' \(of 'other'\): write it as it is"
    with pytest.raises(jt.NotFoundError, match=told):
        loose["kan"]
    assert "kan" not in loose


def test_a_name_that_is_not_there_is_told_with_near_ones_or_with_all(loose: Catalogue) -> None:
    with pytest.raises(jt.NotFoundError, match=r"^no loss 'mes' is installed. Did you mean 'MSELoss'\?"):
        loose["mes"]
    with pytest.raises(
        jt.NotFoundError, match=r"no loss 'zzz' is installed. There are KAN, Kan, MSELoss, cross_entropy."
    ):
        loose["zzz"]
    with pytest.raises(jt.NotFoundError, match="no loss 3 is installed."):
        loose[3]  # type: ignore[index]
    assert 3 not in loose
    empty = Catalogue("schedule", "anything", callable, "optim", "lr")
    with pytest.raises(jt.NotFoundError, match="No schedule is: jitrench-optim brings the usual ones."):
        empty["step"]


def test_ops_are_found_as_they_are_written_alone() -> None:
    assert "Exp" not in registry.ops
    with pytest.raises(jt.NotFoundError, match=r"no op 'Exp' is installed. Did you mean 'exp'"):
        registry.ops["Exp"]


# -- what nn and optim bring ----------------------------------------------------------------------------------------------


def test_layers_losses_and_datasets_of_nn() -> None:
    nn = pytest.importorskip("jitrench_nn")
    assert nn.layers["Linear"] is nn.layers.Linear is nn.Linear
    assert nn.layers["batch_norm_1d"] is nn.BatchNorm1d
    assert "linear" in nn.layers
    assert "sophia" not in nn.layers
    assert list(nn.layers) == sorted(jt.registry.layers.entries)
    assert len(nn.layers) == len(jt.registry.layers)
    assert nn.layers
    from jitrench_nn.layers import Linear

    assert Linear is nn.Linear
    mine = {name for name, owner in registry.losses.owners.items() if owner == "nn"}
    assert mine == {name for name in nn.layers.__all__ if name.endswith("Loss")}
    assert nn.losses["cross_entropy"] is nn.CrossEntropyLoss
    for name in mine:
        assert callable(nn.losses[name]())
    mine = {name for name, owner in registry.datasets.owners.items() if owner == "nn"}
    assert mine >= {"digits", "iris", "read_csv", "read_npz", "read_idx"}
    assert len(nn.datasets["iris"]()) == 150
    with pytest.raises(AttributeError, match="Linaer"):
        nn.layers.Linaer


def test_optimizers_and_schedules_of_optim() -> None:
    optim = pytest.importorskip("jitrench_optim")
    assert optim.get("adam_w") is optim.AdamW
    assert optim.get_schedule("cosine-annealing") is optim.schedules["CosineAnnealingLR"] is optim.CosineAnnealingLR
    mine = {name for name, owner in registry.schedules.owners.items() if owner == "optim"}
    written = {
        name
        for name, value in vars(optim.schedules).items()
        if not name.startswith("_") and isinstance(value, type) and value.__module__ == optim.schedules.__name__
    }
    assert mine == written - {"Schedule"}
    from jitrench_optim.schedules import StepLR

    assert StepLR is optim.StepLR
    with pytest.raises(jt.NotFoundError, match="no optimizer 'sophia' is installed. There are .*AdamW"):
        optim.get("sophia")


def test_a_module_is_made_a_listing_of_a_kind_that_there_is() -> None:
    from jitrench_core.plugins import make_listing

    with pytest.raises(jt.PluginError, match="make_listing: there are ops, layers, .*; got 'layer'"):
        make_listing("jitrench_core.plugins", "layer")


def test_each_hook_has_its_catalogue_and_is_told_what_it_takes() -> None:
    from jitrench_core.hookspecs import HOOKS

    assert {hook.removeprefix("register_") for hook in HOOKS} == {*registry.CATALOGUES, "backends", "kernels"}
    for hook in HOOKS:
        assert callable(registry.Staging("somebody").taker(hook))


def test_what_comes_after_the_hook_is_refused(site: Site) -> None:
    site.add(
        "late",
        """
        from jitrench_core import hookimpl

        @hookimpl
        def register_losses(register):
            global kept
            kept = register
            register(print, "early")
        """,
    )
    code = """
        assert "early" in jt.registry.losses
        import plugin_jitrench_late as late
        late.kept(print, "too_late")
    """
    told = site.fails(code)
    assert "register_losses: plugin 'late' registers after its hook has returned; nothing was registered" in told


def test_a_hook_without_its_parameter_is_refused(site: Site) -> None:
    site.add("deaf", "from jitrench_core import hookimpl\n@hookimpl\ndef register_losses(): ...\n")
    told = site.run("(p,) = [p for p in jt.plugins.plugins() if p.name == 'deaf']; print(p.error)", "-W", "ignore")
    assert told == "plugin 'deaf': register_losses() takes no parameter; a hook takes one, named register"


@pytest.mark.parametrize("name", [["mse"], {}, None, 3, b"mse", "", "_", "-"])
def test_what_is_no_name_is_not_found(loose: Catalogue, name: object) -> None:
    loose.entries["Loss"], loose.owners["Loss"] = print, "a"  # nothing but the suffix
    assert name not in loose
    with pytest.raises(jt.NotFoundError):
        loose[name]  # type: ignore[index]
