"""At kinks, ties, zeros and edges the values and gradients are PyTorch's (tests/data says how the numbers were made)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import jitrench_core as jt

REFERENCE = json.loads(
    Path(__file__).with_name("data").joinpath("conventions_reference.json").read_text(encoding="utf-8")
)


def pow_(x, *e, exponent=None, base=None):
    return x ** e[0] if e else x**exponent if exponent is not None else base**x


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda c: f"{c['op']}-{c['attrs']}")
@pytest.mark.filterwarnings("ignore:(divide by zero|invalid value) encountered:RuntimeWarning")
def test_as_pytorch(T, case):
    f = pow_ if case["op"] == "pow" else getattr(jt, case["op"])
    arrays = [T(a, "float64") for a in case["arrays"]]
    y = f(*arrays, **case["attrs"])
    np.testing.assert_allclose(y.numpy(), case["value"], rtol=1e-12)
    weight = T(np.arange(1.0, y.size + 1).reshape(y.shape))
    gradients = jt.grad(lambda *a: (f(*a, **case["attrs"]) * weight).sum(), argnums=tuple(range(len(arrays))))(*arrays)
    for got, expected in zip(gradients, case["gradients"], strict=True):
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12, atol=1e-300)


def test_where_gives_exactly_zero_to_what_is_not_selected(T):
    x, y = T([1.0, 2.0], requires_grad=True), T([np.nan, np.inf], requires_grad=True)
    jt.where(T([True, True]), x, y).sum().backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([1.0, 1.0], [0.0, 0.0])


def test_the_double_where(T):
    f = lambda x: jt.where(x > 0, jt.sqrt(jt.where(x > 0, x, 1.0)), 0.0)  # noqa: E731
    for transform in (jt.grad, lambda f: lambda x: jt.jvp(f, (x,), (T(1.0),))[1]):
        assert transform(f)(T(0.0)).item() == 0.0
        assert transform(f)(T(4.0)).item() == 0.25


def test_all_minus_infinity(T):
    x = T([-np.inf, -np.inf])
    assert jt.logsumexp(x).item() == -np.inf
    assert jt.grad(jt.logsumexp)(x).tolist() == [0.0, 0.0]  # PyTorch gives NaN here


def test_second_derivatives_beside_zeros(T):
    # of x0 x1 x2 at (0, 2, 3): the Hessian's off-diagonal entries are the third factor
    rows = jt.vmap(lambda v: jt.jvp(jt.grad(jt.prod), (T([0.0, 2.0, 3.0]),), (v,))[1])(T(np.eye(3)))
    assert rows.tolist() == [[0.0, 3.0, 2.0], [3.0, 0.0, 0.0], [2.0, 0.0, 0.0]]
    assert jt.grad(jt.grad(lambda x: x**2))(T(0.0)).item() == 2.0
    assert jt.grad(jt.grad(jt.grad(lambda x: x**2)))(T(0.0)).item() == 0.0
