"""The Markdown form, for an issue or a colleague: the verdict first."""

from __future__ import annotations

from xframe import __version__, tables
from xframe.comparison.result import Comparison
from xframe.comparison.table import checks_table, notes
from xframe.report import words
from xframe.report.plans import arithmetic
from xframe.tables import escaped, fenced


def markdown(comparison: Comparison) -> str:
    """The whole report as Markdown; what comes from traces is escaped."""
    names = list(comparison.runs)
    lines = [
        f"# {comparison.verdict.upper()}: {escaped(' vs '.join(names))}",
        "",
        escaped(words.closing(comparison)) + ".",
        "",
    ]
    lines += [f"- {escaped(reason)}" for reason in words.reasons(comparison)]
    if words.reasons(comparison):
        lines.append("")
    if comparison.causes:
        lines += [*fenced(words.causes_text(comparison.causes)), ""]
    if each := words.by_run(comparison):
        lines += [*tables.markdown(each[0], each[1:]), ""]
    head, *rows = checks_table(comparison)
    beside = dict(notes(comparison))
    lines += [*tables.markdown([*head, "note"], [[*row, beside.get(row[0], "")] for row in rows]), ""]
    if comparison.first_difference is not None:
        lines += [f"## First difference: step {comparison.first_difference['step']}", ""]
        lines += [*tables.markdown(words.head_around(comparison), words.rows_around(comparison)), ""]
    if different := words.settings(comparison):
        lines += ["## Settings that differ", "", *tables.markdown(different[0], different[1:]), ""]
    if comparison.plan is not None and comparison.num_samples is not None:
        lines += ["## Plan", "", escaped(words.plan_line(comparison.plan, comparison.num_samples)), ""]
        lines += [*fenced(arithmetic(comparison.plan, comparison.num_samples)), ""]
    lines += ["## Runs", ""]
    rows = []
    for name, counts in comparison.runs.items():
        numbers = [str(number) for number in (counts.num_steps, counts.num_updates, counts.samples_seen)]
        versions = ", ".join(f"{key} {value}" for key, value in comparison.versions[name].items())
        facts = [comparison.endings[name], comparison.certificates[name], versions, words.origin(comparison, name)]
        rows.append([name, *numbers, *facts])
    lines += tables.markdown(
        ["run", "steps", "updates", "samples seen", "ending", "certificate", "versions", "origin"], rows
    )
    lines += ["", f"Made by xframe {__version__}. {escaped(words.title(comparison))}", ""]
    return "\n".join(lines)
