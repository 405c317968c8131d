import textwrap
import traceback

import pytest

from honed.failures import error_line, error_place, failures_summary
from honed.records import Cause
from tests.seeing.made import complete, failed


def a_traceback(error="ValueError: shape mismatch", path="/home/ada/model.py", line=88):
    return (
        textwrap.dedent(f"""\
        Traceback (most recent call last):
          File "/home/ada/train.py", line 12, in objective
            loss = model(batch)
          File "{path}", line {line}, in forward
            return x @ self.weight
                   ~~^~~~~~~~~~~~~
          File "/usr/lib/python3.11/site-packages/torch/nn/linear.py", line 114, in forward
            return F.linear(input, self.weight)
        """)
        + error
    )


def test_trials_that_failed_alike_are_one_piece_of_news():
    records = [failed(number, message=a_traceback()) for number in (3, 4, 6, 7, 9)]
    assert failures_summary([complete(0, 1.0), *records]) == (
        "5 trials failed with the same error (ValueError: shape mismatch, model.py:88): 3, 4, 6, 7, 9."
    )


def test_the_most_frequent_reason_comes_first():
    records = [
        failed(1, message=a_traceback("KeyError: 'lr'", line=7)),
        failed(2, message=a_traceback()),
        failed(3, message=a_traceback()),
        failed(4, message=a_traceback(line=91)),
        failed(5, Cause.LOST),
        failed(6, Cause.LOST),
        failed(8, Cause.TIMEOUT, "took more than 60 s"),
    ]
    assert failures_summary(records).splitlines() == [
        "2 trials failed with the same error (ValueError: shape mismatch, model.py:88): 2, 3.",
        "2 trials failed (lost): 5, 6.",
        "Trial 1 failed (KeyError: 'lr', model.py:7).",
        "Trial 4 failed (ValueError: shape mismatch, model.py:91).",
        "Trial 8 failed (took more than 60 s).",
    ]


def test_numbers_make_no_difference():
    def out_of_memory(number, size):
        text = f"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {size}."
        return failed(number, Cause.OOM, a_traceback(text))

    assert failures_summary([out_of_memory(4, "20.00 MiB"), out_of_memory(8, "1.50 MiB")]) == (
        "2 trials failed with similar errors (the first: torch.OutOfMemoryError: CUDA out of memory. "
        "Tried to allocate 20.00 MiB, model.py:88): 4, 8."
    )


def test_very_many_numbers_are_not_all_listed():
    summary = failures_summary(failed(number, message="boom") for number in range(50))
    assert summary.endswith("18, 19 and 30 more.")


def test_nothing_failed():
    assert failures_summary([complete(0, 1.0)]) == ""


def fail_with(error):
    try:
        raise error
    except Exception as raised:
        return "".join(traceback.format_exception(raised)).rstrip()


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (None, ""),
        ("", ""),
        ("not finite: loss=nan at step 3", "not finite: loss=nan at step 3"),
        ("first\nlast\n", "last"),
        (a_traceback(), "ValueError: shape mismatch"),
        (
            a_traceback("RuntimeError: CUDA error\nCompile with `TORCH_USE_CUDA_DSA`"),
            "RuntimeError: CUDA error",
        ),
        (fail_with(ValueError("\x1b[31mred\x1b[0m")), "ValueError: red"),
        (fail_with(ExceptionGroup("both", [ValueError("inner")])), "ValueError: inner"),
    ],
)
def test_line_that_names_the_error(message, line):
    assert error_line(message) == line


def test_real_tracebacks_of_chained_errors():
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error
    except ValueError as error:
        error.add_note("a note")
        message = "".join(traceback.format_exception(error))
    assert error_line(message) == "ValueError: second"
    assert error_place(message).startswith("test_failures.py:")


def test_place_is_the_users_own_line():
    assert error_place(a_traceback()) == "model.py:88"
    assert error_place(a_traceback(path="C:\\\\work\\\\model.py")) == "model.py:88"
    library = 'Traceback (most recent call last):\n  File "/x/site-packages/torch/a.py", line 3, in f\nValueError: x'
    assert error_place(library) == "a.py:3"
    assert error_place("only words") == ""
