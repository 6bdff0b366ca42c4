"""Why totals of steps or updates agree by chance, although they were counted differently: the arithmetic in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from xframe.errors import UsageError
from xframe.plan.cadence import Cadence

if TYPE_CHECKING:
    from xframe.diagnosis.case import Case
    from xframe.diagnosis.cause import Fit
    from xframe.plan.training_plan import TrainingPlan


def by_chance(fit: Fit, case: Case) -> str:
    """Why totals agree in spite of the cause; empty if none does, or a limit makes them."""
    plan, a, b = case.plan, case.candidate, case.reference
    changes_counts = fit.cause.changes_counts or fit.cause.cuts_passes or fit.cause.moves_updates
    if not changes_counts or not case.whole or not len(a) or not len(b) or plan is None:
        return ""
    if plan.limits.steps is not None or plan.limits.updates is not None:
        return ""
    sums, as_many = [], len(a) == len(b)
    totals = [None if rows.updates is None else int(rows.updates[-1]) for rows in (a, b)]
    if totals[0] and totals[0] == totals[1] and (not as_many or fit.cause.moves_updates):
        sums.append(f"update totals agree only by chance: {_update_sum(fit, case, totals[0])}")
    if as_many and fit.cause.cuts_passes and case.num_samples is not None:
        equations = _step_sums(fit, plan, case.num_samples, len(a))
        sums += [f"step totals agree only by chance: {text}" for text in equations]
    return "; ".join(sums)


def _update_sum(fit: Fit, case: Case, total: int) -> str:
    """How one total of updates comes about in two ways."""
    plan, n, other = case.plan, case.num_samples, fit.plan
    steps = len(case.keys), len(case.reference_keys)
    by_both = f"both are {total:,}, over {steps[0]:,} steps and over {steps[1]:,}"
    if plan is None or n is None or other is None:
        return by_both
    k = plan.gradient_accumulation_steps
    try:
        cuts = Cadence(other, n).cut_every, Cadence(plan, n).cut_every
    except UsageError:
        return f"both are {total:,}"
    if k == 1 or k != other.gradient_accumulation_steps:
        return by_both
    lengths = [length for length in cuts if length is not None]
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
    return by_both


def _step_sums(fit: Fit, plan: TrainingPlan, n: int, total: int) -> Iterator[str]:
    """How one total of steps comes about in two ways."""
    sums = dict.fromkeys(_steps(one, n) for one in (fit.plan, plan) if one is not None)
    if len(sums) > 1 and "" not in sums:
        yield " = ".join([*sums, f"{total:,}"])


def _steps(plan: TrainingPlan, n: int) -> str:
    """The plan's steps as a division: under ``carry`` of all samples, else of each pass's; empty if they are none."""
    b, epochs = plan.batch_size, plan.limits.epochs
    if plan.steps_per_epoch is not None or epochs is None:
        return ""
    if plan.remainder == "carry":
        return f"⌈{epochs * n:,}/{b:,}⌉"
    open_, close = "⌊⌋" if plan.remainder == "drop" else "⌈⌉"
    return f"{epochs:,} x {open_}{n:,}/{b:,}{close}"
