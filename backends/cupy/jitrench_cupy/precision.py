"""TF32: whether matrix products of float32 may round their operands to 10 bits of mantissa, for the tensor cores."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, final

from jitrench_core import BackendError


@final
class allow_tf32:  # a function in all but its use in a with statement
    """Let float32 and complex64 matrix products (so linear layers, convolutions and attention) use TF32, or forbid it.

    It holds from the call on, for the whole process: ``jitrench_cupy.allow_tf32(True)``. In a ``with`` statement what was before
    comes back at the end of the block. The default is False, as in PyTorch, unless the environment variable ``CUPY_TF32`` is 1.

    TF32 keeps float32's range and rounds the operands to float16's precision, about 3 decimal digits; sums are float32's. GPUs have it
    from compute capability 8.0 (Ampere) on; on others CuPy warns, and nothing changes. Sums, elementwise functions and float64
    are as ever. Raises ``BackendError`` where it is allowed and there is no GPU.
    """

    __slots__ = ("_before",)

    def __init__(self, allow: bool = True) -> None:
        core, linalg = _core()
        try:
            self._before = core.get_compute_type("f")
            if bool(allow) != (self._before == linalg.COMPUTE_TYPE_TF32):
                core.set_compute_type("f", linalg.COMPUTE_TYPE_TF32 if allow else linalg.COMPUTE_TYPE_DEFAULT)
        except RuntimeError as e:  # CuPy asks the GPU whether it has TF32
            raise BackendError(f"allow_tf32() needs a GPU: {e}") from e

    def __enter__(self) -> allow_tf32:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        _core()[0].set_compute_type("f", self._before)


def tf32_allowed() -> bool:
    """Whether matrix products of float32 may use TF32 now."""
    try:
        core, linalg = _core()
        return bool(core.get_compute_type("f") == linalg.COMPUTE_TYPE_TF32)
    except RuntimeError:  # there is no such switch, or no GPU
        return os.environ.get("CUPY_TF32", "0") not in ("", "0")


def _core() -> tuple[Any, Any]:
    """CuPy's own switch, which is what ``CUPY_TF32`` sets; no part of its public API, but the same from CuPy 9 to 14."""
    try:
        from cupy import _core
        from cupy._core import _routines_linalg
    except ImportError as e:
        raise BackendError(
            f"allow_tf32() cannot switch TF32 in this CuPy ({e}): set the environment variable CUPY_TF32=1"
        ) from e
    return _core, _routines_linalg
