"""Forward mode: ``jvp``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import DeviceMismatchError, DTypeError, GradientError, OpError, ShapeError
from ..interpreters.dual import DualLevel
from ..ops.creation import asarray, zeros_like
from ..ops.shapes import astype
from ..tensor import Tensor
from .batching import like
from .tree import flatten, partners


def jvp(
    f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], *, has_aux: bool = False
) -> tuple[Any, ...]:
    """f at ``primals``, and its derivative in the direction ``tangents``, which have the primals' structure and shapes.

    One pass of dual numbers: cheap where f has few inputs and many outputs. Nests with every other transform. A tangent
    that is None is zero. With ``has_aux`` f returns a pair, and its second part comes third, as it is at ``primals``.

    >>> import jitrench_core as jt
    >>> jt.jvp(jt.sin, (0.0,), (2.0,))
    (Tensor(0.), Tensor(2.))

    Raises ``OpError`` or ``ShapeError`` where tangents do not fit their primals, ``GradientError`` for integers.
    """
    if not callable(f):
        raise OpError(f"jvp takes a function, as in jt.jvp(f, (x,), (t,)); got {type(f).__name__}")
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise OpError(
            "jvp(f, primals, tangents) takes two tuples, one entry per argument of f, as in jvp(f, (x,), (t,))"
        )
    flat, rebuild = flatten(list(primals))
    pairs = [
        pair(x, t) for x, t in zip(flat, partners(list(primals), list(tangents), "tangent", "primal"), strict=True)
    ]
    with DualLevel.enter() as run:
        dual = run.level.cls
        result = f(*rebuild([Tensor(dual(run, x, t)) for x, t in pairs]))
        result, aux = split(result, has_aux, "jvp")
        out, build = flatten(result)
        out = [like(x, [([x for x, _ in pairs],)]) for x in out]
        aside, build_aside = flatten(aux)
        run.level.run_of(tuple(x.data for x in (*out, *aside) if type(x) is Tensor))
    values, moved = [], []
    for x in out:
        y, dy = (x.data.value, x.data.tangent) if type(x.data) is dual else (x, None)
        values.append(Tensor(y.data, y.node))
        moved.append(zeros_like(y) if dy is None else Tensor(dy.data, dy.node))
    if not has_aux:
        return build(values), build(moved)
    aside = [x.data.value if type(x) is Tensor and type(x.data) is dual else x for x in aside]
    return build(values), build(moved), build_aside(aside)


def split(result: Any, has_aux: bool, who: str) -> tuple[Any, Any]:
    """What f returned as the pair of its result and its aux; ``OpError`` where ``has_aux`` is set and it is no pair."""
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise OpError(
            f"{who} with has_aux=True needs a function that returns a pair, (result, aux); this one returned "
            f"{type(result).__name__}"
        )
    return result


def pair(x: Any, t: Any) -> tuple[Tensor, Tensor | None]:
    """A primal and its tangent, of one shape, dtype and device, each a Tensor of its own; None stays None."""
    x = asarray(float(x) if type(x) is int else x)
    if x.dtype.kind not in "fc":
        raise GradientError(f"jvp of a value of {x.dtype}: only floating-point and complex numbers have a tangent")
    if t is None:
        return Tensor(x.data, x.node), None
    t = asarray(t, device=x.device if isinstance(t, (int, float, complex, list, tuple)) else None)
    if t.dtype.kind == "c" and x.dtype.kind == "f":
        raise DTypeError(
            f"a tangent of {t.dtype} came for a primal of {x.dtype}: a real number moves along the real line"
        )
    if t.shape != x.shape:
        raise ShapeError(f"a tangent of shape {t.shape} came for a primal of shape {x.shape}")
    if t.device != x.device:
        raise DeviceMismatchError(
            f"a tangent on {t.device} came for a primal on {x.device}: move it first, by .to(...)"
        )
    t = t if t.dtype == x.dtype else astype(t, x.dtype)
    return Tensor(x.data, x.node), Tensor(t.data, t.node)
