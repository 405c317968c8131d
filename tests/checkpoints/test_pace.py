import pytest

from honed.checkpoints.pace import Pace, Saved


def test_the_first_step_is_always_saved():
    assert Pace().is_due(1, None, 0.0)
    assert not Pace(every=3).is_due(1, None, 0.0)
    assert Pace(every=3).is_due(3, None, 0.0)


def test_twenty_times_the_duration_lies_between_two():
    last = Saved(step=1, at=100.0, seconds=2.0)
    assert not Pace().is_due(2, last, 139.9)
    assert Pace().is_due(2, last, 140.0)
    assert Pace(share=0.5).is_due(2, last, 104.0)


def test_the_same_step_is_not_saved_twice():
    assert not Pace().is_due(1, Saved(1, 0.0, 0.0), 1e9)
    assert not Pace(every=1).is_due(1, Saved(1, 0.0, 0.0), 1e9)


def test_a_resumed_training_saves_its_first_step():
    assert Pace().is_due(13, Saved(step=12, at=5.0, seconds=0.0), 5.0)


def test_every_so_many_steps():
    saved, last = [], None
    for step in range(1, 11):
        if Pace(every=3).is_due(step, last, 0.0):
            saved.append(step)
            last = Saved(step, 0.0, 1e9)
    assert saved == [3, 6, 9]


@pytest.mark.parametrize(("save_seconds", "step_seconds"), [(0.001, 0.01), (1.0, 0.3), (60.0, 10.0), (0.5, 100.0)])
def test_saving_takes_at_most_a_twentieth(save_seconds, step_seconds):
    now = saving = 0.0
    last, lost = None, 0.0
    for step in range(1, 5000):
        now += step_seconds
        if last is not None:
            lost = max(lost, now - last.at)
        if Pace().is_due(step, last, now):
            now += save_seconds
            saving += save_seconds
            last = Saved(step, now, save_seconds)
    assert saving <= 0.05 * now + save_seconds  # the first one is paid in advance
    assert lost <= 20 * save_seconds + step_seconds + 1e-6  # what a crash costs


@pytest.mark.parametrize(
    ("settings", "words"), [({"every": 0}, "every=0 must be 1 or more"), ({"share": 0}, "share=0 must be")]
)
def test_settings_are_checked(settings, words):
    with pytest.raises(ValueError, match=words):
        Pace(**settings)
