"""What the families share: kernels from SciPy and CuPy by name, refusals in words, and small series in ops."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from jitrench_core import DTypeError, GradientError, OpError

BLOCK = 2**13  # elements: their quadratures take some 200 MB
LIBRARIES = {"numpy": "scipy.special", "cupy": "cupyx.scipy.special"}

# Ops whose names cupyx.scipy.special has for the same function of arrays; the others have a kernel of NumPy's alone. Its logit
# near 1/2, and its rel_entr of nearly equal numbers, have lost digits: these two run by the ops' own forwards.
CUPY = frozenset({
    "beta", "betainc", "betaln", "binom", "digamma", "ellipk", "ellipkm1", "entr", "erfcinv", "erfcx", "erfinv", "exp1", "expi",
    "expn", "exprel", "gamma", "gammainc", "gammaincc", "gammaincinv", "gammainccinv", "betaincinv", "gammaln", "gammasgn", "i0",
    "i0e", "i1", "i1e", "j0", "j1", "k0", "k0e", "k1", "k1e", "log_expit", "log_ndtr", "loggamma", "ndtr", "ndtri", "poch",
    "rgamma", "shichi", "sici", "xlog1py", "xlogy", "y0", "y1", "yn",
})  # fmt: skip


def float_dtype(name: str, arrays: Iterable[Any]) -> Any:
    """The dtype of a result: the widest of the floating-point arrays, float64 where all are integers."""
    widest: Any = None
    for a in arrays:
        kind = a.dtype.kind if hasattr(a, "dtype") else "c" if type(a) is complex else ""
        if kind == "c":
            raise DTypeError(
                f"{name}() takes real numbers; complex ones came. Give it jt.real(x), or the real and imaginary parts apart"
            )
        if kind == "f" and (widest is None or a.dtype.itemsize > widest.itemsize):
            widest = a.dtype
    return "float64" if widest is None else widest


def check_real(name: str, xp: Any, *arrays: Any) -> None:
    """``DTypeError`` where one of the arrays of a forward is complex."""
    for a in arrays:
        if type(a) is complex or (hasattr(a, "dtype") and xp.isdtype(a.dtype, "complex floating")):
            float_dtype(name, [0j])


def whole(xp: Any, *arrays: Any) -> tuple[Any, ...]:
    """Arrays that broadcast, of the operands of a forward: Python numbers become arrays, integers floating-point ones."""
    some = next(a for a in arrays if hasattr(a, "dtype"))
    floats = [a.dtype for a in arrays if hasattr(a, "dtype") and xp.isdtype(a.dtype, "real floating")]
    dtype = xp.result_type(*floats) if floats else xp.float64
    return tuple(
        xp.astype(a, dtype, copy=False) if hasattr(a, "dtype") else xp.full_like(some, a, dtype=dtype) for a in arrays
    )


def kernel(op: str, backend: str, name: str | None = None, orders: tuple[int, ...] = ()) -> Callable[..., Any]:
    """The library's function ``name`` (that of the op, where None is given), imported at the first call.

    Integers take the dtype of the floating-point operands, and the result has it, too; ``orders`` are the places of orders that
    the library wants as integers.
    """
    function: Any = None

    def compute(*arrays: Any) -> Any:
        nonlocal function
        if function is None:
            function = getattr(import_module(LIBRARIES[backend]), name or op)
        dtype = float_dtype(op, arrays)
        given = [
            whole_numbers(op, a) if i in orders
            else a.astype(dtype) if getattr(a, "dtype", dtype) != dtype else a
            for i, a in enumerate(arrays)
        ]  # fmt: skip
        return cast(function(*given), dtype)

    return compute


def whole_numbers(op: str, n: Any) -> Any:
    """Orders or degrees as int64; ``DTypeError`` where they are not whole, ``OpError`` where they are negative."""
    array = hasattr(n, "dtype")
    if n.dtype.kind not in "iub" if array else n != int(n):
        raise DTypeError(f"{op}() takes a whole n, an int or an array of integers; got {getattr(n, 'dtype', n)}")
    n = n.astype("int64") if array else int(n)
    here = not array or (n.size and type(n).__module__ == "numpy")  # of a GPU's one would have to wait
    if here and op != "yn" and (lowest := n.min() if array else n) < 0:
        raise OpError(f"{op}() takes n from 0 on; got {lowest}")
    return n


def in_blocks(xp: Any, f: Callable[..., Any], *arrays: Any) -> Any:
    """f of arrays of one shape, ``BLOCK`` elements at a time: for a quadrature, which makes arrays some hundred times as large."""
    shape, size = arrays[0].shape, math.prod(arrays[0].shape)
    if size <= BLOCK:
        return f(*arrays)
    flat = [xp.reshape(a, (-1,)) for a in arrays]
    parts = [f(*(a[i : min(i + BLOCK, size)] for a in flat)) for i in range(0, size, BLOCK)]
    return xp.reshape(xp.concat(parts), shape)


def cast(y: Any, dtype: Any) -> Any:
    """A result, or each of several, in ``dtype``."""
    if type(y) is tuple:
        return tuple(cast(part, dtype) for part in y)
    return y if y.dtype == dtype else y.astype(dtype)


def kernels(ops: Iterable[Any], own: Iterable[str] = ()) -> dict[tuple[str, str], Callable[..., Any]]:
    """A kernel for each op that is a library's function of that name, on each backend; ``own`` names those that are none."""
    names = [function.op.name for function in ops if not function.op.composite and function.op.name not in own]
    found = {(name, "numpy"): kernel(name, "numpy") for name in names}
    return found | {(name, "cupy"): kernel(name, "cupy") for name in names if name in CUPY}


def refuse(op: str, name: str, why: str = "no closed form is known") -> Callable[[Any], Any]:
    """The rule of an input in which there is no derivative: ``GradientError`` where one is asked for."""

    def rule(g: Any) -> Any:
        raise GradientError(
            f"{op}() has no derivative rule for its input {name!r} ({why}), and {name!r} requires a gradient here. "
            f"Detach it ({name}.detach()), or pass a Python number."
        )

    return rule


def polynomial(coefficients: Iterable[float], x: Any) -> Any:
    """By Horner's rule; the lowest power comes first. Of tensors or of arrays."""
    *rest, total = coefficients
    total = x * 0.0 + total
    for c in reversed(rest):
        total = total * x + c
    return total


def product(g: Any, slope: Callable[[Any], Any], x: Any) -> Any:
    """g * slope(x) for one of several outputs; 0 where nothing depends on it (g is 0), also where its slope is infinite."""
    from jitrench_core import isfinite, where

    none = (g == 0) & ~isfinite(slope(x.detach()))
    return where(none, 0.0, g) * slope(where(none, 1.0, x))


def choose(condition: Any, yes: Any, no: Any) -> Any:
    """``jt.where`` that takes a Python bool, too."""
    from jitrench_core import where

    return (yes if condition else no) if type(condition) is bool else where(condition, yes, no)
