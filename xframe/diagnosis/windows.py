"""The updates that accumulation windows give, cut wherever a hypothesis has them cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xframe.errors import UsageError
from xframe.plan import counting
from xframe.plan.cadence import Cadence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xframe.plan.training_plan import TrainingPlan

    Ints = NDArray[np.int64]


def updates_of(cuts: NDArray[np.bool_], k: int, leftover: str, begun: int = 0, *, each: bool = False) -> Ints:
    """Updates after each step, where windows of k steps are cut after the steps marked.

    Args:
        begun: steps that the first window has behind it already; of each segment, if ``each``.
    """
    index = np.arange(len(cuts), dtype=np.int64)
    starts = np.zeros(len(cuts), dtype=np.int64)
    if leftover != "carry" and len(cuts):
        starts[1:] = np.where(cuts[:-1], index[1:], 0)
        starts = np.maximum.accumulate(starts)
    since = index - starts + 1 + begun * ((starts == 0) | each)
    due = since % k == 0
    if leftover == "flush":
        due |= cuts
    return np.cumsum(due, dtype=np.int64)


def ends(plan: TrainingPlan, num_samples: int, steps: int, kind: str = "epoch") -> NDArray[np.bool_] | None:
    """Which of the first steps end an epoch or a pass; None if the run has fewer."""
    try:
        if not steps or Cadence(plan, num_samples).num_steps < steps:
            return None
        part = counting.rows(plan, num_samples, 0, steps)
    except UsageError:
        return None
    column = part.epoch if kind == "epoch" else part.pass_index
    cut = np.ones(steps, dtype=np.bool_)
    cut[:-1] = column[1:] != column[:-1]
    return cut
