"""``Metric``: a number over all examples of a data set, taken batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jitrench_core as jt

from .inputs import MetricError

# What a metric remembers of the examples it has seen: Tensors and counts by name.
State = dict[str, Any]


class Metric:
    """The base class of streaming metrics: ``update`` takes a batch, ``compute`` gives the number over all batches so far.

    A subclass writes ``measure(x, target)``, the state of one batch, a dict of Tensors and numbers; and ``value(state)``, the
    number that a state comes to. ``join(a, b)`` is the state of two parts together; as it stands it adds entry by entry. So
    a metric of a whole is that of its parts, in any order and split in any way, and the function of the same name is the class
    on one batch. A ``reset`` metric holds nothing. Nothing is recorded for gradients.

    >>> import jitrench_core as jt
    >>> class Positive(Metric):
    ...     '''The fraction of numbers above 0.'''
    ...     keys = ("above", "total")
    ...     def measure(self, x):
    ...         return {"above": int(jt.count_nonzero(x > 0)), "total": x.size}
    ...     def value(self, state):
    ...         return jt.tensor(state["above"] / state["total"])
    >>> metric = Positive().update(jt.tensor([1.0, -1.0])).update(jt.tensor([2.0]))
    >>> round(metric.compute().item(), 3)
    0.667
    """

    keys: tuple[str, ...] = ()
    _state: State | None = None

    def measure(self, *batch: Any, **options: Any) -> State:
        """The state of one batch."""
        raise NotImplementedError(f"metric {type(self).__name__} has no measure: write def measure(self, x, target)")

    def value(self, state: State) -> Any:
        """The metric of a state."""
        raise NotImplementedError(f"metric {type(self).__name__} has no value: write def value(self, state)")

    def join(self, a: State, b: State) -> State:
        """The state of the examples of both."""
        return {key: a[key] + b[key] for key in a}

    # -- what all have in common ------------------------------------------------------------------------------------

    def update(self, *batch: Any, **options: Any) -> Any:
        """Take a batch; returns the metric itself. Raises what ``measure`` raises, and then nothing has changed."""
        with jt.no_grad():
            self._take(self.measure(*batch, **options))
        return self

    def compute(self) -> Any:
        """The metric of all batches since the last ``reset``. Raises ``MetricError`` where there was none."""
        if self._state is None:
            raise MetricError(
                f"{type(self).__name__}.compute(): no example was seen since the metric was made or reset; "
                f"call update(x, target) first"
            )
        with jt.no_grad():
            return self.value(self._state)

    def reset(self) -> None:
        """Forget all examples."""
        self._state = None

    def merge(self, other: Metric) -> Any:
        """Take the examples that ``other`` has seen, too, such as another process's; returns the metric itself.

        Raises ``MetricError`` for another kind of metric, or one with other options.
        """
        if type(other) is not type(self) or other._options() != self._options():
            raise MetricError(f"{self!r}.merge(): expected a metric with the same options, got {other!r:.100}")
        if other._state is not None:
            with jt.no_grad():
                self._take(other._state)
        return self

    def state_dict(self) -> State:
        """What was seen so far, as a dict of Tensors and numbers; empty before the first batch."""
        return {} if self._state is None else {key: copied(part) for key, part in self._state.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave. Raises ``MetricError`` for the state of another metric."""
        if not isinstance(state, Mapping) or (state and set(state) != set(self.keys)):
            came = ", ".join(map(repr, state)) if isinstance(state, Mapping) else type(state).__name__
            raise MetricError(
                f"{type(self).__name__}.load_state_dict(): expected {', '.join(map(repr, self.keys))}, or an empty dict; got {came}"
            )
        self._state = {key: copied(state[key]) for key in self.keys} if state else None

    def _take(self, state: State) -> None:
        old = self._state
        if old is not None:
            # A state that was loaded, or made on another device, follows the data.
            where = next((part.device for part in state.values() if isinstance(part, jt.Tensor)), None)
            old = {key: jt.asarray(p, device=where) if isinstance(p, jt.Tensor) else p for key, p in old.items()}
            state = self.join(old, state)
        self._state = state

    def _options(self) -> dict[str, Any]:
        # By repr: a NaN is an option like others.
        return {key: repr(value) for key, value in vars(self).items() if not key.startswith("_")}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value}' for key, value in self._options().items())})"


def copied(part: Any) -> Any:
    """A Tensor of its own; a number as it is."""
    return jt.asarray(part, copy=True) if isinstance(part, jt.Tensor) else part
