"""Checkpoint files: a nested state of Tensors and plain values in one file, whole or not there.

The Tensors are a safetensors file's; what holds them, and every other value, is JSON in its header. No pickle, so a file
from anywhere is safe to open.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any

import jitrench_core as jt

from .weights import DTYPES, LONGEST_HEADER, WeightsError, place_of, read_header, reading, write

# The standard's integers end at 2**63; JSON readers differ beyond 2**53.
_SAFE = 2**53


def save_checkpoint(state: Any, path: str | os.PathLike[str]) -> None:
    """Write a nested ``state`` to ``path``; a kill at any moment leaves the old file or the new one, complete.

    A state holds Tensors, None, bools, ints of any size, floats (NaN and infinities, too) and strings, in dicts, lists and
    tuples; keys are any of these but Tensors and lists. ``load_checkpoint`` gives all of it back with its types, dtypes and
    bits: a Tensor that stands in two places is one Tensor again, and a leaf that requires a gradient still does. What was
    computed comes back as a constant, and a dict of another class as a dict.

    Raises ``WeightsError`` that names the place of a value of another kind, or of a container that holds itself, and
    ``OSError`` where the file cannot be written.
    """
    place = place_of(path, "save_checkpoint(state, path)", state)
    arrays: dict[str, Any] = {}
    try:
        structure = json.dumps(_Writer(arrays).encode(state, "state"), separators=(",", ":"))
    except RecursionError:
        raise WeightsError(
            "save_checkpoint(): the state is nested too deeply; make a flat list or dict of it"
        ) from None
    if 2 * len(structure) > LONGEST_HEADER:  # quotes in it are escaped
        raise WeightsError(
            f"save_checkpoint(): the plain values take {len(structure)} bytes, and the format has {LONGEST_HEADER // 2}; "
            f"make Tensors of long lists of numbers"
        )
    write(arrays, {"format": "jtw-checkpoint", "structure": structure}, place)


def load_checkpoint(path: str | os.PathLike[str], device: Any = None) -> Any:
    """The state that ``save_checkpoint`` wrote, with its Tensors on ``device`` (None: the default one).

    Raises ``WeightsError`` for a file that is damaged, or no checkpoint, and ``FileNotFoundError`` where there is none.

    >>> import jitrench_core as jt
    >>> import jitrench_nn as nn
    >>> nn.save_checkpoint({"epoch": 3, "weight": jt.tensor([0.5]), "betas": (0.9, 0.999)}, "last.ckpt")
    >>> nn.load_checkpoint("last.ckpt")
    {'epoch': 3, 'weight': Tensor([0.5]), 'betas': (0.9, 0.999)}
    """
    path, header = read_header(path, "load_checkpoint(path)")
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or metadata.get("format") != "jtw-checkpoint":
        raise WeightsError(f"{path} is no checkpoint of save_checkpoint(); a file of weights is read by nn.load(path)")
    with reading(path) as file:
        tensors = {name: jt.tensor(file.get_tensor(name), device=device) for name in header}
    try:
        return _decode(json.loads(metadata["structure"]), tensors, {})
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError, jt.JITrenchError) as e:
        raise WeightsError(f"{path} is damaged: its structure does not read ({type(e).__name__}: {e})") from e


class _Writer:
    """Turns a state into what JSON holds: plain values as they are, the rest as a dict of one key, its kind."""

    def __init__(self, arrays: dict[str, Any]) -> None:
        self.arrays = arrays
        self.known: dict[int, tuple[str, jt.Tensor]] = {}  # a Tensor in two places is written once
        self.open: set[int] = set()

    def encode(self, value: Any, where: str) -> Any:
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, int):
            return int(value) if abs(value) < _SAFE else {"int": hex(value)}
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"float": repr(float(value))}
        if type(value) is jt.Tensor:
            return self.tensor(value, where)
        if not isinstance(value, dict) and type(value) not in (list, tuple):
            hint = "; make a Tensor of it, jt.tensor(x)" if hasattr(value, "dtype") else ""
            raise WeightsError(
                f"save_checkpoint(): {where} is a {type(value).__name__}; a state holds Tensors, None, bools, ints, floats, "
                f"strings, dicts, lists and tuples{hint}"
            )
        if id(value) in self.open:
            raise WeightsError(f"save_checkpoint(): {where} holds itself, and a file cannot")
        self.open.add(id(value))
        if isinstance(value, dict):
            pairs = [[self.key(k, where), self.encode(v, f"{where}[{k!r}]")] for k, v in value.items()]
            made: Any = {"dict": pairs}
        else:
            items = [self.encode(v, f"{where}[{i}]") for i, v in enumerate(value)]
            made = items if type(value) is list else {"tuple": items}
        self.open.remove(id(value))
        return made

    def key(self, key: Any, where: str) -> Any:
        def plain(k: Any) -> bool:
            return all(map(plain, k)) if type(k) is tuple else k is None or isinstance(k, (bool, int, float, str))

        if not plain(key):
            raise WeightsError(
                f"save_checkpoint(): {where} has the key {key!r}, a {type(key).__name__}; keys are strings, numbers, None, "
                f"or tuples of these"
            )
        return self.encode(key, where)

    def tensor(self, x: jt.Tensor, where: str) -> Any:
        if id(x) not in self.known:
            name = str(len(self.known))
            # A pair of float64 is the one way to write what the format lacks.
            array = x.numpy()
            array = array if array.flags.c_contiguous else array.copy(order="C")
            if x.dtype.name == "complex128":
                array = array.reshape((*array.shape, 1)).view("float64")
            elif x.dtype.name not in DTYPES.values():
                raise WeightsError(f"save_checkpoint(): {where} is {x.dtype}, which the format does not have")
            self.arrays[name] = array
            self.known[id(x)] = (name, x)
        name, _ = self.known[id(x)]
        leaf = {"leaf": x.name} if x.is_leaf and x.requires_grad else {}
        return {"tensor": name, **({"complex": True} if x.dtype.name == "complex128" else {}), **leaf}


def _decode(value: Any, tensors: dict[str, jt.Tensor], made: dict[str, jt.Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(v, tensors, made) for v in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        name = value["tensor"]
        if name not in made:
            x = tensors[name]
            if value.get("complex"):
                x = jt.asarray(x.numpy().view("complex128")[..., 0].copy(), device=x.device)
            made[name] = jt.tensor(x, requires_grad=True, name=value["leaf"]) if "leaf" in value else x
        return made[name]
    ((kind, content),) = value.items()
    if kind == "dict":
        return {_decode(k, tensors, made): _decode(v, tensors, made) for k, v in content}
    if kind == "tuple":
        return tuple(_decode(v, tensors, made) for v in content)
    if kind == "int":
        return int(content, 16)
    if kind == "float":
        return float(content)
    raise ValueError(f"an unknown kind, {kind!r}")
