"""Noise and the winner: each configuration trained three times, the best ones confirmed with new seeds. Seconds.

    python examples/noisy.py --trials 30

A training on few images depends on its seed: on the order of the images and on which ones are held out. The best of many
such values was lucky. Here each value is a mean with an error, weak configurations stop after their first training, and the
best ones are trained again, which tells what to expect and whether the search was worth it.
"""

import argparse
import warnings

from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

import honed
from honed.report import trials_table

parser = argparse.ArgumentParser(description="Find the best configuration in spite of noise.")
parser.add_argument("--trials", type=int, default=30, help="trials of the study in total (default: 30)")
parser.add_argument("--repeats", type=int, default=3, help="trainings of each configuration (default: 3)")
parser.add_argument("--storage", help="file that keeps the study (default: honed.db in this folder)")
parser.add_argument("--seed", type=int, default=1, help="of search and trainings (default: 1)")
args = parser.parse_args()

warnings.simplefilter("ignore", ConvergenceWarning)
X, y = load_digits(return_X_y=True)
X, y = X[:500] / 16, y[:500]


def objective(trial):
    """Accuracy on held-out images; split and training depend on trial.seed, which each repeat has its own of."""
    x_train, x_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=trial.seed, stratify=y)
    model = SGDClassifier(
        loss=trial.suggest_categorical("loss", ["hinge", "log_loss", "modified_huber"]),
        alpha=trial.suggest_float("alpha", 1e-6, 1e-1, log=True),
        learning_rate="constant",
        eta0=trial.suggest_float("eta0", 1e-4, 1.0, log=True),
        max_iter=10,
        tol=None,
        random_state=trial.seed,
    )
    return model.fit(x_train, y_train).score(x_test, y_test)


study = honed.create_study(
    "noisy",
    storage=args.storage,
    metric="accuracy",
    repeats=args.repeats,
    defaults={"loss": "hinge", "alpha": 1e-4, "eta0": 0.01},  # what you would use without a search: trial 0
    seed=args.seed,
)
study.optimize(objective, n_trials=args.trials)
print()
print(trials_table(study.history, 5))
print()
print(study.confirm(objective, top=3, repeats=10, progress="quiet"))
print()
print("To take home:", study.recommend("one_standard_error"))
