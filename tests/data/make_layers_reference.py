"""Writes layers_reference.json: what PyTorch's layers compute, their gradients, and running statistics over several batches.

Run by hand where PyTorch is installed (made with 2.13.0): ``python tests/data/make_layers_reference.py``. Each case has the layer's
class and arguments in our spelling, its state under PyTorch's names, the inputs, the value, and the gradients of the inputs and of
the parameters; tests/test_layers.py loads the state as it is, and computes the same in float64 and in float32.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

CLASSES = [1, 0, 2]
SIGNS = [1.0, -1.0, 1.0, -1.0]

# (class, PyTorch's arguments and options, our arguments and options where they differ, shapes of the inputs or the inputs)
CASES = [
    ("Linear", (3, 2), {}, (2,), {}, [(4, 3)]),
    ("Linear", (3, 2), {"bias": False}, (2,), {"bias": False}, [(2, 2, 3)]),
    ("Linear", (3, 2), {}, (2,), {}, [(3,)]),
    ("Bilinear", (3, 2, 4), {}, (4,), {}, [(5, 3), (5, 2)]),
    ("Bilinear", (3, 2, 4), {"bias": False}, (4,), {"bias": False}, [(2, 5, 3), (2, 5, 2)]),
    ("Identity", (), {}, (), {}, [(2, 3)]),
    ("Embedding", (5, 3), {}, (5, 3), {}, [[[0, 4], [4, 2]]]),
    ("Embedding", (5, 3), {"padding_idx": 4}, (5, 3), {"padding_idx": 4}, [[[0, 4], [4, 2]]]),
    ("Conv1d", (2, 3, 3), {}, (3, 3), {}, [(2, 2, 7)]),
    ("Conv1d", (2, 4, 3), {"stride": 2, "padding": 2, "dilation": 2, "groups": 2}, (4, 3), None, [(2, 7)]),
    ("Conv1d", (2, 3, 4), {"padding": "same", "bias": False}, (3, 4), None, [(2, 2, 7)]),
    ("Conv2d", (2, 3, 3), {}, (3, 3), {}, [(2, 2, 5, 4)]),
    ("Conv2d", (4, 2, (2, 3)), {"stride": (2, 1), "padding": (0, 1), "groups": 2}, (2, (2, 3)), None, [(1, 4, 5, 4)]),
    ("Conv2d", (2, 3, 2), {"padding": "valid"}, (3, 2), None, [(2, 5, 4)]),
    ("Conv3d", (2, 3, 2), {"padding": 1, "stride": 2}, (3, 2), None, [(1, 2, 3, 4, 3)]),
    ("ConvTranspose1d", (2, 3, 3), {"stride": 2, "output_padding": 1}, (3, 3), None, [(2, 2, 4)]),
    ("ConvTranspose2d", (4, 2, 3), {"stride": 2, "padding": 1, "groups": 2, "dilation": 2}, (2, 3), None, [(1, 4, 3, 4)]),
    ("ConvTranspose2d", (2, 3, (2, 3)), {"bias": False}, (3, (2, 3)), None, [(2, 3, 2)]),
    ("ConvTranspose3d", (2, 3, 2), {"stride": (2, 1, 2)}, (3, 2), None, [(1, 2, 2, 3, 2)]),
    ("MaxPool1d", (3,), {"stride": 2, "padding": 1}, (3,), None, [(2, 2, 7)]),
    ("MaxPool2d", (2, 2), {}, (2, 2), {}, [(2, 2, 5, 4)]),
    ("MaxPool2d", ((3, 2),), {"stride": 2, "ceil_mode": True, "dilation": (1, 2)}, ((3, 2),), None, [(2, 6, 6)]),
    ("MaxPool3d", (2,), {}, (2,), {}, [(1, 2, 4, 3, 4)]),
    ("AvgPool1d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False}, (3,), None, [(2, 2, 7)]),
    ("AvgPool2d", (2,), {}, (2,), {}, [(2, 2, 5, 4)]),
    ("AvgPool2d", ((3, 2),), {"padding": 1, "divisor_override": 5, "ceil_mode": True}, ((3, 2),), None, [(2, 6, 5)]),
    ("AvgPool3d", (2,), {"stride": 1}, (2,), None, [(1, 2, 3, 2, 4)]),
    ("AdaptiveAvgPool1d", (3,), {}, (3,), {}, [(2, 2, 7)]),
    ("AdaptiveAvgPool2d", ((3, None),), {}, ((3, None),), {}, [(2, 7, 3)]),
    ("AdaptiveAvgPool3d", (2,), {}, (2,), {}, [(1, 2, 3, 4, 5)]),
    ("AdaptiveMaxPool1d", (3,), {}, (3,), {}, [(2, 2, 7)]),
    ("AdaptiveMaxPool2d", ((3, 2),), {}, ((3, 2),), {}, [(2, 7, 3)]),
    ("AdaptiveMaxPool3d", (2,), {}, (2,), {}, [(1, 2, 3, 4, 5)]),
    ("LayerNorm", (4,), {}, (), {}, [(2, 3, 4)]),
    ("LayerNorm", ((3, 4),), {"eps": 0.1, "bias": False}, ((3, 4),), None, [(2, 3, 4)]),
    ("LayerNorm", (4,), {"elementwise_affine": False}, (4,), None, [(3, 4)]),
    ("RMSNorm", (4,), {}, (), {}, [(2, 3, 4)]),
    ("RMSNorm", ((3, 4),), {"eps": 0.1}, ((3, 4),), None, [(2, 3, 4)]),
    ("GroupNorm", (2, 4), {}, (2,), {}, [(3, 4, 5)]),
    ("GroupNorm", (1, 4), {"affine": False, "eps": 0.1}, (1, 4), None, [(3, 4, 2, 2)]),
    ("InstanceNorm1d", (3,), {}, (), {}, [(2, 3, 5)]),
    ("InstanceNorm2d", (3,), {"affine": True}, (), {"affine": True}, [(2, 3, 2, 4)]),
    ("InstanceNorm3d", (2,), {"eps": 0.1}, (2,), None, [(1, 2, 2, 2, 3)]),
    ("Flatten", (), {}, (), {}, [(2, 3, 2)]),
    ("Flatten", (0, 1), {}, (0, 1), {}, [(2, 3, 2)]),
    ("Unflatten", (1, (2, -1)), {}, (1, (2, -1)), {}, [(2, 6, 2)]),
    *((name, (), {}, (), {}, [(2, 5)]) for name in (
        "ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Softsign", "Sigmoid", "LogSigmoid", "Tanh", "Tanhshrink", "Hardswish",
        "Hardsigmoid", "LeakyReLU", "ELU", "CELU", "GELU", "Softplus", "Hardtanh", "Hardshrink", "Softshrink", "PReLU",
    )),
    ("LeakyReLU", (0.3,), {}, (0.3,), {}, [(2, 5)]),
    ("ELU", (0.5,), {}, (0.5,), {}, [(2, 5)]),
    ("CELU", (0.5,), {}, (0.5,), {}, [(2, 5)]),
    ("GELU", (), {"approximate": "tanh"}, (), None, [(2, 5)]),
    ("Softplus", (3.0,), {}, (3.0,), {}, [(2, 5)]),
    ("Hardtanh", (-0.5, 1.5), {}, (-0.5, 1.5), {}, [(2, 5)]),
    ("Hardshrink", (0.8,), {}, (0.8,), {}, [(2, 5)]),
    ("Softshrink", (0.8,), {}, (0.8,), {}, [(2, 5)]),
    ("Threshold", (0.5, -2.0), {}, (0.5, -2.0), {}, [(2, 5)]),
    ("PReLU", (3,), {}, (3,), {}, [(2, 3, 2)]),
    *((name, (-1,), {}, (), {}, [(2, 3)]) for name in ("Softmax", "LogSoftmax", "Softmin")),
    *((name, (0,), {}, (0,), {}, [(4, 3)]) for name in ("Softmax", "LogSoftmax", "Softmin", "GLU")),
    ("GLU", (), {}, (), {}, [(3, 4)]),
    *((name, (), {}, (), {}, [(2, 3), (2, 3)]) for name in ("MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss")),
    ("KLDivLoss", (), {}, (), {}, [(2, 3), [[0.2, 0.3, 0.5], [0.0, 0.9, 0.1]]]),
    *((name, (), {"reduction": r}, (), None, [(2, 3), (2, 3)]) for name in ("MSELoss", "L1Loss") for r in ("sum", "none")),
    ("HuberLoss", (), {"delta": 0.5, "reduction": "sum"}, (), None, [(2, 3), (2, 3)]),
    ("SmoothL1Loss", (), {"beta": 0.5, "reduction": "none"}, (), None, [(2, 3), (2, 3)]),
    ("KLDivLoss", (), {"log_target": True, "reduction": "batchmean"}, (), None, [(2, 3), (2, 3)]),
    ("BCELoss", (), {}, (), {}, [[[0.3, 0.9]], [[0.0, 1.0]]]),
    ("BCELoss", (), {"weight": [2.0, 0.5], "reduction": "none"}, (), None, [[[0.3, 0.9]], [[0.0, 1.0]]]),
    ("BCEWithLogitsLoss", (), {}, (), {}, [(1, 2), [[0.0, 1.0]]]),
    ("BCEWithLogitsLoss", (), {"weight": [2.0, 0.5], "pos_weight": [3.0, 1.5]}, (), None, [(2, 2), [[0.0, 1.0], [1.0, 0.5]]]),
    ("CrossEntropyLoss", (), {}, (), {}, [(3, 4), CLASSES]),
    ("CrossEntropyLoss", (), {"label_smoothing": 0.1, "weight": [1.0, 0.5, 2.0], "ignore_index": 2}, (), None, [(3, 3), CLASSES]),
    ("NLLLoss", (), {"weight": [1.0, 0.5, 2.0], "reduction": "sum"}, (), None, [(3, 3), CLASSES]),
    ("MultiMarginLoss", (), {}, (), {}, [(3, 4), CLASSES]),
    ("MultiMarginLoss", (), {"p": 2, "margin": 0.5, "weight": [1.0, 0.5, 2.0]}, (), None, [(3, 3), CLASSES]),
    ("MultiMarginLoss", (), {"reduction": "none"}, (), None, [[[1.0, 0.0, 2.0, -3.0]], [0]]),
    ("MultiMarginLoss", (), {}, (), {}, [(3,), 1]),
    ("MultiLabelSoftMarginLoss", (), {}, (), {}, [(2, 3), [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]]),
    ("MultiLabelSoftMarginLoss", (), {"weight": [1.0, 0.5, 2.0], "reduction": "none"}, (), None,
     [(2, 3), [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]]),
    ("SoftMarginLoss", (), {}, (), {}, [(4,), SIGNS]),
    ("SoftMarginLoss", (), {"reduction": "none"}, (), None, [[-30.0, 30.0, 0.0, 2.0], SIGNS]),
    ("CosineEmbeddingLoss", (), {"margin": 0.2}, (), None, [(4, 3), (4, 3), SIGNS]),
    ("HingeEmbeddingLoss", (), {"margin": 0.7, "reduction": "none"}, (), None, [(4,), SIGNS]),
    ("MarginRankingLoss", (), {"margin": 0.3}, (), None, [(4,), (4,), SIGNS]),
    ("TripletMarginLoss", (), {}, (), {}, [(4, 3), (4, 3), (4, 3)]),
    ("TripletMarginLoss", (), {"margin": 2.0, "p": 1.0, "swap": True, "reduction": "none"}, (), None, [(4, 3), (4, 3), (4, 3)]),
    ("TripletMarginLoss", (), {"margin": 0.5}, (), None, [[[1.0, 2.0]], [[1.0, 2.0]], [[1.0, 2.0]]]),
    ("PoissonNLLLoss", (), {"full": True}, (), None, [(3,), [0.0, 2.0, 5.0]]),
    ("GaussianNLLLoss", (), {"full": True}, (), None, [(3,), (3,), [0.5, 1.0, 2.0]]),
    ("Upsample", (), {"scale_factor": 2.0}, (), None, [(2, 2, 3)]),
    ("Upsample", ((5, 3),), {"mode": "bilinear", "align_corners": True}, ((5, 3),), None, [(1, 2, 3, 4)]),
    ("Upsample", (), {"scale_factor": 1.5, "mode": "bicubic"}, (), None, [(1, 1, 4, 4)]),
    ("PixelShuffle", (2,), {}, (2,), {}, [(1, 8, 2, 3)]),
    ("PixelShuffle", (3,), {}, (3,), {}, [(9, 1, 2)]),
    ("PixelUnshuffle", (2,), {}, (2,), {}, [(1, 2, 4, 6)]),
    *((f"{kind}Pad{n}d", (1,), {}, (1,), {}, [(1, 2, *(2, 4, 3)[3 - n:])])
      for kind in ("Zero", "Reflection", "Replication", "Circular") for n in (1, 2, 3)),
    *((f"ConstantPad{n}d", ((1, 0, 0, 2, 1, 1)[:2 * n], 1.5), {}, ((1, 0, 0, 2, 1, 1)[:2 * n], 1.5), {},
       [(2, *(2, 4, 3)[3 - n:])]) for n in (1, 2, 3)),
    ("ReflectionPad2d", ((2, 1, 0, 3),), {}, ((2, 1, 0, 3),), {}, [(2, 4, 3)]),
    ("Unfold", (2,), {}, (2,), {}, [(2, 2, 3, 4)]),
    ("Unfold", ((2, 3),), {"dilation": (2, 1), "padding": 1, "stride": (1, 2)}, ((2, 3),), None, [(1, 2, 5, 4)]),
    ("Fold", ((3, 4), 2), {}, ((3, 4), 2), {}, [(2, 8, 6)]),
    ("Fold", (5, (2, 3)), {"dilation": (2, 1), "padding": 1, "stride": (1, 2)}, (5, (2, 3)), None, [(1, 12, 15)]),
    ("CosineSimilarity", (), {}, (), {}, [(4, 3), (4, 3)]),
    ("CosineSimilarity", (), {"dim": 0, "eps": 0.1}, (), {"axis": 0, "eps": 0.1}, [(4, 3), (4, 3)]),
    ("PairwiseDistance", (), {}, (), {}, [(4, 3), (4, 3)]),
    ("PairwiseDistance", (), {"p": 1.0, "eps": 0.01, "keepdim": True}, (), {"p": 1.0, "eps": 0.01, "keepdims": True},
     [(4, 3), (4, 3)]),
]  # fmt: skip

BATCHES = [
    ("BatchNorm1d", {}, (4, 3)),
    ("BatchNorm1d", {"momentum": 0.3, "eps": 0.01}, (3, 2, 5)),
    ("BatchNorm2d", {}, (2, 3, 2, 3)),
    ("BatchNorm2d", {"momentum": None}, (2, 2, 2, 2)),
    ("BatchNorm2d", {"affine": False}, (2, 2, 2, 2)),
    ("BatchNorm2d", {"track_running_stats": False}, (2, 2, 2, 2)),
    ("BatchNorm3d", {}, (2, 2, 2, 1, 2)),
]

# Targets that PyTorch has no derivative for, or another one than ours: docs/conventions.md.
CONSTANTS = {
    "KLDivLoss": (1,),
    "BCELoss": (1,),
    "BCEWithLogitsLoss": (1,),
    "MultiLabelSoftMarginLoss": (1,),
    "SoftMarginLoss": (1,),
    "CosineEmbeddingLoss": (2,),
    "HingeEmbeddingLoss": (1,),
    "MarginRankingLoss": (2,),
    "PoissonNLLLoss": (1,),
    "GaussianNLLLoss": (2,),
}


def numbers(rng, shape):
    return np.round(rng.normal(size=shape), 2).tolist()


def backward(y, tensors):
    weight = (torch.arange(1.0, y.numel() + 1) / y.numel()).reshape(y.shape)
    tracked = [t for t in tensors if t.requires_grad]
    found = iter(torch.autograd.grad((y * weight).sum(), tracked) if tracked else [])
    return [next(found).tolist() if t.requires_grad else None for t in tensors]


def filled(layer, rng):
    """The layer with numbers that are no default."""
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.tensor(numbers(rng, tuple(p.shape))))
    return {k: v.tolist() for k, v in layer.state_dict().items()}


def case(rng, kind, arguments, options, ours, our_options, inputs):
    state_options = {k: torch.tensor(v) if isinstance(v, list) else v for k, v in options.items()}
    layer = getattr(nn, kind)(*arguments, **state_options)
    state = {} if kind.endswith("Loss") else filled(layer, rng)
    arrays = [numbers(rng, shape) if isinstance(shape, tuple) else shape for shape in inputs]
    tensors = [torch.tensor(a) for a in arrays]
    for i, t in enumerate(tensors):
        t.requires_grad_(t.is_floating_point() and i not in CONSTANTS.get(kind, ()))
    y = layer(*tensors)
    gradients = backward(y, [*tensors, *layer.parameters()])
    return {
        "layer": kind,
        "arguments": ours,
        "options": options if our_options is None else our_options,
        "state": state,
        "inputs": arrays,
        "value": y.tolist(),
        "gradients": gradients[: len(tensors)],
        "parameter gradients": dict(zip(state, gradients[len(tensors) :], strict=False)),
    }


def steps(rng, kind, options, shape):
    """Three batches in training, and one that is not."""
    layer = getattr(nn, kind)(shape[1], **options)
    state = filled(layer, rng)
    rows = []
    for training in (True, True, True, False):
        layer.train(training)
        x = torch.tensor(numbers(rng, shape), requires_grad=True)
        y = layer(x)
        gradients = backward(y, [x, *layer.parameters()])
        after = {k: v.tolist() for k, v in layer.state_dict().items()}
        rows.append(
            {"training": training, "x": x.tolist(), "value": y.tolist(), "gradients": gradients, "state": after}
        )
    return {"layer": kind, "options": options, "state": state, "steps": rows}


def main() -> None:
    torch.set_default_dtype(torch.float64)
    rng = np.random.default_rng(0)
    head = {"made with": f"PyTorch {torch.__version__}", "weights of the outputs": "1/n, 2/n, ..., 1"}
    lists = {"cases": [case(rng, *row) for row in CASES], "batches": [steps(rng, *row) for row in BATCHES]}
    rows = [f'"{k}": [\n' + ",\n".join(map(json.dumps, v)) + "\n]" for k, v in lists.items()]
    text = json.dumps(head)[:-1] + ",\n" + ",\n".join(rows) + "}\n"
    Path(__file__).with_name("layers_reference.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
