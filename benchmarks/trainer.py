"""What the trainer's loop costs a step: a sine MLP by ``Trainer``, against the same steps in a loop by hand.

Run ``python benchmarks/trainer.py``. Both take the same batches from a list; the median of several rounds, in turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import jitrench_core as jt
import jitrench_nn as nn
import jitrench_optim as optim


def model(x: jt.Tensor) -> jt.Tensor:
    return nn.Linear(1)(jt.sigmoid(nn.Linear(10)(x)))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(10), nn.Linear(1)

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        return self.out(jt.sigmoid(self.hidden(x)))


def by_hand(params: Any, batches: list[Any]) -> float:
    optimizer = optim.SGD(params, lr=0.1)
    begin = time.perf_counter()
    for x, y in batches:
        loss = nn.mse_loss(nn.apply(model, params, x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return time.perf_counter() - begin


def by_hand_module(net: Any, batches: list[Any]) -> float:
    optimizer = optim.SGD(net.state(), lr=0.1)
    begin = time.perf_counter()
    for x, y in batches:
        loss = nn.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return time.perf_counter() - begin


def by_trainer(net: Any, params: Any, batches: list[Any], **options: Any) -> float:
    trainer = nn.Trainer(net, nn.mse_loss, lambda p: optim.SGD(p, lr=0.1), params=params, progress=False, **options)
    trainer.predict(batches[0][0])
    begin = time.perf_counter()
    trainer.fit(batches, epochs=1, batch_size=None)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    x = jt.random.Generator(0).uniform((100, 1))
    batches = [(x, jt.sin(6.28 * x))] * options.steps
    params = nn.init(model, (None, 1), seed=0)
    net = Net()
    net(x)
    cases = {
        "functional, by hand": lambda: by_hand(params, batches),
        "functional, Trainer": lambda: by_trainer(model, params, batches),
        "functional, Trainer, detect_nan=False": lambda: by_trainer(model, params, batches, detect_nan=False),
        "Module, by hand": lambda: by_hand_module(net, batches),
        "Module, Trainer": lambda: by_trainer(net, None, batches),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(options.rounds):
        for name, run in cases.items():
            times[name].append(run() / options.steps * 1e6)
    found = {name: statistics.median(values) for name, values in times.items()}
    for name, value in found.items():
        base = found["Module, by hand" if name.startswith("Module") else "functional, by hand"]
        print(f"{name:<40} {value:7.1f} us a step, {value - base:+6.1f}")


if __name__ == "__main__":
    main()
