"""The plans that reproduce a run's rows, the simplest first: what a diagnosis starts from where it is given none.

The hypotheses are those of ``infer``, taken from the simplest on, and the first whose passes explain all rows is kept
with whatever else the rows cannot tell from it: limits, windows, and remainders of which nothing shows. Passes are
first taken to follow one another, then to be begun again with the epochs that the loop declares, and at last after any
number of steps, the longest first, since shorter ones explain more rows by chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from xframe.inference import passes as passes_of
from xframe.inference.epochs import declared_lengths
from xframe.inference.fits import LIMITS, Fit, fits_of, plainest
from xframe.inference.inferring import number_of_samples
from xframe.inference.observed import SEEDS, Observed, plan_of
from xframe.inference.passes import Passes
from xframe.inference.shown import ShownOrder, shown_order
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

MOST_SAMPLES = 1 << 53  # of a data set whose plans are looked for
_MOST_INFERRED = 1 << 26  # of ids beyond that, the largest says nothing of how many there are
_MOST_PLANS = 12


@dataclass(frozen=True, eq=False)
class Reproduction:
    """What reproduces some rows.

    Attributes:
        plans: the simplest first; none if no plan was found that does.
        num_samples: size of the data set, given or inferred; None if the rows do not show it.
        order: of the samples, which all plans have; None without a plan.
    """

    plans: tuple[TrainingPlan, ...] = ()
    num_samples: int | None = None
    order: ShownOrder | None = None


def reproduce(rows: Rows, num_samples: int | None = None) -> Reproduction:
    """The plans that reproduce all of these rows: sizes, samples and updates; labels too if any plan does.

    Args:
        rows: of a run, whole or a part from its start.
        num_samples: size of the data set; None: to be inferred.
    """
    if not len(rows) or rows.batch_size.min() < 1:
        return Reproduction(num_samples=num_samples)
    n = num_samples
    if n is None:
        n, _ = number_of_samples(rows)
        n = n if n is not None and n <= _MOST_INFERRED else None
    if n is None or n > MOST_SAMPLES:
        return Reproduction(num_samples=n)
    run = Observed(rows, n, tuple(SEEDS))
    fits = _fits(run)
    if not fits:
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
