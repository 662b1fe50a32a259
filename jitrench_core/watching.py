"""``Watcher``: sees each kernel that runs, and each layer, for the time of a ``with`` block.

Nothing of it is in the engine's way, nor in a layer's. While a block runs, ``KernelTable`` hands out wrapped kernels, and layers in
a scope run by a method that tells of them; at the end of the last block everything is as before. So the fast path is the same
code before, after and without.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any, cast

from . import backend as backends
from .backend import owner
from .graph import no_grad
from .tensor import Tensor

if TYPE_CHECKING:
    from .layer import Layer
    from .op import Op

Wrap = Callable[["Op", Callable[..., Any]], Callable[..., Any]]

_wraps: list[Wrap] = []
_lock = RLock()


def add(wrap: Wrap) -> None:
    """From now on every kernel is linked as ``wrap(op, kernel)``. In all threads, and for everybody who is watching."""
    with _lock:
        _wraps.append(wrap)
        _link()


def remove(wrap: Wrap) -> None:
    """Undo one ``add``."""
    with _lock:
        _wraps.remove(wrap)
        _link()


def _link() -> None:
    """Make each op link its kernels and compile its rules anew."""
    wraps = tuple(_wraps)

    def wrapped(op: Op, kernel: Callable[..., Any]) -> Callable[..., Any]:
        for wrap in wraps:
            kernel = wrap(op, kernel)
        return kernel

    backends.watch = wrapped if wraps else None
    for op in list(backends.OPS):
        op._reset()


class Watcher:
    """``with`` a subclass of it, its methods are told what runs in the block; what they return is not looked at.

    It holds for the thread or task that entered it. Transforms are seen through: of a ``vmap`` come the kernels of the batch, of a
    ``checkpoint`` those of its function. A composite is seen as the ops that it is made of, but where a backend has a kernel for it;
    with ``expand`` there, too: it runs as its ops then, and all backends run the same.

    >>> import jitrench_core as jt
    >>> class Names(Watcher):
    ...     def op(self, op, arrays, attrs, result):
    ...         print(op.name, [a.shape for a in arrays])
    >>> with Names():
    ...     y = jt.sin(jt.tensor([1.0, 2.0])) @ jt.ones(2)
    sin [(2,)]
    matmul [(2,), (2,)]
    """

    expand = False
    _ran = 0  # kernels so far

    def op(self, op: Op, arrays: tuple[Any, ...], attrs: dict[str, Any], result: Any) -> None:
        """A kernel of ``op`` has run on a backend's ``arrays``, and returned ``result`` (with its aux results, a tuple)."""

    def enter(self, layer: Layer, path: str) -> None:
        """A layer begins; ``path`` is where its parameters are, ``"blocks.0.attention"``. Only layers in a ``Scope`` are told."""

    def leave(self, layer: Layer, path: str, result: Any) -> None:
        """A layer has returned ``result``."""

    def __enter__(self) -> Any:
        from .layer import Layer

        _watchers.set((*_watchers.get(), self))
        with _lock:
            if not _own:
                _own.append(Layer._inside)
            Layer._inside = _inside  # type: ignore[method-assign]
            add(_watched)
        return self

    def __exit__(self, *exc: object) -> None:
        from .layer import Layer

        kept = list(_watchers.get())
        if self in kept:  # the last time it was entered, whatever was entered since
            del kept[-1 - kept[::-1].index(self)]
        _watchers.set(tuple(kept))
        with _lock:
            remove(_watched)
            if _watched not in _wraps:
                Layer._inside = _own[0]  # type: ignore[method-assign]


_watchers: ContextVar[tuple[Watcher, ...]] = ContextVar("watchers", default=())
_own: list[Any] = []  # the layers' own method, once a block has run


def _watched(op: Op, kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel, which tells of itself."""

    def run(*arrays: Any, **attrs: Any) -> Any:
        watchers = _watchers.get()
        if not watchers or any(_depth(a) for a in arrays):  # an interpreter's op is told by the ops in it
            return kernel(*arrays, **attrs)
        before = watchers[0]._ran
        expanded = op.composite and any(watcher.expand for watcher in watchers)
        result = _expanded(op, arrays, attrs) if expanded else kernel(*arrays, **attrs)
        if watchers[0]._ran == before and not expanded:  # else it is an op of ops, such as checkpoint's
            for watcher in watchers:
                watcher._ran += 1
                watcher.op(op, arrays, attrs, result)
        return result

    return run


def _expanded(op: Op, arrays: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
    """What a kernel of a composite returns, by its ops."""
    operands = [Tensor(a) if hasattr(a, "dtype") and hasattr(a, "shape") else a for a in arrays]
    with no_grad():
        result: Any = cast(Any, op.forward)(*operands, **attrs)
    return tuple(part.data for part in result) if isinstance(result, tuple) else result.data


def _depth(array: Any) -> int:
    return owner(type(array)).depth if hasattr(array, "dtype") and hasattr(array, "shape") else 0


def _inside(self: Layer, current: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``Layer._inside``, which tells of the layer."""
    run = partial(_own[0], self, current, args, kwargs)
    watchers = _watchers.get()
    if not watchers:
        return run()
    path = current.enter(self, args).place.path
    for watcher in watchers:
        watcher.enter(self, path)
    result = run()
    for watcher in watchers:
        watcher.leave(self, path, result)
    return result
