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
