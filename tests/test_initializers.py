"""Initializers: what they draw, that every backend draws the same, and what they refuse."""

from __future__ import annotations

import doctest
import math
import pickle
from functools import partial

import numpy as np
import pytest

import jitrench_core as jt
import jitrench_nn as nn
from jitrench_core.layer import LayerError

DIRECT = {
    name: getattr(nn, name)
    for name in (
        "xavier_uniform",
        "xavier_normal",
        "he_uniform",
        "he_normal",
        "lecun_uniform",
        "lecun_normal",
        "zeros",
        "ones",
    )
}
MADE = {
    "normal": nn.normal(std=0.02),
    "normal with mean": nn.normal(2.0, mean=-1.0),
    "truncated_normal": nn.truncated_normal(std=0.02),
    "uniform": nn.uniform(-0.5, 1.5),
    "constant": nn.constant(0.25),
    "orthogonal": nn.orthogonal,
    "scaled": nn.scaled(nn.orthogonal, 3.0),
    "eye": nn.eye,
}
ALL = {**DIRECT, **MADE}
SHAPE = (60, 40)


def drawn(initializer, shape=SHAPE, dtype=jt.float64, seed=3, device=None):
    return initializer(jt.random.Generator(seed, device=device), shape, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ALL)
def test_one_seed_gives_one_value_on_every_backend(name, dtype, backend):
    here, there = (drawn(ALL[name], dtype=getattr(jt, dtype), device=d) for d in (backend, None))
    assert (here.dtype.name, here.shape, here.device) == (dtype, SHAPE, jt.device(backend))
    np.testing.assert_allclose(here.numpy(), there.numpy(), rtol=0, atol=1e-12 if dtype == "float64" else 1e-6)
    random = name not in ("zeros", "ones", "constant", "eye")
    assert (here.tolist() != drawn(ALL[name], dtype=getattr(jt, dtype), seed=4, device=backend).tolist()) == random


@pytest.mark.parametrize("name", ALL)
def test_initializers_pickle_and_keep_float16(name):
    same = pickle.loads(pickle.dumps(ALL[name]))
    assert drawn(same).tolist() == drawn(ALL[name]).tolist()
    assert drawn(ALL[name], dtype=jt.float16).dtype == jt.float16


@pytest.mark.parametrize(("std", "mean"), [(0.02, 0.0), (2.0, -1.0), (0.0, 3.0)])
def test_normal(std, mean, backend):
    w = drawn(nn.normal(std, mean=mean), (300, 200), device=backend).numpy()
    assert abs(w.mean() - mean) <= 5 * std / math.sqrt(w.size)
    assert abs(w.std() - std) <= 0.02 * std


@pytest.mark.parametrize("cut", [2.0, 0.5, 4.0])
def test_truncated_normal(cut, backend):
    """The variance of what is left within cut standard deviations, by the textbook."""
    w = drawn(nn.truncated_normal(0.1, mean=1.0, cut=cut), (300, 200), device=backend).numpy()
    assert np.abs(w - 1.0).max() <= 0.1 * cut
    inside = math.erf(cut / math.sqrt(2))
    density = math.exp(-(cut**2) / 2) / math.sqrt(2 * math.pi)
    expected = 0.1 * math.sqrt(1 - 2 * cut * density / inside)
    assert abs(w.std() / expected - 1) < 0.02
    assert abs(w.mean() - 1.0) < 5 * expected / math.sqrt(w.size)


def test_uniform_and_constant(backend):
    w = drawn(nn.uniform(-0.5, 1.5), (300, 200), device=backend).numpy()
    assert w.min() >= -0.5
    assert w.max() < 1.5
    assert abs(w.mean() - 0.5) < 0.02
    assert abs(w.std() / math.sqrt(4 / 12) - 1) < 0.02
    assert drawn(nn.constant(-2), (2,), device=backend).tolist() == [-2.0, -2.0]


# -- orthogonal ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 2, 3), (8, 2, 3), (1, 1), (1, 4), (0, 3), (3, 0)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_orthogonal_rows_or_columns(shape, dtype, backend):
    w = drawn(nn.orthogonal, shape, getattr(jt, dtype), device=backend)
    assert (w.shape, w.dtype.name) == (shape, dtype)
    m = w.numpy().reshape(shape[0], math.prod(shape[1:])).astype("float64")
    product = m @ m.T if m.shape[0] <= m.shape[1] else m.T @ m
    np.testing.assert_allclose(product, np.eye(min(m.shape)), atol=1e-12 if dtype == "float64" else 1e-6)


def test_orthogonal_matrices_are_spread_evenly():
    """Haar's measure: without the signs the first element would lean to one side, by LAPACK's choice of reflections."""
    g = jt.random.Generator(0)
    first = np.array([nn.orthogonal(g, (2, 2), jt.float64).numpy() for _ in range(400)])
    assert abs((first[:, 0, 0] > 0).mean() - 0.5) < 0.1
    assert abs((np.linalg.det(first) > 0).mean() - 0.5) < 0.1
    assert abs(first[:, 0, 0].std() - math.sqrt(0.5)) < 0.05


# -- structure ------------------------------------------------------------------------------------------------------------


def test_eye_and_dirac_pass_on_what_comes(T):
    x = T(np.random.default_rng(0).normal(size=(4, 3)))
    linear = nn.Linear(3, weight_init=nn.eye)
    assert linear(x).tolist() == x.tolist()
    for kind, lengths in ((nn.Conv1d, (5,)), (nn.Conv2d, (5, 4)), (nn.Conv3d, (3, 4, 5))):
        x = T(np.random.default_rng(0).normal(size=(2, 3, *lengths)))
        layer = kind(3, 3, padding="same", weight_init=nn.dirac)
        assert np.array_equal(layer(x).numpy(), x.numpy())
    wide = kind(5, 3, padding=1, weight_init=nn.dirac)
    assert not wide(x).numpy()[:, 3:].any()


# -- gains ----------------------------------------------------------------------------------------------------------------


def test_gains_are_pytorchs():
    gains = {"linear": 1, "sigmoid": 1, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}
    assert {k: nn.calculate_gain(k) for k in gains} == gains
    assert nn.calculate_gain("leaky_relu", 0.2) == math.sqrt(2 / 1.04)
    assert nn.calculate_gain("leaky_relu") == math.sqrt(2 / 1.0001)


def test_scaled(backend):
    gain = nn.calculate_gain("tanh")
    a, b = (drawn(f, device=backend).numpy() for f in (nn.xavier_normal, nn.scaled(nn.xavier_normal, gain)))
    np.testing.assert_allclose(b, a * gain, rtol=1e-15)


def test_any_function_is_an_initializer(T):
    def alternating(generator, shape, dtype):
        return jt.reshape(jt.arange(math.prod(shape), dtype=dtype, device=generator.device) % 2.0, shape)

    layer = nn.Linear(2, bias=False, weight_init=alternating)
    assert layer(T([1.0, 3.0])).tolist() == [3.0, 3.0]
    layer = nn.Linear(2, bias_init=partial(nn.scaled(nn.ones, 2.0)))
    assert nn.init(layer, (None, 1))["bias"].tolist() == [2.0, 2.0]


def test_complex_numbers_are_drawn_with_all_their_digits(backend):
    for f in (nn.xavier_normal, nn.uniform(-1, 1), nn.truncated_normal()):
        a, b = (f(jt.random.Generator(0, device=backend), (3, 4), dtype) for dtype in (jt.complex128, jt.float64))
        assert a.dtype == jt.complex128
        np.testing.assert_array_equal(a.numpy(), b.numpy())


# -- errors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.normal(-1.0), LayerError, r"normal\(std\): a standard deviation is not negative; got -1\.0"),
        (lambda: nn.normal(math.nan), LayerError, r"normal\(std\): expected a finite number, got float nan"),
        (
            lambda: nn.normal(0.0, 1.0),
            LayerError,
            r"normal\(\): the arguments behind the first are given by keyword; got 1\.0",
        ),
        (
            lambda: nn.normal("1"),
            LayerError,
            "got str '1'$",
        ),
        (
            lambda: nn.truncated_normal(1.0, cut=0),
            LayerError,
            r"truncated_normal\(cut=\): expected a positive number .* got 0",
        ),
        (lambda: nn.truncated_normal(-1), LayerError, "a standard deviation is not negative; got -1"),
        (
            lambda: nn.uniform(1.0, 0.0),
            LayerError,
            r"uniform\(low, high\): high must not be below low; got 1\.0 and 0\.0",
        ),
        (lambda: nn.uniform(0.0, math.inf), LayerError, r"uniform\(high\): expected a finite number, got float inf"),
        (lambda: nn.constant(True), LayerError, r"constant\(value\): expected a finite number, got bool True"),
        (
            lambda: nn.scaled(2.0, nn.ones),
            LayerError,
            r"scaled\(initializer, gain\): expected a function of .*, got 2\.0",
        ),
        (lambda: nn.scaled(nn.ones, None), LayerError, r"scaled\(gain\): expected a finite number, got NoneType None"),
        (
            lambda: nn.calculate_gain("gelu"),
            LayerError,
            r"expected one of 'linear', 'sigmoid', .* 'leaky_relu'; got 'gelu'",
        ),
        (
            lambda: drawn(nn.orthogonal, (3,)),
            jt.ShapeError,
            r"orthogonal\(\) needs a shape \(out, in, \.\.\.\); got \(3,\)",
        ),
        (lambda: drawn(nn.eye, (3, 3, 3)), jt.ShapeError, r"eye\(\) needs the shape of a matrix.* take nn\.dirac"),
        (lambda: drawn(nn.dirac, (3, 3)), jt.ShapeError, r"dirac\(\) needs the shape of a convolution.* take nn\.eye"),
    ],
)
def test_what_makes_no_initializer(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("value", [0.5, "xavier", np.ones((2, 3))])
def test_a_value_where_an_initializer_belongs(value):
    with pytest.raises(
        LayerError, match=r"Linear: the initializer of 'weight' is a \w+; expected a function of \(generator"
    ):
        nn.init(nn.Linear(2, weight_init=value), (None, 3))


def test_a_maker_where_an_initializer_belongs():
    """weight_init=nn.normal, without its brackets, is answered with how to write it."""
    for maker in (nn.normal, nn.truncated_normal, nn.constant, nn.uniform):
        with pytest.raises(
            LayerError, match=rf"got Generator .*; {maker.__name__}\(\) makes an initializer: write weight_init=nn"
        ):
            nn.init(nn.Linear(2, weight_init=maker), (None, 3))


def test_docstrings():
    import jitrench_nn.initializers

    assert doctest.testmod(jitrench_nn.initializers).failed == 0
