"""Trials that train on several ranks (DistributedDataParallel): a trial of four GPUs is written like one of a single GPU.

Every rank calls ``optimize`` with the same objective. Rank 0 alone has the study; it owns the trial, and whatever a rank asks
the trial, rank 0 asks first and the others read its answer: params, where to go on, how far, whether to stop. So all leave
the loop at the same step::

    def objective(trial):
        model = DistributedDataParallel(build(trial.suggest_float("lr", 1e-4, 1.0, log=True)))
        trial.track(model=model, optimizer=optimizer)
        for epoch in trial.steps(27):
            ...
            trial.report(loss, step=epoch)                 # on all ranks; rank 0 counts

    ddp.optimize(lambda: honed.create_study("mnist"), objective, n_trials=100, scheduler="asha")

Start it by ``torchrun --nproc-per-node 4 script.py``, or by ``ddp.launch(main, n_ranks=4)``. Alone it is a run of one rank.
What fails on one rank fails the trial on all of them; a rank that dies ends the run in time, and nobody hangs.
"""

from __future__ import annotations

import base64
import contextlib
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from honed.algorithms.schedules import Kept
from honed.backend import Resumed, TrialBackend
from honed.checkpoints.states import restore_states, save_states
from honed.domains import Domain, Scalar, domain_from_json
from honed.errors import CheckpointNotFound, Fatal, HonedError, Infeasible
from honed.torch.ranks import (
    RankFailed,
    RankLost,
    RankMismatch,
    Ranks,
    describe_failure,
    device,
    failure_again,
    find_ranks,
    one_interrupt_ignored,
)
from honed.torch.start import launch
from honed.trial import Trial

__all__ = ["RankFailed", "RankLost", "RankMismatch", "device", "launch", "optimize"]

RANK_SECONDS = 60.0
_RANKS = "ranks"  # folder in a checkpoint: the random states of ranks 1, 2, ...


class Optimizes(Protocol):
    """What is needed of a study."""

    def optimize(self, objective: Callable[[Trial], Any], *args: Any, **settings: Any) -> None:
        """Runs trials until a limit is reached."""
        ...


S = TypeVar("S", bound=Optimizes)


def optimize(
    study: Callable[[], S],
    objective: Callable[[Trial], Any],
    *args: Any,
    backend: str | None = None,
    rank_timeout: float = RANK_SECONDS,
    **settings: Any,
) -> S | None:
    """Runs ``study().optimize(objective, ...)`` on rank 0, while the other ranks train with it.

    The process group (``backend``) is made here, so leave ``init_process_group`` out; with one of your own, a trial that
    fails ends the run, since honed cannot renew it. What is tracked must be equal on all ranks: rank 0 saves it, and all restore
    it, so the checkpoints must lie on a disk that all ranks see. The global random states are kept for each rank. What the
    objective does only on rank 0 must not include ``suggest``, ``should_stop`` or ``steps``.

    A training cut by pauses is the same bit for bit on two ranks; with more, PyTorch adds gradients in another order in the first
    step after a pause (its buckets), unless the model is wrapped with ``find_unused_parameters=True``.

    Args:
        study: makes or opens the study; only rank 0 calls it, the others never touch the storage.
        objective: the same on all ranks; rank 0's return value and reports count.
        *args, **settings: as for ``Study.optimize``.
        backend: "gloo" or "nccl"; by default NCCL where each rank has a GPU.
        rank_timeout: a rank without a sign of life for so many seconds is dead: the trial fails and the run ends.

    Returns:
        The study on rank 0, None on the others.

    Raises:
        RankFailed: (on the other ranks) rank 0 has ended the run by an error.
        RankLost: a rank is dead.
    """
    if not callable(study):
        raise TypeError(f"ddp.optimize: study={study!r} must be a function that makes it: lambda: create_study(...)")
    if not callable(objective):
        raise TypeError(f"ddp.optimize: objective={objective!r} must be a function of one trial")
    ranks = find_ranks(timeout=rank_timeout, backend=backend)
    try:
        if ranks.rank:
            with one_interrupt_ignored():
                _follow(ranks, objective)
            return None
        leader = _Lead(ranks, objective)
        error = "KeyboardInterrupt"
        try:
            made = study()
            made.optimize(leader, *args, **settings)
            error = ""
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
            raise
        finally:
            leader.end(error)
        return made
    finally:
        ranks.close()


# ---------------------------------------------------------------------------------------------------------- rank 0


class _Lead:
    """The objective that rank 0's study runs: hands each trial to the other ranks and trains with them."""

    def __init__(self, ranks: Ranks, objective: Callable[[Trial], Any]) -> None:
        self._ranks, self._objective = ranks, objective
        self._n = 0
        self._generation = 0
        self.__code__ = getattr(objective, "__code__", None)  # for messages that name the objective's place

    def __call__(self, trial: Trial) -> Any:
        self._n += 1
        run = f"run/{self._n}"
        inside, metrics, given = trial.behind
        resumed = inside.resume()
        message = {
            "number": trial.number,
            "attempt": trial.attempt,
            "metrics": metrics,
            "given": {name: (domain.to_json(), stored) for name, (domain, stored) in given.items()},
            "resumed": (resumed.step, None if resumed.directory is None else str(resumed.directory), resumed.until),
            "generation": self._generation,
            "seeds": (trial.seed, trial.repeat),
        }
        self._ranks.begin(run)
        self._ranks.say(run, message)
        log = _Log(self._ranks, run)
        error: BaseException | None = None
        try:
            self._ranks.join(self._generation)
            backend = _Leading(inside, log)
            shown = Trial(backend, number=trial.number, attempt=trial.attempt, metrics=metrics, given=given)
            shown.seed, shown.repeat = trial.seed, trial.repeat
            shown.position = trial.position
            returned = self._objective(shown)
            log.write("was done")
        except BaseException as raised:
            error = raised
        shown = None  # type: ignore[assignment]  # it holds the model, and the model holds the process group
        if error is None:
            error = self._finish(run, log)
        if error is not None:
            self._fail(run, trial.number, error)
        return returned

    def _finish(self, run: str, log: _Log) -> BaseException | None:
        """Waits for the others; returns what went wrong there."""
        try:
            for rank in self._ranks.others:
                self._ranks.hear(f"{run}/done/{rank}")
            self._ranks.check()
        except HonedError as error:
            return error
        log.forget()
        return None

    def _fail(self, run: str, number: int, error: BaseException) -> None:
        """Ends the trial on all ranks; raises the error that was the first."""
        first = self._ranks.fail(describe_failure(error, 0))
        traceback.clear_frames(error.__traceback__)
        if not isinstance(error, Exception):
            raise error
        self._ranks.leave()
        self._generation += 1
        lost = self._ranks.gather(lambda rank: f"{run}/done/{rank}")
        self._ranks.say(f"{run}/closed", True)
        if lost:
            raise RankLost(f"Trial {number}: {self._ranks.told(lost)}") from None
        if first["rank"] == 0 or (first["type"], first["text"]) == (type(error).__name__, str(error)):
            if self._ranks.owns_group or isinstance(error, Fatal | Infeasible):
                raise error
            raise Fatal(f"Trial {number} failed, and a process group of one's own cannot be renewed.") from error
        again = failure_again(first)
        if not self._ranks.owns_group and not isinstance(again, Infeasible):
            again = Fatal(str(again))
        raise again from None

    def end(self, error: str) -> None:
        """Tells the others that no trial comes any more, and why."""
        self._ranks.begin("")
        with contextlib.suppress(RankLost):
            self._ranks.say(f"run/{self._n + 1}", {"over": error})
            self._ranks.gather(lambda rank: f"left/{rank}")


class _Log:
    """What rank 0 asked and got in one training, line by line."""

    def __init__(self, ranks: Ranks, run: str) -> None:
        self.ranks, self.run, self.n = ranks, run, 0
        self.kept: list[str] = []

    def write(self, did: str, answer: Any = None, **details: Any) -> None:
        """Adds a line."""
        self.ranks.check()
        self.n += 1
        self.ranks.say(f"{self.run}/{self.n}", {"did": did, "answer": answer, **details})

    def read(self, did: str, **details: Any) -> Any:
        """The answer in the next line, which must be about the same question."""
        self.n += 1
        line = self.ranks.hear(f"{self.run}/{self.n}")
        theirs = line["did"]
        if theirs == did:
            for name, value in details.items():
                if line[name] != value:
                    did, theirs = f"{did} as {value}", f"{theirs} as {line[name]}"
        if theirs != did:
            raise RankMismatch(
                f"Rank {self.ranks.rank} {did} while rank 0 {theirs}: objective() must ask in the same order on all ranks."
            )
        return line["answer"]

    def forget(self) -> None:
        """Removes what all have read."""
        self.ranks.forget([*(f"{self.run}/{i}" for i in range(1, self.n + 1)), *self.kept])


class _Leading:
    """Rank 0's backend: asks the study's and tells the others what it said."""

    def __init__(self, inside: TrialBackend, log: _Log) -> None:
        self._inside, self._log = inside, log
        self._collects = False

    def suggest(self, name: str, domain: Domain) -> Scalar:
        stored = self._inside.suggest(name, domain)
        self._log.write(f"asked for {name!r}", stored, domain=str(domain))
        return stored

    def report(self, step: int, values: Mapping[str, float]) -> bool:
        return self._inside.report(step, values)

    def annotate(self, key: str, value: Any) -> None:
        self._inside.annotate(key, value)

    def tracks(self) -> None:
        self._inside.tracks()

    def should_stop(self) -> bool:
        answer = self._inside.should_stop()
        self._log.write("asked whether to stop", answer)
        return answer

    def resume(self) -> Resumed:
        return self._inside.resume()

    def begin(self, n_steps: int, schedule: Kept | None = None) -> None:
        self._inside.begin(n_steps, schedule)
        self._log.write(f"began {n_steps} steps")

    def end_step(self, step: int) -> bool:
        self._collects = self._inside.end_step(step)
        self._log.write(f"ended step {step}", self._collects)
        return self._collects

    @contextlib.contextmanager
    def checkpoint(self, step: int) -> Iterator[Path]:
        with self._inside.checkpoint(step) as directory:
            yield directory
            if not self._collects:
                return  # of the objective's own making
            self._collects = False
            for rank in self._log.ranks.others:
                key = f"{self._log.run}/random/{step}/{rank}"
                files = self._log.ranks.hear(key)
                self._log.kept.append(key)
                folder = directory / _RANKS / str(rank)
                folder.mkdir(parents=True)
                for name, content in files.items():
                    (folder / Path(name).name).write_bytes(base64.b64decode(content))


# ------------------------------------------------------------------------------------------------- the other ranks


def _follow(ranks: Ranks, objective: Callable[[Trial], Any]) -> None:
    """Trains what rank 0 hands out until the run is over."""
    n = 0
    while True:
        n += 1
        run = f"run/{n}"
        ranks.begin("")
        message = ranks.hear(run)
        if "over" in message:
            ranks.say(f"left/{ranks.rank}", True)
            if message["over"]:
                raise RankFailed(f"Rank 0 has ended the run. {message['over']}")
            return
        ranks.begin(run)
        has_failed = False
        try:
            ranks.join(message["generation"])
            _train(ranks, run, message, objective)
        except BaseException as error:
            has_failed = True
            ranks.fail(describe_failure(error, ranks.rank))
            traceback.clear_frames(error.__traceback__)
            if not isinstance(error, Exception):
                raise
        if has_failed:
            ranks.leave()
        ranks.say(f"{run}/done/{ranks.rank}", True)
        if has_failed:  # rank 0 may sit in a collective call, which ends when this process does
            ranks.hear(f"{run}/closed", seconds=2 * ranks.timeout)


def _train(ranks: Ranks, run: str, message: Mapping[str, Any], objective: Callable[[Trial], Any]) -> None:
    """Runs the objective here as rank 0 does there."""
    given = {name: (domain_from_json(described), stored) for name, (described, stored) in message["given"].items()}
    step, directory, until = message["resumed"]
    resumed = Resumed(step, None if directory is None else Path(directory), until)
    log = _Log(ranks, run)
    backend = _Following(log, resumed)
    number, attempt, metrics = message["number"], message["attempt"], message["metrics"]
    seed, repeat = message["seeds"]
    objective(Trial(backend, number=number, attempt=attempt, metrics=metrics, given=given, seed=seed, repeat=repeat))
    log.read("was done")


class _Following:
    """The backend of another rank: reads what rank 0 was told."""

    def __init__(self, log: _Log, resumed: Resumed) -> None:
        self._log, self._resumed = log, resumed

    def suggest(self, name: str, domain: Domain) -> Scalar:
        stored: Scalar = self._log.read(f"asked for {name!r}", domain=str(domain))
        return stored

    def report(self, step: int, values: Mapping[str, float]) -> bool:
        return False

    def annotate(self, key: str, value: Any) -> None:
        pass

    def tracks(self) -> None:
        pass

    def should_stop(self) -> bool:
        return bool(self._log.read("asked whether to stop"))

    def resume(self) -> Resumed:
        directory, rank = self._resumed.directory, self._log.ranks.rank
        if directory is not None and not directory.is_dir():
            raise CheckpointNotFound(directory.name, f"{directory.parent}, as rank {rank} sees it (ranks share a disk)")
        return self._resumed

    def begin(self, n_steps: int, schedule: Kept | None = None) -> None:
        self._log.read(f"began {n_steps} steps")
        folder = (self._resumed.directory or Path()) / _RANKS
        own = folder / str(self._log.ranks.rank)
        if self._resumed.directory is not None and own.is_dir():
            restore_states(own, {})
        elif self._resumed.directory is not None and folder.is_dir():
            text = f"Rank {self._log.ranks.rank} is new since the checkpoint and goes on with rank 0's random numbers."
            warnings.warn(text, stacklevel=3)

    def end_step(self, step: int) -> bool:
        if self._log.read(f"ended step {step}"):
            with tempfile.TemporaryDirectory() as folder:
                save_states(Path(folder), {}, step=step)
                paths = Path(folder).iterdir()
                files = {path.name: base64.b64encode(path.read_bytes()).decode() for path in paths}
            self._log.ranks.say(f"{self._log.run}/random/{step}/{self._log.ranks.rank}", files)
        return False

    def checkpoint(self, step: int) -> AbstractContextManager[Path]:
        return _passing()


@contextlib.contextmanager
def _passing() -> Iterator[Path]:
    """A directory for a copy that nobody needs: rank 0's counts."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)
