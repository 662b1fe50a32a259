"""What NumPy, PyTorch, SciPy and JAX call what is here under another name: for the error about a missing name alone."""

from __future__ import annotations

import sys

from . import interop, registry
from .errors import suggest

# Their name -> ours, or several of ours.
NAMES = {
    "array": "tensor", "concatenate": "concat", "cat": "concat", "power": "pow", "absolute": "abs", "transpose": "permute_dims",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2", "arcsinh": "asinh", "arccosh": "acosh",
    "arctanh": "atanh", "mod": "remainder", "true_divide": "divide", "invert": "bitwise_invert", "bitwise_not": "bitwise_invert",
    "amax": "max", "amin": "min", "clamp": "clip", "cumsum": "cumulative_sum", "cumprod": "cumulative_prod", "product": "prod",
    "logcumsumexp": "cumulative_logsumexp", "conjugate": "conj", "left_shift": "bitwise_left_shift", "sgn": "sign",
    "right_shift": "bitwise_right_shift", "fix": "trunc", "around": "round", "expit": "sigmoid", "norm": "vector_norm linalg.matrix_norm",
    "from_numpy": "asarray", "as_tensor": "asarray", "asanyarray": "asarray", "ascontiguousarray": "asarray",
    "float": "float64", "double": "float64", "half": "float16", "int": "int64", "long": "int64", "promote_types": "result_type",
    "identity": "eye", "ravel": "reshape", "flatten": "reshape", "view": "reshape", "resize": "reshape", "unsqueeze": "expand_dims",
    "permute": "permute_dims", "expand": "broadcast_to", "movedim": "moveaxis", "repeat_interleave": "repeat", "chunk": "split", "array_split": "split", "hsplit": "split",
    "vsplit": "split", "mgrid": "meshgrid", "ogrid": "meshgrid", "index_select": "take", "select": "where",
    "masked_fill": "where", "mm": "matmul", "bmm": "matmul", "unique": "unique_values", "digitize": "searchsorted",
    "in1d": "isin", "rand": "random.uniform", "randn": "random.normal", "randint": "random.integers",
    "manual_seed": "random.seed", "multinomial": "random.categorical", "shuffle": "random.permutation", "jacfwd": "jacobian",
    "jacrev": "jacobian", "custom_vjp": "custom_gradient", "custom_jvp": "custom_gradient", "remat": "checkpoint",
    "gradcheck": "check_grads", "inference_mode": "no_grad", "set_grad_enabled": "no_grad",
    "linalg.norm": "linalg.vector_norm linalg.matrix_norm", "linalg.expm": "linalg.matrix_exp",
    "linalg.logdet": "linalg.slogdet", "linalg.eigs": "linalg.eigvals", "linalg.eigvalues": "linalg.eigvals",
    "linalg.mm": "linalg.matmul", "linalg.dot": "dot", "linalg.einsum": "einsum", "linalg.kron": "kron", "linalg.triu": "triu",
    "linalg.tril": "tril", "linalg.diag": "diag", "linalg.inverse": "linalg.inv", "linalg.cho_solve": "linalg.solve_triangular",
    "linalg.triangular_solve": "linalg.solve_triangular", "triangular_solve": "linalg.solve_triangular",
    "random.rand": "random.uniform", "random.random": "random.uniform", "random.random_sample": "random.uniform",
    "random.randn": "random.normal", "random.standard_normal": "random.normal", "random.randint": "random.integers",
    "random.shuffle": "random.permutation", "random.randperm": "random.permutation", "random.multinomial": "random.categorical",
    "random.default_rng": "random.Generator", "random.RandomState": "random.Generator", "random.PRNGKey": "random.Generator",
    "random.key": "random.Generator", "random.manual_seed": "random.seed", "random.standard_exponential": "random.exponential",
    "random.split": "random.Generator.split", "random.spawn": "random.Generator.spawn",
    "random.bits": "random.Generator.bits", "random.truncnorm": "random.truncated_normal",
}  # fmt: skip
# Their name -> what to write, beside ``interop.WRITE``, which holds those of NumPy that do not take Tensors.
FORMULAS = {
    "cdist": "jt.linalg.vector_norm(x[:, None] - y, axis=-1)",
    "clone": "jt.asarray(x, copy=True)",
    "copy": "jt.asarray(x, copy=True)",
    "lerp": "x + weight * (y - x)",
    "linalg.cond": "s[..., 0] / s[..., -1], with s = jt.linalg.svdvals(x)",
    "logit": "jt.log(x) - jt.log1p(-x)",
    "masked_select": "x[mask]",
    "nn": "import jitrench_nn as nn, of jitrench-nn",
    "optim": "import jitrench_optim as optim, of jitrench-optim",
    "swapaxes": "jt.moveaxis(x, (i, j), (j, i))",
    "swapdims": "jt.moveaxis(x, (i, j), (j, i))",
    "trapz": interop.WRITE["trapezoid"],
    "xlogy": "jt.apply_where(x != 0, lambda x, y: x * jt.log(y), x, y)",
}
# Ops of jitrench-nn, which the registry knows only once plugins are loaded.
NETWORKS = {
    "batch_norm", "binary_cross_entropy", "conv1d", "conv2d", "conv3d", "cosine_similarity", "cross_entropy", "dropout", "elu",
    "embedding", "gelu", "group_norm", "interpolate", "l1_loss", "layer_norm", "leaky_relu", "max_pool2d", "mish", "mse_loss",
    "nll_loss", "scaled_dot_product_attention", "silu",
}  # fmt: skip


def missing(module: str, name: str) -> AttributeError:
    """The error for a name that ``module`` does not have, with the name or the formula that stands for it here."""
    return AttributeError(f"module {module!r} has no attribute {name!r}.{_near(module, name)}")


def _near(module: str, name: str) -> str:
    core = sys.modules["jitrench_core"]
    within = module.removeprefix("jitrench_core").lstrip(".")
    asked = f"{within}.{name}" if within else name
    if asked in NAMES:
        ours = [repr(n if "." not in n and not within else f"jt.{n}") for n in NAMES[asked].split()]
        return f" Did you mean {' or '.join(ours)}?"
    if asked in FORMULAS or asked in interop.WRITE:
        return f" Write {FORMULAS.get(asked) or interop.WRITE[asked]}."
    homes = ("linalg", "fft", "random") if not within else ()
    if found := [f"jt.{home}.{name}" for home in homes if name in getattr(core, home).__all__]:
        return f" Did you mean {found[0]!r}?"
    if within and name in core.__all__:
        return f" Did you mean 'jt.{name}'?"
    if not within and name in registry.ops.entries:
        return f" Did you mean 'jt.ops.{name}'?"
    if not within and name in NETWORKS:
        return f" It is an op of jitrench-nn: 'jt.ops.{name}', or 'jitrench_nn.functional.{name}'."
    if not within and hasattr(core.Tensor, name):
        return f" It is an attribute of a Tensor: x.{name}."
    return suggest(name, sys.modules[module].__all__)
