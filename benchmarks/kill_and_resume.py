"""Kill a training at random moments, resume it, and compare every bit with one that was never interrupted.

Run ``python benchmarks/kill_and_resume.py --times 20``. The training has all that can go wrong: shuffled batches prepared ahead in a
thread, dropout, BatchNorm's running statistics, a schedule, an average of the weights, metrics, early stopping's memory and a log file;
it saves after every second step, so that many kills fall into the writing of a file. A kill is SIGKILL, or Windows' TerminateProcess.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

EPOCHS = 4
RESULT, FILE, LOG, STARTED = "result.ckpt", "run.ckpt", "log.jsonl", "started"


def train(folder: Path) -> None:
    """The training, in a process of its own: from the start, or from where its checkpoint is."""
    import jitrench_core as jt
    import jitrench_nn as nn
    import jitrench_optim as optim

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Linear(24)
            self.norm = nn.BatchNorm1d()
            self.drop = nn.Dropout(0.2)
            self.out = nn.Linear(3)

        def forward(self, x: jt.Tensor) -> jt.Tensor:
            return self.out(self.drop(jt.relu(self.norm(self.hidden(x)))))

    jt.random.seed(1)
    data = jt.random.Generator(2)
    x = data.normal((240, 6))
    labels = jt.argmax(x[:, :3] + 0.5 * data.normal((240, 3)), axis=-1)

    def jitter(batch: Any, *, generator: jt.random.Generator) -> Any:
        images, targets = batch
        return images + 0.05 * generator.normal(images.shape), targets

    loader = nn.data.DataLoader(
        nn.data.ArrayDataset(x[:200], labels[:200]), 16, shuffle=True, seed=3, transform=jitter, prefetch=2
    )
    trainer = nn.Trainer(
        Net(),
        nn.cross_entropy,
        lambda params: optim.AdamW(params, lr=1e-2),
        metrics={"accuracy": nn.metrics.Accuracy()},
        schedule=lambda optimizer: optim.CosineAnnealingLR(optimizer, T_max=EPOCHS * len(loader)),
        schedule_per="step",
        average=lambda params: optim.EMA(params, decay=0.9),
        clip=1.0,
        callbacks=[nn.EarlyStopping("val_loss", patience=EPOCHS)],
        loggers=[nn.JSONLLogger(folder / LOG, every_steps=1)],
        checkpoint=nn.Checkpoint(folder / FILE, every_steps=2),
        progress=False,
    )
    (folder / STARTED).touch()
    history = trainer.fit(loader, epochs=EPOCHS, validation=(x[200:], labels[200:]), resume=True)
    state = trainer.state_dict()
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in history]
    keep = ("model", "optimizer", "schedule", "average", "random", "loader", "step", "epoch")
    nn.save_checkpoint({name: state[name] for name in keep} | {"history": rows}, folder / RESULT)


def start(folder: Path) -> subprocess.Popen[bytes]:
    (folder / STARTED).unlink(missing_ok=True)
    return subprocess.Popen([sys.executable, "-W", "error", __file__, "--train", str(folder)])


def finish(process: subprocess.Popen[bytes]) -> None:
    if process.wait(300):
        raise RuntimeError(f"the training failed with status {process.returncode}")


def kill(process: subprocess.Popen[bytes], folder: Path, after: float) -> bool:
    """Kill the training ``after`` so many seconds of it; False where it ended before."""
    while not (folder / STARTED).exists() and process.poll() is None:
        time.sleep(0.002)
    time.sleep(after)
    alive = process.poll() is None
    process.kill()
    process.wait()
    return alive


def difference(a: Any, b: Any, where: str = "") -> str:
    """The first place where two states differ in a bit; empty where there is none."""
    if isinstance(a, dict) and isinstance(b, dict) and list(a) == list(b):
        return next((d for k in a if (d := difference(a[k], b[k], f"{where}.{k}"))), "")
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return next((d for i in range(len(a)) if (d := difference(a[i], b[i], f"{where}[{i}]"))), "")
    if hasattr(a, "numpy") and hasattr(b, "numpy"):
        a, b = ((x.shape, str(x.dtype), x.numpy().tobytes()) for x in (a, b))
    return "" if a == b and type(a) is type(b) else where


def without_seconds(log: Path) -> list[str]:
    import json

    return [
        json.dumps({k: v for k, v in json.loads(line).items() if k != "seconds"})
        for line in log.read_text().splitlines()
    ]


def run(times: int, seed: int, folder: Path) -> list[str]:
    """``times`` kills; a line about each. Raises ``AssertionError`` where a bit differs."""
    import jitrench_nn as nn

    chance = random.Random(seed)
    whole = folder / "whole"
    whole.mkdir()
    process = start(whole)
    while not (whole / STARTED).exists() and process.poll() is None:
        time.sleep(0.002)
    began = time.perf_counter()
    finish(process)
    seconds = time.perf_counter() - began
    expected, log = nn.load_checkpoint(whole / RESULT), without_seconds(whole / LOG)
    lines: list[str] = []
    rounds = 0
    while len(lines) < times:
        rounds += 1
        place = folder / f"killed-{rounds}"
        place.mkdir()
        told = []
        for _ in range(min(chance.randint(1, 2), times - len(lines))):
            after = chance.uniform(0, seconds)
            if not kill(start(place), place, after):
                break
            where = "before the first save"
            if (place / FILE).exists():
                state = nn.load_checkpoint(place / FILE)
                where = f"epoch {state['epoch'] + 1}, last saved at step {state['step']}"
            torn = list(place.glob(f".{FILE}.*"))
            told.append(f"killed after {after:.3f} s: {where}{', in the middle of writing a file' if torn else ''}")
            for file in torn:
                file.unlink()
        finish(start(place))
        where = difference(expected, nn.load_checkpoint(place / RESULT))
        assert not where, f"{told}: {where} differs"
        assert without_seconds(place / LOG) == log, f"{told}: the log differs"
        lines += told
    return lines


def main() -> None:
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train is not None:
        train(options.train)
        return
    with tempfile.TemporaryDirectory() as folder:
        lines = run(options.times, options.seed, Path(folder))
    print("\n".join(lines))
    print(f"{len(lines)} kills; each resumed training ended with the same bits as one that was never interrupted")


if __name__ == "__main__":
    main()
