"""The signature is the declaration: what a forward's own parameters say, and how a call is bound to them.

Parameters before ``/`` are arrays (default None: optional), one ``*arrays`` is allowed, the others are attributes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, final

from .errors import OpError, suggest
from .tensor import Tensor

REQUIRED: Any = type("Required", (), {"__repr__": lambda self: "<required>"})()
RESERVED = ("xp", "g", "y", "needs")
METADATA = ("shape", "dtype")  # a rule may ask for x_shape and x_dtype of its op's input x


def parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's parameters; of a decorated function those of the one inside."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = function.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


_ROWS: Any = (None, lambda x, /: None, lambda x1, x2, /: None)  # of a table, which has no forward


def shown(forward: Callable[..., Any] | None, signature: Signature, composite: bool) -> Callable[..., Any]:
    """An op's ``__wrapped__``, which ``inspect.signature`` follows: its forward without ``xp``. Nothing is computed before."""
    if forward is None:
        return _ROWS[len(signature.arrays)]  # type: ignore[no-any-return]
    return forward if composite else partial(forward, None)


@final
class Signature:
    """An op's arrays, its variadic array, which arrays are optional, and its attributes with their defaults.

    ``positional`` are the attributes that its forward takes by position only, as a few functions of the standard do.
    """

    __slots__ = ("arrays", "attrs", "inputs", "name", "optional", "positional", "variadic")

    def __init__(self, name: str, arrays: tuple[str, ...]) -> None:
        self.name = name
        self.arrays = self.inputs = arrays
        self.variadic: str | None = None
        self.optional: frozenset[str] = frozenset()
        self.attrs: dict[str, Any] = {}
        self.positional: tuple[str, ...] = ()

    @classmethod
    def read(cls, forward: Callable[..., Any], name: str, *, composite: bool, attrs: tuple[str, ...]) -> Signature:
        """The signature that ``forward`` declares; ``OpError`` where it is none of an op's."""
        code = forward.__code__
        n, names, given = code.co_argcount, code.co_varnames, forward.__defaults__ or ()
        if code.co_flags & 0x08:
            raise OpError(f"op {name!r} takes **kwargs; an op names its attributes")
        if not composite and names[: min(n, 1)] != ("xp",):
            raise OpError(
                f"op {name!r}: the first parameter is the array namespace and must be named 'xp' (a function of ops "
                f"alone is a composite: @op(composite=True)); its parameters are ({', '.join(names[:n])})"
            )
        skip = 0 if composite else 1
        defaults = dict(zip(names[n - len(given) : n], given, strict=True)) | (forward.__kwdefaults__ or {})
        self = cls(name, tuple(a for a in names[skip : code.co_posonlyargcount] if a not in attrs))
        keyword = names[max(code.co_posonlyargcount, skip) : n + code.co_kwonlyargcount]
        self.attrs = {a: defaults.get(a, REQUIRED) for a in (*attrs, *keyword)}
        self.positional = attrs
        self.optional = frozenset(a for a in self.arrays if a in defaults)
        if code.co_flags & 0x04:
            self.variadic = names[n + code.co_kwonlyargcount]
            self.inputs = (*self.arrays, self.variadic)
        self._check(defaults, composite)
        return self

    def _check(self, defaults: dict[str, Any], composite: bool) -> None:
        if not self.inputs:
            raise OpError(
                f"op {self.name!r} has no array input: parameters before '/' are arrays, those after it attributes, as "
                f"in def {self.name}({'' if composite else 'xp, '}x, /, *, axis=None)"
            )
        for p in (*self.inputs, *self.attrs):
            if p in RESERVED or (p.rpartition("_")[2] in METADATA and "_" in p):
                raise OpError(
                    f"op {self.name!r}: the parameter name {p!r} is reserved; reserved are {', '.join(RESERVED)}, "
                    f"*_shape, *_dtype"
                )
        for a in self.optional:
            if defaults[a] is not None:
                raise OpError(
                    f"op {self.name!r}: array {a!r} has the default {defaults[a]!r}; only None (optional) is allowed"
                )

    @property
    def bare(self) -> bool:
        """Whether a call with every array and nothing else is complete."""
        return self.variadic is None and REQUIRED not in self.attrs.values()

    def bind(self, args: tuple[Any, ...], attrs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Split a call into arrays and attributes; ``OpError`` where it does not fit. Arrays may come by name, too."""
        n = len(self.arrays)
        if self.variadic and not n and len(args) == 1 and isinstance(args[0], (list, tuple)):
            args = tuple(args[0])  # concat([a, b]), as the standard writes it
        rest = () if self.variadic else args[n:]
        if len(rest) > len(self.attrs):
            raise OpError(f"{self.name}() got {len(args)} positional arguments: it is {self}")
        placed = dict(zip(self.attrs, rest, strict=False))
        if twice := placed.keys() & attrs.keys():
            raise OpError(f"{self.name}() got {min(twice)}= by position and by name: it is {self}")
        attrs = placed | attrs
        arrays = args if self.variadic else args[:n]
        for name in self.arrays[len(arrays) :]:
            value = attrs.pop(name, None if name in self.optional else REQUIRED)
            if value is REQUIRED:
                raise OpError(f"{self.name}() needs the arrays {', '.join(self.arrays)}; {len(args)} came: {self}")
            arrays += (value,)
        for key, value in attrs.items():
            if key not in self.attrs:
                raise OpError(f"{self.name}() has no argument {key!r}.{suggest(key, self.attrs)} It is {self}")
            if type(value) is Tensor:
                raise OpError(
                    f"{self.name}(): {key}= is an attribute, not an array, and got a Tensor: pass a Python value "
                    f"(int(t) or t.tolist()); nothing would be recorded for it"
                )
        for key, default in self.attrs.items():
            if default is REQUIRED and key not in attrs:
                raise OpError(f"{self.name}() needs {key}=: it is {self}")
        return arrays, attrs

    def __str__(self) -> str:
        """As a user calls it: ``sum(x, /, axis=None, dtype=None, keepdims=False)``."""
        parts = [f"{a}=None" if a in self.optional else a for a in self.arrays]
        parts += ["/"] if parts else []
        parts += [f"*{self.variadic}"] if self.variadic else []
        parts += [k if d is REQUIRED else f"{k}={d!r}" for k, d in self.attrs.items()]
        return f"{self.name}({', '.join(parts)})"
