"""Losses as objects, for code that keeps its criterion: each is the function of ``jitrench_nn.functional`` with its options kept.

All options are given by keyword. ``reduction`` is "mean", "sum" or "none" in each, and another raises ``LayerError``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jitrench_core as jt
from jitrench_core.layer import LayerError

from .. import functional as F
from .base import Configured


@dataclass(eq=False, repr=False, kw_only=True)
class _Loss(Configured):
    """A loss of two arrays or three with no option but ``reduction``."""

    function: ClassVar[Callable[..., jt.Tensor]]
    reductions: ClassVar[tuple[str, ...]] = ("mean", "sum", "none")

    reduction: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reduction not in self.reductions:
            known = ", ".join(map(repr, self.reductions))
            raise LayerError(f"{type(self).__name__}(reduction=): expected one of {known}; got {self.reduction!r:.60}")

    def forward(self, *arrays: Any) -> jt.Tensor:
        return type(self).function(*arrays, reduction=self.reduction)


# -- of numbers -----------------------------------------------------------------------------------------------------


class MSELoss(_Loss):
    """(x - target)**2: ``functional.mse_loss``.

    >>> MSELoss(reduction="sum")(jt.tensor([1.0, 2.0]), jt.tensor([1.0, 4.0]))
    Tensor(4.)
    """

    function = staticmethod(F.mse_loss)


class L1Loss(_Loss):
    """abs(x - target): ``functional.l1_loss``."""

    function = staticmethod(F.l1_loss)


@dataclass(eq=False, repr=False, kw_only=True)
class HuberLoss(_Loss):
    """Square where abs(x - target) is at most ``delta``, linear above: ``functional.huber_loss``."""

    delta: float = 1.0

    def forward(self, x: Any, target: Any) -> jt.Tensor:
        return F.huber_loss(x, target, delta=self.delta, reduction=self.reduction)


@dataclass(eq=False, repr=False, kw_only=True)
class SmoothL1Loss(_Loss):
    """Square where abs(x - target) is below ``beta``, linear above: ``functional.smooth_l1_loss``."""

    beta: float = 1.0

    def forward(self, x: Any, target: Any) -> jt.Tensor:
        return F.smooth_l1_loss(x, target, beta=self.beta, reduction=self.reduction)


# -- of probabilities -----------------------------------------------------------------------------------------------


@dataclass(eq=False, repr=False, kw_only=True)
class BCELoss(_Loss):
    """Of probabilities x and targets in [0, 1]: ``functional.binary_cross_entropy``; ``weight`` broadcasts."""

    weight: jt.Tensor | None = None

    def forward(self, x: Any, target: Any) -> jt.Tensor:
        return F.binary_cross_entropy(x, target, self.weight, reduction=self.reduction)


@dataclass(eq=False, repr=False, kw_only=True)
class BCEWithLogitsLoss(_Loss):
    """Of scores x and targets in [0, 1]: ``functional.binary_cross_entropy_with_logits``; the weights broadcast."""

    weight: jt.Tensor | None = None
    pos_weight: jt.Tensor | None = None

    def forward(self, x: Any, target: Any) -> jt.Tensor:
        return F.binary_cross_entropy_with_logits(x, target, self.weight, self.pos_weight, reduction=self.reduction)


@dataclass(eq=False, repr=False, kw_only=True)
class KLDivLoss(_Loss):
    """Of log-probabilities x: ``functional.kl_div``; ``reduction`` may be "batchmean", too."""

    reductions = (*_Loss.reductions, "batchmean")

    log_target: bool = False

    def forward(self, x: Any, target: Any) -> jt.Tensor:
        return F.kl_div(x, target, log_target=self.log_target, reduction=self.reduction)


# -- of classes -----------------------------------------------------------------------------------------------------


@dataclass(eq=False, repr=False, kw_only=True)
class CrossEntropyLoss(_Loss):
    """Of scores (n, classes, ...) and integer classes (n, ...), or probabilities: ``functional.cross_entropy``.

    >>> CrossEntropyLoss(label_smoothing=0.1)
    CrossEntropyLoss(label_smoothing=0.1)
    """

    weight: jt.Tensor | None = None
    ignore_index: int | None = -100
    label_smoothing: float = 0.0

    def forward(self, x: Any, target: Any) -> jt.Tensor:
        return F.cross_entropy(
            x,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction=self.reduction,
        )


@dataclass(eq=False, repr=False, kw_only=True)
class NLLLoss(_Loss):
    """Of log-probabilities (n, classes, ...) and integer classes (n, ...): ``functional.nll_loss``."""

    weight: jt.Tensor | None = None
    ignore_index: int | None = -100

    def forward(self, x: Any, target: Any) -> jt.Tensor:
        return F.nll_loss(x, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


@dataclass(eq=False, repr=False, kw_only=True)
class MultiMarginLoss(_Loss):
    """Of scores (n, classes) and integer classes (n,): ``functional.multi_margin_loss``."""

    p: int = 1
    margin: float = 1.0
    weight: jt.Tensor | None = None

    def forward(self, x: Any, target: Any) -> jt.Tensor:
        return F.multi_margin_loss(x, target, self.weight, p=self.p, margin=self.margin, reduction=self.reduction)


@dataclass(eq=False, repr=False, kw_only=True)
class MultiLabelSoftMarginLoss(_Loss):
    """Of scores (..., classes) and targets 0 or 1: ``functional.multilabel_soft_margin_loss``."""

    weight: jt.Tensor | None = None

    def forward(self, x: Any, target: Any) -> jt.Tensor:
        return F.multilabel_soft_margin_loss(x, target, self.weight, reduction=self.reduction)


class SoftMarginLoss(_Loss):
    """log(1 + exp(-target * x)), of targets 1 or -1: ``functional.soft_margin_loss``."""

    function = staticmethod(F.soft_margin_loss)


# -- of directions and margins --------------------------------------------------------------------------------------


@dataclass(eq=False, repr=False, kw_only=True)
class CosineEmbeddingLoss(_Loss):
    """Of x1, x2 and targets 1 (near) or -1 (far): ``functional.cosine_embedding_loss``."""

    margin: float = 0.0

    def forward(self, x1: Any, x2: Any, target: Any) -> jt.Tensor:
        return F.cosine_embedding_loss(x1, x2, target, margin=self.margin, reduction=self.reduction)


@dataclass(eq=False, repr=False, kw_only=True)
class HingeEmbeddingLoss(_Loss):
    """Of distances x and targets 1 (near) or -1 (far): ``functional.hinge_embedding_loss``."""

    margin: float = 1.0

    def forward(self, x: Any, target: Any) -> jt.Tensor:
        return F.hinge_embedding_loss(x, target, margin=self.margin, reduction=self.reduction)


@dataclass(eq=False, repr=False, kw_only=True)
class MarginRankingLoss(_Loss):
    """Of x1, x2 and targets 1 (x1 is to be the larger) or -1: ``functional.margin_ranking_loss``."""

    margin: float = 0.0

    def forward(self, x1: Any, x2: Any, target: Any) -> jt.Tensor:
        return F.margin_ranking_loss(x1, x2, target, margin=self.margin, reduction=self.reduction)


@dataclass(eq=False, repr=False, kw_only=True)
class TripletMarginLoss(_Loss):
    """Of an anchor, what is to be near it and what far from it: ``functional.triplet_margin_loss``."""

    margin: float = 1.0
    p: float = 2.0
    eps: float = 1e-6
    swap: bool = False

    def forward(self, anchor: Any, positive: Any, negative: Any) -> jt.Tensor:
        return F.triplet_margin_loss(
            anchor,
            positive,
            negative,
            margin=self.margin,
            p=self.p,
            eps=self.eps,
            swap=self.swap,
            reduction=self.reduction,
        )


# -- likelihoods ----------------------------------------------------------------------------------------------------


@dataclass(eq=False, repr=False, kw_only=True)
class PoissonNLLLoss(_Loss):
    """Of counts ``target`` with rate exp(x), or x: ``functional.poisson_nll_loss``."""

    log_input: bool = True
    full: bool = False
    eps: float = 1e-8

    def forward(self, x: Any, target: Any) -> jt.Tensor:
        return F.poisson_nll_loss(
            x, target, log_input=self.log_input, full=self.full, eps=self.eps, reduction=self.reduction
        )


@dataclass(eq=False, repr=False, kw_only=True)
class GaussianNLLLoss(_Loss):
    """Of means x and variances: ``functional.gaussian_nll_loss``."""

    full: bool = False
    eps: float = 1e-6

    def forward(self, x: Any, target: Any, var: Any) -> jt.Tensor:
        return F.gaussian_nll_loss(x, target, var, full=self.full, eps=self.eps, reduction=self.reduction)
