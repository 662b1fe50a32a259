"""``check_grads``: a function's derivatives, of any order and in both modes, against central differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, final

from .. import backend as backends
from ..errors import DTypeError, GradientCheckError, JITrenchError, OpError
from ..op import Op
from ..ops.creation import asarray, zeros_like
from ..tensor import Tensor
from ..transforms import jvp, vjp
from ..transforms.custom import CustomGradient
from ..transforms.tree import flatten, paths

MODES = ("reverse", "forward")
STEP = 6e-6  # of central differences: about the cube root of float64's precision
FINER = (1.0, 1 / 30, 1 / 1000)  # a kink or a sharp bend near by is no mistake: where a finer step agrees, all is well
KINK = 1e-4  # slopes to the left and to the right that differ by more, and at a tenth of the step, too, are a kink
ELEMENTS = 4096  # how many are looked at, one by one, to name the worst
LOW = ("float16", "float32", "complex64")

Function = Callable[..., list[Tensor]]


def check_grads(
    f: Callable[..., Any],
    *args: Any,
    order: int = 2,
    modes: Sequence[str] = MODES,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    step: float = STEP,
    seed: int = 0,
) -> None:
    """Check f's derivatives at ``args`` against central differences along random directions, which ``seed`` fixes.

    Every float64 and complex128 number in ``args`` is differentiated by; arguments and results may be containers. ``modes`` are
    ``"reverse"`` (``grad``) and ``"forward"`` (``jvp``); up to ``order``, the derivatives are differentiated again, in each mode.
    Differences are taken at ``step`` times the size of each number (at least 1).

    >>> import jitrench_core as jt
    >>> jt.check_grads(lambda x, y: jt.sin(x) * y, jt.tensor([0.5, 1.0]), 2.0)

    Raises ``GradientCheckError`` (an ``AssertionError``), which names the input and its worst element, both numbers, and the op
    whose rule is wrong; it says so where f has a kink or a jump there, or two calls disagree. Raises ``DTypeError`` for float32, whose
    differences are too coarse, and ``OpError`` where there is nothing to differentiate.
    """
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    if not modes or not set(modes) <= set(MODES) or order < 1:
        raise OpError(
            f"check_grads: modes are 'reverse' and 'forward', order is 1 or more; got modes={modes!r} and order={order!r}"
        )
    check = Check(f, args, rtol, atol, step, seed)
    check.repeats()
    check.level(check.function, check.inputs, order, modes, "")


@final
class Check:
    """One call of ``check_grads``."""

    def __init__(
        self, f: Callable[..., Any], args: tuple[Any, ...], rtol: float, atol: float, step: float, seed: int
    ) -> None:
        import numpy as np

        self.np: Any = np
        self.rng = np.random.default_rng(seed)
        self.f, self.rtol, self.atol, self.step = f, rtol, atol, step
        self.name = f"{getattr(f, '__name__', type(f).__name__)}()"
        leaves, self.rebuild = flatten(list(args))
        here = next((x.device for x in leaves if type(x) is Tensor), None)  # where a Python number goes, too
        self.leaves = [
            asarray(x) if hasattr(x, "shape") else asarray(x, device=here) if isinstance(x, (float, complex)) else x
            for x in leaves
        ]
        self.places = [i for i, x in enumerate(self.leaves) if type(x) is Tensor and x.dtype.kind in "fc"]
        self.inputs = [self.leaves[i].detach() for i in self.places]
        named = [_label(f, path) for path in paths(list(args))]
        self.labels = [named[i] for i in self.places]
        for x, label in zip(self.inputs, self.labels, strict=True):
            if x.dtype.name in LOW:
                wide = "complex128" if x.dtype.kind == "c" else "float64"
                raise DTypeError(
                    f"check_grads: {label} is {x.dtype}, whose differences are too coarse to tell a right gradient from a wrong "
                    f"one: convert it to {wide}, by {label}.astype(jt.{wide})"
                )
        if not self.inputs:
            got = (
                ", ".join(str(getattr(x, "dtype", type(x).__name__)) for x in self.leaves)
                or "none: pass them, as in jt.check_grads(f, x)"
            )
            raise OpError(
                f"check_grads of {self.name}: no floating-point number in the arguments to differentiate by; got {got}"
            )

    def function(self, *xs: Tensor) -> list[Tensor]:
        """f of the numbers that are differentiated by, with its results in a list; integers and booleans have no derivative."""
        every = list(self.leaves)
        for i, x in zip(self.places, xs, strict=True):
            every[i] = x
        results = flatten(self.f(*self.rebuild(every)))[0]
        for y in results:
            if isinstance(y, (float, complex)):
                raise OpError(
                    f"check_grads: {self.name} returned the {type(y).__name__} {y!r}, to which nothing was recorded: compute with "
                    f"jt's functions, without float() or .item()"
                )
        ys = [y for y in results if type(y) is Tensor and y.dtype.kind in "fc"]
        for y in ys:
            if y.dtype.name in LOW:
                raise DTypeError(
                    f"check_grads: {self.name} of float64 returned {y.dtype}: let it keep its input's dtype"
                )
        if not ys:
            raise OpError(f"check_grads: {self.name} returned no floating-point tensor, so there is nothing to check")
        return ys

    def repeats(self) -> None:
        """Two calls must agree, and be numbers."""
        first, second = (self.host(self.function(*self.inputs)) for _ in range(2))
        np = self.np
        for a, b in zip(first, second, strict=True):
            if a.shape != b.shape or not np.allclose(a, b, rtol=1e-12, atol=0.0, equal_nan=True):
                raise GradientCheckError(
                    f"check_grads: {self.name} is not deterministic: two calls with the same arguments returned {_short(a)} and "
                    f"{_short(b)}. Where it draws random numbers, let it make its generator anew, with a seed, in each call"
                )
            if not np.all(np.isfinite(a)):
                raise GradientCheckError(
                    f"check_grads: {self.name} is {_short(a)} at this point, and has no derivative there: choose another point "
                    f"(`with jt.detect_anomaly():` tells which operation made it)"
                )

    def level(self, f: Function, xs: list[Tensor], order: int, modes: Sequence[str], taken: str) -> None:
        """Check the first derivatives of ``f``, and, to ``order``, those of its derivatives. ``taken`` are those so far."""
        ys = self.host(f(*xs))
        alone = len(ys) == 1 and ys[0].shape == () and ys[0].dtype.kind == "f"
        weights = [self.np.ones(())] if alone else [self.normal(y.shape, y.dtype) for y in ys]
        directions = [self.normal(x.shape, self.np.dtype(x.dtype.name)) for x in xs]
        for mode in modes:
            (self.reverse if mode == "reverse" else self.forward)(f, xs, weights, directions, taken)
        for mode in modes if order > 1 else ():
            if mode == "reverse":
                derivative = self.gradient(f, weights)
            else:
                derivative = self.tangent(f, [self.like(v, x) for v, x in zip(directions, xs, strict=True)])
            self.level(
                derivative, xs, order - 1, modes, f"{taken}{mode} over " if taken else f"of the {mode} derivative, "
            )

    # -- derivatives ------------------------------------------------------------------------------------------------

    def gradient(self, f: Function, weights: list[Any]) -> Function:
        """The gradients of Re(sum(conj(w) * y)) over the outputs y of ``f``, by no op that might be the one under test."""

        def pulled(*xs: Tensor) -> list[Tensor]:
            ys, pullback = vjp(lambda *xs: list(f(*xs)), *xs)
            return list(pullback([self.like(w, y) for w, y in zip(weights, ys, strict=True)]))

        return pulled

    def tangent(self, f: Function, directions: list[Tensor]) -> Function:
        """The derivatives of the outputs of ``f`` along ``directions``."""
        return lambda *xs: list(jvp(f, xs, tuple(directions))[1])

    # -- comparison -------------------------------------------------------------------------------------------------

    def reverse(self, f: Function, xs: list[Tensor], weights: list[Any], directions: list[Any], taken: str) -> None:
        found = self.host(self.attempt("reverse mode", taken, lambda: self.gradient(f, weights)(*xs)))
        np = self.np

        def value(i: int, move: Any) -> Callable[[float], Any]:
            def at(t: float) -> Any:
                ys = self.host(f(*self.moved(xs, i, t * move)))
                return np.asarray(sum(float(np.sum(np.conj(w) * y).real) for w, y in zip(weights, ys, strict=True)))

            return at

        for i, g in enumerate(found):
            move = directions[i] * np.maximum(1.0, np.abs(self.host([xs[i]])[0]))
            slope = np.asarray(np.sum(np.conj(g) * move).real)
            bad, numeric, kink = self.compare(value(i, move), slope)
            if not bad and not kink:
                continue
            worst: Any = None
            off = 0
            for at, unit in self.axes(g):
                mine = np.asarray((np.conj(g[at]) * unit[at]).real)
                wrong, other, bent = self.compare(value(i, unit), mine)
                off += bool(wrong)
                size = abs(float(mine - other))
                if (wrong or bent) and (worst is None or (bool(bent), size) > worst[0]):
                    worst = ((bool(bent), size), at, float(mine), float(other), bent, unit[at])
            if worst is None:  # each element is within the tolerance, their sum is not
                worst = ((False, 0.0), None, float(slope), float(numeric), kink, 1.0)
            _, at, mine, other, bent, unit_at = worst
            where = "along a random direction" if at is None else f"element {[int(k) for k in at]}"
            where += ", its imaginary part" if unit_at == 1j else ""
            mix = "" if len(weights) == 1 and weights[0].shape == () else ", of a random mix of its results,"
            what = f"the derivative {taken}by {self.labels[i]}, {where}{mix or ','}"
            if bent:
                raise GradientCheckError(self.kinked(what, bent, mine))
            raise GradientCheckError(
                f"check_grads of {self.name}: {what} is {mine!r} in reverse mode, and {other!r} by central differences "
                f"({max(off, 1)} of {g.size} elements {'are' if off > 1 else 'is'} off).{self.culprit()}"
            )

    def forward(self, f: Function, xs: list[Tensor], weights: list[Any], directions: list[Any], taken: str) -> None:
        np = self.np
        for i in range(len(xs)):
            move = directions[i] * np.maximum(1.0, np.abs(self.host([xs[i]])[0]))
            moves = [self.like(move, x) if k == i else zeros_like(x) for k, x in enumerate(xs)]
            tangents = self.host(self.attempt("forward mode", taken, lambda m=moves: self.tangent(f, m)(*xs)))  # type: ignore[misc]
            for j, t in enumerate(tangents):

                def value(s: float, i: int = i, j: int = j, move: Any = move) -> Any:
                    return self.host(f(*self.moved(xs, i, s * move)))[j]

                bad, numeric, kink = self.compare(value, t)
                if not bad and not kink:
                    continue
                off = np.abs(t - numeric) - self.rtol * np.abs(numeric)
                at = kink[2] if kink else np.unravel_index(np.argmax(off), off.shape)
                output = f"of output {j}, " if len(tangents) > 1 else ""
                what = f"the derivative {taken}{output}element {[int(k) for k in at]}, along a random direction of {self.labels[i]}"
                if kink:
                    raise GradientCheckError(self.kinked(what, kink, t[at].item()))
                raise GradientCheckError(
                    f"check_grads of {self.name}: {what}, is {t[at].item()!r} in forward mode, and {numeric[at].item()!r} by "
                    f"central differences.{self.culprit()}"
                )

    def compare(
        self, value: Callable[[float], Any], derivative: Any
    ) -> tuple[bool, Any, tuple[float, float, Any] | None]:
        """Whether ``derivative`` is off from central differences of ``value`` at 0; these; and both slopes at a kink."""
        np = self.np
        middle = value(0.0)
        first = None
        for finer in FINER:
            h = self.step * finer
            up, down = value(h), value(-h)
            central = (up - down) / (2 * h)
            if first is None:
                first = central
                gap = np.abs(up - 2 * middle + down) / h
                limit = KINK * (1 + np.abs(central)) + 1e-8 * np.abs(middle)
                if np.any(gap > limit):
                    kink = self.kink(value, middle, gap, limit)
                    if kink is not None:
                        return True, central, kink
            size = 1 + np.abs(middle) * 1e-3
            if np.all(np.abs(derivative - central) <= self.atol * size + self.rtol * np.abs(central)):
                return False, central, None
        return True, first, None

    def kink(self, value: Callable[[float], Any], middle: Any, gap: Any, limit: Any) -> tuple[float, float, Any] | None:
        """The slopes to the left and right, where they still differ at a tenth of the step, and the element."""
        np, h = self.np, self.step / 10
        left, right = (middle - value(-h)) / h, (value(h) - middle) / h
        still = (np.abs(right - left) > 0.5 * gap) & (gap > limit)
        if not np.any(still):
            return None
        at = np.unravel_index(np.argmax(np.where(still, gap, -1.0)), gap.shape)
        return left[at].item(), right[at].item(), at

    def kinked(self, what: str, kink: tuple[float, float, Any], mine: Any) -> str:
        left, right, _ = kink
        steep = max(abs(left), abs(right)) > 1e-2 * max(1.0, abs(mine)) / self.step
        word = "a jump" if steep else "a kink"
        return (
            f"check_grads of {self.name}: {what} cannot be compared: the function has {word} there (its slope is {left:.6g} to the left "
            f"and {right:.6g} to the right, JITrench's {mine:.6g}). Move the point away from it"
        )

    def axes(self, g: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
        """Each element's place and a unit move of it; of a complex one also the imaginary unit."""
        np = self.np
        for count, at in enumerate(np.ndindex(g.shape)):
            if count >= ELEMENTS:
                return
            for unit in (1.0, 1j) if g.dtype.kind == "c" else (1.0,):
                move = np.zeros(g.shape, g.dtype)
                move[at] = unit
                yield at, move

    # -- help -------------------------------------------------------------------------------------------------------

    def attempt(self, mode: str, taken: str, f: Callable[[], list[Tensor]]) -> list[Tensor]:
        try:
            return f()
        except JITrenchError as e:
            e.add_note(f"in check_grads of {self.name}: the derivative {taken}in {mode}")
            raise

    def host(self, xs: Sequence[Tensor]) -> list[Any]:
        return [self.np.asarray(x.numpy()) for x in xs]

    def normal(self, shape: tuple[int, ...], dtype: Any) -> Any:
        drawn = self.np.asarray(self.rng.normal(size=shape))
        return self.np.asarray(drawn + 1j * self.rng.normal(size=shape) if dtype.kind == "c" else drawn)

    def like(self, a: Any, x: Tensor) -> Tensor:
        return asarray(a, device=x.device)

    def moved(self, xs: list[Tensor], i: int, move: Any) -> list[Tensor]:
        """``xs`` with a change in one of them, as new leaves of no graph."""
        changed = self.host([xs[i]])[0] + move
        return [self.like(changed, x) if k == i else x for k, x in enumerate(xs)]

    def culprit(self) -> str:
        """The op whose own rule is wrong, found by checking each call that f makes; else the op that made the result."""
        if isinstance(getattr(self.f, "op", None), Op):
            return f" So a rule of op {self.f.op.name!r} is wrong."  # type: ignore[attr-defined]
        if isinstance(self.f, CustomGradient):
            return f" So a rule of {self.name} is wrong."
        own = []
        for op, arrays, attrs in calls(lambda: self.function(*self.inputs)):
            if getattr(op.kernels, "op", None) is None:  # a custom_gradient's, which lived for its call
                own.append(f"{op.name}()")
            elif problem := self.unbounded(op, arrays, attrs) or self.fault(op, arrays, attrs):
                return f"\n{problem}"
        if own:
            return (
                f"\nEach op by itself is right, so look at the rules of {', '.join(own)}: jt.check_grads of that function alone tells "
                f"which is wrong."
            )
        made = [y.node.op.name for y in self.function(*self.tracked()) if y.node is not None and y.node.op is not None]
        by = f"; its result was made by {made[0]}()" if made else "; nothing was recorded for its result"
        return f"\nEach op by itself is right{by}: look for what left the graph on the way, by detach(), numpy() or float()."

    def tracked(self) -> list[Tensor]:
        made = [Tensor(x.data) for x in self.inputs]
        for x in made:
            x.requires_grad = True
        return made

    def unbounded(self, op: Op, arrays: tuple[Any, ...], attrs: dict[str, Any]) -> str:
        """What to do where one call of an op gives no number, so that derivatives by way of it are none either."""
        made = op.apply(tuple(Tensor(a) if hasattr(a, "dtype") else a for a in arrays), attrs)
        ys = [y for y in (made if isinstance(made, tuple) else (made,)) if y.dtype.kind in "fc"]
        if all(bool(self.np.all(self.np.isfinite(y))) for y in self.host(ys)):
            return ""
        return (
            f"On the way {op.name}() makes {_short(self.host(ys)[0])}: choose another point (`with jt.detect_anomaly():` tells "
            f"the line)."
        )

    def fault(self, op: Op, arrays: tuple[Any, ...], attrs: dict[str, Any]) -> str:
        """What is wrong with one call of an op by itself; empty where nothing is."""
        floats = [i for i, a in enumerate(arrays) if hasattr(a, "dtype") and Tensor(a).dtype.kind in "fc"]
        smooth = [i for i in floats if op.rules.get(op.inputs[min(i, len(op.arrays))], True) is not None]

        def alone(*xs: Tensor) -> Any:
            every = [Tensor(a) if hasattr(a, "dtype") else a for a in arrays]
            for i, x in zip(smooth, xs, strict=True):
                every[i] = x
            return op.apply(tuple(every), attrs)

        alone.__name__ = op.name
        try:
            single = Check(alone, tuple(Tensor(arrays[i]) for i in smooth), self.rtol, self.atol, self.step, 0)
            single.culprit = lambda: ""  # type: ignore[method-assign]
            single.labels = [f"its input {op.inputs[min(i, len(op.arrays))]!r}" for i in smooth]
            single.level(single.function, single.inputs, 2, MODES, "")
        except GradientCheckError as e:
            told = str(e).partition(": ")[2]
            return "" if "cannot be compared" in told else f"A rule of op {op.name!r} is wrong: {told}"
        except JITrenchError:
            return ""
        return ""


def calls(f: Callable[[], Any]) -> list[tuple[Op, tuple[Any, ...], dict[str, Any]]]:
    """The kernels that run while f does, with their arrays and attributes, each op's first call."""
    seen: dict[str, tuple[Op, tuple[Any, ...], dict[str, Any]]] = {}

    def note(op: Op, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arrays: Any, **attrs: Any) -> Any:
            if not op.composite and all(backends.owner(type(a)).depth == 0 for a in arrays if hasattr(a, "dtype")):
                seen.setdefault(op.name, (op, arrays, attrs))
            return kernel(*arrays, **attrs)

        return run

    before, backends.watch = backends.watch, note
    try:
        for op in list(backends.OPS):
            op.kernels.clear()
        f()
    finally:
        backends.watch = before
    return list(seen.values())


def _label(f: Callable[..., Any], path: tuple[Any, ...]) -> str:
    """An argument's name and the keys that lead into it: ``params['w']``."""
    code = getattr(getattr(f, "__wrapped__", f), "__code__", None)
    first = path[0]
    op = getattr(f, "op", None)
    names = op.inputs if isinstance(op, Op) else code.co_varnames[: code.co_argcount] if code is not None else ()
    name = names[first] if first < len(names) else f"args[{first}]"
    return name + "".join(
        f"[{key!r}]" if not isinstance(key, str) or not key.isidentifier() else f".{key}" for key in path[1:]
    )


def _short(a: Any) -> str:
    text = " ".join(str(a).split())
    return text if len(text) < 80 else text[:77] + "..."
