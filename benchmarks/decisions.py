"""What a decision of freeze-thaw search costs: the move and, for a new trial, its configuration; one simulated worker.

Rows of the table: all decisions of a search of 1,000 epochs, those of them at which 250 values or more were known, and
decisions at a study of 2,000 trials. CPU time, not wall-clock time, so that other work on the machine matters less; set
OMP_NUM_THREADS=1.

    python benchmarks/decisions.py [--epochs 1000] [--params 7] [--length 50] [--trials 2000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from honed.domains import Float, Scalar
from honed.freeze_thaw import FreezeThaw
from honed.history import History
from honed.records import Decision, Delta, Report, Resume, Start, State, StudyRecord, TrialRecord
from honed.samplers.base import Proposal, Stream
from honed.schedulers.base import Move
from honed.space import Space
from honed.testing.simulate import power_law, simulate


@dataclass(slots=True)
class Timed:
    """Freeze-thaw search with a stopwatch."""

    reads_curves: ClassVar[bool] = True
    policy: FreezeThaw = field(default_factory=FreezeThaw)
    seconds: list[float] = field(default_factory=list)
    n_values: list[int] = field(default_factory=list)

    def next(self, history: History) -> Move:
        begin = time.process_time()
        move = self.policy.next(history)
        self.seconds.append(time.process_time() - begin)
        self.n_values.append(len(history.curves().steps))
        return move

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        begin = time.process_time()
        proposal = self.policy.suggest(history, space, rng, given)
        self.seconds[-1] += time.process_time() - begin
        return proposal

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        return self.policy.decide(history, trial)


def searched(epochs: int, n_params: int, length: int) -> Timed:
    """A search of so many epochs in all."""
    timed = Timed()
    simulate(power_law(n_params, length), timed, timed, budget_steps=epochs)
    return timed


def many(n_trials: int, n_params: int, length: int) -> History:
    """Paused trials, each with 3 to a third of all steps."""
    rng = np.random.default_rng(0)
    space = Space({f"x{i}": Float(0.0, 1.0) for i in range(n_params)})
    records, reports = [], []
    for number, x in enumerate(rng.random((n_trials, n_params))):
        n = int(rng.integers(3, length // 3))
        params = {f"x{i}": float(value) for i, value in enumerate(x)}
        records.append(
            TrialRecord(
                number=number, state=State.PAUSED, params=params, domains=dict(space.domains), attempt=1, until=n,
                note={"n_steps": length},
            )
        )  # fmt: skip
        level = float(((x - 0.3) ** 2).mean())
        reports += [Report(number, step, {"value": level + 1.0 / step}) for step in range(1, n + 1)]
    study = StudyRecord(name="many", space=space.to_json())
    return History.empty(study, space).extend(Delta(revision=1, trials=tuple(records), reports=tuple(reports)))


def decided(history: History, n: int) -> Timed:
    """So many decisions; between two of them a trial has reported one more step."""
    timed = Timed()
    for _ in range(n):
        move = timed.next(history)
        number = move.number if isinstance(move, Resume) else 0
        if isinstance(move, Start):
            timed.suggest(history, history.space, Stream(0, len(history)), {})
        step = (history[number].last_step or 0) + 1
        value = history[number].reports[-1].values["value"] * 0.99
        report = Report(number, step, {"value": value})
        history = history.extend(Delta(revision=history.revision + 1, reports=(report,)))
    return timed


def row(name: str, seconds: list[float]) -> str:
    """One line of the table."""
    ms = 1e3 * np.array(seconds)
    median, p95 = np.median(ms), np.quantile(ms, 0.95)
    return f"| {name} | {len(ms)} | {median:.1f} ms | {p95:.1f} ms | {ms.max():.0f} ms | {ms.sum() / 1e3:.1f} s |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--params", type=int, default=7)
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument("--trials", type=int, default=2000)
    arguments = parser.parse_args()
    search = searched(arguments.epochs, arguments.params, arguments.length)
    late = [s for s, n in zip(search.seconds, search.n_values, strict=True) if n >= 250]
    crowd = decided(many(arguments.trials, arguments.params, arguments.length), 30)
    print("| decisions of | number | median | 95 % below | slowest | CPU, all |\n|---|---|---|---|---|---|")
    print(row(f"a search of {arguments.epochs:,} epochs", search.seconds))
    print(row("its part with 250 values or more", late))
    print(row(f"a study of {arguments.trials:,} trials", crowd.seconds))


if __name__ == "__main__":
    main()
