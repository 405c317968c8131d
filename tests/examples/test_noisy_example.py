"""The example of noise and the winner, as a user runs it."""

from __future__ import annotations

import re

import pytest

from tests.torch.test_examples import run

pytest.importorskip("torch")
pytest.importorskip("sklearn")


def test_noisy_confirms_the_best_and_names_the_gain(tmp_path):
    out = run(tmp_path, "noisy.py", "--trials", "8", "--repeats", "2")
    assert re.search(r"Best value with its standard error: 0\.\d+ ± 0\.\d+ \(2\)", out)
    assert re.search(r"Reported 0\.\d+ was the best of 8 trials\. Confirmed 10 times: 0\.\d+ ± 0\.\d+\.", out)
    assert re.search(r"([Nn]o gain|Gain) over the default", out)
    assert "To take home: Trial " in out
    again = run(tmp_path, "noisy.py", "--trials", "8", "--repeats", "2")
    assert out[out.index("Confirmation of") :] == again[again.index("Confirmation of") :]
