"""When a plan validates, and where its early stopping ends a run, from what the run's own validations found."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from xframe.plan import counting
from xframe.plan.stopping import Decision, EarlyStopping

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xframe.plan.training_plan import TrainingPlan
    from xframe.trace.trace import Validation

_ROWS = 1 << 17  # of a plan that are looked at together


def due(plan: TrainingPlan, num_samples: int) -> NDArray[np.int64]:
    """After how many steps the plan validates, in order, if nothing stops it early."""
    every, total = plan.validation_every, counting.num_steps(plan, num_samples)
    if every is None:
        return np.zeros(0, dtype=np.int64)
    if plan.validation_unit == "steps":
        found = np.arange(every, total + 1, every, dtype=np.int64)
    else:
        found = np.concatenate([*_crossings(plan, num_samples, total, every), np.zeros(0, dtype=np.int64)])
    return found if found.size and found[-1] == total else np.append(found, total)


def _crossings(plan: TrainingPlan, num_samples: int, total: int, every: int) -> Iterator[NDArray[np.int64]]:
    """After which steps a multiple of ``every`` updates or epochs is reached, but for epochs that end with training."""
    before = 0
    for start in range(0, total, _ROWS):
        stop = min(start + _ROWS, total)
        if plan.validation_unit == "updates":
            count = counting.rows(plan, num_samples, start, stop).updates
        else:  # an epoch is over where the next step has another label
            count = counting.rows(plan, num_samples, start, min(stop + 1, total)).epoch[1:]
        multiples = np.concatenate([[before], count // every])
        yield start + 1 + np.flatnonzero(np.diff(multiples) > 0)
        before = int(multiples[-1])


def decisions(plan: TrainingPlan, validations: Sequence[Validation]) -> list[Decision]:
    """What the plan's early stopping decides after each of a run's validations, up to the one that stops it."""
    stopping, monitor = EarlyStopping(plan), plan.early_stopping_monitor or "loss"
    for validation in validations:
        value = getattr(validation, monitor)
        if stopping.see(math.nan if value is None else value).stops:
            break
    return stopping.decisions


def decidable(plan: TrainingPlan, validations: Sequence[Validation]) -> bool:
    """Whether it can be told from these validations where the plan's early stopping ends their run."""
    if plan.early_stopping_patience is None:
        return True
    monitor = plan.early_stopping_monitor or "loss"
    return bool(validations) and all(getattr(validation, monitor) is not None for validation in validations)


def stopped_after(plan: TrainingPlan, validations: Sequence[Validation]) -> int | None:
    """After how many steps a run with these validations ends early; None if it does not."""
    if plan.early_stopping_patience is None:
        return None
    found = decisions(plan, validations)
    return validations[len(found) - 1].after if found and found[-1].stops else None


def closest(plan: TrainingPlan, validations: Sequence[Validation]) -> tuple[int, float] | None:
    """The validation whose decision was closest, and its margin: a difference as large would have turned it."""
    margins = [(decision.margin, i) for i, decision in enumerate(decisions(plan, validations))]
    found = min(((margin, i) for margin, i in margins if not math.isnan(margin)), default=None)
    return None if found is None else (found[1], found[0])
