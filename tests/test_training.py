"""The trainer's loop: that it is the loop by hand, what it measures, what ends it, and what it says when something is wrong."""

from __future__ import annotations

import collections
import copy
import math
import os
import signal
import subprocess
import sys
import textwrap

import pytest

import jitrench_core as jt
import jitrench_nn as nn
import jitrench_optim as optim
from jitrench_core.transforms.tree import flatten


def mlp(x):
    return nn.Linear(1)(jt.tanh(nn.Linear(4)(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.norm, self.out = nn.Linear(4), nn.BatchNorm1d(), nn.Linear(1)

    def forward(self, x):
        return self.out(jt.tanh(self.norm(self.hidden(x))))


def bits(tree):
    return [x.numpy().tobytes() for x in flatten(tree)[0]]


def sgd(params):
    return optim.SGD(params, lr=0.1)


def quiet(model=mlp, loss=nn.mse_loss, optimizer=sgd, **options):
    return nn.Trainer(model, loss, optimizer, **{"progress": False, **options})


@pytest.fixture
def data(T):
    """21 points of a line, on the device under test."""
    return T([[i / 20] for i in range(21)]), T([[1 + 2 * i / 20] for i in range(21)])


@pytest.fixture
def batches(data):
    x, y = data
    return [(x[i : i + 8], y[i : i + 8]) for i in range(0, 21, 8)]


# -- the loop ---------------------------------------------------------------------------------------------------------


def test_a_functional_model_learns_as_by_hand(batches, backend):
    params = nn.init(mlp, batches[0][0], seed=3)
    mine = copy.deepcopy(params)
    history = quiet(params=params).fit(batches, epochs=3)
    optimizer = sgd(mine)
    losses = []
    for _ in range(3):
        total = 0.0
        for x, y in batches:
            optimizer.zero_grad()
            loss = nn.mse_loss(nn.apply(mlp, mine, x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        losses.append(total / 21)
    assert bits(params) == bits(mine)
    assert history["loss"] == losses
    assert (history["epoch"], history["step"]) == ([1, 2, 3], [3, 6, 9])


def test_a_module_learns_as_by_hand(batches, backend):
    jt.random.seed(0)
    net, mine = Net(), Net()
    net(batches[0][0])
    mine(batches[0][0])
    mine.load_state_dict(net.state_dict())
    history = quiet(net, optimizer=optim.SGD(net.parameters(), lr=0.1)).fit(batches, epochs=2, validation=batches)
    optimizer = optim.SGD(mine.parameters(), lr=0.1)
    for _ in range(2):
        mine.train()
        for x, y in batches:
            optimizer.zero_grad()
            nn.mse_loss(mine(x), y).backward()
            optimizer.step()
    mine.eval()
    expected = sum(nn.mse_loss(mine(x), y).item() * len(x) for x, y in batches) / 21
    assert bits(net.state()) == bits(mine.state())
    assert history[-1]["val_loss"] == pytest.approx(expected, rel=1e-12)
    assert not net.training


def test_parameters_are_made_at_the_first_batch(data):
    trainer = quiet(seed=5)
    trainer.fit(data, epochs=1)
    assert trainer.params["Linear_1"]["weight"].shape == (4, 1)
    assert trainer.params["Linear_1"]["weight"].device == data[0].device
    fresh = quiet(seed=5, optimizer=lambda p: optim.SGD(p, lr=0.0))
    fresh.fit(data, epochs=1)
    assert bits(fresh.params) == bits(nn.init(mlp, data[0], seed=5))
    net = Net()
    quiet(net, optimizer=optim.SGD).fit(data, epochs=1)
    assert len(list(net.parameters())) == 6


def test_a_look_at_the_loader_before_takes_nothing_away(data):
    loader = nn.data.DataLoader(nn.data.ArrayDataset(*data), 8, shuffle=True)
    next(iter(loader))
    assert quiet().fit(loader, epochs=2)["step"] == [3, 6]
    fresh = nn.data.DataLoader(nn.data.ArrayDataset(*data), 8, shuffle=True, seed=1)
    same = nn.data.DataLoader(nn.data.ArrayDataset(*data), 8, shuffle=True, seed=1)
    made = quiet(seed=7)  # makes parameters of a batch first
    made.fit(fresh, epochs=1)
    params = nn.init(mlp, data[0], seed=7)
    quiet(params=params).fit(same, epochs=1)
    assert bits(made.params) == bits(params)


def test_one_seed_is_one_training(data):
    def model(x):
        return nn.Linear(1)(nn.Dropout(0.5)(nn.Linear(8)(x)))

    runs = []
    for seed in (1, 1, 2):
        trainer = quiet(model, seed=seed)
        trainer.fit(data, epochs=2, batch_size=5)
        runs.append(bits(trainer.params))
    assert runs[0] == runs[1] != runs[2]


def test_the_one_liner(data):
    history = nn.fit(
        nn.Linear(1), data, loss=nn.mse_loss, optimizer=lambda p: optim.Adam(p, lr=0.2), epochs=60, batch_size=21,
        validation=data, metrics=[nn.metrics.MeanAbsoluteError], progress=False,
    )  # fmt: skip
    assert history.columns == [
        "epoch", "step", "loss", "mean_absolute_error", "val_loss", "val_mean_absolute_error", "lr", "seconds",
    ]  # fmt: skip
    assert history[-1]["val_loss"] < 1e-2 < history[0]["val_loss"]
    assert history.trainer.predict(data[0]).shape == (21, 1)


def test_a_second_fit_trains_on(batches):
    params = nn.init(mlp, batches[0][0])
    twice, once = copy.deepcopy(params), params
    trainer = quiet(params=twice)
    trainer.fit(batches, epochs=2)
    trainer.fit(batches, epochs=1)
    assert trainer.history["epoch"] == [1, 2, 3]
    quiet(params=once).fit(batches, epochs=3)
    assert bits(twice) == bits(once)


def test_gradients_accumulate_to_the_mean_of_the_batches(data):
    """Two batches of 8 together, and 5 alone, are updates by 16 and by 5."""
    x, y = data
    small = [(x[i : i + 8], y[i : i + 8]) for i in (0, 8)] + [(x[16:], y[16:])]
    large = [(x[:16], y[:16]), (x[16:], y[16:])]
    found = []
    for batches, n in ((small, 2), (large, 1)):
        params = nn.init(mlp, x, seed=1)
        trainer = quiet(params=params, accumulate=n)
        history = trainer.fit(batches, epochs=2)
        found.append((trainer.step, history[-1]["loss"], params["Linear_2"]["weight"].tolist()))
    assert found[0][0] == found[1][0] == 4
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-9)
    assert found[0][2][0] == pytest.approx(found[1][2][0], rel=1e-12)


def test_clipping_is_by_the_norm_of_all_gradients(T):
    x = T([[3.0, 4.0]])
    params = {"Linear_1": {"weight": T([[0.0, 0.0]], requires_grad=True)}}
    seen = []

    def loss(output, target):
        return jt.sum(output - target)

    linear = nn.Linear(1, bias=False)
    quiet(lambda x: linear(x), loss, lambda p: optim.SGD(p, lr=1.0), params=params, clip=1.0).fit(
        [(x, x[:, :1])], epochs=1
    )
    assert params["Linear_1"]["weight"].tolist()[0] == pytest.approx([-0.6, -0.8], abs=1e-6)
    quiet(lambda x: linear(x), loss, sgd, params=params, clip=seen.append).fit([(x, x[:, :1])], epochs=1)
    assert seen == [[params["Linear_1"]["weight"]]]


def test_schedules_go_by_step_by_epoch_or_by_a_number(batches):
    for per, expected in (("step", 0.1 * 0.5**6), ("epoch", 0.1 * 0.5**2)):
        trainer = quiet(schedule=lambda o: optim.ExponentialLR(o, gamma=0.5), schedule_per=per)
        history = trainer.fit(batches, epochs=2)
        assert float(trainer.optimizer.lr) == pytest.approx(expected)
        assert history[0]["lr"] == pytest.approx(0.1 if per == "epoch" else 0.1 * 0.5**3)
    plateau = {"schedule": lambda o: optim.ReduceLROnPlateau(o, factor=0.1, patience=0, mode="max")}
    history = quiet(**plateau).fit(batches, epochs=3, validation=batches)
    assert history["lr"] == pytest.approx([0.1, 0.1, 0.01])
    with pytest.raises(
        nn.TrainingError,
        match=r"ReduceLROnPlateau: there is no 'val_loss' to monitor; there are epoch, step, loss, lr.*pass validation=",
    ):
        quiet(**plateau).fit(batches, epochs=1)


def test_an_average_of_weights_is_updated_each_step(batches):
    trainer = quiet(average=lambda params: optim.EMA(params, decay=0.5))
    trainer.fit(batches, epochs=1)
    assert trainer.average.updates == 3
    with trainer.average.applied():
        inside = trainer.evaluate(batches)["loss"]
    assert inside != trainer.evaluate(batches)["loss"]


def test_a_step_function_may_do_anything(T, data):
    x, y = data

    def step(trainer, batch):
        output = trainer(batch["x"])
        extra = jt.mean(output)
        return {"loss": nn.mse_loss(output, batch["y"]), "output": output, "target": batch["y"], "mean": extra}

    metrics = {"error": lambda o, t: jt.mean(jt.abs(o - t))}
    params = nn.init(mlp, x)
    trainer = nn.Trainer(mlp, None, sgd, params=params, step=step, metrics=metrics, progress=False)
    history = trainer.fit([{"x": x, "y": y}], epochs=2, validation=[{"x": x, "y": y}])
    assert history.columns == [
        "epoch",
        "step",
        "loss",
        "error",
        "mean",
        "val_loss",
        "val_error",
        "val_mean",
        "lr",
        "seconds",
    ]
    plain = nn.Trainer(mlp, None, sgd, params=params, step=lambda t, b: nn.mse_loss(t(b["x"]), b["y"]), progress=False)
    assert plain.fit([{"x": x, "y": y}], epochs=1)[0]["loss"] < history[0]["loss"]


def test_what_a_step_function_logs_is_checked_and_never_lost(data):
    def trained(metrics=None, **more):
        def step(trainer, batch):
            output = trainer(batch[0])
            return {"loss": nn.mse_loss(output, batch[1])} | {
                k: output if k == "output" else v for k, v in more.items()
            }

        return quiet(loss=None, step=step, metrics=metrics).fit(data, epochs=1)

    assert trained(output=None, hits=3.0)["hits"] == [3.0]  # also beside one of output and target alone
    r2 = [nn.metrics.R2]
    with pytest.raises(nn.TrainingError, match="metrics r2 need 'output' and 'target' .* it returned 'loss', 'output'"):
        trained(r2, output=None)
    with pytest.raises(nn.TrainingError, match="step= returned a number 'epoch', and that is the name of another"):
        trained(epoch=1.0)
    with pytest.raises(nn.TrainingError, match="step= returned a number 'r2'"):
        trained(r2, output=None, target=data[1], r2=1.0)
    with pytest.raises(
        nn.TrainingError, match=r"step= returned 'rows', float64 of shape \(21, 1\); expected one number"
    ):
        trained(rows=data[1])


def test_a_batch_of_two_rows_is_no_input_and_target(T):
    """A Tensor can be unpacked like a pair, and must not be."""
    loader = nn.data.DataLoader(nn.data.ArrayDataset(T([[1.0], [2.0]])), 2)
    trainer = quiet(params=nn.init(mlp, T([[1.0]])))
    with pytest.raises(nn.TrainingError, match=r"a batch is a Tensor, not \(input, target\)"):
        trainer.fit(loader, epochs=1)


def test_inputs_may_be_dicts(data):
    x, y = data

    def model(parts):
        return nn.Linear(1)(parts["a"]) + nn.Linear(1)(parts["b"])

    loader = nn.data.DataLoader(nn.data.ArrayDataset({"a": x, "b": x}, y), 7)
    trainer = quiet(model)
    trainer.fit(loader, epochs=1)
    assert list(trainer.params) == ["Linear_1", "Linear_2"]
    assert trainer.predict([{"a": x, "b": x}]).shape == (21, 1)


def test_the_loader_that_runs_is_not_measured_on(data):
    """Its place would be that of the measurement, also in checkpoints."""
    loader = nn.data.DataLoader(nn.data.ArrayDataset(*data), 7)
    look = nn.LambdaCallback(on_step_end=lambda trainer, logs: trainer.evaluate(loader))
    with pytest.raises(nn.TrainingError, match="this loader is in the middle of the training's epoch"):
        quiet(callbacks=look).fit(loader, epochs=1)
    after = nn.LambdaCallback(on_epoch_end=lambda trainer, logs: logs.update(again=trainer.evaluate(loader)["loss"]))
    history = quiet(callbacks=after).fit(loader, epochs=2, validation=loader)
    assert history["again"] == history["val_loss"]


def test_predict_before_fit_is_on_the_trainers_device(backend):
    import numpy as np

    for model in (mlp, nn.Linear(1)):
        assert quiet(model, device=backend).predict(np.ones((3, 2))).device == jt.device(backend)


def test_a_schedule_of_results_is_per_epoch(batches):
    with pytest.raises(
        nn.TrainingError, match="a ReduceLROnPlateau looks at a number of each epoch; use schedule_per='epoch'"
    ):
        quiet(schedule=optim.ReduceLROnPlateau, schedule_per="step").fit(batches, epochs=1)


def test_an_exception_that_is_kept_keeps_no_thread(data):
    import threading

    def fail(output, target):
        raise ZeroDivisionError

    loader = nn.data.DataLoader(nn.data.ArrayDataset(*data), 2, prefetch=2)
    with pytest.raises(ZeroDivisionError) as kept:
        quiet(loss=fail).fit(loader, epochs=1)
    assert kept.value.__traceback__ is not None
    assert not [t for t in threading.enumerate() if t.name == "DataLoader"]


def test_outputs_are_not_kept_where_nobody_measures(data):
    trainer = quiet(accumulate=3)
    held = []
    update = trainer._update
    trainer._update = lambda watchers: (held.extend(set(logs) for logs, _ in trainer._seen), update(watchers))
    trainer.fit(data, epochs=1, batch_size=7)
    assert held == [{"loss"}] * 3


def test_a_model_of_several_inputs(data):
    x, y = data

    def model(a, b):
        return nn.Linear(1)(a) * b

    trainer = quiet(model)
    trainer.fit([(x, y, y)], epochs=1)
    assert trainer.predict((x, y), batch_size=4).shape == (21, 1)
    assert trainer.predict([(x, y), (x, y)]).shape == (42, 1)


def test_evaluate_and_predict_are_not_training(data):
    def model(x):
        return nn.Dropout(0.9)(nn.Linear(1)(x))

    trainer = quiet(model)
    x, y = data
    once = trainer.predict(x, batch_size=5)
    assert bits([once]) == bits([trainer.predict(x)])
    assert not once.requires_grad
    assert trainer.evaluate(data)["loss"] == pytest.approx(nn.mse_loss(once, y).item(), rel=1e-12)
    before = bits(trainer.params)
    trainer.evaluate(data)
    assert bits(trainer.params) == before


def test_batches_move_to_the_device_that_is_named(data, backend):
    if backend == "numpy":
        pytest.skip("batches are there")
    x, y = (v.to("numpy") for v in data)
    trainer = quiet(device=backend)
    trainer.fit((x, y), epochs=1, validation=[(x, y)])
    assert trainer.params["Linear_1"]["weight"].device == backend
    assert trainer.predict(x).device == backend


def test_float32_stays_float32(T):
    x = T([[0.0], [1.0], [2.0]], "float32")
    trainer = quiet(clip=0.5, accumulate=2)
    trainer.fit((x, x), epochs=2, batch_size=2)
    assert trainer.params["Linear_1"]["weight"].dtype == jt.float32


# -- what is measured ---------------------------------------------------------------------------------------------------


def test_metrics_are_over_all_examples(T):
    """8 and 1 of 9 examples: a mean of the batches' means would be another number."""
    x, y = T([[1.0]] * 8 + [[-1.0]]), T([[1.0]] * 9)
    batches = [(x[:8], y[:8]), (x[8:], y[8:])]
    trainer = quiet(lambda x: x * nn.Linear(1, bias=False, weight_init=nn.ones)(x[:1]), optimizer=lambda p: optim.SGD(p, lr=0.0),
                    metrics={"error": lambda o, t: jt.mean(jt.abs(o - t)), "mse": nn.metrics.MeanSquaredError()})  # fmt: skip
    history = trainer.fit(batches, epochs=1, validation=batches)
    assert history[0]["error"] == history[0]["val_error"]
    assert trainer.evaluate(batches)["mse"] == pytest.approx(trainer.evaluate(batches)["loss"])


def test_what_is_no_number_is_only_in_evaluate(T):
    class Both(nn.metrics.Metric):
        keys = ("n",)

        def measure(self, x, target):
            return {"n": len(x)}

        def value(self, state):
            return jt.asarray([state["n"], state["n"]])

    x = T([[1.0], [2.0]])
    trainer = quiet(metrics=Both)
    assert trainer.fit((x, x), epochs=1).columns == ["epoch", "step", "loss", "lr", "seconds"]
    assert trainer.evaluate((x, x))["both"].tolist() == [2, 2]


def test_numbers_of_numpy_are_numbers(T, tmp_path):
    """A metric's, and those that a callback adds: in the history, the logs and the checkpoint."""
    import json

    import numpy as np

    class Seen:
        def update(self, output, target):
            self.rows = [*getattr(self, "rows", []), len(output)]

        def compute(self):
            return np.float32(0.5)

        def reset(self):
            self.rows = []

    x = T([[1.0], [2.0]])
    add = nn.LambdaCallback(on_epoch_end=lambda t, logs: logs.update(a=np.int64(3), b=T(2.0), c=np.asarray([0.25])))
    log = tmp_path / "log.jsonl"
    trainer = quiet(metrics={"half": Seen()}, callbacks=[add], loggers=[nn.JSONLLogger(log)], checkpoint=tmp_path / "c")
    row = trainer.fit((x, x), epochs=1, validation=(x, x))[-1]
    expected = {"half": 0.5, "val_half": 0.5, "a": 3, "b": 2.0, "c": 0.25}
    assert {name: row[name] for name in expected} == expected
    assert {type(row[name]) for name in expected} == {int, float}
    assert json.loads(log.read_text()) == row
    state = trainer.state_dict()
    trainer.metrics.parts["half"].rows.append(9)
    assert state["metrics"]["half"] == {"rows": [2]}


def test_the_best_row_is_never_nan():
    history = nn.History(
        [{"epoch": 1, "loss": math.nan, "note": "a"}, {"epoch": 2, "loss": 2.0}, {"epoch": 3, "loss": 3.0}]
    )
    assert (history.best("loss")["epoch"], history.best("loss", mode="max")["epoch"]) == (2, 3)
    assert [row["epoch"] for row in history[1:]] == [2, 3]
    with pytest.raises(nn.TrainingError, match=r"best\(\): the column 'note' has no number"):
        history.best("note")
    with pytest.raises(nn.TrainingError, match="mode='least'"):
        history.best("loss", mode="least")


def test_a_copy_of_a_history_is_a_table(batches):
    import pickle

    history = quiet(lambda x: nn.Linear(1)(x)).fit(batches, epochs=2)
    for other in (copy.deepcopy(history), pickle.loads(pickle.dumps(history))):
        assert (other.rows, other.trainer) == (history.rows, None)


def test_history_is_a_table(tmp_path):
    history = nn.History([{"epoch": 1, "loss": 0.1 + 0.2}, {"epoch": 2, "loss": 0.25, "<b>": 3}])
    assert str(history).split("\n")[0] == "epoch  loss  <b>"
    assert len(history) == 2
    assert list(history)[1] is history[1]
    assert history.to_dict() == {"epoch": [1, 2], "loss": [0.1 + 0.2, 0.25], "<b>": [None, 3]}
    history.to_csv(tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text() == f"epoch,loss,<b>\n1,{0.1 + 0.2!r},\n2,0.25,3\n"
    assert "<th>&lt;b&gt;</th>" in history._repr_html_()
    assert (history.best("loss")["epoch"], history.best("loss", "max")["epoch"]) == (2, 1)
    with pytest.raises(nn.TrainingError, match="no column 'acc'; it has epoch, loss, <b>"):
        history["acc"]
    assert str(nn.History()) == "a history without rows"


# -- callbacks ------------------------------------------------------------------------------------------------------------


def test_callbacks_are_called_at_their_turns(batches):
    calls = []
    record = {
        name: (lambda *a, name=name: calls.append(name))
        for name in ("on_fit_start", "on_epoch_start", "on_step_end", "on_epoch_end", "on_fit_end")
    }
    quiet(callbacks=nn.LambdaCallback(**record)).fit(batches[:2], epochs=2, batch_size=None)
    epoch = ["on_epoch_start", "on_step_end", "on_step_end", "on_epoch_end"]
    assert calls == ["on_fit_start", *epoch, *epoch, "on_fit_end"]


def test_a_callback_may_be_any_object_add_columns_and_stop(batches):
    class Mine:
        def on_epoch_end(self, trainer, logs):
            logs["twice"] = 2 * logs["loss"]
            if trainer.epoch == 2:
                trainer.stop("enough")

    trainer = quiet(callbacks=[Mine()])
    history = trainer.fit(batches, epochs=10)
    assert history["twice"] == [2 * loss for loss in history["loss"]]
    assert (len(history), trainer.stopped) == (2, "enough")


def test_a_stop_in_the_middle_of_an_epoch_ends_it(batches):
    def look(trainer, logs):
        assert type(logs["loss"]) is jt.Tensor
        if trainer.step == 2:
            trainer.stop()

    history = quiet(callbacks=[nn.LambdaCallback(on_step_end=look)]).fit(batches, epochs=5)
    assert history["step"] == [2]


def falling(*values):
    """A callback that makes up the numbers of validation."""
    return nn.LambdaCallback(on_epoch_end=lambda trainer, logs: logs.update(val_loss=values[trainer.epoch - 1]))


def test_early_stopping_waits_and_brings_the_best_weights_back(batches):
    seen = []
    keep = nn.LambdaCallback(on_epoch_end=lambda trainer, logs: seen.append(bits(trainer.params)))
    trainer = quiet(callbacks=[falling(3.0, 2.0, 2.0, 1.95, 9.0), keep, nn.EarlyStopping(patience=2, min_delta=0.1)])
    history = trainer.fit(batches, epochs=9)
    assert len(history) == 4
    assert trainer.stopped == "val_loss has not become better since epoch 2, for 2 epochs"
    assert bits(trainer.params) == seen[1]
    trainer = quiet(
        callbacks=[falling(1.0, 2.0, 3.0), keep, nn.EarlyStopping(patience=1, mode="max", restore_best=False)]
    )
    assert len(trainer.fit(batches, epochs=3)) == 3
    trainer = quiet(callbacks=[falling(math.nan, math.nan), nn.EarlyStopping(patience=2)])
    assert len(trainer.fit(batches, epochs=5)) == 2


def test_early_stopping_begins_anew_with_each_fit(batches):
    """Else the second fit ends at once, and another trainer gets this one's weights."""
    stopping = nn.EarlyStopping(patience=2)
    trainer = quiet(callbacks=[falling(1.0, 2.0, 2.0, 5.0, 4.0, 6.0, 6.0), stopping])
    assert len(trainer.fit(batches, epochs=9)) == 3
    trainer.fit(batches, epochs=9)
    assert (len(trainer.history), stopping.best_epoch) == (7, 5)
    other = quiet(callbacks=[falling(9.0, 8.0), stopping], seed=1)
    other.fit(batches, epochs=2)
    assert bits(other.params) != bits(trainer.params)
    none = quiet(callbacks=[falling(math.nan), nn.EarlyStopping(patience=1)])
    none.fit(batches, epochs=2)
    assert none.stopped == "val_loss has not become better than NaN, for 1 epochs"


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("val_loss", "min"),
        ("loss_kl", "min"),
        ("error_rate", "min"),
        ("val_cross_entropy", "min"),
        ("nll", "min"),
        ("mean_absolute_error", "min"),
        ("val_accuracy", "max"),
        ("f1_score", "max"),
        ("log_likelihood", "max"),
    ],
)
def test_what_is_better_goes_by_the_name(name, mode):
    assert nn.EarlyStopping(name).monitor.mode == mode


def test_the_best_checkpoint_is_kept_beside_the_last(batches, tmp_path):
    best, last = tmp_path / "best.ckpt", tmp_path / "last.ckpt"
    trainer = quiet(callbacks=[falling(2.0, 1.0, 3.0)], checkpoint=nn.Checkpoint(last, best=best))
    trainer.fit(batches, epochs=3)
    assert [nn.load_checkpoint(path)["epoch"] for path in (best, last)] == [2, 3]
    trainer.load(best)
    assert (trainer.epoch, len(trainer.history)) == (2, 2)
    path = tmp_path / "second.ckpt"
    quiet(checkpoint=nn.Checkpoint(path, every_epochs=2)).fit(batches, epochs=3)
    assert nn.load_checkpoint(path)["epoch"] == 2


# -- progress -----------------------------------------------------------------------------------------------------------


def test_the_bar_counts_steps_and_shows_the_numbers(batches, capsys):
    pytest.importorskip("tqdm")
    quiet(progress=True).fit(batches, epochs=2, validation=batches)
    text = capsys.readouterr().err
    assert "6/6" in text
    assert "epoch 2/2" in text
    assert "val_loss" in text.rsplit("\r", 1)[-1]


def test_lines_take_the_place_of_the_bar(batches, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    quiet(progress=True).fit(batches, epochs=2)
    hint, *lines = capsys.readouterr().err.splitlines()
    assert 'pip install "jitrench-nn[train]"' in hint
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    quiet(progress="lines").fit(batches, epochs=100)
    assert len(capsys.readouterr().err.splitlines()) == 20
    quiet(progress=False).fit(batches, epochs=2)
    assert capsys.readouterr() == ("", "")


# -- NaN ------------------------------------------------------------------------------------------------------------------

NUMPY_WARNS = pytest.mark.filterwarnings("ignore::RuntimeWarning")
LOOK = {"detect_nan": True}  # which on a GPU is not the default


def test_each_step_is_looked_at_by_default_where_that_costs_nothing():
    nan = jt.full((4, 1), math.nan, device="numpy")
    with pytest.raises(nn.NonFiniteError, match="step 1"):
        quiet(nn.Linear(1)).fit([(nan, nan)], epochs=1)


@NUMPY_WARNS
def test_a_nan_is_traced_to_its_operation(data, tmp_path):
    x, y = data

    def model(x):
        return nn.Dropout(0.5)(jt.sqrt(nn.Linear(4, weight_init=nn.ones)(x - 0.6)))

    def loss(output, target):
        return jt.mean(jt.square(output - target))

    trainer = quiet(model, loss, lambda p: optim.SGD(p, lr=0.0), checkpoint=tmp_path / "run.ckpt", seed=1, **LOOK)
    batches = [(x[13:], y[13:]), (x[:8], y[:8])]
    before = bits(nn.init(model, x, seed=1))
    message = r"(?s)epoch 1, step 2 \(batch 2 of the epoch\): the loss is nan\.\nsqrt\(\) made .* NaN among 32 elements.*test_training.*before this step is in the trainer and in .*run\.before-nan\.ckpt"
    with pytest.raises(nn.NonFiniteError, match=message):
        trainer.fit(batches, epochs=1, batch_size=None)
    assert bits(trainer.params) == before
    state = nn.load_checkpoint(tmp_path / "run.before-nan.ckpt")
    assert (state["step"], state["batch"]) == (1, 1)
    again = quiet(model, loss, lambda p: optim.SGD(p, lr=0.0), seed=1, **LOOK)
    with pytest.raises(nn.NonFiniteError, match="step 2"):  # and it comes back from there
        again.fit(batches, epochs=1, batch_size=None, resume=tmp_path / "run.before-nan.ckpt")


@NUMPY_WARNS
def test_a_gradient_that_is_not_finite_stops_before_the_update(T):
    """The derivative of the square root at 0 is infinite, its value is not."""
    x = T([[0.0], [1.0]])
    params = {"Linear_1": {"weight": T([[1.0]], requires_grad=True)}}
    linear = nn.Linear(1, bias=False)

    def model(x):
        return jt.sqrt(linear(x))

    with pytest.raises(
        nn.NonFiniteError,
        match=r"(?s)step 1 .*: the loss is 0\.5, but the gradient of the parameter 'Linear_1\.weight', of shape \(1, 1\), holds 1 NaN among 1 element\.\nbackward made",
    ):
        quiet(model, lambda o, t: jt.mean(o), params=params, **LOOK).fit([(x, x)], epochs=1)
    assert params["Linear_1"]["weight"].tolist() == [[1.0]]
    assert params["Linear_1"]["weight"].grad is None


def test_a_nan_in_the_data_or_the_weights_is_named(T, data):
    x, y = data
    bad = jt.where(x > 0.9, math.nan, x)
    with pytest.raises(
        nn.NonFiniteError, match=r"part '0' of the batch, of shape \(21, 1\), holds 2 NaN among 21 elements"
    ):
        quiet(**LOOK).fit([(bad, y)], epochs=1)
    params = nn.init(mlp, x)
    with jt.no_grad():
        jt.assign(params["Linear_2"]["bias"], T([math.inf]))
    with pytest.raises(
        nn.NonFiniteError, match=r"the loss is inf\.\nthe parameter 'Linear_2\.bias', of shape \(1,\), holds 1 infinite"
    ):
        quiet(params=params, **LOOK).fit([(x, y)], epochs=1)


@NUMPY_WARNS
def test_sums_that_overflow_are_no_nan(T):
    """Finite gradients whose sum is infinite in float32."""
    x = T([[1.0]], "float32")
    params = {"Linear_1": {"weight": T([[1.0], [1.0]], "float32", requires_grad=True)}}
    linear = nn.Linear(2, bias=False)
    trainer = quiet(
        lambda x: linear(x), lambda o, t: jt.sum(o) * 3e38, lambda p: optim.SGD(p, lr=0.0), params=params, **LOOK
    )
    with pytest.raises(nn.NonFiniteError, match="the loss is inf"):
        trainer.fit([(x, x)], epochs=1)
    trainer = quiet(
        lambda x: linear(x), lambda o, t: jt.sum(o - 1) * 3e38, lambda p: optim.SGD(p, lr=0.0), params=params
    )
    assert trainer.fit([(x, x)], epochs=1)["loss"] == [0.0]


def test_a_nan_in_the_second_of_two_batches_takes_both_back(data):
    x, y = data
    params = nn.init(mlp, x)
    before = bits(params)
    with pytest.raises(nn.NonFiniteError, match=r"epoch 1, step 1 \(batch 2 of the epoch\)"):
        quiet(params=params, accumulate=2, **LOOK).fit([(x, y), (x * math.nan, y)], epochs=1, batch_size=None)
    assert bits(params) == before
    assert params["Linear_1"]["weight"].grad is None


def test_a_step_that_failed_leaves_no_gradient_behind(batches):
    calls = []

    def loss(output, target):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("once")
        return nn.mse_loss(output, target)

    params = nn.init(mlp, batches[0][0])
    other = copy.deepcopy(params)
    trainer = quiet(params=params, loss=loss, accumulate=3)
    with pytest.raises(RuntimeError, match="once"):
        trainer.fit(batches, epochs=1)
    trainer.fit(batches, epochs=1)
    quiet(params=other, accumulate=3).fit(batches, epochs=1)
    assert bits(params) == bits(other)


def test_nan_may_be_let_through(data):
    x, y = data
    history = quiet(detect_nan=False).fit([(x * math.nan, y)], epochs=1)
    assert math.isnan(history[0]["loss"])


def test_where_looking_waits_nan_is_told_at_the_end_of_the_epoch(data, backend, monkeypatch):
    monkeypatch.setattr(jt.device(backend).backend, "asynchronous", True)
    x, y = data
    loader = nn.data.DataLoader([(x, y), (x * math.nan, y)], batch_size=None)
    with pytest.raises(nn.NonFiniteError, match=r"epoch 1 ended with a mean loss of nan: on .*: detect_nan=True names"):
        quiet().fit(loader, epochs=2)
    with pytest.raises(nn.NonFiniteError, match="step 2"):
        quiet(detect_nan=True).fit(loader, epochs=2)


# -- errors -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Trainer(nn.Linear, nn.mse_loss, sgd), r"the class Linear; make an object, Linear\(\.\.\.\)"),
        (lambda: nn.Trainer(3, nn.mse_loss, sgd), "the model comes first, a function or a layer; got int"),
        (lambda: nn.Trainer(mlp, None, sgd), "needs a loss, .* got neither"),
        (lambda: nn.Trainer(mlp, nn.mse_loss, sgd, step=len), "got both"),
        (lambda: nn.Trainer(mlp, "mse", sgd), r"loss=\): expected a function of output and target; got 'mse'"),
        (lambda: nn.Trainer(mlp, nn.mse_loss), r"optimizer=\): expected an Optimizer, or a function .*; got None"),
        (lambda: quiet(schedule_per="batch"), "schedule_per='batch'"),
        (lambda: quiet(loss=nn.CrossEntropyLoss), r"loss=\): CrossEntropyLoss is a class; make an object, CrossEntropyLoss\(\)"),
        (lambda: quiet(schedule=optim.StepLR), r"schedule=\): optim\.StepLR needs more than the optimizer; write a function, schedule=lambda optimizer: optim\.StepLR\(optimizer, step_size=\.\.\.\)"),
        (lambda: quiet(accumulate=0), r"accumulate=0\): expected a whole number from 1"),
        (lambda: quiet(clip=-1), r"clip=\): expected a norm above 0"),
        (lambda: quiet(clip=True), r"clip=\): expected a norm above 0, or a function; got True"),
        (lambda: quiet(progress="bar"), r"progress='bar'\): expected True for a bar, 'lines', or False"),
        (lambda: quiet(metrics={"loss": len}), "the name 'loss' is taken"),
        (lambda: quiet(metrics={"step": len}), "the name 'step' is taken by a column of the history"),
        (lambda: quiet(metrics={"val_x": len}), "the name 'val_x' is taken"),
        (lambda: quiet(metrics=[nn.metrics.R2, nn.metrics.R2()]), "two metrics have one name among r2, r2; give a dict"),
        (lambda: quiet(metrics={"x": 3}), "'x' is a int; expected an object with update"),
        (lambda: quiet(callbacks=[nn.EarlyStopping]), r"the callback EarlyStopping is a class; make an object"),
        (lambda: quiet(callbacks=[print]), r"a function goes into LambdaCallback\(on_epoch_end=f\)"),
        (lambda: quiet(callbacks=[nn.Checkpoint("x")]), "give it as checkpoint="),
        (lambda: nn.LambdaCallback(on_end=print), "no event 'on_end'; events are on_fit_start"),
        (lambda: nn.EarlyStopping(patience=0), r"patience=0\)"),
        (lambda: nn.EarlyStopping(mode="low"), r"mode='low'\): expected 'min' or 'max'"),
        (lambda: nn.Checkpoint("x", every_steps=0), r"every_steps=0\)"),
        (lambda: nn.Checkpoint("x", every_epochs=None), "nothing would be saved"),
        (lambda: quiet().state_dict(), "no parameters yet"),
        (lambda: quiet(params=jt.ones(1)), r"the tree that nn\.init returns, got a Tensor"),
    ],
)  # fmt: skip
def test_a_trainer_made_wrongly_says_so(make, message):
    with pytest.raises(nn.TrainingError, match=message):
        make()


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda t, x: t.fit((x, x), epochs=0), r"fit\(epochs=0\): expected a whole number from 1"),
        (lambda t, x: t.fit([], epochs=1), "the loader is empty"),
        (lambda t, x: t.fit((x, x[:2]), epochs=1), r"same first length; they have shapes \(3, 1\), \(2, 1\)"),
        (lambda t, x: t.fit((x[:0], x[:0]), epochs=1), "the arrays are empty"),
        (lambda t, x: t.fit(x, epochs=1), "the data is a Tensor"),
        (lambda t, x: t.fit((x,), epochs=1), "one array; expected"),
        (lambda t, x: t.fit(3, epochs=1), "got a int"),
        (lambda t, x: t.fit(iter([(x, x)]), epochs=1), "an iterator, which ends after one pass"),
        (lambda t, x: t.fit([{"x": x}], epochs=1), r"a batch is a dict, not \(input, target\)"),
        (lambda t, x: t.fit((x, x), epochs=1, resume=True), r"needs a file: Trainer\(checkpoint='run\.ckpt'\)"),
        (lambda t, x: t.fit((x, x), epochs=1, validation=[]), "gave no batch to evaluate"),
        (lambda t, x: t.predict([]), "the loader is empty"),
        (
            lambda t, x: t.predict({"x": x}),
            r"expected an array, .* or a loader of inputs, such as \[inputs\]; got a dict",
        ),
        (lambda t, x: t.predict(3), "expected an array, .* got a int"),
        (lambda t, x: t.predict(x, batch_size=0), r"predict\(batch_size=0\): expected a whole number from 1"),
        (lambda t, x: t.predict(x, batch_size=-1), r"batch_size=-1"),
        (lambda t, x: t.predict((x, x[:1])), "the same first length"),
        (
            lambda t, x: t.predict((x, x)),
            r"predict\(\) takes the inputs alone, without targets: .* The model takes \(x\), and there are 2",
        ),
        (lambda t, x: t.predict(nn.data.ArrayDataset(x, x)), "the inputs alone, without targets"),
        (
            lambda t, x: t.predict(nn.data.DataLoader(nn.data.ArrayDataset(x, x), 2)),
            "the inputs alone, without targets",
        ),
        (
            lambda t, x: t.fit((x.tolist(), x.tolist()), epochs=1),
            r"made of lists of numbers; expected arrays: \(jt\.asarray\(x\), jt",
        ),
        (
            lambda t, x: t.fit([(x, x), (x, x)], epochs=1),
            r"a list of 2 items with arrays of shapes \(3, 1\), \(3, 1\): are they batches, or examples\? For batches, pass nn\.data\.DataLoader\(items, batch_size=None\); for examples, nn\.data\.DataLoader",
        ),
        (lambda t, x: t.fit((x, x), epochs=1, validation=[(x, x), (x, x)]), "are they batches, or examples"),
        (lambda t, x: t.fit([None, None], epochs=1), "a list of 2 items without an array, a NoneType first: are they"),
    ],
)
def test_a_trainer_called_wrongly_says_so(fit, message):
    with pytest.raises(nn.TrainingError, match=message):
        fit(quiet(), jt.ones((3, 1)))


def test_a_folder_that_is_not_there_is_said_before_the_first_step(data, tmp_path):
    steps = []
    count = nn.LambdaCallback(on_step_end=lambda trainer, logs: steps.append(1))
    for file in (
        nn.Checkpoint(tmp_path / "no" / "run.ckpt"),
        nn.Checkpoint(tmp_path / "x", best=tmp_path / "no" / "b"),
    ):
        with pytest.raises(nn.TrainingError, match="Checkpoint: the folder '.*no' does not exist; create it first"):
            quiet(checkpoint=file, callbacks=count).fit(data, epochs=1)
    assert not steps


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda o, t: o - t, r"the loss has shape \(21, 1\); expected one number, of shape \(\): take its mean"),
        (lambda o, t: 0.5, "the loss is a float; expected a 0-d Tensor"),
        (lambda o, t: jt.mean(o.detach()), "does not depend on any parameter"),
    ],
)
def test_a_loss_that_is_none_says_so(loss, message, data):
    with pytest.raises(nn.TrainingError, match=message):
        quiet(loss=loss).fit(data, epochs=1)


def test_what_the_loss_refuses_is_told_with_shapes(data):
    x, y = data
    with pytest.raises(jt.JITrenchError) as caught:
        quiet(loss=nn.cross_entropy).fit((x, y[:, :0]), epochs=1)
    assert (
        "the model's output, float64 of shape (21, 1), and the target, float64 of shape (21, 0)"
        in caught.value.__notes__[0]
    )


def test_an_optimizer_of_other_parameters_is_refused(data):
    x, _ = data
    params = nn.init(mlp, x)
    other = nn.init(mlp, x, seed=1)
    with pytest.raises(
        nn.TrainingError,
        match=r"4 of 4 parameters that are not the model's: 'Linear_1\.weight', .*optimizer=lambda params",
    ):
        quiet(params=params, optimizer=optim.SGD(other)).fit(data, epochs=1)
    with pytest.raises(nn.TrainingError, match="the function returned a NoneType; expected an Optimizer"):
        quiet(optimizer=lambda params: None).fit(data, epochs=1)
    frozen = optim.SGD(params["Linear_2"], lr=0.1)  # some of the model's own are fine
    quiet(params=params, optimizer=frozen).fit(data, epochs=1)


def test_a_monitor_that_is_not_there_lists_those_that_are(batches):
    with pytest.raises(
        nn.TrainingError,
        match="EarlyStopping: there is no 'val_acc' to monitor; there are epoch, step, loss, lr, seconds; pass validation=",
    ):
        quiet(callbacks=[nn.EarlyStopping("val_acc")]).fit(batches, epochs=1)
    with pytest.raises(
        nn.TrainingError,
        match="EarlyStopping: there is no 'val_acc' to monitor; there are epoch, step, loss, val_loss, lr, seconds$",
    ):
        quiet(callbacks=[nn.EarlyStopping("val_acc")]).fit(batches, epochs=1, validation=batches)


def test_a_metric_that_is_no_number_says_so(batches):
    with pytest.raises(
        nn.TrainingError, match=r"the metric 'wide' returned a Tensor of shape \(8, 1\); expected one number"
    ):
        quiet(metrics={"wide": wide}).fit(batches, epochs=1)


def wide(output, target):
    return output


# -- Ctrl-C -----------------------------------------------------------------------------------------------------------------


def interrupt(at):
    def look(trainer, logs):
        if trainer.step == at:
            raise KeyboardInterrupt

    return nn.LambdaCallback(on_step_end=look)


@pytest.mark.parametrize("at", [1, 4])
def test_ctrl_c_saves_and_says_where(at, batches, tmp_path, backend):
    def trainer(**more):
        return quiet(Net(), checkpoint=tmp_path / "run.ckpt", average=lambda p: optim.EMA(p, 0.9), **more)

    jt.random.seed(3)
    whole = quiet(Net(), average=lambda p: optim.EMA(p, 0.9))
    whole.fit(batches, epochs=2, validation=batches)
    jt.random.seed(3)
    message = rf"interrupted in epoch {1 + at // 4}, after step {at}\. Its state is saved in .*run\.ckpt; to go on: fit\(\.\.\., resume=True\)"
    with pytest.raises(KeyboardInterrupt, match=message):
        trainer(callbacks=[interrupt(at)]).fit(batches, epochs=2, validation=batches)
    resumed = trainer()
    resumed.fit(batches, epochs=2, validation=batches, resume=True)
    assert bits(resumed.weights()) == bits(whole.weights())
    assert bits(resumed.average.average) == bits(whole.average.average)
    assert resumed.history["val_loss"] == whole.history["val_loss"]


def test_ctrl_c_without_a_checkpoint_saves_here(batches, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        KeyboardInterrupt, match=r"saved in .*interrupted\.ckpt; to go on: fit\(\.\.\., resume='interrupted\.ckpt'\)"
    ):
        quiet(callbacks=[interrupt(2)]).fit(batches, epochs=1)
    trainer, whole = quiet(), quiet()
    trainer.fit(batches, epochs=1, resume="interrupted.ckpt")
    whole.fit(batches, epochs=1)
    assert bits(trainer.params) == bits(whole.params)


@pytest.mark.parametrize("where", ["model", "validation", "epoch end"])
def test_an_interruption_anywhere_is_resumed_exactly(where, data, tmp_path):
    """Inside a step it is taken back, with the random numbers it has drawn and the place of the loader."""
    armed = [False]

    def strike(here):
        if armed[0] and here == where:
            armed[0] = False
            raise KeyboardInterrupt

    def model(x):
        x = nn.Dropout(0.5)(nn.BatchNorm1d()(nn.Linear(8)(x)))
        if len(x) == 3:  # the last batch of validation
            strike("validation")
        elif trainer.step == 5:
            strike("model")
        return nn.Linear(1)(x)

    x, y = data
    counted = []

    def make():
        end = nn.LambdaCallback(
            on_epoch_end=lambda t, logs: (counted.append(t.epoch), t.epoch == 1 and strike("epoch end"))
        )
        return quiet(
            model, checkpoint=nn.Checkpoint(tmp_path / "run.ckpt", every_epochs=9), callbacks=[end],
            schedule=lambda o: optim.ExponentialLR(o, gamma=0.5), metrics={"mae": nn.metrics.MeanAbsoluteError()}, seed=2,
        )  # fmt: skip

    def loader():
        return nn.data.DataLoader(nn.data.ArrayDataset(*data), 6, shuffle=True, seed=1, drop_last=True, prefetch=2)

    held_out = [(x[:4], y[:4]), (x[:3], y[:3])]
    trainer = whole = make()
    whole.fit(loader(), epochs=3, validation=held_out)
    expected = counted.copy()
    counted.clear()
    armed[0] = True
    trainer = make()
    with pytest.raises(KeyboardInterrupt, match=r"saved in .*run\.ckpt"):
        trainer.fit(loader(), epochs=3, validation=held_out)
    assert not armed[0]
    trainer = make()
    trainer.fit(loader(), epochs=3, validation=held_out, resume=True)
    assert bits(trainer.params) == bits(whole.params)
    for name in ("loss", "mae", "val_loss", "val_mae", "lr", "step"):
        assert trainer.history[name] == whole.history[name], name
    assert sorted(counted) == expected


def test_an_update_that_is_torn_is_not_saved(batches, tmp_path):
    class Torn(optim.SGD):
        def step(self):
            super().step()
            if trainer.step == 4:
                raise KeyboardInterrupt

    trainer = quiet(optimizer=lambda p: Torn(p, lr=0.1), checkpoint=tmp_path / "run.ckpt")
    with pytest.raises(
        KeyboardInterrupt,
        match=r"in the middle of an update: its state is not saved; the last checkpoint is .*run\.ckpt",
    ):
        trainer.fit(batches, epochs=2)
    assert nn.load_checkpoint(tmp_path / "run.ckpt")["step"] == 3


def test_a_schedule_that_is_torn_is_not_saved(batches, tmp_path):
    class Torn(optim.ExponentialLR):
        def step(self):
            super().step()
            if self.last_epoch == 2:
                raise KeyboardInterrupt

    trainer = quiet(schedule=lambda o: Torn(o, gamma=0.5), checkpoint=tmp_path / "run.ckpt")
    with pytest.raises(KeyboardInterrupt, match="its state is not saved; the last checkpoint is"):
        trainer.fit(batches, epochs=3)
    assert nn.load_checkpoint(tmp_path / "run.ckpt")["epoch"] == 1


SCRIPT = """
import sys, time
import jitrench_core as jt, jitrench_nn as nn, jitrench_optim as optim
x = jt.linspace(0, 1, 16)[:, None]
def wait(trainer, logs):
    print(trainer.step, flush=True)
    time.sleep(0.02)
trainer = nn.Trainer(lambda x: nn.Linear(1)(x), nn.mse_loss, optim.SGD, checkpoint="run.ckpt", progress=False,
                     callbacks=[nn.LambdaCallback(on_step_end=wait)])
trainer.fit((x, x), epochs=1000, batch_size=4, resume=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_real_ctrl_c(tmp_path):
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    steps = []
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "script.py"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        first = int(process.stdout.readline())
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        last = int(out.split()[-1]) if out.split() else first + 1
        assert process.returncode in (-signal.SIGINT, 130, 1)
        assert "Ctrl-C: the training ends after this step" in err
        assert f"after step {last}. Its state is saved in {tmp_path.resolve() / 'run.ckpt'}" in err
        steps += [first, last]
        assert nn.load_checkpoint(tmp_path / "run.ckpt")["step"] == last
    assert steps[2] == steps[1] + 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_second_ctrl_c_ends_at_once_but_no_file_is_torn(data, tmp_path, monkeypatch, capsys):
    from jitrench_nn.training import trainer as module

    x, y = data
    written = []

    def writing(state, path):
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
        nn.save_checkpoint(state, path)
        written.append(path)

    monkeypatch.setattr(module, "save_checkpoint", writing)

    def press(times):
        return nn.LambdaCallback(on_step_end=lambda *_: [signal.raise_signal(signal.SIGINT) for _ in range(times)])

    batches = [(x, y)] * 3
    with pytest.raises(KeyboardInterrupt, match="after step 1. Its state is saved"):
        quiet(callbacks=[press(1)], checkpoint=tmp_path / "run.ckpt").fit(batches, epochs=1, batch_size=None)
    assert nn.load_checkpoint(tmp_path / "run.ckpt")["step"] == 1
    assert len(written) == 1
    assert "press it again to end it now" in capsys.readouterr().err
    reached = []
    model_calls = [0]

    def model(x):
        model_calls[0] += 1
        if model_calls[0] == 3:  # two calls made the parameters and the first step
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            reached.append(True)
        return nn.Linear(1)(x)

    with pytest.raises(KeyboardInterrupt, match="after step 1. Its state is saved"):
        quiet(model, checkpoint=tmp_path / "run.ckpt").fit(batches, epochs=1, batch_size=None)
    assert not reached


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_ctrl_c_while_a_file_is_written_is_not_lost(data, tmp_path, monkeypatch):
    from jitrench_nn.training import trainer as module

    def writing(state, path):
        if state["step"] == 2:
            signal.raise_signal(signal.SIGINT)
        nn.save_checkpoint(state, path)

    monkeypatch.setattr(module, "save_checkpoint", writing)
    with pytest.raises(KeyboardInterrupt, match="after step 2. Its state is saved"):
        quiet(checkpoint=nn.Checkpoint(tmp_path / "run.ckpt", every_steps=1)).fit([data] * 5, epochs=1, batch_size=None)


def test_a_data_set_is_taken_in_batches(backend):
    x, y = jt.ones((10, 3), device=backend), jt.ones((10, 1), device=backend)
    trainer = nn.Trainer(nn.Linear(1), nn.mse_loss, optim.SGD, progress=False)
    history = trainer.fit(nn.data.ArrayDataset(x, y), epochs=2, batch_size=4, validation=nn.data.ArrayDataset(x, y))
    assert trainer.step == 6
    assert len(history) == 2
    assert trainer.evaluate(nn.data.ArrayDataset(x, y)) == trainer.evaluate((x, y))


# -- what is given as data ------------------------------------------------------------------------------------------------


def sizes(data, **options):
    """The numbers of rows in the batches that a training got, in its order."""
    seen = []

    def step(trainer, batch):
        seen.append(len(batch[0]))
        return nn.mse_loss(trainer(batch[0]), batch[1][..., None] if batch[1].ndim == 1 else batch[1])

    quiet(loss=None, step=step, params=nn.init(mlp, (None, 3))).fit(data, epochs=1, **options)
    return seen


class Plain:
    """A data set without a base class."""

    def __len__(self):
        return 10

    def __getitem__(self, i):
        if i >= 10:
            raise IndexError(i)
        return jt.ones(3) * i, float(i)


class Batches:
    """A loader: what gives batches each time it is iterated."""

    def __iter__(self):
        return iter([(jt.ones((4, 3)), jt.ones((4, 1)))] * 2)


def test_examples_and_batches_are_told_apart():
    x, y = jt.ones(3), jt.ones((4, 1))
    assert sizes([(x, 1.0)] * 10, batch_size=4) == [4, 4, 2]
    assert sizes([(x, jt.ones(()))] * 3, batch_size=2) == [2, 1]
    with pytest.raises(nn.TrainingError, match=r"shapes \(3,\), \(1,\): are they batches, or examples"):
        sizes([(x, jt.ones(1))] * 3)
    assert sizes([(jt.ones((4, 3)), y, jt.ones(7))]) == [4]  # one item is a batch, whatever its lengths
    assert sizes(((x, 1.0), (x, 2.0))) == [2]
    assert sizes(Plain(), batch_size=4) == [4, 4, 2]
    assert sizes(Batches()) == [4, 4]
    assert sizes([(jt.ones((4, 3)), y)]) == [4]
    assert sizes([(jt.ones((4, 3)), y), (jt.ones((3, 3)), y[:3])], batch_size=1) == [4, 3]
    assert sizes([(jt.ones((4, 3)), y)] * 2, batch_size=None) == [4, 4]
    rows = jt.ones((40, 3)), jt.ones((40, 1))
    assert sizes(rows, batch_size=None, validation=[(jt.ones((4, 3)), y)] * 2) == [32, 8, 4, 4]
    assert sizes((jt.ones((4, 3)), y), batch_size=3, validation=Plain()) == [3, 1, 10]


class Numbered(Batches):
    """A loader with a length and batches by number."""

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return list(self)[i]


def test_what_iterates_by_itself_gives_batches():
    batch = (jt.ones((4, 3)), jt.ones((4, 1)))
    for loader in (Numbered(), collections.deque([batch] * 2)):
        assert sizes(loader) == sizes(loader, batch_size=None) == [4, 4]
        assert sizes((jt.ones((4, 3)), jt.ones((4, 1))), batch_size=3, validation=loader) == [3, 1, 4, 4]
    trainer = quiet(params=nn.init(mlp, (None, 3)))
    expected = trainer.evaluate([batch])
    assert trainer.evaluate(Numbered()) == trainer.evaluate(collections.deque([batch] * 2)) == expected
    assert trainer.predict(collections.deque([batch[0]] * 2)).shape == (8, 1)


def test_a_data_set_may_hold_batches():
    batch = (jt.ones((4, 3)), jt.ones((4, 1)))

    class Held(nn.data.Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return batch

    class Bare:
        __len__, __getitem__ = Held.__len__, Held.__getitem__

    for held in (Held(), Bare(), nn.data.DataLoader([batch] * 2, batch_size=None)):
        assert sizes(held, batch_size=None) == [4, 4]
        rows = jt.ones((4, 3)), jt.ones((4, 1))
        assert sizes(rows, batch_size=None, validation=held) == [4, 4, 4]
    assert sizes(rows, batch_size=3, validation=held) == [3, 1, 4, 4]


def test_examples_are_shuffled_and_measured():
    pairs = [(jt.ones(1) * i, float(i)) for i in range(6)]
    seen = []

    def loss(output, target):
        seen.extend(target.tolist())
        return nn.mse_loss(output[:, 0], target)

    trainer = quiet(loss=loss)
    trainer.fit(pairs, epochs=1, batch_size=2)
    assert sorted(seen) == list(range(6)) != seen
    seen.clear()
    trainer.fit(pairs, epochs=1, batch_size=2, shuffle=False)
    assert seen == list(range(6))
    seen.clear()
    trainer.evaluate(pairs)
    assert seen == list(range(6))
    batch = (jt.ones((2, 1)), jt.ones(2))
    assert trainer.evaluate([batch, batch], batch_size=None) == trainer.evaluate([batch])


def test_predict_takes_a_data_set_of_inputs(data):
    x, _ = data
    trainer = quiet()
    expected = trainer.predict(x)
    assert bits([trainer.predict(nn.data.ArrayDataset(x), batch_size=21)]) == bits([expected])

    class Inputs:
        def __len__(self):
            return 21

        def __getitem__(self, i):
            return x[i]

    assert bits([trainer.predict(Inputs(), batch_size=21)]) == bits([expected])


def test_numbers_of_numpy_are_whole_numbers(data):
    import numpy as np

    trainer = quiet(accumulate=np.int64(2), callbacks=nn.EarlyStopping("loss", patience=np.int8(3)))
    trainer.fit(data, epochs=np.int64(2), batch_size=np.int64(7))
    assert (trainer.epoch, trainer.step, type(trainer.accumulate)) == (2, 4, int)


# -- arguments of another name ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: quiet().fit(d, epoch=3), r"fit\(\) has no argument 'epoch'\. Did you mean 'epochs'"),
        (lambda d: quiet().fit(d, epochs=3, lr=0.1), r"'lr'\. Here: the optimizer has it, optimizer=lambda params"),
        (lambda d: nn.fit(mlp, d, optimizer=sgd, loss=nn.mse_loss, epoch=3), "no argument 'epoch'. Did you mean 'epochs'"),
        (lambda d: nn.fit(mlp, d, optimizer=sgd, loss=nn.mse_loss, epochs=1, metric=[]), "Did you mean 'metrics'"),
        (lambda d: quiet(criterion=nn.mse_loss), r"Trainer\(\) has no argument 'criterion'\. Here: loss="),
        (lambda d: nn.EarlyStopping(paticence=3), r"EarlyStopping\(\) has no argument 'paticence'\. Did you mean 'patience'"),
        (lambda d: nn.Checkpoint("x", every_epoch=3), "Did you mean 'every_epochs'"),
    ],
)  # fmt: skip
def test_an_argument_of_another_name_is_explained(call, message, data):
    with pytest.raises(TypeError, match=message):
        call(data)


# -- what is said early, and at the end --------------------------------------------------------------------------------------


def test_a_monitor_is_looked_at_before_the_first_step(batches, tmp_path):
    steps = []

    class Count:
        def on_step_end(self, trainer, logs):
            steps.append(1)

    best = nn.Checkpoint(tmp_path / "x", best=tmp_path / "y", monitor="val_los")
    plateau = {"schedule": lambda o: optim.ReduceLROnPlateau(o), "schedule_monitor": "val_mea"}
    for options, near in (
        ({"callbacks": [Count(), nn.EarlyStopping("vall_loss")]}, "'val_loss'"),
        ({"callbacks": Count(), "checkpoint": best}, "'val_loss'"),
        ({"callbacks": Count(), **plateau, "metrics": {"mea": nn.metrics.R2}}, ""),
    ):
        if near:
            message = rf"there is no 'val\w+' to monitor; .*\. Did you mean {near}|there is no 'vall_loss'.*Did you mean {near}"
            with pytest.raises(nn.TrainingError, match=message):
                quiet(**options).fit(batches, epochs=1, validation=batches)
        else:
            with pytest.raises(nn.TrainingError, match="ReduceLROnPlateau: there is no 'val_mea'.*pass validation="):
                quiet(**options).fit(batches, epochs=1)
    assert not steps
    adds = nn.LambdaCallback(on_epoch_end=lambda trainer, logs: logs.update(extra=1.0))
    quiet(callbacks=[adds, nn.EarlyStopping("extra")]).fit(batches, epochs=1)
    with pytest.raises(nn.TrainingError, match="no 'extr' to monitor.*Did you mean 'extra'"):
        quiet(callbacks=[adds, nn.EarlyStopping("extr")]).fit(batches, epochs=1)


def test_a_stop_is_told_with_the_progress(batches, capsys):
    pytest.importorskip("tqdm")
    stopping = {"callbacks": [falling(3.0, 2.0, 4.0, 5.0), nn.EarlyStopping(patience=2)]}
    told = [
        "stopped after epoch 4: val_loss has not become better since epoch 2, for 2 epochs",
        "the weights are those of epoch 2, where val_loss was best",
    ]
    quiet(progress="lines", **stopping).fit(batches, epochs=60)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines[:-2]] == ["epoch 3/60", "epoch 4/60"]
    assert lines[-2:] == told
    quiet(progress=True, **stopping).fit(batches, epochs=60)
    text = capsys.readouterr().err
    assert all(line in text for line in told)
    assert "stopped after epoch 4/60: 100%" in text.rsplit("\r", 1)[-1]
    quiet(**stopping).fit(batches, epochs=60)
    assert capsys.readouterr() == ("", "")
    quiet(progress="lines", callbacks=nn.EarlyStopping("loss", patience=3)).fit(batches, epochs=2)
    assert "weights" not in capsys.readouterr().err  # the last epoch was the best


@pytest.mark.parametrize(
    "real", [False, pytest.param(True, marks=pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's"))]
)
@pytest.mark.parametrize("event", ["on_fit_end", "close"])
def test_ctrl_c_after_the_last_epoch_is_not_lost(event, real, batches, tmp_path):
    def press(*_):
        if real:
            signal.raise_signal(signal.SIGINT)
        else:
            raise KeyboardInterrupt

    if event == "close" and not real:
        pytest.skip("an exception ends it there, and is not swallowed")
    pressing = type("Pressing", (nn.Callback,), {event: press})()
    trainer = quiet(callbacks=pressing, checkpoint=nn.Checkpoint(tmp_path / "run.ckpt", every_epochs=9))
    with pytest.raises(
        KeyboardInterrupt, match=r"interrupted at the end of epoch 2, after step 6\. Its state is saved in .*run\.ckpt"
    ):
        trainer.fit(batches, epochs=2)
    assert nn.load_checkpoint(tmp_path / "run.ckpt")["epoch"] == 2
    resumed = quiet(checkpoint=tmp_path / "run.ckpt")
    resumed.fit(batches, epochs=2, resume=True)
    assert bits(resumed.params) == bits(trainer.params)


def test_a_nan_in_the_target_is_told_by_row(data):
    x, y = data
    bad = jt.where(jt.abs(x - 0.5) < 0.01, math.inf, y)
    with pytest.raises(
        nn.NonFiniteError,
        match=r"the target, part '1' of the batch, of shape \(21, 1\), holds 1 infinite among 21 elements, the first of them in row 10\.?\n",
    ):
        quiet(**LOOK).fit([(x, bad)], epochs=1)


def test_a_nan_in_validation_is_a_warning(data):
    x, y = data
    with pytest.warns(
        RuntimeWarning, match="epoch 1: val_loss is nan, while the training's loss is .*; the training goes on"
    ) as caught:
        history = quiet().fit((x, y), epochs=3, validation=(x * math.nan, y))
    assert len(caught) == 1
    assert len(history) == 3
    quiet(detect_nan=False).fit((x, y), epochs=1, validation=(x * math.nan, y))


@NUMPY_WARNS
def test_a_last_update_that_overflows_is_told(T):
    x = T([[1.0]])

    def trained(**options):
        return quiet(
            nn.Linear(1, bias=False, weight_init=nn.ones), optimizer=lambda p: optim.SGD(p, lr=1.7e308), **options
        ).fit((x, -9 * x), epochs=1)

    with pytest.raises(
        nn.NonFiniteError, match=r"after epoch 1, step 1: the parameter 'weight', of shape \(1, 1\), holds 1 infinite"
    ):
        trained(**LOOK)
    trained(detect_nan=False)
