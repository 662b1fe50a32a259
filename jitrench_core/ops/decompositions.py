"""Inverses, determinants and decompositions of matrices, batched over leading axes.

A rule of a function that involves adjoints is PyTorch's formula with the saved arrays conjugated, because the incoming
gradient here is the conjugate of PyTorch's. The sources: M. Giles, "An extended collection of matrix derivative results", 2008;
J. Townsend, "Differentiating the singular value decomposition", 2016; S. Walter and L. Lehmann, "Algorithmic differentiation
of linear algebra functions", 2018; Z. Wan and S. Zhang, "Automatic differentiation for complex valued SVD", 2019.

``cholesky``, ``eigh`` and ``eigvalsh`` compute of (x + x^H) / 2, which is x where x is as it should be. So the symmetric gradient
that PyTorch defines is the gradient of this very function, element by element. NumPy and PyTorch read the lower triangle of
whatever comes; here a triangle that is no mirror image of the other is refused, because no result has both NumPy's value and
PyTorch's gradient: of a function of one triangle that one is off by a factor of 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

from ..backend import dtype_of, owner
from ..dtypes import DType
from ..errors import DTypeError, GradientError, LinAlgError, OpError, ShapeError
from ..op import op
from .creation import eye, zeros_like
from .elementwise import abs as abs_
from .elementwise import conj, imag, isfinite, positive, real, where
from .linalg import check_matrices, diagonal, matmul, trace
from .reductions import max as max_
from .reductions import min as min_
from .reductions import sum as sum_
from .reductions import vector_norm
from .shapes import align, broadcast_to, concat, expand_dims, matrix_transpose, squeeze, sum_to, tril, triu

# -- what the ops share -----------------------------------------------------------------------------------------------


def _conj(x: Any) -> Any:
    return conj(x) if x.dtype.kind == "c" else x


def _adjoint(x: Any) -> Any:
    return matrix_transpose(_conj(x))


def _hermitian(x: Any) -> Any:
    return (x + _adjoint(x)) / 2


def _column(x: Any) -> Any:
    """Numbers, one a matrix, to multiply matrices by."""
    return expand_dims(x, axis=(-2, -1))


def _diagonal_mask(x: Any) -> Any:
    return eye(x.shape[-2], x.shape[-1], dtype="bool", device=x.device)


def _divided(x: Any, by: Any, skip: Any) -> Any:
    """x / by, and zero where ``skip`` holds."""
    return where(skip, 0.0, x / where(skip, 1.0, by))


def _no_integers(name: str, dtype: DType, shape: tuple[int, ...]) -> None:
    if dtype.kind not in "fc":
        raise DTypeError(
            f"{name}() takes floating-point numbers; got {dtype} of shape {shape}: convert it first, by x.astype(jt.float64)"
        )


def _floating(name: str, *arrays: Any) -> None:
    """``DTypeError`` for native arrays of integers, which NumPy would convert."""
    for x in arrays:
        if not hasattr(x, "dtype"):
            raise ShapeError(f"{name}() takes arrays of 1 dimension or more; got the number {x!r}")
        _no_integers(name, dtype_of(x), tuple(x.shape))


MIRRORED = 1e-3  # of x's largest element: more than rounding in float32, and than the steps of central differences


def _symmetrised(name: str, xp: Any, x: Any) -> Any:
    """(x + x^H) / 2, of what is Hermitian but for rounding; ``LinAlgError`` for anything else."""
    y = xp.matrix_transpose(x)
    y = xp.conj(y) if xp.isdtype(x.dtype, "complex floating") else y
    if bool(xp.all(x == y)):
        return x
    off = xp.abs(x - y) > MIRRORED * xp.max(xp.abs(x), axis=(-2, -1), keepdims=True)
    if bool(xp.any(off)):
        *batch, i, j = (int(a[0]) for a in xp.nonzero(off))
        which = f"matrix {batch} of the batch" if batch else "the matrix"
        up, low = (complex(x[(*batch, *at)]) for at in ((i, j), (j, i)))
        up, low, of = (up, low, "jt.conj({})") if up.imag or low.imag else (up.real, low.real, "{}")
        raise LinAlgError(
            f"{name}(): {which} of shape {tuple(x.shape)} is not Hermitian: element [{i}, {j}] is {up:.6g}, [{j}, {i}] is {low:.6g}. "
            f"Where the lower triangle alone counts, the one that NumPy reads, give both: "
            f"jt.tril(x) + {of.format('jt.tril(x, k=-1)')}.mT; else take (x + {of.format('x')}.mT) / 2"
        )
    return (x + y) / 2


def _spd(rng: Any) -> Any:
    a = rng.normal(size=(2, 3, 3))
    return (a @ a.mT + 2 * _unit(a),), {}


def _unit(a: Any) -> Any:
    """The identity, as an array like ``a``."""
    return a * 0 + [[float(i == j) for j in range(a.shape[-1])] for i in range(a.shape[-2])]


def _square(rng: Any) -> Any:
    a = rng.normal(size=(2, 3, 3))
    return (a + 3 * _unit(a),), {}


def _symmetric(rng: Any) -> Any:
    a = rng.normal(size=(2, 3, 3))
    return (a + a.mT + 3 * _unit(a) * [1.0, 2.0, 4.0],), {}


def _tall(rng: Any) -> Any:
    return (rng.normal(size=(2, 4, 3)),), {}


def _on_matrices(function: Any, reason: str, *, square: bool = True) -> None:
    """Give an op of one matrix its batch rule, the op itself, and its check, which says what was wrong with which matrix."""
    name = function.op.name

    def batch(batched: Any, x: Any, /, *others: Any, **attrs: Any) -> Any:
        if x.ndim < 3:
            raise ShapeError(f"{name}() takes matrices, of at least 2 dimensions; got shape {x.shape[1:]} in a batch")
        return function(x, *others, **attrs)

    def check(x: Any, /, *others: Any) -> None:
        _check_matrix(name, x, square)
        if which := _culprit(function, x):
            raise LinAlgError(f"{name}(): {which} {_holds_nan(x) or reason}")

    function.batch(batch)
    function.check(check)


def _check_matrix(name: str, x: Any, square: bool) -> None:
    check_matrices(name, x)
    if square and x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{name}() takes square matrices; got shape {x.shape}")
    _no_integers(name, x.dtype, x.shape)
    if x.dtype.name == "float16":
        raise DTypeError(f"{name}() takes float32, float64, complex64 or complex128; got float16 of shape {x.shape}")


def _holds_nan(x: Any) -> str:
    return "" if bool(isfinite(x).all()) else "holds NaN or infinite elements, or is too near to them"


def _culprit(function: Any, x: Any) -> str:
    """Which matrix of a batch the op's kernel fails on; empty where it is none, so that something else went wrong."""

    def fails(m: Any) -> bool:
        try:
            function.op.kernels[type(m.data)](m.data)
        except Exception as e:  # the library's own word for it: NumPy's and CuPy's LinAlgError, PyTorch's _LinAlgError
            return any(c.__name__.endswith("LinAlgError") for c in type(e).__mro__)
        return False

    if owner(type(x.data)).depth:  # an op inside a transform's, which has said what it was
        return ""
    for at in product(*map(range, x.shape[:-2])) if x.ndim > 2 else ():
        if fails(x[at]):
            return f"matrix {list(at)} of the batch of shape {x.shape}"
    return f"the matrix of shape {x.shape}" if fails(x) else ""


# -- inverse and systems of equations ---------------------------------------------------------------------------------

_SINGULAR = "is singular, so it has no inverse. jt.linalg.pinv and jt.linalg.lstsq take any matrix"
_NO_SVD = "has no singular value decomposition that the iteration could find"


@op(vjp=lambda g, y: -matmul(matrix_transpose(y), matmul(g, matrix_transpose(y))), samples=_square)
def inv(xp: Any, x: Any, /) -> Any:
    """The inverse of each square matrix. Raises ``LinAlgError`` where one is singular."""
    _floating("inv", x)
    return xp.linalg.inv(x)


_on_matrices(inv, _SINGULAR)


def _outer_or_product(a: Any, b: Any, vector: bool) -> Any:
    """a @ b^T; of vectors where the right side is one."""
    return expand_dims(a, axis=-1) * expand_dims(b, axis=-2) if vector else matmul(a, matrix_transpose(b))


def _with_columns(function: Any, x1: Any, x2: Any, vector: bool, **attrs: Any) -> Any:
    """``function(x1, x2)``, where x2 may be a stack of vectors."""
    return squeeze(function(x1, expand_dims(x2, axis=-1), **attrs), axis=-1) if vector else function(x1, x2, **attrs)


def _fit(g: Any, shape: tuple[int, ...]) -> Any:
    return g if g.shape == shape else sum_to(g, shape)


def _batched_solve(function: Any) -> Callable[..., Any]:
    """The batch rule of solve(x1, x2): a vector x2 of an example is a column of the batch."""

    def rule(batched: tuple[bool, bool], x1: Any, x2: Any, /, **attrs: Any) -> Any:
        n1, n2 = (x.ndim - b for x, b in zip((x1, x2), batched, strict=True))
        if n1 < 2:
            raise ShapeError(f"{function.op.name}() takes matrices as x1; got {n1} dimension(s) in a batch")
        if n2 == 1 and batched == (False, True) and n1 == 2:  # one factorization for all the right sides
            return matrix_transpose(function(x1, matrix_transpose(x2), **attrs))
        x2 = expand_dims(x2, axis=-1) if n2 == 1 else x2
        lead = max(n1, n2 + (n2 == 1))
        x1, x2 = (align(x, lead) if b else x for x, b in zip((x1, x2), batched, strict=True))
        y = function(x1, x2, **attrs)
        return squeeze(y, axis=-1) if n2 == 1 else y

    return rule


def _check_solve(function: Any, part: Callable[[Any], Any], reason: str) -> Callable[..., None]:
    """``part`` of x1 is what must have an inverse."""
    name = function.op.name

    def check(x1: Any, x2: Any, /) -> None:
        s1, s2 = (tuple(getattr(x, "shape", ())) for x in (x1, x2))
        _check_matrix(name, x1, square=True)
        if not s2 or s2[-2 if len(s2) > 1 else 0] != s1[-1]:
            raise ShapeError(
                f"{name}(): x1 of shape {s1} needs a right side of shape {s1[-1:]} or (..., {s1[-1]}, K); got {s2}"
                + (". A stack of vectors is given as columns: x2[..., None]" if s2[-1:] == s1[-1:] else "")
            )
        if any(n != m and 1 not in (n, m) for n, m in zip(s1[-3::-1], s2[-3::-1], strict=False)):
            raise ShapeError(f"{name}(): the leading axes of {s1} and {s2} do not broadcast")
        if x2.dtype.kind not in "fc":
            raise DTypeError(f"{name}() takes a floating-point right side; got {x2.dtype} of shape {s2}")
        if which := _culprit(inv, part(x1.detach())):
            raise LinAlgError(f"{name}(): {which} {reason}")

    return check


@op(
    samples=lambda rng: (
        (rng.normal(size=(2, 3, 3)) + 3 * _unit(rng.normal(size=(3, 3))), rng.normal(size=(2, 3, 2))),
        {},
    ),
)
def solve(xp: Any, x1: Any, x2: Any, /) -> Any:
    """The y with x1 @ y = x2, for square matrices x1.

    x2 of one dimension is a vector, any other a stack of matrices (..., M, K); leading axes broadcast.

    >>> import jitrench_core as jt
    >>> jt.linalg.solve(jt.tensor([[2.0, 0.0], [0.0, 4.0]]), jt.tensor([2.0, 2.0]))
    Tensor([1. , 0.5])

    Raises ``LinAlgError`` where a matrix is singular.
    """
    _floating("solve", x1, x2)
    return xp.linalg.solve(x1, x2)


@solve.vjp_all
def _(g: Any, x1: Any, y: Any, x2_shape: Any, needs: Any) -> Any:
    vector = len(x2_shape) == 1
    back = _with_columns(solve, matrix_transpose(x1), g, vector)
    g1 = _fit(-_outer_or_product(back, y, vector), x1.shape) if needs[0] else None
    return g1, _fit(back, x2_shape) if needs[1] else None


solve.batch(_batched_solve(solve))
solve.check(_check_solve(solve, positive, _SINGULAR))


@op(
    samples=lambda rng: (
        (rng.normal(size=(2, 3, 3)) + 3 * _unit(rng.normal(size=(3, 3))), rng.normal(size=(2, 3, 2))),
        {"upper": True},
    ),
)
def solve_triangular(xp: Any, x1: Any, x2: Any, /, *, upper: bool = False, unit_diagonal: bool = False) -> Any:
    """The y with T @ y = x2, for the lower (or ``upper``) triangle T of x1; shapes as in ``solve``.

    The other triangle is not read, and neither is the diagonal where ``unit_diagonal`` says that it is 1.
    """
    _floating("solve_triangular", x1, x2)
    k = int(unit_diagonal)
    t = xp.triu(x1, k=k) if upper else xp.tril(x1, k=-k)
    if unit_diagonal:
        t = t + xp.eye(x1.shape[-1], dtype=x1.dtype, device=x1.device)
    return xp.linalg.solve(t, x2)  # the standard has no triangular solve


@solve_triangular.vjp_all
def _(g: Any, x1: Any, y: Any, x2_shape: Any, upper: bool, unit_diagonal: bool, needs: Any) -> Any:
    vector, k = len(x2_shape) == 1, int(unit_diagonal)
    transposed = matrix_transpose(x1)
    back = _with_columns(solve_triangular, transposed, g, vector, upper=not upper, unit_diagonal=unit_diagonal)
    g1 = None
    if needs[0]:
        whole = -_outer_or_product(back, y, vector)
        g1 = _fit(triu(whole, k=k) if upper else tril(whole, k=-k), x1.shape)
    return g1, _fit(back, x2_shape) if needs[1] else None


solve_triangular.batch(_batched_solve(solve_triangular))
solve_triangular.check(_check_solve(solve_triangular, lambda x: tril(triu(x)), "has a zero on its diagonal"))


def _pinv_vjp(g: Any, x: Any, y: Any) -> Any:
    """Of constant rank (Golub and Pereyra, 1973)."""
    x, y = _conj(x), _conj(y)
    yh, gh = _adjoint(y), _adjoint(g)
    left = matmul(matmul(gh, y), yh)
    right = matmul(yh, matmul(y, gh))
    return left - matmul(x, matmul(y, left)) + right - matmul(matmul(right, y), x) - matmul(yh, matmul(g, yh))


@op(vjp={"x": _pinv_vjp, "rtol": None}, samples=_tall)
def pinv(xp: Any, x: Any, rtol: Any = None, /) -> Any:
    """The Moore-Penrose inverse; singular values up to ``rtol`` times the largest count as zero.

    The default is max(M, N) times the dtype's epsilon. The derivative is that among matrices of the same rank.
    """
    _floating("pinv", x)
    rtol = max(x.shape[-2:]) * xp.finfo(x.dtype).eps if rtol is None else rtol
    return xp.linalg.pinv(x, rtol=rtol)


def _batched_rtol(function: Any) -> Any:
    """A tolerance may belong to the batch, too: it aligns with the matrices' leading axes."""

    def rule(batched: tuple[bool, ...], x: Any, rtol: Any = None, /) -> Any:
        bx, br = (*batched, False)[:2]
        if x.ndim - bx < 2:
            raise ShapeError(
                f"{function.op.name}() takes matrices, of at least 2 dimensions; got {x.ndim - bx} in a batch"
            )
        if br and not bx:
            x, bx = broadcast_to(x, (rtol.shape[0], *x.shape)), True
        lead = max(x.ndim - bx - 2, rtol.ndim - br if hasattr(rtol, "ndim") else 0)
        return function(align(x, lead + 2) if bx else x, align(rtol, lead) if br else rtol)

    return rule


_on_matrices(pinv, _NO_SVD, square=False)
pinv.batch(_batched_rtol(pinv))


@op(vjp={"x": None, "rtol": None}, samples=_tall)
def matrix_rank(xp: Any, x: Any, rtol: Any = None, /) -> Any:
    """How many singular values are above ``rtol`` times the largest; the default is that of ``pinv``. A constant."""
    _floating("matrix_rank", x)
    rtol = max(x.shape[-2:]) * xp.finfo(x.dtype).eps if rtol is None else rtol
    s = xp.linalg.svdvals(x)
    rtol = rtol[..., None] if getattr(rtol, "shape", ()) else rtol
    top = s[..., : min(1, s.shape[-1])]
    return xp.sum(xp.astype(s > top * rtol, xp.int64), axis=-1)


_on_matrices(matrix_rank, _NO_SVD, square=False)
matrix_rank.batch(_batched_rtol(matrix_rank))


@op(composite=True, samples=lambda rng: ((rng.normal(size=(4, 3)), rng.normal(size=(4, 2))), {}))
def lstsq(x1: Any, x2: Any, /, *, rtol: float | None = None) -> Any:
    """The y that makes the norm of x1 @ y - x2 least, and of several such the shortest: pinv(x1, rtol=rtol) @ x2.

    Shapes are those of ``solve``, with x1 of shape (..., M, N) for any M and N. The solution alone is returned: residuals are
    ``x1 @ y - x2``, the rank ``matrix_rank(x1)``.
    """
    check_matrices("lstsq", x1)
    s1, s2 = x1.shape, tuple(getattr(x2, "shape", ()))
    if not s2 or s2[-2 if len(s2) > 1 else 0] != s1[-2]:
        raise ShapeError(
            f"lstsq(): x1 of shape {s1} needs a right side of shape ({s1[-2]},) or (..., {s1[-2]}, K); got {s2}"
        )
    return matmul(pinv(x1, rtol), x2)


# -- determinants -----------------------------------------------------------------------------------------------------


@op(vjp=lambda g, x: _column(g) * cofactors(x), samples=_square)
def det(xp: Any, x: Any, /) -> Any:
    """The determinant of each square matrix.

    Its first and second derivatives are exact at singular matrices, too; further ones are NaN there.
    """
    _floating("det", x)
    return xp.linalg.det(x)


_on_matrices(det, "has no determinant")


def _singular_values(xp: Any, x: Any) -> Any:
    """det(U) det(V^H), conj(U), S and V^T, for x = U S V^H."""
    u, s, vh = xp.linalg.svd(x)
    sign = (xp.linalg.det(u) * xp.linalg.det(vh))[..., None, None]
    return (sign, xp.conj(u), s, xp.conj(vh)) if xp.isdtype(x.dtype, "complex floating") else (sign, u, s, vh)


def _products_without(xp: Any, s: Any, some: Any, zeros: Any) -> Any:
    """The product of s without the factors of which ``some`` is the product and ``zeros`` the number of zeros."""
    zero = s == 0
    whole = xp.prod(xp.where(zero, xp.ones_like(s), s), axis=-1)
    left = xp.sum(xp.astype(zero, xp.int64), axis=-1)
    for _ in range(len(some.shape) - len(whole.shape)):
        whole, left = whole[..., None], left[..., None]
    return xp.where(left == zeros, whole / some, xp.zeros_like(some))


@op(vjp=lambda g, x: cofactors_along(x, g), samples=_square)
def cofactors(xp: Any, x: Any, /) -> Any:
    """The gradient of ``det``: det(x) times the transposed inverse, by products of singular values, so that x may be singular.

    With x = U S V^H it is det(U) det(V^H) conj(U) C V^T, where C has on its diagonal the products of all other singular values.
    """
    _floating("cofactors", x)
    sign, u, s, v = _singular_values(xp, x)
    zero = s == 0
    c = _products_without(xp, s, xp.where(zero, xp.ones_like(s), s), xp.astype(zero, xp.int64))
    return xp.matmul(sign * u * c[..., None, :], v)


_on_matrices(cofactors, _NO_SVD)


def _third_derivative(g: Any, x: Any, t: Any) -> Any:
    """Of det(x) (tr A tr B - tr AB), with A = x^-1 t and B = x^-1 g; NaN where x is singular."""
    if 0 in x.shape:
        return zeros_like(x)
    s = svdvals(x.detach())
    n = x.shape[-1]
    eps = 1.2e-7 if s.dtype.bits == 32 else 2.3e-16
    own = x.shape
    regular = _column(min_(s, axis=-1) > max_(s, axis=-1) * (n * eps))
    unit = eye(n, dtype=x.dtype, device=x.device)
    x = where(regular, x, unit)
    a, b = solve(x, t), solve(x, g)
    ab = matmul(a, b)
    tr_a, tr_b, tr_ab = (_column(trace(m)) for m in (a, b, ab))
    inner = (tr_a * tr_b - tr_ab) * unit - tr_b * a - tr_a * b + ab + matmul(b, a)
    return _fit(where(regular, solve(matrix_transpose(x), matrix_transpose(inner)) * _column(det(x)), math.nan), own)


@op(
    linear=("t",),
    vjp={"x": _third_derivative, "t": lambda g, x, t_shape: _fit(cofactors_along(x, g), t_shape)},
    samples=lambda rng: ((*_square(rng)[0], rng.normal(size=(2, 3, 3))), {}),
)
def cofactors_along(xp: Any, x: Any, t: Any, /) -> Any:
    """The derivative of ``cofactors`` at x in the direction t; as a second derivative, symmetric in t and the incoming gradient.

    The leading axes of x and t broadcast.

    With x = U S V^H that of C is, in the direction F, sum_k P_ik F_kk on the diagonal and -P_ij F_ji beside it, where P_ij is the
    product of all singular values but s_i and s_j.
    """
    sign, u, s, v = _singular_values(xp, x)
    on = xp.eye(x.shape[-1], dtype=xp.bool, device=x.device)
    zero = xp.astype(s == 0, xp.int64)
    filled = xp.where(s == 0, xp.ones_like(s), s)
    p = _products_without(xp, s, filled[..., None] * filled[..., None, :], zero[..., None] + zero[..., None, :])
    p = xp.where(on, xp.zeros_like(p), p)
    f = xp.matmul(xp.matmul(xp.matrix_transpose(u), t), xp.matrix_transpose(v))
    across = -p * xp.matrix_transpose(f)
    along = xp.matmul(p, xp.linalg.diagonal(f)[..., None])
    return xp.matmul(xp.matmul(sign * u, xp.where(on, along, across)), v)


@cofactors_along.batch
def _(batched: Any, x: Any, t: Any, /) -> Any:
    ndim = max(a.ndim - b for a, b in zip((x, t), batched, strict=True))
    return cofactors_along(*(align(a, ndim) if b else a for a, b in zip((x, t), batched, strict=True)))


def _slogdet_vjp(g: Any, x: Any, y: Any) -> Any:
    """The logarithm moves with the real part of tr(x^-1 dx), a complex sign with i times the imaginary one.

    A singular matrix has NaN, or 0 where its logarithm is not used, and leaves the others of a batch alone.
    """
    sign, slope = y[0], g[1]
    if sign.dtype.kind == "c":
        slope = slope + 1j * imag(g[0] * sign)
    slope = where((sign == 0) & (slope != 0), math.nan, slope)
    return _column(slope) * matrix_transpose(inv(_regular(x, sign)))


def _regular(x: Any, sign: Any) -> Any:
    """x, with the identity for each singular matrix."""
    return where(_column(sign == 0), eye(x.shape[-1], dtype=x.dtype, device=x.device), x)


@op(name="slogdet", outputs=2, vjp=_slogdet_vjp, samples=_square)
def _slogdet(xp: Any, x: Any, /) -> Any:
    """The sign of each square matrix' determinant (of modulus 1 where complex), and the logarithm of its absolute value.

    Of a singular matrix they are 0 and -inf, and a derivative is NaN.
    """
    _floating("slogdet", x)
    return tuple(xp.linalg.slogdet(x))


@_slogdet.jvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    sign, y = _slogdet(x)
    slope = trace(matmul(inv(_regular(x, sign)), t))
    turn = 1j * imag(slope) * sign if sign.dtype.kind == "c" else zeros_like(sign)
    slope = real(slope) if sign.dtype.kind == "c" else slope
    return (sign, y), (turn, where(sign == 0, math.nan, slope))


_on_matrices(_slogdet, "has no determinant")

# -- decompositions ---------------------------------------------------------------------------------------------------


def _cholesky_vjp(g: Any, y: Any, upper: bool) -> Any:
    g, y = (_adjoint(g), _adjoint(y)) if upper else (g, y)
    lh = matrix_transpose(y)  # of the conjugate
    inner = tril(matmul(lh, g))
    inner = where(_diagonal_mask(inner), inner / 2, inner)
    half = solve_triangular(lh, _hermitian(inner), upper=True)
    return _adjoint(solve_triangular(lh, _adjoint(half), upper=True))


@op(vjp=_cholesky_vjp, samples=_spd)
def cholesky(xp: Any, x: Any, /, *, upper: bool = False) -> Any:
    """The lower triangular L with L L^H = x, or its adjoint (``upper``), for Hermitian positive definite matrices x.

    Raises ``LinAlgError`` where a matrix is not, by more than rounding.
    """
    _floating("cholesky", x)
    return xp.linalg.cholesky(_symmetrised("cholesky", xp, x), upper=upper)


_on_matrices(cholesky, "is not positive definite: an eigenvalue is negative or zero")


def _qr_vjp(g: Any, x: Any, y: Any, mode: str) -> Any:
    (q, r), (gq, gr), (m, n) = map(_conj, y), g, x.shape[-2:]
    if mode == "complete" and m > n:
        raise GradientError(
            f"qr(mode='complete') of shape {x.shape} has no derivative: more rows than columns leave the last columns of Q free "
            f"to rotate. Take mode='reduced'"
        )
    rest = None
    if m < n:  # r = [R1 R2], where R2 = Q^H A2 is no part of the decomposition
        rest = matmul(q, gr[..., m:])
        gq = gq + matmul(_conj(x)[..., m:], _adjoint(gr[..., m:]))
        r, gr = r[..., :m], gr[..., :m]
    inner = matmul(r, _adjoint(gr)) - matmul(_adjoint(gq), q)
    below = tril(inner, k=-1)
    inner = (
        below + _adjoint(below) + where(_diagonal_mask(inner), real(inner) if inner.dtype.kind == "c" else inner, 0.0)
    )
    first = _adjoint(solve_triangular(r, _adjoint(gq + matmul(q, inner)), upper=True))
    return first if rest is None else concat([first, rest], axis=-1)


@op(name="qr", outputs=2, vjp=_qr_vjp, samples=_tall)
def _qr(xp: Any, x: Any, /, *, mode: str = "reduced") -> Any:
    """Q with orthonormal columns, and R upper triangular, with Q R = x; ``mode="complete"`` makes Q square.

    Differentiable where the first min(M, N) columns are independent; not for ``"complete"`` with more rows than columns.
    """
    _floating("qr", x)
    if mode not in ("reduced", "complete"):
        raise OpError(f"qr(): mode must be 'reduced' or 'complete', got {mode!r}")
    return tuple(xp.linalg.qr(x, mode=mode))


_on_matrices(_qr, "has no QR decomposition", square=False)


def _gaps(values: Any) -> Any:
    return expand_dims(values, axis=-2) - expand_dims(values, axis=-1)


def _eigh_vjp(g: Any, y: Any) -> Any:
    (w, v), (gw, gv) = y, g
    v = _conj(v)
    inner = matmul(_adjoint(v), gv)
    gaps, on = _gaps(w), _diagonal_mask(v)
    inner = _divided(inner, gaps, on | ((gaps == 0) & (inner == 0)))
    return _hermitian(matmul(matmul(v, where(on, expand_dims(gw, axis=-2), inner)), _adjoint(v)))


@op(name="eigh", outputs=2, vjp=_eigh_vjp, samples=_symmetric)
def _eigh(xp: Any, x: Any, /) -> Any:
    """The eigenvalues of Hermitian matrices, ascending, and orthonormal eigenvectors as columns.

    Raises ``LinAlgError`` where a matrix is not Hermitian, by more than rounding. Eigenvectors have a derivative where
    eigenvalues are distinct (else it is infinite or NaN), and only functions that do not depend on their sign, or phase, have a
    meaningful one.
    """
    _floating("eigh", x)
    return tuple(xp.linalg.eigh(_symmetrised("eigh", xp, x)))


@_eigh.jvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    w, v = _eigh(x)
    inner = matmul(matmul(_adjoint(v), _hermitian(t)), v)
    gaps = _gaps(w)
    turn = _divided(inner, gaps, _diagonal_mask(v) | ((gaps == 0) & (inner == 0)))
    dw = diagonal(inner)
    return (w, v), (real(dw) if dw.dtype.kind == "c" else dw, matmul(v, turn))


_NOT_CONVERGED = "has no eigenvalues that the iteration could find"
_on_matrices(_eigh, _NOT_CONVERGED)


def _of_values(left: Any, g: Any, right: Any) -> Any:
    """left diag(g) right."""
    return matmul(left * expand_dims(g, axis=-2), right)


def _eigvalsh_vjp(g: Any, x: Any) -> Any:
    v = _conj(_eigh(x)[1])
    return _of_values(v, g, _adjoint(v))


@op(vjp=_eigvalsh_vjp, samples=_symmetric)
def eigvalsh(xp: Any, x: Any, /) -> Any:
    """The eigenvalues of Hermitian matrices, ascending; ``LinAlgError`` where a matrix is not, by more than rounding.

    The gradient is finite also where some are equal; it is then that of one choice of eigenvectors.
    """
    _floating("eigvalsh", x)
    return xp.linalg.eigvalsh(_symmetrised("eigvalsh", xp, x))


_on_matrices(eigvalsh, _NOT_CONVERGED)


def _complex(xp: Any, like: Any, *arrays: Any) -> Any:
    """NumPy's eigenvalues of a real matrix are real where they all are; the standard's are complex."""
    dtype = xp.complex64 if like.dtype in (xp.float32, xp.complex64) else xp.complex128
    return tuple(xp.astype(a, dtype) for a in arrays)


def _eig_vjp(g: Any, y: Any) -> Any:
    """For eigenvectors of length 1, whose phase does not count."""
    (w, v), (gw, gv) = y, g
    vh = matrix_transpose(v)  # of the conjugate
    inner = matmul(vh, gv)
    inner = inner - matmul(vh, _conj(v)) * expand_dims(real(diagonal(inner)), axis=-2)
    gaps, on = _gaps(w), _diagonal_mask(v)
    inner = _divided(inner, gaps, on | ((gaps == 0) & (inner == 0)))
    return solve(vh, matmul(where(on, expand_dims(gw, axis=-2), inner), vh))


def _real_eigenvalues(rng: Any) -> Any:
    """So that LAPACK's eigenvectors, whose phase is free, are real."""
    a = rng.normal(size=(2, 3, 3))
    return (0.3 * a + 3 * _unit(a) * [1.0, 2.0, 4.0],), {}


@op(name="eig", outputs=2, vjp=_eig_vjp, samples=_real_eigenvalues)
def _eig(xp: Any, x: Any, /) -> Any:
    """The eigenvalues of square matrices, in no order, and eigenvectors of length 1 as columns; complex.

    Differentiable where the eigenvalues are distinct; only functions that do not depend on the eigenvectors' phase have a
    meaningful derivative.
    """
    _floating("eig", x)
    return _complex(xp, x, *xp.linalg.eig(x))


_on_matrices(_eig, _NOT_CONVERGED)


def _eigvals_vjp(g: Any, x: Any) -> Any:
    v = matrix_transpose(_eig(x)[1])
    return solve(v, expand_dims(g, axis=-1) * v)


@op(vjp=_eigvals_vjp, samples=_square)
def eigvals(xp: Any, x: Any, /) -> Any:
    """The eigenvalues of square matrices, complex, in no order. Differentiable where eigenvectors span the space."""
    _floating("eigvals", x)
    return _complex(xp, x, xp.linalg.eigvals(x))[0]


_on_matrices(eigvals, _NOT_CONVERGED)


def _svd_gaps(s: Any) -> Any:
    """s_k^2 - s_j^2, without the cancellation of squares."""
    return _gaps(s) * (expand_dims(s, axis=-2) + expand_dims(s, axis=-1))


def _turned(x: Any, gaps: Any) -> Any:
    """(x - x^H) / gaps off the diagonal; what does not count there stays zero where gaps are."""
    xh = _adjoint(x)
    return _divided(x - xh, gaps, _diagonal_mask(x) | ((gaps == 0) & (x == 0) & (xh == 0)))


def _over_values(x: Any, s: Any) -> Any:
    """The columns of x over singular values; zeros stay."""
    s = expand_dims(s, axis=-2)
    return _divided(x, s, (s == 0) & (x == 0))


def _svd_vjp(g: Any, x_shape: Any, y: Any, full_matrices: bool) -> Any:
    (gu, gs, gvh), (u, s, vh), (m, n) = g, y, x_shape[-2:]
    if full_matrices and m != n:
        raise GradientError(
            f"svd(full_matrices=True) of shape {x_shape} has no derivative: the vectors beyond the first {min(m, n)} are free to "
            f"rotate. Take full_matrices=False"
        )
    u, v, gv = _conj(u), matrix_transpose(vh), _adjoint(gvh)  # u and v of the conjugate
    on_u, on_v, gaps, row = matmul(_adjoint(u), gu), matmul(_adjoint(v), gv), _svd_gaps(s), expand_dims(s, axis=-2)
    inner = _turned(on_u, gaps) * row + matrix_transpose(row) * _turned(on_v, gaps)
    on = expand_dims(gs, axis=-2)
    if u.dtype.kind == "c":
        phase = expand_dims(imag(diagonal(on_u)), axis=-2)
        on = on + 1j * _divided(phase, row, (row == 0) & (phase == 0))
    inner = matmul(u, where(_diagonal_mask(inner), on, inner))
    if m > n:
        inner = inner + _over_values(gu - matmul(u, on_u), s)
    out = matmul(inner, _adjoint(v))
    if n > m:
        out = out + matmul(u, _adjoint(_over_values(gv - matmul(v, on_v), s)))
    return out


@op(name="svd", outputs=3, vjp=_svd_vjp, samples=lambda rng: (_tall(rng)[0], {"full_matrices": False}))
def _svd(xp: Any, x: Any, /, *, full_matrices: bool = True) -> Any:
    """U, S and V^H with U diag(S) V^H = x, singular values descending; ``full_matrices=False`` leaves out what meets no value.

    Differentiable with ``full_matrices=False``, or for square matrices. Singular vectors have a derivative where singular
    values are distinct and not 0, and only functions that do not depend on their common sign, or phase, have a meaningful one.
    """
    _floating("svd", x)
    return tuple(xp.linalg.svd(x, full_matrices=full_matrices))


@_svd.jvp
def _(primals: Any, tangents: Any, full_matrices: bool) -> Any:
    (x,), (t,) = primals, tangents
    u, s, vh = _svd(x, full_matrices=full_matrices)
    m, n = x.shape[-2:]
    if full_matrices and m != n:
        raise GradientError(f"svd(full_matrices=True) of shape {x.shape} has no derivative. Take full_matrices=False")
    v, gaps, row = _adjoint(vh), _svd_gaps(s), expand_dims(s, axis=-2)
    inner = matmul(matmul(_adjoint(u), t), v)
    ds, column, other = diagonal(inner), matrix_transpose(row), _adjoint(inner)

    def turn(a: Any, b: Any) -> Any:
        return _divided(a, gaps, _diagonal_mask(a) | ((gaps == 0) & (b == 0) & (_adjoint(b) == 0)))

    on_u, on_v = turn(inner * row + column * other, inner), turn(column * inner + other * row, inner)
    if u.dtype.kind == "c":
        on_u = on_u + where(_diagonal_mask(inner), 1j * expand_dims(imag(ds), axis=-2) / row, 0.0)
        ds = real(ds)
    du, dv = matmul(u, on_u), matmul(v, on_v)
    if m > n:
        du = du + _over_values(matmul(t, v) - matmul(u, inner), s)
    if n > m:
        dv = dv + _over_values(matmul(_adjoint(t), u) - matmul(v, other), s)
    return (u, s, vh), (du, ds, _adjoint(dv))


_on_matrices(_svd, _NO_SVD, square=False)


def _svdvals_vjp(g: Any, x: Any) -> Any:
    u, _, vh = _svd(x, full_matrices=False)
    return _of_values(_conj(u), g, _conj(vh))


@op(vjp=_svdvals_vjp, samples=_tall)
def svdvals(xp: Any, x: Any, /) -> Any:
    """The singular values of each matrix, descending. The gradient is finite also where some are equal or zero."""
    _floating("svdvals", x)
    return xp.linalg.svdvals(x)


_on_matrices(svdvals, _NO_SVD, square=False)

# -- norms, powers, the exponential -----------------------------------------------------------------------------------


def _largest(sizes: Any, axis: int) -> Any:
    """Of none it is 0."""
    return max_(sizes, axis=axis) if sizes.shape[axis] else sum_(sizes, axis=axis)


@op(composite=True, samples=lambda rng: ((rng.normal(size=(2, 3, 4)),), {}))
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: float | str | None = "fro") -> Any:
    """A norm of each matrix: ``"fro"`` (Frobenius), ``"nuc"`` (the sum of singular values), or ``ord`` 1, 2, inf and their negatives.

    1 is the largest column sum of absolute values, inf the largest row sum, 2 the largest singular value; a negative
    order takes the smallest.
    """
    check_matrices("matrix_norm", x)
    _no_integers("matrix_norm", x.dtype, x.shape)
    pick = min_ if isinstance(ord, (int, float)) and ord < 0 else _largest
    if ord in ("fro", None):
        y = vector_norm(x, axis=(-2, -1))
    elif ord == "nuc":
        y = sum_(svdvals(x), axis=-1)
    elif ord in (2, -2):
        y = pick(svdvals(x), axis=-1)
    elif ord in (1, -1, math.inf, -math.inf):
        y = pick(sum_(abs_(x), axis=-2 if ord in (1, -1) else -1), axis=-1)
    else:
        raise OpError(f"matrix_norm(): ord must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf; got {ord!r}")
    return expand_dims(y, axis=(-2, -1)) if keepdims else y


@op(composite=True, samples=lambda rng: (_square(rng)[0], {"n": 3}))
def matrix_power(x: Any, /, n: int) -> Any:
    """Each square matrix to the power n, an integer; a negative one is that of the inverse. Integers stay integers."""
    check_matrices("matrix_power", x)
    if x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"matrix_power() takes square matrices; got shape {x.shape}")
    if not hasattr(n, "__index__"):
        raise OpError(f"matrix_power(): n must be an integer, got {n!r}")
    n = n.__index__()
    if n == 0:
        return broadcast_to(eye(x.shape[-1], dtype=x.dtype, device=x.device), x.shape)
    power, x = None, inv(x) if n < 0 else x
    n = abs(n)
    while True:
        if n % 2:
            power = x if power is None else matmul(power, x)
        n //= 2
        if not n:
            return power if power is not x else positive(x)
        x = matmul(x, x)


_PADE = (
    64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0, 10559470521600.0,
    670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0, 1.0,
)  # fmt: skip
_PADE_RADIUS = 5.371920351148152


def _frechet(x: Any, t: Any) -> Any:
    """The derivative of the exponential at x in the direction t: a block of exp([[x, t], [0, x]]) (Mathias, 1996)."""
    n = x.shape[-1]
    blocks = concat([concat([x, t], axis=-1), concat([zeros_like(x), x], axis=-1)], axis=-2)
    return matrix_exp(blocks)[..., :n, n:]


@op(vjp=lambda g, x: _frechet(matrix_transpose(x), g), samples=lambda rng: ((rng.normal(size=(2, 3, 3)),), {}))
def matrix_exp(xp: Any, x: Any, /) -> Any:
    """The exponential of each square matrix, 1 + x + x @ x / 2 + ...

    By scaling and squaring with a Pade approximant of degree 13 (N. Higham, 2005).
    """
    _floating("matrix_exp", x)
    if 0 in x.shape:
        return xp.asarray(x, copy=True)
    size = xp.max(xp.sum(xp.abs(x), axis=-2), axis=-1)
    size = xp.where(xp.isfinite(size) & (size > _PADE_RADIUS), size / _PADE_RADIUS, xp.ones_like(size))
    squarings = xp.ceil(xp.log2(size))[..., None, None]
    x = x / 2.0**squarings
    b, unit = _PADE, xp.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    x2 = x @ x
    x4 = x2 @ x2
    x6 = x4 @ x2
    odd = x @ (x6 @ (b[13] * x6 + b[11] * x4 + b[9] * x2) + b[7] * x6 + b[5] * x4 + b[3] * x2 + b[1] * unit)
    even = x6 @ (b[12] * x6 + b[10] * x4 + b[8] * x2) + b[6] * x6 + b[4] * x4 + b[2] * x2 + b[0] * unit
    y = xp.linalg.solve(even - odd, even + odd)
    for i in range(int(xp.max(squarings))):
        y = xp.where(squarings > i, y @ y, y)
    return y


@matrix_exp.jvp
def _(primals: Any, tangents: Any) -> Any:
    return matrix_exp(primals[0]), _frechet(primals[0], tangents[0])


_on_matrices(matrix_exp, "has no exponential")
