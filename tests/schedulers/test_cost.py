"""What a decision costs at 10,000 trials, counted: records touched, not milliseconds (`benchmarks/schedulers.py` has those)."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

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

N = 10_000
READS = {History.__getitem__.__code__, History.finished.fget.__code__}  # type: ignore[attr-defined]
SCANS = {History.__iter__.__code__, History.unfinished.fget.__code__}  # type: ignore[attr-defined]

PROMOTING = [ASHA(), PASHA(), SuccessiveHalving(), Hyperband(), AdditiveHalving(), StopAlso(ASHA(), Median())]
STOPPING = [
    Full(), ASHAStopping(), Median(), Percentile(), Patience(), Threshold(), Wilcoxon(), EpochRule(3),
]  # fmt: skip


def large(state: State) -> History:
    """Trials that all stand at rung 3, a third of them at 9, a ninth at 27."""
    steps = [1 + 2 * (n % 3 < 3) + 6 * (n % 3 == 0) + 18 * (n % 9 == 0) for n in range(N)]
    trials = tuple(
        TrialRecord(
            number=n, state=state, until=steps[n], note={"n_steps": 81}, checkpoint=f"{n}",
            values=(1.0,) if state.is_finished else None,
        )
        for n in range(N)
    )  # fmt: skip
    reports = tuple(
        Report(n, step, {"value": (n * 0.618) % 1}) for n in range(N) for step in (3, 9, 27) if step <= steps[n]
    )
    return History.empty(StudyRecord(name="large")).extend(Delta(revision=1, trials=trials, reports=reports))


def touched(action: Any) -> tuple[int, int]:
    """Reads of single records and walks over all of them while ``action`` runs."""
    counts = [0, 0]

    def look(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            counts[0] += frame.f_code in READS
            counts[1] += frame.f_code in SCANS

    sys.setprofile(look)
    try:
        action()
    finally:
        sys.setprofile(None)
    return counts[0], counts[1]


@pytest.fixture(scope="module", params=[State.PAUSED, State.COMPLETE])
def history(request: pytest.FixtureRequest) -> History:
    return large(request.param)


@pytest.mark.parametrize("scheduler", PROMOTING + STOPPING, ids=lambda s: type(s).__name__)
def test_a_decision_touches_no_more_records_than_it_names(scheduler: Scheduler, history: History) -> None:
    trial = TrialRecord(number=N, state=State.RUNNING, reports=(Report(N, 3, {"value": 2.0}),))
    scheduler.next(history)  # what is gathered once
    n_next, scans = touched(lambda: scheduler.next(history))
    assert n_next <= 2
    assert scans == 0
    assert touched(lambda: scheduler.decide(history, trial)) <= (2, 0)


def test_a_population_looks_through_its_members_only() -> None:
    history, scheduler = large(State.STOPPED), PBT(params=["lr"])
    scheduler.next(history)
    assert touched(lambda: scheduler.next(history)) <= (40, 1)  # the unfinished ones are the population


def test_one_more_report_is_taken_in_alone(history: History) -> None:
    history.rung(3)
    more = history.extend(Delta(revision=2, reports=(Report(5, 81, {"value": 0.0}),)))
    lines = [0]

    def look(frame: FrameType, event: str, _: object) -> None:
        lines[0] += event == "call"

    sys.setprofile(look)
    more.rung(3)
    sys.setprofile(None)
    assert lines[0] < 20
    assert len(more.rung(81).numbers) == 1
