"""jitrench_scipy.stats: mpmath's values and derivatives (tests/data says how they were made), SciPy's values, supports, errors."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

import jitrench_core as jt
from jitrench_scipy import special, stats

REFERENCE = json.loads(
    Path(__file__).with_name("data").joinpath("scipy_stats_reference.json").read_text(encoding="utf-8")
)
CONTINUOUS = {
    "norm": (), "t": (2.5,), "gamma": (2.5,), "beta": (2.5, 0.7), "expon": (), "laplace": (), "cauchy": (), "logistic": (),
    "lognorm": (0.8,), "chi2": (3.5,), "uniform": (), "weibull_min": (1.5,),
}  # fmt: skip
DISCRETE = {"poisson": (2.5,), "binom": (5, 0.3), "bernoulli": (0.3,), "geom": (0.3,), "nbinom": (2.5, 0.3)}
ELEMENTARY = "cauchy", "expon", "laplace", "logistic", "lognorm", "norm", "uniform"  # those without gamma functions
PLACES = np.array([-3.0, -0.7, -0.0, 0.0, 0.2, 0.6, 1.0, 1.5, 9.0])
INSIDE = {"beta", "uniform"}, {"gamma", "expon", "lognorm", "chi2", "weibull_min"}  # supports [0, 1] and [0, inf)


@pytest.fixture
def T(T):
    """The backends' own, where they have gamma functions; the others say that they lack them."""
    try:
        special.gammaln(T(1.0))
    except jt.UnsupportedError as e:
        pytest.skip(str(e))
    return T


def label(case):
    return f"{case['name']}-{case.get('kind', '')}{case['arguments'][0]}"


@pytest.fixture
def make(backend):
    """A tensor on the device under test, whether it has gamma functions or not."""
    return lambda data, dtype=None: jt.tensor(data, dtype, backend)


def relative(actual, expected, tol):
    """Each number to ``tol`` of the largest in its array, so that what cancels does not count."""
    expected = np.asarray(expected, dtype=float)
    np.testing.assert_allclose(
        actual.numpy(), expected, rtol=tol, atol=tol * max(1.0, float(np.max(np.abs(expected), initial=0)))
    )


# -- mpmath's numbers -------------------------------------------------------------------------------------------------


# Where the large terms of the formula cancel, in SciPy as well.
CANCELS = {"gamma-10000.0": 1e-11, "poisson-1000": 2e-13, "binom-400": 2e-13}


@pytest.mark.parametrize("case", REFERENCE["univariate"], ids=label)
def test_as_mpmath(case, T):
    distribution = getattr(stats, case["name"])
    f = getattr(distribution, "logpmf" if case["name"] in DISCRETE else "logpdf")
    xs = [T(a) for a in case["arguments"]]
    free = tuple(i for i, a in enumerate(case["arguments"]) if isinstance(a, float))
    relative(f(*xs), case["value"], CANCELS.get(label(case), 2e-14))
    gradient = jt.grad(f, argnums=free)
    for g, e in zip(gradient(*xs), case["gradient"], strict=True):
        relative(g, e, 1e-11)
    for row, i in zip(case["hessian"], range(len(free)), strict=True):
        second = jt.grad(lambda *a, i=i: gradient(*a)[i], argnums=free)(*xs)
        for g, e in zip(second, row, strict=True):
            relative(g, e, 1e-9)


@pytest.mark.parametrize("case", REFERENCE["cumulative"], ids=label)
def test_cumulative_as_mpmath(case, T):
    f = getattr(getattr(stats, case["name"]), case["kind"])
    x, *others = (T(a) for a in case["arguments"])
    value, slope = jt.value_and_grad(f)(x, *others)
    np.testing.assert_allclose(value.numpy(), case["value"], rtol=2e-13, atol=1e-300)
    np.testing.assert_allclose(slope.numpy(), case["slope"], rtol=2e-12, atol=1e-16)


@pytest.mark.parametrize("case", REFERENCE["multivariate"], ids=label)
def test_multivariate_as_mpmath(case, T):
    distribution = getattr(stats, case["name"])
    f = getattr(distribution, "logpmf" if case["name"] == "multinomial" else "logpdf")
    xs = [T(a) for a in case["arguments"]]
    free = tuple(i for i, x in enumerate(xs) if x.dtype.kind == "f")
    relative(f(*xs), case["value"], 1e-14)
    for i, g in zip(free, jt.grad(f, argnums=free)(*xs), strict=True):
        relative(g, case["gradients"][i], 1e-12)
    if case["arguments"][0] != [1e-8, 0.25, 0.75]:  # whose end is nearer than a step of differences
        jt.check_grads(
            lambda *a: f(*(a[free.index(i)] if i in free else x for i, x in enumerate(xs))), *(xs[i] for i in free)
        )


# -- SciPy's values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONTINUOUS)
def test_as_scipy(name, T, close):
    ours, theirs, shapes = getattr(stats, name), getattr(scipy.stats, name), CONTINUOUS[name]
    for loc, scale in ((0.0, 1.0), (0.25, 2.0)):
        x = PLACES * scale + loc
        methods = ["logpdf", "pdf", *ours._functions]
        for method in methods:
            with np.errstate(all="ignore"):
                expected = getattr(theirs, method)(x, *shapes, loc, scale)
            close(getattr(ours, method)(T(x), *shapes, loc, scale), expected, 1e-13)
            close(getattr(ours, method)(T(x), *map(T, shapes), loc=T(loc), scale=T(scale)), expected, 1e-13)


@pytest.mark.parametrize("name", DISCRETE)
def test_probabilities_as_scipy(name, T, close):
    ours, theirs, shapes = getattr(stats, name), getattr(scipy.stats, name), DISCRETE[name]
    for k in (np.arange(-2, 9), np.array([-0.5, 0.0, 0.5, 1.0, 1.5])):
        for loc in (0, 1):
            expected = theirs.logpmf(k, *shapes, loc=loc)
            if k.dtype.kind == "f":
                expected = np.where(k == np.floor(k), expected, -np.inf)  # where SciPy goes to the whole number below
            close(ours.logpmf(T(k), *shapes, loc=loc), expected, 1e-13)
            close(ours.pmf(T(k), *shapes, loc), np.exp(expected), 1e-13)


def test_vectors_as_scipy(T, close):
    rng = np.random.default_rng(0)
    x, mean = rng.normal(size=(4, 3)), rng.normal(size=3)
    a = rng.normal(size=(3, 3))
    cov = a @ a.T + np.eye(3)
    close(
        stats.multivariate_normal.logpdf(T(x), T(mean), T(cov)),
        scipy.stats.multivariate_normal(mean, cov).logpdf(x),
        1e-12,
    )
    close(stats.multivariate_normal.pdf(T(x), 0.5, 2.0), scipy.stats.multivariate_normal([0.5] * 3, 2.0).pdf(x), 1e-12)
    alpha, p = np.array([0.5, 1.0, 3.0]), np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
    close(stats.dirichlet.logpdf(T(p), T(alpha)), [scipy.stats.dirichlet(alpha).logpdf(row) for row in p], 1e-12)
    close(stats.dirichlet.pdf(T(p[0]), T(alpha)), scipy.stats.dirichlet(alpha).pdf(p[0]), 1e-12)
    counts = np.array([[1, 0, 2], [3, 0, 0], [1, 1, 2], [4, -1, 0]])
    for row in p:
        close(stats.multinomial.logpmf(T(counts), 3, T(row)), scipy.stats.multinomial(3, row).logpmf(counts), 1e-12)
        close(stats.multinomial.pmf(T(counts), 3, T(row)), scipy.stats.multinomial(3, row).pmf(counts), 1e-12)
    wishart = scipy.stats.wishart(4.5, cov)
    m = np.stack([cov + k * np.eye(3) for k in (1, 2)])
    close(stats.wishart.logpdf(T(m), 4.5, T(cov)), [wishart.logpdf(each) for each in m], 1e-12)
    close(stats.wishart.pdf(T(m[0]), 4.5, T(cov)), wishart.pdf(m[0]), 1e-12)


# -- supports, ends and parameters out of range -------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(INSIDE[0] | INSIDE[1]))
def test_outside_of_the_support(name, T):
    """-inf with gradients of zero, to second order, and nothing else of a batch is touched."""
    distribution, shapes = getattr(stats, name), CONTINUOUS[name]
    x = np.array([-3.0, -1e-300, 0.5] + [1.5] * (name in INSIDE[0]))
    out = x != 0.5
    args = [T(np.full(x.shape, p)) for p in (*shapes, 0.0, 1.0)]
    every = tuple(range(len(args) + 1))
    y = distribution.logpdf(T(x), *args)
    assert np.all(y.numpy()[out] == -np.inf)
    assert np.all(np.isfinite(y.numpy()[~out]))
    gradient = jt.grad(lambda *a: jt.where(jt.isfinite(f := distribution.logpdf(*a)), f, f * 1.0).sum(), argnums=every)
    found = gradient(T(x), *args)
    second = jt.grad(lambda *a: sum(g.sum() for g in gradient(*a)), argnums=every)(T(x), *args)
    for g in (*found, *second):
        assert np.all(g.numpy()[out] == 0.0)
        assert np.all(np.isfinite(g.numpy()))
    assert any(g.numpy()[~out] != 0 for g in found)


@pytest.mark.parametrize("name", DISCRETE)
def test_impossible_counts(name, T):
    """-inf with gradients of zero."""
    shapes = [T(np.full(3, p), dtype="float64") for p in DISCRETE[name]]
    k = T([-1.0, 0.5, 1.0])
    gradients = jt.grad(lambda *a: getattr(stats, name).logpmf(*a).sum(), argnums=tuple(range(len(shapes) + 1)))(
        k, *shapes
    )
    assert getattr(stats, name).logpmf(k, *shapes).numpy()[:2].tolist() == [-np.inf, -np.inf]
    for g in gradients:
        assert np.all(g.numpy()[:2] == 0.0)
        assert np.all(np.isfinite(g.numpy()))
    assert np.all(gradients[0].numpy() == 0.0)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_parameters_out_of_range_are_nan(name, T):
    """One bad scale or shape gives NaN there alone, and gradients of zero."""
    distribution, shapes = getattr(stats, name), CONTINUOUS[name]
    for bad in range(len(shapes) + 1):
        for value in (0.0, -1.0, np.nan):
            args = [np.full(2, p) for p in (*shapes, 0.0, 1.0)]
            args[bad if bad < len(shapes) else -1][0] = value
            args = [T(a) for a in args]
            y = distribution.logpdf(T([0.5, 0.5]), *args).numpy()
            assert np.isnan(y[0])
            assert np.isfinite(y[1])
            for g in jt.grad(lambda *a: distribution.logpdf(*a).sum(), argnums=tuple(range(len(args) + 1)))(
                T([0.5, 0.5]), *args
            ):
                assert np.isfinite(g.numpy()).all()
                assert g.numpy()[0] == 0.0


def test_probabilities_out_of_range_are_nan(T, close):
    nan = np.nan
    close(stats.poisson.logpmf(1, T([-1.0, nan, 1.0])), [nan, nan, -1.0])
    close(stats.bernoulli.logpmf(1, T([-0.1, 1.1, 1.0])), [nan, nan, 0.0])
    close(stats.binom.logpmf(1, T([1.5, -1.0, 1.0]), 0.5), [nan, nan, math.log(0.5)])
    close(stats.geom.logpmf(1, T([0.0, 2.0, 1.0])), [nan, nan, 0.0])
    close(stats.nbinom.logpmf(0, T([0.0, 1.0, 1.0]), T([0.5, 0.0, 1.0])), [nan, nan, 0.0])
    close(stats.dirichlet.logpdf(T([0.5, 0.5]), T([[1.0, 0.0], [1.0, 1.0]])), [nan, 0.0])
    close(stats.multinomial.logpmf(T([1, 0]), 1, T([[1.5, 0.5], [1.0, 0.0]])), [nan, 0.0])
    close(stats.wishart.logpdf(T(np.eye(2)), T([1.0, np.nan]), T(np.eye(2))), [nan, nan])


def test_x_that_is_nan_gives_nan(T):
    for name, shapes in CONTINUOUS.items():
        assert np.isnan(getattr(stats, name).logpdf(T(np.nan), *shapes).numpy()), name
    for name, shapes in DISCRETE.items():
        assert np.isnan(getattr(stats, name).logpmf(T(np.nan), *shapes).numpy()), name


def test_ends_where_a_power_is_no_power(T, close):
    """0 log(0) is 0, and so is its slope: a beta(1, 1) is uniform up to its ends, a probability may be 0 or 1."""
    slope = jt.grad(lambda x, a, b: stats.beta.logpdf(x, a, b).sum())(T([0.0, 1.0]), T(1.0), T(1.0))
    close(slope, [0.0, 0.0])
    close(stats.beta.logpdf(T([0.0, 1.0]), 1.0, 1.0), [0.0, 0.0])
    close(stats.gamma.logpdf(T(0.0), 1.0), 0.0)
    close(jt.grad(lambda x: stats.gamma.logpdf(x, 1.0))(T(0.0)), -1.0)
    close(jt.grad(lambda x: stats.weibull_min.logpdf(x, 1.0))(T(0.0)), -1.0)
    close(jt.grad(lambda x: stats.dirichlet.logpdf(x, T([1.0, 1.0])))(T([0.0, 1.0])), [0.0, 0.0])
    for k, p, slope in ((0, 0.0, -1.0), (1, 1.0, 1.0)):
        value, found = jt.value_and_grad(lambda p, k=k: stats.bernoulli.logpmf(k, p))(T(p))
        close(value, 0.0)
        close(found, slope)
    close(stats.bernoulli.logpmf(T([0, 1]), T([1.0, 0.0])), [-np.inf, -np.inf])
    close(stats.poisson.logpmf(T([0, 1]), 0.0), [0.0, -np.inf])
    close(jt.grad(lambda mu: stats.poisson.logpmf(0, mu))(T(0.0)), -1.0)
    close(stats.multinomial.logpmf(T([2, 0]), 2, T([1.0, 0.0])), 0.0)


def test_far_out(T, close):
    """Where a square overflows, a difference of infinities was NaN, or the rest of a probability was rounded away."""
    with np.errstate(over="ignore"):
        far = T([1e155, -1e300])
        close(stats.cauchy.logpdf(far), [-714.9461087143, -1382.6957856823], 1e-12)
        close(jt.grad(lambda x: stats.cauchy.logpdf(x).sum())(far), [-2e-155, 2e-300], 1e-12)
        close(stats.t.logpdf(far, 2.5), [-1248.5655437619505, -2417.1274784564284], 1e-12)  # 3.5 log(z), and a constant
        close(stats.cauchy.logpdf(T([1e20], dtype="float32")), [-93.24813], 1e-6)
    close(stats.logistic.logpdf(T([-np.inf, np.inf])), [-np.inf, -np.inf])
    close(stats.logistic.pdf(T([-np.inf, -1e3, 0.0])), [0.0, 0.0, 0.25])
    second = jt.vmap(jt.hessian(stats.logistic.logpdf))(T([-30.0, 0.0, 30.0])).numpy()
    np.testing.assert_allclose(second, [-2 * np.exp(-30.0), -0.5, -2 * np.exp(-30.0)], rtol=1e-12)
    close(stats.t.logpdf(T([-1.0, 0.0, 2.0]), math.inf), stats.norm.logpdf(T([-1.0, 0.0, 2.0])))
    close(jt.grad(lambda df: stats.t.logpdf(2.0, df).sum())(T([math.inf, 1e9])), [0.0, 0.0], 1e-15)
    close(stats.poisson.logpmf(T([math.inf, 0.0]), 1.0), [-math.inf, -1.0])
    close(stats.nbinom.logpmf(T(math.inf), 1.0, 0.5), -math.inf)
    close(stats.beta.sf(T(1e-300), 1e-5, 1e-5), 0.5034419757078538, 1e-12)


# -- dtypes, shapes, transforms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ELEMENTARY)
def test_dtypes_and_shapes(name, make):
    distribution, shapes = getattr(stats, name), CONTINUOUS[name]
    x = make([0.25, 0.5], "float32")
    assert distribution.logpdf(x, *shapes).dtype == jt.float32
    assert distribution.logpdf(x, *shapes, 0.0, make(2.0, "float32")).dtype == jt.float32
    assert distribution.logpdf(x, *shapes, 0.0, make(2.0)).dtype == jt.float64
    assert distribution.logpdf(make([1, 2]), *shapes).dtype == jt.float64
    assert distribution.logpdf(make(np.zeros((0, 3))), *shapes, make(np.zeros(3))).shape == (0, 3)
    assert distribution.logpdf(make(np.ones((2, 1))), *shapes, make(np.zeros(3))).shape == (2, 3)
    assert type(distribution.logpdf(0.5, *shapes)) is jt.Tensor


def test_fits_by_gradients(make, close):
    """At the normal density's greatest likelihood the gradient is zero and the Hessian known."""
    x = make([1.0, 2.0, 4.0, 5.0])
    loss = lambda p: -stats.norm.logpdf(x, p[0], jt.exp(p[1])).sum()  # noqa: E731
    best = make([3.0, math.log(math.sqrt(2.5))])
    close(jt.grad(loss)(best), [0.0, 0.0])
    close(jt.hessian(loss)(best), [[4 / 2.5, 0.0], [0.0, 8.0]])


def test_vmap_and_jvp(T, close):
    x, df = T([[0.3, 0.5], [1.0, 2.0]]), T([2.0, 3.0])
    batched = jt.vmap(lambda x, df: stats.t.logpdf(x, df))(x, df)
    close(batched, stats.t.logpdf(x, df[:, None]))
    _, slope = jt.jvp(lambda a: stats.gamma.logpdf(x, a), (T(2.0),), (T(1.0),))
    close(slope, jt.log(x) - special.digamma(T(2.0)))
    cov = T([[[2.0, 0.5], [0.5, 1.0]], [[1.0, 0.0], [0.0, 1.0]]])
    close(
        jt.vmap(lambda c: stats.multivariate_normal.logpdf(x, 0.0, c))(cov),
        stats.multivariate_normal.logpdf(x[None], 0.0, cov[:, None]),
    )


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda T: stats.gamma.logpdf(T(1.0)), jt.OpError, r"gamma.logpdf\(\) needs a: it is gamma.logpdf\(x, a, loc=0, scale=1\)"),
        (lambda T: stats.norm.logpdf(T(1.0), 1, 2, 3), jt.OpError, r"norm.logpdf\(\) got 3 parameters by position: it is"),
        (lambda T: stats.norm.logpdf(T(1.0), 1, loc=2), jt.OpError, "got loc= by position and by name"),
        (lambda T: stats.norm.logpdf(T(1.0), sclae=2), jt.OpError, "has no parameter 'sclae'. Did you mean 'scale'"),
        (lambda T: stats.t.cdf(T(1.0), 2), jt.OpError, r"t.cdf\(\) is not implemented; t has logpdf, pdf"),
        (lambda T: stats.norm.logpdf(T([1j])), jt.DTypeError, r"of real numbers; got complex128 of shape \(1,\)"),
        (lambda T: stats.poisson.logpmf(T(1)), jt.OpError, r"poisson.logpmf\(\) needs mu: it is poisson.logpmf\(x, mu, loc=0\)"),
        (lambda T: stats.dirichlet.logpdf(T([0.5, 0.5]), T([1.0])), jt.ShapeError, r"components.*shapes \(2,\) and \(1,\)"),
        (lambda T: stats.multinomial.logpmf(T([1, 0]), 1, T(0.5)), jt.ShapeError, r"x and p are the components.*\(2,\) and \(\)"),
        (
            lambda T: stats.multivariate_normal.logpdf(T([1.0, 2.0]), T([1.0]), T(np.eye(2))),
            jt.ShapeError,
            r"mean must be a number or of shape \(..., 2\)",
        ),
        (
            lambda T: stats.multivariate_normal.logpdf(T([1.0, 2.0]), 0.0, T([1.0, 1.0])),
            jt.ShapeError,
            r"A vector of variances is given as jt.diag\(v\)",
        ),
        (
            lambda T: stats.multivariate_normal.logpdf(T([1.0, 2.0]), 0.0, T([[1.0, 2.0], [2.0, 1.0]])),
            jt.LinAlgError,
            "not positive definite",
        ),
        (lambda T: stats.wishart.logpdf(T(np.eye(2)), 3.0, T(np.eye(3))), jt.ShapeError, "square matrices of one size"),
        (lambda T: stats.wishart.logpdf(T([[0.0, 0.0], [0.0, 1.0]]), 3.0, T(np.eye(2))), jt.LinAlgError, "not positive definite"),
    ],
)  # fmt: skip
def test_errors(call, error, message, make):
    with pytest.raises(error, match=message):
        call(make)


def test_objects_show_their_parameters():
    assert repr(stats.beta) == "<distribution beta(a, b, loc=0, scale=1)>"
    assert repr(stats.nbinom) == "<distribution nbinom(n, p, loc=0)>"
