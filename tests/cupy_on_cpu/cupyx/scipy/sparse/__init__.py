"""``cupyx.scipy.sparse``: its matrices by SciPy's, with CuPy's dtypes."""

from __future__ import annotations

from typing import Any

import numpy as _np
import scipy.sparse as _host
from cupy import _Module, ndarray
from cupy._array import same_device, wrap


class _Matrix:
    """A compressed sparse matrix; products with dense ones are dense."""

    _format = ""

    def __init__(self, arg1: Any, shape: Any = None, dtype: Any = None, copy: bool = False) -> None:
        if isinstance(arg1, getattr(_host, f"{self._format}_matrix")):
            self._m = arg1
            return
        if not (isinstance(arg1, tuple) and len(arg1) == 3 and all(isinstance(a, ndarray) for a in arg1)):
            raise NotImplementedError("the stand-in for CuPy makes a sparse matrix of (data, indices, indptr) only")
        data, indices, indptr = arg1
        same_device(arg1)
        if data.dtype.char not in "?fdFD":
            raise ValueError("Only bool, float32, float64, complex64, and complex128 are supported")
        parts = data._a.copy(), indices._a.astype(_np.int32), indptr._a.astype(_np.int32)
        self._m = getattr(_host, f"{self._format}_matrix")(parts, shape=shape)

    shape = property(lambda self: self._m.shape)
    dtype = property(lambda self: self._m.dtype)
    nnz = property(lambda self: self._m.nnz)
    ndim = 2
    format = property(lambda self: self._format)
    data = property(lambda self: wrap(self._m.data.copy()))
    indices = property(lambda self: wrap(self._m.indices.copy()))
    indptr = property(lambda self: wrap(self._m.indptr.copy()))

    @property
    def T(self) -> _Matrix:
        return (csc_matrix if self._format == "csr" else csr_matrix)(self._m.T)

    def transpose(self) -> _Matrix:
        return self.T

    def __matmul__(self, other: Any) -> ndarray:
        if not isinstance(other, ndarray):
            raise TypeError(f"Unsupported type {type(other)}")
        same_device([other])
        return wrap(_np.asfortranarray(self._m @ other._a))

    def sum_duplicates(self) -> None:
        self._m.sum_duplicates()

    def sort_indices(self) -> None:
        self._m.sort_indices()

    def toarray(self, order: Any = None, out: Any = None) -> ndarray:
        return wrap(self._m.toarray())

    def tocsr(self, copy: bool = False) -> csr_matrix:
        return csr_matrix(self._m.tocsr())

    def tocsc(self, copy: bool = False) -> csc_matrix:
        return csc_matrix(self._m.tocsc())


class csr_matrix(_Matrix):
    """By rows."""

    _format = "csr"


class csc_matrix(_Matrix):
    """By columns."""

    _format = "csc"


def issparse(x: Any) -> bool:
    return isinstance(x, _Matrix)


for _class in (csr_matrix, csc_matrix):
    _class.__module__ = "cupyx.scipy.sparse"

import sys  # noqa: E402

sys.modules[__name__].__class__ = _Module
