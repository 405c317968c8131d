"""Rows and numbers as all tables of the benchmarks write them."""

from __future__ import annotations

from collections.abc import Sequence


def line(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def short(x: float) -> str:
    """Three digits, without the zero before them."""
    return f"{x:.3f}".removeprefix("0")
