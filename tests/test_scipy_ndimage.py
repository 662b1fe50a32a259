"""jitrench_scipy.ndimage and .fft: SciPy's values in every mode, transposes that are exact, derivatives, errors."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import scipy.signal

import jitrench_core as jt
from jitrench_scipy import fft, ndimage

MODES = ("reflect", "mirror", "nearest", "wrap", "constant", "grid-mirror", "grid-wrap", "grid-constant")
PLACES = ("reflect", "mirror", "nearest", "constant", "grid-mirror", "grid-wrap", "grid-constant")
X = np.random.default_rng(0).normal(size=(5, 7))


def draw(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


# -- filters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("shape", "origin"),
    [
        ((3, 3), 0),
        ((2, 4), 0),
        ((1, 1), 0),
        ((3, 2), (1, 0)),
        ((3, 4), (-1, 1)),
        ((1, 9), 0),
        ((13, 1), 0),
        ((3, 5), (0, -2)),
    ],
)
def test_correlation_as_scipy(shape, origin, mode, T, close):
    """Odd and even lengths, moved, and wider than x."""
    w = draw(*shape)
    for name in ("correlate", "convolve"):
        ours, theirs = getattr(ndimage, name), getattr(scipy.ndimage, name)
        close(ours(T(X), T(w), mode, 2.0, origin), theirs(X, w, mode=mode, cval=2.0, origin=origin), 1e-13)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("axis", [0, -1])
def test_filters_of_an_axis_as_scipy(axis, mode, T, close):
    x, w = T(X), draw(4)
    given = {"mode": mode, "cval": 1.5}
    close(
        ndimage.correlate1d(x, T(w), axis, **given, origin=1),
        scipy.ndimage.correlate1d(X, w, axis, **given, origin=1),
        1e-13,
    )
    close(
        ndimage.convolve1d(x, T(w), axis, **given, origin=-1),
        scipy.ndimage.convolve1d(X, w, axis, **given, origin=-1),
        1e-13,
    )
    for size in (1, 3, 4):
        close(
            ndimage.uniform_filter1d(x, size, axis, **given),
            scipy.ndimage.uniform_filter1d(X, size, axis, **given),
            1e-13,
        )
    for order in range(4):
        expected = scipy.ndimage.gaussian_filter1d(X, 1.3, axis, order, **given)
        close(ndimage.gaussian_filter1d(x, 1.3, axis, order, **given), expected, 1e-13)
    expected = scipy.ndimage.gaussian_filter1d(X, 1.3, axis, radius=2, **given)
    close(ndimage.gaussian_filter1d(x, 1.3, axis, radius=2, **given), expected, 1e-13)


@pytest.mark.parametrize("mode", MODES)
def test_filters_as_scipy(mode, T, close):
    given = {"mode": mode, "cval": 1.5}
    expected = scipy.ndimage.gaussian_filter(X, (1.0, 2.5), (0, 1), **given)
    close(ndimage.gaussian_filter(T(X), (1.0, 2.5), (0, 1), **given), expected, 1e-13)
    close(ndimage.gaussian_filter(T(X), (0, 0.7), **given), scipy.ndimage.gaussian_filter(X, (0, 0.7), **given), 1e-13)
    expected = scipy.ndimage.uniform_filter(X, (3, 4), origin=(1, 0), **given)
    close(ndimage.uniform_filter(T(X), (3, 4), origin=(1, 0), **given), expected, 1e-13)


@pytest.mark.parametrize("mode", MODES)
def test_adjoints_are_exact(mode, T):
    """<correlate(x), g> = <x, gradient>: the elements beyond the edge send their gradients to those that they repeat."""
    for shape in ((3, 4), (11, 2)):
        w, g = draw(*shape), draw(*X.shape, seed=2)
        y, pull = jt.vjp(lambda x, w=w: ndimage.correlate(x, T(w), mode), T(X))
        (back,) = pull(T(g))
        np.testing.assert_allclose(np.sum(y.numpy() * g), np.sum(X * back.numpy()), rtol=1e-12)


@pytest.mark.parametrize("mode", ["reflect", "mirror", "nearest", "wrap", "constant"])
@pytest.mark.parametrize("f", [ndimage.correlate, ndimage.convolve])
def test_derivatives_of_filters(f, mode, T):
    jt.check_grads(lambda x, w: jt.sin(f(x, w, mode, 0.5, (0, 1))), T(X[:3, :4]), T(draw(2, 3)))


def test_large_weights_go_another_way(T, close):
    """More than 32 weights and places: SciPy's loop or a Fourier transform where there is one; complex numbers, too."""
    x, w = draw(20, 20), draw(7, 6, seed=2)
    for a, b in ((x, w), (x + 1j * x.T, w), (x, w * (1 + 2j))):
        expected = scipy.signal.convolve(a, b[::-1, ::-1], "valid", method="direct")
        close(ndimage.correlate_valid(T(a), T(b)), expected, 1e-12)
    assert ndimage.correlate_valid(T(x, "float32"), T(w, "float32")).dtype == jt.float32
    v = draw(20, 20, seed=3)
    gx, gw = jt.grad(lambda x, w: (T(v) * ndimage.correlate(x, w)).sum(), argnums=(0, 1))(T(x), T(w))
    close((gx * T(x)).sum(), (v * ndimage.correlate(T(x), T(w)).numpy()).sum(), 1e-11)
    close((gw * T(w)).sum(), (gx * T(x)).sum(), 1e-11)


def test_filters_of_other_shapes(T, close):
    assert ndimage.correlate(T(X[:0]), T(np.ones((3, 3)))).shape == (0, 7)
    assert ndimage.gaussian_filter(T(X, "float32"), 1.0).dtype == jt.float32
    close(ndimage.correlate(T(2.0), T(3.0)), 6.0)
    batch = T(np.stack([X, 2 * X]))
    close(jt.vmap(lambda x: ndimage.gaussian_filter(x, 1.0))(batch)[1], ndimage.gaussian_filter(batch[1], 1.0), 1e-14)
    weights = T(draw(2, 3, 3))
    for axes, xs in (((0, 0), batch), ((None, 0), T(X))):
        every = jt.vmap(ndimage.correlate, in_axes=axes)(xs, weights)
        close(every[1], ndimage.correlate(batch[1] if axes[0] == 0 else xs, weights[1]), 1e-13)


# -- interpolation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", PLACES)
@pytest.mark.parametrize("order", [0, 1])
def test_interpolation_as_scipy(order, mode, T, close):
    """Far outside, between elements, and at them."""
    between = np.random.default_rng(0).uniform(-16, 20, size=(2, 4, 50))
    at = np.stack(np.meshgrid(np.arange(-9.0, 15), np.arange(-9.0, 15)))
    for c in (between, at):
        expected = scipy.ndimage.map_coordinates(X, c, order=order, mode=mode, cval=1.5)
        close(ndimage.map_coordinates(T(X), T(c), order, mode, 1.5), expected, 1e-13)
    for n in (1, 2):
        expected = scipy.ndimage.map_coordinates(X[:n], between, order=order, mode=mode, cval=1.5)
        close(ndimage.map_coordinates(T(X[:n]), T(between), order, mode, 1.5), expected, 1e-13)


@pytest.mark.parametrize("mode", PLACES)
def test_derivatives_of_interpolation(mode, T):
    c = np.random.default_rng(0).uniform(-3, 9, size=(2, 6))
    jt.check_grads(lambda x, c: jt.sin(ndimage.map_coordinates(x, c, 1, mode, 0.5)), T(X), T(c))
    jt.check_grads(lambda x: ndimage.map_coordinates(x, T(c), 0, mode, 0.5), T(X))


@pytest.mark.parametrize("mode", ["reflect", "grid-mirror", "nearest", "grid-wrap", "constant", "grid-constant"])
def test_the_nearest_of_two_as_near_as_scipy(mode, T, close):
    x, places = np.array([1.0, 2.0, 4.0, 8.0]), np.arange(-11.5, 15.0)[None]
    expected = scipy.ndimage.map_coordinates(x, places, order=0, mode=mode, cval=3.0)
    close(ndimage.map_coordinates(T(x), T(places), order=0, mode=mode, cval=3.0), expected)


@pytest.mark.parametrize("mode", ["nearest", "constant", "grid-constant"])
def test_coordinates_at_infinity_spoil_no_gradient(mode, T, close):
    """Infinity less infinity is NaN, and a NaN times 0, too."""
    x, places = T([1.0, 2.0, 4.0]), T([[np.inf, -np.inf, 1e300, 0.5]])
    read = lambda x, c: jt.sum(ndimage.map_coordinates(x, c, mode=mode, cval=7.0) * T([0.0, 0.0, 0.0, 1.0]))  # noqa: E731
    ends = [4.0, 1.0, 4.0] if mode == "nearest" else [7.0] * 3
    close(ndimage.map_coordinates(x, places, mode=mode, cval=7.0), [*ends, 1.5])
    slopes = jt.grad(read, argnums=(0, 1))(x, places)
    close(slopes[0], [0.5, 0.5, 0.0])
    close(slopes[1], [[0.0, 0.0, 0.0, 1.0]])


def test_complex_weights_are_conjugated_as_scipy(T, close):
    x, w = np.array([1j, 2.0, 3.0 - 1j, 1.0]), np.array([1.0, 2.0 + 1j])
    for name in ("correlate", "convolve", "correlate1d", "convolve1d"):
        close(getattr(ndimage, name)(T(x), T(w)), getattr(scipy.ndimage, name)(x, w), 1e-14)


def test_interpolation_of_other_dtypes(T, close):
    c = T([[0.5, 1.0], [0.0, 2.5]])
    assert ndimage.map_coordinates(T(X, "float32"), c).dtype == jt.float32
    close(ndimage.map_coordinates(T(X * 1j), c), 1j * ndimage.map_coordinates(T(X), c).numpy())
    close(ndimage.map_coordinates(T(X), T([[1], [2]])), [X[1, 2]])
    close(jt.grad(lambda c: ndimage.map_coordinates(T(X), c, 0).sum())(c), np.zeros((2, 2)))


# -- cosine and sine transforms -----------------------------------------------------------------------------------------

TRANSFORMS = list(product((1, 2, 3, 4), ("backward", "ortho", "forward")))


@pytest.mark.parametrize("name", ["dct", "idct", "dst", "idst"])
@pytest.mark.parametrize(("type", "norm"), TRANSFORMS)
def test_transforms_as_scipy(type, norm, name, T, close):
    x = draw(3, 6, 4)
    for n, axis in ((None, 1), (4, 1), (9, -2), (None, -1)):
        expected = getattr(scipy.fft, name)(x, type, n, axis, norm)
        close(getattr(fft, name)(T(x), type, n, axis, norm), expected, 1e-12)
    close(getattr(fft, name + "n")(T(x), type, norm=norm), getattr(scipy.fft, name + "n")(x, type, norm=norm), 1e-12)
    close(
        getattr(fft, name + "n")(T(x), type, (0, 2), norm),
        getattr(scipy.fft, name + "n")(x, type, axes=(0, 2), norm=norm),
        1e-12,
    )


@pytest.mark.parametrize("name", ["dct", "dst"])
@pytest.mark.parametrize(("type", "norm"), TRANSFORMS)
@pytest.mark.parametrize("n", [2, 3, 6])
def test_the_gradient_is_the_transpose(n, type, norm, name, T, close):
    matrix = getattr(scipy.fft, name)(np.eye(n), type, axis=0, norm=norm)
    ours = getattr(fft, name)
    g, x = draw(n, 2), draw(n, 2, seed=2)
    gradient = jt.grad(lambda x: (T(g) * ours(x, type, axis=0, norm=norm)).sum())
    close(gradient(T(x)), matrix.T @ g, 1e-12)
    twice = jt.grad(lambda x: (ours(x, type, axis=0, norm=norm) ** 2).sum() / 2)
    close(jt.jvp(twice, (T(x),), (T(g),))[1], matrix.T @ matrix @ g, 1e-12)
    close(jt.vmap(lambda x: ours(x, type, axis=0, norm=norm))(T(x.T)), (matrix @ x).T, 1e-12)
    back = getattr(fft, "i" + name)(ours(T(x), type, axis=0, norm=norm), type, axis=0, norm=norm)
    close(back, x, 1e-12)
    assert ours(T(x, "float32"), type, axis=0).dtype == jt.float32


def test_resized_transforms_have_derivatives(T):
    for n in (3, 8):
        jt.check_grads(lambda x, n=n: jt.sin(fft.dct(x, 3, n)), T(draw(2, 5)))


@pytest.mark.parametrize("N", [None, 5, 8, 1])
def test_hilbert_as_scipy(N, T, close):
    x = draw(3, 6)
    close(fft.hilbert(T(x), N), scipy.signal.hilbert(x, N), 1e-13)
    close(fft.hilbert(T(x), N, axis=0), scipy.signal.hilbert(x, N, axis=0), 1e-13)
    jt.check_grads(lambda x: jt.abs(fft.hilbert(x, N)), T(x[:1] + 3))


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_convolution_as_scipy(mode, T, close):
    a, b = draw(5, 6), draw(3, 2, seed=2)
    for p, q in ((a, b), (b, a), (a, a), (a * (1 + 1j), b)):
        close(fft.fftconvolve(T(p), T(q), mode), scipy.signal.fftconvolve(p, q, mode), 1e-13)
    close(fft.fftconvolve(T(a), T(b[:, :1]), mode, axes=0), scipy.signal.fftconvolve(a, b[:, :1], mode, axes=0), 1e-13)
    jt.check_grads(lambda a, b: fft.fftconvolve(a, b, mode), T(a), T(b))


def test_fast_lengths():
    assert [fft.next_fast_len(n) for n in (1, 7, 13, 97)] == [scipy.fft.next_fast_len(n) for n in (1, 7, 13, 97)]
    assert fft.next_fast_len(97, real=True) == scipy.fft.next_fast_len(97, real=True)


# -- errors -----------------------------------------------------------------------------------------------------------

W = np.ones((3, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda T: ndimage.correlate(T(X), T(W[0])), jt.ShapeError, r"weights of shape \(3,\) must have as many axes as x of shape \(5, 7\)"),
        (lambda T: ndimage.convolve(T(X), T(W[:, :0])), jt.ShapeError, "and no empty one"),
        (lambda T: ndimage.correlate(T(X), T(W), "edge"), jt.OpError, "mode is one of 'reflect', .*; got 'edge'"),
        (lambda T: ndimage.correlate(T(X), T(W), origin=2), jt.OpError, "origin 2 moves weights of length 3 off"),
        (lambda T: ndimage.correlate(T(X), T(W), origin=(1, 1, 1)), jt.ShapeError, "origin must be one value, or one for each of 2 axes"),
        (lambda T: ndimage.correlate(T([[1]]), T(W)), jt.DTypeError, "floating-point numbers; got int64"),
        (lambda T: ndimage.correlate1d(T(X), T(W)), jt.ShapeError, "takes a vector of weights"),
        (lambda T: ndimage.uniform_filter1d(T(X), 0), jt.OpError, "size is the number of elements, 1 or more; got 0"),
        (lambda T: ndimage.uniform_filter(T(X), 2.5), jt.OpError, "size is the number of elements"),
        (lambda T: ndimage.gaussian_filter1d(T(X), 0.0), jt.OpError, "sigma must be a Python number above 0; got 0.0"),
        (lambda T: ndimage.gaussian_filter(T(X), T(1.0)), jt.OpError, "sigma must be a Python number above 0; got Tensor"),
        (lambda T: ndimage.gaussian_filter1d(T(X), 1.0, order=-1), jt.OpError, "order is the derivative's"),
        (lambda T: ndimage.gaussian_filter1d(T(X), 1.0, radius=-1), jt.OpError, "radius must not be negative"),
        (lambda T: ndimage.gaussian_filter1d(T(X), 1.0, radius=1.5), jt.OpError, "radius must not be negative, and an integer"),
        (lambda T: ndimage.gaussian_filter1d(T(X), "wide"), jt.OpError, "sigma must be a Python number above 0; got 'wide'"),
        (lambda T: ndimage.correlate(T(X), T(W), origin=0.5), jt.OpError, "origin is an integer, or one for each axis; got 0.5"),
        (lambda T: ndimage.correlate(T(X), T(W), mode=["wrap"]), jt.OpError, "mode is one of"),
        (lambda T: ndimage.map_coordinates(T(X), T(np.ones((2, 2)) * 1j)), jt.DTypeError, "real numbers; got complex128"),
        (lambda T: fft.dctn(T(X), axes=(0, -2)), jt.AxisError, r"dctn\(\): axes \(0, -2\) repeat one"),
        (lambda T: fft.hilbert(T(X), axis=3), jt.AxisError, "axis 3 is out of bounds"),
        (lambda T: ndimage.gaussian_filter1d(T(X), 1.0, axis=2), jt.AxisError, "axis 2 is out of bounds"),
        (lambda T: ndimage.correlate_valid(T([1.0]), T([1.0, 2.0])), jt.ShapeError, r"weights of shape \(2,\).*x of shape \(1,\)"),
        (lambda T: ndimage.map_coordinates(T(X), T(np.ones((3, 2)))), jt.ShapeError, r"of shape \(2, ...\).*got \(3, 2\)"),
        (lambda T: ndimage.map_coordinates(T(X[:0]), T(np.ones((2, 2)))), jt.ShapeError, "no elements to interpolate"),
        (lambda T: ndimage.map_coordinates(T(X), T(np.ones((2, 2))), 3), jt.OpError, r"order is 0 \(nearest\) or 1 \(linear\); got 3"),
        (lambda T: ndimage.map_coordinates(T(X), T(np.ones((2, 2))), mode="wrap"), jt.OpError, "got 'wrap'"),
        (lambda T: fft.dct(T(X), 5), jt.OpError, "type is 1, 2, 3 or 4; got 5"),
        (lambda T: fft.idct(T(X), 0), jt.OpError, "type is 1, 2, 3 or 4; got 0"),
        (lambda T: fft.dst(T(X), norm="both"), jt.OpError, "norm is one of 'backward', 'ortho', 'forward'; got 'both'"),
        (lambda T: fft.dct(T([1.0]), 1), jt.ShapeError, r"of type 1 takes 2 or more elements; axis -1 of shape \(1,\) has 1"),
        (lambda T: fft.dct(T(np.ones((2, 0)))), jt.ShapeError, "takes 1 or more elements"),
        (lambda T: fft.dct(T(1.0)), jt.AxisError, "out of bounds"),
        (lambda T: fft.dct(T(X), axis=2), jt.AxisError, "axis 2 is out of bounds"),
        (lambda T: jt.vmap(lambda x: fft.dct(x, axis=1))(T(X)), jt.AxisError, r"axis 1 is out of bounds for shape \(7,\) in a batch"),
        (lambda T: fft.dct(T(X), n=0), jt.ShapeError, "got n=0"),
        (lambda T: fft.dct(T(X), n=1.5), jt.OpError, "n must be an integer; got 1.5"),
        (lambda T: fft.dct(T(X), n=3, axis=2), jt.AxisError, "axis 2 is out of bounds"),
        (lambda T: fft.dct(T(X * 1j)), jt.DTypeError, "real floating-point numbers; got complex128"),
        (lambda T: fft.dst(T([1, 2])), jt.DTypeError, "real floating-point numbers; got int64"),
        (lambda T: fft.hilbert(T(X * 1j)), jt.DTypeError, "takes real numbers"),
        (lambda T: fft.hilbert(T(np.ones((2, 0)))), jt.ShapeError, "needs an axis of 1 or more elements"),
        (lambda T: fft.fftconvolve(T(X), T(W[0])), jt.ShapeError, "arrays of as many dimensions"),
        (lambda T: fft.fftconvolve(T(X), T(W), "middle"), jt.OpError, "mode is 'full', 'same' or 'valid'"),
        (lambda T: fft.fftconvolve(T(X), T(W), axes=2), jt.AxisError, r"axes \(2,\) are out of bounds"),
        (lambda T: fft.fftconvolve(T(X[:2]), T(W), "valid"), jt.ShapeError, "neither lies within the other"),
        (lambda T: fft.fftconvolve(T(X[:0]), T(W)), jt.ShapeError, "an axis to convolve is empty"),
    ],
)  # fmt: skip
def test_errors(call, error, message, T):
    with pytest.raises(error, match=message):
        call(T)
