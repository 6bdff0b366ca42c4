"""The terminal's form: plain text, the verdict last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xframe import __version__
from xframe.comparison.result import Comparison
from xframe.comparison.table import checks_table, notes
from xframe.errors import counted
from xframe.report import words
from xframe.tables import plain


def text(comparison: Comparison) -> str:
    """The whole report as lines of plain text."""
    plan = comparison.plan
    head = f"xframe {__version__}" + (f"  plan {plan.digest[:8]}" if plan else "") + f"  {words.title(comparison)}"
    lines = [head]
    if plan is not None and comparison.num_samples is not None:
        lines.append(f"plan: {words.plan_line(plan, comparison.num_samples)}")
    lines += ["", *plain(checks_table(comparison), indent=2, keep=2), ""]
    if beside := notes(comparison):
        lines += [*plain(beside, indent=2), ""]
    difference = comparison.first_difference
    if difference is not None:
        at = difference["step"]
        lines.append(f"First difference: step {at} ({_agreeing(difference)}), check {difference['check']}")
        lines += [*plain([words.head_around(comparison), *words.rows_around(comparison)], indent=2), ""]
    for part in (words.reasons(comparison), words.causes_text(comparison.causes)):
        if part:
            lines += [*part, ""]
    if different := words.settings(comparison):
        lines += ["Settings that differ, whatever the verdict:", *plain(different, indent=2), ""]
    if beside := words.by_run(comparison):
        lines += [*plain(beside), ""]
    certificates = set(comparison.certificates.values())
    if comparison.structure == "identical" and len(certificates) == 1 and len(comparison.certificates) > 1:
        who = "both" if len(comparison.runs) == 2 else "all"
        vouched = "" if comparison.verdict == "passed" else ", for steps, samples and updates only"
        lines.append(f"certificate of {who}{vouched}: {certificates.pop()}")
    if comparison.folder is not None:
        lines.append(f"run: {comparison.folder}")
    took = "" if comparison.seconds is None else f"  {comparison.seconds:.1f} s"
    lines.append(words.closing(comparison) + took)
    return "\n".join(lines)


def _agreeing(difference: Mapping[str, Any]) -> str:
    """How many steps before the first difference agree, and of numbers that some steps lack, where it may lie."""
    at, compared, last = difference["step"], difference["compared"], difference["last_compared"]
    verb = "agrees" if compared == 1 else "agree"
    if last is None and at:
        return f"none of {counted(at, 'earlier step')} was compared"
    if last is None or last == at - 1:
        return f"{counted(compared, 'earlier step')} {verb}"
    return f"{compared:,} of {at:,} earlier steps compared, which {verb}; none from step {last + 1:,} to {at - 1:,}"


def explained(comparison: Comparison) -> str:
    """Only why the runs part, with every cause in full."""
    difference = comparison.first_difference
    lines = [words.closing(comparison)]
    if difference is not None:
        lines.insert(0, f"First difference: step {difference['step']}, check {difference['check']}")
    return "\n".join([*words.reasons(comparison), *words.causes_text(comparison.causes), *lines])
