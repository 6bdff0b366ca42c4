"""Which of the causes that fit is reported first, and whether one is certain.

What reproduces every row of a run comes before what does not; among equals the cause's own rank decides. A cause is
certain only where the arithmetic leaves no other: nothing else reproduces the rows, and the rows say enough to know.
No cause is named here: causes state of themselves what they concern.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import lgamma, log
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from xframe.diagnosis.case import Case
    from xframe.diagnosis.cause import Fit

_RARE = log(1e-6)  # an explanation of an order that other orders meet more often than that is not certain


def ranked(fits: Sequence[Fit]) -> list[Fit]:
    """One fit a cause, the likeliest first; only exact ones if there are any, since the rest are then no rivals."""
    best: dict[str, Fit] = {}
    for fit in sorted(fits, key=lambda fit: (not fit.exact, fit.rank)):  # of one cause the first that it yielded
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
    if cause.about_windows or (case.window > 1 and case.same_batches):
        return False  # where the windows of the reference end is itself but inferred
    labelled = case.candidate.epoch is not None and case.reference.epoch is not None
    return labelled or not cause.needs_epochs


def _well_inferred(case: Case) -> bool:
    """Whether the reference's rows say what its plan is: no batch as large as the data set, no labels that differ."""
    plan, n = case.plan, case.num_samples
    if plan is None or n is None or plan.batch_size >= n or plan.steps_per_epoch is not None:
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
    if where is None or n is None:
        return True
    if not case.same_sizes:
        return False
    candidate, reference = case.candidate.ids, case.reference.ids
    assert candidate is not None
    assert reference is not None
    end = int(case.candidate.bounds[case.shared])
    passes, real = where.passes[:end], ~where.padding[:end]
    differing = passes[(candidate[:end] != reference[:end]) & real]
    counts = np.unique(passes[real & np.isin(passes, differing)], return_counts=True)[1].tolist()
    chance = -sum(lgamma(n + 1) - lgamma(max(n - count, 0) + 1) for count in counts)
    return chance + fit.cause.log_alternatives(case) > _RARE
