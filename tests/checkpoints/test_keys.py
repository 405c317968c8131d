import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.checkpoints.base import Position, checkpoint_key, parse_key

counts = st.integers(0, 10**9)


def test_a_key_tells_study_trial_step_and_attempt():
    assert checkpoint_key(3, 42, 12, 1) == "study-3/t00042/s000012-a1"
    assert parse_key("study-3/t00042/s000012-a1") == Position(study=3, number=42, attempt=1, step=12)


@given(counts, counts, counts, counts)
def test_keys_come_back(study, number, step, attempt):
    position = parse_key(checkpoint_key(study, number, step, attempt))
    assert (position.study, position.number, position.step, position.attempt) == (study, number, step, attempt)
    assert position.key == checkpoint_key(study, number, step, attempt)


def test_positions_of_a_trial_are_ordered_as_they_were_written():
    written = [
        (1, 5),
        (1, 12),
        (2, 3),
        (2, 1000000),
    ]  # (attempt, step): the second attempt began before the first one's end
    positions = [parse_key(checkpoint_key(1, 7, step, attempt)) for attempt, step in written]
    assert positions == sorted(positions)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "../study-3/t00042/s000012-a1",
        "/study-3/t00042/s000012-a1",
        "study-3/../../etc/passwd",
        "study-3/t00042/s000012-a1/",
        "study-3/t00042/s000012-a1\n",
        "study-3/t42/s000012-a1",
        "study-03/t00042/s000012-a1",
        "study-3/t000042/s000012-a1",
        "study-3\\t00042\\s000012-a1",
        "study-٣/t00042/s000012-a1",
        "study-3/t00042",
        ".writing/x",
    ],
)
def test_anything_else_is_no_key(key):
    with pytest.raises(ValueError, match="is no key of a checkpoint; keys look like 'study-3/t00042/s000012-a1'"):
        parse_key(key)


def test_parts_are_not_negative():
    with pytest.raises(ValueError, match="no part may be negative"):
        checkpoint_key(1, 2, -1, 1)
