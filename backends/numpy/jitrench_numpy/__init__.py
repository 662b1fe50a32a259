"""The NumPy backend of JITrench: device ``"numpy"``, also called ``"cpu"``.

Kernels are NumPy's own functions. They are overridden below only where something measured faster: results of no dimension
are NumPy scalars, for which Python's operators take about 40 ns and a ufunc 400, and ``np.sum`` costs 1 us more than
``np.add.reduce``. NumPy itself is imported when the first array is made.
"""

from __future__ import annotations

from typing import Any

from jitrench_core import Backend, DTypeError, hookimpl


class NumPy(Backend):
    """NumPy's arrays and scalars."""

    def __init__(self) -> None:
        super().__init__("numpy", "numpy", aliases=("cpu",))

    def link(self, op: Any, cls: type) -> Any:
        if not self.kernels:
            from .kernels import KERNELS

            self.kernels.update(KERNELS)
        return super().link(op, cls)

    def asarray(self, data: Any, dtype: Any = None, index: int = 0, copy: bool | None = None) -> Any:
        array = self.xp.asarray(data, dtype=dtype, copy=copy)
        if array.dtype.kind in "OSUVmM":
            raise DTypeError(
                f"no tensor of this {type(data).__name__}: NumPy makes dtype {array.dtype} of it; numbers and booleans are supported"
            )
        if type(data) is not type(array) and hasattr(data, "filled"):
            raise DTypeError(
                "no tensor of a masked array, whose mask would be lost: pass x.filled(value), and the mask by itself"
            )
        return array if array.ndim or copy is False else array[()]  # a scalar is faster, and a copy

    def to_numpy(self, array: Any) -> Any:
        return self.xp.asarray(array)

    def create(self, function: str, *args: Any, **kwargs: Any) -> Any:
        array = super().create(function, *args, **kwargs)
        return array if array.ndim else array[()]

    def native_dtype(self, dtype: Any) -> Any:
        return self.xp.dtype(dtype.name)


@hookimpl
def register_backends(register: Any) -> None:
    register(NumPy())
