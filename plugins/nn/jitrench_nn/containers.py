"""Layers that hold layers, ``Sequential``, ``ModuleList`` and ``ModuleDict``, or parameters, ``ParameterList`` and ``ParameterDict``.

``Parameter`` makes a tensor that a layer owns. What these hold are their attributes, under the names that parameters have.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, overload

import jitrench_core as jt
from jitrench_core import Layer
from jitrench_core.layer import LayerError


class ModuleList(Layer):
    """A list of layers, whose names are ``"0"``, ``"1"`` and so on. It is not called itself.

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

    def append(self, layer: Layer) -> ModuleList:
        """Add a layer at the end. Returns the list."""
        if not isinstance(layer, Layer):
            raise LayerError(f"{type(self).__name__} holds layers; got a {type(layer).__name__} {layer!r:.60}")
        setattr(self, str(len(self)), layer)
        return self

    def extend(self, layers: Iterable[Layer]) -> ModuleList:
        """Add layers at the end. Returns the list."""
        for layer in layers:
            self.append(layer)
        return self

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
        if not isinstance(layer, Layer):
            raise LayerError(f"{type(self).__name__} holds layers; got a {type(layer).__name__} {layer!r:.60}")
        setattr(self, str(range(len(self))[i]), layer)

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
        self, layers: Mapping[str, Layer] | Iterable[tuple[str, Layer]] = (), *, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self.update(layers)

    def update(self, layers: Mapping[str, Layer] | Iterable[tuple[str, Layer]]) -> None:
        """Put layers in."""
        for key, layer in dict(layers).items():
            self[key] = layer

    def _held(self) -> dict[str, Layer]:
        return {key: value for key, value in vars(self).items() if isinstance(value, Layer)}

    def __getitem__(self, key: str) -> Layer:
        return self._held()[key]

    def __setitem__(self, key: str, layer: Layer) -> None:
        if not isinstance(layer, Layer):
            raise LayerError(f"{type(self).__name__} holds layers; got a {type(layer).__name__} {layer!r:.60}")
        setattr(self, _name(self, key, self._held()), layer)

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
        self.parts: list[str] = []
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
                    hint = (
                        ""
                        if not isinstance(part, (list, tuple, Iterator))
                        else "; give its layers one by one, Sequential(*layers)"
                    )
                raise LayerError(
                    f"Sequential(*layers): part {i} is {part!r:.60}; expected a layer, or a function of a Tensor{hint}"
                )
        keys = [str(i) if str(key).isdecimal() else _name(self, key, self.parts) for i, (key, _) in enumerate(parts)]
        for key in self.parts:
            delattr(self, key)
        self.parts = keys
        for key, (_, part) in zip(keys, parts, strict=True):
            setattr(self, key, part)

    def _items(self) -> list[tuple[str, Any]]:
        return [(key, vars(self)[key]) for key in self.parts]

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
        for key in self.parts:
            x = mine[key](x)
        return x

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter([part for _, part in self._items()])

    def __getitem__(self, i: int | slice) -> Any:
        items = self._items()
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


def _leaf(value: Any) -> jt.Tensor:
    """A parameter: a Tensor that requires a gradient, or one made of a value."""
    return value if isinstance(value, jt.Tensor) and value.requires_grad else Parameter(value)


class ParameterDict(Layer):
    """Parameters by name: leaf Tensors, or values of which ``Parameter`` makes one. It is not called itself.

    Raises ``LayerError`` for a name that is no str without dots, or that every ``ParameterDict`` has.

    >>> bounds = ParameterDict({"low": [0.0, 1.0], "high": 2.0})
    >>> [(name, p.shape) for name, p in bounds.named_parameters()]
    [('low', (2,)), ('high', ())]
    """

    def __init__(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.held: list[str] = []
        self.update(values)

    def update(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Put parameters in."""
        for key, value in dict(values).items():
            self[key] = value

    def __getitem__(self, key: str) -> jt.Tensor:
        if key not in self.held:
            raise KeyError(key)
        value: jt.Tensor = getattr(self, key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self, _name(self, key, self.held), _leaf(value))
        if key not in self.held:
            self.held = [*self.held, key]

    def __delitem__(self, key: str) -> None:
        self[key]
        delattr(self, key)
        self.held = [k for k in self.held if k != key]

    def __contains__(self, key: object) -> bool:
        return key in self.held

    def __len__(self) -> int:
        return len(self.held)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self.held))

    def keys(self) -> list[str]:
        """The names."""
        return list(self.held)

    def values(self) -> list[jt.Tensor]:
        """The parameters."""
        return [self[key] for key in self.held]

    def items(self) -> list[tuple[str, jt.Tensor]]:
        """Names and parameters."""
        return [(key, self[key]) for key in self.held]

    def extra_repr(self) -> str:
        return ", ".join(f"{key}: {self[key].shape}" for key in self.held)


class ParameterList(Layer):
    """A list of parameters, whose names are ``"0"``, ``"1"`` and so on: leaf Tensors, or values of which ``Parameter`` makes one.

    >>> levels = ParameterList([jt.ones(2), 3.0])
    >>> levels[1], len(levels)
    (Tensor(3., name='1', requires_grad=True), 2)
    """

    def __init__(self, values: Iterable[Any] = (), *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.length = 0
        self.extend(values)

    def append(self, value: Any) -> ParameterList:
        """Add a parameter at the end. Returns the list."""
        setattr(self, str(self.length), _leaf(value))
        self.length += 1
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add parameters at the end. Returns the list."""
        for value in values:
            self.append(value)
        return self

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[jt.Tensor]:
        return iter([self[i] for i in range(self.length)])

    def __getitem__(self, i: int) -> jt.Tensor:
        value: jt.Tensor = getattr(self, str(range(self.length)[i]))
        return value

    def __setitem__(self, i: int, value: Any) -> None:
        setattr(self, str(range(self.length)[i]), _leaf(value))

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
