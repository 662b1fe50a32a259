"""Sorting, quantiles, searching, sets and running results: ties, NaN, zeros, errors, and what has no derivative.

tests/test_catalogue.py holds each op to its values and to central differences.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import jitrench_core as jt

NAN, INF = math.nan, math.inf
RNG = np.random.default_rng(8)


def slope(f, x):
    """The gradient of the sum of f(x), weighted by 1, 2, 3, ..."""
    y = f(x)
    y.backward(jt.reshape(jt.arange(1.0, y.size + 1.0, device=x.device), y.shape))
    return x.grad


# -- sorting --------------------------------------------------------------------------------------------------------


def test_the_gradient_of_equal_elements_goes_by_their_order(T, close):
    values = [2.0, 1.0, 2.0, 1.0]
    close(slope(jt.sort, T(values, requires_grad=True)), [3.0, 1.0, 4.0, 2.0])
    close(slope(lambda x: jt.sort(x, descending=True), T(values, requires_grad=True)), [1.0, 3.0, 2.0, 4.0])


def test_nan_is_sorted_last(T, close):
    x = T([NAN, 2.0, -INF, NAN, INF, 0.0])
    close(jt.sort(x), [-INF, 0.0, 2.0, INF, NAN, NAN])
    close(jt.sort(x, descending=True), [NAN, NAN, INF, 2.0, 0.0, -INF])
    assert jt.argsort(x).tolist() == [2, 5, 1, 4, 0, 3]
    assert jt.argsort(x, descending=True).tolist() == [0, 3, 4, 1, 5, 2]
    close(jt.topk(x, 3).values, [NAN, NAN, INF])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int64", "uint8", "uint64"])
def test_argsort_is_stable(T, dtype):
    x = RNG.integers(0, 5, size=(4, 200)).astype(dtype)
    assert (jt.argsort(T(x)).numpy() == np.argsort(x, stable=True)).all()
    assert (jt.argsort(T(x), descending=True).numpy() == np.argsort(-x.astype(float), stable=True)).all()
    assert (jt.argsort(T(x), axis=0).numpy() == np.argsort(x, axis=0, stable=True)).all()
    assert jt.argsort(T(x), stable=False).dtype == "int64"
    assert (jt.sort(T(x), descending=True).numpy() == -np.sort(-x.astype(float))).all()
    assert jt.sort(T(x)).dtype == dtype


def test_distinct_numbers_in_a_long_array(T):
    x = RNG.normal(size=5000)
    assert (jt.argsort(T(x)).numpy() == np.argsort(x)).all()
    x[[7, 3000]] = NAN
    assert (jt.argsort(T(x)).numpy() == np.argsort(x, stable=True)).all()


def test_topk_is_a_named_tuple_with_gradients(T, close):
    x = T([[1.0, 3.0, 3.0, 2.0], [0.0, -1.0, 5.0, 0.0]], requires_grad=True)
    top = jt.topk(x, 2)
    assert top.indices.tolist() == [[1, 2], [2, 0]]
    assert top.indices.dtype == "int64"
    assert top._fields == ("values", "indices")
    close(slope(lambda x: jt.topk(x, 2).values, x), [[0, 1, 2, 0], [4, 0, 3, 0]])
    low = jt.topk(x, 3, axis=1, largest=False)
    assert low.indices.tolist() == [[0, 3, 1], [1, 0, 3]]
    close(jt.jvp(lambda x: jt.topk(x, 1).values, (x,), (x * 10.0,))[1], [[30.0], [50.0]])


def test_topk_of_many_elements_is_the_head_of_the_sorted_ones(T):
    x = RNG.integers(0, 300, size=(3, 2000)).astype(float)
    for largest in (True, False):
        order = np.argsort(-x if largest else x, axis=1, stable=True)[:, :10]
        top = jt.topk(T(x), 10, largest=largest)
        assert (top.indices.numpy() == order).all()
        assert (top.values.numpy() == np.take_along_axis(x, order, 1)).all()


# -- quantiles ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "nearest", "midpoint"])
def test_quantiles_are_numpys(T, close, method):
    for n in (1, 2, 5, 8):
        x = RNG.normal(size=n)
        q = [0.0, 0.1, 0.125, 0.25, 0.5, 5 / 6, 0.9, 1.0]
        close(jt.quantile(T(x), q, method=method), np.quantile(x, q, method=method))


def test_the_gradient_of_a_quantile_is_shared_by_weight(T, close):
    values = [4.0, 1.0, 2.0, 8.0]
    for q, method, expected in (
        (0.5, "linear", [0.5, 0.0, 0.5, 0.0]),
        (0.75, "linear", [0.75, 0.0, 0.0, 0.25]),
        (0.4, "lower", [0.0, 0.0, 1.0, 0.0]),
        (0.4, "higher", [1.0, 0.0, 0.0, 0.0]),
        (0.9, "nearest", [0.0, 0.0, 0.0, 1.0]),
        (0.1, "midpoint", [0.0, 0.5, 0.5, 0.0]),
        (1.0, "linear", [0.0, 0.0, 0.0, 1.0]),
    ):
        close(slope(lambda x, q=q, m=method: jt.quantile(x, q, method=m), T(values, requires_grad=True)), expected)
    close(slope(jt.median, T(values, requires_grad=True)), [0.5, 0.0, 0.5, 0.0])
    close(slope(jt.median, T([3.0, 1.0, 3.0], requires_grad=True)), [1.0, 0.0, 0.0])


def test_quantiles_of_infinite_and_missing_numbers(T, close):
    x = T([[1.0, NAN, 3.0], [INF, 2.0, -INF], [INF, INF, 1.0]])
    close(jt.median(x, axis=1), [NAN, 2.0, INF])
    close(jt.quantile(x, [0.0, 0.25, 1.0], axis=1), [[NAN, -INF, 1.0], [NAN, -INF, INF], [NAN, INF, INF]])


def test_quantiles_keep_dtypes_and_shapes(T):
    x = T(RNG.normal(size=(2, 3, 4)), "float32")
    assert jt.quantile(x, [0.1, 0.2]).dtype == "float32"
    assert jt.quantile(x, (0.1, 0.2), axis=(0, 2), keepdims=True).shape == (2, 1, 3, 1)
    assert jt.quantile(x, np.array([0.1]), axis=1).shape == (1, 2, 4)
    assert jt.median(T([1, 2])).item() == 1.5
    assert jt.median(3.0).item() == 3.0


# -- searching and sets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["left", "right"])
def test_searchsorted_is_numpys(T, side):
    a = np.sort(RNG.integers(0, 9, size=11)).astype(float)
    b = RNG.integers(-1, 11, size=(3, 4)).astype(float)
    shuffled = RNG.permutation(11)
    expected = np.searchsorted(a, b, side)
    assert (jt.searchsorted(T(a), T(b), side=side).numpy() == expected).all()
    sorter = T(np.argsort(shuffled))
    assert (jt.searchsorted(T(a[shuffled]), T(b), side=side, sorter=sorter).numpy() == expected).all()
    assert jt.searchsorted(T(a), 3.0, side=side).item() == np.searchsorted(a, 3.0, side)
    assert jt.searchsorted(T(a.astype(int)), 3, side=side).item() == np.searchsorted(a, 3, side)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("n", [0, 1, 7, 8, 9])
def test_searchsorted_in_a_batch(T, side, n):
    a = np.sort(RNG.integers(0, 9, size=(4, n)).astype(float))
    b = RNG.integers(-1, 11, size=(4, 2, 3)).astype(float)
    b[0, 0, 0] = NAN
    if n > 2:
        a[0, -2:] = NAN
    f = jt.vmap(lambda a, b: jt.searchsorted(a, b, side=side))
    assert (f(T(a), T(b)).numpy() == [np.searchsorted(x, y, side) for x, y in zip(a, b, strict=True)]).all()
    g = jt.vmap(lambda a: jt.searchsorted(a, T(b[1]), side=side))
    assert (g(T(a)).numpy() == [np.searchsorted(x, b[1], side) for x in a]).all()
    reverse = np.arange(n)[::-1].copy()
    h = jt.vmap(lambda a: jt.searchsorted(a, T(b[2]), side=side, sorter=T(reverse)))
    assert (h(T(a[:, ::-1])).numpy() == [np.searchsorted(x, b[2], side) for x in a]).all()


def test_isin(T):
    x = T([[1, 2], [3, 4]])
    assert jt.isin(x, T([4, 1, 1])).tolist() == [[True, False], [False, True]]
    assert jt.isin(x, T([4, 1]), invert=True).tolist() == [[False, True], [True, False]]
    assert jt.isin(T([NAN, INF]), T([NAN, INF])).tolist() == [False, True]
    assert jt.isin(3, x).item() is True
    assert jt.vmap(jt.isin)(x, T([[2], [5]])).tolist() == [[False, True], [False, False]]
    assert jt.vmap(lambda s: jt.isin(3, s))(x).tolist() == [False, True]


def test_unique(T):
    x = np.array([[3, 1, 3], [7, 1, 3]])
    found = jt.unique_all(T(x))
    assert found._fields == ("values", "indices", "inverse_indices", "counts")
    assert [t.tolist() for t in found] == [[1, 3, 7], [1, 0, 3], [[1, 0, 1], [2, 0, 1]], [2, 3, 1]]
    assert [t.tolist() for t in jt.unique_counts(T(x))] == [[1, 3, 7], [2, 3, 1]]
    assert jt.unique_counts(T(x)).counts.dtype == "int64"
    found = jt.unique_inverse(T(x))
    assert (found.values.numpy()[found.inverse_indices.numpy()] == x).all()
    assert jt.unique_values(T(x)).tolist() == [1, 3, 7]
    assert jt.unique_values(T([0.5, NAN, 0.5, NAN])).tolist()[0] == 0.5
    assert jt.unique_values(T([0.5, NAN, 0.5, NAN])).shape == (3,)
    assert jt.unique_values(T(2.0)).tolist() == [2.0]
    assert jt.unique_all(T([1.0])[:0]).counts.shape == (0,)
    assert jt.ops.unique_values(T(x)).tolist() == [1, 3, 7]


@pytest.mark.parametrize("name", ["unique_all", "unique_counts", "unique_inverse", "unique_values"])
def test_unique_says_that_it_has_no_derivative(T, name):
    function = getattr(jt, name)
    message = rf"{name}\(\) is not differentiable: how many values .* detach x: {name}\(x\.detach\(\)\)"
    with pytest.raises(jt.GradientError, match=message):
        function(T([1.0, 2.0], requires_grad=True))
    with pytest.raises(jt.GradientError, match=message):
        jt.jvp(function, (T([1.0, 2.0]),), (T([1.0, 2.0]),))
    with pytest.raises(
        jt.TransformError, match=rf"{name}\(\) cannot run under vmap: examples may have different numbers"
    ):
        jt.vmap(function)(T([[1.0, 2.0]]))
    x = T([1.0, 1.0], requires_grad=True)
    (jt.sum(jt.unique_values(x.detach())) * x).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


# -- running results ------------------------------------------------------------------------------------------------


def test_cumulative_prod_beside_zeros_to_second_order(T, close):
    """The Hessian of the last product: for i != j the product of all others."""
    values = np.array([2.0, 0.0, 3.0, 0.0, 5.0])
    expected = np.zeros((5, 5))
    for i, j in np.ndindex(5, 5):
        if i != j:
            expected[i, j] = np.prod(np.delete(values, [i, j]))
    x = T(values)
    first = jt.grad(lambda x: jt.cumulative_prod(x)[-1])
    close(first(x), np.zeros(5))
    rows = [jt.jvp(first, (x,), (T(row),))[1].numpy() for row in np.eye(5)]
    close(np.array(rows), expected)
    close(jt.grad(lambda x: jt.sum(jt.cumulative_prod(x)))(T([0.0, 2.0, 3.0])), [1 + 2 + 6, 0.0, 0.0])


def test_the_last_of_equal_extrema_has_the_gradient(T, close):
    """As PyTorch 2.13.0 gives."""
    high = jt.cummax(T([1.0, 3.0, 3.0, 2.0, NAN, 5.0, NAN]))
    assert high.indices.tolist() == [0, 1, 2, 2, 4, 4, 6]
    assert high._fields == ("values", "indices")
    close(high.values, [1.0, 3.0, 3.0, 3.0, NAN, NAN, NAN])
    low = jt.cummin(T([2.0, 2.0, 1.0, 1.0, 3.0]))
    assert low.indices.tolist() == [0, 1, 2, 3, 3]
    close(slope(lambda x: jt.cummin(x).values, T([2.0, 2.0, 1.0, 1.0, 3.0], requires_grad=True)), [1, 2, 3, 9, 0])
    close(slope(lambda x: jt.cummax(x).values, T([[1.0], [3.0]], requires_grad=True)), [[1], [2]])


def test_extrema_of_integers(T):
    x = RNG.integers(-9, 9, size=(3, 50))
    for axis in (0, 1, -1):
        assert (jt.cummax(T(x), axis=axis).values.numpy() == np.maximum.accumulate(x, axis)).all()
        assert (jt.cummin(T(x), axis=axis).values.numpy() == np.minimum.accumulate(x, axis)).all()


def test_cumulative_logsumexp_does_not_overflow(T, close):
    close(jt.cumulative_logsumexp(T([1000.0, 1000.0, -1000.0])), [1000.0, 1000 + math.log(2), 1000 + math.log(2)])
    close(jt.cumulative_logsumexp(T([-INF, 0.0, 0.0])), [-INF, 0.0, math.log(2)])


def test_running_sums_of_a_long_array(T, close):
    x = RNG.normal(size=1000)
    close(jt.cumulative_sum(T(x)), np.cumsum(x))
    close(jt.cumulative_prod(T(np.exp(x / 100))), np.exp(np.cumsum(x) / 100))
    close(slope(jt.cumulative_sum, T(x, requires_grad=True)), np.cumsum(np.arange(1.0, 1001.0)[::-1])[::-1])


def test_dtypes_of_running_results(T):
    for f in (jt.cumulative_sum, jt.cumulative_prod):
        for dtype, expected in (("int8", "int64"), ("uint16", "uint64"), ("float32", "float32"), ("complex64",) * 2):
            assert f(T([1, 2], dtype)).dtype == expected
            assert f(T([1, 2], dtype), include_initial=True).dtype == expected
        assert f(T([1, 2]), dtype=jt.float32).dtype == "float32"
        x = T([1.0, 2.0], "float32", requires_grad=True)
        f(x, dtype="float64").sum().backward()
        assert x.grad.dtype == "float32"


def test_complex_numbers_run_too(T, close):
    """With PyTorch's convention: the gradient of Re(conj(w) y) is the transposed derivative of w, conjugated."""
    z, w = RNG.normal(size=3) + 1j * RNG.normal(size=3), RNG.normal(size=3) + 1j * RNG.normal(size=3)
    x = T(z, requires_grad=True)
    jt.cumulative_sum(x).backward(T(w))
    close(x.grad, np.cumsum(w[::-1])[::-1])
    x = T(z, requires_grad=True)
    jt.diff(x).backward(T(w[:2]))
    close(x.grad, [-w[0], w[0] - w[1], w[1]])
    x = T(z, requires_grad=True)
    jt.prod(x).backward(T(w[0]))
    close(x.grad, np.conj([z[1] * z[2], z[0] * z[2], z[0] * z[1]]) * w[0])
    x = T(z, requires_grad=True)
    jt.cumulative_prod(x).backward(T(w))
    a, b, c = z
    close(x.grad, [np.conj([1, b, b * c]) @ w, np.conj([0, a, a * c]) @ w, np.conj([0, 0, a * b]) @ w])
    x = T(z, requires_grad=True)
    (jt.sum(x) + jt.mean(x)).backward(T(w[0]))
    close(x.grad, np.full(3, w[0] * 4 / 3))


def test_a_number_is_not_cut_to_an_integer():
    """Beside integers, a float stays a float."""
    x = jt.tensor([1, 2, 3], device="numpy")
    assert jt.diff(x, prepend=0.5).tolist() == [0.5, 1.0, 1.0]
    assert jt.isin(2.5, x).item() is False
    assert jt.searchsorted(x, 2.5).item() == 2
    assert jt.diff(x.astype("float32"), append=0.5).dtype == "float32"


def test_diff_joins_before_it_subtracts(T, close):
    x, first = T([[1.0, 4.0], [9.0, 16.0]]), T(2.0, requires_grad=True)
    y = jt.diff(x, prepend=first, append=0.0)
    close(y, [[-1.0, 3.0, -4.0], [7.0, 7.0, -16.0]])
    y.sum().backward()
    close(first.grad, -2.0)
    close(jt.diff(x, axis=0, n=1), [[8.0, 12.0]])
    assert jt.diff(T([1, 4], "uint8")).dtype == "uint8"


MISTAKES = {
    "sort without axes": (lambda x: jt.sort(x[0]), jt.ShapeError, "axis"),
    "argsort, axis": (lambda x: jt.argsort(x, axis=1), jt.ShapeError, "axis"),
    "too large k": (
        lambda x: jt.topk(x, 4),
        jt.ShapeError,
        r"topk\(\) got k=4 for an axis of length 3: .* in \[0, 3\]",
    ),
    "negative k": (lambda x: jt.topk(x, -1), jt.ShapeError, r"topk\(\) got k=-1"),
    "topk without axes": (lambda x: jt.topk(x[0], 1), jt.ShapeError, r"topk\(\) runs along an axis, and x has none"),
    "q": (lambda x: jt.quantile(x, [0.5, 1.5]), jt.OpError, r"quantile\(\) got q=1.5: it must be in \[0, 1\]"),
    "q is NaN": (lambda x: jt.quantile(x, NAN), jt.OpError, r"quantile\(\) got q=nan"),
    "method": (
        lambda x: jt.quantile(x, 0.5, method="hazen"),
        jt.OpError,
        r"got method='hazen'; known are 'linear', 'mid",
    ),
    "no elements": (lambda x: jt.median(x[:0]), jt.ShapeError, r"quantile\(\) or median\(\) of no elements: .* \(0,\)"),
    "no order": (lambda x: jt.median(x + 1j), jt.DTypeError, "complex128 has no order"),
    "side": (
        lambda x: jt.searchsorted(x, x, side="middle"),
        jt.OpError,
        r"searchsorted\(\) got side='middle'; expected",
    ),
    "a matrix to search": (
        lambda x: jt.searchsorted(x[None], x),
        jt.ShapeError,
        r"searchsorted\(\): x1 must be a vector.* \(1, 3\)",
    ),
    "which axis": (
        lambda x: jt.cumulative_sum(x[None]),
        jt.ShapeError,
        r"cumulative_sum\(\) of shape \(1, 3\) needs axis=",
    ),
    "which, in prod": (
        lambda x: jt.cumulative_prod(x[None]),
        jt.ShapeError,
        r"cumulative_prod\(\) of shape \(1, 3\) needs",
    ),
    "no axis": (
        lambda x: jt.cumulative_sum(x[0]),
        jt.ShapeError,
        r"cumulative_sum\(\) runs along an axis, and x has none",
    ),
    "an axis too far": (lambda x: jt.cummax(x, axis=1), jt.ShapeError, "axis 1 does not fit 1 dimension"),
    "n": (lambda x: jt.diff(x, n=-1), jt.OpError, r"diff\(\) got n=-1"),
    "joined shapes": (lambda x: jt.diff(x, prepend=x[None]), jt.ShapeError, r"concat\(\)"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_errors(name, T):
    call, error, message = MISTAKES[name]
    with pytest.raises(error, match=message):
        call(T([1.0, 2.0, 3.0]))


# -- what the standard leaves to us ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "expected"), [("lower", 1.0), ("higher", INF), ("nearest", 1.0)])
def test_one_element_alone_is_no_mean_with_an_infinite_one(T, close, method, expected):
    """Zero times infinity is NaN, so the element that does not count must not be met."""
    close(jt.quantile(T([1.0, INF]), 0.5, method=method), expected)
    close(jt.quantile(T([-INF, 1.0]), 0.25, method="higher"), 1.0)
    close(slope(lambda x: jt.quantile(x, 0.5, method="lower"), T([1.0, INF], requires_grad=True)), [1.0, 0.0])


def test_how_q_may_be_given(T):
    x = T([1.0, 2.0, 4.0])
    for q in (0.5, np.float64(0.5), np.array(0.5)):
        assert jt.quantile(x, q).tolist() == 2.0
    for q in ([0.5], (0.5,), np.array([0.5])):
        assert jt.quantile(x, q).tolist() == [2.0]
    for q in ("a", [[0.5]], np.array([[0.5]]), None):
        with pytest.raises(jt.OpError, match=r"quantile\(\) takes a number as q, or a sequence of numbers; got"):
            jt.quantile(x, q)
    with pytest.raises(jt.OpError, match=r"quantile\(\) got no q"):
        jt.quantile(x, [])


def test_a_number_is_weak_in_searches(T):
    """As everywhere, a Python float takes the dtype of the float32 beside it, alone and in a batch."""
    x = T([0.1, 0.2], "float32")
    assert jt.isin(x, 0.1).tolist() == [True, False]
    assert jt.isin(0.1, x).item() is True
    assert jt.searchsorted(x, 0.1, side="right").item() == 1
    assert jt.vmap(lambda x: jt.searchsorted(x, 0.1, side="right"))(x[None]).tolist() == [1]
    assert jt.isin(3, 3).item() is True


def test_axes_and_counts_that_do_not_fit(T):
    with pytest.raises(jt.AxisError, match="axis"):
        jt.argsort(T(1.0), descending=True)
    with pytest.raises(jt.DTypeError, match=r"topk\(\): k must be an int; got 1.0"):
        jt.topk(T([1.0]), 1.0)
    with pytest.raises(jt.DTypeError, match=r"cumulative_prod\(\): axis must be an int; got 0.0"):
        jt.cumulative_prod(T([1.0]), axis=0.0)
    with pytest.raises(jt.DTypeError, match=r"diff\(\): axis must be an int; got 0.0"):
        jt.diff(T([1.0]), axis=0.0)


def test_logsumexp_of_no_elements(T, close):
    """As SciPy and PyTorch: the logarithm of an empty sum."""
    x = T(np.zeros((2, 0, 3)))
    close(jt.logsumexp(x, axis=1), np.full((2, 3), -INF))
    close(jt.logsumexp(x, axis=(0, 1), keepdims=True), np.full((1, 1, 3), -INF))
    assert jt.logsumexp(T(np.zeros((0,)), "float32")).dtype == "float32"
    assert jt.logsumexp(x, axis=0).shape == (0, 3)
    assert jt.grad(lambda x: jt.where(jt.logsumexp(x) < 0, 1.0, 0.0))(T(np.zeros((0,)))).shape == (0,)
