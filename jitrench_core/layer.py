"""``Layer``: a part of a network that owns parameters, whose shapes follow from its input.

A layer declares a parameter where it uses it, by ``self.parameter(name, shape, init)``. There are two ways to run it.
Called by itself, a layer keeps its tensors, and makes them at its first call. Inside a ``Scope`` it finds them in that scope's tree;
``jitrench_nn.init`` and ``jitrench_nn.apply`` open one each, so that a plain function that calls layers is a model, too.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from inspect import Parameter, signature
from numbers import Integral
from threading import RLock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Never
from weakref import finalize

from .dtypes import dtype as as_dtype
from .dtypes import float64
from .errors import DTypeError, JITrenchError, NotFoundError, ShapeError, suggest
from .graph import Leaf, no_grad
from .ops.creation import asarray, tensor
from .random import Generator, default_generator
from .scope import Frame, Initializer, LayerError, Place, Scope, Tree, checked, frame, taken_twice
from .tensor import Tensor, assign
from .transforms.checkpointing import touched
from .transforms.tree import flatten

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType, FrameType

__all__ = [
    "Layer",
    "LayerError",
    "LoadedKeys",
    "Scope",
    "arrange",
    "as_tensors",
    "buffers_of",
    "explain_input",
    "shown",
]


class LoadedKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` left out: names of the model that did not come, and names that it does not have."""

    missing_keys: list[str]
    unexpected_keys: list[str]


_NONE: Mapping[str, Any] = MappingProxyType({})
# What to do where a parameter is asked for and the layer is not being called.
_WHERE = "call the layer itself, not its forward(), in which it is declared; in __init__, self.{name} = nn.Parameter(value) makes one"
_making = RLock()  # held in first calls: two threads must not make a layer's parameters twice


class Layer:
    """The base class of layers. A subclass writes ``forward``, and declares each parameter where it uses it.

    A parameter is a leaf Tensor that the layer owns. All mutable state of a layer is Tensors: its parameters, and its buffers,
    which no gradient reaches and which are written by ``jitrench_core.tensor.assign`` only. A leaf that requires a gradient is a parameter
    when it is assigned to an attribute; ``register_buffer`` does the same for state. A layer in an attribute, or in a list, tuple or dict there, is a part
    of this one, under the attribute's name, or its own ``name``. A layer called twice uses the same parameters twice.

    >>> import jitrench_core as jt
    >>> class Scale(jt.Layer):
    ...     def forward(self, x):
    ...         return x * self.parameter("scale", x.shape[-1:], lambda generator, shape, dtype: jt.ones(shape, dtype=dtype))
    >>> layer = Scale()
    >>> layer(jt.tensor([1.0, 2.0]))
    Tensor([1., 2.], requires_grad=True)
    >>> layer.scale
    Tensor([1., 1.], name='scale', requires_grad=True)
    >>> with Scope({"Scale_1": {"scale": jt.tensor([2.0, 3.0])}}):
    ...     layer(jt.tensor([1.0, 1.0]))
    Tensor([2., 3.])
    """

    name: str | None = None

    # Read-only until there is something to hold, since a subclass need not call __init__.
    _tensors: Mapping[str, Tensor] = _NONE
    _pending: Mapping[str, Tensor] = _NONE  # loaded before the first call
    _strict: bool = False  # whether nothing may be missing among these
    _listed: bool = False  # whether parameters() left this layer out, which had not run
    _joined: str | None = None  # its path, where it came into a model that had run, and has not run itself
    _buffers: tuple[str, ...] = ()
    _training: bool = True
    _placing: tuple[Any, Any] = (None, None)  # dtype and device, said before the first call
    # None before the first call; then the dtype of the floating-point tensors, as their arrays have it, or False where there
    # are none.
    _kind: Any = None

    def __init__(self, *, name: str | None = None) -> None:
        if name is not None:
            self.name = name

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in _RESERVED & vars(cls).keys():
            if callable(getattr(Layer, name)) and not callable(getattr(cls, name)):
                raise LayerError(
                    f"class {cls.__name__}: {name} = {vars(cls)[name]!r:.60} hides {name}(), a method of every layer; choose "
                    f"another name, such as my_{name}"
                )

    # -- what a subclass writes, and calls ----------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the layer computes."""
        raise NotImplementedError(f"layer {type(self).__name__} has no forward: write def forward(self, x)")

    def parameter(self, name: str, shape: tuple[int, ...], init: Initializer, *, trainable: bool = True) -> Tensor:
        """The layer's tensor ``name``, of ``shape``; ``init(generator, shape, dtype)`` makes its first value.

        Call it in ``forward``. ``trainable=False`` is ``buffer``. Raises ``NotFoundError`` for a parameter that a scope lacks, ``ShapeError``
        where it has another shape, and ``DTypeError`` where a floating-point input of the layer has another dtype.
        """
        current = frame.get()
        if current is None:
            mine = self._tensors.get(name)
            if mine is None:
                mine = self._late(name, tuple(shape), init, trainable)
            elif mine.data.shape != shape and mine.shape != tuple(shape):
                self._check(mine, name, tuple(shape), None)
            if not trainable:
                touched(mine)
            return mine
        if current.layer is not self:
            raise LayerError(f"{self.label}: {_WHERE.format(name=name)}")
        place = current.place
        place.used.add(name)
        found: Any = place.tree.get(name)
        if found is None and current.scope.generator is not None:
            found = place.tree[name] = self._make(current.scope, place, name, tuple(shape), init, trainable)
        if type(found) is not Tensor or (found.data.shape != shape and found.shape != tuple(shape)):
            self._check(found, name, tuple(shape), current)
        for x in current.inputs:
            if type(x) is Tensor and x.data.dtype is not found.data.dtype:
                _check_dtype(x, found, self.label)
        if not trainable:
            touched(found)
            if name not in self._buffers:  # made by another layer, of which this one has the parameters
                self._buffers += (name,)
        return found

    def buffer(self, name: str, shape: tuple[int, ...], init: Initializer) -> Tensor:
        """As ``parameter``, for state that no gradient reaches, such as running statistics.

        Write it where ``self.training``, by ``with jt.no_grad(): assign(buffer, value)``.
        """
        return self.parameter(name, shape, init, trainable=False)

    @property
    def training(self) -> bool:
        """Whether the layer runs to be trained: as ``nn.apply(train=)`` says, else as ``train()`` or ``eval()`` did."""
        current = frame.get()
        return self._training if current is None or current.scope.train is None else current.scope.train

    @property
    def generator(self) -> Generator:
        """Where the layer's random numbers come from: ``nn.apply(rng=)``, else the default generator of ``jt.random``.

        Raises ``LayerError`` in ``nn.apply`` without ``rng=``.
        """
        current = frame.get()
        if current is None or current.scope.train is None:
            return default_generator()
        if current.scope.rng is None:
            raise LayerError(
                f"{self.label} draws random numbers: pass a generator or a seed, nn.apply(model, params, x, train=True, rng=0)"
            )
        return current.scope.rng

    @property
    def label(self) -> str:
        """How errors name this layer: its path among the parameters, where that is known, else its class."""
        current = frame.get()
        if current is not None and current.layer is self:
            return current.place.label
        for x in self._tensors.values():
            path = (x.name or "").rpartition(".")[0]
            if path:
                return path
        return self.name or type(self).__name__

    def extra_repr(self) -> str:
        """What stands in the parentheses of the repr: the arguments that make such a layer, without those that have their default.

        An argument is looked up in the attribute of its name, or of its name after ``with_``; one that is in none is left out.
        """
        parts = []
        for p in signature(type(self)).parameters.values():
            held = f"with_{p.name}" if f"with_{p.name}" in vars(self) else p.name
            value = getattr(self, held, p.default)
            if p.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD) or value is Parameter.empty:
                continue
            if p.default is Parameter.empty:
                parts.append(shown(value))
            elif shown(value) != shown(p.default):  # not ==, which Tensors and copies of a partial have not
                parts.append(f"{p.name}={shown(value)}")
        return ", ".join(parts)

    # -- running ------------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        current = frame.get()
        if current is not None:
            return self._inside(current, args, kwargs)
        kind = self._kind
        if kind is None:
            return self._first(args, kwargs)
        for x in args:
            if type(x) is not Tensor:
                args = as_tensors(args)
                break
        given = args
        if kwargs:
            kwargs = _named_tensors(kwargs)
            given = (*args, *kwargs.values())
        if kind is not False:
            for x in given:
                if type(x) is Tensor and x.data.dtype is not kind:
                    self._other_dtype(x)
        try:
            return self.forward(*args, **kwargs)
        except AttributeError as e:
            explain_input(e, args, self.label)
            raise

    def _inside(self, current: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run in a scope."""
        args, kwargs = as_tensors(args), _named_tensors(kwargs)
        inner = current.enter(self, (*args, *kwargs.values()))
        token = frame.set(inner)
        try:
            return self.forward(*args, **kwargs)
        except AttributeError as e:
            explain_input(e, args, inner.place.label)
            raise
        finally:
            frame.reset(token)

    def _first(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The first call, which makes what is missing: in a scope whose tree is then handed out to the layers."""
        with _making:
            if self._kind is None:
                return self._run_first(args, kwargs)
        return self(*args, **kwargs)  # another thread was faster

    def _run_first(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        args, kwargs = as_tensors(args), _named_tensors(kwargs)
        given = [x for x in flatten((args, kwargs))[0] if type(x) is Tensor]
        dtype, device = self._placing
        if dtype is None:  # of integers alone, such as tokens, loaded weights say it
            held = [x for layer in self.modules() for x in layer._pending.values()]
            dtype = next((x.dtype for x in (*given, *held) if x.dtype.kind == "f"), float64)
        if device is None and given:
            device = given[0].device
        scope = Scope(  # Layer's own state(): a subclass may have another
            Layer.state(self),
            generator=default_generator(),
            dtype=dtype,
            device=device,
            model=self,
            train=None,
            levels=(),
        )
        for x in (*args, *kwargs.values()):
            if type(x) is Tensor:
                self._other_dtype(x)
        with scope:
            result = self(*args, **kwargs)
            places = [p for p in scope.places if p.owner is not None]
            made = [(p.owner, p.label, {k: x for k, x in p.tree.items() if type(x) is Tensor}) for p in places]
        own = {id(layer) for layer in self.modules()}
        for layer, _, tensors in made:
            if id(layer) not in own and tensors:
                raise LayerError(
                    f"{type(self).__name__}.forward makes a {type(layer).__name__} of its own, whose parameters would be lost: make "
                    f"layers in __init__, as attributes, or run the model by nn.init(model, shape) and nn.apply(model, params, x)"
                )
        problems = [p for layer, label, tensors in made for p in layer._loaded_wrongly(label, tensors)]
        if problems:
            raise LayerError(f"{'; '.join(problems)}. No parameters were made.")
        joined = self._joined
        for layer, _, tensors in made:
            layer._keep(tensors)
        if joined is not None:
            self._rename("", joined)
        if any(layer._tensors for layer in self.modules()):
            calls = sys._getframe(3)
            finalize(self, _warn_if_lost, type(self).__name__, calls.f_code, calls.f_lineno).atexit = False
        return result

    def _loaded_wrongly(self, label: str, tensors: Tree) -> Iterator[str]:
        """What ``load_state_dict`` brought and the first call did not ask for, and what it did not bring."""
        unused = self._pending.keys() - tensors.keys()
        if unused:
            yield (
                f"{label} was given {', '.join(map(repr, sorted(unused)))} by load_state_dict, and has only "
                f"{', '.join(map(repr, tensors)) or 'no parameters'}"
            )
        missing = [name for name in tensors if name not in self._pending and name not in self._tensors]
        if self._strict and missing:
            yield (
                f"{label} was not given {', '.join(map(repr, missing))} by load_state_dict: strict=False lets the first call "
                f"make what is missing"
            )

    def _keep(self, tensors: Tree) -> None:
        """Hold what the first call made."""
        if self._listed and any(x.requires_grad and x is not self._tensors.get(name) for name, x in tensors.items()):
            warnings.warn(
                f"{self.label} made its parameters after parameters() was taken of the model, which left them out: make the "
                f"optimizer anew, or call all layers once before",
                stacklevel=5,
            )
        if tensors:
            self._tensors = tensors
        for name in ("_pending", "_strict", "_listed", "_joined"):
            self.__dict__.pop(name, None)
        self._kind = self._kind_of()

    def _kind_of(self) -> Any:
        floats = (x.data.dtype for x in self._tensors.values() if x.dtype.kind == "f")
        return next(floats, False)

    def _other_dtype(self, x: Tensor) -> None:
        """An input whose arrays have another dtype than the parameters."""
        for p in self._tensors.values():
            _check_dtype(x, p, self.label)

    def _make(
        self, scope: Scope, place: Place, name: str, shape: tuple[int, ...], init: Initializer, trainable: bool
    ) -> Tensor:
        """A new tensor of this layer."""
        if name in _RESERVED:
            self._refuse_reserved(name, ())
        if not trainable and name not in self._buffers:
            self._buffers += (name,)
        held = self._pending.get(name) if scope.train is None else None
        if held is not None:
            if held.shape != shape:
                self._check(held, name, shape, None)
            init = _loaded(held, init, trainable, f"{place.label}: load_state_dict brought {name!r}")
        return scope.make(place, name, shape, init, trainable)

    def _late(self, name: str, shape: tuple[int, ...], init: Initializer, trainable: bool) -> Tensor:
        """A parameter that the first call did not ask for."""
        if self._kind is None:
            raise LayerError(f"{self.label} has no {name!r} yet: {_WHERE.format(name=name)}")
        alike = next(iter(self._tensors.values()), None)
        scope = Scope(
            {},
            generator=default_generator(),
            dtype=float64 if alike is None else alike.dtype,
            device=None if alike is None else alike.device,
            train=None,
        )
        place = scope.place(None, "", scope.tree)
        place.owner = self
        made = self._make(scope, place, name, shape, init, trainable)
        self._tensors = {**self._tensors, name: made}
        self._kind = self._kind_of()
        return made

    def _check(self, found: Any, name: str, shape: tuple[int, ...], current: Frame | None) -> Never:
        """Why ``found`` cannot be the parameter."""
        if found is None:
            keys = list(current.place.tree) if current is not None else []
            raise NotFoundError(
                f"{self.label} needs a parameter {name!r} of shape {shape}, which params lack; "
                + (
                    f"under {self.label!r} they hold {', '.join(map(repr, keys))}.{suggest(name, keys)}"
                    if keys or current is None
                    else self._siblings(current)
                )
            )
        if type(found) is not Tensor:
            raise LayerError(f"{self.label}: the parameter {name!r} is a {type(found).__name__}; expected a Tensor")
        came = "" if current is None else ", ".join(str(x.shape) for x in current.inputs if type(x) is Tensor)
        raise ShapeError(
            f"{self.label}: expected {name!r} of shape {shape}{f' for an input of shape {came}' if came else ''}, got "
            f"{found.shape}: pass an input like the one the parameters were made for, or make "
            + ("a new layer" if current is None or current.scope.train is None else "them anew by nn.init")
        )

    def _siblings(self, current: Frame) -> str:
        """What the whole tree holds, for an error about a layer that it lacks."""
        tree = current.scope.tree
        if not tree:
            return "they are empty: make them by nn.init(model, (None, 3))"
        if any("." in key for key in tree):
            return "they are a state_dict: pass model.state() or the tree of nn.init"
        return f"they hold no {current.place.label!r}, only {', '.join(map(repr, tree))}"

    # -- attributes ---------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _RESERVED:
            self._refuse_reserved(name, value)
        known = name in self._tensors
        if not known and type(value) is not Tensor:
            object.__setattr__(self, name, value)
            if self._kind is not None and isinstance(value, Layer):
                value._join(_path(self._path(), checked(value.name) or name))
            return
        current = frame.get()
        if known:
            fits = type(value) is Tensor and (type(value.node) is Leaf or name in self._buffers)
            if current is not None or not fits:
                raise LayerError(
                    f"{self.label}: {name!r} is a {'buffer' if name in self._buffers else 'parameter'}: write its value by "
                    f"`with jt.no_grad(): assign(layer.{name}, value)`, of jitrench_core.tensor, or put a leaf in its place"
                )
            self._hold(name, value.detach() if name in self._buffers else value)
            return
        # What forward keeps is no parameter: not while it runs in a scope, nor where it has kept a Tensor before.
        kept = self._kind is not None and type(vars(self).get(name)) is Tensor
        if type(value.node) is Leaf and not kept and (current is None or current.layer is not self):
            self._hold(name, value)
        else:
            object.__setattr__(self, name, value)

    def _refuse_reserved(self, name: str, value: Any) -> None:
        """An attribute that would hide what every layer has; a subclass that has made it data, or puts a function there, means it."""
        own, part = getattr(type(self), name), isinstance(value, Layer)
        if not callable(own) and name != "name" and own is not vars(Layer)[name]:
            return
        if isinstance(value, (str, type(None))) if name == "name" else not part and callable(own) and callable(value):
            return
        what = "a method" if callable(own) else "an attribute"
        other = f"{name}_net" if part else f"my_{name}"
        hint = "train() and eval() say it" if name == "training" else f"choose another name, such as self.{other}"
        raise LayerError(f"{type(self).__name__}.{name} = ...: {name!r} is {what} of every layer; {hint}")

    def __delattr__(self, name: str) -> None:
        if name in self._tensors:
            self._tensors = {key: x for key, x in self._tensors.items() if key != name}
        else:
            object.__delattr__(self, name)

    def register_buffer(self, name: str, value: Tensor) -> None:
        """Hold ``value`` as state that no gradient reaches, under ``name``."""
        if name in _RESERVED:
            self._refuse_reserved(name, value)
        if name not in self._buffers:
            self._buffers += (name,)
        self._hold(name, asarray(value).detach())

    def _path(self) -> str:
        """The attributes that lead to this layer, as the names of its tensors say; "" where they do not."""
        for chain, layer in self.walk():
            for name, x in layer._tensors.items():
                end = ".".join((*chain, name))
                if (x.name or "").endswith(f".{end}"):
                    return (x.name or "").removesuffix(f".{end}")
        return ""

    def _rename(self, old: str, new: str) -> None:
        """The tensors in this layer have the path ``new`` where they had ``old``."""
        for chain, layer in self.walk():
            for name, x in layer._tensors.items():
                end = ".".join((*chain, name))
                if x.name == _path(old, end):
                    x.name = _path(new, end)

    def _join(self, path: str) -> None:
        """This layer has come to ``path`` in a model that has run: the tensors that it has, and will make, are named so."""
        self._rename("", path)
        for chain, layer in self.walk():
            if layer._kind is None:
                layer._joined = _path(path, *chain)

    def _hold(self, name: str, value: Tensor) -> None:
        if type(value.node) is Leaf and value.name is None:
            value.name = name
        self.__dict__.pop(name, None)
        self._tensors = {**self._tensors, name: value}
        if self._kind is not None:
            self._kind = self._kind_of()

    if not TYPE_CHECKING:  # a type checker knows the names that are declared

        def __getattr__(self, name: str) -> Any:
            """A tensor of the layer; in a scope, that of its tree."""
            held = self._tensors.get(name)
            if held is not None and name in self._buffers:
                touched(held)
            current = frame.get()
            if current is not None:
                seen = current.scope.seen.get(id(self))
                if seen is not None or current.chain(self) is not None:
                    place = current.settle(self) if seen is None else seen[1]
                    found = place.tree.get(name)
                    if found is None and held is not None and current.scope.generator is not None:
                        found = current.scope.make(place, name, held.shape, _same(held), name not in self._buffers)
                        place.tree[name] = found
                    if type(found) is Tensor:
                        place.used.add(name)
                        if name in self._buffers:
                            touched(found)
                        return found
                    if held is not None:
                        self._check(found, name, held.shape, current)
            if held is not None:
                return held
            if hasattr(type(self), name):
                return object.__getattribute__(self, name)  # a property that failed: its own error
            what = f"{type(self).__name__!r} object has no attribute {name!r}"
            if self._kind is not None:
                what += "." + suggest(name, [*self._tensors, *vars(self)])
            elif not name.startswith("_"):
                what += "; parameters are there after the first call. To share one, use it in forward: docs/models.md, tying"
            raise AttributeError(what, name=name, obj=self)

    # -- what a user calls ----------------------------------------------------------------------------------------------

    def walk(self) -> Iterator[tuple[tuple[str, ...], Layer]]:
        """This layer and all in it, each once, with the attributes that lead there: ``(("blocks", "0"), layer)``."""
        return _visit(self, (), set())

    def named_modules(self) -> Iterator[tuple[str, Layer]]:
        """This layer and all in it, each once, with their paths: ``""``, ``"blocks.0"``."""
        return ((".".join(chain), layer) for chain, layer in self.walk())

    def modules(self) -> Iterator[Layer]:
        """This layer and all in it, each once."""
        return (layer for _, layer in self.walk())

    def named_children(self) -> Iterator[tuple[str, Layer]]:
        """The layers that this one's attributes hold, each once."""
        seen: set[int] = set()
        for key, layer in _parts([*vars(self).items()]):
            if id(layer) not in seen:
                seen.add(id(layer))
                yield ".".join(key), layer

    def children(self) -> Iterator[Layer]:
        """The layers that this one's attributes hold, each once."""
        return (layer for _, layer in self.named_children())

    def owns(self, chain: tuple[str, ...]) -> bool:
        """Whether ``chain`` leads from this layer to a tensor or a layer that it holds, or on the way to one."""
        for place, layer in self.walk():
            if place[: len(chain)] == chain or (place == chain[:-1] and chain[-1] in layer._tensors):
                return True
        return False

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """The parameters of this layer and all in it, each once, with their paths, ``"fc1.weight"``.

        Raises ``LayerError`` for a layer that has not been called: its parameters' shapes follow from its input.
        """
        return iter(self._named(False))

    def parameters(self) -> Iterator[Tensor]:
        """The parameters of this layer and all in it, each once. Errors are those of ``named_parameters``."""
        return iter([x for _, x in self._named(False)])

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """The state of this layer and all in it that no gradient reaches, each once, with paths."""
        return iter(self._named(True))

    def buffers(self) -> Iterator[Tensor]:
        """The state of this layer and all in it that no gradient reaches, each once."""
        return iter([x for _, x in self._named(True)])

    def _named(self, buffers: bool) -> list[tuple[str, Tensor]]:
        walked = [*self.walk()]
        self._built("parameters()", [layer for _, layer in walked])
        found: dict[int, tuple[str, Tensor]] = {}
        for chain, layer in walked:
            if layer._kind is None and not layer._listed and not buffers:
                layer._listed = True
            for name, x in layer._tensors.items():
                if (name in layer._buffers) is buffers:
                    found.setdefault(id(x), (".".join((*chain, name)), x))
        return list(found.values())

    def _built(self, what: str, layers: list[Layer]) -> None:
        """Refuse where layers have not run yet, whose parameters would be left out."""
        unknown = [x for x in layers if x._kind is None and not x._tensors and next(x.children(), None) is None]
        runs = (x for x in unknown if x._joined is not None and type(x).forward is not Layer.forward)
        late = next(runs, None)
        if late is not None and late is not self:
            raise LayerError(
                f"{type(self).__name__}.{what}: {late._joined!r}, a {type(late).__name__}, came into the model after its first "
                f"call, and has not run yet: call the model once, model(x), before this"
            )
        if self._kind is None and unknown:
            raise LayerError(
                f"{type(self).__name__}.{what}: the shapes of its parameters follow from its input, and there has been none yet: "
                f"call the layer once, model(x), before this"
            )

    def state(self) -> Tree:
        """The Tensors of this layer and all in it, as a tree: what ``nn.init`` returns for it, and ``nn.apply`` takes."""
        tree: Tree = {}
        for chain, layer in self._apart():
            if layer._tensors:
                place = tree
                for key in chain:
                    place = place.setdefault(key, {})
                place.update(layer._tensors)
        return tree

    def state_dict(self) -> dict[str, Tensor]:
        """The parameters and buffers as they are now, by their paths, ``{"fc1.weight": Tensor}``; later steps do not change them."""
        walked = self._apart()
        self._built("state_dict()", [layer for _, layer in walked])
        return {".".join((*chain, name)): x.detach() for chain, layer in walked for name, x in layer._tensors.items()}

    def _apart(self) -> list[tuple[tuple[str, ...], Layer]]:
        """``walk()``; ``LayerError`` where two layers have one path, since one's tensors would be left out."""
        found = [*self.walk()]
        once: set[tuple[str, ...]] = set()
        for chain, _ in found:
            if chain in once:
                raise taken_twice(".".join(chain))
            once.add(chain)
        return found

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> LoadedKeys:
        """Take the values of ``state``: Tensors or arrays by path, or a tree of them. Dtypes and devices stay the layer's own.

        A layer that has not been called yet takes them for its first call, which then says what is missing. Raises ``LayerError``, before anything is changed, which
        names every value that does not fit and, if ``strict``, every name that is missing or unexpected.
        """
        given: Any = state
        if not isinstance(given, Mapping):
            hint = "; take its state_dict()" if isinstance(given, Layer) else ""
            raise LayerError(
                f"{type(self).__name__}.load_state_dict() takes a dict of Tensors or arrays by path, or a tree of them; got "
                f"{type(given).__name__}{hint}"
            )
        values = dict(_flat(state))
        targets: dict[str, Tensor] = {}
        waiting: dict[str, Layer] = {}
        for chain, layer in self.walk():
            if layer._kind is None:
                waiting[".".join(chain)] = layer
            targets |= {".".join((*chain, name)): x for name, x in layer._tensors.items()}
        later = {
            k: waiting[k.rpartition(".")[0]] for k in values if k not in targets and k.rpartition(".")[0] in waiting
        }
        keys = LoadedKeys(
            [k for k in targets if k not in values], [k for k in values if k not in targets and k not in later]
        )
        problems = [
            f"{what}: {', '.join(map(repr, k))}" for what, k in zip(("missing", "unexpected"), keys, strict=True) if k
        ]
        problems = problems if strict else []
        new: dict[str, Tensor] = {}
        for key, value in values.items():
            if key not in later and key not in targets:
                continue
            try:
                x = asarray(value).detach()
            except JITrenchError as e:
                problems.append(f"{key!r}: {e}")
                continue
            if key in later:
                new[key] = tensor(x)
            else:
                p = targets[key]
                if x.shape != p.shape or (x.dtype.kind == "f") != (p.dtype.kind == "f"):
                    problems.append(f"{key!r} is {x.dtype} {x.shape}, expected {p.dtype} {p.shape}")
                else:
                    new[key] = tensor(x, dtype=p.dtype, device=p.device)
        if problems:
            raise LayerError(f"{type(self).__name__}.load_state_dict(): {'; '.join(problems)}. Nothing was loaded.")
        with no_grad():
            for key, x in new.items():
                if key in targets:
                    assign(targets[key], x)
                else:
                    layer = later[key]
                    layer._pending = {**layer._pending, key.rpartition(".")[2]: x}
        if strict:
            for layer in waiting.values():
                layer._strict = True
        return keys

    def train(self, mode: bool = True) -> Layer:
        """Let this layer and all in it train, as they do at first: dropout drops, running statistics run. Returns the layer."""
        for layer in self.modules():
            layer._training = bool(mode)
        return self

    def eval(self) -> Layer:
        """``train(False)``."""
        return self.train(False)

    def to(self, device: Any = None, dtype: Any = None) -> Layer:
        """Move the tensors to ``device``, and make the floating-point ones ``dtype``. Returns the layer.

        They are new leaves, so make an optimizer afterwards. Before the first call it says what that shall make.
        """
        if dtype is None and device is not None:
            try:
                device, dtype = None, as_dtype(device)  # PyTorch's to(dtype)
            except (JITrenchError, TypeError):
                pass
        dtype = None if dtype is None else as_dtype(dtype)
        if dtype is not None and dtype.kind != "f":
            raise DTypeError(f"{type(self).__name__}.to(): parameters are floating-point numbers; got {dtype}")
        moved: dict[int, Tensor] = {}
        for layer in self.modules():
            layer._placing = (dtype or layer._placing[0], device or layer._placing[1])
            for x in layer._tensors.values():
                if id(x) not in moved:
                    kind = dtype if x.dtype.kind == "f" else None
                    label = x.name if x.requires_grad else None
                    moved[id(x)] = tensor(
                        x.detach(), dtype=kind, device=device, requires_grad=x.requires_grad, name=label
                    )
            if layer._tensors:
                layer._tensors = {name: moved[id(x)] for name, x in layer._tensors.items()}
                if layer._kind is not None:
                    layer._kind = layer._kind_of()
        return self

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            p.zero_grad()

    def requires_grad_(self, mode: bool = True) -> Layer:
        """Let all parameters be trained, or none: ``model.backbone.requires_grad_(False)`` freezes. Returns the layer."""
        for path, p in self.named_parameters():
            p.requires_grad = mode
            if mode and p.name is None:
                p.name = path
        return self

    def __repr__(self) -> str:
        lines = []
        for key, layer in self.named_children():
            lines += f"({key}): {layer!r}".split("\n")
        inside = "".join(f"\n  {line}" for line in lines)
        return f"{type(self).__name__}({self.extra_repr()}{inside}{chr(10) if lines else ''})"


_RESERVED = frozenset(name for name in vars(Layer) if not name.startswith("_"))


def arrange(holder: Layer, parts: Mapping[str, Any], old: Iterable[str]) -> None:
    """Let the attributes of ``holder`` be ``parts``, in place of those named in ``old``; tensors are named after their places.

    A Tensor among the parts is held as a parameter, trainable or not. For layers that are lists or dicts of others.
    """
    before = {key: getattr(holder, key) for key in old}
    ran = holder._kind is not None or any(layer._kind is not None for layer in holder.children())
    path = holder._path() if ran or before else ""
    keys: dict[int, str] = {}
    for key, part in before.items():
        keys.setdefault(id(part), key)
        delattr(holder, key)
    for key, part in parts.items():
        was = keys.pop(id(part), None)
        if isinstance(part, Tensor):
            holder._hold(key, part)
            if was is not None and part.name == _path(path, was):
                part.name = _path(path, key)
            continue
        (setattr if key in holder._tensors else object.__setattr__)(holder, key, part)
        if isinstance(part, Layer):
            own = checked(part.name)
            if was is not None:
                part._rename(_path(path, own or was), _path(path, own or key))
            if ran and (was is None or any(layer._joined is not None for layer in part.modules())):
                part._join(_path(path, own or key))


def _path(*keys: str) -> str:
    """A path with dots, of keys and paths; "" is none."""
    return ".".join(key for key in keys if key)


def _visit(layer: Layer, chain: tuple[str, ...], seen: set[int]) -> Iterator[tuple[tuple[str, ...], Layer]]:
    """``Layer.walk``, beyond the layers in ``seen``."""
    if id(layer) not in seen:
        seen.add(id(layer))
        yield chain, layer
        for key, inner in _parts([*vars(layer).items()]):  # at once: another thread's first call adds to them
            yield from _visit(inner, chain + key, seen)


def _parts(items: Iterable[tuple[Any, Any]]) -> Iterator[tuple[tuple[str, ...], Layer]]:
    """The layers among the values, and in lists, tuples and dicts among them, with the keys that lead to them."""
    for key, value in items:
        if isinstance(value, Layer):
            yield (checked(value.name) or str(key),), value
        elif isinstance(value, (list, tuple, dict)) and key != "_tensors":
            inside = value.items() if isinstance(value, dict) else enumerate(value)
            yield from (((str(key), *chain), layer) for chain, layer in _parts(inside))


def _flat(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _warn_if_lost(kind: str, code: CodeType, line: int) -> None:
    """A layer is gone: where that is on the line that called it first, nobody has kept it."""
    ends: FrameType | None = sys._getframe(2)
    if ends is not None and ends.f_code is code and ends.f_lineno == line:
        warnings.warn(
            f"this {kind} made its parameters, and they are gone with it. A model that is a function runs by "
            f"nn.init(model, shape) and nn.apply(model, params, x); a layer that is to keep its parameters needs a variable",
            stacklevel=3,
        )


def buffers_of(layer: Layer) -> tuple[str, ...]:
    """The names of a layer's own buffers, also where it has run in a ``Scope`` only."""
    return layer._buffers


def shown(value: Any) -> str:
    """An option in a layer's repr: functions by their names, Tensors by their shapes, NumPy's ints as Python's."""
    if isinstance(value, partial):
        options = [*map(shown, value.args), *(f"{k}={shown(v)}" for k, v in value.keywords.items())]
        return f"{shown(value.func)}({', '.join(options)})"
    if isinstance(value, Tensor):
        return f"Tensor of shape {value.shape}"
    if not isinstance(value, bool) and isinstance(value, Integral):
        return str(int(value))
    return value.__name__.lstrip("_") if callable(value) and hasattr(value, "__name__") else repr(value)


def _same(value: Tensor) -> Initializer:
    """The initializer of a parameter that exists."""
    return lambda generator, shape, dtype: value.astype(dtype) if value.dtype.kind == "f" else value


def _loaded(held: Tensor, init: Initializer, trainable: bool, who: str) -> Initializer:
    """The initializer of a parameter that ``load_state_dict`` brought; a buffer's dtype is the one that ``init`` gives it."""

    def values(generator: Generator, shape: tuple[int, ...], dtype: Any) -> Tensor:
        wanted = dtype if trainable else init(generator, shape, dtype).dtype
        if held.dtype.kind == "c" and trainable:
            return held
        if (held.dtype.kind == "f") != (wanted.kind == "f"):
            raise LayerError(f"{who} as {held.dtype}, expected {wanted}")
        return held.astype(wanted)

    return values


def _named_tensors(inputs: dict[str, Any]) -> dict[str, Any]:
    """``as_tensors`` of keyword arguments."""
    return dict(zip(inputs, as_tensors(tuple(inputs.values())), strict=True))


def as_tensors(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Inputs of a model, with Tensors in the places of arrays; lists and numbers stay what they are."""
    return tuple(asarray(x) if type(x) is not Tensor and hasattr(x, "shape") else x for x in inputs)


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
