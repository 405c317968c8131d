"""Tune a recurrent network that reads a digit row by row, as a sequence of eight steps. About a minute.

    python examples/rnn.py --seconds 60

One object decides what to train next: a new configuration, or a few epochs more of one that was paused.
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

import honed
from honed.torch import evaluate, split, suggest_optimizer, train_epoch

parser = argparse.ArgumentParser(description="Tune a recurrent network that reads a digit row by row.")
parser.add_argument("--seconds", type=float, default=60.0, help="of the search (default: 60)")
parser.add_argument("--trials", type=int, help="ends the search earlier")
parser.add_argument("--epochs", type=int, default=20, help="epochs of a full training (default: 20)")
parser.add_argument("--storage", default="memory", help="a file keeps the study, to go on with later")
parser.add_argument("--seed", type=int, default=1, help="of data split, search and trainings (default: 1)")
args = parser.parse_args()

torch.set_num_threads(1)  # networks this small gain nothing from more
digits = load_digits()
data = split(digits.images, digits.target, seed=args.seed)  # [n, 8 rows, 8 pixels]


class Reader(nn.Module):
    def __init__(self, cells, width, dropout):
        super().__init__()
        self.cells, self.dropout, self.out = cells, nn.Dropout(dropout), nn.Linear(width, 10)

    def forward(self, images):
        rows, _ = self.cells(images)
        return self.out(self.dropout(rows[:, -1]))  # what is known after the last row


def objective(trial):
    torch.manual_seed(args.seed + trial.number)
    cell = trial.suggest_categorical("cell", {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM})
    width = trial.suggest_int("width", 8, 64, log=True)
    depth = trial.suggest_int("depth", 1, 2)
    model = Reader(cell(8, width, depth, batch_first=True), width, trial.suggest_float("dropout", 0.0, 0.6))
    optimizer = suggest_optimizer(trial, model.parameters())
    longest = trial.suggest_float("max_gradient_norm", 0.1, 10.0, log=True)  # gradients through time may explode
    batches = data.train.batches(trial.suggest_int("batch_size", 32, 256, factor=2), shuffle=True, seed=args.seed)

    trial.track(model=model, optimizer=optimizer, batches=batches)  # saved when paused, restored when it goes on
    for epoch in trial.steps(args.epochs):
        train_epoch(model, optimizer, batches, max_gradient_norm=longest)
        trial.report(evaluate(model, data.validation.batches(1024)).accuracy, step=epoch)


study = honed.create_study("rnn", metric="accuracy", storage=args.storage, seed=args.seed)
study.optimize(objective, "freeze-thaw", n_trials=args.trials, timeout=args.seconds, progress="plain", report=False)

best = study.best_trial
lengths = [len(trial.reports) for trial in study.trials]
print(f"\n{len(lengths)} networks, {sum(lengths)} epochs; {lengths.count(args.epochs)} were trained to the end.")
shown = {name: f"{value:.3g}" if isinstance(value, float) else value for name, value in best.params.items()}
print(f"Best: {best.value:.4f} with " + ", ".join(f"{name}={value}" for name, value in shown.items()))
