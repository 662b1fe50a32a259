"""Orthogonal polynomials of whole degree n, a constant: on every backend by their recurrence where n is a Python int.

Their derivatives are polynomials of the same families (NIST's Digital Library of Mathematical Functions, 18.9).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitrench_core import op

from .table import check_real, choose, kernel, refuse, whole_numbers


def _recurrence(name: str, xp: Any, n: Any, x: Any, first: Any, step: Callable[[int, Any, Any], Any]) -> Any:
    """p(n) from p(0) = 1, p(1) = ``first`` and ``step(k, p(k), p(k - 1))``; NotImplemented of an array of degrees."""
    if hasattr(n, "dtype") or not hasattr(x, "dtype"):
        return NotImplemented
    check_real(name, xp, x)
    before, last = 0.0 * first, 1.0 + 0.0 * first
    for k in range(whole_numbers(name, n)):
        before, last = last, (first if not k else step(k, last, before))
    return last if n >= 0 else before


def _lower(f: Callable[..., Any], n: Any, *args: Any) -> Any:
    """f(n - 1, ...), and 0 where n is 0."""
    none = n < 1
    return choose(none, 0.0, f(choose(none, 1, n) - 1, *args))


def _sample(*parameters: float) -> Any:
    return lambda rng: ((3, *parameters, rng.uniform(-0.9, 0.9, (2, 3))), {})


_WHY = "there is one in x alone"


@op(elementwise=True, vjp={"n": None, "x": lambda g, n, x: g * n * _lower(eval_chebyu, n, x)}, samples=_sample())
def eval_chebyt(xp: Any, n: Any, x: Any, /) -> Any:
    """Chebyshev's polynomial of the first kind and degree n, elementwise.

    >>> from jitrench_scipy import special
    >>> import jitrench_core as jt
    >>> special.eval_chebyt(2, jt.tensor([0.0, 0.5, 1.0]))  # 2x^2 - 1
    Tensor([-1. , -0.5,  1. ])
    """
    return _recurrence("eval_chebyt", xp, n, x, x, lambda k, p, q: 2 * x * p - q)


@op(
    elementwise=True,
    vjp={"n": None, "x": lambda g, n, x: g * (2 * _lower(eval_gegenbauer, n, 2.0, x))},
    samples=_sample(),
)
def eval_chebyu(xp: Any, n: Any, x: Any, /) -> Any:
    """Chebyshev's polynomial of the second kind and degree n, elementwise."""
    return _recurrence("eval_chebyu", xp, n, x, 2 * x, lambda k, p, q: 2 * x * p - q)


@op(
    elementwise=True,
    vjp={"n": None, "x": lambda g, n, x: g * _lower(eval_gegenbauer, n, 1.5, x)},
    samples=_sample(),
)
def eval_legendre(xp: Any, n: Any, x: Any, /) -> Any:
    """Legendre's polynomial of degree n, elementwise.

    >>> from jitrench_scipy import special
    >>> import jitrench_core as jt
    >>> jt.grad(lambda x: special.eval_legendre(2, x))(0.5)  # 3x
    Tensor(1.5)
    """
    return _recurrence("eval_legendre", xp, n, x, x, lambda k, p, q: ((2 * k + 1) * x * p - k * q) / (k + 1))


@op(
    elementwise=True,
    vjp={
        "n": None,
        "alpha": refuse("eval_gegenbauer", "alpha", _WHY),
        "x": lambda g, n, alpha, x: g * (2 * alpha * _lower(eval_gegenbauer, n, alpha + 1, x)),
    },
    samples=_sample(0.75),
)
def eval_gegenbauer(xp: Any, n: Any, alpha: Any, x: Any, /) -> Any:
    """Gegenbauer's polynomial of degree n and parameter ``alpha``, in which there is no derivative, elementwise."""
    step = lambda k, p, q: (2 * (k + alpha) * x * p - (k + 2 * alpha - 1) * q) / (k + 1)  # noqa: E731
    return _recurrence("eval_gegenbauer", xp, n, x, 2 * alpha * x, step)


@op(elementwise=True, vjp={"n": None, "x": lambda g, n, x: g * (2 * n * _lower(eval_hermite, n, x))}, samples=_sample())
def eval_hermite(xp: Any, n: Any, x: Any, /) -> Any:
    """Hermite's polynomial of degree n (the physicists'), elementwise."""
    return _recurrence("eval_hermite", xp, n, x, 2 * x, lambda k, p, q: 2 * x * p - 2 * k * q)


@op(elementwise=True, vjp={"n": None, "x": lambda g, n, x: g * (n * _lower(eval_hermitenorm, n, x))}, samples=_sample())
def eval_hermitenorm(xp: Any, n: Any, x: Any, /) -> Any:
    """Hermite's polynomial of degree n with leading coefficient 1 (the probabilists'), elementwise."""
    return _recurrence("eval_hermitenorm", xp, n, x, x, lambda k, p, q: x * p - k * q)


@op(
    elementwise=True,
    vjp={"n": None, "x": lambda g, n, x: -g * _lower(eval_genlaguerre, n, 1.0, x)},
    samples=_sample(),
)
def eval_laguerre(xp: Any, n: Any, x: Any, /) -> Any:
    """Laguerre's polynomial of degree n, elementwise."""
    step = lambda k, p, q: ((2 * k + 1 - x) * p - k * q) / (k + 1)  # noqa: E731
    return _recurrence("eval_laguerre", xp, n, x, 1 - x, step)


@op(
    elementwise=True,
    vjp={
        "n": None,
        "alpha": refuse("eval_genlaguerre", "alpha", _WHY),
        "x": lambda g, n, alpha, x: -g * _lower(eval_genlaguerre, n, alpha + 1, x),
    },
    samples=_sample(0.75),
)
def eval_genlaguerre(xp: Any, n: Any, alpha: Any, x: Any, /) -> Any:
    """The generalized Laguerre polynomial of degree n and parameter ``alpha``, in which there is no derivative, elementwise."""
    step = lambda k, p, q: ((2 * k + 1 + alpha - x) * p - (k + alpha) * q) / (k + 1)  # noqa: E731
    return _recurrence("eval_genlaguerre", xp, n, x, 1 + alpha - x, step)


OPS = (
    eval_chebyt, eval_chebyu, eval_legendre, eval_gegenbauer, eval_hermite, eval_hermitenorm, eval_laguerre, eval_genlaguerre,
)  # fmt: skip
KERNELS = {(f.op.name, "numpy"): kernel(f.op.name, "numpy", orders=(0,)) for f in OPS}
