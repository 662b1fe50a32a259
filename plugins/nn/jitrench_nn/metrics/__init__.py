"""Metrics: numbers that say how good a model is, and that nothing is differentiated by.

Each is a function of all predictions and targets, ``accuracy(x, target)``, and a class for batch after batch,
``Accuracy()`` with ``update``, ``compute``, ``reset``, ``merge`` and ``state_dict``. Both give the same number, a Tensor of float64.
Names of options, averages and numbers are scikit-learn's; the prediction comes first, as in the losses.
"""

from __future__ import annotations

from .classification import (
    F1,
    Accuracy,
    ConfusionMatrix,
    Perplexity,
    Precision,
    Recall,
    TopK,
    accuracy,
    confusion_matrix,
    f1,
    perplexity,
    precision,
    recall,
    top_k_accuracy,
)
from .inputs import MetricError
from .metric import Metric
from .ranking import AUC, AveragePrecision, auc, average_precision
from .regression import (
    R2,
    Mean,
    MeanAbsoluteError,
    MeanSquaredError,
    RootMeanSquaredError,
    mean_absolute_error,
    mean_squared_error,
    r2,
    root_mean_squared_error,
)

__all__ = [
    "AUC",
    "F1",
    "R2",
    "Accuracy",
    "AveragePrecision",
    "ConfusionMatrix",
    "Mean",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "MetricError",
    "Perplexity",
    "Precision",
    "Recall",
    "RootMeanSquaredError",
    "TopK",
    "accuracy",
    "auc",
    "average_precision",
    "confusion_matrix",
    "f1",
    "mean_absolute_error",
    "mean_squared_error",
    "perplexity",
    "precision",
    "r2",
    "recall",
    "root_mean_squared_error",
    "top_k_accuracy",
]
