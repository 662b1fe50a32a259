"""Transformers: encoder and decoder layers with PyTorch's parameters, stacks of them, and encodings of positions."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Never

import jitrench_core as jt
from jitrench_core import Layer
from jitrench_core.layer import LayerError

from .. import functional as F
from ..containers import ModuleList
from ..initializers import normal
from .attention import MultiheadAttention, Onto, check_probability, drawing
from .base import Configured, check_flag, check_size, refuse, refuse_more
from .linear import Linear
from .normalization import LayerNorm

ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu}


class _Block(Configured):
    """What encoder and decoder layers share."""

    def __init__(
        self,
        nhead: int,
        *more: Never,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[jt.Tensor], jt.Tensor] = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        kind = type(self).__name__
        if more:
            refuse_more(kind, "the number of heads", (nhead,), more)
        nhead = check_size(kind, "nhead", "the number of heads", nhead)
        dim_feedforward = check_size(kind, "dim_feedforward", "the width inside", dim_feedforward)
        check_probability(kind, dropout)
        named = isinstance(activation, str) and activation in ACTIVATIONS
        if not named and (isinstance(activation, type) or not callable(activation)):
            raise LayerError(f"{kind}(activation=): expected 'relu', 'gelu' or a function; got {activation!r:.60}")
        for option, value in (("batch_first", batch_first), ("norm_first", norm_first), ("bias", bias)):
            check_flag(kind, option, value)
        self.nhead = nhead
        self.dim_feedforward = dim_feedforward
        self.dropout = dropout
        self.activation = activation
        self.layer_norm_eps = layer_norm_eps
        self.batch_first = batch_first
        self.norm_first = norm_first
        self.with_bias = bias
        self._build()

    def _build(self) -> None:
        """Make the layers inside, in PyTorch's order."""
        self.linear1, self.linear2 = Linear(self.dim_feedforward, bias=self.with_bias), Onto(bias=self.with_bias)
        self.norm1, self.norm2 = self._norm(), self._norm()

    def _attention(self) -> MultiheadAttention:
        options: Any = {"dropout": self.dropout, "bias": self.with_bias, "batch_first": self.batch_first}
        return MultiheadAttention(self.nhead, **options)

    def _norm(self) -> LayerNorm:
        return LayerNorm(eps=self.layer_norm_eps, bias=self.with_bias)

    def through(self, x: jt.Tensor, norm: Layer, part: Callable[[jt.Tensor], jt.Tensor]) -> jt.Tensor:
        """x and what ``part`` makes of it, normalised before or after."""
        if self.norm_first:
            return x + self.dropped(part(norm(x)))
        return norm(x + self.dropped(part(x)))  # type: ignore[no-any-return]

    def dropped(self, x: jt.Tensor) -> jt.Tensor:
        if not self.dropout or not self.training:
            return x
        return F.dropout(x, p=self.dropout, generator=drawing(self))

    def feed_forward(self, x: jt.Tensor) -> jt.Tensor:
        f: Any = self.activation if callable(self.activation) else ACTIVATIONS[self.activation]
        return self.linear2(self.dropped(f(self.linear1(x))), x.shape[-1])  # type: ignore[no-any-return]


class TransformerEncoderLayer(_Block):
    """Self-attention and two linear layers, with residual connections: x (length, n, width) keeps its shape (Vaswani et al., 2017).

    ``nhead`` heads, ``dim_feedforward`` units between the linear layers, with ``activation`` ``"relu"``, ``"gelu"`` or any function. ``norm_first``
    normalises what goes into each part (Xiong et al., 2020), otherwise what comes out of each sum. ``dropout`` is that of attention
    weights, of the units inside and of what is added to x, in training. ``batch_first`` is for x of (n, length, width).

    Parameters have PyTorch's names: ``self_attn``, ``linear1``, ``linear2``, ``norm1`` and ``norm2``. Masks are those of ``MultiheadAttention``: booleans are
    **true where a query may not look**. With ``is_causal`` each position sees itself and those before it.

    Errors are those of ``MultiheadAttention``.

    >>> import jitrench_nn as nn
    >>> layer = nn.TransformerEncoderLayer(4, dim_feedforward=32, batch_first=True, activation="gelu", norm_first=True)
    >>> layer(jt.ones((2, 5, 16)), is_causal=True).shape
    (2, 5, 16)
    """

    def _build(self) -> None:
        self.self_attn = self._attention()
        super()._build()

    def forward(
        self,
        src: jt.Tensor,
        src_mask: jt.Tensor | None = None,
        src_key_padding_mask: jt.Tensor | None = None,
        is_causal: bool = False,
    ) -> jt.Tensor:
        masks = {"attn_mask": src_mask, "key_padding_mask": src_key_padding_mask, "is_causal": is_causal}
        x = self.through(src, self.norm1, lambda x: self.self_attn(x, need_weights=False, **masks)[0])
        return self.through(x, self.norm2, self.feed_forward)


class TransformerDecoderLayer(_Block):
    """Self-attention, attention to ``memory``, an encoder's output, and two linear layers: x (length, n, width) keeps its shape.

    Options are those of ``TransformerEncoderLayer``, parameters ``self_attn``, ``multihead_attn``, ``linear1``, ``linear2`` and ``norm1`` to ``norm3``. ``memory``
    is (its length, n, any width).

    Errors are those of ``MultiheadAttention``.

    >>> import jitrench_nn as nn
    >>> layer = nn.TransformerDecoderLayer(4, dim_feedforward=32, batch_first=True)
    >>> layer(jt.ones((2, 5, 16)), jt.ones((2, 7, 16)), tgt_is_causal=True).shape
    (2, 5, 16)
    """

    def _build(self) -> None:
        self.self_attn, self.multihead_attn = self._attention(), self._attention()
        super()._build()
        self.norm3 = self._norm()

    def forward(
        self,
        tgt: jt.Tensor,
        memory: jt.Tensor,
        tgt_mask: jt.Tensor | None = None,
        memory_mask: jt.Tensor | None = None,
        tgt_key_padding_mask: jt.Tensor | None = None,
        memory_key_padding_mask: jt.Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> jt.Tensor:
        masks = {"attn_mask": tgt_mask, "key_padding_mask": tgt_key_padding_mask, "is_causal": tgt_is_causal}
        over = {"attn_mask": memory_mask, "key_padding_mask": memory_key_padding_mask, "is_causal": memory_is_causal}
        x = self.through(tgt, self.norm1, lambda x: self.self_attn(x, need_weights=False, **masks)[0])
        x = self.through(x, self.norm2, lambda x: self.multihead_attn(x, memory, need_weights=False, **over)[0])
        return self.through(x, self.norm3, self.feed_forward)


def check_layer(kind: str, layer: Any) -> None:
    """``LayerError`` for what is no layer, such as a class of them."""
    if not isinstance(layer, Layer):
        raise LayerError(f"{kind}(layer, num_layers, norm): expected layers; got {type(layer).__name__} {layer!r:.60}")


class _Stack(Configured):
    def __init__(self, layer: Layer, num_layers: int, norm: Layer | None = None, *, name: str | None = None) -> None:
        super().__init__(name=name)
        kind = type(self).__name__
        for given in (layer,) if norm is None else (layer, norm):
            check_layer(kind, given)
        num_layers = check_size(kind, "num_layers", "the number of layers", num_layers)
        self.layers = ModuleList(deepcopy(layer) for _ in range(num_layers))
        self.norm = norm

    def extra_repr(self) -> str:
        return ""

    def each(self, x: jt.Tensor, *others: Any, **masks: Any) -> jt.Tensor:
        """x through all layers, and the last norm."""
        for layer in self.layers:
            x = layer(x, *others, **masks)
        return x if self.norm is None else self.norm(x)


class TransformerEncoder(_Stack):
    """``num_layers`` copies of an encoder layer, one after another, and a ``norm`` where one is given.

    The copies are ``layers.0``, ``layers.1``, ... among the parameters, as in PyTorch. Where ``layer`` has parameters already, all start from these.

    >>> import jitrench_nn as nn
    >>> encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(2, dim_feedforward=8), 3, nn.LayerNorm())
    >>> encoder(jt.ones((5, 2, 4))).shape
    (5, 2, 4)
    """

    def forward(
        self,
        src: jt.Tensor,
        mask: jt.Tensor | None = None,
        src_key_padding_mask: jt.Tensor | None = None,
        is_causal: bool = False,
    ) -> jt.Tensor:
        return self.each(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=is_causal)


class TransformerDecoder(_Stack):
    """``num_layers`` copies of a decoder layer, one after another, and a ``norm`` where one is given. As ``TransformerEncoder``."""

    def forward(self, tgt: jt.Tensor, memory: jt.Tensor, *masks: Any, **named: Any) -> jt.Tensor:
        """Masks are those of ``TransformerDecoderLayer``."""
        return self.each(tgt, memory, *masks, **named)


# -- positions ----------------------------------------------------------------------------------------------------------


def sinusoidal_positions(
    length: int, width: int, *, base: float = 10000.0, dtype: Any = None, device: Any = None
) -> jt.Tensor:
    """Row p holds sin(p / base**(2i / width)) and the cosine of the same, for i = 0, 1, ...: (length, width) (Vaswani et al., 2017).

    Raises ``ShapeError`` for lengths that are no ints from 1.

    >>> sinusoidal_positions(2, 4)
    Tensor([[0.        , 1.        , 0.        , 1.        ],
            [0.84147098, 0.54030231, 0.00999983, 0.99995   ]])
    """
    length = check_size("sinusoidal_positions", "length", "the number of positions", length)
    width = check_size("sinusoidal_positions", "width", "the width", width)
    pairs = -(-width // 2)
    frequency = base ** (jt.arange(pairs, dtype=jt.float64, device=device) * (-2.0 / width))
    angle = jt.expand_dims(jt.arange(length, dtype=jt.float64, device=device), axis=1) * frequency
    table = jt.reshape(jt.stack([jt.sin(angle), jt.cos(angle)], axis=-1), (length, 2 * pairs))[:, :width]
    return table if dtype is None else jt.astype(table, dtype)


def alibi_bias(num_heads: int, queries: int, keys: int, *, dtype: Any = None, device: Any = None) -> jt.Tensor:
    """What attention with linear biases adds to the scores, by distance: (heads, queries, keys) (Press et al., 2022).

    The last query stands at the last key. A head's slope is 2**(-8h / heads), h from 1; where the heads are no power of two, those of the
    next lower one come first, then every other slope of the next higher. Give it as ``attn_mask``, with ``is_causal=True`` for a decoder.

    Raises ``ShapeError`` for numbers that are no ints from 1.

    >>> alibi_bias(2, 1, 3)
    Tensor([[[-0.125     , -0.0625    ,  0.        ]],
    <BLANKLINE>
            [[-0.0078125 , -0.00390625,  0.        ]]])
    """
    given = (("num_heads", num_heads), ("queries", queries), ("keys", keys))
    num_heads, queries, keys = (check_size("alibi_bias", option, "each number", value) for option, value in given)
    power = 2 ** (num_heads.bit_length() - 1)
    slopes = [2.0 ** (-8.0 * h / power) for h in range(1, power + 1)]
    slopes += [2.0 ** (-4.0 * h / power) for h in range(1, 2 * (num_heads - power), 2)]
    rows, places = (jt.arange(size, dtype=jt.float64, device=device) for size in (queries, keys))
    distance = jt.abs(jt.expand_dims(rows + (keys - queries), axis=1) - places)
    bias = jt.asarray(slopes, device=device)[:, None, None] * (0.0 - distance)
    return bias if dtype is None else jt.astype(bias, dtype)


class _Positions(Configured):
    """Adds a row to each position of x (length, n, width), or (n, length, width) with ``batch_first``, or (length, width)."""

    batch_first: bool

    def added(self, x: jt.Tensor, table: jt.Tensor) -> jt.Tensor:
        return x + (table if x.ndim == 2 or self.batch_first else jt.expand_dims(table, axis=1))

    def size(self, x: jt.Tensor) -> tuple[int, int]:
        """The number of positions, and the width."""
        if x.ndim not in (2, 3) or x.dtype.kind != "f":
            refuse(self, x, "(n, length, width)" if self.batch_first else "(length, n, width)", "f")
        return x.shape[1 if x.ndim == 3 and self.batch_first else 0], x.shape[-1]


class SinusoidalEncoding(_Positions):
    """Adds ``sinusoidal_positions`` to x (length, n, width), or (n, length, width) with ``batch_first``, or (length, width)."""

    def __init__(self, *, base: float = 10000.0, batch_first: bool = False, name: str | None = None) -> None:
        super().__init__(name=name)
        check_flag("SinusoidalEncoding", "batch_first", batch_first)
        self.base = base
        self.batch_first = batch_first

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        return self.added(x, sinusoidal_positions(*self.size(x), base=self.base, dtype=x.dtype, device=x.device))


class LearnedEncoding(_Positions):
    """Adds a learned row to each position of x (length, n, width), or (n, length, width) with ``batch_first``, or (length, width).

    ``weight`` is (max_length, width), drawn by ``weight_init``; a longer input raises ``ShapeError``.

    >>> import jitrench_nn as nn
    >>> positions = nn.LearnedEncoding(8, batch_first=True)
    >>> positions(jt.ones((2, 5, 4))).shape
    (2, 5, 4)
    """

    def __init__(
        self,
        max_length: int,
        *,
        batch_first: bool = False,
        weight_init: Any = normal(std=0.02),  # noqa: B008
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        max_length = check_size("LearnedEncoding", "max_length", "the number of positions", max_length)
        check_flag("LearnedEncoding", "batch_first", batch_first)
        self.max_length = max_length
        self.batch_first = batch_first
        self.weight_init = weight_init

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        length, width = self.size(x)
        if length > self.max_length:
            raise jt.ShapeError(f"{self.label}: {length} positions, of which {self.max_length} are learned")
        weight = self.parameter("weight", (self.max_length, width), self.weight_init)
        return self.added(x, weight[:length, :])
