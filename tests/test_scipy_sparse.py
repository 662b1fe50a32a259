"""jitrench_scipy.sparse: SciPy's values, gradients of the stored numbers alone, patterns with gaps and repetitions, batches, errors."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

import jitrench_core as jt
from jitrench_scipy import sparse

# 3 rows and 4 columns: an unsorted row, an empty one, and one that holds column 1 twice.
INDICES, INDPTR, SHAPE = [3, 0, 1, 2, 1], [0, 2, 2, 5], (3, 4)
DATA = [1.0, 2.0, 3.0, 4.0, 5.0]
DENSE = np.array([[2.0, 0, 0, 1], [0, 0, 0, 0], [0, 8, 4, 0]])
# Square: 2 on the diagonal, some beside it, unsorted and with a repetition.
SQUARE = ([1.0, 2.0, 1.0, 2.0, 0.5, 2.0, -1.0], [1, 0, 1, 1, 2, 2, 0], [0, 2, 5, 7], (3, 3))


@pytest.fixture
def a(T):
    return sparse.csr(T(DATA), T(INDICES), T(INDPTR), SHAPE)


@pytest.fixture
def solvable(T):
    """The square matrix; a skip where the backend cannot solve, and says so."""
    data, indices, indptr, shape = SQUARE
    made = sparse.csr(T(data), T(indices), T(indptr), shape)
    try:
        sparse.spsolve(made, T([1.0, 1.0, 1.0]))
    except jt.UnsupportedError as e:
        pytest.skip(str(e))
    return made


def again(a, data):
    """The matrix of the same pattern with other numbers."""
    return a.with_data(data)


# -- values -----------------------------------------------------------------------------------------------------------


def test_products(a, T, close):
    rng = np.random.default_rng(0)
    v, m, stack = rng.normal(size=4), rng.normal(size=(4, 2)), rng.normal(size=(2, 5, 4, 3))
    close(a.todense(), DENSE)
    close(a.T.todense(), DENSE.T)
    for x in (v, m, stack):
        close(a @ T(x), DENSE @ x, 1e-14)
        close(sparse.matmul(a, T(x)), DENSE @ x, 1e-14)
    for x in (rng.normal(size=3), rng.normal(size=(2, 3)), rng.normal(size=(2, 5, 2, 3))):
        close(sparse.matmul(T(x), a), x @ DENSE, 1e-14)
    close(a.T @ T([1.0, 2.0, 3.0]), DENSE.T @ [1.0, 2.0, 3.0])
    close(a @ T([1, 2, 3, 4]), DENSE @ [1, 2, 3, 4])
    assert (a.shape, a.T.shape, a.nnz, a.T.T.shape) == ((3, 4), (4, 3), 5, (3, 4))
    assert repr(a) == "<sparse matrix of shape (3, 4), 5 stored numbers of float64>"


def test_dtypes_and_empty_operands(T):
    made = sparse.csr(T(DATA, "float32"), T(INDICES), T(INDPTR), SHAPE)
    assert (made @ T(np.ones(4), "float32")).dtype == jt.float32
    assert (made @ T(np.ones(4))).dtype == jt.float64
    assert (made @ T(np.ones(4) * 1j)).dtype == jt.complex128
    assert (made @ T(np.ones((4, 0)))).shape == (3, 0)
    assert (made @ T(np.ones((0, 4, 2)))).shape == (0, 3, 2)
    empty = sparse.csr(T(np.zeros(0)), T(np.zeros(0, int)), T([0, 0]), (1, 2))
    assert (empty @ T([1.0, 2.0])).tolist() == [0.0]
    none = sparse.csr(T(np.zeros(0)), T(np.zeros(0, int)), T([0]), (0, 2))
    assert (none @ T([1.0, 2.0])).shape == (0,)
    assert (none.T @ T(np.zeros(0))).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "dia", "lil", "bsr", "dok"])
@pytest.mark.parametrize("wrap", ["array", "matrix"])
def test_scipys_matrices_are_constants(kind, wrap, close):
    theirs = getattr(scipy.sparse, f"{kind}_{wrap}")(DENSE)
    x = np.random.default_rng(0).normal(size=(4, 2))
    close(sparse.matmul(theirs, x), DENSE @ x, 1e-14)
    close(sparse.matmul(x.T, theirs.T), x.T @ DENSE.T, 1e-14)
    close(jt.grad(lambda x: (sparse.matmul(theirs, x) ** 2).sum())(x), 2 * DENSE.T @ DENSE @ x, 1e-13)
    made = sparse.asarray(theirs)
    assert made.nnz == theirs.tocsr().nnz
    assert sparse.asarray(made) is made
    integers = getattr(scipy.sparse, f"{kind}_{wrap}")(DENSE.astype(int))
    close(sparse.asarray(integers).todense(), DENSE)


# -- derivatives ------------------------------------------------------------------------------------------------------


def test_gradient_of_stored_numbers(a, T, close):
    """One number for each that is stored; where a place is stored twice, both get its gradient."""
    x, w = T([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 20.0, 30.0])
    gradient = jt.grad(lambda d: (T(w) * (again(a, d) @ x)).sum())(a.data)
    close(gradient, [40.0, 10.0, 60.0, 90.0, 60.0])
    back = jt.grad(lambda d: (x * (again(a, d).T @ T(w))).sum())(a.data)
    close(back, gradient)


@pytest.mark.parametrize("transposed", [False, True])
def test_derivatives_to_second_order(transposed, a, T):
    x = T(np.random.default_rng(0).normal(size=(3 if transposed else 4, 2)))

    def f(data, x):
        m = again(a, data)
        return jt.sin((m.T if transposed else m) @ x)

    jt.check_grads(f, a.data, x)
    jt.check_grads(
        lambda d, x: sparse.matmul(jt.matrix_transpose(x), again(a, d) if transposed else again(a, d).T), a.data, x
    )


def test_complex_numbers(a, T):
    rng = np.random.default_rng(0)
    x = T(rng.normal(size=(4, 2)) + 1j * rng.normal(size=(4, 2)))
    jt.check_grads(lambda d, x: again(a, d) @ x, a.data * (1 + 2j), x)


@pytest.mark.parametrize("transposed", [False, True])
def test_vmap(transposed, a, T, close):
    """Over vectors, over stored numbers, and over both; each agrees with a loop."""
    rng = np.random.default_rng(0)
    data, x = T(rng.normal(size=(2, 5))), T(rng.normal(size=(2, 3 if transposed else 4)))

    def f(d, x):
        m = again(a, d)
        return (m.T if transposed else m) @ x

    for axes in ((0, 0), (None, 0), (0, None)):
        some = [v if i == 0 else v[0] for v, i in zip((data, x), axes, strict=True)]
        loop = [f(data[i if axes[0] == 0 else 0], x[i if axes[1] == 0 else 0]).numpy() for i in range(2)]
        close(jt.vmap(f, in_axes=axes)(*some), np.stack(loop), 1e-14)
    jacobian = jt.jacobian(lambda d: f(d, x[0]))(a.data)
    assert jacobian.shape == (4 if transposed else 3, 5)


@pytest.mark.parametrize("dtype", ["int16", "int32", "int64", "uint8", "uint32", "uint64"])
def test_every_integer_counts_places(dtype, a, T, close):
    indices, indptr = (jt.astype(i, dtype) for i in (a.indices, a.indptr))
    x = T(np.arange(4.0))
    slope = lambda data, *pattern: jt.grad(lambda d: jt.sum((sparse.csr(d, *pattern, (3, 4)) @ x) ** 2))(data)  # noqa: E731
    close(slope(a.data, indices, indptr), slope(a.data, a.indices, a.indptr))


def test_the_gradient_of_a_large_matrix_stays_sparse(T):
    """A dense gradient of this matrix would take 8 terabytes."""
    n = 1_000_000
    if T(0.0).device != "numpy":
        pytest.skip("the general forward goes through rows one by one")
    a = sparse.asarray(scipy.sparse.eye_array(n, format="csr") * 2.0)
    f = lambda d, x: ((a.with_data(d) @ x) ** 2).sum()  # noqa: E731
    gd, gx = jt.grad(f, argnums=(0, 1))(a.data, jt.ones(n))
    assert gd.shape == (n,)
    assert bool((gd == 4.0).all())
    assert bool((gx == 8.0).all())


# -- solutions --------------------------------------------------------------------------------------------------------


def test_solutions(solvable, T, close):
    rng = np.random.default_rng(0)
    dense = solvable.todense().numpy()
    for b in (rng.normal(size=3), rng.normal(size=(3, 2)), rng.normal(size=(2, 2, 3, 1))):
        columns = b[:, None] if b.ndim == 1 else b
        expected = np.linalg.solve(dense, columns), np.linalg.solve(dense.T, columns)
        for m, e in zip((solvable, solvable.T), expected, strict=True):
            close(sparse.spsolve(m, T(b)), e[:, 0] if b.ndim == 1 else e, 1e-13)
    assert sparse.spsolve(solvable, T(np.zeros((3, 0)))).shape == (3, 0)
    assert sparse.spsolve(solvable, T([1, 2, 3])).dtype == jt.float64
    close(solvable.data, SQUARE[0])  # nothing was added up in place
    close(solvable.indices, SQUARE[1])


@pytest.mark.parametrize("transposed", [False, True])
def test_derivatives_of_solutions(transposed, solvable, T, close):
    def f(data, b):
        m = again(solvable, data)
        return sparse.spsolve(m.T if transposed else m, b)

    b = T(np.random.default_rng(0).normal(size=(3, 2)))
    jt.check_grads(f, solvable.data, b)
    data = T(np.stack([SQUARE[0], np.array(SQUARE[0]) * 2]))
    close(jt.vmap(f, in_axes=(0, None))(data, b), np.stack([f(d, b).numpy() for d in data]), 1e-13)
    stack = T(np.random.default_rng(1).normal(size=(2, 3, 2)))
    close(
        jt.vmap(f, in_axes=(None, 0))(solvable.data, stack),
        np.stack([f(solvable.data, b).numpy() for b in stack]),
        1e-13,
    )
    jt.check_grads(f, solvable.data * (1 + 0.5j), b * 1j)


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0, 2.0], [0, 5], [0, 1, 2], (2, 2)), jt.BoundsError, "run from 0 to 5; a matrix of 2 columns has 0 to 1"),
        (([1.0, 2.0], [0, -1], [0, 1, 2], (2, 2)), jt.BoundsError, "run from -1 to 0"),
        (([1.0, 2.0], [0, 1], [0, 2], (2, 2)), jt.ShapeError, r"rows \+ 1 = 3 elements for the shape \(2, 2\); got 2"),
        (([1.0, 2.0], [0, 1], [0, 3, 2], (2, 2)), jt.ShapeError, r"ascend from 0 to the number of stored elements, 2; got \[0, 3, 2\]"),
        (([1.0, 2.0], [0, 1], [1, 1, 2], (2, 2)), jt.ShapeError, "ascend from 0"),
        (([1.0, 2.0], [0.0, 1.0], [0, 1, 2], (2, 2)), jt.DTypeError, "indices must be of integers; got float64"),
        (([1, 2], [0, 1], [0, 1, 2], (2, 2)), jt.DTypeError, "takes floating-point data; got int64"),
        (([1.0], [0, 1], [0, 1, 2], (2, 2)), jt.ShapeError, r"got shapes \(1,\), \(2,\) and \(3,\)"),
        (([1.0, 2.0], [0, 1], [0, 1, 2], 2), jt.OpError, "shape must be a pair of integers"),
        (([1.0, 2.0], [0, 1], [0, 1, 2], (2.0, 2)), jt.OpError, "shape must be a pair of integers"),
    ],
)  # fmt: skip
def test_patterns_that_are_none(arguments, error, message, T):
    *arrays, shape = arguments
    with pytest.raises(error, match=message):
        sparse.csr(*map(T, arrays), shape)


def test_errors_of_products(a, T):
    with pytest.raises(jt.ShapeError, match=r"shapes \(3, 4\) and \(3,\) do not fit"):
        a @ T([1.0, 2.0, 3.0])
    with pytest.raises(jt.ShapeError, match=r"shapes \(2, 4\) and \(3, 4\) do not fit"):
        sparse.matmul(T(np.ones((2, 4))), a)
    with pytest.raises(jt.ShapeError, match=r"shapes \(3, 4\) and \(\) do not fit"):
        sparse.matmul(a, T(1.0))
    with pytest.raises(jt.OpError, match="two sparse matrices is not implemented"):
        sparse.matmul(a, a.T)
    with pytest.raises(jt.OpError, match="expected a sparse matrix.*got Tensor"):
        sparse.matmul(T([[1.0]]), T([[1.0]]))
    with pytest.raises(jt.TransformError, match=r"pattern .* must be the same for the whole batch"):
        jt.vmap(lambda i: sparse.csr_matmul(a.data, i, a.indptr, T(np.ones((4, 1))), shape=SHAPE))(
            T([INDICES, INDICES])
        )


def test_other_numbers_for_a_pattern(a, T, close):
    close(a.T.with_data(T(DATA) * 2).todense(), 2 * DENSE.T)
    for data, error, message in (
        (T([1.0]), jt.ShapeError, r"stores 5 numbers; got data of shape \(1,\)"),
        (T([1, 2, 3, 4, 5]), jt.DTypeError, "floating-point data; got int64"),
    ):
        with pytest.raises(error, match=message):
            a.with_data(data)


def test_errors_of_solutions(a, solvable, T):
    with pytest.raises(jt.ShapeError, match=r"square matrix \(n, n\).*got shapes \(3, 4\) and \(3,\)"):
        sparse.spsolve(a, T([1.0, 2.0, 3.0]))
    with pytest.raises(jt.ShapeError, match=r"got shapes \(3, 3\) and \(2,\)"):
        sparse.spsolve(solvable, T([1.0, 2.0]))
    for bad in (0.0, np.nan):
        with pytest.raises(jt.LinAlgError, match="sparse matrix of 3 rows is singular, or holds NaN"):
            sparse.spsolve(again(solvable, solvable.data * bad), T([1.0, 2.0, 3.0]))
