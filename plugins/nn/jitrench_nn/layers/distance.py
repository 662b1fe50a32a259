"""How near two arrays are, as layers: the functions of ``jitrench_nn.functional`` with their options kept."""

from __future__ import annotations

from dataclasses import dataclass

import jitrench_core as jt

from .. import functional as F
from .base import Configured


@dataclass(eq=False, repr=False)
class CosineSimilarity(Configured):
    """The cosine of the angle between x1 and x2 along ``axis``: ``functional.cosine_similarity``.

    >>> CosineSimilarity()(jt.tensor([[1.0, 0.0]]), jt.tensor([[3.0, 4.0]]))
    Tensor([0.6])
    """

    axis: int = 1
    eps: float = 1e-8

    def forward(self, x1: jt.Tensor, x2: jt.Tensor) -> jt.Tensor:
        return F.cosine_similarity(x1, x2, axis=self.axis, eps=self.eps)


@dataclass(eq=False, repr=False)
class PairwiseDistance(Configured):
    """The ``p``-norm of x1 - x2 + ``eps`` along the last axis: ``functional.pairwise_distance``."""

    p: float = 2.0
    eps: float = 1e-6
    keepdims: bool = False

    def forward(self, x1: jt.Tensor, x2: jt.Tensor) -> jt.Tensor:
        return F.pairwise_distance(x1, x2, p=self.p, eps=self.eps, keepdims=self.keepdims)
