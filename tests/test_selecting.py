"""Moving, picking and placing elements: what the battery of every op does not see."""

from __future__ import annotations

import numpy as np
import pytest

import jitrench_core as jt

INDEX = np.array([[0, 2, 2], [1, 1, 0]])


def both_ways(f, x, direction):
    """The gradient of f by reverse mode along ``direction``, and the jvp: they must be the same number."""
    pulled = (jt.grad(f)(x) * direction).sum().item()
    pushed = jt.jvp(f, (x,), (direction,))[1].item()
    assert pulled == pytest.approx(pushed, rel=1e-12)
    return pulled


# -- shapes -----------------------------------------------------------------------------------------------------------


def test_concat_of_numbers_says_stack(T):
    with pytest.raises(jt.ShapeError, match=r"concat\(\) joins along an axis .*a number has none: use jt\.stack"):
        jt.concat([T(1.0), T(2.0)])
    assert jt.concat([T(1.0), T(2.0)], axis=None).tolist() == [1.0, 2.0]


def test_split_and_unstack(T):
    x = T(np.arange(24.0).reshape(2, 3, 4))
    for parts, expected in [
        (jt.split(x, 2, axis=-1), np.split(x.numpy(), 2, -1)),
        (jt.split(x, [1, 3], axis=2), np.split(x.numpy(), [1, 3], 2)),
        (jt.split(x, [-1, 9], axis=1), np.split(x.numpy(), [-1, 9], 1)),
        (jt.split(x, [], axis=1), [x.numpy()]),
        (jt.unstack(x, axis=1), list(np.moveaxis(x.numpy(), 1, 0))),
    ]:
        assert isinstance(parts, tuple)
        assert [p.tolist() for p in parts] == [e.tolist() for e in expected]
    with pytest.raises(
        jt.ShapeError, match=r"axis 1 of length 3 does not divide into 2 equal section\(s\).*split\(x, \["
    ):
        jt.split(x, 2, axis=1)
    with pytest.raises(jt.ShapeError, match="does not divide into 0"):
        jt.split(x, 0)


@pytest.mark.parametrize("n", [3, 40])
def test_gradients_of_many_parts_are_joined_once(T, n, monkeypatch):
    """However many parts: one kernel joins them, in one array of zeros."""
    sizes = []

    def counting(kernel):
        return lambda *arrays, **attrs: (sizes.append(len(arrays)), kernel(*arrays, **attrs))[1]

    def gradient(parts_of):
        x = T(np.arange(float(n)), requires_grad=True)
        total = 0.0
        for i, part in enumerate(parts_of(x)):
            total = total + part.sum() * float(i)
        total.backward()
        return x.grad.tolist()

    gradient(jt.unstack), gradient(lambda x: jt.split(x, n))
    kernels = jt.ops.scatter_pieces.op.kernels
    for key, kernel in list(kernels.items()):
        monkeypatch.setitem(kernels, key, counting(kernel))
    monkeypatch.setattr(jt.graph.ops, "zeros", None)
    for parts_of in (jt.unstack, lambda x: jt.split(x, n), lambda x: jt.split(x, list(range(1, n)))):
        assert gradient(parts_of) == list(range(n))
    assert sizes == [n] * 3


def test_an_unused_part_has_a_gradient_of_zero(T):
    x = T(np.ones((3, 2)))
    assert jt.grad(lambda x: (jt.unstack(x)[1] ** 2).sum())(x).tolist() == [[0, 0], [2, 2], [0, 0]]


def test_broadcasting_of_arrays_and_shapes(T):
    a, b, c = jt.broadcast_arrays(T([[1.0], [2.0]]), T([1.0, 2.0, 3.0]), T(5.0))
    assert a.shape == b.shape == c.shape == (2, 3)
    assert jt.broadcast_shapes() == ()
    assert jt.broadcast_shapes((0, 1), (1, 4), (4,)) == (0, 4)
    with pytest.raises(jt.ShapeError, match=r"\(2, 3\) and \(4,\) do not broadcast: from the last axis back"):
        jt.broadcast_shapes((2, 3), (4,))
    g = jt.grad(lambda x: (jt.broadcast_arrays(x, T(np.ones((2, 3))))[0] * 2.0).sum())(T([1.0, 2.0, 3.0]))
    assert g.tolist() == [4.0, 4.0, 4.0]


def test_meshgrid(T):
    x, y, z = T([1.0, 2.0]), T([3.0, 4.0, 5.0]), T([6.0])
    for indexing in ("xy", "ij"):
        for arrays in ((x, y, z), (x, y), (x,), ()):
            expected = np.meshgrid(*(a.numpy() for a in arrays), indexing=indexing)
            assert [g.tolist() for g in jt.meshgrid(*arrays, indexing=indexing)] == [e.tolist() for e in expected]
    gx, gy = jt.grad(lambda x, y: jt.multiply(*jt.meshgrid(x, y)).sum(), argnums=(0, 1))(x, y)
    assert (gx.tolist(), gy.tolist()) == ([12.0, 12.0], [3.0, 3.0, 3.0])
    with pytest.raises(jt.OpError, match="indexing must be 'xy' or 'ij', got 'yx'"):
        jt.meshgrid(x, indexing="yx")
    with pytest.raises(jt.ShapeError, match=r"takes 1-d arrays, got shapes \(1, 2\)"):
        jt.meshgrid(x[None])
    with pytest.raises(jt.DTypeError, match="one dtype, got float64, int64"):
        jt.meshgrid(x, T([1, 2]))


def test_repeat_by_an_array(T):
    x = T([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    times = T([2, 0, 1])
    f = lambda x: jt.repeat(x, times, axis=1)  # noqa: E731
    assert f(x).tolist() == np.repeat(x.numpy(), [2, 0, 1], 1).tolist()
    assert jt.repeat(x, T([2]), axis=0).shape == (4, 3)
    assert jt.repeat(x, T(2)).shape == (12,)
    assert jt.repeat(x, T([1, 0, 0, 0, 0, 2])).tolist() == [1.0, 6.0, 6.0]
    weight = T([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]])
    # PyTorch's repeat_interleave has the same gradient: each element adds up its copies'
    assert jt.grad(lambda x: (f(x) * weight).sum())(x).tolist() == [[3.0, 0.0, 4.0], [24.0, 0.0, 32.0]]
    both_ways(lambda x: (f(x) ** 3).sum(), x, weight)
    assert jt.vmap(lambda r: jt.repeat(r, times))(x).tolist() == f(x).tolist()
    with pytest.raises(jt.ShapeError, match="2 repeats came for axis 1 of length 3"):
        jt.repeat(x, T([1, 2]), axis=1)
    with pytest.raises(jt.ShapeError, match="must not be negative"):
        jt.repeat(x, T([1, -2, 1]), axis=1)
    with pytest.raises(jt.ShapeError, match="must not be negative, got -1"):
        jt.repeat(x, -1)
    with pytest.raises(jt.DTypeError, match=r"repeats must be an int or integers along one axis; got float64 \(1,\)"):
        jt.repeat(x, T([1.0]))
    with pytest.raises(jt.TransformError, match="differ between the examples of vmap"):
        jt.vmap(lambda r, n: jt.repeat(r, n))(x, T([[1, 1, 1], [1, 0, 2]]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: jt.moveaxis(x, (0, 1), 0), jt.ShapeError, "must have the same length"),
        (lambda x: jt.moveaxis(x, 2, 0), jt.ShapeError, r"axis \(2,\) does not fit 2 dimension"),
        (lambda x: jt.tril(x[0]), jt.ShapeError, r"tril\(\) needs at least 2 dimensions, got shape \(3,\)"),
        (lambda x: jt.vmap(jt.triu)(x), jt.ShapeError, r"triu\(\) needs at least 2 dimensions, got shape \(3,\)"),
        (lambda x: jt.diag(x[0, 0]), jt.ShapeError, r"diag\(\) needs a vector"),
        (lambda x: jt.tile(x, (2, -1)), jt.ShapeError, "repetitions must not be negative"),
        (lambda x: jt.pad(x, -1), jt.ShapeError, "take a slice to make x smaller"),
        (lambda x: jt.pad(x, ((1, 1),) * 3), jt.ShapeError, r"does not fit 2 dimension\(s\): give a number, a pair"),
        (lambda x: jt.pad(x, 1, "mirror"), jt.OpError, "mode 'mirror' is not one of 'constant', 'edge'"),
        (lambda x: jt.pad(x, 1, "mean", stat_length=0), jt.ShapeError, "stat_length must be at least 1, got 0"),
        (lambda x: jt.pad(x.astype(int), 1, "median"), jt.DTypeError, "mode 'median' of int64 makes other numbers"),
        (lambda x: jt.pad(x[:0], 1, "edge"), jt.ShapeError, "has nothing to repeat along axis 0"),
    ],
)
def test_what_shapes_refuse(T, call, error, message):
    with pytest.raises(error, match=message):
        call(T([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))


def test_nothing_aliases(T):
    """A result is a Tensor of its own also where nothing had to be done."""
    x = T([[1.0, 2.0]])
    for f in (
        lambda x: jt.pad(x, 0),
        lambda x: jt.pad(x, 0, "edge"),
        lambda x: jt.split(x, 1)[0],
        lambda x: jt.broadcast_arrays(x, x)[0],
        lambda x: jt.tile(x, (1, 1)),
        lambda x: jt.repeat(x, 1, axis=0),
        lambda x: jt.moveaxis(x, 0, 0),
        lambda x: x.at[()].get(),
    ):
        y = f(x)
        y += 1.0
        assert x.tolist() == [[1.0, 2.0]]


def test_copy(T):
    x = T([1.0, 2.0, 3.0, 4.0])
    for copy in (None, True, False):
        assert jt.reshape(x, (2, 2), copy=copy).tolist() == [[1.0, 2.0], [3.0, 4.0]]
        assert jt.grad(lambda x, copy=copy: (jt.reshape(x, (2, 2), copy=copy)[0] ** 2).sum())(x).tolist() == [
            2,
            4,
            0,
            0,
        ]
    assert jt.astype(x, "float32", copy=False).dtype == jt.float32
    assert jt.astype(x, jt.int32, device=x.device).dtype == jt.int32
    if x.device == "numpy":
        assert np.shares_memory(jt.reshape(x, (2, 2), copy=False).data, x.data)
        assert not np.shares_memory(jt.reshape(x, (2, 2), copy=True).data, x.data)
        with pytest.raises(jt.ShapeError, match="Unable to avoid creating a copy"):
            jt.reshape(jt.reshape(x, (2, 2)).mT, (4,), copy=False)
        assert jt.astype(x, "float64", copy=False).data is x.data
        assert jt.astype(x, "float64").data is not x.data


# PyTorch 2.13: F.pad of arange(1, 5) by (2, 3), and its gradient for the weights 1, 2, 3, ...
PADS = {
    "constant": ([0, 0, 1, 2, 3, 4, 0, 0, 0], [3, 4, 5, 6]),
    "reflect": ([3, 2, 1, 2, 3, 4, 3, 2, 1], [12, 14, 13, 6]),
    "replicate": ([1, 1, 1, 2, 3, 4, 4, 4, 4], [6, 4, 5, 30]),
    "circular": ([3, 4, 1, 2, 3, 4, 1, 2, 3], [10, 12, 15, 8]),
}


@pytest.mark.parametrize("mode", PADS)
def test_pad_as_pytorch(T, mode):
    values, gradient = PADS[mode]
    x = T([1.0, 2.0, 3.0, 4.0])
    assert jt.pad(x, (2, 3), mode).tolist() == values
    weight = T(np.arange(1.0, 10.0))
    assert jt.grad(lambda x: (jt.pad(x, (2, 3), mode) * weight).sum())(x).tolist() == gradient


@pytest.mark.parametrize("width", [2, ((7, 0), (0, 9)), ((0, 0), (1, 5))])
def test_pad_is_numpys(T, width):
    host = np.random.default_rng(1).normal(size=(3, 4))
    for mode in (
        "constant",
        "edge",
        "reflect",
        "symmetric",
        "wrap",
        "linear_ramp",
        "maximum",
        "mean",
        "median",
        "minimum",
    ):
        np.testing.assert_allclose(jt.pad(T(host), width, mode).numpy(), np.pad(host, width, mode), rtol=1e-14)


def test_pad_with_anything(T):
    x = T([1.0, 2.0], requires_grad=True)
    y = jt.pad(x, (1, 2), "empty")
    assert (y.shape, y[1:3].tolist()) == ((5,), [1.0, 2.0])
    y[1:3].sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_pad_keeps_the_dtype(T):
    assert jt.pad(T([1, 2], "int32"), 1, constant_values=7).tolist() == [7, 1, 2, 7]
    assert jt.pad(T([1, 2], "int32"), 1).dtype == jt.int32
    assert jt.pad(T([True]), 1).tolist() == [False, True, False]


# -- indexing ---------------------------------------------------------------------------------------------------------


def test_boolean_arrays_without_dimension(T):
    x = T([[1.0, 2.0], [3.0, 4.0]])
    yes, no = T(True), T(False)
    for key in (lambda b: b, lambda b: (b, 0), lambda b: (b, ..., None), lambda b: (slice(1), b)):
        for flag, tensor in ((True, yes), (False, no)):
            assert x[key(tensor)].tolist() == x.numpy()[key(np.array(flag))].tolist()
    assert jt.grad(lambda x: (x[yes] * 3.0).sum())(x).tolist() == [[3.0, 3.0], [3.0, 3.0]]
    x[yes] = 0.0
    assert x.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    y = T(5.0)
    assert (y[()].item(), y[None].shape, y[..., None].shape, y[yes].shape, y[no].shape) == (5.0, (1,), (1,), (1,), (0,))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (3, "axis 0 with size 3|for axis 0"),
        ((0, -5), "axis 1 with size 4|for axis 1"),
        (([0, 3],), "out of bounds for axis 0 with size 3"),
        ((slice(None), [-5]), "out of bounds for axis 1 with size 4"),
        ((0, 0, 0), "too many indices|Expected"),
    ],
)
def test_out_of_bounds(T, key, message):
    x = T(np.zeros((3, 4)))
    for call in (lambda: x[key], lambda: x.at[key].set(1.0)):
        with pytest.raises(jt.BoundsError, match=message):
            call()


def test_out_of_bounds_in_take_and_gather(T):
    x = T(np.zeros((3, 4)))
    for f in (
        lambda: jt.take(x, T([3]), axis=0),
        lambda: jt.gather(x, T([[3]]), 0),
        lambda: jt.take_along_axis(x, T([[3]]), axis=0),
        lambda: jt.index_add(x, T([3]), T(np.zeros((1, 4))), 0),
    ):
        with pytest.raises(jt.BoundsError, match="out of bounds for axis 0 with size 3"):
            f()
    with pytest.raises(jt.BoundsError, match=r"out of bounds for 3 classes: it must be in \[0, 3\)"):
        jt.one_hot(T([0, 3]), 3)
    with pytest.raises(jt.BoundsError, match="out of bounds for 3 classes"):
        jt.one_hot(T([-1]), 3)


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "int32", "bool"])
def test_other_numbers_move_as_well(T, dtype):
    x = T(np.arange(6).reshape(2, 3), dtype)
    host = x.numpy()
    assert jt.roll(x, 1).tolist() == np.roll(host, 1).tolist()
    assert jt.tril(x).tolist() == np.tril(host).tolist()
    assert jt.pad(x, 1, "wrap").tolist() == np.pad(host, 1, "wrap").tolist()
    assert jt.diag(x[0]).tolist() == np.diag(host[0]).tolist()
    assert jt.repeat(x, 2).tolist() == np.repeat(host, 2).tolist()
    assert x[T([1, 0, 1])].tolist() == host[[1, 0, 1]].tolist()
    assert x.at[0].set(x[1]).tolist() == [host[1].tolist()] * 2
    assert jt.count_nonzero(x).item() == 5
    assert [i.tolist() for i in jt.nonzero(x)] == [i.tolist() for i in np.nonzero(host)]
    if dtype != "bool":
        assert x.at[T([0, 0])].add(x[1]).tolist() == [(host[0] + 2 * host[1]).tolist(), host[1].tolist()]
    for y in (jt.roll(x, 1), jt.pad(x, 1), jt.diag(x), x.at[T([0])].set(x[:1])):
        assert y.dtype == x.dtype


def test_complex_scalars_are_written(T):
    x = T([1j, 2j])
    x[0] = 1 + 1j
    x[T([1])] = 3 - 1j
    assert x.tolist() == [1 + 1j, 3 - 1j]
    with pytest.raises((jt.DTypeError, jt.JITrenchError)):
        T([1.0])[0] = 1j


# -- taking, gathering, adding at places ------------------------------------------------------------------------------


def test_gather_and_scatter_add_as_pytorch(T):
    """The numbers are torch.gather's and torch.scatter_add's (2.13), and their gradients', for the weights 1, 2, 3, ...

    PyTorch refuses the gradient of a ``src`` that is longer than ``index``; here what was not added gets zero.
    """
    x = T(np.arange(1.0, 13.0).reshape(3, 4))
    index, weight = T(INDEX), T(np.arange(1.0, 7.0).reshape(2, 3))
    assert jt.gather(x, index, 1).tolist() == [[1, 3, 3], [6, 6, 5]]
    assert jt.gather(x, index, 0).tolist() == [[1, 10, 11], [5, 6, 3]]
    assert jt.grad(lambda x: (jt.gather(x, index, 1) * weight).sum())(x).tolist() == [
        [1, 0, 5, 0], [6, 9, 0, 0], [0, 0, 0, 0],
    ]  # fmt: skip
    src = T(np.arange(10.0, 18.0).reshape(2, 4))
    added = jt.scatter_add(x, index, src, 1)
    assert added.tolist() == [[11, 2, 26, 4], [21, 35, 7, 8], [9, 10, 11, 12]]
    w = T(np.arange(1.0, 13.0).reshape(3, 4))
    gx, gs = jt.grad(lambda x, s: (jt.scatter_add(x, index, s, 1) * w).sum(), argnums=(0, 1))(x, src)
    assert gx.tolist() == w.tolist()
    assert gs.tolist() == [[1, 3, 3, 0], [6, 6, 5, 0]]


def test_take_along_axis_sorts(T):
    x = T([[3.0, 1.0, 2.0], [5.0, 6.0, 4.0]])
    assert jt.take_along_axis(x, jt.argsort(x, axis=1), axis=1).tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("function", [jt.take, jt.gather, jt.take_along_axis])
def test_batched_indices(T, function):
    x = T(np.arange(24.0).reshape(2, 3, 4))
    index = T(np.stack([INDEX, 2 - INDEX]))
    axis = {"axis": 0}
    for args, in_axes in (((x, index), 0), ((x[0], index), (None, 0)), ((x, index[0]), (0, None))):
        if function is jt.take_along_axis:
            args = (args[0][..., :3], args[1][..., :1, :])
        f = lambda x, i: (function(x, i, **axis) ** 2).sum()  # noqa: E731
        rows = [
            [a[i] if ax == 0 else a for a, ax in zip(args, np.broadcast_to(in_axes, 2), strict=True)] for i in range(2)
        ]
        for g in (f, jt.grad(f), lambda x, i, f=f: jt.jvp(lambda x: jt.grad(f)(x, i), (x,), (x,))[1]):
            assert jt.vmap(g, in_axes=in_axes)(*args).tolist() == [g(*row).tolist() for row in rows]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: jt.take(x, x), jt.DTypeError, r"take\(\) takes indices of an integer dtype; got float64"),
        (
            lambda x: jt.take(x, jt.asarray([0], device=x.device)),
            jt.ShapeError,
            r"take\(\) of 2 dimensions needs axis=",
        ),
        (lambda x: jt.gather(x, jt.zeros(1, dtype=int, device=x.device), 0), jt.ShapeError, "the same number of axes"),
        (
            lambda x: jt.gather(x, jt.zeros((1, 9), dtype=int, device=x.device), 0),
            jt.ShapeError,
            r"longer than x, \(2, 3\)",
        ),
        (
            lambda x: jt.take_along_axis(x, jt.zeros((2, 2), dtype=int, device=x.device), axis=0),
            jt.ShapeError,
            r"shapes \(2, 3\) of x and \(2, 2\) of indices must broadcast",
        ),
        (
            lambda x: jt.scatter_add(x, jt.zeros((2, 3), dtype=int, device=x.device), x[:1], 0),
            jt.ShapeError,
            r"longer than src, \(1, 3\)",
        ),
        (
            lambda x: jt.scatter_add(x, jt.zeros((2, 3), dtype=int, device=x.device), x[0], 0),
            jt.ShapeError,
            "as many axes",
        ),
        (
            lambda x: jt.index_add(x, jt.asarray([0], device=x.device), x, 0),
            jt.ShapeError,
            r"a source of shape \(1, 3\); got \(2, 3\)",
        ),
        (
            lambda x: jt.index_add(jt.astype(x, int), jt.asarray([0], device=x.device), x[:1], 0),
            jt.DTypeError,
            "float64 cannot go into x of int64: convert x first",
        ),
        (lambda x: x.at[0].add(x), jt.ShapeError, r"a value of shape \(2, 3\) does not broadcast to the shape \(3,\)"),
        (
            lambda x: x.astype(int).at[0].add(0.5),
            jt.DTypeError,
            r"x.at\[...\].add\(\): float64 cannot go into x of int64",
        ),
        (lambda x: x.astype(int).at[0].divide(2), jt.DTypeError, "makes floating-point numbers"),
        (lambda x: (x > 0).at[0].add(x[0] > 0), jt.DTypeError, "cannot go into x of bool"),
        (lambda x: jt.nonzero(x[0, 0]), jt.ShapeError, r"nonzero\(\) of a 0-d tensor"),
        (lambda x: jt.vmap(jt.nonzero)(x), jt.TransformError, "a different number of elements in each example"),
        (lambda x: jt.one_hot(x, 3), jt.DTypeError, r"one_hot\(\) takes indices of an integer dtype; got float64"),
    ],
)
def test_what_selecting_refuses(T, call, error, message):
    with pytest.raises(error, match=message):
        call(T([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))


# -- x.at[key] --------------------------------------------------------------------------------------------------------


def test_at_leaves_x_alone_and_is_what_numpy_does(T):
    x = T(np.arange(1.0, 7.0))
    i, v = T([0, 2, 0, -1]), T([2.0, 3.0, 5.0, 7.0])
    ufuncs = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide,
              "min": np.minimum, "max": np.maximum}  # fmt: skip
    for name, ufunc in ufuncs.items():
        for key, value in ((i, v), (slice(1, 5), v), (i, 2.0), (x > 3.0, v[:3]), (..., 4), (T([], "int64"), 1.0)):
            expected = x.numpy().copy()
            host = key.numpy() if isinstance(key, jt.Tensor) else key
            ufunc.at(expected, host, value.numpy() if isinstance(value, jt.Tensor) else value)
            found = getattr(x.at[key], name)(value)
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-15)
    assert x.at[i].set(v).tolist() == [5.0, 2.0, 3.0, 4.0, 5.0, 7.0]
    assert x.at[i].get().tolist() == [1.0, 3.0, 1.0, 6.0]
    assert x.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert x.astype("float32").at[0].add(0.1).dtype == jt.float32


@pytest.mark.parametrize("name", ["set", "add", "subtract", "multiply", "divide", "min", "max"])
def test_derivatives_of_at(T, name):
    """Reverse, forward, second order and batches of indices, with repeated ones, against central differences."""
    x, v = T([0.5, 1.5, -2.0, 3.0]), T([1.25, -0.75, 2.0, 0.8, 1.1])
    i = T([0, 2, 0, 0, 3])
    f = lambda x, v, i=i: (getattr(x.at[i], name)(v) ** 3).sum()  # noqa: E731
    h = 1e-6
    for k, (g, a) in enumerate(zip(jt.grad(f, argnums=(0, 1))(x, v), (x, v), strict=True)):
        for j in range(a.size):
            step = a.at[j].add(h) - a
            ends = [f(*[b + s * step if m == k else b for m, b in enumerate((x, v))]).item() for s in (1.0, -1.0)]
            assert g[j].item() == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-6, abs=1e-6)
        both_ways(lambda a, k=k: f(*((a, v) if k == 0 else (x, a))), a, a * a)
    slope = lambda x, v: jt.jvp(lambda x, v: f(x, v), (x, v), (x * x, v * v))[1]  # noqa: E731
    g = jt.grad(slope, argnums=1)(x, v)
    moved = [slope(x, v.at[1].add(s * h)).item() for s in (1.0, -1.0)]
    assert g[1].item() == pytest.approx((moved[0] - moved[1]) / (2 * h), rel=1e-5, abs=1e-5)
    rows = T([[0, 2, 0, 0, 3], [1, 1, 1, 1, 1], [3, 2, 1, 0, -1]])
    for transform in (f, jt.grad(f), jt.grad(f, argnums=1)):
        found = jt.vmap(lambda i: transform(x, v, i))(rows)  # noqa: B023
        np.testing.assert_allclose(found.numpy(), [transform(x, v, i).numpy() for i in jt.unstack(rows)], rtol=1e-13)


def test_products_at_a_place_are_exact_beside_zeros(T):
    x, v, i = T([2.0, 3.0]), T([0.0, 5.0, 7.0]), T([0, 0, 0])
    assert jt.grad(lambda v: x.at[i].multiply(v).sum())(v).tolist() == [70.0, 0.0, 0.0]
    assert jt.grad(lambda x: x.at[i].multiply(v).sum())(x).tolist() == [0.0, 1.0]


def test_extrema_at_a_place_share_a_tie_evenly(T):
    """As PyTorch's scatter_reduce with amax: x and two values are equal, each gets a third."""
    x, v, i = T([2.0, 1.0]), T([2.0, 2.0, 0.5]), T([0, 0, 1])
    gx, gv = jt.grad(lambda x, v: x.at[i].max(v).sum(), argnums=(0, 1))(x, v)
    np.testing.assert_allclose(gx.numpy(), [1 / 3, 1.0], rtol=1e-15)
    np.testing.assert_allclose(gv.numpy(), [1 / 3, 1 / 3, 0.0], rtol=1e-15)


def test_what_set_overwrites_has_no_gradient(T):
    x, v = T([1.0, 2.0, 3.0]), T([4.0, 5.0])
    gx, gv = jt.grad(lambda x, v: (x.at[T([1, 1])].set(v) * T([1.0, 10.0, 100.0])).sum(), argnums=(0, 1))(x, v)
    assert (gx.tolist(), gv.tolist()) == ([1.0, 0.0, 100.0], [0.0, 10.0])


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_gradients_of_large_arrays_add_up(T, dtype):
    """Enough of them for the ways a backend takes with large arrays: rows, axes within, places, masks."""
    rng = np.random.default_rng(3)
    host = rng.normal(size=(40, 30)).astype(dtype)
    rows, columns = rng.integers(0, 40, 60), rng.integers(0, 30, 45)
    for key in ((rows,), (slice(None), columns), (slice(5, 35), columns), (rows[:40, None], columns), (host.real > 0,)):
        weight = rng.integers(1, 9, size=host[key].shape).astype(dtype)
        expected = np.zeros_like(host)
        np.add.at(expected, key, weight)
        x, w = T(host), T(weight)
        found = jt.grad(
            lambda x, key=key, w=w: jt.real((x[tuple(T(k) if hasattr(k, "shape") else k for k in key)] * w).sum())
        )(x)
        assert found.dtype == x.dtype
        assert found.tolist() == expected.tolist()
    for times in (2, 3, 7, 9):
        weight = T(rng.integers(1, 9, size=(40, 30 * times)).astype(dtype))
        found = jt.grad(lambda x, n=times, w=weight: jt.real((jt.repeat(x, n, axis=1) * w).sum()))(T(host))
        assert found.tolist() == weight.numpy().reshape(40, 30, times).sum(axis=-1).tolist()


NESTED = {
    "at.multiply": lambda x, i: x.at[i].multiply(x[:3] + 2.0),
    "at.mul": lambda x, i: x.at[i].mul(x[:3] + 2.0),
    "at.max": lambda x, i: x.at[i].max(x[1:]),
    "gather": lambda x, i: jt.gather(x, i, 0) * x[:3],
    "scatter_add": lambda x, i: jt.scatter_add(x, i, x[:3] ** 2, 0),
    "apply_where": lambda x, i: jt.apply_where(x > 0.0, lambda a: a * jt.log(a), x)[i],
    "pad": lambda x, i: jt.pad(x, 2, "reflect") ** 2,
    "repeat": lambda x, i: jt.repeat(x, 2) ** 2,
}


@pytest.mark.parametrize("name", NESTED)
def test_transforms_nest(T, name):
    """Two batches, of x and of the indices, around and inside of derivatives of either mode: as a loop."""
    f = lambda x, i: (NESTED[name](x, i) ** 2).sum()  # noqa: E731
    xs = T([[0.5, -1.5, 2.0, 3.0], [1.5, 2.5, -0.5, 0.25]])
    rows = T([[0, 2, 0], [1, 1, 3], [3, 2, 1]])
    hvp = lambda x, i: jt.jvp(lambda x: jt.grad(f)(x, i), (x,), (x * x,))[1]  # noqa: E731
    other = lambda x, i: jt.grad(lambda x: jt.jvp(lambda x: f(x, i), (x,), (x.detach() ** 2,))[1])(x)  # noqa: E731
    expected = np.array([[hvp(x, i).numpy() for i in jt.unstack(rows)] for x in jt.unstack(xs)])
    for g in (hvp, other):
        inner = lambda x, g=g: jt.vmap(lambda i: g(x, i))(rows)  # noqa: E731
        np.testing.assert_allclose(jt.vmap(inner)(xs).numpy(), expected, rtol=1e-12)
    both = jt.vmap(jt.vmap(f, in_axes=(None, 0)), in_axes=(0, None))
    total = jt.grad(lambda xs: both(xs, rows).sum())(xs)
    loop = [sum(jt.grad(f)(x, i).numpy() for i in jt.unstack(rows)) for x in jt.unstack(xs)]
    np.testing.assert_allclose(total.numpy(), loop, rtol=1e-12)


# -- counting and classes -----------------------------------------------------------------------------------------------


def test_nonzero(T):
    for host in (np.array([0.0, 1.0, np.nan]), np.eye(3), np.zeros((2, 0)), np.ones((2, 2, 2)) > 0):
        assert [i.tolist() for i in jt.nonzero(T(host))] == [i.tolist() for i in np.nonzero(host)]
    assert jt.count_nonzero(T([0.0, np.nan, -0.0])).item() == 1
    assert jt.vmap(jt.count_nonzero)(T(np.eye(3))).tolist() == [1, 1, 1]


def test_one_hot(T):
    y = jt.one_hot(T([[0], [2]]), 3, dtype="float32")
    assert (y.tolist(), y.dtype) == ([[[1, 0, 0]], [[0, 0, 1]]], jt.float32)
    assert jt.vmap(lambda i: jt.one_hot(i, 2))(T([0, 1])).tolist() == [[1, 0], [0, 1]]


# -- a function of the selected elements alone --------------------------------------------------------------------------


def root(x):
    """Fails the test where it is given what was not selected."""
    if not hasattr(x.data, "value"):
        assert (x.numpy() > 0).all()
    return jt.sqrt(x)


def test_apply_where(T):
    x = T([4.0, 0.0, -1.0, np.nan])
    f = lambda x: jt.apply_where(x > 0, root, x)  # noqa: E731
    assert f(x).tolist() == [2.0, 0.0, 0.0, 0.0]
    assert jt.apply_where(x > 0, root, x, fill_value=-1.0).tolist() == [2.0, -1.0, -1.0, -1.0]
    assert jt.grad(lambda x: f(x).sum())(x).tolist() == [0.25, 0.0, 0.0, 0.0]
    y, t = jt.jvp(f, (x,), (T([1.0, 1.0, 1.0, 1.0]),))
    assert (y.tolist(), t.tolist()) == ([2.0, 0.0, 0.0, 0.0], [0.25, 0.0, 0.0, 0.0])
    second = jt.grad(lambda x: jt.grad(lambda x: f(x).sum())(x).sum())(x)
    assert second.tolist() == [-1 / 32, 0.0, 0.0, 0.0]
    assert jt.jvp(lambda x: jt.grad(lambda x: f(x).sum())(x), (x,), (x,))[1].tolist() == [-0.125, 0.0, 0.0, 0.0]


def test_apply_where_broadcasts_and_takes_several_arrays(T):
    cond, x, y = T([[True], [False]]), T([1.0, 2.0]), T([[3.0], [0.0]])
    f = lambda x, y: jt.apply_where(cond, lambda a, b: a / b, x, y).sum()  # noqa: E731
    gx, gy = jt.grad(f, argnums=(0, 1))(x, y)
    np.testing.assert_allclose(gx.numpy(), [1 / 3, 1 / 3])
    np.testing.assert_allclose(gy.numpy(), [[-1 / 3], [0.0]])
    assert jt.apply_where(T([True, False]), lambda a, b: a + b, x, 1.0).tolist() == [2.0, 0.0]
    assert jt.apply_where(T([False, False]), root, x).tolist() == [0.0, 0.0]
    assert jt.apply_where(T(True), root, T(4.0)).item() == 2.0
    assert jt.apply_where(T([True, False]), root, T([4.0, 1.0], "float32")).dtype == jt.float32


def test_apply_where_under_vmap(T):
    """Examples select different elements; no warning of a root of -1, no NaN; also where an example selects none."""
    x = T([[4.0, 0.0, -1.0], [0.0, 9.0, 16.0], [1.0, 1.0, 1.0]])
    f = lambda x: jt.apply_where(x > 0, root, x, fill_value=5.0)  # noqa: E731
    assert jt.vmap(f)(x).tolist() == [[2, 5, 5], [5, 3, 4], [1, 1, 1]]
    slope = jt.grad(lambda x: f(x).sum())
    expected = [[0.25, 0, 0], [0, 1 / 6, 0.125], [0.5, 0.5, 0.5]]
    np.testing.assert_allclose(jt.vmap(slope)(x).numpy(), expected)
    assert jt.grad(lambda x: jt.vmap(f)(x).sum())(x).tolist() == jt.vmap(slope)(x).tolist()
    found = jt.vmap(lambda x: jt.jvp(f, (x,), (x * 0.0 + 1.0,))[1])(x)
    np.testing.assert_allclose(found.numpy(), expected)
    second = jt.vmap(jt.grad(lambda x: slope(x).sum()))(x)
    np.testing.assert_allclose(second.numpy()[:2], [[-1 / 32, 0, 0], [0, -1 / 108, -1 / 256]])
    same = T([True, False, True])  # one mask for all examples: nothing to hide
    assert jt.vmap(lambda x: jt.apply_where(same, jt.exp, x * 0.0))(x).tolist() == [[1, 0, 1]] * 3
    w = T(3.0)
    of_closure = jt.grad(lambda w: jt.vmap(lambda x: jt.apply_where(x > 0, lambda a: jt.log(w * a), x))(x).sum())(w)
    assert of_closure.item() == pytest.approx(2.0)


@pytest.mark.filterwarnings("ignore:(divide by zero|invalid value) encountered:RuntimeWarning")
def test_apply_where_under_vmap_with_nothing_selected(T):
    x = T([[-1.0, 0.0], [4.0, 0.0]])
    f = lambda x: jt.apply_where(x > 0, jt.sqrt, x)  # noqa: E731
    assert jt.vmap(f)(x).tolist() == [[0, 0], [2, 0]]
    assert jt.vmap(jt.grad(lambda x: f(x).sum()))(x).tolist() == [[0, 0], [0.25, 0]]


def test_what_apply_where_refuses(T):
    x = T([1.0, 2.0])
    with pytest.raises(jt.DTypeError, match="cond must be boolean, got float64: write x != 0"):
        jt.apply_where(x, root, x)
    with pytest.raises(jt.OpError, match="takes a function as its second argument; got Tensor"):
        jt.apply_where(x > 0, x, root)
    with pytest.raises(jt.OpError, match="at least one array"):
        jt.apply_where(x > 0, root)
    with pytest.raises(jt.ShapeError, match=r"returned shape \(\); it must be an elementwise function"):
        jt.apply_where(x > 0, lambda a: a.sum(), x)


def test_split_by_an_array(T):
    """A tensor of one index is where to cut, not how often."""
    x = T([1.0, 2.0, 3.0])
    for cuts in (T([1]), np.array([1]), [1], (np.int64(1),)):
        assert [p.tolist() for p in jt.split(x, cuts)] == [[1.0], [2.0, 3.0]]
    for sections in (T(3), np.int64(3), 3):
        assert [p.tolist() for p in jt.split(x, sections)] == [[1.0], [2.0], [3.0]]
    for wrong in (1.5, [1.5], "ab"):
        with pytest.raises(
            jt.DTypeError, match=r"split\(\) takes a number of sections or indices to cut at, ints; got"
        ):
            jt.split(x, wrong)


@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric", "wrap"])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_pad_wider_than_the_array(T, mode, n):
    """Values as NumPy's, and the gradient: each element adds up the weights of its copies."""
    x = np.arange(1.0, n + 1.0)
    for width in [(0, 1), (1, 0), (n, n), (n + 1, 0), (0, 4 * n + 3), (23, 41)]:
        expected = np.pad(x, width, mode)
        assert jt.pad(T(x), width, mode).tolist() == expected.tolist()
        weight = np.arange(1.0, expected.size + 1)
        _, pull = jt.vjp(lambda x, w=width: jt.pad(x, w, mode), T(x))
        (slope,) = pull(T(weight))
        assert slope.tolist() == [weight[expected == v].sum() for v in x]


def test_pad_far_beyond_takes_no_piece_for_each_turn(T):
    """It took 1.5 s for 3 elements and 100,000 more, where a concatenation had a piece for each turn."""
    x = T([1.0, 2.0, 3.0], requires_grad=True)
    for mode in ("wrap", "reflect", "symmetric"):
        y = jt.pad(x, 30_000, mode)
        nodes, stack = set(), [y.node]
        while stack:
            node = stack.pop()
            if node is not None and id(node) not in nodes:
                nodes.add(id(node))
                stack.extend(getattr(node, "parents", ()))
        assert len(nodes) < 20


def test_pad_takes_arrays_and_refuses_fractions(T):
    x = T([[1.0, 2.0]])
    assert jt.pad(x, np.array([[1, 0], [0, 2]])).tolist() == [[0.0] * 4, [1.0, 2.0, 0.0, 0.0]]
    assert jt.pad(x[0], 1, constant_values=np.array([3.0, 4.0])).tolist() == [3.0, 1.0, 2.0, 4.0]
    for width in (1.5, "a", ((1, 2.5),)):
        with pytest.raises(jt.DTypeError, match=r"pad\(\): pad_width=.* must be of ints"):
            jt.pad(x, width)


def test_repeat_refuses_what_is_no_count(T):
    x = T([1.0, 2.0])
    assert jt.repeat(x, T([2, 1], "uint8")).tolist() == [1.0, 1.0, 2.0]
    assert jt.repeat(x, T([0, 0])).shape == jt.repeat(x[:0], T([], "int64")).shape == (0,)
    for repeats in (2.0, True):
        with pytest.raises(jt.DTypeError, match=r"repeat\(\): repeats must be an int or integers along one axis"):
            jt.repeat(x, repeats)


def test_indices_that_are_no_arrays(T):
    x = T([[1.0, 2.0], [3.0, 4.0]])
    assert jt.take(x, -1, axis=1).tolist() == [2.0, 4.0]
    with pytest.raises(jt.DTypeError, match=r"take\(\) takes indices of an integer dtype; got float64"):
        jt.take(x, 1.0, axis=0)
    with pytest.raises(jt.OpError, match=r"a slice takes ints, got None:1.5:None"):
        x[:1.5]


def test_more_classes_than_the_dtype_holds(T):
    for dtype in ("uint8", "int8", "int32", "uint64"):
        y = jt.one_hot(T([1, 3], dtype), 300)
        assert y.shape == (2, 300)
        assert jt.argmax(y, axis=1).tolist() == [1, 3]
    with pytest.raises(jt.DTypeError, match=r"one_hot\(\): num_classes must be an int; got 2.5"):
        jt.one_hot(T([1]), 2.5)
    with pytest.raises(jt.ShapeError, match=r"one_hot\(\) got num_classes=-1: it must be 0 or above"):
        jt.one_hot(T([], "int64"), -1)


def test_apply_where_in_a_batch_never_sees_what_no_example_selects_beside_one_that_does(T):
    """NumPy's warnings are errors here, so that log(0) would be seen; and a closure's gradient would be NaN."""
    x, w = T([1.0, -1.0, 0.0, 4.0]), T(2.0)
    f = lambda x: jt.apply_where(x > 0, lambda x: w * jt.log(x), x)  # noqa: E731
    assert jt.vmap(f)(x).tolist() == f(x).tolist()
    assert jt.vmap(jt.grad(f))(x).tolist() == [2.0, 0.0, 0.0, 0.5]
    assert jt.vmap(jt.grad(jt.grad(f)))(x).tolist() == [-2.0, 0.0, 0.0, -0.125]
    assert jt.vmap(jt.vmap(f))(jt.reshape(x, (2, 2))).tolist() == jt.reshape(f(x), (2, 2)).tolist()
    slope = jt.grad(lambda w: jt.vmap(lambda x: jt.apply_where(x > 0, lambda x: w * jt.log(x), x))(x).sum())(w)
    assert slope.item() == pytest.approx(np.log(4.0))


def test_apply_where_keeps_the_dtype_of_f(T):
    yes = T([True, False])
    assert jt.apply_where([True, False], jt.sqrt, T([4.0, -1.0])).tolist() == [2.0, 0.0]  # a list goes where x is

    def alone(f, x, fill):
        return jt.apply_where(yes, f, x, fill_value=fill)

    def batched(f, x, fill):
        return jt.vmap(lambda c: jt.apply_where(c, f, x, fill_value=fill))(yes[None])[0]

    for call in (alone, batched):
        y = call(lambda x: x > 1, T([2.0, 3.0]), 0)
        assert (y.tolist(), y.dtype) == ([True, False], "bool")
        assert call(lambda x: x + 1, T([2, 3], "uint8"), 7).dtype == "uint8"
        assert call(lambda x: x, T([2.0, 3.0], "float32"), 1.5).dtype == "float32"
        for values, fill in (([2, 3], 1.5), ([2.0, 3.0], 1j), ([2, 3], float("nan"))):
            with pytest.raises(jt.DTypeError, match=r"apply_where\(\): fill_value=.* does not fit"):
                call(lambda x: x, T(values), fill)


def test_products_at_places_stop_when_no_run_is_longer(T, monkeypatch):
    """Of a thousand places, none twice, no pair is multiplied; under vmap, where nobody knows, all log2(n) steps are made."""
    joins = []
    original = jt.ops.selecting.concat
    monkeypatch.setattr(jt.ops.selecting, "concat", lambda *a, **k: (joins.append(1), original(*a, **k))[1])
    x, places = T(np.ones(1000)), T(np.random.default_rng(0).permutation(1000))
    assert x.at[places].multiply(2.0).tolist() == [2.0] * 1000
    assert not joins
    x.at[T([0, 0, 1])].multiply(2.0)
    assert len(joins) == 1
    assert jt.vmap(lambda i: x[:4].at[i].multiply(3.0))(T([[0, 0, 0, 3]])).tolist() == [[27.0, 1.0, 1.0, 3.0]]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint32", "uint64"])
def test_indices_of_any_integer_dtype(T, dtype):
    """Into an axis longer than the dtype counts, and with unsigned numbers, which hold no negative one."""
    host = np.arange(300.0)
    x, i = T(host), T([1, 5, 5], dtype)
    assert x[i].tolist() == jt.take(x, i).tolist() == jt.gather(x, i, 0).tolist() == [1.0, 5.0, 5.0]
    assert jt.vmap(lambda x, i: x[i], in_axes=(None, 0))(x, i).tolist() == [1.0, 5.0, 5.0]
    assert jt.grad(lambda x: (x[i] * T([1.0, 2.0, 4.0])).sum())(x).tolist()[:7] == [0, 1, 0, 0, 0, 6, 0]
    assert (x.at[i].set(-1.0) == -1.0).astype(int).sum().item() == 2
    assert x.at[i].add(1.0)[5].item() == 7.0
    assert x.at[i].multiply(2.0)[5].item() == 20.0
    assert x.at[i].max(900.0)[5].item() == 900.0
    assert jt.reshape(x, (1, 300))[T([0, 0, 0]), i].tolist() == [1.0, 5.0, 5.0]
    if dtype == "int8":
        assert x[T([-1, -128], dtype)].tolist() == [299.0, 172.0]


def test_python_numbers_join_the_arrays_on_their_device(T, backend):
    x = T([[1.0, 2.0]])
    for made in (*jt.broadcast_arrays(x, 3.0), *jt.meshgrid(x[0], 3.0), jt.kron(2.0, x)):
        assert made.device == jt.device(backend)
    assert jt.kron(2.0, x).tolist() == [[2.0, 4.0]]
    with pytest.raises(jt.DTypeError, match=r"sort\(\): 'NoneType' object cannot be interpreted as an integer"):
        jt.sort(x, axis=None)
