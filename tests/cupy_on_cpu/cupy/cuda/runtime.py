"""``cupy.cuda.runtime``, what of it a library asks for."""

from __future__ import annotations

from typing import Any

from .. import _state
from .._state import CUDARuntimeError, synchronise

TOTAL = 8 << 30  # bytes of a device
is_hip = False


def getDeviceCount() -> int:
    if not _state.devices:
        raise CUDARuntimeError(100, "cudaErrorNoDevice: no CUDA-capable device is detected")
    return _state.devices


def getDevice() -> int:
    return _state.current


def setDevice(device: int) -> None:
    _state.check_device(device)
    _state.current = device


def deviceSynchronize() -> None:
    synchronise("deviceSynchronize()")


def streamSynchronize(stream: Any) -> None:
    synchronise("streamSynchronize()")


def memGetInfo() -> tuple[int, int]:
    return TOTAL - _state.used.get(_state.current, 0), TOTAL


def runtimeGetVersion() -> int:
    return 12090


def driverGetVersion() -> int:
    return 12090


def getDeviceProperties(device: int) -> dict[str, Any]:
    _state.check_device(device)
    return {
        "name": b"stand-in for a GPU",
        "totalGlobalMem": TOTAL,
        "multiProcessorCount": 4,
        "warpSize": 32,
        "major": 8,
        "minor": 0,
        "sharedMemPerBlock": 49152,
        "maxThreadsPerBlock": 1024,
    }


def deviceCanAccessPeer(device: int, peer: int) -> int:
    return 0
