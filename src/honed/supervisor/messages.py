"""What a worker process tells its supervisor, as JSON: events of its run, how far trainings are, how it ended.

Everything goes over one connection from a process to the one that started it; nothing of it is stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from honed.events import Event, Notice, RunEnded, RunForecast, RunStarted, TrialEnded, TrialStarted
from honed.progress import Position
from honed.storage import wire
from honed.storage.rules import to_json

Message = dict[str, Any]

RECYCLED = "this process has done its share"
"""The reason of a worker that makes place for a fresh process."""


def encode(message: Mapping[str, Any]) -> bytes:
    """A message as bytes."""
    return to_json(dict(message)).encode()


def decode(sent: bytes) -> Message:
    """The message that these bytes are."""
    message: Message = json.loads(sent)
    return message


def event_message(event: Event) -> Message | None:
    """The message for an event; the start of a run, and what is expected of it, need none."""
    match event:
        case TrialStarted():
            return {"kind": "started", "trial": wire.trial_to_json(event.trial), "position": asdict(event.position)}
        case TrialEnded():
            best = None if event.best is None else wire.trial_to_json(event.best)
            counts = {"n_counted": event.n_counted, "n_trials": event.n_trials}
            return {"kind": "ended", "trial": wire.trial_to_json(event.trial), "best": best, **counts}
        case Notice():
            return {"kind": "notice", "level": event.level, "text": event.text}
        case RunEnded():
            return {"kind": "run ended", "reason": event.reason}
        case RunStarted() | RunForecast():
            return None


def position_message(number: int, position: Position) -> Message:
    """How far a training is."""
    return {"kind": "position", "number": number, "position": asdict(position)}


def move(position: Position, sent: Mapping[str, Any]) -> None:
    """Sets a position to what was sent."""
    for name, value in sent.items():
        setattr(position, name, value)


class EventReader:
    """Makes the events of one worker's messages; the positions that it hands out move with later messages."""

    def __init__(self) -> None:
        self._records = wire.Reader()

    def started(self, message: Message) -> TrialStarted:
        """A trial begins or goes on."""
        position = Position(**message["position"])
        return TrialStarted(trial=self._records.trial(message["trial"]), position=position)

    def ended(self, message: Message) -> TrialEnded:
        """A trial was told, paused or released."""
        best = message["best"]
        return TrialEnded(
            trial=self._records.trial(message["trial"]),
            best=None if best is None else self._records.trial(best),
            n_counted=message["n_counted"],
            n_trials=message["n_trials"],
        )
