"""The array-api-strict backend of JITrench: devices ``"strict:0"``, ``"strict:1"`` and ``"strict:2"``, for tests.

It has no kernels: every op runs its generic forward on a namespace that offers nothing beyond the Array API standard.
The fake devices never mix. The library's own default on ``strict:2`` is float32, as some libraries have it.
"""

from __future__ import annotations

from typing import Any

from jitrench_core import Backend, hookimpl

# array-api-strict has two more, which lack float64 and 64-bit integers: the core's defaults do not exist there.
DEVICES = ("CPU_DEVICE", "device1", "device2")


class Strict(Backend):
    """array-api-strict's arrays."""

    def __init__(self) -> None:
        super().__init__("strict", "array_api_strict", numbered=True)
        self._devices: list[Any] = []

    @property
    def xp(self) -> Any:
        """array-api-strict, with what the core uses switched on: version 2024.12, masks, ``nonzero`` and ``linalg``."""
        if self._xp is None:
            xp = super().xp
            flags = xp.get_array_api_strict_flags()
            xp.set_array_api_strict_flags(
                api_version=max(flags["api_version"], "2024.12"),
                boolean_indexing=True,
                data_dependent_shapes=True,
                enabled_extensions=tuple({*flags["enabled_extensions"], "linalg"}),
            )
        return self._xp

    @property
    def devices(self) -> list[Any]:
        """The library's own device objects, in the order of their indices."""
        if not self._devices:
            self._devices = [self.xp.Device(name) for name in DEVICES]
        return self._devices

    def device_count(self) -> int:
        return len(DEVICES)

    def native_device(self, index: int) -> Any:
        return self.devices[index]

    def index_of(self, array: Any) -> int:
        return self.devices.index(array.device)

    def asarray(self, data: Any, dtype: Any = None, index: int = 0, copy: bool | None = None) -> Any:
        if type(data).__module__.partition(".")[0] != self.root:
            import numpy as np

            # Python data in the core's dtypes, whatever the device's own defaults are; in one step, or uint64 loses bits
            data = np.asarray(data, None if dtype is None else self.core_dtype(dtype).name)
        return super().asarray(data, dtype, index, copy)

    def to_numpy(self, array: Any) -> Any:
        import numpy as np

        return np.asarray(array.to_device(self.devices[0]))

    def bind(self, kernel: Any) -> Any:
        def on_one_device(*arrays: Any, **attrs: Any) -> Any:
            found = {a.device for a in arrays if hasattr(a, "device")}
            if len(found) > 1:
                raise ValueError(f"operands on different devices: {found}")
            return kernel(*arrays, **attrs)

        return on_one_device


@hookimpl
def register_backends(register: Any) -> None:
    register(Strict())
