"""Backends and devices: the class of an array decides who computes with it.

``OWNERS`` maps an array class to its owner. An owner has a ``depth`` (0 for a backend, 1 and up for the array classes
of interpreters such as ``jvp`` and ``vmap``) and a ``link`` that makes an op's kernel for one of its classes. Among the
operands of an op the deepest owner computes; nothing else in the engine knows that interpreters exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any, final
from weakref import WeakSet

from . import dtypes
from .dtypes import DType
from .errors import BackendError, DuplicateError

if TYPE_CHECKING:
    from .op import Op

Kernel = Callable[..., Any]

BACKENDS: dict[str, Backend] = {}  # by name and by alias ("cpu")
OWNERS: dict[type, Any] = {}  # by array class; filled on first use
PLUGIN_KERNELS: dict[
    tuple[str, str], tuple[str, Kernel]
] = {}  # (op, backend) -> (owner, kernel): before a backend's own

NO_BACKEND = (
    "no backend is installed, so there is nothing to compute with. Install one: `pip install jitrench-numpy` (CPU) or "
    "`pip install jitrench-cupy[cuda12]` (GPU). `jitrench doctor` tells more."
)

# All ops that there are, registered or not, so that what is linked can be linked anew.
OPS: WeakSet[Op] = WeakSet()

# Set while kernels are watched (watching.py): it gets an op and the kernel that is about to run, and returns what runs instead.
watch: Callable[[Op, Kernel], Kernel] | None = None

# The interpreters that are running, by depth: new leaves are lifted into the last, and while a kernel of depth n runs, only
# the first n - 1 are active.
active: ContextVar[tuple[Any, ...]] = ContextVar("active", default=())

# The devices of the ``with`` blocks around, the innermost last.
chosen: ContextVar[tuple[Device, ...]] = ContextVar("chosen", default=())


def on_miss() -> str:
    """Replaced, by name, in plugins.py: load the plugins, because a name or an array class is not known yet.

    Returns a sentence that names the plugins which failed, and may hold what is missing; empty where none did.
    """
    return ""


@final
class Device:
    """Where an array lives: a backend and, where it has several devices, an index. Equal to its own spellings.

    In a ``with`` block it is the default device, of this thread or asynchronous task: that of what is made of Python's numbers and lists.
    A generator that yields inside of a block leaves the device to its caller, until it goes on.
    """

    __slots__ = ("backend", "index")

    def __init__(self, backend: Backend, index: int) -> None:
        self.backend = backend
        self.index = index

    def __str__(self) -> str:
        return f"{self.backend.name}:{self.index}" if self.backend.numbered else self.backend.name

    def __repr__(self) -> str:
        return f"jt.device({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            name, _, index = other.partition(":")
            return BACKENDS.get(name) is self.backend and (index or "0") == str(self.index)
        if isinstance(other, Device):
            return self.backend is other.backend and self.index == other.index
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self.backend.name, self.index))

    def __reduce__(self) -> tuple[Any, ...]:
        from .devices import device

        return device, (str(self),)

    def __enter__(self) -> Device:
        chosen.set((*chosen.get(), self))
        return self

    def __exit__(self, *exc: object) -> None:
        inside = list(chosen.get())
        if self in inside:  # blocks of generators need not end in the order in which they began
            del inside[len(inside) - 1 - inside[::-1].index(self)]
        chosen.set(tuple(inside))


class Backend:
    """An array library as JITrench sees it: one table, and a few methods to override where the library differs.

    ``name`` is the backend's and its devices' name; ``namespace`` the module (by name; imported on first use) with the
    library's Array API functions; ``root`` the top module of its array classes; ``aliases`` further device names;
    ``numbered`` whether devices are written ``name:index``. ``kernels`` maps an op's name to a function with the op's
    own signature (without ``xp``), or to such a function per array class. What has no kernel runs the op's forward. ``missing``
    declares gaps: names of ops and dtypes that the library lacks, with the reason. Using one is an error that says where it works.
    """

    depth = 0
    # Whether looking at a value waits for the device: what only refuses bad values then does not look.
    asynchronous = False

    def __init__(
        self,
        name: str,
        namespace: str,
        *,
        root: str | None = None,
        aliases: tuple[str, ...] = (),
        numbered: bool = False,
        kernels: Mapping[str, Kernel | Mapping[type, Kernel]] | None = None,
        missing: Mapping[str, str] | None = None,
    ) -> None:
        for taken in (name, *aliases):
            if not taken or ":" in taken or taken.split() != [taken]:
                raise BackendError(f"a device is called by a word without ':', such as 'jax'; got {taken!r}")
        self.name = name
        self.namespace = namespace
        self.root = root or namespace.partition(".")[0]
        self.aliases = aliases
        self.numbered = numbered
        self.kernels: dict[str, Kernel | Mapping[type, Kernel]] = dict(kernels or {})
        gaps: Any = missing or {}
        if not isinstance(gaps, Mapping) or not all(
            type(x) is str and x.strip() for pair in gaps.items() for x in pair
        ):
            raise BackendError(
                f"backend {name!r}: missing= takes names of ops and dtypes, each with its reason; got {missing!r}"
            )
        self.missing = dict(gaps)
        self.first = Device(self, 0)
        self._xp: Any = None
        self._native: dict[DType, Any] = {}
        self.core_dtypes: dict[Any, DType] = {}  # by native type, those that were asked for

    def __repr__(self) -> str:
        return f"<backend {self.name!r}>"

    # -- what a library may do differently --------------------------------------------------------------------------

    @property
    def xp(self) -> Any:
        """The library's array namespace, imported on first use."""
        if self._xp is None:
            try:
                self._xp = import_module(self.namespace)
            except ImportError as e:
                raise BackendError(f"backend {self.name!r} needs {self.namespace!r}, which does not import: {e}") from e
        return self._xp

    def device_count(self) -> int:
        """How many devices the library sees now."""
        return 1

    def index_of(self, array: Any) -> int:
        """The index of the device that holds ``array``."""
        return 0

    def native_device(self, index: int) -> Any:
        """What the library's creation functions take as ``device=`` (None: its default)."""
        return None

    def asarray(self, data: Any, dtype: Any = None, index: int = 0, copy: bool | None = None) -> Any:
        """An array of the library on device ``index``; ``dtype`` is native or None."""
        return self.xp.asarray(data, dtype=dtype, device=self.native_device(index), copy=copy)

    def to_numpy(self, array: Any) -> Any:
        """A NumPy array of the same values, without a copy where the library allows."""
        raise BackendError(f"backend {self.name!r} does not say how its arrays become NumPy's")

    def create(self, function: str, *args: Any, dtype: DType | None, index: int, **kwargs: Any) -> Any:
        """Call the namespace's creation function on device ``index``."""
        native = None if dtype is None else self.native_dtype(dtype)
        return getattr(self.xp, function)(*args, dtype=native, device=self.native_device(index), **kwargs)

    def details(self) -> dict[str, str]:
        """What ``jitrench doctor`` tells of the backend beyond its devices: versions, memory."""
        return {}

    def explain(self, error: Exception) -> Exception | None:
        """A better error in place of one that a kernel raised, such as for memory that ran out; None to leave it."""
        return None

    def bind(self, kernel: Kernel) -> Kernel:
        """Wrap a kernel that is about to be linked: enter the operands' device, refuse mixed ones."""
        return kernel

    # -- the same for all ------------------------------------------------------------------------------------------

    def native_dtype(self, dtype: DType) -> Any:
        """The library's own type for ``dtype``."""
        if dtype not in self._native:
            native = getattr(self.xp, dtype.name, None)
            if native is None or dtype.name in self.missing:
                raise self._lacking("dtype", dtype.name)
            self._native[dtype] = native
        return self._native[dtype]

    def core_dtype(self, native: Any) -> DType:
        """The core's type for the library's ``native`` one."""
        if type(native) is DType:
            return native
        if native not in self.core_dtypes:
            own = ((d, getattr(self.xp, d.name, None)) for d in dtypes.DTYPES.values())
            found = (d for d, known in own if known is not None and known == native)  # NumPy's float64 equals None
            self.core_dtypes[native] = next(found, None) or dtypes.dtype(native)
        return self.core_dtypes[native]

    def _lacking(self, kind: str, name: str) -> Exception:
        from .devices import lacking

        return lacking(self, kind, name, self.missing.get(name, ""))

    def detach(self, array: Any) -> Any:
        """The array without what an interpreter adds to it; a library's own array is that already."""
        return array

    def device_of(self, array: Any) -> Device:
        """The device that holds ``array``."""
        index = self.index_of(array)
        return Device(self, index) if index else self.first

    def link(self, op: Op, cls: type) -> Kernel | None:
        """The kernel of ``op`` for arrays of class ``cls``: a plugin's, else the backend's, else the op's forward."""
        _, kernel = PLUGIN_KERNELS.get((op.name, self.name), ("", self.kernels.get(op.name)))
        if isinstance(kernel, Mapping):
            kernel = next((kernel[c] for c in cls.__mro__ if c in kernel), None)
        if op.name in self.missing and (op.name, self.name) not in PLUGIN_KERNELS:
            raise self._lacking("op", op.name)
        if kernel is None:
            kernel = self._form(op)
        return self.bind(kernel) if kernel is not None else None

    def _form(self, op: Op) -> Kernel | None:
        """The op's forward; where that may have no form for some operands, each result is looked at."""
        form: Kernel | None = op.bound_forward(self.xp)
        if form is None or "NotImplemented" not in getattr(getattr(op.forward, "__code__", None), "co_names", ()):
            return form

        def partial_form(*arrays: Any, **attrs: Any) -> Any:
            result = form(*arrays, **attrs)
            if result is NotImplemented:
                raise self._lacking("op", op.name)
            return result

        return partial_form


class KernelTable(dict[Any, Any]):
    """An op's kernels by array class, or by a tuple of the operands' classes. A hit is one lookup; a miss links once."""

    __slots__ = ("op",)

    def __init__(self, op: Op) -> None:
        self.op = op
        OPS.add(op)

    def __missing__(self, key: Any) -> Any:
        first, *others = key if type(key) is tuple else (key,)
        who = owner(first)
        if any(owner(c) is not who for c in others):
            raise MixedOwners
        self.op.complete()
        kernel = who.link(self.op, first)
        if kernel is None:  # a composite that no kernel serves here
            self[key] = kernel
            return kernel

        name = (self.op.name, getattr(who, "name", ""))
        plugin = PLUGIN_KERNELS.get(name)

        def first_call(*arrays: Any, **attrs: Any) -> Any:
            result = kernel(*arrays, **attrs)
            if result is NotImplemented:
                raise who._lacking("op", self.op.name)
            self.op.check_result(result, arrays)
            # Where a kernel was registered since, the next call links that; where calls are watched, each comes here.
            if PLUGIN_KERNELS.get(name) is plugin and watch is None:
                self[key] = kernel
            return result

        return first_call if watch is None else watch(self.op, first_call)


class MixedOwners(Exception):
    """Not an error: the operands' classes have different owners, so the general path must decide."""


def dtype_of(array: Any) -> DType:
    """The core's type for that of ``array``."""
    who = OWNERS.get(type(array)) or owner(type(array))
    return who.core_dtypes.get(array.dtype) or who.core_dtype(array.dtype)  # type: ignore[no-any-return]


def owner(cls: type) -> Any:
    """The backend or interpreter that owns arrays of class ``cls``; ``BackendError`` if there is none."""
    if cls not in OWNERS:
        roots = {c.__module__.partition(".")[0] for c in cls.__mro__} - {"builtins", "jitrench_core"}
        found, hint = _of_root(roots), ""
        if found is None and roots:
            hint = on_miss()
            found = _of_root(roots)
        if found is None and not BACKENDS:
            raise BackendError(NO_BACKEND + hint)
        if found is None:
            raise BackendError(
                f"{cls.__module__}.{cls.__qualname__} is not an array of an installed backend "
                f"({', '.join(names()) or 'none is installed'}). Make tensors with jt.tensor(...) or jt.asarray(...); "
                f"for another array library install its backend{_package(roots)}.{hint}"
            )
        OWNERS[cls] = found
    return OWNERS[cls]


def _package(roots: set[str]) -> str:
    ours = sorted(roots & {"numpy", "cupy"})
    return f": pip install jitrench-{ours[0]}" if ours else ", such as jitrench-numpy or jitrench-cupy"


def _of_root(roots: set[str]) -> Backend | None:
    return next((b for b in BACKENDS.values() if b.root in roots), None)


def names() -> list[str]:
    """The names of the registered backends."""
    return sorted({b.name for b in BACKENDS.values()})


def check_free(candidates: Iterable[Backend]) -> None:
    """``DuplicateError`` where a name or alias of ``candidates`` is taken."""
    taken = dict(BACKENDS)
    for backend in candidates:
        for name in (backend.name, *backend.aliases):
            if name in taken:
                raise DuplicateError(
                    f"backends {taken[name].name!r} and {backend.name!r} both claim the device {name!r}"
                )
            taken[name] = backend
        for other in taken.values():
            if other is not backend and other.root == backend.root:
                raise DuplicateError(
                    f"backends {other.name!r} and {backend.name!r} both own the arrays of {backend.root!r}"
                )


def add(backend: Backend) -> None:
    """Register ``backend`` under its name and aliases."""
    check_free([backend])
    for name in (backend.name, *backend.aliases):
        BACKENDS[name] = backend
