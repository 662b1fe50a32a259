"""Functions of single elements that the standard does not have, each as one kernel; float16 is computed in float32.

The tables hold CUDA C++ expressions of ``a``, the element of x, and of attributes by their names; ``b`` and ``c`` are those of further
operands. They are NaN where an operand is.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cupy as cp

WIDE = """
template <typename T> struct Wide { typedef T type; };
template <> struct Wide<float16> { typedef float type; };
template <typename A> __device__ A within(A low, A a, A high) { return a < low ? low : a > high ? high : a; }
template <typename A> __device__ A floored_log(A a) { return a == A(0) ? A(-100) : log(a) < A(-100) ? A(-100) : log(a); }
template <typename A> __device__ A bell(A a) { return exp(A(-0.5) * a * a) * A(0.3989422804014327); }
template <typename A> __device__ A below(A a) { return A(0.5) * erfc(A(-0.7071067811865476) * a); }
template <typename A> __device__ A tanh_inner(A a) {
    return tanh(A(0.7978845608028654) * (a + A(0.044715) * (a * a * a)));
}
"""

# By the op: the attributes that it takes and what they are where they are not given, and the expression.
OF_ONE = {
    "erf": ("", "erf(a)"),
    "erfc": ("", "erfc(a)"),
    "rsqrt": ("", "A(1) / sqrt(a)"),
    "sigmoid": ("", "a < A(0) ? exp(a) / (A(1) + exp(a)) : A(1) / (A(1) + exp(-a))"),
    "softplus": ("", "(a > A(0) ? a : A(0)) + log1p(exp(-(a < A(0) ? -a : a)))"),
    "silu": ("", "a * (a < A(0) ? exp(a) / (A(1) + exp(a)) : A(1) / (A(1) + exp(-a)))"),
    "leaky_relu": ("negative_slope=0.01", "a > A(0) ? a : a * A(negative_slope)"),
    "exponential_unit": ("alpha=1 scale=1 rate=1", "A(scale) * (a > A(0) ? a : A(alpha) * expm1(a * A(rate)))"),
    "hardtanh": ("min_val=-1 max_val=1", "within(A(min_val), a, A(max_val))"),
    "hardsigmoid": ("", "within(A(0), a + A(3), A(6)) / A(6)"),
    "hardswish": ("", "a * (within(A(0), a + A(3), A(6)) / A(6))"),
    "hardshrink": ("lambd=0.5", "(a < A(0) ? -a : a) <= A(lambd) ? a * A(0) : a"),
    "softshrink": ("lambd=0.5", "a - within(-A(lambd), a, A(lambd))"),
    "log_odds": ("", "floored_log(a) - floored_log(A(1) - a)"),
}
OF_MORE = {
    "bernoulli_loss": "-(b * floored_log(a) + (A(1) - b) * floored_log(A(1) - a))",
    "gelu_grad_at": "a * ((b == A(0) ? A(0.5) : c / b) + b * bell(b))",  # of v, x and value
}
GELU = {
    "none": "a * below(a)",
    "tanh": "A(0.5) * a * (A(1) + tanh_inner(a))",
}
GELU_GRAD = {  # of v and x
    "none": "a * (below(b) + b * bell(b))",
    "tanh": "a * (A(0.5) * (A(1) + tanh_inner(b)) + A(0.5) * b * (A(1) - tanh_inner(b) * tanh_inner(b))"
    " * A(0.7978845608028654) * (A(1) + A(0.134145) * (b * b)))",
}


@cache
def _kernel(name: str, operands: int, attributes: str, expression: str) -> Any:
    letters = "abc"[:operands]
    takes = [*(f"T in_{x}" for x in letters), *(f"float64 {n}" for n in attributes.split())]
    reads = "".join(f"const A {x} = A(in_{x}); " for x in letters)
    body = f"typedef typename Wide<T>::type A; {reads}y = T({expression});"
    return cp.ElementwiseKernel(", ".join(takes), "T y", body, f"jitrench_{name}", preamble=WIDE)


def fits(*arrays: Any) -> bool:
    """Whether all are arrays of real floating-point numbers, of one dtype."""
    return all(getattr(a, "dtype", None) == arrays[0].dtype for a in arrays) and arrays[0].dtype.kind == "f"


def of_one(name: str) -> Any:
    """The kernel of an op in ``OF_ONE``."""
    attributes, expression = OF_ONE[name]
    given = {n: float(v) for n, _, v in (a.partition("=") for a in attributes.split())}
    kernel = _kernel(name, 1, " ".join(given), expression)

    def run(x: Any, /, **attrs: Any) -> Any:
        numbers = given | attrs
        if x.dtype.kind != "f" or numbers.get("lambd", 0) < 0 or numbers.get("min_val", 0) > numbers.get("max_val", 0):
            return NotImplemented
        return kernel(x, *map(float, numbers.values()))

    return run


def of_more(name: str) -> Any:
    """The kernel of an op in ``OF_MORE``."""
    expression = OF_MORE[name]

    def run(*arrays: Any) -> Any:
        if not fits(*arrays):
            return NotImplemented
        return _kernel(name, len(arrays), "", expression)(*arrays)

    return run


# Of float16 in float32, as Python's divmod: CuPy's own round x1 / x2 first, where 1 // 0.1 is 10, and 1 % -inf NaN.
DIVIDED = """
const A a = A(in_a), b = A(in_b);
A rest = fmod(a, b), whole = (a - rest) / b;
if (b == A(0)) {
    whole = a / b;
} else if (rest != A(0)) {
    if ((b < A(0)) != (rest < A(0))) { rest += b; whole -= A(1); }
} else {
    rest = copysign(A(0), b);
}
if (b != A(0)) whole = whole == A(0) ? copysign(A(0), a / b) : floor(whole + A(0.5));
"""


def _divided(name: str, result: str, x1: Any, x2: Any) -> Any:
    dtype = cp.result_type(x1, x2)
    if dtype.kind != "f" or not any(isinstance(x, cp.ndarray) for x in (x1, x2)):
        return getattr(cp, name)(x1, x2)
    x1, x2 = (x.astype(dtype, copy=False) if isinstance(x, cp.ndarray) else dtype.type(x) for x in (x1, x2))
    return _divmod(name, result)(x1, x2)


@cache
def _divmod(name: str, result: str) -> Any:
    body = f"typedef typename Wide<T>::type A; {DIVIDED} y = T({result});"
    return cp.ElementwiseKernel("T in_a, T in_b", "T y", body, f"jitrench_{name}", preamble=WIDE)


def floor_divide(x1: Any, x2: Any, /) -> Any:
    """The op ``floor_divide``."""
    return _divided("floor_divide", "whole", x1, x2)


def remainder(x1: Any, x2: Any, /) -> Any:
    """The op ``remainder``."""
    return _divided("remainder", "rest", x1, x2)


def sign(x: Any, /) -> Any:
    """The op ``sign``; array-api-compat's writes NaN by a mask, for which CuPy waits."""
    if x.dtype.kind == "f":
        return _kernel("sign", 1, "", "a > A(0) ? A(1) : a < A(0) ? A(-1) : a == A(0) ? A(0) : a")(x)
    if x.dtype.kind == "c":
        return cp.where(x == 0, x.dtype.type(0), x / cp.where(x == 0, 1, cp.abs(x)))
    return NotImplemented


def gelu(x: Any, /, *, approximate: str = "none") -> Any:
    """The op ``gelu``."""
    if x.dtype.kind != "f" or approximate not in GELU:
        return NotImplemented
    return _kernel("gelu", 1, "", GELU[approximate])(x)


def gelu_grad(v: Any, x: Any, /, *, approximate: str = "none") -> Any:
    """The op ``gelu_grad``."""
    if not fits(v, x) or approximate not in GELU_GRAD:
        return NotImplemented
    return _kernel("gelu_grad", 2, "", GELU_GRAD[approximate])(v, x)


def __getattr__(name: str) -> Any:
    """The kernel of an op of the tables, made when it is asked for."""
    if name in OF_ONE:
        return of_one(name)
    if name in OF_MORE:
        return of_more(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
