"""What the rules share: checks of hyper-parameters, and the first lines of most formulas."""

from __future__ import annotations

from numbers import Real
from typing import Any

import jitrench_core as jt
from jitrench_core import Tensor
from jitrench_core.optimizer import OptimizerError

Slots = dict[str, Tensor]


# -- checks -----------------------------------------------------------------------------------------------------------


def is_number(value: Any) -> bool:
    """Whether it is a real number, and no bool."""
    return isinstance(value, Real) and not isinstance(value, bool)


def from_zero(who: object, **numbers: Any) -> None:
    """Each is a number, 0 or above."""
    for name, value in numbers.items():
        if not (is_number(value) and value >= 0):
            raise OptimizerError(f"{type(who).__name__}: {name} must be a number, 0 or above; got {value!r:.60}")


def fractions(who: object, **numbers: Any) -> None:
    """Each is a number in [0, 1]."""
    for name, value in numbers.items():
        if not (is_number(value) and 0 <= value <= 1):
            raise OptimizerError(f"{type(who).__name__}: {name} must be a number from 0 to 1; got {value!r:.60}")


def two_betas(who: object, betas: Any) -> None:
    """Two numbers in [0, 1)."""
    two = isinstance(betas, (tuple, list)) and len(betas) == 2
    if not two or not all(is_number(beta) and 0 <= beta < 1 for beta in betas):
        raise OptimizerError(
            f"{type(who).__name__}: betas must be two numbers in [0, 1), such as (0.9, 0.999); got {betas!r:.60}"
        )


# -- formulas ---------------------------------------------------------------------------------------------------------


def counter(p: Tensor) -> Tensor:
    """The number of steps so far. It is float64 for every p: 1 - beta**t would lose half its digits in float32."""
    return jt.zeros((), dtype=jt.float64, device=p.device)


def constants(*names: str) -> dict[str, None]:
    """No gradient goes through a step: its rules as an op."""
    return dict.fromkeys(("p", "grad", "lr", *names))


def number(xp: Any, value: Any, p: Any) -> Any:
    """A 0-d value that was computed in float64, in p's dtype."""
    return xp.asarray(value, dtype=p.dtype)


def wide(xp: Any, x: Any) -> Any:
    """For sums of squares: float32 in place of float16, where they end at 65504."""
    return xp.astype(x, xp.float32) if xp.finfo(x.dtype).bits < 32 else x


def gradient(p: Any, grad: Any, weight_decay: float, maximize: bool) -> Any:
    """It, uphill or down, with the gradient of ``weight_decay / 2 * p**2``."""
    g = -grad if maximize else grad
    return g + weight_decay * p if weight_decay else g


def samples(*slots: str, shape: tuple[int, ...] = (3, 4), **attrs: Any) -> Any:
    """Test data of a step: slots that hold squares are positive, those named in ``SCALARS`` are 0-d."""

    def make(rng: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        arrays = [rng.normal(size=shape), rng.normal(size=shape), rng.uniform(size=())]
        for name in slots:
            arrays.append(rng.uniform(0.5, 2.0, size=() if name in SCALARS else shape))
        return tuple(arrays), attrs

    return make


SCALARS = ("steps", "product")
