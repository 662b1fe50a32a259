"""The arrays among a function's parameters: what solvers differentiate by, apart from what else is in the container."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jitrench_core as jt


def arrays_among(
    flat: Sequence[Any], build: Callable[[list[Any]], Any]
) -> tuple[list[jt.Tensor], Callable[[Sequence[Any]], Any]]:
    """The arrays in a flattened container, as tensors, and what builds the container with others in their places."""
    places = [i for i, p in enumerate(flat) if hasattr(p, "shape") and hasattr(p, "dtype")]

    def put(given: Sequence[Any]) -> Any:
        every = list(flat)
        for i, p in zip(places, given, strict=True):
            every[i] = p
        return build(every)

    return [jt.asarray(flat[i]) for i in places], put
