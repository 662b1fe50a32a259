"""Bessel's functions, modified, exponentially scaled and spherical ones, and Airy's.

They are differentiable in x, to any order; the order v or n has no rule, and asking for it raises ``GradientError``,
but for ``kv`` and ``kve``.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jitrench_core as jt
from jitrench_core import op

from .table import check_real, choose, in_blocks, kernel, kernels, polynomial, refuse, whole


def _of_order(op_name: str, name: str = "v") -> Any:
    return refuse(op_name, name, "there is one in x alone")


# -- of order 0 and 1 -----------------------------------------------------------------------------------------------

# The slopes of j1 and i1 in powers of x^2: J1(x) / x and J0(x) cancel near 0.
_J1 = tuple((-1) ** k * (2 * k + 1) / (2 ** (2 * k + 1) * math.factorial(k) * math.factorial(k + 1)) for k in range(11))
_I1 = tuple(abs(c) for c in _J1)


def _slope_of_first(zeroth: Any, first: Any, series: tuple[float, ...], x: Any) -> Any:
    """f0(x) - f1(x) / x, near 0 by its series."""
    near = abs(x) < 1
    inner, outer = jt.where(near, x, 0.0), jt.where(near, 1.0, x)
    return jt.where(near, polynomial(series, inner * inner), zeroth(outer) - first(outer) / outer)


def _i1e_slope(x: Any, y: Any) -> Any:
    near = abs(x) < 1
    inner, outer = jt.where(near, x, 0.0), jt.where(near, 1.0, x)
    slope = jt.where(near, polynomial(_I1, inner * inner) * jt.exp(-abs(inner)), i0e(outer) - i1e(outer) / outer)
    return slope - jt.sign(x) * y


def _not_at_0(x: Any, y: Any) -> Any:
    """y, and 1 where x is 0: of two terms that are infinite there, the smaller is made finite."""
    return jt.where(x == 0, 1.0, y)


@op(elementwise=True, vjp=lambda g, x: -g * j1(x))
def j0(xp: Any, x: Any, /) -> Any:
    """Bessel's function of the first kind and order 0, elementwise, of real x.

    >>> from jitrench_scipy import special
    >>> special.j0(1.0)
    Tensor(0.76519769)
    """
    return NotImplemented


@op(elementwise=True, vjp=lambda g, x: g * _slope_of_first(j0, j1, _J1, x))
def j1(xp: Any, x: Any, /) -> Any:
    """Bessel's function of the first kind and order 1, elementwise, of real x."""
    return NotImplemented


@op(elementwise=True, vjp=lambda g, x: -g * y1(x), domain=(0.5, 4.0))
def y0(xp: Any, x: Any, /) -> Any:
    """Bessel's function of the second kind and order 0, elementwise, of x > 0; -inf at 0."""
    return NotImplemented


@op(elementwise=True, vjp=lambda g, x, y: g * (y0(_not_at_0(x, x)) - y / x), domain=(0.5, 4.0))
def y1(xp: Any, x: Any, /) -> Any:
    """Bessel's function of the second kind and order 1, elementwise, of x > 0; -inf at 0."""
    return NotImplemented


@op(elementwise=True, vjp=lambda g, x: g * i1(x))
def i0(xp: Any, x: Any, /) -> Any:
    """The modified Bessel function of the first kind and order 0, elementwise, of real x."""
    return NotImplemented


@op(elementwise=True, vjp=lambda g, x: g * _slope_of_first(i0, i1, _I1, x))
def i1(xp: Any, x: Any, /) -> Any:
    """The modified Bessel function of the first kind and order 1, elementwise, of real x."""
    return NotImplemented


@op(elementwise=True, vjp=lambda g, x, y: g * (i1e(x) - jt.sign(x) * y), domain=(0.2, 3.0))
def i0e(xp: Any, x: Any, /) -> Any:
    """exp(-|x|) * i0(x), elementwise, of real x; its slope at 0 is 0, as PyTorch's."""
    return NotImplemented


@op(elementwise=True, vjp=lambda g, x, y: g * _i1e_slope(x, y), domain=(0.2, 3.0))
def i1e(xp: Any, x: Any, /) -> Any:
    """exp(-|x|) * i1(x), elementwise, of real x."""
    return NotImplemented


@op(elementwise=True, vjp=lambda g, x: -g * k1(x), domain=(0.5, 4.0))
def k0(xp: Any, x: Any, /) -> Any:
    """The modified Bessel function of the second kind and order 0, elementwise, of x > 0; infinite at 0."""
    return NotImplemented


@op(elementwise=True, vjp=lambda g, x, y: -g * (k0(x) + y / x), domain=(0.5, 4.0))
def k1(xp: Any, x: Any, /) -> Any:
    """The modified Bessel function of the second kind and order 1, elementwise, of x > 0; infinite at 0."""
    return NotImplemented


@op(elementwise=True, vjp=lambda g, x, y: g * (_not_at_0(x, y) - k1e(x)), domain=(0.5, 4.0))
def k0e(xp: Any, x: Any, /) -> Any:
    """exp(x) * k0(x), elementwise, of x > 0."""
    return NotImplemented


@op(elementwise=True, vjp=lambda g, x, y: g * (_not_at_0(x, y) - k0e(_not_at_0(x, x)) - y / x), domain=(0.5, 4.0))
def k1e(xp: Any, x: Any, /) -> Any:
    """exp(x) * k1(x), elementwise, of x > 0."""
    return NotImplemented


# -- of any order ---------------------------------------------------------------------------------------------------


def _orders(rng: Any) -> Any:
    return (rng.integers(0, 4, (2, 3)), rng.uniform(0.5, 4.0, (2, 3))), {}


@op(
    elementwise=True,
    vjp={"v": _of_order("jv"), "x": lambda g, v, x: g * (0.5 * (jv(v - 1, x) - jv(v + 1, x)))},
    samples=_orders,
)
def jv(xp: Any, v: Any, x: Any, /) -> Any:
    """Bessel's function of the first kind and real order v, elementwise; x is real, and not negative where v is not whole.

    ``jn`` is another name of it. There is no derivative in v.

    >>> from jitrench_scipy import special
    >>> import jitrench_core as jt
    >>> jt.grad(lambda x: special.jv(0, x))(1.0)  # -j1(1)
    Tensor(-0.44005059)
    """
    return NotImplemented


@op(
    elementwise=True,
    vjp={"v": _of_order("yv"), "x": lambda g, v, x: g * (0.5 * (yv(v - 1, x) - yv(v + 1, x)))},
    samples=_orders,
)
def yv(xp: Any, v: Any, x: Any, /) -> Any:
    """Bessel's function of the second kind and real order v, elementwise, of x > 0. There is no derivative in v."""
    return NotImplemented


@op(
    elementwise=True,
    vjp={"n": None, "x": lambda g, n, x: g * (0.5 * (yn(n - 1, x) - yn(n + 1, x)))},
    samples=_orders,
)
def yn(xp: Any, n: Any, x: Any, /) -> Any:
    """Bessel's function of the second kind and whole order n, a constant, elementwise, of x > 0."""
    return NotImplemented


@op(
    elementwise=True,
    vjp={"v": _of_order("iv"), "x": lambda g, v, x: g * (0.5 * (iv(v - 1, x) + iv(v + 1, x)))},
    samples=_orders,
)
def iv(xp: Any, v: Any, x: Any, /) -> Any:
    """The modified Bessel function of the first kind and real order v, elementwise. There is no derivative in v."""
    return NotImplemented


@op(
    elementwise=True,
    vjp={
        "v": _of_order("ive"),
        "x": lambda g, v, x, y: g * (0.5 * (ive(v - 1, x) + ive(v + 1, x)) - jt.sign(x) * y),
    },
    samples=_orders,
)
def ive(xp: Any, v: Any, x: Any, /) -> Any:
    """exp(-|x|) * iv(v, x), elementwise. There is no derivative in v."""
    return NotImplemented


_DEEP = 46.0  # exp(-46) is 1e-20: beyond that the integrand is nothing
_STEPS = 400


def _integral(xp: Any, v: Any, x: Any, order: int) -> Any:
    """The derivative of kve in v: of exp(-x (cosh(t) - 1)) cosh(v t), the integral over t > 0, by the trapezoidal rule.

    That converges as fast as any rule where the integrand's odd derivatives vanish at both ends.
    """
    check_real("kve", xp, v, x)
    v, x = xp.broadcast_arrays(*whole(xp, v, x))
    return in_blocks(xp, partial(_block, xp, order), v, x)


def _block(xp: Any, order: int, v: Any, given: Any) -> Any:
    fine = (given > 0) & (given < math.inf)
    x, n = xp.where(fine, given, 1.0)[..., None], xp.abs(v)[..., None]
    size = xp.sqrt(x * x + n * n)
    peak = xp.asinh(n / x)
    low = xp.maximum(peak - 1.0 - _DEEP / xp.maximum(n, 0.01) - xp.sqrt(2 * _DEEP / xp.maximum(n, 0.01)), 0.0 * peak)
    step = (peak + xp.acosh(1 + _DEEP / size) - low) / _STEPS
    t = low + step * xp.arange(_STEPS + 1, dtype=x.dtype, device=x.device)
    twin = xp.exp(-2 * n * t) * (-1.0 if order % 2 else 1.0)
    parts = t**order * xp.exp(n * t - 2 * x * xp.sinh(t / 2) ** 2) * (1 + twin) / 2
    y = step[..., 0] * (xp.sum(parts, axis=-1) - 0.5 * (parts[..., 0] + parts[..., -1]))
    y = xp.where(fine, y, xp.where(given > 0, 0.0, xp.where(given == 0, math.inf, given + math.nan)))
    return y if order % 2 == 0 else xp.where(v < 0, -y, y)


@op(
    elementwise=True,
    vjp={
        "v": lambda g, v, x: g * (jt.exp(-x) * kve_v(v, x, order=1)),
        "x": lambda g, v, x: -g * (0.5 * (kv(v - 1, x) + kv(v + 1, x))),
    },
    samples=_orders,
)
def kv(xp: Any, v: Any, x: Any, /) -> Any:
    """The modified Bessel function of the second kind and real order v, elementwise, of x > 0; differentiable in both."""
    _, decay = whole(xp, v, x)
    return _integral(xp, v, x, 0) * xp.exp(-decay)


@op(
    elementwise=True,
    vjp={
        "v": lambda g, v, x: g * kve_v(v, x, order=1),
        "x": lambda g, v, x, y: g * (y - 0.5 * (kve(v - 1, x) + kve(v + 1, x))),
    },
    samples=_orders,
)
def kve(xp: Any, v: Any, x: Any, /) -> Any:
    """exp(x) * kv(v, x), elementwise, of x > 0; differentiable in both."""
    return _integral(xp, v, x, 0)


@op(
    elementwise=True,
    vjp={
        "v": lambda g, v, x, order: g * kve_v(v, x, order=order + 1),
        "x": lambda g, v, x, y, order: g * (y - 0.5 * (kve_v(v - 1, x, order=order) + kve_v(v + 1, x, order=order))),
    },
    samples=lambda rng: ((rng.uniform(0.2, 3.0, (2, 3)), rng.uniform(0.5, 4.0, (2, 3))), {"order": 1}),
)
def kve_v(xp: Any, v: Any, x: Any, /, order: int) -> Any:
    """The derivative of ``kve`` in v, of an ``order`` from 1 on, elementwise, of x > 0.

    It is computed from its integral (NIST's Digital Library of Mathematical Functions, 10.32.9).
    """
    return _integral(xp, v, x, order)


# -- spherical ------------------------------------------------------------------------------------------------------


def _spherical(name: str, below: int, above: int) -> Any:
    """(±n f(n - 1) ± (n + 1) f(n + 1)) / (2n + 1): no quotient by x, so that it holds at 0, too."""

    def rule(g: Any, n: Any, x: Any) -> Any:
        f = globals()[name]
        first = n < 1
        lower = choose(first, 0.0, f(choose(first, 1, n) - 1, x))
        return g * ((below * n * lower + above * (n + 1) * f(n + 1, x)) / (2 * n + 1))

    return {"n": None, "x": rule}


@op(elementwise=True, vjp=_spherical("spherical_jn", 1, -1), samples=_orders)
def spherical_jn(xp: Any, n: Any, x: Any, /) -> Any:
    """The spherical Bessel function of the first kind and whole order n from 0 on, a constant, elementwise, of real x.

    >>> from jitrench_scipy import special
    >>> special.spherical_jn(0, 1.0)  # sin(1) / 1
    Tensor(0.84147098)
    """
    return NotImplemented


@op(elementwise=True, vjp=_spherical("spherical_yn", 1, -1), samples=_orders)
def spherical_yn(xp: Any, n: Any, x: Any, /) -> Any:
    """The spherical Bessel function of the second kind and whole order n from 0 on, a constant, elementwise, of real x."""
    return NotImplemented


@op(elementwise=True, vjp=_spherical("spherical_in", 1, 1), samples=_orders)
def spherical_in(xp: Any, n: Any, x: Any, /) -> Any:
    """The modified spherical Bessel function of the first kind and whole order n from 0 on, a constant, elementwise, of real x."""
    return NotImplemented


@op(elementwise=True, vjp=_spherical("spherical_kn", -1, -1), samples=_orders)
def spherical_kn(xp: Any, n: Any, x: Any, /) -> Any:
    """The modified spherical Bessel function of the second kind and whole order n from 0 on, a constant, elementwise, of x > 0."""
    return NotImplemented


# -- Airy -----------------------------------------------------------------------------------------------------------


def _airy_slope(g: Any, x: Any, y: Any) -> Any:
    """Bi and Bi' overflow: an output that nothing depends on has no share there."""
    kept = lambda g, y: jt.where((g == 0) & ~jt.isfinite(y), 0.0, y)  # noqa: E731
    return g[0] * y[1] + g[1] * (x * y[0]) + g[2] * kept(g[2], y[3]) + g[3] * (x * kept(g[3], y[2]))


@op(elementwise=True, outputs=4, vjp=_airy_slope)
def airy(xp: Any, x: Any, /) -> Any:
    """Airy's functions Ai and Bi and their derivatives, elementwise, of real x: Ai, Ai', Bi and Bi'.

    >>> from jitrench_scipy import special
    >>> import jitrench_core as jt
    >>> ai, slope, *_ = special.airy(0.5)
    >>> slope, jt.grad(lambda x: special.airy(x)[0])(0.5)
    (Tensor(-0.22491053), Tensor(-0.22491053))
    """
    return NotImplemented


@airy.jvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    y = airy(x)
    return y, (t * y[1], t * (x * y[0]), t * y[3], t * (x * y[2]))


jn = jv
SPHERICAL = (spherical_jn, spherical_yn, spherical_in, spherical_kn)
OPS = (j0, j1, y0, y1, i0, i0e, i1, i1e, k0, k0e, k1, k1e, jv, yv, yn, iv, ive, kv, kve, kve_v, airy, *SPHERICAL)
KERNELS = kernels(OPS, own=[f.op.name for f in (*SPHERICAL, yn, kve_v)])
KERNELS |= {(f.op.name, "numpy"): kernel(f.op.name, "numpy", orders=(0,)) for f in SPHERICAL}
KERNELS |= {("yn", name): kernel("yn", name, orders=(0,)) for name in ("numpy", "cupy")}
KERNELS["spherical_yn", "cupy"] = kernel("spherical_yn", "cupy", orders=(0,))
