"""Does what honed says of the future come true? Predicted last values, chances and expected gains, against recorded curves.

    python benchmarks/calibration.py --data FOLDER [--suites synthetic deepobs] [--seeds 3] [--raw R.json] [--docs]

Studies are played by freeze-thaw search, and by ASHA on random configurations, with one worker, and asked after 2, 5, 10 and 20
full trainings (``benchmarks/foretold.py``). Losses are divided by what lies between a task's optimum and its reference.

    cover      share of last values inside the 90 % interval; in brackets the mean over tasks and the lowest of them
    above      share above the interval
    width      median width of the intervals; median error beside it: 4.9 times as wide would be a normal distribution's
    score      mean interval score: width, and 20 times what a value lies outside; cut at 20
    rank       Spearman correlation of predicted and true last values, mean over moments
    chance     mean predicted probability of a new best value at the end, and how often it came
    gain       what the next full training's worth of steps was expected to bring, and brought: means over the moments at
               which the advice speaks
    better     predicted probability that they bring more than the margin, and how often they did

A second table asks for the last value of single curves, of which a tenth, a quarter or a half is known, among others of which
every second one is complete: neither search nor selection.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from benchmarks.cells import line
from benchmarks.foretold import COSTS, SEARCHES, asked, play, synthetic
from benchmarks.prefixes import PARTS, prefixed
from benchmarks.standings import write_between
from benchmarks.tables import data_folder, load_suite
from benchmarks.tables.base import VARIABLE, Floats
from honed.testing.simulate import Task

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
SUITES = ("synthetic", "deepobs", "lcbench", "taskset")
CURVE_SUITES = ("deepobs", "taskset")
MOST_SCORE = 20.0

Row = dict[str, Any]


def tasks_of(suite: str, folder: Path | None) -> Sequence[Task]:
    """The tasks of a suite; none where the recordings are not there."""
    if suite == "synthetic":
        return synthetic()
    return () if folder is None else load_suite(suite, folder)


def studies(suite: str, folder: Path | None, seeds: Iterable[int]) -> Iterable[Row]:
    """What all studies of a suite foretold."""
    for seed in seeds:
        for search in SEARCHES:
            for task in tasks_of(suite, folder):
                for said in asked(play(task, search, seed)):
                    yield {"suite": suite, "name": search, "task": task.name, "seed": seed, **asdict(said)}
                print(f"{suite}, {search}, {task.name}, seed {seed}", file=sys.stderr)


def curves(suite: str, folder: Path | None, seeds: Iterable[int]) -> Iterable[Row]:
    """What was foretold of single curves."""
    for seed in seeds:
        for task in tasks_of(suite, folder):
            for part in PARTS:
                said = prefixed(task, part, seed)
                if said is not None:
                    name = f"{part:.0%} known".replace("%", " %")
                    yield {"suite": suite, "name": name, "task": task.name, "seed": seed, **asdict(said)}


# ------------------------------------------------------------------------------------------------------------ tables


def table(rows: Sequence[Row], has_gain: bool) -> str:
    """One line for each suite and search."""
    heads = ["suite", "asked of", "values", "cover", "above", "width", "error", "score", "rank", "chance, came"]
    if has_gain:
        heads += ["gain, came", "better, came"]
    lines = [line(heads), "|" + "---|" * len(heads)]
    for key in dict.fromkeys((row["suite"], row["name"]) for row in rows):
        mine = [row for row in rows if (row["suite"], row["name"]) == key]
        lines.append(line([*key, *cells(mine), *(gains(mine) if has_gain else [])]))
    return "\n".join(lines)


def cells(rows: Sequence[Row]) -> list[str]:
    """What is said of predicted values."""
    true, low, high, median = (_all(rows, name) for name in ("true", "low", "high", "median"))
    unit = np.concatenate([np.full(len(row["true"]), row["reference"]) for row in rows])
    inside, width, error = (low <= true) & (true <= high), (high - low) / unit, np.abs(median - true) / unit
    outside = (np.maximum(low - true, 0.0) + np.maximum(true - high, 0.0)) / unit
    score = np.minimum(width + 20.0 * outside, MOST_SCORE)
    by_task = _by_task(rows, _share_inside)
    ranks = [rank for row in rows if (rank := _spearman(row)) is not None]
    return [
        f"{len(true):,}",
        f"{inside.mean():.1%} ({np.mean(by_task):.0%}, {np.min(by_task):.0%})".replace("%", " %"),
        f"{np.mean(true > high):.1%}".replace("%", " %"),
        f"{np.median(width):.3f}",
        f"{np.median(error):.3f}",
        f"{score.mean():.2f}",
        f"{np.mean(ranks):.2f}" if ranks else "–",
        f"{_all(rows, 'chance').mean():.3f}, {_all(rows, 'is_better').mean():.3f}",
    ]


def gains(rows: Sequence[Row]) -> list[str]:
    """What is said of the next steps."""
    known = [row for row in rows if row["expected"] is not None]
    if not known:
        return ["–", "–"]
    expected, came = (np.mean([row[name] / row["reference"] for row in known]) for name in ("expected", "came"))
    likely, has_come = (np.mean([row[name] for row in known]) for name in ("likely", "has_come"))
    return [f"{expected:.4f}, {came:.4f}", f"{likely:.2f}, {has_come:.2f}"]


def reliability(rows: Sequence[Row]) -> str:
    """Predicted chances of a new best value in classes, against how often it came."""
    chance, came = _all(rows, "chance"), _all(rows, "is_better")
    ends = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0)
    lines = ["| chance | trials | mean chance | came |", "|---|---|---|---|"]
    for low, high in itertools.pairwise(ends):
        mine = (chance >= low) & ((chance < high) | (high == 1.0))
        if mine.any():
            said = f"{low:.0%} to {high:.0%}".replace("%", " %")
            share, mean = (f"{x[mine].mean():.1%}".replace("%", " %") for x in (came, chance))
            lines.append(f"| {said} | {mine.sum():,} | {mean} | {share} |")
    return "\n".join(lines)


def _all(rows: Sequence[Row], name: str) -> Floats:
    return np.concatenate([np.array(row[name], dtype=float) for row in rows])


def _by_task(rows: Sequence[Row], measure: Callable[[Row], float]) -> list[float]:
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["true"]:
            found.setdefault(row["task"], []).append(measure(row))
    return [float(np.mean(values)) for values in found.values()]


def _share_inside(row: Row) -> float:
    true = np.array(row["true"])
    return float(np.mean((np.array(row["low"]) <= true) & (true <= np.array(row["high"]))))


def _spearman(row: Row) -> float | None:
    from scipy.stats import rankdata

    if len(row["true"]) < 5:
        return None
    said, true = rankdata(row["median"]), rankdata(row["true"])
    if said.std() == 0.0 or true.std() == 0.0:
        return None
    return float(np.corrcoef(said, true)[0, 1])


# ----------------------------------------------------------------------------------------------------------- program


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help=f"the folder with the recordings (default: ${VARIABLE})")
    parser.add_argument("--suites", nargs="+", default=list(SUITES), choices=SUITES)
    parser.add_argument("--seeds", type=int, default=3, help="studies of each search on each task")
    parser.add_argument("--raw", type=Path, help="keep all that was said in this file, and play what it lacks")
    parser.add_argument(
        "--docs", type=Path, nargs="?", const=DOCUMENT, help="put the tables on this page (default: docs/benchmarks.md)"
    )
    return parser.parse_args(words)


def gathered(arguments: argparse.Namespace, folder: Path | None) -> dict[str, list[Row]]:
    """By kind and suite; from the file what it has."""
    path: Path | None = arguments.raw
    found: dict[str, list[Row]] = json.loads(path.read_text()) if path is not None and path.exists() else {}
    seeds = range(arguments.seeds)
    for suite in arguments.suites:
        for kind, made in (("studies", studies), ("curves", curves)):
            key = f"{kind}, {suite}, {arguments.seeds} seeds"
            if key in found or (kind == "curves" and suite not in CURVE_SUITES):
                continue
            found[key] = list(made(suite, folder, seeds))
            if path is not None:
                path.write_text(json.dumps(found))
    return found


def main(words: Sequence[str] | None = None) -> int:
    """Runs what the command line asks for."""
    arguments = parsed(words)
    found = gathered(arguments, data_folder(arguments.data))
    wanted = [f"{suite}, {arguments.seeds} seeds" for suite in arguments.suites]
    asked_of, single = (
        [row for suite in wanted for row in found.get(f"{kind}, {suite}", [])] for kind in ("studies", "curves")
    )
    if not asked_of:
        print(f"Nothing was played: give --data FOLDER or set {VARIABLE}.", file=sys.stderr)
        return 2
    text = f"{table(asked_of, has_gain=True)}\n\nChances, all suites:\n\n{reliability(asked_of)}"
    if single:
        text += f"\n\nSingle curves:\n\n{table(single, has_gain=False)}"
    print(text)
    if arguments.docs is not None:
        command = f"python benchmarks/calibration.py --seeds {arguments.seeds} --docs"
        said = f"Asked after {', '.join(map(str, COSTS))} full trainings; in brackets the mean over tasks and the lowest of them."
        write_between("calibration", text, command, arguments.docs, said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
