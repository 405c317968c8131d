"""Studies, trials, events and clocks for these tests, in few words."""

from datetime import UTC, datetime, timedelta
from typing import Any

from honed.events import TrialEnded
from honed.history import History
from honed.records import Cause, Delta, State, StudyRecord, TrialRecord

DECK_PARAMS = {
    "n_layers": 1,
    "n_units_l0": 115,
    "dropout_l0": 0.40951215992211487,
    "optimizer": "Adam",
    "lr": 0.021951376926653072,
}


class SetClock:
    """A clock that stands still until somebody moves it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2020, 9, 11, 17, 26, 10, 790_499, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return 1000.0 + self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def complete(number: int, *values: float, **params: Any) -> TrialRecord:
    return TrialRecord(number=number, state=State.COMPLETE, values=values, params=params)


def failed(number: int, cause: Cause = Cause.ERROR, message: str | None = None, **params: Any) -> TrialRecord:
    return TrialRecord(number=number, state=State.FAILED, cause=cause, message=message, params=params)


def in_state(number: int, state: State, *values: float) -> TrialRecord:
    return TrialRecord(number=number, state=state, values=values or None)


def a_history(*trials: TrialRecord, study: StudyRecord | None = None, **settings: Any) -> History:
    study = study or StudyRecord(name="mnist", **settings)
    return History.empty(study).extend(Delta(revision=1, study=study, trials=trials))


def deck_history(**attributes: Any) -> History:
    """100 finished trials: 67 stopped, 33 complete, number 41 the best."""
    trials = [in_state(number, State.STOPPED, 0.5) for number in range(67)]
    trials[41] = complete(41, 0.95390625, **DECK_PARAMS)
    trials += [complete(number, 0.9 - number / 1000, lr=0.1) for number in range(67, 99)]
    trials.append(in_state(99, State.STOPPED, 0.5))
    return a_history(*trials, directions=("maximize",), attributes=attributes)


def ended(trial: TrialRecord, best: TrialRecord | None = None, n: int = 1, of: int | None = None) -> TrialEnded:
    return TrialEnded(trial=trial, best=best, n_counted=n, n_trials=of)
