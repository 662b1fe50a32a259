"""Readers of a user's own files: IDX (MNIST's format), NumPy's ``.npz`` and CSV tables. All become Tensors."""

from __future__ import annotations

import csv
import gzip
import math
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import jitrench_core as jt
from jitrench_core.dtypes import dtype as as_dtype

from ..weights import npz_arrays
from .datasets import DataError
from .samples import Sample

# The third byte of an IDX file, and NumPy's dtype, which is big-endian there.
_IDX = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}

PathLike = str | os.PathLike[str]


def _path(path: Any, who: str) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise DataError(f"{who}: the path must be a str or a Path; got {type(path).__name__}")
    return Path(path)


def _open(path: Path) -> IO[bytes]:
    """The file, unpacked where it is gzip's, whatever its name says."""
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else open(path, "rb")


# -- IDX --------------------------------------------------------------------------------------------------------------


def read_idx(path: PathLike, *, device: Any = None) -> jt.Tensor:
    """The array of an IDX file, MNIST's format, packed by gzip or not, in its own dtype: uint8, int8, int16, int32, float32, float64.

    The format: http://yann.lecun.com/exdb/mnist. Raises ``DataError`` for a file that is no IDX file, too short or too long.

    >>> import jitrench_core as jt
    >>> import jitrench_nn as nn
    >>> nn.data.write_idx(jt.asarray([[1, 2], [3, 4]]).astype("uint8"), "digits-idx2-ubyte.gz")
    >>> nn.data.read_idx("digits-idx2-ubyte.gz")
    Tensor([[1, 2],
            [3, 4]], dtype=uint8)
    """
    import numpy as np

    path = _path(path, "read_idx(path)")
    try:
        with _open(path) as file:
            data = file.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise DataError(f"{path} is damaged: gzip cannot unpack it ({e})") from e
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _IDX:
        raise DataError(
            f"{path} is no IDX file: it must begin with two zero bytes and a type, one of {', '.join(f'{k:#04x}' for k in _IDX)}; "
            f"got {data[:4].hex(' ') or 'nothing'}"
        )
    dtype, ndim = np.dtype(_IDX[data[2]]), data[3]
    start = 4 + 4 * ndim
    if len(data) < start:
        raise DataError(
            f"{path} is truncated: its header of {ndim} lengths needs {start} bytes, and there are {len(data)}"
        )
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4))
    needed = start + math.prod(shape) * dtype.itemsize
    if len(data) != needed:
        what = "is truncated" if len(data) < needed else "goes on after its data"
        raise DataError(f"{path} {what}: shape {shape} needs {needed} bytes, and there are {len(data)}")
    try:
        array = np.frombuffer(data, dtype, offset=start).reshape(shape)
    except ValueError as e:  # no elements, but lengths beyond NumPy's; or too many axes
        raise DataError(f"{path} is damaged: its {ndim} lengths make no array ({e})") from e
    return jt.tensor(array.astype(dtype.newbyteorder("=")), device=device)


def write_idx(x: Any, path: PathLike) -> None:
    """Write an array as an IDX file, packed by gzip where the name ends in ``.gz``.

    Raises ``DataError`` for a dtype that the format does not have.
    """
    path = _path(path, "write_idx(x, path)")
    array = jt.asarray(x).numpy()
    code = next((k for k, name in _IDX.items() if name.lstrip(">") == array.dtype.str[1:]), None)
    if code is None or array.ndim > 255:
        raise DataError(
            f"write_idx(x, path): the format has no {array.dtype}; it has uint8, int8, int16, int32, float32 and float64"
        )
    header = bytes([0, 0, code, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    body = header + array.astype(_IDX[code]).tobytes()
    path.write_bytes(gzip.compress(body, mtime=0) if path.suffix == ".gz" else body)


# -- npz --------------------------------------------------------------------------------------------------------------


def read_npz(path: PathLike, *, device: Any = None) -> dict[str, jt.Tensor]:
    """The arrays of an ``.npz`` file by name. Pickled objects are not read, so a file from anywhere is safe to open.

    Raises ``DataError`` for a file that is damaged or no ``.npz``, or an array that holds no numbers.
    """
    path = _path(path, "read_npz(path)")
    arrays, odd = npz_arrays(path, DataError)
    if odd:
        raise DataError(f"{path}: {', '.join(odd)} hold no numbers, and cannot be Tensors")
    return {name: jt.tensor(array, device=device) for name, array in arrays.items()}


# -- CSV --------------------------------------------------------------------------------------------------------------


def read_csv(
    path: PathLike,
    *,
    label: str | int | None = None,
    columns: Sequence[str | int] | None = None,
    header: bool | None = None,
    delimiter: str = ",",
    missing: float | None = None,
    dtype: Any = None,
    device: Any = None,
    encoding: str = "utf-8-sig",
) -> Sample:
    """A table of numbers as a ``Sample``: ``x`` of shape (rows, columns), ``y`` the column ``label``, and their names.

    ``header`` says whether the first line holds names; None looks: it does where none of its fields is a number. Without one, columns are
    ``"0"``, ``"1"``, ... ``columns`` picks some, by name or number, in this order (None: all but the label). ``x`` is of ``dtype``
    (float64), which must hold each number: 2.5 is no int64. A label of whole numbers becomes int64, another number float64, and text
    int64 with its sorted values in ``class_names``. ``missing`` stands for fields that are empty, ``?``, ``NA``, ``N/A``, ``NaN``,
    ``null`` or ``none``; without it they are errors. Fields may be quoted; the file may be packed by gzip.

    Raises ``DataError`` that names line and column of a field that is missing or no number, the line of a row of another length,
    and a column that is not there.

    >>> from pathlib import Path
    >>> import jitrench_nn as nn
    >>> _ = Path("flowers.csv").write_text("length,width,kind\\n5.1,3.5,setosa\\n6.2,2.9,virginica\\n4.9,3.0,setosa\\n")
    >>> flowers = nn.data.read_csv("flowers.csv", label="kind")
    >>> flowers.x.shape, flowers.y, flowers.feature_names, flowers.class_names
    ((3, 2), Tensor([0, 1, 0]), ['length', 'width'], ['setosa', 'virginica'])
    """
    import numpy as np

    path = _path(path, "read_csv(path)")
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
        raise DataError(
            f"read_csv(path): delimiter must be one character, and no quote or end of a line; got {delimiter!r}"
        )
    if missing is not None and not isinstance(missing, (int, float)):
        raise DataError(f"read_csv(path): missing must be a number, or None; got {missing!r}")
    table = _Table(path, delimiter, encoding, header)
    target = None if label is None else table.column(label, "label")
    if columns is None:
        used = [i for i in range(len(table.names)) if i != target]
    else:
        used = [table.column(c, "columns") for c in columns]
    array = table.numbers_at_once() if missing is None else None
    # Beyond 2**53 a float64 is not every integer: such labels are read one by one.
    if array is not None and (target is None or (np.abs(array[:, target]) < 2**53).all()):
        numbers, labels = array[:, used], None if target is None else array[:, target]
    else:
        rows, lines = table.rows()
        numbers = table.numbers(rows, lines, used, missing)
        labels = None if target is None else table.labels(rows, lines, target)
    y, classes = (None, None) if labels is None else _classes(labels)
    names = [table.names[i] for i in used]
    wanted = jt.float64 if dtype is None else as_dtype(dtype)
    if wanted.kind in "biu":
        least, most = (0, 1) if wanted.kind == "b" else (np.iinfo(wanted.name).min, np.iinfo(wanted.name).max)
        fits = (numbers >= least) & (numbers < most + 1.0) & (numbers == np.floor(numbers))
        if not fits.all():
            row, k = np.argwhere(~fits)[0]
            raise DataError(
                f"{path}, column {names[k]!r}: {numbers[row, k]} is no {wanted}; leave out dtype=, or the column"
            )
    return Sample(
        path.name,
        jt.tensor(numbers, wanted, device),
        None if y is None else jt.tensor(y, device=device),
        names,
        classes,
    )


def _classes(labels: Any) -> tuple[Any, list[str] | None]:
    """Labels as numbers, and the names of classes where they are text."""
    import numpy as np

    if labels.dtype.kind == "i":
        return labels, None
    if labels.dtype.kind != "f":
        names, codes = np.unique(labels, return_inverse=True)
        return codes.astype(np.int64), [str(name) for name in names]
    whole = (np.abs(labels) < 2**53).all() and (labels == np.floor(labels)).all()
    return (labels.astype(np.int64) if whole else labels), None


class _Table:
    """A CSV file: its first line is read here, the others on demand."""

    def __init__(self, path: Path, delimiter: str, encoding: str, header: bool | None) -> None:
        self.path, self.delimiter, self.encoding = path, delimiter, encoding
        rows, _ = self._read(first=True)
        if not rows:
            raise DataError(f"{path}: the file has no lines")
        self.header = header if header is not None else not any(map(_is_number, rows[0]))
        self.names = [name.strip() for name in rows[0]] if self.header else [str(i) for i in range(len(rows[0]))]
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise DataError(f"{path}: columns {', '.join(map(repr, twice))} are there more than once")

    def column(self, key: str | int, what: str) -> int:
        """The number of a column."""
        if isinstance(key, str) and key in self.names:
            return self.names.index(key)
        if isinstance(key, int) and not isinstance(key, bool) and -len(self.names) <= key < len(self.names):
            return key % len(self.names)
        raise DataError(
            f"{self.path}: there is no column {key!r} for {what}=; there are {', '.join(map(repr, self.names))}"
        )

    def _read(self, first: bool = False) -> tuple[list[list[str]], list[int]]:
        """The rows that are not empty, and the line on which each ends."""
        import io

        rows, lines = [], []
        try:
            with _open(self.path) as raw, io.TextIOWrapper(raw, self.encoding, newline="") as text:
                reader = csv.reader(text, delimiter=self.delimiter, skipinitialspace=True, strict=True)
                for row in reader:
                    if row:
                        rows.append(row)
                        lines.append(reader.line_num)
                        if first:
                            break
        except UnicodeDecodeError as e:
            raise DataError(f"{self.path} is no text in {self.encoding}: {e}; give its encoding=") from e
        except csv.Error as e:
            raise DataError(f"{self.path}, line {reader.line_num}: {e}") from e
        except LookupError as e:
            raise DataError(f"read_csv(path): encoding={self.encoding!r} is not known to Python: {e}") from e
        except (EOFError, zlib.error, gzip.BadGzipFile) as e:
            raise DataError(f"{self.path} is damaged: gzip cannot unpack it ({e})") from e
        return rows, lines

    def rows(self) -> tuple[list[list[str]], list[int]]:
        """The rows below the header, all of one length."""
        rows, lines = self._read()
        if self.header:
            rows, lines = rows[1:], lines[1:]
        if not rows:
            raise DataError(f"{self.path}: there is a header and no row")
        for row, line in zip(rows, lines, strict=True):
            if len(row) != len(self.names):
                raise DataError(
                    f"{self.path}, line {line}: the row has {len(row)} fields, and the first line has {len(self.names)}"
                )
        return rows, lines

    def numbers_at_once(self) -> Any:
        """The whole table as an array, by NumPy's reader, or None where it is not all numbers, for the slow way to say where."""
        import io
        import warnings

        import numpy as np

        try:
            with (
                _open(self.path) as raw,
                io.TextIOWrapper(raw, self.encoding, newline=None) as text,
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")  # that there are no rows, which rows() says
                rows = csv.reader(text, delimiter=self.delimiter)
                while self.header and not next(rows, ["end"]):
                    pass  # lines before the header
                array = np.loadtxt(text, np.float64, delimiter=self.delimiter, comments=None, quotechar='"', ndmin=2)
        except (ValueError, OSError, EOFError, zlib.error):
            return None
        return array if array.shape[1] == len(self.names) and len(array) and not np.isnan(array).any() else None

    def numbers(self, rows: list[list[str]], lines: list[int], used: list[int], missing: float | None) -> Any:
        import numpy as np

        out = np.empty((len(rows), len(used)), np.float64)
        for k, i in enumerate(used):
            try:
                column = [row[i] for row in rows]
                out[:, k] = list(map(float, column))
                if not np.isnan(out[:, k]).any() and "_" not in "".join(column):  # Python's float takes 1_000
                    continue
            except ValueError:
                pass
            out[:, k] = [self._number(row[i], line, i, missing) for row, line in zip(rows, lines, strict=True)]
        return out

    def _number(self, field: str, line: int, i: int, missing: float | None) -> float:
        if field.strip().lower() in _MISSING:
            if missing is None:
                raise DataError(
                    f"{self.path}, line {line}, column {self.names[i]!r}: the value is missing ({field!r}); give missing=0.0 or another "
                    f"number to stand for it, or leave the column out by columns="
                )
            return float(missing)
        if not _is_number(field):
            raise DataError(
                f"{self.path}, line {line}, column {self.names[i]!r}: {field!r} is no number; leave the column out by columns=, or give it as label="
            )
        return float(field)

    def labels(self, rows: list[list[str]], lines: list[int], target: int) -> Any:
        import numpy as np

        fields = [row[target].strip() for row in rows]
        for field, line in zip(fields, lines, strict=True):
            if field.lower() in _MISSING:
                raise DataError(
                    f"{self.path}, line {line}, column {self.names[target]!r}: the label is missing ({field!r})"
                )
        if not all(map(_is_number, fields)):
            return np.array(fields)
        try:
            return np.array([int(field) for field in fields], np.int64)
        except (ValueError, OverflowError):  # 1.0, or beyond 64 bits
            return np.array([float(field) for field in fields])


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return "_" not in field
