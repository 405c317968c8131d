"""What policies see of a study: a read-only snapshot at one revision, with arrays that only grow.

``history.extend(delta)`` gives the next snapshot in time proportional to the change. Finished trials never change, so they
stand in the order in which they finished in lists and arrays that all snapshots share: a snapshot is a length and a few
references. Directions are applied here, once: in ``Columns.losses`` and ``Curves.losses`` smaller is better, always.
"""

from honed.history.allowance import UNLIMITED, Allowance
from honed.history.rungs import Rung, Standings
from honed.history.snapshot import History
from honed.history.tables import STATES, Columns, Curves, Floats, Ints

__all__ = [
    "STATES", "UNLIMITED", "Allowance", "Columns", "Curves", "Floats", "History", "Ints", "Rung", "Standings",
]  # fmt: skip
