"""The graph that recording leaves behind, and the loop that walks it backwards.

A ``Node`` holds arrays, never Tensors, so there is no reference cycle: a graph dies with its last name. The loop takes
consumers before producers by counting, so neither a deep graph nor its deallocation recurses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, final, overload

from .backend import dtype_of
from .errors import DeviceMismatchError, GradientError, OpError, ShapeError

if TYPE_CHECKING:
    from .tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])

# The few ops that the loop itself uses; set, by name, in ops/__init__.py.
ops: Any = None


class Node:
    """One recorded call: its op, the parents of each array input, what the rules need, and the output's metadata."""

    __slots__ = ("attrs", "dtype", "grad", "name", "op", "parents", "saved", "shape")

    def __init__(self, op: Any, parents: tuple[Any, ...], saved: Any, attrs: dict[str, Any], y: Any) -> None:
        self.op = op
        self.parents = parents
        self.saved = saved
        self.attrs = attrs
        self.shape = y.shape
        self.dtype = y.dtype


@final
class RetainedNode(Node):
    """A node whose gradient ``backward`` keeps, by ``Tensor.retain_grad``."""

    __slots__ = ()


@final
class MultiNode(Node):
    """A call with several outputs; ``shape`` and ``dtype`` are tuples, and each output has an ``Output`` node."""

    __slots__ = ()

    def __init__(
        self, op: Any, parents: tuple[Any, ...], saved: Any, attrs: dict[str, Any], ys: tuple[Any, ...]
    ) -> None:
        self.op = op
        self.parents = parents
        self.saved = saved
        self.attrs = attrs
        self.shape = tuple(y.shape for y in ys)
        self.dtype = tuple(y.dtype for y in ys)


@final
class Output:
    """The node of output ``index`` of a call with several outputs."""

    __slots__ = ("dtype", "grad", "index", "name", "parents", "shape")
    op: ClassVar[None] = None

    def __init__(self, node: MultiNode, index: int) -> None:
        self.parents = (node,)
        self.index = index
        self.shape = node.shape[index]
        self.dtype = node.dtype[index]


@final
class Leaf:
    """Where gradients end: a tensor that the user tracks. ``backward`` adds into its ``grad``."""

    __slots__ = ("device", "dtype", "grad", "name", "shape", "value")
    op: ClassVar[None] = None
    parents: ClassVar[tuple[()]] = ()

    def __init__(self, data: Any, device: Any, name: str | None = None) -> None:
        self.shape = data.shape
        self.dtype = data.dtype
        self.device = device
        self.value = None if self.shape else data  # for pictures: a scalar, until it is updated in place
        self.grad: Any = None
        self.name = name


@final
class Identity:
    """A transform's own node for an argument, on top of what recorded it: the same tensor passed twice stays apart."""

    __slots__ = ("done", "dtype", "grad", "name", "parents", "shape")
    op: ClassVar[None] = None

    def __init__(self, data: Any, parents: tuple[Any, ...] = ()) -> None:
        self.shape = data.shape
        self.dtype = data.dtype
        self.parents = parents
        self.done = False  # set when its transform returns: nobody will differentiate by it again


@final
class Piece:
    """A rule's gradient for a part of its input: ``value`` belongs at ``key``, the rest is zero.

    ``key`` is what ``getitem`` took: ``(template, index arrays)``. The loop joins all pieces of one input at once.
    """

    __slots__ = ("key", "value")

    def __init__(self, key: tuple[Any, tuple[Any, ...]], value: Any) -> None:
        self.key = key
        self.value = value


@final
class Sum:
    """A gradient that is added up and not recorded: its array alone, for an input that is used many times."""

    __slots__ = ("data",)

    def __init__(self, data: Any) -> None:
        self.data = data


@final
class Slot:
    """The gradient of output ``index``, on its way to the call that made it."""

    __slots__ = ("g", "index")

    def __init__(self, index: int, g: Any) -> None:
        self.index = index
        self.g = g


@final
class Freed:
    """What stands in ``Node.saved`` after a backward pass; ``where`` is the call, while ``jt.debug()`` is on."""

    __slots__ = ("where",)

    def __init__(self, where: str = "") -> None:
        self.where = where


FREED = Freed()

# How a step of the backward loop gets its gradient: it is g itself, or comes by a rule that takes g, or g and one input, or it
# is there already.
SAME, ONLY_G, G_INPUT, DONE = "g itself", "only g", "g and one input", "done"
RAW = frozenset({bool, int, float, complex, type(None)})  # what a rule gets as it is, not wrapped in a Tensor

# -- recording on and off -------------------------------------------------------------------------------------------

# Not empty while any thread is inside no_grad or enable_grad: only then is the context variable asked, so that the
# fast path pays one truth test.
modes: list[None] = []
_recording: ContextVar[tuple[list[bool], ...]] = ContextVar("recording", default=())
_debugging: list[None] = []


def recording() -> bool:
    """Whether operations on tracked tensors are recorded, here and now."""
    if modes:
        for cell in reversed(_recording.get()):
            if cell:  # one that was left is empty, also where a task or thread copied the context before
                return cell[0]
    return True


class _Mode:
    """A context manager and decorator that sets the recording mode of the current thread or task; it has no state."""

    value: ClassVar[bool]

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        self = object.__new__(cls)
        return self if function is None else self(function)

    def __enter__(self) -> None:
        modes.append(None)
        _recording.set((*_recording.get(), [self.value]))

    def __exit__(self, *exc: object) -> None:
        entered = _recording.get()
        if entered:  # else it is left in another context than it was entered in
            entered[-1].clear()
            _recording.set(entered[:-1])
            modes.pop()

    def __call__(self, function: F) -> F:
        mode = type(self)
        if getattr(function, "__code__", None) and function.__code__.co_flags & 0x2A0:  # generators and coroutines
            raise OpError(
                f"@jt.{mode.__name__} of the generator or coroutine {function.__name__!r} would end before its body runs: "
                f"write `with jt.{mode.__name__}():` inside it"
            )

        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with mode():
                return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]


if TYPE_CHECKING:  # as a type checker should see the two: a decorator keeps its function's type

    @overload
    def no_grad(function: F) -> F: ...
    @overload
    def no_grad() -> _Mode: ...
    def no_grad(function: Any = None) -> Any: ...

    @overload
    def enable_grad(function: F) -> F: ...
    @overload
    def enable_grad() -> _Mode: ...
    def enable_grad(function: Any = None) -> Any: ...

else:

    @final
    class no_grad(_Mode):
        """Record nothing: ``with jt.no_grad():``, ``@jt.no_grad`` or ``@jt.no_grad()``. Other threads are not affected."""

        value = False

    @final
    class enable_grad(_Mode):
        """Record again inside ``no_grad``: as a context manager or a decorator."""

        value = True


@final
class debug:
    """``with jt.debug():`` remembers where a graph is freed, so that a second backward can name the first."""

    def __enter__(self) -> None:
        _debugging.append(None)

    def __exit__(self, *exc: object) -> None:
        _debugging.pop()


# -- backward -------------------------------------------------------------------------------------------------------


def grad(
    outputs: Sequence[Tensor],
    inputs: Sequence[Any] | None,
    seeds: Sequence[Tensor | None] | None = None,
    *,
    record: bool | None = False,
    retain: bool = False,
) -> list[Tensor | None] | dict[Any, Tensor]:
    """The gradients of ``outputs``, weighted by ``seeds``, at the nodes ``inputs``; None where nothing leads there.

    ``inputs=None`` means every leaf (and every retained node) and returns a dict. ``record`` keeps the gradients'
    own graph; None decides by itself: record exactly when the walk meets a leaf that is not among ``inputs``. A
    recorded or retained graph stays, another is freed as the loop goes. Of complex numbers seeds and gradients are
    ``conjugate`` here to what a user means: an input's change dx changes Re(sum(seed * y)) by Re(sum(gradient * dx)).
    """
    grads: dict[Any, Any] = {}
    tracked = False
    for i, y in enumerate(outputs):
        node = y.node
        if node is not None:
            g = _seed(y, seeds[i] if seeds is not None else None)
            grads[node] = g if node not in grads else ops.add(grads[node], g)
            tracked = tracked or g.node is not None
    counts, leaves = _count(grads)
    needed = None
    if inputs is not None:
        targets = set(inputs)
        foreign = any(leaf not in targets for leaf in leaves)
        if record is None:
            record = recording() and (tracked or any(leaf not in targets and _alive(leaf) for leaf in leaves))
        # Nodes exist only above leaves: when all leaves are wanted and nothing else is, every path leads to one.
        if foreign or len(leaves) != len(targets):
            counts, needed = _prune(counts, targets)
    if tracked and not record:
        grads = {node: type(g)(g.data) for node, g in grads.items()}
    freed = None if retain or record else _mark() if _debugging else FREED
    ready = [node for node in grads if counts.get(node) == 0]
    kept = _loop(
        grads, counts, ready, needed, None if inputs is None else targets, bool(record), freed, type(outputs[0])
    )
    for node, g in kept.items():
        kept[node] = type(g)(g.data, g.node)  # a Tensor of its own for each: it may be updated in place
    if inputs is not None:
        return [kept.get(node) for node in inputs]
    for leaf in leaves:  # one that only rules of zero lead to
        if type(leaf) is Leaf and leaf not in kept:
            kept[leaf] = ops.zeros(leaf.shape, leaf.dtype, leaf.device)
    return kept


def _mark() -> Freed:
    from .explain import caller

    return Freed(caller())


def _count(roots: Iterable[Any]) -> tuple[dict[Any, int], list[Any]]:
    """How many recorded consumers each reachable node has; and the leaves, with transforms' arguments that lie on top of a graph."""
    counts = dict.fromkeys(roots, 0)
    stack = list(counts)
    leaves = []
    while stack:
        node = stack.pop()
        if not node.parents or type(node) is Identity:
            leaves.append(node)
        for parent in node.parents:
            if parent is not None:
                if parent in counts:
                    counts[parent] += 1
                else:
                    counts[parent] = 1
                    stack.append(parent)
    return counts, leaves


def _prune(counts: dict[Any, int], targets: set[Any]) -> tuple[dict[Any, int], set[Any]]:
    """The same counts over only those nodes from which a target can be reached."""
    consumers: dict[Any, list[Any]] = {}
    for node in counts:
        for parent in node.parents:
            if parent is not None:
                consumers.setdefault(parent, []).append(node)
    stack = [t for t in map(_key, targets) if t in counts]
    needed = set(stack)
    while stack:
        for node in consumers.get(stack.pop(), ()):
            if node not in needed:
                needed.add(node)
                stack.append(node)
    return {n: sum(c in needed for c in consumers.get(n, ())) for n in counts if n in needed}, needed


def _key(node: Any) -> Any:
    """An Output is re-made in backward, so what stands for it is its call."""
    return node.parents[0] if type(node) is Output else node


def _seed(y: Tensor, seed: Tensor | None) -> Tensor:
    kind = y.dtype.kind
    if seed is None:
        if kind == "c":
            raise GradientError(
                f"backward from a {y.dtype} tensor: a gradient starts from a real scalar. Take jt.abs(y), jt.real(y) or the "
                f"like, or pass the weight of the output: backward(grad), jt.vjp."
            )
        if y.data.shape != ():
            raise GradientError(
                f"backward from a tensor of shape {tuple(y.shape)}: a gradient needs a scalar to start from. Reduce it "
                f"first (for example with .sum()), or pass the weights of the outputs: backward(grad)."
            )
        seed = ops.ones_like(y)
    elif seed.shape != y.shape:
        raise ShapeError(f"the incoming gradient has shape {seed.shape}, the output has {y.shape}")
    elif seed.device != y.device:
        raise DeviceMismatchError(
            f"the incoming gradient is on {seed.device}, the output on {y.device}: move it first, by .to(...)"
        )
    elif seed.dtype != y.dtype:
        seed = ops.match_dtype(seed, y)
    if kind not in "fc":
        raise GradientError(f"backward from a {y.dtype} tensor: only floating-point and complex outputs have gradients")
    return seed


def _loop(
    grads: dict[Any, Any],
    counts: dict[Any, int],
    ready: list[Any],
    needed: set[Any] | None,
    targets: set[Any] | None,
    record: bool,
    freed: Freed | None,
    tensor: Any,
) -> dict[Any, Any]:
    """Pass gradients from consumers to producers; return those of the targets. ``freed`` None keeps the graph."""
    kept: dict[Any, Any] = {}
    keep_inner = targets is not None and any(type(t) not in (Leaf, Identity) for t in targets)
    take, get, kernels = grads.pop, grads.get, ops.add.op.kernels
    while ready:
        node = ready.pop()
        g = take(node, None)
        if type(g) is not tensor and g is not None:
            g = tensor(g.data) if type(g) is Sum else _fill(node, g) if type(node) is MultiNode else ops.join(node, g)
        if keep_inner or type(node) is not Node:
            _keep(kept, node, g, targets)
        op, parents = node.op, node.parents
        if op is None or g is None:
            steps = _hand_on(node, g) if parents else ()
        elif type(node.saved) is not tuple:
            from .explain import freed_error

            raise freed_error(node)
        else:
            steps = op.backward if op.direct else op.pull_all(node, g, record, needed)
        for i, rule, plan, k in steps:
            parent = parents[i]
            if parent is None or (needed is not None and parent not in needed):
                continue
            if plan is SAME:
                r = g
            elif plan is ONLY_G:
                r = rule(g)
            elif plan is G_INPUT:
                v = node.saved[k]
                r = rule(g, v if type(v) in RAW else tensor(v, parents[k] if record else None))
            elif plan is DONE:
                r = rule
            else:
                r = rule(*op.arguments(node, plan, g, record))
            if type(r) is tensor:
                like = node if r is g else r.data  # g has its node's shape and dtype, which are slots there
                if like.shape != parent.shape:
                    r = op.unbroadcast(r, parent)
                    like = r.data
                if like.dtype is not parent.dtype and like.dtype != parent.dtype:
                    r = ops.match_dtype(r, parent)
                held = get(parent)
                if held is None:
                    grads[parent] = r
                elif type(held) is Sum and type(held.data) is type(r.data):
                    held.data = kernels[type(r.data)](held.data, r.data)
                else:
                    grads[parent] = _add(held, r, record)
            elif r is not None or plan is not DONE:
                _collect(grads, parent, r, op)
            left = counts[parent] - 1
            if left:
                counts[parent] = left
            else:
                ready.append(parent)
        if freed is not None and op is not None:
            node.saved = freed
    return kept


def _hand_on(node: Any, g: Any) -> list[tuple[int, Any, Any, int]]:
    """The steps of a node without an op: an identity passes its gradient on, an output fills its slot at the call."""
    r = Slot(node.index, g) if type(node) is Output and g is not None else g
    return [(i, r if node.op is None else None, DONE, 0) for i in range(len(node.parents))]


def _keep(kept: dict[Any, Any], node: Any, g: Any, targets: set[Any] | None) -> None:
    """Note the gradient of a node that is asked for; without targets that is every one the user can see."""
    if g is None:
        return
    if type(node) is MultiNode:
        kept.update((t, g[t.index]) for t in targets or () if type(t) is Output and t.parents[0] is node)
    elif targets is not None:
        if node in targets and type(node) is not Output:
            kept[node] = g
    elif hasattr(node, "grad"):
        kept[node] = g


def _add(held: Any, r: Tensor, record: bool) -> Any:
    """Two gradients of one node, not yet joined where one is in pieces."""
    if type(held) is list:
        held.append(r)
        return held
    if record or type(held.data) is not type(r.data):
        return ops.add(type(r)(held.data) if type(held) is Sum else held, r)
    return Sum(ops.add.op.kernels[type(r.data)](held.data, r.data))


def _collect(grads: dict[Any, Any], node: Any, r: Any, op: Any) -> None:
    """Pieces are collected, to be joined once; outputs fill the slots of their call."""
    held = grads.get(node)
    if type(r) is Piece:
        if type(held) is list:
            held.append(r)
        else:
            grads[node] = [r] if held is None else [type(r.value)(held.data) if type(held) is Sum else held, r]
    elif type(r) is Slot:
        slots = grads.setdefault(node, [None] * len(node.shape))
        slots[r.index] = r.g if slots[r.index] is None else ops.add(slots[r.index], r.g)
    else:
        raise OpError(
            f"a vjp rule of op {op.name!r} returned {type(r).__name__}; expected a Tensor or a jt.Piece (for an input whose "
            f"gradient is zero declare jt.zero, for a constant None)"
        )


def _fill(node: Any, slots: list[Any]) -> tuple[Any, ...]:
    """An unused output's gradient is zeros."""
    like = next(g for g in slots if g is not None)
    return tuple(
        ops.zeros(shape, dtype, like.device) if g is None else g
        for g, shape, dtype in zip(slots, node.shape, node.dtype, strict=True)
    )


def backward(output: Tensor, seed: Tensor | None, retain: bool, record: bool) -> None:
    """Add the gradient of ``output`` to ``grad`` of every leaf, and of every retained node, that leads to it."""
    grads: Any = grad([output], None, [None if seed is None else conjugate(seed)], record=record, retain=retain)
    for node, g in grads.items():
        g = conjugate(g)
        node.grad = g if node.grad is None else ops.add(node.grad, g)


def conjugate(g: Tensor) -> Tensor:
    """Between the gradient of the rules, which hold no conj, and the user's, which points uphill: its conjugate."""
    return ops.conj(g) if dtype_of(g.data).kind == "c" else g


def detached(y: Tensor) -> Tensor:
    """``y`` as a transform returns it: without its graph where the transform's own backward consumed that."""
    call = y.node.parents[0] if type(y.node) is Output else y.node
    consumed = not call.parents if type(call) is Identity else type(getattr(call, "saved", None)) is Freed
    return type(y)(y.data, None if consumed else y.node)


def leads_outside(y: Tensor, own: Sequence[Any] = ()) -> bool:
    """Whether ``y`` leads to a leaf that is not in ``own`` and no argument of a transform that has returned."""
    return y.node is not None and any(_alive(leaf) and leaf not in own for leaf in _count([y.node])[1])


def _alive(leaf: Any) -> bool:
    return not (type(leaf) is Identity and leaf.done)
