"""SciPy's optimizers on containers of tensors: what they ask for, gradients, Hessians, products with them, comes from us.

SciPy computes on the CPU in float64. Each of its points is put into tensors of x0's dtypes on x0's devices, where f runs, and what f
gives is brought back by ``.numpy()``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, final

import jitrench_core as jt
from jitrench_core.errors import suggest
from jitrench_core.transforms.tree import flatten, names

from .parameters import arrays_among

# What a method takes of derivatives; its spelling is SciPy's.
METHODS = {
    "Nelder-Mead": "", "Powell": "", "COBYLA": "", "COBYQA": "",
    "CG": "jac", "BFGS": "jac", "L-BFGS-B": "jac", "TNC": "jac", "SLSQP": "jac",
    "Newton-CG": "hessp", "trust-ncg": "hessp", "trust-krylov": "hessp", "trust-constr": "hessp",
    "dogleg": "hess", "trust-exact": "hess",
}  # fmt: skip
ROOT_METHODS = {"hybr": "jac", "lm": "jac"} | dict.fromkeys(
    ("broyden1", "broyden2", "anderson", "linearmixing", "diagbroyden", "excitingmixing", "krylov", "df-sane"), ""
)


class OptimizationError(jt.JITrenchError, ArithmeticError):
    """A search that cannot start, or whose result is needed and was not found."""


@final
class _Vector:
    """A container of tensors as one vector: SciPy's float64 array, or a tensor."""

    __slots__ = ("build", "leaves", "names", "size", "stops", "tree", "who")

    def __init__(self, x0: Any, who: str) -> None:
        self.who = who
        self.tree = x0
        leaves, self.build = flatten(x0)
        self.names = names(x0)
        given = [x for x in leaves if isinstance(x, jt.Tensor)]
        device = given[0].device if given else None
        self.leaves = [_start(x, name, device, who) for x, name in zip(leaves, self.names, strict=True)]
        if not self.leaves:
            raise jt.OpError(f"{who}: x0 is {x0!r}, which holds no tensor or number")
        self.stops = [sum(x.size for x in self.leaves[: i + 1]) for i in range(len(self.leaves))]
        self.size = self.stops[-1]
        if not self.size:
            raise jt.OpError(f"{who}: x0 holds no numbers, only tensors without elements: there is nothing to vary")

    def first(self) -> Any:
        """x0 as SciPy's vector."""
        import numpy as np

        v = self.pack(self.leaves)
        if not np.isfinite(v).all():
            bad = next(n for n, x in zip(self.names, self.leaves, strict=True) if not np.isfinite(x.numpy()).all())
            raise OptimizationError(
                f"{self.who}: x0{f'[{bad}]' if bad else ''} holds NaN or infinities; start from finite numbers"
            )
        return v

    def pack(self, leaves: Sequence[Any]) -> Any:
        import numpy as np

        return np.concatenate([np.asarray(x.numpy(), dtype=np.float64).reshape(-1) for x in leaves])

    def flat(self, tree: Any) -> Any:
        """A container like x0 as SciPy's vector."""
        return self.pack(flatten(tree)[0])

    def tree_of(self, v: Any) -> Any:
        """SciPy's vector as the container."""
        import numpy as np

        parts = np.split(np.array(v, dtype=np.float64), self.stops[:-1])
        return self.build(
            [
                jt.asarray(part.reshape(x.shape), dtype=x.dtype, device=x.device)
                for part, x in zip(parts, self.leaves, strict=True)
            ]
        )

    def pairs(self, bounds: Any) -> tuple[Any, Any]:
        """The bounds of each element, as two vectors."""
        import numpy as np

        found: list[Any] = []
        self._pairs(self.tree, bounds, "", found)
        low, high = (np.concatenate([pair[i].reshape(-1) for pair in found]) for i in (0, 1))
        if (low > high).any():
            at = int(np.argmax(low > high))
            raise jt.ShapeError(
                f"{self.who}: bounds ({low[at]:g}, {high[at]:g}) of element {at} hold nothing: low comes first"
            )
        return low, high

    def _pairs(self, tree: Any, bounds: Any, where: str, found: list[Any]) -> None:
        import numpy as np

        parts = _parts(tree)
        if parts is None and tree is not None:
            shape = getattr(tree, "shape", ())
            pair = (None, None) if bounds is None else bounds
            try:
                if shape == (2,) and all(isinstance(end, (list, tuple)) for end in pair):
                    raise TypeError("SciPy's two pairs, or the low ends and the high ones?")
                low, high = (
                    np.broadcast_to(np.asarray(v.numpy() if isinstance(v, jt.Tensor) else v, dtype=np.float64), shape)
                    for v in (sign if end is None else end for sign, end in zip((-np.inf, np.inf), pair, strict=True))
                )
            except (TypeError, ValueError):
                raise jt.ShapeError(
                    f"{self.who}: bounds{where} are {bounds!r}; expected (low, high) for shape {shape}, each a number, an array or "
                    f"None, or None for neither. SciPy's list of a pair for each element is written scipy.optimize.Bounds(lows, highs)"
                ) from None
            if np.isnan(low).any() or np.isnan(high).any():
                raise jt.ShapeError(
                    f"{self.who}: bounds{where} are {bounds!r}, which hold NaN: None stands for no bound"
                )
            found.append((low, high))
            return
        given = None if bounds is None else _parts(bounds)
        if bounds is not None and (
            given is None
            or set(given) - set(parts or ())
            or (type(tree) is not dict and len(given) != len(parts or ()))
        ):
            raise jt.OpError(
                f"{self.who}: bounds{where} are {bounds!r}, where x0 has {', '.join(map(str, parts or ()))}: they need its containers, with "
                f"(low, high) in the place of each tensor; None, or a key left out, stands for no bounds"
            )
        for key, part in (parts or {}).items():
            self._pairs(part, None if given is None else given.get(key), f"{where}[{key}]", found)


def _parts(tree: Any) -> dict[Any, Any] | None:
    """The named parts of a container; None for a leaf."""
    if isinstance(tree, dict):
        return tree
    if isinstance(tree, (list, tuple)):
        return dict(zip(getattr(tree, "_fields", range(len(tree))), tree, strict=True))
    fields = getattr(type(tree), "__dataclass_fields__", None)
    return None if fields is None else {name: getattr(tree, name) for name in fields}


def _start(x: Any, name: str, device: Any, who: str) -> Any:
    where = f"x0[{name}]" if name else "x0"
    if isinstance(x, (bool, str)) or not (isinstance(x, (int, float)) or hasattr(x, "shape")):
        raise jt.DTypeError(f"{who}: {where} is {x!r}; expected tensors, arrays or real numbers")
    if not isinstance(x, jt.Tensor):
        x = jt.asarray(float(x) if isinstance(x, int) else x, device=device)
    if x.dtype.kind == "c":
        raise jt.DTypeError(f"{who}: {where} has dtype {x.dtype}: give its real and imaginary parts as two tensors")
    if x.dtype.kind != "f":
        raise jt.DTypeError(
            f"{who}: {where} has dtype {x.dtype}, which has no derivatives: make it floating-point, as by jt.astype(x0, jt.float64)"
        )
    return x.detach()


def _method(name: Any, known: dict[str, str], who: str) -> str:
    for spelled in known:
        if str(name).lower() == spelled.lower():
            return spelled
    raise jt.NotFoundError(f"{who} has no method {name!r}; there are {', '.join(known)}.{suggest(str(name), known)}")


def _scalar(y: Any, who: str, moving: bool) -> Any:
    if not isinstance(y, jt.Tensor):
        raise jt.OpError(
            f"{who}: f returned {type(y).__name__}; expected a tensor of shape (), computed from x by jt's functions, without "
            f"float() or .numpy() on the way"
        )
    if y.shape != () or y.dtype.kind != "f":
        raise jt.OpError(
            f"{who}: f returned shape {y.shape} and dtype {y.dtype}; expected one real number: reduce it, as by jt.sum, or take "
            f"least_squares for a vector of residuals"
        )
    if moving and not y.requires_grad:
        raise jt.OpError(
            f"{who}: what f returned does not depend on x, as far as the graph knows: compute it from x, without .detach(), "
            f".numpy() or jt.no_grad()"
        )
    return y


def minimize(
    f: Callable[..., Any],
    x0: Any,
    args: tuple[Any, ...] = (),
    method: str | None = None,
    *,
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    callback: Callable[[Any], Any] | None = None,
    options: dict[str, Any] | None = None,
) -> Any:
    """The minimum of ``f(x, *args)``, a scalar, by ``scipy.optimize.minimize``, over a container of tensors like ``x0``.

    Methods and options are SciPy's: without a method BFGS, or L-BFGS-B with bounds, or SLSQP with constraints. Value and gradient
    come from one ``jt.value_and_grad``; ``"Newton-CG"``, ``"trust-ncg"``, ``"trust-krylov"`` and ``"trust-constr"`` get Hessian-vector products,
    ``"dogleg"`` and ``"trust-exact"`` the Hessian. ``bounds`` is a container like x0 with ``(low, high)`` in the place of each tensor (numbers,
    arrays or None). Constraints are SciPy's: a ``NonlinearConstraint`` or dictionary whose ``fun`` takes x's container and returns a
    tensor gets its derivatives from us, a ``LinearConstraint`` is of x's elements in order. ``callback(x)`` sees each iterate; one that
    returns True, or raises StopIteration, ends the search where SciPy's method has that.

    The result is SciPy's ``OptimizeResult``; its ``x`` and ``jac`` are containers like x0, with its dtypes and devices. They are constants:
    for derivatives of a solution see ``implicit_root``. float32 tensors are computed in float32: their noise may end a search
    early ("precision loss"), so loosen ``tol`` or give x0 in float64.

    >>> import jitrench_core as jt
    >>> def rosenbrock(p):
    ...     return (1.0 - p["x"]) ** 2 + 100.0 * (p["y"] - p["x"] ** 2) ** 2
    >>> found = minimize(rosenbrock, {"x": -1.2, "y": 1.0}, method="trust-exact")
    >>> found.success, found.x
    (True, {'x': Tensor(1.), 'y': Tensor(1.)})

    Raises ``NotFoundError`` for another method, ``OpError`` where f returns no real scalar that depends on x or bounds have another
    structure, ``DTypeError`` for integers and complex numbers, ``OptimizationError`` where x0 or f(x0) is not finite.
    """
    import numpy as np
    from scipy import optimize

    _callable(f, "minimize")
    space = _Vector(x0, "minimize")
    args = args if isinstance(args, tuple) else (args,)
    constraints = constraints if isinstance(constraints, (list, tuple)) else [constraints]
    if method is None:
        method = "SLSQP" if constraints else "L-BFGS-B" if bounds is not None else "BFGS"
    method = _method(method, METHODS, "minimize")
    wants = METHODS[method]
    start = space.first()

    def checked(x: Any) -> Any:
        return _scalar(f(x, *args), "minimize", moving=True)

    both = jt.value_and_grad(checked)

    def value_and_jac(v: Any) -> tuple[float, Any]:
        value, gradient = both(space.tree_of(v))
        return value.item(), space.flat(gradient)

    def value_alone(v: Any) -> float:
        with jt.no_grad():
            return float(_scalar(f(space.tree_of(v), *args), "minimize", moving=False).item())

    more: dict[str, Any] = {}
    if wants == "hess":
        more["hess"] = lambda v: _matrix(jt.hessian(checked)(space.tree_of(v)), space, space)
    elif wants == "hessp":
        more["hessp"] = lambda v, p: space.flat(jt.hvp(checked, (space.tree_of(v),), (space.tree_of(p),))[0])
    if bounds is not None:
        more["bounds"] = bounds if isinstance(bounds, optimize.Bounds) else optimize.Bounds(*space.pairs(bounds))
    if constraints:
        more["constraints"] = [_constraint(c, space, method) for c in constraints]
    if callback is not None:
        more["callback"] = lambda v, *state: callback(space.tree_of(v))
    value = value_alone(start)
    if not math.isfinite(value):
        raise OptimizationError(f"minimize: f(x0) is {value}; start where f is finite")
    fun = value_and_jac if wants else value_alone
    found = optimize.minimize(fun, start, method=method, jac=bool(wants) or None, tol=tol, options=options, **more)
    found.fun = float(found.fun)
    for name in ("jac", "grad"):
        if isinstance(found.get(name), np.ndarray) and found[name].shape == (space.size,):
            found[name] = space.tree_of(found[name])
    found.x = space.tree_of(found.x)
    return found


def _callable(f: Any, who: str) -> None:
    if not callable(f):
        raise jt.OpError(f"{who}(f, x0) takes a function of x; got {type(f).__name__}")


def _matrix(blocks: Any, rows: _Vector, columns: _Vector) -> Any:
    """A derivative in nested containers as a matrix."""
    import numpy as np

    flat = flatten(blocks)[0]
    n = len(columns.leaves)
    return np.block(
        [
            [
                np.asarray(flat[i * n + j].numpy(), dtype=np.float64).reshape(y.size, x.size)
                for j, x in enumerate(columns.leaves)
            ]
            for i, y in enumerate(rows.leaves)
        ]
    )


def _results(y: Any, who: str) -> list[Any]:
    """The tensors that a function of several results returned."""
    leaves, _ = flatten(y)
    for leaf in leaves:
        if not isinstance(leaf, jt.Tensor) or leaf.dtype.kind != "f":
            came = f"a tensor of {leaf.dtype}" if isinstance(leaf, jt.Tensor) else type(leaf).__name__
            raise jt.OpError(f"{who} returned {came}; expected real tensors, computed from x by jt's functions")
    if not leaves:
        raise jt.OpError(f"{who} returned {y!r}; expected real tensors")
    return leaves


@final
class _Residuals:
    """A function from containers to vectors, and its Jacobian as a matrix."""

    __slots__ = ("columns", "f", "rows", "who")

    def __init__(self, f: Callable[..., Any], space: _Vector, args: Any, who: str) -> None:
        self.who = who
        self.columns = space
        self.f = lambda x: _results(f(x, *args), who)
        self.rows: Any = None

    def value(self, v: Any) -> Any:
        with jt.no_grad():
            return self.columns.pack(self.f(self.columns.tree_of(v)))

    def jacobian(self, v: Any) -> Any:
        x = self.columns.tree_of(v)
        if self.rows is None:
            with jt.no_grad():
                self.rows = _Vector([y.detach() for y in self.f(x)], self.who)
        mode = "forward" if self.columns.size <= self.rows.size else "reverse"
        return _matrix(jt.jacobian(self.f, mode=mode)(x), self.rows, self.columns)

    def curvature(self, v: Any, weights: Any) -> Any:
        """The Hessian of the results' weighted sum."""

        def weighted(x: Any) -> Any:
            parts = zip(self.f(x), flatten(self.rows.tree_of(weights))[0], strict=True)
            return sum((jt.sum(y * w) for y, w in parts), jt.asarray(0.0, device=self.rows.leaves[0].device))

        if self.rows is None:
            self.jacobian(v)
        return _matrix(jt.hessian(weighted)(self.columns.tree_of(v)), self.columns, self.columns)


def _constraint(given: Any, space: _Vector, method: str) -> Any:
    import numpy as np
    from scipy.optimize import LinearConstraint, NonlinearConstraint

    if isinstance(given, LinearConstraint):
        return given
    if isinstance(given, NonlinearConstraint):
        part = _Residuals(given.fun, space, (), "minimize: a constraint's fun")
        more: dict[str, Any] = {"jac": part.jacobian} if METHODS[method] else {}
        more |= {"hess": part.curvature} if method == "trust-constr" else {}
        if np.any(given.keep_feasible):
            more["keep_feasible"] = given.keep_feasible
        return NonlinearConstraint(part.value, given.lb, given.ub, **more)
    if isinstance(given, dict) and "type" in given and callable(given.get("fun")):
        args = given.get("args", ())
        part = _Residuals(
            given["fun"], space, args if isinstance(args, tuple) else (args,), "minimize: a constraint's fun"
        )
        return {"type": given["type"], "fun": part.value, **({"jac": part.jacobian} if METHODS[method] else {})}
    raise jt.OpError(
        f"minimize: a constraint is {given!r}; expected scipy.optimize's LinearConstraint or NonlinearConstraint, or a dictionary "
        f"such as {{'type': 'ineq', 'fun': g}} for g(x) >= 0"
    )


def least_squares(
    residuals: Callable[..., Any],
    x0: Any,
    args: tuple[Any, ...] = (),
    *,
    bounds: Any = None,
    callback: Callable[[Any], Any] | None = None,
    **options: Any,
) -> Any:
    """The x with the least sum of squared residuals, by ``scipy.optimize.least_squares``, over a container of tensors like ``x0``.

    ``residuals(x, *args)`` returns a tensor or a container of them. The Jacobian is ours, in forward mode where x has no more elements
    than there are residuals, else in reverse. ``bounds`` is as in ``minimize``, and ``options`` (``method``, ``loss``, ``f_scale``, ``ftol``, ...) are SciPy's.
    In the result ``x`` and ``grad`` are containers like x0; ``fun`` and ``jac`` are NumPy's, of all residuals and elements in order.

    >>> import jitrench_core as jt
    >>> t = jt.tensor([0.0, 1.0, 2.0])
    >>> y = jt.tensor([2.0, 1.0, 0.5])
    >>> found = least_squares(lambda p: p["a"] * jt.exp(-p["k"] * t) - y, {"a": 1.0, "k": 1.0})
    >>> jt.round(found.x["a"] * 1e6) / 1e6, jt.round(found.x["k"] * 1e6) / 1e6  # 2, and log(2)
    (Tensor(2.), Tensor(0.693147))

    Errors are those of ``minimize``.
    """
    from scipy import optimize

    _callable(residuals, "least_squares")
    space = _Vector(x0, "least_squares")
    part = _Residuals(residuals, space, args if isinstance(args, tuple) else (args,), "least_squares: residuals")
    if bounds is not None:
        options["bounds"] = bounds if isinstance(bounds, optimize.Bounds) else space.pairs(bounds)
    if callback is not None:
        options["callback"] = lambda v, *state: callback(space.tree_of(v))
    start = space.first()
    _finite(part.value(start), "least_squares", "the residuals at x0")
    found = optimize.least_squares(part.value, start, jac=part.jacobian, **options)
    found.x, found.grad = space.tree_of(found.x), space.tree_of(found.grad)
    return found


def _finite(values: Any, who: str, what: str) -> None:
    import numpy as np

    if not np.isfinite(values).all():
        raise OptimizationError(f"{who}: {what} hold NaN or infinities; start where they are finite")


def root(
    f: Callable[..., Any],
    x0: Any,
    args: tuple[Any, ...] = (),
    method: str = "hybr",
    *,
    tol: float | None = None,
    callback: Callable[[Any], Any] | None = None,
    options: dict[str, Any] | None = None,
) -> Any:
    """An x with ``f(x, *args) = 0``, by ``scipy.optimize.root``, over a container of tensors like ``x0``.

    f returns a tensor or a container of them, with as many elements as x0 has. ``"hybr"`` and ``"lm"`` get the Jacobian from us; the other
    methods take none. In the result ``x`` is a container like x0. It is a constant: ``implicit_root`` gives one with derivatives.

    >>> import jitrench_core as jt
    >>> found = root(lambda x: jt.stack([x[0] ** 2 + x[1] ** 2 - 1.0, x[0] - x[1]]), jt.tensor([1.0, 0.5]))
    >>> found.success, found.x
    (True, Tensor([0.70710678, 0.70710678]))

    Raises ``ShapeError`` where f has another number of elements; other errors are those of ``minimize``.
    """
    from scipy import optimize

    _callable(f, "root")
    method = _method(method, ROOT_METHODS, "root")
    space = _Vector(x0, "root")
    part = _Residuals(f, space, args if isinstance(args, tuple) else (args,), "root: f")
    start = space.first()
    first = part.value(start)
    if first.size != space.size and method != "lm":
        raise jt.ShapeError(
            f"root: f returned {first.size} element(s) for an x of {space.size}: as many equations as unknowns; for others see "
            f"least_squares"
        )
    _finite(first, "root", "the elements of f(x0)")
    more: dict[str, Any] = {"jac": part.jacobian} if ROOT_METHODS[method] else {}
    if callback is not None:
        more["callback"] = lambda v, *state: callback(space.tree_of(v))
    found = optimize.root(part.value, start, method=method, tol=tol, options=options, **more)
    found.x = space.tree_of(found.x)
    return found


# -- solutions with derivatives ---------------------------------------------------------------------------------------


def _root(start: list[Any], params: list[Any], /, *, problem: Any) -> list[Any]:
    return [problem.search(start, params)]


_root.__name__ = "implicit_root"  # in what errors say
_root_of = jt.custom_gradient(_root)


@_root_of.vjp
def _root_of_vjp(g: Any, y: Any, start: Any, params: Any, problem: Any) -> Any:
    """From f(x, p) = 0: dx = -(df/dx)^-1 df/dp dp."""
    (v,), (w,) = y, g
    moving = [i for i, p in enumerate(params) if p.dtype.kind in "fc"]
    matrix = jt.jacobian(lambda v: problem.equations(v, params))(v)
    weights = jt.linalg.solve(jt.matrix_transpose(matrix), -w)

    def of(given: list[Any]) -> Any:
        every = list(params)
        for i, p in zip(moving, given, strict=True):
            every[i] = p
        return problem.equations(v, every)

    gradients: list[Any] = [None] * len(params)
    if moving:
        (found,) = jt.vjp(of, [params[i] for i in moving])[1](weights)
        for i, part in zip(moving, found, strict=True):
            gradients[i] = part
    return [None] * len(start), gradients


@final
class _Equations:
    """f as a function of one vector of tensors and the parameters' leaves."""

    __slots__ = ("f", "options", "put", "space")

    def __init__(self, f: Any, space: _Vector, put: Any, options: dict[str, Any]) -> None:
        self.f = f
        self.space = space
        self.put = put
        self.options = options

    def equations(self, v: Any, params: list[Any]) -> Any:
        stops = [0, *self.space.stops]
        leaves = [
            jt.astype(jt.reshape(v[a:b], x.shape), x.dtype)
            for a, b, x in zip(stops, stops[1:], self.space.leaves, strict=False)
        ]
        found = _results(self.f(self.space.build(leaves), *self.put(params)), "implicit_root: f")
        return jt.concat([jt.reshape(y, (-1,)) for y in found])

    def search(self, start: list[Any], params: list[Any]) -> Any:
        who = "implicit_root"
        first = self.equations(
            jt.concat([jt.reshape(x, (-1,)) for x in start]), params
        )  # here what f uses from around it is found out
        try:
            found = root(lambda x: self.f(x, *self.put(params)), self.space.build(start), **self.options)
        except jt.TransformError as e:
            if "inside vmap" not in str(e):
                raise
            raise jt.TransformError(
                f"{who}() under vmap: SciPy solves one system at a time. Give it the whole batch as one x0, or loop over the examples"
            ) from None
        # Where rounding alone is left, as after one step of a linear system, MINPACK may say that it makes no progress.
        if not found.success and not abs(found.fun).max() <= 1e-13 * float(jt.max(jt.abs(first))):
            raise OptimizationError(
                f"{who}: scipy's root found none: {' '.join(found.message.split())} Start nearer, or take another method"
            )
        return jt.concat([jt.reshape(x, (-1,)) for x in flatten(found.x)[0]])


def implicit_root(
    f: Callable[..., Any], x0: Any, /, *params: Any, method: str = "hybr", tol: float | None = None
) -> Any:
    """The x with ``f(x, *params) = 0`` that ``root`` finds from ``x0``, with derivatives with respect to the parameters.

    They come from the implicit function theorem, not from the search: one linear system with df/dx at the solution. Derivatives of any
    order, both modes. x0 has none, and what f uses must come by ``params``, tensors or containers of them. For a minimum that moves with
    its parameters take f's gradient: ``implicit_root(jt.grad(loss), x0, data)``.

    >>> import jitrench_core as jt
    >>> square_root = lambda a: implicit_root(lambda x, a: x * x - a, 1.0, a)
    >>> square_root(4.0), jt.grad(square_root)(4.0)
    (Tensor(2.), Tensor(0.25))

    Raises ``OptimizationError`` where no root is found, ``GradientError`` where f uses a tracked tensor that is no parameter, ``LinAlgError``
    where df/dx has no inverse; other errors are those of ``root``.
    """
    _callable(f, "implicit_root")
    space = _Vector(x0, "implicit_root")
    tensors, put = arrays_among(*flatten(list(params)))
    problem = _Equations(f, space, put, {"method": method, "tol": tol})
    try:
        (v,) = _root_of(space.leaves, tensors, problem=problem)
    except jt.ClosureError:
        raise jt.ClosureError(
            "implicit_root: f uses a tensor from around it that requires a gradient, or that belongs to a transform around it: "
            "pass it as a parameter, implicit_root(f, x0, it) with f(x, it)"
        ) from None
    stops = [0, *space.stops]
    return space.build(
        [
            jt.astype(jt.reshape(v[a:b], x.shape), x.dtype)
            for a, b, x in zip(stops, stops[1:], space.leaves, strict=False)
        ]
    )
