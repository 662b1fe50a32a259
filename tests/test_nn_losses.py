"""Losses, attention, embedding, normalisation and dropout: what they refuse, and what no formula of one call can show."""

from __future__ import annotations

import math

import numpy as np
import pytest

import jitrench_core as jt
import jitrench_nn as nn
from jitrench_core.testing import check_op

F = nn.functional


# -- what is refused --------------------------------------------------------------------------------------------------


def z(*shape, dtype="float64"):
    return np.zeros(shape, dtype)


REFUSED = {
    "shapes": (lambda: F.l1_loss(z(2, 1), z(2)), jt.ShapeError, r"l1_loss\(\): x has shape \(2, 1\) and target \(2,\); .*jt\.reshape"),
    "complex": (lambda: F.mse_loss(z(2, dtype=complex), z(2)), jt.DTypeError, r"mse_loss\(\) takes real numbers, got complex128"),
    "reduction": (lambda: F.mse_loss(z(2), z(2), reduction="avg"), jt.OpError, r"mse_loss\(\): reduction= is 'mean', 'sum' or 'none'; got 'avg'"),
    "delta": (lambda: F.huber_loss(z(2), z(2), delta=0.0), jt.OpError, "delta must be positive; got 0.0"),
    "beta": (lambda: F.smooth_l1_loss(z(2), z(2), beta=-1.0), jt.OpError, "beta must not be negative; got -1.0"),
    "smoothing": (lambda: F.cross_entropy(z(2, 3), z(2, dtype=int), label_smoothing=1.5), jt.OpError, "must be from 0 to 1; got 1.5"),
    "class weights": (lambda: F.nll_loss(z(2, 3), z(2, dtype=int), z(2)), jt.ShapeError, r"weight has shape \(2,\); expected \(3,\), a number for each class"),
    "class weights of probabilities": (lambda: F.cross_entropy(z(2, 3), z(2, 3), z(2)), jt.ShapeError, r"weight has shape \(2,\); expected \(3,\)"),
    "a class among ignored": (lambda: F.cross_entropy(z(2, 3), np.array([-100, 3])), jt.ShapeError, "classes are 0 to 2, .* holds 3"),
    "a negative class": (lambda: F.cross_entropy(z(2, 3), np.array([-100, -1])), jt.ShapeError, "target holds -1"),
    "class axis": (lambda: F.cross_entropy(z(2, 4, 3), z(2, 4, dtype=int)), jt.ShapeError, r"x has shape \(2, 4, 3\) and target \(2, 4\); expected \(n, classes, \.\.\.\)"),
    "cosine embedding": (lambda: F.cosine_embedding_loss(z(2, 3), z(2, 3), z(3)), jt.ShapeError, r"target \(3,\); expected \(n, width\)"),
    "gelu": (lambda: F.gelu(z(2), approximate="erf"), jt.OpError, "approximate= is 'none' or 'tanh'; got 'erf'"),
    "glu, odd": (lambda: F.glu(z(2, 3)), jt.ShapeError, r"its length there is 3, which is odd"),
    "glu, axis": (lambda: F.glu(z(2), axis=1), jt.ShapeError, r"x of shape \(2,\) has no axis 1"),
    "prelu": (lambda: F.prelu(z(2, 3), z(2)), jt.ShapeError, r"weight has shape \(2,\); expected \(3,\)"),
    "log_sigmoid": (lambda: F.log_sigmoid(z(2, dtype=complex)), jt.DTypeError, "log_sigmoid.. takes real numbers"),
    "layer_norm, weight": (lambda: F.layer_norm(z(2, 3), z(2)), jt.ShapeError, r"layer_norm\(\): weight has shape \(2,\), which does not broadcast to x's, \(2, 3\)"),
    "layer_norm, wide bias": (lambda: F.layer_norm(z(3), None, z(2, 3)), jt.ShapeError, r"bias has shape \(2, 3\), which does not"),
    "layer_norm, ints": (lambda: F.layer_norm(z(2, 3, dtype=int)), jt.DTypeError, "x has dtype int64"),
    "rms_norm, ints": (lambda: F.rms_norm(z(2, 3, dtype=int)), jt.DTypeError, "x has dtype int64"),
    "group_norm": (lambda: F.group_norm(z(2, 3), num_groups=2), jt.ShapeError, "3 channels cannot be divided into 2 groups"),
    "group_norm, weight": (lambda: F.group_norm(z(2, 4), z(3), num_groups=2), jt.ShapeError, r"weight has shape \(3,\); expected \(4,\)"),
    "instance_norm, axes": (lambda: F.instance_norm(z(2, 3)), jt.ShapeError, r"expected \(n, channels, length, \.\.\.\)"),
    "instance_norm, one": (lambda: F.instance_norm(z(2, 3, 1)), jt.ShapeError, "more than one number to normalise"),
    "batch_norm, one": (lambda: F.batch_norm(z(1, 3), training=True), jt.ShapeError, "more than one number to normalise"),
    "batch_norm, nothing": (lambda: F.batch_norm(z(2, 3)), jt.OpError, "pass running_mean and running_var, both"),
    "batch_norm, half": (lambda: F.batch_norm(z(2, 3), z(3), training=True), jt.OpError, "pass running_mean and running_var, both"),
    "batch_norm, shape": (lambda: F.batch_norm(z(2, 3), z(2), z(3)), jt.ShapeError, r"running_mean has shape \(2,\); expected \(3,\)"),
    "attention, width": (lambda: F.scaled_dot_product_attention(z(2, 3), z(4, 2), z(4, 2)), jt.ShapeError, r"q has shape \(2, 3\), k \(4, 2\)"),
    "attention, keys": (lambda: F.scaled_dot_product_attention(z(2, 3), z(4, 3), z(5, 2)), jt.ShapeError, r"v \(5, 2\); expected"),
    "attention, mask": (lambda: F.scaled_dot_product_attention(z(2, 3), z(4, 3), z(4, 2), z(3, 4)), jt.ShapeError, r"attn_mask has shape \(3, 4\); expected one that broadcasts to .* \(2, 4\)"),
    "attention, ints": (lambda: F.scaled_dot_product_attention(z(2, 3), z(4, 3), z(4, 2), z(2, 4, dtype=int)), jt.DTypeError, "attn_mask has dtype int64; expected booleans"),
    "attention, both": (lambda: F.scaled_dot_product_attention(z(2, 3), z(4, 3), z(4, 2), z(2, 4), is_causal=True), jt.OpError, "is_causal=True is a mask of its own"),
    "embedding, floats": (lambda: F.embedding(z(2), z(3, 4)), jt.DTypeError, r"indices have dtype float64; .* come first: embedding\(indices, weight\)"),
    "embedding, vector": (lambda: F.embedding(z(2, dtype=int), z(3)), jt.ShapeError, r"weight has shape \(3,\); expected a matrix"),
    "embedding, beyond": (lambda: F.embedding(np.array([0, 3]), z(3, 2)), jt.BoundsError, r"indices are 0 to 2, because weight has shape \(3, 2\); these hold 3"),
    "embedding, negative": (lambda: F.embedding(np.array([0, -1]), z(3, 2)), jt.BoundsError, "these hold -1"),
    "embedding, padding": (lambda: F.embedding(np.array([0]), z(3, 2), padding_idx=3), jt.BoundsError, "padding_idx is 3; weight has the rows 0 to 2"),
    "dropout, p": (lambda: F.dropout(z(2), p=1.5), jt.OpError, r"dropout\(\): p is the probability of a zero, from 0 to 1; got 1.5"),
    "dropout, ints": (lambda: F.dropout(z(2, dtype=int)), jt.DTypeError, "x has dtype int64; expected floating point"),
    "celu": (lambda: F.celu(z(2), alpha=0.0), jt.OpError, r"celu\(\): alpha must not be 0"),
    "integer scores": (lambda: F.cross_entropy(z(2, 3, dtype=int), z(2, dtype=int)), jt.DTypeError, r"cross_entropy\(\): x has dtype int64; expected floating point"),
    "no classes": (lambda: F.cross_entropy(z(0, 0), z(0, dtype=int)), jt.ShapeError, r"there are no classes: x has shape \(0, 0\)"),
    "integers that wrap around": (lambda: F.l1_loss(z(2, dtype="uint8"), z(2, dtype="uint8")), jt.DTypeError, r"l1_loss\(\): x has dtype uint8; .* x\.astype\(jt\.float64\)"),
    "integers to compare": (lambda: F.cosine_similarity(z(2, 3), z(2, 3, dtype="uint8")), jt.DTypeError, r"cosine_similarity\(\): x2 has dtype uint8"),
    "wide variances": (lambda: F.gaussian_nll_loss(z(2), z(2), z(3, 2)), jt.ShapeError, r"var has shape \(3, 2\), which does not broadcast to x's, \(2,\)"),
    "a weight wider than x": (lambda: F.binary_cross_entropy(z(3), z(3), z(2, 3)), jt.ShapeError, r"weight has shape \(2, 3\), which does not broadcast to x's, \(3,\)"),
    "a wide pos_weight": (lambda: F.binary_cross_entropy_with_logits(z(3, 1), z(3, 1), None, z(2)), jt.ShapeError, r"pos_weight has shape \(2,\), which does not"),
    "hinge of ints": (lambda: F.hinge_embedding_loss(z(2, dtype=int), z(2)), jt.DTypeError, r"hinge_embedding_loss\(\): x has dtype int64"),
    "reduction, twice": (lambda: F.mse_loss(z(2), z(2), z(2), reduction="sum"), jt.OpError, r"mse_loss\(\) got reduction= by position and by name"),
    "hardtanh": (lambda: F.hardtanh(z(2), min_val=2.0, max_val=1.0), jt.OpError, "min_val must not be above max_val; got 2.0 and 1.0"),
    "softshrink": (lambda: F.softshrink(z(2), lambd=-1.0), jt.OpError, "lambd must not be negative; got -1.0"),
    "rms_norm, wide weight": (lambda: F.rms_norm(z(3), z(2, 3)), jt.ShapeError, r"rms_norm\(\): weight has shape \(2, 3\), which does not broadcast to x's, \(3,\)"),
    "layer_norm, axis": (lambda: F.layer_norm(np.arange(6.0).reshape(2, 3), axis=5), jt.AxisError, r"layer_norm\(\): axis=5 does not name axes of x, each once; x has shape \(2, 3\)"),
    "layer_norm, axis twice": (lambda: F.layer_norm(np.arange(6.0).reshape(2, 3), axis=(1, -1)), jt.AxisError, r"axis=\(1, -1\) does not"),
    "layer_norm, a number": (lambda: F.layer_norm(2.0), jt.AxisError, r"axis=-1 does not name axes of x, each once; x has shape \(\)"),
    "batch_norm, ints": (lambda: F.batch_norm(z(2, 3, dtype=int), training=True), jt.DTypeError, r"batch_norm\(\): x has dtype int64"),
    "batch_norm, integer statistics": (lambda: F.batch_norm(z(2, 3), z(3, dtype=int), z(3)), jt.DTypeError, r"batch_norm\(\): running_mean has dtype int64"),
    "attention, complex": (lambda: F.scaled_dot_product_attention(z(2, 3, dtype=complex), z(4, 3), z(4, 2)), jt.DTypeError, r"scaled_dot_product_attention\(\) takes real numbers"),
    "triplets": (lambda: F.triplet_margin_loss(z(2, 3), z(2, 3), z(3)), jt.ShapeError, r"anchor has shape \(2, 3\), positive \(2, 3\) and negative \(3,\); expected one shape"),
    "triplets, margin": (lambda: F.triplet_margin_loss(z(2, 3), z(2, 3), z(2, 3), margin=0.0), jt.OpError, "margin must be positive; got 0.0"),
    "distances of integers": (lambda: F.pairwise_distance(z(2, 3), z(2, 3, dtype=int)), jt.DTypeError, r"pairwise_distance\(\): x2 has dtype int64"),
    "soft margin, shapes": (lambda: F.soft_margin_loss(z(2, 1), z(2)), jt.ShapeError, r"soft_margin_loss\(\): x has shape \(2, 1\) and target \(2,\)"),
    "labels without an axis": (lambda: F.multilabel_soft_margin_loss(z(), z()), jt.ShapeError, r"x has no axis of classes: its shape is \(\)"),
    "multi margin, p": (lambda: F.multi_margin_loss(z(2, 3), z(2, dtype=int), p=3), jt.OpError, "p is 1 or 2; got 3"),
    "multi margin, axes": (lambda: F.multi_margin_loss(z(2, 3, 4), z(2, 4, dtype=int)), jt.ShapeError, r"x has shape \(2, 3, 4\); expected \(n, classes\) or \(classes,\)"),
    "multi margin, class": (lambda: F.multi_margin_loss(z(2, 3), np.array([0, 3])), jt.ShapeError, "classes are 0 to 2, .* holds 3"),
    "multi margin, weight": (lambda: F.multi_margin_loss(z(2, 3), np.array([0, 1]), z(2)), jt.ShapeError, r"weight has shape \(2,\); expected \(3,\)"),
    "dropout2d": (lambda: F.dropout2d(z(2, 3)), jt.ShapeError, r"expected \(n, channels, height, width\) or \(channels, height, width\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    call, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        call()


# -- losses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    "shapes", [((3,), (5, 3)), ((3,), (1, 3)), ((5, 3), (3,)), ((3, 1), (3,)), ((), (3,)), ((3,), ())]
)
def test_a_loss_broadcasts_nothing(shapes, reduction, T):
    """A target that is wider than x, too: its shape is that of the difference."""
    x, target = (T(np.ones(s)) for s in shapes)
    for f in (F.mse_loss, F.l1_loss, F.huber_loss):
        with pytest.raises(jt.ShapeError, match="they must be equal: reshape one"):
            f(x, target, reduction=reduction)


def test_mse_loss_of_a_number(T):
    x = T(3.0, requires_grad=True)
    loss = F.mse_loss(x, 1.0)
    loss.backward()
    assert (loss.item(), x.grad.item()) == (4.0, 4.0)


WITH_INTEGERS = {
    "mse": lambda x, y, w: F.mse_loss(x, y),
    "mse, a sum": lambda x, y, w: F.mse_loss(x, y, reduction="sum"),
    "l1": lambda x, y, w: F.l1_loss(x, y),
    "huber": lambda x, y, w: F.huber_loss(x, y),
    "smooth l1": lambda x, y, w: F.smooth_l1_loss(x, y),
    "bce": lambda x, y, w: F.binary_cross_entropy(x, y, w),
    "bce of scores": lambda x, y, w: F.binary_cross_entropy_with_logits(x, y, w, w),
    "kl": lambda x, y, w: F.kl_div(x, y),
    "poisson": lambda x, y, w: F.poisson_nll_loss(x, y, full=True),
    "gaussian": lambda x, y, w: F.gaussian_nll_loss(x, y, w),
    "gaussian, a number": lambda x, y, w: F.gaussian_nll_loss(x, y, 2.0),
    "hinge": lambda x, y, w: F.hinge_embedding_loss(x, y),
    "soft margin": lambda x, y, w: F.soft_margin_loss(x, y),
    "multilabel": lambda x, y, w: F.multilabel_soft_margin_loss(x, y, w),
}


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
@pytest.mark.parametrize("name", WITH_INTEGERS)
def test_integer_targets_count_as_numbers_of_xs_dtype(name, dtype, T, close):
    """float32 stays float32 with labels of integers or booleans, and weights of integers."""
    values = np.array([0.25, 0.5, 0.75])
    f, y, w = WITH_INTEGERS[name], np.array([1, 0, 1]), np.array([1, 2, 3])
    expected, slope = jt.value_and_grad(lambda x: f(x, T(y * 1.0), T(w * 1.0)))(T(values))
    loss, grad = jt.value_and_grad(lambda x: f(x, T(y, dtype), T(w)))(T(values, "float32"))
    assert (loss.dtype, grad.dtype) == (jt.float32, jt.float32)
    np.testing.assert_allclose(loss.numpy(), expected.numpy(), rtol=1e-6)
    np.testing.assert_allclose(grad.numpy(), slope.numpy(), rtol=1e-6)


def test_class_weights_of_another_dtype(T):
    x, target = T(np.ones((2, 3)), "float32"), T([0, 2])
    for weight in (T([1, 2, 3]), T([1.0, 2.0, 3.0])):
        for f in (F.cross_entropy, F.nll_loss, F.multi_margin_loss):
            assert f(x, target, weight).dtype == jt.float32
        assert F.cross_entropy(x, T(np.ones((2, 3)), "float32"), weight, label_smoothing=0.1).dtype == jt.float32


@pytest.mark.parametrize("far", [1e30, math.inf])
def test_huber_losses_of_large_errors(far, T):
    """Nothing overflows in a branch that is not taken, and no 0 is multiplied by infinity."""
    for f in (F.huber_loss, F.smooth_l1_loss):
        x = T([far, -far, 0.5, math.nan], "float32", requires_grad=True)
        loss = f(x, T(np.zeros(4), "float32"), reduction="none")
        loss.sum().backward()
        np.testing.assert_array_equal(loss.numpy(), np.array([far, far, 0.125, math.nan], np.float32))
        np.testing.assert_array_equal(x.grad.numpy(), [1.0, -1.0, 0.5, math.nan])


@pytest.mark.parametrize("shapes", [((2, 3), (2, 1)), ((1, 3), (2, 3)), ((2, 1), (2, 3)), ((2, 1), (1, 3))])
def test_cosines_of_what_broadcasts(shapes, T, close):
    """An element that is repeated along the axis counts each time."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=s) for s in shapes)
    x, y = np.broadcast_arrays(a, b)
    expected = np.sum(x * y, 1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    close(F.cosine_similarity(T(a), T(b)), expected)
    assert (np.abs(expected) <= 1).all()


def test_everything_ignored(T):
    x, target = T(np.ones((2, 3)), requires_grad=True), T([-100, -100])
    assert math.isnan(F.cross_entropy(x, target).item())
    assert F.cross_entropy(x, target, reduction="sum").item() == 0.0
    assert F.nll_loss(x, target, reduction="none").tolist() == [0.0, 0.0]
    F.cross_entropy(x, target, reduction="sum").backward()
    assert x.grad.tolist() == [[0.0] * 3] * 2


def test_ignored_examples_may_hold_anything(T):
    x = T([[1.0, 2.0], [math.nan, math.inf]], requires_grad=True)
    loss = F.nll_loss(x, T([0, -100]))
    loss.backward()
    assert (loss.item(), x.grad.tolist()) == (-1.0, [[-1.0, 0.0], [0.0, 0.0]])


@pytest.mark.parametrize("kind", ["uint8", "int32"])
def test_classes_of_any_integer_dtype(kind, T, close):
    x = T([[1.0, 2.0], [0.5, 0.0]])
    close(F.cross_entropy(x, T([1, 0], kind)), F.cross_entropy(x, T([1, 0])).numpy())


def test_no_index_is_ignored(T):
    with pytest.raises(jt.ShapeError, match="target holds -100"):
        F.cross_entropy(T(z(2, 3)), T([0, -100]), ignore_index=None)


def test_cross_entropy_builds_no_one_hots(monkeypatch):
    """A forward and backward of 4 examples of 50,000 classes makes few arrays of their size, and none with an axis more."""
    import tracemalloc

    x, target = jt.asarray(np.zeros((4, 50_000))), jt.asarray(np.array([1, 2, 3, 4]))
    f = jt.grad(nn.cross_entropy)
    f(x, target)
    tracemalloc.start()
    f(x, target)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * x.numpy().nbytes


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("outside", "told"), [(-0.5, "-0.5"), (1.5, "1.5")])
def test_probabilities_outside_of_0_and_1_are_refused(outside, told, reduction, T):
    told = rf"x must be probabilities, from 0 to 1; it holds {told}\. Of scores \(logits\) take binary_cross_entropy_with_logits"
    target, weight = T([1.0, 0.0, 1.0]), T([2.0, 1.0, 0.0])
    for x in (T([0.5, outside, 0.2], requires_grad=True), T([math.nan, outside, 0.2])):
        for weights in ((), (weight,)):
            with pytest.raises(jt.OpError, match=told):
                F.binary_cross_entropy(x, target, *weights, reduction=reduction)
        with pytest.raises(jt.OpError, match=told):
            nn.BCELoss(reduction=reduction)(x, target)
        with pytest.raises(jt.OpError, match=told):
            jt.grad(lambda x: jt.sum(F.binary_cross_entropy(x, target, reduction=reduction)))(x.detach())


def test_probabilities_that_are_nan_or_cannot_be_looked_at(T, close):
    f = F.binary_cross_entropy
    x, target = T([[0.0, 0.5], [1.0, 0.25]]), T([[0.0, 1.0], [1.0, 0.0]])
    assert math.isnan(f(T([math.nan, 0.5]), T([1.0, 1.0])).item())  # who made that is told elsewhere
    assert f(T(z(0)), T(z(0)), reduction="sum").item() == 0.0
    close(jt.vmap(f)(x, target), [f(a, b).item() for a, b in zip(x, target, strict=True)])
    found = jt.vmap(lambda a, b: f(a, b, reduction="none"))(T([[-1.0, 0.5], [1.5, 0.5]]), target).tolist()
    assert [[math.isnan(v) for v in row] for row in found] == [[True, False], [True, False]]
    assert math.isnan(jt.jvp(lambda a: f(a, target[0]), (T([2.0, 0.5]),), (T([1.0, 1.0]),))[0].item())
    inner = T([0.3, 0.6])
    close(jt.hessian(lambda a: f(a, target[0], reduction="sum"))(inner), np.diag([1 / 0.7**2, 1 / 0.6**2]), 1e-12)


def test_what_is_ignored_is_told_with_a_class_that_is_none(T):
    for f in (F.cross_entropy, F.nll_loss):
        with pytest.raises(
            jt.ShapeError, match=r"target holds -1\. Only -100 is passed over: ignore_index= says what is"
        ):
            f(T(z(2, 3)), T([0, -1]))
        with pytest.raises(jt.ShapeError, match=r"target holds -1$"):
            f(T(z(2, 3)), T([0, -1]), ignore_index=None)


def test_cross_entropy_under_vmap_and_jvp(T, close):
    rng = np.random.default_rng(0)
    x, target, weight = rng.normal(size=(4, 5, 3)), rng.integers(0, 3, size=(4, 5)), np.array([0.5, 1.0, 2.0])
    target[0, 0] = -100
    f = lambda x, t: F.cross_entropy(x, t, T(weight), label_smoothing=0.1)  # noqa: E731
    close(jt.vmap(f)(T(x), T(target)), [f(T(a), T(b)).item() for a, b in zip(x, target, strict=True)])
    close(
        jt.vmap(jt.grad(f))(T(x), T(target)),
        np.stack([jt.grad(f)(T(a), T(b)).numpy() for a, b in zip(x, target, strict=True)]),
    )
    v = rng.normal(size=(5, 3))
    slope = jt.jvp(lambda x: f(x, T(target[0])), (T(x[0]),), (T(v),))[1]
    close(slope, (jt.grad(f)(T(x[0]), T(target[0])) * T(v)).sum().numpy())


# -- normalisation ----------------------------------------------------------------------------------------------------


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=(4, 3)), *rng.normal(size=(2, 3))), {}))
def batch_norm_in_training(x, weight, bias, /):
    """Its new running statistics are constants, so the battery can check the first result alone."""
    return F.batch_norm(x, None, None, weight, bias, training=True)[0]


def test_batch_norm_in_training(backend):
    def reference(x, weight, bias):
        return (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) * weight + bias

    check_op(batch_norm_in_training, backend, reference=reference)


def test_batch_norm_writes_nothing(T):
    x, mean, var = T(np.arange(6.0).reshape(3, 2), requires_grad=True), T([0.0, 0.0]), T([1.0, 1.0])
    y, new_mean, new_var = F.batch_norm(x, mean, var, training=True, momentum=1.0)
    assert (mean.tolist(), var.tolist()) == ([0.0, 0.0], [1.0, 1.0])
    assert (new_mean.tolist(), new_var.tolist()) == ([2.0, 3.0], [4.0, 4.0])
    assert (y.requires_grad, new_mean.requires_grad, new_var.requires_grad) == (True, False, False)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("far", [0.0, 3.0, 1e3])
def test_layer_norm_far_from_zero(far, dtype, T):
    """In few passes where that keeps the digits, else by the definition."""
    rng = np.random.default_rng(0)
    x, weight, bias, g = (
        rng.normal(size=(8, 33)) + far,
        rng.normal(size=33),
        rng.normal(size=33),
        rng.normal(size=(8, 33)),
    )
    x = x.astype(dtype).astype(float)
    eps = {"float32": 1e-6, "float64": 1e-13}[dtype] * (1 + far)
    c = x - x.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt((c * c).mean(-1, keepdims=True) + 1e-5)
    n, h = c * rstd, g * weight
    expected = rstd * (h - h.mean(-1, keepdims=True) - n * (h * n).mean(-1, keepdims=True)), (g * n).sum(0), g.sum(0)
    leaves = [T(a, dtype, requires_grad=True) for a in (x, weight, bias)]
    y = F.layer_norm(*leaves)
    y.backward(T(g, dtype))
    np.testing.assert_allclose(y.numpy(), n * weight + bias, rtol=10 * eps, atol=10 * eps)
    for leaf, e in zip(leaves, expected, strict=True):
        np.testing.assert_allclose(leaf.grad.numpy(), e, rtol=30 * eps, atol=30 * eps)


@pytest.mark.parametrize("rows", [np.tile([2.9, 4.9], 2048), np.arange(33.0) * 1e16], ids=["far", "large"])
def test_layer_norm_keeps_float32s_digits(rows, T):
    """Where squares would round differences off, and where powers of the deviation leave float32."""
    rng = np.random.default_rng(0)
    n = rows.size
    x, weight, bias = (a.astype("float32") for a in (np.stack([rows, rng.permutation(rows)]), *rng.normal(size=(2, n))))
    g = rng.normal(size=(2, n)).astype("float32")
    found = []
    for dtype in ("float32", "float64"):
        leaves = [T(a, dtype, requires_grad=True) for a in (x, weight, bias)]
        y = F.layer_norm(*leaves)
        y.backward(T(g, dtype))
        found.append([y.numpy(), *(leaf.grad.numpy() for leaf in leaves)])
    for low, high in zip(*found, strict=True):
        np.testing.assert_allclose(low, high, rtol=0, atol=1e-6 * np.abs(high).max())


def test_layer_norm_needs_what_is_asked_for(T, close):
    x, weight, bias = T(np.arange(6.0).reshape(2, 3)), T([1.0, 2.0, 3.0]), T(np.ones((2, 1)), requires_grad=True)
    F.layer_norm(x, weight, bias).sum().backward()
    close(bias.grad, [[3.0], [3.0]])


# -- attention and embedding --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [np.zeros((2, 3), bool), np.full((2, 3), -math.inf)], ids=["bool", "float"])
def test_a_query_that_may_look_nowhere_gives_zero(mask, T):
    q, k, v = (T(np.ones(s), requires_grad=True) for s in ((2, 4), (3, 4), (3, 5)))
    y = F.scaled_dot_product_attention(q, k, v, T(mask))
    y.sum().backward()
    assert y.tolist() == [[0.0] * 5] * 2
    assert all((x.grad == 0).all() for x in (q, k, v))


def test_attention_drops_weights(T, backend):
    q, k, v = T(z(2, 4)), T(z(3, 4)), T(np.eye(3))
    y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.5, generator=jt.random.Generator(1, device=backend))
    kept = jt.random.Generator(1, device=backend).uniform((2, 3)).numpy() >= 0.5
    np.testing.assert_allclose(y.numpy(), kept * 2 / 3)


def test_padding_gets_no_gradient(T):
    weight = T(np.arange(6.0).reshape(3, 2), requires_grad=True)
    y = F.embedding(T([[1, 0], [1, 2]]), weight, padding_idx=0)
    assert y.shape == (2, 2, 2)
    y.sum().backward()
    assert weight.grad.tolist() == [[0.0, 0.0], [2.0, 2.0], [1.0, 1.0]]


def test_attention_without_keys_gives_zero(T):
    q, k, v = T(np.ones((2, 3, 4)), requires_grad=True), T(np.ones((0, 4))), T(np.ones((2, 0, 5)))
    y = F.scaled_dot_product_attention(q, k, v)
    assert y.tolist() == [[[0.0] * 5] * 3] * 2
    y.sum().backward()
    assert (q.grad == 0).all()


def test_embedding_under_vmap(T):
    weight = T(np.arange(6.0).reshape(3, 2))
    assert jt.vmap(lambda i: F.embedding(i, weight))(T([2, 0])).tolist() == [[4.0, 5.0], [0.0, 1.0]]
    rows = jt.vmap(lambda i: F.embedding(i, weight))(T([-1, 1, 3]))  # a negative one does not count from the end
    np.testing.assert_array_equal(rows.numpy(), [[math.nan] * 2, [2.0, 3.0], [math.nan] * 2])


# -- dropout ----------------------------------------------------------------------------------------------------------


def test_one_seed_gives_one_mask_on_every_backend(backend):
    x = jt.ones((3, 4), device=backend)
    y = F.dropout(x, p=0.3, generator=jt.random.Generator(7, device=backend))
    expected = (jt.random.Generator(7).uniform((3, 4)).numpy() >= 0.3) / 0.7
    np.testing.assert_allclose(y.numpy(), expected)
    with pytest.raises(jt.DeviceMismatchError, match=r"jt\.random\.Generator\(seed, device="):
        F.dropout(x, generator=type("Elsewhere", (), {"device": None})())


def test_the_default_generator(T, backend):
    jt.random.seed(3)
    a = F.dropout(T(np.ones(50)))
    jt.random.seed(3)
    assert a.tolist() == F.dropout(T(np.ones(50))).tolist()
    assert a.device == jt.device(backend)


@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
def test_dropout_is_linear_to_every_transform(p, T, backend, close):
    def f(x):
        return F.dropout(x, p=p, generator=jt.random.Generator(5, device=backend))

    x, v = T(np.linspace(-1.0, 1.0, 6)), T(np.linspace(0.5, 2.0, 6))
    mask = f(T(np.ones(6))).numpy()
    close(f(x), x.numpy() * mask)
    close(jt.grad(lambda x: (f(x) * v).sum())(x), v.numpy() * mask)
    close(jt.jvp(f, (x,), (v,))[1], v.numpy() * mask)
    close(jt.grad(lambda x: jt.square(jt.grad(lambda x: jt.square(f(x)).sum())(x)).sum())(x), 8 * x.numpy() * mask**4)
    close(jt.vmap(f)(T(np.ones((2, 6)))), np.stack([mask, mask]))  # one mask for all examples
    close(F.dropout(x, p=p, training=False), x.numpy())


def test_dropout_keeps_mean_and_dtype(backend):
    x = jt.ones((200, 200), dtype="float32", device=backend)
    y = F.dropout(x, p=0.25, generator=jt.random.Generator(0, device=backend))
    assert y.dtype == jt.float32
    assert abs(y.numpy().mean() - 1.0) < 0.01
    assert abs((y.numpy() == 0).mean() - 0.25) < 0.01


@pytest.mark.parametrize(
    ("f", "shape", "axes"),
    [(F.dropout1d, (4, 8, 3), 1), (F.dropout2d, (4, 8, 3, 2), 2), (F.dropout3d, (8, 3, 2, 2), 3)],
)
def test_whole_channels(f, shape, axes, T, backend):
    y = f(T(np.ones(shape)), p=0.5, generator=jt.random.Generator(2, device=backend)).numpy()
    channels = y.reshape(*shape[:-axes], -1)
    assert (channels == channels[..., :1]).all()
    assert set(np.unique(y)) == {0.0, 2.0}


def test_alpha_dropout_keeps_mean_and_variance(backend):
    x = jt.random.Generator(1, device=backend).normal((300, 300))
    y = F.alpha_dropout(x, p=0.2, generator=jt.random.Generator(0, device=backend)).numpy()
    assert abs(y.mean()) < 0.02
    assert abs(y.std() - 1) < 0.02
