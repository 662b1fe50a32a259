"""Attention of several heads, with PyTorch's parameters."""

from __future__ import annotations

import math
from typing import Any, Never

import jitrench_core as jt
from jitrench_core.layer import LayerError

from .. import functional as F
from ..initializers import xavier_uniform, zeros
from ..ops.attention import masked_softmax
from .base import Configured, check_flag, check_size, refuse_more
from .linear import Linear


class Onto(Linear):
    """A ``Linear`` onto a width that comes with the call, because the input of the layer around it has it."""

    def __init__(self, *, bias: bool = True, weight_init: Any = xavier_uniform, bias_init: Any = zeros) -> None:
        Configured.__init__(self)
        self.with_bias = bias
        self.weight_init = weight_init
        self.bias_init = bias_init

    def forward(self, x: jt.Tensor, width: int) -> jt.Tensor:  # type: ignore[override]
        weight = self.parameter("weight", (width, x.shape[-1]), self.weight_init)
        return F.linear(x, weight, self.parameter("bias", (width,), self.bias_init) if self.with_bias else None)


class MultiheadAttention(Configured):
    """Attention of ``num_heads`` heads: ``(output, weights)`` of queries, keys and values (Vaswani et al., 2017).

    The query is (queries, n, width), and so is the output; key and value are (keys, n, any width). Without a key, and without a value,
    they are the query and the key. ``batch_first`` puts n in front; one example comes without n. The width is inferred, and
    must be a multiple of ``num_heads``. The parameters are ``in_proj_weight`` (3 * width, width), or, where keys or values have
    another width, ``q_proj_weight``, ``k_proj_weight`` and ``v_proj_weight``; ``in_proj_bias`` (3 * width,) and ``out_proj``, a ``Linear``.

    In masks, booleans are **true where a query may not look** (as in PyTorch's layer; in ``functional.scaled_dot_product_attention`` they are
    true where it may), and numbers are added to the scores. ``attn_mask`` is (queries, keys), (heads, queries, keys) or (n * heads,
    queries, keys), ``key_padding_mask`` (n, keys). ``is_causal`` lets query i look at the keys 0 to i, in addition to the masks. A query that
    may look nowhere gives the bias of ``out_proj``, not NaN. ``dropout`` is that of the weights, in training.

    ``weights`` are (n, queries, keys), the mean over the heads, or with ``average_attn_weights=False`` (n, heads, queries, keys);
    ``need_weights=False`` is faster, and gives None.

    Raises ``ShapeError`` where shapes do not fit, ``DTypeError`` for integers, and ``LayerError`` for options that cannot be.

    >>> import jitrench_nn as nn
    >>> attention = nn.MultiheadAttention(4, batch_first=True)
    >>> y, weights = attention(jt.ones((2, 5, 16)), is_causal=True)
    >>> y.shape, weights.shape
    ((2, 5, 16), (2, 5, 5))
    """

    def __init__(
        self,
        num_heads: int,
        *more: Never,
        dropout: float = 0.0,
        bias: bool = True,
        batch_first: bool = False,
        weight_init: Any = xavier_uniform,
        bias_init: Any = zeros,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if more:
            refuse_more("MultiheadAttention", "the number of heads", (num_heads,), more)
        num_heads = check_size("MultiheadAttention", "num_heads", "the number of heads", num_heads)
        check_probability("MultiheadAttention", dropout)
        check_flag("MultiheadAttention", "bias", bias)
        check_flag("MultiheadAttention", "batch_first", batch_first)
        self.num_heads = num_heads
        self.dropout = dropout
        self.with_bias = bias
        self.batch_first = batch_first
        self.weight_init = weight_init
        self.bias_init = bias_init
        self.out_proj = Onto(bias=bias, weight_init=weight_init, bias_init=bias_init)

    def forward(
        self,
        query: jt.Tensor,
        key: jt.Tensor | None = None,
        value: jt.Tensor | None = None,
        key_padding_mask: jt.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: jt.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[jt.Tensor, jt.Tensor | None]:
        key = query if key is None else key
        value = key if value is None else value
        self._fit(query, key, value)
        alone, width = query.ndim == 2, query.shape[-1]
        # (n, heads, length, width / heads), whichever way the input lies
        to_heads = (1, 0, 2) if alone else (0, 2, 1, 3) if self.batch_first else (1, 2, 0, 3)
        back = (1, 0, 2) if alone else (0, 2, 1, 3) if self.batch_first else (2, 0, 1, 3)
        q, k, v = (
            jt.permute_dims(jt.reshape(x, (*x.shape[:-1], self.num_heads, width // self.num_heads)), to_heads)
            for x in self._projected(query, key, value)
        )
        mask = self._mask(attn_mask, key_padding_mask, q, k)
        p = self.dropout if self.training else 0.0
        generator = drawing(self) if p else None
        weights = None
        if need_weights:
            weights = _weights(q, k, mask, is_causal)
            y = (F.dropout(weights, p=p, generator=generator) if p else weights) @ v
            weights = jt.mean(weights, axis=-3) if average_attn_weights else weights
        else:
            if is_causal and mask is not None:
                mask, is_causal = _merged(mask, _causal(q, k)), False
            if mask is not None and mask.dtype.kind == "b":
                mask = jt.logical_not(mask)
            y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=is_causal, dropout_p=p, generator=generator)
        y = jt.permute_dims(y, back)
        return self.out_proj(jt.reshape(y, (*y.shape[:-2], width)), width), weights

    def _projected(self, query: Any, key: Any, value: Any) -> tuple[jt.Tensor, ...]:
        """Queries, keys and values, all of the query's width."""
        width = query.shape[-1]
        if key.shape[-1] == value.shape[-1] == width:
            weight = self.parameter("in_proj_weight", (3 * width, width), self._made_first("q_proj_weight", key, value))
            weights = [weight[i * width : (i + 1) * width, :] for i in range(3)] if key is not value else []
        else:
            weight = None
            widths = zip("qkv", (width, key.shape[-1], value.shape[-1]), strict=True)
            init = self._made_first("in_proj_weight", key, value)
            weights = [self.parameter(f"{name}_proj_weight", (width, k), init) for name, k in widths]
        bias = self.parameter("in_proj_bias", (3 * width,), self.bias_init) if self.with_bias else None
        if weight is not None and query is key is value:
            return _split(F.linear(query, weight, bias), 3)
        if weight is not None and key is value:
            y = F.linear(key, weight[width:, :], None if bias is None else bias[width:])
            return F.linear(query, weight[:width, :], None if bias is None else bias[:width]), *_split(y, 2)
        biases = (None,) * 3 if bias is None else _split(bias, 3)
        return tuple(map(F.linear, (query, key, value), weights, biases))

    def _made_first(self, other: str, key: Any, value: Any) -> Any:
        """``weight_init``, unless the layer has ``other``, made for other widths, whose trained values would be left out."""

        def init(generator: Any, shape: Any, dtype: Any) -> Any:
            if other in self.state():
                raise jt.ShapeError(
                    f"{self.label}: key and value have widths {key.shape[-1]} and {value.shape[-1]} here, and the layer has "
                    f"{other!r}, made for {'others' if other[0] == 'q' else 'the width of the query'}: make another layer for these"
                )
            return self.weight_init(generator, shape, dtype)

        return init

    def _mask(self, attn_mask: Any, key_padding_mask: Any, q: Any, k: Any) -> Any:
        """Both masks as one that broadcasts to (n, heads, queries, keys); None for none."""
        n, queries, keys = () if q.ndim == 3 else q.shape[:1], q.shape[-2], k.shape[-2]
        found = None
        if attn_mask is not None:
            found = self._checked("attn_mask", attn_mask, q.dtype)
            wanted = [(queries, keys), (self.num_heads, queries, keys)]
            if n and found.shape == (n[0] * self.num_heads, queries, keys):
                found = jt.reshape(found, (*n, self.num_heads, queries, keys))
            elif found.shape not in wanted:
                self._refuse_mask("attn_mask", found, *wanted, (math.prod(n) * self.num_heads, queries, keys))
        if key_padding_mask is not None:
            padding = self._checked("key_padding_mask", key_padding_mask, q.dtype)
            if padding.shape != (*n, keys):
                self._refuse_mask("key_padding_mask", padding, (*n, keys))
            padding = jt.reshape(padding, (*n, 1, 1, keys))
            found = padding if found is None else _merged(found, padding)
        return found

    def _checked(self, name: str, mask: Any, dtype: Any) -> Any:
        mask = jt.asarray(mask)
        if mask.dtype.kind not in "bf":
            raise jt.DTypeError(
                f"{self.label}: {name} has dtype {mask.dtype}; expected booleans, true where a query may not look, or "
                f"floating-point numbers to add"
            )
        return mask if mask.dtype.kind == "b" else jt.astype(mask, dtype)

    def _refuse_mask(self, name: str, mask: Any, *wanted: tuple[int, ...]) -> None:
        shapes = ", ".join(str(s) for s in dict.fromkeys(wanted))
        raise jt.ShapeError(f"{self.label}: {name} has shape {mask.shape}; expected {shapes}")

    def _fit(self, query: Any, key: Any, value: Any) -> None:
        """Raise the error of inputs that do not fit."""
        shapes = [x.shape for x in (query, key, value)]
        if not all(len(s) in (2, 3) and len(s) == len(shapes[0]) for s in shapes):
            order = "n, length" if self.batch_first else "length, n"
            raise jt.ShapeError(
                f"{self.label}: query, key and value have shapes {shapes}; expected ({order}, width), or all of them "
                f"(length, width)"
            )
        for x in (query, key, value):
            if x.dtype.kind != "f":
                raise jt.DTypeError(
                    f"{self.label}: expected floating-point inputs, got {x.dtype} of shape {x.shape}: convert it, such as by "
                    f"x.astype(jt.float64)"
                )
        length = 1 if self.batch_first and len(shapes[0]) == 3 else 0
        n = {s[1 - length] for s in shapes} if len(shapes[0]) == 3 else {1}
        if shapes[1][length] != shapes[2][length] or len(n) > 1:
            raise jt.ShapeError(
                f"{self.label}: query, key and value have shapes {shapes}: keys and values come in pairs, and all three have one n"
                f"{'' if self.batch_first else ', on axis 1 (batch_first=True: on axis 0)'}"
            )
        if shapes[0][-1] % self.num_heads:
            raise jt.ShapeError(
                f"{self.label}: a query of width {shapes[0][-1]} cannot be divided into {self.num_heads} heads"
            )


def check_probability(kind: str, p: Any) -> None:
    """``LayerError`` for a ``dropout`` that is no probability."""
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0.0 <= p <= 1.0:
        raise LayerError(f"{kind}(dropout=): expected the probability of a zero, from 0 to 1; got {p!r:.60}")


def drawing(layer: Any) -> Any:
    """The generator of a layer's random draws; None for the default one, whose draws go where they are needed."""
    generator = layer.generator
    return None if generator is jt.random.default_generator() else generator


def _split(x: Any, parts: int) -> tuple[jt.Tensor, ...]:
    """Equal parts along the last axis."""
    width = x.shape[-1] // parts
    return tuple(x[..., i * width : (i + 1) * width] for i in range(parts))


def _causal(q: Any, k: Any) -> Any:
    """True where a key comes after the query."""
    rows, columns = (jt.arange(x.shape[-2], device=x.device) for x in (q, k))
    return columns > jt.expand_dims(rows, axis=-1)


def _merged(a: Any, b: Any) -> Any:
    """Two masks as one."""
    if a.dtype.kind == b.dtype.kind == "b":
        return jt.logical_or(a, b)
    return _added(a, b.dtype) + _added(b, a.dtype)


def _added(mask: Any, dtype: Any) -> Any:
    """What a mask adds to the scores."""
    return (
        jt.where(mask, jt.asarray(-math.inf, dtype=dtype, device=mask.device), 0.0) if mask.dtype.kind == "b" else mask
    )


def _weights(q: Any, k: Any, mask: Any, is_causal: bool) -> Any:
    """The softmax of the scores; 0 for a query that may look nowhere."""
    if is_causal:
        mask = _causal(q, k) if mask is None else _merged(mask, _causal(q, k))
    scores = (q * (1.0 / math.sqrt(q.shape[-1]))) @ k.mT
    if not k.shape[-2]:  # nothing to look at: a mask of it has no largest number
        return scores
    if mask is None:
        return jt.softmax(scores, axis=-1)
    return masked_softmax(scores, jt.logical_not(mask) if mask.dtype.kind == "b" else mask)
