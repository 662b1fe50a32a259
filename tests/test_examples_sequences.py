"""The examples with sequences, with few steps: that they run, learn something, and draw."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import jitrench_core as jt

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name):
    """The script as a module."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(name, *arguments):
    for module in ("matplotlib", "tqdm"):
        pytest.importorskip(module)
    return example(name).main([*map(str, arguments)])


def test_marked_numbers_are_added(tmp_path, capsys):
    result = main(
        "gru_sequences", "--steps", 150, "--length", 20, "--hidden", 16, "--batch", 32, "--lr", 0.02, "--out", tmp_path
    )
    assert result.gru < 0.08 < 1 / 6
    assert [file.read_bytes()[:4] for file in result.files] == [b"\x89PNG"]
    assert "sequences of 10 to 20 numbers" in capsys.readouterr().out


def test_the_sequences_are_what_they_say():
    made = example("gru_sequences").sequences(200, 30, jt.random.Generator(0))
    x, lengths, total, distance = (a.numpy() for a in made)
    assert x.shape == (30, 200, 2)
    assert x.dtype == total.dtype == np.float32
    assert (lengths.min(), lengths.max()) == (15, 30)
    for k in range(200):
        first, second = np.flatnonzero(x[:, k, 1])
        assert first <= lengths[k] / 10
        assert lengths[k] // 2 <= second < lengths[k]
        assert distance[k] == second - first
        np.testing.assert_allclose(total[k], x[first, k, 0] + x[second, k, 0], rtol=1e-6)


def test_a_gpt_learns_letters_and_writes(tmp_path, capsys):
    small = ("--layers", 2, "--width", 32, "--heads", 2, "--length", 16, "--batch", 16, "--steps", 60, "--sample", 30)
    result = main("char_gpt", *small, "--lr", 0.01, "--out", tmp_path)
    assert 2 < result.bits < 5.2  # of 94 letters at random: 6.6
    assert 1 < result.lzma[1] < result.lzma[0] < 4
    assert result.sample.startswith("The statement ")
    assert len(result.sample) == len("The statement ") + 30
    assert [file.read_bytes()[:4] for file in result.files] == [b"\x89PNG"]
    assert result.sample in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main("char_gpt", "--width", 30, "--heads", 4)
    assert "4 heads cannot divide a width of 30" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main("char_gpt", "--length", 10_000_000)
    assert "letters held out, too few for pieces of 10000000" in capsys.readouterr().err


def test_a_gpt_looks_back_only():
    gpt = example("char_gpt")
    model = gpt.GPT(letters=9, layers=2, width=8, heads=2, length=6)
    codes = jt.asarray([[1, 2, 3, 4, 5, 6]])
    scores = model(codes).numpy()
    np.testing.assert_allclose(model(jt.asarray([[1, 2, 3, 4, 0, 0]])).numpy()[:, :4], scores[:, :4], rtol=1e-12)
    weights = model.attention(codes, 1).numpy()
    assert weights.shape == (1, 2, 6, 6)
    assert not np.triu(weights, 1).any()
