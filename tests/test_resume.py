"""A training that was cut off anywhere and goes on ends with the same bits; a checkpoint of another one says so."""

from __future__ import annotations

import importlib.util
import json
import random
from pathlib import Path

import pytest

import jitrench_core as jt
import jitrench_nn as nn
import jitrench_optim as optim
from jitrench_core.transforms.tree import flatten

ROOT = Path(__file__).parents[1]


def bits(tree):
    return [x.numpy().tobytes() for x in flatten(tree)[0] if isinstance(x, jt.Tensor)]


def model(x):
    x = nn.Dropout(0.3)(jt.tanh(nn.BatchNorm1d()(nn.Linear(6)(x))))
    return nn.Linear(1)(x)


class Cut(Exception):
    """Ends a training without a word."""


def make(folder, backend="numpy", **options):
    """A trainer with everything that has a state."""
    defaults = {
        "metrics": [nn.metrics.MeanAbsoluteError],
        "schedule": lambda o: optim.CosineAnnealingLR(o, T_max=8),
        "schedule_per": "step",
        "average": lambda p: optim.EMA(p, decay=0.8),
        "callbacks": [nn.EarlyStopping(patience=9)],
        "loggers": [nn.JSONLLogger(folder / "log.jsonl", every_steps=1), nn.CSVLogger(folder / "log.csv")],
        "checkpoint": nn.Checkpoint(folder / "run.ckpt", every_steps=1, every_epochs=None),
        "progress": False,
        "seed": 4,
        "accumulate": 2,
    }
    return nn.Trainer(model, nn.mse_loss, lambda p: optim.AdamW(p, lr=0.05), **{**defaults, **options})


def loader(backend, **options):
    x = jt.random.Generator(0).normal((40, 3)).to(backend)

    def jitter(batch, *, generator):
        return batch[0] + 0.1 * generator.normal(batch[0].shape), batch[1]

    data = nn.data.ArrayDataset(x, jt.sum(x, axis=1, keepdims=True))
    return nn.data.DataLoader(data, 6, shuffle=True, seed=1, transform=jitter, **options)


def fit(trainer, backend, epochs, **options):
    return trainer.fit(loader(backend), epochs=epochs, validation=[next(iter(loader(backend)))], **options)


def outcome(trainer, folder):
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in trainer.history]
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    lines = [line.rpartition(",")[0] for line in (folder / "log.csv").read_text().splitlines()]
    log = [{k: v for k, v in row.items() if k != "seconds"} for row in log]
    return bits(trainer.params), bits(trainer.average.average), bits(trainer.optimizer.state_dict()), rows, log, lines


@pytest.fixture
def whole(tmp_path, backend):
    folder = tmp_path / "whole"
    folder.mkdir()
    trainer = make(folder)
    fit(trainer, backend, 2)
    return outcome(trainer, folder)


@pytest.mark.parametrize("place", [1, 3, 4, 5, 8])
def test_after_any_step_it_goes_on_bit_for_bit(place, whole, tmp_path, backend):
    """Epochs have 7 batches, so 4 steps, the last by one batch."""

    def cut(trainer, logs):
        if trainer.step == place + 1:  # what is on the disk is ``place``
            raise Cut

    def end(trainer, logs):
        if trainer.step == place:
            raise Cut

    trainer = make(
        tmp_path, callbacks=[nn.EarlyStopping(patience=9), nn.LambdaCallback(on_step_end=cut, on_epoch_end=end)]
    )
    with pytest.raises(Cut):
        trainer.fit(loader(backend, prefetch=2), epochs=2, validation=[next(iter(loader(backend)))])
    assert nn.load_checkpoint(tmp_path / "run.ckpt")["step"] == place
    jt.random.seed(99)
    resumed = make(tmp_path)
    resumed.fit(loader(backend, prefetch=1), epochs=2, validation=[next(iter(loader(backend)))], resume=True)
    assert outcome(resumed, tmp_path) == whole


def test_a_list_of_batches_goes_on_after_those_that_were_seen(tmp_path, backend):
    batches = [*loader(backend)]
    plain = {"accumulate": 1, "callbacks": []}
    whole, resumed = make(tmp_path, **plain), make(tmp_path, **plain)
    whole.fit(batches, epochs=2)
    stop = nn.LambdaCallback(on_step_end=lambda t, logs: t.step == 4 and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make(tmp_path, accumulate=1, callbacks=[stop]).fit(batches, epochs=2)
    resumed.fit(batches, epochs=2, resume=True)
    trained = bits(whole.params), bits(resumed.params)
    assert trained[0] == trained[1]


def test_nothing_to_resume_is_a_start(tmp_path, backend, whole):
    trainer = make(tmp_path)
    fit(trainer, backend, 2, resume=True)
    assert outcome(trainer, tmp_path) == whole
    again = make(tmp_path, loggers=[])  # what is done is done
    fit(again, backend, 2, resume=True)
    assert (again.step, bits(again.params)) == (8, whole[0])
    more = make(tmp_path, loggers=[])
    fit(more, backend, 3, resume=True)
    assert more.history["epoch"] == [1, 2, 3]


def test_a_stop_is_kept(tmp_path, backend):
    def stopping():
        worse = nn.LambdaCallback(on_epoch_end=lambda t, logs: logs.update(val_loss=float(t.epoch)))
        return make(
            tmp_path, callbacks=[worse, nn.EarlyStopping(patience=1)], checkpoint=tmp_path / "run.ckpt", loggers=[]
        )

    first = stopping()
    first.fit(loader(backend), epochs=9)
    again = stopping()
    again.fit(loader(backend), epochs=9, resume=True)
    assert again.epoch == first.epoch == 2
    assert bits(again.params) == bits(first.params)  # those of the best epoch, restored once more


def test_the_state_is_a_snapshot(backend):
    trainer = make(Path(), loggers=[], checkpoint=None)
    fit(trainer, backend, 1)
    state = trainer.state_dict()
    before = bits(state["model"]), bits(state["optimizer"]), bits(state["random"]), bits(state["average"])
    fit(trainer, backend, 1)
    assert (bits(state["model"]), bits(state["optimizer"]), bits(state["random"]), bits(state["average"])) == before
    trainer.load_state_dict(state)
    assert bits(trainer.params) == before[0]


def test_a_file_goes_to_another_backend(tmp_path):
    pytest.importorskip("jitrench_strict")
    trainer = make(tmp_path)
    fit(trainer, "numpy", 1)
    other = make(tmp_path, loggers=[])
    fit(other, "strict:0", 1, resume=True)
    assert other.params["Linear_1"]["weight"].device == "strict:0"
    assert bits(other.params) == bits(trainer.params)


def test_a_kill_at_random_moments(tmp_path):
    spec = importlib.util.spec_from_file_location("kill_and_resume", ROOT / "benchmarks" / "kill_and_resume.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert len(script.run(3, random.Random(5).randrange(1000), tmp_path)) == 3


# -- checkpoints that do not fit ------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path, backend):
    fit(make(tmp_path), backend, 1)
    return tmp_path / "run.ckpt"


def resume(trainer, data, saved):
    return trainer.fit(data, epochs=2, resume=saved)


def test_a_checkpoint_of_another_model_names_every_key(saved, backend):
    other = nn.Trainer(
        lambda x: nn.Linear(1, name="out")(nn.BatchNorm1d()(nn.Linear(5)(x))), nn.mse_loss, optim.SGD, progress=False
    )
    with pytest.raises(nn.TrainingError) as caught:
        resume(other, loader(backend), saved)
    text = str(caught.value)
    assert text.startswith(
        f"{saved}: these weights are of another model; missing: 'out.weight', 'out.bias'; unexpected: 'Linear_2.weight', 'Linear_2.bias'; "
    )
    assert "'Linear_1.weight' (float64 (6, 3), expected float64 (5, 3))" in text
    assert text.endswith("Nothing was loaded.")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"schedule": None}, nn.TrainingError, "saved with schedule=; the trainer is made without one"),
        ({"average": None}, nn.TrainingError, "saved with average=; the trainer is made without one"),
        ({"metrics": None}, nn.TrainingError, "has the metrics mean_absolute_error; the trainer is made with none"),
    ],
)
def test_a_checkpoint_of_another_trainer_says_so(options, error, message, saved, tmp_path, backend):
    with pytest.raises(error, match=message):
        resume(make(tmp_path, **options), loader(backend), saved)


def test_other_files_and_loaders_are_refused(saved, tmp_path, backend):
    weights = tmp_path / "weights.jtw"
    nn.save(nn.load_checkpoint(saved)["model"], weights)
    with pytest.raises(jt.JITrenchError, match="is no checkpoint"):
        resume(make(tmp_path), loader(backend), weights)
    nn.save_checkpoint({"model": 1}, weights)
    with pytest.raises(nn.TrainingError, match=r"is not a trainer's checkpoint: Trainer\.save"):
        resume(make(tmp_path), loader(backend), weights)
    with pytest.raises(FileNotFoundError):
        resume(make(tmp_path), loader(backend), tmp_path / "none.ckpt")
    with pytest.raises(
        nn.TrainingError, match="saved with a loader that knows its place, .* such as a list of batches"
    ):
        resume(make(tmp_path), [*loader(backend)], saved)
    other = make(tmp_path, loggers=[], callbacks=[], checkpoint=None)
    other.fit([*loader(backend)], epochs=1)
    other.save(weights)
    with pytest.raises(nn.TrainingError, match=r"with one that does not, .* give fit\(\) the data as it was"):
        resume(make(tmp_path), loader(backend), weights)
    x = jt.ones((9, 3), device=backend)
    with pytest.raises(jt.JITrenchError, match="of another loader: length was 40 and is 9"):
        resume(make(tmp_path), nn.data.DataLoader(nn.data.ArrayDataset(x, x[:, :1]), 6, shuffle=True), saved)


class Torn:
    """A callback that takes half of a state, and then no more."""

    value = 0

    def on_epoch_end(self, trainer, logs):
        pass

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]
        if self.value:
            raise KeyError("half")


@pytest.mark.parametrize("part", ["optimizer", "schedule", "metrics", "callbacks", "loader"])
def test_a_refused_checkpoint_changes_nothing(part, tmp_path, backend):
    def trained(other, seed):
        trainer = nn.Trainer(
            model,
            nn.mse_loss,
            optim.SGD if other == "optimizer" else lambda p: optim.Adam(p, lr=0.05),
            schedule=lambda o: optim.StepLR(o, 3) if other == "schedule" else optim.CosineAnnealingLR(o, 8),
            average=lambda p: optim.EMA(p, decay=0.8),
            metrics=[nn.metrics.R2 if other == "metrics" else nn.metrics.MeanAbsoluteError],
            callbacks=[torn := Torn()],
            progress=False,
            seed=seed,
        )
        torn.value = int(other == "callbacks")
        trainer.fit(loader(backend, drop_last=other == "loader"), epochs=1 + seed)
        return trainer

    trained(part, 0).save(tmp_path / "other.ckpt")
    trainer = trained("", 1)
    before, history = trainer.state_dict(), trainer.history
    message = rf"other\.ckpt: the {part} of the checkpoint does not fit: .*[^.]\. Nothing was loaded\."
    with pytest.raises(nn.TrainingError, match=message) as caught:
        trainer.load(tmp_path / "other.ckpt")
    assert not isinstance(caught.value.__cause__.__cause__, (nn.TrainingError, type(None))) or part == "metrics"
    after = trainer.state_dict()
    assert (bits(after), str(after)) == (bits(before), str(before))
    assert trainer.history is history
    with pytest.raises(nn.TrainingError, match="no state of a Trainer: 'format', 'optimizer', .* is missing"):
        trainer.load_state_dict({"model": before["model"]})


@pytest.mark.parametrize(
    ("entry", "value", "expected"),
    [
        ("history", [1], "a list of dicts, one for each epoch"),
        ("history", None, "a list of dicts, one for each epoch"),
        ("epoch", "2", "a whole number from 0"),
        ("step", None, "a whole number from 0"),
        ("batch", 1.5, "a whole number from 0"),
        ("first", True, "a whole number from 0"),
        ("batch", -1, "a whole number from 0"),
        ("running", 1, "True or False"),
        ("exhausted", None, "True or False"),
        ("stopped", 3, "a text, or None"),
        ("model", None, "a dict of Tensors by their names"),
        ("model", {"Linear_1.weight": 1}, "a dict of Tensors by their names"),
    ],
)
def test_an_entry_of_another_type_changes_nothing(entry, value, expected, tmp_path, backend):
    trainer = make(tmp_path, loggers=[], checkpoint=nn.Checkpoint(tmp_path / "run.ckpt"))
    fit(trainer, backend, 1)
    other = trainer.state_dict()
    fit(trainer, backend, 1)
    before = trainer.state_dict()
    with pytest.raises(nn.TrainingError, match=f"the state's '{entry}' is .*; expected {expected}. Nothing was loaded"):
        trainer.load_state_dict(other | {entry: value})
    after = trainer.state_dict()
    assert (bits(after), str(after)) == (bits(before), str(before))
    with pytest.raises(nn.TrainingError, match="this is no state of a Trainer, but a NoneType"):
        trainer.load_state_dict(None)


def test_a_refused_load_does_not_touch_what_a_state_does_not_tell(backend):
    """A loader's stopped epoch is over, and early stopping begins anew with the next fit."""

    def stop(trainer, logs):
        if trainer.step == 2:
            trainer.stop("enough")

    stopping, torn = nn.EarlyStopping("loss", patience=9), Torn()
    trainer = nn.Trainer(
        model,
        nn.mse_loss,
        optim.SGD,
        callbacks=[nn.LambdaCallback(on_step_end=stop), stopping, torn],
        progress=False,
    )
    data = loader(backend)
    trainer.fit(data, epochs=1)
    assert (data.epoch, data.position) == (0, 2)
    state = trainer.state_dict()
    state["callbacks"] |= {"Torn_1": {"value": 1}}
    with pytest.raises(nn.TrainingError, match="the callbacks of the checkpoint does not fit"):
        trainer.load_state_dict(state)
    iter(data).close()
    assert (data.epoch, data.position) == (1, 0)
    assert stopping.best_epoch == 1
    stopping.monitor.best = -1.0  # which no epoch would surpass
    trainer.fit(data, epochs=1)
    assert (stopping.best_epoch, stopping.waited) == (2, 0)


def test_a_load_leaves_the_history_that_was_held(tmp_path, backend):
    trainer = make(tmp_path, loggers=[], checkpoint=nn.Checkpoint(tmp_path / "run.ckpt"))
    held = fit(trainer, backend, 1)
    fit(trainer, backend, 2)
    assert held is trainer.history
    fit(make(tmp_path, loggers=[], checkpoint=nn.Checkpoint(tmp_path / "one.ckpt")), backend, 1)
    trainer.load(tmp_path / "one.ckpt")
    assert (held["epoch"], trainer.history["epoch"]) == ([1, 2, 3], [1])
    assert trainer.history.trainer is trainer


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_stop_in_the_middle_of_an_epoch_is_resumed(accumulate, tmp_path, backend):
    """The epoch is not over where the step's checkpoint was written: its validation, row, schedule and callbacks come."""

    def run(folder, kill, resume):
        folder.mkdir(exist_ok=True)

        def stop(trainer, logs):
            if trainer.step == 2:
                trainer.stop("enough")

        def end(trainer, logs):
            if kill:
                raise Cut

        callbacks = [nn.LambdaCallback(on_step_end=stop, on_epoch_end=end), nn.EarlyStopping(patience=9)]
        schedule = {"schedule": lambda o: optim.ExponentialLR(o, gamma=0.5), "schedule_per": "epoch"}
        trainer = make(folder, callbacks=callbacks, accumulate=accumulate, **schedule)
        data, held_out = loader(backend, prefetch=2), [next(iter(loader(backend)))]
        if kill:
            with pytest.raises(Cut):
                trainer.fit(data, epochs=3, validation=held_out)
            assert nn.load_checkpoint(folder / "run.ckpt")["stopped"] == "enough"
            return None
        trainer.fit(data, epochs=3, validation=held_out, resume=resume)
        assert (trainer.stopped, trainer.epoch, trainer.step) == ("enough", 1, 2)
        first = outcome(trainer, folder)
        trainer.fit(
            data, epochs=1, validation=held_out
        )  # goes on with the next epoch, and not with what the stop left out
        return first, bits(trainer.params), trainer.step

    expected = run(tmp_path / "whole", kill=False, resume=False)
    run(tmp_path / "killed", kill=True, resume=False)
    assert run(tmp_path / "killed", kill=False, resume=True) == expected


class Dropping(nn.Module):
    """A Module draws from the default generator, like the loader's transform below."""

    def __init__(self):
        super().__init__()
        self.hidden, self.drop, self.out = nn.Linear(6), nn.Dropout(0.5), nn.Linear(1)

    def forward(self, x):
        return self.out(self.drop(self.hidden(x)))


@pytest.mark.parametrize("prefetch", [0, 2])
def test_augmentations_and_dropout_do_not_race(prefetch, tmp_path, backend):
    def run(prefetch, callbacks=(), **options):
        jt.random.seed(0)
        x = jt.random.Generator(0).normal((40, 3)).to(backend)
        data = nn.data.ArrayDataset(x, jt.sum(x, axis=1, keepdims=True))
        data = data.map(lambda e: (e[0] + 0.1 * jt.random.normal(e[0].shape).to(backend), e[1]))
        batches = nn.data.DataLoader(
            data,
            6,
            shuffle=True,
            seed=1,
            prefetch=prefetch,
            transform=lambda b: (b[0] * jt.random.uniform().to(backend), b[1]),
        )
        checkpoint = nn.Checkpoint(tmp_path / "run.ckpt", every_steps=1)
        trainer = nn.Trainer(
            Dropping(), nn.mse_loss, optim.SGD, callbacks=callbacks, checkpoint=checkpoint, progress=False
        )
        trainer.fit(batches, epochs=2, **options)
        return bits(trainer.weights())

    expected = run(0)
    assert run(prefetch) == expected
    (tmp_path / "run.ckpt").unlink()
    with pytest.raises(ZeroDivisionError):
        run(prefetch, [nn.LambdaCallback(on_step_end=lambda t, logs: t.step == 4 and 1 / 0)])
    assert nn.load_checkpoint(tmp_path / "run.ckpt")["step"] == 3
    assert run(prefetch, resume=True) == expected
