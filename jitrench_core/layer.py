"""``Layer``: a part of a network that owns parameters, whose shapes follow from its input.

A layer declares a parameter where it uses it, by ``self.parameter(name, shape, init)``. Where the tensor comes from is
decided by the ``Scope`` that is open: one with a generator makes what is missing, one without only reads its tree.
``jitrench_nn.init`` and ``jitrench_nn.apply`` open one each, so that a plain function that calls layers is a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, Token
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, final

from .backend import active
from .errors import DTypeError, JITrenchError, NotFoundError, ShapeError, suggest
from .ops.creation import tensor
from .tensor import Tensor
from .transforms.checkpointing import surroundings

if TYPE_CHECKING:
    from .random import Generator

# Parameters by name, and the trees of the layers inside: {"Linear_1": {"weight": Tensor, "bias": Tensor}}.
Tree: TypeAlias = dict[str, Any]
Initializer: TypeAlias = Callable[["Generator", tuple[int, ...], Any], Tensor]


class LayerError(JITrenchError, RuntimeError):
    """A layer that is made or called wrongly, runs where it has no parameters, or has some that belong to another model."""


class Layer:
    """The base class of layers. A subclass writes ``forward``, and declares each parameter where it uses it.

    A parameter is a leaf Tensor that the layer owns. All mutable state of a layer is Tensors: its parameters, and
    those declared with ``trainable=False``, which are written by ``jitrench_core.tensor.assign`` only. ``name`` is the
    layer's key among the parameters; without it, that is the attribute that holds the layer in a layer around it, else
    the class's name and a number, ``"Linear_1"``. A layer called twice uses the same parameters twice.

    >>> import jitrench_core as jt
    >>> class Scale(jt.Layer):
    ...     def forward(self, x):
    ...         return x * self.parameter("scale", x.shape[-1:], lambda generator, shape, dtype: jt.ones(shape, dtype=dtype))
    >>> with Scope({"Scale_1": {"scale": jt.tensor([2.0, 3.0])}}):
    ...     Scale()(jt.tensor([1.0, 1.0]))
    Tensor([2., 3.])
    """

    name: str | None = None

    def __init__(self, *, name: str | None = None) -> None:
        if name is not None:
            self.name = name

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the layer computes."""
        raise NotImplementedError(f"layer {type(self).__name__} has no forward: write def forward(self, x)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        frame = _frame.get()
        if frame is None:
            try:
                return self.forward(*args, **kwargs)
            except AttributeError as e:
                explain_input(e, args, self.label)
                raise
        inner = frame.inner(self, args)
        token = _frame.set(inner)
        try:
            return inner.bind().forward(*args, **kwargs)
        except AttributeError as e:
            explain_input(e, args, inner.path)
            raise
        finally:
            _frame.reset(token)

    def parameter(self, name: str, shape: tuple[int, ...], init: Initializer, *, trainable: bool = True) -> Tensor:
        """The layer's tensor ``name``, of ``shape``; ``init(generator, shape, dtype)`` makes its first value.

        Call it in ``forward``. ``trainable=False`` is for state that no gradient reaches, such as running statistics.
        Raises ``LayerError`` outside a ``Scope``, ``NotFoundError`` for a parameter that is missing, ``ShapeError``
        where it has another shape, and ``DTypeError`` where a floating-point input of the layer has another dtype.
        """
        frame = _frame.get()
        if frame is None or frame.runs is not self:
            found: Any = self._held(name, frame)
            inputs: tuple[Any, ...] = ()
        else:
            frame.used.add(name)
            found = frame.tree.get(name)
            inputs = frame.inputs
            if found is None and frame.scope.generator is not None:
                found = frame.tree[name] = frame.make(name, tuple(shape), init, trainable)
        if type(found) is not Tensor or found.data.shape != shape:
            self._check(found, name, tuple(shape), frame)
        for x in inputs:
            if type(x) is Tensor and x.data.dtype is not found.data.dtype:
                _check_dtype(x, found, self.label)
        return found  # type: ignore[no-any-return]

    @property
    def label(self) -> str:
        """How errors name this layer: its path among the parameters while it runs, else its class."""
        frame = _frame.get()
        return frame.path if frame is not None and frame.runs is self else self.name or type(self).__name__

    def state(self) -> Tree:
        """The Tensors that this object itself holds as attributes, and those of the layers it holds, as a tree.

        A functional model's state is the tree that ``jitrench_nn.init`` returns.
        """
        tree: Tree = {}
        for key, value in vars(self).items():
            if type(value) is Tensor:
                tree[key] = value
            elif isinstance(value, Layer) and (inner := value.state()):
                tree[key] = inner
        return tree

    def _held(self, name: str, frame: _Frame | None) -> Any:
        """A tensor held as an attribute; a layer that has none cannot run here."""
        found = vars(self).get(name)
        if found is None and frame is not None:
            raise LayerError(
                f"{self.label}: call the layer itself, not its forward(), so that its parameters are found"
            )
        if found is None:
            raise LayerError(
                f"{self.label} has no parameters here: a model made of functions runs by nn.init(model, (None, 3)), which "
                f"makes its parameters, and nn.apply(model, params, x); do not call model(x) directly"
            )
        return found

    def _check(self, found: Any, name: str, shape: tuple[int, ...], frame: _Frame | None) -> None:
        """Why ``found`` cannot be the parameter."""
        if found is None:
            keys = list(frame.tree) if frame is not None else []
            raise NotFoundError(
                f"{self.label} needs a parameter {name!r} of shape {shape}, which params lack; "
                + (
                    f"under {self.label!r} they hold {', '.join(map(repr, keys))}.{suggest(name, keys)}"
                    if keys or frame is None
                    else frame.siblings()
                )
            )
        if type(found) is not Tensor:
            raise LayerError(f"{self.label}: the parameter {name!r} is a {type(found).__name__}; expected a Tensor")
        if found.shape != shape:
            came = ", ".join(str(x.shape) for x in frame.inputs if type(x) is Tensor) if frame is not None else ""
            raise ShapeError(
                f"{self.label}: expected {name!r} of shape {shape}{f' for an input of shape {came}' if came else ''}, got "
                f"{found.shape}: pass an input like the one the parameters were made for, or make them anew by nn.init"
            )


def explain_input(e: AttributeError, inputs: tuple[Any, ...], who: str) -> None:
    """Raise ``LayerError`` where ``e`` says that an input lacks what Tensors have, because it is none."""
    for i, x in enumerate(inputs):
        if e.obj is x and type(x) is not Tensor and hasattr(Tensor, e.name or ""):
            given = f"{x!r:.60}" if isinstance(x, (bool, int, float, list, tuple)) else "..."
            raise LayerError(
                f"{who}: input {i} is a {type(x).__name__}; expected a Tensor or an array: convert it, jt.tensor({given})"
            ) from e


def _check_dtype(x: Tensor, p: Tensor, label: str) -> None:
    if x.dtype.kind == "f" and p.dtype.kind == "f" and x.dtype != p.dtype:
        raise DTypeError(
            f"{label} has {p.dtype} parameters and got a {x.dtype} input of shape {x.shape}: convert the data, "
            f"x.astype(jt.{p.dtype}), or make the parameters from a {x.dtype} example"
        )


@final
class Scope:
    """``with Scope(tree):`` is where the layers called inside find their tensors.

    With a ``generator``, what the tree lacks is made, as ``dtype`` and on ``device``; without one the tree is only read, and
    ``LayerError`` names what no layer asked for. Where nothing is in ``tree`` yet, its keys come in the order of use.
    """

    __slots__ = ("device", "dtype", "generator", "seen", "tree", "_levels", "_root", "_token")

    def __init__(
        self, tree: Mapping[str, Any], *, generator: Generator | None = None, dtype: Any = None, device: Any = None
    ) -> None:
        self.tree: Any = tree
        self.generator = generator
        self.dtype = dtype
        self.device = device
        # The first frame of each layer. By id: a layer need not be hashable; its frame holds it, so that no id comes twice.
        self.seen: dict[int, _Frame] = {}

    def __enter__(self) -> Scope:
        self._levels = active.get()
        self._root = _Frame(self, None, None, "", self.tree, set(), ())
        self._token: Token[Any] = _frame.set(self._root)
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        _frame.reset(self._token)
        frames = [self._root, *self.seen.values()]
        self.seen.clear()
        if self.generator is not None:
            _prune(self.tree)
        elif kind is None:
            unused = [(f, key) for f in frames if len(f.used) != len(f.tree) for key in f.tree if key not in f.used]
            if unused:
                names = ", ".join(repr(f"{f.path}.{key}" if f.path else key) for f, key in unused)
                raise LayerError(
                    f"params hold {names}, which no layer of the model asked for: they belong to another model, or this "
                    f"call left out layers, which gives the later ones other names (a name=... stays)"
                )


@final
class _Frame:
    """One layer while it runs: its tree, what of it was asked for, and the names that the layers inside it have got."""

    __slots__ = ("counts", "inputs", "key", "layer", "parent", "runs", "scope", "taken", "tree", "used")

    def __init__(
        self, scope: Scope, layer: Any, parent: Any, key: str, tree: Any, used: set[str], inputs: tuple[Any, ...]
    ) -> None:
        self.scope = scope
        self.layer = layer
        self.runs = layer
        self.parent = parent
        self.key = key
        self.tree = tree
        self.used = used
        self.inputs = inputs
        self.counts: dict[str, int] = {}
        self.taken: set[str] = set()

    @property
    def path(self) -> str:
        """The keys that lead to this tree, with dots."""
        return f"{self.parent.path}.{self.key}" if self.parent is not None and self.parent.key else self.key

    def inner(self, layer: Layer, inputs: tuple[Any, ...]) -> _Frame:
        """The frame of a layer that is called in this one; the second call of one layer finds the first one's tree."""
        scope = self.scope
        first = scope.seen.get(id(layer))
        if first is not None:
            return _Frame(scope, layer, first.parent, first.key, first.tree, first.used, inputs)
        key = self.name_of(layer)
        tree = self.tree.get(key)
        if tree is not None:
            self.used.add(key)
        if type(tree) is not dict:
            tree = self.subtree(key, tree)
        frame = scope.seen[id(layer)] = _Frame(scope, layer, self, key, tree, set(), inputs)
        return frame

    def subtree(self, key: str, tree: Any) -> Any:
        """The tree of a layer that has none yet, or one that is no plain dict."""
        if tree is None:
            tree = {}
            if self.scope.generator is not None:
                self.tree[key] = tree
        if not isinstance(tree, Mapping):
            raise LayerError(
                f"params[{key!r}] is a {type(tree).__name__}; expected a dict with the parameters of {key}"
            )
        return tree

    def bind(self) -> Layer:
        """The layer to run: one that holds Tensors as attributes runs as a copy that has the tree's in their places."""
        layer: Layer = self.layer
        for value in layer.__dict__.values():
            if type(value) is Tensor:
                return self.bound(layer)
        return layer

    def bound(self, layer: Layer) -> Layer:
        """A copy of ``layer`` that holds the tree's tensors."""
        copied = self.runs = object.__new__(type(layer))
        for name, value in vars(layer).items():
            if type(value) is Tensor:
                same = partial(_given, value)
                value = copied.parameter(name, value.shape, same, trainable=value.requires_grad)
            vars(copied)[name] = value
        return copied

    def name_of(self, layer: Layer) -> str:
        """The layer's key in this frame's tree."""
        key = layer.name
        if key is None and self.layer is not None:
            for attribute, value in self.layer.__dict__.items():
                if value is layer:
                    key = attribute
        if key is None:
            kind = type(layer).__name__
            n = self.counts[kind] = self.counts.get(kind, 0) + 1
            key = f"{kind}_{n}"
        if key in self.taken or not key or "." in key:
            where = f" inside {self.path}" if self.path else ""
            raise LayerError(
                f"two layers{where} have the name {key!r}: give each its own, or call one layer twice to share it"
                if key in self.taken
                else f"a layer's name must be a word without dots; got {key!r}"
            )
        self.taken.add(key)
        return key

    def make(self, name: str, shape: tuple[int, ...], init: Initializer, trainable: bool) -> Tensor:
        """A new parameter; what the initializer returned must have the shape asked for."""
        scope = self.scope
        # Inside a vmap or jvp of the model's own, parameters still belong to where the scope was opened.
        token = active.set(scope._levels)
        try:
            value: Any = init(scope.generator, shape, scope.dtype)  # type: ignore[arg-type]
            what = f"shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
            if what != f"shape {shape}":
                raise LayerError(
                    f"{self.path}: the initializer of {name!r} returned {what}; expected a Tensor of shape {shape}"
                )
            label = f"{self.path}.{name}" if trainable else None
            return tensor(value, device=scope.device, requires_grad=trainable, name=label)
        finally:
            active.reset(token)

    def siblings(self) -> str:
        """What the whole tree holds, for an error about a layer that it lacks."""
        if not self.scope.tree:
            return "they are empty: make them by nn.init(model, (None, 3))"
        return f"they hold no {self.path!r}, only {', '.join(map(repr, self.scope.tree))}"


def _given(value: Tensor, *_: Any) -> Tensor:
    """The initializer of a parameter that exists."""
    return value


def _prune(tree: Any) -> None:
    """Drop the entries of layers without parameters."""
    for key, value in list(tree.items()):
        if isinstance(value, dict):
            _prune(value)
            if not value:
                del tree[key]


_frame: ContextVar[_Frame | None] = ContextVar("frame", default=None)


def _surroundings() -> Callable[[], AbstractContextManager[Any]]:
    """For ``checkpoint``: layers that a function calls have the same names and parameters when it runs again."""
    frame = _frame.get()
    if frame is None:
        return nullcontext
    counts, taken, seen = dict(frame.counts), set(frame.taken), dict(frame.scope.seen)

    @contextmanager
    def again() -> Iterator[None]:
        now = copy(frame)
        now.scope = copy(frame.scope)
        now.counts, now.taken, now.scope.seen = dict(counts), set(taken), dict(seen)
        token = _frame.set(now)
        try:
            yield
        finally:
            _frame.reset(token)

    return again


surroundings.append(_surroundings)
