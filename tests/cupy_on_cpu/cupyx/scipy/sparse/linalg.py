"""``cupyx.scipy.sparse.linalg``: what of it is used."""

from __future__ import annotations

from typing import Any

from cupy._array import ndarray, wrap
from cupy._state import synchronise

from . import csc_matrix


class SuperLU:
    """Factors of a matrix, on the device."""

    def __init__(self, host: Any) -> None:
        self._host = host

    def solve(self, rhs: ndarray, trans: str = "N") -> ndarray:
        return wrap(self._host.solve(rhs._a, trans))


def splu(
    A: Any,
    permc_spec: Any = None,
    diag_pivot_thresh: Any = None,
    relax: Any = None,
    panel_size: Any = None,
    options: Any = None,
) -> SuperLU:
    """CuPy factorises on the host, too."""
    from scipy.sparse.linalg import splu as host

    if not isinstance(A, csc_matrix):
        raise TypeError("A must be cupyx.scipy.sparse.spmatrix")
    synchronise("splu")
    return SuperLU(host(A._m))
