"""How a worker process came to its end: in words, as an exception, and whether the kernel ran out of memory."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.supervisor import parcel

VMSTAT = Path("/proc/vmstat")


def how_it_ended(code: int) -> str:
    """``was killed by SIGKILL``, ``ended with exit code 1``."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def kernel_kills() -> int:
    """How many processes the kernel has killed for lack of memory since the machine started; 0 where it does not tell."""
    try:
        lines = VMSTAT.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def error_of(message: Mapping[str, Any]) -> BaseException:
    """The exception that a worker's run ended with, with the worker's traceback as a note."""
    error = parcel.error_from(message["error"])
    if error is None:  # its text did travel
        error = RuntimeError(str(message["text"]).rpartition("\n")[2])
    error.add_note("In the worker process:\n" + str(message["text"]))
    return error
