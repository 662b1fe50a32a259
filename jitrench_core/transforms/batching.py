"""Batching: ``vmap``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from ..errors import DTypeError, OpError, ShapeError
from ..interpreters import Run
from ..interpreters.batch import BatchLevel, unbatch
from ..ops.creation import asarray
from ..ops.shapes import permute_dims
from ..tensor import Tensor
from .tree import flatten, paths, spread


def vmap(f: Callable[..., Any] | None = None, in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """A function that applies f to each example along an axis, all at once; also as ``@jt.vmap``.

    ``in_axes`` is the examples' axis in each argument: an int for all, or a tuple with one entry per argument, which is
    an int, None (the argument is the same for every example), or a container like the argument, of ints and None; an
    entry stands for all that is below it. ``out_axes`` says in the same way where results have the examples; None is for
    results that do not depend on them. f sees one example's shapes. Keyword arguments are the same for every example.

    >>> import jitrench_core as jt
    >>> jt.vmap(lambda x: jt.sum(x * x))(jt.tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([ 5., 25.])
    >>> p = {"w": jt.tensor([1.0, 2.0]), "b": 0.5}
    >>> jt.vmap(lambda p, x: p["w"] * x + p["b"], in_axes=({"w": 0, "b": None}, None))(p, 10.0)
    Tensor([10.5, 20.5])

    Raises ``OpError`` where in_axes or out_axes do not fit, ``ShapeError`` where lengths differ or an axis is missing,
    and ``TransformError`` for what cannot be batched (such as ``if x > 0``).
    """
    if f is None:
        return partial(vmap, in_axes=in_axes, out_axes=out_axes)
    if not callable(f):
        raise OpError(f"vmap takes a function, as in jt.vmap(f)(x); got {type(f).__name__}")

    @wraps(f)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        entries = tuple(in_axes) if isinstance(in_axes, (tuple, list)) else (in_axes,) * len(args)
        if len(entries) != len(args):
            raise OpError(f"vmap: in_axes has {len(entries)} entries for {len(args)} argument(s)")
        parts = []
        sizes = set()
        for i, (arg, entry) in enumerate(zip(args, entries, strict=True)):
            flat, rebuild = flatten(arg)
            axes = spread(entry, arg, "vmap: in_axes", f"argument {i}")
            for k, axis in enumerate(axes):
                if axis is not None:
                    flat[k] = _with_axis(flat[k], axis, i, k, arg)
                    sizes.add(flat[k].shape[axis])
            parts.append((flat, rebuild, axes))
        if len(sizes) != 1:
            found = f"lengths {sorted(sizes)}" if sizes else "no argument with an axis"
            raise ShapeError(f"vmap needs one number of examples; the arguments have {found} (in_axes={in_axes!r})")
        (size,) = sizes
        with BatchLevel.enter() as run:
            batch = run.level.cls
            inner = [
                rebuild(
                    [
                        x if axis is None else Tensor(batch(run, move(x, axis, 0), True))
                        for x, axis in zip(flat, axes, strict=True)
                    ]
                )
                for flat, rebuild, axes in parts
            ]
            result = f(*inner, **kwargs)
            flat, build = flatten(result)
            axes = spread(out_axes, result, "vmap: out_axes", "the result")
            out = [_out(like(x, parts), run, size, axis) for x, axis in zip(flat, axes, strict=True)]
        return build(out)

    return wrapper


def _with_axis(x: Any, axis: int, i: int, k: int, arg: Any) -> Tensor:
    """Leaf k of argument i as a Tensor that has the axis."""
    where = ".".join((f"argument {i}", *map(str, paths(arg)[k])))
    try:
        x = asarray(x)
    except DTypeError as e:
        raise DTypeError(
            f"vmap: {where} has no axis {axis} to batch over: {e}. Give it the entry None in in_axes"
        ) from e
    if not -x.ndim <= axis < x.ndim:
        raise ShapeError(
            f"vmap: {where} has shape {x.shape}, so it has no axis {axis} to batch over. Where it is the same for every "
            f"example, give it the entry None in in_axes"
        )
    return x  # type: ignore[no-any-return]


def _out(x: Tensor, run: Run, size: int, axis: int | None) -> Tensor:
    """A result with the examples where ``out_axes`` wants them."""
    if axis is None:
        if type(x.data) is not run.level.cls:
            return Tensor(x.data, x.node)
        run.level.run_of((x.data,))
        if x.data.batched:
            raise ShapeError(
                "vmap: a result differs from example to example, so it needs an axis for them: out_axes has None for it"
            )
        return Tensor(x.data.value.data, x.data.value.node)
    ndim = x.ndim + 1
    if not -ndim <= axis < ndim:
        raise ShapeError(f"vmap: a result of shape {x.shape} per example has no place for out_axes={axis}")
    return move(unbatch(x, run, size), 0, axis)


def like(x: Any, parts: list[Any]) -> Tensor:
    """A result as a Tensor; a Python number goes to the device of the arguments."""
    if type(x) is Tensor:
        return x
    given = next((v for flat, *_ in parts for v in flat if type(v) is Tensor), None)
    return asarray(x, device=given.device if given is not None and type(x) in (bool, int, float) else None)


def move(x: Tensor, start: int, end: int) -> Tensor:
    """x with the axis ``start`` moved to the place ``end``."""
    start, end = start % x.ndim, end % x.ndim
    if start == end:
        return Tensor(x.data, x.node)  # a Tensor of its own: either may be updated in place
    order = [i for i in range(x.ndim) if i != start]
    order.insert(end, start)
    return permute_dims(x, tuple(order))
