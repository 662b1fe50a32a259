"""``sparse``: products and solutions with sparse matrices of a constant pattern, differentiable in the numbers that are stored.

``csr(data, indices, indptr, shape)`` makes a matrix whose stored values are a Tensor; a matrix of ``scipy.sparse`` or
``cupyx.scipy.sparse`` is taken as a constant wherever a matrix is. The gradient in the stored values has one number each:
nothing is ever made dense. Where an index occurs twice in a row, its values add up.
"""

from __future__ import annotations

import math
import operator
from itertools import pairwise
from typing import Any, final

import jitrench_core as jt
from jitrench_core import DTypeError, LinAlgError, OpError, ShapeError, Tensor, TransformError, op

# -- the ops: a matrix is three arrays and a shape ---------------------------------------------------------------------


def _sample(rng: Any) -> tuple[Any, Any, Any]:
    """A matrix of 3 rows and 4 columns: two, none and three numbers in a row."""
    return rng.normal(size=5), _whole(rng, [0, 3, 1, 2, 3]), _whole(rng, [0, 2, 2, 5])


def _whole(rng: Any, numbers: list[int]) -> Any:
    return (rng.normal(size=len(numbers)) * 0).astype("int64") + numbers


def _native_rows(xp: Any, indices: Any, indptr: Any) -> Any:
    """The row of each stored number."""
    at = xp.arange(indices.shape[0], dtype=indptr.dtype, device=indptr.device)
    return xp.searchsorted(indptr, at, side="right") - 1


@op(
    linear=("data", "x"),
    vjp={
        "data": lambda g, indices, indptr, x, shape, transpose: (
            csr_sampled(indices, indptr, x, g, shape=shape)
            if transpose
            else csr_sampled(indices, indptr, g, x, shape=shape)
        ),
        "indices": None,
        "indptr": None,
        "x": lambda g, data, indices, indptr, shape, transpose: csr_matmul(
            data, indices, indptr, g, shape=shape, transpose=not transpose
        ),
    },
    samples=lambda rng: ((*_sample(rng), rng.normal(size=(4, 2))), {"shape": (3, 4)}),
)
def csr_matmul(
    xp: Any, data: Any, indices: Any, indptr: Any, x: Any, /, *, shape: tuple[int, int], transpose: bool = False
) -> Any:
    """A @ x, or A.T @ x where ``transpose``, for the matrix A of compressed rows, and a matrix x of as many rows as fit."""
    _check_native(indptr, x, shape, transpose)
    rows, columns = _native_rows(xp, indices, indptr), indices
    if transpose:
        rows, columns = columns, rows
    order = xp.argsort(rows, stable=True)  # the standard adds up slices alone
    data, rows, columns = (xp.take(a, order) for a in (data, rows, columns))
    parts = data[:, None] * xp.take(x, columns, axis=0)
    starts = xp.arange(shape[transpose] + 1, dtype=rows.dtype, device=rows.device)
    ends = [int(i) for i in xp.searchsorted(rows, starts)]
    sums = [xp.sum(parts[a:b, :], axis=0) for a, b in pairwise(ends)]
    return xp.stack(sums) if sums else xp.zeros((0, x.shape[1]), dtype=parts.dtype, device=parts.device)


def _check_native(indptr: Any, x: Any, shape: tuple[int, int], transpose: bool) -> None:
    if indptr.shape != (shape[0] + 1,) or x.ndim != 2 or x.shape[0] != shape[not transpose]:
        raise ValueError("shapes do not fit")


@csr_matmul.check
def _(data: Any, indices: Any, indptr: Any, x: Any, /) -> None:
    """Why a product failed."""
    _check_pattern("csr_matmul", data, indices, indptr)
    raise ShapeError(
        f"csr_matmul(): a matrix of {len(indptr) - 1} rows, and a dense matrix of shape {x.shape}, do not fit each other and shape="
    )


@op(
    linear=("a", "b"),
    vjp={
        "indices": None,
        "indptr": None,
        "a": lambda g, indices, indptr, b, shape: csr_matmul(g, indices, indptr, b, shape=shape),
        "b": lambda g, indices, indptr, a, shape: csr_matmul(g, indices, indptr, a, shape=shape, transpose=True),
    },
    samples=lambda rng: ((*_sample(rng)[1:], rng.normal(size=(3, 2)), rng.normal(size=(4, 2))), {"shape": (3, 4)}),
)
def csr_sampled(xp: Any, indices: Any, indptr: Any, a: Any, b: Any, /, *, shape: tuple[int, int]) -> Any:
    """The elements of a @ b.T at the stored places of a matrix of compressed rows: the derivative of ``csr_matmul`` in its values."""
    rows = _native_rows(xp, indices, indptr)
    return xp.sum(xp.take(a, rows, axis=0) * xp.take(b, indices, axis=0), axis=-1)


@op(
    samples=lambda rng: (
        (
            rng.uniform(size=5) * 0.5 + [2.0, 0.2, 2.0, 0.2, 2.0],
            _whole(rng, [0, 2, 1, 0, 2]),
            _whole(rng, [0, 2, 3, 5]),
            rng.normal(size=(3, 2)),
        ),
        {},
    ),
)
def csr_solve(xp: Any, data: Any, indices: Any, indptr: Any, x: Any, /, *, transpose: bool = False) -> Any:
    """The y with A @ y = x, or A.T @ y = x where ``transpose``, for the square matrix A of compressed rows, and a matrix x."""
    return NotImplemented  # the standard has no factorization that keeps a matrix sparse


@csr_solve.vjp_all
def _(g: Any, data: Any, indices: Any, indptr: Any, y: Any, transpose: bool, needs: Any) -> Any:
    back = csr_solve(data, indices, indptr, g, transpose=not transpose)
    left, right = (y, back) if transpose else (back, y)
    n = len(indptr) - 1
    own = -csr_sampled(indices, indptr, left, right, shape=(n, n)) if needs[0] else None
    return own, None, None, back if needs[3] else None


@csr_solve.check
def _(data: Any, indices: Any, indptr: Any, x: Any, /) -> None:
    """Why there was no solution."""
    _check_pattern("csr_solve", data, indices, indptr)
    n = len(indptr) - 1
    if x.shape[:1] != (n,):
        raise ShapeError(f"csr_solve(): a matrix of {n} rows needs a right side of as many; got shape {x.shape}")
    raise LinAlgError(f"csr_solve(): the sparse matrix of {n} rows is singular, or holds NaN or infinite numbers")


def _check_pattern(name: str, data: Any, indices: Any, indptr: Any) -> None:
    if not (data.ndim == indices.ndim == indptr.ndim == 1 and data.shape == indices.shape and len(indptr)):
        raise ShapeError(
            f"{name}(): data and indices must be vectors of one length, and indptr a vector of one more than the rows; got shapes "
            f"{data.shape}, {indices.shape} and {indptr.shape}"
        )
    for what, a in (("indices", indices), ("indptr", indptr)):
        if a.dtype.kind not in "iu":
            raise DTypeError(f"{name}(): {what} must be of integers; got {a.dtype}")


# -- batches: dense operands become more columns, stored values a matrix of blocks ---------------------------------------


def _columns(x: Any) -> Any:
    """A stack (batch, n, k) as one matrix (n, batch * k)."""
    return jt.reshape(jt.permute_dims(x, (1, 0, 2)), (x.shape[1], x.shape[0] * x.shape[2]))


def _uncolumns(y: Any, batch: int) -> Any:
    return jt.permute_dims(jt.reshape(y, (y.shape[0], batch, -1 if y.shape[1] else 0)), (1, 0, 2))


def _blocks(indices: Any, indptr: Any, batch: int, columns: int) -> tuple[Any, Any]:
    """The pattern of ``batch`` such matrices along a diagonal."""
    indices, indptr = (jt.astype(a, "int64") for a in (indices, indptr))
    n = indices.shape[0]
    steps = jt.arange(batch, device=indices.device)[:, None]
    last = jt.full((1,), batch * n, dtype="int64", device=indices.device)
    ends = jt.concat([jt.reshape(indptr[:-1] + steps * n, (-1,)), last])
    return jt.reshape(indices + steps * columns, (-1,)), ends


def _stacked(x: Any, is_batched: bool, batch: int) -> Any:
    """(batch, n, k) or (n, k) as (batch * n, k)."""
    x = x if is_batched else jt.broadcast_to(x, (batch, *x.shape))
    return jt.reshape(x, (batch * x.shape[1], x.shape[2]))


def _constant_pattern(name: str, batched: tuple[bool, ...]) -> None:
    if any(batched):
        raise TransformError(
            f"{name}() in vmap: the pattern (indices, indptr) of a sparse matrix must be the same for the whole batch"
        )


@csr_matmul.batch
def _(
    batched: tuple[bool, ...], data: Any, indices: Any, indptr: Any, x: Any, /, *, shape: Any, transpose: bool
) -> Any:
    _constant_pattern("csr_matmul", batched[1:3])
    if not batched[0]:
        y = csr_matmul(data, indices, indptr, _columns(x), shape=shape, transpose=transpose)
        return _uncolumns(y, x.shape[0])
    batch, (m, n) = data.shape[0], shape
    indices, indptr = _blocks(indices, indptr, batch, n)
    wide = _stacked(x, batched[3], batch)
    y = csr_matmul(jt.reshape(data, (-1,)), indices, indptr, wide, shape=(batch * m, batch * n), transpose=transpose)
    return jt.reshape(y, (batch, n if transpose else m, wide.shape[1]))


@csr_sampled.batch
def _(batched: tuple[bool, ...], indices: Any, indptr: Any, a: Any, b: Any, /, *, shape: Any) -> Any:
    _constant_pattern("csr_sampled", batched[:2])
    batch, n = (a if batched[2] else b).shape[0], indices.shape[0]
    m, k = shape
    indices, indptr = _blocks(indices, indptr, batch, k)
    a, b = _stacked(a, batched[2], batch), _stacked(b, batched[3], batch)
    return jt.reshape(csr_sampled(indices, indptr, a, b, shape=(batch * m, batch * k)), (batch, n))


@csr_solve.batch
def _(batched: tuple[bool, ...], data: Any, indices: Any, indptr: Any, x: Any, /, *, transpose: bool) -> Any:
    _constant_pattern("csr_solve", batched[1:3])
    if not batched[0]:
        return _uncolumns(csr_solve(data, indices, indptr, _columns(x), transpose=transpose), x.shape[0])
    batch, n = data.shape[0], indptr.shape[0] - 1
    indices, indptr = _blocks(indices, indptr, batch, n)
    wide = _stacked(x, batched[3], batch)
    y = csr_solve(jt.reshape(data, (-1,)), indices, indptr, wide, transpose=transpose)
    return jt.reshape(y, (batch, n, wide.shape[1]))


# -- kernels ----------------------------------------------------------------------------------------------------------


def _library(backend: str) -> tuple[Any, Any]:
    """The backend's array namespace, and its sparse matrices."""
    if backend == "numpy":
        from scipy import sparse as library
    else:
        from cupyx.scipy import sparse as library
    return jt.device(backend).backend.xp, library


def _matmul_kernel(backend: str) -> Any:
    def kernel(data: Any, indices: Any, indptr: Any, x: Any, *, shape: Any, transpose: bool = False) -> Any:
        xp, library = _library(backend)
        _check_native(indptr, x, shape, transpose)
        dtype = xp.result_type(data, x)
        if not data.size or not x.size:
            return xp.zeros((shape[transpose], x.shape[1]), dtype=dtype)
        matrix = library.csr_matrix((data, indices, indptr), shape=shape)
        return xp.asarray((matrix.T if transpose else matrix) @ x, dtype=dtype)

    return kernel


def _sampled_kernel(backend: str) -> Any:
    def kernel(indices: Any, indptr: Any, a: Any, b: Any, *, shape: Any) -> Any:
        xp, _ = _library(backend)
        if backend == "numpy":  # twice as fast as to search
            counts = xp.diff(indptr)
            rows = xp.repeat(xp.arange(len(counts)), counts)
        else:
            rows = _native_rows(xp, indices, indptr)
        return xp.einsum("ij,ij->i", a[rows], b[indices])

    return kernel


def _solve_kernel(backend: str) -> Any:
    def kernel(data: Any, indices: Any, indptr: Any, x: Any, *, transpose: bool = False) -> Any:
        xp, library = _library(backend)
        n = len(indptr) - 1
        if x.ndim != 2 or x.shape[0] != n:
            raise ValueError("shapes do not fit")
        dtype = xp.result_type(data, x)
        if not x.size:
            return xp.zeros(x.shape, dtype=dtype)
        if backend == "numpy":
            from scipy.sparse.linalg import splu
        else:
            from cupyx.scipy.sparse.linalg import splu
        # The columns of the transpose are the rows that are stored, so nothing is sorted anew.
        # A copy: what occurs twice is added up in place, and SuperLU reads arrays without gaps alone.
        matrix = library.csc_matrix((xp.asarray(data, dtype=dtype), indices, indptr), shape=(n, n), copy=True)
        matrix.sum_duplicates()
        return splu(matrix).solve(xp.asarray(x, dtype=dtype), trans="N" if transpose else "T")

    return kernel


# -- what users call --------------------------------------------------------------------------------------------------


@final
class SparseMatrix:
    """A sparse matrix whose stored numbers, ``data``, are a Tensor; ``indices`` and ``indptr`` are constants. ``csr`` makes one.

    ``A @ x`` is the product with a dense vector or matrix, ``sparse.matmul(x, A)`` the one from the left, where x is a Tensor;
    ``A.T`` is the transpose, ``A.todense()`` a dense Tensor.

    >>> from jitrench_scipy import sparse
    >>> a = sparse.csr([1.0, 2.0], [1, 0], [0, 1, 2], (2, 2))
    >>> a.T.todense()
    Tensor([[0., 2.],
            [1., 0.]])
    """

    __slots__ = ("_transposed", "_shape", "data", "indices", "indptr")
    __array_ufunc__ = None  # so that an array leaves x @ A to this class

    def __init__(self, data: Tensor, indices: Tensor, indptr: Tensor, shape: tuple[int, int], transposed: bool) -> None:
        self.data, self.indices, self.indptr = data, indices, indptr
        self._shape, self._transposed = shape, transposed

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._shape[::-1] if self._transposed else self._shape

    @property
    def T(self) -> SparseMatrix:
        """The transpose, of the same data."""
        return SparseMatrix(self.data, self.indices, self.indptr, self._shape, not self._transposed)

    @property
    def nnz(self) -> int:
        """How many numbers are stored."""
        return self.data.shape[0]

    def __repr__(self) -> str:
        return f"<sparse matrix of shape {self.shape}, {self.nnz} stored numbers of {self.data.dtype}>"

    def __matmul__(self, x: Any) -> Tensor:
        return matmul(self, x)

    def __rmatmul__(self, x: Any) -> Tensor:
        return matmul(x, self)

    def with_data(self, data: Any) -> SparseMatrix:
        """The matrix of this pattern that stores other numbers, in the same order: nothing of the pattern is checked again.

        >>> import jitrench_core as jt
        >>> from jitrench_scipy import sparse
        >>> a = sparse.csr([1.0, 2.0], [1, 0], [0, 1, 2], (2, 2))
        >>> jt.grad(lambda data: jt.sum(a.with_data(data) @ jt.tensor([3.0, 4.0])))(a.data)
        Tensor([4., 3.])
        """
        data = jt.asarray(data)
        if data.shape != self.data.shape:
            raise ShapeError(f"with_data(): the matrix stores {self.nnz} numbers; got data of shape {data.shape}")
        if data.dtype.kind not in "fc":
            raise DTypeError(f"with_data() takes floating-point data; got {data.dtype}: convert it first, by astype")
        return SparseMatrix(data, self.indices, self.indptr, self._shape, self._transposed)

    def todense(self) -> Tensor:
        """The matrix as a dense Tensor, differentiable, too."""
        return self @ jt.eye(self.shape[1], dtype=self.data.dtype, device=self.data.device)


def csr(data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> SparseMatrix:
    """A matrix of compressed rows: of row i the numbers ``data[indptr[i]:indptr[i + 1]]``, in the columns that ``indices`` has there.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import sparse
    >>> def f(data):
    ...     a = sparse.csr(data, [0, 2, 1], [0, 2, 3], (2, 3))
    ...     return jt.sum((a @ jt.tensor([1.0, 2.0, 3.0])) ** 2)
    >>> jt.grad(f)(jt.tensor([4.0, 5.0, 6.0]))
    Tensor([ 38., 114.,  48.])

    The pattern is read to check it, for which a GPU is waited: inside a loss take ``with_data`` of a matrix made before.
    Raises ``ShapeError`` for lengths that do not fit ``shape``, ``BoundsError`` for a column outside of it, ``DTypeError`` for an index
    that is no integer, or data that are.
    """
    data = jt.asarray(data)
    indices, indptr = (
        jt.asarray(a, device=a.device if isinstance(a, Tensor) else data.device) for a in (indices, indptr)
    )
    try:
        m, n = (operator.index(k) for k in shape)
    except (TypeError, ValueError):
        raise OpError(f"csr(): shape must be a pair of integers, rows and columns; got {shape!r}") from None
    if indices.shape == (0,):
        indices = jt.astype(indices, "int64")  # an empty list is of floating-point numbers
    _check_pattern("csr", data, indices, indptr)
    if data.dtype.kind not in "fc":
        raise DTypeError(f"csr() takes floating-point data; got {data.dtype}: convert it first, by astype")
    # SciPy's products take no larger ones.
    indices, indptr = (jt.astype(a, "int64") if a.dtype == jt.uint64 else a for a in (indices, indptr))
    if len(indptr) != m + 1:
        raise ShapeError(
            f"csr(): indptr must have rows + 1 = {m + 1} elements for the shape {(m, n)}; got {len(indptr)}"
        )
    _check_values(indices, indptr, n)
    return SparseMatrix(data, indices, indptr, (m, n), False)


def _check_values(indices: Any, indptr: Any, columns: int) -> None:
    stored = indices.shape[0]
    if int(indptr[0]) != 0 or int(indptr[-1]) != stored or bool(jt.any(indptr[1:] < indptr[:-1])):
        raise ShapeError(
            f"csr(): indptr must ascend from 0 to the number of stored elements, {stored}; got {indptr.tolist() if len(indptr) < 9 else indptr}"
        )
    if stored and not 0 <= int(jt.min(indices)) <= int(jt.max(indices)) < columns:
        raise jt.BoundsError(
            f"csr(): the columns in indices run from {int(jt.min(indices))} to {int(jt.max(indices))}; a matrix of {columns} columns has 0 to "
            f"{columns - 1}"
        )


def _is_sparse(a: Any) -> bool:
    return type(a) is SparseMatrix or (hasattr(a, "tocsr") and hasattr(a, "nnz"))


def asarray(a: Any) -> SparseMatrix:
    """The ``SparseMatrix`` of a matrix or array of ``scipy.sparse`` or ``cupyx.scipy.sparse``, in any of its formats.

    It shares the arrays of a ``csr`` one: leave these as they are from a product to its gradient.

    >>> import scipy.sparse
    >>> from jitrench_scipy import sparse
    >>> sparse.asarray(scipy.sparse.coo_array(([1.0, 2.0], ([0, 1], [1, 0])), shape=(2, 3)))
    <sparse matrix of shape (2, 3), 2 stored numbers of float64>

    Raises ``OpError`` for anything else, ``ShapeError`` for other than two dimensions.
    """
    if type(a) is SparseMatrix:
        return a
    if not _is_sparse(a):
        raise OpError(
            f"expected a sparse matrix: of scipy.sparse, of cupyx.scipy.sparse, or one made by sparse.csr(); got {type(a).__name__}"
        )
    if len(a.shape) != 2:
        raise ShapeError(f"a sparse matrix has two dimensions; got shape {tuple(a.shape)}")
    rows = a.tocsr()
    data = rows.data if rows.data.dtype.kind in "fc" else rows.data.astype("float64")
    m, n = (int(k) for k in a.shape)
    return SparseMatrix(jt.asarray(data), jt.asarray(rows.indices), jt.asarray(rows.indptr), (m, n), False)


def matmul(x1: Any, x2: Any) -> Tensor:
    """The product of a sparse matrix and a dense vector (n,) or stack of matrices (..., n, k), in either order.

    The sparse one is made by ``csr``, or by ``scipy.sparse`` or ``cupyx.scipy.sparse``, and is a constant then. Differentiable in the
    dense operand, and in the stored numbers of what ``csr`` made.

    >>> import jitrench_core as jt
    >>> import scipy.sparse
    >>> from jitrench_scipy import sparse
    >>> a = scipy.sparse.csr_array([[0.0, 2.0], [3.0, 0.0]])
    >>> sparse.matmul(a, jt.tensor([1.0, 2.0])), sparse.matmul(jt.tensor([1.0, 2.0]), a)
    (Tensor([4., 3.]), Tensor([6., 2.]))

    Raises ``ShapeError`` where the operands do not fit, ``OpError`` where not exactly one is sparse.
    """
    if _is_sparse(x1) and _is_sparse(x2):
        raise OpError(
            "matmul() of two sparse matrices is not implemented: one operand must be dense, such as x2.todense()"
        )
    if not _is_sparse(x1):
        a, x = asarray(x2).T, jt.asarray(x1)
        y = _product(a, x if x.ndim < 2 else jt.matrix_transpose(x), (tuple(x.shape), x2.shape))
        return y if x.ndim < 2 else jt.matrix_transpose(y)
    x = jt.asarray(x2)
    return _product(asarray(x1), x, (tuple(x1.shape), tuple(x.shape)))


def _product(a: SparseMatrix, x: Any, shapes: tuple[Any, Any]) -> Any:
    if not x.ndim or x.shape[-2 if x.ndim > 1 else 0] != a.shape[1]:
        raise ShapeError(
            f"matmul(): shapes {tuple(shapes[0])} and {tuple(shapes[1])} do not fit: the inner lengths must be equal"
        )
    x = x if x.dtype.kind in "fc" else jt.astype(x, a.data.dtype)
    wide, back = _as_matrix(x)
    return back(csr_matmul(a.data, a.indices, a.indptr, wide, shape=a._shape, transpose=a._transposed))


def _as_matrix(x: Any) -> tuple[Any, Any]:
    """A vector or a stack (..., n, k) as one matrix (n, columns), and how a result of that form gets x's own."""
    if x.ndim == 2:
        return x, lambda y: y
    if x.ndim == 1:
        return x[:, None], lambda y: y[:, 0]
    lead, (n, k) = x.shape[:-2], x.shape[-2:]
    wide = jt.reshape(jt.moveaxis(x, -2, 0), (n, math.prod(lead) * k))
    return wide, lambda y: jt.moveaxis(jt.reshape(y, (y.shape[0], *lead, k)), 0, -2)


def spsolve(a: Any, b: Any) -> Tensor:
    """The x with a @ x = b, for a square sparse matrix and a dense vector (n,) or stack of matrices (..., n, k).

    Differentiable in b, and in the stored numbers of an a that ``csr`` made: by a solution with the transpose. On NumPy and CuPy.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import sparse
    >>> a = sparse.csr([2.0, 1.0, 4.0], [0, 1, 1], [0, 2, 3], (2, 2))
    >>> sparse.spsolve(a, jt.tensor([4.0, 4.0]))
    Tensor([1.5, 1. ])

    Raises ``LinAlgError`` for a singular matrix, ``ShapeError`` for shapes that do not fit.
    """
    matrix, b = asarray(a), jt.asarray(b)
    n, m = matrix.shape
    if n != m or not b.ndim or b.shape[-2 if b.ndim > 1 else 0] != n:
        raise ShapeError(
            f"spsolve() takes a square matrix (n, n) and a right side (n,) or (..., n, k); got shapes {(n, m)} and {b.shape}"
        )
    b = b if b.dtype.kind in "fc" else jt.astype(b, matrix.data.dtype)
    wide, back = _as_matrix(b)
    y: Tensor = back(csr_solve(matrix.data, matrix.indices, matrix.indptr, wide, transpose=matrix._transposed))
    return y


OPS: tuple[Any, ...] = (csr_matmul, csr_sampled, csr_solve)
KERNELS: dict[tuple[str, str], Any] = {  # by op and backend
    (name, backend): make(backend)
    for name, make in (("csr_matmul", _matmul_kernel), ("csr_sampled", _sampled_kernel), ("csr_solve", _solve_kernel))
    for backend in ("numpy", "cupy")
}

__all__ = ["SparseMatrix", "asarray", "csr", "matmul", "spsolve"]
