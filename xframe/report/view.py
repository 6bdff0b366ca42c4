"""The one view of a comparison: what every form shows of it, in words and tables. Forms lay it out and escape it.

A table is a list of rows, its head first; it is empty where there is nothing to show.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from xframe.comparison.result import TOLERANCES, Comparison
from xframe.comparison.table import checks_table, notes
from xframe.errors import counted
from xframe.report import numerics, words
from xframe.report.plans import arithmetic

Table = list[list[str]]


@dataclass(frozen=True, slots=True)
class FirstDifference:
    """Where runs first differ.

    Attributes:
        step, check: which, the check by its title.
        place: the step, or among which it is, in words.
        agreeing: how many steps before it agree; empty where there is none.
        detail: what differs, in a sentence; may be empty.
        table: that step of each side.
    """

    step: int
    check: str
    title: str
    agreeing: str
    detail: str
    table: Table
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What every form shows of a comparison.

    Attributes:
        verdict: ``PASSED``, ``FAILED`` or ``INCONCLUSIVE``.
        besides: what the verdict's word does not say, ``structure only``; empty where it says all.
        title: who was compared, with versions, device and precision.
        headline: the verdict in a sentence, for those who read no other.
        closing: the verdict and what it rests on, in one line.
        plan, plan_digest: in one line; empty without one.
        optimizer: that took the place of the task's own, in one line; empty without one.
        arithmetic: of the plan, written out.
        checks, notes: the table of checks, and what is to be said of those that did not fail.
        numerics, curves: of steps from one state the worst values beside their bounds, and what is to be said of the
            free runs' losses and of tolerances.
        reasons: what failed, what was cut short, what else was noticed.
        causes: each run's, most likely first.
        settings, all_settings: that differ, at a glance and one by one.
        by_run: of many runs a line each.
        runs: what each run's rows amount to, and where it comes from.
        certificate: the one that all share, and what it vouches for; empty if they do not.
        again: commands that make this anew.
        facts: the same as values, for programs: the keys of the JSON form.
    """

    verdict: Literal["PASSED", "FAILED", "INCONCLUSIVE"]
    besides: str
    exit_code: int
    names: list[str]
    title: str
    headline: str
    closing: str
    plan: str
    plan_digest: str
    optimizer: str
    arithmetic: list[str]
    checks: Table
    notes: Table
    numerics: Table
    curves: list[str]
    first: FirstDifference | None
    reasons: list[str]
    causes: list[words.Cause]
    settings: Table
    all_settings: Table
    by_run: Table
    runs: Table
    certificate: str
    again: list[str]
    facts: dict[str, Any]

    @classmethod
    def of(cls, comparison: Comparison, again: Sequence[str] = ()) -> View:
        """The view of a comparison; ``again`` are commands that made it, before those that compare its traces."""
        plan, size = comparison.plan, comparison.num_samples
        return cls(
            verdict=comparison.verdict.upper(),  # type: ignore[arg-type]
            besides="structure only" if comparison.structure_only and comparison.verdict == "passed" else "",
            exit_code=comparison.exit_code,
            names=list(comparison.runs),
            title=words.title(comparison),
            headline=_headline(comparison),
            closing=words.closing(comparison),
            plan=words.plan_line(plan, size) if plan is not None and size is not None else "",
            plan_digest=plan.digest[:8] if plan is not None else "",
            optimizer=words.optimizer(comparison),
            arithmetic=arithmetic(plan, size) if plan is not None and size is not None else [],
            checks=checks_table(comparison),
            notes=notes(comparison),
            numerics=numerics.table(comparison),
            curves=[*numerics.sentences(comparison)],
            first=_first(comparison),
            reasons=words.reasons(comparison),
            causes=words.causes(comparison.causes),
            settings=words.settings(comparison),
            all_settings=words.settings(comparison, every=True),
            by_run=words.by_run(comparison),
            runs=words.runs(comparison),
            certificate=words.certificate(comparison),
            again=[*again, *_compared(comparison)],
            facts=comparison.to_dict(),
        )


def _first(comparison: Comparison) -> FirstDifference | None:
    difference = comparison.first_difference
    if difference is None:
        return None
    name = difference["check"]
    return FirstDifference(
        difference["step"],
        name,
        comparison.check(name).title,
        words.agreeing(difference),
        difference["detail"] or "",
        _told(comparison, [words.head_around(comparison), *rows]) if (rows := words.rows_around(comparison)) else [],
        words.place(difference),
    )


def _told(comparison: Comparison, table: Table) -> Table:
    """That step of each side; beside a golden, which may hold no more than ranges, what it has."""
    if comparison.golden is None:
        return table
    kept = [i for i in range(len(table[0])) if table[1][i]]
    return [[row[i] for i in kept] for row in table] if len(kept) > 1 else [table[0], *table[2:]]


def _headline(comparison: Comparison) -> str:
    """The verdict in a sentence."""
    names = list(comparison.runs)
    who = " and ".join(names) if len(names) < 3 else f"All {len(names)} runs"
    first = comparison.first_difference
    steps = counted(min(counts.num_steps for counts in comparison.runs.values()), "step")
    if comparison.within and comparison.verdict != "inconclusive":
        return _between_replicas(comparison, names[0])
    if comparison.verdict == "passed":
        if comparison.structure_only:
            same = f"{who} trained on the same samples in each pass, in {steps} with the same updates"
            return f"{same}; losses were not judged"
        rests_on = numerics.basis(comparison)
        numbers = "" if comparison.numbers == "not judged" else f", numbers {comparison.numbers}"
        numbers += f": {rests_on}" if rests_on else ""
        if len(names) == 1:
            return f"{who} did what the plan says: {steps}, with its samples and updates in each{numbers}"
        return f"{who} made the same training: {steps}, the same samples and updates in each{numbers}"
    if comparison.verdict == "inconclusive":
        reasons = words.reasons(comparison)
        return f"Not enough is known to judge: {reasons[0]}" if reasons else "Not enough is known to judge"
    failing = [check.title for check in comparison.listed if check.result == "fail"]
    if only := words.only_tolerance(comparison):
        return f"{only[0].upper()}{only[1:]}: {who} differ in {' and '.join(failing)}"
    if first is None:
        return f"{who if len(names) > 1 else f'{who} and its plan'} differ in {' and '.join(failing)}"
    sides = first["names"]["reference"], first["names"]["candidate"]
    what = comparison.check(first["check"]).title
    both = " and ".join(filter(None, sides)) if None not in sides else f"{sides[0]} and its plan"
    where = words.place(first)
    where = where if where.startswith("among") else f"in {where}"
    earlier = words.agreeing(first)
    return f"{both} first differ {where}, in {what}" + (f"; {earlier}" if earlier else "")


def _between_replicas(comparison: Comparison, name: str) -> str:
    """The verdict on one run whose replicas were compared with each other."""
    if comparison.verdict == "passed":
        return f"The replicas of {name} stay one model: the same steps, updates, rates and weights in each"
    first = comparison.first_difference
    where = f", as step {first['step']:,} is the first to show" if first is not None else ""
    return f"The replicas of {name} are not one training{where}"


def _compared(comparison: Comparison) -> list[str]:
    """The command that compares the traces once more."""
    paths = [run.trace.argument for run in comparison.sides if run.trace is not None]
    if comparison.folder is not None:
        paths = [str(comparison.folder)]
    if comparison.golden is not None:
        paths.insert(0, str(comparison.golden))
    options = [*comparison.options]
    options += ["--order", "coverage"] if comparison.structure_only and not comparison.order_chosen else []
    tolerance = comparison.tolerance
    if tolerance is not None and (comparison.by_hand or tolerance not in TOLERANCES.values()):
        options += ["--rtol", f"{tolerance.rtol:g}", "--atol", f"{tolerance.atol:g}"]
    return [shlex.join(["xframe", "compare", *paths, *options])] if paths else []
