"""Elementwise ops: arithmetic, exponentials, trigonometry, activations of the core, comparisons and logic.

At kinks and ties the convention is PyTorch's: ``abs`` and ``relu`` have slope 0 at 0, ``maximum`` and ``minimum`` share
a tie half and half, and ``clip`` passes the gradient on its bounds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..backend import dtype_of
from ..errors import DTypeError
from ..op import binary, op, unary, zero
from ..tensor import Tensor
from .creation import full_like, zeros_like

# -- arithmetic -----------------------------------------------------------------------------------------------------

add = binary("add", "x1 + x2, elementwise.", vjp={"x1": lambda g: g, "x2": lambda g: g})
subtract = binary("subtract", "x1 - x2, elementwise.", vjp={"x1": lambda g: g, "x2": lambda g: -g})
multiply = binary("multiply", "x1 * x2, elementwise.", vjp={"x1": lambda g, x2: g * x2, "x2": lambda g, x1: g * x1})
divide = binary(
    "divide",
    "x1 / x2, elementwise.",
    vjp={"x1": lambda g, x2: g / x2, "x2": lambda g, x2, y: -g * y / x2},
    domain=(0.5, 3.0),
)
floor_divide = binary(
    "floor_divide", "The floor of x1 / x2; its gradient is zero.", vjp={"x1": zero, "x2": zero}, domain=(0.5, 3.0)
)
remainder = binary(
    "remainder",
    "x1 - x2 * floor(x1 / x2), with the sign of x2.",
    vjp={"x1": lambda g: g, "x2": lambda g, x1, x2: -g * floor_divide(x1, x2)},  # floor(1 / 0.1) is 10, 1 // 0.1 is 9
    domain=(0.5, 3.0),
)
negative = unary("negative", "-x, elementwise.", vjp=lambda g: -g)
positive = unary("positive", "A copy of x.", vjp=lambda g: g)


# -- complex numbers. A rule holds no conj but where the op itself does; the loop takes the real part for a real input -----


def _of_sign(x: Any) -> Any:
    return conj(sign(x)) if x.dtype.kind == "c" else sign(x)


def _sign_vjp(g: Any, x: Any, y: Any) -> Any:
    """Zero for real x. sign(x) = x / |x| of complex x turns with it: only what is across x counts."""
    if x.dtype.kind != "c":
        return zeros_like(g)
    across = g - real(g * y) * conj(y)
    return where(x == 0, 0.0, across / where(x == 0, 1.0, abs(x)))


abs = unary(
    "abs",
    "|x|, elementwise, real also for complex x; its slope at 0 is 0.",
    vjp=lambda g, x: g * _of_sign(x),
    domain=(0.2, 3.0),
)
sign = unary(
    "sign",
    "-1, 0 or 1, elementwise, with a gradient of zero; x / |x| for complex x.",
    vjp=_sign_vjp,
    domain=(0.2, 3.0),
)


@sign.jvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    y = sign(x)
    if x.dtype.kind != "c":
        return y, None
    return y, where(x == 0, 0.0, (t - real(t * conj(y)) * y) / where(x == 0, 1.0, abs(x)))


@op(elementwise=True, linear=("x",), vjp=lambda g: conj(g))
def conj(xp: Any, x: Any, /) -> Any:
    """The complex conjugate; x itself where it is real."""
    return xp.conj(x) if xp.isdtype(x.dtype, "complex floating") else xp.positive(x)


@op(elementwise=True, linear=("x",), vjp=lambda g: g)
def real(xp: Any, x: Any, /) -> Any:
    """The real part; x itself where it is real."""
    return xp.real(x) if xp.isdtype(x.dtype, "complex floating") else xp.positive(x)


@op(elementwise=True, linear=("x",), vjp=lambda g, x_dtype: g * -1j if x_dtype.kind == "c" else zeros_like(g))
def imag(xp: Any, x: Any, /) -> Any:
    """The imaginary part; zeros where x is real."""
    return xp.imag(x) if xp.isdtype(x.dtype, "complex floating") else xp.zeros_like(x)


# -- rounding -------------------------------------------------------------------------------------------------------

floor = unary("floor", "The largest integer not above x; its gradient is zero.", vjp=zero, domain=(0.2, 0.8))
ceil = unary("ceil", "The smallest integer not below x; its gradient is zero.", vjp=zero, domain=(0.2, 0.8))
trunc = unary("trunc", "The integer nearest to x towards zero; its gradient is zero.", vjp=zero, domain=(0.2, 0.8))
round = unary("round", "The nearest integer, halves to even; its gradient is zero.", vjp=zero, domain=(0.6, 1.4))
square = unary("square", "x * x, elementwise.", vjp=lambda g, x: g * (2 * x))
reciprocal = unary("reciprocal", "1 / x, elementwise.", vjp=lambda g, y: -g * (y * y), domain=(0.3, 3.0))


def _pow_x1(g: Any, x1: Any, x2: Any) -> Any:
    """x2 * x1**(x2 - 1); exactly zero where x2 is 0, also at x1 = 0."""
    if isinstance(x2, (int, float)):
        return g * (2 * x1) if x2 == 2 else g * (x2 * x1 ** (x2 - 1)) if x2 else g * 0
    return g * (x2 * where((x2 == 0) & (x1 == 0), 1.0, x1) ** (x2 - 1.0))  # an unsigned 0 - 1 is no -1


def _pow_x2(g: Any, x1: Any, x2: Any, y: Any) -> Any:
    """y * log(x1); zero where x1 is 0 and x2 (its real part) is not negative."""
    if g.dtype.kind == "c":
        base = x1 + zeros_like(g) if type(x1) is Tensor else full_like(g, x1)
        flat = (base == 0) & (real(x2) >= 0 if type(x2) is Tensor else x2.real >= 0)
        return g * where(flat, 0.0, y * log(where(flat, 1.0, base)))
    if isinstance(x1, (int, float)):
        return g * (y * math.log(x1)) if x1 > 0 else where(x2 >= 0, g * 0, g * math.nan) if x1 == 0 else g * math.nan
    flat = (x1 == 0) & (x2 >= 0)
    return g * where(flat, 0.0, y * log(where(flat, 1.0, x1)))


pow = binary("pow", "x1 to the power x2, elementwise.", vjp={"x1": _pow_x1, "x2": _pow_x2}, domain=(0.5, 2.5))


def _kind(x: Any) -> Any:
    """That of an operand's dtype, of a number, too."""
    return getattr(getattr(x, "dtype", None), "kind", {int: "i", float: "f", complex: "c"}.get(type(x)))


@pow.check
def _(x1: Any, x2: Any, /) -> None:
    if all(_kind(x) in ("i", "u") for x in (x1, x2)):
        raise DTypeError("pow(): integers to a negative power are no integers: make the power a float, as in x ** -1.0")


# -- exponentials and logarithms ------------------------------------------------------------------------------------

exp = unary("exp", "e to the power x.", vjp=lambda g, y: g * y)
expm1 = unary("expm1", "exp(x) - 1, exact near 0.", vjp=lambda g, y: g * (y + 1))
log = unary("log", "The natural logarithm.", vjp=lambda g, x: g / x, domain=(0.1, 5.0))
log1p = unary("log1p", "log(1 + x), exact near 0.", vjp=lambda g, x: g / (1 + x), domain=(-0.5, 5.0))
log2 = unary("log2", "The logarithm to base 2.", vjp=lambda g, x: g / (x * math.log(2)), domain=(0.1, 5.0))
log10 = unary("log10", "The logarithm to base 10.", vjp=lambda g, x: g / (x * math.log(10)), domain=(0.1, 5.0))
sqrt = unary("sqrt", "The square root; its slope at 0 is infinite.", vjp=lambda g, y: g / (2 * y), domain=(0.1, 5.0))


@op(elementwise=True, vjp=lambda g, y: g * (-0.5 * y * y * y), domain=(0.3, 5.0))
def rsqrt(xp: Any, x: Any, /) -> Any:
    """1 / sqrt(x), elementwise."""
    return 1.0 / xp.sqrt(x)


def _share(g: Any, x: Any, other: Any, y: Any) -> Any:
    """The share of exp(x) in exp(y), exact for large y, too; 0 where both are 0, as in ``logsumexp``."""
    return g * sigmoid(x - where(y == -math.inf, 0.0, other))


logaddexp = binary(
    "logaddexp",
    "log(exp(x1) + exp(x2)), elementwise, without overflow.",
    vjp={"x1": lambda g, x1, x2, y: _share(g, x1, x2, y), "x2": lambda g, x1, x2, y: _share(g, x2, x1, y)},
)


def _hypot_vjp(g: Any, x: Any, y: Any) -> Any:
    return g * where(y == 0, 0.0, x / where(y == 0, 1.0, y))


hypot = binary(
    "hypot",
    "sqrt(x1^2 + x2^2), elementwise, without overflow; its slopes at the origin are 0.",
    vjp={"x1": lambda g, x1, y: _hypot_vjp(g, x1, y), "x2": lambda g, x2, y: _hypot_vjp(g, x2, y)},
    domain=(0.2, 3.0),
)

# -- trigonometric and hyperbolic -----------------------------------------------------------------------------------

sin = unary("sin", "The sine of x, in radians.", vjp=lambda g, x: g * cos(x))
cos = unary("cos", "The cosine of x, in radians.", vjp=lambda g, x: -g * sin(x))
tan = unary("tan", "The tangent of x, in radians.", vjp=lambda g, y: g * (1 + y * y), domain=(-1.2, 1.2))
asin = unary("asin", "The inverse sine.", vjp=lambda g, x: g / sqrt(1 - x * x), domain=(-0.9, 0.9))
acos = unary("acos", "The inverse cosine.", vjp=lambda g, x: -g / sqrt(1 - x * x), domain=(-0.9, 0.9))
atan = unary("atan", "The inverse tangent.", vjp=lambda g, x: g / (1 + x * x))
sinh = unary("sinh", "The hyperbolic sine.", vjp=lambda g, x: g * cosh(x))
cosh = unary("cosh", "The hyperbolic cosine.", vjp=lambda g, x: g * sinh(x))
tanh = unary("tanh", "The hyperbolic tangent.", vjp=lambda g, y: g * (1 - y * y))
asinh = unary("asinh", "The inverse hyperbolic sine.", vjp=lambda g, x: g / sqrt(1 + x * x))
acosh = unary(
    "acosh",
    "The inverse hyperbolic cosine.",
    # two roots: of complex x the root of the product may be its negative; and -0j + 1 would be 1 + 0j, across the cut
    vjp=lambda g, x: g / (sqrt(x - 1) * sqrt(x - -1)),
    domain=(1.2, 4.0),
)
atanh = unary("atanh", "The inverse hyperbolic tangent.", vjp=lambda g, x: g / (1 - x * x), domain=(-0.9, 0.9))


def _over_r2(x: Any, x1: Any, x2: Any) -> Any:
    """x / (x1^2 + x2^2); zero at the origin."""
    r2 = x1 * x1 + x2 * x2
    return where(r2 == 0, 0.0, x / where(r2 == 0, 1.0, r2))


atan2 = binary(
    "atan2",
    "The angle of the point (x2, x1), in radians; its slopes at the origin are 0.",
    vjp={"x1": lambda g, x1, x2: g * _over_r2(x2, x1, x2), "x2": lambda g, x1, x2: -g * _over_r2(x1, x1, x2)},
    domain=(0.3, 2.0),
)

# -- activations that any array user needs ---------------------------------------------------------------------------


@op(elementwise=True, vjp=lambda g, y: g * (y * (1 - y)))
def sigmoid(xp: Any, x: Any, /) -> Any:
    """1 / (1 + exp(-x)), without overflow on either side."""
    size = xp.abs(x)
    if size.dtype != x.dtype:  # complex
        left = xp.real(x) < 0
        e = xp.exp(xp.where(left, x, -x))
        return xp.where(left, e, xp.ones_like(e)) / (1.0 + e)
    # where() takes twice as long on random signs; -size of unsigned integers is none
    return xp.exp(xp.minimum(x, 0.0)) / (1.0 + xp.exp(size * -1.0))


@op(elementwise=True, vjp=lambda g, y: where(y <= 0, 0.0, g), domain=(0.2, 3.0))
def relu(xp: Any, x: Any, /) -> Any:
    """The larger of x and 0, elementwise, of real x; its slope at 0 is 0."""
    if dtype_of(x).kind == "c":
        raise TypeError("complex numbers have no order: relu takes real ones")
    return xp.maximum(x, 0)


@op(elementwise=True, vjp=lambda g, x: g * sigmoid(x))
def softplus(xp: Any, x: Any, /) -> Any:
    """log(1 + exp(x)), elementwise, of real x, without overflow."""
    if dtype_of(x).kind == "c":
        raise TypeError("softplus of complex numbers is not implemented; it takes real ones")
    return xp.maximum(x, 0.0) + xp.log1p(xp.exp(xp.abs(x) * -1.0))


# -- choosing -------------------------------------------------------------------------------------------------------


def _larger_x1(g: Any, x1: Any, x2: Any) -> Any:
    return where(x1 < x2, 0.0, where(x1 == x2, g / 2, g))


def _smaller_x1(g: Any, x1: Any, x2: Any) -> Any:
    return where(x1 > x2, 0.0, where(x1 == x2, g / 2, g))


maximum = binary(
    "maximum",
    "The larger of x1 and x2; a tie shares the gradient half and half.",
    vjp={"x1": _larger_x1, "x2": lambda g, x1, x2: _larger_x1(g, x2, x1)},
)
minimum = binary(
    "minimum",
    "The smaller of x1 and x2; a tie shares the gradient half and half.",
    vjp={"x1": _smaller_x1, "x2": lambda g, x1, x2: _smaller_x1(g, x2, x1)},
)


@op(
    elementwise=True,
    vjp={
        "condition": None,
        "x1": lambda g, condition: where(condition, g, 0.0),
        "x2": lambda g, condition: where(condition, 0.0, g),
    },
    samples=lambda rng: ((rng.normal(size=(2, 3)) > 0, rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), {}),
)
def where(xp: Any, condition: Any, x1: Any, x2: Any, /) -> Any:
    """x1 where the boolean ``condition`` holds, else x2; the one not selected gets a gradient of exactly zero.

    Both sides are computed before one is chosen, so a derivative that is infinite on the side not taken still meets that
    zero, as in ``where(x > 0, sqrt(x), 0)`` at 0. Guard the argument, too: ``where(x > 0, sqrt(where(x > 0, x, 1.0)), 0.0)``.

    >>> import jitrench_core as jt
    >>> f = lambda x: jt.where(x > 0, jt.sqrt(jt.where(x > 0, x, 1.0)), 0.0)
    >>> jt.grad(f)(0.0), jt.grad(f)(4.0)
    (Tensor(0.), Tensor(0.25))
    """
    if not (hasattr(x1, "shape") or hasattr(x2, "shape")):
        # the core's dtypes, not the library's defaults
        names = {bool: "bool", int: "int64", float: "float64", complex: "complex128"}
        kind = bool if type(x1) is type(x2) is bool else type(x1 + x2)
        x1 = xp.asarray(x1, dtype=getattr(xp, names[kind]), device=condition.device)
    return xp.where(condition, x1, x2)


def _clip_x(g: Any, x: Any, min: Any, max: Any) -> Any:
    inside = x == x if min is None and max is None else True
    if min is not None:
        inside = x >= min
    if max is not None:
        inside = (x <= max) if inside is True or min is None else inside & (x <= max)
    return where(inside, g, 0.0)


@op(
    elementwise=True,
    vjp={
        "x": _clip_x,
        "min": lambda g, x, min, max: where(x < min if max is None else (x < min) & (min < max), g, 0.0),
        "max": lambda g, x, min, max: where(x > max if min is None else (x > max) | (max < min), g, 0.0),
    },
    samples=lambda rng: ((rng.normal(size=(3, 4)), rng.uniform(-0.8, -0.2, (3, 4)), rng.uniform(0.2, 0.8, (3, 4))), {}),
    name="clip",
)
def _clip(xp: Any, x: Any, min: Any = None, max: Any = None, /) -> Any:
    """x, limited to [min, max]; None is no limit. On a bound the gradient passes to x."""
    if min is not None:
        x = xp.maximum(x, min)
    if max is not None:
        x = xp.minimum(x, max)
    return x if min is not None or max is not None else xp.positive(x)


if TYPE_CHECKING:

    def clip(x: Any, /, min: Any = None, max: Any = None) -> Tensor: ...

else:
    clip = _clip
    clip.__wrapped__ = lambda x, /, min=None, max=None: None  # an array may come by its name


copysign = binary(
    "copysign",
    "|x1| with the sign of x2, elementwise; its slope is 0 where x1 is 0, and in x2.",
    vjp={"x1": lambda g, x1, y: g * (sign(x1) * sign(y)), "x2": zero},
    domain=(0.2, 3.0),
)
nextafter = binary(
    "nextafter",
    "The next representable number from x1 towards x2, elementwise; its slope in x1 is 1.",
    vjp={"x1": lambda g: g, "x2": zero},
)

# -- comparisons and logic: nothing is recorded ----------------------------------------------------------------------

_NONE = {"x1": None, "x2": None}


def _booleans(n: int) -> Any:
    return lambda rng: (tuple(rng.integers(0, 2, size=(2, 3)) > 0 for _ in range(n)), {})


def _integers(n: int) -> Any:
    return lambda rng: (tuple(rng.integers(0, 8, size=(2, 3)) for _ in range(n)), {})


equal = binary("equal", "x1 == x2, elementwise.", vjp=_NONE)
not_equal = binary("not_equal", "x1 != x2, elementwise.", vjp=_NONE)
less = binary("less", "x1 < x2, elementwise.", vjp=_NONE)
less_equal = binary("less_equal", "x1 <= x2, elementwise.", vjp=_NONE)
greater = binary("greater", "x1 > x2, elementwise.", vjp=_NONE)
greater_equal = binary("greater_equal", "x1 >= x2, elementwise.", vjp=_NONE)
logical_and = binary("logical_and", "x1 and x2, elementwise, of booleans.", vjp=_NONE, samples=_booleans(2))
logical_or = binary("logical_or", "x1 or x2, elementwise, of booleans.", vjp=_NONE, samples=_booleans(2))
logical_xor = binary(
    "logical_xor", "Exactly one of x1 and x2, elementwise, of booleans.", vjp=_NONE, samples=_booleans(2)
)
logical_not = unary("logical_not", "not x, elementwise, of booleans.", vjp=None, samples=_booleans(1))
bitwise_and = binary("bitwise_and", "x1 & x2, elementwise, of integers or booleans.", vjp=_NONE, samples=_integers(2))
bitwise_or = binary("bitwise_or", "x1 | x2, elementwise, of integers or booleans.", vjp=_NONE, samples=_integers(2))
bitwise_xor = binary("bitwise_xor", "x1 ^ x2, elementwise, of integers or booleans.", vjp=_NONE, samples=_integers(2))
bitwise_invert = unary("bitwise_invert", "~x, elementwise, of integers or booleans.", vjp=None, samples=_integers(1))
bitwise_left_shift = binary(
    "bitwise_left_shift", "x1 << x2, elementwise, of integers.", vjp=_NONE, samples=_integers(2)
)
bitwise_right_shift = binary(
    "bitwise_right_shift", "x1 >> x2, elementwise, of integers.", vjp=_NONE, samples=_integers(2)
)


def _no_bits(*arrays: Any) -> None:
    if any(_kind(x) in ("f", "c") for x in arrays):
        raise DTypeError(
            "&, |, ^, ~, << and >> (bitwise_and and the like) take integers or booleans, not floating-point numbers. Comparisons need "
            "parentheses there: (x > 1) & (x < 3)"
        )


for _op in (bitwise_and, bitwise_or, bitwise_xor, bitwise_invert, bitwise_left_shift, bitwise_right_shift):
    _op.check(_no_bits)
isfinite = unary("isfinite", "Whether x is neither infinite nor NaN.", vjp=None)
isinf = unary("isinf", "Whether x is infinite.", vjp=None)
isnan = unary("isnan", "Whether x is NaN.", vjp=None)
signbit = unary("signbit", "Whether the sign of x is negative, also of -0.0 and NaN.", vjp=None)
