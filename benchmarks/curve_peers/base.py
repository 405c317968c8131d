"""One study of one tool that asks for a configuration to be trained up to a step, in simulated time."""

from __future__ import annotations

import heapq
import logging
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from benchmarks.meter import Meter
from benchmarks.players import Played, Player, Setting, incumbents
from benchmarks.tables import RowTask
from benchmarks.tables.base import Params
from honed.domains import Domain, Float
from honed.samplers.base import Stream

_MOST_FREE = 10_000  # answers in a row that cost nothing


@dataclass(frozen=True, slots=True)
class Grant:
    """A configuration that shall be trained up to a step.

    Attributes:
        params: in our own words.
        note: the tool's own object.
    """

    params: Params
    until: int
    note: Any


class Tool(Protocol):
    """A tool in one study."""

    def ask(self) -> Grant | None:
        """What to train next; None when it has nothing."""
        ...

    def report(self, grant: Grant, step: int, loss: float) -> bool:
        """Hears a finite loss before the grant's last step, and says whether to go on."""
        ...

    def end(self, grant: Grant, losses: Sequence[float]) -> None:
        """Hears all losses of the configuration so far; a last one that is not finite means that it diverged."""
        ...


Enter = Callable[[RowTask, Setting], Tool]


def peer_player(enter: Enter) -> Player:
    """A player for a tool."""

    def play(task: RowTask, setting: Setting) -> Played:
        begun = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what peers have to say
            before = logging.root.manager.disable
            logging.disable(logging.WARNING)
            try:
                run = Run(task, setting, enter(task, setting))
                run.play()
            finally:
                logging.disable(before)
        best = incumbents(np.array(run.seen), np.array(run.worth))
        return Played(best, len(run.rows), time.perf_counter() - begun, np.array(run.ends), run.meter)

    return play


@dataclass(slots=True)
class _Job:
    """A worker with a grant."""

    worker: int
    grant: Grant
    row: int
    losses: Sequence[float]
    step: int  # done


class Run:
    """Workers that train one step after the other, as in ``honed.testing.simulate``."""

    def __init__(self, task: RowTask, setting: Setting, tool: Tool) -> None:
        self.task, self.setting, self.tool = task, setting, tool
        self.seen: list[float] = []
        self.worth: list[float] = []
        self.ends: list[float] = []
        self.meter = Meter()
        self.rows: dict[tuple[Any, ...], int] = {}  # params -> row
        self._seeds: dict[int, int] = {}  # row -> recording
        self._trained: dict[int, int] = {}  # row -> steps
        self._free = np.ones(len(task.rows), dtype=bool)
        self._n_begun = 0
        self._queue: list[tuple[float, int, _Job]] = []

    def play(self) -> None:
        """Runs until the budget is spent, or the pool or the tool has nothing left."""
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
        """Gives a worker what the tool asks for; what was trained before is answered at once, at no cost."""
        for _ in range(_MOST_FREE):
            if self._n_begun >= self.setting.budget_steps:
                return
            with self.meter.deciding(len(self.seen), is_new=True):
                grant = self.tool.ask()
            row = None if grant is None else self._row(grant.params)
            if grant is None or row is None:
                return
            losses = self.task.curves[row, self._seeds[row]].tolist()
            done = self._trained.get(row, 0)
            if done < grant.until and not (done and math.isnan(losses[done - 1])):
                self._push(_Job(worker, grant, row, losses, done), now)
                return
            self._tell_end(grant, losses[: max(1, min(done, grant.until))])

    def _row(self, params: Params) -> int | None:
        """The row that stands for these params, the same at each time; None when the pool is empty."""
        key = tuple(params[name] for name in self.task.space.domains)
        if key not in self.rows:
            is_pool = self.setting.mode == "pool"
            if is_pool and not self._free.any():
                return None
            row = self.task.nearest(params, self._free if is_pool else None)
            self._free[row] = False
            self._seeds.setdefault(row, self.task.seed(Stream(self.setting.seed, len(self.rows))))
            self.rows[key] = row
        return self.rows[key]

    def _push(self, job: _Job, now: float) -> None:
        if self._n_begun < self.setting.budget_steps:
            self._n_begun += 1
            seconds = self.task.seconds(self.task.rows[job.row])
            heapq.heappush(self._queue, (now + seconds, self._n_begun, job))

    def _end_step(self, job: _Job, now: float) -> None:
        self.ends.append(now)
        self.seen.append(job.losses[job.step])
        self.worth.append(float(self.task.means[job.row, job.step]))
        job.step += 1
        self._trained[job.row] = max(job.step, self._trained.get(job.row, 0))

    def _goes_on(self, job: _Job) -> bool:
        loss = job.losses[job.step - 1]
        if job.step < job.grant.until and math.isfinite(loss):
            with self.meter.deciding(len(self.seen), is_new=False):
                return self.tool.report(job.grant, job.step, loss)
        self._tell_end(job.grant, job.losses[: job.step])
        return False

    def _tell_end(self, grant: Grant, losses: Sequence[float]) -> None:
        with self.meter.deciding(len(self.seen), is_new=False):
            self.tool.end(grant, losses)


def asked_as(name: str, domain: Domain) -> str:
    """The name under which a tool gets a parameter: what is dense near 1 is asked as 1 - x on a log scale."""
    return f"1-{name}" if isinstance(domain, Float) and domain.log == "near_one" else name


def in_our_words(task: RowTask, values: Mapping[str, Any]) -> Params:
    """A tool's values as our params, cut to the ranges that rounding may leave."""
    params: dict[str, Any] = {}
    for name, domain in task.space.domains.items():
        value = values[asked_as(name, domain)]
        if isinstance(domain, Float):
            x = 1.0 - float(value) if domain.log == "near_one" else float(value)
            params[name] = min(max(x, domain.low), domain.high)
        else:
            params[name] = value if isinstance(value, str) else int(value)
    return params
