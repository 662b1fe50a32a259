"""jitrench_scipy.special against mpmath's numbers, at its edges, in other dtypes, and under the transforms."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitrench_core as jt
from jitrench_core.testing import check_op
from jitrench_scipy import special
from jitrench_scipy.special import table

FILE = Path(__file__).parent / "data" / "special_reference.json"  # made by make_special.py beside it
REFERENCE: dict[str, list[dict[str, Any]]] = json.loads(FILE.read_text())
OPS = {f.op.name: f for f in special.OPS}
VALUE, DERIVATIVE = 1e-12, 1e-10  # relative
inf, nan = math.inf, math.nan


def groups(name: str) -> Iterator[tuple[dict[str, Any], list[Any], list[dict[str, Any]]]]:
    """The cases that one call can take: attributes, operands, and the cases. A polynomial's degree is a Python int."""
    found: dict[str, list[dict[str, Any]]] = {}
    for case in REFERENCE[name]:
        degree = case["args"][0] if name.startswith("eval_") else None
        found.setdefault(repr((case["attrs"], len(case["args"]), degree)), []).append(case)
    for cases in found.values():
        attrs = {k: tuple(v) if isinstance(v, list) else v for k, v in cases[0]["attrs"].items()}
        columns = [list(column) for column in zip(*(case["args"] for case in cases), strict=True)]
        if name.startswith("eval_"):
            columns[0] = int(columns[0][0])
        yield attrs, columns, cases


def output(f: Callable[..., Any], k: int, attrs: dict[str, Any]) -> Callable[..., Any]:
    def g(*xs: Any) -> Any:
        y = f(*xs, **attrs)
        return y[k] if isinstance(y, tuple) else y

    return g


def differentiated(f: Callable[..., Any], orders: list[int]) -> Callable[..., Any]:
    """The derivative of an elementwise function, of these orders in its operands."""

    def once(f: Callable[..., Any], i: int) -> Callable[..., Any]:
        return jt.grad(lambda *xs: jt.sum(f(*xs)), i)

    for i, order in enumerate(orders):
        for _ in range(order):
            f = once(f, i)
    return f


def agree(found: jt.Tensor, expected: list[float | None], tolerance: float, what: str) -> None:
    for at, (a, e) in enumerate(zip(found.tolist(), expected, strict=True)):
        if e is not None:
            assert abs(a - e) <= (tolerance * abs(e) or 1e-13), f"{what}, case {at}: {a!r}, expected {e!r}"


def test_every_op_has_references():
    assert set(REFERENCE) == set(OPS)
    for name, cases in REFERENCE.items():
        assert len(cases) >= 4, name


@pytest.mark.parametrize("name", OPS)
def test_values(name, T, backend):
    for attrs, columns, cases in groups(name):
        operands = [c if isinstance(c, int) else T(c) for c in columns]
        for k in range(len(cases[0]["values"])):
            f = output(OPS[name], k, attrs)
            try:
                y = f(*operands)
            except jt.errors.UnsupportedError as e:
                assert backend != "numpy"
                pytest.skip(str(e))
            agree(y, [case["values"][k] for case in cases], VALUE, f"{name} {attrs}")


@pytest.mark.parametrize("name", OPS)
def test_derivatives_of_first_and_second_order(name, T, backend):
    for attrs, columns, cases in groups(name):
        operands = [c if isinstance(c, int) else T(c) for c in columns]
        for k, derivatives in enumerate(cases[0]["derivatives"]):
            for orders in derivatives:
                f = differentiated(output(OPS[name], k, attrs), [int(o) for o in orders.split(",")])
                try:
                    y = f(*operands)
                except jt.errors.UnsupportedError as e:
                    assert backend != "numpy"
                    pytest.skip(str(e))
                expected = [case["derivatives"][k][orders] for case in cases]
                agree(y, expected, DERIVATIVE, f"{name} {attrs}, orders {orders}")


@pytest.mark.parametrize("name", OPS)
def test_battery(name, backend):
    try:
        check_op(OPS[name], backend)
    except jt.errors.UnsupportedError as e:
        assert backend != "numpy"
        pytest.skip(str(e))


# -- edges: SciPy's values -------------------------------------------------------------------------------------------

EDGES: list[tuple[str, tuple[Any, ...], Any]] = [
    ("gamma", ([0.0, -1.0, inf, -inf, nan, 180.0],), [inf, nan, inf, nan, nan, inf]),
    ("gammaln", ([0.0, -1.0, inf, nan],), [inf, inf, inf, nan]),
    ("loggamma", ([0.0, -0.5, inf, nan],), [inf, nan, inf, nan]),
    ("rgamma", ([0.0, -1.0, -7.0, inf, nan],), [0.0, 0.0, 0.0, 0.0, nan]),
    ("digamma", ([-1.0, inf, nan],), [nan, inf, nan]),
    ("polygamma", (1, [inf, nan]), [0.0, nan]),
    ("zeta", ([1.0, inf, nan],), [inf, 1.0, nan]),
    ("zeta", ([0.5, 2.0, 2.0], [1.0, -1.0, inf]), [nan, inf, 0.0]),
    ("gammainc", ([2.0, 2.0, 2.0, -1.0, nan], [0.0, inf, -1.0, 1.0, 1.0]), [0.0, 1.0, nan, nan, nan]),
    ("gammaincc", ([2.0, 2.0, 2.0], [0.0, inf, nan]), [1.0, 0.0, nan]),
    ("betainc", ([2.0, 2.0, 2.0, -1.0], [3.0, 3.0, 3.0, 1.0], [0.0, 1.0, 1.5, 0.5]), [0.0, 1.0, nan, nan]),
    ("binom", ([3.0, 4.0, 5.0], [5.0, -1.0, 0.0]), [0.0, 0.0, 1.0]),
    ("comb", ([3.0, 4.0, -1.0], [5.0, -1.0, 0.0]), [0.0, 0.0, 0.0]),
    ("factorial", ([-1.0, -0.5, 0.0, nan],), [0.0, 0.0, 1.0, nan]),
    ("erfinv", ([-1.0, 1.0, 1.5, nan],), [-inf, inf, nan, nan]),
    ("erfcinv", ([0.0, 2.0, -1.0],), [inf, -inf, nan]),
    ("erfcx", ([-30.0, inf, -inf, nan, 1e300],), [inf, 0.0, inf, nan, 5.641895835477563e-301]),
    ("ndtr", ([-inf, inf, nan, -40.0],), [0.0, 1.0, nan, 0.0]),
    ("ndtri", ([0.0, 1.0, 2.0],), [-inf, inf, nan]),
    ("log_ndtr", ([-inf, inf, nan, 40.0],), [-inf, 0.0, nan, 0.0]),
    ("logit", ([0.0, 1.0, -1.0, 2.0, nan],), [-inf, inf, nan, nan, nan]),
    ("log_expit", ([-inf, inf, nan],), [-inf, 0.0, nan]),
    ("xlogy", ([0.0, 0.0, 0.0, 0.0, 1.0, 1.0], [0.0, -1.0, inf, nan, 0.0, -1.0]), [0.0, 0.0, 0.0, nan, -inf, nan]),
    ("xlog1py", ([0.0, 0.0, 0.0, 1.0, 1.0], [-1.0, -2.0, nan, -1.0, -2.0]), [0.0, 0.0, nan, -inf, nan]),
    ("entr", ([0.0, -0.5, inf, nan],), [0.0, -inf, -inf, nan]),
    ("rel_entr", ([0.0, 0.0, 1.0, -1.0, nan, 0.0], [0.0, 1.0, 0.0, 1.0, 1.0, -1.0]), [0.0, 0.0, inf, inf, nan, inf]),
    ("kl_div_elementwise", ([0.0, 0.0, 1.0, -1.0, nan], [0.0, 2.0, 0.0, 1.0, 1.0]), [0.0, 2.0, inf, inf, nan]),
    ("exprel", ([-inf, inf, nan, 800.0],), [0.0, inf, nan, inf]),
    ("sinc", ([0.0, 1.0, -7.0],), [1.0, 0.0, 0.0]),
    ("expi", ([0.0, -inf, inf],), [-inf, 0.0, inf]),
    ("exp1", ([0.0, inf],), [inf, 0.0]),
    ("expn", (2, [0.0, inf]), [1.0, 0.0]),
    ("spence", ([0.0, 1.0, -1.0],), [math.pi**2 / 6, 0.0, nan]),
    ("lambertw", ([-1.0, inf, 0.0, nan],), [nan, inf, 0.0, nan]),
    ("j0", ([0.0, nan],), [1.0, nan]),
    ("y0", ([0.0, -1.0],), [-inf, nan]),
    ("k0", ([0.0, -1.0, inf],), [inf, nan, 0.0]),
    ("i0e", ([0.0, inf],), [1.0, 0.0]),
    ("ellipk", ([1.0, 1.5, -inf],), [inf, nan, 0.0]),
    ("ellipe", ([1.0, 1.5],), [1.0, nan]),
    ("ellipkm1", ([0.0, -1.0],), [inf, nan]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "operands", "expected"), EDGES)
def test_edges_are_scipys(name, operands, expected, T, backend):
    with np.errstate(all="ignore"):
        try:
            y = OPS[name](*(T(a) if isinstance(a, list) else a for a in operands))
        except jt.errors.UnsupportedError as e:
            assert backend != "numpy"
            pytest.skip(str(e))
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-14, atol=4e-17)


GRADIENTS: list[tuple[str, tuple[Any, ...], int, float]] = [
    # PyTorch's conventions: tests/data has no torch; these are its documented formulas
    ("xlogy", (0.0, 0.0), 0, 0.0),
    ("xlogy", (0.0, -1.0), 0, 0.0),
    ("xlogy", (0.0, 2.0), 0, math.log(2.0)),
    ("xlogy", (0.0, 2.0), 1, 0.0),
    ("xlog1py", (0.0, -1.0), 0, 0.0),
    ("xlog1py", (0.0, -2.0), 0, 0.0),
    ("entr", (0.0,), 0, inf),
    ("rel_entr", (0.0, 0.0), 1, 0.0),
    ("kl_div_elementwise", (0.0, 2.0), 1, 1.0),
    ("i0e", (0.0,), 0, 0.0),
    ("i1e", (0.0,), 0, 0.5),
    ("i1", (0.0,), 0, 0.5),
    ("logit", (0.0,), 0, inf),
    ("erfinv", (1.0,), 0, inf),
    ("sinc", (0.0,), 0, 0.0),
    ("rgamma", (-2.0,), 0, 2.0),
    ("gammainc", (2.0, 0.0), 0, 0.0),
    ("gammainc", (2.0, inf), 0, 0.0),
    ("betainc", (2.0, 3.0, 0.0), 0, 0.0),
    ("betainc", (2.0, 3.0, 1.0), 1, 0.0),
    ("gammasgn", (2.0,), 0, 0.0),
    ("log_ndtr", (-1e8,), 0, 1e8),
    ("log_ndtr", (-inf,), 0, inf),
    ("log_ndtr", (50.0,), 0, 0.0),
    ("erfcx", (1e8,), 0, -1 / (math.sqrt(math.pi) * 1e16)),
    ("factorial", (nan,), 0, nan),
    ("logit", (-0.0,), 0, inf),
    ("logit", (1.0,), 0, inf),
    ("logit", (2.0,), 0, nan),
    ("logit", (-1.0,), 0, nan),
    ("exp1", (-1.0,), 0, nan),
    ("exprel", (800.0,), 0, inf),
    ("y1", (0.0,), 0, inf),
    ("k0e", (0.0,), 0, -inf),
    ("k1e", (0.0,), 0, -inf),
    ("ellipk", (1.0,), 0, inf),
    ("ellipkm1", (0.0,), 0, -inf),
    ("normal_hazard", (-inf,), 0, -1.0),
    ("normal_hazard", (-1e300,), 0, -1.0),
    ("normal_hazard", (inf,), 0, 0.0),
    ("lambertw", (-1 / math.e,), 0, inf),
    ("rel_entr", (1e-200, 1e200), 0, 1 - 400 * math.log(10)),
    ("kl_div_elementwise", (1e200, 1e-200), 0, 400 * math.log(10)),
    ("kl_div_elementwise", (1.0, 1.0 + 2.0**-40), 0, -9.0949470177251465e-13),
    ("kl_div_elementwise", (1.0, 1.0 + 2.0**-40), 1, 9.0949470177210106e-13),
    # By mpmath, in 60 digits.
    ("zeta", (-198.33341360107738,), 0, -5.6235498287999786e212),
    ("betainc", (0.001224487940763191, 2.7911652101537996, 1.464559979302458e-12), 0, -25.032392243471488),
    ("betainc", (2.7911652101537996, 0.001224487940763191, 1 - 2.0**-40), 1, 25.479108851677399),
]


@pytest.mark.parametrize(("name", "operands", "place", "expected"), GRADIENTS)
def test_gradients_at_edges(name, operands, place, expected, T, backend):
    with np.errstate(all="ignore"):
        try:
            y = jt.grad(OPS[name], place)(*(T(a) for a in operands))
        except jt.errors.UnsupportedError as e:
            assert backend != "numpy"
            pytest.skip(str(e))
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [("logit", 1e-200, -inf), ("logit", 0.0, -inf), ("log_ndtr", -1e300, -1.0), ("log_ndtr", inf, 0.0)],
)
def test_second_derivatives_at_edges(name, x, expected, T):
    with np.errstate(all="ignore"):
        assert jt.grad(jt.grad(OPS[name]))(T(x)).item() == pytest.approx(expected, rel=1e-12)


def test_an_output_that_nothing_depends_on_has_no_share_in_a_gradient(close):
    """Ci and Chi have an infinite slope at 0, Bi overflows; Si, Shi and Ai next to them are smooth."""
    with np.errstate(all="ignore"):
        for f in (special.sici, special.shichi):
            first = lambda x, f=f: f(x)[0]  # noqa: E731
            assert jt.grad(first)(0.0).item() == 1.0
            assert jt.grad(jt.grad(first))(0.0).item() == 0.0
            square = lambda x, f=f: f(x)[0] ** 2  # noqa: E731  # its gradient for f's output is 0, too, but not its slope
            assert jt.grad(jt.grad(square))(0.0).item() == 2.0
            assert jt.grad(lambda x, f=f: f(x)[1])(0.0).item() == inf
            tangents = jt.jvp(f, (jt.tensor([0.0, 0.5]),), (jt.ones(2),))[1]
            assert [t[0].item() for t in tangents] == [1.0, inf]
            close(tangents[1][1], jt.grad(lambda x, f=f: f(x)[1])(0.5))
        assert jt.grad(lambda x: special.shichi(x)[0])(800.0).item() == inf
        for k in range(2):
            near, far = (jt.grad(lambda x, k=k: special.airy(x)[k]) for _ in range(2))
            assert far(200.0).item() == 0.0
            assert jt.grad(far)(200.0).item() == 0.0
            close(jt.jvp(special.airy, (jt.tensor(1.5),), (jt.tensor(2.0),))[1][k], 2 * near(1.5).item())
        close(jt.grad(jt.grad(lambda x: special.airy(x)[2] ** 2))(0.5), 1.3229078216023896, 1e-13)


def test_lambertw_at_its_branch_point(close):
    """By mpmath. SciPy has 1e-5 there, of which the slope, 1 / (1 + W), makes far more."""
    at = [-0.36787944117144, -0.36787944, -0.367871]
    for k, values, slopes in [
        (0, [-0.99999988771640612, -0.99992019848415145, -0.99324096254766873],
         [24209071.23992989, 34060.316839871907, 399.46084497245357]),
        (-1, [-1.0000001122836023, -1.0000798057615957, -1.00678963176499],
         [-24209074.864305662, -34063.941215654214, -403.08530021243415]),
    ]:  # fmt: skip
        f = lambda x, k=k: special.lambertw(x, k=k)  # noqa: E731
        close(f(jt.tensor(at)), values, 3e-16)
        close(jt.grad(lambda x, f=f: f(x).sum())(jt.tensor(at)), slopes, 1e-8)
        assert f(-1 / math.e).item() == -1.0
        assert math.isnan(f(-0.3679).item())


def test_exprel_of_float32_does_not_overflow_early(T):
    x = T([88.0, 89.0, 92.0], "float32")
    assert special.exprel(x).numpy()[:2] == pytest.approx([1.876820e36, 5.044508e36], rel=1e-4)


def test_third_derivatives_where_two_formulas_meet():
    """By central differences of the second, on both sides of a seam and on it."""
    for f, seam in [(special.exprel, 1.0), (special.sinc, 0.5), (special.j1, 1.0), (special.i1, 1.0), (special.erfcx, 10.0),
                    (special.dawsn, 10.0), (special.ellipk, 0.25), (special.ellipe, -0.25), (special.spence, 1.2),
                    (special.zeta, -0.5), (special.rgamma, 0.5), (special.log_ndtr, -2.0)]:  # fmt: skip
        second, third = differentiated(f, [2]), differentiated(f, [3])
        for x in (seam - 1e-3, seam, seam + 1e-3):
            step = 1e-4
            slope = (second(x + step).item() - second(x - step).item()) / (2 * step)
            assert third(x).item() == pytest.approx(slope, rel=2e-5, abs=1e-7), (f.__name__, x)


# -- dtypes and operands ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_results_have_the_dtype_of_the_operands(name, dtype):
    attrs, columns, _ = next(groups(name))
    operands = [c if isinstance(c, int) else [2.0] if len(columns) == 1 else c[:1] for c in columns]
    if name in ("yn", "polygamma", "expn") or name.startswith("spherical"):
        operands[0] = 2
    some = [c if isinstance(c, int) else jt.tensor(c, dtype) for c in operands]
    y = OPS[name](*some, **attrs)
    for part in y if isinstance(y, tuple) else (y,):
        assert str(part.dtype) == dtype


def test_orders_and_other_integers_take_the_floats_dtype():
    x = jt.tensor([0.5, 2.0], "float32")
    for n in (2, jt.tensor([2, 2]), jt.tensor([2, 2], "int32")):
        for f in (
            special.jv,
            special.yn,
            special.kv,
            special.polygamma,
            special.expn,
            special.spherical_jn,
            special.eval_legendre,
        ):
            assert f(n, x).dtype == jt.float32
            np.testing.assert_array_equal(f(n, x).numpy(), f(2, x).numpy())
    assert special.gammaln(jt.tensor([3, 4])).dtype == jt.float64
    assert special.gammaln(3).item() == pytest.approx(math.lgamma(3), rel=1e-15)
    assert special.jv(0, 1).item() == pytest.approx(special.j0(1.0).item(), rel=1e-15)


def test_bare_arrays_and_broadcasting():
    a, x = np.array([[0.5], [2.0]]), np.array([0.25, 1.0, 3.0])
    assert special.gammainc(a, x).shape == (2, 3)
    ga, gx = jt.grad(lambda a, x: special.gammainc(a, x).sum(), (0, 1))(jt.tensor(a), jt.tensor(x))
    assert (ga.shape, gx.shape) == ((2, 1), (3,))


def test_degrees_may_be_arrays(close):
    n, x = jt.tensor([[0], [1], [4]]), jt.tensor([-0.5, 0.25])
    for f in (special.eval_legendre, special.eval_chebyt, special.eval_hermite, special.eval_laguerre):
        rows = [f(k, x) for k in (0, 1, 4)]
        close(f(n, x), jt.stack(rows))
        slope = jt.grad(lambda x, f=f: f(n, x).sum())(x)
        close(slope, sum(jt.grad(lambda x, k=k, f=f: f(k, x).sum())(x) for k in (0, 1, 4)))


QUADRATURES: list[tuple[str, int, dict[str, Any]]] = [
    ("gammainc_a", 2, {"order": 1}),
    ("betainc_ab", 3, {"order": (1, 0)}),
    ("kve_v", 2, {"order": 1}),
    ("kv", 2, {}),
]


@pytest.mark.parametrize(("name", "count", "attrs"), QUADRATURES)
def test_quadratures_run_in_blocks(name, count, attrs, monkeypatch, backend, T):
    """The hundreds of nodes of an element are in memory for a block of elements at a time, whatever their number."""
    if backend != "numpy" and not name.startswith("k"):
        pytest.skip("no kernel")
    rng = np.random.default_rng(3)
    given = [T(rng.uniform(0.1, 0.9, (40, 1 if k else 25))) for k in range(count)]
    whole = OPS[name](*given, **attrs)
    monkeypatch.setattr(table, "BLOCK", 64)
    tracemalloc.start()
    try:
        parts = OPS[name](*given, **attrs)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(parts.numpy(), whole.numpy(), rtol=1e-14)
    assert parts.shape == (40, 25)
    assert peak < 12 * 64 * 8 * 400  # all at once: four times that and more


# -- transforms -------------------------------------------------------------------------------------------------------


def test_jvp_and_vmap_of_each_argument(close):
    a, b, x = jt.tensor([0.5, 2.0]), jt.tensor([1.5, 3.0]), jt.tensor([0.25, 0.75])
    y, t = jt.jvp(special.betainc, (a, b, x), (a, b, x))
    slopes = jt.grad(lambda *v: special.betainc(*v).sum(), (0, 1, 2))(a, b, x)
    close(t, sum(s * v for s, v in zip(slopes, (a, b, x), strict=True)))
    close(jt.vmap(special.betainc)(a, b, x), y)
    close(jt.vmap(jt.grad(special.betainc, 1))(a, b, x), slopes[1])
    orders = jt.tensor([0, 1, 2])
    close(jt.vmap(lambda n: special.jv(n, 0.5))(orders), special.jv(orders, 0.5))


def test_jvp_and_vmap_of_several_outputs(close):
    x = jt.tensor([0.5, 2.0])
    (ai, slope, _, _), (dai, dslope, _, _) = jt.jvp(special.airy, (x,), (jt.ones_like(x),))
    close(dai, slope)
    close(dslope, x * ai)
    close(jt.vmap(special.sici)(x)[1], special.sici(x)[1])


def test_hessian_of_a_likelihood(close):
    """Of gamma's log-density in shape and rate: minus polygamma(1, a), 1 / b and -a / b^2."""

    def log_density(theta: jt.Tensor) -> jt.Tensor:
        a, b = theta[0], theta[1]
        return a * jt.log(b) - special.gammaln(a) + special.xlogy(a - 1, 1.5) - 1.5 * b

    found = jt.hessian(log_density)(jt.tensor([2.0, 0.5]))
    close(found, [[-special.polygamma(1, 2.0).item(), 2.0], [2.0, -8.0]])


def test_mixed_derivatives_of_the_incomplete_functions_commute(close):
    a, x = jt.tensor(1.75), jt.tensor(0.8)
    one = jt.grad(jt.grad(special.gammainc, 0), 1)(a, x)
    other = jt.grad(jt.grad(special.gammainc, 1), 0)(a, x)
    close(one, other.item(), 1e-13)
    b = jt.tensor(2.25)
    one = jt.grad(jt.grad(jt.grad(special.betainc, 0), 1), 2)(a, b, x)
    other = jt.grad(jt.grad(jt.grad(special.betainc, 2), 1), 0)(a, b, x)
    close(one, other.item(), 1e-12)


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in OPS if name != "kl_div_elementwise"])
def test_complex_numbers_are_refused(name):
    attrs, columns, _ = next(groups(name))
    some = [c if isinstance(c, int) else jt.tensor([0.5 + 0.5j]) for c in columns]
    inner = {"comb": "comb|binom|order|greater", "factorial": "gamma|order|greater", "multigammaln": "gammaln"}
    with pytest.raises(TypeError, match=rf"({inner.get(name, name.partition('_a')[0])}).*|real"):
        OPS[name](*some, **attrs)


def test_complex_numbers_are_refused_in_words():
    with pytest.raises(jt.DTypeError, match=r"gammaln\(\) takes real numbers; complex ones came. Give it jt.real\(x\)"):
        special.gammaln(jt.tensor([1j]))
    with pytest.raises(jt.DTypeError, match=r"kl_div\(\) takes real numbers"):
        special.kl_div(jt.tensor([0.5]), 1j)


REFUSED = [
    ("jv", (1.0, 2.0), "v"), ("yv", (1.0, 2.0), "v"), ("iv", (1.0, 2.0), "v"), ("ive", (1.0, 2.0), "v"),
    ("hyp2f1", (1.0, 2.0, 3.0, 0.5), "a"), ("hyp2f1", (1.0, 2.0, 3.0, 0.5), "b"),
    ("hyp2f1", (1.0, 2.0, 3.0, 0.5), "c"), ("hyp1f1", (1.0, 2.0, 0.5), "a"), ("hyp1f1", (1.0, 2.0, 0.5), "b"),
    ("hyp0f1", (1.0, 2.0), "v"), ("eval_gegenbauer", (2, 1.0, 0.5), "alpha"), ("eval_genlaguerre", (2, 1.0, 0.5), "alpha"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "operands", "argument"), REFUSED)
def test_arguments_without_a_rule(name, operands, argument):
    place = OPS[name].op.arrays.index(argument)
    match = rf"{name}\(\) has no derivative rule for its input '{argument}' \(there is one in .*\), and '{argument}' requires"
    with pytest.raises(jt.GradientError, match=match):
        jt.grad(OPS[name], place)(*operands)
    tangents = [jt.tensor(float(i == place)) for i in range(len(operands))]
    with pytest.raises(jt.GradientError, match=match):
        jt.jvp(lambda x: OPS[name](*operands[:place], x, *operands[place + 1 :]), (jt.tensor(1.0),), (tangents[place],))


def test_lambertws_other_branches():
    with pytest.raises(jt.OpError, match=r"lambertw\(\): k=2 is no real branch; expected 0 or -1"):
        special.lambertw(1.0, k=2)


def test_degrees_are_whole():
    for f in (special.eval_legendre, special.spherical_jn, special.yn):
        for n, shown in ((1.5, "1.5"), (jt.tensor([1.0]), "float64")):
            with pytest.raises(
                jt.DTypeError, match=rf"{f.__name__}\(\) takes a whole n, an int or an array of integers; got {shown}"
            ):
                f(n, jt.tensor([0.5]))


def test_orders_of_polygamma_and_expn_are_whole():
    """SciPy cuts expn's 2.5 to 2; a gradient of 0 in an order that is a floating-point tensor would be no less wrong."""
    for f in (special.polygamma, special.expn):
        for n, shown in ((2.5, "2.5"), (jt.tensor(2.0, requires_grad=True), "float64")):
            with pytest.raises(jt.DTypeError, match=rf"{f.__name__}\(\) takes a whole n, .*; got {shown}"):
                f(n, jt.tensor(0.5))
        assert f(2.0, jt.tensor(1.0)).item() == f(2, 1.0).item()


def test_orders_and_degrees_are_not_negative():
    """Their derivatives would be those of degree 0."""
    for f in (special.eval_legendre, special.spherical_jn, special.polygamma, special.expn):
        for n in (-1, jt.tensor([2, -1])):
            with pytest.raises(jt.OpError, match=rf"{f.__name__}\(\) takes n from 0 on; got -1"):
                f(n, jt.tensor([0.5, 0.5]))
    assert special.yn(-1, 2.0).item() == pytest.approx(-special.y1(2.0).item(), rel=1e-15)


def test_degrees_are_not_negative_where_the_recurrence_computes(T):
    with pytest.raises(jt.OpError, match=r"eval_legendre\(\) takes n from 0 on; got -2"):
        special.eval_legendre(-2, T([0.5]))


def test_degrees_are_whole_where_the_recurrence_computes(T):
    with pytest.raises(
        jt.DTypeError, match=r"eval_hermite\(\) takes a whole n, an int or an array of integers; got 2.5"
    ):
        special.eval_hermite(2.5, T([0.5]))


# -- names ------------------------------------------------------------------------------------------------------------


def test_what_the_core_has_is_the_cores():
    assert special.expit is jt.sigmoid
    assert (special.erf, special.erfc, special.logsumexp) == (jt.erf, jt.erfc, jt.logsumexp)
    assert special.psi is special.digamma
    assert special.jn is special.jv


def test_softmax_is_over_all_elements_as_scipys(T, close):
    x = T([[1.0, 2.0], [3.0, 4.0]])
    close(special.softmax(x).sum(), 1.0)
    close(jt.log(special.softmax(x)), special.log_softmax(x).numpy())
    close(special.softmax(x, axis=0), jt.softmax(x, axis=0).numpy())


def test_every_public_name_is_documented():
    page = (Path(__file__).parents[1] / "docs" / "scipy.md").read_text()
    section = page.partition("## Special functions")[2].partition("\n## ")[0]
    missing = [name for name in special.__all__ if f"`{name}`" not in section]
    assert not missing, missing


def test_cupys_names():
    """What the table takes for CuPy's functions is what CuPy has."""
    from jitrench_scipy.special.table import CUPY

    names = json.loads((Path(__file__).parent / "cupy_on_cpu" / "names.json").read_text())
    known = names["modules"]["cupyx.scipy.special"]
    others = {"betainc", "ellipeinc", "kl_div", "lambertw", "polygamma", "spherical_yn", "zeta"}
    assert not (CUPY | others) - set(known)
    assert {op for op, backend in special.KERNELS if backend == "cupy"} <= set(OPS)


def test_numbers_give_tensors_whatever_they_are():
    for y in (special.factorial(-1), special.factorial(3), special.comb(5, -1), special.comb(5, 2)):
        assert type(y) is jt.Tensor
