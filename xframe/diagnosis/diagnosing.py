"""Why one run's rows are not those of its reference, why its labels are not, and why its numbers differ.

Every cause is asked; what fits is ranked, and what the comparison's table refutes is left out. Causes of one difference
come before those of a later one. Numbers are looked at for as long as the rows agree, since only so long are they the
same run's.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from xframe.comparison.result import Explanation
from xframe.diagnosis import causes, claims
from xframe.diagnosis.case import Case, Stopping
from xframe.diagnosis.cause import Fit
from xframe.diagnosis.claims import Table
from xframe.diagnosis.composing import beginning, composed, in_turn, of_a_share
from xframe.diagnosis.numbers import Numbers
from xframe.diagnosis.ranking import by_chance, certain, fits_of, ranked
from xframe.diagnosis.reference import Reference
from xframe.diagnosis.replicas import Replicas
from xframe.plan.training_plan import TrainingPlan
from xframe.trace.continued import Join
from xframe.trace.rows import Rows

THE_PLAN = "the plan"
_MOST_CAUSES = 4  # of one difference
_LARGEST_BATCH = 1 << 40


class Answer(NamedTuple):
    """A cause that fits."""

    explanation: Explanation  # certain if what else differs is explained too
    explained: frozenset[str]  # the failed checks that it explains
    shown: bool = False  # by a mark that nothing else leaves
    follows: bool = False  # from what others explain


def in_order(found: Sequence[Answer], table: Table) -> tuple[Explanation, ...]:
    """The explanations of one run by where they show; certain only if all that is certain explains all that failed."""
    explained = {name for one in found if one.explanation.certain for name in one.explained}
    sure = explained >= table.failed.keys()
    by_step: list[Explanation] = []
    shown: set[str] = set()
    for one, of, *_ in sorted(found, key=_place):
        # What a cause is of: the checks that first fail where it shows. A different step is a different difference.
        own = {name for name in of if table.failed.get(name, -1) == one.step}
        elsewhere = one.step not in [earlier.step for earlier in by_step]
        besides = bool(by_step) and (one.besides or elsewhere or not own <= shown)
        by_step.append(replace(one, certain=one.certain and sure, besides=besides))
        shown |= own
    return tuple(by_step)


def _place(answer: Answer) -> tuple[bool, bool, int]:
    step = answer.explanation.step
    return answer.follows, step is None, step or 0


def answers(
    candidate: Rows,
    reference: Rows,
    *,
    run: str,
    num_samples: int | None,
    plan: TrainingPlan | None,
    table: Table,
    reference_is_plan: bool = False,
    numbers: Numbers | None = None,
    rates: Numbers | None = None,
    other: str = "",
    stopping: Stopping | None = None,
    rows: bool = True,
    ordered: bool = True,
    joins: tuple[Join, ...] = (),
    replicas: Replicas | None = None,
    reference_replicas: Replicas | None = None,
) -> list[Answer]:
    """Why the candidate differs, the likeliest first of each difference; empty if nothing differs or explains it.

    Args:
        candidate, reference: rows of the run that differs, and rows that it is compared with.
        run, other: their names, for sentences.
        num_samples: size of the data set, if known.
        plan: that the reference follows, if known.
        table: what the checks found, which no sentence may contradict.
        reference_is_plan: the reference's rows are the plan's own.
        numbers: of the steps before the rows differ.
        rates: beyond that, where no more than the order does, if some of them differ.
        stopping: where the plan asks for early stopping.
        rows: whether rows and labels are to be explained too, not the numbers alone.
        ordered: whether the order of the samples is compared.
        joins: where the candidate goes on in a further trace.
        replicas, reference_replicas: that made the candidate, or the reference, where several did.
    """
    if not _sound(candidate) or not _sound(reference):
        return []
    if stopping is not None and stopping.by_plan and stopping.after == len(candidate):
        # Where its own validations stop it, no limit of any plan does.
        candidate, reference = (rows.with_columns(complete=False) for rows in (candidate, reference))
    if rates is not None:
        table = replace(table, failed={**table.failed, "lr": rates.lr_differs_at})
    num_samples = num_samples or _reaching(candidate, reference)
    basis = Reference.of(reference, num_samples, plan, is_plan=reference_is_plan)
    other = THE_PLAN if reference_is_plan else other or "the other run"
    case = Case(candidate, basis, run, other, stopping, joins=joins, replicas=replicas)
    case = replace(case, num_replicas=1 if replicas is None else len(replicas))
    if not ordered and case.has_ids:
        case = case.in_any_order(table.failed.get("boundaries"))
    only_shorter = not case.whole and case.differs_at == case.shared  # one side was merely not seen to its end
    differ = case.differs_at is not None and not only_shorter
    several = [one for one in (replicas, reference_replicas) if one is not None]
    apart = [one.explain_from for one in several]
    since = min((step for step in apart if step is not None), default=None)
    if numbers is not None:  # what replicas state differently, no run states
        stated = {name for one in several if one.part for name, *_ in one.otherwise}
        numbers = replace(numbers, evidence=numbers.evidence.without(stated))
    with np.errstate(all="ignore"):  # NaN and infinities are losses like any other here
        found = _of_rows(case, plan, table) if rows and differ else []
        found += _of_replicas(case, table) if rows and replicas is not None else []
        at = case.labels_differ_at
        labelled = any(one.explanation.step == at or _is_before(one, at) for one in found)
        alike = case.head(case.differs_at or 0) if differ else case
        if rows and (not differ or (case.labels_differ_before_rows and not labelled)):
            found += _of_labels(alike, table)
        if numbers is not None:
            known = max((len(pair[0]) for pair in (numbers.loss, numbers.lr) if pair), default=0)
            # In orders of their own numbers are compared beyond the first batch that differs.
            of = case.head(known) if known > len(alike.candidate) else alike
            found += _of_numbers(of, numbers, table, since)
        if rates is not None and found and all(causes.by_name()[one.explanation.name].about_order for one in found):
            for one in _of_numbers(case.in_any_order(None), rates, table, since):
                found.append(one._replace(explanation=replace(one.explanation, certain=False, besides=True)))
    return found


def _is_before(answer: Answer, step: int | None) -> bool:
    """Whether a mark that nothing else leaves shows before that step."""
    first = answer.explanation.step
    return answer.shown and first is not None and step is not None and first < step


def _reaching(candidate: Rows, reference: Rows) -> int | None:
    """A size of the data set that has the samples of both, where the reference alone shows a smaller one."""
    if candidate.ids is None or reference.ids is None or not len(reference.ids) or not len(candidate.ids):
        return None
    most, own = (int(ids.max()) + 1 for ids in (candidate.ids, reference.ids))
    return most if most > own and Reference.of(reference, most, None, is_plan=False).plans else None


def _sound(rows: Rows) -> bool:
    """Whether the sizes are sizes, and the ids as many as these sum to."""
    sizes = rows.batch_size
    if len(sizes) and (sizes.min() < 0 or sizes.max() > _LARGEST_BATCH):
        return False
    return rows.ids is None or len(rows.ids) == int(sizes.sum())


def _standing(fits: Sequence[Fit], table: Table) -> list[Fit]:
    """The fits whose claims the table does not refute."""
    return [fit for fit in fits if not table.judged or all(claim(table) for claim in fit.claims)]


def _of_rows(case: Case, plan: TrainingPlan | None, table: Table) -> list[Answer]:
    """Why the rows differ: by one cause, by one a difference, or as far as a mark shows."""
    fits = _standing([*fits_of(case), *of_a_share(case)], table)
    if not any(fit.exact or fit.shown for fit in fits) and not (fits and case.draws_of_no_passes):
        several, all_explained = composed(case), True
        if not several:
            several, all_explained = in_turn(case)
        several = several if len(_standing(several, table)) == len(several) else []
        if several and (all_explained or not any(_of_the_first(fit, case) for fit in fits)):
            return [_in_words(fit, case, claims.of_rows(table, fit.step)) for fit in several]
    if not fits and case.has_ids:
        # Perhaps the order differs and something else does too: sizes and updates alone may show more.
        candidate, reference = (rows.with_columns(ids=None) for rows in (case.candidate, case.reference))
        bare = case.over(candidate, Reference.of(reference, case.num_samples, plan, is_plan=case.other == THE_PLAN))
        fits = [] if bare.differs_at is None else _standing(fits_of(bare), table)
        # What shows later is no cause of the first difference.
        first = [fit for fit in fits if fit.step == case.differs_at] or _standing(beginning(case), table)
        return [_in_words(fit, case) for fit in ranked(first)[:_MOST_CAUSES]]
    return [
        _in_words(
            fit,
            case,
            claims.of_rows(table, fit.step),
            is_certain=certain(fit, fits, case),
            chance=by_chance(fit, case),
        )
        for fit in ranked(fits)[:_MOST_CAUSES]
    ]


def _of_the_first(fit: Fit, case: Case) -> bool:
    """Whether what fits explains the first difference: no order of batches makes an update that is missing."""
    return not fit.cause.about_order or case.batches_differ_at == case.differs_at


def _of_replicas(case: Case, table: Table) -> list[Answer]:
    """Why replicas of one run are not alike."""
    fits = [fit for cause in causes.every() for fit in cause.find_in_replicas(case)]
    return [_in_words(fit, case, fit.cause.explains(table, fit.step), is_certain=fit.exact) for fit in fits]


def _of_labels(case: Case, table: Table) -> list[Answer]:
    """The same rows with other labels."""
    fits = {cause.name: fit for cause in causes.every() for fit in _standing([*cause.find_in_labels(case)], table)}
    if fits:
        # What a plan would have labelled so is as likely as a label alone.
        first = min(fit.step for fit in fits.values() if fit.step is not None)
        for cause in causes.every():
            for fit in cause.predicted(case):
                if fit.exact:
                    fits.setdefault(cause.name, replace(fit, step=first))
    # A different plan may be behind a reference whose own is not known, or behind rows that differ later.
    alone = len(fits) == 1 and case.given and not case.apart
    return [_in_words(fit, case, {"epochs"}, is_certain=alone) for fit in fits.values()]


def _of_numbers(case: Case, numbers: Numbers, table: Table, since: int | None) -> list[Answer]:
    """Why the numbers differ where the rows are the same; from ``since`` on since replicas' weights do."""
    found = [fit for cause in causes.every() for fit in cause.find_in_numbers(case, numbers)]
    found = [fit for fit in found if since is None or not _guessed(fit, numbers, since)]
    fits = sorted(_less_vague(_standing(found, table), numbers), key=lambda fit: fit.rank)
    labelled = case.labels_differ_at  # from there on other epochs may be why, as of a schedule that ticks by them
    sure = [fit.exact and (labelled is None or (fit.step or 0) < labelled) for fit in fits]
    return [
        _in_words(fit, case, fit.cause.explains(table, fit.step), is_certain=is_certain)
        for fit, is_certain in zip(fits, sure, strict=True)
    ]


def _guessed(fit: Fit, numbers: Numbers, since: int) -> bool:
    """Whether that is a guess at numbers from that step on, or at the end: nothing recorded speaks for it."""
    cause = fit.cause
    # What replicas do with their losses is not known where the weights of either run's part.
    backed = (cause.definite and not cause.of_replicas) or bool(
        cause.settings_behind and numbers.evidence.differing(cause.settings_behind)
    )
    shown = fit.exact or (backed and fit.rank == cause.rank)
    return not shown and (fit.step is None or fit.step >= since)


def _less_vague(fits: list[Fit], numbers: Numbers) -> list[Fit]:
    """Without what is said where nothing better is known, if a setting that differs explains the first loss that does,
    or another mark that leaves little else.

    Other causes that no setting speaks for stand beside it: what they say is their own.
    """
    behind = [fit for fit in fits if fit.step == numbers.loss_differs_at]
    named = any(fit.cause.definite and fit.rank == fit.cause.rank for fit in behind)
    patterns = [fit.cause.settings_behind for fit in behind if fit.cause.settings_behind]
    named = named or any(numbers.evidence.differing(pattern) for pattern in patterns)
    return [fit for fit in fits if not (named and fit.cause.vague and fit.step is not None)]


def _in_words(
    fit: Fit, case: Case, explained: AbstractSet[str] = frozenset(), *, is_certain: bool = False, chance: str = ""
) -> Answer:
    explanation = Explanation(
        name=fit.cause.name,
        run=case.other if fit.by_reference else case.run,
        certain=is_certain,
        sentence=fit.sentence,
        fix=fit.cause.fix(fit.fields),
        step=fit.step,
        by_chance=chance,
        besides=fit.besides,
    )
    if case.only_counted:  # what the counts show was perhaps not done
        counts = f"{fit.sentence}; the losses behind it agree, so that perhaps only the counts of updates differ"
        explanation = replace(explanation, sentence=counts, certain=False)
    return Answer(explanation, frozenset(explained), fit.shown, fit.follows)
