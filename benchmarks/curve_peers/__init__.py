"""Tools other than Optuna that watch curves: Syne Tune, DEHB, NePS, as they install.

Who resumes goes on from a checkpoint here as well: a configuration that a tool asks for again, to a later step, pays the new
steps only. Syne Tune's rungs stop trials for good; DEHB and NePS ask for the next fidelity of a configuration.

They are no part of the extra ``bench``, as their requirements exclude those of others: DEHB wants numpy 1, NePS another pandas
and gpytorch, Syne Tune brings xgboost with CUDA libraries. Each plays in an environment of its own, that has this package as
well; the files of ``--raw`` are joined by ``--reuse``. Played: Syne Tune 0.16.0, DEHB 0.1.2, NePS 0.17.0::

    python -m venv dehb && dehb/bin/pip install . dehb
    python -m venv neps && neps/bin/pip install . neural-pipeline-search        # with torch, torchvision, gpytorch 1.13
    python -m venv syne && syne/bin/pip install --no-deps syne-tune xgboost     # without CUDA's libraries
    syne/bin/pip install . dill huggingface_hub pandas psutil scikit-learn sortedcontainers statsmodels tqdm

    dehb/bin/python benchmarks/quality.py --methods DEHB --budgets 5 --raw dehb.json --no-document

A study of 20 full trainings takes DEHB, NePS and Syne Tune's ASHA less than a second of CPU time, BOHB two to four, CQR half a
minute and more, as it fits its boosted trees again for each suggestion. NePS's ASHA takes the best third of those in a rung that
were not promoted yet, so that in time it promotes far more than a third of all, and begins few configurations.
"""

from __future__ import annotations

import importlib.util

from benchmarks.curve_peers import dehb, neps, syne_tune
from benchmarks.curve_peers.base import Enter, peer_player
from benchmarks.players import Player

__all__ = ["PEERS", "curve_peers"]

PEERS: dict[str, tuple[str, Enter]] = {
    "Syne Tune ASHA": ("syne_tune", syne_tune.by("ASHA")),
    "Syne Tune BOHB": ("syne_tune", syne_tune.by("BOHB")),
    "Syne Tune ASHA + CQR": ("syne_tune", syne_tune.by("ASHACQR")),
    "DEHB": ("dehb", dehb.Tool),
    "NePS ASHA": ("neps", neps.by("asha")),
    "NePS Hyperband": ("neps", neps.by("hyperband")),
}
"""Name -> module, and how it enters a study."""


def curve_peers() -> dict[str, Player]:
    """Name -> who plays; tools that are not installed are left out."""
    known = [name for name, (module, _) in PEERS.items() if importlib.util.find_spec(module)]
    return {name: peer_player(PEERS[name][1]) for name in known}
