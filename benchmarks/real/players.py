"""honed and Optuna tune the same training, each as its documentation says: report every epoch, end where told.

Each has its default storage: honed a database and checkpoints in files, Optuna the memory. Optuna's trial that is pruned is
over. Its pruners have the settings of ``benchmarks.optuna_players``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import honed
from benchmarks.optuna_players import PRUNERS
from benchmarks.real.diary import Diary

Play = Callable[[Diary, Path], None]
"""Tunes until the time is up; ``Path`` is an empty folder."""


def methods() -> dict[str, Play]:
    """Name -> who tunes."""
    ours = {
        "honed auto": play_honed("auto", "auto"),
        "honed freeze-thaw": play_honed("freeze-thaw", "auto"),
        "honed tpe + asha": play_honed("tpe", "asha"),
        "honed random": play_honed("random", "full"),
    }
    return ours | {f"Optuna TPE{'' if name == 'none' else f' + {name}'}": play_optuna(name) for name in PRUNERS}


def play_honed(sampler: str, scheduler: str) -> Play:
    """A search of honed."""

    def play(diary: Diary, folder: Path) -> None:
        diary.begin()
        study = honed.create_study(diary.task.name, metric="error", storage=folder / "honed.db", seed=diary.seed)
        search: Any = {"scheduler": scheduler, "timeout": diary.seconds, "progress": "quiet", "report": False}
        study.optimize(objective(diary), sampler, on_error="raise", **search)
        study.close()

    return play


def objective(diary: Diary) -> Callable[[Any], None]:
    """What honed's searches call."""

    def train(trial: Any) -> None:
        training = diary.build(trial)
        trial.track(model=training.model, optimizer=training.optimizer, batches=training.batches)
        for epoch in trial.steps(diary.task.n_epochs):
            trial.report(diary.train(training, trial, epoch))

    return train


def play_optuna(pruner: str) -> Play:
    """A search of Optuna's TPE with one of its pruners."""

    def play(diary: Diary, folder: Path) -> None:
        import optuna

        def objective(trial: Any) -> float:
            training = diary.build(trial)
            best = math.inf
            for epoch in range(1, diary.task.n_epochs + 1):
                error = diary.train(training, trial, epoch)
                trial.report(error, epoch)
                if diary.is_over:
                    trial.study.stop()
                    raise optuna.TrialPruned
                if math.isnan(error) or (epoch < diary.task.n_epochs and trial.should_prune()):
                    raise optuna.TrialPruned
                best = min(best, error)
            return best

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        diary.begin()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental features
            study = optuna.create_study(
                study_name=f"{diary.task.name}/{diary.seed}",  # Hyperband draws a trial's bracket from it
                sampler=optuna.samplers.TPESampler(seed=diary.seed),
                pruner=PRUNERS[pruner](optuna, diary.task.n_epochs),
            )
            study.optimize(objective, timeout=diary.seconds)

    return play
