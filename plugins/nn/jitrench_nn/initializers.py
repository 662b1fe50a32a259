"""Initializers: ``f(generator, shape, dtype)`` makes a parameter's first value. One seed gives the same on every backend.

``normal``, ``truncated_normal``, ``uniform`` and ``constant`` make one of their numbers: ``nn.Linear(3, weight_init=nn.normal(std=0.02))``;
``scaled`` one of another. All others are initializers themselves: ``weight_init=nn.orthogonal``.

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
from collections.abc import Callable
from functools import partial
from typing import Any, Never

import jitrench_core as jt
from jitrench_core.layer import LayerError

Shape = tuple[int, ...]
Initializer = Callable[[Any, Shape, Any], jt.Tensor]


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
    """The generator draws float32 and float64: the one that holds a (real) number of this dtype."""
    return jt.float64 if dtype in (jt.float64, jt.complex128) else jt.float32


def _normal(generator: Any, shape: Shape, dtype: Any, std: float, mean: float = 0.0) -> jt.Tensor:
    return generator.normal(shape, mean, std, dtype=_drawn(dtype)).astype(dtype)  # type: ignore[no-any-return]


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


# -- of numbers that one gives ----------------------------------------------------------------------------------------


def _numbers(kind: str, more: tuple[object, ...] = (), **given: Any) -> None:
    """``LayerError`` for what is no finite number."""
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            taken = f"; {kind}() makes an initializer: write weight_init=nn.{kind}(0.5), not nn.{kind}"
            raise LayerError(
                f"{kind}({name}): expected a finite number, got {type(value).__name__} {value!r:.40}"
                f"{taken if isinstance(value, jt.random.Generator) else ''}"
            )
    if more:
        raise LayerError(
            f"{kind}(): the arguments behind the first are given by keyword; got {', '.join(map(repr, more))}"
        )


def _spread(kind: str, more: tuple[object, ...], std: Any, mean: Any) -> None:
    _numbers(kind, more, std=std, mean=mean)
    if std < 0:
        raise LayerError(f"{kind}(std): a standard deviation is not negative; got {std!r}")


def normal(std: float = 1.0, *more: Never, mean: float = 0.0) -> Initializer:
    """An initializer that draws from N(``mean``, ``std``**2).

    Raises ``LayerError`` for what is no number, and for a negative std.

    >>> import jitrench_core as jt
    >>> normal(std=0.02)(jt.random.Generator(0), (2,), jt.float64)
    Tensor([0.00016177, 0.00304384])
    """
    _spread("normal", more, std, mean)
    return partial(_normal, std=std, **_given(mean=mean))


def truncated_normal(std: float = 1.0, *more: Never, mean: float = 0.0, cut: float = 2.0) -> Initializer:
    """An initializer that draws from N(``mean``, ``std``**2), and nothing farther from the mean than ``cut`` times std.

    ``std`` is that before the cut, as in PyTorch, whose bounds a and b are mean -+ cut * std: with a cut of 2 what is drawn has a
    standard deviation of 0.88 std.

    Raises ``LayerError`` for what is no number, a negative std, and a cut that is not positive.

    >>> import jitrench_core as jt
    >>> bool((abs(truncated_normal(std=0.02)(jt.random.Generator(0), (1000,), jt.float64)) <= 0.04).all())
    True
    """
    _spread("truncated_normal", more, std, mean)
    _numbers("truncated_normal", cut=cut)
    if cut <= 0:
        raise LayerError(f"truncated_normal(cut=): expected a positive number of standard deviations; got {cut!r}")
    return partial(_truncated_normal, std=std, **_given(mean=mean, cut=cut))


def uniform(low: float = 0.0, high: float = 1.0, *more: Never) -> Initializer:
    """An initializer that draws evenly from [``low``, ``high``).

    Raises ``LayerError`` for what is no number, and a high that is below low.

    >>> import jitrench_core as jt
    >>> uniform(-0.5, 0.5)(jt.random.Generator(0), (2,), jt.float64)
    Tensor([-0.48845325, -0.2584508 ])
    """
    _numbers("uniform", more, low=low, high=high)
    if high < low:
        raise LayerError(f"uniform(low, high): high must not be below low; got {low!r} and {high!r}")
    return partial(_uniform_between, low=low, high=high)


def constant(value: float, *more: Never) -> Initializer:
    """An initializer that gives ``value`` everywhere. Raises ``LayerError`` for what is no number.

    >>> import jitrench_core as jt
    >>> constant(0.5)(jt.random.Generator(0), (2,), jt.float64)
    Tensor([0.5, 0.5])
    """
    _numbers("constant", more, value=value)
    return partial(_constant, value=value)


def scaled(initializer: Initializer, gain: float) -> Initializer:
    """``initializer``, times ``gain``: ``nn.scaled(nn.xavier_uniform, nn.calculate_gain("tanh"))``.

    Raises ``LayerError`` for a first argument that cannot be called and a gain that is no number.

    >>> import jitrench_core as jt
    >>> scaled(ones, 3.0)(jt.random.Generator(0), (2,), jt.float64)
    Tensor([3., 3.])
    """
    if not callable(initializer):
        raise LayerError(
            f"scaled(initializer, gain): expected a function of (generator, shape, dtype), got {initializer!r:.40}"
        )
    _numbers("scaled", gain=gain)
    return partial(_scaled, initializer=initializer, gain=gain)


def _given(mean: float = 0.0, cut: float = 2.0) -> dict[str, Any]:
    """The numbers that are not the usual ones; a layer prints these alone."""
    return {k: v for k, v, usual in (("mean", mean, 0.0), ("cut", cut, 2.0)) if v != usual}


def _truncated_normal(
    generator: Any, shape: Shape, dtype: Any, std: float, mean: float = 0.0, cut: float = 2.0
) -> jt.Tensor:
    return generator.truncated_normal(shape, -cut, cut, mean, std, dtype=_drawn(dtype)).astype(dtype)  # type: ignore[no-any-return]


def _uniform_between(generator: Any, shape: Shape, dtype: Any, low: float, high: float) -> jt.Tensor:
    return generator.uniform(shape, low, high, dtype=_drawn(dtype)).astype(dtype)  # type: ignore[no-any-return]


def _constant(generator: Any, shape: Shape, dtype: Any, value: float) -> jt.Tensor:
    return jt.full(shape, value, dtype=dtype, device=generator.device)


def _scaled(generator: Any, shape: Shape, dtype: Any, initializer: Initializer, gain: float) -> jt.Tensor:
    return initializer(generator, shape, dtype) * gain


# -- of a structure -------------------------------------------------------------------------------------------------


def orthogonal(generator: Any, shape: Shape, dtype: Any) -> jt.Tensor:
    """Orthonormal rows, or columns where those are fewer; all axes but the first count as one (Saxe et al., 2013).

    It is the Q of the QR decomposition of normal numbers, with the signs that make the diagonal of R positive: so every rotation is
    as probable as any other (Mezzadri, 2007), and backends agree up to rounding. Draws and decomposition are in float64.

    Raises ``ShapeError`` for fewer than two axes.

    >>> import jitrench_core as jt
    >>> w = orthogonal(jt.random.Generator(0), (2, 3), jt.float64)
    >>> abs(jt.round(w @ w.mT))
    Tensor([[1., 0.],
            [0., 1.]])
    """
    if len(shape) < 2:
        raise jt.ShapeError(f"orthogonal() needs a shape (out, in, ...); got {shape}. For a bias take nn.zeros")
    rows, columns = shape[0], math.prod(shape[1:])
    drawn = generator.normal((max(rows, columns), min(rows, columns)), dtype=jt.float64)
    if not drawn.size:
        return jt.zeros(shape, dtype=dtype, device=generator.device)
    q, r = jt.linalg.qr(drawn)
    q = q * jt.where(jt.linalg.diagonal(r) < 0.0, -1.0, 1.0)
    return jt.reshape(q if rows >= columns else q.mT, shape).astype(dtype)


def eye(generator: Any, shape: Shape, dtype: Any) -> jt.Tensor:
    """The identity matrix, or as much of it as fits: a ``Linear`` that passes on what comes. Raises ``ShapeError`` for what is no matrix."""
    if len(shape) != 2:
        raise jt.ShapeError(
            f"eye() needs the shape of a matrix, (out, in); got {shape}. For a convolution take nn.dirac"
        )
    return jt.eye(*shape, dtype=dtype, device=generator.device)


def dirac(generator: Any, shape: Shape, dtype: Any) -> jt.Tensor:
    """A convolution that passes on what comes: channel i to channel i, by a 1 in the middle of the kernel.

    Raises ``ShapeError`` for a shape without a window.

    >>> import jitrench_core as jt
    >>> dirac(jt.random.Generator(0), (2, 2, 3), jt.float64)[1]
    Tensor([[0., 0., 0.],
            [0., 1., 0.]])
    """
    if len(shape) < 3:
        raise jt.ShapeError(
            f"dirac() needs the shape of a convolution, (out, in, *kernel); got {shape}. For a matrix take nn.eye"
        )
    weight = jt.eye(*shape[:2], dtype=dtype, device=generator.device)
    for n in shape[2:]:
        middle = jt.astype(jt.arange(n, device=generator.device) == n // 2, dtype)
        weight = jt.expand_dims(weight, axis=-1) * middle
    return weight


# -- gains ----------------------------------------------------------------------------------------------------------

_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}


def calculate_gain(nonlinearity: str, negative_slope: float = 0.01) -> float:
    """PyTorch's factor for the spread of a weight whose output goes through ``nonlinearity``.

    It is 1 for "linear" and "sigmoid", 5/3 for "tanh", sqrt(2) for "relu", 3/4 for "selu", and sqrt(2 / (1 + s**2)) for "leaky_relu", with
    s the ``negative_slope``. Of ``he`` it is part already, for "relu".

    Raises ``LayerError`` for any other.

    >>> calculate_gain("relu") == 2**0.5
    True
    """
    if nonlinearity == "leaky_relu":
        _numbers("calculate_gain", negative_slope=negative_slope)
        return math.sqrt(2 / (1 + negative_slope**2))
    if nonlinearity not in _GAINS:
        known = ", ".join(map(repr, (*_GAINS, "leaky_relu")))
        raise LayerError(f"calculate_gain(): expected one of {known}; got {nonlinearity!r:.40}")
    return _GAINS[nonlinearity]
