"""``Trainer``: the loop over batches, and what belongs around it. Everything it calls is public.

What makes a training exact is kept together: ``Trainer.state_dict`` is all that changes while it runs, and it is taken only
between two updates. A step that did not come to its end (Ctrl-C in the model, a NaN) is taken back first.
"""

from __future__ import annotations

import inspect
import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Never, final

import jitrench_core as jt
from jitrench_core.transforms.tree import flatten, names

from ..arguments import named
from ..checkpoints import load_checkpoint, save_checkpoint
from ..models import apply, init
from . import callbacks as calls
from . import culprit
from . import progress as progress_module
from .callbacks import Checkpoint, EarlyStopping, hooks, value_of
from .errors import NonFiniteError, TrainingError, whole
from .history import History, Row
from .interrupts import CtrlC
from .means import Mean, Metrics, fetched, number, taken

INTERRUPTED = Path("interrupted.ckpt")


class Trainer:
    """Trains ``model`` by ``optimizer`` on ``loss(output, target)``.

    ``model`` is a ``Module``, or a plain function that calls layers, whose parameters are ``params``; without ``params``
    they are made at the first batch, from ``seed``, and are then ``trainer.params``. ``optimizer`` is an Optimizer over them, or a function that makes one
    of them: ``optimizer=optim.Adam``, ``optimizer=lambda params: optim.Adam(params, lr=1e-3)``. ``schedule`` and ``average``
    (of weights, with ``update()`` after each step) are objects, too, or functions of the optimizer and of the parameters.

    A batch is ``(input, target)``, or ``(input, input, ..., target)``. For any other, ``step=f`` gives ``f(trainer, batch)``, which
    returns the loss, or a dict with ``"loss"``, with ``"output"`` and ``"target"`` for the metrics, and with more numbers to
    be logged; in it, ``trainer(x)`` runs the model.

    - ``metrics``: a dict, or a list, of objects with ``update(output, target)``, ``compute()`` and ``reset()``, or of functions.
    - ``schedule_per`` is ``"epoch"`` or ``"step"``; one whose ``step`` takes a number gets ``schedule_monitor`` of the epoch.
    - ``clip``: the largest norm of all gradients together, or a function of the list of parameters, which clips in place.
    - ``accumulate=n`` updates after n batches, by the mean of their gradients, where a smaller batch counts like any other; the
      last of an epoch may be fewer.
    - ``seed``, an int or a Generator: of new parameters, dropout in a functional model, and the order of arrays. A Module draws
      from the default generator, ``jt.random.seed(0)``, as it does without a trainer.
    - ``device``: where batches are moved; None leaves them where they are.
    - ``callbacks`` and ``loggers`` (the same, called last); ``checkpoint``, a path or a ``Checkpoint``.
    - ``progress``: True for a bar (tqdm), ``"lines"``, or False.
    - ``detect_nan`` ends the training before an update by a loss or gradients that are not finite, and names the culprit. None (the
      default): yes, but where looking at a number waits for the device, as on a GPU, it looks at the mean loss of each epoch alone.

    Raises ``TrainingError`` for what does not fit together.
    """

    @named("Trainer()")
    def __init__(
        self,
        model: Callable[..., Any],
        loss: Callable[..., Any] | None = None,
        optimizer: Any = None,
        *,
        params: Any = None,
        metrics: Any = None,
        schedule: Any = None,
        schedule_per: str = "epoch",
        schedule_monitor: str = "val_loss",
        clip: float | Callable[[list[jt.Tensor]], Any] | None = None,
        accumulate: int = 1,
        average: Any = None,
        step: Callable[..., Any] | None = None,
        seed: int | jt.random.Generator = 0,
        device: Any = None,
        callbacks: Any = (),
        loggers: Any = (),
        checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
        progress: bool | str = True,
        detect_nan: bool | None = None,
    ) -> None:
        _check_model(model)
        if (loss is None) == (step is None):
            raise TrainingError(
                "Trainer needs a loss, such as nn.cross_entropy, or a step= function; "
                + ("got neither" if loss is None else "got both")
            )
        if isinstance(loss, type):
            raise TrainingError(f"Trainer(loss=): {loss.__name__} is a class; make an object, {loss.__name__}()")
        if loss is not None and not callable(loss):
            raise TrainingError(f"Trainer(loss=): expected a function of output and target; got {loss!r:.60}")
        if optimizer is None or not (callable(optimizer) or _is_optimizer(optimizer)):
            raise TrainingError(
                f"Trainer(optimizer=): expected an Optimizer, or a function of the parameters that makes one, such as "
                f"optim.Adam; got {optimizer!r:.60}"
            )
        if schedule_per not in ("step", "epoch"):
            raise TrainingError(f"Trainer(schedule_per={schedule_per!r}): expected 'step' or 'epoch'")
        _check_class("optimizer", optimizer, "params")
        _check_class("schedule", schedule, "optimizer")
        _check_class("average", average, "params")
        if not callable(clip) and clip is not None and not _is_norm(clip):
            raise TrainingError(f"Trainer(clip=): expected a norm above 0, or a function; got {clip!r:.60}")
        if progress not in (True, False, "lines"):
            raise TrainingError(f"Trainer(progress={progress!r:.60}): expected True for a bar, 'lines', or False")
        if params is not None and isinstance(params, jt.Tensor):
            raise TrainingError("Trainer(params=): expected the tree that nn.init returns, got a Tensor")
        self.model = model
        self.loss = loss
        self.params: Any = params
        self.metrics = Metrics(metrics)
        self.accumulate: int = whole("Trainer", "accumulate", accumulate)
        self.clip = clip
        self.checkpoint = Checkpoint(checkpoint) if isinstance(checkpoint, (str, os.PathLike)) else checkpoint
        self.callbacks = calls.check(callbacks) + calls.check(loggers)
        self.progress = progress
        self.detect_nan = detect_nan
        self.device = None if device is None else jt.device(device)
        self.history = History()
        self.history.trainer = self
        self.epoch = 0  # done
        self.step = 0  # updates done
        self.batch = 0  # batches done of the epoch that runs
        self.stopped: str | None = None
        self.training = False
        self.schedule_per = schedule_per
        self.schedule_monitor = schedule_monitor
        # Whether it is a Module, which holds its parameters, or runs by nn.apply.
        self.is_module = isinstance(model, jt.Layer) and params is None
        self.generator = seed if isinstance(seed, jt.random.Generator) else None
        self._seed: int = seed.bits(1)[0].item() if isinstance(seed, jt.random.Generator) else seed
        self._step = step
        self._given = {"optimizer": optimizer, "schedule": schedule, "average": average}
        self.optimizer: Any = None
        self.schedule: Any = None
        self.average: Any = None
        self._parameters: list[jt.Tensor] = []
        self._buffers: list[jt.Tensor] = []
        self._loss = Mean()
        self._extra: dict[str, Mean] = {}
        self._first = 0
        self._loader: Any = None
        self._validation: Any = None
        self._ctrl_c = CtrlC()
        self._seen: list[tuple[dict[str, Any], int]] = []  # what is known of the batches since the last update
        self._moment: Moment | None = None  # before the update that runs
        self._updating = False
        self._running = False  # an epoch has begun, and its row is not yet in the history
        self._exhausted = False  # all batches of the epoch are done; its validation is not
        self._shown = progress_module.Silent()

    # -- what a user calls --------------------------------------------------------------------------------------------

    @named("fit()")
    def fit(
        self,
        data: Any,
        *,
        epochs: int,
        validation: Any = None,
        resume: bool | str | os.PathLike[str] = False,
        batch_size: int | None = 32,
        shuffle: bool = True,
    ) -> History:
        """Train for ``epochs`` passes over ``data``, a loader, a data set or a tuple of arrays, and measure on ``validation`` after each.

        A loader is anything that gives batches each time it is iterated. Of arrays, and of a data set, which is a ``Dataset``, or an object
        with ``__len__`` and ``__getitem__`` but no ``__iter__``, one is made, with ``batch_size`` and ``shuffle``. A list holds examples, or
        else batches: one item alone is a batch; where the first of several holds a number, they are examples; items of different shapes are
        batches; and where it could be both, ``DataLoader(items, batch_size=None)`` holds batches. ``batch_size=None`` says so of the lists
        and the data sets given here.

        A second call trains on, with the same history. ``resume=True`` goes on from the checkpoint's file, where there is one, at the very
        batch: the weights become those of a training that was never interrupted, and ``epochs`` counts from where that began.
        ``resume`` may also be a file.

        Ctrl-C ends after the step that runs, saves everything and says where; twice, it ends at once. A training that ends by
        an error keeps the parameters of its last update. A Module is left in evaluation mode.

        Raises ``TrainingError`` for bad arguments, an empty loader, and a checkpoint that does not fit; ``NonFiniteError`` as said at
        ``detect_nan``; ``KeyboardInterrupt`` after Ctrl-C, with the file's name.
        """
        epochs = whole("fit", "epochs", epochs)
        file = self.checkpoint.path if resume is True and self.checkpoint is not None else resume
        if file is True:
            raise TrainingError(
                "fit(resume=True) needs a file: Trainer(checkpoint='run.ckpt'), or fit(resume='run.ckpt')"
            )
        for path in (self.checkpoint.path, self.checkpoint.best) if self.checkpoint is not None else ():
            if path is not None and not path.parent.is_dir():
                raise TrainingError(f"Checkpoint: the folder {str(path.parent)!r} does not exist; create it first")
        batched = batch_size is None
        loader = self._loader = self._as_loader(data, 32 if batched else batch_size, shuffle, batched)
        self._validation = None if validation is None else self._as_loader(validation, 256, False, batched)
        self._prepare(loader)
        self.optimizer.zero_grad()
        self._first, self.batch, self.stopped = self.epoch, 0, None
        self._seen.clear()
        self._running = self._exhausted = self._updating = self._told_nan = False
        self._reset_means()
        if file and (resume is not True or Path(file).exists()):
            self.load(file)
        self._check_monitors()
        last = self._first + epochs
        shown = self._shown = progress_module.make(self.progress)
        with self._ctrl_c:
            try:
                self._call("on_fit_start")
                shown.start(last, self.epoch, self.batch, _length(loader))
                while self.epoch < last and not self._over():
                    self._train_epoch(loader, shown)
                    self._end_epoch(shown)
                shown.end(self.history, self.stopped)
                self._call("on_fit_end")
                self._check_parameters()
            except KeyboardInterrupt:
                self._save_interrupted()
            finally:
                shown.close()
                self._shown = progress_module.Silent()
                self._set_training(False)
                self._call("close", defer=False)
            if self._ctrl_c.pressed:  # after the last epoch
                self._save_interrupted()
        return self.history

    def evaluate(self, data: Any, *, batch_size: int | None = 256) -> dict[str, Any]:
        """The loss and the metrics on ``data``, which is what ``fit`` takes: ``{"loss": 0.3, "accuracy": 0.9}``.

        No gradient is taken, and dropout and the like are off.
        """
        batched = batch_size is None
        loader = self._as_loader(data, 256 if batched else batch_size, False, batched, "evaluate")
        if self.training and self.batch and loader is self._loader and hasattr(loader, "state_dict"):
            raise TrainingError(
                "evaluate(): this loader is in the middle of the training's epoch, and would lose its place: make another one"
            )
        self._prepare(loader)
        return self._evaluate(loader)

    def predict(self, data: Any, *, batch_size: int = 256) -> Any:
        """The model's outputs for inputs: an array, a tuple of arrays where the model takes several, or a data set or a loader of inputs.

        A list holds batches, as ``[inputs]``. Raises ``TrainingError`` where there are targets, too.
        """
        from ..data import DataLoader

        batch_size = whole("predict", "batch_size", batch_size)
        if _is_dataset(data):
            data = DataLoader(data, batch_size, device=self.device)
        if isinstance(data, (dict, str, bytes)) or not (hasattr(data, "shape") or hasattr(data, "__iter__")):
            raise TrainingError(
                f"predict(): expected an array, a tuple of arrays, or a loader of inputs, such as [inputs]; got a {type(data).__name__}"
            )
        inputs = data if isinstance(data, tuple) else (data,)
        if all(hasattr(x, "shape") for x in inputs):
            n = _lengths(inputs, "predict")
            self._check_inputs(inputs)
            batches: Iterable[Any] = (tuple(x[i : i + batch_size] for x in inputs) for i in range(0, n, batch_size))
            self._prepare_for(self._moved(tuple(x[:1] for x in inputs)))
        else:
            batches = data
            self._prepare(data, inputs_only=True)
        outputs = []
        was = self.training
        self._set_training(False)
        try:
            with jt.no_grad():
                for batch in batches:
                    batch = self._moved(batch)
                    if not outputs:
                        self._check_inputs(batch)
                    outputs.append(self(*batch) if isinstance(batch, (tuple, list)) else self(batch))
        finally:
            self._set_training(was)
        if not outputs:
            raise TrainingError("predict(): there are no inputs")
        leaves = [flatten(y)[0] for y in outputs]
        return flatten(outputs[0])[1]([jt.concat(parts) for parts in zip(*leaves, strict=True)])

    def __call__(self, *inputs: Any) -> Any:
        """The model's output, in training or not as the trainer is now; for ``step=`` functions."""
        if self.is_module:
            return self.model(*inputs)
        if self.training:
            return apply(self.model, self.params, *inputs, train=True, rng=self.generator)
        return apply(self.model, self.params, *inputs)

    def stop(self, reason: str = "stopped by a callback") -> None:
        """End the training after the step, or the epoch, that runs; for callbacks."""
        self.stopped = str(reason)

    def tell(self, text: str) -> None:
        """Show a line with the progress; nothing with ``progress=False``. For callbacks."""
        self._shown.tell(text)

    def running_loss(self) -> float:
        """The mean of the loss over this epoch so far."""
        return self._loss.compute()

    def weights(self) -> dict[str, jt.Tensor]:
        """A copy of the model's Tensors, also of those that are not trained, by name."""
        return {name: _copy(x) for name, x in self._named().items()}

    def load_weights(self, weights: dict[str, jt.Tensor]) -> None:
        """Write ``weights`` into the model; raises ``TrainingError`` that names every key that does not fit."""
        self._check_weights(weights)
        with jt.no_grad():
            for name, x in self._named().items():
                jt.assign(x, _copy(weights[name], x.device))

    def _check_weights(self, weights: dict[str, jt.Tensor]) -> None:
        mine = self._named()
        told = [f"missing: {', '.join(map(repr, gone))}"] if (gone := [k for k in mine if k not in weights]) else []
        told += [f"unexpected: {', '.join(map(repr, new))}"] if (new := [k for k in weights if k not in mine]) else []
        other = [
            f"{k!r} ({weights[k].dtype} {weights[k].shape}, expected {x.dtype} {x.shape})"
            for k, x in mine.items()
            if k in weights and (weights[k].shape, weights[k].dtype) != (x.shape, x.dtype)
        ]
        told += [f"of another shape or dtype: {', '.join(other)}"] if other else []
        if told:
            raise TrainingError(f"these weights are of another model; {'; '.join(told)}. Nothing was loaded.")

    # -- state --------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that changes while training: model, optimizer, schedule, average, loader, random state, metrics, history, callbacks."""
        self._need_parameters()
        return {
            "format": 1,
            "model": self.weights(),
            "optimizer": _state_of(self.optimizer),
            "schedule": _state_of(self.schedule),
            "average": _state_of(self.average),
            "loader": _state_of(self._loader),
            "validation": _state_of(self._validation),
            "random": {name: _copies(g.state()) for name, g in self._generators().items()},
            "metrics": self.metrics.state_dict(),
            "loss": self._loss.state_dict(),
            "extra": {name: mean.state_dict() for name, mean in self._extra.items()},
            "callbacks": {name: _state_of(c) for name, c in self._named_callbacks().items()},
            "history": [dict(row) for row in self.history.rows],
            "epoch": self.epoch,
            "step": self.step,
            "batch": self.batch,
            "running": self._running,
            "exhausted": self._exhausted,
            "first": self._first,
            "stopped": self.stopped,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state``, with a history of its own: one that was held before stays as it is.

        Raises ``TrainingError`` for a part that does not fit, by its name; nothing is changed then.
        """
        self._need_parameters()
        before = self.state_dict()
        if not isinstance(state, Mapping):
            raise TrainingError(f"this is no state of a Trainer, but a {type(state).__name__}")
        if missing := [name for name in before if name not in state and name != "running"]:
            raise TrainingError(f"this is no state of a Trainer: {', '.join(map(repr, missing))} is missing")
        _check_plain(state)
        loader = self._loader
        if loader is not None and (state["loader"] is None) == hasattr(loader, "load_state_dict"):
            kinds = [
                "a loader that knows its place, such as a DataLoader",
                "one that does not, such as a list of batches",
            ]
            raise TrainingError(
                f"the checkpoint was saved with {kinds[state['loader'] is None]}, and this is {kinds[state['loader'] is not None]}: "
                f"give fit() the data as it was"
            )
        self._check_weights(state["model"])
        for name, part in (("optimizer", self.optimizer), ("schedule", self.schedule), ("average", self.average)):
            if (state[name] is None) != (_state_of(part) is None):
                raise TrainingError(
                    f"the checkpoint was saved {'without' if state[name] is None else 'with'} {name}=; the trainer is made "
                    f"{'with' if state[name] is None else 'without'} one: make it as it was"
                )
        loads = self._loads()
        # What a state does not tell, such as that an epoch of the loader has begun.
        restored = [x for x in (loader, self._validation, *self._named_callbacks().values()) if hasattr(x, "__dict__")]
        held = [dict(vars(x)) for x in restored]
        done: list[str] = []
        try:
            for name, load in loads.items():
                done.append(name)
                load(state[name])
        except BaseException as e:
            try:
                for name in done:
                    loads[name](before[name])
            finally:
                for x, attributes in zip(restored, held, strict=True):
                    vars(x).clear()
                    vars(x).update(attributes)
            if not isinstance(e, Exception):
                raise
            why = str(e).rstrip(".")
            raise TrainingError(f"the {name} of the checkpoint does not fit: {why}. Nothing was loaded.") from e
        self.history = History([dict(row) for row in state["history"]])
        self.history.trainer = self
        self.epoch, self.step, self.batch = state["epoch"], state["step"], state["batch"]
        self._first, self.stopped = state["first"], state["stopped"]
        self._exhausted, self._running = state["exhausted"], state.get("running", state["batch"] > 0)

    def _loads(self) -> dict[str, Callable[[Any], None]]:
        """What takes each part of a state. Callbacks come last: they alone remember that they were loaded."""

        def part(owner: Any) -> Callable[[Any], None]:
            def load(saved: Any) -> None:
                if saved is not None and hasattr(owner, "load_state_dict"):
                    owner.load_state_dict(saved)

            return load

        def random(saved: dict[str, Any]) -> None:
            for name, g in self._generators().items():
                g.load_state(_copies(saved[name]))

        def extra(saved: dict[str, Any]) -> None:
            self._extra = {name: Mean(**mean) for name, mean in saved.items()}

        def callbacks(saved: dict[str, Any]) -> None:
            for name, c in self._named_callbacks().items():
                if saved.get(name) is not None:
                    c.load_state_dict(saved[name])

        owners = {name: part(getattr(self, name)) for name in ("optimizer", "schedule", "average", "metrics")}
        loaders = {"validation": part(self._validation), "loader": part(self._loader)}
        means = {"loss": part(self._loss), "extra": extra, "random": random}
        return {"model": self.load_weights} | owners | means | loaders | {"callbacks": callbacks}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``state_dict`` to a file, which is whole or not there; Ctrl-C waits for it."""
        with self._ctrl_c.waiting():
            save_checkpoint(self.state_dict(), path)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Go on from a file of ``save``."""
        state = load_checkpoint(path, device=self._parameters[0].device if self._parameters else None)
        if not isinstance(state, dict) or "model" not in state or state.get("format") != 1:
            raise TrainingError(f"{path} is not a trainer's checkpoint: Trainer.save and checkpoint= write these")
        try:
            self.load_state_dict(state)
        except TrainingError as e:
            raise TrainingError(f"{path}: {e}") from e

    def _generators(self) -> dict[str, jt.random.Generator]:
        assert self.generator is not None
        return {"trainer": self.generator, "default": jt.random.default_generator()}

    def _named(self) -> dict[str, jt.Tensor]:
        """The model's Tensors by name; one that is shared has the first of its names."""
        tree = self.model.state() if self.is_module else self.params  # type: ignore[attr-defined]
        named: dict[str, jt.Tensor] = {}
        seen: set[int] = set()
        for name, x in zip(names(tree), flatten(tree)[0], strict=True):
            if id(x) not in seen:
                seen.add(id(x))
                named[name] = x
        return named

    def _named_callbacks(self) -> dict[str, Any]:
        """Callbacks by class and number, so that another one beside them changes nothing."""
        named: dict[str, Any] = {}
        for c in [*self.callbacks, *([self.checkpoint] if self.checkpoint is not None else [])]:
            kind, n = type(c).__name__, 1
            while f"{kind}_{n}" in named:
                n += 1
            named[f"{kind}_{n}"] = c
        return named

    # -- before the first step ------------------------------------------------------------------------------------------

    def _as_loader(self, data: Any, batch_size: Any, shuffle: bool, batched: bool, who: str = "fit") -> Any:
        """A loader of what a user gave; with ``batched``, a list or a data set holds batches."""
        from ..data import ArrayDataset, DataLoader

        dataset: Any = None
        several = isinstance(data, (tuple, list))
        if several and data and all(hasattr(x, "shape") for x in data):
            if len(data) < 2 and self._step is None:
                raise TrainingError("the data is one array; expected (input, target)")
            _lengths(tuple(data), who)
            dataset = ArrayDataset(*data)
        elif hasattr(data, "shape") or isinstance(data, (str, bytes, dict)):
            raise TrainingError(
                f"the data is a {type(data).__name__}; expected (input, target), a data set, or a loader of batches"
            )
        elif _is_dataset(data):
            dataset, batch_size = data, None if batched else batch_size
        elif several and not batched and _are_examples(data):
            dataset = list(data)
        if dataset is not None:
            return DataLoader(dataset, batch_size, shuffle=shuffle, seed=self._seed, device=self.device)
        if not hasattr(data, "__iter__"):
            raise TrainingError(
                f"the data must be a loader, a data set or a tuple of arrays, (x, y); got a {type(data).__name__}"
            )
        if isinstance(data, Iterator):
            raise TrainingError(
                "the data is an iterator, which ends after one pass: give what makes it, such as a list or a DataLoader"
            )
        return data

    def _prepare(self, loader: Any, inputs_only: bool = False) -> None:
        """Make parameters and optimizer of the first batch, and put everything back as it was."""
        if self.optimizer is not None:
            return
        if self.params is not None:
            self._build()
            return
        default = jt.random.default_generator()
        # One that somebody has begun already goes on to its next epoch, as it would without this look.
        state = _state_of(loader) if getattr(loader, "position", 0) == 0 else None
        before = _copies(default.state())
        batches = iter(loader)
        try:
            batch = self._moved(next(batches, None))
        finally:
            _close(batches)
        if state is not None:
            loader.load_state_dict(state)
        default.load_state(before)
        if batch is None:
            raise TrainingError("the loader is empty: it gave no batch")
        several = isinstance(batch, (tuple, list))
        if inputs_only:
            self._check_inputs(batch)
            self._prepare_for(tuple(batch) if several else (batch,))
        elif several and len(batch) > 1:
            self._prepare_for(tuple(batch[:-1]))
        elif self.is_module and flatten(self.model.state())[0]:  # type: ignore[attr-defined]
            self._build()
        else:
            raise TrainingError(
                f"a batch is a {type(batch).__name__}, not (input, target): call the model once, or give params=, so that its "
                f"parameters exist"
            )

    def _prepare_for(self, inputs: tuple[Any, ...]) -> None:
        """Make parameters for these inputs, where there are none, and the optimizer."""
        if self.optimizer is not None:
            return
        if self.is_module:
            self.model.eval()  # type: ignore[attr-defined]
            with jt.no_grad():
                self.model(*(jt.asarray(x) if hasattr(x, "shape") else x for x in inputs))
        elif self.params is None:
            leaves, rebuild = flatten(inputs)  # init takes arrays; a model may take them in containers
            self.params = init(lambda *xs: self.model(*rebuild(list(xs))), *leaves, seed=self._seed)
        self._build()

    def _build(self) -> None:
        """The optimizer and what follows from it."""
        named = self._named()
        self._buffers = [x for x in named.values() if not x.requires_grad]
        tree = self.model.state() if self.is_module else self.params  # type: ignore[attr-defined]
        optimizer = self._given["optimizer"]
        self.optimizer = optimizer if _is_optimizer(optimizer) else optimizer(tree)
        if not _is_optimizer(self.optimizer):
            kind = type(self.optimizer).__name__
            self.optimizer = None
            raise TrainingError(f"Trainer(optimizer=): the function returned a {kind}; expected an Optimizer")
        self._parameters = list(self.optimizer.parameters)
        mine = {id(x) for x in named.values()}
        strange = [p for p in self._parameters if id(p) not in mine]
        if strange and self._step is None:
            self.optimizer = None
            told = ", ".join(repr(p.name or f"one of shape {p.shape}") for p in strange[:5])
            raise TrainingError(
                f"the optimizer has {len(strange)} of {len(self._parameters)} parameters that are not the model's: {told}"
                f"{', ...' if len(strange) > 5 else ''}. Make it of the model's own (those of a function are given by params=), or pass "
                f"a function: optimizer=lambda params: optim.Adam(params)"
            )
        if self.generator is None:
            device = self._parameters[0].device if self._parameters else self.device
            self.generator = jt.random.Generator(self._seed, device=device)
        schedule, average = self._given["schedule"], self._given["average"]
        self.schedule = schedule(self.optimizer) if callable(schedule) and _is_plain(schedule) else schedule
        if self.schedule is not None and not hasattr(self.schedule, "step"):
            raise TrainingError(f"Trainer(schedule=): a {type(self.schedule).__name__} has no step()")
        self._measured = self.schedule is not None and _takes_a_number(self.schedule.step)
        if self._measured and self.schedule_per == "step":
            raise TrainingError(
                f"Trainer(schedule_per='step'): a {type(self.schedule).__name__} looks at a number of each epoch; use schedule_per='epoch'"
            )
        self.average = average(tree) if callable(average) and _is_plain(average) else average
        if self.average is not None and not hasattr(self.average, "update"):
            raise TrainingError(f"Trainer(average=): a {type(self.average).__name__} has no update()")

    def _check_inputs(self, batch: Any) -> None:
        """``TrainingError`` where predict() got more than the model takes, such as targets."""
        function = getattr(self.model, "forward", self.model) if isinstance(self.model, jt.Layer) else self.model
        inputs = batch if isinstance(batch, (tuple, list)) else (batch,)
        try:
            inspect.signature(function).bind(*inputs)
        except TypeError:
            raise TrainingError(
                f"predict() takes the inputs alone, without targets: predict(x), or a data set or loader of inputs. The model takes "
                f"{inspect.signature(function)}, and there are {len(inputs)}"
            ) from None
        except ValueError:  # some built-ins have no signature
            return

    def _check_monitors(self) -> None:
        """Refuse a monitor that no epoch will have, where that is known: a step= function and callbacks may add numbers."""
        owners = [type(getattr(f, "__self__", None)) for f in hooks(self.callbacks, "on_epoch_end")]
        if self._step is not None or not all(owner.__module__.startswith(f"{__package__}.") for owner in owners):
            return
        own = ["loss", *self.metrics.parts]
        held_out = [f"val_{name}" for name in own] if self._validation is not None else []
        rate = ["lr"] if getattr(self.optimizer, "lr", None) is not None else []
        row = dict.fromkeys(["epoch", "step", *own, *held_out, *rate, "seconds"], 0.0)
        monitors = [c.monitor for c in self.callbacks if isinstance(c, EarlyStopping)]
        if self.checkpoint is not None and self.checkpoint.best is not None:
            monitors.append(self.checkpoint.monitor)
        for monitor in monitors:
            value_of(monitor.name, row, monitor.who)
        if self._measured:
            value_of(self.schedule_monitor, row, type(self.schedule).__name__)

    def _need_parameters(self) -> None:
        if self.optimizer is None:
            if self.params is None and not (self.is_module and flatten(self.model.state())[0]):  # type: ignore[attr-defined]
                raise TrainingError("the model has no parameters yet: they are made at the first batch of fit()")
            self._build()

    # -- an epoch -------------------------------------------------------------------------------------------------------

    def _over(self) -> bool:
        """Whether ``stop`` was called, and its epoch is done; one that a resume finds undone has its end to come."""
        return self.stopped is not None and not self._running

    def _train_epoch(self, loader: Any, shown: progress_module.Silent) -> None:
        """The steps of one epoch, or of what is left of it."""
        self._running = True
        if self.batch == 0:
            self._reset_means()
            self._call("on_epoch_start")
        self._began = time.monotonic()
        if self.batch and self.stopped is not None:  # a resumed epoch that had been stopped: the rest is left out
            _close(iter(loader))
            self._exhausted = True
        if self._exhausted:
            return
        self._set_training(True)
        batches = iter(loader)
        if self.batch and not hasattr(loader, "load_state_dict"):  # it starts anew, with what was seen
            for _ in range(self.batch):
                next(batches, None)
        self._origin = (_state_of(loader), self.batch)
        watchers = hooks(self.callbacks, "on_step_end")
        seen, accumulate = self._seen, self.accumulate
        try:
            while True:
                if not seen:
                    self._moment = Moment(self)
                batch = next(batches, None)
                if batch is None:
                    break
                self._learn(batch)
                if len(seen) == accumulate:
                    self._update(watchers)
                    if self.stopped is not None:
                        break
                shown.step(self)
            self._exhausted = True
            if seen:
                self._update(watchers)
            self._moment = None
        finally:
            _close(batches)  # an exception's traceback keeps this frame, and it would keep a loader's thread
        if self.batch == 0:
            raise TrainingError("the loader is empty: it gave no batch")

    def _learn(self, batch: Any) -> None:
        """Loss and gradients of one batch."""
        if self.device is not None:
            batch = self._moved(batch)
        again = Moment(self) if self._looks() else None
        size = _size(batch)
        loss, logs = self._compute(batch)
        detached = loss.detach()
        if again is not None and not math.isfinite(detached.item()):
            self._refuse("loss", batch, again, detached.item())
        (loss if self.accumulate == 1 else loss / self.accumulate).backward()
        if again is not None and not self._finite_gradients():
            self._refuse("gradient", batch, again, detached.item())
        logs["loss"] = detached
        if not self.metrics:  # nobody asks for them, and they may be large
            logs.pop("output", None)
            logs.pop("target", None)
        self._seen.append((logs, size))

    def _looks(self) -> bool:
        """Whether each step is held to finite numbers."""
        if self.detect_nan is None:
            return not (self._parameters and self._parameters[0].device.backend.asynchronous)
        return self.detect_nan

    def _compute(self, batch: Any) -> tuple[jt.Tensor, dict[str, Any]]:
        """The loss of a batch, and what is known about it."""
        if self._step is not None:
            made = self._step(self, batch)
            logs: dict[str, Any] = dict(made) if isinstance(made, dict) else {"loss": made}
            loss: Any = logs.get("loss")
            self._check_logs(logs)
        else:
            if not isinstance(batch, (tuple, list)) or len(batch) < 2:
                raise TrainingError(
                    f"a batch is a {type(batch).__name__}, not (input, target): say by step=f what to do with it, "
                    f"f(trainer, batch) -> loss"
                )
            *inputs, target = batch
            output = self(*inputs)
            if type(target) is not jt.Tensor and hasattr(target, "shape"):
                target = jt.asarray(target)
            try:
                loss = self.loss(output, target)  # type: ignore[misc]
            except jt.JITrenchError as e:
                e.add_note(f"the loss got the model's output, {_told(output)}, and the target, {_told(target)}")
                raise
            logs = {"output": output, "target": target}
        if type(loss) is not jt.Tensor or loss.data.shape != () or (self.training and loss.node is None):
            self._refuse_loss(loss)
        return loss, logs

    def _update(self, watchers: list[Callable[..., Any]]) -> None:
        """One step of the optimizer, and what comes after each."""
        seen = self._seen
        if len(seen) != self.accumulate:  # the last of an epoch: the mean is over fewer
            factor = self.accumulate / len(seen)
            with jt.no_grad():
                for p in self._parameters:
                    if p.grad is not None:
                        p.grad = p.grad * factor
        if self.clip is not None:
            self._clip()
        optimizer = self.optimizer
        self._updating = True
        optimizer.step()
        optimizer.zero_grad()
        if self.average is not None:
            self.average.update()
        if self.schedule is not None and self.schedule_per == "step":
            self.schedule.step()
        self.step += 1
        self.batch += len(seen)
        for logs, size in seen:
            self._loss.add(logs["loss"], size)
            self._measure(self.metrics, self._extra, logs, size)
        last = seen[-1][0]
        seen.clear()
        self._moment, self._updating = None, False
        if watchers:
            self._step_ended(watchers, last)
        checkpoint = self.checkpoint
        if checkpoint is not None and checkpoint.every_steps is not None and self.step % checkpoint.every_steps == 0:
            self.save(checkpoint.path)
        if self._ctrl_c.pressed:
            raise KeyboardInterrupt

    @staticmethod
    def _measure(metrics: Metrics, extra: dict[str, Mean], logs: dict[str, Any], size: int) -> None:
        if metrics and "output" in logs:
            with jt.no_grad():
                metrics.update(logs["output"], logs["target"], size)
        for name, value in logs.items():
            if name not in ("loss", "output", "target"):
                extra.setdefault(name, Mean()).add(
                    value.detach() if type(value) is jt.Tensor else jt.asarray(float(value)), size
                )

    def _step_ended(self, watchers: list[Callable[..., Any]], last: dict[str, Any]) -> None:
        logs = {name: value for name, value in last.items() if name not in ("output", "target")}
        for f in watchers:
            try:
                f(self, logs)
            except KeyboardInterrupt:
                self._ctrl_c.pressed = True

    def _end_epoch(self, shown: progress_module.Silent) -> None:
        """Validation, the history's row, callbacks, and the checkpoint of the epoch."""
        row: Row = {"epoch": self.epoch + 1, "step": self.step, "loss": self._loss.compute()}
        row |= _numbers(self.metrics.compute()) | {name: mean.compute() for name, mean in self._extra.items()}
        if self._validation is not None:
            row |= {f"val_{name}": value for name, value in _numbers(self._evaluate(self._validation)).items()}
        if (rate := getattr(self.optimizer, "lr", None)) is not None:
            row["lr"] = float(rate)
        row["seconds"] = time.monotonic() - self._began
        if self.detect_nan is None and not self._looks() and not math.isfinite(row["loss"]):
            raise NonFiniteError(
                f"epoch {self.epoch + 1} ended with a mean loss of {row['loss']}: on {self._parameters[0].device} the steps themselves "
                f"are not looked at, unless you ask for it: detect_nan=True names the step and where it came from"
            )
        if self.detect_nan is not False and not self._told_nan and not math.isfinite(row.get("val_loss", 0.0)):
            self._told_nan = True
            warnings.warn(
                f"epoch {self.epoch + 1}: val_loss is {row['val_loss']}, while the training's loss is {row['loss']:.4g}; the training "
                f"goes on. Look at the validation data; detect_nan=False says nothing",
                RuntimeWarning,
                stacklevel=3,
            )
        if self.schedule is not None and self.schedule_per == "epoch":
            number: tuple[float, ...] = ()
            if self._measured:
                number = (value_of(self.schedule_monitor, row, type(self.schedule).__name__),)
            self._updating = True
            self.schedule.step(*number)
        self.history.rows.append(row)
        self.epoch, self.batch = self.epoch + 1, 0
        self._running = self._exhausted = self._updating = False
        self._call("on_epoch_end", row)
        checkpoint = self.checkpoint
        if checkpoint is not None:
            better = checkpoint.best is not None and checkpoint.monitor.look(row)
            if better:
                self.save(checkpoint.best)  # type: ignore[arg-type]
            if checkpoint.every_epochs is not None and self.epoch % checkpoint.every_epochs == 0:
                self.save(checkpoint.path)
        shown.epoch(self.history)
        if self._ctrl_c.pressed:
            raise KeyboardInterrupt

    def _evaluate(self, loader: Any) -> dict[str, Any]:
        metrics, mean = self.metrics.fresh(), Mean()
        extra: dict[str, Mean] = {}
        was, state = self.training, _state_of(loader)
        self._set_training(False)
        try:
            with jt.no_grad():
                for batch in loader:
                    batch = self._moved(batch)
                    loss, logs = self._compute(batch)
                    mean.add(loss, _size(batch))
                    self._measure(metrics, extra, logs, _size(batch))
        except KeyboardInterrupt:
            if state is not None:
                loader.load_state_dict(state)
            raise
        finally:
            self._set_training(was)
        if not mean:
            raise TrainingError("the loader is empty: it gave no batch to evaluate")
        return {"loss": mean.compute()} | metrics.compute() | {name: m.compute() for name, m in extra.items()}

    def _set_training(self, training: bool) -> None:
        self.training = training
        if self.is_module:
            self.model.train(training)  # type: ignore[attr-defined]

    def _reset_means(self) -> None:
        self._loss.reset()
        self._extra.clear()
        self.metrics.reset()

    def _call(self, event: str, *args: Any, defer: bool = True) -> None:
        """Call the callbacks; a Ctrl-C in one waits until all were called."""
        functions = (
            hooks(self.callbacks, event)
            if event != "close"
            else [c.close for c in self.callbacks if hasattr(c, "close")]
        )
        for f in functions:
            try:
                f(self, *args) if event != "close" else f()
            except KeyboardInterrupt:
                if not defer:
                    raise
                self._ctrl_c.pressed = True
            for row in args:  # what a callback put into it
                row.update((name, number(value)) for name, value in row.items())

    def _moved(self, batch: Any) -> Any:
        """The batch on the trainer's device."""
        if self.device is None or batch is None:
            return batch
        leaves, rebuild = flatten(batch)
        return rebuild([jt.asarray(x).to(self.device) if hasattr(x, "shape") else x for x in leaves])

    # -- what can go wrong in a step -----------------------------------------------------------------------------------

    def _finite_gradients(self) -> bool:
        """Whether all gradients are finite, by their sums; one that overflows is looked at closely."""
        with jt.no_grad():
            held = [g for p in self._parameters if (g := p.grad) is not None]
            sums = fetched([jt.sum(g) for g in held])
            return not any(culprit.bad_numbers(g) for g, x in zip(held, sums, strict=True) if not math.isfinite(abs(x)))

    def _check_parameters(self) -> None:
        """The last update is followed by no loss that would show what it did."""
        trained = ((name, p) for name, p in self._named().items() if p.requires_grad)
        if self._looks() and (found := culprit.in_parameters(trained)):
            raise NonFiniteError(
                f"after epoch {self.epoch}, step {self.step}: {found}. The last update made it, of a finite gradient: a smaller "
                f"learning rate, or clip=, may help"
            )

    def _clip(self) -> None:
        # As optim.clip_grad_norm, which this package does not depend on.
        if callable(self.clip):
            self.clip(self._parameters)
            return
        with jt.no_grad():
            held = [(p, p.grad) for p in self._parameters if p.grad is not None]
            norm = math.hypot(*fetched([jt.vector_norm(g) for _, g in held]))
            if norm > self.clip:  # type: ignore[operator]
                for p, g in held:
                    p.grad = g * (self.clip / (norm + 1e-6))  # type: ignore[operator]

    def _check_logs(self, logs: dict[str, Any]) -> None:
        """What a ``step=`` function returned beside the loss."""
        if self.metrics and not {"output", "target"} <= logs.keys():
            raise TrainingError(
                f"the metrics {', '.join(self.metrics.parts)} need 'output' and 'target' in the dict that step= returns; it "
                f"returned {', '.join(map(repr, logs))}"
            )
        for name, value in logs.items():
            if name in ("loss", "output", "target"):
                continue
            if taken(name) or name in self.metrics.parts:
                raise TrainingError(
                    f"step= returned a number {name!r}, and that is the name of another; choose another name"
                )
            if not isinstance(value, (int, float)) and getattr(value, "shape", None) != ():
                raise TrainingError(f"step= returned {name!r}, {_told(value)}; expected one number to be logged")

    def _refuse_loss(self, loss: Any) -> None:
        if type(loss) is not jt.Tensor:
            raise TrainingError(f"the loss is a {type(loss).__name__}; expected a 0-d Tensor, as nn.mse_loss returns")
        if loss.shape != ():
            raise TrainingError(
                f"the loss has shape {loss.shape}; expected one number, of shape (): take its mean, jt.mean(loss), or "
                f"reduction='mean'"
            )
        raise TrainingError(
            "the loss does not depend on any parameter that requires a gradient: it was computed under no_grad, from "
            "detached values, or by another model"
        )

    def _refuse(self, what: str, batch: Any, again: Moment, loss: float) -> None:
        """End the training with what is wrong, and where it came from."""
        named = list(self._named().items())
        gradient = culprit.in_parameters(named, gradients=True) if what == "gradient" else ""
        self.optimizer.zero_grad()

        def same_step() -> None:
            again.restore(self)
            self._compute(batch)[0].backward()

        found = (
            culprit.in_batch(batch, last_is_target=self._step is None)
            or culprit.in_parameters(named)
            or culprit.in_operations(same_step)
        )
        place = f"epoch {self.epoch + 1}, step {self.step + 1} (batch {self.batch + len(self._seen) + 1} of the epoch)"
        self._take_back()
        kept = ""
        if self.checkpoint is not None:
            path = self.checkpoint.path.with_suffix(f".before-nan{self.checkpoint.path.suffix}")
            self.save(path)
            kept = f" and in {path.resolve()}"
        wrong = f"the loss is {loss}" if what == "loss" else f"the loss is {loss:.6g}, but {gradient}"
        raise NonFiniteError(
            f"{place}: {wrong}.\n"
            + (found or "The same step, run again, did not show it: something in it is not drawn from jt.random")
            + f"\nThe state before this step is in the trainer{kept}."
        )

    def _take_back(self) -> None:
        """Undo the update that has begun: random state, running statistics, the loader's place and the gradients."""
        moment, self._moment = self._moment, None
        self._seen.clear()
        self.optimizer.zero_grad()
        if moment is None:
            return
        self._exhausted = False
        state, batch = self._origin
        if state is not None:
            self._loader.load_state_dict(state)
            batches = iter(self._loader)
            for _ in range(self.batch - batch):
                next(batches, None)
            place = _state_of(self._loader)
            _close(batches)
            self._loader.load_state_dict(place)
        moment.restore(self)

    def _save_interrupted(self) -> None:
        """After Ctrl-C: save, and raise again with the file's name."""
        here = f"in epoch {self.epoch + 1}" if self._running or not self.epoch else f"at the end of epoch {self.epoch}"
        where = f"{here}, after step {self.step}"
        path = self.checkpoint.path if self.checkpoint is not None else INTERRUPTED
        if self._updating:
            saved = f"; the last checkpoint is {path.resolve()}" if path.exists() else ""
            raise KeyboardInterrupt(
                f"training was interrupted {where}, in the middle of an update: its state is not saved{saved}"
            ) from None
        self._take_back()
        self.save(path)
        resume = "True" if self.checkpoint is not None else repr(str(path))
        raise KeyboardInterrupt(
            f"training was interrupted {where}. Its state is saved in {path.resolve()}; to go on: fit(..., resume={resume})"
        ) from None


@final
class Moment:
    """What a batch may change before the parameters are updated: random state and running statistics.

    Arrays are never written in place, so to hold them is to remember them.
    """

    __slots__ = ("buffers", "random")

    def __init__(self, trainer: Trainer) -> None:
        state, default = trainer.generator.state(), jt.random.default_generator().state()  # type: ignore[union-attr]
        self.random = (state["key"].data, state["counter"].data, default["key"].data, default["counter"].data)
        self.buffers = [x.data for x in trainer._buffers] if trainer._buffers else ()

    def restore(self, trainer: Trainer) -> None:
        key, counter, default_key, default_counter = map(jt.Tensor, self.random)
        trainer.generator.load_state({"key": key, "counter": counter})  # type: ignore[union-attr]
        jt.random.default_generator().load_state({"key": default_key, "counter": default_counter})
        with jt.no_grad():
            for x, data in zip(trainer._buffers, self.buffers, strict=True):
                jt.assign(x, jt.Tensor(data))


@named("fit()", Trainer.__init__)
def fit(
    model: Callable[..., Any],
    data: Any,
    *,
    loss: Callable[..., Any] | None = None,
    optimizer: Any,
    epochs: int,
    validation: Any = None,
    resume: bool | str | os.PathLike[str] = False,
    batch_size: int | None = 32,
    shuffle: bool = True,
    **options: Any,
) -> History:
    """Train ``model`` on ``data`` in one call: ``Trainer(model, loss, optimizer, **options).fit(data, epochs=...)``.

    The result is the history; ``history.trainer`` predicts, evaluates and holds ``params``.

    >>> import jitrench_core as jt
    >>> import jitrench_nn as nn
    >>> import jitrench_optim as optim
    >>> x = jt.linspace(0, 1, 64)[:, None]
    >>> history = nn.fit(nn.Linear(1), (x, 3 * x), loss=nn.mse_loss, optimizer=optim.SGD, epochs=2, progress=False)
    >>> history.columns
    ['epoch', 'step', 'loss', 'lr', 'seconds']
    """
    trainer = Trainer(model, loss, optimizer, **options)
    return trainer.fit(
        data, epochs=epochs, validation=validation, resume=resume, batch_size=batch_size, shuffle=shuffle
    )


def _check_model(model: Any) -> None:
    if isinstance(model, type):
        raise TrainingError(f"Trainer: the model is the class {model.__name__}; make an object, {model.__name__}(...)")
    if not callable(model):
        raise TrainingError(f"Trainer: the model comes first, a function or a layer; got {type(model).__name__}")


def _check_class(name: str, made: Any, of: str) -> None:
    """Refuse a class that cannot be made of ``of`` alone, with the function to write."""
    if not isinstance(made, type):
        return
    try:
        parameters = list(inspect.signature(made).parameters.values())[1:]
    except (TypeError, ValueError):
        return
    more = [p.name for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if more:
        kind = f"{'optim.' * (made.__module__.partition('.')[0] == 'jitrench_optim')}{made.__name__}"
        call = f"{kind}({of}, {', '.join(f'{x}=...' for x in more)})"
        raise TrainingError(
            f"Trainer({name}=): {kind} needs more than the {of}; write a function, {name}=lambda {of}: {call}"
        )


def _is_dataset(x: Any) -> bool:
    """Whether it has a length and examples by number; what says itself how it is iterated is a loader."""
    from ..data import Dataset

    has_items = hasattr(x, "__len__") and hasattr(x, "__getitem__")
    return isinstance(x, Dataset) or (has_items and not (hasattr(x, "__iter__") or hasattr(x, "shape")))


def _are_examples(items: Any) -> bool:
    """Whether a list holds examples, and not batches. ``TrainingError`` where it may be either, and for lists in place of arrays."""
    if not items:
        return False
    if all(isinstance(x, list) and x and all(_is_number(v) for v in flatten(x)[0]) for x in items):
        raise TrainingError(
            "the data is made of lists of numbers; expected arrays: (jt.asarray(x), jt.asarray(y)), or NumPy's"
        )
    first = _shapes(items[0])
    if len(items) == 1:
        return False
    if () in first:
        return True
    if any(_shapes(x) != first for x in items[1:]):
        return False
    told = (
        f"with arrays of shapes {', '.join(map(str, first))}"
        if first
        else f"without an array, a {type(items[0]).__name__} first"
    )
    raise TrainingError(
        f"the data is a list of {len(items)} items {told}: are they batches, or examples? For batches, pass "
        f"nn.data.DataLoader(items, batch_size=None); for examples, nn.data.DataLoader(items, batch_size=32, shuffle=True)"
    )


def _check_plain(state: Mapping[str, Any]) -> None:
    """``TrainingError`` for an entry of a state that is not what ``state_dict`` puts there."""

    def refuse(name: str, expected: str) -> Never:
        raise TrainingError(f"the state's {name!r} is {state[name]!r:.60}; expected {expected}. Nothing was loaded.")

    for name in ("epoch", "step", "batch", "first"):
        if type(state[name]) is not int or state[name] < 0:
            refuse(name, "a whole number from 0")
    for name in ("running", "exhausted"):
        if type(state.get(name, False)) is not bool:
            refuse(name, "True or False")
    if not isinstance(state["stopped"], (str, type(None))):
        refuse("stopped", "a text, or None")
    if not isinstance(state["model"], Mapping) or any(type(x) is not jt.Tensor for x in state["model"].values()):
        refuse("model", "a dict of Tensors by their names")
    rows = state["history"]
    if not isinstance(rows, (list, tuple)) or not all(isinstance(row, Mapping) for row in rows):
        refuse("history", "a list of dicts, one for each epoch")


def _is_number(x: Any) -> bool:
    return isinstance(x, (bool, int, float, complex))


def _shapes(item: Any) -> list[tuple[int, ...]]:
    """Those of the arrays and numbers in a batch or an example."""
    leaves = flatten(item)[0]
    return [tuple(x.shape) if hasattr(x, "shape") else () for x in leaves if hasattr(x, "shape") or _is_number(x)]


def _is_norm(x: Any) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool) and 0 < x < math.inf


def _is_optimizer(x: Any) -> bool:
    return not isinstance(x, type) and all(hasattr(x, name) for name in ("step", "zero_grad", "parameters"))


def _is_plain(x: Any) -> bool:
    """A function or class that makes an object, and not the object itself."""
    return isinstance(x, type) or not (hasattr(x, "step") or hasattr(x, "update"))


def _takes_a_number(step: Any) -> bool:
    """Whether a schedule's ``step`` needs an argument: the number that it watches."""
    return any(
        p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        for p in inspect.signature(step).parameters.values()
    )


def _state_of(part: Any) -> Any:
    return part.state_dict() if hasattr(part, "state_dict") else None


def _copy(x: jt.Tensor, device: Any = None) -> jt.Tensor:
    return jt.tensor(x.detach(), device=device or x.device)


def _copies(state: dict[str, jt.Tensor]) -> dict[str, jt.Tensor]:
    return {name: _copy(x) for name, x in state.items()}


def _close(batches: Any) -> None:
    if hasattr(batches, "close"):
        batches.close()


def _length(loader: Any) -> int | None:
    try:
        return len(loader)
    except TypeError:
        return None


def _lengths(arrays: tuple[Any, ...], who: str) -> int:
    """The number of examples, which all arrays have."""
    shapes = [tuple(x.shape) for x in arrays]
    if any(not s for s in shapes) or len({s[0] for s in shapes}) != 1:
        raise TrainingError(
            f"{who}(): the arrays need the same first length; they have shapes {', '.join(map(str, shapes))}"
        )
    if shapes[0][0] == 0:
        raise TrainingError(f"{who}(): the arrays are empty, of shapes {', '.join(map(str, shapes))}")
    return int(shapes[0][0])


def _size(batch: Any) -> int:
    """The number of examples of a batch: the first length of its first array."""
    x = batch[0] if type(batch) in (tuple, list) else batch
    if not hasattr(x, "shape"):
        x = next((leaf for leaf in flatten(batch)[0] if hasattr(leaf, "shape")), None)
    shape = getattr(x, "shape", ())
    return int(shape[0]) if shape else 1


def _numbers(found: dict[str, Any]) -> dict[str, Any]:
    """What fits into a table."""
    return {name: value for name, value in found.items() if isinstance(value, (int, float))}


def _told(x: Any) -> str:
    return f"{x.dtype} of shape {x.shape}" if type(x) is jt.Tensor else f"a {type(x).__name__}"
