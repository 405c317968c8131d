"""No script outlives its test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.workers import runs


@pytest.fixture(autouse=True)
def _end_scripts() -> Iterator[None]:
    yield
    while runs.started:
        process = runs.started.pop()
        if process.poll() is None:
            process.kill()
        process.communicate()
