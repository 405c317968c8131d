"""Tables of real trainings: validation error over time, test error of what was chosen, paired differences over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.cells import line
from benchmarks.real.runs import Result
from benchmarks.scoring import interval
from benchmarks.standings import FEWEST_SEEDS
from benchmarks.tables.base import Floats

SHARES = (0.1, 0.25, 0.5, 1.0)
"""Of the time, after which studies are compared."""


def scores(results: Sequence[Result]) -> dict[str, dict[int, Floats]]:
    """Method -> seed -> percent: validation errors at each of ``SHARES``, test error kept, test error trained again."""
    found: dict[str, dict[int, Floats]] = {}
    for result in results:
        best = result.best_at(np.array(SHARES) * result.seconds)
        found.setdefault(result.method, {})[result.seed] = 100.0 * np.array([*best, result.kept, result.again])
    return found


def tables(results: Sequence[Result], baseline: str) -> str:
    """The tables of all tasks."""
    parts = [of_task([r for r in results if r.task == task], baseline) for task in sorted({r.task for r in results})]
    packages = sorted({f"{result.method.split()[0]} {result.version}" for result in results})
    return "\n\n".join([*parts, f"Played: {', '.join(packages)}."])


def of_task(results: Sequence[Result], baseline: str) -> str:
    """What studies of one task have reached, then the differences from the baseline."""
    times = sorted({result.seconds for result in results})
    if len(times) > 1:
        raise SystemExit(
            f"{results[0].task}: studies of {times} seconds cannot be compared; name one raw file for each"
        )
    by_method = scores(results)
    said = f"Error in percent after so many seconds, mean over {_seeds(by_method)} seeds, each with its own split."
    heads = [f"{share * times[0]:g} s" for share in SHARES] + ["test, kept", "test, again"]
    lines = [f"### {results[0].task}", "", said, "", *_means(by_method, results, heads)]
    if baseline in by_method and len(by_method) > 1:
        said = (
            f"The same minus {baseline}, paired by seed (below 0 is better); in brackets the 95 % bootstrap interval."
        )
        lines += ["", said, "", *_differences(by_method, baseline, heads)]
    return "\n".join(lines)


def _means(by_method: Mapping[str, Mapping[int, Floats]], results: Sequence[Result], heads: Sequence[str]) -> list[str]:
    heads = ["method", *heads, "epochs", "trials", "to the end", "search"]
    lines = [line(heads), line(["---"] * len(heads))]
    for method, by_seed in by_method.items():
        mine = [result for result in results if result.method == method]
        cells = [f"{mean:.2f}" for mean in np.mean(list(by_seed.values()), axis=0)]
        counts = np.mean([(len(r.epochs), r.n_trials, r.n_full, 100 * r.searching) for r in mine], axis=0)
        lines.append(line([method, *cells, *(f"{count:.0f}" for count in counts[:3]), f"{counts[3]:.0f} %"]))
    return lines


def _differences(by_method: Mapping[str, Mapping[int, Floats]], baseline: str, heads: Sequence[str]) -> list[str]:
    lines = [line(["method", *heads]), line(["---"] * (1 + len(heads)))]
    for method, by_seed in by_method.items():
        shared = sorted(by_seed.keys() & by_method[baseline].keys())
        if method == baseline or not shared:
            continue
        gaps = np.array([by_seed[seed] - by_method[baseline][seed] for seed in shared])
        nothing = np.full(gaps.shape[1], math.nan)
        low, high = interval(gaps) if len(shared) >= FEWEST_SEEDS else (nothing, nothing)
        cells = [_cell(*numbers) for numbers in zip(gaps.mean(axis=0) + 0.0, low, high, strict=True)]
        lines.append(line([method, *cells]))
    return lines


def _cell(mean: float, low: float, high: float) -> str:
    if math.isnan(low):
        return f"{mean:+.2f}"
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]" + (" *" if low > 0.0 or high < 0.0 else "")


def _seeds(by_method: Mapping[str, Mapping[int, Floats]]) -> str:
    counts = sorted({len(by_seed) for by_seed in by_method.values()})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]}-{counts[-1]}"
