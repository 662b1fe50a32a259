"""Writes nn_reference.json: values and gradients by PyTorch of the ops of jitrench-nn, at kinks, edges and extremes.

Run by hand where PyTorch is installed (made with 2.13.0): ``python tests/data/make_nn_reference.py``. Each case names an op, its
arrays in our order (None: left out) and its attributes in our spelling; tests/test_nn_ops.py computes the same with JITrench, in
float64 and in float32.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F

INF = math.inf
RANGE = [-1000.0, -6.0, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0, 1000.0]
WIDE = [-100.0, -20.0, -1.5, 0.0, 1.5, 20.0, 100.0]
X = [[1.0, -2.0, 0.5], [0.0, 3.0, -1.0], [2.0, 2.0, 2.0]]
Y = [[1.0, -1.0, 0.0], [2.0, 3.0, -1.5], [0.0, 2.0, 3.5]]
P = [[0.0, 1.0, 0.5], [1.0, 0.0, 0.25]]
Q = [[1.0, 0.0, 0.5], [1.0, 0.0, 1.0]]
SCORES = [[1.0, 2.0, -1.0], [1000.0, -1000.0, 0.0], [0.5, 0.5, 0.5], [-INF, 0.0, 1.0]]
DEEP = [[[1.0, 2.0], [0.0, -1.0], [3.0, 0.5]], [[0.0, 0.0], [1.0, -2.0], [-3.0, 2.5]]]
WEIGHT = [0.5, 2.0, 1.5]
REDUCTIONS = ("mean", "sum", "none")

CASES = [
    *((name, [RANGE], {}) for name in ("elu", "selu", "celu", "relu6", "hardsigmoid", "hardswish", "softsign", "silu", "mish")),
    *((name, [RANGE], {}) for name in ("log_sigmoid", "leaky_relu", "hardtanh", "hardshrink", "softshrink", "tanhshrink")),
    *((name, [RANGE], {"alpha": 0.7}) for name in ("elu", "celu")),
    ("leaky_relu", [RANGE], {"negative_slope": 0.3}),
    ("hardtanh", [RANGE], {"min_val": -0.5, "max_val": 3.0}),
    ("gelu", [WIDE], {}),
    ("gelu", [WIDE], {"approximate": "tanh"}),
    ("prelu", [[[-1.0, 0.0, 2.0], [0.0, -3.0, 1.0]], [0.25, 0.5, -0.5]], {}),
    ("prelu", [[[-1.0, 0.0, 2.0], [0.0, -3.0, 1.0]], [0.25]], {}),
    ("glu", [DEEP], {"axis": 2}),
    ("softmin", [X], {"axis": 1}),
    *((name, [X, Y], {"reduction": r}) for name in ("mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss") for r in REDUCTIONS),
    ("huber_loss", [X, Y], {"delta": 0.5, "reduction": "none"}),
    ("smooth_l1_loss", [X, Y], {"beta": 2.0, "reduction": "none"}),
    ("smooth_l1_loss", [X, Y], {"beta": 0.0, "reduction": "none"}),
    *(("binary_cross_entropy", [P, Q], {"reduction": r}) for r in REDUCTIONS),
    ("binary_cross_entropy", [P, Q, WEIGHT], {}),
    *(("binary_cross_entropy_with_logits", [[WIDE, WIDE], [[0.0] * 7, [1.0] * 7]], {"reduction": r}) for r in REDUCTIONS),
    ("binary_cross_entropy_with_logits", [X, [*P, [0.5, 0.5, 0.5]], WEIGHT, [3.0, 1.0, 0.5]], {}),
    ("binary_cross_entropy_with_logits", [X, [*P, [0.5, 0.5, 0.5]], None, [3.0, 1.0, 0.5]], {}),
    *(("kl_div", [[[-1.0, -2.0], [-0.5, -3.0]], [[0.3, 0.7], [0.9, 0.1]]], {"reduction": r}) for r in (*REDUCTIONS, "batchmean")),
    ("kl_div", [[[-1.0, -2.0], [-0.5, -3.0]], [[-0.3, -0.7], [-0.9, -0.1]]], {"log_target": True}),
    *(("cross_entropy", [SCORES, [0, 1, 2, 2]], {"reduction": r}) for r in REDUCTIONS),
    *(("cross_entropy", [SCORES, [0, 1, -100, 2], WEIGHT], {"reduction": r}) for r in REDUCTIONS),
    *(("cross_entropy", [SCORES[:3], [0, 1, 2]], {"label_smoothing": 0.1, "reduction": r}) for r in REDUCTIONS),
    *(("cross_entropy", [SCORES[:3], [0, 1, -100], WEIGHT], {"label_smoothing": 0.3, "reduction": r}) for r in REDUCTIONS),
    *(("cross_entropy", [X, [-100, -100, -100]], {"reduction": r}) for r in REDUCTIONS),
    ("cross_entropy", [X, [-100, -100, -100], WEIGHT], {"label_smoothing": 0.1}),
    ("cross_entropy", [X, [1, 0, 1]], {"ignore_index": 1}),
    ("cross_entropy", [X, [1, 1, 1]], {"ignore_index": 1}),
    *(("cross_entropy", [DEEP, [[0, 2], [1, 1]], w], {"reduction": r}) for w in (None, WEIGHT) for r in REDUCTIONS),
    ("cross_entropy", [DEEP, [[0, -100], [1, 1]], WEIGHT], {"label_smoothing": 0.2}),
    *(("cross_entropy", [X, [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 0.5, 0.5]], w], {"label_smoothing": s, "reduction": r})
      for w in (None, WEIGHT) for s in (0.0, 0.2) for r in REDUCTIONS),
    ("cross_entropy", [[1.0, 2.0, 3.0], 1], {}),
    ("cross_entropy", [[1.0, 2.0, 3.0], [0.5, 0.25, 0.25], WEIGHT], {"label_smoothing": 0.1}),
    *(("nll_loss", [SCORES[:3], [0, -100, 2], w], {"reduction": r}) for w in (None, WEIGHT) for r in REDUCTIONS),
    ("nll_loss", [X, [-100, -100, -100]], {}),
    ("nll_loss", [DEEP, [[0, 2], [1, 1]], WEIGHT], {}),
    ("cosine_similarity", [X, Y], {}),
    ("cosine_similarity", [[0.0, 0.0], [3.0, 4.0]], {"axis": 0}),
    *(("cosine_embedding_loss", [X, Y, [1, -1, -1]], {"margin": 0.2, "reduction": r}) for r in REDUCTIONS),
    ("hinge_embedding_loss", [[0.5, 1.0, 2.0, -1.0], [1, -1, -1, -1]], {"reduction": "none"}),
    ("margin_ranking_loss", [[1.0, 2.0, 0.0], [1.0, 0.0, 3.0], [1, -1, 1]], {"reduction": "none"}),
    ("margin_ranking_loss", [[1.0, 2.0, 0.0], [0.5, 0.0, 3.0], [1, -1, 1]], {"margin": 0.5, "reduction": "none"}),
    *(("poisson_nll_loss", [X, [[0.0, 1.0, 2.0], [3.0, 5.0, 1.0], [0.0, 4.0, 1.5]]], {"full": f}) for f in (False, True)),
    ("poisson_nll_loss", [[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]], {"log_input": False, "reduction": "none"}),
    ("gaussian_nll_loss", [X, Y, [[1.0, 0.0, 2.0], [0.5, 0.5, 1e-9], [1.0, 1.0, 3.0]]], {"full": True}),
    ("layer_norm", [X, WEIGHT, [0.1, 0.2, 0.3]], {}),
    ("layer_norm", [X], {"eps": 0.5}),
    ("layer_norm", [DEEP, [[0.5, 1.0], [1.5, 2.0], [2.5, 3.0]]], {"axis": [-2, -1]}),
    ("layer_norm", [[[1000.0, 1001.0, 1002.0, 1005.0]]], {}),
    ("rms_norm", [X, WEIGHT], {}),
    ("rms_norm", [[[0.0, 0.0], [1.0, -1.0]]], {"eps": 1e-3}),
    ("group_norm", [DEEP, WEIGHT, [0.1, 0.2, 0.3]], {"num_groups": 3}),
    ("group_norm", [DEEP, WEIGHT, [0.1, 0.2, 0.3]], {"num_groups": 1}),
    ("instance_norm", [DEEP, WEIGHT, [0.1, 0.2, 0.3]], {}),
    *(("batch_norm", [x, [0.5, 1.0, -1.0], [1.0, 2.0, 0.25], WEIGHT, [0.1, 0.2, 0.3]], {"training": t, "momentum": 0.3})
      for x in (X, DEEP) for t in (False, True)),
    ("batch_norm", [DEEP, None, None, WEIGHT, [0.1, 0.2, 0.3]], {"training": True}),
    *(("scaled_dot_product_attention", [X, Y, DEEP[0], *m], {"is_causal": c, **s}) for m, c, s in (
        ((), False, {}),
        ((), True, {}),
        (([[True, False, True], [False, False, False], [True, True, True]],), False, {}),
        (([[0.0, -INF, 1.0], [-INF, -INF, -INF], [0.5, 0.0, -2.0]],), False, {"scale": 0.3}),
    )),
    ("scaled_dot_product_attention", [X[:2], Y, DEEP[0]], {"is_causal": True}),
    ("embedding", [[[0, 2], [2, 1]], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]], {}),
    ("embedding", [[[0, 2], [2, 1]], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]], {"padding_idx": 2}),
]  # fmt: skip


def normalized_shape(f):
    return lambda x, *p, axis=(-1,), **attrs: f(x, [x.shape[a] for a in axis], *p, **attrs)


def batch_norm(x, mean, var, weight, bias, **attrs):
    """PyTorch writes the running statistics in place."""
    return F.batch_norm(x, *(a if a is None else a.detach().clone() for a in (mean, var)), weight, bias, **attrs)


TORCH = {
    "log_sigmoid": F.logsigmoid,
    "softmin": lambda x, axis: F.softmin(x, axis),
    "glu": lambda x, axis: F.glu(x, axis),
    "cosine_similarity": lambda x1, x2, axis=1: F.cosine_similarity(x1, x2, axis),
    "binary_cross_entropy_with_logits": lambda x, t, w=None, p=None, **attrs: F.binary_cross_entropy_with_logits(
        x, t, weight=w, pos_weight=p, **attrs
    ),
    "layer_norm": normalized_shape(F.layer_norm),
    "rms_norm": normalized_shape(F.rms_norm),
    "group_norm": lambda x, *p, num_groups: F.group_norm(x, num_groups, *p),
    "instance_norm": lambda x, weight, bias: F.instance_norm(x, None, None, weight, bias),
    "batch_norm": batch_norm,
}


def running(mean, var, x, weight, bias, momentum, training, **_):
    mean, var = mean.detach().clone(), var.detach().clone()
    F.batch_norm(x.detach(), mean, var, training=training, momentum=momentum)
    return [mean.tolist(), var.tolist()]


# Arrays that PyTorch has no derivative for (weights), or an infinite one or NaN where ours is finite (targets): docs/conventions.md.
CONSTANTS = {
    "binary_cross_entropy": (1, 2),
    "binary_cross_entropy_with_logits": (2, 3),
    "cross_entropy": (2,),
    "nll_loss": (2,),
    "poisson_nll_loss": (1,),
}


def tensor(a, tracked):
    t = None if a is None else torch.tensor(a)
    return t.requires_grad_() if tracked and t is not None and t.is_floating_point() else t


def main() -> None:
    torch.set_default_dtype(torch.float64)
    rows = []
    for name, arrays, attrs in CASES:
        tensors = [tensor(a, i not in CONSTANTS.get(name, ())) for i, a in enumerate(arrays)]
        y = TORCH.get(name, getattr(F, name, None))(*tensors, **attrs)
        weight = torch.arange(1.0, y.numel() + 1).reshape(y.shape)
        tracked = [t for t in tensors if t is not None and t.requires_grad]
        found = iter(torch.autograd.grad((y * weight).sum(), tracked, allow_unused=True))
        gradients = []
        for t in tensors:
            g = next(found) if t is not None and t.requires_grad else None
            gradients.append(None if g is None else g.tolist())
        row = {"op": name, "arrays": arrays, "attrs": attrs, "value": y.tolist(), "gradients": gradients}
        if name == "batch_norm" and arrays[1] is not None:
            x, mean, var, w, b = tensors
            row["running"] = running(mean, var, x, w, b, **attrs)
        rows.append(row)
    out = {"made with": f"PyTorch {torch.__version__}", "weights of the outputs": "1, 2, 3, ...", "cases": rows}
    Path(__file__).with_name("nn_reference.json").write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
