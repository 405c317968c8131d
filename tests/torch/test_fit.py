from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau
from torch.utils.data import DataLoader, TensorDataset

import honed
from honed.records import State
from honed.torch import Batches, evaluate, fit, train_epoch
from tests.slices import Slices

EPOCHS = 5
torch.set_num_threads(1)


def data(n=96):
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 3
    return torch.randn(n, 4, generator=generator) + y[:, None], y


def parts(kind):
    x, y = data()
    if kind == "batches":
        return Batches(x[:64], y[:64], 16, shuffle=True), Batches(x[64:], y[64:], 32)
    if kind == "list":
        return list(Batches(x[:64], y[:64], 16)), list(Batches(x[64:], y[64:], 32))
    own = torch.Generator().manual_seed(1) if kind == "loader with a generator" else None
    train = DataLoader(TensorDataset(x[:64], y[:64]), batch_size=16, shuffle=True, generator=own)
    return train, DataLoader(TensorDataset(x[64:], y[64:]), batch_size=32)


def build(trial):
    torch.manual_seed(trial.number)
    model = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))
    return model, torch.optim.AdamW(model.parameters(), lr=trial.suggest_float("lr", 1e-3, 1e-1, log=True))


def run(objective, tmp_path, name="one", scheduler="full", **settings):
    study = honed.create_study(name, storage=tmp_path / "honed.db", metric="val_accuracy", seed=1, **settings)
    study.optimize(objective, "random", 2, scheduler=scheduler, progress="quiet", on_error="raise")
    return study.trials


def curves(trials):
    return [[(report.step, dict(report.values)) for report in trial.reports] for trial in trials]


@pytest.mark.parametrize("kind", ["batches", "list", "loader", "loader with a generator"])
def test_its_records_are_those_of_a_loop_of_ones_own_and_of_a_paused_training(kind, tmp_path):
    x, y = data()

    def own(trial):
        train, _ = parts(kind)
        model, optimizer = build(trial)
        schedule = CosineAnnealingLR(optimizer, EPOCHS)
        for epoch in trial.steps(EPOCHS):
            train_epoch(model, optimizer, train, max_gradient_norm=1.0)
            schedule.step()
            train_loss = evaluate(model, Batches(x[:64], y[:64], 16)).loss
            scores = evaluate(model, [(x[64:], y[64:])])
            trial.report(scores.accuracy, step=epoch, train_loss=train_loss, val_loss=scores.loss)

    rates = []

    def short(trial):
        model, optimizer = build(trial)
        fit(trial, model, optimizer, *parts(kind), epochs=EPOCHS, schedule="cosine", clip=1.0)
        rates.append(optimizer.param_groups[0]["lr"])

    whole = run(short, tmp_path, "whole")
    assert curves(whole) == curves(run(own, tmp_path, "own"))
    rates.clear()
    sliced = run(short, tmp_path, "sliced", Slices())
    assert curves(sliced) == curves(whole)
    first = sliced[0].params["lr"]
    assert [record.attempt for record in sliced] == [EPOCHS] * 2
    cosine = [first * (1 + math.cos(math.pi * epoch / EPOCHS)) / 2 for epoch in range(1, EPOCHS + 1)]
    assert rates[:EPOCHS] == pytest.approx(cosine, abs=1e-12)
    assert whole[0].note["schedule"] == "cosine"  # it is made for the epochs: trainings are compared at equal shares


def fixed(**settings):
    trial = honed.FixedTrial({"lr": 0.01}, metrics=["val_accuracy"])
    model, optimizer = build(trial)
    train, validation = parts("batches")
    fit(trial, model, optimizer, train, validation, epochs=EPOCHS, **settings)
    return trial.reports


def test_both_losses_are_of_the_same_weights():
    trial = honed.FixedTrial({"lr": 0.01}, metrics=["val_accuracy"])
    model, optimizer = build(trial)
    same = parts("batches")[0]
    fit(trial, model, optimizer, same, same, epochs=2)
    assert all(values["train_loss"] == values["val_loss"] for values in trial.reports.values())


@pytest.mark.parametrize("patience", [1, 2])
def test_patience_ends_without_improvement_also_across_pauses(patience, tmp_path):
    def objective(trial):
        model, optimizer = build(trial)
        optimizer.param_groups[0]["lr"] = 0.0
        x, y = data()
        model[1].momentum = 0.0  # nothing changes, so nothing improves
        fit(trial, model, optimizer, [(x, y)], [(x, y)], epochs=EPOCHS, patience=patience)

    for name, scheduler in (("whole", "full"), ("sliced", Slices())):
        trials = run(objective, tmp_path, name, scheduler)
        assert [len(trial.reports) for trial in trials] == [1 + patience] * 2
        assert all(trial.state is State.COMPLETE for trial in trials)


def test_a_diverged_training_ends_and_is_infeasible(tmp_path):
    def objective(trial):
        model, optimizer = build(trial)
        nn.init.constant_(model[0].weight, math.nan)
        fit(trial, model, optimizer, *parts("batches"), epochs=EPOCHS)

    with pytest.raises(honed.HonedError, match="gave no finite value"):
        run(objective, tmp_path)
    with honed.load_study("one", storage=tmp_path / "honed.db") as study:
        trials = study.trials
    assert all(trial.cause == "infeasible" and trial.last_step == 1 for trial in trials)


def test_metrics():
    losses = fixed(metric="loss")
    assert all(values["val_accuracy"] == values["val_loss"] for values in losses.values())
    accuracies = fixed()
    by_hand = fixed(metric=lambda outputs, y: (outputs.argmax(1) == y).float().mean())
    assert [v["val_accuracy"] for v in by_hand.values()] == pytest.approx(
        [v["val_accuracy"] for v in accuracies.values()]
    )


def test_mixed_precision_and_plateau_train():
    losses = [values["val_loss"] for values in fixed(mixed_precision=True, clip=1.0).values()]
    assert losses[-1] < losses[0]
    assert (
        len(fixed(schedule=lambda optimizer, epochs: ReduceLROnPlateau(optimizer, patience=0), device="cpu")) == EPOCHS
    )


def test_what_does_not_fit_is_refused():
    x, y = data()
    linear = nn.Linear(4, 3)
    sgd = torch.optim.SGD(linear.parameters(), lr=0.1)

    def refused(match, model=linear, optimizer=sgd, error=ValueError, targets=y, **settings):
        with pytest.raises(error, match=match):
            fit(honed.FixedTrial({}), model, optimizer, [(x, targets)], [(x, targets)], **{"epochs": 1, **settings})

    refused(r"the model \(ReLU\) has no parameters to train", model=nn.ReLU())
    refused("holds none of the model's parameters", model=nn.Linear(4, 3))
    refused("metric='f1' is unknown", metric="f1")
    refused("epochs=0 must be", epochs=0)
    refused("patience=0 must be", patience=0)
    refused("schedule='step' is unknown", schedule="step")
    refused("must be a learning-rate scheduler", schedule=lambda *_: 1, error=TypeError)
    refused("another optimizer", schedule=CosineAnnealingLR(torch.optim.SGD(linear.parameters(), lr=0.1), 1))
    refused("say which loss to use", targets=x[:, :1])
    refused("metric='accuracy' is for", targets=x[:, :3], loss=functional.mse_loss)
    with pytest.warns(UserWarning, match="made for 2 steps, the training has 1 epochs"):
        fit(honed.FixedTrial({}), linear, sgd, [(x, y)], [(x, y)], epochs=1, schedule=CosineAnnealingLR(sgd, 2))
