"""Explains a comparison that failed: the causes of each run, and the sentences that reports show.

It starts from the comparison's findings. Rows, first differences and the tolerance in force are taken from there; no
trace is opened or read again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from xframe.comparison.check import Check
from xframe.comparison.checks.lr import compared
from xframe.comparison.checks.validation import Validations, paired
from xframe.comparison.checks.weights import FinalWeights
from xframe.comparison.judging import Findings
from xframe.comparison.pairing import Common, Pair, Run, first_unequal
from xframe.comparison.result import TOLERANCES, Comparison, Explanation, Tolerance
from xframe.diagnosis import causes, joining
from xframe.diagnosis.backing import backed
from xframe.diagnosis.case import Stopping
from xframe.diagnosis.causes.outcomes import ToleranceBelowRounding
from xframe.diagnosis.claims import Table
from xframe.diagnosis.counts import filled
from xframe.diagnosis.diagnosing import Answer, answers, in_order
from xframe.diagnosis.evidence import Evidence
from xframe.diagnosis.fixes import in_use
from xframe.diagnosis.naming import by_content
from xframe.diagnosis.numbers import ACCEPTED, Numbers, Outcome, numbers_of
from xframe.diagnosis.replicas import Replicas
from xframe.errors import counted, printable
from xframe.plan.training_plan import TrainingPlan
from xframe.plan.validation import stopped_after
from xframe.trace.continued import Join
from xframe.trace.facts import Facts
from xframe.trace.rows import Rows

_MORE_ROWS = 4096  # of a plan that are looked at beyond twice a run's own
_ROWS = {"batch_size", "ids_digest", "updates", "epoch", "step_in_epoch", "padding"}  # columns that a plan has
_IN_SENTENCES = 2  # causes of one difference
_JUDGED_AGAIN: dict[str, type[Check]] = {check.name: check for check in (FinalWeights, Validations)}
_DIFFERENCES = 4  # of one run


def explain(findings: Findings) -> Comparison:
    """The comparison with why it failed; as it is if it did not fail."""
    comparison = findings.comparison
    if comparison.verdict != "failed":
        return _order_alone(findings) if comparison.verdict == "inconclusive" else comparison
    sentences, difference = [*comparison.explanation], comparison.first_difference
    explanations: tuple[Explanation, ...] = ()
    if all("batch_size" in run.rows.known for run in findings.runs):
        rows = {run.name: run.rows.limited() for run in findings.runs}
        whole = all(len(rows[run.name]) == len(run.rows) for run in findings.runs)
        looked_at = min(map(len, rows.values()))
        if not whole and difference is not None and difference["step"] >= looked_at:
            sentences.append(f"Causes are looked for in the first {looked_at:,} steps, in which the runs agree.")
        else:
            facts = [run.facts for run in findings.runs]
            explanations = tuple(
                replace(one, certain=one.certain and whole, fix=in_use(one.fix, facts))
                for one in _explanations(findings, rows)
            )
    of_steps = [*_of_steps(findings)]
    explanations = joining.joined(of_steps, explanations, comparison)
    if comparison.only_tolerance:
        explanations = tuple(_of_tolerance(comparison))
    for run in dict.fromkeys(one.run for one in explanations):
        for explanation in _foremost([one for one in explanations if one.run == run]):
            sentences += sentences_of(explanation)
    all_list_ids = all("ids" in run.rows.known for run in findings.runs)
    if not explanations and comparison.structure == "different" and not all_list_ids:
        sentences.append("Runs that list their sample ids would show more.")
    settings, said = joining.weighed(comparison), tuple(dict.fromkeys(sentences))
    return replace(comparison, causes=explanations, explanation=said, settings=settings)


def _order_alone(findings: Findings) -> Comparison:
    """The comparison with why its orders differ, where nothing else does, if replicas show that by themselves."""
    comparison, known = findings.comparison, causes.by_name()
    if not any(pair.noticed and any(map(_replicated, (pair.candidate, pair.reference))) for pair in findings.across):
        return comparison
    found = tuple(
        replace(one, fix=in_use(one.fix, [run.facts for run in findings.runs]))
        for one in _explanations(findings, {run.name: run.rows.limited() for run in findings.runs})
        if known[one.name].of_replicas and known[one.name].about_order
    )
    said = [sentence for one in found for sentence in sentences_of(one)]
    return replace(comparison, causes=found, explanation=(*comparison.explanation, *said))


def _replicated(run: Run) -> bool:
    return run.trace is not None and bool(run.trace.replicas)


def _of_steps(findings: Findings) -> Iterator[Explanation]:
    """Why steps made from one state differ, where the runs' structure does not."""
    facts = [run.facts for run in findings.runs]
    for judged in findings.comparison.numerics if findings.comparison.structure == "identical" else ():
        again = "" if judged.repeats else "; seen in steps that were made again, behind the run"
        step = None if judged.first is None or again else judged.first.step
        for one, besides in joining.in_order(judged.causes):
            fix, certain = in_use(one.fix, facts), one.certainty == "proven"
            sentence = one.sentence.rstrip(".") + again
            yield Explanation(one.name, judged.candidate, certain, sentence, fix, step, besides=besides)


def _of_tolerance(comparison: Comparison) -> Iterator[Explanation]:
    """That a tolerance set by hand is finer than rounding, of each run whose steps are equivalent."""
    first, *others = comparison.runs
    failing = " and ".join(check.title for check in comparison.checks if check.result == "fail")
    cause = ToleranceBelowRounding
    for run in others:
        text = f"each step of {run} and {first} that was made from one state is within its rounding; {failing} differ "
        text += f"by more than the tolerance set by hand, {comparison.tolerance}, allows"
        yield Explanation(cause.name, run, True, text, dict(cause.fixes))


def _foremost(explanations: Sequence[Explanation]) -> Sequence[Explanation]:
    """Those of one run that reports put in sentences: one a difference, or of one difference the likeliest two."""
    first = {one.step: one for one in reversed(explanations)}
    foremost = [one for one in explanations if first[one.step] is one]
    return foremost[:_DIFFERENCES] if len(foremost) > 1 else explanations[:_IN_SENTENCES]


def sentences_of(explanation: Explanation) -> Iterator[str]:
    """The explanation as sentences: why, by what chance totals agree, and what fixes it."""
    yield f"{'Why' if explanation.certain else 'Likely'}: {explanation.sentence}."
    if explanation.by_chance:
        yield f"By chance: {explanation.by_chance.replace(' only by chance', '')}."
    if explanation.fix:
        yield "Fix: " + "; ".join(f"{where}: {text}" for where, text in fix_places(explanation.fix).items()) + "."


def fix_places(fix: Mapping[str, str]) -> dict[str, str]:
    """Fixes by where they are made, as reports show them: the plan is what else may be changed, if anything."""
    plan = "or else the plan" if next(iter(fix), "plan") != "plan" else "the plan"
    return {plan if where == "plan" else where: text for where, text in fix.items()}


def _explanations(findings: Findings, rows: dict[str, Rows]) -> Iterator[Explanation]:
    """Why each run differs from the plan; or if none does, from the first run, and where its numbers do."""
    most_rows = 2 * max(map(len, rows.values())) + _MORE_ROWS
    by_plan = {pair.candidate.name: pair for pair in findings.with_plan if not _agree(pair) or _parted(pair)}
    across = {pair.candidate.name: pair for pair in findings.across}
    found: dict[str, list[Answer]] = {}
    pairs = (*findings.with_plan, *findings.across)
    tables = {run.name: Table.of(pair for pair in pairs if pair.candidate is run) for run in findings.runs}
    for name, pair in by_plan.items():
        found[name] = _of_pair(pair, rows, pair.reference.rows.limited(most_rows), tables[name])
    planned = any(found.values())
    for name, pair in across.items():
        reference = rows[pair.reference.name]
        if not (len(reference) and len(rows[name])):  # nothing was trained, and that is said
            continue
        found[name] = found.get(name, []) + _of_pair(pair, rows, reference, tables[name], numbers_alone=planned)
    for name, answers_of_run in found.items():
        for one in backed(in_order(answers_of_run, tables[name]), across.get(name)):
            yield _joined(one, findings)


def _joined(explanation: Explanation, findings: Findings) -> Explanation:
    """With where a run goes on in a further trace, if that is the very step at which the cause shows."""
    joins = dict.fromkeys(join for joins in findings.comparison.joins.values() for join in joins)
    for join in joins:
        place = f"where {printable(join.after)} goes on"
        if join.step == explanation.step and place not in explanation.sentence:
            return replace(explanation, sentence=f"{explanation.sentence}; step {join.step:,} is {place}")
    return explanation


def _of_pair(
    pair: Pair, rows: dict[str, Rows], reference: Rows, table: Table, *, numbers_alone: bool = False
) -> list[Answer]:
    found = _of_candidate(pair, rows, reference, table, numbers_alone=numbers_alone)
    sought = _sought_in_reference(pair, found)
    if not sought:
        return found
    turned = replace(pair, candidate=pair.reference, reference=pair.candidate)
    turned.until = pair.until
    turned_rows = {**rows, pair.reference.name: reference}
    its = [
        one._replace(explanation=replace(one.explanation, run=pair.candidate.name))
        for one in _of_candidate(turned, turned_rows, rows[pair.candidate.name], table, numbers_alone=numbers_alone)
        if one.explanation.name in sought
    ]
    explained = {one.explanation.step for one in its}  # by what the reference did
    return its + [one for one in found if one.explanation.step not in explained]


def _sought_in_reference(pair: Pair, found: Sequence[Answer]) -> set[str]:
    """The causes that are looked for in the reference, too: of where it goes on, and of replicas that made it."""
    trace, known = pair.reference.trace, causes.by_name()
    if trace is None:
        return set()
    joins = bool(trace.joins) and not _joins(pair.candidate)
    replicas = bool(trace.replicas) and not any(known[one.explanation.name].of_replicas for one in found)
    return {name for name, one in known.items() if (joins and one.about_joins) or (replicas and one.of_replicas)}


def _joins(run: Run) -> tuple[Join, ...]:
    """Where a run goes on in a further trace."""
    return () if run.trace is None else run.trace.joins


def _of_candidate(
    pair: Pair, rows: dict[str, Rows], reference: Rows, table: Table, *, numbers_alone: bool = False
) -> list[Answer]:
    terms, candidate = pair.terms, rows[pair.candidate.name]
    coverage, is_plan = terms.order == "coverage", pair.reference.is_plan
    as_recorded = candidate, reference
    candidate, reference = filled(candidate, reference)
    found = answers(
        candidate,
        reference,
        run=pair.candidate.name,
        other=pair.reference.name,
        num_samples=terms.num_samples,
        plan=terms.plan,
        reference_is_plan=is_plan,
        numbers=None if is_plan else _numbers(pair, candidate, reference),
        rates=None if is_plan or coverage else _rates_beyond(pair, candidate, reference),
        stopping=_stopping(terms.plan, pair),
        table=table,
        rows=not numbers_alone,
        ordered=not coverage,
        joins=_joins(pair.candidate),
        replicas=Replicas.of(pair.candidate.trace, len(candidate)),
        reference_replicas=Replicas.of(pair.reference.trace, len(reference)),
    )
    if candidate is not as_recorded[0] or reference is not as_recorded[1]:
        found = [one._replace(explanation=replace(one.explanation, certain=False)) for one in found]
    if (named := pair.candidate.named) is not None:
        found = [
            one._replace(explanation=replace(one.explanation, sentence=by_content(one.explanation.sentence, named)))
            for one in found
        ]
    return [one for one in found if not coverage or one.shown or not causes.by_name()[one.explanation.name].about_order]


def _parted(pair: Pair) -> bool:
    """Whether the replicas of a run were not alike, which none of their merged rows shows."""
    judged = pair.judgements.get("replicas")
    return judged is not None and judged.result == "fail"


def _agree(pair: Pair) -> bool:
    """Whether the comparison saw no difference between the rows of a run and of its plan, labels included."""
    if pair.terms.order == "coverage" or pair.candidate.skips_updates:  # then not all of it was compared
        return False
    alike = len(pair.candidate.rows) == len(pair.reference.rows) or not pair.candidate.rows.complete
    return alike and not pair.firsts.keys() & _ROWS


def _stopping(plan: TrainingPlan | None, pair: Pair) -> Stopping | None:
    """What early stopping has to do with the ends of these two."""
    if plan is None or plan.early_stopping_patience is None:
        shorter = min(pair.candidate, pair.reference, key=lambda run: len(run.rows))
        losses = [np.inf if one.loss is None else one.loss for one in shorter.validations]
        at_end = bool(losses) and shorter.validations[-1].after == len(shorter.rows)
        waited = len(losses) - 1 - int(np.argmin(losses)) if at_end else 0
        return Stopping(None, None, validated=True, by_plan=False, waited=waited) if waited else None
    validations = pair.candidate.validations
    after = stopped_after(plan, validations)
    return Stopping(plan.early_stopping_patience, after, bool(validations), pair.reference.is_plan)


def _validation(pair: Pair) -> Outcome | None:
    """The first validation that differs, if its outcome does and the two were of the same samples."""
    judged = pair.judgements.get("validation")
    first = None if judged is None or judged.result != "fail" else judged.first
    for a, b in zip(*paired(pair.candidate.validations, pair.reference.validations), strict=False):
        digests = {a.ids_digest, b.ids_digest} - {None}
        same = (a.after, a.num_samples) == (b.after, b.num_samples) and len(digests) < 2
        if first is None or a.after != first + 1 or not same or a.num_samples is None:
            continue
        size = a.num_samples
        answers = 0.0 if a.accuracy is None or b.accuracy is None else abs(a.accuracy - b.accuracy) * size
        if answers > 1.5 or _apart(pair, a.loss, b.loss):
            unknown = None in (a.ids_digest, b.ids_digest)
            samples = f"as many samples, {size:,}" if unknown else f"the same {counted(size, 'sample')}"
            pairs = [(x, y) for x, y in ((a.loss, b.loss), (a.accuracy, b.accuracy)) if x is not None and y is not None]
            apart = max(
                (abs(x - y) / max(abs(x), abs(y)) for x, y in pairs if np.isfinite(x - y) and x != y), default=0
            )
            accepted = "validation" in _passing(pair, Tolerance(*ACCEPTED))
            sizes, modes = (a.batch_sizes, b.batch_sizes), (a.training, b.training)
            return Outcome(first, samples, sizes, apart, unknown, accepted, modes)
    return None


def _apart(pair: Pair, a: float | None, b: float | None) -> bool:
    """Whether two losses differ beyond the tolerance."""
    if a is None or b is None or not np.isfinite(a - b):
        return False
    return bool(abs(a - b) > pair.terms.tolerance.allowed(a, b))


def _rounded(pair: Pair) -> frozenset[str]:
    """The failed checks whose numbers agree by the default tolerance, where a finer one is in force."""
    default, given = TOLERANCES[pair.terms.precision], pair.terms.tolerance
    if given.rtol >= default.rtol and given.atol >= default.atol:
        return frozenset()
    return _passing(pair, default)


def _passing(pair: Pair, tolerance: Tolerance) -> frozenset[str]:
    """The failed checks that pass by another tolerance."""
    again = replace(pair, terms=replace(pair.terms, tolerance=tolerance))
    again.until = pair.until
    judged = pair.judgements.items()
    failed = [name for name, judgement in judged if name in _JUDGED_AGAIN and judgement.result == "fail"]
    return frozenset(name for name in failed if _JUDGED_AGAIN[name](again).judge().result == "pass")


def _may_fold_otherwise(a: Facts, b: Facts) -> bool:
    """Whether one's SGD may put the rate into the velocity, the other's not; adapters all do as the task says."""
    folding = {_folds(a), _folds(b)}
    return None in (a.adapter, b.adapter) and (None in folding or len(folding) > 1)


def _folds(facts: Facts) -> bool | None:
    """Whether the run's SGD puts the rate into the velocity, as Keras does and torch does not; None if not known."""
    keras, torch = (name in facts.versions for name in ("keras", "torch"))
    return None if keras == torch else keras


def _updates(rows: Rows) -> int:
    """Updates in all; steps where these were not counted."""
    return len(rows) if rows.updates is None or not len(rows) else int(rows.updates[-1])


def _rates_beyond(pair: Pair, candidate: Rows, reference: Rows) -> Numbers | None:
    """The rates behind the first batch that differs, up to where sizes or updates do: an order does not change them.

    None if none of them differs, or the comparison has found one that does.
    """
    steps = min(len(candidate), len(reference))
    unequal = first_unequal(candidate.batch_size[:steps], reference.batch_size[:steps])
    numbers = _numbers(pair, candidate, reference, steps if unequal is None else unequal)
    assert numbers.lr is not None
    known = np.flatnonzero(~np.isnan(numbers.lr).any(axis=0))
    if numbers.lr_differs_at is not None or not len(known):
        return None
    a, b = (one[known] for one in numbers.lr)
    differ, *_ = compared(Common(a, b, 0, known), 0.0, numbers.precision)
    return replace(numbers, lr_differs_at=int(known[differ.argmax()]), loss_differs_at=None) if differ.any() else None


def _numbers(pair: Pair, candidate: Rows, reference: Rows, until: int | None = None) -> Numbers:
    """What the two computed, and where the comparison saw it differ; in orders of their own, and up to ``until`` if
    that is given, the rates alone."""
    coverage = pair.terms.order == "coverage" or until is not None
    shared = min(len(candidate), len(reference), pair.until if until is None else until)
    if candidate.updates is not None and reference.updates is not None:  # counts filled in may differ earlier
        unequal = first_unequal(candidate.updates[:shared], reference.updates[:shared])
        shared = shared if unequal is None else unequal
    a, b, facts = candidate, reference, (pair.candidate.facts, pair.reference.facts)
    firsts = {name: first for name, first in pair.firsts.items() if first < shared}
    weights = pair.judgements.get("weights")
    evidence = Evidence.of(pair, candidate, reference, shared)
    return Numbers(
        loss=None if coverage else (numbers_of(a, "loss")[:shared], numbers_of(b, "loss")[:shared]),
        lr=(numbers_of(a, "lr")[:shared], numbers_of(b, "lr")[:shared]),
        loss_differs_at=firsts.get("loss"),
        lr_differs_at=firsts.get("lr"),
        weights=None if weights is None else {"pass": True, "fail": False}.get(weights.result),
        starts=_starts(facts, evidence),
        data=(facts[0].data_fingerprint, facts[1].data_fingerprint),
        applied=None if b.updates is None else np.diff(b.updates[:shared], prepend=0) > 0,
        may_fold=_may_fold_otherwise(*facts),
        before=None if b.updates is None else np.concatenate([[0], b.updates[: shared - 1]])[:shared],
        totals=(_updates(a), _updates(b)),
        precision=pair.terms.precision,
        device=max(str(one.runtime.get("device", "cpu")) for one in facts),  # "cuda" comes after "cpu"
        accuracy_differs_at=firsts.get("accuracy"),
        validation=_validation(pair),
        rounded=_rounded(pair),
        weights_text="" if weights is None else weights.detail,
        evidence=evidence,
    )


def _starts(facts: tuple[Facts, Facts], evidence: Evidence) -> tuple[str | None, str | None]:
    """Fingerprints of the starting weights, or what the tensors stated show of these."""
    fingerprints = facts[0].weights_fingerprint, facts[1].weights_fingerprint
    return evidence.starts if fingerprints == (None, None) else fingerprints
