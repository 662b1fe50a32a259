"""Functions that make tensors: from data, and from a shape. They take no tracked arrays, so nothing is recorded.

The ``*_like`` functions take shape, dtype and device of a tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .. import graph
from ..backend import owner
from ..devices import admitted
from ..devices import device as as_device
from ..dtypes import complex128, float64
from ..dtypes import dtype as as_dtype
from ..errors import (
    BackendError,
    CopyError,
    DeviceMismatchError,
    DTypeError,
    GradientError,
    JITrenchError,
    ShapeError,
    TransformError,
)
from ..op import op
from ..tensor import Tensor, leaf


def tensor(
    data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, name: str | None = None
) -> Tensor:
    """A new tensor that copies ``data``: nested lists, a scalar, a backend's array, or another Tensor.

    Without ``dtype``, Python's floats become float64, its ints int64, and arrays keep theirs; without ``device``, arrays stay
    where they are and Python data goes to the default device. ``requires_grad`` tracks it (floating point only) and
    ``name`` labels it in graph pictures.

    >>> import jitrench_core as jt
    >>> jt.tensor([[1, 2], [3, 4]], dtype="float32", requires_grad=True)
    Tensor([[1., 2.], [3., 4.]], dtype=float32, requires_grad=True)
    """
    if name is not None and not requires_grad:
        raise GradientError(f"name={name!r} belongs to the graph: pass requires_grad=True with it")
    made = Tensor(_array(data, dtype, device, copy=True))
    return leaf(made, name) if requires_grad else made


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor of ``obj`` that shares its memory where it can; a Tensor that already fits is returned as it is.

    Writing into the array afterwards changes the tensor behind its graph: use ``jt.tensor``, or ``copy=True``, where that may
    happen. ``copy=False`` raises ``CopyError`` where only a copy gives what is asked.

    >>> import jitrench_core as jt
    >>> jt.asarray(3.0)
    Tensor(3.)
    """
    if type(obj) is not Tensor:
        return Tensor(_array(obj, dtype, device, copy=copy))
    want = obj.dtype if dtype is None else as_dtype(dtype)
    if copy is False and (want != obj.dtype or (device is not None and as_device(device) != obj.device)):
        raise CopyError(
            f"asarray(copy=False) of a {obj.dtype} tensor on {obj.device} as {want} on {device or obj.device}: only a copy "
            f"can be that; leave copy= out"
        )
    moved = obj if device is None else obj.to(device)
    return graph.ops.astype(moved, want) if want != obj.dtype or (copy and moved is obj) else moved


def _array(data: Any, dtype: Any, device: Any, copy: bool | None) -> Any:
    if type(data) is Tensor:
        data = data.data
    if isinstance(data, (list, tuple)) and (tensors := _tensors(data)):
        if any(t.node is not None or owner(type(t.data)).depth for t in tensors):
            raise DTypeError(
                "a list of Tensors that require a gradient, or come from inside jvp or vmap, is not data: join them with "
                "jt.stack or jt.concat, which keep their gradients"
            )
        devices = {str(t.device) for t in tensors}
        if len(devices) > 1 and device is None:
            raise DeviceMismatchError(f"a list of Tensors on {' and '.join(sorted(devices))}: say which, by device=")
        data, device = _values(data), devices.pop() if device is None else device
    native = type(data) not in _PYTHON_DATA
    if native and type(data).__module__ == "builtins":
        raise DTypeError(
            f"cannot make a tensor of {type(data).__name__} {data!r:.50}: pass numbers, nested lists or arrays"
        )
    try:
        who = owner(type(data)) if native else None
    except BackendError as e:
        data, native, who = _buffer(data, e), False, None
    if who is not None and who.depth:
        if device is None and dtype is None:
            return who.detach(data) if copy else data
        raise TransformError("tensor(...) or asarray(...) of a value inside jvp or vmap: use .astype() to convert it")
    if device is None and who is not None:
        target = who.device_of(data)
    else:
        target = as_device(device)
        if who is not None and who is not target.backend:
            data = who.to_numpy(data)
    host = target.backend
    want = None if dtype is None else host.native_dtype(as_dtype(dtype))
    if copy is False and type(data) in _PYTHON_DATA - _BUFFERS:
        raise CopyError(
            f"asarray(copy=False) of Python's {type(data).__name__}: a tensor of it is a copy; leave copy= out"
        )
    try:
        return admitted(host, host.asarray(data, dtype=want, index=target.index, copy=copy))
    except JITrenchError:
        raise
    except ValueError as e:
        if copy is False:
            raise CopyError(f"asarray(copy=False) of this {type(data).__name__}: {e}") from e
        raise ShapeError(f"cannot make a tensor on {target} of this {type(data).__name__}: {e}") from e
    except (TypeError, OverflowError) as e:
        raise DTypeError(f"cannot make a tensor on {target} of this {type(data).__name__}: {e}") from e


_BUFFERS = {memoryview, bytearray}


def together(arrays: Iterable[Any]) -> list[Tensor]:
    """Each as a Tensor; a Python number goes where the first array is."""
    arrays = list(arrays)
    first = next((asarray(a) for a in arrays if hasattr(a, "shape")), None)
    device = None if first is None else first.device
    return [asarray(a, device=None if hasattr(a, "shape") else device) for a in arrays]


_PYTHON_DATA = {bool, int, float, complex, list, tuple, range, bytes, *_BUFFERS}


def _buffer(data: Any, error: BackendError) -> memoryview:
    """The memory of an object of no backend's, such as ``array.array``, which the standard has ``asarray`` take."""
    if hasattr(data, "__dlpack__"):
        raise DTypeError(
            f"jt.asarray and jt.tensor do not take {type(data).__module__}.{type(data).__qualname__}: write jt.from_dlpack(x), "
            f"which shares its memory"
        ) from error
    try:
        return memoryview(data)
    except TypeError:
        raise error from None


def _tensors(data: Sequence[Any]) -> list[Tensor]:
    """Every Tensor in nested lists."""
    found: list[Tensor] = []
    for x in data:
        if type(x) is Tensor:
            found.append(x)
        elif isinstance(x, (list, tuple)):
            found += _tensors(x)
    return found


def _values(data: Any) -> Any:
    """Nested lists with NumPy's arrays for their Tensors, which keep the dtypes."""
    if type(data) is Tensor:
        return owner(type(data.data)).to_numpy(data.data)[()]
    return [_values(x) for x in data] if isinstance(data, (list, tuple)) else data


def Scalar(value: float, dtype: Any = None, device: Any = None, name: str | None = None) -> Tensor:
    """A tracked 0-d tensor: ``jt.Scalar(2.5)``. A Python int becomes a float, because integers have no gradient."""
    if isinstance(value, int) and dtype is None:
        value = float(value)
    made = tensor(value, dtype, device, requires_grad=True, name=name)
    if made.ndim:
        raise ShapeError(f"Scalar() makes a 0-d tensor, got shape {made.shape}: use jt.tensor(x, requires_grad=True)")
    return made


def _create(function: str, *args: Any, dtype: Any, device: Any, default: Any = float64, **kwargs: Any) -> Tensor:
    target = as_device(device)
    core = as_dtype(default if dtype is None else dtype)  # always named: libraries differ in their defaults
    if function == "full" and core.kind != "c" and isinstance(args[1], complex):  # NumPy warns
        raise DTypeError(
            f"full() of {args[1]!r} into {core}: it would lose the imaginary part; say dtype=jt.complex128"
        )
    try:
        return Tensor(target.backend.create(function, *args, dtype=core, index=target.index, **kwargs))
    except JITrenchError:
        raise
    except (ValueError, ZeroDivisionError, OverflowError) as e:
        raise ShapeError(f"{function}() of {', '.join(map(repr, args))} on {target}: {e}") from e
    except TypeError as e:
        raise DTypeError(f"{function}() of {', '.join(map(repr, args))} on {target}: {e}") from e


def zeros(shape: int | tuple[int, ...], *, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros, float64 unless ``dtype`` says otherwise."""
    return _create("zeros", shape, dtype=dtype, device=device)


def ones(shape: int | tuple[int, ...], *, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones, float64 unless ``dtype`` says otherwise."""
    return _create("ones", shape, dtype=dtype, device=device)


def full(shape: int | tuple[int, ...], fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """``fill_value`` everywhere, in its own Python type's dtype unless ``dtype`` says otherwise.

    A 0-d tensor keeps its gradient, its dtype and its device.
    """
    if type(fill_value) is Tensor:
        if fill_value.ndim:
            raise ShapeError(
                f"full() takes one number, not a tensor of shape {fill_value.shape}: use jt.broadcast_to(x, shape)"
            )
        from .shapes import broadcast_to

        return broadcast_to(
            asarray(fill_value, dtype=dtype, device=device), (shape,) if isinstance(shape, int) else shape
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
    start: complex, stop: complex, /, num: int, *, dtype: Any = None, device: Any = None, endpoint: bool = True
) -> Tensor:
    """``num`` evenly spaced values from ``start`` to ``stop``, which ``endpoint`` includes."""
    default = complex128 if any(isinstance(v, complex) for v in (start, stop)) else float64
    return _create("linspace", start, stop, num, dtype=dtype, device=device, default=default, endpoint=endpoint)


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones on diagonal ``k``, zeros elsewhere."""
    return _create("eye", n_rows, n_cols, k=k, dtype=dtype, device=device)


def _like(function: str, x: Any, *args: Any, dtype: Any, device: Any) -> Tensor:
    x = asarray(x)
    dtype, device = x.dtype if dtype is None else dtype, x.device if device is None else device
    made = _create(function, x.shape, *args, dtype=dtype, device=device)
    who = owner(type(x.data))
    return (
        Tensor(who.lift(made)) if who.depth else made
    )  # like x, also in that it may be updated in place where x lives


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


def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """``fill_value`` with the shape, dtype and device of x."""
    if type(fill_value) is Tensor:
        x = asarray(x)
        return full(
            x.shape,
            fill_value,
            dtype=x.dtype if dtype is None else dtype,
            device=x.device if device is None else device,
        )
    return _like("full", x, fill_value, dtype=dtype, device=device)


def empty_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """An uninitialised tensor with the shape, dtype and device of x."""
    return _like("empty", x, dtype=dtype, device=device)
