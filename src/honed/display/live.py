"""The live display: log lines scroll above a block that is drawn anew some times a second.

The block is drawn by rich's own thread from numbers that the training writes anyway. While it stands, what the program
prints to the same terminal goes through rich, so that it appears above the block. The cursor stays visible: a training
that is killed without warning leaves a terminal one can go on working in.
"""

from __future__ import annotations

import atexit
import functools
import os
import re
import sys
import threading
import weakref
from typing import IO, Any, Self, cast

from rich.console import Console, Group
from rich.live import Live as Block
from rich.text import Text

from honed.clock import Clock
from honed.display.board import Board
from honed.display.lines import Level, Log
from honed.display.output import Output
from honed.events import Event, RunEnded, RunStarted

REFRESHES = 5
"""How often a second the block is drawn."""

_HASHES = re.compile(r"#+(?=[#.]*\])")
_DOTS = re.compile(r"\.+(?=\])")


class Live:
    """Lines above a block; needs a terminal."""

    def __init__(self, output: Output, clock: Clock) -> None:
        stream = cast(IO[str], output)
        # soft_wrap: long lines are left to the terminal, so that they can be copied; Board cuts those of the block.
        self._console = Console(
            file=stream, force_terminal=True, markup=False, emoji=False, highlight=False, soft_wrap=True
        )
        self._output = output
        self._board = Board(clock)
        self._log = Log(self._print, clock)
        self._lock = threading.RLock()
        self._block: Block | None = None
        self._process = os.getpid()

    def __call__(self, event: Event) -> None:
        if os.getpid() != self._process:  # forked: the terminal belongs to the parent
            return
        with self._lock:
            self._board.hear(event)
            if isinstance(event, RunStarted):
                self._start()
            self._log.hear(event)
            if isinstance(event, RunEnded):
                self._stop()

    def close(self) -> None:
        if os.getpid() != self._process:
            return
        with self._lock:
            try:
                self._log.flush()
            finally:
                self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        if self._block is not None:
            return
        _watch_forks()
        _STANDING.add(self)
        atexit.register(self.close)
        self._block = Block(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=REFRESHES,
            transient=True,
            redirect_stdout=_is_terminal(sys.stdout),
            redirect_stderr=_is_terminal(sys.stderr),
        )
        self._block.start()
        self._console.show_cursor(True)

    def _stop(self) -> None:
        block, self._block = self._block, None
        if block is None:
            return
        try:
            for stream in (sys.stdout, sys.stderr):  # an unfinished line that rich still holds
                if hasattr(stream, "rich_proxied_file"):
                    stream.flush()
        finally:
            block.stop()
            _STANDING.discard(self)
            atexit.unregister(self.close)

    def give_up_streams(self) -> None:
        """In a forked child: prints go straight to the terminal again, rich's locks may be held by nobody."""
        sys.stdout = getattr(sys.stdout, "rich_proxied_file", sys.stdout)
        sys.stderr = getattr(sys.stderr, "rich_proxied_file", sys.stderr)

    def _print(self, level: Level, prefix: str, text: str) -> None:
        self._console.print(Text.assemble((prefix, "yellow" if level == "W" else "bright_black"), " ", text))

    def _draw(self) -> Group:
        study, *trainings = self._board.lines(self._console.width)
        head = Text(study, no_wrap=True)
        head.stylize("bold", 0, study.find(":"))
        return Group(Text(), head, *map(_styled, trainings))


def _styled(line: str) -> Text:
    text = Text(line, no_wrap=True)
    if line.startswith("trial "):
        text.stylize("bright_black", 0, line.find("  ") if "  [" in line else len(line))
    text.highlight_regex(_HASHES, "cyan")
    text.highlight_regex(_DOTS, "bright_black")
    return text


def _is_terminal(stream: Any) -> bool:
    return Output(stream).isatty()


_STANDING: weakref.WeakSet[Live] = weakref.WeakSet()


@functools.cache
def _watch_forks() -> None:
    if hasattr(os, "register_at_fork"):  # data loaders fork while the block stands
        os.register_at_fork(after_in_child=_leave)


def _leave() -> None:
    for display in list(_STANDING):
        display.give_up_streams()
