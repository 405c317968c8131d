"""What a run shows on the terminal or in a log: listeners for its events (``honed.events``).

``plain`` writes one line for each trial that ends (``lines.py`` has the words); ``live`` writes the same lines
above a block that shows how far the study and the running trainings are (``board.py``, ``live.py``); ``quiet``
writes warnings only. Nothing is written to standard output or to the loggers of ``logging``, and a stream that is
closed or broken is no error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import IO, Protocol, Self

from honed.clock import SYSTEM_CLOCK, Clock
from honed.display.lines import Plain
from honed.display.output import Output
from honed.events import Event

MODES = ("auto", "live", "plain", "quiet")
MODE_VARIABLE = "HONED_PROGRESS"


class Display(Protocol):
    """A listener that must be closed at the end; as a context manager it closes itself."""

    def __call__(self, event: Event) -> None:
        """Shows what happened; never raises because of the stream. Any thread may call it."""
        ...

    def close(self) -> None:
        """Writes what was held back and leaves the terminal as it was; may be called twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def make_display(mode: str = "auto", stream: IO[str] | None = None, clock: Clock = SYSTEM_CLOCK) -> Display:
    """The display for a run.

    Args:
        mode: "live", "plain", "quiet", or "auto": live on a terminal that can show it; plain in pipes, notebooks
            and CI, on dumb terminals and under NO_COLOR. The environment variable HONED_PROGRESS overrides it.
        stream: where to write; standard error by default.
        clock: tells the time in the lines, and how long things took.
    """
    mode = os.environ.get(MODE_VARIABLE) or mode
    if mode not in MODES:
        choices = ", ".join(map(repr, MODES))
        raise ValueError(f"progress={mode!r} is unknown (it may come from {MODE_VARIABLE}); use one of {choices}")
    output = Output(sys.stderr if stream is None else stream)
    if mode == "auto":
        mode = "live" if output.isatty() and _can_be_live(os.environ) else "plain"
    if mode == "live":
        from honed.display.live import Live  # brings rich

        return Live(output, clock)
    return Plain(output, clock, is_quiet=mode == "quiet")


def _can_be_live(environment: Mapping[str, str]) -> bool:
    is_ci = environment.get("CI", "").lower() not in ("", "0", "false")
    is_dumb = environment.get("TERM", "dumb") in ("", "dumb", "unknown")
    return not is_ci and not is_dumb and not environment.get("NO_COLOR")
