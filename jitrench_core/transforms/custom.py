"""Functions with derivatives of their own, ``custom_gradient``, and with none, ``stop_gradient``.

A call of a custom function is one op, made for it: the engine and the interpreters treat it as any other. Its rules run on
watched values (``interpreters/trace.py``) where they may be differentiated again: a rule that leaves the graph is found out,
whatever its result looks like, and raises as soon as someone differentiates through it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import update_wrapper
from types import MethodType
from typing import Any, final

from .. import graph
from ..errors import ClosureError, GradientError, OpError, ShapeError, suggest
from ..interpreters import Payload, Run
from ..interpreters.trace import CustomLevel, Watch, depth
from ..op import Op, op
from ..ops.creation import asarray, zeros_like
from ..ops.reductions import sum as sum_
from ..ops.shapes import astype, broadcast_to, expand_dims
from ..signature import Signature, parameters
from ..tensor import Tensor
from .batching import vmap
from .tree import flatten, partners


@op(name="stop_gradient", elementwise=True, vjp={"x": None})
def _stopped(xp: Any, x: Any, /) -> Any:
    """x, as a constant."""
    return x


def stop_gradient(x: Any) -> Any:
    """x with derivative zero, in every mode and to every order; x may be a container, and what is no Tensor stays as it is.

    ``x.detach()`` does the same to one tensor. In a rule of ``custom_gradient`` the two differ: there ``detach`` leaves the
    graph, which raises where the rule is differentiated, and ``stop_gradient`` says that zero is meant.

    >>> import jitrench_core as jt
    >>> jt.grad(lambda x: x * jt.stop_gradient(x))(3.0)
    Tensor(3.)
    """
    leaves, rebuild = flatten(x)
    return rebuild([_stopped(leaf) if type(leaf) is Tensor else leaf for leaf in leaves])


# -- rules that leave the graph ---------------------------------------------------------------------------------------


@op(name="left_the_graph", attrs=())
def _left(xp: Any, /, *arrays: Any, who: str, how: str) -> Any:
    """The first array, which should depend on the others and does not."""
    return arrays[0]


def _refuse(who: str, how: str) -> GradientError:
    return GradientError(
        f"{who} takes values out of the graph by {how}, so its own derivative is not known: it cannot be differentiated "
        f"again, nor transposed for forward mode. Compute it with jt's functions; wrap what is a constant there in "
        f"jt.stop_gradient; for forward mode give the function a jvp rule"
    )


@_left.vjp_all
def _(g: Any, who: str, how: str) -> Any:
    raise _refuse(who, how)


@_left.jvp
def _(primals: Any, tangents: Any, *, who: str, how: str) -> Any:
    raise _refuse(who, how)


@_left.batch
def _(batched: Any, *values: Any, who: str, how: str) -> Any:
    first = values[0]
    if not batched[0]:
        size = next(x.shape[0] for x, b in zip(values, batched, strict=True) if b)
        first = broadcast_to(expand_dims(first, axis=0), (size, *first.shape))
    return _left(first, *values[1:], who=who, how=how)


@final
class _Leaving(Watch):
    """Notes how a rule left the graph."""

    __slots__ = ("how",)

    def __init__(self) -> None:
        super().__init__()
        self.how = ""

    def leaves(self, how: str) -> None:
        self.how = how


def moving(x: Tensor) -> bool:
    """Whether some transform or backward may differentiate by x."""
    if x.node is not None or getattr(x.data, "tangent", None) is not None:
        return True
    return isinstance(x.data, Payload) and moving(x.data.value)


def watched(rule: Callable[[Any], Any], values: Any, who: str) -> list[Tensor | None]:
    """The results of a rule; where it left the graph, they refuse to be differentiated by what it got."""
    flat, rebuild = flatten(values)
    inputs = [x for x in flat if moving(x)]
    if not inputs:
        return rule(values)  # type: ignore[no-any-return]
    watch = _Leaving()
    with CustomLevel.enter() as run:
        run.watch = watch
        traced = run.level.cls
        made = rule(rebuild([Tensor(traced(run, x)) for x in flat]))
        run.level.run_of(tuple(x.data for x in made if x is not None))
    found = [x.data.value if x is not None and type(x.data) is traced else x for x in made]
    if not watch.how:
        return found
    return [None if x is None else _left(x, *inputs, who=who, how=watch.how) for x in found]


# -- the call of a custom function as an op -----------------------------------------------------------------------------


@final
class _NoClosures(Watch):
    """Refuses tensors whose gradient the rule would not give."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def constant(self, x: Tensor, origin: Run | None) -> Tensor:
        if depth(x) or (x.node is not None and graph.recording()):
            raise _closure(self.name)
        return x


def _closure(name: str) -> ClosureError:
    return ClosureError(
        f"custom_gradient: {name} uses a tensor from around it that requires a gradient, or that belongs to a transform "
        f"around it, and its rule has none for that tensor: pass it as an argument"
    )


@final
class _Flat:
    """A custom function and its rules on flat lists of tensors: ``forward(xs)``, ``pull(gs, ys, xs)``, ``push(ts, ys, xs)``."""

    __slots__ = ("asks", "forward", "name", "pull", "push")

    def __init__(self, name: str, forward: Any, pull: Any, push: Any, asks: tuple[bool, bool]) -> None:
        self.name = name
        self.forward = forward
        self.pull = pull
        self.push = push
        self.asks = asks  # whether pull looks at y, and at the arguments

    def batched(self, axes: list[int | None]) -> _Flat:
        """The same for a batch of examples: the gradient of an argument that all of them share is the sum over them."""
        pull, push = self.pull, self.push

        def pull_all(gs: Any, ys: Any, xs: Any) -> list[Tensor | None]:
            found = vmap(pull, in_axes=(0, 0, axes if xs else 0))(gs, ys, xs)
            shared = zip(found, axes, strict=True)
            return [sum_(r, axis=0) if axis is None and r is not None else r for r, axis in shared]

        def push_all(ts: Any, ys: Any, xs: Any) -> Any:
            return vmap(push, in_axes=(axes, 0, axes))(ts, ys, xs)

        forward = vmap(self.forward, in_axes=(axes,))
        return _Flat(self.name, forward, pull and pull_all, push and push_all, self.asks)

    def apply(self, arrays: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Call the function on tensors of any transform, as an op of its own."""
        made = self._op()
        try:
            result = made.apply(tuple(arrays), {})
        finally:
            # The op belongs to this call; backward needs its vjp rule alone, and without cycles it dies with its node.
            made.kernels.clear()
            made.kernels.op = None  # type: ignore[assignment]
            made.forward = made.jvp_rule = made.batch_rule = None
        return result if made.outputs > 1 else (result,)

    def _op(self) -> Op:
        declared = Signature(self.name, ())
        declared.variadic, declared.inputs = "arrays", ("arrays",)

        def forward(xp: Any, /, *arrays: Any) -> Any:
            found = self._run([Tensor(a) for a in arrays])
            made.outputs = len(found)
            return tuple(found) if len(found) > 1 else found[0]

        made = Op(forward, declared, f"{self.name}, with derivatives of its own.")
        rules = made._decorators()

        def several(y: Any) -> list[Tensor]:
            return list(y) if type(y) is tuple else [y]

        def pull(g: Any, y: Any, arrays: Any) -> Any:
            given = (several(g), None if y is None else several(y), None if arrays is None else list(arrays))
            return (watched(lambda v: self.pull(*v), given, f"the vjp rule of {self.name}"),)

        asked: Any = {
            (False, False): lambda g: pull(g, None, None),
            (False, True): lambda g, arrays: pull(g, None, arrays),
            (True, False): lambda g, y: pull(g, y, None),
            (True, True): pull,
        }
        if self.pull is not None:
            rules["vjp_all"](asked[self.asks])
        if self.push is not None:

            def push(primals: Any, tangents: Any) -> Any:
                y = made.apply(primals, {})
                ts = [
                    None if x.dtype.kind not in "fc" else zeros_like(x) if t is None else t
                    for x, t in zip(primals, tangents, strict=True)
                ]
                given = (ts, several(y), list(primals))
                dy = watched(lambda v: self.push(*v), given, f"the jvp rule of {self.name}")
                return y, tuple(dy) if made.outputs > 1 else dy[0]

            rules["jvp"](push)

        def batch(batched: tuple[bool, ...], *values: Tensor) -> Any:
            found = self.batched([0 if b else None for b in batched]).apply(values)
            made.outputs = len(found)
            return found if len(found) > 1 else found[0]

        rules["batch"](batch)
        return made

    def _run(self, xs: list[Tensor]) -> list[Any]:
        """The arrays that f returns."""
        with CustomLevel.enter() as run:
            run.watch = _NoClosures(self.name)
            traced = run.level.cls
            found = self.forward([Tensor(traced(run, x)) for x in xs])
            run.level.run_of(tuple(x.data for x in found))
        values = [x.data.value if type(x.data) is traced else x for x in found]
        if any(depth(x) or (x.node is not None and graph.recording()) for x in values):
            raise _closure(self.name)
        return [x.data for x in values]


# -- what users write ---------------------------------------------------------------------------------------------------


@final
class CustomGradient:
    """A function with derivatives of its own: see ``custom_gradient``."""

    def __init__(self, f: Callable[..., Any]) -> None:
        from inspect import Parameter, signature  # here, because the module takes 5 ms to import

        update_wrapper(self, f)
        self._f = f
        self._signature = signature(f)
        kinds = {p.name: p.kind for p in self._signature.parameters.values()}
        before = [name for name, kind in kinds.items() if kind is Parameter.POSITIONAL_ONLY]
        others = [n for n, k in kinds.items() if k in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.VAR_POSITIONAL)]
        self._arrays = before or others
        self._names = list(kinds)
        self._vjp: Any = None
        self._jvp: Any = None
        self._label = getattr(f, "__name__", type(f).__name__)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def vjp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Declare the gradient; as a decorator."""
        self._vjp = self._checked(rule, "vjp", "g")
        return rule

    def jvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Declare the derivative in forward mode; as a decorator."""
        self._jvp = self._checked(rule, "jvp", "t")
        return rule

    def _checked(self, rule: Any, kind: str, first: str) -> Any:
        if not callable(rule) or not hasattr(rule, "__code__"):
            raise OpError(f"the {kind} rule of {self._label} is {rule!r}; expected a function")
        known = [first, "y", *self._names]
        if taken := [name for name in (first, "y") if name in self._names]:
            raise OpError(
                f"{self._label} has a parameter {taken[0]!r}, which in its {kind} rule means "
                f"{'its result' if taken[0] == 'y' else 'what comes in'}: give the parameter another name"
            )
        if unknown := [p for p in parameters(rule) if p not in known]:
            raise OpError(
                f"the {kind} rule of {self._label} asks for {unknown[0]!r}; known names are {', '.join(known)}."
                f"{suggest(unknown[0], known)}"
            )
        return rule

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._vjp is None and self._jvp is None:
            raise OpError(f"{self._label} has no derivative yet: declare one, @{self._label}.vjp above a function of g")
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        flat, rebuild = flatten(dict(bound.arguments))
        owner_of = [name for name, value in bound.arguments.items() for _ in flatten(value)[0]]
        flat = [asarray(x) if hasattr(x, "shape") and hasattr(x, "dtype") else x for x in flat]
        places = [i for i, x in enumerate(flat) if type(x) is Tensor]
        if not places:
            return self._f(*bound.args, **bound.kwargs)
        for i in places:
            if owner_of[i] not in self._arrays and moving(flat[i]) and graph.recording():
                raise GradientError(
                    f"{self._label}() got a tensor that requires a gradient for {owner_of[i]!r}, which is an attribute: its rule "
                    f"gives gradients of {', '.join(self._arrays)} alone. Detach it, or make it a parameter before '/'"
                )
        if self._vjp is None and any(flat[i].node is not None for i in places) and graph.recording():
            raise GradientError(
                f"{self._label}() has a jvp rule alone, and an argument requires a gradient: add @{self._label}.vjp"
            )
        call = _Bound(self, [None if i in places else x for i, x in enumerate(flat)], places, rebuild, owner_of)
        asked = parameters(self._vjp) if self._vjp else ()
        asks = ("y" in asked, any(name in asked for name in self._names))
        run = _Flat(self._label, call.forward, self._vjp and call.pull, self._jvp and call.push, asks)
        found = run.apply([flat[i] for i in places])
        return call.build([y if y.dtype.kind in "fc" else Tensor(y.data) for y in found])


@final
class _Bound:
    """One call's arguments: how flat lists of tensors become what f and its rules are written for, and back."""

    __slots__ = ("build", "custom", "owner_of", "parts", "places", "rebuild")

    def __init__(
        self, custom: CustomGradient, parts: list[Any], places: list[int], rebuild: Any, owner_of: list[str]
    ) -> None:
        self.custom = custom
        self.parts = parts
        self.places = places
        self.rebuild = rebuild
        self.owner_of = owner_of
        self.build: Any = None

    def arguments(self, xs: Any, others: list[Any] | None = None) -> Any:
        """The arguments by name, with ``xs`` in the places of the tensors."""
        flat = list(self.parts if others is None else others)
        for i, x in zip(self.places, xs, strict=True):
            flat[i] = x
        return self.rebuild(flat)

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        from inspect import BoundArguments

        bound = BoundArguments(self.custom._signature, self.arguments(xs))
        found, self.build = flatten(self.custom._f(*bound.args, **bound.kwargs))
        if not found:
            raise OpError(f"custom_gradient: {self.custom._label} returned no tensor")
        return [asarray(y, device=xs[0].device if type(y) in (bool, int, float, complex) else None) for y in found]

    def _call(self, rule: Any, given: dict[str, Any]) -> Any:
        return rule(**{name: given[name] for name in parameters(rule)})

    def pull(self, gs: Any, ys: Any, xs: Any) -> list[Tensor | None]:
        """The vjp rule, on flat lists."""
        names = self.custom._arrays
        arguments = {} if xs is None else self.arguments(xs)
        y = None if ys is None else self.build(ys)
        found = self._call(self.custom._vjp, arguments | {"g": self.build(gs), "y": y})
        if len(names) == 1:
            found = (found,)
        if not isinstance(found, tuple) or len(found) != len(names):
            came = f"{len(found)}" if isinstance(found, tuple) else type(found).__name__
            raise OpError(
                f"the vjp rule of {self.custom._label} must return a tuple of {len(names)} gradients, for "
                f"{', '.join(names)} (None where one is zero or has none); got {came}"
            )
        structure = self.rebuild(list(range(len(self.parts))))
        flat: list[Any] = [None] * len(self.parts)
        for name, part in zip(names, found, strict=True):
            if part is not None:
                wanted = flatten(structure[name])[0]
                for i, r in zip(wanted, partners(structure[name], part, "gradient", f"argument {name!r}"), strict=True):
                    flat[i] = r
        device = gs[0].device
        made = [flat[i] for i in self.places]
        return [None if r is None else asarray(r, device=device if isinstance(r, (int, float)) else None) for r in made]

    def push(self, ts: Any, ys: Any, xs: Any) -> list[Tensor | None]:
        """The jvp rule, on flat lists."""
        names = self.custom._arrays
        tangents = self.arguments(ts, [0.0 if type(x) is float else None for x in self.parts])
        t = tangents[names[0]] if len(names) == 1 else tuple(tangents[name] for name in names)
        y = self.build(ys)
        moved = partners(y, self._call(self.custom._jvp, self.arguments(xs) | {"t": t, "y": y}), "tangent", "result")
        out: list[Tensor | None] = []
        for d, part in zip(moved, ys, strict=True):
            d = None if d is None else asarray(d, device=part.device if isinstance(d, (int, float)) else None)
            if d is not None and d.shape != part.shape:
                raise ShapeError(
                    f"the jvp rule of {self.custom._label} returned a tangent of shape {d.shape} for a result of shape {part.shape}"
                )
            out.append(d if d is None or d.dtype == part.dtype else astype(d, part.dtype))
        return out


def custom_gradient(
    f: Callable[..., Any] | None = None, *, vjp: Callable[..., Any] | None = None, jvp: Callable[..., Any] | None = None
) -> Any:
    """A function with derivatives of its own, to any order and under every transform; also as ``@jt.custom_gradient``.

    Its rules are declared below it, by ``@f.vjp`` and, where it pays, ``@f.jvp`` (or by ``vjp=`` and ``jvp=``). As in an
    op, a rule's parameter names say what it needs: ``g`` the incoming gradient, ``t`` the tangents, ``y`` f's result, and f's
    own parameters. The vjp rule returns one gradient per argument, as a tuple where f has several (None: zero), the jvp
    rule the tangent of the result; containers as f has them. f's arguments are its parameters before ``/``, or without a
    ``/`` all that are not keyword-only; the others are attributes. Without a jvp rule forward mode transposes the vjp.

    f itself may leave the graph, such as to call another library; a rule that does (by ``.numpy()``, ``float`` or
    ``.detach()``) raises where it is differentiated again. Rules hold no conj, as an op's.

    >>> import jitrench_core as jt
    >>> @jt.custom_gradient
    ... def log1pexp(x):
    ...     return jt.log(1.0 + jt.exp(x))
    >>> @log1pexp.vjp
    ... def log1pexp_vjp(g, x):
    ...     return g * jt.sigmoid(x)
    >>> jt.grad(log1pexp)(0.0), jt.grad(jt.grad(log1pexp))(0.0)
    (Tensor(0.5), Tensor(0.25))

    Raises ``GradientError`` where f uses a tracked tensor that is no argument, ``OpError`` where a rule asks for an
    unknown name or returns something else, ``ShapeError`` where a gradient has another shape than its argument.
    """
    if f is None:
        return lambda function: custom_gradient(function, vjp=vjp, jvp=jvp)
    if not callable(f):
        raise OpError(f"custom_gradient takes a function; got {type(f).__name__}")
    made = CustomGradient(f)
    if vjp is not None:
        made.vjp(vjp)
    if jvp is not None:
        made.jvp(jvp)
    return made
