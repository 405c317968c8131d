"""How good are samplers where each trial is one whole training? honed's beside Optuna, rustuna, hyperopt, HEBO, SMAC3.

    python benchmarks/full_fidelity.py --data FOLDER [--suites lcbench analytic] [--methods "honed gp" "Optuna GP"]
                                       [--raw RUNS.jsonl] [--reuse EARLIER.jsonl ...] [--docs]

Suites: LCBench (all epochs, the best of them counts), FCNet and HPOBench MLP (one of the recorded seeds for each trial,
judged by the mean over seeds), functions in 2 to 20 dimensions, eight of them with noise, and mixed conditional spaces with and
without noise. LCBench is a pool of 1,000 rows: a suggestion is moved to the nearest row that is free, and all tools learn from
that row's params but SMAC3 and rustuna, which keep to their own. Regret is (worth of what looks best - optimum) / (reference -
optimum), cut to [0, 1]; the reference is the median final value of the recordings, and of random params for functions. Means are
over tasks of means over seeds; differences are paired by task.

A run may be cut and begun again with the same --raw: what it has is not played again. Play what has changed with another
--raw, and show it beside the old with --reuse. Run one process at a time on an idle machine if the times matter.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks.peers import single
from benchmarks.problems import SINGLE
from benchmarks.program import Program, main
from benchmarks.standings import Titles

PROGRAM = Program(
    name="full_fidelity",
    description=__doc__ or "",
    suites=SINGLE,
    table="single",
    methods=single,
    budgets=(30, 50, 100, 200),
    baseline="Optuna GP",
    titles=Titles("Normalised regret"),
)

if __name__ == "__main__":
    sys.exit(main(PROGRAM))
