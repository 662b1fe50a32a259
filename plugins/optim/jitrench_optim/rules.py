"""Update rules. Each step is PyTorch's of the same name."""

from __future__ import annotations

from numbers import Real
from typing import Any, Never

import jitrench_core as jt
from jitrench_core import Optimizer, Tensor
from jitrench_core.optimizer import OptimizerError

Slots = dict[str, Tensor]


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _from_zero(who: str, **numbers: float) -> None:
    """Each is a number, 0 or above."""
    for name, value in numbers.items():
        if not (_is_number(value) and value >= 0):
            raise OptimizerError(f"{who}: {name} must be a number, 0 or above; got {value!r:.60}")


class SGD(Optimizer):
    """Gradient descent, ``p - lr * g``, with momentum if ``momentum`` is above 0.

    A velocity ``v = momentum * v + g``, which begins at 0, then takes the place of g; with ``nesterov``, ``g + momentum * v``
    does. ``weight_decay`` adds ``weight_decay * p`` to g first.

    Raises ``OptimizerError`` for what is no number or a negative one, for ``nesterov`` without momentum, and for an option that
    is not there.
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        **unknown: Never,
    ) -> None:
        _from_zero("SGD", momentum=momentum, weight_decay=weight_decay)
        if nesterov and not momentum:
            raise OptimizerError("SGD: nesterov=True needs a momentum above 0, such as momentum=0.9")
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        super().__init__(params, lr=lr, **unknown)

    def slots(self, p: Tensor) -> Slots:
        return {"velocity": jt.zeros_like(p)} if self.momentum else {}

    def update(self, p: Tensor, g: Tensor, lr: Tensor, slots: Slots) -> tuple[Tensor, Slots]:
        if self.weight_decay:
            g = g + self.weight_decay * p
        if not self.momentum:
            return p - lr * g, {}
        velocity = self.momentum * slots["velocity"] + g
        return p - lr * (g + self.momentum * velocity if self.nesterov else velocity), {"velocity": velocity}


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015), with bias correction.

    The gradient's mean and mean square are kept as moving averages with ``betas``; the step is
    ``lr * m / (sqrt(v) + eps)``, both divided by ``1 - beta**t`` first. ``weight_decay`` adds ``weight_decay * p`` to g.

    Raises ``OptimizerError`` for ``betas`` that are not two numbers in [0, 1), for an ``eps`` or ``weight_decay`` that is no number
    or a negative one, and for an option that is not there.
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **unknown: Never,
    ) -> None:
        two = isinstance(betas, (tuple, list)) and len(betas) == 2
        if not two or not all(_is_number(beta) and 0 <= beta < 1 for beta in betas):
            raise OptimizerError(f"Adam: betas must be two numbers in [0, 1), such as (0.9, 0.999); got {betas!r:.60}")
        _from_zero("Adam", eps=eps, weight_decay=weight_decay)
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay
        super().__init__(params, lr=lr, **unknown)

    def slots(self, p: Tensor) -> Slots:
        # The count is float64 for every p: 1 - beta**t would lose half its digits in float32.
        return {
            "steps": jt.zeros((), dtype=jt.float64, device=p.device),
            "mean": jt.zeros_like(p),
            "square": jt.zeros_like(p),
        }

    def update(self, p: Tensor, g: Tensor, lr: Tensor, slots: Slots) -> tuple[Tensor, Slots]:
        beta1, beta2 = self.betas
        if self.weight_decay:
            g = g + self.weight_decay * p
        steps = slots["steps"] + 1.0
        mean = beta1 * slots["mean"] + (1 - beta1) * g
        square = beta2 * slots["square"] + (1 - beta2) * (g * g)
        size = lr * jt.asarray(1 / (1 - beta1**steps), dtype=p.dtype)
        root = jt.sqrt(square) / jt.asarray(jt.sqrt(1 - beta2**steps), dtype=p.dtype)
        return p - size * mean / (root + self.eps), {"steps": steps, "mean": mean, "square": square}
