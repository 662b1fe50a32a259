"""Batching: ``vmap``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from ..errors import OpError, ShapeError
from ..interpreters.batch import BatchLevel, unbatch
from ..ops.creation import asarray
from ..ops.shapes import permute_dims
from ..tensor import Tensor
from .tree import flatten


def vmap(f: Callable[..., Any] | None = None, in_axes: Any = 0, out_axes: int = 0) -> Callable[..., Any]:
    """A function that applies f to each example along an axis, all at once; also as ``@jt.vmap``.

    ``in_axes`` is the examples' axis in each argument (an int for all, or one entry per argument, where None passes an
    argument whole); ``out_axes`` where results have it. Arguments may be containers; f sees one example's shapes.

    >>> import jitrench_core as jt
    >>> jt.vmap(lambda x: jt.sum(x * x))(jt.tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([ 5., 25.])

    Raises ``ShapeError`` where lengths differ and ``TransformError`` for what cannot be batched (such as ``if x > 0``).
    """
    if f is None:
        return partial(vmap, in_axes=in_axes, out_axes=out_axes)

    @wraps(f)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        axes = tuple(in_axes) if isinstance(in_axes, (tuple, list)) else (in_axes,) * len(args)
        if len(axes) != len(args):
            raise OpError(f"vmap: in_axes has {len(axes)} entries for {len(args)} argument(s)")
        parts = []
        sizes = set()
        for i, (arg, axis) in enumerate(zip(args, axes, strict=True)):
            flat, rebuild = flatten(arg)
            if axis is not None:
                flat = [asarray(x) for x in flat]
                for x in flat:
                    if not -x.ndim <= axis < x.ndim:
                        raise ShapeError(
                            f"vmap: argument {i} has shape {x.shape}, so it has no axis {axis} to batch over"
                        )
                    sizes.add(x.shape[axis])
            parts.append((flat, rebuild, axis))
        if len(sizes) != 1:
            found = f"lengths {sorted(sizes)}" if sizes else "no argument with an axis"
            raise ShapeError(f"vmap needs one number of examples; the arguments have {found} (in_axes={in_axes!r})")
        (size,) = sizes
        with BatchLevel.enter() as run:
            batch = run.level.cls
            inner = [
                rebuild([x if axis is None else Tensor(batch(run, move(x, axis, 0), True)) for x in flat])
                for flat, rebuild, axis in parts
            ]
            out, build = flatten(f(*inner, **kwargs))
            out = [unbatch(like(x, parts), run, size) for x in out]
        for x in out:
            if not -x.ndim <= out_axes < x.ndim:
                raise ShapeError(
                    f"vmap: a result of shape {x.shape[1:]} per example has no place for out_axes={out_axes}"
                )
        return build([move(x, 0, out_axes) for x in out])

    return wrapper


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
