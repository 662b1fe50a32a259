"""Fully connected layers."""

from __future__ import annotations

from typing import Any, Never

import jitrench_core as jt

from .. import functional as F
from ..initializers import xavier_uniform, zeros
from .base import Configured, check_bias, check_size, refuse, refuse_more


class Linear(Configured):
    """``x @ weight.T + bias`` over the last axis: an input of shape (..., in) becomes (..., out_dim).

    ``weight`` has PyTorch's shape, (out_dim, in), and ``bias`` (out_dim,); ``in`` is inferred. ``weight_init`` and ``bias_init``
    are initializers, ``f(generator, shape, dtype)``; ``bias=False`` leaves the bias out. All but ``out_dim`` is given by keyword.

    Raises ``LayerError`` for a second width (PyTorch's ``Linear(in, out)``) and a ``bias`` that is no bool, ``ShapeError`` for a 0-d
    input or one of another width than the parameters', and ``DTypeError`` for integers.

    >>> import jitrench_nn as nn
    >>> nn.apply(nn.Linear(2), nn.init(nn.Linear(2), (None, 3)), jt.zeros((5, 3))).shape
    (5, 2)
    """

    def __init__(
        self,
        out_dim: int,
        *more: Never,
        bias: bool = True,
        weight_init: Any = xavier_uniform,
        bias_init: Any = zeros,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if more:
            refuse_more("Linear", "the output width", (out_dim,), more)
        out_dim = check_size("Linear", "out_dim", "the width of the output", out_dim)
        check_bias("Linear", bias)
        self.out_dim = out_dim
        self.with_bias = bias
        self.weight_init = weight_init
        self.bias_init = bias_init

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        shape = x.shape
        if not shape or x.dtype.kind not in "fc":
            refuse(self, x, "(..., width)")
        weight = self.parameter("weight", (self.out_dim, shape[-1]), self.weight_init)
        if not self.with_bias:
            return F.linear(x, weight)
        return F.linear(x, weight, self.parameter("bias", (self.out_dim,), self.bias_init))


class Bilinear(Configured):
    """``x1 @ weight[o] @ x2 + bias[o]`` for each output o: inputs of shapes (..., in1) and (..., in2) become (..., out_dim).

    ``weight`` has PyTorch's shape, (out_dim, in1, in2), and ``bias`` (out_dim,). The leading axes of the two inputs broadcast.

    Raises what ``Linear`` raises.

    >>> import jitrench_nn as nn
    >>> params = nn.init(nn.Bilinear(4), (None, 2), (None, 3))
    >>> nn.apply(nn.Bilinear(4), params, jt.ones((5, 2)), jt.ones((5, 3))).shape
    (5, 4)
    """

    def __init__(
        self,
        out_dim: int,
        *more: Never,
        bias: bool = True,
        weight_init: Any = xavier_uniform,
        bias_init: Any = zeros,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if more:
            refuse_more("Bilinear", "the output width", (out_dim,), more, widths=2)
        out_dim = check_size("Bilinear", "out_dim", "the width of the output", out_dim)
        check_bias("Bilinear", bias)
        self.out_dim = out_dim
        self.with_bias = bias
        self.weight_init = weight_init
        self.bias_init = bias_init

    def forward(self, x1: jt.Tensor, x2: jt.Tensor) -> jt.Tensor:
        for x in (x1, x2):
            if not x.shape or x.dtype.kind not in "fc":
                refuse(self, x, "(..., width)")
        lead = zip(reversed(x1.shape[:-1]), reversed(x2.shape[:-1]), strict=False)
        if any(a != b and 1 not in (a, b) for a, b in lead):
            raise jt.ShapeError(
                f"{self.label}: the leading axes of inputs of shapes {x1.shape} and {x2.shape} do not broadcast"
            )
        n, m, out = x1.shape[-1], x2.shape[-1], self.out_dim
        weight = self.parameter("weight", (out, n, m), self.weight_init)
        rows = jt.reshape(jt.permute_dims(weight, (1, 0, 2)), (n, out * m))
        partial = jt.reshape(x1 @ rows, (*x1.shape[:-1], out, m))
        y = jt.squeeze(partial @ jt.expand_dims(x2, axis=-1), axis=-1)
        return y + self.parameter("bias", (out,), self.bias_init) if self.with_bias else y


class Identity(Configured):
    """The input itself."""

    def forward(self, x: Any) -> Any:
        return x
