"""Containers of tensors: dicts, lists, tuples, named tuples and dataclasses, nested, with tensors as their leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from typing import Any, final

from ..errors import OpError


@final
class _Leaf:
    """What stands in a skeleton for a leaf."""


def flatten(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The leaves of ``tree``, in order, and a function that puts others in their places, which holds none of them.

    >>> leaves, rebuild = flatten({"a": 1, "b": (2, [3])})
    >>> leaves
    [1, 2, 3]
    >>> rebuild([x * 10 for x in leaves])
    {'a': 10, 'b': (20, [30])}
    """
    leaves: list[Any] = []
    skeleton = _collect(tree, leaves)
    count = len(leaves)

    def rebuild(values: list[Any]) -> Any:
        if len(values) != count:
            raise ValueError(f"the tree has {count} leaves; {len(values)} values came")
        return _build(skeleton, iter(values))

    return leaves, rebuild


def partners(tree: Any, others: Any, what: str, of: str) -> list[Any]:
    """For each leaf of ``tree`` the value at its place in ``others``: None where that, or what it is in, is None.

    Raises ``OpError`` where the two have different structures.
    """
    places = paths(tree)
    given = dict(_items(others, (), none=True))
    nothing = {path for path, value in given.items() if value is None}
    lonely = {p for p in places if p not in given and not any(p[:n] in nothing for n in range(len(p)))}
    lonely |= given.keys() - nothing - set(places)
    if lonely:
        raise OpError(
            f"{len(places)} {of} and {len(given) - len(nothing)} {what} value(s) came: they need the same structure; without "
            f"a partner are {', '.join(sorted('.'.join(map(str, path)) or 'the whole' for path in lonely))}"
        )
    return [given.get(path) for path in places]


def spread(prefix: Any, tree: Any, what: str, of: str) -> list[Any]:
    """The entry of ``prefix`` for each leaf of ``tree``: an int or None stands for all that is below it.

    >>> spread({"a": 0, "b": None}, {"b": [1, 2], "a": (3, 4)}, "in_axes", "the argument")
    [None, None, 0, 0]
    """
    if prefix is None or (isinstance(prefix, int) and not isinstance(prefix, bool)):
        return [prefix] * len(paths(tree))
    parts, mine = _parts(tree), _parts(prefix)
    if mine is None:
        raise OpError(f"{what} holds {prefix!r}: expected ints, None, and containers of them")
    wanted = dict(mine)
    if parts is None or wanted.keys() != {key for key, _ in parts}:
        held = type(tree).__name__ if parts is None else f"a {type(tree).__name__} of {[key for key, _ in parts]}"
        raise OpError(
            f"{what} has a {type(prefix).__name__} of {list(wanted)} where {of} has {held}: it needs the same "
            f"containers, or one int or None for all that is in them"
        )
    return [axis for key, part in parts for axis in spread(wanted[key], part, what, of)]


def names(tree: Any) -> list[str]:
    """The path of each leaf, with dots: ``["Linear_1.weight", "Linear_1.bias"]``; a tree that is a leaf is ``""``."""
    return [".".join(map(str, path)) for path in paths(tree)]


def paths(tree: Any) -> list[tuple[Any, ...]]:
    """The keys that lead to each leaf: ``[("Linear_1", "weight"), ("Linear_1", "bias")]``."""
    return [path for path, _ in _items(tree, ())]


def _parts(tree: Any) -> list[tuple[Any, Any]] | None:
    """The named parts of a container; None for a leaf."""
    if isinstance(tree, dict):
        return list(tree.items())
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return list(zip(tree._fields, tree, strict=True))
    if isinstance(tree, (list, tuple)):
        return list(enumerate(tree))
    fields = getattr(type(tree), "__dataclass_fields__", None)
    if fields is None or hasattr(
        type(tree), "named_parameters"
    ):  # the fields of a layer are its options, without its tensors
        return None
    return [(name, getattr(tree, name)) for name in fields]


def _collect(tree: Any, leaves: list[Any]) -> Any:
    """Append the leaves to ``leaves``; return the containers, with the type ``_Leaf`` where a leaf was."""
    parts = _parts(tree)
    if parts is None:
        if tree is None:
            return None
        leaves.append(tree)
        return _Leaf
    return _filled(tree, [(key, _collect(part, leaves)) for key, part in parts])


def _items(tree: Any, prefix: tuple[Any, ...], none: bool = False) -> Iterator[tuple[tuple[Any, ...], Any]]:
    parts = _parts(tree)
    if parts is None:
        if tree is not None or none:
            yield prefix, tree
    else:
        for key, part in parts:
            yield from _items(part, (*prefix, key), none)


def _build(skeleton: Any, values: Iterator[Any]) -> Any:
    if skeleton is _Leaf:
        return next(values)
    parts = _parts(skeleton)
    return None if parts is None else _filled(skeleton, [(key, _build(part, values)) for key, part in parts])


def _filled(tree: Any, parts: list[tuple[Any, Any]]) -> Any:
    """A container like ``tree`` that holds ``parts``."""
    if isinstance(tree, dict):
        out = tree.copy() if type(tree) is dict else copy(tree)  # a subclass, and a defaultdict's factory, stay
        out.update(parts)
        return out
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(part for _, part in parts))
    if isinstance(tree, (list, tuple)):
        return type(tree)(part for _, part in parts)
    out = copy(tree)
    for name, part in parts:
        object.__setattr__(out, name, part)  # frozen or not, in its __init__ or not
    return out
