"""The errors of JITrench: one base class and its few children.

Each child also derives from the built-in that fits, so ``except ValueError`` keeps working around a
``ShapeError``. A message says who complains, what was expected, what came, and what to do next.
"""

from __future__ import annotations

from collections.abc import Iterable


class JITrenchError(Exception):
    """Base class of every error that JITrench itself raises."""


class ShapeError(JITrenchError, ValueError):
    """Shapes that do not fit each other or the operation."""


class BoundsError(JITrenchError, IndexError):
    """An index outside of its axis."""


class AxisError(ShapeError, BoundsError):
    """An axis that the array does not have: a ``ValueError`` and an ``IndexError``, as NumPy's."""


class DTypeError(JITrenchError, TypeError):
    """A data type that the operation, the backend or differentiation cannot take."""


class CopyError(JITrenchError, ValueError, BufferError):
    """``copy=False``, or a zero-copy exchange with another library, where only a copy can do it."""


class DeviceMismatchError(JITrenchError, ValueError):
    """Operands of one operation live on different backends or devices."""


class LinAlgError(JITrenchError, ValueError):
    """A matrix that has no such inverse or decomposition: it is singular, not positive definite, or holds NaN."""


class BackendError(JITrenchError, RuntimeError):
    """A backend is missing, or lacks what was asked of it."""


class UnsupportedError(BackendError, NotImplementedError):
    """An op that the operands' backend does not have; the message says which installed one does."""


class MissingDTypeError(DTypeError, UnsupportedError):
    """A data type that the backend declares missing; the message says which installed one has it."""


class GradientError(JITrenchError, RuntimeError):
    """A derivative that cannot be taken; the message says why."""


class ClosureError(GradientError):
    """A function with a derivative of its own uses a tensor from around it, for which that has no rule."""


class FreedGraphError(GradientError):
    """Backward through a graph whose saved arrays were already freed."""


class NoGradientError(GradientError, AttributeError):
    """``.grad`` of a tensor that cannot have one."""


class AnomalyError(JITrenchError, FloatingPointError):
    """Inside ``detect_anomaly``: the operation that made the first NaN or infinity, and where it was called."""


class GradientCheckError(JITrenchError, AssertionError):
    """``check_grads`` found that a derivative is not the one that differences show, or that there is none to compare."""


class OpError(JITrenchError, TypeError):
    """An op that is declared or called in a way its signature does not allow."""


class PluginError(JITrenchError, RuntimeError):
    """A plugin that is broken, or that declares what it must not."""


class DuplicateError(PluginError):
    """Two owners claim one name."""


class NotFoundError(JITrenchError, LookupError, AttributeError):
    """No op, layer, optimizer, backend or device of that name."""


class TransformError(JITrenchError, TypeError):
    """A value inside ``jvp`` or ``vmap`` was used in a way that transform does not allow."""


def suggest(name: str, known: Iterable[str]) -> str:
    """``" Did you mean 'relu', 'elu'?"`` for near matches of ``name`` among ``known``, else an empty string."""
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f" Did you mean {', '.join(map(repr, near))}?" if near else ""
