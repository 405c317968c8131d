"""The only place that asks for the time or sleeps.

Everything that needs time takes a ``Clock``; tests and schedulers' benchmarks pass a simulated one. Leases use the
monotonic clock together with ``boot_id``: neither a changed wall clock nor a restart can confuse them.
"""

from __future__ import annotations

import functools
import pathlib
import time
import uuid
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the rest of honed may know about time."""

    def now(self) -> datetime:
        """Wall-clock time in UTC, for people."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards; comparable between the processes of one boot of one machine."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


SYSTEM_CLOCK = SystemClock()


@functools.cache
def boot_id() -> str:
    """Names this boot of this machine: monotonic times with different boot ids must not be compared."""
    path = pathlib.Path("/proc/sys/kernel/random/boot_id")
    if path.exists():
        return path.read_text().strip()
    started = round((time.time() - time.monotonic()) / 60)  # other systems: the minute of the boot, and the machine
    return f"{uuid.getnode():x}-{started}"
