"""Metrics of numbers: how far predictions are from the truth. Sums are float64, whatever the data."""

from __future__ import annotations

from typing import Any

import jitrench_core as jt

from .inputs import MetricError, one_of, ratio, values
from .metric import Metric, State


class Mean(Metric):
    """The mean of numbers, such as losses of batches: ``update(value, weight=1)``, the weight being a batch's size.

    Of a Tensor each element counts, with a weight that broadcasts. The mean of weights that are all 0 is NaN.
    """

    keys = ("sum", "weight")

    def measure(self, value: Any, weight: Any = 1.0) -> State:
        value = jt.stop_gradient(jt.asarray(value)).astype(jt.float64)
        weight = jt.asarray(weight, device=None if hasattr(weight, "shape") else value.device)
        if bool(jt.any(weight < 0)):
            raise MetricError("Mean.update(value, weight): a weight is below 0")
        weight = jt.broadcast_to(jt.stop_gradient(weight).astype(jt.float64), value.shape)
        return {"sum": jt.sum(value * weight), "weight": jt.sum(weight)}

    def value(self, state: State) -> Any:
        return ratio(state["sum"], state["weight"], jt.nan)


class _Errors(Metric):
    """A sum of errors for each output, and the number of examples."""

    keys = ("errors", "total")

    def of(self, difference: jt.Tensor) -> jt.Tensor:
        """The error of each example."""
        raise NotImplementedError

    def measure(self, x: Any, target: Any) -> State:
        x, target = values(f"{type(self).__name__}", x, target)
        return {"errors": jt.sum(self.of(x - target), axis=0), "total": target.shape[0]}

    def value(self, state: State) -> Any:
        return jt.mean(state["errors"] / state["total"])


class MeanAbsoluteError(_Errors):
    """The mean of ``|x - target|`` over all elements. Raises ``ShapeError`` for two shapes: nothing is broadcast."""

    def of(self, difference: jt.Tensor) -> jt.Tensor:
        return jt.abs(difference)


class MeanSquaredError(_Errors):
    """The mean of ``(x - target)^2`` over all elements. Raises ``ShapeError`` for two shapes: nothing is broadcast."""

    def of(self, difference: jt.Tensor) -> jt.Tensor:
        return difference * difference


class RootMeanSquaredError(MeanSquaredError):
    """The root of the mean squared error; of several outputs (axes after the first) the mean of each one's, as scikit-learn."""

    def value(self, state: State) -> Any:
        return jt.mean(jt.sqrt(state["errors"] / state["total"]))


MULTIOUTPUT = ("uniform_average", "variance_weighted", "raw_values")


class R2(Metric):
    """The fraction of the targets' variance that predictions explain: 1 - (sum of squared errors) / (sum of squares about the mean).

    ``x`` and ``target`` have one shape (n, ...); axes after the first are outputs, each with its own number: ``multioutput`` gives
    their mean, that by the outputs' variances, or all of them. Of a constant target it is 1 where every prediction is right
    and else 0; of one example NaN. Numbers are scikit-learn's.

    Means and squares of batches are joined by Chan's formula (Chan, Golub, LeVeque, 1983), relative to the first target, so that
    a target far from 0 loses no digits, and a constant one is seen to be constant.
    """

    keys = ("total", "origin", "mean", "squares", "residual")

    def __init__(self, *, multioutput: str = "uniform_average") -> None:
        one_of("R2", "multioutput", multioutput, MULTIOUTPUT)
        self.multioutput = multioutput

    def measure(self, x: Any, target: Any) -> State:
        x, target = values("R2", x, target)
        origin = target[0]
        moved = target - origin
        mean = jt.mean(moved, axis=0)
        return {
            "total": target.shape[0],
            "origin": origin,
            "mean": mean,
            "squares": jt.sum((moved - mean) ** 2, axis=0),
            "residual": jt.sum((x - target) ** 2, axis=0),
        }

    def join(self, a: State, b: State) -> State:
        if a["mean"].shape != b["mean"].shape:
            raise jt.ShapeError(
                f"R2: outputs of shape {b['mean'].shape} after those of shape {a['mean'].shape}; expected one shape"
            )
        n = a["total"] + b["total"]
        apart = (b["origin"] - a["origin"]) + (b["mean"] - a["mean"])
        share = b["total"] / n
        return {
            "total": n,
            "origin": a["origin"],
            "mean": a["mean"] + apart * share,
            "squares": a["squares"] + b["squares"] + apart**2 * (a["total"] * share),
            "residual": a["residual"] + b["residual"],
        }

    def value(self, state: State) -> Any:
        squares, residual = state["squares"], state["residual"]
        constant = squares == 0
        each = 1.0 - residual / jt.where(constant, 1.0, squares)
        each = jt.where(constant, (residual == 0).astype(jt.float64), each)
        if state["total"] < 2:
            each = jt.full_like(each, jt.nan)
        if self.multioutput == "raw_values":
            return each
        mean = jt.mean(each)
        if self.multioutput == "uniform_average":
            return mean
        total = jt.sum(squares)
        return jt.where(total == 0, mean, jt.sum(each * squares) / jt.where(total == 0, 1.0, total))


def mean_absolute_error(x: Any, target: Any) -> Any:
    """The mean of ``|x - target|`` over all elements, in float64.

    >>> import jitrench_core as jt
    >>> mean_absolute_error(jt.tensor([1.0, 2.0]), jt.tensor([1.0, 4.0]))
    Tensor(1.)
    """
    return MeanAbsoluteError().update(x, target).compute()


def mean_squared_error(x: Any, target: Any) -> Any:
    """The mean of ``(x - target)^2`` over all elements, in float64; the loss to train with is ``mse_loss``.

    >>> import jitrench_core as jt
    >>> mean_squared_error(jt.tensor([1.0, 2.0]), jt.tensor([1.0, 4.0]))
    Tensor(2.)
    """
    return MeanSquaredError().update(x, target).compute()


def root_mean_squared_error(x: Any, target: Any) -> Any:
    """The root of the mean of ``(x - target)^2``; of several outputs the mean of each one's, as ``RootMeanSquaredError`` says.

    >>> import jitrench_core as jt
    >>> root_mean_squared_error(jt.tensor([3.0, 0.0]), jt.tensor([0.0, 3.0]))
    Tensor(3.)
    """
    return RootMeanSquaredError().update(x, target).compute()


def r2(x: Any, target: Any, *, multioutput: str = "uniform_average") -> Any:
    """The fraction of the targets' variance that predictions explain, as ``R2`` describes.

    >>> import jitrench_core as jt
    >>> r2(jt.tensor([1.0, 2.0, 4.0]), jt.tensor([1.0, 2.0, 3.0]))
    Tensor(0.5)
    """
    return R2(multioutput=multioutput).update(x, target).compute()
