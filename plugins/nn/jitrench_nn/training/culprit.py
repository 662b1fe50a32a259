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


def in_batch(batch: Any, *, last_is_target: bool = False) -> str:
    """The first part of a batch that holds a NaN or an infinity, and the first row that does."""
    target = str([*getattr(batch, "_fields", range(len(batch)))][-1]) if last_is_target else ""
    for name, x in zip(names(batch), flatten(batch)[0], strict=True):
        if hasattr(x, "shape") and hasattr(x, "dtype") and (found := bad_numbers(jt.asarray(x))):
            role = ("the target, " if name.partition(".")[0] == target else "the input, ") * last_is_target
            return (
                f"{role}part {name!r} of the batch, of shape {tuple(x.shape)}, holds {found}{_first_row(jt.asarray(x))}"
            )
    return ""


def _first_row(x: jt.Tensor) -> str:
    if not x.shape:
        return ""
    with jt.no_grad():
        bad = jt.any(jt.reshape(~jt.isfinite(x), (x.shape[0], -1)), axis=1)
        return f", the first of them in row {jt.argmax(jt.astype(bad, jt.int64)).item()}"


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
