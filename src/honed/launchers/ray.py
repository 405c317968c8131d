"""Workers on a Ray cluster: one actor for each, with its CPUs and its share of GPUs, that keeps a worker alive.

Only Ray Core. The actor does its work in a thread that its constructor starts, so nothing hangs on the program that
launched it: when a node is lost Ray builds the actor again elsewhere, and the worker goes on there, with the trials of the
dead one as soon as the storage's leases give them back. Ray's ``max_restarts`` is without limit for that reason; tasks are
never retried, for the only ones are questions (``status``) and the request to end.
"""

from __future__ import annotations

import os
import secrets
import shlex
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.clock import SYSTEM_CLOCK, Clock, boot_id
from honed.launchers.command import STORAGE_VARIABLE, WAYS_OUT, Share, Work, reachable
from honed.launchers.keeper import MARGIN_SECONDS, Keeper, Status
from honed.optional import require
from honed.storage.hiding import hidden

NAMESPACE = "honed"
POLL_SECONDS = 1.0
SAY_AFTER, SAY_EVERY = 5.0, 30.0
"""Seconds after which workers that have not started are mentioned, and between two mentions."""

Say = Callable[[str], object]


class KeeperActor:
    """What runs in the actor's process.

    Args:
        plan: what to keep alive, and how.
        machine: where the storage's file lies, as ``this_machine`` names it; None where every machine reaches the storage.
        folder: where the worker starts; None: in the folder that Ray has copied.
    """

    def __init__(self, plan: Plan, machine: str | None, folder: str | None) -> None:
        self._ray = require("ray", "ray")
        context = self._ray.get_runtime_context()
        self._leaves = plan.detach  # nobody would send it away
        self._handle = context.current_actor
        self._refusal = "" if machine in (None, this_machine(self._ray)) else _refusal(plan.work)
        self._keeper = Keeper(
            plan.work,
            environment={**os.environ, **plan.environment},  # Ray has set which cards it may use
            output=_to_stdout,
            grace=plan.grace,
            folder=folder,
            saw_death=context.was_current_actor_reconstructed,
        )
        self._thread = threading.Thread(target=self._run, name="honed keeper", daemon=True)
        self._thread.start()

    def status(self) -> tuple[Status, str]:
        """Where the worker is, and the last lines it printed."""
        if self._refusal:
            return Status("failed", reason=self._refusal), ""
        return self._keeper.status, self._keeper.last_words

    def stop(self) -> None:
        """Asks the worker to end."""
        self._keeper.stop()

    def _run(self) -> None:
        if not self._refusal:
            self._keeper.run()
        if self._leaves:
            self._ray.kill(self._handle, no_restart=True)


def _to_stdout(line: bytes) -> None:
    sys.stdout.write(line.decode(errors="replace"))
    sys.stdout.flush()


def _refusal(work: Work) -> str:
    return (
        f"the storage {work.storage} is an SQLite file on the launching machine, and Ray placed a worker on another one. "
        + WAYS_OUT
    )


def this_machine(ray: Any) -> str:
    """Names this machine, or container, as far as a file on its disk is concerned."""
    return f"{boot_id()} {ray.util.get_node_ip_address()}"


# ------------------------------------------------------------------------------------------------------ the driver


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to launch.

    Attributes:
        address: of the Ray cluster; "auto" finds the one this machine belongs to, "local" starts one here.
        working_dir: folder that Ray copies to all machines, and where the workers start; None: they start in this
            program's folder, which every machine must have.
        detach: whether the workers live on without this program.
        grace: seconds that workers have for their checkpoints.
    """

    work: Work
    share: Share
    address: str = "auto"
    working_dir: str | None = None
    environment: Mapping[str, str]
    is_file: bool = False
    detach: bool = False
    grace: float = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a launch ended: ``ok`` is False when workers failed, None when it was ended by request."""

    ok: bool | None
    text: str


def connect(address: str, *, working_dir: str | None = None) -> Any:
    """Ray, connected to a cluster.

    Raises:
        MissingExtra: Ray is not installed.
        ConnectionError: there is no cluster at that address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = require("ray", "ray")
    if not ray.is_initialized():
        folder = {} if working_dir is None else {"working_dir": str(Path(working_dir).absolute())}
        try:
            ray.init(
                address=address,
                namespace=NAMESPACE,
                runtime_env=folder,
                log_to_driver=False,
                logging_level="error",
                **({"include_dashboard": False} if address == "local" else {}),
            )
        except ConnectionError as error:
            raise ConnectionError(
                f"there is no Ray cluster at {address!r}. Start one (ray start --head), name another with --address HOST:6379 or "
                "ray://HOST:10001, or use --address local for this machine alone."
            ) from error
    return ray


def check_machines(ray: Any, plan: Plan) -> None:
    """Whether all machines of the cluster reach the storage.

    Raises:
        ValueError: it is a file or listens on this machine alone, and there are others.
    """
    addresses = {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    if addresses - {ray.util.get_node_ip_address()}:
        reachable(plan.work.storage, "many machines")


class Fleet:
    """The actors of one launch, seen from the program that launched them."""

    def __init__(self, ray: Any, plan: Plan) -> None:
        self.plan = plan
        self._ray = ray
        share, stamp = plan.share, secrets.token_hex(3)
        folder = None if plan.working_dir is not None else os.getcwd()
        machine = this_machine(ray) if plan.is_file else None
        make = ray.remote(KeeperActor).options
        self.actors = [
            make(
                name=f"{plan.work.study}/{stamp}/{i}" if plan.detach else None,
                namespace=NAMESPACE,
                lifetime="detached" if plan.detach else None,
                num_cpus=share.cpus,
                num_gpus=share.gpus,
                max_restarts=-1,
                max_task_retries=0,
                max_concurrency=2,
            ).remote(plan, machine, folder)
            for i in range(share.workers)
        ]
        self._asked: dict[Any, int] = {}  # a question that is under way -> whose
        self.known: list[tuple[Status, str] | None] = [None] * share.workers

    def poll(self, seconds: float) -> None:
        """Asks all actors how they are; those on their way, or on a lost node, do not answer."""
        for i, actor in enumerate(self.actors):
            if i not in self._asked.values() and not self._has_ended(i):
                self._asked[actor.status.remote()] = i
        if not self._asked:
            return
        done, _ = self._ray.wait(list(self._asked), num_returns=len(self._asked), timeout=seconds)
        for question in done:
            i = self._asked.pop(question)
            try:
                self.known[i] = self._ray.get(question)
            except self._ray.exceptions.RayActorError:
                self.known[i] = (Status("starting", reason="its node is lost"), "")
            if self._has_ended(i):  # what it held may be what another one waits for
                self._ray.kill(self.actors[i], no_restart=True)

    def states(self) -> list[Status]:
        """What is known of each worker."""
        return [Status("starting") if known is None else known[0] for known in self.known]

    def words(self) -> str:
        """The last words of the first worker that failed."""
        return next((words for status, words in filter(None, self.known) if status.state == "failed" and words), "")

    def ask_to_end(self) -> None:
        """Asks all workers to end, after a checkpoint."""
        for actor in self.actors:
            actor.stop.remote()

    def kill(self) -> None:
        """Ends all actors; their workers notice, and give their trials back."""
        for actor in self.actors:
            self._ray.kill(actor, no_restart=True)

    def shortage(self, n_started: int) -> str:
        """What the workers that have not started wait for."""
        share, free = self.plan.share, self._ray.available_resources()
        needs = [f"{share.cpus:g} CPU{'s' if share.cpus != 1 else ''}"]
        has = [f"{free.get('CPU', 0):g} CPUs"]
        if share.gpus:
            needs.insert(0, f"{share.gpus:g} GPU{'s' if share.gpus != 1 else ''}")
            has.insert(0, f"{free.get('GPU', 0):g} GPU{'s' if free.get('GPU', 0) != 1 else ''}")
        return (
            f"{n_started} of {share.workers} workers started: each needs {' and '.join(needs)}, the cluster has "
            f"{' and '.join(has)} free"
        )

    def _has_ended(self, i: int) -> bool:
        known = self.known[i]
        return known is not None and known[0].has_ended


def drive(fleet: Fleet, say: Say, stop: threading.Event, clock: Clock = SYSTEM_CLOCK) -> Outcome:
    """Watches the workers until all have ended, or ``stop`` is set."""
    voice = _Voice(fleet, say, clock)
    while not stop.is_set():
        fleet.poll(POLL_SECONDS)
        states = fleet.states()
        voice.tell(states)
        if ending := _ending(states, fleet):
            fleet.kill()
            return ending
        stop.wait(POLL_SECONDS / 4)
    return _end_all(fleet, say, clock)


def _ending(states: Sequence[Status], fleet: Fleet) -> Outcome | None:
    """How it ended: when nobody works and nobody will. Workers that still wait for a place are not needed then."""
    ended = [status for status in states if status.has_ended]
    is_awaited = any(
        status.state in ("running", "pausing") or status.reason for status in states if not status.has_ended
    )
    if not ended or is_awaited:
        return None
    finished = next((status for status in ended if status.state == "finished"), None)
    if finished is not None:
        return Outcome(True, finished.reason)
    failed = next((status for status in ended if status.state == "failed"), ended[0])
    words = fleet.words()
    return Outcome(False, f"no worker is left; {failed.reason}" + (f". Its last words:\n{words}" if words else ""))


def _end_all(fleet: Fleet, say: Say, clock: Clock) -> Outcome:
    grace = fleet.plan.grace
    say(f"ending: the workers have {grace:g} s for their checkpoints")
    fleet.ask_to_end()
    until = clock.monotonic() + grace + 2 * MARGIN_SECONDS
    while clock.monotonic() < until:
        fleet.poll(POLL_SECONDS)
        if all(known is None or known[0].has_ended for known in fleet.known):
            break
        clock.sleep(POLL_SECONDS / 4)
    fleet.kill()
    return Outcome(None, "ended; the same command goes on")


def leave(fleet: Fleet, say: Say, clock: Clock = SYSTEM_CLOCK) -> Outcome:
    """Watches only until the workers have started, or do not; they live on."""
    until = clock.monotonic() + 2 * SAY_AFTER
    while clock.monotonic() < until and not all(status.lives for status in fleet.states()):
        fleet.poll(POLL_SECONDS)
        clock.sleep(POLL_SECONDS / 4)
    n_started = sum(status.lives > 0 for status in fleet.states())
    if n_started < len(fleet.actors):
        say(fleet.shortage(n_started) + "; the others start when there is place")
    study = fleet.plan.work.study
    return Outcome(
        True, f"{n_started} of {len(fleet.actors)} workers run by themselves; honed launch end-ray {study!r} ends them"
    )


def shown(plan: Plan) -> str:
    """What would be launched, for people; no address with a password in it."""
    share, work = plan.share, plan.work
    storage = hidden(work.storage) if "://" in work.storage else work.storage
    ends = "detached" if plan.detach else "ended with this command"
    return "\n".join(
        [
            f"{share.workers} Ray actors, {ends}, on the cluster {plan.address}",
            f"each has {share.cpus:g} CPUs, {share.gpus:g} GPUs, restarts without limit, {plan.grace:g} s for a checkpoint",
            f"each runs {STORAGE_VARIABLE}={shlex.quote(storage)} {shlex.join(work.argv())}",
        ]
    )


class _Voice:
    """Says what changes, and what does not start."""

    def __init__(self, fleet: Fleet, say: Say, clock: Clock) -> None:
        self._fleet = fleet
        self._say = say
        self._clock = clock
        self._before: tuple[Any, ...] = ()
        self._next = clock.monotonic() + SAY_AFTER

    def tell(self, states: Sequence[Status]) -> None:
        """One line, when there is something to say."""
        n_started = sum(status.lives > 0 or status.has_ended for status in states)
        n_running = sum(status.state == "running" for status in states)
        n_ended = sum(status.has_ended for status in states)
        troubles = [f"worker {i}: {status.reason}" for i, status in enumerate(states) if _is_trouble(status)]
        now = (n_running, n_ended, *troubles)
        if now != self._before and (n_started or troubles):
            over = f", {n_ended} ended" if n_ended else ""
            self._say("; ".join([f"{n_running} of {len(states)} workers run{over}", *troubles]))
        self._before = now
        if n_started < len(states) and self._clock.monotonic() >= self._next:
            self._say(self._fleet.shortage(n_started))
            self._next = self._clock.monotonic() + SAY_EVERY


def _is_trouble(status: Status) -> bool:
    return status.state in ("pausing", "failed") or (status.state == "starting" and bool(status.reason))


# ------------------------------------------------------------------------------------------------ detached workers


def detached(ray: Any, study: str) -> list[Any]:
    """The actors of a study that live without a launching program."""
    named = ray.util.list_named_actors(all_namespaces=True)
    names = [each["name"] for each in named if each["namespace"] == NAMESPACE and each["name"].startswith(f"{study}/")]
    return [ray.get_actor(name, namespace=NAMESPACE) for name in names]


def end_detached(ray: Any, study: str, grace: float, clock: Clock = SYSTEM_CLOCK) -> int:
    """Asks the detached workers of a study to end, and waits for it; returns how many there were."""
    actors = detached(ray, study)
    for actor in actors:
        actor.stop.remote()
    until = clock.monotonic() + grace + 2 * MARGIN_SECONDS
    while clock.monotonic() < until and detached(ray, study):
        clock.sleep(POLL_SECONDS / 4)
    for actor in detached(ray, study):
        ray.kill(actor, no_restart=True)
    return len(actors)
