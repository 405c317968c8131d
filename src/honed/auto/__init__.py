"""What ``sampler="auto"`` means: the first rule that fits decides who proposes and who ends trainings early, and says why.

``case`` is what the rules look at, ``evidence`` what trainings have shown, ``rules`` the table, ``early`` the schedulers that
lose nothing by a first look, ``told`` what a run was told, and ``explain`` the same in words for a study that is opened later.
A pure function of the space, the limits, the workers and the history, so that a study that goes on makes the same choice.
"""

from honed.auto.case import look
from honed.auto.evidence import evidence_of
from honed.auto.explain import explained
from honed.auto.names import SAMPLERS, named
from honed.auto.rules import CURVE_RULES, Choice, choose
from honed.auto.told import Told

__all__ = ["CURVE_RULES", "SAMPLERS", "Choice", "Told", "choose", "evidence_of", "explained", "look", "named"]
