"""What a run is held against when it is to be explained: the reference's rows, and the plan and order behind them.

A hypothesis predicts rows. Here rows are predicted, from a plan that is given, or from the simplest one that gives the
reference's rows again together with the orders that those rows show; and here they are held against the candidate's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xframe.errors import UsageError
from xframe.plan import counting
from xframe.plan.cadence import Cadence
from xframe.plan.fields import ACCUMULATION
from xframe.plan.order import Order
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

MOST_CELLS = 1 << 22  # sample ids of a run that are looked at
MOST_PASSES = 2048  # whose orders are asked for
MOST_SAMPLES = 1 << 53
SEEDS = range(1024)  # of xframe's own order that are tried
UNKNOWN = -1  # an id that nothing tells
_FIRST_ROWS = 2048
_MOST_PLANS = 12  # that give the same rows
_SHORT_RUN = 300  # steps of a run without labels up to which every length of an epoch is tried
_WINDOW_ENDS: tuple[dict[str, str], ...] = ({}, {"accumulation_at_end": "flush"})


class Match(NamedTuple):
    """How a prediction meets the candidate's rows, all of which it gives.

    Attributes:
        labels: whether the loop's own labels agree too, where there are any.
        told: the share of the sample ids that the prediction knew.
    """

    labels: bool
    told: float


class Cells(NamedTuple):
    """Where each row of each batch comes from."""

    passes: Ints
    positions: Ints
    padding: NDArray[np.bool_]


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


def cells(plan: TrainingPlan, num_samples: int, part: counting.PlannedRows) -> Cells:
    """Pass and position of every sample of consecutive steps."""
    sizes = part.batch_size
    ends = np.cumsum(sizes)
    inside = np.arange(int(ends[-1]) if len(ends) else 0, dtype=np.int64) - np.repeat(ends - sizes, sizes)
    passes, positions = np.repeat(part.pass_index, sizes), np.repeat(part.position, sizes) + inside
    over = positions >= num_samples
    if plan.remainder == "carry":
        passes = passes + positions // num_samples
        over = np.zeros_like(over)
    return Cells(passes, positions % num_samples, over)


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
        learned: orders seen in the reference by pass, where they are not xframe's own; ``UNKNOWN`` where not seen.
    """

    candidate: Rows
    rows: Rows
    plans: tuple[TrainingPlan, ...] = ()
    num_samples: int | None = None
    learned: Mapping[int, Ints] | None = None
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

    def ids(self, plan: TrainingPlan, num_samples: int, where: Cells) -> Ints:
        """The ids that stand there, ``UNKNOWN`` where nothing tells."""
        passes, positions = where.passes, where.positions
        if plan.order == "sequential":
            return positions
        if not plan.reshuffle:
            passes = np.zeros_like(passes)
        found = np.full(len(positions), UNKNOWN, dtype=np.int64)
        home = self.plan
        if self.learned is not None and (num_samples != self.num_samples or home is None or plan.seed != home.seed):
            return found
        if self.learned is not None and home is not None and plan.reshuffle and not home.reshuffle:
            return found
        for one, chosen in _groups(passes):
            if self.learned is None:
                found[chosen] = Order(num_samples, "shuffle", plan.seed, plan.reshuffle).ids(one, positions[chosen])
            elif one in self.learned:
                found[chosen] = self.learned[one][positions[chosen]]
        return found

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


def _groups(passes: Ints) -> Iterator[tuple[int, Any]]:
    """Each pass and where it stands, for the first passes."""
    if not len(passes):
        return
    if (passes[1:] >= passes[:-1]).all():
        starts = np.flatnonzero(np.diff(passes, prepend=passes[0] - 1))
        for begin, end in zip(starts[:MOST_PASSES], [*starts[1:], len(passes)][:MOST_PASSES], strict=False):
            yield int(passes[begin]), slice(int(begin), int(end))
        return
    for one in np.unique(passes)[:MOST_PASSES]:
        yield int(one), passes == one


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
    """The ground that the candidate is held against: with the plan, if it gives the reference's rows."""
    if plan is not None and num_samples is not None and (is_plan or _gives(plan, num_samples, reference, None)):
        return Ground(candidate, reference, (plan,), num_samples, None, given=True)
    n = num_samples if num_samples is not None else _size(reference)
    if n is None or not len(reference):
        return Ground(candidate, reference, (), n)
    shapes = list(_shapes(reference, n))
    if not shapes:
        return Ground(candidate, reference, (), n)
    base, learned = _ordered(shapes[0], n, reference)
    found = [base]
    for shape in shapes[1:]:
        other = changed(shape, order=base.order, seed=base.seed, reshuffle=base.reshuffle)
        found += [other] if other is not None else []
    return Ground(candidate, reference, tuple(found), n, learned)


def _gives(plan: TrainingPlan, n: int, rows: Rows, learned: Mapping[int, Ints] | None) -> bool:
    """Whether the plan gives these rows."""
    return Ground(rows, rows, (plan,), n, learned).match(plan) is not None


def _size(reference: Rows) -> int | None:
    """The size of the data set, as the reference's ids have it."""
    ids = reference.ids
    if ids is None or not len(ids) or ids.min() < 0:
        return None
    largest = int(ids.max()) + 1
    return largest if largest <= 1 << 26 else None


def _shapes(rows: Rows, n: int) -> Iterator[TrainingPlan]:
    """Plans of these sizes, places and updates, the likeliest first; the order is not looked at."""
    if not len(rows) or n > MOST_SAMPLES or rows.batch_size.min() < 1:
        return
    sizes = only_sizes(rows)
    for fields in _passes(rows, n):
        limit: dict[str, Any] = {"steps": len(rows)}
        if fields["remainder"] == "carry" and fields["steps_per_epoch"] is None and int(rows.batch_size.sum()) % n == 0:
            limit = {"steps": None, "epochs": int(rows.batch_size.sum()) // n}
        plan = changed(_BASE, **limit, **fields)
        if plan is None or not _walks(plan, n, rows):
            continue
        found: list[TrainingPlan] = []
        for windows in _windows(rows):
            whole = changed(plan, **windows)
            if whole is None:
                continue
            limits = [whole]
            if rows.epoch is None or int(rows.epoch[-1]) >= 0:
                try:
                    epochs = counting.counts(whole, n).num_epochs
                except UsageError:
                    continue
                limits.insert(0, changed(whole, steps=None, epochs=epochs) or whole)
            if rows.updates is not None and windows and int(rows.updates[-1]) > 0:
                limits.append(changed(whole, steps=None, updates=int(rows.updates[-1])) or whole)
            fits = [limit for limit in limits if _gives(limit, n, sizes, None)]
            if fits:
                # Where nothing is left over, the rows don't say what would become of it.
                rests = ("drop", "pad", "carry") if n % whole.batch_size == 0 and whole.steps_per_epoch is None else ()
                fits += [other for rest in rests if (other := changed(fits[0], remainder=rest)) is not None]
                found += fits
                if len(rows) > _FIRST_ROWS or not windows:
                    break
        if found:
            yield from list(dict.fromkeys(found))[:_MOST_PLANS]
            return


_BASE = TrainingPlan(batch_size=1, steps=1)


def only_sizes(rows: Rows) -> Rows:
    """Sizes and updates alone."""
    return rows.only("batch_size", "updates")


def _passes(rows: Rows, n: int) -> Iterator[dict[str, Any]]:
    """What batches and epochs may be, the simplest first."""
    b = int(rows.batch_size.max())
    lengths: list[int | None] = [None]
    if rows.epoch is not None:
        last = int(np.argmax(rows.epoch != rows.epoch[0])) or len(rows)
        lengths.append(last)
    exhaustions = ({"on_exhaustion": kind} for kind in ("repeat", "short_epoch"))
    # That a pass goes on over epochs asks more of the ids than that each epoch begins a new one, so it is tried first.
    ways = [{"epoch_iterator": kind, **other} for other in exhaustions for kind in ("continue", "restart")]
    found: list[dict[str, Any]] = []
    later: list[dict[str, Any]] = []
    for s in lengths:
        for remainder in ("keep", "drop", "carry", "pad"):
            found += [
                {"batch_size": b, "remainder": remainder, "steps_per_epoch": s, **way} for way in (ways if s else [{}])
            ]
    labelled = rows.epoch is not None
    if len(rows) <= _SHORT_RUN:  # any small epoch explains any rows, so the longest first
        for s in range(len(rows), 1, -1):
            for remainder in ("keep", "drop"):
                ends = {"epoch_iterator": "restart", "on_exhaustion": "repeat"}
                later.append({"batch_size": b, "remainder": remainder, "steps_per_epoch": s, **ends})
    # A plan whose labels are the loop's own stands before one whose are not.
    yield from sorted(found, key=lambda fields: labelled and not _labels(rows, n, fields))
    yield from later


def _labels(rows: Rows, n: int, fields: Mapping[str, Any]) -> bool:
    plan = changed(_BASE, steps=len(rows), **fields)
    try:
        if plan is None or Cadence(plan, n).num_steps < len(rows):
            return False
        labels = counting.rows(plan, n, 0, len(rows)).epoch
        return rows.epoch is not None and bool(np.array_equal(labels, rows.epoch))
    except UsageError:
        return False


def _walks(plan: TrainingPlan, n: int, rows: Rows) -> bool:
    """Whether these batches are cut from passes over n samples as the plan cuts them."""
    try:
        if Cadence(plan, n).num_steps != len(rows):
            return False
        part = counting.rows(plan, n, 0, len(rows))
    except UsageError:
        return False
    if not np.array_equal(part.batch_size, rows.batch_size):
        return False
    if rows.ids is None:
        return True
    where = cells(plan, n, part)
    if not _possible(rows.ids, where, n):
        return False
    if not where.padding.any():
        return True
    for _, chosen in _groups(where.passes):
        begun = np.full(n, UNKNOWN, dtype=np.int64)
        positions, ids, padding = where.positions[chosen], rows.ids[chosen], where.padding[chosen]
        begun[positions[~padding]] = ids[~padding]
        if (begun[positions[padding]] != ids[padding]).any():
            return False
    return True


def _windows(rows: Rows) -> Iterator[dict[str, Any]]:
    """What accumulation may be."""
    yield {}
    if rows.updates is None or not rows.updates[-1] > 0:
        return
    at = np.flatnonzero(np.diff(rows.updates, prepend=0)) + 1
    for k in dict.fromkeys([int(at[0]), int(np.diff(at, prepend=0).max())]):
        for leftover in ("flush", "carry", "drop"):
            for boundary in ("epoch", "pass"):
                for at_end in _WINDOW_ENDS:
                    yield {
                        "gradient_accumulation_steps": k,
                        "accumulation_remainder": leftover,
                        "accumulation_boundary": boundary,
                        **at_end,
                    }


def _ordered(plan: TrainingPlan, n: int, rows: Rows) -> tuple[TrainingPlan, Mapping[int, Ints] | None]:
    """The plan with the order that its rows show, and what is known of that order if it is not xframe's own."""
    if rows.ids is None:
        return plan, {}
    part = counting.rows(plan, n, 0, len(rows))
    where = cells(plan, n, part)
    for fields in ({"order": "sequential"}, *_seeds(rows.ids, where, n)):
        ordered = changed(plan, **fields)
        if ordered is not None and _gives(ordered, n, only_ids(rows), None):
            return ordered, None
    learned: dict[int, Ints] = {}
    for one, chosen in _groups(where.passes):
        if (len(learned) + 1) * n > 4 * MOST_CELLS:
            break
        learned.setdefault(one, np.full(n, UNKNOWN, dtype=np.int64))[where.positions[chosen]] = rows.ids[chosen]
    same = changed(plan, reshuffle=False)
    repeated = learned.get(0)
    if (
        same is not None
        and repeated is not None
        and len(learned) > 1
        and all(
            bool(((order == repeated) | (order == UNKNOWN) | (repeated == UNKNOWN)).all()) for order in learned.values()
        )
    ):
        return same, learned
    return plan, learned


def only_ids(rows: Rows) -> Rows:
    """Sizes and ids alone."""
    return rows.only("batch_size", "ids")


def _seeds(ids: Ints, where: Cells, n: int) -> Iterator[dict[str, Any]]:
    """Seeds of xframe's own order that begin like these ids."""
    for seed in seeds_of(ids, where.positions, where.passes, n, reshuffle=True):
        yield {"seed": seed}
        yield {"seed": seed, "reshuffle": False}


def seeds_of(ids: Ints, positions: Ints, passes: Ints, n: int, *, reshuffle: bool) -> Iterator[int]:
    """Seeds whose order has these ids at the first few of these places."""
    few = slice(0, min(len(ids), 8))
    if n > MOST_SAMPLES or not len(ids) or len(set(passes[few].tolist())) > 1:
        few = slice(0, 1)
    if not len(ids) or ids[few].min() < 0 or ids[few].max() >= n:
        return
    begin = _beginnings(n, int(passes[0]) if reshuffle else 0, tuple(positions[few].tolist()))
    yield from (int(seed) for seed in np.flatnonzero((begin == ids[few]).all(axis=1)))


@lru_cache(maxsize=8)
def _beginnings(n: int, pass_index: int, positions: tuple[int, ...]) -> Ints:
    """The ids at these places, one row a seed."""
    places = np.array(positions, dtype=np.int64)
    return np.stack([Order(n, "shuffle", seed).ids(pass_index, places) for seed in SEEDS])
