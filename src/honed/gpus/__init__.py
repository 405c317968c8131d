"""The graphics cards of this machine, and slots on them that no two runs share; nothing here imports torch."""

from honed.gpus.cards import Card, Holder, cards
from honed.gpus.reserve import Reservation, reserve
from honed.gpus.slots import Slot, n_slots

__all__ = ["Card", "Holder", "Reservation", "Slot", "cards", "n_slots", "reserve"]
