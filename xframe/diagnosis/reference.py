"""What a candidate is compared with when it is to be explained: its rows, and the plan and order behind them.

A hypothesis is a plan; this predicts its rows, in the order that the reference's rows show, and compares them with the
candidate's. The reference's own plan is the given one, or else the simplest that reproduces its rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from xframe.errors import UsageError
from xframe.inference.observed import Ints, plan_of
from xframe.inference.orders import first_repeat
from xframe.inference.reproducing import MOST_SAMPLES, UNKNOWN, Cells, ShownOrder, cells, reproduce
from xframe.plan import counting
from xframe.plan.cadence import Cadence
from xframe.plan.fields import ACCUMULATION, LIMITS
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

MOST_CELLS = 1 << 22  # sample ids of a run that are looked at
_FIRST_ROWS = 2048
_OF_EPOCHS = {"remainder", "steps_per_epoch", "epoch_iterator", "on_exhaustion"}  # what ends of passes and epochs are


class Match(NamedTuple):
    """How a prediction meets the candidate's rows, all of which it reproduces."""

    labels: bool  # the loop's own agree too, where there are any
    known: float  # the share of the sample ids that the prediction knows


def changed(plan: TrainingPlan, **fields: Any) -> TrainingPlan | None:
    """The plan with other fields, without what then means nothing; None if that is no plan."""
    values = {**plan.to_dict(), **fields}
    if values.get("steps_per_epoch") is None:
        values |= {"epoch_iterator": None, "on_exhaustion": None}
    elif values.get("remainder") == "carry":
        values["on_exhaustion"] = None
    if values.get("gradient_accumulation_steps") in (None, 1):
        values |= dict.fromkeys(ACCUMULATION)
    try:
        return plan_of(values)
    except UsageError:
        return None


def alike(plan: TrainingPlan, fields: Mapping[str, Any], num_samples: int, shared: int) -> int:
    """How many of the first rows are the plan's whatever these fields are: of no difference there are they a cause."""
    if (others := fields.keys() - {*LIMITS}) - _OF_EPOCHS:
        return 0
    lengths = [num_samples // plan.batch_size, plan.steps_per_epoch, fields.get("steps_per_epoch")] if others else []
    return min([shared, *(length for length in lengths if length is not None)]) - 1


def planned(
    plan: TrainingPlan, num_samples: int, steps: int, *, total: int | None = None
) -> counting.PlannedRows | None:
    """The first steps of a plan; None if it does not fit the data set, has fewer, or not ``total`` in all."""
    cadence = _fitting(plan, num_samples, steps, total)
    return None if cadence is None else _written_out(plan, num_samples, steps, cadence)


def _fitting(plan: TrainingPlan, num_samples: int, steps: int, total: int | None) -> Cadence | None:
    """The plan's cadence, if ``planned`` takes it."""
    with suppress(UsageError):
        cadence = Cadence(plan, num_samples)
        if 0 < steps <= cadence.num_steps and total in (None, cadence.num_steps) and num_samples <= MOST_SAMPLES:
            return cadence
    return None


def _written_out(plan: TrainingPlan, num_samples: int, steps: int, cadence: Cadence) -> counting.PlannedRows | None:
    with suppress(UsageError):
        return counting.rows(plan, num_samples, 0, steps, cadence)
    return None


@dataclass(frozen=True, eq=False)
class Reference:
    """What a candidate is compared with, and what is behind it."""

    rows: Rows
    plans: tuple[TrainingPlan, ...] = ()  # that reproduce the rows, the likeliest first; none if no plan does
    num_samples: int | None = None  # as far as known
    order: ShownOrder | None = None  # of the samples; None without a plan
    given: bool = False  # the plan was known, not inferred

    @classmethod
    def of(cls, rows: Rows, num_samples: int | None, plan: TrainingPlan | None, *, is_plan: bool) -> Reference:
        """With this plan if it reproduces the rows, as their own does, or else with those inferred from them."""
        if plan is not None and num_samples is not None:
            given = cls(rows, (plan,), num_samples, ShownOrder(num_samples), given=True)
            if is_plan or given.match(rows, plan) is not None:
                return given
        return cls(rows, *reproduce(rows, num_samples))

    @property
    def plan(self) -> TrainingPlan | None:
        """The likeliest plan; None if no plan reproduces the rows."""
        return self.plans[0] if self.plans else None

    def ids(self, plan: TrainingPlan, num_samples: int, where: Cells) -> Ints:
        """The sample ids that a plan has there, ``UNKNOWN`` where nothing shows them."""
        return (self.order or ShownOrder(num_samples)).ids(plan, num_samples, where)

    def match(self, candidate: Rows, plan: TrainingPlan, differs_at: int | None = None) -> Match | None:
        """How that plan's rows meet the candidate's; None if some row differs. The candidate ``differs_at`` that step
        from the reference, if anywhere: most plans do not give it either, which one step and the last soon show."""
        n, total, share = self.num_samples, len(candidate) if candidate.complete else None, 1.0
        cadence = None if n is None else _fitting(plan, n, len(candidate), total)
        if n is None or cadence is None:
            return None
        probes = [row for row in (differs_at, len(candidate) - 1) if row is not None and row < len(candidate)]
        if not all(_gives(cadence, candidate, row) for row in probes):
            return None
        if candidate.ids is not None and self._shown(candidate, plan, n, _row(cadence, probes[0]), probes[0]) is None:
            return None
        # Most plans differ early: a look at the first rows saves writing out all of them, and all of their ids.
        for rows in dict.fromkeys((min(len(candidate), _FIRST_ROWS), len(candidate))):
            part = _written_out(plan, n, rows, cadence)
            if part is None or not np.array_equal(part.batch_size, candidate.batch_size[:rows]):
                return None
            if candidate.updates is not None and not np.array_equal(part.updates, candidate.updates[:rows]):
                return None
            known = 1.0 if candidate.ids is None else self._ids_match(candidate, plan, n, part)
            if known is None:
                return None
            share = known
        labels = ((getattr(candidate, name), getattr(part, name)) for name in ("epoch", "step_in_epoch", "padding"))
        return Match(all(a is None or np.array_equal(a, b) for a, b in labels), share)

    def _ids_match(self, candidate: Rows, plan: TrainingPlan, n: int, part: counting.PlannedRows) -> float | None:
        """The share of the ids that are known; None if one differs, or cannot be where it is."""
        known, count = 0, 0
        judged = min(int(np.searchsorted(candidate.bounds[1:], MOST_CELLS, side="right")), len(part.batch_size))
        for begin, end in ((0, min(64, judged)), (min(64, judged), judged)):
            piece = counting.PlannedRows(*(getattr(part, name)[begin:end] for name in counting.PlannedRows.__slots__))
            if (shown := self._shown(candidate, plan, n, piece, begin)) is None:
                return None
            known, count = known + shown, count + int(piece.batch_size.sum())
        return known / count if count else 1.0

    def _shown(self, candidate: Rows, plan: TrainingPlan, n: int, piece: counting.PlannedRows, at: int) -> int | None:
        """How many ids of these rows, from that one on, are known; None if one differs, or cannot be where it is."""
        assert candidate.ids is not None
        where = cells(plan, n, piece)
        expected = self.ids(plan, n, where)
        ids = candidate.ids[candidate.bounds[at] : candidate.bounds[at + len(piece.batch_size)]]
        shown = expected != UNKNOWN
        if (expected[shown] != ids[shown]).any() or not (shown.all() or _possible(ids, where, n)):
            return None
        return int(shown.sum())

    def allows(self, candidate: Rows, plan: TrainingPlan) -> bool:
        """Whether the candidate's samples may be those of that plan's passes, in whatever order."""
        n, steps = self.num_samples, int(np.searchsorted(candidate.bounds[1:], MOST_CELLS, side="right"))
        part = None if n is None else planned(plan, n, steps)
        if n is None or part is None or candidate.ids is None:
            return True
        return _possible(candidate.ids[: candidate.bounds[steps]], cells(plan, n, part), n)

    def predicted(self, plan: TrainingPlan, steps: int, *, ids: bool) -> Rows | None:
        """The first rows of a plan in the reference's order; without ids if some are not known, None without rows."""
        n = self.num_samples
        part = None if n is None else planned(plan, n, steps)
        if n is None or part is None:
            return None
        samples = None
        if ids and part.batch_size.sum(dtype=float) <= MOST_CELLS:
            samples = self.ids(plan, n, cells(plan, n, part))
            samples = None if (samples == UNKNOWN).any() else samples
        return Rows.of_arrays(batch_size=part.batch_size, updates=part.updates, ids=samples)

    def extended(self, steps: int, *, ids: bool) -> Rows:
        """The reference's rows and what would follow them, up to that many steps, as far as that is known."""
        have, n = len(self.rows), self.num_samples
        if steps <= have or self.plan is None or n is None or n > MOST_SAMPLES:
            return self.rows
        endless = changed(self.plan, epochs=None, updates=None, steps=steps)
        try:
            if endless is None or (steps := Cadence(endless, n).num_steps) <= have:
                return self.rows
            part = counting.rows(endless, n, 0, steps)
        except UsageError:
            return self.rows
        if have and part.batch_size[have - 1] != self.rows.batch_size[-1]:
            return self.rows  # what ended the reference made its last batch what it is
        samples = None
        if ids:
            if part.batch_size.sum(dtype=float) > 2 * MOST_CELLS:
                return self.rows
            after = self.ids(endless, n, cells(endless, n, counting.rows(endless, n, have, steps)))
            samples = np.concatenate([self.rows.ids, after])
        return Rows.of_arrays(batch_size=part.batch_size, updates=part.updates, ids=samples)


def _gives(cadence: Cadence, rows: Rows, row: int) -> bool:
    """Whether a plan of that cadence gives that row its size and updates."""
    if cadence.sizes(row, cadence.place(row)[3])[0] != rows.batch_size[row]:
        return False
    due = cadence.num_updates if row + 1 == cadence.num_steps else cadence.updates(row + 1)
    return rows.updates is None or bool(due == rows.updates[row])


def _row(cadence: Cadence, row: int) -> counting.PlannedRows:
    """That one of the rows."""
    epoch, inside, pass_, position = cadence.place(row)
    columns = (epoch, inside, pass_, position, *cadence.sizes(row, position), cadence.updates(row + 1))
    return counting.PlannedRows(*(np.array([value], np.int64) for value in columns))


def _possible(ids: Ints, where: Cells, n: int) -> bool:
    """Whether these may be samples of their passes: each at most once."""
    samples, passes = ids[~where.padding], where.passes[~where.padding]
    inside = bool(samples.min(initial=0) >= 0 and samples.max(initial=0) < n)
    return inside and first_repeat(samples, passes) is None
