"""Data sets: anything with a length and items by number; these take whole batches at once where they can."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import index
from typing import Any

import jitrench_core as jt
from jitrench_core import BoundsError, JITrenchError, ShapeError
from jitrench_core.transforms import tree as trees

_NUMBERS = "biufc"  # NumPy's kinds that Tensors can hold


class DataError(JITrenchError, ValueError):
    """A data set, a loader, a transform or a data file that is used, or made, in a way that cannot work."""


class Dataset:
    """The base class of data sets: a subclass writes ``__len__`` and ``__getitem__``, which takes an int.

    An example is an array, a number, or a nested container of these. ``DataLoader`` also takes any other object with these
    two methods, such as a list. A subclass that can fetch many examples at once overrides ``take``.

    >>> import jitrench_nn as nn
    >>> class Squares(nn.data.Dataset):
    ...     def __len__(self):
    ...         return 5
    ...     def __getitem__(self, i):
    ...         return {"n": i, "square": float(i**2)}
    >>> Squares().take([1, 3])
    {'n': Tensor([1, 3]), 'square': Tensor([1., 9.])}
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} has no length: write def __len__(self)")

    def __getitem__(self, i: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no examples: write def __getitem__(self, i)")

    def take(self, indices: Sequence[int]) -> Any:
        """The batch of these examples, by default each fetched and all collated. ``indices``: ints, a NumPy array or a range.

        Raises ``DataError`` for a mask or floats, which are no numbers of examples.
        """
        return collate([self[int(i)] for i in numbers(indices)])

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __add__(self, other: Any) -> ConcatDataset:
        return ConcatDataset(self, other)

    def map(self, f: Callable[[Any], Any], *, batched: bool = False) -> MapDataset:
        """``MapDataset(self, f)``: the data set of ``f(example)``."""
        return MapDataset(self, f, batched=batched)

    def _index(self, i: Any) -> int:
        """A number of an example, counted from the start."""
        n = len(self)
        try:
            k = index(i)
        except TypeError:
            raise DataError(
                f"{type(self).__name__}[{i!r}]: an example's number is an int; several are taken by take([...])"
            ) from None
        if not -n <= k < n:
            raise BoundsError(f"{type(self).__name__}[{k}]: there are {n} examples")
        return k % n


class ArrayDataset(Dataset):
    """Examples along the first axis of arrays: NumPy's, Tensors, or what NumPy makes arrays of.

    ``ArrayDataset(x, y)`` has the examples ``(x[i], y[i])``; one argument alone, which may be a nested container of arrays, gives
    its own structure back: ``ArrayDataset({"image": images, "label": labels})[i]`` is a dict, ``ArrayDataset(x)[i]`` is ``x[i]``. A
    batch is one index operation an array. Nothing is copied when it is made; Tensors are taken as constants.

    Raises ``ShapeError`` where the lengths differ, or an array has no axis, and ``DataError`` for what is no array of numbers.

    >>> import jitrench_core as jt
    >>> import jitrench_nn as nn
    >>> nn.data.ArrayDataset(jt.arange(4), jt.arange(4) * 10).take([3, 1])
    (Tensor([3, 1]), Tensor([30, 10]))
    """

    def __init__(self, *arrays: Any) -> None:
        if not arrays:
            raise DataError("ArrayDataset() needs arrays: ArrayDataset(x, y)")
        tree = arrays[0] if len(arrays) == 1 else arrays
        leaves, self._rebuild = trees.flatten(tree)
        names = [f"array {name!r}" if name else "the array" for name in trees.names(tree)]
        if not leaves:
            raise DataError(f"ArrayDataset() needs arrays; got {tree!r:.60}, which holds none")
        self._arrays = [_array(x, name) for x, name in zip(leaves, names, strict=True)]
        lengths = [x.shape[0] for x in self._arrays]
        if len(set(lengths)) > 1:
            told = ", ".join(f"{name} has {n}" for name, n in zip(names, lengths, strict=True))
            raise ShapeError(f"ArrayDataset(): the lengths of the first axis differ: {told}")
        self._length: int = lengths[0]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, i: int) -> Any:
        i = self._index(i)
        return self._rebuild([x[i] if type(x) is jt.Tensor else x[i].copy() for x in self._arrays])

    def take(self, indices: Sequence[int]) -> Any:
        indices = numbers(indices)
        return self._rebuild([rows(x, indices) for x in self._arrays])

    # `_rebuild` is a closure, which pickle refuses, and so would a process that is spawned.
    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_arrays": self._rebuild(self._arrays), "_rebuild": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._arrays, self._rebuild = trees.flatten(state["_arrays"])


def _array(x: Any, name: str) -> Any:
    """A NumPy array of numbers, or a Tensor that is a constant."""
    found: Any
    if type(x) is jt.Tensor:
        found = x.detach()
    elif hasattr(x, "__array_namespace__") and type(x).__module__.partition(".")[0] != "numpy":
        found = jt.asarray(x)
    elif hasattr(x, "__array__"):
        import numpy as np

        found = np.asarray(x)
        if found.dtype.kind not in _NUMBERS:
            raise DataError(f"ArrayDataset(): {name} has dtype {found.dtype}; expected numbers, so encode it")
    else:
        raise DataError(
            f"ArrayDataset(): {name} is of type {type(x).__name__}; expected an array or a Tensor (of a list make one, jt.tensor([...]))"
        )
    if not found.shape:
        raise ShapeError(f"ArrayDataset(): {name} has no axis along which examples could lie: its shape is ()")
    return found


def numbers(indices: Any) -> Any:
    """What ``take`` is given: a range, or a vector of int64. A mask or floats, read as ints, would be other examples."""
    if isinstance(indices, range):
        return indices
    import numpy as np

    found = np.asarray(indices.numpy() if type(indices) is jt.Tensor else indices)
    if found.shape == (0,):
        found = found.astype(np.int64)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise DataError(
            f"take(indices): expected a vector of ints; got shape {found.shape}, dtype {found.dtype}. What a mask picks is "
            f"Subset(dataset, mask)"
        )
    return found.astype(np.int64, copy=False)


def rows(x: Any, indices: Any) -> Any:
    """Rows of a NumPy array or a Tensor by their ``numbers``; never a view of it."""
    if isinstance(indices, range) and indices.step == 1 and 0 <= indices.start <= indices.stop <= x.shape[0]:
        part = x[indices.start : indices.stop]
        return part if type(x) is jt.Tensor else part.copy()
    import numpy as np

    where = np.asarray(indices)
    n = x.shape[0]
    if where.size and not (-n <= where.min() and where.max() < n):
        raise BoundsError(f"take(): the indices go from {where.min()} to {where.max()}; there are {n} examples")
    if type(x) is not jt.Tensor:
        return x.take(where, axis=0)
    return jt.take(x, jt.asarray(where % n if n else where, device=x.device), axis=0)


class MapDataset(Dataset):
    """The data set of ``f(example)``; ``f`` is called whenever an example is fetched.

    With ``batched=True``, ``f`` takes and returns a whole batch: a container of arrays whose first axis is that of examples.

    >>> import jitrench_core as jt
    >>> import jitrench_nn as nn
    >>> doubled = nn.data.ArrayDataset(jt.arange(4)).map(lambda x: x * 2, batched=True)
    >>> doubled[3], doubled.take([0, 1])
    (Tensor(6), Tensor([0, 2]))
    """

    def __init__(self, dataset: Any, f: Callable[[Any], Any], *, batched: bool = False) -> None:
        self._dataset = check_dataset(dataset, "MapDataset(dataset, f)")
        if not callable(f):
            raise DataError(f"MapDataset(dataset, f): f must be a function of an example; got {type(f).__name__}")
        self._f, self._batched = f, batched

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, i: int) -> Any:
        i = self._index(i)
        if not self._batched:
            return self._f(self._dataset[i])
        leaves, rebuild = trees.flatten(self.take([i]))
        return rebuild([x[0] for x in leaves])

    def take(self, indices: Sequence[int]) -> Any:
        return self._f(take(self._dataset, indices)) if self._batched else super().take(indices)


class ConcatDataset(Dataset):
    """Data sets one after the other, also written ``a + b``.

    A batch out of several of them is joined leaf by leaf, so their examples need the same structure and shapes.
    """

    def __init__(self, *datasets: Any) -> None:
        if not datasets:
            raise DataError("ConcatDataset() needs data sets: ConcatDataset(a, b)")
        self._datasets = [check_dataset(d, "ConcatDataset(a, b)") for d in datasets]
        self._ends: list[int] = []
        for d in self._datasets:
            self._ends.append(len(d) + (self._ends[-1] if self._ends else 0))

    def __len__(self) -> int:
        return self._ends[-1]

    def _place(self, i: int) -> tuple[int, int]:
        """The data set that holds example i, and its number there."""
        from bisect import bisect_right

        k = bisect_right(self._ends, i)
        return k, i - (self._ends[k - 1] if k else 0)

    def __getitem__(self, i: int) -> Any:
        k, i = self._place(self._index(i))
        return self._datasets[k][i]

    def take(self, indices: Sequence[int]) -> Any:
        places = [self._place(self._index(i)) for i in numbers(indices)]
        used = sorted({k for k, _ in places})
        if len(used) == 1:
            return take(self._datasets[used[0]], [i for _, i in places])
        where = {k: [n for n, (owner, _) in enumerate(places) if owner == k] for k in used}
        parts = [take(self._datasets[k], [places[n][1] for n in where[k]]) for k in used]
        if not all(hasattr(x, "shape") for part in parts for x in trees.flatten(part)[0]):  # strings, in lists
            return collate([self._datasets[k][i] for k, i in places])
        order = sorted(range(len(places)), key=[n for k in used for n in where[k]].__getitem__)
        return _joined(parts, order)


def _joined(batches: list[Any], order: list[int]) -> Any:
    """One batch of several, its examples in another order."""
    if not batches:
        raise DataError("take() needs at least one index")
    names = _same_structure(batches, "batches")
    columns, rebuild = _columns(batches)
    joined = []
    for name, column in zip(names, columns, strict=True):
        shapes = {tuple(x.shape[1:]) for x in column}
        if len(shapes) > 1:
            raise ShapeError(f"ConcatDataset: examples{_of(name)} have different shapes: {_listed(shapes)}")
        tensors = [x if type(x) is jt.Tensor else jt.asarray(x) for x in column]
        joined.append(rows(jt.concat(tensors), order))
    return rebuild(joined)


class Subset(Dataset):
    """The examples of a data set whose numbers ``indices`` holds, in that order; or that a mask of booleans picks.

    Raises ``BoundsError`` for a number that is out of range, ``ShapeError`` for a mask of another length.
    """

    def __init__(self, dataset: Any, indices: Any) -> None:
        import numpy as np

        self._dataset = check_dataset(dataset, "Subset(dataset, indices)")
        n = len(self._dataset)
        host = indices.numpy() if type(indices) is jt.Tensor else indices
        found = np.asarray(list(host) if isinstance(host, range) or not hasattr(host, "shape") else host)
        if found.size == 0:
            found = found.astype(np.int64)
        if found.ndim != 1 or found.dtype.kind not in "iub":
            raise DataError(
                f"Subset(dataset, indices): expected a vector of ints or booleans; got shape {found.shape}, dtype {found.dtype}"
            )
        if found.dtype.kind == "b":
            if len(found) != n:
                raise ShapeError(f"Subset(): the mask has {len(found)} elements; there are {n} examples")
            found = np.flatnonzero(found)
        if found.size and not (-n <= found.min() and found.max() < n):
            raise BoundsError(f"Subset(): the indices go from {found.min()} to {found.max()}; there are {n} examples")
        self._indices = found.astype(np.int64) % max(n, 1)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, i: int) -> Any:
        return self._dataset[int(self._indices[self._index(i)])]

    def take(self, indices: Sequence[int]) -> Any:
        return take(self._dataset, rows(self._indices, numbers(indices)))


def random_split(dataset: Any, lengths: Sequence[int | float], *, seed: int | None = 0) -> list[Subset]:
    """Split a data set at random into parts without overlap: of these lengths, or of these fractions of the whole.

    Fractions add up to 1; each part gets the whole examples of its share, and what is left goes to the first ones, one each. One
    ``seed`` gives the same parts on every backend.

    Raises ``DataError`` for lengths that do not add up to the data set's.

    >>> import jitrench_core as jt
    >>> import jitrench_nn as nn
    >>> [len(part) for part in nn.data.random_split(nn.data.ArrayDataset(jt.arange(10)), [0.75, 0.25])]
    [8, 2]
    """
    check_dataset(dataset, "random_split(dataset, lengths)")
    n = len(dataset)
    counts = _counts(lengths, n)
    order = jt.random.Generator(seed).permutation(n).numpy()
    parts, start = [], 0
    for count in counts:
        parts.append(Subset(dataset, order[start : start + count]))
        start += count
    return parts


def _counts(lengths: Sequence[int | float], n: int) -> list[int]:
    def fail(why: str) -> DataError:
        return DataError(
            f"random_split(dataset, lengths): {why}; expected ints that add up to {n}, or fractions that add up to 1; got {lengths!r}"
        )

    given: list[Any] = list(lengths) if isinstance(lengths, (list, tuple)) else [lengths]
    if not given or any(isinstance(x, bool) or not isinstance(x, (int, float)) for x in given):
        raise fail("lengths must be a list of numbers")
    if not all(x >= 0 for x in given):
        raise fail("a length is negative, or NaN")
    if all(isinstance(x, int) for x in given):
        if sum(given) != n:
            raise fail(f"the lengths add up to {sum(given)}")
        return [int(x) for x in given]
    if abs(sum(given) - 1) > 1e-9:
        raise fail(f"the fractions add up to {sum(given)}")
    counts = [int(x * n + 1e-9) for x in given]
    for i in range(n - sum(counts)):
        counts[i % len(counts)] += 1
    return counts


# -- batches ----------------------------------------------------------------------------------------------------------


def check_dataset(dataset: Any, who: str) -> Any:
    """The data set; arrays become one, and what is none is an error that says what to write."""
    if isinstance(dataset, Dataset):
        return dataset
    if type(dataset) is jt.Tensor or hasattr(dataset, "__array__") or hasattr(dataset, "__array_namespace__"):
        return ArrayDataset(dataset)
    if isinstance(dataset, (tuple, dict)):
        stars = "*" if type(dataset) is tuple else ""
        raise DataError(
            f"{who}: a {type(dataset).__name__} is no data set; where it holds arrays, make one: ArrayDataset({stars}arrays)"
        )
    if isinstance(dataset, (str, bytes, set)) or not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise DataError(
            f"{who}: a data set has __len__ and __getitem__, such as ArrayDataset(x, y) or a list of examples; got {type(dataset).__name__}"
        )
    return dataset


def take(dataset: Any, indices: Sequence[int]) -> Any:
    """The batch of these examples, by the data set's own ``take`` where it has one."""
    if hasattr(dataset, "take"):
        return dataset.take(indices)
    return collate([dataset[int(i)] for i in indices])


def collate(examples: Sequence[Any]) -> Any:
    """One batch of a list of examples: their structure, with each leaf stacked along a new first axis.

    Tensors, arrays and numbers become Tensors; strings, a list.

    Raises ``DataError`` where structures differ or a leaf is of another type, ``ShapeError`` where shapes differ.

    >>> import jitrench_nn as nn
    >>> nn.data.collate([{"x": (1.0, 2), "name": "a"}, {"x": (3.0, 4), "name": "b"}])
    {'x': (Tensor([1., 3.]), Tensor([2, 4])), 'name': ['a', 'b']}
    """
    if not examples:
        raise DataError("collate() needs at least one example")
    names = _same_structure(examples, "examples")
    columns, rebuild = _columns(examples)
    return rebuild([_stack(column, name) for column, name in zip(columns, names, strict=True)])


def _columns(examples: Sequence[Any]) -> tuple[list[tuple[Any, ...]], Callable[[list[Any]], Any]]:
    """The values of each leaf, example by example, and the first one's structure."""
    flat = [trees.flatten(e) for e in examples]
    return list(zip(*(leaves for leaves, _ in flat), strict=True)), flat[0][1]


def _same_structure(examples: Sequence[Any], what: str) -> list[str]:
    first = trees.names(examples[0])
    for i, e in enumerate(examples):
        names = trees.names(e)
        # dicts may hold their keys in another order, which would mix up the columns
        if names != first:
            raise DataError(
                f"{what} 0 and {i} differ in structure: {_kind(first)} and {_kind(names)}; give a collate= of your own, or make them alike"
            )
    return first


def _kind(names: list[str]) -> str:
    return "one value" if names == [""] else f"({', '.join(names)})"


def _stack(values: tuple[Any, ...], name: str) -> Any:
    first = values[0]
    if isinstance(first, (str, bytes)):
        return list(values)
    if all(isinstance(v, (bool, int, float, complex)) and not hasattr(v, "dtype") for v in values):
        return jt.tensor(list(values))
    if all(type(v) is jt.Tensor or hasattr(v, "dtype") for v in values):
        shapes = {tuple(v.shape) for v in values}
        if len(shapes) > 1:
            raise ShapeError(
                f"collate(): examples{_of(name)} have different shapes: {_listed(shapes)}; pad them, or give a collate= of your own"
            )
        if all(type(v).__module__.partition(".")[0] == "numpy" for v in values):
            import numpy as np

            return jt.asarray(np.stack(values))
        return jt.stack([jt.asarray(v) for v in values])
    kinds = sorted({type(v).__name__ for v in values})
    raise DataError(
        f"collate(): examples{_of(name)} hold {', '.join(kinds)}; expected Tensors, arrays, numbers or strings, all alike; else give a collate= of your own"
    )


def _of(name: str) -> str:
    return f"' {name!r}" if name else ""


def _listed(shapes: set[tuple[int, ...]]) -> str:
    return ", ".join(map(str, sorted(shapes)[:4]))
