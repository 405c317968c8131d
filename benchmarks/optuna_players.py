"""Optuna on the same tasks: its own ask, report, should_prune and tell, cost counted in steps.

A pruned trial is over, its steps stay paid: Optuna has no pause. A training that diverges is told as pruned, which its
TPE learns from, rather than as failed, which it ignores. A finished training's value is the best that it reported, as in honed.
"""

from __future__ import annotations

import heapq
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.meter import Meter
from benchmarks.players import Played, Player, Setting, incumbents, order
from benchmarks.tables import RowTask
from honed.domains import Categorical, Domain, Float, Int, Ordinal
from honed.samplers.base import Stream

MIN_STEPS, REDUCTION_FACTOR = 3, 3

PRUNERS: dict[str, Callable[[Any, int], Any]] = {
    "none": lambda optuna, total: optuna.pruners.NopPruner(),
    "Median": lambda optuna, total: optuna.pruners.MedianPruner(),
    "SuccessiveHalving": lambda optuna, total: optuna.pruners.SuccessiveHalvingPruner(
        min_resource=MIN_STEPS, reduction_factor=REDUCTION_FACTOR
    ),
    "Hyperband": lambda optuna, total: optuna.pruners.HyperbandPruner(
        min_resource=1, max_resource=total, reduction_factor=REDUCTION_FACTOR
    ),
}


def optuna_player(sampler: str, pruner: str) -> Player:
    """A player for Optuna.

    Args:
        sampler: "random" or "TPE".
        pruner: a name of ``PRUNERS``.
    """

    def play(task: RowTask, setting: Setting) -> Played:
        begun = time.perf_counter()
        run = Run(task, setting, make_study(task, setting, sampler, pruner), is_random=sampler == "random")
        run.play()
        seconds = time.perf_counter() - begun
        best = incumbents(np.array(run.seen), np.array(run.worth))
        return Played(best, run.n_trials, seconds, np.array(run.ends), run.meter)

    return play


def make_study(task: RowTask, setting: Setting, sampler: str, pruner: str) -> Any:
    """Optuna's study; its defaults but for what ``PRUNERS`` says, and for parallel workers."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental features
        if sampler == "random":
            chosen: Any = optuna.samplers.RandomSampler(seed=setting.seed)
        else:
            chosen = optuna.samplers.TPESampler(seed=setting.seed, constant_liar=setting.n_workers > 1)
        # Hyperband draws a trial's bracket from the study's name.
        name = f"{task.name}/{setting.seed}"
        return optuna.create_study(study_name=name, sampler=chosen, pruner=PRUNERS[pruner](optuna, task.total_steps))


@dataclass(slots=True)
class _Job:
    """A worker with one of Optuna's trials."""

    worker: int
    trial: Any
    losses: Sequence[float]
    true: Sequence[float]
    seconds: float  # of a step
    step: int = 0  # done


class Run:
    """Workers that train one step after the other, as in ``honed.testing.simulate``."""

    def __init__(self, task: RowTask, setting: Setting, study: Any, *, is_random: bool) -> None:
        self.task, self.setting, self.study, self.is_random = task, setting, study, is_random
        self.seen: list[float] = []
        self.worth: list[float] = []
        self.ends: list[float] = []
        self.meter = Meter()
        self.n_trials = self.n_begun = 0
        self._free = np.ones(len(task.rows), dtype=bool)
        self._queue: list[tuple[float, int, _Job]] = []

    def play(self) -> None:
        """Runs until the budget is spent or the pool is empty."""
        for worker in range(self.setting.n_workers):
            self._begin(worker, 0.0)
        while self._queue:
            now, _, job = heapq.heappop(self._queue)
            self._end_step(job, now)
            if self._goes_on(job):
                self._push(job, now)
            else:
                self._begin(job.worker, now)

    def _begin(self, worker: int, now: float) -> None:
        if self.n_begun >= self.setting.budget_steps:
            return
        is_pool = self.setting.mode == "pool"
        if is_pool and self.n_trials >= len(self.task.rows):
            return
        if is_pool and self.is_random:
            row = order(self.setting.seed, len(self.task.rows))[self.n_trials]
            self.study.enqueue_trial(written(self.task, row))
        with self.meter.deciding(len(self.seen), is_new=True):
            trial = self.study.ask()
            params = {name: suggested(trial, name, domain) for name, domain in self.task.space.domains.items()}
        row = self.task.nearest(params, self._free if is_pool else None)
        self._free[row] = False
        seed = self.task.seed(Stream(self.setting.seed, self.n_trials))
        self.n_trials += 1
        losses, true = self.task.curves[row, seed].tolist(), self.task.means[row].tolist()
        job = _Job(worker, trial, losses, true, self.task.seconds(self.task.rows[row]))
        self._push(job, now)

    def _push(self, job: _Job, now: float) -> None:
        if self.n_begun < self.setting.budget_steps:
            self.n_begun += 1
            heapq.heappush(self._queue, (now + job.seconds, self.n_begun, job))

    def _end_step(self, job: _Job, now: float) -> None:
        self.ends.append(now)
        self.seen.append(job.losses[job.step])
        self.worth.append(job.true[job.step])
        job.step += 1

    def _goes_on(self, job: _Job) -> bool:
        """Reports, and asks the pruner; tells the study when the trial is over."""
        import optuna

        loss, total = job.losses[job.step - 1], self.task.total_steps
        if total > 1:
            with self.meter.deciding(len(self.seen), is_new=False):
                job.trial.report(loss, job.step)
                is_over = math.isnan(loss) or job.trial.should_prune()
            if is_over:
                self.study.tell(job.trial, state=optuna.trial.TrialState.PRUNED)
                return False
        if job.step < total:
            return True
        self.study.tell(job.trial, min(job.losses))
        return False


def suggested(trial: Any, name: str, domain: Domain) -> Any:
    """Asks Optuna for one of our parameters; what is dense near 1 is asked as 1 - x on a log scale."""
    if isinstance(domain, Categorical | Ordinal):
        return trial.suggest_categorical(name, list(domain.grid()))
    assert isinstance(domain, Float | Int)
    if isinstance(domain, Int):
        return trial.suggest_int(name, domain.low, domain.high, log=domain.log is True)
    if domain.log == "near_one":
        return 1.0 - trial.suggest_float(f"1-{name}", 1.0 - domain.high, 1.0 - domain.low, log=True)
    return trial.suggest_float(name, domain.low, domain.high, log=domain.log is True)


def written(task: RowTask, row: int) -> dict[str, Any]:
    """The params of a row under Optuna's names."""
    values: dict[str, Any] = {}
    for name, domain in task.space.domains.items():
        value: Any = task.rows[row][name]
        if isinstance(domain, Float) and domain.log == "near_one":
            low, high = 1.0 - domain.high, 1.0 - domain.low
            values[f"1-{name}"] = min(max(1.0 - value, low), high)
        else:
            values[name] = value
    return values
