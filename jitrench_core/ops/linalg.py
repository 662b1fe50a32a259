"""Matrix products."""

from __future__ import annotations

from typing import Any

from ..errors import ShapeError
from ..op import op
from .shapes import align, expand_dims, matrix_transpose, reshape, sum_to


def _fit(g: Any, shape: tuple[int, ...]) -> Any:
    return g if g.shape == shape else sum_to(g, shape)


def _matmul_x1(g: Any, x2: Any, x1_shape: tuple[int, ...]) -> Any:
    if x2.ndim == 1:
        return _fit(expand_dims(g, axis=-1) * x2 if g.ndim else g * x2, x1_shape)
    if len(x1_shape) == 1:
        return _fit(reshape(matmul(x2, expand_dims(g, axis=-1)), x2.shape[:-1]), x1_shape)
    return _fit(matmul(g, matrix_transpose(x2)), x1_shape)


def _matmul_x2(g: Any, x1: Any, x2_shape: tuple[int, ...]) -> Any:
    if x1.ndim == 1:
        if len(x2_shape) == 1:
            return g * x1
        return _fit(expand_dims(x1, axis=-1) * expand_dims(g, axis=-2), x2_shape)
    if len(x2_shape) == 1:
        return _fit(
            reshape(matmul(matrix_transpose(x1), expand_dims(g, axis=-1)), (*x1.shape[:-2], x1.shape[-1])), x2_shape
        )
    return _fit(matmul(matrix_transpose(x1), g), x2_shape)


@op(
    linear=("x1", "x2"),
    vjp={"x1": _matmul_x1, "x2": _matmul_x2},
    samples=lambda rng: ((rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 5))), {}),
)
def matmul(xp: Any, x1: Any, x2: Any, /) -> Any:
    """The matrix product; leading axes broadcast, and a 1-d operand is a row on the left, a column on the right."""
    return xp.matmul(x1, x2)


@matmul.check
def _(x1: Any, x2: Any, /) -> None:
    """Why a product failed."""
    s1, s2 = tuple(getattr(x1, "shape", ())), tuple(getattr(x2, "shape", ()))
    if not s1 or not s2 or s1[-1] != s2[-2 if len(s2) > 1 else 0]:
        raise ShapeError(
            f"matmul(): shapes {s1} and {s2} do not fit: the last axis of x1 must be as long as the "
            f"{'second to last' if len(s2) > 1 else 'only'} axis of x2, and both need at least one"
        )


@matmul.batch
def _(batched: tuple[bool, bool], x1: Any, x2: Any, /) -> Any:
    (b1, b2), n1, n2 = batched, x1.ndim - batched[0], x2.ndim - batched[1]
    if n1 == 1:  # a row: give it the axis that matmul would
        x1 = expand_dims(x1, axis=-2)
    if n2 == 1:
        x2 = expand_dims(x2, axis=-1)
    lead = max(x1.ndim - b1, x2.ndim - b2)
    x1, x2 = (align(x, lead) if b else x for x, b in ((x1, b1), (x2, b2)))
    y = matmul(x1, x2)
    shape = y.shape
    if n1 == 1:
        shape = (*shape[:-2], shape[-1])
    return reshape(y, shape[:-1] if n2 == 1 else shape)
