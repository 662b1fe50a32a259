"""Pictures of a training: its curves, and an animation of what it learns. They need matplotlib, and the animation pillow."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jitrench_core as jt

from .callbacks import Callback
from .errors import TrainingError, whole
from .history import History

if TYPE_CHECKING:
    from .trainer import Trainer

TRAINED, HELD_OUT = "tab:blue", "tab:orange"


def plot_history(
    history: History | Any,
    to_file: str | os.PathLike[str] | None = None,
    *,
    columns: list[str] | None = None,
    title: str | None = None,
) -> Any:
    """Draw the numbers of a training over its epochs, a panel for each, training and validation in one.

    ``columns`` chooses panels (None: loss, metrics and learning rate if it changes). Losses that stay above 0 and span more than a
    factor of ten get a logarithmic axis. Returns matplotlib's Figure, which a notebook shows; ``to_file`` writes it, too.

    Raises ``TrainingError`` where matplotlib is missing, for a history without rows and a column that it does not have.
    """
    history = getattr(history, "history", history)  # a Trainer has one
    if not isinstance(history, History):
        raise TrainingError(f"plot_history(): expected a History, or a Trainer; got a {type(history).__name__}")
    _need_matplotlib("plot_history")
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    if not len(history):
        raise TrainingError("plot_history(): the history has no rows yet")
    names = list(columns) if columns is not None else _panels(history)
    for name in names:
        if name not in history.columns and f"val_{name}" not in history.columns:
            history[name]  # says what there is
        if not (_points(history, name) or _points(history, f"val_{name}")):
            raise TrainingError(f"plot_history(): the column {name!r} holds no numbers")
    if not names:
        raise TrainingError("plot_history(): there is no column to draw")
    wide = min(len(names), 3)
    high = -(-len(names) // wide)
    figure = Figure(figsize=(4.4 * wide, 3.4 * high), layout="constrained")
    for i, name in enumerate(names):
        axes = figure.add_subplot(high, wide, i + 1)
        every: list[float] = []
        own = ("validation", HELD_OUT) if name.startswith("val_") else ("training", TRAINED)
        for column, label, colour in ((name, *own), (f"val_{name}", "validation", HELD_OUT)):
            points = _points(history, column)
            if not points:
                continue
            every += [y for _, y in points if math.isfinite(y)]
            label = f"{label} ({points[-1][1]:.4g} at the end)"
            axes.plot(*zip(*points, strict=True), color=colour, label=label, marker="." if len(points) < 30 else "")
        if every and min(every) > 0 and max(every) > 10 * min(every) and (name.endswith("loss") or name == "lr"):
            axes.set_yscale("log")
        axes.set_title({"lr": "learning rate"}.get(name, name.replace("_", " ")))
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if name != "lr":
            axes.legend()
    if title:
        figure.suptitle(title)
    if to_file is not None:
        figure.savefig(to_file, dpi=120)
    return figure


def _points(history: History, column: str) -> list[tuple[int, float]]:
    """The numbers of a column, by their epochs."""
    return [(row["epoch"], row[column]) for row in history if isinstance(row.get(column), (int, float))]


def _panels(history: History) -> list[str]:
    """The numbers worth a panel, without those that are of validation alone twice."""
    skipped = {"epoch", "step", "seconds"}
    shown = [c for c in history.columns if c not in skipped and _points(history, c)]
    names = list(dict.fromkeys(c.removeprefix("val_") for c in shown))
    if "lr" in names:
        names.remove("lr")
        if len({y for _, y in _points(history, "lr")}) > 1:
            names.append("lr")
    return names


class LearningGIF(Callback):
    """An animation of what a model learns: ``draw(axes, trainer)`` draws a frame on empty axes, before the first step and then every ``every`` epochs.

    ``every_steps`` counts steps instead. The file is written when the training ends, however it does; frames go into checkpoints, so the
    animation of a resumed training is whole. The last frame stands for a second.

    Raises ``TrainingError`` where matplotlib or pillow is missing, and for intervals below 1.
    """

    def __init__(
        self,
        draw: Callable[[Any, Trainer], Any],
        path: str | os.PathLike[str],
        *,
        every: int = 1,
        every_steps: int | None = None,
        fps: float = 8.0,
        figsize: tuple[float, float] = (5.0, 4.0),
        dpi: int = 80,
    ) -> None:
        every = whole("LearningGIF", "every", every)
        every_steps = whole("LearningGIF", "every_steps", every_steps, none=True)
        if not callable(draw):
            raise TrainingError(
                f"LearningGIF(draw, path): draw must be a function of axes and trainer; got {draw!r:.60}"
            )
        if not 0 < fps < math.inf:
            raise TrainingError(f"LearningGIF(fps={fps!r}): expected frames a second, above 0")
        self.draw = draw
        self.path = Path(path)
        self.every = every
        self.every_steps = every_steps
        self.fps = fps
        self.figsize = figsize
        self.dpi = dpi
        self._frames: list[bytes] = []
        if every_steps is None:
            self.on_step_end = None  # type: ignore[method-assign, assignment]

    def on_fit_start(self, trainer: Trainer) -> None:
        _need_matplotlib("LearningGIF")
        try:
            import PIL  # noqa: F401
        except ImportError:
            raise TrainingError('LearningGIF needs pillow: pip install "jitrench-nn[train]"') from None
        if not self.path.parent.is_dir():
            raise TrainingError(f"LearningGIF: the folder {str(self.path.parent)!r} does not exist")
        if not self._frames:
            self.frame(trainer)

    def on_step_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        if trainer.step % self.every_steps == 0:
            self.frame(trainer)

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        if self.every_steps is None and trainer.epoch % self.every == 0:
            self.frame(trainer)

    def frame(self, trainer: Trainer) -> None:
        """Draw one more frame, as the model is now."""
        import io

        from matplotlib.figure import Figure

        figure = Figure(figsize=self.figsize, dpi=self.dpi, layout="constrained")
        with jt.no_grad():
            self.draw(figure.add_subplot(), trainer)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=self.dpi)
        self._frames.append(buffer.getvalue())

    def close(self) -> None:
        """Write the file; a trainer calls it."""
        if not self._frames:
            return
        import io

        from PIL import Image

        images = [Image.open(io.BytesIO(png)).convert("RGB").quantize(256) for png in self._frames]
        one = round(1000 / self.fps)
        lasting = [one] * (len(images) - 1) + [1000]
        images[0].save(self.path, save_all=True, append_images=images[1:], duration=lasting, loop=0, disposal=1)

    def state_dict(self) -> dict[str, Any]:
        import numpy as np

        return {"frames": [jt.asarray(np.frombuffer(png, dtype=np.uint8).copy()) for png in self._frames]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._frames = [frame.numpy().tobytes() for frame in state["frames"]]


def _need_matplotlib(who: str) -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise TrainingError(f'{who} needs matplotlib: pip install "jitrench-nn[train]"') from None
