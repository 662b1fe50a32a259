"""``checkpoint``: a part of a computation that keeps its arguments alone, and runs again when its derivatives are due.

f runs on watched values (``interpreters/trace.py``), of which nothing is recorded; tracked tensors that f takes from
around it are noted as they come, and count as further arguments. Its call is one node, whose rule is that of a
composite op: the vjp of f, run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from copy import copy
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, final

from .. import graph
from ..backend import active
from ..errors import OpError, TransformError
from ..interpreters import Run
from ..interpreters.trace import CheckpointLevel, Watch, chain, depth
from ..op import Op
from ..signature import Signature
from ..tensor import Tensor, assign
from .tree import flatten

if TYPE_CHECKING:
    from ..random import Generator

F = TypeVar("F", bound=Callable[..., Any])

# -- random numbers that come again -----------------------------------------------------------------------------------

_noting: ContextVar[tuple[Draws, ...]] = ContextVar("noting", default=())


@final
class Draws:
    """The random generators that a function draws from, and the layers' buffers that it may write, as they were before."""

    __slots__ = ("before", "child", "held")

    def __init__(self) -> None:
        self.before: dict[Generator, dict[str, Tensor]] = {}
        self.held: dict[int, tuple[Tensor, Any]] = {}
        self.child: Generator | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note every generator that moves in this block."""
        token = _noting.set((*_noting.get(), self))
        try:
            yield
        finally:
            _noting.reset(token)

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """In this block generators and buffers begin as they were when they were noted; afterwards they are as they are now."""
        now = [(generator, _state(generator)) for generator in self.before]
        held = [(x, x.data) for x, _ in self.held.values()]
        self.rewind()
        try:
            yield
        finally:
            for generator, state in now:
                generator.load_state(state)
            _write(held)

    def maker(self, generator: Generator) -> Generator:
        """A child of ``generator`` as it was, which has moved on since."""
        if self.child is None:
            before = copy(generator)
            before.load_state(self.before[generator])
            (self.child,) = before.split(1)
        return self.child

    def rewind(self) -> None:
        """Put generators and buffers back to what they were when they were noted."""
        for generator, state in self.before.items():
            generator.load_state(state)
        _write([*self.held.values()])


def moves(generator: Generator) -> None:
    """A generator says that it is about to move on."""
    for draws in _noting.get():
        if generator not in draws.before:
            draws.before[generator] = _state(generator)


def touched(buffer: Tensor) -> None:
    """A layer says that it may be about to write ``buffer``."""
    for draws in _noting.get():
        draws.held.setdefault(id(buffer), (buffer, buffer.data))


@contextmanager
def made_once(generator: Generator) -> Iterator[Generator]:
    """In this block a function makes what it makes in its first run only: from ``generator``, whose draws are not noted.

    Where others from it are, which come again without these, a child of it takes its place.
    """
    noting = _noting.get()
    token = _noting.set(())
    try:
        if noting and generator in noting[0].before:
            generator = noting[0].maker(generator)
        yield generator
    finally:
        _noting.reset(token)


def _write(held: list[tuple[Tensor, Any]]) -> None:
    with graph.no_grad():
        for x, data in held:
            assign(x, Tensor(data))


def _state(generator: Generator) -> dict[str, Tensor]:
    return {name: t.detach() for name, t in generator.state().items()}


# What else a function finds around it, and may change, such as the scope of layers' parameters: a function that notes how
# it is now, and returns a context manager that gives it back. Others append theirs.
surroundings: list[Callable[[], Callable[[], AbstractContextManager[Any]]]] = []

# -- the two runs of a function ---------------------------------------------------------------------------------------

_current: ContextVar[Run | None] = ContextVar("checkpoint", default=None)
UNTRACKED = -1  # in place of the number of an input


@final
class _First(Watch):
    """The first run: tracked tensors from outside become further inputs, and pass without their graph."""

    __slots__ = ("home", "inputs", "known", "order")

    def __init__(self, home: int, outer: Run | None) -> None:
        super().__init__(outer)
        self.home = home
        self.inputs: list[Tensor] = []
        self.known: dict[tuple[int, int], int] = {}
        self.order: list[int] = []

    def constant(self, x: Tensor, origin: Run | None) -> Tensor:
        if self.outer is not None and origin is not self.outer:
            x = self.outer.watch.constant(x, origin)
        if depth(x) != self.home:
            return x
        if x.node is None:
            self.order.append(UNTRACKED)
            return x
        key = (id(x.node), id(x.data))
        if key not in self.known:
            self.known[key] = len(self.inputs)
            self.inputs.append(Tensor(x.data, x.node))
        self.order.append(self.known[key])
        return Tensor(x.data)


@final
class _Again(Watch):
    """A later run: they come in the same order, and what was noted for each takes its place."""

    __slots__ = ("given", "home", "name", "order", "taken")

    def __init__(self, home: int, outer: Run | None, order: list[int], given: tuple[Tensor, ...], name: str) -> None:
        super().__init__(outer)
        self.home = home
        self.order = order
        self.given = given
        self.name = name
        self.taken = 0

    def constant(self, x: Tensor, origin: Run | None) -> Tensor:
        if self.outer is not None and origin is not self.outer:
            x = self.outer.watch.constant(x, origin)
        if depth(x) != self.home:
            return x
        self.taken += 1
        if self.taken > len(self.order):
            raise differs(self.name, "it met more tensors from around it")
        # Whether one is tracked is as it was then: a transform around this one may have ended since.
        place = self.order[self.taken - 1]
        if place == UNTRACKED:
            return Tensor(x.data)
        found = self.given[place]
        if found.shape != x.shape or found.dtype != x.dtype:
            raise differs(
                self.name, f"it met a {x.dtype} tensor of shape {x.shape} and not {found.dtype} {found.shape}"
            )
        return found


def differs(name: str, how: str) -> TransformError:
    return TransformError(
        f"checkpoint: {name} did not do the same when it ran again for its derivatives: {how}. It must compute the same "
        f"from the same arguments; random numbers of jt.random come again by themselves"
    )


@final
class _Call:
    """One call of a checkpointed function: what it takes to run it again."""

    __slots__ = ("around", "draws", "f", "home", "name", "order", "outer", "outputs", "parts", "places", "rebuild")

    def __init__(self, f: Callable[..., Any], flat: list[Any], rebuild: Any, outer: Run | None) -> None:
        self.f = f
        self.name = getattr(f, "__name__", type(f).__name__)
        self.rebuild = rebuild
        self.outer = outer
        self.home = len(active.get())
        self.draws = Draws()
        self.around = [note() for note in surroundings]
        # Tensors that nothing outside of the innermost transform has seen are inputs of the node; the rest is as it is.
        self.places = [i for i, x in enumerate(flat) if type(x) is Tensor and depth(x) == self.home]
        self.parts = [
            None if i in self.places else Tensor(x.data, x.node) if type(x) is Tensor else x for i, x in enumerate(flat)
        ]

    def first(self, given: list[Tensor]) -> tuple[list[Any], list[int], Any]:
        """f's results; those that depend on what is watched have the call's node where something that f used is tracked."""
        watch = _First(self.home, self.outer)
        with self.draws.noted():
            values, depends, build = self.run(watch, [Tensor(x.data) for x in given])
        inputs = (*given, *watch.inputs)
        self.order = watch.order
        ys = {i: values[i] for i in depends if values[i].dtype.kind in "fc" and depth(values[i]) == self.home}
        self.outputs = {i: (y.shape, y.dtype) for i, y in ys.items()}
        if self.outputs and any(x.node is not None for x in inputs):
            signature = Signature("checkpoint", ())
            signature.variadic, signature.inputs = "arrays", ("arrays",)
            op = Op(self.again, signature, f"{self.name}, checkpointed.", composite=True, outputs=len(self.outputs))
            op.kernels.op = None  # type: ignore[assignment]  # it is never linked, and dies with its node
            op.complete()
            data = tuple(y.data for y in ys.values())
            made = op.record([x.node for x in inputs], [x.data for x in inputs], {}, data if len(ys) > 1 else data[0])
            for i, y in zip(ys, made if len(ys) > 1 else [made], strict=True):
                values[i] = y
        return values, depends, build

    def again(self, *arrays: Tensor) -> Any:
        """f's differentiable results, recorded, as a function of the node's inputs."""
        n = len(self.places)
        watch = _Again(self.home, self.outer, self.order, arrays[n:], self.name)
        runs = [(run, run.alive, run.watch) for run in chain(self.outer)]
        for run, _, seen in runs:  # f may use values of the checkpointed function around it, which has ended
            run.alive, run.watch = True, Watch(seen.outer)
        try:
            with ExitStack() as stack:
                for again in (self.draws.replayed, *self.around):
                    stack.enter_context(again())
                values, _, _ = self.run(watch, list(arrays[:n]))
        finally:
            for run, alive, seen in runs:
                run.alive, run.watch = alive, seen
        if watch.taken != len(self.order):
            raise differs(self.name, "it met fewer tensors from around it")
        for i, (shape, dtype) in self.outputs.items():
            y = values[i] if i < len(values) else None
            if type(y) is not Tensor or y.shape != shape or y.dtype != dtype:
                came = f"{y.dtype} {y.shape}" if type(y) is Tensor else type(y).__name__
                raise differs(self.name, f"its result {i} is {came} and not {dtype} {shape}")
        ys = tuple(values[i] for i in self.outputs)
        return ys if len(ys) > 1 else ys[0]

    def run(self, watch: Watch, given: list[Tensor]) -> tuple[list[Any], list[int], Any]:
        """f's results, the places of those that depend on what is watched, and their tree.

        Those, and with no checkpointed function around this one all, are values of the level outside.
        """
        with CheckpointLevel.enter() as run:
            run.watch = watch
            token = _current.set(run)
            try:
                traced = run.level.cls
                flat = [Tensor(traced(run, x)) if type(x) is Tensor else x for x in self.parts]
                for i, x in zip(self.places, given, strict=True):
                    flat[i] = Tensor(traced(run, x))
                args, kwargs = self.rebuild(flat)
                found, build = flatten(self.f(*args, **kwargs))
                run.level.run_of(tuple(x.data for x in found if type(x) is Tensor))
            finally:
                _current.reset(token)
        mine = [i for i, x in enumerate(found) if type(x) is Tensor and type(x.data) is traced]
        if self.outer is not None and any(found[i].node is not None for i in mine):
            raise _Inside
        depends = [i for i in mine if found[i].data.run is run]
        outside = depends if self.outer is not None else mine
        return [x.data.value if i in outside else x for i, x in enumerate(found)], depends, build


def is_checkpointed(op: Op) -> bool:
    """Whether ``op`` is a call of a checkpointed function, so that its rule runs what a user wrote."""
    return getattr(op.forward, "__func__", None) is _Call.again


class _Inside(Exception):
    """Not an error: a transform inside the outer checkpointed function records there, so this call must have a level there."""


def checkpoint(f: F) -> F:
    """f, to be run again when derivatives are due, instead of keeping what they need: memory for time; also as a decorator.

    What f computes is not kept; its arguments are. Backward runs f once more for each time it passes. Arguments and
    results may be containers and anything else; tensors that f takes from around it have their gradients as ever, and
    random numbers of ``jt.random`` come again as they were, while their generators go on from where they are. f must
    compute the same from the same arguments; layers' buffers are written once, by the first run. Checkpoints nest, and work under every transform; inside ``vmap`` or
    ``jvp`` they save memory for what is differentiated there, so write ``jt.checkpoint(jt.vmap(f))``, not the reverse.

    >>> import jitrench_core as jt
    >>> jt.grad(jt.checkpoint(lambda x: jt.sin(x) * x))(0.0)
    Tensor(0.)

    Raises ``TransformError`` in backward where f did something else than before.
    """
    if not callable(f):
        raise OpError(f"checkpoint takes a function, as in jt.checkpoint(f)(x); got {type(f).__name__}")
    if getattr(f, "__code__", None) and f.__code__.co_flags & 0x2A0:  # generators and coroutines
        raise OpError(
            f"checkpoint of the generator or coroutine {f.__name__!r} would end before its body runs: use a function"
        )

    @wraps(f)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if not graph.recording():
            return f(*args, **kwargs)
        flat, rebuild = flatten((args, kwargs))
        levels, outer = active.get(), _current.get()
        if outer is not None and levels[-1:] == (outer.level,):
            draws = Draws()
            try:
                with draws.noted():
                    return _within(f, flat, rebuild, outer)
            except _Inside:
                with draws.replayed():
                    return _start(f, flat, rebuild)
        return _start(f, flat, rebuild)

    return wrapper  # type: ignore[return-value]


def _start(f: Any, flat: list[Any], rebuild: Any) -> Any:
    values, _, build = _call(f, flat, rebuild, None)
    return build(values)


def _call(f: Any, flat: list[Any], rebuild: Any, outer: Run | None) -> tuple[list[Any], list[int], Any]:
    call = _Call(f, flat, rebuild, outer)
    return call.first([flat[i] for i in call.places])


def _within(f: Any, flat: list[Any], rebuild: Any, outer: Run) -> Any:
    """A checkpoint in a checkpointed function starts from the values that this one watches, and watches them in its place."""
    traced = outer.level.cls
    values = []
    for x in flat:
        if type(x) is Tensor:
            if x.node is not None and type(x.data) is traced:
                raise _Inside
            origin, x = (x.data.run, x.data.value) if type(x.data) is traced else (None, x)
            x = x if origin is outer else outer.watch.constant(x, origin)
        values.append(x)
    token = active.set(active.get()[:-1])
    try:
        found, depends, build = _call(f, values, rebuild, outer)
    finally:
        active.reset(token)
    # What f returned and took from around it is not computed here: it stays what it is, with its graph.
    return build([Tensor(traced(outer, x)) if i in depends else x for i, x in enumerate(found)])
