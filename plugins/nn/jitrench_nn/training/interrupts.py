"""Ctrl-C: a training ends between two steps, not in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

from .callbacks import note


@final
class CtrlC:
    """Inside ``with``, the first Ctrl-C only sets ``pressed``; the second interrupts at once, but never a file.

    Only the main thread may do this, and only where nobody else handles the signal; elsewhere nothing changes.
    """

    def __init__(self) -> None:
        self.pressed = False
        self.writing = False

    def __enter__(self) -> None:
        self.pressed = False
        self.mine = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if self.mine:
            signal.signal(signal.SIGINT, self.handle)

    def __exit__(self, *exc: object) -> None:
        if self.mine:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def handle(self, *_: Any) -> None:
        again, self.pressed = self.pressed, True
        if again and not self.writing:
            raise KeyboardInterrupt
        if not again:
            note("\nCtrl-C: the training ends after this step and is saved; press it again to end it now")

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """``with ctrl_c.waiting():`` a file is written."""
        self.writing = True
        try:
            yield
        finally:
            self.writing = False
