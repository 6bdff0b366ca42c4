"""What a run is held against when it is to be explained: the reference's rows, and the plan and order behind them.

A hypothesis predicts rows. Here rows are predicted, from a plan that is given, or from the simplest one that gives the
reference's rows again together with the orders that those rows show; and here they are held against the candidate's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xframe.errors import UsageError
from xframe.inference.cells import Cells, cells
from xframe.inference.reproducing import MOST_SAMPLES, reproduce
from xframe.inference.shown import UNKNOWN, ShownOrder
from xframe.plan import counting
from xframe.plan.cadence import Cadence
from xframe.plan.fields import ACCUMULATION
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

MOST_CELLS = 1 << 22  # sample ids of a run that are looked at
_FIRST_ROWS = 2048


class Match(NamedTuple):
    """How a prediction meets the candidate's rows, all of which it gives.

    Attributes:
        labels: whether the loop's own labels agree too, where there are any.
        told: the share of the sample ids that the prediction knew.
    """

    labels: bool
    told: float


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
        return TrainingPlan.from_mapping({name: value for name, value in values.items() if value is not None})
    except UsageError:
        return None


def mixed(ids: Ints) -> NDArray[np.uint64]:
    """Each id as 64 bits that look random, so that sums of them tell sets apart."""
    x = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def batch_keys(rows: Rows, *, ordered: bool = True) -> NDArray[np.uint64]:
    """One number a batch: equal for batches of the same samples, in the same order if asked; without ids, the sizes."""
    sizes = rows.batch_size.clip(min=0)
    if rows.ids is None:
        return rows.batch_size.astype(np.uint64)
    bits = mixed(rows.ids)
    ends = np.cumsum(sizes)
    if ordered:
        inside = np.arange(len(bits), dtype=np.int64) - np.repeat(ends - sizes, sizes)
        bits = bits * (mixed(inside) | np.uint64(1))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(bits, dtype=np.uint64)])
    keys: NDArray[np.uint64] = (sums[ends] - sums[ends - sizes]) ^ mixed(sizes)
    return keys


def first_apart(a: NDArray[Any], b: NDArray[Any]) -> int | None:
    """The first place at which two columns differ, the end of the shorter included."""
    shared = min(len(a), len(b))
    unequal = a[:shared] != b[:shared]
    if unequal.any():
        return int(unequal.argmax())
    return None if len(a) == len(b) else shared


def by_windows(cuts: NDArray[np.bool_], k: int, leftover: str, begun: int = 0, *, each: bool = False) -> Ints:
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


@dataclass(frozen=True, eq=False)
class Ground:
    """The candidate, and what it is held against.

    Attributes:
        candidate, rows: of the run, and of the reference.
        plans: that give the reference's rows; the first is the likeliest. None: no plan was found that does.
        num_samples: size of the data set, as far as known.
        order: of the reference's samples; None without a plan.
    """

    candidate: Rows
    rows: Rows
    plans: tuple[TrainingPlan, ...] = ()
    num_samples: int | None = None
    order: ShownOrder | None = None
    given: bool = False

    @property
    def plan(self) -> TrainingPlan | None:
        return self.plans[0] if self.plans else None

    @cached_property
    def has_ids(self) -> bool:
        return self.candidate.ids is not None and self.rows.ids is not None

    @cached_property
    def judged(self) -> int:
        """Steps of the candidate whose ids are looked at."""
        return int(np.searchsorted(self.candidate.bounds[1:], MOST_CELLS, side="right"))

    @property
    def learned(self) -> Mapping[int, Ints] | None:
        """Orders seen in the reference by pass, where they are neither stored nor xframe's own."""
        return None if self.order is None else self.order.learned

    def ids(self, plan: TrainingPlan, num_samples: int, where: Cells) -> Ints:
        """The ids that stand there, ``UNKNOWN`` where nothing shows them."""
        return (self.order or ShownOrder(num_samples)).ids(plan, num_samples, where)

    def match(self, plan: TrainingPlan | None) -> Match | None:
        """How that plan's rows meet the candidate's; None if some row differs."""
        n, seen, share = self.num_samples, self.candidate, 1.0
        if plan is None or n is None or n > MOST_SAMPLES or not len(seen):
            return None
        try:
            total = Cadence(plan, n).num_steps
            if total != len(seen) if seen.complete else total < len(seen):
                return None
            # Most plans differ early: a look at the first rows saves writing out all of them, and all of their ids.
            for rows in dict.fromkeys((min(len(seen), _FIRST_ROWS), len(seen))):
                part = counting.rows(plan, n, 0, rows)
                if not np.array_equal(part.batch_size, seen.batch_size[:rows]):
                    return None
                if seen.updates is not None and not np.array_equal(part.updates, seen.updates[:rows]):
                    return None
                known = 1.0 if seen.ids is None else self._ids_match(plan, n, part)
                if known is None:
                    return None
                share = known
        except UsageError:
            return None
        pairs = ((seen.epoch, part.epoch), (seen.step_in_epoch, part.step_in_epoch), (seen.padding, part.padding))
        return Match(all(a is None or np.array_equal(a, b) for a, b in pairs), share)

    def _ids_match(self, plan: TrainingPlan, n: int, part: counting.PlannedRows) -> float | None:
        """The share of the ids that were foretold; None if one is another."""
        seen, known, count = self.candidate, 0, 0
        assert seen.ids is not None
        judged = min(self.judged, len(part.batch_size))
        for begin, end in ((0, min(64, judged)), (min(64, judged), judged)):
            if begin == end:
                continue
            piece = counting.PlannedRows(*(getattr(part, name)[begin:end] for name in counting.PlannedRows.__slots__))
            where = cells(plan, n, piece)
            foretold = self.ids(plan, n, where)
            mine = seen.ids[seen.bounds[begin] : seen.bounds[end]]
            sure = foretold != UNKNOWN
            if (foretold[sure] != mine[sure]).any():
                return None
            if not sure.all() and not _possible(mine, where, n):
                return None
            known, count = known + int(sure.sum()), count + len(mine)
        return known / count if count else 1.0

    def extended(self, steps: int) -> Rows:
        """The reference's rows and what would follow them, up to so many steps, as far as that is known."""
        have = len(self.rows)
        plan = self.plan
        if steps <= have or plan is None or self.num_samples is None or self.num_samples > MOST_SAMPLES:
            return self.rows
        endless = changed(plan, epochs=None, updates=None, steps=steps)
        try:
            if endless is None:
                return self.rows
            steps = Cadence(endless, self.num_samples).num_steps
            if steps <= have:
                return self.rows
            part = counting.rows(endless, self.num_samples, 0, steps)
        except UsageError:
            return self.rows
        if have and part.batch_size[have - 1] != self.rows.batch_size[-1]:
            return self.rows  # what ended the reference made its last batch what it is
        ids = None
        if self.has_ids:
            if int(part.batch_size.sum()) > 2 * MOST_CELLS:
                return self.rows
            beyond = counting.rows(endless, self.num_samples, have, steps)
            after = self.ids(endless, self.num_samples, cells(endless, self.num_samples, beyond))
            ids = np.concatenate([self.rows.ids, after])
        return Rows.of_arrays(batch_size=part.batch_size, updates=part.updates, ids=ids)


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


def _possible(ids: Ints, where: Cells, n: int) -> bool:
    """Whether these may be samples of their passes: each at most once."""
    real = ~where.padding
    found, passes = ids[real], where.passes[real]
    if not len(found):
        return True
    if found.min() < 0 or found.max() >= n:
        return False
    order = np.lexsort((found, passes))
    return not ((np.diff(found[order]) == 0) & (np.diff(passes[order]) == 0)).any()


def lay(
    candidate: Rows, reference: Rows, num_samples: int | None, plan: TrainingPlan | None, *, is_plan: bool
) -> Ground:
    """What the candidate is compared with: by the plan, if it reproduces the reference's rows, or else by its own."""
    if plan is not None and num_samples is not None:
        given = Ground(candidate, reference, (plan,), num_samples, ShownOrder(num_samples), given=True)
        if is_plan or replace(given, candidate=reference).match(plan) is not None:
            return given
    shown = reproduce(reference, num_samples)
    return Ground(candidate, reference, shown.plans, shown.num_samples, shown.order)
