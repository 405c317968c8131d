"""What a run was told, kept with its study, so that whoever opens the study later can say what it did and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from honed.records import StudyRecord

TOLD = "told"
"""The study's attribute with what its latest run was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The arguments of ``optimize`` that the choice depends on.

    Attributes:
        sampler, scheduler: names; of an object its class.
        n_trials, total_steps: the study's totals.
        is_timed: whether time is limited.
        workers: how many run at once.
    """

    sampler: str = "auto"
    scheduler: str = "auto"
    n_trials: int | None = None
    total_steps: int | None = None
    is_timed: bool = False
    workers: int = 1

    @staticmethod
    def of(study: StudyRecord) -> Told:
        """What the latest run of a study was told; the defaults where no run has said so."""
        kept: Any = study.attributes.get(TOLD)
        known = kept if isinstance(kept, Mapping) else {}
        names = Told.__dataclass_fields__
        return Told(**{name: value for name, value in known.items() if name in names})

    def change(self, study: StudyRecord) -> dict[str, Any] | None:
        """What to write under ``TOLD``; None where it stands there already, or is what everybody assumes."""
        return None if Told.of(study) == self else asdict(self)

    @property
    def chooses(self) -> bool:
        """Whether rules choose the scheduler, too."""
        return self.sampler == "auto" and self.scheduler == "auto"


def spoken(part: object) -> str:
    """The name under which a sampler or scheduler is told."""
    return part if isinstance(part, str) else type(part).__name__
