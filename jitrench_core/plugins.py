"""Finding and loading plugins: lazily, once, each alone, and so that a broken one harms nobody else.

A plugin is a module named by an entry point in group ``jitrench``. ``JITRENCH_PLUGINS=a,b`` loads only those,
``JITRENCH_DISABLE_PLUGINS=c`` all but those, and ``JITRENCH_STRICT_PLUGINS=1`` raises at the first failure.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from . import backend as backends
from . import hookspecs, registry
from .errors import BackendError, DuplicateError, NotFoundError, PluginError, suggest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    import pluggy

GROUP = "jitrench"
API_VERSION = 1


class PluginWarning(UserWarning):
    """A plugin did not load; the rest did."""


class Plugin(NamedTuple):
    """An installed plugin: its entry point's name, its distribution and version, and what became of it."""

    name: str
    distribution: str
    version: str
    module: str
    status: str  # "loaded", "failed" or "disabled"
    error: BaseException | None = None
    traceback: str = ""

    @property
    def where(self) -> str:
        """File and line of the failure, the innermost outside the loader; empty where no line is to blame."""
        if isinstance(self.error, SyntaxError):
            return f"{self.error.filename}:{self.error.lineno}"
        import traceback

        found = ""
        frames = traceback.walk_tb(self.error.__traceback__ if self.error else None)
        for frame, line in frames:
            if frame.f_globals.get("__name__", "").partition(".")[0] not in _LOADER:
                found = f"{frame.f_code.co_filename}:{line}"
        return found


_LOADER = (__name__.partition(".")[0], "pluggy", "importlib")
_own: dict[str, Any] = {}
_manager: pluggy.PluginManager | None = None
_lock = threading.RLock()
PATIENCE = 60  # seconds; Python's own import lock can hold the thread that holds ours
_done = False
_loading = False
_plugins: dict[tuple[str, str, str], Plugin] = {}  # by name, distribution and module, in the order of loading
_unknown: list[str] = []  # names in the environment that no installed plugin has


def manager() -> pluggy.PluginManager:
    """The plugin manager, with the hook specifications."""
    global _manager
    if _manager is None:
        import pluggy

        specify = pluggy.HookspecMarker(GROUP)
        for hook in hookspecs.HOOKS:
            specify(getattr(hookspecs, hook))
        _manager = pluggy.PluginManager(GROUP)
        _manager.add_hookspecs(hookspecs)
        for name, module in _own.items():
            for hook in hookspecs.HOOKS:
                if hook in vars(module):
                    hookspecs.hookimpl(vars(module)[hook])
            _manager.register(module, name)
    return _manager


def register_own(module: Any, name: str) -> None:
    """Register a module of the core by the same hooks, without pluggy, so that importing the core does not import it."""
    staging = registry.Staging(name)
    for hook in hookspecs.HOOKS:
        if hook in vars(module):
            vars(module)[hook](staging.taker(hook))
    staging.commit()
    _own[name] = module


def register(module: Any, name: str) -> None:
    """Check, stage and commit one plugin module; where it fails, nothing of it stays."""
    api = getattr(module, "__dict__", {}).get("jitrench_api", API_VERSION)  # not by a __getattr__ of the module's
    if api != API_VERSION:
        raise PluginError(
            f"plugin {name!r} is written for version {api!r} of the plugin API; this jitrench-core has version "
            f"{API_VERSION}: install a release of the plugin, or of jitrench-core, that fits"
        )
    import pluggy

    pm = manager()
    if pm.has_plugin(name):
        raise DuplicateError(f"plugin {name!r} cannot be registered: the name is taken by {pm.get_plugin(name)!r}")
    if pm.is_registered(module):
        raise DuplicateError(
            f"plugin {name!r} cannot be registered: its module is plugin {pm.get_name(module)!r} already"
        )
    try:
        pm.register(module, name)
        hooks = {caller.name for caller in pm.get_hookcallers(module) or ()}
        for hook in sorted(hooks - set(hookspecs.HOOKS)):
            raise PluginError(f"plugin {name!r} implements an unknown hook {hook!r}.{suggest(hook, hookspecs.HOOKS)}")
        if not hooks:
            raise PluginError(
                f"plugin {name!r} ({getattr(module, '__name__', module)}) implements no hook: decorate at least one of "
                f"{', '.join(hookspecs.HOOKS)} with @jitrench_core.hookimpl"
            )
        for impl in (
            i for caller in pm.get_hookcallers(module) or () for i in caller.get_hookimpls() if i.plugin is module
        ):
            if not impl.argnames:
                raise PluginError(
                    f"plugin {name!r}: {impl.function.__name__}() takes no parameter; a hook takes one, named register"
                )
        staging = registry.Staging(name)
        others = [plugin for plugin in pm.get_plugins() if plugin is not module]
        for hook in hookspecs.HOOKS:
            if hook in hooks:
                pm.subset_hook_caller(hook, others)(register=staging.taker(hook))
        staging.commit()
    except BaseException as e:
        if pm.has_plugin(name):
            pm.unregister(name=name)
        if isinstance(e, pluggy.PluginValidationError):
            raise PluginError(f"plugin {name!r}: a hook takes one parameter, named register: {e}") from e
        raise


def load(*, strict: bool | None = None) -> None:
    """Load every installed plugin that the environment allows, once. Does not re-enter; other threads wait.

    What fails is warned about, or with ``strict`` (None: as JITRENCH_STRICT_PLUGINS says) raised as ``PluginError``, by
    every call until it is mended.
    """
    if not _done:
        _load_once(os.environ.get("JITRENCH_STRICT_PLUGINS", "") not in ("", "0") if strict is None else strict)


def _load_once(strict: bool) -> None:
    global _done, _loading
    if not _lock.acquire(timeout=PATIENCE):
        raise PluginError(
            f"another thread has been loading plugins for {PATIENCE} s: it may wait for a module that this thread is importing. "
            f"Call jt.device() once before starting threads, or import that plugin first in the main one"
        )
    try:
        if _done or _loading:
            return
        _loading = True
        try:
            _load(strict)
            _done = True
        finally:
            _loading = False
    finally:
        _lock.release()
    for message in (*_unknown, *(f"{_complaint(p)} (`jitrench plugins` shows where)" for p in failed())):
        warnings.warn(message, PluginWarning, stacklevel=3)


def _load(strict: bool) -> None:
    """Each installed plugin that was not tried yet, in the order of names."""
    from importlib.metadata import entry_points

    only, without = _names("JITRENCH_PLUGINS"), _names("JITRENCH_DISABLE_PLUGINS")
    points = sorted(entry_points(group=GROUP), key=_key)
    installed = {point.name for point in points}
    _unknown[:] = [
        f"no plugin {name!r} is installed, though the environment names it.{suggest(name, installed)}"
        for name in sorted(((only or set()) | (without or set())) - installed)
    ]
    late = []
    for point in points:
        if _key(point) not in _plugins and not _try(point, only, without):
            late.append(point)
    for point in late:  # it asked for a backend or an op, which a plugin of a later name may have brought
        _try(point, only, without, last=True)
    for p in failed() if strict else ():
        raise PluginError(_complaint(p)) from p.error


def _key(point: EntryPoint) -> tuple[str, str, str]:
    return point.name, point.dist.name if point.dist else "?", point.value


def _try(point: EntryPoint, only: set[str] | None, without: set[str] | None, *, last: bool = False) -> bool:
    """Load one plugin, where it is allowed, and note what became of it; False to try again later."""
    name, dist, module = key = _key(point)
    error, text = None, ""
    allowed = (only is None or name in only) and (without is None or name not in without)
    if allowed:
        try:
            _refuse_namesake(name, dist)
            register(point.load(), name)
        except (Exception, SystemExit) as e:
            if isinstance(e, (BackendError, NotFoundError)) and not last:
                return False
            import traceback

            error, text = _printable(e), traceback.format_exc()
    status = "disabled" if not allowed else "failed" if error else "loaded"
    _plugins[key] = Plugin(name, dist, point.dist.version if point.dist else "?", module, status, error, text)
    return True


def _printable(error: BaseException) -> BaseException:
    """``error``, or one that says so where its own message cannot be made."""
    try:
        str(error)
    except Exception as second:
        return PluginError(f"{type(error).__name__}, whose message fails with {type(second).__name__}")
    return error


def _complaint(p: Plugin) -> str:
    return f"plugin {p.name!r} of {p.distribution} {p.version} did not load: {type(p.error).__name__}: {p.error}"


def _refuse_namesake(name: str, distribution: str) -> None:
    for other in _plugins.values():
        if other.name == name:
            raise DuplicateError(
                f"both {other.distribution!r} and {distribution!r} declare a plugin {name!r}; uninstall one"
            )


def _names(variable: str) -> set[str] | None:
    value = os.environ.get(variable)
    return None if value is None else {part.strip() for part in value.split(",") if part.strip()}


def plugins() -> list[Plugin]:
    """Every installed plugin, with what became of it; loads them first."""
    load()
    return list(_plugins.values())


def failed() -> list[Plugin]:
    """Those of the plugins tried so far that did not load."""
    return [p for p in _plugins.values() if p.status == "failed"]


def unknown() -> list[str]:
    """Complaints about names in JITRENCH_PLUGINS and JITRENCH_DISABLE_PLUGINS that no installed plugin has."""
    return list(_unknown)


def on_miss() -> str:
    """Load the plugins, because a name is missing, and say which of them failed: the name may be theirs."""
    load()
    broken = ", ".join(f"{p.name} ({p.error})" for p in failed())
    off = ", ".join(p.name for p in _plugins.values() if p.status == "disabled")
    hint = f" It may belong to a plugin that failed: {broken}." if broken else ""
    return hint + (f" JITRENCH_PLUGINS or JITRENCH_DISABLE_PLUGINS keeps out: {off}." if off else "")


class Listing(ModuleType):
    """A module that is a catalogue, too: ``nn.layers["KAN"]`` beside ``nn.layers.Linear``.

    >>> import jitrench_nn as nn
    >>> nn.layers["Linear"] is nn.layers.Linear, "linear" in nn.layers
    (True, True)
    """

    _catalogue: registry.Catalogue

    def __getitem__(self, name: str) -> Any:
        return self._catalogue[name]

    def __contains__(self, name: object) -> bool:
        return name in self._catalogue

    def __iter__(self) -> Iterator[str]:
        return iter(self._catalogue)

    def __len__(self) -> int:
        return len(self._catalogue)

    def __bool__(self) -> bool:
        return True  # a module, whatever is installed


def make_listing(module: str, kind: str) -> None:
    """Let the module of this name be indexed: ``make_listing(__name__, "layers")`` at the end of it."""
    listing: Any = sys.modules[module]
    if kind not in registry.CATALOGUES:
        raise PluginError(f"make_listing: there are {', '.join(registry.CATALOGUES)}; got {kind!r}")
    listing._catalogue = registry.CATALOGUES[kind]
    listing.__class__ = Listing


# The first of the two injections: an unknown array class, backend or op loads the plugins.
backends.on_miss = on_miss
