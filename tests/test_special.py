"""erf and erfc far from what one polynomial can do: in the tails, at their seams, at the edges of float64."""

from __future__ import annotations

import math

import numpy as np
import pytest

import jitrench_core as jt

# erfc of whole numbers, to 17 digits: M. Abramowitz, I. A. Stegun, Handbook of Mathematical Functions, table 7.3, and 40-digit arithmetic.
TAIL = {1: 0.15729920705028513, 2: 0.0046777349810472658, 5: 1.5374597944280349e-12, 10: 2.0884875837625448e-45,
        20: 5.3958656116079009e-176, 26: 5.6631924088561428e-296}  # fmt: skip


def test_erf_is_the_c_library_s_to_rounding(T):
    x = np.concatenate([np.linspace(-7, 7, 2801), [0.0, 0.5, 1.0, -1.0, np.nextafter(1, 0), 1e-300, 1e-10]])
    expected = np.array([math.erf(v) for v in x])
    np.testing.assert_allclose(jt.erf(T(x)).numpy(), expected, rtol=4.5e-16)


def test_erfc_keeps_its_relative_accuracy_in_the_tail(T):
    x = np.array(list(TAIL), float)
    np.testing.assert_allclose(jt.erfc(T(x)).numpy(), list(TAIL.values()), rtol=1e-15)
    np.testing.assert_allclose(jt.erfc(T(-x)).numpy(), 2.0 - np.array(list(TAIL.values())), rtol=3e-16)
    x = np.linspace(-6, 27, 3301)
    np.testing.assert_allclose(jt.erfc(T(x)).numpy(), [math.erfc(v) for v in x], rtol=2e-15, atol=1e-308)


def test_edges(T, close):
    edges = T([0.0, math.inf, -math.inf, math.nan, 100.0])
    close(jt.erf(edges), [0.0, 1.0, -1.0, math.nan, 1.0])
    close(jt.erfc(edges), [1.0, 0.0, 2.0, math.nan, 0.0])
    x = T([0.0, 30.0], requires_grad=True)
    jt.sum(jt.erf(x) - jt.erfc(x)).backward()
    close(x.grad, [4 / math.sqrt(math.pi), 0.0])


@pytest.mark.parametrize("function", [jt.erf, jt.erfc])
def test_float32(function, T):
    x = T([-3.0, -0.5, 0.25, 0.75, 1.0, 4.0], "float32")
    assert function(x).dtype == jt.float32
    expected = [getattr(math, function.__name__)(float(v)) for v in x.numpy()]
    np.testing.assert_allclose(function(x).numpy(), expected, rtol=1e-6)


def test_few_and_many_elements_agree(T):
    x = np.linspace(-3, 3, 1000)
    many = jt.erf(T(x)).numpy()
    few = [jt.erf(T(v)).item() for v in x[::100]]
    np.testing.assert_allclose(many[::100], few, rtol=4.5e-16)


def test_hypot_and_logaddexp_far_out(T, close):
    close(jt.hypot(T([3e200, 0.0]), T([4e200, 0.0])), [5e200, 0.0])
    close(jt.logaddexp(T([1000.0, -math.inf]), T([1000.0, -math.inf])), [1000.0 + math.log(2), -math.inf])
    x, y = T([0.0, -math.inf, 5.0], requires_grad=True), T([0.0, -math.inf, -math.inf], requires_grad=True)
    jt.sum(jt.logaddexp(x, y)).backward()
    close(x.grad, [0.5, 0.0, 1.0])
    close(y.grad, [0.5, 0.0, 0.0])
    x, y = T([math.inf, 1e10], requires_grad=True), T([1.0, 1e10 + 1], requires_grad=True)
    jt.sum(jt.logaddexp(x, y)).backward()
    close(x.grad, [1.0, 1 / (1 + math.e)])
    close(y.grad, [0.0, math.e / (1 + math.e)])
    x, y = T([0.0, 3.0], requires_grad=True), T([0.0, 4.0], requires_grad=True)
    jt.sum(jt.hypot(x, y)).backward()
    close(x.grad, [0.0, 0.6])
    close(y.grad, [0.0, 0.8])


def test_copysign_nextafter_signbit(T, close):
    x = T([0.0, -2.0, 3.0], requires_grad=True)
    jt.sum(jt.copysign(x, T([-1.0, 1.0, -0.0]))).backward()
    close(x.grad, [0.0, -1.0, -1.0])
    close(jt.signbit(T([-0.0, 0.0, -1.0])), [True, False, True])
    close(jt.nextafter(T(1.0), T(2.0)), 1 + 2.0**-52)


@pytest.mark.parametrize("function", [jt.erf, jt.erfc, jt.softplus, jt.relu])
def test_complex_numbers_are_refused(function, T):
    with pytest.raises(jt.DTypeError, match=f"{function.__name__}.* takes? real ones.*complex128"):
        function(T([1j]))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "bool"])
def test_sigmoid_and_softplus_of_integers(dtype, close):
    """As NumPy's exp takes them; the negative of an unsigned one is none."""
    x = np.array([0, 1, 3, -3] if dtype.startswith("int") else [0, 1, 3]).astype(dtype)
    close(jt.sigmoid(x), 1 / (1 + np.exp(-x.astype(float))))
    if dtype != "bool":
        close(jt.softplus(x), np.log1p(np.exp(x.astype(float))))
