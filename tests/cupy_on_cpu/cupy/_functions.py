"""CuPy's functions by NumPy's: only names that CuPy has, only arguments that it takes, only its own arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from . import _state
from ._array import SCATTERED, garbage, ndarray, quiet, same_device, scatter, unsupported, wrap
from ._state import synchronise

SYNCHRONISING = {
    "nonzero",
    "flatnonzero",
    "argwhere",
    "unique",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "bincount",
    "histogram",
    "histogram2d",
    "histogramdd",
    "trim_zeros",
    "extract",
    "compress",
    "in1d",
    "intersect1d",
    "setdiff1d",
    "setxor1d",
    "union1d",
    "average",
    "percentile",
    "quantile",
    "array_repr",
    "array_str",
    "array2string",
    "lstsq",
}
VIEWS = {
    "reshape",
    "ravel",
    "transpose",
    "permute_dims",
    "swapaxes",
    "moveaxis",
    "rollaxis",
    "squeeze",
    "expand_dims",
    "broadcast_to",
    "broadcast_arrays",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "diagonal",
    "flip",
    "fliplr",
    "flipud",
    "rot90",
    "split",
    "array_split",
    "hsplit",
    "vsplit",
    "dsplit",
    "real",
    "imag",
    "matrix_transpose",
    "ndim",
    "shape",
    "size",
    "isscalar",
    "result_type",
    "can_cast",
    "iscomplexobj",
    "isrealobj",
}
# Functions whose Python result CuPy gives as a 0-d array.
ZERO_D = {"allclose", "array_equal", "array_equiv"}
# Functions whose first argument may be a list of arrays or numbers, a number, or no array at all.
LOOSE = {
    "concatenate",
    "concat",
    "stack",
    "vstack",
    "hstack",
    "dstack",
    "column_stack",
    "row_stack",
    "broadcast_arrays",
    "block",
    "array_split",
    "meshgrid",
    "ix_",
    "einsum",
    "where",
    "result_type",
    "can_cast",
    "isscalar",
    "arange",
    "linspace",
    "logspace",
    "eye",
    "identity",
    "tri",
    "indices",
    "full",
    "zeros",
    "ones",
    "empty",
    "tril_indices",
    "triu_indices",
    "diag_indices",
    "ndim",
    "shape",
    "size",
    "issubdtype",
    "isdtype",
    "broadcast_shapes",
    "promote_types",
    "common_type",
    "select",
    "lexsort",
    "fftfreq",
    "rfftfreq",
    "hanning",
    "hamming",
    "bartlett",
    "blackman",
    "kaiser",
    "unravel_index",
    "ravel_multi_index",
    "mask_indices",
    "choose",
    "iscomplexobj",
    "isrealobj",
    "min_scalar_type",
    "mintypecode",
    "binary_repr",
    "base_repr",
    "fromfunction",
    "piecewise",
    "gradient",
    "linalg_multi_dot",
}
WRAPPING = {"take", "take_along_axis"}


class Parameters:
    """What a function of CuPy takes: ``names`` in order, and of those ``positional`` ones; ``more`` of either kind."""

    def __init__(self, text: str) -> None:
        parts = [p.strip() for p in text.split(",") if p.strip()]
        self.more = any(p.startswith("*") and not p.startswith("**") and p != "*" for p in parts)
        self.any_keyword = any(p.startswith("**") for p in parts)
        self.names: list[str] = []
        self.positional = 0
        starred = False
        for p in parts:
            if p.startswith("*"):
                starred = True
            elif p != "/":
                self.names.append(p.rstrip("="))
                self.positional += not starred

    def check(self, name: str, args: Any, kwargs: Any) -> None:
        if len(args) > self.positional and not self.more:
            raise TypeError(
                f"{name}() takes {self.positional} positional arguments but {len(args)} were given (as CuPy has it)"
            )
        for k in kwargs:
            if k not in self.names and not self.any_keyword:
                raise TypeError(
                    f"{name}() got an unexpected keyword argument {k!r} (CuPy's takes {', '.join(self.names)})"
                )


def lowered(x: Any, found: list[ndarray], deep: bool = True) -> Any:
    """The host's array of ``x`` (appended to ``found``); NumPy's own arrays are refused."""
    if isinstance(x, ndarray):
        found.append(x)
        return x._a
    if isinstance(x, np.ndarray):
        raise unsupported(x)
    if deep and isinstance(x, (list, tuple)):
        made = [lowered(v, found) for v in x]
        return type(x)(made) if type(x) in (list, tuple) else x
    return x


def raised(result: Any, found: list[ndarray], out: Any = None, zero_d: bool = False) -> Any:
    """CuPy's arrays for NumPy's arrays and scalars, in tuples and lists, too."""
    if isinstance(result, (np.ndarray, np.generic)) or (zero_d and isinstance(result, bool)):
        if out is not None and result is out._a:
            return out
        return wrap(result, found)
    if isinstance(result, list):
        return [raised(r, found) for r in result]
    if isinstance(result, tuple):
        return tuple(raised(r, found) for r in result)
    return result


def function(module: str, name: str, host: Callable[..., Any]) -> Callable[..., Any]:
    """CuPy's function ``name`` by the host's."""
    text = _state.names(module)[name]
    parameters = Parameters(text) if isinstance(text, str) else None
    try:
        theirs = [p for p in inspect.signature(host).parameters.values() if p.kind is not p.VAR_KEYWORD]
    except (ValueError, TypeError):
        theirs = []
    order = [p.name for p in theirs if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    can_name = {p.name for p in theirs if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}

    def call(*args: Any, **kwargs: Any) -> Any:
        if parameters is not None:
            parameters.check(name, args, kwargs)
        if args and name not in LOOSE and not isinstance(args[0], ndarray) and isinstance(args[0], (list, tuple)):
            raise TypeError(f"cupy.{name} takes a cupy.ndarray, not a {type(args[0]).__name__}")
        if name in SYNCHRONISING or (name == "where" and len(args) + len(kwargs) == 1):
            synchronise(f"cupy.{name}")
        found: list[ndarray] = []
        out = kwargs.get("out")
        given = [lowered(a, found) for a in args]
        named = {k: lowered(v, found) for k, v in kwargs.items()}
        if name == "repeat" and any(isinstance(x, ndarray) for x in (*args[1:2], kwargs.get("repeats"))):
            synchronise("cupy.repeat of an array of numbers")
        if name not in VIEWS:
            same_device(found)
        # Where the two libraries order their arguments differently, by name.
        if parameters is not None and order and not parameters.more:
            for i in range(len(given) - 1, 0, -1):
                mine = parameters.names[i]
                if i >= len(order) or (order[i] != mine and mine in can_name):
                    named[mine] = given.pop(i) if i == len(given) - 1 else named.get(mine)
                    if i < len(given):
                        break
            for k in [k for k in named if k not in can_name and k in parameters.names]:
                i = parameters.names.index(k)
                if i < len(order) and order[i] not in parameters.names:
                    named[order[i]] = named.pop(k)
                elif named[k] is None:
                    del named[k]
        if name in WRAPPING:
            _wrap_around(name, given, named)
        with np.errstate(all="ignore"), quiet():
            result = host(*given, **named)
        return raised(result, found, out, name in ZERO_D)

    call.__name__ = call.__qualname__ = name
    call.__module__ = module
    call.__doc__ = f"``{module}.{name}``, by NumPy."
    if parameters is not None:
        call.__signature__ = _signature(parameters)  # type: ignore[attr-defined]
    return call


def _signature(p: Parameters) -> inspect.Signature:
    kinds = inspect.Parameter
    made = [kinds(n, kinds.POSITIONAL_OR_KEYWORD, default=None) for n in p.names[: p.positional]]
    made += [kinds("args", kinds.VAR_POSITIONAL)] * p.more
    made += [kinds(n, kinds.KEYWORD_ONLY, default=None) for n in p.names[p.positional :]]
    made += [kinds("kwargs", kinds.VAR_KEYWORD)] * p.any_keyword
    return inspect.Signature(made)


def _wrap_around(name: str, given: list[Any], named: dict[str, Any]) -> None:
    """Index arrays that are out of bounds wrap around."""
    a = given[0]
    axis = named.get("axis", given[2] if len(given) > 2 else None)
    n = a.size if axis is None else a.shape[axis]
    if len(given) > 1:
        given[1] = np.asarray(given[1]) % n if n else np.asarray(given[1])
    else:
        named["indices"] = np.asarray(named["indices"]) % n if n else named["indices"]


WEAK = {bool: "?", int: "i", float: "f", complex: "c"}
LONG = {"q": "l", "Q": "L"}


def _floor_divide(a: Any, b: Any) -> Any:
    return np.floor(a / b) if np.result_type(a, b).kind == "f" else np.floor_divide(a, b)


def _remainder(a: Any, b: Any) -> Any:
    return a - _floor_divide(a, b) * b if np.result_type(a, b).kind == "f" else np.remainder(a, b)


# Those that round otherwise than NumPy's.
ROUNDED = {"floor_divide": _floor_divide, "remainder": _remainder, "mod": _remainder}


class ufunc:
    """A ufunc of CuPy: the loops are those that CuPy has."""

    def __init__(self, name: str, types: list[str], host: Callable[..., Any], module: str = "cupy") -> None:
        self.name = self.__name__ = name
        self.__doc__ = f"``{module}.{name}``, by NumPy."
        self.types = types
        self.host = ROUNDED.get(name, host)
        ins, _, outs = types[0].partition("->")
        self.nin, self.nout = len(ins), len(outs)
        self.nargs = self.nin + self.nout
        self.loop = lru_cache(None)(self._loop)

    def __repr__(self) -> str:
        return f"<ufunc 'cupy_{self.name}'>"

    def at(self, a: Any, indices: Any, b: Any = None) -> None:
        """In place, as often as an index is named."""
        if self.name not in SCATTERED:
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        scatter(self.name, a, indices, b)

    def _loop(self, kinds: tuple[str, ...]) -> tuple[str, str]:
        """CuPy's first loop that can take the operands, each a dtype's character or ``weak`` and a kind."""
        strong = [k for k in kinds if not k.startswith("weak")]
        for types in self.types:
            ins, _, outs = types.partition("->")
            if all(_fits(k, t, strong) for k, t in zip(kinds, ins, strict=True)):
                return ins, outs
        raise TypeError(f"Wrong type ({', '.join(kinds)}) of arguments for cupy_{self.name}")

    def __call__(
        self, *args: Any, out: Any = None, dtype: Any = None, casting: Any = "same_kind", where: Any = None
    ) -> Any:
        if len(args) not in (self.nin, self.nargs):
            raise TypeError(f"Wrong number of arguments for cupy_{self.name}: {len(args)}")
        if len(args) > self.nin:
            args, out = args[: self.nin], args[self.nin] if self.nout == 1 else args[self.nin :]
        if isinstance(out, tuple):
            out = out[0] if len(out) == 1 else out
        found: list[ndarray] = []
        given: list[Any] = []
        kinds: list[str] = []
        for a in args:
            if isinstance(a, ndarray):
                found.append(a)
                given.append(a._a)
                kinds.append(a._a.dtype.char)
            elif isinstance(a, np.generic):
                given.append(a)
                kinds.append(a.dtype.char)
            elif type(a) in WEAK:
                given.append(a)
                kinds.append("weak" + WEAK[type(a)])
            elif isinstance(a, (bool, int, float, complex)):
                given.append(a)
                kinds.append("weak" + ("f" if isinstance(a, float) else "i"))
            else:
                raise unsupported(a)
        same_device(found)
        if dtype is not None:
            given = [np.asarray(g).astype(dtype) if isinstance(g, (np.ndarray, np.generic)) else g for g in given]
            kinds = [np.dtype(dtype).char if not k.startswith("weak") else k for k in kinds]
        ins, outs = self.loop(tuple(kinds))
        with np.errstate(all="ignore"), quiet():
            for i, (k, t) in enumerate(zip(kinds, ins, strict=True)):
                if k.startswith("weak"):
                    if k == "weaki" and t in "bhilqBHILQ":
                        given[i] = np.asarray(given[i], _bounded(given[i], t))
                    else:
                        given[i] = np.asarray(given[i]).astype(t)
                elif LONG.get(k, k) != LONG.get(t, t):
                    given[i] = np.asarray(given[i]).astype(t)
            result = self.host(*given)
        results = result if isinstance(result, tuple) else (result,)
        made = []
        for r, t in zip(results, outs, strict=True):
            raw = np.asarray(r)
            if raw.dtype != t:
                raw = raw.astype(t)
            made.append(raw)
        if out is not None:
            given_out = out if isinstance(out, tuple) else (out,)
            for o, raw in zip(given_out, made, strict=True):
                if not isinstance(o, ndarray):
                    raise TypeError("Output arguments type must be cupy.ndarray")
                same_device([o])
                if not np.can_cast(raw.dtype, o.dtype, casting):
                    raise TypeError(
                        f"output (typecode {raw.dtype.char!r}) could not be coerced to provided output parameter "
                        f'(typecode {o.dtype.char!r}) according to the casting rule "{casting}"'
                    )
                np.copyto(o._a, raw, casting="unsafe", where=True if where is None else where._a)
            return out
        wrapped = [wrap(raw, found) if raw.base is not None else wrap(raw) for raw in made]
        return wrapped[0] if self.nout == 1 else tuple(wrapped)

    def reduce(self, array: ndarray, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        return self._by("reduce", array, axis=axis, dtype=dtype, keepdims=keepdims)

    def accumulate(self, array: ndarray, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        return self._by("accumulate", array, axis=axis, dtype=dtype)

    def outer(self, a: ndarray, b: ndarray, **kwargs: Any) -> Any:
        return self._by("outer", a, b)

    def _by(self, method: str, *args: Any, **kwargs: Any) -> Any:
        found: list[ndarray] = []
        given = [lowered(a, found) for a in args]
        same_device(found)
        with np.errstate(all="ignore"), quiet():
            return wrap(getattr(self.host, method)(*given, **kwargs))


def _bounded(value: int, t: str) -> Any:
    info = np.iinfo(t)
    if not info.min <= value <= info.max:
        raise OverflowError(f"Python integer {value} out of bounds for {np.dtype(t)}")
    return t


def _fits(kind: str, t: str, strong: list[str]) -> bool:
    if not kind.startswith("weak"):
        return np.can_cast(kind, t)
    rank = {"?": 0, "i": 1, "f": 2, "c": 3}
    of_t = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}[np.dtype(t).kind]
    if not strong:  # Python's own dtypes
        default = {"?": "?", "i": "l", "f": "d", "c": "D"}[kind[4:]]
        return np.can_cast(default, t)
    if of_t < rank[kind[4:]]:
        return False
    # The weak operand raises the kind of the others to its own, and nothing else.
    highest = np.result_type(*strong, {"?": False, "i": 0, "f": 0.0, "c": 0j}[kind[4:]])
    return bool(np.can_cast(highest, t))


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """``cupy.empty``: full of NaN."""
    return garbage(shape, dtype, order)


def empty_like(
    prototype: ndarray, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None
) -> ndarray:
    """``cupy.empty_like``: full of NaN."""
    if not isinstance(prototype, ndarray):
        raise unsupported(prototype)
    fortran = order == "F" or (order in "KA" and prototype._a.flags.fnc)
    return garbage(
        prototype.shape if shape is None else shape, dtype or prototype.dtype, "F" if fortran and shape is None else "C"
    )
