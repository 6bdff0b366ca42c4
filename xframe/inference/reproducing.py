"""The plans that reproduce a run's rows, the simplest first: what a diagnosis starts from where it is given none.

The hypotheses are those of ``infer``, taken from the simplest on, and the first whose passes explain all rows is kept
with whatever else the rows cannot tell from it: limits, windows, and remainders of which nothing shows. Passes are
first taken to follow one another, then to be begun again with the epochs that the loop declares, and at last after any
number of steps, the longest first, since shorter ones explain more rows by chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from xframe.inference import passes as passes_of
from xframe.inference.epochs import declared_lengths
from xframe.inference.fits import LIMITS, Fit, fits_of, plainest
from xframe.inference.inferring import number_of_samples
from xframe.inference.observed import SEEDS, Flags, Ints, Observed, counted_within, plan_of
from xframe.inference.passes import Passes, spans_of
from xframe.plan.counting import PlannedRows
from xframe.plan.order import Order
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

MOST_SAMPLES = 1 << 53  # of a data set whose plans are looked for
_MOST_INFERRED = 1 << 26  # of ids beyond that, the largest says nothing of how many there are
_MOST_PLANS = 12
MOST_PASSES = 2048  # whose orders are asked for
UNKNOWN = -1  # an id that the rows do not show
_MOST_LEARNED = 1 << 24  # ids, over all passes


class Cells(NamedTuple):
    """Pass and position of every sample of consecutive steps, and whether it is padding."""

    passes: Ints
    positions: Ints
    padding: Flags


def cells(plan: TrainingPlan, num_samples: int, part: PlannedRows) -> Cells:
    """The cells of consecutive steps of that plan, one batch after the other."""
    sizes = part.batch_size
    passes, positions = np.repeat(part.pass_index, sizes), np.repeat(part.position, sizes) + counted_within(sizes)
    over = positions >= num_samples
    if plan.remainder == "carry":
        passes = passes + positions // num_samples
        over = np.zeros_like(over)
    return Cells(passes, positions % num_samples, over)


def by_pass(passes: Ints) -> Iterator[tuple[int, Any]]:
    """Each of the first passes, and the index of its samples."""
    if not len(passes):
        return
    if (passes[1:] >= passes[:-1]).all():
        starts = np.flatnonzero(np.diff(passes, prepend=passes[0] - 1))
        for begin, end in zip(starts[:MOST_PASSES], [*starts[1:], len(passes)][:MOST_PASSES], strict=False):
            yield int(passes[begin]), slice(int(begin), int(end))
        return
    for one in np.unique(passes)[:MOST_PASSES]:
        yield int(one), passes == one


@dataclass(frozen=True, eq=False)
class ShownOrder:
    """The order in which a run takes its samples."""

    num_samples: int
    sequential: bool = False  # the samples come as they are stored
    seed: int = 0  # of xframe's own order; where the order is learned, it stands for any
    reshuffle: bool = True
    # Pass → sample at each position, ``UNKNOWN`` where not seen; None where all of it is known.
    learned: Mapping[int, Ints] | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """Of a plan with this order."""
        return {"order": "sequential"} if self.sequential else {"seed": self.seed, "reshuffle": self.reshuffle}

    def ids(self, plan: TrainingPlan, num_samples: int, where: Cells) -> Ints:
        """The samples that a plan has in these cells, if its order is this one; ``UNKNOWN`` where that is not shown."""
        passes, positions = where.passes, where.positions
        if plan.order == "sequential":
            return positions
        if not plan.reshuffle:
            passes = np.zeros_like(passes)
        ids = np.full(len(positions), UNKNOWN, dtype=np.int64)
        learned = self.learned
        if learned is None:
            order = Order(num_samples, "shuffle", plan.seed, plan.reshuffle)
            for one, chosen in by_pass(passes):
                ids[chosen] = order.ids(one, positions[chosen])
        elif (num_samples, plan.seed) == (self.num_samples, self.seed) and self.reshuffle >= plan.reshuffle:
            for one, chosen in by_pass(passes):
                if one in learned:
                    ids[chosen] = learned[one][positions[chosen]]
        return ids


def shown_order(run: Observed, passes: Passes) -> ShownOrder:
    """The order that the rows show, where these passes explain all of them."""
    n, kinds = run.num_samples, passes.kinds
    if any(kind.order == "sequential" for kind in kinds):
        return ShownOrder(n, sequential=True)
    for kind in kinds:
        if kind.seed is not None:
            return ShownOrder(n, seed=kind.seed, reshuffle=kind.reshuffle)
    ids = run.rows.ids
    if ids is None:
        return ShownOrder(n, learned={})
    spans = spans_of(run, passes, run.num_steps)
    learned: dict[int, Ints] = {}
    for p, (start, real) in enumerate(zip(spans.start[:MOST_PASSES], spans.real[:MOST_PASSES], strict=True)):
        if (p + 1) * n > _MOST_LEARNED:
            break
        learned[p] = np.full(n, UNKNOWN, dtype=np.int64)
        learned[p][:real] = ids[start : start + real]
    same = len(learned) > 1 and any(not kind.reshuffle for kind in kinds)
    return ShownOrder(n, reshuffle=not same, learned=learned)


class Reproduction(NamedTuple):
    """What reproduces some rows."""

    plans: tuple[TrainingPlan, ...] = ()  # the simplest first; none if no plan was found that does
    num_samples: int | None = None  # given or inferred; None if the rows do not show it
    order: ShownOrder | None = None  # of the samples, which all plans have; None without a plan


def reproduce(rows: Rows, num_samples: int | None = None) -> Reproduction:
    """The plans that reproduce all of these rows: sizes, samples and updates; labels too if any plan does.

    The rows are a run's, whole or a part from its start; without ``num_samples`` that is inferred.
    """
    n = num_samples
    if not len(rows) or rows.batch_size.min() < 1:
        return Reproduction(num_samples=n)
    if n is None:
        n, _ = number_of_samples(rows)
        n = n if n is not None and n <= _MOST_INFERRED else None
    run = None if n is None or n > MOST_SAMPLES else Observed(rows, n, tuple(SEEDS))
    if run is None or not (fits := _fits(run)):
        return Reproduction(num_samples=n)
    order = shown_order(run, fits[0].passes)
    return Reproduction(tuple(islice(_plans(fits, order), _MOST_PLANS)), n, order)


def _fits(run: Observed) -> list[Fit]:
    """The simplest plans that fit: those that give the loop's labels, if any of the first hypotheses does."""
    lengths = declared_lengths(run)[:1]
    begun: list[Fit] = []
    explained = False
    for passes in _likely(run, lengths):
        explained = run.rows.ids is not None
        fits = list(fits_of(run, passes, lengths))
        if labelled := [fit for fit in fits if fit.labelled]:
            return plainest(labelled)[0]
        begun = begun or fits
    if begun or explained:  # ids that such passes explain are no others'
        return plainest(begun)[0]
    for passes in _restarted(run):
        if fits := list(fits_of(run, passes, ())):
            return plainest(fits)[0]
    return []


def _likely(run: Observed, lengths: Iterable[int]) -> Iterator[Passes]:
    """Passes that follow one another, or begin again with the declared epochs, and explain all rows."""
    for restart in (0, *lengths):
        for remainder in passes_of.remainders(run.num_samples, run.batch_size):
            if not restart or passes_of.abandons(run, remainder, restart):
                yield from _whole(run, passes_of.cut(run, remainder, restart))


def _restarted(run: Observed) -> Iterator[Passes]:
    """Passes that begin again after any number of steps, the longest first, and explain all rows."""
    sized = [one for one in passes_of.hypotheses(run) if one.restart and one.misfit == run.num_steps]
    for passes in sorted(sized, key=lambda one: -one.restart):
        yield from _whole(run, passes)


def _whole(run: Observed, passes: Passes) -> Iterator[Passes]:
    if passes.misfit == run.num_steps:
        passes = passes_of.with_ids(run, passes)
        if passes.misfit == run.num_steps:
            yield passes


def _plans(fits: list[Fit], order: ShownOrder) -> Iterator[TrainingPlan]:
    """The fits as plans: the simplest with each remainder and limit that it may have, then different windows first."""
    simplest = min(fits, key=lambda fit: fit.effort)
    fields = {**simplest.fields, **order.fields}
    yield plan_of(fields)
    if simplest.fields.get("steps_per_epoch") is None:
        alike = [name for name in simplest.remainders if name not in (fields["remainder"], "error")]
        yield from (plan_of({**fields, "remainder": remainder}) for remainder in alike)
    windows = simplest.without_limit

    def unlike(fit: Fit) -> tuple[int, float]:
        return 0 if fit.without_limit == windows else 1 + fit.limit, fit.effort

    for fit in sorted(fits, key=unlike):
        # Where every step is an update, a limit of updates is one of steps.
        if fit is not simplest and not (LIMITS[fit.limit] == "updates" and fit.accumulation_steps == 1):
            yield plan_of({**fit.fields, **order.fields})
