"""The built-in ops, a file a family, registered through the same hook as anyone's.

``jt.ops.NAME`` finds any registered op, a plugin's too: an unknown name loads the plugins.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from .. import graph, plugins, registry
from ..backend import owner
from ..hookspecs import Register
from ..op import unary
from ..tensor import Tensor, assign
from . import (
    creation,
    decompositions,
    elementwise,
    fourier,
    indexing,
    linalg,
    padding,
    random,
    reductions,
    scans,
    selecting,
    shapes,
    sorting,
    special,
)

_FAMILIES = (
    creation,
    elementwise,
    special,
    shapes,
    reductions,
    linalg,
    decompositions,
    indexing,
    random,
    scans,
    sorting,
    fourier,
    selecting,
    padding,
)
_BUILTIN = {
    n: f
    for m in _FAMILIES
    for n, f in vars(m).items()
    if getattr(f, "op", None) and f.__module__.startswith("jitrench_core")
}
_BUILTIN = {f.op.name: f for f in _BUILTIN.values()}
for _m in _FAMILIES:  # pickle finds a function by its module; a table's row does not know its own
    for _f in vars(_m).values():
        if getattr(_f, "op", None) and _f.__module__ == unary.__module__:
            _f.__module__ = _m.__name__


def register_ops(register: Register) -> None:
    for function in _BUILTIN.values():
        register(function)


def __getattr__(name: str) -> Any:
    if name in _BUILTIN:
        return _BUILTIN[name]
    if name.startswith("__"):
        raise AttributeError(name)
    return registry.ops[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *registry.ops.entries})


# -- Tensor's operators and methods are the ops ------------------------------------------------------------------------


def _reflected(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def call(self: Any, other: Any) -> Any:
        return function(other, self)

    return call


def _in_place(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def call(self: Any, other: Any) -> Any:
        assign(self, function(self, other))
        return self

    return call


def _comparison(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """``==`` and ``!=`` with something that is no array leave the answer to Python."""

    def call(self: Any, other: Any) -> Any:
        if isinstance(other, (bool, int, float, complex, list, tuple)) or hasattr(other, "shape"):
            return function(self, other)
        return NotImplemented

    return call


OPERATORS: dict[str, Any] = {
    "add": elementwise.add, "sub": elementwise.subtract, "mul": elementwise.multiply, "truediv": elementwise.divide,
    "floordiv": elementwise.floor_divide, "mod": elementwise.remainder, "pow": elementwise.pow, "matmul": linalg.matmul,
    "and": elementwise.bitwise_and, "or": elementwise.bitwise_or, "xor": elementwise.bitwise_xor,
    "lshift": elementwise.bitwise_left_shift, "rshift": elementwise.bitwise_right_shift,
}  # fmt: skip
_COMMUTATIVE = ("add", "mul", "and", "or", "xor")
ATTACHED: dict[str, Any] = {
    "__lt__": elementwise.less, "__le__": elementwise.less_equal,
    "__gt__": elementwise.greater, "__ge__": elementwise.greater_equal,
    "__eq__": _comparison(elementwise.equal), "__ne__": _comparison(elementwise.not_equal),
    "__neg__": elementwise.negative, "__pos__": elementwise.positive, "__abs__": elementwise.abs,
    "__invert__": elementwise.bitwise_invert,
    "__getitem__": indexing.tensor_getitem, "__setitem__": indexing.tensor_setitem, "at": property(selecting.At),
}  # fmt: skip
for _name, _function in OPERATORS.items():
    ATTACHED[f"__{_name}__"] = _function
    ATTACHED[f"__r{_name}__"] = _function if _name in _COMMUTATIVE else _reflected(_function)
    ATTACHED[f"__i{_name}__"] = _in_place(_function)
METHODS = (
    "sum", "mean", "prod", "max", "min", "var", "std", "argmax", "argmin", "all", "any",
    "squeeze", "astype", "exp", "log", "sqrt",
)  # fmt: skip


def _reshape(self: Tensor, *shape: Any) -> Tensor:
    """``x.reshape(2, 3)`` or ``x.reshape((2, 3))``: the same elements in row-major order in another shape."""
    return shapes.reshape(self, shape[0] if len(shape) == 1 else shape)


ATTACHED["reshape"] = _reshape
for _name, _function in (*ATTACHED.items(), *((name, _BUILTIN[name]) for name in METHODS)):
    setattr(Tensor, _name, _function)


# -- the second injection: the few ops that the backward loop itself uses ------------------------------------------------


def _match_dtype(r: Any, parent: Any) -> Any:
    """A gradient in its input's dtype."""
    dtype = owner(type(r.data)).core_dtype(parent.dtype)
    if r.dtype == dtype:
        return r
    return shapes.astype(elementwise.real(r) if r.dtype.kind == "c" and dtype.kind != "c" else r, dtype)


def _zeros(shape: Any, dtype: Any, device: Any) -> Any:
    return creation.zeros(tuple(shape), dtype=device.backend.core_dtype(dtype), device=device)


graph.ops = SimpleNamespace(
    add=elementwise.add,
    asarray=creation.asarray,
    astype=shapes.astype,
    conj=elementwise.conj,
    join=indexing.join,
    match_dtype=_match_dtype,
    matrix_transpose=shapes.matrix_transpose,
    ones_like=_BUILTIN["ones_like"],
    sum_to=shapes.sum_to,
    to_device=shapes.to_device,
    zeros=_zeros,
)

plugins.register_own(sys.modules[__name__], "jitrench-core")
