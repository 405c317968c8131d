"""The same trials for 1, 2 and 8 workers, whoever is done first, over restarts and deaths; and the public suite."""

from __future__ import annotations

import copy
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from honed.ask_tell import AskTell, Done
from honed.checkpoints.directory import DirectoryStore
from honed.clock import SYSTEM_CLOCK
from honed.domains import Categorical, Float, Int, Scalar
from honed.errors import Infeasible
from honed.events import ignore
from honed.history import Allowance, History
from honed.records import Cause, Draft, State, StudyRecord, Suggestion, TrialRecord, Update, Wait
from honed.samplers.base import Sampler, Stream
from honed.samplers.batched import Batched
from honed.samplers.combine import fit_for_use
from honed.samplers.grid import Grid
from honed.samplers.quasirandom import Sobol
from honed.samplers.random import Random
from honed.schedulers.full import Full
from honed.space import Space
from honed.storage.base import Storage
from honed.storage.memory import MemoryStorage
from honed.storage.sqlite import SQLiteStorage
from honed.testing.sampler_suite import SamplerSuite
from honed.trial import Trial

Objective = Callable[[Trial], float]
Params = list[dict[str, Any]]


class TestBatched(SamplerSuite):
    @pytest.fixture(
        params=[Batched(Random()), Batched(Grid(points=3)), Batched(Sobol(), size=3), Batched(Random(), size=1)],
        ids=["random", "grid", "sobol by three", "one by one"],
    )
    def sampler(self, request: pytest.FixtureRequest) -> Sampler:
        return request.param


@dataclass(frozen=True)
class Climber:
    """A step away from the best so far, and a digest of all that it sees: a wrong history shows in its params."""

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Suggestion:
        seen = [(r.number, r.values, r.state, tuple(r.params.items())) for r in history]
        order = [(r.number, len(r.reports)) for r in history.finished]
        digest = random.Random(repr((seen, order, history.max_steps, dict(given)))).random()
        best = {} if history.best is None else history.best.params
        params = {}
        for name, domain in space.domains.items():
            near, value = best.get(name), domain.decode((rng.uniform(name) + digest) % 1)
            params[name] = near if near is not None and domain.contains(near) and digest < 0.3 else value
        return Suggestion(space.active(params))


def smooth(trial: Trial) -> float:
    return float((trial.suggest_float("x", 0, 1) - 0.3) ** 2 + trial.suggest_float("y", 0.1, 10, log=True))


def branching(trial: Trial) -> float:
    """Names, ranges and choices that depend on other values; some configurations fail."""
    lr = trial.suggest_float("lr", 1e-4, 1, log=True)
    if trial.suggest_categorical("kind", ["sgd", "adam", "lion"]) == "sgd":
        lr += trial.suggest_float("momentum", 0, 0.99)
    n = trial.suggest_int("layers", 1, 3)
    total = lr + sum(trial.suggest_int(f"units_{i}", 1, 4) for i in range(n)) + trial.suggest_int("k", 0, n)
    if total < 4:
        raise Infeasible("too small")
    trial.report(total, step=1)
    return float(total)


def single(trial: Trial) -> float:
    return trial.suggest_float("only", 0, 1)


DECLARED = Space(x=Float(0, 1), y=Float(0.1, 10, log=True))
CONDITIONAL = Space(
    lr=Float(1e-4, 1, log=True), kind=Categorical(["sgd", "adam", "lion"]),
    momentum=Float(0, 0.99).when(kind="sgd"), layers=Int(1, 3),
)  # fmt: skip
STUDIES: dict[str, tuple[Objective, Space | None]] = {
    "declared": (smooth, DECLARED),
    "discovered": (smooth, None),
    "conditional": (branching, None),
    "partly declared": (branching, CONDITIONAL),
    "one name": (single, None),
}


class Workers:
    """Threads with connections of their own to one study, each trial with a random duration."""

    def __init__(self, storage: Storage, folder: Path, sampler: Sampler, space: Space | None, seed: int = 0) -> None:
        self.storage, self.folder, self.sampler, self.space = storage, folder, sampler, space
        draft = StudyRecord(name="batched", seed=seed, space=None if space is None else space.to_json())
        self.study, _ = storage.create_study(draft)
        self.errors: list[BaseException] = []
        self.longest = 0.01  # seconds of a training

    def connect(self) -> AskTell:
        sampler = copy.deepcopy(self.sampler)  # as in a process of its own
        return AskTell(
            self.storage, self.study, lambda history: (sampler, Full()), worker="w", clock=SYSTEM_CLOCK, listen=ignore,
            checkpoints=DirectoryStore(self.folder / "checkpoints"), space=self.space,
        )  # fmt: skip

    def run(self, objective: Objective, n_trials: int | None, n_workers: int) -> Params:
        threads = [
            threading.Thread(target=self._work, args=(objective, n_trials, random.Random(i))) for i in range(n_workers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not self.errors, self.errors
        return self.params

    def _work(self, objective: Objective, n_trials: int | None, durations: random.Random) -> None:
        flow = self.connect()
        try:
            while not isinstance(asked := flow.ask(Allowance(trials=n_trials)), Done):
                if isinstance(asked, Wait):
                    SYSTEM_CLOCK.sleep(0.002)
                    continue
                SYSTEM_CLOCK.sleep(durations.random() ** 4 * self.longest)
                finish(flow, asked, objective, durations.random() ** 4 * self.longest)
        except BaseException as error:
            self.errors.append(error)
        finally:
            flow.close()

    @property
    def trials(self) -> list[TrialRecord]:
        return list(History.empty(self.study).extend(self.storage.read(self.study.id)))

    @property
    def params(self) -> Params:
        return [dict(trial.params) for trial in self.trials]


def finish(flow: AskTell, trial: Trial, objective: Objective, seconds: float) -> None:
    try:
        value = objective(trial)
        SYSTEM_CLOCK.sleep(seconds)
        flow.tell(trial.number, flow.outcome(trial.number, value))
    except Infeasible:
        flow.tell(trial.number, Update(state=State.FAILED, cause=Cause.INFEASIBLE))


def run(
    folder: Path, name: str, n_workers: int, splits: tuple[int, ...] = (40,), *, size: int = 8, longest: float = 0.01
) -> Params:
    objective, space = STUDIES[name]
    workers = Workers(MemoryStorage(), folder, Batched(Climber(), size), space, seed=5)
    workers.longest = longest
    for n in splits:
        workers.run(objective, n, n_workers)
    assert not [trial for trial in workers.trials if not trial.state.is_finished]
    return workers.params[:40]


@pytest.mark.parametrize("name", list(STUDIES))
def test_trials_are_the_same_for_any_number_of_workers(tmp_path: Path, name: str) -> None:
    alone = run(tmp_path, name, 1)
    assert len({tuple(params.items()) for params in alone}) > 25
    assert run(tmp_path, name, 2) == alone
    assert run(tmp_path, name, 8) == alone
    assert run(tmp_path, name, 20)[:40] == alone  # more than fit into a batch


@pytest.mark.parametrize("size", [1, 3, 40])
def test_any_size_of_batches_gives_the_same_for_any_number_of_workers(tmp_path: Path, size: int) -> None:
    assert run(tmp_path, "conditional", 1, size=size) == run(tmp_path, "conditional", 6, size=size)


@pytest.mark.parametrize(("name", "splits"), [("declared", range(1, 40)), ("conditional", range(2, 40, 5))])
def test_a_study_in_two_runs_is_the_same_as_in_one(tmp_path: Path, name: str, splits: range) -> None:
    whole = run(tmp_path, name, 1)
    for split in splits:
        assert run(tmp_path, name, 1 + split % 3, (split, 40), longest=0.0) == whole, split


def test_proposals_use_what_the_batches_before_have_shown(tmp_path: Path) -> None:
    unlearned = [run(tmp_path, "declared", 1, size=size) for size in (8, 40)]
    assert unlearned[0][:8] == unlearned[1][:8]
    assert unlearned[0][8:] != unlearned[1][8:]


FINITE = Space(a=Int(0, 3), b=Categorical(["x", "y", "z"]), c=Int(0, 1).when(b="y"))


def finite(trial: Trial) -> float:
    a, b = trial.suggest_int("a", 0, 3), trial.suggest_categorical("b", ["x", "y", "z"])
    return float(a + (trial.suggest_int("c", 0, 1) if b == "y" else 0))


@pytest.mark.parametrize("sampler", [Random(), Grid(), Climber()], ids=["random", "grid", "climber"])
def test_eight_workers_try_each_configuration_of_a_finite_space_once(tmp_path: Path, sampler: Sampler) -> None:
    found = [
        Workers(MemoryStorage(), tmp_path, Batched(sampler), FINITE).run(finite, None, n_workers)
        for n_workers in (1, 8)
    ]
    assert found[0] == found[1]
    assert len(found[0]) == len({tuple(params.items()) for params in found[0]}) == 16


@pytest.mark.parametrize("sampler", [Random(), Grid()], ids=["random", "grid"])
def test_a_finite_space_that_nobody_declared_is_exhausted_the_same_way(tmp_path: Path, sampler: Sampler) -> None:
    found = [
        Workers(MemoryStorage(), tmp_path, Batched(sampler), None).run(finite, None, n_workers) for n_workers in (1, 8)
    ]
    assert found[0] == found[1]
    assert len({tuple(params.items()) for params in found[0]}) == 16
    assert len(found[0]) < 16 + 8  # only trials of the first batch may repeat each other


def test_queued_and_added_trials_count_with_what_they_are_given(tmp_path: Path) -> None:
    found = []
    for n_workers in (1, 2, 8):
        workers = Workers(MemoryStorage(), tmp_path, Batched(Climber()), CONDITIONAL, seed=1)
        for i in range(11):
            given = {"lr": 0.01 * (i + 1)}
            workers.storage.add(
                workers.study.id, Draft(state=State.WAITING, params=given, note={"given": given}), worker="me"
            )
        added = Draft(state=State.COMPLETE, params={"lr": 0.5}, values=(9.0,), note={"added": True})
        workers.storage.add(workers.study.id, added, worker="me")
        found.append(workers.run(branching, 36, n_workers))
    assert [params["lr"] for params in found[0][:12]] == [*(0.01 * (i + 1) for i in range(11)), 0.5]
    assert found[0][:40] == found[1][:40] == found[2][:40]


def test_a_worker_that_dies_in_a_batch_changes_nothing(tmp_path: Path) -> None:
    objective, _ = STUDIES["conditional"]
    whole = run(tmp_path, "conditional", 1)
    path = tmp_path / "honed.db"
    mortal = SQLiteStorage(path, durability="fast")
    dying = Workers(mortal, tmp_path, Batched(Climber()), None, seed=5)
    dying.run(objective, 13, 2)
    flow = dying.connect()
    begun = [asked for _ in range(3) if isinstance(asked := flow.ask(), Trial)]
    assert len(begun) == 3, "choose another number of trials: these are to be of one batch"
    begun[0].suggest_float("lr", 1e-4, 1, log=True)
    flow.close()
    mortal.close()  # its trials are lost
    storage = SQLiteStorage(path, durability="fast")
    workers = Workers(storage, tmp_path, Batched(Climber()), None, seed=5)
    assert len(History.empty(workers.study).extend(storage.read(workers.study.id)).lost) == 3
    assert workers.run(objective, 40, 4)[:40] == whole
    assert max(trial.attempt for trial in workers.trials) == 2
    storage.close()


def test_it_waits_for_the_batch_before_and_says_for_what() -> None:
    study = MemoryStorage()
    record, _ = study.create_study(StudyRecord(name="x", space=DECLARED.to_json()))
    for _ in range(2):
        study.add(record.id, Draft(), worker="w")
    history = History.empty(record).extend(study.read(record.id))
    sampler = Batched(Random(), size=2)
    assert sampler.suggest(history, history.space, Stream(0, 2), {}) == Wait(
        "trial 2 is proposed when all trials before 2 are done"
    )
    assert isinstance(sampler.suggest(history, history.space, Stream(0, 1), {}), Suggestion)


@pytest.mark.parametrize("size", [0, -1, True, 2.5, None])
def test_a_size_that_makes_no_sense_is_refused(size: Any) -> None:
    with pytest.raises(ValueError, match="Batched: size="):
        Batched(Random(), size)


def test_it_is_fit_for_use_as_it_is() -> None:
    sampler = Batched(Random())
    assert fit_for_use(sampler) is sampler
    assert Batched(fit_for_use(Random())) == sampler
    assert copy.deepcopy(sampler) == sampler
