"""Compares the traces of the self-test, and judges what each comparison reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from xframe.tasks.builtin.ledger import ledger
from xframe.tasks.lookup import find_task
from xframe.testing import clean
from xframe.testing.baselines import BASELINES, Features, Logged, differs
from xframe.testing.faults import Fault, with_validation
from xframe.testing.mutators import BASES, MUTATORS, mutate, rows_of, write
from xframe.testing.selftest.results import TASK, Clean, Finding, Reported
from xframe.testing.selftest.training import Store, facts_of, possible
from xframe.trace.trace import Trace
from xframe.verification import compare

if TYPE_CHECKING:
    from xframe.comparison.result import Comparison
    from xframe.plan.training_plan import TrainingPlan
    from xframe.running.progress import Progress
    from xframe.tasks.task import Task
    from xframe.trace.rows import Rows

ALONE, WITH_PLAN, WITHOUT_PLAN = "alone", "with a plan", "without a plan"
Logger = Callable[[Trace, Fault | None], Logged]


def judge(comparison: Comparison, setting: str, check: str, step: int | None, causes: Sequence[str]) -> Reported:
    """What it reported, beside what it should have."""
    failing = {one.name: one.first for one in comparison.checks if one.result == "fail"}
    first = comparison.first_difference or {}
    named = next(iter(comparison.causes), None)
    return Reported(
        setting=setting,
        detected=comparison.verdict == "failed" and check in failing,
        localised=check in failing and failing[check] == step and first.get("step") == step,
        check=first.get("check") or next(iter(failing), None),
        step=first.get("step"),
        cause=None if named is None else named.name,
        right=named is not None and named.name in causes,
        certain=named is not None and named.certain,
    )


# --- faulty runs ---


def judge_all(
    stores: Sequence[Store],
    faults: Sequence[Fault],
    problems: Mapping[tuple[str, str], str],
    mutations: int,
    seed: int,
    progress: Progress,
) -> list[Finding]:
    """A finding for each fault that an adapter can have, and for each mutation of its honest rows."""
    findings: list[Finding | None] = []
    for store in stores:
        logged, draw = logger(), Random(f"mutations {seed} {store.adapter}")  # noqa: S311  no secret
        rows: dict[str, Rows] = {}
        wanted: list[Fault | int] = [fault for fault in faults if possible(fault, store.adapter)]
        wanted += range(mutations)
        for one in progress.each(f"judging {store.adapter}", wanted, "faults"):
            if isinstance(one, Fault):
                findings.append(judge_fault(store, one, problems.get((store.adapter, one.name), ""), logged))
            else:
                findings.append(judge_mutation(store, one, draw, rows))
    return [finding for finding in findings if finding is not None]


def judge_fault(store: Store, fault: Fault, problem: str, logged: Logger) -> Finding:
    """A fault's run alone and beside the run it is compared with, in all settings."""
    right = (fault.check, fault.step, fault.causes)
    against = ("honest", fault.plan.digest) if fault.against is None else ("against", fault.name)
    honest, faulty = store.open(*against), store.open("fault", fault.name)
    if problem or honest is None or faulty is None:
        return Finding(store.adapter, "fault", fault.name, *right, problem=problem or "it did not run")
    reported = [judge(compare(faulty), ALONE, *right)] if fault.seen_by_the_plan else []
    if fault.against is None:
        reported.append(judge(compare(honest, faulty), WITH_PLAN, *right))
    bare = store.without_plan(*against), store.without_plan("fault", fault.name)
    reported.append(judge(compare(*bare), WITHOUT_PLAN, *right))
    baselines = differs(logged(honest, None), logged(faulty, fault))
    return Finding(store.adapter, "fault", fault.name, *right, tuple(reported), baselines)


def judge_mutation(store: Store, index: int, draw: Random, rows: dict[str, Rows]) -> Finding | None:
    """The mutation of that number; None if the honest run that it would change was refused.

    ``rows`` keeps the honest rows by the plan's digest.
    """
    plan = BASES[(index // len(MUTATORS)) % len(BASES)]
    honest = store.open("honest", plan.digest)
    if honest is None or honest.facts.num_samples is None:
        return None
    if plan.digest not in rows:
        rows[plan.digest] = rows_of(honest)
    mutator, n = MUTATORS[index % len(MUTATORS)], honest.facts.num_samples
    mutation = mutate(mutator, rows[plan.digest], draw, n)
    right = (mutation.check, mutation.step, mutation.causes)
    metadata, traces = {**facts_of(honest), "label": "faulty"}, []
    for kind, known in (("mutation", plan), ("bare-mutation", None)):
        place = store.path(kind, str(index))
        write(place, mutation.rows, plan=known, num_samples=n, metadata=metadata)
        traces.append(Trace.open(place))
    planned, bare = traces
    reported = (
        judge(compare(planned), ALONE, *right),
        judge(compare(honest, planned), WITH_PLAN, *right),
        judge(compare(store.without_plan("honest", plan.digest), bare), WITHOUT_PLAN, *right),
    )
    return Finding(store.adapter, "mutation", mutator.__name__.replace("_", "-"), *right, reported)


def logger() -> Logger:
    """What a script would log of a trace; an honest run's is kept."""
    task, kept = find_task(TASK), dict[Path, Logged]()

    @cache
    def sums(change: Callable[[Task], Task] | None) -> Features:
        # Ids from beyond the training set are looked up where the faulty pipelines found them.
        return Features.of(with_validation(change(task) if change else task).data("float64")[0])

    def log(trace: Trace, fault: Fault | None) -> Logged:
        if trace.path not in kept:
            kept[trace.path] = Logged.of(trace, sums(fault.task if fault else None))
        return kept[trace.path]

    return log


# --- honest runs ---


def judge_clean(
    stores: Sequence[Store], draws: Sequence[clean.Draw], plans: Sequence[TrainingPlan], refused: Sequence[str]
) -> Clean:
    """Every honest run against its plan, and every two adapters' runs of one plan against each other."""
    alarms: list[str] = []
    runs = steps = comparisons = pairs = 0
    different, logged = dict.fromkeys(BASELINES, 0), logger()
    names = [("clean", str(i)) for i in range(len(draws))] + [("honest", plan.digest) for plan in plans]
    for kind, name in names:
        traces = [(store, trace) for store in stores if (trace := store.open(kind, name)) is not None]
        num_samples = draws[int(name)].num_samples if kind == "clean" else None
        for store, trace in traces:
            alarms += _alarm(compare(trace, audits=_audits(trace, num_samples)), _where(trace, store.adapter))
            runs, steps, comparisons = runs + 1, steps + trace.num_rows, comparisons + 1
        for (one, a), (other, b) in combinations(traces, 2):
            where = _where(a, f"{one.adapter} and {other.adapter}")
            bare = one.without_plan(kind, name), other.without_plan(kind, name)
            alarms += _alarm(compare(a, b), where) + _alarm(compare(*bare), where + ", no plan recorded")
            comparisons += 2
            if kind == "honest":
                pairs += 1
                for baseline, differing in differs(logged(a, None), logged(b, None)).items():
                    different[baseline] += differing
    return Clean(runs, len(draws), steps, comparisons, tuple(alarms), pairs, different if pairs else {}, tuple(refused))


def _audits(trace: Trace, num_samples: int | None) -> dict[str, list[str]]:
    """What the ledger's weights say of a run on that many samples; nothing of a run on other data."""
    weights = trace.weights()
    audit = None if num_samples is None else ledger(num_samples).audit
    return {} if audit is None or weights is None else {trace.name: audit(trace, weights)}


def _where(trace: Trace, adapters: str) -> str:
    return f"{adapters}, {trace.plan!r} on {trace.facts.num_samples} samples"


def _alarm(comparison: Comparison, where: str) -> list[str]:
    causes = [cause.name for cause in comparison.causes]
    if comparison.verdict == "passed" and not causes:
        return []
    return [f"{where}: {comparison}" + (f"; {causes}" if causes else "")]
