"""Batches: each array stands for many examples, along axis 0 of its payload. This is ``vmap``.

Elementwise ops align their operands' examples; other ops have a batch rule, or run their own forward on batches.
"""

from __future__ import annotations

from typing import Any

from ..backend import active
from ..errors import TransformError
from ..op import Op
from ..ops.shapes import align, broadcast_to, expand_dims
from ..tensor import Tensor
from . import Level, Payload, Run


class Batch(Payload):
    """Examples along axis 0 of ``value``; ``size`` None means one value for all of them, without that axis."""

    __slots__ = ("batched",)

    def __init__(self, run: Run | None, value: Tensor, batched: bool) -> None:
        self.run = run
        self.value = value
        self.batched = batched

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape[1:] if self.batched else self.value.shape


class BatchLevel(Level):
    """Owner of the batches of one depth."""

    kind, array = "vmap", Batch

    def lift(self, x: Tensor) -> Any:
        return self.cls(None, Tensor(x.data, x.node), False)

    def detach(self, array: Any) -> Any:
        """The same examples, detached from the levels outside."""
        return self.cls(array.run, array.value.detach(), array.batched)

    def format(self, array: Any) -> str:
        return f"{array.value!r} in vmap" + (", one example per row" if array.batched else "")

    def to_numpy(self, array: Any) -> Any:
        if not array.batched:
            return array.value.numpy()
        raise TransformError(
            "a value inside vmap stands for many examples and has no single number: bool(), int(), float(), item() and "
            "numpy() cannot be taken of it. Write jt.where(condition, a, b) instead of an if"
        )

    def link(self, op: Op, cls: type) -> Any:
        if op.composite or op.elementwise or op.batch_rule is not None:
            return super().link(op, cls)
        if op.forward is None:
            raise TransformError(
                f"{op.name}() has no batching rule, so vmap cannot run it: declare one by @{op.name}.batch"
            )
        return self._run_forward(op)

    def _run_forward(self, op: Op) -> Any:
        """The op's own forward, with the examples' ops as its namespace."""

        def kernel(*arrays: Any, **attrs: Any) -> Any:
            self.run_of(arrays)
            inner = [Tensor(a) if isinstance(a, Batch) else a for a in arrays]
            made = op.forward(_Namespace(op), *inner, **attrs)  # type: ignore[misc]
            if made is NotImplemented:
                raise TransformError(
                    f"{op.name}() cannot run under vmap: it has no form in the standard's functions, which could run on batches. "
                    f"Declare a batching rule by @{op.name}.batch"
                )
            return _unwrapped(made, self)

        return kernel

    def apply(self, op: Op, arrays: tuple[Any, ...], attrs: dict[str, Any], run: Run | None) -> Any:
        values = tuple(a.value if type(a) is self.cls else a for a in arrays)
        batched = tuple(type(a) is self.cls and a.batched for a in arrays)
        if not any(batched):
            made, aux = op.apply(values, attrs, with_aux=True) if op.aux else (op.apply(values, attrs), ())
            return self._wrapped(made, aux, False, op, run)
        if op.elementwise:
            ndim = max(len(a.shape) for a in arrays if type(a) is self.cls)
            values = tuple(align(v, ndim) if b else v for v, b in zip(values, batched, strict=True))
            made, aux = op.apply(values, attrs, with_aux=True) if op.aux else (op.apply(values, attrs), ())
            return self._wrapped(made, aux, True, op, run)
        made = op.batch_rule(batched, *values, **op.attrs | attrs)  # type: ignore[misc]
        made, aux = made if op.aux else (made, ())
        return self._wrapped(made, aux, True, op, run)

    def _wrapped(self, made: Any, aux: Any, batched: bool, op: Op, run: Run | None) -> Any:
        out = tuple(self.cls(run, m, batched) for m in made) if op.outputs > 1 else self.cls(run, made, batched)
        return (out, *(self.cls(run, a, batched) for a in aux)) if op.aux else out


def _unwrapped(made: Any, level: BatchLevel) -> Any:
    if type(made) is tuple:
        return tuple(_unwrapped(m, level) for m in made)
    return made.data if type(made.data) is level.cls else level.lift(made)


class _Namespace:
    """JITrench's own functions as ``xp``; the op itself is refused, because its forward would call itself forever."""

    def __init__(self, op: Op, part: str = "") -> None:
        self.op = op
        self.part = part  # "linalg." or "fft.", the standard's extensions

    def __getattr__(self, name: str) -> Any:
        import jitrench_core

        if name in ("linalg", "fft"):
            return _Namespace(self.op, f"{name}.")
        home = getattr(jitrench_core, self.part[:-1]) if self.part else jitrench_core
        function = getattr(home, name, None)
        if function is None or name == self.op.name:
            raise TransformError(
                f"{self.op.name}() cannot run under vmap: its forward uses xp.{self.part}{name}, which has no batched form. "
                f"Declare a batching rule by @{self.op.name}.batch"
            )
        return function


def unbatch(x: Tensor, run: Run, size: int) -> Tensor:
    """What a function under vmap returned, with the examples on axis 0."""
    level = run.level
    if type(x.data) is level.cls:
        level.run_of((x.data,))
        if x.data.batched:
            return Tensor(x.data.value.data, x.data.value.node)
        x = x.data.value
    token = active.set(active.get()[: level.depth - 1])
    try:
        return broadcast_to(expand_dims(x, axis=0), (size, *x.shape))
    finally:
        active.reset(token)
