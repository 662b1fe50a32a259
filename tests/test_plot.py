"""Graph pictures: what is in them, how they are written, and what is said where they cannot be drawn."""

from __future__ import annotations

import html
import re
import subprocess
import sys
import types
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import jitrench_core as jt
from jitrench_core.plot import Picture, PlotError, RendererError


class Drawn:
    """A DOT source, read back: nodes with shape, label (as text) and tooltip, and edges."""

    def __init__(self, picture: Picture) -> None:
        self.source = picture.source
        self.nodes: dict[str, tuple[str, str, str]] = {}
        self.edges: list[tuple[str, str]] = []
        self.heading = ""
        for line in self.source.splitlines():
            if node := re.fullmatch(
                r'  (n\d+) \[shape=(\w+), .*?label=<(.*)>, tooltip="(.*)"(, ordering=in)?\];', line
            ):
                key, shape, label, tip = node.groups()[:4]
                self.nodes[key] = (shape, text(label), tip)
            elif edge := re.fullmatch(r"  (n\d+) -> (n\d+)( \[.*\])?;", line):
                self.edges.append((edge[1], edge[2]))
            elif heading := re.fullmatch(r"  label=<(.*)>;", line):
                self.heading = text(heading[1])
        assert all(a in self.nodes and b in self.nodes for a, b in self.edges)

    def labels(self, shape: str) -> list[str]:
        return [label for s, label, _ in self.nodes.values() if s == shape]

    def into(self, label: str) -> list[str]:
        """What goes into the only node with ``label``, from left to right."""
        (key,) = (key for key, node in self.nodes.items() if node[1] == label)
        return [self.nodes[a][1] for a, b in self.edges if b == key]


def text(label: str) -> str:
    # without what makes room between lines, and the end of the last line
    label = re.sub(r'<FONT POINT-SIZE="\d+"> </FONT>|<BR ALIGN="LEFT"/>$', "", label)
    return html.unescape(re.sub("<[^>]*>", "", re.sub("<BR[^>]*>", "\n", label))).replace("\\\\", "\\")


def drawn(*args: Any, **kwargs: Any) -> Drawn:
    return Drawn(jt.plot_graph(*args, **kwargs))


def goldstein_price(x: Any, y: Any) -> Any:
    return (1 + (x + y + 1) ** 2 * (19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2)) * (
        30 + (2 * x - 3 * y) ** 2 * (18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2)
    )


def can_draw() -> bool:
    try:
        Picture("digraph jitrench {\n}\n").render("svg")
    except RendererError:
        return False
    return True


needs_graphviz = pytest.mark.skipif(not can_draw(), reason="neither `dot` nor pygraphviz is installed")


# -- what is in the picture -----------------------------------------------------------------------------------------


def test_goldstein_price(T: Any) -> None:
    z = goldstein_price(T(2.5, requires_grad=True, name="x"), T(3.5, requires_grad=True, name="y"))
    d = drawn(z, title="Goldstein-Price")
    assert d.heading == "Goldstein-Price"
    assert sorted(d.labels("octagon")) == ["x = 2.5", "y = 3.5"]
    assert Counter(d.labels("box")) == {"add": 10, "subtract": 5, "multiply": 17, "pow": 6}
    values = d.labels("ellipse")
    assert {"12609397.25", "2108.0", "5981.6875", "5951.6875", "43.0", "49.0", "-5.5"} <= set(values)
    assert {"14", "3", "6", "2", "32", "12", "48", "36", "27"} <= set(values)
    assert d.into("12609397.25") == ["multiply"]
    # every op makes one variable, and every variable but the output goes on
    boxes = {key for key, (shape, _, _) in d.nodes.items() if shape == "box"}
    assert Counter(a for a, _ in d.edges if a in boxes) == dict.fromkeys(boxes, 1)
    assert len(d.nodes.keys() - {a for a, _ in d.edges}) == 1


def test_operands_stand_in_the_order_of_the_signature(T: Any) -> None:
    x = T(2.0, requires_grad=True, name="x")
    y = T(4.0, requires_grad=True, name="y")
    d = drawn(jt.atan2(x, y))
    assert d.into("atan2") == ["x = 2.0", "y = 4.0"]
    assert "ordering=in" in d.source
    d = drawn(T(2.0, requires_grad=True, name="base") ** 3)
    assert d.into("pow") == ["base = 2.0", "3"]


def test_a_variable_used_twice_is_one_node(T: Any) -> None:
    x = T(3.0, requires_grad=True, name="x")
    d = drawn(x * x)
    assert d.labels("octagon") == ["x = 3.0"]
    assert d.into("multiply") == ["x = 3.0", "x = 3.0"]


def test_an_array_without_a_gradient_that_goes_to_two_ops_is_one_node(T: Any) -> None:
    x, c = T([1.0] * 5, requires_grad=True, name="x"), T([2.0] * 5)
    d = drawn((x * c * c).sum())
    assert d.labels("ellipse").count("(5,)\nfloat64") == 3  # c, and the two products


def test_values_of_scalars_follow_from_what_is_kept(T: Any) -> None:
    x = T(0.5, requires_grad=True, name="x")
    y = jt.exp(-(x * x))  # negative keeps nothing, and nothing keeps its result
    assert {"0.25", "-0.25", "0.7788007831"} <= set(drawn(y).labels("ellipse"))


def test_what_no_rule_keeps_is_shown_as_unknown(T: Any) -> None:
    x = T([2.0], requires_grad=True, name="x")
    d = drawn(x + T(1.0))
    assert d.labels("octagon") == ["x\n(1,)\nfloat64"]
    assert d.into("add")[1] == "constant"
    assert d.labels("ellipse").count("[3.0]") == 1  # the output's own value is always known


def test_scalar_inputs_show_their_values_though_no_rule_keeps_them() -> None:
    x, y = jt.Scalar(2.0, name="x"), jt.Scalar(1.0, name="y")
    d = drawn(x + y)
    assert sorted(d.labels("octagon")) == ["x = 2.0", "y = 1.0"]
    assert d.labels("ellipse") == ["3.0"]
    assert "3.0" in drawn(-(x + y)).labels("ellipse")  # and what follows from them


def test_a_scalar_input_that_was_updated_in_place_shows_no_value_of_another_time(T: Any) -> None:
    x = T(2.0, requires_grad=True, name="x")
    y = x + x
    with jt.no_grad():
        x += 1.0
    assert drawn(-y).labels("octagon") == ["x\nscalar\nfloat64"]


def test_a_value_that_a_consumer_saved_goes_before_the_leafs_own(T: Any) -> None:
    x = T(2.0, requires_grad=True, name="x")
    y = x * x
    assert x.node is not None
    x.node.value = T(5.0).data
    assert drawn(y).labels("octagon") == ["x = 2.0"]


def test_an_input_given_with_the_output_shows_its_value(T: Any) -> None:
    x, y = T(2.0, requires_grad=True, name="x"), T(1.0, requires_grad=True, name="y")
    d = drawn([-(x + y), x, y])
    assert sorted(d.labels("octagon")) == ["x = 2.0", "y = 1.0"]
    assert "3.0" in d.labels("ellipse")  # and what follows from it


def test_a_value_is_the_one_that_was_computed_with(T: Any) -> None:
    x = T(2.0, requires_grad=True, name="x")
    y = x * x
    with jt.no_grad():
        x += 1.0
    assert drawn([y, x]).labels("octagon") == ["x = 2.0"]


def test_plugins_ops_are_never_run_again() -> None:
    runs = []

    @jt.op(elementwise=True, vjp=lambda g: g)
    def draws(xp: Any, x: Any, /) -> Any:
        """x, with a side effect."""
        runs.append(x)
        return x + 1.0

    x = jt.Scalar(2.0)
    d = drawn(-draws(x * x))
    assert len(runs) == 1
    assert "scalar\nfloat64" in d.labels("ellipse")


def test_arrays_show_shape_and_dtype_and_tiny_ones_their_values(T: Any) -> None:
    x = T([[1.0, 2.0, 3.0]], "float32", requires_grad=True, name="x")
    y = T([0.123456789, 1.0], "float64", requires_grad=True)
    assert drawn((x * x).sum()).labels("octagon") == ["x = [[1.0, 2.0, 3.0]]"]
    assert drawn((y * y).sum()).labels("octagon") == ["[0.1235, 1.0]"]
    big = T([[0.5] * 8] * 4, "float32", requires_grad=True, name="W")
    d = drawn((big @ T([1.0] * 8, "float32")).sum())
    assert d.labels("octagon") == ["W\n(4, 8)\nfloat32"]
    assert "(4,)\nfloat32" in d.labels("ellipse")
    assert "(8,)\nfloat32" in d.labels("ellipse")
    assert 'tooltip="W: float32 (4, 8)"' in d.source


@pytest.mark.parametrize(
    ("value", "dtype", "shown"),
    [
        (2.5, "float64", "2.5"),
        (-12609397.25, "float64", "-12609397.25"),
        (1 / 3, "float64", "0.3333333333"),
        (1 / 3, "float32", "0.3333333"),
        (1e300, "float64", "1e+300"),
        (float("nan"), "float64", "nan"),
        (float("-inf"), "float64", "-inf"),
    ],
)
def test_numbers(T: Any, value: float, dtype: str, shown: str) -> None:
    x = T(value, dtype, requires_grad=True)
    assert drawn(x).labels("octagon") == [shown]


def test_attributes_and_keys(T: Any) -> None:
    A = T([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True, name="A")
    boxes = drawn(jt.reshape(A, (2, 3))[0].sum()).labels("box")
    assert boxes == ["reshape\nshape=(2, 3)", "getitem\n[0]", "sum"]
    boxes = drawn(jt.softmax(A[1:, ::-1], axis=0)[..., None].sum(axis=1, keepdims=False)).labels("box")
    assert boxes == ["getitem\n[1:, ::-1]", "softmax\naxis=0", "getitem\n[..., None]", "sum\naxis=1"]
    d = drawn(A[T([0, 2], "int64"), 1].sum())
    assert d.into("getitem\n[array, 1]") == ["A\n(3, 2)\nfloat64", "[0, 2]"]


def test_optional_inputs_that_were_not_given_are_not_drawn(T: Any) -> None:
    x = T([1.0, 5.0], requires_grad=True, name="x")
    assert drawn(jt.clip(x, None, 3.0).sum()).into("clip") == ["x = [1.0, 5.0]", "3.0"]


@jt.op(outputs=2, vjp=lambda g, y: g[0] * y[0] - g[1])
def exp_and_minus(xp: Any, x: Any, /) -> Any:
    """exp(x) and -x."""
    return xp.exp(x), -x


def test_an_op_with_several_outputs(T: Any) -> None:
    x = T([0.0], requires_grad=True, name="x")
    a, b = exp_and_minus(x)
    b.name = "minus"
    d = drawn((a * b).sum())
    assert d.labels("box") == ["exp_and_minus", "multiply", "sum"]
    assert d.into("multiply") == ["[1.0]", "minus = [-0.0]"]
    assert d.into("[1.0]") == d.into("minus = [-0.0]") == ["exp_and_minus"]
    assert 'label=" 0"' in d.source
    assert 'label=" 1"' in d.source
    alone = drawn(a.sum())  # the other output is there, but faint
    assert "dashed" in next(line for line in alone.source.splitlines() if "[-0.0]" in line)


def test_names_of_computed_tensors_and_tooltips(T: Any) -> None:
    x = T(2.0, requires_grad=True, name="x")
    loss = x * x
    loss.name = "loss"
    d = drawn(loss)
    assert "loss = 4.0" in d.labels("ellipse")
    assert ("box", "multiply", "multiply(x1, x2, /)\\nx1 * x2, elementwise.") in d.nodes.values()


def test_a_leaf_alone_is_a_picture_too() -> None:
    assert drawn(jt.Scalar(2.5, name="x")).labels("octagon") == ["x = 2.5"]


def test_a_graph_that_backward_freed_is_drawn_as_far_as_possible(T: Any) -> None:
    x = T([2.0], requires_grad=True, name="x")
    y = jt.sin(x * 3).sum()
    y.backward()
    d = drawn(y, title="later")
    assert d.heading == "later\nbackward has freed this graph, and the values in it"
    assert d.labels("octagon") == ["x\n(1,)\nfloat64"]
    assert d.labels("box") == ["multiply", "sin", "sum"]
    assert "-0.2794154982" in d.labels("ellipse")


def test_a_gradients_own_graph(T: Any) -> None:
    x = T(2.0, requires_grad=True, name="x")
    (x**3).backward(create_graph=True)
    assert x.grad is not None
    d = drawn(x.grad)
    assert d.labels("octagon") == ["x = 2.0"]
    assert "12.0" in d.labels("ellipse")


def test_the_arguments_of_a_transform_are_the_tensors_they_stand_for(T: Any) -> None:
    t, c = T(3.0, requires_grad=True, name="t"), T(2.0, requires_grad=True, name="c")
    g = jt.grad(jt.grad(lambda t: t**3 * c))(t)
    assert sorted(label[0] for label in drawn(g).labels("octagon")) == ["c", "t"]
    inner = []
    jt.grad(lambda v: inner.append(drawn(v * v * 2.0)) or v * v)(T(3.0))
    assert inner[0].labels("octagon") == ["3.0"]


def test_inside_jvp_and_vmap_there_are_shapes_only(T: Any) -> None:
    pictures = []

    def f(v: Any) -> Any:
        w = T(3.0, requires_grad=True, name="w")
        pictures.append(drawn(jt.sin(w * v)))
        return v

    jt.jvp(f, (T(1.0),), (T(1.0),))
    jt.vmap(f)(T([1.0, 2.0]))
    for d in pictures:
        assert d.labels("box") == ["multiply", "sin"]
        assert d.labels("octagon")[0].startswith("w\nscalar")


def test_the_source_is_the_same_for_the_same_graph(T: Any) -> None:
    sources = {
        jt.plot_graph(goldstein_price(T(2.5, requires_grad=True), T(3.5, requires_grad=True))).source for _ in range(2)
    }
    assert len(sources) == 1


# -- the limit ------------------------------------------------------------------------------------------------------


def test_the_limit_says_what_it_left_out(T: Any) -> None:
    x, y = T(2.5, requires_grad=True, name="x"), T(3.5, requires_grad=True, name="y")
    d = drawn(goldstein_price(x, y), max_nodes=8, title="cut")
    assert d.heading == "cut\nnot drawn: 30 of 38 ops and 2 of 2 inputs (max_nodes=8)"
    assert len(d.labels("box")) == 8
    assert d.labels("plaintext") == [". . ."] * 5
    assert "12609397.25" in d.labels("ellipse")
    assert "not drawn" not in drawn(goldstein_price(x, y), max_nodes=38).heading
    # at the left, where one begins to look at a picture that is wider than the screen
    assert 'labeljust="l"' in d.source
    assert d.source.count('<BR ALIGN="LEFT"/>') == 2


def test_a_line_below_a_name_keeps_its_distance(T: Any) -> None:
    b = T([0.5] * 5, requires_grad=True, name="Linear_1.bias")
    source = jt.plot_graph(jt.log_softmax(b, axis=0).sum()).source
    assert '<B>Linear_1.bias</B><BR/><FONT POINT-SIZE="15"> </FONT>(5,)<FONT POINT-SIZE="15"> </FONT><BR/>' in source
    assert 'log_softmax<BR/><FONT POINT-SIZE="12"> </FONT><FONT POINT-SIZE="10" COLOR="#6e6e6e">axis=0</FONT>' in source


def test_a_long_chain_is_cut_without_recursion(T: Any) -> None:
    y = T(1.0, requires_grad=True, name="x")
    for _ in range(30_000):
        y = y + 1.0
    d = drawn(y)
    assert d.heading == "not drawn: 29,800 of 30,000 ops and 1 of 1 inputs (max_nodes=200)"
    assert len(d.nodes) < 700


def test_an_op_with_thousands_of_operands(T: Any) -> None:
    d = drawn(jt.stack([T(float(i), requires_grad=True) for i in range(2000)]).sum())
    assert d.heading == "not drawn: 1,976 of 2,000 inputs"
    assert d.labels("plaintext") == ["and 1,976 more"]
    assert len(d.labels("octagon")) == 24


def hub(ops: int, inputs: int = 1) -> jt.Tensor:
    """A loop in which every other op takes the same input, or every op one of two."""
    s, y, z = jt.Scalar(1.0, name="s"), jt.Scalar(2.0, name="y"), jt.Scalar(0.5, name="z")
    for _ in range(ops // 2):
        s = s * (z if inputs == 2 else 1.001) + y
    return s


def test_how_long_dot_optimizes_is_limited() -> None:
    for ops, straight in ((2, False), (100, False), (102, True)):
        source = jt.plot_graph(hub(ops)).source
        assert "nslimit=2; nslimit1=2;" in source
        assert ("splines=line" in source) == straight


@needs_graphviz
@pytest.mark.parametrize("inputs", [1, 2])
def test_an_input_that_200_ops_use_is_drawn_in_seconds(inputs: int) -> None:  # it took more than ten minutes
    code = f"import test_plot, jitrench_core as jt; jt.plot_graph(test_plot.hub(200, {inputs})).render('svg')"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, timeout=120, check=True)


# -- names and titles -----------------------------------------------------------------------------------------------

NAMES = {
    'a "quoted"': 'a "quoted"',
    "<b>tag</b> & co": "<b>tag</b> & co",
    "&amp; &lt;": "&amp; &lt;",
    "two\nlines": "two\nlines",
    "重み σ² 🤖": "重み σ² 🤖",
    "\x00\x1b\ud800\uffff": r"\x00\x1b\ud800\uffff",
    "\\N \\G back\\": "\\N \\G back\\",
    "   ": "'   '",
    "{a|b}; ->": "{a|b}; ->",
    "]]>": "]]>",
    "n" * 100: "n" * 39 + "…",
    '"];evil [label="': '"];evil [label="',
}


@pytest.mark.parametrize("name", NAMES)
def test_names_and_titles_are_escaped(name: str) -> None:
    x = jt.Scalar(2.0, name=name)
    picture = jt.plot_graph(x * x, title=name)
    d = Drawn(picture)
    assert d.labels("octagon") == [f"{NAMES[name]} = 2.0"]
    assert len(d.nodes) == 3
    picture.source.encode()
    if len(name) < 100 and name.strip():
        assert d.heading == NAMES[name]


@needs_graphviz
@pytest.mark.parametrize("name", NAMES)
def test_graphviz_shows_names_and_titles_as_they_are(name: str) -> None:
    x = jt.Scalar(2.0, name=name)
    svg = ET.fromstring(jt.plot_graph(x * x, title=name).render("svg"))
    texts = "".join("".join(e.itertext()) + "\n" for e in svg.iter("{http://www.w3.org/2000/svg}text"))
    for line in NAMES[name].split("\n"):
        assert line.replace(" ", "") in texts.replace("\xa0", "").replace(" ", "")
    assert len([e for e in svg.iter("{http://www.w3.org/2000/svg}g") if e.get("class") == "node"]) == 3


# -- files and what draws them --------------------------------------------------------------------------------------


@pytest.fixture
def square() -> jt.Tensor:
    x = jt.Scalar(2.0, name="x")
    return x * x


@needs_graphviz
@pytest.mark.parametrize(
    ("suffix", "start"), [(".svg", b"<?xml"), (".png", b"\x89PNG"), (".pdf", b"%PDF"), (".SVG", b"<?xml")]
)
def test_files(square: jt.Tensor, tmp_path: Path, suffix: str, start: bytes) -> None:
    file = tmp_path / f"z{suffix}"
    picture = jt.plot_graph(square, to_file=file, title="a square")
    assert file.read_bytes().startswith(start)
    assert picture.render(suffix[1:].lower()).startswith(start)


@needs_graphviz
def test_a_png_of_a_long_graph_is_not_larger_than_viewers_open() -> None:
    x = y = jt.Scalar(0.5)
    for _ in range(150):
        y = jt.sin(y) * 1.01
    png = jt.plot_graph(y).render("png")
    width, height = (int.from_bytes(png[i : i + 4], "big") for i in (16, 20))
    assert width * height < 26e6
    small = jt.plot_graph(x).render("png")
    assert len(small) < len(png)


@pytest.mark.parametrize("suffix", [".dot", ".gv"])
def test_dot_needs_nothing(square: jt.Tensor, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graphviz", None)
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    file = tmp_path / f"z{suffix}"
    picture = jt.plot_graph(square, str(file))
    assert file.read_text(encoding="utf-8") == picture.source
    assert picture.source.startswith("digraph jitrench {")


def test_other_suffixes_and_missing_folders(square: jt.Tensor, tmp_path: Path) -> None:
    with pytest.raises(PlotError, match=r"its suffix must be \.svg, \.png, \.pdf, \.dot, \.gv; it is '\.jpg'"):
        jt.plot_graph(square, tmp_path / "z.jpg")
    with pytest.raises(PlotError, match=r"its suffix must be .*; it is none"):
        jt.plot_graph(square, tmp_path / "z")
    with pytest.raises(PlotError, match=r"there is no folder '.*gone'; create it first"):
        jt.plot_graph(square, tmp_path / "gone" / "z.svg")
    with pytest.raises(PlotError, match=r"to_file is the path of a file to write, a str or a Path; got int 5"):
        jt.plot_graph(square, to_file=5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a picture renders as svg, png, pdf, dot; got 'jpg'"):
        jt.plot_graph(square).render("jpg")


def test_what_cannot_be_drawn(square: jt.Tensor) -> None:
    with pytest.raises(PlotError, match=r"plot_graph draws a Tensor, or a list of them; got float 2\.5"):
        jt.plot_graph(2.5)  # type: ignore[arg-type]
    with pytest.raises(PlotError, match=r"or a list of them; got list \[\]"):
        jt.plot_graph([])
    with pytest.raises(jt.GradientError, match="plot_graph of a tensor that nothing recorded: no input requires"):
        jt.plot_graph(square.detach())
    with pytest.raises(PlotError, match="max_nodes is how many ops to draw, an int from 1; got 0"):
        jt.plot_graph(square, max_nodes=0)


@needs_graphviz
def test_jupyter_shows_it(square: jt.Tensor) -> None:
    picture = jt.plot_graph(square)
    svg = picture._repr_svg_()
    assert svg.startswith("<?xml")
    assert "octagon" not in svg  # which is drawn, not named
    assert repr(picture) == "<graph picture: .save('graph.svg') writes it, .source is its DOT text>"


class NoDot(Exception):
    pass


def without_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    def pipe(*args: Any, **kwargs: Any) -> Any:
        raise NoDot

    monkeypatch.setitem(sys.modules, "graphviz", types.SimpleNamespace(pipe=pipe, ExecutableNotFound=NoDot))


def test_the_program_dot_draws(square: jt.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def pipe(engine: str, format: str, data: bytes, quiet: bool = False) -> bytes:
        calls.append((engine, format, data))
        return b"drawn"

    monkeypatch.setitem(sys.modules, "graphviz", types.SimpleNamespace(pipe=pipe, ExecutableNotFound=NoDot))
    picture = jt.plot_graph(square)
    assert picture.render("svg") == b"drawn"
    assert calls == [("dot", "svg", picture.source.encode())]


@pytest.mark.parametrize("package", [True, False])
def test_pygraphviz_draws_where_dot_is_missing(
    square: jt.Tensor, monkeypatch: pytest.MonkeyPatch, package: bool
) -> None:
    class AGraph:
        def __init__(self, string: str) -> None:
            self.string = string

        def __enter__(self) -> AGraph:
            return self

        def __exit__(self, *exc: object) -> None:
            self.string = ""

        def draw(self, format: str, prog: str) -> bytes:
            return f"{prog} {format} {len(self.string)}".encode()

    if package:
        without_dot(monkeypatch)
    else:
        monkeypatch.setitem(sys.modules, "graphviz", None)
    monkeypatch.setitem(sys.modules, "pygraphviz", types.SimpleNamespace(AGraph=AGraph))
    picture = jt.plot_graph(square)
    assert picture.render("pdf") == f"dot pdf {len(picture.source)}".encode()


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        (True, "the program `dot` is not on the PATH, and pygraphviz is not installed"),
        (False, "the Python package graphviz is not installed, and pygraphviz is not installed"),
    ],
)
def test_where_nothing_draws_the_error_says_what_to_install(
    square: jt.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: bool, reason: str
) -> None:
    if package:
        without_dot(monkeypatch)
    else:
        monkeypatch.setitem(sys.modules, "graphviz", None)
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    with pytest.raises(RendererError) as caught:
        jt.plot_graph(square, to_file=tmp_path / "z.svg")
    message = str(caught.value)
    assert reason in message
    for what in ("pip install 'jitrench-core[graph]'", "`dot`", "pip install 'pygraphviz>=2'", "to_file='graph.dot'"):
        assert what in message
    assert isinstance(caught.value, jt.JITrenchError)
    assert isinstance(caught.value, ImportError)
    assert not (tmp_path / "z.svg").exists()
    with pytest.raises(RendererError):
        jt.plot_graph(square)._repr_svg_()


def test_a_pygraphviz_that_does_not_import_says_why(square: jt.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        def find_spec(self, name: str, *args: Any) -> Any:
            if name == "pygraphviz":
                raise ImportError("libexpat.so.1: cannot open shared object file")
            return None

    without_dot(monkeypatch)
    monkeypatch.delitem(sys.modules, "pygraphviz", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(RendererError, match=r"pygraphviz does not import \(libexpat\.so\.1: cannot open"):
        jt.plot_graph(square).render()


def test_neither_is_imported_before_something_is_drawn() -> None:
    code = (
        "import sys, jitrench_core as jt; x = jt.Scalar(2.0); jt.plot_graph(x * x);"
        "print([m for m in ('graphviz', 'pygraphviz') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
