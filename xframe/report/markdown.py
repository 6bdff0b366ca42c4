"""The Markdown form, for an issue or a colleague: the verdict first."""

from __future__ import annotations

from collections.abc import Sequence

from xframe import __version__, tables
from xframe.comparison.result import Comparison
from xframe.report import words
from xframe.report.view import View
from xframe.tables import escaped, fenced


def markdown(comparison: Comparison, again: Sequence[str] = ()) -> str:
    """The whole report as Markdown, what comes from traces escaped; ``again`` are the commands that made its runs."""
    view = View.of(comparison, again)
    verdict = f"{view.verdict}, {view.besides}" if view.besides else view.verdict
    lines = [f"# {verdict}: {escaped(' vs '.join(view.names))}", "", escaped(view.closing) + ".", ""]
    if view.reasons:
        lines += [*(f"- {escaped(reason)}" for reason in view.reasons), ""]
    if view.causes:
        lines += [*fenced(words.causes_text(comparison.causes)), ""]
    lines += _table("", view.by_run)
    head, *rows = view.checks
    beside = dict(view.notes)
    lines += _table("", [[*head, "note"], *([*row, beside.get(row[0], "")] for row in rows)])
    lines += _table("Steps from the same state", view.numerics)
    if view.curves:
        lines += [*(f"- {escaped(one)}" for one in view.curves), ""]
    if view.first is not None:
        lines += [f"## First difference: {view.first.place}, {escaped(view.first.title)}", ""]
        lines += _table("", view.first.table)
    lines += _table("Settings that differ", view.settings)
    if view.plan:
        lines += ["## Plan", "", escaped(view.plan), "", *fenced(view.arithmetic), ""]
    lines += _table("Runs", view.runs)
    if told := words.passes(comparison):
        lines += [escaped(told), ""]
    lines += ["Make it again:", "", *fenced([f"$ {command}" for command in view.again]), ""] if view.again else []
    lines += [f"Made by xframe {__version__}. {escaped(view.title)}", ""]
    return "\n".join(lines)


def _table(heading: str, table: list[list[str]]) -> list[str]:
    """A table under its heading; nothing of an empty one."""
    head = [f"## {heading}", ""] if heading else []
    return [*head, *tables.markdown(table[0], table[1:]), ""] if table else []
