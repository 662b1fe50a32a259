"""jitrench_scipy.linalg: SciPy's values, derivatives by differences, complex numbers, batches, what has no solution, errors."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

import jitrench_core as jt
from jitrench_core.testing import check_op
from jitrench_scipy import linalg


def matrices(seed, *shape, complex=False):
    """Random, with eigenvalues to the right of zero."""
    rng = np.random.default_rng(seed)
    a = 0.4 * rng.normal(size=shape) + (0.4j * rng.normal(size=shape) if complex else 0)
    return a + 2 * np.eye(shape[-2], shape[-1])


def supported(make):
    """What ``make`` returns; a skip where the backend lacks the op, and says so."""
    try:
        return make()
    except jt.UnsupportedError as e:
        pytest.skip(str(e))


COMPLEX = pytest.mark.parametrize("complex", [False, True], ids=["real", "complex"])


# -- values -----------------------------------------------------------------------------------------------------------


@COMPLEX
@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_functions_as_scipy(n, complex, T, close):
    x = matrices(n, n, n, complex=complex)
    close(linalg.expm(T(x)), scipy.linalg.expm(x), 1e-12)
    close(linalg.sqrtm(T(x)), scipy.linalg.sqrtm(x), 1e-12)
    close(linalg.logm(T(x)), scipy.linalg.logm(x), 1e-12)
    close(linalg.logm(linalg.expm(T(x))), x, 1e-11)
    e = matrices(n + 1, n, n, complex=complex)
    for ours, theirs in zip(linalg.expm_frechet(T(x), T(e)), scipy.linalg.expm_frechet(x, e), strict=True):
        close(ours, theirs, 1e-11)


def test_logarithms_far_from_one(T):
    """Ten square roots and more, of a matrix that is not normal."""
    x = np.array([[1e-4, 50.0], [0.0, 2e3]])
    slope = 50.0 * np.log(2e7) / (2e3 - 1e-4)
    np.testing.assert_allclose(
        linalg.logm(T(x)).numpy(), [[np.log(1e-4), slope], [0, np.log(2e3)]], rtol=1e-11, atol=1e-12
    )


@COMPLEX
def test_sylvester_as_scipy(complex, T, close):
    a, b, q = matrices(0, 4, 4, complex=complex), matrices(1, 3, 3, complex=complex), matrices(2, 4, 3)
    close(linalg.solve_sylvester(T(a), T(b), T(q)), scipy.linalg.solve_sylvester(a, b, q), 1e-12)
    stack = np.stack([a, 2 * a])
    expected = [[scipy.linalg.solve_sylvester(p, b, q * k) for p in stack] for k in (1, 3)]
    close(linalg.solve_sylvester(T(stack), T(b), T(np.stack([q, 3 * q])[:, None])), expected, 1e-12)


@COMPLEX
@pytest.mark.parametrize("n", [3, 40])  # the second by substitution
@pytest.mark.parametrize("trans", [0, "T", 2])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("unit", [False, True])
def test_triangular_solutions_as_scipy(unit, lower, trans, n, complex, T, close):
    a, b = matrices(n, n, n, complex=complex) / (n if unit else 1), matrices(1, n, 2)
    for right in (b, b[:, 0]):
        expected = scipy.linalg.solve_triangular(a, right, trans=trans, lower=lower, unit_diagonal=unit)
        ours = linalg.solve_triangular(T(a), T(right).astype(T(a).dtype), trans=trans, lower=lower, unit_diagonal=unit)
        np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())


def test_substitution_has_the_derivatives_of_elimination(T):
    """The core's op, by SciPy's kernel where the matrix is large enough; and in other shapes, which the kernel hands back."""
    a, b = np.tril(matrices(3, 33, 33)), matrices(4, 33, 2)
    x = linalg.solve_triangular(T(a), T(b), lower=True)
    np.testing.assert_allclose(a @ x.numpy(), b, atol=1e-11)
    ga, gb = jt.grad(lambda a, b: (linalg.solve_triangular(a, b, lower=True) ** 2).sum(), argnums=(0, 1))(T(a), T(b))
    back = np.linalg.solve(a.T, 2 * x.numpy())
    np.testing.assert_allclose(gb.numpy(), back, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ga.numpy(), -np.tril(back @ x.numpy().T), rtol=1e-9, atol=1e-9)
    stack = linalg.solve_triangular(T(np.stack([a, a])), T(b), lower=True)
    np.testing.assert_allclose(stack.numpy()[1], x.numpy(), rtol=1e-10, atol=1e-12)
    mixed = linalg.solve_triangular(T(a), T(b, "float32"), lower=True)
    assert mixed.dtype == jt.float64
    assert linalg.solve_triangular(T(a), T(np.zeros((33, 0))), lower=True).shape == (33, 0)


@COMPLEX
@pytest.mark.parametrize("lower", [False, True])
def test_cholesky_factors(lower, complex, T, close):
    a = matrices(0, 4, 4, complex=complex)
    a, b = a @ a.conj().T, matrices(1, 4, 2, complex=complex)
    c, which = linalg.cho_factor(T(a), lower=lower)
    assert which is lower
    theirs = scipy.linalg.cho_factor(a, lower=lower)[0]
    close(c, np.tril(theirs) if lower else np.triu(theirs), 1e-12)
    close(linalg.cho_solve((c, lower), T(b)), np.linalg.solve(a, b), 1e-11)
    close(linalg.cho_solve((c, lower), T(b[:, 0])), np.linalg.solve(a, b[:, 0]), 1e-11)


@COMPLEX
def test_lu_as_scipy(complex, T, close):
    a = matrices(0, 2, 4, 4, complex=complex)[:, ::-1]
    found = supported(lambda: linalg.lu(T(a)))
    for i, part in enumerate(found):
        close(part, np.stack([scipy.linalg.lu(each)[i] for each in a]), 1e-13)
    p, lower, upper = found
    close(p @ lower @ upper, a, 1e-13)
    assert not p.requires_grad


@COMPLEX
def test_patterns_as_scipy(complex, T, close):
    c, r = matrices(0, 2, 4, complex=complex), matrices(1, 2, 3, complex=complex)
    for row in range(2):
        close(linalg.toeplitz(T(c[row]), T(r[row])), scipy.linalg.toeplitz(c[row], r[row]))
        close(linalg.toeplitz(T(c[row])), scipy.linalg.toeplitz(c[row]))
        close(linalg.circulant(T(c[row])), scipy.linalg.circulant(c[row]))
    close(linalg.toeplitz(T(c), T(r))[1], scipy.linalg.toeplitz(c[1], r[1]))
    close(linalg.circulant(T(c))[0], scipy.linalg.circulant(c[0]))
    close(linalg.khatri_rao(T(c.T), T(r.T)), scipy.linalg.khatri_rao(c.T, r.T))
    close(linalg.block_diag(T(c), T(r[0]), 3.0), scipy.linalg.block_diag(c, r[0], 3.0))
    close(linalg.kron(T(c), T(r)), np.kron(c, r))


def test_empty_and_single(T):
    for f in (linalg.sqrtm, linalg.logm, linalg.expm):
        assert f(T(np.zeros((0, 0)))).shape == (0, 0)
        assert f(T(np.ones((0, 2, 2)))).shape == (0, 2, 2)
    assert linalg.solve_sylvester(T(np.ones((0, 2, 2))), T(np.eye(2)), T(np.eye(2))).shape == (0, 2, 2)
    assert linalg.toeplitz(T(np.zeros(0))).shape == (0, 0)
    assert linalg.toeplitz(T([1.0, 2.0]), T(np.zeros(0))).shape == (2, 0)
    assert linalg.circulant(T(np.zeros(0))).shape == (0, 0)
    assert linalg.block_diag(T(np.zeros((0, 2))), T([[1.0]])).tolist() == [[0.0, 0.0, 1.0]]
    for f in (linalg.sqrtm, linalg.logm, linalg.expm):
        assert f(T(matrices(0, 3, 3), "float32")).dtype == jt.float32


# -- derivatives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "op", ["solve_sylvester", "sqrtm", "logm", "expm_frechet", "block_diag", "toeplitz", "circulant", "khatri_rao"]
)
def test_complex_numbers_pass_the_battery(op, backend):
    check_op(jt.registry.ops[op], backend, complex=True)


@COMPLEX
def test_derivatives_of_factors(complex, T):
    a = T(matrices(0, 3, 3, complex=complex)[::-1].copy())
    supported(lambda: linalg.lu(a))
    jt.check_grads(lambda a: linalg.lu(a)[1:], a)
    spd = matrices(1, 3, 3, complex=complex)
    spd, b = T(spd @ spd.conj().T), T(matrices(2, 3, 2, complex=complex))

    def solution(a, b):
        hermitian = (a + jt.matrix_transpose(jt.conj(a) if complex else a)) / 2
        return linalg.cho_solve(linalg.cho_factor(hermitian), b)

    jt.check_grads(solution, spd, b)


def test_the_root_of_a_logarithm(T, close):
    """sqrtm(x) is expm(logm(x) / 2), and so are its first and second derivatives."""
    x, e = T(matrices(0, 3, 3)), T(matrices(1, 3, 3))
    one, other = (lambda x: linalg.sqrtm(x)), (lambda x: linalg.expm(linalg.logm(x) / 2))
    close(one(x), other(x), 1e-12)
    slopes = [jt.grad(lambda x, f=f: (e * f(x)).sum()) for f in (one, other)]
    close(slopes[0](x), slopes[1](x), 1e-12)
    curved = [jt.grad(lambda x, g=g: (e * jt.sin(g(x))).sum())(x) for g in slopes]
    close(*curved, 1e-11)


# -- errors -----------------------------------------------------------------------------------------------------------

SINGULAR = [[0.0, 1.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda T: linalg.sqrtm(T(-np.eye(2))), jt.LinAlgError, r"sqrtm\(\).*eigenvalue that is 0 or negative.*jt.complex128"),
        (lambda T: linalg.sqrtm(T(SINGULAR)), jt.LinAlgError, "no principal square root"),
        (lambda T: linalg.sqrtm(T([[np.nan]])), jt.LinAlgError, "NaN or infinite"),
        (lambda T: linalg.sqrtm(T(np.ones((2, 3)))), jt.ShapeError, r"x must be square matrices.*\(2, 3\)"),
        (lambda T: linalg.sqrtm(T([[1, 0], [0, 1]])), jt.DTypeError, r"x is int64 of shape \(2, 2\): convert it first"),
        (
            lambda T: linalg.solve_sylvester(T(np.eye(2)), T(np.eye(2)), T([[1, 2], [3, 4]])),
            jt.DTypeError,
            "q is int64",
        ),
        (lambda T: linalg.logm(T(-np.eye(2))), jt.LinAlgError, "no principal logarithm"),
        (lambda T: linalg.logm(T(SINGULAR)), jt.LinAlgError, "no principal logarithm"),
        (lambda T: linalg.logm(T(np.ones(2))), jt.ShapeError, "square matrices"),
        (lambda T: linalg.expm_frechet(T(np.eye(2)), T(np.eye(3))), jt.ShapeError, r"e must be \(..., 2, 2\)"),
        (lambda T: linalg.solve_sylvester(T(np.eye(2)), T(-np.eye(2)), T(np.ones((2, 2)))), jt.LinAlgError, "no unique solution"),
        (lambda T: linalg.solve_sylvester(T(np.eye(2)), T(np.eye(3)), T(np.eye(2))), jt.ShapeError, r"q must be \(..., 2, 3\)"),
        (lambda T: linalg.solve_sylvester(T(np.ones((2, 3))), T(np.eye(3)), T(np.eye(2))), jt.ShapeError, "a must be square"),
        (lambda T: linalg.solve_triangular(T(SINGULAR), T([1.0, 1.0])), jt.LinAlgError, "a zero on its diagonal"),
        (lambda T: linalg.solve_triangular(T(np.diag([1.0] * 40 + [0.0])), T(np.ones(41))), jt.LinAlgError, "a zero on its diagonal"),
        (lambda T: linalg.solve_triangular(T(np.eye(40)), T(np.ones(39))), jt.ShapeError, r"needs a right side of shape \(40,\)"),
        (lambda T: linalg.solve_triangular(T(np.eye(2)), T([1.0, 1.0]), trans=3), jt.OpError, "trans is 0 or 'N'"),
        (lambda T: linalg.cho_factor(T(-np.eye(2))), jt.LinAlgError, "not positive definite"),
        (lambda T: linalg.cho_solve(T(np.eye(2)), T([1.0, 1.0])), jt.OpError, r"takes the pair that cho_factor\(\) returns.*Tensor"),
        (lambda T: linalg.toeplitz(T(1.0)), jt.ShapeError, r"toeplitz\(\) takes vectors"),
        (lambda T: linalg.circulant(T(1.0)), jt.ShapeError, r"circulant\(\) takes vectors"),
        (lambda T: linalg.khatri_rao(T(np.ones((2, 3))), T(np.ones((2, 2)))), jt.ShapeError, "as many columns"),
        (lambda T: linalg.block_diag(), jt.OpError, "at least one array"),
        (lambda T: supported(lambda: linalg.lu(T([[np.nan]]))), jt.LinAlgError, "holds NaN or infinite numbers"),
        (lambda T: supported(lambda: linalg.lu(T(np.ones((2, 3))))), jt.ShapeError, "square matrices"),
    ],
)  # fmt: skip
def test_errors(call, error, message, T):
    with pytest.raises(error, match=message):
        call(T)


def test_a_complex_root_of_a_real_matrix(close):
    """By Schur's form, which NumPy has: Newton's steps do not find it."""
    x = jt.tensor([[-1.0, 0.5], [0.0, -4.0]], "complex128", "numpy")
    y = linalg.sqrtm(x)
    close(y @ y, x, 1e-13)
    close(jt.linalg.diagonal(y), [1j, 2j])


@pytest.mark.filterwarnings("default")  # SciPy warns, and then it depends on the filters
@pytest.mark.parametrize("function", [linalg.sqrtm, linalg.logm])
def test_a_singular_matrix_is_refused_whatever_warnings_do(function, T):
    with pytest.raises(jt.LinAlgError, match="an eigenvalue that is 0 or negative"):
        function(T(np.diag([4.0, 0.0])))


def test_logarithms_near_the_negative_axis():
    """Of a rotation by an angle near pi, and at the cut itself; Newton's steps had 5 digits."""
    for angle in (np.pi - 1e-2, np.pi - 1e-6):
        c, s = np.cos(angle), np.sin(angle)
        y = linalg.logm(jt.tensor([[c, -s], [s, c]], device="numpy")).numpy()
        np.testing.assert_allclose(y, [[0.0, -angle], [angle, 0.0]], atol=1e-13)
    y = linalg.logm(jt.tensor([[-1.0, 0.0], [0.0, 2.0]], "complex128", "numpy")).numpy()
    np.testing.assert_allclose(y, np.diag([1j * np.pi, np.log(2.0)]), atol=1e-13)


def test_block_diag_of_numbers(T, close):
    close(linalg.block_diag(1.0, 2), [[1.0, 0.0], [0.0, 2.0]])
    close(linalg.block_diag(T([[1]]), 2.5), [[1.0, 0.0], [0.0, 2.5]])  # which an integer's dtype would cut to 2
    assert linalg.block_diag(T([[1.0]], "float32"), 2.5).dtype == jt.float32
