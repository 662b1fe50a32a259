"""Weight files: what is saved comes back, a bad file says why, and an interruption leaves the old file as it was."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

import jitrench_core as jt
import jitrench_nn as nn
import jitrench_optim as optim
from jitrench_core.transforms.tree import flatten, names

DATA = Path(__file__).parent / "data"
DTYPES = ["float64", "float32", "float16", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (64, 32, 16, 8))]


def mlp(x):
    return nn.Linear(2)(jt.tanh(nn.Linear(4)(x)))


def values(tree):
    return dict(zip(names(tree), [x.tolist() for x in flatten(tree)[0]], strict=True))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "weight.jtw"


@pytest.fixture
def params(backend):
    return nn.init(mlp, (None, 3), seed=0, device=backend)


# -- there and back ---------------------------------------------------------------------------------------------------


def test_what_is_saved_comes_back(params, backend, file):
    nn.save(params, file)
    loaded = nn.load(file, device=backend)
    assert names(loaded) == names(params)
    assert values(loaded) == values(params)
    weight = loaded["Linear_1"]["weight"]
    assert (weight.requires_grad, weight.is_leaf, weight.name) == (True, True, "Linear_1.weight")
    assert (weight.dtype, weight.device) == (jt.float64, jt.device(backend))
    x = jt.ones((2, 3), device=backend)
    assert nn.apply(mlp, loaded, x).tolist() == nn.apply(mlp, params, x).tolist()


def test_a_file_opens_on_another_backend(params, file):
    nn.save(params, str(file))
    assert nn.load(str(file))["Linear_1"]["weight"].device == jt.device()


def test_order_and_what_is_trainable_are_kept(T, file):
    tree = {f"Linear_{i}": {"z": T([float(i)], requires_grad=True), "a": T([1.0]), "n": T([i])} for i in (1, 10, 2)}
    nn.save(tree, file)
    loaded = nn.load(file)
    assert names(loaded) == names(tree)
    assert [x.requires_grad for x in flatten(loaded)[0]] == [True, False, False] * 3


@pytest.mark.parametrize("dtype", [*DTYPES, "bool", "complex64"])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_every_dtype_and_shape(dtype, shape, file):
    x = jt.asarray(np.arange(6).reshape(2, 3).astype(dtype) if shape == (2, 3) else np.ones(shape, dtype))
    nn.save({"x": x}, file)
    y = nn.load(file)["x"]
    assert (y.dtype, y.shape, y.tolist()) == (x.dtype, shape, x.tolist())


def test_arrays_that_do_not_lie_in_order(file):
    base = np.arange(24.0).reshape(4, 6)
    tree = {"t": jt.asarray(base.T), "s": jt.asarray(base[::2, ::-3]), "b": jt.asarray(base.astype(">f8"))}
    nn.save(tree, file)
    assert values(nn.load(file)) == {"t": base.T.tolist(), "s": base[::2, ::-3].tolist(), "b": base.tolist()}


def test_lists_become_dicts_and_an_empty_tree_is_a_file(T, file):
    nn.save([T([1.0]), {"a": (T([2.0]),)}], file)
    assert values(nn.load(file)) == {"0": [1.0], "1.a.0": [2.0]}
    pair = [T([0.0]), {"a": (T([0.0]),)}]
    assert nn.load(file, like=pair) is pair  # into the lists that exist
    assert (pair[0].tolist(), pair[1]["a"][0].tolist()) == ([1.0], [2.0])
    nn.save({}, file)
    assert nn.load(file) == {}


def test_the_format_is_safetensors(params, file):
    from safetensors.numpy import load_file

    nn.save(params, file)
    arrays = load_file(file)
    assert sorted(arrays) == sorted(names(params))
    np.testing.assert_array_equal(arrays["Linear_1.weight"], params["Linear_1"]["weight"].numpy())


def test_a_file_of_another_program(file):
    from safetensors.numpy import save_file

    save_file({"fc.weight": np.ones((2, 3), "float32"), "steps": np.array(3)}, file, metadata={"format": "pt"})
    loaded = nn.load(file)
    assert (loaded["fc"]["weight"].requires_grad, loaded["steps"].requires_grad) == (True, False)
    save_file({"a": np.ones(1)}, file)
    assert values(nn.load(file)) == {"a": [1.0]}


def test_what_cannot_be_saved(T, file):
    for tree, message in [
        ({"a": {"b": np.ones(2)}}, r"save\(\) takes a tree of Tensors; 'a\.b' is a ndarray"),
        ({"a": {"b": T([1.0])}, "a.b": T([2.0])}, r"each Tensor needs a name of its own, .* got 'a\.b'"),
        (T([1.0]), "each Tensor needs a name of its own, .* got ''"),
        ({"z": T([1.0 + 2.0j])}, "'z' is complex128, which the format does not have"),
    ]:
        with pytest.raises(nn.WeightsError, match=message):
            nn.save(tree, file)
        assert not file.exists()


# -- into a tree that exists ------------------------------------------------------------------------------------------


def test_load_into_a_tree(params, backend, file):
    nn.save(params, file)
    other = nn.init(mlp, (None, 3), seed=9, device=backend)
    optimizer = optim.SGD(other)
    weight = other["Linear_1"]["weight"]
    assert nn.load(file, like=other) is other
    assert values(other) == values(params)
    assert optimizer.parameters[0] is weight is other["Linear_1"]["weight"]
    assert weight.is_leaf
    assert weight.requires_grad


def test_load_into_an_optimizer(params, backend, file):
    x = jt.ones((2, 3), device=backend)

    def train(params, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            nn.mse_loss(nn.apply(mlp, params, x), jt.ones((2, 2), device=backend)).backward()
            optimizer.step()

    optimizer = optim.Adam(params, lr=0.1)
    train(params, optimizer, 5)
    nn.save({"params": params, "optimizer": optimizer.state()}, file)
    other = nn.init(mlp, (None, 3), seed=1, device=backend)
    resumed = optim.Adam(other)
    nn.load(file, like={"params": other, "optimizer": resumed.state()})
    train(params, optimizer, 5)
    train(other, resumed, 5)
    assert values(other) == values(params)


def test_one_error_names_everything_that_does_not_fit(params, T, file):
    saved = {
        "Linear_1": {"weight": T(np.ones((4, 3)), "float32"), "bias": params["Linear_1"]["bias"]},
        "Linear_2": {"weight": T(np.ones((2, 5)))},
        "Linear_3": {"weight": T([1.0]), "bias": T([1.0])},
    }
    nn.save(saved, file)
    before = values(params)
    with pytest.raises(nn.WeightsError) as e:
        nn.load(file, like=params)
    text = str(e.value)
    assert "weight.jtw does not fit; missing in the file: 'Linear_2.bias'; " in text
    assert "unexpected in the file: 'Linear_3.weight', 'Linear_3.bias'; " in text
    assert "'Linear_1.weight' (the file has float32 (4, 3), expected float64 (4, 3))" in text
    assert "'Linear_2.weight' (the file has float64 (2, 5), expected float64 (2, 4))" in text
    assert "Linear_1.bias" not in text
    assert isinstance(e.value, jt.JITrenchError)
    assert isinstance(e.value, ValueError)
    assert values(params) == before


def test_like_and_device_exclude_each_other(params, backend, file):
    nn.save(params, file)
    with pytest.raises(nn.WeightsError, match="give like= or device="):
        nn.load(file, like=params, device=backend)


def test_names_that_are_no_tree(file):
    from safetensors.numpy import save_file

    save_file({"a": np.ones(1), "a.b": np.ones(1)}, file)
    with pytest.raises(nn.WeightsError, match="both a tensor and the start of other names; load it with like="):
        nn.load(file)
    tree = {"a": jt.zeros(1), "a.b": jt.zeros(1)}
    assert values(nn.load(file, like=tree)) == {"a": [1.0], "a.b": [1.0]}


# -- bad files --------------------------------------------------------------------------------------------------------


def header(text, body=b""):
    text = text if isinstance(text, bytes) else json.dumps(text).encode()
    return len(text).to_bytes(8, "little") + text + body


def entry(**changes):
    return {"dtype": "F64", "shape": [1], "data_offsets": [0, 8], **changes}


BAD = {
    "empty": (b"", "is truncated, or no weight file: it has 0 bytes, and needs 8"),
    "three bytes": (b"abc", "it has 3 bytes, and needs 8"),
    "half a header": (header({"a": entry()}, bytes(8))[:20], "is truncated, or no weight file: it has 20 bytes, and needs"),
    "half the data": (header({"a": entry()}, bytes(8))[:-3], r"is truncated: it has \d+ bytes, and its tensors need \d+"),
    "huge header": ((2**63).to_bytes(8, "little") + b"{}", "is not a weight file: .* at most 100000000, .* got 9223372036854775808"),
    "a header just too long": ((100_000_001).to_bytes(8, "little") + b"{}", "is not a weight file"),
    "a header longer than the file": ((99_999_999).to_bytes(8, "little") + b"{}", "is truncated, or no weight file"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "is not a weight file"),
    "a pickle": (pickle.dumps({"a": [1.0] * 20}), "is not a weight file"),
    "a text": (b"These are not the weights you are looking for.\n", "is not a weight file"),
    "no JSON": (header(b"{this is no JSON}"), "is not a weight file, or damaged: its header does not read"),
    "a list": (header(b"[1, 2, 3]"), r"is not a weight file: .* got 9 and b'\['"),
    "no UTF-8": (header(b'{"\xff\xfe": 1}'), "its header does not read"),
    "deep": (header(b'{"a":' + b"[" * 100_000), "its header does not read"),
    "no offsets": (header({"a": {"dtype": "F64", "shape": [1]}}, bytes(8)), "its header does not read .*'data_offsets'"),
    "odd offsets": (header({"a": entry(data_offsets=[0, "8"])}, bytes(8)), "is damaged: its header does not read"),
    "no table": (header({"a": 3}), "its header does not read"),
    "wrong length": (header({"a": entry(shape=[2])}, bytes(8)), "is damaged: |does not fit; of another shape"),
    "negative offsets": (header({"a": entry(data_offsets=[-8, 0])}, bytes(8)), "is damaged: "),
    "a hole": (header({"a": entry(data_offsets=[8, 16])}, bytes(16)), "is damaged: "),
    "bytes too many": (header({"a": entry()}, bytes(80)), "is damaged: "),
    "an unknown dtype": (header({"a": entry(dtype="F128")}, bytes(8)), r"NumPy has no dtype for 'a' \(F128\)"),
    "bfloat16": (header({"a": entry(dtype="BF16", shape=[4])}, bytes(8)), r"NumPy has no dtype for 'a' \(BF16\); convert to F32"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("into", [False, True])
def test_bad_files_say_why(kind, into, file):
    data, message = BAD[kind]
    file.write_bytes(data)
    with pytest.raises(nn.WeightsError, match=message) as e:
        nn.load(file, like={"a": jt.zeros(1)} if into else None)
    assert str(file) in str(e.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        nn.load(tmp_path / "no.jtw")
    with pytest.raises(FileNotFoundError, match=r"save\(\): the folder '.*no' does not exist; create it first"):
        nn.save({"a": jt.zeros(1)}, tmp_path / "no" / "no.jtw")
    with pytest.raises(IsADirectoryError, match=r"save\(\): '.*' is a folder; add the name of a file"):
        nn.save({"a": jt.zeros(1)}, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=r"save\(\): the folder '.*file' is a file"):
        nn.save({"a": jt.zeros(1)}, tmp_path / "file" / "no.jtw")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    with pytest.raises(OSError, match="directory"):
        nn.load(tmp_path)


def test_arguments_of_the_wrong_kind(params, file):
    for path in (str(file), file):
        with pytest.raises(nn.WeightsError, match=r"^save\(params, path\): the arguments are swapped"):
            nn.save(path, params)
    with pytest.raises(nn.WeightsError, match=r"save\(params, path\): the path must be a str or a Path; got int"):
        nn.save(params, 5)
    with pytest.raises(nn.WeightsError, match=r"load\(path\): the path must be a str or a Path; got int"):
        nn.load(5)
    with pytest.raises(nn.WeightsError, match=r"save\(\) takes a tree of Tensors; got a int"):
        nn.save(5, file)


def test_odd_metadata_is_ignored(file):
    for metadata in (
        {"order": "[1]", "frozen": "[]"},
        {"order": '["b"]', "frozen": "[]"},
        {"order": "{", "frozen": "["},
    ):
        file.write_bytes(header({"__metadata__": metadata, "a": entry()}, bytes(8)))
        assert values(nn.load(file)) == {"a": [0.0]}


# -- interruptions ----------------------------------------------------------------------------------------------------


def test_an_error_in_the_middle_leaves_the_old_file(params, file, monkeypatch):
    nn.save(params, file)
    before = file.read_bytes()

    def fail(*args):
        raise OSError("disk full")

    for function in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, function, fail)
            with pytest.raises(OSError, match="disk full"):
                nn.save({"other": jt.zeros(3)}, file)
        assert file.read_bytes() == before
        assert [p.name for p in file.parent.iterdir()] == ["weight.jtw"]


def test_a_link_stays_a_link(params, file, tmp_path):
    link = tmp_path / "latest.jtw"
    nn.save(params, file)
    try:
        link.symlink_to(file)
    except OSError:
        pytest.skip("no symbolic links here")
    nn.save({"a": jt.ones(1)}, link)
    assert link.is_symlink()
    assert values(nn.load(file)) == {"a": [1.0]}


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_a_file_has_the_usual_mode(params, file):
    old = os.umask(0o027)
    try:
        nn.save(params, file)
    finally:
        os.umask(old)
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_while_saving(file):
    """Ten times: a process that does nothing but save is killed, and the file is one of the two that it wrote, complete."""
    program = """
        import sys
        import jitrench_core as jt
        import jitrench_nn as nn
        trees = [{"x": jt.full((300_000,), float(i))} for i in (1, 2)]
        nn.save(trees[0], sys.argv[1])
        print("saved", flush=True)
        while True:
            for tree in trees:
                nn.save(tree, sys.argv[1])
    """
    found = set()
    for i in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), str(file)], stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout.readline() == "saved\n"
            time.sleep(0.003 * (i + 1))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
        x = nn.load(file)["x"].numpy()
        assert x.shape == (300_000,)
        assert (x == x[0]).all()
        found.add(x[0])
    assert found <= {1.0, 2.0}


@pytest.mark.skipif(os.name != "posix", reason="named pipes of this kind are POSIX's")
def test_what_is_no_regular_file_is_left_as_it_is(tmp_path):
    import stat

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="no regular file"):
        nn.save({"x": jt.ones(1)}, pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_key_with_a_dot_is_refused(tmp_path):
    @dataclasses.dataclass
    class Part:
        inner: object

    for tree in ({"a": [{"s.t": jt.ones(1)}]}, {"a": Part({"s.t": jt.ones(1)})}, [Part([Part({"s.t": jt.ones(1)})])]):
        with pytest.raises(nn.WeightsError, match=r"the key 's\.t' has a dot"):
            nn.save(tree, tmp_path / "w.jtw")
    nn.save({"a": Part({"s": jt.ones(1)})}, tmp_path / "w.jtw")
    assert values(nn.load(tmp_path / "w.jtw")) == {"a.inner.s": [1.0]}


# -- other formats ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".jtw", ".anything"])
def test_every_format_there_and_back(suffix, params, backend, tmp_path):
    file = tmp_path / f"weight{suffix}"
    nn.save(params, file)
    loaded = nn.load(file, device=backend)
    assert names(loaded) == names(params)
    assert values(loaded) == values(params)
    weight = loaded["Linear_1"]["weight"]
    assert (weight.requires_grad, weight.name, weight.device) == (True, "Linear_1.weight", jt.device(backend))
    other = nn.init(mlp, (None, 3), seed=9, device=backend)
    assert nn.load(file, like=other) is other
    assert values(other) == values(params)


def test_the_content_says_the_format(params, tmp_path):
    nn.save(params, tmp_path / "a.npz")
    (tmp_path / "a.npz").rename(tmp_path / "a.jtw")
    assert values(nn.load(tmp_path / "a.jtw")) == values(params)
    nn.save(params, tmp_path / "b.jtw")
    (tmp_path / "b.jtw").rename(tmp_path / "b.npz")
    assert values(nn.load(tmp_path / "b.npz")) == values(params)


def test_npz_is_numpy_s(params, tmp_path):
    file = tmp_path / "w.npz"
    odd = {
        "file": jt.ones(2),
        "a/b": jt.zeros((0, 2), dtype="complex128"),
        "args": jt.asarray(np.arange(6).reshape(2, 3).T),
    }
    nn.save({**odd, "Linear_1": params["Linear_1"]}, file)
    with np.load(file) as arrays:
        assert list(arrays) == ["file", "a/b", "args", "Linear_1.weight", "Linear_1.bias"]
        np.testing.assert_array_equal(arrays["Linear_1.weight"], params["Linear_1"]["weight"].numpy())
        assert (arrays["a/b"].dtype, arrays["args"].tolist()) == ("complex128", [[0, 3], [1, 4], [2, 5]])
    np.savez(file, **{"fc.weight": np.ones((1, 2), ">f4"), "steps": np.array(3)})
    loaded = nn.load(file)
    assert (loaded["fc"]["weight"].requires_grad, loaded["fc"]["weight"].dtype) == (True, jt.float32)
    assert not loaded["steps"].requires_grad


def trainable(tree):
    return {name: x.requires_grad for name, x in zip(names(tree), flatten(tree)[0], strict=True)}


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".jtw"])
def test_running_statistics_stay_buffers(suffix, backend, tmp_path):
    file = tmp_path / f"weight{suffix}"
    params = nn.init(lambda x: nn.BatchNorm1d()(nn.Linear(2)(x)), (None, 3), device=backend)
    params["Linear_1"]["bias"].requires_grad = False
    nn.save(params, file)
    loaded = nn.load(file, device=backend)
    assert trainable(loaded) == trainable(params)
    norm = loaded["BatchNorm1d_1"]
    before = norm["running_mean"].tolist()
    optimizer = optim.AdamW(nn.partition(loaded)[0], lr=0.1)
    jt.sum(norm["weight"]).backward()
    optimizer.step()
    assert norm["running_mean"].tolist() == before
    if suffix == ".npz":  # what NumPy writes does not say, and PyTorch's names do
        with np.load(file) as arrays:
            np.savez(file, **dict(arrays))
    else:
        from safetensors.numpy import load_file, save_file

        save_file(load_file(file), file)
    told = trainable(nn.load(file))
    assert {name for name, on in told.items() if not on} == {
        "BatchNorm1d_1.running_mean",
        "BatchNorm1d_1.running_var",
        "BatchNorm1d_1.num_batches_tracked",
    }


def test_an_npz_names_what_is_fewer_and_its_comment_has_a_limit(T, tmp_path):
    file = tmp_path / "w.npz"
    many = {f"a_name_of_thirty_letters_{i:05}": T([1.0]) for i in range(4000)}
    last = T([1.0], requires_grad=True)
    for tree in ({**many, "last": last}, {"x": last, "y": T([1.0])}, {}):
        nn.save(tree, file)
        assert trainable(nn.load(file)) == trainable(tree)
    half = {name: x if i % 2 else last.detach() + 0.0 for i, (name, x) in enumerate(many.items())}
    for i, x in enumerate(half.values()):
        x.requires_grad = bool(i % 2)
    with pytest.raises(
        nn.WeightsError, match=r"an .npz has 65535 bytes for the names of what is trainable, .*; write .jtw"
    ):
        nn.save(half, file)
    nn.save(half, tmp_path / "w.jtw")
    assert trainable(nn.load(tmp_path / "w.jtw")) == trainable(half)


@pytest.mark.parametrize(
    "comment",
    [
        b"",
        b"by hand",
        b"[1]",
        b"{}",
        b"\xff",
        b'{"frozen": 3}',
        b'{"frozen": "a"}',
        b'{"frozen": [[]]}',
        b'{"frozen": ["b"]}',
    ],
)
def test_odd_comments_of_an_npz_are_ignored(comment, tmp_path):
    file = tmp_path / "w.npz"
    nn.save({"a": jt.ones(2), "n": jt.ones(2, dtype="int64")}, file)
    assert trainable(nn.load(file)) == {"a": False, "n": False}
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = comment
    assert trainable(nn.load(file)) == {"a": True, "n": False}


def test_an_npz_that_does_not_fit(params, tmp_path):
    file = tmp_path / "w.npz"
    np.savez(file, **{"Linear_1.weight": np.ones((4, 3), "float32"), "more": np.ones(1)})
    before = values(params)
    with pytest.raises(
        nn.WeightsError,
        match=r"missing in the file: 'Linear_1.bias', .*; unexpected in the file: 'more'; .* float32 \(4, 3\)",
    ):
        nn.load(file, like=params)
    assert values(params) == before


def test_bad_npz_files(tmp_path):
    file = tmp_path / "w.npz"
    nn.save({"x": jt.ones(1000)}, file)
    good = file.read_bytes()
    for data, message in [
        (good[:-30], "is damaged, or no file of numpy.savez"),
        (good[:500] + b"zzzz" + good[504:], "is damaged, or no file of numpy.savez: Bad CRC-32"),
        (b"PK\x03\x04 but no more", "is damaged, or no file of numpy.savez"),
    ]:
        file.write_bytes(data)
        with pytest.raises(nn.WeightsError, match=message) as e:
            nn.load(file)
        assert str(file) in str(e.value)
    np.savez(file, a=np.array(["text"]), b=np.ones(1))
    with pytest.raises(nn.WeightsError, match=r"'a' \(<U4|'a' \(str"):
        nn.load(file)
    np.savez(file, a=np.array([None]))
    with pytest.raises(nn.WeightsError, match="Object arrays cannot be loaded"):
        nn.load(file)
    with zipfile.ZipFile(file, "w") as archive:  # as torch.save writes
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    with pytest.raises(
        nn.WeightsError, match=r"is a pickle of PyTorch, which can run code; .* safetensors.torch.save_file"
    ):
        nn.load(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("notes.txt", "no array")
    with pytest.raises(nn.WeightsError, match=r"'notes.txt' \(no array\) cannot be Tensors"):
        nn.load(file)


def test_an_error_in_the_middle_of_an_npz_leaves_the_old_file(params, tmp_path, monkeypatch):
    file = tmp_path / "w.npz"
    nn.save(params, file)
    before = file.read_bytes()

    def fail(*args):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="disk full"):
            nn.save({"other": jt.zeros(3)}, file)
    assert file.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.npz"]


# -- state dicts, layers and other names ------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.bn, self.fc2 = nn.Linear(6), nn.BatchNorm1d(), nn.Linear(4)
        self.rnn = nn.GRU(3, batch_first=True, bidirectional=True)
        self.attention = nn.MultiheadAttention(num_heads=2, batch_first=True)

    def forward(self, x):
        y, _ = self.rnn(self.fc2(jt.relu(self.bn(self.fc1(x))))[None])
        return self.attention(y, y, y)[0][0]


def net_of(x):
    model = Net()
    model(x)
    return model.eval()


@pytest.fixture(scope="module")
def torch_says():
    return json.loads((DATA / "torch_mlp_reference.json").read_text())


def test_a_state_dict_of_pytorch_loads_into_a_module(T, torch_says, close):
    x = T(torch_says["x"])
    model = net_of(x)
    assert nn.load(DATA / "torch_mlp.safetensors", like=model) is model
    close(model(x), torch_says["y"], 1e-12)  # a layer keeps its dtype
    unused = Net().eval()
    nn.load(DATA / "torch_mlp.safetensors", like=unused)
    close(unused(x), torch_says["y"], 1e-12)  # and takes them at its first call, too


RENAME = {"fc1": "Linear_1", "bn": "BatchNorm1d_1", "fc2": "Linear_2", "rnn": None, "attention": None}


def function(x):
    return nn.Linear(4)(jt.relu(nn.BatchNorm1d()(nn.Linear(6)(x))))


def test_a_state_dict_of_pytorch_loads_by_a_name_map(T, backend, torch_says, close):
    x = T(torch_says["x"], "float32")
    params = nn.init(function, x, seed=0)

    def by_function(name):
        first, _, rest = name.partition(".")
        return None if RENAME[first] is None else f"{RENAME[first]}.{rest}"

    for rename in (RENAME, by_function):
        tree = nn.init(function, x, seed=0)
        assert nn.load(DATA / "torch_mlp.safetensors", like=tree, rename=rename) is tree
        close(nn.apply(function, tree, x), torch_says["mlp"], 2e-6)
    loaded = nn.load(DATA / "torch_mlp.safetensors", rename=RENAME, device=backend)
    close(nn.apply(function, loaded, x), torch_says["mlp"], 2e-6)
    assert sorted(names(loaded)) == sorted(names(params))


def test_exact_names_and_the_longest_prefix(T, file):
    nn.save({"a": {"b": {"w": T([1.0]), "v": T([2.0])}, "c": T([3.0])}, "ab": T([4.0])}, file)

    def renamed(rename):
        return values(nn.load(file, rename=rename))

    assert renamed({"a": "x"}) == {"x.b.w": [1.0], "x.b.v": [2.0], "x.c": [3.0], "ab": [4.0]}
    assert renamed({"a": "x", "a.b": "y.z", "a.b.w": "w"}) == {"w": [1.0], "y.z.v": [2.0], "x.c": [3.0], "ab": [4.0]}
    assert renamed({"a": ""}) == {"b.w": [1.0], "b.v": [2.0], "c": [3.0], "ab": [4.0]}
    assert renamed({"a.b": None, "a.b.v": "v"}) == {"v": [2.0], "a.c": [3.0], "ab": [4.0]}
    for rename, message in [
        (
            {"fc": "x", "a.d": "y"},
            r"rename= has 'fc', 'a.d', which no tensor's name is or starts with; the file has 'a.b.w', ",
        ),
        ({"a.c": "ab"}, "rename= makes 'ab' of both 'a.c' and 'ab'"),
        ({"ab": ""}, "rename= makes '' of 'ab'; expected a name, or None to drop it"),
        (lambda name: 3, "rename= makes 3 of 'a.b.w'"),
        ("fc", "rename= must be a dict or a function of a name; got str"),
    ]:
        with pytest.raises(nn.WeightsError, match=message):
            nn.load(file, rename=rename)


def test_what_fits_nowhere_is_named_with_its_own_name(T, file):
    nn.save({"fc": {"weight": T([1.0]), "odd": T([2.0]), "num_batches_tracked": T(3)}}, file)
    tree = {"Linear_1": {"weight": T([1, 2])}}
    with pytest.raises(nn.WeightsError) as e:
        nn.load(file, like=tree, rename={"fc": "Linear_1"})
    assert "unexpected in the file: 'Linear_1.odd' (there 'fc.odd'); " in str(e.value)
    assert "'Linear_1.weight' (there 'fc.weight') (the file has float64 (1,), expected int64 (2,))" in str(e.value)
    assert "num_batches" not in str(e.value)


def test_a_count_of_batches_that_nobody_keeps_is_passed_over(T, file):
    nn.save({"bn": {"weight": T([1.0]), "num_batches_tracked": T(3)}}, file)
    tree = {"bn": {"weight": T([0.0])}}
    assert values(nn.load(file, like=tree)) == {"bn.weight": [1.0]}
    kept = {"bn": {"weight": T([0.0]), "num_batches_tracked": T(0)}}
    assert values(nn.load(file, like=kept)) == {"bn.weight": [1.0], "bn.num_batches_tracked": 3}

    class Scale(nn.Module):
        def forward(self, x):
            return x * self.parameter("weight", (1,), nn.ones)

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn = Scale()

        def forward(self, x):
            return self.bn(x)

    model = Outer()
    model(T([5.0]))
    assert nn.load(file, like=model)(T([5.0])).tolist() == [5.0]


@pytest.mark.parametrize("suffix", [".jtw", ".safetensors", ".npz"])
def test_layers_and_flat_state_dicts(suffix, T, torch_says, tmp_path):
    x = T(torch_says["x"])
    model, other = net_of(x), net_of(x)
    file = tmp_path / f"net{suffix}"
    for saved in (model, model.state_dict(), model.state()):
        nn.save(saved, file)
        assert values(nn.load(file, like=net_of(x)).state_dict()) == values(model.state_dict())
    nn.save(model, file)
    tree = nn.load(file)
    if suffix != ".npz":
        assert tree["fc1"]["weight"].requires_grad
        assert not tree["bn"]["running_mean"].requires_grad  # a buffer stays one
    nn.load(file, like=other.state_dict())  # copies, so that nothing of other changes
    assert values(other.state_dict()) != values(model.state_dict())
    flat = other.state_dict()
    assert values(nn.load(file, like=flat)) == values(model.state_dict())


def test_a_module_that_does_not_fit(T, torch_says, file):
    model = net_of(T(torch_says["x"]))
    nn.save({"fc1": {"weight": T([1.0])}, "more": T([1.0])}, file)
    before = values(model.state_dict())
    with pytest.raises(
        nn.WeightsError,
        match=r"weight.jtw does not fit; Net.load_state_dict\(\): missing: 'fc1.bias', .*unexpected: 'more'",
    ):
        nn.load(file, like=model)
    assert values(model.state_dict()) == before
    with pytest.raises(jt.JITrenchError, match="call the layer once"):
        nn.save(Net(), file)


def test_another_object_with_a_state_dict(T, file):
    class Average:
        def __init__(self, x):
            self.x = x

        def state_dict(self):
            return {"part.x": self.x}

        def load_state_dict(self, state):
            self.x = state["part.x"]

    nn.save(Average(T([1.0])), file)
    assert nn.load(file, like=Average(T([0.0]))).x.tolist() == [1.0]


def test_a_state_with_other_values_belongs_into_a_checkpoint(T, file):
    with pytest.raises(
        nn.WeightsError, match="'lr' is a float; a state with other values is written by save_checkpoint"
    ):
        nn.save({"lr": 0.1, "x": T([1.0])}, file)


# -- names that a format could mix up -----------------------------------------------------------------------------------


def test_a_name_that_ends_in_npy_is_itself(tmp_path):
    """numpy.load gave the values of "x" for "x.npy"."""
    state = {"x.npy": jt.tensor([1.0]), "x": jt.tensor([2.0])}
    nn.save(state, tmp_path / "w.npz")
    like = {"x.npy": jt.zeros(1), "x": jt.zeros(1)}
    assert values(nn.load(tmp_path / "w.npz", like=like)) == values(state)


@pytest.mark.parametrize("suffix", [".npz", ".jtw"])
@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_names_that_no_file_holds(name, suffix, tmp_path):
    with pytest.raises(nn.WeightsError, match="has a zero byte or half a character; rename it"):
        nn.save({name: jt.ones(1), "a": jt.zeros(1)}, tmp_path / f"w{suffix}")
    assert not list(tmp_path.iterdir())
