"""Random numbers: ``Generator``, and functions that draw from a default one.

The bits are Philox4x64-10's, a cipher applied to a counter, so any backend computes the same ones: raw bits, uniforms,
integers and permutations of one seed are identical on every backend and platform, normals up to rounding.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextvars import ContextVar
from operator import index
from threading import Lock
from typing import TYPE_CHECKING, Any, final

from .backend import Device, owner
from .dtypes import bool_, float64, int64, uint64
from .dtypes import dtype as as_dtype
from .errors import DTypeError, JITrenchError, ShapeError
from .ops.creation import asarray, tensor, zeros
from .ops.elementwise import isfinite, minimum, where
from .ops.random import (
    advance_counter,
    random_bits,
    random_exponential,
    random_gumbel,
    random_integers,
    random_normal,
    random_order,
    random_truncated_normal,
    random_uniform,
)
from .ops.reductions import all as all_
from .ops.reductions import max as max_
from .ops.reductions import softmax
from .ops.reductions import sum as sum_
from .ops.scans import cumulative_sum
from .ops.shapes import astype, expand_dims, normalize_axes, permute_dims, reshape
from .ops.sorting import argsort, searchsorted
from .tensor import ArrayLike, Tensor, assign
from .transforms.checkpointing import moves

_WORD = 2**64 - 1
_STATE = {"key": (2,), "counter": (4,)}


class RandomError(JITrenchError, ValueError):
    """A seed, a state, a range or a spread that random numbers cannot be drawn from."""


@final
class Generator:
    """A stream of random numbers. One generator may serve several threads.

    ``seed`` is an int in [0, 2**128) and is the key itself, so ``Generator(s)`` holds the stream of NumPy's
    ``Philox(key=s)``; None takes 128 bits from the operating system. ``device`` is where draws are made and stay (None:
    the default one).

    A draw of n numbers takes n 64-bit words (``integers`` over a range above 2**32 twice as many), rounded up to whole
    blocks of four. The first k of n numbers are those that a draw of k gives; float32 takes what float64 does. Draws
    are constants to differentiation; a Tensor passed as ``low``, ``high``, ``mean`` or ``std`` gets its gradient.
    Inside ``vmap`` a draw is made once, for all examples.

    Raises ``DTypeError`` for a seed that is no int, and ``RandomError`` for one out of range.

    >>> import jitrench_core as jt
    >>> g = jt.random.Generator(0)
    >>> g.integers(0, 10, 8)
    Tensor([0, 2, 1, 5, 5, 2, 9, 9])
    >>> g.permutation(5)
    Tensor([3, 1, 0, 4, 2])
    >>> g
    Generator(seed=0, counter=4, device='numpy')
    """

    __slots__ = ("_counter", "_key", "_lock")

    def __init__(self, seed: int | None = None, *, device: Any = None) -> None:
        number = _seed(seed)
        self._key = tensor([number & _WORD, number >> 64], dtype=uint64, device=device)
        self._counter = zeros(4, dtype=uint64, device=device)
        self._lock = Lock()

    def __repr__(self) -> str:
        seed, counter = (sum(w << 64 * i for i, w in enumerate(t.tolist())) for t in (self._key, self._counter))
        return f"Generator(seed={seed}, counter={counter}, device={str(self.device)!r})"

    @property
    def device(self) -> Device:
        """Where draws are made."""
        return self._key.device

    # -- state ------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """The state itself: ``key``, uint64 of shape (2,), and ``counter``, uint64 of shape (4,), which draws advance.

        These are the generator's own tensors. To come back to this point later, keep a copy of them.

        >>> import copy
        >>> import jitrench_core as jt
        >>> g = jt.random.Generator(3)
        >>> saved = copy.deepcopy(g.state())
        >>> a = g.normal((2,))
        >>> g.load_state(saved)
        >>> bool((g.normal((2,)) == a).all())
        True
        """
        return {"key": self._key, "counter": self._counter}

    def load_state(self, state: Mapping[str, ArrayLike]) -> None:
        """Go on from ``state``: ``key`` and ``counter``, tensors or arrays, from any device.

        Raises ``RandomError`` where the names differ, ``ShapeError`` where a shape does, and ``DTypeError`` for a dtype
        that is not uint64; nothing is changed then.
        """
        if state.keys() != _STATE.keys():
            names = ", ".join(map(repr, state)) or "nothing"
            raise RandomError(f"load_state() needs 'key' and 'counter', and nothing else; got {names}")
        if state["key"] is self._key or state["counter"] is self._counter:
            raise RandomError(
                "load_state() got the generator's own tensors, which draws have changed: keep a copy at the point to "
                "come back to, saved = copy.deepcopy(g.state())"
            )
        new = {}
        for name, shape in _STATE.items():
            value = state[name]
            dtype = getattr(value, "dtype", None)
            if dtype is None or as_dtype(dtype) != uint64:
                what = f"{type(value).__name__} of dtype {dtype}"
                raise DTypeError(f"load_state(): {name!r} is a {what}; expected a tensor or an array of uint64")
            new[name] = value.to(self.device) if type(value) is Tensor else tensor(value, device=self.device)
            if new[name].shape != shape:
                raise ShapeError(f"load_state(): {name!r} has shape {new[name].shape}; expected {shape}")
        moves(self)
        with self._lock:
            assign(self._key, new["key"])
            assign(self._counter, new["counter"])

    def __getstate__(self) -> dict[str, Tensor]:
        """For pickle and copy: new Tensors, so that a copy's draws do not move the original."""
        with self._lock:
            return {"key": self._key.detach(), "counter": self._counter.detach()}

    def __setstate__(self, state: dict[str, Tensor]) -> None:
        self._key, self._counter, self._lock = state["key"], state["counter"], Lock()

    def split(self, n: int) -> list[Generator]:
        """``n`` generators with streams of their own, on this one's device; each key is two words of this stream.

        This generator moves on, so a second split gives other streams. That two of m streams share a key has a chance
        of m**2 / 2**129.

        >>> import jitrench_core as jt
        >>> a, b = jt.random.Generator(1).split(2)
        >>> a.integers(0, 100, 4), b.integers(0, 100, 4)
        (Tensor([64, 34, 57, 18]), Tensor([ 9, 14, 92, 70]))
        """
        (n,) = _shape("split", n)
        keys = reshape(self._draw(random_bits, 2 * n, n=2 * n), (n, 2))
        children = [Generator.__new__(Generator) for _ in range(n)]
        for i, child in enumerate(children):
            child.__setstate__({"key": keys[i], "counter": zeros(4, dtype=uint64, device=self.device)})
        return children

    spawn = split  # NumPy's name for it

    def _draw(self, op: Any, words: int, **attrs: Any) -> Tensor:
        """Take ``words`` words off the stream, for ``op``."""
        moves(self)
        with self._lock:
            key, counter = self._key.detach(), self._counter.detach()
            assign(self._counter, advance_counter(counter, blocks=-(-words // 4)))
        return op(key, counter, **attrs)  # type: ignore[no-any-return]

    # -- draws ------------------------------------------------------------------------------------------------------

    def bits(self, shape: int | tuple[int, ...]) -> Tensor:
        """Raw words of the stream, uint64: those of NumPy's ``Philox(key=, counter=).random_raw``.

        >>> import jitrench_core as jt
        >>> hex(jt.random.Generator(0).bits(1)[0].item())
        '0x2f4ba6408e4d89b'
        """
        shape = _shape("bits", shape)
        n = math.prod(shape)
        return reshape(self._draw(random_bits, n, n=n), shape)

    def uniform(
        self,
        shape: int | tuple[int, ...] = (),
        low: ArrayLike = 0.0,
        high: ArrayLike = 1.0,
        *,
        dtype: Any = None,
    ) -> Tensor:
        """Numbers from [low, high): ``low + (high - low) * u``.

        u is in [0, 1), a multiple of 2**-53 (float32: of 2**-24, cut off from the float64 one). ``low`` and ``high``
        are numbers, or Tensors that broadcast to ``shape`` and get gradients. Where ``low`` is not 0, rounding may give
        ``high`` itself. ``dtype`` is float32 or float64; without it, that of the Tensors, else float64.

        Raises ``RandomError`` for numbers with ``high`` below ``low``, or not finite; ``ShapeError`` for a negative
        length, and for a Tensor that does not broadcast to ``shape``; ``DTypeError`` for any other dtype.

        >>> import jitrench_core as jt
        >>> jt.random.Generator(0).uniform((3,))
        Tensor([0.01154675, 0.2415492 , 0.11142586])
        """
        shape = _shape("uniform", shape)
        low, high, dtype = self._parameters("uniform", shape, dtype, low=low, high=high)
        numbers = isinstance(low, float) and isinstance(high, float)
        if numbers and not 0 <= high - low < math.inf:
            raise RandomError(
                f"uniform() draws from [low, high), got low={low}, high={high}: high must be above low, both finite"
            )
        n = math.prod(shape)
        u = reshape(self._draw(random_uniform, n, n=n, dtype=dtype), shape)
        return u if numbers and low == 0 and high == 1 else low + (high - low) * u

    def normal(
        self,
        shape: int | tuple[int, ...] = (),
        mean: ArrayLike = 0.0,
        std: ArrayLike = 1.0,
        *,
        dtype: Any = None,
    ) -> Tensor:
        """Normally distributed numbers: ``mean + std * z``, with z by the method of Box and Muller in float64.

        ``mean`` and ``std`` are numbers, or Tensors that broadcast to ``shape`` and get gradients. ``dtype`` is float32
        or float64; without it, that of the Tensors, else float64. float32 z is the float64 one, rounded; none
        is farther from 0 than 8.58.

        Raises ``RandomError`` for a number ``std`` that is negative or not finite; ``ShapeError`` for a negative
        length, and for a Tensor that does not broadcast to ``shape``; ``DTypeError`` for any other dtype.

        >>> import jitrench_core as jt
        >>> mean = jt.tensor([10.0, 20.0], requires_grad=True)
        >>> jt.random.Generator(0).normal((3, 2), mean).sum().backward()
        >>> mean.grad
        Tensor([3., 3.])
        """
        shape = _shape("normal", shape)
        mean, std, dtype = self._parameters("normal", shape, dtype, mean=mean, std=std)
        _spread("normal", "std", std)
        n = math.prod(shape)
        return _placed(reshape(self._draw(random_normal, n, n=n, dtype=dtype), shape), mean, std)

    def integers(self, low: int, high: int, shape: int | tuple[int, ...] = (), *, dtype: Any = int64) -> Tensor:
        """Integers from [low, high), of any integer ``dtype`` that holds them.

        Each is the integer part of ``(high - low) * u``, with u of 64 bits, or of 128 where ``high - low`` is above
        2**32. Nothing is rejected; each value's probability is right up to a factor of 1 +- 2**-32.

        Raises ``RandomError`` for ``high`` not above ``low``, ``ShapeError`` for a negative length, and ``DTypeError``
        where ``low`` and ``high`` are not ints, or ``dtype`` does not hold them.

        >>> import jitrench_core as jt
        >>> jt.random.Generator(0).integers(1, 7, 10)
        Tensor([1, 2, 1, 4, 4, 2, 6, 6, 2, 2])
        """
        shape = _shape("integers", shape)
        low, high = _integer("integers", "low", low), _integer("integers", "high", high)
        if high <= low:
            raise RandomError(f"integers() draws from [low, high), got low={low}, high={high}: high must be above low")
        dtype = as_dtype(dtype)
        if dtype.kind not in "iu":
            raise DTypeError(f"integers() makes integers, not {dtype}: convert them, .astype({str(dtype)!r})")
        least, limit = (-(2 ** (dtype.bits - 1)), 2 ** (dtype.bits - 1)) if dtype.kind == "i" else (0, 2**dtype.bits)
        if low < least or high > limit:
            raise DTypeError(f"integers() from [{low}, {high}) do not fit {dtype}, which holds [{least}, {limit})")
        n = math.prod(shape)
        words = n if high - low <= 2**32 else 2 * n
        return reshape(self._draw(random_integers, words, n=n, low=low, high=high, dtype=dtype), shape)

    def permutation(self, x: int | ArrayLike) -> Tensor:
        """The integers 0 .. x-1 in random order, int64; or the rows of a Tensor ``x``, its axis 0, with its gradient.

        The order is that of random 64-bit words, a word a row, on every backend.

        Raises ``ShapeError`` for a negative number and ``DTypeError`` for one that is no int.

        >>> import jitrench_core as jt
        >>> jt.random.Generator(0).permutation(jt.tensor([1.0, 3.0, 5.0]))
        Tensor([1., 5., 3.])
        """
        rows: Tensor | None = None
        if _has_axes(x):
            rows = self._tensor(x)
            n = len(rows)
        else:
            n = _integer("permutation", "x", x)
            if n < 0:
                raise ShapeError(f"permutation({n}): the number of elements must be 0 or above")
        order = random_order(self._draw(random_bits, n, n=n))
        return order if rows is None else rows[order]

    def exponential(self, shape: int | tuple[int, ...] = (), scale: ArrayLike = 1.0, *, dtype: Any = None) -> Tensor:
        """Exponentially distributed numbers of mean ``scale``: ``scale * -log(1 - u)``.

        ``scale`` is a number, or a Tensor that broadcasts to ``shape`` and gets a gradient. ``dtype`` and errors are those
        of ``normal``.

        >>> import jitrench_core as jt
        >>> jt.random.Generator(0).exponential((3,), 10.0)
        Tensor([0.11613936, 2.76477343, 1.18137186])
        """
        shape = _shape("exponential", shape)
        scale, dtype = self._parameters("exponential", shape, dtype, scale=scale)
        _spread("exponential", "scale", scale)
        n = math.prod(shape)
        return _placed(reshape(self._draw(random_exponential, n, n=n, dtype=dtype), shape), 0.0, scale)

    def gumbel(
        self, shape: int | tuple[int, ...] = (), loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, *, dtype: Any = None
    ) -> Tensor:
        """Gumbel distributed numbers, as largest values are: ``loc + scale * -log(-log(1 - u))``.

        ``loc`` and ``scale`` are numbers, or Tensors that broadcast to ``shape`` and get gradients. ``dtype`` and errors are
        those of ``normal``.
        """
        shape = _shape("gumbel", shape)
        loc, scale, dtype = self._parameters("gumbel", shape, dtype, loc=loc, scale=scale)
        _spread("gumbel", "scale", scale)
        n = math.prod(shape)
        return _placed(reshape(self._draw(random_gumbel, n, n=n, dtype=dtype), shape), loc, scale)

    def truncated_normal(
        self,
        shape: int | tuple[int, ...] = (),
        low: float = -2.0,
        high: float = 2.0,
        mean: ArrayLike = 0.0,
        std: ArrayLike = 1.0,
        *,
        dtype: Any = None,
    ) -> Tensor:
        """Normally distributed numbers, of which only those in ``mean + std * [low, high]`` are drawn.

        ``low`` and ``high`` are numbers, in standard deviations; infinite ones are no bound. ``mean``, ``std``, ``dtype`` and
        errors are those of ``normal``. Nothing is rejected: far tails are as good as the middle.

        Raises ``RandomError`` where ``high`` is not above ``low``, or both are beyond 37 standard deviations on one side.

        >>> import jitrench_core as jt
        >>> jt.random.Generator(0).truncated_normal((3,), low=0.0)
        Tensor([0.01381368, 0.29310571, 0.13369463])
        """
        shape = _shape("truncated_normal", shape)
        mean, std, dtype = self._parameters("truncated_normal", shape, dtype, mean=mean, std=std)
        _spread("truncated_normal", "std", std)
        low, high = float(low), float(high)
        if not low < high or low > 37 or high < -37:
            raise RandomError(
                f"truncated_normal() draws from [low, high], got low={low}, high={high}: high must be above low, and the "
                f"range must meet [-37, 37], outside of which there is no float64's worth of probability"
            )
        n = math.prod(shape)
        z = reshape(self._draw(random_truncated_normal, n, n=n, low=low, high=high, dtype=dtype), shape)
        return _placed(z, mean, std)

    def bernoulli(
        self, p: ArrayLike = 0.5, shape: int | tuple[int, ...] | None = None, *, dtype: Any = bool_
    ) -> Tensor:
        """True with probability ``p``: where u < p, with u of 53 bits, a word each. Always for 1, never for 0.

        ``p`` is a number, or a Tensor that broadcasts to ``shape`` (None: p's own); it gets no gradient. ``dtype`` may be that
        of a mask to multiply by.

        Raises ``RandomError`` for a number outside of [0, 1], ``ShapeError`` for a Tensor that does not broadcast to ``shape``.

        >>> import jitrench_core as jt
        >>> jt.random.Generator(0).bernoulli(0.2, (4,))
        Tensor([ True, False,  True, False])
        """
        shape = tuple(getattr(p, "shape", ())) if shape is None else _shape("bernoulli", shape)
        p, _ = self._parameters("bernoulli", shape, float64, p=p)
        if isinstance(p, float) and not 0 <= p <= 1:
            raise RandomError(f"bernoulli() got p={p}: a probability is in [0, 1]")
        hit = self.uniform(shape) < p
        return hit if as_dtype(dtype) == bool_ else astype(hit, dtype)

    def categorical(self, logits: ArrayLike, shape: int | tuple[int, ...] | None = None, *, axis: int = -1) -> Tensor:
        """Indices along ``axis``, drawn with probability ``softmax(logits)``, with replacement: int64.

        ``shape`` is the result's (None: that of ``logits`` without ``axis``), and what is left of the shape of ``logits``
        broadcasts to it. A word each: the index where the cumulated probabilities, in float64, exceed u. One of probability 0,
        such as that of -inf, is never drawn. Backends differ only where u is within rounding of a border. ``logits`` get no
        gradient.

        Raises ``ShapeError`` for logits without axes or elements, or that do not broadcast to ``shape``; ``RandomError`` where
        one is NaN or +inf, or all are -inf; ``DTypeError`` where they are no real numbers.

        >>> import jitrench_core as jt
        >>> jt.random.Generator(0).categorical(jt.log(jt.tensor([0.1, 0.2, 0.7])), (8,))
        Tensor([0, 1, 1, 2, 2, 1, 2, 2])
        """
        logits = self._tensor(logits).detach()
        if not logits.ndim:
            raise ShapeError("categorical() needs logits along an axis, and these have none: their shape is ()")
        (axis,) = normalize_axes(axis, logits.ndim)
        logits = permute_dims(logits, (*(i for i in range(logits.ndim) if i != axis), axis))
        shape = logits.shape[:-1] if shape is None else _shape("categorical", shape)
        if not logits.shape[-1] or not _fits(logits.shape[:-1], shape):
            raise ShapeError(
                f"categorical(): logits of shape {logits.shape}, with their categories last, give draws of shape "
                f"{logits.shape[:-1]}, which must broadcast to shape={shape}; and there must be a category"
            )
        if logits.dtype.kind not in "fiu":
            raise DTypeError(f"categorical(): logits have dtype {logits.dtype}; expected real numbers")
        logits = astype(logits, float64)
        if not owner(type(logits.data)).depth and not bool(all_(isfinite(max_(logits, axis=-1)))):
            raise RandomError(
                "categorical(): logits must not be NaN or +inf, and not all -inf: they give no probabilities then"
            )
        return self._pick(softmax(logits, axis=-1), shape)

    def _pick(self, weights: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Indices along the last axis of ``weights``, drawn in proportion."""
        edges = cumulative_sum(weights, axis=-1)
        total = edges[..., -1:]  # the first edge of this height is the last that may be drawn
        if edges.ndim == 1:
            found = searchsorted(edges, self.uniform(shape) * total[0], side="right")
            return minimum(found, searchsorted(edges, total[0]))
        u = expand_dims(self.uniform(shape), axis=-1)
        return sum_(astype((edges <= u * total) & (edges < total), int64), axis=-1)

    def choice(
        self,
        x: int | ArrayLike,
        shape: int | tuple[int, ...] = (),
        *,
        replace: bool = True,
        p: ArrayLike | None = None,
    ) -> Tensor:
        """Some of the integers 0 .. x-1, int64; or of the rows of a Tensor ``x``, along its axis 0, with their gradient.

        ``p`` are their weights, which need not add up to 1, in a vector (None: equal ones). Without ``replace`` none is drawn
        twice, as if one after the other. A word each, but without ``replace`` one for each of all.

        Raises ``RandomError`` where there is nothing, or without ``replace`` not enough, to choose from, or for weights that
        are negative, infinite or all 0; ``ShapeError`` for weights of another number.

        >>> import jitrench_core as jt
        >>> jt.random.Generator(0).choice(5, (3,), replace=False)
        Tensor([0, 2, 1])
        """
        shape = _shape("choice", shape)
        rows = self._tensor(x) if _has_axes(x) else None
        n, k = _integer("choice", "x", x) if rows is None else len(rows), math.prod(shape)
        weights = None if p is None else self._weights(p, n, 1 if replace else k)
        if k and n < (1 if replace else k):
            raise RandomError(
                f"choice() of {k} from {n} {'with' if replace else 'without'} replacement: there are too few"
            )
        if weights is None:
            order = self.integers(0, n, shape) if replace and k else self.permutation(n)[:k]
        elif replace:
            order = self._pick(weights, shape)
        else:  # the first k of n alarms, at rates p: Efraimidis and Spirakis, 2006
            never = weights == 0
            order = argsort(where(never, math.inf, self.exponential(n) / where(never, 1.0, weights)))[:k]
        order = reshape(order, shape)
        return order if rows is None else rows[order]

    def _weights(self, p: ArrayLike, n: int, needed: int) -> Tensor:
        weights = astype(self._tensor(p).detach(), float64)
        if weights.shape != (n,):
            raise ShapeError(f"choice(): p has shape {weights.shape}; expected ({n},), a weight for each")
        if not owner(type(weights.data)).depth:  # in a transform they cannot be looked at
            values = weights.tolist()
            if not all(0 <= w < math.inf for w in values) or sum(w > 0 for w in values) < needed:
                raise RandomError(
                    f"choice(): the weights p must be finite and not negative, and at least {needed} of them above 0"
                )
        return weights

    def _tensor(self, x: ArrayLike) -> Tensor:
        """Python data goes to this generator's device; arrays stay where they are, for the op to refuse."""
        return asarray(x, device=self.device if isinstance(x, (list, tuple)) else None)

    def _parameters(self, who: str, shape: tuple[int, ...], dtype: Any, **given: ArrayLike) -> list[Any]:
        """Each parameter as a float or as a Tensor of the draw's dtype; and that dtype."""
        values: list[Any] = []
        for name, value in given.items():
            if type(value) is Tensor or _has_axes(value):
                value = self._tensor(value)
                if value.dtype.kind not in "fiu":
                    raise DTypeError(f"{who}(): {name} has dtype {value.dtype}; expected real numbers")
                if not _fits(value.shape, shape):
                    raise ShapeError(
                        f"{who}(): {name} of shape {value.shape} does not broadcast to shape={shape}, which is the "
                        f"result's: pass the shape that is wanted"
                    )
                values.append(value)
            elif hasattr(value, "__float__"):
                values.append(float(value))
            else:
                raise DTypeError(f"{who}(): {name} is {value!r}; expected a real number or a Tensor")
        if dtype is None:
            floats = [v.dtype for v in values if type(v) is Tensor and v.dtype.kind == "f"]
            dtype = max(floats, key=lambda d: d.bits, default=float64)
        dtype = as_dtype(dtype)
        if dtype.name not in ("float32", "float64"):
            what = f"{who}(...).astype({str(dtype)!r})"
            raise DTypeError(
                f"{who}() draws float32 or float64, not {dtype}: pass dtype= one of these and convert, {what}"
            )
        return [*(astype(v, dtype) if type(v) is Tensor and v.dtype != dtype else v for v in values), dtype]


def _seed(seed: int | None) -> int:
    if seed is None:
        return int.from_bytes(os.urandom(16), "little")
    number = _integer("Generator", "seed", seed)
    if not 0 <= number < 2**128:
        raise RandomError(f"Generator(): the seed {number} is out of range, which is 0 to 2**128 - 1")
    return number


def _placed(z: Tensor, centre: Any, spread: Any) -> Tensor:
    """``centre + spread * z``, without the steps that would change nothing."""
    if not (isinstance(spread, float) and spread == 1):
        z = spread * z
    if not (isinstance(centre, float) and centre == 0):
        z = centre + z
    return z


def _spread(who: str, name: str, value: float | Tensor) -> None:
    if isinstance(value, float) and not 0 <= value < math.inf:
        raise RandomError(f"{who}() got {name}={value}: it must be a finite number, 0 or above")


def _integer(who: str, name: str, value: Any) -> int:
    try:
        return index(value)
    except TypeError:
        raise DTypeError(f"{who}(): {name} is {value!r} ({type(value).__name__}); expected an int") from None


def _shape(who: str, shape: Any) -> tuple[int, ...]:
    lengths = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    out = tuple(_integer(who, "a length in the shape", n) for n in lengths)
    if any(n < 0 for n in out):
        raise ShapeError(f"{who}(): the shape {shape!r} has a negative length")
    return out


def _has_axes(x: Any) -> bool:
    return isinstance(x, (list, tuple)) or bool(getattr(x, "shape", None))


def _fits(shape: tuple[int, ...], wide: tuple[int, ...]) -> bool:
    """Whether ``shape`` broadcasts to ``wide``."""
    tail = wide[len(wide) - len(shape) :]
    return len(shape) <= len(wide) and all(n in (1, m) for n, m in zip(shape, tail, strict=True))


# -- the default generator ------------------------------------------------------------------------------------------

_default: Generator | None = None
_making = Lock()


@final
class _Block:
    """A ``using`` block: its generator, and None when it was left, also where a task or thread copied the context before."""

    __slots__ = ("generator",)

    def __init__(self, generator: Generator) -> None:
        self.generator: Generator | None = generator


# Not empty while any thread is inside using(): only then is the context variable asked.
_blocks: list[None] = []
_using: ContextVar[tuple[_Block, ...]] = ContextVar("using", default=())


def default_generator() -> Generator:
    """The generator behind this module's functions: that of ``using``, else the program's own.

    That one is on the default device, and is made, without a seed, when first used.
    """
    global _default
    if _blocks:
        for block in reversed(_using.get()):
            if (generator := block.generator) is not None:
                return generator
    if _default is None:
        with _making:
            if _default is None:
                _default = Generator()
    return _default


@final
class using:
    """``with using(generator):`` it is the default generator in this block, of the current thread or task, as with ``no_grad``.

    The program's own generator neither moves nor is seen there; ``seed`` starts ``generator`` again. Blocks nest.

    Raises ``RandomError`` for what is no Generator.

    >>> import jitrench_core as jt
    >>> with jt.random.using(jt.random.Generator(7)):
    ...     jt.random.uniform((2,))
    Tensor([0.87207345, 0.29536538])
    """

    __slots__ = ("_entered", "generator")

    def __init__(self, generator: Generator) -> None:
        if type(generator) is not Generator:
            raise RandomError(
                f"random.using() takes a Generator, such as jt.random.Generator(0); got {type(generator).__name__}"
            )
        self.generator = generator
        self._entered: list[_Block] = []  # several where blocks of one object nest, or threads share it

    def __enter__(self) -> Generator:
        block = _Block(self.generator)
        self._entered.append(block)
        _blocks.append(None)
        _using.set((*(b for b in _using.get() if b.generator is not None), block))
        return self.generator

    def __exit__(self, *exc: object) -> None:
        # Its own block, which a generator function may leave after those that came later, or in another context.
        mine = next((b for b in reversed(_using.get()) if b in self._entered), self._entered[-1])
        mine.generator = None
        self._entered.remove(mine)
        _using.set(tuple(b for b in _using.get() if b.generator is not None))
        _blocks.pop()


def seed(n: int | None = None) -> None:
    """Start the default generator's stream again, at ``n`` as in ``Generator(n)``.

    >>> import jitrench_core as jt
    >>> jt.random.seed(7)
    >>> jt.random.uniform((2,))
    Tensor([0.87207345, 0.29536538])
    """
    g = default_generator()
    g.load_state(Generator(n, device=g.device).state())


def uniform(
    shape: int | tuple[int, ...] = (), low: ArrayLike = 0.0, high: ArrayLike = 1.0, *, dtype: Any = None
) -> Tensor:
    """Numbers from [low, high): ``Generator.uniform`` of the default generator."""
    return default_generator().uniform(shape, low, high, dtype=dtype)


def normal(
    shape: int | tuple[int, ...] = (), mean: ArrayLike = 0.0, std: ArrayLike = 1.0, *, dtype: Any = None
) -> Tensor:
    """Normally distributed numbers, of shape ``shape`` (first, unlike NumPy's): ``Generator.normal`` of the default generator."""
    return default_generator().normal(shape, mean, std, dtype=dtype)


def integers(low: int, high: int, shape: int | tuple[int, ...] = (), *, dtype: Any = int64) -> Tensor:
    """Integers from [low, high): ``Generator.integers`` of the default generator."""
    return default_generator().integers(low, high, shape, dtype=dtype)


def permutation(x: int | ArrayLike) -> Tensor:
    """0 .. x-1, or the rows of x, in random order: ``Generator.permutation`` of the default generator."""
    return default_generator().permutation(x)


def exponential(shape: int | tuple[int, ...] = (), scale: ArrayLike = 1.0, *, dtype: Any = None) -> Tensor:
    """Exponentially distributed numbers of mean ``scale``: ``Generator.exponential`` of the default generator."""
    return default_generator().exponential(shape, scale, dtype=dtype)


def gumbel(
    shape: int | tuple[int, ...] = (), loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, *, dtype: Any = None
) -> Tensor:
    """Gumbel distributed numbers: ``Generator.gumbel`` of the default generator."""
    return default_generator().gumbel(shape, loc, scale, dtype=dtype)


def truncated_normal(
    shape: int | tuple[int, ...] = (),
    low: float = -2.0,
    high: float = 2.0,
    mean: ArrayLike = 0.0,
    std: ArrayLike = 1.0,
    *,
    dtype: Any = None,
) -> Tensor:
    """Normally distributed numbers within ``low`` to ``high`` standard deviations: ``Generator.truncated_normal`` of the default generator."""
    return default_generator().truncated_normal(shape, low, high, mean, std, dtype=dtype)


def bernoulli(p: ArrayLike = 0.5, shape: int | tuple[int, ...] | None = None, *, dtype: Any = bool_) -> Tensor:
    """True with probability ``p``: ``Generator.bernoulli`` of the default generator."""
    return default_generator().bernoulli(p, shape, dtype=dtype)


def categorical(logits: ArrayLike, shape: int | tuple[int, ...] | None = None, *, axis: int = -1) -> Tensor:
    """Indices along ``axis``, drawn with probability ``softmax(logits)``: ``Generator.categorical`` of the default generator."""
    return default_generator().categorical(logits, shape, axis=axis)


def choice(
    x: int | ArrayLike, shape: int | tuple[int, ...] = (), *, replace: bool = True, p: ArrayLike | None = None
) -> Tensor:
    """Some of 0 .. x-1, or of the rows of x: ``Generator.choice`` of the default generator."""
    return default_generator().choice(x, shape, replace=replace, p=p)


if not TYPE_CHECKING:  # a type checker knows the names that are

    def __getattr__(name: str) -> object:
        from .spellings import missing

        raise missing(__name__, name)


__all__ = [
    "Generator",
    "RandomError",
    "bernoulli",
    "categorical",
    "choice",
    "default_generator",
    "exponential",
    "gumbel",
    "integers",
    "normal",
    "permutation",
    "seed",
    "truncated_normal",
    "uniform",
    "using",
]
