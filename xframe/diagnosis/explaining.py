"""Explains a comparison that failed: the causes of each run, and the sentences that reports show.

It starts from the comparison's findings. Rows, first differences and the tolerance in force are taken from there; no
trace is opened or read again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from xframe.comparison.judging import Findings
from xframe.comparison.pairing import Pair
from xframe.comparison.result import Comparison, Explanation
from xframe.diagnosis import causes
from xframe.diagnosis.case import Case, Stopping
from xframe.diagnosis.cause import Fit
from xframe.diagnosis.numbers import Numbers
from xframe.diagnosis.ranking import by_chance, certain, ranked
from xframe.diagnosis.reference import Reference
from xframe.plan.training_plan import TrainingPlan
from xframe.plan.validation import stopped_after
from xframe.trace.rows import Rows

THE_PLAN = "the plan"
_MOST_CAUSES = 4  # of one run
_LARGEST_BATCH = 1 << 40
_MORE_ROWS = 4096  # of a plan that are looked at beyond twice a run's own
_ROWS = {"batch_size", "ids_digest", "updates", "epoch", "step_in_epoch", "padding"}  # columns that a plan has
_IN_SENTENCES = 2  # causes of one run


def explain(findings: Findings) -> Comparison:
    """The comparison with why it failed; as it is if it did not fail."""
    comparison = findings.comparison
    if comparison.verdict != "failed":
        return comparison
    sentences, difference = [*comparison.explanation], comparison.first_difference
    explanations: tuple[Explanation, ...] = ()
    if all("batch_size" in run.rows.known for run in findings.runs):
        rows = {run.name: run.rows.limited() for run in findings.runs}
        whole = all(len(rows[run.name]) == len(run.rows) for run in findings.runs)
        looked_at = min(map(len, rows.values()))
        if not whole and difference is not None and difference["step"] >= looked_at:
            sentences.append(f"Causes are looked for in the first {looked_at:,} steps, in which the runs agree.")
        else:
            explanations = tuple(replace(one, certain=one.certain and whole) for one in _explanations(findings, rows))
    for run in dict.fromkeys(one.run for one in explanations):
        for explanation in [one for one in explanations if one.run == run][:_IN_SENTENCES]:
            sentences += sentences_of(explanation)
    all_list_ids = all("ids" in run.rows.known for run in findings.runs)
    if not explanations and comparison.structure == "different" and not all_list_ids:
        sentences.append("Runs that list their sample ids would show more.")
    return replace(comparison, causes=explanations, explanation=tuple(dict.fromkeys(sentences)))


def sentences_of(explanation: Explanation) -> Iterator[str]:
    """The explanation as sentences: why, by what chance totals agree, and what fixes it."""
    yield f"{'Why' if explanation.certain else 'Likely'}: {explanation.sentence}."
    if explanation.by_chance:
        yield f"By chance: {explanation.by_chance.replace(' only by chance', '')}."
    if explanation.fix:
        settings = {"or else the plan" if where == "plan" else where: text for where, text in explanation.fix.items()}
        yield "Fix: " + "; ".join(f"{where}: {text}" for where, text in settings.items()) + "."


def _explanations(findings: Findings, rows: dict[str, Rows]) -> list[Explanation]:
    """Why each run differs from the plan, or if none does, from the first run."""
    most_rows = 2 * max(map(len, rows.values())) + _MORE_ROWS
    by_plan = [pair for pair in findings.with_plan if not _agree(pair)]
    explanations = [one for pair in by_plan for one in _of_pair(pair, rows, pair.reference.rows.limited(most_rows))]
    across = findings.across
    return explanations or [one for pair in across for one in _of_pair(pair, rows, rows[pair.reference.name])]


def _of_pair(pair: Pair, rows: dict[str, Rows], reference: Rows) -> Iterator[Explanation]:
    terms, candidate = pair.terms, rows[pair.candidate.name]
    coverage, is_plan = terms.order == "coverage", pair.reference.is_plan
    for explanation in diagnose(
        candidate,
        reference,
        run=pair.candidate.name,
        other=pair.reference.name,
        num_samples=terms.num_samples,
        plan=terms.plan,
        reference_is_plan=is_plan,
        numbers=None if coverage or is_plan else _numbers(pair, candidate, reference),
        stopping=_stopping(terms.plan, pair),
    ):
        if not coverage or not causes.by_name()[explanation.name].about_order:
            yield explanation


def _agree(pair: Pair) -> bool:
    """Whether the comparison saw no difference between the rows of a run and of its plan, labels included."""
    if pair.terms.order == "coverage" or pair.candidate.skips_updates:  # then not all of it was compared
        return False
    alike = len(pair.candidate.rows) == len(pair.reference.rows) or not pair.candidate.rows.complete
    return alike and not pair.firsts.keys() & _ROWS


def _stopping(plan: TrainingPlan | None, pair: Pair) -> Stopping | None:
    """What early stopping has to do with the ends of these two."""
    if plan is None or plan.early_stopping_patience is None:
        return None
    validations = pair.candidate.validations
    after = stopped_after(plan, validations)
    return Stopping(plan.early_stopping_patience, after, bool(validations), pair.reference.is_plan)


def _numbers(pair: Pair, candidate: Rows, reference: Rows) -> Numbers:
    """What the two computed, and where the comparison saw it differ."""
    shared = min(len(candidate), len(reference))
    a, b, facts = candidate, reference, (pair.candidate.facts, pair.reference.facts)
    firsts = {name: first for name, first in pair.firsts.items() if first < shared}
    weights = pair.judgements.get("weights")
    return Numbers(
        loss=None if a.loss is None or b.loss is None else (a.loss[:shared], b.loss[:shared]),
        lr=None if a.lr is None or b.lr is None else (a.lr[:shared], b.lr[:shared]),
        loss_differs_at=firsts.get("loss"),
        lr_differs_at=firsts.get("lr"),
        weights=None if weights is None else {"pass": True, "fail": False}.get(weights.result),
        starts=(facts[0].weights_fingerprint, facts[1].weights_fingerprint),
        data=(facts[0].data_fingerprint, facts[1].data_fingerprint),
    )


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
        candidate, reference: rows of the run that differs, and rows that it is compared with.
        run, other: their names, for sentences.
        num_samples: size of the data set, if known.
        plan: that the reference follows, if known.
        reference_is_plan: the reference's rows are the plan's own.
        numbers: to be looked at if the rows agree.
        stopping: where the plan asks for early stopping.
    """
    if not _sound(candidate) or not _sound(reference):
        return ()
    basis = Reference.of(reference, num_samples, plan, is_plan=reference_is_plan)
    name = THE_PLAN if reference_is_plan else other or "the other run"
    return _explained(Case(candidate, basis, run, name, stopping), plan, numbers)


def _explained(case: Case, plan: TrainingPlan | None, numbers: Numbers | None) -> tuple[Explanation, ...]:
    only_shorter = not case.whole and case.differs_at == case.shared  # one side was merely not seen to its end
    if case.differs_at is None or only_shorter:
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


def _of_rows(case: Case) -> Iterator[Explanation]:
    """Why the rows differ."""
    fits: list[Fit] = []
    for settles in (True, False):
        asked = [cause for cause in causes.every() if cause.settles == settles]
        fits = fits or [fit for cause in asked for fit in (*cause.predicted(case), *cause.find(case))]
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
