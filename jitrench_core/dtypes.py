"""The core's own data types: small, hashable, and equal to NumPy's of the same name.

``jt.float32`` equals ``"float32"``, ``np.float32`` and ``np.dtype("float32")``, without the core importing NumPy. (As a key
of a dict it meets its name, but not NumPy's objects, which hash by other rules.)
Each backend maps these names to its native types and back.
"""

from __future__ import annotations

import sys
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

    @property
    def __numpy_dtype__(self) -> Any:
        """NumPy's type of this name: NumPy 2.4 and later ask for it, as in ``np.zeros(3, dtype=x.dtype)``."""
        return sys.modules["numpy"].dtype(self.name)


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


# -- what the standard asks of data types ------------------------------------------------------------------------------

KINDS: dict[str, str] = {
    "bool": "b", "signed integer": "i", "unsigned integer": "u", "integral": "iu",
    "real floating": "f", "complex floating": "c", "numeric": "iufc",
}  # fmt: skip


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether ``dtype`` is of ``kind``: another dtype, a kind's name, or a tuple of these, of which one is enough.

    The kinds are ``"bool"``, ``"signed integer"``, ``"unsigned integer"``, ``"integral"``, ``"real floating"``,
    ``"complex floating"`` and ``"numeric"``.

    >>> isdtype(float32, "real floating"), isdtype(int8, ("bool", "integral"))
    (True, True)

    Raises ``DTypeError`` for what is neither a dtype nor a kind.
    """
    mine = _of(dtype)
    if isinstance(kind, tuple):
        return any(isdtype(mine, k) for k in kind)
    if isinstance(kind, str) and kind not in ("bool", *DTYPES):
        if kind not in KINDS:
            raise DTypeError(f"no kind of dtypes {kind!r}; known are {', '.join(KINDS)}.{suggest(kind, KINDS)}")
        return mine.kind in KINDS[kind]
    return _of(kind) is mine


def _of(x: Any) -> DType:
    """The dtype that ``x`` is, or that an array has."""
    return x if type(x) is DType else dtype(x if isinstance(x, type) else getattr(x, "dtype", x))


def promote(a: DType, b: DType) -> DType:
    """The smallest dtype that holds the values of both, as the standard's tables say.

    What these leave open is NumPy's answer: a boolean gives way to anything, an integer beside a float takes the smallest float
    that is as precise, and uint64 beside a signed integer is float64.
    """
    if a is b or b.kind == "b":
        return a
    if a.kind == "b":
        return b
    if a.kind not in "iu" or b.kind not in "iu":
        bits = max(_float_bits(a), _float_bits(b))
        return DTYPES[f"complex{max(2 * bits, 64)}" if "c" in (a.kind, b.kind) else f"float{bits}"]
    if a.kind == b.kind:
        return a if a.bits > b.bits else b
    signed, unsigned = (a, b) if a.kind == "i" else (b, a)
    if signed.bits > unsigned.bits:
        return signed
    return DTYPES[f"int{2 * unsigned.bits}"] if unsigned.bits < 64 else float64


def _float_bits(d: DType) -> int:
    """How wide a float must be for the values of ``d``, or of its real part."""
    return d.bits // 2 if d.kind == "c" else d.bits if d.kind == "f" else min(64, 2 * d.bits)


_RANK = {bool: 0, int: 1, float: 3, complex: 4}  # of a Python number, among the kinds "biufc"


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype of a result of these operands: arrays, dtypes, and Python numbers, which are weak.

    >>> result_type(int32, uint16, int64), result_type(float32, 1.0), result_type(float32, 1j)
    (jt.int64, jt.float32, jt.complex64)

    Raises ``DTypeError`` where nothing but Python numbers is given.
    """
    weak = [type(x) for x in arrays_and_dtypes if type(x) in _RANK]
    strong = [_of(x) for x in arrays_and_dtypes if type(x) not in _RANK]
    if not strong:
        raise DTypeError("result_type() needs an array or a dtype among its arguments; Python numbers alone have none")
    result = strong[0]
    for other in strong[1:]:
        result = promote(result, other)
    for cls in weak:
        if _RANK[cls] > "biufc".index(result.kind):
            result = promote(result, complex64) if cls is complex and result.kind == "f" else _PYTHON[cls]
    return result


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether type promotion leads from ``from_``, a dtype or an array, to the dtype ``to``.

    >>> can_cast(int8, int16), can_cast(float64, float32)
    (True, False)
    """
    target = _of(to)
    return promote(_of(from_), target) is target


@final
class FloatInfo:
    """Limits of a floating-point dtype, or of a complex one's parts, as Python floats."""

    __slots__ = ("bits", "dtype", "eps", "max", "min", "smallest_normal")

    def __init__(self, dtype: DType) -> None:
        digits, exponent = {16: (11, 15), 32: (24, 127), 64: (53, 1023)}[dtype.bits]
        self.dtype = dtype
        self.bits = dtype.bits
        self.eps = 2.0 ** (1 - digits)
        self.max = (2.0 - self.eps) * 2.0**exponent
        self.min = -self.max
        self.smallest_normal = 2.0 ** (1 - exponent)

    def __repr__(self) -> str:
        return f"jt.finfo({self.dtype!r})"


@final
class IntegerInfo:
    """Limits of an integer dtype, as Python ints."""

    __slots__ = ("bits", "dtype", "max", "min")

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype
        self.bits = dtype.bits
        self.max = 2 ** (dtype.bits - (dtype.kind == "i")) - 1
        self.min = -self.max - 1 if dtype.kind == "i" else 0

    def __repr__(self) -> str:
        return f"jt.iinfo({self.dtype!r})"


def finfo(type: Any, /) -> FloatInfo:
    """``bits``, ``eps``, ``max``, ``min``, ``smallest_normal`` and ``dtype`` of a floating-point or complex dtype or array.

    >>> finfo(float32).eps == 2.0**-23, finfo(complex128).dtype
    (True, jt.float64)
    """
    found = _of(type)
    if found.kind not in "fc":
        raise DTypeError(f"finfo() describes floating-point and complex dtypes, not {found}: use iinfo()")
    return FloatInfo(DTYPES[f"float{_float_bits(found)}"])


def iinfo(type: Any, /) -> IntegerInfo:
    """``bits``, ``max``, ``min`` and ``dtype`` of an integer dtype or array.

    >>> iinfo(int8).min, iinfo(uint8).max
    (-128, 255)
    """
    found = _of(type)
    if found.kind not in "iu":
        raise DTypeError(
            f"iinfo() describes integer dtypes, not {found}{': use finfo()' if found.kind in 'fc' else ''}"
        )
    return IntegerInfo(found)
