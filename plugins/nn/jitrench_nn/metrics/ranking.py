"""Metrics of the order that scores give, exact to the tie: they keep all scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jitrench_core as jt

from .classification import counts
from .inputs import binary, one_of, ratio
from .metric import Metric, State

AVERAGES = ("macro", "weighted", None)


class _Ranking(Metric):
    """All scores and targets, in the batches they came in."""

    keys = ("scores", "targets")

    def __init__(self, average: str | None = "macro") -> None:
        one_of(type(self).__name__, "average", average, AVERAGES)
        self.average = average

    def measure(self, x: Any, target: Any) -> State:
        x, target = binary(f"{_spelled(type(self).__name__)}()", x, target)
        return {"scores": [jt.asarray(x, copy=True)], "targets": [target]}

    def _take(self, state: State) -> None:
        """Behind what there is, in place: a new list for each batch would make n batches cost n squared."""
        if self._state is None:
            self._state = {key: [] for key in self.keys}
        first, more = (self._state["scores"] or state["scores"])[0], state["scores"][0]
        if first.shape[1:] != more.shape[1:]:
            widths = [x.shape[-1] if x.ndim > 1 else 2 for x in (first, more)]
            raise jt.ShapeError(
                f"{_spelled(type(self).__name__)}(): scores of {widths[1]} classes after those of {widths[0]}"
            )
        for key, parts in self._state.items():
            if first.device != more.device:
                parts[:] = [x.to(more.device) for x in parts]
            parts.extend(state[key])

    def state_dict(self) -> State:
        return {} if self._state is None else {key: jt.concat(parts) for key, parts in self._state.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        if self._state is not None:
            self._state = {key: [part] for key, part in self._state.items()}

    def score(self, scores: jt.Tensor, positive: jt.Tensor) -> jt.Tensor:
        """The metric of one class against all others."""
        raise NotImplementedError

    def value(self, state: State) -> Any:
        scores, targets = (jt.concat(state[key]) for key in self.keys)
        if scores.ndim == 1:
            return self.score(scores, targets == 1)
        each = jt.stack([self.score(scores[:, c], targets == c) for c in range(scores.shape[1])])
        if self.average is None:
            return each
        known = jt.logical_not(jt.isnan(each))
        weight = known.astype(jt.float64)
        if self.average == "weighted":
            weight = weight * counts(targets, scores.shape[1]).astype(jt.float64)
        return ratio(jt.sum(weight * jt.where(known, each, 0.0)), jt.sum(weight), jt.nan)


def _spelled(name: str) -> str:
    return {"AUC": "auc", "AveragePrecision": "average_precision"}[name]


def _below(lower: jt.Tensor, x: jt.Tensor, side: str) -> jt.Tensor:
    """For each of x how many of ``lower``, which is sorted, are smaller; or not larger, with side="right"."""
    return jt.searchsorted(lower, x, side=side)


class AUC(_Ranking):
    """The area under the ROC curve: how likely an example of the class scores above one that is not; a tie counts half.

    ``x`` holds a score for each of ``target``'s 0 and 1; or (..., classes), of which two columns mean their second, and more are
    each taken against the rest: ``average="macro"`` is the mean of those, ``"weighted"`` that by the classes' counts, None all of
    them. Counted exactly, in integers. Where all examples are of one class, it is NaN (scikit-learn warns there), and the means
    leave that class out.

    Raises ``MetricError`` for NaN, ``DTypeError`` for targets that are no integers, ``ShapeError`` where shapes do not fit and
    ``BoundsError`` for a class that there is not. All scores are kept until ``reset``.
    """

    def score(self, scores: jt.Tensor, positive: jt.Tensor) -> jt.Tensor:
        of_class, rest = scores[positive], jt.sort(scores[jt.logical_not(positive)])
        wins = jt.sum(_below(rest, of_class, "left")) + jt.sum(_below(rest, of_class, "right"))
        return ratio(wins, jt.full_like(wins, 2 * of_class.size * rest.size), jt.nan)


class AveragePrecision(_Ranking):
    """The area under the precision-recall curve, as a sum of steps: the mean over a class's examples of the precision at their score.

    Inputs, averages and errors are those of ``AUC``. Where no example is of the class, it is 0, as in scikit-learn, which warns.
    """

    def score(self, scores: jt.Tensor, positive: jt.Tensor) -> jt.Tensor:
        of_class, every = jt.sort(scores[positive]), jt.sort(scores)
        n = of_class.size
        at_least = n - _below(of_class, of_class, "left")
        return ratio(
            jt.sum(ratio(at_least, every.size - _below(every, of_class, "left"), 0.0)),
            jt.full((), n, dtype=jt.int64, device=scores.device),
            0.0,
        )


def auc(x: Any, target: Any, average: str | None = "macro") -> Any:
    """The area under the ROC curve of scores; ``AUC`` tells inputs, averages and errors.

    >>> import jitrench_core as jt
    >>> auc(jt.tensor([0.1, 0.4, 0.35, 0.8]), jt.tensor([0, 0, 1, 1]))
    Tensor(0.75)
    """
    return AUC(average).update(x, target).compute()


def average_precision(x: Any, target: Any, average: str | None = "macro") -> Any:
    """The area under the precision-recall curve of scores, as ``AveragePrecision`` describes.

    >>> import jitrench_core as jt
    >>> average_precision(jt.tensor([0.1, 0.4, 0.35, 0.8]), jt.tensor([0, 0, 1, 1])).item()
    0.8333333333333333
    """
    return AveragePrecision(average).update(x, target).compute()
