"""``History``: a table with a row for each epoch."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, final, overload

from .errors import TrainingError

Row = dict[str, Any]


@final
class History:
    """What a training measured: a row for each epoch, a column for each number.

    ``history["loss"]`` is a column, with None where a row lacks it, ``history[-1]`` a row, and ``history[-5:]`` some. ``str`` prints the table, a
    notebook shows it, and ``to_dict``, ``to_csv`` and iteration hand it on.

    Raises ``TrainingError`` for a column that is not there; it lists those that are.

    >>> from jitrench_nn.training import History
    >>> history = History([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25, "val_loss": 0.3}])
    >>> history["loss"], history["val_loss"]
    ([0.5, 0.25], [None, 0.3])
    >>> history.best("loss")
    {'epoch': 2, 'loss': 0.25, 'val_loss': 0.3}
    >>> print(history)
    epoch  loss  val_loss
        1   0.5
        2  0.25       0.3
    """

    def __init__(self, rows: list[Row] | None = None) -> None:
        self.rows: list[Row] = [] if rows is None else rows
        self.trainer: Any = None

    @property
    def columns(self) -> list[str]:
        """The names of all columns, in the order of their first use."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    @overload
    def __getitem__(self, key: str) -> list[Any]: ...
    @overload
    def __getitem__(self, key: int) -> Row: ...
    @overload
    def __getitem__(self, key: slice) -> list[Row]: ...
    def __getitem__(self, key: str | int | slice) -> Any:
        if isinstance(key, (int, slice)):
            return self.rows[key]
        if key not in self.columns:
            raise TrainingError(f"the history has no column {key!r}; it has {', '.join(self.columns) or 'no rows yet'}")
        return [row.get(key) for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def best(self, column: str, mode: str | None = None) -> Row:
        """The row where ``column`` is smallest, or with ``mode="max"`` largest; None takes ``"min"`` for losses. NaN is never best."""
        if mode not in (None, "min", "max"):
            raise TrainingError(
                f"History.best(mode={mode!r}): expected 'min' or 'max', or None, which goes by the name"
            )
        values = [v for v in self[column] if isinstance(v, (int, float)) and not math.isnan(v)]
        if not values:
            raise TrainingError(f"History.best(): the column {column!r} has no number to compare")
        wanted = (max if (mode or mode_of(column)) == "max" else min)(values)
        return next(row for row in self.rows if row.get(column) == wanted)

    def __reduce__(self) -> tuple[type[History], tuple[list[Row]]]:
        return History, (self.rows,)  # a copy is a table, without the trainer

    def to_dict(self) -> dict[str, list[Any]]:
        """Each column as a list: what ``pandas.DataFrame`` takes."""
        return {name: self[name] for name in self.columns}

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the table with a line for its names; numbers are written so that they read back exactly."""
        import csv

        with open(Path(path), "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)

    def __str__(self) -> str:
        names = self.columns
        if not names:
            return "a history without rows"
        lines = [names, *([_told(row.get(name)) for name in names] for row in self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
        return "\n".join(
            "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )

    def __repr__(self) -> str:
        return f"History of {len(self)} epoch{'s' * (len(self) != 1)}: {', '.join(self.columns)}"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_told(row.get(name)))}</td>" for name in self.columns) + "</tr>"
            for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def mode_of(name: str) -> str:
    """Whether a number is better when small or large, by its name: losses, errors and distances are, the rest is not."""
    falling = ("loss", "error", "mse", "mae", "mape", "rmse", "perplexity", "entropy", "nll", "deviance", "distance")
    falling += ("divergence", "lr", "seconds")
    bare = name.removeprefix("val_")
    return "min" if bare.endswith(falling) or set(bare.split("_")) & set(falling) else "max"


def _told(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
