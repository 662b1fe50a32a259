"""``Scope``: where the layers that run inside it find their tensors, by name, in a tree of parameters.

A ``Place`` is a node of the tree, a ``Frame`` one run of a layer there. A layer in an attribute of the model has the names of
the attributes that lead to it, as in ``Layer.named_modules``; one that a function or a forward makes has its class's name
and a number, ``"Linear_1"``, counted in the order of use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, Token
from copy import copy
from typing import TYPE_CHECKING, Any, TypeAlias, final

from .backend import active
from .errors import JITrenchError
from .ops.creation import tensor
from .tensor import Tensor
from .transforms.checkpointing import made_once, surroundings

if TYPE_CHECKING:
    from .layer import Layer
    from .random import Generator

# Parameters by name, and the trees of the layers inside: {"Linear_1": {"weight": Tensor, "bias": Tensor}}.
Tree: TypeAlias = dict[str, Any]
Initializer: TypeAlias = Callable[["Generator", tuple[int, ...], Any], Tensor]


class LayerError(JITrenchError, RuntimeError):
    """A layer that is made or called wrongly, runs where it has no parameters, or has some that belong to another model."""


@final
class Scope:
    """``with Scope(tree):`` is where the layers called inside find their tensors.

    With a ``generator``, what the tree lacks is made, as ``dtype`` and on ``device``; without one the tree is only read, and
    ``LayerError`` names what no layer asked for. Where nothing is in ``tree`` yet, its keys come in the order of use.

    A ``model`` that is a layer owns the tree itself: ``{"weight": ...}`` are its own. ``train`` says whether layers train (None: each
    layer's own ``train()`` or ``eval()``), and ``rng`` is the generator of their random draws.
    ``levels`` are the transforms inside which parameters are made (None: those that are active where the block begins).
    """

    __slots__ = ("device", "dtype", "generator", "levels", "model", "places", "rng", "seen", "train", "tree", "_token")

    def __init__(
        self,
        tree: Mapping[str, Any],
        *,
        generator: Generator | None = None,
        dtype: Any = None,
        device: Any = None,
        model: Any = None,
        train: bool | None = False,
        rng: Generator | None = None,
        levels: tuple[Any, ...] | None = None,
    ) -> None:
        self.tree: Any = tree
        self.generator = generator
        self.dtype = dtype
        self.device = device
        self.model = model
        self.train = train
        self.rng = rng
        self.levels = levels
        # By id: a layer need not be hashable; it is held, so that no id comes twice.
        self.seen: dict[int, tuple[Layer, Place]] = {}
        self.places: list[Place] = []

    def __enter__(self) -> Scope:
        # Inside a vmap or jvp of the model's own, parameters still belong to where the scope was opened.
        if self.levels is None:
            self.levels = active.get()
        root = self.place(None, "", self.tree)
        if self.model is not None:
            self.seen[id(self.model)] = self.model, root
        self._token: Token[Any] = frame.set(Frame(self, root, None, (), None))
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        frame.reset(self._token)
        self.seen.clear()
        places, self.places = self.places, []
        for p in places:  # they hold each other, and with that the layers
            p.inside.clear()
        if self.generator is not None:
            _prune(self.tree)
        elif kind is None:
            unused = [(p, key) for p in places if len(p.used) != len(p.tree) for key in p.tree if key not in p.used]
            unused = [(p, key) for p, key in unused if not p.known(key)]  # a branch that this call did not take
            if unused:
                names = ", ".join(repr(f"{p.path}.{key}" if p.path else key) for p, key in unused)
                raise LayerError(
                    f"params hold {names}, which no layer of the model asked for: they belong to another model, or this "
                    f"call left out layers, which gives the later ones other names (a name=... stays)"
                )

    def place(self, parent: Place | None, key: str, tree: Any) -> Place:
        """A new place."""
        made = Place(parent, key, tree)
        self.places.append(made)
        return made

    def child(self, place: Place, key: str) -> Place:
        """The place at ``key`` in ``place``."""
        found = place.inside.get(key)
        if found is None:
            tree = place.tree.get(key)
            if tree is not None:
                place.used.add(key)
            if type(tree) is not dict:
                tree = self.subtree(place, key, tree)
            found = place.inside[key] = self.place(place, key, tree)
        return found

    def subtree(self, place: Place, key: str, tree: Any) -> Any:
        """The tree at a key that has none yet, or one that is no plain dict."""
        if tree is None:
            tree = {}
            if self.generator is not None:
                place.tree[key] = tree
        if not isinstance(tree, Mapping):
            raise LayerError(
                f"params[{key!r}] is a {type(tree).__name__}; expected a dict with the parameters of {key}"
            )
        return tree

    def make(self, place: Place, name: str, shape: tuple[int, ...], init: Initializer, trainable: bool) -> Tensor:
        """A new parameter; what the initializer returned must have the shape asked for."""
        assert self.generator is not None
        if not callable(init):
            raise LayerError(
                f"{place.label}: the initializer of {name!r} is a {type(init).__name__}; expected a function of (generator, shape, "
                f"dtype) that returns a Tensor"
            )
        once = made_once(self.generator) if self.train is None else nullcontext(self.generator)
        token = active.set(self.levels or ())
        try:
            with once as generator:
                value: Any = init(generator, shape, self.dtype)
            what = f"shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
            if not isinstance(value, Tensor) or value.shape != shape:
                raise LayerError(
                    f"{place.label}: the initializer of {name!r} returned {what}; expected a Tensor of shape {shape}"
                )
            label = (f"{place.path}.{name}" if place.path else name) if trainable else None
            return tensor(value, device=self.device, requires_grad=trainable, name=label)
        finally:
            active.reset(token)


@final
class Place:
    """A node of the tree: what it holds, what of that was asked for, and the places inside it."""

    __slots__ = ("inside", "key", "owner", "parent", "tree", "used")

    def __init__(self, parent: Place | None, key: str, tree: Any) -> None:
        self.parent = parent
        self.key = key
        self.tree = tree
        self.owner: Any = None
        self.used: set[str] = set()
        self.inside: dict[str, Place] = {}

    @property
    def path(self) -> str:
        """The keys that lead here, with dots."""
        return f"{self.parent.path}.{self.key}" if self.parent is not None and self.parent.key else self.key

    def known(self, key: str) -> bool:
        """Whether ``key`` is that of a tensor or a layer in the attributes of the layer here, or of one around it."""
        place: Place | None = self
        chain: tuple[str, ...] = (key,)
        while place is not None:
            if place.owner is not None and place.owner.owns(chain):
                return True
            chain = (place.key, *chain)
            place = place.parent
        return False

    @property
    def label(self) -> str:
        """How errors name the layer here."""
        return self.path or type(self.owner).__name__


@final
class Frame:
    """One run of a layer: where its tensors are, and the names that the layers called inside have got."""

    __slots__ = ("chains", "counts", "home", "inputs", "layer", "place", "scope", "taken")

    def __init__(
        self, scope: Scope, place: Place, layer: Layer | None, inputs: tuple[Any, ...], home: Frame | None
    ) -> None:
        self.scope = scope
        self.place = place
        self.layer = layer
        self.inputs = inputs
        # The outermost layer's frame, where this is not it: its attributes name every layer that it holds, at any depth.
        self.home = home
        self.chains: dict[int, tuple[str, ...]] | None = None
        self.counts: dict[str, int] = {}
        self.taken: set[str] = set()

    def enter(self, layer: Layer, inputs: tuple[Any, ...]) -> Frame:
        """The frame of a layer that is called in this one; a layer called again finds the tensors of its first call."""
        seen = self.scope.seen.get(id(layer))
        place = self.settle(layer) if seen is None else seen[1]
        place.owner = layer
        home = self if self.home is None and self.layer is not None else self.home
        return Frame(self.scope, place, layer, inputs, home)

    def settle(self, layer: Layer) -> Place:
        """The place of a layer that is met for the first time."""
        chain = self.chain(layer)
        if chain is None:
            place = self.scope.child(self.place, self.name_of(layer))
        else:
            place = (self.home or self).place
            for key in chain:
                place = self.scope.child(place, key)
        place.owner = layer
        self.scope.seen[id(layer)] = layer, place
        return place

    def chain(self, layer: Layer) -> tuple[str, ...] | None:
        """The attributes that lead from the outermost layer to ``layer``; None where none do."""
        home = self.home or self
        if home.layer is None:
            return None
        if home.chains is None:
            home.chains = {id(inner): chain for chain, inner in home.layer.walk()}
            twice = [c for c, n in Counter(home.chains.values()).items() if n > 1]
            if twice:
                raise taken_twice(".".join(twice[0]), self.place.path)
        return home.chains.get(id(layer))

    def name_of(self, layer: Layer) -> str:
        """The key of a layer that no attribute holds."""
        key = checked(layer.name)
        if key is None:
            kind = type(layer).__name__
            n = self.counts[kind] = self.counts.get(kind, 0) + 1
            key = f"{kind}_{n}"
        elif self.layer is not None and key in dict(self.layer.named_children()):
            raise taken_twice(key, self.place.path)
        if key in self.taken:
            raise taken_twice(key, self.place.path)
        self.taken.add(key)
        return key


def taken_twice(key: str, path: str = "") -> LayerError:
    """The error of two layers that have one name, inside the layer at ``path``."""
    where = f" inside {path}" if path else ""
    return LayerError(
        f"two layers{where} have the name {key!r}: give each its own, or call one layer twice to share it"
    )


def checked(name: Any) -> str | None:
    """The name given to a layer, which must be one that a path with dots can hold."""
    if name is not None and (not isinstance(name, str) or not name or "." in name):
        raise LayerError(f"a layer's name must be a word without dots; got {name!r}")
    return name


def _prune(tree: Any) -> None:
    """Drop the entries of layers without parameters."""
    for key, value in list(tree.items()):
        if isinstance(value, dict):
            _prune(value)
            if not value:
                del tree[key]


frame: ContextVar[Frame | None] = ContextVar("frame", default=None)


def _surroundings() -> Callable[[], AbstractContextManager[Any]]:
    """For ``checkpoint``: layers that a function calls have the same names and parameters when it runs again."""
    current = frame.get()
    if current is None:
        return nullcontext
    counts, taken, seen = dict(current.counts), set(current.taken), dict(current.scope.seen)

    @contextmanager
    def again() -> Iterator[None]:
        now = copy(current)
        now.scope = copy(current.scope)
        now.counts, now.taken, now.scope.seen = dict(counts), set(taken), dict(seen)
        token = frame.set(now)
        try:
            yield
        finally:
            frame.reset(token)

    return again


surroundings.append(_surroundings)
