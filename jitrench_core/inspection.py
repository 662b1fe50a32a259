"""What the namespace says about itself, as the Array API standard asks: its version, constants, devices and dtypes."""

from __future__ import annotations

from math import e, inf, nan, pi
from typing import Any, final

from . import backend as backends
from . import devices
from .backend import Device
from .dtypes import DTYPES, DType, complex128, float64, int64, isdtype
from .errors import BackendError, DTypeError

__all__ = ["__array_api_version__", "__array_namespace_info__", "e", "inf", "nan", "newaxis", "pi"]

__array_api_version__ = "2025.12"
newaxis = None


@final
class Info:
    """What ``__array_namespace_info__()`` gives."""

    __slots__ = ()

    def capabilities(self) -> dict[str, Any]:
        """Which optional parts of the standard there are: all. A backend of a library that lacks one says so when asked."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Device:
        """The device that functions without a tensor among their arguments create on."""
        return devices.device()

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        """What data that Python creates becomes; the same on every device."""
        devices.device(device)  # an unknown one raises
        return {"real floating": float64, "complex floating": complex128, "integral": int64, "indexing": int64}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        """The standard's dtypes that ``device`` has, by name; of ``kind`` alone, as in ``isdtype``."""
        host = devices.device(device).backend
        found = {}
        for name, dtype in DTYPES.items():
            if name != "float16" and (kind is None or isdtype(dtype, kind)):
                try:
                    host.native_dtype(dtype)
                except DTypeError:
                    continue
                found[name] = dtype
        return found

    def devices(self) -> tuple[Device, ...]:
        """The devices of every backend that is installed and works."""
        backends.on_miss()
        found = []
        for name in backends.names():
            host = backends.BACKENDS[name]
            try:
                found += [Device(host, i) for i in range(host.device_count())]
            except BackendError:  # its library is missing
                continue
        return tuple(found)


def __array_namespace_info__() -> Info:
    """The standard's inspection of a namespace.

    >>> __array_namespace_info__().default_dtypes()["integral"]
    jt.int64
    """
    return Info()
