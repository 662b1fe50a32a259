"""The examples that train networks, by their command lines, with few steps; and in full, because that takes seconds."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jitrench_nn as nn

EXAMPLES = Path(__file__).parents[1] / "examples"


def needs(*modules):
    for module in modules:
        pytest.importorskip(module)


def run(script, *arguments, cwd):
    command = [sys.executable, "-W", "error", str(EXAMPLES / script), *map(str, arguments)]
    # One thread: BLAS with more of them than free cores is many times slower on matrices as small as these.
    env = {**os.environ, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


def files_named(output):
    """The paths that the script printed, by what they are."""
    return {what: Path(path) for what, path in re.findall(r"^(\w+): +(\S+\.\w+)$", output, re.MULTILINE)}


def is_picture(file, suffix):
    start = {".png": b"\x89PNG\r\n", ".gif": b"GIF89a", ".svg": b"<?xml"}[suffix]
    return file.suffix == suffix and file.read_bytes().startswith(start)


def test_digits_in_two_epochs(tmp_path):
    needs("sklearn", "matplotlib", "tqdm")
    output, progress = run("digits.py", "--epochs", 2, "--out", tmp_path / "made", cwd=tmp_path)
    assert "layer      Linear         from plugin 'nn' (jitrench-nn" in output
    assert "op         cross_entropy  from plugin 'nn' (jitrench-nn" in output
    assert "optimizer  Adam           from plugin 'optim' (jitrench-optim" in output
    assert "2/2" in progress
    files = files_named(output)
    assert is_picture(files["learning"], ".png")
    assert "graph" not in files or is_picture(files["graph"], ".svg")
    assert files.keys() >= {"weights", "learning"}
    params = nn.load(files["weights"])
    assert list(params) == ["Linear_1", "Linear_2", "Linear_3"]
    trained = re.search(r"accuracy on held-out digits: ([\d.]+)% after 2 epochs", output)[1]
    assert f"accuracy of the saved weights in a new process: {trained}% (the same)" in output
    assert float(trained) > 80


def test_digits_to_96_percent(tmp_path):
    """The main job's own settings."""
    needs("sklearn", "matplotlib", "tqdm")
    output, _ = run("digits.py", "--out", tmp_path, cwd=tmp_path)
    accuracy, seconds = re.search(r"held-out digits: ([\d.]+)% after 20 epochs in ([\d.]+) s", output).groups()
    assert float(accuracy) >= 96
    assert float(seconds) < 60


def test_sine_in_two_hundred_steps(tmp_path):
    needs("matplotlib", "PIL")
    output, _ = run("sine_mlp.py", "--steps", 200, "--frames", 4, "--out", tmp_path, cwd=tmp_path)
    files = files_named(output)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sine_mlp.gif", "sine_mlp.png", "weight.jtw"]
    assert is_picture(files["fit"], ".png")
    assert is_picture(files["learning"], ".gif")
    assert nn.load(files["weights"])["Linear_1"]["weight"].shape == (10, 1)


def test_sine_reaches_the_noise(tmp_path):
    """Held out, at most 1.2 times the variance of the noise."""
    needs("matplotlib")
    spec = importlib.util.spec_from_file_location("example_sine_mlp", EXAMPLES / "sine_mlp.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    result = example.main(["--frames", "2", "--out", str(tmp_path)])
    assert result.held_out <= 1.2 * example.NOISE


def refused(script, *arguments, cwd, without=()):
    """The exit status and the errors of a script that ends early, where the modules in ``without`` cannot be imported."""
    for module in without:
        (cwd / f"{module}.py").write_text("raise ImportError")
    env = {**os.environ, "PYTHONPATH": str(cwd)} if without else None
    command = [sys.executable, "-W", "error", str(EXAMPLES / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=300)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("digits.py", ["--batch", "0"], "argument --batch: expected a whole number from 1, got '0'"),
        ("digits.py", ["--epochs", "-1"], "argument --epochs: expected a whole number from 1, got '-1'"),
        ("digits.py", ["--evaluate", "nofile"], "argument --evaluate: there is no file 'nofile'"),
        ("sine_mlp.py", ["--steps", "-5"], "argument --steps: expected a whole number from 1, got '-5'"),
        ("sine_mlp.py", ["--lr", "nan"], "argument --lr: expected a number above 0, at most 1e6; got 'nan'"),
    ],
)
def test_options_are_checked(script, arguments, message, tmp_path):
    status, errors = refused(script, *arguments, cwd=tmp_path)
    assert status == 2
    assert message in errors


def test_weights_of_another_network_are_refused(tmp_path):
    needs("sklearn")
    nn.save(nn.init(lambda x: nn.Linear(3)(x), (None, 64)), tmp_path / "other.jtw")
    status, errors = refused("digits.py", "--evaluate", "other.jtw", cwd=tmp_path)
    assert status == 1
    assert errors.startswith("--evaluate: Linear_1: expected 'weight' of shape (128, 64)")


def test_what_is_not_installed_is_said_first(tmp_path):
    status, errors = refused("digits.py", cwd=tmp_path, without=["sklearn", "tqdm", "matplotlib"])
    projects = ["scikit-learn", "matplotlib", "tqdm"]
    assert (status, errors.strip()) == (
        1,
        f"this example needs {' and '.join(projects)}: python -m pip install {' '.join(projects)}",
    )
    status, errors = refused("sine_mlp.py", cwd=tmp_path, without=["matplotlib", "PIL"])
    assert (status, errors.strip()) == (
        1,
        "this example needs matplotlib and pillow: python -m pip install matplotlib pillow",
    )


def test_a_training_that_diverges_says_so(tmp_path):
    needs("matplotlib", "PIL")
    status, errors = refused("sine_mlp.py", "--lr", "1e6", cwd=tmp_path)
    assert status == 1
    assert re.match(
        r"the training diverged at step \d+: a learning rate of 1e\+06 is too large; try --lr 0\.1$", errors
    )
