"""``with jt.detect_anomaly():`` finds the first operation that made a NaN or an infinity, forward or backward.

Nothing of it is in the engine's way. On entering, every op forgets its linked kernels, and until the last block is left
``KernelTable`` hands out watched ones; four places of the engine are exchanged for the ones below, and put back then. So the
fast path is the same code before, after and without. Who called is read from the frames, after something was found.

What a user calls is what is judged: an op, a composite, a rule. An infinity inside one, which ``where`` masks before it
comes out, is none of the user's; it is told as the origin where it does come out.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from functools import partial
from threading import Lock
from typing import Any, final

from . import graph, watching
from .backend import dtype_of, owner
from .errors import AnomalyError, OpError
from .explain import caller
from .graph import DONE, ONLY_G, SAME, MultiNode, Node, Piece
from .op import Op
from .tensor import Tensor
from .transforms.checkpointing import is_checkpointed

KINDS = ("nan", "inf")


@final
class detect_anomaly:
    """``with jt.detect_anomaly():`` raises ``AnomalyError`` at the first operation that makes a NaN or an infinity.

    The error tells the op, the line that called it, and shape, dtype and range of each operand; for a gradient also the
    line of the operation whose rule it was. What came in from outside is not made: an infinity passes, and where a NaN came in and
    no operation made another, the error comes at the end of the block and names its first use. ``check`` is ``"nan"``,
    ``"inf"``, or both; ``"nan"`` alone lets infinities be that are masked later.

    It holds for the thread or task that entered it, nests (the innermost ``check`` counts) and sees into ``jvp`` and
    ``vmap``. Each operation costs a few passes over its data and a walk over the stack while a block is running, and
    nothing else when none is.

    >>> import jitrench_core as jt
    >>> with jt.detect_anomaly():
    ...     y = jt.sin(jt.tensor([1.0, 2.0]))

    Raises ``OpError`` for another ``check``.
    """

    def __init__(self, check: str | Iterable[str] = KINDS) -> None:
        self.check: Any = tuple(check) if hasattr(check, "__iter__") and not isinstance(check, str) else (check,)
        if not self.check or not set(self.check) <= set(KINDS):
            raise OpError(f"detect_anomaly(check={check!r}): expected 'nan', 'inf' or both, ('nan', 'inf')")

    def __enter__(self) -> None:
        _blocks.set((*_blocks.get(), Block(self.check)))
        _install()

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        entered = _blocks.get()
        if not entered:  # left in another context than it was entered in
            return
        _blocks.set(entered[:-1])
        _uninstall()
        if kind is None and entered[-1].came_in:
            raise AnomalyError(entered[-1].came_in)


@final
class Block:
    """What one ``with`` block has seen so far, in words."""

    __slots__ = ("came_in", "check", "origin", "place")

    def __init__(self, check: tuple[str, ...]) -> None:
        self.check = check
        self.came_in = ""  # the first use of a NaN that no operation made
        self.origin = ""  # the first op inside what the user called that made one, and where that is
        self.place = ""


_blocks: ContextVar[tuple[Block, ...]] = ContextVar("anomaly_blocks", default=())
_inside: ContextVar[bool] = ContextVar("anomaly_inside", default=False)  # of an op, a composite or a rule


def _observe(op: Op, compute: Callable[[], Any], call: Call) -> Any:
    """What ``compute`` returns; ``AnomalyError`` where it made what is looked for, and the user called it directly."""
    blocks = _blocks.get()
    if not blocks:
        return compute()
    block, nested = blocks[-1], _inside.get()
    if nested:
        result = compute()
    else:
        block.origin = ""
        token = _inside.set(True)
        try:
            result = compute()
        finally:
            _inside.reset(token)
    found = _kinds(result, block.check)
    if found:
        made = [kind for kind in found if _is_new(kind, op, result, call.operands)]
        if made and not nested:
            own_rule = block.origin and block.place != caller()
            inner = f"\n    at {block.place}" if own_rule else ""
            raise AnomalyError(call.told(op, result, found, block.origin + inner))
        if made and not block.origin:
            block.origin = f"{op.name}() of {'; '.join(_describe(name, x) for name, x in call.operands)}"
            block.place = caller()
        if not made and not nested and not block.came_in and "nan" in found:
            block.came_in = (
                f"no operation in this block made a NaN: it came in from outside, and {op.name}() was the first to use it\n"
                f"  at {caller()}{_lines(call.operands)}"
            )
    return result


class Call:
    """A forward call and its operands, by name, so that it can be told what went wrong."""

    def __init__(self, op: Op, arrays: Sequence[Any], attrs: dict[str, Any]) -> None:
        n = len(op.arrays)
        names = [*op.arrays, *(f"{op.variadic}[{i}]" for i in range(len(arrays) - n))]
        given = {k: v for k, v in attrs.items() if isinstance(v, (float, complex))}
        self.operands = [*zip(names, arrays, strict=False), *given.items()]

    def told(self, op: Op, result: Any, found: list[str], origin: str) -> str:
        where, node = f"at {caller()}", _node_in_backward()
        lines = _lines([*self.operands, ("result", result)], origin, op.name)
        if node is not None and node.op is not None:
            return (
                f"backward made {_counts(result)}: {op.name}(), which joined gradients on their way from {node.op.name}()"
                f"{_places(node, where)}{lines}"
            )
        meant = ""
        if found == ["inf"]:
            meant = "\nIf the infinity is meant, such as one that is masked later: jt.detect_anomaly(check='nan')."
        return f"{op.name}() made {_counts(result)}\n  {where}{lines}{meant}"


@final
class RuleCall(Call):
    """A rule of a node: what it was given, and for which input; None is for all at once, which gives a dict."""

    def __init__(self, node: Any, g: Any, i: int | None) -> None:
        self.node, self.i = node, i
        kept = zip((*node.op.inputs, "y", *node.op.aux), node.saved, strict=False)
        self.operands = [("incoming gradient", g), *((name, x) for name, x in kept if next(_parts(x), None))]

    def told(self, op: Op, result: Any, found: list[str], origin: str) -> str:
        i = self.i
        if i is None:
            i, result = next((i, r) for i, r in result.items() if _kinds(r, found))
        name = op.inputs[min(i, len(op.arrays))]
        lines = _lines([*self.operands, ("gradient", result)], origin, None)
        return (
            f"backward made {_counts(result)}: the rule of {op.name}() for its input {name!r}"
            f"{_places(self.node, 'at ' + caller())}{lines}"
        )


# -- what takes the places of the engine's own ------------------------------------------------------------------------


def _watched(op: Op, kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel, observed."""

    def run(*arrays: Any, **attrs: Any) -> Any:
        return _observe(op, lambda: kernel(*arrays, **attrs), Call(op, arrays, attrs))

    return run


def _apply(op: Op, arrays: tuple[Any, ...], attrs: dict[str, Any], *, with_aux: bool = False) -> Any:
    """``Op.apply``, with a composite observed as a whole."""
    compute = partial(_APPLY, op, arrays, attrs, with_aux=with_aux)
    return _observe(op, compute, Call(op, arrays, attrs)) if op.composite else compute()


def _pull_all(op: Op, node: Any, g: Any, record: bool, needed: Any) -> list[tuple[int, Any, Any, int]]:
    """The steps of ``Op.pull_all``, each gradient computed here and observed."""
    steps = op.backward
    if not op.__dict__["direct"]:

        def together() -> dict[int, Any]:
            nonlocal steps
            steps = _PULL_ALL(op, node, g, record, needed)
            return {i: r for i, r, plan, _ in steps if plan is DONE}

        if is_checkpointed(op):  # each op in it is judged, at its own line
            together()
        else:
            _observe(op, together, RuleCall(node, g, None))
    done: list[tuple[int, Any, Any, int]] = []
    for i, rule, plan, k in steps:
        parent = node.parents[i]
        if parent is None or (needed is not None and parent not in needed):
            continue
        if plan is SAME or plan is DONE:
            done.append((i, rule, plan, k))
            continue
        given = op.arguments(node, op._plan(rule, ""), g, record)
        r = _observe(op, partial(rule, *given), RuleCall(node, g, i))
        done.append((i, r, DONE, 0) if r is not None else (i, lambda g: None, ONLY_G, 0))  # the loop refuses it
    return done


@final
class Located(dict[str, Any]):
    """A node's attributes, and where it was recorded."""

    __slots__ = ("where",)
    where: str


def _init(original: Any) -> Callable[..., None]:
    """A node's ``__init__`` that notes where the call was."""

    def __init__(self: Any, op: Any, parents: Any, saved: Any, attrs: dict[str, Any], y: Any) -> None:
        located = Located(attrs)
        located.where = f"at {caller()}" if _blocks.get() else ""
        original(self, op, parents, saved, located, y)

    return __init__


@final
class _Indirect:
    """``Op.direct`` while blocks run: false, so that the loop asks ``pull_all``; what ``complete`` sets is kept."""

    def __get__(self, op: Any, cls: Any = None) -> bool:
        return False

    def __set__(self, op: Any, value: bool) -> None:
        op.__dict__["direct"] = value


_APPLY, _PULL_ALL = Op.apply, Op.pull_all
EXCHANGED: tuple[tuple[type, str, Any], ...] = (
    (Op, "apply", _apply),
    (Op, "pull_all", _pull_all),
    (Op, "direct", _Indirect()),
    (Node, "__init__", _init(Node.__init__)),
    (MultiNode, "__init__", _init(MultiNode.__init__)),
)
_before: dict[tuple[type, str], Any] = {}
_running: list[None] = []
_lock = Lock()


def _install() -> None:
    """Exchange what is exchanged, at the first block of the process."""
    with _lock:
        _running.append(None)
        if len(_running) == 1:
            for cls, name, mine in EXCHANGED:
                _before[cls, name] = cls.__dict__.get(name)
                setattr(cls, name, mine)
            watching.add(_watched)


def _uninstall() -> None:
    """Put everything back, at the end of the last block of the process."""
    with _lock:
        _running.pop()
        if not _running:
            for (cls, name), original in _before.items():
                if original is None:
                    delattr(cls, name)
                else:
                    setattr(cls, name, original)
            watching.remove(_watched)


# -- numbers ----------------------------------------------------------------------------------------------------------


def _parts(x: Any, label: str = "") -> Iterator[tuple[str, Any]]:
    """The arrays of a backend that ``x`` is made of, and Python's numbers, each with what it is of ``x``."""
    if isinstance(x, (tuple, list, dict)):
        for i, part in x.items() if isinstance(x, dict) else enumerate(x):
            yield from _parts(part, f"{label}[{i}]")
    elif type(x) is Tensor:
        yield from _parts(x.data, label)
    elif type(x) is Piece:
        yield from _parts(x.value, label)
    elif hasattr(x, "run") and hasattr(x, "value"):  # of an interpreter
        yield from _parts(x.value, label)
        if getattr(x, "tangent", None) is not None:
            yield from _parts(x.tangent, f"{label}, its tangent")
    elif isinstance(x, (float, complex)) or (hasattr(x, "dtype") and hasattr(x, "shape") and hasattr(x, "ndim")):
        yield label, x


def _kinds(x: Any, check: Iterable[str]) -> list[str]:
    """What of ``check`` is in ``x``."""
    found = set()
    for _, a in _parts(x):
        if isinstance(a, (float, complex)) and not hasattr(a, "dtype"):
            parts = (a.real, a.imag)
            found |= {"nan"} if any(map(math.isnan, parts)) else {"inf"} if any(map(math.isinf, parts)) else set()
            continue
        who = owner(type(a))
        if dtype_of(a).kind in "fc" and not bool(who.xp.all(who.xp.isfinite(a))):
            found |= {kind for kind in KINDS if bool(who.xp.any(getattr(who.xp, f"is{kind}")(a)))}
    return [kind for kind in check if kind in found]


def _is_new(kind: str, op: Op, result: Any, operands: Sequence[tuple[str, Any]]) -> bool:
    """Whether ``kind`` is in the result and not in its operands; for an elementwise op, element by element."""
    if op.name == "empty_like":  # what happened to be there
        return False
    if not any(_kinds(x, (kind,)) for _, x in operands):
        return True
    given = [a for _, x in operands for _, a in _parts(x)]
    (made, *others) = [a for _, a in _parts(result)] or [None]
    if not op.elementwise or others or any(type(x) is tuple or hasattr(x, "run") for _, x in operands):
        return False
    made = _host(made)
    xp = made.__array_namespace__()
    has = xp.isnan if kind == "nan" else xp.isinf
    missing = has(made)
    for a in given:
        a = xp.asarray(_host(a))
        if a.dtype.kind in "fc":
            try:
                missing = missing & ~(has(a) | xp.isnan(a))
            except ValueError:  # a rule's operands need not broadcast
                return False
    return bool(xp.any(missing)) and missing.shape == made.shape


def _host(a: Any) -> Any:
    return a if isinstance(a, (float, complex)) and not hasattr(a, "dtype") else owner(type(a)).to_numpy(a)


# -- words ------------------------------------------------------------------------------------------------------------


def _counts(result: Any) -> str:
    """``1 NaN and 2 Inf among 6 elements``"""
    told = []
    for label, a in _parts(result):
        host = _host(a)
        xp = owner(type(host)).xp
        counts = ((int(xp.sum(has(host))), word) for has, word in ((xp.isnan, "NaN"), (xp.isinf, "Inf")))
        if words := " and ".join(f"{n} {word}" for n, word in counts if n):
            told.append(f"{words} among {host.size} element{'s' * (host.size != 1)}{label.replace(', its', ' of its')}")
    return ", ".join(told)


def _describe(name: str, x: Any) -> str:
    """``x: float64 (2, 3) on numpy, from -1.0 to 2.0, 1 NaN``"""
    return "; ".join(f"{name}{label}: {_range(a)}" for label, a in _parts(x)) or f"{name}: {_plain(x)}"


def _plain(x: Any) -> str:
    return f"{type(x).__name__} {x!r}" if isinstance(x, (bool, int, str, type(None))) else type(x).__name__


def _range(a: Any) -> str:
    if not hasattr(a, "dtype"):
        return f"{type(a).__name__} {a!r}"
    who, host = owner(type(a)), _host(a)
    head = f"{dtype_of(a)} {tuple(a.shape)} on {who.device_of(a)}"
    if dtype_of(a).kind not in "fc" or not host.size:
        return head + ("" if host.size else ", empty")
    xp = owner(type(host)).xp
    size = xp.abs(host) if host.dtype.kind == "c" else host
    finite = size[xp.isfinite(size)]
    parts = [head]
    if finite.size:
        low, high = finite.min().item(), finite.max().item()
        unit = "size " if host.dtype.kind == "c" else ""
        parts.append(f"{unit}{low:.6g} throughout" if low == high else f"{unit}from {low:.6g} to {high:.6g}")
    counted = (("NaN", xp.isnan(size)), ("Inf", size == math.inf), ("-Inf", size == -math.inf))
    parts += [f"{int(xp.sum(where))} {word}" for word, where in counted if bool(xp.any(where))]
    return ", ".join(parts)


def _lines(operands: Iterable[tuple[str, Any]], origin: str = "", own: str | None = None) -> str:
    told = "".join(f"\n  {_describe(name, x)}" for name, x in operands)
    inner = origin and not (own and origin.startswith(f"{own}()"))
    return told + (f"\n  first made inside, by {origin}" if inner else "")


def _node_in_backward() -> Any:
    """The node whose gradients the backward loop is passing on; None where no loop runs."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code is graph._loop.__code__:
            return frame.f_locals.get("node")
        frame = frame.f_back
    return None


def _places(node: Any, where: str) -> str:
    """Where the operation of ``node`` was called, and where backward was."""
    recorded = getattr(node.attrs, "where", "")
    there = f"was called {recorded}" if recorded else "was called before this block: to see where, put that inside, too"
    return f"\n  {node.op.name}() {there}\n  backward was called {where}"
