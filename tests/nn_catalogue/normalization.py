"""Normalisation."""

from __future__ import annotations

import numpy as np
from catalogue import normal


def _standard(x, axis, eps):
    return (x - np.mean(x, axis, keepdims=True)) / np.sqrt(np.var(x, axis, keepdims=True) + eps)


def _affine(y, weight, bias):
    shape = (-1, *(1,) * (y.ndim - 2))
    return y * (1 if weight is None else weight.reshape(shape)) + (0 if bias is None else bias.reshape(shape))


def _layer_norm(x, weight=None, bias=None, axis=-1, eps=1e-5):
    return _standard(x, axis, eps) * (1.0 if weight is None else weight) + (0.0 if bias is None else bias)


def _layer_norm_grad(v, x, mean, rstd, weight=None, axis=-1):
    """Through the Jacobian of each row: rstd * (I - 1/n - n n^T / n)."""
    h = np.moveaxis(v * (1.0 if weight is None else weight), axis, -1)
    normalized = (x - mean) * rstd
    n, r = np.moveaxis(normalized, axis, -1), np.moveaxis(rstd, axis, -1)
    size = h.shape[-1]
    jacobian = np.eye(size) - 1 / size - n[..., :, None] * n[..., None, :] / size
    x_grad = np.moveaxis(np.einsum("...i,...ij->...j", h, jacobian) * r, -1, axis)
    product = v * normalized
    if weight is None:
        return x_grad, product.sum(), v.sum()
    return x_grad, product.reshape(-1, *weight.shape).sum(0), v.reshape(-1, *weight.shape).sum(0)


def _batch_norm(x, mean=None, var=None, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    axes = (0, *range(2, x.ndim))
    if not training:
        shape = (-1, *(1,) * (x.ndim - 2))
        y = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps)
        return _affine(y, weight, bias), mean, var
    new = np.mean(x, axes), np.var(x, axes, ddof=1)
    if mean is not None:
        new = (1 - momentum) * mean + momentum * new[0], (1 - momentum) * var + momentum * new[1]
    return _affine(_standard(x, axes, eps), weight, bias), *new


def _group_norm(x, weight=None, bias=None, num_groups=1, eps=1e-5):
    parts = np.split(x, num_groups, axis=1)
    y = np.concatenate([_standard(p, tuple(range(1, p.ndim)), eps) for p in parts], axis=1)
    return _affine(y, weight, bias)


REFERENCES = {
    "layer_norm": _layer_norm,
    "layer_norm_grad": _layer_norm_grad,
    "rms_norm": lambda x, weight=None, axis=-1, eps=None: (
        x
        / np.sqrt(np.mean(x**2, axis, keepdims=True) + (np.finfo(x.dtype).eps if eps is None else eps))
        * (1.0 if weight is None else weight)
    ),
    "batch_norm": _batch_norm,
    "group_norm": _group_norm,
    "instance_norm": lambda x, weight=None, bias=None, eps=1e-5: _affine(
        _standard(x, tuple(range(2, x.ndim)), eps), weight, bias
    ),
}

CASES = {
    "layer_norm": [
        ((normal(3, 4),), {}),
        ((normal(4),), {"eps": 0.1}),
        ((normal(3, 4), normal(4)), {}),
        ((normal(3, 4), None, normal(4)), {}),
        ((normal(2, 3, 4), normal(3, 4), normal(3, 4)), {"axis": (-2, -1)}),
        ((normal(2, 3, 4), normal(3, 1), normal(3, 1)), {"axis": (0, 2)}),
        ((normal(2, 3), np.array(0.7), np.array(0.3)), {"axis": 0}),
        ((normal(0, 3), normal(3), normal(3)), {}),
        ((np.full((2, 3), 1.5), normal(3), normal(3)), {"eps": 0.5}),  # no variance
        ((normal(2, 1), normal(1), normal(1)), {}),
    ],
    "layer_norm_grad": [
        ((normal(3, 4), normal(3, 4), normal(3, 1), normal(3, 1)), {}),
        ((normal(3, 4), normal(3, 4), normal(1, 4), normal(1, 4)), {"axis": 0}),
    ],
    "rms_norm": [
        ((normal(3, 4),), {"eps": 0.1}),
        ((normal(2, 3, 4), normal(3, 4)), {"axis": (1, 2), "eps": 1e-6}),
        ((normal(0, 3), normal(3)), {}),
    ],
    "batch_norm": [
        ((normal(2, 3, 2, 2), normal(3), normal(3) ** 2), {}),
        ((normal(2, 3, 2), normal(3), normal(3) ** 2 + 0.1, normal(3)), {"eps": 0.1}),
    ],
    "group_norm": [
        ((normal(2, 4, 3, 2),), {"num_groups": 4}),
        # far apart: of two near ones, differences see a slope of 200
        ((np.array([[1.0, -0.5, 2.0, 0.5], [0.0, 1.5, -1.0, 1.0]]), normal(4), normal(4)), {"num_groups": 2}),
        ((normal(2, 4, 3), None, normal(4)), {"num_groups": 1, "eps": 0.1}),
    ],
    "instance_norm": [((normal(2, 3, 2, 2),), {}), ((normal(2, 3, 4), normal(3)), {"eps": 0.1})],
}
