"""What a device's name stands for, which is the default, and who has what another lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import backend as backends
from .backend import BACKENDS, NO_BACKEND, PLUGIN_KERNELS, Device, chosen, names
from .errors import BackendError, DTypeError, JITrenchError, MissingDTypeError, NotFoundError, UnsupportedError, suggest

if TYPE_CHECKING:
    from .backend import Backend


def device(spec: Any = None) -> Device:
    """The device that ``spec`` names: ``"numpy"``, ``"cpu"``, ``"cupy:0"``, ``"cuda:1"``, a Device, or None (default).

    The default device is that of the innermost ``with`` block, else NumPy's, else that of the only backend installed. Raises ``NotFoundError`` for an unknown
    name and ``BackendError`` where no backend is installed.
    """
    if isinstance(spec, Device):
        return spec
    if spec is None:
        inside = chosen.get()
        return inside[-1] if inside else BACKENDS["numpy"].first if "numpy" in BACKENDS else _default()
    name, _, digits = str(spec).partition(":")
    hint = "" if name in BACKENDS else backends.on_miss()
    found = BACKENDS.get(name)
    if found is None:
        raise NotFoundError(
            f"no device {spec!r}: installed backends are {', '.join(names()) or 'none'}.{_near(name)} `jitrench plugins` shows "
            f"broken ones.{hint}"
        )
    if digits and not (digits.isascii() and digits.isdecimal()):
        raise NotFoundError(f"no device {spec!r}: write {name!r} or '{name}:0'")
    index = int(digits or 0)
    if index and index >= found.device_count():
        raise NotFoundError(f"no device {spec!r}: backend {found.name!r} has {found.device_count()} device(s)")
    return Device(found, index)


def _near(name: str) -> str:
    if name.startswith(("cu", "gpu")) and "cupy" not in BACKENDS:
        return " For NVIDIA GPUs install jitrench-cupy, whose devices are 'cupy:0' or 'cuda:0'."
    if name in ("numpy", "cpu"):
        return " For the CPU install jitrench-numpy."
    return suggest(name, BACKENDS)


def _default() -> Device:
    hint = backends.on_miss()
    installed = names()
    if "numpy" in BACKENDS or len(installed) == 1:
        return BACKENDS["numpy" if "numpy" in BACKENDS else installed[0]].first
    if not installed:
        raise BackendError(NO_BACKEND + hint)
    raise BackendError(
        f"no default device among {', '.join(installed)}: pass device=..., or install jitrench-numpy.{hint}"
    )


def lacking(backend: Backend, kind: str, name: str, reason: str) -> JITrenchError:
    """The error for an op or a dtype that ``backend`` does not have; without a reason it has neither a kernel nor a general form."""
    others = [
        b
        for b in {id(b): b for b in BACKENDS.values()}.values()
        if b is not backend and _has(b, kind, name, not reason)
    ]
    where = ", ".join(sorted(b.name for b in others)) or "none"
    if kind == "dtype":
        return (MissingDTypeError if reason else DTypeError)(
            f"backend {backend.name!r} has no dtype {name}{f': {reason}' if reason else ''}. Installed backends that have it: {where}."
        )
    why = reason or "it has no kernel there, and no form in the standard's functions"
    move = f"Move the operands there, such as x.to({where.partition(',')[0]!r}), or register" if others else "Register"
    return UnsupportedError(
        f"backend {backend.name!r} lacks op {name!r}: {why}. Installed backends that have it: {where}. {move} a kernel for it "
        f"(register_kernels)."
    )


def _has(backend: Backend, kind: str, name: str, needs_kernel: bool) -> bool:
    """Whether ``backend`` says that it has it; one whose library is missing has nothing."""
    try:
        xp = backend.xp
    except BackendError:
        return False
    if kind == "dtype":
        return name not in backend.missing and hasattr(xp, name)
    own = name not in backend.missing and (name in backend.kernels or not needs_kernel)
    return own or (name, backend.name) in PLUGIN_KERNELS


def admitted(backend: Backend, array: Any) -> Any:
    """``array``, which ``backend`` has made of other data; ``DTypeError`` where it is of a dtype that the backend declares missing."""
    if backend.missing and (name := backend.core_dtype(array.dtype).name) in backend.missing:
        raise lacking(backend, "dtype", name, backend.missing[name])
    return array
