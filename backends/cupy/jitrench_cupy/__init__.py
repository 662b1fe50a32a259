"""The CuPy backend of JITrench: devices ``"cupy:0"``, ``"cupy:1"``, ..., also called ``"cuda:0"``, ``"cuda"``, ...

The namespace is array-api-compat's, which completes CuPy's own functions to the Array API standard. CuPy is imported when
the first array is made. Where there are several GPUs, each kernel runs under its operands' device: CuPy would compute on
the current one, and let it read another's memory. Nothing here keeps a stream: all work goes to CuPy's current one. An index
array that is out of bounds wraps around, as always in CuPy. See docs/cupy.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitrench_core import Backend, BackendError, hookimpl

from .memory import Memory, OutOfMemoryError, explained, memory, versions
from .precision import allow_tf32, tf32_allowed

__all__ = [
    "CuPy",
    "Memory",
    "OutOfMemoryError",
    "allow_tf32",
    "memory",
    "register_backends",
    "tf32_allowed",
    "versions",
]


class CuPy(Backend):
    """CuPy's arrays."""

    asynchronous = True  # to look at a value waits for all work that is queued, so checks of values are left out

    def __init__(self) -> None:
        super().__init__("cupy", "array_api_compat.cupy", root="cupy", aliases=("cuda",), numbered=True)
        self._count = 0

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
        """How many GPUs CuPy sees; 0 where there is no GPU or no driver. CUDA counts them once for a process."""
        if not self._count:
            runtime = self.xp.cuda.runtime
            try:
                self._count = int(runtime.getDeviceCount())
            except runtime.CUDARuntimeError:
                return 0
        return self._count

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

            data = np.asarray(data, dtype=dtype)  # a list of words above 2**63 would become floats
            if data.dtype.kind in "OSUVmM":
                raise TypeError(f"NumPy makes dtype {data.dtype} of it; numbers and booleans are supported")
        return self._on(index, lambda: self.xp.asarray(data, dtype=dtype, copy=copy))

    def to_numpy(self, array: Any) -> Any:
        with array.device:  # whose current stream the copy comes after
            return self.xp.asnumpy(array)

    def create(self, function: str, *args: Any, index: int, **kwargs: Any) -> Any:
        make = super().create
        if function == "linspace" and any(isinstance(v, complex) for v in args):  # CuPy's takes real numbers
            import numpy as np

            dtype = self.native_dtype(kwargs.pop("dtype"))
            return self.asarray(np.linspace(*args, **kwargs), dtype, index)
        return self._on(index, lambda: make(function, *args, index=index, **kwargs))

    def _on(self, index: int, make: Callable[[], Any]) -> Any:
        """What ``make`` returns, with GPU ``index`` as CuPy's current one: what it makes comes to be there."""
        with self.native_device(index):
            try:
                return make()
            except Exception as error:
                raise self.explain(error) or error  # noqa: B904 -- it has its cause

    def explain(self, error: Exception) -> Exception | None:
        """An ``OutOfMemoryError`` with the numbers of the current GPU, where ``error`` says that its memory ran out."""
        return explained(error)

    def details(self) -> dict[str, str]:
        """What ``jitrench doctor`` shows: versions, TF32, and each GPU with its memory."""
        found = {**versions(), "TF32": "allowed" if tf32_allowed() else "not allowed"}
        return found | {place: str(memory(place)) for place in map("cupy:{}".format, range(self.device_count()))}

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
                try:
                    return kernel(*arrays, **attrs)
                except Exception as error:  # while it is known which GPU it was
                    raise explained(error) or error  # noqa: B904 -- it has its cause

        return on_device


@hookimpl
def register_backends(register: Any) -> None:
    register(CuPy())
