"""Reverse mode: ``grad`` and ``value_and_grad``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

from .. import graph
from ..backend import active, owner
from ..errors import GradientError, OpError, TransformError
from ..ops.creation import asarray, zeros_like
from ..tensor import Tensor, leaf
from .forward import split
from .tree import flatten


def own(x: Any) -> Tensor:
    """A transform's argument as a leaf of its own, on top of whatever recorded it."""
    if isinstance(x, int) and not isinstance(x, bool):
        x = float(x)
    return leaf(x if type(x) is Tensor else asarray(x), identity=True)


def pick(args: tuple[Any, ...], argnums: int | tuple[int, ...], who: str) -> tuple[int, ...]:
    """``argnums`` as non-negative positions; ``OpError`` where there is no such argument."""
    numbers: Any = tuple(argnums) if isinstance(argnums, (tuple, list)) else (argnums,)
    for n in numbers:
        if not isinstance(n, int) or isinstance(n, bool):
            raise OpError(
                f"{who}: argnums={argnums!r}: expected an int, the position of an argument, or a tuple of such"
            )
        if not -len(args) <= n < len(args):
            raise OpError(f"{who}: argnums={argnums} but the function got {len(args)} positional argument(s)")
    found = tuple(n % len(args) for n in numbers)
    if len(set(found)) != len(found):
        raise OpError(f"{who}: argnums={argnums} names an argument twice")
    return found


def replaced(args: Sequence[Any], numbers: Sequence[int], parts: Sequence[Any]) -> list[Any]:
    """The arguments, with ``parts`` at the positions ``numbers``."""
    there = dict(zip(numbers, parts, strict=True))
    return [there.get(n, x) for n, x in enumerate(args)]


def check_depth(y: Tensor, who: str) -> None:
    """Refuse a result from inside a transform that this one does not run in."""
    if owner(type(y.data)).depth > len(active.get()):
        raise TransformError(
            f"a value from inside jvp or vmap reached a {who} that runs outside of it, such as in another thread: "
            f"call {who} where the value is"
        )


def value_and_grad(
    f: Callable[..., Any] | None = None, argnums: int | tuple[int, ...] = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns f's value and its gradient; also as ``@jt.value_and_grad``.

    ``f`` returns a scalar Tensor, or with ``has_aux`` a pair of it and anything else, which is passed on detached. Arguments
    may be Tensors, arrays, numbers (an int counts as a float), and containers of them; the gradient has the structure of
    the argument, or is a tuple where ``argnums`` is one. Nested transforms give higher derivatives.

    >>> import jitrench_core as jt
    >>> jt.value_and_grad(lambda x: x**3)(2.0)
    (Tensor(8.), Tensor(12.))

    Raises ``GradientError`` where the result is no scalar or an argument has no gradient (integers).
    """
    if f is None:
        return partial(value_and_grad, argnums=argnums, has_aux=has_aux)
    if not callable(f):
        raise OpError(f"grad takes a function, as in jt.grad(f)(x); got {type(f).__name__}")

    @wraps(f)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        numbers = pick(args, argnums, "grad")
        flat, rebuild = flatten([args[n] for n in numbers])
        leaves = [own(x) for x in flat]
        inner = replaced(args, numbers, rebuild(leaves))
        nodes = [x.node for x in leaves]  # nodes, not Tensors: f may update its argument in place
        originals = [Tensor(x.data) for x in leaves]
        with graph.enable_grad():
            result = f(*inner, **kwargs)
        y, aux = split(result, has_aux, "grad")
        if isinstance(y, (int, float)):
            raise GradientError(
                f"grad needs a function that computes with tensors; this one returned the {type(y).__name__} {y!r}, to "
                f"which nothing was recorded. Use jt.sin and the like in place of math's, and no float() or .item() on the "
                f"way; for a constant return jt.asarray({y!r})"
            )
        if y is None or isinstance(y, (str, list, tuple, dict)):
            raise GradientError(
                f"grad needs a function with a scalar result; this one returned {type(y).__name__}"
                + (" (for a pair of a scalar and anything else, pass has_aux=True)" if isinstance(y, tuple) else "")
            )
        if type(y) is not Tensor:
            y = asarray(y)
        check_depth(y, "grad")
        if y.data.shape != ():
            raise GradientError(
                f"grad needs a function with a scalar result; this one returned shape {y.shape}. Reduce it (such as by "
                f".sum()), or take jt.vmap(jt.grad(f)) for one gradient per row"
            )
        # What aux shares with y, and leads on to what lies outside, must outlive this backward.
        shared = has_aux and any(graph.leads_outside(x, nodes) for x in flatten(aux)[0] if type(x) is Tensor)
        none = [None] * len(nodes)
        found: Any = graph.grad([y], nodes, record=None, retain=shared) if y.node is not None else none
        gradients = [zeros_like(x) if g is None else graph.conjugate(g) for g, x in zip(found, originals, strict=True)]
        for node in nodes:
            node.done = True
        trees = rebuild(gradients)
        gradient = trees[0] if isinstance(argnums, int) else tuple(trees)
        value = graph.detached(y)
        return ((value, cut_off(aux)), gradient) if has_aux else (value, gradient)

    return wrapper


def grad(
    f: Callable[..., Any] | None = None, argnums: int | tuple[int, ...] = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns f's gradient; also as ``@jt.grad``. With ``has_aux`` a pair of it and f's second result.

    >>> import jitrench_core as jt
    >>> jt.grad(jt.grad(lambda x: x**3))(2.0)
    Tensor(12.)
    >>> jt.grad(lambda x, y: x * y, argnums=(0, 1))(2.0, 3.0)
    (Tensor(3.), Tensor(2.))

    See ``value_and_grad`` for arguments and errors.
    """
    if f is None:
        return partial(grad, argnums=argnums, has_aux=has_aux)
    both = value_and_grad(f, argnums, has_aux=has_aux)

    @wraps(f)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapper


def cut_off(tree: Any) -> Any:
    """The same tree, its tensors without the graph where that leads to arguments of transforms alone, not to what lies outside."""
    leaves, rebuild = flatten(tree)
    return rebuild(
        [Tensor(x.data, x.node if graph.leads_outside(x) else None) if type(x) is Tensor else x for x in leaves]
    )
