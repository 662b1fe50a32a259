"""Write names.json, what the real CuPy offers, to which the stand-in is held: run this where CuPy is installed.

A GPU is not needed. Per module every public name: of a function its parameters, of a ufunc the types of its loops, of a class
its attributes.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import cupy

# CUDA's large libraries need not be installed for a list of names.
for library in ("cublas", "cusolver", "cusparse", "cufft", "curand"):
    try:
        import_module(f"cupy_backends.cuda.libs.{library}")
    except ImportError:
        sys.modules[f"cupy_backends.cuda.libs.{library}"] = mock = MagicMock()
        setattr(sys.modules["cupy_backends.cuda.libs"], library, mock)

MODULES = [
    "cupy",
    "cupy.linalg",
    "cupy.fft",
    "cupy.random",
    "cupy.cuda",
    "cupy.cuda.runtime",
    "cupyx",
    "cupyx.scipy.special",
    "cupyx.scipy.linalg",
    "cupyx.scipy.sparse",
    "cupyx.scipy.ndimage",
    "cupyx.scipy.fft",
]
CLASSES = {
    "cupy": ["ndarray", "RawKernel", "RawModule", "ElementwiseKernel", "ReductionKernel"],
    "cupy.cuda": ["Device", "Stream", "Event", "MemoryPool", "PinnedMemoryPool"],
}


def parameters(function: Any) -> str | None:
    """The parameters as ``"a, axis=, *, out="``; None where they are not known."""
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        first = (getattr(function, "__doc__", None) or "").partition("\n")[0]
        found = re.fullmatch(r"[\w.]+\((.*)\)(?: ->.*)?", first)
        if not found:
            return None
        parts = [re.sub(r"=.*", "=", p.split(":")[0] if "=" not in p else p) for p in found[1].split(", ")]
        return ", ".join(p.split(" ")[-1] for p in parts if p)
    parts, starred = [], False
    for p in signature.parameters.values():
        if p.kind is p.KEYWORD_ONLY and not starred:
            parts, starred = [*parts, "*"], True
        starred |= p.kind is p.VAR_POSITIONAL
        star = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        parts.append(star + p.name + ("" if p.default is p.empty or star else "="))
    return ", ".join(parts)


def described(thing: Any) -> Any:
    """A list of loops for a ufunc, of attributes for a class; a str of parameters for a function; None for all else."""
    if isinstance(thing, cupy.ufunc):
        return thing.types
    if isinstance(thing, type) or not callable(thing):
        return None
    return parameters(thing)


def public(module: Any) -> dict[str, Any]:
    return {n: described(getattr(module, n)) for n in sorted(dir(module)) if not n.startswith("_")}


def main() -> None:
    found: dict[str, Any] = {"version": cupy.__version__, "modules": {}, "classes": {}}
    for name in MODULES:
        found["modules"][name] = public(import_module(name))
    for name, classes in CLASSES.items():
        for c in classes:
            cls = getattr(import_module(name), c)
            found["classes"][f"{name}.{c}"] = {
                n: parameters(getattr(cls, n)) if callable(getattr(cls, n)) else None
                for n in sorted(dir(cls))
                if not n.startswith("_")
            }
    file = Path(__file__).parent / "names.json"
    file.write_text(json.dumps(found, indent=0, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
