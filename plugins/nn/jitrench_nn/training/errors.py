"""What a training raises."""

from __future__ import annotations

from jitrench_core import JITrenchError


class TrainingError(JITrenchError, ValueError):
    """A trainer that is made or called wrongly, or a checkpoint that belongs to another one."""


class NonFiniteError(JITrenchError, FloatingPointError):
    """A loss or a gradient became NaN or infinite; the message names the step and where it came from."""
