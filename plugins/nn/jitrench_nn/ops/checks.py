"""What several families ask of their arguments."""

from __future__ import annotations

from typing import Any

import jitrench_core as jt
from jitrench_core.backend import owner


def visible(x: Any) -> bool:
    """Whether the values of ``x`` can be looked at: not inside ``vmap`` and ``jvp``, nor on a GPU, where it waits for all that is queued."""
    who = owner(type(x.data))
    return not (who.depth or who.asynchronous)


def extent(x: Any) -> tuple[int, int] | None:
    """The least and the largest of integers; None where there are none, or where they cannot be looked at."""
    return (int(jt.min(x)), int(jt.max(x))) if x.size and visible(x) else None


def reduced(who: str, loss: Any, reduction: str, xp: Any = jt) -> Any:
    """A loss of each element, or their mean or sum; ``OpError`` for another reduction."""
    if reduction == "mean":
        return xp.mean(loss)
    if reduction == "sum":
        return xp.sum(loss)
    if reduction == "none":
        return loss
    raise jt.OpError(f"{who}(): reduction= is 'mean', 'sum' or 'none'; got {reduction!r}")


def real(who: str, *arrays: Any) -> None:
    """``DTypeError`` for complex numbers: of Tensors, and of arrays in a forward, where NumPy would order them (0.1 us)."""
    for x in arrays:
        if getattr(getattr(x, "dtype", None), "kind", "") == "c":
            raise jt.DTypeError(f"{who}() takes real numbers, got {x.dtype}: take jt.real(x), jt.imag(x) or jt.abs(x)")


def floating(who: str, x: Any, name: str = "x") -> None:
    """``DTypeError`` for all but real floating-point numbers: integers cannot hold means, and their differences wrap around."""
    real(who, x)
    if x.dtype.kind != "f":
        raise jt.DTypeError(
            f"{who}(): {name} has dtype {x.dtype}; expected floating point, such as {name}.astype(jt.float64)"
        )


def averaged(who: str, x: Any) -> None:
    """``DTypeError`` for integers and booleans: a mean of them is none."""
    if x.dtype.kind not in "fc":
        raise jt.DTypeError(f"{who}(): x has dtype {x.dtype}; expected floating point, such as x.astype(jt.float64)")


def of_real_numbers(function: Any) -> Any:
    """Decorates an op whose forward asks for ``real`` numbers: the same error where the library itself refuses others."""

    def check(*arrays: Any) -> None:
        real(function.op.name, *arrays)

    function.check(check)
    return function


def narrow(who: str, name: str, a: Any, x: Any) -> None:
    """``ShapeError`` where ``a`` does not broadcast to x's shape."""
    shape = getattr(a, "shape", ())
    tail = x.shape[len(x.shape) - len(shape) :]
    if len(shape) > len(x.shape) or any(n not in (1, m) for n, m in zip(shape, tail, strict=True)):
        raise jt.ShapeError(f"{who}(): {name} has shape {shape}, which does not broadcast to x's, {x.shape}")


def of_dtype(x: Any, a: Any, kinds: str = "iub") -> Any:
    """``a`` in x's dtype where it has one of ``kinds``, by default integers and booleans: float32 stays float32 with them."""
    dtype = getattr(a, "dtype", None)
    return jt.astype(a, x.dtype) if dtype is not None and dtype.kind in kinds and dtype != x.dtype else a


def weights(who: str, x: Any, **given: Any) -> tuple[Any, ...]:
    """Weights of a loss, as numbers of x's dtype; ``ShapeError`` where one does not broadcast to x."""
    for name, a in given.items():
        narrow(who, name, a, x)
    return tuple(of_dtype(x, jt.asarray(a), "iubf") if hasattr(a, "shape") else a for a in given.values())


def same_shape(who: str, x: Any, target: Any, name: str = "target") -> None:
    """``ShapeError`` where shapes differ: (n, 1) with (n,) would broadcast to (n, n). Both must be real."""
    real(who, x, target)
    if x.shape != target.shape:
        raise jt.ShapeError(
            f"{who}(): x has shape {x.shape} and {name} {target.shape}; they must be equal: reshape one, such as "
            f"jt.reshape({name}, {x.shape})"
        )
