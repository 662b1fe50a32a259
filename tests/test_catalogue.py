"""Every built-in op through the conformance battery, on the backend under test; and that the battery sees faults."""

from __future__ import annotations

import math
import pkgutil
from importlib import import_module

import catalogue
import numpy as np
import pytest

import jitrench_core as jt
from jitrench_core import registry
from jitrench_core.testing import check_op, op_tests

# Plugins' ops have tests of their own; the entries are there before any plugin is loaded.
BUILTIN = sorted(name for name, owner in registry.ops.owners.items() if owner == "jitrench-core")
FAMILIES = [import_module(f"catalogue.{module.name}") for module in pkgutil.iter_modules(catalogue.__path__)]
REFERENCES = {name: f for family in FAMILIES for name, f in getattr(family, "REFERENCES", {}).items()}
CASES = {name: cases for family in FAMILIES for name, cases in getattr(family, "CASES", {}).items()}
WITHOUT_SAMPLES = {  # and the reason
    "to_device": "its attributes name devices: tests/test_backends.py",
    "flat_nonzero": "it is what nonzero computes with: tests/test_selecting.py",
}

# On the backends that --backend names (conftest.py), as a plugin's author writes it.
test_op = op_tests("jitrench-core", references=REFERENCES, cases=CASES, skip=WITHOUT_SAMPLES)


def test_every_op_is_in_the_catalogue_and_is_tested():
    assert WITHOUT_SAMPLES.keys() | set(REFERENCES) | set(CASES) <= set(BUILTIN)
    for name in set(BUILTIN) - WITHOUT_SAMPLES.keys():
        op = registry.ops[name].op
        assert op.samples or op.elementwise, f"{name} declares neither samples nor a domain"


@pytest.mark.parametrize("name", ["sigmoid", "softplus", "softmax", "log_softmax", "logsumexp", "tanh"])
def test_stable_far_from_zero(name, T, close):
    function = getattr(jt, name)
    values = [-1000.0, -40.0, 0.0, 40.0, 1000.0]
    axis = {} if function.op.elementwise else {"axis": -1}
    x = T([values, values[::-1]], requires_grad=True)
    y = function(x, **axis)
    expected = {
        "sigmoid": [0.0, 1 / (1 + math.exp(40)), 0.5, 1 / (1 + math.exp(-40)), 1.0],
        "softplus": [0.0, math.exp(-40), math.log(2), 40.0, 1000.0],
        "softmax": [0.0, 0.0, 0.0, 0.0, 1.0],
        "log_softmax": [v - 1000.0 for v in values],
        "logsumexp": 1000.0,
        "tanh": [-1.0, -1.0, 0.0, 1.0, 1.0],
    }[name]
    close(y[0], expected, 1e-15)
    close(y[1], expected if name == "logsumexp" else expected[::-1], 1e-15)
    y.sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


def test_softmax_family_of_all_equal_and_of_infinite_elements(T, close):
    close(jt.softmax(T([1000.0, 1000.0])), [0.5, 0.5])
    x = T([-math.inf, 0.0], requires_grad=True)
    y = jt.logsumexp(x)
    y.backward()
    close(y, 0.0)
    close(x.grad, [0.0, 1.0])
    close(jt.logsumexp(T([-math.inf, -math.inf])), -math.inf)
    close(jt.logsumexp(T([math.inf, 0.0])), math.inf)


@pytest.mark.parametrize("function", [jt.softmax, jt.log_softmax])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (0, 3)])
def test_softmax_without_a_dimension_or_without_elements(function, shape, T):
    x = T(np.zeros(shape), requires_grad=True)
    y = function(x)
    assert y.shape == shape
    assert y.tolist() == np.full(shape, 1.0 if function is jt.softmax else 0.0).tolist()
    slope = jt.grad(lambda x: (function(x) ** 2).sum())
    for derivative in (slope(x), jt.grad(lambda x: (slope(x) ** 2).sum())(x)):
        assert derivative.tolist() == np.zeros(shape).tolist()
    if shape == (0,):
        with pytest.raises(jt.AxisError, match="axis 1"):
            function(x, axis=1)


KINKS = {
    "abs at 0": (jt.abs, [0.0, -1.0], [0.0, -1.0]),
    "relu at 0": (jt.relu, [0.0, -1.0, 1.0], [0.0, 0.0, 1.0]),
    "sqrt at 0": (jt.sqrt, [0.0, 4.0], [math.inf, 0.25]),
    "norm at 0": (jt.vector_norm, [0.0, 0.0], [0.0, 0.0]),
    "1-norm at 0": (lambda x: jt.vector_norm(x, ord=1), [0.0, 2.0], [0.0, 1.0]),
    "inf-norm, equal elements": (lambda x: jt.vector_norm(x, ord=math.inf), [2.0, -2.0], [0.5, -0.5]),
    "std of equal elements": (jt.std, [3.0, 3.0], [0.0, 0.0]),
    "max, a tie": (jt.max, [1.0, 2.0, 2.0], [0.0, 0.5, 0.5]),
    "min, a tie": (jt.min, [1.0, 1.0, 2.0], [0.5, 0.5, 0.0]),
    "maximum, a tie": (lambda x: jt.maximum(x, 1.0), [1.0, 2.0], [0.5, 1.0]),
    "minimum, a tie": (lambda x: jt.minimum(x, 1.0), [1.0, 2.0], [0.5, 0.0]),
    "clip on its bounds": (lambda x: jt.clip(x, 0.0, 1.0), [0.0, 1.0, 2.0, 0.5], [1.0, 1.0, 0.0, 1.0]),
    "where, not selected": (lambda x: jt.where(x > 0, x * 2, x * 3), [1.0, -1.0], [2.0, 3.0]),
    "the double where": (lambda x: jt.where(x > 0, jt.sqrt(jt.where(x > 0, x, 1.0)), 0.0), [0.0, 4.0], [0.0, 0.25]),
    "prod with a zero": (jt.prod, [2.0, 0.0, 3.0], [0.0, 6.0, 0.0]),
    "prod with two zeros": (jt.prod, [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
    "0 to the power 0": (lambda x: x ** T0(x), [0.0, 2.0], [0.0, 0.0]),
    "0 squared": (lambda x: x**2, [0.0], [0.0]),
}


def T0(x):
    """A tensor exponent of zeros, like x."""
    return jt.zeros(x.shape, device=x.device)


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@pytest.mark.parametrize("name", KINKS)
def test_kinks_and_ties(name, T, close):
    function, at, expected = KINKS[name]
    x = T(at, requires_grad=True)
    function(x).sum().backward()
    close(x.grad, expected)


# -- the battery sees what is wrong -----------------------------------------------------------------------------------


def _op(forward=lambda xp, x: x * x, *, doc="Some op.", samples=None, **options):
    def named(xp, x, /):
        return forward(xp, x)

    named.__doc__ = doc
    return jt.op(elementwise=samples is None, samples=samples, **options)(named)


def _mutating(xp, x):
    if x.ndim and x.shape[0]:
        x[...] = x * 2.0
    return x * x


def _itself(xp, x, /):
    """x itself."""
    return xp.positive(x)


_without_slope = jt.op(elementwise=True, vjp=jt.zero)(_itself)


def _wrong_jvp():
    made = _op(vjp=lambda g, x: 2 * x * g)

    @made.jvp
    def _(primals, tangents):
        return primals[0] * primals[0], tangents[0] * primals[0]

    return made


def _wrong_batch():
    made = _op(vjp=lambda g, x: 2 * x * g, samples=lambda rng: ((rng.normal(size=(2, 3)),), {}))

    @made.batch
    def _(batched, x, /):
        return x * x + (x.ndim == 3) * 1.0

    return made


def _keeping():
    made = _op(vjp=lambda g, x: 2 * x * g)
    made.op.complete()
    made.op._flags = lambda tracked: (1, 1)  # an engine that keeps the output, too
    made.op.keep[1] = (1, 1)
    made.op.completed = True
    return made


FAULTS = {
    "an array that no rule names": (_keeping, "the graph keeps the array 'y', which no rule names"),
    "no docstring": (lambda: _op(doc="", vjp=lambda g, x: 2 * x * g), "has no docstring"),
    "wrong gradient": (
        lambda: _op(vjp=lambda g, x: 3 * x * g),
        r"the gradient of input 0 is .*, expected .*of 6 elements",
    ),
    "zero gradient": (lambda: _op(vjp=jt.zero), "the gradient of input 0 is"),
    "wrong second order": (
        lambda: _op(vjp=lambda g, x: 2 * g * _without_slope(x)),
        "the second derivative in input 0 is",
    ),
    "mutated input": (lambda: _op(_mutating, vjp=lambda g, x: 2 * x * g), "it changed its input from"),
    "float64 out of float32": (
        lambda: _op(lambda xp, x: xp.astype(x, xp.float64) * xp.astype(x, xp.float64), vjp=lambda g, x: 2 * x * g),
        "of float32 the result is float64, expected float32",
    ),
    "raises on an empty array": (
        lambda: _op(lambda xp, x: x * x + 0 * xp.max(x), vjp=lambda g, x: 2 * x * g),
        r"empty: float64 \(0, 3\): raised",
    ),
    "wrong jvp": (_wrong_jvp, "the jvp is"),
    "wrong batch rule": (_wrong_batch, r"sample: float64 \(2, 3\): vmap over input\(s\) 0 compared to a loop is"),
    "no test data": (lambda: jt.op(vjp={"x": lambda g: g})(_itself), "declares no test data"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_battery_finds_it(fault, backend):
    make, message = FAULTS[fault]
    with pytest.raises(AssertionError, match=message):
        check_op(make(), backend)


def test_the_battery_finds_a_wrong_value(backend):
    with pytest.raises(AssertionError, match=r"op 'named' on .*sample: float64 \(2, 3\): the result is"):
        check_op(_op(vjp=lambda g, x: 2 * x * g), backend, reference=lambda x: x * x + 1e-6)
    check_op(_op(vjp=lambda g, x: 2 * x * g), backend, reference=np.square)


@jt.op(
    outputs=2,
    vjp=lambda g, x: g[0] * jt.cos(x) - g[1] * jt.sin(x),
    samples=lambda rng: ((rng.normal(size=(2, 3)),), {}),
)
def sin_and_cos(xp, x, /):
    """Two outputs."""
    return xp.sin(x), xp.cos(x)


@jt.op(
    aux=("mask",),
    vjp=lambda g, mask: g * mask,
    samples=lambda rng: ((rng.normal(size=(2, 3)),), {}),
)
def positive_part(xp, x, /):
    """An aux result."""
    mask = x > 0
    return xp.where(mask, x, 0.0), xp.astype(mask, x.dtype)


@positive_part.aux("mask")
def _(x):
    return jt.astype(x > 0, x.dtype)


@positive_part.batch
def _(batched, x, /):
    return jt.where(x > 0, x, 0.0), (jt.astype(x > 0, x.dtype),)


@jt.op(
    vjp={"x": lambda g, scale: g if scale is None else g * scale, "scale": lambda g, x: (g * x).sum()},
    samples=lambda rng: ((rng.normal(size=(2, 3)), np.asarray(1.5)), {}),
)
def scaled(xp, x, scale=None, /):
    """An optional array."""
    return xp.positive(x) if scale is None else x * scale


def test_the_battery_takes_every_kind_of_op(backend):
    check_op(sin_and_cos, backend, reference=lambda x: (np.sin(x), np.cos(x)))
    check_op(positive_part, backend, reference=lambda x: np.maximum(x, 0.0))
    check_op(scaled, backend, reference=lambda x, s=None: x if s is None else x * s, cases=[((np.ones(2), None), {})])


def test_the_battery_tries_complex_numbers(backend):
    right = _op(lambda xp, x: xp.exp(x) * x, vjp=lambda g, x: g * jt.exp(x) * (x + 1))
    check_op(right, backend, complex=True)
    of_real_numbers = _op(lambda xp, x: x / (1 + xp.abs(x)), vjp=lambda g, x: g / (1 + jt.abs(x)) ** 2)
    check_op(of_real_numbers, backend)  # only the core's own ops promise more
    with pytest.raises(AssertionError, match=r"sample, complex: complex128 \(2, 3\): the gradient of input 0 is"):
        check_op(of_real_numbers, backend, complex=True)
    ordering = _op(lambda xp, x: xp.maximum(x, 0.0), vjp=lambda g, y: jt.where(y > 0, g, 0.0))
    check_op(ordering, backend, complex=True)  # the standard does not order them, so there is nothing to check
    low = _op(
        lambda xp, x: xp.astype(x * x, xp.complex128) if "complex" in str(x.dtype) else x * x,
        vjp=lambda g, x: 2 * x * g,
    )
    with pytest.raises(AssertionError, match="of complex64 the result is complex128, expected complex64"):
        check_op(low, backend, complex=True)
    second = _op(vjp=lambda g, x: 2 * g * _without_slope(x))
    with pytest.raises(AssertionError, match="the second derivative in input 0 is"):
        check_op(second, backend, complex=True)
    tangent = _op(vjp=lambda g, x: 2 * x * g)

    @tangent.jvp
    def _(primals, tangents):
        return primals[0] * primals[0], 2 * primals[0] * (
            jt.conj(tangents[0]) if tangents[0].dtype.kind == "c" else tangents[0]
        )

    with pytest.raises(AssertionError, match=r"sample, complex: complex128 \(2, 3\): the jvp is"):
        check_op(tangent, backend, complex=True)


def test_the_battery_wants_an_op():
    with pytest.raises(TypeError, match=r"check_op takes what @jt\.op returns"):
        check_op(math.sin)
