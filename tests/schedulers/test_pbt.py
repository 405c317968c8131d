"""Population-based training: losers make room for changed copies of winners, and the line of each is kept."""

from __future__ import annotations

import random

import pytest

from honed.domains import Categorical, Float, Int, Ordinal
from honed.records import Decision, Resume, Start, State
from honed.schedulers.pbt import PBT, explore
from honed.testing.scheduler_driver import Chaos, Workers
from honed.testing.scheduler_suite import falling


def played(n_workers: int = 4, n_trials: int = 60, **more) -> Workers:
    workers = Workers(PBT(params=["lr"], population=10, interval=3), falling, 27, n_workers, n_trials, **more)
    workers.run()
    return workers


def test_a_copy_begins_at_the_winners_checkpoint_with_its_params():
    history = played().history
    copies = [record for record in history if record.parent is not None]
    assert copies
    for record in copies:
        parent, loser = history[record.parent or 0], history[record.note["replaces"]]
        assert loser.state is State.STOPPED
        assert record.params["momentum"] == parent.params["momentum"]
        assert record.reports[0].step % 3 == 1
        assert record.note["member"] == loser.note["member"]
    assert any(record.params["lr"] != history[record.parent or 0].params["lr"] for record in copies)


def test_each_loser_is_replaced_once_and_every_line_goes_back_to_a_fresh_start():
    history = played(chaos=Chaos(fail=0.01)).history
    replaced = [record.note["replaces"] for record in history if "replaces" in record.note]
    assert len(replaced) == len(set(replaced))
    for record in history:
        generation = record.note["generation"]
        while record.parent is not None:
            record = history[record.parent]
            generation -= 1
            assert record.note["generation"] == generation
        assert generation == 0


def test_the_population_keeps_its_size():
    workers = played(n_workers=16, n_trials=40)
    assert sum(1 for move in workers.moves[:16] if isinstance(move, Start)) == 10
    grants = [move.until for move in workers.moves if isinstance(move, Resume)]
    assert all(until is None or until % 3 == 0 for until in grants)
    stops = [(number, step) for number, step, said in workers.decisions if said is Decision.STOP]
    assert all(step % 3 == 0 for _, step in stops)


def test_a_parameter_that_nobody_has_is_refused_by_name():
    workers = Workers(PBT(params=["learning_rate", "lrr"], population=5), falling, 27, 1, 30)
    with pytest.raises(ValueError, match="params names 'learning_rate', which no trial has asked for"):
        workers.run()


@pytest.mark.parametrize(
    ("domain", "value", "found"),
    [
        (Float(0, 10), 5.0, {5 * 1.2, 5 / 1.2}),
        (Float(0, 5.5), 5.0, {5.5, 5 / 1.2}),
        (Int(1, 100), 50, {60, 42}),
        (Int(1, 5), 2, {1, 3}),
        (Ordinal([1, 2, 4, 8]), 4, {2, 8}),
        (Categorical(["a", "b"]), "a", {"a"}),
    ],
)
def test_a_value_moves_one_step_up_or_down(domain, value, found):
    moved = {explore(domain, value, random.Random(i), 0.0, 1.2) for i in range(40)}
    assert sorted(moved, key=str) == pytest.approx(sorted(found, key=str))


def test_a_logarithmic_scale_moves_by_a_part_of_the_range():
    moved = {explore(Float(1e-4, 1, log=True), 0.01, random.Random(i), 0.0, 1.2) for i in range(40)}
    assert sorted(moved, key=str) == pytest.approx([10 ** (-2 - 4 * 0.08), 10 ** (-2 + 4 * 0.08)])


def test_resampling_draws_anew_and_stays_inside():
    domain = Float(0, 1)
    drawn = {explore(domain, 0.5, random.Random(i), 1.0, 1.2) for i in range(50)}
    assert len(drawn) == 50
    assert all(domain.contains(value) for value in drawn)
    assert explore(domain, 7.0, random.Random(0), 0.0, 1.2) in drawn  # outside today's domain: drawn anew
