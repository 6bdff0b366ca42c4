"""Why one run's rows are not those of its reference, or why its numbers differ where the rows agree.

Every cause is asked; what fits is ranked. Labels are looked at where all that was observed agrees, and numbers where
the labels do too, since only then are they the same run's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from xframe.comparison.result import Explanation
from xframe.diagnosis import causes
from xframe.diagnosis.case import Case, Stopping
from xframe.diagnosis.cause import Fit
from xframe.diagnosis.chance import by_chance
from xframe.diagnosis.ranking import certain, ranked
from xframe.diagnosis.reference import Reference

if TYPE_CHECKING:
    from xframe.diagnosis.numbers import Numbers
    from xframe.plan.training_plan import TrainingPlan
    from xframe.trace.rows import Rows

THE_PLAN = "the plan"
_MOST_CAUSES = 4  # of one run
_LARGEST_BATCH = 1 << 40


def diagnose(
    candidate: Rows,
    reference: Rows,
    *,
    run: str,
    num_samples: int | None,
    plan: TrainingPlan | None,
    reference_is_plan: bool = False,
    numbers: Numbers | None = None,
    other: str = "",
    stopping: Stopping | None = None,
) -> tuple[Explanation, ...]:
    """Why the candidate differs, most likely first; empty if nothing differs or explains it.

    Args:
        candidate: rows of the run that differs.
        reference: rows that it is compared with.
        run: the candidate's name.
        num_samples: size of the data set, if known.
        plan: that the reference follows, if known.
        reference_is_plan: the reference's rows are the plan's own.
        numbers: to be looked at if the rows agree.
        other: the reference's name, for sentences.
        stopping: where the plan asks for early stopping.
    """
    if not _sound(candidate) or not _sound(reference):
        return ()
    basis = Reference.of(reference, num_samples, plan, is_plan=reference_is_plan)
    name = THE_PLAN if reference_is_plan else other or "the other run"
    return _explained(Case(candidate, basis, run, name, stopping), plan, numbers)


def _explained(case: Case, plan: TrainingPlan | None, numbers: Numbers | None) -> tuple[Explanation, ...]:
    if case.differs_at is None or _only_shorter(case):
        with np.errstate(all="ignore"):  # NaN and infinities are losses like any other here
            return tuple(_of_labels(case)) or tuple(_of_numbers(case, numbers) if numbers is not None else ())
    explanations = tuple(_of_rows(case))
    if explanations or not case.has_ids:
        return explanations
    # Perhaps the order differs and something else does too: sizes and updates alone may show more.
    candidate, reference = (rows.with_columns(ids=None) for rows in (case.candidate, case.reference))
    basis = Reference.of(reference, case.num_samples, plan, is_plan=case.other == THE_PLAN)
    bare = Case(candidate, basis, case.run, case.other, case.stopping)
    return tuple(replace(one, certain=False) for one in _explained(bare, plan, None))


def _sound(rows: Rows) -> bool:
    """Whether the sizes are sizes, and the ids as many as these sum to."""
    sizes = rows.batch_size
    if len(sizes) and (sizes.min() < 0 or sizes.max() > _LARGEST_BATCH):
        return False
    return rows.ids is None or len(rows.ids) == int(sizes.sum())


def _only_shorter(case: Case) -> bool:
    """Whether one side was merely not seen to its end."""
    return not case.whole and case.differs_at == case.shared


def _of_rows(case: Case) -> Iterator[Explanation]:
    """Why the rows differ."""
    fits = [fit for cause in causes.every() if cause.settles for fit in cause.fits(case)]
    fits = fits or [fit for cause in causes.every() if not cause.settles for fit in cause.fits(case)]
    for fit in ranked(fits)[:_MOST_CAUSES]:
        yield _in_words(fit, case, is_certain=certain(fit, fits, case), chance=by_chance(fit, case))


def _of_labels(case: Case) -> Iterator[Explanation]:
    """The same rows with other labels."""
    fits = {cause.name: fit for cause in causes.every() for fit in cause.find_in_labels(case)}
    if fits:
        # What a plan would have labelled so is as likely as a label alone.
        first = min(fit.step for fit in fits.values() if fit.step is not None)
        for cause in causes.every():
            for fit in cause.predicted(case):
                if fit.exact:
                    fits.setdefault(cause.name, replace(fit, step=first))
    alone = len(fits) == 1 and case.given  # a different plan may be behind a reference whose own is not known
    for fit in fits.values():
        yield _in_words(fit, case, is_certain=alone)


def _of_numbers(case: Case, numbers: Numbers) -> Iterator[Explanation]:
    """Why the numbers differ where the rows are the same."""
    fits = [fit for cause in causes.every() for fit in cause.find_in_numbers(case, numbers)]
    for fit in sorted(fits, key=lambda fit: fit.rank):
        yield _in_words(fit, case, is_certain=fit.exact)


def _in_words(fit: Fit, case: Case, *, is_certain: bool, chance: str = "") -> Explanation:
    return Explanation(
        name=fit.cause.name,
        run=case.other if fit.by_reference else case.run,
        certain=is_certain,
        sentence=fit.sentence,
        fix=fit.cause.fix(fit.fields),
        step=fit.step,
        by_chance=chance,
    )
