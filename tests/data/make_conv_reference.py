"""Writes conv_reference.json: values, gradients and second derivatives by PyTorch of convolutions, pooling, windows, resampling.

Run by hand where PyTorch is installed (made with 2.13.0): ``python tests/data/make_conv_reference.py``. tests/test_nn_conv.py
computes the same with JITrench. Arrays are of quarters, so that most numbers are short and exact; with ``"ties"`` of 0, 1 and 2.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

CASES = [
    ("conv1d", [(2, 3, 7), (4, 3, 3), (4,)], {"stride": 2, "padding": 1}),
    ("conv1d", [(2, 5), (4, 1, 2), None], {"groups": 2, "dilation": 2}),
    ("conv2d", [(2, 2, 4, 4), (3, 2, 3, 3), (3,)], {"padding": 1}),
    ("conv2d", [(2, 2, 5, 4), (3, 2, 2, 3), None], {"stride": [2, 1], "padding": [0, 2], "dilation": [1, 2]}),
    ("conv2d", [(1, 4, 4, 3), (6, 2, 3, 2), (6,)], {"groups": 2, "padding": [2, 0]}),
    ("conv2d", [(1, 3, 4, 4), (3, 1, 3, 3), None], {"groups": 3, "stride": 2, "padding": 1}),
    ("conv2d", [(1, 2, 4, 5), (2, 2, 2, 4), (2,)], {"padding": "same"}),
    ("conv2d", [(2, 2, 3, 3), (2, 2, 3, 3), (2,)], {"padding": "valid"}),
    ("conv3d", [(1, 2, 3, 4, 3), (2, 2, 2, 3, 2), (2,)], {"stride": [1, 2, 1], "padding": [1, 0, 1]}),
    ("conv_transpose1d", [(2, 4, 3), (4, 2, 3), (4,)], {"stride": 3, "output_padding": 2, "groups": 2}),
    ("conv_transpose2d", [(1, 3, 3, 2), (3, 2, 3, 3), (2,)], {"stride": 2, "padding": 1, "output_padding": [1, 0]}),
    ("conv_transpose2d", [(2, 3, 3), (2, 2, 2, 3), None], {"stride": [1, 2], "padding": [1, 2], "dilation": [2, 1]}),
    ("conv_transpose3d", [(1, 2, 2, 2, 2), (2, 1, 2, 1, 3), (1,)], {"stride": [2, 1, 1]}),
    ("max_pool1d", [(2, 3, 7)], {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("max_pool2d", ["ties", (2, 2, 5, 6)], {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("max_pool2d", ["ties", (2, 5, 6)], {"kernel_size": [2, 3], "stride": [2, 2], "ceil_mode": True}),
    ("max_pool2d", ["ties", (1, 1, 6, 6)], {"kernel_size": 2, "stride": 1, "dilation": [2, 3]}),
    ("max_pool3d", ["ties", (1, 2, 4, 3, 3)], {"kernel_size": 2, "stride": [2, 1, 1]}),
    ("avg_pool1d", [(1, 2, 6)], {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("avg_pool2d", [(1, 2, 4, 5)], {"kernel_size": [2, 3], "stride": 2, "padding": 1, "count_include_pad": False}),
    ("avg_pool2d", [(2, 5, 5)], {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("avg_pool2d", [(1, 1, 4, 4)], {"kernel_size": 2, "divisor_override": 3}),
    ("avg_pool3d", [(1, 1, 4, 4, 4)], {"kernel_size": 2, "stride": 2}),
    ("adaptive_avg_pool1d", [(1, 2, 7)], {"output_size": 3}),
    ("adaptive_avg_pool2d", [(1, 2, 5, 4)], {"output_size": [3, 4]}),
    ("adaptive_avg_pool3d", [(2, 3, 4, 5)], {"output_size": [1, 2, 3]}),
    ("adaptive_max_pool1d", ["ties", (2, 2, 7)], {"output_size": 4}),
    ("adaptive_max_pool2d", ["ties", (1, 2, 5, 4)], {"output_size": [3, 2]}),
    ("adaptive_max_pool3d", ["ties", (1, 4, 5, 3)], {"output_size": [3, 2, 4]}),
    ("unfold", [(2, 2, 4, 5)], {"kernel_size": [2, 3], "stride": [1, 2], "padding": 1, "dilation": [2, 1]}),
    ("fold", [(2, 12, 10)], {"output_size": [5, 4], "kernel_size": [2, 3], "stride": [1, 2], "padding": 1, "dilation": [2, 1]}),
    ("interpolate", [(1, 2, 5)], {"size": 8}),
    ("interpolate", [(1, 2, 5)], {"size": 3, "mode": "nearest-exact"}),
    ("interpolate", [(1, 2, 3, 4)], {"scale_factor": [1.5, 0.5]}),
    ("interpolate", [(1, 1, 5)], {"scale_factor": 1.7, "mode": "linear"}),
    ("interpolate", [(1, 1, 5)], {"scale_factor": 1.7, "mode": "linear", "recompute_scale_factor": True}),
    ("interpolate", [(1, 2, 3, 4)], {"size": [5, 3], "mode": "bilinear"}),
    ("interpolate", [(1, 2, 3, 4)], {"size": [6, 1], "mode": "bilinear", "align_corners": True}),
    ("interpolate", [(1, 1, 4, 3)], {"size": [7, 5], "mode": "bicubic"}),
    ("interpolate", [(1, 1, 2, 3, 2)], {"size": [3, 5, 4], "mode": "trilinear"}),
]  # fmt: skip


def main() -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(shape: tuple[int, ...], ties: bool = False) -> torch.Tensor:
        low, high, unit = (0, 3, 1) if ties else (-8, 9, 4)
        return torch.randint(low, high, shape, generator=generator).double() / unit

    rows = []
    for name, shapes, attrs in CASES:
        ties = shapes[0] == "ties"
        arrays = [None if s is None else draw(s, ties).requires_grad_() for s in shapes[ties:]]
        tracked = [a for a in arrays if a is not None]
        call = {k: tuple(v) if isinstance(v, list) else v for k, v in attrs.items()}
        y = getattr(torch.nn.functional, name)(*arrays, **call)
        weight = draw(tuple(y.shape)).requires_grad_()
        first = torch.autograd.grad(y, tracked, weight, create_graph=True)
        directions = [draw(tuple(a.shape)) for a in tracked]
        second = torch.autograd.grad(first, [*tracked, weight], directions, allow_unused=True)
        row = {"name": name, "attrs": attrs, "arrays": arrays, "y": y, "weight": weight, "gradients": first}
        row |= {"directions": directions, "second": [None if s is None else s for s in second]}
        rows.append({k: plain(v) for k, v in row.items()})
    lines = ",\n".join(json.dumps(row) for row in rows)
    Path(__file__).with_name("conv_reference.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def plain(value: object) -> object:
    """Tensors as lists."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


if __name__ == "__main__":
    main()
