"""``scipy.special`` with derivatives: SciPy's names and order of arguments, elementwise, of real numbers, to any order.

SciPy computes them for NumPy's arrays, CuPy for its own where it has the function. Integers are taken as float64, float32
gives float32, and complex numbers are refused. docs/scipy.md lists what there is and what is refused.

>>> import jitrench_core as jt
>>> from jitrench_scipy import special
>>> jt.grad(jt.grad(special.gammaln))(1.0)  # pi^2 / 6
Tensor(1.64493407)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jitrench_core as jt
from jitrench_core import erf, erfc, logsumexp
from jitrench_core import sigmoid as expit

from . import bessel, errors, gammas, hypergeometric, incomplete, integrals, logarithms, polynomials
from .bessel import (
    airy,
    i0,
    i0e,
    i1,
    i1e,
    iv,
    ive,
    j0,
    j1,
    jn,
    jv,
    k0,
    k0e,
    k1,
    k1e,
    kv,
    kve,
    spherical_in,
    spherical_jn,
    spherical_kn,
    spherical_yn,
    y0,
    y1,
    yn,
    yv,
)
from .errors import dawsn, erfcinv, erfcx, erfinv, fresnel, log_ndtr, ndtr, ndtri
from .gammas import (
    beta,
    betaln,
    binom,
    comb,
    digamma,
    factorial,
    gamma,
    gammaln,
    gammasgn,
    loggamma,
    multigammaln,
    poch,
    polygamma,
    rgamma,
    zeta,
)
from .gammas import digamma as psi
from .hypergeometric import ellipe, ellipk, ellipkm1, hyp0f1, hyp1f1, hyp2f1
from .incomplete import betainc, betaincc, betaincinv, gammainc, gammaincc, gammainccinv, gammaincinv
from .integrals import exp1, expi, expn, lambertw, shichi, sici, spence
from .logarithms import entr, exprel, kl_div, log_expit, logit, rel_entr, sinc, xlog1py, xlogy
from .polynomials import (
    eval_chebyt,
    eval_chebyu,
    eval_gegenbauer,
    eval_genlaguerre,
    eval_hermite,
    eval_hermitenorm,
    eval_laguerre,
    eval_legendre,
)


def _over(f: Any, x: Any, axis: Any) -> Any:
    if axis is not None:
        return f(x, axis=axis)
    x = jt.asarray(x)
    return jt.reshape(f(jt.reshape(x, (-1,)), axis=0), x.shape)


def softmax(x: Any, axis: Any = None) -> jt.Tensor:
    """exp(x) / sum(exp(x)) along ``axis``, or over all elements where that is None: SciPy's default, where ``jt.softmax`` has -1.

    >>> softmax(jt.zeros((2, 2)))
    Tensor([[0.25, 0.25],
            [0.25, 0.25]])
    """
    return _over(jt.softmax, x, axis)  # type: ignore[no-any-return]


def log_softmax(x: Any, axis: Any = None) -> jt.Tensor:
    """log(softmax(x, axis))."""
    return _over(jt.log_softmax, x, axis)  # type: ignore[no-any-return]


_FAMILIES = (gammas, incomplete, errors, logarithms, integrals, bessel, hypergeometric, polynomials)
OPS: tuple[Any, ...] = tuple(function for family in _FAMILIES for function in family.OPS)
KERNELS: dict[tuple[str, str], Callable[..., Any]] = {
    key: found for family in _FAMILIES for key, found in family.KERNELS.items()
}

__all__ = [
    "airy",
    "beta",
    "betainc",
    "betaincc",
    "betaincinv",
    "betaln",
    "binom",
    "comb",
    "dawsn",
    "digamma",
    "ellipe",
    "ellipk",
    "ellipkm1",
    "entr",
    "erf",
    "erfc",
    "erfcinv",
    "erfcx",
    "erfinv",
    "eval_chebyt",
    "eval_chebyu",
    "eval_gegenbauer",
    "eval_genlaguerre",
    "eval_hermite",
    "eval_hermitenorm",
    "eval_laguerre",
    "eval_legendre",
    "exp1",
    "expi",
    "expit",
    "expn",
    "exprel",
    "factorial",
    "fresnel",
    "gamma",
    "gammainc",
    "gammaincc",
    "gammainccinv",
    "gammaincinv",
    "gammaln",
    "gammasgn",
    "hyp0f1",
    "hyp1f1",
    "hyp2f1",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "iv",
    "ive",
    "j0",
    "j1",
    "jn",
    "jv",
    "k0",
    "k0e",
    "k1",
    "k1e",
    "kl_div",
    "kv",
    "kve",
    "lambertw",
    "log_expit",
    "log_ndtr",
    "log_softmax",
    "loggamma",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "ndtri",
    "poch",
    "polygamma",
    "psi",
    "rel_entr",
    "rgamma",
    "shichi",
    "sici",
    "sinc",
    "softmax",
    "spence",
    "spherical_in",
    "spherical_jn",
    "spherical_kn",
    "spherical_yn",
    "xlog1py",
    "xlogy",
    "y0",
    "y1",
    "yn",
    "yv",
    "zeta",
]
