"""Schedules: the learning rate as a function of the step. Names, options and numbers are PyTorch's.

A schedule is made after its optimizer and stepped after it. ``rates(step)`` tells the learning rates of any step beforehand.

>>> import jitrench_core as jt
>>> import jitrench_optim as optim
>>> x = jt.tensor([1.0], requires_grad=True)
>>> optimizer = optim.SGD([x], lr=0.5)
>>> schedule = optim.StepLR(optimizer, step_size=2, gamma=0.5)
>>> for _ in range(4):
...     optimizer.zero_grad()
...     (x * x).sum().backward()
...     optimizer.step()
...     schedule.step()
>>> optimizer.lr
Tensor(0.125)
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, final
from weakref import WeakKeyDictionary

from jitrench_core import Optimizer
from jitrench_core.optimizer import OptimizerError
from jitrench_core.plugins import make_listing

from .saved import listed, plain

# Of each optimizer: its learning rates before any schedule, and those that a schedule wrote last. So a second schedule of an
# optimizer, as SequentialLR needs, starts from the optimizer's own rates and not from the first one's.
_seen: WeakKeyDictionary[Optimizer, tuple[list[float], list[float]]] = WeakKeyDictionary()


class Schedule:
    """The base class of schedules. A subclass writes ``rate``, the learning rate at a step of a group that began with ``base``.

    ``step()`` goes on by one step, or to the ``epoch`` that it is given, which may lie between two. ``last_epoch`` counts them, and
    ``base_lrs`` are the rates of the optimizer's groups that the schedule began with. A rate that somebody else has set since is
    kept as a factor: the base is scaled by what it is of the schedule's own, so two schedules that are stepped one after the
    other multiply.

    Raises ``OptimizerError`` for what is no optimizer and for options out of their range.

    >>> import jitrench_core as jt
    >>> import jitrench_optim as optim
    >>> class InverseSqrt(optim.Schedule):
    ...     def rate(self, step, base):
    ...         return base / (1 + step) ** 0.5
    >>> InverseSqrt(optim.SGD([jt.tensor([1.0], requires_grad=True)], lr=0.1)).rates(3)
    [0.05]
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = _optimizer(self._name, optimizer)
        self._held: list[tuple[Any, float]] = []  # the arrays that it wrote, and their values
        now = self._now()
        before, written = _seen.get(optimizer, ([], []))
        untouched = now[: len(written)] == written
        self.base_lrs: list[float] = [*before, *now[len(before) :]] if untouched else now
        self.last_epoch: float = 0
        self._written: list[float] = []
        self._write()

    # -- what a subclass writes -------------------------------------------------------------------------------------

    def rate(self, step: float, base: float) -> float:
        """The learning rate at ``step`` of a group that began with ``base``."""
        raise NotImplementedError(f"schedule {self._name} has no rule: write def rate(self, step, base)")

    # -- what a user calls -------------------------------------------------------------------------------------------

    def rates(self, step: float, bases: Sequence[float] | None = None) -> list[float]:
        """The learning rate of each group at ``step``; with ``bases`` in place of those that the groups began with."""
        return [float(self.rate(step, base)) for base in (self.base_lrs if bases is None else bases)]

    def momenta(self, step: float) -> list[float] | None:
        """The momentum of each group at ``step`` (of Adam and its kin the first beta); None where it is left alone."""
        return None

    def step(self, epoch: float | None = None) -> None:
        """Set the learning rates of the next step, or those of ``epoch``."""
        if epoch is not None and not (_is_number(epoch) and epoch >= 0):
            raise OptimizerError(f"{self._name}.step: epoch must be a number, 0 or above; got {epoch!r:.60}")
        now = self._now()
        for i, (rate, mine) in enumerate(zip(now, self._written, strict=False)):
            if rate != mine and mine:
                self.base_lrs[i] *= rate / mine
        self.base_lrs += now[len(self.base_lrs) :]  # groups that were added since
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._write()

    def get_last_lr(self) -> list[float]:
        """The learning rates that the schedule set last, one a group."""
        return list(self._written)

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule is, as plain numbers. Its options are not among them: they are those it is made with."""
        return {
            "schedule": self._name,
            "last_epoch": self.last_epoch,
            "base_lrs": list(self.base_lrs),
            "written": list(self._written),
            "lrs": self._now(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``, and set the learning rates that the optimizer had then."""
        _check_state(self, state)
        self.last_epoch = plain(state["last_epoch"])
        self.base_lrs = [float(plain(x)) for x in listed(state["base_lrs"])]
        self._written = [float(plain(x)) for x in listed(state["written"])]
        self._remember()
        _set_momenta(self.optimizer, self.momenta(self.last_epoch))
        _set_lrs(self.optimizer, state["lrs"])

    # -- inside ------------------------------------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _now(self) -> list[float]:
        """The groups' learning rates. One that nobody set since is known: to read it from a GPU waits for all work there."""
        groups = self.optimizer.groups
        known = [*self._held, *[(None, 0.0)] * len(groups)]
        return [
            rate if group.lr.data is array else group.lr.item()
            for group, (array, rate) in zip(groups, known, strict=False)
        ]

    def _write(self) -> None:
        self._written = self.rates(self.last_epoch)
        momenta = self.momenta(self.last_epoch)
        for group, rate in zip(self.optimizer.groups, self._written, strict=True):
            group.lr = rate
        self._held = [(group.lr.data, rate) for group, rate in zip(self.optimizer.groups, self._written, strict=True)]
        _set_momenta(self.optimizer, momenta)
        self._remember()

    def _remember(self) -> None:
        _seen[self.optimizer] = (list(self.base_lrs), list(self._written))


# -- one rule, one formula --------------------------------------------------------------------------------------------


@final
class LambdaLR(Schedule):
    """``base * lr_lambda(step)``; a list of functions gives each group its own."""

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[float], float] | Sequence[Callable[[float], float]]
    ) -> None:
        self.lr_lambdas = _each("LambdaLR", "lr_lambda", lr_lambda, optimizer, callable, "a function of the step")
        super().__init__(optimizer)

    def rates(self, step: float, bases: Sequence[float] | None = None) -> list[float]:
        bases = self.base_lrs if bases is None else bases
        return [base * float(f(step)) for base, f in zip(bases, self.lr_lambdas, strict=True)]


@final
class StepLR(Schedule):
    """``base * gamma ** (step // step_size)``."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size = _whole("StepLR", "step_size", step_size, 1)
        self.gamma = _from_zero("StepLR", "gamma", gamma)
        super().__init__(optimizer)

    def rate(self, step: float, base: float) -> float:
        return base * self.gamma ** (step // self.step_size)


@final
class MultiStepLR(Schedule):
    """``base * gamma ** n`` after n of the ``milestones``, in any order; one that is there twice counts twice."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1) -> None:
        self.milestones = _milestones("MultiStepLR", milestones, least=0)
        self.gamma = _from_zero("MultiStepLR", "gamma", gamma)
        super().__init__(optimizer)

    def rate(self, step: float, base: float) -> float:
        return base * self.gamma ** bisect_right(self.milestones, step)


@final
class ConstantLR(Schedule):
    """``base * factor`` for ``total_iters`` steps, then ``base``."""

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5) -> None:
        self.factor = _between("ConstantLR", "factor", factor, 0.0, 1.0)
        self.total_iters = _whole("ConstantLR", "total_iters", total_iters, 0)
        super().__init__(optimizer)

    def rate(self, step: float, base: float) -> float:
        return base * self.factor if step < self.total_iters else base


@final
class LinearLR(Schedule):
    """``base`` times a factor that goes from ``start_factor`` to ``end_factor`` in ``total_iters`` steps, and stays: a warm-up."""

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
    ) -> None:
        # From 0 the first step would do nothing.
        self.start_factor = _between("LinearLR", "start_factor", start_factor, 0.0, 1.0, above=True)
        self.end_factor = _between("LinearLR", "end_factor", end_factor, 0.0, 1.0)
        self.total_iters = _whole("LinearLR", "total_iters", total_iters, 1)
        super().__init__(optimizer)

    def rate(self, step: float, base: float) -> float:
        way = min(step, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * way)


@final
class ExponentialLR(Schedule):
    """``base * gamma ** step``."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = _from_zero("ExponentialLR", "gamma", gamma)
        super().__init__(optimizer)

    def rate(self, step: float, base: float) -> float:
        return base * self.gamma**step


@final
class PolynomialLR(Schedule):
    """``base * (1 - step / total_iters) ** power``, and 0 from step ``total_iters``."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0) -> None:
        self.total_iters = _whole("PolynomialLR", "total_iters", total_iters, 1)
        self.power = _from_zero("PolynomialLR", "power", power)
        super().__init__(optimizer)

    def rate(self, step: float, base: float) -> float:
        return base * (1 - min(step, self.total_iters) / self.total_iters) ** self.power


@final
class CosineAnnealingLR(Schedule):
    """``eta_min + (base - eta_min) * (1 + cos(pi * step / T_max)) / 2``: down in ``T_max`` steps, then up again.

    Source: Loshchilov and Hutter, "SGDR" (2017), without the restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max = _whole("CosineAnnealingLR", "T_max", T_max, 1)
        self.eta_min = _from_zero("CosineAnnealingLR", "eta_min", eta_min)
        super().__init__(optimizer)

    def rate(self, step: float, base: float) -> float:
        return _cosine(base, self.eta_min, step / self.T_max)


@final
class CosineAnnealingWarmRestarts(Schedule):
    """A cosine from ``base`` to ``eta_min`` in ``T_0`` steps, again and again; each time takes ``T_mult`` times as long.

    ``step(epoch)`` may be given a part of an epoch, such as ``epoch + i / batches``. Source: Loshchilov and Hutter, "SGDR" (2017).
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> None:
        self.T_0 = _whole("CosineAnnealingWarmRestarts", "T_0", T_0, 1)
        self.T_mult = _whole("CosineAnnealingWarmRestarts", "T_mult", T_mult, 1)
        self.eta_min = _from_zero("CosineAnnealingWarmRestarts", "eta_min", eta_min)
        super().__init__(optimizer)

    def rate(self, step: float, base: float) -> float:
        length = self.T_0
        if self.T_mult == 1:
            step = step % length
        while step >= length:
            step -= length
            length *= self.T_mult
        return _cosine(base, self.eta_min, step / length)


@final
class WarmupCosineLR(Schedule):
    """What transformers are usually trained with: a linear warm-up, then a cosine to ``eta_min`` at ``total_steps``, and that from there.

    In the warm-up the rate is ``base * (step + 1) / (warmup_steps + 1)``, so that the first step does something.
    """

    def __init__(self, optimizer: Optimizer, warmup_steps: int, total_steps: int, eta_min: float = 0.0) -> None:
        self.warmup_steps = _whole("WarmupCosineLR", "warmup_steps", warmup_steps, 0)
        self.total_steps = _whole("WarmupCosineLR", "total_steps", total_steps, warmup_steps + 1)
        self.eta_min = _from_zero("WarmupCosineLR", "eta_min", eta_min)
        super().__init__(optimizer)

    def rate(self, step: float, base: float) -> float:
        if step < self.warmup_steps:
            return base * (step + 1) / (self.warmup_steps + 1)
        way = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        return _cosine(base, self.eta_min, min(way, 1.0))


# -- cycles, of the momentum, too -------------------------------------------------------------------------------------


class _Cycle(Schedule):
    """A rate that goes up while the momentum goes down, and back."""

    def _take_momenta(self, cycle: bool, base: float | Sequence[float], top: float | Sequence[float]) -> None:
        self.cycle_momentum = cycle
        if not cycle:
            return
        self.base_momenta = _numbers(self._name, "base_momentum", base, self.optimizer)
        self.max_momenta = _numbers(self._name, "max_momentum", top, self.optimizer)
        for group in self.optimizer.groups:
            kind = type(self.optimizer).__name__
            if not {"momentum", "betas"} & group.options.keys():
                raise OptimizerError(
                    f"{self._name}: {kind} has neither momentum nor betas to cycle: pass cycle_momentum=False"
                )
            if "betas" not in group.options and not group.options["momentum"]:
                raise OptimizerError(
                    f"{self._name}: {kind} was made with momentum=0, so it keeps no velocity to cycle: make it with "
                    f"momentum=0.9, or pass cycle_momentum=False"
                )


@final
class OneCycleLR(_Cycle):
    """Up from ``max_lr / div_factor`` to ``max_lr`` in the first ``pct_start`` of all steps, then down to a ``final_div_factor``-th of the start.

    Source: Smith and Topin, "Super-Convergence" (2018). ``total_steps`` is given, or ``epochs`` and ``steps_per_epoch``.
    ``anneal_strategy`` is "cos" or "linear"; ``three_phase`` comes down to the start first, as fast as it went up. With
    ``cycle_momentum`` the momentum (of Adam and its kin the first beta) goes from ``max_momentum`` to ``base_momentum`` and back.
    The rates that the optimizer was made with do not count. A step beyond ``total_steps`` raises ``OptimizerError``.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        who = "OneCycleLR"
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise OptimizerError(f"{who} needs total_steps, or epochs and steps_per_epoch")
            total_steps = _whole(who, "epochs", epochs, 1) * _whole(who, "steps_per_epoch", steps_per_epoch, 1)
        self.total_steps = _whole(who, "total_steps", total_steps, 1)
        self.pct_start = _between(who, "pct_start", pct_start, 0.0, 1.0)
        self.anneal_strategy = _one_of(who, "anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.div_factor = _from_zero(who, "div_factor", div_factor, above=True)
        self.final_div_factor = _from_zero(who, "final_div_factor", final_div_factor, above=True)
        self.three_phase = three_phase
        self.optimizer = _optimizer(who, optimizer)
        self.max_lrs = _numbers(who, "max_lr", max_lr, optimizer)
        self._take_momenta(cycle_momentum, base_momentum, max_momentum)
        up = self.pct_start * self.total_steps - 1
        # A phase each: where it ends, and the places (start, top, end) that it goes between.
        end = self.total_steps - 1
        self._phases: list[tuple[float, int, int]] = [(up, 0, 1), (end, 1, 2)]
        if three_phase:
            self._phases = [(up, 0, 1), (2 * up, 1, 0), (end, 0, 2)]
        super().__init__(optimizer)

    def rates(self, step: float, bases: Sequence[float] | None = None) -> list[float]:
        found = []
        for top in self.max_lrs:
            start = top / self.div_factor
            found.append(self._at(step, (start, top, start / self.final_div_factor)))
        return found

    def momenta(self, step: float) -> list[float] | None:
        if not self.cycle_momentum:
            return None
        pairs = zip(self.max_momenta, self.base_momenta, strict=True)
        return [self._at(step, (top, base, top)) for top, base in pairs]

    def _at(self, step: float, places: tuple[float, float, float]) -> float:
        if step > self.total_steps:
            raise OptimizerError(f"OneCycleLR is over: step {step:g} of {self.total_steps} steps in all")
        begin = 0.0
        end, a, b = self._phases[0]
        for after in self._phases[1:]:
            if step > end:
                begin, (end, a, b) = end, after
        # After the last step of all the rate stays, where PyTorch's goes on along the line, below 0.
        way = min((step - begin) / (end - begin), 1.0) if end != begin else 1.0
        if self.anneal_strategy == "cos":
            return _cosine(places[a], places[b], way)
        return (places[b] - places[a]) * way + places[a]


@final
class CyclicLR(_Cycle):
    """A triangle between ``base_lr`` and ``max_lr``: ``step_size_up`` steps up, ``step_size_down`` (the same) down.

    With the mode "triangular2" each triangle is half as high as the one before, with "exp_range" its height is scaled by
    ``gamma ** step``, and ``scale_fn`` scales it by a function of the cycle, which counts from 1, or of the step
    (``scale_mode="iterations"``). Source: Smith, "Cyclical Learning Rates for Training Neural Networks" (2017).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
    ) -> None:
        who = "CyclicLR"
        self.optimizer = _optimizer(who, optimizer)
        self.low_lrs = _numbers(who, "base_lr", base_lr, optimizer)
        self.max_lrs = _numbers(who, "max_lr", max_lr, optimizer)
        self.step_size_up = _whole(who, "step_size_up", step_size_up, 1)
        self.step_size_down = self.step_size_up
        if step_size_down is not None:
            self.step_size_down = _whole(who, "step_size_down", step_size_down, 1)
        self.mode = _one_of(who, "mode", mode, ("triangular", "triangular2", "exp_range"))
        self.scale_mode = _one_of(who, "scale_mode", scale_mode, ("cycle", "iterations"))
        self.gamma = _from_zero(who, "gamma", gamma)
        if scale_fn is not None and not callable(scale_fn):
            raise OptimizerError(f"{who}: scale_fn must be a function; got {scale_fn!r:.60}")
        self.scale_fn = scale_fn
        self._take_momenta(cycle_momentum, base_momentum, max_momentum)
        super().__init__(optimizer)

    def rates(self, step: float, bases: Sequence[float] | None = None) -> list[float]:
        height = self._height(step)
        return [low + (top - low) * height for low, top in zip(self.low_lrs, self.max_lrs, strict=True)]

    def momenta(self, step: float) -> list[float] | None:
        if not self.cycle_momentum:
            return None
        height = self._height(step)
        return [top - (top - low) * height for low, top in zip(self.base_momenta, self.max_momenta, strict=True)]

    def _height(self, step: float) -> float:
        """How far up the triangle is, from 0 to the scale of this cycle."""
        total = self.step_size_up + self.step_size_down
        cycle = math.floor(1 + step / total)
        way = 1 + step / total - cycle
        turn = self.step_size_up / total
        height = way / turn if way <= turn else (way - 1) / (turn - 1)
        if self.scale_fn is not None:
            return height * float(self.scale_fn(cycle if self.scale_mode == "cycle" else step))
        if self.mode == "triangular2":
            return height / 2.0 ** (cycle - 1)
        return height * self.gamma**step if self.mode == "exp_range" else height


# -- schedules of schedules -------------------------------------------------------------------------------------------


@final
class SequentialLR(Schedule):
    """One schedule after the other: the next from each of the ``milestones`` on, where it begins at its step 0."""

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[Schedule], milestones: Sequence[int]) -> None:
        self.schedulers = _schedules("SequentialLR", schedulers, optimizer)
        self.milestones = _milestones("SequentialLR", milestones, least=1)
        if self.milestones != list(milestones) or len(set(self.milestones)) != len(self.milestones):
            raise OptimizerError(f"SequentialLR: milestones must ascend; got {list(milestones)}")
        if len(self.milestones) != len(self.schedulers) - 1:
            raise OptimizerError(
                f"SequentialLR: {len(self.schedulers)} schedules need {len(self.schedulers) - 1} milestones; got {len(self.milestones)}"
            )
        super().__init__(optimizer)

    def rates(self, step: float, bases: Sequence[float] | None = None) -> list[float]:
        schedule, begun = self._current(step)
        return schedule.rates(step - begun, self.base_lrs if bases is None else bases)

    def momenta(self, step: float) -> list[float] | None:
        schedule, begun = self._current(step)
        return schedule.momenta(step - begun)

    def _current(self, step: float) -> tuple[Schedule, int]:
        i = bisect_right(self.milestones, step)
        return self.schedulers[i], self.milestones[i - 1] if i else 0


@final
class ChainedScheduler(Schedule):
    """All schedules at once: the rate of each is the base of the next, so factors multiply."""

    def __init__(self, schedulers: Sequence[Schedule], optimizer: Optimizer | None = None) -> None:
        first = schedulers[0] if isinstance(schedulers, (list, tuple)) and schedulers else None
        owner = optimizer if optimizer is not None else getattr(first, "optimizer", None)
        self.schedulers = _schedules("ChainedScheduler", schedulers, owner)
        super().__init__(self.schedulers[0].optimizer)

    def rates(self, step: float, bases: Sequence[float] | None = None) -> list[float]:
        found = list(self.base_lrs if bases is None else bases)
        for schedule in self.schedulers:
            found = schedule.rates(step, found)
        return found

    def momenta(self, step: float) -> list[float] | None:
        found = [m for s in self.schedulers if (m := s.momenta(step)) is not None]
        return found[-1] if found else None


# -- the one that looks at results ------------------------------------------------------------------------------------


@final
class ReduceLROnPlateau:
    """Learning rates times ``factor`` where ``metric`` has not improved for more than ``patience`` steps; never below ``min_lr``.

    ``mode`` "min" wants the metric small, "max" large. It is better where it beats the best by ``threshold``: as a part of it
    ("rel"), or as such ("abs"); NaN is never better. After a reduction, ``cooldown`` steps count nothing. A change of at most
    ``eps`` is not made. ``min_lr`` is a number, or one for each group.

    Raises ``OptimizerError`` for options out of their range, and for a metric that is no number.

    >>> import jitrench_core as jt
    >>> import jitrench_optim as optim
    >>> optimizer = optim.SGD([jt.tensor([1.0], requires_grad=True)], lr=0.5)
    >>> schedule = optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (1.0, 1.0, 1.0):
    ...     schedule.step(loss)
    >>> optimizer.lr
    Tensor(0.25)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        who = "ReduceLROnPlateau"
        self.optimizer = _optimizer(who, optimizer)
        if not (_is_number(factor) and 0 <= factor < 1):
            raise OptimizerError(f"{who}: factor must be a number in [0, 1); got {factor!r:.60}")
        self.mode = _one_of(who, "mode", mode, ("min", "max"))
        self.factor = factor
        self.patience = _whole(who, "patience", patience, 0)
        self.threshold = _from_zero(who, "threshold", threshold)
        self.threshold_mode = _one_of(who, "threshold_mode", threshold_mode, ("rel", "abs"))
        self.cooldown = _whole(who, "cooldown", cooldown, 0)
        self.min_lrs = _numbers(who, "min_lr", min_lr, optimizer)
        self.eps = _from_zero(who, "eps", eps)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        self.last_epoch = 0

    def step(self, metric: Any) -> None:
        """Look at ``metric``, a number or a Tensor of one element, and reduce the learning rates if it is time to."""
        try:
            value = float(metric)
        except (TypeError, ValueError) as e:
            raise OptimizerError(f"ReduceLROnPlateau.step: the metric must be a number; got {metric!r:.60}") from e
        self.last_epoch += 1
        if self._is_better(value):
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, least in zip(self.optimizer.groups, self.min_lrs, strict=True):
                old = group.lr.item()
                new = max(old * self.factor, least)
                if old - new > self.eps:
                    group.lr = new
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0

    def get_last_lr(self) -> list[float]:
        """The learning rates, one a group."""
        return [group.lr.item() for group in self.optimizer.groups]

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule is, as plain numbers, without its options."""
        return {
            "schedule": "ReduceLROnPlateau",
            "last_epoch": self.last_epoch,
            "best": self.best,
            "num_bad_epochs": self.num_bad_epochs,
            "cooldown_counter": self.cooldown_counter,
            "lrs": self.get_last_lr(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``, and set the learning rates that the optimizer had then."""
        _check_state(self, state)
        for name in ("last_epoch", "best", "num_bad_epochs", "cooldown_counter"):
            setattr(self, name, plain(state[name]))
        _set_lrs(self.optimizer, state["lrs"])

    def _is_better(self, value: float) -> bool:
        sign = 1.0 if self.mode == "min" else -1.0
        if self.threshold_mode == "rel":
            goal = self.best * (1.0 - sign * self.threshold)
        else:
            goal = self.best - sign * self.threshold
        return value < goal if self.mode == "min" else value > goal


# -- what they share --------------------------------------------------------------------------------------------------


def _cosine(start: float, end: float, way: float) -> float:
    """From ``start`` to ``end`` as ``way`` goes from 0 to 1."""
    return end + (start - end) / 2.0 * (1 + math.cos(math.pi * way))


def _set_lrs(optimizer: Optimizer, lrs: Any) -> None:
    for group, lr in zip(optimizer.groups, listed(lrs), strict=True):
        group.lr = plain(lr)


def _set_momenta(optimizer: Optimizer, momenta: list[float] | None) -> None:
    for group, momentum in zip(optimizer.groups, momenta or (), strict=False):
        if "betas" in group.options:
            group.options["betas"] = (momentum, *group.options["betas"][1:])
        else:
            group.options["momentum"] = momentum


def _check_state(schedule: Any, state: Mapping[str, Any]) -> None:
    who = type(schedule).__name__
    came = plain(state.get("schedule")) if isinstance(state, Mapping) else None
    if came != who:
        raise OptimizerError(
            f"{who}.load_state_dict: expected the state_dict() of a {who}; got that of {came or 'something else'}"
        )
    groups = len(schedule.optimizer.groups)
    if len(state["lrs"]) != groups:
        raise OptimizerError(
            f"{who}.load_state_dict: the optimizer has {groups} groups; the state is of {len(state['lrs'])}"
        )


def _schedules(who: str, schedules: Any, optimizer: Any) -> list[Schedule]:
    if not isinstance(schedules, (list, tuple)) or not schedules:
        raise OptimizerError(f"{who}: schedulers must be a list of one or more schedules; got {schedules!r:.60}")
    for i, schedule in enumerate(schedules):
        if isinstance(schedule, ReduceLROnPlateau):
            raise OptimizerError(f"{who}: schedulers[{i}] is a ReduceLROnPlateau, which needs a metric: step it beside")
        if not isinstance(schedule, Schedule):
            raise OptimizerError(f"{who}: schedulers[{i}] is a {type(schedule).__name__}, no schedule")
        if schedule.optimizer is not optimizer:
            raise OptimizerError(f"{who}: schedulers[{i}] belongs to another optimizer")
    return list(schedules)


def _optimizer(who: str, optimizer: Any) -> Optimizer:
    if not isinstance(optimizer, Optimizer):
        raise OptimizerError(f"{who}: the first argument must be an optimizer; got a {type(optimizer).__name__}")
    return optimizer


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _whole(who: str, name: str, value: Any, least: int) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise OptimizerError(f"{who}: {name} must be a whole number from {least}; got {value!r:.60}")
    return int(value)


def _from_zero(who: str, name: str, value: Any, above: bool = False) -> float:
    if not _is_number(value) or value < 0 or (above and value == 0):
        raise OptimizerError(f"{who}: {name} must be a number {'above 0' if above else 'from 0'}; got {value!r:.60}")
    return float(value)


def _between(who: str, name: str, value: Any, low: float, high: float, above: bool = False) -> float:
    if not _is_number(value) or not low <= value <= high or (above and value == low):
        raise OptimizerError(
            f"{who}: {name} must be a number in {'(' if above else '['}{low:g}, {high:g}]; got {value!r:.60}"
        )
    return float(value)


def _one_of(who: str, name: str, value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise OptimizerError(f"{who}: {name} must be one of {', '.join(map(repr, known))}; got {value!r:.60}")
    return str(value)


def _milestones(who: str, values: Any, least: int) -> list[int]:
    try:
        listed = list(values)
    except TypeError as e:
        raise OptimizerError(f"{who}: milestones must be a list of whole numbers; got {values!r:.60}") from e
    return sorted(_whole(who, "a milestone", value, least) for value in listed)


def _each(who: str, name: str, value: Any, optimizer: Any, good: Callable[[Any], bool], what: str) -> list[Any]:
    """One value for each group: ``value`` itself, or a list of them."""
    groups = len(_optimizer(who, optimizer).groups)
    many = list(value) if isinstance(value, (list, tuple)) else [value] * groups
    if len(many) != groups:
        raise OptimizerError(f"{who}: {len(many)} values of {name} came for {groups} groups")
    for one in many:
        if not good(one):
            raise OptimizerError(f"{who}: {name} must be {what}; got {one!r:.60}")
    return many


def _numbers(who: str, name: str, value: Any, optimizer: Any) -> list[float]:
    found = _each(
        who, name, value, optimizer, lambda v: _is_number(v) and v >= 0, "a number from 0, or one for each group"
    )
    return [float(v) for v in found]


# All of these that are found by name: all but the base class.
NAMED = (
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR", "LambdaLR",
    "LinearLR", "MultiStepLR", "OneCycleLR", "PolynomialLR", "ReduceLROnPlateau", "SequentialLR", "StepLR", "WarmupCosineLR",
)  # fmt: skip

make_listing(__name__, "schedules")
