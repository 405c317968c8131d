"""Schedulers by name, with their default settings."""

from __future__ import annotations

from collections.abc import Callable

from honed.errors import closest
from honed.schedulers.additive import AdditiveHalving
from honed.schedulers.asha import ASHA, ASHAStopping
from honed.schedulers.base import Scheduler
from honed.schedulers.full import Full
from honed.schedulers.halving import SuccessiveHalving
from honed.schedulers.hyperband import Hyperband
from honed.schedulers.paired import Wilcoxon
from honed.schedulers.pasha import PASHA
from honed.schedulers.stopping import EpochRule, Median, Patience, Percentile, Threshold

SCHEDULERS: dict[str, Callable[[], Scheduler]] = {
    "full": Full,
    "additive": AdditiveHalving,
    "halving": SuccessiveHalving,
    "asha": ASHA,
    "asha-stopping": ASHAStopping,
    "hyperband": Hyperband,
    "pasha": PASHA,
    "median": Median,
    "percentile": Percentile,
    "patience": Patience,
    "threshold": Threshold,
    "wilcoxon": Wilcoxon,
    "3-epoch": lambda: EpochRule(3),
    "5-epoch": lambda: EpochRule(5),
}
"""Name -> what makes the scheduler. ``PBT`` needs the names of the parameters that may change, so it has no name here."""


def named(name: str) -> Scheduler:
    """The scheduler of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in SCHEDULERS:
        if name.lower() == "pbt":
            raise ValueError("scheduler='pbt' needs to know what may change; write scheduler=PBT(params=['lr'])")
        if name.lower() == "freeze-thaw":
            raise ValueError(
                "scheduler='freeze-thaw' is a sampler, too, and decides both; write sampler='freeze-thaw' alone"
            )
        known = ", ".join(repr(known) for known in ("auto", *SCHEDULERS))
        hint = closest(name.lower(), SCHEDULERS)
        raise ValueError(f"scheduler={name!r} is unknown; use one of {known}, or a Scheduler.{hint}")
    return SCHEDULERS[name]()
