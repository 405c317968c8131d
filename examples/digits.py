"""Tune a small neural network on handwritten digits: baseline, search, honest test. About two minutes.

    make demo                                   or: python examples/digits.py --trials 100

Run it again and the same study goes on. Stop it with Ctrl-C and nothing is lost.
"""

import argparse
import statistics

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import honed
from honed.torch import evaluate, split, suggest_activation, suggest_optimizer, train_epoch

parser = argparse.ArgumentParser(description="Tune a small neural network on handwritten digits.")
parser.add_argument("--trials", type=int, default=60, help="trials of the study in total (default: 60)")
parser.add_argument("--epochs", type=int, default=20, help="epochs of a full training (default: 20)")
parser.add_argument("--storage", help="file that keeps the study (default: ./honed.db)")
parser.add_argument("--seed", type=int, default=1, help="of the data split, the search and the trainings")
args = parser.parse_args()

torch.set_num_threads(1)  # networks this small are slower on more

digits = load_digits()
data = split(digits.data, digits.target, validation=0.2, test=0.2, seed=args.seed)


# The search: what a trial may choose, and how good it turns out to be.


def build(trial):
    """A network of 64 inputs and 10 outputs and its optimizer, as the trial chooses them."""
    activation = suggest_activation(trial, choices=["sigmoid", "tanh", "relu", "leaky_relu", "prelu", "swish"])
    dropout = trial.suggest_float("dropout", 0.0, 0.5)
    layers, width = [], 64
    for i in range(trial.suggest_int("n_layers", 1, 4)):
        units = trial.suggest_int(f"units_{i}", 16, 256, log=True)  # units_3 exists only if there are 4 layers
        layers += [nn.Linear(width, units), activation(), nn.Dropout(dropout)]
        width = units
    model = nn.Sequential(*layers, nn.Linear(width, 10))
    return model, suggest_optimizer(trial, model.parameters())  # one of nine, with only its own knobs


def objective(trial):
    torch.manual_seed(args.seed + trial.number)
    model, optimizer = build(trial)
    batch_size = trial.suggest_int("batch_size", 16, 256, factor=2)
    batches = data.train.batches(batch_size, shuffle=True, seed=args.seed)
    for epoch in trial.steps(args.epochs):  # ends early when training diverges
        train_epoch(model, optimizer, batches)
        train, validation = (evaluate(model, part.batches(1024)) for part in (data.train, data.validation))
        trial.report(validation.accuracy, step=epoch, val_loss=validation.loss, train_loss=train.loss)


# What it is compared with: a linear model before, and the test part that nobody has looked at after.


def fit_baseline(part):
    """Logistic regression on standardised pixels, its C chosen by cross-validation within the part."""
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    search = GridSearchCV(pipeline, {"logisticregression__C": np.logspace(-3, 1, 5)}, cv=5)
    return search.fit(part.x.numpy(), part.y.numpy())


def test_accuracy(best, seed):
    """Trains the best configuration once more, on training and validation part, and tests it."""
    torch.manual_seed(seed)
    trial = honed.FixedTrial(best.params)  # the same build() with given values
    model, optimizer = build(trial)
    batch_size = trial.suggest_int("batch_size", 16, 256, factor=2)
    batches = (data.train + data.validation).batches(batch_size, shuffle=True, seed=seed)
    n_epochs = max(best.reports, key=lambda report: report.values["val_accuracy"]).step
    for _ in range(n_epochs):
        train_epoch(model, optimizer, batches)
    return evaluate(model, data.test.batches(1024)).accuracy


def main():
    parts = f"{len(data.train)} train, {len(data.validation)} validation, {len(data.test)} test"
    print(f"Digits: {digits.data.shape[0]} images of {digits.images[0].shape[0]} x 8 pixels; {parts}")
    print("Images of each digit:", ", ".join(f"{digit}: {n}" for digit, n in enumerate(np.bincount(digits.target))))

    study = honed.create_study("digits", metric="val_accuracy", storage=args.storage, seed=args.seed)
    baseline = fit_baseline(data.train).score(data.validation.x.numpy(), data.validation.y.numpy())
    study.set_attribute("baseline", {"value": baseline, "name": "logistic regression"})
    print(f"Baseline: logistic regression, validation accuracy {baseline:.4f}\n")

    total = args.trials
    if study.history.n_counted >= total:
        total = study.history.n_counted + 20
        print(f"The {total - 20} trials asked for are done: 20 more.")
    study.optimize(objective, n_trials=total)

    print("\nThe best one, trained again with 3 seeds, and the baseline, on the test part that played no role so far:")
    accuracies = [test_accuracy(study.best_trial, seed) for seed in range(3)]
    mean, deviation = statistics.mean(accuracies), statistics.stdev(accuracies)
    linear = fit_baseline(data.train + data.validation).score(data.test.x.numpy(), data.test.y.numpy())
    ...


if __name__ == "__main__":
    main()
