"""The examples that fit models to data: their numbers by hand or by scikit-learn, with small settings."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import jitrench_core as jt

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str, *needed: str) -> ModuleType:
    for module in needed:
        pytest.importorskip(module)
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_png(file: Path) -> bool:
    return file.read_bytes().startswith(b"\x89PNG\r\n")


def refused(script, *arguments, cwd):
    command = [sys.executable, "-W", "error", str(EXAMPLES / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


# -- regressions ------------------------------------------------------------------------------------------------------


def test_regressions_find_scikit_learns_coefficients(tmp_path, capsys):
    result = example("logistic_poisson", "sklearn", "matplotlib").main(["--out", str(tmp_path)])
    assert result.difference < 1e-8
    assert result.accuracy > 0.98
    assert result.logistic.steps <= 12
    assert list(result.poisson) == ["chin-ups", "sit-ups", "jumps"]
    assert is_png(result.files[0])
    assert "logistic: 9 steps, accuracy 98.77%, AUC 0.9974" in capsys.readouterr().out


def test_another_penalty_is_scikit_learns_too(tmp_path):
    result = example("logistic_poisson", "sklearn", "matplotlib").main(["--penalty", "0.05", "--out", str(tmp_path)])
    assert result.difference < 1e-7


def test_standard_errors_are_those_of_fishers_information():
    """Of logistic and Poisson regression the Hessian is known: X' diag(v) X, with the variance v of each response."""
    module = example("logistic_poisson", "sklearn")
    rng = np.random.default_rng(0)
    x, strength = rng.normal(size=(60, 3)), 0.7
    columns = module.standardized(x).numpy()
    ridge = strength * np.diag([1.0, 1.0, 1.0, 0.0])
    fit = module.logistic(x, (rng.random(60) < 0.4).astype(int), strength, 50)
    p = 1 / (1 + np.exp(-columns @ fit.weights))
    information = columns.T @ (columns * (p * (1 - p))[:, None]) + ridge
    np.testing.assert_allclose(fit.errors, np.sqrt(np.diag(np.linalg.inv(information))), rtol=1e-10)
    fit = module.poisson(x, rng.poisson(5, 60), strength, 50)
    information = columns.T @ (columns * np.exp(columns @ fit.weights)[:, None]) + ridge
    np.testing.assert_allclose(fit.errors, np.sqrt(np.diag(np.linalg.inv(information))), rtol=1e-10)


def test_newton_halves_a_step_that_climbs():
    """From far out, a full step of log(cosh) overshoots further and further."""
    module = example("logistic_poisson")
    w, hessian, steps = module.newton(lambda w: jt.sum(jt.log(jt.cosh(w))), jt.tensor([1.5]), 50)
    assert abs(w.item()) < 1e-6
    assert hessian.tolist() == [[pytest.approx(1.0)]]
    assert 2 < steps < 20


# -- matrix factorisation ---------------------------------------------------------------------------------------------


def test_hidden_pixels_are_guessed_better_than_by_rows_and_columns(tmp_path, capsys):
    module = example("matrix_factorisation", "sklearn", "matplotlib", "tqdm")
    result = module.main(["--ranks", "8", "--steps", "120", "--out", str(tmp_path)])
    assert result.held_out < 0.8 * result.baseline
    assert 0.26 < result.baseline < 0.29
    assert is_png(result.files[0])
    output = capsys.readouterr().out
    assert "Factorisation  (1797, 64)" in output
    assert f"{1797 + 64 + 8 * (1797 + 64):,} trainable" in output


def test_pixels_are_hidden_in_three_parts():
    module = example("matrix_factorisation")
    table = module.hide(jt.zeros((300, 100)), 0.5, 0)
    parts = np.stack([part.numpy() for part in table[1:]]).astype(int)
    assert (parts.sum(0) == 1).all()
    np.testing.assert_allclose(parts.mean((1, 2)), [0.5, 0.1, 0.4], atol=0.01)


def test_hiding_everything_is_refused(tmp_path):
    status, errors = refused("matrix_factorisation.py", "--hidden", "1", cwd=tmp_path)
    assert status == 2
    assert "argument --hidden: expected a number below 1" in errors


# -- neural ODE -------------------------------------------------------------------------------------------------------


def test_the_pendulum_is_learned(tmp_path):
    module = example("neural_ode", "matplotlib", "tqdm")
    result = module.main(["--steps", "150", "--batch", "128", "--out", str(tmp_path)])
    assert result.held_out < 0.7 * result.linear
    assert is_png(result.files[0])


def test_runge_kutta_is_of_fourth_order():
    module = example("neural_ode")
    start = jt.tensor([[1.0, 0.5]])

    def end(n):
        state = start
        for _ in range(n):
            state = module.advance(module.pendulum, state, 2.0 / n)
        return state.numpy()

    exact = end(640)
    ratio = np.abs(end(10) - exact).max() / np.abs(end(20) - exact).max()
    assert 12 < ratio < 20


def test_a_thrifty_gradient_is_the_same():
    module = example("neural_ode")
    weight = jt.tensor([[0.0, 1.0], [-1.0, -0.3]])

    def loss(weight, thrifty):
        states = module.follow(lambda s: jt.tanh(s @ weight.mT), jt.tensor([[1.0, 0.5]]), 5, thrifty=thrifty)
        return jt.sum(states**2)

    kept, again = (jt.grad(loss)(weight, thrifty) for thrifty in (False, True))
    np.testing.assert_allclose(again.numpy(), kept.numpy(), rtol=1e-13)


def test_windows_are_runs_of_one_swing():
    module = example("neural_ode")
    measured = jt.reshape(jt.arange(20 * 3 * 2, dtype=jt.float64), (20, 3, 2))
    windows = module.windows(measured).numpy()
    assert windows.shape == (module.WINDOW + 1, (20 - module.WINDOW) * 3, 2)
    assert (np.diff(windows, axis=0) == 6).all()
