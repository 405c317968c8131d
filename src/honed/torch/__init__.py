"""Building blocks for tuning PyTorch models: activations, optimizers, networks, data, training.

Each ``suggest_*`` takes a trial, asks for exactly the parameters that its choice needs, and returns the
finished object. The other functions are plain PyTorch and know nothing of trials. Importing this package needs
the extra ``torch``.
"""

import importlib
from typing import Any

from honed.optional import require

require("torch", "torch")

from honed.torch.activations import (  # noqa: E402  (a missing torch is told first)
    ACTIVATIONS,
    HIDDEN_ACTIVATIONS,
    make_activation,
    suggest_activation,
)
from honed.torch.data import Batches, Part, Split, Standardizer, split  # noqa: E402
from honed.torch.fit import fit  # noqa: E402
from honed.torch.models import MlpPlan, MlpRanges, make_mlp, plan_mlp, suggest_mlp  # noqa: E402
from honed.torch.optimizers import OPTIMIZERS, make_optimizer, suggest_optimizer  # noqa: E402
from honed.torch.presets import build_fc, fc_space  # noqa: E402
from honed.torch.train import Scores, evaluate, train_epoch  # noqa: E402

__all__ = [
    "ACTIVATIONS",
    "HIDDEN_ACTIVATIONS",
    "OPTIMIZERS",
    "Batches",
    "MlpPlan",
    "MlpRanges",
    "Part",
    "Scores",
    "Split",
    "Standardizer",
    "build_fc",
    "ddp",
    "evaluate",
    "fc_space",
    "fit",
    "make_activation",
    "make_mlp",
    "make_optimizer",
    "plan_mlp",
    "split",
    "suggest_activation",
    "suggest_mlp",
    "suggest_optimizer",
    "train_epoch",
]


def __getattr__(name: str) -> Any:
    if name != "ddp":  # several ranks are for few: imported when it is asked for
        raise AttributeError(f"module 'honed.torch' has no attribute {name!r}")
    return importlib.import_module("honed.torch.ddp")
