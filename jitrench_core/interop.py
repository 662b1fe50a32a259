"""Other libraries' arrays and functions: DLPack, and NumPy's functions called with Tensors.

``np.sin(t)``, ``array + t`` and ``np.sum(t, axis=0)`` reach the ops of the catalogue through the tables below: names, and
argument names where they differ. NumPy itself is never imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, reduce
from typing import Any

from . import devices, registry
from .backend import owner
from .errors import CopyError, DTypeError, GradientError, NotFoundError, OpError, ShapeError, TransformError, suggest
from .tensor import Tensor

# -- DLPack -----------------------------------------------------------------------------------------------------------

# DLPack's types of devices -> the device that a backend claims: the host, then CUDA, pinned, ROCm and managed memory.
_DEVICES = {1: "cpu", 2: "cuda", 3: "cpu", 10: "cuda", 11: "cpu", 13: "cuda"}


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor that shares the memory of another library's array, through DLPack.

    Without ``device`` it stays where it is; ``copy=False`` raises ``CopyError`` where moving needs a copy. Writing into
    ``x`` afterwards changes the tensor, too.

    >>> import jitrench_core as jt, numpy as np
    >>> array = np.ones(3)
    >>> t = jt.from_dlpack(array)
    >>> np.shares_memory(t.numpy(), array)
    True

    Raises ``GradientError`` for a tensor that requires a gradient.
    """
    if not hasattr(x, "__dlpack_device__"):
        raise DTypeError(f"from_dlpack() of {type(x).__qualname__}, which does not speak DLPack: use jt.asarray(...)")
    kind, index = x.__dlpack_device__()
    target = None if device is None else devices.device(device)
    name = _DEVICES.get(int(kind))
    if name is None:
        raise NotFoundError(f"from_dlpack: no backend takes memory of DLPack's device type {int(kind)}")
    try:
        home = devices.device(f"{name}:{index}" if name == "cuda" else name)
    except NotFoundError:
        if name == "cuda":
            raise
        home = target or devices.device()  # the host's memory, and a backend that does not claim the name
    if target is not None and target.backend is not home.backend and copy is False:
        raise CopyError(
            f"from_dlpack(device={str(target)!r}, copy=False): the data is on {home}, and moving it is a copy"
        )
    host = home.backend
    options = {} if copy is None else {"copy": copy}
    try:
        array = host.xp.from_dlpack(x, **options)
    except (BufferError, RuntimeError) as e:  # a dtype or layout that one of the two does not have, or copy=False
        raise CopyError(f"from_dlpack() of this {type(x).__module__}.{type(x).__qualname__}: {e}") from e
    made = Tensor(array)
    return made if target is None else made.to(target)


def _dlpack(
    self: Tensor,
    /,
    *,
    stream: Any = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[Any, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """The values for another library, which may share their memory: ``torch.from_dlpack(t)``.

    A read-only view is copied for a consumer that does not know of such, and so is one that runs backwards, such as
    ``jt.flip`` gives: PyTorch ends the whole process at a negative stride.
    """
    array = _exported(self)
    if copy is False and array is not self.data:
        raise CopyError(
            f"this tensor of shape {self.shape} holds a {type(self.data).__name__}, which DLPack hands over as a copy: leave "
            f"copy=False out"
        )
    if any(step < 0 for step in getattr(array, "strides", None) or ()):
        if copy is False:
            raise CopyError(
                "this tensor is a view that runs backwards, which DLPack hands over as a copy: leave copy=False out"
            )
        array, copy = array.copy(), None
    options = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
    given = {key: value for key, value in options.items() if value is not None}
    try:
        return array.__dlpack__(**given)
    except BufferError as e:
        if copy is False or getattr(getattr(array, "flags", None), "writeable", True):
            raise CopyError(f"this tensor cannot be handed over by DLPack as asked ({given}): {e}") from e
        return array.copy().__dlpack__(**given)


def _dlpack_device(self: Tensor, /) -> tuple[Any, int]:
    """DLPack's type and number of the device."""
    return _exported(self).__dlpack_device__()  # type: ignore[no-any-return]


def _exported(t: Tensor) -> Any:
    """The array of ``t`` that another library may see; ``GradientError`` where that would lose a gradient."""
    if t.node is not None:
        raise GradientError(
            "DLPack export of a tensor that requires a gradient would lose it: export t.detach(), or compute with jt's own "
            "functions"
        )
    who = owner(type(t.data))
    if who.depth:
        raise TransformError(
            "DLPack export of a value inside jvp or vmap: return it from the transformed function first"
        )
    return t.data if hasattr(t.data, "__dlpack__") else who.to_numpy(t.data)


# -- the standard's array object ------------------------------------------------------------------------------------------


def _to_device(self: Tensor, device: Any, /, *, stream: Any = None) -> Tensor:
    """``to``, by the Array API standard's name."""
    if stream is not None:
        raise OpError("to_device() takes no stream: backends copy on their own; leave it out")
    return self.to(device)


def _namespace(self: Tensor, /, *, api_version: str | None = None) -> Any:
    """The namespace of the Array API standard that this tensor's functions live in: ``jitrench_core``."""
    import jitrench_core

    newest = jitrench_core.__array_api_version__
    if api_version not in (None, "2021.12", "2022.12", "2023.12", "2024.12", newest):
        raise OpError(f"no version {api_version!r} of the Array API standard here; the newest is {newest!r}")
    return jitrench_core


# -- NumPy's ufuncs ---------------------------------------------------------------------------------------------------

# Where NumPy's name is not ours.
UFUNCS: dict[str, str] = {
    "absolute": "abs", "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh", "arctan": "atan",
    "arctan2": "atan2", "arctanh": "atanh", "conjugate": "conj", "expit": "sigmoid", "invert": "bitwise_invert",
    "left_shift": "bitwise_left_shift", "power": "pow", "right_shift": "bitwise_right_shift",
}  # fmt: skip
# What to write instead of a ufunc's methods, and of functions that have no counterpart.
_REDUCE = {
    "add": "sum",
    "multiply": "prod",
    "maximum": "max",
    "minimum": "min",
    "logical_and": "all",
    "logical_or": "any",
}
_ACCUMULATE = {"add": "cumulative_sum", "multiply": "cumulative_prod"}
_KNOWN: dict[Any, Callable[..., Any]] = {}  # by ufunc; filled on first use


def _array_ufunc(self: Tensor, ufunc: Any, method: str, /, *inputs: Any, **options: Any) -> Any:
    """The op that a ufunc's name stands for; ``OpError`` for its methods and options."""
    call = _KNOWN.get(ufunc)
    if call is None or options or method != "__call__":
        name = ufunc.__name__
        if options or method != "__call__":
            raise _no_method(name, method, options)
        call = _divmod if name == "divmod" else _ours(UFUNCS.get(name, name), f"np.{name}")
        call = _KNOWN[ufunc] = _compared(call) if name in _COMPARISONS else call
    return call(*(_arrays(inputs) if list in map(type, inputs) else inputs))


def _arrays(operands: Iterable[Any]) -> list[Any]:
    """Lists and tuples of numbers as tensors beside the Tensor among the operands, as NumPy takes them."""
    operands = list(operands)
    device = next((x.device for x in operands if type(x) is Tensor), None)
    return [_ours("asarray")(x, device=device) if isinstance(x, (list, tuple)) else x for x in operands]


_COMPARISONS = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")


def _compared(call: Callable[..., Any]) -> Callable[..., Any]:
    """``np.float64(2) < t`` comes with an array of no dimension for NumPy's scalar, which is weak."""
    return lambda *inputs: call(
        *[x.item() if type(x) is not Tensor and getattr(x, "ndim", 1) == 0 else x for x in inputs]
    )


def _divmod(x1: Any, x2: Any) -> tuple[Any, Any]:
    return _ours("floor_divide")(x1, x2), _ours("remainder")(x1, x2)


def _no_method(name: str, method: str, options: Mapping[str, Any]) -> OpError:
    ours = UFUNCS.get(name, name)
    write = f"jt.{ours}(...)"
    if method == "reduce":
        write = f"jt.{_REDUCE.get(name, 'sum')}(x, axis=0)"
    elif method == "accumulate":
        write = f"jt.{_ACCUMULATE.get(name, 'cumulative_sum')}(x, axis=0)"
    elif method == "outer":
        write = f"jt.{ours}(x[:, None], y)"
    elif method == "at":
        way = {"add": "add", "multiply": "multiply", "maximum": "max", "minimum": "min"}.get(name)
        write = f"x.at[indices].{way}(value)" if way else "x[indices] = value"
    elif "out" in options:
        return OpError(
            f"np.{name}(..., out=...) and in-place operators of an array do not take Tensors: write a = jt.{ours}(a, t), for "
            f"a new tensor"
        )
    what = f"np.{name}.{method}" if method != "__call__" else f"np.{name} with {', '.join(options)}="
    return OpError(f"{what} does not take Tensors: write {write}")


# -- NumPy's functions ------------------------------------------------------------------------------------------------

# NumPy's name -> "OURS | ARRAYS | OTHERS", in NumPy's order: "a:b" where our name of it is b, "-a" where it must keep its default.
# Nothing before the first bar: ours has the same name. An array parameter "+a" is a sequence of arrays.
FUNCTIONS: dict[str, str] = {
    # reductions
    "sum": "|a|axis dtype -out keepdims -initial -where",
    "prod": "|a|axis dtype -out keepdims -initial -where",
    "max": "|a|axis -out keepdims -initial -where",
    "min": "|a|axis -out keepdims -initial -where",
    "amax": "max|a|axis -out keepdims -initial -where",
    "amin": "min|a|axis -out keepdims -initial -where",
    "mean": "|a|axis -dtype -out keepdims -where",
    "var": "|a|axis -dtype -out ddof:correction keepdims correction -where -mean",
    "std": "|a|axis -dtype -out ddof:correction keepdims correction -where -mean",
    "all": "|a|axis -out keepdims -where",
    "any": "|a|axis -out keepdims -where",
    "argmax": "|a|axis -out keepdims",
    "argmin": "|a|axis -out keepdims",
    "count_nonzero": "|a|axis keepdims",
    "cumulative_sum": "|x|axis dtype -out include_initial",
    "cumulative_prod": "|x|axis dtype -out include_initial",
    "diff": "|a|n axis prepend append",
    "median": "|a|axis -out -overwrite_input keepdims",
    "quantile": "|a q|axis -out -overwrite_input method keepdims -weights -interpolation",
    # shapes
    "reshape": "|a|shape -order -copy",
    "moveaxis": "|a|source destination",
    "expand_dims": "|a|axis",
    "flip": "|m|axis",
    "roll": "|a|shift axis",
    "tile": "|A|reps:repetitions",
    "concatenate": "concat|+arrays|axis -out -dtype -casting",
    "stack": "|+arrays|axis -out -dtype -casting",
    "unstack": "|x|axis",
    "broadcast_to": "|array|shape -subok",
    "broadcast_arrays": "|*args|-subok",
    "meshgrid": "|*xi|indexing -copy -sparse",
    "matrix_transpose": "|x|",
    "tril": "|m|k",
    "triu": "|m|k",
    "split": "|ary|indices_or_sections axis",
    "pad": "|array|pad_width mode constant_values",
    # products
    "dot": "|a b|-out",
    "kron": "|a b|",
    "cross": "|a b|-axisa -axisb -axisc axis",
    "tensordot": "|a b|axes",
    "einsum": "|subscripts *operands|-out -optimize",
    # choosing, sorting, sets
    "take_along_axis": "|arr indices|axis",
    "nonzero": "|a|",
    "searchsorted": "|a v|side sorter",
    "isin": "|element test_elements|-assume_unique invert -kind",
    "unique_values": "|x|",
    "unique_counts": "|x|",
    "unique_inverse": "|x|",
    "unique_all": "|x|",
    # types, and tensors like another
    "real": "|val|",
    "imag": "|val|",
    "can_cast": "|from_ to|-casting",
    "result_type": "|*arrays_and_dtypes|",
    "astype": "|x dtype|copy device",
    "zeros_like": "|a|dtype -order -subok -shape device",
    "ones_like": "|a|dtype -order -subok -shape device",
    "empty_like": "|prototype|dtype -order -subok -shape device",
    "full_like": "|a|fill_value dtype -order -subok -shape device",
    # numpy.linalg
    "linalg.cholesky": "|a|upper",
    "linalg.cross": "|x1 x2|axis",
    "linalg.det": "|a|",
    "linalg.diagonal": "|x|offset",
    "linalg.eig": "|a|",
    "linalg.eigh": "|a|-UPLO",
    "linalg.eigvals": "|a|",
    "linalg.eigvalsh": "|a|-UPLO",
    "linalg.inv": "|a|",
    "linalg.matmul": "|x1 x2|",
    "linalg.matrix_norm": "|x|keepdims ord",
    "linalg.matrix_power": "|a n|",
    "linalg.matrix_rank": "|A|-tol -hermitian rtol",
    "linalg.matrix_transpose": "|x|",
    "linalg.multi_dot": "|+arrays|-out",
    "linalg.outer": "|x1 x2|",
    "linalg.pinv": "|a|rcond:rtol -hermitian rtol",
    "linalg.qr": "|a|mode",
    "linalg.slogdet": "|a|",
    "linalg.solve": "|a b|",
    "linalg.svd": "|a|full_matrices -compute_uv -hermitian",
    "linalg.svdvals": "|x|",
    "linalg.tensordot": "|x1 x2|axes",
    "linalg.trace": "|x|offset dtype",
    "linalg.vecdot": "|x1 x2|axis",
    "linalg.vector_norm": "|x|axis keepdims ord",
    # numpy.fft
    "fft.fft": "|a|n axis norm -out",
    "fft.ifft": "|a|n axis norm -out",
    "fft.rfft": "|a|n axis norm -out",
    "fft.irfft": "|a|n axis norm -out",
    "fft.hfft": "|a|n axis norm -out",
    "fft.ihfft": "|a|n axis norm -out",
    "fft.fftn": "|a|s axes norm -out",
    "fft.ifftn": "|a|s axes norm -out",
    "fft.rfftn": "|a|s axes norm -out",
    "fft.irfftn": "|a|s axes norm -out",
    "fft.fftshift": "|x|axes",
    "fft.ifftshift": "|x|axes",
}

# Functions that have no counterpart of one name, and what to write.
WRITE: dict[str, str] = {
    "allclose": "np.allclose(x.numpy(), y.numpy())",
    "angle": "jt.atan2(jt.imag(z), jt.real(z))",
    "append": "jt.concat([x, y])",
    "argwhere": "jt.stack(jt.nonzero(x), axis=1)",
    "array_equal": "np.array_equal(x.numpy(), y.numpy())",
    "atleast_1d": "jt.reshape(x, (-1,))",
    "atleast_2d": "x[None, :]",
    "atleast_3d": "x[None, :, None]",
    "average": "jt.mean(x * weights) / jt.mean(weights)",
    "bincount": "jt.zeros(n).at[x].add(1.0)",
    "cbrt": "jt.sign(x) * jt.abs(x) ** (1 / 3)",
    "column_stack": "jt.stack([x, y], axis=1)",
    "copyto": "x[...] = value",
    "cov": "d @ d.mT / (n - 1), with d = x - jt.mean(x, axis=1, keepdims=True)",
    "deg2rad": "x * (jt.pi / 180)",
    "degrees": "x * (180 / jt.pi)",
    "delete": "jt.concat([x[:i], x[i + 1:]])",
    "dstack": "jt.stack([x, y], axis=2)",
    "exp2": "2.0**x",
    "fabs": "jt.abs(x)",
    "fft.fft2": "jt.fft.fftn(x, axes=(-2, -1))",
    "fft.ifft2": "jt.fft.ifftn(x, axes=(-2, -1))",
    "flatnonzero": "jt.nonzero(jt.reshape(x, (-1,)))[0]",
    "fliplr": "jt.flip(x, axis=1)",
    "flipud": "jt.flip(x, axis=0)",
    "float_power": "jt.pow(x, y)",
    "fmax": "jt.where(jt.isnan(x), y, jt.where(jt.isnan(y), x, jt.maximum(x, y)))",
    "fmin": "jt.where(jt.isnan(x), y, jt.where(jt.isnan(y), x, jt.minimum(x, y)))",
    "fmod": "x - jt.trunc(x / y) * y",
    "gradient": "jt.diff(y) / jt.diff(x) for samples, jt.grad(f) for a function",
    "heaviside": "jt.where(x < 0, 0.0, jt.where(x > 0, 1.0, h))",
    "hstack": "jt.concat([x, y], axis=1)",
    "inner": "jt.tensordot(x, y, axes=((-1,), (-1,)))",
    "isclose": "abs(x - y) <= tolerance",
    "linspace": "start + (stop - start) * jt.linspace(0, 1, num)",
    "linalg.lstsq": "jt.linalg.lstsq(a, b), which gives the solution alone",
    "nan_to_num": "jt.where(jt.isnan(x), 0.0, x)",
    "nanmax": "jt.max(x[~jt.isnan(x)])",
    "nanmean": "jt.mean(x[~jt.isnan(x)])",
    "nanmedian": "jt.median(x[~jt.isnan(x)])",
    "nanmin": "jt.min(x[~jt.isnan(x)])",
    "nanstd": "jt.std(x[~jt.isnan(x)])",
    "nansum": "jt.sum(jt.where(jt.isnan(x), 0.0, x))",
    "nanvar": "jt.var(x[~jt.isnan(x)])",
    "percentile": "jt.quantile(x, q / 100)",
    "place": "x[mask] = values",
    "polyval": "functools.reduce(lambda y, c: y * x + c, p, 0.0)",
    "ptp": "jt.max(x) - jt.min(x)",
    "put": "x[indices] = values",
    "rad2deg": "x * (180 / jt.pi)",
    "radians": "x * (jt.pi / 180)",
    "rint": "jt.round(x)",
    "rollaxis": "jt.moveaxis(x, source, destination)",
    "rot90": "jt.flip(jt.matrix_transpose(x), axis=0)",
    "save": "np.save(file, x.numpy())",
    "savez": "np.savez(file, x.numpy())",
    "sinc": "jt.apply_where(x != 0, lambda x: jt.sin(jt.pi * x) / (jt.pi * x), x, fill_value=1)",
    "trapezoid": "jt.sum((y[1:] + y[:-1]) * jt.diff(x)) / 2",
    "vdot": "jt.sum(jt.conj(x) * y)",
    "vstack": "jt.concat([x, y], axis=0)",
}


def _ours(path: str, asked: str = "") -> Any:
    """The public function at ``path``, or an op that a plugin registered under that name."""
    import jitrench_core

    try:
        return reduce(getattr, path.split("."), jitrench_core)
    except AttributeError:
        try:
            return registry.ops[path]
        except NotFoundError:
            near = suggest(path, jitrench_core.__all__)
        raise _unsupported(asked or f"np.{path}", near) from None


def _unsupported(asked: str, near: str = "") -> OpError:
    name = asked.removeprefix("np.")
    if name not in WRITE:
        return OpError(
            f"{asked} does not take Tensors: there is no op of that name; x.numpy() leaves the graph, and is what a library wants "
            f"that computes in NumPy.{near}"
        )
    return OpError(
        f"{asked} does not take Tensors: write {WRITE[name]}. Where a library calls it, such as SciPy's optimizers, give "
        f"that library x.numpy()"
    )


@cache
def _row(name: str) -> tuple[str, list[str], dict[str, str]]:
    """A table's row: our name, NumPy's array parameters, and the others -> ours ("": none)."""
    ours, arrays, others = FUNCTIONS[name].split("|")
    pairs = [(o.lstrip("-").partition(":"), o[0] == "-") for o in others.split()]
    return ours or name, arrays.split(), {a: "" if kept else b or a for (a, _, b), kept in pairs}


def _array_function(self: Tensor, function: Any, types: Any, args: Any, kwargs: Any, /) -> Any:
    """Ours of the same meaning as ``function`` of NumPy's."""
    name = f"{function.__module__}.{function.__name__}".removeprefix("numpy.")
    if name in OWN:
        kwargs = {key: value for key, value in kwargs.items() if key not in _DEFAULTS or not _is_default(key, value)}
        try:
            return OWN[name](*args, **kwargs)
        except TypeError as e:
            if type(e) is TypeError:  # an argument of NumPy's that the translation does not have
                raise OpError(f"np.{name} of a Tensor: {str(e).partition('()')[2].strip() or e}") from e
            raise
    if name not in FUNCTIONS:
        raise _unsupported(f"np.{name}")
    path, arrays, others = _row(name)
    call = _ours(path, f"np.{name}")
    if arrays and arrays[-1][0] == "*":
        operands, given = list(args), dict(kwargs)
    else:
        given = dict(zip([*arrays, *others], args, strict=False)) | {
            "+" + key if "+" + key in arrays else key: value for key, value in kwargs.items()
        }
        several = [a for a in arrays if a[0] == "+"]
        operands = [list(given.pop(a)) for a in several] or _arrays(given.pop(a) for a in arrays if a in given)
    attrs = {}
    for key, value in given.items():
        if others.get(key):
            attrs[others[key]] = value
        elif key not in others or not _is_default(key, value):
            raise OpError(f"np.{name} of a Tensor does not take {key}=: write jt.{path}(...)")
    return call(*operands, **attrs)


# Beside None and NumPy's own mark of nothing, what a parameter without a counterpart may be; (): anything, as it changes no value.
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "out": (None,), "where": (True,), "order": ("C", "K"), "copy": (True,), "casting": ("same_kind",), "compute_uv": (True,),
    "hermitian": (False,), "sparse": (False,), "UPLO": ("L",), "mode": ("raise",), "sorted": (True,),
    "subok": (), "kind": (), "optimize": (), "overwrite_input": (), "assume_unique": (),
}  # fmt: skip


def _is_default(key: str, value: Any) -> bool:
    """Whether ``value`` leaves a parameter as it is by default: NumPy's own wrappers pass these on."""
    if value is None or type(value).__name__ == "_NoValueType":
        return True
    if key not in _DEFAULTS:
        return False
    return not _DEFAULTS[key] or any(type(value) is type(v) and value == v for v in _DEFAULTS[key])


# -- where more than names differs: NumPy's own parameters, in ours ---------------------------------------------------


def _flat(x: Any) -> Any:
    return _ours("reshape")(x, (-1,))


def _cumulative(name: str) -> Callable[..., Any]:
    def call(a: Any, axis: Any = None, dtype: Any = None) -> Any:
        return _ours(name)(_flat(a) if axis is None else a, axis=0 if axis is None else axis, dtype=dtype)

    return call


def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    return _ours("clip")(*_arrays([a, min if a_min is None else a_min, max if a_max is None else a_max]))


def _diag(v: Any, k: int = 0) -> Any:
    return _ours("diag")(v, k=k) if v.ndim == 1 else _ours("linalg.diagonal")(v, offset=k)


def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return _ours("linalg.diagonal")(_ours("moveaxis")(a, (axis1, axis2), (-2, -1)), offset=offset)


def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Any:
    return _ours("linalg.trace")(_ours("moveaxis")(a, (axis1, axis2), (-2, -1)), offset=offset, dtype=dtype)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if axis is None and ord is not None and x.ndim != 1:
        if x.ndim != 2:
            raise ShapeError(
                f"np.linalg.norm with ord={ord!r} takes 1 or 2 dimensions, got shape {x.shape}: give axis="
            )
        axis = (0, 1)
    if isinstance(axis, tuple) and len(axis) == 1:
        axis = axis[0]
    if not isinstance(axis, tuple):
        return _ours("linalg.vector_norm")(x, axis=axis, ord=2 if ord is None else ord, keepdims=keepdims)
    norm, move = _ours("linalg.matrix_norm"), _ours("moveaxis")
    y = norm(move(x, axis, (-2, -1)), ord="fro" if ord is None else ord, keepdims=keepdims)
    return move(y, (-2, -1), axis) if keepdims else y


def _ordered(name: str) -> Callable[..., Any]:
    def call(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
        if order is not None:
            raise OpError(f"np.{name} of a Tensor does not take order=: a tensor has no fields")
        return _ours(name)(
            _flat(a) if axis is None else a, axis=-1 if axis is None else axis, stable=stable is not False
        )

    return call


def _outer(a: Any, b: Any) -> Any:
    a, b = _arrays([x] if isinstance(x, (int, float, complex)) else x for x in (a, b))
    return _ours("outer")(_flat(a), _flat(b))


def _repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    a, repeats = _arrays([a, repeats])
    return _ours("repeat")(a, repeats, axis=axis)


def _round(a: Any, decimals: int = 0) -> Any:
    if a.dtype.kind in "biu":
        return (
            _ours("round")(a)
            if decimals >= 0
            else _ours("astype")(_round(_ours("astype")(a, "float64"), decimals), a.dtype)
        )
    unit = 10.0 ** abs(decimals)
    if decimals > 0:
        return _ours("round")(a * unit) / unit
    return _ours("round")(a / unit) * unit if decimals else _ours("round")(a)


def _squeeze(a: Any, axis: Any = None) -> Any:
    return _ours("squeeze")(a, tuple(i for i, n in enumerate(a.shape) if n == 1) if axis is None else axis)


def _swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    return _ours("moveaxis")(a, (axis1, axis2), (axis2, axis1)) if axis1 != axis2 else a


def _take(a: Any, indices: Any, axis: Any = None) -> Any:
    a, indices = _arrays([a, indices])
    a, axis = (_flat(a), 0) if axis is None else (a, axis)
    return _ours("take")(a, _ours("asarray")(indices, device=a.device) if type(indices) is int else indices, axis=axis)


def _transpose(a: Any, axes: Any = None) -> Any:
    return _ours("permute_dims")(a, tuple(reversed(range(a.ndim))) if axes is None else tuple(axes))


def _where(condition: Any, *choices: Any) -> Any:
    return _ours("where")(*_arrays([condition, *choices])) if choices else _ours("nonzero")(condition)


def _like(x: Any) -> Any:
    return x if type(x) is Tensor else _ours("asarray")(x)


OWN: dict[str, Callable[..., Any]] = {
    "argsort": _ordered("argsort"),
    "around": _round,
    "clip": _clip,
    "copy": lambda a: _ours("asarray")(a, copy=True),
    "cumprod": _cumulative("cumulative_prod"),
    "cumsum": _cumulative("cumulative_sum"),
    "diag": _diag,
    "diagonal": _diagonal,
    "iscomplexobj": lambda x: _like(x).dtype.kind == "c",
    "isrealobj": lambda x: _like(x).dtype.kind != "c",
    "linalg.norm": _norm,
    "ndim": lambda a: a.ndim,
    "outer": _outer,
    "ravel": _flat,
    "repeat": _repeat,
    "round": _round,
    "shape": lambda a: a.shape,
    "size": lambda a, axis=None: a.size if axis is None else a.shape[axis],
    "sort": _ordered("sort"),
    "squeeze": _squeeze,
    "swapaxes": _swapaxes,
    "take": _take,
    "trace": _trace,
    "transpose": _transpose,
    "unique": lambda ar: _ours("unique_values")(ar),
    "where": _where,
}

# -- on Tensor --------------------------------------------------------------------------------------------------------

ATTACHED: dict[str, Any] = {
    "__array_namespace__": _namespace, "__array_ufunc__": _array_ufunc, "__array_function__": _array_function,
    "__dlpack__": _dlpack, "__dlpack_device__": _dlpack_device, "to_device": _to_device,
}  # fmt: skip
for _name, _function in ATTACHED.items():
    setattr(Tensor, _name, _function)
