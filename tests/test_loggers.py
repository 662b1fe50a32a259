"""What a training writes: tables, event files, pictures and animations, also after it was cut off."""

from __future__ import annotations

import csv
import json
import math
import sys

import pytest

import jitrench_core as jt
import jitrench_nn as nn
import jitrench_optim as optim

STEPS = 3  # an epoch


def table(file):
    return list(csv.DictReader(file.read_text().splitlines()))


def linear(x):
    return nn.Linear(1)(x)


def trainer(loggers=(), model=linear, lr=0.1, **options):
    return nn.Trainer(model, nn.mse_loss, lambda p: optim.SGD(p, lr=lr), loggers=loggers, progress=False, **options)


@pytest.fixture
def batches():
    x = jt.linspace(0, 1, 12)[:, None]
    return nn.data.DataLoader(nn.data.ArrayDataset(x, 2 * x), 4)


def test_csv_has_the_history(batches, tmp_path):
    t = trainer(nn.CSVLogger(tmp_path / "log.csv"))
    history = t.fit(batches, epochs=2, validation=batches)
    rows = table(tmp_path / "log.csv")
    assert list(rows[0]) == history.columns
    assert [float(row["val_loss"]) for row in rows] == history["val_loss"]
    t.fit(batches, epochs=1, validation=batches)
    assert len(table(tmp_path / "log.csv")) == 3
    trainer(nn.CSVLogger(tmp_path / "log.csv")).fit(batches, epochs=1)  # a new training is a new file
    assert len(table(tmp_path / "log.csv")) == 1


def test_csv_takes_columns_that_come_later(batches, tmp_path):
    late = nn.LambdaCallback(on_epoch_end=lambda t, logs: logs.update(late=t.epoch) if t.epoch > 1 else None)
    trainer(nn.CSVLogger(tmp_path / "log.csv", every_steps=2), callbacks=[late]).fit(batches, epochs=2)
    rows = table(tmp_path / "log.csv")
    assert [row["late"] for row in rows] == ["", "", "", "", "2"]
    assert [row["step"] for row in rows] == ["2", "3", "4", "6", "6"]
    assert [row["seconds"] != "" for row in rows] == [False, True, False, False, True]


def test_jsonl_has_a_line_for_each_row(batches, tmp_path):
    t = trainer(nn.JSONLLogger(tmp_path / "log.jsonl", every_steps=1))
    history = t.fit(batches, epochs=2)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 3, 4, 5, 6, 6]
    assert [row.pop("event") for row in rows.copy()] == ["step"] * 3 + ["epoch"] + ["step"] * 3 + ["epoch"]
    assert [row for row in rows if "seconds" in row] == history.rows
    assert sum(row["loss"] for row in rows[:3]) / 3 == pytest.approx(history[0]["loss"])
    assert set(rows[0]) == {"epoch", "step", "loss", "lr"}


def test_jsonl_writes_null_for_nan(batches, tmp_path):
    nan = nn.LambdaCallback(on_epoch_end=lambda t, logs: logs.update(bad=math.nan))
    trainer(nn.JSONLLogger(tmp_path / "log.jsonl"), callbacks=[nan]).fit(batches, epochs=1)
    assert json.loads((tmp_path / "log.jsonl").read_text())["bad"] is None


@pytest.mark.parametrize("kind", [nn.JSONLLogger, nn.CSVLogger])
def test_what_came_after_the_checkpoint_is_cut_off(kind, batches, tmp_path):
    file = tmp_path / "log"

    def make(*callbacks):
        return trainer(kind(file, every_steps=1), callbacks=callbacks, checkpoint=tmp_path / "run.ckpt")

    def cut(t, logs):
        if t.step == 5:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        make(nn.LambdaCallback(on_step_end=cut)).fit(batches, epochs=3)
    with open(file, "a") as f:
        f.write("the kill came in the middle of a li")
    make().fit(batches, epochs=3, resume=True)
    rows = table(file) if kind is nn.CSVLogger else [json.loads(x) for x in file.read_text().splitlines()]
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9]


def test_tensorboard_reads_back(batches, tmp_path):
    pytest.importorskip("tensorboardX")
    t = trainer(nn.TensorBoardLogger(tmp_path / "tb", every_steps=2))
    history = t.fit(batches, epochs=2, validation=batches)
    epochs, steps = (events(tmp_path / "tb" / kind) for kind in ("epoch", "step"))
    assert [step for step, _ in epochs["epoch/loss"]] == [1, 2]
    assert [value for _, value in epochs["epoch/val_loss"]] == pytest.approx(history["val_loss"], rel=1e-6)
    assert [step for step, _ in steps["step/loss"]] == [2, 4, 6]
    assert set(steps) == {"step/loss", "step/lr"}
    assert set(epochs) == {"epoch/loss", "epoch/val_loss", "epoch/lr", "epoch/seconds"}


def test_tensorboard_loses_nothing_where_a_resume_is_quick(batches, tmp_path):
    """tensorboardX names files by the second, and opens them anew."""
    pytest.importorskip("tensorboardX")

    def make():
        tb = nn.TensorBoardLogger(tmp_path / "tb", every_steps=1)
        return trainer(tb, checkpoint=tmp_path / "run.ckpt")

    make().fit(batches, epochs=1)
    make().fit(batches, epochs=2, resume=True)
    assert sorted(step for step, _ in events(tmp_path / "tb" / "step")["step/loss"]) == [1, 2, 3, 4, 5, 6]


def test_text_with_line_ends_survives_a_resume(batches, tmp_path):
    note = "a\nb\u2028c"

    def make():
        add = nn.LambdaCallback(on_epoch_end=lambda trainer, logs: logs.update(note=note))
        return trainer(nn.CSVLogger(tmp_path / "log.csv"), callbacks=[add], checkpoint=tmp_path / "run.ckpt")

    make().fit(batches, epochs=1)
    make().fit(batches, epochs=2, resume=True)
    with open(tmp_path / "log.csv", newline="", encoding="utf-8") as file:
        assert [row["note"] for row in csv.DictReader(file)] == [note, note]


@pytest.mark.parametrize("kind", [nn.CSVLogger, nn.JSONLLogger])
def test_a_kill_while_a_log_is_cut_loses_no_row(kind, batches, tmp_path, monkeypatch):
    file = tmp_path / "log"

    def make():
        return trainer(kind(file), checkpoint=tmp_path / "run.ckpt")

    make().fit(batches, epochs=2)
    before = file.read_bytes()

    def kill(*_):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", kill)
        with pytest.raises(SystemExit):
            make().fit(batches, epochs=3, resume=True)
    assert file.read_bytes() == before
    make().fit(batches, epochs=3, resume=True)
    rows = table(file) if kind is nn.CSVLogger else [json.loads(x) for x in file.read_text().splitlines()]
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]


def test_jsonl_writes_what_json_can_hold(batches, tmp_path):
    values = {"nested": {1: [math.inf, 2.0]}, "array": jt.tensor([1.0, math.nan]), "path": tmp_path}
    add = nn.LambdaCallback(on_epoch_end=lambda t, logs: logs.update(values))
    trainer(nn.JSONLLogger(tmp_path / "log.jsonl"), callbacks=[add]).fit(batches, epochs=1)
    row = json.loads((tmp_path / "log.jsonl").read_text())
    assert [row[name] for name in values] == [{"1": [None, 2.0]}, [1.0, None], str(tmp_path)]


def events(folder):
    """The scalars of the event files in a folder: name -> [(step, value), ...]."""
    import struct

    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for file in sorted(folder.iterdir()):
        data, at = file.read_bytes(), 0
        while at < len(data):  # length, its checksum, the event, its checksum
            (n,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + n])
            at += 16 + n
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


@pytest.mark.parametrize(
    ("make", "missing", "message"),
    [
        (lambda p: nn.TensorBoardLogger(p), "tensorboardX", r'pip install "jitrench-nn\[tensorboard\]"'),
        (lambda p: nn.LearningGIF(print, p / "x.gif"), "matplotlib", r'LearningGIF needs matplotlib: pip install "jitrench-nn\[train\]"'),
        (lambda p: nn.LearningGIF(print, p / "x.gif"), "PIL", "LearningGIF needs pillow"),
    ],
)  # fmt: skip
def test_what_is_not_installed_is_said(make, missing, message, batches, tmp_path, monkeypatch):
    if missing == "PIL":
        pytest.importorskip("matplotlib")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(nn.TrainingError, match=message):
        trainer(make(tmp_path)).fit(batches, epochs=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.CSVLogger("x", every_steps=0), r"CSVLogger\(every_steps=0\)"),
        (lambda: nn.TensorBoardLogger("x", every_steps=0), r"TensorBoardLogger\(every_steps=0\)"),
        (lambda: nn.LearningGIF(print, "x", fps=0), r"LearningGIF\(fps=0\): expected frames a second, above 0"),
        (lambda: nn.plot_history([1.0]), "expected a History, or a Trainer; got a list"),
        (lambda: nn.plot_history(nn.History([{"epoch": 1, "loss": 1.0}]), columns=[]), "there is no column to draw"),
        (lambda: nn.plot_history(nn.History([{"epoch": 1, "note": "a"}]), columns=["note"]), "'note' holds no numbers"),
        (lambda: nn.LearningGIF(None, "x"), "draw must be a function of axes and trainer; got None"),
        (lambda: nn.LearningGIF(print, "x", every=0), r"LearningGIF\(every=0\): expected a whole number from 1"),
        (lambda: nn.plot_history(nn.History()), "the history has no rows yet"),
        (lambda: nn.plot_history(nn.History([{"epoch": 1, "loss": 1.0}]), columns=["acc"]), "no column 'acc'; it has epoch, loss"),
    ],
)  # fmt: skip
def test_loggers_made_wrongly_say_so(make, message):
    pytest.importorskip("matplotlib")
    with pytest.raises(nn.TrainingError, match=message):
        make()


def test_a_folder_that_is_not_there(batches, tmp_path):
    with pytest.raises(nn.TrainingError, match="JSONLLogger: the folder .*none' does not exist"):
        trainer(nn.JSONLLogger(tmp_path / "none" / "x")).fit(batches, epochs=1)
    pytest.importorskip("matplotlib")
    pytest.importorskip("PIL")
    with pytest.raises(nn.TrainingError, match="LearningGIF: the folder .*none' does not exist"):
        trainer(nn.LearningGIF(print, tmp_path / "none" / "x.gif")).fit(batches, epochs=1)


# -- pictures -------------------------------------------------------------------------------------------------------------


def test_curves_of_training_and_validation(tmp_path):
    pytest.importorskip("matplotlib")
    history = nn.History([
        {"epoch": n, "step": n, "loss": 3.0 / n**2, "val_loss": 3.1 / n, "accuracy": 1 - 1 / n, "lr": 0.1, "seconds": 1.0}
        for n in range(1, 8)
    ])  # fmt: skip
    figure = nn.plot_history(history, tmp_path / "h.png", title="Learning")
    loss, accuracy = figure.axes
    assert (loss.get_title(), accuracy.get_title()) == ("loss", "accuracy")
    assert [line.get_ydata().tolist() for line in loss.lines] == [history["loss"], history["val_loss"]]
    assert (loss.get_yscale(), accuracy.get_yscale()) == ("log", "linear")
    assert [t.get_text() for t in loss.get_legend().get_texts()] == [
        "training (0.06122 at the end)",
        "validation (0.4429 at the end)",
    ]
    assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")
    history.rows[-1]["lr"] = 0.01
    assert [axes.get_title() for axes in nn.plot_history(history).axes] == ["loss", "accuracy", "learning rate"]
    alone = nn.plot_history(history, columns=["val_loss"]).axes[0]
    assert alone.get_title() == "val loss"
    assert alone.get_legend().get_texts()[0].get_text().startswith("validation (")


def test_curves_leave_out_what_is_no_number():
    pytest.importorskip("matplotlib")
    history = nn.History([
        {"epoch": 1, "loss": math.nan, "val_loss": 100.0, "note": "begun", "matrix": [1, 2], "lr": 0.1},
        {"epoch": 2, "loss": 1.0, "val_loss": 2.0, "note": "done", "gap": 0.5},
    ])  # fmt: skip
    loss, gap = nn.plot_history(history).axes
    assert (loss.get_title(), gap.get_title(), loss.get_yscale()) == ("loss", "gap", "log")
    assert gap.lines[0].get_xdata().tolist() == [2]


def test_an_animation_has_a_frame_for_each_moment(batches, tmp_path):
    pytest.importorskip("matplotlib")
    image = pytest.importorskip("PIL.Image")
    seen = []

    def draw(axes, t):
        seen.append(t.epoch)
        axes.plot([0, 1], t.predict(jt.tensor([[0.0], [1.0]])).numpy()[:, 0])
        axes.set_ylim(-1, 3)

    path = tmp_path / "learning.gif"

    def make(*more):
        gif = nn.LearningGIF(draw, path, every=2, fps=10, figsize=(2, 2), dpi=50)
        return trainer(callbacks=[gif, *more], checkpoint=tmp_path / "run.ckpt")

    stop = nn.LambdaCallback(on_epoch_start=lambda t: t.epoch == 3 and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make(stop).fit(batches, epochs=6)
    assert seen == [0, 2]
    make().fit(batches, epochs=6, resume=True)
    assert seen == [0, 2, 4, 6]
    with image.open(path) as gif:
        assert (gif.n_frames, gif.size) == (4, (100, 100))
        assert gif.info["duration"] == 100
        gif.seek(3)
        assert gif.info["duration"] == 1000
    seen.clear()
    gif = nn.LearningGIF(draw, path, every_steps=2, figsize=(2, 2), dpi=50)
    trainer(callbacks=gif).fit(batches, epochs=2)
    assert len(seen) == 4
