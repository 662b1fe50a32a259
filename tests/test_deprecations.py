"""A name that goes warns for two minor versions, at the line that used it."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import jitrench_core as jt
from jitrench_core import deprecations
from jitrench_core.deprecations import deprecated, overdue, removal, warn_deprecated
from jitrench_core.errors import PluginError


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
    assert not overdue("0.3", __name__)
    assert overdue("0.4", __name__) == overdue("1.0.2", __name__) == ["<lambda>()"]
    assert "<lambda>()" in overdue("0.4")
    assert "<lambda>()" not in overdue("0.4", "jitrench_core")  # a plugin has versions of its own


def test_two_packages_may_have_one_name():
    def old():
        pass

    deprecated(since="0.2", instead="")(old)
    old.__module__ = "another.part"
    deprecated(since="1.7", instead="")(old)
    assert (overdue("0.4", __name__), overdue("0.4", "another"), overdue("1.9", "another")) == (
        ["old()"],
        [],
        ["old()"],
    )


def test_a_class_stays_a_class():
    @deprecated(since="0.1", instead="use New")
    class Old:
        def __init__(self, n):
            self.n = n

    with pytest.warns(
        DeprecationWarning, match=r"^Old\(\) is deprecated since 0\.1 and goes with 0\.3: use New$"
    ) as caught:
        made = Old(3)
    assert caught[0].filename == __file__
    assert isinstance(made, Old)
    assert made.n == 3

    class Derived(Old):
        pass

    with pytest.warns(DeprecationWarning, match="Old"):
        assert isinstance(Derived(4), Old)

    @deprecated(since="0.1", instead="use New")
    class OldLayer(jt.Layer):
        def forward(self, x):
            return x

    with pytest.warns(DeprecationWarning, match="OldLayer"):
        assert OldLayer()(jt.ones(2)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("since", ["1", "", "1.x", "v1.2", None, 0.2])
def test_what_is_no_version(since):
    with pytest.raises(PluginError, match="since= is the first version that warns, such as '0.2'; got"):
        deprecated(since=since, instead="")(lambda: None)


def test_nothing_stays_beyond_its_term():
    for package in ("jitrench_core", "jitrench_nn", "jitrench_optim", "jitrench_numpy"):
        module = importlib.import_module(package)
        for found in pkgutil.walk_packages(module.__path__, f"{package}."):
            if not found.name.endswith("__main__") and "pytest_plugin" not in found.name:
                importlib.import_module(found.name)
    assert overdue(jt.__version__, "jitrench_core", "jitrench_nn", "jitrench_optim", "jitrench_numpy") == []
