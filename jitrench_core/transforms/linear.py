"""The derivative at a point as a linear function: its transpose, ``vjp``, and itself, ``linearize``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

from .. import graph
from ..errors import DeviceMismatchError, GradientError, OpError, ShapeError
from ..ops.creation import asarray, zeros_like
from ..ops.shapes import astype
from ..tensor import Tensor, leaf
from .batching import like
from .forward import pair, split
from .reverse import check_depth, cut_off, own, pick, replaced
from .tree import flatten, partners


@final
class Recorded:
    """One recorded call of f: its results, and the gradients that can be asked of it again and again."""

    def __init__(
        self, f: Callable[..., Any], args: Sequence[Any], numbers: Sequence[int], kwargs: Any, has_aux: bool, who: str
    ):
        if not callable(f):
            raise OpError(f"{who} takes a function, as in jt.{who}(f, ...); got {type(f).__name__}")
        flat, self.rebuild = flatten([args[n] for n in numbers])
        leaves = [own(x) for x in flat]
        self.nodes = [x.node for x in leaves]  # nodes, not Tensors: f may update its argument in place
        self.inputs = [Tensor(x.data) for x in leaves]
        inner = replaced(args, numbers, self.rebuild(leaves))
        with graph.enable_grad():
            result, aux = split(f(*inner, **kwargs), has_aux, who)
        found, self.build = flatten(result)
        outputs = [like(x, [(self.inputs,)]) for x in found]
        self.outputs = [Tensor(y.data, y.node) for y in outputs]  # what was computed, whatever f's caller does to it
        for y in outputs:
            check_depth(y, who)
        for node in self.nodes:
            node.done = True  # nobody but this object asks for the gradient there
        self.aux = cut_off(aux)

    def value(self) -> Any:
        """What f returned, cut off from its arguments, not from what lies outside."""
        return cut_off(self.build(self.outputs))

    def pull(self, outputs: list[Tensor], seeds: list[Any], *, record: bool | None = None) -> list[Tensor | None]:
        """The gradients at the arguments' leaves, of the rules, without conj; the graph stays."""
        if all(y.node is None for y in outputs):
            return [None] * len(self.nodes)
        for node in self.nodes:
            node.done = False  # a checkpointed function that runs again must find them as they were
        try:
            found: Any = graph.grad(outputs, self.nodes, seeds, record=record, retain=True)
        finally:
            for node in self.nodes:
                node.done = True
        return found  # type: ignore[no-any-return]


def vjp(
    f: Callable[..., Any], *primals: Any, argnums: int | tuple[int, ...] | None = None, has_aux: bool = False
) -> tuple[Any, ...]:
    """f at ``primals``, and its pullback, which maps weights of the result to a tuple of gradients, one for each primal.

    ``pullback(w)`` is the gradient of ``sum(w * f(*primals))``; w has the structure and shapes of f's result (None: no
    weight), each gradient those of its primal. f runs once; the pullback may be called often, also under ``vmap``.
    ``argnums`` names the primals to differentiate by; the others are constants, and one int gives the gradient alone.
    With ``has_aux`` f returns a pair, and its second part comes third. Of complex numbers the pullback is that of
    PyTorch: with J the derivative of a holomorphic f, the conjugate transpose of J times w.

    >>> import jitrench_core as jt
    >>> y, pullback = jt.vjp(lambda x, y: x * y, 3.0, 5.0)
    >>> y, pullback(2.0)
    (Tensor(15.), (Tensor(10.), Tensor(6.)))

    Raises ``OpError`` or ``ShapeError`` where weights do not fit the result, ``GradientError`` for arguments of integers.
    """
    run = Recorded(f, primals, _numbers(primals, argnums, "vjp"), {}, has_aux, "vjp")
    places = run.build([0] * len(run.outputs))

    def pullback(cotangents: Any) -> Any:
        given = zip(run.outputs, partners(places, cotangents, "cotangent", "result"), strict=True)
        chosen = [(y, _seed(w, y)) for y, w in given if w is not None and y.dtype.kind in "fc"]
        found = run.pull([y for y, _ in chosen], [w for _, w in chosen]) if chosen else [None] * len(run.nodes)
        gradients = [zeros_like(x) if g is None else graph.conjugate(g) for g, x in zip(found, run.inputs, strict=True)]
        trees = tuple(run.rebuild(gradients))
        return trees[0] if isinstance(argnums, int) else trees

    return (run.value(), pullback, run.aux) if has_aux else (run.value(), pullback)


def _numbers(primals: tuple[Any, ...], argnums: Any, who: str) -> Sequence[int]:
    return range(len(primals)) if argnums is None else pick(primals, argnums, who)


def _seed(w: Any, y: Tensor) -> Tensor:
    """A weight of the result y, conjugate, as the rules want it."""
    w = asarray(w, device=y.device if isinstance(w, (int, float, complex, list, tuple)) else None)
    if w.shape != y.shape:
        raise ShapeError(f"a cotangent of shape {w.shape} came for a result of shape {y.shape}")
    if w.device != y.device:
        raise DeviceMismatchError(
            f"a cotangent on {w.device} came for a result on {y.device}: move it first, by .to(...)"
        )
    if w.dtype.kind == "c" and y.dtype.kind == "f":
        raise GradientError(f"a cotangent of {w.dtype} came for a result of {y.dtype}: its weights are real")
    return graph.conjugate(w if w.dtype == y.dtype else astype(w, y.dtype))


def linearize(
    f: Callable[..., Any], *primals: Any, argnums: int | tuple[int, ...] | None = None, has_aux: bool = False
) -> tuple[Any, ...]:
    """f at ``primals``, and its derivative there as a function of tangents.

    ``f_jvp(*tangents)`` is what ``jvp`` gives, without running f again: f is recorded once, and so is its pullback,
    which is linear, so its transpose maps tangents. Worth it for many tangents; it may be called under ``vmap``, too.
    ``argnums`` names the primals that have tangents; the others are constants.
    With ``has_aux`` f returns a pair, and its second part comes third.

    >>> import jitrench_core as jt
    >>> y, f_jvp = jt.linearize(jt.sin, 0.0)
    >>> y, f_jvp(1.0), f_jvp(2.0)
    (Tensor(0.), Tensor(1.), Tensor(2.))

    Errors are those of ``vjp`` and ``jvp``.
    """
    run = Recorded(f, primals, _numbers(primals, argnums, "linearize"), {}, has_aux, "linearize")
    push = transpose(run)
    places = list(run.rebuild([0] * len(run.inputs)))

    def f_jvp(*tangents: Any) -> Any:
        given = partners(places, list(tangents), "tangent", "primal")
        moved = push([pair(x, t)[1] for x, t in zip(run.inputs, given, strict=True)])
        return run.build([zeros_like(y) if t is None else t for y, t in zip(run.outputs, moved, strict=True)])

    return (run.value(), f_jvp, run.aux) if has_aux else (run.value(), f_jvp)


def transpose(run: Recorded) -> Callable[[list[Tensor | None]], list[Tensor | None]]:
    """From tangents of the arguments' leaves to those of the results (None: zero), by way of the recorded pullback."""
    seeds = [leaf(zeros_like(y), identity=True) if y.dtype.kind in "fc" else None for y in run.outputs]
    chosen = [(y, w) for y, w in zip(run.outputs, seeds, strict=True) if w is not None and y.node is not None]
    nodes = [w.node for _, w in chosen]
    none: list[Tensor | None] = [None] * len(run.nodes)
    with graph.enable_grad():
        pulled = run.pull([y for y, _ in chosen], [w for _, w in chosen], record=True) if chosen else none
    for node in nodes:
        node.done = True

    def push(tangents: list[Tensor | None]) -> list[Tensor | None]:
        pairs = [(g, t) for g, t in zip(pulled, tangents, strict=True) if g is not None and t is not None]
        tracked = [(g, t) for g, t in pairs if g.node is not None]
        if not tracked:
            return [None] * len(seeds)
        found: Any = graph.grad([g for g, _ in tracked], nodes, [t for _, t in tracked], record=None, retain=True)
        moved = dict(zip(nodes, found, strict=True))
        return [None if w is None else moved.get(w.node) for w in seeds]

    return push
