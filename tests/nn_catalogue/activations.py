"""Activations."""

from __future__ import annotations

import math

import numpy as np
from catalogue import normal

_erf = np.vectorize(math.erf, otypes=[float])


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _gelu(x, approximate="none"):
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x * 0.5 * (1 + _erf(x / math.sqrt(2)))


def _gelu_grad(v, x, approximate="none"):
    if approximate == "tanh":
        return v * _gelu(x + 1e-30j, "tanh").imag * 1e30  # the complex step
    return v * (0.5 * (1 + _erf(x / math.sqrt(2))) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi))


def _elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * (np.exp(x) - 1))


def _glu(x, axis=-1):
    a, b = np.split(x, 2, axis=axis)
    return a * _sigmoid(b)


def _prelu(x, weight):
    if np.ndim(weight) and x.ndim > 2:
        weight = weight[:, *(None,) * (x.ndim - 2)]
    return (np.maximum(x, 0) + weight * np.minimum(x, 0)).reshape(x.shape)


REFERENCES = {
    "silu": lambda x: x * _sigmoid(x),
    "gelu": _gelu,
    "gelu_grad": _gelu_grad,
    "gelu_grad_at": lambda v, x, value: _gelu_grad(v, x),
    "mish": lambda x: x * np.tanh(np.log(1 + np.exp(x))),
    "log_sigmoid": lambda x: np.log(_sigmoid(x)),
    "tanhshrink": lambda x: x - np.tanh(x),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "softmin": lambda x, axis=-1: np.exp(-x) / np.exp(-x).sum(axis=axis, keepdims=True),
    "glu": _glu,
    "leaky_relu": lambda x, negative_slope=0.01: np.maximum(x, 0) + negative_slope * np.minimum(x, 0),
    "prelu": _prelu,
    "elu": _elu,
    "selu": lambda x: 1.0507009873554805 * _elu(x, 1.6732632423543772),
    "celu": lambda x, alpha=1.0: np.maximum(x, 0) + np.minimum(0, alpha * (np.exp(x / alpha) - 1)),
    "exponential_unit": lambda x, alpha=1.0, scale=1.0, rate=1.0: (
        scale * np.where(x > 0, x, alpha * (np.exp(rate * x) - 1))
    ),
    "hardtanh": lambda x, min_val=-1.0, max_val=1.0: np.clip(x, min_val, max_val),
    "relu6": lambda x: np.clip(x, 0, 6),
    "hardsigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hardswish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hardshrink": lambda x, lambd=0.5: np.where((x > lambd) | (x < -lambd), x, 0),
    "softshrink": lambda x, lambd=0.5: np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, 0)),
}

_SIDES = np.array([-3.3, -1.7, -0.3, 0.4, 1.6, 4.5])  # away from every kink

CASES = {
    "silu": [((_SIDES,), {})],
    "gelu": [((_SIDES,), {"approximate": "tanh"}), ((_SIDES,), {})],
    "gelu_grad": [
        ((normal(6), _SIDES), {"approximate": "tanh"}),
        ((normal(6), _SIDES), {}),
        ((normal(0), normal(0)), {}),
    ],
    "gelu_grad_at": [
        ((normal(6), _SIDES, _gelu(_SIDES)), {}),
        ((normal(2), np.array([0.0, -0.0]), np.array([0.0, -0.0])), {}),
        ((np.array(0.3), np.array(0.0), np.array(0.0)), {}),
        ((normal(0), normal(0), normal(0)), {}),
    ],
    "softsign": [((_SIDES,), {})],
    "softmin": [((normal(2, 3),), {}), ((normal(2, 3, 2),), {"axis": (0, 2)})],
    "glu": [
        ((normal(4),), {}),
        ((normal(2, 3, 4),), {"axis": -1}),
        ((normal(2, 0),), {}),
        ((normal(4, 2),), {"axis": 0}),
    ],
    "leaky_relu": [((_SIDES,), {}), ((_SIDES,), {"negative_slope": 0.3})],
    "prelu": [
        ((_SIDES, np.array([0.3])), {}),
        ((np.array(-1.5), np.array([0.3])), {}),
        ((normal(2, 3), np.array(0.3)), {}),
        ((normal(2, 3), normal(3)), {}),
        ((normal(0, 3, 2), normal(3)), {}),
    ],
    "elu": [((_SIDES,), {}), ((_SIDES,), {"alpha": 0.7})],
    "selu": [((_SIDES,), {})],
    "celu": [((_SIDES,), {}), ((_SIDES,), {"alpha": 0.7})],
    "exponential_unit": [((_SIDES,), {"alpha": 0.7, "scale": 1.5, "rate": 0.5})],
    "hardtanh": [((_SIDES,), {}), ((_SIDES,), {"min_val": -0.1, "max_val": 2.0})],
    "relu6": [((_SIDES * 2,), {})],
    "hardsigmoid": [((_SIDES,), {})],
    "hardswish": [((_SIDES,), {})],
    "hardshrink": [((_SIDES,), {}), ((_SIDES,), {"lambd": 2.0})],
    "softshrink": [((_SIDES,), {}), ((_SIDES,), {"lambd": 2.0})],
}
