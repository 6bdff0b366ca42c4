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

and of each pair

    pair.candidate, pair.reference  the two sides; ``pair.reference.rows`` are rows like any other's
    pair.shared                     the steps that both made
    pair.firsts["updates"]          the first row at which that column differs; missing where it does not
    pair.judgements["lr"]           what the check shows of this pair: result, first, worst, detail; ``first`` of
                                    ``lr`` and ``loss`` is by the precision and the tolerance in force
    pair.until                      the first row at which the structure differs: numbers were judged before it

Where the digests of a block are equal its columns were not read. ``run.rows`` are the objects that the checks read:
a run of one block has its columns in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from xframe.comparison import comparing
from xframe.comparison.pairing import PLAN, Pair, Run, Terms
from xframe.comparison.result import Comparison, Judgement, Tolerance
from xframe.plan.training_plan import TrainingPlan
from xframe.plan.validation import stopped_after
from xframe.trace.rows import Rows
from xframe.trace.trace import Trace


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
    order: str = "exact",
    plan: TrainingPlan | None = None,
    num_samples: int | None = None,
    tolerance: Tolerance | None = None,
    audits: Mapping[str, Sequence[str]] | None = None,
    rate: Callable[[int], float] | None = None,
) -> Findings:
    """Compares runs with the plan and with the first of them; the arguments are those of ``xframe.compare``.

    Args:
        traces: the reference, then the candidates.
        order: ``exact`` or ``coverage``.
        plan, num_samples: default: as recorded in all traces, if it is the same.
        tolerance: of loss and weights; default: by the runs' precision.
        audits: by run, what its task's audit found to contradict the trace.
        rate: the task's learning rate at each tick of the plan's ``schedule_clock``.

    Raises:
        UsageError: nothing to compare with.
    """
    rtol, atol = (None, None) if tolerance is None else (tolerance.rtol, tolerance.atol)
    comparison, old_pairs, within = comparing.compared(
        *traces, order=order, plan=plan, num_samples=num_samples, rtol=rtol, atol=atol, audits=audits, rate=rate
    )
    plan, num_samples = comparison.plan, comparison.num_samples
    precision = comparing._precision(traces)
    terms = Terms(order, plan, num_samples, precision, within, rate, audits or {})
    runs = tuple(
        Run(name, Rows.of_trace(trace), trace.facts, trace) for name, trace in zip(comparison.runs, traces, strict=True)
    )
    planned, pairs = None, []
    if plan is not None and num_samples is not None:
        planned = Run(PLAN, Rows.of_plan(plan, num_samples, rate=rate))
        for run in runs:
            stop = stopped_after(plan, run.validations)
            own = planned
            if stop is not None:
                own = Run(PLAN, Rows.of_plan(plan, num_samples, rate=rate, num_rows=stop))
            pairs.append(Pair(run, own, terms))
    across = [Pair(run, runs[0], terms) for run in runs[1:]]
    for pair, old in zip([*pairs, *across], old_pairs, strict=True):
        pair.firsts.update(old.firsts)
        pair.until = old.until
        pair.judgements.update(
            {
                name: Judgement(j.result, j.first, j.detail, j.worst, j.worst_at, j.undecided)
                for name, j in old.judgements.items()
            }
        )
    return Findings(comparison, terms, runs, planned, tuple(pairs), tuple(across))
