"""Activations beyond the core's relu, sigmoid, softplus, tanh and softmax.

Each op names its formula; slopes at kinks are PyTorch's and stand in docs/conventions.md.
"""

from __future__ import annotations

import math
from typing import Any

import jitrench_core as jt

from .checks import of_real_numbers, real

# Klambauer et al., 2017, Self-Normalizing Neural Networks: the fixed point of mean 0 and variance 1.
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


# -- smooth ---------------------------------------------------------------------------------------------------------


def _silu_x(g: Any, x: Any) -> Any:
    s = jt.sigmoid(x)
    return g * (s * (1.0 + x * (1.0 - s)))


@of_real_numbers
@jt.op(elementwise=True, vjp=_silu_x)
def silu(xp: Any, x: Any, /) -> Any:
    """x * sigmoid(x), elementwise, also called swish (Elfwing et al., 2017)."""
    real("silu", x)
    return (
        x * xp.exp(xp.minimum(x, 0.0)) / (1.0 + xp.exp(0.0 - xp.abs(x)))
    )  # not -abs(x): unsigned integers wrap around


@jt.op(composite=True, elementwise=True)
def gelu(x: Any, /, *, approximate: str = "none") -> Any:
    """x * Φ(x), with Φ the normal distribution function (Hendrycks and Gimpel, 2016).

    ``approximate="tanh"`` is their formula x / 2 * (1 + tanh(sqrt(2 / π) * (x + 0.044715 * x**3))).

    Raises ``OpError`` for another ``approximate``.

    >>> import jitrench_core as jt
    >>> gelu(jt.tensor([-1.0, 0.0, 1.0]))
    Tensor([-0.15865525,  0.        ,  0.84134475])
    """
    if approximate == "tanh":
        inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * (x * x * x))
        return 0.5 * x * (1.0 + jt.tanh(inner))
    if approximate != "none":
        raise jt.OpError(f"gelu(): approximate= is 'none' or 'tanh'; got {approximate!r}")
    return 0.5 * x * jt.erfc(-math.sqrt(0.5) * x)  # 1 + erf would lose every digit below -6


@gelu.vjp_all
def _(g: Any, x: Any, y: Any, approximate: str) -> Any:
    if y.requires_grad or approximate != "none":  # recorded, so that it can be differentiated again
        return (gelu_grad(g, x, approximate=approximate),)
    return (gelu_grad_at(g, x, y),)


@jt.op(composite=True, elementwise=True)
def gelu_grad(v: Any, x: Any, /, *, approximate: str = "none") -> Any:
    """The gradient of ``gelu``: v * (Φ(x) + x * φ(x)), or v times the slope of the approximation."""
    if approximate == "tanh":
        t = jt.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * (x * x * x)))
        inner = math.sqrt(2.0 / math.pi) * (1.0 + 3 * 0.044715 * (x * x))
        return v * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner)
    bell = jt.exp(-0.5 * (x * x)) * (1.0 / math.sqrt(2.0 * math.pi))
    return v * (0.5 * jt.erfc(-math.sqrt(0.5) * x) + x * bell)


def _gelu_grad_at_sample(rng: Any) -> Any:
    x = rng.normal(size=(2, 3))
    return (rng.normal(size=(2, 3)), x, gelu(x).numpy()), {}


@of_real_numbers
@jt.op(vjp={"v": lambda g, x, value: gelu_grad_at(g, x, value), "x": None, "value": None}, samples=_gelu_grad_at_sample)
def gelu_grad_at(xp: Any, v: Any, x: Any, value: Any, /) -> Any:
    """``gelu_grad`` where gelu(x) is known, for passes that are not recorded: Φ(x) is value / x, and 1/2 at 0."""
    if not xp.isdtype(x.dtype, "real floating"):
        raise TypeError("gelu_grad_at of numbers that are not real")
    zero = x == 0.0
    below = xp.where(zero, 0.5, value / xp.where(zero, 1.0, x))
    return v * (below + x * xp.exp(-0.5 * (x * x)) * (1.0 / math.sqrt(2.0 * math.pi)))


@jt.op(composite=True, elementwise=True)
def mish(x: Any, /) -> Any:
    """x * tanh(softplus(x)), elementwise (Misra, 2019)."""
    x = jt.asarray(x)
    real("mish", x)
    return x * jt.tanh(jt.softplus(x))


@jt.op(composite=True, elementwise=True)
def log_sigmoid(x: Any, /) -> Any:
    """log(sigmoid(x)) = -softplus(-x), elementwise, without overflow."""
    x = jt.asarray(x)
    real("log_sigmoid", x)
    return -jt.softplus(0.0 - x)  # not -x: unsigned integers wrap around


@jt.op(composite=True, elementwise=True)
def tanhshrink(x: Any, /) -> Any:
    """x - tanh(x), elementwise."""
    return x - jt.tanh(x)


@jt.op(composite=True, elementwise=True, domain=(0.2, 3.0))
def softsign(x: Any, /) -> Any:
    """x / (1 + abs(x)), elementwise."""
    return x / (1.0 + jt.abs(x))


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=(3, 4)),), {"axis": 1}))
def softmin(x: Any, /, *, axis: Any = -1) -> Any:
    """softmax(-x) along ``axis``: the smallest element weighs most."""
    x = jt.asarray(x)
    real("softmin", x)
    return jt.softmax(0.0 - x, axis=axis)  # not -x: unsigned integers wrap around


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=(3, 4)),), {"axis": 1}))
def glu(x: Any, /, *, axis: int = -1) -> Any:
    """a * sigmoid(b), with a and b the two halves of x along ``axis`` (Dauphin et al., 2016).

    Raises ``ShapeError`` for a 0-d x, an axis that x does not have, and one of odd length.
    """
    x = jt.asarray(x)
    real("glu", x)
    if not -x.ndim <= axis < x.ndim:
        raise jt.ShapeError(f"glu(): x of shape {x.shape} has no axis {axis}")
    length = x.shape[axis]
    if length % 2:
        raise jt.ShapeError(f"glu() halves x along axis {axis}; its length there is {length}, which is odd: {x.shape}")
    before = (slice(None),) * (axis % x.ndim)
    return x[(*before, slice(None, length // 2))] * jt.sigmoid(x[(*before, slice(length // 2, None))])


# -- with kinks -----------------------------------------------------------------------------------------------------


@of_real_numbers
@jt.op(
    elementwise=True,
    vjp=lambda g, x, negative_slope: jt.where(x > 0, g, g * negative_slope),
    domain=(0.2, 3.0),
)
def leaky_relu(xp: Any, x: Any, /, *, negative_slope: float = 0.01) -> Any:
    """x where it is positive, else ``negative_slope`` * x, which is its slope at 0, too."""
    real("leaky_relu", x)
    return xp.where(x > 0, x, x * negative_slope)


def _prelu_sample(rng: Any) -> Any:
    x = rng.uniform(0.2, 2.0, size=(2, 3, 4)) * rng.choice([-1.0, 1.0], size=(2, 3, 4))
    return (x, rng.normal(size=3)), {}


@jt.op(composite=True, samples=_prelu_sample)
def prelu(x: Any, weight: Any, /) -> Any:
    """x where it is positive, else ``weight`` * x (He et al., 2015).

    ``weight`` has one slope for each channel, shape (channels,), or one for all, shape (1,) or (). Channels are axis 1 of x.

    Raises ``ShapeError`` where it does not fit.
    """
    x, weight = jt.asarray(x), jt.asarray(weight)
    real("prelu", x, weight)
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.ndim > 1 or (weight.ndim == 1 and weight.shape[0] not in (1, channels)):
        raise jt.ShapeError(
            f"prelu(): weight has shape {weight.shape}; expected ({channels},), one for each channel (axis 1 of x, whose "
            f"shape is {x.shape}), or (1,)"
        )
    if weight.ndim and x.ndim > 2:
        weight = jt.reshape(weight, (weight.shape[0], *(1,) * (x.ndim - 2)))
    elif weight.ndim and not x.ndim:
        weight = jt.reshape(weight, ())
    return jt.where(x > 0, x, x * weight)


def _elu_x(g: Any, x: Any, alpha: float, scale: float, rate: float) -> Any:
    return jt.where(x > 0, g * scale, g * (alpha * scale * rate) * jt.exp(jt.minimum(x, 0.0) * rate))


@jt.op(composite=True, elementwise=True, domain=(-2.0, -0.2))
def elu(x: Any, /, *, alpha: float = 1.0) -> Any:
    """x where it is positive, else ``alpha`` * (exp(x) - 1) (Clevert et al., 2015); its slope at 0 is ``alpha``."""
    x = jt.asarray(x)
    real("elu", x)
    return exponential_unit(x, alpha=alpha)


@jt.op(composite=True, elementwise=True, domain=(-2.0, -0.2))
def selu(x: Any, /) -> Any:
    """elu with Klambauer's constants (2017): ``scale`` = 1.0507... times elu(x, alpha=1.6732...)."""
    x = jt.asarray(x)
    real("selu", x)
    return exponential_unit(x, alpha=SELU_ALPHA, scale=SELU_SCALE)


@jt.op(composite=True, elementwise=True, domain=(-2.0, -0.2))
def celu(x: Any, /, *, alpha: float = 1.0) -> Any:
    """x where it is positive, else ``alpha`` * (exp(x / alpha) - 1) (Barron, 2017); its slope at 0 is 1.

    Raises ``OpError`` for an alpha of 0.
    """
    x = jt.asarray(x)
    real("celu", x)
    if not alpha:
        raise jt.OpError(f"celu(): alpha must not be 0; got {alpha!r}")
    return exponential_unit(x, alpha=alpha, rate=1.0 / alpha)


@of_real_numbers
@jt.op(elementwise=True, vjp=_elu_x, domain=(-2.0, -0.2))
def exponential_unit(xp: Any, x: Any, /, *, alpha: float = 1.0, scale: float = 1.0, rate: float = 1.0) -> Any:
    """``scale`` * (x where it is positive, else ``alpha`` * (exp(rate * x) - 1)): what elu, selu and celu share."""
    real("exponential_unit", x)
    return scale * xp.where(x > 0, x, alpha * xp.expm1(xp.minimum(x, 0.0) * rate))


@of_real_numbers
@jt.op(
    elementwise=True,
    vjp=lambda g, x, min_val, max_val: jt.where((x <= min_val) | (x >= max_val), 0.0, g),
    domain=(-0.8, 0.8),
)
def hardtanh(xp: Any, x: Any, /, *, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """x, limited to [``min_val``, ``max_val``]; its slope on the bounds is 0, where that of ``clip`` is 1.

    Raises ``OpError`` where min_val is above max_val.
    """
    real("hardtanh", x)
    if min_val > max_val:
        raise jt.OpError(f"hardtanh(): min_val must not be above max_val; got {min_val!r} and {max_val!r}")
    return xp.minimum(xp.maximum(x, min_val), max_val)


@jt.op(composite=True, elementwise=True, domain=(0.2, 5.0))
def relu6(x: Any, /) -> Any:
    """x, limited to [0, 6]; its slope at 0 and at 6 is 0."""
    x = jt.asarray(x)
    real("relu6", x)
    return hardtanh(x, min_val=0.0, max_val=6.0)


@of_real_numbers
@jt.op(elementwise=True, vjp=lambda g, x: jt.where((x > -3) & (x < 3), g / 6.0, 0.0))
def hardsigmoid(xp: Any, x: Any, /) -> Any:
    """x / 6 + 1/2, limited to [0, 1]; its slope at -3 and 3 is 0."""
    real("hardsigmoid", x)
    return xp.minimum(xp.maximum(x + 3.0, 0.0), 6.0) / 6.0


@of_real_numbers
@jt.op(elementwise=True, vjp=lambda g, x: jt.where(x <= -3, 0.0, jt.where(x < 3, g * (x / 3.0 + 0.5), g)))
def hardswish(xp: Any, x: Any, /) -> Any:
    """x * hardsigmoid(x) (Howard et al., 2019); its slope at -3 is 0 and at 3 it is 1."""
    real("hardswish", x)
    return x * (xp.minimum(xp.maximum(x + 3.0, 0.0), 6.0) / 6.0)


@jt.op(elementwise=True, vjp=lambda g, x, lambd: jt.where(jt.abs(x) <= lambd, 0.0, g), domain=(0.8, 3.0))
def hardshrink(xp: Any, x: Any, /, *, lambd: float = 0.5) -> Any:
    """x where its size is above ``lambd``, else 0."""
    return xp.where(xp.abs(x) <= lambd, x * 0.0, x)


@of_real_numbers
@jt.op(elementwise=True, vjp=lambda g, x, lambd: jt.where(jt.abs(x) <= lambd, 0.0, g), domain=(0.8, 3.0))
def softshrink(xp: Any, x: Any, /, *, lambd: float = 0.5) -> Any:
    """x, ``lambd`` nearer to 0; 0 where its size is at most ``lambd``. Raises ``OpError`` for a negative one."""
    real("softshrink", x)
    if lambd < 0:
        raise jt.OpError(f"softshrink(): lambd must not be negative; got {lambd!r}")
    return x - xp.minimum(xp.maximum(x, -lambd), lambd)
