"""Manual search, continued by machine: four experiments done by hand are entered, and the search learns from them."""

import argparse
import math

import honed

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--trials", type=int, default=30, help="trials in total, the four by hand included (default: 30)")
parser.add_argument("--storage", help="file that keeps the study (default: honed.db in this folder)")
args = parser.parse_args()

space = honed.Space(
    layers=honed.Int(1, 8),
    neurons=honed.Int(100, 3000, step=100),
    optimizer=honed.Categorical(["SGD", "RMSprop", "Adam"]),
)

by_hand = [
    ({"layers": 5, "neurons": 1000, "optimizer": "Adam"}, 0.50),
    ({"layers": 3, "neurons": 1000, "optimizer": "Adam"}, 0.40),
    ({"layers": 6, "neurons": 1000, "optimizer": "Adam"}, 0.55),
    ({"layers": 5, "neurons": 2000, "optimizer": "Adam"}, 0.56),
]


def objective(trial):
    """Stands in for hours of training: a formula that agrees with the four experiments above."""
    layers, neurons, optimizer = trial["layers"], trial["neurons"], trial["optimizer"]
    accuracy = 0.5 + 0.05 * (layers - 5) + 0.06 * math.log2(neurons / 1000)
    too_large = 0.08 * max(0, layers - 6) + 0.1 * max(0, neurons / 1000 - 2.4)
    return accuracy - too_large - {"Adam": 0.0, "RMSprop": 0.01, "SGD": 0.03}[optimizer]


study = honed.create_study("manual", metric="accuracy", space=space, storage=args.storage, seed=1)
for params, accuracy in by_hand:
    study.add_trial(params, accuracy)  # entered once, however often this script runs
study.optimize(objective, n_trials=args.trials)
