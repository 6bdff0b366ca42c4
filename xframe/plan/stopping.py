"""Early stopping: the rule, and how close each of its decisions was.

A validation *improves* if its value is better than the best so far by more than ``min_delta``. One that does not
costs patience, and when ``early_stopping_patience`` of them have come in a row, training stops after the last.
With a baseline, an improvement restores patience only if it is also better than the baseline by more than
``min_delta``; an improvement never stops training. NaN never improves. That is the rule of Keras'
``EarlyStopping``, which counts validations where it validates every epoch.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from xframe.plan.training_plan import TrainingPlan


class Decision(NamedTuple):
    """What one validation decided.

    Attributes:
        value: of the monitored quantity.
        improves: it is the best so far.
        stops: training ends here.
        margin: by how much the value missed or passed what decided; NaN for the first, which nothing decides.
    """

    value: float
    improves: bool
    stops: bool
    margin: float


class EarlyStopping:
    """Follows the validations of one run.

    Attributes:
        best: the best value so far.
        best_validation: the index of its validation, from 0; None before the first.
        decisions: one for each validation seen.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        self._sign = -1.0 if plan.early_stopping_mode == "max" else 1.0
        self._patience = plan.early_stopping_patience
        self._min_delta = plan.early_stopping_min_delta or 0.0
        self._baseline = plan.early_stopping_baseline
        self._wait = 0
        self.best = self._sign * math.inf
        self.best_validation: int | None = None
        self.decisions: list[Decision] = []

    def see(self, value: float) -> Decision:
        """The next validation's value; says what follows from it."""
        value = float(value)
        margins = [self._margin(value, self.best)]
        improves = margins[0] > 0
        self._wait += 1
        if improves:
            self.best, self.best_validation = value, len(self.decisions)
            if self._baseline is not None:
                margins.append(self._margin(value, self._baseline))
            if margins[-1] > 0:
                self._wait = 0
        stops = not improves and self._patience is not None and self._wait >= self._patience
        margin = min((abs(m) for m in margins if math.isfinite(m)), default=math.nan)
        self.decisions.append(Decision(value, improves, stops, margin))
        return self.decisions[-1]

    def _margin(self, value: float, bar: float) -> float:
        """By how much it is better than the bar and ``min_delta``; negative if it is not."""
        return self._sign * (bar - value) - self._min_delta
