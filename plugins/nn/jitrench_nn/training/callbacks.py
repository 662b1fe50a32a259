"""Callbacks: what a training calls at its turns. Any object with some of these methods is one."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jitrench_core.errors import suggest

from ..arguments import named
from .errors import TrainingError, whole
from .history import mode_of

if TYPE_CHECKING:
    from .trainer import Trainer

EVENTS = ("on_fit_start", "on_epoch_start", "on_step_end", "on_epoch_end", "on_fit_end")


class Callback:
    """The base class of callbacks; write the methods you need.

    ``trainer.stop()`` in any of them ends the training there. ``logs`` of ``on_epoch_end`` is the history's new row, and what a
    callback adds to it becomes part of the history. ``logs`` of ``on_step_end`` holds ``"loss"`` as a 0-d Tensor, so that only a
    callback that looks at the number waits for it. ``state_dict`` and ``load_state_dict`` go into checkpoints; a state is made of
    Tensors, numbers, strings, None, lists and dicts.
    """

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first epoch, or the first after a resume. The model has its parameters."""

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Before the first step of an epoch; an epoch that is resumed in the middle does not start again."""

    def on_step_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        """After each update of the parameters."""

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        """After the last step of an epoch and its validation."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch, also where ``stop`` ended the training; not after an error or Ctrl-C, see ``close``."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs to know."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""


class LambdaCallback(Callback):
    """A callback of functions, ``LambdaCallback(on_epoch_end=lambda trainer, logs: print(logs["loss"]))``.

    Raises ``TrainingError`` for a name that is no event.
    """

    def __init__(self, **functions: Callable[..., Any]) -> None:
        for name, function in functions.items():
            if name not in EVENTS:
                raise TrainingError(f"LambdaCallback has no event {name!r}; events are {', '.join(EVENTS)}")
            setattr(self, name, function)


class Monitor:
    """A number of the logs, and whether a new value of it is better than the best so far."""

    def __init__(self, who: str, name: str, mode: str | None, min_delta: float = 0.0) -> None:
        if mode not in (None, "min", "max"):
            raise TrainingError(f"{who}(mode={mode!r}): expected 'min' or 'max', or None, which goes by the name")
        self.who, self.name, self.mode = who, name, mode or mode_of(name)
        self.min_delta = abs(min_delta)
        self.best: float | None = None

    def look(self, logs: dict[str, Any]) -> bool:
        """Whether this epoch's value is the best; it is kept then. NaN never is."""
        value = value_of(self.name, logs, self.who)
        gain = math.inf if self.best is None else (self.best - value if self.mode == "min" else value - self.best)
        if math.isnan(value) or not gain > self.min_delta:
            return False
        self.best = value
        return True


def value_of(name: str, logs: dict[str, Any], who: str) -> float:
    """A number of the logs by its name."""
    value = logs.get(name)
    if not isinstance(value, (int, float)):
        hint = "; pass validation= to fit() for it" if name.startswith("val_") and "val_loss" not in logs else ""
        numbers = ", ".join(key for key, v in logs.items() if isinstance(v, (int, float)))
        hint = hint or suggest(name, [key for key, v in logs.items() if isinstance(v, (int, float))]).replace(
            " D", ". D"
        )
        raise TrainingError(f"{who}: there is no {name!r} to monitor; there are {numbers}{hint}")
    return value


class EarlyStopping(Callback):
    """Stop when ``monitor`` has not become better for ``patience`` epochs.

    Better is smaller for losses, errors and distances, and larger for the rest; ``mode="min"`` or ``"max"`` says otherwise. It has
    to be by more than ``min_delta``. With ``restore_best`` the model gets the weights of its best epoch back at the end; where there is
    progress to be seen, it is said there. Each ``fit`` that is no resume begins anew.

    Raises ``TrainingError`` for a monitor that is not there, with a list of those that are, and for a ``patience`` below 1.
    """

    @named("EarlyStopping()")
    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str | None = None,
        restore_best: bool = True,
    ) -> None:
        self.monitor = Monitor("EarlyStopping", monitor, mode, min_delta)
        self.patience: int = whole("EarlyStopping", "patience", patience)
        self.restore_best = restore_best
        self.waited = 0
        self.best_epoch: int | None = None
        self._weights: dict[str, Any] | None = None
        self._resumed = False

    def on_fit_start(self, trainer: Trainer) -> None:
        if not self._resumed:
            self.monitor.best, self.best_epoch, self.waited, self._weights = None, None, 0, None
        self._resumed = False

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        if self.monitor.look(logs):
            self.waited, self.best_epoch = 0, logs["epoch"]
            if self.restore_best:
                self._weights = trainer.weights()
            return
        self.waited += 1
        if self.waited >= self.patience:
            since = f"since epoch {self.best_epoch}" if self.best_epoch is not None else "than NaN"
            trainer.stop(f"{self.monitor.name} has not become better {since}, for {self.waited} epochs")

    def on_fit_end(self, trainer: Trainer) -> None:
        if self._weights is not None:
            trainer.load_weights(self._weights)
            if self.best_epoch != trainer.epoch:
                trainer.tell(f"the weights are those of epoch {self.best_epoch}, where {self.monitor.name} was best")

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.monitor.best,
            "best_epoch": self.best_epoch,
            "waited": self.waited,
            "weights": self._weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.monitor.best, self.best_epoch = state["best"], state["best_epoch"]
        self.waited, self._weights = state["waited"], state["weights"]
        self._resumed = True


class Checkpoint:
    """Where and when a trainer saves its whole state: at the end of each ``every_epochs``-th epoch, and of each ``every_steps``-th step.

    ``path`` is one file, always of the last save; with ``best`` another file is kept of the epoch where ``monitor`` was best
    (``mode`` as in ``EarlyStopping``). A file is whole or not there. Give it to ``Trainer(checkpoint=...)``, which also takes a
    path alone.

    Raises ``TrainingError`` for intervals below 1, and where nothing would ever be saved.
    """

    @named("Checkpoint()")
    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        every_epochs: int | None = 1,
        every_steps: int | None = None,
        best: str | os.PathLike[str] | None = None,
        monitor: str = "val_loss",
        mode: str | None = None,
    ) -> None:
        if every_epochs is None and every_steps is None and best is None:
            raise TrainingError("Checkpoint: nothing would be saved; give every_epochs=, every_steps= or best=")
        self.path = Path(path)
        self.every_epochs: int | None = whole("Checkpoint", "every_epochs", every_epochs, none=True)
        self.every_steps: int | None = whole("Checkpoint", "every_steps", every_steps, none=True)
        self.best = None if best is None else Path(best)
        self.monitor = Monitor("Checkpoint", monitor, mode)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.monitor.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.monitor.best = state["best"]


def hooks(callbacks: list[Any], event: str) -> list[Callable[..., Any]]:
    """The methods of one event, without those that the base class has, which do nothing."""
    found = [getattr(c, event, None) for c in callbacks]
    return [f for f in found if f is not None and getattr(f, "__func__", None) is not getattr(Callback, event)]


def check(callbacks: Any) -> list[Any]:
    """Callbacks as a list; what has no method of theirs is refused."""
    found = list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]
    for c in found:
        if isinstance(c, type):
            raise TrainingError(f"the callback {c.__name__} is a class; make an object of it, {c.__name__}(...)")
        if not any(hasattr(c, event) for event in EVENTS):
            hint = "; a function goes into LambdaCallback(on_epoch_end=f)" if callable(c) else ""
            hint = "; give it as checkpoint=" if isinstance(c, Checkpoint) else hint
            raise TrainingError(f"a {type(c).__name__} is no callback: it has none of {', '.join(EVENTS)}{hint}")
    return found


def note(message: str) -> None:
    """A line for whoever runs the training; standard output is left to the program."""
    print(message, file=sys.stderr)
