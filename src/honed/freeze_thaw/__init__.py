"""Freeze-thaw search: one model of all learning curves decides at every step what to train next, and how far.

``FreezeThaw`` is a sampler and a scheduler in one object. The mathematics is in ``honed.algorithms``, in the files
``curve_*``. Here: what a history says (``seen``), what is learned from it (``model``) and from failures (``risk``), where new
configurations come from (``candidates``), how many steps are left (``budget``), and the decision (``policy``).
"""

from honed.freeze_thaw.policy import FreezeThaw

__all__ = ["FreezeThaw"]
