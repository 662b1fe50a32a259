"""Goldstein-Price: the value and gradient of a long scalar formula, and a picture of its graph.

Run ``python examples/goldstein_price.py --out pictures``. The picture needs ``pip install "jitrench-core[graph]"`` and
either the program ``dot`` or ``pip install pygraphviz``; ``--format dot`` writes the picture's source without them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import jitrench_core as jt
from jitrench_core.plot import RendererError


def goldstein_price(x: jt.Tensor, y: jt.Tensor) -> jt.Tensor:
    """The function of Goldstein and Price (1971); its minimum is 3, at (0, -1)."""
    a = 1 + (x + y + 1) ** 2 * (19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2)
    b = 30 + (2 * x - 3 * y) ** 2 * (18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2)
    return a * b


def main(argv: Sequence[str] | None = None) -> tuple[float, float, float, Path | None]:
    """The value at (x, y), both derivatives, and where the picture is, or None without Graphviz."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    parser.add_argument("--at", type=float, nargs=2, default=(2.5, 3.5), metavar=("X", "Y"))
    parser.add_argument("--format", choices=("svg", "png", "pdf", "dot"), default="svg")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)

    x = jt.Scalar(options.at[0], name="x")
    y = jt.Scalar(options.at[1], name="y")
    z = goldstein_price(x, y)
    picture: Path | None = options.out / f"goldstein_price.{options.format}"
    try:
        jt.plot_graph(z, to_file=picture, title="Goldstein-Price")
    except RendererError as e:
        print(f"no picture of the graph: {e}")
        picture = None
    z.backward()

    print(f"z     = {z.item()}")
    print(f"dz/dx = {x.grad.item()}")
    print(f"dz/dy = {y.grad.item()}")
    if picture is not None:
        print(f"graph: {picture.resolve()}")
    return z.item(), x.grad.item(), y.grad.item(), picture


if __name__ == "__main__":
    main()
