"""honed: hyperparameter optimization for deep learning that pauses, resumes and learns from every learning curve.

    import honed

    def objective(trial):
        lr = trial.suggest_float("lr", 1e-4, 1.0, log=True)
        return train(lr)

    study = honed.create_study("mnist", metric="val_loss")
    study.optimize(objective, n_trials=100)
    print(study.best_trial.params)

Names are loaded when they are first used, so that ``import honed`` stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from honed.beliefs import LogNormal, Normal, Weights
    from honed.confirm.recommend import Recommendation
    from honed.confirm.verdict import Confirmation
    from honed.domains import Bool, Categorical, Const, Domain, Float, Int, Ordinal
    from honed.errors import Fatal, HonedError, Infeasible
    from honed.fixed import FixedTrial
    from honed.freeze_thaw import FreezeThaw
    from honed.opening import create_space, create_study, delete_study, load_study
    from honed.records import Report, State, TrialRecord
    from honed.samplers.annealing import Annealing
    from honed.samplers.cmaes import CMAES
    from honed.samplers.evolution import DifferentialEvolution, RegularizedEvolution
    from honed.samplers.gp import GP
    from honed.samplers.grid import Grid
    from honed.samplers.nsga import NSGA2, NSGA3
    from honed.samplers.quasirandom import Halton, Sobol
    from honed.samplers.random import Random
    from honed.samplers.tpe import TPE
    from honed.schedulers.additive import AdditiveHalving
    from honed.schedulers.asha import ASHA, ASHAStopping
    from honed.schedulers.full import Full
    from honed.schedulers.halving import SuccessiveHalving
    from honed.schedulers.hyperband import Hyperband
    from honed.schedulers.paired import Wilcoxon
    from honed.schedulers.pasha import PASHA
    from honed.schedulers.pbt import PBT
    from honed.schedulers.stopping import Median, Patience, Percentile, Threshold
    from honed.space import Space
    from honed.study import Study
    from honed.supervisor.settings import Workers
    from honed.trial import Trial

__version__ = "0.1.0"

_HOME = {
    "create_study": "opening",
    "create_space": "opening",
    "load_study": "opening",
    "delete_study": "opening",
    "Study": "study",
    "Workers": "supervisor.settings",
    "Trial": "trial",
    "FixedTrial": "fixed",
    "TrialRecord": "records",
    "Report": "records",
    "State": "records",
    "Space": "space",
    "Domain": "domains",
    "Float": "domains",
    "Int": "domains",
    "Categorical": "domains",
    "Ordinal": "domains",
    "Bool": "domains",
    "Const": "domains",
    "Normal": "beliefs",
    "LogNormal": "beliefs",
    "Weights": "beliefs",
    "Confirmation": "confirm.verdict",
    "Recommendation": "confirm.recommend",
    "Random": "samplers.random",
    "Grid": "samplers.grid",
    "Sobol": "samplers.quasirandom",
    "Halton": "samplers.quasirandom",
    "GP": "samplers.gp",
    "TPE": "samplers.tpe",
    "CMAES": "samplers.cmaes",
    "DifferentialEvolution": "samplers.evolution",
    "RegularizedEvolution": "samplers.evolution",
    "Annealing": "samplers.annealing",
    "NSGA2": "samplers.nsga",
    "NSGA3": "samplers.nsga",
    "FreezeThaw": "freeze_thaw",
    "AdditiveHalving": "schedulers.additive",
    "ASHA": "schedulers.asha",
    "ASHAStopping": "schedulers.asha",
    "Full": "schedulers.full",
    "Hyperband": "schedulers.hyperband",
    "Median": "schedulers.stopping",
    "PASHA": "schedulers.pasha",
    "PBT": "schedulers.pbt",
    "Patience": "schedulers.stopping",
    "Percentile": "schedulers.stopping",
    "SuccessiveHalving": "schedulers.halving",
    "Threshold": "schedulers.stopping",
    "Wilcoxon": "schedulers.paired",
    "HonedError": "errors",
    "Infeasible": "errors",
    "Fatal": "errors",
}

__all__ = [
    "ASHA",
    "CMAES",
    "GP",
    "NSGA2",
    "NSGA3",
    "PASHA",
    "PBT",
    "TPE",
    "ASHAStopping",
    "AdditiveHalving",
    "Annealing",
    "Bool",
    "Categorical",
    "Confirmation",
    "Const",
    "DifferentialEvolution",
    "Domain",
    "Fatal",
    "FixedTrial",
    "Float",
    "FreezeThaw",
    "Full",
    "Grid",
    "Halton",
    "HonedError",
    "Hyperband",
    "Infeasible",
    "Int",
    "LogNormal",
    "Median",
    "Normal",
    "Ordinal",
    "Patience",
    "Percentile",
    "Random",
    "Recommendation",
    "RegularizedEvolution",
    "Report",
    "Sobol",
    "Space",
    "State",
    "Study",
    "SuccessiveHalving",
    "Threshold",
    "Trial",
    "TrialRecord",
    "Weights",
    "Wilcoxon",
    "Workers",
    "create_space",
    "create_study",
    "delete_study",
    "load_study",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'honed' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"honed.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
