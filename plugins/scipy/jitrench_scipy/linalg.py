"""``linalg``: what ``scipy.linalg`` has beyond ``jt.linalg``, with derivatives, batched over leading axes.

``expm`` and ``kron`` are the core's own, under SciPy's names. ``LinAlgError`` says what is wrong with a matrix, ``ShapeError`` and
``DTypeError`` what is wrong with an argument.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import jitrench_core as jt
from jitrench_core import DTypeError, LinAlgError, OpError, ShapeError, Tensor, op
from jitrench_core.ops.linalg import kron

expm = jt.linalg.matrix_exp

# -- what the ops share -----------------------------------------------------------------------------------------------


def _t(x: Any) -> Any:
    return jt.matrix_transpose(x)


def _square(name: str, what: str, x: Any) -> int:
    """The size of square matrices of floating-point numbers; what else came is an error."""
    shape = tuple(getattr(x, "shape", ()))
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeError(f"{name}(): {what} must be square matrices (..., n, n); got shape {shape}")
    if x.dtype.kind not in "fc":
        raise DTypeError(
            f"{name}() takes floating-point numbers; {what} is {x.dtype} of shape {shape}: convert it first, by x.astype(jt.float64)"
        )
    return shape[-1]


def _near_unit(rng: Any, *shape: int) -> Any:
    """Test data: matrices whose eigenvalues are right of zero."""
    return 0.4 * rng.normal(size=shape) + [[2.0 * (i == j) for j in range(shape[-1])] for i in range(shape[-2])]


def _fit(g: Any, shape: tuple[int, ...]) -> Any:
    return g if g.shape == shape else jt.sum_to(g, shape)


def _aligned(function: Callable[..., Any], trailing: tuple[int, ...]) -> Any:
    """The batch rule of a function of matrices whose leading axes broadcast."""

    def rule(batched: tuple[bool, ...], *arrays: Any, **attrs: Any) -> Any:
        lead = max(a.ndim - b - n for a, b, n in zip(arrays, batched, trailing, strict=True))
        wide = []
        for a, b, n in zip(arrays, batched, trailing, strict=True):
            missing = lead - (a.ndim - b - n)
            wide.append(jt.reshape(a, (a.shape[0], *(1,) * missing, *a.shape[1:])) if b and missing else a)
        return function(*wide, **attrs)

    return rule


# -- Sylvester's equation ---------------------------------------------------------------------------------------------


@op(
    samples=lambda rng: (
        (_near_unit(rng, 2, 3, 3), _near_unit(rng, 2, 2), rng.normal(size=(2, 3, 2))),
        {},
    )
)
def solve_sylvester(xp: Any, a: Any, b: Any, q: Any, /) -> Any:
    """The x with a @ x + x @ b = q, for square matrices a (..., m, m) and b (..., n, n), and q (..., m, n).

    There is one unless an eigenvalue of a is the negative of one of b: then ``LinAlgError``. Leading axes broadcast.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import linalg
    >>> linalg.solve_sylvester(jt.tensor([[1.0]]), jt.tensor([[3.0]]), jt.tensor([[2.0]]))
    Tensor([[0.5]])
    """
    _native_sylvester(xp, a, b, q)
    m, n = a.shape[-1], b.shape[-1]
    rows, columns = (xp.eye(k, dtype=q.dtype, device=q.device) for k in (m, n))
    # Kronecker's form, of rows: sum over k of a[i, k] x[k, j] + x[i, k] b[k, j]. O((m n)^3), where no library has a better one.
    big = (
        a[..., :, None, :, None] * columns[:, None, :]
        + rows[:, None, :, None] * xp.matrix_transpose(b)[..., None, :, None, :]
    )
    big = xp.reshape(big, (*big.shape[:-4], m * n, m * n))
    right = xp.reshape(q, (*q.shape[:-2], m * n, 1))
    lead = jt.broadcast_shapes(big.shape[:-2], right.shape[:-2])  # CuPy's solve does not broadcast them
    x = xp.linalg.solve(xp.broadcast_to(big, (*lead, m * n, m * n)), xp.broadcast_to(right, (*lead, m * n, 1)))
    return xp.reshape(x, (*x.shape[:-2], m, n))


def _native(xp: Any, *arrays: Any) -> None:
    """Refuse arrays that are no square matrices of floating-point numbers; the op's check says which, and why."""
    for x in arrays:
        if x.ndim < 2 or x.shape[-1] != x.shape[-2] or not xp.isdtype(x.dtype, ("real floating", "complex floating")):
            raise ValueError("no square matrices of floating-point numbers")


def _native_sylvester(xp: Any, a: Any, b: Any, q: Any) -> None:
    _native(xp, a, b)
    if (
        not xp.isdtype(q.dtype, ("real floating", "complex floating"))
        or a.ndim < 2
        or b.ndim < 2
        or q.ndim < 2
        or q.shape[-2:] != (a.shape[-1], b.shape[-1])
    ):
        raise ValueError("shapes do not fit")


@solve_sylvester.vjp_all
def _(g: Any, a: Any, b: Any, y: Any, q_shape: Any, needs: Any) -> Any:
    back = solve_sylvester(_t(a), _t(b), g)
    return (
        _fit(-jt.matmul(back, _t(y)), a.shape) if needs[0] else None,
        _fit(-jt.matmul(_t(y), back), b.shape) if needs[1] else None,
        _fit(back, q_shape) if needs[2] else None,
    )


solve_sylvester.batch(_aligned(solve_sylvester, (2, 2, 2)))


@solve_sylvester.check
def _(a: Any, b: Any, q: Any, /) -> None:
    """Why there was no solution."""
    m, n = _square("solve_sylvester", "a", a), _square("solve_sylvester", "b", b)
    if (shape := tuple(getattr(q, "shape", ())))[-2:] != (m, n):
        raise ShapeError(
            f"solve_sylvester(): q must be (..., {m}, {n}), for a of {a.shape} and b of {b.shape}; got {shape}"
        )
    if q.dtype.kind not in "fc":
        raise DTypeError(f"solve_sylvester() takes floating-point numbers; q is {q.dtype} of shape {shape}")
    raise LinAlgError(
        f"solve_sylvester(): a of shape {a.shape} and b of shape {b.shape} have no unique solution: an eigenvalue of a is the negative of "
        f"one of b, or a number is NaN or infinite"
    )


def _each(function: Callable[..., Any], xp: Any, *arrays: Any) -> Any:
    """A function of single matrices on stacks of them, whose leading axes broadcast."""
    lead = xp.broadcast_shapes(*(a.shape[:-2] for a in arrays))
    if not lead:
        return function(*arrays)
    wide = [xp.broadcast_to(a, (*lead, *a.shape[-2:])).reshape(-1, *a.shape[-2:]) for a in arrays]
    found = [function(*each) for each in zip(*wide, strict=True)]
    return xp.stack(found).reshape(*lead, *found[0].shape) if found else None


def _sylvester_numpy(a: Any, b: Any, q: Any) -> Any:
    import numpy as np
    from scipy.linalg import LinAlgError as Singular
    from scipy.linalg import solve_sylvester as solve

    _native_sylvester(np, a, b, q)
    dtype = np.result_type(a, b, q)
    if a.size == 0 or b.size == 0 or q.size == 0:
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2], q.shape[:-2])
        return np.zeros((*lead, *q.shape[-2:]), dtype=dtype)
    x = np.asarray(_each(solve, np, a, b, q)).astype(dtype, copy=False)
    # LAPACK moves an eigenvalue by a little where there is no unique solution: then no digit is right.
    off = np.abs(a @ x + x @ b - q).max(axis=(-2, -1))
    if not np.all(off <= 1e-3 * np.abs(q).max(axis=(-2, -1))):
        raise Singular("not unique")
    return x


# -- roots and logarithms ---------------------------------------------------------------------------------------------

_ROOT_STEPS = 40  # Newton's iteration converges in about 10; more only where there is no root


@op(
    vjp=lambda g, y: solve_sylvester(_t(y), _t(y), g),
    samples=lambda rng: ((_near_unit(rng, 2, 3, 3),), {}),
)
def sqrtm(xp: Any, x: Any, /) -> Any:
    """The principal square root of square matrices: y @ y = x, with eigenvalues right of the imaginary axis.

    Real matrices have a real one, and complex ones a complex one, where no eigenvalue is 0 or on the negative axis; else
    ``LinAlgError``: a real matrix may still have a complex root, which on NumPy is found where the matrix is converted first. By Schur's form
    there, elsewhere by the product form of Newton's iteration (N. Higham, "Functions of Matrices", 2008, section 6.3), whose digits
    are fewer by those of the condition number; the derivative is by Sylvester's equation.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import linalg
    >>> linalg.sqrtm(jt.tensor([[4.0, 0.0], [0.0, 9.0]]))
    Tensor([[2., 0.], [0., 3.]])
    """
    _native(xp, x)
    return _root(xp, x)


def _root(xp: Any, x: Any) -> Any:
    """The root by y, m -> y (1 + m^-1) / 2, (2 + m + m^-1) / 4 from x, x, scaled by determinants while m is far from 1."""
    if 0 in x.shape:
        return xp.asarray(x, copy=True)
    n = x.shape[-1]
    unit = xp.eye(n, dtype=x.dtype, device=x.device)
    tolerance = 4 * n * xp.finfo(x.dtype).eps
    y = m = x
    last = math.inf
    for _ in range(_ROOT_STEPS):
        off = float(xp.max(xp.abs(m - unit)))
        if off <= tolerance or (off < 1e-3 and off >= last / 2):
            return y
        if off > 0.1:  # a scale that brings the determinant of m to 1
            s = xp.exp(-xp.linalg.slogdet(m)[1] / (2 * n))[..., None, None]
            s = xp.astype(s, x.dtype)
        else:
            s = xp.ones((*x.shape[:-2], 1, 1), dtype=x.dtype, device=x.device)
        last = off
        inverse = xp.linalg.inv(m) / (s * s)
        y = s * (y + y @ inverse) / 2
        m = (2 * unit + s * s * m + inverse) / 4
    raise ValueError("no root")


def _matrix_check(name: str, reason: str) -> Callable[[Any], None]:
    def check(x: Any, /) -> None:
        _square(name, "x", x)
        raise LinAlgError(f"{name}(): a matrix of the shape {x.shape} {reason}")

    return check


_NO_ROOT = (
    "has an eigenvalue that is 0 or negative, or a number that is NaN or infinite, so it has no principal {} of its dtype. A real matrix with "
    "negative eigenvalues may have a complex one: x.astype(jt.complex128)"
)
sqrtm.batch(lambda batched, x: sqrtm(x))
sqrtm.check(_matrix_check("sqrtm", _NO_ROOT.format("square root")))


def _sqrtm_numpy(x: Any) -> Any:
    import numpy as np
    from scipy.linalg import LinAlgError as Singular
    from scipy.linalg import LinAlgWarning
    from scipy.linalg import (
        sqrtm as root,
    )  # by Schur's form: at a condition of 1e12 three digits more than by Newton's steps

    _native(np, x)
    if x.size == 0:
        return x.copy()
    if not np.all(np.isfinite(x)):
        raise Singular("not finite")
    with warnings.catch_warnings():
        warnings.simplefilter("error", LinAlgWarning)  # of a singular matrix it has some root, without a derivative
        try:
            y = np.asarray(_each(root, np, x))
        except LinAlgWarning as e:
            raise Singular(str(e)) from None
    if (y.dtype.kind == "c") != (x.dtype.kind == "c") or not np.all(np.isfinite(y)):
        raise Singular("no root of this dtype")
    residual = np.abs(y @ y - x).max(axis=(-2, -1))
    if np.any(residual > 1e-3 * np.abs(x).max(axis=(-2, -1))):
        raise Singular("singular")
    return y.astype(x.dtype, copy=False)


# Gauss and Legendre's 8 points on [0, 1]: log(1 + x) is the integral of x / (1 + t x), and the rule its Pade approximant.
_POINTS = (
    (0.019855071751231884, 0.05061426814518813), (0.10166676129318664, 0.11119051722668724),
    (0.2372337950418355, 0.15685332293894363), (0.4082826787521751, 0.181341891689181),
    (0.591717321247825, 0.181341891689181), (0.7627662049581645, 0.15685332293894363),
    (0.8983332387068134, 0.11119051722668724), (0.9801449282487682, 0.05061426814518813),
)  # fmt: skip
_LOG_RADIUS = 0.25  # the rule's error is below 1e-17 there
_LOG_ROOTS = 60


@op(
    vjp=lambda g, x: _log_frechet(_t(x), g),
    samples=lambda rng: ((_near_unit(rng, 2, 3, 3),), {}),
)
def logm(xp: Any, x: Any, /) -> Any:
    """The principal logarithm of square matrices, the inverse of ``expm`` with eigenvalues of imaginary part within pi.

    Where ``sqrtm`` has a root, in the same dtype, else ``LinAlgError``. By its roots until x is near to 1, and Gauss and Legendre's
    rule for the integral of (x - 1) (1 + t (x - 1))^-1 (N. Higham, "Functions of Matrices", 2008, chapter 11).

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import linalg
    >>> x = jt.tensor([[0.1, 0.2], [0.0, 0.3]])
    >>> bool(jt.all(jt.abs(linalg.logm(linalg.expm(x)) - x) < 1e-14))
    True
    """
    return _log(xp, x, lambda x: _root(xp, x))


def _log(xp: Any, x: Any, root: Callable[[Any], Any]) -> Any:
    _native(xp, x)
    if 0 in x.shape:
        return xp.asarray(x, copy=True)
    unit = xp.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    times = 0
    while not float(xp.max(xp.sum(xp.abs(x - unit), axis=-2))) <= _LOG_RADIUS:
        if times == _LOG_ROOTS:
            raise ValueError("no logarithm")
        x, times = root(x), times + 1
    x = x - unit
    y = xp.zeros_like(x)
    for at, weight in _POINTS:
        y = y + weight * xp.linalg.solve(unit + at * x, x)
    return y * 2.0**times


def _logm_numpy(x: Any) -> Any:
    """By Schur's form: of a rotation by pi - 1e-6 it has six digits more than by Newton's steps."""
    import numpy as np

    return _log(np, x, _sqrtm_numpy)


def _blocks(x: Any, e: Any) -> Any:
    """[[x, e], [0, x]], whose function has that of x on its diagonal and the derivative along e beside it."""
    x, e = jt.broadcast_arrays(x, e)
    return jt.concat([jt.concat([x, e], axis=-1), jt.concat([jt.zeros_like(x), x], axis=-1)], axis=-2)


def _log_frechet(x: Any, e: Any) -> Any:
    n = x.shape[-1]
    return logm(_blocks(x, e))[..., :n, n:]


@logm.jvp
def _(primals: Any, tangents: Any) -> Any:
    return logm(primals[0]), _log_frechet(primals[0], tangents[0])


logm.batch(lambda batched, x: logm(x))
logm.check(_matrix_check("logm", _NO_ROOT.format("logarithm")))


@op(
    composite=True,
    samples=lambda rng: ((rng.normal(size=(2, 3, 3)), rng.normal(size=(3, 3))), {}),
)
def expm_frechet(x: Any, e: Any, /) -> Any:
    """``expm`` of square matrices and its derivative along e, as a pair: both from the exponential of [[x, e], [0, x]].

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import linalg
    >>> linalg.expm_frechet(jt.zeros((1, 1)), jt.ones((1, 1)))
    (Tensor([[1.]]), Tensor([[1.]]))
    """
    n = _square("expm_frechet", "x", x)
    if tuple(getattr(e, "shape", ()))[-2:] != (n, n):
        raise ShapeError(f"expm_frechet(): e must be (..., {n}, {n}), as x of shape {x.shape}; got {e.shape}")
    y = expm(_blocks(x, e))
    return y[..., :n, :n], y[..., :n, n:]


# -- systems of equations ---------------------------------------------------------------------------------------------

_TRANSPOSED = {0: "N", "N": "N", 1: "T", "T": "T", 2: "C", "C": "C"}


def solve_triangular(a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False) -> Tensor:
    """The x with T @ x = b, for the upper (or ``lower``) triangle T of a; ``trans`` "T" or 1 transposes T, "C" or 2 conjugates it, too.

    The other triangle is not read, and neither is the diagonal where ``unit_diagonal`` says that it is 1. b of one dimension is a
    vector, any other a stack of matrices (..., n, k); leading axes broadcast. Raises ``LinAlgError`` for a zero on the diagonal.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import linalg
    >>> linalg.solve_triangular(jt.tensor([[2.0, 2.0], [0.0, 4.0]]), jt.tensor([4.0, 4.0]))
    Tensor([1., 1.])
    """
    if trans not in _TRANSPOSED:
        raise OpError(f"solve_triangular(): trans is 0 or 'N', 1 or 'T', or 2 or 'C'; got {trans!r}")
    how, a = _TRANSPOSED[trans], jt.asarray(a)
    if how != "N":
        a = jt.matrix_transpose(jt.conj(a) if how == "C" and a.dtype.kind == "c" else a)
        lower = not lower
    return jt.linalg.solve_triangular(a, b, upper=not lower, unit_diagonal=unit_diagonal)


def cho_factor(a: Any, lower: bool = False) -> tuple[Tensor, bool]:
    """Cholesky's factor of Hermitian positive definite matrices, upper or ``lower``, and which it is: for ``cho_solve``.

    Unlike SciPy's, whose other triangle holds anything, the factor has zeros there. Raises ``LinAlgError`` for what is not Hermitian
    and positive definite.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import linalg
    >>> linalg.cho_factor(jt.tensor([[4.0, 2.0], [2.0, 5.0]]))
    (Tensor([[2., 1.], [0., 2.]]), False)
    """
    return jt.linalg.cholesky(a, upper=not lower), lower


def cho_solve(c_and_lower: tuple[Any, bool], b: Any) -> Tensor:
    """The x with a @ x = b, from what ``cho_factor(a)`` returned; shapes as in ``solve_triangular``.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import linalg
    >>> linalg.cho_solve(linalg.cho_factor(jt.tensor([[4.0, 0.0], [0.0, 2.0]])), jt.tensor([4.0, 4.0]))
    Tensor([1., 2.])
    """
    if not isinstance(c_and_lower, (tuple, list)) or len(c_and_lower) != 2:
        raise OpError(f"cho_solve() takes the pair that cho_factor() returns first; got {type(c_and_lower).__name__}")
    c, lower = c_and_lower
    first, last = (0, "C") if lower else ("C", 0)
    return solve_triangular(c, solve_triangular(c, b, trans=first, lower=lower), trans=last, lower=lower)


@op(
    name="lu",
    outputs=3,
    samples=lambda rng: ((_near_unit(rng, 2, 3, 3),), {}),
)
def _lu(xp: Any, x: Any, /) -> Any:
    """P, L and U with P @ L @ U = x, for square matrices: see ``linalg.lu``."""
    return NotImplemented  # the standard has no LU decomposition


@_lu.vjp_all
def _(g: Any, y: Any) -> Any:
    """P L^-T (tril(L^T gL, -1) + triu(gU U^T)) U^-T (S. Walter and L. Lehmann, 2018)."""
    p, lower, upper = y
    inner = jt.tril(jt.matmul(_t(lower), g[1]), k=-1) + jt.triu(jt.matmul(g[2], _t(upper)))
    left = jt.linalg.solve_triangular(_t(lower), inner, upper=True, unit_diagonal=True)
    whole = _t(jt.linalg.solve_triangular(upper, _t(left), upper=True))
    return (jt.matmul(jt.stop_gradient(p), whole),)


_lu.batch(lambda batched, x: _lu(x))


@_lu.check
def _(x: Any, /) -> None:
    """Why there were no factors."""
    _square("lu", "x", x)
    raise LinAlgError(f"lu(): a matrix of the shape {x.shape} holds NaN or infinite numbers, and has no factors")


def lu(a: Any) -> tuple[Tensor, Tensor, Tensor]:
    """P, L and U with P @ L @ U = a, for square matrices: a permutation, a lower triangle with 1 on its diagonal, an upper one.

    The permutation is a constant. A singular a has the factors, and no derivative. On NumPy and CuPy.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import linalg
    >>> p, l, u = linalg.lu(jt.tensor([[1.0, 3.0], [2.0, 4.0]]))
    >>> l, u
    (Tensor([[1. , 0. ], [0.5, 1. ]]), Tensor([[2., 4.], [0., 1.]]))
    """
    p, lower, upper = _lu(a)
    return p, lower, upper


def _lu_numpy(x: Any) -> Any:
    import numpy as np
    from scipy.linalg import lu as factors

    _native(np, x)
    if not x.size:
        return x.copy(), x.copy(), x.copy()
    p, lower, upper = factors(x)
    return np.asarray(p, dtype=x.dtype), lower, upper


def _lu_cupy(x: Any) -> Any:
    from cupyx.scipy.linalg import lu as factors

    xp = jt.device("cupy").backend.xp
    _native(xp, x)
    if not x.size:
        return x.copy(), x.copy(), x.copy()
    every = [factors(each) for each in x.reshape(-1, *x.shape[-2:])]
    return tuple(xp.stack([f[i] for f in every]).reshape(x.shape).astype(x.dtype, copy=False) for i in range(3))


def _triangular_numpy(x1: Any, x2: Any, *, upper: bool = False, unit_diagonal: bool = False) -> Any:
    """A kernel of the core's ``solve_triangular``: of one matrix by substitution, n^2 operations a column instead of n^3.

    Of 400 rows on a CPU it takes 0.05 ms in place of 24; below 32 rows the general one, with less to check, is as fast.
    """
    one = getattr(x1, "ndim", 0) == 2 and getattr(x2, "ndim", 0) in (1, 2) and x1.shape[0] == x1.shape[1]
    if not one or x1.shape[0] < 32 or x1.dtype != x2.dtype or x1.dtype.char not in "fdFD" or 0 in x2.shape:
        xp = jt.device("numpy").backend.xp
        return jt.linalg.solve_triangular.op.forward(xp, x1, x2, upper=upper, unit_diagonal=unit_diagonal)
    from scipy.linalg import solve_triangular as solve

    return solve(x1, x2, lower=not upper, unit_diagonal=unit_diagonal, check_finite=False)


# -- matrices of a pattern --------------------------------------------------------------------------------------------


@op(composite=True, samples=lambda rng: ((rng.normal(size=(2, 3)), rng.normal(size=(1, 2))), {}))
def block_diag(*arrays: Any) -> Any:
    """Matrices along the diagonal of a larger one, zeros elsewhere; vectors are rows, numbers 1 by 1, leading axes broadcast.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import linalg
    >>> linalg.block_diag(jt.tensor([[1.0, 2.0]]), 3.0)
    Tensor([[1., 2., 0.], [0., 0., 3.]])
    """
    every = [jt.asarray(a) for a in arrays]
    dtype = jt.result_type(*arrays) if any(hasattr(a, "shape") for a in arrays) else jt.result_type(*every)
    device = next((a.device for a in arrays if hasattr(a, "shape")), every[0].device)
    blocks = [jt.astype(jt.asarray(a, device=device), dtype) for a in arrays]
    blocks = [jt.reshape(a, (1,) * (2 - a.ndim) + tuple(a.shape)) if a.ndim < 2 else a for a in blocks]
    lead = jt.broadcast_shapes(*(a.shape[:-2] for a in blocks))
    width = sum(a.shape[-1] for a in blocks)
    rows, before = [], 0
    for a in blocks:
        sides = [
            jt.zeros((*lead, a.shape[-2], n), dtype=dtype, device=device)
            for n in (before, width - before - a.shape[-1])
        ]
        rows.append(jt.concat([sides[0], jt.broadcast_to(a, (*lead, *a.shape[-2:])), sides[1]], axis=-1))
        before += a.shape[-1]
    return jt.concat(rows, axis=-2)


def _vector(name: str, x: Any) -> int:
    shape = tuple(getattr(x, "shape", ()))
    if not shape:
        raise ShapeError(f"{name}() takes vectors (..., n); got shape {shape}")
    return shape[-1]


def _indices(n: int, m: int, device: Any) -> tuple[Any, Any]:
    return jt.arange(n, device=device)[:, None], jt.arange(m, device=device)[None, :]


@op(composite=True, samples=lambda rng: ((rng.normal(size=(2, 3)), rng.normal(size=(2, 4))), {}))
def toeplitz(c: Any, r: Any = None, /) -> Any:
    """Matrices of constant diagonals: c is the first column, r the first row, whose first element is not used; conj(c) by default.

    Leading axes are a batch.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import linalg
    >>> linalg.toeplitz(jt.tensor([1.0, 2.0]), jt.tensor([0.0, 3.0, 4.0]))
    Tensor([[1., 3., 4.], [2., 1., 3.]])
    """
    n = _vector("toeplitz", c)
    r = (jt.conj(c) if c.dtype.kind == "c" else c) if r is None else r
    m = _vector("toeplitz", r)
    lead = jt.broadcast_shapes(c.shape[:-1], r.shape[:-1])
    c, r = jt.broadcast_to(c, (*lead, n)), jt.broadcast_to(r, (*lead, m))
    values = jt.concat([jt.flip(r[..., 1:], axis=-1), c], axis=-1)  # from the upper right corner to the lower left one
    i, j = _indices(n, m, c.device)
    return values[..., i - j + max(m - 1, 0)]


@op(composite=True, samples=lambda rng: ((rng.normal(size=(2, 3)),), {}))
def circulant(c: Any, /) -> Any:
    """Square matrices whose first column is c, and each other column the one before it, moved down by one around the end.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import linalg
    >>> linalg.circulant(jt.tensor([1.0, 2.0, 3.0]))
    Tensor([[1., 3., 2.], [2., 1., 3.], [3., 2., 1.]])
    """
    n = _vector("circulant", c)
    i, j = _indices(n, n, c.device)
    return c[..., jt.remainder(i - j, max(n, 1))]


@op(composite=True, samples=lambda rng: ((rng.normal(size=(2, 3)), rng.normal(size=(4, 3))), {}))
def khatri_rao(x1: Any, x2: Any, /) -> Any:
    """The Kronecker product column by column: (..., m, k) and (..., n, k) make (..., m n, k).

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import linalg
    >>> linalg.khatri_rao(jt.tensor([[1.0, 2.0]]), jt.tensor([[3.0, 4.0], [5.0, 6.0]]))
    Tensor([[ 3.,  8.], [ 5., 12.]])
    """
    s1, s2 = (tuple(getattr(x, "shape", ())) for x in (x1, x2))
    if len(s1) < 2 or len(s2) < 2 or s1[-1] != s2[-1]:
        raise ShapeError(
            f"khatri_rao() takes matrices (..., m, k) and (..., n, k) with as many columns; got {s1} and {s2}"
        )
    y = x1[..., :, None, :] * x2[..., None, :, :]
    return jt.reshape(y, (*y.shape[:-3], s1[-2] * s2[-2], s1[-1]))


OPS: tuple[Any, ...] = (
    solve_sylvester, sqrtm, logm, expm_frechet, _lu, block_diag, toeplitz, circulant, khatri_rao,
)  # fmt: skip
KERNELS: dict[tuple[str, str], Any] = {  # by op and backend
    ("solve_sylvester", "numpy"): _sylvester_numpy,
    ("sqrtm", "numpy"): _sqrtm_numpy,
    ("logm", "numpy"): _logm_numpy,
    ("lu", "numpy"): _lu_numpy,
    ("lu", "cupy"): _lu_cupy,
    ("solve_triangular", "numpy"): _triangular_numpy,
}

__all__ = [
    "block_diag", "cho_factor", "cho_solve", "circulant", "expm", "expm_frechet", "khatri_rao", "kron", "logm", "lu",
    "solve_sylvester", "solve_triangular", "sqrtm", "toeplitz",
]  # fmt: skip
