import itertools
from typing import Any

import pytest

from honed.progress import Position, bar_width, progress_line, progress_lines, track
from tests.seeing.made import SetClock

CLOCK = SetClock()

# The deck: 3,000 samples in batches of 128, 10 epochs; iteration, total, this epoch.
SCREENS = [
    (134, "57.17%", "71.73%", 5),
    (199, "84.91%", "49.07%", 8),
    (117, "49.92%", "99.20%", 4),
    (126, "53.76%", "37.60%", 5),
    (121, "51.63%", "16.27%", 5),
    (132, "56.32%", "63.20%", 5),
]
RATE = 100.375 / 3.181785  # 31.547 in five digits, and what the deck's remaining time says in seven


class Loader:
    """As much of a PyTorch loader as there is to measure."""

    def __init__(self, n, batch_size, drop_last=False, sampler=None):
        self.dataset = range(n)
        self.sampler = range(n) if sampler is None else sampler
        self.batch_size = batch_size
        self.n = len(self.sampler) // batch_size if drop_last else -(-len(self.sampler) // batch_size)

    def __len__(self):
        return self.n

    def __iter__(self):
        return iter(range(self.n))


class Batch:
    def __init__(self, *shape):
        self.shape = shape


def steps_seen(iterable, position, **settings):
    """The position after each batch, read in the next one's body, and at the end."""
    seen = [position.step for _ in track(iterable, position, clock=CLOCK, **settings)]
    return [*seen[1:], position.step]


# ------------------------------------------------------------------------------------------------------ as text


def test_first_screen_of_the_deck_to_the_character():
    position = Position(n_steps=10, step=134 * 128 / 3000, iteration=134)
    assert "\n".join(progress_lines(position, 134 / RATE)) == (
        "     total [############################......................] 57.17%\n"
        "this epoch [###################################...............] 71.73%\n"
        "       134 iter, 5 epoch / 10 epochs\n"
        "    31.547 iters/sec. Estimated time to finish: 0:00:03.181785."
    )


def test_rate_and_time_left_agree():
    position = Position(n_steps=10, step=134 * 128 / 3000, iteration=134)
    assert progress_lines(position, 134 / 31.547)[3] == (
        "    31.547 iters/sec. Estimated time to finish: 0:00:03.181761."  # 100.375 iterations / 31.547
    )


def test_all_screens_of_the_deck_from_a_stream_of_batches():
    position = Position(n_steps=10)
    shown = {}
    for _ in track(itertools.repeat(Batch(128, 28, 28)), position, n_samples=3000, clock=CLOCK):
        if position.step >= 10:
            break
        shown[position.iteration] = progress_lines(position, position.iteration / RATE)
    for iteration, total, epoch, n_epochs in SCREENS:
        lines = shown[iteration]
        assert [line[-7:].strip() for line in lines[:2]] == [total, epoch]
        assert lines[2] == f"       {iteration} iter, {n_epochs} epoch / 10 epochs"
        for line in lines[:2]:
            assert line.count("#") + line.count(".") - 1 == 50
            assert line.count("#") == int(float(line[-7:-1]) / 2)


def test_before_the_first_iteration():
    assert progress_lines(Position(n_steps=10), 0.0) == [
        f"     total [{'.' * 50}]  0.00%",
        "         0 epoch / 10 epochs",
        "         0 epochs/sec. Estimated time to finish: unknown.",
    ]


def test_when_finished():
    position = Position(n_steps=10, step=10.0, iteration=240)
    assert progress_lines(position, 8.0) == [
        f"     total [{'#' * 50}] 100.00%",
        f"this epoch [{'#' * 50}] 100.00%",
        "       240 iter, 10 epoch / 10 epochs",
        "        30 iters/sec. Estimated time to finish: 0:00:00.",
    ]


def test_more_steps_than_announced_stay_at_100_percent():
    assert progress_lines(Position(n_steps=2, step=3.5, iteration=7), 7.0)[0].endswith("100.00%")


def test_a_resumed_training_is_judged_by_what_it_did_itself():
    position = Position(n_steps=10, step=6.0, first_step=4.0, iteration=20)
    assert progress_lines(position, 40.0) == [
        f"     total [{'#' * 30}{'.' * 20}] 60.00%",
        f"this epoch [{'.' * 50}]  0.00%",
        "        20 iter, 6 epoch / 10 epochs",
        "       0.5 iters/sec. Estimated time to finish: 0:01:20.",
    ]


def test_steps_without_batches_are_counted_in_epochs():
    position = Position(n_steps=10, step=5.0)
    assert progress_lines(position, 4.0) == [
        f"     total [{'#' * 25}{'.' * 25}] 50.00%",
        "         5 epoch / 10 epochs",
        "      1.25 epochs/sec. Estimated time to finish: 0:00:04.",
    ]


def test_unknown_number_of_epochs_gives_counts_and_rate():
    position = Position(step=5.5, iteration=134)
    assert progress_lines(position, 10.0) == [
        f"this epoch [{'#' * 25}{'.' * 25}] 50.00%",
        "       134 iter, 5 epoch",
        "      13.4 iters/sec.",
    ]


def test_unknown_length_gives_counts_and_no_percent():
    position = Position()
    for _ in track(itertools.count(), position, clock=CLOCK):
        if position.iteration == 134:
            break
    assert progress_lines(position, 10.0) == ["       134 iter", "      13.4 iters/sec."]
    position.n_steps, position.step = 10, 5.0
    assert [line[-7:] for line in progress_lines(position, 10.0)[:1]] == [" 50.00%"]
    assert "this epoch" not in "".join(progress_lines(position, 10.0))


def test_between_two_epochs_the_finished_one_stays_full():
    position = Position(n_steps=4, iteration=24)
    position.begin(0, now=1.0)
    position.step = 1.0
    assert progress_lines(position, 1.0)[1].endswith("100.00%")
    position.begin(1, now=2.0)
    assert progress_lines(position, 1.0)[1].endswith(" 0.00%")
    assert position.started == 1.0


@pytest.mark.parametrize(
    ("rate", "shown"),
    [(31.5467, "31.547"), (0.00012345678, "0.00012346"), (99_999.4, "99999"), (123_456.7, "123457")],
)
def test_rate_has_five_digits(rate, shown):
    line = progress_lines(Position(iteration=1_000_000), 1_000_000 / rate)[-1]
    assert line == f"{shown:>10} iters/sec."


def test_an_absurd_remaining_time_is_unknown():
    position = Position(n_steps=10**9, step=1e-9, iteration=1)
    assert progress_lines(position, 1e9)[-1].endswith("Estimated time to finish: unknown.")


def test_bars_shrink_with_the_terminal():
    assert [bar_width(columns) for columns in (200, 71, 70, 40, 25, 10)] == [50, 50, 49, 19, 0, 0]
    position = Position(n_steps=10, step=134 * 128 / 3000, iteration=134)
    for columns in (71, 60, 33):
        lines = progress_lines(position, 1.0, bar_width(columns))[:2]
        assert max(map(len, lines)) <= columns
    assert progress_lines(position, 1.0, 10)[0] == "     total [#####.....] 57.17%"
    assert progress_lines(position, 1.0, 0)[0] == "     total 57.17%"


def test_one_line_for_a_screen_with_several_trainings():
    position = Position(n_steps=10, step=134 * 128 / 3000, iteration=134)
    assert progress_line(position, 134 / RATE) == (
        "[###########.........] 57.17%, 5 of 10 epochs, 31.547 iters/sec, 0:00:03 left"
    )
    assert progress_line(Position(iteration=7, sized=False), 2.0) == "7 iter, 3.5 iters/sec"


# ----------------------------------------------------------------------------------------------------- tracking


def test_loop_is_counted_by_its_length():
    assert steps_seen([1, 2, 3, 4], Position(step=2.0)) == [2.25, 2.5, 2.75, 3.0]


def test_each_loop_is_one_epoch_and_may_be_looped_over_again():
    position = Position(n_steps=3)
    loader = track("abcd", position, clock=CLOCK)
    for epoch in range(3):
        assert position.step == epoch
        assert list(loader) == ["a", "b", "c", "d"]
    assert (position.step, position.iteration, len(loader)) == (3.0, 12, 4)


def test_loader_is_counted_in_samples():
    assert steps_seen(Loader(10, 4), Position()) == [0.4, 0.8, 1.0]
    assert steps_seen(Loader(10, 4, drop_last=True), Position()) == [0.5, 1.0]
    assert steps_seen(Loader(10, 4, sampler=range(5)), Position()) == [
        0.8,
        1.0,
    ]  # one of two distributed workers


def test_loader_with_its_own_batches_is_counted_in_batches():
    loader = Loader(10, 4)
    loader.n = 7
    assert steps_seen(loader, Position())[:2] == [1 / 7, 2 / 7]


@pytest.mark.parametrize(
    "batch",
    [
        Batch(4, 3, 32, 32),
        (Batch(4, 3), Batch(4)),
        [Batch(4, 3), Batch(4)],
        {"name": "x", "input_ids": Batch(4, 512), "labels": Batch(4)},
        ["a", "b", "c", "d"],
        ([1, 2, 3, 4], [0, 0, 1, 1]),
        [{"image": Batch(3, 8, 8)}] * 4,
    ],
)
def test_size_of_a_batch_is_its_first_dimension(batch):
    assert steps_seen([batch] * 5, Position(), n_samples=16)[0] == 0.25


def test_batches_without_a_size_are_only_counted():
    position = Position(n_steps=2)
    for _ in track(iter([Batch(), Batch(), Batch()]), position, n_samples=12, clock=CLOCK):
        pass
    assert (position.iteration, position.sized, position.step) == (3, False, 1.0)


def test_validation_loop_of_the_same_epoch_does_not_count():
    position = Position(n_steps=2)
    for epoch in range(2):
        position.begin(epoch, now=5.0)
        assert list(track(range(4), position, clock=CLOCK)) == [0, 1, 2, 3]
        assert list(track(range(2), position, clock=CLOCK)) == [0, 1]
        assert (position.step, position.iteration) == (epoch + 1, 4 * (epoch + 1))


def test_loop_that_is_left_early_ends_its_epoch_at_the_next():
    position = Position()
    for batch in track(range(4), position, clock=CLOCK):
        if batch == 2:
            break
    assert position.step == 0.5
    list(track(range(4), position, clock=CLOCK))
    assert position.step == 2.0


def test_time_runs_from_the_first_batch():
    clock, position = SetClock(), Position()
    loop = iter(track(range(3), position, clock=clock))
    clock.seconds = 5.0
    next(loop)
    clock.seconds = 9.0
    list(loop)
    assert position.started == 1005.0
    list(track(range(3), position, clock=SetClock()))
    assert position.started == 1005.0


def test_errors_of_a_loader_pass_through():
    def broken():
        yield 1
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        list(track(broken(), Position(), clock=CLOCK))
    with pytest.raises(TypeError):
        len(track(broken(), Position(), clock=CLOCK))


def test_real_data_loaders():
    pytest.importorskip("torch")
    from torch.utils.data import DataLoader, DistributedSampler, IterableDataset

    class Stream(IterableDataset):
        def __iter__(self):
            return iter([0.0] * 10)

    numbers: Any = list(range(10))
    assert steps_seen(DataLoader(numbers, batch_size=4), Position()) == [0.4, 0.8, 1.0]
    half: Any = DistributedSampler(numbers, num_replicas=2, rank=0)
    assert steps_seen(DataLoader(numbers, batch_size=4, sampler=half), Position()) == [0.8, 1.0]
    position = Position()
    steps_seen(DataLoader(Stream(), batch_size=4), position)
    assert (position.iteration, position.sized, position.step) == (3, False, 1.0)
    assert steps_seen(DataLoader(Stream(), batch_size=4), Position(), n_samples=10) == [0.4, 0.8, 1.0]
