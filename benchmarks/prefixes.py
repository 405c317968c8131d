"""Single curves that are cut: half of a small study's trainings are complete, of the others the beginning is known."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.foretold import Foretold
from benchmarks.tables import RowTask
from honed.freeze_thaw.insight import Insight
from honed.history import History
from honed.records import Delta, Report, State, StudyRecord, TrialRecord
from honed.testing.simulate import Task

PARTS = (0.1, 0.25, 0.5)
"""Of each curve: what is known of it."""

_N_CURVES, _LEAST = 30, 6


def prefixed(task: Task, part: float, seed: int) -> Foretold | None:
    """What is said of the cut curves, and how they end; None where too few curves of the task are finite."""
    assert isinstance(task, RowTask)
    rng = np.random.default_rng(seed)
    rows = [int(row) for row in rng.permutation(len(task.rows)) if np.isfinite(task.curves[row]).all()][:_N_CURVES]
    if len(rows) < _LEAST:
        return None
    known = max(math.ceil(part * task.total_steps), 1)
    trials, reports, total = [], [], task.total_steps
    for number, row in enumerate(rows):
        is_whole = number % 2 == 0
        n = total if is_whole else known
        curve = task.curves[row, 0].tolist()
        state = State.COMPLETE if is_whole else State.PAUSED
        trials.append(
            TrialRecord(
                number=number, state=state, params=task.rows[row], domains=dict(task.space.domains), attempt=1,
                note={"n_steps": total}, values=(min(curve),) if is_whole else None,
                until=None if is_whole else n,
            )
        )  # fmt: skip
        reports += [Report(number, step, {"value": curve[step - 1]}) for step in range(1, n + 1)]
    study = StudyRecord(name="cut curves", space=task.space.to_json(), seed=seed)
    history = History.empty(study, task.space).extend(Delta(revision=1, trials=tuple(trials), reports=tuple(reports)))
    insight = Insight.of(history)
    if insight is None:
        return None
    numbers = np.arange(1, len(rows), 2)
    said, true = insight.finals(numbers), np.array([task.curves[rows[n], 0, -1] for n in numbers.tolist()])
    return Foretold(
        cost=0, at=[part] * len(numbers), median=said.median.tolist(), low=said.low.tolist(), high=said.high.tolist(),
        true=true.tolist(), chance=insight.chances(numbers).tolist(), is_better=(true < insight.best).tolist(),
        expected=None, came=None, likely=None, has_come=None, reference=task.reference - task.optimum,
    )  # fmt: skip
