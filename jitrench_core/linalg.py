"""Linear algebra: the ``linalg`` extension of the Array API standard, and what else array users need.

All of it is batched over leading axes, and differentiable where a derivative exists. ``LinAlgError`` says which matrix is
singular, not positive definite, or holds NaN; integers raise ``DTypeError``, and shapes that do not fit ``ShapeError``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .ops import decompositions
from .ops.decompositions import (
    cholesky,
    det,
    eigvals,
    eigvalsh,
    inv,
    lstsq,
    matrix_exp,
    matrix_norm,
    solve,
    solve_triangular,
    svdvals,
)
from .ops.linalg import (
    cross,
    diagonal,
    matmul,
    multi_dot,
    outer,
    tensordot,
    trace,
    vecdot,
)
from .ops.reductions import vector_norm
from .ops.shapes import matrix_transpose
from .tensor import ArrayLike, Tensor


class EigResult(NamedTuple):
    """What ``eig`` returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class EighResult(NamedTuple):
    """What ``eigh`` returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class QRResult(NamedTuple):
    """What ``qr`` returns."""

    Q: Tensor
    R: Tensor


class SlogdetResult(NamedTuple):
    """What ``slogdet`` returns."""

    sign: Tensor
    logabsdet: Tensor


class SVDResult(NamedTuple):
    """What ``svd`` returns."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def eig(x: ArrayLike, /) -> EigResult:
    """The eigenvalues of square matrices, in no order, and eigenvectors of length 1 as columns; complex.

    Differentiable where the eigenvalues are distinct; only functions that do not depend on the eigenvectors' phase have a
    meaningful derivative.
    """
    return EigResult(*decompositions._eig(x))


def eigh(x: ArrayLike, /) -> EighResult:
    """The eigenvalues of Hermitian matrices, ascending, and orthonormal eigenvectors as columns.

    Raises ``LinAlgError`` where a matrix is not Hermitian, by more than rounding. Eigenvectors have a derivative where
    eigenvalues are distinct (else it is infinite or NaN), and only functions that do not depend on their sign, or phase, have a
    meaningful one.

    >>> import jitrench_core as jt
    >>> jt.linalg.eigh(jt.tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    Tensor([1., 2.])
    """
    return EighResult(*decompositions._eigh(x))


def qr(x: ArrayLike, /, *, mode: str = "reduced") -> QRResult:
    """Q with orthonormal columns, and R upper triangular, with Q R = x; ``mode="complete"`` makes Q square.

    Differentiable where the first min(M, N) columns are independent; not for ``"complete"`` with more rows than columns.
    """
    return QRResult(*decompositions._qr(x, mode=mode))


def slogdet(x: ArrayLike, /) -> SlogdetResult:
    """The sign of each square matrix' determinant (of modulus 1 where complex), and the logarithm of its absolute value.

    Of a singular matrix they are 0 and -inf, and a derivative is NaN.
    """
    return SlogdetResult(*decompositions._slogdet(x))


def svd(x: ArrayLike, /, *, full_matrices: bool = True) -> SVDResult:
    """U, S and V^H with U diag(S) V^H = x, singular values descending; ``full_matrices=False`` leaves out what meets no value.

    Differentiable with ``full_matrices=False``, or for square matrices. Singular vectors have a derivative where singular
    values are distinct and not 0, and only functions that do not depend on their common sign, or phase, have a meaningful one.
    """
    return SVDResult(*decompositions._svd(x, full_matrices=full_matrices))


def matrix_power(x: ArrayLike, n: int, /) -> Tensor:
    """Each square matrix to the power n, an integer; a negative one is that of the inverse.

    >>> import jitrench_core as jt
    >>> jt.linalg.matrix_power(jt.tensor([[1.0, 1.0], [0.0, 1.0]]), 5)
    Tensor([[1., 5.], [0., 1.]])
    """
    return decompositions.matrix_power(x, n=n)


def matrix_rank(x: ArrayLike, /, *, rtol: Any = None) -> Tensor:
    """How many singular values are above ``rtol`` times the largest; nothing is recorded for it.

    ``rtol`` is a number, or an array with one for each matrix; by default max(M, N) times the dtype's epsilon.
    """
    return decompositions.matrix_rank(x, rtol)


def pinv(x: ArrayLike, /, *, rtol: Any = None) -> Tensor:
    """The Moore-Penrose inverse; singular values up to ``rtol`` times the largest count as zero.

    ``rtol`` is a number, or an array with one for each matrix; by default max(M, N) times the dtype's epsilon. The
    derivative is that among matrices of the same rank.
    """
    return decompositions.pinv(x, rtol)


if not TYPE_CHECKING:  # a type checker knows the names that are

    def __getattr__(name: str) -> object:
        from .spellings import missing

        raise missing(__name__, name)


__all__ = [
    "EigResult",
    "EighResult",
    "QRResult",
    "SVDResult",
    "SlogdetResult",
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]
