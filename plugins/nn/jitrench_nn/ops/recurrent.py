"""Recurrent layers: one op for all time steps of a layer in one direction.

x has shape (time, n, width) and is projected already: one matrix product over all steps, with the biases added, made it. ``sizes``
says how many sequences are still running at each step, so that sequences of several lengths lie side by side, the longest first; behind
its end a sequence gives 0, and its last state stays. ``reverse`` starts at the end of each. Gates lie in PyTorch's order.

Second derivatives go through the composites ``*_layer_grad``, step by step.
"""

from __future__ import annotations

from typing import Any

import jitrench_core as jt

from .checks import floating, real

Sizes = tuple[int, ...] | None
ACTIVATIONS = ("tanh", "relu")


def walk(x_shape: Any, sizes: Sizes, reverse: bool) -> list[tuple[int, int, int, int]]:
    """For each step (t, n, s, m): n sequences run at t; of them the first m come from step s, the others begin."""
    every = list(enumerate(sizes or (x_shape[1],) * x_shape[0]))
    found, s, m = [], 0, 0
    for t, n in reversed(every) if reverse else every:
        found.append((t, n, s, min(m, n)))
        s, m = t, n
    return found


def _sigmoid(xp: Any, x: Any) -> Any:
    """By tanh, which cannot overflow."""
    return 0.5 * xp.tanh(0.5 * x) + 0.5


def _split(x: Any, parts: int) -> list[Any]:
    width = x.shape[-1] // parts
    return [x[..., k * width : (k + 1) * width] for k in range(parts)]


def _join(xp: Any, new: Any, old: Any) -> Any:
    """``new`` in place of the first rows of ``old``."""
    n = new.shape[0]
    return new if n == old.shape[0] else xp.concat([new, old[n:, ...]], axis=0)


def _padded(xp: Any, new: Any, rows: int) -> Any:
    """``new``, of shape (..., n, width), with rows of 0 behind it."""
    *lead, n, width = new.shape
    if n == rows:
        return new
    zeros = xp.zeros((*lead, rows - n, width), dtype=new.dtype, device=new.device)
    return xp.concat([new, zeros], axis=-2)


def _stacked(xp: Any, by_step: dict[int, Any], rows: int) -> Any:
    return xp.stack([_padded(xp, by_step[t], rows) for t in range(len(by_step))], axis=0)


def _before(xp: Any, states: Any, first: Any, n: int, s: int, m: int) -> Any:
    """The states that a step of ``walk`` starts from."""
    if not m:
        return first[:n, ...]
    return states[s, :m, ...] if m == n else xp.concat([states[s, :m, ...], first[m:n, ...]], axis=0)


def _weight_grad(by_step: dict[int, Any], before: dict[int, Any]) -> Any:
    """The gradient of ``before @ weight.mT`` in weight, of all steps by one product."""
    each = range(len(by_step))
    return jt.concat([by_step[t] for t in each]).mT @ jt.concat([before[t] for t in each])


def fit(gates: int, x: Any, weight: Any, states: tuple[Any, ...], sizes: Sizes, bias: Any = None) -> bool:
    """Whether shapes fit, and ``sizes`` can be; arrays that do not would broadcast."""
    time, n, width = x.shape if len(x.shape) == 3 else (0, 0, 0)
    return (
        time > 0
        and tuple(weight.shape) == (width, width // gates)
        and not width % gates
        and all(tuple(h.shape) == (n, width // gates) for h in states)
        and (bias is None or tuple(bias.shape) == (width,))
        and (sizes is None or _can_be(sizes, time, n))
    )


def _can_be(sizes: tuple[int, ...], time: int, n: int) -> bool:
    return len(sizes) == time and [*sizes] == sorted(sizes, reverse=True) and 0 <= sizes[-1] <= sizes[0] <= n


def _demand(who: str, xp: Any, gates: int, x: Any, weight: Any, states: Any, sizes: Sizes, bias: Any = None) -> None:
    """Stop where an op cannot run; its check says why."""
    arrays = (x, weight, *states, *(() if bias is None else (bias,)))
    if not fit(gates, x, weight, states, None, bias) or not all(xp.isdtype(a.dtype, "real floating") for a in arrays):
        raise ValueError("shapes or dtypes do not fit")
    if sizes is not None and not _can_be(sizes, *x.shape[:2]):
        raise jt.OpError(
            f"{who}(): sizes= says how many of the {x.shape[1]} sequences run at each of {x.shape[0]} steps, never more than "
            f"before; got {sizes!r}"
        )


def _check(who: str, gates: int, x: Any, weight: Any, states: dict[str, Any], bias: Any = None) -> None:
    """Raise the error that says what does not fit."""
    tensors = {"x": jt.asarray(x), "weight": jt.asarray(weight)} | {k: jt.asarray(v) for k, v in states.items()}
    x, weight = tensors["x"], tensors["weight"]
    for name, a in (tensors if bias is None else tensors | {"bias": jt.asarray(bias)}).items():
        floating(who, a, name)
    wide = f"{gates} * " if gates > 1 else ""
    if x.ndim != 3 or weight.ndim != 2 or not x.shape[2] == weight.shape[0] == gates * weight.shape[1]:
        raise jt.ShapeError(
            f"{who}(): x has shape {x.shape} and weight {weight.shape}; expected (time, n, {wide}hidden) and ({wide}hidden, "
            f"hidden)"
        )
    if not x.shape[0]:
        raise jt.ShapeError(f"{who}(): x has shape {x.shape}, which is no time step; expected one at least")
    hidden = weight.shape[1]
    for name in states:
        if tensors[name].shape != (x.shape[1], hidden):
            raise jt.ShapeError(
                f"{who}(): {name} has shape {tensors[name].shape}; expected (n, hidden), here {(x.shape[1], hidden)}"
            )
    if bias is not None and jt.asarray(bias).shape != weight.shape[:1]:
        raise jt.ShapeError(f"{who}(): bias has shape {jt.asarray(bias).shape}; expected {weight.shape[:1]}")


def _needed(gradients: Any, needs: Any) -> tuple[Any, ...]:
    return tuple(g if n else None for g, n in zip(gradients, needs, strict=True))


# -- the plain one ------------------------------------------------------------------------------------------------------


def _rnn_sample(rng: Any) -> Any:
    arrays = (rng.normal(size=(3, 2, 2)), rng.normal(size=(2, 2)), rng.normal(size=(2, 2)))
    return arrays, {"sizes": (2, 2, 1), "reverse": True}


@jt.op(outputs=2, samples=_rnn_sample)
def rnn_layer(
    xp: Any, x: Any, h: Any, weight: Any, /, *, activation: str = "tanh", sizes: Sizes = None, reverse: bool = False
) -> Any:
    """h = activation(x[t] + h @ weight.T) at each step: ``(every h, the last one)`` (Elman, 1990).

    x has shape (time, n, hidden), h (n, hidden) and weight (hidden, hidden); ``activation`` is ``"tanh"`` or ``"relu"``.

    Raises ``ShapeError`` where shapes do not fit or there is no time step, ``DTypeError`` for integers and complex numbers, and
    ``OpError`` for ``sizes`` that cannot be, and another activation.

    >>> import jitrench_core as jt
    >>> y, last = rnn_layer(jt.ones((3, 1, 1)), jt.zeros((1, 1)), jt.ones((1, 1)), activation="relu")
    >>> y.tolist(), last.tolist()
    ([[[1.0]], [[2.0]], [[3.0]]], [[3.0]])
    """
    if activation not in ACTIVATIONS:
        raise jt.OpError(f"rnn_layer(): activation= is 'tanh' or 'relu'; got {activation!r}")
    _demand("rnn_layer", xp, 1, x, weight, (h,), sizes)
    rows, ys = x.shape[1], {}
    for t, n, _, _ in walk(x.shape, sizes, reverse):
        z = x[t, :n, ...] + h[:n, ...] @ weight.mT
        ys[t] = xp.tanh(z) if activation == "tanh" else xp.where(z <= 0, xp.zeros_like(z), z)
        h = _join(xp, ys[t], h)
    return _stacked(xp, ys, rows), h


@rnn_layer.check
def _(x: Any, h: Any, weight: Any, /) -> None:
    _check("rnn_layer", 1, x, weight, {"h": h})


@rnn_layer.vjp_all
def _(g: Any, h: Any, weight: Any, y: Any, activation: str, sizes: Sizes, reverse: bool, needs: Any) -> Any:
    attrs = {"activation": activation, "sizes": sizes, "reverse": reverse}
    return _needed(rnn_layer_grad(*g, h, weight, y[0], **attrs), needs)


def _rnn_grad_sample(rng: Any) -> Any:
    y, h = rng.normal(size=(2, 3, 2, 2)), rng.normal(size=(3, 2, 2))
    return (y[0], h[0], h[1], h[2], y[1]), {"sizes": (2, 2, 1)}


@jt.op(composite=True, outputs=3, samples=_rnn_grad_sample)
def rnn_layer_grad(
    gy: Any,
    gh: Any,
    h: Any,
    weight: Any,
    states: Any,
    /,
    *,
    activation: str = "tanh",
    sizes: Sizes = None,
    reverse: bool = False,
) -> Any:
    """The gradients of ``rnn_layer`` for x, h and weight, from those of its results and its first result, ``states``."""
    real("rnn_layer_grad", gy, gh, h, weight, states)
    rows, zs, before = gy.shape[1], {}, {}
    for t, n, s, m in reversed(walk(gy.shape, sizes, reverse)):
        before[t] = _before(jt, states, h, n, s, m)
        new, d = states[t, :n, ...], gh[:n, ...] + gy[t, :n, ...]
        zs[t] = d * (1.0 - new * new) if activation == "tanh" else jt.where(new > 0.0, d, 0.0)
        gh = _join(jt, zs[t] @ weight, gh)
    return _stacked(jt, zs, rows), gh, _weight_grad(zs, before)


# -- LSTM ---------------------------------------------------------------------------------------------------------------


def _lstm_sample(rng: Any) -> Any:
    arrays = (rng.normal(size=(3, 2, 8)), *rng.normal(size=(2, 2, 2)), rng.normal(size=(8, 2)))
    return arrays, {"sizes": (2, 2, 1), "reverse": True}


@jt.op(outputs=3, aux=("steps",), samples=_lstm_sample)
def lstm_layer(xp: Any, x: Any, h: Any, c: Any, weight: Any, /, *, sizes: Sizes = None, reverse: bool = False) -> Any:
    """Long short-term memory: ``(every h, the last h, the last c)`` (Hochreiter and Schmidhuber, 1997; Gers et al., 2000).

    With i, f, g, o the four parts of x[t] + h @ weight.T: c = sigmoid(f) * c + sigmoid(i) * tanh(g), h = sigmoid(o) * tanh(c). x has shape
    (time, n, 4 * hidden), h and c (n, hidden) and weight (4 * hidden, hidden).

    Raises ``ShapeError`` where shapes do not fit or there is no time step, ``DTypeError`` for integers and complex numbers, and
    ``OpError`` for ``sizes`` that cannot be.

    >>> import jitrench_core as jt
    >>> y, h, c = lstm_layer(jt.zeros((2, 1, 4)), jt.zeros((1, 1)), jt.ones((1, 1)), jt.zeros((4, 1)))
    >>> c.tolist()
    [[0.25]]
    """
    return _lstm(xp, x, h, c, weight, sizes, reverse)


def _lstm(xp: Any, x: Any, h: Any, c: Any, weight: Any, sizes: Sizes, reverse: bool) -> Any:
    """The results, and the ``steps``, (time, 5, n, hidden): i, f, g, o and c of each."""
    _demand("lstm_layer", xp, 4, x, weight, (h, c), sizes)
    rows, ys, steps = x.shape[1], {}, {}
    for t, n, _, _ in walk(x.shape, sizes, reverse):
        i, f, g, o = _split(x[t, :n, ...] + h[:n, ...] @ weight.mT, 4)
        i, f, g, o = _sigmoid(xp, i), _sigmoid(xp, f), xp.tanh(g), _sigmoid(xp, o)
        new = f * c[:n, ...] + i * g
        ys[t] = o * xp.tanh(new)
        steps[t] = xp.stack([i, f, g, o, new], axis=0)
        h, c = _join(xp, ys[t], h), _join(xp, new, c)
    return (_stacked(xp, ys, rows), h, c), _stacked(xp, steps, rows)


@lstm_layer.aux("steps")
def _(x: Any, h: Any, c: Any, weight: Any, sizes: Sizes, reverse: bool) -> Any:
    return _lstm(jt, x, h, c, weight, sizes, reverse)[1]


@lstm_layer.check
def _(x: Any, h: Any, c: Any, weight: Any, /) -> None:
    _check("lstm_layer", 4, x, weight, {"h": h, "c": c})


@lstm_layer.vjp_all
def _(g: Any, h: Any, c: Any, weight: Any, y: Any, steps: Any, sizes: Sizes, reverse: bool, needs: Any) -> Any:
    return _needed(lstm_layer_grad(*g, h, c, weight, y[0], steps, sizes=sizes, reverse=reverse), needs)


def _lstm_grad_sample(rng: Any) -> Any:
    y, h = rng.normal(size=(2, 2, 2, 1)), rng.normal(size=(4, 2, 1))
    arrays = (y[0], *h, rng.normal(size=(4, 1)), y[1], rng.normal(size=(2, 5, 2, 1)))
    return arrays, {"sizes": (2, 1)}


@jt.op(composite=True, outputs=4, samples=_lstm_grad_sample)
def lstm_layer_grad(
    gy: Any,
    gh: Any,
    gc: Any,
    h: Any,
    c: Any,
    weight: Any,
    states: Any,
    steps: Any,
    /,
    *,
    sizes: Sizes = None,
    reverse: bool = False,
) -> Any:
    """The gradients of ``lstm_layer`` for x, h, c and weight, from those of its results, its first result, ``states``, and its ``steps``."""
    real("lstm_layer_grad", gy, gh, gc, h, c, weight, states, steps)
    rows, zs, before, cells = gy.shape[1], {}, {}, steps[:, 4, ...]
    for t, n, s, m in reversed(walk(gy.shape, sizes, reverse)):
        before[t] = _before(jt, states, h, n, s, m)
        i, f, g, o, new = (steps[t, k, :n, ...] for k in range(5))
        squashed, d = jt.tanh(new), gh[:n, ...] + gy[t, :n, ...]
        dc = gc[:n, ...] + d * o * (1.0 - squashed * squashed)
        gates = (
            dc * g * i * (1.0 - i),
            dc * _before(jt, cells, c, n, s, m) * f * (1.0 - f),
            dc * i * (1.0 - g * g),
            d * squashed * o * (1.0 - o),
        )
        zs[t] = jt.concat(gates, axis=-1)
        gh, gc = _join(jt, zs[t] @ weight, gh), _join(jt, dc * f, gc)
    return _stacked(jt, zs, rows), gh, gc, _weight_grad(zs, before)


# -- GRU ----------------------------------------------------------------------------------------------------------------


def _gru_sample(rng: Any) -> Any:
    arrays = (rng.normal(size=(3, 2, 6)), rng.normal(size=(2, 2)), rng.normal(size=(6, 2)), rng.normal(size=6))
    return arrays, {"sizes": (2, 2, 1), "reverse": True}


@jt.op(outputs=2, aux=("steps",), samples=_gru_sample)
def gru_layer(
    xp: Any, x: Any, h: Any, weight: Any, bias: Any = None, /, *, sizes: Sizes = None, reverse: bool = False
) -> Any:
    """Gated recurrent unit: ``(every h, the last one)`` (Cho et al., 2014, with the reset after the product, as in cuDNN and PyTorch).

    With r, z, n the three parts of x[t] and a, b, m those of h @ weight.T + bias: r = sigmoid(r + a), z = sigmoid(z + b),
    n = tanh(n + r * m), h = (1 - z) * n + z * h. x has shape (time, n, 3 * hidden), h (n, hidden), weight (3 * hidden, hidden), bias (3 * hidden,).

    Raises ``ShapeError`` where shapes do not fit or there is no time step, ``DTypeError`` for integers and complex numbers, and
    ``OpError`` for ``sizes`` that cannot be.

    >>> import jitrench_core as jt
    >>> y, last = gru_layer(jt.zeros((2, 1, 3)), jt.ones((1, 1)), jt.zeros((3, 1)))
    >>> y.tolist()
    [[[0.5]], [[0.25]]]
    """
    return _gru(xp, x, h, weight, bias, sizes, reverse)


def _gru(xp: Any, x: Any, h: Any, weight: Any, bias: Any, sizes: Sizes, reverse: bool) -> Any:
    """The results, and the ``steps``, (time, 4, n, hidden): r, z, n and m of each."""
    _demand("gru_layer", xp, 3, x, weight, (h,), sizes, bias)
    rows, ys, steps = x.shape[1], {}, {}
    for t, n, _, _ in walk(x.shape, sizes, reverse):
        product = h[:n, ...] @ weight.mT
        (r, z, new), (a, b, m) = _split(x[t, :n, ...], 3), _split(product if bias is None else product + bias, 3)
        r, z = _sigmoid(xp, r + a), _sigmoid(xp, z + b)
        new = xp.tanh(new + r * m)
        ys[t] = new + z * (h[:n, ...] - new)
        steps[t] = xp.stack([r, z, new, m], axis=0)
        h = _join(xp, ys[t], h)
    return (_stacked(xp, ys, rows), h), _stacked(xp, steps, rows)


@gru_layer.aux("steps")
def _(x: Any, h: Any, weight: Any, bias: Any, sizes: Sizes, reverse: bool) -> Any:
    return _gru(jt, x, h, weight, bias, sizes, reverse)[1]


@gru_layer.check
def _(x: Any, h: Any, weight: Any, bias: Any = None, /) -> None:
    _check("gru_layer", 3, x, weight, {"h": h}, bias)


@gru_layer.vjp_all
def _(g: Any, h: Any, weight: Any, y: Any, steps: Any, sizes: Sizes, reverse: bool, needs: Any) -> Any:
    return _needed(gru_layer_grad(*g, h, weight, y[0], steps, sizes=sizes, reverse=reverse), needs)


def _gru_grad_sample(rng: Any) -> Any:
    y, h = rng.normal(size=(2, 2, 2, 1)), rng.normal(size=(2, 2, 1))
    arrays = (y[0], *h, rng.normal(size=(3, 1)), y[1], rng.normal(size=(2, 4, 2, 1)))
    return arrays, {"sizes": (2, 1)}


@jt.op(composite=True, outputs=4, samples=_gru_grad_sample)
def gru_layer_grad(
    gy: Any, gh: Any, h: Any, weight: Any, states: Any, steps: Any, /, *, sizes: Sizes = None, reverse: bool = False
) -> Any:
    """The gradients of ``gru_layer`` for x, h, weight and bias, from those of its results, its first result, ``states``, and its ``steps``."""
    real("gru_layer_grad", gy, gh, h, weight, states, steps)
    rows, xs, hs, before = gy.shape[1], {}, {}, {}
    for t, n, s, m in reversed(walk(gy.shape, sizes, reverse)):
        old = before[t] = _before(jt, states, h, n, s, m)
        r, z, new, product = (steps[t, k, :n, ...] for k in range(4))
        d = gh[:n, ...] + gy[t, :n, ...]
        dn = d * (1.0 - z) * (1.0 - new * new)
        dr, dz = dn * product * r * (1.0 - r), d * (old - new) * z * (1.0 - z)
        xs[t], hs[t] = jt.concat([dr, dz, dn], axis=-1), jt.concat([dr, dz, dn * r], axis=-1)
        gh = _join(jt, d * z + hs[t] @ weight, gh)
    bias_grad = jt.sum(jt.concat([hs[t] for t in range(len(hs))]), axis=0)
    return _stacked(jt, xs, rows), gh, _weight_grad(hs, before), bias_grad
