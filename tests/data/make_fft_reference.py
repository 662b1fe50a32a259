"""Writes fft_reference.json: values, gradients and second derivatives of Fourier transforms, by PyTorch.

Run by hand where PyTorch is installed (made with 2.13.0): ``python tests/data/make_fft_reference.py``. Each case names a
function of torch.fft, its input and its attributes; tests/test_fft.py computes the same with JITrench. Complex numbers are
pairs. ``gradient`` is that of y.backward(weight); ``second`` differentiates the gradient of sum(|y|^4) along ``direction``.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

REAL = ("rfft", "ihfft", "rfftn")
CASES = [
    *((name, {"n": n, "norm": norm}) for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
      for n, norm in ((None, "backward"), (3, "ortho"), (4, "forward"), (7, "backward"))),
    *((name, {"s": s, "axes": axes, "norm": norm}) for name in ("fftn", "ifftn", "rfftn", "irfftn")
      for s, axes, norm in ((None, (0, 1), "backward"), ((2, 7), (1, 0), "ortho"), ((5,), (0,), "forward"))),
    ("fft", {"axis": 0, "real": True}),
    ("irfft", {"axis": 0, "real": True}),
]  # fmt: skip


def pairs(t: torch.Tensor) -> list:
    return (torch.view_as_real(t.resolve_conj()) if t.is_complex() else t).tolist()


def short(t: torch.Tensor) -> torch.Tensor:
    """Few digits, for a small file."""
    if t.is_complex():
        return torch.complex(short(t.real), short(t.imag))
    return torch.round(t, decimals=2)


def case(name: str, real: bool = False, **attrs: object) -> dict:
    dtype = torch.float64 if real or name in REAL else torch.complex128
    x = short(torch.randn(2, 5, dtype=dtype)).requires_grad_()
    spelled = {{"axis": "dim", "axes": "dim"}.get(k, k): v for k, v in attrs.items() if v is not None}
    function = getattr(torch.fft, name)
    y = function(x, **spelled)
    weight, direction = short(torch.randn_like(y)), short(torch.randn_like(x))
    (gradient,) = torch.autograd.grad(y, x, weight)
    (first,) = torch.autograd.grad((function(x, **spelled).abs() ** 4).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first, x, direction)
    found = {"x": x, "y": y, "weight": weight, "gradient": gradient, "direction": direction, "second": second}
    return {"op": name, "attrs": attrs, **{k: pairs(v.detach()) for k, v in found.items()}}


if __name__ == "__main__":
    torch.manual_seed(3)
    cases = [case(name, **attrs) for name, attrs in CASES]
    lines = ",\n".join(json.dumps(c) for c in cases)
    Path(__file__).with_name("fft_reference.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
