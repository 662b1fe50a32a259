"""The stand-in's array: host memory behind CuPy's manners."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import _state
from ._state import Memory, synchronise

CHARS = "?bhilqBHILQefdFD"


def unsupported(x: Any) -> TypeError:
    return TypeError(f"Unsupported type {type(x)}")


class ndarray:
    """An n-dimensional array "on the GPU". It refuses NumPy's arrays and never becomes one by itself."""

    __slots__ = ("_a", "_memory", "base", "__weakref__")
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __new__(
        cls, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C"
    ) -> ndarray:
        if memptr is not None or strides is not None:
            raise NotImplementedError("the stand-in for CuPy makes no array of a pointer")
        return garbage(shape, dtype, order)

    # -- what it is ------------------------------------------------------------------------------------------------

    shape = property(lambda self: self._a.shape, lambda self, v: setattr(self, "_a", self._a.reshape(v, copy=False)))
    dtype = property(lambda self: self._a.dtype)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    nbytes = property(lambda self: self._a.nbytes)
    itemsize = property(lambda self: self._a.itemsize)
    strides = property(lambda self: self._a.strides)
    flags = property(lambda self: Flags(self._a.flags, self.base is None))
    T = property(lambda self: self._view(self._a.T))
    mT = property(lambda self: self._view(self._a.mT))
    imag = property(lambda self: self._view(self._a.imag), lambda self, v: self.imag.__setitem__(..., v))
    real = property(lambda self: self._view(self._a.real), lambda self, v: self.real.__setitem__(..., v))

    @property
    def device(self) -> Any:
        from .cuda import Device

        return Device(self._memory.device)

    @property
    def data(self) -> Any:
        from .cuda import MemoryPointer

        return MemoryPointer(self._memory, self._a.ctypes.data)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        a = self._a
        strides = None if a.flags.c_contiguous else a.strides
        return {
            "shape": a.shape,
            "typestr": a.dtype.str,
            "descr": a.dtype.descr,
            "stream": 1,
            "version": 3,
            "strides": strides,
            "data": (a.ctypes.data, False),
        }

    def _view(self, raw: Any) -> ndarray:
        """``raw``, which may show this array's own memory."""
        return wrap(raw, (self,))

    # -- to the host: each is a synchronisation ----------------------------------------------------------------------

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> Any:
        synchronise("get()")
        if out is not None:
            out[...] = self._a
            return out
        return self._a.copy(order=order)

    def item(self) -> Any:
        synchronise("item()")
        return self._a.item()

    def tolist(self) -> Any:
        synchronise("tolist()")
        return self._a.tolist()

    def tobytes(self, order: str = "C") -> bytes:
        synchronise("tobytes()")
        return self._a.tobytes(order)

    def __float__(self) -> float:
        synchronise("float()")
        return float(self._a)

    def __int__(self) -> int:
        synchronise("int()")
        return int(self._a)

    def __bool__(self) -> bool:
        synchronise("bool()")
        return bool(self._a)

    def __complex__(self) -> complex:
        synchronise("complex()")
        return complex(self._a)

    def __repr__(self) -> str:
        synchronise("repr()")
        return repr(self._a)

    def __str__(self) -> str:
        synchronise("str()")
        return str(self._a)

    def __format__(self, spec: str) -> str:
        synchronise("format()")
        return format(self._a[()] if not self._a.ndim else self._a, spec)

    def __reduce__(self) -> Any:
        synchronise("pickle")
        from . import array

        return array, (self._a,)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        import cupy

        found = getattr(cupy, ufunc.__name__, None)
        if found is None or method not in ("__call__", "outer", "at", "reduce", "accumulate"):
            return NotImplemented
        if "out" in kwargs and isinstance(kwargs["out"], tuple):
            kwargs["out"] = kwargs["out"][0]
        return (found if method == "__call__" else getattr(found, method))(*inputs, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        import cupy

        module: Any = cupy
        for part in function.__module__.split(".")[1:]:
            module = getattr(module, part, None)
        found = getattr(module, function.__name__, None)
        if found is None or not all(issubclass(t, ndarray) for t in types):
            return NotImplemented
        return found(*args, **kwargs)

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None
    ) -> Any:
        raise BufferError("the stand-in for CuPy has no DLPack: its memory is not a GPU's")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self._memory.device

    # -- from the host -----------------------------------------------------------------------------------------------

    def set(self, arr: Any, stream: Any = None) -> None:
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if self.dtype != arr.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if self.shape != arr.shape:
            raise ValueError("Shape mismatch")
        self._a[...] = arr

    # -- indexing ----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        if not self._a.ndim:
            raise TypeError("len() of unsized object")
        return len(self._a)

    def __iter__(self) -> Iterator[ndarray]:
        if not self._a.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self._a)))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def _key(self, key: Any) -> Any:
        """The key for the host's array; index arrays wrap around, as CuPy's do."""
        parts = key if isinstance(key, tuple) else (key,)
        if not any(isinstance(p, (ndarray, list, np.ndarray, np.generic)) for p in parts):
            return key
        made: list[Any] = []
        axis = 0
        for p in parts:
            if isinstance(p, np.ndarray):
                raise IndexError(f"Unsupported type {type(p)}: a NumPy array among the indices of a CuPy array")
            if isinstance(p, list):
                p = array(p) if p else garbage(0, np.int64)
            if isinstance(p, np.generic):
                p = p.item()
            if p is Ellipsis:
                rest = sum(
                    q._a.ndim if isinstance(q, ndarray) and q._a.dtype == bool else q is not None and q is not Ellipsis
                    for q in parts
                )
                axis += self._a.ndim - rest
            elif isinstance(p, ndarray):
                same_device((self, p))
                p = p._a
                if p.dtype == bool:
                    if p.size:  # how many are true is looked at, to write a number as well
                        synchronise("an index of booleans")
                    axis += p.ndim
                elif p.dtype.kind in "iu":
                    n = self._a.shape[axis] if axis < self._a.ndim else 0
                    if not n and p.size:
                        raise IndexError("cannot take from an axis of length 0")
                    p = p.astype(np.int64) % n if n else p
                    axis += 1
                else:
                    raise IndexError(
                        f"arrays used as indices must be of integer or boolean type. (actual: {p.dtype.type.__name__!r})"
                    )
            elif p is not None:
                axis += 1
            made.append(p)
        return tuple(made)

    def __getitem__(self, key: Any) -> ndarray:
        return self._view(self._a[self._key(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, np.ndarray):
            raise unsupported(value)
        if isinstance(value, ndarray):
            same_device((self, value))
            value = value._a
        elif isinstance(value, (list, tuple)):
            value = array(value)._a
        with np.errstate(all="ignore"):
            self._a[self._key(key)] = value

    def fill(self, value: Any) -> None:
        if isinstance(value, np.ndarray):
            raise unsupported(value)
        self._a.fill(value._a if isinstance(value, ndarray) else value)

    # -- methods that show or copy -----------------------------------------------------------------------------------

    def astype(
        self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None, copy: bool = True
    ) -> ndarray:
        if not copy and np.dtype(dtype) == self.dtype:
            return self
        with np.errstate(all="ignore"), quiet():
            return wrap(self._a.astype(supported(dtype), order="C" if order == "K" and not self._a.ndim else order))

    def copy(self, order: str = "C") -> ndarray:
        return wrap(self._a.copy(order=order))

    def reshape(self, *shape: Any, order: str = "C", copy: Any = None) -> ndarray:
        shape = shape[0] if len(shape) == 1 else shape
        if isinstance(shape, ndarray):
            raise TypeError("a shape is of integers, not a cupy.ndarray")
        return self._view(self._a.reshape(shape, order=order, copy=copy))

    def view(self, dtype: Any = None, type: Any = None) -> ndarray:
        return self._view(self._a.view() if dtype is None else self._a.view(dtype))

    def ravel(self, order: str = "C") -> ndarray:
        return self._view(self._a.ravel(order))

    def flatten(self, order: str = "C") -> ndarray:
        return wrap(self._a.flatten(order))

    def transpose(self, *axes: Any) -> ndarray:
        return self._view(self._a.transpose(*axes))

    def swapaxes(self, axis1: int, axis2: int) -> ndarray:
        return self._view(self._a.swapaxes(axis1, axis2))

    def squeeze(self, axis: Any = None) -> ndarray:
        return self._view(self._a.squeeze(axis))

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> ndarray:
        return self._view(self._a.diagonal(offset, axis1, axis2))

    def reduced_view(self, dtype: Any = None) -> ndarray:
        return self

    def __copy__(self) -> ndarray:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> ndarray:
        return self.copy()

    def sort(self, axis: int = -1, kind: Any = None) -> None:
        self._a.sort(axis, kind="stable")

    def scatter_add(self, slices: Any, value: Any) -> None:
        self._deprecated("add", slices, value)

    def scatter_max(self, slices: Any, value: Any) -> None:
        self._deprecated("maximum", slices, value)

    def scatter_min(self, slices: Any, value: Any) -> None:
        self._deprecated("minimum", slices, value)

    def _deprecated(self, how: str, slices: Any, value: Any) -> None:
        text = f"`ndarray.scatter_{how[:3]}` is deprecated. Please use `cupy.{how}.at` instead."
        warnings.warn(text, DeprecationWarning, stacklevel=3)
        scatter(how, self, slices, value)


class Flags:
    """CuPy's flags, which are fewer than NumPy's."""

    def __init__(self, flags: Any, owndata: bool) -> None:
        self.c_contiguous, self.f_contiguous, self.owndata = flags.c_contiguous, flags.f_contiguous, owndata
        self.forc = flags.forc
        self.fnc = flags.fnc

    def __getitem__(self, name: str) -> bool:
        return {"C_CONTIGUOUS": self.c_contiguous, "F_CONTIGUOUS": self.f_contiguous, "OWNDATA": self.owndata}[name]  # type: ignore[no-any-return]


class quiet:
    """A GPU warns of nothing: casting complex numbers to real ones, a mean of nothing."""

    def __enter__(self) -> None:
        import warnings

        self.caught = warnings.catch_warnings()
        self.caught.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, *exc: object) -> None:
        self.caught.__exit__(*exc)


def same_device(arrays: Any) -> None:
    """An array of another than the current device is refused: CuPy would let it read that memory, or fail, by the machine."""
    for a in arrays:
        if a._memory.device != _state.current:
            raise ValueError(
                f"Array device must be same as the current device: array device = {a._memory.device} while current = {_state.current}"
            )


def root(raw: Any) -> Any:
    while isinstance(raw.base, np.ndarray):
        raw = raw.base
    return raw


def wrap(raw: Any, of: Any = ()) -> ndarray:
    """A new array of the host's ``raw``; it shares the memory of the one ``of`` those that it is a view of."""
    raw = np.asarray(raw)
    if raw.dtype.char not in CHARS:
        raise ValueError(f"Unsupported dtype {raw.dtype}")
    made: ndarray = object.__new__(ndarray)
    made._a = raw
    made.base = None
    if of:
        owner = root(raw)
        for other in of:
            if root(other._a) is owner:
                made._memory = other._memory
                made.base = other if other.base is None else other.base
                return made
    if not raw.flags.owndata:
        whole = root(raw)
        if not whole.flags.owndata or not whole.flags.writeable or raw.size != whole.size:
            made._a = raw = raw.copy()
    made._memory = Memory(raw.nbytes, _state.current)
    return made


def supported(dtype: Any) -> Any:
    dtype = np.dtype(dtype)
    if dtype.char not in CHARS:
        raise ValueError(f"Unsupported dtype {dtype}")
    return dtype


def garbage(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """What ``cupy.empty`` gives: memory that nobody has written, NaN here so that reading it shows."""
    if isinstance(shape, ndarray):
        raise TypeError("a shape is of integers, not a cupy.ndarray")
    _state.check_device(_state.current)
    raw = np.empty(shape, supported(dtype), order="F" if order == "F" else "C")
    flat = raw.reshape(-1, order="A") if raw.ndim else raw.reshape(1)
    if flat.size:
        flat.view(np.uint8)[...] = 1 if raw.dtype == bool else 0xFF if raw.dtype.kind in "fc" else 0x7B
    return wrap(raw)


def array(
    obj: Any,
    dtype: Any = None,
    copy: Any = True,
    order: str = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> ndarray:
    """``cupy.array``."""
    _state.check_device(_state.current)
    if isinstance(obj, ndarray):
        elsewhere = obj._memory.device != _state.current
        if not copy and not elsewhere and (dtype is None or np.dtype(dtype) == obj.dtype) and obj.ndim >= ndmin:
            return obj
        raw = np.array(obj._a, None if dtype is None else supported(dtype), copy=True, order=order, ndmin=ndmin)
        return wrap(raw)
    if isinstance(obj, (list, tuple)):
        return wrap(np.array(_nested(obj), None if dtype is None else supported(dtype), ndmin=ndmin))
    if hasattr(obj, "__cuda_array_interface__"):
        raise NotImplementedError("the stand-in for CuPy takes no foreign GPU memory")
    with np.errstate(all="ignore"), quiet():
        raw = np.array(obj, None if dtype is None else supported(dtype), copy=True, order=order, ndmin=ndmin)
    return wrap(raw)


def _nested(obj: Any) -> Any:
    """Arrays within lists, joined as CuPy joins them; those of NumPy and CuPy do not mix."""
    if isinstance(obj, ndarray):
        return obj._a
    return [_nested(o) for o in obj] if isinstance(obj, (list, tuple)) else obj


SCATTERED = {"add": "efdilIL", "maximum": "fdilIL", "minimum": "fdilIL"}


def scatter(how: str, a: ndarray, slices: Any, value: Any) -> None:
    """``cupy.add.at``, ``maximum.at`` and ``minimum.at``, for the dtypes that CuPy has them for."""
    if not isinstance(a, ndarray):
        raise TypeError(f"unsupported type: {type(a)}")
    char = {"q": "l", "Q": "L"}.get(a.dtype.char, a.dtype.char)
    if char not in SCATTERED[how]:
        raise TypeError(f"cupy.{how}.at only supports {SCATTERED[how]} as data type, not {a.dtype}")
    if isinstance(value, np.ndarray):
        raise unsupported(value)
    same_device([x for x in (a, value) if isinstance(x, ndarray)])
    function = getattr(np, how)
    raw = value._a if isinstance(value, ndarray) else value
    if char == "d" and how != "add":  # CuPy's atomicMax and atomicMin of doubles compare by fmaxf and fminf
        raw = np.asarray(raw).astype(np.float32)
    with np.errstate(all="ignore"), quiet():
        function.at(a._a, a._key(slices), np.asarray(raw).astype(a.dtype))


def _binary(name: str) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    def operate(self: ndarray, other: Any) -> Any:
        import cupy

        if not isinstance(other, (ndarray, np.ndarray, np.generic, bool, int, float, complex)):
            foreign = getattr(other, "__array_ufunc__", None)
            return NotImplemented if foreign is None else foreign(getattr(np, name), "__call__", self, other)
        return getattr(cupy, name)(self, other)

    def reflected(self: ndarray, other: Any) -> Any:
        import cupy

        return getattr(cupy, name)(other, self)

    def in_place(self: ndarray, other: Any) -> Any:
        import cupy

        return getattr(cupy, name)(self, other, out=self)

    return operate, reflected, in_place


OPERATORS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "power",
    "matmul": "matmul",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "left_shift",
    "rshift": "right_shift",
}
for _short, _name in OPERATORS.items():
    _operate, _reflected, _in_place = _binary(_name)
    setattr(ndarray, f"__{_short}__", _operate)
    setattr(ndarray, f"__r{_short}__", _reflected)
    if _short != "matmul":
        setattr(ndarray, f"__i{_short}__", _in_place)
for _short, _name in {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
    "divmod": "divmod",
}.items():
    setattr(ndarray, f"__{_short}__", _binary(_name)[0])


def _unary(name: str) -> Callable[..., Any]:
    def operate(self: ndarray) -> Any:
        import cupy

        return getattr(cupy, name)(self)

    return operate


for _short, _name in {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}.items():
    setattr(ndarray, f"__{_short}__", _unary(_name))


def _method(name: str) -> Callable[..., Any]:
    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        import cupy

        return getattr(cupy, name)(self, *args, **kwargs)

    method.__name__ = name
    return method


for _name in [
    "all",
    "any",
    "argmax",
    "argmin",
    "argpartition",
    "argsort",
    "choose",
    "clip",
    "compress",
    "conj",
    "conjugate",
    "cumprod",
    "cumsum",
    "dot",
    "max",
    "mean",
    "min",
    "nonzero",
    "prod",
    "ptp",
    "put",
    "repeat",
    "round",
    "searchsorted",
    "std",
    "sum",
    "take",
    "trace",
    "var",
]:
    setattr(ndarray, _name, _method(_name))

ndarray.__module__ = "cupy"
