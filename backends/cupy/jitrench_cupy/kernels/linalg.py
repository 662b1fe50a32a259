"""Decompositions that report what they could not do, and systems of equations whose leading axes broadcast, as CuPy's do not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cupy as cp
import cupyx
import numpy as np

from .rows import generic

SMALL = 32  # rows and columns, up to which stacks have solvers of their own


def _as_stack(name: str, x: Any, **attrs: Any) -> Any:
    """The op's own forward; of one small matrix as a stack of one, so that signs and phases of vectors are the same in both."""
    if x.ndim != 2 or max(x.shape) > SMALL:
        return generic(name, x, **attrs)
    y = generic(name, x[None], **attrs)
    return tuple(part[0] for part in y) if isinstance(y, tuple) else y[0]


def _reporting(name: str, x: Any, **attrs: Any) -> Any:
    """The op's own forward. By default cuSOLVER's reports are left unread, and what came out is returned, whatever it is.

    These ops wait for the GPU anyway.
    """
    if x.dtype.kind in "fc" and not bool(cp.isfinite(x).all()):  # which some of its routines do not report
        raise np.linalg.LinAlgError(f"{name}: NaN or infinite elements")
    with cupyx.errstate(linalg="raise"):
        return _as_stack(name, x, **attrs) if name in ("eigh", "eigvalsh") else generic(name, x, **attrs)


def cholesky(x: Any, /, *, upper: bool = False) -> Any:
    """The op ``cholesky``."""
    return _reporting("cholesky", x, upper=upper)


def eig(x: Any, /) -> Any:
    """The op ``eig``."""
    return _reporting("eig", x)


def eigh(x: Any, /) -> Any:
    """The op ``eigh``."""
    return _reporting("eigh", x)


def eigvals(x: Any, /) -> Any:
    """The op ``eigvals``."""
    return _reporting("eigvals", x)


def eigvalsh(x: Any, /) -> Any:
    """The op ``eigvalsh``."""
    return _reporting("eigvalsh", x)


def svd(x: Any, /, *, full_matrices: bool = True) -> Any:
    """The op ``svd``."""
    return _as_stack("svd", x, full_matrices=full_matrices)


def _fits(x1: Any, x2: Any) -> bool:
    arrays = all(hasattr(a, "dtype") and a.dtype.kind in "fc" and a.itemsize > 2 for a in (x1, x2))
    if not arrays or x1.ndim < 2 or x2.ndim < 1 or x1.shape[-1] != x1.shape[-2]:
        return False
    return bool(x2.shape[-2 if x2.ndim > 1 else 0] == x1.shape[-1])


def _solved(solver: Callable[[Any, Any], Any], x1: Any, x2: Any) -> Any:
    """``solver`` of arrays of one dtype, of one matrix or of a stack with as many right sides."""
    if x2.ndim == 1:
        return _solved(solver, x1, x2[:, None])[..., 0]
    dtype, (n, k) = cp.result_type(x1, x2), x2.shape[-2:]
    x1, x2 = (a.astype(dtype, copy=False) for a in (x1, x2))
    lead = np.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    if not math.prod((*lead, n, k)):
        return cp.empty((*lead, n, k), dtype)
    if math.prod(x1.shape[:-2]) > 1:
        return solver(cp.broadcast_to(x1, (*lead, n, n)), cp.broadcast_to(x2, (*lead, n, k)))
    columns = cp.moveaxis(x2, -2, 0)  # one matrix: one factorization for all the right sides
    y = solver(x1.reshape(n, n), columns.reshape(n, -1)).reshape(columns.shape)
    return cp.broadcast_to(cp.moveaxis(y, 0, -2), (*lead, n, k))


def solve(x1: Any, x2: Any, /) -> Any:
    """The op ``solve``; a singular matrix gives infinite elements or NaN."""
    return _solved(cp.linalg.solve, x1, x2) if _fits(x1, x2) else NotImplemented


def solve_triangular(x1: Any, x2: Any, /, *, upper: bool = False, unit_diagonal: bool = False) -> Any:
    """The op ``solve_triangular``, by substitution; a zero on the diagonal gives infinite elements or NaN."""
    if not _fits(x1, x2):
        return NotImplemented
    from cupyx.scipy.linalg import solve_triangular as substituted

    def solver(a: Any, b: Any) -> Any:
        return substituted(a, b, lower=not upper, unit_diagonal=unit_diagonal)

    return _solved(solver, x1, x2)
