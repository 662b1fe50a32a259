"""Checkpoint files: a nested state of Tensors and plain values comes back with every type, dtype and bit."""

from __future__ import annotations

import collections
import copy
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from typing import NamedTuple

import numpy as np
import pytest

import jitrench_core as jt
import jitrench_nn as nn

DTYPES = ["bool", "complex64", "complex128", "float64", "float32", "float16"]
DTYPES += [f"{kind}{bits}" for kind in ("int", "uint") for bits in (64, 32, 16, 8)]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "last.ckpt"


def same(a, b):
    """Equal, type for type; NaN equals NaN, and -0.0 is not 0.0."""
    assert type(a) is type(b)
    if type(a) is jt.Tensor:
        assert (a.dtype, a.shape, a.requires_grad) == (b.dtype, b.shape, b.requires_grad)
        assert a.numpy().tobytes() == b.numpy().tobytes()
    elif isinstance(a, dict):
        assert [(k, type(k)) for k in a] == [(k, type(k)) for k in b]
        for k in a:
            same(a[k], b[k])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    elif isinstance(a, float):
        assert repr(a) == repr(b)
    else:
        assert a == b


def there_and_back(state, file, device=None):
    nn.save_checkpoint(state, file)
    return nn.load_checkpoint(file, device=device)


# -- there and back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, 1, -1, 2**53 - 1, 2**53, -(2**64), 1 << 20_000, 0.0, -0.0, 0.1, 1 / 3, 5e-324, 1.7976931348623157e308,
        math.nan, math.inf, -math.inf, "", "ä\n\"\\'\ud800", [], (), {}, [[]], ((),), [()], ([],), {"": {}}, {"a.b": 1, 1: 2, None: 3},
        {(1, ("a", 2.5)): "tuple", 2.5: "float", False: "bool", 10**30: "int"}, {"dict": 1}, {"tensor": "0"}, {"tuple": [1]}, {"int": "0x1"},
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_plain_values(value, file):
    same(there_and_back(value, file), value)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_every_dtype_and_shape(dtype, shape, file):
    x = jt.asarray(np.arange(6).reshape(2, 3).astype(dtype) if shape == (2, 3) else np.ones(shape, dtype))
    same(there_and_back({"x": x}, file), {"x": x})


def test_bits_of_floats(file):
    odd = np.array([math.nan, -math.nan, math.inf, -0.0, 5e-324, 0.1])
    z = np.stack((odd, odd[::-1]), -1).view("complex128")[:, 0]
    state = [jt.asarray(odd), jt.asarray(z), jt.asarray(np.arange(24.0).reshape(4, 6)[::2, ::-3])]
    same(there_and_back(state, file), state)


def test_a_trainer_s_state(T, backend, file):
    generator = jt.random.Generator(2**100 + 7, device=backend)
    generator.normal((3,))
    state = {
        "model": {"Linear_1": {"weight": T([[1.0, 2.0]], requires_grad=True, name="w")}},
        "optimizer": {"groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "fused": None}], "step": T(7)},
        "loader": {"epoch": 3, "position": 17, "seed": 2**100 + 7},
        "generator": generator.state(),
        "history": [{"loss": 0.1 + 0.2, "accuracy": math.nan}],
    }
    loaded = there_and_back(state, file, backend)
    same(loaded, state)
    weight = loaded["model"]["Linear_1"]["weight"]
    assert (weight.device, weight.is_leaf, weight.name) == (jt.device(backend), True, "w")
    other = jt.random.Generator(0, device=backend)
    other.load_state(loaded["generator"])
    assert other.normal((5,)).tolist() == generator.normal((5,)).tolist()


def test_a_tensor_in_two_places_is_one(T, file):
    shared = T([1.0], requires_grad=True)
    loaded = there_and_back({"a": shared, "b": [shared], "c": T([1.0], requires_grad=True)}, file)
    assert loaded["a"] is loaded["b"][0]
    assert loaded["c"] is not loaded["a"]


def test_what_was_computed_is_a_constant(T, file):
    x = T([1.0], requires_grad=True)
    assert not there_and_back({"y": x * 2}, file)["y"].requires_grad


def test_dicts_of_other_classes_are_dicts(file):
    assert type(there_and_back(collections.OrderedDict(a=1), file)) is dict
    assert there_and_back([np.float64(0.1)], file) == [0.1]


def test_the_same_list_twice_is_no_cycle(file):
    part = [1]
    same(there_and_back([part, part], file), [[1], [1]])


# -- errors -----------------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    a: int


def test_what_cannot_be_saved(file):
    cycle = {"a": []}
    cycle["a"].append(cycle)
    for state, message in [
        ({"a": [1, {2: object()}]}, r"save_checkpoint\(\): state\['a'\]\[1\]\[2\] is a object; a state holds Tensors, None"),
        ({"a": np.ones(2)}, r"state\['a'\] is a ndarray; .* make a Tensor of it, jt.tensor\(x\)"),
        ([np.int64(2)], r"state\[0\] is a int64; .* make a Tensor of it"),
        ({1, 2}, "state is a set"),
        (b"bytes", "state is a bytes"),
        (Pair(1), "state is a Pair"),
        ({b"k": 1}, r"state has the key b'k', a bytes; keys are strings"),
        ({(1, frozenset()): 1}, r"has the key \(1, frozenset\(\)\)"),
        (cycle, r"state\['a'\]\[0\] holds itself"),
    ]:  # fmt: skip
        with pytest.raises(nn.WeightsError, match=message):
            nn.save_checkpoint(state, file)
        assert list(file.parent.iterdir()) == []


def test_paths(file, tmp_path):
    with pytest.raises(
        nn.WeightsError, match=r"save_checkpoint\(state, path\): the arguments are swapped; the state comes"
    ):
        nn.save_checkpoint(str(file), {})
    with pytest.raises(nn.WeightsError, match="the path must be a str or a Path; got int"):
        nn.save_checkpoint({}, 5)
    with pytest.raises(nn.WeightsError, match=r"load_checkpoint\(path\): the path must be a str or a Path; got int"):
        nn.load_checkpoint(5)
    with pytest.raises(FileNotFoundError, match=r"save_checkpoint\(\): the folder '.*no' does not exist"):
        nn.save_checkpoint({}, tmp_path / "no" / "a")
    with pytest.raises(IsADirectoryError, match=r"save_checkpoint\(\): '.*' is a folder"):
        nn.save_checkpoint({}, tmp_path)
    with pytest.raises(FileNotFoundError):
        nn.load_checkpoint(file)


def test_files_of_another_kind(file):
    nn.save({"x": jt.ones(2)}, file)
    with pytest.raises(nn.WeightsError, match=r"is no checkpoint of save_checkpoint\(\); .* nn.load\(path\)"):
        nn.load_checkpoint(file)
    nn.save_checkpoint({"x": jt.ones(2)}, file)
    with pytest.raises(nn.WeightsError, match=r"is a checkpoint, not a file of weights; .* nn.load_checkpoint"):
        nn.load(file)
    file.write_bytes(b"no checkpoint at all")
    with pytest.raises(nn.WeightsError, match="is not a weight file"):
        nn.load_checkpoint(file)


def test_every_truncation_is_found(file):
    nn.save_checkpoint({"x": jt.arange(5), "y": [1, (2.5, None)]}, file)
    data = file.read_bytes()
    for n in range(len(data)):
        file.write_bytes(data[:n])
        with pytest.raises(nn.WeightsError):
            nn.load_checkpoint(file)


@pytest.mark.parametrize(
    "structure",
    [None, "{", '{"odd": 1}', '{"dict": [[1]]}', '{"tensor": "9"}', '{"int": "zz"}', '{"a": 1, "b": 2}', '{"dict": [[[], 1]]}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_structure(structure, file):
    metadata = {"format": "jtw-checkpoint"} | ({} if structure is None else {"structure": structure})
    text = json.dumps({"__metadata__": metadata}).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(nn.WeightsError, match="is damaged: its structure does not read"):
        nn.load_checkpoint(file)


def test_a_leaf_whose_dtype_was_damaged(file):
    nn.save_checkpoint({"x": jt.tensor([1.0], requires_grad=True)}, file)
    file.write_bytes(file.read_bytes().replace(b'"F64"', b'"I64"'))
    with pytest.raises(nn.WeightsError, match="is damaged: its structure does not read"):
        nn.load_checkpoint(file)


def test_plain_values_beyond_the_format_s_length(file, monkeypatch):
    monkeypatch.setattr("jitrench_nn.checkpoints.LONGEST_HEADER", 1000)
    with pytest.raises(
        nn.WeightsError, match="the plain values take 601 bytes, and the format has 500; make Tensors of"
    ):
        nn.save_checkpoint([1] * 300, file)


# -- interruptions ----------------------------------------------------------------------------------------------------


def test_an_error_in_the_middle_leaves_the_old_file(file, monkeypatch):
    nn.save_checkpoint({"epoch": 1}, file)

    def fail(*args):
        raise OSError("disk full")

    for function in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, function, fail)
            with pytest.raises(OSError, match="disk full"):
                nn.save_checkpoint({"epoch": 2}, file)
    assert nn.load_checkpoint(file) == {"epoch": 1}
    assert [p.name for p in file.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_while_saving(file):
    program = """
        import sys
        import jitrench_core as jt
        import jitrench_nn as nn
        states = [{"i": i, "x": jt.full((300_000,), float(i))} for i in (1, 2)]
        nn.save_checkpoint(states[0], sys.argv[1])
        print("saved", flush=True)
        while True:
            for state in states:
                nn.save_checkpoint(state, sys.argv[1])
    """
    for i in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), str(file)], stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout.readline() == "saved\n"
            time.sleep(0.005 * (i + 1))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
        state = nn.load_checkpoint(file)
        assert (state["x"].numpy() == state["i"]).all()


def test_a_deep_state_says_so(file):
    state = []
    for _ in range(100_000):
        state = [state]
    try:
        with pytest.raises(nn.WeightsError, match="nested too deeply"):
            nn.save_checkpoint(state, file)
    finally:
        while state:  # a chain this long is taken apart by hand
            state = state.pop()


def test_the_state_is_not_changed(T, file):
    state = {"a": (1, [T([2.0])])}
    before = copy.deepcopy(state)
    nn.save_checkpoint(state, file)
    same(state, before)
