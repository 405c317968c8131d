"""The examples of pausing and of populations, as a user runs them, with tiny settings."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from tests.torch.test_examples import run

pytest.importorskip("torch")
pytest.importorskip("sklearn")


def test_hyperband_trains_exactly_the_epochs_of_its_plan(tmp_path):
    out = run(tmp_path, "hyperband.py", "--trials", "9", "--epochs", "6", "--storage", "h.db")
    assert "9 trials, 26 steps of 54 (48%)" in out  # 9 x 2, 3 x 2, 1 x 2: rungs at 2 and 4, then to the end
    rounds = re.findall(r"^ +(\d+) +(\d+) +0\.\d+ +0\.\d+   (.*)$", out, re.MULTILINE)
    assert [(step, n) for step, n, _ in rounds] == [("2", "9"), ("4", "3"), ("6", "1")]
    assert [len(chosen.split()) for _, _, chosen in rounds[:2]] == [3, 1]
    assert "Trained 26 epochs (planned: 26) instead of 54: 52% saved." in out
    again = run(tmp_path, "hyperband.py", "--trials", "9", "--epochs", "6", "--storage", "h.db")
    assert "Trained 0 epochs" in again


def test_pbt_prints_the_line_of_its_best_member(tmp_path):
    out = run(tmp_path, "pbt.py", "--trials", "12", "--epochs", "8")
    assert re.search(r"The line of the best, trial \d+:", out)
    spans = [tuple(map(int, span)) for span in re.findall(r"^ +(\d+)-(\d+) +\d+ +[\d.e-]+ +\d", out, re.MULTILINE)]
    assert spans[0][0] == 1
    assert spans[-1][1] == 8
    assert all(later[0] == earlier[1] + 1 for earlier, later in pairwise(spans))
    assert re.search(r"of 12 trials began with the weights of another; \d+ epochs in all", out)
    assert "Each of its first rates from begin to end, 64 epochs: 0." in out
