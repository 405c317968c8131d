"""The checkpoint port: where the states of trainings lie, in five verbs.

A checkpoint is a directory of files that never changes once it is there; it is named by a key, and the row of a trial that
names the key makes it count. The order is always: save, then write the row. So a checkpoint that no row names does not
exist for anybody, and a row never names a checkpoint that is not complete.

A key tells study, trial, step and attempt: ``study-3/t00042/s000012-a1``. The attempt is the fence of the storage: two
workers that believe they own the same trial never write the same key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class CheckpointStore(Protocol):
    """Five verbs, safe to call from any thread or process. Keys are those of ``checkpoint_key``, all others a ValueError."""

    def new_directory(self) -> Path:
        """An empty local directory to fill and then to ``save``, lying where saving it costs no copy if there is such a place.

        Nobody sees it. One that its process leaves behind when it dies is removed later; one that is not needed may be
        removed by whoever asked for it.
        """
        ...

    def save(self, key: str, directory: Path) -> None:
        """Makes a finished local directory, from ``new_directory`` or any other, an immutable checkpoint.

        The directory is gone afterwards. All or nothing: once it returns, the checkpoint survives a crash and a power loss;
        when it raises, or dies, no part of it is visible and the directory is where it was, as far as that is possible.

        Raises:
            CheckpointExists: the key is taken.
            CheckpointNotSaved: the disk is full, or cannot be written.
            ValueError: no directory, or something in it is neither a file nor a directory.
        """
        ...

    def load(self, key: str) -> Path:
        """A local directory with exactly the files that were saved, verified; nobody may write in it.

        Raises:
            CheckpointNotFound: there is none of that key.
            CheckpointDamaged: a file is missing, cut off or changed.
            CheckpointTooNew: a later version of honed wrote it.
        """
        ...

    def delete(self, key: str) -> None:
        """Removes a checkpoint; one that is not there is no error. Nobody ever sees half of it."""
        ...

    def keys(self) -> Mapping[str, int]:
        """Every checkpoint that is there, with its size in bytes."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """What a key tells; positions of one trial are ordered as they were written.

    Attributes:
        study: id of the study in its storage.
        number: the trial.
        attempt: the attempt that saved it; comes before the step in the order, for a later attempt may begin earlier.
        step: steps done.
    """

    study: int
    number: int
    attempt: int
    step: int

    @property
    def key(self) -> str:
        """The checkpoint's key."""
        return checkpoint_key(self.study, self.number, self.step, self.attempt)


_KEY = re.compile(r"study-([0-9]+)/t([0-9]{5,})/s([0-9]{6,})-a([0-9]+)", re.ASCII)


def checkpoint_key(study: int, number: int, step: int, attempt: int) -> str:
    """The key of what an attempt saves of a trial after a step."""
    if min(study, number, step, attempt) < 0:
        raise ValueError(f"checkpoint_key({study}, {number}, {step}, {attempt}): no part may be negative")
    return f"study-{study}/t{number:05d}/s{step:06d}-a{attempt}"


def parse_key(key: str) -> Position:
    """The parts of a key; a ValueError for anything that ``checkpoint_key`` does not make, such as paths with ``..``."""
    found = _KEY.fullmatch(key)
    if found is not None:
        study, number, step, attempt = map(int, found.groups())
        if checkpoint_key(study, number, step, attempt) == key:
            return Position(study, number, attempt, step)
    raise ValueError(f"{key!r} is no key of a checkpoint; keys look like {checkpoint_key(3, 42, 12, 1)!r}")
