"""Fourier transforms: gradients by PyTorch, identities, dtypes, transforms of transforms, and errors.

tests/test_catalogue.py holds each op to the sums that define it, and to central differences.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import jitrench_core as jt

REFERENCE = json.loads((Path(__file__).parent / "data" / "fft_reference.json").read_text(encoding="utf-8"))
NORMS = ("backward", "ortho", "forward")
RNG = np.random.default_rng(5)


def numbers(nested, shape):
    """Nested lists of numbers, or of pairs, as an array of ``shape``'s number of axes."""
    a = np.asarray(nested)
    return a[..., 0] + 1j * a[..., 1] if a.ndim > shape else a


def complexes(*shape):
    return RNG.normal(size=shape) + 1j * RNG.normal(size=shape)


@pytest.mark.parametrize("case", REFERENCE, ids=lambda c: f"{c['op']}-{c['attrs']}")
def test_gradients_are_pytorchs(case, T, close):
    attrs = {k: v for k, v in case["attrs"].items() if k != "real"}
    arrays = {k: numbers(case[k], 2) for k in ("x", "y", "weight", "gradient", "direction", "second")}

    def f(x):
        return getattr(jt.fft, case["op"])(x, **attrs)

    x = T(arrays["x"], requires_grad=True)
    y = f(x)
    close(y, arrays["y"])
    y.backward(T(arrays["weight"]))
    assert x.grad.dtype == x.dtype
    close(x.grad, arrays["gradient"])

    x = T(arrays["x"], requires_grad=True)
    first = jt.grad(lambda x: jt.sum(jt.abs(f(x)) ** 4))(x)
    first.backward(T(arrays["direction"]))
    close(x.grad, arrays["second"], 1e-10)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_inverses(T, close, n, norm):
    z, x = T(complexes(2, n)), T(RNG.normal(size=(2, n)))
    close(jt.fft.ifft(jt.fft.fft(z, norm=norm), norm=norm), z)
    close(jt.fft.irfft(jt.fft.rfft(x, norm=norm), n=n, norm=norm), x)
    close(jt.fft.hfft(jt.fft.ihfft(x, norm=norm), n=n, norm=norm), x)
    close(jt.fft.ifftn(jt.fft.fftn(z, norm=norm), norm=norm), z)
    close(jt.fft.irfftn(jt.fft.rfftn(x, norm=norm), s=x.shape, norm=norm), x)
    close(jt.fft.ifftshift(jt.fft.fftshift(z)), z)


@pytest.mark.parametrize("name", jt.fft.__all__)
def test_values_are_numpys(name, T, close):
    """float32 and complex64 stay at their precision."""
    if name in ("fftfreq", "rfftfreq"):
        return
    real = name in ("rfft", "ihfft", "rfftn")
    for dtype in ("float32", "float64") if real else ("complex64", "complex128"):
        x = RNG.normal(size=(3, 4)).astype(dtype) if real else complexes(3, 4).astype(dtype)
        expected = getattr(np.fft, name)(x)
        y = getattr(jt.fft, name)(T(x))
        assert y.dtype == jt.dtypes.dtype(expected.dtype)
        close(y, expected, 1e-12 if ("64" in dtype and real) or "128" in dtype else 1e-5)


def test_real_input_of_complex_transforms(T, close):
    x = RNG.normal(size=4)
    close(jt.fft.fft(T(x)), np.fft.fft(x))
    assert jt.fft.fft(T(x.astype("float32"))).dtype == "complex64"
    assert jt.fft.irfft(T(x.astype("float32"))).dtype == "float32"
    close(jt.fft.rfft(T([1, 2, 3])), np.fft.rfft([1.0, 2.0, 3.0]))
    close(jt.fft.fft(T([1, 2, 3])), np.fft.fft([1, 2, 3]))


def test_spectra_of_nothing_are_zero(T, close):
    """Filled up to n points; NumPy's own irfft returns memory as it was found."""
    for shape, axis in (((2, 0), -1), ((0, 2), 0), ((0, 0), 1)):
        made = {-1: (2, 3), 0: (3, 2), 1: (0, 3)}[axis]
        junk = [np.full(made, 7.0) for _ in range(20)]
        del junk
        for f in (jt.fft.irfft, jt.fft.hfft):
            close(f(T(np.zeros(shape) + 0j), n=3, axis=axis), np.zeros(made))
            assert jt.grad(lambda x, f=f, axis=axis: f(x, n=3, axis=axis).sum())(T(np.zeros(shape) + 0j)).shape == shape


def test_booleans_and_half_precision(backend, close):
    if not str(backend).startswith("numpy"):
        return  # what the standard does not have
    x = np.array([True, False, True])
    close(jt.fft.hfft(x), np.fft.hfft(x))
    for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
        y = np.ones(3, "float16")
        assert getattr(jt.fft, name)(y).dtype == str(getattr(np.fft, name)(y).dtype).replace("16", "32")


def test_float32_gradients(T):
    x = T(RNG.normal(size=5).astype("float32"), requires_grad=True)
    jt.sum(jt.abs(jt.fft.rfft(x)) ** 2).backward()
    assert x.grad.dtype == "float32"
    z = T(complexes(5).astype("complex64"), requires_grad=True)
    jt.sum(jt.fft.irfft(z) ** 2).backward()
    assert z.grad.dtype == "complex64"


def test_what_has_no_influence_has_no_gradient(T, close):
    """Of an even number of points, the imaginary parts of the first and the last element."""
    z = T(complexes(4), requires_grad=True)
    jt.fft.irfft(z).backward(T(RNG.normal(size=6)))
    close(z.grad.numpy().imag[[0, 3]], [0.0, 0.0])
    assert (z.grad.numpy().imag[[1, 2]] != 0).all()


def test_plancherel(T, close):
    """The gradient of |F x|^2 is 2 n x."""
    x = RNG.normal(size=6)
    close(jt.grad(lambda x: jt.sum(jt.abs(jt.fft.fft(x)) ** 2))(T(x)), 12 * x)
    z = complexes(6)
    close(jt.grad(lambda z: jt.sum(jt.abs(jt.fft.fft(z, norm="ortho")) ** 2))(T(z)), 2 * z)


def test_convolution_by_spectra(T, close):
    """Through two transforms and back, against the sum that it is."""
    a, b, g = RNG.normal(size=4), RNG.normal(size=3), RNG.normal(size=6)
    x, y = T(a, requires_grad=True), T(b, requires_grad=True)
    z = jt.fft.irfft(jt.fft.rfft(x, n=6) * jt.fft.rfft(y, n=6), n=6)
    close(z, np.convolve(a, b))
    z.backward(T(g))
    close(x.grad, np.correlate(g, b, "valid"))
    close(y.grad, np.correlate(g, a, "valid"))


def test_forward_over_reverse_under_vmap(T, close):
    def f(x):
        return jt.sum(jt.abs(jt.fft.rfft(x)) ** 4)

    x, v = RNG.normal(size=(3, 5)), RNG.normal(size=(3, 5))
    hvp = jt.vmap(lambda x, v: jt.jvp(jt.grad(f), (x,), (v,))[1])(T(x), T(v))
    step = 1e-6
    slopes = [[jt.grad(f)(T(a + s * step * b)).numpy() for a, b in zip(x, v, strict=True)] for s in (1, -1)]
    close(hvp, (np.array(slopes[0]) - np.array(slopes[1])) / (2 * step), 1e-6)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9])
def test_frequencies(backend, close, n):
    close(jt.fft.fftfreq(n, d=0.3, device=backend), np.fft.fftfreq(n, 0.3), 1e-15)
    close(jt.fft.rfftfreq(n, d=0.3, device=backend), np.fft.rfftfreq(n, 0.3), 1e-15)
    made = jt.fft.fftfreq(n, dtype=jt.float32, device=backend)
    assert made.dtype == "float32"
    assert str(made.device) == backend
    assert jt.fft.rfftfreq(n, device=backend).dtype == "float64"


def test_shifts(T, close):
    for shape in ((5,), (4,), (3, 4)):
        x = RNG.normal(size=shape)
        close(jt.fft.fftshift(T(x)), np.fft.fftshift(x))
        close(jt.fft.ifftshift(T(x)), np.fft.ifftshift(x))
    close(jt.fft.fftshift(T(x), axes=(-1,)), np.fft.fftshift(x, axes=(-1,)))
    close(jt.fft.fftshift(T(2.0)), 2.0)


def test_a_long_spectrum_stays_accurate(T, close):
    """Interference of 2**14 waves, against their closed form."""
    n = 2**14
    x = np.cos(2 * math.pi * 3 * np.arange(n) / n)
    expected = np.zeros(n // 2 + 1)
    expected[3] = n / 2
    close(jt.fft.rfft(T(x)), expected, 1e-8)


MISTAKES = {
    "no points": (
        lambda x: jt.fft.fft(x, n=0),
        jt.ShapeError,
        r"fft\(\) got n=0: the number of points must be 1 or more",
    ),
    "no axis": (lambda x: jt.fft.rfft(x[0]), jt.ShapeError, r"rfft\(\) transforms an axis, and x has none"),
    "an empty axis": (
        lambda x: jt.fft.fft(x[:0]),
        jt.ShapeError,
        r"fft\(\) along axis -1 of shape \(0,\) has no points to make: it takes 1 or more elements, or n",
    ),
    "one element of half a spectrum": (
        lambda x: jt.fft.hfft(x[:1]),
        jt.ShapeError,
        r"hfft\(\) along axis -1 of shape \(1,\) has no points to make: it takes 2 or more elements, or n",
    ),
    "a fraction": (lambda x: jt.fft.fft(x, n=2.0), jt.OpError, r"fft\(\) got 2\.0: .* must be an integer"),
    "a fraction of frequencies": (lambda x: jt.fft.fftfreq(2.5), jt.OpError, r"fftfreq\(\) got 2\.5: .* an integer"),
    "a number for axes": (lambda x: jt.fft.fftn(x, axes=0), jt.OpError, r"fftn\(\) got axes=0: write a tuple"),
    "a number for s": (lambda x: jt.fft.rfftn(x, s=3), jt.OpError, r"rfftn\(\) got s=3: write a tuple"),
    "norm of several": (lambda x: jt.fft.fftn(x, norm="half"), jt.OpError, r"fftn\(\) got norm='half'"),
    "norm": (
        lambda x: jt.fft.irfft(x, norm="half"),
        jt.OpError,
        r"irfft\(\) got norm='half'; known are 'backward', 'ortho'",
    ),
    "norm, reversed": (lambda x: jt.fft.ihfft(x, norm="half"), jt.OpError, r"ihfft\(\) got norm='half'"),
    "axis": (lambda x: jt.fft.fft(x, axis=1), jt.ShapeError, "axis"),
    "s and axes": (
        lambda x: jt.fft.fftn(x, s=(2, 2), axes=(0,)),
        jt.ShapeError,
        r"fftn\(\) got s=\(2, 2\) and axes=\(0,\)",
    ),
    "no axes": (lambda x: jt.fft.fftn(x[0]), jt.ShapeError, r"fftn\(\) got s=None and axes=None for shape \(\)"),
    "complex": (
        lambda x: jt.fft.rfft(jt.fft.fft(x)),
        jt.DTypeError,
        r"rfft\(\) takes real numbers, got complex128: use fft",
    ),
    "frequencies": (lambda x: jt.fft.fftfreq(0), jt.ShapeError, r"fftfreq\(\) got n=0"),
    "half of them": (lambda x: jt.fft.rfftfreq(-1), jt.ShapeError, r"rfftfreq\(\) got n=-1"),
    "integers": (
        lambda x: jt.fft.fftfreq(3, dtype="int64"),
        jt.DTypeError,
        r"fftfreq\(\) makes real numbers, not int64",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_errors(name, T):
    call, error, message = MISTAKES[name]
    with pytest.raises(error, match=message):
        call(T([1.0, 2.0, 3.0]))
