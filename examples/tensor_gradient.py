"""The gradient of operations that only move elements: reshape, take a row, sum.

Run ``python examples/tensor_gradient.py --out pictures``. Arrays are row-major: the first row of the 2x3 array holds
the first three elements of the 3x2 one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import jitrench_core as jt
from jitrench_core.plot import RendererError


def main(argv: Sequence[str] | None = None) -> tuple[float, list[list[float]], Path | None]:
    """The sum, the gradient of A, and where the graph's picture is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    parser.add_argument("--format", choices=("svg", "png", "pdf", "dot", "none"), default="svg")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)

    A = jt.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True, name="A")
    B = A.reshape((2, 3))
    y = B[0].sum()
    picture = None
    if options.format != "none":
        picture = options.out / f"tensor_gradient.{options.format}"
        try:
            jt.plot_graph(y, to_file=picture, title="sum of the first row")
        except RendererError as e:
            print(f"no picture of the graph: {e}")
            picture = None
    y.backward()

    print(f"B = {B.detach()}")
    print(f"y = {y.item()}")
    print(f"A.grad = {A.grad}")
    if picture is not None:
        print(f"graph: {picture.resolve()}")
    return y.item(), A.grad.tolist(), picture


if __name__ == "__main__":
    main()
