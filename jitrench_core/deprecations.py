"""How a public name goes: it warns for two minor versions, says what to use instead, and is then removed."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from .errors import PluginError

F = TypeVar("F", bound=Callable[..., Any])

TERM = 2  # minor versions between the first warning and the removal
KNOWN: dict[
    tuple[str, str], str
] = {}  # by module, and what was declared deprecated there: the version in which it goes


def removal(since: str) -> str:
    """The version that removes what is deprecated since ``since``. Raises ``PluginError`` for what is no version.

    >>> removal("0.2")
    '0.4'
    """
    given: Any = since
    numbers = given.split(".")[:2] if type(given) is str else []
    if len(numbers) < 2 or not all(n.isdecimal() for n in numbers):
        raise PluginError(f"since= is the first version that warns, such as '0.2'; got {since!r}")
    return f"{numbers[0]}.{int(numbers[1]) + TERM}"


def warn_deprecated(what: str, *, since: str, instead: str, stacklevel: int = 2) -> None:
    """Warn that ``what``, such as an option, is deprecated since the version ``since``; ``instead`` says what to use.

    A ``DeprecationWarning``, which Python shows for code of ``__main__``, and pytest for all. ``stacklevel`` 1 is the line of this call,
    2 (the default) that of its caller.
    """
    gone = removal(since)
    KNOWN[sys._getframe(1).f_globals.get("__name__", ""), what] = gone
    warnings.warn(
        f"{what} is deprecated since {since} and goes with {gone}: {instead}",
        DeprecationWarning,
        stacklevel=stacklevel + 1,
    )


def deprecated(*, since: str, instead: str) -> Callable[[F], F]:
    """A function that warns when it is called, or a class, when one is made. ``since`` is the first version that warns; ``instead`` says
    what to use.

    >>> import warnings
    >>> @deprecated(since="0.2", instead="use jt.concat")
    ... def concatenate(arrays):
    ...     return list(arrays)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     _ = concatenate([1])
    >>> print(caught[0].message)
    concatenate() is deprecated since 0.2 and goes with 0.4: use jt.concat
    """

    def mark(function: F) -> F:
        what = f"{function.__name__}()"
        gone = KNOWN[function.__module__, what] = removal(since)
        told = f"{what} is deprecated since {since} and goes with {gone}: {instead}"
        made: Any = function
        called: Any = getattr(made, "__init__") if isinstance(made, type) else made  # noqa: B009  mypy takes the other way for unsound

        @wraps(called)
        def warning(*args: Any, **kwargs: Any) -> Any:
            warnings.warn(told, DeprecationWarning, stacklevel=2)
            return called(*args, **kwargs)

        if isinstance(made, type):  # it stays a class, which can be registered and derived from
            setattr(made, "__init__", warning)  # noqa: B010
            return made  # type: ignore[return-value]
        return warning  # type: ignore[return-value]

    return mark


def overdue(version: str, *packages: str) -> list[str]:
    """What should be gone in ``version`` of these packages (none: of all); each has versions of its own."""
    now = tuple(map(int, version.split(".")[:2]))
    return sorted(
        what
        for (module, what), gone in KNOWN.items()
        if tuple(map(int, gone.split("."))) <= now and (not packages or module.partition(".")[0] in packages)
    )
