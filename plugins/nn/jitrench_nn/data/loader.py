"""``DataLoader``: batches of a data set, shuffled by seed, prepared ahead in a thread, and resumed where they were left."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextvars import copy_context
from numbers import Integral
from queue import SimpleQueue
from threading import Event, Semaphore, Thread, current_thread
from typing import Any

import jitrench_core as jt
from jitrench_core.transforms import tree as trees

from ..arguments import named
from .datasets import DataError, check_dataset, take

# A thread that is told to stop finishes the batch it is at; one that hangs in a data set is left behind after so many seconds.
_PATIENCE = 5.0


class DataLoader:
    """Iterates over a data set in batches: nested containers of Tensors, which are constants.

    ``dataset`` is anything with ``__len__`` and ``__getitem__``; with ``batch_size=None`` each of its items is a batch already. ``collate`` makes a batch of a list of examples (None: ``nn.data.collate``, or
    the data set's own ``take``, which does not go example by example). ``transform`` is called on each batch; where it has a parameter
    ``generator`` it gets one of its own, so that augmentations come back, too, after a resume. What draws from the default generator of
    ``jt.random`` while a batch is made (data set, ``collate``, ``transform``) draws from one of the loader's seed, the epoch and the batch's number: the
    same with and without ``prefetch``. ``device`` is where batches go (None: Tensors stay, arrays go to the default device). ``prefetch=n``
    prepares up to n batches ahead in a thread; its exceptions are raised in the loop, and it ends with it.

    An ``iter(loader)`` is one pass, an epoch. With ``shuffle`` each epoch has another order, that of a Generator of ``seed`` (an int, a
    Generator to draw one from, None for a random one) and the epoch's number: the same on every backend. ``state_dict()`` says which epoch it
    is and how many of its batches were yielded; after ``load_state_dict()`` the next pass yields the remaining ones, exactly.

    Each ``iter()`` begins an epoch of its own, also where the last one was left early. Several may run at the same time; epoch, position and
    state are those of the one that was begun last.

    Raises ``DataError`` for a batch size that is no int above 0, a data set that is empty or none, or fewer examples than one batch
    with ``drop_last``.

    >>> import jitrench_core as jt
    >>> import jitrench_nn as nn
    >>> loader = nn.data.DataLoader(nn.data.ArrayDataset(jt.arange(7)), batch_size=3, shuffle=True, seed=1)
    >>> len(loader), [batch.tolist() for batch in loader]
    (3, [[4, 0, 5], [6, 2, 3], [1]])
    >>> [batch.tolist() for batch in loader]
    [[5, 4, 6], [0, 2, 3], [1]]
    """

    @named("DataLoader()")
    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool = False,
        *,
        seed: int | jt.random.Generator | None = 0,
        drop_last: bool = False,
        collate: Callable[[list[Any]], Any] | None = None,
        transform: Callable[..., Any] | None = None,
        prefetch: int = 0,
        device: Any = None,
    ) -> None:
        self.dataset = check_dataset(dataset, "DataLoader(dataset, batch_size)")
        self.batch_size = None if batch_size is None else _int("batch_size", batch_size, 1)
        self.prefetch = _int("prefetch", prefetch, 0)
        self.shuffle, self.drop_last = _flag("shuffle", shuffle), _flag("drop_last", drop_last)
        for name, f in (("collate", collate), ("transform", transform)):
            if f is not None and not callable(f):
                raise DataError(f"DataLoader(): {name} must be a function of a batch; got {type(f).__name__}")
        if batch_size is None and (collate is not None or drop_last):
            raise DataError(
                "DataLoader(): with batch_size=None the items are batches, so leave out collate and drop_last"
            )
        self.collate, self.transform = collate, transform
        self.device = None if device is None else jt.device(device)
        if isinstance(seed, jt.random.Generator):
            low, high = seed.bits(2).tolist()
            seed = int(low | high << 64)
        # None takes its 128 bits here, once, so that the state can be saved.
        words = jt.random.Generator(seed).state()["key"].tolist()
        self.seed: int = words[0] | words[1] << 64
        n = len(self.dataset)
        if n == 0:
            raise DataError("DataLoader(): the data set is empty")
        if not len(self):
            raise DataError(
                f"DataLoader(): no batch is left: there are {n} examples, batch_size is {self.batch_size}, and drop_last=True"
            )
        self._epoch, self._position = 0, 0
        self._run: object = None  # the iterator begun last in this epoch

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        n, size = len(self.dataset), self.batch_size or 1
        return n // size if self.drop_last else -(-n // size)

    def __repr__(self) -> str:
        return (
            f"DataLoader({type(self.dataset).__name__} of {len(self.dataset)}, batch_size={self.batch_size}, shuffle={self.shuffle}, "
            f"epoch={self._epoch}, position={self._position} of {len(self)})"
        )

    @property
    def epoch(self) -> int:
        """The number of the epoch that runs, or else comes next, from 0."""
        return self._epoch

    @property
    def position(self) -> int:
        """How many batches of this epoch were yielded."""
        return self._position

    def __iter__(self) -> Iterator[Any]:
        if self._run is not None:  # begun, and not to its end
            self._epoch, self._position = self._epoch + 1, 0
        self._run = object()
        return _Pass(self, self._run)

    # -- state --------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration is: plain numbers. What a thread prepared and nobody took does not count."""
        return {"epoch": self._epoch, "position": self._position, "seed": self.seed, **self._fixed()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state_dict()`` was called: the next pass yields what was left of that epoch, which may be nothing.

        Raises ``DataError`` for a state of another data set's length, batch size, shuffle or drop_last; nothing is changed then.
        """
        expected = {"epoch", "position", "seed", *self._fixed()}
        if not isinstance(state, Mapping) or state.keys() != expected:
            got = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
            raise DataError(f"load_state_dict(): expected what state_dict() returns, {sorted(expected)}; got {got}")
        differ = [f"{k} was {state[k]} and is {v}" for k, v in self._fixed().items() if state[k] != v]
        if differ:
            raise DataError(
                f"load_state_dict(): the state is of another loader: {', '.join(differ)}; its position means nothing here"
            )
        for name, most in (("epoch", 2**64 - 2), ("position", len(self)), ("seed", 2**128 - 1)):
            value = state[name]
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
                raise DataError(f"load_state_dict(): {name} is {value!r}; expected an int from 0 to {most}")
        self._epoch, self._position, self.seed = state["epoch"], state["position"], state["seed"]
        self._run = None

    def _fixed(self) -> dict[str, Any]:
        """What a position depends on."""
        return {
            "length": len(self.dataset),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
        }

    def _yielded(self, run: object, position: int) -> None:
        if run is self._run:
            self._position = position

    def _ended(self, run: object) -> None:
        if run is self._run:
            self._epoch, self._position, self._run = self._epoch + 1, 0, None

    # -- batches ------------------------------------------------------------------------------------------------------

    def _batches(self, epoch: int, position: int) -> Iterator[Any]:
        """The batches of an epoch from ``position`` on. It refers to nothing that the thread must not keep alive."""
        n, size = len(self.dataset), self.batch_size or 1
        if self.shuffle and position < len(self):
            order: Any = _generator(self.seed, epoch, 0, None).permutation(n).numpy()
        else:
            order = range(n)
        takes_generator = self.transform is not None and has_generator(self.transform)
        default = jt.random.Generator(self.seed)
        key, counter = default.state().values()
        own = key.detach()
        for i in range(position, len(self)):
            with jt.no_grad(), jt.random.using(default):
                # A transform may have called jt.random.seed(). The 1 keeps it apart from the stream that a transform gets as generator=; a new Generator would take 40 us.
                jt.assign(key, own)
                jt.assign(counter, jt.tensor([0, 1, i + 1, epoch + 1], dtype="uint64", device=default.device))
                batch = self._batch(order[i * size : (i + 1) * size], epoch, i, takes_generator)
            yield batch

    def _batch(self, indices: Any, epoch: int, i: int, takes_generator: bool) -> Any:
        if self.batch_size is None:
            batch = self.dataset[int(indices[0])]
        elif self.collate is None:
            batch = take(self.dataset, indices)
        else:
            batch = self.collate([self.dataset[int(k)] for k in indices])
        leaves, rebuild = trees.flatten(batch)
        batch = rebuild([self._tensor(x) for x in leaves])
        if self.transform is None:
            return batch
        if not takes_generator:
            return self.transform(batch)
        device = next((x.device for x in trees.flatten(batch)[0] if type(x) is jt.Tensor), self.device)
        return self.transform(batch, generator=_generator(self.seed, epoch, i + 1, device))

    def _tensor(self, x: Any) -> Any:
        if type(x) is jt.Tensor:
            return x if self.device is None or x.device == self.device else x.to(self.device)
        return jt.asarray(x, device=self.device) if hasattr(x, "shape") else x


def _generator(seed: int, epoch: int, place: int, device: Any) -> jt.random.Generator:
    """The stream of one use in one epoch. The counter's upper words tell them apart, so none meets another, or ``Generator(seed)``'s."""
    generator = jt.random.Generator(seed, device=device)
    counter = jt.tensor([0, 0, place, epoch + 1], dtype="uint64", device=device)
    generator.load_state({"key": jt.tensor(generator.state()["key"]), "counter": counter})
    return generator


def has_generator(f: Callable[..., Any]) -> bool:
    """Whether a function takes ``generator=``."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):  # some built-ins have none
        return False
    return any(p.name == "generator" or p.kind is p.VAR_KEYWORD for p in parameters)


def _int(name: str, value: Any, least: int) -> int:
    """An int, also of an integer of NumPy."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise DataError(f"DataLoader(): {name} must be an int, {least} or above; got {value!r}")
    return int(value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise DataError(f"DataLoader(): {name} must be True or False; got {value!r}")
    return value


# -- a pass -----------------------------------------------------------------------------------------------------------


class _Pass:
    """One iteration over a loader. The thread knows nothing of it, so that it dies with its last name, and the thread after it."""

    def __init__(self, loader: DataLoader, run: object) -> None:
        self._loader, self._run = loader, run
        self._position = loader._position
        source = loader._batches(loader._epoch, self._position)
        ahead = loader.prefetch
        self._source: Iterator[Any] | None = _Ahead(source, ahead) if ahead else source

    def __iter__(self) -> _Pass:
        return self

    def __next__(self) -> Any:
        source = self._source
        if source is None:
            raise StopIteration
        try:
            batch = next(source)
        except StopIteration:
            self._source = None
            self._loader._ended(self._run)
            raise
        except BaseException:  # it ends the pass, and not the epoch
            self._source = None
            raise
        self._position += 1
        self._loader._yielded(self._run, self._position)
        return batch

    def close(self) -> None:
        """End the pass here, and its thread."""
        source, self._source = self._source, None
        if source is not None:
            source.close()  # type: ignore[attr-defined]


class _Ahead:
    """An iterator whose items a thread prepares, ``n`` at most before they are asked for."""

    def __init__(self, source: Iterator[Any], n: int) -> None:
        self._items: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._slots, stop = Semaphore(n), Event()
        arguments = (source, self._items, self._slots, stop)
        thread = Thread(target=copy_context().run, args=(_prepare, *arguments), name="DataLoader", daemon=True)
        self._thread = thread
        # runs when the loop is left, however that is, and before the interpreter ends
        self._close = weakref.finalize(self, _stop, thread, self._slots, stop)
        thread.start()

    def __next__(self) -> Any:
        if not self._close.alive:
            raise StopIteration
        if not self._thread.is_alive() and self._items.empty():  # os.fork() copies no threads
            raise DataError(
                "DataLoader: this pass was begun before the process forked, and its thread is in the parent; begin one here, iter(loader)"
            )
        kind, item = self._items.get()
        if kind == "item":
            self._slots.release()
            return item
        self._items.put(("end", None))  # for another thread that waits for this pass, too
        self._close()
        try:
            raise StopIteration if kind == "end" else item
        finally:
            item = None  # its traceback holds this frame

    def __iter__(self) -> _Ahead:
        return self

    def close(self) -> None:
        self._close()


def _prepare(source: Iterator[Any], items: SimpleQueue[tuple[str, Any]], slots: Semaphore, stop: Event) -> None:
    """What the thread runs."""
    try:
        while True:
            slots.acquire()
            if stop.is_set():
                return
            item = next(source, items)  # the queue itself marks the end
            if item is items:
                items.put(("end", None))
                return
            items.put(("item", item))
            del item
    except BaseException as e:
        items.put(("error", e))


def _stop(thread: Thread, slots: Semaphore, stop: Event) -> None:
    stop.set()
    slots.release()
    if thread is not current_thread():  # the garbage collector may run in it
        thread.join(_PATIENCE)
