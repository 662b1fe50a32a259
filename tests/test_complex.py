"""Derivatives of complex numbers: PyTorch's convention, the gradient of a real f points uphill: df/da + i df/db of z = a + ib."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

import jitrench_core as jt

H = 1e-6
_rng = np.random.default_rng(11)
Z = _rng.normal(size=(2, 3)) + 1j * _rng.normal(size=(2, 3))
X = _rng.uniform(0.5, 2.0, size=(2, 3))

HOLOMORPHIC = {
    "exp": jt.exp, "expm1": jt.expm1, "log": jt.log, "log1p": jt.log1p, "log2": jt.log2, "log10": jt.log10,
    "sqrt": jt.sqrt, "rsqrt": jt.rsqrt, "square": jt.square, "reciprocal": jt.reciprocal, "negative": jt.negative,
    "sin": jt.sin, "cos": jt.cos, "tan": jt.tan, "asin": jt.asin, "acos": jt.acos, "atan": jt.atan,
    "sigmoid": jt.sigmoid, "sinh": jt.sinh, "cosh": jt.cosh, "tanh": jt.tanh, "asinh": jt.asinh, "acosh": jt.acosh, "atanh": jt.atanh,
    "a power": lambda z: z**3, "a fraction": lambda z: 1 / (z + 2), "a complex power": lambda z: z ** (1.5 - 0.5j),
    "an exponent": lambda z: (0.3 + 2j) ** z, "a real base": lambda z: 2.0**z, "prod": lambda z: jt.prod(z, axis=1),
    "mean": lambda z: jt.mean(z, axis=0), "matmul": lambda z: z @ z.mT, "indexing": lambda z: z[1:, ::2] * 2j,
}  # fmt: skip
OTHERS = {
    "abs": jt.abs, "conj": jt.conj, "real": jt.real, "imag": jt.imag, "sign": jt.sign,
    "|z|^2": lambda z: jt.real(z * jt.conj(z)), "vector_norm": jt.vector_norm,
    "1-norm": lambda z: jt.vector_norm(z, ord=1), "3-norm": lambda z: jt.vector_norm(z, axis=1, ord=3),
    "inf-norm": lambda z: jt.vector_norm(z, ord=math.inf), "where": lambda z: jt.where(jt.real(z) > 0, z, jt.conj(z)),
    "with a real tensor": lambda z: jt.exp(z * jt.abs(z)) / (jt.abs(z) + 1),
    "setitem": lambda z: _written(z),
}  # fmt: skip


def _written(z: jt.Tensor) -> jt.Tensor:
    y = z * 1.0
    y[0] = jt.conj(z[1]) * 1j
    return y


def pairing(w: np.ndarray, y: np.ndarray) -> float:
    """Re(sum(conj(w) y)): of real numbers the dot product, of complex ones that of their real and imaginary parts."""
    return float(np.sum(np.conj(w) * y).real)


@pytest.mark.parametrize("name", [*HOLOMORPHIC, *OTHERS])
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_reverse_and_forward_agree_with_differences(name, T, close):
    f = {**HOLOMORPHIC, **OTHERS}[name]
    z = T(Z, requires_grad=True)
    y = f(z)
    w = _rng.normal(size=y.shape) + (1j * _rng.normal(size=y.shape) if y.dtype.kind == "c" else 0)
    y.backward(T(w))
    assert z.grad.dtype == jt.complex128
    for direction in (1.0, 1j, 0.6 - 0.8j):
        t = direction * _rng.normal(size=Z.shape)
        change = (f(T(Z + H * t)).numpy() - f(T(Z - H * t)).numpy()) / (2 * H)
        close(pairing(z.grad.numpy(), t), pairing(w, change), 1e-7)
        value, tangent = jt.jvp(f, (T(Z),), (T(t),))
        close(value, y.numpy())
        close(tangent, change, 1e-7)


@pytest.mark.parametrize("name", HOLOMORPHIC)
def test_a_holomorphic_function_has_one_slope(name, T, close):
    f = HOLOMORPHIC[name]
    t = T(_rng.normal(size=Z.shape))
    close(jt.jvp(f, (T(Z),), (t * 1j,))[1], 1j * jt.jvp(f, (T(Z),), (t,))[1].numpy(), 1e-10)


@pytest.mark.parametrize("name", [n for n in (*HOLOMORPHIC, *OTHERS) if n not in ("inf-norm", "conj", "real", "imag")])
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_second_order_agrees_with_differences(name, T, close):
    f = {**HOLOMORPHIC, **OTHERS}[name]

    def slope(z):
        return jt.grad(lambda v: jt.sum(jt.sin(jt.real(f(v) * (1 + 0.5j)))))(z)

    w, t = (_rng.normal(size=Z.shape) + 1j * _rng.normal(size=Z.shape) for _ in range(2))
    found = jt.grad(lambda z: jt.sum(jt.real(slope(z) * T(np.conj(w)))))(T(Z)).numpy()
    change = (slope(T(Z + H * t)).numpy() - slope(T(Z - H * t)).numpy()) / (2 * H)
    close(pairing(found, t), pairing(w, change), 1e-6 * max(1.0, abs(pairing(w, change))))
    close(jt.jvp(slope, (T(Z),), (T(t),))[1], change, 1e-5 * max(1.0, np.max(np.abs(change))))


def test_known_gradients(T, close):
    """f and its gradient df/da + i df/db, from the definition."""
    z = 1.0 + 2.0j
    for f, expected in [
        (lambda z: jt.abs(z) ** 2, 2 * z),
        (jt.abs, z / abs(z)),
        (jt.real, 1),
        (jt.imag, 1j),
        (lambda z: jt.real(z * z), 2 * z.conjugate()),
        (lambda z: jt.imag(z * z), 2j * z.conjugate()),
        (lambda z: jt.real(jt.exp(z)), np.exp(z).conjugate()),
        (lambda z: jt.real(jt.conj(z)), 1),
    ]:
        close(jt.grad(f)(T(z)), np.complex128(expected))


def test_descent_along_the_gradient_finds_the_minimum(T):
    z, target = T([3.0 - 1j, 0.5j], requires_grad=True), T([1.0 + 1j, -2.0])
    for _ in range(100):
        z.zero_grad()
        jt.sum(jt.abs(z - target) ** 2).backward()
        with jt.no_grad():
            z -= 0.2 * z.grad
    np.testing.assert_allclose(z.numpy(), target.numpy(), atol=1e-12)


def test_real_inputs_beside_complex_ones_have_real_gradients(T, close):
    z, x = T(Z, requires_grad=True), T(X, requires_grad=True)
    jt.sum(jt.real(jt.exp(z * x) + z / x + x)).backward()
    assert (z.grad.dtype, x.grad.dtype) == (jt.complex128, jt.float64)
    close(z.grad, np.conj(X * np.exp(Z * X) + 1 / X))
    close(x.grad, (Z * np.exp(Z * X) - Z / X**2 + 1).real)
    _, tangent = jt.jvp(lambda x: x * T(Z), (T(X),), (T(np.ones_like(X)),))
    close(tangent, Z)


def test_astype_to_complex_and_complex64(T, close):
    x = T([1.0, 2.0], "float32", requires_grad=True)
    z = jt.astype(x, jt.complex64) * (1 + 1j)
    jt.sum(jt.abs(z) ** 2).backward()
    assert x.grad.dtype == jt.float32
    close(x.grad, np.array([4.0, 8.0], np.float32), 1e-6)
    c = T([1.0 + 1j], "complex64", requires_grad=True)
    jt.abs(c).sum().backward()
    assert c.grad.dtype == jt.complex64


@pytest.mark.parametrize("f", [jt.abs, jt.sign, lambda z: jt.vector_norm(z, axis=0)])
def test_the_slope_at_zero_is_zero(f, T, close):
    z = T([0j, 0j], requires_grad=True)
    y = f(z)
    jt.sum(jt.real(y)).backward()
    close(z.grad, np.zeros(2, complex))
    close(jt.jvp(f, (T([0j, 0j]),), (T([1.0 + 1j, 1j]),))[1], np.zeros(y.shape, str(y.dtype)))


def test_the_norm_is_smooth_at_a_zero_among_others(T, close):
    """|z| alone has a kink there, sqrt(|z|^2 + 9) has none."""
    z, t = T([0j, 3.0]), T([1.0 + 2j, 0j])
    close(jt.jvp(jt.grad(jt.vector_norm), (z,), (t,))[1], np.array([(1 + 2j) / 3, 0]))
    norm = lambda z: jt.linalg.matrix_norm(jt.reshape(z, (1, 2)))  # noqa: E731
    close(jt.jvp(jt.grad(norm), (z,), (t,))[1], np.array([(1 + 2j) / 3, 0]))


def test_acosh_below_its_cut(T, close):
    """A zero imaginary part has a side; acosh of the conjugate is the conjugate, so the slope is, too."""
    for z in (-2.0, 0.5):
        above, below = (jt.jvp(jt.acosh, (T(complex(z, im)),), (T(1 + 0j),)) for im in (0.0, -0.0))
        for a, b in zip(above, below, strict=True):
            close(b, np.conj(a.numpy()))


def test_sigmoid_far_out(T, close):
    z = np.array([-1000.0 + 1j, 1000.0 - 1j, 1.0 + 2j, -1.0 + 2j, -40.0 + 0j])
    with np.errstate(all="raise", under="ignore"):
        close(jt.sigmoid(T(z)), np.array([0, 1, *(1 / (1 + np.exp(-z[2:])))]))


def test_a_real_result_has_no_complex_weight(T):
    x = T([1.0, 2.0], requires_grad=True)
    with pytest.raises(jt.GradientError, match="gradient of complex128 came for a float64 tensor: it must be real"):
        (x * x).backward(T([1j, 1.0]))


def test_zero_to_a_complex_power(T, close):
    z = T(0j, requires_grad=True)
    jt.real(T(0j) ** (z + 2.0)).backward()
    close(z.grad, np.complex128(0))


def test_transforms_nest_over_complex_numbers(T, close):
    f = lambda z: jt.sum(jt.abs(jt.exp(z) * z) ** 2)  # noqa: E731
    each = np.stack([jt.grad(f)(T(row)).numpy() for row in Z])
    close(jt.vmap(jt.grad(f))(T(Z)), each)
    v = T(Z[0] * 1j)
    _, change = jt.jvp(jt.grad(f), (T(Z[0]),), (v,))
    ends = [jt.grad(f)(T(Z[0] + s * H * v.numpy())).numpy() for s in (1, -1)]
    close(change, (ends[0] - ends[1]) / (2 * H), 1e-5)
    for outer, inner in product((jt.grad,), (jt.abs, jt.imag)):
        second = outer(lambda z, inner=inner: jt.real(jt.grad(lambda w: inner(w * w * w))(z)))(T(1.0 + 2j))
        z = 1.0 + 2j
        # |z^3| has the gradient 3 |z| z; Im z^3 has conj(-3i z^2)... each real part differentiated by hand
        a, b = z.real, z.imag
        r = abs(z)
        expected = complex(3 * r + 3 * a * a / r, 3 * a * b / r) if inner is jt.abs else complex(6 * b, 6 * a)
        close(second, np.complex128(expected))


def test_backward_accumulates_and_create_graph_records(T, close):
    z = T(1.0 + 2j, requires_grad=True)
    y = jt.abs(z) ** 4
    y.backward(create_graph=True)
    g = z.grad
    close(g, np.complex128(4 * 5 * (1 + 2j)))
    z.zero_grad()
    jt.real(g).backward()  # of 4 (a^2 + b^2) a
    close(z.grad, np.complex128(complex(4 * 5 + 8, 8 * 2)))


def test_where_of_two_python_numbers(T):
    condition = T([True, False])
    for x1, x2, dtype in [(1j, 2, "complex128"), (True, False, "bool"), (True, 2, "int64"), (1, 0.5, "float64")]:
        y = jt.where(condition, x1, x2)
        assert (y.dtype, y.tolist()) == (dtype, [x1, x2])


def test_complex_numbers_do_not_fit_into_real_tensors(T):
    x = T([1.0, 2.0])
    with pytest.raises(jt.DTypeError):
        x[0] = T(1j)
    with pytest.raises(jt.DTypeError):
        x.at[0].set(T([1j])[0])
    with pytest.raises(jt.DTypeError, match=r"full\(\) of 1j into float64: it would lose the imaginary part"):
        jt.full_like(x, 1j)
    assert x.tolist() == [1.0, 2.0]
