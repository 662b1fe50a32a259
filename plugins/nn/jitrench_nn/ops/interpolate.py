"""Resampling along axes: each element of the result is a weighted sum of a few elements of x.

``interpolate`` and the adaptive means are such sums, axis by axis; and so are their derivatives.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import cached_property
from numbers import Integral
from typing import Any, final

import jitrench_core as jt
from jitrench_core import op

from .checks import averaged

Row = tuple[tuple[int, float], ...]


@final
class Taps:
    """A sparse matrix, for an axis of length ``length``: for each element of the result, pairs (place in x, weight)."""

    def __init__(self, length: int, rows: tuple[Row, ...]) -> None:
        self.length = length
        self.rows = rows

    def __repr__(self) -> str:
        return f"<taps {self.length} -> {len(self.rows)}>"

    @cached_property
    def transposed(self) -> Taps:
        """The matrix transposed."""
        rows: list[list[tuple[int, float]]] = [[] for _ in range(self.length)]
        for i, row in enumerate(self.rows):
            for place, weight in row:
                rows[place].append((i, weight))
        made = Taps(len(self.rows), tuple(map(tuple, rows)))
        made.__dict__["transposed"] = self
        return made

    @cached_property
    def columns(self) -> list[tuple[list[int], list[float]]]:
        """Places and weights of every row's first pair, of every row's second, and so on; where a row is short, the weight is 0."""
        width = max(map(len, self.rows), default=0)
        filled = [(*row, *((row[-1][0] if row else 0, 0.0),) * (width - len(row))) for row in self.rows]
        return [([row[t][0] for row in filled], [row[t][1] for row in filled]) for t in range(width)]


@op(
    linear=("x",),
    vjp=lambda g, axis, taps: resample(g, axis=axis, taps=taps.transposed),
    samples=lambda rng: (
        (rng.normal(size=(2, 3, 4)),),
        {"axis": -2, "taps": Taps(3, (((0, 0.5), (2, 1.5)), (), ((1, 1.0),), ((1, 2.0), (0, 1.0), (2, -1.0))))},
    ),
)
def resample(xp: Any, x: Any, /, *, axis: int, taps: Taps) -> Any:
    """Weighted sums of elements along ``axis``, a negative one, as ``taps`` says. ``interpolate`` is what one calls."""
    shape = (len(taps.rows), *(1,) * (-axis - 1))
    total: Any = None
    for places, weights in taps.columns if x.shape[axis] and taps.rows else ():
        term = xp.take(x, xp.asarray(places, dtype=xp.int64, device=x.device), axis=axis)
        if any(w != 1.0 for w in weights):
            scale = xp.reshape(xp.asarray(weights, dtype=x.dtype, device=x.device), shape)
            if 0.0 in weights:  # not 0 * inf
                term = xp.where(scale == 0, xp.zeros_like(term), term)
            term = term * scale
        total = term if total is None else total + term
    if total is None:
        lengths = list(x.shape)
        lengths[axis] = len(taps.rows)
        return xp.zeros(tuple(lengths), dtype=x.dtype, device=x.device)
    return total


@resample.batch
def _(batched: Any, x: Any, /, **attrs: Any) -> Any:
    return resample(x, **attrs)


# -- where each mode looks. ``step`` is the distance of neighbours of the result, measured in x ------------------------------


def _nearest(i: int, length: int, step: float, shift: float = 0.0) -> Row:
    """Rounded to float32 as in PyTorch, so that 3 * (1 / 3) is 1 and not a little less."""
    return ((min(math.floor(_float32((i + shift) * step)), length - 1), 1.0),)


def _float32(x: float) -> float:
    return float(struct.unpack("f", struct.pack("f", x))[0])


def _nearest_exact(i: int, length: int, step: float) -> Row:
    return _nearest(i, length, step, 0.5)


def _linear(i: int, length: int, step: float, aligned: bool) -> Row:
    at = i * step if aligned else max((i + 0.5) * step - 0.5, 0.0)
    first = min(math.floor(at), length - 1)
    if first == length - 1 or at == first:
        return ((first, 1.0),)
    return ((first, 1 - (at - first)), (first + 1, at - first))


def _cubic(i: int, length: int, step: float, aligned: bool) -> Row:
    """Keys, "Cubic convolution interpolation for digital image processing" (1981), with a = -0.75 as PyTorch; edges are repeated."""
    at = i * step if aligned else (i + 0.5) * step - 0.5
    first, a = math.floor(at), -0.75
    t = at - first

    def near(s: float) -> float:
        return ((a + 2) * s - (a + 3)) * s * s + 1

    def far(s: float) -> float:
        return ((a * s - 5 * a) * s + 8 * a) * s - 4 * a

    weights = (far(t + 1), near(t), near(1 - t), far(2 - t))
    return tuple((min(max(first + k - 1, 0), length - 1), w) for k, w in enumerate(weights))


MODES: dict[str, tuple[Callable[..., Row], tuple[int, ...]]] = {
    "nearest": (_nearest, (1, 2, 3)),
    "nearest-exact": (_nearest_exact, (1, 2, 3)),
    "linear": (_linear, (1,)),
    "bilinear": (_linear, (2,)),
    "bicubic": (_cubic, (2,)),
    "trilinear": (_linear, (3,)),
}


@op(
    composite=True,
    samples=lambda rng: ((rng.normal(size=(2, 2, 3, 4)),), {"size": (5, 3), "mode": "bilinear"}),
)
def interpolate(
    x: Any,
    /,
    size: int | tuple[int, ...] | None = None,
    scale_factor: float | tuple[float, ...] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Any:
    """x (N, C, *lengths) with other lengths: ``size``, or ``scale_factor`` times its own, rounded down.

    Modes are ``"nearest"``, ``"nearest-exact"``, and ``"linear"``, ``"bilinear"`` (or ``"bicubic"``) and ``"trilinear"`` for 1, 2 and 3 lengths. With
    ``align_corners`` the first and last elements stay where they are; else the outer edges of the first and last do. A ``scale_factor`` is
    also the distance of the elements, but with ``recompute_scale_factor``, which takes it from the lengths, as ``size`` does. As PyTorch's.

    Raises ``ShapeError`` for lengths that do not fit x, ``OpError`` for a mode that does not, and ``DTypeError`` for integers but in
    the nearest modes.

    >>> import jitrench_core as jt
    >>> x = jt.tensor([[[0.0, 1.0]]])
    >>> jt.ops.interpolate(x, size=4, mode="linear")
    Tensor([[[0.  , 0.25, 0.75, 1.  ]]])
    >>> jt.ops.interpolate(x, scale_factor=2.0)
    Tensor([[[0., 0., 1., 1.]]])
    """
    x = jt.asarray(x)
    n = x.ndim - 2
    if n not in (1, 2, 3) or 0 in x.shape[2:]:
        raise jt.ShapeError(
            f"interpolate(): x must have shape (N, C, *lengths) with 1 to 3 lengths, none of them 0; got {x.shape}"
        )
    if mode not in MODES or n not in MODES[mode][1]:
        fitting = ", ".join(repr(m) for m, (_, many) in MODES.items() if n in many)
        raise jt.OpError(
            f"interpolate(): x of shape {x.shape} has {n} length(s), for which mode is one of {fitting}; got {mode!r}"
        )
    row = MODES[mode][0]
    if align_corners is not None and mode.startswith("nearest"):
        raise jt.OpError(
            f"interpolate(): align_corners is for the linear modes and 'bicubic'; got {align_corners} for {mode!r}"
        )
    out, given = _lengths(x.shape[2:], size, scale_factor)
    nearest = mode.startswith("nearest")
    if not nearest:
        averaged("interpolate", x)
    for i, (length, new) in enumerate(zip(x.shape[2:], out, strict=True)):
        factor = None if recompute_scale_factor else given[i]
        step = 1 / factor if factor else length / new
        if align_corners:
            step = (length - 1) / max(new - 1, 1)
        if nearest and x.dtype == jt.float32:
            step = _float32(step)
        taps = tuple(row(k, length, step) if nearest else row(k, length, step, bool(align_corners)) for k in range(new))
        x = resample(x, axis=i - n, taps=Taps(length, taps))
    return x


def _lengths(own: tuple[int, ...], size: Any, scale_factor: Any) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The new lengths, and the scale factors where they were given."""
    n = len(own)
    if (size is None) == (scale_factor is None):
        raise jt.OpError(
            f"interpolate() takes either size or scale_factor; got size={size!r}, scale_factor={scale_factor!r}"
        )
    given = size if scale_factor is None else scale_factor
    many = tuple(given) if isinstance(given, (tuple, list)) else (given,) * n
    kind = Integral if scale_factor is None else (Integral, float)
    fits = len(many) == n and all(isinstance(m, kind) and not isinstance(m, bool) and 0 < m < math.inf for m in many)
    new = many if scale_factor is None or not fits else tuple(math.floor(m * f) for m, f in zip(own, many, strict=True))
    if not fits or any(m < 1 for m in new):
        name = "size" if scale_factor is None else "scale_factor"
        raise jt.ShapeError(
            f"interpolate(): {name} must be one number, or one for each of the {n} length(s) {own} of x, and give lengths from 1; "
            f"got {given!r}"
        )
    return tuple(map(int, new)), (None,) * n if scale_factor is None else tuple(float(f) for f in many)
