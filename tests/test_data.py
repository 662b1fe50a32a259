"""Data sets and the loader: what a batch holds, the order of epochs, resuming, and a thread that ends with the loop."""

from __future__ import annotations

import dataclasses
import gc
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import traceback
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitrench_core as jt
import jitrench_nn as nn
from jitrench_core import BoundsError, ShapeError
from jitrench_nn.data import (
    ArrayDataset,
    ConcatDataset,
    DataError,
    DataLoader,
    Dataset,
    MapDataset,
    Subset,
    collate,
    random_split,
)


class Pair(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass
class Example:
    x: Any
    y: Any


class Squares(Dataset):
    """No ``take`` of its own; it remembers what was fetched."""

    def __init__(self, n: int) -> None:
        self.n, self.fetched = n, []

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Any:
        self.fetched.append(i)
        return i, float(i**2)


def numbers(n: int) -> ArrayDataset:
    return ArrayDataset(np.arange(n))


def flat(batches: Any) -> list[int]:
    return [x for batch in batches for x in batch]


def lists(batches: Any) -> list[list[int]]:
    return [b.tolist() for b in batches]


# -- data sets --------------------------------------------------------------------------------------------------------


def test_array_dataset(T, backend):
    x, y = T([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), T([0, 1, 2])
    d = ArrayDataset(x, y)
    assert len(d) == 3
    assert (d[1][0].tolist(), d[1][1].item()) == ([3.0, 4.0], 1)
    assert d[-1][1].item() == 2
    a, b = d.take([2, 0, -1])
    assert (a.tolist(), b.tolist()) == ([[5.0, 6.0], [1.0, 2.0], [5.0, 6.0]], [2, 0, 2])
    assert a.device == jt.device(backend)
    assert [p[1].item() for p in d] == [0, 1, 2]


@pytest.mark.parametrize("kind", ["numpy", "tensor", "wide"])
def test_one_array_keeps_its_structure(kind, T):
    x = {"numpy": np.arange(4.0), "tensor": T(np.arange(4.0)), "wide": np.arange(8.0).reshape(4, 2)}[kind]
    assert np.shape(ArrayDataset(x)[0]) == x.shape[1:]
    assert ArrayDataset(x).take([1]).shape == (1, *x.shape[1:])
    assert list(ArrayDataset({"a": x, "b": (x, x)})[2]) == ["a", "b"]
    assert type(ArrayDataset(Pair(x, x))[0]) is Pair
    assert type(ArrayDataset(Example(x, x)).take([0, 1])) is Example
    assert type(ArrayDataset((x,))[0]) is tuple


def test_rows_are_never_views():
    x = np.arange(6)
    for indices in (range(2, 4), [2, 3], np.array([2, 3]), slice):
        part = ArrayDataset(x).take(indices) if indices is not slice else next(iter(DataLoader(x, 6))).numpy()
        assert not np.shares_memory(part, x)


@pytest.mark.parametrize(
    "indices", [range(1, 3), range(3, 0, -1), range(0), [], [0], np.array([3, 3], "int32")], ids=repr
)
def test_take(indices, T):
    for x in (np.arange(4), T([0, 1, 2, 3])):
        assert ArrayDataset(x).take(indices).tolist() == [int(i) for i in indices]


def test_tensors_are_constants(T):
    d = ArrayDataset(T([1.0, 2.0], requires_grad=True))
    assert not d.take([0]).requires_grad
    assert not d[0].requires_grad


def test_what_is_no_array(T):
    for args, error, message in [
        ((), DataError, "needs arrays: ArrayDataset"),
        (({},), DataError, "which holds none"),
        (([1, 2],), DataError, r"array '0' is of type int; expected an array or a Tensor \(of a list make one"),
        ((np.array(["a"]),), DataError, "the array has dtype <U1; expected numbers, so encode it"),
        ((np.array([None]),), DataError, "has dtype object"),
        ((T(1.0),), ShapeError, r"the array has no axis along which examples could lie: its shape is \(\)"),
        ((np.ones(3), T([1.0])), ShapeError, "lengths of the first axis differ: array '0' has 3, array '1' has 1"),
        (({"x": np.ones((2, 3)), "y": np.ones(3)},), ShapeError, "array 'x' has 2, array 'y' has 3"),
    ]:
        with pytest.raises(error, match=message) as e:
            ArrayDataset(*args)
        assert isinstance(e.value, jt.JITrenchError)


def test_numbers_of_examples(T):
    for x in (np.arange(3), T([0, 1, 2])):
        d = ArrayDataset(x)
        for i in (3, -4):
            with pytest.raises(BoundsError, match=rf"ArrayDataset\[{i}\]: there are 3 examples"):
                d[i]
        with pytest.raises(BoundsError, match="indices go from 0 to 3; there are 3 examples"):
            d.take([0, 3])
        for i in (slice(2), [0], 1.0):
            with pytest.raises(DataError, match="an example's number is an int; several are taken by take"):
                d[i]


def test_base_class_says_what_is_missing():
    with pytest.raises(NotImplementedError, match="Dataset has no length"):
        len(Dataset())
    with pytest.raises(NotImplementedError, match="Dataset has no examples"):
        Dataset()[0]


def test_map(T):
    d = Squares(4).map(lambda e: {"n": e[0], "half": e[1] / 2})
    assert (len(d), d[3]) == (4, {"n": 3, "half": 4.5})
    batch = d.take([1, 2])
    assert (batch["n"].tolist(), batch["half"].tolist()) == ([1, 2], [0.5, 2.0])
    calls = []

    def double(x):
        calls.append(x.shape)
        return x * 2

    whole = MapDataset(ArrayDataset(T([1, 2, 3])), double, batched=True)
    assert whole.take([0, 2]).tolist() == [2, 6]
    assert whole[1].item() == 4
    assert calls == [(2,), (1,)]
    with pytest.raises(DataError, match="f must be a function of an example; got int"):
        MapDataset(whole, 3)


def test_concat(T):
    a, b, c = (ArrayDataset({"x": T(v)}) for v in ([0, 1], [2], [3, 4, 5]))
    d = a + b + c
    assert type(d) is ConcatDataset
    assert len(d) == 6
    assert [e["x"].item() for e in d] == list(range(6))
    assert d[-1]["x"].item() == 5
    for indices in ([5, 0, 2, 1, 5], [0, 1], range(6), [-1, 0]):
        assert d.take(indices)["x"].tolist() == [i % 6 for i in indices]
    mixed = ConcatDataset(ArrayDataset(np.arange(2)), [10, 11])
    assert mixed.take([3, 0, 2]).tolist() == [11, 0, 10]
    with pytest.raises(BoundsError, match=r"ConcatDataset\[6\]: there are 6"):
        d.take([6])
    with pytest.raises(ShapeError, match=r"examples have different shapes: \(\), \(2,\)"):
        ConcatDataset(ArrayDataset(np.ones(1)), ArrayDataset(np.ones((1, 2)))).take([0, 1])
    with pytest.raises(DataError, match="batches 0 and 1 differ in structure: one value and \\(x\\)"):
        ConcatDataset(ArrayDataset(np.ones(1)), a).take([0, 1])
    with pytest.raises(DataError, match="ConcatDataset\\(\\) needs data sets"):
        ConcatDataset()


def test_subset(T):
    d = ArrayDataset(T([0, 10, 20, 30]))
    for indices in ([3, 0, -1], np.array([3, 0, 3]), T([3, 0, 3]), (3, 0, 3)):
        s = Subset(d, indices)
        assert (len(s), s.take(range(3)).tolist(), s[1].item()) == (3, [30, 0, 30], 0)
    assert Subset(d, np.array([True, False, False, True])).take([1, 0]).tolist() == [30, 0]
    assert Subset(d, range(1, 3)).take([0, 1]).tolist() == [10, 20]
    assert len(Subset(d, [])) == 0
    assert Subset(Subset(d, [1, 2, 3]), [2, 0]).take(range(2)).tolist() == [30, 10]
    with pytest.raises(BoundsError, match="indices go from 0 to 4; there are 4"):
        Subset(d, [0, 4])
    with pytest.raises(ShapeError, match="the mask has 2 elements; there are 4"):
        Subset(d, [True, False])
    with pytest.raises(DataError, match="expected a vector of ints or booleans; got shape \\(1,\\), dtype float64"):
        Subset(d, [1.0])


def test_random_split(backend):
    parts = random_split(numbers(10), [7, 3], seed=3)
    found = [p.take(range(len(p))).tolist() for p in parts]
    assert [len(f) for f in found] == [7, 3]
    assert sorted(found[0] + found[1]) == list(range(10))
    assert found[0] + found[1] == jt.random.Generator(3, device=backend).permutation(10).tolist()  # on every backend
    assert [len(p) for p in random_split(numbers(10), [0.33, 0.33, 0.34])] == [4, 3, 3]
    assert [len(p) for p in random_split(numbers(10), [0.7, 0.2, 0.1])] == [7, 2, 1]
    assert [len(p) for p in random_split(numbers(3), [3, 0])] == [3, 0]
    for lengths, message in [
        ([5, 4], "the lengths add up to 9; expected ints that add up to 10"),
        ([0.5, 0.6], "the fractions add up to 1.1"),
        ([11, -1], "a length is negative"),
        ([], "must be a list of numbers"),
        ("ab", "must be a list of numbers"),
        ([True, 9], "must be a list of numbers"),
    ]:
        with pytest.raises(DataError, match=message):
            random_split(numbers(10), lengths)


# -- collate ----------------------------------------------------------------------------------------------------------


def test_collate(T, backend):
    batch = collate(
        [{"a": (T([1.0]), np.float32(2)), "s": "x", "n": None}, {"a": (T([3.0]), np.float32(4)), "s": "y", "n": None}]
    )
    assert batch["a"][0].tolist() == [[1.0], [3.0]]
    assert batch["a"][0].device == jt.device(backend)
    assert batch["a"][1].dtype == jt.float32
    assert (batch["s"], batch["n"]) == (["x", "y"], None)
    for kind in (Pair, Example):
        made = collate([kind(1, np.ones(2)), kind(2, np.zeros(2))])
        assert type(made) is kind
        assert (made.x.tolist(), made.y.tolist()) == ([1, 2], [[1.0, 1.0], [0.0, 0.0]])
    assert [collate(v).dtype.name for v in ([True], [1], [1, 2.5], [1j])] == ["bool", "int64", "float64", "complex128"]


def test_collate_says_what_does_not_fit():
    for examples, error, message in [
        ([], DataError, "at least one example"),
        ([{"x": np.ones(2)}, {"x": np.ones(3)}], ShapeError, r"examples' 'x' have different shapes: \(2,\), \(3,\); pad them"),
        ([(1, 2), (1,)], DataError, r"examples 0 and 1 differ in structure: \(0, 1\) and \(0\)"),
        ([{"a": 1}, {"b": 1}], DataError, r"\(a\) and \(b\)"),
        ([1, (1,)], DataError, r"one value and \(0\)"),
        ([1, "a"], DataError, "examples hold int, str; expected Tensors, arrays, numbers or strings, all alike"),
        ([object()], DataError, "examples hold object; .* give a collate="),
    ]:  # fmt: skip
        with pytest.raises(error, match=message):
            collate(examples)


# -- the loader -------------------------------------------------------------------------------------------------------


def test_batches_in_order(T, backend):
    x, y = T([[float(i)] for i in range(7)]), T(list(range(7)))
    loader = DataLoader(ArrayDataset(x, y), 3)
    batches = list(loader)
    assert len(loader) == len(batches) == 3
    assert [b[1].tolist() for b in batches] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [b[0].shape for b in batches] == [(3, 1), (3, 1), (1, 1)]
    assert batches[0][0].device == jt.device(backend)
    assert len(DataLoader(y, 3, drop_last=True)) == 2
    assert lists(DataLoader(y, 3, drop_last=True)) == [[0, 1, 2], [3, 4, 5]]
    assert lists(DataLoader(y, 100)) == [list(range(7))]


def test_arrays_go_to_the_device(backend):
    (x, name), *_ = DataLoader([(np.ones(2, "float32"), "a")] * 3, 2, device=backend)
    assert (x.device, x.dtype, x.shape, name) == (jt.device(backend), jt.float32, (2, 2), ["a", "a"])
    assert next(iter(DataLoader(np.ones(2), device=backend))).device == jt.device(backend)
    x = jt.ones(2)  # a Tensor elsewhere is moved, and stays where it is without device=
    assert next(iter(DataLoader(x, device=backend))).device == jt.device(backend)
    assert next(iter(DataLoader(x))).device == x.device


def test_shuffling(backend):
    def orders(seed, epochs=3, **options):
        loader = DataLoader(numbers(20), 6, shuffle=True, seed=seed, device=backend, **options)
        return [lists(loader) for _ in range(epochs)]

    a = orders(5)
    assert all(sorted(flat(epoch)) == list(range(20)) for epoch in a)
    assert a[0] != a[1] != a[2] != a[0]
    assert orders(5) == a
    assert orders(5, prefetch=3) == a
    assert orders(6) != a
    assert orders(2**127 + 5) != a
    assert orders(None) != orders(None)
    g = jt.random.Generator(1)
    assert orders(g) != orders(g)
    assert orders(jt.random.Generator(1)) == orders(jt.random.Generator(1))
    for epoch, batches in enumerate(a):
        words = np.random.Philox(key=5, counter=[0, 0, 0, epoch + 1]).random_raw(20)
        assert flat(batches) == np.argsort(words, kind="stable").tolist()


def test_a_loader_s_seed_is_not_its_generator_s_stream():
    order = flat(lists(DataLoader(numbers(50), 7, shuffle=True, seed=0)))
    assert order != jt.random.Generator(0).permutation(50).tolist()


def test_batches_are_constants(T):
    w = T(2.0, requires_grad=True)
    for prefetch in (0, 1):
        loader = DataLoader(ArrayDataset(T([1.0, 2.0])).map(lambda x: x * w), 2, prefetch=prefetch)
        assert not next(iter(loader)).requires_grad
    assert (w * 2).requires_grad  # outside it is recorded as ever


def test_an_array_dataset_is_not_read_one_by_one(monkeypatch):
    monkeypatch.setattr(ArrayDataset, "__getitem__", None)
    d = ArrayDataset(np.arange(8))
    assert len(list(DataLoader(Subset(d, range(6)), 4, shuffle=True))) == 2
    assert len(list(DataLoader(d + d, 4, shuffle=True))) == 4


def test_collate_and_transform(T):
    seen = []

    def pad(examples):
        seen.append(examples)
        width = max(len(e) for e in examples)
        return {"x": np.array([[*e, *[0] * (width - len(e))] for e in examples]), "n": [len(e) for e in examples]}

    loader = DataLoader([[1], [1, 2], [3]], 2, collate=pad, transform=lambda b: {**b, "x": b["x"] * 10})
    a, b = loader
    assert (a["x"].tolist(), a["n"], b["x"].tolist()) == ([[10, 0], [10, 20]], [1, 2], [[30]])
    assert seen == [[[1], [1, 2]], [[3]]]


def test_each_batch_draws_from_a_generator_of_its_own(backend):
    def noisy(x, generator):
        return x + generator.uniform(x.shape)

    def run(prefetch):
        loader = DataLoader(np.zeros(6), 2, transform=noisy, seed=4, prefetch=prefetch, device=backend)
        return [[b.tolist() for b in loader] for _ in range(2)]

    a = run(0)
    assert a == run(2)
    assert len({v for epoch in a for v in flat(epoch)}) == 12
    calls = []
    list(DataLoader(np.zeros(2), transform=lambda x, **options: calls.append(options)))
    assert [list(c) for c in calls] == [["generator"]] * 2
    list(DataLoader(np.zeros(2), transform=jt.tanh))


def test_bad_arguments():
    for dataset, options, message in [
        (numbers(3), {"batch_size": 0}, "batch_size must be an int, 1 or above; got 0"),
        (numbers(3), {"batch_size": -2}, "got -2"),
        (numbers(3), {"batch_size": 2.0}, "got 2.0"),
        (numbers(3), {"batch_size": True}, "got True"),
        (numbers(3), {"prefetch": -1}, "prefetch must be an int, 0 or above; got -1"),
        (numbers(3), {"shuffle": "yes"}, "shuffle must be True or False; got 'yes'"),
        (numbers(3), {"drop_last": 1}, "drop_last must be True or False; got 1"),
        (numbers(3), {"collate": 3}, "collate must be a function of a batch; got int"),
        (numbers(3), {"transform": "flip"}, "transform must be a function of a batch; got str"),
        (numbers(0), {}, "the data set is empty"),
        ([], {}, "the data set is empty"),
        (numbers(3), {"batch_size": 4, "drop_last": True}, "no batch is left: there are 3 examples, batch_size is 4, and drop_last=True"),
        ((np.ones(3), np.ones(3)), {}, r"a tuple is no data set; where it holds arrays, make one: ArrayDataset\(\*arrays\)"),
        ({"x": np.ones(3)}, {}, r"a dict is no data set; .* ArrayDataset\(arrays\)"),
        ("abc", {}, "a data set has __len__ and __getitem__, .* got str"),
        (iter([1]), {}, "got list_iterator"),
        (3, {}, "got int"),
    ]:  # fmt: skip
        with pytest.raises(DataError, match=message):
            DataLoader(dataset, **options)
    with pytest.raises(jt.random.RandomError, match="out of range"):
        DataLoader(numbers(3), seed=-1)


def test_repr():
    loader = DataLoader(numbers(5), 2)
    next(iter(loader))
    assert repr(loader) == "DataLoader(ArrayDataset of 5, batch_size=2, shuffle=False, epoch=0, position=1 of 3)"


# -- resuming ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefetch", [0, 1, 4])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_restored_loader_yields_what_was_left(prefetch, shuffle):
    def make(prefetch):
        noisy = lambda x, generator: x * 1000 + generator.integers(0, 1000, x.shape)  # noqa: E731
        return DataLoader(numbers(11), 3, shuffle, seed=9, transform=noisy, prefetch=prefetch)

    whole = make(0)
    epochs = [lists(whole) for _ in range(4)]
    for cut in range(12):
        first, taken = make(prefetch), []
        stream = (b for _ in range(4) for b in first)
        for _ in range(cut):
            taken.append(next(stream).tolist())
        state = first.state_dict()
        second = make(4 - prefetch)
        second.load_state_dict(state)
        assert (second.epoch, second.position) == (first.epoch, first.position)
        rest = [lists(second) for _ in range(4 - second.epoch)]
        assert taken + flat(rest) == flat(epochs)
        del stream


def test_position_within_an_epoch():
    loader = DataLoader(numbers(4), 2)
    assert loader.state_dict() == {
        "epoch": 0, "position": 0, "seed": 0, "length": 4, "batch_size": 2, "shuffle": False, "drop_last": False,
    }  # fmt: skip
    at = [(loader.epoch, loader.position) for _ in loader]
    assert at == [(0, 1), (0, 2)]
    assert (loader.epoch, loader.position) == (1, 0)  # the end was met
    for _ in loader:
        state = loader.state_dict()  # after the last batch, before the end: nothing is left of this epoch
    loader.load_state_dict(state)
    assert lists(loader) == []
    assert (loader.epoch, loader.position) == (2, 0)
    assert len(lists(loader)) == 2


def test_the_state_goes_through_a_file(tmp_path):
    loader = DataLoader(numbers(9), 2, shuffle=True, seed=None)
    batches = iter(loader)
    next(batches)
    nn.save_checkpoint(loader.state_dict(), tmp_path / "state")
    other = DataLoader(numbers(9), 2, shuffle=True, seed=1)
    other.load_state_dict(nn.load_checkpoint(tmp_path / "state"))
    assert other.seed == loader.seed
    assert lists(other) == lists(batches)


def test_a_state_that_does_not_fit():
    loader = DataLoader(numbers(9), 2)
    state = loader.state_dict()
    for other, message in [
        (
            DataLoader(numbers(8), 2),
            "the state is of another loader: length was 9 and is 8; its position means nothing",
        ),
        (DataLoader(numbers(9), 3, True), "batch_size was 2 and is 3, shuffle was False and is True"),
    ]:
        with pytest.raises(DataError, match=message):
            other.load_state_dict(state)
    for bad, message in [
        ({}, "expected what state_dict\\(\\) returns, .*; got \\[\\]"),
        (None, "got NoneType"),
        ({**state, "more": 1}, "got .*'more'"),
        ({**state, "position": 6}, "position is 6; expected an int from 0 to 5"),
        ({**state, "epoch": -1}, "epoch is -1"),
        ({**state, "seed": "a"}, "seed is 'a'"),
    ]:
        with pytest.raises(DataError, match=message):
            loader.load_state_dict(bad)
    assert loader.state_dict() == state


def test_several_iterators():
    loader = DataLoader(numbers(6), 2, shuffle=True)
    epochs = [lists(DataLoaderAt(loader, e)) for e in range(4)]
    a, b = iter(loader), iter(loader)  # each an epoch of its own
    mixed = [(next(a).tolist(), next(b).tolist()) for _ in range(3)]
    assert [x for x, _ in mixed] == epochs[0]
    assert [y for _, y in mixed] == epochs[1]
    assert (loader.epoch, loader.position) == (1, 3)  # those of the one begun last
    assert next(a, None) is None
    assert (loader.epoch, loader.position) == (1, 3)
    assert next(b, None) is None
    assert (loader.epoch, loader.position) == (2, 0)
    next(iter(loader))
    assert lists(loader) == epochs[3]  # one that was left early is over
    assert next(b, None) is None  # and an end stays one


def DataLoaderAt(loader: DataLoader, epoch: int) -> DataLoader:
    other = DataLoader(loader.dataset, loader.batch_size, loader.shuffle, seed=loader.seed)
    other.load_state_dict({**other.state_dict(), "epoch": epoch})
    return other


# -- the thread -------------------------------------------------------------------------------------------------------


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "DataLoader"]


class Broken(Dataset):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, i: int) -> int:
        if i == 5:
            raise KeyError("example five")
        return i


@pytest.mark.parametrize("prefetch", [0, 1, 3, 100])
def test_exceptions_reach_the_loop_in_their_place(prefetch):
    loader = DataLoader(Broken(), 2, prefetch=prefetch)
    got = []
    batches = iter(loader)
    with pytest.raises(KeyError, match="example five") as e:
        got.extend(batch.tolist() for batch in batches)
    assert got == [[0, 1], [2, 3]]
    assert "__getitem__" in [f.name for f in traceback.extract_tb(e.value.__traceback__)]
    assert loader.position == 2
    assert next(batches, None) is None
    assert not threads()


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_interruption_ends_the_pass_and_not_the_epoch(prefetch):
    def interrupt(x):
        if x == 2:
            raise KeyboardInterrupt
        return x

    loader = DataLoader(numbers(6).map(interrupt), prefetch=prefetch)
    batches = iter(loader)
    assert [next(batches).item(), next(batches).item()] == [0, 1]
    with pytest.raises(KeyboardInterrupt):
        next(batches)
    assert next(batches, None) is None
    assert (loader.epoch, loader.position) == (0, 2)
    assert not threads()


def test_stop_iteration_in_a_data_set_is_an_error():
    for prefetch in (0, 2):
        with pytest.raises(RuntimeError, match="StopIteration"):
            list(DataLoader(numbers(3).map(lambda x: next(iter([]))), prefetch=prefetch))


@pytest.mark.parametrize("prefetch", [1, 3])
def test_a_few_batches_are_prepared_and_no_more(prefetch):
    d = Squares(40)
    made = threading.Semaphore(0)

    def count(batch):
        made.release()
        return batch

    batches = iter(DataLoader(d, 2, prefetch=prefetch, transform=count))
    for taken in range(4):
        for _ in range(prefetch if taken == 0 else 1):
            assert made.acquire(timeout=10)
        assert not made.acquire(timeout=0.02)
        assert len(d.fetched) == 2 * (taken + prefetch)
        next(batches)


def test_the_thread_ends_with_the_loop():
    loader = DataLoader(Squares(1000), 2, prefetch=2)
    for _ in loader:
        assert len(threads()) == 1
        break
    assert not threads()
    with pytest.raises(ZeroDivisionError):
        [1 / 0 for _ in loader]
    gc.collect()  # the traceback held the iterator
    assert not threads()
    batches = iter(loader)
    next(batches)
    del batches
    assert not threads()
    unused = iter(loader)
    assert len(threads()) == 1
    del unused
    assert not threads()
    assert sum(1 for _ in loader) == 500
    assert not threads()
    cycle = [iter(loader)]
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert not threads()


def test_several_threads_at_once():
    loader = DataLoader(numbers(60), 2, shuffle=True, prefetch=2)
    pairs = list(zip(loader, loader, strict=True))
    assert len(pairs) == 30
    assert sorted(flat(a.tolist() for a, _ in pairs)) == list(range(60))
    assert not threads()


@pytest.mark.parametrize("end", ["", "raise SystemExit(0)", "import sys; sys.exit()"])
def test_a_program_ends_with_an_iterator_in_hand(end):
    program = f"""
        import jitrench_nn as nn
        import numpy as np
        batches = iter(nn.data.DataLoader(np.arange(100000), 1, prefetch=5))
        next(batches)
        print("here", flush=True)
        {end}
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "here\n", "")


def test_the_surroundings_go_along():
    from contextvars import ContextVar

    variable: ContextVar[int] = ContextVar("variable", default=0)
    variable.set(7)
    seen = [x.item() for x in DataLoader(numbers(2).map(lambda x: variable.get()), prefetch=1)]
    assert seen == [7, 7]


# -- what a helper process, a fork, or a careless index does ------------------------------------------------------------


@pytest.mark.parametrize(
    "indices", [[True, False, True], [0.7, 1.9], np.arange(4.0), np.arange(4) > 1, 3, [[1, 2], [3, 4]]]
)
@pytest.mark.parametrize(
    "make",
    [
        ArrayDataset,
        lambda x: Subset(x, range(4)),
        lambda x: ConcatDataset(x, x),
        lambda x: MapDataset(x, abs),
        lambda x: MapDataset(x, abs, batched=True),
    ],
)
def test_take_refuses_what_are_no_numbers_of_examples(make, indices):
    with pytest.raises(
        DataError, match=r"take\(indices\): expected a vector of ints; got shape .*Subset\(dataset, mask\)"
    ):
        make(np.arange(4.0)).take(indices)


def test_take_takes_ints_of_any_kind(backend):
    examples = ArrayDataset(jt.arange(4, device=backend))
    for indices in ([1, -1], (1, 3), np.array([1, 3], np.uint8), jt.tensor([1, 3], device=backend), range(1, 4, 2)):
        assert examples.take(indices).tolist() == [1, 3]
    assert examples.take([]).shape == (0,)


def test_an_example_is_no_view_of_the_array():
    x = np.zeros((3, 2))
    example = ArrayDataset(x)[1]
    example += 1
    assert (x == 0).all()


def test_data_sets_and_loaders_are_pickled(backend):
    x = jt.arange(10, device=backend)
    loader = DataLoader(ArrayDataset({"x": x, "y": (x * 2, x * 3)}), 3, True, seed=1, prefetch=2)
    next(batches := iter(loader))
    other = pickle.loads(pickle.dumps(loader))
    assert other.state_dict() == loader.state_dict()
    other.load_state_dict(loader.state_dict())
    rest = [[part.tolist() for part in (b["x"], *b["y"])] for b in other]
    assert rest == [[part.tolist() for part in (b["x"], *b["y"])] for b in batches]


def test_concat_joins_strings():
    first, second = [{"n": "a", "x": 1.0}, {"n": "b", "x": 2.0}], [{"n": "c", "x": 3.0}]
    batch = ConcatDataset(first, second).take([2, 0, 1])
    assert (batch["n"], batch["x"].tolist()) == (["c", "a", "b"], [3.0, 1.0, 2.0])
    assert ConcatDataset(["a", "b"], ["c"]).take([0, 2]) == ["a", "c"]


def test_fractions_that_are_nan():
    with pytest.raises(DataError, match="a length is negative, or NaN; expected"):
        random_split(np.arange(4), [float("nan"), 0.5])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_pass_in_a_forked_child_says_why_it_cannot_go_on():
    """It waited for the parent's thread for ever."""
    program = """
        import os, signal, time, warnings
        import numpy as np
        from jitrench_nn.data import DataError, DataLoader
        warnings.simplefilter("ignore")  # that threads and forks do not mix
        loader = DataLoader(np.arange(100), 1, prefetch=2)
        batches = iter(loader)
        next(batches)
        time.sleep(0.2)  # the thread waits for a slot
        child = os.fork()
        if not child:
            signal.alarm(20)
            try:
                list(batches)
            except DataError as e:
                print(e, len(list(loader)), flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(len(list(batches)))
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60)
    assert "this pass was begun before the process forked" in run.stdout, run.stderr
    assert run.stdout.split()[-2:] == ["100", "99"], run.stderr


def test_two_threads_that_share_a_pass_both_end():
    batches = iter(DataLoader(np.arange(40), 1, prefetch=2))
    found: list[int] = []

    def work() -> None:
        found.extend(b.item() for b in batches)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert sorted(found) == list(range(40))


# -- draws from the default generator -----------------------------------------------------------------------------------


def jitter(x):
    return x + jt.random.normal(x.shape).to(x.device)


def jittered(where, prefetch, x):
    data, options = ArrayDataset(x), {}
    if where == "map":
        data = data.map(jitter)
    elif where == "collate":
        options["collate"] = lambda examples: jitter(collate(examples))
    else:
        options["transform"] = jitter
    return DataLoader(data, 4, shuffle=True, seed=3, prefetch=prefetch, **options)


@pytest.mark.parametrize("where", ["map", "collate", "transform"])
def test_draws_of_a_batch_are_its_own(where, T):
    """They race with nobody, move no other stream, differ by batch and epoch, and come back after a resume."""
    x = T([[0.0]] * 10)
    found = []
    for prefetch in (0, 3):
        jt.random.seed(prefetch)
        before = str(jt.random.default_generator().state())
        loader = jittered(where, prefetch, x)
        found.append([b.tolist() for _ in range(2) for b in loader])
        assert str(jt.random.default_generator().state()) == before
    assert found[0] == found[1]
    assert len({row[0] for b in found[0] for row in b}) == 20
    loader = jittered(where, 2, x)
    batches = iter(loader)
    next(batches)
    other = jittered(where, 0, x)
    other.load_state_dict(loader.state_dict())
    assert [b.tolist() for b in other] == found[0][1:3]


@pytest.mark.parametrize(
    "restart",
    [
        lambda: jt.random.seed(5),
        lambda: jt.random.default_generator().load_state(jt.random.Generator(5).state()),
    ],
)
def test_a_seed_in_a_transform_ends_with_its_batch(restart):
    def drawn(resets):
        count = []

        def transform(x):
            before = jt.random.uniform((2,)).tolist()
            count.append(before)
            if resets and len(count) == 2:
                restart()
            return before

        return [*DataLoader(ArrayDataset(jt.zeros(8)), 2, transform=transform)]

    assert drawn(True) == drawn(False)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_items_that_are_batches(prefetch, T):
    items = [(T([[1.0]] * n), T([float(n)])) for n in (3, 1, 2)]
    loader = DataLoader(items, batch_size=None, prefetch=prefetch, transform=lambda batch: (*batch, "seen"))
    assert (len(loader), "batch_size=None" in repr(loader)) == (3, True)
    assert [(x.shape, y.tolist(), z) for x, y, z in loader] == [((n, 1), [float(n)], "seen") for n in (3, 1, 2)]
    loader = DataLoader(items, None, shuffle=True, seed=1, prefetch=prefetch)
    found = [len(x) for _ in range(4) for x, _ in loader]
    assert all(sorted(found[i : i + 3]) == [1, 2, 3] for i in range(0, 12, 3))
    assert found != found[:3] * 4
    batches = iter(loader)
    first = len(next(batches)[0])
    other = DataLoader(items, None, shuffle=True)
    other.load_state_dict(loader.state_dict())
    assert first + sum(len(x) for x, _ in other) == 6
    for options in ({"collate": collate}, {"drop_last": True}):
        with pytest.raises(DataError, match="with batch_size=None the items are batches, so leave out"):
            DataLoader(items, None, **options)


def test_both_streams_of_a_batch_differ():
    def both(x, *, generator):
        return jt.stack([generator.uniform((4,)), jt.random.uniform((4,))])

    loader = DataLoader(ArrayDataset(jt.zeros(8)), 2, transform=both)
    drawn = [row for b in loader for row in b.tolist()]
    order = jt.random.Generator(0).uniform((4,)).tolist()
    assert len({number for row in [*drawn, order] for number in row}) == 36


def test_a_pass_that_is_closed_ends_its_thread():
    loader = DataLoader(ArrayDataset(jt.arange(9)), 1, prefetch=2)
    batches = iter(loader)
    next(batches)
    batches.close()
    assert not [t for t in threading.enumerate() if t.name == "DataLoader"]
    assert list(batches) == []
    assert [b.tolist() for b in loader] == [[i] for i in range(9)]  # the next epoch
    iter(DataLoader(ArrayDataset(jt.arange(9)))).close()


def test_integers_of_numpy_are_ints():
    loader = DataLoader(ArrayDataset(jt.arange(9)), np.int64(3), prefetch=np.uint8(1))
    assert (type(loader.batch_size), type(loader.prefetch), len(loader)) == (int, int, 3)
    with pytest.raises(DataError, match="batch_size must be an int"):
        DataLoader(ArrayDataset(jt.arange(9)), np.True_)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_workers": 2}, r"DataLoader\(\) has no argument 'num_workers'\. Here: prefetch=n"),
        ({"batchsize": 2}, r"no argument 'batchsize'\. Did you mean 'batch_size'"),
        ({"xyz": 2}, r"no argument 'xyz'\. It has batch_size, collate, .*transform"),
    ],
)
def test_an_argument_of_another_name_is_explained(options, message):
    with pytest.raises(TypeError, match=message) as caught:
        DataLoader(ArrayDataset(jt.arange(9)), **options)
    assert isinstance(caught.value, jt.JITrenchError)
