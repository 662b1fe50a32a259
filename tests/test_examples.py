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


def test_sine_of_the_first_page():
    assert jt.grad(lambda x: jt.sin(x) + 1)(3.141592653589793).item() == -1.0


def test_as_a_script(tmp_path):
    command = [sys.executable, str(EXAMPLES / "newton.py"), "--out", str(tmp_path / "new"), "--steps", "3"]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    assert made.stdout.startswith("step  0: x = 2.0")
    assert (tmp_path / "new" / "newton.png").exists()
