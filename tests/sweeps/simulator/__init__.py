"""What a plan does to a data set, walked batch by batch: the yardstick for counting in closed form.

Nothing here is computed that could be tallied, and nothing of xframe is imported; the samples' order is passed in.
"""

from sweeps.simulator.drawing import random_case, random_plan, replicated_case
from sweeps.simulator.edges import EDGES
from sweeps.simulator.walk import DEFAULTS, REPLICA_VALUES, VALUES, Refused, Run, Step, Update, resolve, simulate

__all__ = [
    "DEFAULTS",
    "EDGES",
    "REPLICA_VALUES",
    "VALUES",
    "Refused",
    "Run",
    "Step",
    "Update",
    "random_case",
    "random_plan",
    "replicated_case",
    "resolve",
    "simulate",
]
