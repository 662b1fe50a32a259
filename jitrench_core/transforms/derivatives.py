"""Derivatives as arrays: ``jacobian`` and ``hessian``; and ``hvp``, the Hessian's product with a vector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

from .. import graph
from ..errors import GradientError, OpError
from ..ops.creation import asarray, eye, zeros
from ..ops.shapes import expand_dims, permute_dims, reshape, stack
from ..tensor import Tensor
from .batching import vmap
from .checkpointing import Draws
from .forward import jvp
from .linear import Recorded
from .reverse import grad, pick, replaced
from .tree import flatten, spread

MODES = ("reverse", "forward")


def jacobian(
    f: Callable[..., Any] | None = None,
    argnums: int | tuple[int, ...] = 0,
    mode: str = "reverse",
    *,
    has_aux: bool = False,
) -> Callable[..., Any]:
    """A function that returns f's Jacobian: the derivative of each element of the result by each element of the argument.

    For a result of shape (m, n) and an argument of shape (p,) it has shape (m, n, p). Containers nest: the structure of
    f's result, with that of the argument in each place, or a tuple of such where ``argnums`` is one. ``mode="reverse"``
    pulls back all rows at once and runs f once: for few results. ``mode="forward"`` pushes all columns at once: for few
    arguments. Where an op has no batching rule, rows or columns are computed in a loop. With ``has_aux`` f returns a
    pair, and the result is a pair with its second part.

    Complex: df/dz of holomorphic functions. For a real result of complex numbers it holds, in reverse mode, the rows
    that ``jt.grad`` would give; forward mode refuses it.

    >>> import jitrench_core as jt
    >>> jt.jacobian(lambda x: x * x[0])(jt.tensor([2.0, 3.0]))
    Tensor([[4., 0.],
            [3., 2.]])

    Raises ``OpError`` for another mode, ``GradientError`` for results or arguments of integers.
    """
    if mode not in MODES:
        raise OpError(f"jacobian has mode='reverse' and mode='forward'; got mode={mode!r}")
    if f is None:
        return partial(jacobian, argnums=argnums, mode=mode, has_aux=has_aux)
    if not callable(f):
        raise OpError(f"jacobian takes a function, as in jt.jacobian(f)(x); got {type(f).__name__}")
    one = isinstance(argnums, int)
    derive = _reverse if mode == "reverse" else _forward

    @wraps(f)
    def computed(*args: Any, **kwargs: Any) -> Any:
        result = f(*args, **kwargs)
        y = result[0] if has_aux and isinstance(result, tuple) and result else result
        if isinstance(y, (int, float, complex)) or (hasattr(y, "dtype") and type(y) is not Tensor):
            raise GradientError(
                f"jacobian needs a function that computes with tensors; this one returned {type(y).__name__}, to which nothing was "
                f"recorded. Join results by jt.stack, or write them into y = jt.zeros_like(x); for a constant return jt.asarray(...)"
            )
        return result

    @wraps(f)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        blocks, aux = derive(computed, args, pick(args, argnums, "jacobian"), kwargs, one, has_aux)
        return (blocks, aux) if has_aux else blocks

    return wrapper


def _reverse(f: Any, args: Any, numbers: Any, kwargs: Any, one: bool, has_aux: bool) -> tuple[Any, Any]:
    """A row is what the pullback makes of a basis vector."""
    run = Recorded(f, args, numbers, kwargs, has_aux, "jacobian")
    return run.build([_rows(run, y, one) for y in run.outputs]), run.aux


def _rows(run: Recorded, y: Tensor, one: bool) -> Any:
    """The derivatives of one result, in the arguments' containers."""
    _differentiable(y, "a result")

    def pull(w: Tensor) -> list[Tensor]:
        found = zip(run.pull([y], [w]), run.inputs, strict=True)
        return [zeros(x.shape, dtype=x.dtype, device=x.device) if g is None else g for g, x in found]

    (basis,) = _bases([y])
    blocks = _each(pull, [basis]) if y.size else run.inputs
    if y.dtype.kind == "f":
        blocks = [graph.conjugate(b) for b in blocks]
    elif any(x.dtype.kind == "f" for x in run.inputs):
        # A real input's gradient is a real part; that of -1j times the row is the row's imaginary part.
        pairs = zip(blocks, _each(pull, [-1j * basis]), strict=True)
        blocks = [b + 1j * across if b.dtype.kind == "f" else b for b, across in pairs]
    made = run.rebuild([_shaped(b, (*y.shape, *x.shape)) for b, x in zip(blocks, run.inputs, strict=True)])
    return made[0] if one else tuple(made)


def _forward(f: Any, args: Any, numbers: Any, kwargs: Any, one: bool, has_aux: bool) -> tuple[Any, Any]:
    """A column is the tangent that a basis vector makes of the result."""
    flat, rebuild = flatten([args[n] for n in numbers])
    inputs = [asarray(float(x) if type(x) is int else x) for x in flat]
    build: Any = None
    aside: list[Any] = []
    build_aside: Any = None

    def of_leaves(*leaves: Any) -> Any:
        return f(*replaced(args, numbers, rebuild(list(leaves))), **kwargs)

    def push(*tangents: Any) -> tuple[list[Tensor], list[Tensor]]:
        nonlocal build, aside, build_aside
        _, dy, *aux = jvp(of_leaves, inputs, tangents, has_aux=has_aux)
        moved, build = flatten(dy)
        aside, build_aside = flatten(aux)
        return moved, [x for x in aside if type(x) is Tensor]

    for x in inputs:
        _differentiable(x, "an argument")
    bases = _bases(inputs)
    if bases and len(bases[0]):
        moved, passed = _each(push, bases, out_axes=(0, None))
    else:
        moved, passed = push(*(zeros(x.shape, dtype=x.dtype, device=x.device) for x in inputs))
        moved = [expand_dims(t, axis=0)[:0] for t in moved]
    for t in moved:
        _differentiable(t, "a result")
        if t.dtype.kind == "f" and any(x.dtype.kind == "c" for x in inputs):
            raise GradientError(
                "jacobian with mode='forward' of a real result of complex arguments: such a function is not holomorphic, and "
                "its derivative along the real axis is not all of it. Use mode='reverse'"
            )
    stops = [sum(x.size for x in inputs[: i + 1]) for i in range(len(inputs))]
    blocks = []
    for t in moved:
        last = permute_dims(t, (*range(1, t.ndim), 0))  # the columns
        parts = [last[..., stop - x.size : stop] for x, stop in zip(inputs, stops, strict=True)]
        made = rebuild([_shaped(b, (*t.shape[1:], *x.shape)) for b, x in zip(parts, inputs, strict=True)])
        blocks.append(made[0] if one else tuple(made))
    others = iter(passed)
    aux = build_aside([next(others) if type(x) is Tensor else x for x in aside])
    return build(blocks), aux[0] if aux else None


def _differentiable(x: Tensor, what: str) -> None:
    if x.dtype.kind not in "fc":
        raise GradientError(
            f"jacobian of {what} of {x.dtype}: only floating-point and complex numbers have derivatives"
        )


def _bases(inputs: list[Tensor]) -> list[Tensor]:
    """For each input as many examples as all have elements: one is 1 in one of all elements, 0 in the others."""
    total = sum(x.size for x in inputs)
    bases, before = [], 0
    for x in inputs:
        block = eye(total, x.size, k=-before, dtype=x.dtype, device=x.device)
        bases.append(reshape(block, (total, *x.shape)))
        before += x.size
    return bases


def _shaped(block: Tensor, shape: tuple[int, ...]) -> Tensor:
    if 0 in shape:
        return zeros(shape, dtype=block.dtype, device=block.device)
    return reshape(block, shape)


def _each(f: Callable[..., Any], bases: list[Tensor], out_axes: Any = 0) -> Any:
    """f of each example: all at once, or in a loop where that fails, as it does at an op without a batching rule."""
    draws = Draws()
    try:
        with draws.noted():
            return vmap(f, out_axes=out_axes)(*bases)
    except Exception:  # what is wrong with f itself is raised again by the loop, where it is easier to read
        draws.rewind()
        return _loop(f, bases, out_axes)


def _loop(f: Callable[..., Any], bases: list[Tensor], out_axes: Any) -> Any:
    """f of one example after the other, with the same random numbers."""
    draws = Draws()
    results = []
    for i in range(len(bases[0])):
        with draws.replayed() if i else draws.noted():
            results.append(f(*(b[i] for b in bases)))
    rebuild = flatten(results[0])[1]
    axes = spread(out_axes, results[0], "out_axes", "the result")
    columns = zip(*(flatten(r)[0] for r in results), strict=True)
    return rebuild([parts[0] if axis is None else stack(parts) for parts, axis in zip(columns, axes, strict=True)])


def hessian(
    f: Callable[..., Any] | None = None, argnums: int | tuple[int, ...] = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the second derivatives of f, whose result is a real scalar: forward over reverse mode.

    For an argument of shape (n,) it has shape (n, n). Containers nest: the structure of the argument twice, or a tuple of
    tuples where ``argnums`` is one. With ``has_aux`` f returns a pair, and the result is a pair with its second part.

    >>> import jitrench_core as jt
    >>> jt.hessian(lambda x: x[0] ** 2 * x[1])(jt.tensor([3.0, 5.0]))
    Tensor([[10.,  6.],
            [ 6.,  0.]])

    Errors are those of ``grad``; ``GradientError`` for complex arguments, too.
    """
    if f is None:
        return partial(hessian, argnums=argnums, has_aux=has_aux)
    derive = jacobian(grad(f, argnums, has_aux=has_aux), argnums, "forward", has_aux=has_aux)

    @wraps(f)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        for n in pick(args, argnums, "hessian"):
            if any(
                getattr(getattr(x, "dtype", None), "kind", "") == "c" or type(x) is complex for x in flatten(args[n])[0]
            ):
                raise GradientError(
                    "hessian of complex arguments: a real function of them has no single matrix of second derivatives. Write "
                    "it as a function of their real and imaginary parts"
                )
        return derive(*args, **kwargs)

    return wrapper


def hvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], *, has_aux: bool = False) -> Any:
    """The Hessian of f at ``primals`` times ``tangents``: a tuple with the structure and shapes of the primals.

    Costs a few evaluations of f, whatever their size: forward over reverse mode, no matrix. f returns a real scalar; all
    its arguments move. With ``has_aux`` f returns a pair, and the result is a pair with its second part.

    >>> import jitrench_core as jt
    >>> x, v = jt.tensor([1.0, 2.0]), jt.tensor([1.0, 0.0])
    >>> jt.hvp(lambda x: jt.sum(x**3), (x,), (v,))
    (Tensor([6., 0.]),)

    Errors are those of ``grad`` and ``jvp``.
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise OpError(
            "hvp(f, primals, tangents) takes two tuples, one entry per argument of f, as in hvp(f, (x,), (v,))"
        )
    _, product, *aux = jvp(grad(f, tuple(range(len(primals))), has_aux=has_aux), primals, tangents, has_aux=has_aux)
    return (product, *aux) if has_aux else product
