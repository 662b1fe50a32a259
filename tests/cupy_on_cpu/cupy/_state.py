"""What the stand-in's machine is like: its devices, the current one, the counters, and the memory pools."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

devices = int(os.environ.get("CUPY_ON_CPU_DEVICES", "1"))
current = 0
synchronisations = 0
allowed = True  # cupyx.allow_synchronize
linalg_errors = "ignore"  # cupyx.errstate
trace: list[str] | None = None  # a list gets, per synchronisation, what it was and the lines that led to it
used: dict[int, int] = {}  # bytes by device
peak: dict[int, int] = {}
limit: dict[int, int] = {}
launches: dict[str, int] = {}  # by kernel
recorded: dict[str, Any] | None = None  # a dict gets what is needed to compile each kernel elsewhere, by a key


class DeviceSynchronized(RuntimeError):
    """As cupyx.DeviceSynchronized: a synchronisation where cupyx.allow_synchronize(False) forbids it."""


class CUDARuntimeError(RuntimeError):
    """As cupy.cuda.runtime.CUDARuntimeError."""

    def __init__(self, status: int, text: str = "cudaErrorInvalidDevice: invalid device ordinal") -> None:
        self.status = status
        super().__init__(text)


class OutOfMemoryError(MemoryError):
    """As cupy.cuda.memory.OutOfMemoryError."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        at_most = f" (limit set to: {limit:,} bytes)" if limit else ""
        super().__init__(
            f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes{', ' if at_most else ''}{at_most.strip(' ()')})."
        )


def synchronise(why: str) -> None:
    """Count one synchronisation; raise where they are not allowed."""
    global synchronisations
    if not allowed:
        raise DeviceSynchronized(why)
    synchronisations += 1
    if trace is not None:
        lines = [
            f"{Path(f.filename).name}:{f.lineno} {f.name}"
            for f in traceback.extract_stack()
            if HERE not in Path(f.filename).parents
        ]
        trace.append(f"{why}: " + " < ".join(reversed(lines[-6:])))


class Memory:
    """What was allocated for an array, shared by its views; rounded up to 512 bytes as CuPy's pool does."""

    __slots__ = ("device", "size")

    def __init__(self, nbytes: int, device: int) -> None:
        self.size = -(-nbytes // 512) * 512
        self.device = device
        total = used.get(device, 0) + self.size
        at_most = limit.get(device, 0)
        if at_most and total > at_most:
            self.size = 0
            raise OutOfMemoryError(nbytes, used.get(device, 0), at_most)
        used[device] = total
        peak[device] = max(peak.get(device, 0), total)

    def __del__(self) -> None:
        used[self.device] -= self.size


def check_device(index: int) -> None:
    if not 0 <= index < devices:
        raise CUDARuntimeError(101)


def names(module: str) -> dict[str, Any]:
    """What the real module has, of names.json."""
    return NAMES["modules"][module]  # type: ignore[no-any-return]


def _read() -> dict[str, Any]:
    import json

    found = json.loads((HERE.parent / "names.json").read_text())
    return found  # type: ignore[no-any-return]


NAMES = _read()
