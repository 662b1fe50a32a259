"""Rows of a table, chosen by integers."""

from __future__ import annotations

import math
from typing import Any

import jitrench_core as jt

from .checks import extent


@jt.op(composite=True, samples=lambda rng: ((rng.integers(0, 5, size=(2, 3)), rng.normal(size=(5, 4))), {}))
def embedding(indices: Any, weight: Any, /, *, padding_idx: int | None = None) -> Any:
    """``weight[indices]``: of indices (...) and weight (n, width) the rows, (..., width).

    The gradient adds each row's part up in one array of weight's shape. Row ``padding_idx`` gets none.

    Raises ``DTypeError`` for indices that are no integers, ``ShapeError`` for a weight that is no matrix, and
    ``BoundsError`` for an index, or a ``padding_idx``, that is not in [0, n); a negative one does not count from the end. Inside
    ``vmap``, and on a GPU, where values are not looked at, such an index gives a row of NaN.

    >>> import jitrench_core as jt
    >>> embedding(jt.tensor([2, 0]), jt.tensor([[1.0, 1.5], [2.0, 2.5], [3.0, 3.5]]))
    Tensor([[3. , 3.5],
            [1. , 1.5]])
    """
    indices, weight = jt.asarray(indices), jt.asarray(weight)
    if indices.dtype.kind not in "iu":
        raise jt.DTypeError(
            f"embedding(): indices have dtype {indices.dtype}; expected integers, such as indices.astype(jt.int64). They "
            f"come first: embedding(indices, weight)"
        )
    if weight.ndim != 2:
        raise jt.ShapeError(f"embedding(): weight has shape {weight.shape}; expected a matrix, (rows, width)")
    n = weight.shape[0]
    found = extent(indices)
    if found and not 0 <= found[0] <= found[1] < n:
        raise jt.BoundsError(
            f"embedding(): indices are 0 to {n - 1}, because weight has shape {weight.shape}; these hold "
            f"{found[0] if found[0] < 0 else found[1]}"
        )
    if found or not indices.size:
        rows = weight[indices]
    else:
        fits = (indices >= 0) & (indices < n)
        rows = jt.where(jt.expand_dims(fits, axis=-1), weight[jt.where(fits, indices, 0)], math.nan)
    if padding_idx is None:
        return rows
    if not 0 <= padding_idx < n:
        raise jt.BoundsError(f"embedding(): padding_idx is {padding_idx}; weight has the rows 0 to {n - 1}")
    return jt.where(jt.expand_dims(indices == padding_idx, axis=-1), rows.detach(), rows)
