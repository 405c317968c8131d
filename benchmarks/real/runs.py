"""Studies of real trainings as results: played in a process of their own, kept as lines of JSON."""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np

from benchmarks.real.diary import Diary, Epoch
from benchmarks.real.tasks import CHANCE, digits, error_when_trained_again, tasks
from benchmarks.tables.base import Floats

TEST_SEEDS = (900_001, 900_002, 900_003)
"""Of the trainings that test a study's choice: no search has them."""

Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Job:
    """A study to play."""

    task: str
    method: str
    seed: int
    seconds: float

    @property
    def key(self) -> Key:
        """Which study it is."""
        return self.task, self.method, self.seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One study.

    Attributes:
        version: of the tool.
        epochs: all that were trained in time: (seconds, trial, step, validation error).
        training_seconds: how long networks were built, trained and validated; the rest is the search.
        kept: test error of the network that was best on the validation part, as it was then.
        again: mean test error of its configuration, trained afresh with three new seeds to the same epoch.
        params: of that configuration.
    """

    task: str
    method: str
    version: str
    seed: int
    seconds: float
    epochs: tuple[Epoch, ...]
    training_seconds: float
    kept: float
    again: float
    params: dict[str, Any]

    @property
    def key(self) -> Key:
        """Which study it is."""
        return self.task, self.method, self.seed

    @property
    def n_trials(self) -> int:
        """How many were begun."""
        return len({epoch.number for epoch in self.epochs})

    @property
    def n_full(self) -> int:
        """How many were trained to the end."""
        return sum(epoch.step == tasks()[self.task].n_epochs for epoch in self.epochs)

    @property
    def searching(self) -> float:
        """The share of the time that went to the search."""
        return 1.0 - self.training_seconds / self.seconds

    def best_at(self, times: Floats) -> Floats:
        """[len(times)] the best validation error by then, at any step of any trial; chance before the first."""
        at = np.array([epoch.at for epoch in self.epochs])
        errors = np.array([epoch.error for epoch in self.epochs])
        best = np.concatenate([[CHANCE], np.fmin.accumulate(np.where(np.isnan(errors), CHANCE, errors))])
        found: Floats = best[np.searchsorted(at, times, side="right")]
        return found

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        rows = [
            [round(e.at, 4), e.number, e.step, None if np.isnan(e.error) else round(e.error, 6)] for e in self.epochs
        ]
        return {**asdict(self), "epochs": rows}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """What ``to_json`` wrote."""
        epochs = tuple(Epoch(a, n, s, float("nan") if e is None else e) for a, n, s, e in data["epochs"])
        return cls(**{**data, "epochs": epochs})


def run(job: Job) -> Result:
    """Plays a study, and tests what it has chosen."""
    import torch

    from benchmarks.real.players import methods

    torch.set_num_threads(1)
    task = tasks()[job.task]
    diary = Diary(task, job.seed, job.seconds)
    _warm(job)
    with tempfile.TemporaryDirectory(prefix="honed-real-") as folder:
        methods()[job.method](diary, Path(folder))
    again = CHANCE
    if diary.best is not None:
        again = error_when_trained_again(task, diary.params, diary.best.step, digits(job.seed), TEST_SEEDS)
    return Result(
        task=job.task,
        method=job.method,
        version=version(job.method.split()[0].lower()),
        seed=job.seed,
        seconds=job.seconds,
        epochs=tuple(diary.epochs),
        training_seconds=round(diary.training_seconds, 4),
        kept=diary.test_error,
        again=again,
        params=diary.params,
    )


def _warm(job: Job) -> None:
    """What a process does once must not count: importing, and the first training of its life."""
    import scipy.optimize
    import scipy.special
    import scipy.stats  # noqa: F401

    from benchmarks.real.players import methods

    if job.method.startswith("Optuna"):
        import optuna
        import optuna.samplers._tpe.sampler  # noqa: F401
    short = Diary(tasks()[job.task], job.seed, 0.3)
    with tempfile.TemporaryDirectory(prefix="honed-real-") as folder:
        methods()[job.method](short, Path(folder))


def jobs_of(names: Sequence[str], methods: Sequence[str], seeds: Iterable[int], seconds: float) -> list[Job]:
    """Studies in an order in which a noisy hour hits all methods alike, and a run that is cut has a part of everything."""
    jobs = []
    for seed in seeds:
        shift = seed % max(len(methods), 1)
        for method in (*methods[shift:], *methods[:shift]):
            jobs += [Job(name, method, seed, seconds) for name in names]
    return jobs


def play_all(jobs: Sequence[Job], n_processes: int, raw: Path | None) -> list[Result]:
    """The results of all jobs, each kept in ``raw`` as soon as its study ends; every study has a fresh process."""
    results: list[Result] = []
    begun = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with context.Pool(n_processes, maxtasksperchild=1) as pool:
        for result in pool.imap_unordered(run, jobs, chunksize=1):
            results.append(result)
            if raw is not None:
                with raw.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(result.to_json()) + "\n")
            passed = time.perf_counter() - begun
            print(f"{len(results)} of {len(jobs)} studies, {passed:.0f} s", file=sys.stderr, flush=True)
    return results


def kept(paths: Iterable[Path]) -> dict[Key, Result]:
    """The studies in files; of two of the same study the later one counts. A last line that was cut is passed over."""
    found: dict[Key, Result] = {}
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                result = Result.from_json(json.loads(line))
            except (ValueError, TypeError, KeyError):
                print(f"{path.name}: passed over a line that is no result: {line[:60]}", file=sys.stderr)
                continue
            found[result.key] = result
    return found
