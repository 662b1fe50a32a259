"""Loggers: the rows of a training, written as they come. A resumed training goes on where its checkpoint was: what was written after it is cut off."""

from __future__ import annotations

import io
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .callbacks import Callback
from .errors import TrainingError, whole

if TYPE_CHECKING:
    from .trainer import Trainer


class FileLogger(Callback):
    """What loggers to a text file have in common: a line for each epoch, and with ``every_steps`` for each such step, too.

    Where there are both, ``"event"`` tells them apart: ``"step"``, with the loss of that step, or ``"epoch"``, with its mean.
    """

    def __init__(self, path: str | os.PathLike[str], *, every_steps: int | None = None) -> None:
        self.path = Path(path)
        self.every_steps: int | None = whole(type(self).__name__, "every_steps", every_steps, none=True)
        self.lines = 0  # rows written, by this training and those that it goes on from
        self._resumed = False
        if every_steps is None:
            self.on_step_end = None  # type: ignore[method-assign, assignment]

    def on_fit_start(self, trainer: Trainer) -> None:
        if not self.path.parent.is_dir():
            raise TrainingError(f"{type(self).__name__}: the folder {str(self.path.parent)!r} does not exist")
        if self.lines and not self._resumed:  # a second fit() of one trainer
            return
        self._resumed = False
        rows = self.read(self.path)[: self.lines] if self.lines and self.path.exists() else []
        self.lines = len(rows)
        self.write(rows)

    def on_step_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        if trainer.step % self.every_steps == 0:  # type: ignore[operator]
            self.append({"event": "step"} | step_row(trainer, logs))

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        self.append(dict(logs) if self.every_steps is None else {"event": "epoch"} | logs)

    def append(self, row: dict[str, Any]) -> None:
        self.lines += 1
        self.add(row)

    def state_dict(self) -> dict[str, Any]:
        return {"lines": self.lines}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.lines, self._resumed = state["lines"], True

    # -- what a format is ---------------------------------------------------------------------------------------------

    def read(self, path: Path) -> list[Any]:
        """The rows of a file; of one that was cut off, the whole ones."""
        raise NotImplementedError

    def write(self, rows: list[Any]) -> None:
        """A file of these rows and no other."""
        raise NotImplementedError

    def add(self, row: dict[str, Any]) -> None:
        """One more row."""
        raise NotImplementedError


class JSONLLogger(FileLogger):
    """A line of JSON for each row: ``{"epoch": 1, "step": 63, "loss": 0.5}``. NaN and infinities are null.

    With ``every_steps`` each row begins with ``"event"``: ``"step"``, whose loss is that of the step, or ``"epoch"``, whose loss is the mean.
    """

    def read(self, path: Path) -> list[Any]:
        text = path.read_text(encoding="utf-8")
        return [line for line in text[: text.rfind("\n") + 1].split("\n") if line]

    def write(self, rows: list[Any]) -> None:
        replace(self.path, "".join(f"{line}\n" for line in rows))

    def add(self, row: dict[str, Any]) -> None:
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            file.write(json.dumps(plain(row)) + "\n")


class CSVLogger(FileLogger):
    """A line of a table for each row. A column that comes later is added, and is empty in the rows before."""

    def __init__(self, path: str | os.PathLike[str], *, every_steps: int | None = None) -> None:
        super().__init__(path, every_steps=every_steps)
        self.columns: list[str] = []

    def read(self, path: Path) -> list[Any]:
        import csv

        with open(path, newline="", encoding="utf-8") as file:
            text = file.read()
        return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))

    def write(self, rows: list[Any]) -> None:
        import csv

        self.columns = list(dict.fromkeys([*self.columns, *(name for row in rows for name in row)]))
        file = io.StringIO(newline="")
        if self.columns:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        replace(self.path, file.getvalue())

    def add(self, row: dict[str, Any]) -> None:
        import csv

        if not row.keys() <= set(self.columns):
            self.write([*(self.read(self.path) if self.columns else []), row])
            return
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)


class TensorBoardLogger(Callback):
    """Event files in ``folder`` for TensorBoard: ``epoch/loss`` by epochs, and with ``every_steps`` ``step/loss`` by steps.

    It needs the package tensorboardX. A resumed training writes a file more, which takes the place of what came after its checkpoint.
    """

    def __init__(self, folder: str | os.PathLike[str], *, every_steps: int | None = None) -> None:
        self.folder = Path(folder)
        self.every_steps: int | None = whole("TensorBoardLogger", "every_steps", every_steps, none=True)
        self._writers: dict[str, Any] = {}
        if every_steps is None:
            self.on_step_end = None  # type: ignore[method-assign, assignment]

    def on_fit_start(self, trainer: Trainer) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise TrainingError(
                'TensorBoardLogger needs tensorboardX: pip install "jitrench-nn[tensorboard]"'
            ) from None
        # TensorBoard drops what an earlier file has from this step on. Files are named by the second, so a quick resume needs the suffix.
        self._writers = {
            kind: SummaryWriter(
                str(self.folder / kind),
                purge_step=done + 1 if done else None,
                filename_suffix=f".{done}" if done else "",
            )
            for kind, done in (("epoch", trainer.epoch), ("step", trainer.step))
            if kind == "epoch" or self.every_steps is not None
        }

    def on_step_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        if trainer.step % self.every_steps == 0:  # type: ignore[operator]
            self._add("step", step_row(trainer, logs), trainer.step)

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        self._add("epoch", logs, trainer.epoch)

    def _add(self, kind: str, row: dict[str, Any], step: int) -> None:
        writer = self._writers[kind]
        for name, value in row.items():
            if isinstance(value, (int, float)) and name not in ("epoch", "step"):
                writer.add_scalar(f"{kind}/{name}", value, step)
        writer.flush()

    def close(self) -> None:
        """Close the files; a trainer calls it."""
        for writer in self._writers.values():
            writer.close()
        self._writers = {}


def replace(path: Path, text: str) -> None:
    """Write a file that is whole or as it was, also where the process is killed."""
    part = path.with_name(f".{path.name}.part")
    with open(part, "w", newline="", encoding="utf-8") as file:
        file.write(text)
    os.replace(part, path)


def plain(value: Any) -> Any:
    """What JSON can hold: arrays as lists, NaN and infinities as None, what it does not know as text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else str(value)


def step_row(trainer: Trainer, logs: dict[str, Any]) -> dict[str, Any]:
    """A step's numbers, without those of an epoch."""
    rate = getattr(trainer.optimizer, "lr", None)
    row = {"epoch": trainer.epoch + 1, "step": trainer.step} | {k: float(v) for k, v in logs.items()}
    return row if rate is None else row | {"lr": float(rate)}
