"""Fourier transforms, by their sums."""

from __future__ import annotations

import numpy as np

from catalogue import normal


def _fit(x, n, axis):
    """x moved to the last axis, cut or filled to n."""
    x = np.moveaxis(x, axis, -1)
    y = np.zeros((*x.shape[:-1], n), x.dtype)
    m = min(n, x.shape[-1])
    y[..., :m] = x[..., :m]
    return y


def _scale(n, norm, inverse):
    return {"backward": 1 / n if inverse else 1.0, "ortho": n**-0.5, "forward": 1.0 if inverse else 1 / n}[norm]


def _dft(x, n, axis, norm, inverse):
    n = x.shape[axis] if n is None else n
    matrix = np.exp((2j if inverse else -2j) * np.pi * np.outer(np.arange(n), np.arange(n)) / n)
    return np.moveaxis(_fit(x, n, axis) @ matrix * _scale(n, norm, inverse), -1, axis)


def _fft(x, n=None, axis=-1, norm="backward"):
    return _dft(x, n, axis, norm, inverse=False)


def _ifft(x, n=None, axis=-1, norm="backward"):
    return _dft(x, n, axis, norm, inverse=True)


def _rfft(x, n=None, axis=-1, norm="backward"):
    y = _fft(x, n, axis, norm)
    return np.take(y, range(y.shape[axis] // 2 + 1), axis)


def _whole(x, n, axis):
    """The whole spectrum of n points, of its first half."""
    n = 2 * (x.shape[axis] - 1) if n is None else n
    half = _fit(x, n // 2 + 1, axis)
    half[..., 0] = half[..., 0].real
    if n % 2 == 0:
        half[..., -1] = half[..., -1].real
    mirrored = half[..., 1 : (n + 1) // 2][..., ::-1].conj()
    return np.moveaxis(np.concatenate([half, mirrored], -1), -1, axis)


def _irfft(x, n=None, axis=-1, norm="backward"):
    return _ifft(_whole(x, n, axis), None, axis, norm).real


def _hfft(x, n=None, axis=-1, norm="backward"):
    return _fft(_whole(x, n, axis), None, axis, norm).real


def _ihfft(x, n=None, axis=-1, norm="backward"):
    y = _ifft(x, n, axis, norm)
    return np.take(y, range(y.shape[axis] // 2 + 1), axis)


def _several(one, last):
    """``last`` along the last axis, ``one`` along the others; the last one comes first where it takes real input."""

    def reference(x, s=None, axes=None, norm="backward"):
        axes = (tuple(range(x.ndim)) if s is None else tuple(range(-len(s), 0))) if axes is None else axes
        plan = list(zip([one] * (len(axes) - 1) + [last], axes, s or [None] * len(axes), strict=True))
        for f, axis, n in reversed(plan) if last is _rfft else plan:
            x = f(x, n, axis, norm)
        return x

    return reference


REFERENCES = {
    "fft": _fft,
    "ifft": _ifft,
    "rfft": _rfft,
    "irfft": _irfft,
    "hfft": _hfft,
    "ihfft": _ihfft,
    "fftn": _several(_fft, _fft),
    "ifftn": _several(_ifft, _ifft),
    "rfftn": _several(_fft, _rfft),
    "irfftn": _several(_ifft, _irfft),
    "fftshift": np.fft.fftshift,
    "ifftshift": np.fft.ifftshift,
}


def _complex(*shape):
    return normal(*shape) + 1j * normal(*shape)


def _one(make, short=1):
    """Lengths that are odd and even, cut and filled; each norm; another axis; no examples."""
    return [
        ((make(5),), {"n": 4, "norm": "ortho"}),
        ((make(3),), {"n": 6, "norm": "forward"}),
        ((make(3),), {"n": 7}),
        ((make(4),), {"norm": "forward"}),
        ((make(3, 2, 2),), {"axis": 0}),
        ((make(2, 3, 2),), {"axis": -2, "n": 2, "norm": "ortho"}),
        ((make(short),), {}),
        ((make(3),), {"n": 1}),
        ((make(0, 3),), {}),
    ]


def _many(make):
    return [
        ((make(2, 3, 3),), {"axes": (0, 2), "norm": "ortho"}),
        ((make(2, 3, 2),), {"s": (2, 4), "norm": "forward"}),
        ((make(3, 2),), {"s": (2, 3), "axes": (-1, 0)}),
        ((make(4),), {}),
    ]


_shifts = [((normal(5),), {}), ((normal(2, 3, 4),), {"axes": (0, -1)}), ((_complex(3, 2),), {})]

CASES = {
    "fft": [*_one(_complex), ((normal(4),), {})],
    "ifft": [*_one(_complex), ((normal(4),), {"n": 3})],
    "rfft": _one(normal),
    "irfft": [*_one(_complex, 2), ((normal(4),), {})],
    "hfft": [*_one(_complex, 2), ((normal(4),), {})],
    "ihfft": _one(normal),
    "fftn": [*_many(_complex), ((normal(2, 3),), {})],
    "ifftn": _many(_complex),
    "rfftn": _many(normal),
    "irfftn": _many(_complex),
    "fftshift": _shifts,
    "ifftshift": _shifts,
}
