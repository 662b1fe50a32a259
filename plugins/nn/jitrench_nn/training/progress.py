"""How far a training is: a bar of tqdm, lines where that is not installed, or nothing."""

from __future__ import annotations

import sys
import time
from typing import Any

from .callbacks import note
from .history import History

BETWEEN = 0.1  # seconds from one look at the loss to the next: to look is to wait for the device
LINES = 20  # at most so many lines for a whole training


class Silent:
    """No progress; also the base of what shows some."""

    def start(self, epochs: int, first: int, batch: int, length: int | None) -> None:
        """A training begins at epoch ``first`` of ``epochs``, after ``batch`` batches of ``length`` an epoch."""

    def step(self, trainer: Any) -> None:
        """A batch is done."""

    def epoch(self, history: History) -> None:
        """An epoch is done."""

    def end(self, history: History, stopped: str | None) -> None:
        """The last epoch is done; ``stopped`` says why it was the last, where it was not planned."""

    def tell(self, text: str) -> None:
        """A line from whoever has something to say."""

    def close(self) -> None:
        """No more comes."""


class Lines(Silent):
    """A line for an epoch, or for every n-th of many."""

    def start(self, epochs: int, first: int, batch: int, length: int | None) -> None:
        self.epochs = epochs
        self.every = max(1, -(-(epochs - first) // LINES))
        self.shown = first

    def epoch(self, history: History) -> None:
        epoch = history[-1]["epoch"]
        if epoch % self.every == 0 or epoch == self.epochs:
            self.shown = epoch
            note(f"epoch {epoch}/{self.epochs}  {told(history[-1])}")

    def end(self, history: History, stopped: str | None) -> None:
        if stopped is None:
            return
        if len(history) and history[-1]["epoch"] != self.shown:
            note(f"epoch {history[-1]['epoch']}/{self.epochs}  {told(history[-1])}")
        note(ending(history, stopped))

    def tell(self, text: str) -> None:
        note(text)


class Bar(Silent):
    """One bar of tqdm for the whole training."""

    def start(self, epochs: int, first: int, batch: int, length: int | None) -> None:
        from tqdm.auto import tqdm

        self.epochs = epochs
        self.length = length
        unit = "step" if length else "epoch"
        total, done = (epochs * length, first * length + batch) if length else (epochs, first)
        self.bar = tqdm(total=total, initial=done, unit=unit, desc=f"epoch {min(first + 1, epochs)}/{epochs}")
        self.waiting = 0
        self.looked = 0.0
        self.last = ""

    def step(self, trainer: Any) -> None:
        self.waiting += 1
        now = time.monotonic()
        if now - self.looked >= BETWEEN:
            self.looked = now
            self.show(f"loss {trainer.running_loss():.4g}  {self.last}")

    def show(self, text: str) -> None:
        self.bar.set_postfix_str(text.strip(), refresh=False)
        if self.length:
            self.bar.update(self.waiting)
            self.waiting = 0

    def epoch(self, history: History) -> None:
        row = history[-1]
        shown = {key: value for key, value in row.items() if key.startswith("val_")} or row
        self.last = told(shown)
        self.show(told(row))
        if not self.length:
            self.bar.update()
        self.bar.set_description_str(f"epoch {min(row['epoch'] + 1, self.epochs)}/{self.epochs}", refresh=False)

    def end(self, history: History, stopped: str | None) -> None:
        if stopped is None:
            return
        done = history[-1]["epoch"] if len(history) else 0
        self.bar.set_description_str(f"stopped after epoch {done}/{self.epochs}", refresh=False)
        if self.bar.total:
            self.bar.total = self.bar.n  # there is no more to come
        self.bar.refresh()
        self.tell(ending(history, stopped))

    def tell(self, text: str) -> None:
        self.bar.write(text, file=sys.stderr)

    def close(self) -> None:
        if hasattr(self, "bar"):
            self.bar.close()


def ending(history: History, stopped: str) -> str:
    """That a training ended before its last epoch, and why."""
    return f"stopped after epoch {history[-1]['epoch']}: {stopped}" if len(history) else f"stopped: {stopped}"


def told(row: dict[str, Any]) -> str:
    """The numbers of a row, without those that a bar shows itself."""
    numbers = ((k, v) for k, v in row.items() if isinstance(v, float) and k not in ("lr", "seconds"))
    return "  ".join(f"{key} {value:.4g}" for key, value in numbers)


def make(progress: bool | str) -> Silent:
    """What shows the progress: ``True`` is a bar where tqdm is installed, else lines; ``"lines"``; ``False`` nothing."""
    if not progress:
        return Silent()
    if progress != "lines":
        try:
            import tqdm  # noqa: F401
        except ImportError:
            note('a progress bar needs tqdm: pip install "jitrench-nn[train]"; a line for each epoch instead')
        else:
            return Bar()
    return Lines()
