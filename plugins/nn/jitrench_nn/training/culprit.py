"""Where a NaN came from: the batch, a parameter, or the operation that made it, found by the same step once more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jitrench_core as jt
from jitrench_core.transforms.tree import flatten, names


def bad_numbers(x: jt.Tensor) -> str:
    """``"2 NaN and 1 infinite among 12 elements"``; empty where all are finite."""
    if x.dtype.kind not in "fc":
        return ""
    with jt.no_grad():
        if bool(jt.all(jt.isfinite(x))):
            return ""
        nan, inf = (int(jt.count_nonzero(f(x)).item()) for f in (jt.isnan, jt.isinf))
    counts = [f"{n} {what}" for n, what in ((nan, "NaN"), (inf, "infinite")) if n]
    return f"{' and '.join(counts)} among {x.size} element{'s' * (x.size != 1)}"


def in_batch(batch: Any) -> str:
    """The first part of a batch that holds a NaN or an infinity."""
    for name, x in zip(names(batch), flatten(batch)[0], strict=True):
        if hasattr(x, "shape") and hasattr(x, "dtype") and (found := bad_numbers(jt.asarray(x))):
            return f"part {name!r} of the batch, of shape {tuple(x.shape)}, holds {found}"
    return ""


def in_parameters(named: Iterable[tuple[str, jt.Tensor]], *, gradients: bool = False) -> str:
    """The first parameter that holds a NaN or an infinity, or whose gradient does."""
    for name, p in named:
        x = (p.grad if p.requires_grad else None) if gradients else p
        if x is not None and (found := bad_numbers(x)):
            return f"{'the gradient of ' * gradients}the parameter {name!r}, of shape {p.shape}, holds {found}"
    return ""


def in_operations(again: Callable[[], None]) -> str:
    """What ``detect_anomaly`` tells about the step, run ``again``: that of a NaN if there is one, else of an infinity."""
    for check in ("nan", "inf"):
        try:
            with jt.detect_anomaly(check=check):
                again()
        except jt.AnomalyError as e:
            return str(e)
    return ""
