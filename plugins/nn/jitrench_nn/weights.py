"""Weight files: ``.jtw`` and ``.safetensors``, both of the safetensors format, and ``.npz``; never pickle, so a file from anywhere is safe to open.

A tree of Tensors becomes a flat table by dotted names, ``"Linear_1.weight"``; the safetensors header also keeps their order, and
which of them are trainable. A file is written beside its place and renamed, so an interruption leaves the old one as it was.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jitrench_core as jt
from jitrench_core import JITrenchError
from jitrench_core.tensor import assign
from jitrench_core.transforms import tree as trees

# The library's own limit.
LONGEST_HEADER = 100_000_000

DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool", "C64": "complex64",
}  # fmt: skip

# PyTorch's BatchNorm counts its batches; only an average without momentum needs the number.
_COUNTER = "num_batches_tracked"
# What a file that does not say is taken for: PyTorch's running statistics are no parameters.
_RUNNING = ("running_mean", "running_var")

# The most that an archive's comment can hold: its length has two bytes.
_LONGEST_COMMENT = 65535
_SAID = {"frozen": False, "trainable": True}

Rename = Mapping[str, str | None] | Callable[[str], str | None]


class WeightsError(JITrenchError, ValueError):
    """A weight file that is truncated, foreign or does not fit, or a tree that cannot be saved."""


# -- writing ----------------------------------------------------------------------------------------------------------


def save(params: Any, path: str | os.PathLike[str]) -> None:
    """Write a tree of Tensors, such as ``nn.init`` returns, a layer, or a flat state dict to ``path``.

    The suffix says the format: ``.npz`` is NumPy's, and any other, by custom ``.jtw`` or ``.safetensors``, is safetensors.
    The file is complete or not there: it is written to a temporary file in the same folder, flushed to the disk and
    renamed. Tensors of any backend are written; ``nn.load`` puts them on any other. A file holds names and no structure: what
    was a list or a tuple comes back as a dict with the keys ``"0"``, ``"1"``, ..., except by ``nn.load(path, like=params)``.
    All formats keep which Tensors are trainable, an ``.npz`` in the archive's comment.

    Raises ``WeightsError`` where a leaf is no Tensor, a name is not unique or a dtype has no place in the format (complex128
    in safetensors), and ``OSError`` where the file cannot be written, such as ``FileNotFoundError`` where its folder does not exist.
    """
    place = place_of(path, "save(params, path)", params)
    tree = _tree(params)
    tensors = _named(tree, "save()")
    if not _flat(tree):
        _refuse_dots(tree)
    npz = place.suffix == ".npz"
    arrays = {}
    for name, x in tensors.items():
        if "\0" in name or any("\ud800" <= letter <= "\udfff" for letter in name):
            raise WeightsError(f"save(): the name {name!r} has a zero byte or half a character; rename it")
        if not npz and x.dtype.name not in DTYPES.values():
            raise WeightsError(
                f"save(): {name!r} is {x.dtype}, which the format does not have; it has {', '.join(DTYPES.values())}"
            )
        array = x.numpy()
        # The library reads the memory as it lies.
        arrays[name] = array if array.flags.c_contiguous else array.copy(order="C")
    if npz:
        comment = _comment(tensors)
        _replace(place, lambda temporary: _write_npz(arrays, temporary, comment))
        return
    frozen = [name for name, x in tensors.items() if not x.requires_grad]
    # Programs that share PyTorch's files look for this mark.
    mark = "pt" if place.suffix == ".safetensors" else "jtw"
    write(arrays, {"format": mark, "order": json.dumps(list(tensors)), "frozen": json.dumps(frozen)}, place)


def place_of(path: Any, call: str, content: Any) -> Path:
    """Where a file goes, links followed; an error says why it cannot. ``call`` is such as ``"save(params, path)"``."""
    who, what = call.partition("(")[0] + "()", call.partition("(")[2].partition(",")[0]
    if not isinstance(path, (str, os.PathLike)):
        if isinstance(content, (str, os.PathLike)):
            first = {"params": "tree"}.get(what, what)
            raise WeightsError(f"{call}: the arguments are swapped; the {first} comes first, then the path")
        raise WeightsError(f"{call}: the path must be a str or a Path; got {type(path).__name__}")
    place = Path(os.path.realpath(path))
    if not place.parent.is_dir():
        missing = not place.parent.exists()
        raise (FileNotFoundError if missing else NotADirectoryError)(
            f"{who}: the folder {str(place.parent)!r} {'does not exist; create it first' if missing else 'is a file'}"
        )
    if place.is_dir():
        raise IsADirectoryError(f"{who}: {str(place)!r} is a folder; add the name of a file, such as 'weight.jtw'")
    return place


def _tree(params: Any) -> Any:
    """The tree of Tensors of a layer, or the state dict of another object that has one."""
    if isinstance(params, jt.Layer):
        params.state_dict()  # raises where it was not called yet
        return params.state()
    if callable(getattr(params, "state_dict", None)):
        return params.state_dict()
    return params


def _flat(tree: Any) -> bool:
    """Whether it is a state dict: Tensors by their full names, in which dots are right."""
    return isinstance(tree, dict) and all(type(x) is jt.Tensor for x in tree.values())


def _refuse_dots(tree: Any) -> None:
    """A dot in a key would come back as a level of the tree."""
    if isinstance(tree, dict):
        for key in tree:
            if "." in str(key):
                raise WeightsError(
                    f"save(): the key {key!r} has a dot, which separates the levels of a tree; rename it"
                )
        parts = list(tree.values())
    elif isinstance(tree, (list, tuple)):
        parts = list(tree)
    else:
        parts = [getattr(tree, name) for name in getattr(type(tree), "__dataclass_fields__", ())]
    for part in parts:
        _refuse_dots(part)


def write(arrays: dict[str, Any], metadata: dict[str, str], path: Path) -> None:
    """Write a safetensors file in one piece."""
    from safetensors.numpy import save_file

    _replace(path, lambda temporary: save_file(arrays, temporary, metadata=metadata))


def _comment(tensors: dict[str, jt.Tensor]) -> bytes:
    """Which Tensors are trainable, for an archive that NumPy reads as before: the shorter list, of those that are or are not."""
    floats = {name: x for name, x in tensors.items() if x.dtype.kind == "f"}
    lists = {said: [name for name, x in floats.items() if x.requires_grad is on] for said, on in _SAID.items()}
    comment = min((json.dumps({said: names}).encode() for said, names in lists.items()), key=len)
    if len(comment) > _LONGEST_COMMENT:
        raise WeightsError(
            f"save(): an .npz has {_LONGEST_COMMENT} bytes for the names of what is trainable, and these take {len(comment)}; "
            f"write .jtw, which has no such limit"
        )
    return comment


def _write_npz(arrays: dict[str, Any], path: Path, comment: bytes) -> None:
    """``numpy.savez`` without its reserved names."""
    from zipfile import ZipFile

    from numpy.lib.format import write_array

    with ZipFile(path, "w") as archive:
        archive.comment = comment
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                write_array(member, array, allow_pickle=False)


def _replace(path: Path, dump: Callable[[Path], object]) -> None:
    """Write and rename; what is at ``path`` stays as it is until the new file is complete on the disk."""
    if path.exists() and not path.is_file():
        raise OSError(f"cannot write {path}: it is no regular file, and writing would put one in its place")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    open(temporary, "xb").close()  # where it cannot be made, the system's own error says why
    try:
        mode = (path if path.exists() else temporary).stat().st_mode
        dump(temporary)
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


# -- reading ----------------------------------------------------------------------------------------------------------


class _Table(NamedTuple):
    """A file's tensors: dtype and shape by name in order, which are not trainable, and how to read some of them."""

    path: Path
    entries: dict[str, tuple[str, tuple[int, ...]]]
    frozen: set[str]
    read: Callable[[Sequence[str]], Iterator[tuple[str, Any]]]


def load(path: str | os.PathLike[str], like: Any = None, device: Any = None, *, rename: Rename | None = None) -> Any:
    """Read a weight file: a new tree of Tensors on ``device``, or, with ``like``, into the Tensors of that tree or layer.

    Without ``like`` the dotted names become nested dicts, also where lists were saved; trainable Tensors are leaves that require a
    gradient (in a file of another program, every floating-point one but ``running_mean`` and ``running_var``). With ``like`` the values go into its own
    Tensors, wherever these are, and ``like`` is returned; either all of them change or none. A layer, or another object with
    ``load_state_dict``, takes them by that: a layer converts dtypes, and before its first call keeps them for it. The content says which format it is.

    ``rename`` maps the file's names to those that are wanted, such as PyTorch's: a dict of exact names and of prefixes,
    ``{"fc1": "Linear_1"}`` (the longest that fits; ``""`` drops the prefix, None the tensors), or a function of a name that
    returns another one, or None. Layers have PyTorch's names and shapes, so nothing else has to change.
    A ``num_batches_tracked`` that ``like`` has no place for is passed over: PyTorch's BatchNorm counts, mostly without use.

    Raises ``WeightsError`` for a file that is truncated, or no weight file, for a name to rename that is not there, and, with
    ``like``, one error that names every key that is missing, unexpected, or of another shape or dtype; ``FileNotFoundError``
    where there is none.
    """
    if like is not None and device is not None:
        raise WeightsError("load(): give like= or device=; with like= values go where its tensors are")
    table = _open(path)
    names = _renamed(table, rename)
    if like is None:
        found = {names[name]: jt.tensor(x, device=device) for name, x in table.read(list(names))}
        return _nest(found, {names[name] for name in table.frozen if name in names}, table.path)
    if callable(getattr(like, "load_state_dict", None)):
        return _load_object(like, table, names)
    targets = _named(like, "load(like=)")
    sources = {new: old for old, new in names.items()}
    _compare(table, sources, targets)
    values = {
        names[old]: jt.tensor(x, device=targets[names[old]].device)
        for old, x in table.read([sources[name] for name in targets])
    }
    with jt.no_grad():
        for name, x in targets.items():
            assign(x, values[name])
    return like


def _load_object(like: Any, table: _Table, names: dict[str, str]) -> Any:
    """Into a layer, or another object that takes a flat state dict."""
    known = {*trees.names(like.state() if isinstance(like, jt.Layer) else like.state_dict())}
    parents = {name.rpartition(".")[0] for name in known}

    def wanted(name: str) -> bool:
        parent, _, last = name.rpartition(".")
        return last != _COUNTER or name in known or parent not in parents

    values = {names[old]: jt.tensor(x) for old, x in table.read([old for old, new in names.items() if wanted(new)])}
    try:
        like.load_state_dict(values)
    except JITrenchError as e:
        raise WeightsError(f"{table.path} does not fit; {e}") from e
    return like


def _renamed(table: _Table, rename: Rename | None) -> dict[str, str]:
    """The wanted name of each tensor of a file, without those that are dropped."""
    if rename is None:
        return {name: name for name in table.entries}
    if isinstance(rename, Mapping):
        unused = [
            repr(key) for key in rename if not any(name == key or name.startswith(f"{key}.") for name in table.entries)
        ]
        if unused:
            raise WeightsError(
                f"{table.path}: rename= has {', '.join(unused)}, which no tensor's name is or starts with; the file has "
                f"{', '.join(map(repr, table.entries)) or 'none'}"
            )
        rename = _by_prefix(rename)
    elif not callable(rename):
        raise WeightsError(f"load(): rename= must be a dict or a function of a name; got {type(rename).__name__}")
    found: dict[str, str] = {}
    sources: dict[str, str] = {}
    for name in table.entries:
        new: Any = rename(name)
        if new is None:
            continue
        if not isinstance(new, str) or not new:
            raise WeightsError(f"load(): rename= makes {new!r} of {name!r}; expected a name, or None to drop it")
        if new in sources:
            raise WeightsError(f"load(): rename= makes {new!r} of both {sources[new]!r} and {name!r}")
        found[name], sources[new] = new, name
    return found


def _by_prefix(table: Mapping[str, str | None]) -> Callable[[str], str | None]:
    """A function that replaces the longest prefix of whole parts that the table has."""

    def rename(name: str) -> str | None:
        parts = name.split(".")
        for n in range(len(parts), 0, -1):
            prefix = ".".join(parts[:n])
            if prefix in table:
                new = table[prefix]
                return new if new is None else ".".join(part for part in (new, *parts[n:]) if part)
        return name

    return rename


def _named(tree: Any, who: str) -> dict[str, jt.Tensor]:
    """The Tensors of a tree by dotted name, in order."""
    leaves, _ = trees.flatten(tree)
    names = trees.names(tree)
    for name, x in zip(names, leaves, strict=True):
        if type(x) is not jt.Tensor:
            hint = "; a state with other values is written by save_checkpoint" if who == "save()" and name else ""
            raise WeightsError(
                f"{who} takes a tree of Tensors; {f'{name!r} is' if name else 'got'} a {type(x).__name__}{hint}"
            )
    found = dict(zip(names, leaves, strict=True))
    if len(found) != len(names) or "" in found or "__metadata__" in found:
        twice = sorted({n for n in names if names.count(n) > 1 or n in ("", "__metadata__")})
        raise WeightsError(
            f"{who}: each Tensor needs a name of its own, made of the keys that lead to it with dots; got {', '.join(map(repr, twice))}"
        )
    return found


def _open(path: str | os.PathLike[str]) -> _Table:
    """A file's table, whatever its format."""
    if isinstance(path, (str, os.PathLike)):
        with open(path, "rb") as file:
            start = file.read(4)
        if start in (b"PK\x03\x04", b"PK\x05\x06"):
            return _open_npz(Path(path))
    path, header = read_header(path, "load(path)")
    metadata = header.pop("__metadata__", {})
    order, frozen = _lists(metadata, header)
    if isinstance(metadata, dict) and metadata.get("format") == "jtw-checkpoint":
        raise WeightsError(f"{path} is a checkpoint, not a file of weights; read it by nn.load_checkpoint(path)")

    def read(names: Sequence[str]) -> Iterator[tuple[str, Any]]:
        with reading(path) as file:
            for name in names:
                yield name, file.get_tensor(name)

    entries = {name: (DTYPES[header[name]["dtype"]], tuple(header[name]["shape"])) for name in order}
    return _Table(path, entries, frozen, read)


def _open_npz(path: Path) -> _Table:
    arrays, odd = npz_arrays(path, WeightsError)
    if odd:
        raise WeightsError(f"{path}: {', '.join(odd)} cannot be Tensors; leave them out where the file is made")
    entries = {name: (x.dtype.name, x.shape) for name, x in arrays.items()}
    return _Table(path, entries, _frozen(path, entries), lambda names: ((name, arrays[name]) for name in names))


def _frozen(path: Path, entries: dict[str, tuple[str, tuple[int, ...]]]) -> set[str]:
    """What the archive's comment says is not trainable; a file of another program does not say."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        comment = archive.comment
    try:
        ((said, names),) = json.loads(comment).items()
        if isinstance(names, list) and entries.keys() >= (listed := set(names)):
            return {name for name in entries if (name in listed) is not _SAID[said]}
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        pass
    return _guessed({name: dtype for name, (dtype, _) in entries.items()})


def _guessed(dtypes: Mapping[str, str]) -> set[str]:
    """The names of what is not trainable, in a file that does not say: all that is no floating-point number, and running statistics."""
    return {
        name for name, dtype in dtypes.items() if not dtype.startswith("float") or name.rpartition(".")[2] in _RUNNING
    }


def npz_arrays(path: Path, failure: type[JITrenchError]) -> tuple[dict[str, Any], list[str]]:
    """The arrays of an ``.npz`` by name, and what in it can be no Tensor; what is wrong with the file is a ``failure``.

    Not by ``numpy.load``, which gives "a" for "a.npy" where both are there, and of two of one name the last.
    """
    import zipfile

    from numpy.lib.format import read_array

    arrays: dict[str, Any] = {}
    odd: list[str] = []
    with open(path, "rb") as file:
        try:
            start = file.read(2)
            if start != b"PK":
                raise ValueError(f"it begins with {start!r}")
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                if any(member.filename.endswith("data.pkl") for member in members):
                    raise failure(
                        f"{path} is a pickle of PyTorch, which can run code; where it was made, write it by "
                        f"safetensors.torch.save_file(model.state_dict(), path)"
                    )
                for member in members:
                    name = member.filename.removesuffix(".npy")
                    if name == member.filename:
                        odd.append(f"{name!r} (no array)")
                        continue
                    if name in arrays:
                        raise ValueError(f"{name!r} is there more than once")
                    with archive.open(member) as part:
                        arrays[name] = read_array(part, allow_pickle=False)
                        if part.read(1):  # at the end the check sum is compared
                            raise ValueError(f"{name!r} goes on after its array")
        except Exception as e:  # bad bytes make the libraries raise almost anything, from LZMAError to MemoryError
            if isinstance(e, failure):
                raise
            raise failure(f"{path} is damaged, or no file of numpy.savez: {e}") from e
    known = {*DTYPES.values(), "complex128"}
    return arrays, odd + [f"{name!r} ({x.dtype})" for name, x in arrays.items() if x.dtype.name not in known]


@contextmanager
def reading(path: Path) -> Iterator[Any]:
    """The library's open file; what it finds wrong is a ``WeightsError``."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="np") as file:
            yield file
    except Exception as e:
        if type(e).__name__ != "SafetensorError":
            raise
        raise WeightsError(f"{path} is damaged: {e}") from e


def read_header(path: str | os.PathLike[str], call: str) -> tuple[Path, dict[str, Any]]:
    """The file's table of tensors, checked against its length and NumPy's dtypes before the library sees it."""
    if not isinstance(path, (str, os.PathLike)):
        raise WeightsError(f"{call}: the path must be a str or a Path; got {type(path).__name__}")
    path = Path(path)
    header = _header(path)
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    unknown = [f"{name!r} ({entry['dtype']})" for name, entry in tensors.items() if entry["dtype"] not in DTYPES]
    if unknown:
        raise WeightsError(
            f"{path}: NumPy has no dtype for {', '.join(unknown)}; convert to F32 where the file was made"
        )
    return path, header


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
    return list(header), _guessed({name: DTYPES[entry["dtype"]] for name, entry in header.items()})


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


def _compare(table: _Table, sources: dict[str, str], targets: dict[str, jt.Tensor]) -> None:
    """One error for everything that does not fit."""
    problems = []

    def note(what: str, names: Sequence[str]) -> None:
        if names:
            problems.append(f"{what}: {', '.join(names)}")

    def told(new: str) -> str:
        return repr(new) if sources[new] == new else f"{new!r} (there {sources[new]!r})"

    note("missing in the file", [repr(name) for name in targets if name not in sources])
    unexpected = [name for name in sources if name not in targets and name.rpartition(".")[2] != _COUNTER]
    note("unexpected in the file", [told(name) for name in unexpected])
    differ = []
    for name, x in targets.items():
        if name in sources:
            dtype, shape = table.entries[sources[name]]
            has, wants = f"{dtype} {shape}", f"{x.dtype} {x.shape}"
            if has != wants:
                differ.append(f"{told(name)} (the file has {has}, expected {wants})")
    note("of another shape or dtype", differ)
    if problems:
        raise WeightsError(f"{table.path} does not fit; {'; '.join(problems)}. Nothing was loaded.")
