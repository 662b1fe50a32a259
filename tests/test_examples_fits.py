"""The examples that fit observations (NIST's certified problems, and a Gaussian process against scikit-learn's) and draw schedules."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jitrench_core as jt

EXAMPLES = Path(__file__).parents[1] / "examples"
STORED = json.loads((EXAMPLES / "data" / "nist_strd.json").read_text(encoding="utf-8"))


def example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def beside_the_examples(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))


# -- NIST -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STORED["problems"])
def test_the_stored_numbers_belong_together(name):
    """The certified sum of squares is that of the stored observations at the certified parameters."""
    nist, problem = example("nist_strd"), STORED["problems"][name]
    x, y = (jt.tensor(STORED["data"][problem["data"]][key], dtype=jt.float64) for key in "xy")
    r = nist.MODELS[name](jt.tensor(problem["certified"]), x) - y
    assert jt.vecdot(r, r).item() == pytest.approx(problem["rss"], rel=1e-6 if name == "Lanczos2" else 1e-9)
    assert all(len(start) == len(problem["certified"]) for start in problem["starts"])


def test_nist_to_the_certified_values(tmp_path):
    """From the second starting values all; from the first, which are far, all but two that are known to be hard."""
    result = example("nist_strd").main(["--no-picture", "--out", str(tmp_path)])
    assert result.file is None
    assert [row.name for row in result.rows] == list(STORED["problems"])
    for row in result.rows:
        assert row.parameter_digits[1] >= 6, row
        assert row.sum_digits[1] >= 8, row
        if row.name not in ("BoxBOD", "MGH10"):
            assert row.parameter_digits[0] >= 6, row
            assert row.sum_digits[0] >= 8, row


def test_nist_picture(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    result = example("nist_strd").main(["--problems", "DanWood", "BoxBOD", "--out", str(tmp_path / "new")])
    assert result.file.read_bytes().startswith(b"\x89PNG")
    output = capsys.readouterr().out
    assert "3 of 4 fits agree with the certified values in 6 digits or more" in output
    assert f"fits: {result.file.resolve()}" in output


def test_digits():
    digits = example("nist_strd").digits
    assert digits(1.0, 1.0) == 11.0
    assert digits(1.0001, 1.0) == pytest.approx(4.0)
    assert digits(-5.0, 1.0) == 0.0
    assert digits(float("nan"), 1.0) == 0.0


# -- the Gaussian process ---------------------------------------------------------------------------------------------


def test_the_most_likely_process_is_scikit_learns(tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    gp = example("gaussian_process")
    result = gp.main(["--points", "40", "--grid", "4", "--out", str(tmp_path)])
    x, heights = gp.profile(60)
    known = np.sort(np.random.default_rng(0).choice(len(x), 40, replace=False))
    y = heights[known] - heights[known].mean()
    kernel = ConstantKernel(1e4, (1.0, 1e7)) * Matern(1.0, (0.01, 100.0), nu=1.5) + WhiteKernel(100.0, (1e-4, 1e5))
    reference = GaussianProcessRegressor(kernel).fit(x[known][:, None], y)
    assert abs(result.log_likelihood - reference.log_marginal_likelihood_value_) < 1e-4
    height, length, noise = np.exp(reference.kernel_.theta)
    assert result.hyper.length == pytest.approx(length, rel=1e-3)
    assert result.hyper.height**2 == pytest.approx(height, rel=1e-3)
    assert result.hyper.noise**2 == pytest.approx(noise, rel=1e-3)
    mean, deviation = reference.predict(x[:, None], return_std=True)
    theta = jt.log(jt.tensor(list(result.hyper)))
    ours = gp.predict(theta, jt.tensor(x[known]), jt.tensor(y), jt.tensor(x))
    np.testing.assert_allclose(ours[0], mean, atol=0.1)
    np.testing.assert_allclose(ours[1], deviation, atol=0.1)
    assert result.file.read_bytes().startswith(b"\x89PNG")
    assert 0.85 <= result.covered <= 1.0


def test_the_likelihood_is_the_density_of_a_normal_distribution():
    """Against the formula without Cholesky, and its gradient against differences."""
    gp = example("gaussian_process")
    x, y = jt.tensor([0.0, 0.3, 1.1, 2.0]), jt.tensor([1.0, 0.5, -0.3, 0.2])
    theta = jt.log(jt.tensor([0.7, 1.3, 0.2]))
    distance = jt.abs(x[:, None] - x)
    covariance = gp.kernel(distance, jt.tensor(0.7), jt.tensor(1.3)) + 0.04 * jt.eye(4)
    sign, logarithm = jt.linalg.slogdet(covariance)
    expected = -0.5 * (y @ jt.linalg.solve(covariance, y) + logarithm + 4 * jt.log(jt.tensor(2 * jt.pi)))
    assert sign.item() == 1.0
    assert abs(gp.log_likelihood(theta, x, y).item() - expected.item()) < 1e-12
    jt.check_grads(lambda t: gp.log_likelihood(t, x, y), theta)


def test_all_schedules_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    import jitrench_optim as optim

    result = example("schedules").main(["--steps", "20", "--out", str(tmp_path)])
    drawn = {name.split(":")[0].split(",")[0] for name in result.rates}
    assert drawn == {
        name
        for name in optim.__all__
        if name.endswith("LR") or "Restarts" in name or "Scheduler" in name or "Plateau" in name
    }
    assert all(len(rates) == 20 and max(rates) > 0.5 for rates in result.rates.values())
    assert result.file.read_bytes().startswith(b"\x89PNG")


# -- the command lines ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "arguments", "status", "message"),
    [
        ("nist_strd.py", ["--problems", "Misra2"], 2, "argument --problems: invalid choice: 'Misra2'"),
        ("gaussian_process.py", ["--points", "4"], 2, "argument --points: expected a whole number from 5, got '4'"),
        ("gaussian_process.py", ["--points", "403"], 1, "--points: the profile has 403 heights, of which at least one must be hidden"),
        ("gaussian_process.py", ["--row", "344"], 1, "--row: the map has the rows 0 to 343"),
    ],
)  # fmt: skip
def test_options_are_checked(script, arguments, status, message, tmp_path):
    pytest.importorskip("matplotlib")
    command = [sys.executable, "-W", "error", str(EXAMPLES / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr
