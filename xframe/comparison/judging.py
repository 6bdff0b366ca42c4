"""Judges runs: each is compared with the plan, and every further run with the first.

``judge`` returns ``Findings``: the ``Comparison`` and everything that led to it, so that whoever explains it derives
nothing again:

    findings.comparison             the verdict, without causes
    findings.terms                  order, plan, num_samples, precision, rate, and the *tolerance in force*
    findings.runs                   the runs (name, rows, facts, validations, trace), the reference first
    findings.planned                the plan's side in full; None if no run was compared with the plan
    findings.with_plan              one pair a run: the run, and the plan's rows up to where the run's own
                                    validations stop it; empty if no run was compared with the plan
    findings.across                 one pair a further run: that run, and the first

Where the digests of a block are equal its columns were not read. ``run.rows`` are the objects that the checks read:
a run of one block has its columns in memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xframe.comparison import checks, settings
from xframe.comparison.check import ORDERS, Check, merged
from xframe.comparison.checks.replicas import Replicas
from xframe.comparison.far_apart import far_apart
from xframe.comparison.given import in_force
from xframe.comparison.identity import IDENTITIES, Identity, identified
from xframe.comparison.own_orders import orders_apart
from xframe.comparison.pairing import PLAN, Pair, Run, Terms, blocks, joined, named, said_of_joins
from xframe.comparison.parting import parted
from xframe.comparison.readings import read_again
from xframe.comparison.result import TOLERANCES, CheckResult, Comparison, Judgement, Tolerance
from xframe.errors import UsageError, Verbatim, XframeError, counted, unknown
from xframe.numerics.result import Numerics
from xframe.plan.training_plan import TrainingPlan
from xframe.plan.validation import stopped_after
from xframe.tasks.optimizers import read
from xframe.trace.facts import Facts
from xframe.trace.rows import Rows
from xframe.trace.trace import Trace

_FINEST_FIRST = list(TOLERANCES)
_STORED = {
    "float64": "float64",
    "float32": "float32",
    "float16": "mixed_float16",
}  # precisions, by the types of weights
_OF_MASKS = ("loss", "gradient norm", "weights", "validation")  # checks of what dropout's draws decide
_NOTHING_ELSE = "the replicas of {} are compared with each other, and with nothing else: no plan, no second run"
_ABOUT = ("task", "adapter", "loop", "started", "platform")  # what a report says of where a run comes from


@dataclass(frozen=True, eq=False)
class Findings:
    """A comparison and what led to it; see the module's text."""

    comparison: Comparison
    terms: Terms
    runs: tuple[Run, ...]
    planned: Run | None
    with_plan: tuple[Pair, ...]
    across: tuple[Pair, ...]


def judge(
    traces: Sequence[Trace],
    *,
    order: str | None = None,
    identity: Identity | None = None,
    plan: TrainingPlan | None = None,
    num_samples: int | None = None,
    tolerance: Tolerance | None = None,
    audits: Mapping[str, Sequence[str]] | None = None,
    rate: Callable[[int], float] | None = None,
    numerics: Sequence[Numerics] = (),
) -> Findings:
    """Compares runs with the plan and with the first of them; the arguments are those of ``xframe.compare``.

    Raises:
        UsageError: nothing to compare with.
    """
    for what, given, choices in (("order", order, ORDERS), ("identity", identity, IDENTITIES)):
        if given is not None and given not in choices:
            raise unknown(what, given, choices)
    if not traces:
        raise _nothing_to_compare_with(0)
    runs = tuple(
        Run(name, Rows.of_trace(trace), trace.facts, trace) for name, trace in zip(named(traces), traces, strict=True)
    )
    plan_given = plan is not None
    plan, num_samples, notes = in_force(runs, plan, num_samples)
    within = len(runs) == 1 and (plan is None or num_samples is None)
    if within and not traces[0].replicas:
        raise _nothing_to_compare_with(1)
    if within:
        notes.append(_NOTHING_ELSE.format(runs[0].name))
    if len({run.facts.weights_fingerprint for run in runs} - {None}) > 1:
        notes.append(f"{' and '.join(run.name for run in runs)} did not start from the same weights")
    precision, why = _precision(runs)
    if why and tolerance is None:
        notes.append(why)
    runs, said = identified(runs, identity)
    notes += said
    terms = Terms(
        order or "exact",
        plan,
        num_samples,
        precision,
        tolerance or TOLERANCES[precision],
        rate,
        audits or {},
        by_hand=tolerance is not None,
        plan_given=plan_given,
        numerics=_by_run(numerics, runs),
    )
    if within:
        return _within(runs[0], terms, notes)
    planned, with_plan, across = _compared(runs, terms)
    if order is None and (why := orders_apart(with_plan, across)):
        notes.append(why)
        terms = replace(terms, order="coverage", chosen=True)
        planned, with_plan, across = _compared(runs, terms)
    if terms.order == "exact" and (read := read_again(across)):
        runs = tuple(read.get(run.name, run) for run in runs)
        planned, with_plan, across = _compared(runs, terms)
    comparison = _comparison(runs, planned, (*with_plan, *across), terms, notes)
    return Findings(comparison, terms, runs, planned, with_plan, across)


def _within(run: Run, terms: Terms, notes: Sequence[str]) -> Findings:
    """One run without a plan: its replicas alone are compared, with each other."""
    pair = Pair(run, run, terms)
    pair.judgements[Replicas.name] = Replicas(pair).judge()
    comparison = replace(_comparison((run,), None, (pair,), terms, notes, [Replicas]), within=True)
    return Findings(comparison, terms, (run,), None, (), ())


def _by_run(numerics: Sequence[Numerics], runs: Sequence[Run]) -> dict[str, Numerics]:
    """What was judged of each further run, by name; in their order where names are not those of the runs."""
    names = [run.name for run in runs[1:]]
    if len(numerics) == len(names) and {one.candidate for one in numerics} != {*names}:
        numerics = [replace(one, candidate=name) for one, name in zip(numerics, names, strict=True)]
    return {one.candidate: one for one in numerics if one.candidate in names}


def _compared(runs: tuple[Run, ...], terms: Terms) -> tuple[Run | None, tuple[Pair, ...], tuple[Pair, ...]]:
    """The plan's side, each run beside it, and each further run beside the first, judged."""
    planned, with_plan = _planned(runs, terms)
    across = tuple(Pair(run, runs[0], terms) for run in runs[1:])
    _walk(runs, planned, (*with_plan, *across), checks.of(terms.order))
    return planned, with_plan, across


def _precision(runs: Sequence[Run]) -> tuple[str, str]:
    """The precision by which numbers are judged, and if the runs state different ones, why that.

    It is the finest that a run states. A coarser one widens the tolerance only as far as the types of that run's
    weights show it: what a script's metadata state is no evidence. Scripts state float64 if all of them computed in it.
    """
    if all(_in_float64(run) for run in runs):
        return "float64", ""
    stated = {run.name: _FINEST_FIRST.index(_stated(run) or run.facts.precision) for run in runs}
    finest = min(stated.values())
    if finest == max(stated.values()):
        return _FINEST_FIRST[finest], ""
    taken, why = finest, list[str]()
    for run in runs:
        types = run.trace.weight_types() if run.trace is not None and stated[run.name] > finest else set()
        shown = [_FINEST_FIRST.index(_STORED[name]) for name in types & _STORED.keys()]
        believed = max(finest, min(stated[run.name], *shown)) if shown else finest
        taken = max(taken, believed)
        what = _stated(run) or "no precision, which is read as float32"
        shown_by = "" if believed == stated[run.name] else ", and no weights recorded show it"
        why.append(f"{run.name} states {what}{shown_by}")
    return _FINEST_FIRST[taken], f"numbers are judged as {_FINEST_FIRST[taken]} allows: {'; '.join(why)}"


def _in_float64(run: Run) -> bool:
    """Whether a run states float64, or its script's settings show it."""
    shown = None if run.trace is None else run.trace.settings.get("precision.policy")
    return (run.facts.precision if "precision" in run.facts.runtime else shown) == "float64"


def _stated(run: Run) -> str | None:
    """The precision that a run states, or that its script's settings show to be coarser than float32."""
    if "precision" in run.facts.runtime:
        return run.facts.precision
    return None if run.trace is None else settings.coarse_precision(run.trace.settings)


def _nothing_to_compare_with(traces: int) -> UsageError:
    return UsageError(
        "nothing to compare with",
        got=Verbatim(counted(traces, "trace") + (" that states no plan and number of samples" if traces else "")),
        expected="two traces, or one with its plan",
        remedy="Name a second one, as in: xframe compare reference.trace candidate.trace; or its plan: xframe compare "
        "--plan plan.toml candidate.trace",
    )


def _planned(runs: Sequence[Run], terms: Terms) -> tuple[Run | None, tuple[Pair, ...]]:
    """The plan's side, and each run's pair with it: there it ends where the run's own validations must stop it."""
    if terms.plan is None or terms.num_samples is None:
        return None, ()
    planned = Run(PLAN, Rows.of_plan(terms.plan, terms.num_samples, rate=terms.rate))
    pairs = []
    for run in runs:
        stop, own = stopped_after(terms.plan, run.validations), planned
        if stop is not None:
            own = Run(PLAN, Rows.of_plan(terms.plan, terms.num_samples, rate=terms.rate, num_rows=stop))
        pairs.append(Pair(run, own, terms))
    return planned, tuple(pairs)


def _walk(runs: Sequence[Run], planned: Run | None, pairs: Sequence[Pair], kinds: Sequence[type[Check]]) -> None:
    """Feeds the rows of each pair to its checks, and lets these judge: structure first, then the rest."""
    plan = pairs[0].terms.plan
    structure_first = sorted(kinds, key=lambda kind: kind.group != "structure")
    walked = [(pair, [kind(pair) for kind in structure_first if _is_fed(kind, pair)]) for pair in pairs]
    for start, stop, index in blocks(runs, planned, plan.batch_size if plan is not None else 1):
        for pair, fed in walked:
            if start < pair.shared:
                block = pair.block(start, stop, index)
                for check in fed:
                    part = block if check.group != "numbers" else block.head(pair.until - start)
                    if part.length > 0:
                        check.feed(part)
    for pair, fed in walked:
        pair.judgements.update((check.name, check.judge()) for check in fed if check.group == "structure")
        pair.diverged = pair.until < pair.shared or any(j.first is not None for j in pair.judgements.values())
        pair.judgements.update((check.name, check.judge()) for check in fed if check.group != "structure")
        pair.judgements.update(_by_other_masks(pair))
        pair.judgements.update(parted(pair))
        for kind in kinds:
            if kind.applies(pair) and not _is_fed(kind, pair):
                pair.judgements[kind.name] = Judgement("not judged", detail="it depends on the order of the samples")


def _by_other_masks(pair: Pair) -> dict[str, Judgement]:
    """What fails of what masks decide, where each side drew its own and all that captured updates could show agrees."""
    if pair.numerics is None or not pair.numerics.masks or pair.diverged or pair.terms.by_hand:
        return {}
    failing = [name for name in _OF_MASKS if name in pair.judgements and pair.judgements[name].result == "fail"]
    judgement = Judgement("not judged", detail="not comparable: dropout draws differ", undecided=True)
    return {
        name: replace(judgement, worst=pair.judgements[name].worst, worst_at=pair.judgements[name].worst_at)
        for name in failing
    }


def _is_fed(kind: type[Check], pair: Pair) -> bool:
    """Whether that check judges that pair; of scripts that shuffled on their own no number that the order decides."""
    by_order = kind.group == "numbers" and not kind.of_any_order
    return kind.applies(pair) and not (by_order and not pair.reference.is_plan and pair.terms.order == "coverage")


def _comparison(
    runs: Sequence[Run],
    planned: Run | None,
    pairs: Sequence[Pair],
    terms: Terms,
    notes: Sequence[str],
    judged: Sequence[type[Check]] | None = None,
) -> Comparison:
    """All pairs' judgements, by check, of all that there are or of some, and what reports show of the runs."""
    kinds = [kind for kind in judged or checks.of(terms.order) if kind.present(terms, runs)]
    results = []
    for kind in kinds:
        judgements = [pair.judgements[kind.name] for pair in pairs if kind.name in pair.judgements]
        results.append(merged(kind, [*judgements, *kind.beside_pairs(terms)], terms, runs))
    traces = {run.name: run.trace for run in runs if run.trace is not None}
    said = [
        *said_of_joins(joins := joined(traces)),
        *far_apart(pairs),
        *notes,
        *(note for kind in checks.of(terms.order) for note in kind.notes(pairs)),
    ]
    return Comparison(
        checks=tuple(results),
        first_difference=_first_difference(results, runs, planned, pairs),
        runs={name: trace.counts() for name, trace in traces.items()},
        certificates={name: trace.certificate for name, trace in traces.items()},
        endings={name: trace.ending for name, trace in traces.items()},
        explanation=tuple(dict.fromkeys(said)),
        plan=terms.plan,
        num_samples=terms.num_samples,
        order=terms.order,
        order_chosen=terms.chosen,
        versions={run.name: dict(run.facts.versions) for run in runs},
        runtimes={run.name: dict(run.facts.runtime) for run in runs},
        by_run={run.name: _alone(run, pairs, terms) for run in runs if any(pair.candidate is run for pair in pairs)},
        settings=_settings(runs),
        about={run.name: _about(run.facts) for run in runs},
        tolerance=terms.tolerance,
        by_hand=terms.by_hand,
        joins=joins,
        num_replicas={name: trace.num_replicas for name, trace in traces.items()},
        numerics=tuple(terms.numerics[run.name] for run in runs[1:] if run.name in terms.numerics),
        sides=tuple(replace(run, rows=run.rows.unread()) for run in runs),
    )


def _about(facts: Facts) -> dict[str, str]:
    """Where a run comes from, as far as it states that."""
    about: dict[str, str] = {key: value for key in _ABOUT if (value := getattr(facts, key))}
    with suppress(XframeError, RecursionError):  # what a file has there may be no rule
        if facts.optimizer:
            about["optimizer"] = repr(read(facts.optimizer))
    return about


def _settings(runs: Sequence[Run]) -> tuple[settings.Difference, ...]:
    """What each further run set differently than the first."""
    stated = [{} if run.trace is None else run.trace.settings for run in runs]
    further = zip(runs[1:], stated[1:], strict=True)
    return tuple(one for run, own in further for one in settings.differing(stated[0], own, run.name))


def _alone(run: Run, pairs: Sequence[Pair], terms: Terms) -> dict[str, Any]:
    """What the comparison shows of one run that was compared with something: its verdict, and what fails first."""
    judged = [one for pair in pairs if pair.candidate is run for one in pair.judgements.items()]
    judged += [("weights", Judgement("fail"))] * bool(terms.audits.get(run.name))
    ranks = {kind.name: (kind.witness, kind.rank) for kind in checks.of(terms.order)}
    failing = [
        (ranks[name][0], math.inf if one.first is None else one.first, ranks[name][1], name) for name, one in judged
    ]
    failing = sorted(place for place, (_, one) in zip(failing, judged, strict=True) if one.result == "fail")
    structure = {kind.name for kind in checks.of(terms.order) if kind.group == "structure"}
    passed = all(one.result == "pass" for name, one in judged if name in structure) and run.rows.complete
    passed = passed and not terms.chosen and not any(one.undecided for _, one in judged)
    _, step, _, check = failing[0] if failing else (False, math.inf, 0, None)
    verdict = "failed" if failing else "passed" if passed else "inconclusive"
    return {"verdict": verdict, "check": check, "step": None if step == math.inf else step}


def _first_difference(
    results: Sequence[CheckResult], runs: Sequence[Run], planned: Run | None, pairs: Sequence[Pair]
) -> dict[str, Any] | None:
    """The earliest failing step; at one step, the earliest check."""
    witnesses = {kind.name for kind in checks.of(pairs[0].terms.order) if kind.witness} if pairs else set()
    failing = [(one.name in witnesses, one.first, i) for i, one in enumerate(results) if one.first is not None]
    if not failing:
        return None
    _, step, i = min(failing)
    name, number, reference = results[i].name, results[i].shown[0], runs[0]
    pair = next(p for p in pairs if name in p.judgements and p.judgements[name].first == step)
    candidate: Run | None = pair.candidate
    if candidate is reference:  # it is the reference that departs from the plan; show what the other did there
        candidate = runs[1] if len(runs) > 1 else None
    return {
        "step": step,
        "check": name,
        "reference": reference.step(step, number),
        "candidate": None if candidate is None else candidate.step(step, number),
        "expected": None if planned is None else planned.step(step, number),
        "names": {"reference": reference.name, "candidate": None if candidate is None else candidate.name},
        "detail": pair.judgements[name].detail,
        **_compared_before(pair, step, number if name in ("lr", "loss") else name),
    }


def _compared_before(pair: Pair, step: int, column: str) -> dict[str, int | None]:
    """In how many steps before that one both sides know a column, and the last of these."""
    if column in pair.known or column not in ("lr", "loss", "accuracy", "updates"):
        return {"compared": step, "last_compared": step - 1 if step else None}
    known = np.ones(step, np.bool_)
    for side in (pair.candidate, pair.reference):
        mask = side.rows.column(column).known
        known &= True if mask is None else mask[:step]
    steps = np.flatnonzero(known)
    return {"compared": len(steps), "last_compared": int(steps[-1]) if len(steps) else None}
