"""What the command lines of the examples share: checks that end in one line instead of a traceback."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable


def require(**modules: str) -> None:
    """End with one line where something is not installed; ``modules`` gives what pip calls it."""
    missing = []
    for module, project in modules.items():
        try:
            importlib.import_module(module)
        except ImportError:
            missing.append(project)
    if missing:
        sys.exit(f"this example needs {' and '.join(missing)}: python -m pip install {' '.join(missing)}")


def number(least: int) -> Callable[[str], int]:
    """A whole number from ``least`` on the command line."""

    def parse(text: str) -> int:
        try:
            n = int(text)
        except ValueError:
            n = least - 1
        if n < least:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least}, got {text!r}")
        return n

    return parse


def rate(text: str) -> float:
    """A learning rate on the command line."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1e6:
        raise argparse.ArgumentTypeError(f"expected a number above 0, at most 1e6; got {text!r}")
    return value
