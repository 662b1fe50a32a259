"""What is gathered over the batches of an epoch: means, and metrics."""

from __future__ import annotations

import copy
from typing import Any, final

import jitrench_core as jt

from .errors import TrainingError

# A 0-d Tensor is some hundred bytes; turning it into a number waits for the device.
LATER = 256


def number(value: Any) -> Any:
    """A Tensor or an array of one element as a Python number; anything else as it is."""
    return value.item() if hasattr(value, "item") and getattr(value, "size", None) == 1 else value


def fetched(scalars: list[jt.Tensor]) -> list[Any]:
    """The values of 0-d Tensors; off a GPU they come together, since each transfer waits for all work there."""
    if len(scalars) < 2 or not scalars[0].device.backend.asynchronous:
        return [x.item() for x in scalars]
    dtype = jt.complex128 if any(x.dtype.kind == "c" for x in scalars) else jt.float64
    device = scalars[0].device
    found: list[Any] = jt.stack([jt.asarray(x, dtype=dtype, device=device) for x in scalars]).tolist()
    return found


def taken(name: str) -> bool:
    """Whether a column of the history has this name anyway."""
    return name in ("loss", "epoch", "step", "lr", "seconds") or name.startswith("val_")


@final
class Mean:
    """A mean of 0-d Tensors with weights, which are turned into numbers when somebody asks."""

    __slots__ = ("_pending", "total", "weight")

    def __init__(self, total: float = 0.0, weight: float = 0.0) -> None:
        self.total, self.weight = total, weight
        self._pending: list[tuple[jt.Tensor, float]] = []

    def add(self, value: jt.Tensor, weight: float) -> None:
        self._pending.append((value, weight))
        if len(self._pending) >= LATER:
            self._gather()

    def _gather(self) -> None:
        values = fetched([value for value, _ in self._pending])
        for value, (_, weight) in zip(values, self._pending, strict=True):
            self.total += value * weight
            self.weight += weight
        self._pending.clear()

    def __bool__(self) -> bool:
        return bool(self._pending) or self.weight > 0

    def compute(self) -> float:
        self._gather()
        return self.total / self.weight if self.weight else float("nan")

    def reset(self) -> None:
        self.total = self.weight = 0.0
        self._pending.clear()

    def state_dict(self) -> dict[str, float]:
        self._gather()
        return {"total": self.total, "weight": self.weight}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.reset()
        self.total, self.weight = state["total"], state["weight"]


class Averaged:
    """A plain function of output and target, as a metric: its mean over the examples."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.mean = Mean()

    def update(self, output: Any, target: Any, size: int) -> None:
        value = self.function(output, target)
        if not isinstance(value, (int, float)) and getattr(value, "shape", None) != ():
            raise TrainingError(
                f"the metric {getattr(self.function, '__name__', self.function)!r} returned "
                f"{f'a Tensor of shape {value.shape}' if hasattr(value, 'shape') else type(value).__name__}; expected one number"
            )
        self.mean.add(jt.asarray(value), size)

    def compute(self) -> float:
        return self.mean.compute()

    def reset(self) -> None:
        self.mean.reset()

    def state_dict(self) -> dict[str, float]:
        return self.mean.state_dict()

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.mean.load_state_dict(state)


@final
class Metrics:
    """Metrics by name."""

    def __init__(self, given: Any = None) -> None:
        if given is None:
            given = {}
        elif not isinstance(given, dict):
            several = list(given) if isinstance(given, (list, tuple)) else [given]
            given = {name_of(m): m for m in several}
            if len(given) < len(several):
                raise TrainingError(
                    f"Trainer(metrics=): two metrics have one name among {', '.join(map(name_of, several))}; give a dict"
                )
        self.parts: dict[str, Any] = {}
        for name, m in given.items():
            if isinstance(m, type):
                m = m()
            if not all(hasattr(m, method) for method in ("update", "compute", "reset")):
                if not callable(m):
                    raise TrainingError(
                        f"Trainer(metrics=): {name!r} is a {type(m).__name__}; expected an object with update, compute and "
                        f"reset, or a function of output and target"
                    )
                m = Averaged(m)
            if taken(name):
                what = "by the loss itself" if name == "loss" else "by a column of the history"
                raise TrainingError(f"Trainer(metrics=): the name {name!r} is taken {what}")
            self.parts[name] = m

    def __bool__(self) -> bool:
        return bool(self.parts)

    def update(self, output: Any, target: Any, size: int) -> None:
        output = output.detach() if type(output) is jt.Tensor else output
        for m in self.parts.values():
            if type(m) is Averaged:
                m.update(output, target, size)
            else:
                m.update(output, target)

    def compute(self) -> dict[str, Any]:
        """Each number; what is no number, such as a confusion matrix, as it is."""
        return {name: number(m.compute()) for name, m in self.parts.items()}

    def reset(self) -> None:
        for m in self.parts.values():
            m.reset()

    def fresh(self) -> Metrics:
        """The same metrics with nothing seen."""
        other = Metrics()
        other.parts = {
            name: Averaged(m.function) if type(m) is Averaged else copy.deepcopy(m) for name, m in self.parts.items()
        }
        other.reset()
        return other

    def state_dict(self) -> dict[str, Any]:
        return {
            name: m.state_dict() if hasattr(m, "state_dict") else copy.deepcopy(vars(m))
            for name, m in self.parts.items()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state.keys() != self.parts.keys():
            raise TrainingError(
                f"the checkpoint has the metrics {', '.join(state) or 'none'}; the trainer is made with "
                f"{', '.join(self.parts) or 'none'}"
            )
        for name, m in self.parts.items():
            if hasattr(m, "load_state_dict"):
                m.load_state_dict(state[name])
            else:
                vars(m).update(copy.deepcopy(state[name]))


def name_of(metric: Any) -> str:
    """``accuracy`` for the function accuracy and for an object of the class Accuracy."""
    own = getattr(metric, "name", None)
    if isinstance(own, str) and own:
        return own
    name: str = getattr(metric, "__name__", None) or type(metric).__name__
    words = "".join(
        f"_{c.lower()}" if c.isupper() and i and not name[i - 1].isupper() else c for i, c in enumerate(name)
    )
    return words.lower()
