"""Transforms of batches: their values, what they leave as it is, and that a generator's seed decides on every backend."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitrench_core as jt
from jitrench_core import ShapeError
from jitrench_nn.data import DataError, DataLoader, transforms
from jitrench_nn.data.transforms import (
    Compose,
    Scaling,
    apply_to,
    cutout,
    gaussian_noise,
    mixup,
    normalize,
    one_hot,
    random_affine,
    random_crop,
    random_flip,
    random_rotation,
    random_shift,
    standardize,
)

Generator = jt.random.Generator
AUGMENTATIONS = {
    "random_flip": random_flip,
    "random_crop": partial(random_crop, padding=1),
    "random_shift": random_shift,
    "random_affine": partial(random_affine, degrees=30, translate=0.2, scale=(0.8, 1.2)),
    "random_rotation": random_rotation,
    "gaussian_noise": gaussian_noise,
    "cutout": partial(cutout, size=2),
}


@pytest.fixture
def images(T):
    """Six images of two channels, 4 x 5, no two pixels alike."""
    return T(np.arange(1, 241.0).reshape(6, 2, 4, 5))


# -- scaling ----------------------------------------------------------------------------------------------------------


def test_standardize(T, backend, close):
    train = T([[1.0, 10.0, 7.0], [3.0, 30.0, 7.0], [5.0, 20.0, 7.0]])
    scaling = standardize(train)
    expected = (train.numpy() - [3, 20, 7]) / [math.sqrt(8 / 3), math.sqrt(200 / 3), 1]
    close(scaling(train), expected)
    assert scaling(train).device == jt.device(backend)
    close(scaling.inverse(scaling(train)), train)
    close(scaling(T([3.0, 20.0, 8.0])), [0.0, 0.0, 1.0])  # a single example
    close(scaling.shift, [3.0, 20.0, 7.0])
    other = Scaling(0.0, 1.0)
    other.load_state_dict(scaling.state_dict())
    close(other(train), expected)
    assert repr(Scaling(0.0, 1.0)) == "Scaling(shift=Tensor(0.), scale=Tensor(1.))"


def test_normalize(T, close):
    train = T([[-1.0, 4.0], [3.0, 4.0]])
    scaling = normalize(train)
    close(scaling(train), [[0.0, 0.0], [1.0, 0.0]])
    close(scaling(T([[7.0, 5.0]])), [[2.0, 1.0]])
    close(scaling.inverse(T([[0.25, 0.5]])), [[0.0, 4.5]])


def test_scaling_of_images_and_dtypes(images, T, close):
    x = images.numpy()
    by_channel = standardize(images, axis=(0, 2, 3))
    mean, std = x.mean(axis=(0, 2, 3), keepdims=True), x.std(axis=(0, 2, 3), keepdims=True)
    close(by_channel(images), (x - mean) / std)
    close(standardize(images, axis=None)(images), (x - x.mean()) / x.std())
    assert by_channel(images.astype("float32")).dtype == jt.float32
    whole = T(np.array([[0], [255]], "uint8"))
    close(normalize(whole)(whole), [[0.0], [1.0]])
    assert normalize(whole)(whole).dtype == jt.float64
    w = T([[1.0], [2.0]], requires_grad=True)
    assert not standardize(w).scale.requires_grad


def test_data_that_cannot_be_scaled(T):
    for x, error, message in [
        (T(1.0), ShapeError, r"standardize\(x\): expected examples along the first axis, at least one; got shape \(\)"),
        (T(np.ones((0, 3))), ShapeError, r"at least one; got shape \(0, 3\)"),
        (T([1j]), DataError, "expected real numbers; got complex128"),
    ]:
        with pytest.raises(error, match=message):
            standardize(x)
    with pytest.raises(ShapeError, match=r"it was fitted for features of shape \(3,\); got data of shape \(2, 4\)"):
        standardize(T(np.ones((2, 3))))(T(np.ones((2, 4))))
    with pytest.raises(ShapeError, match=r"it was fitted for features of shape \(3,\); got data of shape \(2, 1\)"):
        standardize(T(np.ones((2, 3))))(T(np.ones((2, 1))))
    with pytest.raises(DataError, match=r"expected 'shift' and 'scale'; got \['mean'\]"):
        Scaling(0.0, 1.0).load_state_dict({"mean": 1.0})


def test_one_hot(T):
    assert one_hot(T([1, 0]), 3).tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]


# -- what holds for all -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_seeds_decide(name, images, backend, close):
    f = AUGMENTATIONS[name]
    a = f(images, generator=Generator(1, device=backend))
    assert (a.shape, a.dtype, a.device) == (images.shape, images.dtype, images.device)
    assert a.tolist() == f(images, generator=Generator(1, device=backend)).tolist()
    assert a.tolist() != f(images, generator=Generator(2, device=backend)).tolist()
    host = f(jt.asarray(images.numpy()), generator=Generator(1))
    close(a, host, 1e-12)  # on every backend
    assert f(images.astype("float32"), generator=Generator(1)).dtype == jt.float32
    jt.random.seed(3)
    b = f(images)  # the default generator
    jt.random.seed(3)
    assert f(images).tolist() == b.tolist()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_batches_of_other_shapes(name, T):
    f = AUGMENTATIONS[name]
    for shape in ((0, 2, 4, 5), (3, 4, 5), (1, 1, 4, 5), (2, 2, 2, 4, 5)):
        x = T(np.ones(shape))
        assert f(x, generator=Generator(0)).shape == shape
    if name not in ("random_flip", "gaussian_noise"):
        with pytest.raises(
            ShapeError, match=r"expected a batch of images, \(n, height, width\) or .*; got shape \(4, 5\)"
        ):
            f(T(np.ones((4, 5))))


def test_flips(images):
    x = images.numpy()
    for axis in (-1, -2):
        y = random_flip(images, axis=axis, generator=Generator(0)).numpy()
        turned = [not np.array_equal(a, b) for a, b in zip(x, y, strict=True)]
        assert 0 < sum(turned) < 6
        for i, t in enumerate(turned):
            np.testing.assert_array_equal(y[i], np.flip(x[i], axis) if t else x[i])
    assert random_flip(images, p=0.0).tolist() == x.tolist()
    assert random_flip(images, p=1.0).tolist() == x[..., ::-1].tolist()
    assert random_flip(images.astype("int64"), p=1.0).dtype == jt.int64
    with pytest.raises(ShapeError, match="expected a batch"):
        random_flip(1.0)


def test_shifts_and_crops(images):
    x = images.numpy()
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)), constant_values=-1)
    found = set()
    for seed in range(30):
        y = random_shift(images, pixels=2, fill=-1, generator=Generator(seed)).numpy()
        for i in range(6):
            at = [
                (a, b) for a in range(5) for b in range(5) if np.array_equal(padded[i, :, a : a + 4, b : b + 5], y[i])
            ]
            assert len(at) == 1  # one and the same move for both channels
            found.add(at[0])
    assert len(found) == 25  # each of them
    z = random_crop(images, size=(2, 3), generator=Generator(0)).numpy()
    assert z.shape == (6, 2, 2, 3)
    for i in range(6):
        assert any(np.array_equal(x[i, :, a : a + 2, b : b + 3], z[i]) for a in range(3) for b in range(3))
    assert random_crop(images, size=4, generator=Generator(0)).shape == (6, 2, 4, 4)
    assert random_crop(images).tolist() == x.tolist()
    assert random_shift(images.astype("uint8"), pixels=1).dtype == jt.uint8
    with pytest.raises(ShapeError, match="a window of 5 x 5 does not fit the images, which have 4 x 5 and padding 0"):
        random_crop(images, size=5)
    for bad in (-1, 1.5, True):
        with pytest.raises(DataError, match=r"random_shift\(x\): pixels must be an int, 0 or above; got"):
            random_shift(images, pixels=bad)


class Fixed:
    """A generator whose uniform numbers are given."""

    def __init__(self, *numbers):
        self.numbers = numbers

    def uniform(self, shape):
        return jt.broadcast_to(jt.asarray(self.numbers)[:, None], shape)


def test_affine_values(images, close):
    x = images.numpy()
    half = 0.5  # no turn, no move, the middle of the scale's range
    close(random_affine(images, degrees=90, translate=0.5, generator=Fixed(half, half, half, half)), x, 1e-12)
    # by a quarter of the height down, 1 pixel, and 0.2 of the width to the right, 1 pixel
    moved = random_affine(images, translate=0.5, fill=-1, generator=Fixed(half, half, 0.75, 0.7)).numpy()
    close(moved[:, :, 1:, 1:], x[:, :, :-1, :-1], 1e-9)
    assert (moved[:, :, 0] == -1).all()
    assert (moved[:, :, :, 0] == -1).all()
    square = images[..., :4]
    turned = random_affine(square, degrees=90, generator=Fixed(1.0, half, half, half))
    close(turned, np.rot90(square.numpy(), 1, axes=(-2, -1)), 1e-9)
    turned = random_affine(square, degrees=90, generator=Fixed(0.0, half, half, half))
    close(turned, np.rot90(square.numpy(), -1, axes=(-2, -1)), 1e-9)
    # A linear ramp, twice as large: half as steep about the centre.
    ramp = jt.broadcast_to(jt.arange(5, dtype=jt.float64, device=images.device), (1, 5, 5))
    close(
        random_affine(ramp, scale=(2.0, 2.0), generator=Generator(0)),
        np.broadcast_to(2 + (np.arange(5) - 2) / 2, (1, 5, 5)),
    )
    # A move by half a pixel is the mean of two, and of one and the fill at the border.
    close(
        random_affine(ramp, translate=0.5, fill=8.0, generator=Fixed(half, half, half, 0.6))[0, 2],
        [4.0, 0.5, 1.5, 2.5, 3.5],
    )
    far = random_affine(images, translate=50.0, generator=Fixed(half, half, 1.0, 1.0))
    assert (far.numpy() == 0).all()
    with pytest.raises(DataError, match=r"scale must be \(low, high\) with 0 < low <= high; got \(0, 1\)"):
        random_affine(images, scale=(0, 1))


def test_noise(T):
    x = T(np.zeros((200, 50)))
    y = gaussian_noise(x, std=0.5, generator=Generator(0)).numpy()
    assert abs(y.mean()) < 0.02
    assert abs(y.std() - 0.5) < 0.02
    assert gaussian_noise(x, std=0.0).tolist() == x.tolist()
    assert gaussian_noise(T([1, 2]), std=0.0).dtype == jt.float64


def test_cutout(images):
    x = images.numpy()
    sizes = set()
    for seed in range(20):
        y = cutout(images, size=2, fill=-1, generator=Generator(seed)).numpy()
        hole = y == -1
        assert (hole[:, 0] == hole[:, 1]).all()
        np.testing.assert_array_equal(y[~hole], x[~hole])
        for one in hole[:, 0]:
            rows, columns = np.flatnonzero(one.any(1)), np.flatnonzero(one.any(0))
            assert one.sum() == len(rows) * len(columns)  # a rectangle
            sizes.add((len(rows), len(columns)))
    assert sizes == {(1, 1), (1, 2), (2, 1), (2, 2)}  # cut off at a border
    assert cutout(images, size=0).tolist() == x.tolist()


def test_mixup(T, close):
    x, y = T(np.arange(12.0).reshape(6, 2)), one_hot(T(list(range(6))), 6)
    a, b = mixup(x, y, alpha=1.0, generator=Generator(3))
    matrix = b.numpy()  # which examples each was made of
    close(matrix.sum(axis=1), np.ones(6))
    assert 0 < np.unique(matrix[matrix > 0].round(12)).size <= 3
    close(a, matrix @ x.numpy(), 1e-12)
    assert (a.dtype, mixup(x.astype("float32"), y)[0].dtype) == (jt.float64, jt.float32)
    with pytest.raises(DataError, match=r"y has dtype int64; expected probabilities, such as one_hot"):
        mixup(x, T(list(range(6))))
    with pytest.raises(ShapeError, match=r"x has 6 examples, and y has shape \(5, 6\)"):
        mixup(x, y[:5])
    with pytest.raises(DataError, match="alpha must be above 0; got 0"):
        mixup(x, y, alpha=0)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_mixup_draws_from_the_beta_distribution(alpha):
    u = Generator(0).uniform((4000, 2)).tolist()
    t = np.array([transforms._beta(alpha, *pair) for pair in u])
    assert abs(t.mean() - 0.5) < 0.02
    assert t.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)
    fourth = 3 / (16 * (2 * alpha + 1) * (2 * alpha + 3))  # central, of a symmetric beta
    assert ((t - 0.5) ** 4).mean() == pytest.approx(fourth, rel=0.08)
    assert [transforms._beta(1e-6, 0.5, v) for v in (0.1, 0.4)] == [1.0, 0.0]
    assert transforms._beta(alpha, 0.0, 0.3) == 0.5


# -- putting together -------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    x: Any
    y: Any


def test_compose(images):
    g, h = Generator(5), Generator(5)
    f = Compose(random_flip, lambda x: x * 2, partial(random_shift, pixels=1))
    expected = random_shift(random_flip(images, generator=g) * 2, pixels=1, generator=g)
    assert f(images, generator=h).tolist() == expected.tolist()
    assert Compose()(3) == 3
    assert repr(Compose(random_flip, jt.tanh)) == "Compose(random_flip, tanh)"
    with pytest.raises(DataError, match="expected functions; got int"):
        Compose(random_flip, 3)


def test_apply_to():
    double = lambda x: x * 2  # noqa: E731
    assert apply_to(0, double)((1, 5)) == (2, 5)
    assert apply_to(-1, double)([1, 5]) == [1, 10]
    assert apply_to("a", double)({"a": 1, "b": 2}) == {"a": 2, "b": 2}
    assert apply_to(1, double)(Pair(1, 5)) == Pair(1, 10)
    for key, batch in ((2, (1, 5)), ("a", {}), (0, 3)):
        with pytest.raises(DataError, match="the batch has no such part; it is a (tuple|dict|int)"):
            apply_to(key, double)(batch)


def test_in_a_loader(images, T):
    augment = apply_to(0, Compose(random_flip, partial(random_shift, pixels=1)))

    def run(prefetch):
        data = list(zip(images.numpy(), range(6), strict=True))
        loader = DataLoader(data, 4, shuffle=True, seed=2, transform=augment, prefetch=prefetch)
        return [(x.tolist(), y.tolist()) for _ in range(2) for x, y in loader]

    assert run(0) == run(2)
    assert run(0)[0] != run(0)[2]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("value", "n"), [(0.1, 3), (0.7, 11), (1e6 + 0.1, 7), (0.3, 1000), (-0.1, 3)])
def test_a_constant_whose_mean_is_rounded_is_shifted_alone(value, n, dtype, backend):
    """The deviation of 0.1, 0.1, 0.1 is 1e-17, and made 3.6e16 of 0.6."""
    x = jt.asarray(np.full((n, 1), value), device=backend).astype(dtype)
    scaling = transforms.standardize(x)
    assert scaling(x).tolist() == [[0.0]] * n
    assert scaling.scale.tolist() == [1.0]
    assert scaling.shift.dtype == x.dtype
