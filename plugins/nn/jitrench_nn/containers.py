"""Layers that hold layers, ``Sequential``, ``ModuleList`` and ``ModuleDict``, or parameters, ``ParameterList`` and ``ParameterDict``.

``Parameter`` makes a tensor that a layer owns. What these hold are their attributes, under the names that parameters have.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import Any, overload

import jitrench_core as jt
from jitrench_core import Layer
from jitrench_core.layer import LayerError, arrange


def _numbered(parts: Iterable[Any], first: int = 0) -> dict[str, Any]:
    """Parts by the names that places give them, from ``first``."""
    return {str(i): part for i, part in enumerate(parts, first)}


def _check_layer(holder: Layer, layer: Any) -> None:
    if not isinstance(layer, Layer):
        raise LayerError(f"{type(holder).__name__} holds layers; got a {type(layer).__name__} {layer!r:.60}")


class ModuleList(Layer):
    """A list of layers, whose names are ``"0"``, ``"1"`` and so on. It is not called itself.

    ``append``, ``extend``, ``insert`` and ``del`` are a list's; names stay places.

    >>> import jitrench_nn as nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.blocks = nn.ModuleList(nn.Linear(4) for _ in range(2))
    ...     def forward(self, x):
    ...         for block in self.blocks:
    ...             x = jt.tanh(block(x))
    ...         return x
    >>> list(nn.init(Net(), (None, 3))["blocks"])
    ['0', '1']
    """

    def __init__(self, layers: Iterable[Layer] = (), *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.extend(layers)

    def _arrange(self, layers: list[Layer]) -> None:
        """Hold these, in this order."""
        for layer in layers:
            _check_layer(self, layer)
        arrange(self, _numbered(layers), _numbered(self))

    def append(self, layer: Layer) -> ModuleList:
        """Add a layer at the end. Returns the list."""
        return self.extend([layer])

    def extend(self, layers: Iterable[Layer]) -> ModuleList:
        """Add layers at the end. Returns the list."""
        more = list(layers)
        for layer in more:
            _check_layer(self, layer)
        arrange(self, _numbered(more, len(self)), ())
        return self

    def insert(self, i: int, layer: Layer) -> None:
        """Add a layer before place ``i``, as ``list.insert`` does."""
        layers = list(self)
        layers.insert(i, layer)
        self._arrange(layers)

    def __len__(self) -> int:
        return sum(key.isdecimal() for key in vars(self))

    def __iter__(self) -> Iterator[Layer]:
        return iter([getattr(self, str(i)) for i in range(len(self))])

    @overload
    def __getitem__(self, i: int) -> Layer: ...
    @overload
    def __getitem__(self, i: slice) -> ModuleList: ...
    def __getitem__(self, i: int | slice) -> Layer | ModuleList:
        return type(self)(list(self)[i]) if isinstance(i, slice) else list(self)[i]

    def __setitem__(self, i: int, layer: Layer) -> None:
        layers = list(self)
        layers[i] = layer
        self._arrange(layers)

    def __delitem__(self, i: int | slice) -> None:
        layers = list(self)
        del layers[i]
        self._arrange(layers)

    def extra_repr(self) -> str:
        return ""


def _name(holder: Layer, key: Any, mine: Iterable[str] = ()) -> str:
    """The name of something that ``holder`` holds; ``LayerError`` where it cannot be an attribute, or would hide one."""
    kind = type(holder).__name__
    if not isinstance(key, str) or not key or "." in key:
        raise LayerError(f"{kind}: a name must be a str without dots; got {key!r:.60}")
    if hasattr(type(holder), key) or (key in vars(holder) and key not in mine):
        raise LayerError(f"{kind}: the name {key!r} is one that every {kind} has; choose another")
    return key


class ModuleDict(Layer):
    """Layers by name. It is not called itself.

    A plain dict in an attribute does as well: its layers are found under the same names.

    Raises ``LayerError`` for what is no layer, and for a name that is no str without dots, or that every ``ModuleDict`` has.

    >>> heads = ModuleDict({"shape": jt.Layer(), "color": jt.Layer()})
    >>> list(heads), "color" in heads
    (['shape', 'color'], True)
    """

    def __init__(
        self, layers: Mapping[str, Layer] | Iterable[tuple[str, Layer]] | None = None, *, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self.update(() if layers is None else layers)

    def update(self, layers: Mapping[str, Layer] | Iterable[tuple[str, Layer]]) -> None:
        """Put layers in."""
        for key, layer in dict(layers).items():
            self[key] = layer

    def _held(self) -> dict[str, Layer]:
        return {key: value for key, value in vars(self).items() if isinstance(value, Layer)}

    def __getitem__(self, key: str) -> Layer:
        return self._held()[key]

    def __setitem__(self, key: str, layer: Layer) -> None:
        _check_layer(self, layer)
        held = self._held()
        arrange(self, {**held, _name(self, key, held): layer}, held)

    def __delitem__(self, key: str) -> None:
        self[key]
        delattr(self, key)

    def __contains__(self, key: object) -> bool:
        return key in self._held()

    def __len__(self) -> int:
        return len(self._held())

    def __iter__(self) -> Iterator[str]:
        return iter(self._held())

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._held().keys()

    def values(self) -> ValuesView[Layer]:
        """The layers."""
        return self._held().values()

    def items(self) -> ItemsView[str, Layer]:
        """Names and layers."""
        return self._held().items()

    def extra_repr(self) -> str:
        return ""


class Sequential(Layer):
    """Layers, and plain functions, one after another.

    Layers have the names ``"0"``, ``"1"`` by their places, or, given in a dict, its names, or their own ``name``. A part that is a
    function of a Tensor, such as ``jt.relu``, is called in its turn. ``append``, ``insert`` and ``extend`` add parts; the
    numbers in names stay places.

    Raises ``LayerError`` for a part that cannot be called, and for a name that cannot be an attribute.

    >>> import jitrench_nn as nn
    >>> model = nn.Sequential(nn.Linear(16), jt.relu, nn.Linear(2))
    >>> model(jt.zeros((5, 3))).shape
    (5, 2)
    >>> [name for name, _ in model.named_parameters()]
    ['0.weight', '0.bias', '2.weight', '2.bias']
    >>> list(nn.init(nn.Sequential({"first": nn.Linear(16), "relu": jt.relu, "head": nn.Linear(2)}), (None, 3)))
    ['first', 'head']
    """

    def __init__(self, *parts: Callable[..., Any] | Mapping[str, Callable[..., Any]], name: str | None = None) -> None:
        super().__init__(name=name)
        self._parts: list[str] = []
        if len(parts) == 1 and isinstance(parts[0], Mapping):
            named = list(parts[0].items())
            for i, (key, _) in enumerate(named):
                if str(key).isdecimal() and key != str(i):
                    raise LayerError(
                        f"Sequential: part {i} is named {key!r}; a number is a place, so that must be {str(i)!r}"
                    )
            self._arrange(named)
        else:
            self._arrange([("0", part) for part in parts])

    def _arrange(self, parts: list[tuple[str, Any]]) -> None:
        """Hold these, in this order; names that are numbers become their places."""
        for i, (_, part) in enumerate(parts):
            if isinstance(part, type) or not callable(part):
                if isinstance(part, type):
                    hint = f"; make a layer of the class, {part.__name__}(...)"
                else:
                    several = isinstance(part, (list, tuple, Iterator))
                    hint = "; give its layers one by one, Sequential(*layers)" if several else ""
                raise LayerError(
                    f"Sequential(*layers): part {i} is {part!r:.60}; expected a layer, or a function of a Tensor{hint}"
                )
        keys = [str(i) if str(key).isdecimal() else _name(self, key, self._parts) for i, (key, _) in enumerate(parts)]
        arrange(self, dict(zip(keys, (part for _, part in parts), strict=True)), self._parts)
        self._parts = keys

    def _items(self) -> list[tuple[str, Any]]:
        return [(key, vars(self)[key]) for key in self._parts]

    def append(self, part: Callable[..., Any]) -> Sequential:
        """Add a part at the end. Returns the layer."""
        return self.extend([part])

    def extend(self, parts: Iterable[Callable[..., Any]]) -> Sequential:
        """Add parts at the end. Returns the layer."""
        self._arrange([*self._items(), *(("0", part) for part in parts)])
        return self

    def insert(self, i: int, part: Callable[..., Any]) -> Sequential:
        """Add a part before place ``i``, as ``list.insert`` does. Returns the layer."""
        items = self._items()
        items.insert(i, ("0", part))
        self._arrange(items)
        return self

    def forward(self, x: Any) -> Any:
        mine = vars(self)
        for key in self._parts:
            x = mine[key](x)
        return x

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter([part for _, part in self._items()])

    def __getitem__(self, i: int | slice | str) -> Any:
        items = self._items()
        if isinstance(i, str):
            return dict(items)[i]
        if not isinstance(i, slice):
            return items[i][1]
        part = Sequential()
        part._arrange(items[i])
        return part

    def __setitem__(self, i: int, part: Callable[..., Any]) -> None:
        items = self._items()
        items[i] = items[i][0], part
        self._arrange(items)

    def __delitem__(self, i: int | slice) -> None:
        items = self._items()
        del items[i]
        self._arrange(items)

    def extra_repr(self) -> str:
        return ""


def _leaf(value: Any, held: Iterable[jt.Tensor] = ()) -> jt.Tensor:
    """A parameter: a leaf that requires a gradient, or one that is ``held`` already, frozen or not; else one made of a value."""
    leaf = isinstance(value, jt.Tensor) and value.requires_grad and value.is_leaf
    return value if leaf or any(value is p for p in held) else Parameter(value)


class ParameterDict(Layer):
    """Parameters by name: leaf Tensors that require a gradient, or values of which ``Parameter`` makes one. It is not called itself.

    A computed Tensor is such a value, too, and one that requires no gradient. To freeze a parameter, set ``requires_grad`` of the one held.

    Raises ``LayerError`` for a name that is no str without dots, or that every ``ParameterDict`` has.

    >>> bounds = ParameterDict({"low": [0.0, 1.0], "high": 2.0})
    >>> [(name, p.shape) for name, p in bounds.named_parameters()]
    [('low', (2,)), ('high', ())]
    """

    def __init__(
        self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None, *, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self._held: list[str] = []
        self.update(() if values is None else values)

    def update(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Put parameters in; those of another ``ParameterDict`` are shared, also frozen ones."""
        shared = values.values() if isinstance(values, ParameterDict) else []
        for key, value in dict(values).items():
            self._put(key, _leaf(value, [*self.values(), *shared]))

    def _put(self, key: str, p: jt.Tensor) -> None:
        """Hold ``p``."""
        held = dict(self.items())
        parts = {**held, _name(self, key, held): p}
        arrange(self, parts, held)
        self._held = list(parts)

    def __getitem__(self, key: str) -> jt.Tensor:
        if key not in self._held:
            raise KeyError(key)
        value: jt.Tensor = getattr(self, key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        self[key]
        delattr(self, key)
        self._held = [k for k in self._held if k != key]

    def __contains__(self, key: object) -> bool:
        return key in self._held

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._held))

    def keys(self) -> list[str]:
        """The names."""
        return list(self._held)

    def values(self) -> list[jt.Tensor]:
        """The parameters."""
        return [self[key] for key in self._held]

    def items(self) -> list[tuple[str, jt.Tensor]]:
        """Names and parameters."""
        return [(key, self[key]) for key in self._held]

    def extra_repr(self) -> str:
        return ", ".join(f"{key}: {self[key].shape}" for key in self._held)


class ParameterList(Layer):
    """A list of parameters, whose names are ``"0"``, ``"1"`` and so on.

    They are leaf Tensors that require a gradient, or values of which ``Parameter`` makes one: a computed Tensor is such a value, too, and one
    that requires no gradient. To freeze a parameter, set ``requires_grad`` of the one held. ``append``, ``extend``, ``insert`` and
    ``del`` are a list's; names stay places.

    >>> levels = ParameterList([jt.ones(2), 3.0])
    >>> levels[1], len(levels)
    (Tensor(3., name='1', requires_grad=True), 2)
    """

    def __init__(self, values: Iterable[Any] = (), *, name: str | None = None) -> None:
        super().__init__(name=name)
        self._length = 0
        self.extend(values)

    def _arrange(self, values: Sequence[Any], shared: Iterable[jt.Tensor] = ()) -> None:
        """Hold these, in this order."""
        mine = list(self)
        arrange(self, _numbered([_leaf(value, [*mine, *shared]) for value in values]), _numbered(mine))
        self._length = len(values)

    def append(self, value: Any) -> ParameterList:
        """Add a parameter at the end. Returns the list."""
        return self.extend([value])

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add parameters at the end; those of another ``ParameterList`` are shared, also frozen ones. Returns the list."""
        shared = values if isinstance(values, ParameterList) else ()
        more = [_leaf(value, shared) for value in values]
        arrange(self, _numbered(more, self._length), ())
        self._length += len(more)
        return self

    def insert(self, i: int, value: Any) -> None:
        """Add a parameter before place ``i``, as ``list.insert`` does."""
        values: list[Any] = list(self)
        values.insert(i, value)
        self._arrange(values)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[jt.Tensor]:
        return iter([getattr(self, str(i)) for i in range(self._length)])

    @overload
    def __getitem__(self, i: int) -> jt.Tensor: ...
    @overload
    def __getitem__(self, i: slice) -> ParameterList: ...
    def __getitem__(self, i: int | slice) -> jt.Tensor | ParameterList:
        values = list(self)
        if not isinstance(i, slice):
            return values[i]
        part = ParameterList()
        part._arrange(values[i], values)
        return part

    def __setitem__(self, i: int, value: Any) -> None:
        values: list[Any] = list(self)
        values[i] = value
        self._arrange(values)

    def __delitem__(self, i: int | slice) -> None:
        values = list(self)
        del values[i]
        self._arrange(values)

    def extra_repr(self) -> str:
        return ", ".join(f"{i}: {p.shape}" for i, p in enumerate(self))


def Parameter(data: Any, requires_grad: bool = True) -> jt.Tensor:
    """A new leaf Tensor of ``data``; assigned to an attribute of a layer, it is one of its parameters.

    Raises ``LayerError`` for ``requires_grad=False``: what is not trained is a buffer.

    >>> Parameter([1.0, 2.0])
    Tensor([1., 2.], requires_grad=True)
    """
    if not requires_grad:
        raise LayerError(
            "Parameter(requires_grad=False): a Tensor that is not trained is a buffer, self.register_buffer(name, value); to "
            "freeze a parameter, make it and set its requires_grad to False afterwards"
        )
    return jt.tensor(data, requires_grad=True)
