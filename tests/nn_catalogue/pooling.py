"""Pooling, windows and resampling, one element of the result at a time."""

from __future__ import annotations

import math

import numpy as np
from catalogue import normal


def _tuple(v, n):
    return v if isinstance(v, tuple) else (v,) * n


def _out(length, kernel, stride, padding, dilation, ceil_mode):
    span = length + 2 * padding - dilation * (kernel - 1) - 1
    out = (math.ceil(span / stride) if ceil_mode else span // stride) + 1
    return out - 1 if ceil_mode and (out - 1) * stride >= length + padding else out


def _windows(x, n, kernel, stride, padding, dilation, ceil_mode):
    """For each position: its index, and the places in x of its elements, axis by axis; and the result's lengths."""
    lengths = x.shape[-n:]
    out = [_out(*each, ceil_mode) for each in zip(lengths, kernel, stride, padding, dilation, strict=True)]
    for p in np.ndindex(*out):
        yield (
            out,
            p,
            [
                [i for i in (a * s - b + np.arange(k) * d).tolist() if 0 <= i < m]
                for a, s, b, k, d, m in zip(p, stride, padding, kernel, dilation, lengths, strict=True)
            ],
        )


def _max_pool(n):
    def reference(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
        kernel = _tuple(kernel_size, n)
        geometry = (_tuple(v, n) for v in (kernel if stride is None else stride, padding, dilation))
        y = None
        for out, p, places in _windows(x, n, kernel, *geometry, ceil_mode):
            y = np.empty((*x.shape[:-n], *out), x.dtype) if y is None else y
            y[(..., *p)] = np.max(x[(..., *np.ix_(*places))], axis=tuple(range(-n, 0)))
        return y

    return reference


def _avg_pool(n):
    def reference(
        x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
    ):
        kernel, pads = _tuple(kernel_size, n), _tuple(padding, n)
        strides = _tuple(kernel if stride is None else stride, n)
        y = None
        for out, p, places in _windows(x, n, kernel, strides, pads, (1,) * n, ceil_mode):
            y = np.empty((*x.shape[:-n], *out), x.dtype) if y is None else y
            ends = zip(p, strides, pads, kernel, x.shape[-n:], strict=True)
            with_pads = math.prod(min(a * s - b + k, m + b) - (a * s - b) for a, s, b, k, m in ends)
            count = with_pads if count_include_pad else math.prod(map(len, places))
            total = np.sum(x[(..., *np.ix_(*places))], axis=tuple(range(-n, 0)))
            y[(..., *p)] = total / (divisor_override or count)
        return y

    return reference


def _adaptive(n, reduce):
    def reference(x, output_size):
        given = zip(_tuple(output_size, n), x.shape[-n:], strict=True)
        out = [m if s is None else s for s, m in given]
        y = np.empty((*x.shape[:-n], *out), x.dtype)
        for p in np.ndindex(*out):
            window = tuple(
                slice(math.floor(i * m / s), math.ceil((i + 1) * m / s))
                for i, m, s in zip(p, x.shape[-n:], out, strict=True)
            )
            y[(..., *p)] = reduce(x[(..., *window)], axis=tuple(range(-n, 0)))
        return y

    return reference


def _unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    n = max((len(v) for v in (kernel_size, dilation, padding, stride) if isinstance(v, tuple)), default=2)
    kernel, d, p, s = (_tuple(v, n) for v in (kernel_size, dilation, padding, stride))
    wide = np.pad(x, [(0, 0)] * (x.ndim - n) + [(b, b) for b in p])
    out = [_out(m, k, t, b, e, False) for m, k, t, b, e in zip(x.shape[-n:], kernel, s, p, d, strict=True)]
    columns = []
    for q in np.ndindex(*out):
        window = tuple(slice(i * t, i * t + e * (k - 1) + 1, e) for i, t, e, k in zip(q, s, d, kernel, strict=True))
        columns.append(wide[(..., *window)].reshape(*x.shape[: -n - 1], -1))
    return np.stack(columns, axis=-1)


def _fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """The transpose of ``_unfold``, column by column of its matrix."""
    channels = x.shape[-2] // math.prod(_tuple(kernel_size, len(output_size)))
    y = np.zeros((*x.shape[:-2], channels, *output_size))
    for i in np.ndindex(channels, *output_size):
        unit = np.zeros((channels, *output_size))
        unit[i] = 1.0
        y[(..., *i)] = np.sum(x * _unfold(unit, kernel_size, dilation, padding, stride), axis=(-2, -1))
    return y


def _resample(x, axis, taps):
    matrix = np.zeros((len(taps.rows), taps.length))
    for i, row in enumerate(taps.rows):
        for place, weight in row:
            matrix[i, place] += weight
    return np.moveaxis(np.tensordot(matrix, x, (1, axis)), 0, axis)


def _interpolate(x, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None):
    """Axis by axis, from where each element of the result looks."""
    n = x.ndim - 2
    lengths = x.shape[2:]
    new = (
        _tuple(size, n)
        if size
        else tuple(math.floor(m * f) for m, f in zip(lengths, _tuple(scale_factor, n), strict=True))
    )
    for a, (m, k) in enumerate(zip(lengths, new, strict=True)):
        step = m / k if size or recompute_scale_factor else 1 / _tuple(scale_factor, n)[a]
        centre = np.array([i * (m - 1) / max(k - 1, 1) if align_corners else (i + 0.5) * step - 0.5 for i in range(k)])
        old = np.moveaxis(x, a + 2, -1)
        if mode == "nearest":
            y = old[..., np.minimum(np.floor(np.arange(k) * step + 1e-9).astype(int), m - 1)]
        elif mode == "nearest-exact":
            y = old[..., np.minimum(np.floor((np.arange(k) + 0.5) * step + 1e-9).astype(int), m - 1)]
        elif mode == "bicubic":
            first = np.floor(centre).astype(int)
            y = 0.0
            for j in (-1, 0, 1, 2):
                s = np.abs(centre - first - j)
                near, far = 1.25 * s**3 - 2.25 * s**2 + 1, -0.75 * (s**3 - 5 * s**2 + 8 * s - 4)
                y = y + np.where(s <= 1, near, far) * old[..., np.clip(first + j, 0, m - 1)]
        else:
            flat = old.reshape(-1, m)
            y = np.stack([np.interp(centre, np.arange(m), row) for row in flat]).reshape(*old.shape[:-1], k)
        x = np.moveaxis(y, -1, a + 2)
    return x


REFERENCES = {"unfold": _unfold, "fold": _fold, "resample": _resample, "interpolate": _interpolate}
for _n in (1, 2, 3):
    REFERENCES |= {
        f"max_pool{_n}d": _max_pool(_n),
        f"avg_pool{_n}d": _avg_pool(_n),
        f"adaptive_max_pool{_n}d": _adaptive(_n, np.max),
        f"adaptive_avg_pool{_n}d": _adaptive(_n, np.mean),
    }


def distinct(*shape):
    """Numbers one apart, so that no difference changes which is the largest."""
    return np.random.default_rng(3).permutation(math.prod(shape)).reshape(shape) * 1.0


CASES = {
    "max_pool1d": [((distinct(2, 7),), {"kernel_size": 3, "stride": 2, "ceil_mode": True})],
    "max_pool2d": [
        ((distinct(2, 4, 5),), {"kernel_size": 2}),
        ((distinct(1, 1, 5, 4),), {"kernel_size": (3, 2), "stride": 2, "padding": (1, 0), "ceil_mode": True}),
        ((distinct(1, 1, 5, 4),), {"kernel_size": 2, "stride": 1, "dilation": (3, 1)}),
        ((distinct(0, 2, 4, 4),), {"kernel_size": 2}),
    ],
    "avg_pool1d": [((normal(1, 2, 5),), {"kernel_size": 2, "ceil_mode": True})],
    "avg_pool2d": [
        ((normal(2, 4, 3),), {"kernel_size": 2}),
        ((normal(1, 1, 4, 5),), {"kernel_size": (2, 3), "stride": 2, "padding": 1, "ceil_mode": True}),
        ((normal(1, 1, 4, 4),), {"kernel_size": 2, "padding": 1, "divisor_override": 3}),
        ((normal(0, 2, 4, 4),), {"kernel_size": 2}),
    ],
    "adaptive_avg_pool2d": [
        ((normal(2, 4, 6),), {"output_size": (2, None)}),
        ((normal(1, 1, 5, 3),), {"output_size": 1}),
    ],
    "adaptive_max_pool2d": [
        ((distinct(2, 4, 6),), {"output_size": (2, None)}),
        ((distinct(1, 1, 2, 3),), {"output_size": (5, 4)}),
    ],
    "unfold": [
        ((normal(2, 3, 3),), {"kernel_size": 2}),
        ((normal(2, 2, 5),), {"kernel_size": (3,), "padding": 1, "stride": 2}),
    ],
    "fold": [((normal(4, 4),), {"output_size": (3, 3), "kernel_size": 2})],
    "interpolate": [
        ((normal(1, 1, 3, 2),), {"scale_factor": 2.0}),
        ((normal(1, 2, 5),), {"size": 3, "mode": "nearest-exact"}),
        ((normal(1, 2, 5),), {"scale_factor": 1.7, "mode": "linear"}),
        ((normal(1, 2, 5),), {"scale_factor": 1.7, "mode": "linear", "recompute_scale_factor": True}),
        ((normal(1, 1, 3, 4),), {"size": (5, 1), "mode": "bilinear", "align_corners": True}),
        ((normal(1, 1, 3, 4),), {"size": (5, 3), "mode": "bicubic"}),
        ((normal(1, 1, 2, 3, 2),), {"size": (3, 2, 4), "mode": "trilinear"}),
    ],
}
