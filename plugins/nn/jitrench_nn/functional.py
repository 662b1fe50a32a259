"""Every op of jitrench-nn, and those of the core that belong beside them: ``jitrench_nn.functional.gelu``.

The same functions are found as ``jt.ops.gelu``. Names are PyTorch's; ``axis`` is its ``dim``, and arrays come before attributes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitrench_core import log_softmax, relu, sigmoid, softmax, softplus, tanh

from .ops.activations import (
    celu,
    elu,
    gelu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    log_sigmoid,
    mish,
    prelu,
    relu6,
    selu,
    silu,
    softmin,
    softshrink,
    softsign,
    tanhshrink,
)
from .ops.attention import scaled_dot_product_attention
from .ops.conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from .ops.dropout import alpha_dropout, dropout, dropout1d, dropout2d, dropout3d
from .ops.embedding import embedding
from .ops.interpolate import interpolate
from .ops.linear import linear
from .ops.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    cosine_similarity,
    cross_entropy,
    gaussian_nll_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    margin_ranking_loss,
    mse_loss,
    multi_margin_loss,
    multilabel_soft_margin_loss,
    nll_loss,
    pairwise_distance,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
    triplet_margin_loss,
)
from .ops.normalization import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from .ops.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from .ops.positions import rotary_embedding
from .ops.recurrent import gru_layer, lstm_layer, rnn_layer
from .ops.unfolding import fold, unfold

if not TYPE_CHECKING:  # a type checker knows the names that are

    def __getattr__(name: str) -> object:
        """PyTorch's functions that are elsewhere, or are written out."""
        import jitrench_core
        from jitrench_core.errors import suggest

        written = {
            "normalize": "x / jt.linalg.vector_norm(x, axis=-1, keepdims=True)",
            "pixel_shuffle": "nn.PixelShuffle(r)(x)",
            "pixel_unshuffle": "nn.PixelUnshuffle(r)(x)",
            "upsample": "F.interpolate(x, ...)",
        }
        told = f" Did you mean 'jt.{name}'?" if name in jitrench_core.__all__ else suggest(name, __all__)
        if name in written:
            told = f" Write {written[name]}."
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}.{told}")


__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "elu",
    "embedding",
    "fold",
    "gaussian_nll_loss",
    "gelu",
    "glu",
    "group_norm",
    "gru_layer",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hinge_embedding_loss",
    "huber_loss",
    "instance_norm",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "lstm_layer",
    "margin_ranking_loss",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "mish",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "pairwise_distance",
    "poisson_nll_loss",
    "prelu",
    "relu",
    "relu6",
    "rms_norm",
    "rnn_layer",
    "rotary_embedding",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "triplet_margin_loss",
    "unfold",
]
