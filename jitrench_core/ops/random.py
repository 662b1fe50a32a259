"""Random numbers as functions of a key and a counter: Philox4x64-10, and what draws make of its bits.

Nothing here holds state: ``jitrench_core.random`` does. ``key`` is uint64 of shape (2,), ``counter`` of shape (4,),
least significant word first, as in NumPy's ``Philox``. Block i of a stream is the cipher of ``counter + 1 + i``.

Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC '11.
"""

from __future__ import annotations

import math
from typing import Any

from ..dtypes import dtype as as_dtype
from ..op import op
from .elementwise import abs as abs_
from .elementwise import clip, cos, log, log1p, maximum, minimum, sin, sqrt, where
from .shapes import astype, reshape, stack

_LOW = 0xFFFFFFFF
_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)  # what each round adds to the key
_BUMPS = [[w * r & (2**64 - 1) for w in _WEYL] for r in range(10)]

_CONSTANT = {"key": None, "counter": None}


def _samples(**attrs: Any) -> Any:
    def samples(rng: Any) -> Any:
        return tuple(rng.integers(0, 2**64, size=n, dtype="uint64") for n in (2, 4)), attrs

    return samples


def _multiply(a: Any, m: int) -> tuple[Any, Any]:
    """The high and the low 64 bits of the 128-bit product of uint64 values and a constant; no step overflows."""
    a_high, a_low = a >> 32, a & _LOW
    m_high, m_low = m >> 32, m & _LOW
    low, cross = a_low * m_low, a_high * m_low
    middle = (low >> 32) + (cross & _LOW) + a_low * m_high  # at most 2**64 - 1
    return a_high * m_high + (cross >> 32) + (middle >> 32), (middle << 32) | (low & _LOW)


def _add(xp: Any, counter: Any, offsets: Any) -> list[Any]:
    """The four words of ``counter + offsets``, modulo 2**256. Words stay 1-d: a NumPy scalar warns where it wraps."""
    words = [counter[0:1] + offsets]
    carry = words[0] < offsets
    for i in range(1, 4):
        word = counter[i : i + 1] + xp.astype(carry, xp.uint64)
        carry = carry & (word == 0)
        words.append(word)
    return words


@op(vjp={"counter": None}, samples=lambda rng: ((rng.integers(0, 2**64, size=4, dtype="uint64"),), {"blocks": 3}))
def advance_counter(xp: Any, counter: Any, /, *, blocks: int) -> Any:
    """The counter after ``blocks`` more blocks, modulo 2**256: uint64 of shape (4,)."""
    return xp.concat(_add(xp, counter, xp.asarray([blocks], dtype=xp.uint64, device=counter.device)))


@op(vjp=_CONSTANT, samples=_samples(n=7))
def random_bits(xp: Any, key: Any, counter: Any, /, *, n: int) -> Any:
    """The first ``n`` words of a Philox4x64-10 stream, uint64, as NumPy's ``Philox(key=, counter=).random_raw(n)``.

    >>> import jitrench_core as jt
    >>> key, counter = jt.zeros(2, dtype="uint64"), jt.zeros(4, dtype="uint64")
    >>> hex(jt.ops.random_bits(key, counter, n=1).item())
    '0x2f4ba6408e4d89b'
    """
    blocks = -(-n // 4)
    a, b, c, d = _add(xp, counter, xp.arange(1, blocks + 1, dtype=xp.uint64, device=counter.device))
    keys = key + xp.asarray(_BUMPS, dtype=xp.uint64, device=key.device)
    for r in range(10):
        a_high, a_low = _multiply(a, _MULTIPLIERS[0])
        c_high, c_low = _multiply(c, _MULTIPLIERS[1])
        a, b, c, d = c_high ^ b ^ keys[r, 0], c_low, a_high ^ d ^ keys[r, 1], a_low
    return xp.reshape(xp.stack([a, b, c, d], axis=1), (4 * blocks,))[0:n]


@op(composite=True, samples=_samples(n=7))
def random_uniform(key: Any, counter: Any, /, *, n: int, dtype: Any = "float64") -> Any:
    """``n`` numbers in [0, 1): the top 53 bits (float32: 24 bits) of a word each, times 2**-53 (2**-24)."""
    bits = 53 if as_dtype(dtype).bits == 64 else 24
    return astype(random_bits(key, counter, n=n) >> (64 - bits), dtype) * 2.0**-bits


@op(composite=True, samples=_samples(n=7))
def random_normal(key: Any, counter: Any, /, *, n: int, dtype: Any = "float64") -> Any:
    """``n`` standard normal numbers by the method of Box and Muller, a pair of words for a pair of numbers.

    It needs nothing beyond the standard's functions and rejects nothing, so that the shape of a draw decides what it
    consumes (the ziggurat rejects, the inverse distribution function is not standard). float32 is the float64 result,
    rounded.
    """
    pairs = -(-n // 2)
    u = reshape(random_uniform(key, counter, n=2 * pairs), (pairs, 2))
    radius = sqrt(-2.0 * log(1.0 - u[:, 0]))  # 1 - u is in (0, 1], and exact; none is above 8.58
    angle = 2 * math.pi * u[:, 1]
    z = reshape(stack(radius * cos(angle), radius * sin(angle), axis=1), (2 * pairs,))
    return astype(z[:n], dtype)


@op(composite=True, samples=_samples(n=7))
def random_exponential(key: Any, counter: Any, /, *, n: int, dtype: Any = "float64") -> Any:
    """``n`` exponentially distributed numbers of mean 1, a word each: -log(1 - u). float32 is the float64 one, rounded."""
    return astype(-log1p(-random_uniform(key, counter, n=n)), dtype)


@op(composite=True, samples=_samples(n=7))
def random_gumbel(key: Any, counter: Any, /, *, n: int, dtype: Any = "float64") -> Any:
    """``n`` standard Gumbel numbers, a word each: -log(-log(1 - u)). float32 is the float64 one, rounded."""
    return astype(_gumbel(random_uniform(key, counter, n=n)), dtype)


def _gumbel(u: Any) -> Any:
    return -log(-log1p(-maximum(u, 2.0**-54)))  # without the bound, one of 2**53 would be infinite


# W. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied Statistics 37 (1988): the
# coefficients of PPND16, highest power first, numerator and denominator; near 0.5, in the tails, and far out.
_CENTRE = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0),
)  # fmt: skip
_TAIL = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258,
     3.64784832476320460504, 5.76949722146069140550, 4.63033784615654529590, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940, 2.05319162663775882187, 1.0),
)  # fmt: skip
_FAR = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
     2.96560571828504891230e-1, 1.78482653991729133580, 5.46378491116411436990, 6.65790464350110377720),
    (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
     1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0),
)  # fmt: skip


def _ratio(coefficients: Any, r: Any) -> Any:
    top, bottom = (_polynomial(c, r) for c in coefficients)
    return top / bottom


def _polynomial(coefficients: tuple[float, ...], r: Any) -> Any:
    y = coefficients[0] * r + coefficients[1]
    for c in coefficients[2:]:
        y = y * r + c
    return y


def _normal_quantile(p: Any) -> Any:
    """Where the normal distribution function is ``p``, which is inside (0, 1); right to about 1e-16, relatively."""
    q = p - 0.5
    r = sqrt(-log(minimum(p, 1 - p)))
    tail = where(r <= 5, _ratio(_TAIL, r - 1.6), _ratio(_FAR, r - 5.0))
    return where(abs_(q) <= 0.425, q * _ratio(_CENTRE, 0.180625 - q * q), where(q < 0, -tail, tail))


@op(composite=True, samples=_samples(n=7, low=-2.0, high=1.0))
def random_truncated_normal(
    key: Any, counter: Any, /, *, n: int, low: float, high: float, dtype: Any = "float64"
) -> Any:
    """``n`` standard normal numbers in [low, high], a word each, by the inverse of the distribution function.

    Nothing is rejected, so far tails are as good as the middle. float32 is the float64 result, rounded.
    """
    u = random_uniform(key, counter, n=n)
    sign = -1.0 if low > 0 else 1.0  # an upper tail is mirrored: there, probabilities near 1 would be rounded
    first, last = (math.erfc(-sign * z / math.sqrt(2)) / 2 for z in (low, high))
    p = clip(first + (last - first) * u, 1e-300, 1 - 2.0**-53)
    return astype(clip(sign * _normal_quantile(p), low, high), dtype)


@op(composite=True, samples=_samples(n=7, low=-3, high=4))
def random_integers(key: Any, counter: Any, /, *, n: int, low: int, high: int, dtype: Any = "int64") -> Any:
    """``n`` integers in [low, high): the integer part of ``(high - low) * u``, with u of 64 bits, or of 128.

    Two words make one number where ``high - low`` is above 2**32. Nothing is rejected; the probability of each value is
    wrong by a factor between 1 - 2**-32 and 1 + 2**-32 at most.
    """
    span = high - low
    if span <= 2**32:
        words = random_bits(key, counter, n=n)
        v = ((words >> 32) * span + ((words & _LOW) * span >> 32)) >> 32
    else:
        words = reshape(random_bits(key, counter, n=2 * n), (n, 2))
        v = words[:, 0]
        if span < 2**64:
            v, rest = _multiply(v, span)
            more, _ = _multiply(words[:, 1], span)
            v = v + astype(rest + more < more, "uint64")  # the sum wraps: that is the carry
    if as_dtype(dtype).name == "uint64":
        return v + low
    if span <= 2**63:
        y = astype(v, "int64") + low
    else:  # v may not fit int64, its halves do, and so does each sum
        half = astype(v >> 1, "int64")
        y = half + low + half + astype(v & 1, "int64")
    return astype(y, dtype)


@op(vjp={"words": None}, samples=lambda rng: ((rng.integers(0, 2**64, size=9, dtype="uint64"),), {}))
def random_order(xp: Any, words: Any, /) -> Any:
    """The permutation that sorts random ``words``, ties in their order: int64. Ties are as rare as n**2 / 2**65."""
    return xp.astype(xp.argsort(words, stable=True), xp.int64, copy=False)


@random_order.batch
def _(batched: Any, words: Any, /) -> Any:
    return random_order(words)
