"""Forward mode: ``jvp``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import DeviceMismatchError, GradientError, OpError, ShapeError
from ..interpreters.dual import DualLevel
from ..ops.creation import asarray, zeros_like
from ..ops.shapes import astype
from ..tensor import Tensor
from .batching import like
from .tree import flatten, paths


def jvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """f at ``primals``, and its derivative in the direction ``tangents``, which have the primals' structure and shapes.

    One pass of dual numbers: cheap where f has few inputs and many outputs. Nests with every other transform.

    >>> import jitrench_core as jt
    >>> jt.jvp(jt.sin, (0.0,), (2.0,))
    (Tensor(0.), Tensor(2.))

    Raises ``OpError`` or ``ShapeError`` where tangents do not fit their primals, ``GradientError`` for integers.
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise OpError(
            "jvp(f, primals, tangents) takes two tuples, one entry per argument of f, as in jvp(f, (x,), (t,))"
        )
    flat, rebuild = flatten(list(primals))
    given = dict(zip(paths(list(tangents)), flatten(list(tangents))[0], strict=True))
    places = paths(list(primals))
    if given.keys() != set(places):
        raise OpError(
            f"jvp got {len(flat)} primal and {len(given)} tangent value(s): they need the same structure; without a partner are "
            f"{', '.join(sorted('.'.join(map(str, path)) for path in given.keys() ^ set(places)))}"
        )
    pairs = [_pair(x, given[path]) for x, path in zip(flat, places, strict=True)]
    with DualLevel.enter() as run:
        dual = run.level.cls
        result = f(*rebuild([Tensor(dual(run, x, t)) for x, t in pairs]))
        out, build = flatten(result)
        out = [like(x, [([x for x, _ in pairs],)]) for x in out]
        run.level.run_of(tuple(x.data for x in out))
    values, moved = [], []
    for x in out:
        y, dy = (x.data.value, x.data.tangent) if type(x.data) is dual else (x, None)
        values.append(Tensor(y.data, y.node))
        moved.append(zeros_like(y) if dy is None else Tensor(dy.data, dy.node))
    return build(values), build(moved)


def _pair(x: Any, t: Any) -> tuple[Tensor, Tensor]:
    """A primal and its tangent, of one shape, dtype and device, each a Tensor of its own."""
    x = asarray(float(x) if type(x) is int else x)
    if x.dtype.kind != "f":
        raise GradientError(f"jvp of a value of {x.dtype}: only floating-point numbers have a tangent")
    t = asarray(t, device=x.device if isinstance(t, (int, float, list, tuple)) else None)
    if t.shape != x.shape:
        raise ShapeError(f"a tangent of shape {t.shape} came for a primal of shape {x.shape}")
    if t.device != x.device:
        raise DeviceMismatchError(
            f"a tangent on {t.device} came for a primal on {x.device}: move it first, by .to(...)"
        )
    t = t if t.dtype == x.dtype else astype(t, x.dtype)
    return Tensor(x.data, x.node), Tensor(t.data, t.node)
