"""Fourier transforms: complex, of real input, of Hermitian input, and over several axes.

The matrix of a transform is symmetric, so a transform is its own transpose, in every norm; where ``n`` cuts an axis or fills it
with zeros, the transpose fills or cuts. ``rfft`` keeps half of a spectrum: the other half is its mirror image, which is why
the elements that stand for two count twice in ``irfft``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import Any

from ..backend import dtype_of
from ..dtypes import dtype as as_dtype
from ..errors import DTypeError, OpError, ShapeError
from ..op import op
from ..tensor import Tensor
from .creation import arange, asarray, zeros
from .elementwise import conj, positive, where
from .scans import at_axis
from .shapes import astype, concat, normalize_axes, roll, shift_axes

NORMS = {"backward": "forward", "ortho": "ortho", "forward": "backward"}  # and which the inverse direction has


def _resized(x: Any, n: int, axis: int) -> Any:
    """x, cut or filled with zeros at the end of ``axis``, to the length ``n``."""
    (axis,) = normalize_axes(axis, x.ndim)
    missing = n - x.shape[axis]
    if missing > 0:
        more = zeros((*x.shape[:axis], missing, *x.shape[axis + 1 :]), dtype=x.dtype, device=x.device)
        return concat([x, more], axis=axis)
    return x[at_axis(axis, slice(0, n))] if missing else x


def _check(name: str, x: Any, n: int | None, axis: int, norm: str) -> int:
    """The length of ``axis``, of which an error says what is wrong with it."""
    shape = tuple(x.shape)
    if not shape:
        raise ShapeError(f"{name}() transforms an axis, and x has none: its shape is ()")
    length: int = shape[normalize_axes(axis, len(shape))[0]]
    _check_norm(name, norm)
    if n is not None and _whole(name, n) < 1:
        raise ShapeError(f"{name}() got n={n}: the number of points must be 1 or more")
    fewest = 2 if name in ("irfft", "hfft") else 1  # of m elements these two make 2 (m - 1) points
    if n is None and length < fewest:
        raise ShapeError(
            f"{name}() along axis {axis} of shape {shape} has no points to make: it takes {fewest} or more elements, or n"
        )
    return length


def _check_norm(name: str, norm: str) -> None:
    if norm not in NORMS:
        raise OpError(f"{name}() got norm={norm!r}; known are {', '.join(map(repr, NORMS))}")


def _whole(name: str, n: Any) -> int:
    """n, a whole number."""
    try:
        return index(n)
    except TypeError:
        raise OpError(f"{name}() got {n!r}: the number of points must be an integer") from None


def _complex(xp: Any, x: Any) -> Any:
    """x as complex numbers, of its own precision."""
    if xp.isdtype(x.dtype, "complex floating"):
        return x
    double = not xp.isdtype(x.dtype, "real floating") or x.dtype == xp.float64
    return xp.astype(x, xp.complex128 if double else xp.complex64)


def _samples(kind: str, **attrs: Any) -> Callable[[Any], Any]:
    def samples(rng: Any) -> Any:
        x = rng.normal(size=(2, 5))
        return (x if kind == "real" else x + 1j * rng.normal(size=(2, 5)),), attrs

    return samples


def _batched(function: Any) -> Any:
    def rule(batched: Any, x: Any, /, *, axis: int, **attrs: Any) -> Any:
        return function(x, axis=shift_axes(axis, x.ndim - 1), **attrs)

    return rule


# -- one axis -------------------------------------------------------------------------------------------------------


@op(
    linear=("x",),
    vjp=lambda g, x_shape, axis, norm: _resized(fft(g, axis=axis, norm=norm), x_shape[axis], axis),
    samples=_samples("complex"),
)
def fft(xp: Any, x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """The discrete Fourier transform along ``axis``, complex: sum over j of x[j] exp(-2 pi i j k / n).

    ``n`` cuts the axis or fills it with zeros. ``norm`` says where 1/n goes: to the inverse ("backward"), here ("forward"),
    or its root to both ("ortho"). float32 and complex64 give complex64. Raises ``ShapeError`` for ``n`` below 1, ``OpError``
    for another norm.

    >>> import jitrench_core as jt
    >>> jt.fft.fft(jt.tensor([1.0, 2.0, 1.0, 0.0]))
    Tensor([4.+0.j, 0.-2.j, 0.+0.j, 0.+2.j])
    """
    _check("fft", x, n, axis, norm)
    return xp.fft.fft(_complex(xp, x), n=n, axis=axis, norm=norm)


@op(
    linear=("x",),
    vjp=lambda g, x_shape, axis, norm: _resized(ifft(g, axis=axis, norm=norm), x_shape[axis], axis),
    samples=_samples("complex"),
)
def ifft(xp: Any, x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """The inverse of ``fft`` along ``axis``, complex; ``n``, ``norm``, dtypes and errors are those of ``fft``."""
    _check("ifft", x, n, axis, norm)
    return xp.fft.ifft(_complex(xp, x), n=n, axis=axis, norm=norm)


def _weighted(spectrum: Any, n: int, axis: int, edge: float, inner: float) -> Any:
    """Half of a spectrum of ``n`` points, times ``inner`` where an element stands for two, and ``edge`` elsewhere."""
    k = arange(n // 2 + 1, device=spectrum.device)
    weights = where((k == 0) | (2 * k == n), edge, inner)
    if spectrum.dtype.name == "complex64":
        weights = astype(weights, "float32")
    (axis,) = normalize_axes(axis, spectrum.ndim)
    return spectrum * weights[(..., *(None,) * (spectrum.ndim - axis - 1))]


def _rfft_vjp(g: Any, x_shape: tuple[int, ...], n: int | None, axis: int, norm: str) -> Any:
    """The real part of the transpose: what the spectrum's other half would have added is the conjugate of this half."""
    n = x_shape[axis] if n is None else index(n)
    return _resized(hfft(_weighted(g, n, axis, 1.0, 0.5), n=n, axis=axis, norm=norm), x_shape[axis], axis)


@op(linear=("x",), vjp=_rfft_vjp, samples=_samples("real"))
def rfft(xp: Any, x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """The first n // 2 + 1 elements of ``fft`` of real x; the others are their conjugates, in reverse.

    ``n``, ``norm``, dtypes and errors are those of ``fft``; complex input raises ``DTypeError``.

    >>> import jitrench_core as jt
    >>> jt.fft.rfft(jt.tensor([1.0, 2.0, 1.0, 0.0]))
    Tensor([4.+0.j, 0.-2.j, 0.+0.j])
    """
    _check("rfft", x, n, axis, norm)
    if xp.isdtype(x.dtype, "complex floating"):
        dtype = dtype_of(x)
        raise DTypeError(f"rfft() takes real numbers, got {dtype}: use fft, or the real part, jt.real(x)")
    x = x if xp.isdtype(x.dtype, "real floating") else xp.astype(x, xp.float64)
    return xp.fft.rfft(x, n=n, axis=axis, norm=norm)


def _irfft_vjp(g: Any, x_shape: tuple[int, ...], axis: int, norm: str) -> Any:
    n = g.shape[axis]
    return _resized(_weighted(ihfft(g, axis=axis, norm=norm), n, axis, 1.0, 2.0), x_shape[axis], axis)


@op(linear=("x",), vjp=_irfft_vjp, samples=_samples("complex"))
def irfft(xp: Any, x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """The inverse of ``rfft``: ``n`` real numbers (None: 2 (m - 1)) of the first m elements of their spectrum.

    The imaginary part of the first element, and for even ``n`` of the last, has no influence, and gradient 0. ``norm``,
    dtypes and errors are those of ``fft``.
    """
    x = _complex(xp, x)
    if not _check("irfft", x, n, axis, norm):  # NumPy's would return memory as it was found
        (at,) = normalize_axes(axis, x.ndim)
        x = xp.zeros((*x.shape[:at], 1, *x.shape[at + 1 :]), dtype=x.dtype, device=x.device)
    return xp.fft.irfft(x, n=n, axis=axis, norm=norm)


@op(composite=True, samples=_samples("complex"))
def hfft(x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """``fft`` of a signal that mirrors its conjugate, of which x is the first half: ``n`` real numbers (None: 2 (m - 1)).

    ``norm``, dtypes and errors are those of ``fft``.
    """
    x = asarray(x)
    _check("hfft", x, n, axis, norm)
    return irfft(conj(x) if x.dtype.kind == "c" else x, n=n, axis=axis, norm=NORMS[norm])


@op(composite=True, samples=_samples("real"))
def ihfft(x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """The inverse of ``hfft``: the first n // 2 + 1 elements of ``ifft`` of real x.

    ``n``, ``norm``, dtypes and errors are those of ``rfft``.
    """
    x = asarray(x)
    _check("ihfft", x, n, axis, norm)
    return conj(rfft(x, n=n, axis=axis, norm=NORMS[norm]))


for _function in (fft, ifft, rfft, irfft):
    _function.batch(_batched(_function))


# -- several axes: one after the other --------------------------------------------------------------------------------


def _plan(
    name: str, x: Any, s: Sequence[int] | None, axes: Sequence[int] | None, norm: str
) -> list[tuple[int, int | None]]:
    """The axes and their lengths, None where an axis keeps its own."""
    _check_norm(name, norm)
    for what, given in (("s", s), ("axes", axes)):
        if given is not None and not hasattr(given, "__len__"):
            raise OpError(f"{name}() got {what}={given!r}: write a tuple, a number for each axis")
    if axes is None and s is not None:
        axes = range(-len(s), 0)
    every = normalize_axes(None if axes is None else tuple(axes), x.ndim)
    if not every or (s is not None and len(s) != len(every)):
        raise ShapeError(
            f"{name}() got s={s} and axes={axes} for shape {x.shape}: it needs an axis, and a length for each"
        )
    return list(zip(every, [None] * len(every) if s is None else s, strict=True))


def _in_turn(function: Any, x: Any, plan: list[tuple[int, int | None]], norm: str) -> Any:
    for axis, n in plan:
        x = function(x, n=n, axis=axis, norm=norm)
    return x


@op(composite=True, samples=_samples("complex"))
def fftn(
    x: Any, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward"
) -> Any:
    """``fft`` along each of ``axes`` (None: all, or the last ones that ``s`` has lengths for).

    Raises ``ShapeError`` where ``s`` and ``axes`` differ in length, and otherwise what ``fft`` does.
    """
    x = asarray(x)
    return _in_turn(fft, x, _plan("fftn", x, s, axes, norm), norm)


@op(composite=True, samples=_samples("complex"))
def ifftn(
    x: Any, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward"
) -> Any:
    """The inverse of ``fftn``, with the same arguments."""
    x = asarray(x)
    return _in_turn(ifft, x, _plan("ifftn", x, s, axes, norm), norm)


@op(composite=True, samples=_samples("real"))
def rfftn(
    x: Any, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward"
) -> Any:
    """``rfft`` along the last of ``axes``, then ``fft`` along the others; the arguments are those of ``fftn``."""
    x = asarray(x)
    *others, last = _plan("rfftn", x, s, axes, norm)
    return _in_turn(fft, _in_turn(rfft, x, [last], norm), others, norm)


@op(composite=True, samples=_samples("complex"))
def irfftn(
    x: Any, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward"
) -> Any:
    """The inverse of ``rfftn``, with the same arguments: real numbers, along the last axis 2 (m - 1) where ``s`` is None."""
    x = asarray(x)
    *others, last = _plan("irfftn", x, s, axes, norm)
    return _in_turn(irfft, _in_turn(ifft, x, others, norm), [last], norm)


# -- the order of frequencies -----------------------------------------------------------------------------------------


@op(composite=True, samples=lambda rng: ((rng.normal(size=(3, 4)),), {"axes": 1}))
def fftshift(x: Any, /, *, axes: int | Sequence[int] | None = None) -> Any:
    """The spectrum with frequency 0 in the middle of each of ``axes`` (None: all).

    >>> import jitrench_core as jt
    >>> jt.fft.fftshift(jt.fft.fftfreq(5, d=0.2))
    Tensor([-2., -1.,  0.,  1.,  2.])
    """
    return _shifted(asarray(x), axes, 1)


@op(composite=True, samples=lambda rng: ((rng.normal(size=(3, 4)),), {"axes": 1}))
def ifftshift(x: Any, /, *, axes: int | Sequence[int] | None = None) -> Any:
    """The inverse of ``fftshift``: frequency 0 at the start of each of ``axes`` (None: all)."""
    return _shifted(asarray(x), axes, -1)


def _shifted(x: Any, axes: Any, sign: int) -> Any:
    every = normalize_axes(axes, x.ndim)
    return roll(x, tuple(sign * (x.shape[a] // 2) for a in every), axis=every) if every else positive(x)


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """The frequencies of ``fft`` of ``n`` points at distance ``d``: 0, 1, ... and then the negative ones, over n d.

    float64 unless ``dtype`` is another real one. Raises ``ShapeError`` for ``n`` below 1, ``DTypeError`` for the dtype.

    >>> import jitrench_core as jt
    >>> jt.fft.fftfreq(5, d=0.2)
    Tensor([ 0.,  1.,  2., -2., -1.])
    """
    k = arange(_points("fftfreq", n), device=device)
    return _frequencies("fftfreq", where(2 * k < n, k, k - n), n, d, dtype)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """The n // 2 + 1 frequencies of ``rfft`` of ``n`` points at distance ``d``: 0, 1, ... over n d.

    float64 unless ``dtype`` is another real one. Raises ``ShapeError`` for ``n`` below 1, ``DTypeError`` for the dtype.
    """
    return _frequencies("rfftfreq", arange(_points("rfftfreq", n) // 2 + 1, device=device), n, d, dtype)


def _points(name: str, n: int) -> int:
    if _whole(name, n) < 1:
        raise ShapeError(f"{name}() got n={n}: the number of points must be 1 or more")
    return index(n)


def _frequencies(name: str, k: Any, n: int, d: float, dtype: Any) -> Tensor:
    dtype = as_dtype("float64" if dtype is None else dtype)
    if dtype.kind != "f":
        raise DTypeError(f"{name}() makes real numbers, not {dtype}")
    made: Tensor = astype(astype(k, "float64") * (1.0 / (n * d)), dtype)
    return made
