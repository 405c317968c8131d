"""Recorded trainings as problems of one objective: all steps of a training, the best of them counts."""

from __future__ import annotations

import numpy as np

from benchmarks.problems.base import Params, Problem, Regret, Values
from benchmarks.tables import RowTask
from honed.samplers.base import Stream


def of_table(task: RowTask) -> Problem:
    """A recorded task; the worth of a row is the best of its steps, by the mean over seeds.

    Rows that are no full grid are a pool, in which a trial's params are moved to the nearest row that is free.
    """
    worths = np.nanmin(task.means, axis=1)

    def tell(params: Params, rng: Stream) -> tuple[Values, Values]:
        row = task.nearest(params)
        return (float(np.nanmin(task.curves[row, task.seed(rng)])),), (float(worths[row]),)

    loss = Regret(task.optimum, task.reference)
    return Problem(task.name, task.space, tell, loss, pool=None if task.is_grid else task)
