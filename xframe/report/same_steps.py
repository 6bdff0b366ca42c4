"""Whether plans make the same steps, and their updates after the same ones."""

from __future__ import annotations

from collections.abc import Mapping

from xframe.plan import counting
from xframe.plan.cadence import Cadence
from xframe.plan.training_plan import TrainingPlan

_STEPS_IN_FULL = 4096  # steps from the first on that are compared one by one


def same(a: TrainingPlan, b: TrainingPlan, num_samples: int) -> bool:
    """Whether both make the same steps, with their updates after the same ones."""
    return a.counts(num_samples) == b.counts(num_samples) and first_difference(a, b, num_samples) is None


def first_difference(a: TrainingPlan, b: TrainingPlan, num_samples: int) -> int | None:
    """The first step that differs in its samples or in the number of updates so far.

    Between the ends of passes, epochs and windows both runs are regular, so beyond the first few thousand steps only
    those around such ends are looked at.
    """
    both = [Cadence(plan, num_samples) for plan in (a, b)]
    stop = min(cadence.num_steps for cadence in both)
    around = 64 + min(_STEPS_IN_FULL, 2 * max(cadence.window for cadence in both))
    ends = {stop} | {turn for cadence in both for turn in cadence.turns(3) if turn < stop}
    spans = [(0, min(stop, _STEPS_IN_FULL))]
    for end in sorted(ends):
        begin, until = max(spans[-1][1], end - around), min(stop, end + around)
        if begin < until:
            spans.append((begin, until))
    for begin, until in spans:
        one, other = (counting.rows(plan, num_samples, begin, until) for plan in (a, b))
        columns = ("batch_size", "padding", "pass_index", "position", "updates")
        unequal = [getattr(one, name) != getattr(other, name) for name in columns]
        if firsts := [int(column.argmax()) for column in unequal if column.any()]:
            return begin + min(firsts)
    return None


def all_same(plans: Mapping[str, TrainingPlan], num_samples: int) -> bool:
    """Whether all plans do."""
    first, *others = plans.values()
    return all(same(plan, first, num_samples) for plan in others)
