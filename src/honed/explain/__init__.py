"""A study explained to people: who decides and why, what is promising, what a trial may still become, whether to go on.

All of it is computed from a history, for looking at it: nothing here decides anything.
"""

from honed.explain.advice import Advice, advice, is_converged
from honed.explain.curves import CurveData, TrialCurve, curve_data
from honed.explain.study import StudyExplanation, explain_study
from honed.explain.trial import TrialExplanation, explain_trial

__all__ = [
    "Advice",
    "CurveData",
    "StudyExplanation",
    "TrialCurve",
    "TrialExplanation",
    "advice",
    "curve_data",
    "explain_study",
    "explain_trial",
    "is_converged",
]
