"""NumPy's functions called with Tensors, DLPack in both directions, and the libraries that take any Array API namespace."""

from __future__ import annotations

import json
import operator
import os
import subprocess
import sys
from functools import reduce
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import jitrench_core as jt
from jitrench_core.interop import FUNCTIONS, OWN, UFUNCS, WRITE

# -- NumPy's ufuncs and operators -------------------------------------------------------------------------------------

OURS = {f"np.{name}": ours for name, ours in UFUNCS.items() if hasattr(np, name)}
UNARY = [n for n in dir(np) if isinstance(f := getattr(np, n), np.ufunc) and f.nin == f.nout == 1]
BINARY = [n for n in dir(np) if isinstance(f := getattr(np, n), np.ufunc) and f.nin == 2 and f.nout == 1]


def has_counterpart(name: str) -> bool:
    return hasattr(jt, UFUNCS.get(getattr(np, name).__name__, getattr(np, name).__name__))


def same(got: Any, expected: Any) -> None:
    """Tensors of NumPy's values, dtypes and shapes; tuples of them where NumPy gives tuples."""
    if isinstance(expected, (tuple, list)):
        assert len(got) == len(expected)
        for g, e in zip(got, expected, strict=True):
            same(g, e)
    elif isinstance(expected, (np.ndarray, np.generic)):
        assert type(got) is jt.Tensor
        assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12, atol=1e-14)
    else:
        assert got == expected


INTEGERS = {"bitwise_count", "bitwise_invert", "bitwise_not", "gcd", "invert", "lcm", "ldexp"}


@pytest.mark.parametrize("name", [n for n in UNARY if has_counterpart(n)])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_unary_ufunc(name):
    x = np.array([1, 2, 3]) if name in INTEGERS else np.array([0.25, 0.5, 1.5])
    same(getattr(np, name)(jt.tensor(x)), getattr(np, name)(x))


@pytest.mark.parametrize("name", [n for n in BINARY if has_counterpart(n)])
def test_binary_ufunc(name):
    f = getattr(np, name)
    dtype = int if "bitwise" in name or "shift" in name else float
    if name == "matmul":
        x1, x2 = np.ones((2, 3)), np.arange(3.0)
    else:
        x1, x2 = np.array([1, 2, 3], dtype), np.array([2, 2, 1], dtype)
    for a, b in ((jt.tensor(x1), jt.tensor(x2)), (x1, jt.tensor(x2)), (jt.tensor(x1), x2)):
        same(f(a, b), f(x1, x2))


def test_the_ufuncs_without_a_counterpart_are_known():
    """A new one of NumPy's is noticed here; each that is left out raises and says so."""
    missing = {n for n in (*UNARY, *BINARY) if not has_counterpart(n)}
    assert missing <= {
        "bitwise_count", "cbrt", "deg2rad", "degrees", "exp2", "fabs", "float_power", "fmax", "fmin", "fmod", "gcd", "heaviside", "isnat", "lcm", "ldexp",
        "logaddexp2", "matvec", "rad2deg", "radians", "rint", "spacing", "vecdot", "vecmat",
    }  # fmt: skip
    for name in missing - {"vecdot"} - WRITE.keys():
        f = getattr(np, name)
        with pytest.raises(jt.OpError, match=rf"np\.{f.__name__} does not take Tensors: there is no op of that name"):
            f(*[jt.tensor([1.0])] * f.nin)


def test_the_table_of_ufuncs_leads_somewhere():
    for ours in UFUNCS.values():
        assert callable(getattr(jt, ours))


@pytest.mark.parametrize("symbol", ["+", "-", "*", "/", "//", "%", "**", "<", "<=", ">", ">=", "==", "!="])
def test_operators_with_arrays_and_numpy_scalars(symbol):
    f = {
        "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
        "%": operator.mod, "**": operator.pow, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
        "==": operator.eq, "!=": operator.ne,
    }[symbol]  # fmt: skip
    x, t = np.array([1.0, 2.0, 3.0]), jt.tensor([2.0, 2.0, 2.0])
    for a in (x, np.float64(2.0), x[None]):
        same(f(a, t), f(a, np.full(3, 2.0)))
        same(f(t, a), f(np.full(3, 2.0), a))


def test_gradients_go_through_numpys_functions():
    x = np.array([1.0, 2.0, 3.0])
    f = lambda t: np.sum(np.sin(t) * x + np.float64(2) * t) / np.sqrt(np.mean(t, 0))  # noqa: E731
    g = lambda t: jt.sum(jt.sin(t) * x + 2.0 * t) / jt.sqrt(jt.mean(t))  # noqa: E731
    assert jt.grad(f)(x).tolist() == jt.grad(g)(x).tolist()
    assert jt.jvp(f, (x,), (np.ones(3),))[1].item() == jt.jvp(g, (x,), (np.ones(3),))[1].item()
    assert jt.vmap(jt.grad(f))(np.ones((2, 3))).tolist() == jt.vmap(jt.grad(g))(np.ones((2, 3))).tolist()


def test_a_numpy_scalar_is_weak():
    t = jt.tensor([1.0], dtype="float32")
    assert (np.float64(2.0) * t).dtype == np.multiply(np.float64(2.0), t).dtype == jt.float32


def test_divmod():
    t = jt.tensor([5.0, -5.0])
    same(np.divmod(t, 3.0), np.divmod(np.array([5.0, -5.0]), 3.0))


METHODS = [
    (lambda t: np.add.reduce(t), r"np\.add\.reduce does not take Tensors: write jt\.sum\(x, axis=0\)"),
    (lambda t: np.maximum.reduce(t), r"write jt\.max\(x, axis=0\)"),
    (lambda t: np.multiply.accumulate(t), r"write jt\.cumulative_prod\(x, axis=0\)"),
    (lambda t: np.subtract.outer(t, t), r"write jt\.subtract\(x\[:, None\], y\)"),
    (lambda t: np.add.at(t, [0], 1.0), r"np\.add\.at does not take Tensors: write x\.at\[indices\]\.add\(value\)"),
    (lambda t: np.divide.at(t, [0], 1.0), r"np\.divide\.at does not take Tensors: write x\[indices\] = value"),
    (lambda t: np.exp(t, out=np.ones(2)), r"np\.exp\(\.\.\., out=\.\.\.\) .*write a = jt\.exp\(a, t\)"),
    (
        lambda t: np.power(t, t, dtype="float32"),
        r"np\.power with dtype= does not take Tensors: write jt\.pow\(\.\.\.\)",
    ),
    (lambda t: np.add(t, t, where=True), r"np\.add with where= does not take"),
]


@pytest.mark.parametrize(("call", "message"), METHODS)
def test_methods_and_options_of_ufuncs_say_what_to_write(call, message):
    with pytest.raises(jt.OpError, match=message):
        call(jt.tensor([1.0, 2.0]))


def test_an_array_is_not_updated_in_place_by_a_tensor():
    a = np.ones(2)
    with pytest.raises(
        jt.OpError, match=r"in-place operators of an array do not take Tensors: write a = jt\.add\(a, t\)"
    ):
        a += jt.tensor([1.0, 2.0])
    assert a.tolist() == [1.0, 1.0]


# -- NumPy's other functions ------------------------------------------------------------------------------------------

rng = np.random.default_rng(0)
A, B, V, W = rng.normal(size=(3, 4)), rng.normal(size=(4, 3)), rng.normal(size=5), rng.normal(size=5)
S = (lambda m: m @ m.T + 3 * np.eye(3))(rng.normal(size=(3, 3)))
Q, I, Z = rng.normal(size=(3, 3)), np.array([3, 1, 3, 2]), rng.normal(size=8) + 1j * rng.normal(size=8)  # noqa: E741
N = SimpleNamespace(A=A, B=B, V=V, W=W, S=S, Q=Q, I=I, Z=Z)
T_ = SimpleNamespace(**{k: jt.tensor(v) for k, v in vars(N).items()})

# The same calls, on arrays and on Tensors.
CALLS: dict[str, Any] = {
    "sum": [
        lambda n: np.sum(n.A),
        lambda n: np.sum(n.A, 1),
        lambda n: np.sum(n.A, axis=0, keepdims=True, dtype=np.float32),
    ],
    "prod": [lambda n: np.prod(n.A, 1)],
    "max": [lambda n: np.max(n.A, (0, 1)), lambda n: np.max(n.A, axis=1, keepdims=True)],
    "min": [lambda n: np.min(n.A, axis=1)],
    "amax": [lambda n: np.amax(n.A, 1)],
    "amin": [lambda n: np.amin(n.A)],
    "mean": [lambda n: np.mean(n.A, 0), lambda n: np.mean(a=n.A)],
    "var": [lambda n: np.var(n.A, 1, ddof=1), lambda n: np.var(n.A)],
    "std": [lambda n: np.std(n.A, axis=1, ddof=1, keepdims=True)],
    "all": [lambda n: np.all(n.A > 0, axis=1)],
    "any": [lambda n: np.any(n.A > 0)],
    "argmax": [lambda n: np.argmax(n.A, 1), lambda n: np.argmax(n.A)],
    "argmin": [lambda n: np.argmin(n.A, axis=0)],
    "count_nonzero": [lambda n: np.count_nonzero(n.A > 0, axis=1)],
    "cumulative_sum": [lambda n: np.cumulative_sum(n.A, axis=1, include_initial=True)],
    "cumulative_prod": [lambda n: np.cumulative_prod(n.V)],
    "cumsum": [lambda n: np.cumsum(n.A), lambda n: np.cumsum(n.A, 1)],
    "cumprod": [lambda n: np.cumprod(n.A, axis=0)],
    "diff": [lambda n: np.diff(n.A), lambda n: np.diff(n.A, 2, 0), lambda n: np.diff(n.V, prepend=n.V[:1])],
    "median": [lambda n: np.median(n.A, 1)],
    "quantile": [lambda n: np.quantile(n.A, 0.3, axis=1)],
    "reshape": [lambda n: np.reshape(n.A, (4, 3)), lambda n: np.reshape(n.A, -1)],
    "ravel": [lambda n: np.ravel(n.A)],
    "transpose": [
        lambda n: np.transpose(n.A),
        lambda n: np.transpose(n.A, (1, 0)),
        lambda n: np.permute_dims(n.A, (1, 0)),
    ],
    "swapaxes": [lambda n: np.swapaxes(n.A, 0, -1)],
    "moveaxis": [lambda n: np.moveaxis(n.A, 0, 1)],
    "squeeze": [lambda n: np.squeeze(n.A[:1]), lambda n: np.squeeze(n.A[:, :1], 1)],
    "expand_dims": [lambda n: np.expand_dims(n.A, 1)],
    "flip": [lambda n: np.flip(n.A), lambda n: np.flip(n.A, 1)],
    "roll": [lambda n: np.roll(n.A, 2), lambda n: np.roll(n.A, 1, axis=1)],
    "repeat": [lambda n: np.repeat(n.A, 2), lambda n: np.repeat(n.A, 2, axis=1)],
    "tile": [lambda n: np.tile(n.V, (2, 2))],
    "concatenate": [
        lambda n: np.concatenate([n.A, n.A], 1),
        lambda n: np.concatenate((n.V, n.W)),
        lambda n: np.concatenate([n.V, V]),
    ],
    "stack": [lambda n: np.stack([n.V, n.W], axis=1)],
    "unstack": [lambda n: np.unstack(n.A, axis=1)],
    "broadcast_to": [lambda n: np.broadcast_to(n.V, (2, 5))],
    "broadcast_arrays": [lambda n: np.broadcast_arrays(n.V, n.A[:, :1])],
    "meshgrid": [lambda n: np.meshgrid(n.V, n.W[:2]), lambda n: np.meshgrid(n.V, n.W, indexing="ij")],
    "matrix_transpose": [lambda n: np.matrix_transpose(n.A)],
    "tril": [lambda n: np.tril(n.A), lambda n: np.tril(n.A, -1)],
    "triu": [lambda n: np.triu(n.A, k=1)],
    "diagonal": [
        lambda n: np.diagonal(n.A),
        lambda n: np.diagonal(n.A, 1),
        lambda n: np.diagonal(n.A[None], axis1=1, axis2=2),
    ],
    "trace": [lambda n: np.trace(n.Q), lambda n: np.trace(n.Q, offset=1)],
    "diag": [lambda n: np.diag(n.V), lambda n: np.diag(n.Q, k=1)],
    "split": [lambda n: np.split(n.A, 2, axis=1), lambda n: np.split(n.V, [1, 3])],
    "pad": [lambda n: np.pad(n.V, (1, 2)), lambda n: np.pad(n.A, ((1, 0), (0, 2)), "edge")],
    "dot": [lambda n: np.dot(n.A, n.B), lambda n: np.dot(n.V, n.W), lambda n: np.dot(A, n.B)],
    "outer": [lambda n: np.outer(n.V, n.W)],
    "cross": [lambda n: np.cross(n.Q, n.S), lambda n: np.cross(n.Q, n.S, axis=0)],
    "kron": [lambda n: np.kron(n.Q, n.A)],
    "tensordot": [lambda n: np.tensordot(n.A, n.B, 1), lambda n: np.tensordot(n.A, n.B, axes=((0, 1), (1, 0)))],
    "einsum": [lambda n: np.einsum("ij,jk->ik", n.A, n.B), lambda n: np.einsum("ii", n.Q)],
    "where": [lambda n: np.where(n.A > 0, n.A, 0.0), lambda n: np.where(n.A > 0)],
    "clip": [
        lambda n: np.clip(n.A, -0.5, 0.5),
        lambda n: np.clip(n.A, None, 0.5),
        lambda n: np.clip(n.A, min=0.0, max=1.0),
    ],
    "round": [lambda n: np.round(n.A), lambda n: np.round(n.A, 2)],
    "around": [lambda n: np.around(n.A, decimals=1)],
    "take": [lambda n: np.take(n.A, n.I), lambda n: np.take(n.A, n.I - 1, axis=1)],
    "take_along_axis": [lambda n: np.take_along_axis(n.A, np.argsort(n.A, axis=1), axis=1)],
    "nonzero": [lambda n: np.nonzero(n.A > 0)],
    "searchsorted": [
        lambda n: np.searchsorted(np.sort(n.V), n.W),
        lambda n: np.searchsorted(np.sort(n.V), n.W, side="right"),
    ],
    "sort": [lambda n: np.sort(n.A), lambda n: np.sort(n.A, axis=0)],
    "argsort": [lambda n: np.argsort(n.A), lambda n: np.argsort(n.A, 0)],
    "isin": [lambda n: np.isin(n.I, n.I[:1]), lambda n: np.isin(n.I, n.I[:1], invert=True)],
    "unique": [lambda n: np.unique(n.I)],
    "unique_values": [lambda n: np.sort(np.unique_values(n.I))],
    "unique_counts": [lambda n: np.unique_counts(n.I)],
    "unique_inverse": [lambda n: np.unique_inverse(n.I)],
    "unique_all": [lambda n: np.unique_all(n.I)],
    "real": [lambda n: np.real(n.Z)],
    "imag": [lambda n: np.imag(n.Z)],
    "iscomplexobj": [lambda n: np.iscomplexobj(n.Z), lambda n: np.iscomplexobj(n.V)],
    "isrealobj": [lambda n: np.isrealobj(n.Z), lambda n: np.isrealobj([n.V])],
    "can_cast": [lambda n: np.can_cast(n.A, np.float32), lambda n: np.can_cast(n.I, "float64")],
    "result_type": [lambda n: np.result_type(n.A, n.Z, 1.0)],
    "astype": [lambda n: np.astype(n.A, np.float32)],
    "copy": [lambda n: np.copy(n.A)],
    "zeros_like": [lambda n: np.zeros_like(n.A), lambda n: np.zeros_like(n.A, np.int32)],
    "ones_like": [lambda n: np.ones_like(n.A, dtype=np.float32)],
    "empty_like": [lambda n: np.empty_like(n.A).shape],
    "full_like": [lambda n: np.full_like(n.A, 3.0)],
    "shape": [lambda n: np.shape(n.A)],
    "ndim": [lambda n: np.ndim(n.A)],
    "size": [lambda n: np.size(n.A), lambda n: np.size(n.A, 1)],
    "linalg.cholesky": [lambda n: np.linalg.cholesky(n.S), lambda n: np.linalg.cholesky(n.S, upper=True)],
    "linalg.cross": [lambda n: np.linalg.cross(n.Q, n.S)],
    "linalg.det": [lambda n: np.linalg.det(n.Q)],
    "linalg.diagonal": [lambda n: np.linalg.diagonal(n.A, offset=1)],
    "linalg.eig": [lambda n: np.linalg.eig(np.reshape(n.Z[:4], (2, 2)))],
    "linalg.eigvals": [lambda n: np.linalg.eigvals(np.reshape(n.Z[:4], (2, 2)))],
    "linalg.eigh": [lambda n: np.linalg.eigh(n.S)],
    "linalg.eigvalsh": [lambda n: np.linalg.eigvalsh(n.S)],
    "linalg.inv": [lambda n: np.linalg.inv(n.Q)],
    "linalg.matmul": [lambda n: np.linalg.matmul(n.A, n.B)],
    "linalg.matrix_norm": [
        lambda n: np.linalg.matrix_norm(n.A),
        lambda n: np.linalg.matrix_norm(n.A, ord=1, keepdims=True),
    ],
    "linalg.matrix_power": [lambda n: np.linalg.matrix_power(n.Q, 3)],
    "linalg.matrix_rank": [lambda n: np.linalg.matrix_rank(n.A)],
    "linalg.multi_dot": [lambda n: np.linalg.multi_dot([n.A, n.B, n.Q])],
    "linalg.matrix_transpose": [lambda n: np.linalg.matrix_transpose(n.A)],
    "linalg.norm": [
        lambda n: np.linalg.norm(n.A),
        lambda n: np.linalg.norm(n.V, 1),
        lambda n: np.linalg.norm(n.A, np.inf),
        lambda n: np.linalg.norm(n.A, 2, 1),
        lambda n: np.linalg.norm(n.A, axis=0, keepdims=True),
        lambda n: np.linalg.norm(n.A[None], "nuc", (1, 2), True),
    ],
    "linalg.outer": [lambda n: np.linalg.outer(n.V, n.W)],
    "linalg.pinv": [lambda n: np.linalg.pinv(n.A)],
    "linalg.qr": [lambda n: np.linalg.qr(n.B)],
    "linalg.slogdet": [lambda n: np.linalg.slogdet(n.Q)],
    "linalg.solve": [lambda n: np.linalg.solve(n.Q, n.S)],
    "linalg.svd": [lambda n: np.linalg.svd(n.A, full_matrices=False)],
    "linalg.svdvals": [lambda n: np.linalg.svdvals(n.A)],
    "linalg.tensordot": [lambda n: np.linalg.tensordot(n.A, n.B, axes=1)],
    "linalg.trace": [lambda n: np.linalg.trace(n.Q)],
    "linalg.vecdot": [lambda n: np.linalg.vecdot(n.V, n.W)],
    "linalg.vector_norm": [lambda n: np.linalg.vector_norm(n.A, axis=1, ord=1)],
    "fft.fft": [lambda n: np.fft.fft(n.V), lambda n: np.fft.fft(n.Z, 4, norm="ortho")],
    "fft.ifft": [lambda n: np.fft.ifft(n.Z)],
    "fft.rfft": [lambda n: np.fft.rfft(n.A, axis=0)],
    "fft.irfft": [lambda n: np.fft.irfft(n.Z)],
    "fft.hfft": [lambda n: np.fft.hfft(n.Z)],
    "fft.ihfft": [lambda n: np.fft.ihfft(n.V)],
    "fft.fftn": [lambda n: np.fft.fftn(n.A), lambda n: np.fft.fftn(n.A, axes=(0,))],
    "fft.ifftn": [lambda n: np.fft.ifftn(n.A)],
    "fft.rfftn": [lambda n: np.fft.rfftn(n.A)],
    "fft.irfftn": [lambda n: np.fft.irfftn(n.A)],
    "fft.fftshift": [lambda n: np.fft.fftshift(n.V)],
    "fft.ifftshift": [lambda n: np.fft.ifftshift(n.A, axes=1)],
}


def numpys(name: str) -> Any:
    return reduce(getattr, name.split("."), np)


def here(name: str) -> bool:
    """Whether this NumPy has it: ``unstack`` and ``cumulative_sum`` came with 2.1."""
    try:
        numpys(name)
    except AttributeError:
        return False
    return True


def test_every_row_of_the_tables_is_tested():
    assert CALLS.keys() == FUNCTIONS.keys() | OWN.keys()


@pytest.mark.parametrize("name", [n for n in CALLS if here(n)])
def test_numpys_function(name):
    for call in CALLS[name]:
        same(call(T_), call(N))


@pytest.mark.parametrize("name", [n for n in WRITE if here(n)])
def test_functions_without_a_counterpart_say_what_to_write(name):
    calls = {
        "append": lambda t: np.append(t, t), "column_stack": lambda t: np.column_stack([t, t]), "vdot": lambda t: np.vdot(t, t),
        "allclose": lambda t: np.allclose(t, t), "array_equal": lambda t: np.array_equal(t, t), "delete": lambda t: np.delete(t, 0),
        "isclose": lambda t: np.isclose(t, t), "inner": lambda t: np.inner(t, t), "put": lambda t: np.put(t, 0, 1.0),
        "place": lambda t: np.place(t, [True], 1.0), "copyto": lambda t: np.copyto(t, 1.0), "save": lambda t: np.save("x", t),
        "savez": lambda t: np.savez("x", t), "rollaxis": lambda t: np.rollaxis(t, 0), "percentile": lambda t: np.percentile(t, 50),
        "hstack": lambda t: np.hstack([t]), "vstack": lambda t: np.vstack([t]), "dstack": lambda t: np.dstack([t]),
        "linalg.lstsq": lambda t: np.linalg.lstsq(t, t), "float_power": lambda t: np.float_power(t, 2.0),
        "linspace": lambda t: np.linspace(t, 1.0, 3), "polyval": lambda t: np.polyval(t, t), "fmax": lambda t: np.fmax(t, t),
        "fmin": lambda t: np.fmin(t, t), "fmod": lambda t: np.fmod(t, t), "heaviside": lambda t: np.heaviside(t, t),
    }  # fmt: skip
    with pytest.raises(jt.OpError, match="does not take Tensors: write ") as e:
        calls.get(name, lambda t: numpys(name)(t))(jt.tensor([[1.0]]))
    assert WRITE[name] in str(e.value)


def test_what_a_function_does_not_take():
    t = jt.tensor([1.0, 2.0])
    with pytest.raises(jt.OpError, match=r"np\.sum of a Tensor does not take where=: write jt\.sum\(\.\.\.\)"):
        np.sum(t, where=np.array([True, False]))
    with pytest.raises(jt.OpError, match=r"np\.cumsum of a Tensor: got an unexpected keyword argument 'out'"):
        np.cumsum(t, out=np.ones(2))
    with pytest.raises(
        jt.OpError, match=r"np\.interp does not take Tensors: there is no op of that name; x\.numpy\(\) leaves"
    ):
        np.interp(t, t, t)
    assert np.sum(t, out=None, where=True).item() == 3.0  # their defaults, written out


MANNERS: list[Any] = [
    lambda n: np.meshgrid(n.V, n.W, sparse=False),
    lambda n: np.concatenate(n.A[None]),  # a tensor is a sequence of its rows
    lambda n: np.stack(n.A, axis=1),
    lambda n: np.outer(n.A, n.V),
    lambda n: np.outer(2.0, n.V),
    lambda n: np.einsum("ij,jk->ik", n.A, n.B, optimize=True),
    lambda n: np.sort(n.A, axis=None, kind="stable"),
    lambda n: np.argsort(n.A, None),
    lambda n: np.round(n.I * 10 + 5, -1),
    lambda n: np.round(n.I, 1),
    lambda n: np.round(n.A * 100, -1),
    lambda n: np.linalg.norm(n.V, 2, axis=(0,)),
    lambda n: np.linalg.norm(n.A, axis=(0,), keepdims=True),
    lambda n: np.linalg.eigvalsh(n.S, UPLO="L"),
    lambda n: np.quantile(n.A, 0.5, overwrite_input=False),
    lambda n: np.cumsum(n.A, axis=0, out=None),
    lambda n: np.copy(n.A, order="K"),
    lambda n: np.take(n.A, 1, axis=1),
    lambda n: np.take(n.A, [0, 1], axis=0, mode="raise"),
    lambda n: np.repeat(n.V, [1, 0, 2, 1, 1]),
    lambda n: np.isin(n.I, [1, 2]),
    lambda n: np.where(n.V > 0, n.V, [1.0, 2.0, 3.0, 4.0, 5.0]),
    lambda n: np.clip(n.V, [0.0, 0.1, 0.2, 0.3, 0.4], None),
    lambda n: np.add(n.V, [1.0, 2.0, 3.0, 4.0, 5.0]),
    lambda n: np.dot(n.V, [1.0, 2.0, 3.0, 4.0, 5.0]),
]


@pytest.mark.parametrize("call", MANNERS)
def test_numpys_manners(call):
    same(call(T_), call(N))


def test_what_would_be_ignored_is_refused():
    t = jt.tensor([[1.0, 2.0], [3.0, 4.0]])
    for name, call in {
        "sparse": lambda: np.meshgrid(t[0], t[1], sparse=True),
        "initial": lambda: np.max(t, initial=True),
        "hermitian": lambda: np.linalg.pinv(t, hermitian=True),
    }.items():
        with pytest.raises(jt.OpError, match=rf"of a Tensor does not take {name}="):
            call()
    with pytest.raises(jt.OpError, match=r"np\.linalg\.eigh of a Tensor does not take UPLO=: write jt\.linalg\.eigh"):
        np.linalg.eigh(t, UPLO="U")
    with pytest.raises(
        jt.ShapeError, match=r"np\.linalg\.norm with ord=2 takes 1 or 2 dimensions, got shape \(1, 2, 2\)"
    ):
        np.linalg.norm(t[None], 2)
    with pytest.raises(jt.AxisError, match="axis"):
        np.swapaxes(t, 0, 5)
    with pytest.raises(jt.OpError, match=r"np\.sort of a Tensor does not take order="):
        np.sort(t, order="x")


def test_sorting_all_of_a_tensor_has_a_gradient():
    x = np.array([[3.0, 1.0], [2.0, 4.0]])
    assert jt.grad(lambda x: np.sort(x, axis=None) @ np.arange(4.0))(x).tolist() == [[2.0, 0.0], [1.0, 3.0]]


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.4.0", reason="NumPy 2.4 asks for __numpy_dtype__")
@pytest.mark.parametrize("name", ["bool", "int8", "uint64", "float16", "float32", "float64", "complex64", "complex128"])
def test_numpy_takes_our_dtypes(name):
    ours = jt.tensor([1], dtype=name).dtype
    assert np.dtype(ours) == np.zeros(2, dtype=ours).dtype == np.ones(2).astype(ours).dtype == np.dtype(name) == ours
    assert np.issubdtype(ours, np.inexact) == (ours.kind in "fc")


def test_gradients_of_numpys_functions():
    x = np.array([[3.0, 4.0], [6.0, 8.0]])
    norms = jt.grad(lambda x: np.sum(np.linalg.norm(x, axis=1)))(x)
    np.testing.assert_allclose(norms.numpy(), [[0.6, 0.8], [0.6, 0.8]])
    joined = jt.grad(lambda x: np.sum(np.concatenate([x, np.ones((1, 2)), np.transpose(x)]) ** 2))(x)
    np.testing.assert_allclose(joined.numpy(), 4 * x)
    assert jt.grad(lambda x: np.max(np.where(x > 4.0, x * x, 0.0)))(x).tolist() == [[0.0, 0.0], [0.0, 16.0]]


def test_asarray_of_a_tracked_tensor_raises():
    x = jt.tensor([1.0], requires_grad=True)
    with pytest.raises(jt.GradientError, match=r"np\.asarray of a tensor that requires a gradient would lose it"):
        np.asarray(x)
    assert np.asarray(x.detach()).tolist() == x.numpy().tolist() == [1.0]


def test_asarray_does_not_lose_a_tangent(T):
    """``array.dot(x)`` and ``np.sum([x, y])`` are no functions that NumPy hands over: they convert."""
    for f in (lambda x: np.ones((2, 2)).dot(x), lambda x: np.sum([x, x]), np.asarray):
        for transform in (
            lambda f: jt.jvp(f, (T([1.0, 2.0]),), (T([1.0, 1.0]),)),
            lambda f: jt.vmap(f)(T([[1.0, 2.0]])),
        ):
            with pytest.raises(
                jt.TransformError, match=r"np\.asarray of a tensor that is inside jvp or vmap would lose it"
            ):
                transform(f)
    seen = jt.jvp(lambda x: T([1.0, 2.0])[np.asarray(jt.argmax(x))], (T([1.0, 2.0]),), (T([1.0, 1.0]),))
    assert [part.item() for part in seen] == [2.0, 0.0]  # an index has no tangent


@pytest.mark.parametrize("array", [np.ma.array([1.0, 2.0], mask=[True, False]), np.array([1, None]), np.array(["a"])])
def test_arrays_that_are_no_numbers(array):
    t = jt.tensor([1.0, 2.0])
    for call in (lambda: t + array, lambda: jt.asarray(array), lambda: jt.where(t > 1, t, array)):
        with pytest.raises(
            jt.DTypeError, match="no tensor of (a masked array, whose mask would be lost|this ndarray: NumPy)"
        ):
            call()


def test_the_arrays_of_interpreters_stay_out_of_numpys_hands(T):
    seen = []
    jt.jvp(lambda x: (seen.append(x.data), x)[1], (T([1.0]),), (T([1.0]),))
    jt.vmap(lambda x: (seen.append(x.data), x)[1])(T([1.0]))
    assert [type(a).__array_ufunc__ for a in seen] == [None, None]


# -- DLPack -----------------------------------------------------------------------------------------------------------


class Foreign:
    """Another library's array, of which nothing but the protocol is known."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 2)], ids=str)
def test_dlpack_there_and_back(dtype, shape):
    array = np.ones(shape, dtype)
    t = jt.from_dlpack(Foreign(array))
    assert (t.shape, t.dtype, t.tolist()) == (shape, array.dtype, array.tolist())
    back = np.from_dlpack(t)
    assert (back.shape, back.dtype, back.tolist()) == (shape, array.dtype, array.tolist())
    assert t.__dlpack_device__() == array.__dlpack_device__()


def test_dlpack_copies_nothing():
    array = np.arange(4.0)
    t = jt.from_dlpack(Foreign(array))
    array[0] = 7.0
    assert t.tolist() == [7.0, 1.0, 2.0, 3.0]
    assert np.shares_memory(np.from_dlpack(t), array)
    assert not np.shares_memory(jt.from_dlpack(array, copy=True).data, array)
    assert jt.from_dlpack(t).tolist() == t.tolist()
    assert np.shares_memory(jt.from_dlpack(t, copy=False).data, array)


def test_dlpack_and_asarray_share_an_array_without_dimension():
    array = np.array(3.0)
    shared = [jt.from_dlpack(Foreign(array)), jt.from_dlpack(array, copy=False), jt.asarray(array, copy=False)]
    array[...] = 9.0
    for t in shared:
        assert (t.item(), t.shape, repr(t)) == (9.0, (), "Tensor(9.)")
        assert np.shares_memory(np.from_dlpack(t), array)
        assert jt.grad(lambda x: x * x * jt.exp(-x) + x[()] ** 2)(t).item() == pytest.approx(-63 * np.exp(-9) + 18)
    computed = jt.tensor(3.0) * 2.0  # a scalar, on NumPy
    assert np.from_dlpack(computed).item() == 6.0
    with pytest.raises(jt.CopyError, match=r"shape \(\) holds a float64, which DLPack hands over as a copy"):
        computed.__dlpack__(copy=False)


def test_dlpack_moves_where_it_is_told_to():
    array = np.arange(4.0)
    t = jt.from_dlpack(array, device="strict:1")
    assert (t.device, t.tolist()) == ("strict:1", array.tolist())
    with pytest.raises(jt.CopyError, match=r"from_dlpack\(device='strict:1', copy=False\): the data is on numpy"):
        jt.from_dlpack(array, device="strict:1", copy=False)


def test_dlpack_of_a_view_that_nobody_may_write():
    wide = jt.broadcast_to(jt.tensor([1.0, 2.0]), (2, 2))
    assert wide.__dlpack__() is not None  # a copy, for a consumer without read-only arrays
    with pytest.raises(jt.CopyError, match=r"cannot be handed over by DLPack as asked"):
        wide.__dlpack__(copy=False)


def test_dlpack_of_a_view_that_runs_backwards():
    """PyTorch ends the process at a negative stride."""
    back = jt.flip(jt.tensor([1.0, 2.0]))
    assert np.from_dlpack(back).strides == (8,)
    assert np.from_dlpack(back).tolist() == [2.0, 1.0]
    with pytest.raises(jt.CopyError, match="a view that runs backwards, which DLPack hands over as a copy"):
        back.__dlpack__(copy=False)


def test_dlpack_of_what_the_library_cannot_hand_over():
    with pytest.raises(
        jt.CopyError, match=r"from_dlpack\(\) of this numpy\.ndarray: DLPack only supports native byte order"
    ):
        jt.from_dlpack(np.ones(2, ">f8"))


def test_dlpack_refuses_what_would_lose_a_gradient():
    x = jt.tensor([1.0], requires_grad=True)
    for export in (x.__dlpack__, x.__dlpack_device__, lambda: np.from_dlpack(x), lambda: jt.from_dlpack(x)):
        with pytest.raises(
            jt.GradientError, match=r"DLPack export of a tensor that requires a gradient would lose it: export"
        ):
            export()
    with pytest.raises(jt.TransformError, match="DLPack export of a value inside jvp or vmap"):
        jt.vmap(lambda x: jt.from_dlpack(x))(jt.ones(2))


def test_dlpack_of_what_does_not_speak_it():
    with pytest.raises(jt.DTypeError, match=r"from_dlpack\(\) of list, which does not speak DLPack: use jt\.asarray"):
        jt.from_dlpack([1.0])

    class Elsewhere:
        def __init__(self, kind: int) -> None:
            self.kind = kind

        def __dlpack_device__(self) -> tuple[int, int]:
            return self.kind, 0

    with pytest.raises(jt.NotFoundError, match="no backend takes memory of DLPack's device type 99"):
        jt.from_dlpack(Elsewhere(99))
    if find_spec("cupy") is None:
        with pytest.raises(jt.JITrenchError, match="cu"):
            jt.from_dlpack(Elsewhere(2))


@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
def test_dlpack_with_pytorch():
    import torch

    theirs = torch.arange(3.0)
    t = jt.from_dlpack(theirs)
    theirs[0] = 7.0
    assert (t.dtype, t.tolist()) == (jt.float32, [7.0, 1.0, 2.0])
    assert torch.from_dlpack(t).data_ptr() == theirs.data_ptr()
    assert torch.from_dlpack(jt.asarray(2.5)).item() == 2.5
    number = torch.tensor(2.5)
    t0 = jt.from_dlpack(number)
    number.fill_(9.0)
    assert t0.item() == 9.0
    assert torch.from_dlpack(t0).data_ptr() == number.data_ptr()
    assert torch.from_dlpack(jt.broadcast_to(t, (2, 3))).tolist() == [t.tolist()] * 2
    assert torch.from_dlpack(jt.flip(t)).tolist() == t.tolist()[::-1]
    with pytest.raises(jt.DTypeError, match=r"do not take torch\.Tensor: write jt\.from_dlpack\(x\)"):
        jt.asarray(theirs)


# -- libraries that take any namespace of the standard ----------------------------------------------------------------


def test_array_api_compat():
    import array_api_compat as compat

    t = jt.ones((2, 3))
    assert compat.is_array_api_obj(t)
    assert compat.array_namespace(t) is compat.array_namespace(t, jt.ones(1), 1.0, None) is jt
    assert compat.device(t) == t.device
    assert compat.to_device(t, "strict:1").device == "strict:1"
    assert compat.size(t) == 6
    assert not compat.is_numpy_namespace(jt)
    with pytest.raises(TypeError, match="Multiple namespaces"):
        compat.array_namespace(t, np.ones(1))


def script(*lines: str, **environment: str) -> Any:
    """What a fresh process prints, as JSON: the libraries read their switches when they are imported."""
    code = "\n".join(["import json", "import numpy as np", "import jitrench_core as jt", *lines])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(find_spec("scipy") is None, reason="SciPy is not installed")
def test_scipy():
    found = script(
        "import scipy.special, scipy.stats, scipy.fft, scipy.integrate, scipy.linalg, scipy.spatial.distance",
        "from scipy.optimize import elementwise",
        "from scipy.spatial.transform import Rotation",
        "x = jt.tensor([0.5, 1.0, 2.0], requires_grad=True)",
        "functions = {",
        "    'logsumexp': scipy.special.logsumexp, 'xlogy': lambda x: scipy.special.xlogy(x, x).sum(),",
        "    'skew': scipy.stats.skew, 'zscore': lambda x: (scipy.stats.zscore(x) ** 3).sum(), 'gmean': scipy.stats.gmean,",
        "    'rfft': lambda x: jt.abs(scipy.fft.rfft(x)).sum(), 'trapezoid': scipy.integrate.trapezoid,",
        "    'rotation': lambda x: (Rotation.from_rotvec(x).as_matrix() * jt.reshape(jt.arange(9.0), (3, 3))).sum(),",
        "}",
        "out = {}",
        "for name, f in functions.items():",
        "    g = jt.grad(f)(x)",
        "    eps = 1e-6 * np.eye(3)",
        "    numeric = [(f(x.detach() + e) - f(x.detach() - e)).item() / 2e-6 for e in eps]",
        "    out[name] = float(abs(g.numpy() - numeric).max())",
        "root = elementwise.find_root(lambda x: x * x - 2.0, (jt.asarray([0.0]), jt.asarray([2.0]))).x",
        "area = scipy.integrate.tanhsinh(jt.exp, jt.asarray(0.0), jt.asarray(1.0)).integral",
        "out['root'] = abs(root.item() - 2**0.5)",
        "out['area'] = abs(area.item() - (np.e - 1))",
        "try:",
        "    scipy.special.expit(x)",
        "except jt.GradientError:",
        "    out['expit'] = 0.0",
        "y = jt.asarray([[2.0, 1.0], [1.0, 3.0]])",
        "out['dct'] = float(type(scipy.fft.dct(y)) is not jt.Tensor)",
        "out['pdist'] = float(type(scipy.spatial.distance.pdist(y)) is not jt.Tensor)",
        "out['inv'] = float(type(scipy.linalg.inv(y)) is not np.ndarray)",
        "out['cdist'] = float(type(scipy.spatial.distance.cdist(y, y)) is not np.ndarray)",
        "print(json.dumps(out))",
        SCIPY_ARRAY_API="1",
    )
    assert {name for name, error in found.items() if error > 1e-6} == set()
    assert len(found) == 15


@pytest.mark.skipif(find_spec("scipy") is None, reason="SciPy is not installed")
def test_scipys_ufuncs_reach_ours():
    """Without its switch SciPy's special functions are ufuncs, and an op of the same name takes them over."""
    found = script(
        "import scipy.special",
        "x = jt.tensor([0.5, 1.0], requires_grad=True)",
        "print(json.dumps((scipy.special.expit(x) - jt.sigmoid(x)).tolist() + [scipy.special.expit(x).requires_grad]))",
        SCIPY_ARRAY_API="",
    )
    assert found == [0.0, 0.0, True]


@pytest.mark.skipif(find_spec("sklearn") is None, reason="scikit-learn is not installed")
def test_scikit_learn():
    """The estimators that document Array API support, on Tensors and on the same arrays."""
    found = script(
        "from sklearn import config_context, metrics, preprocessing, linear_model, decomposition, naive_bayes",
        "from sklearn.discriminant_analysis import LinearDiscriminantAnalysis",
        "X = np.random.default_rng(0).normal(size=(40, 4))",
        "y = X @ [1.0, 2.0, -1.0, 0.5]",
        "c = (y > 0).astype('int64')",
        "calls = {",
        "    'StandardScaler': lambda X, y, c: preprocessing.StandardScaler().fit_transform(X),",
        "    'MinMaxScaler': lambda X, y, c: preprocessing.MinMaxScaler().fit_transform(X),",
        "    'Ridge': lambda X, y, c: linear_model.Ridge(solver='svd').fit(X, y).predict(X),",
        "    'PCA': lambda X, y, c: decomposition.PCA(2, svd_solver='full').fit_transform(X),",
        "    'LDA': lambda X, y, c: LinearDiscriminantAnalysis().fit(X, c).decision_function(X),",
        "    'GaussianNB': lambda X, y, c: naive_bayes.GaussianNB().fit(X, c).predict(X),",
        "    'euclidean_distances': lambda X, y, c: metrics.pairwise.euclidean_distances(X),",
        "    'r2_score': lambda X, y, c: metrics.r2_score(y, y + 0.1),",
        "    'f1_score': lambda X, y, c: metrics.f1_score(c, c),",
        "}",
        "out = {}",
        "for name, call in calls.items():",
        "    expected = call(X, y, c)",
        "    with config_context(array_api_dispatch=True):",
        "        got = call(*map(jt.asarray, (X, y, c)))",
        "    out[name] = [type(got).__name__, float(np.abs(np.asarray(got) - expected).max())]",
        "print(json.dumps(out))",
        SCIPY_ARRAY_API="1",
    )
    assert {name: error for name, (_, error) in found.items() if error > 1e-9} == {}
    scores = {"r2_score", "f1_score"}
    assert {kind for name, (kind, _) in found.items() if name not in scores} == {"Tensor"}
