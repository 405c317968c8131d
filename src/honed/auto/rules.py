"""The table: the first rule that fits decides sampler and scheduler, and says why in one line.

Rules 1 to 5 and 10 to 13 need to know nothing of trainings; 6 to 9 come in once one has reported as it went. ``docs/auto.md``
has the same table for users.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from honed.auto.advice import advice
from honed.auto.case import FEW_TRIALS, MOST_CURVE_TRIALS, MOST_PROCESS_TRIALS, MOST_WORKERS, Case
from honed.auto.early import CURVE_STEPS, LEAST_STEPS, LEAST_STOPPED, FirstLook, HalfToTheEnd, PickUp
from honed.auto.evidence import LEAST_FINISHED
from honed.freeze_thaw import FreezeThaw
from honed.freeze_thaw.budget import first_slice, total_steps
from honed.history import History
from honed.samplers.base import Sampler
from honed.samplers.cmaes import CMAES
from honed.samplers.combine import Countable
from honed.samplers.gp import GP
from honed.samplers.grid import Grid
from honed.samplers.nsga import NSGA2, NSGA3
from honed.samplers.quasirandom import Sobol
from honed.samplers.random import Random
from honed.samplers.tpe import TPE
from honed.schedulers.asha import ASHA, ASHAStopping
from honed.schedulers.base import Scheduler
from honed.schedulers.full import Full
from honed.space import Space

_MOST_SOBOL_DIMENSIONS = 21_201
_MOST_FRONT_OBJECTIVES = 3
_MOST_CMA_DIMENSIONS = 100
CURVE_RULES = (6, 7, 8, 9)
"""Rules that come in once trainings have reported as they go."""

_SURE = 3  # trainings that could all be resumed
_POOR, _STILL_POOR = 0.3, 0.6  # rank correlation, and the same one standard error above


@dataclass(frozen=True, slots=True)
class Choice:
    """Who decides, and why.

    Attributes:
        rule: its number in the table.
        reason: a sentence for the user.
        until: what would change it; empty where nothing does.
        notes: what else the user should know.
    """

    sampler: Sampler
    scheduler: Scheduler
    reason: str
    rule: int
    until: str = ""
    notes: tuple[str, ...] = ()


def choose(
    space: Space,
    history: History,
    n_trials: int | None,
    n_workers: int,
    *,
    is_budgeted: bool = False,
    has_curves: bool = True,
) -> Choice:
    """Sampler and scheduler for a study: the first rule that fits.

    Args:
        space: the joint space as it is known now.
        history: what was tried.
        n_trials: the study's total; None without a limit.
        n_workers: how many trials run at once.
        is_budgeted: whether time is limited; a limit of steps stands in the history.
        has_curves: whether trainings may be ended early; else only the rules that need no curves fit.
    """
    case = Case.of(space, history, n_trials, n_workers, is_budgeted)
    if not has_curves:
        case = replace(case, may_pause=False)
    choice = _evenly(case)
    if choice is None:
        choice = _several(case) if case.n_objectives > 1 else _with_curves(case) or _looking(_one(case), case)
    if case.evidence.n_paused and isinstance(choice.scheduler, Full):
        choice = replace(choice, scheduler=PickUp(choice.scheduler))
    return replace(choice, notes=(*choice.notes, *advice(case, list(space.domains))))


# ------------------------------------------------------------------------------------------------------ without curves


def _evenly(case: Case) -> Choice | None:
    """Where no model can help: what can be tried completely, what is too short, what is not known yet."""
    full = case.evidence.steps or 1
    if case.size is not None and (case.most_steps is None or case.size * full <= case.most_steps):
        combinations = f"{case.size:,} combination{'s' if case.size != 1 else ''}"
        so_far = "" if case.is_declared else " so far"
        grid = Countable(Grid(), otherwise=Sobol())
        return Choice(grid, Full(), f"{combinations}{so_far}, {case.trials}: trying each once.", 1)
    if case.n > _MOST_SOBOL_DIMENSIONS:
        return Choice(
            Random(), Full(), f"{case.parameters}, more than Sobol points have dimensions: random search.", 13
        )
    if case.n_trials is None or case.n_trials >= FEW_TRIALS:
        return None
    if case.evidence.steps is not None and case.may_pause and not case.is_short:
        return None
    what = f"{case.trials}, {case.parameters}" if case.n else case.trials
    choice = Choice(Sobol(), Full(), f"{what}: no model can help; spreading them evenly.", 2)
    if case.evidence.steps is None or not case.may_pause:
        return _looking(choice, case)
    each = "it is trained to its end" if case.n_trials == 1 else "each is trained to its end"
    return replace(choice, notes=(f"{case.trials}: {each}. From ten on, weak ones pause.",))


def _one(case: Case) -> Choice:
    """One objective, as if there were no curves."""
    if case.n_workers > MOST_WORKERS or not case.is_for_processes:
        rule = 11 if case.n_finished < MOST_PROCESS_TRIALS else 13
        return Choice(TPE(), Full(), f"{case.what_is_hard}: TPE.", rule)
    is_smooth = not case.n_choices and not case.n_conditional and 1 < case.n <= _MOST_CMA_DIMENSIONS
    later = "CMA-ES" if is_smooth else "TPE"
    if case.n_finished < MOST_PROCESS_TRIALS:
        reason, until = f"{case.parameters}, {case.trials}: Gaussian process.", ""
        if case.n_trials is None or case.n_trials > MOST_PROCESS_TRIALS:
            reason = f"{case.parameters}, {case.trials}: Gaussian process for the first {MOST_PROCESS_TRIALS}."
            until = f"Will switch to {later} at {MOST_PROCESS_TRIALS} trials."
        return Choice(GP(), Full(), reason, 10, until)
    after = f"Trial {MOST_PROCESS_TRIALS}: switching from Gaussian process to"
    if is_smooth:
        return Choice(CMAES(), Full(), f"{after} CMA-ES, started at the best tenth.", 12)
    return Choice(TPE(), Full(), f"{after} TPE.", 13)


def _looking(choice: Choice, case: Case) -> Choice:
    """The same before trainings are known: those that can be resumed are paused at their first slice."""
    if not case.may_pause or case.is_short or not isinstance(choice.scheduler, Full):
        return choice
    full = case.evidence.steps
    if full is not None and full < LEAST_STEPS:
        return choice
    until = choice.until or "Trainings that report per epoch and call trial.track(...) will be paused and resumed."
    return replace(choice, scheduler=FirstLook(Full()), until=until)


def _several(case: Case) -> Choice:
    """Several objectives."""
    objectives = f"{case.n_objectives} objectives, {case.trials}"
    evolution, name = (NSGA2(), "NSGA-II") if case.n_objectives <= _MOST_FRONT_OBJECTIVES else (NSGA3(), "NSGA-III")
    if case.n_finished >= MOST_PROCESS_TRIALS:
        return Choice(evolution, Full(), f"{objectives}: evolution ({name}) from trial {MOST_PROCESS_TRIALS} on.", 5)
    is_long = case.n_trials is None or case.n_trials > MOST_PROCESS_TRIALS
    until = f"Will switch to evolution ({name}) at {MOST_PROCESS_TRIALS} trials." if is_long else ""
    if case.n_workers > MOST_WORKERS or not case.is_for_processes:
        return Choice(TPE(), Full(), f"{objectives}, {case.what_is_hard}: TPE by Pareto rank.", 4, until)
    if case.n_objectives > _MOST_FRONT_OBJECTIVES:
        how = "Gaussian processes on random mixtures of the objectives (ParEGO)"
        return Choice(GP(), Full(), f"{objectives}: {how}.", 4, until)
    return Choice(GP(), Full(), f"{objectives}: Gaussian processes on the Pareto front.", 3, until)


# --------------------------------------------------------------------------------------------------------- with curves


def _with_curves(case: Case) -> Choice | None:
    """One objective, and trainings that report as they go; None where they are too short to be ended early."""
    full, may_stop = case.evidence.steps, not case.evidence.resumes
    if full is None or not case.may_pause or full < (LEAST_STOPPED if may_stop else LEAST_STEPS):
        return None
    if _is_misleading(case):
        return _half(case, full)
    if may_stop:
        return _stopping(case, full)
    is_many = max(case.n_trials or 0, case.n_begun) > MOST_CURVE_TRIALS
    if full < CURVE_STEPS or is_many or case.n_workers > MOST_WORKERS:
        return _promoting(case, full, is_many)
    return _predicting(case, full)


def _is_misleading(case: Case) -> bool:
    """Whether the early order says little of the final one; few curves must say it clearly."""
    order = case.evidence.order
    return order.n >= LEAST_FINISHED and order.rho < _POOR and order.upper < _STILL_POOR


def _half(case: Case, full: int) -> Choice:
    """Rule 6: the others are compared later, at a quarter of a full training."""
    evidence, proposer = case.evidence, _proposer(case)
    later = max(evidence.looked_at or 1, full // 4, 1)
    rest: Scheduler = PickUp(ASHAStopping(min_steps=later))
    if evidence.resumes:
        rest = _careful(ASHA(min_steps=later), case)
    reason = (
        f"Epoch {evidence.looked_at} does not predict epoch {full} (rank correlation {_decimals(evidence.order.rho)}): "
        "half of the trials run to the end."
    )
    until = "Will change when finished trials show a better correlation."
    return Choice(proposer.sampler, HalfToTheEnd(rest), reason, 6, until)


def _predicting(case: Case, full: int) -> Choice:
    """Rule 7."""
    evidence = case.evidence
    both = FreezeThaw(min_steps=evidence.first)
    first = evidence.first or first_slice(full)
    what = "Reports per epoch and checkpoints work" if evidence.n_restored else "Reports per epoch and trial.track(...)"
    reason = f"{what}: pausing and resuming by predicted value at epoch {full}; first slice {first} epochs."
    notes: tuple[str, ...] = ()
    if case.n_trials is not None and not case.is_budgeted:
        total = total_steps(case.n_trials, first, full)
        n_full = f"{round(total / full):,} full training{'s' if round(total / full) != 1 else ''}"
        notes = (f"{case.trials} of {full} epochs: about {total:,} epochs in all, as much as {n_full}.",)
    until = (
        "Will let half of the trials run to the end if the order of finished trials shows that early values mislead."
    )
    return Choice(both, _careful(both, case), reason, 7, until, notes)


def _promoting(case: Case, full: int, is_many: bool) -> Choice:
    """Rule 8: what freeze-thaw search is not for."""
    evidence, is_short = case.evidence, full < CURVE_STEPS
    asha = ASHA(min_steps=None if is_short else evidence.first)
    rungs = ", ".join(map(str, (*asha.rungs(full), full)))
    proposer = _proposer(case) if is_short and not is_many else Choice(TPE(), Full(), "", 8)
    workers = f" on {case.n_workers} workers" if case.n_workers > 1 else ""
    n = case.trials if case.n_trials is not None or not is_many else f"{case.n_begun:,} trials and more"
    reason = f"{n}{workers}: rung promotions ({rungs} epochs), proposals by {_spoken(proposer.sampler)}."
    return Choice(proposer.sampler, _careful(asha, case), reason, 8)


def _stopping(case: Case, full: int) -> Choice:
    """Rule 9."""
    evidence, proposer = case.evidence, _proposer(case)
    rule = ASHAStopping()
    rungs = " and ".join(map(str, rule.rungs(full)))
    why = "Nothing to resume" if not evidence.n_tracked else "Checkpoints are lost before they are needed"
    hint = "" if evidence.n_tracked else " trial.track(model=..., optimizer=...) would let them continue."
    reason = f"{why}: stopping weak trials at {rungs} of {full} epochs; proposals by {_spoken(proposer.sampler)}.{hint}"
    scheduler: Scheduler = PickUp(rule) if evidence.n_tracked else FirstLook(PickUp(Full()), stops=True)
    until = "Will pause and resume them once they call trial.track(...)." if hint else ""
    return Choice(proposer.sampler, scheduler, reason, 9, until)


def _careful(scheduler: Scheduler, case: Case) -> Scheduler:
    """Grants only where some trainings have shown that they can be resumed, and none that it cannot.

    Without a grant a running trial may take all its steps, as far as budgets know; a single worker is alone with its own.
    """
    is_sure = case.evidence.all_resume and case.evidence.n_tracked >= _SURE
    return scheduler if is_sure and case.n_workers > 1 else FirstLook(scheduler, stops=True)


def _proposer(case: Case) -> Choice:
    """Who proposes where somebody else decides how far: a model that learns from partial curves, too."""
    choice = _one(case)
    return choice if isinstance(choice.sampler, GP | TPE) else replace(choice, sampler=TPE())


def _spoken(sampler: Sampler) -> str:
    return "Gaussian process" if isinstance(sampler, GP) else "TPE"


def _decimals(rho: float) -> str:
    return f"{rho:.2f}".replace("0.", ".")
