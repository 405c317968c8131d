import io
import logging
import os
import sys
import threading
import time

import pytest

from honed.display import make_display
from honed.events import Notice, RunEnded, RunStarted, TrialStarted
from honed.progress import Position
from honed.records import Cause, Report, State, StudyRecord, TrialRecord
from tests.seeing.made import SetClock, complete, ended, failed, in_state

STUDY = StudyRecord(name="mnist", directions=("maximize",), metrics=("accuracy",))
STARTED = RunStarted(study=STUDY, n_counted=0, n_trials=None)


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    """Times of lines are local ones; and nobody's settings come in."""
    monkeypatch.setenv("TZ", "UTC")
    for name in ("HONED_PROGRESS", "NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def shown(*events, mode="plain"):
    stream = io.StringIO()
    with make_display(mode, stream, SetClock()) as display:
        for event in events:
            display(event)
    return stream.getvalue().splitlines()


# -------------------------------------------------------------------------------------------------- golden lines


def test_pruned_trial_as_in_the_deck():
    assert shown(ended(in_state(99, State.STOPPED, 0.5))) == ["[I 2020-09-11 17:26:10,790] Trial 99 pruned."]


def test_existing_study_as_in_the_deck():
    text = "Using an existing study with name 'example-study' instead of creating a new one."
    assert shown(Notice(level="info", text=text)) == [f"[I 2020-09-11 17:26:10,790] {text}"]


def test_finished_trial():
    trial = complete(3, 0.9539, lr=0.02, optimizer="Adam")
    (line,) = shown(ended(trial, best=trial))
    assert line == (
        "[I 2020-09-11 17:26:10,790] Trial 3 finished with value: 0.9539 and parameters: "
        "{'lr': 0.02, 'optimizer': 'Adam'}. Best is trial 3 with value: 0.9539."
    )


def test_finished_trial_of_several_objectives():
    assert shown(ended(complete(3, 0.5, 2.0, lr=0.02), best=complete(1, 0.4, 1.0))) == [
        "[I 2020-09-11 17:26:10,790] Trial 3 finished with values: [0.5, 2.0] and parameters: {'lr': 0.02}."
    ]


TRACEBACK = """\
Traceback (most recent call last):
  File "/home/ada/train.py", line 12, in objective
    loss = model(batch)
torch.OutOfMemoryError: CUDA out of memory."""


@pytest.mark.parametrize(
    ("trial", "line"),
    [
        (
            failed(4, Cause.OOM, TRACEBACK, lr=0.3),
            "[W] Trial 4 failed (oom): torch.OutOfMemoryError: CUDA out of memory. Parameters: {'lr': 0.3}.",
        ),
        (failed(4, Cause.LOST), "[W] Trial 4 failed (lost). Parameters: {}."),
        (
            failed(4, Cause.INFEASIBLE, "not finite: loss=nan"),
            "[I] Trial 4 failed (infeasible): not finite: loss=nan. Parameters: {}.",
        ),
        (in_state(4, State.PAUSED), "[I] Trial 4 paused."),
        (in_state(4, State.WAITING), "[I] Trial 4 given back; any worker may go on with it."),
    ],
)
def test_other_ends_of_a_trial(trial, line):
    assert [text.replace(" 2020-09-11 17:26:10,790", "") for text in shown(ended(trial))] == [line]


def test_paused_trial_tells_how_far_it_came():
    report = Report(7, 9, {"accuracy": 0.93, "train_loss": 0.1})
    paused = TrialRecord(number=7, state=State.PAUSED, reports=(report,))
    lines = shown(STARTED, ended(paused))
    assert lines == ["[I 2020-09-11 17:26:10,790] Trial 7 paused at step 9 with value: 0.93."]


def test_end_of_the_run_is_told_when_it_is_not_the_expected_one():
    expected = ended(in_state(0, State.STOPPED), n=100, of=100)
    assert len(shown(expected, RunEnded(reason="all 100 trials are done"))) == 1
    early = ended(in_state(0, State.STOPPED), n=60, of=100)
    assert shown(early, RunEnded(reason="the time is up (60 s)"))[1:] == [
        "[I 2020-09-11 17:26:10,790] The run ended: the time is up (60 s)."
    ]


def test_quiet_writes_warnings_only():
    lines = shown(
        STARTED,
        Notice(level="info", text="hello"),
        ended(complete(0, 1.0)),
        *(ended(in_state(number, State.STOPPED)) for number in range(1, 100)),
        ended(failed(100, message="boom")),
        Notice(level="warning", text="the disk is nearly full"),
        RunEnded(reason="interrupted"),
        mode="quiet",
    )
    assert [line[28:] for line in lines] == [
        "Trial 100 failed (error): boom. Parameters: {}.",
        "the disk is nearly full",
    ]


# ------------------------------------------------------------------------------------------------------ many lines


class Flood:
    """A plain display, trials sent to it, and what it wrote."""

    def __init__(self):
        self.clock, self.stream, self.n = SetClock(), io.StringIO(), 0
        self.display = make_display("plain", self.stream, self.clock)
        self.best = complete(17, 0.0123)

    def send(self, n, seconds=0.0):
        for _ in range(n):
            self.clock.seconds += seconds / n
            self.display(ended(complete(self.n, 0.5), best=self.best))
            self.n += 1

    def new_lines(self):
        lines = [line.split("] ", 1)[1] for line in self.stream.getvalue().splitlines()]
        self.stream.truncate(0)
        self.stream.seek(0)
        return lines


def test_twenty_lines_a_second_are_written():
    flood = Flood()
    flood.send(20, seconds=0.9)
    assert len(flood.new_lines()) == 20


def test_more_are_summed_up_once_a_second():
    flood = Flood()
    flood.send(970)
    assert len(flood.new_lines()) == 20
    flood.clock.seconds = 1.0
    flood.send(1)
    assert flood.new_lines() == ["... 950 more trials, best 0.0123 (trial 17)"]
    flood.send(500, seconds=0.5)
    assert flood.new_lines() == []
    flood.clock.seconds = 2.0
    flood.send(1)
    assert flood.new_lines() == ["... 501 more trials, best 0.0123 (trial 17)"]


def test_single_lines_come_back_when_trials_slow_down():
    flood = Flood()
    flood.send(100)
    for second in (1.0, 2.0, 3.0):
        flood.clock.seconds = second
        flood.new_lines()
        flood.send(1)
    assert [line.split(".")[0] for line in flood.new_lines()] == ["Trial 102 finished with value: 0"]


def test_no_trial_is_missing_from_lines_and_sums():
    flood = Flood()
    for burst in (3, 500, 40, 7, 1000, 2):
        flood.send(burst, seconds=0.7)
    flood.display.close()
    flood.display.close()
    lines = flood.new_lines()
    summed = sum(int(line.split()[1]) for line in lines if line.startswith("..."))
    assert summed + sum(line.startswith("Trial") for line in lines) == flood.n == 1552


def test_what_is_held_back_is_written_when_the_run_ends():
    flood = Flood()
    flood.send(21)
    flood.new_lines()
    flood.display(RunEnded(reason="the time is up"))
    assert flood.new_lines() == ["... 1 more trial, best 0.0123 (trial 17)", "The run ended: the time is up."]


def test_warnings_are_never_held_back():
    flood = Flood()
    flood.send(100)
    flood.new_lines()
    for number in range(100):
        flood.display(ended(failed(number, message="boom")))
    flood.display(Notice(level="warning", text="careful"))
    assert len(flood.new_lines()) == 101


def test_one_summary_line_a_second_for_minutes():
    flood = Flood()
    for _ in range(60):
        flood.send(1000, seconds=1.0)
    assert 79 <= len(flood.new_lines()) <= 81


# --------------------------------------------------------------------------------------------------------- modes


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("environment", "stream", "kind"),
    [
        ({"TERM": "xterm"}, Terminal, "Live"),
        ({"TERM": "xterm"}, io.StringIO, "Plain"),
        ({"TERM": "dumb"}, Terminal, "Plain"),
        ({"TERM": "xterm", "CI": "true"}, Terminal, "Plain"),
        ({"TERM": "xterm", "CI": "false"}, Terminal, "Live"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, Terminal, "Plain"),
        ({"TERM": "xterm", "HONED_PROGRESS": "plain"}, Terminal, "Plain"),
        ({"TERM": "xterm", "HONED_PROGRESS": "quiet"}, Terminal, "Plain"),
        ({"HONED_PROGRESS": "live"}, io.StringIO, "Live"),
    ],
)
def test_auto_is_live_on_a_capable_terminal_only(environment, stream, kind, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert type(make_display("auto", stream())).__name__ == kind


def test_environment_overrides_the_argument(monkeypatch):
    monkeypatch.setenv("HONED_PROGRESS", "quiet")
    assert shown(Notice(level="info", text="hello"), mode="plain") == []


def test_unknown_mode_is_refused(monkeypatch):
    with pytest.raises(
        ValueError, match=r"progress='lively' is unknown .* use one of 'auto', 'live', 'plain', 'quiet'"
    ):
        make_display("lively")
    monkeypatch.setenv("HONED_PROGRESS", "on")
    with pytest.raises(ValueError, match=r"progress='on' is unknown \(it may come from HONED_PROGRESS\)"):
        make_display()


def test_standard_error_is_the_default_and_standard_output_stays_empty(capsys):
    with make_display("plain") as display:
        display(ended(in_state(99, State.STOPPED)))
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.endswith("Trial 99 pruned.\n")


def test_logging_is_left_alone(caplog):
    handlers, level = list(logging.root.handlers), logging.root.level
    shown(STARTED, ended(failed(0, message="boom")))
    assert (list(logging.root.handlers), logging.root.level) == (handlers, level)
    assert not caplog.records


# -------------------------------------------------------------------------------------------------- broken streams


class Broken(Terminal):
    def write(self, text):
        raise BrokenPipeError

    def flush(self):
        raise OSError("no space left on device")


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


def closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "wb", buffering=0)


@pytest.mark.parametrize("mode", ["auto", "plain", "live", "quiet"])
@pytest.mark.parametrize("stream", [Broken, closed])
def test_broken_stream_does_not_end_a_run(stream, mode):
    with make_display(mode, stream()) as display:
        display(STARTED)
        display(TrialStarted(trial=in_state(0, State.RUNNING), position=Position(n_steps=3)))
        display(ended(failed(0, message="boom")))
        time.sleep(0.3 if mode == "live" else 0)  # the drawing thread meets the stream, too
        display(RunEnded(reason="interrupted"))


def test_reader_of_a_pipe_that_went_away():
    with closed_pipe() as raw, make_display("plain", io.TextIOWrapper(raw, write_through=True)) as display:
        display(ended(failed(0, message="boom")))


def test_program_without_standard_error(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with make_display() as display:
        display(ended(failed(0, message="boom")))


def test_stream_that_lacks_a_character_gets_its_code():
    raw = io.BytesIO()
    with make_display("plain", io.TextIOWrapper(raw, encoding="ascii"), SetClock()) as display:
        display(Notice(level="info", text="α = 1"))
        assert raw.getvalue() == b"[I 2020-09-11 17:26:10,790] \\u03b1 = 1\n"


def test_threads_do_not_mix_their_lines():
    stream = io.StringIO()
    display = make_display("plain", stream)

    def send():
        for _ in range(200):
            display(Notice(level="warning", text="x" * 50))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {line[28:] for line in stream.getvalue().splitlines()} == {"x" * 50}
