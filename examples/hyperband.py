"""Many for two epochs, the chosen for two more, and so on: no epoch of a training is ever paid twice. About 30 seconds.

    python examples/hyperband.py --trials 27 --epochs 20

It prints the plan first, then the rounds, and counts the epochs where they are trained.
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

import honed
from honed.schedulers.additive import AdditiveHalving
from honed.torch import evaluate, split, train_epoch

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--trials", type=int, default=27, help="configurations in the first round (default: 27)")
parser.add_argument("--epochs", type=int, default=20, help="epochs of a full training (default: 20)")
parser.add_argument("--storage", default="memory", help="a file keeps the study, to go on with later")
args = parser.parse_args()

torch.set_num_threads(1)
digits = load_digits()
data = split(digits.data, digits.target, seed=1)
n_trained = 0  # epochs, counted where they happen


def objective(trial):
    global n_trained
    torch.manual_seed(trial.number)
    units = trial.suggest_int("units", 16, 256, log=True)
    model = nn.Sequential(nn.Linear(64, units), nn.ReLU(), nn.Linear(units, 10))
    rate = trial.suggest_float("lr", 1e-4, 1.0, log=True)
    momentum = trial.suggest_float("momentum", 0.0, 0.99)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)
    batches = data.train.batches(64, shuffle=True, seed=1)

    trial.track(model=model, optimizer=optimizer, batches=batches)  # saved when paused, restored when chosen
    for epoch in trial.steps(args.epochs):  # from where it was paused to where it may go now
        train_epoch(model, optimizer, batches)
        n_trained += 1
        trial.report(evaluate(model, data.validation.batches(1024)).accuracy, step=epoch)


def table(study, plan):
    """What each round was: who came so far, and how good they were there."""
    print(f"\n{'epochs':>6} {'trials':>7} {'best':>7} {'median':>7}   chosen")
    for rung in plan.rungs:
        here = {t.number: max(r.values["accuracy"] for r in t.reports if r.step <= rung.step)
                for t in study.trials if (t.last_step or 0) >= rung.step}  # fmt: skip
        ranked = sorted(here, key=here.get, reverse=True)
        chosen = [number for number in ranked if study.trials[number].last_step > rung.step]
        shown = " ".join(f"#{number}" for number in chosen) or f"the winner: #{ranked[0]}"
        print(f"{rung.step:>6} {len(here):>7} {here[ranked[0]]:>7.3f} {here[ranked[len(ranked) // 2]]:>7.3f}   {shown}")


scheduler = AdditiveHalving(n_trials=args.trials, first=2, more=2, keep=1 / 3, max_steps=args.epochs)
plan = scheduler.plan()
print("The plan, before anything is trained:", plan, sep="\n", end="\n\n")

study = honed.create_study("hyperband", metric="accuracy", storage=args.storage, seed=1)
study.optimize(objective, "random", n_trials=args.trials, scheduler=scheduler, progress="plain", report=False)

table(study, plan)
best, full = study.best_trial, args.trials * args.epochs
print(f"\nBest: {best.value:.4f} with " + ", ".join(f"{name}={value:.4g}" for name, value in best.params.items()))
print(f"Trained {n_trained} epochs (planned: {plan.n_steps}) instead of {full}: {1 - n_trained / full:.0%} saved.")
