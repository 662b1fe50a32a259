"""Linear algebra."""

from __future__ import annotations

from catalogue import normal

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
}
