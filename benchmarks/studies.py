"""Many studies, one after the other: played once, kept at once, so that a long run may be cut into parts.

Results are lines of JSON, appended when a study ends; a study that the file already has is not played again.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import numpy as np

from benchmarks.peers.base import Played
from benchmarks.problems import problems

LAST = 20
"""The cost of a suggestion is the median over this many at the end."""

Key = tuple[str, str, str, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One study, scored.

    Attributes:
        version: of the tool.
        losses: what was missed after each of the program's numbers of trials, as far as it was played.
        n_trials: how many trials it was given.
        seconds: of a suggestion at the end.
        cpu_seconds: of the whole study.
        n_workers: how many trials ran at once.
        n_told: how many trials came to their end; None in files of older versions.
    """

    suite: str
    task: str
    method: str
    version: str
    seed: int
    losses: tuple[float, ...]
    n_trials: int
    seconds: float
    cpu_seconds: float
    n_workers: int = 1
    n_told: int | None = None

    @property
    def key(self) -> Key:
        """Which study it is."""
        return self.suite, self.task, self.method, self.seed, self.n_workers

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What ``to_json`` wrote."""
        return cls(**{**data, "losses": tuple(data["losses"])})


@dataclass(frozen=True, slots=True)
class Job:
    """A study to play.

    Attributes:
        index: of the problem in its suite.
        table: where the method is found by its name: "single", "several" or "own" of ``benchmarks.peers``.
        budgets: after how many trials it is scored; the last is its length.
    """

    suite: str
    index: int
    task: str
    method: str
    seed: int
    budgets: tuple[int, ...]
    table: str
    folder: Path | None
    n_workers: int = 1

    @property
    def key(self) -> Key:
        """Which study it is."""
        return self.suite, self.task, self.method, self.seed, self.n_workers


def run(job: Job) -> Result:
    """Plays and scores a job."""
    peers = import_module("benchmarks.peers")
    problem = problems(job.suite, job.folder)[job.index]
    method = getattr(peers, job.table)()[job.method]
    played: Played = method.play(problem, job.seed, job.budgets[-1], job.n_workers)
    return Result(
        suite=job.suite,
        task=job.task,
        method=job.method,
        version=peers.version_of(method.package),
        seed=job.seed,
        losses=tuple(problem.loss(played.told[:k], played.worth[:k]) for k in job.budgets),
        n_trials=job.budgets[-1],
        seconds=round(float(np.median(played.seconds[-LAST:])), 6),
        cpu_seconds=round(played.cpu_seconds, 3),
        n_workers=job.n_workers,
        n_told=len(played.told),
    )


def tried(job: Job) -> Result | str:
    """A job's result, or in a line what went wrong: one study does not end a run of many hours."""
    try:
        return run(job)
    except Exception as error:
        return f"{job.method} failed on {job.task}, seed {job.seed}: {type(error).__name__}: {error}"


def play_all(jobs: Sequence[Job], n_processes: int, raw: Path | None) -> list[Result]:
    """The results of all jobs that went well; each is written to ``raw`` as soon as its study ends."""
    results: list[Result] = []
    begun = time.perf_counter()
    if raw is not None and raw.exists() and not raw.read_bytes().endswith(b"\n"):
        with raw.open("a", encoding="utf-8") as file:  # a line that was cut must not swallow the next
            file.write("\n")
    for result in _played(jobs, n_processes):
        if isinstance(result, str):
            print(result, file=sys.stderr, flush=True)
            continue
        results.append(result)
        if raw is not None:
            with raw.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result.to_json()) + "\n")
        if len(results) % 10 == 0 or len(results) == len(jobs):
            passed = time.perf_counter() - begun
            print(f"{len(results)} of {len(jobs)} studies, {passed:.0f} s", file=sys.stderr, flush=True)
    return results


def _played(jobs: Sequence[Job], n_processes: int) -> Iterator[Result | str]:
    if n_processes == 1:
        yield from map(tried, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(n_processes) as pool:
        yield from pool.imap_unordered(tried, jobs)


def kept(paths: Iterable[Path]) -> dict[Key, Result]:
    """The studies that earlier runs kept; of two of the same study the later one counts.

    The last line of a run that was killed may be broken, and is passed over.
    """
    found: dict[Key, Result] = {}
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                result = Result.from_json(json.loads(line))
            except (ValueError, TypeError):
                print(f"{path.name}: passed over a line that is no result: {line[:60]}", file=sys.stderr)
                continue
            found[result.key] = result
    return found


def to_play(jobs: Sequence[Job], known: Mapping[Key, Result]) -> list[Job]:
    """The jobs whose study is not known, or was cut off earlier than now wanted."""
    return [job for job in jobs if job.key not in known or known[job.key].n_trials < job.budgets[-1]]
