"""How good is what a search finds, for the same cost? honed's methods and other tools on recorded trainings.

    python benchmarks/quality.py --data FOLDER [--suites lcbench taskset] [--seeds 10] [--methods ASHA "Optuna TPE"]
                                 [--modes pool continuous timed] [--workers 1 8] [--tasks 3] [--raw R.json]
    python benchmarks/quality.py --methods --reuse R.json S.json ...

The cost is the number of steps that are really trained: going on from a checkpoint pays the new steps only, and what a
stopped trial has trained stays paid. Regret is (best seen - optimum) / (reference - optimum), cut to [0, 1]; the optimum is
the task's best value at any step, the reference the median final value (TaskSet: chance). Mode `timed` is a pool whose
epochs take as long as batch size, layers and units make them, by a model (benchmarks/tables/times.py); in the other modes all
epochs take the same time. Tables, what became of the targets, and drawings (docs/plots) are put between the markers of
docs/benchmarks.md, from all results that are given.

A long comparison is played in parts, each with a --raw of its own; the second line joins them and plays nothing. Parts may differ
in tasks, seeds and costs: every row says how many it has, and methods are compared on what both have. Where two parts hold the
same study, the later one counts; parts that hold a method as it was before a change do not belong in the list.

The recordings are no part of this repository; see benchmarks/tables/__init__.py.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes share the cores already
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks import plots, targets
from benchmarks.methods import methods, played_by
from benchmarks.peers import version_of
from benchmarks.players import Mode, Setting
from benchmarks.regret_tables import markdown
from benchmarks.scoring import Place, Result, score
from benchmarks.tables import SUITES, data_folder, has_times, load_suite, timed
from benchmarks.tables.base import VARIABLE

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- quality:begin -->", "<!-- quality:end -->"
BASELINE = "ASHA"
_SLOW = ("TPE", "auto", "freeze-thaw", "BOHB", "CQR")
_KEEP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Job:
    """All seeds of one method on one task."""

    place: Place
    task: int
    method: str
    seeds: int
    folder: Path
    budgets: tuple[int, ...]


def run(job: Job) -> list[Result]:
    """Plays a job's studies."""
    task, play = load_suite(job.place.suite, job.folder)[job.task], methods()[job.method]
    task = timed(task) if job.place.mode == "timed" else task
    mode: Mode = "continuous" if job.place.mode == "continuous" else "pool"
    version = version_of(played_by(job.method))
    results = []
    for seed in range(job.seeds):
        setting = Setting(seed, job.place.n_workers, max(job.budgets) * task.total_steps, mode)
        result = score(job.place, job.method, task, seed, play(task, setting), job.budgets)
        results.append(replace(result, version=version))
    return results


def jobs_of(arguments: argparse.Namespace, folder: Path) -> list[Job]:
    """What the command line asks for; the long ones first, so that the processes end together."""
    jobs: list[Job] = []
    if not arguments.methods:
        return jobs
    for name in arguments.suites:
        suite = SUITES[name]
        budgets = suite.budgets[: arguments.budgets]
        tasks, seeds = load_suite(name, folder)[: arguments.tasks], arguments.seeds or suite.seeds
        for mode in arguments.modes:
            if mode == "timed" and not all(map(has_times, tasks)):
                continue  # nothing is known of the sizes of its trainings
            for n_workers in arguments.workers:
                place = Place(name, mode, n_workers)
                for method in arguments.methods:
                    jobs += [Job(place, i, method, seeds, folder, budgets) for i in range(len(tasks))]
    return sorted(jobs, key=lambda job: not any(word in job.method for word in _SLOW))


def play_all(jobs: Sequence[Job], n_processes: int, keep: Callable[[Sequence[Result]], None]) -> list[Result]:
    """The results of all jobs, in any order; what is there is kept now and then, so that a run that is cut is not lost."""
    results: list[Result] = []
    begun = kept_at = time.perf_counter()
    if not jobs:
        return results
    with multiprocessing.get_context("spawn").Pool(n_processes) as pool:
        for i, done in enumerate(pool.imap_unordered(run, jobs), start=1):
            results += done
            now = time.perf_counter()
            if now - kept_at > _KEEP_SECONDS or i == len(jobs):
                kept_at = now
                keep(results)
                print(f"{i} of {len(jobs)} jobs, {now - begun:.0f} s", file=sys.stderr, flush=True)
    return results


def tables(results: Sequence[Result]) -> str:
    """All tables, by suite, mode and workers."""
    rank = {method: i for i, method in enumerate(methods())}
    parts = []
    for place in sorted({result.place for result in results}):
        mine = [result for result in results if result.place == place]
        mine.sort(key=lambda result: (rank.get(result.method, len(rank)), result.task, result.seed))
        suite = SUITES[place.suite]
        budgets = suite.budgets[: max(len(result.regrets) for result in mine)]
        unit = "full trainings" if suite.has_steps else "evaluations"
        parts.append(markdown(place, mine, budgets, BASELINE if suite.has_steps else "random", unit))
    rows = targets.rows_of(results, lambda suite: SUITES[suite].budgets)
    return "\n\n".join([*([targets.markdown(rows)] if rows else []), *parts, *_played(results)])


def _played(results: Sequence[Result]) -> list[str]:
    """Which versions, as far as the results say."""
    versions = sorted({f"{played_by(result.method)} {result.version}" for result in results if result.version})
    return [f"Played: {', '.join(versions)}."] if versions else []


def kept(paths: Sequence[Path], jobs: Sequence[Job]) -> list[Result]:
    """The studies of earlier runs, but for the methods that are played now; of two runs of a study the later path counts."""
    now = {(job.place, job.method) for job in jobs}
    found: dict[tuple[Place, str, str, int], Result] = {}
    for path in paths:
        for data in json.loads(path.read_text(encoding="utf-8")):
            result = Result.from_json(data)
            found[result.place, result.method, result.task, result.seed] = result
    return [result for result in found.values() if (result.place, result.method) not in now]


def write_raw(results: Sequence[Result], path: Path) -> None:
    """Keeps results in a file, which is whole at any time."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps([result.to_json() for result in results]), encoding="utf-8")
    part.replace(path)


def write_document(text: str, command: str, path: Path = DOCUMENT) -> None:
    """Puts the tables between the markers; without markers at the end."""
    before = path.read_text(encoding="utf-8") if path.exists() else "# Benchmarks\n"
    said = "A * marks an interval without 0; – was not played so long, or not on all tasks."
    block = f"{BEGIN}\n\nWritten by {command}. {said}\n\n{text}\n\n{END}"
    if BEGIN in before and END in before:
        head, rest = before.split(BEGIN, 1)
        after = head + block + rest.split(END, 1)[1]
    else:
        after = f"{before.rstrip()}\n\n{block}\n"
    path.write_text(after, encoding="utf-8")


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    known = list(methods())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help=f"the folder with the recordings (default: ${VARIABLE})")
    parser.add_argument("--suites", nargs="+", default=["lcbench", "taskset"], choices=SUITES)
    parser.add_argument("--modes", nargs="+", default=["pool"], choices=["pool", "continuous", "timed"])
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--methods", nargs="*", default=known, choices=known, metavar="METHOD", help=", ".join(known))
    parser.add_argument("--seeds", type=int, help="studies of each method on each task (default: 10, taskset 20)")
    parser.add_argument("--tasks", type=int, metavar="N", help="only the first N tasks of each suite")
    parser.add_argument("--budgets", type=int, metavar="N", help="only the first N of a suite's budgets")
    parser.add_argument("--quick", action="store_true", help="2 seeds, small budgets only; a look, not a result")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--raw", type=Path, help="also keep every study's result in this JSON file")
    parser.add_argument(
        "--reuse", type=Path, nargs="+", default=[], help="also show what earlier --raw kept of methods not played now"
    )
    parser.add_argument("--no-document", action="store_true", help="leave docs/benchmarks.md and docs/plots alone")
    parser.add_argument("--plots", type=Path, help="also put the drawings into this folder")
    arguments = parser.parse_args(words)
    if arguments.quick:
        arguments.seeds, arguments.budgets, arguments.no_document = 2, 4, True
    return arguments


def main() -> int:
    """Runs what the command line asks for."""
    arguments = parsed()
    folder = data_folder(arguments.data)
    if folder is None and arguments.methods:
        print(
            "The recorded trainings are not here; they are no part of this repository. Name their folder:\n"
            f"  python benchmarks/quality.py --data FOLDER     or     export {VARIABLE}=FOLDER",
            file=sys.stderr,
        )
        return 2
    jobs = jobs_of(arguments, folder) if folder else []
    earlier = kept(arguments.reuse, jobs)

    def keep(played: Sequence[Result]) -> None:
        if arguments.raw is not None:
            write_raw((*earlier, *played), arguments.raw)

    results = [*earlier, *play_all(jobs, arguments.processes, keep)]
    keep(results[len(earlier) :])
    text = tables(results)
    print(text)
    if arguments.plots is not None:
        plots.draw_all(results, arguments.plots)
    if not arguments.no_document:
        drawn = plots.links(plots.draw_all(results, plots.FOLDER))
        write_document(f"{text}\n\n{drawn}" if drawn else text, command_line(arguments))
    return 0


def command_line(arguments: argparse.Namespace) -> str:
    """The command that makes these tables, without anyone's paths."""
    words = ["python benchmarks/quality.py"]
    if arguments.methods:
        words += ["--suites", *arguments.suites, "--modes", *arguments.modes, "--workers", *map(str, arguments.workers)]
        for name in ("tasks", "seeds", "budgets"):
            if (value := getattr(arguments, name)) is not None:
                words += [f"--{name}", str(value)]
        if list(arguments.methods) != list(methods()):
            words += ["--methods", *(f'"{method}"' if " " in method else method for method in arguments.methods)]
    else:
        words += ["--methods"]
    command, n = " ".join(words), len(arguments.reuse)
    if not n:
        return f"`{command}`"
    return f"`{command} --reuse {'FILES`, of' if n > 1 else 'FILE`, of'} {n} earlier run{'s' if n > 1 else ''} with `--raw`"


if __name__ == "__main__":
    sys.exit(main())
