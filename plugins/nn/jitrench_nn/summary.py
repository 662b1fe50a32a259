"""``summary``: the layers of a model as a table, with shapes, parameters and FLOPs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any, NamedTuple, final

import jitrench_core as jt
from jitrench_core.layer import Layer, LayerError, buffers_of
from jitrench_core.tensor import assign
from jitrench_core.watching import Watcher

from .flops import flops
from .models import apply, as_input, init


class Row(NamedTuple):
    """A layer: its own name and its path among the parameters, its class, and how deep in others it lies.

    ``shape`` is that of its first result (a tuple or dict of shapes where it returns several Tensors). ``parameters``, ``trainable``,
    ``buffers`` and ``flops`` include the layers inside; ``flops`` all ``calls``.
    """

    name: str
    path: str
    kind: str
    depth: int
    shape: Any
    parameters: int
    trainable: int
    flops: int
    calls: int
    buffers: int = 0


@final
class Summary:
    """What ``nn.summary`` found; printed, it is a table.

    ``rows`` holds a ``Row`` for each layer, the model itself first, in the order of their first calls. ``parameters`` is how many numbers
    they hold together, ``trainable`` those that a gradient reaches and ``frozen`` the others, each Tensor counted once. ``buffers`` is
    how many numbers are state, such as running statistics, and no parameters; ``bytes`` what all take. ``flops`` is the whole forward run, of which layers leave out what happens
    between them.
    """

    def __init__(self, rows: list[Row], bytes: int, inputs: list[Any], depth: int | None) -> None:
        self.rows = rows
        self.bytes = bytes
        self.inputs = inputs
        self.parameters = rows[0].parameters
        self.trainable = rows[0].trainable
        self.frozen = self.parameters - self.trainable
        self.buffers = rows[0].buffers
        self.flops = rows[0].flops
        self.depth = depth

    def cells(self) -> list[tuple[str, str, str, str]]:
        """The lines of the table, without its head."""
        found = []
        for row in self.rows:
            if self.depth is None or row.depth <= self.depth:
                kind = f" ({row.kind})" if row.path and row.kind != row.name.rpartition("_")[0] else ""
                times = f" x{row.calls}" if row.calls > 1 else ""
                name = f"{'  ' * row.depth}{row.name}{kind}{times}"
                found.append((name, shown(row.shape), f"{row.parameters:,}", f"{row.flops:,}"))
        return found

    def totals(self) -> list[tuple[str, str]]:
        """What stands below the table."""
        return [
            ("input", ", ".join(map(shown, self.inputs))),
            ("parameters", f"{self.parameters:,} ({self.trainable:,} trainable, {self.frozen:,} not)"),
            *([("buffers", f"{self.buffers:,}")] if self.buffers else []),
            ("their size", sized(self.bytes)),
            ("FLOPs", f"{self.flops:,} ({scaled(self.flops)})" if self.flops >= 1000 else str(self.flops)),
        ]

    def __str__(self) -> str:
        lines = [HEAD, *self.cells()]
        widths = [max(len(line[i]) for line in lines) for i in range(4)]
        rule = "-" * (sum(widths) + 6)
        table = [
            f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}".rstrip() for a, b, c, d in lines
        ]
        below = [f"{name + ':':<12}{value}" for name, value in self.totals()]
        return "\n".join([table[0], rule, *table[1:], rule, *below])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        left, right = "text-align:left", "text-align:right"
        styles = (f"{left};white-space:pre", left, right, right)

        def line(tag: str, cells: tuple[str, ...]) -> str:
            inside = (f'<{tag} style="{style}">{escape(c)}</{tag}>' for style, c in zip(styles, cells, strict=True))
            return f"<tr>{''.join(inside)}</tr>"

        body = "".join(line("td", cells) for cells in self.cells())
        below = "".join(
            f'<tr><td style="{left}">{name}</td><td colspan="3" style="{left}">{escape(value)}</td></tr>'
            for name, value in self.totals()
        )
        return f"<table><thead>{line('th', HEAD)}</thead><tbody>{body}</tbody><tfoot>{below}</tfoot></table>"


HEAD = ("layer", "output", "parameters", "FLOPs")


def summary(
    model: Callable[..., Any],
    *examples: Any,
    depth: int | None = None,
    params: Mapping[str, Any] | None = None,
    dtype: Any = None,
    device: Any = None,
    **kwargs: Any,
) -> Summary:
    """A table of the layers of ``model``: names as among the parameters, shapes of results, parameters and FLOPs.

    The model, a function or a layer in either style, runs once on ``examples``, which are those of ``nn.init``: shapes, in which None
    is an example alone, ``(None, 784)``, or Tensors. It runs with ``params``, else with its own parameters, else with new ones
    that are thrown away; nothing is trained, and no state changes. ``depth`` leaves out layers that lie deeper, whose numbers
    those around them include. ``kwargs`` go to the model.

    FLOPs are of the ops that run: 2 for a multiply-add, 1 for each element of an elementwise op, 0 for moving data;
    ``jitrench_nn.flops`` has the formulas, and takes those of other ops. A layer that is called again has one row, with all its
    FLOPs, and its parameters once.

    Raises what ``nn.init`` and ``nn.apply`` raise.

    >>> import jitrench_core as jt
    >>> import jitrench_nn as nn
    >>> def model(x):
    ...     x = jt.relu(nn.Linear(16)(x))
    ...     return nn.Linear(10)(x)
    >>> nn.summary(model, (None, 64))
    layer       output   parameters  FLOPs
    --------------------------------------
    model       (1, 10)       1,210  2,410
      Linear_1  (1, 16)       1,040  2,064
      Linear_2  (1, 10)         170    330
    --------------------------------------
    input:      (1, 64)
    parameters: 1,210 (1,210 trainable, 0 not)
    their size: 9.5 KiB
    FLOPs:      2,410 (2.41 K)
    """
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or depth < 0):
        raise LayerError(f"summary(depth=): expected an int from 0, or None for all layers; got {depth!r}")
    tree = params
    if tree is None and isinstance(model, Layer) and _complete(model):
        tree = model.state()
    if not tree:
        tree = init(model, *examples, dtype=dtype, device=device)
    tensors = dict(_leaves(tree, ""))
    like = next((x for x in tensors.values() if x.dtype.kind == "f"), None)
    if dtype is None:
        dtype = jt.float64 if like is None else like.dtype
    if device is None and like is not None:
        device = like.device
    inputs = [as_input(e, i, dtype, device) for i, e in enumerate(examples)]
    counted = {id(x): x for x in tensors.values()}.values()
    before = [(x, x.detach()) for x in counted]
    try:
        with jt.no_grad(), _Rows() as rows:
            result = apply(model, tree, *inputs, **kwargs)
    finally:
        with jt.no_grad():
            for x, value in before:  # with train=True running statistics have run
                if x.data is not value.data:
                    assign(x, value)
    rows.root(model, result)
    if isinstance(model, Layer):  # a layer in it that did not run has its buffers, too
        rows.buffers.update(".".join((*chain, name)) for chain, layer in model.walk() for name in buffers_of(layer))
    size = sum(x.size * max(x.dtype.bits, 8) // 8 for x in counted)
    return Summary(rows.table(tensors), size, [_shapes(x) for x in inputs], depth)


def _complete(model: Layer) -> bool:
    """Whether all of a model's layers have their parameters, which the first call makes."""
    try:
        model.state_dict()
    except LayerError:
        return False
    return True


@final
class _Rows(Watcher):
    """What is known of each layer, by its path, in the order of first calls."""

    expand = True

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {"": ""}
        self.shapes: dict[str, Any] = {}
        self.calls: dict[str, int] = {}
        self.flops: dict[str, int] = {"": 0}
        self.running: list[str] = []
        self.buffers: set[str] = set()

    def op(self, op: Any, arrays: tuple[Any, ...], attrs: dict[str, Any], result: Any) -> None:
        n = flops(op.name, arrays, attrs, result)
        for path in {"", *self.running}:
            self.flops[path] += n

    def enter(self, layer: Layer, path: str) -> None:
        self.kinds[path] = type(layer).__name__
        self.calls[path] = self.calls.get(path, 0) + 1
        self.flops.setdefault(path, 0)
        self.running.append(path)

    def leave(self, layer: Layer, path: str, result: Any) -> None:
        self.running.pop()
        self.buffers.update(f"{path}.{name}" if path else name for name in buffers_of(layer))
        self.shapes.setdefault(path, _shapes(result))

    def root(self, model: Any, result: Any) -> None:
        """The model itself, which is a function, or was seen as the layer that it is."""
        if not self.kinds[""]:
            name = getattr(model, "__name__", type(model).__name__)
            self.kinds[""] = name if name != "<lambda>" else "model"
        self.shapes.setdefault("", _shapes(result))

    def table(self, tensors: dict[str, Any]) -> list[Row]:
        """The rows, each below the one that it is part of, with the numbers of ``tensors`` at and below its path."""
        rows: dict[str, Row] = {}
        for path, kind in self.kinds.items():
            within = [known for known in rows if known and path.startswith(known + ".")]
            around = max(within, key=len, default="")
            own = {id(x): x for name, x in tensors.items() if not path or name.startswith(path + ".")}
            state = {id(x) for name, x in tensors.items() if name in self.buffers}
            sizes = [(x.size, x.requires_grad) for x in own.values() if id(x) not in state]
            rows[path] = Row(
                name=path[len(around) + 1 if around else 0 :] or kind,
                path=path,
                kind=kind,
                depth=rows[around].depth + 1 if path else 0,
                shape=self.shapes[path],
                parameters=sum(n for n, _ in sizes),
                trainable=sum(n for n, trained in sizes if trained),
                flops=self.flops[path],
                calls=self.calls.get(path, 1),
                buffers=sum(x.size for x in own.values() if id(x) in state),
            )
        return list(_nested(rows))


def _nested(rows: dict[str, Row]) -> Any:
    """The rows in the order in which they were met, but each right below the one that it lies in."""

    def under(path: str, depth: int) -> Any:
        for other, row in rows.items():
            if row.depth == depth and other and (not path or other.startswith(path + ".")):
                yield row
                yield from under(other, depth + 1)

    yield rows[""]
    yield from under("", 1)


def _leaves(tree: Mapping[str, Any], path: str) -> Any:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _shapes(x: Any) -> Any:
    """The shapes of the Tensors in a result."""
    if isinstance(x, jt.Tensor):
        return x.shape
    if isinstance(x, Mapping):
        return {key: _shapes(part) for key, part in x.items()}
    if isinstance(x, (tuple, list)):
        return [_shapes(part) for part in x]
    return type(x).__name__


def shown(shapes: Any) -> str:
    """Shapes as they are written in Python; those of several results with commas."""
    if isinstance(shapes, list):
        return ", ".join(map(shown, shapes))
    if isinstance(shapes, dict):
        return ", ".join(f"{key}: {shown(part)}" for key, part in shapes.items())
    return str(shapes)


def scaled(n: int) -> str:
    """``2.41 K``"""
    power = min(len(str(n)) - 1, 14) // 3
    return f"{n / 1000**power:.2f} {' KMGT'[power]}".rstrip()


def sized(n: int) -> str:
    """``9.5 KiB``"""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if n >= 2**power:
            return f"{n / 2**power:.1f} {unit}"
    return f"{n} bytes"
