"""``fft``: cosine and sine transforms, the analytic signal, and convolution by Fourier transforms.

``jt.fft`` has the Fourier transforms themselves. All of it is linear, so derivatives are transforms again.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import jitrench_core as jt
from jitrench_core import DTypeError, OpError, ShapeError, Tensor, op

NORMS = {"backward": "forward", "ortho": "ortho", "forward": "backward"}  # and which the inverse has
_INVERSE = {1: 1, 2: 3, 3: 2, 4: 4}  # the type of the inverse, and of the transpose


def _check(name: str, x: Any, type: Any, axis: int, norm: str) -> int:
    """The length of ``axis``, of which an error says what is wrong with it."""
    shape = tuple(x.shape)
    if type not in _INVERSE:
        raise OpError(f"{name}(): type is 1, 2, 3 or 4; got {type!r}")
    if norm not in NORMS:
        raise OpError(f"{name}(): norm is one of {', '.join(map(repr, NORMS))}; got {norm!r}")
    if not -len(shape) <= axis < len(shape):
        raise jt.AxisError(f"{name}(): axis {axis} is out of bounds for shape {shape}")
    fewest = 2 if (name, type) == ("dct", 1) else 1
    if shape[axis] < fewest:
        raise ShapeError(
            f"{name}() of type {type} takes {fewest} or more elements; axis {axis} of shape {shape} has {shape[axis]}"
        )
    return shape[axis]


# -- the transforms as matrices ---------------------------------------------------------------------------------------
#
# Types 1 to 4 differ in where the samples and the frequencies stand: at whole numbers or half way between. A matrix has an element
# 2 cos(pi j k / length), or with sin, times a weight of the samples at an end: 1/2 where a cosine's stands at the wall.

_HALVES = {
    1: (0.0, 0.0),
    2: (0.5, 0.0),
    3: (0.0, 0.5),
    4: (0.5, 0.5),
}  # by type: what is added to samples and frequencies


def _length(name: str, type: int, n: int) -> int:
    """Half of the period."""
    return n if type > 1 else n - 1 if name == "dct" else n + 1


def _ends(name: str, type: int, n: int) -> list[int]:
    """Which samples count half."""
    if name == "dct":
        return {1: [0, n - 1], 3: [0]}.get(type, [])
    return [n - 1] if type == 3 else []


def _scale(name: str, type: int, n: int, norm: str) -> float:
    period = 2 * _length(name, type, n)
    return {"backward": 1.0, "ortho": period**-0.5, "forward": 1 / period}[norm]


def _halved(xp: Any, name: str, type: int, n: int, norm: str, like: Any) -> tuple[Any, Any]:
    """The weights of the samples and of the frequencies; "ortho" gives each its root, so that the matrix is orthogonal."""
    samples, frequencies = [1.0] * n, [1.0] * n
    for i in _ends(name, type, n):
        samples[i] = math.sqrt(0.5) if norm == "ortho" else 0.5
    if norm == "ortho":
        for i in _ends(name, _INVERSE[type], n):
            frequencies[i] = math.sqrt(0.5)
    return tuple(xp.asarray(w, dtype=like.dtype, device=like.device) for w in (samples, frequencies))


def _by_matrix(xp: Any, name: str, x: Any, type: int, axis: int, norm: str) -> Any:
    """The transform by its matrix, of n^2 elements: where the library has no fast one of the type."""
    n = x.shape[axis]
    j = xp.arange(n, dtype=xp.float64, device=x.device)
    shift = float(name == "dst")  # a sine's whole numbers count from 1
    before, after = (half or shift for half in _HALVES[type])
    angle = math.pi / _length(name, type, n) * (j + before) * (j[:, None] + after)
    matrix = 2 * _scale(name, type, n, norm) * (xp.cos(angle) if name == "dct" else xp.sin(angle))
    samples, frequencies = _halved(xp, name, type, n, norm, j)
    matrix = xp.astype(matrix * samples * frequencies[:, None], x.dtype)
    return xp.moveaxis(xp.tensordot(x, matrix, axes=((axis,), (1,))), -1, axis)


def _native(xp: Any, name: str, x: Any, type: int, axis: int, norm: str) -> Any:
    _check(name, x, type, axis, norm)
    if not xp.isdtype(x.dtype, "real floating"):
        raise TypeError(f"{name}() takes real floating-point numbers")
    return x


def _transposed(function: Any, g: Any, type: int, axis: int, norm: str) -> Any:
    """The transpose: of the inverse's type, with the weights on the other side."""
    name, n = function.op.name, g.shape[axis]
    own, other = _ends(name, type, n), _ends(name, _INVERSE[type], n)
    if norm == "ortho" or not own + other:
        return function(g, type=_INVERSE[type], axis=axis, norm=norm)
    g = _times(g, other, 2.0, axis)
    return _times(function(g, type=_INVERSE[type], axis=axis, norm=norm), own, 0.5, axis)


def _times(x: Any, places: list[int], by: float, axis: int) -> Any:
    if not places:
        return x
    n, trailing = x.shape[axis], x.ndim - 1 - axis % x.ndim
    w = jt.tensor([by if i in places else 1.0 for i in range(n)], dtype=x.dtype, device=x.device)
    return x * jt.reshape(w, (n,) + (1,) * trailing)


def _samples(type: int) -> Any:
    return lambda rng: ((rng.normal(size=(2, 5)),), {"type": type})


@op(
    linear=("x",),
    vjp=lambda g, type, axis, norm: _transposed(_dct, g, type, axis, norm),
    name="dct",
    samples=_samples(2),
)
def _dct(xp: Any, x: Any, /, *, type: int = 2, axis: int = -1, norm: str = "backward") -> Any:
    """The discrete cosine transform along ``axis``: see ``fft.dct``."""
    return _by_matrix(xp, "dct", _native(xp, "dct", x, type, axis, norm), type, axis, norm)


@op(
    linear=("x",),
    vjp=lambda g, type, axis, norm: _transposed(_dst, g, type, axis, norm),
    name="dst",
    samples=_samples(3),
)
def _dst(xp: Any, x: Any, /, *, type: int = 2, axis: int = -1, norm: str = "backward") -> Any:
    """The discrete sine transform along ``axis``: see ``fft.dst``."""
    return _by_matrix(xp, "dst", _native(xp, "dst", x, type, axis, norm), type, axis, norm)


def _batched(function: Any) -> None:
    def rule(batched: Any, x: Any, /, *, type: int, axis: int, norm: str) -> Any:
        ndim = x.ndim - 1
        if not -ndim <= axis < ndim:
            raise jt.AxisError(f"{function.op.name}(): axis {axis} is out of bounds for shape {x.shape[1:]} in a batch")
        return function(x, type=type, axis=axis % ndim + 1, norm=norm)

    def check(x: Any, /) -> None:
        if x.dtype.kind != "f":
            raise DTypeError(
                f"{function.op.name}() takes real floating-point numbers; got {x.dtype} of shape {x.shape}: convert integers by "
                f"astype, transform the parts of complex numbers"
            )

    function.batch(rule)
    function.check(check)


_batched(_dct)
_batched(_dst)


def _kernel(name: str, backend: str) -> Any:
    def kernel(x: Any, *, type: int = 2, axis: int = -1, norm: str = "backward") -> Any:
        xp = jt.device(backend).backend.xp
        _native(xp, name, x, type, axis, norm)
        if backend == "cupy" and type in (1, 4):  # CuPy has types 2 and 3
            return _by_matrix(xp, name, x, type, axis, norm)
        if backend == "numpy":
            from scipy import fft as library
        else:
            from cupyx.scipy import fft as library
        return getattr(library, name)(x, type=type, axis=axis, norm=norm)

    return kernel


# -- what users call --------------------------------------------------------------------------------------------------


def _resized(name: str, x: Any, n: Any, axis: int) -> Any:
    """x, cut or filled with zeros at the end of ``axis``, to the length ``n``."""
    x = jt.asarray(x)
    if n is None:
        return x
    try:
        n = operator.index(n)
    except TypeError:
        raise OpError(f"{name}(): n must be an integer; got {n!r}") from None
    if not -x.ndim <= axis < x.ndim:
        raise jt.AxisError(f"{name}(): axis {axis} is out of bounds for shape {x.shape}")
    if n < 1:
        raise ShapeError(f"{name}() got n={n}: the number of points must be 1 or more")
    axis, length = axis % x.ndim, x.shape[axis]
    if n < length:
        return x[(slice(None),) * axis + (slice(0, n),)]
    return jt.pad(x, [(0, n - length if a == axis else 0) for a in range(x.ndim)]) if n > length else x


def dct(x: Any, type: int = 2, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """The discrete cosine transform of real x along ``axis``, of ``type`` 1 to 4, with SciPy's factors.

    ``n`` cuts the axis or fills it with zeros. ``norm`` is "backward" (no factor), "ortho" (an orthogonal matrix), or "forward" (1 over
    the period). Raises ``OpError`` for another type or norm, ``ShapeError`` for an axis that is too short, ``DTypeError`` for numbers that are not real.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import fft
    >>> fft.dct(jt.tensor([1.0, 2.0, 3.0]), type=1)
    Tensor([ 8., -2.,  0.])
    """
    y: Tensor = _dct(_resized("dct", x, n, axis), type=type, axis=axis, norm=norm)
    return y


def idct(x: Any, type: int = 2, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """The inverse of ``dct`` of the same ``type`` and ``norm``; arguments and errors as there.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import fft
    >>> fft.idct(fft.dct(jt.tensor([1.0, 2.0]), type=1), type=1)
    Tensor([1., 2.])
    """
    y: Tensor = _dct(_resized("idct", x, n, axis), type=_INVERSE.get(type, type), axis=axis, norm=NORMS.get(norm, norm))
    return y


def dst(x: Any, type: int = 2, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """The discrete sine transform of real x along ``axis``; arguments and errors are those of ``dct``.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import fft
    >>> fft.dst(jt.tensor([1.0]), type=1)
    Tensor([2.])
    """
    y: Tensor = _dst(_resized("dst", x, n, axis), type=type, axis=axis, norm=norm)
    return y


def idst(x: Any, type: int = 2, n: int | None = None, axis: int = -1, norm: str = "backward") -> Tensor:
    """The inverse of ``dst`` of the same ``type`` and ``norm``; arguments and errors as for ``dct``.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import fft
    >>> fft.idst(jt.tensor([2.0]), type=1)
    Tensor([1.])
    """
    y: Tensor = _dst(_resized("idst", x, n, axis), type=_INVERSE.get(type, type), axis=axis, norm=NORMS.get(norm, norm))
    return y


def _over(function: Any, x: Any, type: int, axes: Any, norm: str) -> Tensor:
    x = jt.asarray(x)
    given = range(x.ndim) if axes is None else [axes] if hasattr(axes, "__index__") else list(axes)
    if len({axis % x.ndim for axis in given if -x.ndim <= axis < x.ndim}) < len(given):
        raise jt.AxisError(
            f"{function.__name__}n(): axes {tuple(given)} repeat one, or are out of bounds for shape {x.shape}"
        )
    for axis in given:
        x = function(x, type=type, axis=axis, norm=norm)
    return x


def dctn(x: Any, type: int = 2, axes: int | Sequence[int] | None = None, norm: str = "backward") -> Tensor:
    """``dct`` along each of ``axes``, by default all.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import fft
    >>> fft.dctn(jt.ones((1, 2)))
    Tensor([[8., 0.]])
    """
    return _over(dct, x, type, axes, norm)


def idctn(x: Any, type: int = 2, axes: int | Sequence[int] | None = None, norm: str = "backward") -> Tensor:
    """The inverse of ``dctn``.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import fft
    >>> fft.idctn(jt.tensor([[8.0, 0.0]]))
    Tensor([[1., 1.]])
    """
    return _over(idct, x, type, axes, norm)


def dstn(x: Any, type: int = 2, axes: int | Sequence[int] | None = None, norm: str = "backward") -> Tensor:
    """``dst`` along each of ``axes``, by default all.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import fft
    >>> fft.dstn(jt.ones((1, 1)))
    Tensor([[4.]])
    """
    return _over(dst, x, type, axes, norm)


def idstn(x: Any, type: int = 2, axes: int | Sequence[int] | None = None, norm: str = "backward") -> Tensor:
    """The inverse of ``dstn``.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import fft
    >>> fft.idstn(jt.tensor([[4.0]]))
    Tensor([[1.]])
    """
    return _over(idst, x, type, axes, norm)


def next_fast_len(target: int, real: bool = False) -> int:
    """The length from ``target`` on at which SciPy's transforms are fast, of complex numbers or of ``real`` ones.

    >>> from jitrench_scipy import fft
    >>> fft.next_fast_len(97)
    98
    """
    from scipy.fft import next_fast_len as found

    return int(found(operator.index(target), real))


def hilbert(x: Any, N: int | None = None, axis: int = -1) -> Tensor:
    """The analytic signal of real x along ``axis``, as ``scipy.signal.hilbert``: complex, with x as its real part.

    ``N`` cuts the axis or fills it with zeros. The imaginary part is the Hilbert transform, the absolute value the envelope.

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import fft
    >>> fft.hilbert(jt.tensor([1.0, 0.0, -1.0, 0.0]))
    Tensor([ 1.+0.j,  0.+1.j, -1.+0.j,  0.-1.j])
    """
    x = _resized("hilbert", x, N, axis)
    if x.dtype.kind == "c":
        raise DTypeError(f"hilbert() takes real numbers; got {x.dtype} of shape {x.shape}")
    if not -x.ndim <= axis < x.ndim:
        raise jt.AxisError(f"hilbert(): axis {axis} is out of bounds for shape {x.shape}")
    if not x.shape[axis]:
        raise ShapeError(f"hilbert() needs an axis of 1 or more elements; got shape {x.shape}")
    n = x.shape[axis]
    spectrum = jt.fft.fft(x, axis=axis)
    weights = [1.0 if k == 0 or 2 * k == n else 2.0 * (2 * k < n) for k in range(n)]
    dtype = "float32" if spectrum.dtype.name == "complex64" else "float64"
    w = jt.tensor(weights, dtype=dtype, device=x.device)
    return jt.fft.ifft(spectrum * jt.reshape(w, (n,) + (1,) * (x.ndim - 1 - axis % x.ndim)), axis=axis)


def fftconvolve(in1: Any, in2: Any, mode: str = "full", axes: int | Sequence[int] | None = None) -> Tensor:
    """The convolution of two arrays by Fourier transforms, as ``scipy.signal.fftconvolve``; other axes than ``axes`` broadcast.

    ``mode`` is "full" (all of it), "same" (the middle, of in1's shape) or "valid" (where one lies within the other).

    >>> import jitrench_core as jt
    >>> from jitrench_scipy import fft
    >>> jt.round(fft.fftconvolve(jt.tensor([1.0, 2.0, 3.0]), jt.tensor([0.0, 1.0])))
    Tensor([0., 1., 2., 3.])

    Raises ``ShapeError`` for different numbers of dimensions, empty axes, or, in mode "valid", where neither lies within the other.
    """
    a, b = jt.asarray(in1), jt.asarray(in2)
    if mode not in ("full", "same", "valid"):
        raise OpError(f"fftconvolve(): mode is 'full', 'same' or 'valid'; got {mode!r}")
    if a.ndim != b.ndim or not a.ndim:
        raise ShapeError(
            f"fftconvolve() takes arrays of as many dimensions, 1 or more; got shapes {a.shape} and {b.shape}"
        )
    given = range(a.ndim) if axes is None else [axes] if hasattr(axes, "__index__") else axes
    if any(not -a.ndim <= axis < a.ndim for axis in given):
        raise jt.AxisError(f"fftconvolve(): axes {tuple(given)} are out of bounds for shape {a.shape}")
    over = sorted({axis % a.ndim for axis in given})
    pairs = [(a.shape[axis], b.shape[axis]) for axis in over]
    if any(0 in pair for pair in pairs):
        raise ShapeError(f"fftconvolve() of shapes {a.shape} and {b.shape}: an axis to convolve is empty")
    inside = [all(n >= m for n, m in pairs), all(n <= m for n, m in pairs)]
    if mode == "valid" and not any(inside):
        raise ShapeError(f"fftconvolve(mode='valid'): of shapes {a.shape} and {b.shape} neither lies within the other")
    full = [n + m - 1 for n, m in pairs]
    complex_ = "c" in (a.dtype.kind, b.dtype.kind)
    # 5-smooth lengths are fast in every library.
    fast = [_smooth(n) for n in full]
    forward, inverse = (jt.fft.fftn, jt.fft.ifftn) if complex_ else (jt.fft.rfftn, jt.fft.irfftn)
    y = inverse(forward(a, s=fast, axes=over) * forward(b, s=fast, axes=over), s=fast, axes=over)
    cut: list[Any] = [slice(None)] * y.ndim
    for axis, n, (p, q) in zip(over, full, pairs, strict=True):
        size = {"full": n, "same": p, "valid": abs(p - q) + 1}[mode]
        cut[axis] = slice((n - size) // 2, (n - size) // 2 + size)
    return y[tuple(cut)]


def _smooth(n: int) -> int:
    """The least number from n on that has no prime factor above 5."""
    while True:
        left = n
        for p in (2, 3, 5):
            while left % p == 0:
                left //= p
        if left == 1:
            return n
        n += 1


OPS: tuple[Any, ...] = (_dct, _dst)
KERNELS: dict[tuple[str, str], Any] = {  # by op and backend
    (name, backend): _kernel(name, backend) for name in ("dct", "dst") for backend in ("numpy", "cupy")
}

__all__ = [
    "dct", "dctn", "dst", "dstn", "fftconvolve", "hilbert", "idct", "idctn", "idst", "idstn", "next_fast_len",
]  # fmt: skip
