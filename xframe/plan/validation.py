"""When a plan validates, and where its early stopping ends a run, judged by the run's own validations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xframe.plan import counting
from xframe.plan.stopping import Decision, EarlyStopping
from xframe.plan.training_plan import TrainingPlan

_ROWS = 1 << 17  # of a plan that are looked at together


class Observed(Protocol):
    """A validation as a run recorded it."""

    @property
    def after(self) -> int:
        """Steps that were made before it."""

    @property
    def loss(self) -> float | None:
        """The mean over the validation samples; None if it was not recorded."""

    @property
    def accuracy(self) -> float | None:
        """The same of the accuracy."""


def due(plan: TrainingPlan, num_samples: int, most: int | None = None) -> NDArray[np.int64]:
    """After how many steps the plan validates, in order, if nothing stops it early; up to ``most`` steps if given."""
    every, total = plan.validation_every, counting.num_steps(plan, num_samples)
    last = total if most is None else min(total, most)
    if every is None:
        return np.zeros(0, dtype=np.int64)
    if plan.validation_unit == "steps":
        after = np.arange(every, last + 1, every, dtype=np.int64)
    else:
        after = np.concatenate([*_crossings(plan, num_samples, last, every), np.zeros(0, dtype=np.int64)])
    return after if last < total or (after.size and after[-1] == total) else np.append(after, total)


def _crossings(plan: TrainingPlan, num_samples: int, last: int, every: int) -> Iterator[NDArray[np.int64]]:
    """After which steps, up to ``last``, a multiple of ``every`` updates or epochs is reached.

    Not where an epoch ends with training.
    """
    before, total = 0, counting.num_steps(plan, num_samples)
    for start in range(0, last, _ROWS):
        stop = min(start + _ROWS, last)
        if plan.validation_unit == "updates":
            count = counting.rows(plan, num_samples, start, stop).updates
        else:  # an epoch is over where the next step has a different label
            count = counting.rows(plan, num_samples, start, min(stop + 1, total)).epoch[1:]
        multiples = np.concatenate([[before], count // every])
        yield start + 1 + np.flatnonzero(np.diff(multiples) > 0)
        before = int(multiples[-1])


def decisions(plan: TrainingPlan, validations: Sequence[Observed]) -> list[Decision]:
    """What the plan's early stopping decides after each of a run's validations, up to the one that stops it."""
    stopping, made = EarlyStopping(plan), []
    for value in _monitored(plan, validations):
        made.append(stopping.see(math.nan if value is None else value))
        if made[-1].stops:
            break
    return made


def _monitored(plan: TrainingPlan, validations: Sequence[Observed]) -> list[float | None]:
    accuracy = plan.early_stopping_monitor == "accuracy"
    return [validation.accuracy if accuracy else validation.loss for validation in validations]


def decidable(plan: TrainingPlan, validations: Sequence[Observed]) -> bool:
    """Whether these validations show where the plan's early stopping ends their run."""
    return plan.early_stopping_patience is None or (bool(validations) and None not in _monitored(plan, validations))


def stopped_after(plan: TrainingPlan, validations: Sequence[Observed]) -> int | None:
    """After how many steps a run with these validations ends early; None if it does not."""
    if plan.early_stopping_patience is None:
        return None
    made = decisions(plan, validations)
    return validations[len(made) - 1].after if made and made[-1].stops else None


def closest(plan: TrainingPlan, validations: Sequence[Observed]) -> tuple[int, float] | None:
    """The validation whose decision was closest, and its margin: a difference as large would have turned it."""
    margins = [(decision.margin, i) for i, decision in enumerate(decisions(plan, validations))]
    margin, index = min((pair for pair in margins if not math.isnan(pair[0])), default=(math.nan, -1))
    return None if index < 0 else (index, margin)
