"""Early stopping: the rule, and how close each of its decisions was.

A validation *improves* if its value is better than the best so far by more than ``min_delta``. One that does not
costs patience, and when ``early_stopping_patience`` of them have come in a row, training stops after the last.
With a baseline, an improvement restores patience only if it is also better than the baseline by more than
``min_delta``; an improvement never stops training. NaN never improves. That is the rule of Keras'
``EarlyStopping``, which counts validations where it validates every epoch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from xframe.plan.training_plan import TrainingPlan


class Decision(NamedTuple):
    """What one validation decided."""

    value: float  # of the monitored quantity
    improves: bool  # it is the best so far
    stops: bool  # training ends here
    margin: float  # by how much the value missed or passed what decided; NaN for the first, which nothing decides


@dataclass(frozen=True, slots=True)
class StoppingState:
    """All that early stopping remembers. Its values are JSON's, but for a best value that is infinite."""

    best: float | None = None  # the best value so far; None before the first
    best_validation: int | None = None  # the index of its validation, from 0
    seen: int = 0  # validations so far
    waited: int = 0  # validations that cost patience since it was last restored


class EarlyStopping:
    """Follows the validations of one run."""

    def __init__(self, plan: TrainingPlan) -> None:
        self._sign = -1.0 if plan.early_stopping_mode == "max" else 1.0
        self._patience = plan.early_stopping_patience
        self._min_delta = plan.early_stopping_min_delta or 0.0
        self._baseline = plan.early_stopping_baseline
        self._state = StoppingState()

    def state(self) -> StoppingState:
        """Where it stands, for ``restore``."""
        return self._state

    def restore(self, state: StoppingState) -> None:
        """Goes on from there, as if it had seen the validations itself."""
        self._state = state

    def see(self, value: float) -> Decision:
        """What follows from the next validation's value."""
        value, state = float(value), self._state
        margins = [self._margin(value, self._sign * math.inf if state.best is None else state.best)]
        improves = margins[0] > 0
        if improves and self._baseline is not None:
            margins.append(self._margin(value, self._baseline))
        waited = 0 if margins[-1] > 0 else state.waited + 1
        best, best_validation = (value, state.seen) if improves else (state.best, state.best_validation)
        self._state = StoppingState(best, best_validation, state.seen + 1, waited)
        stops = not improves and self._patience is not None and waited >= self._patience
        return Decision(value, improves, stops, min((abs(m) for m in margins if math.isfinite(m)), default=math.nan))

    def _margin(self, value: float, bar: float) -> float:
        """By how much it is better than the bar and ``min_delta``; negative if it is not."""
        return self._sign * (bar - value) - self._min_delta
