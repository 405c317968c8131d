"""Each example runs as a user runs it, with tiny settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(folder, name, *arguments):
    env = {**os.environ, "PYTHONWARNINGS": "error", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def counts(text):
    return {name: int(n) for name, n in re.findall(r"Number of (\w+) trials: (\d+)", text)}


def test_digits_tunes_tests_and_goes_on(tmp_path):
    first = run(tmp_path, "digits.py", "--trials", "3", "--epochs", "1")
    assert "Digits: 1797 images of (8, 8) pixels: 1078 to train, 359 to validate, 360 to test" in first
    assert re.search(r"Baseline: 0\.9\d+ \(logistic regression\), best is ", first)
    assert re.search(
        r"The best trial (beats|loses to|is not clearly better than) the baseline: [+-]0\.\d+ ± 0\.\d+", first
    )
    assert counts(first)["complete"] == 3
    assert (tmp_path / "honed.db").exists()

    second = run(tmp_path, "digits.py", "--trials", "3", "--epochs", "1")
    assert "The study has its 3 trials: 20 more." in second
    assert counts(second)["complete"] == 23


def test_deck_finds_a_good_classifier(tmp_path):
    out = run(tmp_path, "deck.py", "4")
    assert counts(out)["complete"] == 4
    assert "  classifier: " in out


def test_manual_experiments_are_entered_once_and_continued(tmp_path):
    first, second = (run(tmp_path, "manual.py", "--trials", n) for n in ("12", "14"))
    assert counts(first)["complete"] == 12
    assert counts(second)["complete"] == 14
