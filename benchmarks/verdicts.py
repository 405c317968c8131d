"""Is the automatic choice as good as the best single method? Lines of a table, one for each family and budget.

The best single method is the one with the lowest mean over the family's tasks at that budget, chosen after the fact, which is
in its favour: of several that are equally good, one is always lucky. Two methods are compared on the seeds that both have; ratios
and intervals are those of ``targets``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.cells import line, short
from benchmarks.pairs import FEWEST_TASKS, Studies, Study, Values, extent, mean
from benchmarks.standings import FEWEST_SEEDS
from benchmarks.targets import Ratio, ratio_of

AUTO, RANDOM = "auto", "random"
MOST_OF_RANDOM = 1.1
"""How much of random search's regret the automatic choice may have, by target 13."""


@dataclass(frozen=True, slots=True)
class Line:
    """A family at one budget.

    Attributes:
        studies: how many tasks and seeds.
        auto, least: mean regret of the automatic choice and of the best single method.
        worst: the task on which auto is worst against random search.
    """

    family: str
    budget: int
    studies: str
    auto: float
    best: str
    least: float
    against_best: Ratio
    against_random: Ratio
    worst: str
    against_random_there: Ratio


def standing(ratio: Ratio) -> str:
    """What a ratio to the best single method says."""
    if math.isnan(ratio.low):
        return "too few studies"
    if ratio.high < 1.0:
        return "ahead"
    return "behind" if ratio.low > 1.0 else "within noise"


def compared(ours: Values, theirs: Values) -> Ratio:
    """The ratio of means; of few tasks with few seeds without an interval, which would be too narrow."""
    ratio = ratio_of(ours, theirs)
    fewest = min(len(values) for method in (ours, theirs) for values in method.values())
    if len(ours) < FEWEST_TASKS and fewest < FEWEST_SEEDS:
        return Ratio(ratio.value, math.nan, math.nan)
    return ratio


def line_of(
    family: str, budget: int, studies: Sequence[Study], number: Callable[[Any], float], singles: Iterable[str]
) -> Line | None:
    """The line of one budget; None while auto, random search or all single methods lack some of the tasks.

    Args:
        number: of a study, at this budget.
        singles: the methods among which the best is chosen.
    """
    cells = Studies(studies, number)
    if not (AUTO in cells and cells.is_complete(AUTO) and RANDOM in cells and cells.is_complete(RANDOM)):
        return None
    best = min(filter(cells.is_complete, singles), key=lambda name: mean(cells.common(AUTO, name)[1]))
    auto, least = cells.common(AUTO, best)
    there, random = cells.common(AUTO, RANDOM)
    alone = {name: compared({name: there[name]}, {name: random[name]}) for name in there}
    worst = max(alone, key=lambda name: alone[name].value)
    return Line(
        family=family,
        budget=budget,
        studies=extent(auto),
        auto=mean(auto),
        best=best,
        least=mean(least),
        against_best=compared(auto, least),
        against_random=compared(there, random),
        worst=worst,
        against_random_there=alone[worst],
    )


def markdown(lines: Sequence[Line]) -> str:
    """The table, and a line that counts."""
    heads = [
        "family",
        "tasks × seeds",
        "after",
        "auto",
        "best single method",
        "auto / best",
        "verdict",
        "auto / random",
    ]
    heads.append("worst task: auto / random")
    rows = [line(heads), line(["---"] * len(heads))]
    for one in lines:
        cells = [one.family, one.studies, f"{one.budget}", short(one.auto), f"{one.best} {short(one.least)}"]
        cells += [_spoken(one.against_best), standing(one.against_best), _spoken(one.against_random)]
        cells.append(f"{one.worst} {_spoken(one.against_random_there)}")
        rows.append(line(cells))
    return "\n".join([*rows, "", counted(lines)])


def counted(lines: Sequence[Line]) -> str:
    """How many lines are what."""
    said = [standing(one.against_best) for one in lines]
    words = ("ahead", "within noise", "behind", "too few studies")
    counts = "; ".join(f"{said.count(word)} {word}" for word in words if word in said)
    judged = [one for one in lines if not math.isnan(one.against_random_there.low)]
    far = [one for one in judged if one.against_random_there.low > MOST_OF_RANDOM]
    text = f"Against the best single method: {counts} (of {len(lines)})."
    far_behind = "behind random search by more than a tenth and more than noise"
    return f"{text} Auto is {far_behind} on {len(far)} of {len(judged)} worst tasks of {FEWEST_SEEDS} seeds or more."


def _spoken(ratio: Ratio) -> str:
    return f"{ratio.value:.2f}" if math.isnan(ratio.low) else f"{ratio}"
