"""Tune a small neural network on handwritten digits: baseline, search, honest test. About two minutes.

    make demo                        or: python examples/digits.py --trials 200 --epochs 20

Run it again and the same study goes on. Press Ctrl-C and nothing is lost.
"""

import argparse

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
parser.add_argument("--trials", type=int, default=120, help="trials of the study in total (default: 120)")
parser.add_argument("--epochs", type=int, default=20, help="epochs of a full training (default: 20)")
parser.add_argument("--workers", default="auto", help="processes that train side by side (default: one for each core)")
parser.add_argument("--storage", help="file that keeps the study (default: honed.db in this folder)")
parser.add_argument("--seed", type=int, default=1, help="of data split, search and trainings (default: 1)")
args = parser.parse_args()

torch.set_num_threads(1)  # networks this small gain nothing from more
digits = load_digits()
data = split(digits.data, digits.target, validation=0.2, test=0.2, seed=args.seed)

# ----------------------------------------------------------------- the search: what may be tried, how good it is


def build(trial):
    """A network 64 -> 10, its optimizer and the batch size, as the trial chooses them."""
    activation = suggest_activation(trial, choices=["sigmoid", "tanh", "relu", "leaky_relu", "prelu", "swish"])
    dropout = trial.suggest_float("dropout", 0.0, 0.5)
    layers, width = [], 64
    for i in range(trial.suggest_int("n_layers", 1, 4)):
        units = trial.suggest_int(f"units_{i}", 16, 256, log=True)  # a trial of two layers has no units_2
        layers += [nn.Linear(width, units), activation(), nn.Dropout(dropout)]
        width = units
    model = nn.Sequential(*layers, nn.Linear(width, 10))
    optimizer = suggest_optimizer(trial, model.parameters())  # one of nine, with its own knobs only
    return model, optimizer, trial.suggest_int("batch_size", 16, 256, factor=2)


def objective(trial):
    torch.manual_seed(args.seed + trial.number)
    model, optimizer, batch_size = build(trial)
    batches = data.train.batches(batch_size, shuffle=True, seed=args.seed)
    trial.track(model=model, optimizer=optimizer, batches=batches)  # paused after 3 epochs; what promises most goes on
    for epoch in trial.steps(args.epochs):
        train_epoch(model, optimizer, batches)
        train, validation = (evaluate(model, part.batches(1024)) for part in (data.train, data.validation))
        trial.report(validation.accuracy, step=epoch, val_loss=validation.loss, train_loss=train.loss)


# ------------------------------------------------ what it must beat, and the test part that nobody has looked at


def fit_baseline(part):
    """Logistic regression on standardised pixels, its C chosen by cross-validation within this part."""
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    search = GridSearchCV(pipeline, {"logisticregression__C": np.logspace(-3, 1, 5)}, cv=5)
    return search.fit(part.x.numpy(), part.y.numpy())


def hits(predictions):
    """[n_test] 1.0 for each test image that was recognised, else 0.0."""
    return (torch.as_tensor(predictions) == data.test.y).double()


def train_again(best, seed):
    """Trains the best configuration afresh, on training and validation part, and tests it."""
    torch.manual_seed(seed)
    model, optimizer, batch_size = build(honed.FixedTrial(best.params))  # the same code with given values
    batches = (data.train + data.validation).batches(batch_size, shuffle=True, seed=seed)
    best_epoch = max(best.reports, key=lambda report: report.values["val_accuracy"]).step
    for _ in range(best_epoch):
        train_epoch(model, optimizer, batches)
    return hits(model.eval()(data.test.x).argmax(1))


def final_test(best, n_seeds=3):
    """Says how good the best configuration is on the test part, and whether it beats the baseline there."""
    network = torch.stack([train_again(best, seed) for seed in range(n_seeds)])
    baseline = hits(fit_baseline(data.train + data.validation).predict(data.test.x.numpy()))
    accuracies = network.mean(1)
    gain = network.mean(0) - baseline  # image by image, since both saw the same ones
    error = gain.std() / len(gain) ** 0.5
    clearly = gain.mean() / error  # beyond two standard errors it is hardly luck
    verdict = "beats" if clearly > 2 else "loses to" if clearly < -2 else "is not clearly better than"
    print(f"\nTest on {len(gain)} images that played no part in the search:")
    print(
        f"  best trial  {accuracies.mean():.4f} ± {accuracies.std():.4f} ({n_seeds} seeds, validation {best.value:.4f})"
    )
    print(f"  baseline    {baseline.mean():.4f}")
    print(f"The best trial {verdict} the baseline: {gain.mean():+.4f} ± {error:.4f}")


def main():
    sizes = f"{len(data.train)} to train, {len(data.validation)} to validate, {len(data.test)} to test"
    print(f"Digits: {len(digits.images)} images of {digits.images[0].shape} pixels: {sizes}")
    print("Images of 0 to 9:", *np.bincount(digits.target))

    name = "digits" if args.seed == 1 else f"digits-{args.seed}"  # on another split, values mean something else
    study = honed.create_study(name, metric="val_accuracy", storage=args.storage, seed=args.seed)
    baseline = fit_baseline(data.train).score(data.validation.x.numpy(), data.validation.y.numpy())
    study.set_attribute("baseline", {"value": baseline, "name": "logistic regression"})
    print(f"Baseline: {baseline:.4f} validation accuracy by logistic regression\n")

    n_trials, n_done = args.trials, study.history.n_counted
    if n_done >= n_trials:
        n_trials = n_done + 20
        print(f"The study has its {n_done} trials: 20 more.")
    workers = args.workers if args.workers == "auto" else int(args.workers)
    study.optimize(objective, n_trials=n_trials, workers=workers)
    final_test(study.best_trial)


if __name__ == "__main__":
    main()
