"""Population-based training: a learning rate that changes on the way, as the best of a population do it. About 40 seconds.

    python examples/pbt.py --trials 40 --epochs 24
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

import honed
from honed.schedulers.pbt import PBT
from honed.torch import evaluate, split, train_epoch

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--trials", type=int, default=40, help="members and their replacements (default: 40)")
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


study = honed.create_study("pbt", direction="minimize", metric="val_loss", storage=args.storage, seed=1)
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

replaced = sum(trial.parent is not None for trial in study.trials)
constant = [trial for trial in study.trials if trial.parent is None and trial.last_step == args.epochs]
n_trained = sum(trial.last_step - (trial.reports[0].step - 1) for trial in study.trials if trial.reports)
print(f"\n{replaced} of {len(study.trials)} trials began with the weights of another; {n_trained} epochs in all.")
if constant:
    value = min(trial.value for trial in constant)
    print(f"Best loss {best.value:.4f}; with one learning rate from begin to end {value:.4f}.")
