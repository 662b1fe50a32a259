"""``pad``: more elements around an array, constant or repeating its own."""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any

from ..errors import DTypeError, OpError, ShapeError
from ..op import op
from .creation import arange, full
from .indexing import setitem
from .reductions import max as max_
from .reductions import mean
from .reductions import min as min_
from .shapes import astype, broadcast_to, concat, flip, reshape, tile
from .sorting import median

_MOVED = ("edge", "reflect", "symmetric", "wrap")
_STATISTICS: dict[str, Any] = {"maximum": max_, "mean": mean, "median": median, "minimum": min_}
_ALIASES = {"replicate": "edge", "circular": "wrap", "empty": "constant"}  # PyTorch's names, and what NumPy leaves open


def _pairs(given: Any, ndim: int, what: str, convert: Callable[[Any], Any]) -> list[tuple[Any, Any]]:
    """One number, a pair (before, after) for all axes, or such a pair for each axis: as a list of pairs."""
    given = given.tolist() if getattr(given, "ndim", 0) else given  # a NumPy array
    several = isinstance(given, (tuple, list))
    nested = several and bool(given) and all(isinstance(p, (tuple, list)) for p in given)
    rows = list(given) if nested else [given if several else (given, given)]
    rows = [tuple(row) * (2 if len(row) == 1 else 1) for row in rows]
    rows = rows * ndim if len(rows) == 1 else rows
    if len(rows) != ndim or any(len(row) != 2 for row in rows):
        raise ShapeError(
            f"pad(): {what}={given!r} does not fit {ndim} dimension(s): give a number, a pair (before, after), or such a "
            f"pair for each axis"
        )
    try:
        return [(convert(a), convert(b)) for a, b in rows]
    except TypeError:
        raise DTypeError(f"pad(): {what}={given!r} must be of ints") from None


@op(composite=True, samples=lambda rng: ((rng.normal(size=(2, 3)),), {"pad_width": ((1, 0), (2, 1))}))
def pad(
    x: Any,
    /,
    pad_width: Any,
    mode: str = "constant",
    *,
    constant_values: Any = 0,
    end_values: Any = 0,
    stat_length: Any = None,
) -> Any:
    """x with ``pad_width`` more elements before and after it along each axis.

    ``pad_width`` is a number, a pair (before, after), or such a pair for each axis, as in NumPy. ``mode`` says what stands
    there: ``"constant"`` (``constant_values``, given like ``pad_width``), ``"empty"`` (anything: zeros here), ``"edge"`` or ``"replicate"`` (the last element),
    ``"reflect"`` (a mirror on the last element), ``"symmetric"`` (a mirror behind it), ``"wrap"`` or ``"circular"`` (from
    the other end), ``"linear_ramp"`` (a line from the last element to ``end_values``), or a statistic of the nearest
    ``stat_length`` elements (None: of all): ``"maximum"``, ``"minimum"``, ``"mean"``, ``"median"``. Later axes own the corners.
    An element that stands at several places gets the gradients of all of them.

    >>> import jitrench_core as jt
    >>> jt.pad(jt.arange(3), 2, "reflect")
    Tensor([2, 1, 0, 1, 2, 1, 0])

    Raises ``ShapeError`` for widths that do not fit or are negative, and where there is no element to repeat; ``DTypeError``
    for a ramp, a mean or a median of integers.
    """
    mode = _ALIASES.get(mode, mode)
    widths = _pairs(pad_width, x.ndim, "pad_width", index)
    if any(w < 0 for pair in widths for w in pair):
        raise ShapeError(f"pad(): pad_width must not be negative, got {pad_width!r}: take a slice to make x smaller")
    if mode == "constant" and x.ndim:
        return _constant(x, widths, _pairs(constant_values, x.ndim, "constant_values", lambda v: v))
    modes = ["constant", *_MOVED, *_STATISTICS, "linear_ramp"]
    if mode not in modes:
        known = ", ".join(map(repr, [*modes, *_ALIASES]))
        raise OpError(f"pad(): mode {mode!r} is not one of {known}")
    if mode in ("mean", "median", "linear_ramp") and x.dtype.kind not in "fc":
        raise DTypeError(f"pad(): mode {mode!r} of {x.dtype} makes other numbers than integers: convert x first")
    ends = _pairs(end_values, x.ndim, "end_values", lambda v: v)
    lengths = _pairs(stat_length, x.ndim, "stat_length", lambda v: v)
    x = reshape(x, x.shape)  # a tensor of its own, also where nothing is added
    for axis, (before, after) in enumerate(widths):
        n = x.shape[axis]
        if before or after:
            if not n:
                raise ShapeError(f"pad(): mode {mode!r} has nothing to repeat along axis {axis} of shape {x.shape}")
            if mode == "linear_ramp":
                x = _between(x, axis, *_ramps(x, axis, (before, after), ends[axis]))
            elif mode in _STATISTICS:
                x = _between(x, axis, *_constants(x, axis, (before, after), _STATISTICS[mode], lengths[axis]))
            else:
                x = _repeated(x, axis, mode, before, after)
    return x


def _repeated(x: Any, axis: int, mode: str, before: int, after: int) -> Any:
    """x and the parts of itself that stand around it."""
    n = x.shape[axis]

    def part(start: int, stop: int) -> Any:
        return x[(slice(None),) * axis + (slice(start, stop),)]

    if mode == "edge":
        ends = ((part(0, 1), before), (part(n - 1, n), after))
        first, last = (broadcast_to(end, (*x.shape[:axis], w, *x.shape[axis + 1 :])) for end, w in ends)
        return concat([first, x, last], axis=axis)
    skip = int(mode == "reflect")  # the element that is the mirror does not stand behind it again
    if max(before, after) <= n - skip:
        first, last = (part(n - before, n), part(0, after))
        if mode != "wrap":
            first, last = (flip(p, axis=axis) for p in (part(skip, skip + before), part(n - skip - after, n - skip)))
        return concat([first, x, last], axis=axis)
    # wider than x: a section of what comes again and again
    period = x if mode == "wrap" else concat([x, flip(part(skip, max(n - skip, skip)), axis=axis)], axis=axis)
    start = -before % period.shape[axis]
    stop = start + before + n + after
    times = [1] * x.ndim
    times[axis] = -(-stop // period.shape[axis])
    return tile(period, tuple(times))[(slice(None),) * axis + (slice(start, stop),)]


def _between(x: Any, axis: int, first: Any, last: Any) -> Any:
    return concat([first, x, last], axis=axis)


def _outer(x: Any, axis: int, lengths: tuple[int, int]) -> tuple[Any, Any]:
    """The first and the last elements of x along ``axis``."""
    n, before = x.shape[axis], (slice(None),) * axis
    return x[(*before, slice(lengths[0]))], x[(*before, slice(n - lengths[1], n))]


def _constants(x: Any, axis: int, widths: tuple[int, int], statistic: Any, lengths: tuple[Any, Any]) -> list[Any]:
    """A statistic of the elements at either end, as often as the widths say."""
    n = x.shape[axis]
    counts = tuple(n if count is None else min(index(count), n) for count in lengths)
    if min(counts) < 1:
        raise ShapeError(f"pad(): stat_length must be at least 1, got {min(counts)}")
    values = [statistic(part, axis=axis, keepdims=True) for part in _outer(x, axis, (counts[0], counts[1]))]
    return [
        broadcast_to(v, (*x.shape[:axis], width, *x.shape[axis + 1 :])) for v, width in zip(values, widths, strict=True)
    ]


def _ramps(x: Any, axis: int, widths: tuple[int, int], ends: tuple[Any, Any]) -> list[Any]:
    """Lines from the end values up to, but without, the elements at either end."""
    out = []
    for edge, width, end, mirror in zip(_outer(x, axis, (1, 1)), widths, ends, (False, True), strict=True):
        share = arange(width, dtype="float64", device=x.device) / max(width, 1)
        shape = [-1 if i == axis else 1 for i in range(x.ndim)]
        t = reshape(astype(flip(share) if mirror else share, x.dtype), shape)
        out.append(end + (edge - end) * t)
    return out


def _constant(x: Any, widths: list[tuple[int, int]], values: list[tuple[Any, Any]]) -> Any:
    if len({v for pair in values for v in pair}) < 2:
        return _framed(x, widths, values[0][0])
    for axis, (pair, (before, after)) in enumerate(zip(widths, values, strict=True)):  # later axes own the corners
        here = [(0, 0)] * x.ndim
        here[axis] = (pair[0], 0)
        x = _framed(x, here, before)
        here[axis] = (0, pair[1])
        x = _framed(x, here, after)
    return x


def _framed(x: Any, widths: list[tuple[int, int]], value: Any) -> Any:
    """x in an array of ``value``."""
    lengths = tuple(a + n + b for n, (a, b) in zip(x.shape, widths, strict=True))
    inner = tuple(slice(a, a + n) for n, (a, _) in zip(x.shape, widths, strict=True))
    return setitem(full(lengths, value, dtype=x.dtype, device=x.device), x, key=inner)
