"""Rows of a table, chosen by integers."""

from __future__ import annotations

from typing import Any

import jitrench_core as jt

from .. import functional as F
from ..initializers import normal
from .base import Configured, check_size


class Embedding(Configured):
    """``weight[indices]``: integers of shape (...), from 0 to num_embeddings - 1, become rows, (..., embedding_dim).

    ``weight`` has shape (num_embeddings, embedding_dim), and is drawn from N(0, 1), as PyTorch's. Row ``padding_idx`` starts as
    zeros and gets no gradient. With initializers of fans, fan-in is embedding_dim, as in a ``Linear`` that shares the weight.

    Raises ``BoundsError`` for an index, or a ``padding_idx``, that names no row, and ``DTypeError`` for an input that is not of integers.

    >>> import jitrench_nn as nn
    >>> params = nn.init(nn.Embedding(10, 3), jt.tensor([0]))
    >>> nn.apply(nn.Embedding(10, 3), params, jt.tensor([[4, 2], [0, 9]])).shape
    (2, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        padding_idx: int | None = None,
        weight_init: Any = normal(),  # noqa: B008
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        num_embeddings = check_size("Embedding", "num_embeddings", "the number of rows", num_embeddings)
        embedding_dim = check_size("Embedding", "embedding_dim", "the width of a row", embedding_dim)
        if padding_idx is not None and (
            isinstance(padding_idx, (bool, float)) or padding_idx not in range(num_embeddings)
        ):
            raise jt.BoundsError(
                f"Embedding(padding_idx=): expected a row, 0 to {num_embeddings - 1}, or None; got {padding_idx!r}"
            )
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.weight_init = weight_init

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        if x.dtype.kind not in "iu":
            raise jt.DTypeError(
                f"{self.label}: expected integers, got {x.dtype} of shape {x.shape}: convert them, x.astype(jt.int64), or give "
                f"nn.init an example that holds some, jt.zeros({x.shape}, dtype='int64')"
            )
        weight = self.parameter("weight", (self.num_embeddings, self.embedding_dim), self._first_value)
        return F.embedding(x, weight, padding_idx=self.padding_idx)

    def _first_value(self, generator: Any, shape: tuple[int, ...], dtype: Any) -> jt.Tensor:
        weight: jt.Tensor = self.weight_init(generator, shape, dtype)
        if self.padding_idx is None:
            return weight
        rows = jt.expand_dims(jt.arange(shape[0], device=weight.device), axis=1)
        return jt.where(rows == self.padding_idx, 0.0, weight)
