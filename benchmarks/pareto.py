"""How good are samplers for several objectives? honed's beside those of Optuna and rustuna.

    python benchmarks/pareto.py --data FOLDER [--suites fronts lcbench-size] [--methods "honed nsga2" "Optuna NSGA-II"]
                                [--raw RUNS.jsonl] [--reuse EARLIER.jsonl ...] [--docs]

Suites: ZDT1-3 in ten dimensions and DTLZ2 with three objectives in eight; on LCBench's ten tasks the error after the last
epoch against the logarithm of the number of weights (the tables have no training times: the weights of a funnel-shaped network
are counted, see problems/several.py), a pool of 1,000 rows. The number is the share of the hypervolume of the best known front
that a study misses: 0 is the whole front. The reference point is the worst of 1,000 random configurations (of all rows), and a
tenth of their range beyond.

A run may be cut and begun again with the same --raw, as in full_fidelity.py.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks.peers import several
from benchmarks.problems import SEVERAL
from benchmarks.program import Program, main
from benchmarks.standings import Titles

PROGRAM = Program(
    name="pareto",
    description=__doc__ or "",
    suites=SEVERAL,
    table="several",
    methods=several,
    budgets=(50, 100, 200),
    baseline="Optuna NSGA-II",
    titles=Titles("Missed share of the hypervolume"),
)

if __name__ == "__main__":
    sys.exit(main(PROGRAM))
