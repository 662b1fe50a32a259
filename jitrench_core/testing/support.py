"""What each op supports: derivatives, forward mode, batching, backends and dtypes. ``jitrench ops`` shows it.

Derivatives and forward mode are read from the op's declaration; whether it can be batched, runs on a backend and takes a
dtype is tried out on its own test data, on NumPy where that is installed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .. import backend as backends
from .. import plugins, registry
from ..backend import Backend
from ..errors import DTypeError, JITrenchError, OpError
from ..op import Op, zero
from ..ops.creation import asarray
from ..transforms import vmap
from .battery import Case, Run, complex_case, sample

# The backends of docs/support.md, which must be the same page wherever it is made.
PAGE = ("numpy", "strict")

# The dtypes that are tried, as the table writes them.
DTYPES = {
    "bool": ("bool",),
    "int": ("int64",),
    "float": ("float32", "float64"),
    "complex": ("complex64", "complex128"),
}


def support(op: Op, on: Sequence[str]) -> dict[str, Any]:
    """What ``op`` supports, on the backends ``on``, the first of which tries out dtypes and batching."""
    with _quiet():
        case = _case(op, on)
        return {
            "derivative": {name: derivative(op, name) for name in op.inputs},
            "forward_mode": forward_mode(op),
            "batching": batching(op, case, on),
            "backends": {name: how(op, backends.BACKENDS[name], case) for name in on},
            "dtypes": dtypes(op, case, on),
            "tested": has_test_data(op),
        }


def usable() -> list[str]:
    """The installed backends that can compute here, NumPy's first."""
    found = []
    plugins.load()
    for name in sorted(backends.names(), key=lambda name: (name != "numpy", name)):
        try:
            asarray(0.0, device=name)
        except (JITrenchError, ImportError):
            continue
        found.append(name)
    return found


def has_test_data(op: Op) -> bool:
    """Whether ``check_op`` can run: the op is elementwise, or declares samples."""
    return op.samples is not None or op.elementwise


def derivative(op: Op, name: str) -> str:
    """Of one input: ``any`` order by a rule, ``any`` as ``composed``, ``zero``, ``none`` for a constant, or ``missing``."""
    if name not in op.rules:
        return "rule" if op.rule_for_all else "composed" if op.composite else "missing"
    return "zero" if op.rules[name] is zero else "constant" if op.rules[name] is None else "rule"


def order(op: Op) -> str:
    """To which order the op can be differentiated, in a word; where inputs differ, in which."""
    kinds = {name: derivative(op, name) for name in op.inputs}
    smooth = [name for name, kind in kinds.items() if kind in ("rule", "composed")]
    if not smooth:
        return "zero" if "zero" in kinds.values() else "none"
    return "any" if len(smooth) == len(kinds) else f"any in {', '.join(smooth)}"


def forward_mode(op: Op) -> str:
    """Where a tangent's rule comes from."""
    if order(op) == "none":
        return "none"
    if order(op) == "zero":
        return "zero"
    if op.jvp_rule is not None:
        return "own rule"
    if op.composite:
        return "composed"
    if set(op.linear) == {name for name in op.inputs if callable(op.rules.get(name))} and op.linear:
        return "linear"
    return "the rules" if op.elementwise and op.rule_for_all is None and op.outputs == 1 else "transposed"


def batching(op: Op, case: Case | None, on: Sequence[str]) -> str:
    """How ``vmap`` runs the op; ``no`` where its rule refuses, or its forward cannot be run on batches."""
    word = "rule" if op.batch_rule is not None else "its forward"
    if op.composite or op.elementwise:
        return "composed" if op.composite else "elementwise"
    if case is None or not on:
        return "rule" if op.batch_rule is not None else "untried"
    function = registry.ops[op.name]
    arrays = [i for i, a in enumerate(case.arrays) if hasattr(a, "shape")]

    def one(*xs: Any) -> Any:
        every = list(case.arrays)
        for i, x in zip(arrays, xs, strict=True):
            every[i] = x
        return function(*every, **case.attrs)

    try:
        vmap(one)(*(asarray(case.arrays[i][None], device=on[0]) for i in arrays))
    except Exception:
        return "no"
    return word


def how(op: Op, backend: Backend, case: Case | None) -> str:
    """What computes the op on a backend, ``no`` where its sample does not run there."""
    function = registry.ops[op.name]
    if case is not None:
        try:
            _call(function, case.arrays, case.attrs, backend.name)
        except Exception:
            return "no"
    plugin = backends.PLUGIN_KERNELS.get((op.name, backend.name))
    if plugin is not None:
        return f"kernel of {plugin[0]}"
    if op.name in backend.kernels:  # filled by the call above
        return "kernel"
    if op.composite:
        return "composed"
    return "namespace" if op.forward is None else "forward"


def dtypes(op: Op, case: Case | None, on: Sequence[str]) -> list[str]:
    """Which kinds of numbers the op takes for its arrays."""
    if case is None or not on:
        return []
    import numpy as np

    function = registry.ops[op.name]
    arrays = [i for i, a in enumerate(case.arrays) if hasattr(a, "shape")]
    floats = [i for i in arrays if case.arrays[i].dtype.kind in "fc"]
    found = []
    for word, names in DTYPES.items():
        if word == "complex" and floats and not _takes_complex(op, case, on):
            continue
        for name in names:
            changed = [_converted(np, a, name) if i in (floats or arrays) else a for i, a in enumerate(case.arrays)]
            try:
                _call(function, changed, case.attrs, on[0])
            except (DTypeError, TypeError, OpError):
                break
            except Exception:  # the numbers do not suit it; the dtype does
                pass
        else:
            found.append(word)
    return found


def _takes_complex(op: Op, case: Case, on: Sequence[str]) -> bool:
    """Whether complex numbers mean something: NumPy orders them, so a composite is asked on every backend."""
    if any(a.dtype.kind == "c" for a in case.arrays if hasattr(a, "dtype")):  # its own sample is of them
        return True
    for name in on if op.composite else on[:1]:
        run = Run(registry.ops[op.name], name, None, 0)
        run.reference = None
        try:
            if complex_case(run, case) is None:
                return False
        except Exception:  # it chokes on them, in words of its own
            return False
    return True


def _converted(np: Any, a: Any, name: str) -> Any:
    if name == "bool":
        return np.asarray(a != 0)
    return np.asarray(np.rint(3 * a.real) if name == "int64" and a.dtype.kind in "fc" else a).astype(name)


def _call(function: Any, arrays: Iterable[Any], attrs: dict[str, Any], device: str) -> Any:
    return function(*(asarray(a, device=device) if hasattr(a, "shape") else a for a in arrays), **attrs)


def _case(op: Op, on: Sequence[str]) -> Case | None:
    if not on or not has_test_data(op):
        return None
    return sample(Run(registry.ops[op.name], on[0], lambda *a, **k: None, 0))


@contextmanager
def _quiet() -> Iterator[None]:
    """Numbers that do not suit an op are no news here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def markdown(names: Iterable[str], on: Sequence[str]) -> str:
    """The page docs/support.md: a table a family of owners, and what is counted."""
    rows = [(registry.ops[name].op, support(registry.ops[name].op, on)) for name in names]
    lines = [HEAD.strip()]
    tested = [op.name for op, found in rows if found["tested"]]
    rest = ", ".join(f"`{op.name}`" for op, found in rows if not found["tested"])
    lines += [
        "",
        f"{len(rows)} ops; `check_op` runs on {len(tested)} of them"
        + (f". Tests of their own have {rest}." if rest else "."),
    ]
    for owner in sorted({op.owner for op, _ in rows}, key=lambda name: (name != "jitrench-core", name)):
        lines += ["", f"## {owner}", "", f"| op | derivatives | forward mode | batching | {' | '.join(on)} | numbers |"]
        lines.append("|---|---|---|---|" + "---|" * len(on) + "---|")
        for op, found in rows:
            if op.owner == owner:
                made = " | ".join(found["backends"].values())
                cells = f"{order(op)} | {found['forward_mode']} | {found['batching']} | {made} | {', '.join(found['dtypes'])}"
                lines.append(f"| `{op.usage().replace('|', chr(92) + '|')}` | {cells} |")
    return "\n".join(lines) + "\n"


HEAD = """
# What every op supports

This page is written by `jitrench ops --markdown`, from the registry and from the ops' own test data.

| column | says |
|---|---|
| derivatives | `any` order, by `grad` and every other transform; in which inputs where not in all; `zero` everywhere; `none`: nothing is recorded |
| forward mode | what `jvp` uses: an `own rule`, the op itself (`linear`), `the rules` of an elementwise op, these `transposed`, or the ops it is `composed` of |
| batching | what `vmap` uses: a batching `rule`, alignment (`elementwise`), `its forward` run on batches, or the ops it is `composed` of |
| a backend | its own or a plugin's `kernel`, the function of its `namespace`, the op's `forward`, or the ops it is `composed` of; CuPy runs what the others run |
| numbers | what the arrays may hold, as NumPy computes it: `float` is float32 and float64, `complex` complex64 and complex128, whose derivatives are promised for the ops of jitrench-core |
"""
