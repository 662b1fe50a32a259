"""What a training raises."""

from __future__ import annotations

from operator import index
from typing import Any

from jitrench_core import JITrenchError


class TrainingError(JITrenchError, ValueError):
    """A trainer that is made or called wrongly, or a checkpoint that belongs to another one."""


class NonFiniteError(JITrenchError, FloatingPointError):
    """A loss or a gradient became NaN or infinite; the message names the step and where it came from."""


def whole(who: str, name: str, value: Any, *, none: bool = False) -> Any:
    """A whole number from 1, also one of NumPy, as an int; with ``none``, None too."""
    if none and value is None:
        return None
    try:
        number = index(value)
    except TypeError:
        number = 0
    if isinstance(value, bool) or number < 1:
        raise TrainingError(f"{who}({name}={value!r}): expected a whole number from 1{', or None' * none}")
    return number
