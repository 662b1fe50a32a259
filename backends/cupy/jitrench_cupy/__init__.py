"""The CuPy backend of JITrench: devices ``"cupy:0"``, ``"cupy:1"``, ..., also called ``"cuda:0"``, ``"cuda"``, ...

The namespace is array-api-compat's, which completes CuPy's own functions to the Array API standard. CuPy is imported when
the first array is made. Where there are several GPUs, each kernel runs under its operands' device: CuPy would compute on
the current one, and let it read another's memory. An index array that is out of bounds wraps around, as always in CuPy.
"""

from __future__ import annotations

from typing import Any

from jitrench_core import Backend, BackendError, hookimpl


class CuPy(Backend):
    """CuPy's arrays."""

    def __init__(self) -> None:
        super().__init__("cupy", "array_api_compat.cupy", root="cupy", aliases=("cuda",), numbered=True)

    @property
    def xp(self) -> Any:
        """array-api-compat's namespace for CuPy; ``BackendError`` where CuPy does not import."""
        try:
            return super().xp
        except BackendError as e:
            raise BackendError(
                f"{e}. Install the CuPy of your CUDA version: pip install 'jitrench-cupy[cuda13]', or [cuda12]."
            ) from e.__cause__

    def device_count(self) -> int:
        """How many GPUs CuPy sees; 0 where there is no GPU or no driver."""
        runtime = self.xp.cuda.runtime
        try:
            return int(runtime.getDeviceCount())
        except runtime.CUDARuntimeError:
            return 0

    def index_of(self, array: Any) -> int:
        return int(array.device.id)

    def native_device(self, index: int) -> Any:
        """CuPy's object for GPU ``index``, a context manager that enters it; ``BackendError`` where there is none."""
        found = self.device_count()
        if index >= found:
            raise BackendError(
                f"no GPU for 'cupy:{index}': CuPy finds {found}. Use a machine that has one, or a device such as 'numpy'."
            )
        return self.xp.cuda.Device(index)

    def asarray(self, data: Any, dtype: Any = None, index: int = 0, copy: bool | None = None) -> Any:
        if type(data).__module__.partition(".")[0] != self.root:
            import numpy as np

            data = np.asarray(data)
            if data.dtype.kind in "OSUVmM":
                raise TypeError(f"NumPy makes dtype {data.dtype} of it; numbers and booleans are supported")
        with self.native_device(index):
            return self.xp.asarray(data, dtype=dtype, copy=copy)

    def to_numpy(self, array: Any) -> Any:
        return self.xp.asnumpy(array)

    def create(self, function: str, *args: Any, index: int, **kwargs: Any) -> Any:
        with self.native_device(index):  # CuPy's creation functions use the current device
            return super().create(function, *args, index=index, **kwargs)

    def link(self, op: Any, cls: type) -> Any:
        if not self.kernels:
            from .kernels import KERNELS

            self.kernels.update(KERNELS)
        return super().link(op, cls)

    def bind(self, kernel: Any) -> Any:
        """Run ``kernel`` under its operands' device and refuse operands of two. With one GPU there is nothing to do."""
        if self.device_count() < 2:
            return kernel
        array, device = self.xp.ndarray, self.xp.cuda.Device

        def on_device(*arrays: Any, **attrs: Any) -> Any:
            found = {a.device.id for a in arrays if isinstance(a, array)}
            if len(found) > 1:
                raise ValueError(f"operands on GPUs {', '.join(map(str, sorted(found)))}")
            with device(*found):
                return kernel(*arrays, **attrs)

        return on_device


@hookimpl
def register_backends(register: Any) -> None:
    register(CuPy())
