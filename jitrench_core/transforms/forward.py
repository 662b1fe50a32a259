"""Forward mode: ``jvp``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import GradientError, OpError, ShapeError
from ..interpreters.dual import DualLevel
from ..ops.creation import asarray, zeros_like
from ..tensor import Tensor
from .tree import flatten


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
    moves, _ = flatten(list(tangents))
    if len(flat) != len(moves):
        raise OpError(f"jvp got {len(flat)} primal and {len(moves)} tangent value(s): they need the same structure")
    pairs = []
    for x, t in zip(flat, moves, strict=True):
        x = asarray(float(x) if type(x) is int else x)
        if x.dtype.kind != "f":
            raise GradientError(f"jvp of a {x.dtype} value: only floating-point numbers have a tangent")
        t = asarray(float(t) if type(t) is int else t, dtype=None if type(t) is Tensor else x.dtype, device=x.device)
        if t.shape != x.shape:
            raise ShapeError(f"a tangent of shape {t.shape} came for a primal of shape {x.shape}")
        pairs.append((x, t))
    with DualLevel.enter() as level:
        result = f(*rebuild([Tensor(level.cls(x, t)) for x, t in pairs]))
        out, build = flatten(result)
        out = [x if type(x) is Tensor else asarray(x) for x in out]
    values = [x.data.value if type(x.data) is level.cls else x for x in out]
    moved = [
        zeros_like(v) if type(x.data) is not level.cls or x.data.tangent is None else x.data.tangent
        for v, x in zip(values, out, strict=True)
    ]
    return build(values), build(moved)
