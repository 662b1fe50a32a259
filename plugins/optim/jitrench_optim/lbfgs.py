"""L-BFGS: minimising smooth functions of many variables from their gradients, with what the last steps tell of the curvature.

>>> import jitrench_core as jt
>>> import jitrench_optim as optim
>>> x = jt.tensor([-1.2, 1.0], requires_grad=True)
>>> found = optim.LBFGS([x]).minimize(lambda: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2)
>>> found.converged
True
>>> [round(value, 3) for value in x.tolist()]
[1.0, 1.0]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, Never

import jitrench_core as jt
from jitrench_core import Optimizer, Tensor
from jitrench_core.optimizer import OptimizerError

from .saved import listed, plain

# Of the Wolfe conditions: the decrease that is enough, and how much flatter the slope must be (Nocedal and Wright, 2006, p. 62).
DECREASE, FLATTER = 1e-4, 0.9
# A line search that has not ended after so many evaluations takes the best point that it has.
LONGEST_SEARCH = 25


class Minimum(NamedTuple):
    """What ``LBFGS.minimize`` found; the parameters hold the point."""

    loss: float
    reason: str
    """"gradient" (at most ``tolerance_grad``), "change" (of parameters or loss, at most ``tolerance_change``), "max_iter", "max_eval", or
    "line_search" (no lower point along the direction: the limit of rounding, or a gradient that is not the loss's)."""
    gradient: float
    """The largest absolute element of the gradient."""
    iterations: int
    evaluations: int

    @property
    def converged(self) -> bool:
        """Whether a tolerance was met."""
        return self.reason in ("gradient", "change")


@dataclass
class Memory:
    """What is kept from one ``step`` to the next. Vectors are of all parameters, one after the other."""

    iterations: int = 0
    evaluations: int = 0
    length: float = 0.0
    """Of the last step, in units of its direction."""
    scale: float = 1.0
    """Of the inverse Hessian that the recursion begins with."""
    direction: Tensor | None = None
    gradient: Tensor | None = None
    steps: list[Tensor] = field(default_factory=list)
    changes: list[Tensor] = field(default_factory=list)
    """Of the gradient, for each of the steps."""
    inverses: list[float] = field(default_factory=list)
    """1 / (step . change) for each."""


class Point(NamedTuple):
    """A trial of the line search: at ``t`` along the direction, the loss, its gradient and the slope."""

    t: float
    loss: float
    gradient: Tensor
    slope: float


class LBFGS(Optimizer):
    """Limited-memory BFGS (Nocedal, 1980), step by step that of ``torch.optim.LBFGS``.

    ``step(closure)`` takes up to ``max_iter`` iterations and ``max_eval`` evaluations (``max_iter * 5 // 4``). The closure forgets the
    gradients, computes the loss, calls ``backward()`` and returns it. An iteration moves by ``lr``, or with
    ``line_search_fn="strong_wolfe"`` until the strong Wolfe conditions hold; a trial point where the loss is not finite is too far
    then. It stops where no element of the gradient is above ``tolerance_grad``, or a step changes no parameter, or the loss, by
    more than ``tolerance_change``. ``history_size`` steps are remembered, each by two vectors as long as all parameters.

    ``minimize(loss)`` goes on to the minimum, and says why it stopped.

    All parameters are one group, of one real dtype on one device. Raises ``OptimizerError`` for options out of their range, a closure that is
    missing or returns no number, and a loss that is not finite.
    """

    dtypes: ClassVar[str] = "f"

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1.0,
        *,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
        **unknown: Never,
    ) -> None:
        options = {
            "max_iter": max_iter,
            "max_eval": max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        self.memory = Memory()
        super().__init__(params, lr=lr, options=options, **unknown)

    def check(self, **options: Any) -> None:
        for name in ("max_iter", "max_eval", "history_size"):
            value = options[name]
            if name == "max_eval" and value is None:
                continue
            if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
                raise OptimizerError(f"LBFGS: {name} must be a whole number from 1; got {value!r:.60}")
        for name in ("tolerance_grad", "tolerance_change"):
            value = options[name]
            if not isinstance(value, Real) or isinstance(value, bool) or not value >= 0:
                raise OptimizerError(f"LBFGS: {name} must be a number, 0 or above; got {value!r:.60}")
        if options["line_search_fn"] not in (None, "strong_wolfe"):
            raise OptimizerError(
                f"LBFGS: line_search_fn must be None or 'strong_wolfe'; got {options['line_search_fn']!r:.60}"
            )

    def add_group(self, params: Any, **options: Any) -> None:
        if self.groups:
            raise OptimizerError("LBFGS takes all parameters as one group, because a step is one along all of them")
        super().add_group(params, **options)
        group = self.groups[0]
        if len(set(group.kinds)) > 1:
            first, other = list(dict.fromkeys(group.kinds))[:2]
            raise jt.DTypeError(
                f"LBFGS: all parameters must be of one dtype on one device; got {first[0]} on {first[1]} and {other[0]} on {other[1]}"
            )

    # -- what a user calls -------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to ``max_iter`` iterations; what the closure returned first.

        Raises ``OptimizerError`` where the closure is missing or returns no number, and where the loss is not finite. After these, and
        after an exception in the closure, the parameters are those of the last iteration.
        """
        if not callable(closure):
            raise OptimizerError(
                "LBFGS.step() needs a closure, because it evaluates the loss several times: a function that calls "
                "optimizer.zero_grad(), computes the loss, calls its backward() and returns it"
                + (
                    ""
                    if closure is None
                    else f"; got a {type(closure).__name__}, and gradients at one point are not enough"
                )
            )
        options = self.groups[0].options
        first: list[Any] = []

        def evaluate() -> Any:
            loss = closure()
            if not first:
                first.append(loss)
            return loss

        most = options["max_eval"]
        self._run(evaluate, options["max_iter"], options["max_iter"] * 5 // 4 if most is None else most)
        return first[0]

    def minimize(self, loss: Callable[[], Any], max_iter: int = 1000, max_eval: int | None = None) -> Minimum:
        """Go on until a tolerance is met, or ``max_iter`` iterations or ``max_eval`` evaluations (None: any number) are over.

        ``loss`` is a function without arguments; it may call ``backward()``, or leave that to this method. Unless a
        ``line_search_fn`` was chosen, it is "strong_wolfe" here.
        """
        if not callable(loss):
            raise OptimizerError(
                f"LBFGS.minimize() needs a function without arguments that computes the loss; got a {type(loss).__name__}"
            )
        self.check(**{**self.groups[0].options, "max_iter": max_iter, "max_eval": max_eval})

        def evaluate() -> Any:
            self.zero_grad()
            value = loss()
            if isinstance(value, Tensor) and value.size == 1 and all(g is None for g in self._gradients()):
                jt.reshape(value, ()).backward()
            return value

        return self._run(evaluate, max_iter, math.inf if max_eval is None else max_eval, search=True)

    def state(self) -> dict[str, Any]:
        """Beside the learning rate ``"memory"``: the vectors that are remembered, which are other Tensors after each step."""
        return {**super().state(), "memory": self._vectors()}

    def state_dict(self) -> dict[str, Any]:
        memory = self.memory
        return {
            **super().state_dict(),
            "memory": {
                "iterations": memory.iterations,
                "evaluations": memory.evaluations,
                "length": memory.length,
                "scale": memory.scale,
                "inverses": list(memory.inverses),
                **self._vectors(),
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        saved = state.get("memory") if isinstance(state, Mapping) else None
        if not isinstance(saved, Mapping):
            raise OptimizerError("LBFGS.load_state_dict() takes what state_dict() returned, with a 'memory'")
        if missing := {"iterations", "evaluations", "length", "scale", "steps", "changes", "inverses"} - saved.keys():
            raise OptimizerError(f"LBFGS.load_state_dict(): the memory lacks {', '.join(sorted(missing))}")
        size = sum(p.size for p in self.parameters)
        dtype, device = self.groups[0].kinds[0]

        def vector(x: Any) -> Tensor:
            found = jt.asarray(x, device=device).detach()
            if (found.shape, found.dtype) != ((size,), dtype):
                raise OptimizerError(
                    f"LBFGS.load_state_dict(): the memory holds {found.dtype} {found.shape}; expected {dtype} {(size,)}"
                )
            return found

        memory = Memory(
            iterations=int(plain(saved["iterations"])),
            evaluations=int(plain(saved["evaluations"])),
            length=float(plain(saved["length"])),
            scale=float(plain(saved["scale"])),
            direction=vector(saved["direction"]) if "direction" in saved else None,
            gradient=vector(saved["gradient"]) if "gradient" in saved else None,
            steps=[vector(x) for x in listed(saved["steps"])],
            changes=[vector(x) for x in listed(saved["changes"])],
            inverses=[float(plain(x)) for x in listed(saved["inverses"])],
        )
        super().load_state_dict(state)
        self.memory = memory

    # -- the iteration -----------------------------------------------------------------------------------------------

    def _run(self, closure: Callable[[], Any], max_iter: int, max_eval: float, search: bool = False) -> Minimum:
        group, memory = self.groups[0], self.memory
        options = group.options
        search = search or options["line_search_fn"] is not None
        small, little = options["tolerance_grad"], options["tolerance_change"]
        lr = group.lr.item()
        evaluations = iterations = 0
        reason = "max_iter"

        def evaluate() -> tuple[float, Tensor]:
            nonlocal evaluations
            evaluations += 1
            memory.evaluations += 1
            with jt.enable_grad():
                loss = self._number(closure())
            return loss, self._gradient()

        with jt.no_grad():
            loss, g = evaluate()
            steepest = _largest(g)
            if not (math.isfinite(loss) and math.isfinite(steepest)):
                raise OptimizerError(
                    f"LBFGS: the loss is {loss} at the start, with a gradient up to {steepest}: start elsewhere, or find the "
                    f"operation that made it by jt.detect_anomaly()"
                )
            if steepest <= small:
                return Minimum(loss, "gradient", steepest, 0, evaluations)
            x = self._point()
            while iterations < max_iter:
                iterations += 1
                memory.iterations += 1
                d = self._direction(g, options["history_size"])
                t = lr * min(1.0, 1.0 / float(jt.sum(jt.abs(g)))) if memory.iterations == 1 else lr
                before, memory.gradient = loss, g
                slope = _dot(g, d)
                if slope > -little:
                    reason = "change"
                    break

                def trial(t: float, x: Tensor = x, d: Tensor = d) -> Point:
                    self._move(x + t * d)
                    loss, g = evaluate()
                    return Point(t, loss, g, _dot(g, d))

                try:
                    if search and t:
                        begin = Point(0.0, loss, g, slope)
                        longest = min(LONGEST_SEARCH, max_eval - evaluations)
                        found = _strong_wolfe(trial, begin, t, _largest(d), little, longest)
                        t, loss, g = found.t, found.loss, found.gradient
                    elif iterations < max_iter:
                        found = trial(t)
                        loss, g = found.loss, found.gradient
                except BaseException:
                    self._move(x)
                    raise
                if not (math.isfinite(loss) and math.isfinite(_largest(g))):
                    self._move(x)
                    raise OptimizerError(
                        f"LBFGS: the loss is {loss} after iteration {memory.iterations}, where it was {before}; the parameters are "
                        f"those before it. Try line_search_fn='strong_wolfe', or a smaller lr"
                    )
                memory.length = t
                x = x + t * d
                self._move(x)
                steepest = _largest(g)
                if iterations == max_iter:
                    break
                if evaluations >= max_eval:
                    reason = "max_eval"
                    break
                if steepest <= small:
                    reason = "gradient"
                    break
                if t == 0:
                    reason = "line_search"
                    break
                if abs(t) * _largest(d) <= little or abs(loss - before) < little:
                    reason = "change"
                    break
        if steepest <= small:
            reason = "gradient"
        return Minimum(loss, reason, steepest, iterations, evaluations)

    def _direction(self, g: Tensor, history: int) -> Tensor:
        """The quasi-Newton direction at gradient ``g``, after the last step is remembered: the two-loop recursion."""
        memory = self.memory
        if memory.direction is None or memory.gradient is None:
            memory.direction = -g
            return memory.direction
        change = g - memory.gradient
        step = memory.length * memory.direction
        curvature = _dot(change, step)
        if curvature > 1e-10:
            memory.steps.append(step)
            memory.changes.append(change)
            memory.inverses.append(1.0 / curvature)
            for kept in (memory.steps, memory.changes, memory.inverses):
                del kept[:-history]
            memory.scale = curvature / _dot(change, change)
        q = -g
        shares = []
        rows = list(zip(memory.steps, memory.changes, memory.inverses, strict=True))
        for s, y, inverse in reversed(rows):
            shares.append(_dot(s, q) * inverse)
            q = q - shares[-1] * y
        d = memory.scale * q
        for (s, y, inverse), share in zip(rows, reversed(shares), strict=True):
            d = d + (share - _dot(y, d) * inverse) * s
        memory.direction = d
        return d

    def _vectors(self) -> dict[str, Any]:
        memory = self.memory
        vectors: dict[str, Any] = {"steps": list(memory.steps), "changes": list(memory.changes)}
        if memory.direction is not None:
            vectors |= {"direction": memory.direction, "gradient": memory.gradient}
        return vectors

    # -- parameters as one vector -------------------------------------------------------------------------------------

    def _point(self) -> Tensor:
        return jt.concat([jt.reshape(p.detach(), (-1,)) for p in self.parameters])

    def _gradients(self) -> list[Tensor | None]:
        return [p.grad if p.requires_grad else None for p in self.parameters]  # one may have been frozen since

    def _gradient(self) -> Tensor:
        parts = self._gradients()
        if all(part is None for part in parts):
            raise jt.GradientError(
                "LBFGS: no parameter has a gradient after the closure: it must call backward() on the loss"
            )
        filled = [jt.zeros_like(p) if g is None else g for p, g in zip(self.parameters, parts, strict=True)]
        return jt.concat([jt.reshape(g.detach(), (-1,)) for g in filled])

    def _move(self, x: Tensor) -> None:
        begin = 0
        for p in self.parameters:
            if p.requires_grad:  # it may have been frozen since
                jt.assign(p, jt.reshape(x[begin : begin + p.size], p.shape))
            begin += p.size

    @staticmethod
    def _number(loss: Any) -> float:
        scalar = isinstance(loss, Real) or (isinstance(loss, Tensor) and loss.size == 1)
        if not scalar or isinstance(loss, bool):
            what = f"a Tensor of shape {loss.shape}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
            raise OptimizerError(f"LBFGS: the closure must return the loss, one number; it returned {what}")
        return float(loss)


# -- the line search --------------------------------------------------------------------------------------------------


def _dot(a: Tensor, b: Tensor) -> float:
    return float(jt.vecdot(a, b))


def _largest(x: Tensor) -> float:
    return float(jt.max(jt.abs(x))) if x.size else 0.0


def _strong_wolfe(
    trial: Callable[[float], Point], begin: Point, t: float, size: float, little: float, longest: float
) -> Point:
    """A point where the strong Wolfe conditions hold, or the best that was found (Nocedal and Wright, 2006, algorithms 3.5 and 3.6).

    ``size`` is the largest element of the direction, ``little`` the change of the parameters that is not worth a trial, and
    ``longest`` the number of trials.
    """

    def at(t: float) -> Point:
        """Where the loss or its slope is not finite, the loss is infinite: NaN compares with nothing."""
        p = trial(t)
        return p if math.isfinite(p.loss) and math.isfinite(p.slope) else p._replace(loss=math.inf)

    def too_high(p: Point) -> bool:
        return p.loss > begin.loss + DECREASE * p.t * begin.slope

    def flat(p: Point) -> bool:
        return abs(p.slope) <= -FLATTER * begin.slope

    # Longer and longer steps, until an acceptable point lies between the last two.
    last, here = begin, at(t)
    trials = 0
    while trials < longest:
        if not math.isfinite(here.loss):
            here = at((last.t + here.t) / 2)
        else:
            if too_high(here) or (trials > 1 and here.loss >= last.loss):
                break
            if flat(here):
                return here
            if here.slope >= 0:
                break
            longer = _cubic(last, here, here.t + 0.01 * (here.t - last.t), here.t * 10)
            last, here = here, at(longer)
        trials += 1
    else:
        if not math.isfinite(here.loss):
            return last  # the lowest of all
        last = begin

    # Smaller and smaller brackets, one end of which has the lower loss.
    ends = [last, here]
    low = 0 if last.loss <= here.loss else 1
    stuck = False
    while trials < longest and abs(ends[1].t - ends[0].t) * size >= little:
        left, right = sorted((ends[0].t, ends[1].t))
        t = _cubic(ends[0], ends[1], left, right)
        margin = 0.1 * (right - left)
        near = min(right - t, t - left) < margin
        if near and (stuck or t >= right or t <= left):
            t = right - margin if abs(t - right) < abs(t - left) else left + margin
            near = False
        stuck = near
        here = at(t)
        trials += 1
        if too_high(here) or not here.loss < ends[low].loss:
            ends[1 - low] = here
            low = 0 if ends[0].loss <= ends[1].loss else 1
            continue
        if flat(here):
            return here
        if here.slope * (ends[1 - low].t - ends[low].t) >= 0:
            ends[1 - low] = ends[low]
        ends[low] = here
    return ends[low]


def _cubic(a: Point, b: Point, lowest: float, highest: float) -> float:
    """The minimum between the bounds of the cubic with the losses and slopes of two points; their middle where it has none."""
    if a.t > b.t:
        a, b = b, a
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0 or not math.isfinite(square):
        return (lowest + highest) / 2
    d2 = math.sqrt(square)
    below = b.slope - a.slope + 2 * d2
    t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / below) if below else lowest
    return min(max(t, lowest), highest)
