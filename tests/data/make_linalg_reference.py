"""Writes linalg_reference.json: values, gradients and Hessian-vector products of linear algebra by PyTorch.

Run by hand where PyTorch is installed (made with 2.13.0): ``python tests/data/make_linalg_reference.py``. Each case names a
function of this table and its matrices, in float64 or complex128 (a complex number is a pair). The gradients are those of
Re(sum(weights * y)), the products those with the direction ``directions``; where PyTorch has no right one, it is null.
tests/test_linalg.py computes the same with JITrench, by the functions of the same names there.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import linalg


def symmetrised(x):
    return (x + x.mH) / 2


def levels(x):
    """1, 2, 3, ... along the last axis."""
    return torch.arange(1.0, x.shape[-1] + 1, dtype=torch.float64)


def svd_product(x):
    u, _, vh = linalg.svd(x, full_matrices=False)
    return (u * levels(u)) @ vh


def svd_sizes(x):
    u, s, _ = linalg.svd(x, full_matrices=False)
    return u.abs() ** 2 * s.unsqueeze(-2)


def eigh_product(x):
    _, v = linalg.eigh(symmetrised(x))
    return (v * levels(v)) @ v.mH


def eig_sum(x):
    w, v = linalg.eig(x)
    return (w**2 * (levels(v.mT) * (v.abs() ** 2).mT).sum(-1)).sum(-1)


FUNCTIONS = {
    "inv": linalg.inv,
    "det": linalg.det,
    "sign": lambda x: linalg.slogdet(x)[0],
    "logabsdet": lambda x: linalg.slogdet(x)[1],
    "solve": linalg.solve,
    "lower_solve": lambda x, b: linalg.solve_triangular(x, b, upper=False),
    "upper_solve": lambda x, b: linalg.solve_triangular(x, b, upper=True, unitriangular=True),
    "pinv": linalg.pinv,
    "cholesky": lambda x: linalg.cholesky(symmetrised(x)),
    "cholesky_upper": lambda x: linalg.cholesky(symmetrised(x), upper=True),
    "qr_q": lambda x: linalg.qr(x)[0],
    "qr_r": lambda x: linalg.qr(x)[1],
    "qr_complete_q": lambda x: linalg.qr(x, mode="complete")[0],
    "eigvalsh": lambda x: linalg.eigvalsh(symmetrised(x)),
    "eigh_values": lambda x: linalg.eigh(symmetrised(x))[0],
    "eigh_product": eigh_product,
    "eigvals_sum": lambda x: (linalg.eigvals(x) ** 2).sum(-1),
    "eig_sum": eig_sum,
    "svdvals": linalg.svdvals,
    "svd_values": lambda x: linalg.svd(x, full_matrices=False)[1],
    "svd_product": svd_product,
    "svd_sizes": svd_sizes,
    "norm_fro": linalg.matrix_norm,
    "norm_nuc": lambda x: linalg.matrix_norm(x, "nuc"),
    "norm_1": lambda x: linalg.matrix_norm(x, 1),
    "norm_-1": lambda x: linalg.matrix_norm(x, -1),
    "norm_2": lambda x: linalg.matrix_norm(x, 2),
    "norm_-2": lambda x: linalg.matrix_norm(x, -2),
    "norm_inf": lambda x: linalg.matrix_norm(x, math.inf),
    "norm_-inf": lambda x: linalg.matrix_norm(x, -math.inf),
    "power_3": lambda x: linalg.matrix_power(x, 3),
    "power_-2": lambda x: linalg.matrix_power(x, -2),
    "exp": linalg.matrix_exp,
}

rng = np.random.default_rng(20250)


def matrix(*shape: int, complex: bool) -> Any:
    """Numbers of few digits, with a heavy diagonal."""
    draw = lambda: rng.normal(size=shape).round(2)  # noqa: E731
    a = draw() + 1j * draw() if complex else draw()
    return a + 2 * np.eye(*shape[-2:]) if shape[-1] == shape[-2] else a


def cases() -> list[tuple[str, list[Any]]]:
    """Names and matrices."""
    found: list[tuple[str, list[Any]]] = []
    for c in (False, True):
        for name in (
            "inv",
            "det",
            "sign",
            "logabsdet",
            "qr_complete_q",
            "eigvals_sum",
            "eig_sum",
            "power_3",
            "power_-2",
            "exp",
        ):
            found.append((name, [matrix(3, 3, complex=c)]))
        for name in ("pinv", "svdvals", "svd_values", "svd_product", "svd_sizes"):
            found += [(name, [matrix(*shape, complex=c)]) for shape in ((4, 3), (2, 3), (3, 3))]
        for name in ("qr_q", "qr_r"):
            found += [(name, [matrix(*shape, complex=c)]) for shape in ((4, 3), (3, 3), (2, 3))]
        for name in ("eigvalsh", "eigh_values", "eigh_product"):
            found.append((name, [matrix(3, 3, complex=c)]))
        for name in ("cholesky", "cholesky_upper"):
            a = matrix(3, 3, complex=c)
            found.append((name, [(a @ a.conj().T).round(2) + np.eye(3)]))
        for name in FUNCTIONS:
            if name.startswith("norm"):
                found.append((name, [matrix(3, 2, complex=c)]))
        found.append(("solve", [matrix(3, 3, complex=c), matrix(3, 2, complex=c)]))
        found.append(("solve", [matrix(3, 3, complex=c), matrix(3, 1, complex=c)[:, 0]]))
        found.append(("lower_solve", [matrix(3, 3, complex=c), matrix(3, 2, complex=c)]))
        found.append(("upper_solve", [matrix(3, 3, complex=c), matrix(3, 2, complex=c)]))
        for rank in (2, 1, 0):  # singular
            a, b = matrix(3, 4, complex=c)[:, :rank], matrix(4, 3, complex=c)[:rank]
            found.append(("det", [a @ b]))
    same = np.eye(3)
    found += [(name, [same]) for name in ("det", "eigvalsh", "eigh_values", "svdvals", "svd_values", "norm_fro")]
    found += [("norm_2", [np.diag([2.0, 2.0, 1.0])]), ("norm_1", [np.ones((2, 2))]), ("norm_nuc", [np.zeros((2, 2))])]
    return found


def weights(shape: tuple[int, ...], complex: bool) -> Any:
    """1, 2, 3, ...; minus half of that times i where complex."""
    w = torch.arange(1.0, math.prod(shape) + 1, dtype=torch.float64).reshape(shape)
    return w * (1 - 0.5j) if complex else w


def written(x: Any) -> Any:
    """Nested lists, of pairs where complex; None where not finite."""
    x = torch.zeros(x.shape, dtype=x.dtype) + x.detach()  # also where PyTorch has only noted that all are zero
    if not torch.isfinite(torch.view_as_real(x) if x.is_complex() else x).all():
        return None
    return (torch.view_as_real(x) if x.is_complex() else x).tolist()


def row(name: str, arrays: list[Any]) -> dict[str, Any]:
    xs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y = FUNCTIONS[name](*xs)
    loss = (weights(tuple(y.shape), y.is_complex()) * y).sum().real
    gradients = torch.autograd.grad(loss, xs, create_graph=True, allow_unused=True)
    gradients = [torch.zeros_like(x) if g is None else g for g, x in zip(gradients, xs, strict=True)]
    directions = [torch.cos(weights(tuple(x.shape), False)) * (1 + 0.5j if x.is_complex() else 1) for x in xs]
    along = sum((d.conj() * g).sum().real for d, g in zip(directions, gradients, strict=True))
    second: Any = [torch.zeros_like(x) for x in xs]
    if name == "det" and np.linalg.cond(arrays[0]) > 1e9:  # PyTorch's is wrong in the second digit there
        second = [torch.full_like(x, math.nan) for x in xs]
    elif along.requires_grad:
        second = torch.autograd.grad(along, xs, allow_unused=True)
        second = [torch.zeros_like(x) if g is None else g for g, x in zip(second, xs, strict=True)]
    return {
        "function": name,
        "complex": bool(xs[0].is_complex()),
        "arrays": [written(x) for x in xs],
        "value": written(y),
        "gradients": [written(g) for g in gradients],
        "products": [written(s) for s in second],
    }


def main() -> None:
    rows = [row(name, arrays) for name, arrays in cases()]
    head = {
        "made with": f"PyTorch {torch.__version__}",
        "weights": "k, (1 - 0.5i) k",
        "directions": "cos k, (1 + 0.5i) cos k",
    }
    lines = ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows)
    text = json.dumps(head)[:-1] + ', "cases": [\n' + lines + "\n]}\n"
    json.loads(text)
    Path(__file__).with_name("linalg_reference.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
