"""Slots that no two runs of a machine share, by locks that the kernel frees however their holder dies.

Each card has a file in a folder of this user. A run locks as many of its 2520 bytes as its trials may have of the card;
what the file contains just says who that was. Who takes slots holds the folder's gate meanwhile, so that two runs
never get half of what they need each.

POSIX locks belong to a process and a file: they do not hold between two reservations of one process, and they are gone as
soon as any descriptor of the file is closed there. So a process has one descriptor for each card, and a list of what is locked.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from honed.errors import GpusTaken, HonedError
from honed.gpus.cards import Card, cards
from honed.gpus.slots import UNITS, Slot, n_slots, units_of

Range = tuple[int, int]
"""First unit, and the one behind the last."""


class Reservation:
    """Slots that are held until ``close``, or until the process ends."""

    def __init__(self, slots: tuple[Slot, ...], taken: Sequence[tuple[_File, list[Range]]], folder: Path) -> None:
        self.slots = slots
        self._taken = list(taken)
        self._pid = os.getpid()
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._folder, fcntl.LOCK_SH)  # systemd-tmpfiles leaves locked folders alone, however old

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the slots back; a process that was forked from the holder gives nothing back."""
        taken, self._taken = self._taken, []
        if self._pid != os.getpid() or self._folder < 0:
            return
        os.close(self._folder)
        self._folder = -1
        with _mutex:
            for file, ranges in taken:
                file.free(ranges)
                file.drop()


def reserve(
    n: int | None, per_trial: float, *, environment: Mapping[str, str], folder: str | os.PathLike[str] | None = None
) -> Reservation:
    """Slots for ``n`` trials at once; None takes all that are free.

    Args:
        n: how many.
        per_trial: GPUs for each, or a share of one.
        environment: says which cards there are (``cards``).
        folder: where the runs of this machine meet; by default in the folder for temporary files.

    Raises:
        ValueError: the machine has too few cards.
        GpusTaken: it has enough, but other runs hold them.
    """
    found = cards(environment)
    want = _Want(n, per_trial, units_of(per_trial), found)
    want.check()
    place = _own_folder() if folder is None else Path(folder).resolve()
    place.mkdir(exist_ok=True)
    is_mixed = len({card.name for card in found if card.kind == "cuda"}) > 1 and "CUDA_DEVICE_ORDER" not in environment
    with _mutex, _gate(place):
        files = [_file_of(card, place) for card in found]
        taken: list[tuple[_File, list[Range]]] = []
        try:
            groups = _take(want, files, taken)
            for file, ranges in taken:
                file.sign(ranges)
        except BaseException:
            for file, ranges in taken:
                file.free(ranges)
            raise
        else:
            for file, _ in taken:
                file.n_users += 1
        finally:
            for file in files:
                file.drop(0)
    share = min(want.units / UNITS, 1.0)
    return Reservation(tuple(Slot(group, share, has_order=is_mixed) for group in groups), taken, place)


@dataclass(frozen=True, slots=True)
class _Want:
    """What is asked for, and of what."""

    n: int | None
    per_trial: float
    units: int
    cards: tuple[Card, ...]

    @property
    def is_shared(self) -> bool:
        return self.units < UNITS

    def check(self) -> None:
        n, most = self.n, n_slots(self.cards, self.per_trial)
        if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
            raise ValueError(
                f"workers={n!r} must be a whole number of at least 1, or None for as many as there are GPUs"
            )
        if not self.cards:
            raise ValueError(
                f"{self.asked()}; this machine has none that can be used (CUDA_VISIBLE_DEVICES and nvidia-smi were asked). "
                "Leave gpus_per_trial out to train without."
            )
        if (n or 1) > most:
            fix = f"use workers={most}, or a smaller gpus_per_trial" if most else "use a smaller gpus_per_trial"
            raise ValueError(f"{self.asked()}; {self.there()}: {fix}.")

    def asked(self) -> str:
        """What is needed, in words."""
        count = 1 if self.n is None else self.n
        if self.is_shared:
            per_card = UNITS // self.units
            n_cards = -(-count // per_card)
        else:
            n_cards = count * self.units // UNITS
        gpus = f"{n_cards} GPU{'s' if n_cards != 1 else ''}"
        if self.n is None:
            return f"A trial with gpus_per_trial={self.per_trial:g} needs {gpus}"
        return f"workers={self.n} with gpus_per_trial={self.per_trial:g} need {gpus}"

    def there(self) -> str:
        """What there is, in words."""
        return f"this machine has {len(self.cards)} ({', '.join(card.id for card in self.cards)})"


def _take(want: _Want, files: Sequence[_File], taken: list[tuple[_File, list[Range]]]) -> list[tuple[Card, ...]]:
    """Locks what is wanted, puts it into ``taken``, and says which cards go to which slot.

    Raises:
        GpusTaken: too little is free.
    """
    free: dict[str, int] = {}
    for file in files:
        ranges = file.lock_free()
        taken.append((file, ranges))
        free[file.card.key] = sum(end - begin for begin, end in ranges)
    if want.is_shared:
        order = sorted(
            (file for file in files), key=lambda file: free[file.card.key]
        )  # cards that are begun come first
        places = [file.card for file in order for _ in range(free[file.card.key] // want.units)]
        groups: list[tuple[Card, ...]] = [(card,) for card in places]
    else:
        whole = [file.card for file in files if free[file.card.key] == UNITS]
        size = want.units // UNITS
        groups = [tuple(whole[i : i + size]) for i in range(0, len(whole) - size + 1, size)]
    if len(groups) < (want.n or 1):
        raise GpusTaken(_refusal(want, files, free))
    groups = groups[: want.n]
    kept: list[tuple[_File, list[Range]]] = []
    for file, ranges in taken:
        n_here = sum(group.count(file.card) for group in groups)
        keep, rest = _split(ranges, n_here * min(want.units, UNITS))
        file.free(rest)
        if keep:
            kept.append((file, keep))
    taken[:] = kept
    return groups


def _split(ranges: Sequence[Range], n: int) -> tuple[list[Range], list[Range]]:
    """The first ``n`` units of some ranges, and the others."""
    first, rest = list[Range](), list[Range]()
    for begin, end in ranges:
        cut = min(begin + n, end)
        n -= cut - begin
        if cut > begin:
            first.append((begin, cut))
        if end > cut:
            rest.append((cut, end))
    return first, rest


def _refusal(want: _Want, files: Sequence[_File], free: Mapping[str, int]) -> str:
    """Who holds what, for whoever gets nothing."""
    n_free = sum(free[file.card.key] >= min(want.units, UNITS) for file in files)
    held = []
    for file in files:
        for entry in file.entries():
            n = sum(end - begin for begin, end in entry["ranges"])
            part = "" if n >= UNITS else f" to {n / UNITS:.0%}"
            held.append(f"GPU {file.card.id} is held{part} by pid {entry['pid']} ({entry['program']})")
    others = [
        f"pid {holder.pid} ({holder.program}) computes on GPU {file.card.id}"
        for file in files
        for holder in file.card.holders
        if holder.pid not in {entry["pid"] for entry in file.entries()}
    ]
    by_whom = f": {', '.join(held)}" if held else ""
    beside = f"; beside them {', '.join(others)}" if others else ""
    are = "is" if n_free == 1 else "are"
    return (
        f"{want.asked()}; {want.there()}, of which {n_free or 'none'} {are} free{by_whom}{beside}. "
        "Wait for these runs to end, or use fewer workers."
    )


# --------------------------------------------------------------------------------------------------------------- files


class _File:
    """The file of one card: one descriptor in this process, and what this process has locked of it."""

    def __init__(self, card: Card, path: Path) -> None:
        self.card = card
        self.path = path
        self.n_users = 0
        self.locked: list[Range] = []
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def lock_free(self) -> list[Range]:
        """Locks all that nobody has, in this process or another."""
        gaps, begin = list[Range](), 0
        for first, end in sorted(self.locked):
            if first > begin:
                gaps.append((begin, first))
            begin = end
        if begin < UNITS:
            gaps.append((begin, UNITS))
        got = [part for gap in gaps for part in self._lock(*gap)]
        self.locked += got
        return got

    def _lock(self, begin: int, end: int) -> Iterator[Range]:
        """Locks the free parts of a range, by halves."""
        try:
            fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, end - begin, begin)
        except (BlockingIOError, PermissionError):  # the two answers that POSIX allows for "somebody has it"
            if end - begin > 1:
                middle = (begin + end) // 2
                yield from self._lock(begin, middle)
                yield from self._lock(middle, end)
            return
        yield begin, end

    def free(self, ranges: Sequence[Range]) -> None:
        """Unlocks what this process has locked."""
        gone = set(ranges)
        kept = list[Range]()
        for begin, end in self.locked:
            for first, last in gone:
                if begin <= first and last <= end:
                    fcntl.lockf(self.descriptor, fcntl.LOCK_UN, last - first, first)
            kept += _without((begin, end), gone)
        self.locked = kept

    def sign(self, ranges: Sequence[Range]) -> None:
        """Writes who has what; the others' entries stay, where they still hold it."""
        program = Path(sys.argv[0]).name if sys.argv else ""
        mine = {"pid": os.getpid(), "program": program or "python", "ranges": [list(part) for part in ranges]}
        free_for_us = [tuple(part) for part in ranges]
        others = [entry for entry in self.entries() if not _overlap(entry["ranges"], free_for_us)]
        text = json.dumps([*others, mine]).encode()
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, text, 0)

    def entries(self) -> list[dict[str, Any]]:
        """Who holds how much of the card; what is left over from runs that have ended is passed over."""
        try:
            written = json.loads(os.pread(self.descriptor, 1_000_000, 0) or b"[]")
            found = [dict(entry, ranges=[(int(a), int(b)) for a, b in entry["ranges"]]) for entry in written]
        except (ValueError, TypeError, KeyError):  # its writer was killed in the middle
            return []
        return [entry for entry in found if self._is_held(entry)]

    def _is_held(self, entry: Mapping[str, Any]) -> bool:
        if entry.get("pid") == os.getpid():
            return any(begin <= first and last <= end for first, last in entry["ranges"] for begin, end in self.locked)
        return not any(self._is_open(first, last) for first, last in entry["ranges"])

    def _is_open(self, first: int, last: int) -> bool:
        """Whether nobody else has these units."""
        if _overlap([(first, last)], self.locked):
            return True
        try:
            fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, last - first, first)
        except (BlockingIOError, PermissionError):
            return False
        fcntl.lockf(self.descriptor, fcntl.LOCK_UN, last - first, first)
        return True

    def drop(self, n: int = 1) -> None:
        """Closes the descriptor when nobody in this process needs it any more."""
        self.n_users -= n
        if not self.n_users and self.path in _files:
            del _files[self.path]
            os.close(self.descriptor)


def _without(part: Range, gone: set[Range]) -> list[Range]:
    """What is left of a range."""
    left, (begin, end) = list[Range](), part
    for first, last in sorted(gone):
        if begin <= first and last <= end:
            if first > begin:
                left.append((begin, first))
            begin = last
    return [*left, (begin, end)] if end > begin else left


def _overlap(some: Sequence[Sequence[int]], others: Sequence[Sequence[int]]) -> bool:
    return any(a < d and c < b for a, b in some for c, d in others)


_files: dict[Path, _File] = {}
_mutex = threading.Lock()


def _start_anew() -> None:
    """Runs in a forked child: locks stay its parent's, so what is known of them is wrong."""
    global _mutex
    _mutex = threading.Lock()
    for file in _files.values():
        with contextlib.suppress(OSError):
            os.close(file.descriptor)
    _files.clear()


os.register_at_fork(after_in_child=_start_anew)


def _file_of(card: Card, folder: Path) -> _File:
    """The file of a card; one object for it in this process."""
    name = hashlib.blake2b(card.key.encode(), digest_size=16).hexdigest()
    path = folder / f"{name}.card"
    if path not in _files:
        _files[path] = _File(card, path)
    _files[path].card = card
    return _files[path]


@contextlib.contextmanager
def _gate(folder: Path) -> Iterator[None]:
    """One process at a time takes slots; it is a matter of milliseconds."""
    descriptor = os.open(folder / "gate", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _own_folder() -> Path:
    """Where the runs of this user meet; nobody else may write there.

    Raises:
        HonedError: somebody else has made it.
    """
    folder = Path(tempfile.gettempdir()).resolve() / f"honed-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise HonedError(
            f"{folder} belongs to another user, so runs cannot agree there on who has which GPU; "
            "set TMPDIR to a folder of yours."
        )
    folder.chmod(0o700)
    return folder
