"""``cupy.cuda``: devices, streams, events and the memory pool of a machine that has no GPU."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from .. import _state
from .._kernels import CompileException
from .._state import CUDARuntimeError, OutOfMemoryError, synchronise
from . import runtime


class Device:
    """A "GPU". In a ``with`` block it is the current one."""

    def __init__(self, device: Any = None) -> None:
        self.id = _state.current if device is None else int(getattr(device, "id", device))
        self._before: list[int] = []

    def __enter__(self) -> Device:
        _state.check_device(self.id)
        self._before.append(_state.current)
        _state.current = self.id
        return self

    def __exit__(self, *exc: object) -> None:
        _state.current = self._before.pop()

    def use(self) -> None:
        _state.check_device(self.id)
        _state.current = self.id

    def synchronize(self) -> None:
        synchronise("Device.synchronize()")

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    @property
    def mem_info(self) -> tuple[int, int]:
        return runtime.TOTAL - _state.used.get(self.id, 0), runtime.TOTAL

    @property
    def compute_capability(self) -> str:
        return "80"

    @property
    def attributes(self) -> dict[str, int]:
        return {"MultiProcessorCount": 4, "WarpSize": 32, "MaxSharedMemoryPerBlock": 49152, "MaxThreadsPerBlock": 1024}

    @property
    def pci_bus_id(self) -> str:
        return f"0000:0{self.id}:00.0"


class Stream:
    """A stream; everything runs at once and in order anyway."""

    null: Stream
    ptds: Stream
    _current: list[Stream]

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, *, priority: Any = None
    ) -> None:
        self.ptr = 0 if null else id(self)
        self.device_id = _state.current

    def __enter__(self) -> Stream:
        Stream._current.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        Stream._current.pop()

    def use(self) -> Stream:
        Stream._current[-1] = self
        return self

    def synchronize(self) -> None:
        synchronise("Stream.synchronize()")

    def record(self, event: Any = None) -> Any:
        return event or Event()

    def wait_event(self, event: Any) -> None:
        """Everything before is done."""

    @property
    def done(self) -> bool:
        return True


Stream.null = Stream(null=True)
Stream.ptds = Stream(ptds=True)
Stream._current = [Stream.null]


class ExternalStream(Stream):
    """A stream by its pointer."""

    def __init__(self, ptr: int, device_id: int = -1) -> None:
        super().__init__()
        self.ptr = ptr


class Event:
    """An event."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        import time

        self._clock = time.perf_counter
        self.at = self._clock()

    def record(self, stream: Any = None) -> None:
        self.at = self._clock()

    def synchronize(self) -> None:
        synchronise("Event.synchronize()")

    @property
    def done(self) -> bool:
        return True


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    return 1e3 * (end_event.at - start_event.at)


def get_current_stream(device_id: int = -1) -> Stream:
    return Stream._current[-1]


class MemoryPointer:
    """Where an array's data are."""

    def __init__(self, mem: Any, ptr: int) -> None:
        self.mem, self.ptr = mem, ptr
        self.device_id = mem.device
        self.device = Device(mem.device)


class MemoryPool:
    """The pool of the current device; it keeps nothing for later, so all that it has is used."""

    def __init__(self, allocator: Any = None) -> None:
        pass

    def malloc(self, size: int) -> MemoryPointer:
        return MemoryPointer(_state.Memory(size, _state.current), 0)

    def used_bytes(self) -> int:
        return _state.used.get(_state.current, 0)

    def free_bytes(self) -> int:
        return 0

    def total_bytes(self) -> int:
        return self.used_bytes()

    def n_free_blocks(self) -> int:
        return 0

    def free_all_blocks(self, stream: Any = None) -> None:
        """There are none."""

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        _state.limit[_state.current] = int(runtime.TOTAL * fraction) if fraction is not None else int(size or 0)

    def get_limit(self) -> int:
        return _state.limit.get(_state.current, 0)


class PinnedMemoryPool:
    """The pool of the host's memory."""

    def n_free_blocks(self) -> int:
        return 0

    def free_all_blocks(self) -> None:
        """There are none."""


def is_available() -> bool:
    return _state.devices > 0


def get_device_id() -> int:
    return _state.current


def get_allocator() -> Any:
    return _POOL.malloc


def set_allocator(allocator: Any = None) -> None:
    raise NotImplementedError("the stand-in for CuPy has one allocator")


_POOL = MemoryPool()


def _submodule(name: str, *things: Any) -> ModuleType:
    made = ModuleType(f"cupy.cuda.{name}")
    vars(made).update({t.__name__: t for t in things})
    sys.modules[made.__name__] = made
    return made


for _class in (Device, Stream, Event, MemoryPool, PinnedMemoryPool):
    _class.__module__ = "cupy.cuda"
device = _submodule("device", Device)
stream = _submodule("stream", Stream, Event)
memory = _submodule("memory", OutOfMemoryError, MemoryPool, MemoryPointer)
OutOfMemoryError.__module__ = "cupy.cuda.memory"
CUDARuntimeError.__module__ = "cupy_backends.cuda.api.runtime"
compiler = _submodule("compiler", CompileException)
CompileException.__module__ = "cupy.cuda.compiler"

from .. import _Module  # noqa: E402

sys.modules[__name__].__class__ = _Module
