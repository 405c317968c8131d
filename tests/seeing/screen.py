"""A terminal of a few lines of code: what a person would see after a program has written to it.

It knows what progress displays use: line feeds, carriage returns, cursor up, erasing, showing and hiding the cursor,
colours (ignored) and wrapping at the right edge. Anything else is an error, so that nothing is overlooked.
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

SEQUENCE = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])")
ROOT = Path(__file__).parent.parent.parent
NOT_INHERITED = {
    "CI",
    "NO_COLOR",
    "FORCE_COLOR",
    "COLUMNS",
    "LINES",
    "HONED_PROGRESS",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
}
# Standard input becomes the controlling terminal, so that Ctrl-C arrives as a signal.
OWN_TERMINAL = (
    "import fcntl, signal, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a suite in the background of a shell has it ignored
)


class Screen:
    def __init__(self, columns: int = 120, rows: int = 60) -> None:
        self.columns, self.rows = columns, rows
        self.cells: list[list[str]] = [[]]
        self.top = self.row = self.column = 0
        self.is_cursor_visible = True

    def write(self, text: str) -> "Screen":
        i = 0
        while i < len(text):
            found = SEQUENCE.match(text, i)
            if found:
                self._control(*found.groups())
                i = found.end()
            else:
                self._put(text[i])
                i += 1
        return self

    @property
    def lines(self) -> list[str]:
        return ["".join(line).rstrip() for line in self.cells]

    def _put(self, character: str) -> None:
        if character == "\n":
            self._down()
        elif character == "\r":
            self.column = 0
        else:
            assert character.isprintable(), f"unknown control character {character!r}"
            if self.column == self.columns:
                self._down()
                self.column = 0
            line = self.cells[self.row]
            line.extend(" " * (self.column + 1 - len(line)))
            line[self.column] = character
            self.column += 1

    def _down(self) -> None:
        self.row += 1
        while len(self.cells) <= self.row:
            self.cells.append([])
        self.top = max(self.top, self.row - self.rows + 1)

    def _control(self, private: str, numbers: str, name: str) -> None:
        n = int(numbers or 1) if numbers.isdigit() or not numbers else 0
        if private and numbers == "25" and name in "hl":
            self.is_cursor_visible = name == "h"
        elif name == "A":
            self.row = max(self.row - n, self.top)
        elif name == "K" and numbers == "2":
            self.cells[self.row] = []
        elif name != "m":
            raise AssertionError(f"unknown sequence ESC [ {private}{numbers}{name}")


def run_on_terminal(
    code: str, columns: int = 120, interrupt_after: str = "", environment: Mapping[str, str] | None = None
) -> tuple[str, Screen, int]:
    """Runs Python code with a terminal of its own; returns what it wrote, the screen, and the exit status.

    ``interrupt_after`` presses Ctrl-C as soon as this text was written.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
    inherited = {key: value for key, value in os.environ.items() if key not in NOT_INHERITED}
    child = subprocess.Popen(
        [sys.executable, "-c", OWN_TERMINAL + code],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, start_new_session=True,
        env=inherited | {"TERM": "xterm-256color"} | dict(environment or {}),
    )  # fmt: skip
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65_536)
        except OSError:  # the last writer has gone
            break
        if not part:
            break
        written += part
        if interrupt_after and interrupt_after.encode() in written:
            os.write(ours, b"\x03")
            interrupt_after = ""
    os.close(ours)
    text = written.decode()
    return text, Screen(columns).write(text), child.wait(timeout=20)
