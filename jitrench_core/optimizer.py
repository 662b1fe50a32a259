"""``Optimizer``: parameters, the state an update rule keeps for each of them, and the loop that applies it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from typing import Any, Never

from .backend import Device
from .dtypes import DType, float64
from .errors import DTypeError, GradientError, JITrenchError, suggest
from .graph import no_grad
from .ops.creation import asarray, tensor
from .tensor import Tensor, assign
from .transforms.tree import flatten, names


class OptimizerError(JITrenchError, ValueError):
    """A hyper-parameter that is unknown or out of its range, or an update rule that does not keep to its declaration."""


class Optimizer:
    """The base class of optimizers. A subclass writes ``update``, the rule for one parameter, and ``slots``, its state.

    ``params`` is a tree of leaf Tensors, such as ``nn.init`` returns: nested dicts, lists, tuples or dataclasses, or any iterable.
    Tensors that do not require a gradient are left alone, and one that occurs twice is updated once. All mutable state is
    Tensors, which ``state()`` lists: the learning rate (float64, 0-d) and the slots. Rules compute by ops, and data is written
    by ``assign`` alone. Other hyper-parameters are Python numbers, fixed when the optimizer is made.

    Raises ``DTypeError`` for a leaf that is no Tensor, ``GradientError`` for a computed one, or where none requires a gradient, and
    ``OptimizerError`` for a learning rate that is no number, negative or not finite, and for an option that the rule does not
    have, if a subclass passes on those that it does not know.

    >>> import jitrench_core as jt
    >>> class Sign(jt.Optimizer):
    ...     def update(self, p, g, lr, slots):
    ...         return p - lr * jt.sign(g), {}
    >>> x = jt.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = Sign([x], lr=0.5)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x
    Tensor([ 0.5, -1.5], requires_grad=True)
    """

    def __init__(self, params: Any, *, lr: float | Tensor = 1e-3, **unknown: Never) -> None:
        if unknown:
            self._refuse(unknown)
        if not isinstance(params, (dict, list, tuple, Tensor)) and isinstance(params, Iterable):
            params = list(params)
        self._params = params
        leaves = flatten(params)[0]
        who = type(self).__name__
        for name, p in zip(names(params), leaves, strict=True):
            if type(p) is not Tensor:
                raise DTypeError(
                    f"{who} takes a tree of Tensors; {f'{name!r} is' if name else 'got'} a {type(p).__name__}"
                )
            if not p.is_leaf:
                called = name or p.name
                raise GradientError(
                    f"{who}: {f'the tensor {called!r}' if called else 'this tensor'} was computed, so it never has a .grad: pass the "
                    f"leaf it was computed from"
                )
        self._leaves: list[Tensor] = leaves
        # By identity: comparing Tensors is elementwise.
        self._slots: dict[Tensor, dict[str, Tensor]] = {p: {} for p in leaves if p.requires_grad}
        if not self._slots:
            raise GradientError(
                f"{who} got {f'{len(leaves)} tensors, none of which' if leaves else 'no tensor that'} requires a gradient: "
                f"create parameters with requires_grad=True"
            )
        with no_grad():
            for p in self._slots:
                self._slots[p] = self.slots(p)
        # assign() keeps dtype and device, so they are asked for once.
        self._kinds: list[tuple[DType, Device]] = [(p.dtype, p.device) for p in self._slots]
        self._check_lr(lr)
        self._lr: Tensor = tensor(asarray(lr).detach(), dtype=float64, device=self._kinds[0][1])

    # -- what a subclass writes -------------------------------------------------------------------------------------

    def slots(self, p: Tensor) -> dict[str, Tensor]:
        """The state that the rule keeps for parameter ``p``, as it is before the first step."""
        return {}

    def update(self, p: Tensor, g: Tensor, lr: Tensor, slots: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The new value of ``p`` with gradient ``g``, and those of its slots. Nothing is recorded while it runs.

        ``lr`` is a 0-d tensor of p's dtype, on p's device. Values keep their dtypes, shapes and devices.
        """
        raise NotImplementedError(
            f"optimizer {type(self).__name__} has no rule: write def update(self, p, g, lr, slots)"
        )

    # -- what a user calls -------------------------------------------------------------------------------------------

    @property
    def parameters(self) -> list[Tensor]:
        """The Tensors that ``step`` updates, each once."""
        return list(self._slots)

    @property
    def lr(self) -> Tensor:
        """The learning rate, a 0-d float64 tensor. Assigning a number sets it: ``optimizer.lr = 0.01``."""
        return self._lr

    @lr.setter
    def lr(self, value: float | Tensor) -> None:
        self._check_lr(value)
        with no_grad():
            assign(self._lr, asarray(asarray(value), dtype=float64, device=self._lr.device))

    def step(self) -> None:
        """Update every parameter that has a gradient, by its ``.grad``; one without is left as it is.

        Raises ``GradientError`` where no parameter has a gradient, and ``OptimizerError`` for a rule that returns other slots than
        it began with.
        """
        moved = False
        rates: dict[tuple[DType, Device], Tensor] = {}
        with no_grad():
            for (p, slots), kind in zip(self._slots.items(), self._kinds, strict=True):
                g = p.grad if p.requires_grad else None  # it may have been frozen since
                if g is None:
                    continue
                moved = True
                rate = rates.get(kind)
                if rate is None:
                    rate = rates[kind] = asarray(self._lr, dtype=kind[0], device=kind[1])
                new, kept = self.update(p, g, rate, slots)
                if kept.keys() != slots.keys():
                    raise OptimizerError(
                        f"the rule of {type(self).__name__} returned the slots {', '.join(kept) or 'none'}; expected "
                        f"{', '.join(slots) or 'none'}, as slots() made them"
                    )
                assign(p, new)
                for name, value in kept.items():
                    assign(slots[name], value)
        if not moved:
            raise GradientError(
                f"{type(self).__name__}.step(): no parameter has a gradient; call backward() on the loss first"
            )

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self._slots:
            p.zero_grad()

    def state(self) -> dict[str, Any]:
        """The optimizer's own Tensors: ``"lr"``, and ``"slots"``, a tree like the parameters with a dict of slots for each.

        A Tensor that occurs twice among the parameters has its slots at each place.
        """
        return {"lr": self._lr, "slots": flatten(self._params)[1]([self._slots.get(p, {}) for p in self._leaves])}

    def _check_lr(self, lr: Any) -> None:
        if not isinstance(lr, bool) and isinstance(lr, Real):
            good = 0 <= float(lr) < math.inf
        else:
            good = getattr(lr, "shape", None) == () and 0 <= float(lr) < math.inf
        if not good:
            raise OptimizerError(f"{type(self).__name__}: lr must be a finite number, 0 or above; got {lr!r:.60}")

    def _refuse(self, unknown: Iterable[str]) -> None:
        """Options that the rule does not have."""
        from inspect import signature

        known = [p.name for p in signature(type(self)).parameters.values() if p.kind is not p.VAR_KEYWORD]
        for name in unknown:
            raise OptimizerError(
                f"{type(self).__name__} has no option {name!r}; it has {', '.join(known[1:])}.{suggest(name, known[1:])}"
            )
