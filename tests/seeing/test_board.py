import pytest

from honed.display.board import Board
from honed.events import RunStarted, TrialStarted
from honed.progress import Position
from honed.records import State, StudyRecord, TrialRecord
from tests.seeing.made import SetClock, complete, ended, failed, in_state


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def board(clock):
    board = Board(clock)
    board.hear(RunStarted(study=StudyRecord(name="mnist"), n_counted=30, n_trials=100))
    return board


def start(board, number, position=None, **params):
    trial = TrialRecord(number=number, state=State.RUNNING, params=params)
    board.hear(TrialStarted(trial=trial, position=position or Position()))


def test_study_line_with_everything_known(board, clock):
    for number, seconds in enumerate((10.0, 50.0, 20.0)):
        start(board, number)
        clock.sleep(seconds)
        board.hear(ended(complete(number, 0.1), best=complete(12, 0.95123), n=31 + number, of=100))
    assert board.lines(120) == [
        "mnist: 33 of 100 trials, best 0.95123 (trial 12), 0:01:20 elapsed, about 0:22:20 left"  # 67 trials of 20 s
    ]


def test_study_line_with_little_known(clock):
    board = Board(clock)
    board.hear(RunStarted(study=StudyRecord(name="mnist"), n_counted=1, n_trials=None))
    assert board.lines(120) == ["mnist: 1 trial, 0:00:00 elapsed"]


def test_time_left_counts_the_rest_of_the_running_trial_and_shares_the_others(board, clock):
    start(board, 0)
    clock.sleep(10.0)
    board.hear(ended(complete(0, 0.1), n=98, of=100))
    for number in (1, 2):
        start(board, number)
    clock.sleep(4.0)
    assert board.lines(120)[0].endswith("about 0:00:16 left")  # (2 * 10 + 6 + 6) / 2
    clock.sleep(1000.0)
    assert board.lines(120)[0].endswith("about 0:00:10 left")


def test_time_left_ignores_failures_and_adds_up_pieces_of_paused_trials(board, clock):
    start(board, 0)
    clock.sleep(1.0)
    board.hear(ended(failed(0), n=31, of=100))
    assert "left" not in board.lines(120)[0]
    for state, value in ((State.PAUSED, ()), (State.COMPLETE, (0.5,))):
        start(board, 1)
        clock.sleep(5.0)
        board.hear(ended(in_state(1, state, *value), n=90, of=100))
    assert board.lines(120)[0].endswith("about 0:01:40 left")


def test_no_time_is_left_when_all_is_done(board, clock):
    start(board, 0)
    clock.sleep(1.0)
    board.hear(ended(complete(0, 0.1), n=100, of=100))
    assert board.lines(120) == ["mnist: 100 of 100 trials, 0:00:01 elapsed"]


def test_running_trial_has_the_bars_of_the_deck(board, clock):
    position = Position(n_steps=10, step=134 * 128 / 3000, iteration=134, started=clock.monotonic())
    start(board, 37, position, lr=0.021951376, optimizer="Adam")
    clock.sleep(134 * 3.181785 / 100.375)
    assert board.lines(120)[1:] == [
        "trial 37 (0:00:04): lr=0.02195, optimizer=Adam",
        "     total [############################......................] 57.17%",
        "this epoch [###################################...............] 71.73%",
        "       134 iter, 5 epoch / 10 epochs",
        "    31.547 iters/sec. Estimated time to finish: 0:00:03.181785.",
    ]


def test_trial_that_tells_nothing_of_its_progress_has_a_line(board, clock):
    start(board, 37)
    clock.sleep(3.0)
    assert board.lines(120)[1:] == ["trial 37 (0:00:03)"]


def test_several_trials_have_a_line_each(board, clock):
    start(board, 7, Position(n_steps=10, step=5.5, iteration=55, started=clock.monotonic()))
    start(board, 12)
    clock.sleep(10.0)
    assert board.lines(120)[1:] == [
        "trial    7 (0:00:10)  [###########.........] 55.00%, 5 of 10 epochs, 5.5 iters/sec, 0:00:08 left",
        "trial   12 (0:00:10)",
    ]


def test_nothing_is_wider_than_the_terminal(board, clock):
    start(
        board,
        37,
        Position(n_steps=10, step=5.5, iteration=55, started=1.0),
        **{f"parameter_{i}": i for i in range(20)},
    )
    for columns in (200, 80, 50, 20, 1):
        assert max(map(len, board.lines(columns))) <= columns
    assert board.lines(50)[1] == "trial 37 (0:00:00): parameter_0=0, parameter_1=1,…"
    assert board.lines(50)[2] == "     total [###############..............] 55.00%"


def test_trials_of_others_and_second_runs_do_no_harm(board, clock):
    board.hear(ended(complete(5, 0.1), n=31, of=100))
    start(board, 6)
    board.hear(RunStarted(study=StudyRecord(name="again"), n_counted=0, n_trials=3))
    assert board.lines(120) == ["again: 0 of 3 trials, 0:00:00 elapsed"]
