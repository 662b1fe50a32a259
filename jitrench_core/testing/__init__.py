"""What finds mistakes: ``check_op`` for an op of one's own, ``check_grads`` for any function, ``op_tests`` for pytest.

NumPy is imported when a check runs, not before.
"""

from __future__ import annotations

from .battery import Case, check_op
from .grads import check_grads
from .op_tests import op_tests

__all__ = ["Case", "check_grads", "check_op", "op_tests"]
