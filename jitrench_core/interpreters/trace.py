"""Values that are watched on their way through a function, and otherwise what they are.

``Run.watch`` is told of each tensor that meets them and comes from outside, and of each look at a value that the graph
does not see. ``checkpoint`` and ``custom_gradient`` find out so what a function uses besides its arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..backend import owner
from ..graph import modes, recording
from ..op import Op
from ..tensor import Tensor
from . import Level, Payload, Run


class Traced(Payload):
    """A value of the level outside, on its way through a function."""

    __slots__ = ()

    def __init__(self, run: Run | None, value: Tensor) -> None:
        self.run = run
        self.value = value

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape


class Watch:
    """What a trace is told; a transform overrides what it wants to know."""

    __slots__ = ("outer", "recorded")

    def __init__(self, outer: Run | None = None) -> None:
        self.outer = outer  # the run around this one at the same depth, whose values this one may use
        self.recorded = recording()  # around the trace

    def constant(self, x: Tensor, origin: Run | None) -> Tensor:
        """A tensor from outside (or of the run ``origin``) meets a value of the trace; what is computed with in its place."""
        return x

    def leaves(self, how: str) -> None:
        """A value of the trace is looked at, or taken out of the graph."""


class TraceLevel(Level):
    """Owner of the watched values of one depth. Nothing is recorded here; the level outside records as ever."""

    kind, array = "traced function", Traced

    def lift(self, x: Tensor) -> Any:
        return self.cls(None, Tensor(x.data, x.node))

    def detach(self, array: Any) -> Any:
        """A constant of the level outside: nothing of the trace is left in it."""
        self._leaves(array, ".detach()")
        return array.value.detach().data

    def format(self, array: Any) -> str:
        return f"{array.value!r} in a {self.kind}"

    def to_numpy(self, array: Any) -> Any:
        self._leaves(array, ".numpy(), .item() or float()")
        return array.value.numpy()

    def _leaves(self, array: Any, how: str) -> None:
        """Integers and booleans have no derivative that could be lost."""
        if array.run is not None and array.dtype.kind in "fc":
            array.run.watch.leaves(how)

    def apply(self, op: Op, arrays: tuple[Any, ...], attrs: dict[str, Any], run: Run | None) -> Any:
        values = tuple(self._value(a, run) if type(a) is self.cls else a for a in arrays)
        made, aux = op.apply(values, attrs, with_aux=True) if op.aux else (op.apply(values, attrs), ())
        out = tuple(self.cls(run, part) for part in made) if op.outputs > 1 else self.cls(run, made)
        return (out, *(self.cls(run, a) for a in aux)) if op.aux else out

    def _value(self, array: Any, run: Run | None) -> Tensor:
        if run is None or array.run is run:
            return array.value  # type: ignore[no-any-return]
        return run.watch.constant(array.value, array.run)  # type: ignore[no-any-return]

    def run_of(self, arrays: tuple[Any, ...]) -> Run | None:
        """The innermost run among the operands, where the others are those around it."""
        runs = {id(a.run): a.run for a in arrays if type(a) is self.cls and a.run is not None}
        for run in runs.values() if len(runs) > 1 else ():
            if run.alive and runs.keys() <= {id(r) for r in chain(run)}:
                return run  # type: ignore[no-any-return]
        return super().run_of(arrays)


def chain(run: Run | None) -> Iterator[Run]:
    """A run and those around it at the same depth, from the inside."""
    while run is not None:
        yield run
        run = run.watch.outer


class CheckpointLevel(TraceLevel):
    """The level of ``checkpoint``."""

    kind = "checkpoint"


class CustomLevel(TraceLevel):
    """The level of ``custom_gradient``."""

    kind = "custom_gradient"

    def apply(self, op: Op, arrays: tuple[Any, ...], attrs: dict[str, Any], run: Run | None) -> Any:
        made = super().apply(op, arrays, attrs, run)
        unrecorded = modes and run is not None and run.watch.recorded and not recording()
        if unrecorded and any(part.dtype.kind in "fc" for part in (made if type(made) is tuple else (made,))):
            run.watch.leaves("jt.no_grad()")  # type: ignore[union-attr]
        return made


def depth(x: Tensor) -> int:
    """How many transforms deep the tensor's array is: 0 for a backend's own."""
    return owner(type(x.data)).depth  # type: ignore[no-any-return]
