"""Made landscapes over mixed and conditional spaces, each with a known optimum of 0, with and without noise.

They are built of ``well``: 0 at a target on a parameter's own scale, 1/2 a ``width`` away, level far from it, as a loss is
where a training fails. Categories are steps. ``TARGETS`` holds a configuration that is worth 0 for each of them.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.problems.base import Params, Problem, of_measure
from honed.domains import Categorical, Conditional, Domain, Float, Int, Scalar
from honed.space import Space

NOISE = 0.05


def well(domain: Domain, value: Scalar, target: Scalar, width: float, shift: float = 0.0) -> float:
    """From 0 at the target to 1 far away.

    Args:
        shift: of the target, on the unit scale.
    """
    square = ((domain.encode(value) - domain.encode(target) - shift) / width) ** 2
    return square / (1.0 + square)


# ------------------------------------------------------------------------------------- one choice, own parameters each

OPTIMIZERS = Space(
    weight_decay=Float(1e-6, 1e-1, log=True),
    batch_size=Int(16, 512, log=True),
    optimizer=Categorical(["adam", "rmsprop", "sgd"]),
    adam_lr=Float(1e-5, 1e-1, log=True).when(optimizer="adam"),
    beta2=Float.near_one(0.9, 0.9999).when(optimizer="adam"),
    rmsprop_lr=Float(1e-5, 1e-1, log=True).when(optimizer="rmsprop"),
    alpha=Float.near_one(0.9, 0.9999).when(optimizer="rmsprop"),
    sgd_lr=Float(1e-4, 1.0, log=True).when(optimizer="sgd"),
    momentum=Float(0.0, 0.99).when(optimizer="sgd"),
    nesterov=Categorical([False, True]).when(optimizer="sgd"),
)


def optimizers(p: Params) -> float:
    """The best optimizer has the narrowest learning rate, which falls as momentum grows."""
    d = OPTIMIZERS.domains
    loss = 0.2 * well(d["weight_decay"], p["weight_decay"], 1e-3, 0.25)
    loss += 0.1 * well(d["batch_size"], p["batch_size"], 64, 0.3)
    if p["optimizer"] == "adam":
        return loss + 0.06 + well(d["adam_lr"], p["adam_lr"], 1e-3, 0.2) + 0.1 * well(d["beta2"], p["beta2"], 0.99, 0.4)
    if p["optimizer"] == "rmsprop":
        return (
            loss
            + 0.1
            + well(d["rmsprop_lr"], p["rmsprop_lr"], 3e-4, 0.15)
            + 0.1 * well(d["alpha"], p["alpha"], 0.99, 0.4)
        )
    fall = -0.3 * (d["momentum"].encode(p["momentum"]) - d["momentum"].encode(0.9))
    loss += well(d["sgd_lr"], p["sgd_lr"], 0.05, 0.1, fall) + 0.2 * well(d["momentum"], p["momentum"], 0.9, 0.3)
    return loss + (0.0 if p["nesterov"] else 0.02)


# ------------------------------------------------------------------------------------- layers, each with its own width

_WIDTHS = (256, 128, 32)
_MOST_LAYERS = 5


def _layers() -> Space:
    entries: dict[str, Domain | Conditional] = {
        "lr": Float(1e-5, 1.0, log=True),
        "activation": Categorical(["gelu", "relu", "tanh", "sigmoid"]),
        "n_layers": Int(1, _MOST_LAYERS),
    }
    for i in range(_MOST_LAYERS):
        units, dropout = Int(8, 1024, log=True), Float(0.0, 0.8)
        deep = list(range(i + 1, _MOST_LAYERS + 1))
        entries[f"units_{i}"] = units.when(n_layers=deep) if i else units
        entries[f"dropout_{i}"] = dropout.when(n_layers=deep) if i else dropout
    return Space(entries)


LAYERS = _layers()


def layers(p: Params) -> float:
    """Three layers that get narrower are best; deeper nets want a smaller learning rate."""
    d, n = LAYERS.domains, int(p["n_layers"] or 0)
    loss = 0.12 * abs(n - len(_WIDTHS)) + {"gelu": 0.0, "relu": 0.03, "tanh": 0.1, "sigmoid": 0.4}[str(p["activation"])]
    loss += well(d["lr"], p["lr"], 3e-3, 0.15, shift=-0.06 * (n - len(_WIDTHS)))
    for i in range(n):
        wanted = _WIDTHS[min(i, len(_WIDTHS) - 1)]
        loss += 0.6 / n * well(d[f"units_{i}"], p[f"units_{i}"], wanted, 0.2)
        loss += 0.3 / n * well(d[f"dropout_{i}"], p[f"dropout_{i}"], 0.2, 0.4)
    return loss


# -------------------------------------------------------------------------- mixed, flat, a third of it without any effect

MIXED = Space(
    lr=Float(1e-6, 1.0, log=True),
    weight_decay=Float(1e-7, 1e-1, log=True),
    label_smoothing=Float(0.0, 0.5),
    depth=Int(2, 40),
    width=Int(16, 2048, log=True),
    norm=Categorical(["batch", "layer", "group", "none"]),
    schedule=Categorical(["cosine", "linear", "step", "constant", "exponential"]),
    augment=Categorical(["none", "flip", "crop", "mixup", "all"]),
    seed_of_init=Int(0, 99),
    log_every=Int(1, 1000, log=True),
    momentum_of_average=Float(0.0, 1.0),
    ratio_of_nothing=Float(1e-4, 1.0, log=True),
    backend=Categorical(["a", "b", "c"]),
)
_RATES = {"batch": 0.03, "layer": 3e-3, "group": 0.01, "none": 1e-4}
_NORMS = {"batch": 0.0, "group": 0.04, "layer": 0.06, "none": 0.25}
_SCHEDULES = {"cosine": 0.0, "linear": 0.03, "step": 0.08, "exponential": 0.12, "constant": 0.15}
_AUGMENTS = {"all": 0.0, "mixup": 0.05, "crop": 0.06, "flip": 0.12, "none": 0.2}


def mixed(p: Params) -> float:
    """Each norm has its own best learning rate; five of thirteen parameters do nothing."""
    d = MIXED.domains
    steps = _NORMS[str(p["norm"])] + _SCHEDULES[str(p["schedule"])] + _AUGMENTS[str(p["augment"])]
    return (
        steps
        + well(d["lr"], p["lr"], _RATES[str(p["norm"])], 0.12)
        + 0.3 * well(d["weight_decay"], p["weight_decay"], 1e-4, 0.25)
        + 0.15 * well(d["label_smoothing"], p["label_smoothing"], 0.1, 0.3)
        + 0.3 * well(d["depth"], p["depth"], 18, 0.2)
        + 0.3 * well(d["width"], p["width"], 512, 0.2)
    )


# -------------------------------------------------------------------------------------------- two levels of conditions

NESTED = Space(
    model=Categorical(["linear", "trees", "net"]),
    penalty=Float(1e-6, 1e2, log=True).when(model="linear"),
    n_trees=Int(10, 1000, log=True).when(model="trees"),
    max_depth=Int(1, 20).when(model="trees"),
    booster=Categorical(["forest", "gradient"]).when(model="trees"),
    shrinkage=Float(1e-3, 1.0, log=True).when(booster="gradient"),
    subsample=Float(0.1, 1.0).when(booster="gradient"),
    lr=Float(1e-5, 1e-1, log=True).when(model="net"),
    head=Categorical(["pool", "attention"]).when(model="net"),
    pool_size=Int(1, 8).when(head="pool"),
    n_heads=Int(1, 16, log=True).when(head="attention"),
    head_width=Int(8, 256, log=True).when(head="attention"),
    temperature=Float(0.1, 10.0, log=True).when(head="attention"),
)


def nested(p: Params) -> float:
    """Linear models are never bad, boosted trees soon good, a net with attention best where it is set well."""
    d = NESTED.domains
    if p["model"] == "linear":
        return 0.45 + 0.3 * well(d["penalty"], p["penalty"], 1.0, 0.2)
    if p["model"] == "trees":
        loss = 0.15 * well(d["n_trees"], p["n_trees"], 300, 0.3) + 0.3 * well(d["max_depth"], p["max_depth"], 7, 0.2)
        if p["booster"] == "forest":
            return loss + 0.25
        return (
            loss
            + 0.1
            + 0.5 * well(d["shrinkage"], p["shrinkage"], 0.05, 0.15)
            + 0.1 * well(d["subsample"], p["subsample"], 0.7, 0.4)
        )
    loss = well(d["lr"], p["lr"], 1e-3, 0.12)
    if p["head"] == "pool":
        return loss + 0.2 + 0.1 * well(d["pool_size"], p["pool_size"], 2, 0.3)
    loss += 0.2 * well(d["n_heads"], p["n_heads"], 4, 0.3) + 0.3 * well(d["head_width"], p["head_width"], 64, 0.2)
    return loss + 0.2 * well(d["temperature"], p["temperature"], 1.0, 0.25)


# ---------------------------------------------------------------------------------------------------------------- all

TARGETS: dict[str, Params] = {
    "optimizers": {
        "weight_decay": 1e-3, "batch_size": 64, "optimizer": "sgd", "sgd_lr": 0.05, "momentum": 0.9, "nesterov": True,
    },
    "layers": {
        "lr": 3e-3, "activation": "gelu", "n_layers": 3, "units_0": 256, "dropout_0": 0.2, "units_1": 128,
        "dropout_1": 0.2, "units_2": 32, "dropout_2": 0.2,
    },
    "mixed": {
        "lr": 0.03, "weight_decay": 1e-4, "label_smoothing": 0.1, "depth": 18, "width": 512, "norm": "batch",
        "schedule": "cosine", "augment": "all", "seed_of_init": 0, "log_every": 1, "momentum_of_average": 0.0,
        "ratio_of_nothing": 1.0, "backend": "c",
    },
    "nested": {"model": "net", "lr": 1e-3, "head": "attention", "n_heads": 4, "head_width": 64, "temperature": 1.0},
}  # fmt: skip
"""Name -> a configuration that is worth 0."""

MEASURES: dict[str, tuple[Space, Callable[[Params], float]]] = {
    "optimizers": (OPTIMIZERS, optimizers),
    "layers": (LAYERS, layers),
    "mixed": (MIXED, mixed),
    "nested": (NESTED, nested),
}


def conditionals() -> list[Problem]:
    """Each of them as it is and with noise."""
    return [
        of_measure(f"{name}{ending}", space, measure, optimum=0.0, noise=noise)
        for name, (space, measure) in MEASURES.items()
        for ending, noise in (("", 0.0), ("-noisy", NOISE))
    ]
