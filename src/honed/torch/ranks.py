"""What the ranks of a distributed training tell each other: messages, signs of life, failures; beside the training's own traffic.

Messages are small JSON texts in the key-value store by which the ranks have found each other, so nothing of it touches a GPU
or waits in the queue of NCCL. Each rank shows by a counter that it lives; whoever waits for a rank waits as long as that
counter moves, however slow the rank is, and learns within ``timeout`` seconds that it does not move any more.

The process group of the training is renewed after a failure: leaving it closes its connections, by which ranks that wait
inside of a collective call learn at once that nobody will answer.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import (  # type: ignore[attr-defined]
    HashStore,
    PrefixStore,
    Store,
    TCPStore,
)
from torch.distributed.rendezvous import rendezvous

from honed.clock import SYSTEM_CLOCK
from honed.errors import Fatal, HonedError, Infeasible

START_SECONDS = 300.0
"""So long a rank may take to show itself for the first time: it imports torch, reads data, ..."""

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.0002, 0.02
_BEATS = 5  # signs of life within a timeout
_MEMO: dict[str, Any] = {}  # the store of this process, and how often it was used


class RankFailed(HonedError):
    """A training on several ranks has failed on one of them; the message has that rank's traceback."""


class RankLost(Fatal):
    """A rank was killed, or its machine is gone; without it no training is possible, so the run ends."""


class RankMismatch(HonedError, ValueError):
    """The objective did not do the same on all ranks."""


class Ranks:
    """All ranks of one training, seen from one of them.

    Attributes:
        rank, size: which one this is, and how many there are.
        timeout: a rank that gives no sign of life for so many seconds counts as dead.
    """

    def __init__(self, store: Store, rank: int, size: int, *, timeout: float, backend: str | None) -> None:
        self.rank, self.size, self.timeout = rank, size, timeout
        self.owns_group = not dist.is_initialized()
        self._store = store
        self._backend = backend
        self._generation: int | None = None
        self._seen: dict[int, tuple[bytes, float]] = {}
        self._lost: set[int] = set()
        self._started = SYSTEM_CLOCK.monotonic()
        self._run = ""
        self._is_handled = False
        self._closing = threading.Event()
        self._watch = threading.Thread(target=self._watch_over, name="honed ranks", daemon=True)
        self._watch.start()

    @property
    def others(self) -> list[int]:
        """All ranks but this one."""
        return [rank for rank in range(self.size) if rank != self.rank]

    # ------------------------------------------------------------------------------------------------ messages

    def say(self, key: str, message: Any) -> None:
        """Puts up a message for all."""
        with self._reaching():
            self._store.set(key, json.dumps(message))

    def has(self, key: str) -> bool:
        """Whether a message is there."""
        with self._reaching():
            return bool(self._store.check([key]))

    def hear(self, key: str, *, seconds: float | None = None) -> Any:
        """A message, as soon as it is there.

        Args:
            seconds: the longest wait; None waits as long as all ranks live.

        Raises:
            RankFailed: the training that is running has failed on some rank.
            RankLost: a rank is dead, or the time is up.
        """
        pause, begun = _SHORTEST_PAUSE, SYSTEM_CLOCK.monotonic()
        while not self.has(key):
            self.check()
            if seconds is not None and SYSTEM_CLOCK.monotonic() - begun > seconds:
                raise RankLost(f"Rank {self.rank} has waited {seconds:g} s for an answer.")
            SYSTEM_CLOCK.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        with self._reaching():
            return json.loads(self._store.get(key))

    def forget(self, keys: Iterable[str]) -> None:
        """Takes messages down that everyone has read."""
        with self._reaching():
            for key in keys:
                self._store.delete_key(key)

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except dist.DistError as error:
            raise RankLost(f"Rank {self.rank} cannot reach the others: who kept their messages has ended.") from error

    # ------------------------------------------------------------------------------------------ life and death

    def begin(self, run: str) -> None:
        """A training begins, under a name that all ranks give it."""
        self._is_handled = False
        self._run = run

    def fail(self, failure: dict[str, Any]) -> dict[str, Any]:
        """Says that the present training has failed here; returns the first failure of it on any rank."""
        self._is_handled = True
        with self._reaching():
            first = self._store.compare_set(f"{self._run}/failed", "", json.dumps(failure))
        return json.loads(first)  # type: ignore[no-any-return]

    def check(self) -> None:
        """Raises RankFailed or RankLost where the present training has failed somewhere."""
        if self._run and not self._is_handled and self.has(f"{self._run}/failed"):
            with self._reaching():
                failure = json.loads(self._store.get(f"{self._run}/failed"))
            raise RankFailed(f"Rank {failure['rank']} failed: {failure['type']}: {failure['text']}")
        if self._lost:
            raise RankLost(self.told(self._lost))

    def told(self, lost: Iterable[int]) -> str:
        """What to tell the user about dead ranks."""
        numbers = sorted(lost)
        who = f"Rank{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
        return f"{who} gave no sign of life for {self.timeout:g} s: killed, out of memory, or the machine is gone."

    def gather(self, key: Callable[[int], str]) -> set[int]:
        """Waits until every other rank has put up its message, or is dead; returns the dead ones."""
        missing, pause = set(self.others), _SHORTEST_PAUSE
        while missing:
            missing = {rank for rank in missing if not self.has(key(rank))}
            if missing & self._lost:
                return missing & self._lost
            if missing:
                SYSTEM_CLOCK.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        return set()

    def _watch_over(self) -> None:
        """The thread: shows that this rank lives, looks whether the others do, ends the process where all else fails."""
        n, since = 0, None
        while True:
            n += 1
            try:
                self._store.set(f"beat/{self.rank}", str(n))
                now = SYSTEM_CLOCK.monotonic()
                self._look(now)
                is_failed = bool(self._run) and self._store.check([f"{self._run}/failed"])
            except dist.DistError:
                now, is_failed = SYSTEM_CLOCK.monotonic(), True
            if self._closing.wait(self.timeout / _BEATS):
                return
            is_stuck = (is_failed or bool(self._lost)) and bool(self._run) and not self._is_handled
            since = (since or now) if is_stuck else None
            if since is not None and now - since > 2 * self.timeout:
                reason = self.told(self._lost) if self._lost else "The training has failed on another rank."
                sys.stderr.write(f"honed: {reason} Rank {self.rank} waits for it in vain and ends now.\n")
                sys.stderr.flush()
                os._exit(1)  # the main thread sits in a collective call that nothing else can end

    def _look(self, now: float) -> None:
        for rank in self.others:
            key = f"beat/{rank}"
            beat = self._store.get(key) if self._store.check([key]) else b""
            before, when = self._seen.get(rank, (b"", self._started))
            if beat != before:
                self._seen[rank] = (beat, now)
            elif now - when > (self.timeout if beat else max(self.timeout, START_SECONDS)):
                self._lost.add(rank)

    def close(self) -> None:
        """Ends the thread and leaves the process group, if it is ours."""
        self._run = ""
        self._closing.set()
        self._watch.join(timeout=self.timeout)
        self.leave()

    # --------------------------------------------------------------------------------------- the process group

    def join(self, generation: int) -> None:
        """Makes the process group of the training, unless it is there."""
        if not self.owns_group or generation == self._generation:
            return
        self.leave()
        place = {"device_id": device()} if self._backend == "nccl" else {}
        store = PrefixStore(f"group/{generation}", self._store)
        dist.init_process_group(self._backend, store=store, rank=self.rank, world_size=self.size, **place)  # type: ignore[arg-type]
        self._generation = generation

    def leave(self) -> None:
        """Closes the connections of the process group; models that are wrapped for it must be gone by then."""
        if self.owns_group and self._generation is not None:
            self._generation = None
            gc.collect()
            if dist.is_initialized():
                dist.destroy_process_group()
            gc.collect()


@contextlib.contextmanager
def one_interrupt_ignored() -> Iterator[None]:
    """Ctrl-C reaches all ranks: the first is rank 0's business, which finishes the current step; the second ends this one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    presses = 0

    def handle(signum: int, frame: FrameType | None) -> None:
        nonlocal presses
        presses += 1
        if presses > 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# ------------------------------------------------------------------------------------------------- failures as text


def describe_failure(error: BaseException, rank: int) -> dict[str, Any]:
    """What the other ranks need to know of an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").split(".")[0] == "honed":
        trace = trace.tb_next
    kinds: dict[str, Any] = {"infeasible": Infeasible, "memory": (MemoryError, torch.OutOfMemoryError), "fatal": Fatal}
    return {
        "rank": rank,
        "kind": next((kind for kind, types in kinds.items() if isinstance(error, types)), "error"),
        "type": type(error).__name__,
        "text": str(error),
        "traceback": "".join(traceback.format_exception(type(error), error, trace)).rstrip(),
    }


def failure_again(failure: dict[str, Any]) -> Exception:
    """An error that says on rank 0 what has happened on another rank."""
    text = f"Rank {failure['rank']} failed:\n{failure['traceback']}"
    match failure["kind"]:
        case "infeasible":
            return Infeasible(failure["text"])
        case "memory":
            return torch.OutOfMemoryError(text)
        case "fatal":
            return Fatal(text)
    return RankFailed(text)


# ------------------------------------------------------------------------------------------------- finding each other


def device() -> torch.device:
    """The device of this rank: its GPU, or the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    rank = os.environ.get("LOCAL_RANK") or os.environ.get("RANK") or "0"
    return torch.device("cuda", int(rank) % torch.cuda.device_count())


def find_ranks(*, timeout: float, backend: str | None) -> Ranks:
    """The ranks of the process group, of ``torchrun``, or this process alone."""
    if not timeout > 0:
        raise ValueError(f"ddp: rank_timeout={timeout!r} must be a number of seconds above 0")
    if backend is None:
        n_here = int(os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("WORLD_SIZE") or 1)
        has_gpus = torch.cuda.is_available() and torch.cuda.device_count() >= n_here
        backend = "nccl" if has_gpus and dist.is_nccl_available() else "gloo"
    if not _MEMO:
        if dist.is_initialized():
            _MEMO["where"] = _beside_group()
        elif "RANK" in os.environ and "WORLD_SIZE" in os.environ:
            _MEMO["where"] = next(iter(rendezvous("env://")))
        else:
            _MEMO["where"] = HashStore(), 0, 1
        _MEMO["n"] = 0
    store, rank, size = _MEMO["where"]
    _MEMO["n"] += 1
    return Ranks(PrefixStore(f"honed/{_MEMO['n']}", store), rank, size, timeout=timeout, backend=backend)


def _beside_group() -> tuple[Store, int, int]:
    """A store for the ranks of a process group that the user has made."""
    rank, size = dist.get_rank(), dist.get_world_size()
    group = dist.new_group(backend="gloo")  # NCCL would want the message on a GPU
    host = os.environ.get("MASTER_ADDR") or socket.gethostname()
    wait = timedelta(seconds=START_SECONDS)
    mine = TCPStore(host, 0, size, is_master=True, timeout=wait, wait_for_workers=False) if rank == 0 else None
    place: list[Any] = [(host, mine.port)] if mine is not None else [None]
    dist.broadcast_object_list(place, src=0, group=group)
    dist.destroy_process_group(group)
    return mine or TCPStore(place[0][0], place[0][1], size, is_master=False, timeout=wait), rank, size
