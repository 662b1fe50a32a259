"""The core's own data types: small, hashable, and equal to NumPy's of the same name.

``jt.float32`` equals ``"float32"``, ``np.float32`` and ``np.dtype("float32")``, without the core importing NumPy. (As a key
of a dict it meets its name, but not NumPy's objects, which hash by other rules.)
Each backend maps these names to its native types and back.
"""

from __future__ import annotations

from typing import Any, final

from .errors import DTypeError, suggest


@final
class DType:
    """A data type: ``name``, ``kind`` (``b`` bool, ``i`` int, ``u`` unsigned, ``f`` float, ``c`` complex), ``bits``."""

    __slots__ = ("bits", "kind", "name")

    def __init__(self, name: str, kind: str, bits: int) -> None:
        self.name = name
        self.kind = kind
        self.bits = bits

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if isinstance(other, type) and other in _PYTHON:
            return _PYTHON[other] is self
        name = other if isinstance(other, str) else getattr(other, "name", None) or getattr(other, "__name__", None)
        return name == self.name if isinstance(name, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"jt.{self.name}"

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> str | tuple[Any, ...]:
        return dtype, (self.name,)


bool_ = DType("bool", "b", 8)
int8 = DType("int8", "i", 8)
int16 = DType("int16", "i", 16)
int32 = DType("int32", "i", 32)
int64 = DType("int64", "i", 64)
uint8 = DType("uint8", "u", 8)
uint16 = DType("uint16", "u", 16)
uint32 = DType("uint32", "u", 32)
uint64 = DType("uint64", "u", 64)
float16 = DType("float16", "f", 16)
float32 = DType("float32", "f", 32)
float64 = DType("float64", "f", 64)
complex64 = DType("complex64", "c", 64)
complex128 = DType("complex128", "c", 128)

DTYPES: dict[str, DType] = {
    d.name: d
    for d in (
        bool_, int8, int16, int32, int64, uint8, uint16, uint32, uint64,
        float16, float32, float64, complex64, complex128,
    )
}  # fmt: skip

_PYTHON: dict[type, DType] = {bool: bool_, int: int64, float: float64, complex: complex128}


def dtype(spec: Any) -> DType:
    """The ``DType`` that ``spec`` names: one of ours, a name, a Python type, or another library's dtype.

    >>> dtype("float32")
    jt.float32
    >>> dtype(int)
    jt.int64

    Raises ``DTypeError`` for anything else.
    """
    if type(spec) is DType:
        return spec
    if isinstance(spec, type) and spec in _PYTHON:
        return _PYTHON[spec]
    name = spec if isinstance(spec, str) else getattr(spec, "name", None) or getattr(spec, "__name__", None)
    if name is None:  # some libraries' dtypes have no name, but print as "library.float32"
        name = str(spec).rpartition(".")[2]
    found = DTYPES.get(name) if isinstance(name, str) else None
    if found is None:
        near = suggest(name, DTYPES) if isinstance(name, str) else ""
        raise DTypeError(f"no dtype {spec!r}; known are {', '.join(DTYPES)}.{near}")
    return found
