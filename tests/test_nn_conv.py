"""Convolution, pooling, windows and resampling: as PyTorch to second order, ties, edges, errors; the NumPy kernels."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from nn_catalogue.conv import convolve

import jitrench_core as jt
import jitrench_nn as nn
from jitrench_core import graph
from jitrench_nn.ops.windows import Axis

F = nn.functional
DATA = json.loads((Path(__file__).parent / "data" / "conv_reference.json").read_text(encoding="utf-8"))


def _name(row):
    return f"{row['name']} {row['attrs']}"


@pytest.mark.parametrize("row", DATA, ids=_name)
def test_as_pytorch_to_second_order(row, T, close):
    attrs = {k: tuple(v) if isinstance(v, list) else v for k, v in row["attrs"].items()}
    arrays = [None if a is None else T(a, requires_grad=True) for a in row["arrays"]]
    y = getattr(F, row["name"])(*arrays, **attrs)
    close(y, row["y"])
    tracked, weight = [a.node for a in arrays if a is not None], T(row["weight"], requires_grad=True)
    gradients = graph.grad([y], tracked, [weight], record=True)
    for g, expected in zip(gradients, row["gradients"], strict=True):
        close(g, expected)
    directions = [T(d) for d in row["directions"]]
    second = graph.grad(gradients, [*tracked, weight.node], directions)
    for g, expected in zip(second, row["second"], strict=True):
        if g is None or expected is None:  # nothing depends on it
            assert not np.any(0.0 if expected is None else expected)
            assert not np.any(0.0 if g is None else g.numpy())
        else:
            close(g, expected)


# -- convolution --------------------------------------------------------------------------------------------------------


def test_no_channel_no_example_and_one_element(T, close):
    close(F.conv2d(T(np.ones((2, 0, 3, 3))), T(np.ones((4, 0, 2, 2)))), np.zeros((2, 4, 2, 2)))
    x, weight = T(np.ones((0, 2, 3, 3)), requires_grad=True), T(np.ones((4, 2, 2, 2)), requires_grad=True)
    F.conv2d(x, weight).sum().backward()
    close(x.grad, np.ones((0, 2, 3, 3)))
    close(weight.grad, np.zeros((4, 2, 2, 2)))
    close(F.conv1d(T([[2.0]]), T([[[3.0]]]), T([1.0])), [[7.0]])


def test_integers_and_complex_numbers(T, close):
    x = np.arange(9).reshape(1, 1, 3, 3)
    y = F.conv2d(T(x), T(np.ones((1, 1, 2, 2), np.int64)))
    assert y.dtype == jt.int64
    close(y, [[[[8, 12], [20, 24]]]])
    z, w = T(x * (1 + 2j)), T(np.full((1, 1, 2, 2), 1j))
    close(F.conv2d(z, w), np.array([[[[8, 12], [20, 24]]]]) * (1j - 2))


def test_third_order(T):
    """Cubic in the pair: the third derivative along (x, w) of <conv(x, w), conv(x, w)> of one element is 24 times it."""
    v = T([2.0, 3.0])

    def f(t):
        y = F.conv1d(jt.reshape(t[0], (1, 1, 1)), jt.reshape(t[1], (1, 1, 1)), padding=1)
        return (y * y).sum()

    third = jt.grad(lambda t: (jt.grad(lambda t: (jt.grad(f)(t) * v).sum())(t) * v).sum())(v)
    np.testing.assert_allclose(third.numpy(), [4 * 3 * 2 * 36 / 2 / 2, 4 * 3 * 2 * 36 / 3 / 2])


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("places", [(0,), (1,), (0, 1)])
def test_nested_vmap_of_gradients(groups, places, T, close):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 3, 2, 4, 5, 4)), rng.normal(size=(2, 3, 4, 4 // groups, 2, 3))

    def f(x, w):
        return jt.grad(lambda w: jt.sin(F.conv2d(x, w, groups=groups, padding=1)).sum())(w)

    axes = tuple(0 if i in places else None for i in (0, 1))
    many = [T(a if i in places else a[0, 0]) for i, a in enumerate((x, w))]
    y = jt.vmap(jt.vmap(f, in_axes=axes), in_axes=axes)(*many)
    for i, j in np.ndindex(2, 3):
        one = [T(a[i, j] if k in places else a[0, 0]) for k, a in enumerate((x, w))]
        close(y[i, j], f(*one).numpy(), 1e-9)


ERRORS = {
    "channels": (
        lambda T: F.conv2d(T(np.ones((1, 3, 4, 4))), T(np.ones((2, 2, 3, 3)))),
        r"conv2d\(\): x of shape \(1, 3, 4, 4\) has 3 channels, and weight of shape \(2, 2, 3, 3\) .* wants 2 in 1 group",
    ),
    "groups that do not divide": (
        lambda T: F.conv1d(T(np.ones((1, 4, 4))), T(np.ones((3, 2, 1))), groups=2),
        r"conv1d\(\): .* wants 4 in 2 group\(s\), whose number must divide O",
    ),
    "groups": (
        lambda T: F.conv1d(T(np.ones((1, 4, 4))), T(np.ones((3, 2, 1))), groups=0),
        r"conv1d\(\): groups must be an int from 1; got 0",
    ),
    "dimensions": (
        lambda T: F.conv2d(T(np.ones((4, 4))), T(np.ones((2, 2, 3, 3)))),
        r"x must have 4 dimensions \(N, C, \*lengths\), or 3 without N, and weight 4; got x of shape \(4, 4\)",
    ),
    "kernel larger than x": (
        lambda T: F.conv2d(T(np.ones((1, 1, 4, 4))), T(np.ones((1, 1, 3, 3))), dilation=(1, 3), padding=(0, 1)),
        r"conv2d\(\): the window is larger than x: it covers \(3, 7\) \(kernel \(3, 3\), dilation \(1, 3\)\), and x of shape "
        r"\(1, 1, 4, 4\) has, with its padding, \(4, 6\)",
    ),
    "empty x": (
        lambda T: F.conv1d(T(np.ones((1, 1, 0))), T(np.ones((1, 1, 1)))),
        r"the window is larger than x: .* x of shape \(1, 1, 0\)",
    ),
    "empty kernel": (
        lambda T: F.conv1d(T(np.ones((1, 1, 3))), T(np.ones((1, 1, 0)))),
        r"the kernel of weight, of shape \(1, 1, 0\), is empty",
    ),
    "bias": (
        lambda T: F.conv1d(T(np.ones((1, 1, 3))), T(np.ones((2, 1, 2))), T(np.ones(3))),
        r"bias must have shape \(2,\), one number per output channel; got \(3,\)",
    ),
    "stride": (
        lambda T: F.conv2d(T(np.ones((1, 1, 3, 3))), T(np.ones((2, 1, 2, 2))), stride=(1, 0)),
        r"stride must be an int from 1, or a tuple of 2 of them, one per axis; got \(1, 0\)",
    ),
    "padding": (
        lambda T: F.conv2d(T(np.ones((1, 1, 3, 3))), T(np.ones((2, 1, 2, 2))), padding=-1),
        r"padding must be an int from 0, or a tuple of 2 of them, one per axis; got -1",
    ),
    "padding, a word": (
        lambda T: F.conv1d(T(np.ones((1, 1, 3))), T(np.ones((2, 1, 2))), padding="full"),
        r"padding must be an int, a tuple of ints, 'same' or 'valid'; got 'full'",
    ),
    "same with a stride": (
        lambda T: F.conv1d(T(np.ones((1, 1, 3))), T(np.ones((2, 1, 2))), padding="same", stride=2),
        r"padding='same' is for stride 1; got stride \(2,\)",
    ),
    "transposed, channels": (
        lambda T: F.conv_transpose1d(T(np.ones((1, 3, 3))), T(np.ones((2, 1, 2)))),
        r"conv_transpose1d\(\): x of shape \(1, 3, 3\) has 3 channels, and weight of shape \(2, 1, 2\) .* wants 2",
    ),
    "output padding": (
        lambda T: F.conv_transpose1d(T(np.ones((1, 2, 3))), T(np.ones((2, 1, 2))), stride=2, output_padding=2),
        r"output_padding 2 must be smaller than stride 2 or dilation 1",
    ),
    "all cut off": (
        lambda T: F.conv_transpose1d(T(np.ones((1, 2, 2))), T(np.ones((2, 1, 2))), padding=2),
        r"padding 2 cuts everything off: x of shape \(1, 2, 2\) .* gives lengths \(-1,\)",
    ),
    "pooling, window": (
        lambda T: F.max_pool2d(T(np.ones((1, 1, 3, 3))), 4),
        r"max_pool2d\(\): the window is larger than x: it covers \(4, 4\)",
    ),
    "pooling, padding": (
        lambda T: F.avg_pool1d(T(np.ones((1, 1, 3))), 2, padding=2),
        r"avg_pool1d\(\): padding 2 must be at most half of the window, which covers 2 \(kernel_size 2, dilation 1\)",
    ),
    "pooling, dimensions": (
        lambda T: F.max_pool3d(T(np.ones((3, 3))), 2),
        r"max_pool3d\(\): x must have 5 dimensions \(N, C, \*lengths\), or 4 without N; got shape \(3, 3\)",
    ),
    "adaptive, size": (
        lambda T: F.adaptive_avg_pool2d(T(np.ones((1, 3, 3))), (2, 2, 2)),
        r"adaptive_avg_pool2d\(\): output_size must be an int from 0, or a tuple of 2 of them",
    ),
    "adaptive, empty": (
        lambda T: F.adaptive_max_pool1d(T(np.ones((1, 3, 0))), 2),
        r"adaptive_max_pool1d\(\): x must have 3 dimensions .* no length 0; got shape \(1, 3, 0\)",
    ),
    "unfold, dimensions": (
        lambda T: F.unfold(T(np.ones((3, 3))), 2),
        r"unfold\(\): x must have shape \(\.\.\., C, \*lengths\) with 2 lengths; got \(3, 3\)",
    ),
    "unfold, pairs": (
        lambda T: F.unfold(T(np.ones((1, 3, 3))), (2, 2), padding=((1, 0),)),
        r"unfold\(\): padding must hold a pair \(before, behind\) for each of 2 axes",
    ),
    "fold, columns": (
        lambda T: F.fold(T(np.ones((4, 5))), (3, 3), 2),
        r"fold\(\): windows \(2, 2\) over \(3, 3\) have 4 elements at 4 positions, so x must have shape \(\.\.\., C \* 4, 4\); got "
        r"\(4, 5\)",
    ),
    "fold, size": (
        lambda T: F.fold(T(np.ones((4, 4))), 3, 2),
        r"fold\(\): output_size must be a tuple with a length per axis; got 3",
    ),
    "interpolate, dimensions": (
        lambda T: F.interpolate(T(np.ones((2, 3))), 2),
        r"interpolate\(\): x must have shape \(N, C, \*lengths\) with 1 to 3 lengths, none of them 0; got \(2, 3\)",
    ),
    "interpolate, size": (
        lambda T: F.interpolate(T(np.ones((1, 1, 3))), (2, 2)),
        r"interpolate\(\): size must be one number, or one for each of the 1 length\(s\) \(3,\) of x, .* got \(2, 2\)",
    ),
    "interpolate, no factor": (
        lambda T: F.interpolate(T(np.ones((1, 1, 3))), scale_factor=float("nan")),
        r"interpolate\(\): scale_factor must be one number, .* got nan",
    ),
    "interpolate, nothing left": (
        lambda T: F.interpolate(T(np.ones((1, 1, 3))), scale_factor=0.1),
        r"interpolate\(\): scale_factor must be one number, .* and give lengths from 1; got 0\.1",
    ),
}  # fmt: skip
OP_ERRORS = {
    "mode": (
        lambda T: F.interpolate(T(np.ones((1, 1, 3))), 2, mode="bilinear"),
        r"has 1 length\(s\), for which mode is one of 'nearest', 'nearest-exact', 'linear'; got 'bilinear'",
    ),
    "align_corners": (
        lambda T: F.interpolate(T(np.ones((1, 1, 3))), 2, align_corners=True),
        r"align_corners is for the linear modes and 'bicubic'; got True for 'nearest'",
    ),
    "divisor": (
        lambda T: F.avg_pool2d(T(np.ones((1, 1, 4, 4))), 2, divisor_override=0),
        r"avg_pool2d\(\): divisor_override must not be 0",
    ),
    "size and factor": (
        lambda T: F.interpolate(T(np.ones((1, 1, 3))), 2, 2.0),
        r"interpolate\(\) takes either size or scale_factor; got size=2, scale_factor=2\.0",
    ),
}


DTYPE_ERRORS = {
    "means of integers": (lambda: F.avg_pool1d(np.ones((1, 1, 4), int), 2), r"avg_pool1d\(\): x has dtype int64; expected floating"),
    "adaptive means of integers": (lambda: F.adaptive_avg_pool1d(np.ones((1, 1, 5), int), 2), r"adaptive_avg_pool1d\(\): x has dtype int64"),
    "between integers": (lambda: F.interpolate(np.ones((1, 1, 4), int), 7, mode="linear"), r"interpolate\(\): x has dtype int64"),
    "the largest boolean": (lambda: F.max_pool1d(np.ones((1, 1, 4), bool), 2), r"max_pool1d\(\): x has dtype bool; expected numbers with an order"),
    "the largest complex number": (lambda: F.adaptive_max_pool1d(np.ones((1, 1, 4), complex), 2), r"adaptive_max_pool1d\(\): x has dtype complex128"),
}  # fmt: skip


@pytest.mark.parametrize("what", DTYPE_ERRORS)
def test_errors_of_dtypes(what):
    call, message = DTYPE_ERRORS[what]
    with pytest.raises(jt.DTypeError, match=message):
        call()


def test_integers_of_numpy_are_integers(T, close):
    x, two = T(np.arange(12.0).reshape(1, 1, 12)), np.int64(2)
    close(F.avg_pool1d(x, two, two), F.avg_pool1d(x, 2, 2).numpy())
    close(F.interpolate(x, np.int64(5)), F.interpolate(x, 5).numpy())
    columns = T(np.ones((2, 11)))
    close(jt.grad(lambda c: F.fold(c, (12,), two).sum())(columns), np.ones((2, 11)))


@pytest.mark.parametrize("what", ERRORS)
def test_errors(what, T):
    call, message = ERRORS[what]
    with pytest.raises(jt.ShapeError, match=message):
        call(T)


@pytest.mark.parametrize("what", OP_ERRORS)
def test_errors_of_attributes(what, T):
    call, message = OP_ERRORS[what]
    with pytest.raises(jt.OpError, match=message):
        call(T)


# -- pooling --------------------------------------------------------------------------------------------------------------


def test_the_first_of_equal_elements_gets_the_gradient(T, close):
    x = T([[[1.0, 1.0, 0.0, 2.0], [1.0, 1.0, 2.0, 2.0]]], requires_grad=True)
    y = F.max_pool2d(x, 2)
    close(y, [[[1.0, 2.0]]])
    y.sum().backward()
    close(x.grad, [[[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]]])


def test_nan_is_the_largest_and_the_last_of_several_gets_the_gradient(T, close):
    nan = float("nan")
    x = T([[nan, 1.0, nan, 3.0, 1.0, 2.0]], requires_grad=True)
    y = F.max_pool1d(x, 3)
    close(y, [[nan, 3.0]])
    y.sum().backward()
    close(x.grad, [[0.0, 0.0, 1.0, 1.0, 0.0, 0.0]])


def test_padding_is_never_the_largest(T, close):
    low = -float("inf")
    x = T([[low, low, -5.0]], requires_grad=True)
    y = F.max_pool1d(x, 2, padding=1)
    close(y, [[low, -5.0]])
    y[0, 0].backward()
    close(x.grad, [[1.0, 0.0, 0.0]])


def test_pooling_of_integers(T, close):
    x = T(np.arange(-8, 8).reshape(1, 4, 4))
    y = F.max_pool2d(x, 3, stride=2, padding=1)
    assert y.dtype == jt.int64
    close(y, [[[-3, -1], [5, 7]]])


def test_means_of_windows_do_not_see_infinity_elsewhere(T, close):
    x = np.ones((1, 1, 5))
    x[0, 0, 0] = np.inf
    close(F.adaptive_avg_pool1d(T(x), 3), [[[np.inf, 1.0, 1.0]]])
    close(F.interpolate(T(x), 7, mode="linear")[0, 0, 2:], np.ones(5))
    close(F.avg_pool1d(T(x), 2), [[[np.inf, 1.0]]])


def test_adaptive_pooling_to_nothing(T):
    assert F.adaptive_avg_pool1d(T(np.ones((1, 2, 5))), 0).shape == (1, 2, 0)
    assert F.adaptive_max_pool2d(T(np.ones((1, 2, 5, 3))), (0, 2)).shape == (1, 2, 0, 2)


# -- windows --------------------------------------------------------------------------------------------------------------


def test_where_windows_meet_x():
    """The two slices are all solutions of p * stride + k * dilation == i * spread + low, and nothing else."""
    for n, kernel, stride, low, dilation, spread in itertools.product(
        (1, 2, 5), (1, 2, 3), (1, 2, 3), (-1, 0, 2), (1, 2), (1, 2, 3)
    ):
        a = Axis(n, kernel, stride, low, 1, dilation, spread)
        places = [
            (p, k, i)
            for p in range(a.out)
            for k in range(kernel)
            for i in range(n)
            if p * stride + k * dilation == i * spread + low
        ]
        for k in range(kernel):
            found = a.at_kernel(k)
            pairs = list(zip(*(range(100)[s] for s in found), strict=True)) if found else []
            assert pairs == [(p, i) for p, j, i in places if j == k]
        for p in range(a.out):
            found = a.at_position(p)
            pairs = list(zip(*(range(100)[s] for s in found), strict=True)) if found else []
            assert pairs == [(k, i) for q, k, i in places if q == p]


def test_fold_counts_the_windows_over_each_element(T, close):
    x = T(np.arange(20.0).reshape(1, 4, 5))
    attrs = {"kernel_size": (2, 3), "padding": 1, "stride": (1, 2)}
    counts = F.fold(F.unfold(jt.ones_like(x), **attrs), output_size=(4, 5), **attrs)
    close(F.fold(F.unfold(x, **attrs), output_size=(4, 5), **attrs), (counts * x).numpy())


# -- the NumPy kernels ----------------------------------------------------------------------------------------------------


def _random_call(rng):
    n = int(rng.integers(1, 4))
    pick = lambda *values: tuple(int(rng.choice(values)) for _ in range(n))  # noqa: E731
    groups, inner, outer = (int(rng.choice((1, 1, 2, 3))) for _ in range(3))
    low, high = pick(-2, -1, 0, 1, 2, 3), pick(-1, 0, 1, 2, 3)
    x = rng.normal(size=(int(rng.integers(1, 5)), groups * inner, *pick(3, 4, 5, 6, 7)))
    weight = rng.normal(size=(groups * outer, inner, *pick(1, 2, 3, 5)))
    attrs = {"stride": pick(1, 1, 2, 3), "dilation": pick(1, 1, 2, 3), "x_dilation": pick(1, 1, 2, 4), "groups": groups}
    return x, weight, {**attrs, "padding": tuple(zip(low, high, strict=True))}


@pytest.mark.parametrize("block", [100, 2000, 2**20])
def test_every_way_of_the_convolution_kernel(block, monkeypatch):
    from jitrench_nn.kernels import conv

    monkeypatch.setattr(conv, "BLOCK", block)
    used = set()
    for name in ("_by_example", "_by_position", "_by_channel"):
        way = getattr(conv, name)
        monkeypatch.setattr(conv, name, lambda *args, name=name, way=way: used.add(name) or way(*args))
    rng = np.random.default_rng(block)
    for turn in range(150):
        x, weight, attrs = _random_call(rng)
        x = x.astype(np.float32) if turn % 5 == 0 else np.ascontiguousarray(x.T).T if turn % 5 == 1 else x
        found = conv.convolution(x, weight.astype(x.dtype), **attrs)
        assert found.dtype == x.dtype
        axes = [
            Axis(m, k, s, *p, d, e)
            for m, k, s, p, d, e in zip(
                x.shape[2:],
                weight.shape[2:],
                *(attrs[name] for name in ("stride", "padding", "dilation", "x_dilation")),
                strict=True,
            )
        ]
        if min(a.out for a in axes) < 1:
            assert found.size == 0
        else:
            tolerance = 1e-3 if x.dtype == np.float32 else 1e-10
            np.testing.assert_allclose(found, convolve(x, weight, **attrs), tolerance, tolerance)
    assert used == {"_by_example", "_by_position", "_by_channel"}


def test_kernels_are_imported_when_they_are_needed():
    import subprocess
    import sys

    code = (
        "import sys, jitrench_core as jt; jt.ops.conv2d; assert 'numpy' not in sys.modules\n"
        "jt.ops.relu6(jt.ones(2)); assert 'jitrench_nn.kernels.conv' not in sys.modules\n"
        "jt.ops.conv1d(jt.ones((1, 1, 2)), jt.ones((1, 1, 1))); assert 'jitrench_nn.kernels.conv' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
