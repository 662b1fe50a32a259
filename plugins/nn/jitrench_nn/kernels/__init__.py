"""Kernels for NumPy, a file a family; each file is imported when one of its ops first runs."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

# The op, and the file here in which a function of its name computes it.
NUMPY = {
    "gelu": "activations",
    "gelu_grad": "activations",
    "gelu_grad_at": "activations",
    "attention": "attention",
    "attention_grad": "attention",
    "convolution": "conv",
    "max_pool": "pooling",
    "pool_scatter": "pooling",
    "resample": "interpolate",
    "linear": "linear",
    "linear_x_grad": "linear",
    "linear_weight_grad": "linear",
    "linear_bias_grad": "linear",
    "layer_norm": "normalization",
    "layer_norm_grad": "normalization",
    "mse_loss": "losses",
    "log_softmax_at": "losses",
    "log_softmax_at_grad": "losses",
    "rnn_layer": "recurrent",
    "rnn_layer_grad": "recurrent",
    "lstm_layer": "recurrent",
    "lstm_layer_grad": "recurrent",
    "gru_layer": "recurrent",
    "gru_layer_grad": "recurrent",
}


def on_first_use(op: Any, file: str) -> Callable[..., Any]:
    """The kernel of ``op``, which imports its file when it is first called, and then gives its place in the op's table to the
    function there: 0.5 us a call."""

    def kernel(*arrays: Any, **attrs: Any) -> Any:
        found = getattr(import_module(f"{__name__}.{file}"), op.name)
        for key, linked in op.kernels.items():
            if linked is kernel:
                op.kernels[key] = found
        return found(*arrays, **attrs)

    return kernel
