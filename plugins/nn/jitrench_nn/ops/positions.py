"""Positions of sequences, where they are part of an op."""

from __future__ import annotations

from typing import Any

import jitrench_core as jt

from .checks import floating


@jt.op(composite=True, samples=lambda rng: ((rng.normal(size=(2, 3, 4)),), {}))
def rotary_embedding(x: Any, positions: Any = None, /, *, base: float = 10000.0, interleaved: bool = True) -> Any:
    """x with each pair of numbers turned by an angle of its position: rotary position embedding (Su et al., 2021).

    x is (..., length, width), usually queries or keys of a head; pair i of position p is turned by p * base**(-2i / width), so that the
    product of a query and a key depends on their distance. Pairs are neighbours, (0, 1), (2, 3), ..., as in the paper; with
    ``interleaved=False`` number i and number width / 2 + i, as in GPT-NeoX. ``positions`` (length,), or what broadcasts to (..., length), are 0, 1, ... without.

    Raises ``ShapeError`` for an odd width and positions that do not fit, ``DTypeError`` for integers and complex numbers.

    >>> import jitrench_core as jt
    >>> rotary_embedding(jt.tensor([[1.0, 0.0], [1.0, 0.0]]))
    Tensor([[1.        , 0.        ],
            [0.54030231, 0.84147098]])
    """
    x = jt.asarray(x)
    floating("rotary_embedding", x)
    if x.ndim < 2 or x.shape[-1] % 2:
        raise jt.ShapeError(
            f"rotary_embedding(): x has shape {x.shape}; expected (..., length, width) of an even width"
        )
    length, width = x.shape[-2:]
    positions = jt.arange(length, device=x.device) if positions is None else jt.asarray(positions)
    if not positions.ndim or positions.shape[-1] != length or not _fits(positions.shape, x.shape[:-1]):
        raise jt.ShapeError(
            f"rotary_embedding(): positions have shape {positions.shape}; expected ({length},), one for each row of x, of "
            f"shape {x.shape}, or what broadcasts to {x.shape[:-1]}"
        )
    # Angles have float64: position 100,003 in float32 is 0.009 off, and float16 ends at 65,504.
    frequency = base ** (jt.arange(width // 2, dtype=jt.float64, device=x.device) * (-2.0 / width))
    angle = jt.expand_dims(jt.astype(positions, jt.float64), axis=-1) * frequency
    cos, sin = jt.astype(jt.cos(angle), x.dtype), jt.astype(jt.sin(angle), x.dtype)
    a, b = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., : width // 2], x[..., width // 2 :])
    turned = [a * cos - b * sin, a * sin + b * cos]
    return jt.reshape(jt.stack(turned, axis=-1), x.shape) if interleaved else jt.concat(turned, axis=-1)


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether ``shape`` broadcasts to the one that is wanted."""
    return len(shape) <= len(wanted) and all(n in (1, m) for n, m in zip(shape[::-1], wanted[::-1], strict=False))
