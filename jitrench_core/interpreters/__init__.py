"""Array classes that give ops another meaning: dual numbers (``jvp``) and batches (``vmap``).

The payload of such an array is an inner Tensor. Each kind has one class per nesting depth; among an op's operands the deepest
class wins, and the others are lifted into it as whole Tensors, node included. While a kernel of depth n runs, only the
n - 1 interpreters outside of it are active, so transforms nest in any order and closures over tracked tensors stay right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from ..backend import OWNERS, Device, active
from ..dtypes import DType
from ..op import Op
from ..tensor import Tensor


class Level:
    """The owner of one interpreter's array class at one depth."""

    kind: ClassVar[str]
    array: ClassVar[type]
    _cache: ClassVar[dict[tuple[str, int], Level]] = {}

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.cls: Any = type(f"{self.array.__name__}{depth}", (self.array,), {"__slots__": (), "__array_ufunc__": None})
        OWNERS[self.cls] = self

    @classmethod
    @contextmanager
    def enter(cls) -> Iterator[Any]:
        """Run one more of this kind inside what is running: the level of the next depth, cached."""
        stack = active.get()
        key = (cls.kind, len(stack) + 1)
        if key not in Level._cache:
            Level._cache[key] = cls(len(stack) + 1)
        level = Level._cache[key]
        token = active.set((*stack, level))
        try:
            yield level
        finally:
            active.reset(token)

    def lift(self, x: Tensor) -> Any:
        """A constant of this level."""
        raise NotImplementedError

    def apply(self, op: Op, arrays: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """What ``op`` means here; runs with the outer levels active."""
        raise NotImplementedError

    def link(self, op: Op, cls: type) -> Callable[..., Any] | None:
        """The kernel of ``op`` for this level's class; a composite runs as the ops it is made of."""
        if op.composite:
            return None
        outer = self.depth - 1

        def kernel(*arrays: Any, **attrs: Any) -> Any:
            token = active.set(active.get()[:outer])
            try:
                return self.apply(op, arrays, attrs)
            finally:
                active.reset(token)

        return kernel

    def core_dtype(self, native: Any) -> DType:
        """Payloads are Tensors, whose dtypes are the core's already."""
        return native  # type: ignore[no-any-return]

    def device_of(self, array: Any) -> Device:
        """The device of the payload."""
        return array.value.device  # type: ignore[no-any-return]

    def to_numpy(self, array: Any) -> Any:
        """The payload's values, where the transform allows to look at them."""
        return array.value.numpy()


class Payload:
    """An array of an interpreter: shape and dtype are those that the user's function sees."""

    __slots__ = ("value",)
    value: Tensor

    @property
    def dtype(self) -> DType:
        return self.value.dtype
