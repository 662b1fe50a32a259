"""Containers of tensors: dicts, lists, tuples, named tuples and dataclasses, nested, with tensors as their leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from typing import Any


def flatten(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The leaves of ``tree``, in order, and a function that puts others in their places.

    >>> leaves, rebuild = flatten({"a": 1, "b": (2, [3])})
    >>> leaves
    [1, 2, 3]
    >>> rebuild([x * 10 for x in leaves])
    {'a': 10, 'b': (20, [30])}
    """
    leaves: list[Any] = []
    _collect(tree, leaves)

    def rebuild(values: list[Any]) -> Any:
        if len(values) != len(leaves):
            raise ValueError(f"the tree has {len(leaves)} leaves; {len(values)} values came")
        return _build(tree, iter(values))

    return leaves, rebuild


def names(tree: Any) -> list[str]:
    """The path of each leaf, with dots: ``["Linear_1.weight", "Linear_1.bias"]``; a tree that is a leaf is ``""``."""
    return [".".join(map(str, path)) for path in _paths(tree, ())]


def paths(tree: Any) -> list[tuple[Any, ...]]:
    """The keys that lead to each leaf: ``[("Linear_1", "weight"), ("Linear_1", "bias")]``."""
    return list(_paths(tree, ()))


def _parts(tree: Any) -> list[tuple[Any, Any]] | None:
    """The named parts of a container; None for a leaf."""
    if isinstance(tree, dict):
        return list(tree.items())
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return list(zip(tree._fields, tree, strict=True))
    if isinstance(tree, (list, tuple)):
        return list(enumerate(tree))
    fields = getattr(type(tree), "__dataclass_fields__", None)
    return None if fields is None else [(name, getattr(tree, name)) for name in fields]


def _collect(tree: Any, leaves: list[Any]) -> None:
    parts = _parts(tree)
    if parts is None:
        if tree is not None:
            leaves.append(tree)
    else:
        for _, part in parts:
            _collect(part, leaves)


def _paths(tree: Any, prefix: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    parts = _parts(tree)
    if parts is None:
        if tree is not None:
            yield prefix
    else:
        for name, part in parts:
            yield from _paths(part, (*prefix, name))


def _build(tree: Any, values: Iterator[Any]) -> Any:
    parts = _parts(tree)
    if parts is None:
        return None if tree is None else next(values)
    built = [_build(part, values) for _, part in parts]
    if isinstance(tree, dict):
        out = tree.copy()  # keeps a defaultdict's factory
        out.update(zip(tree, built, strict=True))
        return out
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*built)
    if isinstance(tree, (list, tuple)):
        return type(tree)(built)
    out = copy(tree)
    for (name, _), value in zip(parts, built, strict=True):
        object.__setattr__(out, name, value)  # frozen or not, in its __init__ or not
    return out
