"""Metrics: scikit-learn's numbers on random and awkward inputs, streams that equal the whole, and errors."""

from __future__ import annotations

import copy
import doctest
import importlib
import math

import numpy as np
import pytest

import jitrench_core as jt
import jitrench_nn as nn
from jitrench_nn import metrics as M

RAGGED = (1, 7, 2, 30, 5)  # lengths of batches; the last takes the rest


def batches(x, target):
    start = 0
    for n in (*RAGGED, len(target)):
        if start < len(target):
            yield x[start : start + n], target[start : start + n]
        start += n


def scores(rng, n=200, classes=4, ties=False):
    x = rng.normal(size=(n, classes))
    if ties:
        x = np.round(x)
    x = np.exp(x)
    return x / x.sum(axis=-1, keepdims=True)


# -- against scikit-learn ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sk():
    return pytest.importorskip("sklearn.metrics")


CASES = {
    "random": lambda rng: (rng.integers(0, 4, 200), rng.integers(0, 4, 200)),
    "a class is never predicted": lambda rng: (rng.integers(0, 3, 200), rng.integers(0, 4, 200)),
    "a class never occurs": lambda rng: (rng.integers(0, 4, 200), 2 * rng.integers(0, 2, 200)),
    "one class only": lambda rng: (np.zeros(9, dtype=int), np.zeros(9, dtype=int)),
    "all wrong": lambda rng: (np.zeros(9, dtype=int), np.ones(9, dtype=int)),
    "one example": lambda rng: (np.array([3]), np.array([1])),
}


@pytest.mark.parametrize("zero_division", [0.0, 1.0, math.nan])
@pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_averages_are_scikit_learns(name, case, average, zero_division, sk, T, close):
    x, target = CASES[case](np.random.default_rng(0))
    labels = range(max(x.max(), target.max(), 1) + 1) if average is None else None
    expected = getattr(sk, f"{name}_score")(target, x, average=average, labels=labels, zero_division=zero_division)
    close(getattr(M, name)(T(x), T(target), average, zero_division=zero_division), expected)


@pytest.mark.parametrize(
    ("x", "target"),
    [
        ([1, 0, 1, 1, 0, 0, 1], [1, 1, 0, 1, 0, 0, 1]),
        ([0, 0, 0], [0, 0, 0]),
        ([1, 1, 1], [0, 0, 0]),
        ([0, 0, 0], [1, 1, 1]),
        ([1], [1]),
    ],
)
@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_binary_is_scikit_learns(name, x, target, sk, T):
    expected = getattr(sk, f"{name}_score")(target, x, zero_division=0)
    assert getattr(M, name)(T(x), T(target)).item() == pytest.approx(expected, abs=1e-15)
    assert getattr(M, name)(T([float(v) for v in x]), T(target)).item() == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("normalize", [None, "true", "pred", "all"])
@pytest.mark.parametrize("case", CASES)
def test_confusion_matrix_is_scikit_learns(case, normalize, sk, T, close):
    x, target = CASES[case](np.random.default_rng(1))
    found = M.confusion_matrix(T(x), T(target), 5, normalize=normalize)
    close(found, sk.confusion_matrix(target, x, labels=range(5), normalize=normalize))
    assert found.dtype == (jt.int64 if normalize is None else jt.float64)
    assert jt.device(found.device) == T([0.0]).device


@pytest.mark.parametrize("ties", [False, True])
def test_auc_and_average_precision_are_scikit_learns(ties, sk, T, close):
    rng = np.random.default_rng(2)
    target, x = rng.integers(0, 2, 300), rng.normal(size=300)
    x = np.round(x) if ties else x
    close(M.auc(T(x), T(target)), sk.roc_auc_score(target, x))
    close(M.average_precision(T(x), T(target)), sk.average_precision_score(target, x))
    target, x = rng.integers(0, 4, 300), scores(rng, 300, ties=ties)
    for average in ("macro", "weighted", None):
        expected = sk.roc_auc_score(target, x, multi_class="ovr", average=average)
        close(M.auc(T(x), T(target), average), expected)
    expected = [sk.average_precision_score(target == c, x[:, c]) for c in range(4)]
    close(M.average_precision(T(x), T(target), None), expected)
    close(M.average_precision(T(x), T(target)), np.mean(expected))


def test_auc_of_all_ties_infinities_and_one_class(T):
    target = T([0, 1, 0, 1])
    assert M.auc(T([2.0] * 4), target).item() == 0.5
    assert M.auc(T([-math.inf, math.inf, 0.0, math.inf]), target).item() == 1.0
    assert M.auc(T([4, 1, 3, 2]), target).item() == 0.0
    assert math.isnan(M.auc(T([0.1, 0.2]), T([1, 1])).item())
    assert M.average_precision(T([0.1, 0.2]), T([0, 0])).item() == 0.0
    assert M.average_precision(T([0.1, 0.2]), T([1, 1])).item() == 1.0
    # Column 1 of two; and a class that never occurs is left out of the mean of three.
    assert M.auc(T([[0.9, 0.1], [0.2, 0.8]]), T([0, 1])).item() == 1.0
    x = [[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.5, 0.4, 0.1]]
    assert M.auc(T(x), T([0, 1, 1])).item() == 1.0
    assert math.isnan(M.auc(T(x), T([0, 1, 1]), None).tolist()[2])


def test_top_k_is_scikit_learns(sk, T):
    rng = np.random.default_rng(3)
    x, target = scores(rng, 200, 6), rng.integers(0, 6, 200)
    for k in range(1, 6):
        expected = sk.top_k_accuracy_score(target, x, k=k, labels=range(6))
        assert M.top_k_accuracy(T(x), T(target), k).item() == pytest.approx(expected, abs=1e-15)
    assert M.top_k_accuracy(T(x), T(target), 6).item() == 1.0


def test_top_k_counts_a_tie_for_the_first(T):
    x = T([[1.0, 1.0, 1.0, 0.0]])
    assert [M.top_k_accuracy(x, T([c]), 2).item() for c in range(4)] == [1.0, 1.0, 0.0, 0.0]
    rng = np.random.default_rng(4)
    x, target = T(rng.integers(0, 3, (100, 5)).astype(float)), T(rng.integers(0, 5, 100))
    assert M.top_k_accuracy(x, target, 1).item() == M.accuracy(x, target).item()
    # A NaN is the largest to argmax; of one's own class it is no hit.
    x = T([[math.nan, 1.0, 2.0]])
    assert [M.top_k_accuracy(x, T([c]), 1).item() for c in (1, 2)] == [0.0, 0.0]
    assert [M.top_k_accuracy(x, T([c]), 2).item() for c in (1, 2)] == [0.0, 1.0]


REGRESSION = {
    "random": lambda rng: (rng.normal(size=50), rng.normal(size=50)),
    "several outputs": lambda rng: (rng.normal(size=(50, 3)), rng.normal(size=(50, 3))),
    "one output is constant": lambda rng: (rng.normal(size=(50, 2)), np.stack([rng.normal(size=50), np.ones(50)], 1)),
    "constant and right": lambda rng: (np.full(5, 0.1), np.full(5, 0.1)),
    "constant and wrong": lambda rng: (np.full(5, 0.125) + rng.normal(size=5), np.full(5, 0.125)),
    "far from 0": lambda rng: (1e6 + rng.normal(size=50), 1e6 + rng.normal(size=50)),
}


@pytest.mark.parametrize("case", REGRESSION)
def test_regression_is_scikit_learns(case, sk, T, close):
    x, target = REGRESSION[case](np.random.default_rng(5))
    for multioutput in ("uniform_average", "variance_weighted", "raw_values"):
        expected = sk.r2_score(target, x, multioutput=multioutput)
        found = M.r2(T(x), T(target), multioutput=multioutput)
        close(found if x.ndim > 1 or multioutput != "raw_values" else found.reshape((1,)), expected, 1e-9)
    close(M.mean_absolute_error(T(x), T(target)), sk.mean_absolute_error(target, x))
    close(M.mean_squared_error(T(x), T(target)), sk.mean_squared_error(target, x))
    close(M.root_mean_squared_error(T(x), T(target)), sk.root_mean_squared_error(target, x))


def test_r2_of_one_example_and_of_a_constant_that_floats_do_not_hold(T):
    assert math.isnan(M.r2(T([1.0]), T([1.0])).item())
    # 0.1 + 0.1 + 0.1 is not 3 * 0.1: about a mean of the sums a variance of 1e-34 would be left, and R2 be -1e32.
    metric = M.R2()
    for n in (3, 10, 1):
        metric.update(T([0.2] * n), T([0.1] * n))
    assert metric.compute().item() == 0.0


def test_r2_streams_without_losing_digits(T):
    rng = np.random.default_rng(6)
    noise = rng.normal(size=20_000)
    target = 1e8 + noise
    x = target + 0.5 * rng.normal(size=noise.size)
    metric = M.R2()
    for rows in np.split(np.arange(noise.size), [1, 2, 500, 7000, 7001]):
        metric.update(T(x[rows]), T(target[rows]))
    shifted = target - 1e8  # exact, so that this needs no care
    expected = 1 - ((x - target) ** 2).sum() / ((shifted - shifted.mean()) ** 2).sum()
    assert metric.compute().item() == pytest.approx(expected, abs=1e-12)


def test_perplexity(T, close):
    rng = np.random.default_rng(7)
    x, target = rng.normal(size=(4, 9, 11)), rng.integers(0, 11, (4, 9))
    log_p = x - np.log(np.exp(x).sum(-1, keepdims=True))
    nll = -np.take_along_axis(log_p, target[..., None], -1)[..., 0]
    close(M.perplexity(T(x), T(target)), np.exp(nll.mean()))
    masked = target.copy()
    masked[0] = -100
    close(M.perplexity(T(x), T(masked)), np.exp(nll[1:].mean()))
    assert math.isnan(M.perplexity(T(x), T(np.full_like(target, -100))).item())
    # Nothing overflows: a model that is sure and wrong, and a sum past what float32 counts.
    assert M.perplexity(T([[1000.0, 0.0]]), T([1])).item() == math.inf
    assert M.perplexity(T([[1000.0, 0.0]]), T([0])).item() == 1.0


def test_accuracy_takes_scores_classes_and_probabilities(T):
    target = T([[1, 0], [0, 1]])
    assert M.accuracy(T([[1, 0], [1, 1]]), target).item() == 0.75
    assert M.accuracy(T([[True, False], [False, True]]), target).item() == 1.0
    assert M.accuracy(T([[0.9, 0.2], [0.5, 0.6]]), target).item() == 1.0
    assert M.accuracy(T([[0.4, -0.2], [-3.0, 6.0]]), target, threshold=0).item() == 1.0
    assert M.accuracy([[0.1, 0.9]], T([1])).item() == 1.0
    assert M.accuracy(T([[0.1, 0.9]], "float32"), [1]).dtype == jt.float32
    assert M.accuracy(T([[0.9, 0.1], [0.1, 0.9]]), T([False, True])).item() == 1.0


# -- streams ----------------------------------------------------------------------------------------------------------

CLASSES = lambda rng: (scores(rng, ties=True), rng.integers(0, 4, 200))  # noqa: E731
PAIRS = lambda rng: (np.round(rng.normal(size=200), 1), rng.integers(0, 2, 200))  # noqa: E731
LABELS = lambda rng: (np.sort(rng.integers(0, 9, 200)), rng.integers(0, 4, 200))  # noqa: E731
NUMBERS = lambda rng: (rng.normal(size=(200, 2)), rng.normal((0, 1e3), size=(200, 2)))  # noqa: E731
TOKENS = lambda rng: (rng.normal(size=(200, 6)), np.where(rng.random(200) < 0.3, -100, rng.integers(0, 6, 200)))  # noqa: E731

STREAMS = {
    "Accuracy": (M.Accuracy, M.accuracy, CLASSES),
    "TopK": (lambda: M.TopK(2), lambda x, t: M.top_k_accuracy(x, t, 2), CLASSES),
    "Precision": (lambda: M.Precision("macro"), lambda x, t: M.precision(x, t, "macro"), CLASSES),
    "Recall": (lambda: M.Recall("weighted"), lambda x, t: M.recall(x, t, "weighted"), CLASSES),
    "F1": (lambda: M.F1(None), lambda x, t: M.f1(x, t, None), LABELS),
    "ConfusionMatrix": (M.ConfusionMatrix, M.confusion_matrix, LABELS),
    "AUC": (M.AUC, M.auc, PAIRS),
    "AUC of classes": (lambda: M.AUC(None), lambda x, t: M.auc(x, t, None), CLASSES),
    "AveragePrecision": (M.AveragePrecision, M.average_precision, PAIRS),
    "R2": (M.R2, M.r2, NUMBERS),
    "MeanAbsoluteError": (M.MeanAbsoluteError, M.mean_absolute_error, NUMBERS),
    "MeanSquaredError": (M.MeanSquaredError, M.mean_squared_error, NUMBERS),
    "RootMeanSquaredError": (M.RootMeanSquaredError, M.root_mean_squared_error, NUMBERS),
    "Perplexity": (M.Perplexity, M.perplexity, TOKENS),
}
COUNTED = ("Accuracy", "TopK", "Precision", "Recall", "F1", "ConfusionMatrix", "AUC", "AUC of classes")


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_the_whole(name, T, close):
    make, function, data = STREAMS[name]
    x, target = data(np.random.default_rng(8))
    tol = 0.0 if name in COUNTED else 1e-12
    expected = function(T(x), T(target))
    whole, left, right = make(), make(), make()
    for i, (a, b) in enumerate(batches(x, target)):
        assert whole.update(T(a), T(b)) is whole
        (left, right)[i % 2].update(T(a), T(b))
        resumed = make()
        resumed.load_state_dict(copy.copy(whole.state_dict()))
        whole = resumed
    close(whole.compute(), expected, tol)
    close(whole.compute(), expected, tol)  # and computing changes nothing
    assert whole.compute().dtype == expected.dtype
    assert whole.compute().device == T([0.0]).device
    close(left.merge(right).compute(), expected, tol if name != "AveragePrecision" else 1e-12)
    close(left.merge(make()).compute(), expected, 1e-12)
    whole.reset()
    assert whole.state_dict() == {}
    with pytest.raises(M.MetricError, match=r"\.compute\(\): no example was seen"):
        whole.compute()
    whole.merge(right)
    close(whole.compute(), right.compute(), 0.0)


@pytest.mark.parametrize("name", STREAMS)
def test_a_batch_that_is_refused_changes_nothing(name, T, close):
    make, _, data = STREAMS[name]
    x, target = data(np.random.default_rng(9))
    metric = make().update(T(x), T(target))
    before = metric.compute()
    with pytest.raises(jt.JITrenchError):
        metric.update(T(x[:3]), T(target[:2]))
    with pytest.raises(jt.ShapeError):
        metric.update(T(x[:0]), T(target[:0])) if name != "Perplexity" else metric.update(T(x[:, :0]), T(target))
    close(metric.compute(), before, 0.0)


def test_counts_are_exact_where_float32_would_round(T):
    metric = M.Accuracy()
    metric.load_state_dict({"hits": T(2**24), "total": 2**24})
    metric.update(T([[0.0, 1.0]], "float32"), T([0]))
    assert metric.compute().item() == 2**24 / (2**24 + 1)
    assert metric.state_dict()["total"] == 2**24 + 1


def test_no_graph_is_kept(T):
    x = T([0.1, 0.7, 0.3], requires_grad=True)
    metric = M.AUC().update(x * 2, T([0, 1, 0]))
    assert not metric.state_dict()["scores"].requires_grad
    with jt.no_grad():
        x[0] = 5.0  # what was seen is seen
    assert metric.compute().item() == 1.0
    assert not M.mean_squared_error(x, T([0.0, 0.0, 0.0])).requires_grad


def test_mean(T):
    metric = M.Mean()
    metric.update(2.0).update(T(4.0), weight=3).update(T([1.0, 3.0]), T([1.0, 0.0]))
    assert metric.compute().item() == (2 + 12 + 1) / 5
    metric.reset()
    assert math.isnan(metric.update(1.0, weight=0).compute().item())
    with pytest.raises(M.MetricError, match="a weight is below 0"):
        metric.update(1.0, weight=-1)


def test_a_metric_of_ones_own(T):
    class Positive(M.Metric):
        keys = ("above", "total")

        def measure(self, x):
            return {"above": jt.count_nonzero(x > 0), "total": x.size}

        def value(self, state):
            return state["above"].astype(jt.float64) / state["total"]

    metric = Positive().update(T([1.0, -1.0])).update(T([2.0]))
    assert metric.compute().item() == pytest.approx(2 / 3)
    with pytest.raises(NotImplementedError, match="metric Empty has no measure"):
        type("Empty", (M.Metric,), {})().update(T([1.0]))


def test_a_state_follows_the_data_to_its_device(T):
    metric = M.Recall()
    metric.load_state_dict({key: jt.tensor([1, 1], device="numpy") for key in M.Recall.keys})
    assert metric.update(T([1]), T([1])).compute().item() == 1.0
    metric = M.AUC()
    metric.load_state_dict(
        {"scores": jt.tensor([0.1, 0.2], device="numpy"), "targets": jt.tensor([0, 1], device="numpy")}
    )
    assert metric.update(T([0.3]), T([1])).compute().item() == 1.0


# -- errors -----------------------------------------------------------------------------------------------------------


def test_errors_of_inputs(T):
    x, target = T([[0.1, 0.9], [0.8, 0.2]]), T([1, 0])
    with pytest.raises(
        jt.DTypeError, match=r"accuracy\(\): target has dtype float64; expected integer classes, of shape \(2,\)"
    ):
        M.accuracy(x, T([1.0, 0.0]))
    with pytest.raises(
        jt.ShapeError, match=r"accuracy\(\): x has shape \(2, 2\) and target \(3,\); expected \(\.\.\., classes\)"
    ):
        M.accuracy(x, T([1, 0, 1]))
    with pytest.raises(
        jt.ShapeError, match=r"expected scores of shape \(\.\.\., classes\) and \(\.\.\.\), or predicted classes"
    ):
        M.accuracy(T([1, 2, 3]), target)
    with pytest.raises(jt.BoundsError, match=r"accuracy\(\): target holds class 2; expected classes from 0 to 1"):
        M.accuracy(x, T([1, 2]))
    with pytest.raises(jt.BoundsError, match=r"f1\(\): x holds class -1; expected classes from 0"):
        M.f1(T([-1, 0]), target)
    with pytest.raises(jt.BoundsError, match="target holds class 3; expected classes from 0 to 2"):
        M.ConfusionMatrix(3).update(T([1, 0]), T([1, 3]))
    with pytest.raises(jt.ShapeError, match="x has scores of 2 classes; expected num_classes=3"):
        M.ConfusionMatrix(3).update(x, target)
    with pytest.raises(jt.ShapeError, match=r"x has shape \(0, 2\), so there is no example"):
        M.accuracy(x[:0], target[:0])
    with pytest.raises(jt.DTypeError, match="x has dtype complex128; expected scores"):
        M.accuracy(T([[1j, 0]]), T([1]))
    with pytest.raises(jt.DTypeError, match="x has dtype complex128; expected real scores or integer classes"):
        M.accuracy(T([1j]), T([1]))
    with pytest.raises(M.MetricError, match=r"auc\(\): x holds NaN, which has no rank"):
        M.auc(T([0.1, math.nan]), target)
    with pytest.raises(jt.BoundsError, match=r"auc\(\): target holds class 2; expected classes from 0 to 1"):
        M.auc(T([0.1, 0.2]), T([1, 2]))
    with pytest.raises(
        jt.ShapeError, match=r"auc\(\): x has shape \(3,\) and target \(2,\); expected a score for each"
    ):
        M.auc(T([0.1, 0.2, 0.3]), target)
    with pytest.raises(jt.DTypeError, match=r"average_precision\(\): x has dtype complex128"):
        M.average_precision(T([1j, 0]), target)
    with pytest.raises(jt.ShapeError, match=r"auc\(\): scores of 3 classes after those of 2"):
        M.AUC().update(x, target).update(T([[0.1, 0.2, 0.7]]), T([1]))
    with pytest.raises(M.MetricError, match=r"top_k_accuracy\(\): k = 5 of 2 classes; expected at most 2"):
        M.top_k_accuracy(x, target)
    with pytest.raises(jt.ShapeError, match=r"R2: x has shape \(2, 1\) and target \(2,\).*nothing is broadcast here"):
        M.r2(T([[1.0], [2.0]]), T([1.0, 2.0]))
    with pytest.raises(jt.ShapeError, match=r"outputs of shape \(3,\) after those of shape \(\)"):
        M.R2().update(T([1.0]), T([1.0])).update(T([[1.0, 2.0, 3.0]]), T([[1.0, 2.0, 3.0]]))
    with pytest.raises(jt.DTypeError, match="target has dtype complex128; expected real numbers"):
        M.mean_squared_error(T([1.0]), T([1j]))


def test_errors_of_options(T):
    with pytest.raises(M.MetricError, match=r"F1\(average=\): expected 'binary' or 'macro' or .*; got 'mean'"):
        M.f1(T([1]), T([1]), "mean")
    with pytest.raises(
        M.MetricError, match=r"precision\(average='binary'\) is of class 1 .* there are 3 classes: say average='macro'"
    ):
        M.precision(T([1, 2]), T([1, 0]))
    with pytest.raises(M.MetricError, match=r"Recall\(average='binary'\) .* there are 4 classes"):
        M.Recall(num_classes=4)
    with pytest.raises(M.MetricError, match=r"Recall\(num_classes=\): expected an int from 2, or None; got 1"):
        M.Recall("macro", num_classes=1)
    with pytest.raises(M.MetricError, match=r"zero_division=\): expected 0, 1 or NaN; got 0\.5"):
        M.Precision(zero_division=0.5)
    with pytest.raises(M.MetricError, match=r"TopK\(k\): expected an int from 1; got 0"):
        M.TopK(0)
    with pytest.raises(M.MetricError, match=r"normalize=\): expected 'true' or 'pred' or 'all' or None; got 'rows'"):
        M.ConfusionMatrix(normalize="rows")
    with pytest.raises(M.MetricError, match=r"ConfusionMatrix\(num_classes\): expected an int from 2, or None; got 1"):
        M.ConfusionMatrix(1)
    with pytest.raises(M.MetricError, match=r"AUC\(average=\)"):
        M.AUC("micro")
    with pytest.raises(M.MetricError, match=r"R2\(multioutput=\)"):
        M.R2(multioutput="mean")


def test_errors_of_states():
    with pytest.raises(
        M.MetricError, match=r"TopK\(k=3\)\.merge\(\): expected a metric with the same options, got TopK\(k=5\)"
    ):
        M.TopK(3).merge(M.TopK(5))
    with pytest.raises(M.MetricError, match=r"got Recall\(average='binary'"):
        M.Precision().merge(M.Recall())
    assert M.F1(zero_division=math.nan).merge(M.F1(zero_division=math.nan)).state_dict() == {}
    with pytest.raises(
        M.MetricError, match=r"load_state_dict\(\): expected 'hits', 'total', or an empty dict; got 'loss', 'total'"
    ):
        M.Accuracy().load_state_dict({"loss": 1, "total": 2})
    with pytest.raises(M.MetricError, match="or an empty dict; got list"):
        M.Accuracy().load_state_dict([1])


@pytest.mark.parametrize("module", ["metric", "inputs", "classification", "ranking", "regression"])
def test_doctests(module):
    assert doctest.testmod(importlib.import_module(f"jitrench_nn.metrics.{module}")).failed == 0


def test_every_name_is_documented():
    assert nn.metrics is M
    for name in M.__all__:
        assert (getattr(M, name).__doc__ or "").strip(), name


# -- states that must not change behind the metric ----------------------------------------------------------------------


def test_a_result_is_the_caller_s_own():
    metric = M.ConfusionMatrix(2).update([0, 1], [0, 1])
    found = metric.compute()
    found += 5
    assert metric.compute().tolist() == [[1, 0], [0, 1]]


def test_perplexity_of_small_integers(backend):
    x, target = jt.zeros((2, 5), device=backend), jt.asarray(np.array([1, 4], np.uint8), device=backend)
    assert abs(M.perplexity(x, target).item() - 5) < 1e-12


@pytest.mark.parametrize("kind", [M.AUC, M.AveragePrecision])
def test_ranking_takes_batches_in_linear_time(kind):
    """Each batch made a new list of all of them: 4,000 took 18 seconds, and 8,000 four times that."""
    metric, other = kind(), kind()
    for _ in range(3):
        metric.update([0.1, 0.5], [0, 1])
    parts = metric._state["scores"]
    other.merge(metric).update([0.9], [0])
    assert len(parts) == 3  # a merged one has its own list
    metric.update([0.2, 0.1], [1, 0])
    assert metric._state["scores"] is parts
    assert len(parts) == 4
    metric.merge(metric)
    assert len(parts) == 8
    with pytest.raises(jt.ShapeError, match="scores of 3 classes after those of 2"):
        metric.update(np.ones((1, 3)), [0])
    assert len(parts) == 8
