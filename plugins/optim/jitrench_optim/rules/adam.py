"""Adam and its descendants: rules that keep moving averages of the gradient and of its square."""

from __future__ import annotations

from typing import Any, Never

import jitrench_core as jt
from jitrench_core import Optimizer, Tensor, op

from .common import Slots, constants, counter, from_zero, gradient, number, samples, two_betas, wide

Betas = tuple[float, float]


def _decayed(xp: Any, p: Any, g: Any, lr: Any, weight_decay: float, decoupled: bool, maximize: bool) -> tuple[Any, Any]:
    """p and g, one of them with weight decay."""
    if not decoupled:
        return p, gradient(p, g, weight_decay, maximize)
    return p * number(xp, 1 - lr * weight_decay, p), gradient(p, g, 0.0, maximize)


def _averages(mean: Any, square: Any, g: Any, betas: Betas) -> tuple[Any, Any]:
    beta1, beta2 = betas
    return mean + (1 - beta1) * (g - mean), beta2 * square + (1 - beta2) * (g * g)


class _Adaptive(Optimizer):
    """What all have: betas, eps, weight decay, a count and the two averages."""

    dtypes = "f"

    def check(self, *, betas: Betas, eps: float, weight_decay: float, **_: Any) -> None:
        two_betas(self, betas)
        from_zero(self, eps=eps, weight_decay=weight_decay)

    def slots(self, p: Tensor, **_: Any) -> Slots:
        return {"steps": counter(p), "mean": jt.zeros_like(p), "square": jt.zeros_like(p)}


# -- Adam, AdamW, AMSGrad ---------------------------------------------------------------------------------------------


@op(
    outputs=5,
    vjp=constants("steps", "mean", "square", "largest"),
    samples=samples("steps", "mean", "square", "largest", amsgrad=True, weight_decay=0.1),
)
def adam_step(
    xp: Any,
    p: Any,
    grad: Any,
    lr: Any,
    steps: Any,
    mean: Any,
    square: Any,
    largest: Any = None,
    /,
    *,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    decoupled_weight_decay: bool = False,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """A step of ``Adam``: the new p, count, mean, square, and largest square so far."""
    steps = steps + 1.0
    p, g = _decayed(xp, p, grad, lr, weight_decay, decoupled_weight_decay, maximize)
    mean, square = _averages(mean, square, g, betas)
    top = square if largest is None else xp.maximum(largest, square)
    size = number(xp, lr / (1 - betas[0] ** steps), p)
    root = xp.sqrt(top) * number(xp, (1 - betas[1] ** steps) ** -0.5, p)
    return p - size * mean / (root + eps), steps, mean, square, grad if largest is None else top


class Adam(_Adaptive):
    """Adam (Kingma and Ba, 2015), with bias correction.

    The gradient's mean and mean square are kept as moving averages with ``betas``; the step is
    ``lr * m / (sqrt(v) + eps)``, both divided by ``1 - beta**t`` first. ``weight_decay`` adds ``weight_decay * p`` to g, or, with
    ``decoupled_weight_decay``, shrinks p by ``lr * weight_decay`` instead. With ``amsgrad`` (Reddi et al., 2018) the largest v so far
    takes the place of v. ``maximize`` climbs.

    Raises ``OptimizerError`` for ``betas`` that are not two numbers in [0, 1), for an ``eps`` or ``weight_decay`` that is no number
    or a negative one, and for an option that is not there; ``DTypeError`` for complex parameters.
    """

    rule = adam_step

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        *,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
        **unknown: Never,
    ) -> None:
        options = {
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, lr=lr, options=options, **unknown)

    def slots(self, p: Tensor, *, amsgrad: bool = False, **_: Any) -> Slots:
        return super().slots(p) | ({"largest": jt.zeros_like(p)} if amsgrad else {})


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019): p shrinks by ``lr * weight_decay`` before each step.

    Raises as ``Adam`` does.
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        *,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        maximize: bool = False,
        **unknown: Never,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            decoupled_weight_decay=True,
            maximize=maximize,
            **unknown,
        )


class AMSGrad(Adam):
    """Adam with the largest mean square so far in the denominator (Reddi et al., 2018); ``Adam(amsgrad=True)``.

    Raises as ``Adam`` does.
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        *,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        maximize: bool = False,
        **unknown: Never,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=True,
            maximize=maximize,
            **unknown,
        )


# -- NAdam ------------------------------------------------------------------------------------------------------------


@op(
    outputs=5,
    vjp=constants("steps", "product", "mean", "square"),
    samples=samples("steps", "product", "mean", "square", weight_decay=0.1),
)
def nadam_step(
    xp: Any,
    p: Any,
    grad: Any,
    lr: Any,
    steps: Any,
    product: Any,
    mean: Any,
    square: Any,
    /,
    *,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum_decay: float = 4e-3,
    decoupled_weight_decay: bool = False,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """A step of ``NAdam``: the new p, count, product of momenta, mean and square."""
    steps = steps + 1.0
    now = betas[0] * (1 - 0.5 * 0.96 ** (steps * momentum_decay))
    then = betas[0] * (1 - 0.5 * 0.96 ** ((steps + 1) * momentum_decay))
    product = product * now
    p, g = _decayed(xp, p, grad, lr, weight_decay, decoupled_weight_decay, maximize)
    mean, square = _averages(mean, square, g, betas)
    root = xp.sqrt(square * number(xp, 1 / (1 - betas[1] ** steps), p)) + eps
    ahead = number(xp, lr * (1 - now) / (1 - product), p) * g + number(xp, lr * then / (1 - product * then), p) * mean
    return p - ahead / root, steps, product, mean, square


class NAdam(_Adaptive):
    """Adam with Nesterov's momentum (Dozat, 2016), whose strength grows by ``momentum_decay``.

    With ``mu_t = beta1 * (1 - 0.96**(t * momentum_decay) / 2)`` and M the product of them so far, the step is ``lr`` times
    ``((1 - mu_t) * g / (1 - M) + mu_{t+1} * m / (1 - M * mu_{t+1})) / (sqrt(v / (1 - beta2**t)) + eps)``.

    Raises as ``Adam`` does.
    """

    rule = nadam_step

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 2e-3,
        *,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
        **unknown: Never,
    ) -> None:
        options = {
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, lr=lr, options=options, **unknown)

    def check(self, *, betas: Betas, eps: float, weight_decay: float, **others: Any) -> None:
        super().check(betas=betas, eps=eps, weight_decay=weight_decay)
        from_zero(self, momentum_decay=others["momentum_decay"])

    def slots(self, p: Tensor, **_: Any) -> Slots:
        return {"product": jt.ones((), dtype=jt.float64, device=p.device), **super().slots(p)}


# -- RAdam ------------------------------------------------------------------------------------------------------------


@op(
    outputs=4,
    vjp=constants("steps", "mean", "square"),
    samples=samples("steps", "mean", "square", betas=(0.9, 0.8), weight_decay=0.1),
)
def radam_step(
    xp: Any,
    p: Any,
    grad: Any,
    lr: Any,
    steps: Any,
    mean: Any,
    square: Any,
    /,
    *,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled_weight_decay: bool = False,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """A step of ``RAdam``: the new p, count, mean and square."""
    steps = steps + 1.0
    p, g = _decayed(xp, p, grad, lr, weight_decay, decoupled_weight_decay, maximize)
    mean, square = _averages(mean, square, g, betas)
    longest = 2 / (1 - betas[1]) - 1
    rest = 1 - betas[1] ** steps
    length = longest - 2 * steps * (1 - rest) / rest
    known = length > 5  # of the average; before that the variance of 1 / sqrt(v) is unbounded
    safe = xp.where(known, length, 6.0)
    rect = (safe - 4) * (safe - 2) * longest / ((longest - 4) * (longest - 2) * safe) if longest > 5 else 0.0 * safe
    size = number(xp, lr / (1 - betas[0] ** steps), p)
    factor = number(xp, (rest * rect) ** 0.5, p) / (xp.sqrt(square) + eps)
    return p - size * mean * xp.where(known, factor, xp.ones_like(factor)), steps, mean, square


class RAdam(_Adaptive):
    """Adam with a rectified variance (Liu et al., 2020): plain momentum until enough steps are averaged, then a factor that grows to 1.

    Raises as ``Adam`` does.
    """

    rule = radam_step

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        *,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
        **unknown: Never,
    ) -> None:
        options = {
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, lr=lr, options=options, **unknown)


# -- Adamax -----------------------------------------------------------------------------------------------------------


@op(
    outputs=4,
    vjp=constants("steps", "mean", "largest"),
    samples=samples("steps", "mean", "largest", weight_decay=0.1),
)
def adamax_step(
    xp: Any,
    p: Any,
    grad: Any,
    lr: Any,
    steps: Any,
    mean: Any,
    largest: Any,
    /,
    *,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """A step of ``Adamax``: the new p, count, mean and decayed maximum."""
    steps = steps + 1.0
    g = gradient(p, grad, weight_decay, maximize)
    mean = mean + (1 - betas[0]) * (g - mean)
    largest = xp.maximum(betas[1] * largest, xp.abs(g) + eps)
    return p - number(xp, lr / (1 - betas[0] ** steps), p) * mean / largest, steps, mean, largest


class Adamax(_Adaptive):
    """Adam by the infinity norm (Kingma and Ba, 2015): ``u = max(beta2 * u, |g| + eps)`` takes the place of ``sqrt(v) + eps``.

    Raises as ``Adam`` does.
    """

    rule = adamax_step

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 2e-3,
        *,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        maximize: bool = False,
        **unknown: Never,
    ) -> None:
        options = {"betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, lr=lr, options=options, **unknown)

    def slots(self, p: Tensor, **_: Any) -> Slots:
        return {"steps": counter(p), "mean": jt.zeros_like(p), "largest": jt.zeros_like(p)}


# -- LAMB -------------------------------------------------------------------------------------------------------------


@op(
    outputs=4,
    vjp=constants("steps", "mean", "square"),
    samples=samples("steps", "mean", "square", weight_decay=0.1),
)
def lamb_step(
    xp: Any,
    p: Any,
    grad: Any,
    lr: Any,
    steps: Any,
    mean: Any,
    square: Any,
    /,
    *,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 1e-2,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """A step of ``LAMB``: the new p, count, mean and square."""
    steps = steps + 1.0
    mean, square = _averages(mean, square, gradient(p, grad, 0.0, maximize), betas)
    root = xp.sqrt(square * number(xp, 1 / (1 - betas[1] ** steps), p))
    moves = mean * number(xp, 1 / (1 - betas[0] ** steps), p) / (root + eps)
    if weight_decay:
        moves = moves + weight_decay * p
    long, far = (xp.sqrt(xp.sum(x * x)) for x in (wide(xp, p), wide(xp, moves)))
    good = (long > 0) & (far > 0)
    one = xp.ones_like(long)
    ratio = xp.where(good, long / xp.where(good, far, one), one)
    return p - number(xp, lr, p) * number(xp, ratio, p) * moves, steps, mean, square


class LAMB(_Adaptive):
    """LAMB (You et al., 2020): Adam's step with decoupled weight decay, scaled to the length of p in each parameter.

    ``u = m / (sqrt(v) + eps) + weight_decay * p``, with bias correction, and the step is ``lr * |p| / |u| * u``; where one of the two
    norms is 0, their ratio is taken as 1.

    Raises as ``Adam`` does.
    """

    rule = lamb_step

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        *,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 1e-2,
        maximize: bool = False,
        **unknown: Never,
    ) -> None:
        options = {"betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, lr=lr, options=options, **unknown)
