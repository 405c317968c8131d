"""Steps that are really executed, counted by the objective, are those of the theory: by one process, by eight, by killed ones.

Each executed step is one line on the disk, with all steps that the training's own state remembers.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

import honed
from honed.checkpoints.directory import DirectoryStore
from honed.records import State, TrialRecord
from honed.schedulers.plan import Plan
from tests.flows.scheduler_workers import SCHEDULERS

ROOT = Path(__file__).parents[2]
N_STEPS = 9


class Line(NamedTuple):
    """One executed step."""

    attempt: int
    step: int
    past: list[int]


class Run(NamedTuple):
    """What a study did: its records, and the lines of each trial in order."""

    trials: list[TrialRecord]
    lines: dict[int, list[Line]]
    n_killed: int

    @property
    def n_executed(self) -> int:
        return sum(map(len, self.lines.values()))

    def reached(self, step: int) -> int:
        """How many trials have executed a step."""
        return sum(any(line.step == step for line in lines) for lines in self.lines.values())


def run(folder: Path, name: str, n_trials: int, n_workers: int, n_kills: int = 0, seed: int = 0) -> Run:
    storage, logs = folder / "h.db", folder / "logs"
    logs.mkdir()
    numbers = (n_trials, N_STEPS, n_workers, n_kills, seed)
    command = [sys.executable, "-m", "tests.flows.scheduler_workers", *map(str, (storage, logs, name, *numbers))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines: dict[int, list[Line]] = {}
    for file in logs.iterdir():
        for line in file.read_text().splitlines():
            number, attempt, step, past = line.split()
            lines.setdefault(int(number), []).append(Line(int(attempt), int(step), [int(s) for s in past.split(",")]))
    with honed.load_study("rungs", storage=storage) as study:
        trials = study.trials
    kept = DirectoryStore(folder / "h.db-checkpoints").keys()
    assert set(kept) == {t.checkpoint for t in trials if t.state is State.PAUSED}
    return Run(trials, {number: sorted(found) for number, found in lines.items()}, int(done.stdout))


def assert_no_gap(found: Run) -> None:
    """Each attempt goes on where the state of the one before was saved; a step is repeated only if its worker was killed."""
    assert set(found.lines) == {t.number for t in found.trials}
    for number, lines in found.lines.items():
        assert all(line.past == list(range(1, line.step + 1)) for line in lines)
        assert lines[0].step == 1
        for before, line in pairwise(lines):
            assert line.step == before.step + 1 or (line.step == before.step and line.attempt > before.attempt)
        steps = [report.step for report in found.trials[number].reports]
        assert steps == list(range(1, lines[-1].step + 1))


def assert_ended(found: Run) -> None:
    assert {t.state for t in found.trials} <= {State.COMPLETE, State.PAUSED}
    for trial in found.trials:
        assert (trial.state is State.COMPLETE) == (trial.last_step == N_STEPS)
        assert trial.state is State.COMPLETE or trial.until == trial.last_step
        if trial.state is State.COMPLETE:
            assert trial.value == min(report.values["value"] for report in trial.reports)


def planned(name: str, n_trials: int) -> Plan:
    scheduler = SCHEDULERS[name]
    return scheduler.plan(n_trials, N_STEPS) if name == "asha" else scheduler.plan(N_STEPS)


def most(n_trials: int) -> int:
    """Steps of ASHA if at each rung 2 sqrt(n) trials more are promoted than would be in hindsight (Li et al. 2020)."""
    rungs, n, total = [1, 3, N_STEPS], n_trials, n_trials
    for below, rung in pairwise(rungs):
        n = min(n, math.floor(n / 3) + math.ceil(2 * math.sqrt(n)))
        total += n * (rung - below)
    return total


@pytest.mark.parametrize("n_workers", [1, 8])
@pytest.mark.parametrize("name", ["halving", "additive", "hyperband"])
def test_closed_rounds_execute_exactly_the_steps_of_the_plan(tmp_path: Path, name: str, n_workers: int) -> None:
    plan = planned(name, 0)
    found = run(tmp_path, name, 2 * plan.n_trials, n_workers)
    assert_no_gap(found)
    assert_ended(found)
    assert len(found.trials) == 2 * plan.n_trials
    assert found.n_executed == 2 * plan.n_steps
    reached = Counter(t.last_step for t in found.trials)
    ends = Counter[int | None]()
    for rung, above in pairwise([*plan.rungs, None]):
        assert rung is not None
        goes_on = above.n_trials if above is not None and above.bracket == rung.bracket else 0
        ends[rung.step] += 2 * (rung.n_trials - goes_on)
    assert reached == +ends


@pytest.mark.parametrize("n_workers", [1, 8])
@pytest.mark.parametrize("name", ["asha", "pasha"])
def test_promotions_execute_each_step_once(tmp_path: Path, name: str, n_workers: int) -> None:
    n_trials = 27
    found = run(tmp_path, name, n_trials, n_workers)
    assert_no_gap(found)
    assert_ended(found)
    assert len(found.trials) == n_trials
    assert found.n_executed == sum(t.last_step or 0 for t in found.trials) <= most(n_trials)
    assert {t.last_step for t in found.trials} <= {1, 3, N_STEPS}
    assert found.reached(N_STEPS) >= 1
    if name == "asha":
        assert found.n_executed >= planned(name, n_trials).n_steps
        assert found.reached(3) >= n_trials // 3


def killed(folder: Path, name: str, n_trials: int, n_kills: int, seed: int) -> Run:
    """Any number of kills costs a step each at most, and nothing else."""
    found = run(folder, name, n_trials, 8, n_kills, seed)
    assert found.n_killed == n_kills
    assert_no_gap(found)
    assert_ended(found)
    assert len(found.trials) == n_trials
    n_repeated = found.n_executed - sum(t.last_step or 0 for t in found.trials)
    assert 0 <= n_repeated <= n_kills
    if name not in ("asha", "pasha"):
        plan = planned(name, n_trials)
        assert found.n_executed - n_repeated == n_trials // plan.n_trials * plan.n_steps
    return found


@pytest.mark.parametrize(("name", "n_trials"), [("hyperband", 34), ("asha", 60)])
def test_workers_killed_at_random_repeat_one_step_at_most(tmp_path: Path, name: str, n_trials: int) -> None:
    killed(tmp_path, name, n_trials, 8, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    ("name", "n_trials"), [("halving", 180), ("additive", 90), ("hyperband", 102), ("asha", 200), ("pasha", 200)]
)
def test_thirty_workers_killed_at_random_repeat_one_step_each(
    tmp_path: Path, name: str, n_trials: int, seed: int
) -> None:
    killed(tmp_path, name, n_trials, 30, seed)
