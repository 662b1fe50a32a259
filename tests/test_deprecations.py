"""A name that goes warns for two minor versions, at the line that used it."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import jitrench_core as jt
from jitrench_core import deprecations
from jitrench_core.deprecations import deprecated, overdue, removal, warn_deprecated


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """What a test declares is forgotten after it."""
    monkeypatch.setattr(deprecations, "KNOWN", dict(deprecations.KNOWN))


def test_a_function_warns_where_it_is_called():
    @deprecated(since="0.1", instead="use jt.add")
    def plus(a, b=1):
        """The sum."""
        return a + b

    with pytest.warns(
        DeprecationWarning, match=r"^plus\(\) is deprecated since 0\.1 and goes with 0\.3: use jt\.add$"
    ) as caught:
        assert plus(1, b=2) == 3
    assert caught[0].filename == __file__
    assert (plus.__name__, plus.__doc__) == ("plus", "The sum.")


def test_an_option_warns_where_it_is_given():
    def smooth(x, *, width=None, n=None):
        if n is not None:
            warn_deprecated("smooth(n=)", since="1.9", instead="use width=")
        return x

    with pytest.warns(DeprecationWarning, match=r"smooth\(n=\) is deprecated since 1\.9 and goes with 1\.11") as caught:
        smooth(1, n=2)
    assert caught[0].filename == __file__


def test_what_is_due_is_told():
    deprecated(since="0.2", instead="")(lambda: None)
    assert removal("0.2") == "0.4"
    assert not [w for w in overdue("0.3") if "lambda" in w]
    assert overdue("0.4") == overdue("1.0.2") == ["<lambda>()"]


def test_nothing_stays_beyond_its_term():
    for package in ("jitrench_core", "jitrench_nn", "jitrench_optim", "jitrench_numpy"):
        module = importlib.import_module(package)
        for found in pkgutil.walk_packages(module.__path__, f"{package}."):
            if not found.name.endswith("__main__") and "pytest_plugin" not in found.name:
                importlib.import_module(found.name)
    assert overdue(jt.__version__) == []
