"""Clipping: gradients that are too long, made shorter before a step.

>>> import jitrench_core as jt
>>> import jitrench_optim as optim
>>> x = jt.tensor([3.0, 4.0], requires_grad=True)
>>> (0.5 * x * x).sum().backward()
>>> optim.clip_grad_norm([x], max_norm=1.0)
Tensor(5.)
>>> [round(g, 5) for g in x.grad.tolist()]
[0.6, 0.8]
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from typing import Any

import jitrench_core as jt
from jitrench_core import Tensor
from jitrench_core.optimizer import OptimizerError
from jitrench_core.transforms.tree import flatten

_FOR_TREES = {"grad_norm": "global_norm", "clip_grad_norm": "clip_by_norm", "clip_grad_value": "clip_by_value"}

# Keeps max_norm / norm finite; PyTorch's number.
_TINY = 1e-6


def global_norm(tree: Any, norm_type: float = 2.0) -> Tensor:
    """The norm of all tensors of a tree, as of one vector; of gradients by ``jt.grad``, say. None counts for nothing.

    ``norm_type`` is that of ``jt.vector_norm``, and may be infinite. Differentiable. Of no tensors it is 0.

    >>> import jitrench_core as jt
    >>> global_norm({"a": jt.tensor([3.0]), "b": jt.tensor([[4.0]])})
    Tensor(5.)
    """
    _check_order("global_norm", norm_type)
    return _norm(_leaves("global_norm", tree), norm_type)


def clip_by_norm(tree: Any, max_norm: float, norm_type: float = 2.0) -> Any:
    """The tree with all its tensors scaled so that their norm together is at most ``max_norm``: for gradients by ``jt.grad``.

    The factor is ``max_norm / (norm + 1e-6)``, and 1 where that is more. Differentiable.

    >>> import jitrench_core as jt
    >>> clip_by_norm({"a": jt.tensor([3.0]), "b": jt.tensor([4.0])}, 10.0)
    {'a': Tensor([3.]), 'b': Tensor([4.])}
    """
    _check_limit("clip_by_norm", "max_norm", max_norm)
    _check_order("clip_by_norm", norm_type)
    leaves, rebuild = flatten(tree)
    factor = _factor(_norm(_leaves("clip_by_norm", leaves), norm_type), max_norm)
    return rebuild([_scaled(g, factor) for g in leaves])


def clip_by_value(tree: Any, limit: float) -> Any:
    """The tree with each element of its tensors clipped to [-limit, limit]: for gradients by ``jt.grad``. Differentiable.

    >>> import jitrench_core as jt
    >>> clip_by_value({"a": jt.tensor([3.0, -0.5]), "b": None}, 1.0)
    {'a': Tensor([ 1. , -0.5]), 'b': None}
    """
    _check_limit("clip_by_value", "limit", limit)
    leaves, rebuild = flatten(tree)
    return rebuild([jt.clip(g, min=-limit, max=limit) for g in _leaves("clip_by_value", leaves)])


def grad_norm(params: Any, norm_type: float = 2.0) -> Tensor:
    """The norm of the ``.grad`` of all parameters, as of one vector; a parameter that has none counts for nothing.

    ``params`` is a tree of leaf Tensors, or any iterable of them. Of a tree of gradients ``global_norm`` is the norm.

    Raises ``GradientError``, as ``clip_grad_norm`` and ``clip_grad_value`` do, for Tensors none of which may have a ``.grad``.
    """
    _check_order("grad_norm", norm_type)
    with jt.no_grad():
        return _norm([g for _, g in _with_grad("grad_norm", params)], norm_type)


def clip_grad_norm(params: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Tensor:
    """Scale the ``.grad`` of all parameters so that their norm together is at most ``max_norm``; the norm before.

    The factor is ``max_norm / (norm + 1e-6)``, and 1 where that is more, as in PyTorch. Gradients get new arrays: a graph that
    holds one keeps its values.

    Raises ``GradientError`` for a norm that is not finite, if asked to; else the gradients are NaN or 0 then.
    """
    _check_limit("clip_grad_norm", "max_norm", max_norm)
    _check_order("clip_grad_norm", norm_type)
    with jt.no_grad():
        found = _with_grad("clip_grad_norm", params)
        norm = _norm([g for _, g in found], norm_type)
        if error_if_nonfinite and not math.isfinite(norm.item()):
            raise jt.GradientError(
                f"clip_grad_norm: the norm of the gradients is {norm.item()}: find the operation that made it by "
                f"jt.detect_anomaly(), or leave error_if_nonfinite out"
            )
        factor = _factor(norm, max_norm)
        for p, g in found:
            p.grad = _scaled(g, factor)
    return norm


def clip_grad_value(params: Any, limit: float) -> None:
    """Clip each element of the ``.grad`` of all parameters to [-limit, limit]."""
    _check_limit("clip_grad_value", "limit", limit)
    with jt.no_grad():
        for p, g in _with_grad("clip_grad_value", params):
            p.grad = jt.clip(g, min=-limit, max=limit)


# -- inside -----------------------------------------------------------------------------------------------------------


def _leaves(who: str, tree: Any) -> list[Tensor]:
    if not isinstance(tree, (dict, list, tuple, Tensor)) and isinstance(tree, Iterable):
        tree = list(tree)
    leaves = flatten(tree)[0]
    for leaf in leaves:
        if type(leaf) is not Tensor:
            hint = ": pass its parameters()" if isinstance(leaf, jt.Layer) else ""
            raise jt.DTypeError(f"{who} takes a tree of Tensors; got a {type(leaf).__name__}{hint}")
    return leaves


def _with_grad(who: str, params: Any) -> list[tuple[Tensor, Tensor]]:
    """The Tensors that have a gradient, each once, and their gradients."""
    leaves = dict.fromkeys(_leaves(who, params))
    if leaves and not any(p.requires_grad and p.is_leaf for p in leaves):
        raise jt.GradientError(
            f"{who} takes parameters, and none of these tensors is a leaf that requires a gradient: for a tree of gradients there is "
            f"{_FOR_TREES[who]}"
        )
    return [(p, g) for p in leaves if p.requires_grad and p.is_leaf and (g := p.grad) is not None]


def _norm(tensors: list[Tensor], order: float) -> Tensor:
    """Over tensors of several dtypes and devices in the widest dtype, on the first one's device."""
    if not tensors:
        return jt.zeros(())
    device = tensors[0].device
    norms = [
        jt.asarray(jt.vector_norm(t, ord=order), device=device)
        if t.size
        else jt.zeros((), dtype=t.dtype, device=device)
        for t in tensors
    ]
    if len(norms) == 1:
        return norms[0]
    widest = jt.result_type(*norms)
    return jt.vector_norm(jt.stack([jt.asarray(n, dtype=widest) for n in norms]), ord=order)


def _factor(norm: Tensor, limit: float) -> Tensor:
    return jt.minimum(limit / (norm + _TINY), 1.0)


def _scaled(g: Tensor, factor: Tensor) -> Tensor:
    return g * jt.asarray(factor, dtype=g.dtype, device=g.device)


def _check_limit(who: str, name: str, limit: Any) -> None:
    if not isinstance(limit, Real) or isinstance(limit, bool) or not limit >= 0:
        raise OptimizerError(f"{who}: {name} must be a number, 0 or above; got {limit!r:.60}")


def _check_order(who: str, order: Any) -> None:
    if not isinstance(order, Real) or isinstance(order, bool) or not order > 0:
        raise OptimizerError(f"{who}: norm_type must be a number above 0, such as 2.0 or jt.inf; got {order!r:.60}")
