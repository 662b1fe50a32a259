"""The example scripts run, write what they say, and come to the numbers that they are known for.

Those that train networks are in test_examples_nn.py.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import jitrench_core as jt
from jitrench_core.plot import RendererError

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def picture_format() -> str:
    """SVG, or where no Graphviz is installed its source."""
    x = jt.Scalar(1.0)
    try:
        jt.plot_graph(x + x).render("svg")
    except ImportError:
        return "dot"
    return "svg"


def test_goldstein_price(tmp_path):
    z, dx, dy, picture = example("goldstein_price").main(["--out", str(tmp_path), "--format", "dot"])
    assert (z, dx, dy) == (12609397.25, -5324409.0, 33109701.0)
    source = picture.read_text()
    assert "Goldstein-Price" in source
    for name, value in (("x", "2.5"), ("y", "3.5")):
        (node,) = [line for line in source.splitlines() if f"<B>{name}</B> = {value}" in line]
        assert "shape=octagon" in node
        assert 'fillcolor="orange"' in node
    (end,) = [line for line in source.splitlines() if "12609397.25" in line]
    assert "shape=ellipse" in end
    assert source.count('fillcolor="lightblue"') == 38  # operations in the formula


@pytest.mark.skipif(picture_format() == "dot", reason="no Graphviz to draw with")
def test_goldstein_price_picture(tmp_path):
    *_, picture = example("goldstein_price").main(["--out", str(tmp_path)])
    text = picture.read_text()
    assert text.count("<polygon") >= 2  # an octagon per input
    assert "12609397.25" in text


def test_rosenbrock_is_the_loop_by_hand():
    x, y, file = example("rosenbrock").main(["--frames", "0"])
    assert file is None
    a, b, lr = 0.0, 5.0, 1e-3
    for _ in range(10_000):
        u = b - a**2
        da, db = -400 * a * u + 2 * (a - 1), 200 * u
        a, b = a - lr * da, b - lr * db
    assert (x, y) == pytest.approx((a, b), abs=1e-12)
    assert (x, y) == pytest.approx((0.9959416584, 0.9918835074), abs=1e-9)


def test_rosenbrock_animation(tmp_path):
    from PIL import Image

    *_, file = example("rosenbrock").main(["--out", str(tmp_path), "--steps", "100", "--frames", "5"])
    with Image.open(file) as gif:
        assert gif.format == "GIF"
        assert gif.n_frames >= 5


def test_newton(tmp_path):
    x, file = example("newton").main(["--out", str(tmp_path)])
    assert abs(x - 1) < 1e-12
    assert file.stat().st_size > 1000


def test_tensor_gradient(tmp_path):
    y, gradient, picture = example("tensor_gradient").main(["--out", str(tmp_path), "--format", "dot"])
    assert y == 6.0
    assert gradient == [[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
    assert picture.read_text().count("shape=octagon") == 1


@pytest.mark.parametrize("name", ["goldstein_price", "tensor_gradient"])
def test_without_graphviz_the_numbers_still_come(name, tmp_path, monkeypatch, capsys):
    def refuse(*args, **kwargs):
        raise RendererError("drawing a graph needs Graphviz")

    monkeypatch.setattr(jt, "plot_graph", refuse)
    *_, picture = example(name).main(["--out", str(tmp_path)])
    assert picture is None
    output = capsys.readouterr().out
    assert "no picture of the graph: drawing a graph needs Graphviz\n" in output
    assert "graph: /" not in output


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("newton", ["--steps", "-5"], "argument --steps: expected a whole number from 0, got '-5'"),
        ("newton", ["--start", "nan"], "argument --start: expected a number from -1e6 to 1e6, got nan"),
        ("rosenbrock", ["--steps", "-5"], "argument --steps: expected a whole number from 1, got '-5'"),
        ("rosenbrock", ["--steps", "many"], "argument --steps: expected a whole number from 1, got 'many'"),
        ("rosenbrock", ["--frames", "-1"], "argument --frames: expected a whole number from 0, got '-1'"),
        ("rosenbrock", ["--lr", "0"], "argument --lr: expected a number above 0, at most 1e6; got '0'"),
    ],
)
def test_options_are_checked(name, arguments, message, capsys):
    with pytest.raises(SystemExit) as e:
        example(name).main(arguments)
    assert e.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("name", "project"), [("newton", "matplotlib"), ("rosenbrock", "matplotlib and pillow")])
def test_what_is_not_installed_is_said_first(name, project, tmp_path, monkeypatch, capsys):
    for module in ("matplotlib", "PIL"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SystemExit) as e:
        example(name).main(["--out", str(tmp_path)])
    assert e.value.code == f"this example needs {project}: python -m pip install {project.replace(' and', '')}"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("lr", ["0.01", "1", "1e6"])
def test_rosenbrock_that_diverges_says_so(lr):
    with pytest.raises(
        SystemExit, match=r"^the descent diverged at step \d+: a learning rate of .* is too large; try "
    ):
        example("rosenbrock").main(["--lr", lr, "--frames", "0"])


def test_newton_on_a_curve_without_curvature(tmp_path):
    flat = example("newton")
    flat.f = lambda x: 2 * x + 0 * x**2
    with pytest.raises(SystemExit, match=r"^no step from x = 2\.0: the curvature is 0; take another --start$"):
        flat.main(["--out", str(tmp_path)])


def test_sine_of_the_first_page():
    assert jt.grad(lambda x: jt.sin(x) + 1)(3.141592653589793).item() == -1.0


def test_as_a_script(tmp_path):
    command = [sys.executable, str(EXAMPLES / "newton.py"), "--out", str(tmp_path / "new"), "--steps", "3"]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    assert made.stdout.startswith("step  0: x = 2.0")
    assert (tmp_path / "new" / "newton.png").exists()
