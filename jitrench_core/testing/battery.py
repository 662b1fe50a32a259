"""The conformance battery: ``check_op`` holds one op, on one device, to everything that is true of every op.

>>> import jitrench_core as jt
>>> from jitrench_core.testing import check_op
>>> check_op(jt.softplus, "numpy")

Inputs come from the op's own ``samples`` or ``domain``. NumPy, which is imported when a check runs, is the reference.
Where that takes complex numbers for them, the op is held to complex numbers, too, in the convention of the rules: a change
dx of an input changes Re(sum(w * y)) by Re(sum(g * dx)), for incoming gradients w and the gradient g that the rules give.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any, NamedTuple, final

from .. import graph
from ..devices import device as as_device
from ..errors import JITrenchError, MissingDTypeError, TransformError, UnsupportedError
from ..op import Op, zero
from ..ops.creation import asarray
from ..signature import parameters
from ..tensor import Tensor
from ..transforms import jvp, vmap

SHAPE = (2, 3)  # of the inputs that are drawn from a domain
DOMAIN = (-2.0, 2.0)  # where an elementwise op names none
STEP = 6e-6  # of central differences: about the cube root of float64's precision
VALUE, FLOAT32, FIRST, SECOND = (1e-10, 1e-12), (1e-4, 1e-5), (1e-6, 1e-6), (1e-5, 1e-5)  # (relative, absolute)

# Vectors that have a sign which is each library's choice, or, where they are complex, a phase that differences do not see.
PHASES = ("eig", "eigh", "svd")


class Case(NamedTuple):
    """One call: its arrays (NumPy arrays or Python scalars) and attributes. ``label`` says what is special about it."""

    label: str
    arrays: tuple[Any, ...]
    attrs: dict[str, Any]

    def __str__(self) -> str:
        shapes = ", ".join(f"{a.dtype} {a.shape}" if hasattr(a, "shape") else repr(a) for a in self.arrays)
        attrs = "".join(f", {k}={v!r}" for k, v in self.attrs.items())
        return f"{self.label}: {shapes}{attrs}"


@final
class Run:
    """One op on one device: what the checks below share."""

    def __init__(self, function: Any, device: Any, reference: Callable[..., Any] | None, seed: int) -> None:
        import numpy as np

        op: Op | None = getattr(function, "op", None)
        if op is None:
            raise TypeError(f"check_op takes what @jt.op returns, or an entry of jt.registry.ops; got {function!r}")
        self.np: Any = np
        self.function = function
        self.op = op
        self.device = as_device(device)
        self.reference = reference or _numpy_reference(function, np)
        self.rng = np.random.default_rng([seed, zlib.crc32(op.name.encode())])  # the same numbers in every process

    def fail(self, case: Case | None, what: str) -> AssertionError:
        """An error that names the op, the device and the case."""
        return AssertionError(f"op {self.op.name!r} on {self.device}{f', {case}' if case else ''}: {what}")

    def rule(self, i: int) -> Any:
        """The vjp rule of array ``i``: a function, ``zero``, None for a constant, or False where there is none."""
        name = self.op.inputs[min(i, len(self.op.inputs) - 1)]
        if self.op.composite or self.op.rule_for_all:
            return self.op.rules.get(name, True)
        return self.op.rules.get(name, False)

    def floats(self, case: Case) -> list[int]:
        """The arrays of ``case`` that are of floating point, real or complex."""
        return [i for i, a in enumerate(case.arrays) if hasattr(a, "dtype") and a.dtype.kind in "fc"]

    def tracked(self, case: Case) -> list[int]:
        """The arrays of ``case`` that have a derivative."""
        return [i for i in self.floats(case) if self.rule(i) not in (None, False)]

    def call(self, case: Case, arrays: Sequence[Any], track: Sequence[int] = ()) -> tuple[list[Tensor], list[Any]]:
        """The op's outputs on ``arrays``, and its operands, those in ``track`` as leaves."""
        operands = [asarray(a, device=self.device) if hasattr(a, "shape") else a for a in arrays]
        for i in track:
            operands[i].requires_grad = True
        return self.attempt(case, "", lambda: self.function(*operands, **case.attrs)), operands

    def attempt(self, case: Case, what: str, f: Callable[[], Any]) -> list[Any]:
        """What ``f`` returns, as a list; where it raises, an error that names the op and ``what`` was done."""
        try:
            y = f()
        except UnsupportedError:
            raise
        except Exception as e:
            raise self.fail(case, f"{what}raised {type(e).__name__}: {e}") from e
        return list(y) if isinstance(y, (tuple, list)) else [y]

    def on(self, case: Case, places: Sequence[int], operands: Sequence[Any]) -> Callable[..., Any]:
        """The op as a function of the operands at ``places`` alone."""

        def f(*some: Any) -> Any:
            every = list(operands)
            for i, x in zip(places, some, strict=True):
                every[i] = x
            return self.function(*every, **case.attrs)

        return f

    def gradient(self, case: Case, arrays: Sequence[Any], weights: Sequence[Any]) -> list[Any]:
        """The gradients, as NumPy arrays, of the outputs weighted by ``weights`` at the tracked arrays."""
        track = self.tracked(case)
        ys, operands = self.call(case, arrays, track)
        gs = self.pull(case, self.smooth(ys), [operands[i] for i in track], [self.tensor(w) for w in weights])
        return [self.np.zeros_like(arrays[i]) if g is None else g.numpy() for i, g in zip(track, gs, strict=True)]

    def pull(
        self, case: Case, ys: Sequence[Tensor], xs: Sequence[Tensor], seeds: Sequence[Tensor], *, record: bool = False
    ) -> list[Tensor | None]:
        """What the engine gives for the gradients of ``ys`` at ``xs``; None where nothing was recorded."""
        pairs = [(y, s) for y, s in zip(ys, seeds, strict=True) if y.node is not None]
        if not pairs or not xs:
            return [None] * len(xs)
        nodes, seeds = [x.node for x in xs], [s for _, s in pairs]
        return self.attempt(case, "backward ", lambda: graph.grad([y for y, _ in pairs], nodes, seeds, record=record))

    def smooth(self, ys: Sequence[Tensor]) -> list[Tensor]:
        """Those outputs that can have a gradient."""
        return [y for y in ys if y.dtype.kind in "fc"]

    def weights(self, ys: Sequence[Tensor]) -> list[Any]:
        """Random weights for each output that can have a gradient."""
        return [self.normal(y.shape, str(y.dtype)) for y in self.smooth(ys)]

    def normal(self, shape: tuple[int, ...], dtype: str = "float64") -> Any:
        """Random numbers of a dtype that may be complex."""
        drawn = self.np.asarray(self.rng.normal(size=shape))
        return self.np.asarray(drawn + 1j * self.rng.normal(size=shape) if "complex" in dtype else drawn, dtype=dtype)

    def tensor(self, a: Any) -> Tensor:
        """A tensor of ``a`` on the device."""
        return asarray(a, device=self.device)

    def differences(self, f: Callable[[list[Any]], float], arrays: Sequence[Any], i: int) -> Any:
        """Central differences of ``f`` in each element of array ``i``; of z = a + ib it is df/da - i df/db."""
        out = self.np.zeros(arrays[i].shape, arrays[i].dtype)
        for at in self.np.ndindex(out.shape):
            step = STEP * max(1.0, abs(complex(arrays[i][at])))
            for unit in (1, 1j) if out.dtype.kind == "c" else (1,):
                ends = []
                for sign in (1, -1):
                    moved = [a.copy() if k == i else a for k, a in enumerate(arrays)]
                    moved[i][at] += sign * step * unit
                    ends.append(f(moved))
                out[at] += (ends[0] - ends[1]) / (2 * step) * self.np.conj(unit)
        return out

    def agree(self, case: Case, what: str, actual: Any, expected: Any, tolerance: tuple[float, float]) -> None:
        """Fail where shapes or values differ, and name the worst element."""
        np = self.np
        if actual.shape != expected.shape:
            raise self.fail(case, f"{what} has shape {actual.shape}, expected {expected.shape}")
        if self.op.name in PHASES and what.startswith("the result"):
            actual, expected = np.abs(actual), np.abs(expected)
        relative, absolute = tolerance
        wide = complex if "c" in (actual.dtype.kind, expected.dtype.kind) else float
        with np.errstate(invalid="ignore"):
            off = np.abs(np.asarray(actual, dtype=wide) - np.asarray(expected, dtype=wide))
            excess = off - (absolute + relative * np.abs(np.asarray(expected, dtype=wide)))
        same = (actual == expected) | ((actual != actual) & (expected != expected))
        bad = ~same & ~(excess <= 0)
        if np.any(bad):
            worst = np.unravel_index(np.argmax(np.where(bad, np.nan_to_num(excess, nan=np.inf), -np.inf)), bad.shape)
            at = tuple(int(k) for k in worst)
            count = f"{int(np.sum(bad))} of {bad.size} elements are off, most at {list(at)}"
            raise self.fail(case, f"{what} is {actual[at]!r}, expected {expected[at]!r}; {count}")


def check_op(
    function: Any,
    device: Any = "numpy",
    *,
    reference: Callable[..., Any] | None = None,
    cases: Sequence[tuple[tuple[Any, ...], dict[str, Any]]] = (),
    complex: bool | None = None,
    seed: int = 0,
) -> None:
    """Check one op on one device: documentation, values, dtypes, and first and second derivatives, on many shapes.

    ``function`` is what ``@jt.op`` returned. ``reference`` computes the expected value from NumPy arrays; without one
    that is NumPy's function of the same name, or the op's own forward on NumPy. ``cases`` are further calls, as pairs of
    arrays and attributes, in addition to what the op's ``samples`` or ``domain`` give. ``complex`` says whether complex numbers are
    tried, too, where the reference takes them; None does so for the core's own ops, because a rule that is right for real
    numbers is right for complex ones only where the op is holomorphic.

    Raises ``AssertionError``, which names the op, the input and the worst element.
    """
    for _, failure in outcomes(function, device, reference=reference, cases=cases, complex=complex, seed=seed):
        if failure is not None:
            raise failure


def outcomes(
    function: Any,
    device: Any = "numpy",
    *,
    reference: Callable[..., Any] | None = None,
    cases: Sequence[tuple[tuple[Any, ...], dict[str, Any]]] = (),
    complex: bool | None = None,
    seed: int = 0,
) -> Iterator[tuple[str, AssertionError | None]]:
    """Each check of ``check_op`` by its name, with the first case that failed it.

    Raises ``AssertionError`` for an op without test data, and ``UnsupportedError`` for one that the device's backend lacks.
    """
    run = Run(function, device, reference, seed)
    first = sample(run)
    run.call(first, first.arrays)
    every = [*_cases(run), *(Case(f"case {i}", arrays, attrs) for i, (arrays, attrs) in enumerate(cases))]
    if complex or (complex is None and run.op.owner == "jitrench-core" and run.op.name not in PHASES):
        own = [case for case in every if case.label == "sample" or case.label.startswith("case ")]
        every += [case for case in (complex_case(run, case) for case in own) if case is not None]
    yield "documented", _failure(check_documented, run)
    for name, check in CHECKS.items():
        yield name, next((found for case in every if (found := _failure(check, run, case))), None)


def _failure(check: Callable[..., None], *args: Any) -> AssertionError | None:
    try:
        check(*args)
    except AssertionError as e:
        return e
    except MissingDTypeError:  # of a case in numbers that the backend says it has not
        return None
    except UnsupportedError as e:  # of an op that a rule uses
        return AssertionError(str(e))
    return None


# -- the checks, each of one case -----------------------------------------------------------------------------------


def check_documented(run: Run) -> None:
    """The op says what it computes."""
    if not (run.op.__doc__ or "").strip():
        raise run.fail(None, "it has no docstring")


def check_value(run: Run, case: Case) -> None:
    """Value, shape and dtype are the reference's, the result stays on the device, and no input is written to."""
    before = [run.np.array(a) for a in case.arrays]
    ys, operands = run.call(case, case.arrays)
    for a, b, x in zip(case.arrays, before, operands, strict=True):
        for now in (a, x.numpy() if type(x) is Tensor else x):
            if not run.np.array_equal(now, b):
                raise run.fail(case, f"it changed its input from {b!r} to {now!r}")
    for y in ys:
        if y.device != run.device:
            raise run.fail(case, f"the result is on {y.device}")
    if run.reference is None:
        return
    expected = run.reference(*case.arrays, **case.attrs)
    for y, e in zip(ys, expected if isinstance(expected, tuple) else (expected,), strict=True):
        e = run.np.asarray(e)
        if y.dtype != e.dtype:
            raise run.fail(case, f"the result is {y.dtype}, expected {e.dtype}")
        run.agree(case, "the result", y.numpy(), e, VALUE if e.dtype.kind in "fc" else (0.0, 0.0))


def check_float32(run: Run, case: Case) -> None:
    """float32 in means float32 out, and a float32 gradient; both near those of float64. So do complex64 and complex128."""
    np, track = run.np, run.tracked(case)
    if not run.floats(case):
        return
    low = [np.asarray(a, dtype=_LOW[a.dtype.kind]) if i in run.floats(case) else a for i, a in enumerate(case.arrays)]
    high = [np.asarray(a, dtype=_HIGH[a.dtype.kind]) if i in run.floats(case) else a for i, a in enumerate(low)]
    ys, operands = run.call(case, low, track)
    expected, _ = run.call(case, high)
    for y, e in zip(ys, expected, strict=True):
        wanted = _LOW[e.dtype.kind] if e.dtype.kind in _LOW and case.attrs.get("dtype") is None else e.dtype.name
        if y.dtype.name != wanted:
            raise run.fail(case, f"of {_lowest(low)} the result is {y.dtype}, expected {wanted}")
        exact = e.dtype.kind not in _LOW
        run.agree(case, f"the result in {y.dtype.name}", y.numpy(), e.numpy(), (0.0, 0.0) if exact else FLOAT32)
    if run.op.name in PHASES:  # another precision may choose another sign
        return
    weights = run.weights(ys)
    gs = run.pull(case, run.smooth(ys), [operands[i] for i in track], [run.tensor(w) for w in weights])
    for i, g, e in zip(
        track, gs, run.gradient(case, high, [w.astype(_HIGH[w.dtype.kind]) for w in weights]), strict=True
    ):
        if g is not None:
            if g.dtype.name != _LOW[g.dtype.kind] or g.dtype.kind != low[i].dtype.kind:
                raise run.fail(case, f"the gradient of {low[i].dtype} input {i} is {g.dtype}")
            run.agree(case, f"the {g.dtype.name} gradient of input {i}", g.numpy(), e, FLOAT32)


def check_gradient(run: Run, case: Case) -> None:
    """The vjp agrees with central differences; an input that is a constant records nothing."""
    for i in run.floats(case):
        if run.rule(i) is None:
            ys, _ = run.call(case, case.arrays, [i])
            if any(y.requires_grad for y in ys):
                raise run.fail(case, f"input {i} is declared a constant, and yet recorded")
    track = run.tracked(case)
    if not track:
        return
    ys, _ = run.call(case, case.arrays)
    weights = run.weights(ys)
    for i, g in zip(track, run.gradient(case, case.arrays, weights), strict=True):
        expected = run.differences(lambda arrays: _weighted(run, case, arrays, weights), case.arrays, i)
        run.agree(case, f"the gradient of input {i}", g, expected, FIRST)


def check_second_order(run: Run, case: Case) -> None:
    """The vjp of the vjp, in the inputs and in the incoming gradient, agrees with central differences of the vjp."""
    np, track = run.np, run.tracked(case)
    if not track or all(run.rule(i) is zero for i in track):
        return
    ys, operands = run.call(case, case.arrays, track)
    weights = run.weights(ys)
    seeds = [run.tensor(w) for w in weights]
    for s in seeds:
        s.requires_grad = True
    xs = [operands[i] for i in track]
    gs = run.pull(case, run.smooth(ys), xs, seeds, record=True)
    directions = [run.normal(x.shape, str(x.dtype)) for x in xs]
    live = [(g, run.tensor(v)) for g, v in zip(gs, directions, strict=True) if g is not None]
    second = run.pull(case, [g for g, _ in live], [*xs, *seeds], [v for _, v in live])

    def first(arrays: Sequence[Any]) -> float:
        """The gradient, weighted by ``directions``; ``arrays`` are the inputs and then the outputs' weights."""
        n = len(case.arrays)
        found = run.gradient(case, arrays[:n], arrays[n:])
        return sum(float(np.sum(g * v).real) for g, v in zip(found, directions, strict=True))

    places = [*track, *range(len(case.arrays), len(case.arrays) + len(seeds))]
    arguments = [*case.arrays, *weights]
    if any(arguments[k].dtype.kind == "c" for k in places):  # twice the numbers: along one direction
        _check_second_order_along(run, case, first, arguments, dict(zip(places, second, strict=True)))
        return
    for k, found in zip(places, second, strict=True):
        expected = run.differences(first, arguments, k)
        g = np.zeros(expected.shape) if found is None else found.numpy()
        name = f"input {k}" if k < len(case.arrays) else f"the incoming gradient {k - len(case.arrays)}"
        run.agree(case, f"the second derivative in {name}", g, expected, SECOND)


def _check_second_order_along(
    run: Run, case: Case, first: Callable[[list[Any]], float], arguments: list[Any], second: dict[int, Tensor | None]
) -> None:
    """The same along one random direction in all inputs and incoming gradients at once."""
    moves = {k: run.normal(arguments[k].shape, str(arguments[k].dtype)) for k in second}
    up, down = (
        first([a + step * moves[k] if k in moves else a for k, a in enumerate(arguments)]) for step in (STEP, -STEP)
    )
    found = sum(float(run.np.sum(g.numpy() * moves[k]).real) for k, g in second.items() if g is not None)
    expected = run.np.asarray((up - down) / (2 * STEP))
    run.agree(case, "the second derivative along a direction", run.np.asarray(found), expected, SECOND)


def check_saved(run: Run, case: Case) -> None:
    """A node keeps the arrays that its rules name, and no other."""
    op, track = run.op, run.tracked(case)
    if op.composite or not track:
        return
    ys, _ = run.call(case, case.arrays, track)
    node: Any = next((y.node for y in ys if y.node is not None), None)
    node = node.parents[0] if type(node) is graph.Output else node
    if node is None or node.op is not op:  # an identity that hands its input on
        return
    tracked = {op.inputs[min(i, len(op.arrays))] for i in track}
    rules = [op.rule_for_all] if op.rule_for_all else [op.rules[name] for name in tracked if callable(op.rules[name])]
    named = {p for rule in rules for p in parameters(rule)}
    named |= {p for name in named & op.aux_formulas.keys() for p in parameters(op.aux_formulas[name])}
    slots = (*op.inputs, "y", *op.aux)
    for name, value in zip(slots, node.saved, strict=False):
        holds = any(hasattr(v, "__array__") or hasattr(v, "__dlpack__") for v in _flat(value))
        if holds and name not in named:
            raise run.fail(case, f"the graph keeps the array {name!r}, which no rule names")
    for key, value in node.attrs.items():
        if any(hasattr(v, "__dlpack__") for v in _flat(value)):
            raise run.fail(case, f"the graph keeps an array in the attribute {key!r}")


def _flat(value: Any) -> Iterator[Any]:
    for part in value if isinstance(value, (tuple, list)) else (value,):
        if isinstance(part, (tuple, list)):
            yield from _flat(part)
        else:
            yield part


def check_jvp(run: Run, case: Case) -> None:
    """Forward mode agrees with central differences along a random direction, in all inputs at once."""
    np, track = run.np, run.tracked(case)
    if not track:
        return
    ys, operands = run.call(case, case.arrays)
    moves = {i: run.normal(case.arrays[i].shape, str(case.arrays[i].dtype)) for i in track}
    primals, tangents = [operands[i] for i in track], [run.tensor(moves[i]) for i in track]
    _, found = run.attempt(case, "jvp ", lambda: jvp(run.on(case, track, operands), primals, tangents))
    ends = []
    for step in (STEP, -STEP):
        ends.append(run.call(case, [a + step * moves[i] if i in moves else a for i, a in enumerate(case.arrays)])[0])
    for y, t, up, down in zip(ys, found if isinstance(found, tuple) else (found,), *ends, strict=True):
        if y.dtype.kind in "fc":
            run.agree(case, "the jvp", t.numpy(), np.asarray((up.numpy() - down.numpy()) / (2 * STEP)), FIRST)


def check_vmap(run: Run, case: Case) -> None:
    """Batched over all floating-point inputs, over each alone, and over all inputs, it agrees with a loop."""
    np, floats = run.np, run.floats(case)
    every = [i for i, a in enumerate(case.arrays) if hasattr(a, "shape")]
    index_arrays = run.op.variadic is not None and len(every) > len(floats)  # masks select differing numbers
    _, operands = run.call(case, case.arrays)
    for places in {tuple(p) for p in (floats, *([i] for i in floats), () if index_arrays else every) if p}:
        other = [np.flip(case.arrays[i]) for i in places]
        batches = [run.tensor(np.stack([case.arrays[i], a])) for i, a in zip(places, other, strict=True)]
        f = run.on(case, places, operands)
        what = f"vmap over input(s) {', '.join(map(str, places))} "
        try:
            found = run.attempt(case, what, partial(vmap(f), *batches))
        except AssertionError as e:
            if isinstance(e.__cause__, TransformError) and run.op.batch_rule is not None:
                return  # a rule that refuses, in words of its own
            raise
        loop = [run.attempt(case, what, partial(f, *row)) for row in zip(*batches, strict=True)]
        for y, *rows in zip(found, *loop, strict=True):
            if y.dtype != rows[0].dtype:
                raise run.fail(case, f"{what}is {y.dtype}, a loop {rows[0].dtype}")
            expected = np.stack([row.numpy() for row in rows])
            run.agree(case, what + "compared to a loop", y.numpy(), expected, VALUE if y.dtype.kind in "fc" else (0, 0))


# What holds for every case of every op.
CHECKS: dict[str, Callable[[Run, Case], None]] = {
    "value": check_value,
    "float32": check_float32,
    "gradient": check_gradient,
    "second order": check_second_order,
    "saved": check_saved,
    "jvp": check_jvp,
    "vmap": check_vmap,
}


def _weighted(run: Run, case: Case, arrays: Sequence[Any], weights: Sequence[Any]) -> float:
    ys, _ = run.call(case, arrays)
    return sum(float(run.np.sum(w * y.numpy()).real) for y, w in zip(run.smooth(ys), weights, strict=True))


# -- the cases ------------------------------------------------------------------------------------------------------


def _numpy_reference(function: Any, np: Any) -> Callable[..., Any] | None:
    """For a composite NumPy's function of that name; for another op its own forward on NumPy, and a kernel only where it has none."""
    op: Op = function.op
    if op.composite:
        return getattr(np, op.name, None)
    forward: Callable[..., Any] = op.bound_forward(np)

    def reference(*arrays: Any, **attrs: Any) -> Any:
        y = forward(*arrays, **attrs)
        if y is NotImplemented:
            return on_numpy(function, *arrays, **attrs)
        return y[0] if op.aux else y

    return reference


def on_numpy(function: Any, *arrays: Any, **attrs: Any) -> Any:
    """What an op gives on the NumPy backend, as arrays."""
    y = function(*(asarray(a, device="numpy") if hasattr(a, "shape") else a for a in arrays), **attrs)
    return tuple(part.numpy() for part in y) if isinstance(y, (tuple, list)) else y.numpy()


def sample(run: Run) -> Case:
    """The op's own test data."""
    op, np = run.op, run.np
    if op.samples is not None:
        arrays, attrs = op.samples(run.rng)
        return Case("sample", tuple(np.asarray(a) if hasattr(a, "shape") else a for a in arrays), attrs)
    if op.elementwise:
        return Case("sample", tuple(np.asarray(run.rng.uniform(*_domain(op, name), SHAPE)) for name in op.inputs), {})
    raise run.fail(None, "it declares no test data: give @op(samples=lambda rng: ((arrays), {attributes}))")


def _cases(run: Run) -> Iterator[Case]:
    """The op's sample, and what can be derived from it: no dimension, one element, none, strides, broadcasting."""
    op, np = run.op, run.np
    first = sample(run)
    arrays, attrs = first.arrays, first.attrs
    yield first
    if any(a.ndim for a in arrays if hasattr(a, "shape")):
        yield Case("strided", _each(arrays, lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a), attrs)
        yield Case("in Fortran order", _each(arrays, lambda a: np.asarray(a, order="F")), attrs)
    if op.elementwise:
        yield Case("0-d", _each(arrays, lambda a: a.reshape(-1)[:1].reshape(())), attrs)
        yield Case("one element", _each(arrays, lambda a: a.reshape(-1)[:1]), attrs)
        yield Case("empty", _each(arrays, lambda a: a[:0]), attrs)
        yield from _broadcast(arrays, attrs)
    elif {"axis", "keepdims"} <= op.attrs.keys() and len(arrays) == 1:
        (x,) = arrays
        yield Case("whole", (x,), {**attrs, "axis": None})
        yield Case("whole, kept", (x,), {**attrs, "axis": None, "keepdims": True})
        yield Case("axis kept", (x,), {**attrs, "axis": 0, "keepdims": True})
        yield Case("last axis", (x,), {**attrs, "axis": -1})
        yield Case("0-d", (x.reshape(-1)[:1].reshape(()),), {**attrs, "axis": None})
        yield Case("one element", (x[:1, :1],), attrs)
        yield Case("empty", (x[:0],), {**attrs, "axis": 1})


def _broadcast(arrays: tuple[Any, ...], attrs: dict[str, Any]) -> Iterator[Case]:
    """Each array in turn without dimension, and as one row; then a row against a column."""
    own = [i for i, a in enumerate(arrays) if hasattr(a, "shape")]
    if len(own) < 2:
        return
    for i in own:
        yield Case(f"broadcast, 0-d input {i}", _at(arrays, i, arrays[i].reshape(-1)[:1].reshape(())), attrs)
        yield Case(f"broadcast, a row as input {i}", _at(arrays, i, arrays[i][:1]), attrs)
    first, last = own[0], own[-1]
    crossed = _at(_at(arrays, first, arrays[first][:1]), last, arrays[last][:, :1])
    yield Case("broadcast, a row with a column", crossed, attrs)


def complex_case(run: Run, case: Case) -> Case | None:
    """``case`` with complex numbers for its real ones; None where the op is of real numbers, or ``case`` has none.

    An op is of real numbers alone where its reference or the backend says so, by a TypeError, and where its reference compares or
    sorts: NumPy orders complex numbers, the Array API standard does not.
    """
    np, rng = run.np, run.rng
    if not any(case.arrays[i].dtype.kind == "f" for i in run.floats(case)) or case.attrs.get("dtype") is not None:
        return None

    def with_imaginary_part(a: Any) -> Any:
        part = rng.uniform(0.1, 0.5, size=a.shape)
        if a.ndim > 1 and a.shape[-1] == a.shape[-2] and np.allclose(a, np.swapaxes(a, -1, -2)):
            part = part - np.swapaxes(part, -1, -2)  # what is symmetric becomes Hermitian
        return np.asarray(a + 1j * part)

    floats = run.floats(case)
    arrays = tuple(with_imaginary_part(a) if i in floats else a for i, a in enumerate(case.arrays))
    made = Case(f"{case.label}, complex", arrays, case.attrs)
    try:
        unordered = [a.view(_unordered(np)) if i in floats else a for i, a in enumerate(arrays)]
        own = None if run.op.composite else run.op.bound_forward(np)
        for compute in (run.reference, own):
            if compute is not None:
                compute(*unordered, **case.attrs)
        run.function(*(run.tensor(a) if hasattr(a, "shape") else a for a in arrays), **case.attrs)
    except (TypeError, NotImplementedError) as e:
        if isinstance(e, JITrenchError) or not _ours(e):
            return None
        raise
    return made


@cache
def _unordered(np: Any) -> Any:
    """A class of NumPy arrays that does not order complex numbers."""

    class Unordered(np.ndarray):  # type: ignore[misc]
        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
            inputs = tuple(np.asarray(a) if isinstance(a, Unordered) else a for a in inputs)
            if ufunc.__name__ in _ORDERING and any(np.iscomplexobj(a) for a in inputs):
                raise TypeError(f"{ufunc.__name__} of complex numbers")
            if out is not None:
                options["out"] = tuple(np.asarray(a) if isinstance(a, Unordered) else a for a in out)
            return _wrapped(getattr(ufunc, method)(*inputs, **options))

        def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
            if function.__name__ in _ORDERING and any(np.iscomplexobj(a) for a in args):
                raise TypeError(f"{function.__name__} of complex numbers")
            return super().__array_function__(function, types, args, kwargs)

    def _wrapped(y: Any) -> Any:
        if isinstance(y, tuple):
            return tuple(map(_wrapped, y))
        return y.view(Unordered) if isinstance(y, np.ndarray) else y

    return Unordered


def _ours(e: Exception) -> bool:
    """Whether a TypeError is a mistake in Python code: a call that does not fit its function."""
    return any(words in str(e) for words in ("positional argument", "unexpected keyword", "required keyword-only"))


# NumPy's functions that compare complex numbers by their real part first.
_ORDERING = frozenset({
    "less", "less_equal", "greater", "greater_equal", "maximum", "minimum", "fmax", "fmin", "clip", "max", "min", "amax", "amin",
    "argmax", "argmin", "sort", "argsort", "partition", "argpartition", "searchsorted", "median", "quantile", "percentile", "ptp",
    "digitize",
})  # fmt: skip
_LOW, _HIGH = {"f": "float32", "c": "complex64"}, {"f": "float64", "c": "complex128"}


def _lowest(arrays: Sequence[Any]) -> str:
    names = {a.dtype.name for a in arrays if hasattr(a, "dtype")}
    return "complex64" if "complex64" in names else "float32"


def _each(arrays: tuple[Any, ...], f: Callable[[Any], Any]) -> tuple[Any, ...]:
    return tuple(f(a) if hasattr(a, "shape") else a for a in arrays)


def _at(arrays: tuple[Any, ...], i: int, a: Any) -> tuple[Any, ...]:
    return (*arrays[:i], a, *arrays[i + 1 :])


def _domain(op: Op, name: str) -> tuple[float, float]:
    domain = op.domain or DOMAIN
    return domain if isinstance(domain, tuple) else domain.get(name, DOMAIN)


__all__ = ["Case", "check_op"]
