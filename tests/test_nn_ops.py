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
from jitrench_core.testing import check_op

FAMILIES = [import_module(f"nn_catalogue.{module.name}") for module in pkgutil.iter_modules(nn_catalogue.__path__)]
REFERENCES = {name: f for family in FAMILIES for name, f in getattr(family, "REFERENCES", {}).items()}
CASES = {name: cases for family in FAMILIES for name, cases in getattr(family, "CASES", {}).items()}
OWN = sorted(nn.ops.own())


@pytest.mark.parametrize("name", OWN)
def test_op(name, backend):
    check_op(registry.ops[name], backend, reference=REFERENCES.get(name), cases=CASES.get(name, ()))


def test_every_op_is_in_the_catalogue_and_is_tested():
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
    "bernoulli_loss", "convolution", "exponential_unit", "layer_norm_grad", "log_odds", "log_softmax_at",
    "log_softmax_at_grad", "max_pool", "pool_gather", "pool_scatter", "resample",
}  # fmt: skip


def test_functional_is_the_namespace_of_all_ops():
    for name in nn.functional.__all__:
        assert getattr(jt.ops, name) is getattr(nn.functional, name)
    assert set(OWN) - set(nn.functional.__all__) == HELPERS


@pytest.mark.parametrize("family", nn.ops.FAMILIES, ids=lambda f: f.__name__)
def test_docstrings(family):
    assert doctest.testmod(family).failed == 0


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
