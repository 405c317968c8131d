"""The general code of hyperparameter optimization: an objective, a study, a search algorithm, a number of trials."""

import sys

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import honed

x, y = load_breast_cancer(return_X_y=True)


def objective(trial):
    if trial.suggest_categorical("classifier", ["SVC", "RandomForest"]) == "SVC":
        c = trial.suggest_float("C", 1e-3, 1e3, log=True)
        model = make_pipeline(StandardScaler(), SVC(C=c, gamma=trial.suggest_float("gamma", 1e-4, 1, log=True)))
    else:
        model = RandomForestClassifier(30, max_depth=trial.suggest_int("max_depth", 2, 32, log=True), random_state=0)
    return cross_val_score(model, x, y, cv=3).mean()


search_algorithm = "auto"
study = honed.create_study("deck", metric="accuracy", seed=1)  # kept in honed.db: run it again and it goes on
study.optimize(objective, search_algorithm, n_trials=int(sys.argv[1]) if sys.argv[1:] else 40)
