"""How long a scheduler takes to decide at 10,000 trials, right after one more report.

    python benchmarks/schedulers.py            # a table: median and worst of 200 decisions, in milliseconds
    python benchmarks/schedulers.py 1000       # at another number of trials

A third of the trials has reached each next rung, as halving leaves them. ``extend`` is the history's own share: taking in
the report before the decision. The worst ``decide`` is the first one, which makes the index of all reports.
"""

from __future__ import annotations

import statistics
import sys
import time

from honed.history import History
from honed.records import Delta, Report, State, StudyRecord, TrialRecord
from honed.schedulers.additive import AdditiveHalving
from honed.schedulers.asha import ASHA, ASHAStopping
from honed.schedulers.base import Scheduler
from honed.schedulers.full import Full
from honed.schedulers.halving import SuccessiveHalving
from honed.schedulers.hyperband import Hyperband
from honed.schedulers.paired import Wilcoxon
from honed.schedulers.pasha import PASHA
from honed.schedulers.pbt import PBT
from honed.schedulers.stopping import EpochRule, Median, Patience, Percentile, StopAlso, Threshold

LENGTH, REPEATS = 81, 200
SCHEDULERS: list[Scheduler] = [
    Full(), AdditiveHalving(), SuccessiveHalving(), Hyperband(), ASHA(), ASHAStopping(), PASHA(), Median(),
    Percentile(percentile=25), Patience(), Threshold(), Wilcoxon(), EpochRule(3), PBT(params=["lr"]),
    StopAlso(ASHA(), Median()),
]  # fmt: skip


def halved(n_trials: int, state: State) -> History:
    """Trials paused, or ended, at rungs 3, 9, 27, a third of them at each next one, the last third COMPLETE."""
    tops = [LENGTH if n % 27 == 0 else 27 if n % 9 == 0 else 9 if n % 3 == 0 else 3 for n in range(n_trials)]
    states = [State.COMPLETE if top == LENGTH else state for top in tops]
    trials = tuple(
        TrialRecord(
            number=n, state=states[n], until=None if top == LENGTH else top, note={"n_steps": LENGTH},
            values=(1.0,) if states[n].is_finished else None,
        )
        for n, top in enumerate(tops)
    )  # fmt: skip
    reports = tuple(
        Report(n, step, {"value": (n * 0.618) % 1 / step}) for n, top in enumerate(tops) for step in range(1, top + 1)
    )
    return History.empty(StudyRecord(name="large")).extend(Delta(revision=1, trials=trials, reports=reports))


def measure(scheduler: Scheduler, history: History) -> dict[str, list[float]]:
    """Seconds for taking in a report, for ``next`` and for ``decide``."""
    number, found = len(history), {"extend": [], "next": [], "decide": []}  # type: dict[str, list[float]]
    history = history.extend(
        Delta(revision=history.revision + 1, trials=(TrialRecord(number=number, state=State.RUNNING, until=LENGTH),))
    )
    scheduler.next(history)
    for i in range(REPEATS):
        report = Report(number, 1 + i % LENGTH, {"value": 0.9})
        trial = history[number].with_reports((*history[number].reports[: i % LENGTH], report))
        started = time.perf_counter()
        scheduler.decide(history, trial)
        decided = time.perf_counter()
        history = history.extend(Delta(revision=history.revision + 1, reports=(report,)))
        extended = time.perf_counter()
        scheduler.next(history)
        found["decide"].append(decided - started)
        found["extend"].append(extended - decided)
        found["next"].append(time.perf_counter() - extended)
    return found


def main() -> None:
    n_trials = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    print(f"{n_trials:,} trials; milliseconds, median / worst of {REPEATS}")
    print(f"{'scheduler':<18} {'next':>16} {'decide':>16} {'extend':>16}")
    histories = {state: halved(n_trials, state) for state in (State.PAUSED, State.STOPPED)}
    for scheduler in SCHEDULERS:
        does_pause = scheduler.next(histories[State.PAUSED].limited(None)) != Full().next(histories[State.PAUSED])
        is_population = isinstance(scheduler, PBT)  # its members that lost are stopped
        state = State.PAUSED if does_pause and not is_population else State.STOPPED
        found = measure(scheduler, histories[state])
        cells = [
            f"{1e3 * statistics.median(found[part]):7.3f} /{1e3 * max(found[part]):7.3f}"
            for part in ("next", "decide", "extend")
        ]
        print(f"{type(scheduler).__name__:<18} {cells[0]} {cells[1]} {cells[2]}")


if __name__ == "__main__":
    main()
