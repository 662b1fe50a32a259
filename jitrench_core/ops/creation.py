"""Functions that make tensors. They take no arrays, so nothing is recorded; ``*_like`` take shape, dtype and device of one."""

from __future__ import annotations

from typing import Any

from ..backend import device as as_device
from ..dtypes import dtype as as_dtype
from ..dtypes import float64
from ..errors import DTypeError
from ..op import op
from ..tensor import Tensor, asarray


def _create(function: str, *args: Any, dtype: Any, device: Any, default: Any = float64, **kwargs: Any) -> Tensor:
    target = as_device(device)
    core = as_dtype(default if dtype is None else dtype)  # always named: libraries differ in their defaults
    return Tensor(target.backend.create(function, *args, dtype=core, index=target.index, **kwargs))


def zeros(shape: int | tuple[int, ...], *, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros, float64 unless ``dtype`` says otherwise."""
    return _create("zeros", shape, dtype=dtype, device=device)


def ones(shape: int | tuple[int, ...], *, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones, float64 unless ``dtype`` says otherwise."""
    return _create("ones", shape, dtype=dtype, device=device)


def full(shape: int | tuple[int, ...], fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """``fill_value`` everywhere, in its own Python type's dtype unless ``dtype`` says otherwise."""
    if type(fill_value) is Tensor:
        raise DTypeError(
            "full() takes a Python number; for a tensor use jt.broadcast_to(x, shape), which has a gradient"
        )
    return _create("full", shape, fill_value, dtype=dtype, device=device, default=type(fill_value))


def empty(shape: int | tuple[int, ...], *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor whose values are whatever was in memory."""
    return _create("empty", shape, dtype=dtype, device=device)


def arange(
    start: float, /, stop: float | None = None, step: float = 1, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """``start``, ``start + step``, ... up to but without ``stop``; with one argument, from 0 up to it."""
    if stop is None:
        start, stop = 0, start
    default = int if all(hasattr(v, "__index__") for v in (start, stop, step)) else float
    return _create("arange", start, stop, step, dtype=dtype, device=device, default=default)


def linspace(
    start: float, stop: float, /, num: int, *, dtype: Any = None, device: Any = None, endpoint: bool = True
) -> Tensor:
    """``num`` evenly spaced values from ``start`` to ``stop``, which ``endpoint`` includes."""
    return _create("linspace", start, stop, num, dtype=dtype, device=device, endpoint=endpoint)


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones on diagonal ``k``, zeros elsewhere."""
    return _create("eye", n_rows, n_cols, k=k, dtype=dtype, device=device)


def _like(function: str, x: Any, *args: Any, dtype: Any, device: Any) -> Tensor:
    x = asarray(x)
    dtype, device = x.dtype if dtype is None else dtype, x.device if device is None else device
    return _create(function, x.shape, *args, dtype=dtype, device=device)


@op(name="ones_like", elementwise=True, vjp={"x": None})
def _ones_like(xp: Any, x: Any, /) -> Any:
    """Ones with the shape, dtype and device of x."""
    return xp.ones_like(x)


def ones_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones with the shape, dtype and device of x."""
    return _ones_like(x) if dtype is None and device is None else _like("ones", x, dtype=dtype, device=device)


def zeros_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros with the shape, dtype and device of x."""
    return _like("zeros", x, dtype=dtype, device=device)


def full_like(x: Any, /, fill_value: float, *, dtype: Any = None, device: Any = None) -> Tensor:
    """``fill_value`` with the shape, dtype and device of x."""
    return _like("full", x, fill_value, dtype=dtype, device=device)


def empty_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """An uninitialised tensor with the shape, dtype and device of x."""
    return _like("empty", x, dtype=dtype, device=device)
