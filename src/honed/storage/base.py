"""The storage port: the shared memory of all workers, in nine verbs.

A storage keeps studies, their trials and reports, and who holds which running trial. It knows nothing of samplers,
schedulers or objectives. The memory storage is the specification; all others must agree with it, and the public suite
``honed.testing.storage_suite`` says so in tests.

Leases: adding or claiming a trial as RUNNING makes the caller (this storage object in this process) its owner with
``attempt`` as the fence. The lease lasts ``LEASE_SECONDS`` and is renewed by ``renew`` and by every ``write``. When it
has run out, or the owner is known to be dead, the number stands in ``Delta.lost`` and ``claim`` gives the trial to
whoever comes first, with the next attempt. Writes of an older attempt raise ``StaleLease`` and change nothing. Whoever
knows the attempt may write (a child process for its parent); the owner stays the one that added or claimed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from honed.records import Delta, Draft, StudyRecord, TrialRecord, Update

LEASE_SECONDS = 60.0
RENEW_SECONDS = 15.0
MOST_ATTEMPTS = 3
"""A trial whose workers died this often is not tried again."""


class Storage(Protocol):
    """Nine verbs; every one is atomic, and safe to call from any thread or process.

    ``study`` is always ``StudyRecord.id``. Errors: ``StudyNotFound`` when the study is gone, ``TrialNotFound`` for a number
    that does not exist, ``StaleLease`` as said above, ``StorageError`` for the storage's own troubles.
    """

    def create_study(self, draft: StudyRecord) -> tuple[StudyRecord, bool]:
        """The study of that name, and whether this call created it; any number of processes may race here.

        An existing study is returned as it is, whatever the draft says: comparing is the caller's business.
        """
        ...

    def studies(self) -> Sequence[StudyRecord]:
        """All studies by time of creation."""
        ...

    def delete_study(self, study: int) -> None:
        """Removes a study with all it has. Its workers' next call raises ``StudyNotFound``."""
        ...

    def add(
        self, study: int, draft: Draft, *, worker: str, number: int | None = None, limit: int | None = None
    ) -> TrialRecord | None:
        """A new trial; RUNNING ones belong to the caller with attempt 1.

        Args:
            worker: name of the calling worker, kept in the record.
            number: the number it must get, which is the count of trials that the caller knows: when it is taken, some
                trial was added meanwhile. None takes the next free one. Numbers are dense from 0.
            limit: at most so many trials of the study may count: RUNNING, PAUSED, COMPLETE, STOPPED, and WAITING ones that
                have been started before. FAILED trials and queued ones do not count.

        Returns:
            None when the number is taken or the limit is reached: read the study again.
        """
        ...

    def claim(
        self, study: int, number: int, *, worker: str, until: int | None = None, limit: int | None = None
    ) -> TrialRecord | None:
        """Makes a WAITING, PAUSED or lost trial RUNNING, owned by the caller, with the next attempt.

        Args:
            until: the grant, written with the claim.
            limit: as for ``add``; a trial that counts already is not limited.

        Returns:
            None when someone was faster, or the limit is reached.
        """
        ...

    def renew(self, study: int, number: int, attempt: int) -> None:
        """Extends the lease of a RUNNING trial."""
        ...

    def write(self, study: int, number: int | None, attempt: int, update: Update) -> None:
        """One change of a trial by its owner, all or nothing; renews the lease.

        ``number=None`` changes the study itself: ``attributes`` are merged, ``space`` is replaced, nothing else counts.
        PAUSED trials (nobody's) may be finished by anyone who names their attempt, WAITING ones be failed.
        """
        ...

    def read(self, study: int, after: int = 0) -> Delta:
        """All that changed after a revision; never blocks a writer."""
        ...

    def close(self) -> None:
        """Gives connections and files back; running trials of this owner count as lost from now on."""
        ...
