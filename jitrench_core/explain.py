"""Why a call failed: built only after something did, so that the fast path pays nothing for it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .backend import owner
from .errors import AxisError, BoundsError, DeviceMismatchError, DTypeError, FreedGraphError, ShapeError
from .tensor import Tensor

if TYPE_CHECKING:
    from .op import Op


# What a library raises that lacks something: no operand is to blame.
_LIBRARYS = (AttributeError, ImportError, NotImplementedError)


def explain(op: Op, error: Exception, arrays: tuple[Any, ...]) -> None:
    """Raise a better error where the operands tell why the kernel failed; else note them on ``error``."""
    if type(error).__module__.startswith("jitrench_core"):
        return
    arrays = tuple(map(op.operand, arrays))
    tensors = [x for x in arrays if type(x) is Tensor]
    hosts = [owner(type(x.data)) for x in tensors if not owner(type(x.data)).depth]
    if better := next(filter(None, (host.explain(error) for host in hosts)), None):
        better.add_note(f"in {op.name}() of {describe(arrays)}")
        try:
            raise better from error
        finally:
            del better  # else the frame, its error's traceback and so the operands live on
    if len({str(x.device) for x in tensors if not owner(type(x.data)).depth}) > 1:
        raise mismatch(op, arrays) from error
    if op.elementwise and tensors and not _broadcast([x.shape for x in tensors]):
        raise ShapeError(
            f"{op.name}(): shapes {' and '.join(str(x.shape) for x in tensors)} do not broadcast: from the last axis back, "
            f"lengths must be equal or 1. Operands: {describe(arrays)}."
        ) from error
    if op.check_rule is not None and not isinstance(error, _LIBRARYS):
        try:
            op.check_rule(*arrays)
        except Exception as better:
            raise better from error
    known = {ValueError: ShapeError, IndexError: BoundsError, TypeError: DTypeError, OverflowError: DTypeError}
    # NumPy's ufuncs raise children of TypeError
    ours: type[Exception] | None = DTypeError if isinstance(error, TypeError) else known.get(type(error))
    ours = AxisError if type(error).__name__ == "AxisError" else ours
    if op.owner == "jitrench-core" and ours is not None:
        raise ours(f"{op.name}(): {error}. Operands: {describe(arrays)}.") from error
    error.add_note(f"in {op.name}() of {describe(arrays)}")


def mismatch(op: Op, operands: Iterable[Any]) -> DeviceMismatchError:
    """The error for operands on different backends or devices."""
    first = next(x for x in operands if type(x) is Tensor)
    return DeviceMismatchError(
        f"{op.name}() got operands on different devices: {describe(operands)}. Nothing is moved silently: move one first, "
        f"such as x.to({str(first.device)!r})."
    )


def describe(operands: Iterable[Any]) -> str:
    """``float64 (2,) on numpy, float 3.0``"""
    return ", ".join(
        f"{x.dtype} {x.shape} on {x.device}" if type(x) is Tensor else f"{type(x).__name__} {x!r}" for x in operands
    )


def freed_error(node: Any) -> FreedGraphError:
    """The error of a backward pass that meets what an earlier one consumed."""
    where = f" That was at {node.saved.where}." if node.saved.where else " (`with jt.debug():` says where that was.)"
    return FreedGraphError(
        f"backward through a graph that was freed: an earlier backward or grad consumed what {node.op.name!r} had "
        f"saved.{where} Pass retain_graph=True to the first, or compute the output again."
    )


def caller() -> str:
    """``train.py:12, in loss: y = jt.log(x)``: the nearest frame outside JITrench and its plugins."""
    from linecache import getline  # with tokenize, a thirtieth of the time to import the core

    frame: Any = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0].startswith("jitrench_"):
        frame = frame.f_back
    name, line = frame.f_code.co_filename, frame.f_lineno
    source = getline(name, line, frame.f_globals).strip()
    return f"{name}:{line}, in {frame.f_code.co_name}{f': {source}' if source else ''}"


def _broadcast(shapes: list[tuple[int, ...]]) -> bool:
    wide = max(map(len, shapes))
    padded = [(1,) * (wide - len(s)) + s for s in shapes]
    return all(len(set(lengths) - {1}) <= 1 for lengths in zip(*padded, strict=True))
