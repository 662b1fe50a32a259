"""Layers that hold layers: ``Sequential`` and ``ModuleList``; and ``Parameter``, a tensor that a layer owns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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


class Sequential(Layer):
    """Layers, and plain functions, one after another.

    Layers have the names ``"0"``, ``"1"`` by their places, or their own ``name``. A part that is a function of a Tensor, such as
    ``jt.relu``, is called in its turn.

    Raises ``LayerError`` for a part that cannot be called.

    >>> import jitrench_nn as nn
    >>> model = nn.Sequential(nn.Linear(16), jt.relu, nn.Linear(2))
    >>> model(jt.zeros((5, 3))).shape
    (5, 2)
    >>> [name for name, _ in model.named_parameters()]
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """

    def __init__(self, *parts: Callable[..., Any], name: str | None = None) -> None:
        super().__init__(name=name)
        for i, part in enumerate(parts):
            if isinstance(part, type) or not callable(part):
                made = f"; make a layer of the class, {part.__name__}(...)" if isinstance(part, type) else ""
                raise LayerError(
                    f"Sequential(*layers): part {i} is {part!r:.60}; expected a layer, or a function of a Tensor{made}"
                )
        self.parts = [str(i) for i in range(len(parts))]
        for key, part in zip(self.parts, parts, strict=True):
            setattr(self, key, part)

    def forward(self, x: Any) -> Any:
        mine = vars(self)
        for key in self.parts:
            x = mine[key](x)
        return x

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter([vars(self)[key] for key in self.parts])

    def __getitem__(self, i: int | slice) -> Any:
        parts = list(self)[i]
        return Sequential(*parts) if isinstance(i, slice) else parts

    def extra_repr(self) -> str:
        return ""


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
