"""Array classes that give ops another meaning: dual numbers (``jvp``), batches (``vmap``), and values that
are watched on their way (``checkpoint``, ``custom_gradient``).

The payload of such an array is an inner Tensor. Each kind has one class per nesting depth; among an op's operands the deepest
class wins, and the others are lifted into it as whole Tensors, node included. While a kernel of depth n runs, only the
n - 1 interpreters outside of it are active, so transforms nest in any order and closures over tracked tensors stay right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from ..backend import OWNERS, Device, active
from ..dtypes import DTYPES, DType
from ..errors import TransformError
from ..op import Op
from ..tensor import Tensor


class Level:
    """The owner of one interpreter's array class at one depth."""

    kind: ClassVar[str]
    array: ClassVar[type]
    core_dtypes: ClassVar[dict[DType, DType]] = {d: d for d in DTYPES.values()}
    _cache: ClassVar[dict[tuple[str, int], Level]] = {}

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.cls: Any = type(f"{self.array.__name__}{depth}", (self.array,), {"__slots__": (), "__array_ufunc__": None})
        OWNERS[self.cls] = self

    @classmethod
    @contextmanager
    def enter(cls) -> Iterator[Run]:
        """Run one more of this kind inside what is running, at the next depth. Levels are cached, runs are not."""
        stack = active.get()
        key = (cls.kind, len(stack) + 1)
        if key not in Level._cache:
            Level._cache[key] = cls(len(stack) + 1)
        run = Run(Level._cache[key])
        token = active.set((*stack, run.level))
        try:
            yield run
        finally:
            active.reset(token)
            run.alive = False

    def lift(self, x: Tensor) -> Any:
        """A constant of this level, that holds what ``x`` holds now: ``x`` itself may be updated in place."""
        raise NotImplementedError

    def apply(self, op: Op, arrays: tuple[Any, ...], attrs: dict[str, Any], run: Run | None) -> Any:
        """What ``op`` means here; runs with the outer levels active."""
        raise NotImplementedError

    def link(self, op: Op, cls: type) -> Callable[..., Any] | None:
        """The kernel of ``op`` for this level's class; a composite runs as the ops it is made of."""
        if op.composite:
            return None
        outer = self.depth - 1

        def kernel(*arrays: Any, **attrs: Any) -> Any:
            run = self.run_of(arrays)
            token = active.set(active.get()[:outer])
            try:
                return self.apply(op, arrays, attrs, run)
            finally:
                active.reset(token)

        return kernel

    def run_of(self, arrays: tuple[Any, ...]) -> Run | None:
        """The run that the operands belong to (None: constants); refuse values of a run that has ended, or of two."""
        found: Run | None = None
        for a in arrays:
            if type(a) is self.cls and a.run is not None and a.run is not found:
                if found is not None or not a.run.alive:
                    raise TransformError(
                        f"a value from inside a {self.kind} that has ended was used again: return it from the transformed "
                        f"function instead of keeping it elsewhere"
                    )
                found = a.run
        return found

    def core_dtype(self, native: Any) -> DType:
        """Payloads are Tensors, whose dtypes are the core's already."""
        return native  # type: ignore[no-any-return]

    def device_of(self, array: Any) -> Device:
        """The device of the payload."""
        return array.value.device  # type: ignore[no-any-return]

    def to_numpy(self, array: Any) -> Any:
        """The payload's values, where the transform allows to look at them."""
        return array.value.numpy()


class Run:
    """One call of a transform; its values must not outlive it. ``watch`` is what a ``TraceLevel`` tells about it."""

    __slots__ = ("alive", "level", "watch")

    def __init__(self, level: Level) -> None:
        self.level = level
        self.alive = True
        self.watch: Any = None


class Payload:
    """An array of an interpreter: shape and dtype are those that the user's function sees. Constants have no run."""

    __slots__ = ("run", "value")
    run: Run | None
    value: Tensor

    @property
    def dtype(self) -> DType:
        return self.value.dtype
