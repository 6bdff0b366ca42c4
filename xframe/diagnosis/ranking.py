"""Which of the causes that fit is reported first, and whether one is certain.

What reproduces every row of a run comes before what does not; among equals the cause's own rank decides. A cause is
certain only where the arithmetic leaves no other: nothing else reproduces the rows, and the rows say enough to know.
No cause is named here: causes state of themselves what they concern.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import lgamma, log

import numpy as np

from xframe.diagnosis import causes
from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Fit
from xframe.plan.cadence import Cadence
from xframe.plan.training_plan import TrainingPlan

_FEW_STEPS = 6
_RARE = log(1e-6)  # an explanation of an order that other orders meet more often than that is not certain


def fits_of(case: Case) -> list[Fit]:
    """All that fits the rows; where the run states by itself why it differs, that alone."""
    fits: list[Fit] = []
    for settles in (True, False):
        asked = [cause for cause in causes.every() if cause.settles == settles]
        fits = fits or [fit for cause in asked for fit in (*cause.predicted(case), *cause.find(case))]
    return fits


def ranked(fits: Sequence[Fit]) -> list[Fit]:
    """One fit a cause, the likeliest first; only exact ones if there are any, since the rest are then no rivals."""
    best: dict[str, Fit] = {}
    for fit in sorted(
        fits, key=lambda fit: (not fit.exact, not fit.shown, fit.rank)
    ):  # of one cause the first that it yielded
        best.setdefault(fit.cause.name, fit)
    exact = [fit for fit in best.values() if fit.exact]
    return exact or list(best.values())


def certain(fit: Fit, fits: Sequence[Fit], case: Case) -> bool:
    """Whether this is what happened: nothing else gives all rows, and the rows say that much at all."""
    return fit.exact and (fit.cause.settles or (_alone(fit, fits) and _provable(fit, case)))


def _alone(fit: Fit, fits: Sequence[Fit]) -> bool:
    """Whether no other cause gives all rows.

    A plan that gives them is a rival also where it knows little of the order, and, of what says nothing of labels,
    where its labels differ: a loop may count its epochs differently.
    """
    rivals = {one.cause for one in fits if one.exact or (one.plan is not None and (one.labels or fit.plan is None))}
    return rivals <= {fit.cause}


def _provable(fit: Fit, case: Case) -> bool:
    """Whether what gives all rows may be called certain if nothing else does."""
    cause = fit.cause
    if fit.guess or cause.never_certain:
        return False
    if fit.plan is None and len(case.candidate) < _FEW_STEPS:
        return False  # two causes together may look like one
    if not case.has_ids and not (case.given and (fit.plan is not None or case.same_batches)):
        return False  # of sizes alone many a story can be told
    if case.one_merely_ends and not (case.given and cause.explains_end):
        return False
    if _other_orders(fit, case):
        return False
    if case.given:
        return True
    if fit.plan is not None and not _well_inferred(case):
        return False
    if cause.about_windows or (case.same_batches and not _updates_each_step(case)):
        return False  # where the windows of the reference end is itself but inferred
    labelled = case.candidate.epoch is not None and case.reference.epoch is not None
    return labelled or not cause.needs_epochs


def _updates_each_step(case: Case) -> bool:
    """Whether the reference's rows show one update a step, as far as they count any."""
    updates = case.reference.updates
    return updates is None or bool((np.diff(updates, prepend=0) == 1).all())


def _well_inferred(case: Case) -> bool:
    """Whether the reference's rows say what its plan is: no batch as large as the data set, no labels that differ.

    A remainder that is dropped shows in the same rows as epochs that begin again before it.
    """
    plan, n = case.plan, case.num_samples
    if plan is None or n is None or plan.batch_size >= n or plan.steps_per_epoch is not None:
        return False
    if plan.remainder == "drop" and n % plan.batch_size:
        return False
    own = case.basis.match(case.reference, plan)
    return own is not None and own.labels


def _other_orders(fit: Fit, case: Case) -> bool:
    """Whether a different order of the samples may give these batches: it need not be rare among all orders.

    With few samples it is not, nor where a batch is a whole pass; and where it is not known which samples a pass has.
    """
    if case.same_batches or not case.has_ids:
        return False
    where, n = case.cells, case.num_samples
    if where is None or n is None or case.ids is None:
        return True
    if not case.same_sizes:
        return False
    candidate, reference = case.ids
    end = int(case.candidate.bounds[case.shared])
    passes, real = where.passes[:end], ~where.padding[:end]
    differing = passes[(candidate[:end] != reference[:end]) & real]
    counts = np.unique(passes[real & np.isin(passes, differing)], return_counts=True)[1].tolist()
    chance = -sum(lgamma(n + 1) - lgamma(max(n - count, 0) + 1) for count in counts)
    return chance + fit.cause.log_alternatives(case) > _RARE


def by_chance(fit: Fit, case: Case) -> str:
    """Why totals agree in spite of the cause; empty if none does, or a limit makes them."""
    plan, a, b = case.plan, case.candidate, case.reference
    changes_counts = fit.cause.changes_counts or fit.cause.cuts_passes or fit.cause.moves_updates
    if not changes_counts or not case.whole or not len(a) or not len(b):
        return ""
    if plan is None or plan.limits.steps is not None or plan.limits.updates is not None:
        return ""
    sums, as_many = [], len(a) == len(b)
    totals = [None if rows.updates is None else int(rows.updates[-1]) for rows in (a, b)]
    if totals[0] and totals[0] == totals[1] and (not as_many or fit.cause.moves_updates):
        sums.append(f"update totals agree only by chance: {_update_sum(fit, case, totals[0])}")
    if as_many and fit.cause.cuts_passes and case.num_samples is not None:
        divisions = dict.fromkeys(_steps(one, case.num_samples) for one in (fit.plan, plan) if one is not None)
        if len(divisions) > 1 and "" not in divisions:
            sums.append(f"step totals agree only by chance: {' = '.join([*divisions, f'{len(a):,}'])}")
    return "; ".join(sums)


def _update_sum(fit: Fit, case: Case, total: int) -> str:
    """How one total of updates comes about in two ways."""
    plan, n, other = case.plan, case.num_samples, fit.plan
    steps = len(case.keys), len(case.reference_keys)
    over = f"{steps[0]:,} steps and over {steps[1]:,}" if len(set(steps)) > 1 else f"{steps[0]:,} steps"
    by_both = f"both are {total:,}, over {over}"
    if plan is None or n is None or other is None:
        return by_both
    k = plan.gradient_accumulation_steps
    if k == 1 or k != other.gradient_accumulation_steps:
        return by_both
    lengths = [cut for one in (other, plan) if (cut := Cadence(one, n).cut_every) is not None]
    if len(lengths) == 2:
        flush = plan.accumulation_remainder == "flush" == other.accumulation_remainder
        open_, close = "⌈⌉" if flush else "⌊⌋"
        updates = {-(-length // k) if flush else length // k for length in lengths}
        if len(updates) == 1:
            sums = " = ".join(f"{open_}{length:,}/{k:,}{close}" for length in dict.fromkeys(lengths))
            return f"{sums} = {updates.pop():,} per {plan.accumulation_boundary}"
    carries = plan.accumulation_remainder == "carry" == other.accumulation_remainder
    if carries and all(length // k == total for length in steps):  # a last window that is flushed is not in it
        return " = ".join(f"⌊{length:,}/{k:,}⌋" for length in dict.fromkeys(steps)) + f" = {total:,}"
    divisions = [_updates(one, n, many) for one, many in zip((other, plan), steps, strict=True)]
    if divisions[0] != divisions[1] and all(total == one[1] for one in divisions):
        return f"{divisions[0][0]} = {divisions[1][0]} = {total:,}"
    return by_both


def _updates(plan: TrainingPlan, n: int, steps: int) -> tuple[str, int]:
    """The plan's updates in that many steps as a division, and what it comes to; 0 if they are none.

    Windows that nothing cuts are counted through; else those between two cuts, as often as these come.
    """
    k, length, rest = plan.gradient_accumulation_steps, Cadence(plan, n).cut_every, plan.accumulation_remainder
    if rest == "carry":
        return f"⌊{steps:,}/{k:,}⌋", steps // k
    if length is None or steps % length:
        return "", 0
    open_, close = "⌈⌉" if rest == "flush" else "⌊⌋"
    each = -(-length // k) if rest == "flush" else length // k
    return f"{steps // length:,} x {open_}{length:,}/{k:,}{close}", steps // length * each


def _steps(plan: TrainingPlan, n: int) -> str:
    """The plan's steps as a division: under ``carry`` of all samples, else of each pass's; empty if they are none."""
    b, epochs = plan.batch_size, plan.limits.epochs
    if plan.steps_per_epoch is not None or epochs is None:
        return ""
    if plan.remainder == "carry":
        return f"⌈{epochs * n:,}/{b:,}⌉"
    open_, close = "⌊⌋" if plan.remainder == "drop" else "⌈⌉"
    return f"{epochs:,} x {open_}{n:,}/{b:,}{close}"
