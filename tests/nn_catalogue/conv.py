"""Convolutions, by definition: each element of the result is a sum over one window."""

from __future__ import annotations

import numpy as np
from catalogue import normal


def convolve(x, weight, stride, padding, dilation, x_dilation, groups=1):
    n = x.ndim - 2
    spread = np.zeros((*x.shape[:2], *((m - 1) * d + 1 for m, d in zip(x.shape[2:], x_dilation, strict=True))))
    spread[(..., *(slice(None, None, d) for d in x_dilation))] = x
    wide = np.pad(spread, [(0, 0), (0, 0), *((max(a, 0), max(b, 0)) for a, b in padding)])
    wide = wide[(..., *(slice(max(-a, 0), m - max(-b, 0)) for (a, b), m in zip(padding, wide.shape[2:], strict=True)))]
    reach = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
    out = [(m - r) // s + 1 for m, r, s in zip(wide.shape[2:], reach, stride, strict=True)]
    y = np.zeros((x.shape[0], weight.shape[0], *out))
    inner, outer = weight.shape[1], weight.shape[0] // groups
    for o in range(weight.shape[0]):
        channels = wide[:, o // outer * inner : (o // outer + 1) * inner]
        for p in np.ndindex(*out):
            window = tuple(slice(i * s, i * s + r, d) for i, s, r, d in zip(p, stride, reach, dilation, strict=True))
            y[(slice(None), o, *p)] = np.sum(channels[(..., *window)] * weight[o], axis=tuple(range(1, n + 2)))
    return y


def _tuple(v, n):
    return v if isinstance(v, tuple) else (v,) * n


def _conv(n):
    def reference(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        dilation = _tuple(dilation, n)
        total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        if padding == "valid":
            padding = 0
        pairs = [(t // 2, t - t // 2) for t in total] if padding == "same" else [(p, p) for p in _tuple(padding, n)]
        batch = x if x.ndim == n + 2 else x[None]
        y = convolve(batch, weight, _tuple(stride, n), pairs, dilation, (1,) * n, groups)
        y = y if bias is None else y + bias.reshape(-1, *(1,) * n)
        return y if x.ndim == n + 2 else y[0]

    return reference


def _conv_transpose(n):
    def reference(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
        """Each element of x spreads a copy of the kernel over y."""
        stride, padding, dilation = _tuple(stride, n), _tuple(padding, n), _tuple(dilation, n)
        batch = x if x.ndim == n + 2 else x[None]
        kernel, more = weight.shape[2:], _tuple(output_padding, n)
        full = [
            (m - 1) * s + d * (k - 1) + 1 + e
            for m, s, d, k, e in zip(batch.shape[2:], stride, dilation, kernel, more, strict=True)
        ]
        outer, inner = weight.shape[1], weight.shape[0] // groups
        y = np.zeros((len(batch), groups * outer, *full))
        for c in range(weight.shape[0]):
            own = slice(c // inner * outer, (c // inner + 1) * outer)
            for i in np.ndindex(*batch.shape[2:]):
                place = tuple(
                    slice(a * s, a * s + d * (k - 1) + 1, d)
                    for a, s, d, k in zip(i, stride, dilation, kernel, strict=True)
                )
                element = batch[(slice(None), c, *i)].reshape(-1, *(1,) * (n + 1))
                y[(slice(None), own, *place)] += element * weight[c]
        y = y[(..., *(slice(p, m - p) for p, m in zip(padding, full, strict=True)))]
        y = y if bias is None else y + bias.reshape(-1, *(1,) * n)
        return y if x.ndim == n + 2 else y[0]

    return reference


REFERENCES = {"convolution": convolve}
for _n in (1, 2, 3):
    REFERENCES |= {f"conv{_n}d": _conv(_n), f"conv_transpose{_n}d": _conv_transpose(_n)}


def _general(x, weight, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), x_dilation=(1, 1), groups=1):
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "x_dilation": x_dilation, "groups": groups}
    return (normal(*x), normal(*weight)), attrs


CASES = {
    "convolution": [
        _general((2, 1, 4, 3), (2, 1, 2, 2)),
        _general((2, 2, 3, 3), (1, 2, 3, 2), padding=((1, 2), (0, -1))),  # asymmetric, and cutting off
        _general((1, 1, 5, 2), (1, 1, 2, 1), stride=(3, 1), padding=((-1, -1), (0, 0))),
        _general((1, 2, 2, 2), (2, 1, 2, 2), padding=((1, 1), (2, 1)), x_dilation=(2, 3), groups=2),
        _general((1, 1, 3, 3), (2, 1, 2, 2), stride=(2, 3), padding=((2, 0), (1, 1)), x_dilation=(3, 2)),
        _general((1, 2, 4, 4), (2, 2, 3, 4)),  # more elements in the window than positions
        _general((1, 1, 5, 3), (2, 1, 2, 3), dilation=(3, 1)),
        _general((0, 2, 3, 3), (2, 2, 2, 2)),
        _general((2, 0, 3, 3), (2, 0, 2, 2)),
    ],
    "conv1d": [
        ((normal(2, 2, 4), normal(2, 2, 2), None), {}),
        ((normal(2, 5), normal(2, 1, 2), normal(2)), {"groups": 2, "dilation": 3}),
        ((normal(1, 1, 4), normal(1, 1, 2), None), {"padding": "same"}),
        ((normal(1, 1, 6), normal(1, 1, 3), None), {"stride": 2, "padding": 2}),
    ],
    "conv2d": [
        ((normal(1, 2, 3, 3), normal(2, 2, 1, 1), None), {}),
        ((normal(2, 3, 3), normal(2, 2, 2, 2), normal(2)), {}),
        ((normal(1, 4, 3, 3), normal(4, 2, 2, 2), None), {"groups": 2, "padding": (1, 0)}),
        ((normal(1, 2, 3, 3), normal(2, 1, 2, 2), None), {"groups": 2}),
        ((normal(1, 1, 4, 4), normal(1, 1, 2, 3), None), {"padding": "same", "dilation": (2, 1)}),
        ((normal(1, 1, 3, 3), normal(1, 1, 3, 3), normal(1)), {"padding": "valid"}),
        ((normal(0, 2, 3, 3), normal(2, 2, 2, 2), normal(2)), {}),
    ],
    "conv3d": [((normal(1, 2, 2, 2), normal(2, 1, 1, 2, 2), None), {"stride": (2, 1, 1)})],
    "conv_transpose1d": [
        ((normal(2, 2, 3), normal(2, 1, 2), None), {}),
        ((normal(2, 3), normal(2, 2, 2), normal(4)), {"groups": 2, "stride": 3, "output_padding": 2}),
        ((normal(1, 1, 3), normal(1, 1, 3), None), {"dilation": 2, "padding": 3}),
    ],
    "conv_transpose2d": [
        ((normal(1, 2, 2, 2), normal(2, 1, 2, 2), normal(2)), {"stride": 2, "groups": 2}),
        ((normal(1, 1, 2, 3), normal(1, 2, 3, 2), None), {"stride": (1, 2), "padding": (1, 0), "dilation": (1, 2)}),
        ((normal(0, 2, 2, 2), normal(2, 1, 2, 2), None), {}),
    ],
}
