"""Integrals with derivatives: ``odeint`` for ordinary differential equations, ``quad`` for functions, and sums over samples.

The step sizes of an adaptive method are numbers that its loop must see, whatever transform it runs under. ``_observed`` is how:
an op whose forward shows its arrays to a function, and to which all transforms are transparent, as to any op.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, final

import jitrench_core as jt
from jitrench_core.errors import suggest
from jitrench_core.transforms.tree import flatten, names

from .parameters import arrays_among


class IntegrationError(jt.JITrenchError, ArithmeticError):
    """An integral that could not be computed as exactly as asked: the message says where it went wrong."""


# -- numbers out of every transform -----------------------------------------------------------------------------------


@jt.op(name="observed", vjp={"arrays": None})
def _observed(xp: Any, /, *arrays: Any, see: Any, batch: int = 0) -> Any:
    """The first array, after ``see(xp, batch, *arrays)``; the first ``batch`` axes are examples of ``vmap``."""
    see(xp, batch, *arrays)
    return arrays[0]


@_observed.batch
def _(batched: Any, *arrays: Any, see: Any, batch: int) -> Any:
    every = [x if b else jt.expand_dims(x, axis=0) for x, b in zip(arrays, batched, strict=True)]
    return _observed(*every, see=see, batch=batch + 1)


def _numbers(x: jt.Tensor) -> list[float]:
    """The elements of a 1-D tensor of times, under every transform but one that batches them."""
    box: list[Any] = []

    def see(xp: Any, batch: int, array: Any) -> None:
        if batch:
            raise jt.TransformError(
                "odeint() under vmap: its times are batched, and each example would have steps of its own. Let all examples "
                "share them, by in_axes=None, or scale time: y' = T f(y, T s) over s from 0 to 1"
            )
        box.extend(jt.asarray(array).tolist())

    _observed(x, see=see)
    return [float(v) for v in box]


def _norm(triples: Sequence[Any], rtol: float, atol: float) -> float:
    """The largest root mean square of e / (atol + rtol max(|y0|, |y1|)) among triples (e, y0, y1) and examples."""
    box: list[float] = []

    def see(xp: Any, batch: int, *arrays: Any) -> None:
        found = []
        for e, y0, y1 in zip(arrays[::3], arrays[1::3], arrays[2::3], strict=True):
            if 0 in e.shape:
                continue
            scale = atol + rtol * xp.maximum(xp.abs(y0), xp.abs(y1))
            none = scale == 0  # atol is 0, and so is y
            ratio = xp.abs(e) / xp.where(none, 1.0, scale)
            ratio = xp.where(none & (e != 0), math.inf, ratio)
            axes = tuple(range(batch, ratio.ndim))
            rms = xp.sqrt(xp.mean(ratio * ratio, axis=axes)) if axes else ratio
            found.append(xp.max(rms))
        box.append(max((float(v) for v in found), key=lambda v: math.inf if math.isnan(v) else v, default=0.0))

    _observed(*(x for triple in triples for x in triple), see=see)
    return box[0]


@jt.op(
    name="weighted_sum",
    elementwise=True,
    linear=("arrays",),
    vjp={"arrays": lambda g, weights: tuple(g * w for w in weights)},
)
def _weighted_sum(xp: Any, /, *arrays: Any, weights: Any) -> Any:
    """The sum of arrays times numbers: one op of a graph instead of two for each array."""
    total = weights[0] * arrays[0]
    for w, x in zip(weights[1:], arrays[1:], strict=True):
        total = total + w * x
    return total


def _combined(stages: Sequence[Sequence[Any]], weights: Sequence[float]) -> list[Any]:
    """For each leaf the weighted sum of its stages."""
    used = [(k, w) for k, w in zip(stages, weights, strict=False) if w]
    return [
        _weighted_sum(*parts, weights=tuple(w for _, w in used)) for parts in zip(*(k for k, _ in used), strict=True)
    ]


# -- the methods ------------------------------------------------------------------------------------------------------


class Tableau(NamedTuple):
    """An explicit Runge-Kutta method; with ``error`` and ``dense`` (by stage, powers of theta) an adaptive one."""

    order: int
    nodes: tuple[float, ...]
    rows: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    error: tuple[float, ...] = ()
    dense: tuple[tuple[float, ...], ...] = ()


METHODS = {
    # Dormand and Prince 1980; the dense output is Shampine's of 1986, of order 4.
    "dopri5": Tableau(
        5,
        (0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1),
        (
            (),
            (1 / 5,),
            (3 / 40, 9 / 40),
            (44 / 45, -56 / 15, 32 / 9),
            (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
            (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        ),
        (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
        (-71 / 57600, 0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40),
        (
            (1, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432),
            (0, 0, 0, 0),
            (0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799),
            (0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072),
            (0, 127303824393 / 49829197408, -318862633887 / 49829197408, 701980252875 / 199316789632),
            (0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844),
            (0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423),
        ),
    ),
    # Bogacki and Shampine 1989, with the cubic through both ends and slopes.
    "bosh3": Tableau(
        3,
        (0, 1 / 2, 3 / 4),
        ((), (1 / 2,), (0, 3 / 4)),
        (2 / 9, 1 / 3, 4 / 9),
        (5 / 72, -1 / 12, -1 / 9, 1 / 8),
        ((1, -4 / 3, 5 / 9), (0, 1, -2 / 3), (0, 4 / 3, -8 / 9), (0, -1, 1)),
    ),
    "rk4": Tableau(4, (0, 1 / 2, 1 / 2, 1), ((), (1 / 2,), (0, 1 / 2), (0, 0, 1)), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
    "midpoint": Tableau(2, (0, 1 / 2), ((), (1 / 2,)), (0, 1)),
    "euler": Tableau(1, (0,), ((),), (1,)),
}
STIFF = ("BDF", "Radau", "LSODA")  # scipy.integrate.solve_ivp's, with our Jacobian
ADAPTIVE = tuple(name for name, tableau in METHODS.items() if tableau.error)

Field = Callable[[Any, list[Any], list[Any]], list[Any]]  # of time, the state's leaves, the parameters' leaves


@final
class _Problem:
    """A field and how to integrate it: ``solve`` gives each leaf at all times."""

    __slots__ = ("atol", "field", "max_steps", "method", "moving_times", "rtol", "step")

    def __init__(
        self, field: Field, method: str, rtol: float, atol: float, max_steps: int, step: Any, moving_times: bool
    ) -> None:
        self.field = field
        self.method = method
        self.rtol = rtol
        self.atol = atol
        self.max_steps = max_steps
        self.step = step
        self.moving_times = moving_times

    def of(self, field: Field) -> _Problem:
        """Another field, integrated in the same way."""
        return _Problem(field, self.method, self.rtol, self.atol, self.max_steps, self.step, self.moving_times)

    def solve(self, start: list[Any], at: Any, params: list[Any], times: list[float]) -> list[Any]:
        field = lambda t, ys: self.field(t, ys, params)  # noqa: E731
        if times[0] == times[-1]:
            if not self.moving_times or len(times) == 1:
                return [jt.stack([y] * len(times)) for y in start]
            # Steps of length 0, whose derivatives by the times are right to the order of the method.
            return self._fixed(METHODS.get(self.method, METHODS["rk4"]), field, start, at, times)
        if self.method in STIFF:
            return self._by_scipy(field, start, times)
        tableau = METHODS[self.method]
        return (
            self._adaptive(tableau, field, start, at, times)
            if tableau.error
            else self._fixed(tableau, field, start, at, times)
        )

    # -- fixed steps

    def _fixed(self, tableau: Tableau, field: Any, ys: list[Any], at: Any, times: list[float]) -> list[Any]:
        """The same number of equal steps in all intervals of a length; each step is a tensor, with the times' derivatives."""
        rows, taken = [ys], 0
        for i in range(1, len(times)):
            length = abs(times[i] - times[i - 1])
            n = 1 if self.step is None else max(1, math.ceil(length / self.step * (1 - 1e-12)))
            taken += n
            if taken > self.max_steps:
                raise self._too_many(times[i - 1], "a larger step")
            t, h = at[i - 1], (at[i] - at[i - 1]) / n
            for k in range(n):
                now = t + h * float(k)
                stages: list[Any] = []
                for c, row in zip(tableau.nodes, tableau.rows, strict=True):
                    stages.append(field(now + h * c, self._moved(ys, h, stages, row)))
                ys = self._moved(ys, h, stages, tableau.weights)
            rows.append(ys)
        return [jt.stack(column) for column in zip(*rows, strict=True)]

    def _moved(self, ys: list[Any], h: Any, stages: list[Any], weights: Sequence[float]) -> list[Any]:
        """y + h times the weighted sum of stages; h is a number or a tensor, of the leaf's precision then."""
        if not any(weights):
            return ys
        found = []
        for y, d in zip(ys, _combined(stages, weights), strict=True):
            found.append(y + d * (h if isinstance(h, float) else _as_real(h, y)))
        return found

    # -- adaptive steps

    def _adaptive(self, tableau: Tableau, field: Any, ys: list[Any], at: Any, times: list[float]) -> list[Any]:
        first, last = times[0], times[-1]
        sign = 1.0 if last >= first else -1.0
        start = at[0]
        clock = lambda now: start + (now - first)  # noqa: E731
        now, ks, taken, i = first, field(start, ys), 0, 1
        self._finite(ks, first)
        h = self._first_step(tableau, field, ys, ks, clock, now, sign, abs(last - first))
        blocks = [[jt.expand_dims(y, axis=0)] for y in ys]
        rejected = False
        while i < len(times):
            if taken >= self.max_steps:
                raise self._too_many(now, "looser tolerances, or method='Radau' where the equations are stiff")
            taken += 1
            ends = h >= abs(last - now) * (1 - 1e-12)
            after = last if ends else now + sign * h
            size = after - now
            if abs(size) < 10 * math.ulp(max(abs(now), abs(after))) and not ends:
                raise IntegrationError(
                    f"odeint: at t={now:.9g} the step fell to {abs(size):.3g}, which is nothing beside t: the solution blows up "
                    f"there, or f jumps, returns NaN, or is stiff. End before that t, loosen rtol={self.rtol:.3g} and "
                    f"atol={self.atol:.3g}, or use method='Radau'"
                )
            stages = [ks]
            for c, row in zip(tableau.nodes[1:], tableau.rows[1:], strict=True):
                stages.append(field(clock(now + c * size), self._moved(ys, size, stages, row)))
            reached = self._moved(ys, size, stages, tableau.weights)
            stages.append(field(clock(after), reached))
            errors = [e * size for e in _combined(stages, tableau.error)]
            ratio = _norm(list(zip(errors, ys, reached, strict=True)), self.rtol, self.atol)
            if not ratio <= 1.0:  # NaN, too
                shrink = 0.9 * ratio ** (-1 / tableau.order) if math.isfinite(ratio) else 0.0
                h, rejected = abs(size) * max(0.2, shrink), True
                continue
            inside = i
            while i < len(times) and (times[i] - after) * sign <= 0:
                i += 1
            if i > inside:
                for block, values in zip(
                    blocks, self._between(tableau, ys, stages, at[inside:i] - start, now - first, size), strict=True
                ):
                    block.append(values)
            grow = 0.9 * ratio ** (-1 / tableau.order) if ratio else 10.0
            h = abs(size) * min(1.0 if rejected else 10.0, max(0.2, grow))
            now, ys, ks, rejected = after, reached, stages[-1], False
        return [jt.concat(block) for block in blocks]

    def _between(self, tableau: Tableau, ys: Any, stages: Any, since: Any, offset: float, size: float) -> list[Any]:
        """The dense output at several times within a step: a polynomial of theta, with its derivative."""
        theta = (since - offset) / size
        powers = [_combined(stages, column) for column in zip(*tableau.dense, strict=True)]
        found = []
        for leaf, y in enumerate(ys):
            x = jt.reshape(_as_real(theta, y), (theta.shape[0], *[1] * y.ndim))
            total = powers[-1][leaf] * x
            for power in powers[-2::-1]:
                total = (power[leaf] + total) * x
            found.append(y + total * size)
        return found

    def _first_step(
        self, tableau: Tableau, field: Any, ys: Any, ks: Any, clock: Any, now: float, sign: float, length: float
    ) -> float:
        """Hairer, Norsett and Wanner, Solving ODEs I, section II.4: from the sizes of y, f and f's change along a small step."""
        measure = lambda parts: _norm([(p, y, y) for p, y in zip(parts, ys, strict=True)], self.rtol, self.atol)  # noqa: E731
        d0, d1 = measure(ys), measure(ks)
        h0 = min(length, 1e-6 if d0 < 1e-5 or d1 < 1e-5 else 0.01 * d0 / d1)
        moved = field(clock(now + sign * h0), self._moved(ys, sign * h0, [ks], (1.0,)))
        d2 = measure([a - b for a, b in zip(moved, ks, strict=True)]) / h0 if h0 else 0.0
        largest = max(d1, d2)
        if not math.isfinite(largest):
            return h0
        h1 = max(1e-6, h0 * 1e-3) if largest <= 1e-15 else (0.01 / largest) ** (1 / tableau.order)
        return min(100 * h0, h1, length)

    # -- SciPy's methods for stiff equations

    def _by_scipy(self, field: Any, start: list[Any], times: list[float]) -> list[Any]:
        import numpy as np
        from scipy.integrate import solve_ivp

        shapes, like = [y.shape for y in start], start[0]
        sizes = np.cumsum([0, *(y.size for y in start)])

        def leaves(v: Any) -> list[Any]:
            parts = zip(sizes, sizes[1:], shapes, start, strict=False)
            return [jt.astype(jt.reshape(v[int(a) : int(b)], shape), y.dtype) for a, b, shape, y in parts]

        def flat(v: Any, t: float) -> Any:
            now = jt.asarray(t, dtype=_real(like.dtype), device=like.device)
            return jt.concat([jt.reshape(k, (-1,)) for k in field(now, leaves(v))])

        def vector(v: Any) -> Any:
            return jt.asarray(v, dtype=wide, device=like.device)

        now, calls = times[0], 0

        def slope(t: float, v: Any) -> Any:
            nonlocal now, calls
            now, calls = t, calls + 1
            if calls > 10 * self.max_steps:
                raise self._too_many(t, "looser tolerances")
            return flat(vector(v), t).numpy().astype(kind)

        first = jt.concat([jt.reshape(y, (-1,)) for y in start])
        complex_ = first.dtype.kind == "c"
        if complex_ and self.method != "BDF":
            raise jt.DTypeError(f"odeint: scipy's {self.method} has no complex numbers; take method='BDF'")
        kind, wide = ("complex128", jt.complex128) if complex_ else ("float64", jt.float64)
        # Without a smallest step LSODA goes on for ever at a pole.
        more = {"min_step": 10 * math.ulp(max(map(abs, times)))} if self.method == "LSODA" else {}
        try:
            y0 = first.numpy().astype(kind)
            # SciPy's states are new tensors; here what f uses from around it meets those that came, and is found out.
            ks = field(jt.asarray(times[0], dtype=_real(like.dtype), device=like.device), start)
            self._finite([y + k for y, k in zip(start, ks, strict=True)], times[0])
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what they say comes back as a failure
                found = solve_ivp(
                    slope,
                    (times[0], times[-1]),
                    y0,
                    method=self.method,
                    t_eval=list(dict.fromkeys(times)),
                    rtol=max(self.rtol, 1e-13),
                    atol=self.atol,
                    jac=lambda t, v: jt.jacobian(lambda x: flat(x, t))(vector(v)).numpy().astype(kind),
                    **more,
                )
        except jt.TransformError as e:
            if "inside vmap" not in str(e):
                raise
            raise jt.TransformError(
                f"odeint with method={self.method!r} under vmap: SciPy solves one system at a time. Give it the whole batch as "
                f"one y0, or loop over the examples"
            ) from None
        if not found.success or not np.isfinite(found.y).all():
            raise IntegrationError(
                f"odeint: scipy's {self.method} stopped at t={now:.9g}: {' '.join(found.message.split())} End before that t, or loosen "
                f"rtol={self.rtol:.3g} and atol={self.atol:.3g}"
            )
        rows = found.y.T[[list(found.t).index(t) for t in times]]
        parts = zip(sizes, sizes[1:], shapes, start, strict=False)
        return [
            jt.asarray(rows[:, a:b].reshape(len(times), *shape), dtype=y.dtype, device=y.device)
            for a, b, shape, y in parts
        ]

    # -- errors

    def _finite(self, ks: list[Any], t: float) -> None:
        if not math.isfinite(_norm([(k, k, k) for k in ks], 0.0, 1.0)):
            raise self._not_finite(t)

    def _not_finite(self, t: float) -> IntegrationError:
        return IntegrationError(
            f"odeint: f(y0, t) is not finite at the first time, t={t:.9g}: look for NaN or infinities in y0 and params, or a "
            f"pole of f there"
        )

    def _too_many(self, t: float, what: str) -> IntegrationError:
        return IntegrationError(
            f"odeint: max_steps={self.max_steps} steps of {self.method} were not enough; it is at t={t:.9g}. Allow more by "
            f"max_steps=, or take {what}"
        )


def _real(dtype: Any) -> Any:
    """The dtype of the real parts."""
    return {"complex64": jt.float32, "complex128": jt.float64}.get(dtype.name, dtype)


def _as_real(x: Any, like: Any) -> Any:
    """x in the precision of ``like``, so that a product with it keeps its dtype."""
    dtype = _real(like.dtype)
    return x if x.dtype == dtype else jt.astype(x, dtype)


# -- the continuous adjoint -------------------------------------------------------------------------------------------


def _solve(start: list[Any], at: Any, params: list[Any], /, *, problem: _Problem, times: list[float]) -> list[Any]:
    return problem.solve(start, at, params, times)


_solve.__name__ = "odeint"  # in what errors say
_solved = jt.custom_gradient(_solve)


def _differentiable(params: list[Any]) -> tuple[list[Any], Callable[[list[Any]], list[Any]]]:
    """The parameters of floating-point or complex dtype, and a function that puts others in their places."""
    places = [i for i, p in enumerate(params) if p.dtype.kind in "fc"]

    def put(given: list[Any], every: Any = None) -> list[Any]:
        out = list(params if every is None else every)
        for i, p in zip(places, given, strict=True):
            out[i] = p
        return out

    return [params[i] for i in places], put


@_solved.vjp
def _solved_vjp(g: Any, y: Any, start: Any, at: Any, params: Any, problem: _Problem, times: Any) -> Any:
    """Pontryagin's adjoint: a' = -a df/dy backward in time, and the integrals of -a df/dparams.

    It is ``_solved`` again, of the state, a and the integrals at once, so that it has derivatives of its own. At each time the
    state is set to what the forward solution was there. Rules hold no conj, pullbacks do: a is the conjugate in between.
    """
    n = len(start)
    moving, put = _differentiable(params)

    def field(t: Any, leaves: Any, params: Any) -> Any:
        given, put = _differentiable(params)
        ks, pullback = jt.vjp(lambda ys, ps: problem.field(t, ys, put(ps)), leaves[:n], given)
        back, integrals = pullback([-a for a in leaves[n : 2 * n]])
        return [*ks, *back, *integrals]

    backward = problem.of(field)
    gs = [_conj(part) for part in g]
    a = [part[-1] for part in gs]
    integrals = [jt.zeros_like(p) for p in moving]
    slopes: list[Any] = []
    for i in range(len(times) - 1, 0, -1):
        state = [part[i] for part in y]
        if problem.moving_times:
            slopes.append(_along([part[i] for part in gs], problem.field(at[i], state, params), at))
        # Equal times that move may part: second derivatives see it.
        if times[i] != times[i - 1] or problem.moving_times:
            pair = jt.stack([at[i], at[i - 1]])
            ends = [times[i], times[i - 1]]
            try:
                found = _solved([*state, *a, *integrals], pair, params, problem=backward, times=ends)
            except IntegrationError as e:
                raise IntegrationError(
                    f"{e}. It is the adjoint that failed, which goes back from t={ends[0]:.9g} to {ends[1]:.9g}: where y forgets its past "
                    f"fast, that is unstable. Give odeint more times between these, or take forward mode, jt.jvp"
                ) from None
            a, integrals = [part[1] for part in found[n : 2 * n]], [part[1] for part in found[2 * n :]]
        if i > 1 or not problem.moving_times:
            a = [b + part[i - 1] for b, part in zip(a, gs, strict=True)]
    if not problem.moving_times:
        times_gradient = None
    else:
        slopes.append(-_along(a, problem.field(at[0], start, params), at) if len(times) > 1 else jt.zeros_like(at[0]))
        times_gradient = jt.stack(slopes[::-1])
        if len(times) > 1:
            a = [b + part[0] for b, part in zip(a, gs, strict=True)]
    found = put([_conj(p) for p in integrals], [None] * len(params))
    return [_conj(b) for b in a], times_gradient, found


def _conj(x: Any) -> Any:
    return jt.conj(x) if x.dtype.kind == "c" else x


def _along(a: list[Any], ks: list[Any], at: Any) -> Any:
    """The real inner product of a (conjugate) with a slope."""
    total = None
    for b, k in zip(a, ks, strict=True):
        part = jt.sum(jt.real(jt.conj(b) * k) if k.dtype.kind == "c" else b * k)
        part = part if part.dtype == at.dtype else jt.astype(part, at.dtype)
        total = part if total is None else total + part
    return total


@_solved.jvp
def _solved_jvp(t: Any, y: Any, start: Any, at: Any, params: Any, problem: _Problem, times: Any) -> Any:
    """The variational equations v' = df/dy v + df/dparams dparams, beside the state."""
    n, count = len(start), len(params)
    moved, moved_at, moved_params = t
    tangents = [d for d, p in zip(moved_params, params, strict=True) if p.dtype.kind in "fc"]

    def field(t: Any, leaves: Any, every: Any) -> Any:
        given, put = _differentiable(every[:count])
        of = lambda ys, ps: problem.field(t, ys, put(ps))  # noqa: E731
        ks, vs = jt.jvp(of, (leaves[:n], given), (leaves[n:], every[count:]))
        return [*ks, *vs]

    if problem.moving_times:
        slope = problem.field(at[0], start, params)
        moved = [v - k * _as_real(moved_at[0], k) for v, k in zip(moved, slope, strict=True)]
    found = _solved([*start, *moved], at, [*params, *tangents], problem=problem.of(field), times=times)[n:]
    if problem.moving_times:
        rows = [problem.field(at[i], [part[i] for part in y], params) for i in range(len(times))]
        slopes = [jt.stack(column) for column in zip(*rows, strict=True)]
        found = [
            v + k * jt.reshape(_as_real(moved_at, k), (len(times), *[1] * (k.ndim - 1)))
            for v, k in zip(found, slopes, strict=True)
        ]
    return found


# -- what users call --------------------------------------------------------------------------------------------------


def odeint(
    f: Callable[..., Any],
    y0: Any,
    t: Any,
    /,
    *params: Any,
    method: str = "dopri5",
    rtol: float | None = None,
    atol: float | None = None,
    adjoint: bool = True,
    step: float | None = None,
    max_steps: int = 10_000,
) -> Any:
    """The solution of ``dy/dt = f(y, t, *params)`` with ``y(t[0]) = y0`` at each time of ``t``, with derivatives.

    ``y0`` and ``params`` are tensors, numbers, or containers of them; f returns dy/dt, in the containers, shapes and dtypes of y0.
    So does the result, with the times along a new first axis. ``t`` rises or falls.

    The method is ``"dopri5"`` or ``"bosh3"`` (steps so small that the error of each is below ``atol + rtol |y|``, both by default the
    square root of the dtype's epsilon), ``"rk4"``, ``"midpoint"`` or ``"euler"`` (steps of at most ``step``, by default one from
    time to time), or for stiff equations SciPy's ``"BDF"``, ``"Radau"`` or ``"LSODA"``, with the exact Jacobian.

    Derivatives are with respect to y0, t and params, to any order, in both modes and under vmap, whose examples share their
    steps. With ``adjoint=True`` they come from equations of their own, solved backward in time: no step is kept, and their error is
    that of the tolerances. What f uses must then come by params. ``adjoint=False`` differentiates through the steps: it keeps
    them all, its derivatives are those of the computed numbers to rounding, and f may use tracked tensors from around it.

    >>> import jitrench_core as jt
    >>> def final(rate):
    ...     return odeint(lambda y, t, rate: -rate * y, 1.0, [0.0, 2.0], rate)[-1]
    >>> jt.round(jt.asarray(final(0.5)) * 1e6) / 1e6, jt.round(jt.grad(final)(0.5) * 1e6) / 1e6  # exp(-1), and -2 exp(-1)
    (Tensor(0.367879), Tensor(-0.735759))

    Raises ``IntegrationError`` where a step becomes too small or there are too many, ``ShapeError`` for times that do not rise or
    fall, ``OpError`` for another method or structure, ``DTypeError`` for integers, and ``GradientError`` where f uses a tracked tensor
    that is no parameter.
    """
    if not callable(f):
        raise jt.OpError(f"odeint(f, y0, t) takes a function f(y, t, *params); got {type(f).__name__}")
    if method not in METHODS and method not in STIFF:
        known = (*METHODS, *STIFF)
        raise jt.OpError(f"odeint has no method {method!r}; there are {', '.join(known)}.{suggest(str(method), known)}")
    if method in STIFF and not adjoint:
        raise jt.OpError(
            f"odeint with method={method!r} runs in SciPy, so its steps cannot be differentiated: leave adjoint=True, or take one of "
            f"{', '.join(METHODS)}"
        )
    if step is not None and (method in ADAPTIVE or method in STIFF or not step > 0):
        raise jt.OpError(
            f"odeint: step={step!r} is for the methods of fixed steps (rk4, midpoint, euler), and above 0; {method} chooses its "
            f"steps by rtol and atol"
            if method in ADAPTIVE or method in STIFF
            else f"odeint: step={step!r}; expected a number above 0"
        )
    flat_params, build_params = flatten(list(params))
    leaves, build = flatten(y0)
    given = [x for x in (*leaves, t, *flat_params) if isinstance(x, jt.Tensor)]
    device = given[0].device if given else None
    start = [_state(y, name, device) for y, name in zip(leaves, names(y0), strict=True)]
    if not start:
        raise jt.OpError(f"odeint: y0 is {y0!r}, which holds no tensor or number")
    at, times = _times(t, start[0], device)
    precision = [jt.finfo(y.dtype).eps for y in start]
    tolerance = math.sqrt(max(precision))
    limits = []
    for name, value in (("rtol", rtol), ("atol", atol)):
        value = tolerance if value is None else float(value)
        if not (value >= 0 and math.isfinite(value)):
            raise jt.OpError(f"odeint: {name}={value}; expected a number from 0")
        limits.append(value)
    if limits == [0.0, 0.0]:
        raise jt.OpError("odeint: rtol and atol are both 0, and no step is that exact: give one of them")
    tensors, put = arrays_among(flat_params, build_params)

    def field(t: Any, ys: list[Any], given: list[Any]) -> list[Any]:
        return _slopes(f(build(ys), t, *put(given)), ys, y0)

    problem = _Problem(field, method, limits[0], limits[1], max_steps, step, isinstance(t, jt.Tensor))
    if not adjoint:
        return build(problem.solve(start, at, tensors, times))
    try:
        return build(_solved(start, at, tensors, problem=problem, times=times))
    except jt.ClosureError:
        raise jt.ClosureError(
            "odeint: f uses a tensor from around it that requires a gradient, or that belongs to a transform around it, and the "
            "adjoint has none for that tensor: pass it as a parameter, odeint(f, y0, t, it) with f(y, t, it), or say adjoint=False"
        ) from None


def _state(y: Any, name: str, device: Any) -> Any:
    where = f"y0[{name}]" if name else "y0"
    if isinstance(y, (bool, str)) or not (isinstance(y, (int, float, complex)) or hasattr(y, "shape")):
        raise jt.DTypeError(f"odeint: {where} is {y!r}; expected tensors, arrays or numbers")
    if not isinstance(y, jt.Tensor):
        y = jt.asarray(float(y) if isinstance(y, int) else y, device=device)
    if y.dtype.kind not in "fc":
        raise jt.DTypeError(
            f"odeint: {where} has dtype {y.dtype}; a state that moves is floating-point or complex, such as by "
            f"jt.astype(y0, jt.float64)"
        )
    return y


def _times(t: Any, like: Any, device: Any) -> tuple[Any, list[float]]:
    """The times as a tensor, and as numbers."""
    at = t if isinstance(t, jt.Tensor) else jt.asarray(t, device=like.device)
    if at.ndim != 1 or at.shape[0] == 0:
        raise jt.ShapeError(
            f"odeint: t has shape {at.shape}; expected one axis of at least one time, as in [0.0, 1.0] or jt.linspace(0.0, 1.0, 11)"
        )
    if at.dtype.kind not in "fiu":
        raise jt.DTypeError(f"odeint: t has dtype {at.dtype}; expected real numbers")
    times = _numbers(at)
    if not all(map(math.isfinite, times)):
        raise jt.ShapeError(f"odeint: t holds {next(v for v in times if not math.isfinite(v))}; expected finite times")
    sign = 1 if times[-1] >= times[0] else -1
    for i in range(1, len(times)):
        if (times[i] - times[i - 1]) * sign < 0:
            raise jt.ShapeError(
                f"odeint: t must rise or fall all along; it goes from {times[0]:g} to {times[-1]:g}, but t[{i - 1}]="
                f"{times[i - 1]:g} and t[{i}]={times[i]:g}. Sort it"
            )
    return _as_real(at, like), times


def _slopes(found: Any, ys: list[Any], y0: Any) -> list[Any]:
    """The leaves of what f returned, in y0's order, held against the state's."""
    ks, _ = flatten(found)
    wanted, came = names(y0), names(found)
    if wanted != came:
        if sorted(wanted) != sorted(came):
            show = lambda paths: ", ".join(path or "one tensor" for path in paths) or "nothing"  # noqa: E731
            raise jt.OpError(
                f"odeint: f returned {show(came)} for a y0 of {show(wanted)}; expected dy/dt in the containers of y0"
            )
        ks = [dict(zip(came, ks, strict=True))[path] for path in wanted]
    out = []
    for k, y, path in zip(ks, ys, wanted, strict=True):
        k = k if isinstance(k, jt.Tensor) else jt.asarray(k, dtype=y.dtype, device=y.device)
        where = f" for y0[{path}]" if path else ""
        if k.shape != y.shape:
            raise jt.ShapeError(
                f"odeint: f returned shape {k.shape}{where}, and y has shape {y.shape}: dy/dt has y's shape"
            )
        if k.dtype != y.dtype:
            raise jt.DTypeError(
                f"odeint: f returned {k.dtype}{where}, and y is {y.dtype}: give y0 the dtype of what f computes with, or "
                f"parameters that of y0"
            )
        out.append(k)
    return out


# -- integrals of functions -------------------------------------------------------------------------------------------

# The 15 nodes of Kronrod's rule and its weights, and those of the Gauss rule of 7 among them (QUADPACK, 1983).
_NODES = (
    0.991455371120812639206854697526329, 0.949107912342758524526189684047851, 0.864864423359769072789712788640926,
    0.741531185599394439863864773280788, 0.586087235467691130294144838258730, 0.405845151377397166906606412076961,
    0.207784955007898467600689403773245, 0.0,
)  # fmt: skip
_KRONROD = (
    0.022935322010529224963732008058970, 0.063092092629978553290700663189204, 0.104790010322250183839876322541518,
    0.140653259715525918745189590510238, 0.169004726639267902826583426598550, 0.190350578064785409913256402421014,
    0.204432940075298892414161999234649, 0.209482141084727828012999174891714,
)  # fmt: skip
_GAUSS = (
    0.0, 0.129484966168869693270611432679082, 0.0, 0.279705391489276667901467771423780,
    0.0, 0.381830050505118944950369775488975, 0.0, 0.417959183673469387755102040816327,
)  # fmt: skip
_RULE = [(-x, k, w) for x, k, w in zip(_NODES, _KRONROD, _GAUSS, strict=True)]
_RULE += [(-x, k, w) for x, k, w in reversed(_RULE[:-1])]


def quad(
    f: Callable[[Any], Any],
    a: Any,
    b: Any,
    /,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    limit: int = 1000,
) -> jt.Tensor:
    """The integral of f from a to b, with derivatives with respect to both and to every tensor that f uses.

    f takes a 0-d tensor and returns a tensor of any shape, each element of which is integrated. It is called on many points at
    once, by ``jt.vmap``. The rule is Gauss's and Kronrod's of 7 and 15 points, on halves of halves until the error that their
    difference shows is below ``max(atol, rtol |result|)``, both by default the square root of the dtype's epsilon: what all 15
    points miss, such as a narrow peak, is not seen. ``-math.inf`` and ``math.inf`` are limits, too.
    Derivatives are those of the sum: exact where the integrals of f's derivatives converge as well as that of f.

    >>> import jitrench_core as jt
    >>> quad(lambda x: x**2, 0.0, 3.0)
    Tensor(9.)
    >>> jt.grad(lambda b: quad(lambda x: x**2, 0.0, b))(3.0)
    Tensor(9.)

    Raises ``IntegrationError`` where f is not finite, or where ``limit`` intervals are not enough.
    """
    if not callable(f):
        raise jt.OpError(f"quad(f, a, b) takes a function of one number; got {type(f).__name__}")
    given = [x for x in (a, b) if isinstance(x, jt.Tensor)]
    device = given[0].device if given else None
    low, high = (_limit(x, name, device) for x, name in ((a, "a"), (b, "b")))
    dtype = jt.result_type(low, high)
    ends = _ends(low, high)
    tolerance = math.sqrt(jt.finfo(dtype).eps)
    rtol, atol = (tolerance if x is None else float(x) for x in (rtol, atol))
    nodes = jt.asarray([x for x, _, _ in _RULE], dtype=dtype, device=low.device)
    kronrod, gauss = (tuple(row[i] for row in _RULE) for i in (1, 2))
    # From, to, the error of each example of vmap, the integral; from 0 to 1 is from a to b.
    kept: list[tuple[float, float, list[float], Any]] = []
    fresh = [(0.0, 1.0)]
    while True:
        middles = jt.asarray([(x + y) / 2 for x, y in fresh], dtype=dtype, device=low.device)
        halves = jt.asarray([(y - x) / 2 for x, y in fresh], dtype=dtype, device=low.device)
        points = jt.expand_dims(middles, axis=1) + jt.expand_dims(halves, axis=1) * nodes
        found = jt.vmap(lambda u: _weighted(f, u, low, high, ends))(jt.reshape(points, (-1,)))
        shape = found.shape[1:]
        columns = jt.unstack(jt.reshape(found, (*points.shape, math.prod(shape))), axis=1)
        half = jt.expand_dims(halves, axis=1)
        exact, rough = (_weighted_sum(*columns, weights=weights) * half for weights in (kronrod, gauss))
        for (x, y), errors, part in zip(fresh, _row_maxima(exact - rough), jt.unstack(exact), strict=True):
            if not all(map(math.isfinite, errors)):
                raise IntegrationError(
                    f"quad: f is not finite between {x:.6g} and {y:.6g} of the way from a={ends[0]:g} to b={ends[1]:g}: split "
                    f"the integral at its pole, or take a limit that avoids it"
                )
            kept.append((x, y, errors, part))
        total = _weighted_sum(*(part for *_, part in kept), weights=(1.0,) * len(kept))
        wanted = [max(atol, rtol * size) for size in _row_maxima(jt.expand_dims(total, axis=0))[0]]
        shares = [max(map(_share, errors, wanted), default=0.0) for _, _, errors, _ in kept]
        if sum(shares) <= 1:
            return jt.reshape(total, shape)
        if len(kept) >= limit:
            worst = max(range(len(kept)), key=shares.__getitem__)
            hardest = max(range(len(wanted)), key=lambda i: _share(kept[worst][2][i], wanted[i]))
            raise IntegrationError(
                f"quad: limit={limit} intervals leave an error of {sum(e[hardest] for _, _, e, _ in kept):.3g}, above "
                f"{wanted[hardest]:.3g}; the worst is at {kept[worst][0]:.6g} of the way from a={ends[0]:g} to b={ends[1]:g}: split "
                f"the integral where f jumps or has a pole, loosen rtol={rtol:.3g} and atol={atol:.3g}, or allow more by limit="
            )
        most = min(1 / len(kept), max(shares) / 2)
        split = [part for part, share in zip(kept, shares, strict=True) if share > most]
        kept = [part for part, share in zip(kept, shares, strict=True) if share <= most]
        fresh = [half for x, y, _, _ in split for half in ((x, (x + y) / 2), ((x + y) / 2, y))]


def _share(error: float, wanted: float) -> float:
    """How much an error takes of the one that is allowed."""
    return error / wanted if wanted > 0 else math.inf if error else 0.0


def _ends(low: Any, high: Any) -> list[float]:
    """The limits as numbers, of the first example under vmap: all others have infinities where it has."""
    pairs: list[Any] = []

    def see(xp: Any, batch: int, *arrays: Any) -> None:
        columns = [jt.reshape(jt.asarray(a), (-1,)).tolist() for a in xp.broadcast_arrays(*arrays)]
        pairs.extend(zip(*columns, strict=True))

    _observed(low, high, see=see)
    for pair in pairs:
        if any(map(math.isnan, pair)):
            raise IntegrationError(f"quad: the limits are {pair[0]:g} and {pair[1]:g}; expected numbers or infinities")
        if pair[0] == pair[1] and math.isinf(pair[0]):
            raise IntegrationError(f"quad: both limits are {pair[0]:g}")
        if any(x != y and math.isinf(x + y) for x, y in zip(pair, pairs[0], strict=True)):
            raise jt.TransformError(
                f"quad() under vmap: one example has the limits {pairs[0][0]:g} and {pairs[0][1]:g}, another {pair[0]:g} and "
                f"{pair[1]:g}: an infinite limit must be one in all examples"
            )
    return list(pairs[0]) if pairs else [0.0, 0.0]


def _limit(x: Any, name: str, device: Any) -> Any:
    x = x if isinstance(x, jt.Tensor) else jt.asarray(float(x) if isinstance(x, int) else x, device=device)
    if x.shape != () or x.dtype.kind != "f":
        raise jt.ShapeError(
            f"quad: the limit {name} has shape {x.shape} and dtype {x.dtype}; expected one real number, or jt.vmap over several"
        )
    return x


def _weighted(f: Any, u: Any, low: Any, high: Any, ends: list[float]) -> Any:
    """f(x(u)) x'(u), where x goes from one limit to the other as u goes from 0 to 1."""
    below, above = math.isinf(ends[0]), math.isinf(ends[1])
    if not below and not above:
        x, slope = low + (high - low) * u, high - low
    elif not below:  # from a to either infinity
        sign = math.copysign(1.0, ends[1])
        x, slope = low + sign * (1.0 - u) / u, sign / u**2  # infinity is at u = 0, near which numbers are dense
    elif not above:
        sign = math.copysign(1.0, ends[0])
        x, slope = high + sign * (1.0 - u) / u, -sign / u**2
    else:
        x, slope = (1.0 - u) / u, math.copysign(1.0, ends[1]) / u**2
        return (_value(f, x) + _value(f, -x)) * slope
    return _value(f, x) * slope


def _value(f: Any, x: Any) -> Any:
    y = f(x)
    if not isinstance(y, (jt.Tensor, int, float, complex)):
        raise jt.OpError(f"quad: f returned {type(y).__name__}; expected a tensor")
    return y


def _row_maxima(x: Any) -> list[list[float]]:
    """The largest absolute value of each row, in each example; NaN where there is one, 0 in an empty row."""
    box: list[list[float]] = []

    def see(xp: Any, batch: int, array: Any) -> None:
        *examples, rows, columns = array.shape
        if not columns:
            box.extend([0.0] for _ in range(rows))
        else:
            found = xp.reshape(xp.max(xp.abs(array), axis=-1), (math.prod(examples), rows))
            box.extend(jt.asarray(xp.matrix_transpose(found)).tolist())

    _observed(x, see=see)
    return box


# -- integrals of samples ---------------------------------------------------------------------------------------------


def _widths(y: Any, x: Any, dx: float, axis: int, who: str) -> tuple[Any, Any]:
    """y with ``axis`` last, and the distances of its samples: a number, or an array that broadcasts with y[..., 1:]."""
    y = jt.asarray(y)
    if y.ndim == 0 or not -y.ndim <= axis < y.ndim:
        raise jt.AxisError(f"{who}() has no axis {axis} in samples of shape {y.shape}")
    n = y.shape[axis]
    y = jt.moveaxis(y, axis, -1)
    if x is None:
        return y, dx
    x = jt.asarray(x)
    if x.ndim == 1:
        fits = x.shape[0] == n
    else:
        x, fits = (jt.moveaxis(x, axis, -1), True) if x.ndim == y.ndim else (x, False)
        fits = fits and x.shape[-1] == n
    if not fits:
        raise jt.ShapeError(
            f"{who}(): x has shape {x.shape}, and y has {n} samples along axis {axis}: expected shape ({n},), or y's shape"
        )
    return y, x[..., 1:] - x[..., :-1]


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=(3, 5)), rng.normal(size=5)), {"axis": 1}))
def trapezoid(ys: Any, x: Any = None, /, *, dx: float = 1.0, axis: int = -1) -> jt.Tensor:
    """The integral of samples ys along ``axis``, by the trapezoidal rule; x are their places, by default ``dx`` apart.

    >>> import jitrench_core as jt
    >>> y = jt.tensor([1.0, 2.0, 4.0])
    >>> trapezoid(y), trapezoid(y, jt.tensor([0.0, 1.0, 3.0]))
    (Tensor(4.5), Tensor(7.5))

    Raises ``ShapeError`` where x does not fit, ``AxisError`` for an axis that ys lacks.
    """
    y, d = _widths(ys, x, dx, axis, "trapezoid")
    return jt.sum((y[..., 1:] + y[..., :-1]) * d, axis=-1) * 0.5


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=(3, 5)), rng.normal(size=5)), {"axis": 1}))
def cumulative_trapezoid(
    ys: Any, x: Any = None, /, *, dx: float = 1.0, axis: int = -1, initial: float | None = None
) -> jt.Tensor:
    """The integral of samples ys up to each along ``axis``, by the trapezoidal rule: one fewer, or ``initial`` before them.

    >>> import jitrench_core as jt
    >>> cumulative_trapezoid(jt.tensor([1.0, 2.0, 4.0]), initial=0.0)
    Tensor([0. , 1.5, 4.5])

    Errors are those of ``trapezoid``.
    """
    y, d = _widths(ys, x, dx, axis, "cumulative_trapezoid")
    found = jt.cumulative_sum((y[..., 1:] + y[..., :-1]) * d, axis=-1) * 0.5
    if initial is not None:
        first = jt.full((*found.shape[:-1], 1), float(initial), dtype=found.dtype, device=found.device)
        found = jt.concat([first, found], axis=-1)
    return jt.moveaxis(found, -1, axis)


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=(3, 6)), rng.uniform(size=6).cumsum()), {"axis": 1}))
def simpson(ys: Any, x: Any = None, /, *, dx: float = 1.0, axis: int = -1) -> jt.Tensor:
    """The integral of samples ys along ``axis``, by Simpson's rule: parabolas through three samples each.

    With an even number of samples the last interval is integrated below the parabola of the last three (Cartwright 2017), as in
    SciPy; two samples have their trapezoid.

    >>> import jitrench_core as jt
    >>> simpson(jt.tensor([0.0, 1.0, 4.0, 9.0, 16.0]))  # of x**2, from 0 to 4
    Tensor(21.33333333)

    Errors are those of ``trapezoid``.
    """
    y, d = _widths(ys, x, dx, axis, "simpson")
    n = y.shape[-1]
    if n < 3:
        return jt.sum((y[..., 1:] + y[..., :-1]) * d, axis=-1) * 0.5
    if not isinstance(d, jt.Tensor):
        d = jt.full((n - 1,), d, dtype=y.dtype, device=y.device)
    end = n if n % 2 else n - 1
    h0, h1 = d[..., 0 : end - 1 : 2], d[..., 1 : end - 1 : 2]
    y0, y1, y2 = y[..., 0 : end - 2 : 2], y[..., 1 : end - 1 : 2], y[..., 2:end:2]
    both = h0 + h1
    parts = both / 6.0 * (y0 * (2.0 - h1 / h0) + y1 * (both * both / (h0 * h1)) + y2 * (2.0 - h0 / h1))
    total = jt.sum(parts, axis=-1)
    if n % 2:
        return total
    h0, h1 = d[..., -2], d[..., -1]
    last = (2.0 * h1 * h1 + 3.0 * h0 * h1) / (6.0 * (h0 + h1)) * y[..., -1]
    last = last + (h1 * h1 + 3.0 * h0 * h1) / (6.0 * h0) * y[..., -2]
    return total + last - h1**3 / (6.0 * h0 * (h0 + h1)) * y[..., -3]


OPS: tuple[Any, ...] = (trapezoid, cumulative_trapezoid, simpson)
KERNELS: dict[tuple[str, str], Any] = {}  # by op and backend
