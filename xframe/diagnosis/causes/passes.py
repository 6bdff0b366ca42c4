"""Passes whose order is that of a different pass."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Cause, Fit, settings
from xframe.diagnosis.passes import Pass
from xframe.inference.shown import UNKNOWN
from xframe.plan.order import Order
from xframe.plan.training_plan import TrainingPlan

_MOST_PASSES = 64
_LOOK = slice(0, 8)  # places of a pass that are compared before all are


class PassSkipped(Cause):
    """It goes on with the order of a later pass."""

    name = "pass-skipped"
    rank = 170
    about_order = True
    fixes = settings(
        torch="set_epoch(epoch) with epochs counted from 0 and on, also after resuming",
        any="draw one order per pass: an iterator made and not used counts as a pass",
    )

    def find(self, case: Case) -> Iterator[Fit]:
        passes, plan, all_passes = case.passes, case.plan, case.passes.passes
        if not passes.differing or plan is None or plan.order == "sequential" or not plan.reshuffle:
            return
        taken = [_order_of(case, plan, one, 2 * len(all_passes) + 8) for one in all_passes[:_MOST_PASSES]]
        known = all(one is not None for one in taken) and len(taken) == len(all_passes)
        moved = [i for i, one in enumerate(taken) if one is not None and one != all_passes[i].index]
        if not moved:
            return
        first = moved[0]
        if taken.count(taken[first]) == len(taken) > 1 and taken[0] == all_passes[0].index:
            return  # one order repeated
        text = f"has in pass {all_passes[first].index:,} the order of pass {taken[first]:,}"
        yield self.fit(case, text, exact=known and passes.same_counts and _ascending(taken))


def _order_of(case: Case, plan: TrainingPlan, one: Pass, reach: int) -> int | None:
    """The first pass, of those up to ``reach``, whose order this pass has."""
    n = case.passes.num_samples
    learned = None if case.basis.order is None else case.basis.order.learned
    index: int
    for index in dict.fromkeys([one.index, *range(reach)]):
        if learned is not None:
            order = learned.get(index)
            if order is None:
                continue
            expected = order[one.positions]
        else:
            own = Order(n, "shuffle", plan.seed)
            if not np.array_equal(own.ids(index, one.positions[_LOOK]), one.ids[_LOOK]):
                continue
            expected = own.ids(index, one.positions)
        known = expected != UNKNOWN
        if known.mean() > 0.5 and np.array_equal(expected[known], one.ids[known]):
            return index
    return None


def _ascending(passes: list[int | None]) -> bool:
    return all(a is not None and b is not None and b > a for a, b in pairwise(passes))
