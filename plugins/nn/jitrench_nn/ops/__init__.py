"""The ops of jitrench-nn, a file a family, registered through the same hook as anyone's.

``FAMILIES`` are the files; ``own`` finds the ops in them. Users take them from ``jitrench_nn.functional`` or ``jt.ops``.
"""

from __future__ import annotations

from typing import Any

from . import (
    activations,
    attention,
    conv,
    dropout,
    embedding,
    interpolate,
    linear,
    losses,
    normalization,
    pooling,
    positions,
    recurrent,
    unfolding,
)

FAMILIES = (
    linear,
    activations,
    normalization,
    attention,
    embedding,
    dropout,
    losses,
    conv,
    pooling,
    unfolding,
    interpolate,
    recurrent,
    positions,
)


def own() -> dict[str, Any]:
    """Every op that a family defines, by name."""
    found = (f for family in FAMILIES for f in vars(family).values() if getattr(f, "__module__", "") == family.__name__)
    return {f.op.name: f for f in found if hasattr(f, "op")}
