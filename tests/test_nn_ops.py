"""Every op of jitrench-nn through the conformance battery, on the backend under test, and what belongs to no other family."""

from __future__ import annotations

import doctest
import json
import pkgutil
from importlib import import_module
from pathlib import Path

import nn_catalogue
import numpy as np
import pytest

import jitrench_core as jt
import jitrench_nn as nn
from jitrench_core import registry
from jitrench_core.testing import check_op, op_tests

FAMILIES = [import_module(f"nn_catalogue.{module.name}") for module in pkgutil.iter_modules(nn_catalogue.__path__)]
REFERENCES = {name: f for family in FAMILIES for name, f in getattr(family, "REFERENCES", {}).items()}
CASES = {name: cases for family in FAMILIES for name, cases in getattr(family, "CASES", {}).items()}
OWN = sorted(nn.ops.own())


test_op = op_tests("jitrench-nn", references=REFERENCES, cases=CASES)


def test_every_op_is_in_the_catalogue_and_is_tested():
    assert jt.ops.conv2d is nn.functional.conv2d  # the plugin is loaded
    assert {name for name, owner in registry.ops.owners.items() if owner == "nn"} == set(OWN)
    assert set(REFERENCES) | set(CASES) <= set(OWN)
    assert not [
        name for name in OWN if registry.ops[name].op.composite and name not in REFERENCES
    ]  # nothing to compare with
    for name in OWN:
        op = registry.ops[name].op
        assert op.samples or op.elementwise, f"{name} declares neither samples nor a domain"


# What other ops are made of: in the catalogue, and not in the namespace of users.
HELPERS = {
    "attention", "attention_grad", "bernoulli_loss", "convolution", "exponential_unit", "gelu_grad", "gelu_grad_at", "gru_layer_grad", "layer_norm_grad", "linear_bias_grad", "linear_weight_grad", "linear_x_grad", "log_odds", "log_softmax_at",
    "log_softmax_at_grad", "lstm_layer_grad", "max_pool", "pool_gather", "pool_scatter", "resample", "rnn_layer_grad",
}  # fmt: skip


def test_functional_is_the_namespace_of_all_ops():
    for name in nn.functional.__all__:
        assert getattr(jt.ops, name) is getattr(nn.functional, name)
    assert set(OWN) - set(nn.functional.__all__) == HELPERS


@pytest.mark.parametrize("family", nn.ops.FAMILIES, ids=lambda f: f.__name__)
def test_docstrings(family):
    assert doctest.testmod(family).failed == 0


# Elementwise in the real and the imaginary part, sums of products, or smooth formulas that complex numbers fit, too.
COMPLEX = {
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "alpha_dropout", "avg_pool1d", "avg_pool2d",
    "avg_pool3d", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "convolution",
    "dropout", "dropout1d", "dropout2d", "dropout3d", "embedding", "fold", "hardshrink", "interpolate", "layer_norm_grad",
    "linear", "linear_bias_grad", "linear_weight_grad", "linear_x_grad", "log_softmax_at_grad", "pool_gather", "pool_scatter", "resample", "softsign", "tanhshrink", "unfold",
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_complex_numbers_are_right_or_refused(name, T, backend):
    """NumPy orders complex numbers, so an op that compares would compute something."""
    rng = np.random.default_rng(0)
    op = registry.ops[name].op
    arrays, attrs = op.samples(rng) if op.samples else ([rng.uniform(0.2, 0.8, size=3) for _ in op.inputs], {})
    floats = [np.asarray(a).dtype.kind == "f" for a in arrays]
    values = [T(a * (1 + 0.5j)) if f else T(a) for a, f in zip(arrays, floats, strict=True)]
    if name == "max_pool":  # of max_pool1d and its kin, which check
        return
    if name not in COMPLEX:
        with pytest.raises(jt.DTypeError):
            registry.ops[name](*values, **attrs)
    else:
        check_op(registry.ops[name], backend, complex=True)


def test_activations_of_unsigned_integers():
    """A negative one would wrap around."""
    x = np.array([0, 3, 254], np.uint8)
    for name in ("silu", "softmin"):
        f = getattr(nn.functional, name)
        np.testing.assert_allclose(f(x).numpy(), f(x.astype(float)).numpy())


def test_hardtanh_passes_nan_on(T):
    """As PyTorch: the gradient is cut outside of the bounds, and a NaN is not known to lie there."""
    assert jt.vmap(jt.grad(nn.functional.hardtanh))(T([float("nan"), 2.0, 0.5])).tolist() == [1.0, 0.0, 1.0]


# -- as PyTorch -------------------------------------------------------------------------------------------------------

REFERENCE = json.loads(Path(__file__).with_name("data").joinpath("nn_reference.json").read_text(encoding="utf-8"))
# PyTorch's float64 kernels hold a constant of these (1 / 6, 1 / alpha, 1e-12) in float32.
ROUNDED = {"hardsigmoid": 1e-7, "celu": 1e-7, "binary_cross_entropy": 1e-7}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda c: f"{c['op']}-{c['attrs']}")
def test_as_pytorch(T, case, dtype):
    arrays = [None if a is None else np.asarray(a) for a in case["arrays"]]
    tensors = [a if a is None else T(a, dtype if a.dtype.kind == "f" else None) for a in arrays]
    attrs = {k: tuple(v) if isinstance(v, list) else v for k, v in case["attrs"].items()}
    f = getattr(nn.functional, case["op"])
    tracked = [i for i, g in enumerate(case["gradients"]) if g is not None]

    def loss(*some):
        every = list(tensors)
        for i, x in zip(tracked, some, strict=True):
            every[i] = x
        found = f(*every, **attrs)
        y, *stats = found if isinstance(found, tuple) else (found,)
        weight = T(np.arange(1.0, y.size + 1).reshape(y.shape), dtype)
        return (y * weight).sum(), (y, stats)

    gradients, (y, stats) = jt.grad(loss, argnums=tuple(range(len(tracked))), has_aux=True)(
        *(tensors[i] for i in tracked)
    )
    tol = {"rtol": 2e-4, "atol": 2e-4} if dtype == "float32" else {"rtol": ROUNDED.get(case["op"], 1e-9), "atol": 1e-9}
    assert y.dtype == dtype
    np.testing.assert_allclose(y.numpy(), case["value"], **tol)
    for i, got in zip(tracked, gradients, strict=True):
        np.testing.assert_allclose(got.numpy(), case["gradients"][i], **tol, err_msg=f"gradient of array {i}")
    for got, expected in zip(stats, case.get("running", ()), strict=False):
        np.testing.assert_allclose(got.numpy(), expected, **tol)


def test_pytorchs_names_are_answered():
    for module, name, told in (
        (nn, "Interpolate", "Did you mean 'functional.interpolate'"),
        (nn, "ScaledDotProductAttention", "Did you mean 'functional.scaled_dot_product_attention'"),
        (nn, "Liner", "Did you mean 'Linear'"),
        (nn.functional, "covn2d", "Did you mean 'conv2d'"),
        (nn.functional, "one_hot", r"Did you mean 'jt\.one_hot'"),
        (nn.functional, "normalize", r"Write x / jt\.linalg\.vector_norm"),
        (nn.functional, "pixel_shuffle", r"Write nn\.PixelShuffle\(r\)\(x\)"),
    ):
        with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute '{name}'. {told}"):
            getattr(module, name)
