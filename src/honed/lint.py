"""Hints about search spaces that are legal but seldom meant."""

from __future__ import annotations

import re

from honed.domains import Categorical, Domain, Float

_LEARNING_RATE = re.compile(
    r"(^|[._])(lr|learning_rate|alpha|weight_decay|wd|eta|l1|l2|lambda|decay)([._]|\d*$)", re.IGNORECASE
)
_EPOCHS = re.compile(r"(^|[._])(n_)?epochs?$", re.IGNORECASE)
_DECADES = 100.0  # a linear range wider than this hides its small values: 99 % of the draws lie in the top two decades


def hint(name: str, domain: Domain) -> str | None:
    """One sentence about a parameter whose domain is probably not what was meant, or None.

    Args:
        name: the parameter's.
        domain: as it was asked.
    """
    if _EPOCHS.search(name):
        return (
            f"{name!r} is searched as {domain}: epochs are budget, not a parameter. "
            "Loop over trial.steps(max_epochs) and report each epoch; the best epoch then counts."
        )
    if isinstance(domain, Float) and domain.log is False and domain.step is None and domain.factor is None:
        wide = domain.low >= 0 and domain.high > _DECADES * max(domain.low, 1e-12)
        if wide and domain.high <= 10 and _LEARNING_RATE.search(name):
            low = domain.low if domain.low > 0 else domain.high / 1e4
            return (
                f"{name!r} is searched on a linear scale, {domain}: small values would hardly be tried. "
                f"Write suggest_float({name!r}, {low:g}, {domain.high:g}, log=True)."
            )
    if isinstance(domain, Categorical) and len(domain.labels) > 2 and domain.weights is None:
        numbers = [label for label in domain.labels if isinstance(label, int | float) and not isinstance(label, bool)]
        if len(numbers) == len(domain.labels) and numbers == sorted(numbers):
            return (
                f"{name!r} is searched as unordered choices, {domain}: their order is lost. "
                f"Write suggest_ordinal({name!r}, {list(numbers)})."
            )
    return None


def changed_length(number: int, before: int, after: int, step: int) -> str:
    """What a user should know whose objective trains a trial for longer, or less long, than it had said.

    Args:
        step: the steps that were done by a schedule for the other length.
    """
    text = f"Trial {number} was to have {before} steps and has {after} from now on."
    return f"{text} Its first {step} followed the learning rates of {before}: judge it with care." if step else text
