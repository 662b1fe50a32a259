"""Weight files (``.jtw``): the safetensors format, never pickle, so a file from anywhere is safe to open.

A tree of Tensors becomes a flat table by dotted names, ``"Linear_1.weight"``; the header also keeps their order, and which
of them are trainable. A file is written beside its place and renamed, so an interruption leaves the old one as it was.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jitrench_core as jt
from jitrench_core import JITrenchError
from jitrench_core.tensor import assign
from jitrench_core.transforms import tree as trees

# The library's own limit.
LONGEST_HEADER = 100_000_000

_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool", "C64": "complex64",
}  # fmt: skip


class WeightsError(JITrenchError, ValueError):
    """A weight file that is truncated, foreign or does not fit, or a tree that cannot be saved."""


def save(params: Any, path: str | os.PathLike[str]) -> None:
    """Write a tree of Tensors, such as ``nn.init`` returns, to ``path`` (by custom ``.jtw``).

    The file is complete or not there: it is written to a temporary file in the same folder, flushed to the disk and
    renamed. Tensors of any backend are written; ``nn.load`` puts them on any other. A file holds names and no structure: what
    was a list or a tuple comes back as a dict with the keys ``"0"``, ``"1"``, ..., except by ``nn.load(path, like=params)``.

    Raises ``WeightsError`` where a leaf is no Tensor, a name is not unique or a dtype has no place in the format (complex128),
    and ``OSError`` where the file cannot be written, such as ``FileNotFoundError`` where its folder does not exist.
    """
    if not isinstance(path, (str, os.PathLike)):
        if isinstance(params, (str, os.PathLike)):
            raise WeightsError("save(params, path): the arguments are swapped; the tree comes first, then the path")
        raise WeightsError(f"save(params, path): the path must be a str or a Path; got {type(path).__name__}")
    tensors = _named(params, "save()")
    _refuse_dots(params)
    arrays = {}
    for name, x in tensors.items():
        if x.dtype.name not in _DTYPES.values():
            raise WeightsError(
                f"save(): {name!r} is {x.dtype}, which the format does not have; it has {', '.join(_DTYPES.values())}"
            )
        array = x.numpy()
        # The library reads the memory as it lies.
        arrays[name] = array if array.flags.c_contiguous else array.copy(order="C")
    frozen = [name for name, x in tensors.items() if not x.requires_grad]
    metadata = {"format": "jtw", "order": json.dumps(list(tensors)), "frozen": json.dumps(frozen)}
    place = Path(os.path.realpath(path))
    if not place.parent.is_dir():
        missing = not place.parent.exists()
        raise (FileNotFoundError if missing else NotADirectoryError)(
            f"save(): the folder {str(place.parent)!r} {'does not exist; create it first' if missing else 'is a file'}"
        )
    if place.is_dir():
        raise IsADirectoryError(f"save(): {str(place)!r} is a folder; add the name of a file, such as 'weight.jtw'")
    _write(arrays, metadata, place)


def _refuse_dots(tree: Any) -> None:
    """A dot in a key would come back as a level of the tree."""
    if isinstance(tree, dict):
        for key, part in tree.items():
            if "." in str(key):
                raise WeightsError(
                    f"save(): the key {key!r} has a dot, which separates the levels of a tree; rename it"
                )
            _refuse_dots(part)
    elif isinstance(tree, (list, tuple)):
        for part in tree:
            _refuse_dots(part)


def _write(arrays: dict[str, Any], metadata: dict[str, str], path: Path) -> None:
    """Write and rename; what is at ``path`` stays as it is until the new file is complete on the disk."""
    from safetensors.numpy import save_file

    if path.exists() and not path.is_file():
        raise OSError(f"cannot write {path}: it is no regular file, and writing would put one in its place")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    open(temporary, "xb").close()  # where it cannot be made, the system's own error says why
    try:
        mode = (path if path.exists() else temporary).stat().st_mode
        save_file(arrays, temporary, metadata=metadata)
        os.chmod(temporary, mode & 0o777)  # the library's own is 0o600
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as e:
        temporary.unlink(missing_ok=True)
        if type(e).__name__ == "SafetensorError":  # the library wraps what the system said
            raise OSError(f"cannot write {path}: {e}") from e
        raise
    if os.name == "posix":  # the rename, too, has to reach the disk
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        except OSError:  # some network file systems have no fsync of a folder; the file itself is complete
            pass
        finally:
            os.close(folder)


def load(path: str | os.PathLike[str], like: Any = None, device: Any = None) -> Any:
    """Read a weight file: a new tree of Tensors on ``device``, or, with ``like``, into the Tensors of that tree.

    Without ``like`` the dotted names become nested dicts, also where lists were saved; trainable Tensors are leaves that require a gradient (in a file of
    another program, every floating-point one). With ``like`` the values go into its own Tensors, wherever these are, and
    ``like`` is returned; either all of them change or none.

    Raises ``WeightsError`` for a file that is truncated, or no weight file, and, with ``like``, one error that names every key
    that is missing, unexpected, or of another shape or dtype; ``FileNotFoundError`` where there is none.
    """
    from safetensors import safe_open

    if not isinstance(path, (str, os.PathLike)):
        raise WeightsError(f"load(path): the path must be a str or a Path; got {type(path).__name__}")
    path = Path(path)
    if like is not None and device is not None:
        raise WeightsError("load(): give like= or device=; with like= values go where its tensors are")
    header = _header(path)
    order, frozen = _lists(header.pop("__metadata__", {}), header)
    unknown = [f"{name!r} ({entry['dtype']})" for name, entry in header.items() if entry["dtype"] not in _DTYPES]
    if unknown:
        raise WeightsError(
            f"{path}: NumPy has no dtype for {', '.join(unknown)}; convert to F32 where the file was made"
        )
    targets = None if like is None else _named(like, "load(like=)")
    if targets is not None:
        _compare(path, header, order, targets)
    try:
        with safe_open(path, framework="np") as file:
            if targets is None:
                return _nest({name: jt.tensor(file.get_tensor(name), device=device) for name in order}, frozen, path)
            values = {name: jt.tensor(file.get_tensor(name), device=x.device) for name, x in targets.items()}
    except Exception as e:
        if type(e).__name__ != "SafetensorError":
            raise
        raise WeightsError(f"{path} is damaged: {e}") from e
    with jt.no_grad():
        for name, x in targets.items():
            assign(x, values[name])
    return like


def _named(tree: Any, who: str) -> dict[str, jt.Tensor]:
    """The Tensors of a tree by dotted name, in order."""
    leaves, _ = trees.flatten(tree)
    names = trees.names(tree)
    for name, x in zip(names, leaves, strict=True):
        if type(x) is not jt.Tensor:
            raise WeightsError(
                f"{who} takes a tree of Tensors; {f'{name!r} is' if name else 'got'} a {type(x).__name__}"
            )
    found = dict(zip(names, leaves, strict=True))
    if len(found) != len(names) or "" in found or "__metadata__" in found:
        twice = sorted({n for n in names if names.count(n) > 1 or n in ("", "__metadata__")})
        raise WeightsError(
            f"{who}: each Tensor needs a name of its own, made of the keys that lead to it with dots; got {', '.join(map(repr, twice))}"
        )
    return found


def _header(path: Path) -> dict[str, Any]:
    """The file's table of tensors, checked against its length before the library sees it."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(8)
        n = int.from_bytes(start, "little")
        if len(start) < 8 or (n <= LONGEST_HEADER and n > size - 8):
            raise WeightsError(
                f"{path} is truncated, or no weight file: it has {size} bytes, and needs {8 + n if len(start) == 8 else 8} for its header"
            )
        first = file.read(1)
        if n > LONGEST_HEADER or first != b"{":
            raise WeightsError(
                f"{path} is not a weight file: it must begin with the length of a header, at most {LONGEST_HEADER}, and "
                f"'{{'; got {n} and {first!r}. nn.save writes .jtw, which is the safetensors format"
            )
        text = first + file.read(n - 1)
    try:
        header = json.loads(text)
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        sound = all(isinstance(end, int) for end in ends) and all(
            isinstance(e["dtype"], str) and isinstance(e["shape"], list)
            for k, e in header.items()
            if k != "__metadata__"
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as e:
        raise WeightsError(
            f"{path} is not a weight file, or damaged: its header does not read as a table of tensors ({e})"
        ) from e
    if not sound:
        raise WeightsError(f"{path} is damaged: its header does not read as a table of tensors")
    needed = 8 + n + max(ends, default=0)
    if size < needed:
        raise WeightsError(f"{path} is truncated: it has {size} bytes, and its tensors need {needed}")
    return header  # type: ignore[no-any-return]


def _lists(metadata: Any, header: dict[str, Any]) -> tuple[list[str], set[str]]:
    """The order of the tensors, and those that are not trainable; a file of another program does not say."""
    try:
        order, frozen = json.loads(metadata["order"]), set(json.loads(metadata["frozen"]))
        if sorted(order) == sorted(header):
            return order, frozen
    except (KeyError, TypeError, ValueError, RecursionError):
        pass
    return list(header), {name for name, entry in header.items() if not entry["dtype"].startswith("F")}


def _nest(tensors: dict[str, jt.Tensor], frozen: set[str], path: Path) -> dict[str, Any]:
    """Nested dicts from dotted names; trainable tensors become leaves."""
    tree: dict[str, Any] = {}
    for name, x in tensors.items():
        *folders, last = name.split(".")
        place: Any = tree
        for folder in folders:
            place = place.setdefault(folder, {})
            if not isinstance(place, dict):
                break
        if not isinstance(place, dict) or last in place:
            raise WeightsError(
                f"{path}: the name {name!r} is both a tensor and the start of other names; load it with like="
            )
        trainable = name not in frozen and x.dtype.kind == "f"
        place[last] = jt.tensor(x, requires_grad=True, name=name) if trainable else x
    return tree


def _compare(path: Path, header: dict[str, Any], order: list[str], targets: dict[str, jt.Tensor]) -> None:
    """One error for everything that does not fit."""
    problems = []

    def note(what: str, names: Sequence[str]) -> None:
        if names:
            problems.append(f"{what}: {', '.join(names)}")

    note("missing in the file", [repr(name) for name in targets if name not in header])
    note("unexpected in the file", [repr(name) for name in order if name not in targets])
    differ = []
    for name, x in targets.items():
        if name in header:
            has = f"{_DTYPES[header[name]['dtype']]} {tuple(header[name]['shape'])}"
            wants = f"{x.dtype} {x.shape}"
            if has != wants:
                differ.append(f"{name!r} (the file has {has}, expected {wants})")
    note("of another shape or dtype", differ)
    if problems:
        raise WeightsError(f"{path} does not fit; {'; '.join(problems)}. Nothing was loaded.")
