"""Configuration files: what they say is made and trained, and what they must not say is told with its place."""

from __future__ import annotations

import copy
import importlib
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from test_plugins import Site
from test_registries import KINDS

import jitrench_core as jt

nn = pytest.importorskip("jitrench_nn")
optim = pytest.importorskip("jitrench_optim")
ConfigError = nn.ConfigError

EXAMPLE = Path(__file__).parents[1] / "examples" / "config_digits.toml"
X = "x,y,kind\n" + "".join(f"{i},{(7 * i) % 5},{'ab'[i % 2]}\n" for i in range(20))


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "table.csv"
    path.write_text(X)
    return str(path)


@pytest.fixture
def config(table: str) -> dict[str, Any]:
    return {
        "model": {"layers": [{"Linear": 8}, "ReLU", {"Linear": {"out_dim": 2}}]},
        "loss": {"name": "cross_entropy"},
        "optimizer": {"name": "SGD", "lr": 0.1},
        "data": {"name": "read_csv", "path": table, "label": "kind", "batch_size": 4},
        "train": {"epochs": 2, "progress": False},
    }


# -- what a file says is made ---------------------------------------------------------------------------------------------


def test_a_run_is_the_training_that_it_describes(config: dict[str, Any], table: str) -> None:
    history = nn.from_config(config).fit()
    jt.random.seed(0)
    model = nn.Sequential(nn.Linear(8), nn.ReLU(), nn.Linear(2))
    with jt.random.using(jt.random.Generator(0)):
        loader = nn.data.DataLoader(nn.data.read_csv(table, label="kind"), 4, shuffle=True, seed=0)
        trainer = nn.Trainer(
            model, nn.cross_entropy, lambda params: optim.SGD(params, lr=0.1), schedule=None, seed=0, progress=False
        )
        by_hand = trainer.fit(loader, epochs=2)
    assert [row["loss"] for row in history] == [row["loss"] for row in by_hand]


def test_a_file_gives_the_same_numbers_each_time(config: dict[str, Any]) -> None:
    config["model"]["layers"].insert(1, {"Dropout": 0.5})
    first, second = (nn.from_config(config).fit()[-1]["loss"] for _ in range(2))
    jt.random.uniform((3,))
    assert first == second == nn.from_config(config).fit()[-1]["loss"]
    assert nn.from_config(config, {"train.seed": 1}).fit()[-1]["loss"] != first
    before = jt.random.default_generator().state()["counter"].tolist()
    nn.from_config(config).fit()
    assert jt.random.default_generator().state()["counter"].tolist() == before


def test_a_run_trains_on_each_device(config: dict[str, Any], backend: str) -> None:
    numbers = nn.from_config(config).fit()[-1]["loss"]
    run = nn.from_config(config, {"train.device": backend})
    assert run.fit()[-1]["loss"] == pytest.approx(numbers, rel=1e-12)
    assert {str(p.device) for p in run.model.parameters()} == {str(jt.device(backend))}


def test_a_second_fit_trains_on(config: dict[str, Any]) -> None:
    run = nn.from_config(config)
    run.fit(epochs=1)
    assert [row["epoch"] for row in run.fit(epochs=2)] == [1, 2, 3]
    assert run.evaluate().keys() == {"loss"}


def test_the_dtype_is_that_of_all(config: dict[str, Any]) -> None:
    run = nn.from_config(config, {"train.dtype": "float32"})
    x, y = next(iter(run.loaders[0]))
    assert (x.dtype, y.dtype) == (jt.float32, jt.int64)
    run.fit()
    assert {p.dtype for p in run.model.parameters()} == {jt.float32}


def test_scaling_is_fitted_on_the_training_part(config: dict[str, Any]) -> None:
    run = nn.from_config(config, {"data.validation": 0.25, "data.scale": "standardize", "data.batch_size": 15})
    train, validation = run.loaders
    (x, _), (z, _) = next(iter(train)), next(iter(validation))
    assert len(x) == 15
    assert len(z) == 5
    assert jt.mean(x, axis=0).tolist() == pytest.approx([0, 0], abs=1e-12)
    assert abs(jt.mean(z, axis=0)).max().item() > 1e-3
    assert "val_loss" in run.fit().columns
    x, _ = next(iter(nn.from_config(config, {"data.scale": "normalize", "data.batch_size": 20}).loaders[0]))
    assert (x.min().item(), x.max().item()) == (0.0, 1.0)


def test_validation_data_of_their_own(config: dict[str, Any], table: str) -> None:
    held = {"read_csv": {"path": table, "label": "kind"}}
    config["data"]["validation"] = held
    assert len(nn.from_config(config).loaders[1].dataset) == 20
    config["data"] = {"dataset": {"read_csv": {"path": table, "label": "kind"}}, "shuffle": False, "drop_last": True}
    (train, none) = nn.from_config(config, {"data.batch_size": 3}).loaders
    assert none is None
    assert len(train) == 6


def test_arrays_by_name_and_arrays_of_several_files(tmp_path: Path, config: dict[str, Any]) -> None:
    import numpy as np

    np.savez(tmp_path / "all.npz", a=np.arange(12.0).reshape(6, 2), b=np.arange(6) % 2)
    nn.data.write_idx(jt.ones((6, 2)), tmp_path / "x.idx")
    nn.data.write_idx((jt.arange(6) % 2).astype("uint8"), tmp_path / "y.idx")
    config["data"] = {"name": "read_npz", "path": str(tmp_path / "all.npz"), "inputs": "a", "target": "b"}
    x, y = next(iter(nn.from_config(config).loaders[0]))
    assert (x.shape, y.shape) == ((6, 2), (6,))
    target = {"read_idx": {"path": str(tmp_path / "y.idx")}}
    config["data"] = {"name": "read_idx", "path": str(tmp_path / "x.idx"), "target": target}
    x, y = next(iter(nn.from_config(config).loaders[0]))
    assert (x.shape, y.dtype) == ((6, 2), jt.uint8)


PARTS: list[tuple[Any, str]] = [
    ("ReLU", "ReLU()"),
    ("re_lu", "ReLU()"),
    ({"Linear": 4}, "Linear(4)"),
    ({"Linear": {"out_dim": 4, "bias": False}}, "Linear(4, bias=False)"),
    ({"name": "Linear", "out_dim": 4}, "Linear(4)"),
    ({"Linear": {"out_dim": 4, "name": "head"}}, "Linear(4, name='head')"),
    ({"Linear": {"out_dim": 4, "weight_init": "he_normal"}}, "Linear(4, weight_init=he_normal)"),
    (
        {"Linear": {"out_dim": 4, "weight_init": {"initializer": "normal", "std": 0.5}}},
        "Linear(4, weight_init=normal(std=0.5))",
    ),
    ({"Conv2d": {"out_channels": 2, "kernel_size": [3, 1]}}, "Conv2d(2, (3, 1))"),
    ({"Flatten": {}}, "Flatten()"),
]


@pytest.mark.parametrize(("part", "made"), PARTS, ids=lambda v: str(v)[:40])
def test_a_part_of_a_model(part: Any, made: str) -> None:
    assert repr(nn.from_config({"model": {"layers": [part]}}).model[0]) == made


def test_models_inside_models() -> None:
    inside: dict[str, Any] = {"Sequential": ["Tanh", {"layers": [{"Linear": 2}, {"op": "relu"}]}]}
    model = nn.from_config({"model": {"layers": {"first": inside, "head": [{"op": "softmax", "axis": -1}]}}}).model
    assert model(jt.ones((3, 2))).sum().item() == pytest.approx(3.0)
    assert [name for name, _ in model.named_parameters()] == ["first.1.0.weight", "first.1.0.bias"]
    layer = {"TransformerEncoderLayer": {"nhead": 2, "dim_feedforward": 8, "activation": {"op": "relu"}}}
    encoder = nn.from_config({"model": {"name": "TransformerEncoder", "layer": layer, "num_layers": 2}}).model
    assert encoder(jt.ones((2, 3, 4))).shape == (2, 3, 4)
    assert nn.from_config({"model": "Identity"}).model(3.0) == 3.0


def test_schedules_of_schedules(config: dict[str, Any]) -> None:
    two = [{"LinearLR": {"total_iters": 2}}, {"name": "exponential", "gamma": 0.5}]
    config["schedule"] = {"name": "SequentialLR", "schedulers": two, "milestones": [1]}
    run = nn.from_config(config)
    run.fit()
    assert [type(s).__name__ for s in run.trainer.schedule.schedulers] == ["LinearLR", "ExponentialLR"]
    config["schedule"] = {"name": "chained_scheduler", "schedulers": two}
    assert nn.from_config(config).fit()[-1]["lr"] < 0.1


def test_options_of_the_trainer(config: dict[str, Any], tmp_path: Path) -> None:
    config["train"] |= {
        "metrics": ["accuracy", "Precision"],
        "checkpoint": {"path": str(tmp_path / "run.ckpt"), "best": str(tmp_path / "best.ckpt"), "monitor": "loss"},
        "early_stopping": {"monitor": "loss", "patience": 1, "min_delta": 100.0},
        "log": str(tmp_path / "log.csv"),
        "clip": 1.0,
        "epochs": 9,
    }
    history = nn.from_config(config).fit()
    assert len(history) == 2  # nothing gets better by 100
    assert {"accuracy", "precision"} <= set(history.columns)
    assert (tmp_path / "log.csv").read_text().startswith("epoch,step,loss")
    assert (tmp_path / "best.ckpt").exists()
    config["train"] |= {"resume": True, "epochs": 2}
    assert len(nn.from_config(config).fit()) == 2


def test_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    run = nn.from_config(EXAMPLE, {"train.progress": False})
    assert run.fit()[-1]["val_accuracy"] > 0.9
    assert run.source == str(EXAMPLE)


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    said = tomllib.loads(EXAMPLE.read_text())
    (tmp_path / "digits.json").write_text(json.dumps(said))
    assert nn.read_config(tmp_path / "digits.json") == said == nn.read_config(EXAMPLE)
    assert nn.to_config(nn.from_config(tmp_path / "digits.json")) == said


# -- plugins --------------------------------------------------------------------------------------------------------------

ALL_KINDS = """
[model]
layers = [{ KAN = { slope = 0.5 } }, { op = "hyperbola_like" }, { Linear = 1 }]
[loss]
name = "log_cosh"
sharpness = 2.0
[optimizer]
name = "Sophia"
lr = 0.05
[schedule]
name = "halving"
every = 2
[data]
name = "lines"
n = 16
slope = 3.0
batch_size = 8
[train]
epochs = 4
progress = false
"""


def test_each_kind_of_a_plugin_works_by_its_name(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.names += ["nn", "optim"]
    site.add("kinds", KINDS)
    (tmp_path / "run.toml").write_text(ALL_KINDS)
    code = f"""
        import jitrench_nn as nn
        run = nn.from_config({str(tmp_path / "run.toml")!r})
        history = run.fit()
        print(type(run.trainer.optimizer).__name__, type(run.trainer.schedule).__name__, type(run.model[0]).__name__)
        print(run.trainer.optimizer.lr.item(), history[-1]["loss"] < history[0]["loss"], nn.to_config(run.model[0]))
    """
    assert site.run(code).splitlines() == ["Sophia Halving KAN", "0.0125 True {'KAN': {'slope': 0.5}}"]
    done = site.python("-m", "jitrench_nn", "train", str(tmp_path / "run.toml"), "--set", "train.epochs=1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("epoch 1, step 2, loss ")
    done = site.python("-m", "jitrench_nn", "check", str(tmp_path / "run.toml"), JITRENCH_PLUGINS="numpy,nn,optim")
    assert done.returncode == 1
    assert "model.layers[0].KAN: no layer 'KAN' is installed" in done.stderr
    assert "JITRENCH_PLUGINS or JITRENCH_DISABLE_PLUGINS keeps out: " in done.stderr


# -- what it must not say -------------------------------------------------------------------------------------------------

L = "model.layers[0]"
WRONG: list[tuple[str, Any, str]] = [
    # sections
    ("optimiser", {}, r"there is no section \[optimiser\]; there are model, loss, .*\. Did you mean 'optimizer'\?"),
    ("model", None, r"model: expected a table, \[model\]; got null"),
    ("model", {}, r"model: expected a layer: \"Name\", \{ Name = \{ option = value \} \}, or a table .*; got a table"),
    ("loss", 3, r"loss: expected a table, \[loss\]; got 3"),
    ("loss", {"label_smoothing": 0.1}, r"loss: expected a loss: .*; got a table \{'label_smoothing': 0.1\}"),
    ("loss.x.y", 1, None),  # type: ignore[list-item]
    # layers
    ("model.layers", [], r"model\.layers: expected a list of layers, or a table of layers by name; got a list"),
    ("model.layers", ["Linaer"], r"model\.layers\[0\]: no layer 'Linaer' is installed\. Did you mean 'Linear'"),
    ("model.layers", [{"Linaer": 3}], r"model\.layers\[0\]\.Linaer: no layer 'Linaer' is installed"),
    ("model.layers", [3], r"model\.layers\[0\]: expected a layer: .*; got 3"),
    ("model.layers", [{"Linear": 3, "ReLU": {}}], r"model\.layers\[0\]: expected a layer: .*; got a table \{'Linear'"),
    ("model.layers", ["Linear"], r"model\.layers\[0\]: Linear needs 'out_dim'"),
    ("model.layers", [{"Linear": "8"}], r"model\.layers\[0\]\.Linear\.out_dim: expected an int; got the text '8'"),
    ("model.layers", [{"Linear": True}], r"Linear\.out_dim: expected an int; got True"),
    ("model.layers", [{"Linear": 0}], r"model\.layers\[0\]\.Linear \(Linear\): .* must be an int from 1; got 0"),
    (
        "model.layers",
        [{"Linear": {"out_dimm": 3}}],
        r"Linear\.out_dimm: Linear has no option 'out_dimm'\. Did you mean",
    ),
    (
        "model.layers",
        [{"Linear": {"in_features": 3, "out_dim": 2}}],
        r"in_features: .*the width of an input is inferred",
    ),
    ("model.layers", [{"ReLU": 3}], r"model\.layers\[0\]\.ReLU: ReLU has no options; got 3"),
    ("model.layers", [{"Dropout": {"p": "a"}}], r"Dropout\.p: expected a number; got the text 'a'"),
    ("model.layers", [{"Softmax": {"axis": 1.5}}], r"Softmax\.axis: expected an int"),
    ("model.x", 1, r"model\.x: beside 'layers' nothing else stands in a list of layers"),
    ("model.layers", [{"op": "rellu"}], r"model\.layers\[0\]\.op: no op 'rellu' is installed\. Did you mean 'relu'"),
    ("model.layers", [{"op": 3}], r"model\.layers\[0\]\.op: expected the name of a registered op; got 3"),
    ("model.layers", [{"op": "softmax", "axs": 1}], r"axs: op softmax has no attribute 'axs'\. Did you mean 'axis'\?"),
    (
        "model.layers",
        [{"Linear": {"out_dim": 3, "weight_init": "he"}}],
        r"weight_init\.initializer: no initializer 'he'\.",
    ),
    (
        "model.layers",
        [{"Linear": {"out_dim": 3, "weight_init": {"initializer": "ones", "std": 1}}}],
        r"weight_init\.std: initializer ones has no options",
    ),
    # loss, optimizer, schedule
    (
        "loss.name",
        "cross_entropi",
        r"loss\.name: no loss 'cross_entropi' is installed\. Did you mean 'CrossEntropyLoss'",
    ),
    ("loss.redction", "sum", r"loss\.redction: CrossEntropyLoss has no option 'redction'\. Did you mean 'reduction'\?"),
    ("loss.reduction", "summ", r"loss \(CrossEntropyLoss\): .* expected one of 'mean', 'sum', 'none'; got 'summ'"),
    ("optimizer.name", "sophia", r"optimizer\.name: no optimizer 'sophia' is installed\. There are .*AdamW"),
    ("optimizer.lr", "fast", r"optimizer\.lr: expected a number; got the text 'fast'"),
    ("optimizer.lr", -1, r"optimizer \(SGD\): SGD: lr must be a finite number, 0 or above; got -1"),
    ("optimizer.momentun", 0.9, r"optimizer\.momentun: SGD has no option 'momentun'\. Did you mean 'momentum'\?"),
    ("optimizer.params", [1], r"optimizer\.params: SGD has no option 'params'"),
    ("schedule", {"name": "step"}, r"schedule: StepLR needs 'step_size'"),
    ("schedule", {"name": "StepLR", "step_size": "2"}, r"schedule\.step_size: expected an int; got the text '2'"),
    (
        "schedule",
        {"name": "StepLR", "step_size": 0},
        r"schedule \(StepLR\): StepLR: step_size must be a whole number from 1",
    ),
    ("schedule", {"name": "StepLR", "optimizer": 1}, r"schedule\.optimizer: StepLR has no option 'optimizer'"),
    (
        "schedule",
        {"name": "ChainedScheduler", "schedulers": ["stepp"]},
        r"schedule\.schedulers\[0\]: no schedule 'stepp'",
    ),
    ("schedule", {"name": "MultiStepLR", "milestones": 3}, r"schedule\.milestones: expected a list; got 3"),
    # data
    ("data", {"batch_size": 3}, r"data: expected name = the name of a registered dataset, and its options"),
    ("data.name", "digts", r"data\.name: no dataset 'digts' is installed\. Did you mean 'digits'"),
    ("data.bach_size", 3, r"data\.bach_size: there is no 'bach_size' in \[data\]\. Did you mean 'batch_size'\?"),
    ("data.labell", 3, r"data\.labell: read_csv has no option 'labell'\. Did you mean 'label'\?"),
    ("data.batch_size", "4", r"data\.batch_size: expected an int; got the text '4'"),
    ("data.batch_size", 0, r"data: batch_size must be an int from 1, and prefetch from 0"),
    ("data.header", "yes", r"data\.header: expected true or false or null; got the text 'yes'"),
    ("data.validation", 2, r"data\.validation: expected a fraction from 0 to 1, or a data set; got 2"),
    ("data.scale", "unit", r"data\.scale: expected one of 'standardize', 'normalize'; got 'unit'"),
    ("data.dataset", "iris", r"data\.label: beside 'dataset' its options stand in its own table"),
    # train
    ("train.epoch", 1, r"train\.epoch: there is no 'epoch' in \[train\]\. Did you mean 'epochs'\?"),
    ("train.epochs", 0, r"train\.epochs: expected an int from 1; got 0"),
    ("train.epochs", 1.5, r"train\.epochs: expected an int; got 1\.5"),
    ("train.device", "numpi", r"train\.device: .*numpi"),
    ("train.dtype", "float33", r"train\.dtype: no dtype 'float33'.* Did you mean 'float32'"),
    ("train.dtype", "int32", r"train\.dtype: expected a floating-point dtype, such as 'float32'; got 'int32'"),
    ("train.metrics", ["acuracy"], r"train\.metrics\[0\]: no metric 'acuracy'\. Did you mean 'accuracy'"),
    ("train.metrics", "accuracy", r"train\.metrics: expected a list; got the text 'accuracy'"),
    ("train.early_stopping", {"patienc": 1}, r"train\.early_stopping\.patienc: EarlyStopping has no option 'patienc'"),
    ("train.checkpoint", {"best": "b"}, r"train\.checkpoint: Checkpoint needs 'path'"),
    ("train.resume", True, r"train\.resume: there is nothing to resume from: say checkpoint = \"run\.ckpt\", too"),
    ("train.log", "x.txt", r"train\.log: expected a file that ends in \.csv or \.jsonl; got 'x\.txt'"),
    ("train.clip", -1, r"train: Trainer\(clip=\): expected a norm above 0"),
    ("train.schedule_per", "week", r"train: Trainer\(schedule_per='week'\): expected 'step' or 'epoch'"),
    ("train.accumulate", 0, r"train\.accumulate: expected an int from 1; got 0"),
    ("train.seed", 2**128, r"train\.seed: expected an int from 0 to 2\*\*128 - 1; got \d+"),
    ("train.checkpoint", "", r"train\.checkpoint: expected a file; got the text ''"),
    ("train.checkpoint", ".", r"train\.checkpoint: expected a file; got the folder '\.'"),
    ("model.layers", [{"op": "add"}], r"layers\[0\]\.op: op add takes x1 and x2; a part of a model takes one array"),
    ("model.layers", [{"op": "reshape"}], r"layers\[0\]: op reshape needs 'shape'"),
    (
        "model.layers",
        [{"Linear": {"out_dim": 2, "bias_init": 0}}],
        r"bias_init: expected the name of an initializer; got 0",
    ),
    ("loss.weight", ["a"], r"loss\.weight \(tensor\): cannot make a tensor"),
    ("loss.weight", 2.0, r"loss\.weight: expected null; got 2\.0"),
    ("optimizer", {"lr": 1}, r"optimizer: expected an optimizer: "),
]


@pytest.mark.parametrize(("place", "value", "told"), WRONG, ids=lambda v: str(v)[:40])
def test_what_is_wrong_is_told_with_its_place(config: dict[str, Any], place: str, value: Any, told: str | None) -> None:
    before = copy.deepcopy(config)
    told = told or r"loss\.x\.y: 'x' is no table|loss\.x: CrossEntropyLoss has no option 'x'"
    with pytest.raises(ConfigError, match=rf"^the configuration: \S*({told})"):
        nn.from_config(config, {place: value})
    assert config == before


def test_what_only_the_data_can_tell(config: dict[str, Any], tmp_path: Path) -> None:
    import numpy as np

    def refused(told: str, **data: Any) -> None:
        run = nn.from_config({**config, "data": data})
        with pytest.raises(ConfigError, match=f"^the configuration: {told}"):
            run.fit()

    np.savez(tmp_path / "a.npz", a=np.ones((3, 2)), b=np.ones(3))
    path = str(tmp_path / "a.npz")
    refused(r"data \(read_csv\): .*No such file", name="read_csv", path=str(tmp_path / "none.csv"))
    refused(r"data: read_npz holds 'a', 'b'; say which are what by inputs", name="read_npz", path=path)
    refused(r"data: read_npz .* it has no 'c'", name="read_npz", path=path, inputs="a", target="c")
    (tmp_path / "t.csv").write_text("x,y\n1,2\n3,4\n")
    table = str(tmp_path / "t.csv")
    refused(r"data: inputs and target pick arrays by name; read_csv gave", name="read_csv", path=table, target="y")
    nn.data.write_idx(jt.ones((3, 2)), tmp_path / "x.idx")
    idx = str(tmp_path / "x.idx")
    refused(r"data \(read_idx\): it gave a Tensor; expected a data set of \(input, target\)", name="read_idx", path=idx)
    refused(r"data: DataLoader\(\): the data set is empty", name="read_csv", path=table, label="y", validation=1e-9)
    refused(r"data\.scale: the examples are not \(input, target\)", name="read_csv", path=table, scale="normalize")


@pytest.mark.parametrize("section", ["loss", "optimizer", "data"])
def test_a_section_that_fit_needs(config: dict[str, Any], section: str) -> None:
    del config[section]
    run = nn.from_config(config)
    with pytest.raises(ConfigError, match=rf"there is no section \[{section}\], which this needs"):
        run.fit()


def test_sections_that_need_each_other(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"there is no section \[model\]"):
        nn.from_config({"loss": "MSELoss"})
    with pytest.raises(ConfigError, match=r"schedule: a schedule needs an \[optimizer\]"):
        nn.from_config({"model": "ReLU", "schedule": {"name": "StepLR", "step_size": 1}})
    del config["train"]
    with pytest.raises(ConfigError, match=r"train\.epochs is missing: say how many, or fit\(epochs=\.\.\.\)"):
        nn.from_config(config).fit()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.toml", "[model\n", r"a\.toml is no TOML: .*line 1"),
        ("a.json", "{", r"a\.json is no JSON: .*line 1"),
        ("b.json", "[]", r"b\.json: expected an object of sections; got a list"),
        ("a.yaml", "", r"a\.yaml: expected a file that ends in \.toml or \.json"),
        ("a.toml", "[modl]\n", r"a\.toml: there is no section \[modl\]; .* Did you mean 'model'\?"),
        ("a.toml", '[model]\nlayers = ["Relo"]\n', r"a\.toml: model\.layers\[0\]: no layer 'Relo'"),
        ("a.toml", None, r"a\.toml cannot be read: No such file"),
        ("a.toml", b"\xff", r"a\.toml is no TOML: 'utf-8'"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, text: str | bytes | None, told: str) -> None:
    if text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=told):
        nn.from_config(tmp_path / name)


def test_nothing_in_a_file_is_evaluated_or_imported(config: dict[str, Any]) -> None:
    for name in ("os.system", "jitrench_nn.layers.Linear", "__import__('os')", "builtins.eval"):
        with pytest.raises(ConfigError, match="no layer"):
            nn.from_config({"model": {"layers": [name]}})
        with pytest.raises(ConfigError, match="no loss"):
            nn.from_config(config, {"loss.name": name})


# -- back -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("part", "made"), [p for p in PARTS if "std" not in str(p)], ids=lambda v: str(v)[:40])
def test_a_layer_comes_back_from_its_configuration(part: Any, made: str) -> None:
    model = nn.from_config({"model": {"layers": [part]}}).model
    said = json.loads(json.dumps(nn.to_config(model)))
    assert repr(nn.from_config({"model": said}).model) == repr(model)


def test_models_optimizers_losses_and_schedules_come_back(config: dict[str, Any]) -> None:
    model = nn.Sequential({"a": nn.Linear(3, bias=False), "b": nn.Sequential(jt.relu, nn.Dropout(0.25)), "c": jt.tanh})
    said = nn.to_config(model)
    assert said == {
        "layers": {
            "a": {"Linear": {"out_dim": 3, "bias": False}},
            "b": {"layers": [{"op": "relu"}, {"Dropout": {"p": 0.25}}]},
            "c": {"op": "tanh"},
        }
    }
    assert repr(nn.from_config({"model": said}).model) == repr(model)
    p = jt.ones((2, 2))
    p.requires_grad = True
    optimizer = optim.AdamW([p], lr=0.5, betas=(0.5, 0.75))
    assert nn.to_config(optimizer) == {"name": "AdamW", "lr": 0.5, "betas": [0.5, 0.75]}
    assert nn.to_config(optim.StepLR(optimizer, 3, gamma=0.5)) == {"name": "StepLR", "step_size": 3, "gamma": 0.5}
    loss = nn.to_config(nn.CrossEntropyLoss(label_smoothing=0.5))
    made = nn.from_config(config | {"optimizer": nn.to_config(optimizer), "loss": loss})
    assert repr(made.optimizer([p])) == repr(optim.AdamW([p], lr=0.5, betas=(0.5, 0.75)))
    assert made.loss.label_smoothing == 0.5


def test_what_no_file_can_hold() -> None:
    class Mine(jt.Layer):
        pass

    p = jt.ones((2, 2))
    p.requires_grad = True
    optimizer = optim.SGD([{"params": [p]}, {"params": [jt.tensor([1.0], requires_grad=True)]}])
    refused = {
        "Mine is not registered as a layer, loss, schedule, so no file can name it": Mine(),
        "Linear has weight_init = .*, which no file can hold": nn.Linear(
            3, weight_init=lambda generator, shape, dtype: 3
        ),
        "SGD has 2 groups of parameters; a file says one": optimizer,
        "TransformerEncoder keeps no attribute 'layer'": nn.TransformerEncoder(nn.TransformerEncoderLayer(2), 2),
    }
    for told, value in refused.items():
        with pytest.raises(ConfigError, match=told):
            nn.to_config(value)


def test_weights_of_classes_are_a_list_in_a_file(config: dict[str, Any], backend: str) -> None:
    config["loss"]["weight"] = [1, 3]
    run = nn.from_config(config, {"train.device": backend, "train.dtype": "float32"})
    assert (run.loss.weight.tolist(), str(run.loss.weight.dtype), run.loss.weight.device) == (
        [1.0, 3.0],
        "float32",
        backend,
    )
    assert len(run.fit()) == 2
    said = nn.to_config(run.loss)
    assert said == {"CrossEntropyLoss": {"weight": [1.0, 3.0]}}
    assert nn.from_config(config | {"loss": said}).loss.weight.tolist() == [1.0, 3.0]


def test_a_place_is_a_text(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"a place is a text, such as 'optimizer\.lr'; got 3"):
        nn.from_config(config, {3: 4})


def test_a_file_as_editors_of_windows_write_it(tmp_path: Path) -> None:
    file = tmp_path / "RUN.TOML"
    file.write_bytes("\ufeff[model]\r\nlayers = ['ReLU']\r\n".encode())
    assert nn.read_config(file) == {"model": {"layers": ["ReLU"]}}


# -- the command ----------------------------------------------------------------------------------------------------------


def test_the_command(config: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = importlib.import_module("jitrench_nn.__main__").main
    file, weights = tmp_path / "run.json", tmp_path / "w.npz"
    file.write_text(json.dumps(config))
    assert main(["check", str(file)]) == 0
    assert capsys.readouterr().out == f"{file} can be run\n"
    assert (
        main(["train", str(file), "--set", "optimizer.name=adam_w", "--set", "train.epochs=1", "--save", str(weights)])
        == 0
    )
    assert capsys.readouterr().out.startswith("epoch 1, step 5, loss ")
    assert weights.exists()
    for change, told in (
        ("optimizer.lr", "expected SECTION.KEY=VALUE"),
        ("optimizer.lr='a'", "optimizer.lr: expected a number"),
        ("train.epochs=2\nseed=3", "expected one value"),
    ):
        assert main(["check", str(file), "--set", change]) == 1
        assert told in capsys.readouterr().err


def test_the_command_looks_for_the_folder_before_it_trains(
    config: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = importlib.import_module("jitrench_nn.__main__").main
    file = tmp_path / "run.json"
    file.write_text(json.dumps(config))
    assert main(["train", str(file), "--save", str(tmp_path / "nowhere" / "w.npz")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "the folder" in captured.err
    assert "does not exist; create it first" in captured.err


def test_the_command_ends_at_ctrl_c_without_a_traceback(
    config: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import signal

    command = importlib.import_module("jitrench_nn.__main__")
    file = tmp_path / "run.json"
    file.write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    step = optim.SGD.step
    monkeypatch.setattr(optim.SGD, "step", lambda self: (os.kill(os.getpid(), signal.SIGINT), step(self))[1])
    assert command.main(["train", str(file)]) == 130
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "training was interrupted in epoch 1, after step 1. Its state is saved in" in captured.err


SIGNATURES = """
from dataclasses import dataclass
from typing import Any
import jitrench_core as jt
from jitrench_core import Layer, hookimpl

class Widths(Layer):
    def __init__(self, first, /, *widths: int, inner=None, table: "dict[str, int] | None" = None, **more: float):
        self.told = first, widths, inner, table, more

    def forward(self, x):
        return self.inner(x)

class Around(Layer):
    def __init__(self, inner: Layer, times: int | float = 2):
        self.inner, self.times = inner, times

    def forward(self, x):
        return self.times * self.inner(x)

@dataclass(eq=False)
class Field(Layer):
    power: tuple[int, int] = (1, 2)
    kind: str = "a"

class Broken(Layer):
    def __init__(self, n: int):
        raise ValueError("no luck")

@hookimpl
def register_layers(register):
    for cls in (Widths, Around, Field, Broken):
        register(cls)

class Absolute:
    def __init__(self, weight: float = 1.0):
        self.weight = weight

    def __call__(self, prediction, target):
        return self.weight * jt.mean(jt.abs(prediction - target))

class Deaf:
    def __call__(self, prediction):
        return prediction

def lonely(prediction):
    return prediction

class Still:
    def step(self):
        pass

@hookimpl
def register_schedules(register):
    register(Still)

class Ramp:
    def __init__(self, n: int = 3):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return jt.tensor([float(i)]), jt.tensor([2.0 * i])

def pairs(n: int):
    return [(jt.tensor([float(i)]), jt.tensor([1.0])) for i in range(n)]

@hookimpl
def register_losses(register):
    register(Absolute)
    register(Deaf)
    register(lonely)

@hookimpl
def register_datasets(register):
    register(Ramp)
    register(pairs, name="two-by-two")
"""


def test_signatures_of_every_kind(tmp_path: Path) -> None:
    """Parameters by position alone, any number of them, any keyword; classes in place of functions; errors of a plugin."""
    site = Site(tmp_path)
    site.names += ["nn", "optim"]
    site.add("signatures", SIGNATURES)
    code = """
        import jitrench_nn as nn
        def layer(part):
            try:
                return nn.from_config({"model": part}).model
            except nn.ConfigError as e:
                return str(e).removeprefix("the configuration: ")
        print(layer({"Widths": {"first": 1, "widths": [2, 3], "inner": {"layer": "ReLU"}, "table": {"a": 1}, "b": 2.5}}).told)
        print(layer({"Widths": [1]}).told, layer({"Widths": {"first": 1, "widths": [2, "x"]}}))
        print(layer({"Widths": {"first": 1, "widths": 2}}))
        print(layer({"Around": {"inner": {"Around": "Identity"}, "times": 3}})(2.0), layer({"Around": ["Tanh", "Identity"]})(0.0))
        print(layer({"Around": {"inner": "Identity", "times": "3"}}))
        print(layer({"Field": {"power": [3, 4]}}).power, layer({"Field": {"power": 3}}))
        print(layer({"Broken": 3}))
        for data in ({"name": "Ramp", "n": 6}, {"name": "two_by_two", "n": 6, "validation": 0.5}):
            run = nn.from_config({
                "model": {"Linear": 1}, "loss": {"name": "absolute", "weight": 2}, "optimizer": "SGD", "data": data,
                "train": {"epochs": 1, "progress": False},
            })
            print(len(run.fit()), run.loss.weight, len(run.loaders[0].dataset))
        def section(**sections):
            try:
                nn.from_config({"model": {"Linear": 1}, **sections})
            except nn.ConfigError as e:
                print(str(e).removeprefix("the configuration: "))
        section(loss="Deaf")
        section(loss={"name": "lonely"})
        section(optimizer="SGD", schedule="Still")
    """
    assert site.run(code).splitlines() == [
        "(1, (2, 3), ReLU(), {'a': 1}, {'b': 2.5})",
        "([1], (), None, None, {}) model.Widths.widths[1]: expected an int; got the text 'x'",
        "model.Widths.widths: expected a list; got 2",
        "12.0 Tensor(0.)",
        "model.Around.times: expected an int or a number; got the text '3'",
        "(3, 4) model.Field.power: expected a list; got 3",
        "model.Broken (Broken): no luck",
        "1 2 6",
        "1 2 3",
        "loss: Deaf cannot be called with prediction and target",
        "loss: lonely cannot be called with prediction and target",
        "schedule: Still cannot be made of an optimizer: it has no parameter for one",
    ]
