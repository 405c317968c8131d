"""Real trainings on the digits that scikit-learn brings along: the same code, tuned by honed and by Optuna."""
