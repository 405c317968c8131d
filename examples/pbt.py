"""Population-based training: a learning rate that changes on the way, as the best of a population do it. About 40 seconds.

    python examples/pbt.py --trials 24 --epochs 24

A trial among the worst is stopped; a copy of one of the best, weights included, goes on with another learning rate.
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

import honed
from honed.schedulers.pbt import PBT
from honed.torch import evaluate, split, train_epoch

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--trials", type=int, default=24, help="members and their replacements (default: 40)")
parser.add_argument("--epochs", type=int, default=24, help="epochs of a full training (default: 24)")
parser.add_argument("--storage", default="memory", help="a file keeps the study, to go on with later")
args = parser.parse_args()

torch.set_num_threads(1)
digits = load_digits()
data = split(digits.data, digits.target, seed=1)


def objective(trial):
    torch.manual_seed(trial.number)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    rate = trial.suggest_float("lr", 1e-4, 1.0, log=True)
    batches = data.train.batches(64, shuffle=True, seed=1)

    trial.track(model=model, optimizer=optimizer, batches=batches)  # a child begins with its parent's
    for epoch in trial.steps(args.epochs):
        optimizer.param_groups[0]["lr"] = rate  # after the state is restored: it has the parent's rate
        train_epoch(model, optimizer, batches)
        scores = evaluate(model, data.validation.batches(1024))
        trial.report(scores.loss, step=epoch, accuracy=scores.accuracy, lr=rate)


def lineage(study, trial):
    """The trial, its parent, its parent's parent, ... back to a fresh start."""
    line = [trial]
    while line[-1].parent is not None:
        line.append(study.trials[line[-1].parent])
    return line[::-1]


study = honed.create_study("pbt", metric="val_loss", storage=args.storage, seed=1)
scheduler = PBT(params=["lr"], population=8, interval=max(1, args.epochs // 8), quantile=0.25, max_steps=args.epochs)
study.optimize(objective, "random", n_trials=args.trials, scheduler=scheduler, progress="plain", report=False)

best = study.best_trial
line = lineage(study, best)
print(f"\nThe line of the best, trial {best.number}:\n{'epochs':>8} {'trial':>6} {'lr':>10} {'val_loss':>9}")
for trial, child in zip(line, [*line[1:], None], strict=True):
    first = trial.reports[0].step
    last = child.reports[0].step - 1 if child is not None else trial.last_step
    value = next(report.values["val_loss"] for report in trial.reports if report.step == last)
    print(f"{first:>4}-{last:<3} {trial.number:>6} {trial.params['lr']:>10.4g} {value:>9.4f}")

n_copies = sum(trial.parent is not None for trial in study.trials)
n_trained = sum(len(trial.reports) for trial in study.trials)
print(f"\n{n_copies} of {len(study.trials)} trials began with the weights of another; {n_trained} epochs in all.")

constant = honed.create_study("constant", metric="val_loss", storage=args.storage, seed=1)  # draws the same rates
constant.optimize(objective, "random", n_trials=scheduler.population, progress="plain", report=False)
n_trained = sum(len(trial.reports) for trial in constant.trials)
print(f"\nPopulation: loss {best.value:.4f} (last epoch {best.reports[-1].values['val_loss']:.4f}).")
print(f"Each of its first rates from begin to end, {n_trained} epochs: {constant.best_trial.value:.4f}.")
