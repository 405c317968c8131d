"""What can happen to a caller who did nothing wrong, as one small tree.

A wrong argument is a plain ``ValueError`` or ``TypeError``; everything else that honed raises on purpose
stands here, so that ``except honed.HonedError`` catches all of it::

    HonedError
    ├── StudyNotFound, StudyMismatch, TrialNotFound
    ├── StaleLease                     this worker no longer owns the trial
    ├── StorageError
    │   ├── StorageLocked, StorageReadOnly, StorageTooNew, StorageDamaged
    │   └── NetworkFileSystem
    ├── CheckpointError
    │   ├── CheckpointNotFound, CheckpointDamaged, CheckpointTooNew
    │   ├── CheckpointExists, CheckpointNotSaved       it could not be written
    │   ├── CheckpointMismatch                         it was saved by another script
    │   └── CannotBeKept                               an object, or a value in it, has no place in a checkpoint
    ├── DiskBudgetTooSmall             not even one checkpoint fits
    ├── NameReused, NoFeasiblePoint, SpaceExhausted   about the search space
    ├── BadValue                       what the objective returned or reported
    ├── GpusTaken                      other runs hold the cards
    ├── TooManyFailures                the run was ended because trials keep failing
    ├── Infeasible, Fatal              raised by objectives, to fail one trial or end the study
    └── MissingExtra                   an optional package is not installed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: str, known: Iterable[str]) -> str:
    """The hint ``Did you mean 'x'?`` for a misspelt name, or an empty string.

    Args:
        name: what the user wrote.
        known: the names that exist.
    """
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {found[0]!r}?" if found else ""


class HonedError(Exception):
    """Base of all errors that honed raises on purpose."""


class StudyNotFound(HonedError, LookupError):
    """No study of that name in the storage."""

    def __init__(self, name: str, where: str, known: Iterable[str] = ()) -> None:
        names = sorted(known)
        listed = f" There {'is 1' if len(names) == 1 else f'are {len(names)}'}: {', '.join(names[:10])}."
        super().__init__(
            f"No study {name!r} in {where}.{closest(name, names)}" + (listed if names else " It has no study yet.")
        )


class StudyMismatch(HonedError, ValueError):
    """A study of that name exists, but with another direction, metric or kind of summary."""


class TrialNotFound(HonedError, LookupError):
    """The study has no trial of that number."""


class StaleLease(HonedError):
    """Another worker has taken the trial over, or it is finished: nothing was written."""

    def __init__(self, number: int, attempt: int) -> None:
        super().__init__(
            f"Trial {number} is no longer held by attempt {attempt}: its lease ran out and another worker took it "
            "over, or it is finished. This result was not recorded; the worker goes on with another trial."
        )
        self.number = number
        self.attempt = attempt


class StorageError(HonedError):
    """The storage cannot do what was asked."""


class StorageLocked(StorageError):
    """The write lock could not be had in time."""


class StorageReadOnly(StorageError):
    """The storage was opened for reading only, or cannot be written."""


class StorageTooNew(StorageError):
    """The file was written by a later version of honed."""


class StorageDamaged(StorageError):
    """The file is no honed storage, or part of it cannot be read."""


class NetworkFileSystem(StorageError):
    """SQLite is not safe on a network file system."""


class CheckpointError(HonedError):
    """A training's state cannot be saved, found or restored."""


class CheckpointNotFound(CheckpointError, LookupError):
    """No checkpoint of that key: it was removed, or lies elsewhere."""

    def __init__(self, key: str, where: object) -> None:
        super().__init__(
            f"There is no checkpoint {key} in {where}: it was removed to free disk space, or the folder was moved."
        )
        self.key = key


class CheckpointDamaged(CheckpointError):
    """Files of a checkpoint are missing, cut off or changed; nothing of it was used."""

    def __init__(self, what: object, problem: str) -> None:
        super().__init__(f"The checkpoint {what} is damaged: {problem}. Nothing of it was used.")
        self.problem = problem


class CheckpointTooNew(CheckpointError):
    """The checkpoint was written by a later version of honed."""


class CheckpointExists(CheckpointError):
    """A checkpoint of that key is there already; checkpoints never change."""


class CheckpointNotSaved(CheckpointError):
    """The disk is full, or cannot be written; what was there before is untouched."""


class CheckpointMismatch(CheckpointError):
    """The objects of the script are not those that were saved: the script has changed meanwhile."""


class CannotBeKept(CheckpointError, TypeError):
    """An object without a state, or a value inside a state that is no data (a function, a file)."""


class DiskBudgetTooSmall(HonedError, ValueError):
    """The disk budget for checkpoints does not hold a single one."""


class GpusTaken(HonedError):
    """The machine has enough GPUs, but other runs hold them."""


class NameReused(HonedError, ValueError):
    """One trial asked twice for the same parameter name."""


class NoFeasiblePoint(HonedError):
    """No allowed configuration was found: the constraints leave (almost) nothing."""


class SpaceExhausted(HonedError):
    """Every configuration has been tried: there is nothing left to ask for."""


class BadValue(HonedError, TypeError):
    """The objective returned, or reported, something that is not a number."""


class TooManyFailures(HonedError):
    """The run ended because trials keep failing; the message groups the errors."""


class Infeasible(HonedError):
    """Raise it in an objective when this configuration cannot work (an impossible architecture)."""


class Fatal(HonedError):
    """Raise it in an objective to end the whole run at once."""


class MissingExtra(HonedError, ImportError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f'{package} is not installed. Install it with: pip install "honed[{extra}]"')
        self.package = package
        self.extra = extra
