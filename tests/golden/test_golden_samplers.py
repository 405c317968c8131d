"""The first suggestions of each sampler, written down: a study that goes on after an upgrade goes on the same way.

``HONED_UPDATE_GOLDEN=1 make test ARGS="tests/golden -n 0"`` writes the file anew; a change of it belongs into the changelog.
Gaussian processes are not among them: the last bits of linear algebra, which differ between machines, lead to other optima. The
conformance suite asks them for the same answer in any process of one machine.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from honed.samplers.annealing import Annealing
from honed.samplers.base import Sampler
from honed.samplers.cmaes import CMAES
from honed.samplers.combine import fit_for_use
from honed.samplers.evolution import DifferentialEvolution, RegularizedEvolution
from honed.samplers.grid import Grid
from honed.samplers.nsga import NSGA2, NSGA3
from honed.samplers.quasirandom import Halton, Sobol
from honed.samplers.random import Random
from honed.samplers.tpe import TPE
from honed.testing.driver import Driver
from honed.testing.sampler_suite import MIXED, conditional

FILE = Path(__file__).parent / "samplers.json"
SAMPLERS: dict[str, Sampler] = {
    "random": fit_for_use(Random()),
    "grid": Grid(points=4),
    "sobol": fit_for_use(Sobol()),
    "halton": fit_for_use(Halton()),
    "annealing": fit_for_use(Annealing(n_startup=4)),
    "cmaes": fit_for_use(CMAES(population_size=6)),
    "de": fit_for_use(DifferentialEvolution(population_size=6)),
    "evolution": fit_for_use(RegularizedEvolution(population_size=5, sample_size=3)),
    "nsga2": fit_for_use(NSGA2(population_size=6)),
    "nsga3": fit_for_use(NSGA3(population_size=6)),
    "tpe": fit_for_use(TPE(n_startup=6)),
}
N = 20


def first_suggestions(sampler: Sampler, seed: int) -> dict[str, list[dict[str, Any]]]:
    declared, discovered = Driver(sampler, space=MIXED, seed=seed), Driver(sampler, conditional, seed=seed)
    declared.run(N)
    discovered.run(N)
    return {"declared": declared.params, "discovered": discovered.params}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", SAMPLERS)
def test_first_suggestions_are_as_written_down(name: str, seed: int):
    key = f"{name}, seed {seed}"
    written = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    now = first_suggestions(SAMPLERS[name], seed)
    if os.environ.get("HONED_UPDATE_GOLDEN"):
        lines = {**written, key: now}
        body = ",\n".join(
            f" {json.dumps(key)}: {{\n" + ",\n".join(
                f"  {json.dumps(kind)}: [\n" + ",\n".join(f"   {json.dumps(params)}" for params in rows) + "\n  ]"
                for kind, rows in lines[key].items()
            ) + "\n }"
            for key in sorted(lines)
        )  # fmt: skip
        FILE.write_text("{\n" + body + "\n}\n", encoding="utf-8")
        return
    assert key in written, "run it with HONED_UPDATE_GOLDEN=1 to write it down"
    for kind, rows in now.items():
        assert [list(params) for params in rows] == [list(params) for params in written[key][kind]]
        for params, expected in zip(rows, written[key][kind], strict=True):
            for label, value in params.items():  # the last bits of logarithms and sums differ between machines
                close = pytest.approx(expected[label], rel=1e-7) if isinstance(value, float) else expected[label]
                assert value == close, label
