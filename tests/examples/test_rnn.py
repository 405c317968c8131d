"""The example of a recurrent network, as a user runs it, with tiny settings."""

from __future__ import annotations

import re

import pytest

from tests.torch.test_examples import run

pytest.importorskip("torch")
pytest.importorskip("sklearn")


def test_rnn_pauses_trainings_and_names_its_best(tmp_path):
    out = run(tmp_path, "rnn.py", "--trials", "4", "--epochs", "4", "--seconds", "60")
    found = re.search(r"(\d+) networks, (\d+) epochs; (\d+) were trained to the end\.", out)
    assert found is not None, out
    networks, epochs, full = map(int, found.groups())
    assert networks == 4
    assert 1 <= full <= networks
    assert full * 4 <= epochs <= networks * 4
    assert "paused at step 3" in out
    assert re.search(r"Best: 0\.\d{4} with cell=(rnn|gru|lstm), width=\d+, depth=[12], ", out)
