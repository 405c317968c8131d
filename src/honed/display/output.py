"""A text stream that cannot hurt: closed, broken, full or missing, the training goes on."""

from __future__ import annotations

import contextlib
from typing import IO


class Output:
    """What displays write to; every failure of the stream stays in here."""

    def __init__(self, stream: IO[str] | None) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes what can be written; characters that the stream's encoding lacks become their code."""
        with contextlib.suppress(Exception):  # closed, broken pipe, full disk: not worth a training
            self._write(text)
        return len(text)

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            encoding = getattr(self._stream, "encoding", None) or "ascii"
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def flush(self) -> None:
        """Hands everything to the operating system, if it takes it."""
        if self._stream is not None:
            with contextlib.suppress(Exception):
                self._stream.flush()

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        try:
            return self._stream is not None and self._stream.isatty()
        except Exception:  # closed
            return False

    def fileno(self) -> int:
        """The file descriptor, or -1 where there is none."""
        try:
            return -1 if self._stream is None else self._stream.fileno()
        except Exception:  # closed, or no file
            return -1

    @property
    def encoding(self) -> str:
        """The stream's encoding."""
        return getattr(self._stream, "encoding", None) or "utf-8"
