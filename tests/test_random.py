"""Random numbers: the bits against NumPy's Philox and published answers, what draws make of them, and the state."""

from __future__ import annotations

import contextvars
import copy
import math
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

import jitrench_core as jt
from jitrench_core.ops.random import (
    advance_counter,
    random_bits,
    random_integers,
    random_normal,
    random_order,
    random_uniform,
)
from jitrench_core.random import Generator, RandomError

M = 2**64 - 1
KEYS = [(0, 0), (5, M), (M, M), (0x9E3779B97F4A7C15, 1)]
COUNTERS = [
    (0, 0, 0, 0),
    (7, 8, 9, 10),
    (M - 1, 0, 0, 0),  # these carry within the first blocks: into one word,
    (M - 1, M, 3, 0),  # two,
    (M - 2, M, M, 4),  # three,
    (M, M, M, M),  # and around
]

# Random123's known answers for Philox4x64-10: counter, key, block. A stream begins at counter + 1.
KNOWN = [
    ((0,) * 4, (0,) * 2, (0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B)),
    ((M,) * 4, (M,) * 2, (0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0)),
    (
        (0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89),
        (0x452821E638D01377, 0xBE5466CF34E90C6C),
        (0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6),
    ),
]


def words(values):
    return np.array(values, dtype=np.uint64)


def plus(counter, n):
    """``counter + n`` modulo 2**256, in Python's ints."""
    total = sum(w << 64 * i for i, w in enumerate(counter)) + n
    return tuple(total >> 64 * i & M for i in range(4))


def numpys(key, counter, n):
    return np.random.Philox(key=words(key), counter=words(counter)).random_raw(n)


def generator(backend, key=(1, 2), counter=(0, 0, 0, 0)):
    g = Generator(0, device=backend)
    g.load_state({"key": words(key), "counter": words(counter)})
    return g


def draws(g):
    """A draw of each kind, as NumPy arrays."""
    made = (g.bits(5), g.uniform((2, 3)), g.normal(7), g.integers(-9, 2**40, 4), g.permutation(6), g.uniform())
    return [t.numpy() for t in made]


def same(a, b, tol=1e-13):
    """Equal, but for normals, which are equal up to rounding."""
    return all(
        x.dtype == y.dtype and x.shape == y.shape and (np.allclose(x, y, tol, tol) if i == 2 else (x == y).all())
        for i, (x, y) in enumerate(zip(a, b, strict=True))
    )


# -- the bits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("counter", "key", "block"), KNOWN)
def test_known_answers(T, counter, key, block):
    got = random_bits(T(words(key)), T(words(plus(counter, -1))), n=4)
    assert got.dtype == jt.uint64
    assert got.tolist() == list(block)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("counter", COUNTERS)
def test_bits_are_numpys(T, key, counter):
    for n in (0, 1, 4, 7, 41):
        got = random_bits(T(words(key)), T(words(counter)), n=n).numpy()
        assert got.shape == (n,)
        assert (got == numpys(key, counter, n)).all()


@pytest.mark.parametrize("counter", COUNTERS)
def test_the_generic_forward_needs_only_the_standard(counter):
    xp = pytest.importorskip("array_api_strict")
    key, start = xp.asarray(words((3, M))), xp.asarray(words(counter))
    got = random_bits.op.forward(xp, key, start, n=23)
    assert (np.asarray(got) == numpys((3, M), counter, 23)).all()
    after = advance_counter.op.forward(xp, start, blocks=5)
    assert np.asarray(after).tolist() == list(plus(counter, 5))


@pytest.mark.parametrize("counter", COUNTERS)
def test_a_generator_continues_numpys_stream(backend, counter):
    g, reference = generator(backend, (5, 6), counter), np.random.Philox(key=words((5, 6)), counter=words(counter))
    for shape in (8, (2, 6), 4, (3, 4, 1)):
        assert (g.bits(shape).numpy() == reference.random_raw(math.prod(np.atleast_1d(shape))).reshape(shape)).all()
    assert g.state()["counter"].tolist() == list(plus(counter, 9))


@pytest.mark.parametrize("blocks", [0, 1, 2**40, M])
@pytest.mark.parametrize("counter", COUNTERS)
def test_the_counter_advances_with_carries(T, counter, blocks):
    after = advance_counter(T(words(counter)), blocks=blocks)
    assert after.dtype == jt.uint64
    assert after.tolist() == list(plus(counter, blocks))


def test_the_seed_is_the_key(backend):
    for seed in (0, 7, 2**63 + 5, 2**64 + 3, 2**64 - 1 << 64, 2**128 - 1):
        expected = np.random.Philox(key=seed).random_raw(8)
        assert (Generator(seed, device=backend).bits(8).numpy() == expected).all()
    assert Generator(np.int64(7), device=backend).bits(1).tolist() == Generator(7, device=backend).bits(1).tolist()


def test_without_a_seed_streams_differ(backend):
    a, b = Generator(device=backend), Generator(device=backend)
    assert a.bits(4).tolist() != b.bits(4).tolist()
    assert all(a.state()["key"].tolist())


def test_a_partial_block_is_dropped(backend):
    g = generator(backend)
    first, second = g.bits(5).numpy(), g.bits(3).numpy()
    stream = numpys((1, 2), (0, 0, 0, 0), 11)
    assert (first == stream[:5]).all()
    assert (second == stream[8:]).all()


# -- what draws make of them ----------------------------------------------------------------------------------------


def test_these_numbers_stay(backend):
    """Seed 2026 gives these in every version, on every backend and platform."""
    g = Generator(2026, device=backend)
    assert g.bits(5).tolist() == [
        0x6C0A6E9A616BB037,
        0x57ADEAB265C7CC70,
        0x1C9FFA388FC0C4C6,
        0xF4CA5098A1139440,
        0x8D3E174D795319A5,
    ]
    assert g.uniform((3,)).tolist() == [0.6870007596733919, 0.32378225498843793, 0.41810857618393316]
    assert g.integers(-5, 6, 8).tolist() == [-1, -5, 1, 2, 0, 4, -1, 4]
    assert g.permutation(8).tolist() == [2, 5, 7, 3, 1, 0, 6, 4]
    assert np.allclose(g.normal((3,)).numpy(), [0.2937368587383211, 0.32833235911135594, 0.3181297025963363], 1e-14)
    assert g.state()["counter"].tolist() == [8, 0, 0, 0]


def test_every_backend_draws_the_same(backend):
    assert same(draws(Generator(11, device=backend)), draws(Generator(11, device="numpy")))
    half = [Generator(11, device=d).normal(50, dtype="float32").numpy() for d in (backend, "numpy")]
    assert np.allclose(*half, 1e-6)


def test_kernels_compute_the_generic_formula(T):
    key, counter = T(words((8, 9))), T(words((M - 3, M, 0, 0)))
    for n in (0, 1, 6, 33, 70_001):
        raw = random_bits(key, counter, n=n + n % 2).numpy()
        u = (raw >> 11) * 2.0**-53
        assert (random_uniform(key, counter, n=n).numpy() == u[:n]).all()
        short = random_uniform(key, counter, n=n, dtype="float32").numpy()
        assert short.dtype == np.float32
        assert (short == ((raw >> 40) * 2.0**-24)[:n]).all()
        radius, angle = np.sqrt(-2 * np.log(1 - u[0::2])), 2 * np.pi * u[1::2]
        z = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)[:n]
        assert np.allclose(random_normal(key, counter, n=n).numpy(), z, 1e-13, 1e-13)
        rounded = random_normal(key, counter, n=n, dtype="float32").numpy()
        assert rounded.dtype == np.float32
        assert np.allclose(rounded, z, 1e-6, 1e-7)


@pytest.mark.parametrize("span", [1, 2, 10, 2**31 + 1, 2**32, 2**32 + 1, 2**53 + 1, 2**63, 2**63 + 1, M, M + 1])
@pytest.mark.parametrize("low", [-(2**63), -3, "the most"])
def test_integers_are_exact(T, low, span):
    low = 2**63 - span if low == "the most" else min(low, 2**63 - span)
    key, counter = T(words((8, span & M))), T(words((0, 0, 0, 1)))
    raw = random_bits(key, counter, n=40).tolist()
    got = random_integers(key, counter, n=20, low=low, high=low + span)
    assert got.dtype == jt.int64
    if span <= 2**32:
        expected = [low + (w * span >> 64) for w in raw[:20]]
    else:
        expected = [low + ((raw[2 * i] << 64 | raw[2 * i + 1]) * span >> 128) for i in range(20)]
    assert got.tolist() == expected


def test_integers_of_other_dtypes(backend):
    for dtype in ("int8", "uint8", "int16", "uint32", "uint64"):
        a = Generator(3, device=backend).integers(5, 100, 30, dtype=dtype)
        assert a.dtype == jt.dtypes.dtype(dtype)
        assert a.tolist() == Generator(3, device=backend).integers(5, 100, 30).tolist()
    whole = Generator(3, device=backend).integers(0, 2**64, 9, dtype="uint64").tolist()
    assert whole == Generator(3, device=backend).bits(18).tolist()[::2]
    top = Generator(3, device=backend).integers(2**64 - 3, 2**64, 50, dtype="uint64").tolist()
    assert set(top) == {M - 2, M - 1, M}


def test_the_ends_are_reached_and_not_passed(backend):
    g = Generator(1, device=backend)
    assert set(g.integers(-1, 3, 200).tolist()) == {-1, 0, 1, 2}
    assert set(g.integers(4, 5, 20).tolist()) == {4}
    for dtype in ("float32", "float64"):
        u = g.uniform(5000, dtype=dtype)
        assert u.numpy().min() >= 0
        assert u.numpy().max() < 1
    ones = jt.tensor(words([M, M]), device=backend)  # the largest word there is
    assert ((ones >> 40).astype("float32") * 2.0**-24).numpy().max() < 1
    assert ((ones >> 11).astype("float64") * 2.0**-53).numpy().max() < 1


def test_permutations(backend, T):
    g = Generator(4, device=backend)
    p = g.permutation(1000)
    assert p.dtype == jt.int64
    assert sorted(p.tolist()) == list(range(1000))
    assert (p.numpy() == np.argsort(numpys((4, 0), (0,) * 4, 1000), stable=True)).all()
    assert g.permutation(0).shape == (0,)
    assert g.permutation(1).tolist() == [0]
    assert g.permutation(T(3)).shape == (3,)


def test_ties_keep_their_order(T):
    assert random_order(T(words([5, M, 5, 0, M, 5]))).tolist() == [3, 0, 2, 5, 1, 4]
    many = numpys((1, 1), (0,) * 4, 5000) % 100
    assert (random_order(T(many)).numpy() == np.argsort(many, stable=True)).all()


def test_rows_are_permuted_together(backend, T):
    x = T([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True)
    y = Generator(4, device=backend).permutation(x)
    order = Generator(4, device=backend).permutation(3).numpy()
    assert (y.numpy() == x.numpy()[order]).all()
    (y * T([[1.0], [2.0], [3.0]])).sum().backward()
    expected = np.zeros((3, 2))
    expected[order] = [[1.0], [2.0], [3.0]]
    assert (x.grad.numpy() == expected).all()
    assert sorted(Generator(4, device=backend).permutation([3, 1, 2]).tolist()) == [1, 2, 3]


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (0,), (2, 0, 3), (1, 1), 4])
def test_shapes_and_dtypes(backend, shape):
    g = Generator(0, device=backend)
    expected = (shape,) if isinstance(shape, int) else shape
    made = {
        "float64": [g.uniform(shape), g.normal(shape), g.uniform(shape, -1, 2), g.normal(shape, 1, 2)],
        "float32": [
            g.uniform(shape, dtype="float32"),
            g.normal(shape, dtype=jt.float32),
            g.uniform(shape, -1, 2, dtype="float32"),
            g.normal(list(expected), 1, 2, dtype=np.float32),
        ],
        "int64": [g.integers(0, 5, shape)],
        "uint64": [g.bits(shape)],
    }
    for dtype, tensors in made.items():
        for t in tensors:
            assert t.shape == expected
            assert t.dtype == dtype or str(t.dtype) == dtype
            assert str(t.device) == backend
            assert not t.requires_grad


def test_what_a_draw_takes_off_the_stream(backend):
    for draw, blocks in (
        (lambda g: g.uniform(9), 3),
        (lambda g: g.normal(9), 3),
        (lambda g: g.normal(5, dtype="float32"), 2),
        (lambda g: g.integers(0, 2**32, 9), 3),
        (lambda g: g.integers(0, 2**32 + 1, 9), 5),
        (lambda g: g.permutation(9), 3),
        (lambda g: g.bits((3, 3)), 3),
        (lambda g: g.split(5), 3),
        (lambda g: g.normal(), 1),
        (lambda g: g.exponential(9), 3),
        (lambda g: g.gumbel(9), 3),
        (lambda g: g.truncated_normal(9), 3),
        (lambda g: g.bernoulli(0.5, 9), 3),
        (lambda g: g.categorical([0.0, 1.0], 9), 3),
        (lambda g: g.choice(5, 9), 3),
        (lambda g: g.choice(5, 9, p=[1, 1, 2, 1, 1]), 3),
        (lambda g: g.choice(9, 4, replace=False), 3),
        (lambda g: g.choice(9, 4, replace=False, p=[1] * 9), 3),
    ):
        g = Generator(0, device=backend)
        draw(g)
        assert g.state()["counter"].tolist() == [blocks, 0, 0, 0]


def test_an_empty_draw_takes_nothing(backend):
    g = Generator(0, device=backend)
    g.uniform((0,)), g.normal((2, 0)), g.integers(0, 3, 0), g.permutation(0), g.bits(0), g.split(0)
    (
        g.exponential(0),
        g.gumbel(0),
        g.truncated_normal(0),
        g.bernoulli(0.5, (0,)),
        g.categorical([1.0], 0),
        g.choice(0, 0),
    )
    assert g.state()["counter"].tolist() == [0, 0, 0, 0]


def test_a_shorter_draw_is_the_beginning_of_a_longer_one(backend):
    for draw in (
        lambda n: Generator(6, device=backend).uniform(n),
        lambda n: Generator(6, device=backend).normal(n),
        lambda n: Generator(6, device=backend).integers(0, 100, n),
        lambda n: Generator(6, device=backend).integers(0, 2**50, n),
        lambda n: Generator(6, device=backend).exponential(n),
        lambda n: Generator(6, device=backend).gumbel(n),
        lambda n: Generator(6, device=backend).truncated_normal(n),
        lambda n: Generator(6, device=backend).bernoulli(0.3, n),
        lambda n: Generator(6, device=backend).categorical([0.0, 1.0, 2.0], n),
    ):
        assert draw(7).tolist() == pytest.approx(draw(20).tolist()[:7], rel=1e-13)


def test_float32_draws_follow_float64_ones(backend):
    a, b = Generator(6, device=backend), Generator(6, device=backend)
    assert (b.uniform(99, dtype="float32").numpy() == np.floor(a.uniform(99).numpy() * 2**24) * 2.0**-24).all()
    assert (b.normal(99, dtype="float32").numpy() == a.normal(99).numpy().astype("float32")).all()
    assert a.state()["counter"].tolist() == b.state()["counter"].tolist()


# -- statistics, with fixed seeds -------------------------------------------------------------------------------------

N = 20_000
KS = 1.95 / math.sqrt(N)  # exceeded by one in a thousand


def ks(values, cdf):
    """The largest distance of the empirical distribution function from ``cdf``."""
    f = cdf(np.sort(values))
    i = np.arange(len(f))
    return max((f - i / len(f)).max(), ((i + 1) / len(f) - f).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniforms_are_uniform(backend, dtype):
    u = Generator(123, device=backend).uniform(N, -2.0, 6.0, dtype=dtype).numpy()
    assert u.dtype == dtype
    assert abs(u.mean() - 2) < 4 * 8 / math.sqrt(12 * N)
    assert abs(u.var() / (64 / 12) - 1) < 4 * math.sqrt(0.8 / N)
    assert ks(u, lambda x: (x + 2) / 8) < KS


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normals_are_normal(backend, dtype):
    z = Generator(321, device=backend).normal(N, 3.0, 2.0, dtype=dtype).numpy()
    assert z.dtype == dtype
    z = (z.astype("float64") - 3) / 2
    assert abs(z.mean()) < 4 / math.sqrt(N)
    assert abs(z.var() - 1) < 4 * math.sqrt(2 / N)
    assert abs((z**3).mean()) < 4 * math.sqrt(15 / N)
    assert abs((z**4).mean() - 3) < 4 * math.sqrt(96 / N)
    assert ks(z, np.vectorize(lambda x: 0.5 * math.erfc(-x / math.sqrt(2)))) < KS
    assert abs(np.corrcoef(z[0::2], z[1::2])[0, 1]) < 4 / math.sqrt(N / 2)


def test_integers_and_permutations_are_even(backend):
    counts = np.bincount(Generator(9, device=backend).integers(0, 10, N).numpy(), minlength=10)
    assert ((counts - N / 10) ** 2 / (N / 10)).sum() < 27.9  # chi squared, 9 degrees, one in a thousand
    keys = Generator(9, device=backend).bits((6000, 4))
    orders = np.stack([random_order(k).numpy() for k in keys])
    _, counts = np.unique(orders @ [1, 4, 16, 64], return_counts=True)
    assert len(counts) == 24
    assert ((counts - 250) ** 2 / 250).sum() < 49.7  # 23 degrees


# -- parameters that are Tensors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exponential_and_gumbel(backend, dtype):
    g = Generator(7, device=backend)
    e = g.exponential(N, 3.0, dtype=dtype).numpy()
    assert e.dtype == dtype
    assert abs(e.mean() / 3 - 1) < 4 / math.sqrt(N)
    assert ks(e, lambda x: 1 - np.exp(-x / 3)) < KS
    z = g.gumbel((N,), -1.0, 2.0, dtype=dtype).numpy()
    assert z.dtype == dtype
    assert ks(z, lambda x: np.exp(-np.exp(-(x + 1) / 2))) < KS
    ends = jt.ops.random._gumbel(jt.tensor([0.0, 1 - 2.0**-53], device=backend)).numpy()  # the least and the largest u
    assert np.isfinite(ends).all()


@pytest.mark.parametrize(("low", "high"), [(-2, 2), (0, 1), (-math.inf, 0.5), (3, math.inf), (-9, -8), (30, 31)])
def test_truncated_normals(backend, low, high):
    """In far tails, too; the distribution by erfc, mirrored where that would lose digits."""
    x = Generator(9, device=backend).truncated_normal(N, low, high).numpy()
    assert low <= x.min() < x.max() <= high
    sign = -1 if low > 0 else 1
    below = np.vectorize(lambda z: math.erfc(-sign * z / math.sqrt(2)) / 2)
    ends = below([low, high])
    assert ks(x, lambda x: (below(x) - ends[0]) / (ends[1] - ends[0])) < KS
    z = Generator(9, device=backend).truncated_normal(99, low, high, 10.0, 0.5, dtype="float32").numpy()
    assert z.dtype == np.float32
    assert np.allclose(z, 10 + 0.5 * x[:99], 1e-6)


def test_the_inverse_of_the_normal_distribution(T):
    """Against its own inverse, erfc, from the middle to the end of float64."""
    z = np.concatenate([np.linspace(-37, 8, 91), [-1e-9, 1e-3]])
    p = T([math.erfc(-v / math.sqrt(2)) / 2 for v in z])
    off = abs(jt.ops.random._normal_quantile(p).numpy() - z)
    assert (off[z <= 1] < 1e-13 * np.maximum(1, abs(z[z <= 1]))).all()
    assert (off[z > 1] < 4e-16 * np.exp(z[z > 1] ** 2 / 2)).all()  # p itself is rounded near 1


def chi_square(counts, expected):
    """Pearson's statistic, over its mean, in standard deviations."""
    k = len(counts) - 1
    return (np.sum((np.asarray(counts) - expected) ** 2 / expected) - k) / math.sqrt(2 * k)


def test_bernoulli(backend, T):
    g = Generator(2, device=backend)
    hit = g.bernoulli(0.3, (N,))
    assert hit.dtype == jt.bool
    assert abs(hit.numpy().mean() - 0.3) < 4 * math.sqrt(0.21 / N)
    assert not g.bernoulli(0, (99,)).numpy().any()
    assert g.bernoulli(1, (99,)).numpy().all()
    p = T([[0.1], [0.9]], requires_grad=True)
    assert g.bernoulli(p).shape == (2, 1)
    wide = g.bernoulli(p, (2, N))
    assert not wide.requires_grad
    assert np.allclose(wide.numpy().mean(1), [0.1, 0.9], atol=0.02)
    mask = g.bernoulli(T([0.5, 0.5], "float32"), (3, 2), dtype="float32")
    assert mask.dtype == "float32"
    assert set(mask.numpy().reshape(-1)) <= {0.0, 1.0}
    assert g.bernoulli().shape == ()


def test_categorical_draws_in_proportion(backend, T):
    p = np.array([0.1, 0.0, 0.25, 0.4, 0.25, 0.0])
    with np.errstate(divide="ignore"):
        logits = np.log(p) + 5
    drawn = Generator(4, device=backend).categorical(T(logits, "float32"), (N,))
    assert drawn.dtype == jt.int64
    counts = np.bincount(drawn.numpy(), minlength=6)
    assert counts[[1, 5]].tolist() == [0, 0]
    assert abs(chi_square(counts[p > 0], N * p[p > 0])) < 3
    table = np.stack([logits, logits[::-1]], axis=1)
    both = Generator(4, device=backend).categorical(T(table), (N, 2), axis=0).numpy()
    for column, q in zip(both.T, (p, p[::-1]), strict=True):
        counts = np.bincount(column, minlength=6)
        assert (counts[q == 0] == 0).all()
        assert abs(chi_square(counts[q > 0], N * q[q > 0])) < 3
    assert Generator(4, device=backend).categorical(T(table), axis=0).shape == (2,)
    assert set(Generator(4, device=backend).categorical([[-math.inf, 0.0]], (50,)).tolist()) == {1}


def test_the_same_categories_by_either_way_of_searching(backend, T):
    logits = T([0.3, -1.0, 2.0, 0.0])
    one = Generator(5, device=backend).categorical(logits, (200,)).tolist()
    assert Generator(5, device=backend).categorical(logits[None], (200,)).tolist() == one
    rows = jt.vmap(lambda logits: Generator(5, device=backend).categorical(logits, (200,)))(
        T(np.zeros((2, 4))) + logits
    )
    assert rows.tolist() == [one, one]


def test_the_last_category_with_a_chance_ends_the_draw(T):
    """Where u is rounded up to the total, neither the end nor a category of probability 0 is drawn."""

    class Highest:
        uniform = staticmethod(lambda shape: jt.broadcast_to(T(1.0), shape))

    weights = T([0.0, 0.5, 0.5, 0.0])
    assert Generator._pick(Highest(), weights, (3,)).tolist() == [2, 2, 2]
    assert Generator._pick(Highest(), weights[None], (1,)).tolist() == [2]


def test_choice(backend, T):
    g = Generator(8, device=backend)
    p = np.array([1.0, 0.0, 2.0, 5.0])
    drawn = g.choice(4, (N // 2, 2), p=T(p)).numpy()
    assert drawn.shape == (N // 2, 2)
    counts = np.bincount(drawn.reshape(-1), minlength=4)
    assert counts[1] == 0
    assert abs(chi_square(counts[p > 0], N * p[p > 0] / 8)) < 3
    assert abs(chi_square(np.bincount(g.choice(5, N).numpy(), minlength=5), N / 5)) < 3
    assert sorted(g.choice(6, (2, 3), replace=False).numpy().reshape(-1)) == list(range(6))
    assert sorted(g.choice(4, 3, replace=False, p=T(p)).tolist()) == [0, 2, 3]
    assert g.choice(3).shape == ()
    assert g.choice(3).dtype == jt.int64


def test_choice_without_replacement_is_one_draw_after_the_other(backend):
    """Of weights 1, 2, 5 the first is i with p_i, the second j with p_j / (1 - p_i)."""
    g, p = Generator(3, device=backend), np.array([1.0, 2.0, 5.0]) / 8
    pairs = np.array([g.choice(3, 2, replace=False, p=p.tolist()).tolist() for _ in range(200)])
    cells = [(i, j) for i in range(3) for j in range(3) if i != j]
    counts = [int((pairs == cell).all(1).sum()) for cell in cells]
    assert abs(chi_square(counts, 200 * np.array([p[i] * p[j] / (1 - p[i]) for i, j in cells]))) < 3


def test_rows_are_chosen_with_their_gradient(backend, T):
    x = T([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True)
    y = Generator(4, device=backend).choice(x, (2, 3))
    order = Generator(4, device=backend).choice(3, (2, 3)).numpy()
    assert (y.numpy() == x.numpy()[order]).all()
    y.sum().backward()
    assert (x.grad.numpy()[:, 0] == np.bincount(order.reshape(-1), minlength=3)).all()
    assert set(Generator(4, device=backend).choice([3, 1, 2], 9).tolist()) <= {1, 2, 3}


def test_new_draws_take_gradients_to_their_parameters(backend, T):
    scale, loc = T([1.0, 2.0], "float32", requires_grad=True), T(0.5, "float32", requires_grad=True)
    e = Generator(1, device=backend).exponential((3, 2), scale)
    assert e.dtype == "float32"
    e.sum().backward()
    assert np.allclose(scale.grad.numpy(), (e.detach() / scale.detach()).numpy().sum(0))
    Generator(1, device=backend).gumbel(5, loc, scale[0]).sum().backward()
    assert loc.grad.item() == 5.0
    loc.zero_grad()
    Generator(1, device=backend).truncated_normal(4, -1, 1, loc, 2.0).sum().backward()
    assert loc.grad.item() == 4.0


def test_mean_and_std_get_gradients(backend, T):
    z = Generator(1, device=backend).normal((4, 3)).numpy()
    mean, std = T([1.0, 2.0, 3.0], requires_grad=True), T([[2.0], [3.0], [4.0], [5.0]], requires_grad=True)
    y = Generator(1, device=backend).normal((4, 3), mean, std)
    assert np.allclose(y.numpy(), mean.numpy() + std.numpy() * z)
    y.sum().backward()
    assert mean.grad.tolist() == [4.0, 4.0, 4.0]
    assert np.allclose(std.grad.numpy(), z.sum(axis=1, keepdims=True))


def test_low_and_high_get_gradients(backend, T):
    u = Generator(1, device=backend).uniform((5,)).numpy()
    low, high = T(-1.0, requires_grad=True), T(3.0, requires_grad=True)
    y = Generator(1, device=backend).uniform((5,), low, high)
    assert np.allclose(y.numpy(), -1 + 4 * u)
    y.sum().backward()
    assert low.grad.item() == pytest.approx((1 - u).sum())
    assert high.grad.item() == pytest.approx(u.sum())


def test_parameters_set_the_dtype_and_keep_their_own(backend, T):
    g = Generator(1, device=backend)
    mean = T([1.0, 2.0], "float32", requires_grad=True)
    assert g.normal((2,), mean).dtype == jt.float32
    assert g.normal((2,), mean, T([1.0, 1.0])).dtype == jt.float64
    y = g.normal((2,), mean, dtype="float64")
    assert y.dtype == jt.float64
    y.sum().backward()
    assert mean.grad.dtype == jt.float32
    assert g.uniform((2,), 0, T([3, 4])).dtype == jt.float64
    assert g.uniform((2,), [0, 1], [1, 2], dtype="float32").dtype == jt.float32
    assert g.normal((2,), np.float32(3.0), np.array(0.5)).dtype == jt.float64


def test_draws_inside_transforms(backend, T):
    x = T([1.0, 2.0])
    z = Generator(2, device=backend).normal((2,)).numpy()

    g = Generator(2, device=backend)
    gradient = jt.grad(lambda x: (x * g.normal((2,))).sum())(x)
    assert np.allclose(gradient.numpy(), z)

    g = Generator(2, device=backend)
    _, tangent = jt.jvp(lambda s: g.normal((2,), 1.0, s), (x,), (T([1.0, 10.0]),))
    assert np.allclose(tangent.numpy(), z * [1, 10])

    g = Generator(2, device=backend)
    batch = jt.vmap(lambda m: g.normal((2,), m))(T([0.0, 10.0, 20.0]))
    assert np.allclose(batch.numpy(), z + 10 * np.arange(3.0)[:, None])
    assert g.state()["counter"].tolist() == [1, 0, 0, 0]
    with jt.no_grad():
        assert g.normal().shape == ()


def test_streams_can_be_batched(T):
    keys, counters = T(words(KEYS)), T(words(COUNTERS[: len(KEYS)]))
    for op, attrs in (
        (random_bits, {}),
        (random_uniform, {}),
        (random_normal, {"dtype": "float32"}),
        (random_integers, {"low": -3, "high": 2**40}),
    ):
        got = jt.vmap(lambda k, c, op=op, attrs=attrs: op(k, c, n=6, **attrs))(keys, counters)
        expected = jt.stack([op(keys[i], counters[i], n=6, **attrs) for i in range(len(KEYS))])
        assert got.dtype == expected.dtype
        assert np.allclose(got.numpy(), expected.numpy(), 1e-6, 0)
    later = jt.vmap(lambda c: advance_counter(c, blocks=3))(counters)
    assert later.tolist() == [list(plus(c, 3)) for c in COUNTERS[: len(KEYS)]]
    orders = jt.vmap(random_order)(T(words([[3, 1, 2], [1, 2, 3]])))
    assert orders.tolist() == [[1, 2, 0], [0, 1, 2]]


# -- state ----------------------------------------------------------------------------------------------------------


def test_state_is_tensors_that_stay_the_same_objects(backend):
    g = Generator(3, device=backend)
    before = g.state()
    assert list(before) == ["key", "counter"]
    assert all(t.dtype == jt.uint64 and str(t.device) == backend for t in before.values())
    draws(g)
    g.load_state(Generator(4, device=backend).state())
    assert all(g.state()[k] is t for k, t in before.items())
    assert before["key"].tolist() == [4, 0]


def test_save_and_restore_in_the_middle(backend):
    g = Generator(3, device=backend)
    draws(g)
    saved, array = copy.deepcopy(g.state()), {k: t.numpy().copy() for k, t in g.state().items()}
    expected = draws(g)
    draws(g)
    for state in (saved, array):
        g.load_state(state)
        assert same(draws(g), expected, 0)
    elsewhere = Generator(device="numpy")
    elsewhere.load_state(saved)
    assert same(draws(elsewhere), expected)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_copies_go_their_own_way(backend, duplicate):
    g = Generator(2**100 + 1, device=backend)
    g.bits(9)
    twin = duplicate(g)
    assert str(twin.device) == backend
    expected = draws(twin)
    assert g.state()["counter"].tolist() == [3, 0, 0, 0]
    assert same(draws(g), expected, 0)
    g.load_state(Generator(1, device=backend).state())
    assert twin.state()["key"].tolist() == [1, 2**36]


def test_repr(backend):
    g = Generator(2**70 + 9, device=backend)
    g.bits(5)
    assert repr(g) == f"Generator(seed={2**70 + 9}, counter=2, device={backend!r})"


def test_split_streams_are_independent(backend):
    g = Generator(5, device=backend)
    children = [*g.split(3), *g.spawn(2)]
    assert g.state()["counter"].tolist() == [3, 0, 0, 0]
    assert all(str(c.device) == backend for c in children)
    assert all(c.state()["counter"].tolist() == [0, 0, 0, 0] for c in children)
    again = Generator(5, device=backend)
    assert [c.state()["key"].tolist() for c in again.split(3)] == [c.state()["key"].tolist() for c in children[:3]]
    grandchildren = children[0].split(2)
    neighbours = [Generator(s, device=backend) for s in (6, 7)]
    streams = np.stack([s.normal(4000).numpy() for s in (g, *children, *grandchildren, *neighbours)])
    off = np.corrcoef(streams) - np.eye(len(streams))
    assert abs(off).max() < 4.5 / math.sqrt(4000)
    one = children[1].bits(1).item()
    children[2].bits(100)
    assert one != children[1].bits(1).item()


# -- the default generator --------------------------------------------------------------------------------------------


@pytest.fixture
def fresh(monkeypatch):
    """No default generator yet; the one that was comes back afterwards."""
    monkeypatch.setattr(jt.random, "_default", None)


def test_module_functions_draw_from_the_default(fresh):
    jt.random.seed(99)
    g = Generator(99)
    assert jt.random.uniform((3,), 1, 2).tolist() == g.uniform((3,), 1, 2).tolist()
    assert jt.random.normal((3,), 1, 2, dtype="float32").tolist() == g.normal((3,), 1, 2, dtype="float32").tolist()
    assert jt.random.integers(0, 9, 4, dtype="int32").tolist() == g.integers(0, 9, 4).tolist()
    assert jt.random.permutation(5).tolist() == g.permutation(5).tolist()
    assert jt.random.exponential(2, 3).tolist() == g.exponential(2, 3).tolist()
    assert jt.random.gumbel(2, 1, 3).tolist() == g.gumbel(2, 1, 3).tolist()
    assert jt.random.truncated_normal(2, 0, 1, 5, 3).tolist() == g.truncated_normal(2, 0, 1, 5, 3).tolist()
    assert jt.random.bernoulli(0.2, 9, dtype="int8").tolist() == g.bernoulli(0.2, 9).astype("int8").tolist()
    assert (
        jt.random.categorical([[0.0], [1.0]], 9, axis=0).tolist() == g.categorical([[0.0], [1.0]], 9, axis=0).tolist()
    )
    assert (
        jt.random.choice(5, 3, replace=False, p=[1] * 5).tolist() == g.choice(5, 3, replace=False, p=[1] * 5).tolist()
    )
    assert jt.random.normal().shape == jt.random.uniform().shape == jt.random.integers(0, 2).shape == ()
    default = jt.random.default_generator()
    jt.random.seed(99)
    assert jt.random.default_generator() is default
    assert default.state()["counter"].tolist() == [0, 0, 0, 0]
    jt.random.seed()
    assert default.state()["key"].tolist() != [99, 0]


def test_importing_makes_no_generator():
    code = (
        "import sys, jitrench_core as jt\n"
        "assert jt.random._default is None\n"
        "assert not {'numpy', 'array_api_strict', 'cupy', 'random', 'secrets'} & set(sys.modules), sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def in_threads(n, function):
    """The results of ``n`` threads that start together."""
    barrier, results = threading.Barrier(n), [None] * n

    def work(i):
        barrier.wait()
        results[i] = function()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def test_threads_share_one_default_generator(fresh):
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        made = in_threads(8, jt.random.default_generator)
        assert len(set(map(id, made))) == 1
        jt.random.seed(17)
        drawn = in_threads(8, lambda: [jt.random.uniform((4,)).numpy() for _ in range(50)])
    finally:
        sys.setswitchinterval(interval)
    got = sorted(tuple(block) for blocks in drawn for block in blocks)
    expected = sorted(map(tuple, Generator(17).uniform((400, 4)).numpy()))
    assert got == expected  # each block once: none drawn twice, none lost


# -- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "error", "text"),
    [
        (lambda g: g.uniform((2, -1)), jt.ShapeError, r"uniform\(\): the shape \(2, -1\) has a negative length"),
        (lambda g: g.normal(-1), jt.ShapeError, r"normal\(\): the shape -1 has a negative length"),
        (lambda g: g.integers(0, 5, (-2,)), jt.ShapeError, r"integers\(\): the shape \(-2,\) has a negative length"),
        (lambda g: g.bits(-3), jt.ShapeError, r"bits\(\): the shape -3 has a negative length"),
        (lambda g: g.split(-1), jt.ShapeError, r"split\(\): the shape -1 has a negative length"),
        (lambda g: g.permutation(-1), jt.ShapeError, r"permutation\(-1\): the number of elements must be 0 or above"),
        (lambda g: g.uniform((2.0,)), jt.DTypeError, r"uniform\(\): a length in the shape is 2.0 \(float\)"),
        (lambda g: g.uniform("ab"), jt.DTypeError, r"a length in the shape is 'ab' \(str\); expected an int"),
        (lambda g: g.permutation(2.5), jt.DTypeError, r"permutation\(\): x is 2.5 \(float\); expected an int"),
        (lambda g: g.uniform(3, 2, 1), RandomError, r"uniform\(\) .* got low=2.0, high=1.0: high must be above low"),
        (lambda g: g.uniform(3, 0, math.inf), RandomError, "low=0.0, high=inf: high must be above low, both finite"),
        (lambda g: g.uniform(3, math.nan, 1), RandomError, "low=nan, high=1.0"),
        (lambda g: g.uniform(3, -1e308, 1e308), RandomError, "both finite"),
        (lambda g: g.normal(3, 0, -1), RandomError, r"normal\(\) got std=-1.0: it must be a finite number, 0 or above"),
        (lambda g: g.normal(3, 0, math.nan), RandomError, r"normal\(\) got std=nan"),
        (lambda g: g.integers(5, 5), RandomError, r"integers\(\) .* got low=5, high=5: high must be above low"),
        (lambda g: g.integers(5, 2), RandomError, "low=5, high=2"),
        (lambda g: g.integers(0.0, 2), jt.DTypeError, r"integers\(\): low is 0.0 \(float\); expected an int"),
        (lambda g: g.integers(0, 2.5), jt.DTypeError, r"integers\(\): high is 2.5 \(float\)"),
        (lambda g: g.integers(0, 257, dtype="uint8"), jt.DTypeError, r"\[0, 257\) do not fit uint8, .* \[0, 256\)"),
        (lambda g: g.integers(-1, 3, dtype="uint64"), jt.DTypeError, r"\[-1, 3\) do not fit uint64"),
        (lambda g: g.integers(0, 2**63 + 1), jt.DTypeError, "do not fit int64"),
        (lambda g: g.integers(0, 3, dtype="float32"), jt.DTypeError, r"makes integers, not float32.*astype\('float32'"),
        (lambda g: g.uniform(3, dtype="float16"), jt.DTypeError, r"float32 or float64, not float16.*astype\('float16'"),
        (lambda g: g.normal(3, dtype="int64"), jt.DTypeError, r"normal\(\) draws float32 or float64, not int64"),
        (lambda g: g.normal(3, dtype="complex128"), jt.DTypeError, "not complex128"),
        (lambda g: g.normal(3, "a"), jt.DTypeError, r"normal\(\): mean is 'a'; expected a real number or a Tensor"),
        (lambda g: g.normal(3, 1j), jt.DTypeError, r"mean is 1j"),
        (lambda g: g.normal(3, None), jt.DTypeError, r"mean is None"),
        (lambda g: g.normal(2, 0, [True, False]), jt.DTypeError, r"std has dtype bool; expected real numbers"),
        (lambda g: g.normal(3, [1.0, 2.0]), jt.ShapeError, r"mean of shape \(2,\) does not broadcast to shape=\(3,\)"),
        (lambda g: g.uniform((), 0, [1.0]), jt.ShapeError, r"high of shape \(1,\) does not broadcast to shape=\(\)"),
        (lambda g: g.exponential(3, -1), RandomError, r"exponential\(\) got scale=-1.0: it must be a finite number, 0"),
        (lambda g: g.gumbel(3, 0, math.inf), RandomError, r"gumbel\(\) got scale=inf"),
        (lambda g: g.truncated_normal(3, std=-1), RandomError, r"truncated_normal\(\) got std=-1.0"),
        (
            lambda g: g.truncated_normal(3, 1, 1),
            RandomError,
            r"truncated_normal\(\) .* got low=1.0, high=1.0: high must",
        ),
        (lambda g: g.truncated_normal(3, math.nan), RandomError, "low=nan"),
        (lambda g: g.truncated_normal(3, 40, 41), RandomError, r"must meet \[-37, 37\]"),
        (lambda g: g.bernoulli(1.5), RandomError, r"bernoulli\(\) got p=1.5: a probability is in \[0, 1\]"),
        (
            lambda g: g.bernoulli([0.5, 0.5], (3,)),
            jt.ShapeError,
            r"bernoulli\(\): p of shape \(2,\) does not broadcast",
        ),
        (lambda g: g.categorical(1.0), jt.ShapeError, r"categorical\(\) needs logits along an axis"),
        (
            lambda g: g.categorical([]),
            jt.ShapeError,
            r"categorical\(\): logits of shape \(0,\).* there must be a category",
        ),
        (
            lambda g: g.categorical([[1.0], [1.0]], 3),
            jt.ShapeError,
            r"of shape \(2, 1\).* draws of shape \(2,\).*shape=\(3,\)",
        ),
        (lambda g: g.categorical([1.0], axis=1), jt.ShapeError, "axis 1 does not fit 1 dimension"),
        (
            lambda g: g.choice(3, 4, replace=False),
            RandomError,
            r"choice\(\) of 4 from 3 without replacement: there are too",
        ),
        (lambda g: g.choice(0, 1), RandomError, r"choice\(\) of 1 from 0 with replacement"),
        (lambda g: g.choice(2.5), jt.DTypeError, r"choice\(\): x is 2.5 \(float\); expected an int"),
        (lambda g: g.choice(3, p=[1.0, 2.0]), jt.ShapeError, r"choice\(\): p has shape \(2,\); expected \(3,\)"),
        (
            lambda g: g.choice(2, p=[1.0, -2.0]),
            RandomError,
            "weights p must be finite and not negative, and at least 1 of",
        ),
        (lambda g: g.choice(2, p=[1.0, math.nan]), RandomError, "weights p must be finite"),
        (lambda g: g.choice(3, 2, replace=False, p=[1.0, 0.0, 0.0]), RandomError, "at least 2 of them above 0"),
        (lambda g: g.load_state({}), RandomError, "needs 'key' and 'counter', and nothing else; got nothing"),
        (lambda g: g.load_state({"key": 1, "c": 2}), RandomError, "got 'key', 'c'"),
        (lambda g: g.load_state(g.state()), RandomError, r"the generator's own tensors.*copy.deepcopy\(g.state\(\)\)"),
        (
            lambda g: g.load_state({"key": np.zeros(2), "counter": words([0] * 4)}),
            jt.DTypeError,
            "'key' is a ndarray of dtype float64; expected a tensor or an array of uint64",
        ),
        (
            lambda g: g.load_state({"key": [1, 2], "counter": words([0] * 4)}),
            jt.DTypeError,
            "'key' is a list of dtype None",
        ),
        (
            lambda g: g.load_state({"key": words([9, 9]), "counter": words([0] * 5)}),
            jt.ShapeError,
            r"'counter' has shape \(5,\); expected \(4,\)",
        ),
    ],
)
def test_errors(backend, draw, error, text):
    g = Generator(1, device=backend)
    with pytest.raises(error, match=text) as caught:
        draw(g)
    assert isinstance(caught.value, jt.JITrenchError)
    assert isinstance(caught.value, TypeError if error is jt.DTypeError else ValueError)
    assert [t.tolist() for t in g.state().values()] == [[1, 0], [0, 0, 0, 0]]  # nothing was drawn or changed


@pytest.mark.parametrize(
    ("seed", "error", "text"),
    [
        (-1, RandomError, r"the seed -1 is out of range, which is 0 to 2\*\*128 - 1"),
        (2**128, RandomError, "out of range"),
        (1.5, jt.DTypeError, r"Generator\(\): seed is 1.5 \(float\); expected an int"),
        ("a", jt.DTypeError, "seed is 'a'"),
    ],
)
def test_bad_seeds(backend, seed, error, text):
    with pytest.raises(error, match=text):
        Generator(seed, device=backend)


def test_equal_bounds_and_no_spread_are_constants(backend):
    g = Generator(1, device=backend)
    assert g.uniform(3, 2, 2).tolist() == [2.0, 2.0, 2.0]
    assert g.normal(3, 2, 0).tolist() == [2.0, 2.0, 2.0]


def test_parameters_are_not_moved_between_devices(backend):
    other = next((d for d in ("strict:0", "numpy", "strict:1") if d != backend and installed(d)), None)
    if other is None:
        pytest.skip("needs two devices")
    g = Generator(1, device=backend)
    with pytest.raises(jt.DeviceMismatchError, match=f"{other}|{backend}"):
        g.normal((2,), jt.tensor([1.0, 2.0], device=other))
    with pytest.raises(jt.DeviceMismatchError):
        g.permutation(jt.tensor([1.0, 2.0], device=other))


def installed(device):
    try:
        jt.device(device)
    except jt.NotFoundError:
        return False
    return True


def test_logits_that_give_no_probabilities(backend, T):
    g = generator(backend)
    inf = float("inf")
    for logits in ([float("nan"), 0.0], [inf, 0.0], [-inf, -inf], [[0.0, 1.0], [-inf, -inf]]):
        with pytest.raises(
            jt.random.RandomError, match=r"categorical\(\): logits must not be NaN or \+inf, and not all"
        ):
            g.categorical(T(logits))
    with pytest.raises(jt.DTypeError, match=r"categorical\(\): logits have dtype complex128; expected real numbers"):
        g.categorical(T([1j, 0.0]))
    assert g.categorical(T([-inf, 0.0]), 5).tolist() == [1] * 5
    assert g.categorical(T(np.zeros((0, 3)))).shape == (0,)
    assert jt.vmap(lambda x: g.categorical(x))(T([[0.0, -inf], [-inf, 0.0]])).tolist() == [0, 1]


# -- using ----------------------------------------------------------------------------------------------------------


def test_using_is_the_default_generator_of_a_block(fresh):
    jt.random.seed(1)
    outer = jt.random.default_generator()
    g, h = Generator(7), Generator(8)
    with jt.random.using(g) as entered:
        assert entered is g is jt.random.default_generator()
        first = jt.random.uniform((3,))
        with jt.random.using(h):
            assert jt.random.default_generator() is h
        jt.random.seed(7)  # starts the one in use again
        assert jt.random.uniform((3,)).tolist() == first.tolist() == Generator(7).uniform((3,)).tolist()
        assert jt.random.default_generator() is g
    assert jt.random.default_generator() is outer
    assert jt.random.normal((3,)).tolist() == Generator(1).normal((3,)).tolist()
    with pytest.raises(ZeroDivisionError), jt.random.using(g):
        raise ZeroDivisionError
    assert jt.random.default_generator() is outer
    with pytest.raises(RandomError, match=r"using\(\) takes a Generator, such as jt\.random\.Generator\(0\); got int"):
        jt.random.using(0)


def test_using_ends_its_own_block(fresh):
    """A generator function may leave its block after a later one began, or in another context."""

    def held(g):
        with jt.random.using(g):
            while True:
                yield

    g, h, other = (jt.random.Generator(n) for n in (1, 2, 3))
    inside = held(g)
    next(inside)
    with jt.random.using(h):
        inside.close()
        assert jt.random.default_generator() is h
    assert jt.random.default_generator() not in (g, h)
    inside = held(g)
    next(inside)
    contextvars.copy_context().run(inside.close)
    assert jt.random.default_generator() is not g
    block = jt.random.using(g)  # one object, nested and left in two threads
    with block, jt.random.using(other), block:
        thread = threading.Thread(target=block.__enter__)
        thread.start()
        thread.join()
        block.__exit__()
        assert jt.random.default_generator() is other
        block.__enter__()
    block.__exit__()


def test_using_is_of_one_thread_or_task(fresh):
    import asyncio

    g, h = Generator(7), Generator(8)
    outer = jt.random.default_generator()
    with jt.random.using(g):
        assert in_threads(2, jt.random.default_generator) == [outer, outer]

    async def look(generator):
        with jt.random.using(generator):
            await asyncio.sleep(0)
            return jt.random.default_generator()

    async def both():
        return await asyncio.gather(look(g), look(h))

    assert asyncio.run(both()) == [g, h]

    async def late():
        await asyncio.sleep(0)
        return jt.random.default_generator()

    async def copied():
        with jt.random.using(g):
            task = asyncio.create_task(late())
        return await task

    assert asyncio.run(copied()) is outer  # the block has been left when the task looks
