"""Activations as layers, for ``Sequential``: each is the function of ``jitrench_nn.functional`` with its options kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jitrench_core as jt
from jitrench_core.layer import LayerError

from .. import functional as F
from ..initializers import constant
from .base import Configured, check_number, check_size, refuse


class _Plain(Configured):
    """An activation without options; they do not differ but in their function."""

    function: ClassVar[Callable[..., jt.Tensor]]

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        return type(self).function(x)


# -- without options ------------------------------------------------------------------------------------------------


class ReLU(_Plain):
    """max(x, 0)."""

    function = staticmethod(F.relu)


class ReLU6(_Plain):
    """x, limited to [0, 6]."""

    function = staticmethod(F.relu6)


class SELU(_Plain):
    """``ELU`` with the constants that keep mean 0 and variance 1 (Klambauer et al., 2017)."""

    function = staticmethod(F.selu)


class SiLU(_Plain):
    """x * sigmoid(x), also called swish."""

    function = staticmethod(F.silu)


class Mish(_Plain):
    """x * tanh(softplus(x))."""

    function = staticmethod(F.mish)


class Softsign(_Plain):
    """x / (1 + abs(x))."""

    function = staticmethod(F.softsign)


class Sigmoid(_Plain):
    """1 / (1 + exp(-x))."""

    function = staticmethod(F.sigmoid)


class LogSigmoid(_Plain):
    """log(sigmoid(x))."""

    function = staticmethod(F.log_sigmoid)


class Tanh(_Plain):
    """The hyperbolic tangent."""

    function = staticmethod(F.tanh)


class Tanhshrink(_Plain):
    """x - tanh(x)."""

    function = staticmethod(F.tanhshrink)


class Hardswish(_Plain):
    """x * hardsigmoid(x)."""

    function = staticmethod(F.hardswish)


class Hardsigmoid(_Plain):
    """x / 6 + 1/2, limited to [0, 1]."""

    function = staticmethod(F.hardsigmoid)


# -- with options ---------------------------------------------------------------------------------------------------


@dataclass(eq=False, repr=False)
class LeakyReLU(Configured):
    """x where it is positive, else ``negative_slope`` * x."""

    negative_slope: float = 0.01

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        return F.leaky_relu(x, negative_slope=self.negative_slope)  # type: ignore[no-any-return]


@dataclass(eq=False, repr=False)
class ELU(Configured):
    """x where it is positive, else ``alpha`` * (exp(x) - 1).

    >>> ELU(0.5)(jt.tensor([-100.0, 2.0]))
    Tensor([-0.5,  2. ])
    """

    alpha: float = 1.0

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        return F.elu(x, alpha=self.alpha)


@dataclass(eq=False, repr=False)
class CELU(Configured):
    """x where it is positive, else ``alpha`` * (exp(x / alpha) - 1)."""

    alpha: float = 1.0

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        return F.celu(x, alpha=self.alpha)


@dataclass(eq=False, repr=False)
class GELU(Configured):
    """x times the normal distribution function of x; ``approximate="tanh"`` is the formula with tanh."""

    approximate: str = "none"

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        return F.gelu(x, approximate=self.approximate)


@dataclass(eq=False, repr=False)
class Softplus(Configured):
    """log(1 + exp(``beta`` * x)) / beta, without overflow. Raises ``LayerError`` for a beta of 0."""

    beta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.beta:
            raise LayerError(f"Softplus(beta=): expected a number other than 0; got {self.beta!r}")

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        return F.softplus(x) if self.beta == 1 else F.softplus(x * self.beta) / self.beta


@dataclass(eq=False, repr=False)
class Softmax(Configured):
    """exp(x) over its sum along ``axis``."""

    axis: int = -1

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        return F.softmax(x, axis=self.axis)


@dataclass(eq=False, repr=False)
class LogSoftmax(Configured):
    """log(softmax(x)) along ``axis``, without overflow."""

    axis: int = -1

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        return F.log_softmax(x, axis=self.axis)


@dataclass(eq=False, repr=False)
class Softmin(Configured):
    """softmax(-x) along ``axis``."""

    axis: int = -1

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        return F.softmin(x, axis=self.axis)


@dataclass(eq=False, repr=False)
class GLU(Configured):
    """a * sigmoid(b), with a and b the two halves of x along ``axis``, whose length is even."""

    axis: int = -1

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        return F.glu(x, axis=self.axis)


@dataclass(eq=False, repr=False)
class Hardtanh(Configured):
    """x, limited to [``min_val``, ``max_val``]."""

    min_val: float = -1.0
    max_val: float = 1.0

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        return F.hardtanh(x, min_val=self.min_val, max_val=self.max_val)  # type: ignore[no-any-return]


@dataclass(eq=False, repr=False)
class Hardshrink(Configured):
    """x where its size is above ``lambd``, else 0."""

    lambd: float = 0.5

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        return F.hardshrink(x, lambd=self.lambd)


@dataclass(eq=False, repr=False)
class Softshrink(Configured):
    """x, ``lambd`` nearer to 0; 0 where its size is at most ``lambd``."""

    lambd: float = 0.5

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        return F.softshrink(x, lambd=self.lambd)  # type: ignore[no-any-return]


@dataclass(eq=False, repr=False)
class Threshold(Configured):
    """x where it is above ``threshold``, else ``value``, where its slope is 0."""

    threshold: float
    value: float

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        return jt.where(x <= self.threshold, self.value, x)


# -- with a parameter -----------------------------------------------------------------------------------------------


class PReLU(Configured):
    """x where it is positive, else ``weight`` * x (He et al., 2015): the slope is learned, from 0.25 on.

    ``weight`` has shape (num_parameters,): 1 slope for all, or one for each channel (axis 1).

    Raises ``ShapeError`` where x has another number of channels, ``DTypeError`` for integers.
    """

    def __init__(self, num_parameters: int = 1, *, init: float = 0.25, name: str | None = None) -> None:
        super().__init__(name=name)
        num_parameters = check_size("PReLU", "num_parameters", "the number of slopes", num_parameters)
        check_number("PReLU", "init=", init, "a finite number", low=-math.inf)
        self.num_parameters = num_parameters
        self.init = init

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        if x.dtype.kind != "f":
            refuse(self, x, "(n, channels, ...)", "f")
        weight = self.parameter("weight", (self.num_parameters,), constant(self.init))
        return F.prelu(x, weight)
