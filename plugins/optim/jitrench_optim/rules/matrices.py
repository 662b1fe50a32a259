"""Rules that see a parameter as a matrix: Muon and Adafactor."""

from __future__ import annotations

import math
from typing import Any, Never

import jitrench_core as jt
from jitrench_core import Optimizer, ShapeError, Tensor, op
from jitrench_core.optimizer import OptimizerError

from .common import Slots, constants, counter, from_zero, gradient, is_number, number, samples, wide

Coefficients = tuple[float, float, float]
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Jordan's: the steepest quintic at 0 that stays near 1
ADJUSTMENTS = (None, "original", "match_rms_adamw")


# -- Muon -------------------------------------------------------------------------------------------------------------


def orthogonalized(xp: Any, x: Any, coefficients: Coefficients, steps: int, eps: float) -> Any:
    """A matrix with x's singular vectors and singular values near 1, by a Newton-Schulz iteration of fifth order."""
    a, b, c = coefficients
    tall = x.shape[0] > x.shape[1]
    x = x.mT if tall else x
    y = wide(xp, x)
    norm = xp.sqrt(xp.sum(y * y))
    x = xp.astype(y / xp.where(norm > eps, norm, eps * xp.ones_like(norm)), x.dtype)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if tall else x


@op(outputs=2, vjp=constants("mean"), samples=samples("mean"))
def muon_step(
    xp: Any,
    p: Any,
    grad: Any,
    lr: Any,
    mean: Any,
    /,
    *,
    weight_decay: float = 0.1,
    momentum: float = 0.95,
    nesterov: bool = True,
    ns_coefficients: Coefficients = NEWTON_SCHULZ,
    eps: float = 1e-7,
    ns_steps: int = 5,
    adjust_lr_fn: str | None = None,
    donated: bool = False,
) -> Any:
    """A step of ``Muon``: the new p and mean."""
    mean = momentum * mean + (1 - momentum) * grad
    moves = orthogonalized(
        xp, (1 - momentum) * grad + momentum * mean if nesterov else mean, ns_coefficients, ns_steps, eps
    )
    rows, columns = p.shape
    if adjust_lr_fn == "match_rms_adamw":
        scale = 0.2 * math.sqrt(max(rows, columns))
    else:
        scale = math.sqrt(max(1.0, rows / columns)) if columns else 1.0
    return number(xp, 1 - lr * weight_decay, p) * p - number(xp, lr * scale, p) * moves, mean


class Muon(Optimizer):
    """Muon (Jordan, 2024), for weight matrices: the momentum is made orthogonal, then p moves by ``lr`` times that.

    The mean of gradients is ``m = momentum * m + (1 - momentum) * g``; with ``nesterov``, ``momentum * m + (1 - momentum) * g`` is taken
    again. ``ns_steps`` of the Newton-Schulz iteration ``x <- a x + (b (x x^T) + c (x x^T)^2) x`` bring its singular values near 1; they are done
    in p's dtype. ``adjust_lr_fn`` "original" (also None) scales by ``sqrt(max(1, rows / columns))``, "match_rms_adamw" by
    ``0.2 * sqrt(max(rows, columns))``. ``weight_decay`` is decoupled. Biases, embeddings and the like are for another
    optimizer, such as ``AdamW``.

    Raises ``ShapeError`` for a parameter that is no matrix, ``OptimizerError`` for options out of their ranges, and ``DTypeError`` for
    complex parameters.
    """

    rule = muon_step
    dtypes = "f"

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        *,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: Coefficients = NEWTON_SCHULZ,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        **unknown: Never,
    ) -> None:
        options = {
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, lr=lr, options=options, **unknown)

    def check(
        self,
        *,
        weight_decay: float,
        momentum: float,
        ns_coefficients: Coefficients,
        eps: float,
        ns_steps: int,
        adjust_lr_fn: str | None,
        **_: Any,
    ) -> None:
        from_zero(self, weight_decay=weight_decay, momentum=momentum, eps=eps)
        three = isinstance(ns_coefficients, (tuple, list)) and len(ns_coefficients) == 3
        if not three or not all(map(is_number, ns_coefficients)):
            raise OptimizerError(f"Muon: ns_coefficients must be three numbers; got {ns_coefficients!r:.60}")
        if not isinstance(ns_steps, int) or isinstance(ns_steps, bool) or not 0 <= ns_steps < 100:
            raise OptimizerError(f"Muon: ns_steps must be an int from 0 to 99; got {ns_steps!r:.60}")
        if adjust_lr_fn not in ADJUSTMENTS:
            raise OptimizerError(
                f"Muon: adjust_lr_fn must be None, 'original' or 'match_rms_adamw'; got {adjust_lr_fn!r:.60}"
            )

    def slots(self, p: Tensor, **_: Any) -> Slots:
        if p.ndim != 2:
            raise ShapeError(
                f"Muon takes matrices; a parameter has shape {p.shape}. Give the others to another optimizer, such as AdamW"
            )
        return {"mean": jt.zeros_like(p)}


# -- Adafactor --------------------------------------------------------------------------------------------------------


def _mean(xp: Any, x: Any, axis: int) -> Any:
    """0 where there is nothing."""
    return number(xp, xp.sum(wide(xp, x), axis=axis, keepdims=True) / max(1, x.shape[axis]), x)


def _length(xp: Any, x: Any) -> Any:
    """The root of the mean square."""
    y = wide(xp, x)
    return number(xp, xp.sqrt(xp.sum(y * y) / max(1, math.prod(x.shape))), x)


@op(
    outputs=5,
    vjp=constants("steps", "rows", "columns", "square"),
    samples=lambda rng: (
        (rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.uniform(size=()), rng.uniform(1, 5, size=()),
         rng.uniform(0.5, 2, size=(3, 1)), rng.uniform(0.5, 2, size=(1, 4))),
        {"weight_decay": 0.1},
    ),
)  # fmt: skip
def adafactor_step(
    xp: Any,
    p: Any,
    grad: Any,
    lr: Any,
    steps: Any,
    rows: Any = None,
    columns: Any = None,
    square: Any = None,
    /,
    *,
    beta2_decay: float = -0.8,
    eps: tuple[float | None, float] = (None, 1e-3),
    d: float = 1.0,
    weight_decay: float = 0.0,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """A step of ``Adafactor``: the new p, count, mean squares of rows and of columns, or mean square."""
    steps = steps + 1.0
    weight = number(xp, steps**beta2_decay, p)
    least = float(xp.finfo(p.dtype).eps) if eps[0] is None else eps[0]
    size = xp.maximum(_length(xp, p), eps[1]) * number(xp, xp.minimum(lr, steps**-0.5), p)
    if weight_decay:
        p = number(xp, 1 - lr * weight_decay, p) * p
    g = gradient(p, grad, 0.0, maximize)
    if square is None:
        rows = (1 - weight) * rows + weight * _mean(xp, g * g, -1)
        columns = (1 - weight) * columns + weight * _mean(xp, g * g, -2)
        estimate = rows @ columns / xp.maximum(_mean(xp, rows, -2), least)
    else:  # not square + weight * (g * g - square), which cancels where weight is 1 and the square was large
        estimate = square = (1 - weight) * square + weight * (g * g)
    moves = g / xp.sqrt(xp.maximum(estimate, least * least))
    size = size / xp.maximum(_length(xp, moves) / d, 1.0)
    held = (grad, grad, square) if rows is None else (rows, columns, grad)
    return p - size * moves, steps, *held


class Adafactor(Optimizer):
    """Adafactor (Shazeer and Stern, 2018): mean squares of a matrix are kept as a column and a row, which take the room of neither.

    The last two axes are a matrix's; vectors and numbers keep all mean squares. They decay with ``1 - t**beta2_decay``; ``lr`` is the largest
    relative step, ``min(lr, 1 / sqrt(t))``, and is multiplied by p's root mean square, at least ``eps[1]``. An update whose root mean
    square is above ``d`` is scaled down to it. ``eps[0]`` None is the dtype's epsilon. ``weight_decay`` is decoupled; ``maximize`` climbs.

    Raises ``OptimizerError`` for options out of their ranges, and ``DTypeError`` for complex parameters.
    """

    rule = adafactor_step
    dtypes = "f"

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        *,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        maximize: bool = False,
        **unknown: Never,
    ) -> None:
        options = {
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, lr=lr, options=options, **unknown)

    def check(self, *, beta2_decay: float, eps: Any, d: float, weight_decay: float, **_: Any) -> None:
        from_zero(self, weight_decay=weight_decay)
        if not (is_number(beta2_decay) and beta2_decay <= 0):
            raise OptimizerError(f"Adafactor: beta2_decay must be a number, 0 or below; got {beta2_decay!r:.60}")
        if not (is_number(d) and d >= 1):
            raise OptimizerError(f"Adafactor: d must be a number, 1 or above; got {d!r:.60}")
        two = isinstance(eps, (tuple, list)) and len(eps) == 2
        if not two or not all(is_number(e) and e >= 0 for e in ([eps[1]] if eps[0] is None else eps)):
            raise OptimizerError(
                f"Adafactor: eps must be two numbers, 0 or above, of which the first may be None; got {eps!r:.60}"
            )

    def slots(self, p: Tensor, **_: Any) -> Slots:
        if p.ndim < 2:
            return {"steps": counter(p), "square": jt.zeros_like(p)}
        of = {"dtype": p.dtype, "device": p.device}
        return {
            "steps": counter(p),
            "rows": jt.zeros((*p.shape[:-1], 1), **of),
            "columns": jt.zeros((*p.shape[:-2], 1, p.shape[-1]), **of),
        }
