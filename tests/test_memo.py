"""What is remembered is a function of its key, or of the very object that it was read from."""

from __future__ import annotations

from honed.memo import Facts, Memo


def test_facts_are_read_once_for_the_same_object_and_setting() -> None:
    asked: list[object] = []

    def read(thing: list[int], setting: int) -> int:
        asked.append(thing)
        return sum(thing) + setting

    facts, one = Facts(2, read), [1, 2]
    assert [facts.of(one, 10), facts.of(one, 10), len(asked)] == [13, 13, 1]
    assert facts.of(one, 20) == 23  # another setting
    assert facts.of([1, 2], 20) == 23
    assert len(asked) == 3  # an equal object is another one
    assert facts.all_of([one, one], 20) == [23, 23]
    assert len(asked) == 3
    assert facts.all_of(([n] for n in range(3)), 1) == [1, 2, 3]


def test_an_object_that_takes_the_place_of_another_in_memory_is_read_itself() -> None:
    facts: Facts[list[int], int] = Facts(3, lambda thing, _: thing[0])
    for i in range(1000):  # most of these lists are made where one has just been freed
        assert facts.of([i]) == i


def test_the_oldest_are_forgotten() -> None:
    asked: list[int] = []
    facts: Facts[tuple[int, ...], None] = Facts(2, lambda thing, _: asked.append(thing[0]))
    things = [(i,) for i in range(3)]
    for thing in (*things, things[0]):
        facts.of(thing)
    assert asked == [0, 1, 2, 0]
    memo = Memo(1)
    assert [memo.get("a", lambda: 1), memo.get("a", lambda: 2), memo.get("b", lambda: 3)] == [1, 1, 3]
