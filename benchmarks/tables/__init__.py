"""Recorded trainings as tasks for ``honed.testing.simulate``.

The recordings are no part of this repository: ``--data FOLDER`` or the environment variable ``HONED_BENCH_DATA`` names
the folder with ``lcbench_dev.npz``, ``taskset_dev.npz``, ``deepobs_curves.json.gz``, ``fcnet_protein.npz``,
``hpobench_mlp_dev.npz`` and ``tabular_spaces.json``.
"""

from benchmarks.tables.base import RowTask, data_folder
from benchmarks.tables.curves import deepobs, lcbench, taskset
from benchmarks.tables.grids import fcnet, hpobench
from benchmarks.tables.suites import SUITES, Suite, load_suite
from benchmarks.tables.times import has_times, timed

__all__ = [
    "SUITES",
    "RowTask",
    "Suite",
    "data_folder",
    "deepobs",
    "fcnet",
    "has_times",
    "hpobench",
    "lcbench",
    "load_suite",
    "taskset",
    "timed",
]
