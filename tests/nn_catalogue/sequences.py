"""Recurrent layers, and positions."""

from __future__ import annotations

import numpy as np
from catalogue import normal


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _over_time(cell, x, states, sizes, reverse):
    """``cell(x, *states)`` for each sequence by itself."""
    time, n = x.shape[:2]
    y = np.zeros((time, n, states[0].shape[1]), np.result_type(x, *states))
    ends = [np.array(s, y.dtype) for s in states]
    for k in range(n):
        length = time if sizes is None else sum(size > k for size in sizes)
        for t in range(length)[::-1] if reverse else range(length):
            new = cell(x[t, k], *(e[k] for e in ends))
            for e, value in zip(ends, new, strict=True):
                e[k] = value
            y[t, k] = new[0]
    return y, *ends


def _rnn_layer(x, h, weight, activation="tanh", sizes=None, reverse=False):
    f = np.tanh if activation == "tanh" else lambda z: np.maximum(z, 0)
    return _over_time(lambda x, h: (f(x + weight @ h),), x, (h,), sizes, reverse)


def _lstm_layer(x, h, c, weight, sizes=None, reverse=False):
    def cell(x, h, c):
        i, f, g, o = np.split(x + weight @ h, 4)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        return _sigmoid(o) * np.tanh(c), c

    return _over_time(cell, x, (h, c), sizes, reverse)


def _gru_layer(x, h, weight, bias=None, sizes=None, reverse=False):
    def cell(x, h):
        (r, z, n), (a, b, m) = np.split(x, 3), np.split(weight @ h + (0 if bias is None else bias), 3)
        z = _sigmoid(z + b)
        return ((1 - z) * np.tanh(n + _sigmoid(r + a) * m) + z * h,)

    return _over_time(cell, x, (h,), sizes, reverse)


def _grad(cell, gy, ends, firsts, y, sizes, reverse):
    """Back through time, sequence by sequence: ``cell(t, k, grads, before)`` gives the gradients of x, of the states, and others."""
    time, n = gy.shape[:2]
    grads = [np.array(e) for e in ends]
    xs, others = {}, None
    for k in range(n):
        length = time if sizes is None else sum(size > k for size in sizes)
        steps = range(length)[::-1] if reverse else range(length)
        before = dict(zip(steps, [None, *steps], strict=False))
        for t in reversed(steps):
            now = [g[k] for g in grads]
            now[0] = now[0] + gy[t, k]
            x, new, more = cell(t, k, now, before[t])
            xs[t, k] = x
            for g, value in zip(grads, new, strict=True):
                g[k] = value
            others = more if others is None else [a + b for a, b in zip(others, more, strict=True)]
    width = len(next(iter(xs.values())))
    x_grad = np.zeros((time, n, width))
    for at, value in xs.items():
        x_grad[at] = value
    return x_grad, *grads, *others


def _rnn_layer_grad(gy, gh, h, weight, states, activation="tanh", sizes=None, reverse=False):
    def cell(t, k, grads, s):
        y = states[t, k]
        z = grads[0] * (1 - y**2 if activation == "tanh" else y > 0)
        return z, [z @ weight], [np.outer(z, h[k] if s is None else states[s, k])]

    return _grad(cell, gy, [gh], [h], states, sizes, reverse)


def _lstm_layer_grad(gy, gh, gc, h, c, weight, states, steps, sizes=None, reverse=False):
    def cell(t, k, grads, s):
        i, f, g, o, new = steps[t, :, k]
        old = c[k] if s is None else steps[s, 4, k]
        dc = grads[1] + grads[0] * o * (1 - np.tanh(new) ** 2)
        do = grads[0] * np.tanh(new)
        z = np.concatenate([dc * g * i * (1 - i), dc * old * f * (1 - f), dc * i * (1 - g**2), do * o * (1 - o)])
        return z, [z @ weight, dc * f], [np.outer(z, h[k] if s is None else states[s, k])]

    return _grad(cell, gy, [gh, gc], [h, c], states, sizes, reverse)


def _gru_layer_grad(gy, gh, h, weight, states, steps, sizes=None, reverse=False):
    def cell(t, k, grads, s):
        r, z, n, m = steps[t, :, k]
        old = h[k] if s is None else states[s, k]
        dn = grads[0] * (1 - z) * (1 - n**2)
        dr, dz = dn * m * r * (1 - r), grads[0] * (old - n) * z * (1 - z)
        into = np.concatenate([dr, dz, dn * r])
        return np.concatenate([dr, dz, dn]), [grads[0] * z + into @ weight], [np.outer(into, old), into]

    return _grad(cell, gy, [gh], [h], states, sizes, reverse)


def _rotary_embedding(x, positions=None, base=10000.0, interleaved=True):
    """As complex numbers, which a phase turns."""
    width = x.shape[-1]
    places = np.arange(x.shape[-2]) if positions is None else positions
    phase = np.exp(1j * places[..., None] * base ** (-2 * np.arange(width // 2) / width))
    if interleaved:
        z = (x[..., ::2] + 1j * x[..., 1::2]) * phase
        return np.stack([z.real, z.imag], -1).reshape(x.shape)
    z = (x[..., : width // 2] + 1j * x[..., width // 2 :]) * phase
    return np.concatenate([z.real, z.imag], -1)


REFERENCES = {
    "rnn_layer": _rnn_layer,
    "lstm_layer": _lstm_layer,
    "gru_layer": _gru_layer,
    "rnn_layer_grad": _rnn_layer_grad,
    "lstm_layer_grad": _lstm_layer_grad,
    "gru_layer_grad": _gru_layer_grad,
    "rotary_embedding": _rotary_embedding,
}

CASES = {
    "rnn_layer": [
        ((normal(2, 2, 1), normal(2, 1), normal(1, 1)), {}),
        ((normal(3, 2, 2), normal(2, 2), normal(2, 2)), {"activation": "relu", "sizes": (2, 1, 0)}),
        ((normal(2, 0, 2), normal(0, 2), normal(2, 2)), {}),
    ],
    "lstm_layer": [((normal(2, 1, 4), normal(1, 1), normal(1, 1), normal(4, 1)), {"sizes": (1, 0)})],
    "gru_layer": [
        ((normal(2, 2, 3), normal(2, 1), normal(3, 1)), {}),
        ((normal(2, 2, 3), normal(2, 1), normal(3, 1), normal(3)), {"reverse": True}),
    ],
    "rnn_layer_grad": [
        (
            (normal(2, 2, 1), normal(2, 1), normal(2, 1), normal(1, 1), normal(2, 2, 1)),
            {"reverse": True, "sizes": (2, 1)},
        ),
        ((normal(2, 2, 1), normal(2, 1), normal(2, 1), normal(1, 1), normal(2, 2, 1)), {"activation": "relu"}),
    ],
    "lstm_layer_grad": [
        (
            (normal(2, 2, 1), *(normal(2, 1) for _ in range(4)), normal(4, 1), normal(2, 2, 1), normal(2, 5, 2, 1)),
            {"reverse": True, "sizes": (2, 1)},
        )
    ],
    "gru_layer_grad": [
        (
            (normal(2, 2, 1), normal(2, 1), normal(2, 1), normal(3, 1), normal(2, 2, 1), normal(2, 4, 2, 1)),
            {"reverse": True, "sizes": (2, 1)},
        )
    ],
    "rotary_embedding": [
        ((normal(3, 4),), {"interleaved": False}),
        ((normal(2, 3, 2), np.array([5, 0, 2])), {"base": 10.0}),
        ((normal(2, 2, 4), np.array([[0.5, 1.5], [3.0, -1.0]])), {}),
        ((normal(0, 2),), {}),
    ],
}
