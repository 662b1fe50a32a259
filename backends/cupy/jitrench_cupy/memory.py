"""The memory of a GPU: what it has, what CuPy's pool holds of it, and the error for when it ran out."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from jitrench_core import BackendError, JITrenchError, device


class OutOfMemoryError(JITrenchError, MemoryError):
    """A GPU's memory ran out; the message says what was asked for, who holds the memory, and what to do."""


class Memory(NamedTuple):
    """A GPU and its memory, in bytes; see ``memory``."""

    device: str
    name: str
    compute_capability: str
    total: int
    free: int
    used: int
    cached: int
    limit: int | None

    def __str__(self) -> str:
        """``NVIDIA H100, compute capability 9.0: 70.0 GiB of 79.1 GiB free; CuPy's pool: 1.5 GiB used, 0.2 GiB cached``"""
        limit = "" if self.limit is None else f", at most {size(self.limit)}"
        return (
            f"{self.name}, compute capability {self.compute_capability}: {size(self.free)} of {size(self.total)} free; "
            f"CuPy's pool: {size(self.used)} used, {size(self.cached)} cached{limit}"
        )


def memory(where: Any = "cupy:0") -> Memory:
    """What the GPU ``where`` has, and what CuPy's memory pool of this process holds of it; it waits for nothing.

    ``total`` and ``free`` are the device's, of all programs together. ``used`` is what arrays that are alive take in the pool,
    ``cached`` what the pool keeps for the next ones, and ``limit`` the most that it may hold (None: all of the device), as
    ``CUPY_GPU_MEMORY_LIMIT`` or the pool's own ``set_limit`` says.

    ``where`` is a device, ``"cuda:1"``, a Tensor's ``x.device``. Raises ``BackendError`` for one that is no GPU of CuPy's.

    ``jitrench_cupy.memory("cuda:0").used`` is the number to watch; ``print(jitrench_cupy.memory())`` shows all of them.
    """
    place = device(where)
    if place.backend.root != "cupy":
        raise BackendError(f"memory() tells of CuPy's devices, such as 'cupy:0'; got {str(place)!r}")
    with place.backend.native_device(place.index):
        return _here()


def _here() -> Memory:
    """That of the current GPU."""
    import cupy

    gpu = cupy.cuda.Device()
    free, total = gpu.mem_info
    used, cached, limit = _pool()
    capability = str(gpu.compute_capability)  # "90"
    full = cupy.cuda.runtime.getDeviceProperties(gpu.id)["name"]
    return Memory(
        f"cupy:{gpu.id}",
        full.decode() if isinstance(full, bytes) else str(full),
        f"{capability[:-1]}.{capability[-1]}",
        int(total),
        int(free),
        used,
        cached,
        limit,
    )


def _pool() -> tuple[int, int, int | None]:
    """Bytes used, cached and allowed in the pool that CuPy allocates from on the current GPU."""
    import cupy

    pool: Any = getattr(
        cupy.cuda.get_allocator(), "__self__", None
    )  # it may have been replaced, even by no pool at all
    if not hasattr(pool, "used_bytes"):
        pool = cupy.get_default_memory_pool()
    used = int(pool.used_bytes())
    return used, max(int(pool.total_bytes()) - used, 0), int(pool.get_limit()) or None


def versions() -> dict[str, str]:
    """Those of CuPy, of the CUDA runtime that it was built with, and of the driver (the newest CUDA that it can run).

    ``{"CuPy": "14.2.0", "CUDA runtime": "12.9", "CUDA driver": "13.0"}``, with ``"none"`` for a driver that is not there.
    """
    import cupy

    runtime = cupy.cuda.runtime
    found = {"CuPy": str(cupy.__version__)}
    for name, ask in (("CUDA runtime", runtime.runtimeGetVersion), ("CUDA driver", runtime.driverGetVersion)):
        try:
            number = int(ask())  # 12090
        except runtime.CUDARuntimeError:
            number = 0
        found[name] = f"{number // 1000}.{number % 1000 // 10}" if number else "none"
    return found


# What CUDA's libraries call it, in errors of several classes: cudaErrorMemoryAllocation, CUDA_ERROR_OUT_OF_MEMORY,
# CUBLAS_STATUS_ALLOC_FAILED, CUFFT_ALLOC_FAILED, ...
_NAMES = re.compile(r"MemoryAllocation|OUT_OF_MEMORY|ALLOC_FAILED")


def explained(error: BaseException) -> OutOfMemoryError | None:
    """The error to raise in place of ``error``, where that says that the current GPU's memory ran out.

    Raise what comes without giving it a name: a name in a frame of its traceback would keep arrays alive until the next collection.
    """
    if type(error).__module__.partition(".")[0] not in ("cupy", "cupy_backends", "cupyx"):
        return None
    pool = isinstance(error, MemoryError)
    if not pool and not _NAMES.search(str(error)):
        return None
    asked = re.search(r"allocating ([\d,]+) bytes", str(error)) if pool else None
    made = OutOfMemoryError(_told(int(asked[1].replace(",", "")) if asked else None, pool, str(error)))
    made.__cause__ = error
    return made


def _told(needed: int | None, pool: bool, reason: str) -> str:
    asked = f"{size(needed)} ({needed:,} bytes) were needed" if needed is not None else f"CUDA says {reason!r}"
    try:
        now = _here()
    except Exception as e:  # the GPU may be beyond answering
        return f"out of memory on a GPU: {asked}; its numbers cannot be read: {e}"
    others = max(now.total - now.free - now.used - now.cached, 0)
    said = [
        f"out of memory on {now.device} ({now.name}): {asked}. Of its {size(now.total)}, arrays of this process use "
        f"{size(now.used)}, CuPy's pool keeps {size(now.cached)} cached, other libraries, other programs and CUDA itself have "
        f"{size(others)}, and {size(now.free)} are free"
    ]
    if now.limit is not None:
        said.append(
            f"The pool may hold {size(now.limit)} at most: raise CUPY_GPU_MEMORY_LIMIT, or cupy's pool.set_limit(size=...)"
        )
    said.append(
        "What helps: a smaller batch; jt.checkpoint around the model's blocks, which computes again in backward instead of keeping; "
        "letting go of losses and outputs of earlier steps, which keep their graphs (loss.detach() does not)"
    )
    if now.cached and pool:
        said.append("What is cached lies between arrays that are alive: CuPy had given back all else before it gave up")
    elif now.cached:
        said.append(
            "CUDA was asked beside CuPy's pool: cupy.get_default_memory_pool().free_all_blocks() gives back what is cached"
        )
    if others > now.total // 4:
        said.append("Much of the memory is others': `nvidia-smi` names the programs")
    return ". ".join(said) + "."


def size(n: int) -> str:
    """``1.5 GiB``, in the largest unit of which there is one."""
    unit = next((u for u in (30, 20, 10) if n >> u), 0)
    return f"{n / (1 << unit):.1f} {'KMG'[unit // 10 - 1]}iB" if unit else f"{n} B"
