"""Kernels for CuPy, a file a family; each file is imported, with CuPy, when one of its ops first runs.

An op that is not in ``KERNELS`` runs by the function of its name in array-api-compat's namespace, or by its own forward over that; so does
a call for which a kernel returns ``NotImplemented``. No kernel waits for the GPU, but the ops in ``SYNCHRONISES``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

# By file: the ops that a function of their name there computes.
FAMILIES = {
    "attention": ("attention", "attention_grad"),
    "conv": ("convolution",),
    "elementwise": (
        "bernoulli_loss", "erf", "erfc", "exponential_unit", "floor_divide", "gelu", "gelu_grad", "gelu_grad_at", "hardshrink",
        "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "log_odds", "remainder", "rsqrt", "sigmoid", "sign", "silu",
        "softplus", "softshrink",
    ),
    "indexing": ("getitem", "one_hot", "scatter_extremum", "scatter_pieces", "setitem"),
    "interpolate": ("resample",),
    "linalg": ("cholesky", "eig", "eigh", "eigvals", "eigvalsh", "solve", "solve_triangular", "svd"),
    "losses": ("log_softmax_at", "log_softmax_at_grad"),
    "normalization": ("layer_norm", "layer_norm_grad"),
    "optim": (
        "adadelta_step", "adagrad_step", "adam_step", "adamax_step", "lamb_step", "lion_step", "nadam_step", "radam_step",
        "rmsprop_step", "sgd_step",
    ),
    "pooling": ("max_pool", "pool_gather", "pool_scatter"),
    "random": ("advance_counter", "random_bits", "random_normal", "random_uniform"),
    "recurrent": ("gru_layer", "gru_layer_grad", "lstm_layer", "lstm_layer_grad", "rnn_layer", "rnn_layer_grad"),
    "softmax": ("log_softmax", "logsumexp", "softmax"),
    "unfolding": ("fold", "unfold"),
}  # fmt: skip

# Ops that CuPy lacks, and why. There is none since CuPy 14, which brought eig and eigvals.
MISSING: dict[str, str] = {}

# Ops that wait for the GPU, and why; of those that take keys, the calls alone that have a boolean index array.
SYNCHRONISES = {
    "cholesky": "it looks whether the matrix is symmetric",
    "eig": "it looks whether the matrix is finite, and its solver converged",
    "eigh": "it looks whether the matrix is symmetric",
    "eigvals": "it looks whether the matrix is finite, and its solver converged",
    "eigvalsh": "it looks whether the matrix is symmetric",
    "flat_nonzero": "the values decide the result's shape",
    "getitem": "how many elements a boolean index selects decides the result's shape",
    "lstsq": "CuPy writes over small singular values by a boolean index",
    "matrix_exp": "the largest norm decides how often the result is squared",
    "pinv": "CuPy writes over small singular values by a boolean index",
    "scatter_extremum": "how many elements a boolean index selects decides the shape of its value",
    "scatter_pieces": "how many elements a boolean index selects decides the shape of its value",
    "setitem": "how many elements a boolean index selects decides the shape of its value",
    "unique_all": "the values decide the result's shape",
    "unique_counts": "the values decide the result's shape",
    "unique_inverse": "the values decide the result's shape",
    "unique_values": "the values decide the result's shape",
}


def _lazy(file: str, name: str) -> Callable[..., Any]:
    found: Any = None

    def kernel(*arrays: Any, **attrs: Any) -> Any:
        nonlocal found
        if found is None:
            found = getattr(import_module(f"{__name__}.{file}"), name)
        y = found(*arrays, **attrs)
        return import_module(f"{__name__}.rows").generic(name, *arrays, **attrs) if y is NotImplemented else y

    return kernel


KERNELS: dict[str, Any] = {name: _lazy(file, name) for file, names in FAMILIES.items() for name in names}
