"""The first suggestions of each sampler, written down: a study that goes on after an upgrade goes on the same way.

``HONED_UPDATE_GOLDEN=1 make test ARGS=tests/golden`` writes the file anew; a change of it belongs into the changelog.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from honed.samplers.base import Sampler
from honed.samplers.combine import fit_for_use
from honed.samplers.grid import Grid
from honed.samplers.quasirandom import Halton, Sobol
from honed.samplers.random import Random
from honed.testing.driver import Driver
from honed.testing.sampler_suite import MIXED, conditional

FILE = Path(__file__).parent / "samplers.json"
SAMPLERS: dict[str, Sampler] = {
    "random": fit_for_use(Random()),
    "grid": Grid(points=4),
    "sobol": fit_for_use(Sobol()),
    "halton": fit_for_use(Halton()),
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
            for label, value in params.items():  # the last bit of a logarithm may differ between machines
                close = pytest.approx(expected[label], rel=1e-12) if isinstance(value, float) else expected[label]
                assert value == close, label
