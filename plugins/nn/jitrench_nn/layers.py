"""Layers. Widths of inputs are inferred; parameters have PyTorch's names and shapes."""

from __future__ import annotations

from typing import Any, Never

import jitrench_core as jt
from jitrench_core import Layer
from jitrench_core.layer import LayerError

from .initializers import xavier_uniform, zeros


class Linear(Layer):
    """``x @ weight.T + bias`` over the last axis: an input of shape (..., in) becomes (..., out_dim).

    ``weight`` has PyTorch's shape, (out_dim, in), and ``bias`` (out_dim,); ``in`` is inferred. ``weight_init`` and ``bias_init``
    are initializers, ``f(generator, shape, dtype)``; ``bias=False`` leaves the bias out. All but ``out_dim`` is given by keyword.

    Raises ``LayerError`` for a second width (PyTorch's ``Linear(in, out)``) and a ``bias`` that is no bool, ``ShapeError`` for a 0-d input or one of another width than the parameters', and ``DTypeError`` for integers.

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
            self._refuse_more(out_dim, more)
        if isinstance(out_dim, bool) or not isinstance(out_dim, int) or out_dim < 1:
            raise jt.ShapeError(f"Linear(out_dim): the width of the output must be an int from 1; got {out_dim!r}")
        if not isinstance(bias, bool):
            raise LayerError(f"Linear(bias=): expected True or False, got {bias!r:.60}; a first value is bias_init=f")
        self.out_dim = out_dim
        self.with_bias = bias
        self.weight_init = weight_init
        self.bias_init = bias_init

    @staticmethod
    def _refuse_more(out_dim: Any, more: tuple[Any, ...]) -> None:
        first = more[0]
        if isinstance(first, bool) or not isinstance(first, int):
            fix = (
                f"Linear({out_dim!r:.60}, bias={first})"
                if isinstance(first, bool)
                else f"Linear({out_dim!r:.60}, bias=...)"
            )
        else:
            fix = f"Linear({first})"
        given = ", ".join(f"{value!r:.60}" for value in (out_dim, *more))
        raise LayerError(
            f"Linear takes the output width only; the input's is inferred, and all else is given by keyword: write {fix}, "
            f"not Linear({given})"
        )

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        shape = x.shape
        if not shape or x.dtype.kind != "f":
            self._refuse(x)
        y = x @ self.parameter("weight", (self.out_dim, shape[-1]), self.weight_init).mT
        return y + self.parameter("bias", (self.out_dim,), self.bias_init) if self.with_bias else y

    def _refuse(self, x: jt.Tensor) -> None:
        if not x.shape:
            raise jt.ShapeError(f"{self.label}: expected an input of shape (..., width), got a 0-d tensor")
        if x.dtype.kind != "c":
            raise jt.DTypeError(
                f"{self.label}: expected a floating-point input, got {x.dtype} of shape {x.shape}: convert it, such as by "
                f"x.astype(jt.float64)"
            )
