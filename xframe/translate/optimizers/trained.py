"""What an optimizer's call says: the rule, and what belongs to the loop around it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from xframe.tasks.optimizers import Rule
from xframe.tasks.schedules import Schedule
from xframe.translate.schedules.forms import Counted
from xframe.translate.written import Remarks

HALF_KEPT = (
    "A velocity that holds the rate and one that does not are the same rule only as long as the rate does not change."
)

EACH_STEP = (
    "Keras' average advances with each step, from the first update on, and not with each update; over accumulated "
    "steps nothing here does."
)


@dataclass(frozen=True, slots=True)
class Trained:
    """An optimizer, apart from any framework.

    Attributes:
        rule: the formula. Its learning rate may be a schedule.
        accumulate: an update is made of the mean gradient of that many steps.
        counts: what its schedule and average advance with.
    """

    rule: Rule
    accumulate: int = 1
    counts: Literal["updates", "steps"] = "updates"
    remarks: Remarks = field(default_factory=Remarks)

    @property
    def schedule(self) -> Schedule | None:
        """The learning rate where it is a schedule."""
        rate = self.rule.learning_rate
        return rate if isinstance(rate, Schedule) else None

    def schedule_of(self, counts: Literal["updates", "steps"]) -> Schedule | None:
        """The learning rate's schedule in a count of updates, or of steps, where it is one."""
        schedule, k = self.schedule, self.accumulate
        if schedule is None or k == 1 or counts == self.counts:
            return schedule
        return Counted(schedule, every=k) if counts == "steps" else Counted(schedule, factor=k, offset=k - 1)


def free_velocity(rule: Any) -> bool:
    """Whether a velocity that is free of the rate is the rule's."""
    return not rule.momentum or rule.velocity == "gradient" or not rule.scheduled


def rated_velocity(rule: Any) -> bool:
    """Whether a velocity that holds the rate is the rule's."""
    return not rule.momentum or rule.velocity == "step" or not rule.scheduled


def plainest(rule: Rule) -> Rule:
    """The same rule where two words mean the same."""
    if not rule.weight_decay:
        return replace(rule, decay="l2")
    return rule
