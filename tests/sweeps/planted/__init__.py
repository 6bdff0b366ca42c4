"""Numeric bugs, planted into one of two equal trainings: each a small thing that real training code has wrong.

Structure shows none of them: batches, updates and their number stay as they are. Each is declared beside what must be
reported of it: the stage and the tensor that it is in, and the cause, if a cause for it has a name.

Its files:

    declaring.py   ``Bug``, and the three ways to plant one: a task changed, its batches, a step's own parts
    trainings.py   the small models, data and plans that they are planted into
    rules.py       optimizers: a number, a dialect, a formula that no rule of the catalogue has
    gradients.py   clipping, denominators, accumulation, what is frozen or turned around
    objectives.py  losses, data, precision
    models.py      layers and their buffers
"""

from sweeps.planted import gradients, models, objectives, rules
from sweeps.planted.declaring import DECLARED, Bug

__all__ = ["BUGS", "Bug", "gradients", "models", "objectives", "rules"]

BUGS = tuple(DECLARED)
if len({bug.name for bug in BUGS}) != len(BUGS):
    raise ValueError("two bugs have one name")
