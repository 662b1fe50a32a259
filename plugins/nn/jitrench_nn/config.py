"""Configuration files: a model, its data and its training, said by names of the catalogues and their options.

A file is TOML or JSON. Names are those that any installed plugin registers, as ``jitrench docs`` lists them; nothing in a file is
evaluated, and nothing is imported by it. All is checked before anything runs.

>>> import jitrench_nn as nn
>>> run = nn.from_config({
...     "model": {"layers": [{"Linear": {"out_dim": 16}}, "ReLU", {"Linear": 3}]},
...     "loss": {"name": "cross_entropy"},
...     "optimizer": {"name": "AdamW", "lr": 0.01},
...     "data": {"name": "iris", "batch_size": 30, "validation": 0.2, "scale": "standardize"},
...     "train": {"epochs": 20, "metrics": ["accuracy"], "progress": False},
... })
>>> history = run.fit()
>>> history[-1]["val_accuracy"] > 0.8
True
"""

from __future__ import annotations

import inspect
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, final

import jitrench_core as jt
from jitrench_core import JITrenchError, NotFoundError, registry
from jitrench_core.dtypes import dtype as as_dtype
from jitrench_core.errors import suggest
from jitrench_core.layer import LayerError
from jitrench_core.optimizer import OptimizerError
from jitrench_core.transforms import tree as trees

from . import initializers, metrics
from .containers import Sequential
from .data import ArrayDataset, DataError, DataLoader, random_split, transforms
from .training import Checkpoint, CSVLogger, EarlyStopping, History, JSONLLogger, Trainer

PathLike = str | os.PathLike[str]


class ConfigError(JITrenchError, ValueError):
    """A configuration that cannot be run; the message names the file, the place in it, and what is possible there."""


class Thing(NamedTuple):
    """What is to be made: a class or function of a catalogue and its options, which may be things, too."""

    name: str
    make: Callable[..., Any]
    options: dict[str, Any]
    at: str
    called: bool = True  # else it is what is wanted itself, with its options

    def build(self, source: str, **given: Any) -> Any:
        """Make it; ``given`` are arguments that do not stand in the file, for this and for the things in it."""
        options = {key: _built(value, source, given) for key, value in self.options.items()}
        if not self.called:
            return partial(self.make, **options) if options else self.make
        try:
            bound = inspect.signature(self.make)
            options |= {key: value for key, value in given.items() if key in bound.parameters}
            arguments = inspect.BoundArguments(bound, {})
            extra = next((p.name for p in bound.parameters.values() if p.kind is p.VAR_KEYWORD), "")
            for key in [*bound.parameters, *options]:
                if key in options and key in bound.parameters:
                    arguments.arguments[key] = options[key]
                elif key in options:
                    arguments.arguments.setdefault(extra, {})[key] = options[key]
            return self.make(*arguments.args, **arguments.kwargs)
        except (JITrenchError, TypeError, ValueError, OSError) as e:
            raise ConfigError(f"{source}: {self.at} ({self.name}): {e}") from e


def _built(value: Any, source: str, given: Mapping[str, Any]) -> Any:
    if isinstance(value, Thing):
        return value.build(source, **given)
    if isinstance(value, (list, tuple)):
        return type(value)(_built(v, source, given) for v in value)
    return {key: _built(v, source, given) for key, v in value.items()} if isinstance(value, dict) else value


# -- what a section takes -------------------------------------------------------------------------------------------

SECTIONS = ("model", "loss", "optimizer", "schedule", "data", "train")
# Beside the name and the options of the data set, and what each is.
DATA = {
    "dataset": "Any",
    "batch_size": "int",
    "shuffle": "bool",
    "drop_last": "bool",
    "prefetch": "int",
    "validation": "Any",
    "scale": "str",
    "inputs": "str | list",
    "target": "str | dict",
}
SCALES = {"standardize": transforms.standardize, "normalize": transforms.normalize}
TRAIN = {
    "epochs": "int",
    "seed": "int",
    "device": "str",
    "dtype": "str",
    "clip": "float",
    "accumulate": "int",
    "schedule_per": "str",
    "schedule_monitor": "str",
    "metrics": "list",
    "checkpoint": "str | dict",
    "resume": "bool",
    "early_stopping": "dict",
    "log": "str",
    "progress": "bool | str",
    "detect_nan": "bool",
}
INITIALIZERS = (
    "constant", "dirac", "eye", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform", "normal", "ones", "orthogonal",
    "truncated_normal", "uniform", "xavier_normal", "xavier_uniform", "zeros",
)  # fmt: skip
# What an annotation lets a file say, and how an error calls it.
_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "bool": (lambda v: isinstance(v, bool), "true or false"),
    "int": (lambda v: isinstance(v, int) and not isinstance(v, bool), "an int"),
    "float": (lambda v: isinstance(v, (int, float)) and not isinstance(v, bool), "a number"),
    "str": (lambda v: isinstance(v, str), "a text"),
    "None": (lambda v: v is None, "null"),
    "list": (lambda v: isinstance(v, (list, tuple)), "a list"),
    "dict": (lambda v: isinstance(v, dict), "a table"),
}
_SAME = {"tuple": "list", "Sequence": "list", "Iterable": "list", "Mapping": "dict", "PathLike": "str", "Path": "str"}
# No file holds one of these, so they are no reason to let anything pass.
_NEVER_IN_FILES = {"Tensor", "Callable", "Layer", "Optimizer", "Schedule", "Generator", "DType", "Device"}


@final
class _Reader:
    """Turns a configuration into things, or into the error that says what is wrong where."""

    def __init__(self, source: str) -> None:
        self.source = source

    def error(self, at: str, what: str) -> ConfigError:
        return ConfigError(f"{self.source}: {at}: {what}" if at else f"{self.source}: {what}")

    def table(self, value: Any, at: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.error(at, f"expected a table, [{at}]; got {_told(value)}")
        return value

    # -- layers ------------------------------------------------------------------------------------------------------

    def layer(self, value: Any, at: str) -> Thing:
        """A part of a model: a name, a table of a name and options, a list of parts, or an op."""
        if isinstance(value, list) or (isinstance(value, dict) and set(value) == {"Sequential"}):
            inside = value if isinstance(value, list) else value["Sequential"]
            value, at = (inside if isinstance(inside, dict) else {"layers": inside}), at
        if isinstance(value, dict) and value.get("name") == "Sequential":
            value = {key: v for key, v in value.items() if key != "name"}
        if isinstance(value, dict) and "op" in value:
            return self.op(value, at, part=True)
        if isinstance(value, dict) and "layers" in value and not isinstance(value.get("name"), str):
            if more := sorted(value.keys() - {"layers"}):
                raise self.error(f"{at}.{more[0]}", "beside 'layers' nothing else stands in a list of layers")
            return self.sequence(value["layers"], f"{at}.layers")
        return self.thing(registry.layers, value, at)

    def sequence(self, parts: Any, at: str) -> Thing:
        if not isinstance(parts, (list, dict)) or not parts:
            raise self.error(at, f"expected a list of layers, or a table of layers by name; got {_told(parts)}")
        if isinstance(parts, dict):
            named = {key: self.layer(part, f"{at}.{key}") for key, part in parts.items()}
            return Thing("Sequential", Sequential, {"parts": [named]}, at)
        return Thing(
            "Sequential", Sequential, {"parts": [self.layer(p, f"{at}[{i}]") for i, p in enumerate(parts)]}, at
        )

    def op(self, value: dict[str, Any], at: str, *, part: bool = False) -> Thing:
        """A function of the catalogue of ops: ``{op = "relu"}``; ``part`` of a model, it takes one array."""
        options = {key: v for key, v in value.items() if key != "op"}
        function = self.found(registry.ops, value["op"], f"{at}.op")
        for key in options:
            if key not in function.op.attrs:
                told = suggest(key, function.op.attrs) or f" It has {', '.join(function.op.attrs) or 'none'}"
                raise self.error(f"{at}.{key}", f"op {function.op.name} has no attribute {key!r}.{told}")
        needed = [p.name for p in _parameters(function) if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
        arrays = [name for name in needed if name in function.op.inputs]
        if part and (len(arrays) > 1 or not function.op.inputs):
            told = f"takes {' and '.join(arrays)}" if arrays else "takes no array"
            raise self.error(f"{at}.op", f"op {function.op.name} {told}; a part of a model takes one array")
        if missing := [name for name in needed if name in function.op.attrs and name not in options]:
            raise self.error(at, f"op {function.op.name} needs {', '.join(map(repr, missing))}")
        return Thing(function.op.name, function, options, at, called=False)

    def initializer(self, value: dict[str, Any], at: str) -> Thing:
        """``{initializer = "normal", std = 0.02}``."""
        name, options = value["initializer"], {key: v for key, v in value.items() if key != "initializer"}
        if name not in INITIALIZERS:
            told = suggest(str(name), INITIALIZERS) or f" There are {', '.join(INITIALIZERS)}."
            raise self.error(f"{at}.initializer", f"no initializer {name!r}.{told}")
        function = getattr(initializers, name)
        if options and _is_initializer(function):
            raise self.error(f"{at}.{min(options)}", f"initializer {name} has no options")
        if not _is_initializer(function):  # it makes one
            return Thing(name, function, self.options(name, function, options, at), at)
        return Thing(name, function, {}, at, called=False)

    # -- anything of a catalogue --------------------------------------------------------------------------------------

    def found(self, catalogue: registry.Catalogue, name: Any, at: str) -> Any:
        if not isinstance(name, str):
            raise self.error(at, f"expected the name of a registered {catalogue.kind}; got {_told(name)}")
        try:
            return catalogue[name]
        except NotFoundError as e:
            raise self.error(at, str(e)) from None

    def thing(self, catalogue: registry.Catalogue, value: Any, at: str) -> Thing:
        """One entry of a catalogue with its options."""
        name, options, inside = self.split(catalogue, value, at)
        item = self.found(catalogue, name, inside if inside != at else f"{at}.name" if isinstance(value, dict) else at)
        given = _given(catalogue, item)
        if catalogue is registry.schedules and not given:
            raise self.error(inside, f"{name} cannot be made of an optimizer: it has no parameter for one")
        if catalogue is registry.losses and not _takes_two(item):
            raise self.error(inside, f"{name} cannot be called with prediction and target")
        if not isinstance(options, dict):
            first = next((p.name for p in _parameters(item) if p.name not in (*given, "name")), None)
            if first is None:
                raise self.error(inside, f"{name} has no options; got {_told(options)}")
            options = {first: options}
        key = catalogue.key(name)
        called = isinstance(item, type) or catalogue is not registry.losses
        return Thing(key, item, self.options(key, item, options, inside, given), inside, called)

    def split(self, catalogue: registry.Catalogue, value: Any, at: str) -> tuple[str, Any, str]:
        """Name, options, and where those stand."""
        if isinstance(value, str):
            return value, {}, at
        if isinstance(value, dict) and isinstance(value.get("name"), str):
            return value["name"], {key: v for key, v in value.items() if key != "name"}, at
        if isinstance(value, dict) and len(value) == 1 and "name" not in value:
            ((name, options),) = value.items()
            alone = at in ("loss", "optimizer", "schedule")  # where `weight = 2` is an option without a name
            if isinstance(options, dict) or not alone:
                return name, options, f"{at}.{name}"
        article = "an" if catalogue.kind[0] in "aeiou" else "a"
        raise self.error(
            at,
            f'expected {article} {catalogue.kind}: "Name", {{ Name = {{ option = value }} }}, or a table with name = "Name" and its '
            f"options; got {_told(value)}",
        )

    def options(self, name: str, item: Any, given: dict[str, Any], at: str, mine: Sequence[str] = ()) -> dict[str, Any]:
        """The options of a call, held against its signature; the parameters ``mine`` are not the file's to say."""
        every = _parameters(item)
        known = {
            p.name: p for p in every if p.name not in mine and p.kind is not p.VAR_KEYWORD and _annotation(p) != "Never"
        }
        open_ = any(p.kind is p.VAR_KEYWORD and _annotation(p) != "Never" for p in every)
        checked = {}
        for key, value in given.items():
            where = f"{at}.{key}"
            if key in known:
                if isinstance(value, str) and key.endswith("_init"):
                    value = {"initializer": value}
                elif (
                    key.endswith("_init")
                    and _annotation(known[key]) == "Any"
                    and not isinstance(value, (dict, type(None)))
                ):
                    raise self.error(where, f"expected the name of an initializer; got {_told(value)}")
                checked[key] = self.value(value, _annotation(known[key]), where, known[key].kind)
            elif every and not open_:
                told = suggest(key, known) or (f" It has {', '.join(known)}." if known else " It has none.")
                raise self.error(where, _refused(item, key, value) or f"{name} has no option {key!r}.{told}")
            else:
                checked[key] = self.value(value, "Any", where)
        missing = [
            p.name
            for p in known.values()
            if p.default is p.empty and p.name not in given and p.kind is not p.VAR_POSITIONAL
        ]
        if missing:
            raise self.error(at, f"{name} needs {', '.join(map(repr, missing))}")
        return checked

    def value(self, value: Any, annotation: str, at: str, kind: Any = None) -> Any:
        """One option: plain, or a thing where its annotation or its own table says so."""
        words = set(_alternatives(annotation))
        if kind is inspect.Parameter.VAR_POSITIONAL:
            if not isinstance(value, list):
                raise self.error(at, f"expected a list; got {_told(value)}")
            return tuple(self.value(v, annotation, f"{at}[{i}]") for i, v in enumerate(value))
        if isinstance(value, dict) and "initializer" in value:
            return self.initializer(value, at)
        if isinstance(value, dict) and "op" in value:
            return self.op(value, at)
        if isinstance(value, dict) and set(value) == {"layer"}:
            return self.layer(value["layer"], f"{at}.layer")
        if words & {"Layer", "Module"} and isinstance(value, (str, dict, list)):
            return self.layer(value, at)
        if "Schedule" in annotation and isinstance(value, list):
            return [self.thing(registry.schedules, v, f"{at}[{i}]") for i, v in enumerate(value)]
        if isinstance(value, list) and "Tensor" in words <= {"Tensor", "None"}:
            return Thing("tensor", _tensor, {"data": value}, at)
        self.check(value, annotation, at)
        if isinstance(value, list):
            inner = [self.value(v, "Any", f"{at}[{i}]") for i, v in enumerate(value)]
            return (
                tuple(inner)
                if annotation not in ("", "Any") and not words & {"list", "Sequence", "Iterable"}
                else inner
            )
        return value

    def check(self, value: Any, annotation: str, at: str) -> None:
        """Refuse a value that is none of those that the annotation names, where a file can hold all of them."""
        words = [_SAME.get(word, word) for word in _alternatives(annotation) if word not in _NEVER_IN_FILES]
        if words and all(word in _KINDS for word in words) and not any(_KINDS[word][0](value) for word in words):
            expected = " or ".join(dict.fromkeys(_KINDS[word][1] for word in words))
            raise self.error(at, f"expected {expected}; got {_told(value)}")

    # -- data and training --------------------------------------------------------------------------------------------

    def own(self, given: dict[str, Any], kinds: Mapping[str, str], at: str) -> None:
        for key, value in given.items():
            if key not in kinds:
                told = suggest(key, kinds) or f" There are {', '.join(kinds)}."
                raise self.error(f"{at}.{key}", f"there is no {key!r} in [{at}].{told}")
            self.check(value, kinds[key], f"{at}.{key}")

    def data(self, value: Any) -> tuple[Thing, dict[str, Any]]:
        """The data set, and what is done with it."""
        given = self.table(value, "data")
        own = {key: v for key, v in given.items() if key in DATA}
        rest = {key: v for key, v in given.items() if key not in DATA}
        self.own(own, DATA, "data")
        if "dataset" in own:
            if rest:
                raise self.error(f"data.{min(rest)}", "beside 'dataset' its options stand in its own table")
            dataset = self.thing(registry.datasets, own["dataset"], "data.dataset")
        elif "name" not in rest:
            raise self.error("data", "expected name = the name of a registered dataset, and its options")
        else:
            name = rest["name"]
            item = self.found(registry.datasets, name, "data.name")
            for key in rest.keys() - {"name", *(p.name for p in _parameters(item))}:
                if suggest(key, DATA) and not any(p.kind is p.VAR_KEYWORD for p in _parameters(item)):
                    raise self.error(f"data.{key}", f"there is no {key!r} in [data].{suggest(key, DATA)}")
            dataset = self.thing(registry.datasets, rest, "data")
        part = own.get("validation", 0)
        if isinstance(part, (str, dict)):
            own["validation"] = self.thing(registry.datasets, part, "data.validation")
        elif isinstance(part, bool) or not isinstance(part, (int, float)) or not 0 <= part < 1:
            raise self.error("data.validation", f"expected a fraction from 0 to 1, or a data set; got {_told(part)}")
        if isinstance(own.get("target"), dict):
            own["target"] = self.thing(registry.datasets, own["target"], "data.target")
        if own.get("scale", "normalize") not in SCALES:
            raise self.error("data.scale", f"expected one of {', '.join(map(repr, SCALES))}; got {own['scale']!r}")
        if own.get("batch_size", 1) < 1 or own.get("prefetch", 0) < 0:
            raise self.error("data", "batch_size must be an int from 1, and prefetch from 0")
        return dataset, own

    def own_thing(self, cls: type, value: dict[str, Any], at: str) -> Thing:
        return Thing(cls.__name__, cls, self.options(cls.__name__, cls, value, at), at)

    def train(self, value: Any) -> dict[str, Any]:
        """The trainer's options, as objects where they are."""
        given = dict(self.table(value, "train"))
        self.own(given, TRAIN, "train")
        for key, least, end in (("epochs", 1, math.inf), ("seed", 0, 2**128), ("accumulate", 1, math.inf)):
            if not least <= given.get(key, least) < end:
                told = f"from {least}" + (" to 2**128 - 1" if end == 2**128 else "")
                raise self.error(f"train.{key}", f"expected an int {told}; got {given[key]}")
        for key, check in (("device", jt.device), ("dtype", as_dtype)):
            if key in given:
                try:
                    given[key] = check(given[key])
                except (JITrenchError, TypeError, ValueError) as e:
                    raise self.error(f"train.{key}", str(e)) from None
        if "dtype" in given and given["dtype"].kind != "f":
            raise self.error(
                "train.dtype", f"expected a floating-point dtype, such as 'float32'; got '{given['dtype']}'"
            )
        for i, name in enumerate(given.get("metrics", ())):
            if name not in metrics.__all__ or name in ("Metric", "MetricError"):
                known = [n for n in metrics.__all__ if n.islower()]
                raise self.error(f"train.metrics[{i}]", f"no metric {name!r}.{suggest(str(name), known)}")
        given["metrics"] = [getattr(metrics, name) for name in given.get("metrics", ())]
        callbacks = []
        if (stopping := given.pop("early_stopping", None)) is not None:
            callbacks.append(self.own_thing(EarlyStopping, stopping, "train.early_stopping"))
        given["callbacks"] = callbacks
        if given.get("resume") and "checkpoint" not in given:
            raise self.error("train.resume", 'there is nothing to resume from: say checkpoint = "run.ckpt", too')
        if isinstance(path := given.get("checkpoint"), str) and (not path or Path(path).is_dir()):
            raise self.error(
                "train.checkpoint", f"expected a file; got {f'the folder {path!r}' if path else _told(path)}"
            )
        if isinstance(given.get("checkpoint"), dict):
            given["checkpoint"] = self.own_thing(Checkpoint, given["checkpoint"], "train.checkpoint")
        if "log" in given:
            loggers = {".csv": CSVLogger, ".jsonl": JSONLLogger}
            if Path(given["log"]).suffix not in loggers:
                raise self.error("train.log", f"expected a file that ends in .csv or .jsonl; got {given['log']!r}")
            given["loggers"] = [loggers[Path(given["log"]).suffix](given.pop("log"))]
        return given


# -- a run ----------------------------------------------------------------------------------------------------------


@final
class Run:
    """What a configuration says, made: ``model``, ``loss``, ``trainer``, ``loaders``, and ``fit``, which trains.

    ``config`` is the configuration, a dict. ``optimizer`` is a function of parameters, ``schedule`` one of the optimizer (None: the
    file has none). Data sets are read and loaders made when they are first asked for. With ``train.seed``, 0 if there is none, one
    file gives the same numbers each time.
    """

    def __init__(self, config: Mapping[str, Any], source: str = "the configuration") -> None:
        self.config: dict[str, Any] = deepcopy(dict(config))
        self.source = source
        read = _Reader(source)
        for name in self.config:
            if name not in SECTIONS:
                told = suggest(str(name), SECTIONS)
                raise read.error("", f"there is no section [{name}]; there are {', '.join(SECTIONS)}.{told}")
        found = {name: self.config[name] for name in SECTIONS if name in self.config}
        if "model" not in found:
            raise read.error("", "there is no section [model]")
        model = read.layer(self._named(read, "model"), "model")
        self._loss = read.thing(registry.losses, self._named(read, "loss"), "loss") if "loss" in found else None
        self._optimizer, self._schedule = (
            read.thing(catalogue, self._named(read, name), name) if name in found else None
            for name, catalogue in (("optimizer", registry.optimizers), ("schedule", registry.schedules))
        )
        if self._schedule is not None and self._optimizer is None:
            raise read.error("schedule", "a schedule needs an [optimizer]")
        self._data = read.data(found["data"]) if "data" in found else None
        self._train = read.train(found.get("train", {}))
        self._seed: int = self._train.pop("seed", 0)
        self._dtype = self._train.pop("dtype", None)
        self._generator = jt.random.Generator(self._seed, device=self._train.get("device"))
        self.model: Any = model.build(source)
        if self._dtype is not None:
            for part in [self.model] if isinstance(self.model, jt.Layer) else []:
                part.to(dtype=self._dtype)
        places = {"run_device": self._train.get("device"), "run_dtype": self._dtype}
        self.loss: Any = None if self._loss is None else self._loss.build(source, **places)
        self._try()
        if self._loss is not None and self._optimizer is not None:
            _ = self.trainer  # which refuses what does not fit together

    def _named(self, read: _Reader, section: str) -> Any:
        value = self.config[section]
        return value if isinstance(value, str) else read.table(value, section)

    def _try(self) -> None:
        """Make optimizer and schedule of a matrix, so that options out of their range are refused before data are read."""
        if self._optimizer is None:
            return
        matrix = jt.zeros((2, 2), device=self._train.get("device"))
        matrix.requires_grad = True
        try:
            optimizer = self.optimizer([matrix])
            if self.schedule is not None:
                self.schedule(optimizer)
        except ConfigError as e:
            if isinstance(e.__cause__, OptimizerError):
                raise

    def __repr__(self) -> str:
        return f"Run({self.source!r}, {', '.join(self.config)})"

    # -- the parts ----------------------------------------------------------------------------------------------------

    def optimizer(self, params: Any) -> Any:
        """The optimizer of these parameters. Raises ``ConfigError`` where the file has none."""
        thing = self._need("optimizer", self._optimizer)
        return thing.build(self.source, **dict.fromkeys(_given(registry.optimizers, thing.make), params))

    @property
    def schedule(self) -> Callable[[Any], Any] | None:
        """The function that makes the schedule of an optimizer."""
        thing = self._schedule
        if thing is None:
            return None
        (given,) = _given(registry.schedules, thing.make)
        return lambda optimizer: thing.build(self.source, **{given: optimizer, "optimizer": optimizer})

    @cached_property
    def loaders(self) -> tuple[DataLoader, DataLoader | None]:
        """The loaders of the training data and of those that it is measured on, or None."""
        try:
            return self._loaders(*self._need("data", self._data))
        except DataError as e:
            raise ConfigError(f"{self.source}: data: {e}") from e

    def _loaders(self, thing: Thing, own: dict[str, Any]) -> tuple[DataLoader, DataLoader | None]:
        whole = self._dataset(thing, own)
        part = own.get("validation", 0)
        held: Any = None
        if isinstance(part, Thing):
            held = self._dataset(part, own)
        elif part:
            whole, held = random_split(whole, [1 - part, part], seed=self._seed)
        change = self._change(whole, own.get("scale"))
        options = {"transform": change, "prefetch": own.get("prefetch", 0), "device": self._train.get("device")}
        size = own.get("batch_size", 32)
        train = DataLoader(
            whole, size, own.get("shuffle", True), seed=self._seed, drop_last=own.get("drop_last", False), **options
        )
        return train, None if held is None else DataLoader(held, max(size, 256), seed=self._seed, **options)

    def _dataset(self, thing: Thing, own: Mapping[str, Any]) -> Any:
        """The data set of inputs and targets, made of what a reader returns."""
        found, target = thing.build(self.source), own.get("target")
        if isinstance(target, Thing):
            return ArrayDataset(found, target.build(self.source))
        if isinstance(found, Mapping):
            inputs = own.get("inputs", [])
            names = [inputs] if isinstance(inputs, str) else list(inputs)
            missing = [n for n in (*names, target) if n not in found]
            if not names or missing:
                raise ConfigError(
                    f"{self.source}: data: {thing.name} holds {', '.join(map(repr, found))}; say which are what by "
                    f"inputs = [...] and target = ...{f'; it has no {missing[0]!r}' if names and target else ''}"
                )
            return ArrayDataset(*(found[n] for n in (*names, target)))
        if target is not None or "inputs" in own:
            raise ConfigError(
                f"{self.source}: data: inputs and target pick arrays by name; {thing.name} gave {_told(found)}, which has no names"
            )
        if isinstance(found, tuple):
            return ArrayDataset(*found)
        if hasattr(found, "__array__") or not (hasattr(found, "__len__") and hasattr(found, "__getitem__")):
            raise ConfigError(
                f"{self.source}: {thing.at} ({thing.name}): it gave {_told(found)}; expected a data set of (input, target), a tuple "
                f"of arrays, or arrays by name; the targets of one array are target = {{ name = ... }}"
            )
        return found

    def _change(self, whole: Any, scale: str | None) -> Callable[[Any], Any] | None:
        """What is done to each batch: inputs are scaled, and floating-point numbers get the run's dtype."""
        steps: list[Callable[[Any], Any]] = []
        if scale is not None:
            every = next(iter(DataLoader(whole, len(whole))))
            if not isinstance(every, (tuple, list)) or type(every[0]) is not jt.Tensor:
                raise ConfigError(f"{self.source}: data.scale: the examples are not (input, target) of numbers")
            steps.append(transforms.apply_to(0, SCALES[scale](every[0])))
        if self._dtype is not None:
            steps.append(partial(_cast, dtype=self._dtype))
        return transforms.Compose(*steps) if steps else None

    @cached_property
    def trainer(self) -> Trainer:
        """The ``Trainer``. Raises ``ConfigError`` where the file lacks a loss or an optimizer."""
        self._need("loss", self._loss)
        self._need("optimizer", self._optimizer)
        options = {key: v for key, v in self._train.items() if key not in ("epochs", "resume")}
        options = _built(options, self.source, {})
        try:
            return Trainer(self.model, self.loss, self.optimizer, schedule=self.schedule, seed=self._seed, **options)
        except JITrenchError as e:
            raise ConfigError(f"{self.source}: train: {e}") from e

    def fit(self, *, epochs: int | None = None) -> History:
        """Train, for ``train.epochs`` epochs or those given here; a second call trains on. Returns the history.

        Raises ``ConfigError`` for a section that is missing, and what ``Trainer.fit`` raises.
        """
        epochs = self._train.get("epochs") if epochs is None else epochs
        if epochs is None:
            raise ConfigError(f"{self.source}: train.epochs is missing: say how many, or fit(epochs=...)")
        trainer = self.trainer
        with jt.random.using(self._generator):
            train, validation = self.loaders
            return trainer.fit(train, epochs=epochs, validation=validation, resume=self._train.get("resume", False))

    def evaluate(self) -> dict[str, Any]:
        """The loss and the metrics on the validation data, or, where there are none, on the training data."""
        train, validation = self.loaders
        with jt.random.using(self._generator):
            return self.trainer.evaluate(train if validation is None else validation)

    def _need(self, section: str, found: Any) -> Any:
        if found is None:
            raise ConfigError(f"{self.source}: there is no section [{section}], which this needs")
        return found


def from_config(config: PathLike | Mapping[str, Any], changes: Mapping[str, Any] | None = None) -> Run:
    """The run that a configuration describes: a ``.toml`` or ``.json`` file, or a dict of its sections.

    ``changes`` replaces single values by their place, ``{"optimizer.lr": 0.1}``. Paths in a file are those of the working directory.

    Raises ``ConfigError`` for a file that cannot be read, and for what does not fit, with the place and what is possible there.

    >>> import jitrench_nn as nn
    >>> run = nn.from_config({"model": {"layers": [{"Linear": 8}, "Tanh"]}}, {"model.layers": ["Flatten", {"Linear": 2}]})
    >>> run.model(jt.zeros((5, 3, 4))).shape
    (5, 2)
    """
    if isinstance(config, Mapping):
        found, source = deepcopy(dict(config)), "the configuration"
    else:
        found, source = read_config(config), str(config)
    for place, value in (changes or {}).items():
        if not isinstance(place, str):
            raise ConfigError(f"{source}: a place is a text, such as 'optimizer.lr'; got {_told(place)}")
        *sections, last = place.split(".")
        inside = found
        for section in sections:
            inside = inside.setdefault(section, {})
            if not isinstance(inside, dict):
                raise ConfigError(f"{source}: {place}: {section!r} is no table, so nothing in it can be changed")
        inside[last] = value
    return Run(found, source)


def read_config(path: PathLike) -> dict[str, Any]:
    """The sections of a ``.toml`` or ``.json`` file. Raises ``ConfigError`` for one that cannot be read."""
    import tomllib  # a third of the time to import this module

    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".toml", ".json"):
        raise ConfigError(f"{path}: expected a file that ends in .toml or .json")
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors of Windows begin a file with a mark
        found = tomllib.loads(text) if kind == ".toml" else json.loads(text)
    except OSError as e:
        raise ConfigError(f"{path} cannot be read: {e.strerror or e}") from e
    except ValueError as e:  # also UnicodeDecodeError
        raise ConfigError(f"{path} is no {kind[1:].upper()}: {e}") from e
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: expected an object of sections; got {_told(found)}")
    return found


# -- back to a configuration ----------------------------------------------------------------------------------------


def to_config(x: Any) -> dict[str, Any]:
    """The configuration that makes such a layer, optimizer, loss or schedule again, or the one of a ``Run``: plain numbers and texts.

    Options that have their default are left out. Weights are no part of it: ``nn.save`` keeps those.

    Raises ``ConfigError`` for what is not registered, and for an option that is not kept under its name or that no file can hold.

    >>> import jitrench_nn as nn
    >>> nn.to_config(nn.Sequential(nn.Linear(8, bias=False), jt.relu, nn.Dropout(0.1)))
    {'layers': [{'Linear': {'out_dim': 8, 'bias': False}}, {'op': 'relu'}, {'Dropout': {'p': 0.1}}]}
    """
    if isinstance(x, Run):
        return deepcopy(x.config)
    if isinstance(x, jt.Optimizer):
        return _optimizer(x)
    if isinstance(x, Sequential):
        parts = dict(zip(x._parts, x, strict=True))
        if all(key.isdecimal() for key in parts):
            return {"layers": [to_config(part) for part in parts.values()]}
        return {"layers": {key: to_config(part) for key, part in parts.items()}}
    if _is_op(x):
        return {"op": x.op.name}
    name = _registered(x, registry.layers, registry.losses, registry.schedules)
    options = {p.name: _kept(x, p, name) for p in _parameters(type(x)) if p.name != "optimizer" and _is_said(p)}
    options = {key: value for key, value in options.items() if value is not _DEFAULT}
    return {"name": name, **options} if not isinstance(x, jt.Layer) else {name: options}


def _optimizer(x: jt.Optimizer) -> dict[str, Any]:
    name = _registered(x, registry.optimizers)
    if len(x.groups) > 1:
        raise ConfigError(f"to_config(): {name} has {len(x.groups)} groups of parameters; a file says one")
    group = x.groups[0]
    defaults = {p.name: p.default for p in _parameters(type(x))}
    options = {key: v for key, v in group.options.items() if key in defaults and v != defaults[key]}
    return {"name": name, "lr": group.lr.item(), **{key: _plain(v, name, key) for key, v in options.items()}}


_DEFAULT = object()


def _kept(x: Any, p: inspect.Parameter, name: str) -> Any:
    held = vars(x).get(f"with_{p.name}", vars(x).get(p.name, _DEFAULT))
    if p.name == "name" and held is _DEFAULT:
        return _DEFAULT
    if held is _DEFAULT:
        raise ConfigError(f"to_config(): {name} keeps no attribute {p.name!r}, by which its option could be read")
    same = held is p.default or (
        type(held) is type(p.default) and isinstance(held, (int, float, str, tuple)) and held == p.default
    )
    return _DEFAULT if same else _plain(held, name, p.name)


def _plain(value: Any, name: str, option: str) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)):
        return [_plain(v, name, option) for v in value]
    if isinstance(value, Sequential) or (isinstance(value, jt.Layer) and not isinstance(value, type)):
        return {"layer": to_config(value)}
    if _is_op(value):
        return to_config(value)
    if type(value) is jt.Tensor:
        return value.tolist()
    if getattr(value, "__name__", None) in INITIALIZERS and getattr(initializers, value.__name__) is value:
        return {"initializer": value.__name__}
    raise ConfigError(f"to_config(): {name} has {option} = {value!r:.60}, which no file can hold")


def _registered(x: Any, *catalogues: Any) -> str:
    for catalogue in catalogues:
        for name in catalogue:
            if catalogue.entries[name] is type(x):
                return str(name)
    kinds = ", ".join(c.kind for c in catalogues)
    raise ConfigError(f"to_config(): {type(x).__name__} is not registered as a {kinds}, so no file can name it")


# -- inside ---------------------------------------------------------------------------------------------------------


def _given(catalogue: registry.Catalogue, item: Any) -> list[str]:
    """The parameters that are not a file's to say: those that the training brings."""
    names = [p.name for p in _parameters(item)]
    if catalogue is registry.optimizers:
        return names[:1]
    if catalogue is registry.schedules:  # a schedule of schedules takes the optimizer second
        return ["optimizer"] if "optimizer" in names else names[:1]
    return names[:2] if catalogue is registry.losses and not isinstance(item, type) else []


def _takes_two(loss: Any) -> bool:
    """Whether a loss can be called with prediction and target, as far as its signature tells; layers say it themselves."""
    called = loss.__call__ if isinstance(loss, type) else loss
    if isinstance(loss, type) and issubclass(loss, jt.Layer):
        return True
    try:
        inspect.signature(called).bind(*[None] * (3 if isinstance(loss, type) else 2))
    except TypeError as e:
        return "too many" not in str(e)
    except ValueError:  # some built-ins have none
        return True
    return True


def _tensor(data: list[Any], run_device: Any = None, run_dtype: Any = None) -> jt.Tensor:
    """A list of a file, where a Tensor is wanted, such as the weights of classes."""
    return jt.tensor(data, run_dtype or "float64", run_device)


def _parameters(item: Any) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(item).parameters.values())
    except (TypeError, ValueError):  # some built-ins have none
        return []


def _refused(item: Any, option: str, value: Any) -> str:
    """What a layer itself says of an option that it does not have: many know what was meant."""
    try:
        item.__new__(item, **{option: value})
    except LayerError as e:
        return str(e)
    except Exception:  # its own affair: the signature has said enough
        return ""
    return ""


def _is_said(p: inspect.Parameter) -> bool:
    return p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) or _annotation(p) != "Never"


def _annotation(p: inspect.Parameter) -> str:
    if p.annotation is p.empty:
        return "Any"
    text = p.annotation if isinstance(p.annotation, str) else inspect.formatannotation(p.annotation)
    return text.replace("typing.", "")


def _alternatives(annotation: str) -> Iterable[str]:
    """``int | tuple[int, ...] | None`` as int, tuple, None: the outermost words, without modules and what is in brackets."""
    outer, depth = "", 0
    for c in annotation:
        depth += (c == "[") - (c == "]")
        outer += c if depth == 0 and c != "]" else ""
    return [word.strip().rpartition(".")[2] for word in outer.split("|")]


def _is_initializer(function: Any) -> bool:
    """Whether it is ``f(generator, shape, dtype)`` itself, and not a function that makes one."""
    return [p.name for p in _parameters(function)][:2] == ["generator", "shape"]


def _is_op(x: Any) -> bool:
    return not isinstance(x, jt.Layer) and type(getattr(x, "op", None)).__name__ == "Op"


def _cast(batch: Any, dtype: Any) -> Any:
    leaves, rebuild = trees.flatten(batch)
    cast = [x.astype(dtype) if type(x) is jt.Tensor and x.dtype.kind == "f" else x for x in leaves]
    return rebuild(cast)


def _told(value: Any) -> str:
    kinds = {dict: "a table", list: "a list", str: "the text", type(None): "null"}
    word = kinds.get(type(value), "")
    if isinstance(value, (dict, list)) or value is None:
        return f"{word} {value!r:.60}" if value else word
    if isinstance(value, (bool, int, float, str)):
        return f"{word} {value!r:.60}".strip()
    return f"a {type(value).__name__}"
