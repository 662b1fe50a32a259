"""Averages of weights over the steps of a training.

>>> import jitrench_core as jt
>>> import jitrench_optim as optim
>>> x = jt.tensor([4.0], requires_grad=True)
>>> optimizer, average = optim.SGD([x], lr=0.25), optim.SWA([x])
>>> for _ in range(2):
...     optimizer.zero_grad()
...     (x * x).sum().backward()
...     optimizer.step()  # 4 -> 2 -> 1
...     average.update()
>>> with average.applied():
...     print(x)
Tensor([1.5], requires_grad=True)
>>> x
Tensor([1.], requires_grad=True)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import jitrench_core as jt
from jitrench_core import Tensor
from jitrench_core.optimizer import OptimizerError
from jitrench_core.transforms.tree import flatten, names

from .saved import plain


class EMA:
    """The exponential moving average of weights: ``average = decay * average + (1 - decay) * weight`` at each ``update()``.

    ``params`` is a tree of Tensors, such as ``nn.init`` returns or a model's ``state()``. Those that require a gradient are
    averaged; all others, such as running statistics, are copied. The first ``update()`` takes the weights as they are, as
    PyTorch's ``AveragedModel`` does. With ``warmup`` the n-th update after it uses ``min(decay, (1 + n) / (10 + n))``, so that a
    short run does not remember its beginning; ``decay=None`` gives all updates equal weight.

    ``average`` is a tree like ``params`` that holds the averages; ``with ema.applied():`` puts them in the place of the weights,
    and the weights back at its end, whatever happens.

    Raises ``OptimizerError`` for a decay that is no number in [0, 1) and a tree without Tensors, and ``DTypeError`` for a leaf that is no Tensor.
    """

    def __init__(self, params: Any, decay: float | None = 0.999, *, warmup: bool = False) -> None:
        who = type(self).__name__
        if decay is not None and (not isinstance(decay, Real) or isinstance(decay, bool) or not 0 <= decay < 1):
            raise OptimizerError(
                f"{who}: decay must be a number in [0, 1), or None for equal weights; got {decay!r:.60}"
            )
        if decay is None and warmup:
            raise OptimizerError(f"{who}: warmup=True needs a decay")
        if not isinstance(params, (dict, list, tuple, Tensor)) and isinstance(params, Iterable):
            params = list(params)
        self.decay = decay
        self.warmup = warmup
        self.updates = 0
        self._tree = params
        self._names = names(params)
        self._params = flatten(params)[0]
        for name, p in zip(self._names, self._params, strict=True):
            if type(p) is not Tensor:
                hint = ": pass its parameters() or state()" if isinstance(p, jt.Layer) else ""
                raise jt.DTypeError(
                    f"{who} takes a tree of Tensors; {f'{name!r} is' if name else 'got'} a {type(p).__name__}{hint}"
                )
        if not self._params:
            raise OptimizerError(f"{who}: there is nothing to average, the tree holds no Tensor")
        # Nothing writes into an array that two Tensors hold, so they may share it.
        self._average = [p.detach() for p in self._params]
        self._applied = False

    @property
    def average(self) -> Any:
        """The averages, a tree like the parameters; ``nn.apply`` takes it in their place."""
        return flatten(self._tree)[1](list(self._average))

    def update(self) -> None:
        """Take the weights as they are now into the average: call it after each step of the optimizer."""
        if self._applied:
            raise OptimizerError(f"{type(self).__name__}.update() inside applied(): the weights are the averages there")
        new = self._share()
        with jt.no_grad():
            for p, mean in zip(self._params, self._average, strict=True):
                if p.requires_grad and new != 1.0:
                    jt.assign(mean, mean + new * (p.detach() - mean))
                else:
                    jt.assign(mean, p.detach())
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the weights are the averages; after it, also after an exception, they are again what they were."""
        if self._applied:
            raise OptimizerError(f"{type(self).__name__}.applied() inside itself: the averages are in place already")
        kept = [p.detach() for p in self._params]
        self._applied = True
        try:
            self._write(self._average)
            yield
        finally:
            self._write(kept)
            self._applied = False

    def copy_to_params(self) -> None:
        """Make the averages the weights, for good."""
        self._write(self._average)

    def state_dict(self) -> dict[str, Any]:
        """The number of updates, and the averages by their dotted names; later updates do not change it."""
        return {
            "updates": self.updates,
            "average": {name: mean.detach() for name, mean in zip(self._names, self._average, strict=True)},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``; the weights stay as they are.

        Raises ``OptimizerError`` where the names are not those of the parameters, or a Tensor does not fit, and then changes nothing.
        """
        who = type(self).__name__
        good = isinstance(state, Mapping) and state.keys() == {"updates", "average"}
        updates = plain(state["updates"]) if good else None
        if not (good and isinstance(state["average"], Mapping) and isinstance(updates, Integral)):
            raise OptimizerError(
                f"{who}.load_state_dict: expected what state_dict() returns, with 'updates' and 'average'"
            )
        if missing := set(self._names) ^ state["average"].keys():
            raise OptimizerError(
                f"{who}.load_state_dict: the state is of other parameters; without a partner are {', '.join(sorted(missing))}"
            )
        came = [
            jt.asarray(state["average"][name], device=mean.device).detach()
            for name, mean in zip(self._names, self._average, strict=True)
        ]
        wrong = [
            f"{name or 'the average'} is {value.dtype} {value.shape}, expected {mean.dtype} {mean.shape}"
            for name, value, mean in zip(self._names, came, self._average, strict=True)
            if (value.shape, value.dtype) != (mean.shape, mean.dtype)
        ]
        if wrong:
            raise OptimizerError(f"{who}.load_state_dict: the state does not fit: {'; '.join(wrong)}")
        with jt.no_grad():
            for mean, value in zip(self._average, came, strict=True):
                jt.assign(mean, value)
        self.updates = int(updates)

    def _share(self) -> float:
        """The part of the new weights in the next average."""
        n = self.updates
        if n == 0:
            return 1.0
        if self.decay is None:
            return 1.0 / (n + 1)
        return 1.0 - (min(self.decay, (1.0 + n) / (10.0 + n)) if self.warmup else self.decay)

    def _write(self, values: list[Tensor]) -> None:
        with jt.no_grad():
            for p, value in zip(self._params, values, strict=True):
                jt.assign(p, value.detach())


class SWA(EMA):
    """The mean of the weights over all updates: stochastic weight averaging (Izmailov et al., 2018), ``EMA`` with ``decay=None``."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, None)
