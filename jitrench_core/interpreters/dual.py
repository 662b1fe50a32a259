"""Dual numbers: each array carries its tangent, and each op maps both. This is ``jvp``.

No op needs a second table. An elementwise rule is its own transpose, so it maps a tangent as it maps a gradient; an op maps a
tangent of an input in which it is linear through itself; for the rest the vjp rule is transposed: with r(v) the rule's
result for the incoming gradient v, which is linear in v, the derivative of <r(v), tangent> with respect to v is the tangent of the output.
"""

from __future__ import annotations

from typing import Any

from .. import graph
from ..errors import GradientError, OpError
from ..op import Op, zero
from ..ops.creation import zeros_like
from ..ops.indexing import join
from ..ops.shapes import astype, broadcast_to, sum_to
from ..signature import parameters
from ..tensor import Tensor, leaf
from . import Level, Payload, Run


class Dual(Payload):
    """A value and its tangent (None: zero), both Tensors of the level outside."""

    __slots__ = ("tangent",)

    def __init__(self, run: Run | None, value: Tensor, tangent: Tensor | None) -> None:
        self.run = run
        self.value = value
        self.tangent = tangent

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape


class DualLevel(Level):
    """Owner of the dual numbers of one depth."""

    kind, array = "jvp", Dual

    def lift(self, x: Tensor) -> Any:
        return self.cls(None, Tensor(x.data, x.node), None)

    def detach(self, array: Any) -> Any:
        """The value alone, detached from the levels outside, too."""
        return self.cls(array.run, array.value.detach(), None)

    def format(self, array: Any) -> str:
        return f"{array.value!r} in jvp, tangent={array.tangent!r}"

    def apply(self, op: Op, arrays: tuple[Any, ...], attrs: dict[str, Any], run: Run | None) -> Any:
        primals = tuple(a.value if type(a) is self.cls else a for a in arrays)
        tangents = tuple(a.tangent if type(a) is self.cls else None for a in arrays)
        moved = any(t is not None for t in tangents)
        aux: tuple[Any, ...] = ()
        dy: Any = None
        if moved and op.jvp_rule is not None and not op.aux:
            y, dy = op.jvp_rule(primals, tangents, **op.attrs | attrs)
        else:
            made = op.apply(primals, attrs, with_aux=bool(op.aux))
            y, aux = made if op.aux else (made, ())
            if moved and op.jvp_rule is not None:
                dy = op.jvp_rule(primals, tangents, **op.attrs | attrs)[1]
            elif moved:
                dy = tangent(op, primals, tangents, attrs, y, aux)
        if op.outputs > 1:
            out: Any = tuple(self._dual(run, part, d) for part, d in zip(y, dy or [None] * len(y), strict=True))
        else:
            out = self._dual(run, y, dy)
        return (out, *(self.cls(run, a, None) for a in aux)) if op.aux else out

    def _dual(self, run: Run | None, y: Any, dy: Any) -> Any:
        if dy is not None and type(dy) is not Tensor:
            raise OpError(f"a rule gave the tangent {type(dy).__name__}; expected a Tensor")
        return self.cls(run, y, dy if y.dtype.kind in "fc" else None)


def tangent(op: Op, primals: Any, tangents: Any, attrs: Any, y: Any, aux: Any) -> Any:
    """The output's tangent; None where it is zero."""
    if all(part.dtype.kind not in "fc" for part in (y if op.outputs > 1 else (y,))):
        return None
    n = len(op.arrays)
    moved = [(i, t) for i, t in enumerate(tangents) if t is not None]
    for i, _ in moved:
        _has_rule(op, op.inputs[min(i, n)] if op.variadic else op.inputs[i])
    names = {(op.inputs[min(i, n)] if op.variadic else op.inputs[i]) for i, _ in moved}
    if names <= set(op.linear):
        return _linear(op, primals, tangents, attrs)
    env = environment(op, primals, attrs, y, aux)
    # A rule from complex to real numbers is no transpose of itself: Re(g * f'(x) * t) is not g * f'(x) * t.
    whole = op.outputs == 1 and (y.dtype.kind == "c" or all(t.dtype.kind == "f" for _, t in moved))
    if op.elementwise and op.rule_for_all is None and whole:
        total = None
        for i, t in moved:
            rule = op.rules[op.inputs[i]]
            if rule is None or rule is zero:
                continue
            t = t if t.shape == y.shape else broadcast_to(t, y.shape)
            part = rule(*[t if p == "g" else env[p] for p in parameters(rule)])
            if type(part) is not Tensor:
                raise OpError(
                    f"{rule.__name__}, a rule of op {op.name!r}, returned {type(part).__name__}; expected a Tensor"
                )
            total = part if total is None else total + part
        return total if total is None or total.dtype == y.dtype else astype(total, y.dtype)
    return _transpose(op, primals, moved, env, y)


def environment(op: Op, arrays: tuple[Any, ...], attrs: dict[str, Any], y: Any, aux: tuple[Any, ...]) -> dict[str, Any]:
    """Every name a rule may take, but for ``g`` and ``needs``, with its value for one call on ``arrays``."""
    n = len(op.arrays)
    env: dict[str, Any] = dict(zip(op.arrays, arrays, strict=False)) | op.attrs | attrs | {"y": y}
    env |= {f"{k}_shape": getattr(x, "shape", ()) for k, x in zip(op.arrays, arrays, strict=False)}
    env |= {f"{k}_dtype": getattr(x, "dtype", None) for k, x in zip(op.arrays, arrays, strict=False)}
    if op.variadic:
        env[op.variadic] = arrays[n:]
        env[f"{op.variadic}_shape"] = tuple(getattr(x, "shape", ()) for x in arrays[n:])
    for name, value in zip(op.aux, aux, strict=True):
        formula = op.aux_formulas.get(name)
        env[name] = value if formula is None else formula(*[env[p] for p in parameters(formula)])
    return env


def _has_rule(op: Op, name: str) -> None:
    if name not in op.rules and name not in op.linear and op.rule_for_all is None:
        raise GradientError(f"{op.name}() has no derivative rule for its input {name!r}, which has a tangent in jvp")


def _linear(op: Op, primals: Any, tangents: Any, attrs: Any) -> Any:
    """Multilinear in the fixed inputs, linear in ``*arrays`` together."""
    n = len(op.arrays)
    total = None
    for i in range(n):
        if tangents[i] is not None:
            part = op.apply((*primals[:i], tangents[i], *primals[i + 1 :]), attrs)
            total = part if total is None else total + part
    if op.variadic in op.linear and any(t is not None for t in tangents[n:]):
        rest = (zeros_like(x) if t is None else t for x, t in zip(primals[n:], tangents[n:], strict=True))
        part = op.apply((*primals[:n], *rest), attrs)
        total = part if total is None else total + part
    return total


def _transpose(op: Op, primals: Any, moved: Any, env: dict[str, Any], y: Any) -> Any:
    """Run the vjp rules on a gradient v that is a leaf, and differentiate <rules(v), tangents> with respect to v."""
    ys = y if op.outputs > 1 else (y,)
    vs = [leaf(zeros_like(p), identity=True) if p.dtype.kind in "fc" else zeros_like(p) for p in ys]
    v: Any = tuple(vs) if op.outputs > 1 else vs[0]
    n = len(op.arrays)
    pairs = []
    with graph.enable_grad():
        if op.rule_for_all is not None:
            needs = tuple(any(i == j for j, _ in moved) for i in range(len(primals)))
            if op.variadic:
                needs = (*needs[:n], any(needs[n:]))
            rule: Any = op.rule_for_all
            found = list(rule(*[v if p == "g" else needs if p == "needs" else env[p] for p in parameters(rule)]))
            if op.variadic:
                found[n:] = found[n] or []
            pairs = [(found[i], t, primals[i]) for i, t in moved]
        else:
            for i, t in moved:
                rule = op.rules.get(op.inputs[min(i, n)] if op.variadic else op.inputs[i])
                if rule is None or rule is zero:
                    continue
                r = rule(*[v if p == "g" else env[p] for p in parameters(rule)])
                pairs.append((r[i - n] if op.variadic and i >= n else r, t, primals[i]))
        outputs, seeds = [], []
        for r, t, x in pairs:
            if type(r) is graph.Piece:
                r = join(x, [r])
            if r is not None and r.node is not None:
                outputs.append(r if r.shape == x.shape else sum_to(r, x.shape))
                seeds.append(t)
    if not outputs:
        return None
    wanted = [v.node for v in vs if v.node is not None]
    found_at: Any = dict(zip(wanted, graph.grad(outputs, wanted, seeds, record=None), strict=True))
    for node in wanted:
        node.done = True
    gradients = [None if v.node is None else found_at[v.node] for v in vs]
    if op.outputs > 1:
        return tuple(zeros_like(part) if d is None else d for part, d in zip(ys, gradients, strict=True))
    return gradients[0]
