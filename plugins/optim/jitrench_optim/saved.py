"""A state as files keep it: a list may have become a dict with the keys "0", "1", ..., and a number a 0-d Tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitrench_core import Tensor


def listed(x: Any) -> list[Any]:
    return [x[str(i)] for i in range(len(x))] if isinstance(x, Mapping) else list(x)


def plain(x: Any) -> Any:
    """A number or a string of what may have become a 0-d Tensor."""
    return x.item() if isinstance(x, Tensor) else x
