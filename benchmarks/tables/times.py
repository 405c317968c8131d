"""How long a step takes, where a table knows enough to say: a model, not a recording.

An epoch of LCBench is taken as half calls, of which there are more the smaller the batch, and half arithmetic, which grows
with layers times units: half of ``64 / batch_size`` and half of ``num_layers * max_units / 512``, scaled to a mean of one
over the pool, so that times are given in full trainings of mean length.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from benchmarks.tables.base import RowTask

_NEEDED = {"batch_size", "num_layers", "max_units"}


def has_times(task: RowTask) -> bool:
    """Whether the sizes of its trainings are known."""
    return task.space.domains.keys() >= _NEEDED


@lru_cache(maxsize=32)
def timed(task: RowTask) -> RowTask:
    """The task with steps as long as its configurations make them.

    Raises:
        ValueError: the table does not say how large its trainings are.
    """
    if not has_times(task):
        raise ValueError(f"timed: {task.name} has no {', '.join(sorted(_NEEDED))}; play it in mode 'pool'")
    sizes = np.array(
        [[row[name] for name in ("batch_size", "num_layers", "max_units")] for row in task.rows], dtype=float
    )
    batch, layers, units = sizes.T
    seconds = 0.5 * 64.0 / batch + 0.5 * layers * units / 512.0
    return replace(task, row_seconds=seconds / seconds.mean())
