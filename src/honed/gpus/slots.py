"""How many trials fit on some cards: a share of one card each, or whole cards."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from honed.gpus.cards import Card

UNITS = 2520
"""Parts of a card that are given away one by one; 1/2, 1/3, ... 1/10 of it are whole numbers."""

_SLACK = 1.0  # units; 0.3333 means a third


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one trial at a time.

    Attributes:
        cards: the one card of which it has a share, or whole cards.
        share: of each card, 1 for whole ones.
        has_order: whether numbers must be read in the order in which nvidia-smi counts.
    """

    cards: tuple[Card, ...]
    share: float = 1.0
    has_order: bool = False

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that a process of this slot is started with."""
        visible = ",".join(card.id for card in self.cards)
        variables = {"CUDA_VISIBLE_DEVICES": visible}
        if any(card.kind == "rocm" for card in self.cards):
            variables["HIP_VISIBLE_DEVICES"] = visible
        if self.has_order:
            variables["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        return variables


def n_slots(cards: Sequence[Card], per_trial: float) -> int:
    """How many trials may run on these cards at once.

    A share of a card never spans two: with 0.3 there are 3 trials on each card. Whole numbers take whole cards.

    Raises:
        ValueError: ``per_trial`` is neither a share of a card nor a number of cards.
    """
    units = units_of(per_trial)
    return len(cards) * (UNITS // units) if units < UNITS else len(cards) // (units // UNITS)


def units_of(per_trial: float) -> int:
    """A share of a card, or a number of cards, in units.

    Raises:
        ValueError: it is neither; a TypeError where it is no number.
    """
    rule = "it must be a whole number of GPUs (1, 2, ...), or a share of one between 0.01 and 1"
    if isinstance(per_trial, bool) or not isinstance(per_trial, int | float):
        raise TypeError(f"gpus_per_trial={per_trial!r} is no number: {rule}")
    if not math.isfinite(per_trial) or per_trial < 0.01:
        what = "leave it out to use no GPU" if per_trial == 0 else "for example 0.5: two trials share a GPU"
        raise ValueError(f"gpus_per_trial={per_trial!r}: {rule}; {what}")
    if per_trial > 1 and per_trial != int(per_trial):
        lower, upper = math.floor(per_trial), math.ceil(per_trial)
        raise ValueError(f"gpus_per_trial={per_trial!r}: {rule}; a share never spans two GPUs, use {lower} or {upper}")
    if per_trial >= 1:
        return int(per_trial) * UNITS
    parts = round(1 / per_trial)
    if abs(UNITS / parts - per_trial * UNITS) < _SLACK:
        return UNITS // parts
    return math.ceil(per_trial * UNITS - 1e-6)
