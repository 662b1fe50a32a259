"""Logarithms and exponentials that stay exact at their edges: expit, logit, xlogy, entropies, exprel, sinc."""

from __future__ import annotations

import math
from typing import Any

import jitrench_core as jt
from jitrench_core import op

from .table import check_real, kernel, kernels, polynomial, whole


def _falling(x: Any) -> Any:
    """sigmoid(-x), by the side whose own slope y (1 - y) does not cancel."""
    return jt.where(x < 0, 1 - jt.sigmoid(x), jt.sigmoid(-x))


def _logit_slope(x: Any) -> Any:
    """1 / x + 1 / (1 - x): the product x (1 - x) would underflow in the second derivative."""
    inside = (x >= 0) & (x <= 1)
    x = jt.where(inside, x + 0.0, math.nan)  # the slope at -0.0 is that at 0
    return 1 / x + 1 / (1 - x)


@op(elementwise=True, vjp=lambda g, x: g * _logit_slope(x), domain=(0.1, 0.9))
def logit(xp: Any, x: Any, /) -> Any:
    """log(x / (1 - x)), the inverse of ``expit``, elementwise, of real x; infinite at 0 and 1, NaN beyond.

    >>> from jitrench_scipy import special
    >>> special.logit(0.75)  # log(3)
    Tensor(1.09861229)
    """
    check_real("logit", xp, x)
    near = xp.abs(x - 0.5) < 0.25
    middle = xp.where(near, x, 0.5)
    return xp.where(near, 2.0 * xp.atanh(2.0 * middle - 1.0), xp.log(x) - xp.log1p(-x))


@op(elementwise=True, vjp=lambda g, x: g * _falling(x))
def log_expit(xp: Any, x: Any, /) -> Any:
    """log(expit(x)), elementwise, of real x, without overflow.

    >>> from jitrench_scipy import special
    >>> special.log_expit(-800.0)
    Tensor(-800.)
    """
    check_real("log_expit", xp, x)
    return xp.minimum(x, 0.0) - xp.log1p(xp.exp(xp.abs(x) * -1.0))


def _log_or_zero(x1: Any, x2: Any, log: Any, edge: float) -> Any:
    none = (x1 == 0) & (x2 <= edge)
    return jt.where(none, 0.0, log(jt.where(none, 1.0, x2)))


@op(
    elementwise=True,
    vjp={"x1": lambda g, x1, x2: g * _log_or_zero(x1, x2, jt.log, 0.0), "x2": lambda g, x1, x2: g * (x1 / x2)},
    domain=(0.2, 3.0),
)
def xlogy(xp: Any, x1: Any, x2: Any, /) -> Any:
    """x1 * log(x2), elementwise; 0 where x1 is 0 and x2 is not NaN. The slope in x1 is 0 where x1 is 0 and x2 <= 0, as PyTorch's.

    >>> from jitrench_scipy import special
    >>> special.xlogy(0.0, 0.0)
    Tensor(0.)
    """
    check_real("xlogy", xp, x1, x2)
    x1, x2 = whole(xp, x1, x2)
    none = (x1 == 0) & (x2 == x2)
    return xp.where(none, 0.0, x1 * xp.log(xp.where(none, 1.0, x2)))


@op(
    elementwise=True,
    vjp={"x1": lambda g, x1, x2: g * _log_or_zero(x1, x2, jt.log1p, -1.0), "x2": lambda g, x1, x2: g * (x1 / (x2 + 1))},
    domain=(0.2, 3.0),
)
def xlog1py(xp: Any, x1: Any, x2: Any, /) -> Any:
    """x1 * log(1 + x2), elementwise; 0 where x1 is 0 and x2 is not NaN. The slope in x1 is 0 where x1 is 0 and x2 <= -1."""
    check_real("xlog1py", xp, x1, x2)
    x1, x2 = whole(xp, x1, x2)
    none = (x1 == 0) & (x2 == x2)
    return xp.where(none, 0.0, x1 * xp.log1p(xp.where(none, 0.0, x2)))


@op(elementwise=True, vjp=lambda g, x: g * (-1 - jt.log(x)), domain=(0.2, 3.0))
def entr(xp: Any, x: Any, /) -> Any:
    """-x * log(x), elementwise, of real x: 0 at 0, where its slope is infinite, and -inf for negative x.

    >>> from jitrench_scipy import special
    >>> import jitrench_core as jt
    >>> special.entr(jt.tensor([0.0, 0.5, 1.0]))
    Tensor([ 0.        ,  0.34657359, -0.        ])
    """
    check_real("entr", xp, x)
    (x,) = whole(xp, x)
    positive = xp.where(x > 0, x, 1.0)
    return xp.where(x < 0, -math.inf, xp.where(x == 0, 0.0, xp.where(x != x, x, -positive * xp.log(positive))))


def _entropy(xp: Any, x1: Any, x2: Any) -> tuple[Any, Any]:
    """x1 * log(x1 / x2), and where that is allowed."""
    inside = (x1 > 0) & (x2 > 0)
    a, b = xp.where(inside, x1, 1.0), xp.where(inside, x2, 1.0)
    near = xp.abs(a - b) < 0.5 * b
    off = xp.where(near, a - b, 0.0)
    return a * xp.where(near, xp.log1p(off / b), xp.log(a) - xp.log(b)), inside


def _outside(xp: Any, x1: Any, x2: Any) -> Any:
    both = x1 + x2
    return xp.where(both != both, both, math.inf)


def _log_ratio(x1: Any, x2: Any) -> Any:
    """log(x1 / x2), whose quotient may overflow, and near 1 is rounded by more than its logarithm."""
    near = abs(x1 - x2) < 0.5 * x2
    off = jt.where(near, x1 - x2, 0.0) / jt.where(near, x2, 1.0)
    return jt.where(near, jt.log1p(off), jt.log(jt.where(near, 1.0, x1)) - jt.log(jt.where(near, 1.0, x2)))


def _share(x1: Any, x2: Any) -> Any:
    """x1 / x2; 0 where x1 is 0."""
    none = x1 == 0
    return jt.where(none, 0.0, x1 / jt.where(none, 1.0, x2))


def _rest(x1: Any, x2: Any) -> Any:
    """1 - x1 / x2, as an exact difference where that is near 0."""
    near = abs(x1 - x2) < 0.5 * x2
    return jt.where(near, (x2 - x1) / jt.where(near, x2, 1.0), 1 - _share(x1, x2))


@op(
    elementwise=True,
    vjp={"x1": lambda g, x1, x2: g * (_log_ratio(x1, x2) + 1), "x2": lambda g, x1, x2: -g * _share(x1, x2)},
    domain=(0.2, 3.0),
)
def rel_entr(xp: Any, x1: Any, x2: Any, /) -> Any:
    """x1 * log(x1 / x2), elementwise; 0 where x1 is 0 and x2 >= 0, infinite where one is negative or x2 alone is 0."""
    check_real("rel_entr", xp, x1, x2)
    x1, x2 = whole(xp, x1, x2)
    value, inside = _entropy(xp, x1, x2)
    return xp.where(inside, value, xp.where((x1 == 0) & (x2 >= 0), 0.0, _outside(xp, x1, x2)))


@op(
    elementwise=True,
    vjp={"x1": lambda g, x1, x2: g * _log_ratio(x1, x2), "x2": lambda g, x1, x2: g * _rest(x1, x2)},
    domain=(0.2, 3.0),
    name="kl_div_elementwise",
)
def kl_div(xp: Any, x1: Any, x2: Any, /) -> Any:
    """x1 * log(x1 / x2) - x1 + x2, elementwise; x2 where x1 is 0 and x2 >= 0, infinite where one is negative or x2 alone is 0.

    SciPy's ``kl_div``; the catalogue's op of that name is jitrench-nn's loss, so this one is ``kl_div_elementwise`` there.
    """
    check_real("kl_div", xp, x1, x2)
    x1, x2 = whole(xp, x1, x2)
    value, inside = _entropy(xp, x1, x2)
    rest = xp.where((x1 == 0) & (x2 >= 0), x2, _outside(xp, x1, x2))
    return xp.where(inside, value - x1 + x2, rest)


# -- quotients that have a limit at 0: near it they and their derivatives are power series ---------------------------

_EXPREL = tuple(1 / (math.factorial(k) * (k + 2)) for k in range(19))  # the slope of exprel at 0 and on
_SINC = tuple((-1) ** (k + 1) * (2 * k + 2) / math.factorial(2 * k + 3) for k in range(12))


def _exprel_slope(x: Any) -> Any:
    near = abs(x) < 1
    inner, outer = jt.where(near, x, 0.0), jt.where(near, 1.0, x)
    low = outer < -700
    outer = jt.where(low, -700.0, outer)
    left = (jt.exp(jt.minimum(outer, 0.0)) - exprel(outer)) / outer
    right = exprel(outer) * (1 - 1 / outer) + 1 / outer  # of x > 0: exp(x) and exprel(x) may both be infinite
    far = jt.where(low, 1 / jt.square(jt.where(low, x, 1.0)), jt.where(outer < 0, left, right))
    return jt.where(near, polynomial(_EXPREL, inner), far)


@op(elementwise=True, vjp=lambda g, x: g * _exprel_slope(x))
def exprel(xp: Any, x: Any, /) -> Any:
    """(exp(x) - 1) / x, elementwise, of real x; 1 at 0, where its derivatives are exact, too."""
    check_real("exprel", xp, x)
    (x,) = whole(xp, x)
    tiny = xp.abs(x) < 1e-8
    limit = math.log(float(xp.finfo(x.dtype).max)) - 0.5
    huge = x > limit  # where exp overflows first
    safe, top = xp.where(tiny | huge, 1.0, x), xp.clip(x, limit, 2 * limit)
    half = xp.exp(xp.where(huge, top, 0.0) / 2)
    return xp.where(huge, half / top * half, xp.where(tiny, 1.0 + x / 2, xp.expm1(safe) / safe))


def _sinc_slope(x: Any) -> Any:
    near = abs(x) < 0.5
    inner, outer = math.pi * jt.where(near, x, 0.0), jt.where(near, 1.0, x)
    turned = jt.cos(math.pi * (outer - 2 * jt.round(outer / 2)))
    return jt.where(near, math.pi * inner * polynomial(_SINC, inner * inner), (turned - sinc(outer)) / outer)


@op(elementwise=True, vjp=lambda g, x: g * _sinc_slope(x))
def sinc(xp: Any, x: Any, /) -> Any:
    """sin(pi * x) / (pi * x), elementwise, of real x; 1 at 0, where its derivatives are exact, too."""
    check_real("sinc", xp, x)
    (x,) = whole(xp, x)
    safe = xp.where(x == 0, 1.0, x)
    return xp.where(x == 0, 1.0, xp.sin(math.pi * (safe - 2.0 * xp.round(safe / 2.0))) / (math.pi * safe))


OPS = (logit, log_expit, xlogy, xlog1py, entr, rel_entr, kl_div, exprel, sinc)
KERNELS = kernels(OPS, own=("kl_div_elementwise", "sinc")) | {
    ("kl_div_elementwise", name): kernel("kl_div", name) for name in ("numpy", "cupy")
}
