"""Tools other than Optuna that watch curves: Syne Tune, DEHB, NePS, as they install.

Who resumes goes on from a checkpoint here as well: a configuration that a tool asks for again, to a later step, pays the new
steps only. Syne Tune's rungs stop trials for good; DEHB and NePS ask for the next fidelity of a configuration.

They are no part of the extra ``bench``: Syne Tune brings xgboost with its CUDA libraries, DEHB wants numpy 1, NePS another
pandas and gpytorch. In an environment of their own, with this one's packages, they run all the same (Syne Tune 0.16.0,
DEHB 0.1.2, NePS 0.17.0)::

    pip install --no-deps syne-tune statsmodels patsy xgboost dill huggingface_hub dehb loguru
    pip install --no-deps neural-pipeline-search "pandas<3" pytz seaborn portalocker tensorboard absl-py grpcio Markdown
    pip install --no-deps Werkzeug tensorboard-data-server torchvision ifbo gpytorch==1.13.0 linear-operator==0.5.3
    pip install --no-deps botorch==0.12.0 jaxtyping==0.2.19 typeguard multipledispatch pyro-ppl pyro-api opt_einsum
"""

from __future__ import annotations

import importlib.util

from benchmarks.curve_peers import dehb, neps, syne_tune
from benchmarks.curve_peers.base import Enter, peer_player
from benchmarks.players import Player

__all__ = ["curve_peers"]

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
