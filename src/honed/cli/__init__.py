"""The command ``honed``: run a script's objective, look at studies, take results out, check a storage.

Results go to stdout (``--json`` everywhere for programs), progress and messages to stderr. Exit codes:

====  ==========================================================================
0     done
1     the objective failed, or the check found a problem
2     wrong usage: an unknown command, option or value
3     there is no such study, trial or storage, or the storage cannot be used
130   interrupted (Ctrl-C); what was told is kept, the same command goes on
====  ==========================================================================
"""

from __future__ import annotations


def main() -> None:
    """Entry point of the command ``honed``."""
    from honed.cli.app import app

    app(prog_name="honed")
