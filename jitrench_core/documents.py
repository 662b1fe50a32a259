"""What everything that is registered says of itself: ``jitrench docs``, as text, as JSON and as Markdown pages.

All is read from the objects: signature, docstring and, of an op, its declaration. Pages made twice of the same packages are the
same; one of a single op also tells what its sample shows on the backends that compute here.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from . import __version__, plugins, registry
from . import backend as backends
from .backend import Backend
from .errors import JITrenchError, NotFoundError, suggest
from .op import Op

CORE = "jitrench-core"
MARK = "<!-- written by `jitrench docs --into`, which removes this page when its plugin has gone -->"
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class Entry(NamedTuple):
    """One registered thing. What is registered as several kinds, as a loss that is a layer, has an entry for each."""

    kind: str
    name: str
    owner: str
    item: Any

    @property
    def doc(self) -> str:
        """Its own docstring: none that is inherited, and none that a dataclass writes."""
        item = self.item.op if self.kind == "op" else type(self.item) if self.kind == "backend" else self.item
        while type(item) is partial:
            item = item.func
        text = vars(item).get("__doc__") if isinstance(item, type) else getattr(item, "__doc__", None)
        if not isinstance(text, str) or (isinstance(item, type) and text.startswith(f"{item.__name__}(")):
            return ""
        return inspect.cleandoc(text)

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.doc.partition("\n")[0].strip()

    @property
    def usage(self) -> str:
        """How it is called, or made; of a backend its device."""
        if self.kind == "backend":
            return f'jt.device("{self.name}:0")' if self.item.numbered else f'jt.device("{self.name}")'
        if self.kind == "op":
            return str(self.item.op.usage())
        return f"{self.name}({_written(_parameters(self.item))})"


# -- what there is --------------------------------------------------------------------------------------------------


def entries() -> list[Entry]:
    """All that is registered, by kind and name; loads the plugins, and leaves broken ones out."""
    plugins.load(strict=False)
    found = [
        Entry(catalogue.kind, name, catalogue.owners[name], catalogue.entries[name])
        for catalogue in registry.CATALOGUES.values()
        for name in catalogue
    ]
    made = [
        Entry("backend", name, registry.backend_owners.get(name, CORE), backends.BACKENDS[name])
        for name in sorted(backends.names())
    ]
    return found + made


def find(name: str) -> list[dict[str, Any]]:
    """The pages of all that has this name, also a plugin's or a distribution's.

    Raises ``NotFoundError`` with near matches, and with the plugins that failed.
    """
    every = entries()
    installed = plugins.plugins()
    pages = [_plugin(p, every) for p in installed if name in (p.name, p.distribution)]
    if name == CORE:
        pages = [_core(every)]
    found = [e for e in every if e.name == name] or [e for e in every if _is_alike(e, name)]
    if not found and not pages:
        known = {*(e.name for e in every), *(p.name for p in installed), *(p.distribution for p in installed), CORE}
        broken = ", ".join(f"{p.name} ({p.error})" for p in plugins.failed())
        hint = f" It may belong to a plugin that failed: {broken}." if broken else ""
        raise NotFoundError(
            f"nothing that is installed is called {name!r}.{suggest(name, sorted(known))}{hint} `jitrench docs` lists all"
        )
    alike: dict[int, list[Entry]] = {}
    for e in found:
        alike.setdefault(id(e.item), []).append(e)
    return pages + [page(*same, tried=True) for same in alike.values()]


def _is_alike(e: Entry, name: str) -> bool:
    catalogue = next((c for c in registry.CATALOGUES.values() if c.kind == e.kind), None)
    try:
        return catalogue is not None and catalogue.key(name) == e.name
    except NotFoundError:
        return False


def page(*same: Entry, tried: bool = False) -> dict[str, Any]:
    """All that is known of one thing, which may be registered as several kinds; ``tried``, also what an op's sample shows."""
    e = same[0]
    distribution, version = _origin(e.owner)
    return {
        "kind": ", ".join(entry.kind for entry in same),
        "name": e.name,
        "owner": e.owner,
        "distribution": distribution,
        "version": version,
        "usage": e.usage,
        "doc": e.doc,
        "parameters": [] if e.kind in ("op", "backend") else _table_of(e.item),
        **(_op(e.item.op, tried) if e.kind == "op" else {}),
        **(_backend(e.item) if e.kind == "backend" else {}),
    }


def _origin(owner: str) -> tuple[str, str]:
    """Distribution and version of an owner."""
    if owner == CORE:
        return CORE, __version__
    found = (p for p in plugins.plugins() if p.name == owner and p.status == "loaded")
    return next(((p.distribution, p.version) for p in found), ("", ""))


def _op(op: Op, tried: bool) -> dict[str, Any]:
    from .testing import support

    _usable()
    found: dict[str, Any] = {
        "derivative": {name: support.derivative(op, name) for name in op.inputs},
        "forward_mode": support.forward_mode(op),
        "kernels": {name: owner for name in sorted(backends.names()) if (owner := _kernel(op, name))},
    }
    if tried:
        more = support.support(op, _usable())
        found |= {name: more[name] for name in ("batching", "backends", "dtypes")}
    return found


def _kernel(op: Op, backend: str) -> str:
    """Whose kernel the backend has for the op."""
    if (op.name, backend) in backends.PLUGIN_KERNELS:
        return backends.PLUGIN_KERNELS[op.name, backend][0]
    return f"backend {backend}" if op.name in backends.BACKENDS[backend].kernels else ""


@cache
def _usable() -> tuple[str, ...]:
    """The backends that compute here, after their first op, by which a backend may load its kernels."""
    from .ops.creation import asarray
    from .testing import support

    found = tuple(support.usable())
    for name in found:
        _ = -asarray(1.0, device=name)
    return found


def _backend(b: Backend) -> dict[str, Any]:
    _usable()
    kernels = sorted(
        {*b.kernels, *(op for op, name in backends.PLUGIN_KERNELS if name == b.name)} & registry.ops.entries.keys()
    )
    return {"library": b.root, "aliases": list(b.aliases), "missing": dict(b.missing), "kernels": kernels}


def _plugin(p: plugins.Plugin, every: Iterable[Entry]) -> dict[str, Any]:
    import sys

    mine = p.name if p.status == "loaded" else None
    doc = getattr(sys.modules.get(p.module.partition(":")[0]), "__doc__", None) if mine else None
    return {
        "kind": "plugin",
        "name": p.name,
        "owner": p.name,
        "distribution": p.distribution,
        "version": p.version,
        "usage": f"import {p.module.partition(':')[0]}",
        "doc": inspect.cleandoc(doc) if isinstance(doc, str) else "",
        "parameters": [],
        "status": p.status,
        "error": f"{type(p.error).__name__}: {p.error}" if p.error else None,
        "registers": _by_kind(e for e in every if e.owner == mine),
        "kernels": sorted(f"{op} on {name}" for (op, name), (o, _) in backends.PLUGIN_KERNELS.items() if o == mine),
    }


def _core(every: Iterable[Entry]) -> dict[str, Any]:
    import jitrench_core

    return {
        "kind": "plugin",
        "name": CORE,
        "owner": CORE,
        "distribution": CORE,
        "version": __version__,
        "usage": "import jitrench_core",
        "doc": inspect.cleandoc(jitrench_core.__doc__ or ""),
        "parameters": [],
        "status": "loaded",
        "error": None,
        "registers": _by_kind(e for e in every if e.owner == CORE),
        "kernels": [],
    }


def _by_kind(mine: Iterable[Entry]) -> dict[str, dict[str, str]]:
    """Names with their first lines."""
    found: dict[str, dict[str, str]] = {}
    for e in mine:
        found.setdefault(e.kind, {})[e.name] = e.summary
    return found


# -- signatures -----------------------------------------------------------------------------------------------------


def _parameters(item: Any) -> list[inspect.Parameter] | None:
    """What it is called or made with; None where Python cannot tell, or fails to."""
    try:
        return list(inspect.signature(item).parameters.values())
    except Exception:  # a signature is made of a plugin's own objects
        return None


def _table_of(item: Any) -> list[dict[str, Any]]:
    return [
        {
            "name": _stars(p) + p.name,
            "type": "" if p.annotation is p.empty else _type(p.annotation),
            "default": None if p.default is p.empty else _shown(p.default),
        }
        for p in _parameters(item) or ()
    ]


def _stars(p: inspect.Parameter) -> str:
    return "**" if p.kind is p.VAR_KEYWORD else "*" if p.kind is p.VAR_POSITIONAL else ""


def _written(parameters: list[inspect.Parameter] | None) -> str:
    """What stands between the parentheses of a call."""
    if parameters is None:
        return "..."
    told: list[str] = []
    for p, before in zip(parameters, [None, *parameters], strict=False):
        if before and before.kind is p.POSITIONAL_ONLY and p.kind is not p.POSITIONAL_ONLY:
            told.append("/")
        if p.kind is p.KEYWORD_ONLY and (before is None or before.kind not in (p.KEYWORD_ONLY, p.VAR_POSITIONAL)):
            told.append("*")
        told.append(_stars(p) + p.name + ("" if p.default is p.empty else f"={_shown(p.default)}"))
    if parameters and parameters[-1].kind is inspect.Parameter.POSITIONAL_ONLY:
        told.append("/")
    return ", ".join(told)


def _type(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _shown(value: Any) -> str:
    """A default as a page writes it: functions by their name, nothing by its address."""
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str) and callable(value):
        return name
    try:
        return _ADDRESS.sub("", repr(value))
    except Exception:
        return f"<{type(value).__name__}>"


# -- as text --------------------------------------------------------------------------------------------------------


def text(found: dict[str, Any]) -> list[str]:
    """A page as lines for a terminal."""
    origin = f"{found['distribution']} {found['version']}".strip()
    head = f"{found['name']}: {found['kind']}" + (f" of {found['owner']}" if found["owner"] != found["name"] else "")
    lines = [head + (f" ({origin})" if origin else ""), "", f"    {found['usage']}"]
    if found["doc"]:
        lines += ["", *found["doc"].splitlines()]
    if found["parameters"]:
        lines += ["", "parameters"]
        width = max(len(p["name"]) for p in found["parameters"])
        for p in found["parameters"]:
            default = "" if p["default"] is None else f"= {p['default']}"
            lines.append(f"  {p['name']:<{width}}  {' '.join(filter(None, (p['type'], default)))}".rstrip())
    facts = list(_facts(found))
    short = [f"{title}: {told}" for title, told in facts if isinstance(told, str)]
    lines += ["", *short] if short else []
    for title, told in facts:
        lines += [] if isinstance(told, str) else ["", title, *(f"  {line}" for line in told)]
    return lines


def _facts(found: dict[str, Any]) -> Iterator[tuple[str, str | list[str]]]:
    """What a page has beside the docstring, each in a line or in lines of its own."""
    labels = {"forward_mode": "forward mode", "dtypes": "numbers", "aliases": "also called"}
    for name in (
        "status",
        "error",
        "library",
        "aliases",
        "missing",
        "derivative",
        "forward_mode",
        "batching",
        "backends",
        "dtypes",
    ):
        told = found.get(name)
        if isinstance(told, dict):
            told = ", ".join(f"{key}: {value}" for key, value in told.items())
        elif isinstance(told, list):
            told = " ".join(told)
        if told:
            yield labels.get(name, name), told
    kernels = found.get("kernels")
    if kernels:
        named = [f"{key} ({value})" for key, value in kernels.items()] if isinstance(kernels, dict) else kernels
        yield "kernels", ", ".join(named)
    for kind, names in found.get("registers", {}).items():
        width = max(map(len, names))
        yield plural(kind), [f"{name:<{width}}  {doc}".rstrip() for name, doc in names.items()]


def plural(kind: str) -> str:
    """``layers``, ``losses``."""
    return next((name for name, catalogue in registry.CATALOGUES.items() if catalogue.kind == kind), f"{kind}s")


# -- as Markdown ----------------------------------------------------------------------------------------------------


def write(folder: Path) -> list[Path]:
    """An index and a page for each plugin, and the core's, as Markdown files in ``folder``, which is made; returns them.

    A page that an earlier call wrote there of a plugin that has gone is removed.

    Raises ``JITrenchError`` where the folder cannot be written.
    """
    every = entries()
    owners = sorted({e.owner for e in every} | {p.name for p in plugins.plugins()})
    files = _files(owners)
    pages = {"index.md": _index(every, files)}
    pages |= {file: _owner_page(owner, [e for e in every if e.owner == owner], every) for owner, file in files.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.md"):
            if old.name not in pages and old.read_bytes().startswith(MARK.encode()):
                old.unlink()
        for name, body in pages.items():
            text = "\n".join([MARK, "", *body]).rstrip() + "\n"
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as e:
        raise JITrenchError(f"the pages cannot be written: {e}") from e
    return [folder / name for name in pages]


def _files(owners: Iterable[str]) -> dict[str, str]:
    """A file for each owner; no two names differ in case alone, which some file systems take for one."""
    found: dict[str, str] = {}
    taken = {"index"}
    for owner in owners:
        name = plain = re.sub(r"[^\w.-]", "_", owner)
        n = 1
        while name.lower() in taken:
            n += 1
            name = f"{plain}-{n}"
        taken.add(name.lower())
        found[owner] = f"{name}.md"
    return found


def _index(every: list[Entry], files: dict[str, str]) -> list[str]:
    lines = ["# What is installed", ""]
    lines += [f"- [{owner}]({file}) {' '.join(filter(None, _origin(owner)))}".rstrip() for owner, file in files.items()]
    for kind, entries_of in _grouped(every).items():
        lines += ["", f"## {plural(kind).capitalize()}", "", "| name | from | what it does |", "|---|---|---|"]
        lines += [
            f"| [`{_cell(e.name)}`]({files[e.owner]}#{_anchor(e)}) | {e.owner} | {_cell(e.summary)} |"
            for e in entries_of
        ]
    return lines


def _owner_page(owner: str, mine: list[Entry], every: list[Entry]) -> list[str]:
    found = _core(every) if owner == CORE else _plugin(next(p for p in plugins.plugins() if p.name == owner), every)
    lines = [f"# {owner}", "", " ".join(filter(None, (found["distribution"], found["version"]))), ""]
    lines += [*_markdown(found["doc"]), ""] if found["doc"] else []
    if found["status"] != "loaded":
        lines += [f"{found['status']}{': ' if found['error'] else ''}{found['error'] or ''}", ""]
    if found["kernels"]:
        lines += [f"Kernels: {', '.join(f'`{k}`' for k in found['kernels'])}", ""]
    for kind, entries_of in _grouped(mine).items():
        lines += [f"## {plural(kind).capitalize()}", ""]
        for e in entries_of:
            made = page(e)
            lines += [f'<a id="{_anchor(e)}"></a>', f"### `{e.name}`", "", "```python", made["usage"], "```", ""]
            lines += [*_markdown(made["doc"]), ""] if made["doc"] else []
            if made["parameters"]:
                lines += ["| parameter | type | default |", "|---|---|---|"]
                for p in made["parameters"]:
                    type_, default = (f"`{_cell(p[k])}`" if p[k] else "" for k in ("type", "default"))
                    lines.append(f"| `{p['name']}` | {type_} | {default} |")
                lines += [""]
            facts = [f"- {title}: {told}" for title, told in _facts(made)]
            lines += [*facts, ""] if facts else []
    return lines


def _grouped(every: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for e in every:
        found.setdefault(e.kind, []).append(e)
    return found


def _anchor(e: Entry) -> str:
    return f"{e.kind}-" + re.sub(r"[^\w-]", "_", e.name)  # whatever the name, it ends neither a link nor a cell


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _markdown(doc: str) -> list[str]:
    """A docstring, its doctests as blocks of code."""
    lines: list[str] = []
    inside = fenced = False
    for line in doc.splitlines():
        if not inside and line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        starts = not fenced and line.lstrip().startswith(">>>")
        if starts and not inside:
            lines += ["```pycon"]
        elif inside and not line.strip():
            lines += ["```"]
        inside = starts or (inside and bool(line.strip()))
        lines.append(line)
    return [*lines, "```"] if inside else lines
