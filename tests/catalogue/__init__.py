"""What the conformance battery needs beyond an op's own samples, a file a family as in ``jitrench_core.ops``.

``REFERENCES`` maps an op to a formula in NumPy that shares nothing with the op's own forward; ``CASES`` to further calls, as
pairs of arrays and attributes. tests/test_catalogue.py finds every file here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_rng = np.random.default_rng(7)


def normal(*shape: int) -> Any:
    """Standard normal numbers."""
    return np.asarray(_rng.normal(size=shape))
