"""The command ``jitrench``: what is installed, what is broken, and what to do about it.

Each subcommand prints aligned text, or with ``--json`` one JSON object whose keys stay as they are. Broken plugins are
what it is for, so it loads whatever loads, also under JITRENCH_STRICT_PLUGINS.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import get_terminal_size, which
from typing import Any

from . import __version__, devices, plugins, registry
from . import backend as backends
from .backend import Backend
from .errors import JITrenchError, NotFoundError, suggest
from .op import Op

MOST = 20  # failures that `jitrench check` tells in a line each
Report = tuple[dict[str, Any], list[str], int]  # the JSON object, the lines of text, the exit code

# An array library's distributions on PyPI, and what to install so that JITrench computes with it.
LIBRARIES = {
    "numpy": (("numpy",), "jitrench-numpy"),
    "cupy": (("cupy-cuda12x", "cupy-cuda13x", "cupy"), "jitrench-cupy"),
}
NO_BACKEND = "pip install jitrench-numpy (CPU), or pip install 'jitrench-cupy[cuda12]' (NVIDIA GPU)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 where something is broken or not found, 2 without a command."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.run is None:
        parser.print_help(sys.stderr)
        return 2
    args.width = get_terminal_size().columns if sys.stdout.isatty() else None
    with warnings.catch_warnings(), redirect_stdout(sys.stderr):  # what a plugin prints is no part of the report
        warnings.simplefilter("ignore", plugins.PluginWarning)  # the commands tell it better
        plugins.load(strict=False)
        data, lines, code = args.run(args)
    text = json.dumps(data, indent=2) if args.json else "\n".join(lines)
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:  # `jitrench ops | head`: nobody reads the rest, and Python's exit must not flush it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return int(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "jitrench", description="What is installed, what is broken, and what to do about it."
    )
    parser.add_argument("--version", action="version", version=f"jitrench-core {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    parser.set_defaults(run=None)

    def add(name: str, run: Callable[[argparse.Namespace], Report], help: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help, description=help)
        command.add_argument("--json", action="store_true", help="print one JSON object instead of text")
        command.set_defaults(run=run)
        return command

    listing = add("plugins", _plugins, "List the installed plugins, and why one failed. Exits with 1 if any did.")
    listing.add_argument("name", nargs="*", help="only these plugins or distributions, with all that they register")
    listing.add_argument(
        "--verbose", action="store_true", help="also print the traceback of each failure, and all names"
    )
    reader = add("docs", _docs, "Print the documentation of what is registered, or the index of all.")
    reader.add_argument(
        "name", nargs="*", help="ops, layers, optimizers, losses, schedules, datasets, backends, plugins"
    )
    reader.add_argument(
        "--into", type=Path, metavar="FOLDER", help="write all of it as Markdown: an index, a page each plugin"
    )
    finder = add("ops", _ops, "List the ops that can be called: signature, owner, and what each supports.")
    finder.add_argument("--markdown", action="store_true", help="print the page docs/support.md")
    finder.add_argument("name", nargs="?", default="", help="only ops whose name contains this; * and ? are wildcards")
    add("backends", _backends, "List the backends: devices, array library, and whether it imports.")
    checker = add(
        "check", _check, "Run the conformance battery of ops, and print what failed. Exits with 1 if any did."
    )
    checker.add_argument("name", nargs="*", help="ops, plugins, distributions or backends (none: everything)")
    checker.add_argument("--backend", action="append", help="on this backend only; repeat it, or separate with commas")
    checker.add_argument("--failed", action="store_true", help="leave out the rows of what passed")
    checker.add_argument("--complex", action="store_true", help="try complex numbers, too, where an op takes them")
    maker = add("new", _new, "Write a plugin as a complete package, with tests that pass.")
    maker.add_argument("kind", choices=("op", "layer", "optimizer", "backend"))
    maker.add_argument("name", help="of the op or backend, my_op, or of the class, MyLayer")
    maker.add_argument(
        "--into", type=Path, default=Path(), metavar="FOLDER", help="where its folder goes (default: here)"
    )
    add("doctor", _doctor, "Check the installation, and say what to install. Exits with 1 if something is broken.")
    return parser


# -- plugins --------------------------------------------------------------------------------------------------------


def _plugins(args: argparse.Namespace) -> Report:
    rows = [_plugin(p) for p in plugins.plugins()]
    known = {word for r in rows for word in (r["name"], r["distribution"])}
    missing = [name for name in args.name if name not in known]
    if missing:
        told = " ".join(f"no plugin {name!r} is installed.{suggest(name, sorted(known))}" for name in missing)
        return {"plugins": [], "notes": [told]}, [told], 1
    rows = [r for r in rows if not args.name or {r["name"], r["distribution"]} & {*args.name}]
    lines = _table(
        ("plugin", "distribution", "version", "status", "registers"),
        ((r["name"], r["distribution"], r["version"], r["status"], _count(r["registers"])) for r in rows),
        args.width,
    )
    if not rows:
        lines = [f"no plugin is installed: {NO_BACKEND}"]
    for r in rows if args.name or args.verbose else ():
        registers = {kind: names for kind, names in r["registers"].items() if names}
        lines += ["", f"{r['name']} registers"] if registers else []
        lines += [line for kind, names in registers.items() for line in _wrap(", ".join(names), f"  {kind}: ")]
    for r in rows:
        if r["error"]:
            lines += ["", f"{r['name']} ({r['distribution']} {r['version']}, module {r['module']}) failed:"]
            lines += _indent(f"{r['error']['type']}: {r['error']['message']}")
            lines += [f"  at {r['error']['where']}"] if r["error"]["where"] else []
            lines += _indent(r["error"]["traceback"], "  | ") if args.verbose else []
    bad = any(r["error"] for r in rows)
    if bad and not args.verbose:
        lines += ["", "--verbose shows the tracebacks"]
    notes = [*plugins.unknown(), *_strays()]
    lines += [line for note in notes for line in ("", f"note: {note}")]
    return {"plugins": rows, "notes": notes}, lines, 1 if bad else 0


def _plugin(p: plugins.Plugin) -> dict[str, Any]:
    error = None
    if p.error is not None:
        error = {"type": type(p.error).__name__, "message": str(p.error), "where": p.where, "traceback": p.traceback}
    mine = p.name if p.status == "loaded" else None
    registers = {"backends": sorted(name for name, owner in registry.backend_owners.items() if owner == mine)}
    for kind, catalogue in registry.CATALOGUES.items():
        registers[kind] = sorted(name for name, owner in catalogue.owners.items() if owner == mine)
    owned = sorted(key for key, (owner, _) in backends.PLUGIN_KERNELS.items() if owner == mine)
    return {
        "name": p.name,
        "distribution": p.distribution,
        "version": p.version,
        "module": p.module,
        "status": p.status,
        "registers": {**registers, "kernels": [f"{op} on {backend}" for op, backend in owned]},
        "error": error,
    }


def _count(registers: dict[str, list[str]]) -> str:
    one = {kind: catalogue.kind for kind, catalogue in registry.CATALOGUES.items()}
    one |= {"backends": "backend", "kernels": "kernel"}
    return ", ".join(f"{len(v)} {k if len(v) > 1 else one[k]}" for k, v in registers.items() if v)


# -- docs -----------------------------------------------------------------------------------------------------------


def _docs(args: argparse.Namespace) -> Report:
    from . import documents

    if args.into is not None:
        try:
            files = documents.write(args.into)
        except JITrenchError as e:
            return {"files": [], "error": str(e)}, [str(e)], 1
        return {"files": [str(f) for f in files], "error": None}, [str(f) for f in files], 0
    if args.name:
        try:
            pages = [page for name in args.name for page in documents.find(name)]
        except NotFoundError as e:
            return {"pages": [], "error": str(e)}, [str(e)], 1
        lines = [line for i, page in enumerate(pages) for line in (*(("", "") if i else ()), *documents.text(page))]
        return {"pages": pages, "error": None}, lines, 0
    rows = [{"kind": e.kind, "name": e.name, "owner": e.owner, "doc": e.summary} for e in documents.entries()]
    lines = _table(("kind", "name", "from", "what it does"), (tuple(r.values()) for r in rows), args.width)
    lines += ["", "`jitrench docs NAME` prints the whole of one"]
    if plugins.failed():
        lines += [f"{len(plugins.failed())} plugin(s) failed and might hold more: see `jitrench plugins`"]
    return {"index": rows, "error": None}, lines, 0


# -- ops ------------------------------------------------------------------------------------------------------------


def _ops(args: argparse.Namespace) -> Report:
    from fnmatch import fnmatchcase

    from .testing import support

    pattern = args.name.lower() if set("*?[") & set(args.name) else f"*{args.name.lower()}*"
    wanted = [name for name in registry.ops if fnmatchcase(name.lower(), pattern)]
    on = support.usable()
    if args.markdown and not args.json:
        on = [name for name in support.PAGE if name in on]
        return {}, support.markdown(wanted, on).rstrip().split("\n"), 0 if wanted else 1
    rows = [_op(registry.ops[name].op, on) for name in wanted]
    lines = _table(
        ("op", "from", "derivative", "forward mode", "batching", "backends", "numbers", "what it does"),
        (
            (
                r["usage"],
                r["owner"],
                support.order(registry.ops[r["name"]].op),
                r["forward_mode"],
                r["batching"],
                ", ".join(f"{name}: {made}" for name, made in r["backends"].items()),
                " ".join(r["dtypes"]) or "-",
                r["doc"],
            )
            for r in rows
        ),
        args.width,
    )
    if not rows:
        lines = [f"no op matches {args.name!r}.{suggest(args.name, registry.ops)}"]
    if plugins.failed():
        lines += ["", f"{len(plugins.failed())} plugin(s) failed and might hold more: see `jitrench plugins`"]
    return {"ops": rows, "tested": sum(r["tested"] for r in rows)}, lines, 0 if rows else 1


def _op(op: Op, on: Sequence[str]) -> dict[str, Any]:
    from .testing.support import support

    return {
        "name": op.name,
        "owner": op.owner,
        "usage": op.usage(),
        "inputs": list(op.inputs),
        "attributes": list(op.attrs),
        "outputs": op.outputs,
        "linear": list(op.linear),
        "elementwise": op.elementwise,
        "composite": op.composite,
        "doc": _first_line(op.__doc__),
        **support(op, on),
    }


# -- backends -------------------------------------------------------------------------------------------------------


def _backends(args: argparse.Namespace) -> Report:
    default, why = _default_device()
    rows = [_backend(backends.BACKENDS[name], default) for name in backends.names()]
    lines = _table(
        ("backend", "devices", "also called", "library", "version", "state"),
        (
            (
                r["name"] + (" (default)" if r["default"] else ""),
                ", ".join(r["devices"]) or "-",
                ", ".join(r["aliases"]) or "-",
                r["library"],
                r["version"] or "-",
                r["error"] or "works",
            )
            for r in rows
        ),
    )
    lines = lines if rows else [f"no backend is installed: {NO_BACKEND}"]
    lines += ["", f"no default device: {why}"] if rows and not default else []
    if plugins.failed():
        lines += ["", f"{len(plugins.failed())} plugin(s) failed and might hold more: see `jitrench plugins`"]
    return {"backends": rows, "default": default}, lines, 0 if any(r["error"] is None for r in rows) else 1


def _default_device() -> tuple[str | None, str]:
    """Its name, or None and the reason."""
    try:
        return str(devices.device()), ""
    except JITrenchError as e:
        return None, str(e)


def _backend(b: Backend, default: str | None) -> dict[str, Any]:
    """What a backend is, and whether it can compute: its library imports, has a device, and adds up."""
    found, devices, error = None, [], None
    try:
        found = str(getattr(b.xp, "__version__", "")) or _version(b.root)
        devices = [f"{b.name}:{i}" for i in range(b.device_count())] if b.numbered else [b.name]
        if not devices:
            raise RuntimeError(f"{b.root} finds no device")
        from . import ones

        dtype = next((d for d in ("float64", "float32") if d not in b.missing), None)
        if float((ones((2,), dtype=dtype, device=devices[0]) + 1).sum()) != 4.0:
            raise RuntimeError("1 + 1 + 1 + 1 is not 4 there")
    except Exception as e:  # a driver that is missing raises what it likes
        error = ("" if isinstance(e, JITrenchError) else f"{type(e).__name__}: ") + _first_line(str(e))
    return {
        "name": b.name,
        "owner": registry.backend_owners.get(b.name, ""),
        "devices": devices,
        "aliases": list(b.aliases),
        "library": b.root,
        "version": found,
        "default": default is not None and default.partition(":")[0] == b.name,
        "error": error,
    }


# -- check ----------------------------------------------------------------------------------------------------------


def _check(args: argparse.Namespace) -> Report:
    from .testing.checking import DATA, check
    from .testing.expected import NAMES, strays
    from .testing.op_tests import why_not

    try:
        results = list(_shown(check(args.name, args.backend, args.complex)))
    except NotFoundError as e:
        return {"checks": list(NAMES), "results": [], "passed": 0, "notes": [], "error": str(e)}, [str(e)], 1
    bad = [r for r in results if r.failed]
    untested = [r for r in results if r.untested]
    passed = len(results) - len(bad) - len(untested)
    lines = _table(
        ("op", "from", "backend", "passed", "failed"),
        (
            (
                r.op,
                r.owner,
                r.backend,
                f"{len(NAMES) - len(r.failed) - len(r.expected)} of {len(NAMES)}" if DATA not in r.failed else "-",
                ", ".join([*r.failed, *(f"{check} (expected: {why})" for check, why in r.expected.items())]),
            )
            if not r.untested
            else (r.op, r.owner, r.backend, "-", r.untested)
            for r in results
            if r.failed or r.untested or r.expected or not args.failed
        ),
        args.width,
    )
    if bad:
        lines += ["", f"the first failure of {bad[0].op} on {bad[0].backend}:", *_indent(bad[0].failure)]
    if bad[1:]:
        told = (f"{r.op} on {r.backend}: {_first_line(r.failure)}" for r in bad[1 : MOST + 1])
        rest = [f"  and {len(bad) - 1 - MOST} more"] if len(bad) - 1 > MOST else []
        lines += ["", "and those of others (--json has all in full):", *(f"  {line}" for line in told), *rest]
    absent = {} if args.backend else {name: reason for name in backends.names() if (reason := why_not(name))}
    notes = [*(f"nothing ran on {name}: {reason}" for name, reason in absent.items()), *strays()]
    lines += [line for note in notes for line in ("", f"note: {note}")]
    awaited = sum(bool(r.expected) and not r.failed for r in results)
    counts = [
        (passed - awaited, "passed"),
        (awaited, "failed as expected"),
        (len(bad), "failed"),
        (len(untested), "not tested"),
    ]
    lines += ["", ", ".join(f"{n} {what}" for n, what in counts if n or what == "passed")]
    if plugins.failed():
        lines += [f"{len(plugins.failed())} plugin(s) failed and might hold more: see `jitrench plugins`"]
    rows = [r._asdict() for r in results]
    data = {"checks": list(NAMES), "results": rows, "passed": passed, "notes": notes, "error": None}
    return data, lines, 1 if bad or not passed else 0


def _shown(results: Iterable[Any]) -> Iterable[Any]:
    """``results``, each named on a terminal while the rest is at work: on a slow library that takes minutes."""
    for n, r in enumerate(results, 1):
        if sys.stderr.isatty():
            print(f"\r{n}: {r.op} on {r.backend}".ljust(60), end="\r", file=sys.stderr, flush=True)
        yield r
    if sys.stderr.isatty():
        print(" " * 60, end="\r", file=sys.stderr, flush=True)


# -- new ------------------------------------------------------------------------------------------------------------


def _new(args: argparse.Namespace) -> Report:
    from .scaffold import ScaffoldError, create

    try:
        files = create(args.kind, args.name, args.into)
    except (ScaffoldError, OSError) as e:
        return {"files": [], "error": str(e)}, [str(e)], 1
    folder = files[0].parent
    lines = [f"{folder}:", *(f"  {f.relative_to(folder).as_posix()}" for f in files)]
    place = shlex.quote(str(folder)) if os.name == "posix" else f'"{folder}"'
    lines += ["", f'to try it: cd {place} && pip install -e ".[test]" && pytest']
    if args.kind == "backend" and "strict" in backends.BACKENDS:
        lines += [
            "note: it begins with the library of jitrench-strict, which owns it here; until yours is in its place set"
        ]
        lines += ["      JITRENCH_DISABLE_PLUGINS=strict"]
    return {"files": [str(f) for f in files], "error": None}, lines, 0


# -- doctor ---------------------------------------------------------------------------------------------------------


def _doctor(args: argparse.Namespace) -> Report:
    import platform

    default, why = _default_device()
    data: dict[str, Any] = {
        "core": {"version": __version__, "path": os.path.dirname(os.path.abspath(__file__))},
        "python": {"version": platform.python_version(), "executable": sys.executable, "platform": platform.platform()},
        "libraries": {n: _version(n) for n in ("pluggy", *(d for dists, _ in LIBRARIES.values() for d in dists))},
        "default_device": default,
        "plugins": [_plugin(p) for p in plugins.plugins()],
        "backends": [
            _backend(backends.BACKENDS[name], default) | {"details": _details(backends.BACKENDS[name])}
            for name in backends.names()
        ],
        "pictures": _pictures(),
        "environment": {k: v for k, v in sorted(os.environ.items()) if k.startswith("JITRENCH_")},
    }
    data["problems"] = list(_problems(data, why))
    data["advice"] = list(_advice(data))
    return data, _doctor_lines(data), 1 if data["problems"] else 0


def _details(b: Backend) -> dict[str, str]:
    """What the backend's own ``details()`` tells of it, such as versions, devices and memory."""
    try:
        return {str(k): str(v) for k, v in b.details().items()}
    except Exception as e:  # the backend's state is told beside it
        return {"details": f"not known: {_first_line(str(e))}"}


def _pictures() -> dict[str, Any]:
    """Which Graphviz is there, and whether it draws."""
    from .plot import Picture

    error = None
    try:
        Picture("digraph jitrench {\n  x -> y;\n}\n").render("svg")
    except Exception as e:
        error = str(e)
    return {
        "graphviz": _version("graphviz"),
        "dot": which("dot"),
        "pygraphviz": _version("pygraphviz"),
        "draws": error is None,
        "error": error,
    }


def _problems(data: dict[str, Any], why: str) -> Iterable[dict[str, str]]:
    for p in data["plugins"]:
        if p["error"]:
            what = f"plugin {p['name']!r} of {p['distribution']} {p['version']} does not load: "
            fix = f"see `jitrench plugins --verbose`; then mend it, or pip uninstall {p['distribution']}"
            yield {"what": what + f"{p['error']['type']}: {p['error']['message']}", "fix": fix}
    for b in data["backends"]:
        if b["error"]:
            dists = [p["distribution"] for p in data["plugins"] if b["name"] in p["registers"]["backends"]]
            fix = f"make {b['library']} work here, or pip uninstall {' '.join(dists)}"
            yield {"what": f"backend {b['name']!r} does not work: {b['error']}", "fix": fix}
    for library, (known, _) in LIBRARIES.items():
        if len(twice := [d for d in known if data["libraries"][d]]) > 1:
            what = f"{' and '.join(twice)} are installed, and all of them are {library}: each overwrites files of the others"
            yield {
                "what": what,
                "fix": f"pip uninstall {' '.join(twice)}; then install one of them, for your CUDA version",
            }
    if not data["backends"]:
        yield {"what": "no backend is installed, so there is nothing to compute with", "fix": NO_BACKEND}
    elif data["default_device"] is None:
        yield {"what": "there is no default device", "fix": why}
    for note in plugins.unknown():
        yield {"what": note, "fix": "correct JITRENCH_PLUGINS or JITRENCH_DISABLE_PLUGINS"}


def _advice(data: dict[str, Any]) -> Iterable[str]:
    """What would be good to have or to know; nothing of it is broken."""
    installed = {p["distribution"] for p in data["plugins"]}
    for library, (dists, backend) in LIBRARIES.items():
        if backend not in installed and any(data["libraries"][d] for d in dists):
            yield f"{library} is installed without its backend: pip install {backend}"
    if not data["pictures"]["draws"]:
        yield f"jt.plot_graph: {data['pictures']['error']}"
    yield from _strays()


def _strays() -> Iterable[str]:
    """Kernels, gaps and expected failures of what does not exist."""
    from .testing.expected import strays

    yield from strays()
    known = registry.ops.entries
    for (op, backend), (owner, _) in sorted(backends.PLUGIN_KERNELS.items()):
        if op not in known:
            yield f"plugin {owner!r} has a kernel for {backend!r} of {op!r}, an op nobody has.{suggest(op, known)}"


def _doctor_lines(data: dict[str, Any]) -> list[str]:
    python, pictures = data["python"], data["pictures"]
    state = "works" if pictures["draws"] else "not possible"
    found = [f"{k} {pictures[k]}" for k in ("graphviz", "dot", "pygraphviz") if pictures[k]]
    rows = [
        ("jitrench-core", data["core"]["version"], data["core"]["path"]),
        ("Python", python["version"], f"{python['executable']} on {python['platform']}"),
        *((name, v, "") for name, v in data["libraries"].items() if v),
        ("drawing graphs", state, ", ".join(found)),
        ("default device", data["default_device"] or "none", ""),
    ]
    lines = [*_table((), rows), "", "plugins"]
    lines += _indent_all(
        _table((), ((p["name"], p["distribution"], p["version"], p["status"]) for p in data["plugins"]))
    )
    lines += ["", "backends"]
    lines += _indent_all(
        _table(
            (),
            (
                (b["name"], b["library"], b["version"] or "", "does not work" if b["error"] else "works")
                for b in data["backends"]
            ),
        )
    )
    for b in data["backends"]:
        if b["details"]:
            lines += ["", b["name"], *_indent_all(_table((), b["details"].items()))]
    if data["environment"]:
        lines += ["", "environment", *(f"  {k}={v}" for k, v in data["environment"].items())]
    for title, items in (
        ("problems", [(p["what"], p["fix"]) for p in data["problems"]]),
        ("advice", [(a, "") for a in data["advice"]]),
    ):
        if items:
            lines += ["", title]
            for what, fix in items:
                lines += _wrap(what, "  - ") + _wrap(fix, "    -> ")
    return [*lines, "", f"{len(data['problems'])} problem(s)" if data["problems"] else "everything works"]


# -- text -----------------------------------------------------------------------------------------------------------


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0].strip()


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], width: int | None = None) -> list[str]:
    """Columns aligned by spaces; lines that are longer than ``width`` are cut."""
    table = [[str(cell).replace("\n", " ") for cell in row] for row in ([header] if header else []) + list(rows)]
    if not table:
        return ["none"]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in table]
    if header:
        lines.insert(1, "  ".join("-" * w for w in widths if w))
    return [line if width is None or len(line) <= width else line[: width - 1] + "…" for line in lines]


def _wrap(text: str, bullet: str) -> list[str]:
    """A paragraph behind ``bullet``; commands in it stay whole enough to copy."""
    indent = " " * len(bullet)
    return textwrap.wrap(
        text, 110, initial_indent=bullet, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )


def _indent(text: str, by: str = "  ") -> list[str]:
    return [by + line for line in text.rstrip().splitlines()]


def _indent_all(lines: Iterable[str]) -> list[str]:
    return ["  " + line for line in lines]
