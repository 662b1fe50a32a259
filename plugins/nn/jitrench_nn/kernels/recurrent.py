"""Recurrent layers for NumPy: a loop over time that writes into the arrays that it returns.

sigmoid(x) is (tanh(x / 2) + 1) / 2, so one tanh gives all gates of a step. They are kept gate by gate, because a pass over a block of
rows takes half of the time of one over a part of each row. The gradient of the weight is one product over all steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import jitrench_core as jt

from ..ops import recurrent as ops
from ..ops.recurrent import Sizes, walk


def _fits(*arrays: Any) -> bool:
    """Whether the loops below may write results into each other's place: one dtype for all."""
    return arrays[0].dtype.char in "fd" and all(a is None or a.dtype == arrays[0].dtype for a in arrays)


def _generic(op: Any, *arrays: Any, **attrs: Any) -> Any:
    """The gradient as the composite computes it."""
    return tuple(y.data for y in op.forward(*(jt.asarray(a) for a in arrays), **attrs))


def _room(shape: tuple[int, ...], like: Any, sizes: Sizes) -> Any:
    """An array for results; of zeros where a step does not write all rows."""
    return np.empty(shape, like.dtype) if sizes is None else np.zeros(shape, like.dtype)


def _before(states: Any, first: Any, n: int, s: int, m: int) -> Any:
    if not m:
        return first[:n]
    return states[s, :m] if m == n else np.concatenate((states[s, :m], first[m:n]))


def _all_before(y: Any, h: Any, sizes: Sizes, reverse: bool) -> Any:
    """The state that each step starts from; where none runs, any."""
    found = np.empty_like(y)
    if reverse:
        found[:-1], found[-1] = y[1:], h
    else:
        found[1:], found[0] = y[:-1], h
    for t, n, _, m in walk(y.shape, sizes, reverse) if sizes is not None else ():
        found[t, m:n] = h[m:n]
    return found


def _weight_grad(zs: Any, before: Any) -> Any:
    return zs.reshape(-1, zs.shape[-1]).T @ before.reshape(-1, before.shape[-1])


def rnn_layer(
    x: Any, h: Any, weight: Any, /, *, activation: str = "tanh", sizes: Sizes = None, reverse: bool = False
) -> Any:
    """The op ``rnn_layer``."""
    if not (_fits(x, h, weight) and ops.fit(1, x, weight, (h,), sizes)) or activation not in ops.ACTIVATIONS:
        forward: Any = ops.rnn_layer.op.forward
        return forward(np, x, h, weight, activation=activation, sizes=sizes, reverse=reverse)
    y, h, right = _room(x.shape, x, sizes), h.copy(), np.ascontiguousarray(weight.T)
    for t, n, _, _ in walk(x.shape, sizes, reverse):
        out = y[t, :n]
        np.matmul(h[:n], right, out=out)
        out += x[t, :n]
        if activation == "tanh":
            np.tanh(out, out=out)
        else:
            np.maximum(out, 0, out=out)
        h[:n] = out
    return y, h


def rnn_layer_grad(
    gy: Any,
    gh: Any,
    h: Any,
    weight: Any,
    y: Any,
    /,
    *,
    activation: str = "tanh",
    sizes: Sizes = None,
    reverse: bool = False,
) -> Any:
    """The op ``rnn_layer_grad``."""
    if not _fits(gy, gh, h, weight, y):
        attrs = {"activation": activation, "sizes": sizes, "reverse": reverse}
        return _generic(ops.rnn_layer_grad.op, gy, gh, h, weight, y, **attrs)
    zs, gh = _room(gy.shape, gy, sizes), gh.copy()
    slope = 1 - y * y if activation == "tanh" else y > 0
    for t, n, _, _ in reversed(walk(gy.shape, sizes, reverse)):
        z = zs[t, :n]
        np.add(gh[:n], gy[t, :n], out=z)
        z *= slope[t, :n]
        np.matmul(z, weight, out=gh[:n])
    return zs, gh, _weight_grad(zs, _all_before(y, h, sizes, reverse))


def lstm_layer(x: Any, h: Any, c: Any, weight: Any, /, *, sizes: Sizes = None, reverse: bool = False) -> Any:
    """The op ``lstm_layer``."""
    if not (_fits(x, h, c, weight) and ops.fit(4, x, weight, (h, c), sizes)):
        forward: Any = ops.lstm_layer.op.forward
        return forward(np, x, h, c, weight, sizes=sizes, reverse=reverse)
    (time, rows, _), w = x.shape, h.shape[1]
    y, steps = _room((time, rows, w), x, sizes), _room((time, 5, rows, w), x, sizes)
    h, c, right = h.copy(), c.copy(), np.ascontiguousarray(weight.T)  # 40 us a product instead of 58
    scale = np.repeat(np.array([0.5, 0.5, 1, 0.5], x.dtype), w)
    buffer, product = np.empty((rows, 4 * w), x.dtype), np.empty_like(h)
    for t, n, _, _ in walk(x.shape, sizes, reverse):
        z, (i, f, g, o, new), out = buffer[:n], steps[t, :, :n], y[t, :n]
        np.matmul(h[:n], right, out=z)
        z += x[t, :n]
        z *= scale
        np.tanh(z.reshape(n, 4, w).transpose(1, 0, 2), out=steps[t, :4, :n])
        for gates in (steps[t, :2, :n], o):
            gates += 1
            gates *= 0.5
        np.multiply(f, c[:n], out=new)
        new += np.multiply(i, g, out=product[:n])
        np.tanh(new, out=out)
        out *= o
        h[:n], c[:n] = out, new
    return (y, h, c), steps


def lstm_layer_grad(
    gy: Any,
    gh: Any,
    gc: Any,
    h: Any,
    c: Any,
    weight: Any,
    y: Any,
    steps: Any,
    /,
    *,
    sizes: Sizes = None,
    reverse: bool = False,
) -> Any:
    """The op ``lstm_layer_grad``."""
    if not _fits(gy, gh, gc, h, c, weight, y, steps):
        return _generic(ops.lstm_layer_grad.op, gy, gh, gc, h, c, weight, y, steps, sizes=sizes, reverse=reverse)
    (time, rows, w), cells = gy.shape, steps[:, 4]
    zs, gh, gc = _room((time, rows, 4 * w), gy, sizes), gh.copy(), gc.copy()
    buffers = [np.empty((rows, w), gy.dtype) for _ in range(3)]
    for t, n, s, m in reversed(walk(gy.shape, sizes, reverse)):
        z, (i, f, g, o, new), dc = zs[t, :n], steps[t, :, :n], gc[:n]
        zi, zf, zg, zo = (z[:, k * w : (k + 1) * w] for k in range(4))
        a, b, d = (buffer[:n] for buffer in buffers)
        np.add(gh[:n], gy[t, :n], out=d)
        np.tanh(new, out=a)
        d *= o
        np.multiply(d, a, out=b)
        a *= b
        d -= a
        dc += d
        np.multiply(b, np.subtract(1, o, out=a), out=zo)
        np.multiply(i, dc, out=d)
        np.multiply(g, g, out=a)
        np.multiply(d, np.subtract(1, a, out=a), out=zg)
        d *= g
        np.multiply(d, np.subtract(1, i, out=a), out=zi)
        dc *= f
        np.multiply(dc, _before(cells, c, n, s, m), out=d)
        np.multiply(d, np.subtract(1, f, out=a), out=zf)
        np.matmul(z, weight, out=gh[:n])
    return zs, gh, gc, _weight_grad(zs, _all_before(y, h, sizes, reverse))


def gru_layer(x: Any, h: Any, weight: Any, bias: Any = None, /, *, sizes: Sizes = None, reverse: bool = False) -> Any:
    """The op ``gru_layer``."""
    if not (_fits(x, h, weight, bias) and ops.fit(3, x, weight, (h,), sizes, bias)):
        forward: Any = ops.gru_layer.op.forward
        return forward(np, x, h, weight, bias, sizes=sizes, reverse=reverse)
    (time, rows, _), w = x.shape, h.shape[1]
    y, steps = _room((time, rows, w), x, sizes), _room((time, 4, rows, w), x, sizes)
    h, right = h.copy(), np.ascontiguousarray(weight.T)
    buffer = np.empty((rows, 3 * w), x.dtype)
    for t, n, _, _ in walk(x.shape, sizes, reverse):
        product, given, out = buffer[:n], x[t, :n], y[t, :n]
        gates, (r, z, new, part) = steps[t, :2, :n], steps[t, :, :n]
        np.matmul(h[:n], right, out=product)
        if bias is not None:
            product += bias
        part[...] = product[:, 2 * w :]
        product = product[:, : 2 * w]
        product += given[:, : 2 * w]
        product *= 0.5
        np.tanh(product.reshape(n, 2, w).transpose(1, 0, 2), out=gates)
        gates += 1
        gates *= 0.5
        np.multiply(r, part, out=out)
        out += given[:, 2 * w :]
        np.tanh(out, out=new)
        np.subtract(h[:n], new, out=out)
        out *= z
        out += new
        h[:n] = out
    return (y, h), steps


def gru_layer_grad(
    gy: Any, gh: Any, h: Any, weight: Any, y: Any, steps: Any, /, *, sizes: Sizes = None, reverse: bool = False
) -> Any:
    """The op ``gru_layer_grad``."""
    if not _fits(gy, gh, h, weight, y, steps):
        return _generic(ops.gru_layer_grad.op, gy, gh, h, weight, y, steps, sizes=sizes, reverse=reverse)
    time, rows, w = gy.shape
    (xs, hs), gh = (_room((time, rows, 3 * w), gy, sizes) for _ in range(2)), gh.copy()
    buffers = [np.empty((rows, w), gy.dtype) for _ in range(3)]
    for t, n, s, m in reversed(walk(gy.shape, sizes, reverse)):
        gx, gm, (r, z, new, product) = xs[t, :n], hs[t, :n], steps[t, :, :n]
        dr, dz, dn = (gx[:, k * w : (k + 1) * w] for k in range(3))
        a, b, d = (buffer[:n] for buffer in buffers)
        np.add(gh[:n], gy[t, :n], out=d)
        np.subtract(_before(y, h, n, s, m), new, out=a)
        a *= d
        a *= z
        np.multiply(a, np.subtract(1, z, out=b), out=dz)
        b *= d
        np.multiply(new, new, out=a)
        b *= np.subtract(1, a, out=a)
        dn[...] = b
        np.multiply(b, r, out=gm[:, 2 * w :])
        np.subtract(1, r, out=a)
        a *= r
        a *= product
        np.multiply(a, b, out=dr)
        gm[:, : 2 * w] = gx[:, : 2 * w]
        np.matmul(gm, weight, out=gh[:n])
        d *= z
        gh[:n] += d
    return xs, gh, _weight_grad(hs, _all_before(y, h, sizes, reverse)), hs.sum(axis=(0, 1))
