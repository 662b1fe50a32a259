"""``@op``: a forward, its derivatives and its test data, declared in one place and read from signatures.

The forward's first parameter is ``xp``, the array namespace of the operands' backend. Parameters before ``/`` are arrays
(default None: optional), one ``*arrays`` is allowed, the others are attributes. A rule's parameter names say what the
graph keeps for it; see ``RESERVED`` and docs/plugins.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast, final, overload

from . import backend as backends
from . import devices, graph
from .backend import KernelTable, MixedOwners, dtype_of, owner
from .errors import (
    BackendError,
    DTypeError,
    GradientError,
    OpError,
    ShapeError,
    suggest,
)
from .explain import explain, mismatch
from .graph import DONE, G_INPUT, ONLY_G, RAW, SAME, Identity, MultiNode, Node, Output, modes
from .graph import recording as is_recording
from .signature import METADATA, REQUIRED, Signature, parameters, shown
from .tensor import Tensor

if TYPE_CHECKING:
    from typing import Concatenate, Literal, ParamSpec, Protocol, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R", bound=Callable[..., Any])

    class OpFunction(Protocol[P]):
        """What ``@op`` returns: the function to call, with the op and its decorators as attributes."""

        op: Op
        __wrapped__: Any  # what inspect.signature shows, where it is not the forward's

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
        def vjp(self, name: str) -> Callable[[R], R]: ...
        def vjp_all(self, rule: R) -> R: ...
        def jvp(self, rule: R) -> R: ...
        def batch(self, rule: R) -> R: ...
        def check(self, rule: R) -> R: ...
        def aux(self, name: str) -> Callable[[R], R]: ...


@final
class Zero:
    """The rule of an input whose gradient is exactly zero: ``vjp={"x": zero}``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "jt.zero"


zero = Zero()
SCALARS = frozenset({bool, int, float, complex})

PASSES = (lambda g: g).__code__.co_code  # a rule of this code is not called: 35 ns each in every sum

# What stands in ``Op.keep`` instead of flags: nothing is recorded, or ``record`` decides.
CONSTANT, GENERAL = "constant", "general"

# Where a rule's parameter comes from.
G, INPUT, OUTPUT, AUX, SHAPE, DTYPE, ATTR, MANY, MANYMETADATA, NEEDS = range(10)
_Plan = tuple[tuple[int, Any], ...]


@final
class Op:
    """One operation of the catalogue: everything that is known of it. ``@op`` makes them."""

    def __init__(
        self,
        forward: Callable[..., Any] | None,
        signature: Signature,
        doc: str,
        *,
        vjp: Mapping[str, Any] | Callable[..., Any] | Zero | None = None,
        elementwise: bool = False,
        linear: Iterable[str] = (),
        aux: Iterable[str] = (),
        outputs: int = 1,
        composite: bool = False,
        domain: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None,
        samples: Callable[..., Any] | None = None,
    ) -> None:
        self.forward = forward
        self.signature = signature
        self.name = signature.name
        self.__doc__ = doc
        self.inputs, self.arrays, self.variadic = signature.inputs, signature.arrays, signature.variadic
        self.optional, self.attrs = signature.optional, signature.attrs
        self.elementwise = elementwise
        self.linear = tuple(linear)
        self.aux = tuple(aux)
        self.outputs = outputs
        self.aux_formulas: dict[str, Callable[..., Any]] = {}
        self.composite = composite
        self.domain = domain
        self.samples = samples
        self.owner = ""
        self.rules: dict[str, Any] = {}
        self.rule_for_all: Callable[..., Any] | None = None
        self.jvp_rule: Callable[..., Any] | None = None
        self.batch_rule: Callable[..., Any] | None = None
        self.check_rule: Callable[..., Any] | None = None
        self.kernels = KernelTable(self)
        self.completed = False
        # By which inputs are tracked: what is saved, as flags (None: nothing is saved). The fast closures read it.
        self.keep: list[Any] = [CONSTANT] + [GENERAL] * 3
        self._keep: dict[tuple[bool, ...], tuple[tuple[bool, ...], tuple[int, ...] | None]] = {}
        if isinstance(vjp, Mapping):
            for key, rule in vjp.items():
                self.add_rule(key, rule)
        elif vjp is not None:
            self.add_rule(self._only_input(), vjp)
        for key in self.linear:
            self._check_input(key, "linear=")

    def __repr__(self) -> str:
        return f"<op {self.name!r}>"

    def usage(self) -> str:
        """The op as a user calls it."""
        return str(self.signature)

    # -- declaration ------------------------------------------------------------------------------------------------

    def _only_input(self) -> str:
        if len(self.inputs) != 1:
            raise OpError(
                f"op {self.name!r} has inputs {', '.join(self.inputs)}: give vjp as a dict with a rule for each"
            )
        return self.inputs[0]

    def _check_input(self, name: str, what: str) -> None:
        if name not in self.inputs:
            raise OpError(
                f"{what} of op {self.name!r} names {name!r}, which is not one of its array inputs "
                f"({', '.join(self.inputs) or 'it has none'}).{suggest(name, self.inputs)}"
            )

    def add_rule(self, name: str, rule: Any) -> None:
        """Give input ``name`` its vjp rule: a function, ``zero``, or None (a constant)."""
        self._check_input(name, "vjp")
        if name in self.rules and not self.composite:
            raise OpError(f"op {self.name!r} already has a vjp rule for {name!r}")
        if callable(rule):
            self._plan(rule, f"the vjp rule for {name!r}")
            _rename(rule, f"{self.name}_vjp_{name}")
        elif rule is not None and rule is not zero:
            raise OpError(
                f"the vjp rule for {name!r} of op {self.name!r} is {rule!r}; expected a function, jt.zero or None"
            )
        self.rules[name] = rule
        self._reset()

    def _decorators(self) -> dict[str, Any]:
        def vjp(name: str) -> Any:
            def add(rule: Any) -> Any:
                self.add_rule(name, rule)
                return rule

            return add

        def vjp_all(rule: Any) -> Any:
            self._plan(rule, "vjp_all", ("needs",))
            self.rule_for_all = _rename(rule, f"{self.name}_vjp_all")
            self._reset()
            return rule

        def jvp(rule: Any) -> Any:
            self.jvp_rule = _rename(rule, f"{self.name}_jvp")
            return rule

        def batch(rule: Any) -> Any:
            self.batch_rule = _rename(rule, f"{self.name}_batch")
            return rule

        def check(rule: Any) -> Any:
            self.check_rule = rule
            return rule

        def aux(name: str) -> Any:
            if name not in self.aux:
                raise OpError(f"op {self.name!r} declares no aux {name!r} (aux={self.aux})")

            def add(rule: Any) -> Any:
                kinds = {kind for kind, _ in self._plan(rule, f"the formula of aux {name!r}")}
                if kinds & {G, OUTPUT, AUX}:
                    raise OpError(
                        f"the formula of aux {name!r} of op {self.name!r} may name inputs and attributes alone"
                    )
                self.aux_formulas[name] = _rename(rule, f"{self.name}_aux_{name}")
                return rule

            return add

        return {"vjp": vjp, "vjp_all": vjp_all, "jvp": jvp, "batch": batch, "check": check, "aux": aux, "op": self}

    def _reset(self) -> None:
        self.completed = False
        self._keep.clear()
        self.kernels.clear()

    def names(self) -> list[str]:
        """Every name that a rule of this op may take as a parameter."""
        metadata = [f"{i}_{m}" for i in self.inputs for m in METADATA]
        return ["g", "y", *self.inputs, *metadata, *self.attrs, *self.aux]

    def _plan(self, rule: Callable[..., Any], what: str, also: tuple[str, ...] = ()) -> _Plan:
        """Where each parameter of ``rule`` comes from; ``OpError`` for a name the op does not have."""
        plan: list[tuple[int, Any]] = []
        for p in parameters(rule):
            base, _, last = p.rpartition("_")
            if p == "g":
                plan.append((G, None))
            elif p == "y":
                plan.append((OUTPUT, len(self.inputs)))
            elif p in self.arrays:
                plan.append((INPUT, self.arrays.index(p)))
            elif p == self.variadic:
                plan.append((MANY, len(self.arrays)))
            elif p in self.aux:
                plan.append((AUX, p))
            elif p in self.attrs:
                plan.append((ATTR, p))
            elif base in self.arrays and last in METADATA:
                plan.append((SHAPE if last == "shape" else DTYPE, self.arrays.index(base)))
            elif base == self.variadic and last == "shape":
                plan.append((MANYMETADATA, len(self.arrays)))
            elif p in also:
                plan.append((NEEDS, None))
            else:
                raise OpError(
                    f"{what} of op {self.name!r} asks for {p!r}; known names are "
                    f"{', '.join([*self.names(), *also])}.{suggest(p, self.names())}"
                )
        return tuple(plan)

    def complete(self) -> None:
        """Compile the rules; runs once, before the first call links a kernel, and again when a rule is added."""
        if self.completed:
            return
        steps: list[tuple[int, Any, Any, int]] = []  # whole before it is seen: two threads may come here at once
        for i, name in enumerate(self.inputs):
            rule = self.rules.get(name)
            if callable(rule):
                plan = self._plan(rule, f"the vjp rule for {name!r}")
                kinds = tuple(kind for kind, _ in plan)
                how = ONLY_G if kinds == (G,) else G_INPUT if kinds == (G, INPUT) else plan
                if rule.__code__.co_code == PASSES:
                    how = SAME
                steps.append((i, rule, how, plan[-1][1] if how is G_INPUT else 0))
            elif rule is zero:
                steps.append((i, None, DONE, 0))
        plan_all = self._plan(self.rule_for_all, "vjp_all", ("needs",)) if self.rule_for_all else None
        if self.composite and plan_all is None:
            plan_all = tuple((INPUT, i) for i in range(len(self.arrays)))
            if self.variadic:
                plan_all += ((MANY, len(self.arrays)),)
        self.backward, self.plan_all = steps, plan_all
        self.direct = plan_all is None and self.variadic is None
        if self.is_simple:
            for mask in range(1, 4):
                tracked = (bool(mask & 1), bool(mask & 2))[: len(self.inputs)]
                rules = [self.rules.get(n, REQUIRED) for t, n in zip(tracked, self.inputs, strict=True) if t]
                if all(rule is None for rule in rules):
                    self.keep[mask] = CONSTANT
                else:
                    plain = self.direct and all(callable(rule) or rule is zero for rule in rules)
                    self.keep[mask] = self._flags(tracked) if plain else GENERAL
        self.completed = True

    @property
    def is_simple(self) -> bool:
        """Whether the fast closures may record by themselves: plain, and no rule asks for another input's shape."""
        cross = any(
            kind in (SHAPE, DTYPE) and k != i
            for i, name in enumerate(self.inputs)
            if callable(rule := self.rules.get(name))
            for kind, k in self._plan(rule, "")
        )
        return self.is_plain and not cross

    @property
    def is_plain(self) -> bool:
        """One or two arrays that are always there, one output, nothing aside."""
        special = self.aux or self.variadic or self.optional or self.composite or self.outputs > 1
        return not special and 1 <= len(self.inputs) <= 2

    def check_result(self, result: Any, arrays: tuple[Any, ...]) -> None:
        """Refuse a kernel's first result that is not what the op declares."""
        if hasattr(result, "dtype") and _kind(result) not in "fc" and any(_kind(a) in ("f", "c") for a in arrays):
            # It may round: ``record`` looks at each result then. Comparisons are constants already.
            self.keep[1:] = [k if k is CONSTANT else GENERAL for k in self.keep[1:]]
        y = result
        if self.aux:
            if type(result) is not tuple or len(result) != 1 + len(self.aux):
                raise OpError(
                    f"the forward of op {self.name!r} must return (y, {', '.join(self.aux)}), for its aux results"
                )
            y = result[0]
            for name, part in zip(self.aux, result[1:], strict=True):
                kind = dtype_of(part)
                if kind.kind in "fc" and name not in self.aux_formulas:
                    raise OpError(
                        f"aux {name!r} of op {self.name!r} is {kind}: kept as a constant it would make second derivatives "
                        f"wrong. Give its formula in ops, by @{self.name}.aux({name!r})"
                    )
        if type(y) is tuple and self.outputs != len(y):
            raise OpError(f"op {self.name!r} returned {len(y)} outputs: declare @op(outputs={len(y)})")
        if type(y) is not tuple and self.outputs > 1:
            raise OpError(
                f"op {self.name!r} declares {self.outputs} outputs and returned {type(y).__name__}, not a tuple"
            )
        for part in y if type(y) is tuple else (y,):
            if not hasattr(part, "shape") or not hasattr(part, "dtype") or type(part) is Tensor:
                raise OpError(
                    f"the forward of op {self.name!r} returned {type(part).__name__}; expected an array of its backend"
                )

    def _flags(self, tracked: tuple[bool, ...]) -> tuple[int, ...] | None:
        """For each saved slot (inputs, output, aux): 0 nothing, 1 the array, 2 its shape and dtype; None: all 0."""
        flags = [0] * (len(self.inputs) + 1 + len(self.aux))
        plans = [self._plan(rule, "") for i, rule, _, _ in self.backward if rule and tracked[i]]
        if self.plan_all and any(tracked):
            plans = [self.plan_all]
        for kind, k in (entry for plan in plans for entry in plan):
            if kind in (INPUT, OUTPUT, MANY):
                flags[k] = 1
            elif kind == AUX:
                flags[len(self.inputs) + 1 + self.aux.index(k)] = 1
                for p in parameters(self.aux_formulas[k]) if k in self.aux_formulas else ():
                    if p in self.inputs:
                        flags[self.inputs.index(p)] = 1
            elif (kind in (SHAPE, DTYPE) and not tracked[k]) or kind == MANYMETADATA:
                flags[k] = flags[k] or 2
        return tuple(flags) if any(flags) else None

    def bound_forward(self, xp: Any) -> Any:
        """The kernel that a namespace gives: its function of this name, or the forward with ``xp`` bound."""
        if self.composite:
            return None
        by_position = self.signature.positional
        if by_position:  # kernels get attributes by name; this forward wants these by position
            forward = cast(Any, self.forward)
            return lambda *arrays, **attrs: forward(xp, *arrays, *map(attrs.pop, by_position), **attrs)
        if self.forward is not None:
            return partial(self.forward, xp)
        kernel = getattr(xp, self.name, None)
        if kernel is None:
            raise BackendError(
                f"op {self.name!r}: {xp.__name__} has no such function; register a kernel for its backend"
            )
        return kernel

    # -- calling ----------------------------------------------------------------------------------------------------

    def apply(self, arrays: tuple[Any, ...], attrs: dict[str, Any], *, with_aux: bool = False) -> Any:
        """Call the op on any operands: find who computes, lift the rest, run the kernel, record."""
        data, nodes, kernel = self.resolve(arrays)
        if kernel is None:  # a composite without a kernel on this backend
            return cast(Any, self.forward)(*map(self.operand, arrays), **attrs)
        try:
            result = kernel(*data, **attrs)
        except Exception as e:
            explain(self, e, arrays)
            raise
        y, aux = (result[0], result[1:]) if self.aux else (result, ())
        made = self.record(nodes, data, attrs, y, aux)
        return (made, tuple(Tensor(a) for a in aux)) if with_aux else made

    def resolve(self, arrays: tuple[Any, ...]) -> tuple[list[Any], list[Any], Any]:
        """The operands' data for the deepest owner among them, their nodes at its level, and its kernel."""
        cls: Any = None
        data, nodes = [], []
        for x in arrays:
            if type(x) is Tensor:
                data.append(x.data)
                nodes.append(x.node)
                if type(x.data) is not cls:
                    if cls is not None:
                        return self._resolve_any(arrays)
                    cls = type(x.data)
            elif type(x) in SCALARS or (x is None and self.optional):
                data.append(x)
                nodes.append(None)
            else:
                return self._resolve_any(arrays)
        return (data, nodes, self.kernels[cls]) if cls else self._resolve_any(arrays)

    def _resolve_any(self, arrays: tuple[Any, ...]) -> tuple[list[Any], list[Any], Any]:
        """``resolve`` of operands of several classes, or of Python scalars alone."""
        operands = [self.operand(x) for x in arrays]
        if not self.optional and any(x is None for x in operands):
            raise DTypeError(f"{self.name}() got None where it needs an array: {self.signature}")
        if not any(type(x) is Tensor for x in operands):  # the default device computes
            target = devices.device()
            make = target.backend.asarray
            operands = [Tensor(make(x, index=target.index)) if type(x) in SCALARS else x for x in operands]
        tensors = [x for x in operands if type(x) is Tensor]
        if not tensors:
            raise OpError(f"{self.name}() needs at least one array: {self.signature}")
        first = max(tensors, key=lambda x: owner(type(x.data)).depth)
        who = owner(type(first.data))
        mine = [type(x) is Tensor and owner(type(x.data)) is who for x in operands]
        if not who.depth and sum(mine) < len(tensors):
            raise mismatch(self, operands)
        data = [x.data if m else who.lift(x) if type(x) is Tensor else x for x, m in zip(operands, mine, strict=True)]
        nodes = [x.node if m else None for x, m in zip(operands, mine, strict=True)]
        return data, nodes, self.kernels[type(first.data)]

    def operand(self, x: Any) -> Any:
        """A Tensor or a weak Python scalar of what the user passed."""
        if type(x) is Tensor or type(x) in RAW:
            return x
        if any(c.__name__ == "generic" and c.__module__ == "numpy" for c in type(x).__mro__):
            return x.item()
        if isinstance(x, (bool, int, float, complex)):
            return next(cast(Any, cls)(x) for cls in (bool, int, float, complex) if isinstance(x, cls))
        try:
            who = owner(type(x))
            return Tensor(x if who.depth else who.asarray(x, index=who.index_of(x)))  # a subclass becomes a plain array
        except BackendError:
            if not backends.BACKENDS or type(x).__module__.partition(".")[0] in ("numpy", "cupy"):
                raise  # an array, of a library whose backend is missing
            raise DTypeError(
                f"{self.name}() takes Tensors, arrays of an installed backend and Python numbers; got "
                f"{type(x).__qualname__}. Make a tensor of it first: jt.asarray(...)."
            ) from None

    def record(
        self, nodes: list[Any], data: list[Any], attrs: dict[str, Any], y: Any, aux: tuple[Any, ...] = ()
    ) -> Any:
        """Wrap the kernel's result, with a node where an input is tracked and has a rule."""
        several = self.outputs > 1
        tracked = tuple([n is not None for n in nodes])
        if True in tracked and (not modes or is_recording()):
            n = len(self.arrays)
            key = (*tracked[:n], True in tracked[n:]) if self.variadic else tracked
            if key not in self._keep:
                self._keep[key] = (groups := self._differentiable(key)), self._flags(groups)
            groups, flags = self._keep[key]
            if groups != key:
                nodes = [node if groups[min(i, n)] else None for i, node in enumerate(nodes)]
            # Integers and booleans have no gradient, so what made them is a constant.
            if True in groups and (several or dtype_of(y).kind in "fc"):
                saved: tuple[Any, ...] = ()
                if flags is not None:
                    values = (*data[:n], *((tuple(data[n:]),) if self.variadic else ()), y, *aux)
                    saved = tuple(
                        [(v if f == 1 else _meta(v)) if f else None for v, f in zip(values, flags, strict=True)]
                    )
                if not several:
                    return Tensor(y, Node(self, tuple(nodes), saved, attrs, y))
                call = MultiNode(self, tuple(nodes), saved, attrs, y)
                return tuple(Tensor(part, Output(call, i)) for i, part in enumerate(y))
        return tuple(Tensor(part) for part in y) if several else Tensor(y)

    def _differentiable(self, groups: tuple[bool, ...]) -> tuple[bool, ...]:
        """Which tracked inputs are no constants; refuses one that has no rule."""
        if self.rule_for_all is not None or self.composite:
            return groups
        for i, (name, tracked) in enumerate(zip(self.inputs, groups, strict=True)):
            rule = self.rules.get(name, REQUIRED)
            if tracked and rule is REQUIRED:
                raise GradientError(
                    f"{self.name}() has no derivative rule for its input {name!r}, and {name!r} requires a gradient here. "
                    f"Detach it ({name}.detach()), or give the op a rule: vjp={{{name!r}: ...}} "
                    f"(jt.zero where it is zero, None for a constant)."
                )
            if tracked and rule is None:
                groups = (*groups[:i], False, *groups[i + 1 :])
        return groups

    # -- backward ---------------------------------------------------------------------------------------------------

    def arguments(self, node: Any, plan: _Plan, g: Any, record: bool, needs: Any = None) -> list[Any]:
        """The values of a rule's parameters."""
        args = []
        for kind, k in plan:
            if kind == G:
                args.append(g)
            elif kind == INPUT:
                v = node.saved[k]
                args.append(v if type(v) in RAW else Tensor(v, node.parents[k] if record else None))
            elif kind == NEEDS:
                args.append(needs)
            else:
                args.append(self._fetch(node, kind, k, g, record))
        return args

    def _fetch(self, node: Any, kind: int, k: Any, g: Any, record: bool) -> Any:
        """The value of one parameter of a rule that is neither g nor an input."""
        saved, parents = node.saved, node.parents
        if kind == OUTPUT:
            if type(node) is MultiNode:
                return tuple(Tensor(v, Output(node, i) if record else None) for i, v in enumerate(saved[k]))
            return Tensor(saved[k], node if record else None)
        if kind == ATTR:
            return node.attrs[k] if k in node.attrs else self.attrs[k]
        if kind in (SHAPE, DTYPE):
            meta = parents[k] if parents[k] is not None else saved[k]
            if kind == SHAPE:
                return () if type(meta) in RAW else tuple(meta.shape)
            like = g[0] if type(g) is tuple else g
            return owner(type(like.data)).core_dtype(meta.dtype) if type(meta) not in RAW else None
        if kind == AUX:
            v = saved[len(self.inputs) + 1 + self.aux.index(k)]
            if k in self.aux_formulas and (record or owner(type(v)).depth):
                formula = self.aux_formulas[k]
                plan = self._plan(formula, f"the formula of aux {k!r}")
                return formula(*self.arguments(node, plan, g, record))
            return Tensor(v)
        if kind == MANY:
            values, several = saved[k], parents[k:]
            return tuple(
                v if type(v) in RAW else Tensor(v, p if record else None) for v, p in zip(values, several, strict=True)
            )
        return tuple(() if type(v) in RAW else tuple(v.shape) for v in saved[k])  # MANYMETADATA

    def pull_all(self, node: Any, g: Any, record: bool, needed: Any) -> list[tuple[int, Any, Any, int]]:
        """The steps where gradients come together: ``vjp_all``, a composite's own vjp, the rule of ``*arrays``."""
        parents = node.parents
        n = len(self.arrays)
        wanted = [p is not None and (needed is None or p in needed) for p in parents]
        if self.plan_all is not None:
            needs = (*wanted[:n], any(wanted[n:])) if self.variadic else tuple(wanted)
            args = self.arguments(node, self.plan_all, g, record, needs)
            if self.rule_for_all is None:
                found = self._pull_composite(args, wanted, g, record, node.attrs)
            else:
                found = self.rule_for_all(*args)
                if self.variadic:
                    found = [*found[:n], *(found[n] if found[n] is not None else [None] * (len(parents) - n))]
            self._check_length(found, parents)
            return [(i, r, DONE, 0) for i, r in enumerate(found)]
        steps = [step for step in self.backward if step[0] < n]
        for i, rule, _, _ in self.backward:
            if i == n and any(wanted[n:]):
                plan = self._plan(rule, "") if rule else ()
                found = [None] * n + (
                    list(rule(*self.arguments(node, plan, g, record))) if rule else [None] * (len(parents) - n)
                )
                self._check_length(found, parents)
                steps += [(j, found[j], DONE, 0) for j in range(n, len(parents))]
        return steps

    def _check_length(self, found: list[Any], parents: tuple[Any, ...]) -> None:
        if len(found) != len(parents):
            raise OpError(f"a vjp rule of op {self.name!r} returned {len(found)} gradients for {len(parents)} inputs")

    def _pull_composite(self, args: list[Any], wanted: list[bool], g: Any, record: bool, attrs: Any) -> list[Any]:
        """A composite's rule is its own vjp, recomputed from ops."""
        n = len(self.arrays)
        flat = args[:n] + (list(args[n]) if self.variadic else [])
        own = [Tensor(x.data, Identity(x.data, () if x.node is None else (x.node,))) if w else x
               for x, w in zip(flat, wanted, strict=True)]  # fmt: skip
        with graph.enable_grad():
            y = cast(Any, self.forward)(*own, **attrs)
        several = isinstance(y, tuple)
        leaves = [x.node for x, w in zip(own, wanted, strict=True) if w]
        found = graph.grad(y if several else [y], leaves, g if several else [g], record=record)
        for node in leaves:
            node.done = True
        gradients = iter(cast(list[Any], found))
        return [next(gradients) if w else None for w in wanted]

    def unbroadcast(self, r: Tensor, parent: Any) -> Tensor:
        """Undo broadcasting in the gradient of an elementwise op's input; any other op must return the exact shape."""
        if self.elementwise:
            return graph.ops.sum_to(r, tuple(parent.shape))  # type: ignore[no-any-return]
        raise ShapeError(
            f"a vjp rule of op {self.name!r} returned a gradient of shape {r.shape} for an input of shape "
            f"{tuple(parent.shape)}; it must be the input's exact shape (only elementwise=True ops may broadcast)"
        )


def _kind(a: Any) -> str:
    return dtype_of(a).kind if hasattr(a, "dtype") else ""


@final
class Meta:
    """Shape and dtype of an input of which nothing else is kept."""

    __slots__ = ("dtype", "shape")

    def __init__(self, data: Any) -> None:
        self.shape, self.dtype = data.shape, data.dtype


def _meta(v: Any) -> Any:
    return tuple(map(_meta, v)) if type(v) is tuple else v if type(v) in RAW else Meta(v)


def _rename(function: Any, name: str) -> Any:
    """A lambda in a table gets a name that means something in a traceback."""
    if getattr(function, "__name__", "") == "<lambda>":
        function.__name__ = function.__qualname__ = name
        function.__code__ = function.__code__.replace(co_name=name, co_qualname=name)
    return function


# -- the closures by arity: what a user calls, and what Tensor's operators are -----------------------------------------


def _unary(op: Op) -> Callable[..., Any]:
    """One array, no attributes."""
    kernels, keep = op.kernels, op.keep

    def call(x: Any, /) -> Any:
        if type(x) is not Tensor:
            return op.apply((x,), {})
        data, node = x.data, x.node
        try:
            y = kernels[type(data)](data)
        except Exception as e:
            explain(op, e, (x,))
            raise
        if node is None or (modes and not is_recording()):
            return Tensor(y)
        flags = keep[1]
        if flags is None:
            return Tensor(y, Node(op, (node,), (), {}, y))
        if type(flags) is not tuple:
            return Tensor(y) if flags is CONSTANT else op.record([node], [data], {}, y)
        return Tensor(y, Node(op, (node,), (data if flags[0] else None, y if flags[1] else None), {}, y))

    return call


def _binary(op: Op) -> Callable[..., Any]:
    """Two arrays, no attributes: Tensors of one class, or a Tensor and a Python scalar; everything else by ``apply``."""
    kernels, keep = op.kernels, op.keep

    def call(x1: Any, x2: Any, /) -> Any:
        constants: Any = ()  # a Python scalar costs nothing to keep, and a picture can show it
        if type(x1) is Tensor:
            a, n1 = x1.data, x1.node
            if type(x2) is Tensor:
                b, n2 = x2.data, x2.node
                key: Any = type(a) if type(a) is type(b) else (type(a), type(b))
            elif type(x2) in SCALARS:
                b, n2, key, constants = x2, None, type(a), (None, x2, None)
            else:
                return op.apply((x1, x2), {})
        elif type(x2) is Tensor and type(x1) in SCALARS:
            a, n1, b, n2, key, constants = x1, None, x2.data, x2.node, type(x2.data), (x1, None, None)
        else:
            return op.apply((x1, x2), {})
        try:
            y = kernels[key](a, b)
        except MixedOwners:
            return op.apply((x1, x2), {})
        except Exception as e:
            explain(op, e, (x1, x2))
            raise
        if n1 is None:
            if n2 is None:
                return Tensor(y)
            flags = keep[2]
        else:
            flags = keep[1] if n2 is None else keep[3]
        if modes and not is_recording():
            return Tensor(y)
        if flags is None:
            return Tensor(y, Node(op, (n1, n2), constants, {}, y))
        if type(flags) is not tuple:
            return Tensor(y) if flags is CONSTANT else op.record([n1, n2], [a, b], {}, y)
        saved = (a if flags[0] else None, b if flags[1] else None, y if flags[2] else None)
        return Tensor(y, Node(op, (n1, n2), saved, {}, y))

    return call


def _attributed(op: Op) -> Callable[..., Any]:
    """One array and attributes."""
    kernels, keep, known = op.kernels, op.keep, op.attrs.keys()
    required = [k for k, d in op.attrs.items() if d is REQUIRED]
    first = next(iter(known))
    converts = "dtype" in known  # then the result may be of integers
    alone = required in ([], [first])

    def call(*args: Any, **attrs: Any) -> Any:
        if alone and not attrs and len(args) == 2:  # reshape(x, shape): 0.2 us, 1.5 in bind
            attrs = {first: args[1]}
        elif len(args) != 1 or required or not attrs.keys() <= known:
            args, attrs = op.signature.bind(args, attrs)
        x = args[0]
        for value in attrs.values():
            if type(value) is Tensor:
                op.signature.bind(args, attrs)
        if type(x) is not Tensor:
            return op.apply((x,), attrs)
        data, node = x.data, x.node
        try:
            y = kernels[type(data)](data, **attrs)
        except Exception as e:
            explain(op, e, (x,))
            raise
        if node is None or (modes and not is_recording()):
            return Tensor(y)
        flags = keep[1]
        if converts and "dtype" in attrs:
            return op.record([node], [data], attrs, y)
        if flags is None:
            return Tensor(y, Node(op, (node,), (), attrs, y))
        if type(flags) is not tuple:
            return Tensor(y) if flags is CONSTANT else op.record([node], [data], attrs, y)
        return Tensor(y, Node(op, (node,), (data if flags[0] else None, y if flags[1] else None), attrs, y))

    return call


def _general(op: Op) -> Callable[..., Any]:
    """Any signature."""
    bare = len(op.arrays) if op.signature.bare else -1

    def call(*args: Any, **attrs: Any) -> Any:
        if attrs or len(args) != bare:
            args, attrs = op.signature.bind(args, attrs)
        return op.apply(args, attrs)

    return call


# -- declaring ------------------------------------------------------------------------------------------------------


def make(op: Op, forward: Callable[..., Any] | None = None) -> Any:
    """The public function of ``op``: the closure for its arity, with the op and its decorators as attributes."""
    if op.is_plain and not op.attrs:
        call = (_unary if len(op.arrays) == 1 else _binary)(op)
    elif op.is_plain and len(op.arrays) == 1:
        call = _attributed(op)
    else:
        call = _general(op)
    call.__name__ = call.__qualname__ = op.name
    call.__doc__ = op.__doc__
    call.__module__ = getattr(forward, "__module__", __name__)
    call.__dict__.update(op._decorators(), __wrapped__=shown(forward, op.signature, op.composite))
    return call


@overload
def op(forward: Callable[Concatenate[Any, P], Any], /) -> OpFunction[P]: ...
@overload
def op(*, composite: Literal[True], **options: Any) -> Callable[[Callable[P, Any]], OpFunction[P]]: ...
@overload
def op(
    *,
    name: str | None = None,
    vjp: Mapping[str, Any] | Callable[..., Any] | Zero | None = None,
    elementwise: bool = False,
    linear: Iterable[str] = (),
    aux: Iterable[str] = (),
    outputs: int = 1,
    attrs: tuple[str, ...] = (),
    domain: Any = None,
    samples: Callable[..., Any] | None = None,
) -> Callable[[Callable[Concatenate[Any, P], Any]], OpFunction[P]]: ...
def op(forward: Any = None, /, **options: Any) -> Any:
    """Declare an op: the decorated function is its forward, and becomes the function that users call.

    ``vjp``: a rule per array input, by name (a function, ``jt.zero``, or None for a constant; a single rule where there is
    one input). ``elementwise``: outputs broadcast the inputs; the loop undoes it. ``linear``: inputs in which the op is
    linear (forward mode maps a tangent through the op itself). ``aux``: extra results of the forward that rules may name
    and users do not see. ``outputs``: how many the forward returns, as a tuple. ``attrs``: positional-only parameters
    that are attributes. ``composite``: a plain function of ops, without ``xp``; it needs no rule. ``domain`` or
    ``samples``: test data for the conformance kit.

    >>> import jitrench_core as jt
    >>> @jt.op(elementwise=True, vjp={"x": lambda g, x: g / (1 + abs(x)) ** 2})
    ... def softsign(xp, x, /):
    ...     "x / (1 + |x|), elementwise."
    ...     return x / (1 + xp.abs(x))
    >>> softsign(jt.tensor([-1.0, 3.0]))
    Tensor([-0.5 ,  0.75])

    Raises ``OpError`` where the signature or a rule is not well declared.
    """
    if forward is None:
        return partial(_declare, **options)
    return _declare(forward, **options)


def _declare(forward: Any, *, name: str | None = None, attrs: tuple[str, ...] = (), **options: Any) -> Any:
    composite = options.get("composite", False)
    signature = Signature.read(forward, name or forward.__name__, composite=composite, attrs=attrs)
    return make(Op(forward, signature, forward.__doc__ or "", **options), forward)


def unary(name: str, doc: str, *, vjp: Any, **options: Any) -> OpFunction[[Any]]:
    """A row of a table: an elementwise function of ``x`` whose kernel is the namespace's function of that name."""
    made: OpFunction[[Any]] = make(Op(None, Signature(name, ("x",)), doc, vjp={"x": vjp}, elementwise=True, **options))
    return made


def binary(name: str, doc: str, *, vjp: Mapping[str, Any], **options: Any) -> OpFunction[[Any, Any]]:
    """A row of a table: an elementwise function of ``x1`` and ``x2``."""
    signature = Signature(name, ("x1", "x2"))
    made: OpFunction[[Any, Any]] = make(Op(None, signature, doc, vjp=vjp, elementwise=True, **options))
    return made
