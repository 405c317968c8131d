"""Real trainings, at the same wall-clock time: honed's methods and Optuna's tune a small CNN and a small RNN on digits.

    python benchmarks/trainings.py [--seconds 60] [--seeds 5] [--methods "honed freeze-thaw" "Optuna TPE + Median"]

Every study has a process and a core of its own and the same objective. A score is the best validation error at any step of any
trial; the test part, half of the images, is seen by no search. "Kept" is the test error of the network that was best on the
validation part, as it was then; "again" that of its configuration, trained afresh to the same epoch with three new seeds.
"Search" is the share of the time in which nothing was trained or validated: deciding, saving, writing.

Needs torch, scikit-learn, matplotlib, and Optuna for its methods. Start it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # a study has one core
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks.real.picture import draw
from benchmarks.real.players import methods
from benchmarks.real.runs import Result, jobs_of, kept, play_all
from benchmarks.real.tables import tables
from benchmarks.real.tasks import tasks
from benchmarks.standings import write_between

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
PICTURE = Path("plots") / "trainings.svg"
BASELINE = "Optuna TPE + Median"
QUICK_SECONDS, QUICK_SEEDS = 10.0, 1


def playable() -> list[str]:
    """The methods whose package is installed."""
    return [name for name in methods() if importlib.util.find_spec(name.split()[0].lower())]


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    known = playable()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(tasks()), choices=list(tasks()))
    parser.add_argument("--methods", nargs="*", default=known, choices=known, metavar="METHOD", help=", ".join(known))
    parser.add_argument("--seconds", type=float, default=60.0, help="of each study")
    parser.add_argument("--seeds", type=int, default=5, help="studies of each method on each task")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument(
        "--processes", type=int, default=1, help="studies side by side; as many as there are free cores"
    )
    parser.add_argument("--baseline", default=BASELINE)
    parser.add_argument("--raw", type=Path, help="keep every study in this file, and play what it lacks")
    parser.add_argument("--reuse", type=Path, nargs="+", default=[], help="also show what earlier --raw kept")
    parser.add_argument("--quick", action="store_true", help="10 seconds, 1 seed; a look, not a result")
    parser.add_argument(
        "--docs", type=Path, nargs="?", const=DOCUMENT, help="put all on this page (docs/benchmarks.md)"
    )
    arguments = parser.parse_args(words)
    if arguments.quick:
        arguments.seconds, arguments.seeds, arguments.docs = QUICK_SECONDS, QUICK_SEEDS, None
    return arguments


def shown(arguments: argparse.Namespace, found: Sequence[Result]) -> list[Result]:
    """The studies of the tables: those of the tasks and of the length asked for, in the order of methods."""
    order = list(methods())
    mine = [r for r in found if r.task in arguments.tasks and r.seconds == arguments.seconds]
    return sorted(mine, key=lambda r: (order.index(r.method) if r.method in order else len(order), r.seed))


def write(arguments: argparse.Namespace, results: Sequence[Result], text: str) -> None:
    """Picture and tables on the page."""
    draw(results, arguments.docs.parent / PICTURE)
    n_seeds = len({result.seed for result in results})
    command = f"python benchmarks/trainings.py --seconds {arguments.seconds:g} --seeds {n_seeds} --docs"
    picture = f"![Best validation error over time, mean and quartiles over seeds]({PICTURE.as_posix()})"
    write_between("trainings", f"{picture}\n\n{text}", command, arguments.docs)


def main(words: Sequence[str] | None = None) -> int:
    """Runs what the command line asks for."""
    arguments = parsed(words)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    found = kept([*arguments.reuse, *([arguments.raw] if arguments.raw is not None else [])])
    jobs = jobs_of(arguments.tasks, arguments.methods, seeds, arguments.seconds)
    todo = [job for job in jobs if job.key not in found or found[job.key].seconds != job.seconds]
    found |= {result.key: result for result in play_all(todo, arguments.processes, arguments.raw)}
    results = shown(arguments, list(found.values()))
    if not results:
        print("Nothing was played, and nothing reused has this length.", file=sys.stderr)
        return 2
    text = tables(results, arguments.baseline)
    print(text)
    if arguments.docs is not None:
        write(arguments, results, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
