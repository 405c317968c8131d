"""The contract of ``honed.schedulers.base.Scheduler`` as tests that any scheduler can run.

Inherit the suite in a test module and give it your schedulers::

    class TestMine(SchedulerSuite):
        @pytest.fixture(params=[Case(MyScheduler())])
        def case(self, request):
            return request.param

Curves are given and workers are simulated (``honed.testing.scheduler_driver``); a full training has 27 steps.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields

import pytest

from honed.records import Resume, Start, State
from honed.schedulers.base import Scheduler
from honed.testing.scheduler_driver import Chaos, Curve, Workers

LENGTH = 27
LOSER, BLOOMER = 7, 8


@dataclass(frozen=True, slots=True)
class Case:
    """A scheduler and what it promises.

    Attributes:
        is_rule: whether it ends bad trainings early.
        n_trials: of the studies that are run.
        n_steps: the steps of such a study by theory, where any order of workers gives the same.
        most_steps: an upper bound of them.
        compares_at_equal_steps: whether a value is only held against others of the same step; a model of curves compares all.
    """

    scheduler: Scheduler
    is_rule: bool = True
    n_trials: int = 30
    n_steps: int | None = None
    most_steps: int | None = None
    compares_at_equal_steps: bool = True

    def __str__(self) -> str:
        return type(self.scheduler).__name__


def falling(number: int, step: int) -> float:
    """Curves that fall all the time and cross, no two values alike."""
    level, speed = (number * 0.618034) % 1, 0.05 + (number * 0.414214) % 1
    return level + 2 * math.exp(-speed * step / 3)


def with_loser(number: int, step: int) -> float:
    """One trial is hopeless, never improves, and breaks down in the end."""
    if number != LOSER:
        return falling(number, step)
    return 100.0 if step < 12 else math.nan


def with_bloomer(number: int, step: int) -> float:
    """One trial is the worst at first and the best from a ninth of the training on."""
    return falling(number, step) + 100 * (step < LENGTH / 9) - 100 * (step >= LENGTH / 9) * (number == BLOOMER)


def with_nan(number: int, step: int) -> float:
    """Every third trial breaks down."""
    return math.nan if number % 3 == 0 and step > number % 5 else falling(number, step)


class SchedulerSuite:
    """Inherit it and define the fixture ``case``."""

    def play(
        self, case: Case, curve: Curve = falling, n_workers: int = 1, seed: int = 0, **settings: object
    ) -> Workers:
        """Runs a study of the case to its end."""
        workers = Workers(
            case.scheduler,
            curve,
            LENGTH,
            n_workers,
            case.n_trials,
            seed,
            **settings,  # type: ignore[arg-type]
        )
        workers.run()
        return workers

    def test_is_a_frozen_value(self, case: Case) -> None:
        assert isinstance(case.scheduler, Scheduler)
        again = type(case.scheduler)(**{f.name: getattr(case.scheduler, f.name) for f in fields(case.scheduler)})  # type: ignore[arg-type]
        assert again == case.scheduler
        assert hash(again) == hash(case.scheduler)

    @pytest.mark.parametrize("n_workers", [1, 8])
    def test_answers_alike_in_any_process(self, case: Case, n_workers: int) -> None:
        chaos = Chaos(fail=0.01, interrupt=0.02, kill=0.01)
        self.play(case, n_workers=n_workers, chaos=chaos, is_checked=True)

    @pytest.mark.parametrize("n_workers", [1, 8])
    @pytest.mark.parametrize("fail", [0.0, 0.05])
    def test_every_study_ends(self, case: Case, n_workers: int, fail: float) -> None:
        workers = self.play(case, n_workers=n_workers, chaos=Chaos(fail=fail, interrupt=0.03, kill=0.03), seed=3)
        assert not workers.history.count(State.RUNNING, State.WAITING)
        assert workers.history.n_counted == case.n_trials

    @pytest.mark.parametrize("n_trials", [1, 2, 5, 11])
    def test_few_trials_end_with_a_full_training(self, case: Case, n_trials: int) -> None:
        workers = Workers(case.scheduler, falling, LENGTH, 4, n_trials)
        workers.run()
        assert workers.history.count(State.COMPLETE) >= 1
        assert workers.history.n_counted == n_trials

    @pytest.mark.parametrize("n_workers", [1, 8])
    def test_nobody_is_promoted_twice(self, case: Case, n_workers: int) -> None:
        workers = self.play(case, n_workers=n_workers, chaos=Chaos(kill=0.01))
        grants = Counter((move.number, move.until) for move in workers.moves if isinstance(move, Resume))
        assert all(n == 1 for n in grants.values()), grants.most_common(1)

    @pytest.mark.parametrize("n_workers", [1, 8])
    def test_continued_steps_have_no_gap_and_no_repeat(self, case: Case, n_workers: int) -> None:
        workers = self.play(case, n_workers=n_workers, chaos=Chaos(interrupt=0.05))
        for number, steps in workers.executed().items():
            first = steps[0] if steps else 1
            assert steps == list(range(first, first + len(steps))), f"trial {number}"
            record = workers.history[number]
            assert first == 1 or record.parent is not None

    def test_repeats_at_most_back_to_the_last_checkpoint(self, case: Case) -> None:
        workers = self.play(case, n_workers=4, chaos=Chaos(kill=0.03))
        for steps in workers.executed().values():
            for before, after in itertools.pairwise(steps):
                assert after <= before + 1
        for record in workers.history:
            reported = [report.step for report in record.reports]
            assert reported == list(range(reported[0], reported[0] + len(reported))) if reported else True

    @pytest.mark.parametrize("n_workers", [1, 3, 8])
    def test_steps_are_as_in_theory(self, case: Case, n_workers: int) -> None:
        workers = self.play(case, n_workers=n_workers)
        if case.n_steps is not None:
            assert len(workers.steps) == case.n_steps
        most = case.n_trials * LENGTH if case.most_steps is None else case.most_steps
        assert len(workers.steps) <= most

    def test_full_length_is_complete_never_stopped(self, case: Case) -> None:
        for record in self.play(case, n_workers=8).history:
            assert (record.last_step == LENGTH) is (record.state is State.COMPLETE)

    def test_a_planted_loser_is_not_trained_to_its_end(self, case: Case) -> None:
        workers = self.play(case, with_loser)
        state = workers.history[LOSER].state
        assert (state in (State.STOPPED, State.PAUSED)) is case.is_rule

    def test_a_late_bloomer_is_not_stopped(self, case: Case) -> None:
        assert self.play(case, with_bloomer, 8).history[BLOOMER].state is not State.STOPPED

    def test_nan_is_survived_and_worst(self, case: Case) -> None:
        workers = self.play(case, with_nan, 8)
        best = workers.history.best
        assert best is not None
        assert best.value is not None
        assert math.isfinite(best.value)
        self.play(case, lambda number, step: math.nan, 8)

    def test_compares_at_equal_steps_only(self, case: Case) -> None:
        """Where all curves are lowered alike, step by step, nothing changes; a model that sees all steps notices."""
        plain = self.play(case, n_workers=5)
        lowered = self.play(case, lambda number, step: falling(number, step) - 1024.0 * step, n_workers=5)
        is_same = plain.moves == lowered.moves and plain.decisions == lowered.decisions
        assert is_same is case.compares_at_equal_steps

    def test_maximising_mirrors_minimising(self, case: Case) -> None:
        down = self.play(case, with_nan, n_workers=5)
        up = self.play(case, lambda number, step: -with_nan(number, step), n_workers=5, directions=("maximize",))
        assert down.moves == up.moves
        assert down.decisions == up.decisions

    def test_several_objectives(self, case: Case) -> None:
        def curve(number: int, step: int) -> tuple[float, float]:
            return falling(number, step), falling(number + 100, step)

        workers = self.play(case, curve, 8, directions=("minimize", "maximize"))
        assert workers.history.n_counted == case.n_trials

    @pytest.mark.parametrize("n_workers", [1, 8])
    def test_queued_trials_come_first(self, case: Case, n_workers: int) -> None:
        workers = self.play(case, n_workers=n_workers, n_queued=12)
        started = [move.number for move in workers.moves[:12] if isinstance(move, Resume)]
        first_new = next((i for i, move in enumerate(workers.moves) if isinstance(move, Start)), len(workers.moves))
        queued = [move.number for move in workers.moves[:first_new] if isinstance(move, Resume)]
        assert started[0] == 0
        assert set(range(12)) <= set(queued)

    def test_trials_of_different_lengths(self, case: Case) -> None:
        length: Callable[[int], int] = lambda number: 2 + (number * 7) % 40  # noqa: E731
        workers = Workers(case.scheduler, falling, length, 4, case.n_trials)
        workers.run()
        assert workers.history.n_counted == case.n_trials
        for record in workers.history:  # a copy may begin beyond its own last step
            assert ((record.last_step or 0) >= length(record.number)) is (record.state is State.COMPLETE)

    def test_copies_tell_where_they_come_from(self, case: Case) -> None:
        workers = self.play(case, n_workers=4)
        for record in workers.history:
            if record.parent is None:
                continue
            parent = workers.history[record.parent]
            assert parent.number < record.number
            assert record.note["generation"] == parent.note["generation"] + 1
            loser = workers.history[record.note["replaces"]]
            assert loser.state in (State.STOPPED, State.FAILED)
