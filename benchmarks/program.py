"""What the programs full_fidelity.py and pareto.py share: the command line, resuming, tables on the page."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import Method, missing
from benchmarks.problems import problems
from benchmarks.standings import Titles, tables, write_between
from benchmarks.studies import Job, Key, Result, kept, play_all, to_play
from benchmarks.tables import data_folder
from benchmarks.tables.base import VARIABLE

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"


@dataclass(frozen=True, slots=True)
class Program:
    """One comparison.

    Attributes:
        name: of the program, and of its markers on the page.
        table: the name of its methods in ``benchmarks.peers``.
        budgets: numbers of trials after which studies are scored.
    """

    name: str
    description: str
    suites: tuple[str, ...]
    table: str
    methods: Callable[[], Mapping[str, Method]]
    budgets: tuple[int, ...]
    baseline: str
    titles: Titles


def parsed(program: Program, words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    known = list(program.methods())
    parser = argparse.ArgumentParser(
        description=program.description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help=f"the folder with the recordings (default: ${VARIABLE})")
    parser.add_argument("--suites", nargs="+", default=list(program.suites), choices=program.suites)
    parser.add_argument("--methods", nargs="*", default=known, choices=known, metavar="METHOD", help=", ".join(known))
    parser.add_argument("--seeds", type=int, default=10, help="studies of each method on each task")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=100, help=f"scored after {program.budgets}")
    parser.add_argument("--tasks", type=int, help="only the first so many tasks of each suite")
    parser.add_argument("--baseline", default=program.baseline)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--raw", type=Path, help="keep every study's result in this file, and play what it lacks")
    parser.add_argument(
        "--reuse", type=Path, nargs="+", default=[], help="show what earlier --raw kept of studies not in --raw"
    )
    parser.add_argument("--show", nargs="+", metavar="METHOD", help="only these methods in the tables")
    parser.add_argument(
        "--docs", type=Path, nargs="?", const=DOCUMENT, help="put the tables on this page (default: docs/benchmarks.md)"
    )
    return parser.parse_args(words)


def jobs_of(program: Program, arguments: argparse.Namespace, folder: Path | None) -> list[Job]:
    """What the command line asks for, seed by seed, so that a run that is cut has a part of everything."""
    budgets = tuple(k for k in program.budgets if k <= arguments.trials) or (arguments.trials,)
    return [
        Job(suite, index, problem.name, method, seed, budgets, program.table, folder)
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds)
        for method in arguments.methods
        for suite in arguments.suites
        for index, problem in enumerate(problems(suite, folder)[: arguments.tasks])
    ]


def main(program: Program, words: Sequence[str] | None = None) -> int:
    """Runs what the command line asks for."""
    arguments = parsed(program, words)
    folder = data_folder(arguments.data)
    jobs = jobs_of(program, arguments, folder)
    own = kept([arguments.raw]) if arguments.raw is not None else {}
    new = play_all(to_play(jobs, own), arguments.processes, arguments.raw)
    found: dict[Key, Result] = {**kept(arguments.reuse), **own, **{result.key: result for result in new}}
    shown = set(arguments.show or {result.method for result in found.values()})
    order = list(program.methods())
    results = sorted(
        (r for r in found.values() if r.suite in arguments.suites and r.method in shown),
        key=lambda r: order.index(r.method) if r.method in order else len(order),
    )
    text = tables(results, arguments.suites, program.budgets, arguments.baseline, program.titles)
    if absent := missing():
        text += f"\n\nNot installed, not played: {', '.join(absent)}."
    print(text)
    if arguments.docs is not None:
        write_between(program.name, text, f"python benchmarks/{program.name}.py", arguments.docs)
    return 0
