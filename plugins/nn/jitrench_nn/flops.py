"""Floating-point operations, counted by the ops that really run: a formula an op.

A multiply-add is 2: the product of matrices (m, k) and (k, n) takes 2 * m * k * n. Moving data takes none, nor does an op of integers
alone; an op without a formula takes 1 for each element of its result, whatever it costs the machine. Composites count as the ops
that they are made of, so that every backend gives the same number.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log2, prod
from typing import Any

from jitrench_core.backend import owner
from jitrench_core.watching import Watcher

Shape = tuple[int, ...]
# What an op with a result of shape `out` takes; further arguments are the shapes of its arrays (None where one was left out).
Formula = Callable[..., float]

FLOPS: dict[str, Formula] = {}


def flops_of(*names: str) -> Callable[[Formula], Formula]:
    """Decorates the formula of ops, by their names: ``formula(out, *shapes, **attrs)``, of the shapes of the result and of the operands.

    ``attrs`` are those that the call gives, so that others need a default. A formula that there is already is replaced.

    >>> @flops_of("my_plugins_op")
    ... def _(out, x, weight, **attrs):
    ...     return 3 * prod(out)
    """

    def add(formula: Formula) -> Formula:
        FLOPS.update(dict.fromkeys(names, formula))
        return formula

    return add


class FlopCounter(Watcher):
    """``with nn.FlopCounter() as counter:`` counts what runs in the block, gradients included, in ``counter.total`` and ``by_op``.

    Layers in the block are not told apart: ``nn.summary`` does.

    >>> import jitrench_core as jt
    >>> with FlopCounter() as counter:
    ...     y = jt.relu(jt.ones((2, 3)) @ jt.ones((3, 4)))
    >>> counter.total, counter.by_op
    (56, {'matmul': 48, 'relu': 8})
    """

    expand = True

    def __init__(self) -> None:
        self.by_op: dict[str, int] = {}

    @property
    def total(self) -> int:
        """The sum over all ops."""
        return sum(self.by_op.values())

    def op(self, op: Any, arrays: tuple[Any, ...], attrs: dict[str, Any], result: Any) -> None:
        n = flops(op.name, arrays, attrs, result)
        if n:
            self.by_op[op.name] = self.by_op.get(op.name, 0) + n


def flops(name: str, arrays: tuple[Any, ...], attrs: dict[str, Any], result: Any) -> int:
    """What one call of the op ``name`` takes."""
    if not any(_is_float(x) for x in (*arrays, result)):
        return 0
    while type(result) is tuple:  # of several outputs, or of aux results, the first
        result = result[0]
    out, formula = tuple(result.shape), FLOPS.get(name)
    return round(prod(out) if formula is None else formula(out, *map(_shape, arrays), **attrs))


def _is_float(x: Any) -> bool:
    if type(x) is tuple:
        return any(map(_is_float, x))
    return hasattr(x, "shape") and owner(type(x)).core_dtype(x.dtype).kind in "fc"


def _shape(x: Any) -> Shape | None:
    return None if x is None else tuple(getattr(x, "shape", ()))


@flops_of(
    *(
        "astype",
        "broadcast_to",
        "concat",
        "diagonal",
        "empty_like",
        "expand_dims",
        "flip",
        "getitem",
        "matrix_transpose",
    ),
    *(
        "one_hot",
        "ones_like",
        "permute_dims",
        "positive",
        "real",
        "imag",
        "reshape",
        "roll",
        "setitem",
        "squeeze",
        "stack",
    ),
    *("stop_gradient", "to_device", "tril", "triu", "unfold", "left_the_graph", "first_selected", "pool_gather"),
    *("scatter_pieces", "advance_counter", "random_bits"),
)
def _nothing(out: Shape, *shapes: Any, **attrs: Any) -> int:
    return 0


@flops_of(
    *("sum", "mean", "max", "min", "argmax", "argmin", "all", "any", "sum_to", "fold"),
    *("linear_bias_grad", "scatter_extremum", "pool_scatter"),
)
def _of_each(out: Shape, x: Shape, *shapes: Any, **attrs: Any) -> int:
    return prod(x)


@flops_of("vector_norm")
def _(out: Shape, x: Shape, **attrs: Any) -> int:
    return 2 * prod(x)


@flops_of("var", "std", "logsumexp", "log_softmax_at")
def _(out: Shape, x: Shape, *shapes: Any, **attrs: Any) -> int:
    """Mean or largest, difference, square or exp, sum."""
    return 4 * prod(x)


@flops_of("softmax", "log_softmax")
def _(out: Shape, x: Shape, **attrs: Any) -> int:
    """Largest, difference, exp, sum, quotient or difference."""
    return 5 * prod(x)


@flops_of("mse_loss")
def _(out: Shape, x: Shape, target: Shape, **attrs: Any) -> int:
    return 3 * prod(x)


@flops_of("layer_norm")
def _(out: Shape, x: Shape, weight: Any = None, bias: Any = None, **attrs: Any) -> int:
    """Mean, difference, square, mean, scale; then weight and bias."""
    return (5 + (weight is not None) + (bias is not None)) * prod(x)


@flops_of("matmul")
def _(out: Shape, x1: Shape, x2: Shape) -> int:
    return 2 * prod(out) * x1[-1]


@flops_of("linear")
def _(out: Shape, x: Shape, weight: Shape, bias: Any = None) -> int:
    return (2 * x[-1] + (bias is not None)) * prod(out)


@flops_of("linear_x_grad")
def _(out: Shape, v: Shape, weight: Shape) -> int:
    return 2 * prod(out) * v[-1]


@flops_of("linear_weight_grad")
def _(out: Shape, v: Shape, x: Shape) -> int:
    return 2 * prod(v) * x[-1]


@flops_of("convolution")
def _(
    out: Shape,
    x: Shape,
    weight: Shape,
    *,
    stride: Shape,
    padding: Any,
    dilation: Shape,
    x_dilation: Shape,
    **attrs: Any,
) -> int:
    """Zeros of the padding count as any number; those that a transposed one puts between the numbers do not."""
    axes = zip(out[2:], weight[2:], stride, padding, dilation, x_dilation, strict=True)
    pairs = [
        n * k if spread == 1 else sum((i * step + j * gap - before) % spread == 0 for i in range(n) for j in range(k))
        for n, k, step, (before, _), gap, spread in axes
    ]
    return 2 * prod(out[:2]) * weight[1] * prod(pairs)


@flops_of("max_pool")
def _(out: Shape, x: Shape, *, kernel_size: Any, **attrs: Any) -> int:
    return prod(out) * prod(kernel_size)


@flops_of("rnn_layer", "lstm_layer", "gru_layer")
def _(out: Shape, x: Shape, *shapes: Any, sizes: Any = None, **attrs: Any) -> int:
    """For each step of a sequence a product with the recurrent weight, the gates, and the new states."""
    hidden = out[-1]
    gates = x[-1] // hidden
    steps = sum(sizes) if sizes else x[0] * x[1]
    elementwise = {1: 2, 3: 12, 4: 13}[gates]
    return steps * hidden * (2 * gates * hidden + elementwise)


@flops_of("cholesky")
def _(out: Shape, x: Shape, **attrs: Any) -> float:
    return prod(x) * x[-1] / 3


@flops_of("inv", "pinv", "matrix_exp")
def _(out: Shape, x: Shape, **attrs: Any) -> int:
    """Two products of matrices for an inverse; of the others at least that."""
    return 2 * prod(x) * x[-1]


@flops_of("det", "slogdet")
def _(out: Shape, x: Shape, **attrs: Any) -> float:
    return prod(x) * x[-1] * 2 / 3


@flops_of("solve")
def _(out: Shape, x1: Shape, x2: Shape, **attrs: Any) -> float:
    return prod(x1) * x1[-1] * 2 / 3 + 2 * prod(out) * x1[-1]


@flops_of("solve_triangular")
def _(out: Shape, x1: Shape, x2: Shape, **attrs: Any) -> int:
    return prod(out) * x1[-1]


@flops_of("fft", "ifft", "rfft", "irfft")
def _(out: Shape, x: Shape, **attrs: Any) -> float:
    """5 n log2(n), the usual count for a transform of n complex numbers."""
    longest = max(prod(out), prod(x))
    n = max(out[-1], x[-1], 2)
    return 5 * longest * log2(n)
