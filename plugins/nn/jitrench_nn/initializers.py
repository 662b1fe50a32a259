"""Initializers: ``f(generator, shape, dtype)`` makes a parameter's first value.

A shape is PyTorch's, ``(out, in, *window)``, so fan-in is ``shape[1]`` and fan-out ``shape[0]``, each times the window's size.
With ``s`` the standard deviation below, a normal one draws from N(0, s**2) and a uniform one from [-s * sqrt(3), s * sqrt(3)).

| name | s | for | source |
|---|---|---|---|
| xavier | sqrt(2 / (fan_in + fan_out)) | sigmoid, tanh | Glorot and Bengio, 2010 |
| he | sqrt(2 / fan_in) | relu | He et al., 2015 |
| lecun | sqrt(1 / fan_in) | selu, linear | LeCun et al., 1998 |
"""

from __future__ import annotations

import math
from typing import Any

import jitrench_core as jt

Shape = tuple[int, ...]


def _fans(shape: Shape) -> tuple[int, int]:
    if len(shape) < 2:
        raise jt.ShapeError(
            f"an initializer with fan-in and fan-out needs a shape (out, in, ...); got {shape}. For a bias take nn.zeros"
        )
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def _xavier(shape: Shape) -> float:
    return math.sqrt(2 / max(sum(_fans(shape)), 1))


def _he(shape: Shape) -> float:
    return math.sqrt(2 / max(_fans(shape)[0], 1))


def _lecun(shape: Shape) -> float:
    return math.sqrt(1 / max(_fans(shape)[0], 1))


def _drawn(dtype: Any) -> Any:
    """The generator draws float32 and float64."""
    return dtype if dtype in (jt.float32, jt.float64) else jt.float32


def _normal(generator: Any, shape: Shape, dtype: Any, std: float) -> jt.Tensor:
    return generator.normal(shape, 0.0, std, dtype=_drawn(dtype)).astype(dtype)  # type: ignore[no-any-return]


def _uniform(generator: Any, shape: Shape, dtype: Any, std: float) -> jt.Tensor:
    bound = std * math.sqrt(3)
    return generator.uniform(shape, -bound, bound, dtype=_drawn(dtype)).astype(dtype)  # type: ignore[no-any-return]


def xavier_uniform(generator: Any, shape: Shape, dtype: Any) -> jt.Tensor:
    """Xavier's, from a uniform distribution.

    >>> import jitrench_core as jt
    >>> bool((abs(xavier_uniform(jt.random.Generator(0), (20, 40), jt.float64)) <= (6 / 60) ** 0.5).all())
    True
    """
    return _uniform(generator, shape, dtype, _xavier(shape))


def xavier_normal(generator: Any, shape: Shape, dtype: Any) -> jt.Tensor:
    """Xavier's, from a normal distribution."""
    return _normal(generator, shape, dtype, _xavier(shape))


def he_uniform(generator: Any, shape: Shape, dtype: Any) -> jt.Tensor:
    """He's, from a uniform distribution."""
    return _uniform(generator, shape, dtype, _he(shape))


def he_normal(generator: Any, shape: Shape, dtype: Any) -> jt.Tensor:
    """He's, from a normal distribution."""
    return _normal(generator, shape, dtype, _he(shape))


def lecun_uniform(generator: Any, shape: Shape, dtype: Any) -> jt.Tensor:
    """LeCun's, from a uniform distribution."""
    return _uniform(generator, shape, dtype, _lecun(shape))


def lecun_normal(generator: Any, shape: Shape, dtype: Any) -> jt.Tensor:
    """LeCun's, from a normal distribution."""
    return _normal(generator, shape, dtype, _lecun(shape))


def zeros(generator: Any, shape: Shape, dtype: Any) -> jt.Tensor:
    """Zeros."""
    return jt.zeros(shape, dtype=dtype, device=generator.device)


def ones(generator: Any, shape: Shape, dtype: Any) -> jt.Tensor:
    """Ones."""
    return jt.ones(shape, dtype=dtype, device=generator.device)
