"""Recurrent layers, and their cells, which take one step. Names, shapes, gate order and first values are PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from operator import index
from typing import Any, ClassVar, Never

import jitrench_core as jt
from jitrench_core.layer import LayerError

from .. import functional as F
from ..initializers import uniform
from .attention import check_probability, drawing
from .base import Configured, check_flag, check_size, refuse, refuse_more

States = tuple[jt.Tensor, ...]


class _Gated(Configured):
    """What a layer and its cell share: the parameters, and the op that runs over time."""

    gates: ClassVar[int]
    states: ClassVar[tuple[str, ...]] = ("h",)

    hidden_size: int
    with_bias: bool
    weight_init: Any
    bias_init: Any

    def _configure(
        self, hidden_size: int, more: tuple[Any, ...], bias: bool, weight_init: Any, bias_init: Any, name: str | None
    ) -> None:
        kind = type(self).__name__
        Configured.__init__(self, name=name)
        if more:
            refuse_more(kind, "the hidden width", (hidden_size,), more)
        hidden_size = check_size(kind, "hidden_size", "the width of the state", hidden_size)
        check_flag(kind, "bias", bias)
        self.hidden_size = hidden_size
        self.with_bias = bias
        self.weight_init = weight_init
        self.bias_init = bias_init
        self.spread = uniform(-1 / math.sqrt(hidden_size), 1 / math.sqrt(hidden_size))

    def run(self, x: jt.Tensor, suffix: str, states: States, **attrs: Any) -> tuple[jt.Tensor, ...]:
        """All time steps of x (time, n, width): the results of each, and the last states."""
        rows, hidden = self.gates * self.hidden_size, self.hidden_size
        weight_init, bias_init = self.weight_init or self.spread, self.bias_init or self.spread
        weights = (
            self.parameter(f"weight_ih{suffix}", (rows, x.shape[-1]), weight_init),
            self.parameter(f"weight_hh{suffix}", (rows, hidden), weight_init),
        )
        biases: Any = (None, None)
        if self.with_bias:
            biases = tuple(self.parameter(f"bias_{k}{suffix}", (rows,), bias_init) for k in ("ih", "hh"))
        return self.over_time(x, *weights, *biases, *states, **attrs)

    def over_time(
        self, x: jt.Tensor, weight: jt.Tensor, weight_hh: jt.Tensor, bias: Any, bias_hh: Any, *states: Any, **attrs: Any
    ) -> tuple[jt.Tensor, ...]:
        """x projected, and the op over the result."""
        raise NotImplementedError

    def first_states(self, hx: Any, shape: tuple[int, ...], x: jt.Tensor) -> States:
        """The states to start from: those given, which must have the shape, or zeros."""
        if hx is None:
            return (jt.zeros(shape, dtype=x.dtype, device=x.device),) * len(self.states)
        given = hx if len(self.states) > 1 else (hx,)
        if not isinstance(given, (tuple, list)) or len(given) != len(self.states):
            raise LayerError(
                f"{self.label}: the states to start from are a pair ({', '.join(self.states)}); got {type(hx).__name__}"
            )
        found = tuple(jt.asarray(state) for state in given)
        for name, state in zip(self.states, found, strict=True):
            if state.dtype != x.dtype:
                raise jt.DTypeError(
                    f"{self.label}: the first {name} is {state.dtype}, the input {x.dtype}: convert one, such as "
                    f"{name}.astype(jt.{x.dtype})"
                )
            if state.shape != shape:
                raise jt.ShapeError(
                    f"{self.label}: expected the first {name} of shape {shape} for an input of shape {x.shape}, got "
                    f"{state.shape}"
                )
        return found

    def result(self, states: Sequence[jt.Tensor]) -> Any:
        """The states as they are returned."""
        return states[0] if len(self.states) == 1 else tuple(states)


class _Layer(_Gated):
    def __init__(
        self,
        hidden_size: int,
        *more: Never,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        weight_init: Any = None,
        bias_init: Any = None,
        name: str | None = None,
    ) -> None:
        kind = type(self).__name__
        self._configure(hidden_size, more, bias, weight_init, bias_init, name)
        num_layers = check_size(kind, "num_layers", "the number of layers", num_layers)
        check_probability(kind, dropout)
        check_flag(kind, "batch_first", batch_first)
        check_flag(kind, "bidirectional", bidirectional)
        self.num_layers = num_layers
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = bidirectional

    def forward(self, x: jt.Tensor, hx: Any = None, *, lengths: Any = None) -> Any:
        batched = x.ndim == 3
        if x.ndim not in (2, 3) or x.dtype.kind != "f":
            refuse(self, x, f"({'n, time' if self.batch_first else 'time, n'}, width) or (time, width)", "f")
        shape, directions = x.shape, 2 if self.bidirectional else 1
        n = shape[1 - self.batch_first] if batched else 1
        lead = (self.num_layers * directions,)
        states = self.first_states(hx, (*lead, *((n,) if batched else ()), self.hidden_size), x)
        if not batched:
            x, states = jt.expand_dims(x, axis=1), tuple(jt.expand_dims(s, axis=1) for s in states)
        elif self.batch_first:
            x = jt.permute_dims(x, (1, 0, 2))
        if not x.shape[0]:
            raise jt.ShapeError(f"{self.label}: expected one time step at least, got an input of shape {shape}")
        sizes, order = (None, None) if lengths is None else self._sorted(lengths, x.shape[0], n)
        if order is not None:
            x, states = _taken(x, order), tuple(_taken(s, order) for s in states)
        if sizes is not None:  # a NaN there times the gradient, 0, would be in that of the weights
            x = jt.where(_runs(sizes, n, x.device), x, 0.0)
        lasts: list[Any] = []
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                x = F.dropout(x, p=self.dropout, generator=drawing(self))
            parts = []
            for reverse in (False, True)[:directions]:
                k, suffix = len(lasts), f"_l{layer}{'_reverse' * reverse}"
                y, *last = self.run(x, suffix, tuple(s[k, ...] for s in states), sizes=sizes, reverse=reverse)
                parts.append(y)
                lasts.append(last)
            x = jt.concat(parts, axis=-1) if self.bidirectional else parts[0]
        ends = [jt.stack(state) for state in zip(*lasts, strict=True)]
        if order is not None:
            back = sorted(range(n), key=order.__getitem__)
            x, ends = _taken(x, back), [_taken(s, back) for s in ends]
        if not batched:
            return jt.squeeze(x, axis=1), self.result([jt.squeeze(s, axis=1) for s in ends])
        return jt.permute_dims(x, (1, 0, 2)) if self.batch_first else x, self.result(ends)

    def _sorted(self, lengths: Any, time: int, n: int) -> tuple[tuple[int, ...] | None, list[int] | None]:
        """How many sequences run at each step, and the order in which the longest come first; None where that is as it is."""
        given: Any = lengths.tolist() if hasattr(lengths, "tolist") else lengths
        ordered = hasattr(given, "__iter__") and not isinstance(given, (Set, Mapping))
        given = list(given) if ordered else [given]
        whole = (hasattr(k, "__index__") and not isinstance(k, bool) and 1 <= k <= time for k in given)
        if len(given) != n or not all(whole):
            raise jt.ShapeError(
                f"{self.label}: lengths= are {n} ints from 1 to {time}, one for each sequence; got {lengths!r:.100}"
            )
        every = list(map(index, given))
        if min(every, default=time) == time:
            return None, None
        order = sorted(range(n), key=lambda k: -every[k])
        return tuple(sum(k > t for k in every) for t in range(time)), order if order != list(range(n)) else None


def _taken(x: jt.Tensor, order: list[int]) -> jt.Tensor:
    """The sequences, which are on axis 1, in another order."""
    return jt.take(x, jt.asarray(order, device=x.device), axis=1)


def _runs(sizes: tuple[int, ...], n: int, device: Any) -> jt.Tensor:
    """Whether a sequence runs at a step: (time, n, 1)."""
    running = jt.expand_dims(jt.asarray(sizes, device=device), axis=1) > jt.arange(n, device=device)
    return jt.expand_dims(running, axis=-1)


class _Cell(_Gated):
    def __init__(
        self,
        hidden_size: int,
        *more: Never,
        bias: bool = True,
        weight_init: Any = None,
        bias_init: Any = None,
        name: str | None = None,
    ) -> None:
        self._configure(hidden_size, more, bias, weight_init, bias_init, name)

    def forward(self, x: jt.Tensor, hx: Any = None) -> Any:
        if x.ndim not in (1, 2) or x.dtype.kind != "f":
            refuse(self, x, "(n, width) or (width,)", "f")
        states = self.first_states(hx, (*x.shape[:-1], self.hidden_size), x)
        if x.ndim == 2:
            return self.result(self.run(jt.expand_dims(x, axis=0), "", states)[1:])
        one = self.run(jt.reshape(x, (1, 1, -1)), "", tuple(jt.expand_dims(s, axis=0) for s in states))[1:]
        return self.result([jt.squeeze(s, axis=0) for s in one])


# -- the three kinds ----------------------------------------------------------------------------------------------------


class _Elman(_Gated):
    gates = 1
    nonlinearity: str

    def _activated(self, nonlinearity: str) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise LayerError(
                f"{type(self).__name__}(nonlinearity=): expected 'tanh' or 'relu'; got {nonlinearity!r:.60}"
            )
        self.nonlinearity = nonlinearity

    def over_time(
        self, x: Any, weight: Any, weight_hh: Any, bias: Any, bias_hh: Any, *states: Any, **attrs: Any
    ) -> Any:
        both = None if bias is None else bias + bias_hh
        return F.rnn_layer(F.linear(x, weight, both), *states, weight_hh, activation=self.nonlinearity, **attrs)


class _LSTM(_Gated):
    gates = 4
    states = ("h", "c")

    def over_time(
        self, x: Any, weight: Any, weight_hh: Any, bias: Any, bias_hh: Any, *states: Any, **attrs: Any
    ) -> Any:
        both = None if bias is None else bias + bias_hh
        return F.lstm_layer(F.linear(x, weight, both), *states, weight_hh, **attrs)


class _GRU(_Gated):
    gates = 3

    def over_time(
        self, x: Any, weight: Any, weight_hh: Any, bias: Any, bias_hh: Any, *states: Any, **attrs: Any
    ) -> Any:
        return F.gru_layer(F.linear(x, weight, bias), *states, weight_hh, bias_hh, **attrs)


class LSTM(_LSTM, _Layer):
    """Long short-term memory over x (time, n, width): ``(output, (h, c))``, the last layer's h at each step and all last states.

    Per layer there are ``weight_ih_l0`` (4 * hidden_size, width), ``weight_hh_l0`` (4 * hidden_size, hidden_size), ``bias_ih_l0`` and
    ``bias_hh_l0`` (4 * hidden_size,), with rows for the gates i, f, g, o; ``bidirectional`` adds those of ``..._reverse``. All are drawn
    from U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)), or by ``weight_init`` and ``bias_init``.

    The output is (time, n, hidden_size), twice as wide where it is ``bidirectional``; h and c are (num_layers * directions, n, hidden_size),
    as are those to start from, ``hx``, zeros without. ``batch_first`` swaps time and n of x and the output, not those of states. One
    sequence comes as (time, width), and goes without the axis n. ``dropout`` is that between layers, in training.

    ``lengths``, an int for each sequence, in any order, make it run over sequences of several lengths, padded to one: as PyTorch's
    packed sequences the output is 0 behind a sequence's end, its last state is that at its end, the reverse direction starts
    there, and what is behind it in x has no effect.

    Raises ``ShapeError`` for an input, states or lengths that do not fit, ``DTypeError`` for integers and states of another dtype,
    ``LayerError`` for options that cannot be.

    >>> import jitrench_nn as nn
    >>> lstm = nn.LSTM(20, num_layers=2, bidirectional=True)
    >>> y, (h, c) = lstm(jt.zeros((7, 3, 10)), lengths=[7, 2, 5])
    >>> y.shape, h.shape, lstm.weight_ih_l1.shape
    ((7, 3, 40), (4, 3, 20), (80, 40))
    """


class GRU(_GRU, _Layer):
    """Gated recurrent units over x (time, n, width): ``(output, h)``, the last layer's h at each step and all last states.

    As ``LSTM``, with one state, and rows for the gates r, z, n: ``weight_ih_l0`` is (3 * hidden_size, width). The new
    state is ``n = tanh(W x + b + r * (U h + c))``, as in PyTorch.

    >>> import jitrench_nn as nn
    >>> gru = nn.GRU(20, batch_first=True)
    >>> y, h = gru(jt.zeros((3, 7, 10)))
    >>> y.shape, h.shape
    ((3, 7, 20), (1, 3, 20))
    """


class RNN(_Elman, _Layer):
    """The plain recurrent network, h = tanh(W x + b + U h + c), over x (time, n, width): ``(output, h)``.

    As ``LSTM``, with one state and no gates: ``weight_ih_l0`` is (hidden_size, width). ``nonlinearity`` is ``"tanh"`` or ``"relu"``.
    """

    def __init__(
        self,
        hidden_size: int,
        *more: Never,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        weight_init: Any = None,
        bias_init: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            hidden_size,
            *more,
            num_layers=num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            weight_init=weight_init,
            bias_init=bias_init,
            name=name,
        )
        self._activated(nonlinearity)


class LSTMCell(_LSTM, _Cell):
    """One step of ``LSTM``: x (n, width) and the states (h, c) before, each (n, hidden_size), become those after.

    Without states it starts from zeros; without the axis n it takes one example. The parameters are ``weight_ih``, ``weight_hh``,
    ``bias_ih`` and ``bias_hh``. Errors are ``LSTM``'s.

    >>> import jitrench_nn as nn
    >>> cell = nn.LSTMCell(20)
    >>> h, c = cell(jt.zeros((3, 10)))
    >>> h.shape, c.shape
    ((3, 20), (3, 20))
    """


class GRUCell(_GRU, _Cell):
    """One step of ``GRU``: x (n, width) and h (n, hidden_size) become the next h. As ``LSTMCell``."""


class RNNCell(_Elman, _Cell):
    """One step of ``RNN``: x (n, width) and h (n, hidden_size) become the next h. As ``LSTMCell``."""

    def __init__(
        self,
        hidden_size: int,
        *more: Never,
        bias: bool = True,
        nonlinearity: str = "tanh",
        weight_init: Any = None,
        bias_init: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(hidden_size, *more, bias=bias, weight_init=weight_init, bias_init=bias_init, name=name)
        self._activated(nonlinearity)
