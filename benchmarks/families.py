"""Is ``sampler="auto"`` as good as the best single method? By families of problems, each method with the same seeds.

    python benchmarks/families.py --data FOLDER [--families noisy conditional] [--methods auto gp] [--seeds 5]
                                  [--raw RUNS.jsonl] [--curves QUALITY.json ...] [--docs]

Families: whole trainings and functions of numbers (``no curves``), choices and grids, conditions, several objectives, eight
workers at once, noise of a twentieth of the range that counts, and nearly pure noise. The studies are those of full_fidelity.py
and pareto.py, with honed's methods alone. ``pure noise`` has no regret: there it counts that studies end, and what they cost.

Studies with learning curves are played by quality.py (suites lcbench, taskset, deepobs, flat, faint); --curves reads what
its --raw kept. All comparisons stand in one table. A run may be cut and begun again with the same --raw.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from benchmarks import scoring
from benchmarks.methods import schedulers
from benchmarks.problems import problems
from benchmarks.program import DOCUMENT
from benchmarks.standings import write_between
from benchmarks.studies import Job, Result, kept, play_all, to_play
from benchmarks.tables import SUITES, data_folder
from benchmarks.tables.base import VARIABLE
from benchmarks.verdicts import AUTO, RANDOM, Line, line_of, markdown

BUDGETS = (50, 100)
TRAININGS = (2, 5, 10, 20)
NOTHING = "flat"
"""The suite in which every configuration is worth the same."""

KEY = (
    "Regret after so many trials, or, with curves, after the cost of so many full trainings; with several objectives the share "
    "of the hypervolume that is missed. Ratios are of means, in brackets the 95 % bootstrap interval over tasks, with fewer "
    "than five tasks over seeds as well, and none with fewer than five seeds then. Within noise: the interval holds 1. The "
    "best single method is chosen after the fact in each line, which favours it; so is the task on which auto is worst."
)

_NUMBERS = (RANDOM, "tpe", "gp", "cmaes", "de")
_CHOICES = (RANDOM, "tpe", "gp", "evolution")
_ALL = slice(None)


@dataclass(frozen=True, slots=True)
class Family:
    """Problems that a user would call alike.

    Attributes:
        parts: suites, and which of their problems.
        singles: the methods among which the best is looked for.
        seeds: how many studies of each method on each task, unless the command line says.
    """

    name: str
    parts: tuple[tuple[str, slice], ...]
    singles: tuple[str, ...]
    seeds: int
    n_workers: int = 1

    def tasks(self, folder: Path | None) -> list[tuple[str, int, str]]:
        """Suite, index and name of its problems."""
        return [
            (suite, index, found.name)
            for suite, chosen in self.parts
            for index, found in list(enumerate(problems(suite, folder)))[chosen]
        ]

    def jobs(self, methods: Sequence[str], folder: Path | None) -> list[Job]:
        """Its studies."""
        return [
            Job(suite, index, name, f"honed {method}", seed, BUDGETS, "own", folder, self.n_workers)
            for seed in range(self.seeds)
            for method in (AUTO, *self.singles)
            if method in methods
            for suite, index, name in self.tasks(folder)
        ]

    def studies(self, results: Iterable[Result], folder: Path | None) -> list[Result]:
        """Those of the results that belong to it and to its seeds, methods without the package's name."""
        tasks = {(suite, name) for suite, _, name in self.tasks(folder)}
        return [
            replace(result, method=result.method.removeprefix("honed "))
            for result in results
            if (result.suite, result.task) in tasks and result.n_workers == self.n_workers and result.seed < self.seeds
        ]


FAMILIES = (
    Family("no curves", (("lcbench", slice(5)), ("analytic", slice(0, None, 2))), _NUMBERS, 2),
    Family("choices", (("fcnet", _ALL), ("hpobench", _ALL), ("conditional", slice(4, 6))), _CHOICES, 2),
    Family("conditions", (("conditional", slice(4)), ("conditional", slice(6, 8))), _CHOICES, 3),
    Family(
        "several objectives",
        (("fronts", _ALL), ("lcbench-size", slice(3))),
        (RANDOM, "tpe", "gp", "nsga2"),
        2,
    ),
    Family(
        "8 workers",
        (("lcbench", slice(3)), ("analytic", slice(0, 8, 4)), ("fcnet", _ALL), ("conditional", slice(0, 8, 4))),
        _NUMBERS,
        2,
        n_workers=8,
    ),
    Family("noisy", (("noisy", _ALL),), _NUMBERS, 2),
    Family("nearly pure noise", (("faint", _ALL),), (RANDOM, "tpe", "gp"), 5),
    Family("pure noise", ((NOTHING, _ALL),), (RANDOM, "tpe", "gp"), 2),
)


def asked(arguments: argparse.Namespace) -> list[Family]:
    """The families of the command line, with its seeds."""
    chosen = [family for family in FAMILIES if family.name in arguments.families]
    return [replace(family, seeds=arguments.seeds or family.seeds) for family in chosen]


def jobs_of(arguments: argparse.Namespace, folder: Path | None) -> list[Job]:
    """What the command line asks for, seed by seed, so that a run that is cut has a part of everything."""
    jobs = []
    for family in asked(arguments):
        jobs += family.jobs(arguments.methods, folder)
    return sorted(jobs, key=lambda job: job.seed)


def lines_of(families: Sequence[Family], results: Sequence[Result], folder: Path | None) -> list[Line]:
    """What was played of the families that have a regret, budget by budget."""
    found = []
    for family in families:
        studies = [study for study in family.studies(results, folder) if study.suite != NOTHING]
        found += [line_of(family.name, budget, studies, _loss(i), family.singles) for i, budget in enumerate(BUDGETS)]
    return [line for line in found if line is not None]


def curve_lines(results: Sequence[scoring.Result]) -> list[Line]:
    """What quality.py played: a family for each suite and number of workers."""
    found = []
    for place in sorted({result.place for result in results}):
        studies = [result for result in results if result.place == place]
        if place.suite == NOTHING:
            continue
        workers = "" if place.n_workers == 1 else f", {place.n_workers} workers"
        name = f"curves: {place.suite}{workers}" + ("" if place.mode == "pool" else f", {place.mode}")
        for i, budget in enumerate(SUITES[place.suite].budgets):
            if budget in TRAININGS:
                found.append(line_of(name, budget, studies, _regret(i), (*schedulers(), "freeze-thaw")))
    return [line for line in found if line is not None]


def without_worth(
    chosen: Sequence[Family], results: Sequence[Result], curves: Sequence[scoring.Result], folder: Path | None
) -> str:
    """What studies of pure noise cost; empty where none was played."""
    lines = []
    families = [family for family in chosen if all(suite == NOTHING for suite, _ in family.parts)]
    whole = [study for family in families for study in family.studies(results, folder)]
    for method in dict.fromkeys(study.method for study in whole):
        mine = [study for study in whole if study.method == method]
        told, given = sum(study.n_told or 0 for study in mine), sum(study.n_trials for study in mine)
        cpu = np.mean([study.cpu_seconds for study in mine])
        lines.append(f"{method} {told} of {given} trials in {len(mine)} studies, {cpu:.1f} CPU s each")
    parts = [f"Pure noise, whole trainings: {'; '.join(lines)}."] if lines else []
    flat = [result for result in curves if result.suite == NOTHING]
    lines = []
    for method in dict.fromkeys(result.method for result in flat):
        alike = [result for result in flat if result.method == method]
        n_trials = np.mean([result.n_trials for result in alike])
        costs = [result.search_seconds for result in alike if result.search_seconds is not None]
        cost = f", {np.mean(costs):.1f} CPU s for 1,000 steps" if costs else ""
        lines.append(f"{method} {n_trials:.0f} trials begun{cost} ({len(alike)} studies)")
    parts += [f"Pure noise, curves: {'; '.join(lines)}."] if lines else []
    return "\n\n".join(parts)


def read(paths: Iterable[Path]) -> list[scoring.Result]:
    """What quality.py kept; of two runs of a study the later path counts."""
    found = {}
    for path in paths:
        for data in json.loads(path.read_text(encoding="utf-8")):
            result = scoring.Result.from_json(data)
            found[result.place, result.method, result.task, result.seed] = result
    return list(found.values())


def _loss(i: int) -> Callable[[Any], float]:
    return lambda result: float(result.losses[i]) if i < len(result.losses) else math.nan


def _regret(i: int) -> Callable[[Any], float]:
    return lambda result: float(result.regrets[i]) if i < len(result.regrets) else math.nan


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    names = [family.name for family in FAMILIES]
    known = list(dict.fromkeys(method for family in FAMILIES for method in (AUTO, *family.singles)))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help=f"the folder with the recordings (default: ${VARIABLE})")
    parser.add_argument("--families", nargs="*", default=names, choices=names, metavar="FAMILY", help=", ".join(names))
    parser.add_argument("--methods", nargs="*", default=known, choices=known, metavar="METHOD", help=", ".join(known))
    parser.add_argument(
        "--seeds", type=int, help="studies of each method on each task, played and shown (default: 2 to 5)"
    )
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--raw", type=Path, help="keep every study's result in this file, and play what it lacks")
    parser.add_argument(
        "--reuse", type=Path, nargs="+", default=[], help="show what earlier --raw kept of studies not in --raw"
    )
    parser.add_argument(
        "--curves", type=Path, nargs="+", default=[], metavar="JSON", help="what quality.py's --raw kept"
    )
    parser.add_argument(
        "--docs", type=Path, nargs="?", const=DOCUMENT, help="put the table on this page (default: docs/benchmarks.md)"
    )
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Runs what the command line asks for."""
    arguments = parsed(words)
    folder = data_folder(arguments.data)
    own = kept([arguments.raw]) if arguments.raw is not None else {}
    new = play_all(to_play(jobs_of(arguments, folder), own), arguments.processes, arguments.raw)
    results = list({**kept(arguments.reuse), **own, **{result.key: result for result in new}}.values())
    curves = read(arguments.curves)
    lines = curve_lines(curves) + lines_of(asked(arguments), results, folder)
    text = "\n\n".join(filter(None, [markdown(lines), without_worth(asked(arguments), results, curves, folder)]))
    print(text)
    if arguments.docs is not None:
        write_between("families", text, "python benchmarks/families.py", arguments.docs, key=KEY)
    return 0


if __name__ == "__main__":
    sys.exit(main())
