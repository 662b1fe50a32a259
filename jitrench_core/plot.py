"""Pictures of graphs: ``plot_graph`` writes DOT and draws it with whichever Graphviz is at hand.

Inputs are orange octagons, computed variables orange ellipses, ops light blue boxes, constants small and grey. A graph
keeps no values but its scalar inputs' and those that derivative rules asked for, so a value is shown where one of them
holds it or where it follows from them; otherwise shape and dtype stand in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, final

from .backend import owner
from .errors import GradientError, JITrenchError
from .graph import RAW, Freed, MultiNode, Output, no_grad
from .op import Meta
from .tensor import Tensor

if TYPE_CHECKING:
    from os import PathLike

FORMATS = {".svg": "svg", ".png": "png", ".pdf": "pdf", ".dot": "dot", ".gv": "dot"}
MOST_OPERANDS = 24  # of one op: concat may take thousands
MOST_CURVED = 100  # ops: in a larger graph straight edges, as curves around hundreds of nodes take dot minutes
MOST_ELEMENTS = 4  # of a tensor whose values are written out
MOST_DIGITS_IN_ARRAYS = 4
MOST_PIXELS, LONGEST_SIDE = 24e6, 32_000  # of a PNG: cairo draws no side of more than 32,767
LONGEST = 40  # characters of a name or an attribute

INSTALL = (
    "either `pip install 'jitrench-core[graph]'` and Graphviz's program `dot` (apt, dnf, brew, conda, choco: install "
    "graphviz), or `pip install 'pygraphviz>=2'`, whose wheels bring Graphviz with them"
)

# How many digits tell the numbers of a dtype apart; more are noise.
_DIGITS = {"float16": 4, "float32": 7, "complex64": 7}
_GREY, _BROWN = "#6e6e6e", "#6b4a00"

# Without nslimit dot takes minutes for 200 ops in a row that all use one input; smaller pictures stay the same.
_STYLE = f"""\
  nslimit=2; nslimit1=2;
  bgcolor="white"; pad=0.25; nodesep=0.28; ranksep=0.32; labelloc="t"; labeljust="l"; fontname="Helvetica"; fontsize=16;
  node [fontname="Helvetica", fontsize=12, height=0.36, margin="0.12,0.05", style="filled"];
  edge [fontname="Helvetica", fontsize=9, fontcolor="{_GREY}", color="{_GREY}", arrowsize=0.6];
"""
_LEFT = '<BR ALIGN="LEFT"/>'  # ends a line, and aligns it
_TIGHT = 'height=0.25, margin="0.06,0.03"'
_SHAPES = {
    "input": 'shape=octagon, fillcolor="orange", color="#a66300", penwidth=1.4',
    "variable": 'shape=ellipse, fillcolor="orange", color="#d98c00"',
    "output": 'shape=ellipse, fillcolor="orange", color="#a66300", penwidth=2.2',
    "op": 'shape=box, style="filled,rounded", fillcolor="lightblue", color="#6ba3b8", width=0.5',
    "constant": f'shape=ellipse, fillcolor="#f2f2f2", color="#c4c4c4", width=0.3, {_TIGHT}',
    "unknown": f'shape=ellipse, style="filled,dashed", fillcolor="white", color="#c4c4c4", {_TIGHT}',
    "faint": 'shape=ellipse, style="filled,dashed", fillcolor="#ffdfa8", color="#d98c00"',
    "more": f'shape=plaintext, style="", fontcolor="{_GREY}", height=0.2, margin="0.02,0.01"',
}

Variable = tuple[Any, int]  # what made it (a leaf or a recorded call), and which of its outputs it is


class PlotError(JITrenchError, ValueError):
    """What ``plot_graph`` was asked for cannot be drawn, or not written there."""


class RendererError(JITrenchError, ImportError):
    """No Graphviz is installed; the message says what to install."""


@final
class Picture:
    """A picture of a graph, which Jupyter shows. ``source`` is its DOT text."""

    __slots__ = ("source",)

    def __init__(self, source: str) -> None:
        self.source = source

    def __repr__(self) -> str:
        return "<graph picture: .save('graph.svg') writes it, .source is its DOT text>"

    def render(self, format: str = "svg") -> bytes:
        """The picture as ``"svg"``, ``"png"``, ``"pdf"`` or ``"dot"``; ``RendererError`` where Graphviz is missing."""
        if format not in FORMATS.values():
            raise PlotError(f"a picture renders as {', '.join(dict.fromkeys(FORMATS.values()))}; got {format!r}")
        return _render(self.source, format)

    def save(self, to_file: str | PathLike[str]) -> None:
        """Write the picture; the suffix says how: .svg, .png, .pdf, .dot or .gv (DOT text, which needs no Graphviz)."""
        format = _format(to_file)
        data = self.render(format)
        with open(to_file, "wb") as file:
            file.write(data)

    def _repr_svg_(self) -> str:
        return self.render("svg").decode()


def plot_graph(
    output: Tensor | Sequence[Tensor],
    to_file: str | PathLike[str] | None = None,
    *,
    title: str | None = None,
    max_nodes: int = 200,
) -> Picture:
    """Draw the graph that leads to ``output``: inputs as octagons, variables as ellipses, ops as boxes.

    ``to_file`` writes it, and its suffix says how: .svg, .png, .pdf, .dot or .gv; Jupyter shows what is returned.
    Scalars and the smallest tensors show their values where the graph keeps them, others their shape and dtype. A list
    of tensors draws all that leads to any of them; an input given in it shows its value in any case. At most
    ``max_nodes`` ops are drawn, those nearest to the output, and the picture says how many are not.

    Drawing needs Graphviz; DOT does not. Raises ``RendererError`` where there is none, ``PlotError`` for another suffix
    or a folder that does not exist, and ``GradientError`` for a tensor that nothing recorded.

    >>> import jitrench_core as jt
    >>> x = jt.Scalar(2.0, name="x")
    >>> jt.plot_graph(3 * x, title="three times x")
    <graph picture: .save('graph.svg') writes it, .source is its DOT text>
    """
    outputs = [output] if isinstance(output, Tensor) else list(output) if isinstance(output, (list, tuple)) else []
    if not outputs or not all(isinstance(y, Tensor) for y in outputs):
        raise PlotError(f"plot_graph draws a Tensor, or a list of them; got {type(output).__name__} {output!r:.60}")
    if any(y.node is None for y in outputs):
        raise GradientError(
            "plot_graph of a tensor that nothing recorded: no input requires a gradient, or it was computed under "
            "jt.no_grad() or after detach(). Create an input with requires_grad=True."
        )
    if max_nodes < 1:
        raise PlotError(f"max_nodes is how many ops to draw, an int from 1; got {max_nodes!r}")
    if to_file is not None:
        _format(to_file)  # before the work, not after it
    picture = Picture(_Drawing(outputs, max_nodes).source(title))
    if to_file is not None:
        picture.save(to_file)
    return picture


# -- what is in the graph -------------------------------------------------------------------------------------------


def _origin(node: Any) -> Variable:
    """The variable that a node stands for: an identity leaf is what it stands on, an output one of its call's."""
    while node.op is None and node.parents:
        if isinstance(node, Output):
            return node.parents[0], node.index
        node = node.parents[0]
    return node, 0


def _operands(call: Any) -> list[tuple[str, Any, Any]]:
    """Each array input of a call: its name, its node (None: a constant), and what was saved of it (None: nothing)."""
    op, n = call.op, len(call.op.arrays)
    saved = call.saved if type(call.saved) is tuple else ()
    values = [*saved[:n], *(None,) * (n - len(saved[:n]))]
    names = list(op.arrays)
    if op.variadic:
        more = len(call.parents) - n
        group = saved[n] if len(saved) > n else None
        values += group if type(group) is tuple and len(group) == more else (None,) * more
        names += [op.variadic] * more
    return list(zip(names, call.parents, values, strict=True))


def _shape(variable: Variable) -> tuple[int, ...]:
    unit, i = variable
    return tuple(unit.shape[i] if type(unit) is MultiNode else unit.shape)


def _native_dtype(variable: Variable) -> Any:
    unit, i = variable
    return unit.dtype[i] if type(unit) is MultiNode else unit.dtype


@final
class _Drawing:
    """One graph on its way to DOT: what is reachable, what is drawn of it, and the values that are known."""

    def __init__(self, outputs: list[Tensor], max_nodes: int) -> None:
        self.home = owner(type(outputs[0].data))
        self.outputs = dict.fromkeys(_origin(y.node) for y in outputs)
        self.max_nodes = max_nodes
        self.names: dict[Variable, str] = {}
        self.values: dict[Variable, Any] = {}
        self.lines: list[str] = []
        self.ids: dict[Any, str] = {}
        for y in outputs:
            self._name(y.node)
        self.all = self._walk()
        self.drawn, self.used = self._choose()
        # After what the calls saved: that is what they were computed with, whatever was assigned since
        for unit in self.all:
            value = getattr(unit, "value", None) if unit.op is None else None
            if value is not None:
                self.values.setdefault((unit, 0), value)
        for y in outputs:
            self.values.setdefault(_origin(y.node), y.data)
        self._derive()

    def _name(self, node: Any) -> None:
        name = getattr(node, "name", None)
        if name:
            self.names.setdefault(_origin(node), str(name))

    def _walk(self) -> list[Any]:
        """Everything that leads to the outputs, nearest first; notes names and saved values on the way."""
        found = list(dict.fromkeys(unit for unit, _ in self.outputs))
        seen = set(found)
        for unit in found:  # which grows meanwhile
            self._name(unit)
            self._note_saved(unit)
            for parent in unit.parents:
                if parent is not None:
                    self._name(parent)
                    source, _ = _origin(parent)
                    if source not in seen:
                        seen.add(source)
                        found.append(source)
        return found

    def _note_saved(self, unit: Any) -> None:
        saved = None if unit.op is None else unit.saved
        if type(saved) is not tuple or not saved:
            return
        y = saved[len(unit.op.inputs)]
        known = [((unit, i), v) for i, v in enumerate(y if type(unit) is MultiNode and y else (y,))]
        known += [(_origin(parent), v) for _, parent, v in _operands(unit) if parent is not None]
        for variable, v in known:
            if v is not None and type(v) is not Meta:
                self.values.setdefault(variable, v)

    def _choose(self) -> tuple[dict[Any, None], set[Variable]]:
        """What is drawn, at most ``max_nodes`` calls and the leaves that they take; and the variables used there."""
        drawn: dict[Any, None] = {}
        used = set(self.outputs)
        found = [unit for unit, _ in self.outputs]
        calls = 0
        for unit in found:
            if unit in drawn or (unit.op is not None and calls == self.max_nodes):
                continue
            drawn[unit] = None
            if unit.op is not None:
                calls += 1
                taken = [_origin(parent) for _, parent, _ in _operands(unit)[:MOST_OPERANDS] if parent is not None]
                used.update(taken)
                found += [source for source, _ in taken]
        return drawn, used

    def _derive(self) -> None:
        """Compute the scalars that no rule kept, where they follow from ones that were.

        Only for the core's own elementwise ops: these give the same result each time, a plugin's might draw numbers.
        """
        import warnings

        with no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for unit in reversed(_consumers_first(self.drawn)):
                op = unit.op
                if op is None or (unit, 0) in self.values or op.owner != "jitrench-core":
                    continue
                if not op.elementwise or op.aux or op.outputs > 1 or tuple(unit.shape):
                    continue
                args = [v if parent is None else self.values.get(_origin(parent)) for _, parent, v in _operands(unit)]
                if any(v is None or type(v) is Meta for v in args):
                    continue
                try:
                    operands = tuple(v if type(v) in RAW else Tensor(v) for v in args)
                    self.values[unit, 0] = op.apply(operands, unit.attrs).data
                except Exception:
                    continue  # a picture is no place to fail: the shape will do

    # -- DOT --------------------------------------------------------------------------------------------------------

    def source(self, title: str | None) -> str:
        """The picture as DOT text, the same for the same graph."""
        for unit in reversed(_consumers_first(self.drawn)):
            if unit.op is None:
                self._variable((unit, 0), "input")
            else:
                self._call(unit)
        for variable in self.outputs:
            self._taken(variable)
        heading = [_html(title, 200)] if title else []
        heading += [_small(_html(note)) for note in self._notes()]
        lines = "".join(line.replace("<BR/>", _LEFT) + _LEFT for line in heading)
        label = f"  label=<{lines}>;\n" if heading else ""
        edges = "  splines=line;\n" if sum(u.op is not None for u in self.drawn) > MOST_CURVED else ""
        return f"digraph jitrench {{\n{_STYLE}{edges}{label}{''.join(self.lines)}}}\n"

    def _notes(self) -> Iterable[str]:
        totals = ("ops", [u.op is not None for u in self.all], [u.op is not None for u in self.drawn])
        inputs = ("inputs", [u.op is None for u in self.all], [u.op is None for u in self.drawn])
        hidden = [f"{sum(n) - sum(m):,} of {sum(n):,} {what}" for what, n, m in (totals, inputs) if sum(n) > sum(m)]
        if hidden:
            limit = f" (max_nodes={self.max_nodes})" if sum(totals[1]) > sum(totals[2]) else ""
            yield f"not drawn: {' and '.join(hidden)}{limit}"
        if any(u.op is not None and type(u.saved) is Freed for u in self.drawn):
            yield "backward has freed this graph, and the values in it"

    def _call(self, call: Any) -> None:
        """A box, an edge from each operand, and the ellipse of each result."""
        op = call.op
        doc = (op.__doc__ or "").strip().partition("\n")[0]
        attrs = [_attribute(k, v) for k, v in call.attrs.items() if repr(v) != repr(op.attrs.get(k))]
        label = "<BR/>".join([_html(op.name, LONGEST), *(_spaced(_small(_html(a, LONGEST)), 12) for a in attrs)])
        # In the order of the signature, from left to right
        order = "ordering=in" if len(call.parents) > 1 else ""
        box = self._node(call, "op", label, f"{op.usage()}\n{doc}", order)
        operands = _operands(call)
        for i, (name, parent, value) in enumerate(operands[:MOST_OPERANDS]):
            if parent is not None:
                self._edge(self._taken(_origin(parent)), box)
            elif value is not None:
                self._edge(self._constant(call, i, value), box)
            elif name not in op.optional:
                tip = f"{name}: a constant whose value the graph does not keep"
                self._edge(self._node(("constant", call, i), "unknown", _small("constant"), tip), box)
        if len(operands) > MOST_OPERANDS:
            label = _small(f"and {len(operands) - MOST_OPERANDS:,} more")
            self._edge(self._node(("more", call), "more", label, "not drawn"), box, "style=dashed")
        for i in range(op.outputs):
            if i < MOST_OPERANDS or (call, i) in self.used:
                kind = "output" if (call, i) in self.outputs else "variable" if (call, i) in self.used else "faint"
                self._edge(box, self._variable((call, i), kind), f'label=" {i}"' if op.outputs > 1 else "")

    def _taken(self, variable: Variable) -> str:
        """The id of an operand; one whose making is beyond the limit is drawn with a dashed edge from nothing."""
        if variable not in self.ids:
            self._variable(variable, "faint")
            dots = self._node(("more", variable), "more", "<B>. . .</B>", "not drawn")
            self._edge(dots, self.ids[variable], "style=dashed")
        return self.ids[variable]

    def _variable(self, variable: Variable, kind: str) -> str:
        value = self.values.get(variable)
        text = None if value is None else _value(value)
        main, detail = _describe(_shape(variable), _native_dtype(variable), self.home)
        name = self.names.get(variable, "")
        bold = f"<B>{_html(name if name.strip() else repr(name), LONGEST)}</B>" if name else ""
        if text is not None:
            label = f"{bold} = {_html(text)}" if bold else _html(text)
        else:
            above = f"{bold}<BR/>{_spaced(_html(main), 15)}" if bold else _html(main)
            label = f"{above}<BR/>{_small(_html(detail), _BROWN)}"
        return self._node(variable, kind, label, f"{name}: {detail} {main}" if name else f"{detail} {main}")

    def _constant(self, call: Any, i: int, value: Any) -> str:
        """A number, or an array without a gradient; one array that goes to several ops is drawn once."""
        if type(value) in RAW:
            return self._node(("constant", call, i), "constant", _html(_number(value, 10)), "a Python number")
        shape = tuple(value.shape)
        key = ("array", id(value)) if shape else ("constant", call, i)
        main, detail = _describe(shape, value.dtype, self.home)
        text = None if type(value) is Meta else _value(value)
        label = f"{_html(main)}<BR/>{_small(_html(detail))}" if text is None else _html(text)
        return self._node(key, "constant", label, f"a constant: {detail} {main}")

    def _node(self, key: Any, kind: str, label: str, tooltip: str, more: str = "") -> str:
        """A line for a new node; its id. ``label`` is HTML."""
        if key not in self.ids:
            self.ids[key] = f"n{len(self.ids)}"
            attrs = [_SHAPES[kind], f"label=<{label}>", f"tooltip={_quoted(tooltip)}", *([more] if more else [])]
            self.lines.append(f"  {self.ids[key]} [{', '.join(attrs)}];\n")
        return self.ids[key]

    def _edge(self, tail: str, head: str, attrs: str = "") -> None:
        self.lines.append(f"  {tail} -> {head}{f' [{attrs}]' if attrs else ''};\n")


def _consumers_first(units: Iterable[Any]) -> list[Any]:
    """``units`` so that each comes before what it was computed from; without recursion."""
    units = dict.fromkeys(units)
    counts = dict.fromkeys(units, 0)
    for unit in units:
        for parent in unit.parents:
            made_by = None if parent is None else _origin(parent)[0]
            if made_by in counts:
                counts[made_by] += 1
    ready = [unit for unit, n in counts.items() if not n]
    order = []
    while ready:
        unit = ready.pop()
        order.append(unit)
        for parent in reversed(unit.parents):
            made_by = None if parent is None else _origin(parent)[0]
            if made_by in counts:
                counts[made_by] -= 1
                if not counts[made_by]:
                    ready.append(made_by)
    return order


# -- text -----------------------------------------------------------------------------------------------------------


def _describe(shape: tuple[int, ...], native: Any, home: Any) -> tuple[str, str]:
    """Shape and dtype in words, for what has no value to show."""
    try:
        name = home.core_dtype(native).name
    except Exception:  # of another backend than the output's, or an interpreter's
        name = str(getattr(native, "name", native)).rpartition(".")[2]
    return str(shape) if shape else "scalar", name


def _value(value: Any) -> str | None:
    """A scalar or a very small array as text; None for what is larger, or inside an interpreter such as jvp."""
    if type(value) in RAW:
        return _number(value, 10)
    who = owner(type(value))
    size = 1
    for length in value.shape:
        size *= length
    if who.depth or size > MOST_ELEMENTS or not size:
        return None
    digits = _DIGITS.get(who.core_dtype(value.dtype).name, 10) if not value.shape else MOST_DIGITS_IN_ARRAYS
    return _nested(who.to_numpy(value).tolist(), digits)


def _nested(value: Any, digits: int) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_nested(v, digits) for v in value)}]"
    return _number(value, digits)


def _number(value: Any, digits: int) -> str:
    """A number as Python writes it, unless that is long: then so many digits."""
    text = repr(value)
    if isinstance(value, float):
        return text if len(text) <= digits + 2 else f"{value:.{digits}g}"
    if isinstance(value, complex):
        return text if len(text) <= digits + 2 else f"{value:.{max(digits // 2, 3)}g}"
    return text if len(text) <= 24 else f"{text[:10]}…{text[-10:]}"


def _attribute(name: str, value: Any) -> str:
    """``axis=1``; a key of getitem as it is written, ``[0, :, 1:3]``."""
    if name == "key" and isinstance(value, tuple):
        return f"[{', '.join(map(_index, value))}]"
    return f"{name}={value}"


def _index(k: Any) -> str:
    if not isinstance(k, slice):
        return "..." if k is Ellipsis else "array" if repr(k) == "ARRAY" else repr(k)
    text = f"{'' if k.start is None else k.start}:{'' if k.stop is None else k.stop}"
    return text if k.step is None else f"{text}:{k.step}"


def _legible(text: str, limit: int) -> str:
    """Text that XML can hold: control characters and lone surrogates as Python escapes them; cut after ``limit``."""
    text = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return "".join(
        c.encode("unicode_escape").decode()
        if (c < " " and c != "\n") or "\x7f" <= c <= "\x9f" or "\ud800" <= c <= "\udfff" or c in "\ufffe\uffff"
        else c
        for c in text
    )


def _html(text: str, limit: int = 200) -> str:
    """Text for a label of DOT's HTML kind."""
    text = _legible(text, limit).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("\\", "\\\\").replace("\n", "<BR/>")  # a backslash starts a placeholder here, too


def _small(html: str, color: str = _GREY) -> str:
    return f'<FONT POINT-SIZE="10" COLOR="{color}">{html}</FONT>'


def _spaced(html: str, points: int) -> str:
    """A line as high as one of this size, by a space at either end: an underscore above it would touch it else."""
    space = f'<FONT POINT-SIZE="{points}"> </FONT>'
    return f"{space}{html}{space}"


def _quoted(text: str) -> str:
    """Text for a string in double quotes."""
    text = _legible(text, 300).replace("\\", "\\\\").replace("&", "&amp;").replace('"', '\\"')
    return '"' + text.replace("\n", "\\n") + '"'


# -- drawing --------------------------------------------------------------------------------------------------------


def _format(to_file: str | PathLike[str]) -> str:
    """What the suffix of ``to_file`` asks for; ``PlotError`` where it is unknown or the folder is not there."""
    from pathlib import Path

    try:
        path = Path(to_file)
    except TypeError:
        message = (
            f"to_file is the path of a file to write, a str or a Path; got {type(to_file).__name__} {to_file!r:.60}"
        )
        raise PlotError(message) from None
    if path.suffix.lower() not in FORMATS:
        came = repr(path.suffix) if path.suffix else "none"
        raise PlotError(
            f"cannot write a picture to {str(path)!r}: its suffix must be {', '.join(FORMATS)}; it is {came}"
        )
    if not path.parent.is_dir():
        raise PlotError(
            f"cannot write a picture to {str(path)!r}: there is no folder {str(path.parent)!r}; create it first"
        )
    return FORMATS[path.suffix.lower()]


def _render(source: str, format: str) -> bytes:
    """DOT text drawn by the ``dot`` program, else by the Graphviz inside pygraphviz."""
    if format == "dot":
        return source.encode()
    if format == "png":
        source = source.replace("{\n", f"{{\n  dpi={_resolution(_draw(source, 'svg')):.1f};\n", 1)
    return _draw(source, format)


def _resolution(svg: bytes) -> float:
    """Pixels per inch of a PNG: two per point, fewer for a picture that would get more pixels than viewers can open."""
    import math
    import re

    size = re.search(rb'<svg width="([0-9.]+)pt" height="([0-9.]+)pt"', svg)
    width, height = map(float, size.groups()) if size else (72.0, 72.0)
    return min(144.0, 72 * math.sqrt(MOST_PIXELS / (width * height)), 72 * LONGEST_SIDE / max(width, height))


def _draw(source: str, format: str) -> bytes:
    missing = []
    try:
        import graphviz
    except ImportError:
        missing.append("the Python package graphviz is not installed")
    else:
        try:
            return bytes(graphviz.pipe("dot", format, source.encode(), quiet=True))
        except graphviz.ExecutableNotFound:
            missing.append("the program `dot` is not on the PATH")
    try:
        import pygraphviz
    except ImportError as e:
        known = isinstance(e, ModuleNotFoundError)
        missing.append("pygraphviz is not installed" if known else f"pygraphviz does not import ({e})")
    else:
        with pygraphviz.AGraph(string=source) as graph:
            return bytes(graph.draw(format=format, prog="dot"))
    raise RendererError(
        f"drawing a graph needs Graphviz: {', and '.join(missing)}. Install {INSTALL}. Without any of them, "
        f"plot_graph(..., to_file='graph.dot') writes the DOT text."
    )
