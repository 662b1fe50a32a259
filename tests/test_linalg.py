"""Linear algebra: PyTorch's derivatives (tests/data says how the numbers were made), what is singular or degenerate, einsum, errors."""

from __future__ import annotations

import inspect
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

import jitrench_core as jt
from jitrench_core.testing import check_op

REFERENCE = json.loads(Path(__file__).with_name("data").joinpath("linalg_reference.json").read_text(encoding="utf-8"))


# -- PyTorch's numbers ------------------------------------------------------------------------------------------------


def levels(x):
    return jt.arange(1, x.shape[-1] + 1, dtype="float64", device=x.device)


def adjoint(x):
    return jt.matrix_transpose(jt.conj(x))


def svd_product(x):
    u, _, vh = jt.linalg.svd(x, full_matrices=False)
    return (u * levels(u)) @ vh


def svd_sizes(x):
    u, s, _ = jt.linalg.svd(x, full_matrices=False)
    return jt.square(jt.abs(u)) * s[..., None, :]


def symmetrised(x):
    return (x + adjoint(x)) / 2


def eigh_product(x):
    _, v = jt.linalg.eigh(symmetrised(x))
    return (v * levels(v)) @ adjoint(v)


def eig_sum(x):
    w, v = jt.linalg.eig(x)
    sizes = jt.square(jt.abs(v)).mT
    return (w * w * (levels(sizes) * sizes).sum(axis=-1)).sum(axis=-1)


def eigvals_sum(x):
    w = jt.linalg.eigvals(x)
    return (w * w).sum(axis=-1)


def norm(ord):
    return lambda x: jt.linalg.matrix_norm(x, ord=ord)


FUNCTIONS = {
    "sign": lambda x: jt.linalg.slogdet(x).sign,
    "logabsdet": lambda x: jt.linalg.slogdet(x).logabsdet,
    "lower_solve": jt.linalg.solve_triangular,
    "upper_solve": lambda x, b: jt.linalg.solve_triangular(x, b, upper=True, unit_diagonal=True),
    "cholesky_upper": lambda x: jt.linalg.cholesky(x, upper=True),
    "qr_q": lambda x: jt.linalg.qr(x).Q,
    "qr_r": lambda x: jt.linalg.qr(x).R,
    "qr_complete_q": lambda x: jt.linalg.qr(x, mode="complete").Q,
    "eigvalsh": lambda x: jt.linalg.eigvalsh(symmetrised(x)),
    "eigh_values": lambda x: jt.linalg.eigh(symmetrised(x)).eigenvalues,
    "eigh_product": eigh_product,
    "eigvals_sum": eigvals_sum,
    "eig_sum": eig_sum,
    "svd_values": lambda x: jt.linalg.svd(x, full_matrices=False).S,
    "svd_product": svd_product,
    "svd_sizes": svd_sizes,
    "norm_fro": norm("fro"),
    "norm_nuc": norm("nuc"),
    "norm_1": norm(1),
    "norm_-1": norm(-1),
    "norm_2": norm(2),
    "norm_-2": norm(-2),
    "norm_inf": norm(math.inf),
    "norm_-inf": norm(-math.inf),
    "power_3": lambda x: jt.linalg.matrix_power(x, 3),
    "power_-2": lambda x: jt.linalg.matrix_power(x, -2),
    "exp": jt.linalg.matrix_exp,
}


def numbers(data, complex):
    a = np.array(data)
    return a[..., 0] + 1j * a[..., 1] if complex else a


def weights(shape, complex):
    w = np.arange(1.0, math.prod(shape) + 1).reshape(shape)
    return w * (1 - 0.5j) if complex else w


def name_of(case):
    shape = np.array(case["arrays"][0]).shape[:2]
    return f"{case['function']}-{'complex' if case['complex'] else 'real'}-{shape[0]}x{shape[1]}"


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=name_of)
def test_as_pytorch(case, T):
    f = FUNCTIONS.get(case["function"]) or getattr(jt.linalg, case["function"])
    xs = [T(numbers(a, case["complex"])) for a in case["arrays"]]
    y = f(*xs)
    expected = numbers(case["value"], y.dtype.kind == "c")
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-10, atol=1e-12)
    w = T(weights(y.shape, y.dtype.kind == "c"))
    every = tuple(range(len(xs)))
    gradient = jt.grad(lambda *a: jt.real((w * f(*a)).sum()), argnums=every)
    found = gradient(*xs)
    for g, e in zip(found, case["gradients"], strict=True):
        np.testing.assert_allclose(g.numpy(), numbers(e, case["complex"]), rtol=1e-9, atol=1e-10)
    if None in case["products"]:
        return  # not finite in PyTorch, or wrong
    directions = [T(np.cos(weights(x.shape, False)) * (1 - 0.5j if case["complex"] else 1)) for x in xs]

    def along(*a):
        return sum(jt.real((d * g).sum()) for d, g in zip(directions, gradient(*a), strict=True))

    for g, e in zip(jt.grad(along, argnums=every)(*xs), case["products"], strict=True):
        np.testing.assert_allclose(g.numpy(), numbers(e, case["complex"]), rtol=1e-8, atol=1e-8)


# -- complex vectors, whose phase is free: a function that fixes it, through the whole battery --------------------------


def _fixed(v):
    """Each column turned so that its first element is real and positive."""
    return v * jt.conj(jt.sign(v[..., :1, :]))


@jt.op(composite=True, samples=lambda rng: ((hermitian(rng),), {}))
def eigh_of_fixed_phase(x, /):
    """Eigenvalues and eigenvectors."""
    w, v = jt.linalg.eigh(x)
    return w, _fixed(v)


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=(2, 3, 3)) + 1j * rng.normal(size=(2, 3, 3)),), {}))
def eig_of_fixed_phase(x, /):
    """Eigenvalues and eigenvectors."""
    w, v = jt.linalg.eig(x)
    return w, _fixed(v)


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=(4, 3)) + 1j * rng.normal(size=(4, 3)),), {}))
def svd_of_fixed_phase(x, /):
    """U, S and V^H."""
    u, s, vh = jt.linalg.svd(x, full_matrices=False)
    phase = jt.sign(u[..., :1, :])
    return u * jt.conj(phase), s, vh * phase.mT


def hermitian(rng):
    a = rng.normal(size=(2, 3, 3)) + 1j * rng.normal(size=(2, 3, 3))
    return a + np.conj(a.mT) + np.diag([0.0, 3.0, 8.0])


@pytest.mark.parametrize("function", [eigh_of_fixed_phase, eig_of_fixed_phase, svd_of_fixed_phase])
def test_complex_vectors(function, backend):
    wide = ((np.random.default_rng(5).normal(size=(2, 4)) * (1 + 2j) + 0.5j * np.eye(2, 4),), {})
    check_op(function, backend, cases=[wide] if function is svd_of_fixed_phase else [])


# -- singular and degenerate matrices ---------------------------------------------------------------------------------


def leibniz(x):
    """The determinant of a 3x3 matrix, as a polynomial."""
    a, b, c = ([x[i, j] for j in range(3)] for i in range(3))
    return a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])


def along(f, direction):
    """The derivative of a real function f in a direction, as a function."""
    return lambda x: jt.real((direction * jt.grad(f)(x)).sum())


@pytest.mark.parametrize("complex", [False, True])
@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_det_is_a_polynomial(rank, complex, T, close):
    """Two derivatives everywhere, all of them where the matrix is regular, and no wrong one where it is singular."""
    rng = np.random.default_rng(rank)

    def draw(*shape):
        return rng.normal(size=shape) + (1j * rng.normal(size=shape) if complex else 0)

    x, t = T(draw(3, rank) @ draw(rank, 3)), T(draw(3, 3))
    pairs = [(lambda x: jt.real(jt.linalg.det(x)), lambda x: jt.real(leibniz(x)))]
    for order in range(1, 5):
        f, polynomial = pairs[-1]
        found = jt.grad(f)(x)
        if rank == 3 or order < 3:
            close(found, jt.grad(polynomial)(x), 1e-10)
        else:
            assert np.isnan(found.numpy()).any()
            break
        pairs.append((along(f, t), along(polynomial, t)))


def test_det_where_singular_values_are_equal(T, close):
    third = jt.jacobian(jt.hessian(lambda d: jt.linalg.det(jt.diag(d))))(T([1.0, 1.0, 1.0]))
    close(third, [[[float(len({i, j, k}) == 3) for k in range(3)] for j in range(3)] for i in range(3)])


@pytest.mark.filterwarnings("ignore:(divide by zero|invalid value) encountered:RuntimeWarning")
def test_values_of_the_identity_have_finite_derivatives(T, close):
    t = T([[1.0, 2.0], [2.0, -1.0]])
    for f in (jt.linalg.eigvalsh, lambda x: jt.linalg.eigh(x).eigenvalues, jt.linalg.svdvals):
        g = jt.grad(lambda x, f=f: f(x).sum())(T(np.eye(2)))
        close(g, np.eye(2))
        assert np.isfinite(jt.jvp(f, (T(np.eye(2)),), (t,))[1].numpy()).all()
    g = jt.grad(lambda x: jt.linalg.svd(x, full_matrices=False).S.sum())(T(np.eye(2)))
    close(g, np.eye(2))


@pytest.mark.filterwarnings("ignore:(divide by zero|invalid value) encountered:RuntimeWarning")
def test_vectors_of_the_identity_have_none(T):
    """Not finite, as in PyTorch, rather than wrong."""
    w = T([[1.0, 2.0], [3.0, 4.0]])
    g = jt.grad(lambda x: (jt.linalg.eigh(x).eigenvectors * w).sum())(T(np.eye(2)))
    assert not np.isfinite(g.numpy()).all()
    dv = jt.jvp(lambda x: jt.linalg.eigh(x).eigenvectors, (T(np.eye(2)),), (w,))[1]
    assert not np.isfinite(dv.numpy()).all()
    g = jt.grad(lambda x: (jt.linalg.svd(x, full_matrices=False).U * w).sum())(T(np.eye(2)))
    assert not np.isfinite(g.numpy()).all()


def test_no_derivative(T):
    x = T(np.arange(6.0).reshape(3, 2) ** 2)
    with pytest.raises(
        jt.GradientError, match=r"svd\(full_matrices=True\) of shape \(3, 2\) has no derivative.*full_matrices=False"
    ):
        jt.grad(lambda x: jt.linalg.svd(x).S.sum())(x)
    with pytest.raises(jt.GradientError, match=r"svd\(full_matrices=True\) of shape \(3, 2\) has no derivative"):
        jt.jvp(lambda x: jt.linalg.svd(x).S, (x,), (x,))
    with pytest.raises(
        jt.GradientError, match=r"qr\(mode='complete'\) of shape \(3, 2\) has no derivative.*mode='reduced'"
    ):
        jt.grad(lambda x: jt.linalg.qr(x, mode="complete").R.sum())(x)
    assert not jt.linalg.matrix_rank(T(np.eye(2), requires_grad=True)).requires_grad


def test_slogdet_of_a_singular_matrix(T):
    sign, logabsdet = jt.linalg.slogdet(T(np.ones((2, 2))))
    assert (sign.item(), logabsdet.item()) == (0.0, -math.inf)


@pytest.mark.parametrize("complex", [False, True])
def test_a_singular_matrix_leaves_the_others_alone(complex, T, close):
    """To the second order, in both modes, and masked."""
    one = np.array([[2.0, 1j if complex else 1.0], [0.0, 4.0]])
    x = T(np.stack([one, np.ones((2, 2)), 2 * one]))

    def f(x):
        return jt.linalg.slogdet(x).logabsdet

    def masked(x):
        sign, y = jt.linalg.slogdet(x)
        return jt.where(sign != 0, y, 0.0).sum()

    g = jt.grad(lambda x: f(x).sum())(x).numpy()
    expected = np.conj(np.linalg.inv(x.numpy()[::2]).mT)
    np.testing.assert_allclose(g[::2], expected)
    assert np.isnan(g[1]).all()
    np.testing.assert_allclose(jt.vmap(jt.grad(f))(x).numpy()[::2], expected)
    close(jt.grad(masked)(x), [expected[0], np.zeros((2, 2)), expected[1]])
    slope = jt.jvp(f, (x,), (x,))[1].numpy()
    np.testing.assert_allclose(slope, [2.0, math.nan, 2.0])
    second = jt.jvp(jt.grad(masked), (x,), (x,))[1]
    close(second, [-expected[0], np.zeros((2, 2)), -expected[1]])


# -- what the battery's samples do not show -----------------------------------------------------------------------------


def test_rounding_is_not_asymmetry(T, close):
    """Values are those of the mean of both triangles; so are central differences, element by element."""
    a = np.array([[4.0, 1.0], [1.0 + 1e-5, 3.0]])
    mean = (a + a.T) / 2
    close(jt.linalg.cholesky(T(a)), np.linalg.cholesky(mean))
    close(jt.linalg.eigvalsh(T(a)), np.linalg.eigvalsh(mean))
    close(jt.linalg.eigh(T(a.astype("float32"))).eigenvalues, np.linalg.eigvalsh(mean), 1e-6)
    jt.check_grads(jt.linalg.cholesky, T(a))
    close(jt.linalg.eigvalsh(T(np.zeros((2, 0, 0)))), np.zeros((2, 0)))


def test_one_triangle_written_out(T, close):
    """Has NumPy's value, and the gradient of a function of that triangle."""
    stored = np.array([[4.0, 0.0], [2.0, 5.0]])

    def f(x):
        return jt.linalg.cholesky(jt.tril(x) + jt.tril(x, k=-1).mT)

    close(f(T(stored)), np.linalg.cholesky(stored))
    jt.check_grads(f, T(stored))


def test_results_have_names(T):
    x = T(np.diag([2.0, 1.0]))
    assert jt.linalg.eigh(x)._fields == jt.linalg.eig(x)._fields == ("eigenvalues", "eigenvectors")
    assert jt.linalg.qr(x)._fields == ("Q", "R")
    assert jt.linalg.slogdet(x)._fields == ("sign", "logabsdet")
    assert jt.linalg.svd(x)._fields == ("U", "S", "Vh")
    batch = jt.vmap(jt.linalg.eigh)(T(np.stack([np.eye(2)] * 3)))
    assert batch.eigenvalues.shape == (3, 2)


SIGNATURES = {  # of the standard, version 2025.12
    "cholesky": ("x", {"upper": False}),
    "cross": ("x1, x2", {"axis": -1}),
    "diagonal": ("x", {"offset": 0}),
    "eig": ("x", {}),
    "eigh": ("x", {}),
    "matrix_norm": ("x", {"keepdims": False, "ord": "fro"}),
    "matrix_power": ("x, n", {}),
    "matrix_rank": ("x", {"rtol": None}),
    "pinv": ("x", {"rtol": None}),
    "qr": ("x", {"mode": "reduced"}),
    "slogdet": ("x", {}),
    "svd": ("x", {"full_matrices": True}),
    "tensordot": ("x1, x2", {"axes": 2}),
    "trace": ("x", {"offset": 0, "dtype": None}),
    "vecdot": ("x1, x2", {"axis": -1}),
    "vector_norm": ("x", {"axis": None, "keepdims": False, "ord": 2}),
    **{n: ("x", {}) for n in ("det", "eigvals", "eigvalsh", "inv", "matrix_transpose", "svdvals")},
    **{n: ("x1, x2", {}) for n in ("matmul", "outer", "solve")},
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_standards_signatures(name):
    function = getattr(jt.linalg, name)
    arrays, attrs = SIGNATURES[name]
    if hasattr(function, "op"):
        assert (function.op.arrays, function.op.attrs) == (tuple(arrays.split(", ")), attrs)
    else:
        parameters = inspect.signature(function).parameters.values()
        assert ", ".join(p.name for p in parameters if p.kind is p.POSITIONAL_ONLY) == arrays
        assert {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY} == attrs
    assert name in jt.linalg.__all__


def test_a_batch_of_vectors_is_one_factorization(T, close):
    a, b = np.array([[2.0, 1.0], [0.0, 4.0]]), np.arange(6.0).reshape(3, 2)
    found = jt.vmap(jt.linalg.solve, in_axes=(None, 0))(T(a), T(b))
    close(found, np.linalg.solve(a, b.T).T)
    close(
        jt.vmap(jt.linalg.solve, in_axes=(0, None))(T(np.stack([a, 2 * a])), T(b[1])),
        np.stack([np.linalg.solve(k * a, b[1]) for k in (1, 2)]),
    )


def test_least_squares(T, close):
    rng = np.random.default_rng(3)
    for shape in ((5, 3), (3, 5), (4, 4)):
        a, b = rng.normal(size=shape), rng.normal(size=shape[0])
        close(jt.linalg.lstsq(T(a), T(b)), np.linalg.lstsq(a, b, rcond=None)[0], 1e-10)
    one = np.ones((2, 2))  # of rank 1: the shortest of many
    close(jt.linalg.lstsq(T(one), T([2.0, 2.0])), [1.0, 1.0])


def test_norms_keep_dimensions(T, close):
    x = np.arange(12.0).reshape(2, 3, 2) - 5
    for ord in ("fro", "nuc", 2, 1, -math.inf):
        close(jt.linalg.matrix_norm(T(x), ord=ord, keepdims=True), np.linalg.norm(x, ord, (-2, -1), keepdims=True))


def test_norms_of_nothing(T):
    for shape in ((0, 2), (2, 0), (0, 0)):
        for ord in ("fro", "nuc", 1, 2, math.inf):
            assert jt.linalg.matrix_norm(T(np.zeros(shape)), ord=ord).item() == 0.0


def test_tolerances(T):
    x = np.diag([4.0, 1.0, 0.25])
    assert jt.linalg.matrix_rank(T(x), rtol=0.1).item() == 2
    assert jt.linalg.matrix_rank(T(np.stack([x, x])), rtol=T([0.1, 0.5])).tolist() == [2, 1]
    assert jt.linalg.pinv(T(x), rtol=0.1)[2, 2].item() == 0.0


def test_exponential_of_large_and_strange_matrices(T, close):
    close(jt.linalg.matrix_exp(T(np.diag([100.0, -100.0]))), np.diag(np.exp([100.0, -100.0])))
    y = jt.linalg.matrix_exp(T([[0.0, 1e6], [0.0, 0.0]]))
    close(y, [[1.0, 1e6], [0.0, 1.0]], 1e-10)  # 18 squarings, more than it needs
    turn = jt.linalg.matrix_exp(T([[0.0, -math.pi], [math.pi, 0.0]]))
    close(turn, -np.eye(2), 1e-14)


def test_small_integers_stay_small(T):
    a = T([[1, 2], [3, 4]], "int8")
    for y in (
        jt.einsum("ij->i", a),
        jt.einsum("ij,ij", a, a),
        jt.vecdot(a, a),
        jt.tensordot(a, a, axes=1),
        jt.outer(a[0], a[0]),
    ):
        assert y.dtype == "int8"
    assert jt.trace(a).dtype == "int64"
    assert jt.linalg.matrix_power(a, 3).tolist() == [[37, 54], [81, 118]]
    assert jt.linalg.matrix_power(a, 3).dtype == "int8"


def test_booleans_stay_booleans():
    """A sum of them is whether one is true, by every way of contracting, as in NumPy; the standard has no such products."""
    a = np.array([[True, True], [False, False]])
    for y, expected in (
        (jt.einsum("ij->i", a), np.einsum("ij->i", a)),
        (jt.einsum("ij,j->", a, a[0]), np.einsum("ij,j->", a, a[0])),
        (jt.vecdot(a, a), np.vecdot(a, a)),
    ):
        assert y.dtype == "bool"
        assert y.tolist() == expected.tolist()


def test_vecdot_conjugates_and_dot_does_not(T):
    i = T([1j, 2.0])
    assert (jt.vecdot(i, i).item(), jt.dot(i, i).item()) == (5 + 0j, 3 + 0j)


def test_cross(T, close):
    close(jt.cross(T([1.0, 0.0, 0.0]), T([0.0, 1.0, 0.0])), [0.0, 0.0, 1.0])


# -- einsum ---------------------------------------------------------------------------------------------------------------


def test_einsum_result_is_its_own(T):
    x = T([[1.0, 2.0]])
    y = jt.einsum("ij->ij", x)
    y += 1.0
    assert x.tolist() == [[1.0, 2.0]]


def test_einsum_contracts_in_a_good_order(monkeypatch):
    """A vector at the end makes every product a matrix times a vector."""
    from jitrench_core.ops import linalg

    monkeypatch.setitem(sys.modules, "opt_einsum", None)
    linalg._plan.cache_clear()
    sizes = []
    jt.matmul(np.eye(2), np.eye(2))  # the first call links the kernel that is replaced here
    real = linalg.matmul.op.kernels[np.ndarray]
    matrices = [np.ones((50, 50)) for _ in range(3)]
    monkeypatch.setitem(
        linalg.matmul.op.kernels, np.ndarray, lambda a, b: sizes.append(a.size * b.shape[-1]) or real(a, b)
    )
    y = jt.einsum("ij,jk,kl,l->i", *matrices, np.ones(50))
    assert y[0].item() == 50.0**3
    assert sizes == [2500] * 3


def test_einsum_asks_opt_einsum(monkeypatch):
    from jitrench_core.ops import linalg

    asked = []

    class Stub:
        @staticmethod
        def get_symbol(i):
            return "abcdefg"[i]

        @staticmethod
        def contract_path(equation, *shapes, shapes_only=None, **options):
            asked.append((equation, *shapes))
            assert options == {"shapes": True}
            return [(0, 2), (0, 1)], None

    monkeypatch.setitem(sys.modules, "opt_einsum", Stub)
    linalg._plan.cache_clear()
    a, b, c = (np.random.default_rng(i).normal(size=(2, 2)) for i in range(3))
    np.testing.assert_allclose(jt.einsum("xy,yz,zx->x", a, b, c).numpy(), np.einsum("xy,yz,zx->x", a, b, c))
    assert asked == [("ab,bc,ca->a", (2, 2), (2, 2), (2, 2))]
    linalg._plan.cache_clear()


def test_einsum_by_the_real_opt_einsum(monkeypatch):
    """A chain whose cheap order is from the right: its path is asked for and followed."""
    import opt_einsum

    from jitrench_core.ops import linalg

    linalg._plan.cache_clear()
    paths = []
    real = opt_einsum.contract_path
    monkeypatch.setattr(opt_einsum, "contract_path", lambda *a, **k: paths.append(real(*a, **k)) or paths[-1])
    arrays = [np.random.default_rng(i).normal(size=s) for i, s in enumerate([(4, 5), (5, 6), (6, 7), (7,)])]
    y, slope = jt.value_and_grad(lambda a, *rest: jt.sum(jt.einsum("ij,jk,kl,l->i", a, *rest) ** 2))(*arrays)
    expected = np.einsum("ij,jk,kl,l->i", *arrays)
    np.testing.assert_allclose(y.numpy(), np.sum(expected**2))
    rest = np.einsum("jk,kl,l->j", *arrays[1:])
    np.testing.assert_allclose(slope.numpy(), 2 * expected[:, None] * rest, rtol=1e-12)
    assert len(paths) == 1
    linalg._plan.cache_clear()


X = np.ones((2, 3))
MALFORMED = {
    "a character": (("i-j", X), jt.OpError, r"einsum\('i-j'\): 'i-j' is no list of axes: write letters"),
    "two arrows": (("ij->i->j", X), jt.OpError, r"'i->j' is no list of axes"),
    "too few letters": (("i", X), jt.ShapeError, r"'i' names 1 axes, its operand has shape \(2, 3\); write \.\.\."),
    "too many letters": (("ijk", X), jt.ShapeError, r"'ijk' names 3 axes, its operand has shape \(2, 3\)"),
    "too many beside an ellipsis": (("i...jk", X), jt.ShapeError, r"names 3 axes, its operand has shape \(2, 3\)"),
    "lengths": (
        ("ij,jk", X, X),
        jt.ShapeError,
        r"axis 'j' has lengths \[2, 3\]; the shapes are \(\(2, 3\), \(2, 3\)\)",
    ),
    "a diagonal": (("ii", X), jt.ShapeError, r"axis 'i' has lengths \[2, 3\]"),
    "an ellipsis": (
        ("...i,...i", X, np.ones((3, 3))),
        jt.ShapeError,
        r"an axis under the ellipsis has lengths \[2, 3\]",
    ),
    "unknown output": (
        ("ij->ik", X),
        jt.OpError,
        r"the output 'ik' names 'k' which no operand has; .*shapes \(\(2, 3\),\)",
    ),
    "output twice": (("ij->ii", X), jt.OpError, r"the output 'ii' names 'i' twice"),
    "lost ellipsis": (("...j->j", X), jt.OpError, r"the output 'j' lacks the \.\.\. of the operands"),
    "number of operands": (
        ("ij", X, X),
        jt.OpError,
        r"describes 1 operand\(s\); 2 came, of shapes \(\(2, 3\), \(2, 3\)\)",
    ),
    "order of arguments": ((X, "ij"), jt.OpError, r"takes the equation first, .*got ndarray"),
    "no operand": (("i",), jt.OpError, r"einsum\(\) needs at least one array"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_einsum_malformed(name):
    arguments, error, message = MALFORMED[name]
    with pytest.raises(error, match=message):
        jt.einsum(*arguments)


# -- errors ---------------------------------------------------------------------------------------------------------------

ONES = np.ones((2, 2))
BATCH = np.stack([np.eye(2), ONES, np.eye(2)])
NEGATIVE = np.stack([[np.eye(2), np.diag([1.0, -1.0])]])
NAN = np.array([[1.0, math.nan], [0.0, 1.0]])
LA = jt.linalg
ERRORS = {
    "inv": (lambda t: LA.inv(t(ONES)), jt.LinAlgError, r"inv\(\): the matrix of shape \(2, 2\) is singular"),
    "inv of a batch": (lambda t: LA.inv(t(BATCH)), jt.LinAlgError, r"matrix \[1\] of the batch of shape \(3, 2, 2\) is singular"),
    "inv in vmap": (lambda t: jt.vmap(LA.inv)(t(BATCH)), jt.LinAlgError, r"matrix \[1\] of the batch"),
    "inv of a row": (lambda t: LA.inv(t(X)), jt.ShapeError, r"inv\(\) takes square matrices; got shape \(2, 3\)"),
    "inv of a vector": (lambda t: LA.inv(t(X[0])), jt.ShapeError, r"takes matrices, of at least 2 dimensions; got shape \(3,\)"),
    "inv of vectors in vmap": (lambda t: jt.vmap(LA.inv)(t(ONES)), jt.ShapeError, r"got shape \(2,\) in a batch"),
    "inv of integers": (lambda t: LA.inv(t([[1, 2], [3, 4]])), jt.DTypeError, r"inv\(\) takes floating-point numbers; got int64 of shape \(2, 2\)"),
    "solve": (lambda t: LA.solve(t(BATCH), t([1.0, 2.0])), jt.LinAlgError, r"solve\(\): matrix \[1\] of the batch of shape \(3, 2, 2\) is singular.*lstsq"),
    "solve, lengths": (lambda t: LA.solve(t(ONES), t([1.0, 2.0, 3.0])), jt.ShapeError, r"solve\(\): x1 of shape \(2, 2\) needs a right side of shape \(2,\) or \(\.\.\., 2, K\); got \(3,\)"),
    "solve, vectors": (lambda t: LA.solve(t(BATCH), t(np.ones((3, 2)))), jt.ShapeError, r"got \(3, 2\)\. A stack of vectors is given as columns: x2\[\.\.\., None\]"),
    "solve, batches": (lambda t: LA.solve(t(BATCH), t(np.ones((4, 2, 1)))), jt.ShapeError, r"the leading axes of \(3, 2, 2\) and \(4, 2, 1\) do not broadcast"),
    "solve, integers": (lambda t: LA.solve(t(ONES), t([1, 2])), jt.DTypeError, r"solve\(\) takes floating-point numbers; got int64 of shape \(2,\)"),
    "solve, a number": (lambda t: LA.solve(t(ONES), 3.0), jt.ShapeError, r"solve\(\) takes arrays of 1 dimension or more; got the number 3\.0"),
    "matrix_power, integers inverted": (lambda t: LA.matrix_power(t([[1, 2], [3, 4]]), -1), jt.DTypeError, r"inv\(\) takes floating-point numbers; got int64"),
    "solve_triangular": (lambda t: LA.solve_triangular(t(np.diag([1.0, 0.0])), t([1.0, 2.0])), jt.LinAlgError, r"solve_triangular\(\): the matrix of shape \(2, 2\) has a zero on its diagonal"),
    "cholesky": (lambda t: LA.cholesky(t(NEGATIVE)), jt.LinAlgError, r"cholesky\(\): matrix \[0, 1\] of the batch of shape \(1, 2, 2, 2\) is not positive definite"),
    "cholesky of a triangle": (lambda t: LA.cholesky(t(np.tril(ONES + np.eye(2)))), jt.LinAlgError, r"cholesky\(\): the matrix of shape \(2, 2\) is not Hermitian: element \[0, 1\] is 0, \[1, 0\] is 1\. .*NumPy reads.*: jt\.tril\(x\) \+ jt\.tril\(x, k=-1\)\.mT; else take"),
    "eigh of one that is not": (lambda t: LA.eigh(t(np.stack([ONES, [[1.0, 0.2], [0.0, 1.0]]]))), jt.LinAlgError, r"eigh\(\): matrix \[1\] of the batch of shape \(2, 2, 2\) is not Hermitian: element \[0, 1\] is 0\.2, \[1, 0\] is 0"),
    "eigvalsh in vmap": (lambda t: jt.vmap(LA.eigvalsh)(t([[[1.0, 1j], [1j, 1.0]]])), jt.LinAlgError, r"matrix \[0\] of the batch .* \[0, 1\] is 0\+1j, \[1, 0\] is 0\+1j.*jt\.conj\(jt\.tril"),
    "eigvalsh, diagonal": (lambda t: LA.eigvalsh(t([[1j]])), jt.LinAlgError, r"not Hermitian: element \[0, 0\] is 0\+1j"),
    "cholesky of integers": (lambda t: LA.cholesky(t([[1]])), jt.DTypeError, r"cholesky\(\) takes floating-point"),
    "svd of NaN": (lambda t: LA.svd(t(NAN)), jt.LinAlgError, r"svd\(\): the matrix of shape \(2, 2\) holds NaN or infinite elements"),
    "eig of infinity": (lambda t: LA.eig(t([[math.inf]])), jt.LinAlgError, r"eig\(\): the matrix of shape \(1, 1\) holds NaN or infinite"),
    "det of a row": (lambda t: LA.det(t(X)), jt.ShapeError, r"det\(\) takes square matrices; got shape \(2, 3\)"),
    "eigh of a row": (lambda t: LA.eigh(t(X)), jt.ShapeError, r"eigh\(\) takes square matrices; got shape \(2, 3\)"),
    "qr of a vector": (lambda t: LA.qr(t(X[0])), jt.ShapeError, r"qr\(\) takes matrices, of at least 2 dimensions"),
    "qr, mode": (lambda t: LA.qr(t(X), mode="raw"), jt.OpError, r"mode must be 'reduced' or 'complete', got 'raw'"),
    "lstsq": (lambda t: LA.lstsq(t(X), t(X.T)), jt.ShapeError, r"lstsq\(\): x1 of shape \(2, 3\) needs a right side of shape \(2,\) or \(\.\.\., 2, K\); got \(3, 2\)"),
    "matrix_power": (lambda t: LA.matrix_power(t(ONES), 0.5), jt.OpError, r"n must be an integer, got 0\.5"),
    "matrix_power of a row": (lambda t: LA.matrix_power(t(X), 2), jt.ShapeError, r"matrix_power\(\) takes square matrices"),
    "matrix_norm, ord": (lambda t: LA.matrix_norm(t(X), ord=3), jt.OpError, r"ord must be 'fro', 'nuc', .*got 3"),
    "matrix_norm of integers": (lambda t: LA.matrix_norm(t([[1]])), jt.DTypeError, r"matrix_norm\(\) takes floating-point"),
    "outer": (lambda t: jt.outer(t(X), t(X)), jt.ShapeError, r"outer\(\) takes two vectors, got shapes \(2, 3\) and \(2, 3\)"),
    "cross": (lambda t: jt.cross(t(X[:, :2]), t(X)), jt.ShapeError, r"cross\(\): shapes \(2, 2\) and \(2, 3\) need axis -1, counted from the end, of length 3"),
    "cross in vmap": (lambda t: jt.vmap(jt.cross, in_axes=(0, None))(t(X), t(X[:, :2])), jt.ShapeError, r"cross\(\): shapes \(3,\) and \(2, 2\) need axis -1"),
    "cross, other axes": (lambda t: jt.cross(t(X), t(np.ones((3, 3)))), jt.ShapeError, r"cross\(\): shapes \(2, 3\) and \(3, 3\) do not broadcast"),
    "vecdot": (lambda t: jt.vecdot(t(X), t(X.T)), jt.ShapeError, r"vecdot\(\): shapes \(2, 3\) and \(3, 2\) need axis -1"),
    "tensordot": (lambda t: jt.tensordot(t(X), t(X), axes=1), jt.ShapeError, r"axes \(1,\) of shape \(2, 3\) and \(0,\) of shape \(2, 3\) must pair up"),
    "tensordot, too many axes": (lambda t: jt.tensordot(t(X), t(X), axes=3), jt.ShapeError, r"must pair up, with equal lengths"),
    "tensordot, three lists": (lambda t: jt.tensordot(t(X), t(X), axes=((1,), (1,), (0,))), jt.OpError, r"tensordot\(\): axes must be an integer, or the axes of x1 and those of x2; got \(\(1,\), \(1,\), \(0,\)\)"),
    "tensordot, a fraction": (lambda t: jt.tensordot(t(X), t(X), axes=1.0), jt.OpError, r"axes must be an integer.* got 1\.0"),
    "diagonal in vmap": (lambda t: jt.vmap(jt.diagonal)(t(X)), jt.ShapeError, r"diagonal\(\) takes matrices.* shape \(3,\) in a batch"),
    "trace": (lambda t: jt.trace(t(X[0])), jt.ShapeError, r"trace\(\) takes matrices, of at least 2 dimensions; got shape \(3,\)"),
    "dot": (lambda t: jt.dot(t(X), t(X)), jt.ShapeError, r"matmul\(\): shapes \(2, 3\) and \(2, 3\) do not fit"),
    "multi_dot of a number": (lambda t: LA.multi_dot(2.0, t(X)), jt.ShapeError, r"multi_dot\(\) takes matrices.* got shapes \[\(\), \(2, 3\)\]"),
    "diagonal": (lambda t: jt.diagonal(t(X[0])), jt.ShapeError, r"diagonal\(\) takes matrices, of at least 2 dimensions; got shape \(3,\)"),
    "multi_dot": (lambda t: LA.multi_dot([t(X), t(X[0]), t(X)]), jt.ShapeError, r"multi_dot\(\) takes matrices, and vectors as the first and the last"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name, T):
    call, error, message = ERRORS[name]
    with pytest.raises(error, match=message):
        call(T)


def test_a_linalg_error_is_a_value_error():
    assert issubclass(jt.LinAlgError, ValueError)
    assert issubclass(jt.LinAlgError, jt.JITrenchError)
