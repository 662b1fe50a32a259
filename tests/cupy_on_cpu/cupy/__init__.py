"""A stand-in for CuPy on a machine without a GPU: its arrays are in the host's memory, and g++ compiles its kernels.

It is put before the real package by ``PYTHONPATH=tests/cupy_on_cpu``, for tests of jitrench-cupy only. It has only names that
CuPy has (names.json), takes only the arguments that CuPy's functions take, refuses NumPy's arrays, counts synchronisations,
keeps devices apart, and runs CUDA kernels block by block. It is no proof of a GPU: README.md beside it says what a test
that passes here shows, and what it does not.
"""

from __future__ import annotations

import sys
from functools import cache
from types import ModuleType
from typing import Any

import numpy as _np

from . import _state
from ._array import array, garbage, ndarray
from ._functions import empty, empty_like, function, lowered, ufunc  # noqa: F401
from ._state import NAMES as _NAMES

__version__ = _NAMES["version"]
_ON_CPU = True  # so that a test can say what it ran on


def _public(module: str, host: Any, own: dict[str, Any], beside: tuple[Any, ...] = ()) -> dict[str, Any]:
    """The module's names: ``own`` ones first, else NumPy's, of those that CuPy has."""
    made: dict[str, Any] = {}
    for name, described in _state.names(module).items():
        if name in own:
            made[name] = own[name]
            continue
        found = next((getattr(h, name) for h in (host, *beside) if hasattr(h, name)), None)
        if found is None or isinstance(found, ModuleType):
            continue
        if isinstance(described, list):
            made[name] = ufunc(name, described, found, module)
        elif isinstance(found, type) or not callable(found):
            made[name] = found
        else:
            made[name] = function(module, name, found)
    return made


class _Module(ModuleType):
    """A module whose missing names tell CuPy's gaps from the stand-in's."""

    def __getattr__(self, name: str) -> Any:
        if name == "_synchronisations":
            return _state.synchronisations
        if name in _state.NAMES["modules"].get(self.__name__, ()):
            raise AttributeError(f"CuPy has {self.__name__}.{name}, but the stand-in for it does not")
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_synchronisations":
            _state.synchronisations = value
        else:
            super().__setattr__(name, value)


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> Any:
    """The array on the host: a synchronisation."""
    return a.get(order=order, out=out) if isinstance(a, ndarray) else _np.asarray(a, order=order)


def asarray(
    a: Any, dtype: Any = None, order: str | None = None, *, blocking: bool = False, copy: Any = None
) -> ndarray:
    """``cupy.asarray``."""
    made = array(a, dtype, copy=bool(copy), order=order or "K")
    if copy is False and made is not a:
        raise ValueError("Unable to avoid copy while creating an array as requested.")
    return made


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    """``cupy.ascontiguousarray``."""
    a = asarray(a, dtype)
    return a if a.flags.c_contiguous else a.copy()


def get_array_module(*args: Any) -> ModuleType:
    """``cupy`` where one of ``args`` is its array, else ``numpy``."""
    return sys.modules[__name__] if any(isinstance(a, ndarray) for a in args) else _np


def is_available() -> bool:
    return _state.devices > 0


def copyto(dst: ndarray, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    found: list[ndarray] = []
    raw = lowered(src, found)
    _np.copyto(dst._a, raw, casting=casting, where=True if where is None else lowered(where, found))


def astype(x: ndarray, dtype: Any, /, *, copy: bool = True, device: Any = None) -> ndarray:
    return x.astype(dtype, copy=copy)


def array_repr(a: ndarray, *args: Any, **kwargs: Any) -> str:
    return repr(a)


def from_dlpack(array: Any, *, device: Any = None, copy: Any = None) -> ndarray:
    """Of the stand-in's own arrays only."""
    if isinstance(array, ndarray):
        return array
    raise TypeError(
        "CPU arrays cannot be directly imported to CuPy. Use `cupy.array(numpy.from_dlpack(input))` instead."
    )


def memoize(for_each_device: bool = False) -> Any:
    return cache


def clear_memo() -> None:
    """Nothing to clear."""


def fuse(*args: Any, **kwargs: Any) -> Any:
    """The function itself, which computes the same in more steps."""
    return args[0] if len(args) == 1 and callable(args[0]) else lambda f: f


def _full(shape: Any, value: Any, dtype: Any = None, order: str = "C") -> ndarray:
    if isinstance(value, _np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    raw = value._a if isinstance(value, ndarray) else value
    a = garbage(shape, _np.asarray(raw).dtype if dtype is None else dtype, order)
    a._a[...] = raw
    return a


def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> ndarray:
    return _full(shape, fill_value, dtype, order)


def zeros(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return _full(shape, 0, dtype or float, order)


def ones(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return _full(shape, 1, dtype or float, order)


def _like(a: ndarray, value: Any, dtype: Any, shape: Any) -> ndarray:
    made = empty_like(a, dtype, shape=shape)
    made._a[...] = value._a if isinstance(value, ndarray) else value
    return made


def full_like(
    a: ndarray, fill_value: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None
) -> ndarray:
    return _like(a, fill_value, dtype, shape)


def zeros_like(a: ndarray, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None) -> ndarray:
    return _like(a, 0, dtype, shape)


def ones_like(a: ndarray, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None) -> ndarray:
    return _like(a, 1, dtype, shape)


def get_default_memory_pool() -> Any:
    return cuda.MemoryPool()


def get_default_pinned_memory_pool() -> Any:
    return cuda.PinnedMemoryPool()


def set_printoptions(**kwargs: Any) -> None:
    _np.set_printoptions(**kwargs)


from ._kernels import ElementwiseKernel, RawKernel, RawModule, ReductionKernel  # noqa: E402, F401

_ALIASES = {"float_": _np.float64, "complex_": _np.complex128, "asanyarray": asarray, "conj": _np.conjugate}
_OWN = {name: value for name, value in globals().items() if name in _state.names("cupy") and name != "annotations"}
globals().update(_public("cupy", _np, {**_OWN, **{k: v for k, v in _ALIASES.items() if not isinstance(v, _np.ufunc)}}))
sys.modules[__name__].__class__ = _Module

from . import cuda, fft, linalg, random  # noqa: E402, F401

__all__ = sorted(name for name in _state.names("cupy") if name in globals())
