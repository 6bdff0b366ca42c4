"""Two runs with orders of their own, and something else that differs: the two are told apart.

The plan that the candidate follows, its order aside, is inferred from its own rows; its samples are then replaced by
those that the reference's order has in these places. What still differs from the reference is not the order, and what
differs between the candidate and its replacement is nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xframe.diagnosis.case import Case
from xframe.diagnosis.cause import Fit
from xframe.diagnosis.ranking import fits_of, ranked
from xframe.diagnosis.reference import MOST_CELLS, Reference, changed, planned
from xframe.inference.observed import Ints
from xframe.inference.reproducing import UNKNOWN, Cells, by_pass, cells, reproduce
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.rows import Rows

_SHAPE = ("batch_size", "ids", "epoch", "step_in_epoch", "padding")


def order_and_rest(case: Case) -> Iterator[tuple[Fit, Fit]]:
    """The cause of the order, and one of all that differs besides."""
    replaced = _in_the_references_order(case)
    if replaced is None:
        return
    rows, plan = replaced
    rest = case.over(rows, case.basis, supposed=True)
    seen = case.candidate.only("batch_size", "ids")
    same = Reference(rows.only("batch_size", "ids"), (plan,), case.num_samples, case.basis.order, case.given)
    order = case.over(seen, same, apart=True, supposed=not rest.same_where_both_go_on)
    if rest.differs_at is None or order.differs_at is None:
        return
    for first in ranked([fit for fit in fits_of(order) if fit.cause.about_order])[:1]:
        fits = fits_of(rest)
        marks = fits if rest.differs_at == rest.shared else []
        for second in ranked([fit for fit in fits if fit.exact] or marks)[:1]:
            yield first, second


def _in_the_references_order(case: Case) -> tuple[Rows, TrainingPlan] | None:
    """The candidate with the samples of the reference's order, and its plan; None if it follows none."""
    basis, n, rows = case.basis, case.num_samples, case.candidate
    if case.ids is None or basis.plan is None or n is None or not 0 < len(case.ids[0]) <= MOST_CELLS:
        return None
    own = reproduce(rows.only(*_SHAPE), n)
    order = {name: getattr(basis.plan, name) for name in ("order", "seed", "reshuffle")}
    plan = changed(own.plans[0], **order) if own.plans else None
    part = None if plan is None else planned(plan, n, len(rows))
    if plan is None or part is None:
        return None
    where = cells(plan, n, part)
    if int(where.passes.max() + 1) * n > 4 * MOST_CELLS:
        return None
    return rows.with_columns(ids=_filled(basis, plan, n, where, case.ids[0])), plan


def _filled(basis: Reference, plan: TrainingPlan, n: int, where: Cells, own: Ints) -> Ints:
    """The samples in these cells; its own in passes that the reference has not, else those that a pass still lacks."""
    ids, every = basis.ids(plan, n, where), np.arange(n, dtype=np.int64)
    if not (ids == UNKNOWN).any():
        return ids
    for one, chosen in by_pass(where.passes):
        of_pass = basis.ids(plan, n, Cells(np.full(n, one), every, np.zeros(n, np.bool_)))
        unknown = of_pass == UNKNOWN
        of_pass[unknown] = np.setdiff1d(every, of_pass)
        ids[chosen] = own[chosen] if unknown.all() else of_pass[where.positions[chosen]]
    return ids
