"""Run every op that has a kernel for CuPy on the stand-in, in each precision, and print as JSON what it launched.

``PYTHONPATH=tests/cupy_on_cpu python tests/cupy_on_cpu/record.py`` -> ``{"kernels": [...], "ops": {name: how often it ran}}``
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from cupy import _state

import jitrench_core as jt
from jitrench_core import registry
from jitrench_cupy.kernels import KERNELS

PRECISIONS = ("float16", "float32", "float64")


def samples(name: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The op's own arrays and attributes to try it with."""
    op, rng = registry.ops[name].op, np.random.default_rng(0)
    if op.samples is not None:
        return op.samples(rng)  # type: ignore[no-any-return]
    low, high = op.domain or (-2.0, 2.0)
    return tuple(rng.uniform(low, high, (2, 3)) for _ in op.arrays), {}


def in_precision(a: Any, precision: str) -> Any:
    """A tensor on the "GPU"; numbers keep their dtype, as learning rates do."""
    if a is None:
        return None
    a = np.asarray(a)
    return jt.tensor(a.astype(precision) if a.dtype.kind == "f" and a.ndim else a, device="cupy")


def optimizers() -> None:
    """Two steps of every optimizer, with the options that its references are for."""
    cases = json.loads((Path(__file__).parents[1] / "data" / "optimizers_reference.json").read_text())["cases"]
    for case in cases:
        for precision in PRECISIONS:
            x = jt.tensor(np.linspace(-1, 1, 6).reshape(2, 3).astype(precision), device="cupy", requires_grad=True)
            optimizer = registry.optimizers[case["optimizer"]]([x], **case["options"])
            for _ in range(2):
                x.grad = jt.tensor(np.ones((2, 3), precision), device="cupy")
                optimizer.step()


def main() -> None:
    _state.recorded = {}
    ran = dict.fromkeys(sorted(KERNELS), 0)
    said: dict[str, str] = {}
    for name in ran:
        arrays, attrs = samples(name)
        for precision in PRECISIONS:
            try:
                registry.ops[name](*(in_precision(a, precision) for a in arrays), **attrs)
                ran[name] += 1
            except jt.JITrenchError as e:
                said[f"{name} {precision}"] = str(e)
    optimizers()
    json.dump({"kernels": list(_state.recorded.values()), "ops": ran, "said": said}, sys.stdout)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
