"""Programs that hold slots, run in processes of their own: ``python -m tests.gpus.holders MODE FOLDER ...``."""

from __future__ import annotations

import fcntl
import json
import random
import sys
import time
from pathlib import Path

from honed.errors import GpusTaken
from honed.gpus import reserve

FOUR = {"HONED_GPUS": "4"}


def hold(folder: str, n: int, per_trial: float) -> None:
    """Holds slots until it is killed, or its input ends."""
    with reserve(n, per_trial, environment=FOUR, folder=folder) as held:
        say([slot.environment["CUDA_VISIBLE_DEVICES"] for slot in held.slots])
        sys.stdin.read()


def race(folder: str, book: str, seed: int) -> None:
    """Takes and frees slots of all sizes; a book under another lock says whether a card was ever given away twice."""
    draw = random.Random(seed)
    n_taken = n_refused = 0
    for _ in range(60):
        per_trial = draw.choice([0.1, 0.25, 0.3, 1 / 3, 0.5, 0.7, 1, 1, 2, 3])
        try:
            held = reserve(
                draw.choice([None, 1, 1, 2]) if per_trial < 1 else 1, per_trial, environment=FOUR, folder=folder
            )
        except GpusTaken:
            n_refused += 1
            time.sleep(draw.random() / 200)
            continue
        n_taken += 1
        shares = [0.0] * 4
        for slot in held.slots:
            assert len(slot.cards) == max(1, int(per_trial)), slot
            for card in slot.cards:
                shares[int(card.id)] += slot.share
        enter(book, shares)
        time.sleep(draw.random() / 200)
        enter(book, [-share for share in shares])
        held.close()
    say([n_taken, n_refused])


def say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def enter(book: str, shares: list[float]) -> None:
    with Path(book).open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        now = [a + b for a, b in zip(json.load(file), shares, strict=True)]
        assert all(share <= 1 + 1e-6 for share in now), f"a card is given away twice: {now}"
        file.seek(0)
        file.truncate()
        json.dump(now, file)


if __name__ == "__main__":
    mode, *arguments = sys.argv[1:]
    if mode == "hold":
        hold(arguments[0], int(arguments[1]), float(arguments[2]))
    else:
        race(arguments[0], arguments[1], int(arguments[2]))
