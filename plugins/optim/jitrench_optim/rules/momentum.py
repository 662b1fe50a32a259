"""Rules that follow the gradient, or its moving average: SGD and Lion."""

from __future__ import annotations

from typing import Any, Never

import jitrench_core as jt
from jitrench_core import Optimizer, Tensor, op
from jitrench_core.optimizer import OptimizerError

from .common import Slots, constants, counter, from_zero, gradient, number, samples, two_betas


@op(outputs=3, vjp=constants("velocity", "steps"), samples=samples("velocity", momentum=0.9, nesterov=True))
def sgd_step(
    xp: Any,
    p: Any,
    grad: Any,
    lr: Any,
    velocity: Any = None,
    steps: Any = None,
    /,
    *,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """A step of ``SGD``: the new p, velocity and count."""
    g = gradient(p, grad, weight_decay, maximize)
    if velocity is None:
        return p - number(xp, lr, p) * g, grad, grad
    if steps is None:
        velocity = momentum * velocity + g
    else:  # the first velocity is g, and not dampened
        velocity = momentum * velocity + (1 - dampening * number(xp, steps > 0, p)) * g
    moves = g + momentum * velocity if nesterov else velocity
    return p - number(xp, lr, p) * moves, velocity, grad if steps is None else steps + 1.0


class SGD(Optimizer):
    """Gradient descent, ``p - lr * g``, with momentum if ``momentum`` is above 0.

    A velocity ``v = momentum * v + (1 - dampening) * g``, of which the first is g, then takes the place of g; with ``nesterov``,
    ``g + momentum * v`` does. ``weight_decay`` adds ``weight_decay * p`` to g first; ``maximize`` climbs.

    Raises ``OptimizerError`` for what is no number or a negative one, for ``nesterov`` without momentum or with dampening, and for
    an option that is not there.
    """

    rule = sgd_step

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        *,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        maximize: bool = False,
        **unknown: Never,
    ) -> None:
        options = {
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, lr=lr, options=options, **unknown)

    def check(self, *, momentum: float, dampening: float, weight_decay: float, nesterov: bool, **_: Any) -> None:
        from_zero(self, momentum=momentum, dampening=dampening, weight_decay=weight_decay)
        if nesterov and not momentum:
            raise OptimizerError("SGD: nesterov=True needs a momentum above 0, such as momentum=0.9")
        if nesterov and dampening:
            raise OptimizerError("SGD: nesterov=True needs dampening=0")

    def slots(self, p: Tensor, *, momentum: float, dampening: float, **_: Any) -> Slots:
        if not momentum:
            return {}
        return {"velocity": jt.zeros_like(p)} | ({"steps": self._begun(p)} if dampening else {})

    def _begun(self, p: Tensor) -> Tensor:
        """The count of steps: 1 where p has a velocity already, so that the next one is dampened."""
        for group in self.groups:
            for other, slots in zip(group.params, group.slots, strict=True):
                if other is p and "velocity" in slots:
                    return jt.astype(jt.any(slots["velocity"] != 0), jt.float64)
        return counter(p)


@op(outputs=2, vjp=constants("mean"), samples=samples("mean", betas=(0.9, 0.99), weight_decay=0.1))
def lion_step(
    xp: Any,
    p: Any,
    grad: Any,
    lr: Any,
    mean: Any,
    /,
    *,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """A step of ``Lion``: the new p and mean."""
    beta1, beta2 = betas
    g = -grad if maximize else grad
    moves = xp.sign(beta1 * mean + (1 - beta1) * g)
    if weight_decay:
        moves = moves + weight_decay * p
    return p - number(xp, lr, p) * moves, beta2 * mean + (1 - beta2) * g


class Lion(Optimizer):
    """Lion (Chen et al., 2023): steps of size lr by sign, ``p - lr * (sign(beta1 * m + (1 - beta1) * g) + weight_decay * p)``.

    The mean is ``m = beta2 * m + (1 - beta2) * g`` afterwards. A tenth of Adam's learning rate is a good start.

    Raises ``OptimizerError`` for ``betas`` that are not two numbers in [0, 1), for a ``weight_decay`` that is no number or a negative
    one, and for an option that is not there.
    """

    rule = lion_step
    dtypes = "f"

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-4,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        maximize: bool = False,
        **unknown: Never,
    ) -> None:
        options = {"betas": betas, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, lr=lr, options=options, **unknown)

    def check(self, *, betas: tuple[float, float], weight_decay: float, **_: Any) -> None:
        two_betas(self, betas)
        from_zero(self, weight_decay=weight_decay)

    def slots(self, p: Tensor, **_: Any) -> Slots:
        return {"mean": jt.zeros_like(p)}
