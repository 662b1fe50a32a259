"""Metrics of classes: how many were right, and which were taken for which."""

from __future__ import annotations

from typing import Any

import jitrench_core as jt

from ..ops.losses import cross_entropy
from .inputs import MetricError, check_zero_division, classes, of_scores, one_of, ratio, tensors
from .metric import Metric, State, copied

AVERAGES = ("binary", "macro", "micro", "weighted", None)


class Accuracy(Metric):
    """The fraction of examples that were given their class.

    ``x`` holds scores of shape (..., classes), and ``target`` integer classes of shape (...). Of one shape with ``target``, ``x``
    holds the predicted classes (integers, booleans), or one score an example, which stands for class 1 above ``threshold``: 0.5
    fits probabilities, 0 fits logits. Of equal scores the first counts.

    Raises ``DTypeError`` for targets that are no integers, ``ShapeError`` where shapes do not fit and ``BoundsError`` for a
    class that there is not.
    """

    keys = ("hits", "total")

    def __init__(self, *, threshold: float = 0.5) -> None:
        self.threshold = threshold

    def measure(self, x: Any, target: Any) -> State:
        predicted, target, _ = classes("accuracy()", x, target, self.threshold)
        return {"hits": jt.count_nonzero(predicted == target), "total": target.size}

    def value(self, state: State) -> Any:
        return state["hits"].astype(jt.float64) / state["total"]


def accuracy(x: Any, target: Any, *, threshold: float = 0.5) -> jt.Tensor:
    """The fraction of examples that were given their class, as a 0-d Tensor; of x's dtype where that is a float's.

    ``x`` holds scores of shape (..., classes), and ``target`` integer classes of shape (...); ``Accuracy`` tells what else
    is taken, and the errors.

    >>> import jitrench_core as jt
    >>> accuracy(jt.tensor([[0.2, 0.8], [0.9, 0.1]]), jt.tensor([1, 1]))
    Tensor(0.5)
    """
    found = Accuracy(threshold=threshold).update(x, target).compute()
    kept = x.dtype if isinstance(x, jt.Tensor) and x.dtype.kind == "f" else jt.float64
    return found.astype(kept)  # type: ignore[no-any-return]


class TopK(Metric):
    """The fraction of examples whose class is among the ``k`` largest scores.

    ``x`` holds scores of shape (..., classes), and ``target`` integer classes of shape (...). Of equal scores the first counts,
    so that k = 1 is ``Accuracy``. scikit-learn takes the last.

    Raises ``MetricError`` for a k below 1 or above the number of classes, and else what ``Accuracy`` raises.
    """

    keys = ("hits", "total")

    def __init__(self, k: int = 5) -> None:
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise MetricError(f"TopK(k): expected an int from 1; got {k!r}")
        self.k = k

    def measure(self, x: Any, target: Any) -> State:
        x, target = of_scores("top_k_accuracy()", x, target)
        if self.k > x.shape[-1]:
            raise MetricError(
                f"top_k_accuracy(): k = {self.k} of {x.shape[-1]} classes; expected at most {x.shape[-1]}"
            )
        place = jt.expand_dims(target, -1)
        own = jt.take_along_axis(x, place, axis=-1)
        before = jt.arange(x.shape[-1], device=x.device) < place
        # Not `x > own`: a NaN counts as the largest, as for argmax.
        better = jt.logical_or(jt.logical_not(x <= own), jt.logical_and(x == own, before))
        hits = jt.count_nonzero(jt.count_nonzero(better, axis=-1) < self.k)
        return {"hits": hits, "total": target.size}

    def value(self, state: State) -> Any:
        return state["hits"].astype(jt.float64) / state["total"]


def top_k_accuracy(x: Any, target: Any, k: int = 5) -> Any:
    """The fraction of examples whose class is among the ``k`` largest scores, as ``TopK`` describes.

    >>> import jitrench_core as jt
    >>> top_k_accuracy(jt.tensor([[0.2, 0.5, 0.3], [0.9, 0.1, 0.0]]), jt.tensor([2, 2]), k=2)
    Tensor(0.5)
    """
    return TopK(k).update(x, target).compute()


def counts(indices: jt.Tensor, n: int) -> jt.Tensor:
    """How often each of range(n) is in ``indices``."""
    one = jt.ones(indices.shape, dtype=jt.int64, device=indices.device)
    return jt.index_add(jt.zeros(n, dtype=jt.int64, device=indices.device), indices, one, axis=0)


def grown(x: jt.Tensor, n: int) -> jt.Tensor:
    """``x`` with zeros behind, up to n along each axis."""
    return x if x.shape[0] == n else jt.pad(x, tuple((0, n - m) for m in x.shape))


class _PerClass(Metric):
    """Of each class how often it was right, predicted, and true."""

    keys = ("hits", "predicted", "actual")

    def __init__(
        self,
        average: str | None = "binary",
        *,
        num_classes: int | None = None,
        threshold: float = 0.5,
        zero_division: float = 0.0,
    ) -> None:
        self._who = f"{type(self).__name__.lower()}()"
        one_of(type(self).__name__, "average", average, AVERAGES)
        check_zero_division(type(self).__name__, zero_division)
        if num_classes is not None and (not isinstance(num_classes, int) or num_classes < 2):
            raise MetricError(
                f"{type(self).__name__}(num_classes=): expected an int from 2, or None; got {num_classes!r}"
            )
        if average == "binary" and num_classes not in (None, 2):
            raise MetricError(several(type(self).__name__, num_classes))
        self.average = average
        self.num_classes = num_classes
        self.threshold = threshold
        self.zero_division = zero_division

    def measure(self, x: Any, target: Any) -> State:
        predicted, target, n = classes(self._who, x, target, self.threshold, self.num_classes)
        if self.average == "binary" and n != 2:
            raise MetricError(several(self._who.removesuffix("()"), n))
        hits = target[predicted == target]
        return {"hits": counts(hits, n), "predicted": counts(predicted, n), "actual": counts(target, n)}

    def join(self, a: State, b: State) -> State:
        n = max(a["hits"].shape[0], b["hits"].shape[0])
        return {key: grown(a[key], n) + grown(b[key], n) for key in a}

    def score(self, hits: jt.Tensor, predicted: jt.Tensor, actual: jt.Tensor) -> jt.Tensor:
        """The number of each class."""
        raise NotImplementedError

    def value(self, state: State) -> Any:
        hits, predicted, actual = (state[key] for key in self.keys)
        if self.average == "micro":
            return self.score(*(jt.sum(part) for part in (hits, predicted, actual)))
        each = self.score(hits, predicted, actual)
        if self.average is None:
            return each
        if self.average == "binary":
            return each[1]
        known = jt.logical_not(jt.isnan(each))
        weight = (actual if self.average == "weighted" else (predicted + actual) > 0).astype(jt.float64)
        weight = jt.where(known, weight, 0.0)
        if not bool(jt.any(weight > 0)):  # NaN was left out, and no true class is left: all that are known, alike
            weight = known.astype(jt.float64)
        return ratio(jt.sum(weight * jt.where(known, each, 0.0)), jt.sum(weight), jt.nan)


def several(who: str, n: Any) -> str:
    return (
        f"{who}(average='binary') is of class 1 against class 0, and there are {n} classes: say average='macro', 'micro', "
        f"'weighted', or None for a number of each class"
    )


class Precision(_PerClass):
    """Of the examples that were predicted to be of a class, the fraction that is.

    ``average`` says which class: ``"binary"`` class 1 of two; ``"macro"`` the mean over the classes that occur, predicted or
    true; ``"weighted"`` that mean with the true counts for weights; ``"micro"`` all decisions alike, which is the accuracy;
    None a number for each class. Where nothing was predicted, it is ``zero_division``: 0, 1, or NaN, which means leave out.
    Numbers are scikit-learn's, which warns there. Of predicted classes (no scores) there are as many as the largest tells,
    or ``num_classes``.

    Inputs and errors are those of ``Accuracy``; ``MetricError`` for more than two classes with ``"binary"``.
    """

    def score(self, hits: jt.Tensor, predicted: jt.Tensor, actual: jt.Tensor) -> jt.Tensor:
        return ratio(hits, predicted, float(self.zero_division))


class Recall(_PerClass):
    """Of the examples of a class, the fraction that was predicted to be. Options are those of ``Precision``."""

    def score(self, hits: jt.Tensor, predicted: jt.Tensor, actual: jt.Tensor) -> jt.Tensor:
        return ratio(hits, actual, float(self.zero_division))


class F1(_PerClass):
    """The harmonic mean of precision and recall, 2 hits / (predicted + actual). Options are those of ``Precision``."""

    def score(self, hits: jt.Tensor, predicted: jt.Tensor, actual: jt.Tensor) -> jt.Tensor:
        return ratio(2 * hits, predicted + actual, float(self.zero_division))


def precision(x: Any, target: Any, average: str | None = "binary", **options: Any) -> Any:
    """Of the examples that were predicted to be of a class, the fraction that is; ``Precision`` tells inputs and options.

    >>> import jitrench_core as jt
    >>> precision(jt.tensor([1, 1, 0, 1]), jt.tensor([1, 0, 0, 1])).item()
    0.6666666666666666
    """
    return Precision(average, **options).update(x, target).compute()


def recall(x: Any, target: Any, average: str | None = "binary", **options: Any) -> Any:
    """Of the examples of a class, the fraction that was predicted to be; ``Precision`` tells inputs and options.

    >>> import jitrench_core as jt
    >>> recall(jt.tensor([1, 1, 0, 1]), jt.tensor([1, 0, 0, 1]), average=None)
    Tensor([0.5, 1. ])
    """
    return Recall(average, **options).update(x, target).compute()


def f1(x: Any, target: Any, average: str | None = "binary", **options: Any) -> Any:
    """The harmonic mean of precision and recall; ``Precision`` tells inputs and options.

    >>> import jitrench_core as jt
    >>> f1(jt.tensor([1, 1, 0, 1]), jt.tensor([1, 0, 0, 1])).item()
    0.8
    """
    return F1(average, **options).update(x, target).compute()


class ConfusionMatrix(Metric):
    """How often an example of class i was predicted to be of class j: row i, column j, int64.

    ``normalize`` divides: ``"true"`` each row by its sum, ``"pred"`` each column, ``"all"`` by the number of examples; 0 / 0 is 0.
    Inputs and errors are those of ``Accuracy``. All of range(n) have a row, where scikit-learn leaves out what does not occur.
    """

    keys = ("counts",)

    def __init__(self, num_classes: int | None = None, *, normalize: str | None = None, threshold: float = 0.5) -> None:
        one_of("ConfusionMatrix", "normalize", normalize, ("true", "pred", "all", None))
        if num_classes is not None and (not isinstance(num_classes, int) or num_classes < 2):
            raise MetricError(f"ConfusionMatrix(num_classes): expected an int from 2, or None; got {num_classes!r}")
        self.num_classes = num_classes
        self.normalize = normalize
        self.threshold = threshold

    def measure(self, x: Any, target: Any) -> State:
        predicted, target, n = classes("confusion_matrix()", x, target, self.threshold, self.num_classes)
        return {"counts": jt.reshape(counts(target * n + predicted, n * n), (n, n))}

    def join(self, a: State, b: State) -> State:
        n = max(a["counts"].shape[0], b["counts"].shape[0])
        return {"counts": grown(a["counts"], n) + grown(b["counts"], n)}

    def value(self, state: State) -> Any:
        found = state["counts"]
        if self.normalize is None:
            return copied(found)
        axis = {"true": 1, "pred": 0, "all": None}[self.normalize]
        return ratio(found, jt.sum(found, axis=axis, keepdims=True), 0.0)


def confusion_matrix(x: Any, target: Any, num_classes: int | None = None, **options: Any) -> Any:
    """How often an example of class i was predicted to be of class j, as ``ConfusionMatrix`` describes.

    >>> import jitrench_core as jt
    >>> confusion_matrix(jt.tensor([0, 1, 2, 2]), jt.tensor([0, 1, 1, 2]))
    Tensor([[1, 0, 0],
            [0, 1, 1],
            [0, 0, 1]])
    """
    return ConfusionMatrix(num_classes, **options).update(x, target).compute()


class Perplexity(Metric):
    """exp of the mean of -log softmax(x) at the class: among how many equally likely tokens a language model hesitates.

    ``x`` holds logits of shape (..., classes) and ``target`` integer classes of shape (...). A target that is ``ignore_index``
    does not count; where all are, a batch changes nothing. Sums are float64. Raises what ``Accuracy`` raises.
    """

    keys = ("loss", "total")

    def __init__(self, *, ignore_index: int | None = -100) -> None:
        self.ignore_index = ignore_index

    def measure(self, x: Any, target: Any) -> State:
        x, target = tensors(x, target)
        if self.ignore_index is not None and target.dtype.kind in "iu" and x.shape[:-1] == target.shape:
            kept = target.astype(jt.int64) != self.ignore_index  # -100 is no uint8
            x, target = x[kept], target[kept]
            if not target.size:
                return {"loss": jt.zeros((), dtype=jt.float64, device=x.device), "total": 0}
        x, target = of_scores("perplexity()", x, target)
        each = cross_entropy(x, target, ignore_index=None, reduction="none")
        return {"loss": jt.sum(each.astype(jt.float64)), "total": target.size}

    def value(self, state: State) -> Any:
        mean = state["loss"] / state["total"] if state["total"] else jt.full_like(state["loss"], jt.nan)
        # 709.8 is the log of the largest float64
        return jt.where(mean > 709.0, jt.inf, jt.exp(jt.minimum(mean, 709.0)))


def perplexity(x: Any, target: Any, *, ignore_index: int | None = -100) -> Any:
    """exp of the mean of -log softmax(x) at the class, as ``Perplexity`` describes.

    >>> import jitrench_core as jt
    >>> round(perplexity(jt.zeros((2, 50)), jt.tensor([3, 4])).item(), 6)
    50.0
    """
    return Perplexity(ignore_index=ignore_index).update(x, target).compute()
