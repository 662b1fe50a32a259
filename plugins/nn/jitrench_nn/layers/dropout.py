"""Dropout: in training, random elements or whole channels become 0. Otherwise these layers return their input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jitrench_core as jt

from .. import functional as F
from .base import Configured, check_number


class _Dropout(Configured):
    function: ClassVar[Callable[..., jt.Tensor]]

    def __init__(self, p: float = 0.5, *, name: str | None = None) -> None:
        super().__init__(name=name)
        check_number(type(self).__name__, "p", p, "the probability of a zero, from 0 to 1", high=1.0)
        self.p = p

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        if not self.training:
            return type(self).function(x, p=self.p, training=False)
        return type(self).function(x, p=self.p, generator=self._drawing_on(x))

    def _drawing_on(self, x: jt.Tensor) -> Any:
        """The generator; None for the default one, whose mask goes where x is."""
        generator = self.generator
        return None if generator is jt.random.default_generator() else generator


class Dropout(_Dropout):
    """In training each element is zero with probability ``p``, and the others are divided by 1 - p: ``functional.dropout``.

    One seed gives one mask on every backend.

    Raises ``LayerError`` for a p outside of [0, 1], and where there is no generator to draw from, and ``DTypeError`` for integers.
    """

    function = staticmethod(F.dropout)


class Dropout1d(_Dropout):
    """``Dropout`` of whole channels of x (N, C, L), or (C, L)."""

    function = staticmethod(F.dropout1d)


class Dropout2d(_Dropout):
    """``Dropout`` of whole channels of x (N, C, H, W), or (C, H, W)."""

    function = staticmethod(F.dropout2d)


class Dropout3d(_Dropout):
    """``Dropout`` of whole channels of x (N, C, D, H, W), or (C, D, H, W)."""

    function = staticmethod(F.dropout3d)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean 0 and variance 1, for networks of ``SELU``: ``functional.alpha_dropout``."""

    function = staticmethod(F.alpha_dropout)
