"""What a study has found: all that only looks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from honed.confirm.recommend import Recommendation, Rule, Simplicity, recommend
from honed.confirm.runs import confirming
from honed.confirm.verdict import Confirmation, confirmed
from honed.frame import to_dataframe
from honed.history import History
from honed.pareto import dominated_volume, knee, pareto_front
from honed.records import StudyRecord, TrialRecord
from honed.report import study_report
from honed.storage.base import Storage

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from honed.explain import CurveData, StudyExplanation, TrialExplanation


class Results(ABC):
    """What a study has found.

    Attributes:
        storage: where it lives.
        record: the study as it was opened.
    """

    storage: Storage
    record: StudyRecord

    @property
    @abstractmethod
    def history(self) -> History:
        """Everything known now: records, arrays, the joint space."""

    @property
    def name(self) -> str:
        """The study's name."""
        return self.record.name

    @property
    def trials(self) -> list[TrialRecord]:
        """All trials by number."""
        return list(self.history)

    @property
    def best_trial(self) -> TrialRecord:
        """The finished trial with the best value; of several objectives the knee of the Pareto front (``honed.pareto.knee``).

        Where constraints are measured, the best of those that keep them; while none does, the one that violates them least.

        Raises:
            LookupError: no trial is complete yet.
        """
        history = self.history
        best = history.best if len(history.study.directions) == 1 else knee(history)
        if best is None:
            raise LookupError(f"study {self.name!r} has no complete trial yet ({len(history)} trials in all)")
        return best

    @property
    def pareto_front(self) -> list[TrialRecord]:
        """The finished trials that no other one beats in all objectives, by the first objective, best first.

        Where constraints are measured, of those that keep them; while none does, the one that violates them least.
        """
        return pareto_front(self.history)

    def hypervolume(self, reference: Sequence[float] | None = None) -> float:
        """The volume that the Pareto front dominates: larger is better, but only comparable for the same reference.

        Args:
            reference: a value of each objective that is worse than what counts; by default the worst of all trials so far and
                a tenth of their range beyond.
        """
        return dominated_volume(self.history, reference)

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What was kept with the study by ``set_attribute``."""
        return self.history.study.attributes

    @property
    def confirmation(self) -> Confirmation | None:
        """What ``confirm`` has found so far; None without one."""
        name = confirming(self.history).name
        record = next((record for record in self.storage.studies() if record.name == name), None)
        if record is None:
            return None
        return confirmed(self.history, History.empty(record).extend(self.storage.read(record.id, 0)))

    def recommend(self, rule: Rule = "mean", simplicity: Simplicity | None = None) -> Recommendation:
        """The trial to take home, with what to expect of it: ``best_trial`` has the luckiest value, which is not the same.

        By the means of a confirmation if there is one, else by a model of all trials; of several objectives, the knee.

        Args:
            rule: "mean", or "one_standard_error": the simplest trial that is no worse than that.
            simplicity: of params, smaller is simpler; by default the shorter training, then the older trial.
        """
        return recommend(self.history, self.confirmation, rule, simplicity)

    def to_dataframe(self) -> pd.DataFrame:
        """All trials as a pandas data frame."""
        return to_dataframe(self.history)

    def report(self) -> str:
        """The end-of-run report: counts, the best trial, its params."""
        return study_report(self.history, self.confirmation)

    @overload
    def explain(self) -> StudyExplanation: ...
    @overload
    def explain(self, trial: int | TrialRecord) -> TrialExplanation: ...
    def explain(self, trial: int | TrialRecord | None = None) -> StudyExplanation | TrialExplanation:
        """Who decides and why, what is promising, whether to go on; of a trial, how it will end and why it is where it is.

        Args:
            trial: a number or a record.

        Raises:
            TrialNotFound: the study has no such trial.
        """
        from honed.explain import explain_study, explain_trial  # few ask

        if trial is None:
            return explain_study(self.history)
        return explain_trial(self.history, trial.number if isinstance(trial, TrialRecord) else trial)

    def curve_data(self, trials: Iterable[int | TrialRecord] | None = None, *, predicted: bool = True) -> CurveData:
        """Learning curves as arrays, with what is predicted of their rest.

        Args:
            trials: by default all that have reported something.
            predicted: whether to predict at all.

        Raises:
            TrialNotFound: a number that the study does not have.
        """
        from honed.explain import curve_data

        return curve_data(self.history, trials, predicted=predicted)

    def plot_curves(self, trials: Iterable[int | TrialRecord] | None = None, *, predicted: bool = True) -> Figure:
        """The learning curves as a figure of matplotlib, drawn from ``curve_data``.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        from honed.explain.curves import draw_curves

        return draw_curves(self.curve_data(trials, predicted=predicted))
