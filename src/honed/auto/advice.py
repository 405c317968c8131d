"""What a user should know of a search before it begins: too few trials, too many parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence

from honed.auto.case import MOST_PROCESS_DIMENSIONS, Case

_LEAST_PARAMETERS, _KEPT = 4, 3
_PER_PARAMETER = 4
_WEIGHTY = ("lr", "learning_rate", "batch", "width", "hidden", "units", "weight_decay", "dropout", "depth", "layers")
"""Parts of names of what usually matters most, in this order."""


def advice(case: Case, names: Sequence[str]) -> tuple[str, ...]:
    """Sentences for the user; none where nothing is amiss.

    Args:
        case: what the rules look at.
        names: of the parameters.
    """
    if case.size is not None:
        return ()
    n_trials = case.n_trials
    if n_trials is not None and case.n >= _LEAST_PARAMETERS and n_trials <= case.n + 1:
        enough = 10 * math.ceil(_PER_PARAMETER * case.n / 10)
        kept = ", ".join(weightiest(names))
        return (f"{case.parameters}, {case.trials}: close to random search. Keep {kept} or raise to about {enough}.",)
    if case.n > MOST_PROCESS_DIMENSIONS:
        text = f"{case.parameters} are many: a search learns slowly in more than {MOST_PROCESS_DIMENSIONS} dimensions."
        return (f"{text} study.fix(name=value) holds what matters little.",)
    return ()


def weightiest(names: Sequence[str]) -> list[str]:
    """Three names: those that usually matter most, and then the first ones."""

    def place(name: str) -> int:
        return next((i for i, part in enumerate(_WEIGHTY) if part in name.lower()), len(_WEIGHTY))

    return sorted(names, key=place)[:_KEPT]
