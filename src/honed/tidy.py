"""Removes checkpoints that no row names, and keeps the rest within a disk budget.

Runs in the worker that has just paused or ended a trial, now and then. A paused trial that loses its checkpoint is STOPPED
first, in its row: nobody can resume it any more, and it keeps its best value.
"""

from __future__ import annotations

import contextlib

from honed.checkpoints.collect import Limits, over_budget, prospects, ripe, unreferenced
from honed.clock import Clock
from honed.errors import StaleLease
from honed.events import Listener, Notice
from honed.history import History
from honed.live import Link
from honed.outcome import stopped
from honed.records import State

TIDY_SECONDS = 20.0


class Tidy:
    """Housekeeping for one connection to one study.

    Args:
        link: the connection.
        budget: bytes that the study's checkpoints may take; None is no limit.
    """

    def __init__(self, link: Link, budget: int | None) -> None:
        self._link = link
        self._budget = budget
        self._seen: dict[str, float] = {}
        self._last = -TIDY_SECONDS

    def is_due(self) -> bool:
        """Whether it is time: always with a budget, else every ``TIDY_SECONDS``."""
        return self._budget is not None or self._clock.monotonic() - self._last >= TIDY_SECONDS

    def run(self) -> None:
        """Looks at all checkpoints of the study and removes what should go."""
        link, store = self._link, self._link.checkpoints
        self._last = self._clock.monotonic()
        keys = dict(store.keys())  # before the rows are read: see honed.checkpoints.collect
        if not keys:
            return
        rows = list(link.refresh())
        garbage = unreferenced(keys, rows, study=link.study.id)
        gone, self._seen = ripe(garbage, self._seen, self._last)
        if not link.history.count(State.RUNNING):  # nothing is on its way to a row, so nothing needs to ripen
            gone = garbage
        for key in gone:
            store.delete(key)
        if self._budget is not None:
            kept = {key: size for key, size in keys.items() if key not in garbage}
            self._shrink(kept, link.history)

    def _shrink(self, keys: dict[str, int], history: History) -> None:
        link, study, rows = self._link, self._link.study, list(history)
        expected = prospects(rows, study.metrics[0], study.directions[0])
        removal = over_budget(keys, rows, Limits(budget=self._budget), expected, study=study.id)
        for number, key in removal.keys.items():
            record = history[number]
            final = stopped(study, {report.step: report.values for report in record.reports})
            with contextlib.suppress(StaleLease):  # somebody has just resumed it
                link.storage.write(study.id, number, record.attempt, final)
                link.checkpoints.delete(key)
        if removal.text:
            self._listen(Notice(level="info", text=removal.text))

    @property
    def _clock(self) -> Clock:
        return self._link.clock

    @property
    def _listen(self) -> Listener:
        return self._link.listen
