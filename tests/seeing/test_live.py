"""The live display on a real pseudo-terminal; the programs run in processes of their own."""

import re
import subprocess
import sys

from tests.seeing.screen import ROOT, Screen, run_on_terminal

PROGRAM = """
import os, signal, sys, time
from honed.clock import SYSTEM_CLOCK
from honed.display import make_display
from honed.events import Notice, RunEnded, RunStarted, TrialEnded, TrialStarted
from honed.progress import Position, track
from honed.records import State, StudyRecord, TrialRecord

def start(number, position):
    running = TrialRecord(number=number, state=State.RUNNING, params={"lr": 0.021951376, "optimizer": "Adam"})
    display(TrialStarted(trial=running, position=position))
    return running

def end(trial, value):
    told = TrialRecord(number=trial.number, state=State.COMPLETE, params=trial.params, values=(value,))
    display(TrialEnded(trial=told, best=told, n_counted=trial.number + 1, n_trials=2))

with make_display() as display:
    display(RunStarted(study=StudyRecord(name="mnist"), n_counted=0, n_trials=2))
    BODY
    display(RunEnded(reason="all 2 trials are done"))
"""

ONE_TRIAL = """
    position = Position(n_steps=10)
    trial = start(0, position)
    position.started = SYSTEM_CLOCK.monotonic() - 4.0
    position.iteration, position.step = 134, 134 * 128 / 3000
    time.sleep(0.5)
"""

BLOCK = [
    r"mnist: 0 of 2 trials, 0:00:0\d elapsed",
    r"trial 0 \(0:00:0\d\): lr=0\.02195, optimizer=Adam",
    re.escape("     total [############################......................] 57.17%"),
    re.escape("this epoch [###################################...............] 71.73%"),
    "       134 iter, 5 epoch / 10 epochs",
    r" +[\d.]+ iters/sec\. Estimated time to finish: 0:00:0\d\.\d+\.",
]


def program(*parts):
    return PROGRAM.replace("    BODY", "".join(parts))


def moment(text, shown, columns=120):
    """The screen when the block first shows something, up to the end of the block."""
    ends = [found.start() for found in re.finditer("\r\x1b\\[2K\x1b\\[1A", text)]  # then it is erased and drawn anew
    screens = (Screen(columns).write(text[:end]) for end in ends)
    seen = (screen.lines[: screen.row + 1] for screen in screens)
    return next(lines for lines in seen if any(shown in line for line in lines[-6:]))


def test_bars_stand_on_the_terminal_while_a_trial_runs():
    text, _, status = run_on_terminal(program(ONE_TRIAL))
    assert status == 0, text
    blank, *block = moment(text, "57.17%")
    assert blank == ""
    for line, pattern in zip(block, BLOCK, strict=True):
        assert re.fullmatch(pattern, line), line


def test_lines_scroll_above_the_block_which_goes_at_the_end():
    again = """
    end(trial, 0.5)
    print("said by the program")
    trial = start(1, position)
    time.sleep(0.5)
    end(trial, 0.25)
    print("half a line", end="")
"""
    text, screen, status = run_on_terminal(program(ONE_TRIAL, again), columns=200)
    assert status == 0, text
    end = "and parameters: {'lr': 0.02195, 'optimizer': 'Adam'}. Best is trial"
    written = [re.sub(r"\[I [\d :,-]+\]", "[I]", line) for line in screen.lines[: screen.row]]
    assert written == [
        f"[I] Trial 0 finished with value: 0.5 {end} 0 with value: 0.5.",
        "said by the program",
        f"[I] Trial 1 finished with value: 0.25 {end} 1 with value: 0.25.",
        "half a line",
    ]
    assert not any(screen.lines[screen.row :])
    assert screen.column == 0
    assert screen.is_cursor_visible
    during = moment(text, "trial 1 (", columns=200)
    assert during[1:3] == ["said by the program", ""]
    assert re.fullmatch(
        r"mnist: 1 of 2 trials, best 0\.5 \(trial 0\), 0:00:0\d elapsed, about 0:00:0\d left", during[3]
    )


def test_block_follows_a_narrow_terminal():
    text, _, status = run_on_terminal(program(ONE_TRIAL), columns=48)
    assert status == 0, text
    during = moment(text, "57.17%", columns=48)
    assert "     total [###############............] 57.17%" in during
    assert "this epoch [###################........] 71.73%" in during
    assert "iters/sec. Estimated time" in during[-1]
    assert len(during[-1]) == 48
    assert during[-1].endswith("…")
    assert len(during) == 7


def test_several_trials_have_a_line_each():
    second = """
    other = start(1, Position())
    time.sleep(0.5)
"""
    text, _, status = run_on_terminal(program(ONE_TRIAL, second))
    assert status == 0, text
    lines = moment(text, "trial    1")
    assert re.fullmatch(
        r"trial    0 \(0:00:0\d\)  \[#{11}\.{9}\] 57\.17%, 5 of 10 epochs, [\d.]+ iters/sec, 0:00:0\d left",
        lines[-2],
    )
    assert re.fullmatch(r"trial    1 \(0:00:0\d\)", lines[-1])


def test_ctrl_c_leaves_the_terminal_clean():
    _, screen, status = run_on_terminal(program(ONE_TRIAL, "    time.sleep(30)\n"), interrupt_after="iters/sec")
    assert status != 0
    assert "KeyboardInterrupt" in screen.lines[screen.row - 1]
    assert "iters/sec" not in "\n".join(screen.lines)
    assert screen.is_cursor_visible


def test_error_leaves_the_terminal_clean():
    _, screen, status = run_on_terminal(program(ONE_TRIAL, "    raise ValueError('shape mismatch')\n"))
    assert status == 1
    assert screen.lines[screen.row - 1] == "ValueError: shape mismatch"
    assert "iters/sec" not in "\n".join(screen.lines)


def test_exit_without_close_leaves_the_terminal_clean():
    code = program(ONE_TRIAL, "    sys.exit(3)\n").replace(
        "with make_display() as display:", "display = make_display()\nif True:"
    )
    _, screen, status = run_on_terminal(code)
    assert status == 3
    assert [line for line in screen.lines if line] == []
    assert screen.is_cursor_visible


def test_cursor_is_there_after_a_kill():
    _, screen, status = run_on_terminal(program(ONE_TRIAL, "    os.kill(os.getpid(), signal.SIGKILL)\n"))
    assert status == -9
    assert screen.is_cursor_visible


def test_forked_children_print_for_themselves_and_draw_nothing():
    fork = """
    print(type(sys.stdout).__name__)
    sys.stdout.flush()
    import warnings
    warnings.simplefilter("ignore")
    if os.fork() == 0:
        display(Notice(level="warning", text="never seen"))
        print("child:", type(sys.stdout).__name__, type(sys.stderr).__name__)
        sys.exit(0)
    os.wait()
    time.sleep(0.3)
"""
    text, _, status = run_on_terminal(program(ONE_TRIAL, fork))
    assert status == 0, text
    assert text.count("FileProxy") == 1
    assert text.count("child: TextIOWrapper TextIOWrapper") == 1
    assert "never seen" not in text


def test_standard_output_that_is_piped_stays_there(tmp_path):
    out = tmp_path / "out.txt"
    redirect = f"import sys; sys.stdout = open({str(out)!r}, 'w')\n"
    text, _, status = run_on_terminal(redirect + program(ONE_TRIAL, "    print('result: 7')\n"))
    assert status == 0, text
    assert out.read_text() == "result: 7\n"
    assert "result" not in text


def test_ci_and_no_color_get_plain_lines_on_a_terminal():
    for environment in ({"CI": "true"}, {"NO_COLOR": "1"}, {"TERM": "dumb"}):
        text, _, status = run_on_terminal(program(ONE_TRIAL, "    end(trial, 0.5)\n"), environment=environment)
        assert status == 0, text
        assert "\x1b" not in text
        assert text.count("\n") == 2


def test_piped_output_is_plain_and_needs_no_rich():
    code = program(ONE_TRIAL, "    end(trial, 0.5)\n") + "\nassert 'rich' not in sys.modules"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == ""
    trial, run_ended = run.stderr.splitlines()
    assert re.fullmatch(r"\[I \d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\] Trial 0 finished with .*", trial)
    assert re.fullmatch(r"\[I [^]]+\] The run ended: all 2 trials are done\.", run_ended)
