"""Products of vectors, matrices and tensors, diagonals, and ``einsum``."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import cache, lru_cache, partial
from itertools import combinations
from typing import Any

from ..errors import OpError, ShapeError
from ..graph import Piece
from ..op import op
from ..tensor import ArrayLike, Tensor
from .creation import arange, asarray, together, zeros
from .elementwise import conj, multiply, positive
from .indexing import ARRAY
from .reductions import any as any_
from .reductions import sum as sum_
from .shapes import align, expand_dims, matrix_transpose, normalize_axes, permute_dims, reshape, sum_to


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


# -- products and diagonals, made of other ops -------------------------------------------------------------------------


def check_matrices(name: str, *arrays: Any) -> None:
    """``ShapeError`` where an array has fewer than two axes."""
    for x in arrays:
        if len(shape := tuple(getattr(x, "shape", ()))) < 2:
            raise ShapeError(f"{name}() takes matrices, of at least 2 dimensions; got shape {shape}")


def _total(x: Any, axis: Any) -> Any:
    """The sum in x's own dtype, as products have it: ``sum`` widens small integers, and counts booleans."""
    if x.dtype.kind == "b":
        return any_(x, axis=axis)
    return sum_(x, axis=axis, dtype=x.dtype) if x.dtype.kind in "iu" else sum_(x, axis=axis)


def _diagonal_vjp(g: Any, x_shape: tuple[int, ...], offset: int) -> Any:
    length, offset = g.shape[-1], operator.index(offset)
    rows, columns = (arange(k, k + length, device=g.device) for k in (max(0, -offset), max(0, offset)))
    if not length:
        return zeros(x_shape, dtype=g.dtype, device=g.device)
    return Piece(((..., ARRAY, ARRAY), (rows, columns)), g)


@op(linear=("x",), vjp=_diagonal_vjp, samples=lambda rng: ((rng.normal(size=(3, 4)),), {"offset": 1}))
def diagonal(xp: Any, x: Any, /, *, offset: int = 0) -> Any:
    """The elements x[..., i, i + offset] of each matrix, along a new last axis.

    >>> import jitrench_core as jt
    >>> jt.diagonal(jt.reshape(jt.arange(6), (2, 3)), offset=1)
    Tensor([1, 5])
    """
    return xp.linalg.diagonal(x, offset=offset)


@diagonal.batch
def _(batched: Any, x: Any, /, *, offset: int) -> Any:
    if x.ndim < 3:
        raise ShapeError(f"diagonal() takes matrices, of at least 2 dimensions; got shape {x.shape[1:]} in a batch")
    return diagonal(x, offset=offset)


@diagonal.check
def _(x: Any, /) -> None:
    """Why there was no diagonal."""
    check_matrices("diagonal", x)


@op(composite=True, samples=lambda rng: ((rng.normal(size=(3, 4)),), {"offset": 1}))
def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sum of each matrix's diagonal; ``dtype`` as in ``sum``."""
    check_matrices("trace", x)
    return sum_(diagonal(x, offset=offset), axis=-1, dtype=dtype)


@op(composite=True, samples=lambda rng: ((rng.normal(size=(2, 3)), rng.normal(size=3)), {}))
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """sum(conj(x1) * x2) along ``axis``, counted from the last one; the other axes broadcast."""
    s1, s2 = (tuple(getattr(x, "shape", ())) for x in (x1, x2))
    shorter = min(len(s1), len(s2))
    if axis >= 0 and len(s1) == len(s2):
        axis -= shorter
    if not -shorter <= axis < 0 or s1[axis] != s2[axis]:
        raise ShapeError(f"vecdot(): shapes {s1} and {s2} need axis {axis}, counted from the end, of one length")
    return _total((conj(x1) if x1.dtype.kind == "c" else x1) * x2, axis)


@op(
    composite=True,
    samples=lambda rng: ((rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 3))), {"axes": ((1, 2), (1, 0))}),
)
def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """Sum products over pairs of axes: the last ``axes`` of x1 and the first of x2, or those that two sequences name.

    The result has the other axes of x1, then those of x2.
    """
    s1, s2 = (tuple(getattr(x, "shape", ())) for x in (x1, x2))
    if hasattr(axes, "__index__"):
        n = operator.index(axes)
        axes = (tuple(range(len(s1) - n, len(s1))), tuple(range(n))) if n <= len(s1) else ((), (0,))
    if not hasattr(axes, "__len__") or len(axes) != 2:
        raise OpError(f"tensordot(): axes must be an integer, or the axes of x1 and those of x2; got {axes!r}")
    over1, over2 = (normalize_axes(a, len(s)) for a, s in zip(axes, (s1, s2), strict=True))
    if [s1[a] for a in over1] != [s2[a] for a in over2]:
        raise ShapeError(
            f"tensordot(): axes {over1} of shape {s1} and {over2} of shape {s2} must pair up, with equal lengths"
        )
    free1, free2 = ([a for a in range(len(s)) if a not in o] for s, o in ((s1, over1), (s2, over2)))
    n = math.prod(s1[a] for a in over1)
    left = _as(x1, (*free1, *over1), (math.prod(s1[a] for a in free1), n))
    right = _as(x2, (*over2, *free2), (n, math.prod(s2[a] for a in free2)))
    y = matmul(left, right)
    return _as(y, (0, 1), (*(s1[a] for a in free1), *(s2[a] for a in free2)))


def _as(x: Any, order: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """x with its axes in ``order`` and then in ``shape``; an op that would change nothing costs 1 us each."""
    x = x if order == tuple(range(len(order))) else permute_dims(x, order)
    return x if x.shape == shape else reshape(x, shape)


@op(composite=True, samples=lambda rng: ((rng.normal(size=(2, 3)), rng.normal(size=(3, 4))), {}))
def dot(x1: Any, x2: Any, /) -> Any:
    """NumPy's dot: x1's last axis with x2's second to last (or only) one; a product where one operand is a number.

    Unlike ``matmul`` it pairs all leading axes with each other; unlike ``vecdot`` it conjugates nothing.
    """
    n1, n2 = (len(getattr(x, "shape", ())) for x in (x1, x2))
    if not n1 or not n2:
        return x1 * x2
    return matmul(x1, x2) if n2 <= 2 else tensordot(x1, x2, axes=((-1,), (-2,)))


@op(composite=True, samples=lambda rng: ((rng.normal(size=3), rng.normal(size=4)), {}))
def outer(x1: Any, x2: Any, /) -> Any:
    """The products of each element of the vector x1 with each of the vector x2, as a matrix."""
    s1, s2 = (tuple(getattr(x, "shape", ())) for x in (x1, x2))
    if len(s1) != 1 or len(s2) != 1:
        raise ShapeError(
            f"outer() takes two vectors, got shapes {s1} and {s2}: for batches write x1[..., None] * x2[..., None, :]"
        )
    return expand_dims(x1, axis=-1) * x2


@op(composite=True, samples=lambda rng: ((rng.normal(size=(2, 3)), rng.normal(size=(4, 1))), {}))
def kron(x1: Any, x2: Any, /) -> Any:
    """The Kronecker product: each element of x1 times the whole of x2, as blocks; missing leading axes count as 1."""
    x1, x2 = together((x1, x2))
    ndim = max(x1.ndim, x2.ndim)
    s1, s2 = x1.shape, x2.shape
    s1, s2 = (1,) * (ndim - len(s1)) + s1, (1,) * (ndim - len(s2)) + s2
    blocks = reshape(x1, [n for length in s1 for n in (length, 1)]) * reshape(
        x2, [n for length in s2 for n in (1, length)]
    )
    return reshape(blocks, [n * m for n, m in zip(s1, s2, strict=True)])


def _cross_axis(s1: tuple[int, ...], s2: tuple[int, ...], axis: int) -> int:
    """``axis`` of operands of these shapes, counted from the last one."""
    shorter = min(len(s1), len(s2))
    if axis >= 0 and len(s1) == len(s2):
        axis -= shorter
    if not -shorter <= axis < 0 or (s1[axis], s2[axis]) != (3, 3):
        raise ShapeError(f"cross(): shapes {s1} and {s2} need axis {axis}, counted from the end, of length 3")
    return axis


@op(
    linear=("x1", "x2"),
    vjp={
        "x1": lambda g, x2, x1_shape, axis: _fit(cross(x2, g, axis=axis), x1_shape),
        "x2": lambda g, x1, x2_shape, axis: _fit(cross(g, x1, axis=axis), x2_shape),
    },
    samples=lambda rng: ((rng.normal(size=(2, 3)), rng.normal(size=3)), {}),
)
def cross(xp: Any, x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The vector product of vectors of 3 elements along ``axis``, counted from the last one; the other axes broadcast."""
    s1, s2 = (tuple(getattr(x, "shape", ())) for x in (x1, x2))
    return xp.linalg.cross(x1, x2, axis=_cross_axis(s1, s2, axis))


@cross.batch
def _(batched: tuple[bool, bool], x1: Any, x2: Any, /, *, axis: int) -> Any:
    s1, s2 = (x.shape[b:] for x, b in zip((x1, x2), batched, strict=True))
    axis, ndim = _cross_axis(s1, s2, axis), max(len(s1), len(s2))
    return cross(*(align(x, ndim) if b else x for x, b in zip((x1, x2), batched, strict=True)), axis=axis)


@cross.check
def _(x1: Any, x2: Any, /) -> None:
    """Why a product failed."""
    if any(n != m and 1 not in (n, m) for n, m in zip(x1.shape[::-1], x2.shape[::-1], strict=False)):
        raise ShapeError(f"cross(): shapes {x1.shape} and {x2.shape} do not broadcast")


# -- einsum ------------------------------------------------------------------------------------------------------------
#
# A plan is made once for an equation and shapes. A label is a letter, or a negative number for an axis under an ellipsis,
# counted from the last one, so that these broadcast.

Labels = tuple[Any, ...]
Steps = tuple[Callable[[Any], Any], ...]


def _labels(subscripts: str, term: str, shape: tuple[int, ...] | None) -> Labels:
    """The labels of one term; ``shape`` None for an output, whose ellipsis is left as it is."""
    head, dots, tail = term.partition("...")
    if not (head + tail).isalpha() and head + tail:
        raise OpError(f"einsum({subscripts!r}): {term!r} is no list of axes: write letters, and ... for leading ones")
    if shape is None:
        return (*head, *dots[:1], *tail)
    hidden = len(shape) - len(head) - len(tail)
    if hidden < 0 or (hidden and not dots):
        raise ShapeError(
            f"einsum({subscripts!r}): {term!r} names {len(head) + len(tail)} axes, its operand has shape {shape}"
            + ("" if hidden < 0 else "; write ... for the axes that have no letter")
        )
    return (*head, *range(-hidden, 0), *tail)


def _read(subscripts: str, shapes: tuple[tuple[int, ...], ...]) -> tuple[list[Labels], Labels, dict[Any, int]]:
    """Each operand's labels, the result's, and the length of each label."""
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise OpError(
            f"einsum({subscripts!r}) describes {len(terms)} operand(s); {len(shapes)} came, of shapes {shapes}"
        )
    labels = [_labels(subscripts, term, shape) for term, shape in zip(terms, shapes, strict=True)]
    lengths: dict[Any, int] = {}
    for own, shape in zip(labels, shapes, strict=True):
        for label, n in zip(own, shape, strict=True):
            known = lengths.get(label, 1)
            within = {m for k, m in zip(own, shape, strict=True) if k == label}  # a diagonal does not broadcast
            found = within if len(within) > 1 else {known, n} - {1}
            if len(found) > 1:
                axis = "an axis under the ellipsis" if isinstance(label, int) else f"axis {label!r}"
                raise ShapeError(f"einsum({subscripts!r}): {axis} has lengths {sorted(found)}; the shapes are {shapes}")
            lengths[label] = known if n == 1 else n
    hidden = sorted(label for label in lengths if isinstance(label, int))
    if not arrow:
        every = [label for own in labels for label in own]
        return labels, (*hidden, *sorted(k for k in lengths if isinstance(k, str) and every.count(k) == 1)), lengths
    output: Labels = ()
    for label in _labels(subscripts, right, None):
        output += tuple(hidden) if label == "." else (label,)
    wrong = [label for label in output if label not in lengths or output.count(label) > 1]
    if wrong or (hidden and "..." not in right):
        what = "lacks the ... of the operands"
        if wrong:
            what = f"names {wrong[0]!r} " + ("twice" if wrong[0] in lengths else "which no operand has")
        raise OpError(f"einsum({subscripts!r}): the output {right!r} {what}; the operands have shapes {shapes}")
    return labels, output, lengths


def _alone(own: Labels, wide: Labels, keep: Any, lengths: dict[Any, int]) -> tuple[Steps, Labels]:
    """What happens to an operand by itself.

    Axes of length 1 that broadcast go (``wide`` are the others), repeated labels are diagonals, and those that nobody else
    needs are summed.
    """
    steps: list[Any] = []
    left = list(wide)
    if wide != own:
        steps.append(partial(reshape, shape=tuple(lengths[k] for k in wide)))
    for label in dict.fromkeys(left):
        while left.count(label) > 1:
            i = left.index(label)
            j = left.index(label, i + 1)
            rest = [a for a in range(len(left)) if a not in (i, j)]
            steps += [partial(permute_dims, axes=(*rest, i, j)), diagonal]
            left = [*(left[a] for a in rest), label]
    over = tuple(i for i, k in enumerate(left) if k not in keep)
    if over:
        steps.append(partial(_total, axis=over))
    return tuple(steps), tuple(k for k in left if k in keep)


def _arranged(own: Labels, order: Labels, shape: tuple[int, ...], lengths: dict[Any, int]) -> Steps:
    """Steps to the axes in ``order`` and then to ``shape``, where they are not so already."""
    steps: list[Any] = []
    if own != order:
        steps.append(partial(permute_dims, axes=tuple(own.index(k) for k in order)))
    if shape != tuple(lengths[k] for k in order):
        steps.append(partial(reshape, shape=shape))
    return tuple(steps)


def _pair(a: Labels, b: Labels, keep: Any, lengths: dict[Any, int]) -> tuple[Any, Labels]:
    """How two operands become one: a matrix product, batched over what both have and the result keeps, or a product."""
    batch = tuple(k for k in a if k in b and k in keep)
    over = tuple(k for k in a if k in b and k not in keep)
    rows, columns = tuple(k for k in a if k not in b), tuple(k for k in b if k not in a)
    size: Any = lambda labels: tuple(lengths[k] for k in labels)  # noqa: E731
    made = (*batch, *rows, *columns)
    if not over:
        ones = (1,) * len(columns)
        left = _arranged(a, (*batch, *rows), (*size((*batch, *rows)), *ones) if rows or batch else (), lengths)
        right = _arranged(b, (*batch, *columns), (*size(batch), *(1,) * len(rows), *size(columns)), lengths)
        return (left, right, multiply, ()), made
    n = math.prod(size(over))
    left = _arranged(a, (*batch, *rows, *over), (*size(batch), math.prod(size(rows)), n), lengths)
    right = _arranged(b, (*batch, *over, *columns), (*size(batch), n, math.prod(size(columns))), lengths)
    single = len(rows) == len(columns) == 1
    return (left, right, matmul, () if single else (partial(reshape, shape=size(made)),)), made


def _path(operands: list[Labels], output: Labels, lengths: dict[Any, int]) -> list[tuple[int, ...]]:
    """Which operands to contract, step by step: opt_einsum's answer where it is installed, else the pair that shrinks most."""
    try:
        import opt_einsum
    except ImportError:
        return []
    letters = {k: opt_einsum.get_symbol(i) for i, k in enumerate(lengths)}
    terms = ["".join(letters[k] for k in own) for own in (*operands, output)]
    shapes = [tuple(lengths[k] for k in own) for own in operands]
    path, _ = opt_einsum.contract_path(f"{','.join(terms[:-1])}->{terms[-1]}", *shapes, shapes=True)
    return list(path) if all(len(step) == 2 for step in path) else []


def _greedy(operands: list[Labels], output: Labels, lengths: dict[Any, int]) -> tuple[int, int]:
    """The pair whose product adds the least to what must be held; of equal ones the cheapest."""

    def growth(pair: tuple[int, int]) -> tuple[int, int]:
        a, b = (set(operands[i]) for i in pair)
        others = set(output).union(*(own for i, own in enumerate(operands) if i not in pair))
        volume: Any = lambda labels: math.prod(lengths[k] for k in labels)  # noqa: E731
        return volume((a | b) & others) - volume(a) - volume(b), volume(a | b)

    return min(combinations(range(len(operands)), 2), key=growth)


@lru_cache(maxsize=1024)
def _plan(subscripts: str, shapes: tuple[tuple[int, ...], ...]) -> tuple[Any, Any, Steps]:
    """Each operand's own steps, the pairs to contract, and the last steps."""
    labels, output, lengths = _read(subscripts, shapes)
    alone, operands = [], []
    wide = [
        tuple(k for k, n in zip(own, shape, strict=True) if n == lengths[k])
        for own, shape in zip(labels, shapes, strict=True)
    ]
    for i, (own, own_wide) in enumerate(zip(labels, wide, strict=True)):
        steps, left = _alone(own, own_wide, set(output).union(*wide[:i], *wide[i + 1 :]), lengths)
        alone.append(steps)
        operands.append(left)
    path = _path(operands, output, lengths) if len(operands) > 2 else []
    pairs = []
    while len(operands) > 1:
        i, j = sorted(path.pop(0))[:2] if path else _greedy(operands, output, lengths)
        b, a = operands.pop(j), operands.pop(i)
        steps, made = _pair(a, b, set(output).union(*operands), lengths)
        operands.append(made)
        pairs.append((i, j, *steps))
    return tuple(alone), tuple(pairs), _arranged(operands[0], output, tuple(lengths[k] for k in output), lengths)


def _through(steps: Steps, x: Any) -> Any:
    for step in steps:
        x = step(x)
    return x


@op(
    composite=True,
    name="einsum",
    samples=lambda rng: ((rng.normal(size=(2, 3)), rng.normal(size=(3, 4))), {"subscripts": "ij,jk->ki"}),
)
def _einsum(*operands: Any, subscripts: str) -> Any:
    """Products of operands whose axes have letters, summed over the letters that the result lacks: see ``jt.einsum``."""
    every = [asarray(x) for x in operands]
    alone, pairs, last = _plan(subscripts, tuple(x.shape for x in every))
    arrays = [_through(steps, x) for steps, x in zip(alone, every, strict=True)]
    for i, j, left, right, product, after in pairs:
        x2, x1 = arrays.pop(j), arrays.pop(i)
        arrays.append(_through(after, product(_through(left, x1), _through(right, x2))))
    y = _through(last, arrays[0])
    return Tensor(y.data, y.node) if y is every[0] else y  # a Tensor of its own: either may be updated in place


def einsum(subscripts: str, /, *operands: ArrayLike) -> Tensor:
    """Einstein's sums: each axis has a letter; what the result does not name is summed, as in ``"ij,jk->ik"``.

    A letter twice in one operand takes a diagonal; ``...`` stands for leading axes, which broadcast, as do axes of length 1.
    Without ``->`` the result has the ellipsis, then the letters that occur once, in alphabetical order. Operands are
    contracted in pairs, by matrix products; of more than two the order is opt_einsum's where that is installed
    (``pip install jitrench-core[einsum]``), else that of the pair which shrinks most.

    >>> import jitrench_core as jt
    >>> x = jt.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> jt.einsum("ij,jk->ik", x, x), jt.einsum("ii", x), jt.einsum("...i->...", x)
    (Tensor([[ 7., 10.], [15., 22.]]), Tensor(5.), Tensor([3., 7.]))

    Raises ``OpError`` for a malformed equation and ``ShapeError`` for operands that do not fit it.
    """
    if not isinstance(subscripts, str):
        raise OpError(
            f"einsum() takes the equation first, as in jt.einsum('ij,jk->ik', a, b); got {type(subscripts).__name__}"
        )
    return _einsum(*operands, subscripts=subscripts)


@op(
    composite=True,
    samples=lambda rng: ((rng.normal(size=(2, 5)), rng.normal(size=(5, 3)), rng.normal(size=(3, 4))), {}),
)
def multi_dot(*arrays: Any) -> Any:
    """The product of matrices, in the order that costs the fewest multiplications; the first and the last may be vectors."""
    if len(arrays) == 1:
        return positive(arrays[0])
    shapes = [tuple(getattr(x, "shape", ())) for x in arrays]
    inner = all(len(s) == 2 for s in shapes[1:-1])
    if not inner or not {len(shapes[0]), len(shapes[-1])} <= {1, 2}:
        raise ShapeError(f"multi_dot() takes matrices, and vectors as the first and the last; got shapes {shapes}")
    sizes = [s[0] for s in shapes] + [shapes[-1][-1]]  # a vector in front is a row, at the end a column
    if len(shapes[0]) == 1:
        sizes[0] = 1
    if len(shapes[-1]) == 1:
        sizes[-2:] = [shapes[-1][0], 1]

    @cache
    def best(i: int, j: int) -> tuple[int, int]:
        """The cost of the product of arrays i to j, and where to cut it."""
        if i == j:
            return 0, i
        cuts = ((best(i, k)[0] + best(k + 1, j)[0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j))
        return min(cuts)

    def product(i: int, j: int) -> Any:
        k = best(i, j)[1]
        return arrays[i] if i == j else matmul(product(i, k), product(k + 1, j))

    return product(0, len(arrays) - 1)
