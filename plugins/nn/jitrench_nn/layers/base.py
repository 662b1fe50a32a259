"""What layers share: how they print, and how they refuse options and inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from inspect import CO_VARARGS, CO_VARKEYWORDS
from numbers import Integral, Real
from typing import Any, Self

import jitrench_core as jt
from jitrench_core import Layer
from jitrench_core.layer import LayerError

# A field's annotation: what a value of it is, and how an error says so. A bool is no number here, though Python takes it for one.
_KINDS: dict[Any, tuple[Any, str]] = {
    "bool": (bool, "True or False"),
    "float": (Real, "a number"),
    "int": (Integral, "an int"),
    "int | None": ((Integral, type(None)), "an int or None"),
    "str": (str, "a str"),
}


# PyTorch's options that layers do not have, and what to do instead.
_INSTEAD = {
    "device": "the first input says it, or to(device=...)",
    "dim": "write axis=",
    "dtype": "the first input says it, or to(dtype=...)",
    "end_dim": "write end_axis=",
    "inplace": "leave it out: nothing is written in place",
    "out_features": "write out_dim=",
    "padding_mode": "put a layer such as ReflectionPad2d before it",
    "reduce": "write reduction=",
    "size_average": "write reduction=",
    "start_dim": "write start_axis=",
    "track_running_stats": "leave it out",
} | dict.fromkeys(
    (
        "d_model", "embed_dim", "in1_features", "in2_features", "in_channels", "in_features", "input_size", "kdim",
        "num_channels", "num_features", "vdim",
    ),
    "leave it out: the width of an input is inferred",
)  # fmt: skip


class OptionError(LayerError, TypeError):
    """An argument that a layer does not have."""


class _Explained(Layer):
    """A layer that says what is wrong with an argument that its ``__init__`` does not have, before Python does (1 us)."""

    def __new__(cls, /, *args: Any, **options: Any) -> Self:
        code: Any = getattr(cls.__init__, "__code__", None)
        if options and code is not None and not code.co_flags & CO_VARKEYWORDS:
            known = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
            for name in options:
                if name not in known:
                    raise OptionError(f"{cls.__name__} has no option {name!r}{_instead(name, known)}")
        if args and code is not None and len(args) >= code.co_argcount and not code.co_flags & CO_VARARGS:
            taken = ", ".join(code.co_varnames[1 : code.co_argcount]) or "nothing"
            raise OptionError(f"{cls.__name__} takes {taken} by position, and all else by keyword; got {len(args)}")
        return super().__new__(cls)


def _instead(name: str, known: tuple[str, ...]) -> str:
    """What to write instead of an option that is not there."""
    from difflib import get_close_matches

    hint = _INSTEAD.get(name, "write =")
    if not hint.startswith("write ") or hint.removeprefix("write ").rstrip("=") in known:
        return f": {hint}"
    near = get_close_matches(name, known)
    return f". Did you mean {near[0]!r}?" if near else f"; it has {', '.join(known)}"


@dataclass(eq=False, repr=False)
class Configured(_Explained):
    """A layer of this package. Each argument of ``__init__`` is an attribute of its name, by which it prints as the call that makes it.

    One that is a parameter's name, too, is ``with_bias``. A layer with little to check is a dataclass: its fields are its options,
    and ``LayerError`` refuses a value that is not of the type that they are declared with.

    >>> import jitrench_nn as nn
    >>> nn.Conv2d(8, 3, padding="same", bias=False, weight_init=nn.normal(std=0.02))
    Conv2d(8, 3, padding='same', bias=False, weight_init=normal(std=0.02))
    """

    name: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for f in fields(self):
            if f.type in _KINDS:
                value, (kind, text) = getattr(self, f.name), _KINDS[f.type]
                if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool) or value != value:
                    raise LayerError(f"{type(self).__name__}({f.name}=): expected {text}; got {value!r:.60}")
                if isinstance(value, Real) and not isinstance(
                    value, (int, float)
                ):  # NumPy's, which other backends refuse
                    setattr(self, f.name, value.item())  # type: ignore[attr-defined]


def refuse(layer: Layer, x: jt.Tensor, expected: str, kinds: str = "fc") -> None:
    """Raise for an input that the layer cannot take: its dtype is none of ``kinds``, or its shape not as ``expected``."""
    if x.shape and x.dtype.kind not in kinds:
        raise jt.DTypeError(
            f"{layer.label}: expected a floating-point input, got {x.dtype} of shape {x.shape}: convert it, such as by "
            f"x.astype(jt.float64)"
        )
    raise jt.ShapeError(f"{layer.label}: expected an input of shape {expected}, got {x.shape or 'a 0-d tensor'}")


def refuse_more(kind: str, takes: str, given: tuple[Any, ...], more: tuple[Any, ...], widths: int = 1) -> None:
    """``LayerError`` for PyTorch's order of arguments, in which ``widths`` of inputs come first."""
    meant = (*given, *more)[widths : widths + len(given)]
    if any(isinstance(v, bool) or not isinstance(v, (int, tuple)) for v in meant) or len(meant) < len(given):
        value = meant[0] if meant and isinstance(meant[0], bool) else "..."
        fix = f"{kind}({', '.join(f'{v!r:.60}' for v in given)}, bias={value})"
    else:
        fix = f"{kind}({', '.join(f'{v!r:.60}' for v in meant)})"
    every = ", ".join(f"{v!r:.60}" for v in (*given, *more))
    raise LayerError(
        f"{kind} takes {takes} only; the input's is inferred, and all else is given by keyword: write {fix}, not "
        f"{kind}({every})"
    )


def check_size(kind: str, option: str, what: str, value: Any, least: int = 1) -> int:
    """The int that a width or a count is, NumPy's too; ``ShapeError`` for what is none from ``least``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise jt.ShapeError(f"{kind}({option}): {what} must be an int from {least}; got {value!r:.60}")
    return int(value)


def check_number(kind: str, option: str, value: Any, what: str, low: float = 0.0, high: float = math.inf) -> None:
    """``LayerError`` for what is no finite number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high or value == math.inf:
        raise LayerError(f"{kind}({option}): expected {what}; got {value!r:.60}")


def check_flag(kind: str, option: str, value: Any, instead: str = "") -> None:
    """``LayerError`` for an option that is no bool: a number would pass for True."""
    if not isinstance(value, bool):
        raise LayerError(f"{kind}({option}=): expected True or False, got {value!r:.60}{instead}")


def check_bias(kind: str, value: Any) -> None:
    """The flag ``bias``, which is easily taken for a first value."""
    check_flag(kind, "bias", value, "; a first value is bias_init=f")
