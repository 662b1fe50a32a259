"""``Optimizer``: groups of parameters, the state an update rule keeps for each of them, and the loop that applies it."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from numbers import Real
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Never, final
from weakref import ref

from .backend import Device, owner
from .dtypes import DType, float64
from .errors import (
    DeviceMismatchError,
    DTypeError,
    GradientError,
    JITrenchError,
    NotFoundError,
    OpError,
    ShapeError,
    suggest,
)
from .explain import explain
from .graph import no_grad
from .ops.creation import asarray, tensor
from .tensor import Tensor, assign
from .transforms.tree import flatten, names, partners


class OptimizerError(JITrenchError, ValueError):
    """A hyper-parameter that is unknown or out of its range, a rule that does not keep to its declaration, a state that does not fit."""


@final
class Options(dict[str, Any]):
    """A group's hyper-parameters by name: each can be set, by what its optimizer takes, and none comes or goes.

    Raises ``OptimizerError`` where that optimizer is gone.
    """

    __slots__ = ("_owners",)

    def __init__(self, options: Mapping[str, Any], *owners: ref[Optimizer]) -> None:
        super().__init__(options)
        # Several share the groups after copy.copy; weak, for an optimizer frees its slots at once, not with the next garbage collection.
        self._owners = owners

    def update(self, *given: Any, **options: Any) -> None:
        new = {name: _steady(value) for name, value in dict(*given, **options).items()}
        optimizer = next((alive for owner in self._owners if (alive := owner()) is not None), None)
        if optimizer is not None:
            optimizer._change(self, new)
        elif self._owners:
            raise OptimizerError(f"the optimizer of these options is gone, so nothing can be set: {', '.join(new)}")
        else:  # a copy, which is of no optimizer
            super().update(new)

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def __ior__(self, other: Any) -> Options:  # type: ignore[override, misc]
        self.update(other)
        return self

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]

    def _keep(self, *_: Any) -> Never:
        raise OptimizerError(f"an option of a group can be set, not removed; it has {', '.join(self)}")

    __delitem__ = pop = popitem = clear = _keep

    def __reduce__(self) -> Any:  # optimizers pickle, references to them do not; they set them again
        return Options, (dict(self),)


@final
class Group:
    """Parameters that are updated alike, with their learning rate and options. ``optimizer.groups`` lists them.

    ``params`` are its Tensors, ``slots`` the rule's state for each of them, by name, and ``lr`` the learning rate, a 0-d float64
    Tensor that can be set by a number. ``options`` are the other hyper-parameters, a dict of Python numbers; what is set in it is checked
    as what the optimizer was made with, and slots that it needs are made.
    """

    __slots__ = (
        "_leaves",
        "_lr",
        "_options",
        "_passed",
        "_plans",
        "_tree",
        "_who",
        "kinds",
        "names",
        "params",
        "slots",
    )

    def __init__(self, who: str, tree: Any, lr: Any, options: Options) -> None:
        _check_lr(who, lr)
        tree = _tree(tree)
        self._who, self._tree, self._options = who, tree, options
        self._passed: dict[str, Any] = {}  # to the kernel of a rule that is an op
        self._leaves: list[Tensor] = flatten(tree)[0]
        trainable: dict[Tensor, str] = {}  # by identity: comparing Tensors is elementwise
        for name, p in zip(names(tree), self._leaves, strict=True):
            _check_parameter(who, name, p)
            if p.requires_grad:
                trainable.setdefault(p, name or "0")
        self.params, self.names = list(trainable), list(trainable.values())
        self.slots: list[dict[str, Tensor]] = []
        # assign() keeps dtype and device, so they are asked for once.
        self.kinds: list[tuple[DType, Device]] = [(p.dtype, p.device) for p in self.params]
        device = self.kinds[0][1] if self.kinds else None
        self._lr: Tensor = tensor(asarray(lr).detach(), dtype=float64, device=device)
        self._plans: list[_Plan] = []

    @property
    def lr(self) -> Tensor:
        """The learning rate, a 0-d float64 tensor. Assigning a number sets it: ``group.lr = 0.01``."""
        return self._lr

    @lr.setter
    def lr(self, value: float | Tensor) -> None:
        _check_lr(self._who, value)
        with no_grad():
            assign(self._lr, asarray(asarray(value), dtype=float64, device=self._lr.device))

    @property
    def options(self) -> Options:
        """The hyper-parameters beside the learning rate. Assigning a dict sets those that it names."""
        return self._options

    @options.setter
    def options(self, value: Mapping[str, Any]) -> None:
        self._options.update(value)

    def __repr__(self) -> str:
        return f"Group({self._shown(self.options)})"

    def _shown(self, options: Mapping[str, Any]) -> str:
        count = len(self.params)
        values = "".join(f", {name}={value!r}" for name, value in options.items())
        return f"{count} parameter{'' if count == 1 else 's'}, lr={self.lr.item()!r}{values}"

    def _gradients(self) -> list[Tensor | None]:
        return [p.grad if p.node is not None else None for p in self.params]  # one may have been frozen since

    def _install(
        self, slots: list[dict[str, Tensor]], options: Mapping[str, Any], op: Any, order: tuple[str, ...]
    ) -> None:
        """Use these slots and options from now on."""
        if slots is not self.slots:
            self.slots = slots
            self._plans = [_Plan.of(p, kept, order) for p, kept in zip(self.params, slots, strict=True)]
        dict.update(self._options, options)
        if op is not None:  # a call by ten names takes a microsecond more than one by none
            self._passed = {name: value for name, value in self._options.items() if _differ(value, op.attrs[name])}
            if "donated" in op.attrs:
                self._passed["donated"] = True

    def state(self) -> dict[str, Any]:
        """``"lr"``, and ``"slots"``: a tree like the parameters with a dict of slots for each."""
        slots = dict(zip(self.params, self.slots, strict=True))
        return {"lr": self._lr, "slots": flatten(self._tree)[1]([slots.get(p, {}) for p in self._leaves])}


@final
class _Nothing:
    """In a plan, a slot that is not there."""

    data = None


_data = attrgetter("data")


@final
class _Plan(NamedTuple):
    """What ``step`` needs to know of one parameter whose rule is an op, found out once."""

    p: Tensor
    slots: dict[str, Tensor]
    device: Device
    inputs: tuple[Tensor | type[_Nothing], ...]
    """The slots in the op's order."""
    arrays: tuple[Tensor, ...]
    """What a kernel may write into: p and slots, numbers not among them."""
    outputs: tuple[tuple[int, Tensor], ...]
    """Which output is the new value of what."""

    @classmethod
    def of(cls, p: Tensor, slots: dict[str, Tensor], order: tuple[str, ...]) -> _Plan:
        inputs = tuple(slots.get(name, _Nothing) for name in order)
        outputs = tuple((i, x) for i, x in enumerate((p, *inputs)) if isinstance(x, Tensor))
        return cls(p, slots, p.device, inputs, tuple(x for _, x in outputs if x.ndim), outputs)


_UNRECORDED = no_grad()  # it has no state


class Optimizer:
    """The base class of optimizers. A subclass writes ``update``, the rule for one parameter, and ``slots``, its state.

    ``params`` is a tree of leaf Tensors, such as ``nn.init`` returns (nested dicts, lists, tuples or dataclasses, or any iterable),
    or a list of groups: dicts with such a tree as ``"params"``, and ``"lr"`` and options of their own. Tensors that do not require a
    gradient are left alone, and one that occurs twice in a group is updated once. ``options`` are the rule's hyper-parameters with the
    values of the groups that do not set them. All mutable state is Tensors, which ``state()`` lists: the learning rates
    (float64, 0-d) and the slots. Rules compute by ops, and data is written by ``assign``, or by the kernel of ``rule``.

    Raises ``DTypeError`` for a leaf that is no Tensor, ``GradientError`` for a computed one, or where none requires a gradient, and
    ``OptimizerError`` for a learning rate that is no number, negative or not finite, for an option that the rule does not
    have, if a subclass passes on those that it does not know, and for a parameter in two groups.

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

    rule: ClassVar[Any] = None
    """The update as one op, instead of ``update``: its arrays are p, g, lr (0-d, float64) and the slots by their names, its outputs
    the new p and slots in that order, its attributes the options. A slot that is not there comes as None; any array may hold its
    place in the outputs. If the op has an attribute ``donated``, ``step`` passes True where nobody else holds the arrays of p and
    the slots: then a kernel may write into them, and return them."""

    dtypes: ClassVar[str] = "fc"
    """The kinds of parameters that the rule is for: "f" floating-point, "c" complex."""

    def __init__(
        self, params: Any, *, lr: float | Tensor = 1e-3, options: Mapping[str, Any] | None = None, **unknown: Never
    ) -> None:
        if unknown:
            self._refuse(unknown)
        _check_lr(type(self).__name__, lr)
        self._defaults = {"lr": lr, **(options or {})}
        self._check(options or {})
        self.groups: list[Group] = []
        several = isinstance(params, (list, tuple)) and any(map(self._is_group, params))
        for i, given in enumerate(params if several else [{"params": params}]):
            if not (isinstance(given, Mapping) and "params" in given):
                raise OptimizerError(
                    f"{type(self).__name__}: groups are dicts with a key 'params', and group {i} is a {type(given).__name__}"
                    f"{f' of {list(given)}' if isinstance(given, Mapping) else ''}"
                )
            self.add_group(**given)
        if not any(group.params for group in self.groups):
            n = sum(len(group._leaves) for group in self.groups)
            raise GradientError(
                f"{type(self).__name__} got {f'{n} tensors, none of which' if n else 'no tensor that'} requires a gradient: "
                f"create parameters with requires_grad=True"
            )
        self._known = frozenset(options or ())  # from now on they are the groups'

    # -- what a subclass writes -------------------------------------------------------------------------------------

    def check(self, *_: Any, **options: Any) -> None:
        """Raise ``OptimizerError`` for a hyper-parameter out of its range. Each group's come here, together."""

    # A subclass names the options that it has; of *_ and **options a type checker lets it.

    def slots(self, p: Tensor, *_: Any, **options: Any) -> dict[str, Tensor]:
        """The state that the rule keeps for parameter ``p``, as it is before the first step."""
        return {}

    def update(
        self, p: Tensor, g: Tensor, lr: Tensor, slots: dict[str, Tensor], *_: Any, **options: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The new value of ``p`` with gradient ``g``, and those of its slots. Nothing is recorded while it runs.

        ``lr`` is a 0-d tensor of p's dtype, on p's device. Values keep their dtypes, shapes and devices.
        """
        rule = type(self).rule  # by self it would be a bound method
        if rule is None:
            raise NotImplementedError(
                f"optimizer {type(self).__name__} has no rule: write def update(self, p, g, lr, slots)"
            )
        order = rule.op.arrays[3:]
        made = rule(p, g, lr, *map(slots.get, order), **options)
        new, *kept = made if order else (made,)
        return new, {name: value for name, value in zip(order, kept, strict=True) if name in slots}

    # -- what a user calls -------------------------------------------------------------------------------------------

    def add_group(self, params: Any, **options: Any) -> None:
        """Update these parameters, too, with an ``lr`` and options of their own; those not given are the optimizer's.

        >>> import jitrench_core as jt
        >>> import jitrench_optim as optim
        >>> a, b = jt.tensor([1.0], requires_grad=True), jt.tensor([2.0], requires_grad=True)
        >>> optimizer = optim.SGD([a], lr=0.1, momentum=0.9)
        >>> optimizer.add_group([b], lr=0.01)
        >>> [(group.lr.item(), group.options["momentum"]) for group in optimizer.groups]
        [(0.1, 0.9), (0.01, 0.9)]
        """
        self._refuse(options.keys() - self._defaults.keys(), list(self._defaults))
        # A list would be one and the same in all groups, and in each state_dict.
        own = {name: _steady(x) for name, x in (self._defaults | options).items()}
        lr = own.pop("lr")
        self._check(own)
        who = type(self).__name__
        group = Group(who, params, lr, Options(own, ref(self)))
        taken = {p for other in self.groups for p in other.params}
        for name, p, (dtype, _) in zip(group.names, group.params, group.kinds, strict=True):
            if p in taken:
                raise OptimizerError(f"{who}: the parameter {name!r} is in an earlier group, too")
            if dtype.kind not in self.dtypes:
                raise DTypeError(f"{who} takes real parameters; {name!r} is {dtype}")
        order = self._order(own)
        with no_grad():
            slots = [self._slots(p, own) for p in group.params]
        group._install(slots, own, self._op(), order)
        self.groups.append(group)

    def _slots(self, p: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        slots: Any = self.slots(p, **options)
        if not isinstance(slots, dict) or any(type(x) is not Tensor for x in slots.values()):
            raise OptimizerError(
                f"{type(self).__name__}.slots() must return a dict of Tensors by their names; got {slots!r:.60}"
            )
        return slots

    def _is_group(self, x: Any) -> bool:
        """Whether it is meant as one: it has parameters, or options in their place."""
        return isinstance(x, dict) and (
            "params" in x or any(isinstance(x.get(name), (Real, str)) for name in self._defaults)
        )

    def _check(self, options: Mapping[str, Any]) -> None:
        """Raise for options out of their ranges, and for what is no bool where the rule's attribute is one."""
        op = getattr(type(self).rule, "op", None)
        for name, value in options.items():
            if op is not None and isinstance(op.attrs.get(name), bool) and not isinstance(value, bool):
                raise OptimizerError(f"{type(self).__name__}: {name} must be True or False; got {value!r:.60}")
        self.check(**options)

    def _op(self) -> Any:
        """The op ``rule``, where it is the update."""
        rule = type(self).rule
        return rule.op if rule is not None and type(self).update is Optimizer.update else None

    def _change(self, options: Options, new: Mapping[str, Any]) -> None:
        """Set some of a group's options."""
        if "lr" in new:
            raise OptimizerError(f"{type(self).__name__}: the learning rate is no option of a group: set group.lr")
        self._refuse(new.keys() - options.keys(), list(options))
        group = next(group for group in self.groups if group._options is options)
        changed = options | dict(new)
        self._check(changed)
        group._install(self._slots_with(group, changed), changed, self._op(), self._order(changed))

    def _slots_with(self, group: Group, options: Mapping[str, Any]) -> list[dict[str, Tensor]]:
        """A group's slots, if it had these options: new ones where they need more, and none that they do without."""
        if all(_alike(value, options[name]) for name, value in group.options.items()):
            return group.slots
        from .random import Generator, using

        # Most are thrown away: what they draw does not move the program's stream.
        with no_grad(), using(Generator(0)):
            made = [self._slots(p, options) for p in group.params]
        return [{name: old.get(name, x) for name, x in new.items()} for old, new in zip(group.slots, made, strict=True)]

    def _order(self, options: dict[str, Any]) -> tuple[str, ...]:
        """The names of the slots in the order of ``rule``; none without one."""
        rule = type(self).rule
        if rule is None:
            return ()
        who = type(self).__name__
        op = getattr(rule, "op", None)
        if op is None or op.composite or len(op.arrays) < 3 or op.outputs != len(op.arrays) - 2:
            came = f"a {type(rule).__name__}" if op is None else f"{'the composite ' if op.composite else ''}{op}"
            raise OptimizerError(
                f"{who}.rule must be an op of p, the gradient, lr and the slots, with as many outputs as p and slots; got {came}"
            )
        if type(self).update is Optimizer.update and (odd := sorted(options.keys() - op.attrs.keys())):
            raise OptimizerError(
                f"{who}: the rule {op.name!r} has no attribute for the option {odd[0]!r}; it has {', '.join(op.attrs) or 'none'}"
            )
        return tuple(op.arrays[3:])

    @property
    def parameters(self) -> list[Tensor]:
        """The Tensors that ``step`` updates, each once."""
        return [p for group in self.groups for p in group.params]

    @property
    def lr(self) -> Tensor:
        """The first group's learning rate, a 0-d float64 tensor. Assigning a number sets that of all groups: ``optimizer.lr = 0.01``."""
        return self.groups[0].lr

    @lr.setter
    def lr(self, value: float | Tensor) -> None:
        for group in self.groups:
            group.lr = value

    def step(self, grads: Any = None) -> None:
        """Update every parameter that has a gradient, by its ``.grad``; one without is left as it is.

        ``grads``, such as ``jt.grad`` returns, take the place of every ``.grad``, which stays as it is: a tree like the parameters, of
        which a leaf, or a part, may be None. Of several groups it is a list with a tree for each. A Tensor that occurs twice moves by
        the sum of both its gradients.

        Raises ``GradientError`` where no parameter has a gradient, and ``OptimizerError`` for a rule that returns other slots than
        it began with, and for gradients of another structure; ``ShapeError``, ``DTypeError`` and ``DeviceMismatchError`` for one that is
        not like its parameter. A gradient that does not fit changes nothing.

        >>> import jitrench_core as jt
        >>> import jitrench_optim as optim
        >>> params = {"w": jt.tensor([3.0], requires_grad=True)}
        >>> optimizer = optim.SGD(params, lr=0.25)
        >>> loss, grads = jt.value_and_grad(lambda p: (p["w"] ** 2).sum())(params)
        >>> optimizer.step(grads)
        >>> params["w"].tolist()
        [1.5]
        """
        given = None if grads is None else self._given(grads)
        op = self._op()
        moved = False
        with _UNRECORDED:
            for i, group in enumerate(self.groups):
                found = group._gradients() if given is None else given[i]
                moved = (self._by_op(group, found, op) if op is not None else self._by_update(group, found)) or moved
        if not moved:
            who = type(self).__name__
            raise GradientError(
                f"{who}.step(): no parameter has a gradient; call backward() on the loss first. If you did: the parameters of {who} "
                f"are the Tensors that it was given, and others have taken their place since, by model.to() for example: make "
                f"the optimizer after that"
                if given is None
                else f"{who}.step(): there is no gradient for any parameter that requires one"
            )

    def _given(self, grads: Any) -> list[list[Tensor | None]]:
        """Of a tree of gradients those of each group's parameters."""
        who = f"{type(self).__name__}.step()"
        if callable(grads):
            raise OptimizerError(
                f"{who} takes gradients, and got a {type(grads).__name__}: call it and backward() before; only LBFGS takes a closure"
            )
        trees = [grads]
        if (count := len(self.groups)) > 1:
            if not isinstance(grads, (list, tuple)) or len(grads) != count:
                raise OptimizerError(
                    f"{who}: the gradients of {count} groups are a list with a tree for each; got {_shown(grads)}"
                    + (f" of {len(grads)}" if isinstance(grads, (list, tuple)) else "")
                )
            trees = list(grads)
        given: list[list[Tensor | None]] = []
        for group, tree in zip(self.groups, trees, strict=True):
            try:
                values = partners(group._tree, _tree(tree), "gradient", "parameter(s)")
            except OpError as e:
                raise OptimizerError(f"{who}: {e}") from None
            expected = dict(zip(group.params, zip(group.names, group.kinds, strict=True), strict=True))
            sums: dict[Tensor, Tensor] = {}
            for p, g in zip(group._leaves, values, strict=True):
                if g is not None and p in expected and p.node is not None:
                    _check_gradient(who, p, g, *expected[p])
                    sums[p] = sums[p].detach() + g.detach() if p in sums else g
            given.append([sums.get(p) for p in group.params])
        return given

    def _by_op(self, group: Group, grads: list[Tensor | None], op: Any) -> bool:
        """The update of a group by the op ``rule``: its kernel is called as it is, since nothing is recorded."""
        options = group._passed
        donates = "donated" in options
        first = group._lr.device
        kind: type | None = None
        kernel: Any = None
        moved = False
        for (p, slots, device, inputs, arrays, outputs), g in zip(group._plans, grads, strict=True):
            if g is None:
                continue
            moved = True
            lr = group._lr if device is first else group._lr.to(device)
            if type(p.data) is not kind:
                kind = type(p.data)
                kernel = None if owner(kind).depth else op.kernels[kind]
            if kernel is None or type(g.data) is not kind:
                self._update(p, g, lr, slots, group._options)
                continue
            if donates:
                for x in arrays:
                    if _holders(x) != ALONE:  # a graph, a view or a snapshot that somebody keeps stays as it is
                        assign(x, asarray(x, copy=True))
            try:
                made = kernel(p.data, g.data, lr.data, *map(_data, inputs), **options)
            except Exception as e:
                explain(op, e, (p, g))
                raise
            for i, x in outputs:
                y = made[i] if inputs else made
                if y is not x.data:
                    assign(x, Tensor(y))
        return moved

    def _by_update(self, group: Group, grads: list[Tensor | None]) -> bool:
        """The update of a group by the method ``update``."""
        rates: dict[tuple[DType, Device], Tensor] = {}
        moved = False
        for p, slots, kind, g in zip(group.params, group.slots, group.kinds, grads, strict=True):
            if g is None:
                continue
            moved = True
            lr = rates.get(kind)
            if lr is None:
                lr = rates[kind] = asarray(group.lr, dtype=kind[0], device=kind[1])
            self._update(p, g, lr, slots, group._options)
        return moved

    def _update(self, p: Tensor, g: Tensor, lr: Tensor, slots: dict[str, Tensor], options: dict[str, Any]) -> None:
        made: Any = self.update(p, g, lr, slots, **options)
        if not (isinstance(made, tuple) and len(made) == 2 and type(made[0]) is Tensor and isinstance(made[1], dict)):
            came = (
                f"a tuple of {', '.join(type(x).__name__ for x in made)}"
                if isinstance(made, tuple)
                else f"a {type(made).__name__}"
            )
            raise OptimizerError(
                f"{type(self).__name__}.update() must return the new value of p, a Tensor, and a dict of its slots; got {came}"
            )
        new, kept = made
        if odd := [name for name, value in kept.items() if type(value) is not Tensor]:
            raise OptimizerError(
                f"{type(self).__name__}.update() returned a {type(kept[odd[0]]).__name__} as slot {odd[0]!r}; expected a Tensor"
            )
        if kept.keys() != slots.keys():
            raise OptimizerError(
                f"the rule of {type(self).__name__} returned the slots {', '.join(kept) or 'none'}; expected "
                f"{', '.join(slots) or 'none'}, as slots() made them"
            )
        assign(p, new)
        for name, value in kept.items():
            _keep(slots[name], value)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.groups:
            for p in group.params:
                p.zero_grad()

    # -- its state ---------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """The optimizer's own Tensors: ``"lr"``, and ``"slots"``, a tree like the parameters with a dict of slots for each.

        A Tensor that occurs twice among the parameters has its slots at each place. Of several groups there is a list, ``"groups"``.
        """
        states = [group.state() for group in self.groups]
        return states[0] if len(states) == 1 else {"groups": states}

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` needs to go on bit for bit: nested dicts and lists of Tensors, numbers and strings.

        For each group the ``"lr"``, the ``"options"``, the names of its ``"params"`` and the ``"slots"`` of each. It is a snapshot: steps that
        follow do not change it.
        """
        return {
            "optimizer": type(self).__name__,
            "groups": [
                {
                    "lr": group.lr.item(),
                    "options": dict(group.options),
                    "params": list(group.names),
                    "slots": [{name: x.detach() for name, x in slots.items()} for slots in group.slots],
                }
                for group in self.groups
            ],
        }

    def load_state_dict(self, state: Any) -> None:
        """Go on from what ``state_dict`` returned: the learning rates, options and slots are set, the parameters are not.

        Groups are matched by position, parameters by name, or by position where one side's names are only numbers. A list may have
        become a dict with the keys "0", "1", ..., and a number a 0-d Tensor, as files keep them.

        Raises ``OptimizerError`` with all that does not fit, and then changes nothing.
        """
        who = type(self).__name__
        if not isinstance(state, Mapping) or "groups" not in state:
            raise OptimizerError(f"{who}.load_state_dict() takes what state_dict() returned; got {_shown(state)}")
        kind = state.get("optimizer", who)
        if kind != who:
            raise OptimizerError(f"{who}.load_state_dict(): this is the state of {kind}")
        saved = _listed(state["groups"]) if isinstance(state["groups"], (Mapping, list, tuple)) else [state["groups"]]
        for given in saved:
            if not (isinstance(given, Mapping) and isinstance(given.get("options"), Mapping)):
                raise OptimizerError(
                    f"{who}.load_state_dict(): a group is a dict with 'lr', 'options', 'params' and 'slots'; got {_shown(given)}"
                )
        if len(saved) != len(self.groups):
            raise OptimizerError(
                f"{who}.load_state_dict(): the state has {len(saved)} groups, and the optimizer {len(self.groups)}"
            )
        wrong: list[str] = []
        plans: list[tuple[Tensor, Tensor]] = []
        settings: list[tuple[Group, Any, dict[str, Any], list[dict[str, Tensor]]]] = []
        for i, (group, given) in enumerate(zip(self.groups, saved, strict=True)):
            options = {name: _plain(value) for name, value in given["options"].items()}
            for name in sorted(options.keys() ^ group.options.keys()):
                wrong.append(f"group {i}: the option {name!r} is {'unknown' if name in options else 'missing'}")
            lr = _plain(given.get("lr"))
            try:
                _check_lr(who, lr)
                options = {name: _steady(options.get(name, mine)) for name, mine in group.options.items()}
                self._check(options)
                slots = self._slots_with(group, options)
            except OptimizerError as e:
                wrong.append(f"group {i}: {e}")
                slots = group.slots
            settings.append((group, lr, options, slots))
            plans += self._fit(i, group, slots, given, wrong)
        if wrong:
            raise OptimizerError(f"{who}.load_state_dict(): the state does not fit:\n  " + "\n  ".join(wrong))
        with no_grad():
            for group, lr, options, slots in settings:
                group.lr = lr
                group._install(slots, options, self._op(), self._order(options))
            for slot, value in plans:
                assign(slot, value)

    def _fit(
        self, i: int, group: Group, mine: list[dict[str, Tensor]], given: Mapping[str, Any], wrong: list[str]
    ) -> list[tuple[Tensor, Tensor]]:
        """Each slot of a group with its saved value; what does not fit is noted in ``wrong``."""
        theirs, values = [str(name) for name in _listed(given.get("params", []))], _listed(given.get("slots", []))
        numbers = [str(k) for k in range(len(group.names))]
        if len(values) != len(theirs):
            wrong.append(f"group {i}: {len(theirs)} parameters are named, and {len(values)} have slots")
            return []
        if set(theirs) != set(group.names):
            if len(theirs) != len(group.names) or numbers not in (theirs, group.names):
                for names_, verb in ((group.names, "missing"), (theirs, "unknown")):
                    other = theirs if verb == "missing" else group.names
                    wrong += [f"group {i}: the parameter {name!r} is {verb}" for name in names_ if name not in other]
                return []
            theirs = group.names
        found = dict(zip(theirs, values, strict=True))
        plan = []
        for name, slots in zip(group.names, mine, strict=True):
            if not isinstance(found[name], Mapping):
                wrong.append(f"{name}: expected a dict of slots; got {_shown(found[name])}")
                continue
            if odd := sorted(slots.keys() ^ found[name].keys()):
                wrong.append(f"{name}: expected the slots {', '.join(slots) or 'none'}; differing: {', '.join(odd)}")
                continue
            for key, slot in slots.items():
                value = asarray(found[name][key], device=slot.device).detach()
                if (value.shape, value.dtype) != (slot.shape, slot.dtype):
                    wrong.append(f"{name}.{key} is {value.dtype} {value.shape}; expected {slot.dtype} {slot.shape}")
                else:
                    plan.append((slot, value))
        return plan

    # -- as an object ------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        """Its groups, with the options that are not the class's defaults."""
        from inspect import signature

        usual = {p.name: p.default for p in signature(type(self)).parameters.values()}
        shown = [
            group._shown({name: x for name, x in group.options.items() if name in usual and _differ(x, usual[name])})
            for group in self.__dict__.get("groups", ())
        ]
        return f"{type(self).__name__}({'; '.join(shown)})"

    def __setattr__(self, name: str, value: Any) -> None:
        # An update that a class wrote itself may read its attributes; that of a rule does not.
        written = type(self).update is not Optimizer.update or hasattr(type(self), name)
        if not written and name in self.__dict__.get("_known", ()):
            raise OptimizerError(
                f"{type(self).__name__}: {name!r} is an option of the groups: set optimizer.groups[0].options[{name!r}], or that of "
                f"each group"
            )
        object.__setattr__(self, name, value)

    if not TYPE_CHECKING:  # it would let a type checker take any name

        def __getattr__(self, name: str) -> Any:
            if name in self.__dict__.get("_known", ()):
                hint = f"it is an option of the groups, optimizer.groups[0].options[{name!r}]"
            elif name in ("param_groups", "defaults"):
                hint = "the groups are optimizer.groups; each has .params, .lr and .options"
            else:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            raise NotFoundError(f"{type(self).__name__} has no attribute {name!r}: {hint}")

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for group in self.groups:
            group._options._owners = (*(r for r in group._options._owners if r() is not None), ref(self))

    def _refuse(self, unknown: Iterable[str], known: list[str] | None = None) -> None:
        """Options that the rule does not have."""
        if known is None:
            from inspect import signature

            known = [
                p.name
                for p in signature(type(self)).parameters.values()
                if p.kind is not p.VAR_KEYWORD and p.name not in ("params", "options")
            ]
        for name in sorted(map(str, unknown)):
            if name in known:  # its own __init__ handed it on as it is
                raise OptimizerError(
                    f"{type(self).__name__}.__init__ passes {name!r} to jt.Optimizer by itself: the rule's options go together, "
                    f"super().__init__(params, lr=lr, options={{{name!r}: {name}}})"
                )
            hint = _ELSEWHERE.get(name) or suggest(name, known).strip()
            raise OptimizerError(
                f"{type(self).__name__} has no option {name!r}; it has {', '.join(known) or 'none'}.{hint and ' ' + hint}"
            )


# -- donation ---------------------------------------------------------------------------------------------------------


# Where Python does not count references, NaN, which equals nothing: every array counts as shared, and is copied.
getrefcount: Any = getattr(sys, "getrefcount", lambda array: math.nan)


def _holders(x: Tensor) -> float:
    """How many references there are to the array of ``x``: a graph that saved it, a view of it and a snapshot each hold one."""
    return getrefcount(x.data)  # type: ignore[no-any-return]


# What it says of an array that one Tensor alone holds: versions of Python differ.
ALONE = _holders(Tensor([]))


# -- options ----------------------------------------------------------------------------------------------------------


# What PyTorch's optimizers take beside: no option of a rule.
_ELSEWHERE = dict.fromkeys(
    ("foreach", "fused", "capturable", "differentiable"),
    "PyTorch's choice of an implementation is not needed: there is one, which writes in place; leave it out.",
)


def _steady(value: Any) -> Any:
    """A list would be one and the same in all groups, and in each state_dict."""
    return tuple(value) if isinstance(value, list) else value


def _alike(old: Any, new: Any) -> bool:
    """Whether the same slots are needed: a float, or a tuple, that goes to another turns nothing on or off, unless one is 0."""
    return old is new or (type(old) is type(new) and type(old) in (float, tuple) and bool(old) == bool(new))


def _differ(a: Any, b: Any) -> bool:
    """Arrays do, unless they are one and the same."""
    try:
        return a is not b and bool(a != b)
    except (TypeError, ValueError):
        return True


def _keep(slot: Tensor, value: Tensor) -> None:
    """Write into a slot. One that began as a constant inside vmap or jvp becomes a value of it, as its parameter is."""
    like = (slot.shape, slot.dtype) == (value.shape, value.dtype)
    if like and owner(type(value.data)).depth > owner(type(slot.data)).depth:
        slot.data = value.data
    else:
        assign(slot, value)


# -- checks -----------------------------------------------------------------------------------------------------------


def _tree(tree: Any) -> Any:
    """A tree, or a list of what any other iterable holds."""
    return list(tree) if not isinstance(tree, (dict, list, tuple, Tensor)) and isinstance(tree, Iterable) else tree


def _check_gradient(who: str, p: Tensor, g: Any, name: str, kind: tuple[DType, Device]) -> None:
    if type(g) is not Tensor:
        raise DTypeError(f"{who}: the gradient of {name!r} is a {type(g).__name__}; expected a Tensor, or None")
    for error, came, expected in (
        (ShapeError, g.shape, p.shape),
        (DTypeError, g.dtype, kind[0]),
        (DeviceMismatchError, g.device, kind[1]),
    ):
        if came != expected:
            raise error(f"{who}: the gradient of {name!r} is {came}, and the parameter {expected}")


def _check_lr(who: str, lr: Any) -> None:
    if not isinstance(lr, bool) and isinstance(lr, Real):
        good = 0 <= float(lr) < math.inf
    else:
        good = getattr(lr, "shape", None) == () and asarray(lr).dtype.kind != "c" and 0 <= float(lr) < math.inf
    if not good:
        raise OptimizerError(f"{who}: lr must be a finite number, 0 or above; got {lr!r:.60}")


def _check_parameter(who: str, name: str, p: Any) -> None:
    if type(p) is not Tensor:
        hint = ": pass its parameters()" if hasattr(p, "named_parameters") else ""
        if isinstance(p, str):
            hint = ": of named_parameters() pass the parameters() alone, or a dict"
        raise DTypeError(
            f"{who} takes a tree of Tensors; {f'{name!r} is' if name else 'got'} a {type(p).__name__}{hint}"
        )
    if not p.is_leaf:
        called = name or p.name
        raise GradientError(
            f"{who}: {f'the tensor {called!r}' if called else 'this tensor'} was computed, so it never has a .grad: pass the "
            f"leaf it was computed from"
        )


# -- a state as files keep it -----------------------------------------------------------------------------------------


def _listed(x: Any) -> list[Any]:
    return [x[str(i)] for i in range(len(x))] if isinstance(x, Mapping) else list(x)


def _plain(x: Any) -> Any:
    """A number of what may have become a 0-d Tensor, a tuple of what may have become a list."""
    if type(x) is Tensor:
        return x.item()
    return tuple(map(_plain, x)) if isinstance(x, (list, tuple)) else x


def _shown(x: Any) -> str:
    return f"a dict with the keys {list(x)[:5]}" if isinstance(x, Mapping) else f"a {type(x).__name__}"
