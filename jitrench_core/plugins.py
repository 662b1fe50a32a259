"""Finding and loading plugins: lazily, once, each alone, and so that a broken one harms nobody else.

A plugin is a module named by an entry point in group ``jitrench``. ``JITRENCH_PLUGINS=a,b`` loads only those,
``JITRENCH_DISABLE_PLUGINS=c`` all but those, and ``JITRENCH_STRICT_PLUGINS=1`` raises at the first failure.
"""

from __future__ import annotations

import os
import threading
import traceback
import warnings
from dataclasses import dataclass
from typing import Any, final

import pluggy

from . import backend as backends
from . import hookspecs, registry
from .errors import PluginError, suggest

GROUP = "jitrench"
API_VERSION = 1


class PluginWarning(UserWarning):
    """A plugin did not load; the rest did."""


@final
@dataclass(frozen=True)
class Plugin:
    """An installed plugin: its entry point's name, its distribution and version, and what became of it."""

    name: str
    distribution: str
    version: str
    status: str  # "loaded", "failed" or "disabled"
    error: BaseException | None = None
    traceback: str = ""


_manager: pluggy.PluginManager | None = None
_lock = threading.RLock()
_done = False
_loading = False
_plugins: dict[str, Plugin] = {}


def manager() -> pluggy.PluginManager:
    """The plugin manager, with the hook specifications."""
    global _manager
    if _manager is None:
        _manager = pluggy.PluginManager(GROUP)
        _manager.add_hookspecs(hookspecs)
    return _manager


def register(module: Any, name: str) -> None:
    """Check, stage and commit one plugin module; where it fails, nothing of it stays."""
    api = vars(module).get("jitrench_api", API_VERSION)
    if api != API_VERSION:
        raise PluginError(
            f"plugin {name!r} is written for version {api!r} of the plugin API; this jitrench-core has version "
            f"{API_VERSION}: install a release of the plugin, or of jitrench-core, that fits"
        )
    pm = manager()
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
        staging = registry.Staging(name)
        others = [plugin for plugin in pm.get_plugins() if plugin is not module]
        for hook in hookspecs.HOOKS:
            if hook in hooks:
                pm.subset_hook_caller(hook, others)(register=getattr(staging, hook))
        staging.commit()
    except BaseException:
        if pm.has_plugin(name):
            pm.unregister(name=name)
        raise


def load() -> None:
    """Load every installed plugin that the environment allows; again only after ``reload`` forgets. Does not re-enter."""
    global _done, _loading
    if _done:
        return
    with _lock:
        if _done or _loading:
            return
        _loading = True
        try:
            _load()
            _done = True
        finally:
            _loading = False


def _load() -> None:
    from importlib.metadata import entry_points

    only, without = _names("JITRENCH_PLUGINS"), _names("JITRENCH_DISABLE_PLUGINS")
    points = sorted(entry_points(group=GROUP), key=lambda e: (e.name, e.dist.name if e.dist else ""))
    for unknown in sorted(((only or set()) | (without or set())) - {e.name for e in points}):
        near = suggest(unknown, {e.name for e in points})
        warnings.warn(
            f"no plugin {unknown!r} is installed, though the environment names it.{near}", PluginWarning, stacklevel=2
        )
    for point in points:
        dist = point.dist.name if point.dist else "?"
        version = point.dist.version if point.dist else "?"
        label = point.name if point.name not in _plugins else f"{point.name} ({dist})"
        if (only is not None and point.name not in only) or (without is not None and point.name in without):
            _plugins[label] = Plugin(label, dist, version, "disabled")
            continue
        try:
            if label != point.name:
                raise PluginError(
                    f"both {_plugins[point.name].distribution!r} and {dist!r} declare a plugin {point.name!r}"
                )
            register(point.load(), point.name)
            _plugins[label] = Plugin(label, dist, version, "loaded")
        except Exception as error:
            _plugins[label] = Plugin(label, dist, version, "failed", error, traceback.format_exc())
            message = f"plugin {label!r} of {dist} {version} did not load: {type(error).__name__}: {error}"
            if os.environ.get("JITRENCH_STRICT_PLUGINS", "") not in ("", "0"):
                raise PluginError(message) from error
            warnings.warn(f"{message} (`jitrench plugins` shows where)", PluginWarning, stacklevel=2)


def _names(variable: str) -> set[str] | None:
    value = os.environ.get(variable)
    return None if value is None else {part.strip() for part in value.split(",") if part.strip()}


def plugins() -> list[Plugin]:
    """Every installed plugin, with what became of it; loads them first."""
    load()
    return list(_plugins.values())


def _hint() -> str:
    failed = [p for p in _plugins.values() if p.status == "failed"]
    if not failed:
        return ""
    return f" It may belong to a plugin that failed: {', '.join(f'{p.name} ({p.error})' for p in failed)}."


# The first of the two injections: an unknown array class, backend or op loads the plugins.
backends.on_miss = load
registry.missing_hint = _hint
