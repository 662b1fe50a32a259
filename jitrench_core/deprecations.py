"""How a public name goes: it warns for two minor versions, says what to use instead, and is then removed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

TERM = 2  # minor versions between the first warning and the removal
KNOWN: dict[str, str] = {}  # what was declared deprecated, and the version in which it goes


def removal(since: str) -> str:
    """The version that removes what is deprecated since ``since``.

    >>> removal("0.2")
    '0.4'
    """
    major, minor = since.split(".")[:2]
    return f"{major}.{int(minor) + TERM}"


def warn_deprecated(what: str, *, since: str, instead: str, stacklevel: int = 2) -> None:
    """Warn that ``what``, such as an option, is deprecated since the version ``since``; ``instead`` says what to use.

    A ``DeprecationWarning``, which Python shows for code of ``__main__``, and pytest for all. ``stacklevel`` 1 is the line of this call,
    2 (the default) that of its caller.
    """
    KNOWN[what] = removal(since)
    warnings.warn(
        f"{what} is deprecated since {since} and goes with {KNOWN[what]}: {instead}",
        DeprecationWarning,
        stacklevel=stacklevel + 1,
    )


def deprecated(*, since: str, instead: str) -> Callable[[F], F]:
    """A function that warns when it is called. ``since`` is the first version that warns; ``instead`` says what to use.

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
        KNOWN[what] = removal(since)

        @wraps(function)
        def warning(*args: Any, **kwargs: Any) -> Any:
            warn_deprecated(what, since=since, instead=instead)
            return function(*args, **kwargs)

        return warning  # type: ignore[return-value]

    return mark


def overdue(version: str) -> list[str]:
    """What should be gone in ``version``."""
    now = tuple(map(int, version.split(".")[:2]))
    return sorted(what for what, gone in KNOWN.items() if tuple(map(int, gone.split("."))) <= now)
