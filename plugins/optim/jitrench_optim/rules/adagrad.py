"""Rules that divide by the root of summed or averaged squares: Adagrad, RMSprop and Adadelta."""

from __future__ import annotations

from typing import Any, Never

import jitrench_core as jt
from jitrench_core import Optimizer, Tensor, op

from .common import Slots, constants, counter, fractions, from_zero, gradient, number, samples


@op(outputs=3, vjp=constants("steps", "total"), samples=samples("steps", "total", lr_decay=0.1, weight_decay=0.1))
def adagrad_step(
    xp: Any,
    p: Any,
    grad: Any,
    lr: Any,
    steps: Any,
    total: Any,
    /,
    *,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """A step of ``Adagrad``: the new p, count and sum of squares."""
    g = gradient(p, grad, weight_decay, maximize)
    total = total + g * g
    rate = number(xp, lr / (1 + steps * lr_decay), p)
    return p - rate * g / (xp.sqrt(total) + eps), steps + 1.0, total


class Adagrad(Optimizer):
    """Adagrad (Duchi et al., 2011): ``p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(total) + eps)``, over the sum of all squares so far.

    The sum begins at ``initial_accumulator_value``. ``weight_decay`` adds ``weight_decay * p`` to g first; ``maximize`` climbs.

    Raises ``OptimizerError`` for what is no number or a negative one, and for an option that is not there; ``DTypeError`` for
    complex parameters.
    """

    rule = adagrad_step
    dtypes = "f"

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        *,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        maximize: bool = False,
        **unknown: Never,
    ) -> None:
        options = {
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
            "maximize": maximize,
        }
        super().__init__(params, lr=lr, options=options, **unknown)

    def check(self, *, maximize: bool, **numbers: Any) -> None:
        from_zero(self, **numbers)

    def slots(self, p: Tensor, *, initial_accumulator_value: float, **_: Any) -> Slots:
        return {"steps": counter(p), "total": jt.full_like(p, initial_accumulator_value)}


@op(
    outputs=4,
    vjp=constants("square", "mean", "velocity"),
    samples=lambda rng: (
        (rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.uniform(size=()), 9.0 + rng.uniform(size=(3, 4)),
         rng.normal(size=(3, 4)), rng.normal(size=(3, 4))),
        {"momentum": 0.9, "centered": True, "weight_decay": 0.1},
    ),
)  # fmt: skip
def rmsprop_step(
    xp: Any,
    p: Any,
    grad: Any,
    lr: Any,
    square: Any,
    mean: Any = None,
    velocity: Any = None,
    /,
    *,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """A step of ``RMSprop``: the new p, square, mean and velocity."""
    g = gradient(p, grad, weight_decay, maximize)
    square = alpha * square + (1 - alpha) * (g * g)
    spread = square
    if mean is not None:
        mean = mean + (1 - alpha) * (g - mean)
        spread = xp.maximum(square - mean * mean, 0.0)  # a variance near 0 may round below it
    moves = g / (xp.sqrt(spread) + eps)
    if velocity is not None:
        moves = velocity = momentum * velocity + moves
    return p - number(xp, lr, p) * moves, square, grad if mean is None else mean, grad if velocity is None else velocity


class RMSprop(Optimizer):
    """RMSprop (Hinton, 2012): ``p - lr * g / (sqrt(v) + eps)``, where v is the moving average of ``g * g`` with ``alpha``.

    With ``centered``, v less the square of g's moving average is taken. With ``momentum``, the fraction feeds a velocity ``u = momentum * u
    + ...``, and the step is ``lr * u``. ``weight_decay`` adds ``weight_decay * p`` to g first; ``maximize`` climbs.

    Raises ``OptimizerError`` for an ``alpha`` outside [0, 1], for what is no number or a negative one, and for an option that is not
    there; ``DTypeError`` for complex parameters.
    """

    rule = rmsprop_step
    dtypes = "f"

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        maximize: bool = False,
        **unknown: Never,
    ) -> None:
        options = {
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "maximize": maximize,
        }
        super().__init__(params, lr=lr, options=options, **unknown)

    def check(self, *, alpha: float, eps: float, weight_decay: float, momentum: float, **_: Any) -> None:
        fractions(self, alpha=alpha)
        from_zero(self, eps=eps, weight_decay=weight_decay, momentum=momentum)

    def slots(self, p: Tensor, *, centered: bool, momentum: float, **_: Any) -> Slots:
        kept = ["square", *(["mean"] if centered else []), *(["velocity"] if momentum else [])]
        return {name: jt.zeros_like(p) for name in kept}


@op(outputs=3, vjp=constants("square", "change"), samples=samples("square", "change", weight_decay=0.1))
def adadelta_step(
    xp: Any,
    p: Any,
    grad: Any,
    lr: Any,
    square: Any,
    change: Any,
    /,
    *,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """A step of ``Adadelta``: the new p, mean square of g and of the changes."""
    g = gradient(p, grad, weight_decay, maximize)
    square = rho * square + (1 - rho) * (g * g)
    moves = xp.sqrt(change + eps) / xp.sqrt(square + eps) * g
    return p - number(xp, lr, p) * moves, square, rho * change + (1 - rho) * (moves * moves)


class Adadelta(Optimizer):
    """Adadelta (Zeiler, 2012): g is scaled to the size of the changes so far, ``d = sqrt(u + eps) / sqrt(v + eps) * g``; p moves by ``lr * d``.

    v and u are the moving averages, with ``rho``, of ``g * g`` and ``d * d``. ``weight_decay`` adds ``weight_decay * p`` to g first;
    ``maximize`` climbs.

    Raises ``OptimizerError`` for a ``rho`` outside [0, 1], for what is no number or a negative one, and for an option that is not
    there; ``DTypeError`` for complex parameters.
    """

    rule = adadelta_step
    dtypes = "f"

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1.0,
        *,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        maximize: bool = False,
        **unknown: Never,
    ) -> None:
        options = {"rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, lr=lr, options=options, **unknown)

    def check(self, *, rho: float, eps: float, weight_decay: float, **_: Any) -> None:
        fractions(self, rho=rho)
        from_zero(self, eps=eps, weight_decay=weight_decay)

    def slots(self, p: Tensor, **_: Any) -> Slots:
        return {"square": jt.zeros_like(p), "change": jt.zeros_like(p)}
