"""``sampler="auto"`` in real studies: what is paused, what is never trained twice, and what the user is told."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import honed
from honed.auto import Told, choose, explained
from honed.auto.told import TOLD
from honed.events import Event, Notice
from honed.freeze_thaw import FreezeThaw
from honed.records import State, Summary, Update
from honed.schedulers.asha import ASHAStopping
from honed.search import Search
from honed.trial import Trial
from honed.worker import Limits

ROOT = Path(__file__).parent.parent.parent
SPACE = honed.Space(x=honed.Float(0, 1), y=honed.Float(0, 1))
QUIET = {"progress": "quiet", "report": False}


class Training:
    """A curve that falls from 1 towards the distance of x to .3; counts each step that is trained.

    Args:
        n: steps in full.
        tracks: whether its state can be saved.
        is_mixed: whether only trials with x below .5 track.
    """

    def __init__(self, n: int = 12, tracks: bool = True, is_mixed: bool = False) -> None:
        self.n, self.tracks, self.is_mixed = n, tracks, is_mixed
        self.trained: Counter[tuple[int, int]] = Counter()

    def __call__(self, trial: Trial) -> None:
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        if self.tracks and not (self.is_mixed and x > 0.5):
            trial.track(generator=np.random.default_rng(0))
        for step in trial.steps(self.n):
            self.trained[trial.number, step] += 1
            trial.report((x - 0.3) ** 2 + 0.1 * y + 1.0 / (1 + step))

    @property
    def n_repeated(self) -> int:
        """Steps that were trained more than once."""
        return sum(n - 1 for n in self.trained.values())


def run(study: honed.Study, training: Training, **settings: object) -> list[str]:
    """What the user is told of the automatic choice."""
    heard: list[Event] = []
    study.optimize(training, on_event=heard.append, **QUIET, **settings)  # type: ignore[arg-type]
    return [event.text for event in heard if isinstance(event, Notice)]


def states(study: honed.Study) -> Counter[State]:
    return Counter(record.state for record in study.history)


def new_study(tmp_path: Path, name: str = "s") -> honed.Study:
    return honed.create_study(name, storage=f"sqlite:///{tmp_path}/s.db", space=SPACE, seed=1)


def test_trainings_that_can_be_resumed_are_paused_and_none_is_trained_twice(tmp_path: Path):
    study, training = new_study(tmp_path), Training()
    told = run(study, training, n_trials=16)
    assert any("pausing and resuming by predicted value at epoch 12; first slice 3 epochs." in text for text in told)
    assert any(text.startswith("16 trials of 12 epochs: about ") for text in told)
    assert training.n_repeated == 0
    assert states(study)[State.COMPLETE] >= 1
    assert states(study)[State.PAUSED] >= 4
    assert study.history.n_steps < 16 * 12 * 0.8


def test_trainings_that_cannot_be_resumed_are_never_paused_and_weak_ones_stop(tmp_path: Path):
    study, training = new_study(tmp_path), Training(tracks=False)
    told = run(study, training, n_trials=20)
    assert any(
        text.startswith("sampler='auto': Nothing to resume: stopping weak trials at 3 and 9 of 12") for text in told
    )
    assert training.n_repeated == 0
    assert all(record.attempt == 1 for record in study.history)
    assert states(study)[State.PAUSED] == 0
    assert states(study)[State.COMPLETE] >= 3
    assert states(study)[State.STOPPED] >= 3
    assert len(study.history) == 20


def test_where_some_trainings_can_be_resumed_only_those_pause(tmp_path: Path):
    study, training = new_study(tmp_path), Training(is_mixed=True)
    run(study, training, n_trials=20)
    assert training.n_repeated == 0
    paused = [record for record in study.history if record.state is State.PAUSED]
    assert paused
    assert all(record.note.get("tracks") for record in paused)


def test_objectives_that_only_return_a_value_are_trained_as_before(tmp_path: Path):
    study = new_study(tmp_path)
    heard: list[Event] = []
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=12, on_event=heard.append, **QUIET)  # type: ignore[arg-type]
    assert states(study) == {State.COMPLETE: 12}
    told = [event.text for event in heard if isinstance(event, Notice)]
    assert [text for text in told if "sampler=" in text] == [
        "sampler='auto': 2 parameters, 12 trials: Gaussian process."
    ]


def test_few_trials_are_each_trained_to_the_end_and_the_user_is_told(tmp_path: Path):
    study, training = new_study(tmp_path), Training()
    told = run(study, training, n_trials=6)
    assert states(study) == {State.COMPLETE: 6}
    assert any("6 trials: each is trained to its end. From ten on, weak ones pause." in text for text in told)


def test_few_trials_with_a_budget_of_steps_do_pause(tmp_path: Path):
    study, training = new_study(tmp_path), Training()
    run(study, training, n_trials=9, total_steps=60)
    assert states(study)[State.PAUSED] > 0
    assert states(study)[State.COMPLETE] >= 1
    assert study.history.n_steps <= 60 + 12


def test_short_trainings_run_to_their_end(tmp_path: Path):
    study, training = new_study(tmp_path), Training(n=3)
    run(study, training, n_trials=12)
    assert states(study) == {State.COMPLETE: 12}


def test_short_curves_are_promoted_by_halving(tmp_path: Path):
    study, training = new_study(tmp_path), Training(n=9)
    told = run(study, training, n_trials=12)
    assert any("rung promotions (3, 9 epochs), proposals by Gaussian process." in text for text in told)
    assert training.n_repeated == 0
    assert states(study)[State.PAUSED] > 0


@pytest.mark.parametrize("scheduler", ["full", "asha"])
def test_a_named_scheduler_decides_and_the_sampler_is_chosen(tmp_path: Path, scheduler: str):
    study, training = new_study(tmp_path), Training()
    told = run(study, training, n_trials=10, scheduler=scheduler)
    assert any("sampler='auto': 2 parameters, 10 trials: Gaussian process." in text for text in told)
    assert (states(study)[State.PAUSED] > 0) is (scheduler == "asha")


def test_a_named_sampler_trains_each_trial_to_its_end(tmp_path: Path):
    study, training = new_study(tmp_path), Training()
    run(study, training, n_trials=12, sampler="random")
    assert states(study) == {State.COMPLETE: 12}


def test_folds_and_deterministic_searches_are_never_paused(tmp_path: Path):
    cases: list[tuple[str, Summary, dict[str, object]]] = [
        ("folds", "mean", {}),
        ("batches", "best", {"deterministic": 4}),
    ]
    for name, summary, more in cases:
        study = honed.create_study(name, storage=f"sqlite:///{tmp_path}/s.db", space=SPACE, seed=1, summary=summary)
        run(study, Training(), n_trials=12, **more)
        assert states(study) == {State.COMPLETE: 12}


def test_a_study_that_goes_on_makes_the_same_choice(tmp_path: Path):
    study, training = new_study(tmp_path), Training()
    run(study, training, n_trials=10)
    study.close()
    again = new_study(tmp_path)
    first = choose(SPACE, again.history, 20, 1)
    assert choose(SPACE, again.history, 20, 1) == first
    assert isinstance(first.sampler, FreezeThaw)
    assert first.rule == 7
    told = run(again, training, n_trials=20)
    assert told.count(f"sampler='auto': {first.reason}") == 1
    assert training.n_repeated == 0


def test_trials_begun_by_a_script_without_checkpoints_all_end_beside_those_that_are_paused(tmp_path: Path):
    study = new_study(tmp_path)
    run(study, Training(), n_trials=12)
    told = run(study, Training(tracks=False), n_trials=40)
    assert all(record.state in (State.COMPLETE, State.STOPPED) for record in study.history if record.number >= 12)
    assert any("sampler='auto': Checkpoints are lost before they are needed: " in text for text in told)


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.auto.test_studies import Training, new_study, run

class Killed(Training):
    def __call__(self, trial):
        if trial.number == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        super().__call__(trial)

run(new_study(Path(sys.argv[1])), Killed(), n_trials=16)
"""


def test_a_killed_run_goes_on_with_the_same_choice(tmp_path: Path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    study, training = new_study(tmp_path), Training()
    before = choose(SPACE, study.history, 16, 1)
    assert before.rule == 7
    told = run(study, training, n_trials=16)
    assert f"sampler='auto': {before.reason}" in told
    assert states(study)[State.COMPLETE] >= 1
    assert states(study)[State.RUNNING] == 0
    assert training.n_repeated == 0


def test_a_study_says_later_who_decides_and_why(tmp_path: Path):
    study, training = new_study(tmp_path), Training()
    search = Search(limits=Limits(n_trials=16))
    change = search.told().change(study.record)
    assert change is not None
    study.storage.write(study.record.id, None, 0, Update(attributes={TOLD: change}))
    run(study, training, n_trials=16)
    study.close()
    history = new_study(tmp_path).history
    told = Told.of(history.study)
    assert told == search.told()
    assert search.told().change(history.study) is None
    text = explained(history, told)
    assert text.startswith("sampler='auto': Reports per epoch and checkpoints work: ")
    assert "(rule 7)" in text
    assert "Looked at: trainings of 12 epochs; 16 could be paused" in text
    assert "finished curve" in text


def test_what_cannot_be_resumed_is_compared_by_the_stopping_rule(tmp_path: Path):
    study, training = new_study(tmp_path), Training(tracks=False)
    run(study, training, n_trials=20)
    stopped = [record for record in study.history if record.state is State.STOPPED]
    assert {record.last_step for record in stopped} <= set(ASHAStopping().rungs(12))
