"""Products, diagonals and einsum."""

from __future__ import annotations

import numpy as np

from catalogue import normal

REFERENCES = {
    "diagonal": lambda x, offset=0: np.diagonal(x, offset=offset, axis1=-2, axis2=-1),
    "trace": lambda x, offset=0, dtype=None: np.trace(x, offset=offset, dtype=dtype, axis1=-2, axis2=-1),
    "tensordot": lambda x1, x2, axes=2: np.tensordot(x1, x2, axes),
    "einsum": lambda *operands, subscripts: np.einsum(subscripts, *operands),
    "multi_dot": lambda *arrays: arrays[0] if len(arrays) == 1 else np.linalg.multi_dot(arrays),
}

CASES = {
    "matmul": [
        ((normal(3), normal(3)), {}),
        ((normal(2, 3), normal(3)), {}),
        ((normal(3), normal(3, 2)), {}),
        ((normal(4, 2, 3), normal(3)), {}),
        ((normal(3), normal(4, 3, 2)), {}),
        ((normal(2, 3), normal(4, 3, 2)), {}),
        ((normal(4, 1, 2, 3), normal(5, 3, 2)), {}),
        ((normal(0, 3), normal(3, 2)), {}),
        ((normal(2, 0), normal(0, 2)), {}),
    ],
    "diagonal": [
        *(((normal(3, 4),), {"offset": offset}) for offset in (-4, -3, -1, 0, 3, 5)),
        ((normal(2, 4, 3),), {}),
        ((normal(2, 0, 3),), {}),
    ],
    "trace": [((normal(2, 3, 3),), {}), ((normal(3, 0),), {})],
    "vecdot": [
        ((normal(3), normal(3)), {}),
        ((normal(3, 1, 2), normal(3, 4, 2)), {"axis": -3}),
        ((normal(3, 2), normal(4, 3, 1)), {"axis": -2}),
        ((normal(2, 0), normal(2, 0)), {}),
    ],
    "tensordot": [
        ((normal(2, 3), normal(3, 4)), {"axes": 1}),
        ((normal(2, 3), normal(2, 3)), {}),
        ((normal(2), normal(3)), {"axes": 0}),
        ((normal(2, 3, 4), normal(4, 2)), {"axes": ((0, -1), (1, 0))}),
        ((normal(2, 0), normal(0, 3)), {"axes": 1}),
    ],
    "dot": [
        ((normal(3), normal(3)), {}),
        ((normal(2, 3), normal(3)), {}),
        ((normal(2, 3), normal(4, 3, 2)), {}),
        ((normal(), normal(2)), {}),
        ((2.0, normal(2)), {}),
    ],
    "outer": [((normal(0), normal(3)), {})],
    "kron": [
        ((normal(2), normal(2, 3)), {}),
        ((normal(2, 2, 1), normal(3)), {}),
        ((normal(), normal(3)), {}),
        ((normal(0), normal(3)), {}),
    ],
    "cross": [
        ((normal(3), normal(3)), {}),
        ((normal(4, 3, 1), normal(3, 2)), {"axis": -2}),
        ((normal(3, 2), normal(3, 2)), {"axis": 0}),
    ],
    "einsum": [
        ((normal(3, 3),), {"subscripts": "ii"}),
        ((normal(3, 2, 3),), {"subscripts": "iji->ij"}),
        ((normal(2, 2, 2),), {"subscripts": "iii"}),
        ((normal(2, 3),), {"subscripts": "ba"}),
        ((normal(2, 3),), {"subscripts": "ij->"}),
        ((normal(2, 3),), {"subscripts": "ij->ij"}),
        ((normal(2), normal(3)), {"subscripts": "i,j"}),
        ((normal(2, 3), normal(2, 3)), {"subscripts": "ij,ij->j"}),
        ((normal(2, 3), normal(1, 3)), {"subscripts": "ij,ij->ij"}),
        ((normal(2, 1), normal(3, 4)), {"subscripts": "ij,jk"}),
        ((normal(2, 3, 4), normal(2, 4, 3)), {"subscripts": "bij,bjk -> bik"}),
        ((normal(2, 1, 2, 3), normal(4, 3, 2)), {"subscripts": "...ij,...jk->...ik"}),
        ((normal(3, 2), normal(3, 1)), {"subscripts": "i...,i..."}),
        ((normal(4, 2), normal(3, 4)), {"subscripts": "...a,b...->...ab"}),
        ((normal(2, 3), normal(3, 4), normal(4, 2), normal(2)), {"subscripts": "ij,jk,kl,l->i"}),
        ((normal(3), normal(3), normal(3)), {"subscripts": "i,i,i->i"}),
        ((normal(), normal(2)), {"subscripts": ",i"}),
        ((normal(0, 3), normal(3, 2)), {"subscripts": "ij,jk"}),
        ((normal(2, 0), normal(0, 2)), {"subscripts": "ij,jk"}),
    ],
    "multi_dot": [
        ((normal(4), normal(4, 2), normal(2, 3), normal(3)), {}),
        ((normal(5, 2), normal(2, 6)), {}),
        ((normal(2), normal(2)), {}),
        ((normal(2, 3),), {}),
    ],
}
